//! Reads a request of Chat Completions.

mod data_url;
mod parts;
mod reasoning;
mod tools;
mod turns;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::dialect::loss::{Losses, rest};
use crate::dialect::raw::printable;
use crate::dialect::turn::{Effort, Format, Refused, Request, Text, Thinking};
use crate::json::{Kind, Value};

/// The fields that are read here or by whoever routes the request; all others go into [`Request::others`].
const READ: &[&str] = &[
    "model",
    "messages",
    "max_completion_tokens",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "n",
    "modalities",
    "stop",
    "stream",
    "stream_options",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "response_format",
    "reasoning_effort",
    "reasoning",
    "thinking",
    "user",
    "safety_identifier",
];

/// The request that a body is. What is missing stays missing: defaults are the writer's business.
///
/// A part that no other dialect knows (`input_audio`) is carried as [`crate::dialect::turn::Content::Other`]. The call of a
/// custom tool has the object `{"input": …}` as input, which is how such a tool is declared where there is no free text.
///
/// # Errors
/// The body is no request, or asks for what no other dialect can answer: several choices, or speech.
pub fn read<'a>(body: Value<'a>, losses: &mut Losses) -> Result<Request<'a>, Refused> {
    if body.kind() != Kind::Object {
        return Err(Refused::new("", "the body must be a JSON object"));
    }
    refuse_unanswerable(body)?;
    let mut request = Request {
        turns: turns::read(body, losses)?,
        parallel_tools: boolean(body, "parallel_tool_calls")?,
        format: format(body, losses)?,
        user: user(body, losses)?,
        ..sampling(body, losses)?
    };
    tools::read(body, &mut request, losses)?;
    effort(body, &mut request, losses);
    others(body, &mut request);
    Ok(request)
}

/// What Chat and the older completions have in common.
pub(in crate::dialect) fn sampling<'a>(body: Value<'a>, losses: &mut Losses) -> Result<Request<'a>, Refused> {
    let max_tokens = match whole(body, "max_completion_tokens")? {
        Some(tokens) => Some(tokens),
        None => whole(body, "max_tokens")?,
    };
    Ok(Request {
        max_tokens,
        temperature: number(body, "temperature")?,
        top_p: number(body, "top_p")?,
        top_k: number(body, "top_k")?,
        stop: stop(body)?,
        stream: boolean(body, "stream")?.unwrap_or_default(),
        usage_wanted: usage_wanted(body, losses)?,
        ..Request::default()
    })
}

/// Several choices, and answers that are spoken.
fn refuse_unanswerable(body: Value<'_>) -> Result<(), Refused> {
    if whole(body, "n")?.is_some_and(|choices| choices > 1) {
        return Err(Refused::new("n", "this model answers once a request: send n requests, or leave n out"));
    }
    if body.get("modalities").is_some_and(|kinds| kinds.items().any(|kind| kind.is("audio"))) {
        return Err(Refused::new("modalities", "this model answers in text: leave \"audio\" out"));
    }
    Ok(())
}

fn stop<'a>(body: Value<'a>) -> Result<Vec<Text<'a>>, Refused> {
    let Some(stop) = body.get("stop") else { return Ok(Vec::new()) };
    let texts: Option<Vec<_>> = match stop.kind() {
        Kind::String => Some(stop.escaped().into_iter().map(Cow::Borrowed).collect()),
        Kind::Array => stop.items().map(|item| item.escaped().map(Cow::Borrowed)).collect(),
        _ => None,
    };
    texts.ok_or_else(|| wrong("stop", "a string or an array of strings"))
}

fn usage_wanted(body: Value<'_>, losses: &mut Losses) -> Result<bool, Refused> {
    let Some(options) = body.get("stream_options") else { return Ok(false) };
    if options.kind() != Kind::Object {
        return Err(wrong("stream_options", "an object"));
    }
    for (key, value) in options.members().filter(|(key, _)| !key.is("include_usage")) {
        if value.as_bool() != Some(false) && !value.is_null() {
            losses.dropped(path("stream_options", key));
        }
    }
    Ok(options.get("include_usage").and_then(|wanted| wanted.as_bool()).unwrap_or_default())
}

fn format<'a>(body: Value<'a>, losses: &mut Losses) -> Result<Option<Format<'a>>, Refused> {
    let Some(format) = body.get("response_format") else { return Ok(None) };
    rest(&format, "response_format", &["type", "json_schema"], losses);
    let Some(kind) = format.get("type") else {
        return Err(wrong("response_format.type", "text, json_object or json_schema"));
    };
    if kind.is("text") {
        return Ok(None);
    }
    if kind.is("json_object") {
        return Ok(Some(Format::JsonObject));
    }
    if !kind.is("json_schema") {
        return Err(wrong("response_format.type", "text, json_object or json_schema"));
    }
    let about = format.get("json_schema").ok_or_else(|| wrong("response_format.json_schema", "an object"))?;
    rest(&about, "response_format.json_schema", &["name", "schema", "strict"], losses);
    // Without a schema any object is one.
    let Some(schema) = about.get("schema") else { return Ok(Some(Format::JsonObject)) };
    let name = about.get("name").and_then(|name| name.escaped()).map(Cow::Borrowed);
    let strict = about.get("strict").and_then(|strict| strict.as_bool());
    Ok(Some(Format::JsonSchema { name, schema, strict }))
}

