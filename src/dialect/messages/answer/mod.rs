//! Answers in Messages.

mod body;
mod write;

pub use body::BodyWriter;
pub use write::StreamWriter;
