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

/// What our signatures begin with. No base64 has a dot.
pub const MARK: &str = "px1.";

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
