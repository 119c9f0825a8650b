//! The upstream's side of an answer under way: reads in the upstream's time, and whose doing it is when it ends early.

use std::io;
use std::time::{Duration, Instant};

use super::ask;
use super::site::Destination;
use super::world::World;
use crate::fault::Fault;
use crate::http::chunked::ChunkError;
use crate::net::deadlines::Expired;
use crate::net::pool::Upstream;

/// When an answer must be whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct Until {
    at: Option<Instant>,
    /// The request's own time is the shorter one, not the provider's.
    is_of_request: bool,
}

impl Until {
    /// The earlier of what the provider has and of what the request has.
    pub fn earlier(of_provider: Option<Instant>, of_request: Option<Instant>) -> Self {
        let is_of_request = of_request.is_some_and(|request| of_provider.is_none_or(|provider| request <= provider));
        Self { at: if is_of_request { of_request } else { of_provider }, is_of_request }
    }

    /// The same, but no later than this.
    pub fn no_later_than(self, at: Instant) -> Self {
        Self { at: Some(self.at.map_or(at, |known| known.min(at))), ..self }
    }

    /// How long that is from now.
    pub fn left(self) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    fn has_passed(self) -> bool {
        self.at.is_some_and(|at| at <= Instant::now())
    }
}

/// An answer's body on its way in.
pub struct Intake<'a> {
    /// Who answers.
    pub destination: &'a Destination,
    /// The connection.
    pub upstream: Upstream,
    /// When the provider's whole time is over.
    pub until: Until,
    /// The tick at which a silence is to be broken off, once something else is due then.
    pub due: Option<u32>,
    /// A silence was broken off, and is not over: its time goes on.
    is_silent: bool,
}

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Bytes.
    Bytes,
    /// Nothing, and what is due is due. The wait can be taken up again.
    Due,
    /// The connection's orderly end.
    End,
    /// Its other end, or that of our patience.
    Error,
}

impl<'a> Intake<'a> {
    /// The rest of an answer whose head came.
    pub fn new(destination: &'a Destination, upstream: Upstream, until: Until) -> Self {
        upstream.inlet.deadline().disarm();
        Self { destination, upstream, until, due: None, is_silent: false }
    }

    /// One read into `buffer`, which comes back; the time until it comes is the upstream's.
    pub fn receive(&mut self, mut buffer: Vec<u8>) -> impl Future<Output = (Received, Vec<u8>)> {
        buffer.clear();
        self.receive_more(buffer)
    }

    /// The same, behind what `buffer` holds.
    pub async fn receive_more(&mut self, buffer: Vec<u8>) -> (Received, Vec<u8>) {
        let inlet = &mut self.upstream.inlet;
        if !self.is_silent {
            let idle = self.destination.provider.idle_timeout;
            let left = self.until.left();
            inlet.deadline().arm(left.map_or(idle, |left| left.min(idle)));
        }
        if let Some(due) = self.due {
            inlet.deadline().rouse_at(due);
        }
        let (received, buffer) = inlet.receive(buffer).await;
        self.is_silent = matches!(&received, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        if self.is_silent {
            return (Received::Due, buffer);
        }
        // The time that the client takes is not the upstream's.
        inlet.deadline().disarm();
        let received = match received {
            Ok(0) => Received::End,
            Ok(_) => Received::Bytes,
            Err(_) => Received::Error,
        };
        (received, buffer)
    }

    /// Whether the end that was received may be a body's: the upstream's own doing, for a time limit or a drain of ours
    /// looks the same to the socket.
    pub fn ended_itself(&self, world: &World, received: Received) -> bool {
        let expired = self.upstream.inlet.deadline().expired().is_some();
        received == Received::End && !expired && !world.stopping.get()
    }

    /// Counts and tells that the body ended before its framing said so.
    pub fn cut_short(&self, world: &World) -> Fault {
        let Destination { provider, numbers, .. } = self.destination;
        let name = &provider.name;
        let expired = self.upstream.inlet.deadline().expired();
        let stopped = expired == Some(Expired::Stopped);
        let expired = expired.is_some();
        if world.stopping.get() {
            Fault::draining()
        } else if stopped {
            Fault::stopped()
        } else if expired && self.until.has_passed() {
            numbers.timeouts.add(1);
            if self.until.is_of_request {
                return ask::out_of_time(name);
            }
            let limit = provider.setting("_TIMEOUT", provider.timeout.unwrap_or_default());
            let message = format!("{name} took longer than it has for an answer ({limit}).");
            Fault::upstream(504, "upstream-timeout", message)
        } else if expired {
            numbers.timeouts.add(1);
            let limit = provider.setting("_IDLE_TIMEOUT", provider.idle_timeout);
            let message = format!("{name} went silent in the middle of its answer ({limit}).");
            Fault::upstream(504, "upstream-silent", message)
        } else {
            numbers.truncated.add(1);
            let message = format!("{name} ended the connection in the middle of its answer.");
            Fault::upstream(502, "upstream-truncated", message)
        }
    }

    /// Counts and tells that the body broke its own framing.
    pub fn broken(&self) -> Fault {
        self.destination.numbers.invalid.add(1);
        let message = format!("{} broke its own framing.", self.destination.provider.name);
        Fault::upstream(502, "upstream-invalid", message)
    }
}

/// Counts and tells that a body of which nothing was sent yet broke its framing.
pub fn broken_coding(destination: &Destination, error: ChunkError) -> Fault {
    let Destination { provider, numbers, .. } = destination;
    numbers.invalid.add(1);
    let message = format!("{} answered with a broken chunked coding: {}.", provider.name, error.name());
    Fault::upstream(502, "upstream-invalid", message)
}
