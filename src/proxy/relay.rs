//! The answer's body on its way to the client: one upstream read, at most one write.

use std::time::{Duration, Instant};

use super::ask::Answering;
use super::connection::{Client, Stop, Transport};
use super::cors;
use super::intake::{Intake, Received, broken_coding};
use super::job::{Record, Work};
use super::rhythm::Rhythm;
use super::site::{Destination, Site};
use super::world::World;
use crate::config::provider::Provider;
use crate::dialect::error;
use crate::dialect::usage::UsageReader;
use crate::fault::Fault;
use crate::http::chunked::write_chunk;
use crate::http::fields;
use crate::http::framing::{self, Framing};
use crate::http::head::{Name, Names, RequestHead, ResponseHead, Version};
use crate::http::passage::{Form, Passage, Passed};
use crate::http::write;
use crate::net::deadlines::Stage;
use crate::net::inbox::Turn;
use crate::net::pool::Upstream;
use crate::sse::tail::Tail;

/// How an answer ended.
pub struct Relayed {
    /// The upstream's connection, if it may carry another request.
    pub reusable: Option<Upstream>,
    /// Bytes followed that belong to no answer.
    pub excess: bool,
    /// The client's connection may carry another request.
    pub keep_client: bool,
}

/// Passes an answer on: head, body, end.
///
/// # Errors
/// [`Stop::Fault`] if the answer's framing is broken (nothing was sent yet), [`Stop::Cut`] if the body ended before its
/// framing said so, [`Stop::Gone`] if the client takes no more.
pub async fn relay(
    world: &World,
    site: &Site,
    destination: &Destination,
    client: &mut Client<'_>,
    answering: Answering,
    request: &RequestHead,
    work: &mut Work,
) -> Result<Relayed, Stop> {
    let Answering { upstream, head_bytes, sent_whole, read_whole, until, .. } = answering;
    let Destination { provider, numbers, .. } = destination;
    work.record.first_byte = Some(Instant::now());
    let framing = framing::of_response(&work.response, request.method()).map_err(|bad| {
        numbers.invalid.add(1);
        let message = format!("{} answered with an invalid head: {}.", provider.name, bad.name());
        Fault::upstream(502, "upstream-invalid", message)
    })?;
    let form = Passage::form(framing, request.version());
    let framing_out = match form {
        Form::Verbatim => framing,
        Form::Payload => Framing::UntilClose,
        Form::Chunked => Framing::Chunked,
    };
    let stream = is_event_stream(&work.response);
    let _open = stream.then(|| world.counters.streams_open.hold());
    world.counters.streams.add(u64::from(stream));
    let keep_client = request.keep_alive() && read_whole && framing_out != Framing::UntilClose && !world.draining.get();

    if framing_out == Framing::UntilClose && client.transport == Transport::Unix {
        // Such an answer ends with the connection, and a UNIX socket cannot be reset: a cut answer would look whole.
        return Err(http10_on_unix().into());
    }
    for deadline in [&client.deadline, upstream.inlet.deadline()] {
        deadline.enter(Stage::Answering);
    }
    let mut out = std::mem::take(&mut work.out);
    out.clear();
    write_head(&mut out, work, request, provider, Sent::Framed(framing_out), keep_client);
    work.record.status = work.response.status();
    let passage = Passage::new(framing, form);
    let follow = Follow { kind: Follow::kind(&work.response, stream), tail: Tail::default() };
    let intake = Intake::new(destination, upstream, until);
    // The body of an error is read as a whole, whatever it is called.
    let ping = if stream && work.response.status() == 200 { site.config().ping } else { Duration::ZERO };
    let rhythm = Rhythm::new(world.deadlines.now(), 0, ping);
    let mut body = Body { intake, passage, framing_out, follow, rhythm, out };
    let ended = body.pass_on(world, client, work, head_bytes).await?;
    let Body { intake: Intake { upstream, .. }, out, .. } = body;
    work.out = out;

    let excess = matches!(ended, Ended::WithExcess);
    numbers.excess.add(u64::from(excess));
    let sound = matches!(ended, Ended::Framed) && sent_whole && work.response.keep_alive();
    Ok(Relayed { reusable: sound.then_some(upstream), excess, keep_client })
}

