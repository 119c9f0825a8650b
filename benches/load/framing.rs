//! Where a response begins and ends, and what is in it: heads, bodies by length, chunked, or to the end of the connection.
//!
//! Strict where a proxy could hide a mistake: a body has one framing, sizes are plain digits, lines end in CRLF. Nothing
//! here comes from the proxy: what both got wrong, no measurement would see.

use std::fmt;

use memchr::memmem;

use crate::events::Events;

const HEAD_BYTES_MAX: usize = 64 * 1024;
const FIELDS_MAX: usize = 100;
/// No size has more digits: 4 GiB are as good as endless.
const CHUNK_DIGITS_MAX: u8 = 8;

/// One response, as far as it has come.
#[derive(Debug, Default)]
pub struct Response {
    state: State,
    /// The beginning of a head that came in pieces.
    kept: Vec<u8>,
    /// The final status; 0 before the head has ended.
    pub status: u16,
    pub seen: Seen,
    close: bool,
    /// There if the body is a stream of events.
    events: Option<Events>,
}

/// What the body consisted of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub body_bytes: u64,
    pub chunks: u64,
    pub events: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    /// Bytes that are left of a body with a length.
    Length(u64),
    Chunked(Chunked),
    /// The body lasts as long as the connection.
    Rest,
    Ended,
}

/// Where in a chunked body the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunked {
    Size {
        value: u64,
        digits: u8,
    },
    Extension {
        value: u64,
    },
    SizeLf {
        value: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// A line after the last chunk; an empty one ends the body.
    Trailer {
        empty: bool,
    },
    TrailerLf {
        empty: bool,
    },
}

/// Why what came is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    Head,
    Chunk,
    /// The connection ended, and the response had not.
    Short,
}

impl Response {
    /// Forgets everything but its memory.
    pub fn reset(&mut self) {
        self.kept.clear();
        *self = Self { kept: std::mem::take(&mut self.kept), ..Self::default() };
    }

    /// Takes the next bytes. `Some(n)`: the response ended with the first `n` of them; what follows is not of it.
    ///
    /// # Errors
    /// It is not what HTTP/1.1 calls a response.
    pub fn push(&mut self, input: &[u8]) -> Result<Option<usize>, Malformed> {
        let mut rest = input;
        loop {
            rest = match self.state {
                State::Head => match self.head(rest)? {
                    Some(after) => after,
                    None => return Ok(None),
                },
                State::Length(left) => {
                    let (body, after) = split(rest, left);
                    self.body(body);
                    self.state = match left - body.len() as u64 {
                        0 => State::Ended,
                        left => State::Length(left),
                    };
                    after
                }
                State::Chunked(at) => self.chunked(at, rest)?,
                State::Rest => {
                    self.body(rest);
                    &[]
                }
                State::Ended => return Ok(Some(input.len() - rest.len())),
            };
            if rest.is_empty() && self.state != State::Ended {
                return Ok(None);
            }
        }
    }

    /// The connection ended.
    ///
    /// # Errors
    /// The response had not.
    pub fn end(&mut self) -> Result<(), Malformed> {
        if self.state != State::Rest {
            return Err(Malformed::Short);
        }
        self.state = State::Ended;
        Ok(())
    }

    /// Whether the connection may be used again.
    pub fn reusable(&self) -> bool {
        !self.close
    }

    /// Whether the head has come, and in a stream its first event.
    pub fn stands(&self) -> bool {
        self.state != State::Head && (self.events.is_none() || self.seen.events > 0)
    }

    /// Whether anything of it has come.
    pub fn begun(&self) -> bool {
        self.state != State::Head || !self.kept.is_empty()
    }

    /// Whether the first byte that means something has come: of the body, or the first event of a stream.
    pub fn speaks(&self) -> bool {
        if self.events.is_some() { self.seen.events > 0 } else { self.seen.body_bytes > 0 }
    }

    fn body(&mut self, bytes: &[u8]) {
        self.seen.body_bytes += bytes.len() as u64;
        if let Some(events) = &mut self.events {
            self.seen.events += events.push(bytes);
        }
    }

