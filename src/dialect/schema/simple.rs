//! Schemas in the form that Gemini's servers know: a part of OpenAPI 3.0. References are replaced by what they name.

use super::Object;
use crate::json::{Index, Kind, Value};

/// Replaces the schema at the end of `out` by a simple one. Whether something was lost.
pub(super) fn simplify(begin: usize, out: &mut Vec<u8>) -> bool {
    let written = out.split_off(begin);
    let mut index = Index::default();
    let Ok(root) = index.read(&written) else {
        out.extend_from_slice(&written);
        return false;
    };
    let mut simple = Simple { root, references: REFERENCES_MAX, lost: false, out };
    simple.schema(&root, 0);
    simple.lost
}

/// References that are followed in one schema: they may lead in circles.
const REFERENCES_MAX: usize = 64;
/// How deep schemas may lie in each other, references followed.
const DEEPEST: usize = 24;

const KEPT: [&str; 15] = [
    "title",
    "description",
    "nullable",
    "maxItems",
    "minItems",
    "required",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "propertyOrdering",
    "default",
    "minimum",
    "maximum",
];
const FORMATS: [&str; 6] = ["enum", "date-time", "int32", "int64", "float", "double"];

struct Simple<'a, 'o> {
    root: Value<'a>,
    references: usize,
    lost: bool,
    out: &'o mut Vec<u8>,
}

