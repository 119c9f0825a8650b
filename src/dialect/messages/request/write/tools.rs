//! The tools that the model may call, and which of them it must.

use std::collections::HashSet;

use super::generation::{Accepts, Generation};
use super::{put, schema};
use crate::dialect::ids::MESSAGES_NAME_MAX;
use crate::dialect::loss::Losses;
use crate::dialect::turn::{Refused, Request, Terms, Tool, ToolChoice, ToolKind};

/// How a tool is called that takes free text.
const FREE_TEXT: &[u8] =
    b"{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}},\"required\":[\"input\"]}";

/// The tools of a request that can be declared. Another vendor's own tools cannot; Anthropic's can, in whatever dialect
/// they were asked for. `terms` learns their names.
pub fn declared<'r, 'a>(request: &'r Request<'a>, terms: &mut Terms, losses: &mut Losses) -> Vec<&'r Tool<'a>> {
    let mut tools: Vec<&Tool<'_>> = Vec::with_capacity(request.tools.len());
    let mut names = HashSet::with_capacity(request.tools.len());
    for tool in &request.tools {
        let is_known = match &tool.kind {
            ToolKind::Function(_) | ToolKind::Custom(_) => true,
            ToolKind::Vendor { kind, .. } => is_anthropic(kind),
        };
        // Messages refuses two of one name.
        match is_known && names.insert(&tool.name) {
            true => tools.push(tool),
            false => losses.dropped("tools"),
        }
    }
    terms.only_tool = match tools.as_slice() {
        [only] => Some(only.name.to_vec()),
        _ => None,
    };
    let free = tools.iter().filter(|tool| matches!(tool.kind, ToolKind::Custom(_)));
    terms.free_text_tools = free.map(|tool| tool.name.to_vec()).collect();
    tools
}

/// Appends `tools` and `tool_choice`.
///
/// # Errors
/// The model must call a tool that cannot be declared.
pub fn write(
    tools: &[&Tool<'_>],
    request: &Request<'_>,
    generation: &Generation,
    terms: &mut Terms,
    losses: &mut Losses,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    let is_lacking = match &request.tool_choice {
        Some(ToolChoice::Required) => tools.is_empty(),
        Some(ToolChoice::Tool(name)) => !tools.iter().any(|tool| tool.name == *name),
        _ => false,
    };
    if is_lacking {
        let message = "tool_choice demands a call, and this model has no such tool: declare it, or ask for another";
        return Err(Refused::new("tool_choice", message));
    }
    if tools.is_empty() {
        return Ok(());
    }
    put::key("tools", out);
    out.push(b'[');
    for tool in tools {
        put::comma(out);
        one(tool, generation, terms, losses, out);
    }
    out.push(b']');
    choice(request, terms, out);
    Ok(())
}

fn one(tool: &Tool<'_>, generation: &Generation, terms: &mut Terms, losses: &mut Losses, out: &mut Vec<u8>) {
    if let ToolKind::Vendor { raw, .. } = &tool.kind {
        return crate::dialect::raw::copy(raw.raw(), out);
    }
    out.push(b'{');
    put::text("name", &terms.names.send(&tool.name, MESSAGES_NAME_MAX), out);
    if let Some(description) = tool.description.as_ref().filter(|description| !description.is_empty()) {
        put::text("description", description, out);
    }
    put::key("input_schema", out);
    match &tool.kind {
        ToolKind::Function(parameters) => schema::write(*parameters, losses, out),
        ToolKind::Custom(custom) => {
            if custom.get("format").and_then(|format| format.get("type")).is_some_and(|kind| !kind.is("text")) {
                losses.dropped("tools.custom.format");
            }
            out.extend_from_slice(FREE_TEXT);
        }
        ToolKind::Vendor { .. } => {}
    }
    match tool.strict {
        Some(true) if generation.accepts(Accepts::Schemas) => put::raw("strict", b"true", out),
        Some(true) => losses.dropped("tools.function.strict"),
        _ => {}
    }
    if let Some(mark) = tool.cache_control {
        put::raw("cache_control", mark, out);
    }
    out.push(b'}');
}

/// One call at a time is a property of the choice here, and must not stand beside `none`.
fn choice(request: &Request<'_>, terms: &mut Terms, out: &mut Vec<u8>) {
    let one_at_a_time = request.parallel_tools == Some(false);
    let kind: &[u8] = match &request.tool_choice {
        None if !one_at_a_time => return,
        None | Some(ToolChoice::Auto) => b"auto",
        Some(ToolChoice::Required) => b"any",
        Some(ToolChoice::Tool(_)) => b"tool",
        Some(ToolChoice::None) => b"none",
    };
    put::key("tool_choice", out);
    out.push(b'{');
    put::text("type", kind, out);
    if let Some(ToolChoice::Tool(name)) = &request.tool_choice {
        put::text("name", &terms.names.send(name, MESSAGES_NAME_MAX), out);
    }
    if one_at_a_time && kind != b"none" {
        put::raw("disable_parallel_tool_use", b"true", out);
    }
    out.push(b'}');
}

/// Whether a tool's type is one of Anthropic's: they end in a date (`web_search_20250305`).
fn is_anthropic(kind: &[u8]) -> bool {
    let date = kind.iter().rposition(|byte| *byte == b'_').and_then(|place| kind.get(place + 1..));
    date.is_some_and(|date| date.len() == 8 && date.starts_with(b"20") && date.iter().all(u8::is_ascii_digit))
}
