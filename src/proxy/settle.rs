//! The end of a request: its counts, and what it teaches about its provider.

use std::time::Instant;

use super::access_log::{self, Sums};
use super::connection::{Client, Door};
use super::job::Work;
use super::site::{Destination, Site};
use super::world::World;
use crate::dialect::usage::Usage;
use crate::fault::Who;
use crate::http::head::RequestHead;
use crate::route::strategy;
use crate::route::verdict::{Blame, Retry, Verdict};
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
    let mut cost = None;
    if let Some(destination) = destination {
        destination.numbers.settle(record.dialect, record.status, first_byte, total);
        count_tokens(destination, &usage, work);
        learn(world, site, destination, &usage, work);
        cost = count_cost(site, destination, &usage, &work.model);
        if record.status < 400 && !work.model.is_empty() {
            destination.count(&work.model, record.key, |numbers| {
                numbers.requests.add(1);
                numbers.cost.add(cost.unwrap_or(0));
                by_kind(&usage).into_iter().for_each(|(kind, count)| numbers.tokens.add(kind, count.unwrap_or(0)));
            });
        }
    }
    count_losses(world, work);
    let input = [usage.input, usage.cache_read, usage.cache_write].into_iter().flatten().sum();
    if input > 0 && record.text_bytes > 0 {
        world.tokens.borrow_mut().learn(&work.model, record.text_bytes, input);
    }
    if input > 0 && work.features.text_bytes > 0 {
        world.body_tokens.borrow_mut().learn(&work.looked_for, work.features.text_bytes, input);
    }
    if client.door == Door::Admin || !world.shared.log.enabled(Level::Info) {
        return;
    }
    access_log::write(world, site, request, &Sums { first_byte, total, usage, cost }, work);
}

/// What an answer's end says of its provider, beyond what its beginning said.
fn learn(world: &World, site: &Site, destination: &Destination, usage: &Usage, work: &Work) {
    let record = &work.record;
    let broke_off = record.first_byte.is_some() && matches!(record.ended, Some((Who::Upstream, _)));
    let used = [usage.input, usage.cache_write, usage.output].into_iter().flatten().sum::<u64>();
    let more = used.saturating_sub(record.demand.tokens);
    let limited = destination.provider.limits.tokens.is_some() && more > 0;
    let stats = site.settings.stats.as_ref().filter(|_| !work.spent);
    if !broke_off && !limited && stats.is_none() {
        return;
    }
    let now = world.millis(Instant::now());
    if broke_off {
        let verdict = Verdict { blame: Blame::Upstream, retry: Retry::Never };
        destination.health.report(record.key, record.demand, verdict, None, now);
    }
    if limited {
        destination.health.used_more(record.key, more, now);
    }
    let candidate = record.provider.map(|provider| strategy::candidate(provider, &work.model));
    if let (Some(sessions), Some(session), Some(candidate)) = (&site.settings.sessions, record.session, candidate)
        && record.status < 400
        && !broke_off
    {
        sessions.put(session, candidate, now);
    }
    if let (Some(stats), Some(candidate)) = (stats, candidate) {
        let waited = record.first_byte.zip(record.asked).map(|(at, asked)| at.saturating_duration_since(asked));
        match waited.filter(|_| !broke_off && record.status < 400) {
            Some(waited) => stats.answered(candidate, waited.as_secs_f32() * 1e3, now),
            None if broke_off => stats.failed(candidate),
            None => {}
        }
    }
}

/// What was lost between two dialects.
fn count_losses(world: &World, work: &Work) {
    let Some(upstream) = work.record.upstream_dialect else { return };
    for loss in work.losses.iter() {
        world.counters.losses.add(work.record.dialect, upstream, loss.what);
    }
}

/// What the answer cost, in nano-dollars, if the model's price is known; that it is not counts too.
fn count_cost(site: &Site, destination: &Destination, usage: &Usage, model: &str) -> Option<u64> {
    if usage.is_silent() {
        return None;
    }
    let numbers = &destination.numbers;
    let cost = destination.price(&site.config().prices, model).and_then(|price| price.cost(usage));
    match cost {
        Some(nanos) => numbers.cost.add(nanos),
        None => numbers.requests_unpriced.add(1),
    }
    cost
}

fn by_kind(usage: &Usage) -> [(TokenKind, Option<u64>); 5] {
    [
        (TokenKind::Input, usage.input),
        (TokenKind::CacheRead, usage.cache_read),
        (TokenKind::CacheWrite, usage.cache_write),
        (TokenKind::Output, usage.output),
        (TokenKind::Reasoning, usage.reasoning),
    ]
}

/// What the answer said of its tokens; that it said nothing counts too.
fn count_tokens(destination: &Destination, usage: &Usage, work: &Work) {
    let numbers = &destination.numbers;
    let kinds = by_kind(usage);
    for (kind, count) in kinds {
        numbers.tokens.add(kind, count.unwrap_or(0));
    }
    let silent = kinds.iter().all(|(_, count)| count.is_none());
    let generation = !work.model.is_empty() && work.record.status == 200 && work.record.ended.is_none();
    numbers.answers_without_usage.add(u64::from(silent && generation));
}
