//! What all workers know of one provider: its breaker, its retry budget, its keys with their limits, the models it lacks.
//!
//! Each is one number that is read as it stands and changed by compare-and-swap: no lock, no waiting. What a change means
//! is in the pure modules ([`super::breaker`], [`super::budget`], [`super::key`], [`super::rate`]); here they are only
//! kept. Times are milliseconds since the process began.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::breaker::{Breaker, Gate};
use super::budget::Budget;
use super::course::Outlook;
use super::key::Key;
use super::rate::Rate;
use super::verdict::{Blame, KeyFault, Verdict};

/// See the module.
#[derive(Debug, Default)]
pub struct Health {
    breaker: AtomicU64,
    budget: AtomicU64,
    /// One at least: a provider without keys has its limits too.
    keys: Vec<KeyHealth>,
    limits: Limits,
    has_breaker: bool,
    /// Models that were missing: the upper bits of a name's hash, and until when that counts.
    missing: [AtomicU64; MISSING_MAX],
}

/// What each key of a provider may be used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests a minute.
    pub requests: Option<u64>,
    /// Tokens a minute, of input and output together.
    pub tokens: Option<u64>,
}

#[derive(Debug, Default)]
struct KeyHealth {
    state: AtomicU64,
    /// When the next request and the next token are due, in microseconds: see [`Rate`].
    requests_due: AtomicU64,
    tokens_due: AtomicU64,
}

/// Models of one provider that are known to be missing; more overwrite each other.
const MISSING_MAX: usize = 16;
/// A model that was missing is asked for again after so long.
const MISSING_MS: u64 = 60_000;
/// 40 bits of milliseconds, the rest is the hash's.
const TIME_BITS: u32 = 40;

/// What a request means to its provider's limits and models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// A hash of the model's name.
    pub model: u64,
    /// Tokens it is expected to cost.
    pub tokens: u64,
}

impl Health {
    /// Nothing known yet, of a provider with so many keys. Without a breaker it is never passed over for its failures.
    pub fn new(keys: usize, limits: Limits, has_breaker: bool) -> Self {
        let keys = (0..keys.max(1)).map(|_| KeyHealth::default()).collect();
        Self { keys, limits, has_breaker, ..Self::default() }
    }

    /// How it looks for a request now.
    pub fn outlook(&self, demand: Demand, now: u64) -> Outlook {
        match Breaker::from_bits(self.breaker.load(Relaxed)).look(now) {
            Gate::Open(_) => return Outlook::Bad,
            Gate::Closed | Gate::Probe => {}
        }
        if self.is_missing(demand.model, now) {
            return Outlook::Bad;
        }
        let best = self.keys.iter().map(|key| self.key_outlook(key, demand, now)).min_by_key(|look| rank(*look));
        best.unwrap_or(Outlook::Fair)
    }

    /// A request goes there now: the key that it uses, the best one from number `turn` on. Its share of the limits is taken,
    /// and a breaker that waits for a probe has it. `again`: it was there before; `None` if the retry budget is spent.
    pub fn enter(&self, demand: Demand, turn: usize, again: bool, now: u64) -> Option<usize> {
        match again {
            true => self.budget_taken(now)?,
            false => change(&self.budget, |bits| Budget::from_bits(bits).paid_in(now).to_bits()),
        }
        let breaker = Breaker::from_bits(self.breaker.load(Relaxed));
        if breaker.look(now) == Gate::Probe {
            change(&self.breaker, |bits| Breaker::from_bits(bits).enter(now).to_bits());
        }
        let count = self.keys.len();
        let in_turn = (0..count).map(|step| (turn + step) % count.max(1));
        let outlook = |number: &usize| self.keys.get(*number).map(|key| rank(self.key_outlook(key, demand, now)));
        let number = in_turn.min_by_key(outlook).unwrap_or(0);
        if let Some(key) = self.keys.get(number) {
            let micros = now * 1_000;
            if let Some(rate) = self.limits.requests.map(Rate::per_minute) {
                change(&key.requests_due, |due| rate.taken(due, 1, micros));
            }
            if let Some(rate) = self.limits.tokens.map(Rate::per_minute) {
                change(&key.tokens_due, |due| rate.taken(due, demand.tokens, micros));
            }
        }
        Some(number)
    }

