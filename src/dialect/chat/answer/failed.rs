//! Failures that come as an event of a stream, or as the body of an answer with status 200.

use crate::dialect::Dialect;
use crate::dialect::failure::{self, Failure};
use crate::json::Value;

/// The failure that an object tells of, if it does: under `error` always, else where it is no answer either.
pub(super) fn read(object: Value<'_>, is_answer: bool) -> Option<Failure> {
    let has_error = object.get("error").is_some_and(is_something);
    let is_error = ["object", "type"].iter().any(|key| object.get(key).is_some_and(|value| value.is("error")));
    let has_words = ["message", "detail"].iter().any(|key| object.get(key).is_some());
    let has_failed = has_error || (!is_answer && (is_error || has_words));
    has_failed.then(|| failure::read_value(Dialect::Chat, 200, object))
}

/// A failure told in plain text.
pub(super) fn plain(text: &[u8]) -> Failure {
    failure::read(Dialect::Chat, 200, text)
}

fn is_something(error: Value<'_>) -> bool {
    error.escaped().is_some_and(|text| !text.is_empty()) || error.members().next().is_some()
}
