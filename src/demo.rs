//! The tour: the embedded provider, the proxy before it, and a client that streams an answer in every dialect, then
//! compares the way through the proxy with the direct one. No key, no network beyond loopback.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use crate::config::{Config, DriverChoice, Source};
use crate::limits;
use crate::mock::{self, Options};
use crate::net::driver::Driver;
use crate::proxy::site::Settings;
use crate::run;
use crate::sse::Splitter;
use crate::telemetry::log::{Level, Log, LogFormat};

/// What the tour asks: what it shows, the path, the body. The first part of a model's name picks the provider.
const QUESTIONS: [(&str, &str, &str); 5] = [
    (
        "Chat Completions → Chat Completions, untouched",
        "/v1/chat/completions",
        r#"{"model":"both/demo","stream":true,"messages":[{"role":"user","content":"hello"}]}"#,
    ),
    (
        "Responses → Responses, untouched",
        "/v1/responses",
        r#"{"model":"both/demo","stream":true,"store":false,"input":"hello"}"#,
    ),
    (
        "Messages → Messages, untouched",
        "/v1/messages",
        r#"{"model":"both/demo","stream":true,"max_tokens":64,"messages":[{"role":"user","content":"hello"}]}"#,
    ),
    (
        "Messages → Chat Completions, translated (Claude Code on an OpenAI-compatible provider)",
        "/v1/messages",
        r#"{"model":"chat-only/demo","stream":true,"max_tokens":64,"messages":[{"role":"user","content":"hello"}]}"#,
    ),
    (
        "Chat Completions → Messages, translated (an OpenAI SDK on Claude)",
        "/v1/chat/completions",
        r#"{"model":"messages-only/demo","stream":true,"messages":[{"role":"user","content":"hello"}]}"#,
    ),
];

/// Requests per arm of the comparison.
const ROUNDS: usize = 400;

/// Runs the tour.
pub fn run() -> ExitCode {
    match tour() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "sidestream: the demo failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tour() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let provider = start_mock()?;
    let environment = [
        ("SIDESTREAM_LISTEN", "127.0.0.1:0".to_owned()),
        ("SIDESTREAM_ADMIN", "127.0.0.1:0".to_owned()),
        ("SIDESTREAM_PROVIDERS", "both,chat-only,messages-only".to_owned()),
        ("BOTH_OPENAI_URL", format!("http://{provider}/v1")),
        ("BOTH_ANTHROPIC_URL", format!("http://{provider}")),
        ("BOTH_API_KEY", "demo-key".to_owned()),
        ("CHAT_ONLY_OPENAI_URL", format!("http://{provider}/v1")),
        ("CHAT_ONLY_API_KEY", "demo-key".to_owned()),
        ("MESSAGES_ONLY_ANTHROPIC_URL", format!("http://{provider}")),
        ("MESSAGES_ONLY_API_KEY", "demo-key".to_owned()),
        ("SIDESTREAM_LOG", "warn".to_owned()),
    ];
    let config = Config::read(&Source::of(environment.map(|(name, value)| (name.to_owned(), value))));
    let settings = config.and_then(|config| Settings::new(config, None));
    let settings = settings.map_err(|problems| io::Error::other(format!("{problems:?}")))?;
    let log = Log::start(Level::Warn, LogFormat::Text);
    let running = run::start(settings, &log).map_err(|problem| io::Error::other(problem.to_string()))?;
    let proxy = running.addresses.first().cloned().unwrap_or_default();
    writeln!(out, "An application → sidestream on {proxy} ({}) → a provider on {provider}.\n", running.driver())?;

    for (name, path, body) in QUESTIONS {
        let answer = stream(&proxy, path, body)?;
        writeln!(out, "{name}")?;
        writeln!(
            out,
            "  {} events in {} reads; the first after {:.2} ms",
            answer.events,
            answer.reads,
            millis(answer.first)
        )?;
        writeln!(out, "  ↳ {}", answer.sample)?;
    }

    compare(&mut out, &provider, &proxy)?;
    writeln!(
        out,
        "\nPoint your application at it: OPENAI_BASE_URL=http://127.0.0.1:7730/v1 or ANTHROPIC_BASE_URL=http://127.0.0.1:7730"
    )
}

/// The same request direct, through, and through with a translation, in turn.
fn compare(out: &mut impl Write, provider: &str, proxy: &str) -> io::Result<()> {
    let [(_, _, untouched), .., (_, path, translated)] = QUESTIONS;
    let blocking = |body: &str| body.replace(r#""stream":true,"#, "");
    let mut arms = [(provider, untouched), (proxy, untouched), (proxy, translated)]
        .map(|(address, body)| Asker::new(address).map(|asker| (asker, blocking(body), Vec::new())));
    for _ in 0..ROUNDS {
        for arm in &mut arms {
            let (asker, body, times) = arm.as_mut().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
            times.push(asker.ask(path, body)?);
        }
    }
    let [direct, through, translated] =
        arms.map(|arm| arm.map_or(Duration::ZERO, |(_, _, mut times)| median(&mut times)));
    let added = |time: Duration| time.saturating_sub(direct).as_secs_f64() * 1e6;
    writeln!(out, "\n{ROUNDS} blocking requests each, in turn, median: direct {:.3} ms", millis(direct))?;
    writeln!(out, "  through sidestream {:.3} ms → {:.0} µs added", millis(through), added(through))?;
    writeln!(out, "  and translated     {:.3} ms → {:.0} µs added", millis(translated), added(translated))
}

/// The provider, on a thread of its own; it ends with the process.
fn start_mock() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    thread::Builder::new().name("mock".into()).spawn(move || -> io::Result<()> {
        let (mut driver, _) = Driver::build(DriverChoice::Auto)?;
        driver.block_on(mock::serve(listener, Rc::new(Options::default())))
    })?;
    Ok(address)
}

/// What came of a streamed answer.
struct Answer {
    events: usize,
    reads: usize,
    first: Duration,
    /// The first event's data, shortened.
    sample: String,
}

/// Asks once, on a connection of its own, and reads the stream to its end.
fn stream(address: &str, path: &str, body: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    let began = Instant::now();
    stream.write_all(request(path, body, "close").as_bytes())?;
    let mut answer = Answer { events: 0, reads: 0, first: Duration::ZERO, sample: String::new() };
    let mut splitter = Splitter::new(limits::EVENT_BYTES_MAX);
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(answer);
        }
        answer.reads += 1;
        // Chunk sizes and the head are lines of their own that hold no field we look at.
        let split = splitter.push(&buffer[..read], |event| {
            if answer.events == 0 {
                answer.first = began.elapsed();
                answer.sample = String::from_utf8_lossy(event.data).chars().take(96).collect();
            }
            answer.events += 1;
        });
        split.map_err(io::Error::other)?;
    }
}

/// A client with one kept connection.
struct Asker {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Asker {
    fn new(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 64 * 1024] })
    }

    /// Asks, reads the whole answer, and gives the time it took.
    fn ask(&mut self, path: &str, body: &str) -> io::Result<Duration> {
        let began = Instant::now();
        self.stream.write_all(request(path, body, "keep-alive").as_bytes())?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            let text = String::from_utf8_lossy(&self.buffer[..filled]).to_ascii_lowercase();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(usize::MAX);
            if body.len() >= length {
                return Ok(began.elapsed());
            }
        }
    }
}

fn request(path: &str, body: &str, connection: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
