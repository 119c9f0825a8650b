//! One request, and its answer, from one dialect to another: the readers and writers of both, put together.

use std::collections::HashSet;

use super::Dialect;
use super::loss::Losses;
use super::profile::{Profile, Target};
use super::sequencer::Sequencer;
use super::turn::{Class, Content, Failure, Reader, Refused, Request, Terms, Usage, Word, Writer};
use super::{chat, chores, completions, messages};
use crate::json::{self, Index, Value};
use crate::limits;
use crate::sse::Splitter;
use crate::tokens::estimate::text_bytes;

/// What a client asks for, among what can be translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// `chat/completions`.
    Chat,
    /// OpenAI's older `completions`.
    Completions,
    /// `messages`.
    Messages,
}

impl Asking {
    /// What a path below the version asks for, if it can be translated.
    pub fn of(path: &str) -> Option<Self> {
        match path {
            "chat/completions" => Some(Self::Chat),
            "completions" => Some(Self::Completions),
            "messages" => Some(Self::Messages),
            _ => None,
        }
    }

    /// Reads a request's body.
    ///
    /// # Errors
    /// What is asked for cannot be said in another dialect, or the body is no such request.
    pub fn read<'a>(self, body: Value<'a>, losses: &mut Losses) -> Result<Request<'a>, Refused> {
        match self {
            Self::Chat => chat::request::read(body, losses),
            Self::Completions => completions::read(body, losses),
            Self::Messages => messages::request::read(body, losses),
        }
    }
}

/// A translated request.
#[derive(Debug)]
pub struct Translated {
    /// Its body in the upstream's dialect.
    pub body: Vec<u8>,
    /// What the answer must know of it.
    pub terms: Terms,
    /// The client wants a stream.
    pub stream: bool,
    /// What was not carried over.
    pub losses: Losses,
    /// Bytes of it that are text to a model: the measure of its tokens.
    pub text_bytes: usize,
}

/// The path below the version to which a translated request goes.
pub fn path(to: Dialect) -> &'static str {
    match to {
        Dialect::Messages => "messages",
        Dialect::Chat | Dialect::Responses => "chat/completions",
    }
}

/// Translates a request's body. `terms` holds what does not come from the body.
///
/// # Errors
/// As for [`Asking::read`].
pub fn request(
    asking: Asking,
    to: Dialect,
    body: &[u8],
    target: &Target<'_>,
    mut terms: Terms,
) -> Result<Translated, Refused> {
    let (mut index, mut losses, mut out) = (Index::default(), Losses::default(), Vec::new());
    // It was scanned when it came: only its depth or size can be too much.
    let value = index.read(body).map_err(|error| Refused::new("", error.to_string()))?;
    each_once(value)?;
    let request = asking.read(value, &mut losses)?;
    terms.usage = request.usage_wanted;
    terms.call_ids = call_ids(&request);
    out.reserve(body.len() + body.len() / 8);
    match to {
        Dialect::Messages => messages::request::write(&request, target, &mut terms, &mut losses, &mut out)?,
        Dialect::Chat | Dialect::Responses => {
            chat::request::write(&request, target, &mut terms, &mut losses, &mut out)?;
        }
    }
    let text_bytes = text_bytes(&request);
    Ok(Translated { body: out, terms, stream: request.stream, losses, text_bytes })
}

/// Of two members with one name, we might carry over one and the client mean the other.
fn each_once(body: Value<'_>) -> Result<(), Refused> {
    let keys: Vec<_> = body.members().map(|(key, _)| key.raw()).collect();
    let twice = keys.iter().enumerate().find(|(place, key)| keys.iter().take(*place).any(|other| other == *key));
    match twice {
        None => Ok(()),
        Some((_, key)) => {
            let key = String::from_utf8_lossy(key).trim_matches('"').to_owned();
            Err(Refused::new(key, "this key may stand here only once"))
        }
    }
}

fn call_ids(request: &Request<'_>) -> HashSet<Vec<u8>> {
    let blocks = request.turns.iter().flat_map(|turn| &turn.blocks);
    let ids = blocks.filter_map(|block| match &block.content {
        Content::ToolCall(call) => Some(call.id.to_vec()),
        _ => None,
    });
    ids.collect()
}

/// An answer on its way from one dialect to another. Every method appends to `out` what the client gets.
pub trait Answer: Send {
    /// Takes the next bytes of the upstream's event stream.
    fn events(&mut self, bytes: &[u8], out: &mut Vec<u8>);
    /// Takes the upstream's whole answer.
    fn body(&mut self, body: &[u8], out: &mut Vec<u8>);
    /// The upstream's answer ended, as its framing said it would.
    fn finish(&mut self, out: &mut Vec<u8>);
    /// The upstream's answer broke off.
    fn fail(&mut self, failure: Failure, out: &mut Vec<u8>);
    /// Shows the client that the answer goes on.
    fn ping(&mut self, out: &mut Vec<u8>);
    /// Something was said that an answer is made of, or it is over: its status is known.
    fn has_begun(&self) -> bool;
    /// All was said.
    fn is_over(&self) -> bool;
    /// Appends a failure that came before anything was said, to a client that was promised an answer already.
    fn tell_failure(&mut self, out: &mut Vec<u8>);
    /// How it failed, if it did.
    fn failure(&self) -> Option<&Failure>;
    /// The upstream's own numbers.
    fn usage(&self) -> Usage;
    /// What was not carried over.
    fn losses(&mut self) -> &mut Losses;
}

