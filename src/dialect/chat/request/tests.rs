//! Requests in Messages, written as Chat Completions.

use serde_json::{Value, json};

use crate::dialect::loss::Losses;
use crate::dialect::messages;
use crate::dialect::profile::{Profile, Target};
use crate::dialect::turn::{Refused, Terms};
use crate::json::Index;

mod conversation;
mod properties;

struct Translated {
    body: Value,
    text: String,
    losses: Vec<String>,
    terms: Terms,
}

/// What is written for a body in Messages, as it stands.
fn text_of(body: &[u8], profile: &str, model: &str) -> Result<String, Refused> {
    write(body, profile, model).map(|(text, ..)| text)
}

fn write(body: &[u8], profile: &str, model: &str) -> Result<(String, Losses, Terms), Refused> {
    let mut index = Index::default();
    let (mut losses, mut terms, mut out) = (Losses::default(), Terms::default(), Vec::new());
    let request = messages::request::read(index.read(body).unwrap(), &mut losses)?;
    let profile = Profile::parse(profile).unwrap();
    super::write(&request, &Target { model, profile: &profile }, &mut terms, &mut losses, &mut out)?;
    Ok((String::from_utf8(out).unwrap(), losses, terms))
}

/// A body in Messages for a provider of that profile and model.
fn translate(body: &[u8], profile: &str, model: &str) -> Result<Translated, Refused> {
    let (text, losses, terms) = write(body, profile, model)?;
    let body = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let losses = losses.iter().map(|loss| format!("{} {}", loss.what.name(), loss.path)).collect();
    Ok(Translated { body, text, losses, terms })
}

