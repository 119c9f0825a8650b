//! Recognises the top-level members that we read, and keeps their places.

use memchr::memchr;

use super::error::{JsonError, What};
use super::text;
use crate::limits::JSON_KEY_BYTES_MAX;

/// A top-level member's value in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// What the value is.
    pub kind: Kind,
    /// Offset in the body of its first byte; a string's is its quote.
    pub start: usize,
    /// Offset just past its last byte.
    pub end: usize,
}

/// The kinds of JSON values (RFC 8259 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    String,
    Number,
    True,
    False,
    Null,
    Object,
    Array,
}

/// The scanner's memory of top-level keys and values. All offsets are the body's.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    keys: &'static [&'static str],
    members: [Option<Member>; KEYS_MAX],
    /// The member whose value is being read, if we read it, and its slot.
    current: Option<(usize, Member)>,
    /// Offset of the opening quote of the current key.
    key_start: usize,
    /// The raw text of the current key from earlier pushes.
    key: Vec<u8>,
    /// Where an escaped key is decoded.
    decoded: Vec<u8>,
}

impl Watch {
    pub(super) fn new(keys: &'static [&'static str]) -> Watch {
        assert!(keys.len() <= KEYS_MAX, "more than {KEYS_MAX} keys");
        for key in keys {
            assert!(key.len() * ESCAPED_BYTES <= JSON_KEY_BYTES_MAX, "{key}");
        }
        Watch { keys, members: [None; KEYS_MAX], current: None, key_start: 0, key: Vec::new(), decoded: Vec::new() }
    }

    pub(super) fn reset(&mut self) {
        self.members = [None; KEYS_MAX];
        self.current = None;
        self.key.clear();
    }

    pub(super) fn get(&self, key: &str) -> Option<Member> {
        let slot = self.keys.iter().position(|&known| known == key)?;
        *self.members.get(slot)?
    }

    /// Where the current member's value begins, once it has begun: never at 0, where the text's object does.
    pub(super) fn value_start(&self) -> Option<usize> {
        self.current.map(|(_, member)| member.start).filter(|start| *start > 0)
    }

    pub(super) fn key_start(&self) -> usize {
        self.key_start
    }

    pub(super) fn begin_key(&mut self, start: usize) {
        self.key_start = start;
    }

    /// Keeps a piece of the current key: of a key past the bound no more than shows that it cannot be one of ours.
    pub(super) fn hold(&mut self, piece: &[u8]) {
        let room = (JSON_KEY_BYTES_MAX + 1).saturating_sub(self.key.len());
        self.key.extend(piece.iter().take(room));
    }

    /// The current key ends with `last`, its only piece as a rule. Fails if it is one of ours, seen before.
    pub(super) fn end_key(&mut self, last: &[u8]) -> Result<(), JsonError> {
        let slot = if self.key.is_empty() {
            find(self.keys, last, &mut self.decoded)
        } else {
            self.hold(last);
            find(self.keys, &self.key, &mut self.decoded)
        };
        self.key.clear();
        let Some(slot) = slot else { return Ok(()) };
        if let (Some(Some(_)), Some(key)) = (self.members.get(slot), self.keys.get(slot)) {
            return Err(JsonError { offset: self.key_start, what: What::Duplicate { key } });
        }
        // Kind and places come with the value.
        let member = Member { kind: Kind::Null, start: 0, end: 0 };
        self.current = Some((slot, member));
        Ok(())
    }

    /// The current key's value begins.
    pub(super) fn begin_value(&mut self, kind: Kind, start: usize) {
        if let Some((_, member)) = &mut self.current {
            member.kind = kind;
            member.start = start;
        }
    }

    /// The current key's value ended.
    pub(super) fn end_value(&mut self, end: usize) {
        if let Some((slot, member)) = self.current.take()
            && let Some(found) = self.members.get_mut(slot)
        {
            *found = Some(Member { end, ..member });
        }
    }
}

/// Which of `keys` the raw text of a key says, if any. A key that cannot be decoded says none.
fn find(keys: &[&str], raw: &[u8], decoded: &mut Vec<u8>) -> Option<usize> {
    if raw.len() > JSON_KEY_BYTES_MAX {
        return None;
    }
    let mut name = raw;
    if memchr(b'\\', raw).is_some() {
        decoded.clear();
        text::decode(raw, decoded).ok()?;
        name = decoded;
    }
    keys.iter().position(|key| key.as_bytes() == name)
}

const KEYS_MAX: usize = 16;
/// The longest way to write a byte of a key: `\u006d`.
const ESCAPED_BYTES: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_too_long_to_be_ours_is_not_held() {
        for length in [1, JSON_KEY_BYTES_MAX, JSON_KEY_BYTES_MAX + 1, 10_000] {
            let mut watch = Watch::new(&["model"]);
            for _ in 0..length {
                watch.hold(b"k");
            }
            assert_eq!(watch.key.len(), length.min(JSON_KEY_BYTES_MAX + 1));
            assert_eq!(watch.end_key(b"l"), Ok(()));
            assert_eq!(watch.current, None);
        }
    }

    #[test]
    fn a_key_of_escapes_only_is_compared() {
        let longest = "a234567890b234567890c234567890d234567890ef";
        static KEYS: [&str; 1] = ["a234567890b234567890c234567890d234567890ef"];
        let mut watch = Watch::new(&KEYS);
        for byte in longest.bytes() {
            watch.hold(format!("\\u{byte:04x}").as_bytes());
        }
        watch.end_key(b"").unwrap();
        assert!(watch.current.is_some());
    }
}
