//! The request into another dialect, and the answer back: what [`crate::dialect::translate`] decides, on the wire.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::aside::aside;
use super::ask::{Answering, Whole};
use super::connection::{Client, Stop, Transport};
use super::cors;
use super::incoming::Incoming;
use super::intake::Intake;
use super::job::Work;
use super::plan::Target;
use super::relay::{self, Relayed, write_connection, write_timing, write_tries};
use super::rhythm::Rhythm;
use super::site::{Destination, Site};
use super::world::World;
use crate::config::provider::Provider;
use crate::dialect::loss::{Loss, LossKind, Losses};
use crate::dialect::messages::signature;
use crate::dialect::profile;
use crate::dialect::translate::{self, Answer, Asking, Translated};
use crate::dialect::turn::{Class, Failure, Refused, Terms};
use crate::dialect::{Dialect, failure};
use crate::fault::{Fault, Who};
use crate::http::chunked::{LAST_CHUNK, write_chunk};
use crate::http::fields;
use crate::http::head::{RequestHead, Version};
use crate::http::write;
use crate::json::{Index, text};
use crate::limits;
use crate::net::inbox::Turn;

/// A request that went out in another dialect: what its answer needs.
pub struct Translation {
    /// What the client asked for.
    asking: Asking,
    /// The upstream's dialect.
    upstream: Dialect,
    /// The client wants a stream.
    stream: bool,
    terms: Terms,
    provider: Arc<Provider>,
}

/// Translates the body for a target; it goes out instead of the client's. What the answer needs is put into
/// `work.translation`, what was lost into `work.losses`.
///
/// # Errors
/// 400: something that matters cannot be said there, or anything if `SIDESTREAM_STRICT` is set. 503: too many large bodies
/// wait.
pub async fn request(
    world: &World,
    site: &Site,
    asking: Asking,
    to: (&Destination, &Target),
    body: &mut Vec<u8>,
    work: &mut Work,
) -> Result<Vec<u8>, Stop> {
    let (destination, target) = to;
    let model = target.rename.clone().unwrap_or_else(|| work.model.clone());
    let provider = destination.provider.clone();
    let terms = terms(world, site, work, &model);
    let upstream = target.dialect;
    let translated = {
        let provider = provider.clone();
        let translate = move |body: &[u8]| {
            let target = profile::Target { model: &model, profile: &provider.profile };
            translate::request(asking, upstream, body, &target, terms)
        };
        if body.len() <= limits::TRANSLATED_AT_ONCE_BYTES_MAX {
            translate(body)
        } else {
            let whole = std::mem::take(body);
            let (whole, translated) = aside(move || {
                let translated = translate(&whole);
                (whole, translated)
            })
            .await
            .map_err(Fault::from)?;
            *body = whole;
            translated
        }
    };
    let Translated { body, mut terms, stream, mut losses, text_bytes } =
        translated.map_err(|refused| not_translatable(&refused))?;
    let body = work.omitted.iter().fold(body, |body, parameter| {
        losses.dropped(parameter.clone());
        profile::without(&body, parameter).unwrap_or(body)
    });
    if site.config().strict && losses.iter().any(|loss| loss.what != LossKind::Invented) {
        return Err(too_lossy(&losses, &destination.provider.name).into());
    }
    work.losses = losses;
    work.record.text_bytes = text_bytes;
    let model = target.rename.as_ref().unwrap_or(&work.model);
    terms.input_estimate = world.tokens.borrow().estimate(model, text_bytes);
    work.record.upstream_dialect = Some(upstream);
    work.translation = Some(Box::new(Translation { asking, upstream, stream, terms, provider }));
    Ok(body)
}

/// What does not come from the body.
fn terms(world: &World, site: &Site, work: &Work, model: &str) -> Terms {
    let mut name = Vec::new();
    text::escape(work.model.as_bytes(), &mut name);
    Terms {
        model: name,
        request_id: work.record.id.as_str().to_owned(),
        seed: world.seed(),
        created: now_unix(),
        scale: site.config().windows.scale(model, work.record.dialect),
        ..Terms::default()
    }
}

fn now_unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn not_translatable(refused: &Refused) -> Fault {
    let Refused { path, message } = refused;
    let separator = if path.is_empty() { "" } else { ": " };
    Fault::client(400, "not-translatable", format!("{path}{separator}{message}"))
}

fn too_lossy(losses: &Losses, provider: &str) -> Fault {
    let mut list = Vec::new();
    write_losses(losses, &mut list);
    let list = String::from_utf8_lossy(&list);
    let message =
        format!("{provider} cannot be told all of it, and SIDESTREAM_STRICT is set; what would be lost: {list}.");
    Fault::client(400, "translation-loss", message)
}

