//! Writes heads. Nothing here allocates beyond the growth of the caller's buffer.

/// `HTTP/1.1 200 OK`. A status without a known phrase gets an empty one; the space stays (RFC 9112 §4).
pub fn status_line(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    number(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// One field line. A name or value with CR, LF or NUL is not written at all: it would become a line of its own
/// (RFC 9110 §5.5).
pub fn field(out: &mut Vec<u8>, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
    let (name, value) = (name.as_ref(), value.as_ref());
    // Names and most values are short: a plain loop, which goes over many bytes at once, is faster than a search.
    let splits = |text: &[u8]| text.iter().fold(false, |splits, byte| splits | matches!(byte, b'\r' | b'\n' | 0));
    let harmless = !splits(name) && !splits(value);
    debug_assert!(harmless, "a field that would split the head");
    if harmless {
        line(out, name, value);
    }
}

/// One field line of a head that was read: no line's end can be in it.
pub fn read_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    debug_assert!(memchr::memchr3(b'\r', b'\n', 0, value).is_none(), "not a field that was read");
    line(out, name, value);
}

#[inline]
fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// `content-length: N`.
pub fn content_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"content-length: ");
    number(out, length);
    out.extend_from_slice(b"\r\n");
}

/// The empty line that ends a head.
pub fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// A number in decimal.
pub fn number(out: &mut Vec<u8>, value: u64) {
    match value {
        // Most numbers of a head or a line have one to three digits.
        0..10 => out.push(b'0' + value as u8),
        10..100 => out.extend_from_slice(&[b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]),
        100..1000 => out.extend_from_slice(&decimals(value as u32)),
        _ => digits::<10>(out, value),
    }
}

/// The last three decimal digits of a number.
pub fn decimals(value: u32) -> [u8; 3] {
    [100, 10, 1].map(|place| b'0' + (value / place % 10) as u8)
}

/// A number in the given base (10 or 16).
pub(super) fn digits<const BASE: u64>(out: &mut Vec<u8>, value: u64) {
    let mut text = [0; DIGITS_MAX];
    let free = put_digits::<BASE>(&mut text, value);
    out.extend_from_slice(text.get(free..).unwrap_or_default());
}

/// Bytes of the longest number: u64::MAX has 20 decimal digits.
pub const DIGITS_MAX: usize = 20;

/// Puts a number's digits at the end of `text`; how many bytes before them stay as they are.
pub fn put_digits<const BASE: u64>(text: &mut [u8; DIGITS_MAX], value: u64) -> usize {
    let (mut rest, mut free) = (value, DIGITS_MAX);
    for digit in text.iter_mut().rev() {
        let low = (rest % BASE) as u8; // below 16
        *digit = if low < 10 { b'0' + low } else { b'a' + low - 10 };
        rest /= BASE;
        free -= 1;
        if rest == 0 {
            break;
        }
    }
    free
}

/// The reason phrase of a status we write; empty for one we do not know.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        508 => "Loop Detected",
        529 => "Overloaded", // not registered; Anthropic's
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_whole_head() {
        let text = written(|out| {
            content_length(out, 13);
            field(out, b"host", "a");
            end(out);
        });
        assert_eq!(text, "content-length: 13\r\nhost: a\r\n\r\n");
        assert_eq!(written(|out| status_line(out, 200)), "HTTP/1.1 200 OK\r\n");
        assert_eq!(written(|out| status_line(out, 599)), "HTTP/1.1 599 \r\n");
    }

    #[test]
    fn numbers() {
        for n in [0, 7, 10, 99, 100, 65_535, u64::MAX] {
            assert_eq!(written(|out| number(out, n)), n.to_string());
            assert_eq!(written(|out| digits::<16>(out, n)), format!("{n:x}"));
        }
    }

    #[test]
    fn a_field_that_would_split_the_head_is_never_written() {
        for (name, value) in [("a", "b\r\nc: d"), ("a", "b\rc"), ("a", "b\nc"), ("a", "b\0c"), ("a\r\nb", "c")] {
            let outcome = std::panic::catch_unwind(|| written(|out| field(out, name, value)));
            // Debug builds assert, release builds skip the field.
            assert_eq!(outcome.unwrap_or_default(), "", "{name:?} {value:?}");
        }
    }
}
