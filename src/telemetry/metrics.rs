//! `/metrics`: every worker's numbers, summed when somebody asks.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::cell::{BOUNDS, Histogram, Kind, Observed};
use super::counters::Counters;
use super::provider::{ProviderNumbers, TokenKind};
use crate::dialect::chores::Chore;
use crate::net::driver::Chosen;
use crate::route::health::Health;

/// The content type of what [`render`] writes. Prometheus reads it whether it asked for it or not.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How a provider stands with all workers at this moment.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its name.
    pub provider: String,
    /// `closed`, `open` or `half-open`.
    pub breaker: &'static str,
    /// Keys that are not used for now.
    pub keys_benched: u64,
}

impl Standing {
    /// As its health says.
    pub fn of(provider: &str, health: &Health, now_ms: u64) -> Self {
        let (breaker, keys_benched) = (health.breaker(now_ms), health.keys_benched(now_ms) as u64);
        Self { provider: provider.to_owned(), breaker, keys_benched }
    }
}

/// The text of `/metrics`, in the OpenMetrics format. `workers` holds each worker's counters.
pub fn render(workers: &[Arc<Counters>], driver: &Chosen, standing: Vec<Standing>) -> String {
    let mut registry = Registry::with_prefix("sidestream");
    registry.register_collector(Box::new(Summed { workers: workers.to_vec(), driver: driver.clone(), standing }));
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = text::encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Summed {
    workers: Vec<Arc<Counters>>,
    driver: Chosen,
    standing: Vec<Standing>,
}

impl Collector for Summed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let encoder = &mut encoder;
        self.build(encoder)?;
        self.process(encoder)?;
        self.refusals(encoder)?;
        self.losses(encoder)?;
        self.standing(encoder)?;
        self.chores(encoder)?;
        Upstreams::of(&self.workers).encode(encoder)
    }
}

impl Summed {
    fn standing(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "1 while the provider is passed over for its failures, or one request finds out whether it is back";
        let mut family = encoder.encode_descriptor("upstream_breaker_open", help, None, MetricType::Gauge)?;
        for one in &self.standing {
            let is_open = u64::from(one.breaker != "closed");
            number(family.encode_family(&[("provider", one.provider.as_str())])?, Kind::Gauge, is_open)?;
        }
        let help = "Keys that are not used for now: refused, spent, or limited";
        let mut family = encoder.encode_descriptor("upstream_keys_benched", help, None, MetricType::Gauge)?;
        for one in &self.standing {
            number(family.encode_family(&[("provider", one.provider.as_str())])?, Kind::Gauge, one.keys_benched)?;
        }
        Ok(())
    }

    fn build(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let labels = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("driver", self.driver.name),
            ("reason", self.driver.why.as_str()),
        ];
        let help = "Version, driver, and why this driver";
        let mut info = encoder.encode_descriptor("build_info", help, None, MetricType::Gauge)?;
        number(info.encode_family(&labels)?, Kind::Gauge, 1)
    }

    /// What belongs to the process, not to a provider.
    fn process(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let rows: Vec<_> = self.workers.iter().map(|worker| worker.rows()).collect();
        for (place, row) in rows.first().into_iter().flatten().enumerate() {
            let sum = sum(rows.iter().filter_map(|rows| rows.get(place)).map(|row| row.value));
            number(encoder.encode_descriptor(row.name, row.help, None, metric_type(row.kind))?, row.kind, sum)?;
        }
        Ok(())
    }

    fn losses(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "Fields, blocks and events that another dialect could not say as they were";
        let mut family = encoder.encode_descriptor("translation_losses", help, None, MetricType::Counter)?;
        let workers: Vec<Vec<_>> = self.workers.iter().map(|worker| worker.losses.rows().collect()).collect();
        for (place, (from, to, kind, _)) in workers.first().into_iter().flatten().enumerate() {
            let sum = sum(workers.iter().filter_map(|rows| rows.get(place)).map(|row| row.3));
            let labels = [("from", from.name()), ("to", to.name()), ("kind", kind.name())];
            number(family.encode_family(&labels)?, Kind::Counter, sum)?;
        }
        Ok(())
    }

    fn chores(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "Chores of Claude Code answered here, without a model";
        let mut family = encoder.encode_descriptor("chores", help, None, MetricType::Counter)?;
        for chore in Chore::ALL {
            let rows = self.workers.iter().flat_map(|worker| worker.chores.rows());
            let sum = sum(rows.filter(|row| row.0 == chore).map(|row| row.1));
            number(family.encode_family(&[("chore", chore.name())])?, Kind::Counter, sum)?;
        }
        Ok(())
    }

    fn refusals(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut reasons = BTreeMap::<_, u64>::new();
        for row in self.workers.iter().flat_map(|worker| worker.refusals.rows()) {
            *reasons.entry((row.reason, row.who.name())).or_default() += row.count;
        }
        let help = "Answers of our own to requests that could not be served as they were";
        let mut family = encoder.encode_descriptor("refusals", help, None, MetricType::Counter)?;
        for ((reason, who), count) in reasons {
            number(family.encode_family(&[("reason", reason), ("who", who)])?, Kind::Counter, count)?;
        }
        Ok(())
    }
}

