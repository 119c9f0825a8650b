//! One try at an upstream: take or dial a connection, send the request, hear the head of the final answer.

use std::future::poll_fn;
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use super::connection::{Client, Stop};
use super::intake::Until;
use super::job::Work;
use super::site::Destination;
use super::upload::{self, Failed, Source, Upload};
use super::world::World;
use crate::config::provider::Provider;
use crate::dialect::Dialect;
use crate::fault::{Fault, Who};
use crate::http::fields;
use crate::http::head::{HeadKind, HeadScanner, ResponseHead, Version};
use crate::http::write;
use crate::limits;
use crate::net::deadlines::{Deadline, Expired};
use crate::net::inbox::Inbox;
use crate::net::origin::{OpenError, Phase};
use crate::net::pool::{Asker, Pool, PoolError, Taken, Upstream};
use crate::net::stream::{Inlet, Outlet};
use crate::route::verdict::Outcome;

/// An upstream that answered: its final head is in `work.response`, what came behind it in `work.inbound`.
pub struct Answering {
    /// Its status.
    pub status: u16,
    /// The connection.
    pub upstream: Upstream,
    /// Bytes of `work.inbound` that were the head.
    pub head_bytes: usize,
    /// The whole request went out; if not, the upstream's connection cannot be used again.
    pub sent_whole: bool,
    /// The whole request was read; if not, the client's connection cannot.
    pub read_whole: bool,
    /// When the provider's whole time is over.
    pub until: Until,
    /// The tick until which its head may still be held ([`super::hold`]).
    pub held_until: u32,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum AskError {
    /// The connection ended before any byte of an answer; a kept one may just have been stale.
    Closed,
    /// No answer came in time, or what came is none.
    Failed(Outcome, Fault),
    /// Everything else.
    Stop(Stop),
}

impl<T: Into<Stop>> From<T> for AskError {
    fn from(stop: T) -> Self {
        Self::Stop(stop.into())
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub enum ConnectError {
    /// Nobody answers there, or the way is full: another provider may still be asked.
    NotReached(Outcome, Fault),
    /// Our own doing.
    Fault(Fault),
}

/// Takes a kept connection, or opens one, or waits for one while the provider's bound is reached.
///
/// # Errors
/// 502 or 504: nobody answers at the upstream's address. 503: its bound is reached, no descriptor is left, or our grace is
/// over.
pub async fn connect(
    world: &World,
    destination: &Destination,
    pool: &Pool,
    work: &mut Work,
    fresh: bool,
    session: impl Fn() -> u64,
) -> Result<Upstream, ConnectError> {
    if world.stopping.get() {
        return Err(ConnectError::Fault(Fault::draining()));
    }
    let until = work.record.until;
    let asker = || {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let patience = destination.provider.queue_timeout;
        // A moment more than is left: of two that end at once, the deadline is what the client has to hear of.
        let left = left.map(|left| left + limits::DEADLINE_LEAD);
        Asker { session: session(), patience: left.map_or(patience, |left| left.min(patience)) }
    };
    let acquiring = async {
        match until {
            None => Some(pool.acquire(fresh, asker).await),
            // Boxed: few requests have a time of their own.
            Some(until) => Box::pin(monoio::time::timeout_at(until.into(), pool.acquire(fresh, asker))).await.ok(),
        }
    };
    let acquired = world.unless_stopped(pin!(acquiring)).await;
    destination.collect(pool);
    let provider = &destination.provider;
    let acquired = acquired.ok_or_else(Fault::draining).map_err(ConnectError::Fault)?;
    let taken = acquired.ok_or_else(|| ConnectError::Fault(out_of_time(&provider.name)))?;
    let Taken { upstream, timings, .. } =
        taken.map_err(|error| connect_error(provider, &error, work.record.dialect))?;
    work.record.connect_micros += timings.total_micros();
    Ok(upstream)
}

/// What a failure to connect is to the client.
pub fn connect_error(provider: &Provider, error: &PoolError, dialect: Dialect) -> ConnectError {
    let (status, reason) = match error {
        PoolError::Open(OpenError::NoDescriptors) => {
            let message = format!("{error}.").into();
            let fault = Fault {
                who: Who::Us,
                status: 503,
                reason: "out-of-descriptors",
                message,
                close: false,
                retry_after: None,
            };
            return ConnectError::Fault(fault);
        }
        // What each dialect's clients know as "not so many at once".
        PoolError::Full { .. } if dialect == Dialect::Messages => (529, "upstream-full"),
        PoolError::Full { .. } => (429, "upstream-full"),
        PoolError::Open(OpenError::TimedOut { phase: Phase::Tls, .. }) => (504, "upstream-tls-timeout"),
        PoolError::Open(OpenError::TimedOut { .. }) => (504, "upstream-connect-timeout"),
        PoolError::Open(OpenError::Resolve { .. } | OpenError::OffLimits { .. }) => (502, "upstream-name"),
        PoolError::Open(OpenError::Tls { .. }) => (502, "upstream-tls"),
        PoolError::Open(OpenError::Proxy { .. }) => (502, "upstream-proxy"),
        PoolError::Open(OpenError::Connect { .. }) => (502, "upstream-connect"),
    };
    let limit = match error {
        PoolError::Open(OpenError::TimedOut { phase: Phase::Tls, after, .. }) => Some(("_TLS_TIMEOUT", *after)),
        PoolError::Open(OpenError::TimedOut { after, .. }) => Some(("_CONNECT_TIMEOUT", *after)),
        PoolError::Full { waited: Some(waited), .. } => Some(("_QUEUE_TIMEOUT", *waited)),
        _ => None,
    };
    let limit = limit.map(|(variable, time)| format!(" ({})", provider.setting(variable, time))).unwrap_or_default();
    let fault = Fault::upstream(status, reason, format!("{} cannot be reached: {error}{limit}.", provider.name));
    let PoolError::Full { wait, .. } = error else { return ConnectError::NotReached(Outcome::Unreachable, fault) };
    let retry_after = wait.map_or(1, |wait| wait.as_secs().max(1));
    ConnectError::NotReached(Outcome::Full, Fault { who: Who::Us, retry_after: Some(retry_after), ..fault })
}

/// The client, as one try sees it.
pub struct Caller<'a> {
    /// What it sent.
    pub inbox: &'a Inbox,
    /// How long it may take.
    pub deadline: &'a Deadline,
    /// Where interim answers go; nowhere while two tries run side by side.
    pub outlet: Option<&'a mut Outlet>,
}

impl<'a> Caller<'a> {
    /// As it is.
    pub fn of(client: &'a mut Client<'_>) -> Self {
        Self { inbox: client.inbox, deadline: &client.deadline, outlet: Some(&mut client.outlet) }
    }

