//! Per-worker counters. The worker is the only writer: an increment is a plain load and store, no locked operation.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that one worker writes and a scrape reads.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

impl Cell {
    /// Adds `by`.
    pub fn add(&self, by: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(by), Relaxed);
    }

    /// Takes `by` away (gauges).
    pub fn sub(&self, by: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(by), Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// One more until the guard is dropped, so that the number stays true whatever ends the work.
    pub fn hold(&self) -> Held<'_> {
        self.add(1);
        Held(self)
    }
}

/// See [`Cell::hold`].
#[derive(Debug)]
pub struct Held<'a>(&'a Cell);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.sub(1);
    }
}

/// Whether a number only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; exposed with `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
}

macro_rules! counters {
    ($($name:ident: $kind:ident, $help:literal;)*) => {
        /// All numbers of one worker. The table below is the only place where one is declared.
        #[derive(Debug, Default)]
        pub struct Counters {
            $(#[doc = $help] pub $name: Cell,)*
        }

        impl Counters {
            /// Name, kind, help and value of every number, in the order of the table.
            pub fn rows(&self) -> Vec<(&'static str, Kind, &'static str, u64)> {
                vec![$((stringify!($name), Kind::$kind, $help, self.$name.get()),)*]
            }
        }
    };
}

counters! {
    client_connections: Counter, "Client connections accepted, those to the own endpoints included";
    client_connections_open: Gauge, "Client connections open now";
    client_connections_refused: Counter, "Client connections closed at once because too many were open";
    client_aborts: Counter, "Requests whose client went away before its answer ended";
    requests: Counter, "Requests whose head was read";
    requests_open: Gauge, "Requests being served now";
    responses_2xx: Counter, "Answers with a status of 200 to 299";
    responses_3xx: Counter, "Answers with a status of 300 to 399";
    responses_4xx: Counter, "Answers with a status of 400 to 499, refusals included";
    responses_5xx: Counter, "Answers with a status of 500 to 599";
    refusals: Counter, "Answers of our own to requests that could not be served as they were";
    upstream_connects: Counter, "Connections opened to upstreams";
    upstream_connect_failures: Counter, "Connections to upstreams that could not be opened";
    upstream_reuses: Counter, "Requests sent on a kept connection";
    upstream_stale: Counter, "Kept connections found closed, or talking, before they were reused";
    upstream_replays: Counter, "Requests sent once more because a kept connection failed before any byte of an answer";
    upstream_aborts: Counter, "Upstream connections closed because the client went away";
    upstream_truncated: Counter, "Answers that ended before their framing said so";
    upstream_excess: Counter, "Answers followed by bytes that belong to none";
    upstream_invalid: Counter, "Answers that are not HTTP/1.1";
    upstream_timeouts: Counter, "Upstreams that sent, or took, nothing for too long";
    streams: Counter, "Answers relayed as event streams";
    streams_open: Gauge, "Event streams open now";
    bytes_from_clients: Counter, "Body bytes received from clients";
    bytes_to_clients: Counter, "Bytes sent to clients";
    panics: Counter, "Panics caught; each ended one connection. Must stay 0";
    log_dropped: Counter, "Log lines dropped because standard error was not read";
}

impl Counters {
    /// Counts an answer by the class of its status.
    pub fn response(&self, status: u16) {
        match status / 100 {
            2 => self.responses_2xx.add(1),
            3 => self.responses_3xx.add(1),
            4 => self.responses_4xx.add(1),
            5 => self.responses_5xx.add(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_takes_back_what_it_added() {
        let counters = Counters::default();
        {
            let _one = counters.streams_open.hold();
            let _two = counters.streams_open.hold();
            assert_eq!(counters.streams_open.get(), 2);
        }
        assert_eq!(counters.streams_open.get(), 0);
    }

    #[test]
    fn statuses_are_counted_by_class() {
        let counters = Counters::default();
        for status in [200, 204, 301, 404, 429, 500, 529, 103] {
            counters.response(status);
        }
        let classes =
            [&counters.responses_2xx, &counters.responses_3xx, &counters.responses_4xx, &counters.responses_5xx];
        assert_eq!(classes.map(Cell::get), [2, 1, 2, 2]);
    }
}
