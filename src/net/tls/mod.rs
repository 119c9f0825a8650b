//! TLS 1.2 and 1.3 by rustls, in both directions: towards upstreams, and for clients of an encrypted listener.
//!
//! | part | what |
//! |---|---|
//! | `config` | trust, certificates and keys from PEM texts; whatever is wrong with them is said at the start |
//! | `session` | one connection's state: bytes in, bytes out, no waiting |
//! | `error` | why a handshake failed, for a person |
//!
//! The sockets stay with [`super::stream`]: a half of an encrypted connection reads and writes as before, and passes what
//! it carries through the session that both halves share. So the rules about deadlines and silent
//! connections hold here as they do there.
//!
//! monoio-rustls is not used: it panics when a stream is used after a dropped read.

mod config;
mod error;
mod session;

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

pub use config::{listener_config, upstream_config};
pub use error::TlsError;
pub(super) use session::Tls;

use super::stream::{Inlet, Outlet};
use crate::limits;

/// Shakes hands with a server, which has `patience`, and proves that it is `host`, a name or an IP address (brackets
/// allowed).
///
/// # Errors
/// See [`TlsError`]. The connection is closed, after an alert that tells the peer why.
pub async fn connect(
    inlet: Inlet,
    outlet: Outlet,
    config: &Arc<ClientConfig>,
    host: &str,
    patience: Duration,
) -> Result<(Inlet, Outlet), TlsError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let name = ServerName::try_from(bare.to_owned())
        .map_err(|_| TlsError::Handshake(format!("{host:?} is neither a host name nor an IP address")))?;
    let connection = ClientConnection::new(config.clone(), name).map_err(|error| TlsError::new(error, None))?;
    shake(inlet, outlet, connection.into(), patience).await
}

/// Shakes hands with a client, which has [`limits::TLS_HANDSHAKE_MAX`]. Session tickets are sent before this returns.
///
/// # Errors
/// See [`TlsError`]. The connection is closed, after an alert that tells the peer why.
pub async fn accept(inlet: Inlet, outlet: Outlet, config: &Arc<ServerConfig>) -> Result<(Inlet, Outlet), TlsError> {
    let connection = ServerConnection::new(config.clone()).map_err(|error| TlsError::new(error, None))?;
    shake(inlet, outlet, connection.into(), limits::TLS_HANDSHAKE_MAX).await
}

async fn shake(
    mut inlet: Inlet,
    mut outlet: Outlet,
    connection: Connection,
    patience: Duration,
) -> Result<(Inlet, Outlet), TlsError> {
    let tls = Rc::new(Tls::new(connection, inlet.deadline().socket(), inlet.buffers()));
    inlet.encrypt(&tls);
    outlet.encrypt(&tls);
    inlet.deadline().arm(patience);
    loop {
        // An empty send carries what the session has to say; at the end a server's tickets.
        let (sent, _) = outlet.send(Vec::new(), 0, 0, patience).await;
        if !tls.is_handshaking() {
            sent?;
            break;
        }
        // A peer that takes no more may have said why: that is still to be read.
        let (read, _) = inlet.receive(Vec::new()).await;
        match (read, sent) {
            (Ok(1..), Ok(())) => {}
            _ if inlet.deadline().expired().is_some() => {
                return Err(TlsError::Io(io::ErrorKind::TimedOut.into()));
            }
            (Ok(0), _) => return Err(TlsError::closed()),
            (Err(error), _) => return Err(error.into()),
            (_, Err(error)) => return Err(error.into()),
        }
    }
    inlet.deadline().disarm();
    tls.established();
    Ok((inlet, outlet))
}
