//! What one worker counts of one provider.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::cell::{Cell, Histogram, numbers};
use super::failures::Failures;
use super::models::Models;
use crate::dialect::Dialect;

/// The numbers of every provider that a worker ever knew, by name. They outlive a reload of the configuration: a name
/// that comes back goes on where it was, and one that is gone keeps its totals.
#[derive(Debug, Default)]
pub struct Providers(Mutex<Vec<Arc<ProviderNumbers>>>);

impl Providers {
    /// The numbers of the provider called `name`, from now on known. It takes a lock and may allocate: for the time a
    /// configuration is taken up, which keeps what it gets, not for each request.
    pub fn named(&self, name: &str) -> Arc<ProviderNumbers> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(numbers) = known.iter().find(|numbers| numbers.name == name) {
            return numbers.clone();
        }
        let numbers = Arc::new(ProviderNumbers { name: name.to_owned(), ..ProviderNumbers::default() });
        known.push(numbers.clone());
        numbers
    }

    /// All of them, in the order they became known.
    pub fn all(&self) -> Vec<Arc<ProviderNumbers>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

numbers! {
    /// What one worker counts of one provider; exposed as `sidestream_upstream_…{provider="…"}`.
    ProviderNumbers {
        connects: Counter, "Connections opened, spares included";
        connect_failures: Counter, "Connections that could not be opened";
        reuses: Counter, "Tries on a connection that was open already: connects that nobody waited for";
        stale: Counter, "Kept connections found closed, or talking, before they were reused";
        stale_reuses: Counter, "Requests that failed on a kept connection before any byte of an answer";
        replays: Counter, "Requests sent once more because a kept connection failed before any byte of an answer";
        retries: Counter, "Tries of requests that had been at this provider before";
        failovers: Counter, "Requests that came here because another provider could not serve them";
        hedges: Counter, "Second copies of requests that came here because the first one's candidate was late";
        hedges_won: Counter, "Of those, the ones that spoke first";
        retries_refused: Counter, "Tries that the retry budget had nothing left for";
        spares: Counter, "Connections opened before a request needed them";
        waits: Counter, "Requests that waited because every allowed connection was in use";
        wait_timeouts: Counter, "Requests that waited for a connection in vain";
        aborts: Counter, "Connections closed because the client went away";
        truncated: Counter, "Answers that ended before their framing said so";
        excess: Counter, "Answers followed by bytes that belong to none";
        invalid: Counter, "Answers that are not HTTP/1.1";
        timeouts: Counter, "Tries in which the upstream sent, or took, nothing for too long";
        answers_without_usage: Counter, "Successful answers that did not say how many tokens they used";
        requests_unpriced: Counter, "Requests whose tokens are known and whose model has no price in the table";
        warm_up_calls: Counter, "Calls of our own for one token, made before anybody asked; not among the requests";
        warm_up_call_failures: Counter, "Those that got no answer, or an error";
        warm_up_tokens: Counter, "Tokens that they used, input and output; not among the tokens of requests";
    }
    beside {
        /// Its name, the value of the label `provider`.
        name: String,
        /// Microseconds that requests waited for connections to open.
        connect_micros: Cell,
        /// Microseconds that they would have waited without the connections that were open already.
        saved_micros: Cell,
        /// From turning to this provider to the first byte of its final answer, waits and connects included.
        first_byte: Histogram,
        /// From turning to this provider to the end of its answer.
        duration: Histogram,
        /// Requests by dialect and class of status.
        requests: Requests,
        /// Tokens by kind.
        tokens: Tokens,
        /// The numbers of its models.
        models: Models,
        /// Tries that came to nothing.
        failures: Failures,
        /// What they cost, in nano-dollars.
        cost: Cell,
    }
}

impl ProviderNumbers {
    /// Counts a request that turned to this provider, when it is over here: in the dialect the client speaks, with the
    /// status it came to (the upstream's, or ours where the upstream failed; 0 if the client left first), and the time
    /// since it turned here.
    pub fn settle(&self, dialect: Dialect, status: u16, first_byte: Option<Duration>, total: Duration) {
        self.requests.cell(dialect, StatusClass::of(status)).add(1);
        if let Some(time) = first_byte {
            self.first_byte.observe(time);
        }
        self.duration.observe(total);
    }
}

/// Requests by dialect and class of status.
#[derive(Debug, Default)]
pub struct Requests([[Cell; StatusClass::ALL.len()]; DIALECTS.len()]);

const DIALECTS: [Dialect; 3] = [Dialect::Chat, Dialect::Responses, Dialect::Messages];

impl Requests {
    /// Every combination with its number.
    pub fn rows(&self) -> impl Iterator<Item = (Dialect, StatusClass, u64)> {
        let dialects = DIALECTS.into_iter().zip(&self.0);
        dialects.flat_map(|(dialect, of_dialect)| {
            StatusClass::ALL.into_iter().zip(of_dialect).map(move |(class, cell)| (dialect, class, cell.get()))
        })
    }

    fn cell(&self, dialect: Dialect, class: StatusClass) -> &Cell {
        let [chat, responses, messages] = &self.0;
        let of_dialect = match dialect {
            Dialect::Chat => chat,
            Dialect::Responses => responses,
            Dialect::Messages => messages,
        };
        // A class is its place in ALL, which a test holds.
        &of_dialect[class as usize]
    }
}

