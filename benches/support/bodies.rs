//! Bodies on their way through: the scanner of JSON, chunks, events, and the usage that is read in passing.

use std::hint::black_box;

use sidestream::dialect::usage::UsageReader;
use sidestream::http::chunked::{ChunkDecoder, write_chunk};
use sidestream::json::Scanner;
use sidestream::limits;
use sidestream::sse::{Splitter, Tail, frame};

use super::{Piece, Work, captures};

pub fn pieces() -> Vec<Piece> {
    let stream = |name, event: fn() -> Vec<u8>| Piece::new(name, move || usage_of_stream(&event(), usize::MAX));
    vec![
        Piece::new("JSON body of an SDK", || scanned(captures::SDK)),
        Piece::new("JSON body of an agent's turn", || scanned(captures::AGENT_LARGE)),
        Piece::new("chunk of one event: check", chunk),
        Piece::new("event: split", split),
        Piece::new("event: is it whole", whole),
        stream("event: usage in passing, no usage", || padded(SILENT)),
        stream("event: usage in passing, usage is null", || padded(NULL)),
        stream("event: usage in passing, a report", || padded(REPORT)),
        Piece::new("event: usage in passing, in two pieces", || usage_of_stream(&padded(SILENT), 100)),
        Piece::new("JSON answer: usage in passing", usage_of_json),
    ]
}

fn scanned(body: &'static [u8]) -> Work {
    let mut members = Scanner::new(&["model", "stream", "store"]);
    Work::new(body.len(), move || {
        members.reset();
        black_box(body).chunks(limits::READ_BYTES).for_each(|read| members.push(read).unwrap());
        members.finish().unwrap();
        black_box(members.get("model"));
    })
}

fn chunk() -> Work {
    let (mut decoder, mut chunk) = (ChunkDecoder::default(), Vec::new());
    write_chunk(&mut chunk, &event());
    Work::new(chunk.len(), move || {
        let progress = decoder.push(black_box(&chunk), |piece| {
            black_box(piece);
        });
        black_box(progress.unwrap());
    })
}

fn split() -> Work {
    let (mut splitter, event) = (Splitter::new(limits::EVENT_BYTES_MAX), event());
    Work::new(event.len(), move || {
        let pushed = splitter.push(black_box(&event), |event| {
            black_box(event.end);
        });
        pushed.unwrap();
    })
}

fn whole() -> Work {
    let (mut tail, event) = (Tail::default(), event());
    Work::new(event.len(), move || {
        tail.push(black_box(&event));
        black_box(tail.is_between_events());
    })
}

fn usage_of_stream(event: &[u8], first: usize) -> Work {
    let (first, second) = event.split_at(first.min(event.len()));
    let (first, second) = (first.to_vec(), second.to_vec());
    let mut reader = UsageReader::new();
    Work::new(event.len(), move || {
        reader.push_stream(black_box(&first));
        if !second.is_empty() {
            reader.push_stream(black_box(&second));
        }
    })
}

fn usage_of_json() -> Work {
    let text = "w".repeat(4_000);
    let body =
        format!(r#"{{"id":"c","choices":[{{"message":{{"content":"{text}"}}}}],"usage":{{"prompt_tokens":12}}}}"#);
    let mut reader = UsageReader::new();
    Work::new(body.len(), move || {
        reader.reset();
        reader.push_json(black_box(body.as_bytes()));
        black_box(reader.usage());
    })
}

/// An event as a provider streams it.
fn event() -> Vec<u8> {
    let data = r#"{"id":"chatcmpl-0123456789","object":"chat.completion.chunk","created":1795355991,"model":"m","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}],"usage":null,"obfuscation":"aB3dE"}"#;
    let mut event = Vec::new();
    frame::write_event(&mut event, "", data.as_bytes());
    event
}

/// Three ways in which an event speaks of usage, with `TEXT` for the room that is left to 300 bytes.
const SILENT: &str = r#"data: {"id":"c","choices":[{"index":0,"delta":{"content":"TEXT"},"finish_reason":null}]}"#;
const NULL: &str = r#"data: {"id":"c","choices":[{"index":0,"delta":{"content":"TEXT"}}],"usage":null}"#;
const REPORT: &str = r#"data: {"id":"c","choices":[],"model":"TEXT","usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":4}}}"#;

fn padded(event: &str) -> Vec<u8> {
    let text = "w".repeat(300 - event.len() - 2);
    format!("{}\n\n", event.replace("TEXT", &(text + "TEXT"))).into_bytes()
}
