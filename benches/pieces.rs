//! What the pure pieces cost on real input: `cargo bench`.
//!
//! Times are for looking, never for tests: a shared machine changes them by half. Compare medians of one run with each
//! other, or count instructions: `valgrind --tool=callgrind` on the binary that `cargo bench --no-run` names. A part of a
//! piece's name behind `cargo bench --bench pieces --` measures that piece alone.

use std::hint::black_box;
use std::time::Instant;

use sidestream::dialect::Dialect;
use sidestream::dialect::chat::answer::Reader;
use sidestream::dialect::loss::Losses;
use sidestream::dialect::messages::answer::StreamWriter;
use sidestream::dialect::messages::request::read_to_count;
use sidestream::dialect::profile::{Profile, Target};
use sidestream::dialect::sequencer::Sequencer;
use sidestream::dialect::turn::{Reader as _, Terms};
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
use sidestream::tokens::{self, BlockCounts, Rules};

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
    parsed.parse(&head).unwrap();
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
    answers();
    answers_to_chat();
    counting();
}

/// What a token of a Chat stream costs on its way to a Messages client, from its event's data to the event written; and
/// how many of a stream's events are recognised without being read.
fn answers() {
    println!("\n{:<44}{:>10}{:>12}{:>12}", "answer, Chat to Messages, per event", "bytes", "ns", "recognised");
    for (name, event) in STREAMS {
        if !is_wanted(name) {
            continue;
        }
        let events: Vec<Vec<u8>> = (0..512).map(|number| filled(event, number)).collect();
        let bytes = events.iter().map(Vec::len).sum::<usize>() / events.len();
        let mut out = Vec::with_capacity(1 << 20);
        let mut rounds: Vec<f64> = Vec::new();
        let mut recognised = 0.0;
        for _ in 0..200 {
            let terms = Terms { thinking: true, ..Terms::default() };
            let mut sequencer = Sequencer::new(StreamWriter::new(&terms, "chat"), terms);
            let mut reader = Reader::new(&Profile::default());
            out.clear();
            let began = Instant::now();
            for event in &events {
                reader.event(b"", black_box(event), &mut |word| sequencer.say(word, &mut out));
            }
            rounds.push(began.elapsed().as_nanos() as f64 / events.len() as f64);
            recognised = reader.recognised() as f64 / events.len() as f64 * 100.0;
            black_box(out.len());
        }
        rounds.sort_by(f64::total_cmp);
        println!("{name:<44}{bytes:>10}{:>12.0}{recognised:>11.1}%", rounds[rounds.len() / 2]);
    }
    let (event, other) = (filled(STREAMS[0].1, 1), filled(STREAMS[1].1, 2));
    let terms = Terms { thinking: true, ..Terms::default() };
    let mut sequencer = Sequencer::new(StreamWriter::new(&terms, "chat"), terms);
    let mut reader = Reader::new(&Profile::default());
    let mut out = Vec::with_capacity(1 << 20);
    measure("answer: two events that are not recognised", event.len() + other.len(), || {
        out.clear();
        for event in [&event, &other] {
            reader.event(b"", black_box(event), &mut |word| sequencer.say(word, &mut out));
        }
    });
    measure("answer: an event that is recognised", event.len(), || {
        out.clear();
        reader.event(b"", black_box(&event), &mut |word| sequencer.say(word, &mut out));
    });
}

