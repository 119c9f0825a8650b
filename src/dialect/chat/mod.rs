//! OpenAI Chat Completions.

pub mod answer;
pub mod request;
