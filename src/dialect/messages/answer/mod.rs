//! Answers in Messages: reading them.

mod blocks;
mod members;
mod read;
#[cfg(test)]
mod tests;

pub use read::Reader;
