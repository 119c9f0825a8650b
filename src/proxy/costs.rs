//! What models cost at one provider, as one worker remembers it: a request has the price of the one before.

#![forbid(unsafe_code)]

use std::cell::RefCell;

use crate::prices::{Price, Prices};

/// The prices of the models that were asked for last, those that are asked for often in front. They are of one
/// configuration.
#[derive(Debug, Default)]
pub struct Costs(RefCell<Vec<(String, Option<Price>)>>);

/// More than the models that one application takes turns with at one provider.
const REMEMBERED_MAX: usize = 8;

impl Costs {
    /// The price of `model` at the provider, if there is one. A model that is remembered costs no search.
    pub fn price(&self, prices: &Prices, provider: &str, model: &str) -> Option<Price> {
        let mut known = self.0.borrow_mut();
        if let Some(place) = known.iter().position(|(name, _)| name == model) {
            // One step forward at a time, so that a rare model does not move a frequent one.
            let ahead = place.saturating_sub(1);
            known.swap(place, ahead);
            return known.get(ahead).and_then(|(_, price)| *price);
        }
        let price = prices.of(provider, model);
        if known.len() < REMEMBERED_MAX {
            known.push((model.to_owned(), price));
        } else if let Some(last) = known.last_mut() {
            // The name's memory serves again.
            last.0.clear();
            last.0.push_str(model);
            last.1 = price;
        }
        price
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_what_was_found() {
        let table = |rows: &str| Prices::parse(&format!("provider,model,input,output\n{rows}")).unwrap();
        let rows: String = (0..20).map(|number| format!("p,m{number},{number},0\n")).collect();
        let (first, costs) = (table(&rows), Costs::default());
        let input = |prices: &Prices, model: &str| costs.price(prices, "p", model).map(|price| price.rates.input);
        for round in 0..3 {
            for number in (0..20).chain([3, 3, 3]) {
                assert_eq!(input(&first, &format!("m{number}")), Some(number * 1_000_000), "{round}");
            }
            assert_eq!(input(&first, "other"), None);
        }
        assert_eq!(costs.0.borrow().len(), REMEMBERED_MAX);
        // Known is known, also that there is no price: the table is not asked again.
        let second = table("p,other,1,1\np,m3,9,9\n");
        assert_eq!((input(&second, "other"), input(&second, "m3")), (None, Some(3_000_000)));
    }
}
