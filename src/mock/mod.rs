//! A provider to test and measure against: it speaks Chat Completions, Responses and Messages (and the small endpoints
//! beside them), answers at once and always the same, and fails in every way it is asked to.
//!
//! It shares no code with the proxy: what both got wrong, no test would see. The exception is `--tls`: encrypted
//! connections are carried by [`crate::net`], whose own tests talk to peers that know only rustls.
//!
//! # Rooms
//!
//! Pure: [`request`] reads heads and bodies, [`fault`] the control headers, [`route`] the path, [`ask`] what a body asks
//! for, [`call`] makes up the arguments of tools; [`desk`] decides,
//! [`answer`] is the script of an answer, which [`chat`], [`messages`], [`responses`] and [`misc`] put into words; [`wire`] frames it;
//! [`encode`] has the small encodings. With sockets: [`serve()`] accepts, `talk` answers, `link` reads and waits.
//!
//! # Endpoints
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/chat/completions`, `/v1/completions`, `/v1/responses`, `/v1/messages` | generated, blocking or streamed |
//! | `POST /v1/embeddings`, `/v1/messages/count_tokens` | numbers |
//! | `GET /v1/models`, `/v1/models/{id}` | in Anthropic's shape if `anthropic-version` or `x-api-key` is there, else OpenAI's |
//! | `GET /` | 200 |
//! | `GET /v1/blob?bytes=N&seed=S&chunked=1` | N bytes: SplitMix64 from S, words little-endian |
//! | any `/v1/echo` | what arrived: method, target, headers (one character is one byte), head and body in base64 |
//! | `POST` to another `/v1/…` | how many bytes arrived, and their FNV-1a sum |
//! | `GET /mock/stats` | connections accepted and open, requests, answers that the peer broke off |
//!
//! HEAD works where GET does. A tool is called if the request has tools and either forces a call or has the word "tool" in
//! its last turn (a tool's result is answered with text); thinking comes first if it was asked for.
//!
//! # Control headers
//!
//! One that is not in this table, or has a value that is not understood, is answered with 400.
//!
//! | header | effect on this request |
//! |---|---|
//! | `x-mock-ttft-ms: N` | time to the first event of a stream, or to a blocking answer |
//! | `x-mock-gap-ms: N` | time between two chunks |
//! | `x-mock-chunks: N`, `x-mock-bytes: N` | chunks of text, bytes of each |
//! | `x-mock-burst: K` | K chunks per write |
//! | `x-mock-parts: thinking,text,tool,…` | the parts of the answer (up to 16), whatever the request asks for |
//! | `x-mock-status: N` | this status; from 400 on with an error body of the path's dialect |
//! | `x-mock-retry-after: V` | a `retry-after` field |
//! | `x-mock-error-at: N` | after N writes of a stream an error event, of the class of `x-mock-status` or 529; then the regular end |
//! | `x-mock-cut-at: N` | after N writes the connection is closed (FIN) |
//! | `x-mock-reset-at: N` | after N writes the connection is reset (RST) |
//! | `x-mock-stall-at: N` | after N writes nothing more, until the peer closes |
//! | `x-mock-framing: F` | `length`, `chunked`, `close`, `short-length`, `long-length`, `te-and-cl`, `dup-cl`, `bad-chunk`, `extra-bytes`, `http10`, `no-head-end`, `garbage`, `1xx-flood`, `early-hints`, `unsolicited-101`, `head-1mib`: see [`fault::Framing`] |
//! | `x-mock-close: 1` | `connection: close`, and so it is |
//! | `x-mock-close-silently-ms: N` | the connection is closed after N ms without a next request, unannounced |
//! | `x-mock-delay-head-ms: N` | wait before the head |
//! | `x-mock-seq: ID` | counted events instead of an answer: see [`misc::counted`] |
//! | `x-mock-echo: 1` | as `/v1/echo`, on any path |
//! | `x-mock-answer-early: 1` | the answer comes before the body is read; the body is read afterwards |
//!
//! A write is one chunk of the stream, or an event beside the chunks (start, stop, usage …); the head counts as none. A
//! blocking body is one write, unless a header of this table needs several: then it is eight.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod answer;
pub mod ask;
pub mod call;
pub mod chat;
pub mod desk;
pub mod encode;
pub mod fault;
mod link;
pub mod messages;
pub mod misc;
pub mod request;
pub mod responses;
pub mod route;
mod serve;
mod talk;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

pub use serve::serve;

/// How the mock answers where a request does not say otherwise.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address to listen on, for whoever makes the listener.
    pub listen: String,
    /// Time to the first event of a stream, or to a blocking answer.
    pub ttft: Duration,
    /// Time between two chunks.
    pub gap: Duration,
    /// Chunks of text.
    pub chunks: usize,
    /// Bytes of a chunk.
    pub bytes: usize,
    /// The literal answer, head included, to every request. The connection is closed after it if it says so, or if
    /// nothing else would end it.
    pub replay: Option<Vec<u8>>,
    /// HTTPS, with this certificate. A cut then lacks the end that TLS announces, as a reset does.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

impl Default for Options {
    /// Answers at once with a kilobyte of text: 50 chunks of 20 bytes.
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8090".into(),
            ttft: Duration::ZERO,
            gap: Duration::ZERO,
            chunks: 50,
            bytes: 20,
            replay: None,
            tls: None,
        }
    }
}
