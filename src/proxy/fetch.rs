//! A request of our own to a provider, its answer whole in memory.

use std::pin::pin;
use std::time::{Duration, Instant};

use super::ask::{HeadError, Hearing};
use super::outbound;
use super::site::Destination;
use crate::config::provider::Base;
use crate::dialect::Face;
use crate::http::framing::{self, Framing};
use crate::http::head::{HeadScanner, Method, ResponseHead, Version};
use crate::http::passage::{Form, Passage};
use crate::http::write;
use crate::limits;
use crate::net::origin::Timings;
use crate::net::pool::{Asker, Pool, Taken, Upstream};

/// Who waits for a connection to it.
const OURS: Asker = Asker { session: 0, patience: limits::FETCH_TIME_MAX };

/// Why there is no answer; the text is for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered(pub String);

/// What is asked for.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// Of which face.
    pub face: Face,
    /// Below the face's version.
    pub path: &'a str,
    /// Fields that go along: a client's credential that may, and where its request was already.
    pub more: &'a [(&'a [u8], &'a [u8])],
    /// JSON that makes it a POST.
    pub body: Option<&'a [u8]>,
    /// How long the answer may take.
    pub patience: Duration,
}

/// An answer, and what it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// Opening the connection; nothing if it was open.
    pub timings: Timings,
    /// From the request sent to the head of the answer.
    pub answered: Duration,
}

impl<'a> Question<'a> {
    /// A GET that a person waits for.
    pub fn get(face: Face, path: &'a str, more: &'a [(&'a [u8], &'a [u8])]) -> Self {
        Self { face, path, more, body: None, patience: limits::FETCH_TIME_MAX }
    }
}

/// Asks a provider.
///
/// # Errors
/// No connection, no HTTP, too large, or too late.
pub async fn ask(destination: &Destination, question: Question<'_>) -> Result<Answer, Unanswered> {
    let (provider, face) = (&destination.provider, question.face);
    let unset = || Unanswered(format!("{} has no such face", provider.name));
    let (Some(base), Some(pool)) = (provider.face(face), destination.pool(face)) else { return Err(unset()) };
    let request = write_request(destination, base, question);
    // A kept connection may be stale; a new one is not.
    for fresh in [false, true] {
        let taken = pool.acquire(fresh, || OURS).await.map_err(|error| Unanswered(error.to_string()))?;
        let Taken { upstream, timings, .. } = taken;
        let (may_be_stale, idle_ticks) = (upstream.may_be_stale(), upstream.idle_ticks);
        match converse(pool, upstream, request.clone(), question).await {
            Err(Ended::Closed) if may_be_stale => pool.failed_reuse(idle_ticks),
            Err(Ended::Closed) => return Err(Unanswered("it closed the connection without an answer".into())),
            Err(Ended::Because(what)) => return Err(Unanswered(what.into())),
            Ok(answer) => return Ok(Answer { timings, ..answer }),
        }
    }
    Err(Unanswered("it closes connections without an answer".into()))
}

fn write_request(destination: &Destination, base: &Base, question: Question<'_>) -> Vec<u8> {
    let Question { face, path, more, body, .. } = question;
    let mut out = if body.is_some() { b"POST ".to_vec() } else { b"GET ".to_vec() };
    outbound::write_target(&mut out, base, face, path);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write::field(&mut out, b"host", base.authority.as_bytes());
    write::field(&mut out, b"accept", b"application/json");
    write::field(&mut out, b"accept-encoding", b"identity");
    write::field(&mut out, b"user-agent", concat!("sidestream/", env!("CARGO_PKG_VERSION")).as_bytes());
    if face == Face::Anthropic {
        write::field(&mut out, b"anthropic-version", b"2023-06-01");
    }
    more.iter().for_each(|(name, value)| write::field(&mut out, name, value));
    outbound::write_credential(&mut out, &destination.provider, face, destination.next_turn());
    if let Some(body) = body {
        write::field(&mut out, b"content-type", b"application/json");
        write::content_length(&mut out, body.len() as u64);
    }
    write::end(&mut out);
    out.extend_from_slice(body.unwrap_or_default());
    out
}

enum Ended {
    /// Before any byte.
    Closed,
    Because(&'static str),
}

async fn converse(
    pool: &Pool,
    mut upstream: Upstream,
    request: Vec<u8>,
    question: Question<'_>,
) -> Result<Answer, Ended> {
    let late = Ended::Because("it did not answer in time");
    let deadline = upstream.inlet.deadline().clone();
    let began = Instant::now();
    let (sent, _) = upstream.outlet.send_all(request, question.patience).await;
    if sent.is_err() {
        return Err(if deadline.expired().is_some() { late } else { Ended::Closed });
    }
    deadline.arm(question.patience);
    let (mut response, mut scanner, mut inbound) = (ResponseHead::default(), HeadScanner::default(), Vec::new());
    let mut hearing = Hearing {
        inlet: &mut upstream.inlet,
        client: None,
        version: Version::Http11,
        response: &mut response,
        response_scanner: &mut scanner,
        inbound: &mut inbound,
    };
    let heard = pin!(hearing.final_head()).await;
    let head_bytes = heard.map_err(|error| match error {
        _ if deadline.expired().is_some() => late,
        HeadError::Closed | HeadError::Client => Ended::Closed,
        HeadError::Invalid(what) => Ended::Because(what),
    })?;
    let answered = began.elapsed();
    let method = if question.body.is_some() { Method::Post } else { Method::Get };
    let framing = framing::of_response(&response, method).map_err(|bad| Ended::Because(bad.name()))?;
    let mut passage = Passage::new(framing, Form::Payload);
    inbound.drain(..head_bytes);
    let mut body = Vec::new();
    let answer = |body| Answer { status: response.status(), body, timings: Timings::default(), answered };
    loop {
        let passed = passage.pass(&inbound, &mut body, |_| {}).map_err(|bad| Ended::Because(bad.name()))?;
        let consumed = passed.consumed();
        if body.len() > limits::FETCH_BYTES_MAX {
            return Err(Ended::Because("its answer is too large"));
        }
        if passage.is_done() {
            if inbound.len() > consumed {
                pool.distrust();
            } else if framing != Framing::UntilClose && response.keep_alive() {
                pool.keep(upstream);
            }
            return Ok(answer(body));
        }
        inbound.clear();
        let (received, more) = upstream.inlet.receive(inbound).await;
        inbound = more;
        match received {
            Ok(1..) => {}
            Ok(0) if deadline.expired().is_none() && passage.finish(&mut body) => return Ok(answer(body)),
            _ => return Err(Ended::Because("its answer broke off")),
        }
    }
}
