//! An index of one JSON text: where every value lies, so that a text can be walked and its parts be copied as they stand.
//!
//! A translation reads a few members and carries the rest over: strings keep their escapes, schemas and numbers their
//! spelling. A tree of decoded values would lose that, and cost a copy and a second escaping of every text.

use std::fmt;

use super::error::{JsonError, What};
use super::grammar::{Expect, Role, skip_space};
use super::number::{Next, Number};
use super::stops::{Stops, Tail, TextEnd};
use super::{Kind, text};
use crate::limits::JSON_DEPTH_MAX;

/// Memory for the index of one text at a time; reused, it allocates nothing once it has grown.
///
/// ```
/// let mut index = sidestream::json::Index::default();
/// let value = index.read(br#"{"a": [1, "x\n"]}"#)?;
/// let items: Vec<_> = value.get("a").unwrap().items().map(|item| item.raw()).collect();
/// assert_eq!(items, [&b"1"[..], br#""x\n""#]);
/// # Ok::<(), sidestream::json::JsonError>(())
/// ```
#[derive(Debug, Default)]
pub struct Index {
    nodes: Vec<Node>,
}

/// One value, or one key.
#[derive(Clone, Copy, Debug)]
struct Node {
    start: u32,
    end: u32,
    /// The first node behind this one's own.
    next: u32,
    kind: Kind,
}

/// A value of a text that was read. Copying it copies no text.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    text: &'a [u8],
    nodes: &'a [Node],
    at: usize,
}

impl Index {
    /// Reads a whole text, strictly (RFC 8259) but for what can be carried as it stands: strings may hold lone surrogate
    /// escapes and invalid UTF-8, and one BOM may lead.
    ///
    /// # Errors
    /// The text is no JSON, nested deeper than [`JSON_DEPTH_MAX`], or larger than 4 GiB.
    pub fn read<'a>(&'a mut self, text: &'a [u8]) -> Result<Value<'a>, JsonError> {
        self.nodes.clear();
        if u32::try_from(text.len()).is_err() {
            return Err(JsonError { offset: text.len(), what: What::EndOfText });
        }
        let start = if text.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        let mut reading =
            Reading { text, nodes: &mut self.nodes, open: [0; JSON_DEPTH_MAX], depth: 0, in_object: false };
        reading.whole(start).map_err(|(offset, what)| JsonError { offset, what })?;
        Ok(Value { text, nodes: &self.nodes, at: 0 })
    }

    /// Gives memory back that one large text needed.
    pub fn shrink(&mut self, nodes_kept: usize) {
        if self.nodes.capacity() > nodes_kept {
            self.nodes = Vec::new();
        }
    }
}

impl<'a> Value<'a> {
    /// What it is.
    pub fn kind(&self) -> Kind {
        self.node().kind
    }

