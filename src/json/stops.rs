//! Where the text of strings stops, one place after another.

use std::num::NonZeroU64;

use super::find::{BLOCK, runs_in};
use super::grammar::{begins_with_hex_digits, is_escape};

/// Walks from stop to stop through a text: quotes, backslashes, and bytes that RFC 8259 §7 wants escaped. It never goes
/// back.
///
/// Code with an escape in every line and schemas with their short keys have several stops in a block: each block is
/// looked at once, and what was found in it is kept.
#[derive(Debug)]
pub(super) struct Stops<'a> {
    input: &'a [u8],
    tail: &'a Tail,
    /// The block that was looked at last, and what follows on it.
    window: &'a Window,
    /// Where it begins.
    start: usize,
    /// A bit for each stop in it that is still ahead, the first byte lowest.
    ahead: u64,
    /// No stop before this place counts any more.
    seen: usize,
}

/// The last bytes of a text in front of spaces, which are no stops: so there is a whole window wherever a block begins.
#[derive(Debug)]
pub(super) struct Tail {
    start: usize,
    bytes: [u8; 2 * WINDOW],
}

/// Why the text of a string goes no further, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextEnd {
    /// The closing quote, and the two bytes behind it: spaces, where the input has ended.
    Quote(usize, [u8; 2]),
    /// A byte that must be escaped.
    Control(usize),
    /// The backslash of an escape that does not lie here as a whole and in order.
    Escape(usize),
    /// The input ends.
    Input,
}

type Window = [u8; WINDOW];

/// A block is as many bytes as a word has bits.
const BLOCK_LONG: usize = u64::BITS as usize;
/// A stop is looked at together with what is behind it.
const WINDOW: usize = BLOCK_LONG + 2;

impl Tail {
    pub(super) fn of(input: &[u8]) -> Tail {
        let (start, mut bytes) = (input.len().saturating_sub(WINDOW), [b' '; 2 * WINDOW]);
        bytes.iter_mut().zip(input.get(start..).unwrap_or_default()).for_each(|(place, byte)| *place = *byte);
        Tail { start, bytes }
    }

    /// The window that begins at `start`, where less than a whole one is left of the text.
    #[cold]
    fn window(&self, start: usize) -> Option<&Window> {
        self.bytes.get(start.checked_sub(self.start)?..)?.first_chunk()
    }
}

impl<'a> Stops<'a> {
    /// Those from `at` on; `tail` is the input's.
    #[inline]
    pub(super) fn new(input: &'a [u8], tail: &'a Tail, at: usize) -> Stops<'a> {
        // As if the block before had been looked at.
        let start = at.wrapping_sub(BLOCK_LONG);
        Stops { input, tail, window: &[b' '; WINDOW], start, ahead: 0, seen: at }
    }

    /// Goes on to `at`.
    #[inline]
    pub(super) fn seek(&mut self, at: usize) {
        let place = at.wrapping_sub(self.start);
        self.ahead = if place < BLOCK_LONG { self.ahead & u64::MAX << place } else { 0 };
        self.seen = at;
    }

    /// Goes on from a stop, which was the next one, by so many bytes.
    #[inline]
    pub(super) fn step(&mut self, stop: usize, bytes: usize) {
        // Two shifts, for the place reached may lie behind the block.
        self.ahead &= (u64::MAX << ((stop - self.start) % BLOCK_LONG)) << bytes;
        self.seen = stop + bytes;
    }

    /// From within a string to where its text ends.
    #[inline(always)]
    pub(super) fn text_end(&mut self) -> TextEnd {
        loop {
            let Some(ahead) = NonZeroU64::new(self.ahead) else {
                if !self.look(self.start.wrapping_add(BLOCK_LONG).max(self.seen)) {
                    return TextEnd::Input;
                }
                continue;
            };
            let place = ahead.trailing_zeros() as usize;
            let byte = |place: usize| self.window.get(place).copied().unwrap_or(b' ');
            let (at, next) = (self.start + place, byte(place + 1));
            match byte(place) {
                b'\\' if is_escape(next) => self.step(at, 2),
                b'"' => return TextEnd::Quote(at, [next, byte(place + 2)]),
                // Its digits are no stops.
                b'\\' if next == b'u' && self.input.get(at + 2..).is_some_and(begins_with_hex_digits) => {
                    self.step(at, 2)
                }
                b'\\' => return TextEnd::Escape(at),
                _ => return TextEnd::Control(at),
            }
        }
    }

    /// Looks at the block that begins at `start`. Says whether there is one.
    #[inline]
    fn look(&mut self, start: usize) -> bool {
        let Some(rest) = self.input.get(start..) else { return false };
        let Some(window) = rest.first_chunk().or_else(|| self.tail.window(start)) else { return false };
        (self.window, self.start, self.ahead) = (window, start, stops_in_long(window));
        true
    }
}

#[inline]
fn stops_in_long(window: &Window) -> u64 {
    let mut parts = window.as_chunks::<BLOCK>().0.iter().map(|part| u64::from(runs_in(*part)));
    let mut next = || parts.next().unwrap_or_default();
    !(next() | next() << BLOCK | next() << (2 * BLOCK) | next() << (3 * BLOCK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same, a byte at a time.
    fn by_bytes(input: &[u8], from: usize) -> TextEnd {
        let byte = |at: usize| input.get(at).copied().unwrap_or(b' ');
        let mut at = from;
        while at < input.len() {
            at += match byte(at) {
                b'"' => return TextEnd::Quote(at, [byte(at + 1), byte(at + 2)]),
                0..0x20 => return TextEnd::Control(at),
                b'\\' if is_escape(byte(at + 1)) => 2,
                b'\\' if byte(at + 1) == b'u' && input.get(at + 2..).is_some_and(begins_with_hex_digits) => 6,
                b'\\' => return TextEnd::Escape(at),
                _ => 1,
            };
        }
        TextEnd::Input
    }

    /// All strings of a text in which they follow on one another, `gap` bytes apart.
    fn compare(input: &[u8], gap: usize) {
        let tail = Tail::of(input);
        let (mut stops, mut at) = (Stops::new(input, &tail, 0), 0);
        loop {
            let found = stops.text_end();
            assert_eq!(found, by_bytes(input, at), "from {at} in {}, by {gap}", input.escape_ascii());
            let TextEnd::Quote(quote, _) = found else { return };
            at = quote + gap;
            match gap {
                ..4 => stops.step(quote, gap),
                _ => stops.seek(at),
            }
            if at > input.len() {
                return;
            }
        }
    }

    #[test]
    fn whatever_stands_at_a_border() {
        for what in [
            "\\n",
            "\\\"",
            "\\\\",
            "\\\\\"",
            "\\u00e9",
            "\\u\"",
            "\\",
            "\"",
            "\",\"",
            "\":\"a\"",
            "\"\",\"\"",
            "\n",
            "\\x",
        ] {
            for before in 0..140 {
                for after in [0, 1, 2, 3, 63, 64, 65, 66, 67, 130] {
                    let text = "x".repeat(before) + what + &"y".repeat(after);
                    (1..=3).for_each(|gap| compare(text.as_bytes(), gap));
                    compare((text + "\"").as_bytes(), 3);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn as_byte_by_byte(text in "([a-z]{0,40}(\\\\n|\\\\\"|\\\\\\\\|\",\"|\":\"|\\\\u00e9|é|\"|\\\\){0,3}){0,12}", gap in 1usize..200) {
            compare(text.as_bytes(), gap);
        }
    }
}
