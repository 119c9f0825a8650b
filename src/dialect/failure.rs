//! An upstream's failure, by its class, so that every dialect can say it in its own words.

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
    Timeout,
    Conflict,
    TooLarge,
    RateLimit,
    Overloaded,
    /// The upstream's own fault, and everything that nobody knows.
    Api,
}
