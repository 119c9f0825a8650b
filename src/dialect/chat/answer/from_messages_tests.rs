//! Answers of a Messages server as a Chat client sees them: reader, sequencer and writer together.

use serde_json::{Value, json};

use super::{BodyWriter, StreamWriter};
use crate::dialect::Dialect;
use crate::dialect::messages::answer::Reader;
use crate::dialect::sequencer::Sequencer;
use crate::dialect::turn::{self, Class, Failure, Terms};
use crate::sse::Splitter;

fn terms() -> Terms {
    Terms { model: b"claude-x".to_vec(), seed: [3; 16], created: 1, usage: true, input_estimate: 7, ..Terms::default() }
}

/// A stream as a server sends it.
fn sse(events: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for event in events {
        let kind = serde_json::from_str::<Value>(event).unwrap()["type"].as_str().unwrap().to_owned();
        crate::sse::frame::write_event(&mut out, &kind, event.as_bytes());
    }
    out
}

/// What a client gets, and the sequencer behind it, of a stream that came in these pieces.
fn streamed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Sequencer<StreamWriter>) {
    let mut splitter = Splitter::new(1 << 20);
    let (mut reader, mut out) = (Reader::new(), Vec::new());
    let mut sequencer = Sequencer::new(StreamWriter::new(&terms()), terms());
    for piece in pieces {
        splitter
            .push(piece, |event| {
                turn::Reader::event(&mut reader, event.name, event.data, &mut |word| sequencer.say(word, &mut out));
            })
            .unwrap();
    }
    sequencer.finish(&mut out);
    (out, sequencer)
}

/// A legal chat stream in short; panics where it is none.
fn short(out: &[u8]) -> String {
    let (mut said, mut calls, mut finishes, mut ids) = (Vec::new(), 0, 0, Vec::new());
    for event in std::str::from_utf8(out).unwrap().split_terminator("\n\n") {
        let Some(data) = event.strip_prefix("data: ") else {
            said.push(event.to_owned());
            continue;
        };
        if data == "[DONE]" {
            said.push("[DONE]".to_owned());
            continue;
        }
        let chunk: Value = serde_json::from_str(data).unwrap();
        if let Some(error) = chunk.get("error") {
            said.push(format!("error({},{})", error["type"], error["code"]).replace('"', ""));
            continue;
        }
        ids.push(chunk["id"].clone());
        assert!(chunk["object"] == "chat.completion.chunk" && chunk["model"] == "claude-x", "{data}");
        let Some(choice) = chunk["choices"].as_array().unwrap().first() else {
            let usage = &chunk["usage"];
            let cached = &usage["prompt_tokens_details"]["cached_tokens"];
            let [prompt, completion, total] =
                ["prompt_tokens", "completion_tokens", "total_tokens"].map(|name| usage[name].to_string());
            said.push(format!("usage({prompt}/{completion}/{total}/{cached})"));
            continue;
        };
        assert_eq!(finishes, 0, "behind the end: {data}");
        for (name, value) in choice["delta"].as_object().unwrap() {
            match name.as_str() {
                "role" => assert!(ids.len() == 1 && value == "assistant"),
                "tool_calls" => {
                    let call = &value[0];
                    let index = call["index"].as_u64().unwrap();
                    match call.get("id") {
                        Some(id) => {
                            assert!(index == calls && call["type"] == "function", "{data}");
                            calls += 1;
                            said.push(format!("call{index}({},{})", id, call["function"]["name"]).replace('"', ""));
                        }
                        None => assert!(index < calls && call.get("type").is_none(), "{data}"),
                    }
                    let arguments = call["function"]["arguments"].as_str().unwrap();
                    if call.get("id").is_none() {
                        said.push(format!("{index}'{arguments}'"));
                    } else {
                        assert_eq!(arguments, "");
                    }
                }
                "reasoning_details" => said.push(format!("details{value}")),
                name => said.push(format!("{name}'{}'", value.as_str().unwrap())),
            }
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            finishes += 1;
            said.push(format!("finish({reason})"));
        }
    }
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(finishes, usize::from(said.last().is_some_and(|last| last == "[DONE]")), "{said:?}");
    said.join(" ")
}

const START: &str = r#"{"type":"message_start","message":{"id":"msg_up","type":"message","role":"assistant","model":"upstream","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":8,"cache_read_input_tokens":4,"output_tokens":1}}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;

