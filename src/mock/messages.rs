//! Anthropic Messages: the blocking body, the events of a stream, and the error shape.

#![forbid(unsafe_code)]

use super::answer::{Script, Step};
use super::encode::{decimal, hex16, json_string, put};
use super::fault::Part;

/// Appends the blocking answer.
pub fn body(script: &Script, out: &mut Vec<u8>) {
    message_head(script, out);
    for (part, kind) in script.ask.parts.as_slice().iter().enumerate() {
        put(out, &[if part > 0 { b",{" } else { b"{" }]);
        match kind {
            Part::Thinking => {
                put(out, &[b"\"type\":\"thinking\",\"thinking\":\""]);
                script.whole(part, out);
                put(out, &[b"\",\"signature\":\""]);
                signature(script, part, out);
                put(out, &[b"\"}"]);
            }
            Part::Text => {
                put(out, &[b"\"type\":\"text\",\"text\":\""]);
                script.whole(part, out);
                put(out, &[b"\",\"citations\":null}"]);
            }
            Part::Tool => {
                tool_use(script, part, out);
                put(out, &[script.arguments(part), b"}"]);
            }
        }
    }
    put(out, &[b"],\"stop_reason\":\"", stop_reason(script), b"\",\"stop_sequence\":null,\"usage\":"]);
    usage(script, script.output_tokens().0, out);
    put(out, &[b"}"]);
}

