//! Anthropic Messages.

pub mod answer;
