//! The conversation as Messages demands it: instructions in front, user and assistant by turns, the user first, nothing
//! empty.

use std::borrow::Cow;

use super::blocks;
use super::generation::{Accepts, Generation};
use super::put::{self, is_blank, trimmed_end};
use crate::dialect::loss::Losses;
use crate::dialect::messages::signature::{MARK, is_genuine};
use crate::dialect::pairing::pair;
use crate::dialect::profile::{Flag, History, Profile};
use crate::dialect::turn::{Block, Content, Refused, Request, Role, Terms, Text, Turn};

/// Stands where the first word would be the assistant's.
const FIRST: &[u8] = b"(continue)";
/// Stands behind the assistant's last word where a model does not continue it.
const LAST: &[u8] = b"Continue.";
/// Stands for a picture.
const OMITTED: &[u8] = b"[image omitted]";
/// Stands where there are instructions and nothing else.
const ONLY: &[u8] = b".";

/// A conversation in that order.
pub struct Conversation<'a> {
    /// The instructions in front.
    pub system: Vec<Block<'a>>,
    /// The turns behind them.
    pub turns: Vec<Turn<'a>>,
}

impl<'a> Conversation<'a> {
    /// Brings a request's turns into that order.
    ///
    /// # Errors
    /// The user says what has no word in Messages.
    pub fn of(
        request: &Request<'a>,
        generation: &Generation,
        profile: &Profile,
        losses: &mut Losses,
    ) -> Result<Self, Refused> {
        let mut turns = Vec::new();
        for turn in pair(&request.turns, losses) {
            let blocks = match turn.role {
                Role::System => instructions(turn.blocks, losses),
                Role::Assistant => said_by_model(turn.blocks, profile, losses),
                Role::User => said_by_user(turn.blocks, profile, losses)?,
            };
            if !blocks.is_empty() {
                turns.push(Turn { role: turn.role, blocks });
            }
        }
        let leading = turns.iter().take_while(|turn| turn.role == Role::System).count();
        let behind = turns.split_off(leading);
        let system = turns.into_iter().flat_map(|turn| turn.blocks).collect();
        let mut conversation = Self { system, turns: Vec::with_capacity(behind.len() + 1) };
        conversation.append(behind, generation, losses);
        conversation.begin_and_end(generation, losses);
        Ok(conversation)
    }

    /// Appends `system` and `messages`.
    pub fn write(&self, terms: &mut Terms, losses: &mut Losses, out: &mut Vec<u8>) -> Result<(), Refused> {
        if !self.system.is_empty() {
            put::key("system", out);
            blocks::write(&self.system, terms, losses, out)?;
        }
        put::key("messages", out);
        out.push(b'[');
        for turn in &self.turns {
            put::comma(out);
            out.extend_from_slice(match turn.role {
                Role::System => b"{\"role\":\"system\",\"content\":",
                Role::User => b"{\"role\":\"user\",\"content\":",
                Role::Assistant => b"{\"role\":\"assistant\",\"content\":",
            });
            blocks::write(&turn.blocks, terms, losses, out)?;
            out.push(b'}');
        }
        out.push(b']');
        Ok(())
    }

    fn append(&mut self, turns: Vec<Turn<'a>>, generation: &Generation, losses: &mut Losses) {
        let mut turns = turns.into_iter().peekable();
        while let Some(mut turn) = turns.next() {
            if turn.role != Role::System {
                self.push(turn.role, turn.blocks);
                continue;
            }
            while let Some(more) = turns.next_if(|next| next.role == Role::System) {
                turn.blocks.extend(more.blocks);
            }
            let behind_user = self.turns.last().is_some_and(|last| last.role == Role::User);
            let before_assistant = turns.peek().is_none_or(|next| next.role == Role::Assistant);
            if generation.accepts(Accepts::SystemTurns) && behind_user && before_assistant {
                self.push(Role::System, turn.blocks);
            } else {
                losses.approximated("messages.role");
                self.push(Role::User, turn.blocks.into_iter().map(reminder).collect());
            }
        }
    }

    /// The turns of one role become one.
    fn push(&mut self, role: Role, blocks: Vec<Block<'a>>) {
        match self.turns.last_mut().filter(|last| last.role == role) {
            Some(last) => last.blocks.extend(blocks),
            None => self.turns.push(Turn { role, blocks }),
        }
    }

