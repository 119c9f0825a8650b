//! The first event of a stream that means something: the answer's beginning, or that there will be none.
//!
//! Servers answer 200 as soon as a request is in their queue, and say in the stream that it failed. What comes before that
//! (comments, pings, the name of the answer) promises nothing: a stream that got no further may be asked for elsewhere.

use memchr::memmem::Finder;

use super::Dialect;
use super::chat::answer::{failed, finish};
use super::failure::{self, Failure};
use crate::json::{Index, Kind, Value, same};
use crate::limits::HELD_OPENING_BYTES_MAX;
use crate::sse::Splitter;

/// What a stream has said so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Nothing that matters.
    Nothing,
    /// Something that belongs to an answer, or that nobody here knows.
    Begun,
    /// That the request failed.
    Failed(Failure),
}

impl Opening {
    /// What the stream has said with its next part.
    pub fn add(&mut self, next: impl FnOnce() -> Self) {
        match self {
            Self::Failed(_) => {}
            Self::Nothing => *self = next(),
            Self::Begun => {
                if let failed @ Self::Failed(_) = next() {
                    *self = failed;
                }
            }
        }
    }
}

/// Reads one stream at a time up to its first event that means something. Its memory is reused.
///
/// ```
/// use sidestream::dialect::{Dialect, opening::{Opening, Watcher}};
/// let mut watcher = Watcher::default();
/// watcher.reset(Dialect::Responses);
/// assert_eq!(watcher.push(b": hello\n\ndata: {\"type\":\"response.created\"}\n"), Opening::Nothing);
/// assert_eq!(watcher.push(b"\ndata: {\"type\":\"response.output_item.added\"}\n\n"), Opening::Begun);
/// ```
#[derive(Debug)]
pub struct Watcher {
    dialect: Dialect,
    splitter: Splitter,
    index: Index,
    words: Words,
}

/// Nodes of an index that are kept for the next stream; a first event has some fifty.
const NODES_KEPT: usize = 1024;

impl Default for Watcher {
    fn default() -> Self {
        let splitter = Splitter::new(HELD_OPENING_BYTES_MAX);
        Self { dialect: Dialect::Chat, splitter, index: Index::default(), words: Words::new() }
    }
}

impl Watcher {
    /// Makes it ready for a stream of this dialect.
    pub fn reset(&mut self, dialect: Dialect) {
        self.dialect = dialect;
        self.splitter.reset();
        self.index.shrink(NODES_KEPT);
    }

    /// Takes the stream's next bytes, all that came at once: a failure counts also behind the answer's beginning, for nothing
    /// of it has gone out yet. Behind an answer other than [`Opening::Nothing`] the watcher has done its work.
    pub fn push(&mut self, payload: &[u8]) -> Opening {
        let Self { dialect, splitter, index, words } = self;
        let mut opening = Opening::Nothing;
        // The first event is read in any case; those behind it lie within the payload, which is searched once for all of them.
        let mut may_fail = None;
        let split = splitter.push(payload, |event| {
            let mut names_one = || {
                *may_fail.get_or_insert_with(|| words.name_a_failure(payload))
                    && (words.name_a_failure(event.name) || words.name_a_failure(event.data))
            };
            if opening == Opening::Nothing || names_one() {
                opening.add(|| read(*dialect, event.name, event.data, index, words));
            }
        });
        match split {
            Err(_) if opening == Opening::Nothing => Opening::Begun,
            _ => opening,
        }
    }
}

/// What is searched for in events, prepared once: that takes longer than a search through one.
#[derive(Debug)]
struct Words {
    failure: [Finder<'static>; 2],
    error: Finder<'static>,
    delta: Finder<'static>,
    content: Finder<'static>,
    no_content: Finder<'static>,
}

const CONTENT: &[u8] = b"\"content\":";

impl Words {
    fn new() -> Self {
        Self {
            failure: [&b"error"[..], b"failed"].map(Finder::new),
            error: Finder::new(b"\"error\""),
            delta: Finder::new(b"\"delta\":"),
            content: Finder::new(CONTENT),
            no_content: Finder::new(b"\"content\":[]"),
        }
    }

