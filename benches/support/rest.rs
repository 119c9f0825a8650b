//! Routes, and the line in the log.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::Duration;

use sidestream::config::{Config, Source};
use sidestream::dialect::Dialect;
use sidestream::json::Index;
use sidestream::route::look::{Wanted, look};
use sidestream::route::{Asked, Features};
use sidestream::telemetry::log::{Level, Log, LogFormat};

use super::{Piece, Work, captures};

pub fn pieces() -> Vec<Piece> {
    vec![
        Piece::new("route: the last of eight rules", || planned("deepseek-v3.2")),
        Piece::new("route: no rule, a model's family", || planned("claude-opus-4-8")),
        Piece::new("route: features of an agent's turn", looked_into),
        Piece::new("log: a request's line, text", || line(LogFormat::Text)),
        Piece::new("log: a request's line, JSON", || line(LogFormat::Json)),
    ]
}

fn planned(model: &'static str) -> Work {
    let environment = [
        ("SIDESTREAM_PROVIDERS", "openai,anthropic,vllm,groq"),
        ("OPENAI_API_KEY", "key"),
        ("ANTHROPIC_API_KEY", "key"),
        ("GROQ_API_KEY", "key"),
        ("VLLM_ENDPOINT_URL", "http://127.0.0.1:9/v1"),
        (
            "SIDESTREAM_ROUTES",
            "small -> groq/llama-3.1-8b-instant; large -> anthropic/claude-opus-4-8; qwen* -> vllm; *-fast -> groq; \
             gpt-4o* [stream] -> openai; o3* -> openai, vllm/gpt-oss-120b; llama* -> groq, vllm; deepseek* -> vllm",
        ),
    ];
    let config = configured(environment);
    Work::new(model.len(), move || {
        let asked = Asked {
            model: black_box(model),
            dialect: Dialect::Chat,
            stream: true,
            provider: None,
            features: Features::default(),
        };
        black_box(config.routes.plan(&asked, &config.providers).unwrap().first());
    })
}

/// What rules with conditions on a request's content need.
fn looked_into() -> Work {
    let mut index = Index::default();
    Work::new(captures::AGENT.len(), move || {
        let wanted = Wanted { features: true, session: false };
        black_box(look(black_box(captures::AGENT), Dialect::Messages, wanted, &mut index));
    })
}

/// As `proxy::settle` writes one.
fn line(format: LogFormat) -> Work {
    let (log, mut scratch) = (log(format), Vec::new());
    Work::new(0, move || {
        let line = log.line(Level::Info, "request", &mut scratch).text("id", "ss-3f9a1c0b5d7e2a44-0-000042");
        let line = line.text("method", "POST").bytes("path", b"/v1/chat/completions").number("status", 200);
        let line = line.text("dialect", "chat").text("model", "gpt-4o-mini").text("provider", "openai");
        let line = line.number("attempts", 1).number("reused", 1).number("connect_us", 0);
        let line = line.bytes("upstream_id", b"req_0123456789abcdef0123456789abcdef").number("ttfb_us", 412_345);
        let line = line.number("total_us", 1_412_345).number("bytes_in", 1024).number("bytes_out", 20_480);
        drop(line.number("tokens_in", 1200).number("tokens_out", 345));
    })
}

/// The log of all pieces, at its default level.
///
/// Whoever measures holds standard error meanwhile: the thread that writes waits for it, and no piece has to wake that
/// thread more than once. That thread has begun and written a line before, so that it allocates nothing between the pieces.
pub fn log(format: LogFormat) -> Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    let log = LOG.get_or_init(|| {
        let log = Log::start(Level::Info, format);
        std::thread::sleep(Duration::from_millis(100));
        log.say(Level::Info, "pieces", &[]);
        log.flush(Duration::from_secs(2));
        log
    });
    log.set_format(format);
    log.clone()
}

/// What an environment says.
pub fn configured<const N: usize>(environment: [(&str, &str); N]) -> Config {
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Config::read(&Source::of(environment)).unwrap_or_else(|problems| panic!("{problems:?}"))
}
