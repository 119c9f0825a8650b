//! JSON without I/O: finding members in a body that passes untouched, editing them in place, and walking a body that is
//! translated.
//!
//! - [`Scanner`] checks a body while it arrives and gives the places of the top-level members that we read.
//! - [`Index`] gives the places of all values of a whole text.
//! - [`Template`] recognises the next event of a stream by the last one's shape, without reading it.
//! - [`Completeness`] follows an object that comes in pieces of strings.
//! - [`text`] decodes and encodes strings.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod completeness;
pub mod error;
mod find;
mod grammar;
mod index;
mod number;
pub mod scanner;
mod stops;
mod template;
pub mod text;
mod watch;

pub use completeness::Completeness;
pub use error::{JsonError, What};
pub use index::{Index, Value, same};
pub use scanner::Scanner;
pub use template::Template;
pub use watch::{Kind, Member};
