//! JSON without I/O, for texts that pass untouched: finding members in a request's body, and editing them in place.
//!
//! - [`Scanner`] checks a body while it arrives and gives the places of the top-level members that we read.
//! - [`text`] decodes and encodes strings.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod error;
mod number;
pub mod scanner;
pub mod text;
mod watch;

pub use error::{JsonError, What};
pub use scanner::Scanner;
pub use watch::{Kind, Member};
