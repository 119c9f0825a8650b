//! The chunked transfer coding (RFC 9112 §7.1), strict in what it reads: a chunk line that two readers could take
//! differently ends the message.

use std::ops::Range;

use super::reject::Reject;
use super::write;
use crate::limits::{CHUNK_BYTES_MAX, CHUNK_EXTENSION_BYTES_MAX, CHUNK_SIZE_DIGITS_MAX, TRAILER_BYTES_MAX};

/// A part of one push's input, as a range of it. Bytes in neither kind of piece are framing to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Payload.
    Data(Range<usize>),
    /// Bytes of chunk extensions or trailer fields, which must not be forwarded.
    Cut(Range<usize>),
}

/// How far one push came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the input that belong to the body. What follows them belongs to the next message.
    pub consumed: usize,
    /// The body has ended.
    pub done: bool,
}

/// Why a chunked body cannot be read. After one of these the end of the body is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// A size is empty or has a byte that is not a hexadecimal digit.
    Size,
    /// A size has more than 16 digits.
    SizeDigits,
    /// A size exceeds [`CHUNK_BYTES_MAX`].
    TooLarge,
    /// A size line does not end with CR LF.
    LineEnd,
    /// A control character in an extension.
    Extension,
    /// The extensions of the body exceed [`CHUNK_EXTENSION_BYTES_MAX`].
    ExtensionTooLong,
    /// CR LF is missing after a chunk's data.
    DataEnd,
    /// A trailer line is not a field line ended with CR LF.
    Trailer,
    /// The trailers exceed [`TRAILER_BYTES_MAX`].
    TrailerTooLong,
}

impl ChunkError {
    /// The name in logs: the same as that of the reason to refuse a request.
    pub fn name(self) -> &'static str {
        Reject::from(self).row().name
    }
}

impl From<ChunkError> for Reject {
    fn from(error: ChunkError) -> Reject {
        match error {
            ChunkError::Size => Reject::ChunkSize,
            ChunkError::SizeDigits => Reject::ChunkSizeDigits,
            ChunkError::TooLarge => Reject::ChunkTooLarge,
            ChunkError::LineEnd => Reject::ChunkLineEnd,
            ChunkError::Extension => Reject::ChunkExtension,
            ChunkError::ExtensionTooLong => Reject::ChunkExtensionLong,
            ChunkError::DataEnd => Reject::ChunkDataEnd,
            ChunkError::Trailer => Reject::Trailer,
            ChunkError::TrailerTooLong => Reject::TrailerTooLong,
        }
    }
}

/// Reads one chunked body from its first size line to the empty line after its last chunk.
///
/// The pieces let a proxy forward framing it did not write: `input[..consumed]` without its [`Piece::Cut`] ranges,
/// concatenated over all pushes, is itself a chunked body with the same payload, without extensions and trailers. Any
/// split of the input gives the same bytes in each kind of piece, and the same error at the same byte.
#[derive(Debug, Default)]
pub struct ChunkDecoder {
    state: State,
    extension_bytes: usize,
    trailer_bytes: usize,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size {
        digits: usize,
        size: u64,
    },
    /// White space after a size, allowed only before an extension.
    Space {
        size: u64,
    },
    Extension {
        size: u64,
    },
    SizeLf {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// The first byte of a line after the last chunk.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
    Failed(ChunkError),
}

impl Default for State {
    fn default() -> State {
        State::Size { digits: 0, size: 0 }
    }
}

impl ChunkDecoder {
    /// Reads on. Pieces come in order and never overlap. After an error every further push gives it again.
    pub fn push(&mut self, input: &[u8], mut piece: impl FnMut(Piece)) -> Result<Progress, ChunkError> {
        let mut at = 0;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            if self.state == State::Done {
                break;
            }
            match self.step(rest, at, &mut piece) {
                Ok(read) => at += read,
                Err(error) => {
                    self.state = State::Failed(error);
                    return Err(error);
                }
            }
        }
        if let State::Failed(error) = self.state {
            return Err(error);
        }
        Ok(Progress { consumed: at, done: self.state == State::Done })
    }

