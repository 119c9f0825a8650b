//! TLS towards upstreams.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::ClientConfig;

use super::stream::{Inlet, Outlet};

/// Why there is no TLS session: a clause about the peer.
#[derive(Debug)]
pub enum TlsError {
    /// The peer's certificate does not prove who it is. Trying again does not help.
    Certificate(String),
    /// The peer speaks no TLS, none that we speak, refused us, or left in the middle.
    Handshake(String),
    /// The socket failed.
    Io(io::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(text) | Self::Handshake(text) => f.write_str(text),
            Self::Io(error) => error.fmt(f),
        }
    }
}

/// Begins a session as a client; `host` is the name (or address) that the certificate must hold.
///
/// # Errors
/// The handshake failed, or the certificate is not trusted.
pub async fn connect(
    inlet: Inlet,
    outlet: Outlet,
    config: &Arc<ClientConfig>,
    host: &str,
) -> Result<(Inlet, Outlet), TlsError> {
    let _ = (inlet, outlet, config, host);
    Err(TlsError::Handshake("TLS is not built in yet".into()))
}
