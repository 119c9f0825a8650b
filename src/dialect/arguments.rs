//! A tool call's arguments: Chat says them as a string that should hold a JSON object, Messages as the object itself.
//!
//! What models write into that string is no JSON at times. It becomes an object all the same, for a conversation in which
//! such a call stands must go on: the tool answers that it was called wrongly, and the model tries again.

use crate::json::text::{copy_escaped, decode_lossy, encode};
use crate::json::{Index, Kind};

/// Appends the object that a string of arguments stands for. `escaped` is the string's content, as it stands in JSON; of
/// one that came in pieces, all of them one after the other.
///
/// | the string holds | the object |
/// |---|---|
/// | an object | it, as it is spelt |
/// | nothing, `null` | `{}` |
/// | a string that holds one of these | the same |
/// | any other value | `{"value": …}` |
/// | an object with raw control characters, unknown escapes, a trailing comma, or its end missing | it, repaired |
/// | anything else | `{"_raw_arguments": "…"}` |
pub fn object(escaped: &[u8], out: &mut Vec<u8>) {
    let mut plain = Vec::with_capacity(escaped.len());
    decode_lossy(escaped, &mut plain);
    let mut index = Index::default();
    if let Ok(value) = index.read(&plain) {
        match value.escaped() {
            Some(inner) => return twice_encoded(value.raw(), inner, out),
            None => return json(value.kind(), value.raw(), out),
        }
    }
    if plain.trim_ascii().is_empty() {
        return out.extend_from_slice(b"{}");
    }
    match repaired(&plain) {
        Some(object) => out.extend_from_slice(&object),
        None => {
            out.extend_from_slice(b"{\"_raw_arguments\":");
            encode(&plain, out);
            out.push(b'}');
        }
    }
}

/// Appends the object that a JSON value of arguments stands for: itself, `{}` for `null`, `{"value": …}` for another.
pub fn json(kind: Kind, raw: &[u8], out: &mut Vec<u8>) {
    match kind {
        Kind::Object => out.extend_from_slice(raw),
        Kind::Null => out.extend_from_slice(b"{}"),
        _ => {
            out.extend_from_slice(b"{\"value\":");
            out.extend_from_slice(raw);
            out.push(b'}');
        }
    }
}

/// Appends the text, still escaped, with which a tool of free text was called: other dialects call it with an object that
/// holds it as `input` ([`super::turn::Terms::free_text_tools`]). Of arguments that hold no such text, all are.
pub fn free_text(escaped: &[u8], out: &mut Vec<u8>) {
    let mut plain = Vec::with_capacity(escaped.len());
    decode_lossy(escaped, &mut plain);
    let mut index = Index::default();
    let input = index.read(&plain).ok().and_then(|object| object.get("input")?.escaped());
    copy_escaped(input.unwrap_or(escaped), out);
}

/// Some servers encode the object twice. A string that is no object either was meant as a value.
fn twice_encoded(raw: &[u8], escaped: &[u8], out: &mut Vec<u8>) {
    let mut plain = Vec::new();
    decode_lossy(escaped, &mut plain);
    match Index::default().read(&plain) {
        Ok(value) if matches!(value.kind(), Kind::Object | Kind::Null) => json(value.kind(), value.raw(), out),
        _ if plain.trim_ascii().is_empty() => out.extend_from_slice(b"{}"),
        _ => json(Kind::String, raw, out),
    }
}

/// The object, if it is one but for what models get wrong most often.
fn repaired(text: &[u8]) -> Option<Vec<u8>> {
    let mut repair = Repair { out: Vec::with_capacity(text.len() + 8), open: Vec::new() };
    repair.run(text.trim_ascii())?;
    let is_object = Index::default().read(&repair.out).is_ok_and(|value| value.kind() == Kind::Object);
    is_object.then_some(repair.out)
}

struct Repair {
    out: Vec<u8>,
    /// The brackets that would close what is open.
    open: Vec<u8>,
}

impl Repair {
    fn run(&mut self, mut rest: &[u8]) -> Option<()> {
        while let [byte, after @ ..] = rest {
            rest = after;
            match byte {
                b'"' => rest = self.string(after),
                b'{' => self.opened(*byte, b'}'),
                b'[' => self.opened(*byte, b']'),
                b'}' | b']' if self.open.pop() == Some(*byte) => self.out.push(*byte),
                b'}' | b']' => return None,
                b',' if matches!(after.trim_ascii_start().first(), None | Some(b'}' | b']')) => {}
                _ => self.out.push(*byte),
            }
        }
        while let Some(bracket) = self.open.pop() {
            self.out.push(bracket);
        }
        Some(())
    }

    fn opened(&mut self, bracket: u8, closing: u8) {
        self.out.push(bracket);
        self.open.push(closing);
    }

