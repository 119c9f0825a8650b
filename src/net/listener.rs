//! Binding, before the workers start: every problem is known while nothing runs yet.
//!
//! TCP: one socket per worker on the same port (`SO_REUSEPORT`). That option would also let a second sidestream share
//! the port in silence, so the port is first claimed without it. UNIX: the kernel refuses `SO_REUSEPORT`; one socket
//! is bound and duplicated. A stale socket file is removed only after a refused connect proved it stale.

use std::fs;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use monoio::io::{CancelHandle, Canceller};
use socket2::{Domain, Protocol, Socket, Type};

use super::stream::Stream;
use crate::config::Listen;
use crate::limits;

/// A bound address, not yet given to a runtime.
#[derive(Debug)]
pub enum Bound {
    /// TCP.
    Tcp(TcpListener),
    /// A UNIX socket and its path.
    Unix(UnixListener, PathBuf),
}

impl Bound {
    /// The real address, as the start line shows it.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(|address| address.to_string()).unwrap_or_default(),
            Self::Unix(_, path) => format!("unix:{}", path.display()),
        }
    }
}

/// Binds one address for `workers` workers.
///
/// # Errors
/// The address is taken (`AddrInUse`, also by another sidestream), not ours, or not permitted.
pub fn bind(listen: &Listen, workers: usize) -> io::Result<Vec<Bound>> {
    let end = Instant::now() + AFTERLIFE;
    loop {
        let bound = match listen {
            Listen::Tcp(address) => bind_tcp(*address, workers),
            Listen::Unix(path) => bind_unix(path, workers),
        };
        match bound {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < end => {
                thread::sleep(AFTERLIFE / 10)
            }
            bound => return bound,
        }
    }
}

/// The listener of a killed process goes on accepting until the kernel has torn its ring down (about 12 ms on io_uring,
/// 20 at most): an address counts as taken only if it stays taken for longer.
const AFTERLIFE: Duration = Duration::from_millis(100);

fn bind_tcp(address: SocketAddr, workers: usize) -> io::Result<Vec<Bound>> {
    let alone = tcp_socket(address, false)?;
    if workers == 1 {
        return Ok(vec![Bound::Tcp(alone)]);
    }
    // The port is ours; release the claim and take it again shared. Port 0 became a real one.
    let address = alone.local_addr()?;
    drop(alone);
    (0..workers).map(|_| tcp_socket(address, true).map(Bound::Tcp)).collect()
}

fn tcp_socket(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    socket.listen(limits::BACKLOG)?;
    Ok(socket.into())
}

fn bind_unix(path: &Path, workers: usize) -> io::Result<Vec<Bound>> {
    if fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
        match UnixStream::connect(path) {
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process serves this socket")),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            Err(error) => return Err(error),
        }
    }
    let first = UnixListener::bind(path)?;
    let mut bound = Vec::with_capacity(workers);
    for _ in 1..workers {
        bound.push(Bound::Unix(first.try_clone()?, path.to_owned()));
    }
    bound.push(Bound::Unix(first, path.to_owned()));
    Ok(bound)
}

/// A listener inside a worker.
pub enum Listener {
    /// TCP.
    Tcp(monoio::net::TcpListener),
    /// A UNIX socket.
    Unix(monoio::net::UnixListener),
}

impl Listener {
    /// Hands a bound socket to the calling thread's runtime.
    ///
    /// # Errors
    /// The driver cannot take one more descriptor.
    pub fn open(bound: Bound) -> io::Result<Self> {
        // On io_uring an operation on a non-blocking descriptor fails with EAGAIN where it should wait.
        let nonblocking = monoio::utils::is_legacy();
        match bound {
            Bound::Tcp(listener) => {
                listener.set_nonblocking(nonblocking)?;
                monoio::net::TcpListener::from_std(listener).map(Self::Tcp)
            }
            Bound::Unix(listener, _) => {
                listener.set_nonblocking(nonblocking)?;
                monoio::net::UnixListener::from_std(listener).map(Self::Unix)
            }
        }
    }

