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

    /// The answer is over: gives the member of one that was held.
    pub fn finish(&mut self, mut on_usage: impl FnMut(&[u8])) {
        if self.is_long || self.held.is_empty() {
            return;
        }
        let held = std::mem::take(&mut self.held);
        match last_report(&self.finder, &held) {
            Some(report) => on_usage(report),
            // Cut short, or the name is written with escapes: what can be known is found the long way.
            None if self.finder.find(&held).is_some() || memchr::memmem::find(&held, b"\\u").is_some() => {
                self.scan(&held, on_usage);
                self.held.clear();
            }
            None => {}
        }
        self.held = held;
        self.scanner.reset();
        (self.is_done, self.before) = (false, 0);
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

/// The top-level member of a whole JSON text, found from its end. In valid JSON the quote of [`KEY`] opens a string unless
/// a backslash stands before it, and the member is the text's own if exactly one bracket is still open behind it.
fn last_report<'a>(finder: &Finder<'_>, text: &'a [u8]) -> Option<&'a [u8]> {
    let mut end = text.len();
    // Arguments of tools may have the same name; more than a few are somebody's joke.
    for _ in 0..4 {
        let at = finder.find_iter(text.get(..end)?).last()?;
        end = at;
        let is_escaped = at.checked_sub(1).and_then(|before| text.get(before)) == Some(&b'\\');
        let behind = text.get(at + KEY.len()..)?.trim_ascii_start();
        let Some(value) = behind.strip_prefix(b":").map(<[u8]>::trim_ascii_start) else { continue };
        if !is_escaped
            && value.first() == Some(&b'{')
            && let Some(length) = own_member(value)
        {
            return value.get(..length);
        }
    }
    None
}

/// The length of the object at the front, if what follows it closes exactly one bracket and ends there.
fn own_member(text: &[u8]) -> Option<usize> {
    let mut length = None;
    let last = brackets(text, |at, depth| {
        if depth == 0 {
            length.get_or_insert(at + 1);
        }
        depth < 0
    })?;
    let ends = text.get(last + 1..).is_none_or(|rest| rest.trim_ascii().is_empty());
    length.filter(|_| ends)
}
