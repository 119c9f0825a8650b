//! Settings of the answer, and whom it is for.

use std::borrow::Cow;

use super::conversation::Conversation;
use super::generation::{Accepts, Generation};
use super::put::{self, is_blank};
use crate::dialect::loss::Losses;
use crate::dialect::profile::Profile;
use crate::dialect::raw;
use crate::dialect::turn::{Block, Format, Raw, Request};
use crate::json::{Kind, Value};

const JSON_OBJECT: &[u8] = b"Respond with a single JSON object.";
const JSON_SCHEMA: &[u8] = b"Respond with a single JSON value that matches this JSON schema, and with nothing else: ";

/// Decides how the answer's form is asked for: the schema to demand it by, if the model knows that; else instructions are
/// added.
pub fn structure<'a>(
    request: &Request<'a>,
    generation: &Generation,
    conversation: &mut Conversation<'a>,
    losses: &mut Losses,
) -> Option<Raw<'a>> {
    let instruction = match request.format.as_ref()? {
        Format::JsonSchema { schema, .. } if generation.accepts(Accepts::Schemas) && is_closed(*schema) => {
            return Some(schema.raw());
        }
        Format::JsonSchema { schema, .. } => {
            let mut instruction = JSON_SCHEMA.to_vec();
            raw::escape(schema.raw(), &mut instruction);
            instruction
        }
        Format::JsonObject => JSON_OBJECT.to_vec(),
    };
    losses.approximated("response_format");
    conversation.system.push(Block::text(Cow::Owned(instruction)));
    None
}

/// Messages takes a schema only if all its objects are closed (`additionalProperties: false`), as strict ones of Chat are.
fn is_closed(schema: Value<'_>) -> bool {
    let is_open = |value: Value<'_>| {
        let is_object =
            value.get("type").is_some_and(|kind| kind.is("object") || kind.items().any(|kind| kind.is("object")));
        is_object && value.get("additionalProperties").and_then(|more| more.as_bool()) != Some(false)
    };
    schema.kind() == Kind::Object && !schema.walk().any(is_open)
}

/// Appends `temperature`, `top_p`, `top_k` as far as the model takes them, and `stop_sequences`.
pub fn sampling(request: &Request<'_>, generation: &Generation, thinks: bool, losses: &mut Losses, out: &mut Vec<u8>) {
    let accepts = generation.accepts(Accepts::Sampling);
    let temperature = request.temperature.map(|raw| (raw, number(raw)));
    let top_p = request.top_p.map(|raw| (raw, number(raw)));
    // Models refuse both together; 1 is what both are anyway.
    let temperature_said = accepts && !thinks && temperature.is_some_and(|(_, value)| value != 1.0 || top_p.is_none());
    match temperature {
        Some((_, value)) if temperature_said && value > 1.0 => {
            losses.approximated("temperature");
            put::raw("temperature", b"1", out);
        }
        Some((raw, _)) if temperature_said => put::raw("temperature", raw, out),
        Some((_, value)) if value != 1.0 => losses.dropped("temperature"),
        _ => {}
    }
    match top_p {
        Some((raw, value)) if accepts && !temperature_said && (!thinks || value >= 0.95) => put::raw("top_p", raw, out),
        Some((_, value)) if value != 1.0 => losses.dropped("top_p"),
        _ => {}
    }
    match request.top_k {
        Some(raw) if accepts && !thinks => put::raw("top_k", raw, out),
        Some(_) => losses.dropped("top_k"),
        None => {}
    }
    stop(request, losses, out);
}

fn stop(request: &Request<'_>, losses: &mut Losses, out: &mut Vec<u8>) {
    let texts: Vec<_> = request.stop.iter().filter(|text| !is_blank(text)).collect();
    if texts.len() < request.stop.len() {
        losses.dropped("stop");
    }
    if texts.is_empty() {
        return;
    }
    put::key("stop_sequences", out);
    out.push(b'[');
    for text in texts {
        put::comma(out);
        put::string(text, out);
    }
    out.push(b']');
}

/// Appends `metadata` and `service_tier`, and what the profile passes; tells of all other fields, which have no word.
pub fn others(request: &Request<'_>, profile: &Profile, losses: &mut Losses, out: &mut Vec<u8>) {
    if let Some(user) = &request.user {
        put::raw("metadata", b"{\"user_id\":", out);
        put::string(user, out);
        out.push(b'}');
    }
    for (name, value) in &request.others {
        let tier = match () {
            () if **name != *b"service_tier" => None,
            () if value.is("auto") => Some("auto"),
            () if value.is("default") || value.is("standard_only") => Some("standard_only"),
            () => None,
        };
        match (tier, std::str::from_utf8(name)) {
            (Some(tier), _) => put::text("service_tier", tier.as_bytes(), out),
            (None, Ok(name)) if profile.passes(name) => put::raw(name, value.raw(), out),
            (None, _) => losses.dropped(raw::printable(name)),
        }
    }
}

fn number(raw: &[u8]) -> f64 {
    std::str::from_utf8(raw).ok().and_then(|digits| digits.parse().ok()).unwrap_or(1.0)
}
