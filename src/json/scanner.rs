//! Checks a request's JSON while it arrives, and finds the top-level members that we read.

use super::error::{JsonError, What};
use super::grammar::{Expect, HEX_DIGITS, Role, is_escape, skip_space};
use super::number::{Next, Number};
use super::stops::{Stops, Tail, TextEnd};
use super::watch::{Kind, Member, Watch};
use crate::limits::JSON_DEPTH_MAX;

/// One validating pass over a body whose top level is an object, fed in any pieces.
///
/// The structure is held to RFC 8259 to the letter, for a member cannot be located in a text that others may read
/// differently. What does not hinder that is left to those who decode values: strings may hold lone surrogate escapes
/// and invalid UTF-8, numbers may have any size, and one BOM may lead the text.
///
/// A key that we read may occur once: of two, we might read one and the upstream the other. Keys are compared unescaped
/// (`"mod\u0065l"` is `model`), and only those of the top level are watched.
///
/// ```
/// let mut scanner = sidestream::json::Scanner::new(&["model", "stream"]);
/// scanner.push(br#"{"model": "gpt"#)?;
/// scanner.push(br#"-5", "input": {"model": 1}}"#)?;
/// scanner.finish()?;
/// let model = scanner.get("model").unwrap();
/// assert_eq!((model.start, model.end), (10, 17));
/// assert_eq!(scanner.get("stream"), None);
/// # Ok::<(), sidestream::json::JsonError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Scanner {
    state: State,
    /// Why the state is `Failed`.
    error: Option<JsonError>,
    watch: Watch,
    /// Bytes of all pushes before this one.
    before: usize,
    /// Containers open around the current place: the lowest bit is the innermost one, 1 for an object.
    containers: u128,
    depth: usize,
    /// How a string must end to be noted, and whether one did.
    ending: Option<[u8; ENDING_BYTES]>,
    noted: bool,
}

