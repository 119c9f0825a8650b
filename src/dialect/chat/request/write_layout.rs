//! Lays a conversation out as the messages of Chat Completions.
//!
//! Each call is answered by one `tool` message, all of them directly behind the call; what a `tool` message cannot hold
//! comes in the user's next one. Instructions that stand in mid-conversation stay there, in the user's words: moved to the
//! top they would change the beginning of the prompt, and no cache would know it again.

use std::borrow::Cow;

use super::write_parts::{Part, Parts};
use crate::dialect::loss::Losses;
use crate::dialect::messages::request::is_client_mark;
use crate::dialect::pairing::{self, MISSING};
use crate::dialect::profile::{Flag, History, Profile};
use crate::dialect::raw;
use crate::dialect::turn::{Block, Content, Refused, Request, Role, Text, ToolCall, ToolResult, Turn};
use crate::json::text;

/// One message to write.
#[derive(Clone, Debug)]
pub(super) struct Message<'a> {
    pub role: Speaker<'a>,
    pub parts: Vec<Part<'a>>,
    /// What was made here; the words of the user that follow belong into the same message.
    is_made: bool,
}

/// Whose a message is, and what only theirs have.
#[derive(Clone, Debug)]
pub(super) enum Speaker<'a> {
    System,
    User,
    Assistant {
        calls: Vec<ToolCall<'a>>,
        /// [`Content::Thinking`] and [`Content::RedactedThinking`].
        thoughts: Vec<Content<'a>>,
    },
    /// A result, and the id of its call.
    Tool(Text<'a>),
}

const CONTENT: &str = "messages.content";

/// The messages of a conversation; `instruction` is one more for the system.
pub(super) fn lay_out<'a>(
    request: &Request<'a>,
    profile: &Profile,
    instruction: Option<Vec<u8>>,
    losses: &mut Losses,
) -> Result<Vec<Message<'a>>, Refused> {
    let turns = pairing::pair(&request.turns, losses);
    let mut layout = Layout {
        messages: Vec::with_capacity(turns.len() + 1),
        aside: Vec::new(),
        pictures: 0,
        parts: Parts { profile, losses },
    };
    let mut leading = true;
    for turn in &turns {
        leading &= turn.role == Role::System;
        match turn.role {
            Role::System if leading => layout.system(turn),
            Role::System => layout.reminder(turn),
            Role::Assistant => layout.assistant(turn),
            Role::User => layout.user(turn)?,
        }
    }
    let Layout { mut messages, .. } = layout;
    if let Some(words) = instruction {
        instruct(&mut messages, words);
    }
    if messages.iter().all(|message| matches!(message.role, Speaker::System)) {
        return Err(Refused::new("messages", "no message has any content"));
    }
    if profile.has(Flag::AnswerAfterTool) {
        messages = answered(messages, losses);
    }
    if profile.has(Flag::AlternateRoles) {
        messages = merged(messages);
    }
    Ok(messages)
}

struct Layout<'a, 'l> {
    messages: Vec<Message<'a>>,
    /// What results hold and `tool` messages cannot, for the user's next message.
    aside: Vec<Part<'a>>,
    /// Parts put aside so far behind one turn of calls.
    pictures: usize,
    parts: Parts<'l>,
}

