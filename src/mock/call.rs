//! Tool calls: which functions a request offers, and arguments that fit their schemas.

#![forbid(unsafe_code)]

use simd_json::{prelude::*, tape::Value};

use super::ask::string;
use super::encode::{decimal, json_string, put};

/// Nesting of a tool's schema that is followed when arguments are made up.
const SCHEMA_DEPTH_MAX: usize = 8;

/// A tool call that the answer may make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// The tool's name.
    pub name: Vec<u8>,
    /// A JSON object that follows the tool's schema.
    pub arguments: Vec<u8>,
}

/// The name in a tool choice: `{"name"}`, or `{"function":{"name"}}` in Chat.
pub fn tool_name<'tape>(choice: &'tape Value<'_, '_>) -> Option<&'tape str> {
    string(choice, "name").or_else(|| {
        choice.get("function").and_then(|function| function.get("name")).and_then(|name| name.into_string())
    })
}

/// Name and schema of a function, in any of the three dialects.
pub fn function<'tape, 'input>(tool: &Value<'tape, 'input>) -> Option<(&'input str, Option<Value<'tape, 'input>>)> {
    let inner = tool.get("function").unwrap_or(*tool);
    let schema = inner.get("parameters").or_else(|| inner.get("input_schema"));
    let is_function = matches!(tool.get("type").and_then(|kind| kind.into_string()), None | Some("function"));
    let name = inner.get("name").and_then(|name| name.into_string())?;
    (is_function || schema.is_some()).then_some((name, schema))
}

/// Appends a value that fits `schema`, well enough for the common keywords.
pub fn arguments(out: &mut Vec<u8>, schema: Option<&Value<'_, '_>>, depth: usize) {
    let Some(schema) = schema.filter(|_| depth < SCHEMA_DEPTH_MAX) else {
        return put(out, &[b"{}"]);
    };
    if let Some(first) = schema.get("enum").and_then(|list| list.as_array()).and_then(|list| list.get(0)) {
        return json_string(out, first.as_str().unwrap_or("mock").as_bytes());
    }
    let kind =
        schema.get("type").and_then(|kind| kind.into_string().or_else(|| kind.as_array()?.get(0)?.into_string()));
    match kind {
        Some("string") => json_string(out, b"mock"),
        Some("integer") => decimal(out, schema.get("minimum").and_then(|number| number.as_u64()).unwrap_or(1)),
        Some("number") => put(out, &[b"1.5"]),
        Some("boolean") => put(out, &[b"true"]),
        Some("null") => put(out, &[b"null"]),
        Some("array") => {
            out.push(b'[');
            arguments(out, schema.get("items").as_ref(), depth + 1);
            out.push(b']');
        }
        _ => object(out, schema, depth),
    }
}

fn object(out: &mut Vec<u8>, schema: &Value<'_, '_>, depth: usize) {
    let required = schema.get("required").and_then(|list| list.as_array());
    let is_required =
        |name: &str| required.as_ref().is_none_or(|list| list.iter().any(|item| item.as_str() == Some(name)));
    out.push(b'{');
    let mut comma = false;
    if let Some(properties) = schema.get("properties").and_then(|properties| properties.as_object()) {
        for (name, schema) in properties.iter().filter(|(name, _)| is_required(name)) {
            put(out, &[if comma { b"," } else { b"" }]);
            json_string(out, name.as_bytes());
            out.push(b':');
            arguments(out, Some(&schema), depth + 1);
            comma = true;
        }
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_follow_the_schema() {
        for (schema, expected) in [
            ("{}", "{}"),
            (
                r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer","minimum":5}}}"#,
                r#"{"a":"mock","b":5}"#,
            ),
            (
                r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"null"}},"required":["b"]}"#,
                r#"{"b":null}"#,
            ),
            (r#"{"properties":{"a":{"enum":["x","y"]},"b":{"type":["number","null"]}}}"#, r#"{"a":"x","b":1.5}"#),
            (
                r#"{"properties":{"a":{"type":"array","items":{"type":"boolean"}},"b":{"properties":{}}}}"#,
                r#"{"a":[true],"b":{}}"#,
            ),
        ] {
            let mut schema = schema.as_bytes().to_vec();
            let tape = simd_json::to_tape(&mut schema).unwrap();
            let mut out = Vec::new();
            arguments(&mut out, Some(&tape.as_value()), 0);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
