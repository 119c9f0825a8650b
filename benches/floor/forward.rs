//! Connections in pairs, and the loop that moves bytes between them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use io_uring::types::Fd;
use io_uring::{CompletionQueue, SubmissionQueue, Submitter, cqueue, opcode, squeue};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use crate::buffers::{Buffers, GROUP, Queue};

/// What a direction may hold before its receive is stopped, and when it goes on: one slow reader must not own all buffers.
const HELD_MAX_SHARE: u16 = 4;
const GO_ON_SHARE: u16 = 8;

/// The loop and all it knows.
pub struct Forwarder<'r> {
    submitter: Submitter<'r>,
    submissions: SubmissionQueue<'r>,
    buffers: Buffers,
    held_max: u16,
    go_on: u16,
    listener: OwnedFd,
    to: SockAddr,
    domain: Domain,
    pairs: Vec<Option<Pair>>,
    vacant: Vec<u32>,
    /// Directions whose receive found no buffer.
    starved: VecDeque<(u32, Side)>,
}

/// A client's connection and its upstream's.
struct Pair {
    /// By [`Side`].
    sockets: [OwnedFd; 2],
    /// The direction that begins at that side.
    ways: [Way; 2],
    /// Operations that the kernel has not finished; as long as there are any, the pair lives.
    pending: u8,
    broken: bool,
}

/// One direction.
#[derive(Default)]
struct Way {
    reading: Reading,
    held: Queue,
    sending: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Reading {
    /// No receive is armed.
    #[default]
    Off,
    On,
    /// Armed, and told to stop.
    Stopping,
    /// No buffer was free.
    Starved,
    /// The sender will send no more.
    Ended,
    /// … and the receiver was told.
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client = 0,
    Upstream = 1,
}

/// What a completion belongs to.
#[derive(Clone, Copy)]
enum Token {
    Accept,
    Connect(u32),
    Receive(u32, Side),
    Send(u32, Side),
    /// A cancellation: its effect is seen in what it cancels.
    Cancel,
}

impl<'r> Forwarder<'r> {
    /// Forwards what comes to `listener`, once it is [run](Self::run).
    pub fn new(
        submitter: Submitter<'r>,
        submissions: SubmissionQueue<'r>,
        buffers: Buffers,
        listener: OwnedFd,
        to: SocketAddr,
    ) -> Self {
        let count = buffers.count();
        Self {
            submitter,
            submissions,
            buffers,
            held_max: count / HELD_MAX_SHARE,
            go_on: count / GO_ON_SHARE,
            listener,
            to: to.into(),
            domain: Domain::for_address(to),
            pairs: Vec::new(),
            vacant: Vec::new(),
            starved: VecDeque::new(),
        }
    }

