//! Answers in Chat Completions: writing them.

pub(in crate::dialect) mod envelope;
mod reasoning;
#[cfg(test)]
mod tests;
mod write_body;
mod write_stream;

pub use write_body::BodyWriter;
pub use write_stream::StreamWriter;
