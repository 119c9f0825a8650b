//! What members of an answer mean: usage, stop reasons, and names of what has no word.

use crate::dialect::turn::{Stop, Usage};
use crate::json::Value;

pub use crate::dialect::loss::path;

/// A `usage` object; what it leaves out stays as it was. Input does not include what the cache took part in.
pub fn usage(usage: Value<'_>) -> Usage {
    let count = |key: &str| usage.get(key).and_then(|count| count.as_u64());
    let reasoning = usage.get("output_tokens_details").and_then(|details| details.get("thinking_tokens")?.as_u64());
    let for_an_hour = usage.get("cache_creation").and_then(|kinds| kinds.get("ephemeral_1h_input_tokens")?.as_u64());
    Usage {
        input: count("input_tokens"),
        cache_read: count("cache_read_input_tokens"),
        cache_write: count("cache_creation_input_tokens"),
        cache_write_1h: for_an_hour,
        output: count("output_tokens"),
        reasoning,
    }
}

/// A `stop_reason`; one that this version does not know ends the turn.
pub fn stop(reason: Value<'_>) -> Stop {
    const REASONS: &[(&str, Stop)] = &[
        ("end_turn", Stop::EndTurn),
        ("tool_use", Stop::ToolUse),
        ("max_tokens", Stop::MaxTokens),
        ("model_context_window_exceeded", Stop::ContextFull),
        ("stop_sequence", Stop::Sequence),
        ("refusal", Stop::Refusal),
        ("pause_turn", Stop::Pause),
    ];
    REASONS.iter().find(|(name, _)| reason.is(name)).map_or(Stop::EndTurn, |(_, stop)| *stop)
}
