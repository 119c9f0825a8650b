//! Environment → typed configuration. Pure: the variables come as an argument; all problems are reported at once.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod context;
mod env_file;
mod exposure;
mod headers;
pub mod known;
mod names;
mod outbound;
mod prices;
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
pub use url::is_off_limits;

use crate::dialect::chores::Chores;
use crate::prices::Prices;
use crate::route::Routes;
use crate::route::strategy::Strategy;
use crate::telemetry::log::{Level, LogFormat};
use crate::tokens::window::Windows;
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
    /// How requests are tried, whatever their rules say.
    pub tries: Tries,
    /// How much fits into models, and what clients believe.
    pub windows: Windows,
    /// What tokens cost.
    pub prices: Prices,
    /// Bytes of one buffered request body.
    pub body_max: u64,
    /// Bytes of all buffered bodies.
    pub buffer_max: u64,
    /// Longest time that a stream's head waits for its first event; zero for never.
    pub hold: Duration,
    /// Silence of a stream after which a ping is sent; zero for never.
    pub ping: Duration,
    /// Claude Code's chores that are answered here.
    pub chores: Chores,
    /// A translation that would lose something is refused.
    pub strict: bool,
    /// What is done before anybody asks.
    pub warm_up: WarmUp,
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

/// How requests are tried, whatever their rules say.
#[derive(Clone, Debug)]
pub struct Tries {
    /// In which order a rule's targets are tried, where the rule does not say.
    pub strategy: Option<Strategy>,
    /// A conversation stays at its target.
    pub sticky: bool,
    /// Per cent of requests of which a late first token may send a second copy to the next target.
    pub hedge: u64,
    /// The whole of a request, over all tries.
    pub deadline: Option<Duration>,
    /// Tries of one request, over all targets.
    pub max: u32,
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

/// What is done at the start, and for what a reload brings, before anybody asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WarmUp {
    /// Nothing.
    Off,
    /// Spare connections are opened.
    #[default]
    Connect,
    /// And each model that a rule names is asked for one token.
    Call,
}