    /// Tokens that a request used beyond what was expected of it.
    pub fn used_more(&self, key: usize, tokens: u64, now: u64) {
        if let (Some(rate), Some(key)) = (self.limits.tokens.map(Rate::per_minute), self.keys.get(key)) {
            change(&key.tokens_due, |due| rate.taken(due, tokens, now * 1_000));
        }
    }

    /// A try with key number `key` ended. `rest` is how long the upstream asked to be left alone.
    pub fn report(&self, key: usize, demand: Demand, verdict: Verdict, rest: Option<u64>, now: u64) {
        match verdict.blame {
            Blame::Upstream | Blame::Path => self.heard(false, now),
            // It works, whatever it thinks of the request.
            Blame::Client => self.heard(true, now),
            Blame::Nobody => {
                self.heard(true, now);
                self.key_worked(key, now);
            }
            // Neither it nor its keys are passed over.
            Blame::Key(_) if !self.has_breaker => {}
            // For how long is not known, and there is no other key: a rest would only make everybody wait for a guess.
            Blame::Key(KeyFault::Limited) if rest.is_none() && self.keys.len() == 1 => self.heard(true, now),
            Blame::Key(fault) => {
                self.heard(true, now);
                if let Some(key) = self.keys.get(key) {
                    change(&key.state, |bits| Key::from_bits(bits).faulted(fault, rest, now).to_bits());
                }
            }
            Blame::Model => {
                self.heard(true, now);
                if let Some(slot) = self.missing.get(demand.model as usize % MISSING_MAX) {
                    slot.store(demand.model >> TIME_BITS << TIME_BITS | (now + MISSING_MS), Relaxed);
                }
            }
        }
    }

    /// Whether a key other than `key` is in use.
    pub fn has_other_key(&self, key: usize, now: u64) -> bool {
        let in_use = |one: &KeyHealth| Key::from_bits(one.state.load(Relaxed)).benched(now).is_none();
        self.keys.iter().enumerate().any(|(number, one)| number != key && in_use(one))
    }

    /// How many keys are benched.
    pub fn keys_benched(&self, now: u64) -> usize {
        self.keys.iter().filter(|key| Key::from_bits(key.state.load(Relaxed)).benched(now).is_some()).count()
    }

    /// `closed`, `open` or `half-open`.
    pub fn breaker(&self, now: u64) -> &'static str {
        match Breaker::from_bits(self.breaker.load(Relaxed)).look(now) {
            Gate::Closed => "closed",
            Gate::Probe => "half-open",
            Gate::Open(_) => "open",
        }
    }

    fn key_outlook(&self, key: &KeyHealth, demand: Demand, now: u64) -> Outlook {
        let benched = Key::from_bits(key.state.load(Relaxed)).benched(now);
        if let Some((_, KeyFault::Refused | KeyFault::Spent)) = benched {
            return Outlook::Bad;
        }
        let due = |rate: Option<u64>, due: &AtomicU64, units| {
            let rate = rate.map(Rate::per_minute)?;
            Some(rate.ready_at(due.load(Relaxed), units, now * 1_000).div_ceil(1_000))
        };
        let requests = due(self.limits.requests, &key.requests_due, 1);
        let tokens = due(self.limits.tokens, &key.tokens_due, demand.tokens);
        match (requests.max(tokens).filter(|due| *due > now), benched) {
            (Some(due), benched) => Outlook::Limited(due.max(benched.map_or(0, |(until, _)| until))),
            (None, Some((until, _))) => Outlook::Cooling(until),
            (None, None) => Outlook::Fair,
        }
    }

    fn heard(&self, is_success: bool, now: u64) {
        if !self.has_breaker {
            return;
        }
        change(&self.breaker, |bits| Breaker::from_bits(bits).report(is_success, now).to_bits());
    }

    fn key_worked(&self, key: usize, now: u64) {
        if let Some(key) = self.keys.get(key).filter(|key| key.state.load(Relaxed) != 0) {
            change(&key.state, |bits| Key::from_bits(bits).worked(now).to_bits());
        }
    }

    fn budget_taken(&self, now: u64) -> Option<()> {
        let take = |bits| Budget::from_bits(bits).taken(now).map(Budget::to_bits);
        self.budget.fetch_update(Relaxed, Relaxed, take).ok().map(drop)
    }

    fn is_missing(&self, model: u64, now: u64) -> bool {
        let slot = self.missing.get(model as usize % MISSING_MAX).map_or(0, |slot| slot.load(Relaxed));
        slot >> TIME_BITS == model >> TIME_BITS && slot & ((1 << TIME_BITS) - 1) > now
    }
}

