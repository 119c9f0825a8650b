//! What one worker counts. What belongs to one provider is in [`super::provider`].

use super::cell::numbers;
use super::chores::Chores;
use super::losses::Losses;
use super::provider::Providers;
use super::reasons::Reasons;

numbers! {
    /// All numbers of one worker. The table below is the only place where one is declared.
    Counters {
        client_connections: Counter, "Client connections accepted, those to the own endpoints included";
        client_connections_open: Gauge, "Client connections open now";
        client_connections_refused: Counter, "Client connections closed at once because too many were open";
        client_handshake_failures: Counter, "Client connections that ended in their TLS handshake";
        client_aborts: Counter, "Requests whose client went away before its answer ended";
        client_received_bytes: Counter, "Body bytes received from clients";
        client_sent_bytes: Counter, "Bytes sent to clients";
        requests: Counter, "Requests whose head was read";
        requests_open: Gauge, "Requests being served now";
        responses_2xx: Counter, "Answers with a status of 200 to 299";
        responses_3xx: Counter, "Answers with a status of 300 to 399";
        responses_4xx: Counter, "Answers with a status of 400 to 499, refusals included";
        responses_5xx: Counter, "Answers with a status of 500 to 599";
        requests_stopped: Counter, "Requests that POST /stop ended";
        streams: Counter, "Answers relayed as event streams";
        streams_open: Gauge, "Event streams open now";
        panics: Counter, "Panics caught; each ended one connection. Must stay 0";
        log_dropped: Counter, "Log lines dropped because standard error was not read";
    }
    beside {
        /// Answers of our own to requests that could not be served as they were, by reason.
        refusals: Reasons,
        /// Chores that were answered here.
        chores: Chores,
        /// What was lost between two dialects.
        losses: Losses,
        /// The numbers of each provider.
        providers: Providers,
    }
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
    use super::super::cell::Cell;
    use super::*;

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
