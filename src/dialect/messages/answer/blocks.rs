//! The blocks of an answer, and what the sequence of their events says.

use super::members::path;
use crate::dialect::turn::{Key, Open, Word};
use crate::json::{Value, text};
use crate::limits::BLOCKS_OPEN_MAX;

/// Blocks that began and did not end. There is one at a time, unless the upstream breaks the rule.
#[derive(Debug, Default)]
pub struct Blocks {
    open: Vec<Block>,
    /// The next block's name: the upstream's index may be used twice.
    next: Key,
}

/// A block that began.
#[derive(Debug)]
struct Block {
    /// The upstream's index.
    index: u64,
    key: Key,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Text,
    Thinking,
    /// It was whole when it began.
    Redacted,
    /// The input that it began with, escaped: it holds if no fragment comes.
    Tool(Vec<u8>),
    /// It has no word: what follows in it is passed over.
    Foreign,
}

impl Blocks {
    /// Forgets all, for another answer.
    pub fn reset(&mut self) {
        self.open.clear();
        self.next = 0;
    }

    /// `content_block_start`, or a block of a whole answer.
    pub fn begin(&mut self, index: u64, block: Value<'_>, say: &mut impl FnMut(Word<'_>)) {
        self.end(index, say);
        let string = |key: &str| block.get(key).and_then(|value| value.escaped()).unwrap_or_default();
        let kind = string("type");
        match kind {
            b"text" => {
                let key = self.open(index, Kind::Text, Open::Text, say);
                delta(key, string("text"), say);
                if block.get("citations").is_some_and(|citations| citations.items().next().is_some()) {
                    say(Word::Foreign("content.citations".into()));
                }
            }
            b"thinking" => {
                let key = self.open(index, Kind::Thinking, Open::Thinking, say);
                delta(key, string("thinking"), say);
                signature(key, string("signature"), say);
            }
            b"redacted_thinking" => {
                self.open(index, Kind::Redacted, Open::RedactedThinking(string("data")), say);
            }
            b"tool_use" => {
                let input = whole_input(block.get("input"));
                let call = Open::ToolCall { id: string("id"), name: string("name") };
                self.open(index, Kind::Tool(input), call, say);
                if block.get("caller").is_some_and(|caller| !caller.get("type").is_some_and(|kind| kind.is("direct"))) {
                    say(Word::Foreign("content.caller".into()));
                }
            }
            _ => {
                say(Word::Foreign(path("content", Some(kind))));
                self.make_room(say);
                self.open.push(Block { index, key: Key::MAX, kind: Kind::Foreign });
            }
        }
    }

    /// `content_block_delta`. Gives the block and the text, if that is all that such an event says.
    pub fn delta<'v>(
        &mut self,
        index: u64,
        fragment: Value<'v>,
        say: &mut impl FnMut(Word<'_>),
    ) -> Option<(Key, Value<'v>)> {
        let string = |key: &str| fragment.get(key).and_then(|value| value.escaped()).unwrap_or_default();
        let kind = string("type");
        let block = self.open.iter_mut().find(|block| block.index == index);
        let (key, member) = match (kind, block) {
            (_, Some(Block { kind: Kind::Foreign, .. })) => return None,
            (b"text_delta", Some(Block { kind: Kind::Text, key, .. })) => (*key, "text"),
            (b"thinking_delta", Some(Block { kind: Kind::Thinking, key, .. })) => (*key, "thinking"),
            (b"input_json_delta", Some(Block { kind: Kind::Tool(input), key, .. })) => {
                if !string("partial_json").is_empty() {
                    input.clear();
                }
                (*key, "partial_json")
            }
            (b"signature_delta", Some(Block { kind: Kind::Thinking, key, .. })) => {
                signature(*key, string("signature"), say);
                return None;
            }
            // The block that it is for was not begun: some servers leave that out.
            (b"text_delta", _) => {
                self.begin_late(index, Kind::Text, Open::Text, string("text"), say);
                return None;
            }
            (b"thinking_delta", _) => {
                self.begin_late(index, Kind::Thinking, Open::Thinking, string("thinking"), say);
                return None;
            }
            (b"citations_delta", _) => {
                say(Word::Foreign("content.citations".into()));
                return None;
            }
            (kind, _) => {
                say(Word::Foreign(path("content", Some(kind))));
                return None;
            }
        };
        let value = fragment.get(member)?;
        delta(key, value.escaped().unwrap_or_default(), say);
        Some((key, value)).filter(|_| value.escaped().is_some_and(|text| !text.is_empty()))
    }

    /// `content_block_stop`.
    pub fn end(&mut self, index: u64, say: &mut impl FnMut(Word<'_>)) {
        let Some(place) = self.open.iter().position(|block| block.index == index) else { return };
        let Block { key, kind, .. } = self.open.remove(place);
        match kind {
            Kind::Foreign => return,
            Kind::Tool(input) => delta(key, &input, say),
            Kind::Text | Kind::Thinking | Kind::Redacted => {}
        }
        say(Word::Close { key });
    }

    /// A block that is whole, beside those that the upstream numbers; nothing if it is empty.
    pub fn alone(&mut self, block: Open<'_>, text: &[u8], say: &mut impl FnMut(Word<'_>)) {
        if !text.is_empty() {
            let key = self.next;
            self.next = self.next.wrapping_add(1);
            say(Word::Open { key, block });
            say(Word::Delta { key, text });
            say(Word::Close { key });
        }
    }

    /// Ends what the upstream did not.
    pub fn end_all(&mut self, say: &mut impl FnMut(Word<'_>)) {
        while let Some(index) = self.open.first().map(|block| block.index) {
            self.end(index, say);
        }
    }

    fn begin_late(&mut self, index: u64, kind: Kind, open: Open<'_>, first: &[u8], say: &mut impl FnMut(Word<'_>)) {
        self.end(index, say);
        let key = self.open(index, kind, open, say);
        delta(key, first, say);
    }

    fn open(&mut self, index: u64, kind: Kind, block: Open<'_>, say: &mut impl FnMut(Word<'_>)) -> Key {
        self.make_room(say);
        let key = self.next;
        self.next = self.next.wrapping_add(1);
        say(Word::Open { key, block });
        self.open.push(Block { index, key, kind });
        key
    }

    /// Ends the oldest block of too many.
    fn make_room(&mut self, say: &mut impl FnMut(Word<'_>)) {
        if self.open.len() >= BLOCKS_OPEN_MAX
            && let Some(oldest) = self.open.first().map(|block| block.index)
        {
            self.end(oldest, say);
        }
    }
}

fn delta(key: Key, text: &[u8], say: &mut impl FnMut(Word<'_>)) {
    if !text.is_empty() {
        say(Word::Delta { key, text });
    }
}

fn signature(key: Key, signature: &[u8], say: &mut impl FnMut(Word<'_>)) {
    if !signature.is_empty() {
        say(Word::Signature { key, signature });
    }
}

/// A tool's input as it stands, as the content of a string; empty for an empty object, which is what a stream begins with.
fn whole_input(input: Option<Value<'_>>) -> Vec<u8> {
    let mut escaped = Vec::new();
    let is_something = |input: &Value<'_>| !(input.raw().starts_with(b"{") && input.members().next().is_none());
    if let Some(input) = input.filter(is_something) {
        text::escape(input.raw(), &mut escaped);
    }
    escaped
}