/// Events as servers stream them: `$t` is a token, `$n` a number that grows, `$f` a fraction, `$o` an obfuscation.
#[rustfmt::skip]
const STREAMS: [(&str, &str); 6] = [
    ("OpenAI", r#"{"id":"chatcmpl-0123456789","object":"chat.completion.chunk","created":1795355991,"model":"m","service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":"$t"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"$o"}"#),
    ("vLLM", r#"{"id":"chatcmpl-01","object":"chat.completion.chunk","created":1795355991,"model":"m","choices":[{"index":0,"delta":{"content":"$t"},"logprobs":null,"finish_reason":null,"token_ids":null}]}"#),
    ("vLLM, reasoning", r#"{"id":"chatcmpl-01","object":"chat.completion.chunk","created":1795355991,"model":"m","choices":[{"index":0,"delta":{"reasoning":"$t","content":null},"logprobs":null,"finish_reason":null,"token_ids":null}]}"#),
    ("OpenRouter", r#"{"id":"gen-1795355991-abc","provider":"P","model":"p/m","object":"chat.completion.chunk","created":$n,"choices":[{"index":0,"delta":{"role":"assistant","content":"$t"},"finish_reason":null,"native_finish_reason":null,"logprobs":null}],"system_fingerprint":"fp_1"}"#),
    ("llama.cpp, timings", r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"$t"}}],"created":$n,"id":"chatcmpl-1","model":"m","object":"chat.completion.chunk","timings":{"prompt_n":11,"prompt_ms":$f,"predicted_n":$n,"predicted_ms":$f,"predicted_per_token_ms":$f,"predicted_per_second":$f}}"#),
    ("OpenAI, arguments of a call", r#"{"id":"chatcmpl-01","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"$t"}}]},"finish_reason":null}],"usage":null,"obfuscation":"$o"}"#),
];

/// One event of a stream.
fn filled(event: &str, number: usize) -> Vec<u8> {
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

/// What counting 200 KB of an agent's conversation costs: the first time, and with its next turn. It runs on a helper thread.
fn counting() {
    let (body, next) = (conversation(100), conversation(101));
    let rules = Rules::of("glm-4.6", Dialect::Chat);
    let mut index = Index::default();
    let mut count = |body: &[u8], memory: &BlockCounts| {
        let request = read_to_count(index.read(body).unwrap(), &mut Losses::default()).unwrap();
        black_box(tokens::count(&request, &rules, memory));
    };
    let (load, began) = ("tokens: load the table, once", Instant::now());
    if is_wanted(load) {
        count(b"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}", &BlockCounts::default());
        println!("{load:<44}{:>10}{:>12}", "", began.elapsed().as_nanos());
    }
    measure_by("tokens: count, nothing is known", body.len(), 2, || count(&body, &BlockCounts::default()));
    let memory = BlockCounts::default();
    measure_by("tokens: count, all is known", body.len(), 100, || count(&body, &memory));
    let mut turns = conversations(&next).into_iter();
    measure_by("tokens: count, one turn is new", next.len(), 4, || count(&turns.next().unwrap(), &memory));
    measure_by("tokens: read without counting", body.len(), 100, || {
        let mut index = Index::default();
        black_box(read_to_count(index.read(&body).unwrap(), &mut Losses::default()).unwrap().turns.len());
    });
}

/// An agent's conversation: calls, and results of 2 KB each of code and prose.
fn conversation(turns: usize) -> Vec<u8> {
    let source =
        [include_str!("pieces.rs"), include_str!("../README.md"), include_str!("../docs/dependencies.md")].concat();
    let mut messages = String::from(r#"{"role":"user","content":"Look at all of it, and say what it is."}"#);
    let mut pieces = source.as_bytes().chunks_exact(1900).cycle();
    for turn in 0..turns {
        let mut text = Vec::new();
        sidestream::json::text::escape(format!("{turn} ").as_bytes(), &mut text);
        sidestream::json::text::escape(pieces.next().unwrap(), &mut text);
        let text = String::from_utf8(text).unwrap();
        messages += &format!(
            r#",{{"role":"assistant","content":[{{"type":"tool_use","id":"toolu_{turn}","name":"Read","input":{{"file_path":"/src/file_{turn}.rs"}}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"toolu_{turn}","content":"{text}"}}]}}"#
        );
    }
    format!(r#"{{"model":"m","max_tokens":1000,"messages":[{messages}]}}"#).into_bytes()
}

/// The same conversation over and over, each time with another last turn.
fn conversations(body: &[u8]) -> Vec<Vec<u8>> {
    let body = String::from_utf8(body.to_vec()).unwrap();
    (0..ROUNDS * 4)
        .map(|number| body.replace("\"content\":\"100 ", &format!("\"content\":\"100 {number} ")).into_bytes())
        .collect()
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

/// What a request costs that goes to another dialect. The long one goes through on a helper thread.
fn translation(turn: &[u8]) {
    let mut index = Index::default();
    measure("request: index", turn.len(), || {
        black_box(index.read(turn).unwrap());
    });
    let (profile, long) = (Profile::of("vllm", None), conversation(500));
    let mut out = Vec::new();
    for (name, body, repeats) in [
        ("request: index, Messages to Chat", turn, REPEATS),
        ("request: index, Messages to Chat, 500 turns", &long[..], REPEATS / 20),
    ] {
        measure_by(name, body.len(), repeats, || {
            out.clear();
            let (mut losses, mut terms) = (Losses::default(), Terms::default());
            let request = messages::request::read(index.read(body).unwrap(), &mut losses).unwrap();
            let to = Target { model: "Qwen/Qwen3-32B", profile: &profile };
            chat::request::write(&request, &to, &mut terms, &mut losses, &mut out).unwrap();
            black_box(out.len());
        });
    }
}

/// Prints the median of [`ROUNDS`] rounds of [`REPEATS`] calls each.
fn measure(name: &str, bytes: usize, work: impl FnMut()) {
    measure_by(name, bytes, REPEATS, work);
}

/// The same with so many calls each.
fn measure_by(name: &str, bytes: usize, repeats: u32, mut work: impl FnMut()) {
    if !is_wanted(name) {
        return;
    }
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            (0..repeats).for_each(|_| work());
            began.elapsed().as_nanos() as f64 / f64::from(repeats)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    let median = rounds[ROUNDS / 2];
    println!("{name:<44}{bytes:>10}{median:>12.0}{:>12.3}", median / bytes as f64);
}

/// The command line names no piece, or this one by a part of its name.
fn is_wanted(name: &str) -> bool {
    std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).all(|part| name.contains(&part))
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

/// The same from Messages to Chat.
fn answers_to_chat() {
    let terms = Terms { model: b"m".to_vec(), ..Terms::default() };
    let mut sequencer = Sequencer::new(chat::answer::StreamWriter::new(&terms), terms);
    let mut reader = messages::answer::Reader::new();
    let mut out = Vec::with_capacity(1 << 20);
    let begin = br#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
    reader.event(b"", begin, &mut |word| sequencer.say(word, &mut out));
    let event = br#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" word"}}"#;
    let spaced = br#"{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " word"}}"#;
    measure("answer, Messages to Chat: two events, read", event.len() + spaced.len(), || {
        out.clear();
        for event in [&event[..], spaced] {
            reader.event(b"", black_box(event), &mut |word| sequencer.say(word, &mut out));
        }
    });
    measure("answer, Messages to Chat: recognised", event.len(), || {
        out.clear();
        reader.event(b"", black_box(event), &mut |word| sequencer.say(word, &mut out));
    });
}
