//! JSON values as they stand, put into strings: tool inputs become `arguments`, blocks without a word become text.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use crate::json::text;

/// The value without white space between its parts, if it was laid out over several lines; strings and numbers keep
/// their bytes.
pub fn compact(raw: &[u8]) -> Cow<'_, [u8]> {
    // Inside of strings line ends are escaped.
    if memchr2(b'\n', b'\r', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((outside, string)) = memchr(b'"', rest).and_then(|quote| rest.split_at_checked(quote)) {
        out.extend(outside.iter().filter(|byte| !byte.is_ascii_whitespace()));
        let (string, behind) = string.split_at_checked(string_end(string)).unwrap_or((string, &[]));
        out.extend_from_slice(string);
        rest = behind;
    }
    out.extend(rest.iter().filter(|byte| !byte.is_ascii_whitespace()));
    Cow::Owned(out)
}

/// Appends a value as the content of a string, without quotes.
pub fn escape(raw: &[u8], out: &mut Vec<u8>) {
    text::escape(&compact(raw), out);
}

/// Appends a value as it stands; U+FFFD stands for what is not UTF-8, for nothing else would be JSON.
pub fn copy(raw: &[u8], out: &mut Vec<u8>) {
    if text::is_utf8(raw) {
        return out.extend_from_slice(raw);
    }
    for chunk in raw.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{FFFD}".as_bytes());
        }
    }
}

/// A client's word, so that it can stand in a loss's path: letters, digits, `_` and `-`, and not too many.
pub fn printable(name: &[u8]) -> String {
    const LONGEST: usize = 64;
    let plain = |byte: &u8| if byte.is_ascii_alphanumeric() || *byte == b'-' { char::from(*byte) } else { '_' };
    name.iter().take(LONGEST).map(plain).collect()
}

/// Where a string that begins with its quote ends.
fn string_end(string: &[u8]) -> usize {
    let mut at = 1;
    while let Some(special) = string.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        match string.get(at + special) {
            Some(b'\\') => at += special + 2,
            _ => return at + special + 1,
        }
    }
    string.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compacted() {
        for (given, want) in [
            (r#"{"a": 1}"#, r#"{"a": 1}"#),
            ("{\n  \"a b\": [1.0, \"x \\\" y\\\\\", {}],\r\n\t\"c\": 1e3\n}", r#"{"a b":[1.0,"x \" y\\",{}],"c":1e3}"#),
            ("[\n]", "[]"),
            ("\"open\n", "\"open\n"),
        ] {
            assert_eq!(String::from_utf8_lossy(&compact(given.as_bytes())), want);
        }
        let mut out = Vec::new();
        escape(b"{\n\"a\":\"x\\n\"}", &mut out);
        assert_eq!(out, br#"{\"a\":\"x\\n\"}"#);
    }
}
