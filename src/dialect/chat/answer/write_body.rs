//! Writes a whole answer in Chat Completions.

use super::envelope::{finish_reason, write_head, write_sequence, write_usage};
use super::reasoning;
use crate::dialect::loss::Losses;
use crate::dialect::messages::signature::is_genuine;
use crate::dialect::turn::{Escaped, Failure, Open, Stop, Terms, Usage, Writer};
use crate::dialect::{Dialect, arguments};
use crate::json::text::copy_escaped;

/// Gathers an answer and writes it when it is whole; until then nothing is written.
#[derive(Debug)]
pub struct BodyWriter {
    /// All before the choices.
    head: Vec<u8>,
    /// Texts of all text blocks, joined.
    content: Vec<u8>,
    refusal: Vec<u8>,
    thoughts: Vec<Thought>,
    calls: Vec<Call>,
    /// Names of tools of free text.
    free_text_tools: Vec<Vec<u8>>,
    /// Blocks that began and did not end.
    open: Vec<(u32, Kind)>,
    losses: Losses,
}

/// Where a block's text goes.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Refusal,
    /// A place in `thoughts`.
    Thinking(usize),
    /// A place in `calls`.
    Call(usize),
}

#[derive(Debug, Default)]
struct Thought {
    text: Vec<u8>,
    signature: Vec<u8>,
    /// What only the vendor can read.
    encrypted: Vec<u8>,
}

#[derive(Debug)]
struct Call {
    id: Vec<u8>,
    name: Vec<u8>,
    arguments: Vec<u8>,
}

impl BodyWriter {
    /// A writer of one answer.
    pub fn new(terms: &Terms) -> Self {
        let mut head = Vec::new();
        write_head(terms, "chatcmpl-", "chat.completion", &mut head);
        Self {
            head,
            content: Vec::new(),
            refusal: Vec::new(),
            thoughts: Vec::new(),
            calls: Vec::new(),
            free_text_tools: terms.free_text_tools.clone(),
            open: Vec::new(),
            losses: Losses::default(),
        }
    }

    fn place_of(&mut self, number: u32) -> Option<&mut Vec<u8>> {
        let (_, kind) = self.open.iter().find(|(open, _)| *open == number)?;
        match *kind {
            Kind::Text => Some(&mut self.content),
            Kind::Refusal => Some(&mut self.refusal),
            Kind::Thinking(place) => self.thoughts.get_mut(place).map(|thought| &mut thought.text),
            Kind::Call(place) => self.calls.get_mut(place).map(|call| &mut call.arguments),
        }
    }

    fn write_message(&self, stop: Stop, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"role\":\"assistant\",\"content\":");
        let has_text = !self.content.is_empty() || (self.calls.is_empty() && self.refusal.is_empty());
        write_string(Some(&self.content).filter(|_| has_text), out);
        // Whoever looks for a refusal finds the model's words, where it gave no others.
        let words = if self.refusal.is_empty() { &self.content } else { &self.refusal };
        let is_refused = !self.refusal.is_empty() || (stop == Stop::Refusal && !words.is_empty());
        out.extend_from_slice(b",\"refusal\":");
        write_string(Some(words).filter(|_| is_refused), out);
        self.write_reasoning(out);
        self.write_details(out);
        self.write_calls(out);
        out.push(b'}');
    }

    fn write_reasoning(&self, out: &mut Vec<u8>) {
        let mut before: &[u8] = b",\"reasoning_content\":\"";
        for thought in self.thoughts.iter().filter(|thought| !thought.text.is_empty()) {
            out.extend_from_slice(before);
            out.extend_from_slice(&thought.text);
            before = reasoning::BETWEEN;
        }
        if before == reasoning::BETWEEN {
            out.push(b'"');
        }
    }

    fn write_details(&self, out: &mut Vec<u8>) {
        let is_detail = |thought: &&Thought| !thought.encrypted.is_empty() || !thought.signature.is_empty();
        let mut before: &[u8] = b",\"reasoning_details\":[";
        for (place, thought) in (0..).zip(self.thoughts.iter().filter(is_detail)) {
            out.extend_from_slice(before);
            match thought.encrypted.is_empty() {
                true => reasoning::write_text(&thought.text, &thought.signature, place, out),
                false => reasoning::write_encrypted(&thought.encrypted, place, out),
            }
            before = b",";
        }
        if before == b"," {
            out.push(b']');
        }
    }

    fn write_calls(&self, out: &mut Vec<u8>) {
        let mut before: &[u8] = b",\"tool_calls\":[";
        for Call { id, name, arguments } in &self.calls {
            let is_free = self.free_text_tools.contains(name);
            let (kind, input) = if is_free { ("custom", "input") } else { ("function", "arguments") };
            out.extend_from_slice(before);
            out.extend_from_slice(b"{\"id\":\"");
            out.extend_from_slice(id);
            out.extend_from_slice(format!("\",\"type\":\"{kind}\",\"{kind}\":{{\"name\":\"").as_bytes());
            out.extend_from_slice(name);
            out.extend_from_slice(format!("\",\"{input}\":\"").as_bytes());
            match is_free {
                true => arguments::free_text(arguments, out),
                false => out.extend_from_slice(if arguments.is_empty() { b"{}" } else { arguments }),
            }
            out.extend_from_slice(b"\"}}");
            before = b",";
        }
        if before == b"," {
            out.push(b']');
        }
    }
}

