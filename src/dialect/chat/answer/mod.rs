//! Answers in Chat Completions.

mod calls;
pub(in crate::dialect) mod envelope;
pub(in crate::dialect) mod failed;
pub(in crate::dialect) mod finish;
#[cfg(test)]
mod from_messages_tests;
mod pieces;
mod read;
mod reasoning;
#[cfg(test)]
mod tests;
mod write_body;
mod write_stream;
#[cfg(test)]
mod write_tests;

pub use read::Reader;
pub use write_body::BodyWriter;
pub use write_stream::StreamWriter;
