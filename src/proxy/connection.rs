//! A client's connection: one request after the other, until either side ends it.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use super::stage::Stage;
use super::world::World;
use crate::fault::{Fault, Who};
use crate::limits;
use crate::net::deadlines::{Deadline, Expired, Idle, Side};
use crate::net::inbox::{self, Gone, Inbox};
use crate::net::stream::{Outlet, Stream, abort, split};
use crate::net::tls;
use crate::telemetry::log::Level;

/// How a client reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP: a browser could be behind it.
    Tcp,
    /// A UNIX socket: the file system says who may connect.
    Unix,
}

/// Which listener a client used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `SIDESTREAM_LISTEN`.
    Clients,
    /// `SIDESTREAM_ADMIN`.
    Admin,
}

/// A client between its requests: what a [`Client`] is made of.
pub struct Seat {
    /// See [`Client`].
    pub inbox: Rc<Inbox>,
    /// See [`Client`].
    pub outlet: Outlet,
    /// See [`Client`].
    pub deadline: Rc<Deadline>,
    /// See [`Client`].
    pub transport: Transport,
    /// See [`Client`].
    pub door: Door,
    /// See [`Client`].
    pub reset: bool,
}

/// A client, as its requests see it.
pub struct Client<'a> {
    /// What it sent.
    pub inbox: &'a Inbox,
    /// What it gets.
    pub outlet: Outlet,
    /// How long it may take.
    pub deadline: Rc<Deadline>,
    /// How it came.
    pub transport: Transport,
    /// Through which listener.
    pub door: Door,
    /// The connection must end with a reset: for an answer whose only end is the connection's, and that was cut.
    pub reset: bool,
}

/// Why the path of a request ended early.
#[derive(Debug)]
pub enum Stop {
    /// Nobody is left to read an answer.
    Gone,
    /// Nothing was sent yet: this becomes the answer.
    Fault(Fault),
    /// The answer had begun and cannot be completed; whose doing, and the reason, for the log. The connection ends,
    /// visibly cut.
    Cut(Who, &'static str),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<crate::http::reject::Reject> for Stop {
    fn from(reject: crate::http::reject::Reject) -> Self {
        Self::Fault(reject.into())
    }
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// What happens to the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The next request.
    Next,
    /// Close: everything the client sent was read.
    Close,
    /// Close, but read on for a moment: closing over unread bytes would reset the connection, and the reset would
    /// destroy the answer before the client reads it (RFC 9112 §9.6).
    Linger,
}

/// Serves one client connection to its end.
pub async fn serve(world: &Rc<World>, stream: Stream, door: Door) {
    let transport = match &stream {
        Stream::Tcp(_) => Transport::Tcp,
        Stream::Unix(_) => Transport::Unix,
    };
    let (mut inlet, mut outlet) = split(stream, Side::Client, &world.deadlines, &world.buffers);
    let site = world.site();
    if let Some(config) = site.settings.listener_tls.as_ref().filter(|_| door == Door::Clients)
        && transport == Transport::Tcp
    {
        // Boxed: it is large, and over before the first request.
        match Box::pin(tls::accept(inlet, outlet, config)).await {
            Ok(shaken) => (inlet, outlet) = shaken,
            Err(error) => return refused_handshake(world, &error),
        }
    }
    let inbox = Rc::new(Inbox::new(world.buffers.clone(), world.deadlines.pauses().clone(), site.config().half_close));
    drop(site);
    let deadline = outlet.deadline().clone();
    let seat = Seat { inbox: inbox.clone(), deadline, outlet, transport, door, reset: false };
    let Seat { outlet, reset, .. } = inbox::drive(&inbox, &mut inlet, pin!(requests(world, seat))).await;
    if reset {
        abort(inlet, outlet);
    }
}

/// A client that speaks no TLS, or has no certificate, gets no HTTP answer.
fn refused_handshake(world: &World, error: &tls::TlsError) {
    world.counters.client_handshake_failures.add(1);
    world.shared.log.say(Level::Debug, "no TLS session with a client", &[("error", &error.to_string())]);
}

/// Serves one request after the other; gives back what is left of the client.
async fn requests(world: &Rc<World>, mut seat: Seat) -> Seat {
    let mut first = true;
    while seat.awaits_request(world, std::mem::take(&mut first)).await {
        let mut stage = Stage::set(world, seat);
        let (job, after);
        (seat, job, after) = (&mut stage).await;
        world.give_job(job);
        world.give_stage(stage);
        match after {
            After::Next => {}
            After::Close => break,
            After::Linger => {
                seat.linger().await;
                break;
            }
        }
    }
    seat
}

impl Seat {
    /// Waits for the first byte of a request. False when the connection ends instead: closed by the client, idle for
    /// too long, or drained. An idle connection is closed without a word: a 408 would be taken for the answer to the
    /// request that the client is just about to send.
    async fn awaits_request(&self, world: &World, first: bool) -> bool {
        if self.inbox.peek(is_nothing) {
            match (world.draining.get(), first) {
                (false, true) => self.deadline.arm_idle(limits::CLIENT_IDLE_MAX, Idle::New),
                (false, false) => self.deadline.arm_idle(limits::CLIENT_IDLE_MAX, Idle::Between),
                // It stood in the kernel's queue when the drain began: its request is on the way.
                (true, true) => self.deadline.arm(limits::DRAIN_FIRST_REQUEST),
                (true, false) => return false,
            }
            while self.inbox.peek(is_nothing) && self.inbox.more(0).await.is_none() {}
            self.deadline.disarm();
        }
        !self.inbox.peek(is_nothing)
    }