/// Appends the events of one step: one block open at a time, indexes from 0 without a gap, the signature last in its block.
pub fn frames(script: &Script, step: Step, out: &mut Vec<u8>) {
    match step {
        Step::Start => {
            put(out, &[b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":"]);
            message_head(script, out);
            put(out, &[b"],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":"]);
            usage(script, 1, out);
            put(out, &[b"}}\n\n"]);
        }
        Step::Open(part) => {
            event(b"content_block_start", part, out);
            put(out, &[b",\"content_block\":{"]);
            match script.ask.parts.get(part) {
                Some(Part::Thinking) => {
                    put(out, &[b"\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n"])
                }
                Some(Part::Tool) => {
                    tool_use(script, part, out);
                    put(out, &[b"{}}}\n\n"]);
                }
                _ => put(out, &[b"\"type\":\"text\",\"text\":\"\"}}\n\n"]),
            }
            if part == 0 {
                put(out, &[b"event: ping\ndata: {\"type\":\"ping\"}\n\n"]);
            }
        }
        Step::Delta(part, at) => {
            event(b"content_block_delta", part, out);
            put(out, &[b",\"delta\":{\"type\":\""]);
            put(
                out,
                &[match script.ask.parts.get(part) {
                    Some(Part::Thinking) => b"thinking_delta\",\"thinking\":\"",
                    Some(Part::Tool) => b"input_json_delta\",\"partial_json\":\"",
                    _ => b"text_delta\",\"text\":\"",
                }],
            );
            script.chunk(part, at, out);
            put(out, &[b"\"}}\n\n"]);
        }
        Step::Close(part) => close(script, part, out),
        Step::Finish => {
            put(
                out,
                &[
                    b"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"",
                    stop_reason(script),
                ],
            );
            put(out, &[b"\",\"stop_sequence\":null},\"usage\":"]);
            usage(script, script.output_tokens().0, out);
            put(out, &[b"}\n\n"]);
        }
        Step::Usage => {}
        Step::End => put(out, &[b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"]),
    }
}

/// The end of a block, after its signature if it has one.
fn close(script: &Script, part: usize, out: &mut Vec<u8>) {
    if script.ask.parts.get(part) == Some(Part::Thinking) {
        event(b"content_block_delta", part, out);
        put(out, &[b",\"delta\":{\"type\":\"signature_delta\",\"signature\":\""]);
        signature(script, part, out);
        put(out, &[b"\"}}\n\n"]);
    }
    event(b"content_block_stop", part, out);
    put(out, &[b"}\n\n"]);
}

/// An event with an index, without the closing brace.
fn event(name: &[u8], index: usize, out: &mut Vec<u8>) {
    put(out, &[b"event: ", name, b"\ndata: {\"type\":\"", name, b"\",\"index\":"]);
    decimal(out, index as u64);
}

/// A message up to the inside of its content.
fn message_head(script: &Script, out: &mut Vec<u8>) {
    put(out, &[b"{\"id\":\""]);
    script.id(b"msg_01", 0, out);
    put(out, &[b"\",\"type\":\"message\",\"role\":\"assistant\",\"model\":"]);
    json_string(out, &script.ask.model);
    put(out, &[b",\"content\":["]);
}

/// A tool_use block up to the value of its input.
fn tool_use(script: &Script, part: usize, out: &mut Vec<u8>) {
    put(out, &[b"\"type\":\"tool_use\",\"id\":\""]);
    script.id(b"toolu_01", part + 1, out);
    put(out, &[b"\",\"name\":"]);
    json_string(out, script.tool(part));
    put(out, &[b",\"input\":"]);
}

fn signature(script: &Script, part: usize, out: &mut Vec<u8>) {
    script.id(b"EqMock", part + 1, out);
    put(out, &[b"=="]);
}

fn stop_reason(script: &Script) -> &'static [u8] {
    if script.ask.parts.has(Part::Tool) { b"tool_use" } else { b"end_turn" }
}

fn usage(script: &Script, output: u64, out: &mut Vec<u8>) {
    put(out, &[b"{\"input_tokens\":"]);
    decimal(out, script.ask.prompt_tokens);
    put(out, &[b",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":"]);
    decimal(out, output);
    put(out, &[b",\"service_tier\":\"standard\"}"]);
}

/// Appends an error body. It names the same request id as the head.
pub fn error(status: u16, message: &str, number: u64, out: &mut Vec<u8>) {
    put(out, &[b"{\"type\":\"error\",\"error\":{\"type\":\"", class(status).as_bytes(), b"\",\"message\":"]);
    json_string(out, message.as_bytes());
    put(out, &[b"},\"request_id\":\"req_"]);
    hex16(out, number);
    put(out, &[b"\"}"]);
}

/// The `error.type` Anthropic gives an error of this status.
#[must_use]
pub fn class(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::answer::tests::{events, parsed, script, stream};
    use crate::mock::route::Dialect;
    use simd_json::prelude::*;

    #[test]
    fn event_names_equal_types_in_the_order_of_the_protocol() {
        let script = script(Dialect::Messages, &[Part::Thinking, Part::Tool]);
        let wire = stream(&script).concat();
        let mut names = Vec::new();
        for (frame, event) in wire.split_terminator("\n\n").zip(events(&script)) {
            let name = frame.lines().next().unwrap().strip_prefix("event: ").unwrap().to_owned();
            assert_eq!(event["type"].as_str(), Some(name.as_str()));
            names.push(name);
        }
        names.dedup();
        let (start, delta, stop) = ("content_block_start", "content_block_delta", "content_block_stop");
        assert_eq!(
            names,
            ["message_start", start, "ping", delta, stop, start, delta, stop, "message_delta", "message_stop"]
        );
    }

    #[test]
    fn the_stream_says_what_the_body_says() {
        let script = script(Dialect::Messages, &[Part::Thinking, Part::Text, Part::Tool]);
        let body = parsed(|out| super::body(&script, out));
        let mut texts = [String::new(), String::new(), String::new()];
        let mut signed = None;
        for event in events(&script).iter().filter(|event| event["type"] == "content_block_delta") {
            let delta = &event["delta"];
            let text = ["thinking", "text", "partial_json"]
                .iter()
                .find_map(|name| delta.get(*name))
                .and_then(|text| text.as_str());
            texts[event["index"].as_usize().unwrap()].push_str(text.unwrap_or_default());
            signed = delta.get("signature").cloned().or(signed);
        }
        let content = &body["content"];
        assert_eq!(content[0]["thinking"].as_str(), Some(texts[0].as_str()));
        assert_eq!(Some(&content[0]["signature"]), signed.as_ref());
        assert_eq!(content[1]["text"].as_str(), Some(texts[1].as_str()));
        assert_eq!(content[2]["input"], simd_json::to_owned_value(&mut texts[2].clone().into_bytes()).unwrap());
        assert_eq!(body["stop_reason"], "tool_use");
    }

    #[test]
    fn errors_carry_the_class_of_their_status() {
        for (status, kind) in [
            (400, "invalid_request_error"),
            (422, "invalid_request_error"),
            (401, "authentication_error"),
            (404, "not_found_error"),
            (413, "request_too_large"),
            (429, "rate_limit_error"),
            (500, "api_error"),
            (529, "overloaded_error"),
        ] {
            let body = parsed(|out| error(status, "no", 0x1f, out));
            assert_eq!(
                (body["type"].as_str(), body["error"]["type"].as_str()),
                (Some("error"), Some(kind)),
                "{status}"
            );
            assert_eq!(body["request_id"], "req_000000000000001f");
        }
    }
}
