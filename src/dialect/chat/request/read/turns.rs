//! The conversation.

use std::borrow::Cow;

use super::parts::{self, member};
use super::{path, reasoning, wrong};
use crate::dialect::loss::{Losses, rest};
use crate::dialect::turn::{Block, Content, Input, Refused, Role, Text, ToolCall, ToolResult, Turn};
use crate::json::text::escape;
use crate::json::{Kind, Value};

/// One turn a message, in their order.
pub fn read<'a>(body: Value<'a>, losses: &mut Losses) -> Result<Vec<Turn<'a>>, Refused> {
    let messages = body.get("messages").filter(|messages| messages.kind() == Kind::Array);
    let messages = messages.ok_or_else(|| wrong("messages", "an array"))?;
    messages.items().map(|message| turn(message, losses)).collect()
}

fn turn<'a>(message: Value<'a>, losses: &mut Losses) -> Result<Turn<'a>, Refused> {
    let role = message.get("role").and_then(|role| role.text());
    let (role, blocks) = match role.as_deref() {
        Some("system" | "developer") => (Role::System, parts::read(message, losses)?),
        Some("user") => (Role::User, parts::read(message, losses)?),
        Some("assistant") => (Role::Assistant, assistant(message, losses)?),
        // The older `function` names no call; neither had the call an id.
        Some("tool" | "function") => (Role::User, vec![result(message, losses)?]),
        Some(_) => return Err(wrong("messages.role", "system, developer, user, assistant or tool")),
        None => return Err(wrong("messages.role", "a string")),
    };
    lose(message, role, losses);
    Ok(Turn { role, blocks })
}

fn assistant<'a>(message: Value<'a>, losses: &mut Losses) -> Result<Vec<Block<'a>>, Refused> {
    let mut blocks = reasoning::read(message, losses);
    blocks.extend(parts::read(message, losses)?);
    let refusal = member(message, "refusal").filter(|refusal| !refusal.is_empty());
    blocks.extend(refusal.map(|refusal| Block::new(Content::Refusal(refusal))));
    for one in message.get("tool_calls").into_iter().flat_map(|calls| calls.items()) {
        blocks.push(call(one, losses)?);
    }
    let function = message.get("function_call");
    if let Some(function) = function {
        rest(&function, "messages.function_call", &["name", "arguments"], losses);
        blocks.push(called(None, function, arguments(function)));
    }
    Ok(blocks)
}

fn call<'a>(call: Value<'a>, losses: &mut Losses) -> Result<Block<'a>, Refused> {
    let id = member(call, "id");
    // The place in the list, which clients keep that put a stream together.
    rest(&call, "messages.tool_calls", &["id", "type", "function", "custom", "index"], losses);
    if let Some(custom) = call.get("custom") {
        rest(&custom, "messages.tool_calls.custom", &["name", "input"], losses);
        return Ok(called(id, custom, free_text(custom)));
    }
    let function = call.get("function").filter(|function| function.kind() == Kind::Object);
    let function = function.ok_or_else(|| wrong("messages.tool_calls.function", "an object"))?;
    rest(&function, "messages.tool_calls.function", &["name", "arguments"], losses);
    Ok(called(id, function, arguments(function)))
}

fn called<'a>(id: Option<Text<'a>>, function: Value<'a>, input: Input<'a>) -> Block<'a> {
    let (id, name) = (id.unwrap_or_default(), member(function, "name").unwrap_or_default());
    Block::new(Content::ToolCall(ToolCall { id, name, input }))
}

fn result<'a>(message: Value<'a>, losses: &mut Losses) -> Result<Block<'a>, Refused> {
    let id = member(message, "tool_call_id").unwrap_or_default();
    let mut content = parts::read(message, losses)?;
    // A mark at the end of a result is one on the result.
    let cache_control = content.last_mut().and_then(|last| last.cache_control.take());
    Ok(Block { content: Content::ToolResult(ToolResult { id, content, is_error: false }), cache_control })
}

/// Tells of members that have no word.
fn lose(message: Value<'_>, role: Role, losses: &mut Losses) {
    const SAID: [&str; 3] = ["role", "content", "cache_control"];
    const SAID_BY_ASSISTANT: [&str; 6] =
        ["refusal", "tool_calls", "function_call", "reasoning_content", "reasoning", "reasoning_details"];
    let is_function = message.get("role").is_some_and(|role| role.is("function"));
    for (key, value) in message.members() {
        let known = SAID.iter().any(|name| key.is(name))
            || role == Role::Assistant && SAID_BY_ASSISTANT.iter().any(|name| key.is(name))
            || role == Role::User && (key.is("tool_call_id") || key.is("name") && is_function);
        let is_empty = value.is_null() || value.kind() == Kind::Array && value.items().next().is_none();
        if !known && !is_empty {
            losses.dropped(path("messages", key));
        }
    }
}

fn arguments<'a>(function: Value<'a>) -> Input<'a> {
    match function.get("arguments") {
        None => Input::Text(Cow::Borrowed(b"")),
        Some(arguments) => match arguments.escaped() {
            Some(text) => Input::Text(Cow::Borrowed(text)),
            None => Input::Json(arguments.raw()),
        },
    }
}

/// The free text of a custom tool's call, as the object `{"input": …}` in a string.
fn free_text<'a>(custom: Value<'a>) -> Input<'a> {
    let mut object = b"{\"input\":".to_vec();
    object.extend_from_slice(custom.get("input").map_or(b"\"\"", |input| input.raw()));
    object.push(b'}');
    let mut escaped = Vec::new();
    escape(&object, &mut escaped);
    Input::Text(Cow::Owned(escaped))
}
