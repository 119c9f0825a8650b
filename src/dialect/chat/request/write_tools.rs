//! Writes what the model may call, and must.

use super::write::{field, key, string};
use super::write_vendor_tools::{self, Runner};
use crate::dialect::ids::CHAT_NAME_MAX;
use crate::dialect::loss::Losses;
use crate::dialect::profile::{Flag, Profile};
use crate::dialect::turn::{Refused, Request, Terms, Tool, ToolChoice, ToolKind};
use crate::dialect::{raw, schema};

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// There are tools.
    pub any: bool,
    /// The client's name of the only one.
    pub only: Option<Vec<u8>>,
}

/// Appends `tools` and what goes with them; nothing at all if there are none, for servers refuse a choice without them.
pub(super) fn write(
    request: &Request<'_>,
    profile: &Profile,
    terms: &mut Terms,
    losses: &mut Losses,
    out: &mut Vec<u8>,
) -> Result<Written, Refused> {
    let begin = out.len();
    key(out, "tools");
    out.push(b'[');
    let mut writing = Writing { profile, terms, losses };
    let mut sent = Vec::new();
    // Where the only choice is the model's own, none is said by giving it nothing to call.
    let is_none = matches!(request.tool_choice, Some(ToolChoice::None)) && !profile.has(Flag::ToolChoice);
    for tool in request.tools.iter().filter(|_| !is_none) {
        let before = out.len();
        if !sent.is_empty() {
            out.push(b',');
        }
        match writing.tool(tool, out)? {
            true => sent.push(&*tool.name),
            false => out.truncate(before),
        }
    }
    out.push(b']');
    forced(request, &sent)?;
    if sent.is_empty() {
        out.truncate(begin);
        if !is_none && !matches!(request.tool_choice, None | Some(ToolChoice::Auto | ToolChoice::None)) {
            writing.losses.dropped("tool_choice");
        }
        return Ok(Written::default());
    }
    writing.choice(request, out);
    let only = match sent.as_slice() {
        [only] => Some(only.to_vec()),
        _ => None,
    };
    Ok(Written { any: true, only })
}

/// Refuses to force a tool that is not there.
fn forced(request: &Request<'_>, sent: &[&[u8]]) -> Result<(), Refused> {
    let is_missing = match &request.tool_choice {
        Some(ToolChoice::Tool(name)) => !sent.contains(&&**name),
        Some(ToolChoice::Required) => sent.is_empty() && !request.tools.is_empty(),
        _ => false,
    };
    match is_missing {
        true => Err(Refused::new(
            "tool_choice",
            "the tool that must be called is none that the client runs, and the provider of this model runs none",
        )),
        false => Ok(()),
    }
}

struct Writing<'l> {
    profile: &'l Profile,
    terms: &'l mut Terms,
    losses: &'l mut Losses,
}

impl Writing<'_> {
    /// Appends a tool; whether there is one to send.
    fn tool(&mut self, tool: &Tool<'_>, out: &mut Vec<u8>) -> Result<bool, Refused> {
        if tool.cache_control.is_some() {
            self.losses.dropped("tools.cache_control");
        }
        match &tool.kind {
            ToolKind::Function(given) => {
                self.function(tool, tool.description.as_deref(), out);
                if schema::write_parameters(given.as_ref(), self.profile, out) {
                    self.losses.approximated("tools.input_schema");
                }
                self.strict(tool, out);
            }
            // One string is what such a tool takes.
            ToolKind::Custom(_) => {
                self.losses.approximated("tools.custom");
                self.function(tool, tool.description.as_deref(), out);
                out.extend_from_slice(
                    br#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#,
                );
            }
            ToolKind::Vendor { kind, .. } => match write_vendor_tools::runner(kind) {
                Runner::Server => {
                    self.losses.dropped(format!("tools.{}", raw::printable(kind)));
                    return Ok(false);
                }
                Runner::Client { description, schema } => {
                    self.losses.approximated(format!("tools.{}", raw::printable(kind)));
                    self.function(tool, Some(description.as_bytes()), out);
                    out.extend_from_slice(schema.as_bytes());
                }
                Runner::Unknown => {
                    let message = format!(
                        "a tool of type {} is known to Anthropic's models only; declare it with an input_schema, or leave it out",
                        raw::printable(kind)
                    );
                    return Err(Refused::new("tools.type", message));
                }
            },
        }
        out.extend_from_slice(b"}}");
        Ok(true)
    }

    /// Appends a function up to its parameters.
    fn function(&mut self, tool: &Tool<'_>, description: Option<&[u8]>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"type\":\"function\",\"function\":{\"name\":");
        string(out, &self.terms.names.send(&tool.name, CHAT_NAME_MAX));
        if let Some(description) = description {
            key(out, "description");
            string(out, description);
        }
        key(out, "parameters");
    }

    fn strict(&mut self, tool: &Tool<'_>, out: &mut Vec<u8>) {
        match tool.strict {
            Some(strict) if self.profile.has(Flag::Strict) => field(out, "strict", strict.to_string().as_bytes()),
            Some(true) => self.losses.dropped("tools.strict"),
            _ => {}
        }
    }

    fn choice(&mut self, request: &Request<'_>, out: &mut Vec<u8>) {
        let has_choice = self.profile.has(Flag::ToolChoice);
        match &request.tool_choice {
            None => {}
            Some(ToolChoice::Auto) => field(out, "tool_choice", b"\"auto\""),
            Some(_) if !has_choice => {
                self.losses.approximated("tool_choice");
                field(out, "tool_choice", b"\"auto\"");
            }
            Some(ToolChoice::Required) => field(out, "tool_choice", b"\"required\""),
            Some(ToolChoice::None) => field(out, "tool_choice", b"\"none\""),
            Some(ToolChoice::Tool(name)) => {
                key(out, "tool_choice");
                out.extend_from_slice(b"{\"type\":\"function\",\"function\":{\"name\":");
                string(out, &self.terms.names.send(name, CHAT_NAME_MAX));
                out.extend_from_slice(b"}}");
            }
        }
        // Several at once is what servers do anyway.
        match request.parallel_tools {
            Some(false) if self.profile.has(Flag::ParallelToolCalls) => field(out, "parallel_tool_calls", b"false"),
            Some(false) => self.losses.dropped("tool_choice.disable_parallel_tool_use"),
            _ => {}
        }
    }
}