/// Every provider with the numbers that each worker has of it, in the order of their names.
struct Upstreams(BTreeMap<String, Vec<Arc<ProviderNumbers>>>);

impl Upstreams {
    fn of(workers: &[Arc<Counters>]) -> Self {
        let mut upstreams = BTreeMap::<_, Vec<_>>::new();
        for numbers in workers.iter().flat_map(|worker| worker.providers.all()) {
            upstreams.entry(numbers.name.clone()).or_default().push(numbers);
        }
        Self(upstreams)
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        self.requests(encoder)?;
        self.plain(encoder)?;
        let help = "Time that requests waited for connections to open";
        self.spent(encoder, "upstream_connect_seconds", help, |numbers| numbers.connect_micros.get())?;
        let help = "Time that requests did not wait because a connection was open: what opening one takes, each time";
        self.spent(encoder, "upstream_connect_seconds_saved", help, |numbers| numbers.saved_micros.get())?;
        let help = "From turning to the upstream to the first byte of its answer, waits and connects included";
        self.times(encoder, "upstream_time_to_first_byte", help, |numbers| &numbers.first_byte)?;
        let help = "From turning to the upstream to the end of its answer";
        self.times(encoder, "upstream_duration", help, |numbers| &numbers.duration)?;
        self.tokens(encoder)?;
        self.costs(encoder)?;
        self.models(encoder)?;
        self.failures(encoder)
    }

