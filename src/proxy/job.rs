//! A request's memory. The next request uses it again, so that a warm worker allocates nothing.

use std::sync::Arc;
use std::time::Instant;

use super::plan::Target;
use super::translate::Translation;
use super::upload::Body;
use crate::config::provider::Provider;
use crate::dialect::Dialect;
use crate::dialect::chores::Chore;
use crate::dialect::loss::Losses;
use crate::dialect::messages::signature;
use crate::dialect::usage::UsageReader;
use crate::fault::Who;
use crate::http::head::{HeadScanner, RequestHead, ResponseHead};
use crate::json::scanner::Scanner;
use crate::net::buffers::Buffers;
use crate::route::Features;
use crate::route::course::Course;
use crate::route::health::Demand;
use crate::route::strategy::Strategy;
use crate::telemetry::request_id::RequestId;

/// Members of a request's JSON that we read.
pub const MEMBERS: &[&str] = &["model", "stream", "store", "max_tokens"];

/// One request and its answer, while they last.
pub struct Job {
    /// The request's head.
    pub request: RequestHead,
    /// Everything that changes while the request is served.
    pub work: Work,
}

/// See [`Job`].
pub struct Work {
    /// Finds the end of the request's head.
    pub scanner: HeadScanner,
    /// Finds the end of the response's head.
    pub response_scanner: HeadScanner,
    /// The response's head.
    pub response: ResponseHead,
    /// Finds the members of a JSON body.
    pub members: Scanner,
    /// The buffered body.
    pub body: Body,
    /// The model's name: the client's, then the provider's; empty if there is none.
    pub model: String,
    /// The client's name of the model, where the body was looked into.
    pub looked_for: String,
    /// What was seen in the body, where it was looked into.
    pub features: Features,
    /// The provider that was tried last.
    pub provider: Option<Arc<Provider>>,
    /// Where the request may go, the first to try in front.
    pub targets: Vec<Target>,
    /// Which of them is tried next.
    pub course: Course,
    /// In which order they stand.
    pub strategy: Strategy,
    /// Tries that came to nothing, and why, for the log.
    pub tried: Vec<Tried>,
    /// Every try that there was came to nothing: clients need not try again.
    pub spent: bool,
    /// Reads the tokens that the answer reports.
    pub usage: UsageReader,
    /// What a translated request's answer needs.
    pub translation: Option<Box<Translation>>,
    /// What was not carried into another dialect, or back.
    pub losses: Losses,
    /// A request for older completions goes to Chat Completions: the upstream has none of the others.
    pub as_chat: bool,
    /// A translated request that was refused, as it was sent.
    pub sent: Vec<u8>,
    /// Parameters that an upstream named in an error, and that it gets no more.
    pub omitted: Vec<String>,
    /// A head being written.
    pub out: Vec<u8>,
    /// What came from the upstream and was not passed on yet.
    pub inbound: Vec<u8>,
    /// A log line being written.
    pub line: Vec<u8>,
    /// What the log line will say.
    pub record: Record,
}

/// A try that came to nothing.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    /// Place of the provider in the configuration.
    pub provider: usize,
    /// Which of its keys was used.
    pub key: usize,
    /// The status that it answered with, 0 if none.
    pub status: u16,
    /// What else happened.
    pub outcome: &'static str,
}

/// The facts of one request, for the log line and the counters.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// How logs on both sides know it.
    pub id: RequestId,
    /// When its head began.
    pub began: Instant,
    /// When it turned to the upstream.
    pub turned: Option<Instant>,
    /// When a body that is looked into was read.
    pub read: Option<Instant>,
    /// When it was known where the request goes.
    pub routed: Option<Instant>,
    /// When the first byte of the upstream's final answer came.
    pub first_byte: Option<Instant>,
    /// Time spent on dialling.
    pub connect_micros: u64,
    /// Which dialect its errors are written in.
    pub dialect: Dialect,
    /// Which dialect was spoken to the upstream, where that was another.
    pub upstream_dialect: Option<Dialect>,
    /// Status of the answer, 0 if none went out.
    pub status: u16,
    /// Whose doing it was that it was refused or cut short, and why.
    pub ended: Option<(Who, &'static str)>,
    /// Place of the provider that was tried last.
    pub provider: Option<usize>,
    /// Which chore it was, if it was answered as one.
    pub chore: Option<Chore>,
    /// An allowed page's browser asks: the answer carries CORS fields.
    pub page: bool,
    /// The conversation that it belongs to, where that is of use.
    pub session: Option<u64>,
    /// When its time is over, in all.
    pub until: Option<Instant>,
    /// When the try that answered began.
    pub asked: Option<Instant>,
    /// Which of the provider's keys was used last.
    pub key: usize,
    /// What it was expected to cost of the provider's limits.
    pub demand: Demand,
    /// Tries made.
    pub attempts: u16,
    /// The last try used a kept connection.
    pub reused: bool,
    /// Body bytes received.
    pub bytes_in: u64,
    /// Of those, what is text to a model, where that was looked at.
    pub text_bytes: usize,
    /// Bytes sent to the client, head included.
    pub bytes_out: u64,
}

