//! What a Chat message or delta holds: text, thoughts, a refusal, calls.

use super::calls::{Calls, Fragment, key};
use crate::dialect::loss;
use crate::dialect::think_tags::{Part, Splitter, ThinkTags};
use crate::dialect::turn::{Escaped, Key, Open, Word};
use crate::json::text::escape;
use crate::json::{Kind, Value};

/// What a piece of an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Text,
    Thoughts,
    Refusal,
    /// The arguments of the call at this place.
    Call(usize),
}

/// The blocks of one answer.
#[derive(Debug)]
pub(super) struct Pieces {
    tags: Splitter,
    /// Each fragment of arguments repeats those before it.
    is_cumulative: bool,
    calls: Calls,
    /// Keys of text, thoughts and a refusal that were opened.
    opened: [bool; 3],
    has_call: bool,
    scratch: Vec<u8>,
}

/// What was seen of one event while it is read.
#[derive(Debug)]
pub(super) struct Event<'v> {
    /// It is a whole answer: each call in it is one of its own.
    pub is_whole: bool,
    pieces: u32,
    /// Fragments of calls, which may move to which call the next one belongs.
    fragments: u32,
    last: Option<(Target, Value<'v>)>,
}

const TEXT: Key = 0;
const THOUGHTS: Key = 1;
const REFUSAL: Key = 2;

impl<'v> Event<'v> {
    /// An event of a stream.
    pub fn streamed() -> Self {
        Self { is_whole: false, pieces: 0, fragments: 0, last: None }
    }

    /// A whole answer.
    pub fn whole() -> Self {
        Self { is_whole: true, ..Self::streamed() }
    }

    /// The event's only piece, if it holds nothing else that matters.
    pub fn only_piece(&self) -> Option<(Target, Value<'v>)> {
        let fragments = |target: &Target| u32::from(matches!(target, Target::Call(_)));
        self.last.filter(|(target, _)| self.pieces == 1 && self.fragments == fragments(target))
    }
}

impl Pieces {
    pub fn new(tags: ThinkTags, is_cumulative: bool) -> Self {
        let (calls, tags) = (Calls::default(), Splitter::new(tags));
        Self { tags, is_cumulative, calls, opened: [false; 3], has_call: false, scratch: Vec::new() }
    }

    pub fn reset(&mut self, tags: ThinkTags) {
        self.tags = Splitter::new(tags);
        self.calls.clear();
        (self.opened, self.has_call) = ([false; 3], false);
    }

    /// A fragment of a call was read since this was asked last.
    pub fn has_call(&mut self) -> bool {
        std::mem::replace(&mut self.has_call, false)
    }

    /// What comes next in the same shape is more of the same: behind whole arguments another call may begin.
    pub fn goes_on(&mut self, target: Target) -> bool {
        match target {
            Target::Call(at) => self.calls.get_mut(at).is_some_and(|call| !call.arguments.is_whole()),
            _ => true,
        }
    }

