//! Blocks as parts of a message: what can be said there as text, picture or file.

use std::borrow::Cow;

use super::write::{key, list, string};
use crate::dialect::loss::Losses;
use crate::dialect::profile::{Flag, Profile};
use crate::dialect::raw;
use crate::dialect::turn::{Block, Content, Document, DocumentSource, Raw, Refused, Source, Text};
use crate::json::text;

/// One part of a message's content.
#[derive(Clone, Debug)]
pub(super) enum Part<'a> {
    /// Text, and its `cache_control`.
    Text(Text<'a>, Option<Raw<'a>>),
    /// Where two messages became one.
    Gap,
    /// A picture: where it is, and Chat's `detail`.
    Image(Source<'a>, Option<Text<'a>>),
    /// A file: its name, and what it holds.
    File(Text<'a>, Source<'a>),
}

/// Says blocks as parts, and tells what could not be said.
pub(super) struct Parts<'l> {
    pub profile: &'l Profile,
    pub losses: &'l mut Losses,
}

impl Parts<'_> {
    /// Appends a block of a user's message, or of a tool's result; `None` if it is no such block.
    pub fn push<'a>(&mut self, block: &Block<'a>, path: &str, parts: &mut Vec<Part<'a>>) -> Result<(), Refused> {
        match &block.content {
            Content::Text(text) | Content::Refusal(text) => {
                let mark = self.mark(block, path);
                parts.push(Part::Text(text.clone(), mark));
                return Ok(());
            }
            Content::Image { source, detail } => parts.push(self.image(source, detail, path)?),
            Content::Document(document) => self.document(document, path, parts)?,
            Content::Other { kind, .. } => {
                let what = raw::printable(kind);
                let message =
                    format!("a block of type {what} means nothing to the provider of this model; leave it out");
                return Err(Refused::new(path.to_owned(), message));
            }
            Content::ToolCall(_) | Content::ToolResult(_) | Content::Thinking { .. } | Content::RedactedThinking(_) => {
            }
        }
        if block.cache_control.is_some() {
            self.losses.dropped(format!("{path}.cache_control"));
        }
        Ok(())
    }

    /// A block's `cache_control`, if it may stand on text.
    pub fn mark<'a>(&mut self, block: &Block<'a>, path: &str) -> Option<Raw<'a>> {
        let mark = block.cache_control?;
        if self.profile.has(Flag::CacheControl) {
            return Some(mark);
        }
        self.losses.dropped(format!("{path}.cache_control"));
        None
    }

    fn image<'a>(&mut self, source: &Source<'a>, detail: &Option<Text<'a>>, path: &str) -> Result<Part<'a>, Refused> {
        if self.profile.has(Flag::TextOnly) {
            self.losses.dropped(format!("{path}.image"));
            return Ok(Part::Text(Cow::Borrowed(b"[image omitted]"), None));
        }
        match source {
            Source::File(_) => Err(elsewhere(path)),
            _ => Ok(Part::Image(source.clone(), detail.clone())),
        }
    }

    fn document<'a>(&mut self, document: &Document<'a>, path: &str, parts: &mut Vec<Part<'a>>) -> Result<(), Refused> {
        let words = |data: Option<&[u8]>| {
            let lines = [document.title.as_deref(), document.context.as_deref(), data];
            let lines: Vec<_> = lines.into_iter().flatten().filter(|line| !line.is_empty()).collect();
            lines.join(&br"\n"[..])
        };
        match &document.source {
            DocumentSource::Text(data) => parts.push(Part::Text(words(Some(data)).into(), None)),
            DocumentSource::Blocks(blocks) => {
                let head = words(None);
                if !head.is_empty() {
                    parts.push(Part::Text(head.into(), None));
                }
                for block in blocks {
                    self.push(block, path, parts)?;
                }
            }
            DocumentSource::File(Source::File(_)) => return Err(elsewhere(path)),
            DocumentSource::File(Source::Url(url)) if self.profile.has(Flag::DocumentLinks) => {
                self.losses.approximated(format!("{path}.source.url"));
                parts.push(Part::Text(words(Some(url)).into(), None));
            }
            DocumentSource::File(Source::Url(_)) => {
                let message = "the provider of this model fetches no documents; send the content instead of its url";
                return Err(Refused::new(format!("{path}.source"), message));
            }
            DocumentSource::File(source) if self.profile.has(Flag::Files) => {
                let name = document.title.clone().unwrap_or(Cow::Borrowed(b"document.pdf"));
                if document.context.is_some() {
                    self.losses.dropped(format!("{path}.context"));
                }
                parts.push(Part::File(name, source.clone()));
            }
            DocumentSource::File(_) => {
                let message = "the provider of this model reads no files; send the document's text";
                return Err(Refused::new(format!("{path}.source"), message));
            }
        }
        Ok(())
    }
}

