//! Texts as models see them, out of the texts of a request.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use memchr::memchr;

use crate::json::text::decode_lossy;
use crate::json::{Kind, Value};

/// Base64 as clients write it, with or without padding.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The first bytes of what is written in base64, `bytes` of them or a few more or less. `escaped` is the content of a JSON
/// string.
pub(super) fn base64_prefix(escaped: &[u8], bytes: usize) -> Vec<u8> {
    let digits = base64_digits(escaped, bytes.div_ceil(3) * 4);
    let whole = digits.len() / 4 * 4;
    digits.get(..whole).and_then(|digits| BASE64.decode(digits).ok()).unwrap_or_default()
}

/// The first digits, `max` of them at most. The head of a `data:` URL and line ends are passed over; some writers of JSON
/// escape `/` and `+`.
pub(super) fn base64_digits(escaped: &[u8], max: usize) -> Cow<'_, [u8]> {
    /// `\u002B`
    const LONGEST_ESCAPE: usize = 6;
    let data = match escaped.starts_with(b"data:") {
        true => memchr(b',', escaped).and_then(|comma| escaped.get(comma + 1..)).unwrap_or_default(),
        false => escaped,
    };
    let plain = data.get(..max).unwrap_or(data);
    if plain.iter().all(|byte| *byte > b' ' && *byte != b'\\') {
        return Cow::Borrowed(plain);
    }
    let mut digits = Vec::new();
    decode_lossy(data.get(..max.saturating_mul(LONGEST_ESCAPE)).unwrap_or(data), &mut digits);
    digits.retain(|byte| !byte.is_ascii_whitespace());
    digits.truncate(max);
    Cow::Owned(digits)
}

/// Appends a JSON value without the white space between its parts: servers read it and write it anew.
pub(super) fn compact(json: &[u8], out: &mut Vec<u8>) {
    let (mut in_string, mut escaped) = (false, false);
    out.extend(json.iter().copied().filter(|byte| {
        let inside = in_string;
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            _ => {}
        }
        inside || !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
    }));
}

/// Appends a value's JSON without white space, and without what only its vendor can read: members that are named so.
pub(super) fn readable(value: &Value<'_>, out: &mut Vec<u8>) {
    let is_for_vendor =
        |name: &[u8]| name.starts_with(b"encrypted_") || name == b"signature" || name == b"cache_control";
    match value.kind() {
        Kind::Object => {
            out.push(b'{');
            let members = value.members().filter(|(key, _)| !key.escaped().is_some_and(is_for_vendor));
            for (place, (key, value)) in members.enumerate() {
                out.extend_from_slice(if place == 0 { b"" } else { b"," });
                out.extend_from_slice(key.raw());
                out.push(b':');
                readable(&value, out);
            }
            out.push(b'}');
        }
        Kind::Array => {
            out.push(b'[');
            for (place, value) in value.items().enumerate() {
                out.extend_from_slice(if place == 0 { b"" } else { b"," });
                readable(&value, out);
            }
            out.push(b']');
        }
        _ => out.extend_from_slice(value.raw()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Index;

    #[test]
    fn prefixes() {
        for (escaped, bytes, want) in [
            ("aGVsbG8gd29ybGQ=", 5, "hello "),
            ("aGVsbG8gd29ybGQ=", 99, "hello world"),
            ("aGVsbG8gd29ybGQ", 99, "hello wor"),
            ("aGVs\\r\\nbG8g d29ybGQ=", 99, "hello world"),
            ("data:text/plain;base64,aGVsbG8=", 99, "hello"),
            ("Pz8\\/", 99, "???"),
            ("Pz4\\u002B\\u002b///", 3, "?>>"),
            ("", 9, ""),
            ("!!!!", 9, ""),
        ] {
            assert_eq!(String::from_utf8(base64_prefix(escaped.as_bytes(), bytes)).unwrap(), want, "{escaped}");
        }
    }

    #[test]
    fn written_anew() {
        let mut out = Vec::new();
        compact(b"{ \"a b\" : [ 1 ,\n \"x \\\" y\" ] }", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"a b":[1,"x \" y"]}"#);
        let mut index = Index::default();
        let value = index.read(br#"{"a":[{"url":"u", "encrypted_content":"zzz"}], "b": {}, "c": []}"#).unwrap();
        let mut out = Vec::new();
        readable(&value, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"a":[{"url":"u"}],"b":{},"c":[]}"#);
    }
}
