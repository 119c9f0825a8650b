//! Decides what a request is answered with, and writes it if it is one body. No sockets: bytes in, an [`Answer`] out.

#![forbid(unsafe_code)]

use std::time::Duration;

use super::Options;
use super::answer::{self, Script, Step};
use super::ask::Ask;
use super::encode::{FNV_START, fnv};
use super::fault::{Controls, Fault, Framing, Reply};
use super::misc;
use super::request::{BodyLength, Head};
use super::route::{Dialect, Route};
use super::wire::{Coding, Source};

/// Writes of a blocking body that has to be sent in pieces.
const BODY_PIECES: usize = 8;
/// Buffers are given back after a larger one.
const BUFFER_BYTES_KEPT: usize = 1024 * 1024;
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream; charset=utf-8";
const BYTES: &str = "application/octet-stream";

/// The requests of one connection, one after the other, and the buffers they share.
pub struct Desk {
    /// The body of the request, as far as it is kept.
    pub body: Vec<u8>,
    /// The answer, if it is one body.
    pub whole: Vec<u8>,
    /// The answer, if it is generated.
    pub script: Script,
    /// Bytes of the request body so far, and their sum if they are not kept.
    pub received: (u64, u64),
    parser: simd_json::Buffers,
}

/// An answer but for its body.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The media type.
    pub content_type: &'static str,
    /// Where the body comes from.
    pub source: Source,
    /// How it is framed if nothing else is asked.
    pub framing: Framing,
    /// Is the answer one of Anthropic's?
    pub anthropic: bool,
    /// Time to the first event, or to the whole answer.
    pub ttft: Duration,
    /// Time between two writes.
    pub gap: Duration,
}

/// A status and what the error says.
pub type Refusal = (u16, String);

impl Desk {
    /// An empty desk.
    #[must_use]
    pub fn new() -> Self {
        let (dialect, number, created, chunks, bytes) = (Dialect::Chat, 0, 0, 0, 0);
        Self {
            body: Vec::new(),
            whole: Vec::new(),
            script: Script { dialect, number, created, chunks, bytes, ask: Ask::default() },
            received: (0, FNV_START),
            parser: simd_json::Buffers::new(0),
        }
    }

    /// Makes room for the next request.
    pub fn clear(&mut self) {
        self.whole.clear();
        self.body.clear();
        self.received = (0, FNV_START);
        if self.body.capacity() > BUFFER_BYTES_KEPT {
            self.body = Vec::new();
            self.parser = simd_json::Buffers::new(0);
        }
    }

    /// Takes in a piece of the request body.
    pub fn receive(&mut self, bytes: &[u8], keep: bool) {
        self.received.0 += bytes.len() as u64;
        if keep {
            self.body.extend_from_slice(bytes);
        } else {
            self.received.1 = fnv(self.received.1, bytes);
        }
    }

    /// Decides about a request; `text` is its head.
    pub fn answer(&mut self, head: &Head, route: Route<'_>, text: &[u8], options: &Options) -> Result<Answer, Refusal> {
        let controls = &head.controls;
        if let Some(status) = told_to_fail(controls) {
            return Err((status, format!("The mock was told to answer {status}.")));
        }
        self.read_ask(route, controls)?;
        self.script.dialect = dialect(head, route);
        self.script.chunks = controls.chunks.unwrap_or(options.chunks);
        self.script.bytes = controls.bytes.unwrap_or(options.bytes);
        let mut answer = Answer {
            status: controls.status.filter(|&status| status < 400).unwrap_or(200),
            ttft: controls.ttft.unwrap_or_default(),
            gap: controls.gap.unwrap_or_default(),
            ..self.whole_answer(200)
        };
        let generated = matches!(route, Route::Generate(_));
        let source = match &controls.seq {
            Some(stream) => Some(Source::Counted(0, stream.clone())),
            None if generated && self.script.ask.stream => Some(Source::Steps(Some(Step::Start), 0)),
            None => None,
        };
        if generated || source.is_some() {
            answer.ttft = controls.ttft.unwrap_or(options.ttft);
        }
        if let Some(source) = source {
            answer.gap = controls.gap.unwrap_or(options.gap);
            return Ok(Answer { source, content_type: EVENTS, framing: Framing::Chunked, ..answer });
        }
        self.write_whole(&mut answer, head, route, text)?;
        if let Source::Whole(_, step) = &mut answer.source
            && is_sent_in_pieces(controls)
        {
            *step = self.whole.len().div_ceil(BODY_PIECES).max(1);
        }
        Ok(answer)
    }

