//! What the waist holds of a request; what becomes of it elsewhere is tested with the writers.

use super::*;
use crate::dialect::turn::{Block, Content, DocumentSource, Input, Source, ToolChoice, ToolKind};
use crate::json::Index;

fn string(text: &[u8]) -> &str {
    std::str::from_utf8(text).unwrap()
}

/// A block in short.
fn short(block: &Block<'_>) -> String {
    let optional = |text: &Option<Text<'_>>| text.as_deref().map_or(String::new(), |text| format!(" {}", string(text)));
    let source = |source: &Source<'_>| match source {
        Source::Base64 { media_type, data } => format!("{} {}", string(media_type), string(data)),
        Source::Url(url) => string(url).to_owned(),
        Source::File(id) => format!("#{}", string(id)),
    };
    let content = match &block.content {
        Content::Text(text) => format!("text {}", string(text)),
        Content::Image { source: from, detail } => format!("image {}{}", source(from), optional(detail)),
        Content::Document(document) => match &document.source {
            DocumentSource::File(from) => format!("file {}{}", source(from), optional(&document.title)),
            other => panic!("{other:?}"),
        },
        Content::ToolCall(call) => match &call.input {
            Input::Text(text) => format!("call {} {} '{}'", string(&call.id), string(&call.name), string(text)),
            Input::Json(raw) => format!("call {} {} {}", string(&call.id), string(&call.name), string(raw)),
        },
        Content::ToolResult(result) => {
            let content: Vec<_> = result.content.iter().map(short).collect();
            format!("result {} [{}]", string(&result.id), content.join(", "))
        }
        Content::Thinking { text, signature } => format!("thinking {}{}", string(text), optional(signature)),
        Content::RedactedThinking(data) => format!("redacted {}", string(data)),
        Content::Refusal(text) => format!("refusal {}", string(text)),
        Content::Other { kind, raw } => format!("other {} {}", string(kind), string(raw.raw())),
    };
    match block.cache_control {
        Some(mark) => format!("{content} {}", string(mark)),
        None => content,
    }
}