/// The better, the smaller.
fn rank(outlook: Outlook) -> (u8, u64) {
    match outlook {
        Outlook::Fair => (0, 0),
        Outlook::Limited(until) | Outlook::Cooling(until) => (1, until),
        Outlook::Bad => (2, 0),
    }
}

fn change(cell: &AtomicU64, step: impl Fn(u64) -> u64) {
    // It always gives a number, so that it cannot fail.
    let _ = cell.fetch_update(Relaxed, Relaxed, |bits| Some(step(bits)));
}

#[cfg(test)]
mod tests {
    use super::super::breaker::{FAILURES_MIN, REST_MIN_MS};
    use super::super::verdict::Retry;
    use super::*;

    const MODEL: Demand = Demand { model: 0xABCD_EF01_2345_6789, tokens: 10 };

    fn verdict(blame: Blame) -> Verdict {
        Verdict { blame, retry: Retry::Never }
    }

    fn blamed(health: &Health, blame: Blame, times: u64) {
        (0..times).for_each(|_| health.report(0, MODEL, verdict(blame), None, 0));
    }

    #[test]
    fn only_what_the_upstream_or_the_way_to_it_did_opens_the_breaker() {
        for (blame, open) in [
            (Blame::Upstream, true),
            (Blame::Path, true),
            (Blame::Client, false),
            (Blame::Nobody, false),
            (Blame::Model, false),
            (Blame::Key(KeyFault::Limited), false),
            (Blame::Key(KeyFault::Refused), false),
        ] {
            let health = Health::new(1, Limits::default(), true);
            blamed(&health, blame, 10 * FAILURES_MIN);
            assert_eq!(health.breaker(0), if open { "open" } else { "closed" }, "{blame:?}");
        }
    }

    #[test]
    fn without_a_breaker_nothing_opens() {
        let health = Health::new(1, Limits::default(), false);
        blamed(&health, Blame::Upstream, 100);
        blamed(&health, Blame::Key(KeyFault::Refused), 1);
        assert_eq!((health.outlook(MODEL, 0), health.breaker(0)), (Outlook::Fair, "closed"));
    }

    #[test]
    fn one_request_probes() {
        let health = Health::new(1, Limits::default(), true);
        blamed(&health, Blame::Upstream, FAILURES_MIN);
        assert_eq!(health.outlook(MODEL, REST_MIN_MS - 1), Outlook::Bad);
        assert_eq!((health.outlook(MODEL, REST_MIN_MS), health.breaker(REST_MIN_MS)), (Outlook::Fair, "half-open"));
        health.enter(MODEL, 0, false, REST_MIN_MS);
        assert_eq!(health.outlook(MODEL, REST_MIN_MS), Outlook::Bad);
        health.report(0, MODEL, verdict(Blame::Nobody), None, REST_MIN_MS);
        assert_eq!(health.outlook(MODEL, REST_MIN_MS), Outlook::Fair);
    }

