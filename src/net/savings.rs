//! What connecting costs at one origin, and what its kept connections save. Pure.

/// The account of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Savings {
    /// A moving average over about [`WINDOW`] connections; 0 until there was one.
    mean_micros: u64,
    /// Reuses that turned out to have saved nothing.
    void: u32,
}

const WINDOW: u64 = 8;

impl Savings {
    /// A connection was opened, for whatever purpose, and that took so long.
    pub fn opened(&mut self, micros: u64) {
        self.mean_micros = match self.mean_micros {
            0 => micros,
            mean => mean - mean / WINDOW + micros / WINDOW,
        };
    }

    /// A request got a connection that was open already; gives what that saved it.
    pub fn reused(&mut self) -> u64 {
        if self.void > 0 {
            self.void -= 1;
            return 0;
        }
        self.mean_micros
    }

    /// A connection that counted as a saving was dead. What was counted stays counted, for the sum must only grow: the
    /// next one's saving is left out instead.
    pub fn failed(&mut self) {
        self.void = self.void.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reuse_saves_is_what_connecting_costs_of_late() {
        let mut savings = Savings::default();
        assert_eq!(savings.reused(), 0, "nothing is known yet");
        savings.opened(800);
        assert_eq!(savings.reused(), 800);
        savings.opened(1600);
        assert_eq!(savings.reused(), 900);
        (0..100).for_each(|_| savings.opened(80));
        assert!((80..90).contains(&savings.reused()));
        savings.opened(u64::MAX);
        assert!(savings.reused() > 0);
    }

    #[test]
    fn a_reuse_that_failed_is_taken_back_from_the_next() {
        let mut savings = Savings::default();
        savings.opened(500);
        let mut sum = savings.reused();
        savings.failed();
        savings.failed();
        sum += savings.reused() + savings.reused() + savings.reused();
        assert_eq!(sum, 1000, "two of four were good");
    }
}
