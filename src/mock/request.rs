//! Reading requests: heads by httparse, chunked bodies by a small decoder.
//!
//! The mock keeps its own reader on purpose. One that shared the proxy's would share its bugs, and hide them in every
//! test that has the mock behind the proxy.

#![forbid(unsafe_code)]

use std::ops::Range;

use super::fault::{Controls, is_control};

/// A request head. Far above what the proxy lets through, so that the mock is never the one that refuses.
pub const HEAD_BYTES_MAX: usize = 512 * 1024;
const FIELDS_MAX: usize = 1024;
/// Fields of an ordinary request; more take a second, roomier attempt.
const FIELDS_USUAL: usize = 64;
/// A chunk-size line, extension included, or one trailer line.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// What the head of a request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the head, blank line included.
    pub len: usize,
    /// Where the method stands in the head.
    pub method: Range<usize>,
    /// Where the request target stands in the head.
    pub target: Range<usize>,
    /// How the body ends.
    pub body: BodyLength,
    /// May the connection be used again?
    pub keep: bool,
    /// Does the client wait for 100 (Continue)?
    pub expects: bool,
    /// Does it speak to Anthropic? Decides the shape where both providers have the same path.
    pub anthropic: bool,
    /// The control headers.
    pub controls: Controls,
}

/// How a request body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// After so many bytes.
    Bytes(u64),
    /// By the last chunk.
    Chunked,
}

/// Reads a head from the start of `bytes`. `Ok(None)`: it is not complete. `Err`: what a 400 should say.
pub fn head(bytes: &[u8]) -> Result<Option<Head>, String> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_USUAL];
    match parse(bytes, &mut fields) {
        Err(httparse::Error::TooManyHeaders) => {}
        other => return other.map_err(|error| error.to_string())?.transpose(),
    }
    let mut fields = vec![httparse::EMPTY_HEADER; FIELDS_MAX];
    parse(bytes, &mut fields).map_err(|error| error.to_string())?.transpose()
}

type Parsed = Result<Option<Result<Head, String>>, httparse::Error>;

fn parse<'a>(bytes: &'a [u8], fields: &mut [httparse::Header<'a>]) -> Parsed {
    let mut request = httparse::Request::new(fields);
    let httparse::Status::Complete(len) = request.parse(bytes)? else {
        return Ok(None);
    };
    let place = |part: &str| {
        let start = part.as_ptr().addr() - bytes.as_ptr().addr();
        start..start + part.len()
    };
    let head = Head {
        len,
        method: place(request.method.unwrap_or_default()),
        target: place(request.path.unwrap_or_default()),
        body: BodyLength::Bytes(0),
        keep: request.version == Some(1),
        expects: false,
        anthropic: false,
        controls: Controls::default(),
    };
    Ok(Some(with_fields(head, request.headers)))
}