impl<'a> Layout<'a, '_> {
    /// Instructions at the top are one message.
    fn system(&mut self, turn: &Turn<'a>) {
        let parts = self.instructions(turn, "system");
        match self.messages.last_mut() {
            Some(message) => message.parts.extend(parts),
            None => self.push(Speaker::System, parts),
        }
    }

    /// Instructions further down.
    fn reminder(&mut self, turn: &Turn<'a>) {
        let parts = self.instructions(turn, CONTENT);
        if parts.is_empty() {
            return;
        }
        if self.parts.profile.has(Flag::SystemInPlace) {
            self.push(Speaker::System, parts);
            return;
        }
        self.parts.losses.approximated("messages.role");
        let texts = parts.iter().filter_map(|part| match part {
            Part::Text(text, _) => Some(&**text),
            _ => None,
        });
        let text = texts.collect::<Vec<_>>().join(&br"\n"[..]);
        let text = [&br"<system-reminder>\n"[..], &text, br"\n</system-reminder>"].concat();
        let mark = parts.iter().rev().find_map(|part| match part {
            Part::Text(_, mark) => *mark,
            _ => None,
        });
        self.beside(Part::Text(text.into(), mark));
    }

    /// The texts of a system turn.
    fn instructions(&mut self, turn: &Turn<'a>, path: &str) -> Vec<Part<'a>> {
        let mut parts = Vec::new();
        for block in &turn.blocks {
            match &block.content {
                Content::Text(text) if is_blank(text) || is_client_mark(text) => {}
                Content::Text(text) => parts.push(Part::Text(text.clone(), self.parts.mark(block, path))),
                other => self.parts.losses.dropped(format!("{path}.{}", kind(other))),
            }
        }
        parts
    }

    fn assistant(&mut self, turn: &Turn<'a>) {
        let (mut parts, mut calls, mut thoughts) = (Vec::new(), Vec::new(), Vec::new());
        for block in &turn.blocks {
            match &block.content {
                Content::Text(text) | Content::Refusal(text) if is_blank(text) => {}
                Content::Text(text) | Content::Refusal(text) => {
                    parts.push(Part::Text(text.clone(), self.parts.mark(block, CONTENT)));
                    continue;
                }
                Content::ToolCall(call) => calls.push(call.clone()),
                Content::Thinking { .. } | Content::RedactedThinking(_) => thoughts.push(block.content.clone()),
                other => self.parts.losses.dropped(format!("{CONTENT}.{}", kind(other))),
            }
            if block.cache_control.is_some() {
                self.parts.losses.dropped("messages.content.cache_control");
            }
        }
        if calls.is_empty() && parts.is_empty() && self.parts.profile.history == History::Drop {
            // Nothing of it would be left, and servers refuse a message without content.
            self.parts.losses.dropped("messages.content.thinking");
            return;
        }
        self.push(Speaker::Assistant { calls, thoughts }, parts);
    }

    fn user(&mut self, turn: &Turn<'a>) -> Result<(), Refused> {
        self.pictures = 0;
        let mut parts = Vec::new();
        for block in &turn.blocks {
            match &block.content {
                Content::ToolResult(result) => self.tool(block, result),
                Content::Text(text) if is_blank(text) => {}
                _ => self.parts.push(block, CONTENT, &mut parts)?,
            }
        }
        // The turn was one of results.
        for part in std::mem::take(&mut self.aside) {
            self.beside(part);
        }
        match self.messages.last_mut() {
            _ if parts.is_empty() => {}
            Some(Message { role: Speaker::User, parts: before, is_made }) if *is_made => {
                *is_made = false;
                before.extend(parts);
            }
            _ => self.push(Speaker::User, parts),
        }
        Ok(())
    }

    /// One result is one message, whatever it holds: without one the conversation would be refused.
    fn tool(&mut self, block: &Block<'a>, result: &ToolResult<'a>) {
        let mut parts = Vec::new();
        for block in &result.content {
            match &block.content {
                Content::Other { raw: value, .. } => {
                    let mut text = Vec::new();
                    raw::escape(value.raw(), &mut text);
                    parts.push(Part::Text(text.into(), None));
                }
                _ => {
                    if let Err(refused) = self.parts.push(block, CONTENT, &mut parts) {
                        parts.push(self.left_out(&refused));
                    }
                }
            }
        }
        if !self.parts.profile.has(Flag::ImagesInTool) {
            parts.iter_mut().for_each(|part| self.put_aside(part));
        }
        let is_empty = parts.is_empty();
        if result.is_error {
            mark_error(&mut parts);
        }
        if is_empty && self.parts.profile.has(Flag::NoOutput) {
            parts.push(Part::Text(Cow::Borrowed(b"(no output)"), None));
        }
        if let (Some(mark), Some(Part::Text(_, place))) = (self.parts.mark(block, CONTENT), parts.last_mut()) {
            *place = Some(mark);
        }
        self.push(Speaker::Tool(result.id.clone()), parts);
    }

    /// The model asked for what it cannot be given: told why, it can ask for something else. Refused, the request could
    /// never be sent again, nor any that follows it.
    fn left_out(&mut self, refused: &Refused) -> Part<'a> {
        self.parts.losses.dropped(refused.path.clone());
        let mut words = b"[left out: ".to_vec();
        text::escape(refused.message.as_bytes(), &mut words);
        words.push(b']');
        Part::Text(words.into(), None)
    }

    /// A text that says where to look stands for what is no text.
    fn put_aside(&mut self, part: &mut Part<'a>) {
        let what = match part {
            Part::Image(..) => "image",
            Part::File(..) => "document",
            Part::Text(..) | Part::Gap => return,
        };
        self.pictures += 1;
        let label = format!("[{what} {}: see next message]", self.pictures);
        self.aside.push(std::mem::replace(part, Part::Text(label.into_bytes().into(), None)));
    }

    /// Adds to the user's message at the end, or begins one.
    fn beside(&mut self, part: Part<'a>) {
        match self.messages.last_mut() {
            Some(Message { role: Speaker::User, parts, .. }) => parts.push(part),
            _ => self.messages.push(Message { role: Speaker::User, parts: vec![part], is_made: true }),
        }
    }

    fn push(&mut self, role: Speaker<'a>, parts: Vec<Part<'a>>) {
        let says_nothing = match &role {
            Speaker::Tool(_) => false,
            Speaker::Assistant { calls, thoughts } => calls.is_empty() && thoughts.is_empty() && parts.is_empty(),
            Speaker::System | Speaker::User => parts.is_empty(),
        };
        if !says_nothing {
            self.messages.push(Message { role, parts, is_made: false });
        }
    }
}