/// A request of these members beside the usual ones.
fn request(members: Value) -> Vec<u8> {
    let mut body = json!({"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    serde_json::to_vec(&body).unwrap()
}

fn written(members: Value, profile: &str, model: &str) -> Translated {
    translate(&request(members.clone()), profile, model).unwrap_or_else(|refused| panic!("{members}: {refused:?}"))
}

/// The messages that a conversation becomes.
fn said(messages: Value, profile: &str) -> Value {
    written(json!({"messages": messages}), profile, "m").body["messages"].take()
}

fn refused(members: Value, profile: &str) -> String {
    match translate(&request(members.clone()), profile, "m") {
        Err(refused) => refused.path.into_owned(),
        Ok(translated) => panic!("{members}: {}", translated.body),
    }
}

#[test]
fn captures() {
    for name in ["cc-hi-002", "cc330-hi-001", "cc330-tool-002"] {
        let sent = std::fs::read(format!("tests/data/captures/{name}.body")).unwrap();
        let given: Value = serde_json::from_slice(&sent).unwrap();
        let Translated { body, losses, terms, .. } = translate(&sent, "plain", "m").unwrap();
        assert_eq!(
            (&body["model"], &body["stream"], &body["max_tokens"]),
            (&json!("m"), &json!(true), &given["max_tokens"])
        );
        assert_eq!(body["stream_options"], json!({"include_usage": true}));
        let allowed = ["model", "tools", "messages", "max_tokens", "stream", "stream_options"];
        assert!(body.as_object().unwrap().keys().all(|key| allowed.contains(&key.as_str())), "{name}");
        // The instructions are one message, their blocks in order.
        let system: Vec<_> =
            given["system"].as_array().unwrap().iter().map(|block| block["text"].as_str().unwrap()).collect();
        assert_eq!(body["messages"][0], json!({"role": "system", "content": system.join("\n\n")}), "{name}");
        let tools = given["tools"].as_array().unwrap();
        assert_eq!(body["tools"].as_array().unwrap().len(), tools.len());
        for (tool, was) in body["tools"].as_array().unwrap().iter().zip(tools) {
            let function = &tool["function"];
            assert_eq!((&function["name"], &function["description"]), (&was["name"], &was["description"]));
            assert_eq!(function["parameters"]["properties"], was["input_schema"]["properties"]);
            assert!(function["parameters"].get("$schema").is_none() && function["parameters"]["type"] == "object");
        }
        // What stood in mid-conversation stands there still.
        let reminder = &given["messages"][1]["content"];
        let reminder = reminder.as_str().or_else(|| reminder[0]["text"].as_str()).unwrap();
        let user = body["messages"][1]["content"].as_str().unwrap();
        assert!(user.ends_with(&format!("\n<system-reminder>\n{reminder}\n</system-reminder>")), "{name}");
        for lost in
            ["dropped thinking", "dropped metadata.user_id", "dropped context_management", "approximated messages.role"]
        {
            assert!(losses.iter().any(|loss| loss == lost), "{name}: {losses:?}");
        }
        assert!(terms.thinking && terms.only_tool.is_none());
        if name == "cc330-tool-002" {
            let call = json!([{"id": "toolu_mock01", "type": "function", "function": {"name": "Read",
                "arguments": serde_json::to_string(&given["messages"][2]["content"][1]["input"]).unwrap()}}]);
            assert_eq!(
                body["messages"][2],
                json!({"role": "assistant", "content": "Let me look.", "tool_calls": call})
            );
            let result = &given["messages"][3]["content"][0]["content"];
            assert_eq!(body["messages"][3], json!({"role": "tool", "content": result, "tool_call_id": "toolu_mock01"}));
        }
    }
}

/// translate.md §1.1.
#[test]
fn top_level() {
    #[rustfmt::skip]
    let table = [
        (json!({"max_tokens": 2000, "temperature": 0.20, "top_p": 1}), "plain", "m", json!({"max_tokens": 2000, "temperature": 0.2, "top_p": 1}), ""),
        (json!({"max_tokens": 2000, "temperature": 0.2, "stop_sequences": ["X"]}), "openai", "gpt-5-mini", json!({"max_completion_tokens": 2000}), "dropped temperature, dropped stop_sequences"),
        (json!({"max_tokens": 0}), "plain", "m", json!({"max_tokens": 1}), "approximated max_tokens"),
        (json!({"max_tokens": 64000}), "openai", "gpt-4o", json!({"max_tokens": 16384}), "approximated max_tokens"),
        (json!({"max_tokens": 64000}), "plain,output_max=4096", "m", json!({"max_tokens": 4096}), "approximated max_tokens"),
        (json!({"top_k": 5}), "plain", "m", json!({"max_tokens": 9}), "dropped top_k"),
        (json!({"top_k": 5}), "llamacpp,thinking_off=off", "m", json!({"max_tokens": 9, "top_k": 5}), ""),
        (json!({"stop_sequences": ["X"]}), "plain", "m", json!({"max_tokens": 9, "stop": ["X"]}), ""),
        (json!({"stop_sequences": []}), "plain", "m", json!({"max_tokens": 9}), ""),
        (json!({"stop_sequences": ["a", "b", "c", "d", "e"]}), "openai", "gpt-4o", json!({"max_tokens": 9, "stop": ["a", "b", "c", "d"]}), "dropped stop_sequences"),
        (json!({"stream": true}), "plain", "m", json!({"max_tokens": 9, "stream": true, "stream_options": {"include_usage": true}}), ""),
        (json!({"stream": true}), "plain,stream_options=off", "m", json!({"max_tokens": 9, "stream": true}), ""),
        (json!({"stream": false}), "plain", "m", json!({"max_tokens": 9}), ""),
        (json!({"metadata": {"user_id": "u", "x": 1}}), "plain", "m", json!({"max_tokens": 9}), "dropped metadata.x, dropped metadata.user_id"),
        (json!({"metadata": {"user_id": "abc"}}), "plain,user", "m", json!({"max_tokens": 9, "user": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}), "approximated metadata.user_id"),
        (json!({"service_tier": "auto", "speed": null, "container": null, "mcp_servers": []}), "plain", "m", json!({"max_tokens": 9}), "dropped service_tier"),
        (json!({"min_p": 0.1, "seed": 3}), "plain,pass=min_p", "m", json!({"max_tokens": 9, "min_p": 0.1}), "dropped seed"),
        (json!({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}), "openai", "gpt-4o",
         json!({"max_tokens": 9, "response_format": {"type": "json_schema", "json_schema": {"name": "response", "schema": {"type": "object"}, "strict": true}}}), ""),
        (json!({"output_format": {"type": "json_schema", "schema": {"type": "object"}}}), "plain", "m",
         json!({"max_tokens": 9, "response_format": {"type": "json_schema", "json_schema": {"name": "response", "schema": {"type": "object"}}}}), ""),
        (json!({"output_config": {"effort": "most"}, "thinking": {"type": "hard"}}), "zai,thinking_off=off", "glm-5.3", json!({"max_tokens": 9}), "dropped output_config.effort, dropped thinking.type"),
        (json!({"tools": [], "tool_choice": {"type": "auto"}}), "plain", "m", json!({"max_tokens": 9}), ""),
    ];
    for (members, profile, model, want, lost) in table {
        let mut translated = written(members.clone(), profile, model);
        let body = translated.body.as_object_mut().unwrap();
        assert_eq!(body.remove("model"), Some(json!(model)));
        assert_eq!(body.remove("messages"), Some(json!([{"role": "user", "content": "hi"}])), "{members}");
        assert_eq!(
            (&translated.body, translated.losses.join(", ").as_str()),
            (&want, lost),
            "{members} {profile} {model}"
        );
    }
    // Numbers keep their spelling.
    let text =
        translate(br#"{"max_tokens":9,"temperature":0.20,"messages":[{"role":"user","content":"hi"}]}"#, "plain", "m")
            .unwrap()
            .text;
    assert!(text.contains(r#""temperature":0.20"#), "{text}");
    // A server without schemas is told in words.
    let translated = written(json!({"output_format": {"type": "json_schema", "schema": {"a": "\""}}}), "zai", "glm-5");
    assert_eq!(translated.body["response_format"], json!({"type": "json_object"}));
    let system = translated.body["messages"][0]["content"].as_str().unwrap();
    assert!(system.ends_with(r#"JSON schema: {"a":"\""}"#), "{system}");
}

#[test]
fn what_is_refused() {
    let user = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
    let hi = json!([{"role": "user", "content": "hi"}]);
    #[rustfmt::skip]
    let table = [
        (json!({"max_tokens": null}), "max_tokens"),
        (json!({"max_tokens": "9"}), "max_tokens"),
        (json!({"max_tokens": -1}), "max_tokens"),
        (json!({"messages": null}), "messages"),
        (json!({"messages": {}}), "messages"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": [{"role": "user", "content": "  \n"}]}), "messages"),
        (json!({"messages": [{"content": "hi"}]}), "messages.role"),
        (json!({"messages": [{"role": "tool", "content": "hi"}]}), "messages.role"),
        (json!({"messages": [{"role": "user"}]}), "messages.content"),
        (user(json!(3)), "messages.content"),
        (user(json!([{"text": "x"}])), "messages.content.type"),
        (user(json!([{"type": "text", "text": 3}])), "messages.content.text"),
        (user(json!([{"type": "image"}])), "messages.content.source"),
        (user(json!([{"type": "image", "source": {"type": "base64", "data": "x"}}])), "messages.content.source.media_type"),
        (user(json!([{"type": "image", "source": {"type": "file", "file_id": "f"}}])), "messages.content.source"),
        (user(json!([{"type": "document", "source": {"type": "file", "file_id": "f"}}])), "messages.content.source"),
        (user(json!([{"type": "document", "source": {"type": "url", "url": "http://a/b.pdf"}}])), "messages.content.source"),
        (user(json!([{"type": "container_upload", "file_id": "f"}])), "messages.content"),
        (user(json!([{"type": "tool_result", "content": "x"}])), "messages.content.tool_use_id"),
        (json!({"system": 3}), "system"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"stop_sequences": "X"}), "stop_sequences"),
        (json!({"stop_sequences": [1]}), "stop_sequences"),
        (json!({"thinking": {"type": "enabled"}}), "thinking.budget_tokens"),
        (json!({"thinking": {"type": 3}}), "thinking.type"),
        (json!({"output_config": {"effort": 3}}), "output_config.effort"),
        (json!({"output_format": {"type": "xml"}}), "output_format.type"),
        (json!({"tools": {}}), "tools"),
        (json!({"tools": [{"input_schema": {}}]}), "tools.name"),
        (json!({"tools": [{"type": "computer_toolset_20260801"}]}), "tools.type"),
        (json!({"tool_choice": {"type": "some"}}), "tool_choice.type"),
        (json!({"tool_choice": {"type": "tool"}}), "tool_choice.name"),
        (json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}], "tool_choice": {"type": "tool", "name": "web_search"}}), "tool_choice"),
        (json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}], "tool_choice": {"type": "any"}}), "tool_choice"),
        (json!({"mcp_servers": [{"type": "url"}], "messages": hi}), "mcp_servers"),
    ];
    for (members, path) in table {
        assert_eq!(refused(members.clone(), "plain"), path, "{members}");
    }
    assert_eq!(
        refused(
            user(
                json!([{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "x"}}])
            ),
            "vllm"
        ),
        "messages.content.source"
    );
    let mut index = Index::default();
    let mut losses = Losses::default();
    let counted = messages::request::read_to_count(
        index.read(br#"{"messages":[{"role":"user","content":"x"}]}"#).unwrap(),
        &mut losses,
    );
    assert_eq!(counted.unwrap().max_tokens, None);
    assert!(messages::request::read(index.read(b"[]").unwrap(), &mut losses).is_err());
}

