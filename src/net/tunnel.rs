//! A tunnel through an outbound HTTP proxy: `CONNECT` (RFC 9110 §9.3.6).

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::stream::{Inlet, Outlet};
use crate::config::provider::Proxy;
use crate::http::head::{BadResponse, HeadKind, HeadScanner, ResponseHead};
use crate::limits;

/// Why a proxy opened no tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelError {
    /// It closed the connection without an answer, or in the middle of one.
    Closed,
    /// It refused.
    Refused {
        /// The status of its answer.
        status: u16,
        /// We presented credentials.
        presented: bool,
    },
    /// What it sent is no answer to this; the reason.
    Invalid(&'static str),
}

impl fmt::Display for TunnelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Closed => f.write_str("it closed the connection without an answer to CONNECT"),
            Self::Refused { status: 407, presented: false } => f.write_str(
                "it wants credentials (status 407); write them into the proxy's URL, as in http://user:password@host:port",
            ),
            Self::Refused { status: 407, presented: true } => {
                f.write_str("it does not accept the credentials of the proxy's URL (status 407)")
            }
            Self::Refused { status, .. } => write!(f, "it answered CONNECT with status {status}"),
            Self::Invalid(what) => write!(f, "it answered CONNECT with something that is not HTTP/1.1: {what}"),
        }
    }
}

/// Asks the proxy at the other end for a tunnel to `host` and `port`. Afterwards the connection belongs to the two ends:
/// the tunnel's first byte is the next one read.
///
/// # Errors
/// There is no tunnel, and the connection is of no more use.
pub async fn connect(
    inlet: &mut Inlet,
    outlet: &mut Outlet,
    proxy: &Proxy,
    (host, port): (&str, u16),
    patience: Duration,
) -> Result<(), TunnelError> {
    // Its memory held a password: it goes to the allocator, not into the free list.
    let (sent, _) = outlet.send_all(request(proxy, host, port), patience).await;
    sent.map_err(|_| TunnelError::Closed)?;
    let (mut scanner, mut head, mut bytes) = (HeadScanner::default(), ResponseHead::default(), Vec::new());
    let mut interim = 0;
    loop {
        let found = scanner.push(HeadKind::Response, &bytes);
        let Some(end) = found.map_err(|reject| TunnelError::Invalid(BadResponse::from(reject).name()))? else {
            let (result, back) = inlet.receive(bytes).await;
            bytes = back;
            match result {
                Ok(0) | Err(_) => return Err(TunnelError::Closed),
                Ok(_) => continue,
            }
        };
        head.parse(bytes.get(..end).unwrap_or_default()).map_err(|bad| TunnelError::Invalid(bad.name()))?;
        match head.status() {
            101 => return Err(TunnelError::Invalid("it switched protocols unasked")),
            100..200 if interim < limits::INTERIM_RESPONSES_MAX => {
                interim += 1;
                bytes.drain(..end);
                scanner.reset();
            }
            100..200 => return Err(TunnelError::Invalid("too many interim responses")),
            // Content-Length and Transfer-Encoding mean nothing here: "any 2xx" opens the tunnel. In it we speak first, so
            // that bytes which are already here come from the proxy, and would pass for the origin's.
            200..300 if bytes.len() > end => return Err(TunnelError::Invalid("bytes behind the head of its answer")),
            200..300 => return Ok(()),
            status => return Err(TunnelError::Refused { status, presented: proxy.userinfo.is_some() }),
        }
    }
}

fn request(proxy: &Proxy, host: &str, port: u16) -> Vec<u8> {
    let authority = authority(host, port);
    let mut out = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
    if let Some(userinfo) = &proxy.userinfo {
        out.extend_from_slice(b"Proxy-Authorization: Basic ");
        out.extend_from_slice(STANDARD.encode(userinfo.expose()).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// `host:port`, an IPv6 address in brackets (RFC 3986 §3.2.2).
pub(super) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn what_a_proxy_is_asked() {
        let proxy = |userinfo: Option<&str>| Proxy { host: "p".into(), port: 1, userinfo: userinfo.map(Secret::new) };
        for (userinfo, host, expected) in [
            (None, "api.test", "CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n"),
            (None, "::1", "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n"),
            (
                Some("Aladdin:open sesame"),
                "a",
                "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n",
            ),
        ] {
            let asked = request(&proxy(userinfo), host, 443);
            assert_eq!(String::from_utf8(asked).unwrap(), expected);
        }
    }
}