impl<'a> Simple<'a, '_> {
    fn schema(&mut self, schema: &Value<'a>, depth: usize) {
        let named = schema.get("$ref").map(|reference| self.named(&reference));
        let Some(schema) = named.unwrap_or(Some(*schema)).filter(|_| depth < DEEPEST) else {
            self.lost = true;
            self.out.extend_from_slice(b"{\"type\":\"object\"}");
            return;
        };
        // Its own members, and those of what it must be as well.
        let also = schema.get("allOf").into_iter().flat_map(|list| list.items()).flat_map(|branch| branch.members());
        let mut written: Vec<&[u8]> = Vec::new();
        self.out.push(b'{');
        for (key, value) in schema.members().chain(also) {
            if key.is("allOf") || written.contains(&key.raw()) {
                continue;
            }
            let before = self.out.len();
            if !written.is_empty() {
                self.out.push(b',');
            }
            let begin = self.out.len();
            self.member(&key, &value, &schema, depth);
            match self.out.len() > begin {
                true => written.push(key.raw()),
                false => {
                    self.lost = true;
                    self.out.truncate(before);
                }
            }
        }
        self.out.push(b'}');
    }

    /// What a reference names; those into other documents name nothing.
    fn named(&mut self, reference: &Value<'a>) -> Option<Value<'a>> {
        self.references = self.references.checked_sub(1)?;
        let path = reference.text()?;
        let found = path.strip_prefix("#/")?.split('/').try_fold(self.root, |value, name| value.get(name))?;
        // One that names another is followed when it is written.
        (found.kind() == Kind::Object).then_some(found)
    }

    /// Appends a member, or nothing.
    fn member(&mut self, key: &Value<'a>, value: &Value<'a>, of: &Value<'a>, depth: usize) {
        let has = |key| of.get(key).is_some();
        let name = key.text().unwrap_or_default();
        match name.as_str() {
            "type" => self.kind(value, has("anyOf") || has("oneOf")),
            "properties" if value.kind() == Kind::Object => {
                self.key("properties");
                self.out.push(b'{');
                for (place, (key, value)) in value.members().enumerate() {
                    if place > 0 {
                        self.out.push(b',');
                    }
                    self.out.extend_from_slice(key.raw());
                    self.out.push(b':');
                    self.schema(&value, depth + 1);
                }
                self.out.push(b'}');
            }
            "items" if value.kind() == Kind::Object => {
                self.key("items");
                self.schema(value, depth + 1);
            }
            "oneOf" if has("anyOf") => {}
            "anyOf" | "oneOf" if value.kind() == Kind::Array => {
                self.key("anyOf");
                self.list(value.items(), |simple, branch| simple.schema(&branch, depth + 1));
            }
            "const" if value.kind() == Kind::String => self.put("enum", &[b"[", value.raw(), b"]"].concat()),
            "enum" => {
                let strings: Vec<_> = value.items().filter(|item| item.kind() == Kind::String).collect();
                if !strings.is_empty() {
                    self.lost |= strings.len() < value.items().count();
                    self.key("enum");
                    self.list(strings.iter(), |simple, item| simple.out.extend_from_slice(item.raw()));
                }
            }
            "format" if FORMATS.iter().any(|format| value.is(format)) => self.put("format", value.raw()),
            _ if KEPT.contains(&name.as_str()) => self.put(&name, value.raw()),
            _ => {}
        }
    }

    /// One type; of several, any of them, unless there is such a choice already.
    fn kind(&mut self, value: &Value<'a>, has_choice: bool) {
        if value.kind() == Kind::String {
            return self.put("type", value.raw());
        }
        let kinds: Vec<_> = value.items().filter(|kind| !kind.is("null")).collect();
        let is_nullable = kinds.len() < value.items().count();
        match kinds.as_slice() {
            [] => return,
            [_, _, ..] if has_choice => return,
            [kind] => self.put("type", kind.raw()),
            several => {
                self.key("anyOf");
                self.list(several.iter(), |simple, kind| {
                    let mut object = Object::begin(simple.out);
                    object.member(b"\"type\"", kind.raw());
                    object.end();
                });
            }
        }
        if is_nullable {
            self.out.push(b',');
            self.put("nullable", b"true");
        }
    }

    fn key(&mut self, name: &str) {
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn put(&mut self, name: &str, raw: &[u8]) {
        self.key(name);
        self.out.extend_from_slice(raw);
    }

    fn list<T>(&mut self, items: impl Iterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.out.push(b'[');
        for (place, item) in items.enumerate() {
            if place > 0 {
                self.out.push(b',');
            }
            write(self, item);
        }
        self.out.push(b']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simple(schema: &str) -> (String, bool) {
        let mut out = schema.as_bytes().to_vec();
        let lost = simplify(0, &mut out);
        (String::from_utf8(out).unwrap(), lost)
    }

    #[test]
    fn made_simple() {
        #[rustfmt::skip]
        let table = [
            (r#"{"type":"object","properties":{"a":{"type":"string"}}}"#, r#"{"type":"object","properties":{"a":{"type":"string"}}}"#, false),
            (r#"{"$schema":"x","type":"object","additionalProperties":false}"#, r#"{"type":"object"}"#, true),
            // A property may have any name.
            (r#"{"properties":{"const":{"type":"string","format":"uri"}}}"#, r#"{"properties":{"const":{"type":"string"}}}"#, true),
            (r#"{"type":["string","null"]}"#, r#"{"type":"string","nullable":true}"#, false),
            (r#"{"type":["string","integer"]}"#, r#"{"anyOf":[{"type":"string"},{"type":"integer"}]}"#, false),
            (r#"{"const":"a"}"#, r#"{"enum":["a"]}"#, false),
            (r#"{"enum":["a",1]}"#, r#"{"enum":["a"]}"#, true),
            (r#"{"enum":[1,2]}"#, r#"{}"#, true),
            (r##"{"properties":{"a":{"$ref":"#/$defs/b"}},"$defs":{"b":{"type":"number","multipleOf":2}}}"##,
             r#"{"properties":{"a":{"type":"number"}}}"#, true),
            (r##"{"items":{"$ref":"other.json#/x"}}"##, r#"{"items":{"type":"object"}}"#, true),
            (r#"{"description":"d","allOf":[{"type":"string","minLength":1}]}"#, r#"{"description":"d","type":"string","minLength":1}"#, false),
            (r#"{"items":{"oneOf":[{"type":"string"},{"const":1}]}}"#, r#"{"items":{"anyOf":[{"type":"string"},{}]}}"#, true),
        ];
        for (given, want, lost) in table {
            assert_eq!(simple(given), (want.to_owned(), lost), "{given}");
        }
    }

    #[test]
    fn references_in_circles_end() {
        let (text, lost) = simple(
            r##"{"$defs":{"a":{"properties":{"x":{"$ref":"#/$defs/a"},"y":{"$ref":"#/$defs/a"}}}},"properties":{"a":{"$ref":"#/$defs/a"}}}"##,
        );
        assert!(
            lost && text.len() < 20_000 && serde_json::from_str::<serde_json::Value>(&text).is_ok(),
            "{}",
            text.len()
        );
    }
}
