//! An upstream's failure, by its class, so that every dialect can say it in its own words: `read` understands what an
//! upstream said, `overflow` knows the wordings of one class that clients recover from, `write` has each dialect's table of
//! statuses and types, `envelope` its shape, `fields` the header fields that go with it.

pub(super) mod envelope;
mod fields;
mod overflow;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use fields::{error_field, retry_after};
pub use read::{read, read_value};
pub(super) use write::messages_type;

/// What an upstream said instead of an answer, or in the middle of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub class: Class,
    /// The upstream's words.
    pub message: String,
    /// The upstream's code for it, if it gave one.
    pub code: Option<String>,
    /// The parameter it is about, if it named one.
    pub param: Option<String>,
}

/// What kind of failure: each dialect has a status and a type for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Class {
    InvalidRequest,
    /// The conversation is longer than the model's window; tokens and window where the upstream said them.
    ContextOverflow {
        tokens: Option<u64>,
        window: Option<u64>,
    },
    Authentication,
    Billing,
    Permission,
    NotFound,
    /// The upstream waited for the request too long (408).
    RequestTimeout,
    /// The answer took too long.
    Timeout,
    Conflict,
    TooLarge,
    RateLimit,
    Overloaded,
    /// The upstream says that it failed (500).
    Server,
    /// What the upstream sent is no answer, and everything that nobody knows.
    Api,
}

impl Failure {
    /// A failure of which nothing more is known.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), code: None, param: None }
    }

    /// Adds what we took the input for to an overflow whose tokens the upstream did not tell: clients want a number above
    /// the window.
    pub fn estimate(&mut self, input: u64) {
        if let Class::ContextOverflow { tokens: tokens @ None, window: Some(window) } = &mut self.class {
            *tokens = Some(input.max(window.saturating_add(1)));
        }
    }
}
