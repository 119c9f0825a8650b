//! Who may ask, and how the body comes: everything that is judged by the head alone. Pure.

#![forbid(unsafe_code)]

use subtle::{Choice, ConstantTimeEq};

use super::connection::{Door, Transport};
use crate::config::{Config, Listen, Secret, value};
use crate::dialect::Dialect;
use crate::fault::Fault;
use crate::http::framing::{self, Framing};
use crate::http::head::{Method, RequestHead};
use crate::limits;

/// The field that carries one of our tokens where the others carry the provider's credential.
pub const TOKEN_FIELD: &str = "x-sidestream-token";
/// The field in which each sidestream on the way leaves its name.
pub const VIA_FIELD: &str = "x-sidestream-via";

/// What the head told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// How the body ends.
    pub framing: Framing,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// Who asks.
    pub guest: Guest,
}

/// Who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guest {
    /// A program.
    #[default]
    Program,
    /// A page of an origin that may: it reads the answer only with CORS fields in it.
    Page,
    /// A browser that asks before its page may.
    Preflight,
}

/// Judges a request by its head. `name` is this process's, among sidestreams.
///
/// # Errors
/// Broken framing (before anything else: nothing behind it can be trusted), a host or an origin that is not ours, a
/// missing token, a request that goes in circles, an unknown expectation.
pub fn admit(
    head: &RequestHead,
    config: &Config,
    name: &str,
    transport: Transport,
    door: Door,
) -> Result<Admitted, Fault> {
    let framing = framing::of_request(head)?;
    // Probes of an orchestrator name the pod's address.
    let probe = door == Door::Admin && matches!(head.path(), b"/healthz" | b"/readyz");
    let known = shows_token(head, &config.tokens);
    if transport == Transport::Tcp && !probe && !known {
        check_host(head, config)?;
    }
    let guest = guest(head, config)?;
    // What tells no more than that somebody listens is told to everybody.
    let open = guest == Guest::Preflight || head.path() == b"/";
    if door == Door::Clients && !config.tokens.is_empty() && !known && !open {
        let message = "sidestream asks for one of its tokens: send it as `Authorization: Bearer`, `x-api-key` or \
                       `x-sidestream-token` (SIDESTREAM_TOKENS lists them).";
        return Err(Fault::client(401, "token-required", message));
    }
    check_way(head, name)?;
    Ok(Admitted { framing, expects_continue: head.expects_continue()?, guest })
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

/// A page may have its browser send requests anywhere; only the pages of these origins may send them here.
fn guest(head: &RequestHead, config: &Config) -> Result<Guest, Fault> {
    let Some(origin) = head.get("origin") else { return Ok(Guest::Program) };
    if !is_page(head, config) {
        let origin = String::from_utf8_lossy(origin);
        let message =
            format!("Origin {origin:?} is not accepted here; add it to SIDESTREAM_ALLOW_ORIGINS to allow it.");
        return Err(Fault::client(403, "origin-not-allowed", message).closing());
    }
    let asks = head.method() == Method::Options && head.get("access-control-request-method").is_some();
    Ok(if asks { Guest::Preflight } else { Guest::Page })
}

/// Whether a page asks that may: it can read the answer, a refusal too.
pub fn is_page(head: &RequestHead, config: &Config) -> bool {
    let allows =
        |origin: &[u8]| config.allow_origins.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin));
    head.get("origin").is_some_and(allows)
}

/// Whether the request shows one of our tokens. Every token is compared to every credential, each in constant time, so
/// that the time it takes tells nothing about a token but its length.
fn shows_token(head: &RequestHead, tokens: &[Secret]) -> bool {
    // Not cookies, which a browser sends unasked.
    let shows = |(name, value): (&[u8], &[u8])| match name.to_ascii_lowercase().as_slice() {
        b"authorization" => value.len() > without_scheme(value).len() && is_token(value, tokens),
        b"x-api-key" => is_token(value, tokens),
        name => name == TOKEN_FIELD.as_bytes() && is_token(value, tokens),
    };
    !tokens.is_empty() && head.as_ref().iter().any(shows)
}

/// Whether the value of a credential's field is one of our tokens, with or without `Bearer`. What is, never goes
/// upstream.
pub fn is_token(value: &[u8], tokens: &[Secret]) -> bool {
    let value = without_scheme(value);
    let equal = tokens.iter().fold(Choice::from(0), |equal, token| equal | value.ct_eq(token.expose()));
    bool::from(equal)
}

/// The credential behind an authentication scheme (RFC 9110 §11.4).
fn without_scheme(value: &[u8]) -> &[u8] {
    const SCHEME: &[u8] = b"bearer ";
    match value.split_at_checked(SCHEME.len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) => rest.trim_ascii_start(),
        _ => value,
    }
}

