//! Writes a streamed answer in Chat Completions.

use super::envelope::{finish_reason, write_end, write_head, write_sequence};
use super::reasoning::{self, Thoughts};
use crate::dialect::loss::Losses;
use crate::dialect::messages::signature::is_genuine;
use crate::dialect::turn::{Escaped, Failure, Open, Stop, Terms, Usage, Writer};
use crate::dialect::{Dialect, arguments};
use crate::http::write;
use crate::json::text::copy_escaped;

/// Writes chunks: one with the role first, one for each piece, one with the reason at the end, and one with usage if the
/// client asked for it.
///
/// All that stands before a piece's text, and all behind it, is the same for the whole block: it is made once, and a piece
/// is written with three copies.
#[derive(Debug)]
pub struct StreamWriter {
    /// `data: {…,"choices":`, the same in all chunks.
    head: Vec<u8>,
    /// What ends a chunk behind its choices.
    tail: &'static str,
    /// The client asked for usage.
    tells_usage: bool,
    /// What stands before and behind the text of a piece, and the block for which that was made.
    frame: Vec<u8>,
    frame_tail: Vec<u8>,
    framed: Option<u32>,
    /// Blocks that began and did not end.
    open: Vec<(u32, Kind)>,
    calls: u32,
    /// Names of tools of free text, and the arguments of calls of them that did not end.
    free_text_tools: Vec<Vec<u8>>,
    free_text: Vec<(u32, Vec<u8>)>,
    thoughts: Thoughts,
    losses: Losses,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    /// It was whole when it began.
    Redacted,
    Refusal,
    /// A call, by its place among the calls.
    Call {
        place: u32,
        has_arguments: bool,
    },
    /// A call of a tool of free text, whose text is told when all of it is here: it comes inside a JSON object.
    FreeText {
        place: u32,
    },
}

impl StreamWriter {
    /// A writer of one answer.
    pub fn new(terms: &Terms) -> Self {
        let mut head = b"data: ".to_vec();
        write_head(terms, "chatcmpl-", "chat.completion.chunk", &mut head);
        head.extend_from_slice(b",\"choices\":");
        Self {
            head,
            // Chunks before the one with usage say that they have none.
            tail: if terms.usage { ",\"usage\":null}\n\n" } else { "}\n\n" },
            tells_usage: terms.usage,
            frame: Vec::new(),
            frame_tail: Vec::new(),
            framed: None,
            open: Vec::new(),
            calls: 0,
            free_text_tools: terms.free_text_tools.clone(),
            free_text: Vec::new(),
            thoughts: Thoughts::default(),
            losses: Losses::default(),
        }
    }

    /// Appends the chunk of a delta.
    fn chunk(&self, out: &mut Vec<u8>, delta: impl FnOnce(&mut Vec<u8>)) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(DELTA.as_bytes());
        delta(out);
        out.extend_from_slice(DELTA_TAIL.as_bytes());
        out.extend_from_slice(self.tail.as_bytes());
    }

    /// Appends the chunk of one piece of the block that is framed.
    fn piece(&self, text: Escaped<'_>, out: &mut Vec<u8>) {
        out.reserve(self.frame.len() + text.len() + self.frame_tail.len());
        out.extend_from_slice(&self.frame);
        copy_escaped(text, out);
        out.extend_from_slice(&self.frame_tail);
    }

    /// Makes the frame for pieces of a block.
    fn make_frame(&mut self, number: u32, kind: Kind) {
        let Self { frame, frame_tail, .. } = self;
        frame.clear();
        frame.extend_from_slice(&self.head);
        frame.extend_from_slice(DELTA.as_bytes());
        frame.extend_from_slice(match kind {
            Kind::Text => b"\"content\":\"",
            Kind::Thinking | Kind::Redacted => b"\"reasoning_content\":\"",
            Kind::Refusal => b"\"refusal\":\"",
            Kind::Call { .. } | Kind::FreeText { .. } => b"\"tool_calls\":[{\"index\":",
        });
        frame_tail.clear();
        frame_tail.push(b'"');
        if let Kind::Call { place, .. } = kind {
            write::number(frame, u64::from(place));
            frame.extend_from_slice(b",\"function\":{\"arguments\":\"");
            frame_tail.extend_from_slice(b"}}]");
        }
        if let Kind::FreeText { place } = kind {
            write::number(frame, u64::from(place));
            frame.extend_from_slice(b",\"custom\":{\"input\":\"");
            frame_tail.extend_from_slice(b"}}]");
        }
        frame_tail.extend_from_slice(DELTA_TAIL.as_bytes());
        frame_tail.extend_from_slice(self.tail.as_bytes());
        self.framed = Some(number);
    }

    /// The chunk with which a call begins: nothing in it is ever said again, for clients would join the two.
    fn begin_call(&self, place: u32, id: Escaped<'_>, name: Escaped<'_>, is_free: bool, out: &mut Vec<u8>) {
        let (kind, input) = if is_free { ("custom", "input") } else { ("function", "arguments") };
        self.chunk(out, |out| {
            out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
            write::number(out, u64::from(place));
            out.extend_from_slice(b",\"id\":\"");
            copy_escaped(id, out);
            out.extend_from_slice(format!("\",\"type\":\"{kind}\",\"{kind}\":{{\"name\":\"").as_bytes());
            copy_escaped(name, out);
            out.extend_from_slice(format!("\",\"{input}\":\"\"}}}}]").as_bytes());
        });
    }

    /// A chunk with one detail of thoughts.
    fn detail(&self, out: &mut Vec<u8>, detail: impl FnOnce(&mut Vec<u8>)) {
        self.chunk(out, |out| {
            out.extend_from_slice(b"\"reasoning_details\":[");
            detail(out);
            out.push(b']');
        });
    }
}

