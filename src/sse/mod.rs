//! Server-sent events without I/O: reading them, writing them, and knowing where one ends.
//!
//! - [`Splitter`] gives the events of a stream: for a reader that must see what they say.
//! - [`Tail`] only tells whether a stream stands between two events: for a stream that passes untouched.
//! - [`frame`] writes events and comments.
//!
//! The grammar is WHATWG HTML §9.2.5 and §9.2.6, "Server-sent events": parsing and interpreting an event stream.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod frame;
pub mod splitter;
pub mod tail;

pub use splitter::{Event, EventTooLong, Splitter};
pub use tail::Tail;