    /// Reads a head as soon as all of it is there; returns what follows it.
    fn head<'i>(&mut self, input: &'i [u8]) -> Result<Option<&'i [u8]>, Malformed> {
        const END: &[u8] = b"\r\n\r\n";
        if self.kept.is_empty()
            && let Some(end) = memmem::find(input, END)
        {
            self.read_head(&input[..end + END.len()])?;
            return Ok(Some(&input[end + END.len()..]));
        }
        let (before, look_from) = (self.kept.len(), self.kept.len().saturating_sub(END.len() - 1));
        self.kept.extend_from_slice(&input[..input.len().min(HEAD_BYTES_MAX)]);
        let Some(end) = memmem::find(&self.kept[look_from..], END).map(|at| look_from + at + END.len()) else {
            return if self.kept.len() < HEAD_BYTES_MAX { Ok(None) } else { Err(Malformed::Head) };
        };
        let kept = std::mem::take(&mut self.kept);
        let read = self.read_head(&kept[..end]);
        self.kept = kept;
        self.kept.clear();
        read.map(|()| Some(&input[end - before..]))
    }

    fn read_head(&mut self, head: &[u8]) -> Result<(), Malformed> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut parsed = httparse::Response::new(&mut fields);
        if !matches!(parsed.parse(head), Ok(httparse::Status::Complete(end)) if end == head.len()) {
            return Err(Malformed::Head);
        }
        let (mut length, mut chunked, mut doubtful) = (None, false, false);
        self.close = parsed.version == Some(0);
        for field in parsed.headers.iter() {
            // Names are compared only if their lengths agree: most fields are of no interest.
            match field.name.len() {
                14 if field.name.eq_ignore_ascii_case("content-length") => {
                    doubtful |= length.replace(decimal(field.value)?).is_some();
                }
                17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                    doubtful |= std::mem::replace(&mut chunked, true) || !field.value.eq_ignore_ascii_case(b"chunked");
                }
                12 if field.name.eq_ignore_ascii_case("content-type") => {
                    const STREAM: &[u8] = b"text/event-stream";
                    let kind = field.value.get(..STREAM.len());
                    self.events = kind.is_some_and(|kind| kind.eq_ignore_ascii_case(STREAM)).then(Events::default);
                }
                10 if field.name.eq_ignore_ascii_case("connection") => {
                    let close = |option: &[u8]| option.trim_ascii().eq_ignore_ascii_case(b"close");
                    self.close |= field.value.split(|byte| *byte == b',').any(close);
                }
                _ => {}
            }
        }
        let status = parsed.code.ok_or(Malformed::Head)?;
        (self.status, self.state) = match (status, length, chunked) {
            _ if doubtful => return Err(Malformed::Head),
            // Nobody asked for another protocol, and two framings are a smuggler's.
            (101, ..) | (_, Some(_), true) => return Err(Malformed::Head),
            // An interim response: the final one follows.
            (100..200, ..) => (0, State::Head),
            (204 | 304, ..) | (_, Some(0), _) => (status, State::Ended),
            (_, Some(length), _) => (status, State::Length(length)),
            (_, _, true) => (status, State::Chunked(Chunked::Size { value: 0, digits: 0 })),
            _ => (status, State::Rest),
        };
        self.close |= self.state == State::Rest;
        Ok(())
    }

    /// Takes what belongs to one state of a chunked body; returns the rest.
    fn chunked<'i>(&mut self, at: Chunked, input: &'i [u8]) -> Result<&'i [u8], Malformed> {
        let Some((&byte, after)) = input.split_first() else { return Ok(input) };
        if let Chunked::Data { left } = at {
            let (data, after) = split(input, left);
            self.body(data);
            let left = left - data.len() as u64;
            self.state = State::Chunked(if left == 0 { Chunked::DataCr } else { Chunked::Data { left } });
            return Ok(after);
        }
        let next = match (at, byte) {
            (Chunked::Size { value, digits: 1.. }, b'\r') => Chunked::SizeLf { value },
            (Chunked::Size { value, digits: 1.. }, b';' | b' ' | b'\t') => Chunked::Extension { value },
            (Chunked::Size { value, digits: 0..CHUNK_DIGITS_MAX }, _) => {
                let digit = (byte as char).to_digit(16).ok_or(Malformed::Chunk)?;
                let Chunked::Size { digits, .. } = at else { return Err(Malformed::Chunk) };
                Chunked::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Chunked::Extension { value }, b'\r') => Chunked::SizeLf { value },
            (Chunked::Extension { .. }, b'\t' | b' '..=b'~' | 0x80..) => at,
            (Chunked::SizeLf { value: 0 }, b'\n') => Chunked::Trailer { empty: true },
            (Chunked::SizeLf { value }, b'\n') => {
                self.seen.chunks += 1;
                Chunked::Data { left: value }
            }
            (Chunked::DataCr, b'\r') => Chunked::DataLf,
            (Chunked::DataLf, b'\n') => Chunked::Size { value: 0, digits: 0 },
            (Chunked::Trailer { empty }, b'\r') => Chunked::TrailerLf { empty },
            (Chunked::Trailer { .. }, b'\t' | b' '..=b'~' | 0x80..) => Chunked::Trailer { empty: false },
            (Chunked::TrailerLf { empty: false }, b'\n') => Chunked::Trailer { empty: true },
            (Chunked::TrailerLf { empty: true }, b'\n') => {
                self.state = State::Ended;
                return Ok(after);
            }
            _ => return Err(Malformed::Chunk),
        };
        self.state = State::Chunked(next);
        Ok(after)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "malformed_head",
            Self::Chunk => "malformed_chunk",
            Self::Short => "short_body",
        })
    }
}

/// At most `left` bytes, and what follows them.
fn split(input: &[u8], left: u64) -> (&[u8], &[u8]) {
    input.split_at(usize::try_from(left).map_or(input.len(), |left| left.min(input.len())))
}

fn decimal(digits: &[u8]) -> Result<u64, Malformed> {
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed::Head);
    }
    Ok(digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}
