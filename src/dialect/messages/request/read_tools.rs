//! Reads what the model may call, and must.

use super::read::{REQUIRED, flag, optional_string, string};
use crate::dialect::loss::{Losses, rest};
use crate::dialect::turn::{Refused, Tool, ToolChoice, ToolKind};
use crate::json::{Kind, Value};

pub(super) fn tools<'a>(list: &Value<'a>, losses: &mut Losses) -> Result<Vec<Tool<'a>>, Refused> {
    match list.kind() {
        Kind::Array => list.items().map(|value| tool(&value, losses)).collect(),
        _ => Err(Refused::new("tools", "Input should be a valid list")),
    }
}

fn tool<'a>(value: &Value<'a>, losses: &mut Losses) -> Result<Tool<'a>, Refused> {
    let cache_control = value.get("cache_control").map(|mark| mark.raw());
    let kind = optional_string(value, "type", "tools")?.filter(|kind| &**kind != b"custom");
    if let Some(kind) = kind {
        // A toolset has no name.
        let name = optional_string(value, "name", "tools")?.unwrap_or_else(|| kind.clone());
        let kind = ToolKind::Vendor { kind, raw: *value };
        return Ok(Tool { name, description: None, kind, strict: None, cache_control });
    }
    const KNOWN: &[&str] = &["type", "name", "description", "input_schema", "strict", "cache_control"];
    rest(value, "tools", KNOWN, losses);
    Ok(Tool {
        name: string(value, "name", "tools")?,
        description: optional_string(value, "description", "tools")?,
        kind: ToolKind::Function(value.get("input_schema")),
        strict: value.get("strict").map(|strict| flag(&strict, "tools.strict")).transpose()?,
        cache_control,
    })
}

type Choice<'a> = (Option<ToolChoice<'a>>, Option<bool>);

/// What must be called, and whether several may be at once.
pub(super) fn tool_choice<'a>(value: &Value<'a>, losses: &mut Losses) -> Result<Choice<'a>, Refused> {
    let kind = value.get("type").ok_or_else(|| Refused::new("tool_choice.type", REQUIRED))?;
    let choice = match kind.escaped() {
        Some(b"auto") => ToolChoice::Auto,
        Some(b"any") => ToolChoice::Required,
        Some(b"tool") => ToolChoice::Tool(string(value, "name", "tool_choice")?),
        Some(b"none") => ToolChoice::None,
        _ => return Err(Refused::new("tool_choice.type", "Input should be one of auto, any, tool, none")),
    };
    const ALONE: &str = "disable_parallel_tool_use";
    let alone = value.get(ALONE).map(|alone| flag(&alone, "tool_choice.disable_parallel_tool_use")).transpose()?;
    rest(value, "tool_choice", &["type", "name", ALONE], losses);
    Ok((Some(choice), alone.map(|alone| !alone)))
}
