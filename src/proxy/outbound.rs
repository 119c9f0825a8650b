//! The head of an upstream request: the client's fields, what we replace, and whose credential goes along. No I/O.

#![forbid(unsafe_code)]

use super::admit::{self, VIA_FIELD};
use crate::config::Secret;
use crate::config::provider::{Auth, Base, Credential, Provider};
use crate::dialect::{Dialect, Face};
use crate::http::fields;
use crate::http::framing::Framing;
use crate::http::head::{Name, Names, RequestHead};
use crate::http::write;

/// One request to an upstream, as far as its head needs it.
pub struct Outbound<'a> {
    /// Who gets it.
    pub provider: &'a Provider,
    /// The face it goes to.
    pub base: &'a Base,
    /// What the client sent.
    pub request: &'a RequestHead,
    /// The dialect that the client speaks.
    pub dialect: Dialect,
    /// The dialect spoken to the upstream.
    pub spoken: Dialect,
    /// The path below the version.
    pub path: &'a str,
    /// What we know of its body.
    pub cargo: Cargo,
    /// Our own tokens: never sent upstream.
    pub tokens: &'a [Secret],
    /// This process's name among sidestreams.
    pub name: &'a str,
    /// Which of several keys is used.
    pub turn: usize,
    /// The client's credential was meant for another origin, which was tried before: it does not follow the request.
    pub elsewhere: bool,
}

/// What is known of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cargo {
    /// Nothing: it is streamed through.
    Unread,
    /// It is JSON in the client's dialect, and we may have to look into the answer.
    Json,
    /// It is JSON that we wrote for whom it goes to, and we have to read the answer.
    Translated,
}

impl Outbound<'_> {
    /// Writes the head.
    ///
    /// The client's end-to-end fields go on in their order, except for those that we set: `host`, the body's framing, the
    /// credential, the provider's own extra fields, and `accept-encoding` where we may have to look into the answer.
    pub fn write_head(&self, out: &mut Vec<u8>, framing: Framing) {
        let translated = self.cargo == Cargo::Translated;
        out.extend_from_slice(self.request.method_text().as_bytes());
        out.push(b' ');
        write_target(out, self.base, self.spoken.face(), self.path);
        // A query belongs to the dialect that it was written in.
        if let Some(query) = self.request.query().filter(|_| !translated) {
            write_query(out, query, |value| self.passes_credential(value));
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        write::field(out, b"host", self.base.authority.as_bytes());
        fields::write_end_to_end(out, self.request, |name, value| {
            let stays = translated && !is_of_any_dialect(name);
            !stays && !self.replaces(name, value)
        });
        if translated {
            let version = (&b"anthropic-version"[..], MESSAGES_VERSION);
            let ours =
                [(&b"content-type"[..], &b"application/json"[..]), (b"accept", b"application/json, text/event-stream")];
            for (name, value) in ours.into_iter().chain((self.spoken == Dialect::Messages).then_some(version)) {
                if !self.is_configured(name) {
                    write::field(out, name, value);
                }
            }
        }
        if self.cargo != Cargo::Unread {
            // A compressed stream cannot be split, pinged or searched for errors.
            write::field(out, b"accept-encoding", b"identity");
        }
        write_credential(out, self.provider, self.spoken.face(), self.turn);
        if let Some(lent) = self.lent().filter(|_| translated) {
            write_key(out, self.provider.auth(self.spoken.face()), lent);
        }
        write_via(out, self.request.get(VIA_FIELD), self.name);
        match framing {
            Framing::Chunked => write::field(out, b"transfer-encoding", b"chunked"),
            Framing::Length(length) => write::content_length(out, length),
            Framing::None | Framing::UntilClose => {}
        }
        write::end(out);
    }

    /// Whether a field of the client's stays behind.
    fn replaces(&self, name: Name<'_>, value: &[u8]) -> bool {
        const CODING: Names<1> = Names::new(["accept-encoding"]);
        is_ours(name)
            || (fields::is_credential(name) && !self.passes_credential(value))
            || (self.cargo != Cargo::Unread && CODING.contains(name))
            || self.is_configured(name.as_bytes())
    }

    /// The provider's own extra fields say it.
    fn is_configured(&self, name: &[u8]) -> bool {
        self.provider.headers.iter().any(|(own, _)| name.eq_ignore_ascii_case(own.as_bytes()))
    }
}

