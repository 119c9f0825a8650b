//! Finds the report of a whole JSON answer while that passes.

use memchr::memmem::Finder;

use super::members::brackets;
use crate::json::{Kind, Scanner};
use crate::limits::USAGE_BYTES_MAX;

/// Gives the answer's top-level member `usage`, if that is an object.
///
/// A usual answer is held and looked at from its end, where most providers put the report: reading all that comes before
/// it would cost more than passing it on. One longer than [`USAGE_BYTES_MAX`] is scanned as it comes, and of that only
/// the member is held. Of two members of the name, which no provider sends, the last of a held answer counts, as for most
/// clients, and the first of a long one.
#[derive(Debug)]
pub(super) struct Body {
    finder: Finder<'static>,
    scanner: Scanner,
    /// The answer is longer than what is held.
    is_long: bool,
    /// The member was given, or there will be none.
    is_done: bool,
    /// Bytes that the scanner saw before this push.
    before: usize,
    /// The answer so far, or of a long one the member's bytes.
    held: Vec<u8>,
}

const KEY: &[u8] = b"\"usage\"";

impl Body {
    pub fn new() -> Self {
        let (finder, scanner) = (Finder::new(KEY), Scanner::new(&["usage"]));
        Self { finder, scanner, is_long: false, is_done: false, before: 0, held: Vec::new() }
    }

    pub fn reset(&mut self) {
        self.scanner.reset();
        (self.is_long, self.is_done) = (false, false);
        self.before = 0;
        self.held.clear();
    }

    /// Takes the next bytes. Gives the member of a long answer as soon as it is whole.
    pub fn push(&mut self, payload: &[u8], mut on_usage: impl FnMut(&[u8])) {
        if !self.is_long && self.held.len() + payload.len() <= USAGE_BYTES_MAX {
            self.held.extend_from_slice(payload);
            return;
        }
        if !std::mem::replace(&mut self.is_long, true) {
            let held = std::mem::take(&mut self.held);
            self.scan(&held, &mut on_usage);
            if self.held.is_empty() {
                // Its memory is of use again.
                self.held = held;
                self.held.clear();
            }
        }
        self.scan(payload, on_usage);
    }

    /// The answer is over: one that was held is looked into. `read` reads the object at the front of a text, and gives how
    /// many bytes follow it; it may be asked several times. Whether the last object that it read is the member.
    pub fn finish(&mut self, mut read: impl FnMut(&[u8]) -> Option<usize>) -> bool {
        if self.is_long || self.held.is_empty() {
            return false;
        }
        let held = std::mem::take(&mut self.held);
        let mut is_found = read_last_report(&self.finder, &held, &mut read);
        // Cut short, or the name is written with escapes: what can be known is found the long way.
        let may_be_there = || self.finder.find(&held).is_some() || memchr::memmem::find(&held, b"\\u").is_some();
        if !is_found && may_be_there() {
            self.scan(&held, |report| is_found = read(report).is_some());
            self.held.clear();
        }
        self.held = held;
        self.scanner.reset();
        (self.is_done, self.before) = (false, 0);
        is_found
    }

    fn scan(&mut self, payload: &[u8], mut on_usage: impl FnMut(&[u8])) {
        if self.is_done {
            return;
        }
        let failed = self.scanner.push(payload).is_err();
        let before = self.before;
        self.before += payload.len();
        let piece = |start: usize, end: usize| {
            payload.get(start.saturating_sub(before)..end.saturating_sub(before)).unwrap_or_default()
        };
        if let Some(member) = self.scanner.get("usage") {
            // What comes behind it, valid or not, says nothing more.
            self.is_done = true;
            let last = piece(member.start, member.end);
            let fits = member.kind == Kind::Object && member.end - member.start <= USAGE_BYTES_MAX;
            if fits && self.held.is_empty() {
                on_usage(last);
            } else if fits {
                self.held.extend_from_slice(last);
                on_usage(&self.held);
            }
        } else if let Some(start) = self.scanner.value_start() {
            self.is_done = self.before - start > USAGE_BYTES_MAX;
            if !self.is_done {
                self.held.extend_from_slice(piece(start, self.before));
            }
        }
        self.is_done |= failed;
    }
}

/// Reads the top-level member of a whole JSON text, found from its end. In valid JSON the quote of [`KEY`] opens a string
/// unless a backslash stands before it, and the member is the text's own if exactly one bracket is still open behind it.
fn read_last_report(finder: &Finder<'_>, text: &[u8], read: &mut impl FnMut(&[u8]) -> Option<usize>) -> bool {
    let mut end = text.len();
    // Arguments of tools may have the same name; more than a few are somebody's joke.
    for _ in 0..4 {
        let Some(at) = text.get(..end).and_then(|text| last_place(finder, text)) else { return false };
        end = at;
        let is_escaped = at.checked_sub(1).and_then(|before| text.get(before)) == Some(&b'\\');
        let behind = text.get(at + KEY.len()..).unwrap_or_default().trim_ascii_start();
        let Some(value) = behind.strip_prefix(b":").map(<[u8]>::trim_ascii_start) else { continue };
        if !is_escaped
            && value.first() == Some(&b'{')
            && let Some(left) = read(value)
            && closes_the_last(value.get(value.len() - left..).unwrap_or_default())
        {
            return true;
        }
    }
    false
}

/// Where the key stands last. Nearly always that is close to the end.
fn last_place(finder: &Finder<'_>, text: &[u8]) -> Option<usize> {
    const TAIL: usize = 512;
    let tail = text.len().saturating_sub(TAIL);
    let near = finder.find_iter(text.get(tail..)?).last().map(|at| tail + at);
    near.or_else(|| finder.find_iter(text.get(..tail + KEY.len())?).last())
}

/// Whether what follows a value closes exactly one bracket, and ends there.
fn closes_the_last(behind: &[u8]) -> bool {
    let rest = behind.trim_ascii();
    rest == b"}" || brackets(rest, |_, depth| depth < 0).is_some_and(|last| last + 1 == rest.len())
}
