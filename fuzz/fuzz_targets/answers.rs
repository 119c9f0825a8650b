//! Whatever a Chat server streams, a Messages client gets a legal stream, in any split; and a learned shape changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use sidestream::dialect::chat::answer::Reader;
use sidestream::dialect::messages::answer::StreamWriter;
use sidestream::dialect::sequencer::Sequencer;
use sidestream::dialect::think_tags::ThinkTags;
use sidestream::dialect::turn::{self, Terms};
use sidestream::sse::Splitter;

fuzz_target!(|input: &[u8]| {
    let Some((mode, rest)) = input.split_first() else { return };
    // Random bytes seldom make an event: half of the inputs choose among events that a server may send.
    let stream = if mode % 2 == 0 { rest.to_vec() } else { made(rest) };
    let out = translated(stream.chunks(usize::MAX), *mode, true);
    assert_eq!(out, translated(stream.chunks(1), *mode, true));
    assert_eq!(out, translated(stream.chunks(1 + stream.len() % 7), *mode, true));
    assert_eq!(out, translated(stream.chunks(usize::MAX), *mode, false));
    check(&out);
});

fn translated<'a>(pieces: impl Iterator<Item = &'a [u8]>, mode: u8, learns: bool) -> Vec<u8> {
    let terms = Terms { model: b"m".to_vec(), thinking: mode & 2 != 0, ..Terms::default() };
    let tags = if mode & 4 != 0 { ThinkTags::Tagged } else { ThinkTags::Off };
    let (mut splitter, mut reader, mut out) = (Splitter::new(1 << 16), Reader::with(tags, mode & 8 != 0), Vec::new());
    let mut sequencer = Sequencer::new(StreamWriter::new(&terms, "chat"), terms);
    for piece in pieces {
        let pushed = splitter.push(piece, |event| {
            if !learns {
                reader.forget_shape();
            }
            turn::Reader::event(&mut reader, event.name, event.data, &mut |word| sequencer.say(word, &mut out));
        });
        if pushed.is_err() {
            break;
        }
    }
    sequencer.finish(&mut out);
    assert!(sequencer.is_over());
    assert!(sequencer.has_begun() || (out.is_empty() && sequencer.failure().is_some()));
    out
}

/// Holds a stream to the state machine of the Messages reference.
fn check(out: &[u8]) {
    let mut events = Vec::new();
    assert!(out.is_empty() || out.ends_with(b"\n\n"));
    Splitter::new(usize::MAX).push(out, |event| events.push((event.name.to_vec(), event.data.to_vec()))).unwrap();
    let (mut open, mut begun, mut ids) = (None::<String>, 0, Vec::new());
    let (mut has_ended, mut is_signed) = (false, true);
    for (number, (name, data)) in events.iter().enumerate() {
        let event: Value = serde_json::from_slice(data).expect("an event is JSON");
        let name = str::from_utf8(name).unwrap();
        let is_last = number + 1 == events.len();
        assert_eq!(event["type"], name);
        assert_eq!(number == 0, name == "message_start");
        assert_eq!(is_last, matches!(name, "message_stop" | "error"));
        match name {
            "message_start" => assert!(event["message"]["usage"]["input_tokens"].is_u64()),
            "content_block_start" => {
                let block = &event["content_block"];
                assert!(open.is_none() && !has_ended);
                assert_eq!(event["index"], begun);
                begun += 1;
                let kind = block["type"].as_str().unwrap().to_owned();
                if kind == "tool_use" {
                    let id = block["id"].as_str().unwrap().to_owned();
                    assert!(
                        !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)),
                        "{id}"
                    );
                    assert!(!ids.contains(&id) && block["input"] == json!({}) && block["name"] != "");
                    ids.push(id);
                }
                is_signed = kind != "thinking";
                open = Some(kind);
            }
            "content_block_delta" => {
                assert_eq!(event["index"], begun - 1);
                let kind = event["delta"]["type"].as_str().unwrap();
                let fits = match open.as_deref().unwrap() {
                    "text" => kind == "text_delta",
                    "thinking" => kind == "thinking_delta" || kind == "signature_delta",
                    "tool_use" => kind == "input_json_delta",
                    _ => false,
                };
                assert!(fits, "{event}");
                is_signed |= kind == "signature_delta";
            }
            "content_block_stop" => {
                assert_eq!(event["index"], begun - 1);
                assert!(open.take().is_some() && is_signed);
            }
            "message_delta" => {
                assert!(open.is_none() && begun > 0 && !has_ended && event["usage"]["output_tokens"].is_u64());
                let stop = event["delta"]["stop_reason"].as_str().unwrap();
                assert!(stop != "tool_use" || !ids.is_empty());
                assert!(stop != "end_turn" || ids.is_empty());
                has_ended = true;
            }
            "message_stop" => assert!(has_ended),
            "error" => assert!(!has_ended && event["error"]["message"].is_string()),
            other => panic!("{other}"),
        }
    }
}

/// A stream of events, each chosen by a byte and filled by the next ones.
fn made(bytes: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    for chunk in bytes.chunks(3) {
        let at = |place: usize| usize::from(chunk.get(place).copied().unwrap_or_default());
        let event = EVENTS[at(0) % EVENTS.len()];
        let event = event.replace("$t", TEXTS[at(1) % TEXTS.len()]).replace("$i", IDS[at(2) % IDS.len()]);
        let event =
            event.replace("$n", &(at(2) / 16 % 3).to_string()).replace("$a", ARGUMENTS[at(1) % ARGUMENTS.len()]);
        stream.extend_from_slice(format!("data: {event}\n\n").as_bytes());
    }
    stream
}

const TEXTS: [&str; 9] = ["a", " ", "\\n", "<think>", "</think>", "<th", "ink>", "", "\\u00e9"];
const IDS: [&str; 6] = ["", "a", "b", "c.d", "f", "g"];
const ARGUMENTS: [&str; 11] = ["{", "}", "{}", "\\\"x\\\"", ":", "1", "", "null", "[", " ", "{\\\"x\\\":\\\"lo"];
const EVENTS: [&str; 16] = [
    r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"$t"},"finish_reason":null}],"obfuscation":"$i"}"#,
    r#"{"choices":[{"index":0,"delta":{"reasoning_content":"$t","content":null}}],"timings":{"n":$n}}"#,
    r#"{"choices":[{"index":0,"delta":{"reasoning":"$t","reasoning_details":[{"text":"$t","signature":"$i"}]}}]}"#,
    r#"{"choices":[{"delta":{"tool_calls":[{"index":$n,"id":"$i","function":{"name":"$i","arguments":"$a"}}]}}]}"#,
    r#"{"choices":[{"delta":{"tool_calls":[{"index":$n,"function":{"arguments":"$a"}}]}}]}"#,
    r#"{"choices":[{"delta":{"tool_calls":[{"id":"$i","function":{"name":null,"arguments":"$a"}}]}}]}"#,
    r#"{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"$a"}},{"id":"$i","function":{"name":"f"}}]}}]}"#,
    r#"{"choices":[{"delta":{"function_call":{"name":"f","arguments":"$a"}}}]}"#,
    r#"{"choices":[{"delta":{"refusal":"$t"}}]}"#,
    r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
    r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
    r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#,
    r#"{"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":$n}}"#,
    r#"{"error":{"message":"$t","code":429}}"#,
    "[DONE]",
];
