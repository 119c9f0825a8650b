//! The answer's body on its way to the client: one upstream read, at most one write.

use std::time::Instant;

use super::ask::Answering;
use super::connection::{Client, Stop};
use super::job::{Record, Work};
use super::world::World;
use crate::dialect::error;
use crate::fault::Fault;
use crate::http::chunked::write_chunk;
use crate::http::fields;
use crate::http::framing::{self, Framing};
use crate::http::head::{RequestHead, ResponseHead, Version};
use crate::http::passage::{Form, Passage, Passed};
use crate::http::write;
use crate::net::pool::Upstream;
use crate::sse::tail::Tail;

/// How an answer ended.
pub struct Relayed {
    /// The upstream's connection, if it may carry another request.
    pub reusable: Option<Upstream>,
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
    client: &mut Client<'_>,
    answering: Answering,
    request: &RequestHead,
    work: &mut Work,
) -> Result<Relayed, Stop> {
    let Answering { mut upstream, head_bytes, sent_whole } = answering;
    let provider = &world.config().provider;
    work.record.first_byte = Some(Instant::now());
    let framing = framing::of_response(&work.response, request.method()).map_err(|bad| {
        world.counters.upstream_invalid.add(1);
        let message = format!("{} answered with an invalid head: {}.", provider.name, bad.name());
        Fault::upstream(502, "upstream-invalid", message)
    })?;
    let form = Passage::form(framing, request.version());
    let mut passage = Passage::new(framing, form);
    let ends_by_close = !passage.is_done() && framing_out(framing, form) == Framing::UntilClose;
    let keep_client = request.keep_alive() && !ends_by_close && !world.draining.get();
    let stream = is_event_stream(&work.response);
    work.record.is_stream = stream;
    let _open = stream.then(|| world.counters.streams_open.hold());
    world.counters.streams.add(u64::from(stream));

    let mut out = std::mem::take(&mut work.out);
    out.clear();
    write_head(&mut out, work, request, world, framing_out(framing, form), keep_client);
    work.record.status = work.response.status();
    let mut tail = Tail::default();
    let behind = work.inbound.get(head_bytes..).unwrap_or_default();
    let mut consumed = head_bytes + pass_into(&mut passage, behind, &mut out, &mut tail, stream)?;
    // The first bytes of the body join the head.
    out = send(client, &mut work.record, out).await?;

    while !passage.is_done() {
        let mut inbound = std::mem::take(&mut work.inbound);
        inbound.clear();
        upstream.inlet.deadline().arm(provider.idle_timeout);
        let (received, mut inbound) = upstream.inlet.receive(inbound).await;
        out.clear();
        if !matches!(received, Ok(1..)) {
            if received.is_ok() && passage.finish(&mut out) {
                send(client, &mut work.record, out).await?;
                return Ok(Relayed { reusable: None, keep_client });
            }
            let place =
                Place { stream: stream && tail.is_between_events() && passage.is_between_chunks(), form, framing };
            return Err(cut(world, client, &upstream, work, place).await);
        }
        let passed = passage.pass(&inbound, &mut out, |payload| follow(&mut tail, stream, payload));
        let Ok(passed) = passed else {
            work.inbound = inbound;
            return Err(cut(world, client, &upstream, work, Place { stream: false, form, framing }).await);
        };
        consumed = passed.consumed();
        match passed {
            Passed::AsIs(end) => {
                inbound = client.send(inbound, 0, end).await?;
                work.record.bytes_out += end as u64;
            }
            Passed::Written(_) => out = send(client, &mut work.record, out).await?,
        }
        work.inbound = inbound;
    }
    work.out = out;

    let excess = work.inbound.len() > consumed;
    world.counters.upstream_excess.add(u64::from(excess));
    let sound = !excess && sent_whole && work.response.keep_alive() && framing != Framing::UntilClose;
    Ok(Relayed { reusable: sound.then_some(upstream), keep_client: keep_client && sent_whole })
}

/// The framing that the client sees.
fn framing_out(framing: Framing, form: Form) -> Framing {
    match form {
        Form::Verbatim => framing,
        Form::Payload => Framing::UntilClose,
        Form::Chunked => Framing::Chunked,
    }
}

fn follow(tail: &mut Tail, stream: bool, payload: &[u8]) {
    if stream {
        tail.push(payload);
    }
}

