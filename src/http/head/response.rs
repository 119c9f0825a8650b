//! The head of a response.

use super::line::Version;
use super::table::{FieldFault, FieldTable};
use crate::http::reject::Reject;
use crate::limits::HEAD_BYTES_MAX;

/// A response's head, read strictly. Made once and reused.
#[derive(Debug, Default)]
pub struct ResponseHead {
    status: u16,
    version: Version,
    table: FieldTable,
}

/// Why an upstream's response cannot be used. The connection it came on is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadResponse {
    /// It does not begin with `HTTP/1.`.
    NotHttp,
    /// The status line is not version, three digits and a phrase.
    StatusLine,
    /// A version other than HTTP/1.1 and HTTP/1.0.
    Version,
    /// A status outside 100 to 599.
    Status,
    /// A line ends with LF alone, or a CR is not followed by LF.
    LineEnd,
    /// A line that is not a field line.
    Field,
    /// The head is larger than [`HEAD_BYTES_MAX`].
    HeadTooLarge,
    /// More than 100 fields, or more options in Connection than a head can mean.
    TooManyFields,
    /// The head does not end with one empty line.
    HeadIncomplete,
    /// Both Content-Length and Transfer-Encoding.
    LengthAndCoding,
    /// More than one Content-Length.
    DuplicateLength,
    /// A Content-Length that is not one decimal number.
    BadLength,
    /// Transfer-Encoding in HTTP/1.0.
    CodingInHttp10,
    /// More than one Transfer-Encoding.
    DuplicateCoding,
    /// A Transfer-Encoding other than chunked.
    TransferCoding,
}

impl BadResponse {
    /// The name in logs.
    pub fn name(self) -> &'static str {
        match self {
            BadResponse::NotHttp => "not-http",
            BadResponse::StatusLine => "status-line",
            BadResponse::Version => "http-version",
            BadResponse::Status => "status-range",
            BadResponse::LineEnd => "line-end",
            BadResponse::Field => "field-syntax",
            BadResponse::HeadTooLarge => "head-too-large",
            BadResponse::TooManyFields => "too-many-fields",
            BadResponse::HeadIncomplete => "head-incomplete",
            BadResponse::LengthAndCoding => "length-and-coding",
            BadResponse::DuplicateLength => "duplicate-length",
            BadResponse::BadLength => "bad-length",
            BadResponse::CodingInHttp10 => "coding-in-http10",
            BadResponse::DuplicateCoding => "duplicate-coding",
            BadResponse::TransferCoding => "unsupported-coding",
        }
    }
}

/// For what [`HeadScanner`](super::HeadScanner) finds in a response.
impl From<Reject> for BadResponse {
    fn from(reject: Reject) -> BadResponse {
        match reject {
            Reject::HeadTooLarge => BadResponse::HeadTooLarge,
            Reject::BareLf | Reject::BareCr => BadResponse::LineEnd,
            _ => BadResponse::NotHttp,
        }
    }
}

impl AsRef<FieldTable> for ResponseHead {
    fn as_ref(&self) -> &FieldTable {
        &self.table
    }
}

impl ResponseHead {
    /// Reads a head: exactly the bytes up to and with its empty line. After an error the head is empty, its status 0.
    ///
    /// Values may have bytes outside ASCII (RFC 9110 §5.5, obs-text): file names and organisation names of servers do.
    pub fn parse(&mut self, head: &[u8]) -> Result<(), BadResponse> {
        let outcome = self.fill(head);
        if outcome.is_err() {
            self.table.clear();
            self.status = 0;
        }
        outcome
    }

    /// The status, 100 to 599.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The version of the status line.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The fields in order: name as written, value without the white space around it.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.table.iter()
    }

    /// The value of the first field of this name, in any case.
    #[inline]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.table.get(name)
    }

    /// How many fields have this name.
    pub fn count(&self, name: &str) -> usize {
        self.table.count(name)
    }

    /// Whether the upstream lets the connection persist (RFC 9112 §9.3).
    pub fn keep_alive(&self) -> bool {
        self.table.keep_alive(self.version)
    }

    fn fill(&mut self, head: &[u8]) -> Result<(), BadResponse> {
        if head.len() > HEAD_BYTES_MAX {
            return Err(BadResponse::HeadTooLarge);
        }
        let lf = memchr::memchr(b'\n', head).ok_or(BadResponse::HeadIncomplete)?;
        let line = head.get(..lf).unwrap_or_default();
        let line = line.strip_suffix(b"\r").ok_or(BadResponse::LineEnd)?;
        (self.version, self.status) = status_line(line)?;
        self.table.fill(head, lf + 1)?;
        Ok(())
    }
}

/// RFC 9112 §4: `HTTP-version SP 3DIGIT SP [ reason-phrase ]`. Servers that have no phrase often omit the space before
/// it as well.
fn status_line(line: &[u8]) -> Result<(Version, u16), BadResponse> {
    let rest = line.strip_prefix(b"HTTP/1.").ok_or(BadResponse::NotHttp)?;
    let (version, rest) = match rest {
        [b'1', rest @ ..] => (Version::Http11, rest),
        [b'0', rest @ ..] => (Version::Http10, rest),
        _ => return Err(BadResponse::Version),
    };
    let (digits, phrase) = match rest {
        [b' ', a, b, c] => ([a, b, c], [].as_slice()),
        [b' ', a, b, c, b' ', phrase @ ..] => ([a, b, c], phrase),
        _ => return Err(BadResponse::StatusLine),
    };
    let mut status = 0;
    for digit in digits {
        let digit = char::from(*digit).to_digit(10).ok_or(BadResponse::StatusLine)?;
        status = status * 10 + digit as u16; // three digits
    }
    if phrase.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(BadResponse::StatusLine);
    }
    // RFC 9110 §15: a status is 100 to 599. Others would mean nothing to the client either.
    if !(100..=599).contains(&status) {
        return Err(BadResponse::Status);
    }
    Ok((version, status))
}

