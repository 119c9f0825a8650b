//! From an origin's name to a connection that is ready for a request: name, TCP and proxy in one deadline, TLS in another.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::buffers::Buffers;
use super::deadlines::{Deadlines, Side};
use super::dial::dial;
use super::dns::Resolver;
use super::stream::{Inlet, Outlet, split};
use super::tls::{self, TlsError};
use super::tunnel::{self, TunnelError};
use crate::config::is_off_limits;
use crate::config::provider::Proxy;

/// Where requests go, and the way there.
pub struct Origin {
    /// A name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// With TLS, and which roots and sessions it uses.
    pub tls: Option<Arc<ClientConfig>>,
    /// Through this proxy.
    pub proxy: Option<Proxy>,
    /// For all phases before TLS together.
    pub connect_timeout: Duration,
    /// For the TLS handshake.
    pub tls_timeout: Duration,
    /// The address that answered last: tried first, so that a dead one costs its delay only once.
    last_good: Cell<Option<SocketAddr>>,
}

/// A connection that is ready for a request.
pub struct Opened {
    /// What it sends.
    pub inlet: Inlet,
    /// What we send.
    pub outlet: Outlet,
    /// What it took.
    pub timings: Timings,
}

/// How long each phase took, in microseconds; 0 for a phase that was not needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// The name.
    pub dns_micros: u64,
    /// TCP.
    pub tcp_micros: u64,
    /// The tunnel through a proxy.
    pub proxy_micros: u64,
    /// The TLS handshake.
    pub tls_micros: u64,
}

/// What opening a connection is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The name.
    Dns,
    /// TCP.
    Tcp,
    /// The tunnel through a proxy.
    Proxy,
    /// The TLS handshake.
    Tls,
}

/// Why no connection was opened. `to` and `proxy` are `host:port`; the text is for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The name has no address.
    Resolve {
        /// The name: the origin's, or its proxy's.
        host: String,
        /// The system's words.
        why: String,
    },
    /// The name leads to nothing but addresses that no request may go to.
    OffLimits {
        /// The name: the origin's, or its proxy's.
        host: String,
        /// The first of them.
        address: IpAddr,
    },
    /// No address took the connection.
    Connect {
        /// The origin, or its proxy.
        to: String,
        /// What the system reported.
        kind: io::ErrorKind,
        /// Its words.
        why: String,
    },
    /// The time for connecting, or for the handshake, was over.
    TimedOut {
        /// In this phase.
        phase: Phase,
        /// The origin; in the phases [`Phase::Dns`] and [`Phase::Tcp`] its proxy, if it has one.
        to: String,
        /// The time it had.
        after: Duration,
    },
    /// The proxy opened no tunnel.
    Proxy {
        /// The proxy.
        proxy: String,
        /// Why.
        why: TunnelError,
    },
    /// No TLS session.
    Tls {
        /// The origin.
        to: String,
        /// Its certificate does not prove who it is: trying again does not help.
        certificate: bool,
        /// Why.
        why: String,
    },
    /// This process has no descriptor left.
    NoDescriptors,
}

impl Origin {
    /// An origin that nothing is known about yet.
    pub fn new(
        host: &str,
        port: u16,
        tls: Option<Arc<ClientConfig>>,
        proxy: Option<Proxy>,
        connect_timeout: Duration,
        tls_timeout: Duration,
    ) -> Self {
        Self { host: host.to_owned(), port, tls, proxy, connect_timeout, tls_timeout, last_good: Cell::new(None) }
    }

    /// `host:port`, for texts.
    pub fn authority(&self) -> String {
        tunnel::authority(&self.host, self.port)
    }