/// The client's mark for its vendor's accounting is no instruction, and would spoil every cache.
#[test]
fn instructions() {
    let system = json!([{"type": "text", "text": "x-anthropic-billing-header: cc_version=2; cch=ab12;"},
        {"type": "text", "text": "a"}, {"type": "text", "text": ""}, {"type": "text", "text": "b"}]);
    assert_eq!(
        written(json!({"system": system}), "plain", "m").body["messages"][0],
        json!({"role": "system", "content": "a\n\nb"})
    );
    assert_eq!(
        written(json!({"system": "s"}), "plain", "m").body["messages"][0],
        json!({"role": "system", "content": "s"})
    );
    for nothing in [json!(""), json!([]), json!([{"type": "text", "text": "x-anthropic-billing-header: y"}])] {
        assert_eq!(written(json!({"system": nothing}), "plain", "m").body["messages"][0]["role"], "user");
    }
}

/// translate.md §1.4, pitfalls 42, 43, 47.
#[test]
fn tools() {
    let empty = json!({"type": "object", "properties": {}});
    #[rustfmt::skip]
    let schemas = [
        (Value::Null, "plain", empty.clone()),
        (json!("x"), "plain", empty.clone()),
        (json!({}), "plain", empty.clone()),
        (json!({"type": "object"}), "plain", empty.clone()),
        (json!({"$schema": "s", "type": "object", "properties": {"a": {"$schema": "kept"}}}), "plain", json!({"type": "object", "properties": {"a": {"$schema": "kept"}}})),
        (json!({"type": "string", "properties": [], "additionalProperties": false}), "plain", json!({"type": "object", "properties": {}, "additionalProperties": false})),
        (json!({"anyOf": [{"required": ["a"]}]}), "plain", json!({"type": "object", "properties": {}, "anyOf": [{"required": ["a"]}]})),
        (json!({"description": "d", "properties": {"a": {"type": "string"}}, "required": ["z"], "anyOf": [{"properties": {"a": {}, "b": {}}, "required": ["a", "b"]}, {"required": ["b"]}], "allOf": [{"required": ["c"]}]}), "plain,merge_unions",
         json!({"type": "object", "description": "d", "properties": {"a": {"type": "string"}, "b": {}}, "required": ["z", "c", "b"]})),
        (json!({"type": "object", "properties": {"a": {"const": "x"}}, "additionalProperties": false}), "gemini", json!({"type": "object", "properties": {"a": {"enum": ["x"]}}})),
    ];
    for (schema, profile, want) in schemas {
        let body = written(json!({"tools": [{"name": "f", "input_schema": schema}]}), profile, "m").body;
        assert_eq!(body["tools"][0]["function"]["parameters"], want, "{schema}");
    }
    let tool = json!({"type": "custom", "name": "f", "description": "d", "strict": true, "defer_loading": true, "input_schema": empty});
    let other = json!({"name": "g", "input_schema": empty});
    let translated = written(json!({"tools": [tool]}), "openai", "gpt-4o");
    assert_eq!(
        translated.body["tools"],
        json!([{"type": "function", "function": {"name": "f", "description": "d", "parameters": empty, "strict": true}}])
    );
    assert_eq!(translated.losses, ["dropped tools.defer_loading"]);
    assert_eq!(translated.terms.only_tool.as_deref(), Some(&b"f"[..]));
    let translated = written(json!({"tools": [tool, other]}), "plain", "m");
    assert!(translated.body["tools"][0]["function"].get("strict").is_none() && translated.terms.only_tool.is_none());
    assert_eq!(translated.losses, ["dropped tools.defer_loading", "dropped tools.strict"]);
    // A vendor's.
    let vendor = |kind: &str, name: &str| json!({"type": kind, "name": name});
    let body = written(
        json!({"tools": [vendor("web_search_20250305", "web_search"), vendor("bash_20250124", "bash"), vendor("text_editor_20250728", "str_replace_based_edit_tool")]}),
        "plain",
        "m",
    );
    let names: Vec<_> =
        body.body["tools"].as_array().unwrap().iter().map(|tool| tool["function"]["name"].clone()).collect();
    assert_eq!(names, ["bash", "str_replace_based_edit_tool"]);
    assert_eq!(body.losses[0], "dropped tools.web_search_20250305");
    let body = written(json!({"tools": [vendor("web_search_20250305", "web_search")], "tool_choice": {"type": "auto", "disable_parallel_tool_use": true}}), "plain", "m").body;
    assert!(["tools", "tool_choice", "parallel_tool_calls"].iter().all(|key| body.get(key).is_none()), "{body}");
    // Names that the other dialect does not allow are the same wherever they stand.
    let name = format!("mcp.files/{}", "n".repeat(70));
    let translated = written(
        json!({"tools": [{"name": name, "input_schema": empty}], "tool_choice": {"type": "tool", "name": name},
               "messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": name, "input": {}}]}]}),
        "plain",
        "m",
    );
    let sent = &translated.body["tools"][0]["function"]["name"];
    assert!(sent.as_str().unwrap().len() == 64);
    assert_eq!(&translated.body["tool_choice"]["function"]["name"], sent);
    assert_eq!(&translated.body["messages"][0]["tool_calls"][0]["function"]["name"], sent);
    assert_eq!(translated.terms.names.restore(sent.as_str().unwrap().as_bytes()), name.as_bytes());
}

