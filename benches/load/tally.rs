//! What was counted and measured, and how it is reported.

use std::collections::BTreeMap;
use std::ops::Sub;
use std::time::Instant;

use serde_json::{Value, json};

use crate::histogram::Histogram;

/// Nanoseconds since the program began.
#[derive(Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn now(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// Counters that only grow; a window of time is a difference of two.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    /// Complete answers with the status that was expected.
    pub requests: u64,
    pub connections: u64,
    /// Bytes that came over the network, heads and framing included.
    pub bytes: u64,
    pub reads: u64,
    pub chunks: u64,
    pub events: u64,
}

/// Everything a run collects.
pub struct Tally {
    pub counts: Counts,
    before: Counts,
    errors: BTreeMap<String, u64>,
    pub latency: Histogram,
    pub ttft: Histogram,
    pub gap: Histogram,
}

impl Tally {
    pub fn new() -> Self {
        Self {
            counts: Counts::default(),
            before: Counts::default(),
            errors: BTreeMap::new(),
            latency: Histogram::new(),
            ttft: Histogram::new(),
            gap: Histogram::new(),
        }
    }

    /// The warm-up is over. Its errors stay: they are never ignored.
    pub fn begin_window(&mut self) {
        self.before = self.counts;
        [&mut self.latency, &mut self.ttft, &mut self.gap].into_iter().for_each(Histogram::clear);
    }

    pub fn error(&mut self, kind: impl ToString) {
        self.errors(kind, 1);
    }

    pub fn errors(&mut self, kind: impl ToString, times: u64) {
        if times > 0 {
            *self.errors.entry(kind.to_string()).or_default() += times;
        }
    }

    /// The report's members that every command has; `micros` is the length of the window.
    pub fn report(&self, micros: u64) -> Value {
        let mut report = counts(&(self.counts - self.before));
        report["micros"] = json!(micros);
        report["errors"] = json!(self.errors);
        report["latency_us"] = distribution(&self.latency);
        report["ttft_us"] = distribution(&self.ttft);
        report["gap_us"] = distribution(&self.gap);
        report["with_warmup"] = counts(&self.counts);
        report
    }

    pub fn errors_report(&self) -> Value {
        json!(self.errors)
    }
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            requests: self.requests - before.requests,
            connections: self.connections - before.connections,
            bytes: self.bytes - before.bytes,
            reads: self.reads - before.reads,
            chunks: self.chunks - before.chunks,
            events: self.events - before.events,
        }
    }
}

fn counts(counts: &Counts) -> Value {
    json!({
        "requests": counts.requests,
        "connections": counts.connections,
        "bytes": counts.bytes,
        "reads": counts.reads,
        "chunks": counts.chunks,
        "events": counts.events,
    })
}

/// In microseconds; null if there was nothing to measure.
fn distribution(histogram: &Histogram) -> Value {
    let micros = |nanos: u64| json!(nanos as f64 / 1000.0);
    let quantile = |share| histogram.quantile(share).map(micros);
    histogram.max().map_or(Value::Null, |max| {
        json!({
            "p50": quantile(0.5),
            "p90": quantile(0.9),
            "p99": quantile(0.99),
            "p999": quantile(0.999),
            "max": micros(max),
            "mean": histogram.mean().map(|nanos| (nanos.round()) / 1000.0),
            "count": histogram.count(),
        })
    })
}
