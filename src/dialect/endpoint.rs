//! What a request's method and target ask for.

use super::Dialect;
use crate::http::head::{Method, RequestHead};

/// Where a request belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint<'a> {
    /// A POST with a JSON body that names a model: buffered, looked into, and routed.
    Json {
        /// The dialect spoken.
        dialect: Dialect,
        /// The path below the version: `chat/completions`.
        path: &'static str,
    },
    /// Anything else of a provider: streamed through both ways.
    Other {
        /// Judged by the headers.
        dialect: Dialect,
        /// The path below the version, as sent: `files/file-1/content`.
        path: &'a str,
    },
    /// `/` and `*`: answered here; clients probe them before they send anything.
    Root,
    /// A path we never forward.
    Unknown,
}

/// Paths with a JSON body that names a model.
const JSON_PATHS: [(&str, Dialect); 6] = [
    ("chat/completions", Dialect::Chat),
    ("completions", Dialect::Chat),
    ("embeddings", Dialect::Chat),
    ("responses", Dialect::Responses),
    ("messages", Dialect::Messages),
    ("messages/count_tokens", Dialect::Messages),
];

/// Reads a request's endpoint. The paths with a JSON body and `models` are also understood without `/v1` and with it
/// doubled, as wrong base URLs produce them.
pub fn of(head: &RequestHead) -> Endpoint<'_> {
    let Ok(path) = std::str::from_utf8(head.path()) else { return Endpoint::Unknown };
    if path == "/" || head.is_asterisk() {
        return Endpoint::Root;
    }
    let (versioned, path) = below_version(path);
    if let Some((path, dialect)) = JSON_PATHS.iter().find(|(known, _)| *known == path).copied()
        && head.method() == Method::Post
    {
        return Endpoint::Json { dialect, path };
    }
    let known = path == "models" || path.starts_with("models/") || JSON_PATHS.iter().any(|(known, _)| *known == path);
    if !(versioned || known) || !is_forwardable(path) {
        return Endpoint::Unknown;
    }
    Endpoint::Other { dialect: implied(head, path), path }
}

/// The dialect of an error for a request whose path says nothing: judged by path, then headers.
pub fn dialect_of(head: &RequestHead) -> Dialect {
    match of(head) {
        Endpoint::Json { dialect, .. } | Endpoint::Other { dialect, .. } => dialect,
        Endpoint::Root | Endpoint::Unknown => implied(head, ""),
    }
}

/// True when a POST to this path may be sent once more after a kept connection failed before any byte of an answer
/// (RFC 9110 §9.2.2 forbids it for what may have had an effect; a completion that never began had none).
/// A response that is stored has an effect: `stores` says whether the body left `store` on.
pub fn may_replay(method: Method, endpoint: &Endpoint<'_>, stores: bool) -> bool {
    match endpoint {
        Endpoint::Json { dialect: Dialect::Responses, .. } => !stores,
        Endpoint::Json { .. } => true,
        _ => matches!(method, Method::Get | Method::Head),
    }
}

fn below_version(path: &str) -> (bool, &str) {
    match path.strip_prefix("/v1/") {
        Some(rest) => (true, rest.strip_prefix("v1/").unwrap_or(rest)),
        None => (false, path.strip_prefix('/').unwrap_or(path)),
    }
}

/// Refused: organisation keys and members (an application's key has no business there), and whatever an upstream might
/// normalise into another path than the one we judged.
fn is_forwardable(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let encoded = ["%2e", "%2f", "%5c", "%00"].iter().any(|code| lower.contains(code));
    let dots = path.split('/').any(|segment| segment == "." || segment == "..");
    let empty = path.is_empty() || path.contains("//") || path.contains('\\') || path.starts_with('/');
    !(encoded || dots || empty || lower.starts_with("organization"))
}

