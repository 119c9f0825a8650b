//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand};

/// Sends one request over and over, and measures the answers
#[derive(Parser)]
#[command(name = "load")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Passed by `cargo bench` to whatever it runs
    #[arg(long, hide = true, global = true)]
    pub bench: bool,
}

#[derive(Subcommand)]
pub enum Command {
    /// Sends as fast as answers come, or at a rate; one JSON object on stdout
    Run(Run),
    /// Opens many connections and keeps them: a JSON line when all stand, one at the end (stdin closes, or SIGTERM)
    Hold(Hold),
    /// Keeps paced streams running, and measures the gaps between their events
    Gaps(Gaps),
    /// Checks this program's own parts against tables
    SelfTest,
}

/// What every command needs.
#[derive(Args)]
pub struct Target {
    /// Whom to send to
    #[arg(long, value_name = "IP:PORT")]
    pub to: SocketAddr,
    /// A file with the literal bytes of the request, head and body
    #[arg(long, value_name = "FILE")]
    pub request: PathBuf,
    /// The status of a good answer; others are errors
    #[arg(long, value_name = "STATUS", default_value_t = 200)]
    pub expect_status: u16,
    /// Seconds without a byte after which a request has failed
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub timeout: Duration,
}

#[derive(Args)]
#[command(group(ArgGroup::new("until").required(true).args(["seconds", "count"])))]
pub struct Run {
    #[command(flatten)]
    pub target: Target,
    /// How many connections, each with one request at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub connections: u32,
    /// How long to measure
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub seconds: Option<Duration>,
    /// How many requests to send
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// How long to send before measuring; errors count all the same
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds, conflicts_with = "count")]
    pub warmup: Duration,
    /// A new connection for each request, in whose time it is included
    #[arg(long)]
    pub cold: bool,
    /// Requests a second, due whether answers come or not; latency counts from when a request was due
    #[arg(long, value_name = "N", value_parser = rate, conflicts_with = "count")]
    pub rate: Option<f64>,
    /// The report on one line
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(group(ArgGroup::new("kind").required(true).args(["streams", "idle"])))]
pub struct Hold {
    #[command(flatten)]
    pub target: Target,
    /// How many connections to keep in the middle of a stream
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub streams: Option<u32>,
    /// How many connections to keep idle, after one answer on each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub idle: Option<u32>,
    /// New connections a second, at most; without it, as fast as they are taken
    #[arg(long, value_name = "N", value_parser = rate)]
    pub cold_connect_rate: Option<f64>,
}

#[derive(Args)]
pub struct Gaps {
    #[command(flatten)]
    pub target: Target,
    /// How many streams run at a time; one that ends is begun anew
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub streams: u32,
    /// How long to measure
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub seconds: Duration,
    /// How long to let them run before measuring
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    pub warmup: Duration,
    /// The report on one line
    #[arg(long)]
    pub json: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("write seconds, from 0 to 86400".into()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.01..=1e6).contains(&rate) => Ok(rate),
        _ => Err("write a number a second, from 0.01 to 1000000".into()),
    }
}
