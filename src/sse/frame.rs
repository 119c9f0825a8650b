//! Writes server-sent events (WHATWG HTML §9.2.5). Each ends with its blank line, so the stream stands between two
//! events after each.

use memchr::memchr2;

/// Appends an event: `name` may be empty for none and holds no line end. Data of several lines (LF, CR or CRLF) becomes
/// several `data` lines, which a reader joins with LF.
pub fn write_event(out: &mut Vec<u8>, name: &str, data: &[u8]) {
    debug_assert!(!name.contains(['\r', '\n']), "a line end in {name:?}");
    if !name.is_empty() {
        write_lines(out, b"event: ", name.as_bytes());
    }
    write_lines(out, b"data: ", data);
    out.push(b'\n');
}

/// Each line of `text`, at least one, behind `prefix`.
fn write_lines(out: &mut Vec<u8>, prefix: &[u8], text: &[u8]) {
    let mut rest = text;
    loop {
        out.extend_from_slice(prefix);
        let end = memchr2(b'\n', b'\r', rest).and_then(|end| rest.split_at_checked(end));
        let Some((line, end)) = end else {
            out.extend_from_slice(rest);
            out.push(b'\n');
            return;
        };
        out.extend_from_slice(line);
        out.push(b'\n');
        rest = match end {
            [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
            [] => end,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events() {
        #[rustfmt::skip]
        let table = [
            ("",     "{}",         "data: {}\n\n"),
            ("ping", "{}",         "event: ping\ndata: {}\n\n"),
            ("",     "",           "data: \n\n"),
            ("",     " a",         "data:  a\n\n"),
            ("",     "a\nb",       "data: a\ndata: b\n\n"),
            ("",     "a\r\nb\rc",  "data: a\ndata: b\ndata: c\n\n"),
            ("",     "a\n\nb\n",   "data: a\ndata: \ndata: b\ndata: \n\n"),
        ];
        for (name, data, expected) in table {
            let mut out = Vec::new();
            write_event(&mut out, name, data.as_bytes());
            assert_eq!(out, expected.as_bytes());

            let mut read = None;
            crate::sse::Splitter::new(100)
                .push(&out, |event| {
                    read = Some((event.name.to_vec(), event.data.to_vec(), event.end));
                })
                .unwrap();
            let joined = data.replace("\r\n", "\n").replace('\r', "\n");
            assert_eq!(read, Some((name.into(), joined.into(), out.len())));
        }
    }
}
