//! Environment → typed configuration. Pure: the variables come as an argument; all problems are reported at once.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod provider;
mod secret;
pub mod value;
pub mod variables;

use core::net::SocketAddr;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use secret::Secret;

use crate::route::Routes;
use crate::telemetry::log::Level;
use variables::{Reader, VARIABLES};

/// What one sidestream runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Client addresses.
    pub listen: Vec<Listen>,
    /// Address of the own endpoints.
    pub admin: Option<Listen>,
    /// Event loops.
    pub workers: Workers,
    /// Which driver is wanted.
    pub driver: DriverChoice,
    /// Host names accepted beside the loopback ones and the listen addresses, lower-cased.
    pub allow_hosts: Vec<String>,
    /// The upstream.
    pub provider: Provider,
    /// Which model name goes where.
    pub routes: Routes,
    /// Bytes of one buffered request body.
    pub body_max: u64,
    /// Bytes of all buffered bodies.
    pub buffer_max: u64,
    /// Grace for live requests after SIGTERM.
    pub drain: Duration,
    /// Time to go on accepting after SIGTERM.
    pub drain_delay: Duration,
    /// A client that only shuts its sending side still gets its answer.
    pub half_close: bool,
    /// Which log lines are written.
    pub level: Level,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address; port 0 takes any free one.
    Tcp(SocketAddr),
    /// The path of a UNIX socket.
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How many event loops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Workers {
    /// One per available core.
    #[default]
    Auto,
    /// So many.
    Count(usize),
}

/// Which driver is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// io_uring where it is allowed, else epoll.
    #[default]
    Auto,
    /// io_uring or an error.
    IoUring,
    /// epoll.
    Epoll,
}

/// An upstream.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name, `[a-z][a-z0-9-]*`.
    pub name: String,
    /// Base of its OpenAI face.
    pub openai: Option<Base>,
    /// Base of its Anthropic face.
    pub anthropic: Option<Base>,
    /// Whose credential its requests carry.
    pub credential: Credential,
    /// Establishing a connection.
    pub connect_timeout: Duration,
    /// From the request sent to the first byte of the answer.
    pub first_byte_timeout: Duration,
    /// Between two pieces of an answer.
    pub idle_timeout: Duration,
    /// Kept connections per worker and origin.
    pub keepalive_connections: usize,
    /// A POST that failed on a stale connection may be sent once more.
    pub replay: bool,
}

/// Whose credential goes upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The provider's own key; nothing of the client's.
    Key(Secret),
    /// What the client sent.
    Client,
    /// None.
    Nobody,
}

/// The base URL of a face, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// `host:port` as written, for the `Host` field.
    pub authority: String,
    /// The host alone, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path that request paths are appended to, without a final slash.
    pub path: String,
}

/// One thing to mend. Its text names the variable, what is wrong, and the remedy; never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The variable, with its value if that is no secret.
    pub variable: String,
    /// What is wrong with it, and what to write.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.variable, self.what)
    }
}