impl Writer for StreamWriter {
    const INTERLEAVES: bool = true;

    fn start(&mut self, _: &Usage, out: &mut Vec<u8>) {
        self.chunk(out, |out| out.extend_from_slice(b"\"role\":\"assistant\",\"content\":\"\""));
    }

    fn open(&mut self, number: u32, block: Open<'_>, out: &mut Vec<u8>) {
        let kind = match block {
            Open::Text => Kind::Text,
            Open::Refusal => Kind::Refusal,
            Open::Thinking => {
                self.thoughts.begin(number);
                Kind::Thinking
            }
            Open::RedactedThinking(data) => {
                let place = self.thoughts.next_place();
                self.detail(out, |out| reasoning::write_encrypted(data, place, out));
                Kind::Redacted
            }
            Open::ToolCall { id, name } => {
                let place = self.calls;
                self.calls += 1;
                let is_free = self.free_text_tools.iter().any(|tool| tool == name);
                self.begin_call(place, id, name, is_free, out);
                match is_free {
                    true => {
                        self.free_text.push((number, Vec::new()));
                        Kind::FreeText { place }
                    }
                    false => Kind::Call { place, has_arguments: false },
                }
            }
        };
        self.open.push((number, kind));
    }

    #[inline]
    fn delta(&mut self, number: u32, text: Escaped<'_>, out: &mut Vec<u8>) {
        if let Some((_, held)) = self.free_text.iter_mut().find(|(open, _)| *open == number) {
            return held.extend_from_slice(text);
        }
        if self.framed != Some(number) {
            let Some((_, kind)) = self.open.iter_mut().find(|(open, _)| *open == number) else { return };
            if let Kind::Call { has_arguments, .. } = kind {
                *has_arguments = true;
            }
            let kind = *kind;
            self.make_frame(number, kind);
        }
        if self.thoughts.add(number, text) {
            self.piece(reasoning::BETWEEN, out);
        }
        self.piece(text, out);
    }

    fn signature(&mut self, number: u32, signature: Escaped<'_>, out: &mut Vec<u8>) {
        if !is_genuine(signature) {
            return self.losses.dropped("content.signature");
        }
        let mut detail = Vec::new();
        match self.thoughts.prove(number) {
            Ok((text, place)) => reasoning::write_text(text, signature, place, &mut detail),
            Err(reasoning::TooLong) => return self.losses.dropped("content.signature"),
        }
        self.detail(out, |out| out.extend_from_slice(&detail));
    }

    fn close(&mut self, number: u32, out: &mut Vec<u8>) {
        let Some(place) = self.open.iter().position(|(open, _)| *open == number) else { return };
        let (_, kind) = self.open.remove(place);
        match kind {
            Kind::Thinking => self.thoughts.end(number),
            Kind::Call { has_arguments: false, .. } => {
                self.make_frame(number, kind);
                self.piece(b"{}", out);
            }
            Kind::FreeText { .. } => {
                let held = self.free_text.iter().position(|(open, _)| *open == number);
                let (_, held) = held.map(|place| self.free_text.swap_remove(place)).unwrap_or_default();
                let mut text = Vec::new();
                arguments::free_text(&held, &mut text);
                self.make_frame(number, kind);
                self.piece(&text, out);
            }
            _ => {}
        }
        self.framed = None;
    }

    fn end(&mut self, stop: Stop, sequence: Option<Escaped<'_>>, usage: &Usage, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"[{\"index\":0,\"delta\":{},\"finish_reason\":\"");
        out.extend_from_slice(finish_reason(stop).as_bytes());
        out.push(b'"');
        write_sequence(sequence, out);
        out.extend_from_slice(b"}]");
        out.extend_from_slice(self.tail.as_bytes());
        write_end(&self.head, self.tells_usage.then_some(usage), out);
    }

    fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        failure.write_event(Dialect::Chat, "", out);
    }

    fn ping(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(Dialect::Chat.ping());
    }

    fn losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }
}

/// What stands before and behind the members of a delta.
const DELTA: &str = "[{\"index\":0,\"delta\":{";
const DELTA_TAIL: &str = "},\"finish_reason\":null}]";