fn with_fields(mut head: Head, fields: &[httparse::Header<'_>]) -> Result<Head, String> {
    let mut length = None;
    let mut chunked = false;
    for field in fields {
        let name = field.name;
        // The length of a name tells most of them apart without comparing letters.
        match name.len() {
            14 if name.eq_ignore_ascii_case("content-length") => {
                let value = text(field.value)?.trim();
                let number = value.parse::<u64>().map_err(|_| format!("bad content-length {value:?}"))?;
                if length.is_some_and(|before| before != number) {
                    return Err("two different content-length fields".into());
                }
                length = Some(number);
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                let value = text(field.value)?.trim();
                if chunked || !value.eq_ignore_ascii_case("chunked") {
                    return Err(format!("cannot read transfer-encoding {value:?}"));
                }
                chunked = true;
            }
            10 if name.eq_ignore_ascii_case("connection") => {
                let value = text(field.value)?.to_ascii_lowercase();
                let says = |option| value.split(',').any(|word| word.trim() == option);
                head.keep = !says("close") && (head.keep || says("keep-alive"));
            }
            6 if name.eq_ignore_ascii_case("expect") => head.expects = true,
            9 if name.eq_ignore_ascii_case("x-api-key") => head.anthropic = true,
            17 if name.eq_ignore_ascii_case("anthropic-version") => head.anthropic = true,
            8.. if is_control(name) => head.controls.set(name, text(field.value)?)?,
            _ => {}
        }
    }
    head.body = match (chunked, length) {
        (true, Some(_)) => return Err("both transfer-encoding and content-length".into()),
        (true, None) => BodyLength::Chunked,
        (false, length) => BodyLength::Bytes(length.unwrap_or(0)),
    };
    Ok(head)
}

fn text(value: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(value).map_err(|_| "a field the mock reads is not UTF-8".into())
}

/// Decodes a chunked body (RFC 9112 §7.1), in any split of the input.
#[derive(Debug, Default)]
pub struct Chunked {
    place: Place,
    line: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailer,
    End,
}

impl Chunked {
    /// Takes `input`, gives the data in it to `data`, and returns how many bytes it used. `Err`: not a chunked body.
    pub fn push(&mut self, input: &[u8], mut data: impl FnMut(&[u8])) -> Result<usize, String> {
        let mut rest = input;
        while !rest.is_empty() && self.place != Place::End {
            if let Place::Data(left) = self.place {
                let take = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                let (now, later) = rest.split_at(take);
                data(now);
                rest = later;
                let left = left - take as u64;
                self.place = if left == 0 { Place::DataEnd } else { Place::Data(left) };
                continue;
            }
            let end = memchr::memchr(b'\n', rest);
            let (now, later) = rest.split_at(end.map_or(rest.len(), |at| at + 1));
            rest = later;
            self.line.extend_from_slice(now);
            if self.line.len() > LINE_BYTES_MAX {
                return Err("a line of the chunked body is too long".into());
            }
            if end.is_some() {
                self.place = self.after_line()?;
                self.line.clear();
            }
        }
        Ok(input.len() - rest.len())
    }

    /// Has the last chunk been read?
    #[must_use]
    pub fn ended(&self) -> bool {
        self.place == Place::End
    }

    fn after_line(&self) -> Result<Place, String> {
        let line = self.line.strip_suffix(b"\r\n").ok_or("a line of the chunked body ends in a bare LF")?;
        match self.place {
            Place::DataEnd if line.is_empty() => Ok(Place::Size),
            Place::DataEnd => Err("a chunk is longer than its size".into()),
            Place::Trailer if line.is_empty() => Ok(Place::End),
            Place::Trailer => Ok(Place::Trailer),
            _ => {
                let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
                let digits = std::str::from_utf8(digits).unwrap_or_default().trim_end();
                match u64::from_str_radix(digits, 16) {
                    Ok(_) if digits.starts_with('+') => Err("a chunk size is not hex".into()),
                    Ok(0) => Ok(Place::Trailer),
                    Ok(size) => Ok(Place::Data(size)),
                    Err(_) => Err("a chunk size is not hex".into()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Head {
        head(text.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn heads() {
        let text = "POST /v1/messages?beta=true HTTP/1.1\r\nHost: a\r\nX-Api-Key: k\r\nContent-Length: 12\r\n\r\nrest";
        let head = read(text);
        assert_eq!(&text[head.method.clone()], "POST");
        assert_eq!(&text[head.target.clone()], "/v1/messages?beta=true");
        assert_eq!(&text[head.len..], "rest");
        assert_eq!((head.body, head.keep, head.anthropic), (BodyLength::Bytes(12), true, true));
        for (field, anthropic, keep, body) in [
            ("anthropic-version: 2023-06-01", true, true, BodyLength::Bytes(0)),
            ("authorization: Bearer k", false, true, BodyLength::Bytes(0)),
            ("connection: keep-alive, Close", false, false, BodyLength::Bytes(0)),
            ("transfer-encoding: Chunked", false, true, BodyLength::Chunked),
            ("content-length: 3\r\ncontent-length: 3", false, true, BodyLength::Bytes(3)),
        ] {
            let head = read(&format!("GET / HTTP/1.1\r\n{field}\r\n\r\n"));
            assert_eq!((head.anthropic, head.keep, head.body), (anthropic, keep, body), "{field}");
        }
        assert!(!read("GET / HTTP/1.0\r\n\r\n").keep);
        assert!(read("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").keep);
    }

    #[test]
    fn incomplete_heads_wait_and_broken_ones_are_refused() {
        assert_eq!(head(b"GET / HTTP/1.1\r\nhost: a\r\n"), Ok(None));
        for broken in [
            "GET\r\n\r\n",
            "GET / HTTP/1.1\r\na b: c\r\n\r\n",
            "GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
            "GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            "GET / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n",
            "GET / HTTP/1.1\r\nx-mock-nonsense: 1\r\n\r\n",
        ] {
            assert!(head(broken.as_bytes()).is_err(), "{broken}");
        }
    }

    #[test]
    fn many_fields_are_read_too() {
        let fields: String = (0..300).map(|n| format!("f{n}: v\r\n")).collect();
        assert!(read(&format!("GET / HTTP/1.1\r\n{fields}anthropic-version: x\r\n\r\n")).anthropic);
    }

    #[test]
    fn chunked_bodies_decode_the_same_in_any_split() {
        let wire = b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\ntrailer: t\r\n\r\nnext";
        for size in 1..=wire.len() {
            let mut decoder = Chunked::default();
            let (mut data, mut used) = (Vec::new(), 0);
            for piece in wire.chunks(size) {
                used += decoder.push(piece, |bytes| data.extend_from_slice(bytes)).unwrap();
            }
            assert!(decoder.ended());
            assert_eq!((data.as_slice(), used), (b"abc0123456789".as_slice(), wire.len() - 4), "split by {size}");
        }
    }

    #[test]
    fn broken_chunked_bodies_are_refused() {
        for wire in ["x\r\n", "\r\n", "+3\r\nabc\r\n", "3\r\nabcd\r\n", "3\nabc", "11111111111111111\r\n"] {
            assert!(Chunked::default().push(wire.as_bytes(), |_| {}).is_err(), "{wire:?}");
        }
    }
}
