//! Who may ask, and how the body comes: everything that is judged by the head alone. Pure.

#![forbid(unsafe_code)]

use super::connection::{Door, Transport};
use crate::config::{Config, Listen, value};
use crate::dialect::Dialect;
use crate::fault::Fault;
use crate::http::framing::{self, Framing};
use crate::http::head::RequestHead;

/// What the head told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// How the body ends.
    pub framing: Framing,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

/// Judges a request by its head.
///
/// # Errors
/// Broken framing (before anything else: nothing behind it can be trusted), a host that is not ours, an unknown
/// expectation.
pub fn admit(head: &RequestHead, config: &Config, transport: Transport, door: Door) -> Result<Admitted, Fault> {
    let framing = framing::of_request(head)?;
    // Probes of an orchestrator name the pod's address.
    let probe = door == Door::Admin && matches!(head.path(), b"/healthz" | b"/readyz");
    if transport == Transport::Tcp && !probe {
        check_host(head, config)?;
    }
    Ok(Admitted { framing, expects_continue: head.expects_continue()? })
}

/// DNS rebinding: a web page can make a browser resolve its own name to 127.0.0.1, but cannot forge `Host`.
fn check_host(head: &RequestHead, config: &Config) -> Result<(), Fault> {
    // HTTP/1.0 without Host: no browser sends that.
    let Some(authority) = head.authority() else { return Ok(()) };
    let host = host_of(authority);
    let known = value::is_loopback(host)
        || config.allow_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
        || config.listen.iter().any(|listen| match listen {
            Listen::Tcp(address) => host.parse().is_ok_and(|host: std::net::IpAddr| host == address.ip()),
            Listen::Unix(_) => false,
        });
    if known {
        return Ok(());
    }
    let message = format!("Host {host:?} is not accepted here; add it to SIDESTREAM_ALLOW_HOSTS to allow it.");
    Err(Fault::client(403, "host-not-allowed", message).closing())
}

/// `host[:port]` without the port and without brackets. The head's syntax was checked.
fn host_of(authority: &[u8]) -> &str {
    let text = std::str::from_utf8(authority).unwrap_or_default();
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    text.split(':').next().unwrap_or_default()
}

/// The dialect of a head that could not be parsed: a guess at words that only Anthropic's clients send.
pub fn guess_dialect(head: &[u8]) -> Dialect {
    let says = |word: &str| memchr::memmem::find(head, word.as_bytes()).is_some();
    if says("/v1/messages") || says("anthropic-") { Dialect::Messages } else { Dialect::Chat }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    fn admitted(text: &str, transport: Transport) -> Result<Admitted, u16> {
        let environment = [
            ("SIDESTREAM_PROVIDERS", "mock"),
            ("MOCK_ENDPOINT_URL", "http://127.0.0.1:9/v1"),
            ("SIDESTREAM_LISTEN", "127.0.0.1:7730,192.0.2.7:1"),
            ("SIDESTREAM_ALLOW_HOSTS", "sidestream.internal"),
        ];
        let config =
            Config::read(&Source::of(environment.map(|(name, value)| (name.to_owned(), value.to_owned())))).unwrap();
        let mut head = RequestHead::default();
        head.parse(text.as_bytes()).unwrap();
        admit(&head, &config, transport, Door::Clients).map_err(|fault| fault.status)
    }

    #[test]
    fn hosts() {
        for (host, want) in [
            ("localhost", None),
            ("localhost:7730", None),
            ("LOCALHOST", None),
            ("127.0.0.1:1", None),
            ("[::1]:7730", None),
            ("192.0.2.7", None),
            ("sidestream.internal:80", None),
            ("Sidestream.Internal", None),
            ("evil.example", Some(403)),
            ("localhost.evil.example", Some(403)),
            ("10.0.0.1", Some(403)),
        ] {
            let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(admitted(&text, Transport::Tcp).err(), want, "{host}");
            assert_eq!(admitted(&text, Transport::Unix).err(), None, "{host} on a UNIX socket");
        }
    }

    #[test]
    fn the_targets_authority_counts_not_the_host_field() {
        let text = "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n";
        assert_eq!(admitted(text, Transport::Tcp), Err(403));
    }

    #[test]
    fn broken_framing_is_told_before_a_foreign_host() {
        let text = "POST / HTTP/1.1\r\nHost: evil\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n";
        assert_eq!(admitted(text, Transport::Tcp), Err(400));
    }

    #[test]
    fn http_1_0_needs_no_host() {
        assert!(admitted("GET / HTTP/1.0\r\n\r\n", Transport::Tcp).is_ok());
    }

    #[test]
    fn dialects_are_guessed_from_what_is_there() {
        assert_eq!(guess_dialect(b"POST /v1/messages HTTP/9"), Dialect::Messages);
        assert_eq!(guess_dialect(b"GET /\0 HTTP/1.1\r\nanthropic-version: x"), Dialect::Messages);
        assert_eq!(guess_dialect(b"\x16\x03\x01"), Dialect::Chat);
    }
}
