//! What the pure pieces cost on real input: `cargo bench`.
//!
//! Times are for looking, never for tests: a shared machine changes them by half. Compare medians of one run with each
//! other, or count instructions: `valgrind --tool=callgrind` on the binary that `cargo bench --no-run` names.

use std::hint::black_box;
use std::time::Instant;

use sidestream::dialect::loss::Losses;
use sidestream::dialect::profile::{Profile, Target};
use sidestream::dialect::turn::Terms;
use sidestream::dialect::usage::UsageReader;
use sidestream::dialect::{chat, messages};
use sidestream::http::chunked::ChunkDecoder;
use sidestream::http::fields;
use sidestream::http::framing;
use sidestream::http::head::{HeadKind, HeadScanner, RequestHead};
use sidestream::http::write;
use sidestream::json::{Index, Scanner};
use sidestream::limits;
use sidestream::sse::{Splitter, Tail};

const ROUNDS: usize = 15;
const REPEATS: u32 = 2_000;

fn main() {
    let turn = include_bytes!("../tests/data/captures/cc-hi-002.body");
    let small = include_bytes!("../tests/data/captures/node-sdk-013.body");
    let head = agent_head(turn.len());
    let event = event();
    let mut chunk = format!("{:x}\r\n", event.len()).into_bytes();
    chunk.extend_from_slice(&event);
    chunk.extend_from_slice(b"\r\n");

    println!("{:<44}{:>10}{:>12}{:>12}", "piece", "bytes", "ns", "ns/byte");
    let (mut scanner, mut parsed) = (HeadScanner::default(), RequestHead::default());
    measure("request head: find, parse, frame", head.len(), || {
        scanner.reset();
        let end = scanner.push(HeadKind::Request, &head).unwrap().unwrap();
        parsed.parse(&head[..end]).unwrap();
        black_box(framing::of_request(&parsed).unwrap());
    });
    let mut out = Vec::new();
    measure("request head: write the end-to-end fields", head.len(), || {
        out.clear();
        fields::end_to_end(&parsed).for_each(|(name, value)| write::field(&mut out, name, value));
        black_box(out.len());
    });
    let mut members = Scanner::new(&["model", "stream", "store"]);
    for (name, body) in [("JSON body of an SDK", &small[..]), ("JSON body of an agent's turn", &turn[..])] {
        measure(name, body.len(), || {
            members.reset();
            body.chunks(limits::READ_BYTES).for_each(|read| members.push(read).unwrap());
            members.finish().unwrap();
            black_box(members.get("model"));
        });
    }
    let mut decoder = ChunkDecoder::default();
    measure("chunk of one event: check", chunk.len(), || {
        black_box(
            decoder
                .push(&chunk, |piece| {
                    black_box(piece);
                })
                .unwrap(),
        );
    });
    let mut splitter = Splitter::new(limits::EVENT_BYTES_MAX);
    measure("event: split", event.len(), || {
        splitter
            .push(&event, |event| {
                black_box(event.end);
            })
            .unwrap();
    });
    let mut tail = Tail::default();
    measure("event: is it whole", event.len(), || {
        tail.push(black_box(&event));
        black_box(tail.is_between_events());
    });
    usage();
    translation(turn);
}

/// What reading the usage in passing costs: on most events nothing but the search for a word.
fn usage() {
    let pad = |event: &str| {
        let text = "w".repeat(300 - event.len() - 2);
        format!("{}\n\n", event.replace("TEXT", &(text + "TEXT"))).into_bytes()
    };
    let without = pad(r#"data: {"id":"c","choices":[{"index":0,"delta":{"content":"TEXT"},"finish_reason":null}]}"#);
    let null = pad(r#"data: {"id":"c","choices":[{"index":0,"delta":{"content":"TEXT"}}],"usage":null}"#);
    let with = pad(
        r#"data: {"id":"c","choices":[],"model":"TEXT","usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":4}}}"#,
    );
    let mut reader = UsageReader::new();
    for (name, event) in [("no usage", &without), ("usage is null", &null), ("a report", &with)] {
        measure(&format!("event: usage in passing, {name}"), event.len(), || reader.push_stream(black_box(event)));
    }
    measure("event: usage in passing, in two pieces", without.len(), || {
        let (first, second) = without.split_at(100);
        reader.push_stream(black_box(first));
        reader.push_stream(black_box(second));
    });
    black_box(reader.usage());
    let body = format!(
        r#"{{"id":"c","choices":[{{"message":{{"content":"{}"}}}}],"usage":{{"prompt_tokens":12}}}}"#,
        "w".repeat(4_000)
    );
    measure("JSON answer: usage in passing", body.len(), || {
        reader.reset();
        reader.push_json(black_box(body.as_bytes()));
        black_box(reader.usage());
    });
}

/// What a request costs that goes to another dialect.
fn translation(turn: &[u8]) {
    let mut index = Index::default();
    measure("request: index", turn.len(), || {
        black_box(index.read(turn).unwrap());
    });
    let profile = Profile::of("vllm", None);
    let mut out = Vec::new();
    measure("request: index, Messages to Chat", turn.len(), || {
        out.clear();
        let (mut losses, mut terms) = (Losses::default(), Terms::default());
        let request = messages::request::read(index.read(turn).unwrap(), &mut losses).unwrap();
        let to = Target { model: "Qwen/Qwen3-32B", profile: &profile };
        chat::request::write(&request, &to, &mut terms, &mut losses, &mut out).unwrap();
        black_box(out.len());
    });
}

/// Prints the median of [`ROUNDS`] rounds of [`REPEATS`] calls each.
fn measure(name: &str, bytes: usize, mut work: impl FnMut()) {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            (0..REPEATS).for_each(|_| work());
            began.elapsed().as_nanos() as f64 / f64::from(REPEATS)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    let median = rounds[ROUNDS / 2];
    println!("{name:<44}{bytes:>10}{median:>12.0}{:>12.3}", median / bytes as f64);
}

/// A head as an agent sends it: about 25 fields.
fn agent_head(length: usize) -> Vec<u8> {
    let mut head = b"POST /v1/messages?beta=true HTTP/1.1\r\nHost: 127.0.0.1:7730\r\n".to_vec();
    for number in 0..20 {
        head.extend_from_slice(format!("x-stainless-field-{number}: value of the field {number}\r\n").as_bytes());
    }
    head.extend_from_slice(b"authorization: Bearer sk-0123456789012345678901234567890123456789\r\n");
    head.extend_from_slice(format!("content-type: application/json\r\ncontent-length: {length}\r\n\r\n").as_bytes());
    head
}

/// An event as a provider streams it.
fn event() -> Vec<u8> {
    let data = r#"{"id":"chatcmpl-0123456789","object":"chat.completion.chunk","created":1795355991,"model":"m","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}],"usage":null,"obfuscation":"aB3dE"}"#;
    let mut event = Vec::new();
    sidestream::sse::frame::write_event(&mut event, "", data.as_bytes());
    event
}
