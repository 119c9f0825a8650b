//! What an upstream says that an answer used, read in passing from answers that go on untouched.
//!
//! `stream` finds the events that may say it, `body` the member of a whole answer, `object` reads what either found.

mod body;
mod members;
mod object;
mod stream;
#[cfg(test)]
mod tests;

use body::Body;
use object::Counts;
use stream::Stream;

/// Tokens as the upstream counted them, in parts that do not overlap but for `cache_write_1h` and `reasoning`; `None` where it said nothing.
///
/// The shapes are those of Chat Completions, Responses and Messages (`prompt_tokens` and Responses' `input_tokens` include
/// what the cache took part in, Messages' does not), and the variants of vendors' compatible APIs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input that no cache took part in.
    pub input: Option<u64>,
    /// Input that was read from a cache.
    pub cache_read: Option<u64>,
    /// Input that was written to a cache.
    pub cache_write: Option<u64>,
    /// The part of what was written to a cache that is kept there for an hour, which costs more.
    pub cache_write_1h: Option<u64>,
    /// Output, reasoning included.
    pub output: Option<u64>,
    /// The part of the output that was reasoning.
    pub reasoning: Option<u64>,
}

impl Usage {
    /// Whether nothing was said.
    pub fn is_silent(&self) -> bool {
        *self == Self::default()
    }
}

/// Reads the usage of one answer at a time, streamed or whole, in any pieces. Its memory is reused: nothing is allocated
/// once it has grown to the longest event that arrived in pieces.
///
/// Of several reports in a stream the last value of each field holds, for they are running totals; what a later one
/// leaves out, or says is null, stays. What cannot be read is passed over: this reader never fails.
///
/// ```
/// let mut reader = sidestream::dialect::usage::UsageReader::new();
/// reader.push_stream(b"data: {\"usage\":{\"prompt_tok");
/// reader.push_stream(b"ens\":9,\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n");
/// assert_eq!((reader.usage().input, reader.usage().cache_read), (Some(5), Some(4)));
/// ```
#[derive(Debug)]
pub struct UsageReader {
    stream: Stream,
    body: Body,
    counts: Counts,
    objects: object::Reader,
    told: Option<Usage>,
}

impl UsageReader {
    /// A reader that has seen nothing.
    pub fn new() -> Self {
        Self {
            stream: Stream::new(),
            body: Body::new(),
            counts: Counts::default(),
            objects: object::Reader::new(),
            told: None,
        }
    }

    /// Makes it ready for another answer.
    pub fn reset(&mut self) {
        self.stream.reset();
        self.body.reset();
        self.counts = Counts::default();
        self.told = None;
    }

    /// Takes the next bytes of a stream of server-sent events. An event counts once its blank line has come, as it does
    /// for the client; one longer than [`crate::limits::EVENT_BYTES_MAX`] is passed over.
    pub fn push_stream(&mut self, payload: &[u8]) {
        let Self { stream, counts, objects, .. } = self;
        stream.push(payload, |data| objects.event(data, counts));
    }

    /// Takes the next bytes of a JSON answer. A report longer than [`crate::limits::USAGE_BYTES_MAX`] is passed over.
    pub fn push_json(&mut self, payload: &[u8]) {
        let Self { body, counts, objects, .. } = self;
        body.push(payload, |usage| {
            let _ = objects.usage(usage, counts);
        });
    }

    /// Takes one report, an object, of an answer that somebody else reads.
    pub fn push_report(&mut self, report: &[u8]) {
        let _ = self.objects.usage(report, &mut self.counts);
    }

    /// Takes what was read elsewhere: it holds instead of all that was said before.
    pub fn report(&mut self, usage: Usage) {
        self.told = Some(usage);
    }

    /// What has been said so far.
    pub fn usage(&mut self) -> Usage {
        let Self { body, counts, objects, told, .. } = self;
        if let Some(told) = told {
            return *told;
        }
        let mut read = *counts;
        let is_found = body.finish(|text| {
            read = *counts;
            objects.usage(text, &mut read).map(<[u8]>::len)
        });
        if is_found {
            *counts = read;
        }
        counts.usage()
    }
}

impl Default for UsageReader {
    fn default() -> Self {
        Self::new()
    }
}