    /// More of a block.
    #[inline]
    pub fn piece(&mut self, target: Target, text: Escaped<'_>, say: &mut impl FnMut(Word<'_>)) {
        match target {
            _ if text.is_empty() => {}
            Target::Text if !self.tags.is_done() => {
                let Self { tags, opened, .. } = self;
                tags.push(text, &mut |part, text| prose(opened, part, text, say));
            }
            Target::Text => prose(&mut self.opened, Part::Text, text, say),
            Target::Thoughts => prose(&mut self.opened, Part::Thoughts, text, say),
            Target::Refusal => words(&mut self.opened, REFUSAL, Open::Refusal, text, say),
            Target::Call(at) => {
                let Some(call) = self.calls.get_mut(at) else { return };
                let text = if self.is_cumulative { call.news(text) } else { text };
                call.arguments.push(text);
                if !text.is_empty() {
                    say(Word::Delta { key: key(at), text });
                }
            }
        }
    }

    /// No more text comes.
    pub fn finish(&mut self, say: &mut impl FnMut(Word<'_>)) {
        let Self { tags, opened, .. } = self;
        tags.finish(&mut |part, text| prose(opened, part, text, say));
    }

    /// Reads a message, or a delta of one: thoughts, then text, then calls, as one event may hold several.
    pub fn message<'v>(&mut self, message: Value<'v>, event: &mut Event<'v>, say: &mut impl FnMut(Word<'_>)) {
        let [content, calls, refusal, function, role, thoughts @ ..] = message.pick(KNOWN);
        self.thoughts(thoughts, event, say);
        match content {
            Some(content) if content.kind() == Kind::Array => self.parts(content, event, say),
            Some(content) => self.string(Target::Text, content, event, say),
            None => {}
        }
        if let Some(refusal) = refusal {
            self.string(Target::Refusal, refusal, event, say);
        }
        calls.iter().flat_map(|calls| calls.items()).for_each(|entry| self.call(entry, event, say));
        if let Some(function) = function.filter(|function| function.kind() == Kind::Object) {
            self.fragment(&Fragment::of_function(function), event, say);
        }
        let known = [content, calls, refusal, function, role].iter().chain(&thoughts).flatten().count();
        if message.members().filter(|(_, value)| !value.is_null()).count() > known {
            unknown(message, say);
        }
    }

    /// Thoughts have several names, and some servers send them under two at once: the first that holds some counts.
    fn thoughts<'v>(
        &mut self,
        [content, reasoning, details]: [Option<Value<'v>>; 3],
        event: &mut Event<'v>,
        say: &mut impl FnMut(Word<'_>),
    ) {
        let is_some = |text: &Value<'v>| text.escaped().is_some_and(|text| !text.is_empty());
        let named = content.filter(is_some).or(reasoning.filter(is_some));
        if let Some(text) = named {
            self.string(Target::Thoughts, text, event, say);
        }
        for detail in details.iter().flat_map(|details| details.items()) {
            let [text, summary, signature, data] = detail.pick(["text", "summary", "signature", "data"]);
            if let Some(text) = text.or(summary).filter(|_| named.is_none()) {
                self.string(Target::Thoughts, text, event, say);
            }
            if let Some(signature) = signature.and_then(|signature| signature.escaped()) {
                open(&mut self.opened, THOUGHTS, Open::Thinking, say);
                say(Word::Signature { key: THOUGHTS, signature });
            }
            // Thoughts that only their vendor can read: no other vendor would take them back.
            if data.is_some() {
                say(Word::Foreign("choices.delta.reasoning_details.data".into()));
            }
        }
    }

    /// Content as a list of parts (Mistral).
    fn parts<'v>(&mut self, content: Value<'v>, event: &mut Event<'v>, say: &mut impl FnMut(Word<'_>)) {
        for part in content.items() {
            let text = ["text", "thinking", "refusal"].iter().find_map(|name| Some((*name, part.get(name)?)));
            match text {
                None if part.escaped().is_some() => self.string(Target::Text, part, event, say),
                Some(("text", text)) => self.string(Target::Text, text, event, say),
                Some(("refusal", text)) => self.string(Target::Refusal, text, event, say),
                Some((_, thoughts)) if thoughts.kind() == Kind::Array => {
                    for text in thoughts.items().filter_map(|thought| thought.get("text")) {
                        self.string(Target::Thoughts, text, event, say);
                    }
                }
                Some((_, text)) => self.string(Target::Thoughts, text, event, say),
                None => say(Word::Foreign("choices.delta.content".into())),
            }
        }
    }

    fn call<'v>(&mut self, entry: Value<'v>, event: &mut Event<'v>, say: &mut impl FnMut(Word<'_>)) {
        if entry.get("custom").is_some() {
            return say(Word::Foreign("choices.delta.tool_calls.custom".into()));
        }
        self.fragment(&Fragment::read(entry), event, say);
    }

    /// A fragment of a call. Where its name comes late, what comes beside it is said first: the call begins with all of it.
    fn fragment<'v>(&mut self, fragment: &Fragment<'v>, event: &mut Event<'v>, say: &mut impl FnMut(Word<'_>)) {
        let place =
            if event.is_whole { self.calls.add(fragment) } else { self.calls.find(fragment, self.is_cumulative) };
        let Some((at, call)) = place.and_then(|at| Some((at, self.calls.get_mut(at)?))) else { return };
        self.has_call = true;
        event.fragments += 1;
        // Another name means another call once there are arguments: such a fragment is never recognised by its shape.
        event.fragments += u32::from(!fragment.name.is_empty() && !call.name.is_empty() && call.name != fragment.name);
        let is_new = call.id.is_empty() && call.name.is_empty() && call.arguments.is_blank();
        let has_more =
            (call.id.is_empty() && !fragment.id.is_empty()) || (call.name.is_empty() && !fragment.name.is_empty());
        for (known, said) in [(&mut call.id, fragment.id), (&mut call.name, fragment.name)] {
            if known.is_empty() {
                known.extend_from_slice(said);
            }
        }
        let open = Word::Open { key: key(at), block: Open::ToolCall { id: fragment.id, name: fragment.name } };
        if is_new {
            say(open);
            self.arguments(at, fragment, event, say);
        } else {
            self.arguments(at, fragment, event, say);
            if has_more {
                say(open);
            }
        }
    }

    fn arguments<'v>(
        &mut self,
        at: usize,
        fragment: &Fragment<'v>,
        event: &mut Event<'v>,
        say: &mut impl FnMut(Word<'_>),
    ) {
        match fragment.arguments {
            Some(text) if text.escaped().is_some() => self.string(Target::Call(at), text, event, say),
            // An object where its text should be (Ollama).
            Some(value) if matches!(value.kind(), Kind::Object | Kind::Array) => {
                event.pieces += 2;
                let mut text = std::mem::take(&mut self.scratch);
                text.clear();
                escape(value.raw(), &mut text);
                self.piece(Target::Call(at), &text, say);
                self.scratch = text;
            }
            Some(_) => say(Word::Foreign("choices.delta.tool_calls.function.arguments".into())),
            None => {}
        }
    }

    fn string<'v>(&mut self, target: Target, value: Value<'v>, event: &mut Event<'v>, say: &mut impl FnMut(Word<'_>)) {
        if let Some(text) = value.escaped().filter(|text| !text.is_empty()) {
            event.pieces += 1;
            event.last = Some((target, value));
            self.piece(target, text, say);
        }
    }
}

