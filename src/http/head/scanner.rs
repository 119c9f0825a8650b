//! Finds the end of a head while its bytes arrive.

use std::sync::LazyLock;

use memchr::memchr2;
use memchr::memmem::Finder;

use super::line::{RequestLine, first_byte};
use crate::http::reject::Reject;
use crate::limits::{HEAD_BYTES_MAX, REQUEST_LINE_BYTES_MAX, TARGET_BYTES_MAX};

/// Which of the two heads is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// A request: one empty line before it is skipped, and its first line is checked as soon as it is complete.
    Request,
    /// A response: begins with `HTTP/1.` at once.
    Response,
}

/// Finds the empty line that ends a head, without looking at any byte twice (but for a CR that waits for its LF):
/// a head that drips in byte by byte costs as much as one that comes whole.
#[derive(Debug, Default)]
pub struct HeadScanner {
    phase: Phase,
    /// Start of the current line.
    line: usize,
    /// Every byte before this one is settled.
    at: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Too little has come to say what it is.
    #[default]
    Start,
    FirstLine,
    Fields,
}

impl HeadScanner {
    /// Scans on. `buf` begins, in every call for one head, at the first byte after the previous message, and has grown
    /// since the last call. Returns the length of the head with its empty line, `None` if more is needed, or the first
    /// fault: which one does not depend on how the bytes were split.
    ///
    /// For a response the possible reasons are `NotHttp`, `BareLf`, `BareCr` and `HeadTooLarge`;
    /// [`BadResponse`](super::BadResponse) can be made from them.
    pub fn push(&mut self, kind: HeadKind, buf: &[u8]) -> Result<Option<usize>, Reject> {
        if self.phase == Phase::Start {
            if !self.start(kind, buf)? {
                return Ok(None);
            }
            if let Some(head) = whole(buf) {
                if kind == HeadKind::Request {
                    let line = head.get(self.line..).and_then(|text| text.split(|byte| *byte == b'\r').next());
                    RequestLine::parse(line.unwrap_or_default())?;
                }
                return Ok(Some(head.len()));
            }
        }
        loop {
            // The bound of what may be looked at: a first line that crosses its own has too long a target.
            let (bound, too_long) = match (kind, self.phase) {
                (HeadKind::Request, Phase::FirstLine) => (self.line + REQUEST_LINE_BYTES_MAX, Reject::TargetTooLong),
                _ => (HEAD_BYTES_MAX, Reject::HeadTooLarge),
            };
            let window = buf.get(..bound).unwrap_or(buf);
            let rest = window.get(self.at..).unwrap_or_default();
            let end = match memchr2(b'\r', b'\n', rest) {
                Some(found) => self.at + found,
                None => window.len().max(self.at),
            };
            self.at = end;
            match (window.get(end), window.get(end + 1)) {
                // RFC 9112 §2.2: a recipient MAY take LF alone for a line's end. Two readers that differ in it see two
                // different messages, so we do not.
                (Some(b'\n'), _) => return Err(Reject::BareLf),
                (Some(_), Some(b'\n')) => {}
                // RFC 9112 §2.2: a bare CR must be refused or replaced.
                (Some(_), Some(_)) => return Err(Reject::BareCr),
                _ if window.len() == bound => return Err(too_long),
                _ => return Ok(None),
            }
            let next = end + 2;
            if end == self.line {
                return Ok(Some(next));
            }
            if self.phase == Phase::FirstLine && kind == HeadKind::Request {
                RequestLine::parse(buf.get(self.line..end).unwrap_or_default())?;
            }
            (self.phase, self.line, self.at) = (Phase::Fields, next, next);
        }
    }

    /// Forgets the head that was scanned.
    pub fn reset(&mut self) {
        *self = HeadScanner::default();
    }

    /// Looks at the first bytes; true when the first line may be scanned.
    fn start(&mut self, kind: HeadKind, buf: &[u8]) -> Result<bool, Reject> {
        let line = match (kind, buf) {
            (_, []) => return Ok(false),
            (HeadKind::Response, _) => {
                let prefix = b"HTTP/1.";
                // RFC 9112 §4. What an upstream of another protocol sends may never contain a line's end.
                if prefix.iter().zip(buf).any(|(want, got)| want != got) {
                    return Err(Reject::NotHttp);
                }
                if buf.len() < prefix.len() {
                    return Ok(false);
                }
                0
            }
            // RFC 9112 §2.2: an empty line before a request SHOULD be ignored: old clients sent one after a body. One.
            (HeadKind::Request, [b'\r', b'\n', b'\r' | b'\n', ..]) => {
                return Err(Reject::LeadingLines);
            }
            (HeadKind::Request, [b'\r', b'\n', ..]) => 2,
            (HeadKind::Request, [b'\r', _, ..]) => return Err(Reject::BareCr),
            (HeadKind::Request, [b'\r']) => return Ok(false),
            (HeadKind::Request, _) => 0,
        };
        if kind == HeadKind::Request {
            match buf.get(line) {
                Some(byte) => first_byte(*byte)?,
                None => return Ok(false),
            }
        }
        (self.phase, self.line, self.at) = (Phase::FirstLine, line, line);
        Ok(true)
    }
}