impl Scanner {
    /// A scanner that finds the top-level members named `keys`.
    ///
    /// # Panics
    ///
    /// If there are more than 16 keys, or one too long to be compared when all of its letters are escaped.
    pub fn new(keys: &'static [&'static str]) -> Scanner {
        let watch = Watch::new(keys);
        Scanner {
            state: State::Start,
            error: None,
            watch,
            before: 0,
            containers: 0,
            depth: 0,
            ending: None,
            noted: false,
        }
    }

    /// The same, which also notes whether a string ends with `ending`, as it stands: one that needs no escapes.
    pub fn noting(self, ending: [u8; ENDING_BYTES]) -> Scanner {
        Scanner { ending: Some(ending), ..self }
    }

    /// Makes it ready for another body.
    pub fn reset(&mut self) {
        self.state = State::Start;
        self.error = None;
        self.watch.reset();
        self.before = 0;
        self.containers = 0;
        self.depth = 0;
        self.noted = false;
    }

    /// Takes the body's next bytes. Once it has failed it fails in the same way until [`Scanner::reset`].
    pub fn push(&mut self, input: &[u8]) -> Result<(), JsonError> {
        let mut at = 0;
        while at < input.len() && self.state != State::Failed {
            at = self.step(input, at);
        }
        if let State::Text(Role::Key) | State::Escape(Role::Key) | State::Hex(Role::Key, _) = self.state
            && self.depth == 1
        {
            self.watch.hold(input.get(self.key_from()..).unwrap_or_default());
        }
        self.before += input.len();
        self.error.map_or(Ok(()), Err)
    }

    /// Says whether the bytes so far are one whole text.
    pub fn finish(&mut self) -> Result<(), JsonError> {
        if !matches!(self.state, State::Expect(Expect::End) | State::Failed) {
            self.fail_at(self.before, What::EndOfText);
        }
        self.error.map_or(Ok(()), Err)
    }

    /// The member of that name, as soon as its value is complete. Until [`Scanner::finish`] has succeeded the body may
    /// still turn out to be invalid.
    pub fn get(&self, key: &str) -> Option<Member> {
        self.watch.get(key)
    }

    /// Whether a value, at any depth, was a string with the ending that is noted. It may be mistaken if a push began within
    /// such an ending's length of a string's end, but overlooks none.
    pub fn noted(&self) -> bool {
        self.noted
    }

    /// Where the value begins that is being read, if it is that of a member that we look for.
    pub fn value_start(&self) -> Option<usize> {
        self.watch.value_start()
    }

    /// Reads on from `at`, a valid index: what an earlier push left off, or all that lies here as a whole. Gives the index
    /// reached.
    fn step(&mut self, input: &[u8], at: usize) -> usize {
        let ahead = match self.state {
            State::Text(role) => return self.walk(input, at, role),
            State::Expect(expect) => Ok((expect, at)),
            State::Escape(role) => Err(self.escape(input, at, role)),
            State::Hex(role, left) => Err(self.hex(input, at, role, left)),
            State::Number(number) => self.number(input, at, number),
            State::Literal(word, seen) => self.literal(input, at, word, seen),
            State::Start => Err(self.start(input, at)),
            State::Bom(seen) => Err(self.bom(input, at, seen)),
            State::Failed => Err(input.len()),
        };
        match ahead.and_then(|(expect, at)| self.structure(input, expect, at)) {
            Ok((role, at)) => self.walk(input, at, role),
            Err(at) => at,
        }
    }

    /// From within a string on, as far as everything lies here as a whole.
    fn walk(&mut self, input: &[u8], at: usize, role: Role) -> usize {
        let tail = Tail::of(input);
        let (mut stops, mut role) = (Stops::new(input, &tail, at), role);
        loop {
            let ahead = self.strings(input, &mut stops, role);
            match ahead.and_then(|(expect, at)| self.structure(input, expect, at)) {
                Ok((next, at)) => {
                    role = next;
                    stops.seek(at);
                }
                Err(at) => return at,
            }
        }
    }

    /// One token after another, up to a string and into it.
    #[inline(always)]
    fn structure(&mut self, input: &[u8], expect: Expect, at: usize) -> Result<(Role, usize), usize> {
        let (mut expect, mut at) = (expect, at);
        while let Some((token, byte)) = skip_space(input, at) {
            if byte == b'"'
                && let Some(role) = expect.string()
            {
                self.begin_string(token, role);
                return Ok((role, token + 1));
            }
            // By state first: one jump, then one or two comparisons.
            (expect, at) = match expect {
                Expect::FirstKey | Expect::AfterMember if byte == b'}' => self.close(input, token),
                Expect::FirstValue | Expect::AfterElement if byte == b']' => self.close(input, token),
                Expect::FirstValue | Expect::Value if byte == b'{' => self.open(Kind::Object, token)?,
                Expect::FirstValue | Expect::Value if byte == b'[' => self.open(Kind::Array, token)?,
                Expect::FirstValue | Expect::Value => self.value(input, token, expect, byte)?,
                Expect::Colon if byte == b':' => (Expect::Value, token + 1),
                Expect::AfterMember if byte == b',' => (Expect::Key, token + 1),
                Expect::AfterElement if byte == b',' => (Expect::Value, token + 1),
                Expect::Object if byte == b'{' => self.open(Kind::Object, token)?,
                _ => return Err(self.fail(token, expect.what())),
            };
        }
        self.state = State::Expect(expect);
        Err(input.len())
    }

    /// From within a string to its end, and through those behind it that nothing parts from it but a colon or a comma.
    #[inline(always)]
    fn strings(&mut self, input: &[u8], stops: &mut Stops<'_>, role: Role) -> Ahead {
        let (is_top, mut role) = (self.depth == 1, role);
        let (element, behind) = match self.containers & 1 {
            1 => (Role::Key, Expect::AfterMember),
            _ => (Role::Value, Expect::AfterElement),
        };
        loop {
            let (quote, next) = match stops.text_end() {
                TextEnd::Quote(at, next) => (at, next),
                TextEnd::Control(at) => return Err(self.fail(at, What::ControlCharacter)),
                TextEnd::Escape(at) => return Err(self.leave(State::Escape(role), at + 1)),
                TextEnd::Input => return Err(self.leave(State::Text(role), input.len())),
            };
            if is_top && !self.end_top_string(input, quote, role) {
                return Err(quote);
            }
            if role == Role::Value
                && let Some(ending) = self.ending
            {
                let last = quote.checked_sub(ENDING_BYTES).and_then(|from| input.get(from..quote));
                self.noted |= last.is_none_or(|last| last == ending);
            }
            role = match (role, next) {
                (Role::Key, [b':', b'"']) => Role::Value,
                (Role::Key, [b':', _]) => return Ok((Expect::Value, quote + 2)),
                (Role::Key, _) => return Ok((Expect::Colon, quote + 1)),
                (Role::Value, [b',', b'"']) => element,
                (Role::Value, _) => return Ok((behind, quote + 1)),
            };
            if is_top {
                self.begin_string(quote + 2, role);
            }
            stops.step(quote, 3);
        }
    }

    /// What follows is to be read in that state, from `at` on.
    fn leave(&mut self, state: State, at: usize) -> usize {
        self.state = state;
        at
    }

    /// A string's opening quote is at `at`.
    #[inline]
    fn begin_string(&mut self, at: usize, role: Role) {
        if self.depth == 1 {
            match role {
                Role::Key => self.watch.begin_key(self.before + at),
                Role::Value => self.watch.begin_value(Kind::String, self.before + at),
            }
        }
    }

    /// The closing quote of a string of the top level is at `at`. Says whether it may stand there.
    #[inline(never)]
    fn end_top_string(&mut self, input: &[u8], at: usize, role: Role) -> bool {
        if role == Role::Value {
            self.watch.end_value(self.before + at + 1);
            return true;
        }
        let last = input.get(self.key_from()..at).unwrap_or_default();
        match self.watch.end_key(last) {
            Ok(()) => true,
            Err(JsonError { offset, what }) => {
                self.fail_at(offset, what);
                false
            }
        }
    }

    /// A number or a literal.
    fn value(&mut self, input: &[u8], at: usize, expect: Expect, byte: u8) -> Ahead {
        let (kind, word) = match byte {
            b't' => (Kind::True, Word::True),
            b'f' => (Kind::False, Word::False),
            b'n' => (Kind::Null, Word::Null),
            _ => {
                let Some(number) = Number::begin(byte) else {
                    return Err(self.fail(at, expect.what()));
                };
                self.begin_value(Kind::Number, at);
                return self.number(input, at + 1, number);
            }
        };
        self.begin_value(kind, at);
        self.literal(input, at, word, 0)
    }

    /// A value of that kind begins at `at`.
    fn begin_value(&mut self, kind: Kind, at: usize) {
        if self.depth == 1 {
            self.watch.begin_value(kind, self.before + at);
        }
    }

    /// A value ended before `at`.
    fn end_value(&mut self, input: &[u8], at: usize) -> (Expect, usize) {
        if self.depth == 1 {
            self.watch.end_value(self.before + at);
        }
        // Most often the comma stands right behind it.
        match (self.containers & 1, input.get(at)) {
            (1, Some(b',')) => (Expect::Key, at + 1),
            (1, _) => (Expect::AfterMember, at),
            (_, Some(b',')) => (Expect::Value, at + 1),
            (_, _) => (Expect::AfterElement, at),
        }
    }

    fn open(&mut self, kind: Kind, at: usize) -> Ahead {
        if self.depth == JSON_DEPTH_MAX {
            return Err(self.fail(at, What::TooDeep));
        }
        self.begin_value(kind, at);
        self.depth += 1;
        self.containers = self.containers << 1 | u128::from(kind == Kind::Object);
        Ok((if kind == Kind::Object { Expect::FirstKey } else { Expect::FirstValue }, at + 1))
    }

    fn close(&mut self, input: &[u8], at: usize) -> (Expect, usize) {
        self.depth -= 1;
        self.containers >>= 1;
        match self.depth {
            0 => (Expect::End, at + 1),
            _ => self.end_value(input, at + 1),
        }
    }

    /// The byte after a backslash.
    fn escape(&mut self, input: &[u8], at: usize, role: Role) -> usize {
        self.state = match input.get(at) {
            Some(b'u') => State::Hex(role, HEX_DIGITS as u8),
            Some(&byte) if is_escape(byte) => State::Text(role),
            _ => return self.fail(at, What::UnknownEscape),
        };
        at + 1
    }

    /// One of the `left` digits that a `\u` still needs.
    fn hex(&mut self, input: &[u8], at: usize, role: Role, left: u8) -> usize {
        if !input.get(at).is_some_and(u8::is_ascii_hexdigit) {
            return self.fail(at, What::HexDigitExpected);
        }
        self.state = match left {
            1 => State::Text(role),
            _ => State::Hex(role, left - 1),
        };
        at + 1
    }

    /// Where in the current input the text of the current top-level key begins or goes on.
    fn key_from(&self) -> usize {
        (self.watch.key_start() + 1).saturating_sub(self.before)
    }

    fn number(&mut self, input: &[u8], at: usize, number: Number) -> Ahead {
        let (mut at, mut number) = (at, number);
        while let Some(&byte) = input.get(at) {
            match number.next(byte) {
                Next::Part(next) => number = next,
                Next::After => return Ok(self.end_value(input, at)),
                Next::Wrong => return Err(self.fail(at, What::DigitExpected)),
            }
            at += 1;
        }
        self.state = State::Number(number);
        Err(at)
    }

    /// Inside `true`, `false` or `null`, of which so many bytes have been seen.
    fn literal(&mut self, input: &[u8], at: usize, word: Word, seen: u8) -> Ahead {
        let (mut at, mut seen) = (at, seen);
        while let Some(expected) = word.text().get(usize::from(seen)) {
            match input.get(at) {
                Some(byte) if byte == expected => (at, seen) = (at + 1, seen + 1),
                Some(_) => return Err(self.fail(at, What::LiteralExpected)),
                None => {
                    self.state = State::Literal(word, seen);
                    return Err(at);
                }
            }
        }
        Ok(self.end_value(input, at))
    }

    /// The body's first byte: of a BOM, or of the text proper.
    fn start(&mut self, input: &[u8], at: usize) -> usize {
        if input.get(at) == BOM.first() {
            self.state = State::Bom(1);
            return at + 1;
        }
        self.state = State::Expect(Expect::Object);
        at
    }

    /// The next byte of a BOM of which so many have been seen.
    fn bom(&mut self, input: &[u8], at: usize, seen: u8) -> usize {
        let index = usize::from(seen);
        if input.get(at) != BOM.get(index) {
            return self.fail(at, What::ObjectExpected);
        }
        self.state = if index + 1 == BOM.len() { State::Expect(Expect::Object) } else { State::Bom(seen + 1) };
        at + 1
    }

    /// Refuses the body for its byte at `at` of this input.
    #[cold]
    fn fail(&mut self, at: usize, what: What) -> usize {
        self.fail_at(self.before + at, what);
        at
    }

    #[cold]
    fn fail_at(&mut self, offset: usize, what: What) {
        self.state = State::Failed;
        self.error = Some(JsonError { offset, what });
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing has come.
    Start,
    /// In a BOM of which so many bytes have been seen.
    Bom(u8),
    /// Between tokens.
    Expect(Expect),
    /// In a string.
    Text(Role),
    /// Behind a string's backslash.
    Escape(Role),
    /// In a `\u` escape of which so many digits are missing.
    Hex(Role, u8),
    Number(Number),
    /// In a literal of which so many bytes have been seen.
    Literal(Word, u8),
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    True,
    False,
    Null,
}

