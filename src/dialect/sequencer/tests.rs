//! Golden vectors: what a Chat server streams, and what a Messages client is told.

mod closed;
mod whole;

use crate::dialect::chat::answer::Reader;
use crate::dialect::messages::answer::{BodyWriter, StreamWriter};
use crate::dialect::sequencer::Sequencer;
use crate::dialect::think_tags::ThinkTags;
use crate::dialect::turn::{Open, Reader as _, Scale, Terms, Word};
use crate::limits::{CALLS_MAX, EVENT_BYTES_MAX};
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
    let (mut splitter, mut reader) = (Splitter::new(EVENT_BYTES_MAX), Reader::with(tags, false));
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

/// All that differ, not the first only.
fn hold(table: &[(&str, &[&str], &str)]) {
    let differ = table.iter().map(|(name, events, want)| (name, golden(events), want));
    let differ: Vec<_> = differ.filter(|(_, said, want)| said != *want).collect();
    assert!(differ.is_empty(), "{differ:#?}");
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
    hold(table);
}

fn delta(members: &str) -> String {
    format!("D{{{members}}}")
}

/// Pitfalls by their number in the list of bugs that translators had.
#[test]
fn pitfalls() {
    let full = format!("T 0|c1|f|{ARGS}");
    let named_null = "T 0|c1|null|";
    let usage = r#"!{"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":5}}"#;
    let filter = r#"!{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}"#;
    #[rustfmt::skip]
    let table: &[(&str, &[&str], &str)] = &[
        ("1 arguments in the first fragment", &[&full, "F(tool_calls)", "[DONE]"],
            "start0:tool_use(c1,f) json0:'{\"x\":1}' stop0 md(tool_use,7+0/3)"),
        ("2 an empty list of calls", &[r#"D{"content":"hi","tool_calls":[]}"#, r#"D{"content":"!","tool_calls":null}"#, "F(stop)", "[DONE]"],
            "start0:text text0:'hi' text0:'!' stop0 md(end_turn,7+0/1)"),
        ("3, 4, 7 thoughts, then a call", &[r#"D{"reasoning_content":"t"}"#, &full, "F(tool_calls)", "[DONE]"],
            "start0:thinking thinking0:'t' sig0 stop0 start1:tool_use(c1,f) json1:'{\"x\":1}' stop1 md(tool_use,7+0/3)"),
        ("6 text among arguments", &[r#"T 0|c1|f|{\"a\""#, r#"D{"content":" "}"#, "T 0|-|-|:1}", "F(tool_calls)", "[DONE]"],
            "start0:tool_use(c1,f) json0:'{\"a\"' json0:':1}' stop0 md(tool_use,7+0/3)"),
        ("8 state of the stream", &[r#"D{"content":"a"}"#, r#"D{"content":"b"}"#, r#"D{"content":"c"}"#, "F(stop)"],
            "start0:text text0:'a' text0:'b' text0:'c' stop0 md(end_turn,7+0/1)"),
        ("9 an id in each fragment", &["T 0|c1|f|{", "T 0|c1|f|}", "F(tool_calls)"],
            "start0:tool_use(c1,f) json0:'{' json0:'}' stop0 md(tool_use,7+0/1)"),
        ("10 one index for all", &["T 0|a|f|{}", "T 0|b|f|{}", "F(tool_calls)"],
            "start0:tool_use(a,f) json0:'{}' stop0 start1:tool_use(b,f) json1:'{}' stop1 md(tool_use,7+0/1)"),
        ("11 no index", &["T -1|a|f|{}", "T -1|b|g|{}", "F(tool_calls)"],
            "start0:tool_use(a,f) json0:'{}' stop0 start1:tool_use(b,g) json1:'{}' stop1 md(tool_use,7+0/1)"),
        ("12 never an id", &["T 0||f|{", "T 0|null|-|}", "F(tool_calls)"],
            "start0:tool_use(*,f) json0:'{' json0:'}' stop0 md(tool_use,7+0/1)"),
        ("13 null over a name", &["T 0|a|f|{", "T 0|a|null|}", "F(tool_calls)"],
            "start0:tool_use(a,f) json0:'{' json0:'}' stop0 md(tool_use,7+0/1)"),
        ("14 stop with a call", &[r#"D{"content":"x"}"#, &full, "F(stop)"],
            "start0:text text0:'x' stop0 start1:tool_use(c1,f) json1:'{\"x\":1}' stop1 md(tool_use,7+0/3)"),
        ("15 a call that never was", &["T 0|-|null|", "F(tool_calls)"], "start0:text stop0 md(end_turn,7+0/1)"),
        ("15 an id alone", &[named_null, "F(tool_calls)"], "start0:tool_use(c1,tool_0) stop0 md(tool_use,7+0/1)"),
        ("16 no usage", &[r#"D{"content":"x"}"#, "F(stop)", "[DONE]"], "start0:text text0:'x' stop0 md(end_turn,7+0/1)"),
        ("17 usage after the end", &[r#"D{"content":"x"}"#, "F(stop)", usage, "[DONE]"], "start0:text text0:'x' stop0 md(end_turn,12+0/5)"),
        ("17 usage in each chunk", &[r#"!{"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":12,"completion_tokens":1}}"#,
                r#"!{"choices":[{"delta":{"content":"y"}}],"usage":{"completion_tokens":2}}"#, "F(stop)", "[DONE]"],
            "start0:text text0:'x' text0:'y' stop0 md(end_turn,12+0/2)"),
        ("18 no choices", &[filter, r#"!{"choices":null}"#, r#"!{"x_groq":{"id":"r"}}"#, r#"D{"content":"x"}"#, "F(stop)"],
            "start0:text text0:'x' stop0 md(end_turn,7+0/1)"),
        ("19 words after the end", &[r#"D{"content":"x"}"#, "F(stop)", "[DONE]", usage, r#"D{"content":"y"}"#, "[DONE]"],
            "start0:text text0:'x' stop0 md(end_turn,7+0/1)"),
        ("21 other names of thoughts", &[r#"D{"reasoning":"a","reasoning_details":[{"type":"reasoning.text","text":"a"}]}"#, r#"D{"reasoning_content":"b"}"#, "F(stop)"],
            "start0:thinking thinking0:'a' thinking0:'b' sig0 stop0 md(end_turn,7+0/1)"),
        ("22 a signature of the upstream's", &[r#"D{"reasoning_details":[{"type":"reasoning.text","text":"a","signature":"s"}]}"#, r#"D{"content":"b"}"#, "F(stop)"],
            "start0:thinking thinking0:'a' sig0:'s' stop0 start1:text text1:'b' stop1 md(end_turn,7+0/1)"),
        ("24 characters cut between reads", &["D{\"content\":\"h\u{e9}\u{20ac}\u{1f600}\\ud83d\\ude00\"}", "F(stop)"],
            "start0:text text0:'h\u{e9}\u{20ac}\u{1f600}\u{1f600}' stop0 md(end_turn,7+0/6)"),
        ("25 data that is empty", &["!", "! ", r#"D{"content":"x"}"#, "F(stop)"], "start0:text text0:'x' stop0 md(end_turn,7+0/1)"),
        ("26 no empty text before calls", &[r#"D{"role":"assistant","content":""}"#, &full, "F(tool_calls)"],
            "start0:tool_use(c1,f) json0:'{\"x\":1}' stop0 md(tool_use,7+0/3)"),
        ("27 an empty answer", &["F(stop)"], "start0:text stop0 md(end_turn,7+0/1)"),
        ("28 a failure is no end of turn", &[r#"D{"content":"x"}"#, "F(error)"], "start0:text text0:'x' error(api_error)"),
        ("29 an error in an open stream", &[r#"D{"content":"x"}"#, r#"!{"error":{"message":"slow","code":429}}"#, "[DONE]"],
            "start0:text text0:'x' error(rate_limit_error)"),
        ("30 a vendor's finish with an error", &[r#"D{"content":"x"}"#, r#"!{"choices":[{"delta":{"content":""},"finish_reason":"error"}],"error":{"code":502,"message":"m"}}"#],
            "start0:text text0:'x' error(api_error)"),
        ("31 cut", &[r#"D{"content":"x"}"#], "start0:text text0:'x' error(api_error)"),
    ];
    hold(table);
    // 20: the input is told at the start.
    let (whole, _) = answer(&[stream(&[r#"D{"content":"x"}"#]).as_bytes()], terms(), ThinkTags::Off);
    assert!(whole.starts_with("event: message_start") && whole.contains(r#""usage":{"input_tokens":7,"#), "{whole}");
    // 23: tags.
    for (pieces, want) in [
        (&["<th", "ink>a</thi", "nk>b"][..], "start0:thinking thinking0:'a' sig0 stop0 start1:text text1:'b' stop1"),
        (&["a</think>b"], "start0:text text0:'a' text0:'b' stop0"),
    ] {
        let events: Vec<_> =
            pieces.iter().map(|text| delta(&format!(r#""content":"{text}""#))).chain(["F(stop)".to_owned()]).collect();
        let events: Vec<_> = events.iter().map(String::as_str).collect();
        let (said, _) = told(&events, terms(), ThinkTags::Tagged);
        assert!(said.starts_with(want), "{said}");
    }
}

/// What servers send that is no failure and no OpenAI.
#[test]
fn zoo() {
    let twice = r#"T 0|a|f|\"{\\\"x\\\":1}\""#;
    #[rustfmt::skip]
    let table: &[(&str, &[&str], &str)] = &[
        ("null arguments", &["T 0|a|f|null", r#"!{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"null"}}]},"finish_reason":"tool_calls"}]}"#],
            "start0:tool_use(a,f) json0:'{}' stop0 md(tool_use,7+0/1)"),
        ("arguments encoded twice", &[twice, "F(tool_calls)"],
            "start0:tool_use(a,f) json0:'{\"x\":1}' stop0 md(tool_use,7+0/5)"),
        ("arguments that are no object", &["T 0|a|f|[1]", "F(tool_calls)"],
            "start0:tool_use(a,f) json0:'{\"value\":[1]}' stop0 md(tool_use,7+0/1)"),
        ("an object for arguments", &[r#"!{"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":{"x":"\n"}}}]}}]}"#, "F(stop)"],
            "start0:tool_use(a,f) json0:'{\"x\":\"\\n\"}' stop0 md(tool_use,7+0/4)"),
        ("a bracket is missing", &[r#"T 0|a|f|{\"x\":[\"y"#, "F(tool_calls)"],
            "start0:tool_use(a,f) json0:'{\"x\":[\"y' json0:'\"]}' stop0 md(tool_use,7+0/3)"),
        ("white space of a parser", &["T 0|a|f|{}", r#"D{"content":"\n\n"}"#, "T 1|b|f|{}", "F(tool_calls)"],
            "start0:tool_use(a,f) json0:'{}' stop0 start1:tool_use(b,f) json1:'{}' stop1 md(tool_use,7+0/2)"),
        ("text between calls", &["T 0|a|f|{}", r#"D{"content":"so"}"#, "T 1|b|f|{}", "F(tool_calls)"],
            "start0:tool_use(a,f) json0:'{}' stop0 start1:text text1:'so' stop1 start2:tool_use(b,f) json2:'{}' stop2 md(tool_use,7+0/2)"),
        ("thoughts and text among arguments", &["T 0|a|f|{", r#"D{"reasoning":"t"}"#, r#"D{"content":"a"}"#, r#"D{"content":" "}"#, r#"D{"content":"b"}"#, "T 0|-|-|}", "F(tool_calls)"],
            "start0:tool_use(a,f) json0:'{' json0:'}' stop0 start1:thinking thinking1:'t' sig1 stop1 start2:text text2:'a b' stop2 md(tool_use,7+0/2)"),
        ("held text has its turn before more", &["T 0|a|f|{", r#"D{"content":"a"}"#, "T 0|-|-|}", r#"D{"content":"b"}"#, "F(tool_calls)"],
            "start0:tool_use(a,f) json0:'{' json0:'}' stop0 start1:text text1:'a' text1:'b' stop1 md(tool_use,7+0/1)"),
        ("three calls at once", &["T 0|a|f|{", "T 1|b|f|{", "T 2|c|f|{", "T 2|-|-|}", "T 1|-|-|}", "T 0|-|-|}", "F(tool_calls)"],
            "start0:tool_use(a,f) json0:'{' json0:'}' stop0 start1:tool_use(b,f) json1:'{}' stop1 start2:tool_use(c,f) json2:'{}' stop2 md(tool_use,7+0/2)"),
        ("text and thoughts by turns", &[r#"D{"reasoning":"t"}"#, r#"D{"content":"a"}"#, r#"D{"reasoning":"u"}"#, r#"D{"content":"b"}"#, "F(stop)"],
            "start0:thinking thinking0:'t' sig0 stop0 start1:text text1:'a' stop1 start2:thinking thinking2:'u' sig2 stop2 start3:text text3:'b' stop3 md(end_turn,7+0/1)"),
        ("ids that Messages refuses", &["T 0|functions.Bash:0|f|{}", "F(tool_calls)"],
            "start0:tool_use(functions_Bash_0_a97d1507,f) json0:'{}' stop0 md(tool_use,7+0/1)"),
        ("one id for two calls", &["T 0|a|f|{}", "T 1|a|g|{}", "F(tool_calls)"],
            "start0:tool_use(a,f) json0:'{}' stop0 start1:tool_use(*,g) json1:'{}' stop1 md(tool_use,7+0/1)"),
        ("a refusal", &[r#"D{"refusal":"no"}"#, "F(stop)"], "start0:text text0:'no' stop0 md(refusal,7+0/1)"),
        ("a filter", &[r#"D{"content":"x"}"#, "F(content_filter)"], "start0:text text0:'x' stop0 md(refusal,7+0/1)"),
        ("the first finish that means something", &[r#"D{"content":"x"}"#, "F(stop)", "F(length)", "F(content_filter)", r#"D{"content":"y"}"#],
            "start0:text text0:'x' text0:'y' stop0 md(max_tokens,7+0/1)"),
        ("a text that ends the answer", &[r#"!{"choices":[{"delta":{"content":"x"},"finish_reason":"stop","stop_reason":"END"}]}"#],
            "start0:text text0:'x' stop0 md(stop_sequence:END,7+0/1)"),
        ("an older function call", &[r#"D{"function_call":{"name":"f","arguments":"{"}}"#, r#"D{"function_call":{"arguments":"}"}}"#, "F(function_call)"],
            "start0:tool_use(*,f) json0:'{' json0:'}' stop0 md(tool_use,7+0/1)"),
        ("content in parts", &[r#"D{"content":[{"type":"thinking","thinking":[{"type":"text","text":"t"}]}]}"#, r#"D{"content":[{"type":"text","text":"x"}]}"#, "F(stop)"],
            "start0:thinking thinking0:'t' sig0 stop0 start1:text text1:'x' stop1 md(end_turn,7+0/1)"),
        ("ends of other spellings", &[r#"D{"content":"x"}"#, "![done]"], "start0:text text0:'x' stop0 md(end_turn,7+0/1)"),
        ("invalid text in a string", &["D{\"content\":\"a\u{fffd}\"}", "F(stop)"], "start0:text text0:'a\u{fffd}' stop0 md(end_turn,7+0/1)"),
        ("nothing but an end", &["[DONE]"], ""),
        ("nothing", &[], ""),
        ("a failure before anything was said", &[r#"!{"error":{"message":"m","code":503}}"#], ""),
    ];
    hold(table);
}

#[test]
fn what_the_terms_change() {
    let thoughts = [r#"D{"reasoning":"t"}"#, r#"D{"content":"x"}"#, "U", "F(stop)", "[DONE]"];
    let (said, mut sequencer) = told(&thoughts, Terms { thinking: false, ..terms() }, ThinkTags::Off);
    assert_eq!(said, "start0:text text0:'x' stop0 md(end_turn,8+4/5)");
    assert_eq!(sequencer.losses().iter().next().unwrap().path, "thinking");

    let scaled = Terms { scale: Scale { expected: 200_000, real: 100_000 }, ..terms() };
    let (said, sequencer) = told(&thoughts, scaled, ThinkTags::Off);
    assert!(said.ends_with("md(end_turn,16+8/10)"), "{said}");
    assert_eq!((sequencer.usage().input, sequencer.usage().output), (Some(8), Some(5)));

    let nameless = ["T 0|a|-|{}", "F(tool_calls)"];
    let only = Terms { only_tool: Some(b"Read".to_vec()), ..terms() };
    assert!(told(&nameless, only, ThinkTags::Off).0.starts_with("start0:tool_use(a,Read)"));

    let mut renamed = terms();
    assert_eq!(&*renamed.names.send(b"mcp.read", 64), b"mcp_read");
    assert!(
        told(&["T 0|a|mcp_read|{}", "[DONE]"], renamed, ThinkTags::Off).0.starts_with("start0:tool_use(a,mcp.read)")
    );
}

#[test]
fn before_anything_is_said() {
    let (mut sequencer, mut out) = (Sequencer::new(StreamWriter::new(&terms(), "chat"), terms()), Vec::new());
    let mut reader = Reader::with(ThinkTags::Off, false);
    for event in [r#"D{"role":"assistant","content":""}"#, "U"] {
        reader.event(b"", data(event).as_bytes(), &mut |word| sequencer.say(word, &mut out));
    }
    sequencer.ping(&mut out);
    assert!(!sequencer.has_begun() && out.is_empty());
    let failure = r#"{"error":{"message":"m","code":503}}"#;
    reader.event(b"", failure.as_bytes(), &mut |word| sequencer.say(word, &mut out));
    assert!(sequencer.is_over() && !sequencer.has_begun() && out.is_empty());
    assert_eq!(sequencer.failure().unwrap().message, "m");
    sequencer.tell_failure(&mut out);
    sequencer.tell_failure(&mut out);
    sequencer.finish(&mut out);
    let said = String::from_utf8(out).unwrap();
    assert!(said.starts_with("event: error\n") && said.matches("event:").count() == 1, "{said}");
}

#[test]
fn bounds() {
    let calls: Vec<_> = (0..=CALLS_MAX).map(|number| format!("T {number}|a{number}|f|{{}}")).collect();
    let calls: Vec<_> = calls.iter().map(String::as_str).collect();
    let (said, sequencer) = answer(&[stream(&calls).as_bytes()], terms(), ThinkTags::Off);
    assert!(shown(&said).ends_with("error(api_error)"));
    assert!(sequencer.failure().unwrap().message.contains("128 tool calls"));

    let long = "x".repeat(EVENT_BYTES_MAX / 2);
    let mut held = vec!["T 0|a|f|{".to_owned()];
    held.extend((0..10).map(|_| delta(&format!(r#""content":"{long}""#))));
    let held: Vec<_> = held.iter().map(String::as_str).collect();
    let (said, _) = answer(&[stream(&held).as_bytes()], terms(), ThinkTags::Off);
    assert_eq!(shown(&said), "start0:tool_use(a,f) json0:'{' error(api_error)");
}
