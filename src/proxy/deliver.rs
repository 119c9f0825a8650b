//! An answer on its way back into the client's dialect: as it comes, or when it is whole.

use std::time::Instant;

use super::aside::aside;
use super::ask::Answering;
use super::connection::{Client, Stop, Transport};
use super::cors;
use super::count::write_real_tokens;
use super::incoming::Incoming;
use super::intake::Intake;
use super::job::Work;
use super::relay::{self, Relayed, write_connection, write_timing, write_tries};
use super::rhythm::Rhythm;
use super::site::{Destination, Site};
use super::translate::{Translation, now_unix, write_losses};
use super::world::World;
use crate::dialect::loss::Losses;
use crate::dialect::translate::{self, Answer};
use crate::dialect::turn::{Class, Failure, Scale};
use crate::dialect::{Dialect, failure};
use crate::fault::{Fault, Who};
use crate::http::chunked::{LAST_CHUNK, write_chunk};
use crate::http::fields;
use crate::http::head::{RequestHead, Version};
use crate::http::write;
use crate::limits;
use crate::net::deadlines::Stage;
use crate::net::inbox::Turn;
use crate::prices::{Prices, write_dollars};

/// Translates an answer on its way to the client.
///
/// # Errors
/// As for [`relay::relay`].
pub async fn deliver(
    world: &World,
    site: &Site,
    destination: &Destination,
    client: &mut Client<'_>,
    answering: Answering,
    request: &RequestHead,
    work: &mut Work,
) -> Result<Relayed, Stop> {
    let Answering { upstream, head_bytes, sent_whole, read_whole, until, held_until, .. } = answering;
    upstream.inlet.deadline().disarm();
    upstream.inlet.deadline().enter(Stage::Answering);
    work.record.first_byte = Some(Instant::now());
    let Some(translation) = work.translation.take() else { return Err(Stop::Gone) };
    let Translation { asking, upstream: from, stream, terms, provider } = *translation;
    let intake = Intake::new(destination, upstream, until);
    let mut incoming = Incoming::new(intake, head_bytes, work)?;
    let mut keep_client = request.keep_alive() && read_whole && !world.draining.get();
    let status = work.response.status();
    if status != 200 || is_coded(work) {
        // Half of an error says more than none.
        let body = incoming.whole(world, limits::ERROR_BYTES_MAX, work).await.unwrap_or_default();
        let mut failure = failure_of(from, status, &body, &destination.provider.name);
        failure.estimate(terms.input_estimate);
        send_failure(world, client, request, destination, &failure, keep_client, work).await?;
    } else {
        let scale = terms.scale;
        let mut answer = translate::answer(from, asking, stream, terms, &provider.profile);
        let mut frames = world.buffers.take();
        if !relay::is_event_stream(&work.response) {
            let body = incoming.whole(world, limits::ANSWER_BYTES_MAX, work).await?;
            (answer, frames) = take_whole(answer, body, frames).await?;
        }
        let rhythm = Rhythm::new(world.deadlines.now(), held_until, site.config().ping);
        let form = if stream { Form::Held } else { Form::Whole };
        let prices = &site.config().prices;
        let mut delivery = Delivery { client, request, destination, prices, answer, form, keep_client, scale };
        let delivered = delivery.run(world, &mut incoming, rhythm, frames, work).await;
        // Also of an answer that failed: its tokens were used.
        work.usage.report(delivery.answer.usage());
        delivered?;
        keep_client = delivery.keep_client;
    }
    incoming.drain(work).await;
    let excess = incoming.excess;
    destination.numbers.excess.add(u64::from(excess));
    let sound = incoming.is_sound() && sent_whole && work.response.keep_alive();
    let reusable = sound.then_some(incoming.intake.upstream);
    Ok(Relayed { reusable, excess, keep_client })
}

