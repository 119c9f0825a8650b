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
    /// A GET or HEAD for what models there are, or for one.
    Models {
        /// The model's name as sent: it may hold slashes, and percent-encoding ([`is_model`] compares it).
        id: Option<&'a str>,
        /// The path below the version, as sent: `models/gpt-4o`.
        path: &'a str,
        /// Judged by the headers.
        dialect: Dialect,
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

/// A Messages request.
pub const MESSAGES: &str = "messages";

/// Counts the tokens of a Messages request.
pub const COUNT_TOKENS: &str = "messages/count_tokens";

/// OpenAI's older completions.
pub const COMPLETIONS: &str = "completions";

/// Paths with a JSON body that names a model.
const JSON_PATHS: [(&str, Dialect); 6] = [
    ("chat/completions", Dialect::Chat),
    (COMPLETIONS, Dialect::Chat),
    ("embeddings", Dialect::Chat),
    ("responses", Dialect::Responses),
    (MESSAGES, Dialect::Messages),
    (COUNT_TOKENS, Dialect::Messages),
];

/// First segments that no provider's name shadows: those of the paths that are understood without `/v1`.
const OWN_SEGMENTS: [&str; 7] = ["v1", "models", "chat", "completions", "embeddings", "responses", "messages"];

/// Reads a request's endpoint, and the provider that a prefix of its path picks: `/groq/v1/chat/completions`. `find`
/// gives the index of an active provider of that name.
///
/// The paths with a JSON body and `models` are also understood without `/v1` and with it doubled, as wrong base URLs
/// produce them, with and without a prefix.
pub fn of(head: &RequestHead, find: impl Fn(&str) -> Option<usize>) -> (Option<usize>, Endpoint<'_>) {
    if let Some(endpoint) = usual(head) {
        return (None, endpoint);
    }
    let Ok(path) = std::str::from_utf8(head.path()) else { return (None, Endpoint::Unknown) };
    let (provider, path) = below_provider(path, find);
    if matches!(path, "" | "/") || head.is_asterisk() {
        return (provider, Endpoint::Root);
    }
    (provider, below_root(head, path))
}

/// What nearly all requests ask for, in the way that the dialects write it.
fn usual(head: &RequestHead) -> Option<Endpoint<'_>> {
    let path = head.path().strip_prefix(b"/v1/").filter(|_| head.method() == Method::Post)?;
    let (path, dialect) = JSON_PATHS.iter().find(|(known, _)| known.as_bytes() == path).copied()?;
    Some(Endpoint::Json { dialect, path })
}

/// The dialect of an error for a request whose path says nothing: judged by path, then headers. A prefix may be any
/// name: whether it is a provider's is what the error may be about.
pub fn dialect_of(head: &RequestHead) -> Dialect {
    match of(head, |_| Some(0)).1 {
        Endpoint::Json { dialect, .. } | Endpoint::Models { dialect, .. } | Endpoint::Other { dialect, .. } => dialect,
        Endpoint::Root | Endpoint::Unknown => implied(head, ""),
    }
}

/// Whether the raw `id` of a path, percent-decoded, is this model's name.
pub fn is_model(id: &str, name: &str) -> bool {
    let mut rest = id.as_bytes();
    let decoded = std::iter::from_fn(move || {
        let (&byte, mut after) = rest.split_first()?;
        let mut byte = byte;
        if let (b'%', [high, low, behind @ ..]) = (byte, after)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            (byte, after) = (high << 4 | low, behind);
        }
        rest = after;
        Some(byte)
    });
    decoded.eq(name.bytes())
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

/// The provider that the path's first segment names, and the path behind it.
fn below_provider(path: &str, find: impl Fn(&str) -> Option<usize>) -> (Option<usize>, &str) {
    let Some(inner) = path.strip_prefix('/') else { return (None, path) };
    let end = inner.find('/').unwrap_or(inner.len());
    let (first, rest) = inner.split_at_checked(end).unwrap_or((inner, ""));
    if first.is_empty() || OWN_SEGMENTS.contains(&first) {
        return (None, path);
    }
    match find(first) {
        Some(provider) => (Some(provider), rest),
        None => (None, path),
    }
}

