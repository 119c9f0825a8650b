//! Recognises the next event of a stream by the shape of the last one: most events of an answer differ in one string only.
//!
//! A reader that reads an event in full, and finds that all it says is one piece of text, has it learned here. The next
//! event is compared with what lay between the parts that vary; if all of it agrees, the text is where it was, and the
//! event need not be read. If anything differs it is read in full, and learned again.

use super::find::{but_digits, find_stop, first_hit};
use super::grammar::{HEX_DIGITS, begins_with_hex_digits, is_escape};
use super::{Kind, Value};
use crate::limits::TEMPLATE_SCALARS_MAX;

/// How deep in an event scalars are told apart; what lies deeper is compared as it stands.
const DEPTH_MAX: usize = 8;

/// The shape of one stream's events. Its memory is reused: nothing is allocated once it has grown to the longest event.
///
/// ```
/// use sidestream::json::{Index, Template};
///
/// let (mut index, mut template) = (Index::default(), Template::default());
/// for text in [r#"{"n":1,"text":"a"}"#, r#"{"n":2,"text":"b"}"#] {
///     let event = index.read(text.as_bytes())?;
///     let text = event.get("text").unwrap();
///     template.learn(event, text, |path| path == [b"n"]);
/// }
/// // `n` was seen to vary, and may.
/// assert_eq!(template.find(br#"{"n":30,"text":"c\n"}"#), Some(&b"c\\n"[..]));
/// assert_eq!(template.find(br#"{"n":30,"text":"c","more":1}"#), None);
/// # Ok::<(), sidestream::json::JsonError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Template {
    /// The event that was learned last.
    text: Vec<u8>,
    /// What may vary in it, in its order: what is wanted, and scalars that mean nothing.
    scalars: Vec<Scalar>,
    /// Those of them that are stepped over, and what lies before each.
    steps: Vec<Step>,
    /// Memory for the next list.
    spare: Vec<Scalar>,
}

#[derive(Clone, Copy, Debug)]
struct Scalar {
    /// A string's content, or a number.
    start: usize,
    end: usize,
    is_string: bool,
    what: What,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    /// How long the text before it is, which stays as it is, and how long it is itself in the event that was learned.
    literal: usize,
    length: usize,
    is_string: bool,
    is_wanted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// The text that the reader is after.
    Wanted,
    /// It was different in two events of this shape.
    Varies,
    /// It was not: it is compared as it stands, for that costs less than to step over it.
    Same,
}

impl Template {
    /// Learns the shape of an event that was read: a whole text, of which `wanted`, a string, is all that matters.
    ///
    /// `is_free` says of a scalar whether the reader never looks at it; it is given the keys on the way to it, as they
    /// stand, arrays left out. Such scalars may vary once they did; every other part of the event must stay as it is.
    pub fn learn(&mut self, event: Value<'_>, wanted: Value<'_>, is_free: impl Fn(&[&[u8]]) -> bool) {
        let mut learning = Learning {
            scalars: std::mem::take(&mut self.spare),
            wanted: wanted.span(),
            path: [b""; DEPTH_MAX],
            is_free,
        };
        learning.scalars.clear();
        learning.value(event, 0);
        let mut scalars = learning.scalars;
        let text = event.text_read();
        if self.is_same_shape(text, &scalars) {
            for (new, old) in scalars.iter_mut().zip(&self.scalars) {
                let differs = text.get(new.start..new.end) != self.text.get(old.start..old.end);
                if new.what == What::Same && (differs || old.what == What::Varies) {
                    new.what = What::Varies;
                }
            }
        }
        self.text.clear();
        self.text.extend_from_slice(text);
        self.spare = std::mem::replace(&mut self.scalars, scalars);
        let mut from = 0;
        self.steps.clear();
        self.steps.extend(self.scalars.iter().filter(|scalar| scalar.what != What::Same).map(|scalar| {
            let &Scalar { start, end, is_string, what } = scalar;
            let literal = start - std::mem::replace(&mut from, end);
            Step { literal, length: end - start, is_string, is_wanted: what == What::Wanted }
        }));
    }

    /// What was wanted, in an event of the same shape: the content of a string, still escaped.
    #[inline]
    pub fn find<'a>(&self, event: &'a [u8]) -> Option<&'a [u8]> {
        let (mut wanted, mut shape, mut rest) = (None, self.text.as_slice(), event);
        for step in &self.steps {
            let (literal, after) = shape.split_at_checked(step.literal)?;
            rest = strip(rest, literal)?;
            let length = if step.is_string { string_length(rest) } else { number_length(rest) }?;
            let (scalar, behind) = rest.split_at_checked(length)?;
            if step.is_wanted {
                wanted = Some(scalar);
            }
            (shape, rest) = (after.get(step.length..)?, behind);
        }
        wanted.filter(|_| rest == shape)
    }

    /// Forgets what was learned.
    pub fn clear(&mut self) {
        self.text.clear();
        self.scalars.clear();
        self.steps.clear();
    }

    /// All that lies between the scalars agrees.
    fn is_same_shape(&self, text: &[u8], scalars: &[Scalar]) -> bool {
        let (mut here, mut there) = (0, 0);
        for (new, old) in scalars.iter().zip(&self.scalars) {
            let is_same = text.get(here..new.start) == self.text.get(there..old.start)
                && new.is_string == old.is_string
                && (new.what == What::Wanted) == (old.what == What::Wanted);
            if !is_same {
                return false;
            }
            (here, there) = (new.end, old.end);
        }
        scalars.len() == self.scalars.len() && text.get(here..) == self.text.get(there..)
    }
}

/// The scalars of one event being listed.
struct Learning<'a, F> {
    scalars: Vec<Scalar>,
    wanted: (usize, usize),
    path: [&'a [u8]; DEPTH_MAX],
    is_free: F,
}

