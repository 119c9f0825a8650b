//! What Anthropic's servers ran in earlier turns, told in words: other servers know neither the calls nor the results, but
//! the conversation goes on from them.

use crate::dialect::raw;
use crate::json::{Kind, Value};

/// The block as a line or several of text, escaped; `None` where there is nothing to tell, or it is no such block.
pub(super) fn in_words(kind: &[u8], value: &Value<'_>) -> Option<Vec<u8>> {
    let mut told = Vec::new();
    match kind {
        b"server_tool_use" | b"mcp_tool_use" => {
            line(&mut told, &[b"[", escaped(value, "name")?, b"]"]);
            let input = value.get("input")?;
            match ["query", "url"].into_iter().find_map(|key| escaped(&input, key)) {
                Some(about) => told.extend_from_slice(&[b" ", about].concat()),
                None => {
                    told.push(b' ');
                    raw::escape(input.raw(), &mut told);
                }
            }
        }
        b"compaction" => line(&mut told, &[escaped(value, "content")?]),
        _ if kind.ends_with(b"tool_result") => result(&value.get("content")?, 0, &mut told),
        _ => return None,
    }
    if told.is_empty() {
        return None;
    }
    // A line of its own among the texts around it.
    told.extend_from_slice(br"\n");
    Some(told)
}

/// Results hold lists of objects that hold what was found.
const DEEPEST: usize = 3;

fn result(value: &Value<'_>, depth: usize, told: &mut Vec<u8>) {
    if depth > DEEPEST {
        return;
    }
    match value.kind() {
        Kind::String => line(told, &[value.escaped().unwrap_or_default()]),
        Kind::Array => value.items().for_each(|item| result(&item, depth + 1, told)),
        Kind::Object => found(value, depth, told),
        _ => {}
    }
}

fn found(value: &Value<'_>, depth: usize, told: &mut Vec<u8>) {
    let get = |key| escaped(value, key);
    if let Some(code) = get("error_code") {
        line(told, &[b"- error: ", code]);
    }
    match (get("title"), get("url"), get("tool_name")) {
        (Some(title), Some(url), _) => line(told, &[b"- ", title, b": ", url]),
        (_, Some(only), _) | (_, _, Some(only)) => line(told, &[b"- ", only]),
        _ => {}
    }
    for text in ["text", "stdout", "stderr"].into_iter().filter_map(get).filter(|text| !text.is_empty()) {
        line(told, &[text]);
    }
    for inner in ["content", "source", "tool_references"].into_iter().filter_map(|key| value.get(key)) {
        result(&inner, depth + 1, told);
    }
    // A document's text.
    if let Some(data) = get("data").filter(|_| value.get("type").is_some_and(|kind| kind.is("text"))) {
        line(told, &[data]);
    }
}

/// Begins a line.
fn line(told: &mut Vec<u8>, pieces: &[&[u8]]) {
    told.extend_from_slice(br"\n");
    pieces.iter().for_each(|piece| told.extend_from_slice(piece));
}

fn escaped<'a>(value: &Value<'a>, key: &str) -> Option<&'a [u8]> {
    value.get(key)?.escaped()
}
