//! What an answer is made of, in no dialect: its script, the steps of a stream, its text, its identifiers.
//!
//! Everything follows from the request and its number, so the same request always gets the same text, streamed or not.

#![forbid(unsafe_code)]

use super::ask::Ask;
use super::encode::{hex16, json_escaped, put, splitmix};
use super::fault::Part;
use super::route::Dialect;
use super::{chat, messages, misc, responses};

/// Repeated as often as an answer is long. ASCII without anything JSON escapes, so a chunk may begin anywhere.
const TEXT: &[u8] = b"The mock provider answers with the same words each time, so that a test can tell at a glance what was \
lost on the way. It counts nothing, remembers nothing and has no opinion; it only talks, at the pace it was told, until it \
has said as many words as it was asked for. ";
/// Characters of one fragment of tool arguments.
const FRAGMENT_BYTES: usize = 12;
/// Thinking is a fifth of the chunks of text.
const THINKING_SHARE: usize = 5;

/// Everything needed to write one generated answer.
#[derive(Debug, Clone)]
pub struct Script {
    /// The language.
    pub dialect: Dialect,
    /// The number of the request; every identifier of the answer is made from it.
    pub number: u64,
    /// Unix seconds.
    pub created: u64,
    /// Chunks of a text part.
    pub chunks: usize,
    /// Bytes of a chunk.
    pub bytes: usize,
    /// What was asked.
    pub ask: Ask,
}

/// One step of a stream. A dialect writes none, one or several frames for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The answer begins.
    Start,
    /// Part so-and-so begins.
    Open(usize),
    /// Chunk `1` of part `0`.
    Delta(usize, usize),
    /// Part so-and-so ends.
    Close(usize),
    /// The reason for the end.
    Finish,
    /// The usage numbers.
    Usage,
    /// The end mark.
    End,
}

impl Script {
    /// The step after `step`.
    #[must_use]
    pub fn after(&self, step: Step) -> Option<Step> {
        let open = |part| {
            if self.ask.parts.get(part).is_some() { Step::Open(part) } else { Step::Finish }
        };
        Some(match step {
            Step::Start => open(0),
            Step::Open(part) => self.delta(part, 0),
            Step::Delta(part, at) => self.delta(part, at + 1),
            Step::Close(part) => open(part + 1),
            Step::Finish => Step::Usage,
            Step::Usage => Step::End,
            Step::End => return None,
        })
    }

    fn delta(&self, part: usize, at: usize) -> Step {
        if at < self.deltas(part) { Step::Delta(part, at) } else { Step::Close(part) }
    }

    /// Chunks of a part.
    #[must_use]
    pub fn deltas(&self, part: usize) -> usize {
        match self.ask.parts.get(part) {
            Some(Part::Text) => self.chunks,
            Some(Part::Thinking) => self.chunks.div_ceil(THINKING_SHARE),
            Some(Part::Tool) => self.arguments(part).len().div_ceil(FRAGMENT_BYTES),
            None => 0,
        }
    }

    /// Appends the chunk `at` of a part, as the inside of a JSON string.
    pub fn chunk(&self, part: usize, at: usize, out: &mut Vec<u8>) {
        if self.ask.parts.get(part) == Some(Part::Tool) {
            let arguments = self.arguments(part);
            let cut = |at: usize| char_boundary(arguments, at * FRAGMENT_BYTES);
            json_escaped(out, arguments.get(cut(at)..cut(at + 1)).unwrap_or_default());
        } else {
            text(out, at * self.bytes, self.bytes);
        }
    }

    /// Appends all chunks of a part, as the inside of a JSON string.
    pub fn whole(&self, part: usize, out: &mut Vec<u8>) {
        match self.ask.parts.get(part) {
            Some(Part::Tool) => json_escaped(out, self.arguments(part)),
            Some(_) => text(out, 0, self.deltas(part) * self.bytes),
            None => {}
        }
    }

    /// The JSON object of a tool part's arguments, as it is.
    #[must_use]
    pub fn arguments(&self, part: usize) -> &[u8] {
        self.ask.calls.get(self.tool_index(part)).map_or(b"{}", |call| &call.arguments)
    }

    /// The name of a tool part's tool.
    #[must_use]
    pub fn tool(&self, part: usize) -> &[u8] {
        self.ask.calls.get(self.tool_index(part)).map_or(b"mock_tool", |call| &call.name)
    }

    /// How many tool parts stand before this one.
    #[must_use]
    pub fn tool_index(&self, part: usize) -> usize {
        self.ask.parts.as_slice().iter().take(part).filter(|&&kind| kind == Part::Tool).count()
    }

    /// Appends an identifier of this answer: a prefix, then 16 hex digits that depend on the request and on `place`.
    pub fn id(&self, prefix: &[u8], place: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(prefix);
        let (_, word) = splitmix(self.number.wrapping_mul(64).wrapping_add(place as u64));
        hex16(out, word);
    }

    /// Tokens written, of which for thinking: one for each chunk.
    #[must_use]
    pub fn output_tokens(&self) -> (u64, u64) {
        let count = |only: Option<Part>| {
            let parts = self.ask.parts.as_slice().iter().enumerate();
            parts
                .filter(|(_, kind)| only.is_none_or(|only| **kind == only))
                .map(|(part, _)| self.deltas(part) as u64)
                .sum::<u64>()
        };
        (count(None).max(1), count(Some(Part::Thinking)))
    }

    /// Appends the frames of one step. `sequence` numbers the events where the dialect does so.
    pub fn frames(&self, step: Step, sequence: &mut u64, out: &mut Vec<u8>) {
        match self.dialect {
            Dialect::Chat => chat::frames(self, step, out),
            Dialect::Completions => misc::completion_frames(self, step, out),
            Dialect::Messages => messages::frames(self, step, out),
            Dialect::Responses => responses::frames(self, step, sequence, out),
        }
    }