#[test]
fn tool_choice() {
    #[rustfmt::skip]
    let table = [
        (json!({"type": "auto"}), "plain", json!("auto"), Value::Null),
        (json!({"type": "any"}), "plain", json!("required"), Value::Null),
        (json!({"type": "none"}), "plain", json!("none"), Value::Null),
        (json!({"type": "tool", "name": "f"}), "plain", json!({"type": "function", "function": {"name": "f"}}), Value::Null),
        (json!({"type": "auto", "disable_parallel_tool_use": true}), "plain", json!("auto"), json!(false)),
        (json!({"type": "auto", "disable_parallel_tool_use": false}), "plain", json!("auto"), Value::Null),
        (json!({"type": "any", "disable_parallel_tool_use": true}), "plain,parallel_tool_calls=off", json!("required"), Value::Null),
        (json!({"type": "any"}), "zai", json!("auto"), Value::Null),
        (Value::Null, "plain", Value::Null, Value::Null),
    ];
    for (choice, profile, want, parallel) in table {
        let body = written(json!({"tools": [{"name": "f"}], "tool_choice": choice}), profile, "m").body;
        assert_eq!((&body["tool_choice"], &body["parallel_tool_calls"]), (&want, &parallel), "{choice}");
    }
    let body =
        written(json!({"tools": [{"name": "f"}], "tool_choice": {"type": "none"}, "stream": true}), "zai", "glm-5")
            .body;
    assert!(body.get("tools").is_none() && body.get("tool_choice").is_none() && body.get("tool_stream").is_none());
    let body = written(json!({"tools": [{"name": "f"}], "stream": true}), "zai", "glm-5").body;
    assert_eq!((&body["tool_stream"], body.get("stream_options")), (&json!(true), None));
}

