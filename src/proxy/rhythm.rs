//! When a silent stream needs a word of ours: its head after a while, then a ping from time to time.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::limits;

/// The next tick at which something is due. Whoever reads the stream is roused then ([`crate::net::deadlines`]): no timer
/// is set, and a stream that idles holds nothing for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    due: Option<u32>,
    /// Ticks of silence; 0 for never.
    ping: u32,
    holding: bool,
}

impl Rhythm {
    /// A stream whose head may be held until the tick `hold_until`, and that shall not be silent for longer than `ping`;
    /// zero for never.
    pub fn new(now: u32, hold_until: u32, ping: Duration) -> Self {
        let mut rhythm = Self { due: Some(hold_until), ping: limits::ticks(ping), holding: now < hold_until };
        if !rhythm.holding {
            rhythm.due = rhythm.next(now);
        }
        rhythm
    }

    /// The head may still wait for the first event.
    pub fn may_hold(&self) -> bool {
        self.holding
    }

    /// When something is due.
    pub fn due(&self) -> Option<u32> {
        self.due
    }

    /// The head is out.
    pub fn release(&mut self, now: u32) {
        if std::mem::take(&mut self.holding) {
            self.due = self.next(now);
        }
    }

    /// The client was told something.
    pub fn told(&mut self, now: u32) {
        if !self.holding {
            self.due = self.next(now);
        }
    }

    fn next(&self, now: u32) -> Option<u32> {
        // The current tick has partly gone.
        (self.ping > 0).then(|| now.saturating_add(self.ping).saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_due_first_and_then_pings() {
        let second = Duration::from_secs(1);
        let mut rhythm = Rhythm::new(100, 130, second);
        assert_eq!((rhythm.may_hold(), rhythm.due()), (true, Some(130)));
        rhythm.told(110);
        assert_eq!((rhythm.may_hold(), rhythm.due()), (true, Some(130)), "events that mean nothing prolong nothing");
        rhythm.release(120);
        assert_eq!((rhythm.may_hold(), rhythm.due()), (false, Some(131)));
        rhythm.release(125);
        assert_eq!(rhythm.due(), Some(131));
        rhythm.told(125);
        assert_eq!(rhythm.due(), Some(136));
    }

    #[test]
    fn zero_is_never() {
        let second = Duration::from_secs(1);
        for (hold_until, ping, holds, due) in [
            (100, second, false, Some(111)),
            (0, second, false, Some(111)),
            (0, Duration::ZERO, false, None),
            (101, Duration::ZERO, true, Some(101)),
            // A part of a tick is one.
            (0, Duration::from_millis(1), false, Some(102)),
        ] {
            let mut rhythm = Rhythm::new(100, hold_until, ping);
            assert_eq!((rhythm.may_hold(), rhythm.due()), (holds, due), "{hold_until} {ping:?}");
            rhythm.release(100);
            assert_eq!(rhythm.due(), if ping.is_zero() { None } else { due.max(Some(102)) });
        }
    }
}
