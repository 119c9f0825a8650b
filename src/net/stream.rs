//! One connection, as a receiving side and a sending side that wait independently.
//!
//! Receiving waits for readiness and then reads by a call of its own, under both drivers. A read that is posted to io_uring
//! saves that call, but holds a buffer while it waits, loses its bytes when its future is dropped, and brings the bytes of
//! all connections at once, so that they are out of the core's cache when their turn comes.

use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use monoio::buf::IoBuf;
use monoio::io::{AsyncWriteRent, OwnedReadHalf, OwnedWriteHalf, Splitable};
use monoio::net::{TcpStream, UnixStream};

use super::buffers::Buffers;
use super::deadlines::{Deadline, Deadlines, Side};
use super::sys;
use super::sys::{Pulse, Socket};
use super::tls::Tls;
use crate::limits;

/// A connected socket, before it is split.
pub enum Stream {
    /// TCP, `TCP_NODELAY` set by [`split`].
    Tcp(TcpStream),
    /// A UNIX stream socket.
    Unix(UnixStream),
}

enum ReadHalf {
    Tcp(OwnedReadHalf<TcpStream>),
    Unix(OwnedReadHalf<UnixStream>),
}

enum WriteHalf {
    Tcp(OwnedWriteHalf<TcpStream>),
    Unix(OwnedWriteHalf<UnixStream>),
}

/// The receiving side. It owns the connection's entry in the deadlines' table.
pub struct Inlet {
    // Declared first, dropped first: the entry holds the bare descriptor.
    deadline: Rc<Deadline>,
    half: ReadHalf,
    buffers: Rc<Buffers>,
    tls: Option<Rc<Tls>>,
    /// The last read left no room: most likely there is more, and the next one need not wait for readiness.
    has_more: bool,
}

/// The sending side.
pub struct Outlet {
    // Declared first, dropped first: it says good-bye while the socket is open.
    tls: Option<Farewell>,
    deadline: Rc<Deadline>,
    half: WriteHalf,
}

/// The sending half's share of an encrypted connection. Dropping it says good-bye, best-effort (`close_notify`, RFC 8446
/// §6.1), unless a send was given up in the middle.
struct Farewell(Rc<Tls>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.farewell();
    }
}

/// Takes a connection apart. The deadline governs both sides.
pub fn split(stream: Stream, side: Side, deadlines: &Rc<Deadlines>, buffers: &Rc<Buffers>) -> (Inlet, Outlet) {
    let fd = match &stream {
        Stream::Tcp(stream) => {
            // Lumps and 40 ms stalls are what users notice first; a socket that refuses the option still works.
            let _ = stream.set_nodelay(true);
            stream.as_raw_fd()
        }
        Stream::Unix(stream) => stream.as_raw_fd(),
    };
    let deadline = Rc::new(deadlines.watch(side, Socket::new(fd)));
    let (read, write) = match stream {
        Stream::Tcp(stream) => {
            let (read, write) = stream.into_split();
            (ReadHalf::Tcp(read), WriteHalf::Tcp(write))
        }
        Stream::Unix(stream) => {
            let (read, write) = stream.into_split();
            (ReadHalf::Unix(read), WriteHalf::Unix(write))
        }
    };
    let inlet = Inlet { deadline: deadline.clone(), half: read, buffers: buffers.clone(), tls: None, has_more: false };
    (inlet, Outlet { tls: None, deadline, half: write })
}

/// Resets a connection: the peer sees an error, never an end. A half that is dropped alone sends FIN first, which would
/// look like one.
pub fn abort(inlet: Inlet, outlet: Outlet) {
    inlet.deadline.socket().reset_on_close();
    if let Some(tls) = &inlet.tls {
        tls.mute();
    }
    let Inlet { half: read, .. } = inlet;
    match (read, outlet.half) {
        (ReadHalf::Tcp(read), WriteHalf::Tcp(write)) => drop(read.reunite(write)),
        (ReadHalf::Unix(read), WriteHalf::Unix(write)) => drop(read.reunite(write)),
        _ => {}
    }
}

impl Inlet {
    /// The connection's deadline.
    pub fn deadline(&self) -> &Rc<Deadline> {
        &self.deadline
    }

    /// Passes what comes through `tls` from now on.
    pub(super) fn encrypt(&mut self, tls: &Rc<Tls>) {
        self.tls = Some(tls.clone());
    }

    /// The free list that reads take from.
    pub(super) fn buffers(&self) -> &Rc<Buffers> {
        &self.buffers
    }

