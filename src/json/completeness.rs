//! Whether a JSON object that comes in pieces is whole. The pieces are contents of JSON strings, as tool calls' arguments
//! come in streams: the object's own quotes stand there as `\"`.

use memchr::memchr;

use super::number::{Next, Number};
use crate::limits::JSON_DEPTH_MAX;

/// Follows one object. It never looks back, so nothing of the text is kept.
///
/// ```
/// let mut object = sidestream::json::Completeness::default();
/// object.push(br#"{\"a\": \"x"#);
/// assert!(object.is_object() && !object.is_whole());
/// let mut missing = Vec::new();
/// assert!(object.missing(&mut missing));
/// assert_eq!(missing, br#"\"}"#);
/// object.push(br#"\"}"#);
/// assert!(object.is_whole());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Completeness {
    state: State,
    /// The containers that are open, the innermost in the lowest bit: 1 for an object.
    containers: u128,
    depth: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing came but white space.
    #[default]
    Before,
    /// Behind an opening bracket.
    Opened,
    /// Behind a comma.
    Comma,
    /// Behind a key.
    Key,
    /// Behind a colon.
    Colon,
    /// Behind a value.
    Value,
    Text {
        is_key: bool,
        escape: Escape,
    },
    Number(Number),
    /// A word, and how many of its characters came.
    Word(&'static str, usize),
    /// The object is whole, and nothing but white space followed.
    Whole,
    /// The text is another value, or none.
    Other,
    /// It began as an object, but is no JSON.
    Broken,
}

/// What came of an escape in a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    None,
    Backslash,
    /// So many digits are still to come.
    Hex(u8),
}

impl Completeness {
    /// Takes the next piece.
    #[inline]
    pub fn push(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while !rest.is_empty() {
            match self.state {
                State::Text { escape: Escape::None, .. } => {
                    // Nothing but a backslash, the object's own or that before its quote, changes the state here.
                    let Some(special) = backslash(rest) else { return };
                    rest = rest.get(special..).unwrap_or_default();
                }
                State::Other | State::Broken => return,
                _ => {}
            }
            let Some((byte, after)) = unit(rest) else { return };
            self.state = self.next(byte);
            rest = after;
        }
    }

    /// Takes the next piece if it belongs to an object that has begun, and is not whole; says whether it does.
    #[inline]
    pub fn go_on(&mut self, piece: &[u8]) -> bool {
        let goes_on = self.is_object() && !self.is_whole();
        if goes_on {
            self.push(piece);
        }
        goes_on
    }

    /// The text is one object, and nothing is missing.
    pub fn is_whole(&self) -> bool {
        self.state == State::Whole
    }

    /// The text begins as an object.
    pub fn is_object(&self) -> bool {
        !matches!(self.state, State::Before | State::Other)
    }

    /// Nothing came but white space.
    pub fn is_blank(&self) -> bool {
        self.state == State::Before
    }

    /// Appends what would make the object whole, if that is no more than a quote and brackets; escaped like the pieces. Says
    /// whether it is.
    pub fn missing(&self, out: &mut Vec<u8>) -> bool {
        match self.state {
            State::Opened | State::Value => {}
            State::Text { is_key: false, escape: Escape::None } => out.extend_from_slice(b"\\\""),
            State::Number(number) if number.next(b' ') == Next::After => {}
            _ => return false,
        }
        let brackets = (0..self.depth).map(|level| if self.containers >> level & 1 == 1 { b'}' } else { b']' });
        out.extend(brackets);
        true
    }

