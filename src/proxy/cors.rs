//! What a browser asks before a page of another origin may send a request here, and what lets the page read the answer
//! (WHATWG Fetch §3.2). Only for origins that `SIDESTREAM_ALLOW_ORIGINS` names; [`super::admit`] has judged the origin.
//! No I/O.

#![forbid(unsafe_code)]

use crate::http::head::RequestHead;
use crate::http::write;

/// Whether a field says what pages may do.
pub fn is_cors_field(name: &[u8]) -> bool {
    const START: &[u8] = b"access-control-";
    name.get(..START.len()).is_some_and(|start| start.eq_ignore_ascii_case(START))
}

/// The fields of an answer that a page of `origin` may read. All fields are exposed one by one: `*` does not stand for
/// what is sent with credentials.
pub fn write(out: &mut Vec<u8>, origin: &[u8]) {
    const EXPOSED: &str = "request-id, x-request-id, retry-after, retry-after-ms, x-should-retry, server-timing, \
                           x-sidestream-request-id, x-sidestream-provider, x-sidestream-model, \
                           x-sidestream-attempts, x-sidestream-cache, x-sidestream-dropped, x-sidestream-error";
    write::field(out, b"access-control-allow-origin", origin);
    write::field(out, b"access-control-expose-headers", EXPOSED.as_bytes());
    write::field(out, b"vary", b"origin");
}

/// The fields that answer a preflight: the page may send what it asked to send.
pub fn write_preflight(out: &mut Vec<u8>, request: &RequestHead) {
    const TWO_HOURS: &str = "7200"; // what Chromium takes at most
    write::field(out, b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE");
    if let Some(fields) = request.get("access-control-request-headers") {
        write::field(out, b"access-control-allow-headers", fields);
    }
    // A page of a public site asks for more when it wants to reach a private address.
    if request.get("access-control-request-private-network").is_some_and(|value| value == b"true") {
        write::field(out, b"access-control-allow-private-network", b"true");
    }
    write::field(out, b"access-control-max-age", TWO_HOURS.as_bytes());
}
