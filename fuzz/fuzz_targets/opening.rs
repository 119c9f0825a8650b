//! What a stream opens with does not depend on how it is split, but for a failure that comes in one piece with the beginning;
//! and the watcher serves any stream after any other.
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
    let first = opening(1);
    for size in [usize::MAX, 1 + usize::from(mode / 3) % 29] {
        let found = opening(size);
        let is_behind = first == Some(Opening::Begun) && matches!(found, Some(Opening::Failed(_)));
        assert!(found == first || is_behind, "{found:?}, by pieces {first:?}");
    }
});