#[test]
fn turns() {
    #[rustfmt::skip]
    let table = [
        (r#"{"role":"user","content":"a\n"}"#, "User: text a\\n"),
        (r#"{"role":"developer","content":["a",{"type":"text","text":"b"}],"cache_control":{"type":"ephemeral"}}"#, "System: text a | text b {\"type\":\"ephemeral\"}"),
        (r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"https:\/\/a","detail":"low"}},{"type":"file","file":{"file_id":"f","filename":"n"}}]}"#,
         r"User: image https:\/\/a low | file #f n"),
        (r#"{"role":"user","content":[{"type":"input_audio","input_audio":{"format":"wav"}}]}"#,
         r#"User: other input_audio {"type":"input_audio","input_audio":{"format":"wav"}}"#),
        (r#"{"role":"assistant","content":null,"reasoning_content":"","reasoning":"r","tool_calls":[{"id":"1","function":{"name":"f","arguments":"{\"a\":1}"}},{"function":{"name":"g","arguments":{"b": 2}}}]}"#,
         r#"Assistant: thinking r | call 1 f '{\"a\":1}' | call  g {"b": 2}"#),
        (r#"{"role":"assistant","reasoning_content":"one","reasoning":"two","content":"a","refusal":"no","function_call":{"name":"f"}}"#,
         "Assistant: thinking one | text a | refusal no | call  f ''"),
        (r#"{"role":"assistant","reasoning_content":"one","reasoning_details":[{"type":"reasoning.summary","summary":"s"},{"type":"reasoning.encrypted","data":"d","format":"anthropic-claude-v1"}]}"#,
         "Assistant: thinking s | redacted d"),
        (r#"{"role":"assistant","reasoning_content":"one","reasoning_details":[{"type":"reasoning.encrypted","data":"d","format":"xai-responses-v1"}]}"#,
         "Assistant: thinking one"),
        (r#"{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"a"}]},{"type":"thinking","thinking":"b","signature":"s"},{"type":"refusal","refusal":"no"}]}"#,
         "Assistant: thinking a | thinking b s | refusal no"),
        (r#"{"role":"assistant","tool_calls":[{"id":"1","type":"custom","custom":{"name":"sh","input":"ls \"a\""}}]}"#,
         r#"Assistant: call 1 sh '{\"input\":\"ls \\\"a\\\"\"}'"#),
        (r#"{"role":"tool","tool_call_id":"1","content":[{"type":"text","text":"x","cache_control":{}}]}"#, "User: result 1 [text x] {}"),
        (r#"{"role":"function","name":"f","content":"x"}"#, "User: result  [text x]"),
        (r#"{"role":"user"}"#, "User: "),
    ];
    for (message, expected) in table {
        let body = format!("{{\"messages\":[{message}]}}");
        let (mut index, mut losses) = (Index::default(), Losses::default());
        let request = read(index.read(body.as_bytes()).unwrap(), &mut losses).unwrap();
        let turn = &request.turns[0];
        let blocks: Vec<_> = turn.blocks.iter().map(short).collect();
        assert_eq!(format!("{:?}: {}", turn.role, blocks.join(" | ")), expected);
    }
}

#[test]
fn fields() {
    let body = br#"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true},"max_tokens":1e1,
        "temperature":0.10,"top_p":1.0,"top_k":5,"stop":["\n","b"],"user":"u","reasoning_effort":"minimal","seed":1,"caf\u00e9":[],
        "response_format":{"type":"json_schema","json_schema":{"name":"n","strict":false,"schema":{"type" : "object"}}},
        "tools":[{"type":"function","function":{"name":"f","strict":null}},{"type":"custom","custom":{"name":"c"}},
        {"type":"web_search","name":"w"}],"tool_choice":{"type":"custom","custom":{"name":"c"}},"parallel_tool_calls":false}"#;
    let (mut index, mut losses) = (Index::default(), Losses::default());
    let request = read(index.read(body).unwrap(), &mut losses).unwrap();
    assert!(losses.is_empty() && request.stream && request.usage_wanted);
    assert_eq!(
        (request.max_tokens, request.parallel_tools, request.effort),
        (Some(10), Some(false), Some(Effort::Minimal))
    );
    let numbers = [request.temperature, request.top_p, request.top_k].map(|raw| string(raw.unwrap()));
    assert_eq!(numbers, ["0.10", "1.0", "5"]);
    assert_eq!(request.stop, [&b"\\n"[..], b"b"]);
    assert_eq!(request.others.iter().map(|(name, _)| string(name)).collect::<Vec<_>>(), ["seed", "caf\\u00e9"]);
    let Some(Format::JsonSchema { name: Some(name), schema, strict: Some(false) }) = &request.format else { panic!() };
    assert_eq!((string(name), schema.raw()), ("n", &br#"{"type" : "object"}"#[..]));
    let [function, custom, vendor] = request.tools.as_slice() else { panic!() };
    assert!(matches!(&function.kind, ToolKind::Function(None)) && function.strict.is_none());
    assert!(matches!(&custom.kind, ToolKind::Custom(raw) if raw.raw() == br#"{"name":"c"}"#) && *custom.name == *b"c");
    assert!(matches!(&vendor.kind, ToolKind::Vendor { kind, .. } if **kind == *b"web_search") && *vendor.name == *b"w");
    assert!(matches!(&request.tool_choice, Some(ToolChoice::Tool(name)) if **name == *b"c"));
}

#[test]
fn what_stands_beside_a_function() {
    #[rustfmt::skip]
    let table: [(&str, &[&str]); 4] = [
        (r#"{"type":"function","function":{"name":"f"},"cache_control":{},"strict":null}"#, &[]),
        (r#"{"type":"function","function":{"name":"f"},"name":"f"}"#, &[]),
        (r#"{"type":"function","function":{"name":"f","x":1},"name":"g","strict":true}"#, &["tools.name", "tools.strict", "tools.function.x"]),
        (r#"{"type":"function","name":"f","x":1}"#, &["tools.function.x"]),
    ];
    for (tool, lost) in table {
        let body = format!("{{\"messages\":[],\"tools\":[{tool}]}}");
        let (mut index, mut losses) = (Index::default(), Losses::default());
        read(index.read(body.as_bytes()).unwrap(), &mut losses).unwrap();
        assert_eq!(losses.iter().map(|loss| &*loss.path).collect::<Vec<_>>(), lost, "{tool}");
    }
}

#[test]
fn efforts() {
    #[rustfmt::skip]
    let table = [
        (r#""reasoning_effort":"none""#,                                    Some(Effort::None), None),
        (r#""reasoning":{"effort":"high"}"#,                                Some(Effort::High), None),
        (r#""reasoning_effort":"low","reasoning":{"effort":"high"}"#,       Some(Effort::Low), None),
        (r#""reasoning":{"max_tokens":2000,"exclude":false}"#,              None, Some(Thinking::Budget(2000))),
        (r#""reasoning":{"enabled":false}"#,                                None, Some(Thinking::Disabled)),
        (r#""reasoning":{"enabled":true}"#,                                 None, Some(Thinking::Adaptive)),
        (r#""thinking":{"type":"disabled"}"#,                               None, Some(Thinking::Disabled)),
        (r#""thinking":{"type":"enabled","budget_tokens":5}"#,              None, Some(Thinking::Budget(5))),
        (r#""thinking":{"type":"enabled"},"reasoning_effort":"max""#,       Some(Effort::Max), Some(Thinking::Adaptive)),
    ];
    for (fields, effort, thinking) in table {
        let body = format!("{{\"messages\":[],{fields}}}");
        let (mut index, mut losses) = (Index::default(), Losses::default());
        let request = read(index.read(body.as_bytes()).unwrap(), &mut losses).unwrap();
        assert_eq!((request.effort, request.thinking), (effort, thinking), "{fields}");
        assert!(losses.is_empty(), "{fields}");
    }
    for (fields, path) in [
        (r#""reasoning":{"exclude":true}"#, "reasoning.exclude"),
        (r#""thinking":{"type":"sometimes"}"#, "thinking"),
        (r#""reasoning_effort":3"#, "reasoning_effort"),
    ] {
        let body = format!("{{\"messages\":[],{fields}}}");
        let (mut index, mut losses) = (Index::default(), Losses::default());
        read(index.read(body.as_bytes()).unwrap(), &mut losses).unwrap();
        assert_eq!(losses.iter().map(|loss| &*loss.path).collect::<Vec<_>>(), [path]);
    }
}
