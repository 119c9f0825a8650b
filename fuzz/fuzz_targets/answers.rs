//! Whatever a Chat server streams, a Messages client gets a legal stream, in any split; and a learned shape changes nothing.
#![no_main]

#[path = "../legal/messages.rs"]
mod messages;

use libfuzzer_sys::fuzz_target;
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
    messages::check(&out);
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
