//! What members of an answer mean: usage, stop reasons, and names of what has no word.

use std::borrow::Cow;

use crate::dialect::turn::{Stop, Usage};
use crate::json::Value;

/// A `usage` object; what it leaves out stays as it was. Input does not include what the cache took part in.
pub fn usage(usage: Value<'_>) -> Usage {
    let count = |key: &str| usage.get(key).and_then(|count| count.as_u64());
    let reasoning = usage.get("output_tokens_details").and_then(|details| details.get("thinking_tokens")?.as_u64());
    Usage {
        input: count("input_tokens"),
        cache_read: count("cache_read_input_tokens"),
        cache_write: count("cache_creation_input_tokens"),
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

/// The path of what has no word: `parent` and a name of the upstream's, unless that is none that a log should show.
pub fn path(parent: &'static str, name: Option<&[u8]>) -> Cow<'static, str> {
    const NAME_BYTES_MAX: usize = 64;
    let is_shown = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let name = name.filter(|name| !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.iter().all(is_shown));
    match (parent, name.and_then(|name| str::from_utf8(name).ok())) {
        (parent, None) => Cow::Borrowed(parent),
        (parent, Some(name)) => Cow::Owned(format!("{parent}.{name}")),
    }
}
