//! The command line: `run` (the default), `check`, `health`, `demo`, `mock`.
//!
//! Exit codes: 0 success, 1 failure while running, 2 a configuration or command line that must be mended.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use sidestream::config::DriverChoice;
use sidestream::config::value;
use sidestream::mock::Options;
use sidestream::net::tls;
use sidestream::{check, demo, run};

#[derive(Parser)]
#[command(name = "sidestream", version, about = "A small sidecar that carries an application's LLM traffic")]
struct Line {
    /// Read KEY=VALUE lines (the grammar of systemd's EnvironmentFile); the process environment wins over them
    #[arg(long, global = true, value_name = "PATH")]
    env_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the proxy, configured by the environment (the default)
    Run,
    /// Show the effective configuration and every problem in it
    Check {
        /// Also connect to each provider: names a missing /v1, a refused key, a bad certificate
        #[arg(long)]
        live: bool,
    },
    /// Ask the running instance whether it is ready
    Health,
    /// Stream answers through an embedded provider: no key, no network
    Demo,
    /// Run the embedded provider alone, for tests and benchmarks
    Mock(Mock),
}

#[derive(Args)]
struct Mock {
    /// Address to listen on; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: String,
    /// Milliseconds to the first event of a stream, or to a blocking answer
    #[arg(long, default_value_t = 0)]
    ttft_ms: u64,
    /// Milliseconds between two chunks
    #[arg(long, default_value_t = 0)]
    gap_ms: u64,
    /// Chunks of text in an answer
    #[arg(long, default_value_t = 50)]
    chunks: usize,
    /// Bytes of a chunk
    #[arg(long, default_value_t = 20)]
    bytes: usize,
    /// Answer every request with the literal bytes of this file, head included
    #[arg(long)]
    replay: Option<PathBuf>,
    /// Speak HTTPS, with the certificates and the private key of this PEM file
    #[arg(long)]
    tls: Option<PathBuf>,
    /// auto, io_uring or epoll
    #[arg(long, default_value = "auto", value_parser = value::driver)]
    driver: DriverChoice,
}

fn main() -> ExitCode {
    let line = Line::parse();
    let environment = run::Environment { file: line.env_file };
    match line.command.unwrap_or(Command::Run) {
        Command::Run => run::run(&environment),
        Command::Check { live } => check::check(&environment, live),
        Command::Health => run::health(&environment),
        Command::Demo => demo::run(),
        Command::Mock(mock) => start_mock(mock),
    }
}

fn start_mock(mock: Mock) -> ExitCode {
    let read = |file: &Option<PathBuf>| file.as_ref().map(std::fs::read).transpose();
    let unusable = |option: &str, error: &dyn std::fmt::Display| {
        eprintln!("sidestream: {option}: {error}");
        ExitCode::from(run::UNUSABLE)
    };
    let replay = match read(&mock.replay) {
        Ok(replay) => replay,
        Err(error) => return unusable("--replay", &error),
    };
    let tls = match read(&mock.tls) {
        Ok(pem) => pem.map(|pem| tls::listener_config(&pem, &pem, None)).transpose(),
        Err(error) => Err(error.to_string()),
    };
    let tls = match tls {
        Ok(tls) => tls,
        Err(error) => return unusable("--tls", &error),
    };
    let options = Options {
        listen: mock.listen,
        ttft: Duration::from_millis(mock.ttft_ms),
        gap: Duration::from_millis(mock.gap_ms),
        chunks: mock.chunks,
        bytes: mock.bytes,
        replay,
        tls,
    };
    run::mock(options, mock.driver)
}
