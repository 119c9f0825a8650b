//! `load self-test`: the parts that decide, against tables. A measurement is worth what its ruler is.

use crate::framing::{Malformed, Response, Seen};
use crate::histogram::Histogram;

/// Runs every check.
///
/// # Errors
/// All that did not hold, one a line.
pub fn all() -> Result<(), String> {
    let checks = [("framing", framing()), ("histogram", histogram())];
    let wrong: Vec<String> =
        checks.iter().flat_map(|(name, wrong)| wrong.iter().map(move |one| format!("{name}: {one}"))).collect();
    if !wrong.is_empty() {
        return Err(format!("self-test failed\n{}", wrong.join("\n")));
    }
    println!("load: self-test passed ({} responses in all splits, {} distributions)", CASES.len(), SHAPES.len());
    Ok(())
}

/// What a response is to be read as.
type Expected = Result<(u16, Seen, Rest), Malformed>;

/// How the bytes of a case go on after the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// The last byte ended it.
    Exact,
    /// So many bytes are not of it.
    Unasked(usize),
    /// The end of the connection ended it.
    Eof,
}

const fn good(status: u16, body_bytes: u64, chunks: u64, events: u64, rest: Rest) -> Expected {
    Ok((status, Seen { body_bytes, chunks, events }, rest))
}