/// Sends an answer that was read whole, as it came.
///
/// # Errors
/// The client takes no answer.
pub(super) async fn send_whole(
    world: &World,
    destination: &Destination,
    client: &mut Client<'_>,
    request: &RequestHead,
    body: &[u8],
    keep_client: bool,
    work: &mut Work,
) -> Result<(), Stop> {
    let mut out = world.buffers.take();
    write_head(&mut out, work, request, &destination.provider, Sent::Whole(body.len()), keep_client);
    work.record.status = work.response.status();
    out.extend_from_slice(body);
    work.record.bytes_out += out.len() as u64;
    client.deadline.enter(Stage::Answering);
    world.buffers.give(client.send_all(out).await?);
    Ok(())
}

/// Such an answer would have no end that can be told from a cut.
pub(super) fn http10_on_unix() -> Fault {
    let message = "An answer without a length needs HTTP/1.1 on a UNIX socket.";
    Fault::client(505, "http10-on-unix", message).closing()
}

/// How a body ended well.
enum Ended {
    /// Exactly at its framed end.
    Framed,
    /// There, but bytes followed that belong to no answer.
    WithExcess,
    /// With the upstream's connection, as its framing allows.
    WithConnection,
}

/// A body under way.
struct Body<'a> {
    intake: Intake<'a>,
    passage: Passage,
    /// The framing that the client sees.
    framing_out: Framing,
    follow: Follow,
    rhythm: Rhythm,
    /// What goes to the client and does not lie in the read buffer as it must go: the head, chunks of ours.
    out: Vec<u8>,
}