    /// True before the size line of a chunk: the bytes kept so far end with a whole chunk, so that a chunk of our own
    /// could be written here. False once the body has ended.
    pub fn is_between_chunks(&self) -> bool {
        self.state == State::default()
    }

    /// True once the empty line after the last chunk was read.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes of payload that the current chunk still owes. They have been announced, not received: a caller with a
    /// bound on the body refuses before they come.
    pub fn announced(&self) -> u64 {
        match self.state {
            State::Data { left } => left,
            _ => 0,
        }
    }

    /// Reads at least one byte of `rest`, which is not empty and begins at `at` of the caller's input.
    fn step(&mut self, rest: &[u8], at: usize, piece: &mut impl FnMut(Piece)) -> Result<usize, ChunkError> {
        let Some(&byte) = rest.first() else {
            return Ok(0);
        };
        self.state = match self.state {
            State::Size { digits, size } => size_byte(digits, size, byte)?,
            State::Space { size } | State::Extension { size } => {
                return self.extension(size, rest, at, piece);
            }
            State::SizeLf { size } => match (byte, size) {
                (b'\n', 0) => State::TrailerStart,
                (b'\n', left) => State::Data { left },
                _ => return Err(ChunkError::LineEnd),
            },
            State::Data { left } => {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                piece(Piece::Data(at..at + taken));
                self.state = match left - taken as u64 {
                    0 => State::DataCr,
                    left => State::Data { left },
                };
                return Ok(taken);
            }
            State::DataCr if byte == b'\r' => State::DataLf,
            State::DataLf if byte == b'\n' => State::default(),
            State::DataCr | State::DataLf => return Err(ChunkError::DataEnd),
            State::EndLf if byte == b'\n' => State::Done,
            State::EndLf => return Err(ChunkError::Trailer),
            State::TrailerStart if byte == b'\r' => State::EndLf,
            State::TrailerStart | State::TrailerName | State::TrailerValue | State::TrailerLf => {
                return self.trailer(rest, at, piece);
            }
            State::Done => return Ok(0),
            State::Failed(error) => return Err(error),
        };
        // The byte after a size may be the first of an extension: it is cut with the run that it begins.
        match self.state {
            State::Space { .. } | State::Extension { .. } => Ok(0),
            _ => Ok(1),
        }
    }

    /// RFC 9112 §7.1.1: a recipient ignores extensions it does not know. All of them: white space, `;` and text up to
    /// the line's end are cut.
    fn extension(
        &mut self,
        size: u64,
        rest: &[u8],
        at: usize,
        piece: &mut impl FnMut(Piece),
    ) -> Result<usize, ChunkError> {
        let in_space = matches!(self.state, State::Space { .. });
        let run = if in_space {
            rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count()
        } else {
            rest.iter().take_while(|b| is_text(**b)).count()
        };
        let cut = run.min(CHUNK_EXTENSION_BYTES_MAX - self.extension_bytes);
        if cut > 0 {
            piece(Piece::Cut(at..at + cut));
        }
        self.extension_bytes += cut;
        if cut < run {
            return Err(ChunkError::ExtensionTooLong);
        }
        self.state = match rest.get(run) {
            None => return Ok(run),
            Some(b';') if in_space => {
                self.state = State::Extension { size };
                return Ok(run);
            }
            // BWS without an extension behind it is not in the grammar; other readers refuse it too.
            Some(_) if in_space => return Err(ChunkError::Size),
            Some(b'\r') => State::SizeLf { size },
            Some(b'\n') => return Err(ChunkError::LineEnd),
            Some(_) => return Err(ChunkError::Extension),
        };
        Ok(run + 1)
    }

