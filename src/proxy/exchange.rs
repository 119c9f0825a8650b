//! One request and its answer, top to bottom.

use std::pin::pin;
use std::time::Instant;

use super::admit::{self, Admitted};
use super::ask::{self, Answering, Silent};
use super::connection::{After, Client, Door, Stop};
use super::job::{Job, Work};
use super::local::{self, Asked};
use super::relay;
use super::upload::{self, Splice, Upload};
use super::world::{Face, Lease, World};
use crate::dialect::Dialect;
use crate::dialect::endpoint::{self, Endpoint};
use crate::fault::{Fault, Who};
use crate::http::framing::Framing;
use crate::http::head::{HeadKind, Method, RequestHead};
use crate::http::passage::{Form, Passage};
use crate::http::reject::Reject;
use crate::json::Kind;
use crate::json::text;
use crate::limits;
use crate::net::deadlines::Expired;
use crate::net::inbox::unless_gone;
use crate::telemetry::log::Level;

/// Serves one request; its first byte has come. Whatever happens ends here: in an answer, a log line, a count, and the
/// fate of the connection.
pub async fn exchange(world: &World, client: &mut Client<'_>, job: &mut Job) -> After {
    job.begin();
    let Job { request, work } = job;
    let outcome = match head(client, request, work).await {
        Ok(()) => {
            world.counters.requests.add(1);
            let _open = world.counters.requests_open.hold();
            answer(world, client, request, work).await
        }
        Err(stop) => Err(Failure { stop, asked: Asked::UNKNOWN, unread: true }),
    };
    let after = match outcome {
        Ok(after) => after,
        Err(failure) => end_early(world, client, work, failure).await,
    };
    client.inbox.set_answering(false);
    let after = if client.inbox.has_overflowed() { After::Close } else { after };
    settle(world, client, request, work);
    after
}

/// A stop, and what is needed to tell the client.
struct Failure {
    stop: Stop,
    asked: Asked,
    /// The body was not read: the connection cannot go on.
    unread: bool,
}

/// The head of the request, in [`limits::HEAD_TIME_MAX`] from its first byte.
async fn head(client: &mut Client<'_>, request: &mut RequestHead, work: &mut Work) -> Result<(), Stop> {
    client.deadline.arm_receiving(limits::HEAD_TIME_MAX);
    loop {
        let found = client.inbox.peek(|bytes| match work.scanner.push(HeadKind::Request, bytes) {
            Ok(Some(end)) => request.parse(bytes.get(..end).unwrap_or_default()).map(|()| Some(end)),
            other => other,
        });
        let refused = match found {
            Ok(Some(end)) => {
                client.inbox.consume(end);
                client.deadline.disarm();
                work.record.dialect = endpoint::dialect_of(request);
                return Ok(());
            }
            Ok(None) => match client.inbox.more(0).await {
                None => continue,
                Some(_) if client.deadline.expired().is_some() => Reject::HeadTimeout,
                Some(_) => return Err(Stop::Gone),
            },
            Err(reject) => reject,
        };
        work.record.dialect = client.inbox.peek(admit::guess_dialect);
        return Err(refused.into());
    }
}

/// From a parsed head to the end of the answer.
async fn answer(
    world: &World,
    client: &mut Client<'_>,
    request: &RequestHead,
    work: &mut Work,
) -> Result<After, Failure> {
    let asked = Asked::of(request);
    let fail = |unread: bool| move |stop: Stop| Failure { stop, asked, unread };
    let Admitted { framing, expects_continue } = admit::admit(request, world.config(), client.transport, client.door)
        .map_err(|fault| fail(true)(fault.into()))?;
    let endpoint = if client.door == Door::Admin { Endpoint::Root } else { endpoint::of(request) };
    let has_body = !matches!(framing, Framing::None | Framing::Length(0));
    match endpoint {
        Endpoint::Root => {
            // A client that waits to be asked for its body gets the answer instead, and keeps the body.
            let withheld = expects_continue && client.inbox.is_empty();
            let read =
                !withheld && local::discard(client, framing).await.map_err(|reject| fail(true)(reject.into()))?;
            let answered = match client.door {
                Door::Clients => local::root(world, client, request, work).await,
                Door::Admin => local::admin(world, client, request, work).await,
            };
            let after = answered.map_err(fail(!read))?;
            Ok(if read { after } else { After::Linger })
        }
        Endpoint::Unknown => Err(fail(has_body)(Reject::NotFound.into())),
        Endpoint::Json { dialect, .. } => {
            check_before_body(world, request, framing).map_err(|fault| fail(has_body)(fault.into()))?;
            let face = face(world, dialect).map_err(|fault| fail(has_body)(fault.into()))?;
            if expects_continue && client.inbox.is_empty() {
                invite(client).await.map_err(fail(true))?;
            }
            let lease = upload::buffer(world, client, framing, work).await.map_err(fail(true))?;
            let splice = peek(world, work).map_err(|fault| fail(false)(fault.into()))?;
            let body = Some((lease, splice));
            forward(world, client, face, request, work, (&endpoint, framing), body).await.map_err(fail(false))
        }
        // Content in a GET has no meaning, and servers differ on whether they read it (RFC 9110 §9.3.1).
        Endpoint::Other { .. } if has_body && matches!(request.method(), Method::Get | Method::Head) => {
            Err(fail(true)(Reject::BodyNotAllowed.into()))
        }
        Endpoint::Other { dialect, .. } => {
            let face = face(world, dialect).map_err(|fault| fail(has_body)(fault.into()))?;
            if expects_continue && client.inbox.is_empty() {
                invite(client).await.map_err(fail(true))?;
            }
            forward(world, client, face, request, work, (&endpoint, framing), None).await.map_err(fail(has_body))
        }
    }
}