/// One more instruction, at the end of those at the top.
fn instruct(messages: &mut Vec<Message<'_>>, words: Vec<u8>) {
    let part = Part::Text(words.into(), None);
    match messages.first_mut() {
        Some(Message { role: Speaker::System, parts, .. }) => parts.push(part),
        _ => messages.insert(0, Message { role: Speaker::System, parts: vec![part], is_made: true }),
    }
}

/// With a word of the model between a tool's message and the user's, for servers that refuse the user's there.
fn answered<'a>(messages: Vec<Message<'a>>, losses: &mut Losses) -> Vec<Message<'a>> {
    let mut all: Vec<Message<'a>> = Vec::with_capacity(messages.len());
    for message in messages {
        let is_behind = matches!(all.last(), Some(Message { role: Speaker::Tool(_), .. }));
        if is_behind && matches!(message.role, Speaker::User | Speaker::System) {
            losses.invented("messages.role");
            let role = Speaker::Assistant { calls: Vec::new(), thoughts: Vec::new() };
            all.push(Message { role, parts: vec![Part::Text(Cow::Borrowed(b"OK."), None)], is_made: true });
        }
        all.push(message);
    }
    all
}

/// Messages in a row with one role as one.
fn merged(messages: Vec<Message<'_>>) -> Vec<Message<'_>> {
    let mut all: Vec<Message<'_>> = Vec::with_capacity(messages.len());
    for message in messages {
        match (all.last_mut().map(|last| (&mut last.role, &mut last.parts)), message.role) {
            (Some((Speaker::User, parts)), Speaker::User) | (Some((Speaker::System, parts)), Speaker::System) => {
                parts.push(Part::Gap);
                parts.extend(message.parts);
            }
            (
                Some((Speaker::Assistant { calls, thoughts }, parts)),
                Speaker::Assistant { calls: more, thoughts: further },
            ) if calls.is_empty() => {
                calls.extend(more);
                thoughts.extend(further);
                parts.push(Part::Gap);
                parts.extend(message.parts);
            }
            (_, role) => all.push(Message { role, ..message }),
        }
    }
    all
}

/// Says that a result is an error, unless it says so itself.
fn mark_error(parts: &mut Vec<Part<'_>>) {
    const ERROR: &[u8] = b"error";
    match parts.first_mut() {
        Some(Part::Text(text, _)) => {
            let says_so = text.get(..ERROR.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(ERROR));
            if !says_so && &**text != MISSING {
                *text = [b"Error: ", &**text].concat().into();
            }
        }
        _ => parts.insert(0, Part::Text(Cow::Borrowed(b"Error: "), None)),
    }
}

/// Nothing but white space; servers refuse such texts, or take them for a turn.
fn is_blank(escaped: &[u8]) -> bool {
    let mut rest = escaped;
    loop {
        rest = match rest {
            [] => return true,
            [b' ', rest @ ..] | [b'\\', b'n' | b'r' | b't', rest @ ..] => rest,
            _ => return false,
        };
    }
}

/// The name of a block's type, for losses.
fn kind(content: &Content<'_>) -> String {
    let name = match content {
        Content::Text(_) => "text",
        Content::Image { .. } => "image",
        Content::Document(_) => "document",
        Content::ToolCall(_) => "tool_use",
        Content::ToolResult(_) => "tool_result",
        Content::Thinking { .. } => "thinking",
        Content::RedactedThinking(_) => "redacted_thinking",
        Content::Refusal(_) => "refusal",
        Content::Other { kind, .. } => return raw::printable(kind),
    };
    name.to_owned()
}
