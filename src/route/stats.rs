//! How candidates did lately, for strategies that choose by it: time to the first token, success, and when that was.
//!
//! A fixed table that workers share: a candidate's place is its hash; two that meet there share a line, which makes a choice
//! worse and nothing wrong. A line is three numbers, read and written without a lock; a report that is lost to another at the
//! same moment is one of many.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// See the module.
#[derive(Debug)]
pub struct Stats {
    lines: Box<[Line]>,
}

#[derive(Debug, Default)]
struct Line {
    /// Moving averages as f32: time to the first token in milliseconds in the upper half, success in the lower.
    averages: AtomicU64,
    /// What 95 % of those times are below, in milliseconds, as f64.
    p95: AtomicU64,
    /// When it last answered, in milliseconds since the process began; 0 for never.
    answered_at: AtomicU64,
}

/// What is known of a candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// Moving average of the time to the first token, in milliseconds; `None` if it never answered, or not for long.
    pub first_token_ms: Option<f32>,
    /// What 95 % of those times are below.
    pub p95_ms: Option<f64>,
    /// Moving average: 1 if all tries succeed.
    pub success: f32,
    /// Milliseconds since it last answered.
    pub idle_ms: Option<u64>,
}

const LINES: usize = 256;
/// What one report changes (seed 004's).
const WEIGHT: f32 = 0.1;
/// What was measured longer ago says nothing about now: such a candidate is tried again to find out.
pub const FORGOTTEN_MS: u64 = 300_000;

impl Default for Stats {
    fn default() -> Self {
        Self { lines: (0..LINES).map(|_| Line::default()).collect() }
    }
}

impl Stats {
    /// What is known of the candidate with this hash.
    pub fn seen(&self, candidate: u64, now: u64) -> Seen {
        let line = self.line(candidate);
        let answered_at = line.answered_at.load(Relaxed);
        let (time, failing) = halves(line.averages.load(Relaxed));
        let idle_ms = (answered_at > 0).then(|| now.saturating_sub(answered_at));
        let is_known = idle_ms.is_some_and(|idle| idle < FORGOTTEN_MS);
        Seen {
            first_token_ms: is_known.then_some(time),
            p95_ms: is_known.then(|| f64::from_bits(line.p95.load(Relaxed))),
            success: 1.0 - failing,
            idle_ms,
        }
    }

    /// It answered, or its stream began, so long after it was asked.
    pub fn answered(&self, candidate: u64, first_token_ms: f32, now: u64) {
        let line = self.line(candidate);
        let known = self.seen(candidate, now).first_token_ms;
        let (time, failing) = halves(line.averages.load(Relaxed));
        let time = known.map_or(first_token_ms, |_| time + WEIGHT * (first_token_ms - time));
        line.averages.store(joined(time, failing - WEIGHT * failing), Relaxed);
        let p95 = known.map_or(f64::from(first_token_ms) * 2.0, |_| {
            // Stochastic approximation of a quantile: 19 small steps down balance one large step up.
            let (p95, step) = (f64::from_bits(line.p95.load(Relaxed)), f64::from(time) * 0.02);
            if f64::from(first_token_ms) > p95 { p95 + 19.0 * step } else { (p95 - step).max(0.0) }
        });
        line.p95.store(p95.to_bits(), Relaxed);
        line.answered_at.store(now.max(1), Relaxed);
    }

    /// It failed.
    pub fn failed(&self, candidate: u64) {
        let line = self.line(candidate);
        let (time, failing) = halves(line.averages.load(Relaxed));
        line.averages.store(joined(time, failing + WEIGHT * (1.0 - failing)), Relaxed);
    }

    #[allow(clippy::indexing_slicing, reason = "there are LINES of them")]
    fn line(&self, candidate: u64) -> &Line {
        &self.lines[candidate as usize % LINES]
    }
}

fn halves(bits: u64) -> (f32, f32) {
    (f32::from_bits((bits >> 32) as u32), f32::from_bits(bits as u32))
}

fn joined(upper: f32, lower: f32) -> u64 {
    u64::from(upper.to_bits()) << 32 | u64::from(lower.to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_follow_what_happens() {
        let stats = Stats::default();
        assert_eq!(stats.seen(7, 5), Seen { success: 1.0, ..Seen::default() });
        stats.answered(7, 100.0, 1_000);
        assert_eq!(stats.seen(7, 1_500).first_token_ms, Some(100.0));
        assert_eq!(stats.seen(7, 1_500).idle_ms, Some(500));
        (0..100).for_each(|_| stats.answered(7, 300.0, 2_000));
        let seen = stats.seen(7, 2_000);
        assert!((seen.first_token_ms.unwrap() - 300.0).abs() < 1.0, "{seen:?}");
        (0..3).for_each(|_| stats.failed(7));
        assert!((stats.seen(7, 2_000).success - 0.729).abs() < 0.001);
        assert_eq!(stats.seen(8, 2_000), Seen { success: 1.0, ..Seen::default() });
    }

    #[test]
    fn the_quantile_is_near() {
        let stats = Stats::default();
        // 1 to 1000 in an order that has no order.
        (0..50_000_u64).for_each(|number| stats.answered(1, ((number * 7_919) % 1_000 + 1) as f32, number + 1));
        let p95 = stats.seen(1, 50_000).p95_ms.unwrap();
        assert!((800.0..=1_150.0).contains(&p95), "{p95}");
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let stats = Stats::default();
        stats.answered(1, 100.0, 1);
        assert_eq!(stats.seen(1, FORGOTTEN_MS).first_token_ms, Some(100.0));
        assert_eq!(stats.seen(1, FORGOTTEN_MS + 1).first_token_ms, None);
        stats.answered(1, 900.0, FORGOTTEN_MS + 1);
        assert_eq!(stats.seen(1, FORGOTTEN_MS + 1).first_token_ms, Some(900.0));
    }
}
