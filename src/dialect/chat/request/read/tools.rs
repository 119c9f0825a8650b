//! The tools that a model may call, and which of them it must.

use std::borrow::Cow;
use std::collections::HashSet;

use super::parts::member;
use super::wrong;
use crate::dialect::loss::{Losses, rest};
use crate::dialect::turn::{Refused, Request, Tool, ToolChoice, ToolKind};
use crate::json::{Kind, Value};

/// Reads `tools` and `tool_choice`, and their forerunners `functions` and `function_call`.
pub fn read<'a>(body: Value<'a>, request: &mut Request<'a>, losses: &mut Losses) -> Result<(), Refused> {
    for tool in list(body, "tools")? {
        request.tools.push(one(tool, losses)?);
    }
    for function in list(body, "functions")? {
        request.tools.push(named(function, function, "functions.name", losses)?);
    }
    request.tool_choice = match (body.get("tool_choice"), body.get("function_call")) {
        (Some(choice), _) => Some(choose(choice, request, losses)?),
        (None, Some(call)) => Some(choose_function(call)?),
        (None, None) => None,
    };
    Ok(())
}

fn list<'a>(body: Value<'a>, field: &'static str) -> Result<impl Iterator<Item = Value<'a>> + use<'a>, Refused> {
    let list = body.get(field);
    if list.is_some_and(|list| list.kind() != Kind::Array) {
        return Err(wrong(field, "an array"));
    }
    Ok(list.into_iter().flat_map(|list| list.items()))
}

fn one<'a>(tool: Value<'a>, losses: &mut Losses) -> Result<Tool<'a>, Refused> {
    let kind = tool.get("type").and_then(|kind| kind.text());
    match kind.as_deref() {
        None | Some("function") => {
            // Clients that speak to several servers leave the object out at times.
            let function = tool.get("function").unwrap_or(tool);
            beside(tool, "function", losses);
            named(tool, function, "tools.function.name", losses)
        }
        Some("custom") => {
            let custom = tool.get("custom").unwrap_or(tool);
            beside(tool, "custom", losses);
            rest(
                &custom,
                "tools.custom",
                &["type", "custom", "name", "description", "format", "cache_control"],
                losses,
            );
            let name = member(custom, "name").ok_or_else(|| wrong("tools.custom.name", "a string"))?;
            let description = member(custom, "description");
            let cache_control = tool.get("cache_control").map(|mark| mark.raw());
            Ok(Tool { name, description, kind: ToolKind::Custom(custom), strict: None, cache_control })
        }
        Some(_) => Ok(Tool {
            name: member(tool, "name").unwrap_or_default(),
            description: None,
            kind: ToolKind::Vendor { kind: member(tool, "type").unwrap_or_default(), raw: tool },
            strict: None,
            cache_control: None,
        }),
    }
}

/// What stands beside a tool's object. Codex says its name there once more.
fn beside(tool: Value<'_>, object: &str, losses: &mut Losses) {
    let Some(inner) = tool.get(object) else { return };
    let is_repeated =
        tool.get("name").is_some_and(|name| inner.get("name").is_some_and(|other| other.raw() == name.raw()));
    let known = ["type", object, "cache_control", if is_repeated { "name" } else { object }];
    rest(&tool, "tools", &known, losses);
}

/// A function; `tool` is what it stands in.
fn named<'a>(
    tool: Value<'a>,
    function: Value<'a>,
    place: &'static str,
    losses: &mut Losses,
) -> Result<Tool<'a>, Refused> {
    const SAID: [&str; 8] =
        ["type", "function", "name", "description", "parameters", "input_schema", "strict", "cache_control"];
    let name = member(function, "name").filter(|name| !name.is_empty()).ok_or_else(|| wrong(place, "a string"))?;
    rest(&function, "tools.function", &SAID, losses);
    let marked = |of: Value<'a>| of.get("cache_control").map(|mark| mark.raw());
    Ok(Tool {
        name,
        description: member(function, "description"),
        kind: ToolKind::Function(function.get("parameters").or_else(|| function.get("input_schema"))),
        strict: function.get("strict").and_then(|strict| strict.as_bool()),
        cache_control: marked(tool).or_else(|| marked(function)),
    })
}

fn choose<'a>(choice: Value<'a>, request: &mut Request<'a>, losses: &mut Losses) -> Result<ToolChoice<'a>, Refused> {
    const FORMS: &str = "none, auto, required, or an object that names a tool";
    if let Some(word) = choice.text() {
        return mode(&word).ok_or_else(|| wrong("tool_choice", FORMS));
    }
    rest(&choice, "tool_choice", &["type", "name", "function", "custom", "allowed_tools"], losses);
    if let Some(allowed) = choice.get("allowed_tools") {
        rest(&allowed, "tool_choice.allowed_tools", &["mode", "tools"], losses);
        return choose_among(allowed, request);
    }
    let inner = choice.get("function").or_else(|| choice.get("custom"));
    if let Some(inner) = inner {
        rest(&inner, "tool_choice.function", &["name"], losses);
    }
    let named = inner.unwrap_or(choice);
    if let Some(name) = member(named, "name") {
        return Ok(ToolChoice::Tool(name));
    }
    let word = choice.get("type").and_then(|kind| kind.text());
    word.and_then(|word| mode(&word)).ok_or_else(|| wrong("tool_choice", FORMS))
}

/// `any` is what Mistral and Messages call `required`.
fn mode<'a>(word: &str) -> Option<ToolChoice<'a>> {
    match word {
        "auto" => Some(ToolChoice::Auto),
        "none" => Some(ToolChoice::None),
        "required" | "any" => Some(ToolChoice::Required),
        _ => None,
    }
}

/// The model may use some of the tools: the others are not declared to it.
fn choose_among<'a>(allowed: Value<'a>, request: &mut Request<'a>) -> Result<ToolChoice<'a>, Refused> {
    let tools = allowed.get("tools").ok_or_else(|| wrong("tool_choice.allowed_tools.tools", "an array"))?;
    let names: HashSet<_> = tools
        .items()
        .filter_map(|tool| {
            let named = tool.get("function").or_else(|| tool.get("custom")).unwrap_or(tool);
            member(named, "name")
        })
        .collect();
    request.tools.retain(|tool| names.contains(&tool.name));
    if request.tools.is_empty() {
        let message = "tool_choice.allowed_tools.tools names no tool that is declared";
        return Err(Refused::new("tool_choice.allowed_tools.tools", message));
    }
    let word = allowed.get("mode").and_then(|mode| mode.text()).unwrap_or_else(|| "auto".to_owned());
    mode(&word).ok_or_else(|| wrong("tool_choice.allowed_tools.mode", "auto or required"))
}

fn choose_function<'a>(call: Value<'a>) -> Result<ToolChoice<'a>, Refused> {
    match (call.text().as_deref(), member(call, "name")) {
        (Some("none"), _) => Ok(ToolChoice::None),
        (Some("auto"), _) => Ok(ToolChoice::Auto),
        (_, Some(name)) => Ok(ToolChoice::Tool(Cow::clone(&name))),
        _ => Err(wrong("function_call", "none, auto, or an object that names a function")),
    }
}
