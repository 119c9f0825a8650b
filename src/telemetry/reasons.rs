//! Refusals by reason: a small table that grows with the reasons that occur.

use std::sync::{Mutex, PoisonError};

use crate::fault::Who;

/// How often a worker refused something, and why. A refusal is rare and writes a whole answer: a lock that only a
/// scrape ever contends for is nothing beside that.
#[derive(Debug, Default)]
pub struct Reasons(Mutex<Vec<Reason>>);

/// One reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Log name of the reason. Being `'static`, reasons are as many as the program's text has, whatever clients send.
    pub reason: &'static str,
    /// Whose doing.
    pub who: Who,
    /// How often.
    pub count: u64,
}

impl Reasons {
    /// Counts one refusal.
    pub fn add(&self, reason: &'static str, who: Who) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.iter_mut().find(|known| known.reason == reason && known.who == who) {
            Some(known) => known.count += 1,
            None => known.push(Reason { reason, who, count: 1 }),
        }
    }

    /// Every reason so far, the oldest first.
    pub fn rows(&self) -> Vec<Reason> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_apart_by_name_and_by_who() {
        let reasons = Reasons::default();
        for (reason, who) in [("full", Who::Us), ("not-found", Who::Client), ("full", Who::Us), ("full", Who::Upstream)]
        {
            reasons.add(reason, who);
        }
        let rows: Vec<_> = reasons.rows().iter().map(|row| (row.reason, row.who, row.count)).collect();
        assert_eq!(rows, [("full", Who::Us, 2), ("not-found", Who::Client, 1), ("full", Who::Upstream, 1)]);
    }
}
