//! `/metrics`: every worker's counters, summed when somebody asks.

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::counters::{Counters, Kind};
use crate::net::driver::Chosen;

/// The content type of what [`render`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug)]
struct Summed {
    workers: Vec<Arc<Counters>>,
    driver: Chosen,
}

impl Collector for Summed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let labels = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("driver", self.driver.name),
            ("reason", self.driver.why.as_str()),
        ];
        let build = ConstGauge::<u64>::new(1);
        let mut info = encoder.encode_descriptor(
            "build_info",
            "Version, driver, and why this driver",
            None,
            build.metric_type(),
        )?;
        build.encode(info.encode_family(&labels)?)?;

        let rows: Vec<_> = self.workers.iter().map(|worker| worker.rows()).collect();
        for (place, &(name, kind, help, _)) in rows.first().into_iter().flatten().enumerate() {
            let sum = rows.iter().filter_map(|row| row.get(place)).map(|row| row.3).sum::<u64>();
            match kind {
                Kind::Counter => encode(&mut encoder, name, help, &ConstCounter::new(sum))?,
                Kind::Gauge => encode(&mut encoder, name, help, &ConstGauge::new(sum))?,
            }
        }
        Ok(())
    }
}

fn encode(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: &impl EncodeMetric) -> Result<(), Error> {
    value.encode(encoder.encode_descriptor(name, help, None, value.metric_type())?)
}

/// The text of `/metrics`, in the OpenMetrics format. `workers` holds each worker's counters.
pub fn render(workers: &[Arc<Counters>], driver: &Chosen) -> String {
    let mut registry = Registry::with_prefix("sidestream");
    registry.register_collector(Box::new(Summed { workers: workers.to_vec(), driver: driver.clone() }));
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = text::encode(&mut text, &registry);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_summed() {
        let workers = [Arc::new(Counters::default()), Arc::new(Counters::default())];
        workers[0].requests.add(3);
        workers[1].requests.add(4);
        workers[1].streams_open.add(2);
        let text = render(&workers, &Chosen { name: "epoll", why: "asked for".into() });
        for line in [
            "sidestream_requests_total 7",
            "sidestream_streams_open 2",
            "# TYPE sidestream_requests counter",
            "driver=\"epoll\",reason=\"asked for\"",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