impl Config {
    /// Reads a configuration from environment variables.
    ///
    /// # Errors
    /// Every problem found, in the order of the table of variables.
    pub fn read(environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, Vec<Problem>> {
        let mut from = Reader::new(environment);
        let provider = provider(&mut from);
        let routes = from.parse("SIDESTREAM_ROUTES", |text| {
            Routes::parse(text, &[routable(&provider)]).map_err(|problems| problems.join("; it "))
        });
        let config = Self {
            listen: from.parse("SIDESTREAM_LISTEN", value::listen),
            admin: from.parse("SIDESTREAM_ADMIN", value::admin),
            workers: from.parse("SIDESTREAM_WORKERS", value::workers),
            driver: from.parse("SIDESTREAM_DRIVER", value::driver),
            allow_hosts: from.parse("SIDESTREAM_ALLOW_HOSTS", value::hosts),
            provider,
            routes,
            body_max: from.parse("SIDESTREAM_BODY_MAX", value::size),
            buffer_max: from.parse("SIDESTREAM_BUFFER_MAX", value::size),
            drain: from.parse("SIDESTREAM_DRAIN", value::duration),
            drain_delay: from.parse("SIDESTREAM_DRAIN_DELAY", value::duration),
            half_close: from.parse("SIDESTREAM_HALF_CLOSE", value::half_close),
            level: from.parse("SIDESTREAM_LOG", value::level),
        };
        from.finish(config)
    }

    /// The admin address alone, for `health`.
    ///
    /// # Errors
    /// Its variable is wrong.
    pub fn admin(environment: impl IntoIterator<Item = (String, String)>) -> Result<Option<Listen>, Vec<Problem>> {
        let mut from = Reader::new(environment);
        let admin = from.parse("SIDESTREAM_ADMIN", value::admin);
        from.finish(admin)
    }

    /// Every variable with its effective value, for `check`; secrets as `set`.
    pub fn table(environment: impl IntoIterator<Item = (String, String)>) -> Vec<(String, String)> {
        let from = Reader::new(environment);
        let own = VARIABLES.iter().map(|variable| variable.name.to_owned());
        own.chain(from.provider_variables()).map(|name| (from.shown(&name), name)).map(|(v, n)| (n, v)).collect()
    }
}

/// The provider as the routes see it: its name and its faces.
fn routable(provider: &Provider) -> Arc<provider::Provider> {
    let base = |base: &Base| provider::Base {
        tls: false,
        authority: base.authority.clone(),
        host: base.host.clone(),
        port: base.port,
        path: base.path.clone(),
        proxy: None,
    };
    Arc::new(provider::Provider {
        name: provider.name.clone(),
        openai: provider.openai.as_ref().map(base),
        anthropic: provider.anthropic.as_ref().map(base),
        credential: provider::Credential::Nobody,
        openai_auth: provider::Auth::default(),
        anthropic_auth: provider::Auth::default(),
        headers: Vec::new(),
        roots: None,
        timeout: None,
        connect_timeout: provider.connect_timeout,
        first_byte_timeout: provider.first_byte_timeout,
        idle_timeout: provider.idle_timeout,
        max_connections: 1,
        keepalive_connections: provider.keepalive_connections,
        warm_connections: 0,
        replay: provider.replay,
    })
}

/// The one upstream of this version: the first name of `SIDESTREAM_PROVIDERS`.
fn provider(from: &mut Reader) -> Provider {
    let name = from.parse("SIDESTREAM_PROVIDERS", variables::one_provider);
    let prefix = variables::prefix(&name);
    let variable = |suffix: &str| format!("{prefix}_{suffix}");
    let endpoint = from.optional(&variable("ENDPOINT_URL"), value::base);
    let openai = from.optional(&variable("OPENAI_URL"), value::base);
    let anthropic = from.optional(&variable("ANTHROPIC_URL"), value::base);
    // `_ENDPOINT_URL` is the provider's main face: Anthropic's for `anthropic`, OpenAI's for all others.
    let (openai, anthropic) = match name == "anthropic" {
        true => (openai, anthropic.or(endpoint)),
        false => (openai.or(endpoint), anthropic),
    };
    if openai.is_none() && anthropic.is_none() && !name.is_empty() && !from.has_problems() {
        let remedy = "is not set: the provider has no address; write e.g. http://127.0.0.1:8000/v1";
        from.problem(&variable("ENDPOINT_URL"), remedy);
    }
    let credential = match from.optional(&variable("API_KEY"), variables::key) {
        Some(key) if key == "client" => Credential::Client,
        Some(key) => Credential::Key(Secret::new(&key)),
        None => Credential::Nobody,
    };
    Provider {
        openai,
        anthropic,
        credential,
        connect_timeout: from.parse_as("_CONNECT_TIMEOUT", &variable("CONNECT_TIMEOUT"), value::duration),
        first_byte_timeout: from.parse_as("_FIRST_BYTE_TIMEOUT", &variable("FIRST_BYTE_TIMEOUT"), value::duration),
        idle_timeout: from.parse_as("_IDLE_TIMEOUT", &variable("IDLE_TIMEOUT"), value::duration),
        keepalive_connections: from.parse_as(
            "_KEEPALIVE_CONNECTIONS",
            &variable("KEEPALIVE_CONNECTIONS"),
            variables::count,
        ),
        replay: from.parse_as("_REPLAY", &variable("REPLAY"), variables::on_off),
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let pairs = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Config::read(pairs).map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    const MINIMAL: [(&str, &str); 2] =
        [("SIDESTREAM_PROVIDERS", "mock"), ("MOCK_ENDPOINT_URL", "http://127.0.0.1:9/v1")];

    #[test]
    fn one_provider_is_enough() {
        let config = read(&MINIMAL).unwrap();
        assert_eq!(config.listen, [Listen::Tcp("127.0.0.1:7730".parse().unwrap())]);
        assert_eq!(config.provider.name, "mock");
        assert_eq!(config.provider.credential, Credential::Nobody);
        assert_eq!(config.provider.first_byte_timeout, Duration::from_secs(600));
        assert_eq!(config.body_max, 64 << 20);
        assert!(config.provider.anthropic.is_none());
    }

    #[test]
    fn the_main_face_is_anthropic_for_anthropic() {
        let config = read(&[("SIDESTREAM_PROVIDERS", "anthropic"), ("ANTHROPIC_ENDPOINT_URL", "http://a")]).unwrap();
        assert!(config.provider.openai.is_none());
        assert_eq!(config.provider.anthropic.unwrap().authority, "a");
    }

    #[test]
    fn all_problems_at_once_each_naming_its_variable() {
        let problems = read(&[
            ("SIDESTREAM_PROVIDERS", "mock"),
            ("MOCK_ENDPOINT_URL", "http://user:canary@a/"),
            ("SIDESTREAM_LISTEN", "nowhere"),
            ("SIDESTREAM_BODY_MAX", "huge"),
            ("SIDESTREAM_DRAIN", "soon"),
            ("MOCK_CONNECT_TIMEOUT", "1y"),
            ("MOCK_API_KEY", "sk\ncanary"),
        ])
        .unwrap_err();
        for name in [
            "SIDESTREAM_LISTEN=\"nowhere\"",
            "SIDESTREAM_BODY_MAX",
            "SIDESTREAM_DRAIN",
            "MOCK_CONNECT_TIMEOUT",
            "MOCK_ENDPOINT_URL",
            "MOCK_API_KEY",
        ] {
            assert!(problems.iter().any(|problem| problem.starts_with(name)), "{name} in {problems:?}");
        }
        assert!(!problems.join(" ").contains("canary"));
    }

    #[test]
    fn a_key_shows_only_that_it_is_set() {
        let pairs = [("MOCK_API_KEY".to_owned(), "sk-canary".to_owned())];
        let table = Config::table(pairs.into_iter().chain(MINIMAL.map(|(n, v)| (n.to_owned(), v.to_owned()))));
        assert!(table.contains(&("MOCK_API_KEY".to_owned(), "set".to_owned())));
        assert!(!format!("{table:?}").contains("canary"));
    }
}
