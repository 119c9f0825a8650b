//! New upstream connections, by address and with a deadline.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use monoio::net::TcpStream;

use super::stream::Stream;

/// Connects to the first of `addresses` that answers, within `patience` in all.
///
/// Dropping this future abandons the attempt and its socket: nothing was sent.
///
/// # Errors
/// `TimedOut`, or what the last address answered (`ConnectionRefused`, `NetworkUnreachable` …).
pub async fn dial(addresses: &[SocketAddr], patience: Duration) -> io::Result<Stream> {
    let attempts = async {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match TcpStream::connect_addr(*address).await {
                Ok(stream) => return Ok(Stream::Tcp(stream)),
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    monoio::time::timeout(patience, attempts).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
