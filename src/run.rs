//! What the commands `run`, `health` and `mock` do, from an environment to an exit code; `check` is in [`crate::check`].

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::config::{Config, DriverChoice, Listen, Problem, Source, Workers};
use crate::mock::{self, Options};
use crate::net::driver::Driver;
use crate::net::listener::{self, Bound};
use crate::proxy::connection::Door;
use crate::proxy::site::Settings;
use crate::proxy::world::Shared;
use crate::telemetry::log::{Level, Log, LogFormat};
use crate::worker::{self, Order, Worker};

/// A configuration or command line that must be mended.
pub const UNUSABLE: u8 = 2;

/// Where a command's configuration comes from: the process environment, and the file of `--env-file`.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// The path of the env file.
    pub file: Option<PathBuf>,
}

impl Environment {
    /// Reads it, anew each time.
    ///
    /// # Errors
    /// The env file cannot be read.
    pub fn source(&self) -> Result<Source<'static>, Vec<Problem>> {
        // What is no UTF-8 is none of ours.
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let environment = environment.collect();
        let env_file = match &self.file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path);
                let text = text.map_err(|error| {
                    vec![problem("--env-file", format!("{} cannot be read: {error}", path.display()))]
                })?;
                Some((path.display().to_string(), text))
            }
        };
        Ok(Source { environment, env_file, read_file: &read_file })
    }

    fn settings(&self, before: Option<&Settings>) -> Result<Settings, Vec<Problem>> {
        Settings::new(Config::read(&self.source()?)?, before)
    }
}

fn read_file(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| error.to_string())
}

/// Runs the proxy until a signal ends it.
pub fn run(environment: &Environment) -> ExitCode {
    let settings = match environment.settings(None) {
        Ok(settings) => settings,
        Err(problems) => return refuse(&problems),
    };
    let log = Log::start(settings.config.level, settings.config.log_format);
    // Before the start line is out, somebody may already act on it.
    let signals = match Signals::new([SIGTERM, SIGINT, SIGHUP]) {
        Ok(signals) => signals,
        Err(error) => {
            log.say(Level::Error, "no signal handler", &[("error", &error.to_string())]);
            return ExitCode::FAILURE;
        }
    };
    let code = match start(settings, &log) {
        Ok(running) => until_signalled(running, environment, signals, &log),
        Err(problem) => refuse(&[problem]),
    };
    log.flush(Duration::from_secs(1));
    code
}

/// A running sidestream.
pub struct Running {
    /// The client addresses, with real ports.
    pub addresses: Vec<String>,
    /// The admin address, or `off`.
    pub admin: String,
    workers: Vec<Worker>,
    shared: Arc<Shared>,
    sockets: Vec<PathBuf>,
}

impl Running {
    /// The driver's name.
    pub fn driver(&self) -> &'static str {
        self.shared.driver.name
    }
}

