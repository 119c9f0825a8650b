//! Writes the messages that were laid out.

use std::borrow::Cow;

use ring::digest::{SHA256, digest};

use super::write::{field, key, list, string};
use super::write_layout::{Message, Speaker};
use super::write_parts;
use crate::dialect::ids::{CHAT_NAME_MAX, tool_id_for_chat};
use crate::dialect::loss::Losses;
use crate::dialect::messages::signature::MARK;
use crate::dialect::profile::{Flag, History, Prefill, Profile};
use crate::dialect::raw;
use crate::dialect::turn::{Content, Input, Terms, Text, ToolCall};
use crate::json::text;

const THINKING: &str = "messages.content.thinking";

/// Appends the member `messages`; whether the body must say that the last of them is to be continued.
pub(super) fn write(
    messages: &[Message<'_>],
    profile: &Profile,
    terms: &mut Terms,
    losses: &mut Losses,
    out: &mut Vec<u8>,
) -> bool {
    let prefill = messages.len().wrapping_sub(1);
    let is_prefill = |place: usize| place == prefill && is_assistants_words(messages.last());
    key(out, "messages");
    let mut writing = Writing { profile, terms, losses };
    list(out, messages.iter().enumerate(), |out, (place, message)| {
        writing.message(message, out);
        match profile.prefill {
            Prefill::Prefix if is_prefill(place) => field(out, "prefix", b"true"),
            Prefill::Partial if is_prefill(place) => field(out, "partial", b"true"),
            _ => {}
        }
        out.push(b'}');
    });
    profile.prefill == Prefill::ContinueFinalMessage && is_prefill(prefill)
}

fn is_assistants_words(message: Option<&Message<'_>>) -> bool {
    message.is_some_and(|message| matches!(&message.role, Speaker::Assistant { calls, .. } if calls.is_empty()))
}

struct Writing<'l> {
    profile: &'l Profile,
    terms: &'l mut Terms,
    losses: &'l mut Losses,
}

