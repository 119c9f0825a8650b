//! When idle connections are looked at: soon after a request, and ever more rarely while none comes. Pure; time is counted in
//! ticks.

use crate::limits;

const FIRST: u32 = limits::ticks(limits::UPSTREAM_LOOK);

/// The plan of one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looks {
    last: u32,
    /// How many ticks later the next one is.
    pause: u32,
}

impl Default for Looks {
    fn default() -> Self {
        Self { last: 0, pause: FIRST }
    }
}

impl Looks {
    /// A request came.
    pub fn used(&mut self) {
        self.pause = FIRST;
    }

    /// The tick of the next look.
    pub fn due(&self) -> u32 {
        self.last.saturating_add(self.pause)
    }

    /// Whether it is time for a look, which is then had.
    pub fn take(&mut self, now: u32) -> bool {
        let is_due = now >= self.due();
        if is_due {
            (self.last, self.pause) = (now, self.pause.saturating_add(self.pause / 2));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_become_rarer_until_a_request_comes() {
        let mut looks = Looks::default();
        let at =
            |looks: &mut Looks, ticks: std::ops::Range<u32>| ticks.filter(|now| looks.take(*now)).collect::<Vec<_>>();
        assert_eq!(at(&mut looks, 0..200), [10, 25, 47, 80, 129]);
        assert_eq!(looks.due(), 129 + 73);
        looks.used();
        assert_eq!(looks.due(), 139, "one is overdue at once");
        assert_eq!(at(&mut looks, 200..230), [200, 215]);
    }
}