    fn next(&mut self, byte: u8) -> State {
        match self.state {
            State::Text { is_key, escape } => return text(is_key, escape, byte),
            State::Number(number) => match number.next(byte) {
                Next::Part(number) => return State::Number(number),
                Next::After => {}
                Next::Wrong => return State::Broken,
            },
            State::Word(word, seen) => return in_word(word, seen, byte),
            _ => {}
        }
        if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            return if matches!(self.state, State::Number(_)) { State::Value } else { self.state };
        }
        let in_object = self.containers & 1 == 1;
        match (self.state, byte) {
            (State::Before, b'{') => self.open(1),
            (State::Before | State::Other, _) => State::Other,
            (State::Opened, b'}') if in_object => self.close(),
            (State::Opened, b']') if !in_object => self.close(),
            (State::Value | State::Number(_), b'}') if in_object => self.close(),
            (State::Value | State::Number(_), b']') if !in_object => self.close(),
            (State::Value | State::Number(_), b',') => State::Comma,
            (State::Opened | State::Comma, b'"') if in_object => State::Text { is_key: true, escape: Escape::None },
            (State::Key, b':') => State::Colon,
            (State::Opened | State::Comma, _) if !in_object => self.value(byte),
            (State::Colon, _) => self.value(byte),
            _ => State::Broken,
        }
    }

    fn value(&mut self, byte: u8) -> State {
        match byte {
            b'"' => State::Text { is_key: false, escape: Escape::None },
            b'{' => self.open(1),
            b'[' => self.open(0),
            b't' => State::Word("true", 1),
            b'f' => State::Word("false", 1),
            b'n' => State::Word("null", 1),
            _ => Number::begin(byte).map_or(State::Broken, State::Number),
        }
    }

    fn open(&mut self, object: u128) -> State {
        if self.depth == JSON_DEPTH_MAX {
            return State::Broken;
        }
        self.containers = self.containers << 1 | object;
        self.depth += 1;
        State::Opened
    }

    fn close(&mut self) -> State {
        self.containers >>= 1;
        self.depth = self.depth.saturating_sub(1);
        if self.depth == 0 { State::Whole } else { State::Value }
    }
}

fn text(is_key: bool, escape: Escape, byte: u8) -> State {
    let escape = match (escape, byte) {
        (Escape::None, b'"') => return if is_key { State::Key } else { State::Value },
        (Escape::None, b'\\') | (Escape::Backslash, b'u') => {
            if byte == b'u' {
                Escape::Hex(4)
            } else {
                Escape::Backslash
            }
        }
        (Escape::Hex(left @ 2..), _) if byte.is_ascii_hexdigit() => Escape::Hex(left - 1),
        (Escape::Hex(1), _) if byte.is_ascii_hexdigit() => Escape::None,
        (Escape::Hex(_), _) => return State::Broken,
        // Raw control characters are no JSON, but models write them, and they are repaired later.
        (Escape::None | Escape::Backslash, _) => Escape::None,
    };
    State::Text { is_key, escape }
}

fn in_word(word: &'static str, seen: usize, byte: u8) -> State {
    match word.as_bytes().get(seen) {
        Some(next) if *next == byte && seen + 1 == word.len() => State::Value,
        Some(next) if *next == byte => State::Word(word, seen + 1),
        _ => State::Broken,
    }
}

/// Most pieces are shorter than the call of a vector search costs.
#[inline]
fn backslash(rest: &[u8]) -> Option<usize> {
    const SHORT: usize = 16;
    if rest.len() < SHORT { rest.iter().position(|byte| *byte == b'\\') } else { memchr(b'\\', rest) }
}

