//! Answers in Messages: reading them.

mod blocks;
mod members;
mod read;

pub use read::Reader;
