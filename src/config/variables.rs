//! The table of variables: the one place where a variable's name, default and meaning stand.

use super::value::{self, Wrong};

/// One variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name; those of a provider begin with `_`, the provider's [`prefix`] goes before.
    pub name: &'static str,
    /// The default, written as a value would be; empty for none, or where it depends on others.
    pub default: &'static str,
    /// What it means, for `check` and the documentation.
    pub meaning: &'static str,
    /// What of its value may be shown.
    pub shows: Shows,
    /// For variables of later versions: the form that a value must have already now. They have no effect yet.
    pub later: Option<Form>,
}

/// Whether a value has a form; if not, what is wrong with it.
pub type Form = fn(&str) -> Result<(), Wrong>;

/// What of a variable's value may be shown to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// All of it.
    Value,
    /// A URL, unless it holds what may be a secret: a user, a query, a fragment.
    Url,
    /// A path; something else than a path may be a key that was put into the wrong variable.
    Path,
    /// Only that it is set: it is a secret.
    Nothing,
}

impl Variable {
    const fn new(name: &'static str, default: &'static str, meaning: &'static str) -> Self {
        Self { name, default, meaning, shows: Shows::Value, later: None }
    }

    const fn shows(self, shows: Shows) -> Self {
        Self { shows, ..self }
    }

    const fn later(self, form: Form) -> Self {
        Self { later: Some(form), ..self }
    }
}

impl Shows {
    /// The value, if it may be shown.
    pub fn of(self, value: &str) -> Option<&str> {
        // Longer ones are pasted keys and certificates more often than anything worth reading in a message.
        const LONGEST: usize = 512;
        let may = match self {
            Self::Value => true,
            Self::Url => value == "off" || (value.contains("://") && !value.contains(['@', '?', '#', '\\'])),
            Self::Path => value.starts_with(['/', '.']) && !value.contains('\n'),
            // Words of ours that stand where a secret could.
            Self::Nothing => matches!(value.trim(), "none" | "client"),
        };
        Some(value).filter(|value| may && value.len() <= LONGEST)
    }
}

/// Variables of the proxy, in the order of the documentation.
pub const VARIABLES: &[Variable] = &[
    Variable::new("SIDESTREAM_LISTEN", "127.0.0.1:7730", "client addresses, comma list; unix:/path allowed"),
    Variable::new("SIDESTREAM_ADMIN", "127.0.0.1:7731", "own endpoints: /healthz, /readyz, /metrics, /stop; or off"),
    Variable::new("SIDESTREAM_WORKERS", "1", "event loops; auto = one per available core"),
    Variable::new("SIDESTREAM_DRIVER", "auto", "io_uring, epoll, or auto"),
    Variable::new("SIDESTREAM_TOKENS", "", "tokens clients must present, comma list; or none").shows(Shows::Nothing),
    Variable::new("SIDESTREAM_ALLOW_HOSTS", "", "Host names accepted beside localhost, loopback and listen addresses"),
    Variable::new("SIDESTREAM_ALLOW_ORIGINS", "", "browser origins accepted, comma list"),
    Variable::new("SIDESTREAM_PROVIDERS", "", "the active providers, in order; unset: those with a key or URL"),
    Variable::new("SIDESTREAM_ROUTES", "", "pattern -> provider[/model]; rules separated by ; or new lines"),
    Variable::new("SIDESTREAM_BODY_MAX", "64MiB", "one buffered request body"),
    Variable::new("SIDESTREAM_BUFFER_MAX", "256MiB", "all buffered bodies together"),
    Variable::new(
        "SIDESTREAM_HOLD",
        "3s",
        "longest time that a stream's head waits for its first event, so that an error there can be retried; 0 = never",
    ),
    Variable::new("SIDESTREAM_PING", "15s", "silence of a stream after which a ping is sent; 0 = never"),
    Variable::new("SIDESTREAM_STRATEGY", "", "order of a rule's targets: order, weight, latency, cost or score"),
    Variable::new("SIDESTREAM_STICKY", "on", "off: a conversation need not stay at one target"),
    Variable::new(
        "SIDESTREAM_HEDGE",
        "0",
        "per cent of requests that a late first token may send to a second target too",
    ),
    Variable::new("SIDESTREAM_DEADLINE", "", "whole request, over all tries"),
    Variable::new("SIDESTREAM_MAX_TRIES", "4", "tries of one request, over all targets"),
    Variable::new(
        "SIDESTREAM_WARM_UP",
        "",
        "at the start: connect = spare connections are opened; call = and models that rules name asked for one token; off",
    ),
    Variable::new("SIDESTREAM_DRAIN", "30s", "grace for live requests after SIGTERM"),
    Variable::new("SIDESTREAM_DRAIN_DELAY", "0s", "time to go on accepting after SIGTERM"),
    Variable::new("SIDESTREAM_CHORES", "none", "chores of Claude Code answered here: all, or names in a comma list"),
    Variable::new("SIDESTREAM_STRICT", "0", "1: refuse a translation that would lose something"),
    Variable::new("SIDESTREAM_USAGE", "0", "1: ask the upstream for usage also on same-dialect streams")
        .later(value::is_switch),
    Variable::new(
        "SIDESTREAM_CONTEXT",
        "",
        "model:tokens list: real windows; names may hold *, tokens end with k or m",
    ),
    Variable::new(
        "SIDESTREAM_EXPECTED_CONTEXT",
        "",
        "dialect:tokens list: the windows that its clients believe in; off = real numbers",
    ),
    Variable::new("SIDESTREAM_PRICES", "", "a table of prices that hold over the built-in ones").shows(Shows::Path),
    Variable::new("SIDESTREAM_MEMORY_MAX", "", "resident ceiling: new work is shed before it is crossed")
        .later(value::is_size),
    Variable::new(
        "SIDESTREAM_HALF_CLOSE",
        "abort",
        "allow: a client that shuts its sending side still gets its answer",
    ),
    Variable::new("SIDESTREAM_CA_FILE", "", "extra root certificates for all providers").shows(Shows::Path),
    Variable::new("SIDESTREAM_TLS_CERT", "", "certificate chain of the client side").shows(Shows::Path),
    Variable::new("SIDESTREAM_TLS_KEY", "", "its private key").shows(Shows::Path),
    Variable::new("SIDESTREAM_TLS_CLIENT_CA", "", "roots that clients' certificates must lead to").shows(Shows::Path),
    Variable::new("SIDESTREAM_LOG", "info", "error, warn, info or debug"),
    Variable::new("SIDESTREAM_LOG_FORMAT", "text", "text or json"),
    Variable::new("HTTPS_PROXY", "", "HTTP proxy for https upstreams: http://[user:password@]host:port")
        .shows(Shows::Url),
    Variable::new("NO_PROXY", "", "hosts, domains, addresses and networks not behind that proxy"),
];

