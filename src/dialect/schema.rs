//! JSON schemas of tools and answers, in the form that a server takes; what need not change keeps its spelling.

mod simple;

use std::collections::HashSet;

use super::profile::{Flag, Profile};
use super::raw;
use crate::json::{Kind, Value};

/// Appends a tool's schema: an object with properties, whatever was given. Whether something was lost.
pub fn write_parameters(schema: Option<&Value<'_>>, profile: &Profile, out: &mut Vec<u8>) -> bool {
    let Some(schema) = schema.filter(|schema| schema.kind() == Kind::Object) else {
        out.extend_from_slice(b"{\"type\":\"object\",\"properties\":{}}");
        return schema.is_some();
    };
    let begin = out.len();
    let merged = profile.has(Flag::MergeUnions) && UNIONS.iter().any(|union| schema.get(union).is_some());
    match merged {
        true => merge(schema, out),
        false => whole(schema, out),
    }
    if profile.has(Flag::SimpleSchemas) {
        return simple::simplify(begin, out) || merged;
    }
    merged
}

/// Appends the schema of an answer. Whether something was lost.
pub fn write_answer(schema: &Value<'_>, profile: &Profile, out: &mut Vec<u8>) -> bool {
    let begin = out.len();
    raw::copy(schema.raw(), out);
    profile.has(Flag::SimpleSchemas) && simple::simplify(begin, out)
}

const UNIONS: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// The schema with what servers demand of a tool's: `type` and `properties`, and no `$schema`.
fn whole(schema: &Value<'_>, out: &mut Vec<u8>) {
    let is_object = schema.get("type").is_some_and(|kind| kind.is("object"));
    let has_properties = schema.get("properties").is_some_and(|properties| properties.kind() == Kind::Object);
    let has_dialect = schema.members().any(|(key, _)| key.is("$schema"));
    if is_object && has_properties && !has_dialect {
        return raw::copy(schema.raw(), out);
    }
    let mut object = Object::begin(out);
    object.member(b"\"type\"", b"\"object\"");
    for (key, value) in schema.members() {
        let is_replaced = key.is("type") || key.is("$schema") || (key.is("properties") && !has_properties);
        if !is_replaced {
            object.member(key.raw(), value.raw());
        }
    }
    if !has_properties {
        object.member(b"\"properties\"", b"{}");
    }
    object.end();
}

/// The schema with the branches of the unions at its root taken together: all their properties, of which those are
/// required that every choice requires.
fn merge(schema: &Value<'_>, out: &mut Vec<u8>) {
    let branches = |union: &str| {
        let branches = schema.get(union).into_iter().flat_map(|list| list.items());
        branches.filter(|branch| branch.kind() == Kind::Object).collect::<Vec<_>>()
    };
    let names = |of: &Value<'_>| -> Vec<Vec<u8>> {
        of.get("required")
            .into_iter()
            .flat_map(|list| list.items())
            .filter_map(|name| name.escaped().map(<[u8]>::to_vec))
            .collect()
    };
    let mut required = names(schema);
    branches("allOf").iter().for_each(|branch| required.extend(names(branch)));
    for union in ["anyOf", "oneOf"] {
        let all = branches(union);
        let Some((first, others)) = all.split_first() else {
            continue;
        };
        let others: Vec<HashSet<_>> = others.iter().map(|branch| names(branch).into_iter().collect()).collect();
        required.extend(names(first).into_iter().filter(|name| others.iter().all(|other| other.contains(name))));
    }
    let mut object = Object::begin(out);
    object.member(b"\"type\"", b"\"object\"");
    object.key(b"\"properties\"");
    let mut properties = Object::begin(object.out);
    let mut seen = HashSet::new();
    let all = std::iter::once(*schema).chain(UNIONS.iter().flat_map(|union| branches(union)));
    for (key, value) in all.filter_map(|branch| branch.get("properties")).flat_map(|properties| properties.members()) {
        if seen.insert(key.raw()) {
            properties.member(key.raw(), value.raw());
        }
    }
    properties.end();
    let mut listed = HashSet::new();
    required.retain(|name| listed.insert(name.clone()));
    if !required.is_empty() {
        let names: Vec<_> = required.iter().map(|name| [b"\"", name.as_slice(), b"\""].concat()).collect();
        object.member(b"\"required\"", &[b"[", names.join(&b","[..]).as_slice(), b"]"].concat());
    }
    for (key, value) in schema.members() {
        let is_done = ["type", "properties", "required", "$schema"].iter().chain(&UNIONS).any(|done| key.is(done));
        if !is_done {
            object.member(key.raw(), value.raw());
        }
    }
    object.end();
}

/// An object being written.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl<'o> Object<'o> {
    fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    /// A key with its quotes.
    fn key(&mut self, key: &[u8]) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
        raw::copy(key, self.out);
        self.out.push(b':');
    }

    fn member(&mut self, key: &[u8], value: &[u8]) {
        self.key(key);
        raw::copy(value, self.out);
    }

    fn end(self) {
        self.out.push(b'}');
    }
}