    /// Writes an error, in the dialect of the request.
    pub fn refuse(&mut self, dialect: Dialect, status: u16, message: &str) -> Answer {
        self.script.dialect = dialect;
        self.whole.clear();
        answer::error_body(dialect, status, message, self.script.number, &mut self.whole);
        self.whole_answer(status)
    }

    fn read_ask(&mut self, route: Route<'_>, controls: &Controls) -> Result<(), Refusal> {
        if !matches!(route, Route::Generate(_) | Route::Embeddings | Route::CountTokens) {
            return Ok(());
        }
        if controls.reply == Reply::Early {
            self.script.ask.unread();
            return Ok(());
        }
        let ask = &mut self.script.ask;
        ask.read(route, &mut self.body, controls, &mut self.parser).map_err(|message| (400, message))
    }

    fn whole_answer(&self, status: u16) -> Answer {
        Answer {
            status,
            content_type: JSON,
            source: Source::Whole(0, usize::MAX),
            framing: Framing::Length,
            anthropic: self.script.dialect == Dialect::Messages,
            ttft: Duration::ZERO,
            gap: Duration::ZERO,
        }
    }

    fn write_whole(&mut self, answer: &mut Answer, head: &Head, route: Route<'_>, text: &[u8]) -> Result<(), Refusal> {
        let out = &mut self.whole;
        match route {
            Route::Generate(_) => self.script.body(out),
            Route::Embeddings => misc::embeddings(&self.script.ask, out),
            Route::CountTokens => misc::count_tokens(&self.script.ask, out),
            Route::Models(id) => misc::models(head.anthropic, id, out),
            Route::Root => out.extend_from_slice(b"{\"object\":\"mock\"}"),
            Route::Echo => misc::echo(text, &self.body, head.body == BodyLength::Chunked, out),
            Route::Upload => misc::receipt(self.received.0, self.received.1, out),
            // The counters belong to the shell, which has written them.
            Route::Stats => {}
            Route::Blob(query) => {
                let blob = misc::Blob::from_query(query).ok_or((400, "/v1/blob?bytes=N&seed=S".to_owned()))?;
                answer.content_type = BYTES;
                answer.framing = if blob.chunked { Framing::Chunked } else { Framing::Length };
                answer.source = Source::Blob(blob);
            }
            Route::WrongMethod => {
                return Err((405, "Not allowed to use this method on this path.".into()));
            }
            Route::Unknown => {
                return Err((404, "Unknown request URL. Please check the URL for typos.".into()));
            }
        }
        Ok(())
    }
}

impl Default for Desk {
    fn default() -> Self {
        Self::new()
    }
}

/// The language in which a path answers and fails.
#[must_use]
pub fn dialect(head: &Head, route: Route<'_>) -> Dialect {
    match route {
        Route::Generate(dialect) => dialect,
        Route::CountTokens => Dialect::Messages,
        Route::Embeddings => Dialect::Chat,
        _ if head.anthropic => Dialect::Messages,
        _ => Dialect::Chat,
    }
}

/// The error status that is asked for, unless it is the class of an error inside the stream.
fn told_to_fail(controls: &Controls) -> Option<u16> {
    let inside = matches!(controls.fault, Some((_, Fault::Error)));
    controls.status.filter(|&status| status >= 400 && !inside)
}

fn is_sent_in_pieces(controls: &Controls) -> bool {
    let chunked = controls.framing.is_some_and(|framing| Coding::of(framing) != Coding::Raw);
    chunked || controls.fault.is_some() || controls.gap.is_some()
}