    fn begin_and_end(&mut self, generation: &Generation, losses: &mut Losses) {
        match self.turns.first().map(|first| first.role) {
            None => {
                losses.invented("messages");
                self.push(Role::User, vec![Block::text(ONLY)]);
            }
            Some(Role::Assistant) => {
                losses.invented("messages");
                self.turns.insert(0, Turn { role: Role::User, blocks: vec![Block::text(FIRST)] });
            }
            Some(_) => {}
        }
        let Some(last) = self.turns.last_mut().filter(|last| last.role == Role::Assistant) else { return };
        if !generation.accepts(Accepts::Prefill) {
            losses.invented("messages");
            return self.push(Role::User, vec![Block::text(LAST)]);
        }
        if let Some(Content::Text(text)) = last.blocks.last_mut().map(|block| &mut block.content) {
            let length = trimmed_end(text).len();
            match text {
                Cow::Borrowed(text) => *text = text.get(..length).unwrap_or(text),
                Cow::Owned(text) => text.truncate(length),
            }
        }
    }
}

/// Instructions in the middle of a conversation, where they cannot stand as such. In front of it they would change what
/// providers cache.
fn reminder(mut block: Block<'_>) -> Block<'_> {
    if let Content::Text(text) = &block.content {
        let text = [b"<system-reminder>\\n", &**text, b"\\n</system-reminder>"].concat();
        block.content = Content::Text(Cow::Owned(text));
    }
    block
}

fn instructions<'a>(blocks: Vec<Block<'a>>, losses: &mut Losses) -> Vec<Block<'a>> {
    let said = |block: Block<'a>| match block.content {
        Content::Text(text) | Content::Refusal(text) => with_text(text, block.cache_control),
        _ => {
            losses.dropped("messages.content");
            None
        }
    };
    blocks.into_iter().filter_map(said).collect()
}

/// Thoughts stay with a proof that Anthropic may know; other vendors that want theirs back ask for none.
fn said_by_model<'a>(blocks: Vec<Block<'a>>, profile: &Profile, losses: &mut Losses) -> Vec<Block<'a>> {
    let wants_all = profile.history == History::ReasoningContent;
    let said = |block: Block<'a>| match block.content {
        Content::Text(text) | Content::Refusal(text) => with_text(text, block.cache_control),
        Content::ToolCall(_) => Some(block),
        Content::Thinking { signature: Some(ref signature), .. } if is_genuine(signature) => Some(unmarked(block)),
        Content::Thinking { ref text, .. } if wants_all && !text.is_empty() => Some(unmarked(block)),
        Content::RedactedThinking(ref data) if !data.is_empty() && !data.starts_with(MARK.as_bytes()) => {
            Some(unmarked(block))
        }
        Content::Thinking { .. } | Content::RedactedThinking(_) => {
            losses.dropped("messages.reasoning_content");
            None
        }
        _ => {
            losses.dropped("messages.content");
            None
        }
    };
    let mut said: Vec<_> = blocks.into_iter().filter_map(said).collect();
    // Thoughts that came to nothing must not be the end of a turn.
    let thought = |block: &Block<'_>| matches!(block.content, Content::Thinking { .. } | Content::RedactedThinking(_));
    while said.last().is_some_and(thought) {
        losses.dropped("messages.reasoning_content");
        said.pop();
    }
    said
}

fn said_by_user<'a>(blocks: Vec<Block<'a>>, profile: &Profile, losses: &mut Losses) -> Result<Vec<Block<'a>>, Refused> {
    let mut said = Vec::with_capacity(blocks.len());
    for mut block in blocks {
        if profile.has(Flag::TextOnly) {
            leave_pictures_out(&mut block, losses);
        }
        match block.content {
            Content::Text(text) | Content::Refusal(text) => said.extend(with_text(text, block.cache_control)),
            Content::Other { kind, .. } => return Err(blocks::unknown(&kind)),
            Content::Thinking { .. } | Content::RedactedThinking(_) | Content::ToolCall(_) => {
                losses.dropped("messages.content");
            }
            Content::Image { .. } | Content::Document(_) | Content::ToolResult(_) => said.push(block),
        }
    }
    Ok(said)
}

/// For models that cannot see.
fn leave_pictures_out(block: &mut Block<'_>, losses: &mut Losses) {
    match &mut block.content {
        Content::Image { .. } => {
            losses.dropped("messages.content.image");
            block.content = Content::Text(Cow::Borrowed(OMITTED));
        }
        Content::ToolResult(result) => {
            result.content.iter_mut().for_each(|inner| leave_pictures_out(inner, losses));
        }
        _ => {}
    }
}

/// A block of text, unless it is blank: Messages refuses those.
fn with_text<'a>(text: Text<'a>, cache_control: Option<&'a [u8]>) -> Option<Block<'a>> {
    (!is_blank(&text)).then_some(Block { content: Content::Text(text), cache_control })
}

/// Thoughts take no mark.
fn unmarked(block: Block<'_>) -> Block<'_> {
    Block { cache_control: None, ..block }
}
