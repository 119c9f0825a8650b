//! OpenAI Responses: the response object and the events of a stream.

#![forbid(unsafe_code)]

use super::answer::{Script, Step};
use super::chat;
use super::encode::{decimal, json_string, put};
use super::fault::Part;

/// Appends the blocking answer.
pub fn body(script: &Script, out: &mut Vec<u8>) {
    response(script, State::Completed, out);
}

/// Appends the events of one step. Items are repeated whole when they end and once more in the last event: accumulators
/// compare the identifiers, and some clients read only the repetition.
pub fn frames(script: &Script, step: Step, sequence: &mut u64, out: &mut Vec<u8>) {
    match step {
        Step::Start => {
            for name in [&b"response.created"[..], b"response.in_progress"] {
                event(name, sequence, out);
                put(out, &[b",\"response\":"]);
                response(script, State::InProgress, out);
                put(out, &[b"}\n\n"]);
            }
        }
        Step::Open(part) => open(script, part, sequence, out),
        Step::Delta(part, at) => {
            let name: &[u8] = match kind(script, part) {
                Part::Thinking => b"response.reasoning_summary_text.delta",
                Part::Text => b"response.output_text.delta",
                Part::Tool => b"response.function_call_arguments.delta",
            };
            inner_event(script, part, name, sequence, out);
            put(out, &[b",\"delta\":\""]);
            script.chunk(part, at, out);
            put(out, &[b"\"", if kind(script, part) == Part::Text { b",\"logprobs\":[]" } else { b"" }, b"}\n\n"]);
        }
        Step::Close(part) => close(script, part, sequence, out),
        Step::Finish => {
            event(b"response.completed", sequence, out);
            put(out, &[b",\"response\":"]);
            response(script, State::Completed, out);
            put(out, &[b"}\n\n"]);
        }
        Step::Usage | Step::End => {}
    }
}

/// Appends the event of a failure: `response.failed` in a stream that has begun, else a bare `error`.
pub fn error_event(script: &Script, status: u16, message: &str, mut sequence: u64, out: &mut Vec<u8>) {
    if sequence == 0 {
        event(b"error", &mut sequence, out);
        put(out, &[b",\"code\":"]);
        json_string(out, error_code(status).as_bytes());
        put(out, &[b",\"message\":"]);
        json_string(out, message.as_bytes());
        return put(out, &[b",\"param\":null}\n\n"]);
    }
    event(b"response.failed", &mut sequence, out);
    put(out, &[b",\"response\":"]);
    response(script, State::Failed(status, message), out);
    put(out, &[b"}\n\n"]);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State<'a> {
    InProgress,
    Completed,
    Failed(u16, &'a str),
}

fn kind(script: &Script, part: usize) -> Part {
    script.ask.parts.get(part).unwrap_or_default()
}

fn error_code(status: u16) -> &'static str {
    chat::class(status).1.unwrap_or("server_error")
}

fn open(script: &Script, part: usize, sequence: &mut u64, out: &mut Vec<u8>) {
    item_event(script, part, b"response.output_item.added", false, sequence, out);
    match kind(script, part) {
        Part::Thinking => {
            inner_event(script, part, b"response.reasoning_summary_part.added", sequence, out);
            put(out, &[b",\"part\":{\"type\":\"summary_text\",\"text\":\"\"}}\n\n"]);
        }
        Part::Text => {
            inner_event(script, part, b"response.content_part.added", sequence, out);
            put(out, &[b",\"part\":{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[],\"logprobs\":[]}}\n\n"]);
        }
        Part::Tool => {}
    }
}

fn close(script: &Script, part: usize, sequence: &mut u64, out: &mut Vec<u8>) {
    let (done, member, part_done, part_head): (&[u8], &[u8], &[u8], &[u8]) = match kind(script, part) {
        Part::Thinking => (
            b"response.reasoning_summary_text.done",
            b",\"text\":\"",
            b"response.reasoning_summary_part.done",
            b",\"part\":{\"type\":\"summary_text\",\"text\":\"",
        ),
        Part::Text => (
            b"response.output_text.done",
            b",\"logprobs\":[],\"text\":\"",
            b"response.content_part.done",
            b",\"part\":{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"",
        ),
        Part::Tool => (b"response.function_call_arguments.done", b",\"arguments\":\"", b"", b""),
    };
    inner_event(script, part, done, sequence, out);
    put(out, &[member]);
    script.whole(part, out);
    put(out, &[b"\""]);
    if part_done.is_empty() {
        put(out, &[b",\"name\":"]);
        json_string(out, script.tool(part));
        put(out, &[b"}\n\n"]);
    } else {
        put(out, &[b"}\n\n"]);
        inner_event(script, part, part_done, sequence, out);
        put(out, &[part_head]);
        script.whole(part, out);
        put(out, &[b"\"}}\n\n"]);
    }
    item_event(script, part, b"response.output_item.done", true, sequence, out);
}

