//! The end of a request: its counts, and its line in the log.

use super::connection::{Client, Door};
use super::job::Work;
use super::site::{Destination, Site};
use super::translate;
use super::world::World;
use crate::dialect::usage::Usage;
use crate::http::head::RequestHead;
use crate::telemetry::log::Level;
use crate::telemetry::provider::TokenKind;

/// Counters and the log line.
pub fn settle(world: &World, site: &Site, client: &Client<'_>, request: &RequestHead, work: &mut Work) {
    let record = work.record;
    let counters = &world.counters;
    counters.response(record.status);
    counters.client_received_bytes.add(record.bytes_in);
    counters.client_sent_bytes.add(record.bytes_out);
    let destination = record.provider.and_then(|place| site.destinations.get(place));
    let usage = work.usage.usage();
    let total = record.began.elapsed();
    let first_byte = record.first_byte.map(|at| at.duration_since(record.began));
    if let Some(destination) = destination {
        destination.numbers.settle(record.dialect, record.status, first_byte, total);
        count_tokens(destination, &usage, work);
    }
    count_losses(world, work);
    let input = [usage.input, usage.cache_read, usage.cache_write].into_iter().flatten().sum();
    if input > 0 && record.text_bytes > 0 {
        world.tokens.borrow_mut().learn(&work.model, record.text_bytes, input);
    }
    if client.door == Door::Admin || !world.shared.log.enabled(Level::Info) {
        return;
    }
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
    if let Some(destination) = destination {
        line = line.text("provider", &destination.provider.name).number("attempts", u64::from(record.attempts));
        line = line.number("reused", u64::from(record.reused)).number("connect_us", record.connect_micros);
        // Without an answer the head is an earlier request's.
        let answered = first_byte.map(|_| &work.response);
        if let Some(id) = answered.and_then(|head| head.get("request-id").or_else(|| head.get("x-request-id"))) {
            line = line.bytes("upstream_id", id);
        }
    }
    if !work.losses.is_empty() {
        let mut list = Vec::new();
        translate::write_losses(&work.losses, &mut list);
        line = line.bytes("dropped", &list);
    }
    if let Some(first_byte) = first_byte {
        line = line.number("ttfb_us", first_byte.as_micros() as u64);
    }
    line = line.number("total_us", total.as_micros() as u64);
    line = line.number("bytes_in", record.bytes_in).number("bytes_out", record.bytes_out);
    let kinds = [("tokens_in", usage.input), ("tokens_cached", usage.cache_read), ("tokens_out", usage.output)];
    drop(kinds.into_iter().fold(line, |line, (name, count)| match count {
        Some(count) => line.number(name, count),
        None => line,
    }));
}

/// What was lost between two dialects.
fn count_losses(world: &World, work: &Work) {
    let Some(upstream) = work.record.upstream_dialect else { return };
    for loss in work.losses.iter() {
        world.counters.losses.add(work.record.dialect, upstream, loss.what);
    }
}

/// What the answer said of its tokens; that it said nothing counts too.
fn count_tokens(destination: &Destination, usage: &Usage, work: &Work) {
    let numbers = &destination.numbers;
    let kinds = [
        (TokenKind::Input, usage.input),
        (TokenKind::CacheRead, usage.cache_read),
        (TokenKind::CacheWrite, usage.cache_write),
        (TokenKind::Output, usage.output),
        (TokenKind::Reasoning, usage.reasoning),
    ];
    for (kind, count) in kinds {
        numbers.tokens.add(kind, count.unwrap_or(0));
    }
    let silent = kinds.iter().all(|(_, count)| count.is_none());
    let generation = !work.model.is_empty() && work.record.status == 200 && work.record.ended.is_none();
    numbers.answers_without_usage.add(u64::from(silent && generation));
}
