//! A request's line in the log.

use std::time::Duration;

use super::job::{Tried, Work};
use super::site::{Destination, Site};
use super::translate;
use super::world::World;
use crate::dialect::usage::Usage;
use crate::http::head::RequestHead;
use crate::telemetry::log::{Level, Line};

/// What a request came to.
pub struct Sums {
    /// Until the first byte of its answer.
    pub first_byte: Option<Duration>,
    /// Until its end.
    pub total: Duration,
    /// Its tokens.
    pub usage: Usage,
    /// Its price, in billionths of a dollar.
    pub cost: Option<u64>,
}

/// Writes the line.
pub fn write(world: &World, site: &Site, request: &RequestHead, sums: &Sums, work: &mut Work) {
    let record = work.record;
    let mut line = world.shared.log.line(Level::Info, "request", &mut work.line).bytes("id", record.id.as_bytes());
    // Without a target there was no head that could be read.
    if !request.target().is_empty() {
        line = line.word("method", request.method_text()).bytes("path", request.path());
    }
    line = line.number("status", u64::from(record.status));
    if let Some((who, reason)) = record.ended {
        line = line.word("reason", reason).word("who", who.name());
    }
    line = line.word("dialect", record.dialect.name());
    if !work.model.is_empty() {
        line = line.text("model", &work.model);
    }
    if let Some(chore) = record.chore {
        line = line.word("chore", chore.name());
    }
    if let Some(destination) = record.provider.and_then(|place| site.destinations.get(place)) {
        line = line.text("provider", &destination.provider.name).number("attempts", u64::from(record.attempts));
        line = line_of_tries(line, site, destination, record.key, &work.tried);
        line = line.number("reused", u64::from(record.reused)).number("connect_us", record.connect_micros);
        // Without an answer the head is an earlier request's.
        let answered = sums.first_byte.map(|_| &work.response);
        if let Some(id) = answered.and_then(|head| head.get("request-id").or_else(|| head.get("x-request-id"))) {
            line = line.bytes("upstream_id", id);
        }
    }
    if !work.losses.is_empty() {
        let mut list = Vec::new();
        translate::write_losses(&work.losses, &mut list);
        line = line.bytes("dropped", &list);
    }
    if let Some(first_byte) = sums.first_byte {
        line = line.number("ttfb_us", first_byte.as_micros() as u64);
    }
    line = line.number("total_us", sums.total.as_micros() as u64);
    line = line.number("bytes_in", record.bytes_in).number("bytes_out", record.bytes_out);
    drop(line_of_tokens(line, sums));
}

/// Tokens by kind, and their price.
fn line_of_tokens<'a>(line: Line<'a>, Sums { usage, cost, .. }: &Sums) -> Line<'a> {
    let kinds = [
        ("tokens_in", usage.input),
        ("tokens_cached", usage.cache_read),
        ("tokens_out", usage.output),
        ("tokens_written", usage.cache_write),
        ("tokens_reasoning", usage.reasoning),
    ];
    let line = kinds.into_iter().fold(line, |line, (name, count)| match count {
        Some(count) => line.number(name, count),
        None => line,
    });
    match cost {
        Some(nanos) => line.dollars("cost_usd", *nanos),
        None => line,
    }
}

/// Which tries came to nothing, and why: `zai:529,zai#2:closed`, with the number of the key where there are several.
fn line_of_tries<'a>(
    mut line: Line<'a>,
    site: &Site,
    destination: &Destination,
    key: usize,
    tried: &[Tried],
) -> Line<'a> {
    if destination.provider.keys() > 1 {
        line = line.number("key", key as u64 + 1);
    }
    if tried.is_empty() {
        return line;
    }
    let mut text = String::new();
    for Tried { provider, key, status, outcome } in tried {
        let provider = site.destinations.get(*provider).map(|one| &one.provider);
        text += if text.is_empty() { "" } else { "," };
        text += provider.map_or("", |provider| provider.name.as_str());
        if provider.is_some_and(|provider| provider.keys() > 1) {
            text += &format!("#{}", key + 1);
        }
        text += ":";
        text += &if outcome.is_empty() { status.to_string() } else { (*outcome).to_owned() };
    }
    line.text("tried", &text)
}
