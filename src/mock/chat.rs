//! OpenAI Chat Completions: the blocking body, the chunks of a stream, and the error shape of all OpenAI endpoints.

#![forbid(unsafe_code)]

use super::answer::{Script, Step};
use super::encode::{decimal, json_string, put};
use super::fault::Part;

/// Appends the blocking answer.
pub fn body(script: &Script, out: &mut Vec<u8>) {
    head(script, b"chat.completion", out);
    put(out, &[b",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"]);
    strings_of(script, Part::Text, out);
    put(out, &[b",\"refusal\":null"]);
    if script.ask.parts.has(Part::Thinking) {
        put(out, &[b",\"reasoning_content\":"]);
        strings_of(script, Part::Thinking, out);
    }
    if script.ask.parts.has(Part::Tool) {
        put(out, &[b",\"tool_calls\":["]);
        for (part, _) in script.ask.parts.as_slice().iter().enumerate().filter(|(_, kind)| **kind == Part::Tool) {
            put(out, &[if script.tool_index(part) > 0 { b",{" } else { b"{" }]);
            call(script, part, out);
            script.whole(part, out);
            put(out, &[b"\"}}"]);
        }
        put(out, &[b"]"]);
    }
    put(out, &[b"},\"logprobs\":null,\"finish_reason\":\"", finish_reason(script), b"\"}],"]);
    usage(script, out);
    put(out, &[b",\"system_fingerprint\":\"fp_mock\",\"service_tier\":\"default\"}"]);
}

/// Appends the chunk of one step, if there is one for it. Exactly one finish chunk, id and name of a call once,
/// indexes from 0 without a gap: stream helpers break on anything else.
pub fn frames(script: &Script, step: Step, out: &mut Vec<u8>) {
    match step {
        Step::Start => {
            open(script, out);
            close(script, &[b"\"role\":\"assistant\",\"content\":\"\",\"refusal\":null"], b"null", out);
        }
        Step::Open(part) if script.ask.parts.get(part) == Some(Part::Tool) => {
            open(script, out);
            put(out, &[b"\"tool_calls\":[{\"index\":"]);
            decimal(out, script.tool_index(part) as u64);
            put(out, &[b","]);
            call(script, part, out);
            close(script, &[b"\"}}]"], b"null", out);
        }
        Step::Delta(part, at) => delta(script, part, at, out),
        Step::Finish => {
            open(script, out);
            let reason: &[u8] = if script.ask.parts.has(Part::Tool) { b"\"tool_calls\"" } else { b"\"stop\"" };
            close(script, &[], reason, out);
        }
        Step::Usage if script.ask.extra => {
            put(out, &[b"data: "]);
            head(script, b"chat.completion.chunk", out);
            put(out, &[b",\"system_fingerprint\":\"fp_mock\",\"choices\":[],"]);
            usage(script, out);
            put(out, &[b"}\n\n"]);
        }
        Step::End => put(out, &[b"data: [DONE]\n\n"]),
        Step::Open(_) | Step::Close(_) | Step::Usage => {}
    }
}

fn delta(script: &Script, part: usize, at: usize, out: &mut Vec<u8>) {
    open(script, out);
    match script.ask.parts.get(part) {
        Some(Part::Tool) => {
            put(out, &[b"\"tool_calls\":[{\"index\":"]);
            decimal(out, script.tool_index(part) as u64);
            put(out, &[b",\"function\":{\"arguments\":\""]);
            script.chunk(part, at, out);
            close(script, &[b"\"}}]"], b"null", out);
        }
        kind => {
            put(out, &[if kind == Some(Part::Thinking) { b"\"reasoning_content\":\"" } else { b"\"content\":\"" }]);
            script.chunk(part, at, out);
            close(script, &[b"\""], b"null", out);
        }
    }
}

/// `{"id","object","created","model"`, without the closing brace.
fn head(script: &Script, object: &[u8], out: &mut Vec<u8>) {
    put(out, &[b"{\"id\":\""]);
    script.id(b"chatcmpl-", 0, out);
    put(out, &[b"\",\"object\":\"", object, b"\",\"created\":"]);
    decimal(out, script.created);
    put(out, &[b",\"model\":"]);
    json_string(out, &script.ask.model);
}

/// A chunk up to the inside of its delta.
fn open(script: &Script, out: &mut Vec<u8>) {
    put(out, &[b"data: "]);
    head(script, b"chat.completion.chunk", out);
    put(out, &[b",\"system_fingerprint\":\"fp_mock\",\"choices\":[{\"index\":0,\"delta\":{"]);
}

/// The rest of a chunk: the last members of its delta, its finish reason, and `usage:null` if usage was asked for.
fn close(script: &Script, members: &[&[u8]], finish: &[u8], out: &mut Vec<u8>) {
    put(out, members);
    put(out, &[b"},\"logprobs\":null,\"finish_reason\":", finish, b"}]"]);
    put(out, &[if script.ask.extra { b",\"usage\":null}\n\n" } else { b"}\n\n" }]);
}

/// A tool call up to the inside of its arguments, which are a string.
fn call(script: &Script, part: usize, out: &mut Vec<u8>) {
    put(out, &[b"\"id\":\""]);
    script.id(b"call_", part + 1, out);
    put(out, &[b"\",\"type\":\"function\",\"function\":{\"name\":"]);
    json_string(out, script.tool(part));
    put(out, &[b",\"arguments\":\""]);
}

