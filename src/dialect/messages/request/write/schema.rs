//! JSON schemas of tools' inputs: Messages wants an object at the root, and no alternatives there.

use super::put;
use crate::dialect::loss::Losses;
use crate::dialect::raw::copy;
use crate::json::{Kind, Value};
use crate::limits::SCHEMA_MERGE_MAX;

/// How deep alternatives of alternatives, and references, are followed.
const DEPTH_MAX: usize = 8;
const ALTERNATIVES: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const EMPTY: &[u8] = b"{\"type\":\"object\",\"properties\":{}}";

/// Appends a schema that Messages takes. What it takes as it is keeps its bytes.
pub fn write(schema: Option<Value<'_>>, losses: &mut Losses, out: &mut Vec<u8>) {
    let Some(schema) = schema.filter(|schema| schema.kind() == Kind::Object) else {
        return out.extend_from_slice(EMPTY);
    };
    let is_object = schema.get("type").is_some_and(|kind| kind.is("object"));
    let has_properties = schema.get("properties").is_some_and(|properties| properties.kind() == Kind::Object);
    let is_split = schema.get("$ref").is_some() || ALTERNATIVES.iter().any(|word| schema.get(word).is_some());
    if is_object && has_properties && !is_split && schema.get("$schema").is_none() {
        return copy(schema.raw(), out);
    }
    let mut merged = Merged::new(SCHEMA_MERGE_MAX);
    if is_split {
        losses.approximated("tools.function.parameters");
        merged.add(schema, schema, Joined::All, DEPTH_MAX);
    }
    out.extend_from_slice(b"{\"type\":\"object\"");
    for (key, value) in schema.members().filter(|(key, _)| !is_rebuilt(*key, is_split)) {
        out.push(b',');
        copy(key.raw(), out);
        out.push(b':');
        copy(value.raw(), out);
    }
    match schema.get("properties").filter(|_| has_properties && !is_split) {
        Some(properties) => put::raw("properties", properties.raw(), out),
        None => merged.write(out),
    }
    out.push(b'}');
}

/// Members that are written anew, or left out.
fn is_rebuilt(key: Value<'_>, is_split: bool) -> bool {
    let split = ["allOf", "anyOf", "oneOf", "required", "$ref"];
    ["type", "properties", "$schema"].iter().any(|word| key.is(word))
        || is_split && split.iter().any(|word| key.is(word))
}

/// How a schema stands to the root: all of it holds, or it is one of several.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Joined {
    All,
    Any,
}

/// The properties of a root and its branches, as one object's.
struct Merged<'a> {
    properties: Vec<Property<'a>>,
    required: Vec<&'a [u8]>,
    /// So many more steps may be taken.
    steps: usize,
}

struct Property<'a> {
    /// With its quotes.
    name: &'a [u8],
    /// Its schemas, each once.
    schemas: Vec<&'a [u8]>,
    joined: Joined,
}

impl<'a> Merged<'a> {
    fn new(steps: usize) -> Self {
        Self { properties: Vec::new(), required: Vec::new(), steps }
    }

    /// Whether one more step may be taken.
    fn step(&mut self) -> bool {
        let left = self.steps.checked_sub(1);
        self.steps = left.unwrap_or_default();
        left.is_some()
    }

    /// Adds what a schema says of an object. `root` is where its references lead.
    fn add(&mut self, schema: Value<'a>, root: Value<'a>, joined: Joined, depth: usize) {
        let Some(depth) = depth.checked_sub(1).filter(|_| self.step()) else { return };
        for (name, property) in schema.get("properties").into_iter().flat_map(|properties| properties.members()) {
            self.property(name.raw(), property.raw(), joined);
        }
        self.require(names(schema));
        if let Some(target) = schema.get("$ref").and_then(|reference| resolved(reference, root)) {
            self.add(target, root, joined, depth);
        }
        for branch in schema.get("allOf").into_iter().flat_map(|branches| branches.items()) {
            self.add(branch, root, joined, depth);
        }
        for word in ["anyOf", "oneOf"] {
            self.add_one_of(schema.get(word), root, depth);
        }
    }

    /// Of alternatives, only what all of them require is required.
    fn add_one_of(&mut self, branches: Option<Value<'a>>, root: Value<'a>, depth: usize) {
        let mut common: Option<Vec<&'a [u8]>> = None;
        for branch in branches.into_iter().flat_map(|branches| branches.items()) {
            let mut alone = Self::new(self.steps);
            alone.add(branch, root, Joined::Any, depth);
            self.steps = alone.steps;
            for property in alone.properties {
                property.schemas.iter().for_each(|schema| self.property(property.name, schema, Joined::Any));
            }
            common = Some(match common {
                None => alone.required,
                Some(common) => common.into_iter().filter(|name| alone.required.contains(name)).collect(),
            });
        }
        self.require(common.unwrap_or_default().into_iter());
    }

    fn property(&mut self, name: &'a [u8], schema: &'a [u8], joined: Joined) {
        if !self.step() {
            return;
        }
        match self.properties.iter_mut().find(|known| known.name == name) {
            None => self.properties.push(Property { name, schemas: vec![schema], joined }),
            Some(known) if known.schemas.contains(&schema) => {}
            // What the root says holds for all branches.
            Some(known) if known.joined == Joined::All && joined == Joined::Any => {}
            Some(known) => known.schemas.push(schema),
        }
    }

    fn require(&mut self, names: impl Iterator<Item = &'a [u8]>) {
        for name in names {
            if self.step() && !self.required.contains(&name) {
                self.required.push(name);
            }
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        put::key("properties", out);
        out.push(b'{');
        for property in &self.properties {
            put::comma(out);
            copy(property.name, out);
            out.push(b':');
            match (property.schemas.as_slice(), property.joined) {
                ([only], _) => copy(only, out),
                (schemas, Joined::All) => list("allOf", schemas, out),
                (schemas, Joined::Any) => list("anyOf", schemas, out),
            }
        }
        out.push(b'}');
        if !self.required.is_empty() {
            put::key("required", out);
            array(&self.required, out);
        }
    }
}

fn list(word: &str, schemas: &[&[u8]], out: &mut Vec<u8>) {
    out.push(b'{');
    put::key(word, out);
    array(schemas, out);
    out.push(b'}');
}

fn array(items: &[&[u8]], out: &mut Vec<u8>) {
    out.push(b'[');
    for item in items {
        put::comma(out);
        copy(item, out);
    }
    out.push(b']');
}

fn names<'a>(schema: Value<'a>) -> impl Iterator<Item = &'a [u8]> {
    let names = schema.get("required").into_iter().flat_map(|names| names.items());
    names.filter(|name| name.kind() == Kind::String).map(|name| name.raw())
}

/// What a reference within the schema leads to: `#/$defs/Name`, `#/definitions/Name`.
fn resolved<'a>(reference: Value<'a>, root: Value<'a>) -> Option<Value<'a>> {
    let path = reference.text()?;
    let mut words = path.strip_prefix("#/")?.split('/');
    words.try_fold(root, |value, word| value.get(&word.replace("~1", "/").replace("~0", "~")))
}