/// What only the vendor can read at which it was uploaded.
fn elsewhere(path: &str) -> Refused {
    let message = "the file was uploaded to another provider than that of this model; send its content as base64";
    Refused::new(format!("{path}.source"), message)
}

/// Appends a content: a string where all of it is text, else the parts. Where the server takes marks, several texts always
/// stay parts: a client's mark moves on with every turn, and the message must stay what it was, or caches miss it.
pub(super) fn write(parts: &[Part<'_>], between: &[u8], profile: &Profile, out: &mut Vec<u8>) {
    let is_plain = parts.iter().all(|part| matches!(part, Part::Text(_, None) | Part::Gap));
    if !is_plain || profile.has(Flag::CacheControl) && parts.len() > 1 {
        let parts = parts.iter().filter(|part| !matches!(part, Part::Gap));
        return list(out, parts, |out, part| write_part(part, out));
    }
    out.push(b'"');
    let mut join: &[u8] = b"";
    for part in parts {
        match part {
            Part::Text(text, _) => {
                out.extend_from_slice(join);
                text::copy_escaped(text, out);
                join = between;
            }
            _ => join = br"\n\n",
        }
    }
    out.push(b'"');
}

fn write_part(part: &Part<'_>, out: &mut Vec<u8>) {
    match part {
        Part::Text(text, mark) => {
            out.extend_from_slice(b"{\"type\":\"text\",\"text\":");
            string(out, text);
            if let Some(mark) = mark {
                key(out, "cache_control");
                raw::copy(mark, out);
            }
            out.push(b'}');
        }
        Part::Image(source, detail) => {
            out.extend_from_slice(b"{\"type\":\"image_url\",\"image_url\":{\"url\":");
            url(source, out);
            if let Some(detail) = detail {
                key(out, "detail");
                string(out, detail);
            }
            out.extend_from_slice(b"}}");
        }
        Part::File(name, source) => {
            out.extend_from_slice(b"{\"type\":\"file\",\"file\":{\"filename\":");
            string(out, name);
            key(out, "file_data");
            url(source, out);
            out.extend_from_slice(b"}}");
        }
        Part::Gap => {}
    }
}

/// An address, or the content in one.
fn url(source: &Source<'_>, out: &mut Vec<u8>) {
    match source {
        Source::Url(url) | Source::File(url) => string(out, url),
        Source::Base64 { media_type, data } => {
            out.extend_from_slice(b"\"data:");
            text::copy_escaped(media_type, out);
            out.extend_from_slice(b";base64,");
            without_line_ends(data, out);
            out.push(b'"');
        }
    }
}

/// Base64 as some encoders break it into lines, in one.
fn without_line_ends(data: &[u8], out: &mut Vec<u8>) {
    let mut rest = data;
    while let Some((line, behind)) = memchr::memchr(b'\\', rest).and_then(|end| rest.split_at_checked(end)) {
        text::copy_escaped(line, out);
        match behind {
            [_, b'n' | b'r' | b't', after @ ..] => rest = after,
            // `\/` as some encoders write it.
            [_, b'/', after @ ..] => {
                out.push(b'/');
                rest = after;
            }
            _ => {
                text::copy_escaped(behind, out);
                return;
            }
        }
    }
    text::copy_escaped(rest, out);
}
