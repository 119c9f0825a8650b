//! What one worker counts of one provider by model and key.

use std::sync::{Arc, Mutex, PoisonError};

use super::cell::Cell;
use super::provider::Tokens;
use crate::limits::MODEL_ROWS_MAX;

/// The numbers of every model and key that a worker ever used at one provider, up to a bound.
#[derive(Debug, Default)]
pub struct Models(Mutex<Vec<Arc<ModelNumbers>>>);

/// The numbers of one model, asked with one key.
#[derive(Debug, Default)]
pub struct ModelNumbers {
    /// The upstream's name of the model; empty for all that have no row of their own.
    pub model: String,
    /// Which of the provider's keys, from 0.
    pub key: usize,
    /// Requests that were served.
    pub requests: Cell,
    /// Tokens by kind.
    pub tokens: Tokens,
    /// What they cost, in billionths of a dollar.
    pub cost: Cell,
}

impl Models {
    /// The numbers of `model` with a key, from now on known. It takes a lock and may allocate: whoever asks keeps what it
    /// gets.
    pub fn named(&self, model: &str, key: usize) -> Arc<ModelNumbers> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let find = |known: &[Arc<ModelNumbers>], model: &str| {
            known.iter().find(|one| one.model == model && one.key == key).cloned()
        };
        if let Some(numbers) = find(&known, model) {
            return numbers;
        }
        // Clients name models as they like: beyond the bound they are counted together.
        let model = if known.len() >= MODEL_ROWS_MAX { "" } else { model };
        find(&known, model).unwrap_or_else(|| {
            let numbers = Arc::new(ModelNumbers { model: model.to_owned(), key, ..ModelNumbers::default() });
            known.push(numbers.clone());
            numbers
        })
    }

    /// All of them, in the order they became known.
    pub fn all(&self) -> Vec<Arc<ModelNumbers>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_and_a_key_keep_their_numbers() {
        let models = Models::default();
        for (model, key) in [("m", 0), ("m", 1), ("n", 0), ("m", 0)] {
            models.named(model, key).requests.add(1);
        }
        let rows: Vec<_> = models.all().iter().map(|one| (one.model.clone(), one.key, one.requests.get())).collect();
        assert_eq!(rows, [("m".to_owned(), 0, 2), ("m".to_owned(), 1, 1), ("n".to_owned(), 0, 1)]);
    }

    #[test]
    fn models_beyond_the_bound_are_counted_together() {
        let models = Models::default();
        (0..MODEL_ROWS_MAX + 50).for_each(|number| models.named(&number.to_string(), 0).requests.add(1));
        let all = models.all();
        assert_eq!(all.len(), MODEL_ROWS_MAX + 1);
        assert_eq!(all.last().map(|one| (one.model.clone(), one.requests.get())), Some((String::new(), 50)));
    }
}
