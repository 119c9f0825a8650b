//! Tools as models see them.

use super::count::Encode;
use crate::json::Value;
use crate::json::text::decode_lossy;

/// The tokens of a function as OpenAI's models see it: a line with its name and description, then a line for each property,
/// with those of inner objects. All texts are escaped.
pub(super) fn lines(name: &[u8], description: &[u8], schema: Option<&Value<'_>>, encode: Encode<'_>) -> u64 {
    const FUNCTION: u64 = 7;
    let line = [name, b":", description.strip_suffix(b".").unwrap_or(description)];
    FUNCTION + encoded(&line, encode) + schema.map_or(0, |schema| properties(schema, encode))
}

/// A tool's JSON, without white space. All texts are escaped.
pub(super) fn json(name: &[u8], description: &[u8], schema: &[u8], out: &mut Vec<u8>) {
    let before = br#"{"type":"function","function":{"name":""#;
    for part in [&before[..], name, br#"","description":""#, description, br#"","parameters":"#] {
        out.extend_from_slice(part);
    }
    super::text::compact(schema, out);
    out.extend_from_slice(b"}}");
}

fn properties(schema: &Value<'_>, encode: Encode<'_>) -> u64 {
    const PROPERTIES: u64 = 3;
    let own = schema.get("properties").map_or(0, |properties| {
        let lines: u64 = properties.members().map(|(key, property)| property_line(&key, &property, encode)).sum();
        if lines == 0 { 0 } else { PROPERTIES + lines }
    });
    let inner = ["items", "anyOf", "oneOf", "allOf"].iter().filter_map(|key| schema.get(key));
    // One schema, or several.
    let inner: u64 = inner.map(|inner| properties(&inner, encode) + many(inner.items(), encode)).sum();
    let named = ["$defs", "definitions"].iter().filter_map(|key| schema.get(key));
    own + inner + named.map(|named| many(named.members().map(|(_, schema)| schema), encode)).sum::<u64>()
}

fn many<'a>(schemas: impl Iterator<Item = Value<'a>>, encode: Encode<'_>) -> u64 {
    schemas.map(|schema| properties(&schema, encode)).sum()
}

/// `key:type:description`, and the values of an enumeration.
fn property_line(key: &Value<'_>, property: &Value<'_>, encode: Encode<'_>) -> u64 {
    const PROPERTY: u64 = 3;
    const ENUMERATION_LESS: u64 = 3;
    const ENUMERATED: u64 = 3;
    let part = |name| property.get(name).map_or(&b""[..], |value| value.escaped().unwrap_or(value.raw()));
    let description = part("description");
    let line = [
        key.escaped().unwrap_or_default(),
        b":",
        part("type"),
        b":",
        description.strip_suffix(b".").unwrap_or(description),
    ];
    let values = property.get("enum").map_or(0, |values| {
        let values =
            values.items().map(|value| ENUMERATED + encoded(&[value.escaped().unwrap_or(value.raw())], encode));
        values.sum::<u64>().saturating_sub(ENUMERATION_LESS)
    });
    PROPERTY + encoded(&line, encode) + values + properties(property, encode)
}

fn encoded(parts: &[&[u8]], encode: Encode<'_>) -> u64 {
    let mut text = Vec::new();
    parts.iter().for_each(|part| decode_lossy(part, &mut text));
    encode(&String::from_utf8_lossy(&text)) as u64
}
