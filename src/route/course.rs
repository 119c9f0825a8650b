//! The course of one request: which candidate is tried next, and when, until one answers or nothing is left to try.
//!
//! The rules, in short:
//!
//! - A short trouble (a connection that ends, a 500) is tried again at the same candidate, after a pause with full jitter.
//! - One that takes longer (overloaded, limited, nobody listens) is better tried at another candidate at once; at the same
//!   one when it has recovered, as the upstream says or after a pause. At the same moment the one that was tried less often
//!   comes first.
//! - What another try there cannot mend (a refused key, a missing model) is tried elsewhere only.
//! - A candidate that its health speaks against is tried after the others, and only once: alone it is still better than
//!   nothing, and to ask it takes less time than a long wait for the others.
//! - Nothing is tried that would begin after the deadline, nor more often than allowed in all and for each provider.
//!
//! Times are milliseconds since the process began.

use super::verdict::Retry;

/// See the module.
#[derive(Debug, Default)]
pub struct Course {
    legs: Vec<Leg>,
    /// Tries left in all.
    left: u32,
    /// No try begins later.
    until: u64,
    /// How much longer it may wait, over all pauses.
    patience: u64,
    /// Where a short trouble is tried again, before any other.
    stay: Option<usize>,
}

/// One candidate.
#[derive(Clone, Copy, Debug)]
struct Leg {
    /// Whose it is: candidates of one provider share its extra tries.
    provider: usize,
    /// Further tries of this provider; counted at its first candidate.
    extra: u32,
    tried: u32,
    not_before: u64,
    /// Another try here cannot help.
    done: bool,
}

/// What health and limits say about a candidate now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Nothing speaks against it.
    Fair,
    /// It was limited by its upstream until then: better not before.
    Cooling(u64),
    /// Our own limit has no room before then: not before.
    Limited(u64),
    /// Its breaker is open, its keys are refused, its model is missing.
    Bad,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Try this candidate, at this time or, if that has passed, now. `again`: the request was at this provider before.
    Go {
        /// Its place among the candidates.
        place: usize,
        /// When.
        at: u64,
        /// A retry in the sense of the provider's budget.
        again: bool,
    },
    /// Nothing is left to try; if that is for a limit's sake, until when.
    Over {
        /// When the earliest limit has room.
        limited_until: Option<u64>,
    },
}

/// A pause's upper end after the first failure; doubled each time.
pub const PAUSE_MIN_MS: u64 = 500;
/// The longest pause's upper end.
pub const PAUSE_MAX_MS: u64 = 8_000;
/// No request waits longer, over all its pauses: the official SDKs' bound for one `retry-after`.
pub const WAIT_MAX_MS: u64 = 60_000;

impl Course {
    /// Begins. `candidates` gives each one's provider and how often that may be tried beyond the first time; `tries` is the
    /// bound over all, at least 1; no try begins after `until`.
    pub fn begin(&mut self, candidates: impl Iterator<Item = (usize, u32)>, tries: u32, until: Option<u64>) {
        let leg = |(provider, extra)| Leg { provider, extra, tried: 0, not_before: 0, done: false };
        self.legs.clear();
        self.legs.extend(candidates.map(leg));
        self.left = tries.max(1);
        self.until = until.unwrap_or(u64::MAX);
        self.patience = WAIT_MAX_MS;
        self.stay = None;
    }

    /// The next try. `outlook` tells of the candidate at a place.
    pub fn next(&self, now: u64, outlook: impl Fn(usize) -> Outlook) -> Step {
        let over = Step::Over { limited_until: None };
        if self.left == 0 {
            return over;
        }
        let wait_max = self.until.min(now.saturating_add(self.patience));
        let (mut worst, mut limited): (Option<usize>, Option<u64>) = (None, None);
        // When, how often it was tried, and its place: a pause of nothing is no reason to pass over who was not asked yet.
        let mut best: Option<(u64, u32, usize)> = None;
        let mut bad = None;
        for (place, leg) in self.legs.iter().enumerate() {
            if !self.is_usable(leg) {
                continue;
            }
            let (at, asked_anyway) = match outlook(place) {
                Outlook::Fair => (leg.not_before, true),
                Outlook::Cooling(until) => (leg.not_before.max(until), true),
                Outlook::Limited(until) => {
                    limited = Some(limited.map_or(until, |known| known.min(until)));
                    (leg.not_before.max(until), false)
                }
                Outlook::Bad => {
                    bad = bad.or((leg.tried == 0).then_some(place));
                    (u64::MAX, true)
                }
            };
            let at = at.max(now);
            if at > wait_max {
                // Asked after all others, once: its answer is more than none.
                worst = worst.or((asked_anyway && leg.tried == 0).then_some(place));
            } else if self.stay == Some(place) {
                return self.go(place, at);
            } else if best.is_none_or(|(known, tried, _)| (at, leg.tried) < (known, tried)) {
                best = Some((at, leg.tried, place));
            }
        }
        match (best, worst) {
            (Some((at, _, place)), _) => match bad {
                Some(bad) if at > now.saturating_add(PAUSE_MAX_MS) => self.go(bad, now),
                _ => self.go(place, at),
            },
            (None, Some(place)) if now <= self.until => self.go(place, now),
            _ => Step::Over { limited_until: limited },
        }
    }