impl From<FieldFault> for BadResponse {
    fn from(fault: FieldFault) -> BadResponse {
        match fault {
            FieldFault::BareLf | FieldFault::BareCr => BadResponse::LineEnd,
            FieldFault::Incomplete => BadResponse::HeadIncomplete,
            FieldFault::TooMany | FieldFault::TooManyOptions => BadResponse::TooManyFields,
            // RFC 9112 §5.2: a proxy replaces a folded line or refuses the response.
            FieldFault::Name
            | FieldFault::EmptyName
            | FieldFault::SpaceBeforeColon
            | FieldFault::LeadingSpace
            | FieldFault::Fold
            | FieldFault::MissingColon
            | FieldFault::Value => BadResponse::Field,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(input: &[u8]) -> Result<ResponseHead, BadResponse> {
        let mut head = ResponseHead::default();
        head.parse(input).map(|()| head)
    }

    #[test]
    fn status_lines() {
        let cases: &[(&str, &[u8], Result<u16, BadResponse>)] = &[
            ("ok", b"HTTP/1.1 200 OK", Ok(200)),
            ("HTTP/1.0", b"HTTP/1.0 404 Not Found", Ok(404)),
            ("empty phrase", b"HTTP/1.1 529 ", Ok(529)),
            ("no phrase, no space", b"HTTP/1.1 200", Ok(200)),
            ("a phrase in Latin-1", b"HTTP/1.1 500 d\xe9sol\xe9", Ok(500)),
            ("U6 ICY", b"ICY 200 OK", Err(BadResponse::NotHttp)),
            ("U6 garbage", b"hello", Err(BadResponse::NotHttp)),
            ("U6 HTTP/2", b"HTTP/2 200", Err(BadResponse::NotHttp)),
            ("HTTP/1.2", b"HTTP/1.2 200 OK", Err(BadResponse::Version)),
            ("U7 000", b"HTTP/1.1 000 ", Err(BadResponse::Status)),
            ("U7 099", b"HTTP/1.1 099 ", Err(BadResponse::Status)),
            ("U7 600", b"HTTP/1.1 600 ", Err(BadResponse::Status)),
            ("U7 999", b"HTTP/1.1 999 ", Err(BadResponse::Status)),
            ("four digits", b"HTTP/1.1 2000 OK", Err(BadResponse::StatusLine)),
            ("two digits", b"HTTP/1.1 20 OK", Err(BadResponse::StatusLine)),
            ("a sign", b"HTTP/1.1 +20 OK", Err(BadResponse::StatusLine)),
            ("two spaces", b"HTTP/1.1  200 OK", Err(BadResponse::StatusLine)),
            ("NUL in the phrase", b"HTTP/1.1 200 O\0K", Err(BadResponse::StatusLine)),
            ("CR in the phrase", b"HTTP/1.1 200 O\rK", Err(BadResponse::StatusLine)),
        ];
        for (rule, line, want) in cases {
            let got = parse(&[line, b"\r\nA: b\r\n\r\n".as_slice()].concat());
            assert_eq!(got.map(|head| head.status()), *want, "{rule}");
        }
    }

    #[test]
    fn fields() {
        let cases: &[(&str, &[u8], Result<usize, BadResponse>)] = &[
            ("none", b"", Ok(0)),
            ("two", b"A: b\r\nC: d\r\n", Ok(2)),
            ("obs-text", b"Openai-Organization: caf\xc3\xa9\r\n", Ok(1)),
            ("100", &b"A: b\r\n".repeat(100), Ok(100)),
            ("U17 1,000", &b"A: b\r\n".repeat(1000), Err(BadResponse::TooManyFields)),
            ("U17 32 KiB", &[b"A: ".as_slice(), &[b'a'; 32_768], b"\r\n"].concat(), Err(BadResponse::HeadTooLarge)),
            ("bare LF", b"A: b\nC: d\r\n", Err(BadResponse::LineEnd)),
            ("bare CR", b"A: b\rC: d\r\n", Err(BadResponse::LineEnd)),
            ("obs-fold", b"A: b\r\n c\r\n", Err(BadResponse::Field)),
            ("space before the colon", b"A : b\r\n", Err(BadResponse::Field)),
            ("NUL", b"A: \0\r\n", Err(BadResponse::Field)),
            ("two heads", b"\r\nA: b\r\n", Err(BadResponse::HeadIncomplete)),
        ];
        for (rule, fields, want) in cases {
            let got = parse(&[b"HTTP/1.1 200 OK\r\n", *fields, b"\r\n"].concat());
            assert_eq!(got.map(|head| head.fields().count()), *want, "{rule}");
        }
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nA: b\r\n").err(), Some(BadResponse::HeadIncomplete));
        assert_eq!(parse(b"HTTP/1.1 200 OK\n\n").err(), Some(BadResponse::LineEnd));
    }

    #[test]
    fn persistence_and_lookup() {
        let head = parse(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nretry-after: 7\r\n\r\n").unwrap();
        assert!(head.keep_alive());
        assert_eq!((head.version(), head.get("Retry-After")), (Version::Http10, Some(b"7".as_slice())));
        assert!(!parse(b"HTTP/1.0 200 OK\r\n\r\n").unwrap().keep_alive());
        assert!(!parse(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").unwrap().keep_alive());
    }
}
