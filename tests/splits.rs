//! Every decoder gives the same output however its input is split: bytes come from a socket in pieces of its choosing.
//!
//! A decoder takes part with one `fn NAME(input: &[u8], cuts: &[usize])` that calls [`every_split_agrees`], and with
//! one entry in each test that should feed it.

use std::collections::HashMap;
use std::fmt::Debug;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::value::RawValue;
use sidestream::dialect::usage::{Usage, UsageReader};
use sidestream::json::{JsonError, Member, Scanner, What};
use sidestream::sse::{Splitter, Tail, frame};

// ── The property ────────────────────────────────────────────────────────────────────────────────────────────────────

/// Feeds `input` to a `new` decoder in one piece and, to another, in pieces that end at `cuts` (ascending offsets, equal
/// ones give empty pieces); both must give the same output.
///
/// `push` hands one piece to the decoder and records in `O` all that it gives, errors included. It sees the piece's
/// offset in the input to make relative places absolute. `finish` tells the decoder of the input's end, and records too.
fn every_split_agrees<D, O: Default + PartialEq + Debug>(
    input: &[u8],
    cuts: &[usize],
    new: impl Fn() -> D,
    push: impl Fn(&mut D, usize, &[u8], &mut O),
    finish: impl Fn(&mut D, &mut O),
) {
    let run = |cuts: &[usize]| {
        let (mut decoder, mut output, mut start) = (new(), O::default(), 0);
        for &end in cuts.iter().chain([&input.len()]) {
            push(&mut decoder, start, &input[start..end], &mut output);
            start = end;
        }
        finish(&mut decoder, &mut output);
        output
    };
    let (whole, pieces) = (run(&[]), run(cuts));
    assert_eq!(whole, pieces, "{} cut at {cuts:?}", input.escape_ascii());
}

/// Cuts for a fixed input: byte by byte, every split in two, and for short inputs every split in three.
fn all_cuts(length: usize) -> Vec<Vec<usize>> {
    let mut all = vec![(1..length).collect()];
    all.extend((0..=length).map(|cut| vec![cut]));
    if length <= 80 {
        all.extend((0..=length).flat_map(|a| (a..=length).map(move |b| vec![a, b])));
    }
    all
}

/// Cuts for a large input: pieces of some sizes that are no multiples of each other, and splits in two spread over it.
fn sampled_cuts(length: usize) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = [1, 2, 7, 1448, 16 * 1024].map(|size| (size..length).step_by(size).collect()).into();
    all.extend((0..length).step_by(length / 61 + 1).map(|cut| vec![cut]));
    all
}

/// Random cuts of an input of that length.
fn cuts(length: usize) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..=length, 0..12).prop_map(|mut cuts| {
        cuts.sort_unstable();
        cuts
    })
}