/// translate.md §1.5.
#[test]
fn thinking() {
    let off = json!({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}});
    let budget = |tokens: u32| json!({"thinking": {"type": "enabled", "budget_tokens": tokens}});
    let adaptive = json!({"thinking": {"type": "adaptive"}});
    let both = |effort: &str| json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": effort}});
    let effort = |effort: &str| json!({"output_config": {"effort": effort}});
    let said = |effort: &str| json!({"reasoning_effort": effort});
    let switch = |key: &str, on: bool| json!({"chat_template_kwargs": {key: on}});
    let (enabled, disabled) = (json!({"type": "enabled"}), json!({"type": "disabled"}));
    #[rustfmt::skip]
    let table = [
        (json!({}), "openai", "gpt-5.2", json!({})), (off.clone(), "openai", "gpt-5.2", said("none")), (off.clone(), "openai", "gpt-5", said("minimal")),
        (off.clone(), "openai", "o3", said("low")), (off.clone(), "openai", "gpt-4o", json!({})),
        (budget(1024), "openai", "gpt-5", said("low")), (budget(4096), "openai", "gpt-5", said("medium")), (budget(16384), "openai", "gpt-5", said("high")),
        (budget(32768), "openai", "gpt-5", said("high")), (budget(32768), "openai", "gpt-5.2", said("xhigh")),
        (both("max"), "openai", "gpt-5.2", said("xhigh")), (both("low"), "openai", "o3", said("low")), (adaptive.clone(), "openai", "gpt-5", json!({})),
        (effort("xhigh"), "openai", "gpt-5", said("high")), (both("high"), "openai", "gpt-4o", json!({})),
        (json!({}), "zai", "glm-5.3", json!({"thinking": disabled})), (json!({}), "zai,thinking_off=off", "glm-5.3", json!({})),
        (off.clone(), "deepseek", "deepseek-v4", json!({"thinking": disabled})), (budget(9000), "zai", "glm-4.6", json!({"thinking": enabled})),
        (both("medium"), "zai", "glm-5.3", json!({"thinking": enabled, "reasoning_effort": "low"})), (both("max"), "deepseek", "deepseek-v4", json!({"thinking": enabled, "reasoning_effort": "max"})),
        (effort("high"), "deepseek", "deepseek-v4", said("high")), (effort("high"), "zai", "glm-4.6", json!({"thinking": disabled})),
        (json!({}), "vllm", "qwen3", switch("enable_thinking", false)), (adaptive.clone(), "vllm", "qwen3", switch("enable_thinking", true)),
        (budget(2048), "vllm", "DeepSeek-V3.1", switch("thinking", true)), (off.clone(), "nim", "deepseek-ai/deepseek-v3.1", switch("thinking", false)),
        (both("high"), "vllm", "gpt-oss-20b", said("high")), (json!({}), "nim", "llama", json!({})),
        (json!({}), "openrouter", "m", json!({})), (off.clone(), "openrouter", "m", json!({"reasoning": {"enabled": false}})), (budget(2048), "openrouter", "m", json!({"reasoning": {"max_tokens": 2048}})),
        (both("max"), "openrouter", "m", json!({"reasoning": {"effort": "xhigh"}})), (adaptive.clone(), "openrouter", "m", json!({"reasoning": {"enabled": true}})), (effort("low"), "openrouter", "m", json!({"reasoning": {"effort": "low"}})),
        (budget(2048), "dashscope", "qwen3-max", json!({"enable_thinking": true, "thinking_budget": 2048})), (json!({}), "dashscope", "qwen3-max", json!({"enable_thinking": false})),
        (json!({}), "ollama", "qwen3", said("none")), (both("high"), "ollama", "qwen3", json!({})), (both("high"), "plain", "m", json!({})),
    ];
    const WORDS: [&str; 6] =
        ["reasoning_effort", "thinking", "chat_template_kwargs", "reasoning", "enable_thinking", "thinking_budget"];
    for (members, profile, model, want) in table {
        let translated = written(members.clone(), profile, model);
        let found: serde_json::Map<_, _> = translated
            .body
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, _)| WORDS.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        assert_eq!(Value::Object(found), want, "{members} {profile} {model}");
        let kind = members["thinking"]["type"].as_str();
        assert_eq!(translated.terms.thinking, matches!(kind, Some("enabled" | "adaptive")), "{members}");
    }
    // Beside tools.
    let mut members = both("high");
    members["tools"] = json!([{"name": "f"}]);
    assert!(written(members.clone(), "openai", "gpt-5.4").body.get("reasoning_effort").is_none());
    assert_eq!(written(members.clone(), "openai", "gpt-5.6-sol").body["reasoning_effort"], "none");
    assert_eq!(written(members, "openai", "gpt-5").body["reasoning_effort"], "high");
    let noted = written(json!({"thinking": {"type": "between_tools"}}), "deepseek", "deepseek-v4");
    assert_eq!((&noted.body["thinking"], noted.losses), (&disabled, vec!["approximated thinking.type".to_owned()]));
}

