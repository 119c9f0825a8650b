//! Whose doing a failed try was, and whether another may help.
//!
//! Clients' mistakes count against nobody and are never sent again; a key's count against the key, a model's against the
//! model. Only what the upstream, or the way to it, did wrong may open its breaker.

use crate::dialect::failure::Class;

/// How one try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream answered; a stream that begins with an error counts as that error.
    Answered(Answer),
    /// No connection was to be had; nothing was sent.
    Unreachable,
    /// The connection ended before any byte of an answer.
    Closed,
    /// No answer began in time.
    Silent,
    /// What came is no answer.
    Garbled,
    /// The provider's own bound is reached, and waiting for a place was in vain; nothing was sent.
    Full,
    /// The request cannot be said in the dialect that is spoken there; nothing was sent.
    Untranslatable,
}

/// What an answer says about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// What its body says, where it was read.
    pub class: Option<Class>,
    /// When the upstream may be asked again, in milliseconds from now (`retry-after-ms`, `retry-after`).
    pub retry_after: Option<u64>,
    /// The upstream says itself whether to try again (`x-should-retry`).
    pub should_retry: Option<bool>,
    /// The request's own credential was the client's.
    pub clients_credential: bool,
}

/// What follows from an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whose doing.
    pub blame: Blame,
    /// Whether another try may help.
    pub retry: Retry,
}

/// Whose doing a failure was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// It is an answer, or nobody could have done better.
    Nobody,
    /// The request is wrong, wherever it goes.
    Client,
    /// The key that was used.
    Key(KeyFault),
    /// This provider has no such model.
    Model,
    /// The provider's.
    Upstream,
    /// The way to it: name, connection, TLS, a middle box.
    Path,
}

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// It is refused.
    Refused,
    /// Its credit is used up.
    Spent,
    /// It was used too often for now.
    Limited,
}

/// Whether another try may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// No.
    Never,
    /// At another candidate only.
    Elsewhere,
    /// With another key of this provider, or at another candidate.
    OtherKey,
    /// At the same one, after a short while.
    Again,
    /// Better at another one now; at the same one when it has recovered.
    Later,
}

impl Outcome {
    /// What follows from it.
    pub fn verdict(self) -> Verdict {
        let (blame, retry) = match self {
            Self::Answered(answer) => return answer.verdict(),
            // What refuses connections will hardly take one in half a second.
            Self::Unreachable => (Blame::Path, Retry::Later),
            Self::Closed => (Blame::Path, Retry::Again),
            Self::Silent => (Blame::Upstream, Retry::Elsewhere),
            Self::Garbled => (Blame::Upstream, Retry::Again),
            Self::Full => (Blame::Nobody, Retry::Elsewhere),
            Self::Untranslatable => (Blame::Client, Retry::Elsewhere),
        };
        Verdict { blame, retry }
    }

    /// Log name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered(_) => "answered",
            Self::Unreachable => "unreachable",
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Garbled => "invalid",
            Self::Full => "full",
            Self::Untranslatable => "untranslatable",
        }
    }
}

impl Answer {
    fn verdict(self) -> Verdict {
        let (blame, retry) = match self.class {
            Some(class) => of_class(class, self.clients_credential).unwrap_or_else(|| self.of_status()),
            None => self.of_status(),
        };
        let retry = match (self.should_retry, retry) {
            // It speaks of itself.
            (Some(false), Retry::Again | Retry::Later | Retry::OtherKey) => Retry::Elsewhere,
            (Some(true), Retry::Never | Retry::Elsewhere) if self.status >= 400 => Retry::Again,
            (_, retry) => retry,
        };
        Verdict { blame, retry }
    }

    /// Statuses as RFC 9110 §15 and the providers' lists of errors have them; 408, 409, 429 and 5xx are what the official
    /// SDKs send again.
    fn of_status(self) -> (Blame, Retry) {
        match self.status {
            ..400 => (Blame::Nobody, Retry::Never),
            401 => of_key(KeyFault::Refused, self.clients_credential),
            // A model that this key may not use, a region, a moderation: nothing that the key is at fault for elsewhere.
            403 if self.clients_credential => (Blame::Client, Retry::Never),
            403 => (Blame::Nobody, Retry::OtherKey),
            402 => of_key(KeyFault::Spent, self.clients_credential),
            404 => (Blame::Model, Retry::Elsewhere),
            408 => (Blame::Path, Retry::Again),
            409 => (Blame::Nobody, Retry::Again),
            429 => of_key(KeyFault::Limited, self.clients_credential),
            400..500 => (Blame::Client, Retry::Never),
            // It cannot do this, which is no failure of its health.
            501 | 505 => (Blame::Nobody, Retry::Elsewhere),
            503 | 529 => (Blame::Upstream, Retry::Later),
            500.. => (Blame::Upstream, Retry::Again),
        }
    }
}

/// A client's own credential is nobody else's to bench or to replace; its limits are waited for all the same.
fn of_key(fault: KeyFault, clients: bool) -> (Blame, Retry) {
    match (fault, clients) {
        (KeyFault::Limited, true) => (Blame::Client, Retry::Later),
        (_, true) => (Blame::Client, Retry::Never),
        (KeyFault::Limited, false) => (Blame::Key(fault), Retry::Later),
        (_, false) => (Blame::Key(fault), Retry::OtherKey),
    }
}

