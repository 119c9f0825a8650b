//! Whatever words a reader says, in any order, both kinds of clients get a legal stream, or a whole answer that is JSON.
#![no_main]

#[path = "../legal/chat.rs"]
mod chat;
#[path = "../legal/messages.rs"]
mod messages;

use libfuzzer_sys::fuzz_target;
use sidestream::dialect::chat::answer as to_chat;
use sidestream::dialect::failure::{Class, Failure};
use sidestream::dialect::messages::answer as to_messages;
use sidestream::dialect::sequencer::Sequencer;
use sidestream::dialect::turn::{Open, Stop, Terms, Usage, Word, Writer};

fuzz_target!(|input: &[u8]| {
    let Some((mode, choices)) = input.split_first() else { return };
    let terms = || Terms {
        model: b"m".to_vec(),
        thinking: mode & 1 != 0,
        usage: mode & 2 != 0,
        only_tool: (mode & 4 != 0).then(|| b"only".to_vec()),
        ..Terms::default()
    };
    messages::check(&written(to_messages::StreamWriter::new(&terms(), "x"), terms(), choices));
    chat::checked(&written(to_chat::StreamWriter::new(&terms()), terms(), choices));
    for body in [
        written(to_messages::BodyWriter::new(&terms(), "x"), terms(), choices),
        written(to_chat::BodyWriter::new(&terms()), terms(), choices),
    ] {
        assert!(body.is_empty() || serde_json::from_slice::<serde_json::Value>(&body).is_ok());
    }
});

fn written(writer: impl Writer, terms: Terms, choices: &[u8]) -> Vec<u8> {
    let (mut sequencer, mut out) = (Sequencer::new(writer, terms), Vec::new());
    for chunk in choices.chunks(3) {
        let at = |place: usize| usize::from(chunk.get(place).copied().unwrap_or_default());
        let (key, text) = (at(1) as u32 % 4, TEXTS[at(2) % TEXTS.len()].as_bytes());
        let (id, name) = (IDS[at(1) / 4 % IDS.len()].as_bytes(), IDS[at(2) % IDS.len()].as_bytes());
        let stop = STOPS[at(1) % STOPS.len()];
        let count = (at(2) > 127).then_some(at(2) as u64);
        sequencer.say(
            match at(0) % 16 {
                0 => Word::Start { id, model: name },
                1 => Word::Open { key, block: Open::Text },
                2 => Word::Open { key, block: Open::Thinking },
                3 => Word::Open { key, block: Open::RedactedThinking(text) },
                4 => Word::Open { key, block: Open::Refusal },
                5 | 6 => Word::Open { key, block: Open::ToolCall { id, name } },
                7..=10 => Word::Delta { key, text },
                11 => Word::Signature { key, signature: text },
                12 => Word::Close { key },
                13 => Word::Stop(stop, (at(2) % 2 == 1).then_some(text)),
                14 => Word::Usage(Usage { input: count, output: Some(1), ..Usage::default() }),
                _ => match at(1) {
                    0..8 => Word::End,
                    8..16 => Word::Failed(Failure::new(Class::Overloaded, "m")),
                    16..64 => Word::Ping,
                    _ => Word::Foreign("x".into()),
                },
            },
            &mut out,
        );
    }
    sequencer.finish(&mut out);
    assert!(sequencer.is_over());
    assert!(sequencer.has_begun() || (out.is_empty() && sequencer.failure().is_some()));
    out
}

const STOPS: [Stop; 7] =
    [Stop::EndTurn, Stop::ToolUse, Stop::MaxTokens, Stop::ContextFull, Stop::Sequence, Stop::Refusal, Stop::Pause];
const IDS: [&str; 6] = ["", "a", "b", "c.d", "f", "g"];
const TEXTS: [&str; 14] =
    ["", "a", " ", "\\n", "\\u00e9", "{", "}", "{}", "\\\"x\\\"", ":", "1", "null", "[", "{\\\"x\\\":\\\"lo"];
