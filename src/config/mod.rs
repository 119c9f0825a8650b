//! Environment → typed configuration. Pure: the variables come as an argument; all problems are reported at once.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod env_file;
mod exposure;
mod headers;
pub mod known;
mod names;
mod outbound;
pub mod provider;
mod reader;
mod secret;
mod table;
mod upstream;
mod url;
pub mod value;
pub mod variables;

use core::net::SocketAddr;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use provider::{Auth, Base, ClientSideTls, Credential, Pem, Provider, Proxy};
pub use secret::Secret;
pub use value::LogFormat;

use crate::route::Routes;
use crate::telemetry::log::Level;
use reader::Reader;
use value::Wrong;
use variables::VARIABLES;

/// Everything that a configuration is made of.
pub struct Source<'a> {
    /// The process environment.
    pub environment: Vec<(String, String)>,
    /// Path and text of the env file. The process environment wins over it.
    pub env_file: Option<(String, String)>,
    /// Reads the files that variables name. Its error is the end of a sentence, without anything of the content.
    pub read_file: &'a dyn Fn(&str) -> Result<Vec<u8>, String>,
}

impl Source<'static> {
    /// Variables alone: no env file, and no file can be read.
    pub fn of(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        let read_file = &|_: &str| Err("no files are read here".to_owned());
        Self { environment: environment.into_iter().collect(), env_file: None, read_file }
    }
}

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
    /// What clients must present; empty if nothing.
    pub tokens: Vec<Secret>,
    /// Host names accepted beside the loopback ones and the listen addresses, lower-cased.
    pub allow_hosts: Vec<String>,
    /// Browser origins accepted, lower-cased.
    pub allow_origins: Vec<String>,
    /// The active providers, at least one, in order of preference.
    pub providers: Vec<Arc<Provider>>,
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
    /// Extra root certificates for all providers.
    pub roots: Option<Pem>,
    /// TLS on the client addresses.
    pub tls: Option<ClientSideTls>,
    /// Which log lines are written.
    pub level: Level,
    /// How they are written.
    pub log_format: LogFormat,
    /// What need not be mended, but should be known: whole sentences, without secrets.
    pub warnings: Vec<String>,
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
    /// Reads a configuration.
    ///
    /// # Errors
    /// Every problem found, in the order of the table of variables.
    pub fn read(source: &Source<'_>) -> Result<Self, Vec<Problem>> {
        let mut from = Reader::new(source);
        let names = upstream::active(&mut from);
        names::check(&mut from, &names);
        let providers = upstream::read_all(&mut from, &names);
        let routes = Routes::parse(from.get("SIDESTREAM_ROUTES").unwrap_or_default(), &providers);
        let config = Self {
            listen: from.parse("SIDESTREAM_LISTEN", value::listen),
            admin: from.parse("SIDESTREAM_ADMIN", value::admin),
            workers: from.parse("SIDESTREAM_WORKERS", value::workers),
            driver: from.parse("SIDESTREAM_DRIVER", value::driver),
            tokens: from.optional("SIDESTREAM_TOKENS", value::tokens).unwrap_or_default(),
            allow_hosts: from.parse("SIDESTREAM_ALLOW_HOSTS", value::hosts),
            allow_origins: from.parse("SIDESTREAM_ALLOW_ORIGINS", value::origins),
            routes: routes.unwrap_or_else(|wrong| {
                // Each names its rule; the whole text would only repeat them.
                wrong.into_iter().for_each(|what| from.problem_as("", "SIDESTREAM_ROUTES", "SIDESTREAM_ROUTES", what));
                Routes::default()
            }),
            body_max: from.parse("SIDESTREAM_BODY_MAX", value::size),
            buffer_max: from.parse("SIDESTREAM_BUFFER_MAX", value::size),
            drain: from.parse("SIDESTREAM_DRAIN", value::duration),
            drain_delay: from.parse("SIDESTREAM_DRAIN_DELAY", value::duration),
            half_close: from.parse("SIDESTREAM_HALF_CLOSE", value::half_close),
            roots: upstream::roots(&mut from, "", "SIDESTREAM_CA_FILE"),
            tls: client_side_tls(&mut from),
            level: from.parse("SIDESTREAM_LOG", value::level),
            log_format: from.parse("SIDESTREAM_LOG_FORMAT", value::log_format),
            warnings: Vec::new(),
            providers,
        };
        VARIABLES.iter().for_each(|row| from.later("", row));
        exposure::check(&mut from, &config);
        from.finish().map(|warnings| Self { warnings, ..config })
    }

    /// The admin address alone, for `health`.
    ///
    /// # Errors
    /// Its variable is wrong.
    pub fn admin(source: &Source<'_>) -> Result<Option<Listen>, Vec<Problem>> {
        let mut from = Reader::new(source);
        let admin = from.parse("SIDESTREAM_ADMIN", value::admin);
        from.finish().map(|_| admin)
    }

    /// Every variable with its effective value, for `check`; of secrets only that they are set.
    pub fn table(source: &Source<'_>) -> Vec<(String, String)> {
        table::of(source)
    }
}

fn client_side_tls(from: &mut Reader<'_>) -> Option<ClientSideTls> {
    let certificates = from.file_of("", "SIDESTREAM_TLS_CERT", |bytes| pem(bytes, "CERTIFICATE"));
    let key = from.file_of("", "SIDESTREAM_TLS_KEY", |bytes| pem(bytes, "PRIVATE KEY"));
    let client_roots = upstream::roots(from, "", "SIDESTREAM_TLS_CLIENT_CA");
    let is_set = |name: &str| from.get(name).is_some();
    let (cert_set, key_set) = (is_set("SIDESTREAM_TLS_CERT"), is_set("SIDESTREAM_TLS_KEY"));
    let missing = if cert_set { "SIDESTREAM_TLS_KEY" } else { "SIDESTREAM_TLS_CERT" };
    if cert_set != key_set || (is_set("SIDESTREAM_TLS_CLIENT_CA") && !cert_set) {
        from.problem(missing, "is not set; TLS for clients needs a certificate and its key");
    }
    let key = Secret::new(&String::from_utf8(key?.0).unwrap_or_default());
    Some(ClientSideTls { certificates: certificates?, key, client_roots })
}

/// The content of a PEM file that holds an item of this kind.
fn pem(bytes: Vec<u8>, kind: &str) -> Result<Pem, Wrong> {
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let found =
        text.lines().any(|line| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(&format!("{kind}-----")));
    if found { Ok(Pem(bytes)) } else { Err(format!("names a file without a PEM item \"-----BEGIN {kind}-----\"")) }
}
