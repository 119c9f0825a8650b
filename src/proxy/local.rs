//! Answers of our own: refusals in the client's dialect, and the own endpoints.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::connection::{After, Client, Door, Stop};
use super::cors;
use super::count::{Counted, write_real_tokens};
use super::job::Work;
use super::relay::{write_connection, write_tries};
use super::site::Site;
use super::stop;
use super::world::World;
use crate::dialect::models::Models;
use crate::dialect::{endpoint, error};
use crate::fault::Fault;
use crate::http::framing::Framing;
use crate::http::head::{Method, RequestHead, Version};
use crate::http::passage::{Form, Passage};
use crate::http::reject::Reject;
use crate::http::write;
use crate::limits;
use crate::net::deadlines::Stage;
use crate::telemetry::metrics::{self, Standing};

/// Ends all requests in flight.
const STOP: &[u8] = b"/stop";

/// What we answer with.
struct Answer<'a> {
    status: u16,
    content_type: &'static str,
    body: &'a [u8],
    error: Option<&'static str>,
    /// Seconds after which to ask again.
    retry_after: Option<u64>,
    /// What was counted, where the body tells it on another scale.
    real_tokens: Option<u64>,
}

/// How the request that is answered looked; a request whose head could not be parsed looks like HTTP/1.1.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    version: Version,
    keep_alive: bool,
    method: Method,
    /// Its body was not read: the connection cannot go on.
    pub unread: bool,
}

impl Asked {
    /// A request whose head was not understood.
    pub const UNKNOWN: Self = Self { version: Version::Http11, keep_alive: false, method: Method::Get, unread: true };

    /// A parsed request.
    pub fn of(head: &RequestHead) -> Self {
        Self { version: head.version(), keep_alive: head.keep_alive(), method: head.method(), unread: true }
    }
}

/// Refuses a request.
///
/// # Errors
/// The client takes no answer.
pub async fn refuse(
    world: &World,
    client: &mut Client<'_>,
    request: &RequestHead,
    asked: Asked,
    work: &mut Work,
    fault: &Fault,
) -> Result<After, Stop> {
    world.counters.refusals.add(fault.reason, fault.who);
    work.record.ended = Some((fault.who, fault.reason));
    let mut body = Vec::new();
    error::write_body(work.record.dialect, fault, work.record.id.as_str(), &mut body);
    let asked = Asked { unread: asked.unread || fault.close, ..asked };
    let answer = Answer {
        status: fault.status,
        content_type: "application/json",
        body: &body,
        error: Some(fault.reason),
        retry_after: fault.retry_after,
        real_tokens: None,
    };
    finish(world, client, request, asked, work, answer).await
}

/// Answers `/`, which clients probe before they send anything.
///
/// # Errors
/// The client takes no answer.
pub async fn root(
    world: &World,
    client: &mut Client<'_>,
    request: &RequestHead,
    asked: Asked,
    work: &mut Work,
) -> Result<After, Stop> {
    let answer = match request.method() {
        Method::Get | Method::Head => text(200, b"sidestream\n"),
        Method::Options => text(204, b""),
        _ => return Err(Reject::MethodNotAllowed.into()),
    };
    finish(world, client, request, asked, work, answer).await
}

/// Answers a browser that asks whether its page may send what it wants to send.
///
/// # Errors
/// The client takes no answer.
pub async fn preflight(
    world: &World,
    client: &mut Client<'_>,
    request: &RequestHead,
    asked: Asked,
    work: &mut Work,
) -> Result<After, Stop> {
    finish(world, client, request, asked, work, text(204, b"")).await
}

/// Answers with the merged list of models, or with the one that was asked for.
///
/// # Errors
/// 404: there is no such model. The client takes no answer.
pub async fn models(
    world: &World,
    client: &mut Client<'_>,
    request: &RequestHead,
    models: &Models,
    id: Option<&str>,
    asked: Asked,
    work: &mut Work,
) -> Result<After, Stop> {
    let mut body = Vec::new();
    let dialect = work.record.dialect;
    match id {
        None => models.write(dialect, &mut body),
        Some(id) => match models.find(|name| endpoint::is_model(id, name)) {
            Some(model) => model.write(dialect, &mut body),
            None => {
                let message = format!("There is no model {id:?} here; GET /v1/models lists those that there are.");
                return Err(Fault::client(404, "unknown-model", message).into());
            }
        },
    }
    let answer = json(&body);
    finish(world, client, request, asked, work, answer).await
}

