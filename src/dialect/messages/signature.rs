//! Signatures of thinking blocks: whose they are, as far as the text tells.
//!
//! Anthropic signs what its models think, and refuses a conversation with a block whose signature is missing or not its
//! own. Thoughts of other vendors get a mark of ours in that place, for clients drop blocks without one; and before such a
//! conversation goes to Anthropic, those blocks are left out.
//!
//! What the text does not tell: who made a signature that looks like Anthropic's. Gemini's thought signatures are base64 of
//! the same lengths, and Anthropic's own are bound to the model that thought. Only who knows what answered the earlier
//! turns can leave such blocks out.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use memchr::memmem;

use crate::json::{Index, Value};

/// What our signatures begin with. No base64 has a dot.
pub const MARK: &str = "px1.";

/// How the types of thinking blocks end: a body in which no string does goes as it is.
pub const TYPE_ENDING: [u8; 8] = *b"thinking";

/// The shortest of Anthropic's are some hundred characters long; this keeps apart what is no signature at all.
const GENUINE_BYTES_MIN: usize = 16;

/// Whether a signature, the content of a JSON string, may be Anthropic's: not empty, not [`MARK`]ed, and no other vendor's
/// as far as it shows (z.ai, DeepSeek and MiniMax sign with UUIDs and hexadecimal digests).
pub fn is_genuine(signature: &[u8]) -> bool {
    let is_digest = signature.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    // A backslash may stand before a slash. Some gateways put a name and `#` in front.
    let is_plain = signature.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=\\-_.:#".contains(byte));
    signature.len() >= GENUINE_BYTES_MIN && is_plain && !is_digest && !signature.starts_with(MARK.as_bytes())
}

/// Appends our signature for thoughts that came from an upstream of this name.
pub fn mark(upstream: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(MARK.as_bytes());
    out.extend_from_slice(URL_SAFE_NO_PAD.encode(upstream).as_bytes());
}

/// The same request without thinking blocks that Anthropic would refuse: those with no signature, an empty one, or one that
/// [`is_genuine`] tells to be another's, and redacted ones with our mark. All else keeps its bytes. `None` if there are
/// none, which is the usual case and costs one look at the text.
///
/// A message that held nothing else goes with them; the API makes one turn of its neighbours. If the model's last turn calls
/// tools and lost the thoughts that it began with, `thinking` is switched off where a budget was given, for then the API
/// demands them; where it is `adaptive` the API does not.
pub fn spare_foreign_thinking(body: &[u8], index: &mut Index) -> Option<Vec<u8>> {
    if !may_hold_foreign(body) {
        return None;
    }
    let request = index.read(body).ok()?;
    let mut edits = Edits::default();
    let lost_beginning = edits.messages(request.get("messages")?);
    if edits.cuts.is_empty() {
        return None;
    }
    let thinking =
        request.get("thinking").filter(|thinking| thinking.get("type").is_some_and(|kind| kind.is("enabled")));
    if let Some(thinking) = thinking.filter(|_| lost_beginning) {
        edits.replace(thinking.span(), b"{\"type\":\"disabled\"}");
        edits.keep_no_thoughts(request);
    }
    Some(edits.apply(body))
}

/// One look at the text: a mark of ours, a signature that is not genuine, or fewer signatures than blocks. It may be
/// mistaken, but never overlooks a block whose keys and type are written without escapes, as all clients do.
fn may_hold_foreign(body: &[u8]) -> bool {
    const SIGNATURE: &[u8] = b"\"signature\"";
    const THINKING: &[u8] = b"\"thinking\"";
    /// How both types of blocks end.
    const TYPE_END: &[u8] = b"thinking\"";
    let is_value = |at: &usize, name: &[u8]| member_value(body, at + name.len()).is_none();
    if !memmem::find_iter(body, TYPE_END).any(|at| is_value(&at, TYPE_END)) {
        return false;
    }
    if memmem::find(body, b"\"px1.").is_some() {
        return true;
    }
    let mut signatures = 0;
    for at in memmem::find_iter(body, SIGNATURE) {
        let Some(value) = member_value(body, at + SIGNATURE.len()) else { continue };
        let end = memchr::memchr(b'"', value.get(1..).unwrap_or_default());
        let signature = end.and_then(|end| value.get(1..=end)).filter(|_| value.starts_with(b"\""));
        if !signature.is_some_and(is_genuine) {
            return true;
        }
        signatures += 1;
    }
    memmem::find_iter(body, THINKING).filter(|at| is_value(at, THINKING)).count() > signatures
}

/// What stands behind a key's colon; `None` if the string that ends at `at` is no key.
fn member_value(body: &[u8], at: usize) -> Option<&[u8]> {
    let colon = body.get(at..)?.trim_ascii_start();
    Some(colon.strip_prefix(b":")?.trim_ascii_start())
}

/// Edits of a text, in its order.
#[derive(Default)]
struct Edits {
    /// What is cut out, and what takes its place.
    cuts: Vec<(usize, usize, &'static [u8])>,
}

/// The turn of the model that is being read: several messages of its in a row are one.
#[derive(Default)]
struct LastTurn {
    calls: bool,
    beginning: Beginning,
}

/// What became of the blocks that a turn begins with.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Beginning {
    /// No block was kept or cut yet.
    #[default]
    Unseen,
    /// Blocks were cut, and none was kept.
    Cut,
    /// The first that was kept stands where others were cut.
    Lost,
    /// It begins as it did, or with other thoughts.
    Kept,
}