/// Takes an answer that came whole; a large one on a helper thread.
async fn take_whole(
    mut answer: Box<dyn Answer>,
    body: Vec<u8>,
    mut frames: Vec<u8>,
) -> Result<(Box<dyn Answer>, Vec<u8>), Fault> {
    let is_large = body.len() > limits::TRANSLATED_AT_ONCE_BYTES_MAX;
    let take = move || {
        answer.body(&body, &mut frames);
        answer.finish(&mut frames);
        (answer, frames)
    };
    if is_large { Ok(aside(take).await?) } else { Ok(take()) }
}

fn is_coded(work: &Work) -> bool {
    work.response.get("content-encoding").is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity"))
}

fn failure_of(from: Dialect, status: u16, body: &[u8], name: &str) -> Failure {
    match status {
        400.. => failure::read(from, status, body),
        200 => Failure::new(Class::Api, format!("{name} compressed its answer although it was asked not to.")),
        _ => Failure::new(Class::Api, format!("{name} answered with status {status}.")),
    }
}

/// What went wrong on the way from the upstream, as the last word of a stream.
fn failure_of_ours(fault: &Fault) -> Failure {
    let class = if fault.status == 504 { Class::Timeout } else { Class::Api };
    Failure { code: Some(fault.reason.into()), ..Failure::new(class, fault.message.clone()) }
}

/// Answers with an upstream's failure, in the client's words.
///
/// # Errors
/// The client takes no answer.
pub(super) async fn send_failure(
    world: &World,
    client: &mut Client<'_>,
    request: &RequestHead,
    destination: &Destination,
    failure: &Failure,
    keep: bool,
    work: &mut Work,
) -> Result<(), Stop> {
    let dialect = work.record.dialect;
    let mut body = Vec::new();
    failure.write_body(dialect, work.record.id.as_str(), &mut body);
    let mut out = world.buffers.take();
    let head = Head { status: failure.status(dialect), length: Some(body.len()), keep, real_tokens: None, cost: None };
    write_head(&mut out, work, request, destination, head);
    client.deadline.enter(Stage::Answering);
    out.extend_from_slice(&body);
    work.record.bytes_out += out.len() as u64;
    world.buffers.give(client.send_all(out).await?);
    Ok(())
}

/// An answer under way to the client.
struct Delivery<'a, 'c> {
    client: &'a mut Client<'c>,
    request: &'a RequestHead,
    destination: &'a Destination,
    prices: &'a Prices,
    answer: Box<dyn Answer>,
    form: Form,
    keep_client: bool,
    /// How its tokens are told.
    scale: Scale,
}

/// How an answer goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// All at once, when it is whole.
    Whole,
    /// As a stream, of which nothing was sent yet.
    Held,
    /// As a stream, whose head is out.
    Flowing,
}

impl Delivery<'_, '_> {
    /// Reads the answer to its end, and sends it as it comes, or when it is whole; `frames` is what there is to send
    /// already.
    async fn run(
        &mut self,
        world: &World,
        incoming: &mut Incoming<'_>,
        mut rhythm: Rhythm,
        mut frames: Vec<u8>,
        work: &mut Work,
    ) -> Result<(), Stop> {
        let is_stream = self.form != Form::Whole;
        let _open = is_stream.then(|| world.counters.streams_open.hold());
        world.counters.streams.add(u64::from(is_stream));
        let mut turn = Turn::default();
        loop {
            if let Err(fault) = incoming.take(&work.inbound, |payload| self.answer.events(payload, &mut frames)) {
                self.broke_off(&fault, &mut frames, work)?;
            }
            if incoming.is_over() && !self.answer.is_over() {
                self.answer.finish(&mut frames);
            }
            self.send(world, &mut frames, rhythm.may_hold(), work).await?;
            if self.form == Form::Flowing {
                rhythm.release(world.deadlines.now());
            }
            if self.answer.is_over() {
                break;
            }
            turn.taken(self.client.inbox).await;
            if let Err(fault) = self.wait(world, incoming, &mut rhythm, &mut frames, work).await? {
                self.broke_off(&fault, &mut frames, work)?;
            }
        }
        world.buffers.give(frames);
        Ok(())
    }