/// Answers with a count of tokens made here.
///
/// # Errors
/// The client takes no answer.
pub async fn count(
    world: &World,
    client: &mut Client<'_>,
    request: &RequestHead,
    counted: Counted,
    asked: Asked,
    work: &mut Work,
) -> Result<After, Stop> {
    let body = counted.body();
    let answer = Answer { real_tokens: Some(counted.real), ..json(&body) };
    finish(world, client, request, asked, work, answer).await
}

/// Answers with a message that was made here.
///
/// # Errors
/// The client takes no answer.
pub async fn message(
    world: &World,
    client: &mut Client<'_>,
    request: &RequestHead,
    body: &[u8],
    stream: bool,
    asked: Asked,
    work: &mut Work,
) -> Result<After, Stop> {
    let content_type = if stream { "text/event-stream; charset=utf-8" } else { "application/json" };
    let answer = Answer { content_type, ..text(200, body) };
    finish(world, client, request, asked, work, answer).await
}

/// Answers on the admin address: `/healthz` (the process answers), `/readyz` (it takes new work), `/metrics`, and a POST to
/// `/stop` (ends all requests in flight).
///
/// # Errors
/// The client takes no answer.
pub async fn admin(
    world: &World,
    site: &Site,
    client: &mut Client<'_>,
    request: &RequestHead,
    asked: Asked,
    work: &mut Work,
) -> Result<After, Stop> {
    let stops = request.path() == STOP;
    // What a browser follows, or an image of a page asks for, must not stop anything.
    if !matches!((request.method(), stops), (Method::Post, true) | (Method::Get | Method::Head, false)) {
        return Err(Reject::MethodNotAllowed.into());
    }
    let made;
    let answer = match request.path() {
        STOP => {
            made = format!("{{\"stopped\": {}}}\n", Box::pin(stop::everywhere(world)).await);
            json(made.as_bytes())
        }
        b"/healthz" => text(200, b"ok\n"),
        b"/readyz" if world.shared.leaving.load(Relaxed) => text(503, b"draining\n"),
        b"/readyz" => {
            made = readiness(site, world.millis(Instant::now()));
            text(200, made.as_bytes())
        }
        b"/metrics" => {
            let now = world.millis(Instant::now());
            let standing = site.destinations.iter().map(|one| Standing::of(&one.provider.name, &one.health, now));
            made = metrics::render(&world.shared.counters, &world.shared.driver, standing.collect());
            Answer { content_type: metrics::CONTENT_TYPE, ..text(200, made.as_bytes()) }
        }
        _ => return Err(Reject::NotFound.into()),
    };
    finish(world, client, request, asked, work, answer).await
}

/// That we are ready, and how the ways to the providers look from this worker: they change nothing about being ready.
fn readiness(site: &Site, now: u64) -> String {
    let mut text = "ready\n".to_owned();
    for (destination, pool) in site.pools() {
        let (name, to) = (&destination.provider.name, pool.origin().authority());
        let (open, idle, waiting) = (pool.open_now(), pool.idle_now(), pool.waiting_now());
        let Standing { breaker, keys_benched, .. } = Standing::of(name, &destination.health, now);
        text += &format!(
            "provider={name} origin={to} open={open} idle={idle} waiting={waiting} breaker={breaker} \
             keys_benched={keys_benched}\n"
        );
    }
    text
}

fn json(body: &[u8]) -> Answer<'_> {
    Answer { content_type: "application/json", ..text(200, body) }
}

fn text(status: u16, body: &[u8]) -> Answer<'_> {
    Answer {
        status,
        content_type: "text/plain; charset=utf-8",
        body,
        error: None,
        retry_after: None,
        real_tokens: None,
    }
}