impl Writer for BodyWriter {
    const INTERLEAVES: bool = true;

    fn start(&mut self, _: &Usage, _: &mut Vec<u8>) {}

    fn open(&mut self, number: u32, block: Open<'_>, _: &mut Vec<u8>) {
        let kind = match block {
            Open::Text => Kind::Text,
            Open::Refusal => Kind::Refusal,
            Open::Thinking => {
                self.thoughts.push(Thought::default());
                Kind::Thinking(self.thoughts.len() - 1)
            }
            Open::RedactedThinking(data) => {
                self.thoughts.push(Thought { encrypted: copied(data), ..Thought::default() });
                Kind::Thinking(self.thoughts.len() - 1)
            }
            Open::ToolCall { id, name } => {
                self.calls.push(Call { id: copied(id), name: copied(name), arguments: Vec::new() });
                Kind::Call(self.calls.len() - 1)
            }
        };
        self.open.push((number, kind));
    }

    fn delta(&mut self, number: u32, text: Escaped<'_>, _: &mut Vec<u8>) {
        if let Some(place) = self.place_of(number) {
            copy_escaped(text, place);
        }
    }

    fn signature(&mut self, number: u32, signature: Escaped<'_>, _: &mut Vec<u8>) {
        let kind = self.open.iter().find(|(open, _)| *open == number).map(|(_, kind)| *kind);
        if !is_genuine(signature) {
            self.losses.dropped("content.signature");
        } else if let Some(Kind::Thinking(place)) = kind
            && let Some(thought) = self.thoughts.get_mut(place)
        {
            thought.signature = copied(signature);
        }
    }

    fn close(&mut self, number: u32, _: &mut Vec<u8>) {
        self.open.retain(|(open, _)| *open != number);
    }

    fn end(&mut self, stop: Stop, sequence: Option<Escaped<'_>>, usage: &Usage, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b",\"choices\":[{\"index\":0,\"message\":");
        self.write_message(stop, out);
        out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":\"");
        out.extend_from_slice(finish_reason(stop).as_bytes());
        out.push(b'"');
        write_sequence(sequence, out);
        out.extend_from_slice(b"}],\"usage\":");
        write_usage(usage, out);
        out.push(b'}');
    }

    /// Writes an error's body: its status is [`Failure::status`].
    fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        failure.write_body(Dialect::Chat, "", out);
    }

    fn ping(&mut self, _: &mut Vec<u8>) {}

    fn losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }
}

fn copied(escaped: Escaped<'_>) -> Vec<u8> {
    let mut copy = Vec::with_capacity(escaped.len());
    copy_escaped(escaped, &mut copy);
    copy
}

fn write_string(content: Option<&Vec<u8>>, out: &mut Vec<u8>) {
    match content {
        Some(content) => {
            out.push(b'"');
            out.extend_from_slice(content);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}
