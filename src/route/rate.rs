//! A rate limit, as the generic cell rate algorithm has it (ITU-T I.371): one number says when the next unit is due in
//! theory, and what comes earlier than a tolerance before that waits.
//!
//! A limit of N a minute must hold in every minute, not only on average: a tenth may come at once, and the rate is what
//! then keeps the sum within N. Times are microseconds since the process began.

/// A limit: so many units in every minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Between two units, in nanoseconds: token limits have millions of them.
    interval_ns: u64,
    /// What may come at once, in units.
    burst: u64,
}

const MINUTE_NS: u64 = 60_000_000_000;

impl Rate {
    /// `per_minute` units, at least 1.
    pub fn per_minute(per_minute: u64) -> Self {
        let per_minute = per_minute.max(1);
        let burst = (per_minute / 10).max(1);
        // Of one a minute nothing is left to spread.
        let spread = (per_minute - burst).max(1);
        Self { interval_ns: MINUTE_NS / spread, burst }
    }

    /// When `units` may go, given the state `due` (0 at first); `now` or earlier if at once. More than a whole burst goes
    /// as one: waiting would not make it smaller.
    pub fn ready_at(self, due: u64, units: u64, now: u64) -> u64 {
        let tolerance = self.micros(self.burst);
        let cost = self.micros(units).min(tolerance);
        (due.max(now) + cost).saturating_sub(tolerance)
    }

    /// The state after `units` went at `now`, also if that was too early.
    pub fn taken(self, due: u64, units: u64, now: u64) -> u64 {
        due.max(now) + self.micros(units)
    }

    fn micros(self, units: u64) -> u64 {
        units.saturating_mul(self.interval_ns) / 1_000
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn forty_a_minute() {
        let rate = Rate::per_minute(40);
        let mut due = 0;
        for number in 0..4 {
            assert_eq!(rate.ready_at(due, 1, 0), 0, "{number}");
            due = rate.taken(due, 1, 0);
        }
        // 36 are spread over the minute: one each 1.67 s.
        let next = rate.ready_at(due, 1, 0);
        assert_eq!(next / 10_000, 166);
        assert_eq!(rate.ready_at(due, 1, next), next);
        assert!(rate.ready_at(due, 1, 10 * SECOND) <= 10 * SECOND);
    }

    #[test]
    fn small_and_large() {
        for (per_minute, units) in [(1, 1), (2, 1), (9, 1), (1_000_000, 50_000), (10_000_000, 1_000_000)] {
            let rate = Rate::per_minute(per_minute);
            assert!(rate.ready_at(0, units, 7) <= 7, "{per_minute}");
            let due = rate.taken(0, per_minute, 0);
            assert!(rate.ready_at(due, units, 0) > 0, "{per_minute}");
            // More than fits at once is not refused for ever.
            assert!(rate.ready_at(0, per_minute * 100, 7) <= 7, "{per_minute}");
        }
    }

    proptest! {
        /// However they come, no minute has more than the limit.
        #[test]
        fn no_minute_has_more(per_minute in 2_u64..200, pauses in prop::collection::vec(0_u64..4 * SECOND, 1..400)) {
            let rate = Rate::per_minute(per_minute);
            let (mut due, mut now, mut went) = (0, 0, Vec::new());
            for pause in pauses {
                now += pause;
                if rate.ready_at(due, 1, now) <= now {
                    due = rate.taken(due, 1, now);
                    went.push(now);
                }
            }
            for (place, end) in went.iter().enumerate() {
                let in_minute = went[..=place].iter().filter(|at| **at + 60 * SECOND > *end).count() as u64;
                prop_assert!(in_minute <= per_minute, "{in_minute} of {per_minute}");
            }
        }
    }
}
