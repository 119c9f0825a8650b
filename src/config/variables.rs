//! The table of variables, and the reader that turns an environment into values and problems.

use std::collections::BTreeMap;

use super::Problem;
use super::value::Wrong;

/// One variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name; those of a provider begin with `_`, its upper-case name goes before.
    pub name: &'static str,
    /// The default, written as a value would be; empty for none.
    pub default: &'static str,
    /// What it means, for `check` and the documentation.
    pub meaning: &'static str,
}

macro_rules! table {
    ($($name:literal = $default:literal, $meaning:literal;)*) => {
        &[$(Variable { name: $name, default: $default, meaning: $meaning },)*]
    };
}

/// Variables of the proxy, in the order of the documentation.
pub const VARIABLES: &[Variable] = table! {
    "SIDESTREAM_LISTEN" = "127.0.0.1:7730", "client addresses, comma list; unix:/path allowed";
    "SIDESTREAM_ADMIN" = "127.0.0.1:7731", "own endpoints: /healthz, /readyz, /metrics; or off";
    "SIDESTREAM_WORKERS" = "1", "event loops; auto = one per available core";
    "SIDESTREAM_DRIVER" = "auto", "io_uring, epoll, or auto";
    "SIDESTREAM_ALLOW_HOSTS" = "", "Host names accepted beside localhost, loopback and listen addresses";
    "SIDESTREAM_PROVIDERS" = "", "the active provider";
    "SIDESTREAM_ROUTES" = "", "pattern -> provider[/model]; rules separated by ; or new lines";
    "SIDESTREAM_BODY_MAX" = "64MiB", "one buffered request body";
    "SIDESTREAM_BUFFER_MAX" = "256MiB", "all buffered bodies together";
    "SIDESTREAM_DRAIN" = "30s", "grace for live requests after SIGTERM";
    "SIDESTREAM_DRAIN_DELAY" = "0s", "time to go on accepting after SIGTERM";
    "SIDESTREAM_HALF_CLOSE" = "abort", "allow: a client that shuts its sending side still gets its answer";
    "SIDESTREAM_LOG" = "info", "error, warn, info or debug";
};

/// Variables of each provider.
pub const PROVIDER_VARIABLES: &[Variable] = table! {
    "_ENDPOINT_URL" = "", "base URL of the provider's main face, version included";
    "_OPENAI_URL" = "", "base URL of its OpenAI face";
    "_ANTHROPIC_URL" = "", "base URL of its Anthropic face";
    "_API_KEY" = "", "the key its requests carry; client = pass the client's own";
    "_CONNECT_TIMEOUT" = "10s", "establishing a connection";
    "_FIRST_BYTE_TIMEOUT" = "600s", "from the request sent to the first byte of the answer";
    "_IDLE_TIMEOUT" = "300s", "between two pieces of an answer";
    "_KEEPALIVE_CONNECTIONS" = "20", "kept connections per worker";
    "_REPLAY" = "on", "off: never send a POST again after a stale connection";
};

/// The prefix of a provider's variables: upper case, `-` as `_`.
pub fn prefix(provider: &str) -> String {
    provider.to_ascii_uppercase().replace('-', "_")
}

/// `[a-z][a-z0-9-]*`, exactly one in this version.
pub fn one_provider(text: &str) -> Result<String, Wrong> {
    let valid = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    match text.split(',').map(str::trim).collect::<Vec<_>>().as_slice() {
        [""] => Err("is not set; name the provider, e.g. vllm".into()),
        [name] if valid(name) => Ok((*name).to_owned()),
        [_] => Err("is no provider name; use lower-case letters, digits and -".into()),
        _ => Err("names several providers; this version carries one".into()),
    }
}

/// A key that fits into a header field.
pub fn key(text: &str) -> Result<String, Wrong> {
    match text.trim() {
        "" => Err("is empty; unset it, or write the key".into()),
        key if key.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(key.to_owned()),
        _ => Err("holds spaces, line breaks or non-ASCII characters; write the bare key".into()),
    }
}

/// A number of connections.
pub fn count(text: &str) -> Result<usize, Wrong> {
    text.parse().ok().filter(|count| *count <= 10_000).ok_or_else(|| "is no number from 0 to 10000".to_owned())
}

/// `on` or `off`.
pub fn on_off(text: &str) -> Result<bool, Wrong> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("must be on or off".into()),
    }
}

/// Reads values by name and collects problems.
pub struct Reader {
    environment: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl Reader {
    /// A reader of these variables.
    pub fn new(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { environment: environment.into_iter().collect(), problems: Vec::new() }
    }

    /// A variable of the proxy: what is set, else the table's default. After a problem the value is a stand-in, so that
    /// reading goes on to the next problem; [`Reader::finish`] refuses the whole.
    pub fn parse<T: Default>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> T {
        self.parse_as(name, name, parse)
    }

    /// A variable whose default stands in the tables under `row`.
    pub fn parse_as<T: Default>(&mut self, row: &str, name: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> T {
        let rows = VARIABLES.iter().chain(PROVIDER_VARIABLES);
        let default = rows.into_iter().find(|variable| variable.name == row).map_or("", |variable| variable.default);
        let text = self.environment.get(name).map_or(default, String::as_str);
        match parse(text) {
            Ok(value) => value,
            Err(what) => {
                self.problem(name, &what);
                parse(default).unwrap_or_else(|_| T::default())
            }
        }
    }

    /// A variable without a default.
    pub fn optional<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        match parse(self.environment.get(name)?) {
            Ok(value) => Some(value),
            Err(what) => {
                self.problem(name, &what);
                None
            }
        }
    }

    /// Notes a problem.
    pub fn problem(&mut self, name: &str, what: &str) {
        // A URL with `@` holds a password.
        let value = self.environment.get(name).filter(|value| !name.ends_with("_API_KEY") && !value.contains('@'));
        let variable = value.map_or(name.to_owned(), |value| format!("{name}={value:?}"));
        self.problems.push(Problem { variable, what: what.to_owned() });
    }

    /// Whether anything was wrong so far.
    pub fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// The configuration, unless there were problems.
    pub fn finish<T>(self, value: T) -> Result<T, Vec<Problem>> {
        if self.problems.is_empty() { Ok(value) } else { Err(self.problems) }
    }

    /// Names of the active provider's variables.
    pub fn provider_variables(&self) -> Vec<String> {
        let name = self.environment.get("SIDESTREAM_PROVIDERS").map_or("", String::as_str);
        match one_provider(name) {
            Ok(name) => PROVIDER_VARIABLES.iter().map(|row| format!("{}{}", prefix(&name), row.name)).collect(),
            Err(_) => Vec::new(),
        }
    }

    /// A value as `check` shows it.
    pub fn shown(&self, name: &str) -> String {
        let default = VARIABLES.iter().chain(PROVIDER_VARIABLES).find(|row| name.ends_with(row.name));
        match self.environment.get(name) {
            Some(_) if name.ends_with("_API_KEY") => "set".into(),
            Some(value) => value.clone(),
            None => default.filter(|row| !row.default.is_empty()).map_or("unset".into(), |row| row.default.into()),
        }
    }
}
