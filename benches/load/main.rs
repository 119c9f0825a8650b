//! The load generator of the lab: one thread, one epoll loop, one request that is prepared once.
//!
//! `cargo bench --no-run --bench load` builds it, `scripts/bench` runs it; `load --help` tells the commands.
//! `cargo test --bench load -- self-test` checks its parts.
//!
//! It shares no code with the proxy, and no runtime: what both got wrong, no measurement would see. It costs less per request
//! than wrk, so that it can stand beside a proxy on a small machine, and it knows what wrk does not: where the events of
//! a stream are, the time to the first of them and the gaps between them, clients that connect for each request, and
//! requests that are due whether the last one was answered or not.
//!
//! # The report of `run`
//!
//! | member | what |
//! |---|---|
//! | `requests`, `micros` | answers that were complete and had the right status; the length of the window they came in |
//! | `errors` | how many of each kind, warm-up included: `connect`, `closed` (instead of an answer), `reset`, `errno_N`, `short_body`, `malformed_head`, `malformed_chunk`, `status_N`, `early_answer` (before the request was sent), `unasked_bytes`, `timeout`, `unsent` (due, at a rate, and no connection was free until the end) |
//! | `bytes`, `reads` | what came over the network, and in how many reads |
//! | `chunks`, `events` | HTTP chunks, and events of streams (what consists of comments is none) |
//! | `connections` | how many were opened |
//! | `latency_us` | from the request's first byte to the answer's last; with `--cold` from before the connect; at a rate from when it was due |
//! | `ttft_us` | from the same moment to the first event of a stream, or the first byte of a body |
//! | `gap_us` | between two events of one stream, as they were read: 0 for those that came together |
//! | `with_warmup` | the counters from the first request on; what a proxy did in that time is to be divided by these |
//! | `load_cpu_us` | this program's own CPU time, in user mode and in the kernel |
//!
//! Distributions have `p50`, `p90`, `p99`, `p999` (see [`histogram`]: at most 0.4 % off), `max`, `mean` and `count` (exact).
//! A run by time ends in the middle of requests, which count for nothing; one at a rate waits for its last answers.

mod cli;
mod connection;
mod dial;
mod events;
mod framing;
mod histogram;
mod hold;
mod poll;
mod request;
mod run;
mod selftest;
mod tally;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use serde_json::{Value, json};

use cli::{Cli, Command, Target};
use connection::{READ_BYTES, Work};
use dial::Dialler;
use poll::Poll;
use run::{Plan, Runner, Until};
use tally::{Clock, Tally};

/// Descriptors beside those of the connections.
const DESCRIPTORS_OTHER: u64 = 64;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Some(Command::Run(options)) => run(&options),
        Some(Command::Hold(options)) => hold(&options),
        Some(Command::Gaps(options)) => gaps(&options),
        Some(Command::SelfTest) => selftest::all(),
        None if cli.bench => {
            println!("load: the load generator for scripts/bench; see --help");
            Ok(())
        }
        None => Err(Cli::command().render_help().to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("load: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &cli::Run) -> Result<(), String> {
    let until = match (options.seconds, options.count, options.rate) {
        (Some(time), _, Some(rate)) => Until::Paced { time, every: Duration::from_secs_f64(1.0 / rate) },
        (Some(time), _, None) => Until::Time(time),
        (None, count, _) => Until::Count(count.unwrap_or(1)),
    };
    let plan = Plan {
        connections: options.connections,
        until,
        warmup: options.warmup,
        cold: options.cold,
        timeout: options.target.timeout,
    };
    let report = measure(&options.target, plan)?;
    print(&report, options.json);
    Ok(())
}

fn gaps(options: &cli::Gaps) -> Result<(), String> {
    let plan = Plan {
        connections: options.streams,
        until: Until::Time(options.seconds),
        warmup: options.warmup,
        cold: false,
        timeout: options.target.timeout,
    };
    let report = measure(&options.target, plan)?;
    if report["with_warmup"]["events"] == 0 {
        return Err(format!("no events came: the answer must be a stream ({})", report["errors"]));
    }
    let part = |name: &str| report[name].clone();
    let gaps = json!({
        "streams": options.streams,
        "micros": part("micros"),
        "events": part("events"),
        "ended": part("requests"),
        "errors": part("errors"),
        "gap_us": part("gap_us"),
        "worst_gap_us": report["gap_us"]["max"],
        "ttft_us": part("ttft_us"),
    });
    print(&gaps, options.json);
    Ok(())
}

fn measure(target: &Target, plan: Plan) -> Result<Value, String> {
    let work = work(target, plan.connections)?;
    poll::exact_timers().map_err(|error| error.to_string())?;
    let dialler = Dialler::new(target.to, (!plan.cold).then_some(plan.connections));
    let (work, window) = Runner::new(work, plan, dialler).run().map_err(|error| error.to_string())?;
    let mut report = work.tally.report(window.as_micros() as u64);
    let (user, system) = poll::cpu_micros().map_err(|error| error.to_string())?;
    report["load_cpu_us"] = json!({ "user": user, "system": system });
    Ok(report)
}

fn hold(options: &cli::Hold) -> Result<(), String> {
    let (count, kind) = match (options.streams, options.idle) {
        (Some(count), _) => (count, hold::Kind::Streams),
        (None, count) => (count.unwrap_or(1), hold::Kind::Idle),
    };
    let work = work(&options.target, count)?;
    let plan = hold::Plan { count, kind, rate: options.cold_connect_rate, timeout: options.target.timeout };
    let dialler = Dialler::new(options.target.to, Some(count));
    hold::Holder::new(work, plan, dialler).run().map_err(|error| error.to_string())
}

fn work(target: &Target, connections: u32) -> Result<Work, String> {
    poll::raise_descriptors(u64::from(connections) + DESCRIPTORS_OTHER).map_err(|error| error.to_string())?;
    Ok(Work {
        poll: Poll::new().map_err(|error| error.to_string())?,
        clock: Clock::start(),
        tally: Tally::new(),
        request: request::load(&target.request)?,
        expect_status: target.expect_status,
        buffer: vec![0; READ_BYTES].into_boxed_slice(),
    })
}

/// One line for programs, several for people.
fn print(report: &Value, one_line: bool) {
    if one_line {
        println!("{report}");
    } else {
        println!("{report:#}");
    }
}