/// The class of a status, as a label's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusClass {
    /// 200–299.
    Success,
    /// 300–399.
    Redirect,
    /// 400–499.
    ClientError,
    /// 500–599, and beyond: an unknown class is to be treated so (RFC 9110 §15).
    ServerError,
    /// No status: the client left before there was one.
    Nothing,
}

impl StatusClass {
    /// All, in the order of their declaration.
    pub const ALL: [Self; 5] = [Self::Success, Self::Redirect, Self::ClientError, Self::ServerError, Self::Nothing];

    /// The class of a final status; 0 says that there was none.
    pub fn of(status: u16) -> Self {
        match status {
            ..200 => Self::Nothing,
            200..300 => Self::Success,
            300..400 => Self::Redirect,
            400..500 => Self::ClientError,
            500.. => Self::ServerError,
        }
    }

    /// The label's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "2xx",
            Self::Redirect => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::Nothing => "none",
        }
    }
}

/// What a token was used for. The dialects draw the lines differently: whoever reads a usage makes it fit these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Of the prompt, neither read from a cache nor written to one.
    Input,
    /// Of the prompt, read from the provider's cache.
    CacheRead,
    /// Of the prompt, written to the provider's cache.
    CacheWrite,
    /// Of the answer, reasoning included.
    Output,
    /// Of the answer, spent on reasoning: a part of [`TokenKind::Output`].
    Reasoning,
}

impl TokenKind {
    /// All, in the order of their declaration.
    pub const ALL: [Self; 5] = [Self::Input, Self::CacheRead, Self::CacheWrite, Self::Output, Self::Reasoning];

    /// The label's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::CacheRead => "cache_read",
            Self::CacheWrite => "cache_write",
            Self::Output => "output",
            Self::Reasoning => "reasoning",
        }
    }
}

/// Tokens by kind, as upstreams report them.
#[derive(Debug, Default)]
pub struct Tokens([Cell; TokenKind::ALL.len()]);

impl Tokens {
    /// Counts the tokens that an answer reported.
    pub fn add(&self, kind: TokenKind, count: u64) {
        // A kind is its place in ALL, which a test holds.
        self.0[kind as usize].add(count);
    }

    /// Every kind with its number.
    pub fn rows(&self) -> impl Iterator<Item = (TokenKind, u64)> {
        TokenKind::ALL.into_iter().zip(self.0.iter().map(Cell::get))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_numbers() {
        let providers = Providers::default();
        providers.named("openai").connects.add(2);
        providers.named("zai").connects.add(5);
        providers.named("openai").connects.add(1);
        let all: Vec<_> = providers.all().iter().map(|one| (one.name.clone(), one.connects.get())).collect();
        assert_eq!(all, [("openai".to_owned(), 3), ("zai".to_owned(), 5)]);
    }

    #[test]
    fn requests_are_told_apart_by_dialect_and_class() {
        let table = [
            (Dialect::Chat, 0, StatusClass::Nothing),
            (Dialect::Chat, 103, StatusClass::Nothing),
            (Dialect::Chat, 200, StatusClass::Success),
            (Dialect::Responses, 299, StatusClass::Success),
            (Dialect::Messages, 304, StatusClass::Redirect),
            (Dialect::Messages, 499, StatusClass::ClientError),
            (Dialect::Messages, 529, StatusClass::ServerError),
            (Dialect::Messages, 999, StatusClass::ServerError),
        ];
        for (dialect, status, class) in table {
            let numbers = ProviderNumbers::default();
            numbers.settle(dialect, status, None, Duration::from_millis(1));
            let counted: Vec<_> = numbers.requests.rows().filter(|row| row.2 > 0).collect();
            assert_eq!(counted, [(dialect, class, 1)], "{status}");
        }
    }

    #[test]
    fn a_time_without_a_first_byte_is_only_a_duration() {
        let numbers = ProviderNumbers::default();
        numbers.settle(Dialect::Chat, 0, None, Duration::from_secs(1));
        numbers.settle(Dialect::Chat, 200, Some(Duration::from_secs(1)), Duration::from_secs(2));
        let observed = |histogram: &Histogram| {
            let mut sum = Default::default();
            histogram.add_to(&mut sum);
            (sum.counts.iter().sum::<u64>(), sum.micros)
        };
        assert_eq!(observed(&numbers.first_byte), (1, 1_000_000));
        assert_eq!(observed(&numbers.duration), (2, 3_000_000));
    }

    #[test]
    fn tokens_are_told_apart_by_kind() {
        for kind in TokenKind::ALL {
            let tokens = Tokens::default();
            tokens.add(kind, 7);
            assert!(tokens.rows().all(|(of, count)| count == if of == kind { 7 } else { 0 }), "{kind:?}");
        }
    }

    #[test]
    fn labels_differ_and_stand_at_their_place() {
        let classes = StatusClass::ALL.map(|class| (class as usize, class.name()));
        assert_eq!(classes, [(0, "2xx"), (1, "3xx"), (2, "4xx"), (3, "5xx"), (4, "none")]);
        let kinds = TokenKind::ALL.map(|kind| (kind as usize, kind.name()));
        assert_eq!(kinds, [(0, "input"), (1, "cache_read"), (2, "cache_write"), (3, "output"), (4, "reasoning")]);
    }
}