    /// Never returns but with an error of the ring itself; those of a connection end that connection.
    ///
    /// # Errors
    /// The kernel refuses to go on.
    pub fn run(&mut self, mut completions: CompletionQueue<'r>) -> io::Result<Infallible> {
        self.accept()?;
        loop {
            self.submissions.sync();
            match self.submitter.submit_and_wait(1) {
                Ok(_) => {}
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY)) => {}
                Err(error) => return Err(error),
            }
            self.submissions.sync();
            completions.sync();
            for entry in &mut completions {
                self.complete(Token::from_bits(entry.user_data()), entry.result(), entry.flags())?;
            }
            // The kernel counts what it does not see as read as ready, and would not wait.
            completions.sync();
            self.buffers.publish();
            while self.buffers.any_free() && !self.starved.is_empty() {
                self.feed_starved()?;
            }
        }
    }

    fn complete(&mut self, token: Token, result: i32, flags: u32) -> io::Result<()> {
        match token {
            Token::Accept => {
                match -result {
                    // SAFETY: the kernel made this descriptor for this completion; nobody else knows it.
                    ..=0 => self.open(unsafe { OwnedFd::from_raw_fd(result) })?,
                    // The connection stays in the backlog, and accept would fail at once for ever.
                    error @ (libc::EMFILE | libc::ENFILE) => return Err(io::Error::from_raw_os_error(error)),
                    _ => {}
                }
                if cqueue::more(flags) { Ok(()) } else { self.accept() }
            }
            Token::Connect(at) => {
                let Some(pair) = self.pairs[at as usize].as_mut() else { return Ok(()) };
                pair.pending -= 1;
                if result < 0 {
                    pair.break_off();
                }
                self.settle(at, Side::Client)?;
                self.settle(at, Side::Upstream)
            }
            Token::Receive(at, side) => self.received(at, side, result, flags),
            Token::Send(at, side) => self.sent(at, side, result),
            Token::Cancel => Ok(()),
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        let accept = opcode::AcceptMulti::new(Fd(self.listener.as_raw_fd())).flags(libc::SOCK_CLOEXEC).build();
        self.push(accept, Token::Accept)
    }

    /// A client came: dials the upstream for it. Nothing is read before that stands.
    fn open(&mut self, client: OwnedFd) -> io::Result<()> {
        let upstream = Socket::new(self.domain, Type::STREAM, Some(Protocol::TCP))?;
        let _ = upstream.set_nodelay(true);
        let connect = opcode::Connect::new(Fd(upstream.as_raw_fd()), self.to.as_ptr(), self.to.len()).build();
        let sockets = [client, OwnedFd::from(upstream)];
        let pair = Pair { sockets, ways: Default::default(), pending: 1, broken: false };
        let at = self.vacant.pop().unwrap_or_else(|| {
            self.pairs.push(None);
            self.pairs.len() as u32 - 1
        });
        self.pairs[at as usize] = Some(pair);
        self.push(connect, Token::Connect(at))
    }

    fn received(&mut self, at: u32, side: Side, result: i32, flags: u32) -> io::Result<()> {
        let Some(pair) = self.pairs[at as usize].as_mut() else { return Ok(()) };
        let way = &mut pair.ways[side as usize];
        if !cqueue::more(flags) {
            pair.pending -= 1;
            way.reading = Reading::Off;
        }
        match (result, cqueue::buffer_select(flags)) {
            (1.., Some(id)) => self.buffers.received(&mut way.held, id, result as u32),
            (_, Some(id)) => self.buffers.unused(id),
            _ => {}
        }
        match -result {
            0 => way.reading = Reading::Ended,
            libc::ENOBUFS => {
                way.reading = Reading::Starved;
                self.starved.push_back((at, side));
            }
            libc::ECANCELED | libc::EINTR | libc::EAGAIN => {}
            1.. => pair.break_off(),
            _ => {}
        }
        self.settle(at, side)
    }

    fn sent(&mut self, at: u32, side: Side, result: i32) -> io::Result<()> {
        let Some(pair) = self.pairs[at as usize].as_mut() else { return Ok(()) };
        pair.pending -= 1;
        let way = &mut pair.ways[side as usize];
        way.sending = false;
        match result {
            0.. => self.buffers.sent(&mut way.held, result as u32),
            _ if matches!(-result, libc::EINTR | libc::EAGAIN) => {}
            _ => pair.break_off(),
        }
        self.settle(at, side)
    }

    /// Does what a direction needs next, whatever happened to it.
    fn settle(&mut self, at: u32, side: Side) -> io::Result<()> {
        let Some(pair) = self.pairs[at as usize].as_mut() else { return Ok(()) };
        if pair.broken {
            return self.bury(at);
        }
        let way = &mut pair.ways[side as usize];
        if !way.sending {
            if let Some((bytes, len)) = self.buffers.front(&way.held) {
                way.sending = true;
                pair.pending += 1;
                let to = Fd(pair.sockets[side.other() as usize].as_raw_fd());
                // Short sends are completed by the kernel.
                let send = opcode::Send::new(to, bytes, len).flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL).build();
                return self.push(send, Token::Send(at, side)).and_then(|()| self.pace(at, side));
            }
            if way.reading == Reading::Ended {
                way.reading = Reading::Closed;
                return self.closed(at, side);
            }
        }
        self.pace(at, side)
    }

    /// Arms and stops the receive of a direction, by how much it holds.
    fn pace(&mut self, at: u32, side: Side) -> io::Result<()> {
        let Some(pair) = self.pairs[at as usize].as_mut() else { return Ok(()) };
        let way = &mut pair.ways[side as usize];
        match way.reading {
            Reading::Off if way.held.len <= self.go_on => self.receive(at, side),
            Reading::On if way.held.len > self.held_max => {
                way.reading = Reading::Stopping;
                self.push(opcode::AsyncCancel::new(Token::Receive(at, side).bits()).build(), Token::Cancel)
            }
            _ => Ok(()),
        }
    }

    fn receive(&mut self, at: u32, side: Side) -> io::Result<()> {
        let Some(pair) = self.pairs[at as usize].as_mut() else { return Ok(()) };
        pair.ways[side as usize].reading = Reading::On;
        pair.pending += 1;
        let receive = opcode::RecvMulti::new(Fd(pair.sockets[side as usize].as_raw_fd()), GROUP).build();
        self.push(receive, Token::Receive(at, side))
    }

    fn feed_starved(&mut self) -> io::Result<()> {
        let Some((at, side)) = self.starved.pop_front() else { return Ok(()) };
        let starving = |pair: &Pair| !pair.broken && pair.ways[side as usize].reading == Reading::Starved;
        if self.pairs[at as usize].as_ref().is_some_and(starving) { self.receive(at, side) } else { Ok(()) }
    }

    /// A direction ended and all of it was sent: the other side hears of it, or both are done.
    fn closed(&mut self, at: u32, side: Side) -> io::Result<()> {
        let Some(pair) = self.pairs[at as usize].as_mut() else { return Ok(()) };
        if pair.ways[side.other() as usize].reading == Reading::Closed {
            pair.broken = true;
            return self.bury(at);
        }
        // An error means that the peer is gone, which its own direction will tell.
        let _ = SockRef::from(&pair.sockets[side.other() as usize]).shutdown(Shutdown::Write);
        Ok(())
    }

    /// Frees a pair, once the kernel has nothing left to do for it.
    fn bury(&mut self, at: u32) -> io::Result<()> {
        let slot = &mut self.pairs[at as usize];
        if slot.as_ref().is_some_and(|pair| pair.pending == 0) {
            for mut way in slot.take().map(|pair| pair.ways).into_iter().flatten() {
                self.buffers.clear(&mut way.held);
            }
            self.vacant.push(at);
        }
        Ok(())
    }

    fn push(&mut self, entry: squeue::Entry, token: Token) -> io::Result<()> {
        let entry = entry.user_data(token.bits());
        // SAFETY: sockets live as long as `pending` counts the entry, buffers until it completed, the address as long as `self`.
        while unsafe { self.submissions.push(&entry) }.is_err() {
            self.submissions.sync();
            self.submitter.submit()?;
            self.submissions.sync();
        }
        Ok(())
    }
}

impl Pair {
    /// Ends both sockets, and with them all that is pending.
    fn break_off(&mut self) {
        self.broken = true;
        for socket in &self.sockets {
            // One that is not connected (any more) has nothing to end.
            let _ = SockRef::from(socket).shutdown(Shutdown::Both);
        }
    }
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Upstream,
            Self::Upstream => Self::Client,
        }
    }
}

impl Token {
    fn bits(self) -> u64 {
        match self {
            Self::Accept => 0,
            Self::Cancel => 1,
            Self::Connect(at) => 2 | u64::from(at) << 8,
            Self::Receive(at, side) => (4 + side as u64) | u64::from(at) << 8,
            Self::Send(at, side) => (6 + side as u64) | u64::from(at) << 8,
        }
    }

    fn from_bits(bits: u64) -> Self {
        let (at, side) = ((bits >> 8) as u32, if bits & 1 == 0 { Side::Client } else { Side::Upstream });
        match bits & 0xff {
            0 => Self::Accept,
            2 => Self::Connect(at),
            4 | 5 => Self::Receive(at, side),
            6 | 7 => Self::Send(at, side),
            _ => Self::Cancel,
        }
    }
}
