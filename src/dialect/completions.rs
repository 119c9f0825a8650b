//! OpenAI's older text completions, for clients that still ask for them.

mod write;

pub use write::{BodyWriter, StreamWriter};