/// Inputs of `strategy` with random cuts.
fn with_cuts(strategy: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = (Vec<u8>, Vec<usize>)> {
    strategy.prop_flat_map(|input| {
        let cuts = cuts(input.len());
        (Just(input), cuts)
    })
}

// ── The decoders ────────────────────────────────────────────────────────────────────────────────────────────────────

/// What a splitter gave; whether it failed; where it stood at last.
#[derive(Debug, Default, PartialEq)]
struct Events {
    events: Vec<OwnedEvent>,
    too_long: bool,
    retry_ms: Option<u64>,
    between: bool,
}

#[derive(Debug, PartialEq)]
struct OwnedEvent {
    name: Vec<u8>,
    data: Vec<u8>,
    id: Option<Vec<u8>>,
    end: usize,
}

fn sse_splitter(input: &[u8], cuts: &[usize], event_bytes_max: usize) {
    every_split_agrees(
        input,
        cuts,
        || Splitter::new(event_bytes_max),
        |splitter, start, piece, out: &mut Events| {
            let result = splitter.push(piece, |event| {
                assert!(event.end <= piece.len());
                let mut end = start + event.end;
                // The LF of a CRLF may come with the next piece.
                if input[..end].ends_with(b"\r") && input[end..].starts_with(b"\n") {
                    end += 1;
                }
                out.events.push(OwnedEvent {
                    name: event.name.to_vec(),
                    data: event.data.to_vec(),
                    id: event.id.map(<[u8]>::to_vec),
                    end,
                });
            });
            assert!(result.is_err() || !out.too_long, "an error stays");
            out.too_long = result.is_err();
        },
        |splitter, out| {
            out.retry_ms = splitter.retry_ms();
            out.between = splitter.is_between_events();
        },
    );
}

fn sse_tail(input: &[u8], cuts: &[usize]) {
    every_split_agrees(
        input,
        cuts,
        Tail::default,
        |tail, _, piece, _: &mut Option<Tail>| tail.push(piece),
        |tail, out| *out = Some(*tail),
    );
}

/// Of a stream and of a body: the reader takes either.
fn usage_reader(input: &[u8], cuts: &[usize]) {
    for push in [UsageReader::push_stream, UsageReader::push_json] {
        every_split_agrees(
            input,
            cuts,
            UsageReader::new,
            |reader, _, piece, _: &mut Usage| push(reader, piece),
            |reader, out| *out = reader.usage(),
        );
    }
}

const KEYS: &[&str] = &["model", "stream", "n"];

fn json_scanner(input: &[u8], cuts: &[usize]) {
    #[derive(Debug, Default, PartialEq)]
    struct Found(Option<JsonError>, Vec<Option<Member>>);
    every_split_agrees(
        input,
        cuts,
        || Scanner::new(KEYS),
        |scanner, _, piece, out: &mut Found| out.0 = out.0.or(scanner.push(piece).err()),
        |scanner, out| {
            let failed = scanner.finish().err();
            assert!(out.0.is_none() || out.0 == failed, "an error stays");
            out.0 = failed;
            out.1 = KEYS.iter().map(|key| scanner.get(key)).collect();
        },
    );
}

/// At every byte the tail says what the splitter says. A first line that is a BOM and nothing else is where it may say
/// no for yes; never yes for no.
fn tail_agrees_with_splitter(input: &[u8]) {
    let (mut splitter, mut tail) = (Splitter::new(usize::MAX / 2), Tail::default());
    let bom_line = [&b"\xEF\xBB\xBF\n"[..], b"\xEF\xBB\xBF\r"].iter().any(|line| input.starts_with(line));
    assert!(tail.is_between_events() && splitter.is_between_events());
    for (at, byte) in input.iter().enumerate() {
        splitter.push(&[*byte], |_| {}).unwrap();
        tail.push(&[*byte]);
        let (exact, cheap) = (splitter.is_between_events(), tail.is_between_events());
        let unseen = bom_line && (at == 3 || at == 4);
        assert!(cheap == exact || unseen && !cheap, "{} at {at}", input.escape_ascii());
    }
}

// ── Server-sent events ──────────────────────────────────────────────────────────────────────────────────────────────

const STREAMS: &[&[u8]] = &[
    b"",
    b"\n",
    b"\r\r\n\r\n\n\r",
    b"data: a\n\ndata: b\n\n",
    b"data: a\r\n\r\ndata: b\r\n\r\n",
    b"data: a\r\rdata: b\r\r\n\n",
    b"data: a\n\r\ndata: b\r\n\rdata: c\n\r",
    b"\xEF\xBB\xBFdata: a\n\n\xEF\xBB\xBFdata: b\n\n",
    b"\xEF\xBB\xBF\r\ndata: a\n\n",
    b"\xEF\xBB\xBF\xEF\xBB\xBFdata: a\n\ndata\n\n",
    b"\xEF\xBBdata: a\n\n",
    b"event: e\r\nid: 7\r\ndata: a\r\ndata:b\r\ndata\r\n\r\n: c\r\n\r\nid\n",
    b"id: 1\0\ndata: \xFF\xF0\x9F\nretry: 15\nretry: x\n\nevent:\ndata:\n\n",
    b"event: a\nevent: bc\ndata: d\nid: 1\nid: 22\ndata: e\n\ndata: f",
    b": \r: \r\r:\n\ndata:: \n \n\n",
];

#[test]
fn nasty_streams() {
    for stream in STREAMS {
        tail_agrees_with_splitter(stream);
        for cuts in all_cuts(stream.len()) {
            for event_bytes_max in [usize::MAX / 2, 16, 7] {
                sse_splitter(stream, &cuts, event_bytes_max);
            }
            sse_tail(stream, &cuts);
        }
    }
}

#[test]
fn a_real_request_as_one_event() {
    for (_, body) in captures() {
        let mut stream = Vec::new();
        frame::write_event(&mut stream, "request", &body);
        for cuts in sampled_cuts(stream.len()) {
            sse_splitter(&stream, &cuts, usize::MAX / 2);
            sse_splitter(&stream, &cuts, stream.len() / 2);
            sse_tail(&stream, &cuts);
        }
    }
}

/// Streams made of the grammar's own pieces.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "\n", "\n", "\r", "\r", "\r\n", "\r\n", "\u{FEFF}", "data", "data: a", "data:b", "event:", "event: e", "id: 1",
        "id", "retry: 5", ":", " ", "x", "\0",
    ]);
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn streams((input, cuts) in with_cuts(stream()), event_bytes_max in 5usize..60) {
        sse_splitter(&input, &cuts, usize::MAX / 2);
        sse_splitter(&input, &cuts, event_bytes_max);
        sse_tail(&input, &cuts);
        tail_agrees_with_splitter(&input);
    }

    #[test]
    fn written_events_are_read(name in "[a-z_.]{0,12}", data in "(?s)[a\r\n: é]{0,20}") {
        let mut stream = Vec::new();
        frame::write_event(&mut stream, &name, data.as_bytes());
        let mut read = Vec::new();
        let mut splitter = Splitter::new(1000);
        splitter.push(&stream, |event| {
            read.push((event.name.to_vec(), event.data.to_vec(), event.end));
        }).unwrap();
        let joined = data.replace("\r\n", "\n").replace('\r', "\n");
        prop_assert_eq!(read, [(name.into_bytes(), joined.into_bytes(), stream.len())]);
        prop_assert!(splitter.is_between_events());
    }
}