    /// The next connection, or `ECANCELED` once `stop` was used. Never drop this future: on io_uring the accepted
    /// descriptor would leak. Cancel it, and serve what it may still have won.
    async fn accept(&self, stop: CancelHandle) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => Ok(Stream::Tcp(listener.cancelable_accept(stop).await?.0)),
            Self::Unix(listener) => Ok(Stream::Unix(listener.cancelable_accept(stop).await?.0)),
        }
    }

    /// Accepts until `stopped` resolves, then empties the kernel's queue (until it is silent for a moment, for
    /// [`limits::DRAIN_QUEUE_MAX`] in all), and returns.
    ///
    /// When descriptors run out the kernel answers at once, again and again: wait a moment instead of spinning.
    pub async fn accept_until(&self, stopped: impl Future<Output = ()>, mut serve: impl FnMut(Stream)) {
        let mut stopped = std::pin::pin!(stopped);
        let mut last_call: Option<Instant> = None;
        while last_call.is_none_or(|end| Instant::now() < end) {
            let canceller = Canceller::new();
            let mut accept = std::pin::pin!(self.accept(canceller.handle()));
            let won = match last_call {
                None => race(accept.as_mut(), stopped.as_mut()).await,
                Some(_) => race(accept.as_mut(), std::pin::pin!(monoio::time::sleep(QUEUE_PATIENCE))).await,
            };
            let accepted = match won {
                Some(accepted) => accepted,
                None => {
                    canceller.cancel();
                    let last = accept.await;
                    if last.is_err() && last_call.is_some() {
                        return;
                    }
                    last_call.get_or_insert_with(|| Instant::now() + limits::DRAIN_QUEUE_MAX);
                    last
                }
            };
            match accepted {
                Ok(stream) => serve(stream),
                Err(error) if matches!(error.raw_os_error(), Some(libc::ECANCELED | libc::ECONNABORTED)) => {}
                Err(_) => monoio::time::sleep(limits::TICK).await,
            }
        }
    }
}

/// How long an accept may stay silent before the kernel's queue counts as empty.
const QUEUE_PATIENCE: Duration = Duration::from_millis(20);

/// The output of `work`, or `None` if `signal` came first. `work` stays alive and can be awaited again.
async fn race<T>(
    mut work: std::pin::Pin<&mut impl Future<Output = T>>,
    mut signal: std::pin::Pin<&mut impl Future<Output = ()>>,
) -> Option<T> {
    std::future::poll_fn(|cx| {
        if let std::task::Poll::Ready(output) = work.as_mut().poll(cx) {
            return std::task::Poll::Ready(Some(output));
        }
        signal.as_mut().poll(cx).map(|()| None)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> Listen {
        Listen::Tcp("127.0.0.1:0".parse().unwrap())
    }

    fn address(bound: &Bound) -> SocketAddr {
        bound.address().parse().unwrap()
    }

    #[test]
    fn workers_share_one_real_port() {
        let bound = bind(&loopback(), 3).unwrap();
        assert_eq!(bound.len(), 3);
        assert!(bound.iter().all(|one| address(one) == address(&bound[0])));
    }

    #[test]
    fn a_second_instance_is_refused_whatever_its_workers() {
        for (first, second) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            let bound = bind(&loopback(), first).unwrap();
            let again = bind(&Listen::Tcp(address(&bound[0])), second);
            assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse, "{first} {second}");
        }
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_a_live_one_refused() {
        let path = std::env::temp_dir().join(format!("sidestream-bind-{}", std::process::id()));
        let listen = Listen::Unix(path.clone());
        let live = bind(&listen, 2).unwrap();
        assert_eq!(bind(&listen, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(live);
        assert!(path.exists());
        drop(bind(&listen, 1).unwrap());
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_that_is_no_socket_is_not_removed() {
        let path = std::env::temp_dir().join(format!("sidestream-file-{}", std::process::id()));
        fs::write(&path, "precious").unwrap();
        assert!(bind(&Listen::Unix(path.clone()), 1).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        fs::remove_file(path).unwrap();
    }
}
