//! What tokens cost. Pure.
//!
//! `table` searches the built-in list where it lies in the program, `own` reads a user's, `row` is a line of either,
//! `names` knows under which other names a model may be listed, `price` does the sums.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod names;
mod own;
mod price;
mod row;
mod table;
#[cfg(test)]
mod tests;

pub use price::{Price, Rates, write_dollars};
pub use table::date;

use crate::limits::MODEL_BYTES_MAX;
use own::Own;

/// The prices of models: a user's own, and behind them the built-in ones, which are not in here and take no memory until
/// they are looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// The first that fits holds.
    own: Vec<Own>,
}

impl Prices {
    /// Reads a user's table: lines of comma-separated values, of which the first names the columns. `provider` and `model`
    /// may hold `*`; they, `input` and `output` must be there. Lines that begin with `#` are comments.
    ///
    /// # Errors
    /// All problems, each as the end of a sentence that begins with the variable, with its line and its remedy; never a word of
    /// the file.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        own::parse(text).map(|own| Self { own })
    }

    /// What `model`, by the provider's name for it, costs there. Own prices hold over the built-in ones; of those a row of
    /// exactly this name over one of the name without what makers and versions add to it. `None`: nobody knows. The price
    /// of a model with a similar name is never taken.
    pub fn of(&self, provider: &str, model: &str) -> Option<Price> {
        let mut buffer = [0; MODEL_BYTES_MAX];
        let model = names::lower(model, &mut buffer)?;
        let own = self.own.iter().find(|own| names::of(provider, model).any(|name| own.is_of(provider, name)));
        own.map(|own| own.price).or_else(|| built_in(provider, model))
    }
}

fn built_in(provider: &str, model: &str) -> Option<Price> {
    let mut buffer = [0; MODEL_BYTES_MAX];
    let exact = |provider: &str, model: &str| names::of(provider, model).find_map(|name| table::exact(provider, name));
    exact(provider, model).or_else(|| table::by_pattern(provider, model)).or_else(|| {
        let (maker, model) = names::at_maker(provider, model, &mut buffer)?;
        exact(maker, model)
    })
}
