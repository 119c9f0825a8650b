//! Reads a request in Messages into the waist.

use std::borrow::Cow;

use super::{read_content, read_tools};
use crate::dialect::loss::{Losses, name_of, rest, says_nothing};
use crate::dialect::turn::{Effort, Format, Refused, Request, Role, Text, Thinking, Turn};
use crate::json::{Kind, Value};

/// Reads a request. What has no word in the waist is among its `others`, or a loss.
///
/// # Errors
/// A field that Messages demands is missing, has the wrong type, or what it asks for only Anthropic's servers can do.
pub fn read<'a>(body: Value<'a>, losses: &mut Losses) -> Result<Request<'a>, Refused> {
    let request = read_to_count(body, losses)?;
    if request.max_tokens.is_none() {
        return Err(Refused::new("max_tokens", REQUIRED));
    }
    Ok(request)
}

/// The same for `count_tokens`, where `max_tokens` is not asked for.
///
/// # Errors
/// As in [`read`].
pub fn read_to_count<'a>(body: Value<'a>, losses: &mut Losses) -> Result<Request<'a>, Refused> {
    if body.kind() != Kind::Object {
        return Err(Refused::new("body", "Input should be a JSON object"));
    }
    // A stream of Messages always tells its usage.
    let mut request = Request { usage_wanted: true, ..Request::default() };
    let mut messages = None;
    for (key, value) in body.members() {
        if value.is_null() {
            continue;
        }
        let name = name_of(&key);
        match &*name {
            // Where it leads is decided before anything is translated.
            b"model" => {}
            b"messages" => messages = Some(value),
            b"system" => {
                let blocks = read_content::content(&value, "system", losses)?;
                request.turns.push(Turn { role: Role::System, blocks });
            }
            _ => setting(name, &value, &mut request, losses)?,
        }
    }
    let messages = messages.ok_or_else(|| Refused::new("messages", REQUIRED))?;
    read_messages(&messages, &mut request.turns, losses)?;
    Ok(request)
}

/// Whether a block of instructions is a mark that the client sets for Anthropic's accounting. It changes with every
/// conversation, so that in front of a prompt it would keep other servers from caching what follows.
pub fn is_client_mark(escaped: &[u8]) -> bool {
    escaped.starts_with(b"x-anthropic-billing-header:")
}

pub(super) const REQUIRED: &str = "Field required";

/// Every field but the conversation.
fn setting<'a>(
    name: Cow<'a, [u8]>,
    value: &Value<'a>,
    request: &mut Request<'a>,
    losses: &mut Losses,
) -> Result<(), Refused> {
    match &*name {
        b"max_tokens" => request.max_tokens = Some(count(value, "max_tokens")?),
        b"temperature" => request.temperature = Some(number(value, "temperature")?),
        b"top_p" => request.top_p = Some(number(value, "top_p")?),
        b"top_k" => request.top_k = Some(number(value, "top_k")?),
        b"stream" => request.stream = flag(value, "stream")?,
        b"stop_sequences" => request.stop = strings(value, "stop_sequences")?,
        b"metadata" => {
            request.user = optional_string(value, "user_id", "metadata")?;
            rest(value, "metadata", &["user_id"], losses);
        }
        b"tools" => request.tools = read_tools::tools(value, losses)?,
        b"tool_choice" => {
            (request.tool_choice, request.parallel_tools) = read_tools::tool_choice(value, losses)?;
        }
        b"thinking" => request.thinking = thinking(value, losses)?,
        b"output_config" => {
            request.effort = effort(value, losses)?;
            if let Some(wanted) = value.get("format") {
                request.format = Some(format(&wanted, "output_config.format", losses)?);
            }
            rest(value, "output_config", &["effort", "format"], losses);
        }
        b"output_format" => request.format = Some(format(value, "output_format", losses)?),
        b"thread" if !value.is_null() => return Err(Refused::thread()),
        b"mcp_servers" if value.items().next().is_some() => {
            return Err(Refused::new(
                "mcp_servers",
                "these servers are called by Anthropic's; the provider of this model has none",
            ));
        }
        _ if says_nothing(value) => {}
        _ => request.others.push((name, *value)),
    }
    Ok(())
}