/// Sends an answer and says what becomes of the connection.
async fn finish(
    world: &World,
    client: &mut Client<'_>,
    request: &RequestHead,
    asked: Asked,
    work: &mut Work,
    answer: Answer<'_>,
) -> Result<After, Stop> {
    let keep_alive = asked.keep_alive && !asked.unread && !world.draining.get();
    send(world, client, request, Asked { keep_alive, ..asked }, work, answer).await?;
    Ok(match (keep_alive, asked.unread) {
        (true, _) => After::Next,
        (false, true) => After::Linger,
        (false, false) => After::Close,
    })
}

async fn send(
    world: &World,
    client: &mut Client<'_>,
    request: &RequestHead,
    asked: Asked,
    work: &mut Work,
    answer: Answer<'_>,
) -> Result<(), Stop> {
    let mut out = world.buffers.take();
    write::status_line(&mut out, answer.status);
    write::field(&mut out, b"content-type", answer.content_type.as_bytes());
    if answer.status != 204 {
        write::content_length(&mut out, answer.body.len() as u64);
    }
    if answer.status == 405 {
        let is_stop = client.door == Door::Admin && request.path() == STOP;
        write::field(&mut out, b"allow", if is_stop { b"POST".as_slice() } else { b"GET, HEAD, POST, OPTIONS" });
    }
    // Who stopped it does not want it sent again.
    let was_stopped = answer.error == Some(Fault::STOPPED);
    if let Some(seconds) = answer.retry_after.or((answer.status == 503 && !was_stopped).then_some(1)) {
        out.extend_from_slice(b"retry-after: ");
        write::number(&mut out, seconds);
        out.extend_from_slice(b"\r\n");
    }
    if answer.status == 401 {
        write::field(&mut out, b"www-authenticate", b"Bearer");
    }
    if let Some(origin) = request.get("origin").filter(|_| work.record.page) {
        cors::write(&mut out, origin);
        if answer.status == 204 {
            cors::write_preflight(&mut out, request);
        }
    }
    write::field(&mut out, b"x-sidestream-request-id", work.record.id.as_bytes());
    if let Some(reason) = answer.error {
        write::field(&mut out, b"x-sidestream-error", reason.as_bytes());
        if let Some(provider) = &work.provider {
            write_tries(&mut out, provider, work);
        }
        // Who is told of an upstream's failure here was served by every try there was.
        if work.provider.is_some() || was_stopped {
            write::field(&mut out, b"x-should-retry", b"false");
        }
    }
    if let Some(chore) = work.record.chore {
        write::field(&mut out, b"x-sidestream-chore", chore.name().as_bytes());
    }
    if let Some(tokens) = answer.real_tokens {
        write_real_tokens(&mut out, tokens);
    }
    write_connection(&mut out, asked.version, asked.keep_alive);
    write::end(&mut out);
    if asked.method != Method::Head {
        out.extend_from_slice(answer.body);
    }
    // Nothing of it is left to be stopped.
    client.deadline.enter(Stage::Idle);
    work.record.status = answer.status;
    work.record.bytes_out += out.len() as u64;
    world.buffers.give(client.send_all(out).await?);
    Ok(())
}

/// Reads a small body and throws it away, so that the connection can carry the next request. False if it is too large
/// to be worth it, or did not come.
///
/// # Errors
/// Broken chunked coding.
pub async fn discard(client: &mut Client<'_>, framing: Framing) -> Result<bool, Reject> {
    if matches!(framing, Framing::Length(length) if length > limits::LINGER_BYTES_MAX as u64) {
        return Ok(false);
    }
    let mut passage = Passage::new(framing, Form::Payload);
    let (mut waste, mut total) = (Vec::new(), 0);
    client.deadline.arm_receiving(limits::BODY_IDLE_MAX);
    loop {
        let passed = client.inbox.peek(|bytes| passage.pass(bytes, &mut waste, |_| {}))?;
        client.inbox.consume(passed.consumed());
        total += passed.consumed();
        waste.clear();
        if passage.is_done() {
            client.deadline.disarm();
            return Ok(true);
        }
        if total > limits::LINGER_BYTES_MAX || client.inbox.more(0).await.is_some() {
            return Ok(false);
        }
    }
}
