//! Pieces of JSON.

use crate::dialect::raw::copy;
use crate::json::text::copy_escaped;

/// Appends a member's key, behind a comma unless it is the first.
pub fn key(name: &str, out: &mut Vec<u8>) {
    comma(out);
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Appends a comma unless nothing stands before it in its container.
pub fn comma(out: &mut Vec<u8>) {
    if !matches!(out.last(), Some(b'{' | b'[')) {
        out.push(b',');
    }
}

/// Appends a string from its content.
pub fn string(escaped: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    copy_escaped(escaped, out);
    out.push(b'"');
}

/// Appends a member that is a string.
pub fn text(name: &str, escaped: &[u8], out: &mut Vec<u8>) {
    key(name, out);
    string(escaped, out);
}

/// Appends a member that stands as it is.
pub fn raw(name: &str, value: &[u8], out: &mut Vec<u8>) {
    key(name, out);
    copy(value, out);
}

/// Whether a string holds nothing but white space; `escaped` is its content.
pub fn is_blank(escaped: &[u8]) -> bool {
    let mut rest = escaped;
    while let Some(length) = space(rest) {
        rest = rest.get(length..).unwrap_or_default();
    }
    rest.is_empty()
}

/// A string's content without the white space at its end.
pub fn trimmed_end(escaped: &[u8]) -> &[u8] {
    let (mut at, mut end) = (0, 0);
    while let Some(rest) = escaped.get(at..).filter(|rest| !rest.is_empty()) {
        match (space(rest), rest) {
            (Some(length), _) => at += length,
            (None, [b'\\', ..]) => {
                at += 2;
                end = at;
            }
            (None, _) => {
                at += 1;
                end = at;
            }
        }
    }
    escaped.get(..end).unwrap_or(escaped)
}

/// The length of the white space that `rest` begins with: one character, or its escape.
fn space(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'\t'..=b'\r' | b' ', ..] => Some(1),
        [b'\\', b'n' | b't' | b'r' | b'f', ..] => Some(2),
        [b'\\', b'u', a, b, c, d, ..] => {
            let unit = std::str::from_utf8(&[*a, *b, *c, *d]).ok().and_then(|hex| u32::from_str_radix(hex, 16).ok());
            unit.and_then(char::from_u32).filter(|character| character.is_whitespace()).map(|_| 6)
        }
        [0x80..=0xFF, ..] => {
            let chunk = rest.get(..4).unwrap_or(rest).utf8_chunks().next()?;
            chunk.valid().chars().next().filter(|character| character.is_whitespace()).map(char::len_utf8)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space() {
        let table = [
            ("", ""),
            (r" \n\t\r\u0020\u00a0\u2003", ""),
            ("\u{a0}\u{3000}", ""),
            (r"a \n", "a"),
            (r" a\\n", r" a\\n"),
            (r"a\\ ", r"a\\"),
            ("é \u{2003}", "é"),
            (r"\u0041\n", r"\u0041"),
            (r#"\" "#, r#"\""#),
        ];
        for (escaped, trimmed) in table {
            assert_eq!(trimmed_end(escaped.as_bytes()), trimmed.as_bytes(), "{escaped}");
            assert_eq!(is_blank(escaped.as_bytes()), trimmed.is_empty(), "{escaped}");
        }
    }
}