    /// One read of the upstream. While it says nothing, the client is told from time to time that it is still there.
    async fn wait(
        &mut self,
        world: &World,
        incoming: &mut Incoming<'_>,
        rhythm: &mut Rhythm,
        frames: &mut Vec<u8>,
        work: &mut Work,
    ) -> Result<Result<(), Fault>, Stop> {
        loop {
            // A whole answer has no place for a ping.
            incoming.intake.due = rhythm.due().filter(|_| self.form != Form::Whole);
            let (received, inbound) = incoming.receive(world, std::mem::take(&mut work.inbound)).await;
            work.inbound = inbound;
            match received {
                Ok(false) => {
                    if self.form == Form::Flowing {
                        self.answer.ping(frames);
                    }
                    self.send(world, frames, false, work).await?;
                    rhythm.release(world.deadlines.now());
                    rhythm.told(world.deadlines.now());
                }
                received => {
                    rhythm.told(world.deadlines.now());
                    return Ok(received.map(drop));
                }
            }
        }
    }

    /// Sends what there is to send: of a stream all frames, once its head may go; of a whole answer nothing before its end.
    async fn send(&mut self, world: &World, frames: &mut Vec<u8>, may_hold: bool, work: &mut Work) -> Result<(), Stop> {
        let over = self.answer.is_over();
        let waits = match self.form {
            Form::Whole => !over,
            Form::Held => may_hold && !self.answer.has_begun(),
            Form::Flowing => false,
        };
        if waits {
            return Ok(());
        }
        match (self.form, self.answer.failure().cloned()) {
            (Form::Flowing, Some(_)) => self.answer.tell_failure(frames),
            (Form::Whole | Form::Held, Some(failure)) => {
                let Self { client, request, destination, keep_client, .. } = self;
                return send_failure(world, client, request, destination, &failure, *keep_client, work).await;
            }
            (_, None) => {}
        }
        let mut out = world.buffers.take();
        let is_stream = self.form != Form::Whole;
        let chunked = is_stream && self.request.version() == Version::Http11;
        if over && is_stream {
            write_lost(self.answer.losses(), frames);
        }
        work.losses.append(self.answer.losses());
        if self.form != Form::Flowing {
            self.begin(work, frames.len(), &mut out)?;
        }
        match chunked {
            true if frames.is_empty() => {}
            true => write_chunk(&mut out, frames),
            false => out.extend_from_slice(frames),
        }
        frames.clear();
        let failed = over && self.answer.failure().is_some();
        if over && chunked && !failed {
            out.extend_from_slice(LAST_CHUNK);
        }
        if !out.is_empty() {
            work.record.bytes_out += out.len() as u64;
            out = self.client.send_all(out).await?;
        }
        world.buffers.give(out);
        if !failed {
            return Ok(());
        }
        // Some clients do not read errors inside a stream (Codex), and all of them notice a cut.
        self.client.reset |= !chunked;
        let (who, reason) = work.record.ended.unwrap_or((Who::Upstream, "upstream-error"));
        Err(Stop::Cut(who, reason))
    }

    /// Writes the head of an answer that succeeds, or begins to.
    fn begin(&mut self, work: &mut Work, length: usize, out: &mut Vec<u8>) -> Result<(), Stop> {
        let until_close = self.form == Form::Held && self.request.version() == Version::Http10;
        if until_close && self.client.transport == Transport::Unix {
            return Err(relay::http10_on_unix().into());
        }
        self.keep_client &= !until_close;
        let length = (self.form == Form::Whole).then_some(length);
        // A stream's usage comes behind its head: there only the log has the real numbers.
        let usage = self.answer.usage();
        let real_tokens = [usage.input, usage.cache_read, usage.cache_write].into_iter().flatten().sum();
        let is_scaled = self.scale.expected != self.scale.real && self.form == Form::Whole;
        let real_tokens = Some(real_tokens).filter(|_| is_scaled);
        let price = length.and_then(|_| self.destination.price(self.prices, &work.model));
        let cost = price.and_then(|price| price.cost(&usage));
        let head = Head { status: 200, length, keep: self.keep_client, real_tokens, cost };
        write_head(out, work, self.request, self.destination, head);
        self.client.deadline.enter(Stage::Answering);
        if self.form == Form::Held {
            self.form = Form::Flowing;
        }
        Ok(())
    }

