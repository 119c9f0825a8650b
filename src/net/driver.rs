//! io_uring or epoll: what this kernel allows, which was chosen, and why.
//!
//! io_uring is refused by the default seccomp profiles of Docker ≥ 25, containerd 2 and Kubernetes, and by
//! `kernel.io_uring_disabled`; kernels before 6.1 lack the flags that save wake-ups. So: with flags, then plain, then
//! epoll, and the reason is kept for the start line and the metrics.

use std::future::Future;
use std::io;

use io_uring::{IoUring, Probe, opcode};
use monoio::time::TimeDriver;
use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};

use crate::config::DriverChoice;

/// Submission entries of one ring. The queue is flushed when full, so that this bounds memory, not connections.
const ENTRIES: u32 = 256;

/// A worker's runtime.
pub enum Driver {
    /// Completion-based, one system call for a batch of operations.
    IoUring(Runtime<TimeDriver<IoUringDriver>>),
    /// Readiness-based, works everywhere.
    Epoll(Runtime<TimeDriver<LegacyDriver>>),
}

/// Which driver runs, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// `io_uring` or `epoll`.
    pub name: &'static str,
    /// For the start line, e.g. `"flags accepted"`, `"io_uring denied: Operation not permitted"`.
    pub why: String,
}

impl Driver {
    /// Builds the runtime of the calling thread.
    ///
    /// # Errors
    /// `io_uring` was demanded and is not to be had, or the kernel refuses even epoll (out of descriptors).
    pub fn build(choice: DriverChoice) -> io::Result<(Self, Chosen)> {
        if choice == DriverChoice::Epoll {
            return Self::epoll("asked for".into());
        }
        match Self::io_uring() {
            Ok(built) => Ok(built),
            Err(error) if choice == DriverChoice::Auto => Self::epoll(format!("io_uring denied: {error}")),
            Err(error) => Err(error),
        }
    }

    /// Runs `work` to its end.
    pub fn block_on<F: Future>(&mut self, work: F) -> F::Output {
        match self {
            Self::IoUring(runtime) => runtime.block_on(work),
            Self::Epoll(runtime) => runtime.block_on(work),
        }
    }

    fn io_uring() -> io::Result<(Self, Chosen)> {
        let mut flagged = IoUring::builder();
        flagged.setup_single_issuer().setup_coop_taskrun().setup_defer_taskrun();
        let plain = IoUring::builder();
        let (builder, why) = match probe(&flagged) {
            Ok(()) => (flagged, "flags accepted".to_owned()),
            // EINVAL: a kernel before 6.1.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                probe(&plain)?;
                (plain, format!("without flags: {error}"))
            }
            Err(error) => return Err(error),
        };
        let runtime = RuntimeBuilder::<IoUringDriver>::new()
            .uring_builder(builder)
            .with_entries(ENTRIES)
            .enable_timer()
            .build()?;
        Ok((Self::IoUring(runtime), Chosen { name: "io_uring", why }))
    }

    fn epoll(why: String) -> io::Result<(Self, Chosen)> {
        let runtime = RuntimeBuilder::<LegacyDriver>::new().with_entries(ENTRIES).enable_timer().build()?;
        Ok((Self::Epoll(runtime), Chosen { name: "epoll", why }))
    }
}

/// Builds a small ring as the runtime would and asks whether it knows every operation that we submit.
fn probe(builder: &io_uring::Builder) -> io::Result<()> {
    let ring: IoUring = builder.build(8)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let needed = [
        opcode::Accept::CODE,
        opcode::Connect::CODE,
        opcode::Recv::CODE,
        opcode::Send::CODE,
        opcode::PollAdd::CODE,
        opcode::AsyncCancel::CODE,
        opcode::Close::CODE,
    ];
    match needed.iter().find(|code| !probe.is_supported(**code)) {
        None => Ok(()),
        Some(code) => Err(io::Error::new(io::ErrorKind::Unsupported, format!("operation {code} is missing"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epoll_is_built_when_asked_for_and_says_so() {
        let (mut driver, chosen) = Driver::build(DriverChoice::Epoll).unwrap();
        assert_eq!(chosen, Chosen { name: "epoll", why: "asked for".into() });
        assert_eq!(driver.block_on(async { 7 }), 7);
    }

    #[test]
    fn auto_always_finds_a_driver() {
        let (mut driver, chosen) = Driver::build(DriverChoice::Auto).unwrap();
        assert!(!chosen.why.is_empty());
        assert_eq!(driver.block_on(async { 7 }), 7);
    }
}
