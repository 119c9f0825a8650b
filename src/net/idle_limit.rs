//! How long an upstream connection may idle: learned per origin, because nobody tells. Pure; time is counted in ticks.

use crate::limits;

/// The limit of one origin.
///
/// An origin that closed first has a shorter patience than we had: the limit falls below what was seen. A connection
/// that is alive after most of the limit shows that the origin has more: the limit grows, in steps and not faster than
/// time passes, because many connections that idled side by side are one proof, and not soon after it fell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleLimit {
    ticks: u32,
    /// It does not grow before this tick.
    rests_until: u32,
}

impl Default for IdleLimit {
    fn default() -> Self {
        Self { ticks: limits::ticks(limits::UPSTREAM_IDLE_START), rests_until: 0 }
    }
}

impl IdleLimit {
    /// A connection that idled for so many ticks is closed.
    pub fn ticks(&self) -> u32 {
        self.ticks
    }

    /// The origin closed a connection that had been idle for `idle` ticks (the longest for which it was known alive).
    pub fn closed_after(&mut self, idle: u32, now: u32) {
        let floor = limits::ticks(limits::UPSTREAM_IDLE_MIN);
        self.ticks = self.ticks.min((idle / 4 * 3 + idle % 4 * 3 / 4).max(floor));
        self.rests_until = now.saturating_add(limits::ticks(limits::UPSTREAM_IDLE_REST));
    }

    /// A connection was alive after `idle` ticks.
    pub fn alive_after(&mut self, idle: u32, now: u32) {
        let proof = u64::from(idle) * 5 >= u64::from(self.ticks) * 4;
        if proof && now >= self.rests_until {
            self.ticks = (self.ticks + self.ticks / 4).min(limits::ticks(limits::UPSTREAM_IDLE_MAX));
            self.rests_until = now.saturating_add(self.ticks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Event {
        Closed(u32),
        Alive(u32),
    }
    use Event::{Alive, Closed};

    #[test]
    fn it_follows_what_the_origin_shows() {
        // what happened, at which tick, the limit then
        let story = [
            ("it starts with 10 s", Alive(0), 0, 100),
            ("an early reuse proves nothing", Alive(79), 10, 100),
            ("alive after 8 s", Alive(80), 100, 125),
            ("its neighbour proves nothing new", Alive(100), 101, 125),
            ("alive again, once the limit has passed", Alive(125), 225, 156),
            ("closed after 15 s", Closed(150), 400, 112),
            ("closed later than that: known already", Closed(300), 401, 112),
            ("for a minute the origin is believed", Alive(112), 1000, 112),
            ("alive again", Alive(112), 1001, 140),
            ("closed at once", Closed(0), 1010, 10),
            ("it grows from the floor", Alive(8), 1610, 12),
            ("step by step", Alive(12), 1622, 15),
        ];
        let mut limit = IdleLimit::default();
        for (name, event, now, expected) in story {
            match event {
                Closed(idle) => limit.closed_after(idle, now),
                Alive(idle) => limit.alive_after(idle, now),
            }
            assert_eq!(limit.ticks(), expected, "{name}");
        }
    }

    #[test]
    fn it_stays_between_its_bounds() {
        let mut limit = IdleLimit::default();
        let mut now = 0;
        for _ in 0..100 {
            now += limit.ticks();
            limit.alive_after(u32::MAX, now);
        }
        assert_eq!(limit.ticks(), 1200);
        limit.closed_after(u32::MAX, now);
        assert_eq!(limit.ticks(), 1200);
        limit.closed_after(3, now);
        assert_eq!(limit.ticks(), 10);
    }
}
