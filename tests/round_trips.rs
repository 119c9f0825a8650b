//! Recorded requests of real clients into the other dialect and back: what can be carried is equal, and what cannot is in
//! the list of losses.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sidestream::dialect::Dialect;
use sidestream::dialect::profile::{Profile, Target};
use sidestream::dialect::translate::{Asking, request};
use sidestream::dialect::turn::Terms;

const MODEL: &str = "claude-opus-4-8";

#[test]
fn messages_to_chat_and_back() {
    for name in ["aider-002", "cc-hi-002", "cc330-hi-001", "cc330-tool-002", "node-sdk-020", "node-sdk-021"] {
        let (given, back, lost) = there_and_back(name, Asking::Messages, Asking::Chat);
        assert_eq!(prose(&given["system"]), prose(&back["system"]), "{name}");
        same(name, &turns(&given), &turns(&back));
        same(name, &tools(&given), &tools(&back));
        for (mark, path) in [
            ("\"cache_control\"", "cache_control"),
            ("\"defer_loading\"", "tools.defer_loading"),
            ("x-anthropic-billing-header", "system.billing_header"),
        ] {
            let is_lost = lost.iter().any(|lost| lost.contains(path));
            assert!(!given.to_string().contains(mark) || is_lost, "{name} {mark}: {lost:?}");
        }
        told(name, &given, &back, &lost, &["messages", "system", "tools", "model"]);
    }
}

#[test]
fn chat_to_messages_and_back() {
    for name in ["codex077-chat-tool2-002", "node-sdk-012", "node-sdk-013"] {
        let (given, back, lost) = there_and_back(name, Asking::Chat, Asking::Messages);
        same(name, &chat_turns(&given), &chat_turns(&back));
        same(name, &functions(&given), &functions(&back));
        told(name, &given, &back, &lost, &["messages", "tools", "model"]);
        // Messages demands a limit.
        assert!(given.get("max_tokens").is_some() || lost.contains("max_tokens"), "{name}: {lost:?}");
    }
}

/// A member that nobody knows, put into each object of a request, is lost, and told; or it went along.
#[test]
fn unknown_members_are_told_wherever_they_stand() {
    const MARK: &str = "sidestream_novelty";
    for (asking, body) in [(Asking::Messages, MESSAGES), (Asking::Chat, CHAT)] {
        let given: Value = serde_json::from_str(body).unwrap();
        let mut objects = Vec::new();
        objects_of(&given, String::new(), &mut objects);
        for pointer in objects {
            let mut marked = given.clone();
            marked.pointer_mut(&pointer).unwrap()[MARK] = json!(1);
            let (sent, lost) = sent(asking, marked.to_string().as_bytes());
            // Told by its own path, or by that of what it stood in.
            let names: Vec<_> = pointer.split('/').filter(|name| name.parse::<usize>().is_err()).collect();
            let is_told = (1..=names.len()).any(|depth| lost.contains(&names[1..depth].join(".")))
                || lost.iter().any(|path| path.contains(MARK));
            assert!(is_told || sent.contains(MARK), "{asking:?} {pointer}: {lost:?}");
        }
    }
}

/// A request that says most of what its dialect can.
const MESSAGES: &str = r#"{"model":"m","max_tokens":9000,"stream":true,"temperature":0.5,"stop_sequences":["x"],
    "system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"metadata":{"user_id":"u"},
    "thinking":{"type":"enabled","budget_tokens":1024},"output_config":{"effort":"low","format":{"type":"json_schema","schema":{}}},
    "tools":[{"name":"f","description":"d","input_schema":{"type":"object"}}],
    "tool_choice":{"type":"auto","disable_parallel_tool_use":true},
    "messages":[{"role":"user","content":[{"type":"text","text":"t","citations":null},
    {"type":"image","source":{"type":"base64","media_type":"image/png","data":"aQ=="}},
    {"type":"image","source":{"type":"url","url":"https://x/y.png"}},
    {"type":"document","title":"T","source":{"type":"text","media_type":"text/plain","data":"D"}},
    {"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERg=="}},
    {"type":"document","source":{"type":"content","content":[{"type":"text","text":"c"}]}},
    {"type":"search_result","source":"s","title":"t","content":[{"type":"text","text":"u"}]}]},
    {"role":"assistant","content":[{"type":"thinking","thinking":"h","signature":"s"},{"type":"redacted_thinking","data":"r"},
    {"type":"text","text":"a"},{"type":"tool_use","id":"i","name":"f","input":{}}]},
    {"role":"user","content":[{"type":"tool_result","tool_use_id":"i","content":[{"type":"text","text":"r"},
    {"type":"image","source":{"type":"url","url":"https://x/y.png"}}]}]},{"role":"system","content":"m"}]}"#;
