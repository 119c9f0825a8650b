//! The price of one model, and what an answer cost by it. Integers alone, so that sums are exact.

use crate::dialect::usage::Usage;
use crate::http::write::number;

/// What one model costs at one provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// What holds for most requests.
    pub rates: Rates,
    /// What holds instead, for every token, where the input has more tokens than that.
    pub long: Option<(u64, Rates)>,
    /// Tokens that fit into the model's window, where the table says so.
    pub context: Option<u64>,
}

/// Prices of one token, in millionths of a millionth of a US dollar: a dollar for a million tokens is 1,000,000 of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Input that no cache took part in.
    pub input: u64,
    /// Input that was read from a cache.
    pub cache_read: u64,
    /// Input that was written to a cache.
    pub cache_write: u64,
    /// The same, to be kept for an hour.
    pub cache_write_1h: u64,
    /// Output that is no reasoning.
    pub output: u64,
    /// Reasoning.
    pub reasoning: u64,
}

/// Writes nano-dollars as dollars: `0.001234`, with up to three more decimals where they say something.
pub fn write_dollars(nanos: u64, out: &mut Vec<u8>) {
    let mut part = nanos % NANOS;
    number(out, nanos / NANOS);
    let mut digits = [b'0'; DECIMALS];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (part % 10) as u8;
        part /= 10;
    }
    let spare = digits.iter().rev().take(DECIMALS - DECIMALS_MIN).take_while(|digit| **digit == b'0').count();
    out.push(b'.');
    out.extend(digits.iter().take(DECIMALS - spare));
}

/// In a dollar.
const NANOS: u64 = 1_000_000_000;
const DECIMALS: usize = 9;
const DECIMALS_MIN: usize = 6;

/// Of one nano-dollar.
const PICOS: u128 = 1_000;

/// What [`Price::blended`] supposes: a turn of an agent, which brings its conversation along, has most of it in the
/// provider's cache, and gets a short answer.
const TYPICAL: Usage = Usage {
    input: Some(4_000),
    cache_read: Some(6_000),
    cache_write: None,
    cache_write_1h: None,
    output: Some(1_000),
    reasoning: None,
};

impl Price {
    /// What an answer cost, in nano-dollars (billionths of a US dollar), rounded to the nearest. `None` if its usage says
    /// nothing; a kind of tokens that it leaves out was not used.
    pub fn cost(&self, usage: &Usage) -> Option<u64> {
        let Usage { input, cache_read, cache_write, cache_write_1h, output, reasoning } = *usage;
        [input, cache_read, cache_write, output].into_iter().flatten().next()?;
        let [input, cache_read, cache_write, output] =
            [input, cache_read, cache_write, output].map(|count| u128::from(count.unwrap_or(0)));
        // Parts of what they are parts of, whatever an upstream says.
        let for_an_hour = u128::from(cache_write_1h.unwrap_or(0)).min(cache_write);
        let reasoning = u128::from(reasoning.unwrap_or(0)).min(output);
        let rates = match &self.long {
            Some((above, rates)) if input + cache_read + cache_write > u128::from(*above) => rates,
            _ => &self.rates,
        };
        let picos = [
            (input, rates.input),
            (cache_read, rates.cache_read),
            (cache_write - for_an_hour, rates.cache_write),
            (for_an_hour, rates.cache_write_1h),
            (output - reasoning, rates.output),
            (reasoning, rates.reasoning),
        ];
        let sum = picos.into_iter().fold(0, |sum: u128, (count, rate)| sum.saturating_add(count * u128::from(rate)));
        Some(u64::try_from(sum.saturating_add(PICOS / 2) / PICOS).unwrap_or(u64::MAX))
    }

    /// What a typical request would cost, in nano-dollars, to compare models by: 4,000 tokens of input, 6,000 more out of the
    /// cache, and 1,000 of output.
    pub fn blended(&self) -> u64 {
        self.cost(&TYPICAL).unwrap_or(u64::MAX)
    }
}