impl Word {
    fn text(self) -> &'static [u8] {
        match self {
            Word::True => b"true",
            Word::False => b"false",
            Word::Null => b"null",
        }
    }
}

/// What must come next, and where; or the index reached, where the state says how it goes on.
type Ahead = Result<(Expect, usize), usize>;

/// How long an ending is that a scanner can note.
pub const ENDING_BYTES: usize = 8;
const BOM: &[u8] = b"\xEF\xBB\xBF";
/// One bit of `Scanner::containers` for each level.
const _: () = assert!(JSON_DEPTH_MAX <= u128::BITS as usize);

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(body: &[u8]) -> Result<Scanner, JsonError> {
        let mut scanner = Scanner::new(&["model", "stream", "n"]);
        scanner.push(body)?;
        scanner.finish()?;
        Ok(scanner)
    }

    #[test]
    fn members() {
        #[rustfmt::skip]
        let table: &[(&str, Option<(Kind, &str)>)] = &[
            (r#"{"model":"a"}"#,                    Some((Kind::String, r#""a""#))),
            (r#" { "model" : "a" } "#,              Some((Kind::String, r#""a""#))),
            (r#"{"model":"a\"b\\"}"#,               Some((Kind::String, r#""a\"b\\""#))),
            (r#"{"model":-1.5e+3}"#,                Some((Kind::Number, "-1.5e+3"))),
            (r#"{"model":0 ,"x":1}"#,               Some((Kind::Number, "0"))),
            (r#"{"model":true}"#,                   Some((Kind::True, "true"))),
            (r#"{"model":false}"#,                  Some((Kind::False, "false"))),
            (r#"{"model":null}"#,                   Some((Kind::Null, "null"))),
            (r#"{"model":{"model":[]}}"#,           Some((Kind::Object, r#"{"model":[]}"#))),
            (r#"{"model":[ {"model":1}, [] ] }"#,   Some((Kind::Array, r#"[ {"model":1}, [] ]"#))),
            ("\u{FEFF}{\"model\":1}",               Some((Kind::Number, "1"))),
            (r#"{"mod\u0065l":1}"#,                 Some((Kind::Number, "1"))),
            (r#"{"\u006D\u006f\u0064\u0065\u006c":1}"#, Some((Kind::Number, "1"))),
            (r#"{"x":{"model":1}}"#,                None),
            (r#"{"x":[{"model":1}]}"#,              None),
            (r#"{"x":"model"}"#,                    None),
            (r#"{"Model":1,"model ":2,"":3}"#,      None),
            (r#"{"mod\\u0065l":1}"#,                None),
            (r#"{"model\ud83d":1}"#,                None),
            ("{}",                                  None),
        ];
        for (body, expected) in table {
            let scanner = scan(body.as_bytes()).expect(body);
            let found = scanner.get("model").map(|m| (m.kind, &body[m.start..m.end]));
            assert_eq!(found, *expected, "{body}");
            assert_eq!(scanner.get("unknown"), None);
        }
    }

    #[test]
    fn values_that_need_no_decoding_pass() {
        let table: &[&[u8]] = &[
            br#"{"a":"\ud83d"}"#,
            br#"{"a":"\udc00\ud800"}"#,
            b"{\"a\":\"\xFF\xC0\x80\"}",
            b"{\"\xFF\":1}",
            b"{\"a\":123456789012345678901234567890,\"b\":1e400,\"c\":-0.0E-999}",
            b"{\"a\":1,\"a\":2,\"b\":{\"model\":1,\"model\":2}}",
        ];
        for body in table {
            assert!(scan(body).is_ok(), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn refused() {
        use What::*;
        #[rustfmt::skip]
        let table: &[(&str, usize, What)] = &[
            ("{\"a\":\"b\nc\"}",          7,  ControlCharacter),
            ("{\"a\":\"\\n\0",            8,  ControlCharacter),
            ("{\"a\x1F\":1}",           3,  ControlCharacter),
            ("",                        0,  EndOfText),
            ("  ",                      2,  EndOfText),
            ("\u{FEFF}",                3,  EndOfText),
            ("{",                       1,  EndOfText),
            (r#"{"a"#,                  3,  EndOfText),
            (r#"{"a":1"#,               6,  EndOfText),
            (r#"{"a":[1,{}"#,           10, EndOfText),
            (r#"{"a":"\"#,              7,  EndOfText),
            (r#"{"a":"\u00"#,           10, EndOfText),
            (r#"{"a":tru"#,             8,  EndOfText),
            ("[]",                      0,  ObjectExpected),
            (" \"a\"",                  1,  ObjectExpected),
            ("null",                    0,  ObjectExpected),
            (" \u{FEFF}{}",             1,  ObjectExpected),
            ("\u{FEFF}\u{FEFF}{}",      3,  ObjectExpected),
            ("\u{FEC0}{}",              2,  ObjectExpected),
            ("{a:1}",                   1,  KeyOrBraceExpected),
            ("{'a':1}",                 1,  KeyOrBraceExpected),
            ("{,}",                     1,  KeyOrBraceExpected),
            ("{]",                      1,  KeyOrBraceExpected),
            (r#"{"a":1,}"#,             7,  KeyExpected),
            (r#"{"a":1,,"b":1}"#,       7,  KeyExpected),
            (r#"{"a":1,/**/"b":1}"#,    7,  KeyExpected),
            (r#"{"a" 1}"#,              5,  ColonExpected),
            (r#"{"a",1}"#,              4,  ColonExpected),
            (r#"{"a"}"#,                4,  ColonExpected),
            (r#"{"a":}"#,               5,  ValueExpected),
            (r#"{"a"::1}"#,             5,  ValueExpected),
            (r#"{"a":NaN}"#,            5,  ValueExpected),
            (r#"{"a":Infinity}"#,       5,  ValueExpected),
            (r#"{"a":'b'}"#,            5,  ValueExpected),
            (r#"{"a":+1}"#,             5,  ValueExpected),
            (r#"{"a":.5}"#,             5,  ValueExpected),
            (r#"{"a":// b"#,            5,  ValueExpected),
            (r#"{"a":[1,]}"#,           8,  ValueExpected),
            (r#"{"a":[,]}"#,            6,  ValueOrBracketExpected),
            (r#"{"a":[}"#,              6,  ValueOrBracketExpected),
            (r#"{"a":1 "b":2}"#,        7,  CommaOrBraceExpected),
            (r#"{"a":1]"#,              6,  CommaOrBraceExpected),
            (r#"{"a":01}"#,             6,  CommaOrBraceExpected),
            (r#"{"a":0x1}"#,            6,  CommaOrBraceExpected),
            (r#"{"a":1.5.5}"#,          8,  CommaOrBraceExpected),
            (r#"{"a":truex}"#,          9,  CommaOrBraceExpected),
            (r#"{"a":"b"c"}"#,          8,  CommaOrBraceExpected),
            (r#"{"a":[1 2]}"#,          8,  CommaOrBracketExpected),
            (r#"{"a":[1}"#,             7,  CommaOrBracketExpected),
            (r#"{"a":-}"#,              6,  DigitExpected),
            (r#"{"a":-Infinity}"#,      6,  DigitExpected),
            (r#"{"a":1.}"#,             7,  DigitExpected),
            (r#"{"a":1.e1}"#,           7,  DigitExpected),
            (r#"{"a":1e}"#,             7,  DigitExpected),
            (r#"{"a":1e+}"#,            8,  DigitExpected),
            (r#"{"a":1e+-1}"#,          8,  DigitExpected),
            (r#"{"a":nul}"#,            8,  LiteralExpected),
            (r#"{"a":nan}"#,            6,  LiteralExpected),
            (r#"{"a":tRue}"#,           6,  LiteralExpected),
            (r#"{"a":"\x"}"#,           7,  UnknownEscape),
            (r#"{"a":"\'"}"#,           7,  UnknownEscape),
            (r#"{"\a":1}"#,             3,  UnknownEscape),
            (r#"{"a":"\u12G4"}"#,       10, HexDigitExpected),
            (r#"{"a":"\u12"}"#,         10, HexDigitExpected),
            (r#"{"\u":1}"#,             4,  HexDigitExpected),
            ("{}{}",                    2,  AfterEnd),
            ("{} x",                    3,  AfterEnd),
            ("{}\0",                    2,  AfterEnd),
            ("{}\u{FEFF}",              2,  AfterEnd),
            ("{\u{A0}}",                1,  KeyOrBraceExpected),
            ("{\u{B}}",                 1,  KeyOrBraceExpected),
            (r#"{"n":1,"n":2}"#,        7,  Duplicate { key: "n" }),
            (r#"{"n":1,"\u006e":2}"#,   7,  Duplicate { key: "n" }),
            (r#"{"\u006e":1,"n":}"#,    12, Duplicate { key: "n" }),
        ];
        for &(body, offset, what) in table {
            let error = scan(body.as_bytes()).expect_err(body);
            assert_eq!(error, JsonError { offset, what }, "{body}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let nest = |levels: usize| {
                let inner = if open == "[" { "" } else { "1" };
                format!(r#"{{"a":{}{inner}{}}}"#, open.repeat(levels), close.repeat(levels))
            };
            assert!(scan(nest(JSON_DEPTH_MAX - 1).as_bytes()).is_ok());
            let offset = r#"{"a":"#.len() + open.len() * (JSON_DEPTH_MAX - 1);
            let what = What::TooDeep;
            for levels in [JSON_DEPTH_MAX, 100_000] {
                let error = scan(nest(levels).as_bytes()).unwrap_err();
                assert_eq!(error, JsonError { offset, what });
            }
        }
    }

    #[test]
    fn a_member_is_there_once_its_value_is() {
        let mut scanner = Scanner::new(&["model", "stream"]);
        scanner.push(br#"{"model":"a"#).unwrap();
        assert_eq!(scanner.get("model"), None);
        scanner.push(br#"","stream":1"#).unwrap();
        assert!(scanner.get("model").is_some());
        assert_eq!(scanner.get("stream"), None);
        scanner.push(b" ").unwrap();
        assert!(scanner.get("stream").is_some());
    }

    #[test]
    fn endings_are_noted() {
        #[rustfmt::skip]
        let table = [
            (r#"{"type":"thinking"}"#,                  true),
            (r#"{"a":[{"b": "redacted_thinking" }]}"#,  true),
            (r#"{"a":["x","thinking","y"]}"#,           true),
            (r#"{"thinking":"x","a":{"thinking":1}}"#,  false),
            (r#"{"a":"thinking "}"#,                    false),
            (r#"{"a":"\"thinking\""}"#,                 false),
            (r#"{"longer":"ng","think":"ing"}"#,        false),
            (r#"{"longer":"think\u0069ng"}"#,           false),
        ];
        let mut scanner = Scanner::new(&[]).noting(*b"thinking");
        for (body, noted) in table {
            for cut in 0..body.len() {
                let (first, second) = body.as_bytes().split_at(cut);
                scanner.reset();
                scanner.push(first).unwrap();
                scanner.push(second).unwrap();
                scanner.finish().unwrap();
                assert!(scanner.noted() || !noted, "{body} cut at {cut}");
                assert!(scanner.noted() == noted || cut > 0, "{body}");
            }
        }
    }

    #[test]
    fn an_error_stays_until_reset() {
        let mut scanner = Scanner::new(&["model"]);
        let error = scanner.push(br#"{"model":1]"#).unwrap_err();
        assert_eq!(scanner.push(b"}"), Err(error));
        assert_eq!(scanner.push(b""), Err(error));
        assert_eq!(scanner.finish(), Err(error));
        scanner.reset();
        assert_eq!(scanner.get("model"), None);
        scanner.push(br#"{"model":1}"#).unwrap();
        scanner.finish().unwrap();
        assert!(scanner.get("model").is_some());
    }
}
