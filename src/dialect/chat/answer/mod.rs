//! Answers in Chat Completions: writing them.

pub(in crate::dialect) mod envelope;
mod reasoning;
mod write_body;
mod write_stream;

pub use write_body::BodyWriter;
pub use write_stream::StreamWriter;
