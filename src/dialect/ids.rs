//! Ids and names that the other dialect allows: pure functions of the original, so that a call and its result agree in
//! every later turn, through any number of providers.

use std::borrow::Cow;

use ring::digest::{SHA256, digest};

use crate::json::text;

/// The most characters of a tool's name in Chat Completions.
pub const CHAT_NAME_MAX: usize = 64;
/// The most characters of a tool's name in Messages.
pub const MESSAGES_NAME_MAX: usize = 128;
/// The most characters of a call's id that every Chat server takes.
const CHAT_ID_MAX: usize = 40;

/// A call's id as Messages allows it (`^[a-zA-Z0-9_-]+$`): other characters become `_`, and eight digits of the original's
/// hash keep two such ids apart. Empty ids have no function; the caller makes one with [`fresh`].
pub fn tool_id_for_messages(id: &[u8]) -> Cow<'_, [u8]> {
    if id.iter().all(|byte| is_word(*byte)) {
        return Cow::Borrowed(id);
    }
    let mut sane = words(&decoded(id));
    sane.push(b'_');
    hex(id, 4, &mut sane);
    Cow::Owned(sane)
}

/// A call's id as every Chat server takes it: at most 40 characters; a longer one becomes its hash.
pub fn tool_id_for_chat(id: &[u8]) -> Cow<'_, [u8]> {
    if id.len() <= CHAT_ID_MAX {
        return Cow::Borrowed(id);
    }
    let mut short = b"call_".to_vec();
    hex(id, 16, &mut short);
    Cow::Owned(short)
}

/// A tool's name of at most `max` characters `[a-zA-Z0-9_-]`: others become `_`, the end of a longer one its hash. Both are
/// escaped as in JSON. Two names may become one; [`Names`] tells them apart.
pub fn tool_name(name: &[u8], max: usize) -> Cow<'_, [u8]> {
    if name.len() <= max && name.iter().all(|byte| is_word(*byte)) {
        return Cow::Borrowed(name);
    }
    let mut sane = words(&decoded(name));
    if sane.len() > max {
        sane.truncate(max - 9);
        sane.push(b'_');
        hex(name, 4, &mut sane);
    }
    Cow::Owned(sane)
}

/// Appends an id that nothing else has: `prefix` and 24 characters made of `seed` and `number`.
pub fn fresh(prefix: &str, seed: &[u8; 16], number: u32, out: &mut Vec<u8>) {
    fresh_of(prefix, 24, seed, number, out);
}

/// The same, of so many characters: at most 32.
pub fn fresh_of(prefix: &str, characters: usize, seed: &[u8; 16], number: u32, out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut source = [0; 20];
    let (head, tail) = source.split_at_mut(16);
    head.copy_from_slice(seed);
    tail.copy_from_slice(&number.to_be_bytes());
    out.extend_from_slice(prefix.as_bytes());
    let hash = digest(&SHA256, &source);
    out.extend(hash.as_ref().iter().take(characters).filter_map(|byte| ALPHABET.get(usize::from(*byte) % 62)));
}

/// Tools' names that went upstream in another spelling, so that answers name them as the client does.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// What was sent, and what the client says; both escaped.
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Names {
    /// What to send for a client's name, remembered for the answer; always the same for the same name.
    pub fn send<'a>(&mut self, original: &'a [u8], max: usize) -> Cow<'a, [u8]> {
        if let Some((sent, _)) = self.pairs.iter().find(|(_, known)| known == original) {
            return Cow::Owned(sent.clone());
        }
        let mut sent = tool_name(original, max);
        if sent == original {
            return sent;
        }
        // Two names that differ in what is not allowed only.
        if self.pairs.iter().any(|(taken, _)| *taken == *sent) {
            let mut other = sent.into_owned();
            other.truncate(max - 9);
            other.push(b'_');
            hex(original, 4, &mut other);
            sent = Cow::Owned(other);
        }
        self.pairs.push((sent.to_vec(), original.to_vec()));
        sent
    }

    /// The client's name for what the upstream names.
    pub fn restore<'a>(&'a self, sent: &'a [u8]) -> &'a [u8] {
        self.pairs.iter().find(|(known, _)| known == sent).map_or(sent, |(_, original)| original)
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn decoded(escaped: &[u8]) -> String {
    let mut plain = Vec::new();
    text::decode_lossy(escaped, &mut plain);
    String::from_utf8(plain).unwrap_or_default()
}

fn words(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).ok().filter(|byte| is_word(*byte)).unwrap_or(b'_')).collect()
}

/// The first `bytes` bytes of the hash, in hexadecimal digits.
fn hex(of: &[u8], bytes: usize, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let hash = digest(&SHA256, of);
    let nibbles = hash.as_ref().iter().take(bytes).flat_map(|byte| [byte >> 4, byte & 15]);
    out.extend(nibbles.filter_map(|nibble| DIGITS.get(usize::from(nibble))));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn ids() {
        for id in ["toolu_01A", "call-9", "functions_Bash_0"] {
            assert_eq!(string(&tool_id_for_messages(id.as_bytes())), id);
        }
        assert_eq!(string(&tool_id_for_messages(b"functions.Bash:0")), "functions_Bash_0_a97d1507");
        assert_ne!(tool_id_for_messages(b"a.b"), tool_id_for_messages(b"a:b"));
        let long = [b'x'; 46];
        let short = tool_id_for_chat(&long);
        assert!(short.starts_with(b"call_") && short.len() == 37 && short == tool_id_for_chat(&long));
        assert_eq!(tool_id_for_chat(&long[..40]), &long[..40]);
    }

    #[test]
    fn names() {
        let mut names = Names::default();
        assert_eq!(string(&names.send(b"Read", CHAT_NAME_MAX)), "Read");
        assert_eq!(string(&names.send(b"mcp.files/read", CHAT_NAME_MAX)), "mcp_files_read");
        let other = names.send(b"mcp.files.read", CHAT_NAME_MAX);
        assert!(other.starts_with(b"mcp_files_read") || other.starts_with(b"mcp_f"), "{}", string(&other));
        assert_ne!(string(&other), "mcp_files_read");
        assert_eq!(names.restore(b"mcp_files_read"), b"mcp.files/read");
        assert_eq!(names.restore(&other), b"mcp.files.read");
        assert_eq!(names.restore(b"Read"), b"Read");
        let long = names.send(&[b'a'; 100], CHAT_NAME_MAX).into_owned();
        assert_eq!((long.len(), names.restore(&long)), (64, &[b'a'; 100][..]));
        assert_eq!(names.send(&[b'a'; 100], CHAT_NAME_MAX), long);
    }

    #[test]
    fn fresh_ids() {
        let (mut one, mut two) = (Vec::new(), Vec::new());
        fresh("msg_", &[7; 16], 0, &mut one);
        fresh("msg_", &[7; 16], 1, &mut two);
        assert!(one.starts_with(b"msg_") && one.len() == 28 && one != two, "{}", string(&one));
    }
}
