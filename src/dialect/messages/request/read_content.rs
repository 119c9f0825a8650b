//! Reads the content of messages: strings, and blocks of every type.

use super::read::{REQUIRED, optional_string, string};
use super::read_server_tools;
use crate::dialect::loss::{Losses, rest};
use crate::dialect::raw;
use crate::dialect::turn::{
    Block, Content, Document, DocumentSource, Input, Refused, Source, Text, ToolCall, ToolResult,
};
use crate::json::{Kind, Value};

/// The blocks of a content: a string is one of text. `path` is where it stands.
pub(super) fn content<'a>(
    value: &Value<'a>,
    path: &'static str,
    losses: &mut Losses,
) -> Result<Vec<Block<'a>>, Refused> {
    match (value.kind(), value.escaped()) {
        (_, Some(text)) => Ok(vec![Block::text(text)]),
        (Kind::Array, _) => blocks(value, path, 0, losses),
        _ => Err(Refused::new(path, "Input should be a valid string or list of blocks")),
    }
}

/// Results hold documents, and those hold blocks; nothing real is nested deeper.
const DEEPEST: usize = 4;

fn blocks<'a>(
    list: &Value<'a>,
    path: &'static str,
    depth: usize,
    losses: &mut Losses,
) -> Result<Vec<Block<'a>>, Refused> {
    if depth > DEEPEST {
        return Err(Refused::new(path, "blocks are nested too deep"));
    }
    let mut blocks = Vec::new();
    for value in list.items() {
        if let Some(content) = block(&value, path, depth, losses)? {
            let cache_control = value.get("cache_control").map(|mark| mark.raw());
            blocks.push(Block { content, cache_control });
        }
    }
    Ok(blocks)
}

/// One block; `None` for one without content.
fn block<'a>(
    value: &Value<'a>,
    path: &'static str,
    depth: usize,
    losses: &mut Losses,
) -> Result<Option<Content<'a>>, Refused> {
    let kind = value.get("type").and_then(|kind| kind.escaped());
    let kind = kind.ok_or_else(|| Refused::new(format!("{path}.type"), REQUIRED))?;
    let at = |key: &str| format!("{path}.{key}");
    let (content, known): (_, &[&str]) = match kind {
        // Some clients write `null` for a text that never came.
        b"text" => match optional_string(value, "text", path)? {
            Some(text) => (Content::Text(text), &["text"]),
            None => return Ok(None),
        },
        b"image" => (Content::Image { source: image(value, path, losses)?, detail: None }, &["source"]),
        b"document" => (Content::Document(document(value, path, depth, losses)?), &["source", "title", "context"]),
        b"search_result" => {
            (Content::Document(search_result(value, path, depth, losses)?), &["source", "title", "content"])
        }
        b"tool_use" => (Content::ToolCall(tool_use(value, path)?), &["id", "name", "input", "caller"]),
        b"tool_result" => {
            (Content::ToolResult(tool_result(value, path, depth, losses)?), &["tool_use_id", "content", "is_error"])
        }
        b"thinking" => {
            let text = string(value, "thinking", path)?;
            let signature = optional_string(value, "signature", path)?;
            (Content::Thinking { text, signature }, &["thinking", "signature"])
        }
        b"redacted_thinking" => (Content::RedactedThinking(string(value, "data", path)?), &["data"]),
        _ => return Ok(Some(other(kind, value, path, losses))),
    };
    for key in ["caller"].into_iter().filter(|key| known.contains(key)) {
        let is_direct = value.get(key).and_then(|caller| caller.get("type")).is_none_or(|kind| kind.is("direct"));
        if !is_direct {
            losses.dropped(at(key));
        }
    }
    let (mut all, count) = ([""; 8], known.len() + 2);
    all.iter_mut().zip(["type", "cache_control"].iter().chain(known)).for_each(|(place, key)| *place = key);
    rest(value, path, all.get(..count).unwrap_or_default(), losses);
    Ok(Some(content))
}

