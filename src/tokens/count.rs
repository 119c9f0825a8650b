//! Counting a request: text by OpenAI's o200k table, pictures by their size, PDFs by their pages, and what dialects add.
//!
//! Counted is what goes upstream: a tool result is a message of its own, thoughts count where they are sent, and what a
//! writer leaves out does not.

use super::blocks::{BlockCounts, Kind};
use super::rules::{Rules, Tools};
use super::{pdf, picture, schema, text};
use crate::dialect::Dialect;
use crate::dialect::turn::{
    Block, Content, Document, DocumentSource, Format, Input, Raw, Request, Role, Source, Tool, ToolKind, Turn,
};
use crate::json::text::decode_lossy;
use crate::limits;

/// The tokens of a request, at least 1. The first call loads a table of some 70 MB in 100 ms and more, later ones take
/// 50 µs for each kilobyte that `memory` does not know: this belongs on a helper thread.
pub fn count(request: &Request<'_>, rules: &Rules, memory: &BlockCounts) -> u64 {
    // A marker like `<|endoftext|>` is text like any other: users cannot end anything.
    count_with(request, rules, memory, &|text| bpe_openai::o200k_base().count(text))
}

/// The same with another table.
pub(super) fn count_with(request: &Request<'_>, rules: &Rules, memory: &BlockCounts, encode: Encode<'_>) -> u64 {
    let table = Table { memory, encode, decoded: Vec::new(), bytes_left: limits::COUNTED_BYTES_MAX };
    let mut counting = Counting { rules, table, text: REPLY, other: 0 };
    request.turns.iter().for_each(|turn| counting.turn(turn));
    counting.tools(&request.tools);
    if let Some(Format::JsonSchema { schema, .. }) = &request.format {
        counting.text += counting.table.json(schema.raw()) + FORMAT;
    }
    let text = counting.text.saturating_mul(rules.permille).div_ceil(1000);
    text.saturating_add(counting.other).max(1)
}

/// The tokens of a text.
pub(super) type Encode<'e> = &'e dyn Fn(&str) -> usize;

/// What goes before the answer.
const REPLY: u64 = 3;
/// What goes around a message.
const MESSAGE: u64 = 3;
/// A call's id, and what goes around the call.
const CALL: u64 = 8;
/// The id of the call that a result answers.
const RESULT: u64 = 4;
/// What goes around a tool's JSON.
const TOOL: u64 = 8;
/// What goes around the schema of the answer.
const FORMAT: u64 = 8;
/// What goes around tools' lines.
const TOOL_LINES: u64 = 12;

struct Counting<'c> {
    rules: &'c Rules,
    table: Table<'c>,
    /// Tokens of text, by the table.
    text: u64,
    /// Tokens that the model's own rules give.
    other: u64,
}