impl Body<'_> {
    /// Passes on what came behind the head, together with the head in `out`, and then read after read to the end.
    async fn pass_on(
        &mut self,
        world: &World,
        client: &mut Client<'_>,
        work: &mut Work,
        head_bytes: usize,
    ) -> Result<Ended, Stop> {
        let behind = work.inbound.get(head_bytes..).unwrap_or_default();
        let usage = &mut work.usage;
        let passed = self.passage.pass(behind, &mut self.out, |payload| self.follow.push(payload, usage));
        let passed = passed.map_err(|error| Stop::Fault(broken_coding(self.intake.destination, error)))?;
        let mut consumed = head_bytes + passed.consumed();
        let mut apart = None;
        if let Passed::AsIs(end) = passed {
            // One write with the head, as long as that needs no larger buffer.
            if self.out.capacity() - self.out.len() >= end {
                self.out.extend_from_slice(behind.get(..end).unwrap_or_default());
            } else {
                apart = Some(end);
            }
        }
        self.send_out(client, work).await?;
        if let Some(end) = apart {
            work.record.bytes_out += end as u64;
            let inbound = std::mem::take(&mut work.inbound);
            work.inbound = client.send(inbound, head_bytes, head_bytes + end).await?;
        }
        // From here on bytes go out of the buffers they came in: an idle stream holds none.
        world.buffers.give(std::mem::take(&mut self.out));

        let mut turn = Turn::default();
        while !self.passage.is_done() {
            turn.taken(client.inbox).await;
            self.rhythm.told(world.deadlines.now());
            self.intake.due = self.rhythm.due();
            match self.receive(work).await {
                Received::Bytes => {}
                Received::Due => {
                    self.ping(world, client, work).await?;
                    continue;
                }
                ended => return self.end(world, client, work, ended).await,
            }
            let inbound = std::mem::take(&mut work.inbound);
            let usage = &mut work.usage;
            let passed = self.passage.pass(&inbound, &mut self.out, |payload| self.follow.push(payload, usage));
            work.inbound = match passed {
                Ok(Passed::AsIs(end)) => {
                    work.record.bytes_out += end as u64;
                    client.send(inbound, 0, end).await?
                }
                Ok(Passed::Written(_)) => {
                    self.send_out(client, work).await?;
                    inbound
                }
                Err(_) => {
                    let fault = self.intake.broken();
                    return Err(self.cut(client, work, &fault).await);
                }
            };
            consumed = passed.map_or(0, Passed::consumed);
        }
        Ok(if work.inbound.len() > consumed { Ended::WithExcess } else { Ended::Framed })
    }

    /// One read into `work.inbound`.
    async fn receive(&mut self, work: &mut Work) -> Received {
        let (received, inbound) = self.intake.receive(std::mem::take(&mut work.inbound)).await;
        work.inbound = inbound;
        self.out.clear();
        received
    }

    /// Sends what is in `out`.
    async fn send_out(&mut self, client: &mut Client<'_>, work: &mut Work) -> Result<(), Stop> {
        work.record.bytes_out += self.out.len() as u64;
        self.out = client.send_all(std::mem::take(&mut self.out)).await?;
        Ok(())
    }

    /// Shows the client of a silent stream that it goes on, where that harms nothing: between two events, and two chunks.
    async fn ping(&mut self, world: &World, client: &mut Client<'_>, work: &mut Work) -> Result<(), Stop> {
        if self.may_insert() {
            self.out = world.buffers.take();
            self.insert(work.record.dialect.ping());
            self.send_out(client, work).await?;
            world.buffers.give(std::mem::take(&mut self.out));
        }
        Ok(())
    }

    /// An event of our own can stand here.
    fn may_insert(&self) -> bool {
        self.follow.kind == BodyKind::Events && self.follow.tail.is_between_events() && self.passage.is_between_chunks()
    }

    /// Appends an event of our own to what goes out.
    fn insert(&mut self, event: &[u8]) {
        match self.framing_out {
            Framing::Chunked => write_chunk(&mut self.out, event),
            _ => self.out.extend_from_slice(event),
        }
    }

    /// The upstream's connection ended, which may be the body's end.
    async fn end(
        &mut self,
        world: &World,
        client: &mut Client<'_>,
        work: &mut Work,
        received: Received,
    ) -> Result<Ended, Stop> {
        if self.intake.ended_itself(world, received) && self.passage.finish(&mut self.out) {
            self.send_out(client, work).await?;
            return Ok(Ended::WithConnection);
        }
        let fault = self.intake.cut_short(world);
        Err(self.cut(client, work, &fault).await)
    }

    /// An answer ended before its framing said so. It must never look complete: a stream ends with an error event where
    /// one can stand (between two events and two chunks), and no body gets the end that its framing promised.
    async fn cut(&mut self, client: &mut Client<'_>, work: &mut Work, fault: &Fault) -> Stop {
        self.out.clear();
        if self.may_insert() {
            let mut event = Vec::new();
            error::write_event(work.record.dialect, fault, work.record.id.as_str(), &mut event);
            self.insert(&event);
            if self.send_out(client, work).await.is_err() {
                return Stop::Gone;
            }
        } else if self.framing_out == Framing::UntilClose {
            client.reset = true;
        }
        Stop::Cut(fault.who, fault.reason)
    }
}

/// What a body is, as far as we look into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyKind {
    /// An event stream.
    Events,
    /// One JSON text.
    Json,
    /// Anything else, or coded.
    Opaque,
}

/// Looks at a body that passes.
struct Follow {
    kind: BodyKind,
    tail: Tail,
}

impl Follow {
    fn kind(response: &ResponseHead, stream: bool) -> BodyKind {
        let coded = response.get("content-encoding").is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity"));
        let json = response
            .get("content-type")
            .is_some_and(|kind| kind.get(..16).is_some_and(|start| start.eq_ignore_ascii_case(b"application/json")));
        match response.status() {
            _ if stream => BodyKind::Events,
            200 if json && !coded => BodyKind::Json,
            _ => BodyKind::Opaque,
        }
    }

    fn push(&mut self, payload: &[u8], usage: &mut UsageReader) {
        match self.kind {
            BodyKind::Events => {
                self.tail.push(payload);
                usage.push_stream(payload);
            }
            BodyKind::Json => usage.push_json(payload),
            BodyKind::Opaque => {}
        }
    }
}

pub(super) fn is_event_stream(response: &ResponseHead) -> bool {
    let kind = response.get("content-type").unwrap_or_default();
    let named = kind.get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"));
    named && response.get("content-encoding").is_none_or(|coding| coding.eq_ignore_ascii_case(b"identity"))
}