/// The way of an answer from an upstream that speaks `from` to a client that asked by `asking`, streamed or whole.
pub fn answer(from: Dialect, asking: Asking, stream: bool, terms: Terms, profile: &Profile) -> Box<dyn Answer> {
    match from {
        Dialect::Messages => with(messages::answer::Reader::new(), asking, stream, terms, profile.name),
        Dialect::Chat | Dialect::Responses => {
            with(chat::answer::Reader::new(profile), asking, stream, terms, profile.name)
        }
    }
}

/// The answer to a request for no tokens (`max_tokens: 0` warms Anthropic's prompt cache, and nobody else's).
pub fn nothing(asking: Asking, stream: bool, terms: Terms, profile: &Profile) -> Vec<u8> {
    const EMPTY: &[u8] = br#"{"choices":[{"message":{"role":"assistant","content":""},"finish_reason":"stop"}]}"#;
    let (mut answer, mut out) = (answer(Dialect::Chat, asking, stream, terms, profile), Vec::new());
    answer.body(EMPTY, &mut out);
    answer.finish(&mut out);
    out
}

/// The answer to a request that needs no model; `upstream` is who would have been asked.
pub fn said(asking: Asking, stream: bool, terms: Terms, upstream: &Profile, said: &chores::Answer) -> Vec<u8> {
    let (input, mut text, mut out) = (terms.input_estimate, Vec::new(), Vec::new());
    json::text::encode(said.text.as_bytes(), &mut text);
    let (text, stop) = (String::from_utf8_lossy(&text), if said.is_cut { "max_tokens" } else { "end_turn" });
    let body = format!(
        r#"{{"content":[{{"type":"text","text":{text}}}],"stop_reason":"{stop}","usage":{{"input_tokens":{input},"output_tokens":{}}}}}"#,
        said.tokens
    );
    let mut answer = answer(Dialect::Messages, asking, stream, terms, upstream);
    answer.body(body.as_bytes(), &mut out);
    answer.finish(&mut out);
    out
}

/// `upstream` is the kind of upstream that thinks, for the mark on its thoughts.
fn with(
    reader: impl Reader + Send + 'static,
    asking: Asking,
    stream: bool,
    terms: Terms,
    upstream: &str,
) -> Box<dyn Answer> {
    match (asking, stream) {
        (Asking::Chat, true) => way(reader, chat::answer::StreamWriter::new(&terms), terms),
        (Asking::Chat, false) => way(reader, chat::answer::BodyWriter::new(&terms), terms),
        (Asking::Completions, true) => way(reader, completions::StreamWriter::new(&terms), terms),
        (Asking::Completions, false) => way(reader, completions::BodyWriter::new(&terms), terms),
        (Asking::Messages, true) => way(reader, messages::answer::StreamWriter::new(&terms, upstream), terms),
        (Asking::Messages, false) => way(reader, messages::answer::BodyWriter::new(&terms, upstream), terms),
    }
}

fn way<R: Reader + Send + 'static, W: Writer + Send + 'static>(reader: R, writer: W, terms: Terms) -> Box<dyn Answer> {
    Box::new(Way { splitter: Splitter::new(limits::EVENT_BYTES_MAX), reader, sequencer: Sequencer::new(writer, terms) })
}

/// A reader, the order, a writer.
struct Way<R, W: Writer> {
    splitter: Splitter,
    reader: R,
    sequencer: Sequencer<W>,
}

impl<R: Reader + Send, W: Writer + Send> Answer for Way<R, W> {
    fn events(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Self { splitter, reader, sequencer } = self;
        let split = splitter.push(bytes, |event| {
            reader.event(event.name, event.data, &mut |word| sequencer.say(word, out));
        });
        if split.is_err() {
            let message = format!("The upstream sent an event of more than {} bytes.", limits::EVENT_BYTES_MAX);
            self.fail(Failure::new(Class::Api, message), out);
        }
    }

    fn body(&mut self, body: &[u8], out: &mut Vec<u8>) {
        let Self { reader, sequencer, .. } = self;
        reader.body(body, &mut |word| sequencer.say(word, out));
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.sequencer.finish(out);
    }

    fn fail(&mut self, failure: Failure, out: &mut Vec<u8>) {
        self.sequencer.say(Word::Failed(failure), out);
    }

    fn ping(&mut self, out: &mut Vec<u8>) {
        match self.sequencer.has_begun() {
            true => self.sequencer.ping(out),
            false => self.sequencer.writer().ping(out),
        }
    }

    fn has_begun(&self) -> bool {
        self.sequencer.has_begun() || self.sequencer.is_over()
    }

    fn is_over(&self) -> bool {
        self.sequencer.is_over()
    }

    fn tell_failure(&mut self, out: &mut Vec<u8>) {
        self.sequencer.tell_failure(out);
    }

    fn failure(&self) -> Option<&Failure> {
        self.sequencer.failure()
    }

    fn usage(&self) -> Usage {
        self.sequencer.usage()
    }

    fn losses(&mut self) -> &mut Losses {
        self.sequencer.losses()
    }
}