    /// Appends the whole answer as one body.
    pub fn body(&self, out: &mut Vec<u8>) {
        match self.dialect {
            Dialect::Chat => chat::body(self, out),
            Dialect::Completions => misc::completion(self, out),
            Dialect::Messages => messages::body(self, out),
            Dialect::Responses => responses::body(self, out),
        }
    }
}

/// Appends an error body of the dialect.
pub fn error_body(dialect: Dialect, status: u16, message: &str, number: u64, out: &mut Vec<u8>) {
    match dialect {
        Dialect::Messages => messages::error(status, message, number, out),
        _ => chat::error(status, message, out),
    }
}

/// Appends the event by which a stream of the dialect reports an error.
pub fn error_event(script: &Script, status: u16, sequence: u64, out: &mut Vec<u8>) {
    let message = "The mock was told to fail here.";
    match script.dialect {
        Dialect::Messages => {
            out.extend_from_slice(b"event: error\ndata: ");
            messages::error(status, message, script.number, out);
            out.extend_from_slice(b"\n\n");
        }
        Dialect::Responses => responses::error_event(script, status, message, sequence, out),
        Dialect::Chat | Dialect::Completions => {
            out.extend_from_slice(b"data: ");
            chat::error(status, message, out);
            out.extend_from_slice(b"\n\n");
        }
    }
}

/// Appends `len` bytes of the endless text, from `from` on.
fn text(out: &mut Vec<u8>, from: usize, len: usize) {
    let mut from = from % TEXT.len();
    let mut left = len;
    while left > 0 {
        let piece = TEXT.get(from..).unwrap_or_default();
        let piece = piece.get(..left).unwrap_or(piece);
        put(out, &[piece]);
        left -= piece.len();
        from = 0;
    }
}

/// The first place from `at` on where a UTF-8 text may be cut.
fn char_boundary(text: &[u8], at: usize) -> usize {
    let tail = text.get(at..).unwrap_or_default();
    at.min(text.len()) + tail.iter().take_while(|&&byte| byte & 0xc0 == 0x80).count()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::mock::call::Call;
    use crate::mock::fault::Parts;

    pub fn script(dialect: Dialect, parts: &[Part]) -> Script {
        let mut ask = Ask { model: b"m-1".to_vec(), prompt_tokens: 7, ..Ask::default() };
        ask.parts = Parts::default();
        for &part in parts {
            ask.parts.push(part);
            if part == Part::Tool {
                ask.calls
                    .push(Call { name: b"look_up".to_vec(), arguments: "{\"wort\":\"größer \\\"als\\\"\"}".into() });
            }
        }
        Script { dialect, number: 1, created: 1_700_000_000, chunks: 3, bytes: 10, ask }
    }

    /// Every frame of a stream, one string for each step.
    pub fn stream(script: &Script) -> Vec<String> {
        let (mut step, mut sequence, mut frames) = (Some(Step::Start), 0, Vec::new());
        while let Some(now) = step {
            let mut out = Vec::new();
            script.frames(now, &mut sequence, &mut out);
            frames.push(String::from_utf8(out).unwrap());
            step = script.after(now);
        }
        frames
    }

    /// The `data:` of each frame, parsed; panics on a frame that is not one event.
    pub fn events(script: &Script) -> Vec<simd_json::OwnedValue> {
        let wire = stream(script).concat();
        let frames: Vec<_> = wire.split_terminator("\n\n").collect();
        let data = frames.iter().map(|frame| frame.lines().last().unwrap().strip_prefix("data: ").unwrap());
        data.filter(|data| *data != "[DONE]")
            .map(|data| simd_json::to_owned_value(&mut data.as_bytes().to_vec()).unwrap())
            .collect()
    }

    pub fn parsed(write: impl FnOnce(&mut Vec<u8>)) -> simd_json::OwnedValue {
        let mut out = Vec::new();
        write(&mut out);
        simd_json::to_owned_value(&mut out).unwrap()
    }

    #[test]
    fn chunks_concatenate_to_the_whole_part() {
        for part in [Part::Thinking, Part::Text, Part::Tool] {
            let mut script = script(Dialect::Chat, &[part]);
            for (chunks, bytes) in [(3, 10), (50, 20), (7, 333), (4, 0), (0, 9)] {
                (script.chunks, script.bytes) = (chunks, bytes);
                let (mut pieces, mut whole) = (Vec::new(), Vec::new());
                for at in 0..script.deltas(0) {
                    script.chunk(0, at, &mut pieces);
                }
                script.whole(0, &mut whole);
                assert_eq!(pieces, whole, "{part:?} {chunks} × {bytes}");
                assert!(std::str::from_utf8(&pieces).is_ok());
            }
        }
    }

    #[test]
    fn text_needs_no_escapes() {
        let mut escaped = Vec::new();
        json_escaped(&mut escaped, TEXT);
        assert_eq!(escaped, TEXT);
    }

    #[test]
    fn steps_run_through_every_part() {
        let script = script(Dialect::Chat, &[Part::Thinking, Part::Text]);
        let mut steps = vec![Step::Start];
        while let Some(step) = script.after(*steps.last().unwrap()) {
            steps.push(step);
        }
        use Step::{Close, Delta, End, Finish, Open, Start, Usage};
        let expected = [
            Start,
            Open(0),
            Delta(0, 0),
            Close(0),
            Open(1),
            Delta(1, 0),
            Delta(1, 1),
            Delta(1, 2),
            Close(1),
            Finish,
            Usage,
            End,
        ];
        assert_eq!(steps, expected);
    }
}
