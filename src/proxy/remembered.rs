//! What one worker remembers of the models that it was asked for last: a request needs what the one before it needed.

#![forbid(unsafe_code)]

use std::cell::RefCell;

/// By the model's name; those that are asked for often in front.
#[derive(Debug)]
pub struct Remembered<T>(RefCell<Vec<(String, T)>>);

/// More than the models that one application takes turns with at one provider.
const REMEMBERED_MAX: usize = 8;

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> Remembered<T> {
    /// What `read` makes of what belongs to `model`, which `find` finds if it is not remembered.
    pub fn of<R>(&self, model: &str, find: impl FnOnce() -> T, read: impl FnOnce(&T) -> R) -> R {
        let mut known = self.0.borrow_mut();
        let place = known.iter().position(|(name, _)| name == model);
        let place = place.unwrap_or_else(|| {
            let found = find();
            if known.len() < REMEMBERED_MAX {
                known.push((model.to_owned(), found));
            } else if let Some((name, last)) = known.last_mut() {
                // The name's memory serves again.
                name.clear();
                name.push_str(model);
                *last = found;
            }
            known.len() - 1
        });
        // One step forward at a time, so that a rare model does not move a frequent one.
        let ahead = place.saturating_sub(1);
        known.swap(place, ahead);
        read(&known[ahead].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_what_was_found() {
        let remembered = Remembered::default();
        let ask = |model: usize, found: usize| remembered.of(&model.to_string(), || found, |found| *found);
        for round in 0..3 {
            for model in (0..20).chain([3, 3, 3]) {
                assert_eq!(ask(model, 100 + model), 100 + model, "{round}");
            }
        }
        assert_eq!(remembered.0.borrow().len(), REMEMBERED_MAX);
        // Known is known: nothing is looked for again.
        assert_eq!((ask(3, 7), ask(99, 7)), (103, 7));
    }
}