/// Name, bytes until the end of the connection, and what they are.
const CASES: &[(&str, &str, Expected)] = &[
    ("a length", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", good(200, 5, 0, 0, Rest::Exact)),
    ("no body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", good(200, 0, 0, 0, Rest::Exact)),
    ("204 has none", "HTTP/1.1 204 No Content\r\n\r\n", good(204, 0, 0, 0, Rest::Exact)),
    (
        "another answer behind it",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhiHTTP/1.1",
        good(200, 2, 0, 0, Rest::Unasked(8)),
    ),
    (
        "interim answers first",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\na: b\r\n\r\nHTTP/1.1 500 X\r\ncontent-length: 1\r\n\r\n!",
        good(500, 1, 0, 0, Rest::Exact),
    ),
    ("to the end of the connection", "HTTP/1.1 200 OK\r\n\r\nall of it", good(200, 9, 0, 0, Rest::Eof)),
    ("HTTP/1.0", "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", good(200, 2, 0, 0, Rest::Exact)),
    (
        "chunks",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n",
        good(200, 15, 2, 0, Rest::Exact),
    ),
    (
        "extension and trailer",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n2 ;a=\"b\"\r\nhi\r\n00\r\nx: y\r\n\r\n",
        good(200, 2, 1, 0, Rest::Exact),
    ),
    (
        "CRLF within a chunk",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
        good(200, 7, 1, 0, Rest::Exact),
    ),
    (
        "bytes after the last chunk",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nx",
        good(200, 0, 0, 0, Rest::Unasked(1)),
    ),
    (
        "events",
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\nC\r\n: ping\n\nda\ta\r\n2\r\n\n\n\r\n0\r\n\r\n",
        good(200, 23, 3, 2, Rest::Exact),
    ),
    (
        "events over chunks",
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n4\r\ndata\r\n5\r\n: x\n\n\r\n0\r\n\r\n",
        good(200, 9, 2, 1, Rest::Exact),
    ),
    (
        "line ends of every kind",
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 36\r\n\r\nid: 1\r\n\r\nid: 2\r\rid: 3\n\r\n\r\n\n\n:c\nid: 4",
        good(200, 36, 0, 3, Rest::Exact),
    ),
    (
        "an event named before a ping",
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nevent: a\n: ping\ndata: b\n\n:\n\n\n",
        good(200, 29, 0, 1, Rest::Eof),
    ),
    (
        "a body of another type has no events",
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 9\r\n\r\ndata: a\n\n",
        good(200, 9, 0, 0, Rest::Exact),
    ),
    ("short of its length", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell", Err(Malformed::Short)),
    ("without a last chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n", Err(Malformed::Short)),
    ("a head that does not end", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n", Err(Malformed::Short)),
    ("only an interim answer", "HTTP/1.1 100 Continue\r\n\r\n", Err(Malformed::Short)),
    ("not HTTP", "hello, world\r\n\r\n", Err(Malformed::Head)),
    ("two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello", Err(Malformed::Head)),
    ("a length that is no number", "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello", Err(Malformed::Head)),
    (
        "both framings",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Err(Malformed::Head),
    ),
    ("an unknown coding", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Err(Malformed::Head)),
    ("another protocol", "HTTP/1.1 101 Switching Protocols\r\n\r\n", Err(Malformed::Head)),
    (
        "a size that is no number",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\nxyz\r\n",
        Err(Malformed::Chunk),
    ),
    ("an empty size", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\r\nhi\r\n", Err(Malformed::Chunk)),
    (
        "a size with nine digits",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n000000002\r\nhi\r\n",
        Err(Malformed::Chunk),
    ),
    (
        "a bare LF behind a size",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\nhi\r\n0\r\n\r\n",
        Err(Malformed::Chunk),
    ),
    (
        "a chunk longer than its size",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi!\r\n0\r\n\r\n",
        Err(Malformed::Chunk),
    ),
];

/// Every case whole, and split at every two places.
fn framing() -> Vec<String> {
    let mut wrong = Vec::new();
    let mut response = Response::default();
    for (name, bytes, expected) in CASES {
        let bytes = bytes.as_bytes();
        let splits = (0..=bytes.len()).flat_map(|first| (first..=bytes.len()).map(move |second| (first, second)));
        for (first, second) in splits {
            response.reset();
            let found = read(&mut response, &[&bytes[..first], &bytes[first..second], &bytes[second..]]);
            if found != *expected {
                wrong.push(format!("{name}, split at {first} and {second}: {found:?} instead of {expected:?}"));
                break;
            }
        }
        response.reset();
        let found = read(&mut response, &bytes.chunks(1).collect::<Vec<_>>());
        if found != *expected {
            wrong.push(format!("{name}, byte by byte: {found:?} instead of {expected:?}"));
        }
    }
    wrong
}

fn read(response: &mut Response, pieces: &[&[u8]]) -> Expected {
    let mut left: usize = pieces.iter().map(|piece| piece.len()).sum();
    for piece in pieces {
        match response.push(piece)? {
            Some(end) => {
                let rest = if end == left { Rest::Exact } else { Rest::Unasked(left - end) };
                return Ok((response.status, response.seen, rest));
            }
            None => left -= piece.len(),
        }
    }
    response.end()?;
    Ok((response.status, response.seen, Rest::Eof))
}

/// How samples are made of evenly distributed bits.
type Shape = fn(u64) -> u64;

const SHAPES: &[(&str, Shape)] = &[
    ("small", |bits| bits % 300),
    ("even", |bits| bits % 1_000_000),
    ("one value", |_| 123_457),
    ("two far apart", |bits| if bits.is_multiple_of(100) { 3_000_000_000 } else { 15_000 }),
    ("over all octaves", |bits| (bits >> 20) >> (bits % 44)),
    ("with a long tail", |bits| 20_000 + 1_000_000_000 / (1 + bits % 65_536)),
];

/// Each shape's quantiles beside those of the sorted samples.
fn histogram() -> Vec<String> {
    const SAMPLES: usize = 40_000;
    let mut wrong = Vec::new();
    let mut histogram = Histogram::new();
    let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
    for (name, shape) in SHAPES {
        histogram.clear();
        let mut sorted: Vec<u64> = (0..SAMPLES).map(|_| shape(xorshift(&mut bits))).collect();
        sorted.iter().for_each(|sample| histogram.record(*sample));
        sorted.sort_unstable();
        for share in [0.0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let rank = ((SAMPLES as f64 * share).ceil() as usize).max(1);
            let (exact, found) = (sorted[rank - 1], histogram.quantile(share));
            let off = found.map(|found| found.abs_diff(exact) as f64 / exact.max(1) as f64);
            if off.is_none_or(|off| off > 0.004) {
                wrong.push(format!("{name}, quantile {share}: {found:?} instead of {exact}"));
            }
        }
        let mean = sorted.iter().sum::<u64>() as f64 / SAMPLES as f64;
        if histogram.max() != sorted.last().copied()
            || histogram.mean() != Some(mean)
            || histogram.count() != SAMPLES as u64
        {
            wrong.push(format!("{name}: max, mean or count are not exact"));
        }
    }
    histogram.clear();
    if (histogram.quantile(0.5), histogram.max(), histogram.mean()) != (None, None, None) {
        wrong.push("an empty one has values".into());
    }
    histogram.record(u64::MAX);
    if histogram.max() != Some(u64::MAX) || histogram.quantile(0.5).is_none() {
        wrong.push("a value beyond the last bucket is lost".into());
    }
    wrong
}

fn xorshift(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