/// Appends what goes on of `input`; gives the number of bytes that belonged to the body.
fn pass_into(
    passage: &mut Passage,
    input: &[u8],
    out: &mut Vec<u8>,
    tail: &mut Tail,
    stream: bool,
) -> Result<usize, Stop> {
    let passed = passage.pass(input, out, |payload| follow(tail, stream, payload));
    let passed = passed.map_err(|error| {
        let message =
            format!("The answer's chunked coding is broken: {}.", crate::http::reject::Reject::from(error).row().name);
        Stop::Fault(Fault::upstream(502, "upstream-invalid", message))
    })?;
    if let Passed::AsIs(end) = passed {
        out.extend_from_slice(input.get(..end).unwrap_or_default());
    }
    Ok(passed.consumed())
}

async fn send(client: &mut Client<'_>, record: &mut Record, out: Vec<u8>) -> Result<Vec<u8>, Stop> {
    record.bytes_out += out.len() as u64;
    client.send_all(out).await
}

/// Where a body was cut.
struct Place {
    /// An event stream, between two events and two chunks: an error event may still be said.
    stream: bool,
    form: Form,
    framing: Framing,
}

/// An answer ended before its framing said so. It must never look complete: a stream ends with an error event, and no
/// body gets the end that its framing promised.
async fn cut(world: &World, client: &mut Client<'_>, upstream: &Upstream, work: &mut Work, place: Place) -> Stop {
    let provider = &world.config().provider;
    let (reason, what) = if world.stopping.get() {
        ("draining", "sidestream is shutting down and its grace period is over.".to_owned())
    } else if upstream.inlet.deadline().expired() {
        world.counters.upstream_timeouts.add(1);
        let silence = provider.idle_timeout.as_secs();
        ("upstream-silent", format!("{} went silent for {silence} s in the middle of its answer.", provider.name))
    } else {
        world.counters.upstream_truncated.add(1);
        ("upstream-truncated", format!("{} ended the connection in the middle of its answer.", provider.name))
    };
    if place.stream {
        let mut event = Vec::new();
        error::write_event(work.record.dialect, &Fault::upstream(502, reason, what), &mut event);
        let mut out = Vec::new();
        match framing_out(place.framing, place.form) {
            Framing::Chunked => write_chunk(&mut out, &event),
            // Bytes of ours would count towards the promised length.
            Framing::Length(_) | Framing::None => {}
            Framing::UntilClose => out = event,
        }
        if send(client, &mut work.record, out).await.is_err() {
            return Stop::Gone;
        }
    } else if framing_out(place.framing, place.form) == Framing::UntilClose {
        client.reset = true;
    }
    Stop::Cut(reason)
}

fn is_event_stream(response: &ResponseHead) -> bool {
    let kind = response.get("content-type").unwrap_or_default();
    let named = kind.get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"));
    named && response.get("content-encoding").is_none_or(|coding| coding.eq_ignore_ascii_case(b"identity"))
}

/// The head of the answer: the upstream's end-to-end fields in their order, then ours.
fn write_head(
    out: &mut Vec<u8>,
    work: &Work,
    request: &RequestHead,
    world: &World,
    framing: Framing,
    keep_client: bool,
) {
    let status = work.response.status();
    write::status_line(out, status);
    for (name, value) in fields::end_to_end(&work.response) {
        // A length is not allowed there, whatever the upstream thinks (RFC 9110 §8.6).
        if !(status == 204 && name.eq_ignore_ascii_case(b"content-length")) {
            write::field(out, name, value);
        }
    }
    write::field(out, b"x-sidestream-provider", world.config().provider.name.as_bytes());
    if !work.model.is_empty() && work.model.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        write::field(out, b"x-sidestream-model", work.model.as_bytes());
    }
    let record = &work.record;
    out.extend_from_slice(b"x-sidestream-attempts: ");
    write::number(out, u64::from(record.attempts));
    out.extend_from_slice(b"\r\nserver-timing: connect;dur=");
    write_millis(out, record.connect_micros);
    out.extend_from_slice(b", ttfb;dur=");
    let first_byte = record.first_byte.map_or(0, |at| at.duration_since(record.began).as_micros());
    write_millis(out, first_byte as u64);
    out.extend_from_slice(b"\r\n");
    if framing == Framing::Chunked {
        write::field(out, b"transfer-encoding", b"chunked");
    }
    write_connection(out, request.version(), keep_client);
    write::end(out);
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
    out.push(b'.');
    for place in [100, 10, 1] {
        out.push(b'0' + (micros / place % 10) as u8);
    }
}
