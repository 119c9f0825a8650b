//! Steps through the members of a small object. A full scan would cost more than all else that is done for an answer, and
//! a report that is not JSON only stays unread.

/// Key and value of each member, as written; a key with escapes in it is none that we know. Ends where the text is no
/// object any more.
pub(super) fn members(object: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = object.trim_ascii_start().strip_prefix(b"{").unwrap_or_default();
    std::iter::from_fn(move || {
        let key = rest.trim_ascii_start();
        let key = key.strip_prefix(b",").map_or(key, <[u8]>::trim_ascii_start).strip_prefix(b"\"")?;
        let (key, behind) = key.split_at_checked(string_end(key)?)?;
        let value = behind.strip_prefix(b"\"")?.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let (value, behind) = value.split_at_checked(value_end(value)?)?;
        rest = behind;
        Some((key, value))
    })
}

/// Where the string that `text` stands in closes.
pub(super) fn string_end(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let found = from + memchr::memchr2(b'"', b'\\', text.get(from..)?)?;
        if text.get(found) == Some(&b'"') {
            return Some(found);
        }
        from = found + 2;
    }
}

/// How long the value at the front is.
fn value_end(text: &[u8]) -> Option<usize> {
    match text.first()? {
        b'"' => string_end(text.get(1..)?).map(|end| end + 2),
        b'{' | b'[' => brackets(text, |_, depth| depth == 0).map(|end| end + 1),
        _ => text.iter().position(|byte| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace()),
    }
}

/// Goes through the brackets outside of strings and gives the place of the first for which `stop`, told its place and the
/// depth behind it, says so.
pub(super) fn brackets(text: &[u8], mut stop: impl FnMut(usize, i32) -> bool) -> Option<usize> {
    let (mut depth, mut at) = (0, 0);
    loop {
        match text.get(at)? {
            b'"' => at += 1 + string_end(text.get(at + 1..)?)?,
            bracket @ (b'{' | b'[' | b'}' | b']') => {
                depth += if matches!(bracket, b'{' | b'[') { 1 } else { -1 };
                if stop(at, depth) {
                    return Some(at);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stepped_through() {
        for (object, want) in [
            ("{}", ""),
            ("{\"a\":1}", "a=1"),
            (" { \"a\" : 1 , \"b\":\"x,}\\\"\" } ", "a=1 b=\"x,}\\\"\""),
            ("{\"a\":{\"b\":[1,{\"c\":\"]}\"}]},\"d\":null}", "a={\"b\":[1,{\"c\":\"]}\"}]} d=null"),
            ("{\"a\":[],\"b\":-1.5e3}", "a=[] b=-1.5e3"),
            // What breaks off, or is none, ends.
            ("{\"a\":1,\"b\":{\"c\":2", "a=1"),
            ("{\"a\":1,\"b", "a=1"),
            ("{\"a\"", ""),
            ("{\"a\":", ""),
            ("{a:1}", ""),
            ("[1]", ""),
            ("", ""),
        ] {
            let found: Vec<_> = members(object.as_bytes())
                .map(|(key, value)| format!("{}={}", key.escape_ascii(), str::from_utf8(value).unwrap()))
                .collect();
            assert_eq!(found.join(" "), want, "{object}");
        }
    }
}