/// `safety_identifier` takes the place of `user`.
pub(in crate::dialect) fn user<'a>(body: Value<'a>, losses: &mut Losses) -> Result<Option<Text<'a>>, Refused> {
    let (new, old) = (text(body, "safety_identifier")?, text(body, "user")?);
    if new.is_some() && old.is_some() && new != old {
        losses.dropped("user");
    }
    Ok(new.or(old).filter(|user| !user.is_empty()))
}

/// `reasoning_effort`, and what compatible servers have instead: OpenRouter's `reasoning`, the `thinking` of z.ai, DeepSeek
/// and Kimi.
fn effort(body: Value<'_>, request: &mut Request<'_>, losses: &mut Losses) {
    let named = |value: Value<'_>| value.text().and_then(|name| Effort::of(&name));
    if let Some(effort) = body.get("reasoning_effort") {
        request.effort = named(effort);
        if request.effort.is_none() {
            losses.dropped("reasoning_effort");
        }
    }
    if let Some(reasoning) = body.get("reasoning") {
        request.effort = request.effort.or_else(|| reasoning.get("effort").and_then(named));
        request.thinking = match (reasoning.get("max_tokens"), reasoning.get("enabled").and_then(|on| on.as_bool())) {
            (_, Some(false)) => Some(Thinking::Disabled),
            (Some(budget), _) => budget.as_u64().map(Thinking::Budget),
            (None, Some(true)) => Some(Thinking::Adaptive),
            (None, None) => None,
        };
        rest(&reasoning, "reasoning", &["effort", "max_tokens", "enabled"], losses);
    }
    let Some(thinking) = body.get("thinking") else { return };
    rest(&thinking, "thinking", &["type", "budget_tokens"], losses);
    let budget = thinking.get("budget_tokens").and_then(|budget| budget.as_u64());
    request.thinking = match thinking.get("type").and_then(|kind| kind.text()).as_deref() {
        Some("disabled") => Some(Thinking::Disabled),
        Some("enabled") => Some(budget.map_or(Thinking::Adaptive, Thinking::Budget)),
        Some("adaptive") => Some(Thinking::Adaptive),
        _ => {
            losses.dropped("thinking");
            request.thinking
        }
    };
}

/// All other fields, but for those that say what is so anyway.
pub(in crate::dialect) fn others_but<'a>(body: Value<'a>, read: &[&str], request: &mut Request<'a>) {
    for (key, value) in body.members() {
        let Some(name) = key.escaped() else { continue };
        if value.is_null() || read.iter().any(|known| key.is(known)) || is_default(key, value) {
            continue;
        }
        request.others.push((Cow::Borrowed(name), value));
    }
}

fn others<'a>(body: Value<'a>, request: &mut Request<'a>) {
    others_but(body, READ, request);
}

/// SDKs write defaults out: leaving such a field out changes nothing.
fn is_default(key: Value<'_>, value: Value<'_>) -> bool {
    const SWITCHES: [&str; 3] = ["logprobs", "store", "echo"];
    const NUMBERS: [&str; 3] = ["presence_penalty", "frequency_penalty", "top_logprobs"];
    const MAPS: [&str; 2] = ["logit_bias", "metadata"];
    let is = |names: &[&str]| names.iter().any(|name| key.is(name));
    match value.kind() {
        Kind::False => is(&SWITCHES),
        Kind::Number => is(&NUMBERS) && value.as_f64() == Some(0.0),
        Kind::Object => is(&MAPS) && value.members().next().is_none(),
        _ => false,
    }
}

pub(in crate::dialect) fn wrong(field: &'static str, what: &str) -> Refused {
    Refused::new(field, format!("{field} must be {what}"))
}

/// A member's path under another's.
pub(in crate::dialect) fn path(under: &str, key: Value<'_>) -> String {
    format!("{under}.{}", printable(key.escaped().unwrap_or_default()))
}

pub(in crate::dialect) fn whole(body: Value<'_>, field: &'static str) -> Result<Option<u64>, Refused> {
    body.get(field).map(|value| value.as_u64().ok_or_else(|| wrong(field, "a whole number from 0 up"))).transpose()
}

fn number<'a>(body: Value<'a>, field: &'static str) -> Result<Option<&'a [u8]>, Refused> {
    let Some(value) = body.get(field) else { return Ok(None) };
    (value.kind() == Kind::Number).then_some(Some(value.raw())).ok_or_else(|| wrong(field, "a number"))
}

fn boolean(body: Value<'_>, field: &'static str) -> Result<Option<bool>, Refused> {
    body.get(field).map(|value| value.as_bool().ok_or_else(|| wrong(field, "true or false"))).transpose()
}

fn text<'a>(body: Value<'a>, field: &'static str) -> Result<Option<Text<'a>>, Refused> {
    let Some(value) = body.get(field) else { return Ok(None) };
    value.escaped().map(|text| Some(Cow::Borrowed(text))).ok_or_else(|| wrong(field, "a string"))
}