    /// The upstream's answer broke off. Where nothing was sent that becomes the answer; else the stream's last event.
    fn broke_off(&mut self, fault: &Fault, frames: &mut Vec<u8>, work: &mut Work) -> Result<(), Stop> {
        if self.form != Form::Flowing {
            return Err(fault.clone().into());
        }
        if !self.answer.is_over() {
            self.answer.fail(failure_of_ours(fault), frames);
        }
        work.record.ended = Some((fault.who, fault.reason));
        Ok(())
    }
}

/// What of a stream's answer was not carried over, as its last words: a comment, which no client reads as an event.
fn write_lost(losses: &Losses, frames: &mut Vec<u8>) {
    if !losses.is_empty() {
        frames.extend_from_slice(b": x-sidestream-dropped: ");
        write_losses(losses, frames);
        frames.extend_from_slice(b"\n\n");
    }
}

/// What a translated answer's head says of it.
struct Head {
    status: u16,
    /// Of its body; a stream has none.
    length: Option<usize>,
    /// The client's connection goes on.
    keep: bool,
    /// Tokens of the input, where the body tells them on another scale.
    real_tokens: Option<u64>,
    /// Nano-dollars, where they are known so early.
    cost: Option<u64>,
}

/// The head of a translated answer.
fn write_head(out: &mut Vec<u8>, work: &mut Work, request: &RequestHead, destination: &Destination, head: Head) {
    let Head { status, length, keep, real_tokens, cost } = head;
    work.record.status = status;
    write::status_line(out, status);
    match length {
        Some(length) => {
            write::field(out, b"content-type", b"application/json");
            write::content_length(out, length as u64);
        }
        None => {
            write::field(out, b"content-type", b"text/event-stream; charset=utf-8");
            write::field(out, b"cache-control", b"no-cache");
            write::field(out, b"x-accel-buffering", b"no");
        }
    }
    let (from, now) = (work.record.upstream_dialect.unwrap_or(work.record.dialect), now_unix());
    for (name, value) in fields::end_to_end(&work.response) {
        let overruled = work.spent && name.eq_ignore_ascii_case(relay::SHOULD_RETRY);
        let stays = is_about_the_body(name) || relay::is_ours(name) || overruled;
        if !stays && !failure::error_field(from, work.record.dialect, name, value, now, out) {
            write::read_field(out, name, value);
        }
    }
    if let Some(origin) = request.get("origin").filter(|_| work.record.page) {
        cors::write(out, origin);
    }
    write::field(out, b"x-sidestream-request-id", work.record.id.as_bytes());
    write_tries(out, &destination.provider, work);
    if work.spent {
        write::field(out, relay::SHOULD_RETRY, b"false");
    }
    if !work.losses.is_empty() {
        out.extend_from_slice(b"x-sidestream-dropped: ");
        write_losses(&work.losses, out);
        out.extend_from_slice(b"\r\n");
    }
    if let Some(tokens) = real_tokens {
        write_real_tokens(out, tokens);
    }
    if let Some(nanos) = cost {
        out.extend_from_slice(b"x-sidestream-cost-usd: ");
        write_dollars(nanos, out);
        out.extend_from_slice(b"\r\n");
    }
    write_timing(out, &work.record);
    if length.is_none() && request.version() == Version::Http11 {
        write::field(out, b"transfer-encoding", b"chunked");
    }
    write_connection(out, request.version(), keep);
    write::end(out);
}

/// Fields that describe the upstream's body, not ours.
fn is_about_the_body(name: &[u8]) -> bool {
    const FIELDS: [&str; 5] = ["cache-control", "x-accel-buffering", "etag", "last-modified", "vary"];
    name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-"))
        || FIELDS.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        || cors::is_cors_field(name)
}
