//! What a stream opens with does not depend on how it is split, and the watcher serves any stream after any other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidestream::dialect::Dialect;
use sidestream::dialect::opening::{Opening, Watcher};

fuzz_target!(|input: &[u8]| {
    let Some((mode, stream)) = input.split_first() else { return };
    let dialect = [Dialect::Chat, Dialect::Messages, Dialect::Responses][usize::from(mode % 3)];
    let mut watcher = Watcher::default();
    let mut opening = |size: usize| {
        watcher.reset(dialect);
        stream.chunks(size).map(|piece| watcher.push(piece)).find(|opening| *opening != Opening::Nothing)
    };
    let whole = opening(usize::MAX);
    assert_eq!(opening(1), whole);
    assert_eq!(opening(1 + usize::from(mode / 3) % 29), whole);
});
