//! What an assistant message of the history tells of its thoughts. Chat has no word for it, so servers have several.

use super::parts::member;
use crate::dialect::loss::{Losses, rest};
use crate::dialect::turn::{Block, Content, Text};
use crate::json::Value;

/// The format of `reasoning_details` whose signatures are Anthropic's.
const ANTHROPIC: &str = "anthropic-claude-v1";

/// The thoughts: `reasoning_details` if anything in it can be used, for it holds the proofs; else `reasoning_content`, else
/// `reasoning`. All say the same.
pub fn read<'a>(message: Value<'a>, losses: &mut Losses) -> Vec<Block<'a>> {
    let details = details(message, losses);
    if !details.is_empty() {
        return details;
    }
    let text = |name| member(message, name).filter(|text| !text.is_empty());
    let thoughts = text("reasoning_content").or_else(|| text("reasoning"));
    thoughts.map(|text| vec![Block::new(Content::Thinking { text, signature: None })]).unwrap_or_default()
}

fn details<'a>(message: Value<'a>, losses: &mut Losses) -> Vec<Block<'a>> {
    let mut found: Vec<Block<'a>> = Vec::new();
    let mut last_place = None;
    let Some(details) = message.get("reasoning_details") else { return found };
    const SAID: [&str; 8] = ["type", "text", "summary", "data", "signature", "format", "index", "id"];
    for detail in details.items() {
        rest(&detail, "messages.reasoning_details", &SAID, losses);
        let place = detail.get("index").and_then(|index| index.as_u64());
        let kind = detail.get("type").and_then(|kind| kind.text());
        match kind.as_deref() {
            Some("reasoning.text") => {
                let text = member(detail, "text").unwrap_or_default();
                let signature = signature(detail, losses);
                let follows = place.is_some() && place == last_place || text.is_empty();
                if !(follows && append(found.last_mut(), &text, &signature)) {
                    found.push(Block::new(Content::Thinking { text, signature }));
                }
            }
            Some("reasoning.summary") => {
                let text = member(detail, "summary").unwrap_or_default();
                found.push(Block::new(Content::Thinking { text, signature: None }));
            }
            Some("reasoning.encrypted") if detail.get("format").is_some_and(|format| format.is(ANTHROPIC)) => {
                found.extend(member(detail, "data").map(|data| Block::new(Content::RedactedThinking(data))));
            }
            _ => losses.dropped("messages.reasoning_details"),
        }
        last_place = place;
    }
    found.retain(|block| !matches!(&block.content, Content::Thinking { text, signature: None } if text.is_empty()));
    found
}

/// A detail's signature, unless its format is another vendor's.
fn signature<'a>(detail: Value<'a>, losses: &mut Losses) -> Option<Text<'a>> {
    let signature = member(detail, "signature").filter(|signature| !signature.is_empty())?;
    let is_foreign = detail.get("format").is_some_and(|format| !format.is(ANTHROPIC));
    if is_foreign {
        losses.dropped("messages.reasoning_details.signature");
    }
    (!is_foreign).then_some(signature)
}

/// Clients that collect a stream's chunks send them back as they came: pieces of one text under one index, and its
/// signature alone at the end. Adds a piece to the block before; false if it does not belong there.
fn append<'a>(block: Option<&mut Block<'a>>, piece: &Text<'a>, proof: &Option<Text<'a>>) -> bool {
    match block.map(|block| &mut block.content) {
        Some(Content::Thinking { text, signature: signature @ None }) => {
            if text.is_empty() {
                *text = piece.clone();
            } else if !piece.is_empty() {
                text.to_mut().extend_from_slice(piece);
            }
            signature.clone_from(proof);
            true
        }
        _ => false,
    }
}
