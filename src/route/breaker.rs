//! One upstream's breaker: closed while it works, open while it fails, half-open for the one request that finds out.
//!
//! All of it is one number, so that workers share it without a lock: every change is a function from one number to the
//! next. Times are milliseconds since the process began.

use std::fmt;

/// The state of a breaker. The default is closed, with nothing known.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Breaker(u64);

/// What a breaker says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Go on.
    Closed,
    /// This one finds out whether the upstream is back; the others wait for what it says.
    Probe,
    /// Not before this time.
    Open(u64),
}

/// Outcomes are weighed over so long.
pub const WINDOW_MS: u64 = 10_000;
/// So many failures in a window open it, if they are half of all: three or four can be one bad moment.
pub const FAILURES_MIN: u64 = 5;
/// How long it stays open at first; doubled each time the probe fails.
pub const REST_MIN_MS: u64 = 1_000;
/// The longest it stays open.
pub const REST_MAX_MS: u64 = 60_000;
/// A probe that said nothing for so long does not count: its client may have left.
pub const PROBE_MS: u64 = 10_000;

/// The parts of the number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Parts {
    phase: Phase,
    /// How often in a row the rest was doubled.
    doubled: u64,
    /// Outcomes of this window.
    failures: u64,
    successes: u64,
    /// When the window began, the rest ends, or the probe left.
    at: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Closed,
    Open,
    HalfOpen,
}

/// Bits of each count; a busy window's counts are halved before they would not fit.
const COUNT_BITS: u32 = 9;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
const DOUBLED_BITS: u32 = 4;
const PHASE_BITS: u32 = 2;
/// 40 bits of milliseconds are 34 years.
const TIME_BITS: u32 = 64 - PHASE_BITS - DOUBLED_BITS - 2 * COUNT_BITS;

impl Breaker {
    /// As it is stored.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// To be stored.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// What it says to a request, without letting it through.
    pub fn look(self, now: u64) -> Gate {
        let Parts { phase, at, .. } = self.parts();
        match phase {
            Phase::Closed => Gate::Closed,
            Phase::Open if now >= at => Gate::Probe,
            Phase::Open => Gate::Open(at),
            Phase::HalfOpen if now >= at + PROBE_MS => Gate::Probe,
            Phase::HalfOpen => Gate::Open(at + PROBE_MS),
        }
    }

    /// A request goes through: what [`Breaker::look`] called a probe is one from now on.
    pub fn enter(self, now: u64) -> Self {
        match self.look(now) {
            Gate::Probe => Self::of(Parts { phase: Phase::HalfOpen, at: now, ..self.parts() }),
            Gate::Closed | Gate::Open(_) => self,
        }
    }

    /// A try ended.
    pub fn report(self, is_success: bool, now: u64) -> Self {
        let parts = self.parts();
        match (parts.phase, is_success) {
            (Phase::Closed, _) => Self::of(parts.counting(is_success, now)),
            (Phase::HalfOpen, true) => Self::of(Parts { at: now, ..Parts::default() }),
            (Phase::HalfOpen, false) => Self::of(parts.opened(parts.doubled + 1, now)),
            // One that was under way, or that had nowhere else to go. What works is not kept shut.
            (Phase::Open, true) => Self::of(Parts { at: now, ..Parts::default() }),
            (Phase::Open, false) => self,
        }
    }

    fn parts(self) -> Parts {
        let field = |shift: u32, bits: u32| self.0 >> shift & ((1 << bits) - 1);
        let phase = match field(0, PHASE_BITS) {
            0 => Phase::Closed,
            1 => Phase::Open,
            _ => Phase::HalfOpen,
        };
        Parts {
            phase,
            doubled: field(PHASE_BITS, DOUBLED_BITS),
            failures: field(PHASE_BITS + DOUBLED_BITS, COUNT_BITS),
            successes: field(PHASE_BITS + DOUBLED_BITS + COUNT_BITS, COUNT_BITS),
            at: field(64 - TIME_BITS, TIME_BITS),
        }
    }

    fn of(parts: Parts) -> Self {
        let phase = match parts.phase {
            Phase::Closed => 0,
            Phase::Open => 1,
            Phase::HalfOpen => 2,
        };
        let doubled = parts.doubled.min((1 << DOUBLED_BITS) - 1) << PHASE_BITS;
        let failures = parts.failures.min(COUNT_MAX) << (PHASE_BITS + DOUBLED_BITS);
        let successes = parts.successes.min(COUNT_MAX) << (PHASE_BITS + DOUBLED_BITS + COUNT_BITS);
        Self(phase | doubled | failures | successes | parts.at << (64 - TIME_BITS))
    }
}

impl Parts {
    fn counting(mut self, is_success: bool, now: u64) -> Self {
        if now >= self.at + WINDOW_MS {
            // Half of what was known before still counts, so that a window's edge hides nothing.
            let is_recent = now < self.at + 2 * WINDOW_MS;
            let keep = |count: u64| if is_recent { count / 2 } else { 0 };
            self = Self { failures: keep(self.failures), successes: keep(self.successes), at: now, ..self };
        }
        if self.failures.max(self.successes) == COUNT_MAX {
            (self.failures, self.successes) = (self.failures / 2, self.successes / 2);
        }
        if is_success {
            return Self { successes: self.successes + 1, ..self };
        }
        let failures = self.failures + 1;
        match failures >= FAILURES_MIN && failures >= self.successes {
            true => self.opened(0, now),
            false => Self { failures, ..self },
        }
    }

