//! How many tokens a request has, and how a client is told.
//!
//! - [`count`] counts exactly, with a tokenizer's table: it is slow at first, and belongs on a helper thread.
//!   [`BlockCounts`] remembers what was counted, [`Rules`] holds how models differ.
//! - [`estimate`] guesses from bytes, and loads nothing.
//! - [`window`] knows how much fits into models, and what clients believe.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod blocks;
mod count;
pub mod estimate;
mod pdf;
mod picture;
mod rules;
mod schema;
mod text;
pub mod window;

pub use blocks::BlockCounts;
pub use count::count;
pub use rules::Rules;
