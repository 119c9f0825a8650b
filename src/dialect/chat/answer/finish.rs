//! Why a Chat server says it stopped: OpenAI's words, and those of others.

use crate::dialect::failure::{Class, Failure};
use crate::dialect::turn::Stop;
use crate::json::Value;

/// What a `finish_reason` means; `None` for one that says nothing.
pub(in crate::dialect) fn read(reason: Value<'_>) -> Option<Result<Stop, Failure>> {
    let reason = reason.text().filter(|reason| !reason.trim().is_empty())?;
    Some(match reason.to_ascii_lowercase().as_str() {
        "tool_calls" | "function_call" | "tool_use" | "tool_call" => Ok(Stop::ToolUse),
        "length" | "max_tokens" | "model_length" | "max_output_tokens" => Ok(Stop::MaxTokens),
        "content_filter" | "sensitive" | "refusal" | "safety" => Ok(Stop::Refusal),
        "insufficient_system_resource" => Err(failed(Class::Overloaded, reason)),
        "error" | "network_error" | "abort" => Err(failed(Class::Api, reason)),
        // `stop`, `eos`, `end_turn`, and what nobody knows.
        _ => Ok(Stop::EndTurn),
    })
}

/// The end of a stream, as OpenAI and others spell it.
pub(in crate::dialect) fn is_done(data: &[u8]) -> bool {
    let word = data.strip_prefix(b"\"").and_then(|data| data.strip_suffix(b"\"")).unwrap_or(data);
    word.eq_ignore_ascii_case(b"[DONE]")
}

fn failed(class: Class, reason: String) -> Failure {
    let message = format!("the upstream broke off its answer: {reason}");
    Failure { class, message, code: Some(reason), param: None }
}
