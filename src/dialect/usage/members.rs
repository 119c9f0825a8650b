//! Steps through the members of a small object. A full scan would cost more than all else that is done for an answer, and
//! a report that is not JSON only stays unread.

use memchr::memchr2;

/// The members of one object, one after the other. It is done when [`Members::next`] gives nothing more.
#[derive(Debug)]
pub(super) struct Members<'a> {
    /// What was not stepped over.
    rest: &'a [u8],
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before a key, or the object's end.
    Key,
    /// Before a value that was not stepped over.
    Value,
    /// Behind the object.
    End,
}

/// A member's value, as far as a report needs it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A number or a literal, as written.
    Plain(&'a [u8]),
    /// An object: it may be entered, and is stepped over otherwise.
    Object,
    /// A string or an array.
    Other,
}

impl<'a> Members<'a> {
    /// The members of the object at the front of `text`.
    pub fn of(text: &'a [u8]) -> Option<Self> {
        let rest = text.trim_ascii_start().strip_prefix(b"{")?;
        Some(Self { rest, place: Place::Key })
    }

    /// The next member: its key as written (one with escapes in it is none that we know), and its value. Ends where the
    /// text is no object any more.
    pub fn next(&mut self) -> Option<(&'a [u8], Value<'a>)> {
        let mut rest = trimmed(self.skipped()?);
        self.rest = &[];
        if let Some(behind) = rest.strip_prefix(b"}") {
            (self.rest, self.place) = (behind, Place::End);
            return None;
        }
        rest = rest.strip_prefix(b",").map_or(rest, trimmed).strip_prefix(b"\"")?;
        let (key, behind) = rest.split_at_checked(string_end(rest)?)?;
        let value = trimmed(trimmed(behind.strip_prefix(b"\"")?).strip_prefix(b":")?);
        (self.rest, self.place) = (value, Place::Value);
        match value.first()? {
            b'{' => Some((key, Value::Object)),
            b'"' | b'[' => Some((key, Value::Other)),
            _ => {
                let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
                let (plain, behind) = value.split_at_checked(value.iter().position(is_end)?)?;
                (self.rest, self.place) = (behind, Place::Key);
                Some((key, Value::Plain(plain)))
            }
        }
    }

    /// Gives the members of the value that [`Members::next`] just gave, an object, to `step`.
    pub fn enter(&mut self, mut step: impl FnMut(&'a [u8], Value<'a>)) {
        let Some(mut inner) = Self::of(self.rest) else { return };
        while let Some((key, value)) = inner.next() {
            step(key, value);
        }
        (self.rest, self.place) = (inner.behind().unwrap_or_default(), Place::Key);
    }

    /// What follows the object, if its end was reached.
    pub fn behind(&self) -> Option<&'a [u8]> {
        (self.place == Place::End).then_some(self.rest)
    }

    /// What is left behind a value that nobody entered.
    fn skipped(&self) -> Option<&'a [u8]> {
        let end = match (self.place, self.rest.first()?) {
            (Place::End, _) => return None,
            (Place::Key, _) => 0,
            (Place::Value, b'"') => string_end(self.rest.get(1..)?)? + 2,
            (Place::Value, _) => brackets(self.rest, |_, depth| depth == 0)? + 1,
        };
        self.rest.get(end..)
    }
}

/// The text behind white space, of which there is none in nearly every place.
#[inline]
fn trimmed(text: &[u8]) -> &[u8] {
    match text {
        [b' ' | b'\t' | b'\n' | b'\r', ..] => text.trim_ascii_start(),
        _ => text,
    }
}

/// Where the string that `text` stands in closes.
fn string_end(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let found = from + memchr2(b'"', b'\\', text.get(from..)?)?;
        if text.get(found) == Some(&b'"') {
            return Some(found);
        }
        from = found + 2;
    }
}

/// Goes through the brackets outside of strings and gives the place of the first for which `stop`, told its place and the
/// depth behind it, says so.
pub(super) fn brackets(text: &[u8], mut stop: impl FnMut(usize, i32) -> bool) -> Option<usize> {
    let (mut depth, mut at) = (0, 0);
    loop {
        match text.get(at)? {
            b'"' => at += 1 + string_end(text.get(at + 1..)?)?,
            bracket @ (b'{' | b'[' | b'}' | b']') => {
                depth += if matches!(bracket, b'{' | b'[') { 1 } else { -1 };
                if stop(at, depth) {
                    return Some(at);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(object: &[u8]) -> String {
        let Some(mut members) = Members::of(object) else { return "none".to_owned() };
        let mut out = Vec::new();
        while let Some((key, value)) = members.next() {
            out.push(match value {
                Value::Plain(text) => format!("{}={}", key.escape_ascii(), str::from_utf8(text).unwrap()),
                Value::Object if key == b"in" => {
                    let mut inner = Vec::new();
                    members.enter(|key, value| inner.push(format!("{}:{value:?}", key.escape_ascii())));
                    format!("in=({})", inner.join(" "))
                }
                other => format!("{}={other:?}", key.escape_ascii()),
            });
        }
        out.extend(members.behind().map(|behind| format!("+{}", behind.escape_ascii())));
        out.join(" ")
    }

    #[test]
    fn what_is_stepped_through() {
        for (object, want) in [
            ("{}", "+"),
            ("{\"a\":1}", "a=1 +"),
            (" { \"a\" : 1 , \"b\":\"x,}\\\"\" } , 7", "a=1 b=Other + , 7"),
            ("{\"a\":{\"b\":[1,{\"c\":\"]}\"}]},\"d\":null}", "a=Object d=null +"),
            ("{\"a\":[],\"b\":-1.5e3}", "a=Other b=-1.5e3 +"),
            ("{\"in\":{\"x\":1,\"y\":{\"z\":2},\"w\":[3]},\"d\":4}}", "in=(x:Plain([49]) y:Object w:Other) d=4 +}"),
            ("{\"in\":{},\"d\":4}", "in=() d=4 +"),
            // What breaks off, or is none, ends.
            ("{\"a\":1,\"b\":{\"c\":2", "a=1 b=Object"),
            ("{\"a\":1,\"in\":{\"c\":2", "a=1 in=()"),
            ("{\"in\":{\"c\":2,", "in=(c:Plain([50]))"),
            ("{\"a\":1,\"b", "a=1"),
            ("{\"a\"", ""),
            ("{\"a\":", ""),
            ("{\"a\":1", ""),
            ("{a:1}", ""),
            ("[1]", "none"),
            ("", "none"),
        ] {
            assert_eq!(shown(object.as_bytes()), want, "{object}");
        }
    }
}
