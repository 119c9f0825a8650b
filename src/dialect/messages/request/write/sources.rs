//! Pictures and documents.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::blocks;
use super::put;
use crate::dialect::loss::Losses;
use crate::dialect::turn::{Block, Content, Document, DocumentSource, Refused, Source, Terms};
use crate::json::text::encode;

const IMAGE_TYPES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// Appends the members of an `image` block. The media type is what the bytes are: a wrong one is refused upstream, and
/// clients guess from file names.
pub fn image(source: &Source<'_>, out: &mut Vec<u8>) -> Result<(), Refused> {
    out.extend_from_slice(b"\"type\":\"image\",\"source\":{");
    match source {
        Source::Base64 { media_type, data } => {
            let declared = if **media_type == *b"image/jpg" { "image/jpeg".as_bytes() } else { media_type };
            let known = IMAGE_TYPES.into_iter().find(|known| known.as_bytes() == declared);
            let media_type = sniffed(data).filter(|kind| kind.starts_with("image/")).or(known).ok_or_else(|| {
                Refused::new("messages.content.image_url", "a picture must be JPEG, PNG, GIF or WebP: convert it")
            })?;
            base64_source(media_type, data, out);
        }
        Source::Url(url) => url_source(url, out),
        Source::File(_) => return Err(stored_elsewhere()),
    }
    out.push(b'}');
    Ok(())
}

/// Appends the members of a `document` block.
pub fn document(document: &Document<'_>, losses: &mut Losses, out: &mut Vec<u8>) -> Result<(), Refused> {
    out.extend_from_slice(b"\"type\":\"document\",\"source\":{");
    match &document.source {
        DocumentSource::File(Source::Base64 { media_type, data }) => file(media_type, data, out)?,
        DocumentSource::File(Source::Url(url)) => url_source(url, out),
        DocumentSource::File(Source::File(_)) => return Err(stored_elsewhere()),
        DocumentSource::Text(text) => {
            out.extend_from_slice(b"\"type\":\"text\",\"media_type\":\"text/plain\"");
            put::text("data", text, out);
        }
        DocumentSource::Blocks(inner) => {
            out.extend_from_slice(b"\"type\":\"content\",\"content\":");
            blocks::write(&readable(inner, losses), &mut Terms::default(), losses, out)?;
        }
    }
    out.push(b'}');
    for (name, text) in [("title", &document.title), ("context", &document.context)] {
        if let Some(text) = text.as_ref().filter(|text| !text.is_empty()) {
            put::text(name, text, out);
        }
    }
    Ok(())
}

/// A file by its media type: PDF, or text of any kind.
fn file(media_type: &[u8], data: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    const TEXTS: [&[u8]; 6] = [
        b"application/json",
        b"application/xml",
        b"application/yaml",
        b"application/x-yaml",
        b"application/javascript",
        b"application/toml",
    ];
    if media_type == b"application/pdf" || sniffed(data) == Some("application/pdf") {
        base64_source("application/pdf", data, out);
        return Ok(());
    }
    let is_text = media_type.starts_with(b"text/") || TEXTS.contains(&media_type);
    let text = is_text.then(|| decoded(data)).flatten().and_then(|bytes| String::from_utf8(bytes).ok());
    let message = "a file must be a PDF, a picture, or text in UTF-8: convert it, or send its text";
    let text = text.ok_or_else(|| Refused::new("messages.content.file.file_data", message))?;
    out.extend_from_slice(b"\"type\":\"text\",\"media_type\":\"text/plain\"");
    put::key("data", out);
    encode(text.as_bytes(), out);
    Ok(())
}

fn base64_source(media_type: &str, data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"type\":\"base64\"");
    put::text("media_type", media_type.as_bytes(), out);
    put::text("data", data, out);
}

fn url_source(url: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"type\":\"url\"");
    put::text("url", url, out);
}

fn stored_elsewhere() -> Refused {
    let message = "a file_id means nothing to another vendor: send the file's data";
    Refused::new("messages.content.file.file_id", message)
}

/// What may stand in a document: text and pictures.
fn readable<'a>(inner: &[Block<'a>], losses: &mut Losses) -> Vec<Block<'a>> {
    let fits = |block: &&Block<'a>| match &block.content {
        Content::Text(text) => !put::is_blank(text),
        Content::Image { .. } => true,
        _ => {
            losses.dropped("messages.content.source.content");
            false
        }
    };
    inner.iter().filter(fits).cloned().collect()
}

/// The media type that the first bytes of base64 show.
fn sniffed(data: &[u8]) -> Option<&'static str> {
    // A slash may be escaped; 16 characters are 12 bytes.
    let head: Vec<u8> = data.iter().copied().filter(|byte| *byte != b'\\').take(16).collect();
    let bytes = decoded(&head)?;
    match bytes.as_slice() {
        [0xFF, 0xD8, 0xFF, ..] => Some("image/jpeg"),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', ..] => Some("image/png"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P'] => Some("image/webp"),
        [b'%', b'P', b'D', b'F', b'-', ..] => Some("application/pdf"),
        _ => None,
    }
}

fn decoded(base64: &[u8]) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let plain: Vec<u8> = base64.iter().copied().filter(|byte| *byte != b'\\').collect();
    GeneralPurpose::new(&STANDARD, config.with_decode_allow_trailing_bits(true)).decode(plain).ok()
}
