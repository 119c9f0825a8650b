//! One key of a provider: in use, or benched for a while because of what the upstream said about it.
//!
//! The state is one number, as the [`super::breaker::Breaker`]'s. Times are milliseconds since the process began.

use super::verdict::KeyFault;

/// The state of a key. The default is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key(u64);

/// A refused key, and one without credit, is tried again after so long: keys are renewed and credit is bought.
pub const REFUSED_MS: u64 = 300_000;
/// Where an upstream says that a key is used too often, but not for how long: doubled each time in a row.
pub const LIMITED_MIN_MS: u64 = 1_000;
/// The longest such rest: other requests wait for it, which a guess shall not make them do for long.
pub const LIMITED_MAX_MS: u64 = 2_000;
/// No rest is longer, whatever an upstream says.
pub const BENCHED_MAX_MS: u64 = 3_600_000;

const FAULT_BITS: u32 = 2;
const ROW_BITS: u32 = 5;
const ROW_MAX: u64 = (1 << ROW_BITS) - 1;

impl Key {
    /// As it is stored.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// To be stored.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// Until when it is benched, and why; `None` if it is in use.
    pub fn benched(self, now: u64) -> Option<(u64, KeyFault)> {
        let until = self.0 >> (FAULT_BITS + ROW_BITS);
        let fault = match self.0 & ((1 << FAULT_BITS) - 1) {
            1 => KeyFault::Refused,
            2 => KeyFault::Spent,
            _ => KeyFault::Limited,
        };
        (until > now).then_some((until, fault))
    }

    /// It was at fault; `rest` is how long the upstream asked to be left alone, if it said.
    pub fn faulted(self, fault: KeyFault, rest: Option<u64>, now: u64) -> Self {
        // Requests that were under way when it was benched say the same once more, and nothing new.
        let row = (self.0 >> FAULT_BITS & ROW_MAX).saturating_sub(u64::from(self.benched(now).is_some()));
        let limited = (LIMITED_MIN_MS << row.min(16)).min(LIMITED_MAX_MS);
        let (number, rest) = match fault {
            KeyFault::Refused => (1, REFUSED_MS),
            KeyFault::Spent => (2, REFUSED_MS.max(rest.unwrap_or(0))),
            KeyFault::Limited => (3, rest.unwrap_or(limited)),
        };
        let until = (now + rest.min(BENCHED_MAX_MS)).max(self.0 >> (FAULT_BITS + ROW_BITS));
        Self(number | (row + 1).min(ROW_MAX) << FAULT_BITS | until << (FAULT_BITS + ROW_BITS))
    }

    /// It worked. A rest that it was given meanwhile stays.
    pub fn worked(self, now: u64) -> Self {
        if self.benched(now).is_some() { self } else { Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests() {
        for (fault, rest, want) in [
            (KeyFault::Refused, None, REFUSED_MS),
            (KeyFault::Refused, Some(1), REFUSED_MS),
            (KeyFault::Spent, None, REFUSED_MS),
            (KeyFault::Spent, Some(2 * REFUSED_MS), 2 * REFUSED_MS),
            (KeyFault::Limited, None, LIMITED_MIN_MS),
            (KeyFault::Limited, Some(20_000), 20_000),
            (KeyFault::Limited, Some(u64::MAX / 2), BENCHED_MAX_MS),
        ] {
            let key = Key::default().faulted(fault, rest, 100);
            assert_eq!(key.benched(100), Some((100 + want, fault)), "{fault:?} {rest:?}");
            assert_eq!(key.benched(100 + want), None, "{fault:?} {rest:?}");
        }
    }

    #[test]
    fn limits_in_a_row_rest_longer_until_it_works() {
        let (mut key, mut now, mut rests) = (Key::default(), 0, Vec::new());
        for _ in 0..40 {
            key = key.faulted(KeyFault::Limited, None, now);
            let (until, _) = key.benched(now).unwrap();
            rests.push(until - now);
            now = until;
        }
        assert_eq!(rests[..3], [LIMITED_MIN_MS, LIMITED_MAX_MS, LIMITED_MAX_MS]);
        assert_eq!(rests.last(), Some(&LIMITED_MAX_MS));
        key = key.worked(now);
        assert_eq!(key, Key::default());
    }

    #[test]
    fn limits_heard_at_once_are_one() {
        let key = (0..40).fold(Key::default(), |key, number| key.faulted(KeyFault::Limited, None, number));
        assert_eq!(key.benched(39), Some((39 + LIMITED_MIN_MS, KeyFault::Limited)));
        let later = key.faulted(KeyFault::Limited, None, 5_000);
        assert_eq!(later.benched(5_000), Some((5_000 + 2 * LIMITED_MIN_MS, KeyFault::Limited)));
    }

    #[test]
    fn an_answer_that_was_under_way_does_not_end_a_rest_and_a_shorter_one_not_a_longer() {
        let key = Key::default().faulted(KeyFault::Limited, Some(5_000), 0);
        assert_eq!(key.worked(10), key);
        let again = key.faulted(KeyFault::Limited, Some(1), 10);
        assert_eq!(again.benched(10), Some((5_000, KeyFault::Limited)));
    }
}
