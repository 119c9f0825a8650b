//! Any split gives the same members and the same error; of a text that serde_json takes as an object the members are
//! those that it finds, unless the scanner rightly complains of a second key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Deserializer, Map, Value};
use sidestream::json::{JsonError, Scanner, What};

const KEYS: &[&str] = &["model", "stream", "n"];

fuzz_target!(|text: &[u8]| {
    let whole = scan(text.chunks(usize::MAX));
    assert_eq!(whole, scan(text.chunks(1)));
    assert_eq!(whole, scan(text.chunks(1 + text.len() % 7)));

    if let Err(JsonError { offset, what: What::Duplicate { key } }) = whole {
        let mut again = Deserializer::from_slice(&text[offset..]).into_iter::<String>();
        assert_eq!(again.next().unwrap().unwrap(), key);
    } else if let Ok(object) = serde_json::from_slice::<Map<String, Value>>(text) {
        // serde_json's own bound on depth is below ours.
        for (key, span) in KEYS.iter().zip(whole.unwrap()) {
            let value = span.map(|(start, end)| serde_json::from_slice(&text[start..end]).unwrap());
            assert_eq!(value.as_ref(), object.get(*key));
        }
    }
});

/// Start and end of each key's value, if it is there.
type Spans = Vec<Option<(usize, usize)>>;

fn scan<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Spans, JsonError> {
    let mut scanner = Scanner::new(KEYS);
    for piece in pieces {
        scanner.push(piece)?;
    }
    scanner.finish()?;
    let span = |key: &&str| scanner.get(key).map(|member| (member.start, member.end));
    Ok(KEYS.iter().map(span).collect())
}
