//! The floor: what a proxy that only carries bytes costs on this machine, with the best that its kernel offers.
//!
//! `cargo bench --no-run --bench floor` builds it, `scripts/bench` runs it: `floor --listen 127.0.0.1:0 --to 127.0.0.1:PORT`.
//!
//! **It does no HTTP.** It reads no head, knows no request, checks and logs nothing; one connection to the upstream for each
//! of the client's, and bytes both ways. Hence it is no proxy that anyone could use, but a bound: whoever understands
//! what they carry pays for this and for the understanding, and the difference is what their design answers for.
//!
//! Why nothing cheaper is to be had through sockets: one thread; a receive stays armed for the life of a connection
//! (multishot), so that a read costs no submission; the kernel picks the buffer (a buffer ring), and the bytes are
//! sent from where they landed; all submissions of a round and the wait for the next one are one system call; the kernel
//! does its own part of the work inside that call, and interrupts nothing (DEFER_TASKRUN). Nothing is allocated but
//! for a new connection.
//!
//! Tried, and within the noise: sends that are silent unless they fail (half the system calls at one connection), sending
//! several buffers at once, buffers of 4 and of 64 KiB (the latter dearer for a megabyte).
//!
//! Needs Linux 6.0 (multishot receive). SIGTERM ends it, as it ends any program that does not handle it.

// The kernel writes into memory that it was told of by address, and is told of sockets by number: io_uring has no safe face.
#![allow(unsafe_code)]

mod buffers;
mod forward;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use clap::Parser;
use io_uring::IoUring;
use socket2::{Domain, Protocol, Socket, Type};

use buffers::Buffers;
use forward::Forwarder;

/// Forwards TCP connections, without looking at what they carry.
#[derive(Parser)]
struct Cli {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The upstream
    #[arg(long, value_name = "IP:PORT", required_unless_present = "bench")]
    to: Option<SocketAddr>,
    /// How many buffers all connections share, a power of two
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = power_of_two)]
    buffers: u16,
    /// Bytes of one buffer
    #[arg(long, value_name = "N", default_value_t = 16 * 1024, value_parser = clap::value_parser!(u32).range(512..=1024 * 1024))]
    buffer_bytes: u32,
    /// Passed by `cargo bench` to whatever it runs
    #[arg(long, hide = true)]
    bench: bool,
}

fn power_of_two(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(count) if count.is_power_of_two() && (8..=32768).contains(&count) => Ok(count),
        _ => Err("write a power of two from 8 to 32768".into()),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let Some(to) = cli.to else {
        println!("floor: a forwarder for scripts/bench to measure against; see --help");
        return ExitCode::SUCCESS;
    };
    match run(&cli, to) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli, to: SocketAddr) -> io::Result<std::convert::Infallible> {
    raise_descriptors();
    let listener = listen(cli.listen).map_err(|error| named(&format!("cannot listen on {}", cli.listen), &error))?;
    let address = listener.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut ring = ring().map_err(|error| named("no io_uring (kernel too old, or forbidden by seccomp)", &error))?;
    let buffers = Buffers::register(&ring.submitter(), cli.buffers, cli.buffer_bytes)
        .map_err(|error| named("no buffer ring; it needs Linux 5.19", &error))?;
    let (submitter, submissions, completions) = ring.split();
    let mut forwarder = Forwarder::new(submitter, submissions, buffers, OwnedFd::from(listener), to);
    println!("listening={address}");
    io::stdout().flush()?;
    forwarder.run(completions).map_err(|error| match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => {
            named("a connection takes two descriptors; raise the limit (ulimit -n)", &error)
        }
        _ => error,
    })
}

fn named(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn listen(address: SocketAddr) -> io::Result<Socket> {
    let listener = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    listener.set_reuse_address(true)?;
    // Accepted sockets inherit it, which saves a system call for each.
    listener.set_nodelay(true)?;
    listener.bind(&address.into())?;
    listener.listen(4096)?;
    Ok(listener)
}

/// The ring with the most that this kernel has.
fn ring() -> io::Result<IoUring> {
    // Completions outnumber submissions: a receive that stays armed has many.
    let full = || IoUring::builder().setup_cqsize(8192).dontfork().clone();
    full()
        .setup_single_issuer()
        .setup_coop_taskrun()
        .setup_defer_taskrun()
        .build(1024)
        .or_else(|_| full().setup_coop_taskrun().build(1024))
        .or_else(|_| full().build(1024))
}

/// Two descriptors a connection, for 20,000 connections if the system allows it, else as many as it does.
fn raise_descriptors() {
    let want = libc::rlimit { rlim_cur: 65_536, rlim_max: 65_536 };
    let mut have = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or write one `rlimit`, which lives here.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut have) == 0
            && have.rlim_cur < want.rlim_cur
            && libc::setrlimit(libc::RLIMIT_NOFILE, &raw const want) != 0
        {
            have.rlim_cur = have.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const have);
        }
    }
}