/// An event up to its sequence number, without the closing brace.
fn event(name: &[u8], sequence: &mut u64, out: &mut Vec<u8>) {
    put(out, &[b"event: ", name, b"\ndata: {\"type\":\"", name, b"\",\"sequence_number\":"]);
    decimal(out, *sequence);
    *sequence += 1;
}

fn item_event(script: &Script, part: usize, name: &[u8], done: bool, sequence: &mut u64, out: &mut Vec<u8>) {
    event(name, sequence, out);
    put(out, &[b",\"output_index\":"]);
    decimal(out, part as u64);
    put(out, &[b",\"item\":"]);
    item(script, part, done, out);
    put(out, &[b"}\n\n"]);
}

/// An event inside an item, with the indexes its kind has, without the closing brace.
fn inner_event(script: &Script, part: usize, name: &[u8], sequence: &mut u64, out: &mut Vec<u8>) {
    event(name, sequence, out);
    put(out, &[b",\"item_id\":\""]);
    item_id(script, part, out);
    put(out, &[b"\",\"output_index\":"]);
    decimal(out, part as u64);
    put(
        out,
        &[match kind(script, part) {
            Part::Thinking => b",\"summary_index\":0",
            Part::Text => b",\"content_index\":0",
            Part::Tool => b"",
        }],
    );
}

fn item_id(script: &Script, part: usize, out: &mut Vec<u8>) {
    let prefix: &[u8] = match kind(script, part) {
        Part::Thinking => b"rs_",
        Part::Text => b"msg_",
        Part::Tool => b"fc_",
    };
    script.id(prefix, part + 1, out);
}

/// An item, empty when it begins and whole when it is done.
fn item(script: &Script, part: usize, done: bool, out: &mut Vec<u8>) {
    put(out, &[b"{\"id\":\""]);
    item_id(script, part, out);
    let status: &[u8] = if done { b"completed" } else { b"in_progress" };
    match kind(script, part) {
        Part::Thinking => {
            put(out, &[b"\",\"type\":\"reasoning\",\"summary\":["]);
            if done {
                put(out, &[b"{\"type\":\"summary_text\",\"text\":\""]);
                script.whole(part, out);
                put(out, &[b"\"}"]);
            }
            put(out, &[b"]"]);
            if script.ask.extra {
                script.id(b",\"encrypted_content\":\"gAAAAMock", part + 1, out);
                put(out, &[b"\""]);
            }
        }
        Part::Text => {
            put(out, &[b"\",\"type\":\"message\",\"role\":\"assistant\",\"status\":\"", status, b"\",\"content\":["]);
            if done {
                put(out, &[b"{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\""]);
                script.whole(part, out);
                put(out, &[b"\"}"]);
            }
            put(out, &[b"]"]);
        }
        Part::Tool => {
            put(out, &[b"\",\"type\":\"function_call\",\"status\":\"", status, b"\",\"call_id\":\""]);
            script.id(b"call_", part + 1, out);
            put(out, &[b"\",\"name\":"]);
            json_string(out, script.tool(part));
            put(out, &[b",\"arguments\":\""]);
            if done {
                script.whole(part, out);
            }
            put(out, &[b"\""]);
        }
    }
    put(out, &[b"}"]);
}

