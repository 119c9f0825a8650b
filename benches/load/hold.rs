//! Many connections that stand, and are kept: idle after one answer, or in the middle of a stream.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::connection::{Connection, Fault, Outcome, Work};
use crate::dial::Dialler;
use crate::poll::Ready;

/// What to hold.
pub struct Plan {
    pub count: u32,
    pub kind: Kind,
    /// New connections a second, at most.
    pub rate: Option<f64>,
    pub timeout: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The answer was read to its end.
    Idle,
    /// The answer's first event was read; the rest is read as it comes.
    Streams,
}

/// Connections that may be on their way at a time: less than a listener's queue.
const OPENING_MAX: u32 = 64;
const TICK: Duration = Duration::from_millis(100);
const STDIN: u32 = u32::MAX;
const SIGNAL: u32 = u32::MAX - 1;

/// The loop that opens and holds.
pub struct Holder {
    work: Work,
    plan: Plan,
    dialler: Dialler,
    /// One for each that was begun; empty if it is over.
    slots: Vec<Option<Held>>,
    opening: u32,
    standing: u32,
    /// Streams that came to their regular end.
    ended: u32,
    failed: u32,
    begin: u64,
}

struct Held {
    connection: Connection,
    stands: bool,
}

impl Holder {
    pub fn new(work: Work, plan: Plan, dialler: Dialler) -> Self {
        let slots = Vec::with_capacity(plan.count as usize);
        let begin = work.clock.now();
        Self { work, plan, dialler, slots, opening: 0, standing: 0, ended: 0, failed: 0, begin }
    }

    /// Opens all, says so on stdout, holds them until stdin closes or a signal comes, and says what was left of them.
    ///
    /// # Errors
    /// The system refuses to wait, or to make sockets; faults of the peer are counted instead.
    pub fn run(mut self) -> io::Result<()> {
        let mut ends = Ends::watch(&self.work)?;
        let mut reported = false;
        let mut tick = self.begin;
        while !ends.came {
            self.open_more()?;
            if !reported && self.slots.len() as u32 == self.plan.count && self.opening == 0 {
                reported = true;
                self.report_ready()?;
            }
            self.work.poll.wait(if reported { Duration::MAX } else { self.pause() })?;
            for n in 0.. {
                let Some(ready) = self.work.poll.ready(n) else { break };
                if ready.key >= SIGNAL { ends.look(ready) } else { self.step(ready) }
            }
            let now = self.work.clock.now();
            if !reported && now >= tick {
                tick = now + TICK.as_nanos() as u64;
                self.end_silent(now);
            }
        }
        self.report_end()
    }

    /// Begins connections, as many as may be on their way, and no faster than the rate.
    fn open_more(&mut self) -> io::Result<()> {
        while self.opening < OPENING_MAX && (self.slots.len() as u32) < self.plan.count {
            let now = self.work.clock.now();
            if now < self.due() {
                break;
            }
            let key = self.slots.len() as u32;
            let mut connection = match self.dialler.dial() {
                Ok(stream) => Connection::new(stream, key, now),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    self.slots.push(None);
                    self.fail(Fault::Connect);
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.work.tally.counts.connections += 1;
            if let Outcome::Failed(fault) = connection.ask(&mut self.work, now, now) {
                self.slots.push(None);
                self.fail(fault);
            } else {
                self.slots.push(Some(Held { connection, stands: false }));
                self.opening += 1;
            }
        }
        Ok(())
    }

    /// When the next connection may be begun.
    fn due(&self) -> u64 {
        self.plan.rate.map_or(0, |rate| self.begin + (self.slots.len() as f64 / rate * 1e9) as u64)
    }

    fn pause(&self) -> Duration {
        let to_open = self.opening < OPENING_MAX && (self.slots.len() as u32) < self.plan.count;
        let due = Duration::from_nanos(self.due().saturating_sub(self.work.clock.now()));
        if to_open { due.min(TICK) } else { TICK }
    }

    fn step(&mut self, ready: Ready) {
        let Some(held) = &mut self.slots[ready.key as usize] else { return };
        let outcome = held.connection.advance(ready, &mut self.work);
        let stands = match (&outcome, self.plan.kind) {
            (Outcome::Answered { reusable }, Kind::Idle) => *reusable,
            (Outcome::Pending, Kind::Streams) => held.connection.stands(),
            _ => false,
        };
        if stands && !held.stands {
            held.stands = true;
            self.opening -= 1;
            self.standing += 1;
            return;
        }
        if matches!(outcome, Outcome::Pending) {
            return;
        }
        *(if held.stands { &mut self.standing } else { &mut self.opening }) -= 1;
        self.slots[ready.key as usize] = None;
        match (outcome, self.plan.kind) {
            (Outcome::Answered { .. }, Kind::Streams) => self.ended += 1,
            (Outcome::Failed(fault), _) => self.fail(fault),
            _ => self.fail(Fault::Closed),
        }
    }

    fn fail(&mut self, fault: Fault) {
        self.failed += 1;
        self.work.tally.error(fault);
    }

    /// Ends those that do not come to stand. Later, silence is what was asked for.
    fn end_silent(&mut self, now: u64) {
        let silent_since = now.saturating_sub(self.plan.timeout.as_nanos() as u64);
        for at in 0..self.slots.len() {
            let waits = |held: &Held| !held.stands && held.connection.touched < silent_since;
            if self.slots[at].as_ref().is_some_and(waits) {
                self.slots[at] = None;
                self.opening -= 1;
                self.fail(Fault::Timeout);
            }
        }
    }

    fn report_ready(&self) -> io::Result<()> {
        print_line(&json!({
            "ready": self.standing,
            "failed": self.failed,
            "ended": self.ended,
            "micros": (self.work.clock.now() - self.begin) / 1000,
            "errors": self.work.tally.errors_report(),
        }))
    }

    fn report_end(&self) -> io::Result<()> {
        let counts = self.work.tally.counts;
        print_line(&json!({
            "alive": self.standing,
            "ended": self.ended,
            "failed": self.failed,
            "events": counts.events,
            "chunks": counts.chunks,
            "bytes": counts.bytes,
            "errors": self.work.tally.errors_report(),
        }))
    }
}

/// The two ways to end this program in order.
struct Ends {
    came: bool,
    stdin: File,
    /// Written to by the signal's handler; never read, only waited for.
    _signal: UnixStream,
}

impl Ends {
    fn watch(work: &Work) -> io::Result<Self> {
        let (signal, handler) = UnixStream::pair()?;
        signal_hook::low_level::pipe::register(SIGTERM, handler.try_clone()?)?;
        signal_hook::low_level::pipe::register(SIGINT, handler)?;
        work.poll.watch(signal.as_fd(), SIGNAL)?;
        let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        match work.poll.watch(stdin.as_fd(), STDIN) {
            // A file or /dev/null cannot be waited for, and never closes: then only a signal ends this.
            Err(error) if error.raw_os_error() != Some(libc::EPERM) => Err(error),
            _ => Ok(Self { came: false, stdin, _signal: signal }),
        }
    }

    /// What is written to stdin means nothing; its end does.
    fn look(&mut self, ready: Ready) {
        self.came |= ready.key == SIGNAL || ready.ends() || !matches!(self.stdin.read(&mut [0; 4096]), Ok(1..));
    }
}

fn print_line(line: &serde_json::Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
