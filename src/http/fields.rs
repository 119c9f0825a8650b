//! Which fields travel on: hop-by-hop fields belong to one connection and stop here (RFC 9110 §7.6.1).

use super::head::{FieldTable, Name, Names};

/// The fields of a head that travel on, in order: all but the hop-by-hop ones and those that Connection names.
///
/// Host and Content-Length are among them; a caller that routes or frames anew leaves them out and writes its own. The
/// same holds for credentials: what we add is added after this, so that a client's Connection cannot remove it.
pub fn end_to_end(head: &impl AsRef<FieldTable>) -> impl Iterator<Item = (&[u8], &[u8])> {
    let table = head.as_ref();
    table.iter().filter(move |(name, _)| !is_hop_by_hop(*name) && !is_named_by_connection(table, name))
}

/// Appends the lines of the fields that travel on and that `goes` lets pass.
#[inline]
pub fn write_end_to_end(
    out: &mut Vec<u8>,
    head: &impl AsRef<FieldTable>,
    mut goes: impl FnMut(Name<'_>, &[u8]) -> bool,
) {
    let table = head.as_ref();
    table.copy_lines(out, |name, value| {
        !is_hop_by_hop(name) && !is_named_by_connection(table, name.as_bytes()) && goes(name, value)
    });
}

/// Whether a field of this name belongs to one connection, always.
pub fn is_hop_by_hop<'a>(name: impl Into<Name<'a>>) -> bool {
    HOP_BY_HOP.contains(name)
}

const HOP_BY_HOP: Names<10> = Names::new([
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
]);

/// Fields in which clients send a credential: keys of OpenAI's and Anthropic's, Azure's and Google's APIs, and cookies.
pub const CREDENTIALS: Names<5> = Names::new(["authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"]);

/// Whether a field of this name holds a credential.
pub fn is_credential<'a>(name: impl Into<Name<'a>>) -> bool {
    CREDENTIALS.contains(name)
}

/// Whether the head's Connection names this field, so that it belongs to this connection only.
///
/// Content-Length and Host cannot be named away: without them the rest of the message would mean something else.
pub fn is_named_by_connection(head: &impl AsRef<FieldTable>, name: &[u8]) -> bool {
    head.as_ref().connection_names_fields()
        && connection_names(head).any(|option| option.eq_ignore_ascii_case(name))
        && !NEEDED.contains(name)
}

const NEEDED: Names<2> = Names::new(["content-length", "host"]);

/// The options of all Connection fields, as written: `close`, `keep-alive`, and names of fields. At most
/// [`CONNECTION_OPTIONS_MAX`](crate::limits::CONNECTION_OPTIONS_MAX).
pub fn connection_names(head: &impl AsRef<FieldTable>) -> impl Iterator<Item = &[u8]> {
    head.as_ref().all("connection").flat_map(list).filter(|option| !option.is_empty())
}

/// The elements of a comma-separated list, without the white space around them; empty elements are given as such
/// (RFC 9110 §5.6.1).
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{RequestHead, ResponseHead};

    fn kept(fields: &str) -> String {
        let mut head = RequestHead::default();
        head.parse(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes()).unwrap();
        let names: Vec<_> = end_to_end(&head).map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
        names.join(" ")
    }

    #[test]
    fn what_travels_on() {
        let cases = [
            (
                "te-hop",
                "TE: trailers\r\nKeep-Alive: 9\r\nProxy-Connection: x\r\nProxy-Authorization: y\r\nA: b\r\n",
                "Host A",
            ),
            ("upgrade-smuggle", "Connection: Upgrade\r\nUpgrade: foo\r\n", "Host"),
            ("h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n", "Host"),
            ("conn-hides-auth", "X-Internal: 1\r\nConnection: X-Internal, keep-alive\r\n", "Host"),
            (
                "any case, any field of several",
                "X-a: 1\r\nConnection: close\r\nx-B: 1\r\nconnection: X-A ,\tx-b,,\r\n",
                "Host",
            ),
            (
                "framing cannot be named away",
                "Content-Length: 2\r\nConnection: content-length, host\r\n",
                "Host Content-Length",
            ),
            ("Transfer-Encoding, Trailer", "Transfer-Encoding: chunked\r\nTrailer: x\r\n", "Host"),
            ("a prefix is another name", "Connection: X-Int\r\nX-Internal: 1\r\n", "Host X-Internal"),
        ];
        for (rule, fields, want) in cases {
            assert_eq!(kept(fields), want, "{rule}");
        }
    }

    #[test]
    fn lines_are_copied_as_they_were_written() {
        let cases = [
            ("A: 1\r\nB: 2\r\nC: 3\r\n", "B", "A: 1\r\nC: 3\r\n"),
            ("A:1\r\nb:\t 2\r\nC:   3\r\n", "-", "A:1\r\nb:\t 2\r\nC:   3\r\n"),
            ("A: 1 \t \r\nB: 2 \r\n", "-", "A: 1\r\nB: 2\r\n"),
            ("A:\r\nB: \r\nC: 3\r\nD:\r\n", "-", "A:\r\nB: \r\nC: 3\r\nD:\r\n"),
            ("A:\r\nA: 2\r\nB:\r\n", "A", "B:\r\n"),
            ("Connection: B\r\nA: 1\r\nB: 2\r\nTE: trailers\r\nA: 3\r\n", "-", "A: 1\r\nA: 3\r\n"),
            ("A: 1\r\n", "A", ""),
            ("", "-", ""),
        ];
        for (fields, left, want) in cases {
            let mut head = ResponseHead::default();
            head.parse(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes()).unwrap();
            let mut out = Vec::new();
            write_end_to_end(&mut out, &head, |name, _| name.as_bytes() != left.as_bytes());
            assert_eq!(String::from_utf8_lossy(&out), want, "{fields:?}");
        }
    }

    #[test]
    fn every_hop_by_hop_name_is_known_by_its_length() {
        let names = "Connection Keep-Alive Proxy-Connection Proxy-Authenticate Proxy-Authorization TE Trailer \
                     Transfer-Encoding Upgrade HTTP2-Settings";
        for name in names.split(' ') {
            assert!(is_hop_by_hop(name.as_bytes()), "{name}");
        }
        assert!(!is_hop_by_hop(b"Authorization") && !is_hop_by_hop(b"Trailers"));
    }

    #[test]
    fn u26_responses_too() {
        let mut head = ResponseHead::default();
        head.parse(b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nConnection: X-Foo\r\nX-Foo: 1\r\nKeep-Alive: 5\r\n\r\n")
            .unwrap();
        let fields: Vec<_> = end_to_end(&head).collect();
        assert_eq!(fields, [(b"Set-Cookie".as_slice(), b"a".as_slice())]);
    }
}
