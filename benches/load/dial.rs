//! New connections.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, Socket, Type};

use crate::poll::bind_address_only;

/// Connections from one source address; the system has some 28,000 ports for each, and keeps those of ended ones for a minute.
const PER_SOURCE: u32 = 4096;
/// Source addresses for clients that come and go: a million connections a minute.
const SOURCES_MANY: u32 = 64;

/// Begins connections to one address.
pub struct Dialler {
    to: SocketAddr,
    sources: u32,
    begun: u32,
}

impl Dialler {
    /// For about this many connections at a time; `None` if they come and go without end.
    pub fn new(to: SocketAddr, connections: Option<u32>) -> Self {
        let sources = connections.map_or(SOURCES_MANY, |count| count.div_ceil(PER_SOURCE).min(200));
        let loopback = matches!(to.ip(), IpAddr::V4(ip) if ip.is_loopback());
        Self { to, sources: if loopback { sources } else { 1 }, begun: 0 }
    }

    /// Begins to connect, and does not wait for it.
    pub fn dial(&mut self) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(self.to), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_nodelay(true)?;
        if self.sources > 1 {
            let source = Ipv4Addr::new(127, 0, 0, 1 + (self.begun % self.sources) as u8);
            bind_address_only(socket.as_fd())?;
            socket.bind(&SocketAddr::from((source, 0)).into())?;
        }
        self.begun = self.begun.wrapping_add(1);
        match socket.connect(&self.to.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
            _ => Ok(socket.into()),
        }
    }
}