    fn opened(self, doubled: u64, now: u64) -> Self {
        let rest = (REST_MIN_MS << doubled.min(16)).min(REST_MAX_MS);
        Self { phase: Phase::Open, doubled, failures: 0, successes: 0, at: now + rest }
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(outcomes: &[(bool, u64)]) -> Breaker {
        outcomes.iter().fold(Breaker::default(), |breaker, (ok, now)| breaker.enter(*now).report(*ok, *now))
    }

    fn failing(count: u64, from: u64) -> Vec<(bool, u64)> {
        (0..count).map(|number| (false, from + number)).collect()
    }

    #[test]
    fn it_opens_when_half_of_enough_outcomes_are_failures() {
        let open = Gate::Open(1_004 + REST_MIN_MS);
        for (before, failures, want) in [
            (vec![], 4, Gate::Closed),
            (vec![], 5, open),
            (vec![(true, 990); 5], 5, open),
            (vec![(true, 990); 6], 5, Gate::Closed),
            (vec![(true, 990); 300], 5, Gate::Closed),
            // Of the last window half is known, of the one before nothing.
            (vec![(false, 0); 4], 4, Gate::Closed),
        ] {
            let outcomes: Vec<_> = before.iter().copied().chain(failing(failures, 1_000)).collect();
            let want = if before.first() == Some(&(false, 0)) { Gate::Open(1_000 + REST_MIN_MS) } else { want };
            assert_eq!(after(&outcomes).look(1_004), want, "{before:?} {failures}");
        }
    }

    #[test]
    fn what_is_long_ago_does_not_count() {
        let old: Vec<_> = failing(4, 0);
        for (gap, want) in [(WINDOW_MS - 10, true), (2 * WINDOW_MS + 10, false)] {
            let outcomes: Vec<_> = old.iter().copied().chain(failing(1, gap)).collect();
            assert_eq!(matches!(after(&outcomes).look(gap + 1), Gate::Open(_)), want, "{gap}");
        }
        // Half of four, and three more.
        let outcomes: Vec<_> = old.iter().copied().chain(failing(3, WINDOW_MS + 5)).collect();
        assert!(matches!(after(&outcomes).look(WINDOW_MS + 9), Gate::Open(_)));
    }

    #[test]
    fn one_probe_finds_out() {
        let open = after(&failing(5, 0));
        let end = 4 + REST_MIN_MS;
        assert_eq!((open.look(end - 1), open.look(end)), (Gate::Open(end), Gate::Probe));
        let probing = open.enter(end);
        assert_eq!(probing.look(end), Gate::Open(end + PROBE_MS));
        assert_eq!(probing.report(true, end + 5).look(end + 5), Gate::Closed);
        let again = probing.report(false, end + 5);
        assert_eq!(again.look(end + 6), Gate::Open(end + 5 + 2 * REST_MIN_MS));
        // The probe's client left: the next one is asked.
        assert_eq!(probing.look(end + PROBE_MS), Gate::Probe);
    }

    #[test]
    fn it_rests_longer_each_time_up_to_a_bound_and_forgets_that_when_it_works() {
        let (mut breaker, mut now, mut rests) = (after(&failing(5, 0)), 5, Vec::new());
        for _ in 0..40 {
            let Gate::Open(end) = breaker.look(now) else { panic!("{breaker:?}") };
            rests.push(end - now);
            breaker = breaker.enter(end).report(false, end);
            now = end;
        }
        assert!(rests.is_sorted() && rests.last() == Some(&REST_MAX_MS), "{rests:?}");
        let closed = breaker.enter(now + REST_MAX_MS).report(true, now + REST_MAX_MS);
        now += REST_MAX_MS;
        let open = failing(5, now).iter().fold(closed, |breaker, (ok, at)| breaker.report(*ok, *at));
        assert_eq!(open.look(now + 5), Gate::Open(now + 4 + REST_MIN_MS));
    }

    #[test]
    fn what_was_under_way_does_not_open_it_anew_and_may_close_it() {
        let open = after(&failing(5, 0));
        assert_eq!(open.report(false, 50), open);
        assert_eq!(open.report(true, 50).look(51), Gate::Closed);
    }

    #[test]
    fn counts_do_not_overflow() {
        let busy = (0..100_000).fold(Breaker::default(), |breaker, _| breaker.report(true, 5));
        assert_eq!(busy.look(5), Gate::Closed);
        let parts = busy.parts();
        assert!(parts.successes > COUNT_MAX / 2 - 1 && parts.failures == 0, "{parts:?}");
        let mixed = (0..100_000).fold(busy, |breaker, number| breaker.report(number % 3 > 0, 6));
        assert_eq!(mixed.look(6), Gate::Closed, "{mixed:?}");
    }
}