/// `path` was dropped, `path~` approximated, `path+` invented.
pub fn write_losses(losses: &Losses, out: &mut Vec<u8>) {
    for (place, Loss { path, what }) in losses.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        // Parts of a path come from the client's keys.
        out.extend(path.bytes().map(|byte| if byte.is_ascii_graphic() && byte != b',' { byte } else { b'_' }));
        match what {
            LossKind::Dropped => {}
            LossKind::Approximated => out.push(b'~'),
            LossKind::Invented => out.push(b'+'),
        }
    }
    if losses.more > 0 {
        out.extend_from_slice(format!(",+{}", losses.more).as_bytes());
    }
}

/// A Messages request as it goes to a Messages upstream that did not make all the thinking in it: without what was made
/// elsewhere, for which it would refuse the whole conversation. `None`, nearly always, if it goes as it is.
pub fn spare_foreign_thinking(path: &str, body: &[u8], target: &Target) -> Option<Vec<u8>> {
    if target.dialect != Dialect::Messages || !path.starts_with(translate::path(Dialect::Messages)) {
        return None;
    }
    let mut index = Index::default();
    let mut spared = signature::spare_foreign_thinking(body, &mut index)?;
    if let Some(name) = &target.rename
        && let Some((start, end)) = index.read(&spared).ok().and_then(|body| Some(body.get("model")?.span()))
    {
        let mut text = Vec::new();
        text::encode(name.as_bytes(), &mut text);
        spared.splice(start..end, text);
    }
    Some(spared)
}

/// Whether a translated request may go out once more without a parameter that this answer may name.
pub fn may_go_again(work: &Work) -> bool {
    work.translation.is_some() && work.omitted.is_empty() && matches!(work.response.status(), 400 | 422)
}

/// Reads the error that an upstream answered with. If it names a parameter that can be left out, that is put into
/// `work.omitted`; the answer's body stays with it in any case.
///
/// # Errors
/// The answer's framing is broken.
pub async fn read_refusal(
    world: &World,
    destination: &Destination,
    mut answering: Answering,
    work: &mut Work,
) -> Result<Answering, Stop> {
    let head_bytes = answering.head_bytes;
    let intake = Intake { destination, upstream: answering.upstream, until: answering.until };
    let mut incoming = Incoming::new(intake, head_bytes, work)?;
    let body = incoming.whole(world, limits::ERROR_BYTES_MAX, work).await.unwrap_or_default();
    let sound = incoming.is_sound();
    work.omitted.extend(profile::refused_parameter(work.response.status(), &body));
    answering.upstream = incoming.intake.upstream;
    answering.whole = Some(Whole { body, sound });
    Ok(answering)
}