/// What Anthropic's own servers ran is told in words; the rest stays as it is.
fn other<'a>(kind: &'a [u8], value: &Value<'a>, path: &str, losses: &mut Losses) -> Content<'a> {
    match read_server_tools::in_words(kind, value) {
        Some(text) => {
            losses.approximated(format!("{path}.{}", raw::printable(kind)));
            Content::Text(Text::Owned(text))
        }
        None => Content::Other { kind: kind.into(), raw: *value },
    }
}

fn image<'a>(value: &Value<'a>, path: &str, losses: &mut Losses) -> Result<Source<'a>, Refused> {
    let given = value.get("source").ok_or_else(|| Refused::new(format!("{path}.source"), REQUIRED))?;
    source(&given, &format!("{path}.source"), losses)
}

/// A source that is no text.
fn source<'a>(source: &Value<'a>, path: &str, losses: &mut Losses) -> Result<Source<'a>, Refused> {
    let at = |key: &str| format!("{path}.{key}");
    rest(source, path, &["type", "media_type", "data", "url", "file_id"], losses);
    match source.get("type").and_then(|kind| kind.escaped()) {
        Some(b"base64") => {
            Ok(Source::Base64 { media_type: string(source, "media_type", path)?, data: string(source, "data", path)? })
        }
        Some(b"url") => Ok(Source::Url(string(source, "url", path)?)),
        Some(b"file") => Ok(Source::File(string(source, "file_id", path)?)),
        _ => Err(Refused::new(at("type"), "Input should be one of base64, url, file")),
    }
}

fn document<'a>(
    value: &Value<'a>,
    path: &'static str,
    depth: usize,
    losses: &mut Losses,
) -> Result<Document<'a>, Refused> {
    let at = |key: &str| format!("{path}.{key}");
    let given = value.get("source").ok_or_else(|| Refused::new(at("source"), REQUIRED))?;
    let source = match given.get("type").and_then(|kind| kind.escaped()) {
        Some(b"text") => {
            rest(&given, &at("source"), &["type", "media_type", "data"], losses);
            DocumentSource::Text(string(&given, "data", &at("source"))?)
        }
        Some(b"content") => {
            rest(&given, &at("source"), &["type", "content"], losses);
            let inner = given.get("content").ok_or_else(|| Refused::new(at("source.content"), REQUIRED))?;
            DocumentSource::Blocks(match inner.escaped() {
                Some(text) => vec![Block::text(text)],
                None => blocks(&inner, path, depth + 1, losses)?,
            })
        }
        _ => DocumentSource::File(self::source(&given, &at("source"), losses)?),
    };
    let title = optional_string(value, "title", path)?;
    let context = optional_string(value, "context", path)?;
    Ok(Document { source, title, context })
}

/// What a search found is a document whose address says what it is about.
fn search_result<'a>(
    value: &Value<'a>,
    path: &'static str,
    depth: usize,
    losses: &mut Losses,
) -> Result<Document<'a>, Refused> {
    let content = value.get("content").ok_or_else(|| Refused::new(format!("{path}.content"), REQUIRED))?;
    Ok(Document {
        source: DocumentSource::Blocks(blocks(&content, path, depth + 1, losses)?),
        title: optional_string(value, "title", path)?,
        context: optional_string(value, "source", path)?,
    })
}

fn tool_use<'a>(value: &Value<'a>, path: &str) -> Result<ToolCall<'a>, Refused> {
    Ok(ToolCall {
        id: string(value, "id", path)?,
        name: string(value, "name", path)?,
        input: Input::Json(value.get("input").map_or(b"{}", |input| input.raw())),
    })
}

fn tool_result<'a>(
    value: &Value<'a>,
    path: &'static str,
    depth: usize,
    losses: &mut Losses,
) -> Result<ToolResult<'a>, Refused> {
    let content = match value.get("content") {
        None => Vec::new(),
        Some(content) => match (content.kind(), content.escaped()) {
            (_, Some(text)) => vec![Block::text(text)],
            (Kind::Array, _) => blocks(&content, path, depth + 1, losses)?,
            // No client should; but a result that is left out would break the conversation.
            _ => vec![Block::new(Content::Other { kind: Text::default(), raw: content })],
        },
    };
    Ok(ToolResult {
        id: string(value, "tool_use_id", path)?,
        content,
        is_error: value.get("is_error").and_then(|flag| flag.as_bool()).unwrap_or_default(),
    })
}
