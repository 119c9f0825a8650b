//! The upstream's side of an answer under way: reads in the upstream's time, and whose doing it is when it ends early.

use std::time::Instant;

use super::site::Destination;
use super::world::World;
use crate::config::provider::Provider;
use crate::fault::Fault;
use crate::net::deadlines::Expired;
use crate::net::pool::Upstream;

/// An answer's body on its way in.
pub struct Intake<'a> {
    /// Who answers.
    pub destination: &'a Destination,
    /// The connection.
    pub upstream: Upstream,
    /// When the provider's whole time is over.
    pub until: Option<Instant>,
}

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Bytes.
    Bytes,
    /// The connection's orderly end.
    End,
    /// Its other end, or that of our patience.
    Error,
}

impl Intake<'_> {
    /// One read into `buffer`, which comes back; the time until it comes is the upstream's.
    pub async fn receive(&mut self, mut buffer: Vec<u8>) -> (Received, Vec<u8>) {
        buffer.clear();
        let idle = self.destination.provider.idle_timeout;
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        let inlet = &mut self.upstream.inlet;
        inlet.deadline().arm(left.map_or(idle, |left| left.min(idle)));
        let (received, buffer) = inlet.receive(buffer).await;
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
        } else if expired && self.until.is_some_and(|until| until <= Instant::now()) {
            numbers.timeouts.add(1);
            let message = format!("{name} took longer than the {} s it has for an answer.", whole_secs(provider));
            Fault::upstream(504, "upstream-timeout", message)
        } else if expired {
            numbers.timeouts.add(1);
            let silence = provider.idle_timeout.as_secs();
            let message = format!("{name} went silent for {silence} s in the middle of its answer.");
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

fn whole_secs(provider: &Provider) -> u64 {
    provider.timeout.unwrap_or_default().as_secs()
}