fn text(index: u32, text: &str) -> [String; 3] {
    [
        format!(r#"{{"type":"content_block_start","index":{index},"content_block":{{"type":"text","text":""}}}}"#),
        format!(r#"{{"type":"content_block_delta","index":{index},"delta":{{"type":"text_delta","text":"{text}"}}}}"#),
        format!(r#"{{"type":"content_block_stop","index":{index}}}"#),
    ]
}

fn call(index: u32, id: &str, name: &str, fragments: &[&str]) -> Vec<String> {
    let mut events = vec![format!(
        r#"{{"type":"content_block_start","index":{index},"content_block":{{"type":"tool_use","id":"{id}","name":"{name}","input":{{}}}}}}"#
    )];
    for fragment in fragments {
        let fragment = Value::from(*fragment);
        events.push(format!(
            r#"{{"type":"content_block_delta","index":{index},"delta":{{"type":"input_json_delta","partial_json":{fragment}}}}}"#
        ));
    }
    events.push(format!(r#"{{"type":"content_block_stop","index":{index}}}"#));
    events
}

fn ending(reason: &str, output: u32) -> String {
    format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}","stop_sequence":null}},"usage":{{"output_tokens":{output}}}}}"#
    )
}

/// W1: everything that an answer of an agent has.
fn w1() -> Vec<u8> {
    let mut events = vec![
        START.to_owned(),
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#
            .to_owned(),
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"th"}}"#.to_owned(),
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQBCkYIBBgCKkDz"}}"#
            .to_owned(),
        r#"{"type":"content_block_stop","index":0}"#.to_owned(),
        r#"{"type":"ping"}"#.to_owned(),
    ];
    events.extend(text(1, "Hi"));
    events.push(r#"{"type":"content_block_start","index":2,"content_block":{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}}"#.to_owned());
    events.push(r#"{"type":"content_block_stop","index":2}"#.to_owned());
    events.extend(call(3, "toolu_1", "f", &["", "{\"x\":1}"]));
    events.extend(call(4, "toolu_2", "g", &[]));
    events.push(ending("tool_use", 9));
    events.push(STOP.to_owned());
    sse(&events.iter().map(String::as_str).collect::<Vec<_>>())
}

const W1: &str = "content'' reasoning_content'th' \
    details[{\"format\":\"anthropic-claude-v1\",\"index\":0,\"signature\":\"EqQBCkYIBBgCKkDz\",\"text\":\"th\",\"type\":\"reasoning.text\"}] \
    : ping content'Hi' call0(toolu_1,f) 0'{\"x\":1}' call1(toolu_2,g) 1'{}' finish(tool_calls) usage(12/9/21/4) [DONE]";

#[test]
fn golden_w1() {
    let (out, mut sequencer) = streamed([&w1()[..]]);
    assert_eq!(short(&out), W1);
    let losses: Vec<_> = sequencer.losses().iter().map(|loss| loss.path.to_string()).collect();
    assert_eq!(losses, ["content.server_tool_use"]);
    assert_eq!((sequencer.usage().input, sequencer.usage().output), (Some(8), Some(9)));
}

#[test]
fn golden_w2() {
    let [begin, piece, _] = text(0, "Hi");
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let (out, sequencer) = streamed([&sse(&[START, &begin, &piece, error])[..]]);
    assert_eq!(short(&out), "content'' content'Hi' error(server_error,server_is_overloaded)");
    assert_eq!(sequencer.failure().unwrap().class, Class::Overloaded);
}

#[test]
fn golden_w3() {
    let want = "content'' finish(stop) usage(12/3/15/4) [DONE]";
    assert_eq!(short(&streamed([&sse(&[START, &ending("end_turn", 3), STOP])[..]]).0), want);
    // The last event may be missing.
    assert_eq!(short(&streamed([&sse(&[START, &ending("end_turn", 3)])[..]]).0), want);
}

#[test]
fn any_split_gives_the_same() {
    let stream = w1();
    for size in [1, 2, 3, 7, 64, 1000] {
        let (out, _) = streamed(stream.chunks(size));
        assert_eq!(short(&out).replace(": ping ", ""), W1.replace(": ping ", ""), "{size}");
        assert_eq!(out, streamed([&stream[..]]).0, "{size}");
    }
    for at in 0..stream.len() {
        let (first, second) = stream.split_at(at);
        assert_eq!(short(&streamed([first, second]).0), W1, "{at}");
    }
}

#[test]
fn line_ends_and_comments_do_not_matter() {
    let stream = String::from_utf8(w1()).unwrap();
    for variant in
        [stream.replace('\n', "\r\n"), stream.replace('\n', "\r"), stream.replace("event: ping", ": c\nevent: ping")]
    {
        assert_eq!(short(&streamed([variant.as_bytes()]).0), W1);
    }
}

#[test]
fn ends_that_are_none() {
    let [begin, piece, end] = text(0, "par");
    let cut = "error(server_error,null)";
    for (events, want) in [
        (vec![START, &begin, &piece], format!("content'' content'par' {cut}")),
        (vec![START, &begin, &piece, &end], format!("content'' content'par' {cut}")),
        (vec![], String::new()),
        (vec![START], String::new()),
        (vec![r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#], String::new()),
        (vec![START, r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#], String::new()),
    ] {
        let (out, sequencer) = streamed([&sse(&events)[..]]);
        assert_eq!(short(&out), want);
        assert!(sequencer.failure().is_some() && sequencer.is_over());
        assert_eq!(sequencer.has_begun(), !want.is_empty());
    }
}

#[test]
fn nothing_follows_the_end() {
    let [begin, piece, end] = text(0, "late");
    let events = [START, &ending("end_turn", 3), STOP, &begin, &piece, &end, STOP, &ending("tool_use", 5)];
    assert_eq!(short(&streamed([&sse(&events)[..]]).0), "content'' finish(stop) usage(12/3/15/4) [DONE]");
}

#[test]
fn stop_reasons() {
    let [begin, piece, end] = text(0, "a");
    let calls = call(1, "toolu_1", "f", &["{}"]);
    for (reason, with_call, want) in [
        ("end_turn", false, "stop"),
        ("stop_sequence", false, "stop"),
        ("tool_use", true, "tool_calls"),
        ("end_turn", true, "tool_calls"),
        ("tool_use", false, "stop"),
        ("max_tokens", false, "length"),
        ("max_tokens", true, "length"),
        ("model_context_window_exceeded", false, "length"),
        ("refusal", false, "content_filter"),
        ("pause_turn", false, "stop"),
        ("never_heard", false, "stop"),
    ] {
        let delta = ending(reason, 1);
        let mut events = vec![START, &begin, &piece, &end];
        if with_call {
            events.extend(calls.iter().map(String::as_str));
        }
        events.extend([delta.as_str(), STOP]);
        let said = short(&streamed([&sse(&events)[..]]).0);
        assert!(said.contains(&format!("finish({want})")), "{reason}: {said}");
    }
}

/// `input_tokens` is what no cache took part in: the prompt is all three.
#[test]
fn prompt_tokens_include_the_cache() {
    let start = START.replace(
        r#""input_tokens":8,"cache_read_input_tokens":4"#,
        r#""input_tokens":3,"cache_read_input_tokens":100,"cache_creation_input_tokens":20"#,
    );
    let said = short(&streamed([&sse(&[&start, &ending("end_turn", 5), STOP])[..]]).0);
    assert!(said.contains("usage(123/5/128/100)"), "{said}");
    // The totals of the last event take the place of the first's, where it has any.
    let totals =
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":50,"output_tokens":6}}"#;
    let said = short(&streamed([&sse(&[&start, totals, STOP])[..]]).0);
    assert!(said.contains("usage(170/6/176/100)"), "{said}");
}

#[test]
fn usage_that_nobody_counted_is_estimated() {
    let [begin, piece, end] = text(0, "12345678");
    let start = r#"{"type":"message_start","message":{"id":"m"}}"#;
    let done = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#;
    let said = short(&streamed([&sse(&[start, &begin, &piece, &end, done, STOP])[..]]).0);
    assert_eq!(said, "content'' content'12345678' finish(stop) usage(7/2/9/null) [DONE]");
}

#[test]
fn ids_and_names_are_the_clients() {
    let long = "toolu_".to_owned() + &"x".repeat(60);
    let mut names = crate::dialect::ids::Names::default();
    let sent = String::from_utf8(names.send(b"mcp.files/read", 128).into_owned()).unwrap();
    let mut events = vec![START.to_owned()];
    events.extend(call(0, &long, &sent, &["{}"]));
    events.extend([ending("tool_use", 1), STOP.to_owned()]);
    let stream = sse(&events.iter().map(String::as_str).collect::<Vec<_>>());
    let mut sequencer = Sequencer::new(StreamWriter::new(&terms()), Terms { names, ..terms() });
    let (mut reader, mut out) = (Reader::new(), Vec::new());
    Splitter::new(1 << 20)
        .push(&stream, |event| {
            turn::Reader::event(&mut reader, event.name, event.data, &mut |word| sequencer.say(word, &mut out));
        })
        .unwrap();
    let said = short(&out);
    assert!(said.contains(",mcp.files/read) 0'{}'") && said.contains("call0(call_") && !said.contains(&long), "{said}");
}

#[test]
fn whole_answers() {
    let answer = json!({
        "id": "msg_up", "type": "message", "role": "assistant", "model": "upstream",
        "content": [
            {"type": "thinking", "thinking": "th", "signature": "EqQBCkYIBBgCKkDz"},
            {"type": "text", "text": "Hi"},
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1.0}},
            {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}}
        ],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 3, "cache_read_input_tokens": 100, "output_tokens": 9}
    });
    let (out, mut sequencer) = whole(&answer.to_string());
    let told: Value = serde_json::from_slice(&out).unwrap();
    let want = json!([{
        "index": 0, "logprobs": null, "finish_reason": "tool_calls",
        "message": {
            "role": "assistant", "content": "Hi", "refusal": null, "reasoning_content": "th",
            "reasoning_details": [
                {"type": "reasoning.text", "text": "th", "signature": "EqQBCkYIBBgCKkDz", "format": "anthropic-claude-v1", "index": 0}
            ],
            "tool_calls": [
                {"id": "toolu_1", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1.0}"}},
                {"id": "toolu_2", "type": "function", "function": {"name": "g", "arguments": "{}"}}
            ]
        }
    }]);
    assert_eq!((&told["choices"], &told["model"]), (&want, &"claude-x".into()));
    assert_eq!(told["usage"]["prompt_tokens"], 103);
    assert!(sequencer.losses().is_empty());
}

#[test]
fn refusals_are_told_apart() {
    let answer = r#"{"type":"message","content":[],"stop_reason":"refusal","stop_details":{"type":"refusal","category":"cyber","explanation":"no"}}"#;
    let told: Value = serde_json::from_slice(&whole(answer).0).unwrap();
    let choice = &told["choices"][0];
    assert_eq!((&choice["finish_reason"], &choice["message"]["refusal"]), (&"content_filter".into(), &"no".into()));
    let [begin, piece, end] = text(0, "I won't");
    let delta = r#"{"type":"message_delta","delta":{"stop_reason":"refusal","stop_details":{"explanation":"no"}},"usage":{"output_tokens":1}}"#;
    let said = short(&streamed([&sse(&[START, &begin, &piece, &end, delta, STOP])[..]]).0);
    assert!(said.starts_with("content'' content'I won't' refusal'no' finish(content_filter)"), "{said}");
}

#[test]
fn bodies_that_are_errors() {
    for (body, status) in [
        (r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#, 503),
        (r#"{"error":{"message":"prompt is too long: 9 tokens > 8 maximum"}}"#, 400),
        ("<html>", 502),
        ("{}", 502),
    ] {
        let (mut out, mut sequencer) = whole(body);
        assert!(out.is_empty() && !sequencer.has_begun(), "{body}");
        let failure: Failure = sequencer.failure().unwrap().clone();
        assert_eq!(failure.status(Dialect::Chat), status, "{body}");
        sequencer.tell_failure(&mut out);
        assert!(out.starts_with(b"{\"error\":{\"message\":\""));
    }
}

fn whole(body: &str) -> (Vec<u8>, Sequencer<BodyWriter>) {
    let (mut reader, mut out) = (Reader::new(), Vec::new());
    let mut sequencer = Sequencer::new(BodyWriter::new(&terms()), terms());
    turn::Reader::body(&mut reader, body.as_bytes(), &mut |word| sequencer.say(word, &mut out));
    sequencer.finish(&mut out);
    (out, sequencer)
}
