//! Failures that come as an event of a stream, or as the body of an answer with status 200.

use crate::dialect::Dialect;
use crate::dialect::failure::{self, Failure};
use crate::json::Value;

/// The failure that an object tells of, if it does: under `error` always, else where it is no answer either.
pub(in crate::dialect) fn read(object: Value<'_>, error: Option<Value<'_>>, is_answer: bool) -> Option<Failure> {
    let is_told = error
        .is_some_and(|error| error.escaped().is_some_and(|text| !text.is_empty()) || error.members().next().is_some());
    let is_failure = is_told || (!is_answer && looks_like_one(object));
    is_failure.then(|| failure::read_value(Dialect::Chat, 200, object))
}

/// A failure told in plain text.
pub(in crate::dialect) fn plain(text: &[u8]) -> Failure {
    failure::read(Dialect::Chat, 200, text)
}

fn looks_like_one(object: Value<'_>) -> bool {
    let [object, kind, message, detail] = object.pick(["object", "type", "message", "detail"]);
    message.is_some() || detail.is_some() || [object, kind].iter().flatten().any(|name| name.is("error"))
}