impl Counting<'_> {
    fn turn(&mut self, turn: &Turn<'_>) {
        let (rules, mut is_message) = (self.rules, false);
        for block in turn.blocks.iter().filter(|block| !is_left_out(block, turn.role, rules)) {
            match &block.content {
                // Each is a message, or a block with a head as long.
                Content::ToolResult(result) => {
                    self.text += MESSAGE + RESULT;
                    result.content.iter().for_each(|block| self.block(block));
                }
                _ => {
                    is_message = true;
                    self.block(block);
                }
            }
        }
        self.text += if is_message { MESSAGE } else { 0 };
    }

    fn block(&mut self, block: &Block<'_>) {
        match &block.content {
            Content::Text(text) | Content::Refusal(text) | Content::Thinking { text, .. } => {
                self.text += self.table.escaped(text);
            }
            Content::Image { source, detail } => {
                let size = match source {
                    Source::Base64 { data, .. } => picture::size(data),
                    Source::Url(url) if url.starts_with(b"data:") => picture::size(url),
                    // Nothing is fetched.
                    Source::Url(_) | Source::File(_) => None,
                };
                self.other += self.rules.pictures.tokens(size, detail.as_deref());
            }
            Content::Document(document) => self.document(document),
            Content::ToolCall(call) => {
                self.text += CALL + self.table.escaped(&call.name);
                self.text += match &call.input {
                    Input::Json(json) => self.table.json(json),
                    Input::Text(text) => self.table.escaped(text),
                };
            }
            // Only a result inside of a result comes here; no dialect has that.
            Content::ToolResult(result) => result.content.iter().for_each(|block| self.block(block)),
            // What is encrypted is a third longer than the thoughts, and those have four bytes a token.
            Content::RedactedThinking(data) => self.other += data.len() as u64 * 3 / 16,
            Content::Other { raw, .. } => {
                self.text += self.table.known(Kind::Other, &[raw.raw()], |out| text::readable(raw, out));
            }
        }
    }

    fn document(&mut self, document: &Document<'_>) {
        for text in [&document.title, &document.context].into_iter().flatten() {
            self.text += self.table.escaped(text);
        }
        match &document.source {
            DocumentSource::Text(text) => self.text += self.table.escaped(text),
            DocumentSource::Blocks(blocks) => blocks.iter().for_each(|block| self.block(block)),
            DocumentSource::File(Source::Base64 { data, media_type }) => {
                self.other += match media_type.starts_with(b"text/") {
                    // Four digits of base64 are three bytes.
                    true => data.len() as u64 * 3 / 16,
                    false => pdf::PAGE * self.table.pages(data),
                };
            }
            DocumentSource::File(Source::Url(_) | Source::File(_)) => self.other += pdf::PAGE,
        }
    }

    fn tools(&mut self, tools: &[Tool<'_>]) {
        let before = self.text;
        tools.iter().for_each(|tool| self.tool(tool));
        match self.rules.tools {
            _ if self.text == before => {}
            Tools::Lines => self.text += TOOL_LINES,
            Tools::Json { around } => self.other += around,
        }
    }

    fn tool(&mut self, tool: &Tool<'_>) {
        let (name, description) = (&*tool.name, tool.description.as_deref().unwrap_or_default());
        let parameters = match &tool.kind {
            ToolKind::Function(schema) => schema.as_ref(),
            ToolKind::Custom(format) => Some(format),
            ToolKind::Vendor { kind, raw } => {
                self.text += self.vendor_tool(kind, raw.raw());
                return;
            }
        };
        let raw = parameters.map_or(&b"{}"[..], |schema| schema.raw());
        self.text += match self.rules.tools {
            Tools::Lines => {
                let (encode, parts) = (self.table.encode, [name, description, raw]);
                self.table.known_by(Kind::ToolLines, &parts, |_| schema::lines(name, description, parameters, encode))
            }
            Tools::Json { .. } => {
                TOOL + self.table.known(Kind::ToolJson, &[name, description, raw], |out| {
                    schema::json(name, description, raw, out);
                })
            }
        };
    }

    /// Vendors' own tools come with texts that nobody sees; these lengths are those that Anthropic tells. Another vendor's
    /// server cannot run what Anthropic's runs: writers leave that out.
    fn vendor_tool(&mut self, kind: &[u8], raw: Raw<'_>) -> u64 {
        const RUN_BY_SERVER: &[&[u8]] = &[b"web_search_", b"web_fetch_", b"code_execution_", b"tool_search_", b"mcp_"];
        const LENGTHS: &[(&[u8], u64)] = &[(b"bash_", 245), (b"text_editor_", 700), (b"computer_", 735)];
        if self.rules.upstream != Dialect::Messages && RUN_BY_SERVER.iter().any(|name| kind.starts_with(name)) {
            return 0;
        }
        let known = LENGTHS.iter().find(|(name, _)| kind.starts_with(name));
        known.map_or_else(|| TOOL + self.table.json(raw), |(_, tokens)| *tokens)
    }
}

/// What is not sent on.
fn is_left_out(block: &Block<'_>, role: Role, rules: &Rules) -> bool {
    let elsewhere = rules.upstream != Dialect::Messages;
    match &block.content {
        Content::Thinking { .. } | Content::RedactedThinking(_) => !rules.thinking || role != Role::Assistant,
        // It changes with every request; a cache upstream would be good for nothing.
        Content::Text(text) => elsewhere && role == Role::System && text.starts_with(b"x-anthropic-billing-header:"),
        _ => false,
    }
}

/// The tokenizer, and what it said before.
struct Table<'c> {
    memory: &'c BlockCounts,
    encode: Encode<'c>,
    /// Room for one text.
    decoded: Vec<u8>,
    /// Of this request so many bytes may still be encoded: more fits into no window.
    bytes_left: usize,
}

impl Table<'_> {
    /// The content of a JSON string.
    fn escaped(&mut self, escaped: &[u8]) -> u64 {
        self.known(Kind::Escaped, &[escaped], |out| decode_lossy(escaped, out))
    }

    /// A JSON value.
    fn json(&mut self, json: &[u8]) -> u64 {
        self.known(Kind::Json, &[json], |out| text::compact(json, out))
    }

    fn pages(&mut self, base64: &[u8]) -> u64 {
        self.known_by(Kind::Pages, &[base64], |_| pdf::pages(base64))
    }

    /// The tokens of what `write` makes of `parts`.
    fn known(&mut self, kind: Kind, parts: &[&[u8]], write: impl FnOnce(&mut Vec<u8>)) -> u64 {
        self.known_by(kind, parts, |table| {
            table.decoded.clear();
            write(&mut table.decoded);
            (table.encode)(&String::from_utf8_lossy(&table.decoded)) as u64
        })
    }

    /// What `parts` count, remembered or found by `find`.
    fn known_by(&mut self, kind: Kind, parts: &[&[u8]], find: impl FnOnce(&mut Self) -> u64) -> u64 {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        if bytes == 0 {
            return 0;
        }
        let key = self.memory.key(kind, parts);
        if let Some(known) = self.memory.remembered(key) {
            return u64::from(known);
        }
        if bytes > self.bytes_left {
            return bytes as u64 / 4;
        }
        self.bytes_left -= bytes;
        let found = find(self);
        self.memory.remember(key, u32::try_from(found).unwrap_or(u32::MAX));
        found
    }
}

#[cfg(test)]
#[path = "count_tests.rs"]
mod tests;
