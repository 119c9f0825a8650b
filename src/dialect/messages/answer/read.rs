//! Reads an answer in Messages, streamed or whole.

use super::blocks::Blocks;
use super::members::{path, stop, usage};
use crate::dialect::Dialect;
use crate::dialect::failure;
use crate::dialect::turn::{self, Class, Failure, Key, Open, Word};
use crate::json::{Index, Kind, Template, Value, same};

/// Reads one answer at a time; its memory is reused.
///
/// Usage and stop reasons in several `message_delta` events are running totals. A stream that ends behind a stop reason
/// without `message_stop` is whole: [`Word::Stop`] was said.
#[derive(Debug, Default)]
pub struct Reader {
    index: Index,
    blocks: Blocks,
    has_started: bool,
    /// The shape of the last piece, and the block that pieces of this shape are for.
    template: Template,
    learned: Key,
}

impl Reader {
    /// A reader that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes it ready for another answer.
    pub fn reset(&mut self) {
        self.blocks.reset();
        self.template.clear();
        self.has_started = false;
    }

    #[cfg(test)]
    pub(super) fn forget_shape(&mut self) {
        self.template.clear();
    }

    fn read(&mut self, name: &[u8], data: &[u8], say: &mut impl FnMut(Word<'_>)) {
        let Self { index, blocks, has_started, template, learned } = self;
        // Other dialects' end of a stream: some servers send it in all of theirs.
        if data.trim_ascii().is_empty() || data.trim_ascii() == b"[DONE]" {
            return;
        }
        let Ok(event) = index.read(data) else {
            let failure = match name {
                b"error" => failure::read(Dialect::Messages, 200, data),
                _ => Failure::new(Class::Api, "The upstream sent an event that is not JSON."),
            };
            return say(Word::Failed(failure));
        };
        let own_kind = event.get("type").and_then(|kind| kind.escaped());
        let at = event.get("index").and_then(|index| index.as_u64()).unwrap_or_default();
        match own_kind.unwrap_or(name) {
            b"content_block_delta" => {
                let Some(delta) = event.get("delta") else {
                    return say(Word::Foreign("content_block_delta".into()));
                };
                match blocks.delta(at, delta, say).filter(|_| own_kind.is_some()) {
                    Some((key, text)) => {
                        *learned = key;
                        template.learn(event, text, means_nothing);
                    }
                    // It may have begun another block.
                    None => template.clear(),
                }
            }
            b"ping" => say(Word::Ping),
            kind => {
                template.clear();
                rare(kind, event, at, blocks, has_started, say);
            }
        }
    }
}

impl turn::Reader for Reader {
    #[inline]
    fn event(&mut self, name: &[u8], data: &[u8], say: &mut impl FnMut(Word<'_>)) {
        match self.template.find(data) {
            Some(b"") => {}
            Some(text) => say(Word::Delta { key: self.learned, text }),
            None => self.read(name, data, say),
        }
    }

    fn body(&mut self, body: &[u8], say: &mut impl FnMut(Word<'_>)) {
        let Self { index, blocks, has_started, .. } = self;
        let Ok(message) = index.read(body) else {
            return say(Word::Failed(failure::read(Dialect::Messages, 200, body)));
        };
        let is_answer =
            message.get("content").is_some_and(|content| matches!(content.kind(), Kind::Array | Kind::String));
        if message.get("error").is_some() || !is_answer {
            let mut failure = failure::read_value(Dialect::Messages, 200, message);
            if message.get("error").is_none() && !message.get("type").is_some_and(|kind| kind.is("error")) {
                failure = Failure::new(Class::Api, "The upstream answered with something that is not a message.");
            }
            return say(Word::Failed(failure));
        }
        start(message, has_started, say);
        whole_blocks(message, blocks, say);
        ending(message, blocks, say);
        told_usage(message, say);
        say(Word::End);
    }
}

/// The events that an answer has a few of.
fn rare(
    kind: &[u8],
    event: Value<'_>,
    at: u64,
    blocks: &mut Blocks,
    has_started: &mut bool,
    say: &mut impl FnMut(Word<'_>),
) {
    match kind {
        b"content_block_start" => match event.get("content_block") {
            Some(block) => blocks.begin(at, block, say),
            None => say(Word::Foreign("content_block_start".into())),
        },
        b"content_block_stop" => blocks.end(at, say),
        b"message_start" => {
            if let Some(message) = event.get("message") {
                start(message, has_started, say);
                whole_blocks(message, blocks, say);
                told_usage(message, say);
            }
        }
        b"message_delta" => {
            if let Some(delta) = event.get("delta") {
                ending(delta, blocks, say);
            }
            told_usage(event, say);
        }
        b"message_stop" => {
            blocks.end_all(say);
            say(Word::End);
        }
        _ if event.get("error").is_some() || same(kind, "error") => {
            say(Word::Failed(failure::read_value(Dialect::Messages, 200, event)));
        }
        kind => say(Word::Foreign(path("event", Some(kind)))),
    }
}

/// Members of an event that is a piece of a block, which may be different in each: some servers number or stamp them.
fn means_nothing(path: &[&[u8]]) -> bool {
    let is_plain = |key: &&[u8]| !key.contains(&b'\\');
    match path {
        [member, ..] => path.iter().all(is_plain) && !matches!(*member, b"type" | b"index" | b"delta"),
        [] => false,
    }
}

fn start(message: Value<'_>, has_started: &mut bool, say: &mut impl FnMut(Word<'_>)) {
    let string = |key: &str| message.get(key).and_then(|value| value.escaped()).unwrap_or_default();
    if !std::mem::replace(has_started, true) {
        say(Word::Start { id: string("id"), model: string("model") });
    }
}

/// The blocks of a whole answer; a stream's first event has none as a rule.
fn whole_blocks(message: Value<'_>, blocks: &mut Blocks, say: &mut impl FnMut(Word<'_>)) {
    let Some(content) = message.get("content") else { return };
    for (at, block) in (0..).zip(content.items()) {
        blocks.begin(at, block, say);
        blocks.end(at, say);
    }
    if let Some(text) = content.escaped() {
        blocks.alone(Open::Text, text, say);
    }
}

/// Why the model stopped, and what else is known at the end.
fn ending(delta: Value<'_>, blocks: &mut Blocks, say: &mut impl FnMut(Word<'_>)) {
    let explanation = delta.get("stop_details").and_then(|details| details.get("explanation")?.escaped());
    blocks.alone(Open::Refusal, explanation.unwrap_or_default(), say);
    if let Some(reason) = delta.get("stop_reason") {
        let sequence = delta.get("stop_sequence").and_then(|sequence| sequence.escaped());
        say(Word::Stop(stop(reason), sequence));
    }
    if delta.get("container").is_some() {
        say(Word::Foreign("container".into()));
    }
}

fn told_usage(holder: Value<'_>, say: &mut impl FnMut(Word<'_>)) {
    let Some(told) = holder.get("usage") else { return };
    say(Word::Usage(usage(told)));
    // Tokens are carried; tools that the vendor ran and bills have no word.
    let is_some = |count: Value<'_>| count.as_u64().is_some_and(|count| count > 0);
    if told.get("server_tool_use").is_some_and(|tools| tools.members().any(|(_, count)| is_some(count))) {
        say(Word::Foreign("usage.server_tool_use".into()));
    }
}