impl WarmUp {
    /// As a value of its variable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Connect => "connect",
            Self::Call => "call",
        }
    }
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
        VARIABLES.iter().for_each(|row| from.later("", row));
        let providers = upstream::read_all(&mut from, &names);
        let routes = Routes::parse(from.get("SIDESTREAM_ROUTES").unwrap_or_default(), &providers);
        let routes = routes.unwrap_or_else(|wrong| {
            // Each names its rule; the whole text would only repeat them.
            wrong.into_iter().for_each(|what| from.problem_as("", "SIDESTREAM_ROUTES", "SIDESTREAM_ROUTES", what));
            Routes::default()
        });
        let real_windows = from.optional("SIDESTREAM_CONTEXT", context::real).unwrap_or_default();
        let config = Self {
            listen: from.parse("SIDESTREAM_LISTEN", value::listen),
            admin: from.parse("SIDESTREAM_ADMIN", value::admin),
            workers: from.parse("SIDESTREAM_WORKERS", value::workers),
            driver: from.parse("SIDESTREAM_DRIVER", value::driver),
            tokens: from.optional("SIDESTREAM_TOKENS", value::tokens).unwrap_or_default(),
            allow_hosts: from.parse("SIDESTREAM_ALLOW_HOSTS", value::hosts),
            allow_origins: from.parse("SIDESTREAM_ALLOW_ORIGINS", value::origins),
            tries: Tries {
                strategy: from.optional("SIDESTREAM_STRATEGY", value::strategy),
                sticky: from.parse("SIDESTREAM_STICKY", value::on_off),
                hedge: from.parse("SIDESTREAM_HEDGE", value::percent),
                deadline: from.optional("SIDESTREAM_DEADLINE", value::time_limit),
                max: from.parse("SIDESTREAM_MAX_TRIES", value::at_least_one) as u32,
            },
            routes,
            windows: Windows::new(
                real_windows,
                &from.optional("SIDESTREAM_EXPECTED_CONTEXT", context::expected).unwrap_or_default(),
            ),
            prices: prices::read(&mut from),
            body_max: from.parse("SIDESTREAM_BODY_MAX", value::size),
            buffer_max: from.parse("SIDESTREAM_BUFFER_MAX", value::size),
            hold: from.parse("SIDESTREAM_HOLD", value::duration),
            ping: from.parse("SIDESTREAM_PING", value::duration),
            chores: from.parse("SIDESTREAM_CHORES", Chores::parse),
            strict: from.parse("SIDESTREAM_STRICT", value::switch),
            warm_up: upstream::warm_up(&mut from),
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
        exposure::check(&mut from, &config);
        for rule in config.routes.idle_weights(config.tries.strategy) {
            from.warn(format!("SIDESTREAM_ROUTES: the weights of `{rule}` have no effect with its strategy"));
        }
        let is_called =
            |(place, one): (usize, &Arc<Provider>)| one.has_key() && !config.routes.named_models(place).is_empty();
        if config.warm_up == WarmUp::Call && !config.providers.iter().enumerate().any(is_called) {
            from.warn("SIDESTREAM_WARM_UP=call calls nobody: no rule names a model of a provider that has a key");
        }
        from.finish().map(|warnings| Self { warnings, ..config })
    }

    /// Keeps what a running instance cannot change; gives the variables that asked for it.
    pub fn keep_fixed(&mut self, running: &Self) -> Vec<&'static str> {
        let changed = [
            ("SIDESTREAM_LISTEN", self.listen != running.listen),
            ("SIDESTREAM_ADMIN", self.admin != running.admin),
            ("SIDESTREAM_WORKERS", self.workers != running.workers),
            ("SIDESTREAM_DRIVER", self.driver != running.driver),
        ];
        self.listen.clone_from(&running.listen);
        self.admin.clone_from(&running.admin);
        (self.workers, self.driver) = (running.workers, running.driver);
        changed.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect()
    }

    /// The admin address alone, for `health`.
    ///
    /// # Errors
    /// Its variable is wrong.
    pub fn admin(source: &Source<'_>) -> Result<Option<Listen>, Vec<Problem>> {
        let mut from = Reader::new(source);
        let admin = from.parse("SIDESTREAM_ADMIN", value::admin);
        // An env file that was broken after the start is no news about the running instance.
        let mut problems = from.finish().err().unwrap_or_default();
        problems.retain(|problem| problem.variable.starts_with("SIDESTREAM_ADMIN"));
        if problems.is_empty() { Ok(admin) } else { Err(problems) }
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

/// The content of a PEM file that holds an item of this kind. Between the items stands anything, in any encoding.
fn pem(bytes: Vec<u8>, kind: &str) -> Result<Pem, Wrong> {
    let text = String::from_utf8_lossy(&bytes);
    let end = format!("{kind}-----");
    let found = text.lines().any(|line| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(&end));
    if found { Ok(Pem(bytes)) } else { Err(format!("names a file without a PEM item of the kind {kind}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration of these variables, and of files whose content is their path without the first slash.
    pub(super) fn read(variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        read_with(variables, None)
    }

    fn read_with(variables: &[(&str, &str)], env_file: Option<&str>) -> Result<Config, Vec<String>> {
        Config::read(&source(variables, env_file)).map_err(|problems| problems.iter().map(Problem::to_string).collect())
    }

    fn source(variables: &[(&str, &str)], env_file: Option<&str>) -> Source<'static> {
        Source {
            env_file: env_file.map(|text| ("/etc/s.env".to_owned(), text.to_owned())),
            read_file: &|path| match path {
                "/absent" => Err("No such file or directory".into()),
                "/cert" => Ok(b"# \xfc\n-----BEGIN CERTIFICATE-----\nAA==\n".to_vec()),
                "/key" => Ok(b"-----BEGIN EC PRIVATE KEY-----\ncanary\n".to_vec()),
                path => Ok(format!("{}\n", path.trim_start_matches('/')).into_bytes()),
            },
            ..Source::of(variables.iter().map(|(name, value)| (name.to_string(), value.to_string())))
        }
    }

    const MINIMAL: [(&str, &str); 2] =
        [("SIDESTREAM_PROVIDERS", "mock"), ("MOCK_ENDPOINT_URL", "http://127.0.0.1:9/v1")];

    /// [`MINIMAL`] and more.
    fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        MINIMAL.iter().chain(more).copied().collect()
    }

    #[test]
    fn nothing_set_serves_the_two_vendors_own_clients() {
        let config = read(&[]).unwrap();
        let names: Vec<_> = config.providers.iter().map(|provider| provider.name.as_str()).collect();
        assert_eq!(names, ["openai", "anthropic"]);
        assert_eq!(config.listen, [Listen::Tcp("127.0.0.1:7730".parse().unwrap())]);
        assert_eq!(config.workers, Workers::Count(1));
        assert_eq!((config.body_max, config.buffer_max), (64 << 20, 256 << 20));
        assert_eq!((config.log_format, config.level), (LogFormat::Text, Level::Info));
        assert!(config.tokens.is_empty() && config.tls.is_none() && config.warnings.is_empty());
    }

    #[test]
    fn weights_without_effect_are_told() {
        use Strategy::{Cost, Order, Score, Weight};
        for (routes, strategy, want, told) in [
            ("a -> mock weight=3", "", vec![Weight], 0),
            ("a -> mock; b -> mock weight=2", "weight", vec![Weight, Weight], 0),
            ("a -> mock; b -> mock weight=2", "", vec![Order, Weight], 0),
            ("a -> mock weight=3", "cost", vec![Cost], 1),
            ("a[strategy=score] -> mock weight=3; b -> mock weight=3", "", vec![Score, Weight], 1),
            ("a -> mock", "score", vec![Score], 0),
            ("a -> mock", "", vec![Order], 0),
        ] {
            let config = read(&with(&[("SIDESTREAM_ROUTES", routes), ("SIDESTREAM_STRATEGY", strategy)])).unwrap();
            let found: Vec<_> = config.routes.strategies(config.tries.strategy).collect();
            assert_eq!((found, config.warnings.len()), (want, told), "{routes} {strategy}");
            assert!(config.warnings.iter().all(|warning| warning.contains("have no effect")));
        }
    }

    #[test]
    fn the_process_environment_wins_over_the_file_and_empty_is_unset() {
        let file =
            "SIDESTREAM_LOG=debug\nSIDESTREAM_DRAIN=5s\nSIDESTREAM_LISTEN=127.0.0.1:1\nSIDESTREAM_LISTEN=127.0.0.1:2\n";
        let config = read_with(&with(&[("SIDESTREAM_LOG", "warn"), ("SIDESTREAM_DRAIN", " ")]), Some(file)).unwrap();
        assert_eq!(config.level, Level::Warn);
        assert_eq!(config.drain, Duration::from_secs(5));
        assert_eq!(config.listen, [Listen::Tcp("127.0.0.1:2".parse().unwrap())]);
    }

    #[test]
    fn all_problems_at_once_in_the_tables_order() {
        let variables = [
            ("MOCK_CONNECT_TIMEOUT", "1y"),
            ("MOCK_API_KEY", "sk\ncanary"),
            ("MOCK_ENDPOINT_URL", "http://user:canary@a/"),
            ("OTHER_HEADERS", "canary"),
            ("SIDESTREAM_LOG_FORMAT", "xml"),
            ("SIDESTREAM_DRAIN", "soon"),
            ("SIDESTREAM_ROUTES", "a -> nobody; b"),
            ("SIDESTREAM_LISTEN", "nowhere"),
            ("SIDESTREAM_PROVIDERS", "other,mock"),
            ("SIDESTREAM_HOLD", "long"),
            ("SIDESTREAM_STRICT", "yes"),
            ("SIDESTREAM_TLS_CERT", "/cert"),
        ];
        let problems = read_with(&variables, Some("canary\nSIDESTREAM_LISTN=canary\nMOCK_IDLE_TIMEOUT=x")).unwrap_err();
        let names = [
            "/etc/s.env:1: the line has no `=`",
            "/etc/s.env:2: SIDESTREAM_LISTN is no variable",
            "SIDESTREAM_LISTEN=\"nowhere\" ",
            "SIDESTREAM_ROUTES has the rule `a -> nobody`",
            "SIDESTREAM_ROUTES has the rule `b`",
            "SIDESTREAM_HOLD=\"long\" ",
            "SIDESTREAM_DRAIN=\"soon\" ",
            "SIDESTREAM_STRICT=\"yes\" ",
            "SIDESTREAM_TLS_KEY is not set",
            "SIDESTREAM_LOG_FORMAT=\"xml\" ",
            "OTHER_ENDPOINT_URL is not set",
            "OTHER_HEADERS holds a field without a colon",
            "MOCK_API_KEY holds spaces",
            "MOCK_ENDPOINT_URL holds a user or password",
            "MOCK_CONNECT_TIMEOUT=\"1y\" ",
            "MOCK_IDLE_TIMEOUT=\"x\" (/etc/s.env:3) is no duration",
        ];
        assert_eq!(problems.len(), names.len(), "{problems:#?}");
        for (problem, name) in problems.iter().zip(names) {
            assert!(problem.starts_with(name) && !problem.contains("canary"), "{problem}");
        }
    }

    #[test]
    fn variables_of_later_versions_are_checked_and_told() {
        let config = read(&with(&[("SIDESTREAM_USAGE", "1"), ("SIDESTREAM_MEMORY_MAX", "1GiB")])).unwrap();
        assert_eq!(
            config.warnings,
            ["SIDESTREAM_USAGE has no effect in this version", "SIDESTREAM_MEMORY_MAX has no effect in this version"]
        );
        for (name, value) in [
            ("SIDESTREAM_PING", "often"),
            ("SIDESTREAM_MAX_TRIES", "-1"),
            ("SIDESTREAM_USAGE", "on"),
            ("SIDESTREAM_MEMORY_MAX", "much"),
            ("MOCK_MAX_RETRIES", "many"),
        ] {
            assert!(read(&with(&[(name, value)])).is_err(), "{name}");
        }
    }

    #[test]
    fn files() {
        let tls = [("SIDESTREAM_TLS_CERT", "/cert"), ("SIDESTREAM_TLS_KEY", "/key")];
        let config = read(&with(&[tls[0], tls[1], ("SIDESTREAM_TLS_CLIENT_CA", "/cert"), ("MOCK_CA_FILE", "/cert")]));
        let config = config.unwrap();
        assert!(config.tls.unwrap().client_roots.is_some() && config.roots.is_none());
        assert!(config.providers[0].roots.is_some());
        for (wrong, part) in [
            (&[tls[1]][..], "SIDESTREAM_TLS_CERT is not set"),
            (&[("SIDESTREAM_TLS_CLIENT_CA", "/cert")], "SIDESTREAM_TLS_CERT is not set"),
            (
                &[("SIDESTREAM_CA_FILE", "/absent")],
                "SIDESTREAM_CA_FILE=\"/absent\" names a file that cannot be read: No such",
            ),
            (&[("SIDESTREAM_CA_FILE", "/key")], "names a file without a PEM item of the kind CERTIFICATE"),
            (&[("MOCK_CA_FILE", "canary")], "MOCK_CA_FILE names a file without"),
        ] {
            let problems = read(&with(wrong)).unwrap_err();
            assert!(problems.len() == 1 && problems[0].contains(part), "{problems:?}");
        }
    }

    #[test]
    fn health_needs_the_admin_address_alone() {
        let variables = [("SIDESTREAM_ADMIN", "127.0.0.1:9"), ("SIDESTREAM_DRAIN", "soon")];
        let admin = Config::admin(&source(&variables, Some("broken")));
        assert_eq!(admin, Ok(Some(Listen::Tcp("127.0.0.1:9".parse().unwrap()))));
        assert_eq!(Config::admin(&source(&[("SIDESTREAM_ADMIN", "off")], None)), Ok(None));
        assert_eq!(Config::admin(&source(&[("SIDESTREAM_ADMIN", "here")], None)).unwrap_err().len(), 1);
    }

    #[test]
    fn the_table_shows_what_holds_and_why() {
        let variables = [
            ("SIDESTREAM_LOG", "debug"),
            ("NVIDIA_API_KEY", "canary"),
            ("ZAI_API_KEY", "canary"),
            ("HTTPS_PROXY", "a:1"),
        ];
        let source = source(&variables, Some("SIDESTREAM_DRAIN=5s\nNIM_TIMEOUT=1m\nSIDESTREAM_USAGE=1\nZAI_PROXY=off"));
        let table = Config::table(&source);
        for (name, value) in [
            ("SIDESTREAM_LOG", "debug"),
            ("SIDESTREAM_LISTEN", "127.0.0.1:7730 (default)"),
            ("SIDESTREAM_DRAIN", "5s (/etc/s.env:1)"),
            ("SIDESTREAM_TOKENS", "unset"),
            ("SIDESTREAM_PROVIDERS", "zai,nim (default)"),
            ("SIDESTREAM_USAGE", "1 (/etc/s.env:3) (no effect in this version)"),
            ("NIM_API_KEY", "that of NVIDIA_API_KEY (default)"),
            ("NIM_OPENAI_URL", "https://integrate.api.nvidia.com/v1 (default)"),
            ("NIM_ANTHROPIC_URL", "unset"),
            ("NIM_TIMEOUT", "1m (/etc/s.env:2)"),
            ("NIM_PROXY", "HTTPS_PROXY (default)"),
            ("ZAI_API_KEY", "set"),
            ("ZAI_PROXY", "off (/etc/s.env:4)"),
            ("ZAI_ANTHROPIC_URL", "https://api.z.ai/api/anthropic (default)"),
        ] {
            let shown = table.iter().find(|(of, _)| of == name).map(|(_, shown)| shown.as_str());
            assert_eq!(shown, Some(value), "{name}");
        }
        assert!(!table.iter().any(|(name, _)| name == "SIDESTREAM_MEMORY_MAX"));
    }

    /// Wherever a secret is put, in the right place or in a wrong one, nothing that a person reads repeats it.
    #[test]
    fn no_secret_is_ever_shown() {
        let forms = [
            "canary",
            "canary canary",
            "sk-canary-1234567890",
            "http://user:canary@host/v1",
            "http://canary@proxy:1",
            "https://host/v1?key=canary",
            "https://host/v1#canary",
            "socks5://user:canary@proxy:1",
            "user:canary@proxy:1",
            "x-key: canary",
            "x-key canary",
            "host: canary",
            "canary,canary",
            "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----",
        ];
        let rows =
            VARIABLES.iter().map(|row| ("", row)).chain(variables::PROVIDER_VARIABLES.iter().map(|row| ("MOCK", row)));
        for (prefix, row) in rows.filter(|(_, row)| row.shows != variables::Shows::Value) {
            for form in forms {
                let name = format!("{prefix}{}", row.name);
                let quoted = format!("{name}='{form}'\nexport {name}='{form}'\n{form}\n");
                for (variables, file) in [(with(&[(&name, form)]), None), (with(&[]), Some(quoted.as_str()))] {
                    // An https upstream elsewhere, so that the proxy is wanted too.
                    let variables: Vec<_> =
                        variables.into_iter().chain([("SIDESTREAM_PROVIDERS", "mock,groq")]).collect();
                    let source = source(&variables, file);
                    let said = format!("{:?} {:?}", Config::read(&source), Config::table(&source));
                    assert!(!said.contains("canary"), "{name}={form}: {said}");
                }
            }
        }
    }
}
