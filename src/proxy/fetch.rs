//! A request of our own to a provider: one GET, its answer whole in memory.

use std::pin::pin;

use super::ask::{HeadError, Hearing};
use super::outbound;
use super::site::Destination;
use crate::dialect::Face;
use crate::http::framing::{self, Framing};
use crate::http::head::{HeadScanner, Method, ResponseHead, Version};
use crate::http::passage::{Form, Passage};
use crate::http::write;
use crate::limits;
use crate::net::pool::{Asker, Pool, Taken, Upstream};

/// Who waits for a connection to it.
const OURS: Asker = Asker { session: 0, patience: limits::FETCH_TIME_MAX };

/// Why there is no answer; the text is for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered(pub String);

/// Asks for `path` below a face's version. `more` are fields that go along: a client's credential that may, and where its
/// request was already. Gives the status and the body.
///
/// # Errors
/// No connection, no HTTP, too large, or too late.
pub async fn get(
    destination: &Destination,
    face: Face,
    path: &str,
    more: &[(&[u8], &[u8])],
) -> Result<(u16, Vec<u8>), Unanswered> {
    let provider = &destination.provider;
    let unset = || Unanswered(format!("{} has no such face", provider.name));
    let (Some(base), Some(pool)) = (provider.face(face), destination.pool(face)) else { return Err(unset()) };
    let mut head = b"GET ".to_vec();
    outbound::write_target(&mut head, base, face, path);
    head.extend_from_slice(b" HTTP/1.1\r\n");
    write::field(&mut head, b"host", base.authority.as_bytes());
    write::field(&mut head, b"accept", b"application/json");
    write::field(&mut head, b"accept-encoding", b"identity");
    write::field(&mut head, b"user-agent", concat!("sidestream/", env!("CARGO_PKG_VERSION")).as_bytes());
    if face == Face::Anthropic {
        write::field(&mut head, b"anthropic-version", b"2023-06-01");
    }
    more.iter().for_each(|(name, value)| write::field(&mut head, name, value));
    outbound::write_credential(&mut head, provider, face, destination.next_turn());
    write::end(&mut head);
    // A kept connection may be stale; a new one is not.
    for fresh in [false, true] {
        let taken = pool.acquire(fresh, || OURS).await.map_err(|error| Unanswered(error.to_string()))?;
        let Taken { upstream, .. } = taken;
        let (reused, idle_ticks) = (upstream.reused, upstream.idle_ticks);
        match converse(pool, upstream, head.clone()).await {
            Err(Ended::Closed) if reused => pool.failed_reuse(idle_ticks),
            Err(Ended::Closed) => return Err(Unanswered("it closed the connection without an answer".into())),
            Err(Ended::Because(what)) => return Err(Unanswered(what.into())),
            Ok(answer) => return Ok(answer),
        }
    }
    Err(Unanswered("it closes connections without an answer".into()))
}

enum Ended {
    /// Before any byte.
    Closed,
    Because(&'static str),
}

async fn converse(pool: &Pool, mut upstream: Upstream, head: Vec<u8>) -> Result<(u16, Vec<u8>), Ended> {
    let late = Ended::Because("it did not answer in time");
    let deadline = upstream.inlet.deadline().clone();
    let (sent, _) = upstream.outlet.send_all(head, limits::FETCH_TIME_MAX).await;
    if sent.is_err() {
        return Err(if deadline.expired().is_some() { late } else { Ended::Closed });
    }
    deadline.arm(limits::FETCH_TIME_MAX);
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
    let framing = framing::of_response(&response, Method::Get).map_err(|bad| Ended::Because(bad.name()))?;
    let mut passage = Passage::new(framing, Form::Payload);
    inbound.drain(..head_bytes);
    let mut body = Vec::new();
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
            return Ok((response.status(), body));
        }
        inbound.clear();
        let (received, more) = upstream.inlet.receive(inbound).await;
        inbound = more;
        match received {
            Ok(1..) => {}
            Ok(0) if deadline.expired().is_none() && passage.finish(&mut body) => return Ok((response.status(), body)),
            _ => return Err(Ended::Because("its answer broke off")),
        }
    }
}