    async fn linger(&mut self) {
        self.outlet.finish();
        self.deadline.arm(limits::LINGER_TIME_MAX);
        let mut read = 0;
        while read <= limits::LINGER_BYTES_MAX {
            let here = self.inbox.len();
            self.inbox.consume(here);
            read += here;
            if self.inbox.more(0).await.is_some() {
                return;
            }
        }
    }
}

impl Client<'_> {
    /// Sends `buffer[from..to]` and gives the buffer back.
    pub async fn send(&mut self, buffer: Vec<u8>, from: usize, to: usize) -> Result<Vec<u8>, Stop> {
        let (result, buffer) = self.outlet.send(buffer, from, to, limits::WRITE_IDLE_MAX).await;
        match result {
            Ok(()) => Ok(buffer),
            Err(_) if self.deadline.expired() == Some(Expired::Sending) => {
                Err(Stop::Cut(Who::Client, "client-stalled"))
            }
            Err(_) => Err(Stop::Gone),
        }
    }

    /// Sends all of `buffer` and gives it back.
    pub async fn send_all(&mut self, buffer: Vec<u8>) -> Result<Vec<u8>, Stop> {
        let end = buffer.len();
        self.send(buffer, 0, end).await
    }
}

/// Nothing that begins a request: old clients send one empty line too much behind a body (RFC 9112 §2.2).
fn is_nothing(bytes: &[u8]) -> bool {
    matches!(bytes, b"" | b"\r" | b"\r\n")
}

/// Runs `work`; a panic inside ends it and nothing else. True if it panicked.
///
/// Guards and leases inside `work` are dropped by the unwinding or with `work`, so that the numbers stay true.
pub fn contained(mut work: Pin<&mut impl Future<Output = ()>>) -> impl Future<Output = bool> {
    poll_fn(move |cx| {
        let poll = AssertUnwindSafe(|| work.as_mut().poll(cx));
        match catch_unwind(poll) {
            Ok(poll) => poll.map(|()| false),
            Err(_) => Poll::Ready(true),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DriverChoice;
    use crate::net::driver::Driver;

    #[test]
    fn a_panic_ends_one_task_only() {
        for choice in [DriverChoice::Auto, DriverChoice::Epoll] {
            let (mut driver, _) = Driver::build(choice).unwrap();
            driver.block_on(async {
                let neighbour = monoio::spawn(async {
                    monoio::time::sleep(limits::TICK).await;
                    7
                });
                let panicking = monoio::spawn(async {
                    let planted = async {
                        monoio::time::sleep(limits::TICK / 10).await;
                        panic!("planted");
                    };
                    contained(pin!(planted)).await
                });
                assert!(panicking.await);
                assert_eq!(neighbour.await, 7);
                assert!(!contained(pin!(async {})).await);
            });
        }
    }
}