// ── Usage ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Streams and bodies that nearly report something.
fn reports() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "\n",
        "\n\n",
        "\r",
        "\r\n",
        "\r\n\r\n",
        "data: ",
        "data:",
        "event: x\n",
        ": c\n",
        "{",
        "}",
        "\"usage\"",
        "\"usage\":",
        "null",
        ":",
        ",",
        "\"a\":1,",
        "\"message\":{",
        "\"response\":{",
        "\\\"usage\\\"",
        "\"prompt_tokens\":9",
        "\"x\"",
        "data: {\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}",
        "data: {\"usage\":{\"output_tokens\":4}}\n\n",
        "{\"usage\":{\"input_tokens\":5}}",
        "\u{feff}",
        "é",
        "data: {\n",
    ]);
    prop::collection::vec(token, 0..16).prop_map(|tokens| tokens.concat().into_bytes())
}

proptest! {
    #[test]
    fn usage((input, cuts) in with_cuts(reports())) {
        usage_reader(&input, &cuts);
        usage_reader(&input, &Vec::from_iter(0..input.len()));
    }
}

// ── JSON ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const BODIES: &[&[u8]] = &[
    b"",
    b" {\t}\r\n",
    b"\xEF\xBB\xBF{\"model\":\"a\"} ",
    b"\xEF\xBB{}",
    br#"{"model":"a\"\\\u00e9","n":-12.50e+3,"stream":true,"x":[null,false,{}]}"#,
    br#"{"m\u006fdel":"\ud83d\uDE00","\u006e":0}"#,
    br#"{"mod\u0065l":{"model":[[],[{"n":1}]]},"\ud83dn":1,"n":[]}"#,
    b"{\"model\":\"\xFF\xF0\x9F\0\x1F\",\"\xFFn\":1}",
    br#"{"n":1,"\u006e":2}"#,
    br#"{"model":1,"a":{"model":2},"model":3}"#,
    br#"{"n":1e400,"stream":12345678901234567890123}"#,
    br#"{"a":"\u12G4"}"#,
    br#"{"a":"\x"}"#,
    br#"{"n":01}"#,
    br#"{"n":-}"#,
    br#"{"n":1.}"#,
    br#"{"n":1e+}"#,
    br#"{"n":tru}"#,
    br#"{"n":NaN}"#,
    br#"{"n":[1,]}"#,
    br#"{"n":1,}"#,
    br#"{"n":1} {}"#,
    br#"{"n":{"a":["b"#,
    br#"{"n" "a"}"#,
    br#"["n"]"#,
];

#[test]
fn nasty_bodies() {
    for body in BODIES {
        for cuts in all_cuts(body.len()) {
            json_scanner(body, &cuts);
        }
    }
}

#[test]
fn real_requests() {
    for (name, body) in captures() {
        for cuts in sampled_cuts(body.len()) {
            json_scanner(&body, &cuts);
        }
        assert!(scanner_agrees_with_serde(&body), "{name}");
        assert!(scan(&body).unwrap().get("model").is_some(), "{name}");
    }
}

fn captures() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/captures");
    let captures: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "body"))
        .map(|path| (path.display().to_string(), fs::read(path).unwrap()))
        .collect();
    assert!(!captures.is_empty());
    captures
}

fn scan(body: &[u8]) -> Result<Scanner, JsonError> {
    let mut scanner = Scanner::new(KEYS);
    scanner.push(body)?;
    scanner.finish()?;
    Ok(scanner)
}

