//! Guesses from bytes: for the start of a stream, for routes, and where an upstream reports nothing. Nothing is loaded.

use std::collections::HashMap;

use crate::dialect::turn::{Block, Content, Document, DocumentSource, Input, Request, Source, ToolKind};
use crate::limits;

/// Bytes per token of each model, learned from what upstreams report. One per worker.
#[derive(Debug, Default)]
pub struct Learned {
    models: HashMap<Box<str>, Ratio>,
    /// Counts what was learned, to know what was not heard of for longest.
    lessons: u64,
}

#[derive(Clone, Copy, Debug)]
struct Ratio {
    bytes_per_token: f64,
    last: u64,
}

/// Bytes per token of a model that nothing is known of.
const START: f64 = 4.0;

/// The tokens of so many bytes of which nothing is known.
pub fn of_bytes(bytes: usize) -> u64 {
    (bytes as f64 / START).ceil() as u64
}

impl Learned {
    /// The tokens of so many bytes, at least 1 where there are any. What the bytes are, they must also be in
    /// [`Learned::learn`].
    pub fn estimate(&self, model: &str, bytes: usize) -> u64 {
        let ratio = self.models.get(model).map_or(START, |ratio| ratio.bytes_per_token);
        (bytes as f64 / ratio).ceil() as u64
    }

    /// An upstream counted so many tokens in so many bytes.
    pub fn learn(&mut self, model: &str, bytes: usize, tokens: u64) {
        /// What one report changes.
        const WEIGHT: f64 = 0.2;
        /// Below it, what goes around messages is most of it.
        const BYTES_MIN: usize = 512;
        /// Scripts of three bytes a letter, and letters that are tokens; long spaces. Beyond it, something was not counted.
        const SANE: std::ops::RangeInclusive<f64> = 1.0..=12.0;
        let seen = bytes as f64 / tokens as f64;
        if bytes < BYTES_MIN || !SANE.contains(&seen) || model.len() > limits::MODEL_BYTES_MAX {
            return;
        }
        self.lessons += 1;
        let last = self.lessons;
        if let Some(ratio) = self.models.get_mut(model) {
            ratio.bytes_per_token += WEIGHT * (seen - ratio.bytes_per_token);
            ratio.last = last;
            return;
        }
        if self.models.len() >= limits::LEARNED_MODELS_MAX {
            let oldest = self.models.iter().min_by_key(|(_, ratio)| ratio.last).map(|(model, _)| model.clone());
            oldest.and_then(|oldest| self.models.remove(&oldest));
        }
        // The first report is nearer than any guess.
        self.models.insert(model.into(), Ratio { bytes_per_token: seen, last });
    }
}

/// The bytes of a request that are text to a model: with base64 a picture would look like a book. A picture counts as
/// [`PICTURE_BYTES`], of a file's base64 a sixteenth.
pub fn text_bytes(request: &Request<'_>) -> usize {
    let turns = request.turns.iter().flat_map(|turn| &turn.blocks).map(block_bytes).sum::<usize>();
    let tools = request.tools.iter().map(|tool| {
        let kind = match &tool.kind {
            ToolKind::Function(schema) => schema.map_or(0, |schema| schema.raw().len()),
            ToolKind::Custom(raw) | ToolKind::Vendor { raw, .. } => raw.raw().len(),
        };
        tool.name.len() + tool.description.as_ref().map_or(0, |text| text.len()) + kind
    });
    turns + tools.sum::<usize>()
}

/// As many bytes of text as a picture of usual size has tokens for.
pub const PICTURE_BYTES: usize = 4_000;

/// As many bytes of text as a file has tokens for, by the bytes of its base64; at least a page is in it.
pub fn file_bytes(base64_bytes: usize) -> usize {
    (base64_bytes / 16).max(PICTURE_BYTES)
}

fn block_bytes(block: &Block<'_>) -> usize {
    match &block.content {
        Content::Text(text) | Content::Thinking { text, .. } | Content::Refusal(text) => text.len(),
        Content::Image { .. } => PICTURE_BYTES,
        Content::Document(document) => document_bytes(document),
        Content::ToolCall(call) => match &call.input {
            Input::Json(raw) => call.name.len() + raw.len(),
            Input::Text(text) => call.name.len() + text.len(),
        },
        Content::ToolResult(result) => result.content.iter().map(block_bytes).sum(),
        Content::RedactedThinking(data) => data.len(),
        Content::Other { raw, .. } => raw.raw().len(),
    }
}

fn document_bytes(document: &Document<'_>) -> usize {
    match &document.source {
        DocumentSource::Text(text) => text.len(),
        DocumentSource::Blocks(blocks) => blocks.iter().map(block_bytes).sum(),
        DocumentSource::File(Source::Base64 { data, .. }) => file_bytes(data.len()),
        DocumentSource::File(Source::Url(_) | Source::File(_)) => PICTURE_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::turn::{Role, Turn};

    #[test]
    fn learned() {
        let mut learned = Learned::default();
        assert_eq!((learned.estimate("m", 4_000), learned.estimate("m", 1), learned.estimate("m", 0)), (1_000, 1, 0));
        // Too small, nothing counted, counted twice or not at all.
        for (bytes, tokens) in [(100, 10), (10_000, 0), (10_000, 20_000), (1_000_000, 10)] {
            learned.learn("m", bytes, tokens);
            assert_eq!(learned.estimate("m", 4_000), 1_000, "{bytes} {tokens}");
        }
        learned.learn("m", 10_000, 5_000);
        assert_eq!((learned.estimate("m", 4_000), learned.estimate("n", 4_000)), (2_000, 1_000));
        learned.learn("m", 8_000, 2_000);
        assert_eq!(learned.estimate("m", 4_800), 2_000);
        (0..40).for_each(|_| learned.learn("m", 8_000, 2_000));
        assert_eq!(learned.estimate("m", 4_000), 1_001);
    }

    #[test]
    fn the_model_not_heard_of_for_longest_is_forgotten() {
        let mut learned = Learned::default();
        learned.learn("first", 10_000, 5_000);
        for number in 0..limits::LEARNED_MODELS_MAX {
            learned.learn(&number.to_string(), 10_000, 5_000);
            learned.learn("first", 10_000, 5_000);
        }
        assert_eq!(learned.models.len(), limits::LEARNED_MODELS_MAX);
        assert_eq!((learned.estimate("first", 4_000), learned.estimate("0", 4_000)), (2_000, 1_000));
    }

    #[test]
    fn base64_is_no_text() {
        let picture = |bytes| Content::Image {
            source: Source::Base64 { media_type: b"image/png"[..].into(), data: vec![b'A'; bytes].into() },
            detail: None,
        };
        let blocks = vec![Block::text(&b"12345"[..]), Block::new(picture(1_000_000)), Block::new(picture(9))];
        let request = Request { turns: vec![Turn { role: Role::User, blocks }], ..Request::default() };
        assert_eq!(text_bytes(&request), 5 + 2 * PICTURE_BYTES);
    }
}
