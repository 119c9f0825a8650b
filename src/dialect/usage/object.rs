//! Reads reports: which member of an event is one, and what its members mean.

use super::Usage;
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
    usage: Scanner,
    details: Scanner,
}

impl Reader {
    pub fn new() -> Self {
        Self {
            event: Scanner::new(&["usage", "message", "response", "x_groq"]),
            holder: Scanner::new(&["usage"]),
            usage: Scanner::new(USAGE_KEYS),
            details: Scanner::new(DETAILS_KEYS),
        }
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
    pub fn usage(&mut self, text: &[u8], counts: &mut Counts) {
        if !scan(&mut self.usage, text) {
            return;
        }
        let scanner = &self.usage;
        let root = |key| number(scanner, key, text);
        counts.input_is_whole |=
            root("prompt_tokens").is_some() || object(scanner, "input_tokens_details", text).is_some();
        last(&mut counts.input, root("prompt_tokens").or_else(|| root("input_tokens")));
        last(&mut counts.output, root("completion_tokens").or_else(|| root("output_tokens")));
        last(&mut counts.total, root("total_tokens"));
        let read = ["cache_read_input_tokens", "prompt_cache_hit_tokens", "cached_tokens"];
        last(&mut counts.cache_read, read.into_iter().find_map(root));
        last(&mut counts.cache_write, root("cache_creation_input_tokens"));
        last(&mut counts.reasoning, root("reasoning_tokens"));
        for key in
            ["prompt_tokens_details", "input_tokens_details", "completion_tokens_details", "output_tokens_details"]
        {
            let Some(details) = object(&self.usage, key, text).filter(|details| scan(&mut self.details, details))
            else {
                continue;
            };
            let detail = |key: &&str| number(&self.details, key, details);
            if key.starts_with("prompt") || key.starts_with("input") {
                last(&mut counts.cache_read, detail(&"cached_tokens"));
                last(&mut counts.cache_write, CACHE_WRITE_KEYS.iter().find_map(detail));
            } else {
                last(&mut counts.reasoning, REASONING_KEYS.iter().find_map(detail));
            }
        }
    }
}

/// The members of a report, in all dialects and their variants.
const USAGE_KEYS: &[&str] = &[
    "prompt_tokens",
    "input_tokens",
    "completion_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    // DeepSeek, Moonshot, Perplexity
    "prompt_cache_hit_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "prompt_tokens_details",
    "input_tokens_details",
    "completion_tokens_details",
    "output_tokens_details",
];
const DETAILS_KEYS: &[&str] = &[
    "cached_tokens",
    "cache_write_tokens",
    "cache_creation_tokens",
    "cached_creation_tokens",
    "reasoning_tokens",
    "thinking_tokens",
];
/// OpenAI's, and those of gateways.
const CACHE_WRITE_KEYS: &[&str] = &["cache_write_tokens", "cache_creation_tokens", "cached_creation_tokens"];
/// OpenAI's and Anthropic's.
const REASONING_KEYS: &[&str] = &["reasoning_tokens", "thinking_tokens"];

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
fn number(scanner: &Scanner, key: &str, text: &[u8]) -> Option<u64> {
    let member = scanner.get(key).filter(|member| member.kind == Kind::Number)?;
    let text = str::from_utf8(text.get(member.start..member.end)?).ok()?;
    text.parse().ok().or_else(|| {
        let value: f64 = text.parse().ok()?;
        (value.fract() == 0.0 && (0.0..=COUNT_MAX).contains(&value)).then_some(value as u64)
    })
}

/// The largest integer up to which a fraction is exact.
const COUNT_MAX: f64 = 9_007_199_254_740_992.0;