/// What a sidestream behind us said of the same answer: ours counts.
pub(super) fn is_ours<'a>(name: impl Into<Name<'a>>) -> bool {
    const OWN: Names<6> = Names::new([
        "x-sidestream-request-id",
        "x-sidestream-provider",
        "x-sidestream-model",
        "x-sidestream-attempts",
        "x-sidestream-dropped",
        "x-sidestream-cost-usd",
    ]);
    OWN.contains(name)
}

/// How a body goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// As it comes.
    Framed(Framing),
    /// At once, with this length.
    Whole(usize),
}

/// The head of the answer: the upstream's end-to-end fields in their order, then ours.
fn write_head(
    out: &mut Vec<u8>,
    work: &Work,
    request: &RequestHead,
    provider: &Provider,
    sent: Sent,
    keep_client: bool,
) {
    let status = work.response.status();
    let spent = work.spent;
    write::status_line(out, status);
    // A length is not allowed there, whatever the upstream thinks (RFC 9110 §8.6).
    let no_length = status == 204 || matches!(sent, Sent::Whole(_));
    fields::write_end_to_end(out, &work.response, |name, _| {
        let stray_length = no_length && name.as_bytes().eq_ignore_ascii_case(b"content-length");
        let overruled = spent && name.as_bytes().eq_ignore_ascii_case(SHOULD_RETRY);
        // What the upstream lets pages read is about its own address.
        let of_upstream = work.record.page && cors::is_cors_field(name.as_bytes());
        !stray_length && !of_upstream && !overruled && !is_ours(name)
    });
    if let Some(origin) = request.get("origin").filter(|_| work.record.page) {
        cors::write(out, origin);
    }
    write::field(out, b"x-sidestream-request-id", work.record.id.as_bytes());
    write_tries(out, provider, work);
    if spent {
        write::field(out, SHOULD_RETRY, b"false");
    }
    write_timing(out, &work.record);
    match sent {
        Sent::Framed(Framing::Chunked) => write::field(out, b"transfer-encoding", b"chunked"),
        Sent::Framed(_) => {}
        Sent::Whole(length) => write::content_length(out, length as u64),
    }
    write_connection(out, request.version(), keep_client);
    write::end(out);
}

/// Said where every try there was came to nothing: clients that try again would only begin anew.
pub(super) const SHOULD_RETRY: &[u8] = b"x-should-retry";

/// Who was asked, for which model, and how often.
pub fn write_tries(out: &mut Vec<u8>, provider: &Provider, work: &Work) {
    write::field(out, b"x-sidestream-provider", provider.name.as_bytes());
    if !work.model.is_empty() && work.model.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        write::field(out, b"x-sidestream-model", work.model.as_bytes());
    }
    out.extend_from_slice(b"x-sidestream-attempts: ");
    write::number(out, u64::from(work.record.attempts));
    out.extend_from_slice(b"\r\n");
}

/// `Server-Timing` (W3C): reading the request, finding its way, connecting, and the whole until the answer began.
pub(super) fn write_timing(out: &mut Vec<u8>, record: &Record) {
    let between = |from: Option<Instant>, to: Option<Instant>| {
        to.zip(from).map_or(0, |(to, from)| to.saturating_duration_since(from).as_micros() as u64)
    };
    let began = Some(record.began);
    for (name, micros) in [
        ("server-timing: parse;dur=", between(began, record.read)),
        (", route;dur=", between(record.read.or(began), record.routed)),
        (", connect;dur=", record.connect_micros),
        (", ttfb;dur=", between(began, record.first_byte)),
    ] {
        out.extend_from_slice(name.as_bytes());
        write_millis(out, micros);
    }
    out.extend_from_slice(b"\r\n");
}

/// `Connection`: always said to HTTP/1.0, whose clients guess differently; to HTTP/1.1 only if it ends.
pub fn write_connection(out: &mut Vec<u8>, version: Version, keep: bool) {
    match (version, keep) {
        (Version::Http11, true) => {}
        (_, false) => write::field(out, b"connection", b"close"),
        (Version::Http10, true) => write::field(out, b"connection", b"keep-alive"),
    }
}

/// Microseconds as milliseconds with three decimals.
fn write_millis(out: &mut Vec<u8>, micros: u64) {
    write::number(out, micros / 1000);
    let [a, b, c] = write::decimals((micros % 1000) as u32);
    out.extend_from_slice(&[b'.', a, b, c]);
}