const CHAT: &str = r#"{"model":"m","max_tokens":9000,"stream":true,"stream_options":{"include_usage":true},"temperature":0.5,"stop":["x"],
    "reasoning":{"effort":"low"},"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","additionalProperties":false}}},
    "tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}},
    {"type":"custom","custom":{"name":"c"}}],
    "tool_choice":{"type":"function","function":{"name":"f"}},
    "messages":[{"role":"system","content":[{"type":"text","text":"s"}]},{"role":"user","name":"n","content":[{"type":"text","text":"t"},
    {"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}},
    {"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,JVBERg=="}}]},
    {"role":"assistant","content":[{"type":"text","text":"a"},{"type":"refusal","refusal":"no"}],"reasoning_content":"h",
    "reasoning_details":[{"type":"reasoning.text","text":"h","signature":"s","format":"anthropic-claude-v1","index":0}],
    "tool_calls":[{"id":"i","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"j","type":"custom","custom":{"name":"c","input":"x"}}]},
    {"role":"tool","tool_call_id":"i","content":[{"type":"text","text":"r"}]},{"role":"tool","tool_call_id":"j","content":"r"},
    {"role":"user","content":"v"}]}"#;

/// Pointers to the objects of a request that have words of their own: not to what goes along as it is.
fn objects_of(value: &Value, pointer: String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| {
                if !matches!(key.as_str(), "input_schema" | "parameters" | "schema" | "input") {
                    objects_of(value, format!("{pointer}/{key}"), found);
                }
            });
            found.push(pointer);
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(place, item)| objects_of(item, format!("{pointer}/{place}"), found));
        }
        _ => {}
    }
}

/// The requests are long: the first difference is told.
fn same<T: PartialEq + std::fmt::Debug>(name: &str, given: &[T], back: &[T]) {
    for (place, (given, back)) in given.iter().zip(back).enumerate() {
        assert_eq!(given, back, "{name} {place}");
    }
    assert_eq!(given.len(), back.len(), "{name}");
}