fn read_messages<'a>(messages: &Value<'a>, turns: &mut Vec<Turn<'a>>, losses: &mut Losses) -> Result<(), Refused> {
    if messages.kind() != Kind::Array {
        return Err(Refused::new("messages", "Input should be a valid list"));
    }
    let begin = turns.len();
    for message in messages.items() {
        let role = message.get("role").ok_or_else(|| Refused::new("messages.role", REQUIRED))?;
        let role = match role.escaped() {
            Some(b"user") => Role::User,
            Some(b"assistant") => Role::Assistant,
            Some(b"system") => Role::System,
            _ => return Err(Refused::new("messages.role", "Input should be 'user', 'assistant' or 'system'")),
        };
        let content = message.get("content").ok_or_else(|| Refused::new("messages.content", REQUIRED))?;
        let blocks = read_content::content(&content, "messages.content", losses)?;
        turns.push(Turn { role, blocks });
        rest(&message, "messages", &["role", "content"], losses);
    }
    match turns.len() > begin {
        true => Ok(()),
        false => Err(Refused::new("messages", "at least one message is required")),
    }
}

fn thinking(value: &Value<'_>, losses: &mut Losses) -> Result<Option<Thinking>, Refused> {
    let kind = value.get("type").ok_or_else(|| Refused::new("thinking.type", REQUIRED))?;
    rest(value, "thinking", &["type", "budget_tokens"], losses);
    match kind.escaped() {
        Some(b"enabled") => {
            let budget = value.get("budget_tokens").ok_or_else(|| Refused::new("thinking.budget_tokens", REQUIRED))?;
            Ok(Some(Thinking::Budget(count(&budget, "thinking.budget_tokens")?)))
        }
        Some(b"adaptive") => Ok(Some(Thinking::Adaptive)),
        Some(b"disabled") => Ok(Some(Thinking::Disabled)),
        // Off, but for notes between tool calls, which nobody else gives.
        Some(b"between_tools") => {
            losses.approximated("thinking.type");
            Ok(Some(Thinking::Disabled))
        }
        // Ways to think come with new models; what is meant by one cannot be guessed.
        Some(_) => {
            losses.dropped("thinking.type");
            Ok(None)
        }
        None => Err(Refused::new("thinking.type", "Input should be a valid string")),
    }
}

/// How hard to try; a degree that is not known here is a loss, for it is but a wish.
fn effort(value: &Value<'_>, losses: &mut Losses) -> Result<Option<Effort>, Refused> {
    const PATH: &str = "output_config.effort";
    let Some(name) = optional_string(value, "effort", "output_config")? else {
        return Ok(None);
    };
    let known = std::str::from_utf8(&name).ok().and_then(Effort::of).filter(|effort| *effort != Effort::None);
    if known.is_none() {
        losses.dropped(PATH);
    }
    Ok(known)
}

fn format<'a>(value: &Value<'a>, path: &'static str, losses: &mut Losses) -> Result<Format<'a>, Refused> {
    if !value.get("type").is_some_and(|kind| kind.is("json_schema")) {
        return Err(Refused::new(format!("{path}.type"), "Input should be 'json_schema'"));
    }
    let schema = value.get("schema").filter(|schema| schema.kind() == Kind::Object);
    let schema = schema.ok_or_else(|| Refused::new(format!("{path}.schema"), REQUIRED))?;
    rest(value, path, &["type", "schema"], losses);
    // Messages knows no other way.
    Ok(Format::JsonSchema { name: None, schema, strict: Some(true) })
}

// ── Values ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/// The string that stands under `key` in the object at `path`; it must be there.
pub(super) fn string<'a>(value: &Value<'a>, key: &str, path: &str) -> Result<Text<'a>, Refused> {
    optional_string(value, key, path)?.ok_or_else(|| Refused::new(format!("{path}.{key}"), REQUIRED))
}

/// The same, where it may be missing.
pub(super) fn optional_string<'a>(value: &Value<'a>, key: &str, path: &str) -> Result<Option<Text<'a>>, Refused> {
    let wrong = || Refused::new(format!("{path}.{key}"), "Input should be a valid string");
    value.get(key).map(|value| value.escaped().map(Cow::Borrowed).ok_or_else(wrong)).transpose()
}

fn strings<'a>(value: &Value<'a>, path: &'static str) -> Result<Vec<Text<'a>>, Refused> {
    let wrong = || Refused::new(path, "Input should be a list of strings");
    if value.kind() != Kind::Array {
        return Err(wrong());
    }
    value.items().map(|item| item.escaped().map(Cow::Borrowed).ok_or_else(wrong)).collect()
}

fn count(value: &Value<'_>, path: &'static str) -> Result<u64, Refused> {
    value.as_u64().ok_or_else(|| Refused::new(path, "Input should be a whole number from 0 up"))
}

fn number<'a>(value: &Value<'a>, path: &'static str) -> Result<&'a [u8], Refused> {
    match value.kind() {
        Kind::Number => Ok(value.raw()),
        _ => Err(Refused::new(path, "Input should be a valid number")),
    }
}

pub(super) fn flag(value: &Value<'_>, path: &'static str) -> Result<bool, Refused> {
    value.as_bool().ok_or_else(|| Refused::new(path, "Input should be true or false"))
}
