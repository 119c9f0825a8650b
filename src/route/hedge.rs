//! How many requests may be sent to a second candidate beside the first: a percentage of all, so that hedging never becomes
//! the load that makes upstreams slow (Dean and Barroso, The Tail at Scale, 2013).

/// What was saved up, in hundredths of a second copy; the default has nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance(u64);

/// What one second copy costs.
const COPY: u64 = 100;
/// What can be saved up: a quiet hour must not pay for a storm.
const SAVED_MAX: u64 = 5 * COPY;
/// A wait shorter than this is no wait: two copies of what is quick anyway.
pub const WAIT_MIN_MS: f64 = 20.0;

impl Allowance {
    /// As it is stored.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// To be stored.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// A request came, of which so many per cent may have a second copy.
    pub fn paid_in(self, percent: u64) -> Self {
        Self((self.0 + percent).min(SAVED_MAX))
    }

    /// A second copy goes out; `None` if nothing is left for it.
    pub fn taken(self) -> Option<Self> {
        self.0.checked_sub(COPY).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_a_percentage_of_requests() {
        for percent in [1, 5, 10, 100] {
            let (mut allowance, mut copies) = (Allowance::default(), 0);
            for _ in 0..10_000 {
                allowance = allowance.paid_in(percent);
                if let Some(left) = allowance.taken() {
                    (allowance, copies) = (left, copies + 1);
                }
            }
            assert_eq!(copies, 100 * percent, "{percent}");
        }
    }

    #[test]
    fn little_is_saved_up() {
        let mut allowance = (0..100_000).fold(Allowance::default(), |allowance, _| allowance.paid_in(50));
        let copies = std::iter::from_fn(|| {
            allowance = allowance.taken()?;
            Some(())
        });
        assert_eq!(copies.count(), 5);
    }
}