    /// Its text, as it stands; a string's with its quotes.
    pub fn raw(&self) -> &'a [u8] {
        let node = self.node();
        self.text.get(node.start as usize..node.end as usize).unwrap_or_default()
    }

    /// Where its text lies.
    pub fn span(&self) -> (usize, usize) {
        let node = self.node();
        (node.start as usize, node.end as usize)
    }

    /// The whole text that was read, this value in it.
    pub(super) fn text_read(&self) -> &'a [u8] {
        self.text
    }

    /// A string's content, still escaped.
    pub fn escaped(&self) -> Option<&'a [u8]> {
        (self.kind() == Kind::String).then(|| self.raw().get(1..self.raw().len() - 1).unwrap_or_default())
    }

    /// A string's content; U+FFFD stands for what is no text.
    pub fn text(&self) -> Option<String> {
        let mut decoded = Vec::new();
        text::decode_lossy(self.escaped()?, &mut decoded);
        String::from_utf8(decoded).ok()
    }

    /// Whether it is the string `text`, however it is escaped.
    pub fn is(&self, text: &str) -> bool {
        let (start, end) = self.span();
        // Most keys are ruled out by their length: quotes and escapes make a text longer.
        end - start >= text.len() + 2 && self.escaped().is_some_and(|escaped| same(escaped, text))
    }

    /// A number that is a whole one from 0 up, also where it is spelt `16.0`.
    pub fn as_u64(&self) -> Option<u64> {
        let digits = std::str::from_utf8(self.raw()).ok().filter(|_| self.kind() == Kind::Number)?;
        digits.parse().ok().or_else(|| {
            let number: f64 = digits.parse().ok()?;
            (number >= 0.0 && number.fract() == 0.0 && number < 9e15).then_some(number as u64)
        })
    }

    /// A number.
    pub fn as_f64(&self) -> Option<f64> {
        std::str::from_utf8(self.raw()).ok().filter(|_| self.kind() == Kind::Number)?.parse().ok()
    }

    /// `true` or `false`.
    pub fn as_bool(&self) -> Option<bool> {
        match self.kind() {
            Kind::True => Some(true),
            Kind::False => Some(false),
            _ => None,
        }
    }

    /// It is neither `null` nor `false`, and not empty.
    pub fn is_something(&self) -> bool {
        match self.kind() {
            Kind::Null | Kind::False => false,
            Kind::String => self.escaped() != Some(b""),
            Kind::Array => self.items().next().is_some(),
            Kind::Object => self.members().next().is_some(),
            Kind::True | Kind::Number => true,
        }
    }

    /// It is `null`.
    pub fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    /// An object's member of that name: the last of several, as nearly all decoders have it. `None` if it is `null`:
    /// in the dialects that is the same as absent. [`Value::members`] shows it.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        let last = self.members().filter(|(name, _)| name.is(key)).last();
        last.map(|(_, value)| value).filter(|value| !value.is_null())
    }

    /// Several members at once, each as [`Value::get`] gives it: the members are walked once.
    pub fn pick<const N: usize>(&self, keys: [&str; N]) -> [Option<Value<'a>>; N] {
        let mut found = [None; N];
        for (name, value) in self.members() {
            let name = name.escaped().unwrap_or_default();
            let is_plain = memchr::memchr(b'\\', name).is_none();
            let is_it = |key: &str| if is_plain { name == key.as_bytes() } else { same(name, key) };
            let place = keys.iter().zip(&mut found).find(|(key, _)| is_it(key));
            if let Some((_, found)) = place {
                *found = Some(value).filter(|value| !value.is_null());
            }
        }
        found
    }

    /// An object's keys and values, in their order; nothing of anything else.
    pub fn members(&self) -> impl Iterator<Item = (Value<'a>, Value<'a>)> + use<'a> {
        let mut nodes = self.children(Kind::Object);
        std::iter::from_fn(move || Some((nodes.next()?, nodes.next()?)))
    }

    /// An array's items, in their order; nothing of anything else.
    pub fn items(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        self.children(Kind::Array)
    }

    /// Every value of the text from this one on in it, keys included, containers before what they hold.
    pub fn walk(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let (value, end) = (*self, self.node().next as usize);
        (self.at..end).map(move |at| Value { at, ..value })
    }

    fn children(&self, of: Kind) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let (value, node) = (*self, self.node());
        let mut at = if node.kind == of { self.at + 1 } else { node.next as usize };
        std::iter::from_fn(move || {
            let child = (at < node.next as usize).then_some(Value { at, ..value })?;
            at = child.node().next as usize;
            Some(child)
        })
    }

    fn node(&self) -> Node {
        self.nodes.get(self.at).copied().unwrap_or(Node { start: 0, end: 0, next: 0, kind: Kind::Null })
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&String::from_utf8_lossy(self.raw()))
    }
}

/// Whether an escaped string is `text`.
pub fn same(escaped: &[u8], text: &str) -> bool {
    // Escapes make a text longer, never shorter. Most keys that are others begin as others.
    if escaped.len() <= text.len() {
        return escaped == text.as_bytes();
    }
    let begins_alike = escaped.first() == text.as_bytes().first() || escaped.first() == Some(&b'\\');
    if !begins_alike || memchr::memchr(b'\\', escaped).is_none() {
        return false;
    }
    let mut decoded = Vec::new();
    text::decode(escaped, &mut decoded).is_ok() && decoded == text.as_bytes()
}

