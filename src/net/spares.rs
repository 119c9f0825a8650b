//! When a spare connection is opened ahead of need. Pure; time is counted in ticks.

use crate::limits;

/// The plan of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spares {
    /// Until when the origin counts as in use.
    wanted_until: u32,
    /// Failures in a row.
    failures: u32,
    not_before: u32,
}

impl Spares {
    /// A request came: for [`limits::WARM_FOR`] another one may.
    pub fn used(&mut self, now: u32) {
        self.wanted_until = now.saturating_add(limits::ticks(limits::WARM_FOR));
    }

    /// A first request may come soon: within [`limits::EXPECTED_FOR`].
    pub fn expected(&mut self, now: u32) {
        self.wanted_until = self.wanted_until.max(now.saturating_add(limits::ticks(limits::EXPECTED_FOR)));
    }

    /// The origin is in use.
    pub fn in_use(&self, now: u32) -> bool {
        now < self.wanted_until
    }

    /// After failures, the tick of the next attempt.
    pub fn not_before(&self) -> u32 {
        self.not_before
    }

    /// A spare may be opened now.
    pub fn due(&self, now: u32) -> bool {
        self.in_use(now) && now >= self.not_before
    }

    /// A connection was opened, for whatever purpose.
    pub fn opened(&mut self) {
        (self.failures, self.not_before) = (0, 0);
    }

    /// A spare could not be opened: after 1 s, 2 s, 4 s … the next attempt. Of several that were opened side by side only
    /// the first failure counts.
    pub fn failed(&mut self, now: u32) {
        if now < self.not_before {
            return;
        }
        let pause = limits::ticks(limits::SPARE_BACKOFF_MIN) << self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.saturating_add(pause.min(limits::ticks(limits::SPARE_BACKOFF_MAX)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_for_origins_in_use() {
        let mut spares = Spares::default();
        assert!(!spares.due(0) && !spares.in_use(0));
        spares.used(100);
        assert!(spares.due(100) && spares.due(6099));
        assert!(!spares.due(6100) && !spares.in_use(6100));
    }

    #[test]
    fn what_is_expected_is_forgotten_sooner_than_what_was_used() {
        let mut spares = Spares::default();
        spares.expected(0);
        assert!(spares.due(0) && spares.in_use(599) && !spares.in_use(600));
        spares.used(100);
        spares.expected(200);
        assert!(spares.in_use(6099) && !spares.in_use(6100));
    }

    #[test]
    fn failures_make_the_pauses_longer() {
        let mut spares = Spares::default();
        let mut now = 0;
        let mut pauses = Vec::new();
        for _ in 0..40 {
            spares.used(now);
            spares.failed(now);
            let pause = (1..).find(|after| spares.due(now + after)).unwrap_or_default();
            pauses.push(pause);
            now += pause;
        }
        assert_eq!(pauses[..8], [10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(pauses[39], 600);
        spares.failed(now);
        let once = spares;
        spares.failed(now);
        spares.failed(now + 9);
        assert_eq!(spares, once, "the others of a burst");
        spares.opened();
        assert!(spares.due(now));
        spares.failed(now);
        assert!(!spares.due(now + 9) && spares.due(now + 10));
    }
}
