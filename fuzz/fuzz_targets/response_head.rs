//! A response's head: the scanner ends at the same byte however the bytes come, and the parser agrees with it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidestream::http::fields::end_to_end;
use sidestream::http::head::{HeadKind, HeadScanner, ResponseHead};

fuzz_target!(|data: &[u8]| {
    let whole = HeadScanner::default().push(HeadKind::Response, data);
    let mut scanner = HeadScanner::default();
    let mut dripped = Ok(None);
    for len in 0..=data.len() {
        dripped = scanner.push(HeadKind::Response, &data[..len]);
        if dripped != Ok(None) {
            break;
        }
    }
    assert_eq!(whole, dripped);

    let mut head = ResponseHead::default();
    let _ = head.parse(data);
    let Ok(Some(end)) = whole else {
        assert_eq!(head.status(), 0, "parsed what the scanner refuses");
        return;
    };
    if head.parse(&data[..end]).is_ok() {
        assert!((100..=599).contains(&head.status()));
        assert!(end_to_end(&head).count() <= head.fields().count());
        for (name, value) in head.fields() {
            assert!(!name.is_empty() && name.is_ascii());
            assert!(!value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
        }
    }
});
