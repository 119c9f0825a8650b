//! The system's part: epoll, edge-triggered, with waits in nanoseconds; and what a process may ask for itself.

// libc's epoll has no safe face, and socket2 none for one option.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Sockets to wait for, each under a key of the caller's.
pub struct Poll {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
    ready: usize,
}

/// What a socket is ready for: hints, of which a read or a write tells the truth.
#[derive(Clone, Copy)]
pub struct Ready {
    pub key: u32,
    flags: u32,
}

const EVENTS_AT_ONCE: usize = 1024;
const READS: u32 = (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET) as u32;
const WRITES: u32 = libc::EPOLLOUT as u32;
const END: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;

impl Poll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked, and owned by nobody else.
        let epoll = unsafe { OwnedFd::from_raw_fd(checked(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Self { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_AT_ONCE], ready: 0 })
    }

    /// Waits for reads on `socket` from now on; closing the socket ends it.
    pub fn watch(&self, socket: BorrowedFd<'_>, key: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket, key, READS)
    }

    /// … and for writes as well. What is ready already is reported.
    pub fn watch_both(&self, socket: BorrowedFd<'_>, key: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket, key, READS | WRITES)
    }

    /// For a watched socket that could not take all that was written.
    pub fn add_writes(&self, socket: BorrowedFd<'_>, key: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, socket, key, READS | WRITES)
    }

    fn control(&self, operation: i32, socket: BorrowedFd<'_>, key: u32, events: u32) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: u64::from(key) };
        // SAFETY: both descriptors are open for the length of the call, and the event is read within it.
        checked(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, socket.as_raw_fd(), &raw mut event) })?;
        Ok(())
    }

    /// Waits until something is ready, at most as long as given; then [`Self::ready`] tells what.
    pub fn wait(&mut self, most: Duration) -> io::Result<()> {
        let most = libc::timespec {
            tv_sec: most.as_secs().min(3600) as libc::time_t,
            tv_nsec: most.subsec_nanos() as libc::c_long,
        };
        let no_signals: *const libc::sigset_t = std::ptr::null();
        // SAFETY: the kernel writes at most as many events as the vector holds, and reads one `timespec`.
        let result = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.epoll.as_raw_fd(),
                self.events.as_mut_ptr(),
                self.events.len() as i32,
                &raw const most,
                no_signals,
                0usize,
            )
        };
        self.ready = match checked(result as i32) {
            Ok(ready) => ready as usize,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        Ok(())
    }

    /// The n-th of what the last wait found.
    pub fn ready(&self, n: usize) -> Option<Ready> {
        let event = *self.events[..self.ready].get(n)?;
        Some(Ready { key: event.u64 as u32, flags: event.events })
    }
}

impl Ready {
    pub fn writable(self) -> bool {
        self.flags & (WRITES | END) != 0
    }

    /// The peer ended or broke the connection: reads must go on until they say so.
    pub fn ends(self) -> bool {
        self.flags & END != 0
    }
}

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Allows at least this many descriptors.
///
/// # Errors
/// The hard limit is lower, and this process may not raise it.
pub fn raise_descriptors(want: u64) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: one `rlimit` that lives here is written.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    if limit.rlim_cur >= want {
        return Ok(());
    }
    let hard = limit.rlim_max;
    limit = libc::rlimit { rlim_cur: want, rlim_max: hard.max(want) };
    // SAFETY: one `rlimit` that lives here is read.
    checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }).map(drop).map_err(|error| {
        let remedy =
            format!("{want} descriptors are needed and {hard} allowed: raise the hard limit (ulimit -Hn): {error}");
        io::Error::new(error.kind(), remedy)
    })
}

/// Timers fire when they are due, not up to 50 µs later.
pub fn exact_timers() -> io::Result<()> {
    // SAFETY: no pointers.
    checked(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1usize) }).map(drop)
}

/// The CPU time of this process so far, in user mode and in the kernel.
pub fn cpu_micros() -> io::Result<(u64, u64)> {
    // SAFETY: a `rusage` of zeroes is a valid one, and it is written within the call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        checked(libc::getrusage(libc::RUSAGE_SELF, &raw mut usage))?;
        usage
    };
    let micros = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    Ok((micros(usage.ru_utime), micros(usage.ru_stime)))
}

/// Lets `bind` choose an address without taking a port: `connect` takes one that is free towards that peer.
pub fn bind_address_only(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option's value is one `c_int` that lives here.
    checked(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })
    .map(drop)
}