    /// What tells of a failure has one of these words in it. Behind an answer's beginning nothing else is looked into: an
    /// event that cannot be read proves nothing there.
    fn name_a_failure(&self, text: &[u8]) -> bool {
        self.failure.iter().any(|word| word.find(text).is_some())
    }
}

/// What one event says.
fn read(dialect: Dialect, name: &[u8], data: &[u8], index: &mut Index, words: &Words) -> Opening {
    if let Some(opening) = glance(dialect, data, words) {
        return opening;
    }
    let text = data.trim_ascii();
    if text.is_empty() {
        return Opening::Nothing;
    }
    let Ok(event) = index.read(text) else {
        return match text.first() {
            // Perhaps only our reader cannot read it.
            Some(b'{' | b'[') if name != b"error" => Opening::Begun,
            _ if finish::is_done(text) => Opening::Begun,
            _ if name == b"ping" => Opening::Nothing,
            _ => Opening::Failed(failure::read(dialect, 200, text)),
        };
    };
    match event.kind() {
        Kind::Null => Opening::Nothing,
        Kind::String if !finish::is_done(text) => Opening::Failed(failure::read_value(dialect, 200, event)),
        Kind::Object if dialect == Dialect::Chat => chunk(name, event),
        Kind::Object => typed(dialect, name, event),
        _ => Opening::Begun,
    }
}

/// What the usual first events say, at the price of a search or two.
fn glance(dialect: Dialect, data: &[u8], words: &Words) -> Option<Opening> {
    if dialect != Dialect::Chat {
        return match leading_type(data)? {
            // It may hold blocks, of servers that send everything at once.
            b"message_start" => words.no_content.find(data).map(|_| Opening::Nothing),
            kind => known(dialect, kind),
        };
    }
    let (_, delta) = data.split_at_checked(words.delta.find(data)?)?;
    let (_, content) = delta.split_at_checked(words.content.find(delta)? + CONTENT.len())?;
    let says = matches!(content, [b'"', text, ..] | [b' ', b'"', text, ..] if *text != b'"');
    (says && words.error.find(data).is_none()).then_some(Opening::Begun)
}

/// The `type` of an event that begins with it.
fn leading_type(data: &[u8]) -> Option<&[u8]> {
    let value = data.strip_prefix(b"{\"type\":")?;
    let kind = value.strip_prefix(b" ").unwrap_or(value).strip_prefix(b"\"")?;
    kind.get(..memchr::memchr2(b'"', b'\\', kind).filter(|end| kind.get(*end) == Some(&b'"'))?)
}

/// What a type says by itself.
fn known(dialect: Dialect, kind: &[u8]) -> Option<Opening> {
    match (dialect, kind) {
        (_, b"ping" | b"keepalive") => Some(Opening::Nothing),
        (
            Dialect::Messages,
            b"content_block_start"
            | b"content_block_delta"
            | b"content_block_stop"
            | b"message_delta"
            | b"message_stop",
        ) => Some(Opening::Begun),
        (Dialect::Responses, b"response.created" | b"response.in_progress" | b"response.queued") => {
            Some(Opening::Nothing)
        }
        (Dialect::Responses, b"response.failed" | b"response.error") => None,
        (Dialect::Responses, kind) if kind.starts_with(b"response.") => Some(Opening::Begun),
        _ => None,
    }
}

/// An event of Messages or Responses: its `type` says what it is, and where there is none its name does.
fn typed(dialect: Dialect, name: &[u8], event: Value<'_>) -> Opening {
    let [own_kind, error, message] = event.pick(["type", "error", "message"]);
    let kind = own_kind.and_then(|kind| kind.escaped()).unwrap_or(name);
    let is = |text: &str| same(kind, text);
    if let Some(opening) = known(dialect, kind) {
        return opening;
    }
    if dialect == Dialect::Messages && is("message_start") {
        let content = message.and_then(|message| message.get("content"));
        return if content.is_some_and(|value| value.is_something()) { Opening::Begun } else { Opening::Nothing };
    }
    let failed = ["error", "response.failed", "response.error"].iter().any(|failed| is(failed));
    if failed || error.is_some_and(|value| value.is_something()) {
        return Opening::Failed(failure::read_value(dialect, 200, event));
    }
    Opening::Begun
}

/// An event of Chat Completions, or of the older completions.
fn chunk(name: &[u8], event: Value<'_>) -> Opening {
    let [choices, usage, error, kind] = event.pick(["choices", "usage", "error", "type"]);
    let choices = choices.filter(|choices| choices.kind() == Kind::Array);
    let is_answer = choices.is_some() || usage.is_some();
    if let Some(failure) = failed::read(event, error, is_answer) {
        return Opening::Failed(failure);
    }
    let choices = choices.map(|choices| choices.items().map(choice));
    match choices {
        Some(mut said) => said.find(|said| *said != Opening::Nothing).unwrap_or(Opening::Nothing),
        None if usage.is_some() => Opening::Nothing,
        None if name == b"ping" || kind.is_some_and(|kind| kind.is("ping")) => Opening::Nothing,
        None if name == b"error" => Opening::Failed(failed::plain(event.raw())),
        None => Opening::Begun,
    }
}

fn choice(choice: Value<'_>) -> Opening {
    let [delta, message, text, finish_reason, error] =
        choice.pick(["delta", "message", "text", "finish_reason", "error"]);
    if let Some(failure) = failed::read(choice, error, true) {
        return Opening::Failed(failure);
    }
    match finish_reason.and_then(finish::read) {
        Some(Err(failure)) => return Opening::Failed(failure),
        Some(Ok(_)) => return Opening::Begun,
        None => {}
    }
    let says = |holder: Value<'_>| holder.members().any(|(key, value)| !key.is("role") && value.is_something());
    let begun = text.is_some_and(|value| value.is_something()) || [delta, message].into_iter().flatten().any(says);
    if begun { Opening::Begun } else { Opening::Nothing }
}

#[cfg(test)]
mod tests;
