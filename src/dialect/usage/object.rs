//! Reads reports: which member of an event is one, and what its members mean.

use super::Usage;
use super::members::members;
use crate::json::{Kind, Scanner};

/// Counts as reported, the last value of each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    input: Option<u64>,
    /// The input includes what the cache took part in.
    input_is_whole: bool,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    output: Option<u64>,
    reasoning: Option<u64>,
    total: Option<u64>,
}

impl Counts {
    pub fn usage(&self) -> Usage {
        let Self { input, input_is_whole, cache_read, cache_write, output, reasoning, total } = *self;
        if !input_is_whole {
            return Usage { input, cache_read, cache_write, output, reasoning };
        }
        let cached = cache_read.unwrap_or(0).saturating_add(cache_write.unwrap_or(0));
        // Some servers leave reasoning out of their output, but not out of the total.
        let rest = total.zip(input).map(|(total, input)| total.saturating_sub(input));
        let output = output.map(|output| output.max(rest.unwrap_or(0)));
        Usage { input: input.map(|input| input.saturating_sub(cached)), cache_read, cache_write, output, reasoning }
    }
}

/// The scanners, one for each depth.
#[derive(Debug)]
pub(super) struct Reader {
    event: Scanner,
    holder: Scanner,
}

impl Reader {
    pub fn new() -> Self {
        Self { event: Scanner::new(&["usage", "message", "response", "x_groq"]), holder: Scanner::new(&["usage"]) }
    }

    /// Reads an event's data: a report stands in it as `usage`, or in the message or response that it carries. The word
    /// anywhere else is content.
    pub fn event(&mut self, data: &[u8], counts: &mut Counts) {
        if !scan(&mut self.event, data) {
            return;
        }
        for key in ["message", "response", "x_groq"] {
            if let Some(holder) = object(&self.event, key, data)
                && scan(&mut self.holder, holder)
                && let Some(usage) = object(&self.holder, "usage", holder)
            {
                self.usage(usage, counts);
            }
        }
        if let Some(usage) = object(&self.event, "usage", data) {
            self.usage(usage, counts);
        }
    }

    /// Reads a report.
    pub fn usage(&self, text: &[u8], counts: &mut Counts) {
        let mut report = Counts::default();
        let mut details = Counts::default();
        for (key, value) in members(text) {
            match key {
                b"prompt_tokens" => {
                    report.input = number(value);
                    report.input_is_whole |= report.input.is_some();
                }
                b"input_tokens" => last(&mut details.input, number(value)),
                b"completion_tokens" => report.output = number(value),
                b"output_tokens" => last(&mut details.output, number(value)),
                b"total_tokens" => report.total = number(value),
                // DeepSeek, Moonshot, Perplexity
                b"cache_read_input_tokens" | b"prompt_cache_hit_tokens" | b"cached_tokens" => {
                    last(&mut report.cache_read, number(value));
                }
                b"cache_creation_input_tokens" => report.cache_write = number(value),
                b"reasoning_tokens" => report.reasoning = number(value),
                b"prompt_tokens_details" | b"input_tokens_details" => {
                    report.input_is_whole |= key.starts_with(b"input") && value.starts_with(b"{");
                    for (key, value) in members(value) {
                        match key {
                            b"cached_tokens" => last(&mut details.cache_read, number(value)),
                            // OpenAI's, and those of gateways.
                            b"cache_write_tokens" | b"cache_creation_tokens" | b"cached_creation_tokens" => {
                                last(&mut details.cache_write, number(value));
                            }
                            _ => {}
                        }
                    }
                }
                b"completion_tokens_details" | b"output_tokens_details" => {
                    for (key, value) in members(value) {
                        // OpenAI's and Anthropic's.
                        if matches!(key, b"reasoning_tokens" | b"thinking_tokens") {
                            last(&mut details.reasoning, number(value));
                        }
                    }
                }
                _ => {}
            }
        }
        counts.input_is_whole |= report.input_is_whole;
        // The newer names count where the older are missing, details over what stands beside them.
        last(&mut counts.input, report.input.or(details.input));
        last(&mut counts.output, report.output.or(details.output));
        last(&mut counts.total, report.total);
        last(&mut counts.cache_read, details.cache_read.or(report.cache_read));
        last(&mut counts.cache_write, details.cache_write.or(report.cache_write));
        last(&mut counts.reasoning, details.reasoning.or(report.reasoning));
    }
}

fn last(count: &mut Option<u64>, value: Option<u64>) {
    *count = value.or(*count);
}

/// Finds the members of an object; says whether it is one.
fn scan(scanner: &mut Scanner, text: &[u8]) -> bool {
    scanner.reset();
    scanner.push(text).is_ok() && scanner.finish().is_ok()
}

fn object<'t>(scanner: &Scanner, key: &str, text: &'t [u8]) -> Option<&'t [u8]> {
    let member = scanner.get(key).filter(|member| member.kind == Kind::Object)?;
    text.get(member.start..member.end)
}

/// A count: an integer, also one that was written as a fraction (`12.0`).
fn number(text: &[u8]) -> Option<u64> {
    let text = str::from_utf8(text).ok()?;
    text.parse().ok().or_else(|| {
        let is_number = text.starts_with(|first: char| first.is_ascii_digit());
        let value: f64 = is_number.then(|| text.parse().ok())??;
        (value.fract() == 0.0 && (0.0..=COUNT_MAX).contains(&value)).then_some(value as u64)
    })
}

/// The largest integer up to which a fraction is exact.
const COUNT_MAX: f64 = 9_007_199_254_740_992.0;