/// Members of a message that are read, or mean nothing.
const KNOWN: [&str; 8] = [
    "content",
    "tool_calls",
    "refusal",
    "function_call",
    "role",
    "reasoning_content",
    "reasoning",
    "reasoning_details",
];

/// Members of a message that have no word.
fn unknown(message: Value<'_>, say: &mut impl FnMut(Word<'_>)) {
    for (name, value) in message.members() {
        if value.is_something() && !KNOWN.iter().any(|known| name.is(known)) {
            say(Word::Foreign(loss::path("choices.delta", name.escaped())));
        }
    }
}

fn prose(opened: &mut [bool; 3], part: Part, text: Escaped<'_>, say: &mut impl FnMut(Word<'_>)) {
    match part {
        Part::Text => words(opened, TEXT, Open::Text, text, say),
        Part::Thoughts => words(opened, THOUGHTS, Open::Thinking, text, say),
    }
}

fn words(opened: &mut [bool; 3], key: Key, block: Open<'_>, text: Escaped<'_>, say: &mut impl FnMut(Word<'_>)) {
    open(opened, key, block, say);
    say(Word::Delta { key, text });
}

fn open(opened: &mut [bool; 3], key: Key, block: Open<'_>, say: &mut impl FnMut(Word<'_>)) {
    if let Some(opened) = opened.get_mut(key as usize)
        && !std::mem::replace(opened, true)
    {
        say(Word::Open { key, block });
    }
}
