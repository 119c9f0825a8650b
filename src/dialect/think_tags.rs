//! Thoughts that a server leaves in its text, between tags: `<think>…</think>` and other spellings.
//!
//! Text comes in pieces, and a tag may be cut anywhere, so the beginning of what may be a tag waits for the rest. An
//! opening tag counts only where the answer begins: later it is something that the model writes about.

use super::turn::Escaped;

/// How an answer's text is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThinkTags {
    /// As it stands.
    #[default]
    Off,
    /// Thoughts may lead it, between tags.
    Tagged,
    /// It begins with thoughts, of which only the closing tag is written: the model's template opened them.
    Opened,
}

/// Takes an answer's text apart.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    state: State,
    /// White space around a tag is no part of the text.
    trims: bool,
    /// What may be the beginning of a tag.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing but white space came.
    Start,
    Thinking,
    /// Text, without thoughts before it: a closing tag is one that lost its opening.
    Text,
    /// Text up to the end.
    #[default]
    Rest,
}

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text,
    Thoughts,
}

const TAGS: [(&str, &str); 6] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
];

/// How a text begins, compared with a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Match {
    /// With it; it takes so many bytes.
    Whole(usize),
    /// With its beginning, and there it ends.
    Part,
    Not,
}

impl Splitter {
    pub fn new(tags: ThinkTags) -> Self {
        let state = match tags {
            ThinkTags::Off => State::Rest,
            ThinkTags::Tagged => State::Start,
            ThinkTags::Opened => State::Thinking,
        };
        Self { state, trims: tags == ThinkTags::Opened, held: Vec::new() }
    }

    /// Nothing is looked for any more: text need not come here.
    pub fn is_done(&self) -> bool {
        self.state == State::Rest && !self.trims
    }

    /// Takes the next piece of text.
    pub fn push(&mut self, text: Escaped<'_>, say: &mut impl FnMut(Part, Escaped<'_>)) {
        let mut whole = std::mem::take(&mut self.held);
        whole.extend_from_slice(text);
        let taken = self.take(&whole, say);
        whole.drain(..taken.min(whole.len()));
        self.held = whole;
    }

    /// No more text comes: what waits was no tag.
    pub fn finish(&mut self, say: &mut impl FnMut(Part, Escaped<'_>)) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            let part = if self.state == State::Thinking { Part::Thoughts } else { Part::Text };
            say(part, &held);
        }
        (self.state, self.trims) = (State::Rest, false);
    }

    /// Says what can be said of a text; how much of it that was.
    fn take(&mut self, text: &[u8], say: &mut impl FnMut(Part, Escaped<'_>)) -> usize {
        let mut at = 0;
        loop {
            let rest = text.get(at..).unwrap_or_default();
            if self.trims {
                let blank = blank(rest);
                at += blank;
                if blank == rest.len() {
                    return at;
                }
                self.trims = false;
                continue;
            }
            match self.state {
                State::Start => {
                    let blank = blank(rest);
                    let tagged = rest.get(blank..).unwrap_or_default();
                    match begins(tagged, TAGS.iter().map(|(open, _)| *open)) {
                        Match::Part => return at,
                        Match::Whole(length) => {
                            (self.state, self.trims) = (State::Thinking, true);
                            at += blank + length;
                        }
                        Match::Not => self.state = State::Text,
                    }
                }
                State::Thinking | State::Text => {
                    let part = if self.state == State::Thinking { Part::Thoughts } else { Part::Text };
                    let (found, what) = closing(rest);
                    let before = rest.get(..found).unwrap_or_default();
                    if !before.is_empty() {
                        say(part, before);
                    }
                    at += found;
                    match what {
                        Match::Whole(length) => {
                            (self.state, self.trims) = (State::Rest, true);
                            at += length;
                        }
                        Match::Part | Match::Not => return at,
                    }
                }
                State::Rest => {
                    if !rest.is_empty() {
                        say(Part::Text, rest);
                    }
                    return text.len();
                }
            }
        }
    }
}

/// Where a closing tag, or what may become one, begins; the text's length if there is none.
fn closing(text: &[u8]) -> (usize, Match) {
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if matches!(rest.first(), Some(b'<' | b'[' | b'\\' | 0xE2)) {
            match begins(rest, TAGS.iter().map(|(_, close)| *close)) {
                Match::Not => {}
                found => return (at, found),
            }
        }
        at += unit(rest).map_or(1, |(_, length)| length);
    }
    (text.len(), Match::Not)
}

