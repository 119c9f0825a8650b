//! Writes an answer as a stream of Messages events.

use std::borrow::Cow;

use crate::dialect::Dialect;
use crate::dialect::failure::Failure;
use crate::dialect::ids;
use crate::dialect::messages::signature;
use crate::dialect::turn::{Escaped, Open, Stop, Terms, Usage, Writer};
use crate::http::write;
use crate::json::text::copy_escaped;

/// Writes an answer's events. What is the same in all deltas of a block is built when the block begins, so that a delta is
/// three copies.
#[derive(Debug)]
pub struct StreamWriter {
    terms: Head,
    /// A delta's event up to its text.
    prefix: Vec<u8>,
    /// The open block is thinking, and its proof was not written.
    lacks_signature: bool,
}

/// What an answer says of itself.
#[derive(Clone, Debug)]
pub(super) struct Head {
    id: Vec<u8>,
    model: Vec<u8>,
    /// What stands in for a proof of thoughts that have none.
    pub mark: Vec<u8>,
    /// How logs know the request.
    pub request_id: String,
}

impl Head {
    pub fn new(terms: &Terms, upstream: &str) -> Self {
        let (mut id, mut model, mut mark) = (Vec::new(), Vec::new(), Vec::new());
        ids::fresh("msg_", &terms.seed, 0, &mut id);
        copy_escaped(&terms.model, &mut model);
        signature::mark(upstream, &mut mark);
        Self { id, model, mark, request_id: terms.request_id.clone() }
    }

    /// Appends a message up to its content.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":\"");
        out.extend_from_slice(&self.id);
        out.extend_from_slice(b"\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"");
        out.extend_from_slice(&self.model);
        out.extend_from_slice(b"\",\"content\":[");
    }
}

impl StreamWriter {
    /// A writer for the answer to the request of those terms, made by that kind of upstream.
    pub fn new(terms: &Terms, upstream: &str) -> Self {
        Self { terms: Head::new(terms, upstream), prefix: Vec::with_capacity(128), lacks_signature: false }
    }
}

const DELTA: &[u8] = b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":";
const DELTA_END: &[u8] = b"\"}}\n\n";

impl Writer for StreamWriter {
    const INTERLEAVES: bool = false;
    const WANTS_UNASKED_THINKING: bool = false;
    const CALL_ID_PREFIX: &'static str = "toolu_";

    fn call_id(id: Escaped<'_>) -> Cow<'_, [u8]> {
        ids::tool_id_for_messages(id)
    }

    fn start(&mut self, usage: &Usage, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":");
        self.terms.write(out);
        out.extend_from_slice(b"],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":");
        // SDKs add nothing up: the numbers of `message_delta` take the place of these.
        write_usage(usage, out);
        out.extend_from_slice(b"}}\n\n");
    }

    fn open(&mut self, number: u32, block: Open<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":");
        write::number(out, u64::from(number));
        out.extend_from_slice(b",\"content_block\":");
        let delta: &[u8] = match block {
            Open::Text | Open::Refusal => {
                out.extend_from_slice(b"{\"type\":\"text\",\"text\":\"\"}");
                b",\"delta\":{\"type\":\"text_delta\",\"text\":\""
            }
            Open::Thinking => {
                out.extend_from_slice(b"{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
                b",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\""
            }
            Open::RedactedThinking(data) => {
                write_redacted(data, out);
                b""
            }
            Open::ToolCall { id, name } => {
                write_call(id, name, out);
                out.extend_from_slice(b"{}}");
                b",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\""
            }
        };
        out.extend_from_slice(b"}\n\n");
        self.lacks_signature = block == Open::Thinking;
        self.prefix.clear();
        self.prefix.extend_from_slice(DELTA);
        write::number(&mut self.prefix, u64::from(number));
        self.prefix.extend_from_slice(delta);
    }

    #[inline]
    fn delta(&mut self, _: u32, text: Escaped<'_>, out: &mut Vec<u8>) {
        out.reserve(self.prefix.len() + text.len() + DELTA_END.len());
        out.extend_from_slice(&self.prefix);
        copy_escaped(text, out);
        out.extend_from_slice(DELTA_END);
    }

    fn signature(&mut self, number: u32, signature: Escaped<'_>, out: &mut Vec<u8>) {
        self.lacks_signature = false;
        out.extend_from_slice(DELTA);
        write::number(out, u64::from(number));
        out.extend_from_slice(b",\"delta\":{\"type\":\"signature_delta\",\"signature\":\"");
        copy_escaped(signature, out);
        out.extend_from_slice(DELTA_END);
    }

    fn close(&mut self, number: u32, out: &mut Vec<u8>) {
        if self.lacks_signature {
            let mark = std::mem::take(&mut self.terms.mark);
            self.signature(number, &mark, out);
            self.terms.mark = mark;
        }
        out.extend_from_slice(b"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":");
        write::number(out, u64::from(number));
        out.extend_from_slice(b"}\n\n");
    }

    fn end(&mut self, stop: Stop, sequence: Option<Escaped<'_>>, usage: &Usage, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{");
        write_stop(stop, sequence, out);
        out.extend_from_slice(b"},\"usage\":");
        write_usage(usage, out);
        out.extend_from_slice(b"}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    }

    fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        failure.write_event(Dialect::Messages, &self.terms.request_id, out);
    }

    fn ping(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(Dialect::Messages.ping());
    }
}

/// A tool call up to its input.
pub(super) fn write_call(id: &[u8], name: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"tool_use\",\"id\":\"");
    copy_escaped(id, out);
    out.extend_from_slice(b"\",\"name\":\"");
    copy_escaped(name, out);
    out.extend_from_slice(b"\",\"input\":");
}

pub(super) fn write_redacted(data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"redacted_thinking\",\"data\":\"");
    copy_escaped(data, out);
    out.extend_from_slice(b"\"}");
}

pub(super) fn write_stop(stop: Stop, sequence: Option<Escaped<'_>>, out: &mut Vec<u8>) {
    let name = match stop {
        Stop::EndTurn => "end_turn",
        Stop::ToolUse => "tool_use",
        Stop::MaxTokens => "max_tokens",
        Stop::ContextFull => "model_context_window_exceeded",
        Stop::Sequence => "stop_sequence",
        Stop::Refusal => "refusal",
        Stop::Pause => "pause_turn",
    };
    out.extend_from_slice(b"\"stop_reason\":\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\",\"stop_sequence\":");
    match sequence.filter(|_| stop == Stop::Sequence) {
        Some(sequence) => {
            out.push(b'"');
            copy_escaped(sequence, out);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

/// Cache counts are told as zeros where nobody counted: clients add them up.
pub(super) fn write_usage(usage: &Usage, out: &mut Vec<u8>) {
    for (key, count) in [
        (&b"{\"input_tokens\":"[..], usage.input),
        (b",\"cache_creation_input_tokens\":", usage.cache_write),
        (b",\"cache_read_input_tokens\":", usage.cache_read),
        (b",\"output_tokens\":", usage.output),
    ] {
        out.extend_from_slice(key);
        write::number(out, count.unwrap_or(0));
    }
    if let Some(reasoning) = usage.reasoning {
        out.extend_from_slice(b",\"output_tokens_details\":{\"thinking_tokens\":");
        write::number(out, reasoning);
        out.push(b'}');
    }
    out.push(b'}');
}
