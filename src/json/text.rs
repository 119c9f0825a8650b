//! JSON strings (RFC 8259 §7) and edits of a JSON text in place.

use std::fmt;

use memchr::memchr;

use super::find::find_stop;

/// Why a string has no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError {
    /// Offset in the raw text of the byte, or of the backslash of the escape.
    pub offset: usize,
    /// The rule it breaks.
    pub what: DecodeWhat,
}

/// The rules a string's raw text can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeWhat {
    /// No such escape, or one cut short.
    Escape,
    /// Half of a surrogate pair (`\ud83d` alone) is no character.
    LoneSurrogate,
    /// Not UTF-8.
    Utf8,
}

/// Appends the text that `raw`, a string without its quotes, stands for; it is UTF-8.
///
/// Raw control characters are taken as they are, like [`super::Scanner`] does. On an error nothing is appended.
pub fn decode(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    if let Err(error) = std::str::from_utf8(raw) {
        return Err(DecodeError { offset: error.valid_up_to(), what: DecodeWhat::Utf8 });
    }
    let begin = out.len();
    let mut rest = raw;
    while let Some((plain, escaped)) = memchr(b'\\', rest).and_then(|backslash| rest.split_at_checked(backslash)) {
        out.extend_from_slice(plain);
        let (character, after) = match unescape(escaped) {
            Ok(found) => found,
            Err(what) => {
                out.truncate(begin);
                let offset = raw.len() - escaped.len();
                return Err(DecodeError { offset, what });
            }
        };
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = after;
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// The same, with U+FFFD for what stands for no text.
pub fn decode_lossy(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Err(error) = decode(rest, out) {
        let (good, bad) = rest.split_at_checked(error.offset).unwrap_or((rest, &[]));
        // What comes before the error was decoded once already: it has none.
        let _ = decode(good, out);
        out.extend_from_slice("\u{FFFD}".as_bytes());
        let skipped = match (error.what, bad) {
            (DecodeWhat::LoneSurrogate, _) => 6,
            (DecodeWhat::Escape, _) => 2,
            (DecodeWhat::Utf8, _) => 1,
        };
        rest = bad.get(skipped..).unwrap_or_default();
    }
}

/// Appends the content of a string, still escaped, to another string as it stands; what no JSON text may hold (raw
/// control characters, bytes that are not UTF-8) is escaped, or becomes U+FFFD.
pub fn copy_escaped(raw: &[u8], out: &mut Vec<u8>) {
    let least = raw.iter().fold(u8::MAX, |least, byte| least.min(*byte));
    if least >= 0x20 && is_utf8(raw) {
        out.extend_from_slice(raw);
        return;
    }
    for chunk in raw.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => out.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{FFFD}".as_bytes());
        }
    }
}

/// As [`std::str::from_utf8`] says, in a fifth of the time where nearly all is ASCII.
pub fn is_utf8(text: &[u8]) -> bool {
    let is_ascii = |block: &[u8; BLOCK]| block.iter().fold(0, |all, byte| all | byte).is_ascii();
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, behind) = match rest.split_first_chunk() {
            Some((block, behind)) if is_ascii(block) => {
                rest = behind;
                continue;
            }
            Some((block, behind)) => (block.as_slice(), behind),
            None if rest.is_ascii() => return true,
            None => (rest, &[][..]),
        };
        rest = match std::str::from_utf8(piece) {
            Ok(_) => behind,
            // A character that goes on behind the piece.
            Err(error) if error.error_len().is_none() && !behind.is_empty() => {
                rest.get(error.valid_up_to()..).unwrap_or_default()
            }
            Err(_) => return false,
        };
    }
    true
}

/// Bytes that are looked at at once.
const BLOCK: usize = 64;

/// Appends `text` as the content of a string: escaped, without quotes.
pub fn escape(text: &[u8], out: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        encode_valid(chunk.valid().as_bytes(), out);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{FFFD}".as_bytes());
        }
    }
}

/// Appends `text` as a string, quotes included, with no more escapes than JSON demands. What is not UTF-8 in it becomes
/// U+FFFD, for nothing else would be JSON.
pub fn encode(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    escape(text, out);
    out.push(b'"');
}

impl fmt::Display for DecodeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            DecodeWhat::Escape => "a malformed escape",
            DecodeWhat::LoneSurrogate => "half of a surrogate pair",
            DecodeWhat::Utf8 => "a byte that is not UTF-8",
        };
        write!(out, "{what} at byte {} of a string", self.offset)
    }
}

impl std::error::Error for DecodeError {}

/// The character that `escaped` begins with the escape of, and what follows.
fn unescape(escaped: &[u8]) -> Result<(char, &[u8]), DecodeWhat> {
    let [b'\\', kind, rest @ ..] = escaped else {
        return Err(DecodeWhat::Escape);
    };
    let character = match kind {
        b'"' | b'\\' | b'/' => char::from(*kind),
        b'b' => '\u{8}',
        b'f' => '\u{C}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unescape_unicode(rest),
        _ => return Err(DecodeWhat::Escape),
    };
    Ok((character, rest))
}

