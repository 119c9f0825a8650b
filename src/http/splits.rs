//! The property that every decoder of this room must hold: any split of the input gives the same output.

use proptest::prelude::*;

use super::body::BodyReader;
use super::chunked::{ChunkDecoder, Piece, Progress};
use super::framing::Framing;
use super::head::{HeadKind, HeadScanner};

/// What a decoder made of its input.
#[derive(Debug, PartialEq, Eq)]
pub struct Walk<E> {
    pub data: Vec<u8>,
    pub cut: Vec<u8>,
    /// What was neither cut nor left over; empty after an error.
    pub kept: Vec<u8>,
    /// Bytes consumed in all, and whether the body ended.
    pub end: Result<(usize, bool), E>,
}

/// Pushes the parts in turn, and checks that pieces come in order and lie within what was consumed.
pub fn walk<E: Copy>(
    parts: &[&[u8]],
    mut push: impl FnMut(&[u8], &mut dyn FnMut(Piece)) -> Result<Progress, E>,
) -> Walk<E> {
    let mut walk = Walk { data: Vec::new(), cut: Vec::new(), kept: Vec::new(), end: Ok((0, false)) };
    let mut total = 0;
    for part in parts {
        let (mut cuts, mut last) = (Vec::new(), 0);
        let progress = push(part, &mut |piece| {
            let (range, out) = match &piece {
                Piece::Data(range) => (range, &mut walk.data),
                Piece::Cut(range) => {
                    cuts.push(range.clone());
                    (range, &mut walk.cut)
                }
            };
            assert!(last <= range.start && range.start < range.end, "pieces out of order or empty");
            last = range.end;
            out.extend_from_slice(&part[range.clone()]);
        });
        let progress = match progress {
            Ok(progress) => progress,
            Err(error) => {
                walk.kept.clear();
                walk.end = Err(error);
                return walk;
            }
        };
        assert!(last <= progress.consumed && progress.consumed <= part.len());
        assert!(progress.done || progress.consumed == part.len(), "bytes left over before the end");
        let mut at = 0;
        for cut in cuts {
            walk.kept.extend_from_slice(&part[at..cut.start]);
            at = cut.end;
        }
        walk.kept.extend_from_slice(&part[at..progress.consumed]);
        total += progress.consumed;
        walk.end = Ok((total, progress.done));
    }
    walk
}

/// Cuts the input at the given places (taken modulo its length).
fn split<'a>(input: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = places.iter().map(|place| place % (input.len() + 1)).collect();
    places.sort_unstable();
    let mut parts = Vec::new();
    let mut at = 0;
    for place in places.into_iter().chain([input.len()]) {
        parts.push(&input[at..place]);
        at = place;
    }
    parts
}

/// One part for every byte.
fn bytes(input: &[u8]) -> Vec<&[u8]> {
    split(input, &Vec::from_iter(0..input.len()))
}

fn scan<'a>(kind: HeadKind, input: &[u8], parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let (mut scanner, mut len) = (HeadScanner::default(), 0);
    for part in parts {
        len += part.len();
        match scanner.push(kind, &input[..len]) {
            Ok(None) => {}
            end => return format!("{end:?}"),
        }
    }
    "more".into()
}

/// Bytes that are often nearly a head: tokens of the grammar in any order.
fn head_soup() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just("GET"),
        Just("POST"),
        Just("CONNECT"),
        Just(" "),
        Just("/"),
        Just("/a?b"),
        Just("http://h"),
        Just("*"),
        Just("HTTP/1.1"),
        Just("HTTP/1.0"),
        Just("HTTP/2.0"),
        Just("200"),
        Just("\r\n"),
        Just("\r\n"),
        Just("\r\n\r\n"),
        Just("\r"),
        Just("\n"),
        Just("Host: h\r\n"),
        Just("Host: h\r\n\r\n"),
        Just("GET / HTTP/1.1\r\n"),
        Just("HTTP/1.1 200 OK\r\n"),
        Just("X: y\r\n"),
        Just("\t"),
        Just(":"),
        Just("\u{16}"),
        Just("é"),
    ];
    proptest::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat().into_bytes())
}

/// Bytes that are often nearly a chunked body.
fn chunk_soup() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just("2\r\n{}\r\n"),
        Just("2\r\n{}\r\n"),
        Just("1;a=b\r\nx\r\n"),
        Just("3 ;a;b=\"c\"\r\nxyz\r\n"),
        Just("0\r\n\r\n"),
        Just("0\r\n"),
        Just("0;z\r\n"),
        Just("A: b\r\n"),
        Just("A:\r\n"),
        Just("\r\n"),
        Just("\r"),
        Just("\n"),
        Just(";"),
        Just(" "),
        Just("x"),
        Just("5\r\n"),
        Just("0"),
        Just("fffffffff"),
        Just("0000000000000000"),
    ];
    proptest::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat().into_bytes())
}

fn framing() -> impl Strategy<Value = Framing> {
    let length = (0..40u64).prop_map(Framing::Length);
    prop_oneof![Just(Framing::None), length, Just(Framing::Chunked), Just(Framing::UntilClose)]
}

proptest! {
    #[test]
    fn head_scanner(input in head_soup(), places in proptest::collection::vec(0usize..200, 0..6)) {
        for kind in [HeadKind::Request, HeadKind::Response] {
            let whole = scan(kind, &input, [input.as_slice()]);
            prop_assert_eq!(&whole, &scan(kind, &input, split(&input, &places)));
            prop_assert_eq!(&whole, &scan(kind, &input, bytes(&input)));
        }
    }

    #[test]
    fn chunk_decoder(input in chunk_soup(), places in proptest::collection::vec(0usize..200, 0..6)) {
        let decode = |parts: &[&[u8]]| {
            let mut decoder = ChunkDecoder::default();
            walk(parts, |part, piece| decoder.push(part, piece))
        };
        let whole = decode(&[&input]);
        prop_assert_eq!(&whole, &decode(&split(&input, &places)));
        prop_assert_eq!(&whole, &decode(&bytes(&input)));

        // The contract of cuts: what is kept is a body of its own, with the same payload and nothing more to cut.
        if let Ok((_, true)) = whole.end {
            let again = decode(&[&whole.kept]);
            prop_assert_eq!(again.end, Ok((whole.kept.len(), true)));
            prop_assert_eq!((again.data, again.cut), (whole.data, Vec::new()));
        }
    }

    #[test]
    fn body_reader(framing in framing(), input in chunk_soup(), places in proptest::collection::vec(0usize..200, 0..6)) {
        let read = |parts: &[&[u8]]| {
            let mut reader = BodyReader::new(framing);
            let walk = walk(parts, |part, piece| reader.push(part, piece));
            (walk, reader.is_done(), reader.is_complete_at_eof(), reader.announced())
        };
        let whole = read(&[&input]);
        prop_assert_eq!(&whole, &read(&split(&input, &places)));
        prop_assert_eq!(&whole, &read(&bytes(&input)));
    }
}
