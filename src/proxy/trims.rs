//! When a worker gives free memory back to the system. Pure; time is counted in ticks.

#![forbid(unsafe_code)]

use crate::limits;

/// The plan of one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trims {
    /// Requests counted so far, and the last tick at which there was a new one, or one was open.
    requests: u64,
    served: u32,
    /// The last time.
    last: u32,
    /// The one behind these requests' end is still to come.
    is_owed: bool,
}

impl Trims {
    /// The tick at which memory is to be given back, if there is one: if it is `now`, that is taken as done. `requests` were
    /// counted so far; while one is open, none is known.
    pub fn due(&mut self, requests: u64, is_open: bool, now: u32) -> Option<u32> {
        if is_open || requests != self.requests {
            (self.requests, self.served, self.is_owed) = (requests, now, true);
        }
        if !self.is_owed || is_open {
            return None;
        }
        let rest = self.served.saturating_add(limits::TRIM_REST_TICKS);
        let due = rest.min(self.last.saturating_add(limits::TRIM_TICKS));
        if now < due {
            return Some(due);
        }
        (self.last, self.is_owed) = (now, now < rest);
        Some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_and_then_and_once_at_the_end() {
        let mut trims = Trims::default();
        // requests so far, one is open, at which tick; when memory is given back
        let story = [
            ("nothing happened", 0, false, 0, None),
            ("a request is open", 1, true, 5, None),
            ("it ended: when its connections are silent", 1, false, 6, Some(25)),
            ("now", 1, false, 25, Some(25)),
            ("once is enough", 1, false, 26, None),
            ("they come and come", 9, false, 70, Some(75)),
            ("one is open when it is time", 10, true, 78, None),
            ("and still", 10, true, 80, None),
            ("now none is", 10, false, 81, Some(81)),
            ("and once more, at the end", 10, false, 82, Some(100)),
            ("now", 10, false, 103, Some(103)),
            ("once is enough", 10, false, 9000, None),
        ];
        for (name, requests, is_open, now, want) in story {
            assert_eq!(trims.due(requests, is_open, now), want, "{name}");
        }
    }
}