impl<'a, F: Fn(&[&[u8]]) -> bool> Learning<'a, F> {
    fn value(&mut self, value: Value<'a>, depth: usize) {
        match value.kind() {
            Kind::Object => {
                for (key, value) in value.members() {
                    if let Some(place) = self.path.get_mut(depth) {
                        *place = key.escaped().unwrap_or_default();
                        self.value(value, depth + 1);
                    }
                }
            }
            Kind::Array => value.items().for_each(|item| self.item(item, depth)),
            Kind::String | Kind::Number => self.scalar(value, depth),
            Kind::True | Kind::False | Kind::Null => {}
        }
    }

    /// Arrays have no part in the path, so how deep they stand in each other is bound here.
    fn item(&mut self, item: Value<'a>, depth: usize) {
        if item.kind() != Kind::Array {
            self.value(item, depth);
        }
    }

    fn scalar(&mut self, value: Value<'a>, depth: usize) {
        let (is_string, span) = (value.kind() == Kind::String, value.span());
        let is_wanted = span == self.wanted;
        let is_free = || self.path.get(..depth).is_some_and(&self.is_free);
        // The one that is wanted has its place, however many others there are.
        if !is_wanted && (self.scalars.len() >= TEMPLATE_SCALARS_MAX || !is_free()) {
            return;
        }
        let quote = usize::from(is_string);
        let what = if is_wanted { What::Wanted } else { What::Same };
        self.scalars.push(Scalar { start: span.0 + quote, end: span.1 - quote, is_string, what });
    }
}

/// What follows a text that should stand here. Most are shorter than the call of a comparison costs.
#[inline]
fn strip<'a>(text: &'a [u8], literal: &[u8]) -> Option<&'a [u8]> {
    const SHORT: usize = 24;
    let (head, rest) = text.split_at_checked(literal.len())?;
    let is_same = match (head.last_chunk::<8>(), literal.last_chunk()) {
        (Some(last), Some(other)) if head.len() <= SHORT => {
            let (words, others) = (head.as_chunks::<8>().0, literal.as_chunks::<8>().0);
            last == other && words.iter().zip(others).all(|(word, other)| word == other)
        }
        _ => head == literal,
    };
    is_same.then_some(rest)
}

/// How long the string is whose content begins here, if it is one that [`super::Index`] takes.
#[inline]
fn string_length(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let (special, rest) = find_stop(text, from)?;
        from = match rest {
            [b'"', ..] => return Some(special),
            [_, b'u', digits @ ..] if begins_with_hex_digits(digits) => special + 2 + HEX_DIGITS,
            [_, escape, ..] if *escape != b'u' && is_escape(*escape) => special + 2,
            _ => return None,
        };
    }
}

/// How long the number is that begins here, if it is one.
#[inline]
fn number_length(text: &[u8]) -> Option<usize> {
    text.first_chunk().and_then(|word| short_number(*word)).or_else(|| long_number(text))
}

/// The same of one that eight bytes show to be whole, if it has no sign and no exponent.
#[inline]
fn short_number(word: [u8; 8]) -> Option<usize> {
    let others = but_digits(word);
    let byte = |at: usize| (u64::from_le_bytes(word) >> (8 * at)) as u8;
    let whole = first_hit(others)?;
    if whole == 0 || (whole > 1 && byte(0) == b'0') {
        return None;
    }
    let end = match byte(whole) {
        b'.' => first_hit(others & (others - 1)).filter(|end| *end > whole + 1)?,
        _ => whole,
    };
    (byte(end) | 0x20 != b'e').then_some(end)
}

fn long_number(text: &[u8]) -> Option<usize> {
    let first = usize::from(text.first() == Some(&b'-'));
    let mut end = digits_end(text, first)?;
    if text.get(first) == Some(&b'0') && end > first + 1 {
        return None;
    }
    if text.get(end) == Some(&b'.') {
        end = digits_end(text, end + 1)?;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let is_signed = matches!(text.get(end + 1), Some(b'+' | b'-'));
        end = digits_end(text, end + 1 + usize::from(is_signed))?;
    }
    Some(end)
}

/// Where the digits end that begin at `at`; there must be one.
#[inline]
fn digits_end(text: &[u8], at: usize) -> Option<usize> {
    let (mut end, mut rest) = (at, text.get(at..)?);
    while let Some((word, after)) = rest.split_first_chunk() {
        if let Some(count) = first_hit(but_digits(*word)) {
            return (end + count > at).then_some(end + count);
        }
        (end, rest) = (end + word.len(), after);
    }
    end += rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (end > at).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::super::number::{Next, Number};
    use super::*;
    use proptest::prelude::*;

    /// The same, a byte at a time.
    fn number_by_bytes(text: &[u8]) -> Option<usize> {
        let mut number = Number::begin(*text.first()?)?;
        for (end, byte) in text.iter().chain(b" ").enumerate().skip(1) {
            match number.next(*byte) {
                Next::Part(next) => number = next,
                Next::After => return Some(end),
                Next::Wrong => return None,
            }
        }
        None
    }

    proptest! {
        #[test]
        fn numbers(text in "[0-9.eE+,\u{a0} -]{0,12}|-?[0-9]{1,20}(\\.[0-9]{0,20})?([eE][+-]?[0-9]{0,20})?[,}\u{ff} ]{0,9}") {
            let text = text.as_bytes();
            let (end, want) = (number_length(text), number_by_bytes(text));
            // A digit behind a leading zero is no part of the number, and no literal begins with one.
            let is_cut = want.and_then(|end| text.get(end)).is_some_and(u8::is_ascii_digit);
            prop_assert_eq!(end, want.filter(|_| !is_cut));
        }
    }
}
