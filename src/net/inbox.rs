//! What a client sent and nobody has read yet.
//!
//! A connection is two futures polled by one task: the requests, which read top to bottom, and the pump of this module,
//! which receives for as long as the connection lives. So a client that goes away is noticed at once, whatever its request
//! is waiting for.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use super::buffers::Buffers;
use super::deadlines::Expired;
use super::pauses::Pauses;
use super::stream::Inlet;
use crate::limits;

/// How the client's sending side ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// FIN: it closed, or sends no more.
    Closed,
    /// RST, or another error of the socket.
    Broken,
}

/// The unread bytes of one client connection.
pub struct Inbox {
    bytes: RefCell<Vec<u8>>,
    /// How much of `bytes` has been read.
    start: Cell<usize>,
    /// The same of the vector that the pump was lent to go on with.
    lent_start: Cell<usize>,
    end: Cell<Option<End>>,
    /// The requests wait for more bytes; the number says how many more are expected (a hint for the buffer's size).
    wanted: Cell<Option<usize>>,
    /// Counts deliveries, so that the driver of both futures knows when to poll the requests again.
    deliveries: Cell<u64>,
    /// A closed sending side does not mean that the client is gone.
    half_close: bool,
    /// How often the connection's task had its turn.
    turns: Cell<u64>,
    buffers: Rc<Buffers>,
    pauses: Rc<Pauses>,
}

impl Inbox {
    /// An empty inbox. `half_close`: a client that only closes its sending side is still there.
    pub fn new(buffers: Rc<Buffers>, pauses: Rc<Pauses>, half_close: bool) -> Self {
        Self {
            bytes: RefCell::default(),
            start: Cell::new(0),
            lent_start: Cell::new(0),
            end: Cell::new(None),
            wanted: Cell::new(None),
            deliveries: Cell::new(0),
            half_close,
            turns: Cell::new(0),
            buffers,
            pauses,
        }
    }

