//! Reads reports: which member of an event is one, and what its members mean.

use super::Usage;
use super::members::{Members, Value};
use crate::json::{Kind, Scanner};

/// Counts as reported, the last value of each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    input: Option<u64>,
    /// The input includes what the cache took part in.
    input_is_whole: bool,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    cache_write_1h: Option<u64>,
    output: Option<u64>,
    reasoning: Option<u64>,
    total: Option<u64>,
}

impl Counts {
    pub fn usage(&self) -> Usage {
        let Self { input, input_is_whole, cache_read, cache_write, cache_write_1h, output, reasoning, total } = *self;
        if !input_is_whole {
            return Usage { input, cache_read, cache_write, cache_write_1h, output, reasoning };
        }
        let cached = cache_read.unwrap_or(0).saturating_add(cache_write.unwrap_or(0));
        // Some servers leave reasoning out of their output, but not out of the total.
        let rest = total.zip(input).map(|(total, input)| total.saturating_sub(input));
        let output = output.map(|output| output.max(rest.unwrap_or(0)));
        let input = input.map(|input| input.saturating_sub(cached));
        Usage { input, cache_read, cache_write, cache_write_1h, output, reasoning }
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

    /// Reads the report at the front of `text`, an object. Gives what follows it; of one that breaks off, what it says
    /// before counts.
    pub fn usage<'t>(&self, text: &'t [u8], counts: &mut Counts) -> Option<&'t [u8]> {
        let (mut report, mut details) = (Counts::default(), Counts::default());
        let mut members = Members::of(text)?;
        while let Some((key, value)) = members.next() {
            let count = match value {
                Value::Plain(text) => number(text),
                Value::Object => {
                    detail(key, &mut members, &mut report, &mut details);
                    None
                }
                Value::Other => None,
            };
            match key {
                b"prompt_tokens" => {
                    report.input = count;
                    report.input_is_whole |= count.is_some();
                }
                b"input_tokens" => last(&mut details.input, count),
                b"completion_tokens" => report.output = count,
                b"output_tokens" => last(&mut details.output, count),
                b"total_tokens" => report.total = count,
                // DeepSeek, Moonshot, Perplexity
                b"cache_read_input_tokens" | b"prompt_cache_hit_tokens" | b"cached_tokens" => {
                    last(&mut report.cache_read, count);
                }
                b"cache_creation_input_tokens" => report.cache_write = count,
                b"reasoning_tokens" => report.reasoning = count,
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
        last(&mut counts.cache_write_1h, details.cache_write_1h);
        last(&mut counts.reasoning, details.reasoning.or(report.reasoning));
        members.behind()
    }
}

/// Reads an object of details.
fn detail(key: &[u8], members: &mut Members<'_>, report: &mut Counts, details: &mut Counts) {
    let of_input = matches!(key, b"prompt_tokens_details" | b"input_tokens_details");
    if key == b"cache_creation" {
        members.enter(|key, value| {
            if let (b"ephemeral_1h_input_tokens", Value::Plain(text)) = (key, value) {
                last(&mut details.cache_write_1h, number(text));
            }
        });
        return;
    }
    if !of_input && !matches!(key, b"completion_tokens_details" | b"output_tokens_details") {
        return;
    }
    report.input_is_whole |= key == b"input_tokens_details";
    members.enter(|key, value| {
        let Value::Plain(text) = value else { return };
        match key {
            b"cached_tokens" if of_input => last(&mut details.cache_read, number(text)),
            // OpenAI's, and those of gateways.
            b"cache_write_tokens" | b"cache_creation_tokens" | b"cached_creation_tokens" if of_input => {
                last(&mut details.cache_write, number(text));
            }
            // OpenAI's and Anthropic's.
            b"reasoning_tokens" | b"thinking_tokens" if !of_input => last(&mut details.reasoning, number(text)),
            _ => {}
        }
    });
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
    let digits = |count: u64, byte: &u8| match byte {
        b'0'..=b'9' => count.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    };
    text.first().filter(|first| first.is_ascii_digit())?;
    text.iter().try_fold(0, digits).or_else(|| fraction(text))
}

#[cold]
fn fraction(text: &[u8]) -> Option<u64> {
    let value: f64 = str::from_utf8(text).ok()?.parse().ok()?;
    (value.fract() == 0.0 && (0.0..=COUNT_MAX).contains(&value)).then_some(value as u64)
}

/// The largest integer up to which a fraction is exact.
const COUNT_MAX: f64 = 9_007_199_254_740_992.0;
