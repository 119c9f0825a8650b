//! OpenAI Chat Completions.

pub mod answer;