/// Whether the body is valid, on which both must agree, but for what the scanner tolerates or refuses by policy; and if
/// it is, the members' places must be those of the values that serde_json finds.
fn scanner_agrees_with_serde(body: &[u8]) -> bool {
    let shown = body.escape_ascii();
    // serde_json takes structs from arrays and so on; an object it is when it begins like one.
    let is_object = body.trim_ascii_start().starts_with(b"{");
    // `RawValue` decodes no values: lone surrogates and huge numbers pass here too.
    let read = serde_json::from_slice::<&RawValue>(body);
    let scanner = match scan(body) {
        Ok(scanner) => scanner,
        Err(JsonError { offset, what }) => {
            if let What::Duplicate { key } = what {
                let mut again = serde_json::Deserializer::from_slice(&body[offset..]).into_iter();
                assert_eq!(again.next().unwrap().ok(), Some(key.to_string()), "{shown}");
                return false;
            }
            assert!(read.is_err() || !is_object, "{shown}: {what:?} at {offset}");
            return false;
        }
    };
    assert!(is_object, "{shown}");
    if let Err(error) = read.map_err(|error| error.to_string()) {
        // Lone surrogates: left to those who decode values.
        assert!(error.contains("invalid unicode code point"), "{shown}: {error}");
        return true;
    }
    let Ok(members) = serde_json::from_slice::<HashMap<String, &RawValue>>(body) else {
        return true; // a key that is no text
    };
    for key in KEYS {
        let span = scanner.get(key).map(|member| member.start..member.end);
        let expected = members.get(*key).map(|value| {
            let start = value.get().as_ptr() as usize - body.as_ptr() as usize;
            start..start + value.get().len()
        });
        assert_eq!(span, expected, "{key} of {shown}");
    }
    true
}

/// Objects as text, with the freedom that the grammar leaves: space, escapes, forms of numbers, nesting.
fn object() -> impl Strategy<Value = String> {
    let space = || prop::sample::select(vec!["", "", "", " ", "\n", "\t \r\n"]);
    let key = prop::sample::select(vec![
        "model",
        "n",
        "stream",
        "mod\\u0065l",
        "\\u006E",
        "Model",
        "a",
        "",
        "\\n",
        "é",
        "\\ud83d",
    ]);
    let scalar = prop_oneof![
        r#""([a-z é]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,6}""#,
        r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
        prop::sample::select(vec!["true", "false", "null"]).prop_map(String::from),
    ];
    let value = scalar.prop_recursive(4, 24, 4, move |inner| {
        let element = (space(), inner.clone(), space()).prop_map(|(a, value, b)| format!("{a}{value}{b}"));
        let member = (space(), "[a-z]{0,3}", space(), space(), inner, space())
            .prop_map(|(a, key, b, c, value, d)| format!(r#"{a}"{key}"{b}:{c}{value}{d}"#));
        prop_oneof![
            prop::collection::vec(element, 0..4).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(member, 0..4).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    });
    let member = (space(), key, space(), space(), value, space())
        .prop_map(|(a, key, b, c, value, d)| format!(r#"{a}"{key}"{b}:{c}{value}{d}"#));
    (space(), prop::collection::vec(member, 0..5), space())
        .prop_map(|(a, members, b)| format!("{a}{{{}}}{b}", members.join(",")))
}

/// Objects with a few bytes replaced, inserted or removed: near misses, for the most part.
fn broken_object() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop::sample::select(br#"{}[]",:\ u0e-+.truefalsn/*'N"#.to_vec());
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..10, bytes), 1..3);
    (object(), edits).prop_map(|(object, edits)| {
        let mut text = object.into_bytes();
        for (at, edit, byte) in edits {
            let at = at.index(text.len() + 1);
            match edit {
                0..4 => text.insert(at, byte),
                4..7 if at < text.len() => text[at] = byte,
                7..9 if at < text.len() => _ = text.remove(at),
                _ => text.truncate(at),
            }
        }
        text
    })
}

proptest! {
    #[test]
    fn objects((input, cuts) in with_cuts(object().prop_map(String::into_bytes))) {
        json_scanner(&input, &cuts);
        usage_reader(&input, &cuts);
        scanner_agrees_with_serde(&input);
    }

    #[test]
    fn broken_objects((input, cuts) in with_cuts(broken_object())) {
        json_scanner(&input, &cuts);
        usage_reader(&input, &cuts);
        scanner_agrees_with_serde(&input);
    }
}