/// A recorded request, what became of it, and the paths of what was lost on the way.
fn there_and_back(name: &str, one: Asking, other: Asking) -> (Value, Value, BTreeSet<String>) {
    let given =
        std::fs::read_to_string(format!("{}/tests/data/captures/{name}.body", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let (there, mut lost) = sent(one, given.as_bytes());
    let (back, more) = sent(other, there.as_bytes());
    lost.extend(more);
    (serde_json::from_str(&given).unwrap(), serde_json::from_str(&back).unwrap(), lost)
}

/// The request in the other dialect, and the paths of what was lost.
fn sent(asking: Asking, body: &[u8]) -> (String, BTreeSet<String>) {
    let to = if asking == Asking::Chat { Dialect::Messages } else { Dialect::Chat };
    let profile = Profile::parse("plain,reasoning=effort,efforts=low+medium+high").unwrap();
    let done = request(asking, to, body, &Target { model: MODEL, profile: &profile }, Terms::default()).unwrap();
    (String::from_utf8(done.body).unwrap(), done.losses.iter().map(|loss| loss.path.to_string()).collect())
}

/// Every member of the top level is as it was, or it is told that it is not.
fn told(name: &str, given: &Value, back: &Value, lost: &BTreeSet<String>, but: &[&str]) {
    for (key, value) in given.as_object().unwrap().iter().filter(|(key, _)| !but.contains(&key.as_str())) {
        let is_lost = lost.iter().any(|path| path == key || path.starts_with(&format!("{key}.")));
        assert!(back.get(key) == Some(value) || is_lost, "{name} {key}: {value} is {:?}; {lost:?}", back.get(key));
    }
}

/// Text of any spelling, without what changes with each conversation.
fn prose(content: &Value) -> String {
    let texts = blocks(content).into_iter().filter_map(|block| Some(block["text"].as_str()?.to_owned()));
    texts.filter(|text| !text.starts_with("x-anthropic-billing-header:")).collect::<Vec<_>>().join("\n\n")
}

fn blocks(content: &Value) -> Vec<Value> {
    match content {
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        Value::Array(blocks) => blocks.clone(),
        _ => Vec::new(),
    }
}

/// The turns of a Messages request: one of each side at a time, its text in one piece, instructions as Chat servers get
/// them.
fn turns(body: &Value) -> Vec<(String, Vec<Value>)> {
    let mut turns: Vec<(String, Vec<Value>)> = Vec::new();
    for message in body["messages"].as_array().unwrap() {
        let is_system = message["role"] == "system";
        let role = if is_system { "user" } else { message["role"].as_str().unwrap() };
        if turns.last().is_none_or(|(last, _)| last != role) {
            turns.push((role.to_owned(), Vec::new()));
        }
        let said = &mut turns.last_mut().unwrap().1;
        let content = match is_system {
            true => json!(format!("<system-reminder>\n{}\n</system-reminder>", prose(&message["content"]))),
            false => message["content"].clone(),
        };
        for block in blocks(&content) {
            match (block["type"].as_str().unwrap(), said.last_mut()) {
                ("thinking" | "redacted_thinking", _) => {}
                ("text", Some(Value::String(text))) => {
                    *text += if role == "user" { "\n" } else { "" };
                    *text += block["text"].as_str().unwrap();
                }
                ("text", _) => said.push(block["text"].clone()),
                ("tool_result", _) => said.push(json!([block["tool_use_id"], prose(&block["content"])])),
                ("tool_use", _) => said.push(json!([block["id"], block["name"], block["input"]])),
                (other, _) => panic!("{other}"),
            }
        }
    }
    turns
}

fn tools(body: &Value) -> Vec<Value> {
    let tools = body["tools"].as_array().into_iter().flatten();
    tools
        .map(|tool| {
            let mut schema = tool["input_schema"].as_object().unwrap().clone();
            schema.remove("$schema");
            json!([tool["name"], tool.get("description"), schema])
        })
        .collect()
}

/// Without what is said by leaving it out, or twice; `$schema` is left out on purpose.
fn functions(body: &Value) -> Vec<Map<String, Value>> {
    let functions = body["tools"].as_array().unwrap().iter().map(|tool| {
        let mut function = tool["function"].as_object().unwrap().clone();
        function.retain(|key, value| key != "strict" || *value != false);
        function["parameters"].as_object_mut().unwrap().remove("$schema");
        function
    });
    functions.collect()
}

/// The turns of a Chat request, without the spellings of nothing; Messages has one turn of each side at a time.
fn chat_turns(body: &Value) -> Vec<Map<String, Value>> {
    let mut turns: Vec<Map<String, Value>> = Vec::new();
    for turn in body["messages"].as_array().unwrap() {
        let mut turn = turn.as_object().unwrap().clone();
        turn.retain(|_, value| !matches!(value, Value::Null) && *value != "");
        match (turns.last_mut(), &turn["role"]) {
            (Some(last), Value::String(role)) if role == "user" && last["role"] == "user" => {
                let text = [last["content"].as_str().unwrap(), turn["content"].as_str().unwrap()].join("\n");
                last["content"] = text.into();
            }
            _ => turns.push(turn),
        }
    }
    turns
}
