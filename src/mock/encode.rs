//! The few encodings the mock writes: JSON strings, numbers, base64, and the FNV-1a check sum of its test modes.
//!
//! All of them append to the caller's buffer, so that a plain answer allocates nothing.

#![forbid(unsafe_code)]

/// FNV-1a, 64 bits: `fnv(FNV_START, bytes)`. Feed the result back in to go on with more bytes.
pub const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// Goes on with an FNV-1a sum over `bytes`. Chosen because any test language has it in three lines.
#[must_use]
pub fn fnv(sum: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(sum, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// One step of SplitMix64: the state after it and a word that depends on all of its bits.
#[must_use]
pub fn splitmix(state: u64) -> (u64, u64) {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = state;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (state, word ^ (word >> 31))
}

/// Appends several pieces in a row.
pub fn put(out: &mut Vec<u8>, pieces: &[&[u8]]) {
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}

/// A number in decimal.
pub fn decimal(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

/// Sixteen hex digits.
pub fn hex16(out: &mut Vec<u8>, number: u64) {
    for shift in (0..16).rev() {
        out.push(hex_digit((number >> (shift * 4)) as u8 & 15));
    }
}

/// Hex without leading zeros, as chunk sizes are written.
pub fn hex(out: &mut Vec<u8>, number: usize) {
    let digits = (usize::BITS - (number | 1).leading_zeros()).div_ceil(4);
    for shift in (0..digits).rev() {
        out.push(hex_digit((number >> (shift * 4)) as u8 & 15));
    }
}

/// A quoted JSON string. Bytes from 0x80 on pass as they are: what came as UTF-8 leaves as UTF-8.
pub fn json_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    json_escaped(out, bytes);
    out.push(b'"');
}

/// The inside of a JSON string.
pub fn json_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0..0x20 => put(out, &[b"\\u00", &[hex_digit(byte >> 4), hex_digit(byte & 15)]]),
            _ => out.push(byte),
        }
    }
}

/// A quoted JSON string in which every character is one byte (ISO-8859-1): the exact bytes of a header can be read back.
pub fn json_latin1(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for &byte in bytes {
        if byte < 0x80 {
            json_escaped(out, &[byte]);
        } else {
            put(out, &[b"\\u00", &[hex_digit(byte >> 4), hex_digit(byte & 15)]]);
        }
    }
    out.push(b'"');
}

/// Base64 with padding (RFC 4648 §4).
pub fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    for group in bytes.chunks(3) {
        let byte = |at: usize| group.get(at).map_or(0, |&byte| u32::from(byte));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            out.push(if place <= group.len() { base64_digit((bits >> (18 - 6 * place)) as u8 & 63) } else { b'=' });
        }
    }
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

fn base64_digit(bits: u8) -> u8 {
    match bits {
        0..26 => b'A' + bits,
        26..52 => b'a' + bits - 26,
        52..62 => b'0' + bits - 52,
        62 => b'+',
        _ => b'/',
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
    fn base64_matches_the_rfc_4648_examples() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(written(|out| base64(out, bytes.as_bytes())), text);
        }
        assert_eq!(written(|out| base64(out, &[0xfb, 0xff, 0xbf])), "+/+/");
    }

    #[test]
    fn numbers() {
        assert_eq!(written(|out| decimal(out, 0)), "0");
        assert_eq!(written(|out| decimal(out, u64::MAX)), u64::MAX.to_string());
        for number in [0, 1, 15, 16, 255, 256, 0xfffff] {
            assert_eq!(written(|out| hex(out, number)), format!("{number:x}"));
        }
        assert_eq!(written(|out| hex16(out, 0xab)), "00000000000000ab");
    }

    #[test]
    fn strings_escape_what_json_requires() {
        assert_eq!(written(|out| json_string(out, b"a\"b\\c\n\x01")), r#""a\"b\\c\n\u0001""#);
        assert_eq!(written(|out| json_string(out, "é".as_bytes())), "\"é\"");
        assert_eq!(written(|out| json_latin1(out, &[b'a', 0xe9])), r#""a\u00e9""#);
    }

    #[test]
    fn fnv_matches_its_published_vectors() {
        assert_eq!(fnv(FNV_START, b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(FNV_START, b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv(FNV_START, b"foobar"), 0x8594_4171_f739_67e8);
    }
}
