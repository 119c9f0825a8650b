//! Answers in Messages.

mod blocks;
mod body;
mod members;
mod read;
#[cfg(test)]
mod read_tests;
mod write;

pub use body::BodyWriter;
pub use read::Reader;
pub use write::StreamWriter;
