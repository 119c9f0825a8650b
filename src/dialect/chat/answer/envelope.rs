//! What all answers of OpenAI's older API have around their choices: chunks and whole answers, chats and completions.

use crate::dialect::ids;
use crate::dialect::turn::{Escaped, Stop, Terms, Usage};
use crate::http::write::number;
use crate::json::text::copy_escaped;

/// The last event of a stream that is whole.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// Appends an answer's beginning, up to its choices: `{"id":…,"object":…,"created":…,"model":…`. All chunks have the same.
pub fn write_head(terms: &Terms, id_prefix: &str, object: &str, out: &mut Vec<u8>) {
    const ID_CHARACTERS: usize = 29;
    out.extend_from_slice(b"{\"id\":\"");
    ids::fresh_of(id_prefix, ID_CHARACTERS, &terms.seed, 0, out);
    out.extend_from_slice(b"\",\"object\":\"");
    out.extend_from_slice(object.as_bytes());
    out.extend_from_slice(b"\",\"created\":");
    number(out, terms.created);
    out.extend_from_slice(b",\"model\":\"");
    copy_escaped(&terms.model, out);
    out.push(b'"');
}

/// The `finish_reason`.
pub fn finish_reason(stop: Stop) -> &'static str {
    match stop {
        // A turn that takes a break cannot be resumed here.
        Stop::EndTurn | Stop::Sequence | Stop::Pause => "stop",
        Stop::ToolUse => "tool_calls",
        Stop::MaxTokens | Stop::ContextFull => "length",
        Stop::Refusal => "content_filter",
    }
}

/// Appends a `usage` object. Its parts overlap: the prompt includes what a cache took part in, completion the reasoning.
pub fn write_usage(usage: &Usage, out: &mut Vec<u8>) {
    let cached = usage.cache_read.unwrap_or(0).saturating_add(usage.cache_write.unwrap_or(0));
    let prompt = usage.input.unwrap_or(0).saturating_add(cached);
    let completion = usage.output.unwrap_or(0);
    let total = prompt.saturating_add(completion);
    for (name, count) in
        [("{\"prompt_tokens\":", prompt), (",\"completion_tokens\":", completion), (",\"total_tokens\":", total)]
    {
        out.extend_from_slice(name.as_bytes());
        number(out, count);
    }
    write_details(
        "prompt_tokens_details",
        &[("cached_tokens", usage.cache_read), ("cache_write_tokens", usage.cache_write)],
        out,
    );
    write_details("completion_tokens_details", &[("reasoning_tokens", usage.reasoning)], out);
    out.push(b'}');
}

/// Appends what ends a stream behind its last choice: a chunk with the usage, if the client asked for it, and the end.
/// `head` is what all chunks begin with, up to their choices.
pub fn write_end(head: &[u8], usage: Option<&Usage>, out: &mut Vec<u8>) {
    if let Some(usage) = usage {
        out.extend_from_slice(head);
        out.extend_from_slice(b"[],\"usage\":");
        write_usage(usage, out);
        out.extend_from_slice(b"}\n\n");
    }
    out.extend_from_slice(DONE);
}

/// Appends an object of the counts that are known, if any is.
fn write_details(name: &str, counts: &[(&str, Option<u64>)], out: &mut Vec<u8>) {
    let mut is_first = true;
    for (count_name, count) in counts.iter().filter_map(|(name, count)| Some((*name, (*count)?))) {
        if std::mem::take(&mut is_first) {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":{\"");
        } else {
            out.extend_from_slice(b",\"");
        }
        out.extend_from_slice(count_name.as_bytes());
        out.extend_from_slice(b"\":");
        number(out, count);
    }
    if !is_first {
        out.push(b'}');
    }
}

/// Appends the text that ended the answer, as vLLM names it: the API has no member for it.
pub fn write_sequence(sequence: Option<Escaped<'_>>, out: &mut Vec<u8>) {
    if let Some(sequence) = sequence {
        out.extend_from_slice(b",\"stop_reason\":\"");
        copy_escaped(sequence, out);
        out.push(b'"');
    }
}