fn below_root<'a>(head: &'a RequestHead, path: &'a str) -> Endpoint<'a> {
    let (versioned, path) = below_version(path);
    if let Some((path, dialect)) = JSON_PATHS.iter().find(|(known, _)| *known == path).copied()
        && head.method() == Method::Post
    {
        return Endpoint::Json { dialect, path };
    }
    let below_models = if path == "models" { Some("") } else { path.strip_prefix("models/") };
    if let Some(id) = below_models
        && matches!(head.method(), Method::Get | Method::Head)
    {
        return models(head, path, id);
    }
    let known = below_models.is_some() || JSON_PATHS.iter().any(|(known, _)| *known == path);
    if !(versioned || known) || !is_forwardable(path) {
        return Endpoint::Unknown;
    }
    Endpoint::Other { dialect: implied(head, path), path }
}

/// Names of models hold slashes (`meta-llama/llama-3.1-8b`), which clients encode or not; all else that an upstream
/// might normalise is refused here too, behind an encoded slash as well.
fn models<'a>(head: &RequestHead, path: &'a str, id: &'a str) -> Endpoint<'a> {
    if !is_forwardable(&path.to_ascii_lowercase().replace("%2f", "/")) {
        return Endpoint::Unknown;
    }
    Endpoint::Models { id: Some(id).filter(|id| !id.is_empty()), path, dialect: implied(head, path) }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
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
    let encoded = hides_something(path);
    let dots = path.split('/').any(|segment| segment == "." || segment == "..");
    let empty = path.is_empty() || path.contains("//") || path.contains('\\') || path.starts_with('/');
    !(encoded || dots || empty || lower.starts_with("organization"))
}