/// translate.md §1.6.
#[test]
fn pictures_and_documents() {
    let said = |block: Value, profile: &str| {
        said(json!([{"role": "user", "content": [block]}]), profile)[0]["content"].clone()
    };
    let document = |source: Value| json!({"type": "document", "title": "T", "context": "C", "source": source});
    let base64 = |kind: &str| json!({"type": "base64", "media_type": kind, "data": "QUJD"});
    #[rustfmt::skip]
    let table = [
        (json!({"type": "image", "source": base64("image/png")}), "plain", json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}])),
        (json!({"type": "image", "source": {"type": "url", "url": "https://i/\u{e9}"}}), "plain", json!([{"type": "image_url", "image_url": {"url": "https://i/\u{e9}"}}])),
        (json!({"type": "image", "source": base64("image/png")}), "plain,text_only", json!("[image omitted]")),
        (document(base64("application/pdf")), "plain", json!([{"type": "file", "file": {"filename": "T", "file_data": "data:application/pdf;base64,QUJD"}}])),
        (json!({"type": "document", "source": base64("application/pdf")}), "openai", json!([{"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,QUJD"}}])),
        (document(json!({"type": "text", "media_type": "text/plain", "data": "D\nE"})), "plain", json!("T\nC\nD\nE")),
        (document(json!({"type": "content", "content": "D"})), "plain", json!("T\nC\nD")),
        (document(json!({"type": "content", "content": [{"type": "text", "text": "D"}, {"type": "image", "source": {"type": "url", "url": "u"}}]})), "plain",
         json!([{"type": "text", "text": "T\nC"}, {"type": "text", "text": "D"}, {"type": "image_url", "image_url": {"url": "u"}}])),
        (document(json!({"type": "url", "url": "http://d"})), "plain,document_links", json!("T\nC\nhttp://d")),
        (json!({"type": "search_result", "source": "http://s", "title": "T", "content": [{"type": "text", "text": "x"}], "citations": {"enabled": true}}), "plain", json!("T\nhttp://s\nx")),
    ];
    for (block, profile, want) in table {
        assert_eq!(said(block.clone(), profile), want, "{block} {profile}");
    }
}

/// Strings are carried as they are spelt: any escape, half a pair, what is no UTF-8; inputs keep their numbers and order.
#[test]
fn bytes_are_carried() {
    let body = b"{\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"caf\\u00e9 \\ud83d \\/ \\n \xff!\"},\
        {\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\",\"input\":{\"z\":1.0,\n \"a\":12345678901234567890, \"s\":\"x\\ny \"}}]}]}";
    let text = text_of(body, "plain", "m").unwrap();
    assert!(text.contains("caf\\u00e9 \\ud83d \\/ \\n \u{FFFD}!"), "{text}");
    assert!(text.contains(r#""arguments":"{\"z\":1.0,\"a\":12345678901234567890,\"s\":\"x\\ny \"}""#), "{text}");
}
