//! Any split gives the same events, and the tail never says "between two events" where the splitter does not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidestream::sse::{EventTooLong, Splitter, Tail};

fuzz_target!(|stream: &[u8]| {
    let whole = read(stream.chunks(usize::MAX));
    assert_eq!(whole, read(stream.chunks(1)));
    assert_eq!(whole, read(stream.chunks(1 + stream.len() % 7)));
});

/// Name, data and id of an event.
type Owned = (Vec<u8>, Vec<u8>, Option<Vec<u8>>);

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Owned>, Result<bool, EventTooLong>) {
    let (mut splitter, mut tail, mut events) = (Splitter::new(64), Tail::default(), Vec::new());
    let mut result = Ok(());
    for piece in pieces {
        result = splitter.push(piece, |event| {
            let id = event.id.map(<[u8]>::to_vec);
            events.push((event.name.to_vec(), event.data.to_vec(), id));
        });
        tail.push(piece);
        assert!(result.is_err() || !tail.is_between_events() || splitter.is_between_events());
    }
    (events, result.map(|()| splitter.is_between_events()))
}
