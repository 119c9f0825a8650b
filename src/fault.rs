//! What went wrong, and whose doing it was.

#![forbid(unsafe_code)]

use std::borrow::Cow;

use crate::http::reject::Reject;

/// Whose doing a failure was. Only upstream faults may ever count against an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// What the client sent.
    Client,
    /// The provider, or the way to it.
    Upstream,
    /// A bound or a state of our own (full, draining).
    Us,
}

/// A failure that becomes an answer of ours, in the client's dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whose doing.
    pub who: Who,
    /// HTTP status of the answer.
    pub status: u16,
    /// Log name and `x-sidestream-error`, kebab-case.
    pub reason: &'static str,
    /// For the person who reads the error: what was wrong, and what to do.
    pub message: Cow<'static, str>,
    /// The connection ends after the answer: what follows on it cannot be trusted or was not read.
    pub close: bool,
    /// When to ask again, in seconds, where that is known.
    pub retry_after: Option<u64>,
}

impl Fault {
    /// The provider, or the way to it, failed before an answer came. The client's connection is sound.
    pub fn upstream(status: u16, reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { who: Who::Upstream, status, reason, message: message.into(), close: false, retry_after: None }
    }

    /// We are shutting down and the grace is over.
    pub fn draining() -> Self {
        let message = "sidestream is shutting down and its grace period is over.".into();
        Self { who: Who::Us, status: 503, reason: "draining", message, close: true, retry_after: None }
    }

    /// Why a request ended that [`Fault::stopped`] tells of.
    pub const STOPPED: &'static str = "stopped";

    /// It was ended together with all that was in flight.
    pub fn stopped() -> Self {
        let message =
            "The request was cancelled, like all that were in flight: sidestream was told so by POST /stop.".into();
        Self { who: Who::Us, status: 503, reason: Self::STOPPED, message, close: true, retry_after: None }
    }

    /// The client's request cannot be served as it is; its connection is sound.
    pub fn client(status: u16, reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { who: Who::Client, status, reason, message: message.into(), close: false, retry_after: None }
    }

    /// The same, with a message that says more than the table's.
    pub fn because(reject: Reject, message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), ..reject.into() }
    }

    /// The same, ending the client's connection.
    pub fn closing(self) -> Self {
        Self { close: true, ..self }
    }
}

impl Who {
    /// Log name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Us => "us",
        }
    }
}

impl From<Reject> for Fault {
    fn from(reject: Reject) -> Self {
        let row = reject.row();
        let who = if row.status == 503 { Who::Us } else { Who::Client };
        Self {
            who,
            status: row.status,
            reason: row.name,
            message: row.message.into(),
            close: row.close,
            retry_after: None,
        }
    }
}