/// Variables of each provider.
pub const PROVIDER_VARIABLES: &[Variable] = &[
    Variable::new("_API_KEY", "", "the key its requests carry; client = pass the client's own").shows(Shows::Nothing),
    Variable::new("_API_KEYS", "", "several keys, comma list").shows(Shows::Nothing),
    Variable::new("_API_KEY_FILE", "", "a file that holds the key").shows(Shows::Path),
    Variable::new("_ENDPOINT_URL", "", "base URL of the provider's main face, version included").shows(Shows::Url),
    Variable::new("_OPENAI_URL", "", "base URL of its OpenAI face; off = it has none").shows(Shows::Url),
    Variable::new("_ANTHROPIC_URL", "", "base URL of its Anthropic face; off = it has none").shows(Shows::Url),
    Variable::new("_TIMEOUT", "", "the whole answer"),
    Variable::new("_CONNECT_TIMEOUT", "10s", "establishing a connection, before TLS"),
    Variable::new("_TLS_TIMEOUT", "10s", "the TLS handshake of a connection"),
    Variable::new("_FIRST_BYTE_TIMEOUT", "600s", "from the request sent to the first byte of the answer"),
    Variable::new("_IDLE_TIMEOUT", "300s", "between two pieces of an answer"),
    Variable::new("_MAX_RETRIES", "2", "extra tries on this provider"),
    Variable::new("_REQUESTS_PER_MINUTE", "", "what each key may be used for; more waits"),
    Variable::new("_TOKENS_PER_MINUTE", "", "the same for tokens of input and output together"),
    Variable::new("_BREAKER", "on", "off: neither it nor its keys are passed over for failures"),
    Variable::new("_REPLAY", "on", "off: never send a POST again after a stale connection"),
    Variable::new("_MAX_CONNECTIONS", "100", "connections, and so requests at once, per worker"),
    Variable::new("_QUEUE", "1000", "requests per worker that wait for one of them"),
    Variable::new("_QUEUE_TIMEOUT", "30s", "how long they wait"),
    Variable::new("_KEEPALIVE_CONNECTIONS", "20", "kept connections per worker"),
    Variable::new("_WARM_CONNECTIONS", "1", "spare connections per worker"),
    Variable::new("_PROFILE", "", "vendor profile for translated requests: a name, and settings after commas"),
    Variable::new("_HEADERS", "", "extra static headers, name: value per line or ;").shows(Shows::Nothing),
    Variable::new("_CA_FILE", "", "extra root certificates for this provider alone").shows(Shows::Path),
    Variable::new("_PROXY", "", "HTTP proxy for this provider alone; off = none").shows(Shows::Url),
];

/// A variable's row, by the name that stands in the table.
pub fn row(name: &str) -> Option<&'static Variable> {
    VARIABLES.iter().chain(PROVIDER_VARIABLES).find(|variable| variable.name == name)
}

/// The prefix of a provider's variables: upper case, `-` as `_`.
pub fn prefix(provider: &str) -> String {
    provider.to_ascii_uppercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_once_and_every_later_default_has_its_form() {
        for variable in VARIABLES.iter().chain(PROVIDER_VARIABLES) {
            let same = VARIABLES.iter().chain(PROVIDER_VARIABLES).filter(|other| other.name == variable.name);
            assert_eq!(same.count(), 1, "{}", variable.name);
            if let Some(form) = variable.later.filter(|_| !variable.default.is_empty()) {
                assert_eq!(form(variable.default), Ok(()), "{}", variable.name);
            }
        }
    }

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        for (shows, value, want) in [
            (Shows::Value, "1", true),
            (Shows::Value, &"x".repeat(513), false),
            (Shows::Url, "http://a/v1", true),
            (Shows::Url, "http://user:secret@a/", false),
            (Shows::Url, "http://a/?key=secret", false),
            (Shows::Url, "sk-secret", false),
            (Shows::Path, "/run/secrets/key", true),
            (Shows::Path, "sk-secret", false),
            (Shows::Path, "-----BEGIN PRIVATE KEY-----\nsecret", false),
            (Shows::Nothing, "secret", false),
        ] {
            assert_eq!(shows.of(value).is_some(), want, "{value}");
        }
    }
}