    /// A candidate that was not tried yet and may be tried beside the one at `place`: the first that is fair. And whether the
    /// request was at its provider before, as in [`Step::Go`].
    pub fn beside(&self, place: usize, is_fair: impl Fn(usize) -> bool) -> Option<(usize, bool)> {
        let may = |(other, leg): &(usize, &Leg)| *other != place && !leg.done && leg.tried == 0 && is_fair(*other);
        self.legs
            .iter()
            .enumerate()
            .filter(|_| self.left > 0)
            .find(may)
            .map(|(other, leg)| (other, self.was_at(leg.provider)))
    }

    /// Whether another try could follow if the one that has begun fails.
    pub fn may_go_on(&self) -> bool {
        self.left > 0 && self.legs.iter().any(|leg| self.is_usable(leg))
    }

    /// The request waited.
    pub fn waited(&mut self, millis: u64) {
        self.patience = self.patience.saturating_sub(millis);
    }

    /// A try begins.
    pub fn began(&mut self, place: usize) {
        let Some(provider) = self.legs.get(place).map(|leg| leg.provider) else { return };
        let again = self.was_at(provider);
        self.left = self.left.saturating_sub(1);
        // A first try of another model is none too many, but it is one of the provider's all the same.
        if again && let Some(first) = self.legs.iter_mut().find(|leg| leg.provider == provider) {
            first.extra = first.extra.saturating_sub(1);
        }
        if let Some(leg) = self.legs.get_mut(place) {
            leg.tried += 1;
        }
    }

    /// The try at `place` came to nothing. `rest` is how long the upstream asked to be left alone, `other_key` that it has
    /// another key to use, `random` any number.
    pub fn failed(&mut self, place: usize, retry: Retry, rest: Option<u64>, other_key: bool, now: u64, random: u64) {
        self.stay = None;
        let Some(leg) = self.legs.get_mut(place) else { return };
        let pause = rest.unwrap_or_else(|| pause(leg.tried, random));
        match retry {
            Retry::Never => self.left = 0,
            Retry::Elsewhere => leg.done = true,
            Retry::OtherKey if !other_key => leg.done = true,
            Retry::OtherKey => self.stay = Some(place),
            Retry::Again => {
                leg.not_before = now.saturating_add(pause);
                // Where the upstream says that it takes longer, the trouble is no short one.
                self.stay = rest.is_none_or(|rest| rest <= PAUSE_MIN_MS).then_some(place);
            }
            Retry::Later if other_key => self.stay = Some(place),
            Retry::Later => leg.not_before = now.saturating_add(pause),
        }
    }

    /// A try that was to be did not begin: nothing was sent. The candidate is left out from now on.
    pub fn left_out(&mut self, place: usize) {
        if let Some(leg) = self.legs.get_mut(place) {
            leg.done = true;
        }
        self.stay = self.stay.filter(|stay| *stay != place);
    }

    fn go(&self, place: usize, at: u64) -> Step {
        let again = self.legs.get(place).is_some_and(|leg| self.was_at(leg.provider));
        Step::Go { place, at, again }
    }

    fn is_usable(&self, leg: &Leg) -> bool {
        !leg.done && (leg.tried == 0 || self.extra_of(leg.provider) > 0)
    }

    fn was_at(&self, provider: usize) -> bool {
        self.legs.iter().any(|leg| leg.provider == provider && leg.tried > 0)
    }

    fn extra_of(&self, provider: usize) -> u32 {
        self.legs.iter().find(|leg| leg.provider == provider).map_or(0, |leg| leg.extra)
    }
}

/// Exponential back-off with full jitter: anything up to an upper end that doubles with each try.
fn pause(tried: u32, random: u64) -> u64 {
    let end = (PAUSE_MIN_MS << tried.saturating_sub(1).min(16)).min(PAUSE_MAX_MS);
    random % (end + 1)
}

#[cfg(test)]
mod tests;