/// Binds, starts the workers and says so in one line.
///
/// # Errors
/// The one thing that this machine refuses, by the variable that asks for it.
pub fn start(settings: Settings, log: &Log) -> Result<Running, Problem> {
    let config = &settings.config;
    let count = match config.workers {
        Workers::Count(count) => count,
        Workers::Auto => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let driver = worker::choose_driver(config.driver)
        .map_err(|error| problem("SIDESTREAM_DRIVER", format!("asks for io_uring, which is refused here: {error}")))?;
    let mut listeners: Vec<Vec<(Bound, Door)>> = (0..count).map(|_| Vec::new()).collect();
    let (mut addresses, mut sockets) = (Vec::new(), Vec::new());
    for listen in &config.listen {
        let bound = bind("SIDESTREAM_LISTEN", listen, count)?;
        addresses.extend(bound.first().map(Bound::address));
        if let Listen::Unix(path) = listen {
            sockets.push(path.clone());
        }
        listeners.iter_mut().zip(bound).for_each(|(of_worker, one)| of_worker.push((one, Door::Clients)));
    }
    let mut admin = "off".to_owned();
    if let Some(listen) = &config.admin {
        let mut bound = bind("SIDESTREAM_ADMIN", listen, 1)?;
        if let (Some(one), Some(first)) = (bound.pop(), listeners.first_mut()) {
            admin = one.address();
            first.push((one, Door::Admin));
        }
    }
    warn(config, log);
    let providers = names(config);
    let shared = Arc::new(Shared::new(Arc::new(settings), count, driver, log.clone()));
    let mut workers = Vec::with_capacity(count);
    for (index, listeners) in listeners.into_iter().enumerate() {
        let worker = Worker::start(shared.clone(), index, listeners);
        workers.push(worker.map_err(|error| problem("SIDESTREAM_WORKERS", format!("could not start: {error}")))?);
    }
    log.say(
        Level::Info,
        "started",
        &[
            ("version", env!("CARGO_PKG_VERSION")),
            ("listen", &addresses.join(",")),
            ("admin", &admin),
            ("workers", &count.to_string()),
            ("driver", shared.driver.name),
            ("why", &shared.driver.why),
            ("providers", &providers),
        ],
    );
    Ok(Running { addresses, admin, workers, shared, sockets })
}

fn warn(config: &Config, log: &Log) {
    for warning in &config.warnings {
        log.say(Level::Warn, "configuration", &[("warning", warning)]);
    }
}

fn names(config: &Config) -> String {
    config.providers.iter().map(|provider| provider.name.as_str()).collect::<Vec<_>>().join(",")
}

fn bind(variable: &str, listen: &Listen, workers: usize) -> Result<Vec<Bound>, Problem> {
    listener::bind(listen, workers).map_err(|error| {
        let taken = error.kind() == std::io::ErrorKind::AddrInUse;
        let remedy = if taken { "; another process, perhaps another sidestream, has it" } else { "" };
        problem(variable, format!("asks for {listen}, which cannot be bound: {error}{remedy}"))
    })
}

fn problem(variable: &str, what: String) -> Problem {
    Problem { variable: variable.to_owned(), what }
}

/// Says what must be mended.
pub fn refuse(problems: &[Problem]) -> ExitCode {
    let mut out = std::io::stderr().lock();
    for problem in problems {
        let _ = writeln!(out, "sidestream: {problem}");
    }
    ExitCode::from(UNUSABLE)
}

/// Waits for the signal that ends it, reloading at each SIGHUP before, then drains: a second signal ends the grace at once.
fn until_signalled(running: Running, environment: &Environment, mut signals: Signals, log: &Log) -> ExitCode {
    let Running { mut workers, shared, sockets, .. } = running;
    // Without an env file a reload could bring nothing new: a process cannot see its environment change.
    let ends = |signal: i32| signal != SIGHUP || environment.file.is_none();
    for _ in signals.forever().take_while(|signal| !ends(*signal)) {
        reload(&shared, environment, &mut workers, log);
    }
    shared.leaving.store(true, Relaxed);
    let config = &shared.settings().config;
    let (delay, grace) = (config.drain_delay, config.drain);
    log.say(Level::Info, "draining", &[("grace_s", &grace.as_secs().to_string())]);
    wait(delay, &mut signals, ends, || false);
    workers.iter_mut().for_each(|worker| worker.order(Order::Drain));
    let finished = wait(grace, &mut signals, ends, || workers.iter().all(Worker::is_finished));
    if !finished {
        workers.iter_mut().for_each(|worker| worker.order(Order::Stop));
    }
    let ended = finished || wait(LAST_MOMENTS, &mut signals, ends, || workers.iter().all(Worker::is_finished));
    for path in sockets {
        let _ = std::fs::remove_file(path);
    }
    log.say(Level::Info, "stopped", &[("clean", if finished && ended { "1" } else { "0" })]);
    if shared.failed.load(Relaxed) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What the workers have to tell their clients that the grace is over.
const LAST_MOMENTS: Duration = Duration::from_secs(1);

/// Waits for `patience`, until `done`, or until another signal comes that `ends` it. True if `done`.
fn wait(patience: Duration, signals: &mut Signals, ends: impl Fn(i32) -> bool, done: impl Fn() -> bool) -> bool {
    let end = Instant::now() + patience;
    while Instant::now() < end && !done() {
        if signals.pending().any(&ends) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    done()
}

/// Reads the configuration again. A bad one is refused whole; what only a restart can change is said, and stays.
fn reload(shared: &Shared, environment: &Environment, workers: &mut [Worker], log: &Log) {
    let before = shared.settings();
    let mut settings = match environment.settings(Some(&before)) {
        Ok(settings) => settings,
        Err(problems) => {
            for problem in &problems {
                log.say(Level::Error, "reload refused", &[("problem", &problem.to_string())]);
            }
            return;
        }
    };
    let fixed = settings.config.keep_fixed(&before.config);
    warn(&settings.config, log);
    if !fixed.is_empty() {
        log.say(Level::Warn, "a restart is needed", &[("for", &fixed.join(","))]);
    }
    log.set_level(settings.config.level);
    log.set_format(settings.config.log_format);
    let providers = names(&settings.config);
    shared.replace_settings(Arc::new(settings));
    workers.iter_mut().for_each(|worker| worker.order(Order::Reload));
    log.say(Level::Info, "reloaded", &[("providers", &providers)]);
}

/// Runs the mock provider until a signal ends it.
pub fn mock(options: Options, choice: DriverChoice) -> ExitCode {
    let log = Log::start(Level::Info, LogFormat::Text);
    let begun = TcpListener::bind(&options.listen).and_then(|listener| {
        let listening = listener.local_addr()?.to_string();
        let (mut driver, chosen) = Driver::build(choice)?;
        log.say(
            Level::Info,
            "mock started",
            &[("listening", &listening), ("driver", chosen.name), ("why", &chosen.why)],
        );
        driver.block_on(mock::serve(listener, Rc::new(options)))
    });
    match begun {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "sidestream: the mock cannot run: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Asks the running instance's `/readyz`, for containers without a shell.
pub fn health(environment: &Environment) -> ExitCode {
    let admin = match environment.source().and_then(|source| Config::admin(&source)) {
        Ok(Some(Listen::Tcp(address))) => address,
        Ok(_) => return refuse(&[problem("SIDESTREAM_ADMIN", "is no TCP address; `health` asks there".into())]),
        Err(problems) => return refuse(&problems),
    };
    match ask_ready(admin) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "sidestream: {admin} does not answer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn ask_ready(admin: SocketAddr) -> std::io::Result<bool> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&admin, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200 "))
}
