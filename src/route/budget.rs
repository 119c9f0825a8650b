//! The retry budget of one provider: what is sent to it again is bounded by what is sent to it at all, so that retries
//! never double the load of an upstream that struggles.
//!
//! Every request that comes to a provider pays [`DEPOSIT`] in, every further try of it there costs [`TRY`]; what is saved
//! up is bounded, and a little comes back with time, so that somebody who asks once a minute has his retries too. The
//! state is one number, as the [`super::breaker::Breaker`]'s.

/// A state: thousandths of a try in the lower bits, the time of the last refill above. The default is a full budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget(u64);

/// What one try more costs.
pub const TRY: u64 = 1_000;
/// What a request pays in: half a try.
pub const DEPOSIT: u64 = TRY / 2;
/// What can be saved up: twenty tries.
pub const SAVED_MAX: u64 = 20 * TRY;
/// One try comes back in so long.
pub const REFILL_MS: u64 = 10_000;

const AMOUNT_BITS: u32 = 24;

impl Budget {
    /// As it is stored.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// To be stored.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// A request comes to the provider.
    pub fn paid_in(self, now: u64) -> Self {
        let spent = self.spent(now);
        Self::of(spent.saturating_sub(DEPOSIT), now)
    }

    /// One try more; `None` if there is nothing left for it.
    pub fn taken(self, now: u64) -> Option<Self> {
        let spent = self.spent(now) + TRY;
        (spent <= SAVED_MAX).then(|| Self::of(spent, now))
    }

    /// What is missing to a full budget.
    fn spent(self, now: u64) -> u64 {
        let (spent, at) = (self.0 & ((1 << AMOUNT_BITS) - 1), self.0 >> AMOUNT_BITS);
        spent.saturating_sub(now.saturating_sub(at) * TRY / REFILL_MS)
    }

    fn of(spent: u64, now: u64) -> Self {
        Self(now << AMOUNT_BITS | spent)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_budget_has_twenty_tries_and_a_request_pays_for_half_of_one() {
        let mut budget = Budget::default();
        for _ in 0..20 {
            budget = budget.taken(0).unwrap();
        }
        assert_eq!(budget.taken(0), None);
        assert_eq!(budget.paid_in(0).taken(0), None);
        assert!(budget.paid_in(0).paid_in(0).taken(0).is_some());
        assert_eq!(budget.taken(REFILL_MS - 1), None);
        assert!(budget.taken(REFILL_MS).is_some());
    }

    #[test]
    fn it_never_holds_more_than_it_can() {
        let rich = (0..1_000).fold(Budget::default(), |budget, now| budget.paid_in(now));
        let poor = (0..20).fold(rich, |budget, _| budget.taken(1_000).unwrap());
        assert_eq!(poor.taken(1_000), None);
    }

    proptest! {
        /// Whatever happens in whatever order: tries beyond the first ≤ half of the requests + what was saved + time.
        #[test]
        fn the_bound_holds(events in prop::collection::vec((any::<bool>(), 0_u64..3_000), 0..600)) {
            let (mut budget, mut now, mut requests, mut again) = (Budget::default(), 0, 0, 0);
            for (is_request, pause) in events {
                now += pause;
                if is_request {
                    (budget, requests) = (budget.paid_in(now), requests + 1);
                } else if let Some(left) = budget.taken(now) {
                    (budget, again) = (left, again + 1);
                }
                prop_assert!(again * TRY <= SAVED_MAX + requests * DEPOSIT + now * TRY / REFILL_MS);
            }
        }
    }
}
