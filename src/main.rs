//! The command line: `run` (the default), `check`, `health`, `demo`, `mock`.
//!
//! Exit codes: 0 success, 1 failure while running, 2 a configuration or command line that must be mended.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sidestream::run;

#[derive(Parser)]
#[command(name = "sidestream", version, about = "A small sidecar that carries an application's LLM traffic")]
struct Line {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the proxy, configured by the environment (the default)
    Run,
    /// Show the effective configuration and every problem in it
    Check,
    /// Ask the running instance whether it is ready
    Health,
}

fn main() -> ExitCode {
    match Line::parse().command.unwrap_or(Command::Run) {
        Command::Run => run::run(std::env::vars()),
        Command::Check => run::check(std::env::vars()),
        Command::Health => run::health(std::env::vars()),
    }
}