    /// Copies a string behind its quote; what follows it. It is closed if the text ends in it.
    fn string<'a>(&mut self, mut rest: &'a [u8]) -> &'a [u8] {
        self.out.push(b'"');
        loop {
            rest = match rest {
                [b'"', after @ ..] => {
                    self.out.push(b'"');
                    return after;
                }
                [b'\\', after @ ..] => self.escape(after),
                [control @ 0..0x20, after @ ..] => {
                    let mut escaped = Vec::new();
                    crate::json::text::escape(&[*control], &mut escaped);
                    self.out.extend_from_slice(&escaped);
                    after
                }
                [byte, after @ ..] => {
                    self.out.push(*byte);
                    after
                }
                [] => {
                    self.out.push(b'"');
                    return rest;
                }
            };
        }
    }

    /// Copies an escape behind its backslash; what follows it. One cut short by the end is left out, and of one that JSON
    /// does not know (`\d` in a pattern, `\'`) the backslash was meant.
    fn escape<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        match rest {
            [] => rest,
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', after @ ..] => {
                self.out.push(b'\\');
                self.out.extend_from_slice(rest.get(..1).unwrap_or_default());
                after
            }
            [b'u', digits @ ..] => {
                let count = digits.iter().take(4).take_while(|digit| digit.is_ascii_hexdigit()).count();
                match (count, digits.get(count..).unwrap_or_default()) {
                    (4, after) => {
                        self.out.push(b'\\');
                        self.out.extend_from_slice(rest.get(..5).unwrap_or_default());
                        after
                    }
                    (_, []) => &[],
                    _ => {
                        self.out.extend_from_slice(b"\\\\u");
                        digits
                    }
                }
            }
            [_, ..] => {
                self.out.extend_from_slice(b"\\\\");
                rest
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object_of(arguments: &[u8]) -> String {
        let (mut escaped, mut out) = (Vec::new(), Vec::new());
        crate::json::text::escape(arguments, &mut escaped);
        object(&escaped, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn objects() {
        #[rustfmt::skip]
        let table = [
            (r#"{"a": 1.50, "big": 12345678901234567890}"#, r#"{"a": 1.50, "big": 12345678901234567890}"#),
            (" {\"a\":\"\\ud83d\\n\"}\n",                    "{\"a\":\"\\ud83d\\n\"}"),
            ("",                                            "{}"),
            (" \n",                                         "{}"),
            ("null",                                        "{}"),
            (r#""""#,                                       "{}"),
            (r#""null""#,                                   "{}"),
            (r#""{\"a\":\"x\\n\"}""#,                       r#"{"a":"x\n"}"#),
            (r#""just text""#,                              r#"{"value":"just text"}"#),
            (r#""[1]""#,                                    r#"{"value":"[1]"}"#),
            ("42",                                          r#"{"value":42}"#),
            ("[1, 2]",                                      r#"{"value":[1, 2]}"#),
            ("true",                                        r#"{"value":true}"#),
            ("{\"a\":\"two\nlines\t\"}",                     r#"{"a":"two\nlines\t"}"#),
            (r#"{"a":[1,2,],}"#,                            r#"{"a":[1,2]}"#),
            (r#"{"a":{"b":"c"#,                             r#"{"a":{"b":"c"}}"#),
            (r#"{"a":[1, {"b":2}, "#,                       r#"{"a":[1, {"b":2}]}"#),
            (r#"{"a":"cut \"#,                              r#"{"a":"cut "}"#),
            (r#"{"a":"cut \u00"#,                           r#"{"a":"cut "}"#),
            (r#"{"a":"\d\u00zz\'"}"#,                       r#"{"a":"\\d\\u00zz\\'"}"#),
            ("{",                                           "{}"),
            (r#"{"a":"#,                                    r#"{"_raw_arguments":"{\"a\":"}"#),
            (r#"{"a"#,                                      r#"{"_raw_arguments":"{\"a"}"#),
            ("[1,",                                         r#"{"_raw_arguments":"[1,"}"#),
            ("{}{}",                                        r#"{"_raw_arguments":"{}{}"}"#),
            ("{]",                                          r#"{"_raw_arguments":"{]"}"#),
            ("ls -la",                                      r#"{"_raw_arguments":"ls -la"}"#),
        ];
        for (arguments, expected) in table {
            assert_eq!(object_of(arguments.as_bytes()), expected, "{arguments}");
        }
    }

    #[test]
    fn values() {
        let table = [("{ }", "{ }"), ("null", "{}"), ("7", "{\"value\":7}"), ("[]", "{\"value\":[]}")];
        for (raw, expected) in table {
            let (mut index, mut out) = (Index::default(), Vec::new());
            let value = index.read(raw.as_bytes()).unwrap();
            json(value.kind(), value.raw(), &mut out);
            assert_eq!(out, expected.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn always_an_object(arguments in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            "[\\[\\]{},:\"a1\\\\u\\n .-]{0,24}".prop_map(String::into_bytes),
        ]) {
            prop_assert!(serde_json::from_str::<serde_json::Map<_, _>>(&object_of(&arguments)).is_ok());
            // Pieces of a stream that was cut may end within an escape.
            let mut out = Vec::new();
            object(&arguments, &mut out);
            prop_assert!(serde_json::from_slice::<serde_json::Map<_, _>>(&out).is_ok());
        }

        #[test]
        fn objects_keep_their_spelling(text in "[^\\p{C}]{0,20}", number in "-?[1-9][0-9]{0,30}(\\.[0-9]{1,9}0)?") {
            let object = format!("{{ {}:\t{number}}}", serde_json::to_string(&text).unwrap());
            prop_assert_eq!(object_of(object.as_bytes()), object);
        }
    }
}