impl Outbound<'_> {
    /// The client's credential, where it goes along into another dialect, without the form of its own.
    fn lent(&self) -> Option<&[u8]> {
        let bearer = self.request.get("authorization").and_then(|value| {
            let scheme = value.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
            scheme.and_then(|_| value.get(7..))
        });
        let key = bearer.or_else(|| self.request.get("x-api-key")).or_else(|| self.request.get("api-key"))?;
        Some(key.trim_ascii()).filter(|key| self.passes_credential(key))
    }

    fn passes_credential(&self, value: &[u8]) -> bool {
        !self.elsewhere && passes_credential(self.provider, self.dialect, value, self.tokens)
    }
}

/// The version of the Messages API that translated requests are written in: the one that takes sampling parameters.
const MESSAGES_VERSION: &[u8] = b"2023-06-01";

/// Fields that mean the same to every vendor. All others of a request that is translated stay behind: they were written
/// for another one (`anthropic-beta`, `openai-organization`, `x-stainless-*`).
fn is_of_any_dialect(name: Name<'_>) -> bool {
    const FIELDS: Names<8> = Names::new([
        "user-agent",
        "x-request-id",
        "x-client-request-id",
        "idempotency-key",
        "traceparent",
        "tracestate",
        "baggage",
        "accept-language",
    ]);
    FIELDS.contains(name)
}

/// Whether a client's own credential goes along: only to a provider that has no key and is marked for it, and never if
/// it is one of our tokens.
pub fn passes_credential(provider: &Provider, dialect: Dialect, value: &[u8], tokens: &[Secret]) -> bool {
    provider.wants_credential(dialect) && !admit::is_token(value, tokens)
}

/// The query as it came, without the credentials that some clients put there and that do not go along.
fn write_query(out: &mut Vec<u8>, query: &[u8], passes: impl Fn(&[u8]) -> bool) {
    const CREDENTIALS: [&[u8]; 4] = [b"key", b"api_key", b"api-key", b"access_token"];
    let mut separator = b'?';
    for part in query.split(|byte| *byte == b'&') {
        let mut halves = part.splitn(2, |byte| *byte == b'=');
        let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        let is_credential = CREDENTIALS.iter().any(|known| name.eq_ignore_ascii_case(known));
        if !is_credential || passes(value) {
            out.push(std::mem::replace(&mut separator, b'&'));
            out.extend_from_slice(part);
        }
    }
}

/// The request target: the face's base, the version where the base ends before it, the path.
pub fn write_target(out: &mut Vec<u8>, base: &Base, face: Face, path: &str) {
    out.extend_from_slice(base.path.as_bytes());
    // The Anthropic face's base ends before the version, the OpenAI face's behind it.
    out.extend_from_slice(if face == Face::Anthropic { b"/v1/" } else { b"/" });
    out.extend_from_slice(path.as_bytes());
}

/// The provider's extra fields, and its key; of several keys number `turn`.
pub fn write_credential(out: &mut Vec<u8>, provider: &Provider, face: Face, turn: usize) {
    for (name, value) in &provider.headers {
        write::field(out, name.as_bytes(), value.expose());
    }
    let Credential::Keys(keys) = &provider.credential else { return };
    let Some(key) = turn.checked_rem(keys.len()).and_then(|place| keys.get(place)) else { return };
    write_key(out, provider.auth(face), key.expose());
}

fn write_key(out: &mut Vec<u8>, auth: Auth, key: &[u8]) {
    match auth {
        Auth::Bearer => {
            out.extend_from_slice(b"authorization: Bearer ");
            out.extend_from_slice(key);
            out.extend_from_slice(b"\r\n");
        }
        Auth::XApiKey => write::field(out, b"x-api-key", key),
        Auth::ApiKey => write::field(out, b"api-key", key),
    }
}

/// The sidestreams passed so far, and this one.
fn write_via(out: &mut Vec<u8>, before: Option<&[u8]>, name: &str) {
    out.extend_from_slice(VIA_FIELD.as_bytes());
    out.extend_from_slice(b": ");
    write_names(out, before, name);
    out.extend_from_slice(b"\r\n");
}

/// The same as a value, for a request of our own on a client's behalf.
pub fn via(before: Option<&[u8]>, name: &str) -> Vec<u8> {
    let mut value = Vec::new();
    write_names(&mut value, before, name);
    value
}

fn write_names(out: &mut Vec<u8>, before: Option<&[u8]>, name: &str) {
    if let Some(before) = before {
        out.extend_from_slice(before);
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(name.as_bytes());
}

fn is_ours(name: Name<'_>) -> bool {
    const OWN: Names<4> = Names::new(["host", "content-length", "transfer-encoding", "expect"]);
    OWN.contains(name) || name.as_bytes().get(..13).is_some_and(|start| start.eq_ignore_ascii_case(b"x-sidestream-"))
}
