//! Which candidate a conversation was at, so that it stays there: a provider's prompt cache knows what it was told before.
//!
//! A fixed table that workers share. A line is one number: a part of the session's hash, the candidate, and the minute. Two
//! sessions that meet in a line push each other out, and lose their caches at worst.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// See the module.
#[derive(Debug)]
pub struct Sessions {
    lines: Box<[AtomicU64]>,
}

const LINES: usize = 4096;
/// A session that was silent for so long goes where it likes: no provider keeps prompts longer.
const FORGOTTEN_MINUTES: u64 = 60;
const CANDIDATE_BITS: u32 = 16;
const MINUTE_BITS: u32 = 20;

impl Default for Sessions {
    fn default() -> Self {
        Self { lines: (0..LINES).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Sessions {
    /// The hash of the candidate where this session was last: its lower bits, see [`mark`].
    pub fn place_of(&self, session: u64, now_ms: u64) -> Option<u16> {
        let line = self.line(session).load(Relaxed);
        let (tag, minute, candidate) = parts(line);
        let is_fresh = minute + FORGOTTEN_MINUTES > now_ms / 60_000;
        (line != 0 && tag == parts(session).0 && is_fresh).then_some(candidate)
    }

    /// The session is at this candidate now.
    pub fn put(&self, session: u64, candidate: u64, now_ms: u64) {
        let tag = session >> (CANDIDATE_BITS + MINUTE_BITS) << (CANDIDATE_BITS + MINUTE_BITS);
        let minute = ((now_ms / 60_000) & ((1 << MINUTE_BITS) - 1)) << CANDIDATE_BITS;
        self.line(session).store(tag | minute | u64::from(mark(candidate)), Relaxed);
    }

    #[allow(clippy::indexing_slicing, reason = "there are LINES of them")]
    fn line(&self, session: u64) -> &AtomicU64 {
        &self.lines[session as usize % LINES]
    }
}

/// What is kept of a candidate's hash; never 0.
pub fn mark(candidate: u64) -> u16 {
    (candidate >> 48) as u16 | 1
}

fn parts(line: u64) -> (u64, u64, u16) {
    (line >> (CANDIDATE_BITS + MINUTE_BITS), line >> CANDIDATE_BITS & ((1 << MINUTE_BITS) - 1), line as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_where_it_was() {
        const HOUR: u64 = 3_600_000;
        let sessions = Sessions::default();
        let (one, other) = (0x1234_5678_9ABC_DEF0, 0xFEDC_BA98_7654_3210);
        assert_eq!(sessions.place_of(one, 0), None);
        sessions.put(one, 0xAAAA << 48, 5);
        sessions.put(other, 0xBBBB << 48, 5);
        assert_eq!(sessions.place_of(one, HOUR - 1), Some(mark(0xAAAA << 48)));
        assert_eq!(sessions.place_of(other, 6), Some(mark(0xBBBB << 48)));
        sessions.put(one, 0xCCCC << 48, HOUR);
        assert_eq!(sessions.place_of(one, 2 * HOUR - 1), Some(mark(0xCCCC << 48)));
        assert_eq!(sessions.place_of(one, 2 * HOUR), None);
        // The same line, another session.
        assert_eq!(sessions.place_of(one ^ 1 << 60, HOUR), None);
    }
}
