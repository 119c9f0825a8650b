//! One connection as two halves that share one task: a pump that always has one read posted, and whoever answers.
//!
//! The posted read is dropped only together with the connection (on io_uring a dropped read loses the bytes it completes
//! with), and since it is posted all the time, a peer that goes away is noticed in every wait, at no cost of its own.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use std::io;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt as _};
use monoio::net::tcp::{TcpOwnedReadHalf, TcpOwnedWriteHalf};

use crate::net::stream::{Inlet, Outlet};

/// Bytes asked for by one read.
const READ_BYTES: usize = 16 * 1024;
/// Bytes read ahead of whoever answers. At the bound the pump rests, and an end of the peer goes unnoticed.
const AHEAD_BYTES_MAX: usize = 256 * 1024;

/// How long a peer may take nothing of an encrypted write.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);

/// Where bytes come from.
pub enum Reader {
    Plain(TcpOwnedReadHalf),
    Tls(Inlet),
}

/// Where bytes go.
pub enum Writer {
    Plain(TcpOwnedWriteHalf),
    Tls(Outlet),
}

impl Reader {
    /// Reads once, behind what `buffer` holds.
    async fn read(&mut self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        match self {
            Self::Plain(half) => half.read(buffer).await,
            Self::Tls(inlet) => inlet.receive(buffer).await,
        }
    }
}

impl Writer {
    /// Writes all of `buffer` and gives it back.
    pub async fn write_all(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        match self {
            Self::Plain(half) => {
                let (written, buffer) = half.write_all(buffer).await;
                (written.map(drop), buffer)
            }
            Self::Tls(outlet) => outlet.send_all(buffer, WRITE_PATIENCE).await,
        }
    }

    /// Says that nothing more comes, where the bytes themselves have a word for it.
    pub fn finish(&mut self) {
        if let Self::Tls(outlet) = self {
            outlet.finish();
        }
    }
}

/// What has arrived and was not taken yet.
#[derive(Debug, Default)]
pub struct Inbox {
    data: RefCell<Vec<u8>>,
    ended: Cell<bool>,
}

impl Inbox {
    /// Reads until the peer ends. To be polled by [`both`], which needs no wakers between the halves.
    pub async fn pump(&self, from: &mut Reader) {
        let mut buffer = Vec::with_capacity(READ_BYTES);
        loop {
            poll_fn(|_| if self.is_full() { Poll::Pending } else { Poll::Ready(()) }).await;
            let (read, filled) = from.read(buffer).await;
            buffer = filled;
            if !matches!(read, Ok(1..)) {
                return self.ended.set(true);
            }
            let mut data = self.data.borrow_mut();
            if data.is_empty() {
                // The two buffers change places, and no byte is copied.
                std::mem::swap(&mut *data, &mut buffer);
            } else {
                data.extend_from_slice(&buffer);
            }
            buffer.clear();
            buffer.reserve(READ_BYTES);
        }
    }

    /// Has the peer closed or broken its side?
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended.get()
    }

    /// Waits for bytes and adds them to `to`. False: there will be none.
    pub async fn take(&self, to: &mut Vec<u8>) -> bool {
        poll_fn(|_| if self.data.borrow().is_empty() && !self.ended() { Poll::Pending } else { Poll::Ready(()) }).await;
        let mut data = self.data.borrow_mut();
        if data.is_empty() {
            return false;
        }
        if to.is_empty() {
            std::mem::swap(&mut *data, to);
        } else {
            to.append(&mut data);
        }
        data.clear();
        true
    }

    /// Waits until the peer is gone.
    pub async fn gone(&self) {
        poll_fn(|_| if self.ended() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    fn is_full(&self) -> bool {
        self.data.borrow().len() >= AHEAD_BYTES_MAX
    }
}

/// Runs the pump and the talk of a connection in one task, until the talk is over.
pub async fn both<T>(inbox: &Inbox, pump: impl Future<Output = ()>, talk: impl Future<Output = T>) -> T {
    let (mut pump, mut talk) = (pin!(pump), pin!(talk));
    let mut pumping = true;
    poll_fn(move |context| {
        // The pump first: it posts the next read before the talk writes, so that both go to the kernel together.
        pumping = pumping && pump.as_mut().poll(context).is_pending();
        let was_full = inbox.is_full();
        let talked = talk.as_mut().poll(context);
        if talked.is_pending() && pumping && was_full && !inbox.is_full() {
            // The pump may read on, but nothing else would have it polled. Its turn comes after the other tasks'.
            context.waker().wake_by_ref();
        }
        talked
    })
    .await
}

/// Waits for `first` at most so long. `None`: the time is over. Only for futures that own no operation.
pub async fn at_most<T>(time: Duration, first: impl Future<Output = T>) -> Option<T> {
    let (mut first, mut timer) = (pin!(first), pin!(monoio::time::sleep(time)));
    poll_fn(move |context| match first.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => timer.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// Lets the other tasks of this thread run.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(move |context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits for `timer`, which the caller has set, or for the end of the peer. True: the peer is gone.
pub async fn until_or_gone(mut timer: Pin<&mut monoio::time::Sleep>, inbox: &Inbox) -> bool {
    poll_fn(move |context| {
        if inbox.ended() {
            return Poll::Ready(true);
        }
        timer.as_mut().poll(context).map(|()| false)
    })
    .await
}