/// A head that lies here whole, and whose lines end as they must. Most do, and then no line needs to be
/// looked for; of all others the lines are walked, to say what is wrong and where.
fn whole(buf: &[u8]) -> Option<&[u8]> {
    static END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\r\n\r\n"));
    // Shorter than that, no bound can be crossed.
    let window = buf.get(..TARGET_BYTES_MAX).unwrap_or(buf);
    let head = window.get(..END.find(window)? + END.needle().len())?;
    let pairs = head.iter().zip(head.get(1..)?);
    let is_odd = pairs.fold(false, |odd, (first, second)| odd | ((*first == b'\r') != (*second == b'\n')));
    (!is_odd && head.first() != Some(&b'\n')).then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use HeadKind::{Request, Response};

    /// Rule, input, outcome.
    type Case<'a> = (&'a str, &'a [u8], Result<Option<usize>, Reject>);

    fn scan(kind: HeadKind, input: &[u8]) -> Result<Option<usize>, Reject> {
        HeadScanner::default().push(kind, input)
    }

    #[test]
    fn requests() {
        use Reject::*;
        let long = |len: usize| [b"GET /".as_slice(), &vec![b'a'; len - 1]].concat();
        let line = |len: usize| [&long(len), b" HTTP/1.1\r\n".as_slice()].concat();
        let head = |len: usize| {
            let frame = b"GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
            [b"GET / HTTP/1.1\r\nHost: a\r\nX: ".as_slice(), &vec![b'a'; len - frame], b"\r\n\r\n"].concat()
        };
        let cases: &[Case<'_>] = &[
            ("ok-get", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Some(27))),
            ("the next request is not looked at", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\n\n\x16", Ok(Some(27))),
            ("nothing", b"", Ok(None)),
            ("not yet", b"GET / HTTP/1.1\r\nHost: a\r\n\r", Ok(None)),
            ("lead-crlf", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Some(29))),
            ("lead-crlf alone", b"\r\n", Ok(None)),
            ("lead-crlf twice", b"\r\n\r", Err(LeadingLines)),
            ("lead-crlf-x1000", &b"\r\n".repeat(1000), Err(LeadingLines)),
            ("leading LF", b"\n", Err(BareLf)),
            ("leading CR", b"\rG", Err(BareCr)),
            ("tls-hello", b"\x16", Err(TlsHello)),
            ("another protocol", b"\x00\x00\x00\x10", Err(NotHttp)),
            ("h2-preface", b"PRI * HTTP/2.0\r\n", Err(Http2Preface)),
            ("http09", b"GET /\r\n", Err(MissingVersion)),
            ("http12", b"GET / HTTP/1.2\r\n", Err(Version)),
            ("http20", b"GET / HTTP/2.0\r\n", Err(Version)),
            ("http-lower", b"GET / http/1.1\r\n", Err(VersionSyntax)),
            ("pipeline-bad-2nd", b"BAD\r\n", Err(MissingVersion)),
            ("lf-all", b"GET / HTTP/1.1\n", Err(BareLf)),
            ("lf-one-header", b"GET / HTTP/1.1\r\nHost: a\n", Err(BareLf)),
            ("lf as the empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\n", Err(BareLf)),
            ("cr-in-value", b"GET / HTTP/1.1\r\nX: a\rb", Err(BareCr)),
            ("cr cr lf", b"GET / HTTP/1.1\r\r\n", Err(BareCr)),
            ("target of 8 KiB", &line(8192), Ok(None)),
            ("target of 8 KiB and 1", &line(8193), Err(TargetTooLong)),
            ("uri-64k, no line's end", &long(65_536), Err(TargetTooLong)),
            ("head of 32 KiB", &head(32 * 1024), Ok(Some(32 * 1024))),
            ("head of 32 KiB and 1", &head(32 * 1024 + 1), Err(HeadTooLarge)),
            ("hdr-64k", &head(65_536), Err(HeadTooLarge)),
        ];
        for (rule, input, want) in cases {
            assert_eq!(scan(Request, input), *want, "{rule}");
        }
    }

    #[test]
    fn responses() {
        let cases: &[Case<'_>] = &[
            ("ok", b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody", Ok(Some(25))),
            ("no fields", b"HTTP/1.0 200\r\n\r\n", Ok(Some(16))),
            ("not yet", b"HTTP/1", Ok(None)),
            ("U6 ICY", b"ICY 200 OK\r\n", Err(Reject::NotHttp)),
            ("U6 HTTP/2 settings", b"\x00\x00\x12\x04", Err(Reject::NotHttp)),
            ("U6 HTTP/2 in words", b"HTTP/2", Err(Reject::NotHttp)),
            ("an empty line first", b"\r\nHTTP/1.1 200 OK\r\n\r\n", Err(Reject::NotHttp)),
            ("bare LF", b"HTTP/1.1 200 OK\n\n", Err(Reject::BareLf)),
            ("U17 1 MiB", &[b"HTTP/1.1 200 ".as_slice(), &[b'a'; 1 << 20]].concat(), Err(Reject::HeadTooLarge)),
        ];
        for (rule, input, want) in cases {
            assert_eq!(scan(Response, input), *want, "{rule}");
        }
    }

    #[test]
    fn byte_by_byte_looks_at_no_byte_more_than_twice() {
        let head = [b"GET / HTTP/1.1\r\nHost: a\r\n".as_slice(), &b"X: yyyyyyyyyyyy\r\n".repeat(90), b"\r\n"].concat();
        let (mut scanner, mut looked_at, mut end) = (HeadScanner::default(), 0, None);
        for len in 1..=head.len() {
            looked_at += len - scanner.at;
            end = scanner.push(Request, &head[..len]).unwrap();
        }
        assert_eq!(end, Some(head.len()));
        assert!(looked_at <= 2 * head.len(), "{looked_at} bytes looked at for {}", head.len());
    }

    #[test]
    fn reset_begins_anew() {
        let mut scanner = HeadScanner::default();
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(scanner.push(Request, head), Ok(Some(27)));
        scanner.reset();
        assert_eq!(scanner.push(Request, &head[..20]), Ok(None));
        assert_eq!(scanner.push(Request, head), Ok(Some(27)));
    }
}
