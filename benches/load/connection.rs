//! One connection: it sends the request, reads the answer, and says what became of it.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;

use crate::framing::{Malformed, Response, Seen};
use crate::poll::{Poll, Ready};
use crate::tally::{Clock, Tally};

/// What all connections of a run share.
pub struct Work {
    pub poll: Poll,
    pub clock: Clock,
    pub tally: Tally,
    pub request: Vec<u8>,
    pub expect_status: u16,
    pub buffer: Box<[u8]>,
}

pub const READ_BYTES: usize = 64 * 1024;

/// A socket, and the exchange on it.
pub struct Connection {
    stream: TcpStream,
    key: u32,
    stage: Stage,
    response: Response,
    /// How much of the request has been written.
    written: usize,
    watched: Watched,
    /// When the exchange began, or was meant to.
    begun: u64,
    /// When the last event of the stream came.
    event: Option<u64>,
    /// When the last byte came or went.
    pub touched: u64,
    /// Whether a byte has ever come.
    pub heard: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was written yet: whatever fails is the connect.
    Fresh,
    Asking,
    Idle,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Watched {
    No,
    Reads,
    Both,
}

/// What a step came to.
pub enum Outcome {
    /// It waits for the network.
    Pending,
    /// The answer is complete, and counted.
    Answered { reusable: bool },
    /// The exchange failed, and with it the connection.
    Failed(Fault),
    /// The peer closed a connection that had nothing to do.
    Gone,
}

/// What can go wrong, by the name under which it is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Connect,
    Reset,
    /// Another error of the system's, by its number.
    System(i32),
    /// The peer closed instead of answering.
    Closed,
    Malformed(Malformed),
    Status(u16),
    /// The answer was complete before the request was.
    Early,
    /// Bytes that belong to no answer.
    Unasked,
    Timeout,
}

impl Connection {
    /// Takes a socket that may still be connecting.
    pub fn new(stream: TcpStream, key: u32, now: u64) -> Self {
        Self {
            stream,
            key,
            stage: Stage::Fresh,
            response: Response::default(),
            written: 0,
            watched: Watched::No,
            begun: now,
            event: None,
            touched: now,
            heard: false,
        }
    }

    pub fn is_idle(&self) -> bool {
        self.stage == Stage::Idle
    }

    /// Whether the answer's head has come, and a stream's first event.
    pub fn stands(&self) -> bool {
        self.response.stands()
    }

    /// Sends the request, the first or the next. `begun` is what latency counts from.
    pub fn ask(&mut self, work: &mut Work, begun: u64, now: u64) -> Outcome {
        if self.stage == Stage::Idle {
            self.stage = Stage::Asking;
            self.response.reset();
        }
        (self.written, self.begun, self.event, self.touched) = (0, begun, None, now);
        self.write(work).unwrap_or_else(Outcome::Failed)
    }

    /// Does what the socket is ready for.
    pub fn advance(&mut self, ready: Ready, work: &mut Work) -> Outcome {
        let written = self.written;
        if ready.writable()
            && self.stage != Stage::Idle
            && self.written < work.request.len()
            && let Err(fault) = self.write(work)
            // What was refused may have been answered all the same, and the answer tells more.
            && fault != Fault::Reset
        {
            return Outcome::Failed(fault);
        }
        if self.written > written {
            self.touched = work.clock.now();
        }
        self.read(ready.ends(), work).unwrap_or_else(Outcome::Failed)
    }

