//! OpenAI's older text completions, for clients that still ask for them: a prompt instead of a conversation. Servers that
//! have none of their own are asked for the next turn after a user's.

mod read;
mod write;

pub use read::read;
pub use write::{BodyWriter, StreamWriter};
