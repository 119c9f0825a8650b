//! What a token costs on its way to a client of another dialect, from its event to the event written.

use std::hint::black_box;

use sidestream::dialect::Dialect;
use sidestream::dialect::chat::answer::Reader as ChatReader;
use sidestream::dialect::profile::Profile;
use sidestream::dialect::translate::{Answer, Asking, answer};
use sidestream::dialect::turn::{Reader as _, Terms};
use sidestream::sse::frame;

use super::{Piece, Work};

pub fn pieces() -> Vec<Piece> {
    let [openai, vllm] = [filled(STREAMS[0].1, 1), filled(STREAMS[1].1, 2)];
    let streams = STREAMS.map(|(server, event)| {
        Piece::new(format!("answer, Chat to Messages: an event of {server}"), move || stream(event)).calls(2)
    });
    let both = [openai.clone(), vllm];
    let rest = [
        Piece::new("answer, Chat to Messages: recognised", || repeated(chat_to_messages(), &[openai])),
        Piece::new("answer, Chat to Messages: not recognised", move || repeated(chat_to_messages(), &both)),
        Piece::new("answer, Messages to Chat: recognised", || repeated(messages_to_chat(), &[DELTA.into()])),
        Piece::new("answer, Messages to Chat: not recognised", || {
            repeated(messages_to_chat(), &[DELTA.into(), DELTA_SPACED.into()])
        }),
    ];
    streams.into_iter().chain(rest).collect()
}

const STREAM_EVENTS: usize = 256;
/// Room for all that a call writes.
const OUT_BYTES: usize = 1 << 20;

/// An event among others of its stream, some of which differ in more than the token.
fn stream(event: &str) -> Work {
    let data: Vec<Vec<u8>> = (0..STREAM_EVENTS).map(|number| filled(event, number)).collect();
    let mut reader = ChatReader::new(&Profile::default());
    data.iter().for_each(|data| reader.event(b"", data, &mut |_| {}));
    let note = format!("{:.1} % recognised", reader.recognised() as f64 / STREAM_EVENTS as f64 * 100.0);
    let events: Vec<_> = data.iter().map(|data| framed(data)).collect();
    let bytes = events.iter().map(Vec::len).sum::<usize>() / STREAM_EVENTS;
    let mut out = Vec::with_capacity(OUT_BYTES);
    let call = move || {
        let mut answer = chat_to_messages();
        out.clear();
        events.iter().for_each(|event| answer.events(black_box(event), &mut out));
        black_box(out.len());
    };
    Work { units: STREAM_EVENTS as u32, note, ..Work::new(bytes, call) }
}

/// Events of one stream, over and over: one is recognised from its second time on, two that differ never are.
fn repeated(mut answer: Box<dyn Answer>, data: &[Vec<u8>]) -> Work {
    let events: Vec<_> = data.iter().map(|data| framed(data)).collect();
    let (units, bytes) = (events.len(), events.iter().map(Vec::len).sum::<usize>() / events.len());
    let mut out = Vec::with_capacity(OUT_BYTES);
    let call = move || {
        out.clear();
        events.iter().for_each(|event| answer.events(black_box(event), &mut out));
        assert!(!out.is_empty());
    };
    Work { units: units as u32, ..Work::new(bytes, call) }
}

fn chat_to_messages() -> Box<dyn Answer> {
    let terms = Terms { thinking: true, ..Terms::default() };
    answer(Dialect::Chat, Asking::Messages, true, terms, &Profile::default())
}

fn messages_to_chat() -> Box<dyn Answer> {
    let terms = Terms { model: b"m".to_vec(), ..Terms::default() };
    let mut answer = answer(Dialect::Messages, Asking::Chat, true, terms, &Profile::default());
    let begin = br#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
    answer.events(&framed(begin), &mut Vec::new());
    answer
}

/// An event without a name: servers of Messages give one, and it is in the data too.
fn framed(data: &[u8]) -> Vec<u8> {
    let mut event = Vec::new();
    frame::write_event(&mut event, "", data);
    event
}

const DELTA: &str = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" word"}}"#;
const DELTA_SPACED: &str =
    r#"{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " word"}}"#;

/// Events as servers stream them: `$t` is a token, `$n` a number that grows, `$f` a fraction, `$o` an obfuscation.
#[rustfmt::skip]
pub const STREAMS: [(&str, &str); 6] = [
    ("OpenAI", r#"{"id":"chatcmpl-0123456789","object":"chat.completion.chunk","created":1795355991,"model":"m","service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":"$t"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"$o"}"#),
    ("vLLM", r#"{"id":"chatcmpl-01","object":"chat.completion.chunk","created":1795355991,"model":"m","choices":[{"index":0,"delta":{"content":"$t"},"logprobs":null,"finish_reason":null,"token_ids":null}]}"#),
    ("vLLM, reasoning", r#"{"id":"chatcmpl-01","object":"chat.completion.chunk","created":1795355991,"model":"m","choices":[{"index":0,"delta":{"reasoning":"$t","content":null},"logprobs":null,"finish_reason":null,"token_ids":null}]}"#),
    ("OpenRouter", r#"{"id":"gen-1795355991-abc","provider":"P","model":"p/m","object":"chat.completion.chunk","created":$n,"choices":[{"index":0,"delta":{"role":"assistant","content":"$t"},"finish_reason":null,"native_finish_reason":null,"logprobs":null}],"system_fingerprint":"fp_1"}"#),
    ("llama.cpp, timings", r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"$t"}}],"created":$n,"id":"chatcmpl-1","model":"m","object":"chat.completion.chunk","timings":{"prompt_n":11,"prompt_ms":$f,"predicted_n":$n,"predicted_ms":$f,"predicted_per_token_ms":$f,"predicted_per_second":$f}}"#),
    ("OpenAI, arguments of a call", r#"{"id":"chatcmpl-01","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"$t"}}]},"finish_reason":null}],"usage":null,"obfuscation":"$o"}"#),
];

/// One event of a stream.
pub fn filled(event: &str, number: usize) -> Vec<u8> {
    let words = [" word", " the", "\\n", " caf\u{e9}", "\\\"", " of"];
    // Arguments go on for as long as the stream does.
    let arguments = ["\\\"", "src", "/main", ".rs\\\",", " 42", ","];
    let token = match event.contains("arguments") {
        true if number == 0 => "{\\\"paths\\\":[",
        true => arguments[(number - 1) % arguments.len()],
        false => words[number % words.len()],
    };
    let (fraction, obfuscation) =
        (format!("{}.{}", number * 7 % 100, number % 1000), &"aB3dE6gHiJkLmNo"[number * 5 % 13..]);
    let event = event.replace("$t", token).replace("$n", &(1000 + number).to_string());
    event.replace("$f", &fraction).replace("$o", obfuscation).into_bytes()
}