/// How a text begins, compared with several tags, none of which is the beginning of another.
fn begins<'t>(text: &[u8], tags: impl Iterator<Item = &'t str>) -> Match {
    let mut best = Match::Not;
    for tag in tags {
        match compare(text, tag) {
            Match::Not => {}
            Match::Part => best = Match::Part,
            whole => return whole,
        }
    }
    best
}

fn compare(text: &[u8], tag: &str) -> Match {
    let mut at = 0;
    for wanted in tag.chars() {
        match text.get(at..).and_then(unit) {
            None => return Match::Part,
            Some((found, length)) if found == wanted => at += length,
            Some(_) => return Match::Not,
        }
    }
    Match::Whole(at)
}

/// The first character of an escaped text, and how many bytes it takes; U+FFFD for what is none.
fn unit(text: &[u8]) -> Option<(char, usize)> {
    let unknown = char::REPLACEMENT_CHARACTER;
    Some(match text {
        [] => return None,
        [b'\\', b'u', digits @ ..] => {
            let digits = digits.get(..4).and_then(|digits| str::from_utf8(digits).ok());
            let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
            (code.and_then(char::from_u32).unwrap_or(unknown), 6.min(text.len()))
        }
        [b'\\', b'/', ..] => ('/', 2),
        [b'\\', _, ..] => (unknown, 2),
        [ascii @ 0..0x80, ..] => (char::from(*ascii), 1),
        [..] => {
            let character = text.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
            character.map_or((unknown, 1), |character| (character, character.len_utf8()))
        }
    })
}

/// How much white space leads an escaped text.
fn blank(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        at += match rest {
            [b' ', ..] => 1,
            [b'\\', b'n' | b'r' | b't', ..] => 2,
            _ => break,
        };
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thoughts in braces.
    fn read(tags: ThinkTags, pieces: &[&str]) -> String {
        let (mut splitter, mut thoughts, mut text) = (Splitter::new(tags), String::new(), String::new());
        let mut say = |part, piece: &[u8]| {
            let piece = str::from_utf8(piece).unwrap();
            if part == Part::Thoughts { thoughts.push_str(piece) } else { text.push_str(piece) }
        };
        pieces.iter().for_each(|piece| splitter.push(piece.as_bytes(), &mut say));
        splitter.finish(&mut say);
        format!("{{{thoughts}}}{text}")
    }

    #[test]
    fn tags() {
        use ThinkTags::{Off, Opened, Tagged};
        #[rustfmt::skip]
        let table = [
            (Tagged, "<think>a</think>b",                        "{a}b"),
            (Tagged, r"\n <think>\na\n</think>\n\nb\n",          r"{a\n}b\n"),
            (Tagged, "<thinking>a</thinking>b",                  "{a}b"),
            (Tagged, "<seed:think>a</seed:think>b",              "{a}b"),
            (Tagged, "[THINK]a[/THINK]b",                        "{a}b"),
            (Tagged, "◁think▷a◁/think▷b",                        "{a}b"),
            (Tagged, r"\u003cthink\u003ea\u003c/think\u003eb",   "{a}b"),
            (Tagged, r"<think>a<\/think>b",                      "{a}b"),
            (Tagged, r"\u25c1think\u25b7a\u25c1/think\u25b7b",   "{a}b"),
            (Tagged, "<think>a",                                 "{a}"),
            (Tagged, "<think>a</thi",                            "{a</thi}"),
            (Tagged, "<think></think>b",                         "{}b"),
            (Tagged, "a</think>b",                               "{}ab"),
            (Tagged, "a <think>b</think>",                       "{}a <think>b"),
            (Tagged, "<thin air> [a] ◁",                         "{}<thin air> [a] ◁"),
            (Tagged, r"\\u003cthink>",                           r"{}\\u003cthink>"),
            (Tagged, "<think>a</think>b</think><think>c",        "{a}b</think><think>c"),
            (Tagged, " a",                                       "{} a"),
            (Tagged, "",                                         "{}"),
            (Tagged, "[]",                                       "{}[]"),
            (Opened, r"\na</think>\nb",                          "{a}b"),
            (Off,    "<think>a</think>b",                        "{}<think>a</think>b"),
        ];
        for (tags, text, want) in table {
            assert_eq!(read(tags, &[text]), want, "{text}");
            // Pieces are whole characters and whole escapes.
            let mut pieces = Vec::new();
            let mut rest = text;
            while let Some((_, length)) = unit(rest.as_bytes()) {
                let (piece, after) = rest.split_at(length);
                pieces.push(piece);
                rest = after;
            }
            assert_eq!(read(tags, &pieces), want, "{text} by characters");
        }
    }
}