/// Translates an answer on its way to the client.
///
/// # Errors
/// As for [`relay::relay`].
pub async fn relay(
    world: &World,
    site: &Site,
    destination: &Destination,
    client: &mut Client<'_>,
    answering: Answering,
    request: &RequestHead,
    work: &mut Work,
) -> Result<Relayed, Stop> {
    let Answering { upstream, head_bytes, sent_whole, read_whole, until, whole } = answering;
    upstream.inlet.deadline().disarm();
    work.record.first_byte = Some(Instant::now());
    let Some(translation) = work.translation.take() else { return Err(Stop::Gone) };
    let Translation { asking, upstream: from, stream, terms, provider } = *translation;
    let intake = Intake { destination, upstream, until };
    let mut incoming = Incoming::new(intake, head_bytes, work)?;
    let mut keep_client = request.keep_alive() && read_whole && !world.draining.get();
    let status = work.response.status();
    if status != 200 || is_coded(work) {
        let body = match whole {
            Some(whole) => {
                incoming.settle(whole.sound);
                whole.body
            }
            // Half of an error says more than none.
            None => incoming.whole(world, limits::ERROR_BYTES_MAX, work).await.unwrap_or_default(),
        };
        let failure = failure_of(from, status, &body, &destination.provider.name);
        send_failure(world, client, request, destination, &failure, keep_client, work).await?;
    } else {
        let answer = translate::answer(from, asking, stream, terms, &provider.profile);
        let hold = Rhythm::new(site.config().hold, site.config().ping);
        let mut delivery = Delivery { client, request, destination, answer, stream, keep_client, head_sent: false };
        delivery.run(world, &mut incoming, hold, work).await?;
        keep_client = delivery.keep_client;
    }
    incoming.drain(work).await;
    let excess = incoming.excess;
    destination.numbers.excess.add(u64::from(excess));
    let sound = incoming.is_sound() && sent_whole && work.response.keep_alive();
    let reusable = sound.then_some(incoming.intake.upstream);
    Ok(Relayed { reusable, excess, keep_client })
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
async fn send_failure(
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
    write_head(&mut out, work, request, destination, failure.status(dialect), Some(body.len()), keep);
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
    answer: Box<dyn Answer>,
    stream: bool,
    keep_client: bool,
    head_sent: bool,
}

impl Delivery<'_, '_> {
    /// Reads the answer to its end, and sends it as it comes, or when it is whole.
    async fn run(
        &mut self,
        world: &World,
        incoming: &mut Incoming<'_>,
        mut rhythm: Rhythm,
        work: &mut Work,
    ) -> Result<(), Stop> {
        let mut frames = world.buffers.take();
        if !relay::is_event_stream(&work.response) {
            let body = incoming.whole(world, limits::ANSWER_BYTES_MAX, work).await?;
            self.answer.body(&body, &mut frames);
            self.answer.finish(&mut frames);
        }
        let _open = self.stream.then(|| world.counters.streams_open.hold());
        world.counters.streams.add(u64::from(self.stream));
        let mut turn = Turn::default();
        loop {
            if let Err(fault) = incoming.take(&work.inbound, |payload| self.answer.events(payload, &mut frames)) {
                self.broke_off(&fault, &mut frames, work)?;
            }
            if incoming.is_over() && !self.answer.is_over() {
                self.answer.finish(&mut frames);
            }
            self.send(world, &mut frames, rhythm.may_hold(), work).await?;
            if self.head_sent {
                rhythm.release();
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
        work.usage.report(self.answer.usage());
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
        let mut inbound = std::mem::take(&mut work.inbound);
        let received = {
            let mut receiving = std::pin::pin!(incoming.receive(world, inbound));
            loop {
                // A whole answer has no place for a ping.
                match rhythm.unless_due(self.stream, receiving.as_mut()).await {
                    Some((received, buffer)) => {
                        inbound = buffer;
                        break received;
                    }
                    None => {
                        if self.head_sent {
                            self.answer.ping(frames);
                        }
                        self.send(world, frames, false, work).await?;
                    }
                }
            }
        };
        rhythm.heard();
        work.inbound = inbound;
        Ok(received)
    }

    /// Sends what there is to send: of a stream all frames, once its head may go; of a whole answer nothing before its end.
    async fn send(&mut self, world: &World, frames: &mut Vec<u8>, may_hold: bool, work: &mut Work) -> Result<(), Stop> {
        let over = self.answer.is_over();
        if !self.stream && !over || !self.head_sent && may_hold && !self.answer.has_begun() {
            return Ok(());
        }
        if !self.head_sent
            && let Some(failure) = self.answer.failure().cloned()
        {
            let Self { client, request, destination, keep_client, .. } = self;
            return send_failure(world, client, request, destination, &failure, *keep_client, work).await;
        }
        if self.head_sent && over {
            self.answer.tell_failure(frames);
        }
        let mut out = world.buffers.take();
        let chunked = self.stream && self.request.version() == Version::Http11;
        if over && self.stream {
            write_lost(self.answer.losses(), frames);
        }
        work.losses.append(self.answer.losses());
        if !self.head_sent {
            self.begin(work, frames.len(), &mut out)?;
        }
        self.head_sent = true;
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
        self.client.reset |= self.stream && !chunked;
        let (who, reason) = work.record.ended.unwrap_or((Who::Upstream, "upstream-error"));
        Err(Stop::Cut(who, reason))
    }

    /// Writes the head of an answer that succeeds, or begins to.
    fn begin(&mut self, work: &mut Work, length: usize, out: &mut Vec<u8>) -> Result<(), Stop> {
        let until_close = self.stream && self.request.version() == Version::Http10;
        if until_close && self.client.transport == Transport::Unix {
            return Err(relay::http10_on_unix().into());
        }
        self.keep_client &= !until_close;
        let length = (!self.stream).then_some(length);
        write_head(out, work, self.request, self.destination, 200, length, self.keep_client);
        Ok(())
    }

    /// The upstream's answer broke off. Where nothing was sent that becomes the answer; else the stream's last event.
    fn broke_off(&mut self, fault: &Fault, frames: &mut Vec<u8>, work: &mut Work) -> Result<(), Stop> {
        if !self.head_sent {
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

/// The head of a translated answer, with a body of `length`, or a stream.
fn write_head(
    out: &mut Vec<u8>,
    work: &mut Work,
    request: &RequestHead,
    destination: &Destination,
    status: u16,
    length: Option<usize>,
    keep: bool,
) {
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
        let stays = is_about_the_body(name) || relay::is_ours(name);
        if !stays && !failure::error_field(from, work.record.dialect, name, value, now, out) {
            write::field(out, name, value);
        }
    }
    if let Some(origin) = request.get("origin").filter(|_| work.record.page) {
        cors::write(out, origin);
    }
    write::field(out, b"x-sidestream-request-id", work.record.id.as_bytes());
    write_tries(out, &destination.provider, work);
    if !work.losses.is_empty() {
        out.extend_from_slice(b"x-sidestream-dropped: ");
        write_losses(&work.losses, out);
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
