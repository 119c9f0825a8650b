//! Writes a request as Chat Completions.

use ring::digest::{SHA256, digest};

use super::write_layout::lay_out;
use super::{write_messages, write_thinking, write_tools};
use crate::dialect::loss::Losses;
use crate::dialect::profile::{Flag, Limit, Profile, Target};
use crate::dialect::turn::{Format, Refused, Request, Terms, Thinking};
use crate::dialect::{raw, schema};
use crate::json::text;

/// Appends the request's body, and notes in `terms` what the answer must know of it.
///
/// # Errors
/// It asks for what the target cannot do, and would mean something else without it.
pub fn write(
    request: &Request<'_>,
    to: &Target<'_>,
    terms: &mut Terms,
    losses: &mut Losses,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    let profile = &to.profile.for_model(to.model);
    out.extend_from_slice(b"{\"model\":");
    text::encode(to.model.as_bytes(), out);
    let tools = write_tools::write(request, profile, terms, losses, out)?;
    let instruction = format_in_words(request, profile, losses);
    let messages = lay_out(request, profile, instruction, losses)?;
    let continues = write_messages::write(&messages, profile, terms, losses, out);
    if continues {
        field(out, "continue_final_message", b"true");
        field(out, "add_generation_prompt", b"false");
    }
    limit(request, profile, losses, out);
    sampling(request, profile, losses, out);
    stop(request, profile, losses, out);
    write_thinking::write(request, profile, tools.any, losses, out);
    format(request, profile, losses, out);
    user(request, profile, losses, out);
    stream(request, profile, tools.any, out);
    for (name, value) in &request.others {
        let name = String::from_utf8_lossy(name);
        if profile.passes(&name) {
            key(out, &name);
            raw::copy(value.raw(), out);
        } else {
            losses.dropped(raw::printable(name.as_bytes()));
        }
    }
    out.push(b'}');
    terms.thinking = matches!(request.thinking, Some(Thinking::Budget(_) | Thinking::Adaptive));
    terms.only_tool = tools.only;
    Ok(())
}

/// Appends a member whose value is known to be JSON.
pub(super) fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    key(out, name);
    out.extend_from_slice(value);
}

/// Appends the beginning of a member that is not the first.
pub(super) fn key(out: &mut Vec<u8>, name: &str) {
    out.push(b',');
    text::encode(name.as_bytes(), out);
    out.push(b':');
}

/// Appends a string from its escaped content.
pub(super) fn string(out: &mut Vec<u8>, escaped: &[u8]) {
    out.push(b'"');
    text::copy_escaped(escaped, out);
    out.push(b'"');
}

fn limit(request: &Request<'_>, profile: &Profile, losses: &mut Losses, out: &mut Vec<u8>) {
    let Some(wanted) = request.max_tokens else {
        return;
    };
    // Servers refuse 0; whoever asked for it wants no answer.
    let limit = wanted.clamp(1, profile.output_max.unwrap_or(u64::MAX));
    if limit != wanted {
        losses.approximated("max_tokens");
    }
    let name = match profile.limit {
        Limit::MaxTokens => "max_tokens",
        Limit::MaxCompletionTokens => "max_completion_tokens",
    };
    field(out, name, limit.to_string().as_bytes());
}

fn sampling(request: &Request<'_>, profile: &Profile, losses: &mut Losses, out: &mut Vec<u8>) {
    for (name, value, flag) in [
        ("temperature", request.temperature, Flag::Sampling),
        ("top_p", request.top_p, Flag::Sampling),
        ("top_k", request.top_k, Flag::TopK),
    ] {
        match value {
            Some(value) if profile.has(flag) => field(out, name, value),
            Some(_) => losses.dropped(name),
            None => {}
        }
    }
}

/// Always as an array: some servers take no string.
fn stop(request: &Request<'_>, profile: &Profile, losses: &mut Losses, out: &mut Vec<u8>) {
    let most = if profile.has(Flag::Stop) { profile.stop_max } else { 0 };
    if request.stop.len() > most {
        losses.dropped("stop_sequences");
    }
    if request.stop.is_empty() || most == 0 {
        return;
    }
    key(out, "stop");
    list(out, request.stop.iter().take(most), |out, text| string(out, text));
}

/// Appends an array.
pub(super) fn list<T>(out: &mut Vec<u8>, items: impl Iterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (place, item) in items.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

fn format(request: &Request<'_>, profile: &Profile, losses: &mut Losses, out: &mut Vec<u8>) {
    match &request.format {
        Some(Format::JsonSchema { name, schema, strict }) if profile.has(Flag::JsonSchema) => {
            key(out, "response_format");
            out.extend_from_slice(b"{\"type\":\"json_schema\",\"json_schema\":{\"name\":");
            string(out, name.as_deref().unwrap_or(b"response"));
            key(out, "schema");
            if schema::write_answer(schema, profile, out) {
                losses.approximated("output_config.format.schema");
            }
            match strict {
                Some(strict) if profile.has(Flag::Strict) => field(out, "strict", strict.to_string().as_bytes()),
                _ => {}
            }
            out.extend_from_slice(b"}}");
        }
        Some(_) => field(out, "response_format", b"{\"type\":\"json_object\"}"),
        None => {}
    }
}

/// The schema as an instruction, where the server takes none.
fn format_in_words(request: &Request<'_>, profile: &Profile, losses: &mut Losses) -> Option<Vec<u8>> {
    match &request.format {
        Some(Format::JsonSchema { schema, .. }) if !profile.has(Flag::JsonSchema) => {
            losses.approximated("output_config.format");
            let mut words = b"Answer with one JSON object, and nothing else, of this JSON schema: ".to_vec();
            raw::escape(schema.raw(), &mut words);
            Some(words)
        }
        _ => None,
    }
}

/// The client's word for its user is long and often holds more than an id: its hash is enough to tell users apart.
fn user(request: &Request<'_>, profile: &Profile, losses: &mut Losses, out: &mut Vec<u8>) {
    let Some(user) = &request.user else {
        return;
    };
    if !profile.has(Flag::User) {
        losses.dropped("metadata.user_id");
        return;
    }
    losses.approximated("metadata.user_id");
    let mut plain = Vec::new();
    text::decode_lossy(user, &mut plain);
    let hash: String = digest(&SHA256, &plain).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    field(out, "user", format!("\"{hash}\"").as_bytes());
}

fn stream(request: &Request<'_>, profile: &Profile, has_tools: bool, out: &mut Vec<u8>) {
    if !request.stream {
        return;
    }
    field(out, "stream", b"true");
    if profile.has(Flag::StreamOptions) {
        field(out, "stream_options", b"{\"include_usage\":true}");
    }
    if has_tools && profile.has(Flag::ToolStream) {
        field(out, "tool_stream", b"true");
    }
}
