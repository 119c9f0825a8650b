//! Requests of Chat as Messages: the rows of the rules, and what must hold whatever a client sends.

use serde_json::Value as Json;

use super::*;
use crate::dialect::chat;
use crate::dialect::profile::Profile;
use crate::json::Index;

mod conversation;
mod properties;
mod settings;

struct Sent {
    body: String,
    losses: String,
    terms: Terms,
}

fn sent(body: &str, model: &str) -> Result<Sent, Refused> {
    sent_to(body.as_bytes(), model, &Profile::default())
}

fn sent_to(body: &[u8], model: &str, profile: &Profile) -> Result<Sent, Refused> {
    let (mut index, mut losses, mut terms) = (Index::default(), Losses::default(), Terms::default());
    let value = index.read(body).unwrap();
    let request = chat::request::read(value, &mut losses)?;
    let mut out = b"kept".to_vec();
    let target = Target { model, profile };
    let written = write(&request, &target, &mut terms, &mut losses, &mut out);
    assert!(out.starts_with(b"kept") && (written.is_ok() || out.len() == 4));
    written?;
    let losses: Vec<_> = losses.iter().map(|loss| format!("{} {}", loss.path, loss.what.name())).collect();
    let body = String::from_utf8(out.split_off(4)).unwrap();
    Ok(Sent { body, losses: losses.join(", "), terms })
}

/// In what is expected `«x»` is a block of text.
fn spelt(text: &str) -> String {
    text.replace('«', "{\"type\":\"text\",\"text\":\"").replace('»', "\"}")
}

fn lines<'a>(table: &[(&'a str, &'a str)], check: impl Fn(&str, &str)) {
    for (given, expected) in table {
        check(given, &spelt(expected));
    }
}

const SONNET: &str = "claude-sonnet-4-5-20250929";

/// A conversation of Chat, and what stands behind `max_tokens` in the request that is sent.
fn conversation_of(messages: &str, model: &str) -> (String, String) {
    let sent = sent(&format!("{{\"max_tokens\":9,\"messages\":[{messages}]}}"), model).unwrap();
    let head = format!("{{\"model\":\"{model}\",\"max_tokens\":9,");
    (sent.body.strip_prefix(&head).unwrap().trim_end_matches('}').to_owned() + "}", sent.losses)
}

fn conversations(table: &[(&str, &str)], model: &str) {
    lines(table, |given, expected| {
        let (sent, losses) = conversation_of(given, model);
        let sent = sent.trim_end_matches(['}', ']']).to_owned();
        let (expected, lost) = expected.split_once(" ! ").unwrap_or((expected, ""));
        assert_eq!((sent.as_str(), losses.as_str()), (expected.trim_end_matches(['}', ']']), lost), "{given}");
    });
}