impl Default for Job {
    fn default() -> Self {
        Self {
            request: RequestHead::default(),
            work: Work {
                scanner: HeadScanner::default(),
                response_scanner: HeadScanner::default(),
                response: ResponseHead::default(),
                members: Scanner::new(MEMBERS).noting(signature::TYPE_ENDING),
                body: Body::default(),
                model: String::new(),
                looked_for: String::new(),
                features: Features::default(),
                provider: None,
                targets: Vec::new(),
                course: Course::default(),
                strategy: Strategy::Order,
                tried: Vec::new(),
                spent: false,
                usage: UsageReader::default(),
                translation: None,
                losses: Losses::default(),
                as_chat: false,
                sent: Vec::new(),
                omitted: Vec::new(),
                out: Vec::new(),
                inbound: Vec::new(),
                line: Vec::new(),
                record: Record::new(RequestId::NONE),
            },
        }
    }
}

impl Record {
    fn new(id: RequestId) -> Self {
        Self {
            id,
            began: Instant::now(),
            turned: None,
            read: None,
            routed: None,
            first_byte: None,
            connect_micros: 0,
            dialect: Dialect::Chat,
            upstream_dialect: None,
            status: 0,
            ended: None,
            provider: None,
            chore: None,
            page: false,
            session: None,
            until: None,
            asked: None,
            key: 0,
            demand: Demand::default(),
            attempts: 0,
            reused: false,
            bytes_in: 0,
            text_bytes: 0,
            bytes_out: 0,
        }
    }
}

impl Work {
    /// Makes a fresh one ready to try beside `other`.
    pub fn begin_beside(&mut self, other: &Self) {
        self.model.clone_from(&other.model);
        self.members.clone_from(&other.members);
        self.record = other.record;
    }

    /// Takes over what one try left in `other`, which gets what another left here.
    pub fn swap_try(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.response, &mut other.response);
        std::mem::swap(&mut self.response_scanner, &mut other.response_scanner);
        std::mem::swap(&mut self.translation, &mut other.translation);
        std::mem::swap(&mut self.losses, &mut other.losses);
        std::mem::swap(&mut self.provider, &mut other.provider);
        std::mem::swap(&mut self.sent, &mut other.sent);
        std::mem::swap(&mut self.omitted, &mut other.omitted);
        std::mem::swap(&mut self.out, &mut other.out);
        std::mem::swap(&mut self.inbound, &mut other.inbound);
        std::mem::swap(&mut self.record, &mut other.record);
        self.as_chat = other.as_chat;
    }
}

impl Job {
    /// Starts a new request.
    pub fn begin(&mut self, id: RequestId) {
        self.request.clear();
        self.work.scanner.reset();
        self.work.members.reset();
        drop(self.work.body.take_memory());
        self.work.model.clear();
        self.work.features = Features::default();
        self.work.inbound.clear();
        self.work.provider = None;
        self.work.targets.clear();
        self.work.tried.clear();
        self.work.spent = false;
        self.work.usage.reset();
        self.work.translation = None;
        self.work.losses.clear();
        self.work.as_chat = false;
        self.work.sent = Vec::new();
        self.work.omitted.clear();
        self.work.record = Record::new(id);
    }

    /// Gives the buffers back: a job that waits for its next request holds only what heads and scanners need.
    pub fn shrink(&mut self, buffers: &Buffers) {
        buffers.give(self.work.body.take_memory());
        for buffer in [&mut self.work.inbound, &mut self.work.out] {
            buffers.give(std::mem::take(buffer));
        }
    }
}
