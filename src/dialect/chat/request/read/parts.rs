//! A message's content: a string, or an array of parts.

use std::borrow::Cow;

use super::data_url::{self, NotBase64};
use super::wrong;
use crate::dialect::loss::{Losses, rest};
use crate::dialect::turn::{Block, Content, Document, DocumentSource, Refused, Source, Text};
use crate::json::{Kind, Value};

/// A message's blocks. A mark on the message (`cache_control`, as some clients of gateways send it) is one on its last
/// block.
pub fn read<'a>(message: Value<'a>, losses: &mut Losses) -> Result<Vec<Block<'a>>, Refused> {
    let mut blocks = Vec::new();
    if let Some(content) = message.get("content") {
        match content.kind() {
            Kind::String => blocks.extend(content.escaped().map(Block::text)),
            Kind::Array => content.items().try_for_each(|item| part(item, &mut blocks, losses))?,
            _ => return Err(wrong("messages.content", "a string or an array of parts")),
        }
    }
    if let (Some(mark), Some(last)) = (message.get("cache_control"), blocks.last_mut()) {
        last.cache_control = last.cache_control.or(Some(mark.raw()));
    }
    Ok(blocks)
}

fn part<'a>(part: Value<'a>, blocks: &mut Vec<Block<'a>>, losses: &mut Losses) -> Result<(), Refused> {
    if let Some(text) = part.escaped() {
        blocks.push(Block::text(text));
        return Ok(());
    }
    let kind = part.get("type").and_then(|kind| kind.text());
    let content = match kind.as_deref() {
        Some("text") => member(part, "text").map(Content::Text),
        Some("refusal") => member(part, "refusal").map(Content::Refusal),
        Some("image_url") => Some(image(part, losses)?),
        Some("file") => Some(file(part, losses)?),
        Some("thinking") => {
            rest(&part, "messages.content", &["type", "thinking", "signature"], losses);
            thoughts(part, blocks);
            return Ok(());
        }
        Some(_) => Some(Content::Other { kind: member(part, "type").unwrap_or_default(), raw: part }),
        None => return Err(wrong("messages.content.type", "a string")),
    };
    // Of another type all goes on as it is.
    if !matches!(content, Some(Content::Other { .. })) {
        rest(&part, "messages.content", &["type", "cache_control", kind.as_deref().unwrap_or_default()], losses);
    }
    let cache_control = part.get("cache_control").map(|mark| mark.raw());
    blocks.extend(content.map(|content| Block { content, cache_control }));
    Ok(())
}

/// Mistral's way to say thoughts: `{"type": "thinking", "thinking": [{"type": "text", "text": …}]}`; as a string, and
/// signed, it is a block of Messages in a message of Chat.
fn thoughts<'a>(part: Value<'a>, blocks: &mut Vec<Block<'a>>) {
    let Some(thinking) = part.get("thinking") else { return };
    let signature = member(part, "signature");
    if let Some(text) = thinking.escaped() {
        let text = Cow::Borrowed(text);
        return blocks.push(Block::new(Content::Thinking { text, signature }));
    }
    let texts = thinking.items().filter_map(|item| member(item, "text"));
    blocks.extend(texts.map(|text| Block::new(Content::Thinking { text, signature: None })));
}

fn image<'a>(part: Value<'a>, losses: &mut Losses) -> Result<Content<'a>, Refused> {
    let image = part.get("image_url").ok_or_else(|| wrong("messages.content.image_url", "an object"))?;
    rest(&image, "messages.content.image_url", &["url", "detail"], losses);
    // Some clients leave the object out.
    let url = image.escaped().or_else(|| image.get("url")?.escaped());
    let url = url.ok_or_else(|| wrong("messages.content.image_url.url", "a string"))?;
    let source = data_url::source(url)
        .map_err(|NotBase64| wrong("messages.content.image_url.url", "an address, or data in base64"))?;
    Ok(Content::Image { source, detail: member(image, "detail") })
}

fn file<'a>(part: Value<'a>, losses: &mut Losses) -> Result<Content<'a>, Refused> {
    let file = part.get("file").ok_or_else(|| wrong("messages.content.file", "an object"))?;
    rest(&file, "messages.content.file", &["filename", "file_data", "file_id"], losses);
    let title = member(file, "filename");
    let source = match (member(file, "file_data"), member(file, "file_id")) {
        (Some(_), _) => {
            data(file.get("file_data").and_then(|data| data.escaped()).unwrap_or_default(), title.as_deref())?
        }
        (None, Some(id)) => Source::File(id),
        (None, None) => return Err(wrong("messages.content.file", "an object with file_data or file_id")),
    };
    Ok(match source {
        Source::Base64 { ref media_type, .. } if media_type.starts_with(b"image/") => {
            Content::Image { source, detail: None }
        }
        source => Content::Document(Document { source: DocumentSource::File(source), title, context: None }),
    })
}

/// What a file holds. Its data should be a `data:` URL; some clients send the base64 alone.
fn data<'a>(data: &'a [u8], name: Option<&[u8]>) -> Result<Source<'a>, Refused> {
    const PDF_IN_BASE64: &[u8] = b"JVBERi0";
    let refused = |NotBase64| wrong("messages.content.file.file_data", "a data: URL in base64");
    let source = data_url::source(data).map_err(refused)?;
    let Source::Url(bare) = &source else { return Ok(source) };
    let is_pdf = name.is_some_and(|name| name.to_ascii_lowercase().ends_with(b".pdf"));
    match bare.starts_with(PDF_IN_BASE64) || is_pdf && memchr::memchr(b':', bare).is_none() {
        true => Ok(Source::Base64 { media_type: Cow::Borrowed(b"application/pdf"), data: data_url::base64(data) }),
        false => Err(refused(NotBase64)),
    }
}

/// A member's text; `None` if it is none.
pub fn member<'a>(of: Value<'a>, name: &str) -> Option<Text<'a>> {
    of.get(name)?.escaped().map(Cow::Borrowed)
}
