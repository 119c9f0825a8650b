//! Finds the events of a stream that may report usage, at the price of one search for a word in most.

use memchr::memmem::Finder;
use memchr::{memchr2, memrchr2};

use crate::limits::{EVENT_BYTES_KEPT, EVENT_BYTES_MAX};
use crate::sse::Splitter;

/// Cuts a stream where blank lines are, and gives the data of each event that holds `"usage"` with a value.
///
/// An event here is what lies between line ends that begin it and its blank line, so that its length, and with it
/// whether it is too long, does not depend on how the stream is split.
#[derive(Debug)]
pub(super) struct Stream {
    finder: Finder<'static>,
    splitter: Splitter,
    state: State,
    /// The beginning of an event whose blank line has not come.
    held: Vec<u8>,
}

/// Room for an event of a chat stream with all that vendors add to it; the longest of them have 600 bytes.
const USUAL_EVENT_BYTES: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// Within an event that is too long; with the last byte seen of it.
    Skipping(u8),
}

impl Stream {
    pub fn new() -> Self {
        let (finder, splitter) = (Finder::new(USAGE), Splitter::new(EVENT_BYTES_MAX));
        // Where a read cuts an event is chance: no stream of usual events shall find this too small in its middle.
        Self { finder, splitter, state: State::Reading, held: Vec::with_capacity(USUAL_EVENT_BYTES) }
    }

    pub fn reset(&mut self) {
        self.state = State::Reading;
        self.held.clear();
        self.held.shrink_to(EVENT_BYTES_KEPT);
        self.splitter.reset();
    }

    /// Takes the next bytes.
    #[inline]
    pub fn push(&mut self, payload: &[u8], mut on_data: impl FnMut(&[u8])) {
        let Some(rest) = self.end_held(payload, &mut on_data) else { return };
        let (events, rest) = rest.split_at_checked(last_end(rest)).unwrap_or((rest, &[]));
        self.search(events, &mut on_data);
        self.hold(without_line_ends(rest));
    }

    /// Completes the event that an earlier push began; gives what follows it, nothing if it still goes on.
    fn end_held<'a>(&mut self, payload: &'a [u8], on_data: &mut impl FnMut(&[u8])) -> Option<&'a [u8]> {
        let before = match (self.state, self.held.last()) {
            (State::Skipping(last), _) => last,
            (State::Reading, Some(last)) => *last,
            (State::Reading, None) => return Some(payload),
        };
        let end = first_end(before, payload);
        let (event, rest) = payload.split_at_checked(end.unwrap_or(payload.len()))?;
        self.hold(event);
        end?;
        if self.state == State::Reading {
            let held = std::mem::take(&mut self.held);
            self.search(&held, on_data);
            self.held = held;
        }
        self.state = State::Reading;
        self.held.clear();
        Some(rest)
    }

    fn hold(&mut self, piece: &[u8]) {
        let Some(last) = piece.last() else { return };
        if self.state == State::Reading && self.held.len() + piece.len() <= EVENT_BYTES_MAX {
            self.held.extend_from_slice(piece);
        } else {
            self.state = State::Skipping(*last);
        }
    }

    /// Searches whole events.
    #[inline]
    fn search(&mut self, events: &[u8], on_data: &mut impl FnMut(&[u8])) {
        let mut from = 0;
        while let Some(found) = events.get(from..).and_then(|rest| self.finder.find(rest)) {
            from = self.look(events, from + found, on_data);
        }
    }

    /// Looks at the word found at `at`; gives the place to go on from.
    fn look(&mut self, events: &[u8], at: usize, on_data: &mut impl FnMut(&[u8])) -> usize {
        let after = at + USAGE.len();
        let (before, rest) = events.split_at_checked(after).unwrap_or((events, &[]));
        if is_null(rest) {
            return after;
        }
        let end = first_end(b'"', rest).map_or(events.len(), |end| after + end);
        let start = last_end(before);
        let event = without_line_ends(events.get(start..end).unwrap_or_default());
        if event.len() <= EVENT_BYTES_MAX {
            self.splitter.reset();
            // It cannot be too long: what the splitter counts is less than this length.
            let _ = self.splitter.push(event, |event| on_data(event.data));
        }
        end
    }
}

const USAGE: &[u8] = b"\"usage\"";

/// What follows the word says that it is a member whose value is null: many streams say so in each chunk.
fn is_null(after: &[u8]) -> bool {
    let value = after.trim_ascii_start().strip_prefix(b":");
    value.is_some_and(|value| value.trim_ascii_start().starts_with(b"null"))
}

/// The place just past the first blank line, if there is one; `before` is the byte before the text.
fn first_end(before: u8, text: &[u8]) -> Option<usize> {
    let (mut from, mut before) = (0, before);
    loop {
        let rest = text.get(from..)?;
        let found = memchr2(b'\n', b'\r', rest)?;
        let byte = *rest.get(found)?;
        if found > 0 {
            before = *rest.get(found - 1)?;
        }
        from += found + 1;
        if is_blank_line(before, byte) {
            return Some(from);
        }
        before = byte;
    }
}

/// The place just past the last blank line; the start if there is none.
#[inline]
fn last_end(text: &[u8]) -> usize {
    let mut rest = text;
    while let Some(found) = memrchr2(b'\n', b'\r', rest) {
        let before = found.checked_sub(1).and_then(|before| rest.get(before));
        if let (Some(before), Some(byte)) = (before, rest.get(found))
            && is_blank_line(*before, *byte)
        {
            return found + 1;
        }
        rest = rest.get(..found).unwrap_or_default();
    }
    0
}

/// Two line ends in a row; a CR and an LF are one.
fn is_blank_line(before: u8, byte: u8) -> bool {
    matches!((before, byte), (b'\n' | b'\r', b'\r') | (b'\n', b'\n'))
}

fn without_line_ends(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !matches!(byte, b'\n' | b'\r')).unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}
