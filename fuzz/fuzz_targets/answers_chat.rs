//! Whatever a Messages server streams, a Chat client gets a legal stream with all of its text, in any split. Whatever it
//! answers in one piece, the client gets JSON.
#![no_main]

#[path = "../legal/chat.rs"]
mod chat;

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use sidestream::dialect::Dialect;
use sidestream::dialect::chat::answer::{BodyWriter, StreamWriter};
use sidestream::dialect::failure;
use sidestream::dialect::messages::answer::Reader;
use sidestream::dialect::sequencer::Sequencer;
use sidestream::dialect::turn::{self, Failure, Key, Open, Terms, Word};
use sidestream::json::Index;
use sidestream::sse::Splitter;

fuzz_target!(|input: &[u8]| {
    let Some((mode, rest)) = input.split_first() else { return };
    // Random bytes seldom make an event: half of the inputs choose among events that a server may send.
    let stream = if mode % 2 == 0 { rest.to_vec() } else { made(rest) };
    let (out, text) = translated(stream.chunks(usize::MAX), mode & 2 != 0);
    assert_eq!(out, translated(stream.chunks(1), mode & 2 != 0).0);
    assert_eq!(out, translated(stream.chunks(1 + stream.len() % 7), mode & 2 != 0).0);
    assert_eq!(chat::checked(&out), text);
    check_whole(rest);
    for status in [200, 400, 500] {
        check_failure(&failure::read(Dialect::Messages, status, rest));
    }
});

/// A whole answer, or a failure that can be told.
fn check_whole(body: &[u8]) {
    let terms = Terms { model: b"m".to_vec(), ..Terms::default() };
    let (mut reader, mut out) = (Reader::new(), Vec::new());
    let mut sequencer = Sequencer::new(BodyWriter::new(&terms), terms);
    turn::Reader::body(&mut reader, body, &mut |word| sequencer.say(word, &mut out));
    sequencer.finish(&mut out);
    match sequencer.failure() {
        Some(failure) => check_failure(failure),
        None => {
            let mut index = Index::default();
            let answer = index.read(&out).unwrap();
            let choice = answer.get("choices").unwrap().items().next().unwrap();
            assert!(choice.get("message").unwrap().get("role").is_some() && choice.get("finish_reason").is_some());
        }
    }
}

fn check_failure(failure: &Failure) {
    assert!(!failure.message.trim().is_empty());
    for dialect in [Dialect::Chat, Dialect::Messages, Dialect::Responses] {
        let mut out = Vec::new();
        failure.write_body(dialect, "id", &mut out);
        let mut index = Index::default();
        assert!(index.read(&out).unwrap().get("error").unwrap().get("message").unwrap().escaped().is_some());
        assert!((400..600).contains(&failure.status(dialect)));
    }
}

/// What the client gets, and the text that was in it.
fn translated<'a>(pieces: impl Iterator<Item = &'a [u8]>, usage: bool) -> (Vec<u8>, Vec<u8>) {
    let terms = Terms { model: b"m".to_vec(), usage, ..Terms::default() };
    let (mut splitter, mut reader, mut out) = (Splitter::new(1 << 16), Reader::new(), Vec::new());
    let mut sequencer = Sequencer::new(StreamWriter::new(&terms), terms);
    let (mut texts, mut said) = (HashMap::<Key, bool>::new(), Vec::new());
    for piece in pieces {
        let pushed = splitter.push(piece, |event| {
            turn::Reader::event(&mut reader, event.name, event.data, &mut |word| {
                match &word {
                    Word::Open { key, block } => {
                        texts.insert(*key, *block == Open::Text);
                    }
                    Word::Delta { key, text } if texts[key] && !sequencer.is_over() => {
                        sidestream::json::text::copy_escaped(text, &mut said);
                    }
                    _ => {}
                }
                sequencer.say(word, &mut out);
            });
        });
        if pushed.is_err() {
            break;
        }
    }
    sequencer.finish(&mut out);
    assert!(sequencer.is_over());
    assert!(sequencer.has_begun() || (out.is_empty() && sequencer.failure().is_some()));
    (out, said)
}

/// Events, one for each two bytes.
fn made(choices: &[u8]) -> Vec<u8> {
    let mut stream = String::new();
    for pair in choices.chunks_exact(2) {
        let (index, text) = (pair[1] % 3, TEXTS[usize::from(pair[1] >> 4)]);
        let event = EVENTS[usize::from(pair[0]) % EVENTS.len()];
        let event = event.replace("INDEX", &index.to_string()).replace("TEXT", text);
        stream += &format!("data: {event}\n\n");
    }
    stream.into_bytes()
}

const EVENTS: &[&str] = &[
    r#"{"type":"message_start","message":{"id":"TEXT","model":"TEXT","content":[],"usage":{"input_tokens":INDEX}}}"#,
    r#"{"type":"content_block_start","index":INDEX,"content_block":{"type":"text","text":"TEXT"}}"#,
    r#"{"type":"content_block_start","index":INDEX,"content_block":{"type":"thinking","thinking":"TEXT","signature":"TEXT"}}"#,
    r#"{"type":"content_block_start","index":INDEX,"content_block":{"type":"redacted_thinking","data":"TEXT"}}"#,
    r#"{"type":"content_block_start","index":INDEX,"content_block":{"type":"tool_use","id":"TEXT","name":"TEXT","input":{}}}"#,
    r#"{"type":"content_block_start","index":INDEX,"content_block":{"type":"tool_use","id":"t","name":"f","input":{"a":"TEXT"}}}"#,
    r#"{"type":"content_block_start","index":INDEX,"content_block":{"type":"server_tool_use","id":"TEXT","name":"TEXT"}}"#,
    r#"{"type":"content_block_delta","index":INDEX,"delta":{"type":"text_delta","text":"TEXT"}}"#,
    r#"{"type":"content_block_delta","index":INDEX,"delta":{"type":"thinking_delta","thinking":"TEXT"}}"#,
    r#"{"type":"content_block_delta","index":INDEX,"delta":{"type":"signature_delta","signature":"TEXT"}}"#,
    r#"{"type":"content_block_delta","index":INDEX,"delta":{"type":"input_json_delta","partial_json":"TEXT"}}"#,
    r#"{"type":"content_block_delta","index":INDEX,"delta":{"type":"citations_delta","citation":{}}}"#,
    r#"{"type":"content_block_stop","index":INDEX}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"TEXT","stop_sequence":"TEXT"},"usage":{"output_tokens":INDEX}}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"refusal","stop_details":{"explanation":"TEXT"}}}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"}}"#,
    r#"{"type":"message_stop"}"#,
    r#"{"type":"error","error":{"type":"TEXT","message":"TEXT"}}"#,
    r#"{"type":"ping"}"#,
    r#"{"type":"TEXT","index":INDEX}"#,
    "TEXT",
];

const TEXTS: [&str; 16] = [
    "",
    "a",
    "b",
    "\\n",
    "\\\"",
    "\\ud83d",
    "\u{1F600}",
    "{",
    "}",
    "{\\\"a\\\":1}",
    " ",
    "[]",
    "\\u0000",
    "px1.",
    "end_turn",
    "max_tokens",
];