    /// One run of a trailer line, cut whole. RFC 9112 §7.1.2: trailers may be dropped, and never become part of the
    /// head. The name is checked, so that a request sent without the empty line before it is not taken for trailers.
    fn trailer(&mut self, rest: &[u8], at: usize, piece: &mut impl FnMut(Piece)) -> Result<usize, ChunkError> {
        let Some(&byte) = rest.first() else {
            return Ok(0);
        };
        let (run, next) = match self.state {
            State::TrailerValue => match rest.iter().take_while(|b| is_text(**b)).count() {
                0 if byte == b'\r' => (1, State::TrailerLf),
                0 => return Err(ChunkError::Trailer),
                run => (run, State::TrailerValue),
            },
            State::TrailerLf if byte == b'\n' => (1, State::TrailerStart),
            State::TrailerName if byte == b':' => (1, State::TrailerValue),
            State::TrailerStart | State::TrailerName if is_tchar(byte) => (1, State::TrailerName),
            _ => return Err(ChunkError::Trailer),
        };
        let cut = run.min(TRAILER_BYTES_MAX - self.trailer_bytes);
        if cut > 0 {
            piece(Piece::Cut(at..at + cut));
        }
        self.trailer_bytes += cut;
        if cut < run {
            return Err(ChunkError::TrailerTooLong);
        }
        self.state = next;
        Ok(run)
    }
}

/// RFC 9112 §7.1: `chunk-size = 1*HEXDIG`, followed by CR LF or by an extension. No sign, no prefix, no space before.
fn size_byte(digits: usize, size: u64, byte: u8) -> Result<State, ChunkError> {
    match byte {
        b'\r' | b'\n' | b';' | b' ' | b'\t' if digits == 0 => Err(ChunkError::Size),
        b'\r' => Ok(State::SizeLf { size }),
        b'\n' => Err(ChunkError::LineEnd),
        b';' => Ok(State::Extension { size }),
        b' ' | b'\t' => Ok(State::Space { size }),
        _ => {
            let digit = char::from(byte).to_digit(16).ok_or(ChunkError::Size)?;
            if digits == CHUNK_SIZE_DIGITS_MAX {
                return Err(ChunkError::SizeDigits);
            }
            let size = size
                .checked_mul(16)
                .and_then(|size| size.checked_add(u64::from(digit)))
                .filter(|size| *size <= CHUNK_BYTES_MAX)
                .ok_or(ChunkError::TooLarge)?;
            Ok(State::Size { digits: digits + 1, size })
        }
    }
}

/// RFC 9110 §5.5: what a field value may hold besides its delimiters; used for extensions too.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// RFC 9110 §5.6.2: the bytes of a token.
pub(super) fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The end of a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The size line of a chunk of `len` bytes; the caller writes the data and then CR LF. Not for `len` 0, which would
/// end the body: see [`LAST_CHUNK`].
pub fn write_chunk_head(out: &mut Vec<u8>, len: usize) {
    debug_assert!(len > 0, "a chunk of size 0 ends the body");
    write::digits::<16>(out, len as u64);
    out.extend_from_slice(b"\r\n");
}