/// A request that was here before, or that wanders from one sidestream to the next, would never end.
fn check_way(head: &RequestHead, name: &str) -> Result<(), Fault> {
    let via = head.as_ref().all(VIA_FIELD);
    let mut passed = 0;
    for hop in via.flat_map(|hops| hops.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii) {
        passed += 1;
        if hop == name.as_bytes() {
            let message = "The request came back to the sidestream that sent it: a provider's URL points here.";
            return Err(Fault::client(508, "loop-detected", message));
        }
    }
    if passed >= limits::SIDESTREAMS_MAX {
        let message = format!("The request went through {passed} sidestreams already.");
        return Err(Fault::client(508, "loop-detected", message));
    }
    Ok(())
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

    fn config(extra: &[(&str, &str)]) -> Config {
        let environment = [
            ("SIDESTREAM_PROVIDERS", "mock"),
            ("MOCK_ENDPOINT_URL", "http://127.0.0.1:9/v1"),
            ("SIDESTREAM_LISTEN", "127.0.0.1:7730,192.0.2.7:1"),
            ("SIDESTREAM_ALLOW_HOSTS", "sidestream.internal"),
            ("SIDESTREAM_ALLOW_ORIGINS", "https://app.example"),
        ];
        let environment = environment.iter().chain(extra).map(|(name, value)| (name.to_string(), value.to_string()));
        Config::read(&Source::of(environment)).unwrap()
    }

    fn judged(text: &str, config: &Config, transport: Transport) -> Result<Admitted, Fault> {
        let mut head = RequestHead::default();
        head.parse(text.as_bytes()).unwrap();
        admit(&head, config, "me", transport, Door::Clients)
    }

    fn admitted(text: &str, transport: Transport) -> Result<Admitted, u16> {
        judged(text, &config(&[]), transport).map_err(|fault| fault.status)
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
    fn origins() {
        for (fields, want) in [
            ("", Ok(Guest::Program)),
            ("Origin: https://app.example\r\n", Ok(Guest::Page)),
            ("Origin: https://APP.example\r\n", Ok(Guest::Page)),
            ("Origin: https://app.example.evil\r\n", Err("origin-not-allowed")),
            ("Origin: http://app.example\r\n", Err("origin-not-allowed")),
            ("Origin: null\r\n", Err("origin-not-allowed")),
            ("Origin: http://127.0.0.1:7730\r\n", Err("origin-not-allowed")),
            ("Origin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n", Ok(Guest::Preflight)),
        ] {
            let text = format!("OPTIONS /v1/models HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
            let guest = judged(&text, &config(&[]), Transport::Tcp).map(|admitted| admitted.guest);
            assert_eq!(guest.map_err(|fault| fault.reason), want, "{fields}");
        }
    }

    #[test]
    fn tokens() {
        let config = config(&[("SIDESTREAM_TOKENS", "first-token,second-token")]);
        for (path, fields, want) in [
            ("/v1/models", "", Some("token-required")),
            ("/", "", None),
            ("/v1/models", "Authorization: Bearer first-token\r\n", None),
            ("/v1/models", "authorization: bearer  second-token\r\n", None),
            ("/v1/models", "x-api-key: second-token\r\n", None),
            ("/v1/models", "x-sidestream-token: first-token\r\nAuthorization: Bearer sk-theirs\r\n", None),
            ("/v1/models", "Authorization: Bearer first-toke\r\n", Some("token-required")),
            ("/v1/models", "Authorization: Bearer first-tokenX\r\n", Some("token-required")),
            ("/v1/models", "Authorization: Basic first-token\r\n", Some("token-required")),
            ("/v1/models", "Authorization: first-token\r\n", Some("token-required")),
            ("/v1/models", "Cookie: first-token\r\n", Some("token-required")),
            ("/v1/models", "x-other: first-token\r\n", Some("token-required")),
            ("/v1/models", "x-api-key: \r\n", Some("token-required")),
        ] {
            let text = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
            let refused = judged(&text, &config, Transport::Tcp).err();
            assert_eq!(refused.map(|fault| fault.reason), want, "{path} {fields}");
        }
        let text = "GET /v1/models HTTP/1.1\r\nHost: any.example\r\nx-api-key: first-token\r\n\r\n";
        assert!(judged(text, &config, Transport::Tcp).is_ok(), "a token stands in for a known Host");
        let text = "OPTIONS /v1/models HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example\r\n\
                    Access-Control-Request-Method: POST\r\n\r\n";
        assert!(judged(text, &config, Transport::Tcp).is_ok(), "a browser's preflight carries no token");
    }

    #[test]
    fn a_request_that_goes_in_circles_is_refused() {
        for (via, want) in [
            ("a", None),
            ("a, b,c,d", None),
            ("me", Some(508)),
            ("a, me", Some(508)),
            ("meme", None),
            ("a,b,c,d,e", Some(508)),
        ] {
            let text = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Sidestream-Via: {via}\r\n\r\n");
            assert_eq!(admitted(&text, Transport::Tcp).err(), want, "{via}");
        }
    }

    #[test]
    fn dialects_are_guessed_from_what_is_there() {
        assert_eq!(guess_dialect(b"POST /v1/messages HTTP/9"), Dialect::Messages);
        assert_eq!(guess_dialect(b"GET /\0 HTTP/1.1\r\nanthropic-version: x"), Dialect::Messages);
        assert_eq!(guess_dialect(b"\x16\x03\x01"), Dialect::Chat);
    }
}
