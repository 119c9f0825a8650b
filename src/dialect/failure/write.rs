//! Says a failure in a dialect.

use std::borrow::Cow;

use super::envelope::Envelope;
use super::read::class_of_status;
use super::{Class, Failure};
use crate::dialect::Dialect;

/// How a dialect says a class.
struct Row {
    status: u16,
    kind: &'static str,
    /// Where the upstream gave none of its own.
    code: Option<&'static str>,
}

impl Failure {
    /// The HTTP status with which a dialect says it.
    pub fn status(&self, dialect: Dialect) -> u16 {
        row(self.class, dialect).status
    }

    /// Appends the JSON body of the error; `request_id` is how logs know the request.
    pub fn write_body(&self, dialect: Dialect, request_id: &str, out: &mut Vec<u8>) {
        self.said_in(dialect, request_id, |envelope| envelope.write_body(dialect, out));
    }

    /// Appends the error as the last event of a stream that already began.
    pub fn write_event(&self, dialect: Dialect, request_id: &str, out: &mut Vec<u8>) {
        self.said_in(dialect, request_id, |envelope| envelope.write_event(dialect, out));
    }

    fn said_in(&self, dialect: Dialect, request_id: &str, write: impl FnOnce(Envelope<'_>)) {
        let Row { kind, code, .. } = row(self.class, dialect);
        let message = match (self.class, dialect) {
            (Class::ContextOverflow { tokens, window }, Dialect::Messages) => {
                too_long(&self.message, tokens.zip(window))
            }
            _ => Cow::Borrowed(self.message.as_str()),
        };
        // Programs compact a conversation when they see this code, whatever the upstream calls it.
        let is_known = matches!(self.class, Class::ContextOverflow { .. });
        let code = code.filter(|_| is_known || self.code.is_none()).or(self.code.as_deref());
        write(Envelope { kind, message: &message, param: self.param.as_deref(), code, details: None, request_id });
    }
}

/// An overflow as agents know it from Messages: they compact the conversation when a message begins so, and try again and
/// again when it does not.
fn too_long(message: &str, numbers: Option<(u64, u64)>) -> Cow<'_, str> {
    const BEGINNING: &str = "prompt is too long";
    let is_so = message.get(..BEGINNING.len()).is_some_and(|start| start.eq_ignore_ascii_case(BEGINNING));
    match numbers {
        _ if is_so => Cow::Borrowed(message),
        Some((tokens, window)) => Cow::Owned(format!("{BEGINNING}: {tokens} tokens > {window} maximum. {message}")),
        None => Cow::Owned(format!("{BEGINNING}: {message}")),
    }
}

fn row(class: Class, dialect: Dialect) -> Row {
    match dialect {
        Dialect::Messages => messages(class),
        Dialect::Chat | Dialect::Responses => chat(class),
    }
}

/// Messages' type of an error with this status.
pub(in crate::dialect) fn messages_type(status: u16) -> &'static str {
    messages(class_of_status(status).0).kind
}

fn messages(class: Class) -> Row {
    let (status, kind) = match class {
        Class::InvalidRequest | Class::ContextOverflow { .. } => (400, "invalid_request_error"),
        Class::Authentication => (401, "authentication_error"),
        Class::Billing => (402, "billing_error"),
        Class::Permission => (403, "permission_error"),
        Class::NotFound => (404, "not_found_error"),
        Class::RequestTimeout => (408, "timeout_error"),
        Class::Conflict => (409, "conflict_error"),
        Class::TooLarge => (413, "request_too_large"),
        Class::RateLimit => (429, "rate_limit_error"),
        Class::Server => (500, "api_error"),
        Class::Api => (502, "api_error"),
        Class::Timeout => (504, "timeout_error"),
        Class::Overloaded => (529, "overloaded_error"),
    };
    Row { status, kind, code: None }
}

fn chat(class: Class) -> Row {
    let (status, kind, code) = match class {
        Class::InvalidRequest => (400, "invalid_request_error", None),
        Class::ContextOverflow { .. } => (400, "invalid_request_error", Some("context_length_exceeded")),
        Class::Authentication => (401, "authentication_error", Some("invalid_api_key")),
        Class::Billing => (402, "insufficient_quota", Some("insufficient_quota")),
        Class::Permission => (403, "permission_error", None),
        Class::NotFound => (404, "invalid_request_error", Some("model_not_found")),
        Class::RequestTimeout => (408, "server_error", Some("timeout")),
        Class::Conflict => (409, "invalid_request_error", None),
        Class::TooLarge => (413, "invalid_request_error", Some("request_too_large")),
        Class::RateLimit => (429, "rate_limit_error", Some("rate_limit_exceeded")),
        Class::Server => (500, "server_error", None),
        Class::Api => (502, "server_error", None),
        Class::Overloaded => (503, "server_error", Some("server_is_overloaded")),
        Class::Timeout => (504, "server_error", Some("timeout")),
    };
    Row { status, kind, code }
}