    /// Looks at the unread bytes.
    pub fn peek<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        look(self.bytes.borrow().get(self.start.get()..).unwrap_or_default())
    }

    /// Number of unread bytes.
    pub fn len(&self) -> usize {
        self.peek(<[u8]>::len)
    }

    /// True when everything that came has been read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Marks the first `count` unread bytes as read.
    pub fn consume(&self, count: usize) {
        let start = self.start.get() + count;
        let all = self.bytes.borrow().len();
        debug_assert!(start <= all);
        self.start.set(start.min(all));
        if start >= all {
            self.start.set(0);
            self.buffers.give(self.bytes.take());
        }
    }

    /// Takes the unread bytes out, without copying when nothing before them is kept. [`Inbox::put_back`] the rest.
    pub fn take(&self) -> Vec<u8> {
        let start = self.start.replace(0);
        let mut bytes = self.bytes.take();
        bytes.drain(..start);
        bytes
    }

    /// The same without moving them: what was read before still stands in front; the number says how much that is.
    pub fn take_in_place(&self) -> (Vec<u8>, usize) {
        (self.bytes.take(), self.start.replace(0))
    }

    /// Returns bytes that were taken and not used: they are read before anything that came since.
    pub fn put_back(&self, unused: &[u8]) {
        if unused.is_empty() {
            return;
        }
        let mut bytes = self.bytes.borrow_mut();
        let start = self.start.replace(0);
        let mut all = self.buffers.take();
        all.extend_from_slice(unused);
        all.extend_from_slice(bytes.get(start..).unwrap_or_default());
        self.buffers.give(std::mem::replace(&mut bytes, all));
    }

    /// Takes back the memory of bytes that were taken and are done with.
    pub fn recycle(&self, bytes: Vec<u8>) {
        self.buffers.give(bytes);
    }

    /// How the client's side ended, if it did. Unread bytes may still be there.
    pub fn ended(&self) -> Option<End> {
        self.end.get()
    }

    /// Waits until more bytes came than there are now, or the client's side ended. `expected` more will be useful.
    pub async fn more(&self, expected: usize) -> Option<End> {
        let before = self.deliveries.get();
        let _wish = Wish::new(&self.wanted, expected);
        poll_fn(|_| {
            // No waker: pump and requests are polled together, see `drive`.
            if self.deliveries.get() != before || self.end.get().is_some() {
                return Poll::Ready(self.end.get().filter(|_| self.deliveries.get() == before));
            }
            Poll::Pending
        })
        .await
    }

    /// Receives for as long as the connection lives: at once when bytes are wanted, ahead of need up to
    /// [`limits::PIPELINE_BYTES_MAX`].
    async fn pump(&self, inlet: &mut Inlet) {
        let (mut seen, mut turn) = (self.deliveries.get(), Turn::default());
        loop {
            poll_fn(|_| {
                // After a delivery the requests come first: only they know what the next read is for.
                let delivered = self.deliveries.get() != std::mem::replace(&mut seen, self.deliveries.get());
                if delivered { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            turn.taken(self).await;
            while !self.has_room() {
                // Back-pressure. The client's end may now stand behind bytes that we do not take: a look from time to
                // time finds it (unless it stands behind what even the kernel does not take).
                let mut look = Box::pin(monoio::time::sleep(limits::HANG_UP_LOOK));
                let room = poll_fn(|cx| match self.has_room() {
                    true => Poll::Ready(true),
                    false => look.as_mut().poll(cx).map(|()| false),
                });
                if !room.await && inlet.deadline().socket().hung_up(self.half_close) {
                    self.end.set(Some(End::Broken));
                    return;
                }
            }
            let (result, buffer) = inlet.receive(self.lend()).await;
            let end = match result {
                // We ended it ourselves, and nobody waits for more.
                Ok(0) if inlet.deadline().expired() == Some(Expired::Stopped) => End::Broken,
                Ok(0) => End::Closed,
                Ok(_) => {
                    self.deliver(buffer);
                    continue;
                }
                Err(_) => End::Broken,
            };
            self.buffers.give(buffer);
            self.end.set(Some(end));
            return;
        }
    }

    fn has_room(&self) -> bool {
        self.wanted.get().is_some() || self.len() < limits::PIPELINE_BYTES_MAX
    }

    /// The vector that the next read appends to: our own while the requests wait for its continuation, so that a body
    /// is received where it will stay; else none, because what is here may be read meanwhile. What was read stays in
    /// front of a body, as far as it is no more than a head: the room is of use for the next one.
    fn lend(&self) -> Vec<u8> {
        self.lent_start.set(0);
        match self.wanted.get() {
            Some(expected) if !self.is_empty() => {
                let mut bytes = if self.start.get() > limits::HEAD_BYTES_MAX {
                    self.take()
                } else {
                    let (bytes, start) = self.take_in_place();
                    self.lent_start.set(start);
                    bytes
                };
                bytes.reserve(expected.clamp(1, limits::BODY_AHEAD_BYTES));
                bytes
            }
            _ => Vec::new(),
        }
    }

    fn deliver(&self, mut buffer: Vec<u8>) {
        let mut bytes = self.bytes.borrow_mut();
        if bytes.len() > self.start.get() {
            // What was read makes room first: the vector never holds more than the unread bytes and one read.
            bytes.drain(..self.start.replace(0));
            bytes.extend_from_slice(&buffer);
            buffer.clear();
        } else {
            self.start.set(self.lent_start.take());
            std::mem::swap(&mut *bytes, &mut buffer);
        }
        if buffer.capacity() > 0 {
            self.buffers.give(buffer);
        }
        self.deliveries.set(self.deliveries.get() + 1);
    }
}

/// Withdraws the wish for bytes when the wait ends, also when it is dropped: the pump's bound must hold again.
struct Wish<'a>(&'a Cell<Option<usize>>);

impl<'a> Wish<'a> {
    fn new(wanted: &'a Cell<Option<usize>>, expected: usize) -> Self {
        wanted.set(Some(expected));
        Self(wanted)
    }
}

impl Drop for Wish<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

/// Polls a connection's two futures as one, until the requests are done.
///
/// The requests go first: what they decide (wait for a body, or answer) tells the pump which buffer to lend. After a
/// delivery they are polled again, before the task sleeps.
///
/// The pump must never wait without a waker (readiness, a timer) unless the requests have one: monoio frees a task
/// that nobody can wake.
///
/// Like all combinators here it takes pinned futures: one that takes a future by value stores it twice, and a connection's
/// future is held for as long as the connection idles.
pub async fn drive<T>(inbox: &Inbox, inlet: &mut Inlet, mut requests: Pin<&mut impl Future<Output = T>>) -> T {
    let mut pump = pin!(inbox.pump(inlet));
    let mut pumping = true;
    poll_fn(|cx| {
        inbox.turns.set(inbox.turns.get() + 1);
        loop {
            if let Poll::Ready(output) = requests.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            let before = inbox.deliveries.get();
            if pumping && pump.as_mut().poll(cx).is_ready() {
                pumping = false;
                continue;
            }
            if inbox.deliveries.get() == before {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// Runs `work` unless the client goes away first. Then the caller drops `work`, which closes what it holds.
///
/// # Errors
/// [`Gone`]: nobody is left to read the answer.
pub fn unless_gone<T>(
    inbox: &Inbox,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> impl Future<Output = Result<T, Gone>> {
    poll_fn(move |cx| match inbox.ended() {
        Some(End::Closed) if inbox.half_close => work.as_mut().poll(cx).map(Ok),
        Some(_) => Poll::Ready(Err(Gone)),
        None => work.as_mut().poll(cx).map(Ok),
    })
}

/// Lets the other connections have their turn after [`limits::TURN_READS`] reads in a row that nothing had to be waited
/// for: for loops over sockets that may always be ready.
///
/// Only epoll needs it: there an operation on a ready socket completes at once, so that such a loop never leaves its task.
/// Waking itself would not help, because monoio runs a task that wakes itself before all others; a moment's sleep lets
/// everything else happen, timers included. Under io_uring each operation passes through the ring.
#[derive(Default)]
pub struct Turn {
    /// The turn of the connection's task in which the reads are counted.
    of: u64,
    reads: u32,
}

impl Turn {
    /// To be awaited once per read of `inbox`'s connection, or of one that serves it.
    pub async fn taken(&mut self, inbox: &Inbox) {
        let now = inbox.turns.get();
        if std::mem::replace(&mut self.of, now) != now {
            // The task had to wait in between: the others had their turn.
            self.reads = 0;
        }
        self.reads += 1;
        if self.reads.is_multiple_of(limits::TURN_READS) && monoio::utils::is_legacy() {
            inbox.pauses.pause().await;
        }
    }
}

/// The client went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;
