//! Recognises the next event of a stream by the shape of the last one: most events of an answer differ in one string only.
//!
//! A reader that reads an event in full, and finds that all it says is one piece of text, has it learned here. The next
//! event is compared with what lay between the parts that vary; if all of it agrees, the text is where it was, and the
//! event need not be read. If anything differs it is read in full, and learned again.

use super::number::{Next, Number};
use super::scanner::{HEX_DIGITS, begins_with_hex_digits, find_stop, is_escape};
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
    }

    /// What was wanted, in an event of the same shape: the content of a string, still escaped.
    #[inline]
    pub fn find<'a>(&self, event: &'a [u8]) -> Option<&'a [u8]> {
        let (mut wanted, mut from, mut at) = (None, 0, 0);
        for scalar in self.scalars.iter().filter(|scalar| scalar.what != What::Same) {
            let literal = self.text.get(from..scalar.start)?;
            let rest = event.get(at..)?;
            if !rest.starts_with(literal) {
                return None;
            }
            at += literal.len();
            let end = if scalar.is_string { string_end(event, at) } else { number_end(event, at) }?;
            if scalar.what == What::Wanted {
                wanted = event.get(at..end);
            }
            (from, at) = (scalar.end, end);
        }
        (event.get(at..) == self.text.get(from..)).then_some(wanted?)
    }

    /// Forgets what was learned.
    pub fn clear(&mut self) {
        self.text.clear();
        self.scalars.clear();
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

/// Where the string closes that goes on at `at`, if it is one that [`super::Index`] takes.
#[inline]
fn string_end(text: &[u8], at: usize) -> Option<usize> {
    let mut from = at;
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

/// Where the number ends that begins at `at`, if it is one.
fn number_end(text: &[u8], at: usize) -> Option<usize> {
    let mut number = Number::begin(*text.get(at)?)?;
    let mut end = at + 1;
    loop {
        match number.next(text.get(end).copied().unwrap_or(b' ')) {
            Next::Part(next) => number = next,
            Next::After => return Some(end),
            Next::Wrong => return None,
        }
        end += 1;
    }
}