/// The character of a `\u` escape whose digits `rest` begins with; outside of the basic plane it takes two escapes.
fn unescape_unicode(rest: &[u8]) -> Result<(char, &[u8]), DecodeWhat> {
    let (unit, rest) = hex_unit(rest).ok_or(DecodeWhat::Escape)?;
    if let Some(character) = char::from_u32(unit) {
        return Ok((character, rest));
    }
    let second = rest.strip_prefix(b"\\u").and_then(hex_unit);
    match (unit, second) {
        (0xD800..0xDC00, Some((low @ 0xDC00..0xE000, rest))) => {
            let code = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
            Ok((char::from_u32(code).ok_or(DecodeWhat::LoneSurrogate)?, rest))
        }
        _ => Err(DecodeWhat::LoneSurrogate),
    }
}

fn hex_unit(rest: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = rest.split_at_checked(4)?;
    let unit = digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))?;
    Some((unit, rest))
}

fn encode_valid(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((plain, [byte, after @ ..])) =
        find_stop(rest, 0).and_then(|(special, _)| rest.split_at_checked(special))
    {
        out.extend_from_slice(plain);
        match *byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x8 => out.extend_from_slice(b"\\b"),
            0xC => out.extend_from_slice(b"\\f"),
            control => {
                let digit = |nibble: u8| match nibble {
                    0..10 => b'0' + nibble,
                    _ => b'a' + nibble - 10,
                };
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[digit(control >> 4), digit(control & 0xF)]);
            }
        }
        rest = after;
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn utf8_as_std_has_it(text in "[ -~]{0,70}[aé€😀]{0,80}[ -~]{0,70}", cut in 0usize..4, at in 0usize..300, byte: u8) {
            let mut bytes = text.into_bytes();
            bytes.truncate(bytes.len().saturating_sub(cut));
            prop_assert_eq!(is_utf8(&bytes), std::str::from_utf8(&bytes).is_ok());
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            prop_assert_eq!(is_utf8(&bytes), std::str::from_utf8(&bytes).is_ok());
        }
    }

    #[test]
    fn decoded() {
        #[rustfmt::skip]
        let table: &[(&str, &str)] = &[
            ("",                        ""),
            ("gpt-5",                   "gpt-5"),
            ("é€😀",                    "é€😀"),
            (r#"\"\\\/\b\f\n\r\t"#,     "\"\\/\u{8}\u{C}\n\r\t"),
            (r"a\u0041b",               "aAb"),
            (r"\u00e9\u20AC",           "é€"),
            (r"\ud83d\ude00",           "😀"),
            (r"\udbff\udfff\ud800\udc00", "\u{10FFFF}\u{10000}"),
            (r"\u0000",                 "\0"),
            ("a\tb",                    "a\tb"),
        ];
        for (raw, expected) in table {
            let mut out = b"kept".to_vec();
            decode(raw.as_bytes(), &mut out).unwrap();
            assert_eq!(out, format!("kept{expected}").as_bytes(), "{raw}");
        }
    }

    #[test]
    fn not_decoded() {
        use DecodeWhat::*;
        #[rustfmt::skip]
        let table: &[(&[u8], usize, DecodeWhat)] = &[
            (br"a\",             1, Escape),
            (br"ab\x",           2, Escape),
            (br"\u12G4",         0, Escape),
            (br"\u123",          0, Escape),
            (br"\u+123",         0, Escape),
            (br"a\ud83d",        1, LoneSurrogate),
            (br"\ud83dx",        0, LoneSurrogate),
            (br"\ud83d\n",       0, LoneSurrogate),
            (br"\ud83d\u0041",   0, LoneSurrogate),
            (br"\ud83d\ud83d",   0, LoneSurrogate),
            (br"\ude00\ud83d",   0, LoneSurrogate),
            (b"ab\xFF",          2, Utf8),
            (b"\xC3\\n",         0, Utf8),
            (b"\xED\xA0\x80",    0, Utf8),
        ];
        for &(raw, offset, what) in table {
            let mut out = b"kept".to_vec();
            let error = decode(raw, &mut out).unwrap_err();
            assert_eq!(error, DecodeError { offset, what }, "{}", raw.escape_ascii());
            assert_eq!(out, b"kept");
        }
    }

    #[test]
    fn encoded() {
        #[rustfmt::skip]
        let table: &[(&[u8], &str)] = &[
            (b"",                           r#""""#),
            (b"gpt-5/x",                    r#""gpt-5/x""#),
            ("é😀\u{7F}\u{2028}".as_bytes(), "\"é😀\u{7F}\u{2028}\""),
            (b"\"\\\n\r\t\x08\x0C",         r#""\"\\\n\r\t\b\f""#),
            (b"\0\x1Fa",                    r#""\u0000\u001fa""#),
            (b"a\xFFb\xE2\x82",             "\"a\u{FFFD}b\u{FFFD}\""),
        ];
        for (text, expected) in table {
            let mut out = Vec::new();
            encode(text, &mut out);
            assert_eq!(out, expected.as_bytes(), "{expected}");
            let read: String = serde_json::from_slice(&out).unwrap();
            assert_eq!(read, String::from_utf8_lossy(text));
        }
    }
}