/// The first character of a string's content, and what follows; what is not ASCII is 0x80.
fn unit(rest: &[u8]) -> Option<(u8, &[u8])> {
    let (byte, after) = rest.split_first()?;
    if *byte != b'\\' {
        return Some((*byte, after));
    }
    let (kind, after) = after.split_first()?;
    Some(match kind {
        b'n' | b'r' | b't' => (b'\n', after),
        b'b' | b'f' => (0x8, after),
        b'u' => {
            let (digits, after) = after.split_at_checked(4)?;
            let code = str::from_utf8(digits).ok().and_then(|digits| u32::from_str_radix(digits, 16).ok());
            (code.and_then(|code| u8::try_from(code).ok()).map_or(0x80, |byte| byte.min(0x80)), after)
        }
        other => (*other, after),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::text::escape;
    use proptest::prelude::*;

    /// Contents of strings that hold the characters of `text`, one each: an escape is never cut.
    fn pieces(text: &str) -> Vec<Vec<u8>> {
        text.chars()
            .map(|c| {
                let mut out = Vec::new();
                escape(c.encode_utf8(&mut [0; 4]).as_bytes(), &mut out);
                out
            })
            .collect()
    }

    fn read(text: &str) -> Completeness {
        let (mut by_one, mut at_once) = (Completeness::default(), Completeness::default());
        pieces(text).iter().for_each(|piece| by_one.push(piece));
        at_once.push(&pieces(text).concat());
        assert_eq!((by_one.state, by_one.depth), (at_once.state, at_once.depth), "{text}");
        at_once
    }

    #[test]
    fn what_is_missing() {
        #[rustfmt::skip]
        let table = [
            ("{",                       Some("}")),
            ("{\"a",                    None),
            ("{\"a\"",                  None),
            ("{\"a\":",                 None),
            ("{\"a\":1",                Some("}")),
            ("{\"a\":1.",               None),
            ("{\"a\":-",                None),
            ("{\"a\":tru",              None),
            ("{\"a\":true",             Some("}")),
            ("{\"a\":true,",            None),
            ("{\"a\":\"x",              Some("\\\"}")),
            ("{\"a\":\"x\\",            None),
            ("{\"a\":\"x\\u00",         None),
            ("{\"a\":\"x\\u00e9",       Some("\\\"}")),
            ("{\"a\":[{\"b\":[",        Some("]}]}")),
            ("{\"a\":[1, \"]}\"",       Some("]}")),
            ("",                        None),
            ("{}",                      None),
            ("null",                    None),
        ];
        for (text, want) in table {
            let mut out = Vec::new();
            let found = read(text).missing(&mut out).then(|| String::from_utf8(out).unwrap());
            assert_eq!(found.as_deref(), want, "{text}");
        }
    }

    #[test]
    fn what_is_whole() {
        for text in
            ["{}", " {\"a\": \"}\\\"\\\\\", \"b\": [1e5, {}, null]} \n", "{\"é\":\"\u{1F600}\"}", "{\"a\":\"\n\"}"]
        {
            assert!(read(text).is_whole(), "{text}");
        }
        for text in ["", " ", "[]", "null", "\"{}\"", "{}{", "{} x", "{\"a\"}", "{\"a\":01}", "{'a':1}", "{]", "{,}"] {
            assert!(!read(text).is_whole(), "{text}");
        }
        // Escapes that a server need not have used.
        let mut object = Completeness::default();
        object.push(br"\u007b\u0022a\u0022:\u0022\u005c\u0022\u0022\u007d");
        assert!(object.is_whole());
        assert!(!read("[").is_object() && !read("[").is_blank() && read(" \n").is_blank() && read("{x").is_object());
    }

    proptest! {
        #[test]
        fn agrees_with_a_parser(text in "[\\[\\]{},:\"a1.e\\-tru \\\\]{0,14}") {
            let whole = serde_json::from_str::<serde_json::Map<_, _>>(&text).is_ok();
            // Escapes that JSON does not know are let through: models write them.
            let lenient = text.contains('\\');
            let ours = read(&text);
            prop_assert!(ours.is_whole() == whole || (lenient && !whole), "{text}");
            let mut end = Vec::new();
            if !lenient && ours.missing(&mut end) {
                let mended = format!("{text}{}", String::from_utf8(end).unwrap().replace('\\', ""));
                prop_assert!(serde_json::from_str::<serde_json::Map<_, _>>(&mended).is_ok(), "{mended}");
            }
        }
    }
}