#[test]
fn refused() {
    #[rustfmt::skip]
    let table = [
        (r#"[]"#, ""),
        (r#"{}"#, "messages"),
        (r#"{"messages":"hi"}"#, "messages"),
        (r#"{"messages":["hi"]}"#, "messages.role"),
        (r#"{"messages":[{"role":"robot","content":"x"}]}"#, "messages.role"),
        (r#"{"messages":[{"role":"user","content":7}]}"#, "messages.content"),
        (r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"1"}]}]}"#, "messages.tool_calls.function"),
        (r#"{"messages":[],"n":2}"#, "n"),
        (r#"{"messages":[],"n":"2"}"#, "n"),
        (r#"{"messages":[],"modalities":["text","audio"]}"#, "modalities"),
        (r#"{"messages":[],"max_tokens":-1}"#, "max_tokens"),
        (r#"{"messages":[],"temperature":"hot"}"#, "temperature"),
        (r#"{"messages":[],"stop":7}"#, "stop"),
        (r#"{"messages":[],"stop":["a",7]}"#, "stop"),
        (r#"{"messages":[],"stream":"yes"}"#, "stream"),
        (r#"{"messages":[],"tools":{}}"#, "tools"),
        (r#"{"messages":[],"tools":[{"type":"function","function":{}}]}"#, "tools.function.name"),
        (r#"{"messages":[],"tool_choice":"some"}"#, "tool_choice"),
        (r#"{"messages":[],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}}"#, "tool_choice.allowed_tools.tools"),
        (r#"{"messages":[],"tools":[{"type":"web_search"}],"tool_choice":"required"}"#, "tool_choice"),
        (r#"{"messages":[],"tools":[{"name":"f"},{"type":"web_search"}],"tool_choice":{"type":"function","function":{"name":"web_search"}}}"#, "tool_choice"),
        (r#"{"messages":[],"tool_choice":"required"}"#, "tool_choice"),
        (r#"{"messages":[],"response_format":{"type":"grammar"}}"#, "response_format.type"),
        (r#"{"messages":[],"response_format":{"type":"json_schema"}}"#, "response_format.json_schema"),
        (r#"{"messages":[],"user":7}"#, "user"),
    ];
    for (body, path) in table {
        match sent(body, SONNET) {
            Err(refused) => assert_eq!(refused.path, path, "{body}"),
            Ok(sent) => panic!("{body}: {}", sent.body),
        }
    }
}

#[test]
fn terms() {
    let body = r#"{"messages":[{"role":"user","content":"u"}],"tools":[{"type":"custom","custom":{"name":"a.b"}}]}"#;
    let terms = sent(body, SONNET).unwrap().terms;
    assert_eq!(terms.only_tool.as_deref(), Some(&b"a.b"[..]));
    assert_eq!(terms.free_text_tools, [b"a.b"]);
    assert_eq!(terms.names.restore(b"a_b"), b"a.b");
    let body = r#"{"messages":[{"role":"user","content":"u"}],"functions":[{"name":"a"},{"name":"b"}]}"#;
    assert_eq!(sent(body, SONNET).unwrap().terms.only_tool, None);
}

#[test]
fn real_requests() {
    let capture = |name: &str| {
        let path = format!("{}/tests/data/captures/{name}.body", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let tool = r#"{"name":"Read","description":"read","input_schema":{"type":"object","required":["file_path"],"additionalProperties":false,"properties":{"file_path":{"type":"string"}}}}"#;
    let sdk = sent(&capture("node-sdk-013"), SONNET).unwrap();
    assert_eq!(
        sdk.body,
        spelt(&format!(
            r#"{{"model":"{SONNET}","max_tokens":64000,"messages":[{{"role":"user","content":[«read»]}},{{"role":"assistant","content":[{{"type":"tool_use","id":"call_mock01","name":"Read","input":{{"file_path":"x"}}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"call_mock01","content":"42"}}]}}],"tools":[{tool}],"tool_choice":{{"type":"auto"}}}}"#
        ))
    );
    assert_eq!(sdk.losses, "max_tokens invented");
    let sdk = sent(&capture("node-sdk-012"), SONNET).unwrap();
    assert!(sdk.body.contains(&format!("\"tools\":[{tool}],\"tool_choice\":{{\"type\":\"auto\"}}")), "{}", sdk.body);

    let codex = capture("codex077-chat-tool2-002");
    let sent = sent(&codex, "claude-opus-4-6").unwrap();
    holds(&sent.body);
    assert_eq!(sent.losses, "max_tokens invented");
    let (given, said): (Json, Json) =
        (serde_json::from_str(&codex).unwrap(), serde_json::from_str(&sent.body).unwrap());
    assert_eq!(said["system"][0]["text"], given["messages"][0]["content"]);
    let texts: Vec<_> = said["messages"][0]["content"].as_array().unwrap().iter().map(|block| &block["text"]).collect();
    assert_eq!(texts, [1, 2, 3].map(|place| &given["messages"][place]["content"]));
    assert_eq!(said["messages"][1]["content"][0]["input"]["command"][2], "cat note.txt");
    assert_eq!(said["messages"][2]["content"][0]["content"], given["messages"][5]["content"]);
    assert_eq!(said["tools"].as_array().unwrap().len(), given["tools"].as_array().unwrap().len());
    for (given, said) in given["tools"].as_array().unwrap().iter().zip(said["tools"].as_array().unwrap()) {
        assert_eq!(given["function"]["name"], said["name"]);
        assert_eq!(given["function"]["description"], said["description"]);
        assert_eq!(given["function"]["parameters"], said["input_schema"]);
    }
}

/// Bodies laid out over lines, and bytes that are no UTF-8, stay JSON.
#[test]
fn spelt_otherwise() {
    let body = br#"{"max_tokens" : 9, "messages" : [{"role":"user","content":"a\ud83d \u0062 ?"},
        {"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f","arguments":{
            "b" : "?"}}}]},
        {"role":"tool","tool_call_id":"1","cache_control":{
            "type":"ephemeral"},"content":[{"type":"odd", "x":
            1.0}]}],
        "tools":[{"type":"function","function":{"name":"f","parameters":{
            "type":"object",	"properties":{"b":
                {"description":"?"}}}}}],
        "response_format":{"type":"json_schema","json_schema":{"schema":{
            "type":"object", "properties":{}}}}}"#;
    let body: Vec<u8> = body.iter().map(|byte| if *byte == b'?' { 0xFF } else { *byte }).collect();
    let sent = sent_to(&body, SONNET, &Profile::default()).unwrap();
    Index::default().read(sent.body.as_bytes()).unwrap();
    for piece in [
        r"a\ud83d \u0062 �",
        "{\n            \"b\" : \"�\"}",
        r#"{\"type\":\"odd\",\"x\":1.0}"#,
        r#": {\"type\":\"object\",\"properties\":{}}"#,
    ] {
        assert!(sent.body.contains(piece), "{piece}: {}", sent.body);
    }
}

/// Through the waist and back: what Messages said is said again.
#[test]
fn round_trips() {
    for (name, model) in
        [("cc330-tool-002", "claude-opus-4-8"), ("cc-hi-002", "claude-opus-4-8"), ("node-sdk-021", SONNET)]
    {
        let given = std::fs::read(format!("{}/tests/data/captures/{name}.body", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let (mut index, mut losses, mut out) = (Index::default(), Losses::default(), Vec::new());
        let request = crate::dialect::messages::request::read(index.read(&given).unwrap(), &mut losses).unwrap();
        let target = Target { model, profile: &Profile::default() };
        write(&request, &target, &mut Terms::default(), &mut losses, &mut out).unwrap();
        let (given, said): (Json, Json) =
            (serde_json::from_slice(&given).unwrap(), serde_json::from_slice(&out).unwrap());
        // `thinking.display` has no word.
        assert_eq!(given["thinking"]["type"], said["thinking"]["type"], "{name}");
        for field in ["max_tokens", "stream", "output_config", "tool_choice", "metadata"] {
            assert_eq!(given[field], said[field], "{name} {field}");
        }
        let tools =
            |body: &Json| body["tools"].as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect::<Vec<_>>();
        assert_eq!(tools(&given), tools(&said), "{name}");
        let blocks = |content: &Json| match content {
            Json::String(text) => vec![serde_json::json!({"type": "text", "text": text})],
            blocks => blocks.as_array().unwrap().clone(),
        };
        let texts = |body: &Json| -> Vec<Json> {
            body["messages"].as_array().unwrap().iter().flat_map(|message| blocks(&message["content"])).collect()
        };
        assert_eq!(texts(&given), texts(&said), "{name}");
    }
    // And from Chat: there and back.
    let given = r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"},{"role":"assistant","content":"a","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\": 1.50}"}}]},{"role":"tool","tool_call_id":"1","content":"x"},{"role":"user","content":"v"}],"max_tokens":9}"#;
    let body = sent(given, SONNET).unwrap().body;
    let (mut index, mut losses, mut out) = (Index::default(), Losses::default(), Vec::new());
    let request = crate::dialect::messages::request::read(index.read(body.as_bytes()).unwrap(), &mut losses).unwrap();
    let target = Target { model: "m", profile: &Profile::default() };
    chat::request::write(&request, &target, &mut Terms::default(), &mut losses, &mut out).unwrap();
    let (given, said): (Json, Json) = (serde_json::from_str(given).unwrap(), serde_json::from_slice(&out).unwrap());
    assert_eq!(given["messages"], said["messages"]);
}

/// Servers of other vendors that speak Messages.
#[test]
fn profiles() {
    let body = |messages: &str| format!(r#"{{"messages":[{{"role":"user","content":"u"}},{messages}],"x":{{"y":1}}}}"#);
    let check = |messages: &str, profile: &str, piece: &str, lost: &str| {
        let sent = sent_to(body(messages).as_bytes(), "glm-5", &Profile::parse(profile).unwrap()).unwrap();
        assert!(sent.body.contains(&spelt(piece)), "{piece}: {}", sent.body);
        assert_eq!(sent.losses, lost);
    };
    let thoughts = r#"{"role":"assistant","content":"a","reasoning_content":"t"},{"role":"user","content":"v"}"#;
    check(
        thoughts,
        "deepseek",
        r#"{"type":"thinking","thinking":"t","signature":""},«a»"#,
        "max_tokens invented, x dropped",
    );
    check(thoughts, "plain,pass=x", r#""content":[«a»]"#, "messages.reasoning_content dropped, max_tokens invented");
    check(thoughts, "plain,pass=x", r#","x":{"y":1}}"#, "messages.reasoning_content dropped, max_tokens invented");
    let picture = r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://a/b"}}]}"#;
    check(
        picture,
        "plain,text_only",
        "[«u»,«[image omitted]»]",
        "messages.content.image dropped, max_tokens invented, x dropped",
    );
    // A turn that calls tools and lost its thoughts goes on thinking.
    let calls = r#"{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f"}}]},{"role":"tool","tool_call_id":"1","content":"x"}"#;
    let body = body(calls).replacen('{', r#"{"reasoning_effort":"low","#, 1);
    let sent = sent_to(body.as_bytes(), "glm-5", &Profile::default()).unwrap();
    assert!(sent.body.contains(r#""thinking":{"type":"enabled","budget_tokens":2048}"#), "{}", sent.body);
}

/// What the API demands of every request.
fn holds(body: &str) {
    let json: Json = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    let turns = json["messages"].as_array().unwrap();
    assert_eq!(turns[0]["role"], "user", "{body}");
    let mut ids = std::collections::HashSet::new();
    let mut open: Vec<String> = Vec::new();
    for (place, turn) in turns.iter().enumerate() {
        let blocks = turn["content"].as_array().unwrap();
        assert!(!blocks.is_empty(), "{body}");
        assert!(place == 0 || turns[place - 1]["role"] != turn["role"], "{body}");
        let of_kind = |kind: &'static str| blocks.iter().filter(move |block| block["type"] == kind);
        let results: Vec<_> = of_kind("tool_result").map(|block| block["tool_use_id"].as_str().unwrap()).collect();
        assert_eq!(results, open, "{body}");
        assert!(blocks[..open.len()].iter().all(|block| block["type"] == "tool_result"), "{body}");
        open = of_kind("tool_use").map(|block| block["id"].as_str().unwrap().to_owned()).collect();
        for call in of_kind("tool_use") {
            assert!(call["input"].is_object() && call["name"] != "", "{body}");
        }
        for id in &open {
            assert!(!id.is_empty() && ids.insert(id.clone()), "{body}");
        }
        let is_prefill = place + 1 == turns.len() && turn["role"] == "assistant";
        for text in of_kind("text").map(|block| block["text"].as_str().unwrap()) {
            assert!(!text.trim().is_empty(), "{body}");
        }
        let last = blocks.last().and_then(|block| block["text"].as_str());
        assert!(!is_prefill || last.is_none_or(|text| text.trim_end() == text), "{body}");
    }
    assert!(open.is_empty(), "{body}");
}