/// What can be refused before a JSON body is read.
fn check_before_body(world: &World, request: &RequestHead, framing: Framing) -> Result<(), Fault> {
    if request.get("content-encoding").is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        return Err(Reject::UnsupportedContentEncoding.into());
    }
    let max = world.config().body_max;
    match framing {
        Framing::Length(length) if length > max => Err(upload::too_large(max)),
        _ => Ok(()),
    }
}

/// The upstream's face for a dialect. Nothing is translated in this version.
fn face(world: &World, dialect: Dialect) -> Result<&Face, Fault> {
    let (face, variable) = match dialect {
        Dialect::Messages => (&world.anthropic, "_ANTHROPIC_URL"),
        Dialect::Chat | Dialect::Responses => (&world.openai, "_OPENAI_URL"),
    };
    face.as_ref().ok_or_else(|| {
        let provider = &world.config().provider.name;
        let prefix = crate::config::variables::prefix(provider);
        let name = dialect.name();
        let message = format!("{provider} has no address that speaks {name}; set {prefix}{variable}.");
        Fault::client(501, "no-such-face", message)
    })
}

/// `100 Continue`: the head was accepted, the body may come (RFC 9110 §10.1.1).
async fn invite(client: &mut Client<'_>) -> Result<(), Stop> {
    client.send_all(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()).await.map(drop)
}

/// Reads the model's name, and prepares its replacement if a route gives it another.
fn peek(world: &World, work: &mut Work) -> Result<Option<Splice>, Fault> {
    let Some(member) = work.members.get("model").filter(|member| member.kind == Kind::String) else { return Ok(None) };
    let raw = work.body.get(member.start + 1..member.end - 1).unwrap_or_default();
    if raw.len() > 6 * limits::MODEL_BYTES_MAX {
        return Err(Fault::because(Reject::ModelInvalid, "The model's name is too long."));
    }
    let mut name = std::mem::take(&mut work.model).into_bytes();
    let decoded = text::decode(raw, &mut name);
    let valid = decoded.is_ok() && name.len() <= limits::MODEL_BYTES_MAX && !name.iter().any(u8::is_ascii_control);
    match String::from_utf8(name) {
        Ok(name) if valid => work.model = name,
        _ => return Err(Reject::ModelInvalid.into()),
    }
    let alias = world.config().routes.alias(&work.model).map(str::to_owned);
    Ok(alias.map(|alias| {
        let mut text = Vec::new();
        text::encode(alias.as_bytes(), &mut text);
        work.model = alias;
        Splice { start: member.start, end: member.end, text }
    }))
}

