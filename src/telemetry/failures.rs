//! Tries that came to nothing, by model, key and reason: a small table that grows with what occurs, up to a bound.

use std::sync::{Mutex, PoisonError};

use crate::limits::MODEL_ROWS_MAX;

/// How often tries at one provider failed, and why. A failed try is rare, and costs a round trip at least: a lock that only
/// a scrape ever contends for is nothing beside that.
#[derive(Debug, Default)]
pub struct Failures(Mutex<Vec<Row>>);

/// One reason at one model with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The upstream's name of the model; empty where there is none, and for all that have no row of their own.
    pub model: String,
    /// Which of the provider's keys, from 0.
    pub key: usize,
    /// The status that it answered with, 0 if none.
    pub status: u16,
    /// Why there was no answer; empty if there was one.
    pub outcome: &'static str,
    /// How often.
    pub count: u64,
}

impl Failures {
    /// Counts one.
    pub fn add(&self, model: &str, key: usize, status: u16, outcome: &'static str) {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = rows.len() >= MODEL_ROWS_MAX;
        let find = |row: &&mut Row, model: &str| {
            (row.model.as_str(), row.key, row.status, row.outcome) == (model, key, status, outcome)
        };
        if let Some(row) = rows.iter_mut().find(|row| find(row, model)) {
            row.count += 1;
            return;
        }
        // Clients name models as they like: beyond the bound they are counted together.
        let model = if is_full { "" } else { model };
        match rows.iter_mut().find(|row| find(row, model)) {
            Some(row) => row.count += 1,
            None => rows.push(Row { model: model.to_owned(), key, status, outcome, count: 1 }),
        }
    }

    /// Every row so far, the oldest first.
    pub fn rows(&self) -> Vec<Row> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_apart_by_model_key_and_reason() {
        let failures = Failures::default();
        for (model, key, status, outcome) in
            [("m", 0, 529, ""), ("m", 1, 529, ""), ("m", 0, 0, "closed"), ("n", 0, 529, ""), ("m", 0, 529, "")]
        {
            failures.add(model, key, status, outcome);
        }
        let counts: Vec<_> = failures.rows().iter().map(|row| row.count).collect();
        assert_eq!(counts, [2, 1, 1, 1]);
    }

    #[test]
    fn models_beyond_the_bound_are_counted_together() {
        let failures = Failures::default();
        (0..MODEL_ROWS_MAX + 50).for_each(|number| failures.add(&number.to_string(), 0, 500, ""));
        let rows = failures.rows();
        assert_eq!(rows.len(), MODEL_ROWS_MAX + 1);
        assert_eq!(rows.last().map(|row| (row.model.as_str(), row.count)), Some(("", 50)));
    }
}