    /// By model and key, each once: the sum over workers.
    fn models(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut rows = BTreeMap::<_, (u64, [u64; TokenKind::ALL.len()], u64)>::new();
        for (provider, workers) in &self.0 {
            for one in workers.iter().flat_map(|numbers| numbers.models.all()) {
                let place = (provider.as_str(), one.model.clone(), (one.key + 1).to_string());
                let (requests, tokens, nanos) = rows.entry(place).or_default();
                *requests = requests.wrapping_add(one.requests.get());
                tokens.iter_mut().zip(one.tokens.rows()).for_each(|(sum, (_, count))| *sum = sum.wrapping_add(count));
                *nanos = nanos.wrapping_add(one.cost.get());
            }
        }
        let help = "Requests that were served, by model and number of the key";
        let mut family = encoder.encode_descriptor("upstream_model_requests", help, None, MetricType::Counter)?;
        for ((provider, model, key), (requests, ..)) in &rows {
            let labels = [("provider", *provider), ("model", model), ("key", key)];
            number(family.encode_family(&labels)?, Kind::Counter, *requests)?;
        }
        let help = "Their tokens, as upstream_tokens has them";
        let mut family = encoder.encode_descriptor("upstream_model_tokens", help, None, MetricType::Counter)?;
        for ((provider, model, key), (_, tokens, _)) in &rows {
            for (kind, count) in TokenKind::ALL.iter().zip(tokens) {
                let labels = [("provider", *provider), ("model", model), ("key", key), ("kind", kind.name())];
                number(family.encode_family(&labels)?, Kind::Counter, *count)?;
            }
        }
        let (help, unit) = ("What they cost, in US dollars", Unit::Other("usd".to_owned()));
        let mut family = encoder.encode_descriptor("upstream_model_cost", help, Some(&unit), MetricType::Counter)?;
        for ((provider, model, key), (.., nanos)) in &rows {
            let labels = [("provider", *provider), ("model", model), ("key", key)];
            ConstCounter::new(*nanos as f64 / 1e9).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn failures(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "Tries that came to nothing, by model, number of the key, and the status or what else happened";
        let mut family = encoder.encode_descriptor("upstream_failures", help, None, MetricType::Counter)?;
        for (provider, workers) in &self.0 {
            let mut counts = BTreeMap::<_, u64>::new();
            for row in workers.iter().flat_map(|numbers| numbers.failures.rows()) {
                let reason = if row.outcome.is_empty() { row.status.to_string() } else { row.outcome.to_owned() };
                *counts.entry((row.model, row.key + 1, reason)).or_default() += row.count;
            }
            for ((model, key, reason), count) in counts {
                let key = key.to_string();
                let labels = [
                    ("provider", provider.as_str()),
                    ("model", model.as_str()),
                    ("key", key.as_str()),
                    ("reason", reason.as_str()),
                ];
                number(family.encode_family(&labels)?, Kind::Counter, count)?;
            }
        }
        Ok(())
    }

    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "Requests by dialect and by the class of the status they came to; none: the client left first";
        let mut family = encoder.encode_descriptor("upstream_requests", help, None, MetricType::Counter)?;
        for (provider, workers) in &self.0 {
            let rows: Vec<Vec<_>> = workers.iter().map(|numbers| numbers.requests.rows().collect()).collect();
            for (place, (dialect, class, _)) in rows.first().into_iter().flatten().enumerate() {
                let sum = sum(rows.iter().filter_map(|rows| rows.get(place)).map(|row| row.2));
                let labels = [("provider", provider.as_str()), ("dialect", dialect.name()), ("status", class.name())];
                number(family.encode_family(&labels)?, Kind::Counter, sum)?;
            }
        }
        Ok(())
    }

    /// The numbers that have no label but the provider.
    fn plain(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        for (place, row) in ProviderNumbers::default().rows().iter().enumerate() {
            let name = format!("upstream_{}", row.name);
            let mut family = encoder.encode_descriptor(&name, row.help, None, metric_type(row.kind))?;
            for (provider, workers) in &self.0 {
                let values = workers.iter().filter_map(|numbers| numbers.rows().get(place).map(|row| row.value));
                number(family.encode_family(&[("provider", provider.as_str())])?, row.kind, sum(values))?;
            }
        }
        Ok(())
    }

    /// A sum of time; its name says the unit.
    fn spent(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        micros: impl Fn(&ProviderNumbers) -> u64,
    ) -> Result<(), Error> {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (provider, workers) in &self.0 {
            let micros = sum(workers.iter().map(|numbers| micros(numbers)));
            ConstCounter::new(seconds(micros)).encode(family.encode_family(&[("provider", provider.as_str())])?)?;
        }
        Ok(())
    }

    fn times(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        histogram: impl Fn(&ProviderNumbers) -> &Histogram,
    ) -> Result<(), Error> {
        let mut family = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for (provider, workers) in &self.0 {
            let mut seen = Observed::default();
            workers.iter().for_each(|numbers| histogram(numbers).add_to(&mut seen));
            let bounds = BOUNDS.iter().map(|bound| seconds(*bound)).chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(seen.counts).collect();
            let count = sum(seen.counts);
            let labels = [("provider", provider.as_str())];
            let mut metric = family.encode_family(&labels)?;
            metric.encode_histogram::<NoLabelSet>(seconds(seen.micros), count, &buckets, None)?;
        }
        Ok(())
    }

    fn costs(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "What requests cost by their tokens and the table of prices, in US dollars";
        let unit = Unit::Other("usd".to_owned());
        let mut family = encoder.encode_descriptor("upstream_cost", help, Some(&unit), MetricType::Counter)?;
        for (provider, workers) in &self.0 {
            let nanos = sum(workers.iter().map(|numbers| numbers.cost.get()));
            let dollars = ConstCounter::new(nanos as f64 / 1e9);
            dollars.encode(family.encode_family(&[("provider", provider.as_str())])?)?;
        }
        Ok(())
    }

    fn tokens(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let help = "Tokens as reported; input is without cache reads and writes, output is with reasoning";
        let mut family = encoder.encode_descriptor("upstream_tokens", help, None, MetricType::Counter)?;
        for (provider, workers) in &self.0 {
            let rows: Vec<Vec<_>> = workers.iter().map(|numbers| numbers.tokens.rows().collect()).collect();
            for (place, (kind, _)) in rows.first().into_iter().flatten().enumerate() {
                let sum = sum(rows.iter().filter_map(|rows| rows.get(place)).map(|row| row.1));
                let labels = [("provider", provider.as_str()), ("kind", kind.name())];
                number(family.encode_family(&labels)?, Kind::Counter, sum)?;
            }
        }
        Ok(())
    }
}

fn number(metric: MetricEncoder<'_>, kind: Kind, value: u64) -> Result<(), Error> {
    match kind {
        Kind::Counter => ConstCounter::new(value).encode(metric),
        Kind::Gauge => ConstGauge::new(value).encode(metric),
    }
}

fn metric_type(kind: Kind) -> MetricType {
    match kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
    }
}

/// A worker's numbers are read one after the other: no sum of theirs may panic, whatever it meets.
fn sum(values: impl IntoIterator<Item = u64>) -> u64 {
    values.into_iter().fold(0, u64::wrapping_add)
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests;
