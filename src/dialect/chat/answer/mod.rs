//! Answers in Chat Completions.

mod calls;
mod failed;
mod finish;
mod pieces;
mod read;
#[cfg(test)]
mod tests;

pub use read::Reader;