    fn write(&mut self, work: &mut Work) -> Result<Outcome, Fault> {
        while self.written < work.request.len() {
            match self.stream.write(&work.request[self.written..]) {
                Ok(bytes) => {
                    self.written += bytes;
                    if self.stage == Stage::Fresh {
                        self.stage = Stage::Asking;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.fault_of(&error)),
            }
        }
        let want = if self.written < work.request.len() { Watched::Both } else { Watched::Reads };
        let watched = match (self.watched, want) {
            (Watched::No, Watched::Both) => work.poll.watch_both(self.stream.as_fd(), self.key),
            (Watched::No, _) => work.poll.watch(self.stream.as_fd(), self.key),
            (Watched::Reads, Watched::Both) => work.poll.add_writes(self.stream.as_fd(), self.key),
            // Edges cost nothing: writes are reported only after one was refused.
            _ => return Ok(Outcome::Pending),
        };
        self.watched = want;
        watched.map_err(|error| self.fault_of(&error))?;
        Ok(Outcome::Pending)
    }

    /// Reads all there is. A read that leaves room has emptied the socket, unless the peer ended it: then an end must follow.
    fn read(&mut self, ends: bool, work: &mut Work) -> Result<Outcome, Fault> {
        let mut outcome = Outcome::Pending;
        loop {
            let bytes = match self.stream.read(&mut work.buffer) {
                Ok(0) => return self.ended(outcome, work),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(outcome),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.fault_of(&error)),
            };
            self.touched = work.clock.now();
            self.heard = true;
            work.tally.counts.reads += 1;
            work.tally.counts.bytes += bytes as u64;
            if self.stage == Stage::Idle {
                return Err(Fault::Unasked);
            }
            let before = self.response.seen;
            let (spoke, pushed) = (self.response.speaks(), self.response.push(&work.buffer[..bytes]));
            self.measure(before, spoke, work);
            match pushed.map_err(Fault::Malformed)? {
                Some(end) if end < bytes => return Err(Fault::Unasked),
                Some(_) => outcome = self.answered(work)?,
                None => {}
            }
            if bytes < work.buffer.len() && !ends {
                return Ok(outcome);
            }
        }
    }

    /// Counts what a read brought. Events that come together have no gap between them.
    fn measure(&mut self, before: Seen, spoke: bool, work: &mut Work) {
        let (now, tally) = (self.touched, &mut work.tally);
        let events = self.response.seen.events - before.events;
        tally.counts.chunks += self.response.seen.chunks - before.chunks;
        tally.counts.events += events;
        if !spoke && self.response.speaks() && self.response.status == work.expect_status {
            tally.ttft.record(now.saturating_sub(self.begun));
        }
        if events > 0 {
            if let Some(last) = self.event.replace(now) {
                tally.gap.record(now - last);
            }
            tally.gap.record_many(0, events - 1);
        }
    }

    fn answered(&mut self, work: &mut Work) -> Result<Outcome, Fault> {
        if self.response.status != work.expect_status {
            return Err(Fault::Status(self.response.status));
        }
        if self.written < work.request.len() {
            return Err(Fault::Early);
        }
        self.stage = Stage::Idle;
        work.tally.counts.requests += 1;
        work.tally.latency.record(self.touched.saturating_sub(self.begun));
        Ok(Outcome::Answered { reusable: self.response.reusable() })
    }

    /// The peer closed, after what this step came to so far.
    fn ended(&mut self, so_far: Outcome, work: &mut Work) -> Result<Outcome, Fault> {
        match (so_far, self.stage) {
            (Outcome::Answered { .. }, _) => Ok(Outcome::Answered { reusable: false }),
            (_, Stage::Idle) => Ok(Outcome::Gone),
            _ if !self.response.begun() => Err(Fault::Closed),
            _ => {
                self.response.end().map_err(Fault::Malformed)?;
                self.touched = work.clock.now();
                self.answered(work).map(|_| Outcome::Answered { reusable: false })
            }
        }
    }

    fn fault_of(&self, error: &io::Error) -> Fault {
        match error.kind() {
            _ if self.stage == Stage::Fresh => Fault::Connect,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Fault::Reset,
            _ => Fault::System(error.raw_os_error().unwrap_or_default()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::System(number) => return write!(f, "errno_{number}"),
            Self::Closed => "closed",
            Self::Malformed(malformed) => return malformed.fmt(f),
            Self::Status(status) => return write!(f, "status_{status}"),
            Self::Early => "early_answer",
            Self::Unasked => "unasked_bytes",
            Self::Timeout => "timeout",
        })
    }
}