/// What a body says more exactly than its status. Where it says less, nothing.
fn of_class(class: Class, clients_credential: bool) -> Option<(Blame, Retry)> {
    Some(match class {
        Class::ContextOverflow { .. } | Class::TooLarge => (Blame::Client, Retry::Never),
        Class::Authentication => of_key(KeyFault::Refused, clients_credential),
        Class::Billing => of_key(KeyFault::Spent, clients_credential),
        Class::RateLimit => of_key(KeyFault::Limited, clients_credential),
        Class::Overloaded => (Blame::Upstream, Retry::Later),
        Class::Timeout | Class::Server => (Blame::Upstream, Retry::Again),
        // Refused for what it asks, not for who asks: a moderation, a region.
        Class::InvalidRequest => (Blame::Client, Retry::Never),
        Class::Permission | Class::NotFound | Class::RequestTimeout | Class::Conflict | Class::Api => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16) -> Answer {
        Answer { status, class: None, retry_after: None, should_retry: None, clients_credential: false }
    }

    fn of(answer: Answer) -> (Blame, Retry) {
        let Verdict { blame, retry } = Outcome::Answered(answer).verdict();
        (blame, retry)
    }

    #[test]
    fn statuses() {
        use Blame::{Client, Key, Model, Nobody, Path, Upstream};
        use Retry::{Again, Elsewhere, Later, Never, OtherKey};
        for (status, want) in [
            (200, (Nobody, Never)),
            (204, (Nobody, Never)),
            (302, (Nobody, Never)),
            (400, (Client, Never)),
            (401, (Key(KeyFault::Refused), OtherKey)),
            (402, (Key(KeyFault::Spent), OtherKey)),
            (403, (Nobody, OtherKey)),
            (404, (Model, Elsewhere)),
            (405, (Client, Never)),
            (408, (Path, Again)),
            (409, (Nobody, Again)),
            (413, (Client, Never)),
            (422, (Client, Never)),
            (429, (Key(KeyFault::Limited), Later)),
            (499, (Client, Never)),
            (500, (Upstream, Again)),
            (501, (Nobody, Elsewhere)),
            (502, (Upstream, Again)),
            (503, (Upstream, Later)),
            (504, (Upstream, Again)),
            (524, (Upstream, Again)),
            (529, (Upstream, Later)),
            (999, (Upstream, Again)),
        ] {
            assert_eq!(of(answered(status)), want, "{status}");
        }
    }

    #[test]
    fn a_clients_own_credential_is_benched_by_nobody() {
        for (status, want) in [
            (401, (Blame::Client, Retry::Never)),
            (402, (Blame::Client, Retry::Never)),
            (403, (Blame::Client, Retry::Never)),
            (429, (Blame::Client, Retry::Later)),
            (500, (Blame::Upstream, Retry::Again)),
        ] {
            assert_eq!(of(Answer { clients_credential: true, ..answered(status) }), want, "{status}");
        }
    }

    #[test]
    fn the_body_knows_better_than_the_status() {
        let overflow = Class::ContextOverflow { tokens: None, window: None };
        for (status, class, want) in [
            (500, overflow, (Blame::Client, Retry::Never)),
            (429, Class::Billing, (Blame::Key(KeyFault::Spent), Retry::OtherKey)),
            (429, Class::RateLimit, (Blame::Key(KeyFault::Limited), Retry::Later)),
            (429, Class::Overloaded, (Blame::Upstream, Retry::Later)),
            (403, Class::InvalidRequest, (Blame::Client, Retry::Never)),
            (403, Class::Permission, (Blame::Nobody, Retry::OtherKey)),
            (403, Class::Authentication, (Blame::Key(KeyFault::Refused), Retry::OtherKey)),
            (404, Class::NotFound, (Blame::Model, Retry::Elsewhere)),
            (200, Class::Overloaded, (Blame::Upstream, Retry::Later)),
            (200, Class::Server, (Blame::Upstream, Retry::Again)),
            (502, Class::Api, (Blame::Upstream, Retry::Again)),
        ] {
            assert_eq!(of(Answer { class: Some(class), ..answered(status) }), want, "{status} {class:?}");
        }
    }

    #[test]
    fn the_upstream_says_itself() {
        for (status, says, want) in [
            (500, false, Retry::Elsewhere),
            (429, false, Retry::Elsewhere),
            (401, false, Retry::Elsewhere),
            (400, false, Retry::Never),
            (400, true, Retry::Again),
            (404, true, Retry::Again),
            (500, true, Retry::Again),
            (529, true, Retry::Later),
            (200, true, Retry::Never),
        ] {
            let answer = Answer { should_retry: Some(says), ..answered(status) };
            assert_eq!(of(answer).1, want, "{status} {says}");
        }
    }

    #[test]
    fn without_an_answer() {
        for (outcome, want) in [
            (Outcome::Unreachable, (Blame::Path, Retry::Later)),
            (Outcome::Closed, (Blame::Path, Retry::Again)),
            (Outcome::Silent, (Blame::Upstream, Retry::Elsewhere)),
            (Outcome::Garbled, (Blame::Upstream, Retry::Again)),
            (Outcome::Full, (Blame::Nobody, Retry::Elsewhere)),
            (Outcome::Untranslatable, (Blame::Client, Retry::Elsewhere)),
        ] {
            let Verdict { blame, retry } = outcome.verdict();
            assert_eq!((blame, retry), want, "{outcome:?}");
        }
    }
}