/// Anthropic's clients always send `anthropic-version`; its newer SDKs send their key as a bearer token.
fn implied(head: &RequestHead, path: &str) -> Dialect {
    let anthropic = head.get("anthropic-version").is_some() || head.get("x-api-key").is_some();
    match path.split('/').next() {
        Some("messages") => Dialect::Messages,
        Some("responses") => Dialect::Responses,
        _ if anthropic => Dialect::Messages,
        _ => Dialect::Chat,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(method: &str, target: &str, fields: &str) -> String {
        let mut head = RequestHead::default();
        head.parse(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes()).unwrap();
        match of(&head) {
            Endpoint::Json { dialect, path } => format!("json {} {path}", dialect.name()),
            Endpoint::Other { dialect, path } => format!("other {} {path}", dialect.name()),
            Endpoint::Root => "root".into(),
            Endpoint::Unknown => "unknown".into(),
        }
    }

    #[test]
    fn paths() {
        for (method, target, want) in [
            ("POST", "/v1/chat/completions", "json chat chat/completions"),
            ("POST", "/chat/completions", "json chat chat/completions"),
            ("POST", "/v1/v1/chat/completions", "json chat chat/completions"),
            ("POST", "/v1/messages?beta=true", "json messages messages"),
            ("POST", "/v1/messages/count_tokens", "json messages messages/count_tokens"),
            ("POST", "/v1/responses", "json responses responses"),
            ("POST", "/v1/embeddings", "json chat embeddings"),
            ("GET", "/v1/models", "other chat models"),
            ("GET", "/models/gpt-4o", "other chat models/gpt-4o"),
            ("GET", "/v1/chat/completions", "other chat chat/completions"),
            ("GET", "/v1/responses/resp_1", "other responses responses/resp_1"),
            ("POST", "/v1/messages/batches", "other messages messages/batches"),
            ("POST", "/v1/files", "other chat files"),
            ("GET", "/v1/files/a%20b/content", "other chat files/a%20b/content"),
            ("GET", "/", "root"),
            ("HEAD", "/", "root"),
            ("OPTIONS", "*", "root"),
            ("POST", "/files", "unknown"),
            ("GET", "/admin", "unknown"),
            ("GET", "/v1/../admin", "unknown"),
            ("GET", "/v1/%2e%2e/admin", "unknown"),
            ("GET", "/v1/a%2Fb", "unknown"),
            ("GET", "/v1/a\\b", "unknown"),
            ("GET", "/v1//files", "unknown"),
            ("GET", "/v1/files//x", "unknown"),
            ("GET", "/v1/", "unknown"),
            ("GET", "/v1", "unknown"),
            ("GET", "/v1/organization/users", "unknown"),
            ("GET", "/v1/organizations/x", "unknown"),
        ] {
            assert_eq!(endpoint(method, target, ""), want, "{method} {target}");
        }
    }

    #[test]
    fn headers_imply_the_dialect_of_a_path_that_does_not() {
        assert_eq!(endpoint("GET", "/v1/models", "anthropic-version: 2023-06-01\r\n"), "other messages models");
        assert_eq!(endpoint("GET", "/v1/files", "x-api-key: k\r\n"), "other messages files");
    }

    #[test]
    fn only_what_has_no_effect_is_replayed() {
        let json = |dialect| Endpoint::Json { dialect, path: "" };
        let other = Endpoint::Other { dialect: Dialect::Chat, path: "files" };
        for (method, endpoint, stores, want) in [
            (Method::Post, json(Dialect::Chat), true, true),
            (Method::Post, json(Dialect::Messages), true, true),
            (Method::Post, json(Dialect::Responses), true, false),
            (Method::Post, json(Dialect::Responses), false, true),
            (Method::Post, other, false, false),
            (Method::Get, other, false, true),
            (Method::Head, other, false, true),
            (Method::Delete, other, false, false),
        ] {
            assert_eq!(may_replay(method, &endpoint, stores), want, "{method:?} {endpoint:?} {stores}");
        }
    }
}