impl Writing<'_> {
    /// Appends a message without its closing brace.
    fn message(&mut self, message: &Message<'_>, out: &mut Vec<u8>) {
        match &message.role {
            Speaker::System => {
                let role = if self.profile.has(Flag::Developer) { "developer" } else { "system" };
                begin(role, out);
                write_parts::write(&message.parts, br"\n\n", self.profile, out);
            }
            Speaker::User => {
                begin("user", out);
                write_parts::write(&message.parts, br"\n", self.profile, out);
            }
            Speaker::Tool(id) => {
                begin("tool", out);
                write_parts::write(&message.parts, br"\n", self.profile, out);
                key(out, "tool_call_id");
                string(out, &self.id(id));
            }
            Speaker::Assistant { calls, thoughts } => self.assistant(message, calls, thoughts, out),
        }
    }

    fn assistant(
        &mut self,
        message: &Message<'_>,
        calls: &[ToolCall<'_>],
        thoughts: &[Content<'_>],
        out: &mut Vec<u8>,
    ) {
        begin("assistant", out);
        let mut parts = Cow::Borrowed(&message.parts);
        if self.profile.history == History::ThinkTags
            && let Some(thoughts) = joined(thoughts)
        {
            let tagged = [&br"<think>\n"[..], &thoughts, br"\n</think>\n\n"].concat();
            parts.to_mut().insert(0, write_parts::Part::Text(tagged.into(), None));
        }
        match parts.is_empty() && !calls.is_empty() && self.profile.has(Flag::NullContent) {
            true => out.extend_from_slice(b"null"),
            false => write_parts::write(&parts, b"", self.profile, out),
        }
        self.thoughts(thoughts, !calls.is_empty(), out);
        if !calls.is_empty() {
            key(out, "tool_calls");
            list(out, calls.iter(), |out, call| self.call(call, out));
        }
    }

    /// Earlier thoughts, as the server wants them.
    fn thoughts(&mut self, thoughts: &[Content<'_>], has_calls: bool, out: &mut Vec<u8>) {
        if thoughts.iter().any(|thought| matches!(thought, Content::RedactedThinking(_)))
            && self.profile.history != History::ReasoningDetails
        {
            self.losses.dropped("messages.content.redacted_thinking");
        }
        match self.profile.history {
            History::Drop if joined(thoughts).is_some() => self.losses.dropped(THINKING),
            History::Drop | History::ThinkTags => {}
            History::ReasoningContent => match joined(thoughts) {
                // Servers that want it refuse a call without it.
                None if has_calls => field(out, "reasoning_content", b"\"\""),
                None => {}
                Some(thoughts) => {
                    key(out, "reasoning_content");
                    string(out, &thoughts);
                }
            },
            History::Reasoning => reasoning(thoughts, out),
            History::ReasoningDetails => {
                let details: Vec<_> = thoughts.iter().filter(|thought| is_signed(thought)).collect();
                if details.is_empty() {
                    return reasoning(thoughts, out);
                }
                key(out, "reasoning_details");
                list(out, details.into_iter().enumerate(), |out, (index, thought)| detail(index, thought, out));
            }
        }
    }

    fn call(&mut self, call: &ToolCall<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        string(out, &self.id(&call.id));
        out.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
        string(out, &self.terms.names.send(&call.name, CHAT_NAME_MAX));
        out.extend_from_slice(b",\"arguments\":\"");
        match &call.input {
            Input::Json(input) => raw::escape(input, out),
            Input::Text(arguments) => text::copy_escaped(arguments, out),
        }
        out.extend_from_slice(b"\"}}");
    }

    fn id<'a>(&self, id: &'a Text<'_>) -> Cow<'a, [u8]> {
        match self.profile.has(Flag::ShortIds) {
            true => short_id(id),
            false => tool_id_for_chat(id),
        }
    }
}

fn begin(role: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"role\":\"");
    out.extend_from_slice(role.as_bytes());
    out.extend_from_slice(b"\",\"content\":");
}

/// The texts of thoughts as one; `None` if they have none.
fn joined(thoughts: &[Content<'_>]) -> Option<Vec<u8>> {
    let texts = thoughts.iter().filter_map(|thought| match thought {
        Content::Thinking { text, .. } if !text.is_empty() => Some(&**text),
        _ => None,
    });
    let texts: Vec<_> = texts.collect();
    (!texts.is_empty()).then(|| texts.join(&br"\n\n"[..]))
}

fn reasoning(thoughts: &[Content<'_>], out: &mut Vec<u8>) {
    if let Some(thoughts) = joined(thoughts) {
        key(out, "reasoning");
        string(out, &thoughts);
    }
}

/// Whether a thought has a proof of its vendor's, not one of ours.
fn is_signed(thought: &Content<'_>) -> bool {
    match thought {
        Content::Thinking { signature: Some(signature), .. } => {
            !signature.is_empty() && !signature.starts_with(MARK.as_bytes())
        }
        Content::RedactedThinking(data) => !data.starts_with(MARK.as_bytes()),
        _ => false,
    }
}

/// One entry of `reasoning_details`.
fn detail(index: usize, thought: &Content<'_>, out: &mut Vec<u8>) {
    let (kind, member, value, signature) = match thought {
        Content::Thinking { text, signature } => ("reasoning.text", "text", text, signature.as_ref()),
        Content::RedactedThinking(data) => ("reasoning.encrypted", "data", data, None),
        _ => return,
    };
    out.extend_from_slice(b"{\"type\":");
    string(out, kind.as_bytes());
    key(out, member);
    string(out, value);
    if let Some(signature) = signature {
        key(out, "signature");
        string(out, signature);
    }
    field(out, "format", b"\"anthropic-claude-v1\"");
    field(out, "index", index.to_string().as_bytes());
    out.push(b'}');
}

/// An id of nine letters and digits, which is what Mistral takes.
fn short_id(id: &[u8]) -> Cow<'_, [u8]> {
    const LENGTH: usize = 9;
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    if id.len() == LENGTH && id.iter().all(u8::is_ascii_alphanumeric) {
        return Cow::Borrowed(id);
    }
    let hash = digest(&SHA256, id);
    let letters = hash.as_ref().iter().take(LENGTH);
    letters.filter_map(|byte| ALPHABET.get(usize::from(*byte) % ALPHABET.len()).copied()).collect()
}
