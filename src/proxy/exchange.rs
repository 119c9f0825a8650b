//! One request and its answer, top to bottom.

use std::pin::pin;
use std::time::Instant;

use super::admit::{self, Admitted};
use super::ask::{self, Answering, AskError};
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
    let mut asked = Asked::UNKNOWN;
    let after = match answer(world, client, request, work, &mut asked).await {
        Ok(after) => after,
        Err(stop) => end_early(world, client, work, asked, stop).await,
    };
    settle(world, client, request, work);
    after
}

/// From the head to the end of the answer. `asked` always says what an early end has to know.
async fn answer(
    world: &World,
    client: &mut Client<'_>,
    request: &mut RequestHead,
    work: &mut Work,
    asked: &mut Asked,
) -> Result<After, Stop> {
    head(client, request, work).await?;
    *asked = Asked::of(request);
    world.counters.requests.add(u64::from(client.door == Door::Clients));
    let _open = world.counters.requests_open.hold();
    let Admitted { framing, expects_continue } = admit::admit(request, world.config(), client.transport, client.door)?;
    asked.unread = !matches!(framing, Framing::None | Framing::Length(0));
    let withheld = expects_continue && client.inbox.is_empty();

    let endpoint = if client.door == Door::Admin { Endpoint::Root } else { endpoint::of(request) };
    match endpoint {
        Endpoint::Root => {
            // A client that waits to be asked for its body gets the answer instead, and keeps the body.
            asked.unread = withheld || !local::discard(client, framing).await?;
            match client.door {
                Door::Clients => local::root(world, client, request, *asked, work).await,
                Door::Admin => local::admin(world, client, request, *asked, work).await,
            }
        }
        Endpoint::Unknown => Err(Reject::NotFound.into()),
        Endpoint::Json { dialect, .. } => {
            check_before_body(world, request, framing)?;
            let face = face(world, dialect)?;
            if withheld {
                invite(client).await?;
            }
            let lease = upload::buffer(world, client, framing, work).await?;
            asked.unread = false;
            let splice = peek(world, work)?;
            let stores = work.members.get("store").is_none_or(|member| member.kind != Kind::False);
            let length = spliced_length(work.body.len(), splice.as_ref());
            let may_replay = endpoint::may_replay(request.method(), &endpoint, stores);
            let outbound = Outbound { face, request, endpoint, framing: Framing::Length(length), may_replay };
            forward(world, client, outbound, work, Some((lease, splice))).await
        }
        // Content in a GET has no meaning, and servers differ on whether they read it (RFC 9110 §9.3.1).
        Endpoint::Other { .. } if asked.unread && matches!(request.method(), Method::Get | Method::Head) => {
            Err(Reject::BodyNotAllowed.into())
        }
        Endpoint::Other { dialect, .. } => {
            let face = face(world, dialect)?;
            if withheld {
                invite(client).await?;
            }
            // A body that was streamed is gone once sent.
            let may_replay = !asked.unread && endpoint::may_replay(request.method(), &endpoint, false);
            let outbound = Outbound { face, request, endpoint, framing, may_replay };
            forward(world, client, outbound, work, None).await
        }
    }
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

/// How long a body is after its splice.
fn spliced_length(length: usize, splice: Option<&Splice>) -> u64 {
    let growth = splice.map_or(0, |splice| splice.text.len() as i64 - (splice.end - splice.start) as i64);
    (length as u64).saturating_add_signed(growth)
}

/// A request and where it goes.
struct Outbound<'a> {
    face: &'a Face,
    request: &'a RequestHead,
    endpoint: Endpoint<'a>,
    /// Of the body as it goes out: a buffered one has its length, a streamed one keeps what the client chose.
    framing: Framing,
    /// It may be sent once more if a kept connection turns out to be dead.
    may_replay: bool,
}