type Wrong = (usize, What);

/// What must come next, and where.
type Ahead = Result<(Expect, usize), Wrong>;

/// A text being read.
struct Reading<'a> {
    text: &'a [u8],
    nodes: &'a mut Vec<Node>,
    /// The nodes of the containers that are open.
    open: [u32; JSON_DEPTH_MAX],
    depth: usize,
    /// The innermost one is an object.
    in_object: bool,
}

impl Reading<'_> {
    fn whole(&mut self, start: usize) -> Result<(), Wrong> {
        let tail = Tail::of(self.text);
        let (mut stops, mut expect, mut at) = (Stops::new(self.text, &tail, start), Expect::Value, start);
        while let Some((token, byte)) = skip_space(self.text, at) {
            (expect, at) = match expect.string().filter(|_| byte == b'"') {
                Some(role) => {
                    stops.seek(token + 1);
                    self.strings(&mut stops, token, role)?
                }
                None => self.token(expect, token, byte)?,
            };
        }
        match expect {
            Expect::End => Ok(()),
            _ => Err((self.text.len(), What::EndOfText)),
        }
    }

    /// Any token but a string.
    #[inline(always)]
    fn token(&mut self, expect: Expect, at: usize, byte: u8) -> Ahead {
        Ok(match expect {
            Expect::FirstKey | Expect::AfterMember if byte == b'}' => self.close(at + 1),
            Expect::FirstValue | Expect::AfterElement if byte == b']' => self.close(at + 1),
            Expect::FirstValue | Expect::Value => match byte {
                b'{' => (Expect::FirstKey, self.begin(at, Kind::Object)?),
                b'[' => (Expect::FirstValue, self.begin(at, Kind::Array)?),
                _ => self.plain(at, byte)?,
            },
            Expect::Colon if byte == b':' => (Expect::Value, at + 1),
            Expect::AfterMember if byte == b',' => (Expect::Key, at + 1),
            Expect::AfterElement if byte == b',' => (Expect::Value, at + 1),
            _ => return Err((at, expect.what())),
        })
    }

    /// From within a string, whose quote is given, to its end, and through those behind it that nothing parts from it but a
    /// colon or a comma.
    #[inline(always)]
    fn strings(&mut self, stops: &mut Stops<'_>, quote: usize, role: Role) -> Ahead {
        let (mut quote, mut role) = (quote, role);
        let element = if self.in_object { Role::Key } else { Role::Value };
        loop {
            let (at, next) = match stops.text_end() {
                TextEnd::Quote(at, next) => (at, next),
                TextEnd::Control(at) => return Err((at, What::ControlCharacter)),
                TextEnd::Escape(at) => return Err(self.bad_escape(at)),
                TextEnd::Input => return Err((self.text.len(), What::EndOfText)),
            };
            self.node(quote, at + 1, Kind::String);
            role = match (role, next) {
                (Role::Key, [b':', b'"']) => Role::Value,
                (Role::Key, [b':', _]) => return Ok((Expect::Value, at + 2)),
                (Role::Key, _) => return Ok((Expect::Colon, at + 1)),
                (Role::Value, [b',', b'"']) if self.depth > 0 => element,
                (Role::Value, _) => return Ok((self.behind(), at + 1)),
            };
            quote = at + 2;
            stops.step(at, 3);
        }
    }

    /// What is wrong with the escape whose backslash is at `at`.
    #[cold]
    fn bad_escape(&self, at: usize) -> Wrong {
        match self.text.get(at + 1) {
            Some(b'u') => (at + 2, What::HexDigitExpected),
            Some(_) => (at + 1, What::UnknownEscape),
            None => (self.text.len(), What::EndOfText),
        }
    }

    /// A value that is neither string nor container.
    fn plain(&mut self, at: usize, byte: u8) -> Ahead {
        let end = match byte {
            b't' => self.literal(at, b"true", Kind::True),
            b'f' => self.literal(at, b"false", Kind::False),
            b'n' => self.literal(at, b"null", Kind::Null),
            _ => self.number(at, byte),
        }?;
        Ok((self.behind(), end))
    }

    /// What must come behind a value.
    fn behind(&self) -> Expect {
        match self.depth {
            0 => Expect::End,
            _ if self.in_object => Expect::AfterMember,
            _ => Expect::AfterElement,
        }
    }

    fn begin(&mut self, at: usize, kind: Kind) -> Result<usize, Wrong> {
        let node = self.nodes.len() as u32;
        *self.open.get_mut(self.depth).ok_or((at, What::TooDeep))? = node;
        self.depth += 1;
        self.in_object = kind == Kind::Object;
        self.nodes.push(Node { start: at as u32, end: 0, next: 0, kind });
        Ok(at + 1)
    }

    fn close(&mut self, end: usize) -> (Expect, usize) {
        let next = self.nodes.len() as u32;
        if let Some(node) = self.innermost() {
            (node.end, node.next) = (end as u32, next);
        }
        self.depth -= 1;
        self.in_object = self.innermost().is_some_and(|node| node.kind == Kind::Object);
        (self.behind(), end)
    }

    fn innermost(&mut self) -> Option<&mut Node> {
        let node = *self.open.get(self.depth.checked_sub(1)?)?;
        self.nodes.get_mut(node as usize)
    }

    /// A value, or key, that holds no others.
    fn node(&mut self, start: usize, end: usize, kind: Kind) {
        let next = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { start: start as u32, end: end as u32, next, kind });
    }

    fn literal(&mut self, at: usize, word: &[u8], kind: Kind) -> Result<usize, Wrong> {
        match self.text.get(at..at + word.len()) {
            Some(found) if found == word => {
                self.node(at, at + word.len(), kind);
                Ok(at + word.len())
            }
            _ => Err((at, What::LiteralExpected)),
        }
    }

    fn number(&mut self, at: usize, first: u8) -> Result<usize, Wrong> {
        let mut number = Number::begin(first).ok_or((at, What::ValueExpected))?;
        let mut end = at + 1;
        loop {
            // The end of the text ends a number as white space does.
            let byte = self.text.get(end).copied().unwrap_or(b' ');
            match number.next(byte) {
                Next::Part(more) => number = more,
                Next::After => {
                    self.node(at, end, Kind::Number);
                    return Ok(end);
                }
                Next::Wrong => return Err((end, What::DigitExpected)),
            }
            end += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> Option<(usize, What)> {
        Index::default().read(text.as_bytes()).err().map(|error| (error.offset, error.what))
    }

    #[test]
    fn walked() {
        let text = " {\"a\": [1, {\"b\": \"x\\n\"}, []], \"c\": {}, \"a\\u0064\": null, \"n\": -1.5e3}\n";
        let mut index = Index::default();
        let value = index.read(text.as_bytes()).unwrap();
        let keys: Vec<_> = value.members().map(|(key, value)| (key.text().unwrap(), value.kind())).collect();
        let want = [("a", Kind::Array), ("c", Kind::Object), ("ad", Kind::Null), ("n", Kind::Number)];
        assert_eq!(keys, want.map(|(key, kind)| (key.to_owned(), kind)));
        let items: Vec<_> = value.get("a").unwrap().items().collect();
        assert_eq!((items.len(), items[1].get("b").unwrap().escaped()), (3, Some(&b"x\\n"[..])));
        assert_eq!(items[1].raw(), b"{\"b\": \"x\\n\"}");
        assert!(value.get("ad").is_none() && value.get("zz").is_none() && value.items().next().is_none());
        assert_eq!((value.get("n").unwrap().as_f64(), value.get("n").unwrap().as_u64()), (Some(-1500.0), None));
        assert_eq!(value.walk().count(), 14);
        assert_eq!(value.get("a").unwrap().walk().count(), 6);
    }

    #[test]
    fn scalars() {
        for (text, number) in [("16", Some(16)), ("16.0", Some(16)), ("1e3", Some(1000)), ("-1", None), ("0.5", None)] {
            assert_eq!(Index::default().read(text.as_bytes()).unwrap().as_u64(), number, "{text}");
        }
        let mut index = Index::default();
        let value = index.read(br#""caf\u00e9""#).unwrap();
        assert!(value.is("café") && !value.is("cafe"));
        assert_eq!(Index::default().read(br#""\ud83d!""#).unwrap().text().as_deref(), Some("\u{FFFD}!"));
        assert_eq!(Index::default().read(b"\xEF\xBB\xBFtrue").unwrap().as_bool(), Some(true));
    }

    #[test]
    fn refused() {
        #[rustfmt::skip]
        let table = [
            ("", 0, What::EndOfText), ("{", 1, What::EndOfText), ("{]", 1, What::KeyOrBraceExpected),
            ("[}", 1, What::ValueExpected), ("[1,]", 3, What::ValueExpected), ("{\"a\":1,}", 7, What::KeyExpected),
            ("{,}", 1, What::KeyOrBraceExpected), ("[,]", 1, What::ValueExpected),
            ("{\"a\" 1}", 5, What::ColonExpected), ("{\"a\":1 2}", 7, What::CommaOrBraceExpected),
            ("[1 2]", 3, What::CommaOrBracketExpected), ("1 2", 2, What::AfterEnd), ("nul", 0, What::LiteralExpected),
            ("01", 1, What::AfterEnd), ("-", 1, What::DigitExpected), ("1.", 2, What::DigitExpected),
            ("\"a", 2, What::EndOfText), ("\"\\", 2, What::EndOfText), ("\"\\x\"", 2, What::UnknownEscape),
            ("\"\\u12\"", 3, What::HexDigitExpected), ("\"\n\"", 1, What::ControlCharacter),
        ];
        for (text, offset, what) in table {
            assert_eq!(error(text), Some((offset, what)), "{text:?}");
        }
        assert_eq!(error(&"[".repeat(JSON_DEPTH_MAX + 1)), Some((JSON_DEPTH_MAX, What::TooDeep)));
        assert_eq!(error(&("[".repeat(JSON_DEPTH_MAX) + &"]".repeat(JSON_DEPTH_MAX))), None);
    }

    /// Any JSON value as text.
    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "\\PC{0,12}".prop_map(Into::into),
            Just("\"\\\n\u{1F600}".into()),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::btree_map("[a-e\"]{0,3}", inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// What was read, put together again.
    fn rebuilt(value: Value<'_>) -> serde_json::Value {
        match value.kind() {
            Kind::Object => value.members().map(|(key, value)| (key.text().unwrap(), rebuilt(value))).collect(),
            Kind::Array => value.items().map(rebuilt).collect(),
            Kind::String => value.text().unwrap().into(),
            _ => serde_json::from_slice(value.raw()).unwrap(),
        }
    }

    proptest! {
        #[test]
        fn reads_what_was_written(json in json(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) }.unwrap();
            let mut index = Index::default();
            let value = index.read(text.as_bytes()).unwrap();
            let keys = ["a", "b\"", "c", "zz"];
            let raw = |value: Option<Value<'_>>| value.map(|value| value.span());
            prop_assert_eq!(value.pick(keys).map(raw), keys.map(|key| raw(value.get(key))));
            prop_assert_eq!(rebuilt(value), json);
        }

        #[test]
        fn agrees_with_a_second_parser(text in "[\\[\\]{},:\"a1.e\\-tru \\\\]{0,14}") {
            let (ours, theirs) = (Index::default().read(text.as_bytes()).is_ok(), serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok());
            prop_assert_eq!(ours, theirs, "{}", text);
        }
    }
}
