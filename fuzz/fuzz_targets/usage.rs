//! Any split gives the same usage; of a body that serde_json takes as an object with a report, the input is what it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use sidestream::dialect::usage::{Usage, UsageReader};

fuzz_target!(|input: &[u8]| {
    for push in [UsageReader::push_stream, UsageReader::push_json] {
        let whole = read(input.chunks(usize::MAX), push);
        assert_eq!(whole, read(input.chunks(1), push));
        assert_eq!(whole, read(input.chunks(1 + input.len() % 7), push));
    }
    let usage = read(input.chunks(usize::MAX), UsageReader::push_json);
    if let (Some(count), Ok(object)) = (usage.cache_read, serde_json::from_slice::<Map<String, Value>>(input)) {
        // Of two members of one name serde_json takes the last, the reader the last that is a number.
        let count_of = |word: &[u8]| input.windows(word.len()).filter(|window| *window == word).count();
        let twice = [&b"\"usage\""[..], b"\"cache", b"\"prompt", b"\"input"].iter().any(|word| count_of(word) > 1);
        assert!(twice || names(&object["usage"], count), "{count}");
    }
});

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>, push: fn(&mut UsageReader, &[u8])) -> Usage {
    let mut reader = UsageReader::new();
    pieces.for_each(|piece| push(&mut reader, piece));
    reader.usage()
}

/// Whether the number stands anywhere in the value.
fn names(value: &Value, count: u64) -> bool {
    match value {
        Value::Number(number) => number.as_u64() == Some(count) || number.as_f64() == Some(count as f64),
        Value::Object(members) => members.values().any(|value| names(value, count)),
        _ => false,
    }
}