/// Sends the request to the upstream and its answer to the client.
async fn forward(
    world: &World,
    client: &mut Client<'_>,
    outbound: Outbound<'_>,
    work: &mut Work,
    buffered: Option<(Lease<'_>, Option<Splice>)>,
) -> Result<After, Stop> {
    let inbox = client.inbox;
    let mut body = std::mem::take(&mut work.body);
    let (lease, splice) = buffered.unzip();
    let mut upload = match splice {
        Some(splice) => Upload::Buffered(&mut body, splice),
        None => Upload::Streamed(Passage::new(outbound.framing, Form::Verbatim)),
    };
    work.record.turned = Some(Instant::now());
    let reached = reach(world, client, &outbound, work, &mut upload).await;
    // An answer has begun, or there is none: the request is not needed any more.
    drop(lease);
    world.buffers.give(body);
    let answering = reached?;

    let relayed = relay::relay(world, client, answering, outbound.request, work);
    let relayed = unless_gone(inbox, pin!(relayed)).await;
    let relayed = relayed.inspect_err(|_| world.numbers.aborts.add(1))??;
    let (pool, now) = (&outbound.face.pool, world.deadlines.now());
    match relayed.reusable {
        Some(upstream) if !world.draining.get() => pool.keep(upstream, now),
        _ if relayed.excess => pool.distrust(now),
        _ => {}
    }
    Ok(if relayed.keep_client { After::Next } else { After::Linger })
}

/// Finds an upstream that answers. A kept connection that fails before any byte of an answer was stale: what may be sent
/// again is, once, on a fresh one.
async fn reach(
    world: &World,
    client: &mut Client<'_>,
    outbound: &Outbound<'_>,
    work: &mut Work,
    upload: &mut Upload<'_>,
) -> Result<Answering, Stop> {
    let Outbound { face, request, endpoint, framing, may_replay } = outbound;
    let inbox = client.inbox;
    let provider = &world.config().provider;
    let mut again = false;
    loop {
        work.record.attempts += 1;
        let upstream = unless_gone(inbox, pin!(ask::connect(world, face, work, again))).await??;
        let reused = upstream.reused;
        work.record.reused = reused;
        world.buffers.give(std::mem::replace(&mut work.out, world.buffers.take()));
        ask::write_head(&mut work.out, face, provider, request, endpoint, *framing);
        let asked = ask::ask(world, client, upstream, request.version(), work, upload);
        let asked = unless_gone(inbox, pin!(asked)).await;
        match asked.inspect_err(|_| world.numbers.aborts.add(1))? {
            Ok(answering) => return Ok(answering),
            Err(AskError::Closed) if reused && *may_replay && provider.replay && !again => {
                world.numbers.replays.add(1);
                again = true;
            }
            Err(AskError::Closed) => {
                let message = format!("{} closed the connection without an answer.", provider.name);
                return Err(Fault::upstream(502, "upstream-closed", message).into());
            }
            Err(AskError::Stop(stop)) => return Err(stop),
        }
    }
}

/// Turns a stop into an answer where one can still be given.
async fn end_early(world: &World, client: &mut Client<'_>, work: &mut Work, asked: Asked, stop: Stop) -> After {
    let fault = match stop {
        Stop::Fault(fault) => fault,
        // What looks like the client's end may be our own time limit on its sending side.
        Stop::Gone if client.deadline.expired() == Some(Expired::Receiving) && work.record.status == 0 => {
            Reject::BodyTimeout.into()
        }
        // We ended its sending side ourselves, because the grace is over.
        Stop::Gone if world.stopping.get() && work.record.status == 0 => Fault::draining(),
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
    match local::refuse(world, client, asked, work, &fault).await {
        Ok(after) => after,
        Err(_) => After::Close,
    }
}

/// Counters and the log line.
fn settle(world: &World, client: &Client<'_>, request: &RequestHead, work: &mut Work) {
    let record = work.record;
    let counters = &world.counters;
    counters.response(record.status);
    counters.client_received_bytes.add(record.bytes_in);
    counters.client_sent_bytes.add(record.bytes_out);
    if let Some(turned) = record.turned {
        let first_byte = record.first_byte.map(|at| at.duration_since(turned));
        world.numbers.settle(record.dialect, record.status, first_byte, turned.elapsed());
    }
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