fn response(script: &Script, state: State<'_>, out: &mut Vec<u8>) {
    put(out, &[b"{\"id\":\""]);
    script.id(b"resp_", 0, out);
    put(out, &[b"\",\"object\":\"response\",\"created_at\":"]);
    decimal(out, script.created);
    put(out, &[b",\"model\":"]);
    json_string(out, &script.ask.model);
    put(
        out,
        &[match state {
            State::InProgress => b",\"status\":\"in_progress\",\"error\":null",
            State::Completed => b",\"status\":\"completed\",\"error\":null",
            State::Failed(..) => b",\"status\":\"failed\",\"error\":{\"code\":\"",
        }],
    );
    if let State::Failed(status, message) = state {
        put(out, &[error_code(status).as_bytes(), b"\",\"message\":"]);
        json_string(out, message.as_bytes());
        put(out, &[b"}"]);
    }
    put(out, &[
        b",\"incomplete_details\":null,\"instructions\":null,\"metadata\":{},\"parallel_tool_calls\":true,",
        b"\"previous_response_id\":null,\"reasoning\":{\"effort\":null,\"summary\":null},\"service_tier\":\"default\",",
        b"\"store\":false,\"temperature\":1.0,\"text\":{\"format\":{\"type\":\"text\"}},\"tool_choice\":\"auto\",\"tools\":[],",
        b"\"top_p\":1.0,\"truncation\":\"disabled\",\"output\":[",
    ]);
    if state == State::Completed {
        for part in 0..script.ask.parts.as_slice().len() {
            put(out, &[if part > 0 { b"," } else { b"" }]);
            item(script, part, true, out);
        }
        put(out, &[b"],\"usage\":"]);
        usage(script, out);
    } else {
        put(out, &[b"],\"usage\":null"]);
    }
    put(out, &[b"}"]);
}

fn usage(script: &Script, out: &mut Vec<u8>) {
    let (output, thinking) = script.output_tokens();
    put(out, &[b"{\"input_tokens\":"]);
    decimal(out, script.ask.prompt_tokens);
    put(out, &[b",\"input_tokens_details\":{\"cached_tokens\":0,\"cache_write_tokens\":0},\"output_tokens\":"]);
    decimal(out, output);
    put(out, &[b",\"output_tokens_details\":{\"reasoning_tokens\":"]);
    decimal(out, thinking);
    put(out, &[b"},\"total_tokens\":"]);
    decimal(out, script.ask.prompt_tokens + output);
    put(out, &[b"}"]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::answer::tests::{events, parsed, script};
    use crate::mock::route::Dialect;
    use simd_json::prelude::*;

    #[test]
    fn events_follow_the_grammar_and_are_numbered() {
        let script = script(Dialect::Responses, &[Part::Thinking, Part::Text, Part::Tool]);
        let mut names = Vec::new();
        for (number, event) in events(&script).iter().enumerate() {
            assert_eq!(event["sequence_number"], number);
            names.push(event["type"].as_str().unwrap().strip_prefix("response.").unwrap().to_owned());
        }
        names.dedup();
        let expected = "created in_progress \
            output_item.added reasoning_summary_part.added reasoning_summary_text.delta reasoning_summary_text.done \
            reasoning_summary_part.done output_item.done \
            output_item.added content_part.added output_text.delta output_text.done content_part.done output_item.done \
            output_item.added function_call_arguments.delta function_call_arguments.done output_item.done completed";
        assert_eq!(names, expected.split_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn done_items_are_repeated_in_the_last_event_and_in_the_body() {
        let mut script = script(Dialect::Responses, &[Part::Thinking, Part::Text, Part::Tool]);
        script.ask.extra = true;
        let events = events(&script);
        let done: Vec<_> = events.iter().filter(|event| event["type"] == "response.output_item.done").collect();
        let last = &events.last().unwrap()["response"];
        assert_eq!(last, &parsed(|out| body(&script, out)));
        for (place, event) in done.iter().enumerate() {
            assert_eq!(event["item"], last["output"][place]);
            assert_eq!(event["output_index"], place);
        }
        assert_eq!(last["id"], events[0]["response"]["id"]);
        assert_eq!(last["output"][2]["arguments"].as_str().unwrap().as_bytes(), script.arguments(2));
        assert!(last["output"][0]["encrypted_content"].as_str().is_some());
    }

    #[test]
    fn a_failure_keeps_the_identity_of_the_response() {
        let script = script(Dialect::Responses, &[Part::Text]);
        let failure = |sequence| {
            let mut out = Vec::new();
            error_event(&script, 429, "later", sequence, &mut out);
            let data = String::from_utf8(out).unwrap();
            simd_json::to_owned_value(&mut data.lines().nth(1).unwrap().as_bytes()[6..].to_vec()).unwrap()
        };
        let failed = failure(4);
        assert_eq!(failed["type"], "response.failed");
        assert_eq!(failed["response"]["error"]["code"], "rate_limit_exceeded");
        assert_eq!(failed["response"]["id"], events(&script)[0]["response"]["id"]);
        assert_eq!(failure(0)["type"], "error");
    }
}
