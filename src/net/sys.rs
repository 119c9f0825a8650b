//! Borrowed descriptors. monoio's sockets give a raw descriptor only, and their halves share one socket without
//! lending it; the `unsafe` expressions that this costs stand here, and nowhere else in the crate.

#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;

/// What a look at a kept connection tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// Open, and nothing to read: fit for a request.
    Quiet,
    /// The peer sent something that nobody asked for.
    Talks,
    /// Closed or reset by the peer.
    Dead,
}

/// A socket that its owner keeps open for as long as this value lives.
///
/// Made by [`super::stream`] from a stream it owns; the deadlines' table drops its copy with the connection.
#[derive(Clone, Copy, Debug)]
pub struct Socket(RawFd);

impl Socket {
    /// `fd` must stay open until every copy is gone; [`super::stream::split`] keeps the promise.
    pub(super) fn new(fd: RawFd) -> Self {
        Self(fd)
    }

    fn with<T>(self, act: impl FnOnce(SockRef<'_>) -> T) -> T {
        // SAFETY: `self.0` is open (see `new`) and not -1, and the borrow ends with this call.
        let fd = unsafe { BorrowedFd::borrow_raw(self.0) };
        act(SockRef::from(&fd))
    }

    /// Ends a direction; every pending operation on it completes, under both drivers. Errors mean it already ended.
    pub fn shutdown(self, how: Shutdown) {
        let _ = self.with(|socket| socket.shutdown(how));
    }

    /// Looks for bytes, an end or an error without taking anything (0.3 µs).
    pub fn pulse(self) -> Pulse {
        let mut byte = [MaybeUninit::<u8>::uninit(); 1];
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        match self.with(|socket| socket.recv_with_flags(&mut byte, flags)) {
            Ok(0) => Pulse::Dead,
            Ok(_) => Pulse::Talks,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Pulse::Quiet,
            Err(_) => Pulse::Dead,
        }
    }

    /// Appends what is there without waiting, up to `most` and to the spare capacity; `Ok(0)` is the peer's end.
    pub(super) fn receive_now(self, buffer: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        let room = buffer.spare_capacity_mut();
        let most = most.min(room.len());
        let spare = room.get_mut(..most).unwrap_or_default();
        if spare.is_empty() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let count = self.with(|socket| socket.recv_with_flags(spare, libc::MSG_DONTWAIT))?;
        // SAFETY: the kernel wrote `count` bytes at the beginning of the spare capacity.
        unsafe { buffer.set_len(buffer.len() + count) };
        Ok(count)
    }

    /// Sends what the kernel takes without waiting, and gives its length.
    pub(super) fn send_now(self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|socket| socket.send_with_flags(bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL))
    }

    /// Whether the peer has reset, or closed, also behind bytes that nobody has read yet. With `half_close` a closed
    /// sending side alone does not count.
    pub fn hung_up(self, half_close: bool) -> bool {
        let closed = if half_close { 0 } else { libc::POLLRDHUP };
        let mut asked = libc::pollfd { fd: self.0, events: closed, revents: 0 };
        // SAFETY: one valid `pollfd` for the time of the call, which does not wait.
        let answered = unsafe { libc::poll(&mut asked, 1, 0) };
        answered > 0 && asked.revents & (closed | libc::POLLHUP | libc::POLLERR) != 0
    }

    /// Closing will send RST instead of FIN.
    pub fn reset_on_close(self) {
        let _ = self.with(|socket| socket.set_linger(Some(Duration::ZERO)));
    }
}

/// Gives memory that is free inside the allocator back to the system. Takes up to milliseconds after a busy time.
pub fn trim_memory() {
    // SAFETY: `malloc_trim` has no preconditions; it takes the allocator's own locks.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The stream behind a half, for calls that take `&self` and that monoio does not offer on halves.
pub(super) fn lend<T>(half: &Rc<UnsafeCell<T>>) -> &T {
    // SAFETY: one thread; monoio's halves form `&mut` only inside calls that return before any other code runs, and
    // the calls made through this reference (readiness, addresses) neither move nor replace the stream.
    unsafe { &*half.get() }
}