    #[test]
    fn a_missing_model_is_missing_alone() {
        let health = Health::new(1, Limits::default(), true);
        blamed(&health, Blame::Model, 1);
        assert_eq!(health.outlook(MODEL, MISSING_MS - 1), Outlook::Bad);
        assert_eq!(health.outlook(MODEL, MISSING_MS), Outlook::Fair);
        let other = Demand { model: MODEL.model ^ 1 << 63, ..MODEL };
        assert_eq!(health.outlook(other, 0), Outlook::Fair);
    }

    #[test]
    fn keys_are_spread_and_benched_one_by_one() {
        let health = Health::new(3, Limits::default(), true);
        let used =
            |from: usize| (from..from + 3).map(|turn| health.enter(MODEL, turn, false, 0).unwrap()).collect::<Vec<_>>();
        assert_eq!(used(0), [0, 1, 2]);
        health.report(1, MODEL, verdict(Blame::Key(KeyFault::Refused)), None, 0);
        assert_eq!(used(0), [0, 2, 2]);
        assert!(health.has_other_key(1, 0));
        health.report(2, MODEL, verdict(Blame::Key(KeyFault::Limited)), Some(5_000), 0);
        assert_eq!(used(0), [0, 0, 0]);
        health.report(0, MODEL, verdict(Blame::Key(KeyFault::Limited)), Some(9_000), 0);
        assert_eq!(health.outlook(MODEL, 0), Outlook::Cooling(5_000));
        assert_eq!((used(0), health.keys_benched(0)), (vec![2, 2, 2], 3));
        health.report(2, MODEL, verdict(Blame::Nobody), None, 5_000);
        assert_eq!(health.outlook(MODEL, 5_000), Outlook::Fair);
    }

    #[test]
    fn an_only_key_rests_for_as_long_as_it_is_told_and_never_for_a_guess() {
        let health = Health::new(1, Limits::default(), true);
        let limited = verdict(Blame::Key(KeyFault::Limited));
        health.report(0, MODEL, limited, None, 0);
        assert_eq!(health.outlook(MODEL, 0), Outlook::Fair);
        health.report(0, MODEL, limited, Some(5_000), 0);
        assert_eq!(health.outlook(MODEL, 0), Outlook::Cooling(5_000));
    }

    #[test]
    fn each_key_has_its_limits() {
        let limits = Limits { requests: Some(10), tokens: None };
        let health = Health::new(2, limits, true);
        let used: Vec<_> = (0..2).map(|_| health.enter(MODEL, 0, false, 0).unwrap()).collect();
        assert_eq!(used, [0, 1]);
        let Outlook::Limited(until) = health.outlook(MODEL, 0) else { panic!() };
        assert_eq!(until / 100, 66);
        assert_eq!(health.outlook(MODEL, until), Outlook::Fair);
    }

    #[test]
    fn tokens_are_limited_too() {
        let health = Health::new(1, Limits { requests: None, tokens: Some(6_000) }, true);
        health.enter(Demand { tokens: 600, ..MODEL }, 0, false, 0);
        assert!(matches!(health.outlook(MODEL, 0), Outlook::Limited(_)));
        health.used_more(0, 5_400, 0);
        let Outlook::Limited(until) = health.outlook(MODEL, 0) else { panic!() };
        assert!((60_000..70_000).contains(&until), "{until}");
    }

    #[test]
    fn retries_are_paid_for() {
        let health = Health::new(1, Limits::default(), true);
        let entered = (0..100).filter(|_| health.enter(MODEL, 0, true, 0).is_some()).count();
        assert_eq!(entered, 20);
        for _ in 0..2 {
            let _ = health.enter(MODEL, 0, false, 0);
        }
        assert!(health.enter(MODEL, 0, true, 0).is_some() && health.enter(MODEL, 0, true, 0).is_none());
    }
}
