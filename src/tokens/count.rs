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
    let encode = |text: &str| bpe_openai::o200k_base().count(text);
    let table = Table { memory, encode: &encode, decoded: Vec::new(), bytes_left: limits::COUNTED_BYTES_MAX };
    count_with(request, rules, table)
}

fn count_with(request: &Request<'_>, rules: &Rules, table: Table<'_>) -> u64 {
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
/// What goes around a message, and its role.
const MESSAGE: u64 = 4;
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
                self.table.known_by(Kind::ToolLines, &parts, |table| {
                    table.spend(&parts)?;
                    Some(schema::lines(name, description, parameters, encode))
                })
            }
            Tools::Json { .. } => {
                TOOL + self.table.known(Kind::ToolJson, &[name, description, raw], |out| {
                    schema::json(name, description, raw, out);
                })
            }
        };
    }

    fn vendor_tool(&mut self, kind: &[u8], raw: Raw<'_>) -> u64 {
        let known = VENDOR_TOOLS.iter().find(|(begin, _, _)| kind.starts_with(begin));
        match known {
            Some((_, own, _)) if self.rules.upstream == Dialect::Messages => {
                own.unwrap_or_else(|| TOOL + self.table.json(raw))
            }
            Some((_, _, described)) => *described,
            None => TOOL + self.table.json(raw),
        }
    }
}

/// Vendors' own tools, by the beginning of their type: the texts that come with them where they are known, as far as their
/// vendor tells how long they are, and the descriptions that writers give them elsewhere. What only the vendor's servers can
/// run is left out there.
const VENDOR_TOOLS: &[(&[u8], Option<u64>, u64)] = &[
    (b"bash_", Some(245), 90),
    (b"text_editor_", Some(700), 250),
    (b"computer_20", Some(735), 420),
    (b"memory_", None, 340),
    (b"web_search_", None, 0),
    (b"web_fetch_", None, 0),
    (b"code_execution_", None, 0),
    (b"tool_search_", None, 0),
    (b"mcp_toolset", None, 0),
    (b"advisor_", None, 0),
];

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
        // Looking for pages is fast, however many there are.
        self.known_by(Kind::Pages, &[base64], |_| Some(pdf::pages(base64)))
    }

    /// The tokens of what `write` makes of `parts`.
    fn known(&mut self, kind: Kind, parts: &[&[u8]], write: impl FnOnce(&mut Vec<u8>)) -> u64 {
        self.known_by(kind, parts, |table| {
            table.spend(parts)?;
            table.decoded.clear();
            write(&mut table.decoded);
            Some((table.encode)(&String::from_utf8_lossy(&table.decoded)) as u64)
        })
    }

    /// What `parts` count, remembered or found by `find`; a guess where that gives up.
    fn known_by(&mut self, kind: Kind, parts: &[&[u8]], find: impl FnOnce(&mut Self) -> Option<u64>) -> u64 {
        let bytes = bytes(parts);
        if bytes == 0 {
            return 0;
        }
        let key = self.memory.key(kind, parts);
        if let Some(known) = self.memory.remembered(key) {
            return u64::from(known);
        }
        let Some(found) = find(self) else { return bytes as u64 / 4 };
        self.memory.remember(key, u32::try_from(found).unwrap_or(u32::MAX));
        found
    }

    /// Takes what encoding `parts` costs; `None` where that is too much.
    fn spend(&mut self, parts: &[&[u8]]) -> Option<()> {
        self.bytes_left = self.bytes_left.checked_sub(bytes(parts))?;
        Some(())
    }
}

fn bytes(parts: &[&[u8]]) -> usize {
    parts.iter().map(|part| part.len()).sum()
}

#[cfg(test)]
#[path = "count_tests.rs"]
mod tests;