impl Edits {
    /// Cuts the blocks out. Whether the model's last turn calls tools and lost its beginning.
    fn messages(&mut self, messages: Value<'_>) -> bool {
        let (mut turn, mut was_assistant) = (LastTurn::default(), false);
        let all: Vec<_> = messages.items().collect();
        let mut emptied = Vec::with_capacity(all.len());
        for message in &all {
            let is_assistant = message.get("role").is_some_and(|role| role.is("assistant"));
            if is_assistant && !was_assistant {
                turn = LastTurn::default();
            }
            was_assistant = is_assistant;
            let cuts = self.cuts.len();
            let is_emptied = is_assistant && self.content(*message, &mut turn);
            if is_emptied {
                // It goes whole.
                self.cuts.truncate(cuts);
            }
            emptied.push(is_emptied);
        }
        let spans: Vec<_> = all.iter().map(|message| message.span()).collect();
        self.items(&spans, &emptied);
        turn.calls && matches!(turn.beginning, Beginning::Cut | Beginning::Lost)
    }

    /// Cuts blocks out of one of the model's messages. Whether none would be left.
    fn content(&mut self, message: Value<'_>, turn: &mut LastTurn) -> bool {
        let Some(content) = message.get("content") else { return false };
        let blocks: Vec<_> = content.items().collect();
        let foreign: Vec<_> = blocks.iter().map(|block| is_foreign(*block)).collect();
        for (block, foreign) in blocks.iter().zip(&foreign) {
            turn.calls |= block.get("type").is_some_and(|kind| kind.is("tool_use"));
            turn.beginning = match (turn.beginning, *foreign) {
                (Beginning::Unseen | Beginning::Cut, true) => Beginning::Cut,
                // Other thoughts behind those that go are a beginning too.
                (Beginning::Cut, false) if !is_thinking(*block) => Beginning::Lost,
                (Beginning::Unseen | Beginning::Cut, false) => Beginning::Kept,
                (decided, _) => decided,
            };
        }
        let spans: Vec<_> = blocks.iter().map(|block| block.span()).collect();
        self.items(&spans, &foreign);
        !foreign.is_empty() && foreign.iter().all(|foreign| *foreign)
    }

    /// Cuts items out of an array, and the commas that they leave behind.
    fn items(&mut self, spans: &[(usize, usize)], gone: &[bool]) {
        let mut kept_end = None;
        let mut run_start = None;
        for ((start, end), gone) in spans.iter().zip(gone) {
            match (gone, run_start) {
                (true, None) => run_start = Some(*start),
                (true, Some(_)) => {}
                (false, run) => {
                    if let Some(run) = run {
                        self.cuts.push((run, *start, b""));
                    }
                    (kept_end, run_start) = (Some(*end), None);
                }
            }
        }
        if let (Some(run), Some((_, end))) = (run_start, spans.last()) {
            self.cuts.push((kept_end.unwrap_or(run), *end, b""));
        }
    }

    fn replace(&mut self, (start, end): (usize, usize), with: &'static [u8]) {
        self.cuts.push((start, end, with));
    }

    /// `clear_thinking` edits of the context are refused where thinking is off.
    fn keep_no_thoughts(&mut self, request: Value<'_>) {
        let edits = request.get("context_management").and_then(|management| management.get("edits"));
        let edits: Vec<_> = edits.into_iter().flat_map(|edits| edits.items()).collect();
        let clears = |edit: &Value<'_>| {
            edit.get("type").and_then(|kind| kind.escaped()).is_some_and(|kind| kind.starts_with(b"clear_thinking"))
        };
        let spans: Vec<_> = edits.iter().map(|edit| edit.span()).collect();
        self.items(&spans, &edits.iter().map(clears).collect::<Vec<_>>());
    }

    fn apply(mut self, text: &[u8]) -> Vec<u8> {
        self.cuts.sort_unstable_by_key(|(start, ..)| *start);
        let mut out = Vec::with_capacity(text.len());
        let mut at = 0;
        for (start, end, with) in self.cuts {
            out.extend_from_slice(text.get(at..start).unwrap_or_default());
            out.extend_from_slice(with);
            at = end;
        }
        out.extend_from_slice(text.get(at..).unwrap_or_default());
        out
    }
}

fn is_thinking(block: Value<'_>) -> bool {
    block.get("type").is_some_and(|kind| kind.is("thinking") || kind.is("redacted_thinking"))
}

/// Whether Anthropic would refuse the block for what proves it.
fn is_foreign(block: Value<'_>) -> bool {
    let Some(kind) = block.get("type") else { return false };
    let proof = |name| block.get(name).and_then(|proof| proof.escaped());
    match () {
        () if kind.is("thinking") => !proof("signature").is_some_and(is_genuine),
        () if kind.is("redacted_thinking") => proof("data").is_some_and(|data| data.starts_with(MARK.as_bytes())),
        () => false,
    }
}

#[cfg(test)]
mod tests;
