//! Writes an answer as one Messages object.

use std::borrow::Cow;

use super::write::{Head, write_call, write_redacted, write_stop, write_usage};
use crate::dialect::Dialect;
use crate::dialect::failure::Failure;
use crate::dialect::turn::{Escaped, Open, Stop, Terms, Usage, Writer};
use crate::dialect::{arguments, ids};
use crate::json::text::copy_escaped;

/// Collects an answer's blocks, and writes all of it at its end.
#[derive(Debug)]
pub struct BodyWriter {
    terms: Head,
    /// The blocks, with commas between them.
    content: Vec<u8>,
    /// The arguments of the open call.
    arguments: Vec<u8>,
    open: Field,
}

/// Which member of the open block its deltas make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    None,
    Text,
    /// Its proof follows.
    Thinking,
    Input,
}

impl BodyWriter {
    /// A writer for the answer to the request of those terms, made by that kind of upstream.
    pub fn new(terms: &Terms, upstream: &str) -> Self {
        let terms = Head::new(terms, upstream);
        Self { terms, content: Vec::new(), arguments: Vec::new(), open: Field::None }
    }
}

impl Writer for BodyWriter {
    const INTERLEAVES: bool = false;
    const WANTS_UNASKED_THINKING: bool = false;
    const CALL_ID_PREFIX: &'static str = "toolu_";

    fn call_id(id: Escaped<'_>) -> Cow<'_, [u8]> {
        ids::tool_id_for_messages(id)
    }

    fn start(&mut self, _: &Usage, _: &mut Vec<u8>) {}

    fn open(&mut self, _: u32, block: Open<'_>, _: &mut Vec<u8>) {
        if !self.content.is_empty() {
            self.content.push(b',');
        }
        self.open = match block {
            Open::Text | Open::Refusal => {
                self.content.extend_from_slice(b"{\"type\":\"text\",\"text\":\"");
                Field::Text
            }
            Open::Thinking => {
                self.content.extend_from_slice(b"{\"type\":\"thinking\",\"thinking\":\"");
                Field::Thinking
            }
            Open::RedactedThinking(data) => {
                write_redacted(data, &mut self.content);
                Field::None
            }
            Open::ToolCall { id, name } => {
                write_call(id, name, &mut self.content);
                self.arguments.clear();
                Field::Input
            }
        };
    }

    fn delta(&mut self, _: u32, text: Escaped<'_>, _: &mut Vec<u8>) {
        match self.open {
            Field::Input => self.arguments.extend_from_slice(text),
            _ => copy_escaped(text, &mut self.content),
        }
    }

    fn signature(&mut self, _: u32, signature: Escaped<'_>, _: &mut Vec<u8>) {
        self.content.extend_from_slice(b"\",\"signature\":\"");
        copy_escaped(signature, &mut self.content);
        self.open = Field::Text;
    }

    fn close(&mut self, number: u32, out: &mut Vec<u8>) {
        if self.open == Field::Thinking {
            let mark = std::mem::take(&mut self.terms.mark);
            self.signature(number, &mark, out);
            self.terms.mark = mark;
        }
        match std::mem::replace(&mut self.open, Field::None) {
            Field::None => return,
            Field::Input => arguments::object(&self.arguments, &mut self.content),
            Field::Text | Field::Thinking => self.content.push(b'"'),
        }
        self.content.push(b'}');
    }

    fn end(&mut self, stop: Stop, sequence: Option<Escaped<'_>>, usage: &Usage, out: &mut Vec<u8>) {
        self.terms.write(out);
        out.extend_from_slice(&self.content);
        out.extend_from_slice(b"],");
        write_stop(stop, sequence, out);
        out.extend_from_slice(b",\"usage\":");
        write_usage(usage, out);
        out.push(b'}');
    }

    fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        failure.write_body(Dialect::Messages, &self.terms.request_id, out);
    }

    fn ping(&mut self, _: &mut Vec<u8>) {}
}
