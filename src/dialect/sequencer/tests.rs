//! Golden vectors: what a Chat server streams, and what a Messages client is told.

use crate::dialect::chat::answer::Reader;
use crate::dialect::messages::answer::StreamWriter;
use crate::dialect::sequencer::Sequencer;
use crate::dialect::think_tags::ThinkTags;
use crate::dialect::turn::{Reader as _, Terms};
use crate::limits::EVENT_BYTES_MAX;
use crate::sse::Splitter;
use serde_json::Value;

fn terms() -> Terms {
    Terms { model: b"claude-x".to_vec(), thinking: true, input_estimate: 7, ..Terms::default() }
}

/// `D{…}` is a chunk with that delta, `F(x)` one with that finish reason, `T i|id|name|args` one with one call's fragment
/// (`-` for absent, `null` for null, args escaped as in JSON), `U` a report of usage, `!…` the data of an event as it stands.
fn stream(events: &[&str]) -> String {
    events.iter().map(|event| format!("data: {}\n\n", data(event))).collect()
}

fn data(event: &str) -> String {
    let chunk = |delta: &str| {
        format!(r#"{{"id":"c","model":"m","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#)
    };
    if let Some(data) = event.strip_prefix('!') {
        return data.to_owned();
    }
    if let Some(reason) = event.strip_prefix("F(") {
        let reason = reason.trim_end_matches(')');
        return format!(r#"{{"id":"c","choices":[{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}]}}"#);
    }
    if let Some(fields) = event.strip_prefix("T ") {
        let fields: Vec<_> = fields.splitn(4, '|').collect();
        let member = |name: &str, value: &str| match value {
            "-" => String::new(),
            "null" => format!(r#""{name}":null,"#),
            value => format!(r#""{name}":"{value}","#),
        };
        let index = if fields[0] == "-" { String::new() } else { format!(r#""index":{},"#, fields[0]) };
        let function = format!("{}{}", member("name", fields[2]), member("arguments", fields[3]));
        let function = function.trim_end_matches(',');
        return chunk(&format!(
            r#"{{"tool_calls":[{{{index}{}"function":{{{function}}}}}]}}"#,
            member("id", fields[1])
        ));
    }
    match event {
        "U" => r#"{"id":"c","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":4}}}"#.to_owned(),
        "[DONE]" => event.to_owned(),
        _ => chunk(event.strip_prefix('D').unwrap()),
    }
}

fn answer(pieces: &[&[u8]], terms: Terms, tags: ThinkTags) -> (String, Sequencer<StreamWriter>) {
    let writer = StreamWriter::new(&terms, "chat");
    let (mut sequencer, mut out) = (Sequencer::new(writer, terms), Vec::new());
    let (mut splitter, mut reader) = (Splitter::new(EVENT_BYTES_MAX), Reader::with_think_tags(tags));
    for piece in pieces {
        splitter
            .push(piece, |event| reader.event(event.name, event.data, &mut |word| sequencer.say(word, &mut out)))
            .unwrap();
    }
    sequencer.finish(&mut out);
    (String::from_utf8(out).unwrap(), sequencer)
}

/// The compact form of a stream of Messages, which is held to the state machine of its reference.
fn shown(stream: &str) -> String {
    let (mut said, mut open, mut started, mut over) = (Vec::new(), None::<String>, 0, false);
    for (number, event) in stream.split_terminator("\n\n").enumerate() {
        let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let event: Value = serde_json::from_str(data).unwrap();
        assert_eq!(event["type"], name);
        assert!(!over, "{name} after the end");
        assert_eq!(number == 0, name == "message_start");
        let index = event["index"].as_u64().unwrap_or_default();
        match name {
            "message_start" => {
                let message = &event["message"];
                assert!(
                    message["id"].as_str().unwrap().starts_with("msg_") && message["content"] == serde_json::json!([])
                );
                assert!(message["usage"]["input_tokens"].is_u64() && message["stop_reason"].is_null());
            }
            "content_block_start" => {
                let block = &event["content_block"];
                let kind = block["type"].as_str().unwrap();
                assert_eq!((open.replace(kind.to_owned()), index), (None, started));
                started += 1;
                said.push(match kind {
                    "tool_use" => {
                        assert_eq!(block["input"], serde_json::json!({}));
                        let id = block["id"].as_str().unwrap();
                        assert!(!id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)));
                        let id = if id.starts_with("toolu_") { "*" } else { id };
                        format!("start{index}:tool_use({id},{})", block["name"].as_str().unwrap())
                    }
                    _ => format!("start{index}:{kind}"),
                });
            }
            "content_block_delta" => {
                let (delta, open) = (&event["delta"], open.as_deref().unwrap());
                assert_eq!(index + 1, started);
                let (kind, key, name) = match delta["type"].as_str().unwrap() {
                    "text_delta" => ("text", "text", "text"),
                    "thinking_delta" => ("thinking", "thinking", "thinking"),
                    "signature_delta" => ("thinking", "signature", "sig"),
                    "input_json_delta" => ("tool_use", "partial_json", "json"),
                    other => panic!("{other}"),
                };
                assert_eq!(kind, open);
                let text = delta[key].as_str().unwrap();
                assert!(!text.is_empty());
                said.push(match name {
                    "sig" if text.starts_with("px1.") => format!("sig{index}"),
                    _ => format!("{name}{index}:'{text}'"),
                });
            }
            "content_block_stop" => {
                assert_eq!((open.take().is_some(), index + 1), (true, started));
                said.push(format!("stop{index}"));
            }
            "message_delta" => {
                assert_eq!(open, None);
                let (delta, usage) = (&event["delta"], &event["usage"]);
                let stop = delta["stop_reason"].as_str().unwrap();
                let sequence = delta["stop_sequence"].as_str().map(|text| format!(":{text}")).unwrap_or_default();
                let count = |name: &str| usage[name].as_u64().unwrap();
                let (input, read) = (count("input_tokens"), count("cache_read_input_tokens"));
                said.push(format!("md({stop}{sequence},{input}+{read}/{})", count("output_tokens")));
            }
            "message_stop" => over = true,
            "ping" => said.push("ping".to_owned()),
            "error" => {
                over = true;
                said.push(format!("error({})", event["error"]["type"].as_str().unwrap()));
            }
            other => panic!("{other}"),
        }
    }
    assert!(over || stream.is_empty(), "{stream}");
    said.join(" ")
}

/// The same from every split of the stream.
fn told(events: &[&str], terms: Terms, tags: ThinkTags) -> (String, Sequencer<StreamWriter>) {
    let stream = stream(events);
    let (whole, sequencer) = answer(&[stream.as_bytes()], terms.clone(), tags);
    let bytes: Vec<_> = stream.as_bytes().chunks(1).collect();
    assert_eq!(answer(&bytes, terms.clone(), tags).0, whole, "{events:?}");
    for size in [2, 7, 100] {
        let pieces: Vec<_> = stream.as_bytes().chunks(size).collect();
        assert_eq!(answer(&pieces, terms.clone(), tags).0, whole, "{events:?} by {size}");
    }
    (shown(&whole), sequencer)
}

fn golden(events: &[&str]) -> String {
    told(events, terms(), ThinkTags::Off).0
}

const ARGS: &str = r#"{\"x\":1}"#;

#[test]
fn vectors() {
    let role = r#"D{"role":"assistant","content":""}"#;
    let (start_a, half, rest) = ("T 0|a|f|", r#"T 0|a|f|{\"x\""#, "T 0|-|-|:1}");
    let a_whole = format!("T 0|a|f|{ARGS}");
    let call_a_whole = format!("T 0|call_a|f|{ARGS}");
    let nameless = format!("T 0|a|null|{ARGS}");
    #[rustfmt::skip]
    let table: &[(&str, &[&str], &str)] = &[
        ("V1", &[role, r#"D{"content":"He"}"#, r#"D{"content":"llo"}"#, "F(stop)", "U", "[DONE]"],
            "start0:text text0:'He' text0:'llo' stop0 md(end_turn,8+4/5)"),
        ("V2", &[r#"D{"content":null,"reasoning_content":"th"}"#, r#"D{"content":"Hi","reasoning_content":null}"#,
                "T 0|call_a|f|", r#"T 0|null|null|{\"x\""#, "T 0|null|null|:1}", "F(tool_calls)", "U", "[DONE]"],
            "start0:thinking thinking0:'th' sig0 stop0 start1:text text1:'Hi' stop1 start2:tool_use(call_a,f) json2:'{\"x\"' json2:':1}' stop2 md(tool_use,8+4/5)"),
        ("V3", &[r#"D{"reasoning":"t"}"#, &call_a_whole, "F(stop)", "[DONE]"],
            "start0:thinking thinking0:'t' sig0 stop0 start1:tool_use(call_a,f) json1:'{\"x\":1}' stop1 md(tool_use,7+0/3)"),
        ("V4", &[&a_whole, "T 1|b|g|", "T 1|-|-|{}", "F(tool_calls)", "[DONE]"],
            "start0:tool_use(a,f) json0:'{\"x\":1}' stop0 start1:tool_use(b,g) json1:'{}' stop1 md(tool_use,7+0/3)"),
        ("V5", &[half, r#"T 1|b|g|{\"y\""#, rest, "T 1|-|-|:2}", "F(tool_calls)", "[DONE]"],
            "start0:tool_use(a,f) json0:'{\"x\"' json0:':1}' stop0 start1:tool_use(b,g) json1:'{\"y\":2}' stop1 md(tool_use,7+0/5)"),
        ("V6", &["T 0|a|f|{}", r#"T 0|b|g|{\"y\":2}"#, "F(tool_calls)", "[DONE]"],
            "start0:tool_use(a,f) json0:'{}' stop0 start1:tool_use(b,g) json1:'{\"y\":2}' stop1 md(tool_use,7+0/3)"),
        ("V7", &[r#"T -|a|f|{\"x\""#, "T -|-|-|:1}", "F(tool_calls)", "[DONE]"],
            "start0:tool_use(a,f) json0:'{\"x\"' json0:':1}' stop0 md(tool_use,7+0/3)"),
        ("V8", &[r#"T 0|a||{\"x\""#, "T 0|a|f|:1}", "T 0|null|null|null", "F(tool_calls)", "[DONE]"],
            "start0:tool_use(a,f) json0:'{\"x\":1}' stop0 md(tool_use,7+0/3)"),
        ("V9", &[half, r#"D{"content":" "}"#, r#"D{"content":"note"}"#, rest, "F(tool_calls)", "[DONE]"],
            "start0:tool_use(a,f) json0:'{\"x\"' json0:':1}' stop0 start1:text text1:'note' stop1 md(tool_use,7+0/4)"),
        ("V10", &[r#"D{"content":"hi","tool_calls":[]}"#, "F(stop)", "[DONE]"], "start0:text text0:'hi' stop0 md(end_turn,7+0/1)"),
        ("V11", &[role, "F(stop)", "[DONE]"], "start0:text stop0 md(end_turn,7+0/1)"),
        ("V12", &[start_a, "F(tool_calls)", "[DONE]"], "start0:tool_use(a,f) stop0 md(tool_use,7+0/1)"),
        ("V13", &[&nameless, "F(tool_calls)", "[DONE]"], "start0:tool_use(a,tool_0) json0:'{\"x\":1}' stop0 md(tool_use,7+0/3)"),
        ("V14", &[r#"D{"content":"ok"}"#, "F(tool_calls)", "[DONE]"], "start0:text text0:'ok' stop0 md(end_turn,7+0/1)"),
        ("V15", &[r#"D{"content":"par"}"#], "start0:text text0:'par' error(api_error)"),
        ("V16", &[r#"D{"content":"par"}"#, r#"!{"error":{"message":"boom","code":429}}"#],
            "start0:text text0:'par' error(rate_limit_error)"),
        ("V17", &[r#"D{"content":"ok"}"#, "[DONE]"], "start0:text text0:'ok' stop0 md(end_turn,7+0/1)"),
        ("V18", &[r#"T 0|a|f|{\"x\":\"lo"#, "F(length)", "[DONE]"],
            "start0:tool_use(a,f) json0:'{\"x\":\"lo' stop0 md(max_tokens,7+0/3)"),
        ("V19", &[r#"!{"choices":[]}"#, r#"D{"content":"a"}"#, "U", "F(stop)", "[DONE]"],
            "start0:text text0:'a' stop0 md(end_turn,8+4/5)"),
    ];
    for (name, events, want) in table {
        assert_eq!(golden(events), *want, "{name}");
    }
}
