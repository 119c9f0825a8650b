//! Blocks of a turn.

use std::borrow::Cow;

use super::put::{self, is_blank};
use super::sources;
use crate::dialect::arguments;
use crate::dialect::ids::{MESSAGES_NAME_MAX, tool_id_for_messages};
use crate::dialect::loss::Losses;
use crate::dialect::raw;
use crate::dialect::turn::{Block, Content, Input, Refused, Terms, ToolCall, ToolResult};
use crate::json::Kind;

/// Stands for the name of a tool that was called without one.
const NAMELESS: &[u8] = b"unnamed";

/// Appends blocks as an array.
pub fn write(blocks: &[Block<'_>], terms: &mut Terms, losses: &mut Losses, out: &mut Vec<u8>) -> Result<(), Refused> {
    out.push(b'[');
    for block in blocks {
        put::comma(out);
        out.push(b'{');
        one(&block.content, terms, losses, out)?;
        if let Some(mark) = block.cache_control {
            put::raw("cache_control", mark, out);
        }
        out.push(b'}');
    }
    out.push(b']');
    Ok(())
}

/// A block that Messages has no word for, and that must not be left out.
pub fn unknown(kind: &[u8]) -> Refused {
    let kind = raw::printable(kind);
    Refused::new("messages.content", format!("this model cannot read a part of type \"{kind}\": leave it out"))
}

fn one(content: &Content<'_>, terms: &mut Terms, losses: &mut Losses, out: &mut Vec<u8>) -> Result<(), Refused> {
    match content {
        Content::Text(text) | Content::Refusal(text) => {
            out.extend_from_slice(b"\"type\":\"text\"");
            put::text("text", text, out);
        }
        Content::Image { source, detail } => {
            if detail.as_ref().is_some_and(|detail| **detail != *b"auto") {
                losses.dropped("messages.content.image_url.detail");
            }
            sources::image(source, out)?;
        }
        Content::Document(document) => sources::document(document, losses, out)?,
        Content::ToolCall(call) => self::call(call, terms, losses, out),
        Content::ToolResult(result) => self::result(result, terms, losses, out)?,
        Content::Thinking { text, signature } => {
            out.extend_from_slice(b"\"type\":\"thinking\"");
            put::text("thinking", text, out);
            put::text("signature", signature.as_deref().unwrap_or_default(), out);
        }
        Content::RedactedThinking(data) => {
            out.extend_from_slice(b"\"type\":\"redacted_thinking\"");
            put::text("data", data, out);
        }
        Content::Other { kind, .. } => return Err(unknown(kind)),
    }
    Ok(())
}

fn call(call: &ToolCall<'_>, terms: &mut Terms, losses: &mut Losses, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"type\":\"tool_use\"");
    put::text("id", &tool_id_for_messages(&call.id), out);
    if call.name.is_empty() {
        losses.invented("messages.tool_calls.name");
        put::text("name", NAMELESS, out);
    } else {
        put::text("name", &terms.names.send(&call.name, MESSAGES_NAME_MAX), out);
    }
    put::key("input", out);
    match &call.input {
        Input::Text(escaped) => arguments::object(escaped, out),
        Input::Json(raw) => match raw.first() {
            Some(b'{') => put_json(Kind::Object, raw, out),
            Some(b'n') | None => put_json(Kind::Null, raw, out),
            Some(_) => put_json(Kind::Array, raw, out),
        },
    }
}

fn put_json(kind: Kind, raw: &[u8], out: &mut Vec<u8>) {
    let mut object = Vec::with_capacity(raw.len());
    arguments::json(kind, raw, &mut object);
    raw::copy(&object, out);
}

fn result(result: &ToolResult<'_>, terms: &mut Terms, losses: &mut Losses, out: &mut Vec<u8>) -> Result<(), Refused> {
    out.extend_from_slice(b"\"type\":\"tool_result\"");
    put::text("tool_use_id", &tool_id_for_messages(&result.id), out);
    let content = readable(&result.content, losses)?;
    match content.as_slice() {
        [] => {}
        [Block { content: Content::Text(text), cache_control: None }] => put::text("content", text, out),
        blocks => {
            put::key("content", out);
            write(blocks, terms, losses, out)?;
        }
    }
    if result.is_error {
        put::key("is_error", out);
        out.extend_from_slice(b"true");
    }
    Ok(())
}

/// A result's blocks, without blank text. What has no word is shown as the JSON text that it is.
fn readable<'a>(content: &[Block<'a>], losses: &mut Losses) -> Result<Vec<Block<'a>>, Refused> {
    let mut blocks = Vec::with_capacity(content.len());
    for block in content {
        let content = match &block.content {
            Content::Text(text) | Content::Refusal(text) if is_blank(text) => continue,
            Content::Refusal(text) => Content::Text(text.clone()),
            Content::Text(_) | Content::Image { .. } | Content::Document(_) => block.content.clone(),
            Content::Other { kind, .. } if **kind == *b"input_audio" => return Err(unknown(kind)),
            Content::Other { raw: value, .. } => {
                losses.approximated("messages.content.content");
                let mut text = Vec::new();
                raw::escape(value.raw(), &mut text);
                Content::Text(Cow::Owned(text))
            }
            _ => {
                losses.dropped("messages.content.content");
                continue;
            }
        };
        blocks.push(Block { content, cache_control: block.cache_control });
    }
    Ok(blocks)
}