    /// The connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The connection is encrypted, and its handshake was a short one.
    pub fn is_resumed(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_resumed())
    }

    /// Looks at a connection on which nothing is expected and nobody receives.
    ///
    /// A plain one is only looked at. From an encrypted one what is there is read: session tickets (which are stored)
    /// and key updates leave it quiet, plaintext does not, and an alert, an end or an error is its death. A record whose end
    /// has not come yet counts as talk: what it holds cannot be known, and a dial costs less than a poisoned answer.
    pub fn pulse(&self) -> Pulse {
        self.tls.as_ref().map_or_else(|| self.deadline.socket().pulse(), |tls| tls.pulse())
    }

    /// Receives once and appends to `buffer`; `Ok(0)` is the peer's end. The spare capacity bounds what comes, unless the
    /// connection is encrypted: then it is all that a read and the record begun before it decrypt to, and an end
    /// that the peer did not announce is `UnexpectedEof`.
    ///
    /// The wait is for readiness and holds no memory: an empty buffer goes back to the free list meanwhile.
    ///
    /// A wait that [`Deadline::rouse_at`] ends is `WouldBlock`, with the buffer as it was.
    pub async fn receive(&mut self, mut buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        if let Some(tls) = &self.tls {
            buffer = tls.lend(buffer);
        }
        loop {
            let result = match &self.tls {
                Some(tls) if tls.is_ready() => Ok(0),
                _ => self.read(&mut buffer).await,
            };
            let Some(tls) = &self.tls else { return (result, buffer) };
            match tls.received((result, buffer), self.deadline.expired().is_some()) {
                ControlFlow::Break(result) => return result,
                ControlFlow::Continue(back) => buffer = back,
            }
            if tls.is_tiring() && monoio::utils::is_legacy() {
                // See [`super::inbox::Turn`].
                self.deadline.pauses().pause().await;
            }
        }
    }

    /// One read, when there is something to read.
    async fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            let has_waited = !std::mem::take(&mut self.has_more);
            if has_waited {
                if buffer.is_empty() {
                    self.buffers.give(std::mem::take(buffer));
                }
                self.readable().await?;
            }
            if buffer.capacity() == 0 {
                *buffer = self.buffers.take();
            } else if buffer.capacity() == buffer.len() {
                buffer.reserve(limits::READ_BYTES);
            }
            // Bounded, so that one read is one small slice of work for whoever looks into it.
            let most = limits::READ_BYTES_MAX.min(buffer.capacity() - buffer.len());
            match self.deadline.socket().receive_now(buffer, most) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    // Once, so that others have their turn.
                    self.has_more = has_waited && matches!(result, Ok(count) if count == most);
                    return result;
                }
            }
        }
    }

    /// Waits until there is something to read, or an end, unless the receiver is to be roused.
    async fn readable(&self) -> io::Result<()> {
        let mut readable = pin!(async {
            match &self.half {
                ReadHalf::Tcp(half) => sys::lend(&half.0).readable(false).await,
                ReadHalf::Unix(half) => sys::lend(&half.0).readable(false).await,
            }
        });
        poll_fn(|cx| match readable.as_mut().poll(cx) {
            Poll::Pending if self.deadline.is_roused(cx) => Poll::Ready(Err(io::ErrorKind::WouldBlock.into())),
            other => other,
        })
        .await
    }
}

/// Disarms the sending deadline when dropped.
struct Sending(Rc<Deadline>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.disarm_sending();
    }
}

impl Outlet {
    /// The connection's deadline.
    pub fn deadline(&self) -> &Rc<Deadline> {
        &self.deadline
    }

    /// Passes what goes out through `tls` from now on.
    pub(super) fn encrypt(&mut self, tls: &Rc<Tls>) {
        self.tls = Some(Farewell(tls.clone()));
    }

    /// Sends no more: the peer sees an orderly end, and can still be heard.
    pub fn finish(&mut self) {
        if let Some(Farewell(tls)) = &self.tls {
            tls.farewell();
        }
        self.deadline.socket().shutdown(Shutdown::Write);
    }

    /// Sends `buffer[from..to]`, all of it, and gives the buffer back. Each partial send grants `patience` anew.
    ///
    /// On an encrypted connection a send also carries what the session has to say (tickets, key updates).
    pub async fn send(
        &mut self,
        mut buffer: Vec<u8>,
        mut from: usize,
        mut to: usize,
        patience: Duration,
    ) -> (io::Result<()>, Vec<u8>) {
        if let Some(Farewell(tls)) = &self.tls {
            buffer = tls.stage(buffer, from, to);
            (from, to) = (0, 0);
        }
        loop {
            while from < to {
                // Nearly always there is room, and then this is all: no operation, no turn of the loop. An error is told by
                // the operation.
                if !self.deadline.gather().together(to - from)
                    && let Ok(sent @ 1..) = self.deadline.socket().send_now(buffer.get(from..to).unwrap_or_default())
                {
                    from += sent;
                    continue;
                }
                // Whatever ends the wait, also being dropped: the deadline must not outlive it.
                let _armed = Sending(self.deadline.clone());
                self.deadline.arm_sending(patience);
                let (result, part) = match &mut self.half {
                    WriteHalf::Tcp(half) => half.write(buffer.slice(from..to)).await,
                    WriteHalf::Unix(half) => half.write(buffer.slice(from..to)).await,
                };
                buffer = part.into_inner();
                match result {
                    Ok(0) => return self.sent(Err(io::ErrorKind::WriteZero.into()), buffer),
                    Ok(sent) => from += sent,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return self.sent(Err(error), buffer),
                }
            }
            let Some(Farewell(tls)) = &self.tls else { return (Ok(()), buffer) };
            let (sealed, cipher) = tls.seal(buffer);
            (from, to) = (0, cipher.len());
            if sealed.is_err() || to == 0 {
                return self.sent(sealed, cipher);
            }
            buffer = cipher;
        }
    }

    /// The end of a send, with the caller's buffer.
    fn sent(&self, result: io::Result<()>, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let buffer = match &self.tls {
            None => buffer,
            Some(Farewell(tls)) => tls.staged(result.is_ok(), buffer),
        };
        (result, buffer)
    }

    /// Sends all of `buffer`.
    pub async fn send_all(&mut self, buffer: Vec<u8>, patience: Duration) -> (io::Result<()>, Vec<u8>) {
        let end = buffer.len();
        self.send(buffer, 0, end, patience).await
    }
}

#[cfg(test)]
mod tests;
