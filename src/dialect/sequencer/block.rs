//! A block of an answer while its words come.

use super::super::turn::{Key, Open};
use crate::json::Completeness;

/// What the sequencer knows of a block.
#[derive(Debug)]
pub(super) struct Block {
    /// The reader's name for it; `None` once the upstream closed it.
    pub key: Option<Key>,
    pub kind: Kind,
    pub place: Place,
    /// What came before its turn.
    pub held: Vec<u8>,
    /// A thinking block's proof: written before its end.
    pub signature: Vec<u8>,
}

#[derive(Debug)]
pub(super) enum Kind {
    Text,
    Thinking,
    Refusal,
    /// Its data is held.
    Redacted,
    Call(Call),
}

/// What stands of a block in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing.
    Waiting,
    /// It is open, under this number.
    Open(u32),
    /// All of it. Text may go on in another block.
    Ended,
}

/// A call of a tool. Empty is what is not known.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub id: Vec<u8>,
    pub name: Vec<u8>,
    /// What was written of its arguments.
    pub arguments: Completeness,
}

impl Block {
    /// A block that nothing is written of.
    pub fn new(key: Key, block: Open<'_>) -> Self {
        let (kind, held) = match block {
            Open::Text => (Kind::Text, &[][..]),
            Open::Thinking => (Kind::Thinking, &[][..]),
            Open::Refusal => (Kind::Refusal, &[][..]),
            Open::RedactedThinking(data) => (Kind::Redacted, data),
            Open::ToolCall { id, name } => {
                (Kind::Call(Call { id: id.to_vec(), name: name.to_vec(), ..Call::default() }), &[][..])
            }
        };
        Self { key: Some(key), kind, place: Place::Waiting, held: held.to_vec(), signature: Vec::new() }
    }

    /// Takes what was missing when it began; says whether the words are about this block, and not about a new one.
    pub fn complete(&mut self, block: Open<'_>) -> bool {
        match (&mut self.kind, block) {
            (Kind::Call(call), Open::ToolCall { id, name }) => {
                for (known, new) in [(&mut call.id, id), (&mut call.name, name)] {
                    if known.is_empty() {
                        known.extend_from_slice(new);
                    }
                }
                true
            }
            (Kind::Text, Open::Text) | (Kind::Thinking, Open::Thinking) | (Kind::Refusal, Open::Refusal) => true,
            _ => false,
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.place, Place::Open(_))
    }

    pub fn is_waiting(&self) -> bool {
        self.place == Place::Waiting
    }

    pub fn is_thought(&self) -> bool {
        matches!(self.kind, Kind::Thinking | Kind::Redacted)
    }

    pub fn is_call(&self) -> bool {
        matches!(self.kind, Kind::Call(_))
    }

    /// Nothing is known of it.
    pub fn is_nothing(&self) -> bool {
        let is_nobody = match &self.kind {
            Kind::Call(call) => call.id.is_empty() && call.name.is_empty(),
            _ => true,
        };
        is_nobody && self.held.is_empty() && self.signature.is_empty()
    }

    /// The next block may begin: it is no call, or nothing is missing in its arguments.
    pub fn may_end(&self) -> bool {
        match &self.kind {
            Kind::Call(call) => self.key.is_none() || call.arguments.is_whole(),
            _ => true,
        }
    }
}