/// All parts of a kind as one string, or null if there are none.
fn strings_of(script: &Script, wanted: Part, out: &mut Vec<u8>) {
    if !script.ask.parts.has(wanted) {
        return put(out, &[b"null"]);
    }
    put(out, &[b"\""]);
    for (part, _) in script.ask.parts.as_slice().iter().enumerate().filter(|(_, kind)| **kind == wanted) {
        script.whole(part, out);
    }
    put(out, &[b"\""]);
}

fn finish_reason(script: &Script) -> &'static [u8] {
    if script.ask.parts.has(Part::Tool) { b"tool_calls" } else { b"stop" }
}

/// The `usage` member. Completion tokens include those of reasoning.
pub fn usage(script: &Script, out: &mut Vec<u8>) {
    let (output, thinking) = script.output_tokens();
    put(out, &[b"\"usage\":{\"prompt_tokens\":"]);
    decimal(out, script.ask.prompt_tokens);
    put(out, &[b",\"completion_tokens\":"]);
    decimal(out, output);
    put(out, &[b",\"total_tokens\":"]);
    decimal(out, script.ask.prompt_tokens + output);
    put(out, &[b",\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":"]);
    decimal(out, thinking);
    put(out, &[b",\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}"]);
}

/// Appends an error of the OpenAI endpoints.
pub fn error(status: u16, message: &str, out: &mut Vec<u8>) {
    let (kind, code) = class(status);
    put(out, &[b"{\"error\":{\"message\":"]);
    json_string(out, message.as_bytes());
    put(out, &[b",\"type\":\"", kind.as_bytes(), b"\",\"param\":null,\"code\":"]);
    match code {
        Some(code) => json_string(out, code.as_bytes()),
        None => put(out, &[b"null"]),
    }
    put(out, &[b"}}"]);
}

/// The `type` and `code` OpenAI gives an error of this status.
#[must_use]
pub fn class(status: u16) -> (&'static str, Option<&'static str>) {
    match status {
        401 => ("invalid_request_error", Some("invalid_api_key")),
        402 => ("insufficient_quota", Some("insufficient_quota")),
        404 => ("invalid_request_error", Some("model_not_found")),
        429 => ("rate_limit_error", Some("rate_limit_exceeded")),
        503 | 529 => ("service_unavailable_error", Some("server_is_overloaded")),
        500.. => ("server_error", None),
        _ => ("invalid_request_error", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::answer::tests::{events, parsed, script, stream};
    use crate::mock::route::Dialect;
    use simd_json::prelude::*;

    #[test]
    fn a_text_stream_is_role_content_finish_done() {
        let wire = stream(&script(Dialect::Chat, &[Part::Text])).concat();
        let expected = [
            "\"role\":\"assistant\"",
            "The mock p",
            "rovider an",
            "swers with",
            "\"finish_reason\":\"stop\"",
            "[DONE]",
        ];
        let frames: Vec<_> = wire.split_terminator("\n\n").collect();
        assert_eq!(frames.len(), expected.len(), "{wire}");
        for (frame, part) in frames.iter().zip(expected) {
            assert!(frame.starts_with("data: ") && frame.contains(part), "{frame}");
        }
        assert!(!wire.contains("usage"));
    }

    #[test]
    fn usage_comes_last_with_empty_choices_and_only_if_asked() {
        let mut script = script(Dialect::Chat, &[Part::Thinking, Part::Text]);
        script.ask.extra = true;
        let events = events(&script);
        let (last, others) = events.split_last().unwrap();
        assert!(last["choices"].as_array().unwrap().is_empty());
        assert_eq!(last["usage"]["total_tokens"], 11);
        assert_eq!(last["usage"]["completion_tokens_details"]["reasoning_tokens"], 1);
        assert!(others.iter().all(|event| event.get("usage").is_some_and(|usage| usage.is_null())));
    }

    #[test]
    fn tool_calls_name_themselves_once_and_their_fragments_join() {
        let script = script(Dialect::Chat, &[Part::Tool, Part::Tool]);
        let mut arguments = [String::new(), String::new()];
        let mut named = 0;
        for event in events(&script) {
            for call in
                event["choices"][0]["delta"].get("tool_calls").and_then(|calls| calls.as_array()).into_iter().flatten()
            {
                named += usize::from(call.get("id").is_some());
                arguments[call["index"].as_usize().unwrap()].push_str(call["function"]["arguments"].as_str().unwrap());
            }
        }
        assert_eq!(named, 2);
        assert!(arguments.iter().all(|text| text.as_bytes() == script.arguments(0)));
        let body = parsed(|out| super::body(&script, out));
        assert_eq!(
            body["choices"][0]["message"]["tool_calls"][1]["function"]["arguments"].as_str(),
            Some(arguments[1].as_str())
        );
        assert_eq!(body["choices"][0]["finish_reason"], "tool_calls");
        assert!(body["choices"][0]["message"]["content"].is_null());
    }

    #[test]
    fn errors_carry_type_and_code() {
        for (status, kind, code) in [
            (400, "invalid_request_error", None),
            (401, "invalid_request_error", Some("invalid_api_key")),
            (429, "rate_limit_error", Some("rate_limit_exceeded")),
            (500, "server_error", None),
            (529, "service_unavailable_error", Some("server_is_overloaded")),
        ] {
            let body = parsed(|out| error(status, "no \"luck\"", out));
            assert_eq!(
                (body["error"]["type"].as_str(), body["error"]["code"].as_str()),
                (Some(kind), code),
                "{status}"
            );
            assert_eq!(body["error"]["message"], "no \"luck\"");
        }
    }
}
