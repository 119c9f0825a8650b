//! Finds the report of a whole JSON answer while that passes.

use crate::json::{Kind, Scanner};
use crate::limits::USAGE_BYTES_MAX;

/// Gives the answer's top-level member `usage`, if that is an object. Only its own bytes are ever held.
#[derive(Debug)]
pub(super) struct Body {
    scanner: Scanner,
    /// The member was given, or there will be none.
    is_done: bool,
    /// Bytes of all pushes before this one.
    before: usize,
    /// The member's bytes from earlier pushes.
    held: Vec<u8>,
}

impl Body {
    pub fn new() -> Self {
        Self { scanner: Scanner::new(&["usage"]), is_done: false, before: 0, held: Vec::new() }
    }

    pub fn reset(&mut self) {
        self.scanner.reset();
        self.is_done = false;
        self.before = 0;
        self.held.clear();
    }

    /// Takes the next bytes.
    pub fn push(&mut self, payload: &[u8], on_usage: impl FnOnce(&[u8])) {
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
