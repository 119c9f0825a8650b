//! Anthropic Messages.

pub mod answer;
pub mod request;
pub mod signature;