/// Sends the request to the upstream and its answer to the client. A kept connection that fails before any byte of an
/// answer was stale: what may be sent again is, once, on a fresh one.
async fn forward(
    world: &World,
    client: &mut Client<'_>,
    face: &Face,
    request: &RequestHead,
    work: &mut Work,
    asked: (&Endpoint<'_>, Framing),
    buffered: Option<(Lease<'_>, Option<Splice>)>,
) -> Result<After, Stop> {
    let (endpoint, framing) = asked;
    let (inbox, half_close) = (client.inbox, world.config().half_close);
    let provider = &world.config().provider;
    let is_json = buffered.is_some();
    let stores = work.members.get("store").is_none_or(|member| member.kind != Kind::False);
    let bodyless = matches!(framing, Framing::None | Framing::Length(0));
    let may_replay =
        provider.replay && (is_json || bodyless) && endpoint::may_replay(request.method(), endpoint, stores);
    let mut body = std::mem::take(&mut work.body);
    // A buffered body is sent with its length; a streamed one keeps the framing that the client chose.
    let (lease, splice) = buffered.unzip();
    let (framing, mut upload) = if is_json {
        let splice = splice.flatten();
        let growth = splice.as_ref().map_or(0, |splice| splice.text.len() as i64 - (splice.end - splice.start) as i64);
        let length = (body.len() as u64).saturating_add_signed(growth);
        (Framing::Length(length), Upload::Buffered(&mut body, splice))
    } else {
        (framing, Upload::Streamed(Passage::new(framing, Form::Verbatim)))
    };

    inbox.set_answering(is_json);
    let mut again = false;
    let answering: Answering = loop {
        work.record.attempts += 1;
        let upstream = unless_gone(inbox, half_close, pin!(ask::connect(world, face, work, again))).await??;
        let reused = upstream.reused;
        work.record.reused = reused;
        work.out = world.buffers.take();
        ask::write_head(&mut work.out, face, provider, request, endpoint, framing);
        let asked = ask::ask(world, client, upstream, request.version(), work, &mut upload);
        let asked = unless_gone(inbox, half_close, pin!(asked)).await;
        match asked {
            Ok(Ok(answering)) => break answering,
            Ok(Err(Silent::Closed)) if reused && may_replay && !again => {
                world.counters.upstream_replays.add(1);
                again = true;
            }
            Ok(Err(Silent::Closed)) => {
                let message = format!("{} closed the connection without an answer.", provider.name);
                return Err(Fault::upstream(502, "upstream-closed", message).into());
            }
            Ok(Err(Silent::Stop(stop))) => return Err(stop),
            Err(gone) => {
                world.counters.upstream_aborts.add(1);
                return Err(gone.into());
            }
        }
    };
    // An answer has begun: the request is not needed any more.
    drop(upload);
    drop(lease);
    world.buffers.give(body);

    inbox.set_answering(answering.read_whole);
    let relayed = relay::relay(world, client, answering, request, work);
    let relayed = unless_gone(inbox, half_close, pin!(relayed)).await;
    let relayed = relayed.inspect_err(|_| world.counters.upstream_aborts.add(1))??;
    let now = world.deadlines.now();
    match relayed.reusable {
        Some(upstream) if !world.draining.get() => face.pool.keep(upstream, now),
        _ if relayed.excess => face.pool.distrust(now),
        _ => {}
    }
    Ok(if relayed.keep_client { After::Next } else { After::Linger })
}

/// Turns a stop into an answer where one can still be given.
async fn end_early(world: &World, client: &mut Client<'_>, work: &mut Work, failure: Failure) -> After {
    let Failure { stop, asked, unread } = failure;
    let fault = match stop {
        Stop::Fault(fault) => fault,
        // What looks like the client's end may be our own time limit on its sending side.
        Stop::Gone if client.deadline.expired() == Some(Expired::Receiving) && work.record.status == 0 => {
            Reject::BodyTimeout.into()
        }
        Stop::Gone => {
            world.counters.client_aborts.add(1);
            work.record.ended = Some((Who::Client, "client-abort"));
            return After::Close;
        }
        Stop::Cut(who, reason) => {
            work.record.ended = Some((who, reason));
            return After::Close;
        }
    };
    match local::refuse(world, client, asked, work, &fault, unread).await {
        Ok(after) => after,
        Err(_) => After::Close,
    }
}

/// Counters and the log line.
fn settle(world: &World, client: &Client<'_>, request: &RequestHead, work: &mut Work) {
    let record = work.record;
    let counters = &world.counters;
    counters.response(record.status);
    counters.bytes_from_clients.add(record.bytes_in);
    counters.bytes_to_clients.add(record.bytes_out);
    if client.door == Door::Admin || !world.shared.log.enabled(Level::Info) {
        return;
    }
    let micros = |until: Instant| until.duration_since(record.began).as_micros() as u64;
    let mut line = world.shared.log.line(Level::Info, "request", &mut work.line);
    // Without a target there was no head that could be read.
    if !request.target().is_empty() {
        line = line.text("method", request.method_text()).bytes("path", request.path());
    }
    line = line.number("status", u64::from(record.status));
    if let Some((who, reason)) = record.ended {
        line = line.text("reason", reason).text("who", who.name());
    }
    line = line.text("dialect", record.dialect.name());
    if !work.model.is_empty() {
        line = line.text("model", &work.model);
    }
    if record.attempts > 0 {
        line = line.text("provider", &world.config().provider.name).number("attempts", u64::from(record.attempts));
        line = line.number("reused", u64::from(record.reused)).number("connect_us", record.connect_micros);
    }
    if let Some(first_byte) = record.first_byte {
        line = line.number("ttfb_us", micros(first_byte));
    }
    line = line.number("total_us", micros(Instant::now()));
    drop(line.number("bytes_in", record.bytes_in).number("bytes_out", record.bytes_out));
}
