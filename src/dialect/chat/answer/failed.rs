//! Failures that come as an event of a stream, or as the body of an answer with status 200.

use crate::dialect::failure::{Class, Failure};
use crate::json::Value;
use crate::limits::FAILURE_TEXT_BYTES_MAX;

/// The failure that an object tells of, if it does: under `error` always, else where it is no answer either.
pub(super) fn read(object: Value<'_>, is_answer: bool) -> Option<Failure> {
    if let Some(error) = object.get("error").filter(|error| is_something(*error)) {
        let holder = if error.escaped().is_some() { object } else { error };
        let message = error.text().or_else(|| text(error, "message")).unwrap_or_else(|| shown(error.raw()));
        return Some(failure(holder, message));
    }
    let is_error = ["object", "type"].iter().any(|key| object.get(key).is_some_and(|value| value.is("error")));
    let message = ["message", "detail"].iter().find_map(|key| object.get(key));
    match message {
        _ if is_answer => None,
        Some(message) => Some(failure(object, message.text().unwrap_or_else(|| shown(message.raw())))),
        None if is_error => Some(failure(object, shown(object.raw()))),
        None => None,
    }
}

/// A failure told in plain text.
pub(super) fn plain(text: &[u8]) -> Failure {
    Failure { class: Class::Api, message: shown(text), code: None, param: None }
}

fn is_something(error: Value<'_>) -> bool {
    error.escaped().is_some_and(|text| !text.is_empty()) || error.members().next().is_some()
}

fn failure(holder: Value<'_>, message: String) -> Failure {
    let code = holder.get("code").and_then(|code| code.text().or_else(|| code.as_u64().map(|code| code.to_string())));
    let kind = text(holder, "type").unwrap_or_default();
    let class = class_of(code.as_deref().unwrap_or_default()).or_else(|| class_of(&kind)).unwrap_or(Class::Api);
    Failure { class, message, code, param: text(holder, "param") }
}

fn class_of(word: &str) -> Option<Class> {
    Some(match word {
        "400" | "422" | "invalid_request_error" => Class::InvalidRequest,
        "context_length_exceeded" => Class::ContextOverflow { tokens: None, window: None },
        "401" | "authentication_error" | "invalid_api_key" => Class::Authentication,
        "402" | "insufficient_quota" | "credit_balance_exhausted" => Class::Billing,
        "403" | "permission_error" => Class::Permission,
        "404" | "model_not_found" | "not_found_error" => Class::NotFound,
        "408" | "504" | "timeout_error" | "timeout" => Class::Timeout,
        "413" | "request_too_large" => Class::TooLarge,
        "429" | "rate_limit_error" | "rate_limit_exceeded" => Class::RateLimit,
        "503" | "529" | "overloaded_error" | "server_is_overloaded" | "slow_down" => Class::Overloaded,
        _ => return None,
    })
}

fn text(object: Value<'_>, key: &str) -> Option<String> {
    object.get(key)?.text()
}

fn shown(text: &[u8]) -> String {
    let most = text.get(..FAILURE_TEXT_BYTES_MAX).unwrap_or(text);
    String::from_utf8_lossy(most).into_owned()
}
