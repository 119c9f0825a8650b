//! Thoughts in Chat Completions. The API has no place for them; `reasoning_content` is how most servers show them, and
//! `reasoning_details` how clients hand them back with the proof that their vendor demands.

use crate::dialect::turn::Escaped;
use crate::http::write::number;
use crate::json::text::copy_escaped;
use crate::limits::THINKING_BYTES_HELD_MAX;

/// What parts two blocks of thoughts, escaped.
pub const BETWEEN: &[u8] = b"\\n\\n";

/// Thoughts of a stream, held until their proof comes: a client must find both in one piece to hand them back.
#[derive(Debug, Default)]
pub struct Thoughts {
    /// The block, while it is open.
    number: Option<u32>,
    text: Vec<u8>,
    /// The text is longer than what is held.
    is_cut: bool,
    /// A block before this one had text.
    follows_text: bool,
    /// Details so far.
    places: u32,
}

impl Thoughts {
    /// A block begins.
    pub fn begin(&mut self, number: u32) {
        self.end_held();
        self.number = Some(number);
    }

    /// More of it, if it is one; says whether something must part it from an earlier one.
    pub fn add(&mut self, number: u32, text: Escaped<'_>) -> bool {
        if self.number != Some(number) {
            return false;
        }
        let is_parted = self.follows_text && self.text.is_empty() && !self.is_cut;
        self.is_cut |= self.text.len() + text.len() > THINKING_BYTES_HELD_MAX;
        if !self.is_cut {
            copy_escaped(text, &mut self.text);
        }
        is_parted
    }

    /// The block's text and its place among the details.
    ///
    /// # Errors
    /// It is too long to be held.
    pub fn prove(&mut self, number: u32) -> Result<(&[u8], u32), TooLong> {
        if self.number != Some(number) || self.is_cut {
            return Err(TooLong);
        }
        let place = self.next_place();
        Ok((&self.text, place))
    }

    /// The block is whole.
    pub fn end(&mut self, number: u32) {
        if self.number == Some(number) {
            self.end_held();
        }
    }

    /// The place of one more detail.
    pub fn next_place(&mut self) -> u32 {
        let place = self.places;
        self.places += 1;
        place
    }

    fn end_held(&mut self) {
        self.follows_text |= !self.text.is_empty() || self.is_cut;
        self.number = None;
        self.is_cut = false;
        self.text.clear();
    }
}

/// Thoughts were too long to be held until their proof came.
#[derive(Debug)]
pub struct TooLong;

/// Appends the detail of thoughts and their proof.
pub fn write_text(text: Escaped<'_>, signature: Escaped<'_>, place: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"reasoning.text\",\"text\":\"");
    copy_escaped(text, out);
    out.extend_from_slice(b"\",\"signature\":\"");
    copy_escaped(signature, out);
    write_end(place, out);
}

/// Appends the detail of thoughts that only their vendor can read.
pub fn write_encrypted(data: Escaped<'_>, place: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"reasoning.encrypted\",\"data\":\"");
    copy_escaped(data, out);
    write_end(place, out);
}

fn write_end(place: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\",\"format\":\"anthropic-claude-v1\",\"index\":");
    number(out, u64::from(place));
    out.push(b'}');
}
