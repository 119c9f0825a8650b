//! A request's head: the scanner ends at the same byte however the bytes come, and what the scanner or the parser
//! refuses the other does not take for something else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidestream::http::fields::{end_to_end, write_end_to_end};
use sidestream::http::head::{HeadKind, HeadScanner, RequestHead, Version};

fuzz_target!(|data: &[u8]| {
    let whole = HeadScanner::default().push(HeadKind::Request, data);
    let mut scanner = HeadScanner::default();
    let mut dripped = Ok(None);
    for len in 0..=data.len() {
        dripped = scanner.push(HeadKind::Request, &data[..len]);
        if dripped != Ok(None) {
            break;
        }
    }
    assert_eq!(whole, dripped);

    let mut head = RequestHead::default();
    let _ = head.parse(data);
    let Ok(Some(end)) = whole else {
        assert!(head.target().is_empty(), "parsed what the scanner refuses");
        return;
    };
    if head.parse(&data[..end]).is_ok() {
        assert!(head.is_asterisk() || head.target().starts_with(b"/"));
        assert!(head.path().len() <= head.target().len());
        assert!(head.authority().is_some() || head.version() == Version::Http10);
        assert!(end_to_end(&head).count() <= head.fields().count());
        let mut lines = Vec::new();
        write_end_to_end(&mut lines, &head, |_, _| true);
        assert!(copied(&lines).eq(end_to_end(&head)));
        for (name, value) in head.fields() {
            assert!(!name.is_empty() && name.is_ascii() && value.is_ascii());
            assert!(!value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
            assert_eq!(value, value.trim_ascii());
        }
    }
});

/// Names and values of field lines.
fn copied(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(|line| {
        let line = line.strip_suffix(b"\r").expect("CRLF");
        let colon = line.iter().position(|byte| *byte == b':').expect("a colon");
        (&line[..colon], line[colon + 1..].trim_ascii())
    })
}