    /// Opens a connection. Dropping this future abandons it and its sockets.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(
        &self,
        resolver: &Resolver,
        deadlines: &Rc<Deadlines>,
        buffers: &Rc<Buffers>,
    ) -> Result<Opened, OpenError> {
        let phase = Cell::new(Phase::Dns);
        let outcome = {
            let mut opening = pin!(self.phases(resolver, deadlines, buffers, &phase));
            let mut patience = pin!(monoio::time::sleep(self.connect_timeout));
            let mut is_shaking = false;
            poll_fn(|cx| match opening.as_mut().poll(cx) {
                Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
                Poll::Pending => {
                    if phase.get() == Phase::Tls && !std::mem::replace(&mut is_shaking, true) {
                        patience.as_mut().reset((Instant::now() + self.tls_timeout).into());
                    }
                    patience.as_mut().poll(cx).map(|()| None)
                }
            })
            .await
        };
        if let Some(outcome) = outcome {
            return outcome;
        }
        let (host, port) = match phase.get() {
            Phase::Dns | Phase::Tcp => self.first_hop(),
            Phase::Proxy | Phase::Tls => (self.host.as_str(), self.port),
        };
        if phase.get() == Phase::Tcp {
            self.unreachable(resolver);
        }
        let to = tunnel::authority(host, port);
        let after = if phase.get() == Phase::Tls { self.tls_timeout } else { self.connect_timeout };
        Err(OpenError::TimedOut { phase: phase.get(), to, after })
    }

    async fn phases(
        &self,
        resolver: &Resolver,
        deadlines: &Rc<Deadlines>,
        buffers: &Rc<Buffers>,
        phase: &Cell<Phase>,
    ) -> Result<Opened, OpenError> {
        let mut timings = Timings::default();
        let mut watch = StopWatch(Instant::now());
        let (host, port) = self.first_hop();
        let addresses = resolver.resolve(host, port).await;
        let addresses = addresses.map_err(|error| {
            lacking(&error).unwrap_or(OpenError::Resolve { host: host.to_owned(), why: plain(&error) })
        })?;
        let addresses =
            permitted(addresses).map_err(|address| OpenError::OffLimits { host: host.to_owned(), address })?;
        timings.dns_micros = watch.lap();

        phase.set(Phase::Tcp);
        let dialled = Box::pin(dial(&addresses, self.last_good.get())).await;
        let (stream, address) = dialled.map_err(|error| {
            lacking(&error).unwrap_or_else(|| {
                self.unreachable(resolver);
                OpenError::Connect { to: tunnel::authority(host, port), kind: error.kind(), why: plain(&error) }
            })
        })?;
        self.last_good.set(Some(address));
        let (mut inlet, mut outlet) = split(stream, Side::Upstream, deadlines, buffers);
        timings.tcp_micros = watch.lap();

        if let Some(proxy) = &self.proxy {
            phase.set(Phase::Proxy);
            let to = (self.host.as_str(), self.port);
            let tunnel = Box::pin(tunnel::connect(&mut inlet, &mut outlet, proxy, to, self.connect_timeout)).await;
            tunnel.map_err(|why| OpenError::Proxy { proxy: tunnel::authority(&proxy.host, proxy.port), why })?;
            timings.proxy_micros = watch.lap();
        }
        if let Some(config) = &self.tls {
            phase.set(Phase::Tls);
            let session = Box::pin(tls::connect(inlet, outlet, config, &self.host, self.tls_timeout)).await;
            (inlet, outlet) = session.map_err(|error| {
                let certificate = matches!(error, TlsError::Certificate(_));
                OpenError::Tls { to: self.authority(), certificate, why: error.to_string() }
            })?;
            timings.tls_micros = watch.lap();
        }
        Ok(Opened { inlet, outlet, timings })
    }

    /// Whom we connect to ourselves.
    fn first_hop(&self) -> (&str, u16) {
        match &self.proxy {
            Some(proxy) => (&proxy.host, proxy.port),
            None => (&self.host, self.port),
        }
    }

    /// No address answered: it may have moved.
    fn unreachable(&self, resolver: &Resolver) {
        self.last_good.set(None);
        resolver.invalidate(self.first_hop().0);
    }
}

impl Timings {
    /// All phases.
    pub fn total_micros(&self) -> u64 {
        self.dns_micros + self.tcp_micros + self.proxy_micros + self.tls_micros
    }
}

impl Phase {
    /// For metrics and log lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { host, why } => {
                write!(f, "the name {host} cannot be resolved: {why}; check the name, and this machine's DNS")
            }
            Self::OffLimits { host, address } => write!(
                f,
                "the name {host} leads to {address}, a link-local address where clouds answer with a machine's \
                 credentials: no request goes there; check the name, and this machine's DNS"
            ),
            Self::Connect { to, kind: io::ErrorKind::ConnectionRefused, .. } => {
                write!(f, "{to} refuses connections: nothing listens there")
            }
            Self::Connect { to, why, .. } => write!(f, "{to} cannot be reached: {why}"),
            Self::TimedOut { phase, to, after } => {
                let seconds = after.as_secs_f64();
                match phase {
                    Phase::Dns => {
                        write!(f, "the name of {to} was not resolved within {seconds} s; check this machine's DNS")
                    }
                    Phase::Tcp => write!(
                        f,
                        "{to} did not take a connection within {seconds} s; check the network, and any firewall between"
                    ),
                    Phase::Proxy => write!(f, "the proxy opened no tunnel to {to} within {seconds} s"),
                    Phase::Tls => write!(f, "{to} did not finish the TLS handshake within {seconds} s"),
                }
            }
            Self::Proxy { proxy, why } => write!(f, "the proxy {proxy} opened no tunnel: {why}"),
            Self::Tls { to, why, .. } => write!(f, "no TLS session with {to}: {why}"),
            Self::NoDescriptors => {
                f.write_str("sidestream has no descriptor left for a connection; raise its limit of open files")
            }
        }
    }
}

impl std::error::Error for OpenError {}

struct StopWatch(Instant);

impl StopWatch {
    fn lap(&mut self) -> u64 {
        let began = std::mem::replace(&mut self.0, Instant::now());
        self.0.duration_since(began).as_micros() as u64
    }
}

/// The addresses that a request may go to; if there are none, one of the others.
fn permitted(addresses: Arc<[SocketAddr]>) -> Result<Arc<[SocketAddr]>, IpAddr> {
    let Some(off_limits) = addresses.iter().map(SocketAddr::ip).find(|address| is_off_limits(*address)) else {
        return Ok(addresses);
    };
    let permitted: Arc<[_]> = addresses.iter().copied().filter(|address| !is_off_limits(address.ip())).collect();
    if permitted.is_empty() { Err(off_limits) } else { Ok(permitted) }
}

/// Not the peer's fault: this process, or the machine, has too many files open.
fn lacking(error: &io::Error) -> Option<OpenError> {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)).then_some(OpenError::NoDescriptors)
}

/// The text of an I/O error without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