/// Whether a percent-encoding stands for what an upstream may take for itself: a character that needs none (RFC 3986
/// §2.3: `%6f` is `o`), a separator, or another encoding's `%`.
fn hides_something(path: &str) -> bool {
    path.split('%').skip(1).any(|code| {
        let digits = code.as_bytes().first_chunk::<2>().and_then(|[high, low]| Some(hex(*high)? << 4 | hex(*low)?));
        // What is no encoding at all is not understood alike by all either.
        digits.is_none_or(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/' | b'\\' | b'%' | 0)
        })
    })
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
        // `v1` and `chat` are provider names that nobody can reach by prefix.
        let names = ["groq", "my-box", "v1", "chat"];
        let (provider, endpoint) = of(&head, |name| names.iter().position(|known| *known == name));
        let endpoint = match endpoint {
            Endpoint::Json { dialect, path } => format!("json {} {path}", dialect.name()),
            Endpoint::Models { dialect, id, .. } => format!("models {} {}", dialect.name(), id.unwrap_or("-")),
            Endpoint::Other { dialect, path } => format!("other {} {path}", dialect.name()),
            Endpoint::Root => "root".into(),
            Endpoint::Unknown => "unknown".into(),
        };
        let prefix = provider.map_or(String::new(), |index| format!("{}: ", names[index]));
        prefix + &endpoint
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
            ("GET", "/v1/models", "models chat -"),
            ("HEAD", "/v1/models/", "models chat -"),
            ("GET", "/models/gpt-4o", "models chat gpt-4o"),
            ("GET", "/v1/v1/models?limit=9", "models chat -"),
            ("GET", "/v1/models/meta-llama/llama-3.1-8b:free", "models chat meta-llama/llama-3.1-8b:free"),
            ("GET", "/v1/models/meta-llama%2Fllama-3.1", "models chat meta-llama%2Fllama-3.1"),
            ("GET", "/v1/models/a/../../admin", "unknown"),
            ("GET", "/v1/models/a%2f..%2F..%2fadmin", "unknown"),
            ("GET", "/v1/models/a%2F%2Fb", "unknown"),
            ("GET", "/v1/models/%2e%2e/admin", "unknown"),
            ("GET", "/v1/models/%2Fadmin", "unknown"),
            ("GET", "/v1/models/a%5cb", "unknown"),
            ("DELETE", "/v1/models/ft:gpt-4o:org::id", "other chat models/ft:gpt-4o:org::id"),
            ("DELETE", "/v1/models/a%2Fb", "unknown"),
            ("GET", "/v1/models2", "other chat models2"),
            ("GET", "/models2", "unknown"),
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
            ("GET", "/v1/%6frganization/users", "unknown"),
            ("GET", "/v1/files/%2566", "unknown"),
            ("GET", "/v1/files/..%252f..", "unknown"),
            ("GET", "/v1/files/100%", "unknown"),
            ("GET", "/v1/organization/users", "unknown"),
            ("GET", "/v1/organizations/x", "unknown"),
        ] {
            assert_eq!(endpoint(method, target, ""), want, "{method} {target}");
        }
    }

    #[test]
    fn a_prefix_picks_a_provider() {
        for (method, target, want) in [
            ("POST", "/groq/v1/chat/completions", "groq: json chat chat/completions"),
            ("POST", "/groq/chat/completions", "groq: json chat chat/completions"),
            ("POST", "/groq/v1/v1/responses", "groq: json responses responses"),
            ("POST", "/my-box/v1/messages?beta=true", "my-box: json messages messages"),
            ("GET", "/groq/v1/models/groq/compound", "groq: models chat groq/compound"),
            ("GET", "/groq/models", "groq: models chat -"),
            ("POST", "/groq/v1/files", "groq: other chat files"),
            ("HEAD", "/groq", "groq: root"),
            ("HEAD", "/groq/", "groq: root"),
            // Only known paths go without a version, and only one prefix is taken off.
            ("POST", "/groq/files", "groq: unknown"),
            ("POST", "/groq/groq/v1/chat/completions", "groq: unknown"),
            ("POST", "/groq//v1/chat/completions", "groq: unknown"),
            ("GET", "/groq/v1/../admin", "groq: unknown"),
            ("GET", "/groq/v1/organization/users", "groq: unknown"),
            ("POST", "/other/v1/chat/completions", "unknown"),
            ("POST", "/v1/groq/chat/completions", "other chat groq/chat/completions"),
            // Our own first segments are no prefixes, whatever providers are called.
            ("POST", "/v1/chat/completions", "json chat chat/completions"),
            ("POST", "/chat/completions", "json chat chat/completions"),
            ("POST", "/chat/v1/messages", "unknown"),
        ] {
            assert_eq!(endpoint(method, target, ""), want, "{method} {target}");
        }
    }

    #[test]
    fn ids_are_compared_decoded() {
        for (id, name, want) in [
            ("gpt-4o", "gpt-4o", true),
            ("a/b", "a/b", true),
            ("a%2Fb%3a%66ree", "a/b:free", true),
            ("%C3%A9", "é", true),
            ("a%2", "a%2", true),
            ("a%zz", "a%zz", true),
            ("a%252Fb", "a/b", false),
            ("gpt-4", "gpt-4o", false),
            ("gpt-4o", "gpt-4", false),
        ] {
            assert_eq!(is_model(id, name), want, "{id} {name}");
        }
    }

    #[test]
    fn an_error_is_said_in_the_dialect_of_the_path_behind_any_prefix() {
        for (target, want) in [
            ("/nobody/v1/messages", Dialect::Messages),
            ("/nobody/v1/responses", Dialect::Responses),
            ("/nobody/v1/chat/completions", Dialect::Chat),
            ("/v1/messages", Dialect::Messages),
            ("/admin", Dialect::Chat),
        ] {
            let mut head = RequestHead::default();
            head.parse(format!("POST {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
            assert_eq!(dialect_of(&head), want, "{target}");
        }
    }

    #[test]
    fn headers_imply_the_dialect_of_a_path_that_does_not() {
        assert_eq!(endpoint("GET", "/v1/models", "anthropic-version: 2023-06-01\r\n"), "models messages -");
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
            (Method::Get, Endpoint::Models { id: None, path: "models", dialect: Dialect::Chat }, false, true),
            (Method::Get, other, false, true),
            (Method::Head, other, false, true),
            (Method::Delete, other, false, false),
        ] {
            assert_eq!(may_replay(method, &endpoint, stores), want, "{method:?} {endpoint:?} {stores}");
        }
    }
}
