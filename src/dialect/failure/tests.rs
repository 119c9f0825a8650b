//! Tables of what upstreams say, and of what becomes of it.

use proptest::prelude::*;

use super::*;
use crate::dialect::Dialect::{self, Chat, Messages, Responses};

/// `Class`, message, code, param of what was said, in one line.
fn read_line(dialect: Dialect, status: u16, body: &str) -> String {
    let Failure { class, message, code, param } = read(dialect, status, body.as_bytes());
    let option = |name, value: Option<String>| value.map(|value| format!(" {name}={value}")).unwrap_or_default();
    format!("{class:?} {message:?}{}{}", option("code", code), option("param", param))
}

#[test]
fn shapes() {
    #[rustfmt::skip]
    let table = [
        // OpenAI
        (Chat, 400, r#"{"error":{"message":"Unsupported parameter: 'x'","type":"invalid_request_error","param":"x","code":"unsupported_parameter"}}"#,
            "InvalidRequest \"Unsupported parameter: 'x'\" code=unsupported_parameter param=x"),
        (Chat, 401, r#"{"error":{"message":"no key","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#,
            "Authentication \"no key\" code=invalid_api_key"),
        (Chat, 404, r#"{"error":{"message":"no model","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#,
            "NotFound \"no model\" code=model_not_found"),
        (Chat, 429, r#"{"error":{"message":"slow","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#,
            "RateLimit \"slow\" code=rate_limit_exceeded"),
        (Chat, 429, r#"{"error":{"message":"paid up?","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
            "RateLimit \"paid up?\" code=insufficient_quota"),
        (Chat, 503, r#"{"error":{"message":"later","type":"server_error","code":"server_is_overloaded"}}"#,
            "Overloaded \"later\" code=server_is_overloaded"),
        (Chat, 500, r#"{"error":{"message":"oops","type":"server_error","param":null,"code":null}}"#, "Server \"oops\""),
        // Compatible servers
        (Chat, 400, r#"{"error":"bad thing"}"#, "InvalidRequest \"bad thing\""),
        (Chat, 404, r#"{"error":"model 'x' not found"}"#, "NotFound \"model 'x' not found\""),
        (Chat, 404, r#"{"detail":"Not Found"}"#, "NotFound \"Not Found\""),
        (Chat, 422, r#"{"detail":[{"loc":["body","messages",0,"role"],"msg":"Field required","type":"missing"},{"loc":["body"],"msg":"b"}]}"#,
            "InvalidRequest \"body.messages.0.role: Field required; body: b\""),
        (Chat, 422, r#"{"object":"error","message":[{"type":"extra_forbidden","loc":["body","x"],"msg":"Extra inputs are not permitted","input":1}],"code":null}"#,
            "InvalidRequest \"body.x: Extra inputs are not permitted\""),
        (Chat, 400, r#"{"detail":{"message":"inner","code":"c7"}}"#, "InvalidRequest \"inner\" code=c7"),
        (Chat, 400, r#"{"object":"error","message":"old vLLM","type":"BadRequestError","param":null,"code":400}"#, "InvalidRequest \"old vLLM\""),
        (Chat, 500, r#"{"message":"gone","code":"1234"}"#, "Server \"gone\" code=1234"),
        (Chat, 400, r#"{"code":1210,"message":"number"}"#, "InvalidRequest \"number\" code=1210"),
        (Chat, 400, r#"{"error":{"code":"1210","message":"z.ai"}}"#, "InvalidRequest \"z.ai\" code=1210"),
        (Chat, 402, r#"{"error":{"message":"Insufficient credits","code":402}}"#, "Billing \"Insufficient credits\""),
        (Chat, 502, r#"{"error":{"message":"Provider returned error","code":502,"metadata":{"raw":"{\"error\":{\"message\":\"GPU on fire\",\"type\":\"internal_error\"}}","provider_name":"P"}}}"#,
            "Api \"Provider returned error: GPU on fire\""),
        (Chat, 400, r#"{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"plain words"}}}"#,
            "InvalidRequest \"Provider returned error: plain words\""),
        (Chat, 400, r#"[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}]"#, "InvalidRequest \"API key not valid.\""),
        (Chat, 503, r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#, "Overloaded \"The model is overloaded.\""),
        (Chat, 404, r#"{"statusCode":404,"message":"Cannot POST /x","error":"Not Found"}"#, "NotFound \"Cannot POST /x\" code=Not Found"),
        (Chat, 400, r#"{"errors":[{"message":"cf","code":7003}],"success":false}"#, "InvalidRequest \"cf\" code=7003"),
        (Chat, 400, r#"{"type":"about:blank","title":"Bad Request","detail":"why","status":400}"#, "InvalidRequest \"why\" code=about:blank"),
        (Chat, 400, "data: {\"error\":{\"message\":\"as a stream\",\"code\":400}}\n\ndata: [DONE]\n\n", "InvalidRequest \"as a stream\""),
        (Messages, 529, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n", "Overloaded \"Overloaded\""),
        (Chat, 200, r#"{"error":{"message":"hidden","code":429}}"#, "RateLimit \"hidden\""),
        (Chat, 200, r#"{"error":{"message":"hidden","type":"invalid_request_error"}}"#, "InvalidRequest \"hidden\""),
        (Chat, 200, r#"{"error":{"message":"hidden"},"choices":null}"#, "Api \"hidden\""),
        (Chat, 200, r#"{"error":{"message":"out of money","code":"insufficient_quota"}}"#, "Billing \"out of money\" code=insufficient_quota"),
        // Anthropic
        (Messages, 400, r#"{"type":"error","error":{"type":"invalid_request_error","message":"tools: names","details":{"error_code":"tool_name_conflict"}},"request_id":"req_1"}"#,
            "InvalidRequest \"tools: names\" code=tool_name_conflict"),
        (Messages, 401, r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#, "Authentication \"invalid x-api-key\""),
        (Messages, 402, r#"{"type":"error","error":{"type":"billing_error","message":"m"}}"#, "Billing \"m\""),
        (Messages, 403, r#"{"type":"error","error":{"type":"permission_error","message":"m"}}"#, "Permission \"m\""),
        (Messages, 404, r#"{"type":"error","error":{"type":"not_found_error","message":"model: x"}}"#, "NotFound \"model: x\""),
        (Messages, 409, r#"{"type":"error","error":{"type":"conflict_error","message":"m"}}"#, "Conflict \"m\""),
        (Messages, 413, r#"{"type":"error","error":{"type":"request_too_large","message":"m"}}"#, "TooLarge \"m\""),
        (Messages, 429, r#"{"type":"error","error":{"type":"rate_limit_error","message":"m"}}"#, "RateLimit \"m\""),
        (Messages, 500, r#"{"type":"error","error":{"type":"api_error","message":"m"}}"#, "Server \"m\""),
        (Messages, 503, r#"{"type":"error","error":{"type":"api_error","message":"m"}}"#, "Overloaded \"m\""),
        (Messages, 504, r#"{"type":"error","error":{"type":"timeout_error","message":"m"}}"#, "Timeout \"m\""),
        (Messages, 529, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, "Overloaded \"Overloaded\""),
        (Messages, 200, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, "Overloaded \"Overloaded\""),
        (Messages, 200, r#"{"type":"error","error":{"type":"never_seen_error","message":"m"}}"#, "Api \"m\""),
        // Responses
        (Responses, 200, r#"{"type":"error","code":"rate_limit_exceeded","message":"m","param":null}"#, "RateLimit \"m\" code=rate_limit_exceeded"),
        (Responses, 200, r#"{"type":"response.failed","response":{"id":"r","status":"failed","error":{"code":"server_error","message":"m"}}}"#,
            "Server \"m\" code=server_error"),
        // No JSON
        (Chat, 502, "<html>\n<head><title>502 Bad Gateway</title></head><body><h1>x</h1></body></html>", "Api \"502 Bad Gateway\""),
        (Chat, 413, "<!DOCTYPE HTML><H1 class=\"a\">Too Large</H1>", "TooLarge \"Too Large\""),
        (Chat, 500, "<html></html>", "Server \"<html></html>\""),
        (Chat, 500, "Internal Server Error\n", "Server \"Internal Server Error\""),
        (Chat, 408, "", "RequestTimeout \"The upstream answered with status 408 and did not say why.\""),
        (Chat, 524, "error code: 524", "Timeout \"error code: 524\""),
        (Chat, 418, "{}", "InvalidRequest \"The upstream answered with status 418 and did not say why.\""),
        (Chat, 400, "{\"odd\": 1}", "InvalidRequest \"{\\\"odd\\\": 1}\""),
        (Chat, 400, "{\"error\":{\"message\":\"cut", "InvalidRequest \"{\\\"error\\\":{\\\"message\\\":\\\"cut\""),
        (Chat, 200, "", "Api \"The upstream failed and did not say why.\""),
        (Chat, 400, "\"only a string\"", "InvalidRequest \"only a string\""),
    ];
    for (dialect, status, body, want) in table {
        assert_eq!(read_line(dialect, status, body), want, "{status} {body}");
    }
}

#[test]
fn what_is_hostile_stays_small() {
    let deep = format!("{}{}", "{\"error\":".repeat(100), "1".to_owned() + &"}".repeat(100));
    assert_eq!(read(Chat, 400, deep.as_bytes()).class, Class::InvalidRequest);
    let long = format!("{{\"error\":\"{}\"}}", "é".repeat(100_000));
    let message = read(Chat, 400, long.as_bytes()).message;
    assert!(message.len() <= crate::limits::FAILURE_MESSAGE_BYTES_MAX && message.starts_with('é'));
    assert_eq!(read(Chat, 400, b"\xFF\xFE").message, "\u{FFFD}\u{FFFD}");
}

#[test]
fn overflows() {
    #[rustfmt::skip]
    let table: &[(&str, Option<u64>, Option<u64>)] = &[
        ("prompt is too long: 210000 tokens > 200000 maximum", Some(210_000), Some(200_000)),
        ("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens` and try again",
            Some(210_000), Some(200_000)),
        ("This model's maximum context length is 8192 tokens. However, your messages resulted in 10000 tokens. Please reduce the length of the messages.",
            Some(10_000), Some(8192)),
        ("This model's maximum context length is 8,192 tokens. However, you requested 9,000 tokens (8000 in the messages, 1000 in the completion).",
            Some(9000), Some(8192)),
        ("'max_tokens' or 'max_completion_tokens' is too large: 4096. This model's maximum context length is 4096 tokens and your request has 100 input tokens (4096 > 4096 - 100).",
            None, Some(4096)),
        ("Your input exceeds the context window of this model. Please adjust your input and try again.", None, None),
        ("prompt token count of 140000 exceeds the limit of 128000", Some(140_000), Some(128_000)),
        ("request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it", Some(5000), Some(4096)),
        ("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", Some(1_200_000), Some(1_048_576)),
        ("Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length", Some(40_000), Some(32_768)),
        ("This model's maximum prompt length is 131072 but the request contains 537812 tokens.", Some(537_812), Some(131_072)),
        ("The input (5000 tokens) is longer than the model's context length (4096 tokens).", Some(5000), Some(4096)),
        ("Your request exceeded model token limit: 131072", None, Some(131_072)),
        ("Range of input length should be [1, 98304]", None, Some(98_304)),
        ("Input is too long for requested model claude-3-5-sonnet-20241022-v2:0.", None, None),
        ("Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens",
            Some(5000), Some(4096)),
        ("Input tokens exceed the configured limit of 272000 tokens. Your context window is larger: 305000 tokens.", Some(305_000), Some(272_000)),
    ];
    for &(message, tokens, window) in table {
        let body = serde_json::json!({"error": {"message": message, "type": "invalid_request_error"}}).to_string();
        assert_eq!(read(Chat, 400, body.as_bytes()).class, Class::ContextOverflow { tokens, window }, "{message}");
    }
    #[rustfmt::skip]
    let others = [
        (400, "max_tokens is too large: 5000"),
        (400, "max_tokens of 70000 exceeds the limit of 64000"),
        (400, "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens for x"),
        (400, "The token count must be greater than 0"),
        (400, "temperature must not be larger than 2"),
        (400, "Invalid 'messages[3].content': the token <x> is unknown"),
        (429, "Request too large for gpt-4 on tokens per min (TPM): Limit 10000, Requested 12000. The input must be reduced: maximum context length"),
        (500, "Rate limit: 100 requests per minute exceeds the limit of 90 tokens"),
        (401, "maximum context length is 4096 tokens"),
    ];
    for (status, message) in others {
        let body = serde_json::json!({"error": {"message": message}}).to_string();
        let class = read(Chat, status, body.as_bytes()).class;
        assert!(!matches!(class, Class::ContextOverflow { .. }), "{message}: {class:?}");
    }
}

#[test]
fn overflows_by_code() {
    for (body, tokens, window) in [
        (r#"{"error":{"message":"too much","code":"context_length_exceeded"}}"#, None, None),
        (
            r#"{"error":{"code":400,"message":"no words","type":"exceed_context_size_error","n_prompt_tokens":5000,"n_ctx":4096}}"#,
            Some(5000),
            Some(4096),
        ),
        (r#"{"response":{"error":{"code":"context_length_exceeded","message":"m"}}}"#, None, None),
    ] {
        for status in [200, 400, 413, 500] {
            assert_eq!(
                read(Chat, status, body.as_bytes()).class,
                Class::ContextOverflow { tokens, window },
                "{status} {body}"
            );
        }
    }
}

#[test]
fn tables() {
    let overflow = Class::ContextOverflow { tokens: None, window: None };
    #[rustfmt::skip]
    let table = [
        (Class::InvalidRequest, 400, "invalid_request_error", 400, "invalid_request_error", None),
        (overflow,              400, "invalid_request_error", 400, "invalid_request_error", Some("context_length_exceeded")),
        (Class::Authentication, 401, "authentication_error",  401, "authentication_error",  Some("invalid_api_key")),
        (Class::Billing,        402, "billing_error",         402, "insufficient_quota",    Some("insufficient_quota")),
        (Class::Permission,     403, "permission_error",      403, "permission_error",      None),
        (Class::NotFound,       404, "not_found_error",       404, "invalid_request_error", Some("model_not_found")),
        (Class::RequestTimeout, 408, "timeout_error",         408, "server_error",          Some("timeout")),
        (Class::Conflict,       409, "conflict_error",        409, "invalid_request_error", None),
        (Class::TooLarge,       413, "request_too_large",     413, "invalid_request_error", Some("request_too_large")),
        (Class::RateLimit,      429, "rate_limit_error",      429, "rate_limit_error",      Some("rate_limit_exceeded")),
        (Class::Server,         500, "api_error",             500, "server_error",          None),
        (Class::Api,            502, "api_error",             502, "server_error",          None),
        (Class::Timeout,        504, "timeout_error",         504, "server_error",          Some("timeout")),
        (Class::Overloaded,     529, "overloaded_error",      503, "server_error",          Some("server_is_overloaded")),
    ];
    for (class, messages_status, messages_type, chat_status, chat_type, code) in table {
        let failure = Failure::new(class, "m \"q\"");
        assert_eq!(
            [Messages, Chat, Responses].map(|to| failure.status(to)),
            [messages_status, chat_status, chat_status]
        );
        let message = if class == overflow { "prompt is too long: m \"q\"" } else { "m \"q\"" };
        let want = serde_json::json!({
            "type": "error", "error": {"type": messages_type, "message": message}, "request_id": "ss-1"
        });
        assert_eq!(body(&failure, Messages), want);
        let want = serde_json::json!({
            "error": {"message": "m \"q\"", "type": chat_type, "param": null, "code": code}
        });
        assert_eq!(body(&failure, Chat), want);
        assert_eq!(body(&failure, Responses), want);
    }
}

#[test]
fn overflow_as_agents_know_it() {
    let mut failure = read(Chat, 400, br#"{"error":{"message":"This model's maximum context length is 10 tokens."}}"#);
    let message = |failure: &Failure| body(failure, Messages)["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(message(&failure), "prompt is too long: This model's maximum context length is 10 tokens.");
    failure.estimate(7);
    assert_eq!(
        message(&failure),
        "prompt is too long: 11 tokens > 10 maximum. This model's maximum context length is 10 tokens."
    );
    failure.estimate(99);
    assert_eq!(failure.class, Class::ContextOverflow { tokens: Some(11), window: Some(10) });
    let native = "prompt is too long: 20 tokens > 10 maximum";
    let body_of = serde_json::json!({"type": "error", "error": {"type": "invalid_request_error", "message": native}});
    let failure = read(Messages, 400, body_of.to_string().as_bytes());
    assert_eq!(message(&failure), native);
    assert_eq!(body(&failure, Chat)["error"]["code"], "context_length_exceeded");
}

#[test]
fn what_the_upstream_names_survives() {
    let failure = read(Chat, 400, br#"{"error":{"message":"m","code":"unsupported_value","param":"temperature"}}"#);
    let error = &body(&failure, Responses)["error"];
    assert_eq!((&error["code"], &error["param"]), (&"unsupported_value".into(), &"temperature".into()));
}

#[test]
fn events() {
    let failure = Failure::new(Class::Overloaded, "line\nend");
    for (dialect, want) in [
        (
            Chat,
            "data: {\"error\":{\"message\":\"line\\nend\",\"type\":\"server_error\",\"param\":null,\"code\":\"server_is_overloaded\"}}\n\n",
        ),
        (
            Messages,
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"line\\nend\"},\"request_id\":\"ss-1\"}\n\n",
        ),
        (
            Responses,
            "event: error\ndata: {\"type\":\"error\",\"code\":\"server_is_overloaded\",\"message\":\"line\\nend\",\"param\":null}\n\n",
        ),
    ] {
        let mut out = Vec::new();
        failure.write_event(dialect, "ss-1", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}

#[test]
fn header_fields() {
    // 2026-11-22T12:00:00Z
    const NOW: u64 = 1_795_348_800;
    #[rustfmt::skip]
    let table = [
        (Messages, Chat, "anthropic-ratelimit-requests-limit",     "50",  "x-ratelimit-limit-requests: 50"),
        (Messages, Chat, "Anthropic-Ratelimit-Tokens-Remaining",   "7",   "x-ratelimit-remaining-tokens: 7"),
        (Messages, Chat, "anthropic-ratelimit-requests-reset",     "2026-11-22T12:00:01Z", "x-ratelimit-reset-requests: 1s"),
        (Messages, Chat, "anthropic-ratelimit-requests-reset",     "2026-11-22T12:06:00Z", "x-ratelimit-reset-requests: 6m0s"),
        (Messages, Chat, "anthropic-ratelimit-requests-reset",     "2026-11-22T13:01:04.5+00:00", "x-ratelimit-reset-requests: 1h1m5s"),
        (Messages, Chat, "anthropic-ratelimit-requests-reset",     "2026-11-22T13:00:09+01:00", "x-ratelimit-reset-requests: 9s"),
        (Messages, Chat, "anthropic-ratelimit-requests-reset",     "2026-11-22T11:00:00Z", "x-ratelimit-reset-requests: 0s"),
        (Messages, Chat, "anthropic-ratelimit-requests-reset",     "soon", ""),
        (Messages, Chat, "anthropic-ratelimit-requests-reset",     "2026-13-22T11:00:00Z", ""),
        (Messages, Chat, "anthropic-ratelimit-input-tokens-limit", "50",  ""),
        (Messages, Chat, "anthropic-organization-id",              "org", ""),
        (Messages, Responses, "request-id",                        "req_1", "x-request-id: req_1"),
        (Messages, Chat, "retry-after",                            "12",  "retry-after: 12"),
        (Messages, Chat, "x-should-retry",                         "true", "x-should-retry: true"),
        (Messages, Chat, "content-type",                           "text/html", ""),
        (Chat, Messages, "x-ratelimit-limit-requests",             "60",  "anthropic-ratelimit-requests-limit: 60"),
        (Chat, Messages, "x-ratelimit-remaining-tokens",           "0",   "anthropic-ratelimit-tokens-remaining: 0"),
        (Chat, Messages, "x-ratelimit-reset-tokens",               "6m0s", "anthropic-ratelimit-tokens-reset: 2026-11-22T12:06:00Z"),
        (Chat, Messages, "x-ratelimit-reset-tokens",               "1h2m3.5s", "anthropic-ratelimit-tokens-reset: 2026-11-22T13:02:04Z"),
        (Chat, Messages, "x-ratelimit-reset-requests",             "12ms", "anthropic-ratelimit-requests-reset: 2026-11-22T12:00:01Z"),
        (Chat, Messages, "x-ratelimit-reset-requests",             "0s",  "anthropic-ratelimit-requests-reset: 2026-11-22T12:00:00Z"),
        (Chat, Messages, "x-ratelimit-reset-requests",             "60",  "anthropic-ratelimit-requests-reset: 2026-11-22T12:01:00Z"),
        (Chat, Messages, "x-ratelimit-reset-requests",             "1795348800000", ""),
        (Chat, Messages, "x-ratelimit-reset-requests",             "5 s", ""),
        (Chat, Messages, "x-ratelimit-reset-requests",             "",    ""),
        (Chat, Messages, "x-ratelimit-limit",                      "5",   ""),
        (Chat, Messages, "x-request-id",                           "r",   "request-id: r"),
        (Chat, Messages, "retry-after-ms",                         "120", "retry-after-ms: 120"),
        (Chat, Responses, "x-ratelimit-reset-tokens",              "6m0s", "x-ratelimit-reset-tokens: 6m0s"),
        (Chat, Responses, "openai-version",                        "1",   ""),
        (Messages, Messages, "anthropic-ratelimit-input-tokens-limit", "5", "anthropic-ratelimit-input-tokens-limit: 5"),
    ];
    for (from, to, name, value, want) in table {
        let mut out = Vec::new();
        let is_written = error_field(from, to, name.as_bytes(), value.as_bytes(), NOW, &mut out);
        let want = if want.is_empty() { String::new() } else { format!("{want}\r\n") };
        assert_eq!((String::from_utf8(out).unwrap(), is_written), (want.clone(), !want.is_empty()), "{name}: {value}");
    }
}

#[test]
fn when_to_ask_again() {
    let now = 784_111_777; // Sun, 06 Nov 1994 08:49:37 GMT (RFC 9110 §5.6.7)
    for (millis, seconds, want) in [
        (None, None, None),
        (Some("1500"), Some("9"), Some(1_500)),
        (Some("x"), Some("9"), Some(9_000)),
        (None, Some("1.5"), Some(1_500)),
        (None, Some("0"), Some(0)),
        (None, Some("-1"), None),
        (None, Some("NaN"), None),
        (None, Some("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10_000)),
        (None, Some("Sun, 06 Nov 1994 08:49:07 GMT"), Some(0)),
        (None, Some("Sun, 06 Nov 1994 08:49:47 CET"), None),
        (None, Some("Sunday, 06-Nov-94 08:49:37 GMT"), None),
        (None, Some("soon"), None),
    ] {
        let found = super::retry_after(millis.map(str::as_bytes), seconds.map(str::as_bytes), now);
        assert_eq!(found, want, "{millis:?} {seconds:?}");
    }
}

fn body(failure: &Failure, dialect: Dialect) -> serde_json::Value {
    let mut out = Vec::new();
    failure.write_body(dialect, "ss-1", &mut out);
    serde_json::from_slice(&out).unwrap()
}

proptest! {
    /// Whatever an upstream says, there is a message, and what is written is JSON of the right shape.
    #[test]
    fn anything_is_read(body in "[\\[\\]{}\",:<>/a-e0-9 \n]{0,40}|\\PC{0,40}|(data: )?\\{\"(error|detail|message|code)\":.{0,20}\\}", status in 200u16..600) {
        for dialect in [Chat, Messages] {
            let failure = read(dialect, status, body.as_bytes());
            prop_assert!(!failure.message.trim().is_empty());
            for to in [Chat, Messages, Responses] {
                prop_assert!((400..600).contains(&failure.status(to)));
                prop_assert!(super::tests::body(&failure, to)["error"]["message"].is_string());
            }
        }
    }
}