    /// The same, without a way for interim answers.
    pub fn silent(&self) -> Caller<'a> {
        Caller { inbox: self.inbox, deadline: self.deadline, outlet: None }
    }
}

/// Sends the request and hears the head of the final answer, which may come before the request is out (then the rest
/// of the request is not sent).
///
/// # Errors
/// See [`AskError`].
pub async fn ask(
    world: &World,
    destination: &Destination,
    caller: &mut Caller<'_>,
    mut upstream: Upstream,
    version: Version,
    work: &mut Work,
    upload: &mut Upload<'_>,
) -> Result<Answering, AskError> {
    let Destination { provider, numbers, .. } = destination;
    let deadline = upstream.inlet.deadline().clone();
    let until = provider.timeout.map(|whole| Instant::now() + whole);
    let until = Until::earlier(until, work.record.until);
    let source = Source { inbox: caller.inbox, deadline: caller.deadline };
    let head = std::mem::take(&mut work.out);
    let buffered = matches!(upload, Upload::Buffered(..));
    let Work { response, response_scanner, inbound, .. } = work;
    let Upstream { inlet, outlet, .. } = &mut upstream;
    let mut hearing =
        Hearing { inlet, client: caller.outlet.as_deref_mut(), version, response, response_scanner, inbound };
    let say = say(head, upload, source, outlet, provider, until);
    let (heard, said) = converse(pin!(hearing.final_head()), pin!(say), buffered.then_some(&deadline)).await;
    // The wait for more of the body may have been given up: its time limit must not outlive it.
    caller.deadline.disarm();
    let sent = said.map(|(sent, head)| {
        work.out = head;
        sent
    });
    if let Some(Ok(streamed)) = sent {
        work.record.bytes_in += streamed;
    }
    match (heard, sent) {
        (Some(Ok(head_bytes)), sent) => {
            let sent_whole = matches!(sent, Some(Ok(_)));
            let read_whole = buffered || sent_whole;
            Ok(Answering {
                status: work.response.status(),
                upstream,
                head_bytes,
                sent_whole,
                read_whole,
                until,
                held_until: 0,
            })
        }
        (_, Some(Err(Failed::Client(fault)))) => Err(fault.into()),
        (_, Some(Err(Failed::Gone))) => Err(Stop::Gone.into()),
        (Some(Err(_)), _) if world.stopping.get() => Err(Fault::draining().into()),
        (Some(Err(_)), _) if deadline.expired() == Some(Expired::Sending) => {
            numbers.timeouts.add(1);
            let limit = provider.setting("_IDLE_TIMEOUT", provider.idle_timeout);
            let message = format!("{} took no more of the request for too long ({limit}).", provider.name);
            Err(AskError::Failed(Outcome::Silent, Fault::upstream(504, "upstream-send-timeout", message)))
        }
        (Some(Err(_)), _) if deadline.expired().is_some() && has_passed(work.record.until) => {
            numbers.timeouts.add(1);
            Err(out_of_time(&provider.name).into())
        }
        // Time for its last words is not the time it has for an answer.
        (Some(Err(_)), Some(Ok(_)) | None) if deadline.expired().is_some() => {
            numbers.timeouts.add(1);
            Err(AskError::Failed(Outcome::Silent, late(provider)))
        }
        (Some(Err(HeadError::Closed)), _) => Err(AskError::Closed),
        (Some(Err(HeadError::Invalid(what))), _) => {
            numbers.invalid.add(1);
            let message = format!("{} answered with something that is not HTTP/1.1: {what}.", provider.name);
            Err(AskError::Failed(Outcome::Garbled, Fault::upstream(502, "upstream-invalid", message)))
        }
        (Some(Err(HeadError::Client)), _) | (None, _) => Err(Stop::Gone.into()),
    }
}

/// Whether the request's own time is over.
fn has_passed(until: Option<Instant>) -> bool {
    until.is_some_and(|until| until <= Instant::now())
}

/// The request's own time is over.
pub fn out_of_time(name: &str) -> Fault {
    let message = format!(
        "{name} was still being waited for when the request's time was over (SIDESTREAM_DEADLINE, x-sidestream-deadline)."
    );
    Fault { who: Who::Us, ..Fault::upstream(504, "deadline", message) }
}

/// What sending came to, and the memory of the head.
type Sent = (Result<u64, Failed>, Vec<u8>);

/// Hears and says at once: an answer can overtake the request.
/// Ends when the final head was heard, when it cannot be heard any more, or when the client's side failed. `must_end` is
/// given where the body must come back before it can be sent again: then a send that holds it is ended.
async fn converse(
    mut hear: Pin<&mut impl Future<Output = Result<usize, HeadError>>>,
    mut say: Pin<&mut impl Future<Output = Sent>>,
    must_end: Option<&Deadline>,
) -> (Option<Result<usize, HeadError>>, Option<Sent>) {
    let mut said = None;
    let heard = poll_fn(|cx| {
        let heard = hear.as_mut().poll(cx);
        if said.is_none()
            && let Poll::Ready(outcome) = say.as_mut().poll(cx)
        {
            said = Some(outcome);
        }
        match (&said, heard) {
            (Some((Err(Failed::Client(_) | Failed::Gone), _)), _) => Poll::Ready(None),
            (_, Poll::Ready(heard)) => Poll::Ready(Some(heard)),
            _ => Poll::Pending,
        }
    })
    .await;
    if let (Some(Err(_)), None, Some(deadline)) = (&heard, &said, must_end) {
        deadline.socket().shutdown(Shutdown::Both);
        said = Some(say.await);
    }
    (heard, said)
}

/// Sends the request and then grants the upstream its time to answer.
async fn say(
    head: Vec<u8>,
    upload: &mut Upload<'_>,
    source: Source<'_>,
    outlet: &mut Outlet,
    provider: &Provider,
    until: Until,
) -> Sent {
    let sent = upload::send(head, upload, source, outlet, provider.idle_timeout).await;
    let patience = match sent.0 {
        Ok(_) => until.left().map_or(provider.first_byte_timeout, |left| left.min(provider.first_byte_timeout)),
        // It takes no more, but may have said why (413) before it closed.
        Err(_) => LAST_WORDS,
    };
    outlet.deadline().arm(patience);
    sent
}

/// An answer did not begin in that time.
fn late(provider: &Provider) -> Fault {
    let (reason, limit) = match provider.timeout {
        Some(whole) if whole <= provider.first_byte_timeout => {
            ("upstream-timeout", provider.setting("_TIMEOUT", whole))
        }
        _ => ("upstream-first-byte-timeout", provider.setting("_FIRST_BYTE_TIMEOUT", provider.first_byte_timeout)),
    };
    Fault::upstream(504, reason, format!("{} did not begin to answer in time ({limit}).", provider.name))
}

const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why no head was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadError {
    /// The connection ended before any byte.
    Closed,
    /// What came is no answer; the reason.
    Invalid(&'static str),
    /// The client takes no interim answers any more.
    Client,
}

/// Hears the head of an answer.
pub(super) struct Hearing<'a> {
    pub inlet: &'a mut Inlet,
    /// Who gets interim answers; nobody if the request is our own.
    pub client: Option<&'a mut Outlet>,
    pub version: Version,
    pub response: &'a mut ResponseHead,
    pub response_scanner: &'a mut HeadScanner,
    pub inbound: &'a mut Vec<u8>,
}

impl Hearing<'_> {
    /// Receives until the final head is complete and parsed; gives its length. Interim answers are passed on to
    /// HTTP/1.1 clients as they come (RFC 9110 §15.2), except for `100 Continue`, which the client got from us.
    pub async fn final_head(&mut self) -> Result<usize, HeadError> {
        self.inbound.clear();
        self.response_scanner.reset();
        let mut interim = 0;
        loop {
            let found = self.response_scanner.push(HeadKind::Response, self.inbound);
            let Some(end) = found.map_err(|reject| HeadError::Invalid(reject.row().name))? else {
                let partial = !self.inbound.is_empty() || interim > 0;
                let (result, inbound) = self.inlet.receive(std::mem::take(self.inbound)).await;
                *self.inbound = inbound;
                match result {
                    Ok(0) | Err(_) if partial => return Err(HeadError::Invalid("its head is incomplete")),
                    Ok(0) | Err(_) => return Err(HeadError::Closed),
                    Ok(_) => continue,
                }
            };
            let head = self.inbound.get(..end).unwrap_or_default();
            self.response.parse(head).map_err(|bad| HeadError::Invalid(bad.name()))?;
            match self.response.status() {
                101 => return Err(HeadError::Invalid("it switched protocols unasked")),
                100..200 => {}
                _ => return Ok(end),
            }
            interim += 1;
            if interim > limits::INTERIM_RESPONSES_MAX {
                return Err(HeadError::Invalid("too many interim responses"));
            }
            if self.response.status() != 100
                && self.version == Version::Http11
                && let Some(client) = &mut self.client
            {
                let mut out = Vec::new();
                write_interim(&mut out, self.response);
                let (sent, _) = client.send_all(out, limits::WRITE_IDLE_MAX).await;
                sent.map_err(|_| HeadError::Client)?;
            }
            self.inbound.drain(..end);
            self.response_scanner.reset();
        }
    }
}

fn write_interim(out: &mut Vec<u8>, response: &ResponseHead) {
    write::status_line(out, response.status());
    fields::write_end_to_end(out, response, |_, _| true);
    write::end(out);
}