/// A whole chunk. Writes nothing for empty data.
pub fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if !data.is_empty() {
        write_chunk_head(out, data.len());
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::splits::{Walk, walk};

    fn decode(input: &[u8]) -> Walk<ChunkError> {
        let mut decoder = ChunkDecoder::default();
        walk(&[input], |part, piece| decoder.push(part, piece))
    }

    #[test]
    fn bodies_that_are_read() {
        // rule, input, payload, kept
        type Case<'a> = (&'a str, &'a [u8], &'a [u8], &'a [u8]);
        let cases: &[Case<'_>] = &[
            ("one chunk", b"2\r\n{}\r\n0\r\n\r\n", b"{}", b"2\r\n{}\r\n0\r\n\r\n"),
            ("empty", b"0\r\n\r\n", b"", b"0\r\n\r\n"),
            ("many zeros end it too", b"0000\r\n\r\n", b"", b"0000\r\n\r\n"),
            (
                "upper and lower hex",
                b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
                b"01234567890123456789",
                b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
            ),
            ("16 digits", b"0000000000000002\r\n{}\r\n0\r\n\r\n", b"{}", b"0000000000000002\r\n{}\r\n0\r\n\r\n"),
            ("chunk-ext-ok", b"2;a=b\r\n{}\r\n0\r\n\r\n", b"{}", b"2\r\n{}\r\n0\r\n\r\n"),
            (
                "extension after white space",
                b"2 \t; a = \"b;c\"\r\n{}\r\n0;last\r\n\r\n",
                b"{}",
                b"2\r\n{}\r\n0\r\n\r\n",
            ),
            ("empty extension", b"2;\r\n{}\r\n0\r\n\r\n", b"{}", b"2\r\n{}\r\n0\r\n\r\n"),
            ("chunk-last-junk", b"2\r\n{}\r\n0\r\nX:POST / HTTP/1.1\r\n\r\n", b"{}", b"2\r\n{}\r\n0\r\n\r\n"),
            ("trailer-cl", b"2\r\n{}\r\n0\r\nContent-Length: 9\r\nA:\r\n\r\n", b"{}", b"2\r\n{}\r\n0\r\n\r\n"),
            (
                "data may look like framing",
                b"5\r\n0\r\n\r\n\r\n0\r\n\r\n",
                b"0\r\n\r\n",
                b"5\r\n0\r\n\r\n\r\n0\r\n\r\n",
            ),
        ];
        for (rule, input, payload, kept) in cases {
            let walk = decode(input);
            assert_eq!(walk.end, Ok((input.len(), true)), "{rule}");
            assert_eq!(walk.data, *payload, "{rule}");
            assert_eq!(walk.kept, *kept, "{rule}");
        }
    }

    #[test]
    fn bodies_that_are_refused() {
        let extension = [b"2;".as_slice(), &[b'b'; 65_536], b"\r\n{}\r\n0\r\n\r\n"].concat();
        let trailer = [b"0\r\nA:".as_slice(), &[b'b'; 65_536], b"\r\n\r\n"].concat();
        let cases: &[(&str, &[u8], ChunkError)] = &[
            ("chunk-hexprefix", b"0x2\r\n{}\r\n0\r\n\r\n", ChunkError::Size),
            ("chunk-plus", b"+2\r\n{}\r\n0\r\n\r\n", ChunkError::Size),
            ("chunk-minus", b"-2\r\n{}\r\n0\r\n\r\n", ChunkError::Size),
            ("chunk-empty-size", b"\r\n{}\r\n0\r\n\r\n", ChunkError::Size),
            ("empty size with extension", b";a\r\n{}\r\n0\r\n\r\n", ChunkError::Size),
            ("chunk-lead-sp", b" 2\r\n{}\r\n0\r\n\r\n", ChunkError::Size),
            ("space behind a size", b"2 \r\n{}\r\n0\r\n\r\n", ChunkError::Size),
            ("digits apart", b"2 2;a\r\n{}\r\n0\r\n\r\n", ChunkError::Size),
            ("underscore digits", b"0_2\r\n{}\r\n0\r\n\r\n", ChunkError::Size),
            ("full-width digit", "２\r\n{}\r\n0\r\n\r\n".as_bytes(), ChunkError::Size),
            ("chunk-17-digits", b"00000000000000002\r\n{}\r\n0\r\n\r\n", ChunkError::SizeDigits),
            ("chunk-2^64-1", b"FFFFFFFFFFFFFFFF\r\n{}", ChunkError::TooLarge),
            ("1 TiB and one byte", b"10000000001\r\n{}", ChunkError::TooLarge),
            ("chunk-bare-lf-size", b"2\n{}\r\n0\r\n\r\n", ChunkError::LineEnd),
            ("chunk-bare-lf-data", b"2\r\n{}\n0\r\n\r\n", ChunkError::DataEnd),
            ("chunk-bare-cr", b"2\r{}\r\n0\r\n\r\n", ChunkError::LineEnd),
            ("CR after data without LF", b"2\r\n{}\r0\r\n\r\n", ChunkError::DataEnd),
            ("chunk-ext-lf", b"2;\nxx\r\n{}\r\n0\r\n\r\n", ChunkError::LineEnd),
            ("chunk-ext-cr", b"2;\rxx\r\n{}\r\n0\r\n\r\n", ChunkError::LineEnd),
            ("NUL in an extension", b"2;a\0\r\n{}\r\n0\r\n\r\n", ChunkError::Extension),
            ("chunk-ext-64k", &extension, ChunkError::ExtensionTooLong),
            ("chunk-spill", b"2\r\n{}XX0\r\n\r\n", ChunkError::DataEnd),
            ("bare LF as the last line", b"0\r\n\n", ChunkError::Trailer),
            ("CR alone as the last line", b"0\r\n\rX", ChunkError::Trailer),
            ("LF-ended trailer", b"0\r\nA: b\n\r\n", ChunkError::Trailer),
            ("bare CR in a trailer", b"0\r\nA: b\rc\r\n\r\n", ChunkError::Trailer),
            ("NUL in a trailer", b"0\r\nA: \0\r\n\r\n", ChunkError::Trailer),
            (
                "the next request where the empty line belongs",
                b"0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
                ChunkError::Trailer,
            ),
            ("folded trailer", b"0\r\nA: b\r\n c\r\n\r\n", ChunkError::Trailer),
            ("trailer without a name", b"0\r\n: b\r\n\r\n", ChunkError::Trailer),
            ("64 KiB trailer", &trailer, ChunkError::TrailerTooLong),
        ];
        for (rule, input, error) in cases {
            assert_eq!(decode(input).end, Err(*error), "{rule}");
        }
    }

    #[test]
    fn extensions_are_counted_over_the_whole_body() {
        let chunk = [b"1;".as_slice(), &[b'b'; 1023], b"\r\nx\r\n"].concat();
        assert_eq!(decode(&chunk.repeat(4)).end, Ok((4 * chunk.len(), false)));
        assert_eq!(decode(&chunk.repeat(5)).end, Err(ChunkError::ExtensionTooLong));
    }

    #[test]
    fn a_body_ends_where_it_ends_and_an_error_stays() {
        let mut decoder = ChunkDecoder::default();
        assert_eq!(decoder.push(b"0\r\n\r\nGET /", |_| ()), Ok(Progress { consumed: 5, done: true }));
        assert_eq!(decoder.push(b"GET /", |_| ()), Ok(Progress { consumed: 0, done: true }));
        let mut decoder = ChunkDecoder::default();
        assert_eq!(decoder.push(b"x", |_| ()), Err(ChunkError::Size));
        assert_eq!(decoder.push(b"0\r\n\r\n", |_| ()), Err(ChunkError::Size));
        assert_eq!(decoder.push(b"", |_| ()), Err(ChunkError::Size));
    }

    #[test]
    fn between_chunks_and_announced() {
        let mut decoder = ChunkDecoder::default();
        let input = b"a\r\n0123456789\r\n0\r\n\r\n";
        let mut seen = Vec::new();
        for byte in input {
            seen.push((decoder.is_between_chunks(), decoder.announced()));
            decoder.push(&[*byte], |_| ()).unwrap();
        }
        let between: Vec<_> = (0..seen.len()).filter(|at| seen[*at].0).collect();
        assert_eq!(between, [0, 15]);
        assert_eq!((seen[3].1, seen[4].1, seen[13].1), (10, 9, 0));
        assert!(decoder.is_done() && !decoder.is_between_chunks());
    }

    #[test]
    fn what_we_write_we_read() {
        let mut out = Vec::new();
        for len in [1, 15, 16, 0, 4096] {
            write_chunk(&mut out, &vec![b'x'; len]);
        }
        out.extend_from_slice(LAST_CHUNK);
        let walk = decode(&out);
        assert_eq!((walk.end, walk.data.len()), (Ok((out.len(), true)), 4128));
        assert!(out.starts_with(b"1\r\nx\r\nf\r\n"));
    }
}
