//! What blocks were found to count, so that the next turn of a conversation pays for its new blocks only.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use twox_hash::xxhash3_128;

use crate::limits;

/// Counts by the hash of what was counted, for all workers. It is locked for moments, on helper threads alone: while
/// something is counted others go on.
///
/// A hash has 128 bits and is keyed by chance: no two blocks share one, unless somebody who can read this memory wants it.
#[derive(Debug)]
pub struct BlockCounts {
    key: u64,
    generations: Mutex<Generations>,
}

/// The name under which a count is remembered.
pub(super) type Key = u128;

/// What a text is counted as; the same bytes count differently as another kind.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// The content of a JSON string.
    Escaped,
    /// A JSON value.
    Json,
    /// A block without a word in the waist.
    Other,
    /// A tool's lines as OpenAI's models see them.
    ToolLines,
    /// A tool's JSON.
    ToolJson,
    /// The pages of a PDF.
    Pages,
}

/// Two halves: when the younger one is full it becomes the older, and what was not asked for since is forgotten.
#[derive(Debug, Default)]
struct Generations {
    young: Map,
    old: Map,
}

/// Keys are hashes already.
type Map = HashMap<Key, u32, BuildHasherDefault<AsItIs>>;

impl Default for BlockCounts {
    fn default() -> Self {
        // The keys of std's hash maps come from the system's randomness.
        Self { key: RandomState::new().build_hasher().finish(), generations: Mutex::default() }
    }
}

impl BlockCounts {
    /// The name of what these parts are together.
    pub(super) fn key(&self, kind: Kind, parts: &[&[u8]]) -> Key {
        let key = self.key ^ (kind as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let hash = |bytes: &[u8]| xxhash3_128::Hasher::oneshot_with_seed(key, bytes);
        match parts {
            [part] => hash(part),
            // Each part's hash has one length: `ab` and `c` are not `a` and `bc`.
            _ => hash(&parts.iter().flat_map(|part| hash(part).to_ne_bytes()).collect::<Vec<_>>()),
        }
    }

    /// What was counted under this name.
    pub(super) fn remembered(&self, key: Key) -> Option<u32> {
        self.generations().remembered(key)
    }

    /// Remembers a count.
    pub(super) fn remember(&self, key: Key, count: u32) {
        self.generations().remember(key, count);
    }

    /// Nothing that holds the lock can panic half-way.
    fn generations(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn remembered(&mut self, key: Key) -> Option<u32> {
        if let Some(count) = self.young.get(&key) {
            return Some(*count);
        }
        let count = self.old.get(&key).copied()?;
        self.remember(key, count);
        Some(count)
    }

    fn remember(&mut self, key: Key, count: u32) {
        if self.young.len() >= limits::BLOCK_COUNTS_MAX / 2 {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, count);
    }
}

/// The hasher for keys that are hashes.
#[derive(Clone, Copy, Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_parts_have_their_own_names() {
        let memory = BlockCounts::default();
        let keys = [
            memory.key(Kind::Escaped, &[b"ab"]),
            memory.key(Kind::Json, &[b"ab"]),
            memory.key(Kind::ToolJson, &[b"ab", b"c"]),
            memory.key(Kind::ToolJson, &[b"a", b"bc"]),
            BlockCounts::default().key(Kind::Escaped, &[b"ab"]),
        ];
        for (place, key) in keys.iter().enumerate() {
            assert!(!keys[..place].contains(key), "{place}");
        }
        assert_eq!(keys[0], memory.key(Kind::Escaped, &[b"ab"]));
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_forgotten() {
        let memory = BlockCounts::default();
        memory.remember(Key::MAX, 7);
        for key in 0..3 * limits::BLOCK_COUNTS_MAX as Key {
            memory.remember(key, 1);
            if key % 1000 == 0 {
                assert_eq!(memory.remembered(Key::MAX), Some(7), "{key}");
            }
        }
        assert_eq!(memory.remembered(0), None);
        let generations = memory.generations();
        assert!(generations.young.len() + generations.old.len() <= limits::BLOCK_COUNTS_MAX);
    }
}
