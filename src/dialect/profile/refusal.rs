//! A field that a server refused, and the request without it: what no table knows, the server says itself.

use crate::json::{Index, Kind, Value};
use crate::limits::REFUSAL_BYTES_MAX;

/// The top-level field of a request that an error body with status 400 or 422 says it cannot take; `None` if the error is
/// about something else.
pub fn refused_parameter(status: u16, body: &[u8]) -> Option<String> {
    if !matches!(status, 400 | 422) || body.len() > REFUSAL_BYTES_MAX {
        return None;
    }
    let mut index = Index::default();
    let Ok(body) = index.read(body) else {
        return in_words(&String::from_utf8_lossy(body));
    };
    // Some put the error into a list.
    let body = body.items().next().unwrap_or(body);
    let error = body.get("error").unwrap_or(body);
    let message = ["message", "detail", "error"].iter().find_map(|key| error.get(key)?.text());
    let message = message.or_else(|| error.text()).unwrap_or_default();
    by_code(&error, &message).or_else(|| in_places(&body)).or_else(|| in_words(&message))
}

/// The same request without a top-level member, its other bytes untouched. A limit of the answer is not taken away: it
/// goes by its other name (`max_tokens`, `max_completion_tokens`). `None` if the member is not there, or the request would
/// mean nothing without it.
pub fn without(body: &[u8], parameter: &str) -> Option<Vec<u8>> {
    const ESSENTIAL: [&str; 4] = ["model", "messages", "tools", "stream"];
    const LIMITS: [&str; 2] = ["max_tokens", "max_completion_tokens"];
    if ESSENTIAL.contains(&parameter) {
        return None;
    }
    let mut index = Index::default();
    let value = index.read(body).ok()?;
    let members: Vec<_> = value.members().collect();
    let place = members.iter().position(|(key, _)| key.is(parameter))?;
    let (key, value) = members.get(place)?;
    if LIMITS.contains(&parameter) {
        let other = LIMITS.into_iter().find(|limit| *limit != parameter)?;
        let is_there = members.iter().any(|(key, _)| key.is(other));
        return (!is_there).then(|| spliced(body, key.span(), &[b"\"", other.as_bytes(), b"\""].concat()));
    }
    // With the comma before it; the first, with the one behind it.
    let before = place.checked_sub(1).and_then(|before| members.get(before));
    let span = match (before, members.get(place + 1)) {
        (Some((_, before)), _) => (before.span().1, value.span().1),
        (None, Some((next, _))) => (key.span().0, next.span().0),
        (None, None) => (key.span().0, value.span().1),
    };
    Some(spliced(body, span, b""))
}

fn spliced(body: &[u8], (start, end): (usize, usize), new: &[u8]) -> Vec<u8> {
    let (before, behind) = (body.get(..start).unwrap_or_default(), body.get(end..).unwrap_or_default());
    [before, new, behind].concat()
}

/// OpenAI names it beside the message.
fn by_code(error: &Value<'_>, message: &str) -> Option<String> {
    const CODES: [&str; 4] = ["unsupported_parameter", "unknown_parameter", "unsupported_value", "invalid_parameter"];
    const WORDS: [&str; 8] = [
        "unsupported",
        "not supported",
        "not support",
        "unknown",
        "unrecognized",
        "not permitted",
        "not allowed",
        "unexpected",
    ];
    let param = error.get("param")?.text()?;
    let code = error.get("code").and_then(|code| code.text()).unwrap_or_default();
    let message = message.to_ascii_lowercase();
    let is_refused = CODES.contains(&code.as_str()) || WORDS.iter().any(|word| message.contains(word));
    is_refused.then(|| first_name(&param)).flatten()
}

/// Pydantic names the place: `{"detail": [{"loc": ["body", "x"], "type": "extra_forbidden"}]}`.
fn in_places(body: &Value<'_>) -> Option<String> {
    let lists = ["detail", "errors", "message"].into_iter().filter_map(|key| body.get(key));
    let problem = lists.filter(|list| list.kind() == Kind::Array).find_map(|list| list.items().next())?;
    let place: Vec<_> = problem.get("loc")?.items().filter_map(|name| name.text()).collect();
    let kind = problem.get("type").and_then(|kind| kind.text()).unwrap_or_default();
    match place.as_slice() {
        // What is missing cannot be left out.
        _ if kind.contains("missing") => None,
        [body, name, ..] if body == "body" => first_name(name),
        [name, ..] => first_name(name),
        [] => None,
    }
}

/// What stands in front of the name.
const BEFORE: [&str; 18] = [
    "unsupported parameter:",
    "unsupported parameters:",
    "unsupported parameter(s):",
    "unsupported value:",
    "unknown parameter:",
    "unrecognized request argument supplied:",
    "unrecognized request arguments supplied:",
    "extra inputs are not permitted:",
    "argument not supported on this model:",
    "does not support parameter",
    "does not support the parameter",
    "unexpected keyword argument",
    "unknown name",
    "unknown field",
    "unknown argument:",
    "unsupported field:",
    "'loc': ('body',",
    "\"loc\":[\"body\",",
];

/// What stands behind the name.
const BEHIND: [&str; 7] = [
    ": extra inputs are not permitted",
    " is unsupported",
    " is not supported",
    " are not supported",
    " is not permitted",
    " is not allowed",
    " is not a valid parameter",
];

/// The others name it in a sentence.
fn in_words(message: &str) -> Option<String> {
    // As long as the message itself, letter by letter.
    let small = message.to_ascii_lowercase();
    let before = BEFORE.iter().find_map(|words| {
        let (_, rest) = message.split_at_checked(small.find(words)? + words.len())?;
        first_name(rest.trim_start_matches([' ', '\'', '"', '`', ':', '(', '[']))
    });
    before.or_else(|| {
        BEHIND.iter().find_map(|words| {
            let (front, _) = message.split_at_checked(small.find(words)?)?;
            let front = front.trim_end_matches(['\'', '"', '`']);
            let name = front.rsplit(|letter: char| !is_of_name(letter) && letter != '.').next()?;
            // A word of the sentence is no name; names of several words are.
            first_name(name).filter(|name| name.contains('_') || NAMES.contains(&name.as_str()))
        })
    })
}

/// Fields whose names are words.
const NAMES: [&str; 8] = ["temperature", "stop", "thinking", "reasoning", "user", "metadata", "seed", "verbosity"];

/// The field that `text` begins with, without what lies in it; longer ones are none.
fn first_name(text: &str) -> Option<String> {
    const LONGEST: usize = 64;
    let name: String = text.chars().take_while(|letter| is_of_name(*letter)).collect();
    (!name.is_empty() && name.len() <= LONGEST).then_some(name)
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused() {
        #[rustfmt::skip]
        let table = [
            (r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}"#, Some("max_tokens")),
            (r#"{"error":{"message":"Unsupported value: 'temperature' does not support 0.2 with this model.","param":"temperature","code":"unsupported_value"}}"#, Some("temperature")),
            (r#"{"error":{"message":"Function tools with reasoning_effort are not supported for gpt-5.4 in /v1/chat/completions.","param":"reasoning_effort","code":null}}"#, Some("reasoning_effort")),
            (r#"{"error":{"message":"Unrecognized request argument supplied: top_k","type":"invalid_request_error","param":null,"code":null}}"#, Some("top_k")),
            (r#"{"error":{"message":"Unknown parameter: 'enable_thinking'.","param":"enable_thinking","code":"unknown_parameter"}}"#, Some("enable_thinking")),
            (r#"{"error":{"message":"property 'reasoning_effort' is unsupported","type":"invalid_request_error"}}"#, Some("reasoning_effort")),
            (r#"{"error":{"message":"Argument not supported on this model: stop"}}"#, Some("stop")),
            (r#"{"error":"Argument not supported on this model: stop","code":"Client specified an invalid argument"}"#, Some("stop")),
            (r#"{"object":"error","message":"[{'type': 'extra_forbidden', 'loc': ('body', 'top_k'), 'msg': 'Extra inputs are not permitted', 'input': 5}]","type":"BadRequestError","code":400}"#, Some("top_k")),
            (r#"{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted","input":{}}]}"#, Some("stream_options")),
            (r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","x_y"]}]}}"#, None),
            (r#"{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required"}]}"#, None),
            (r#"{"message":"context_management: Extra inputs are not permitted"}"#, Some("context_management")),
            (r#"{"detail":"Unsupported parameter(s): `chat_template_kwargs`"}"#, Some("chat_template_kwargs")),
            (r#"[{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"parallel_tool_calls\": Cannot find field.","status":"INVALID_ARGUMENT"}}]"#, Some("parallel_tool_calls")),
            (r#"{"error":{"message":"json: unknown field \"thinking\""}}"#, Some("thinking")),
            ("unknown field `strict`, expected one of `a`, `b`", Some("strict")),
            (r#"{"error":{"message":"'tools[0].function.strict' is not permitted","param":"tools[0].function.strict","code":"unknown_parameter"}}"#, Some("tools")),
            // Something else.
            (r#"{"error":{"message":"This model's maximum context length is 8192 tokens.","param":"messages","code":"context_length_exceeded"}}"#, None),
            (r#"{"error":{"message":"The model is not supported in your country"}}"#, None),
            (r#"{"error":{"message":"max_tokens is too large: 64000.","param":"max_tokens","code":"invalid_value"}}"#, None),
            ("", None), ("{}", None), ("[]", None), ("null", None), ("3", None),
        ];
        for (body, want) in table {
            assert_eq!(refused_parameter(400, body.as_bytes()).as_deref(), want, "{body}");
            assert_eq!(refused_parameter(422, body.as_bytes()).as_deref(), want, "{body}");
            assert_eq!(refused_parameter(429, body.as_bytes()), None);
        }
    }

    #[test]
    fn what_remains() {
        let body = r#"{"model":"m", "top_k" : 5,"max_tokens":9,"messages":[{"top_k":1}],"stream":true , "z":{"a":1}}"#;
        #[rustfmt::skip]
        let table = [
            ("top_k", Some(r#"{"model":"m","max_tokens":9,"messages":[{"top_k":1}],"stream":true , "z":{"a":1}}"#)),
            ("z", Some(r#"{"model":"m", "top_k" : 5,"max_tokens":9,"messages":[{"top_k":1}],"stream":true}"#)),
            ("max_tokens", Some(r#"{"model":"m", "top_k" : 5,"max_completion_tokens":9,"messages":[{"top_k":1}],"stream":true , "z":{"a":1}}"#)),
            ("max_completion_tokens", None), ("a", None), ("model", None), ("messages", None), ("stream", None), ("tools", None),
        ];
        for (parameter, want) in table {
            let got = without(body.as_bytes(), parameter);
            assert_eq!(got.map(|body| String::from_utf8(body).unwrap()).as_deref(), want, "{parameter}");
        }
        for (body, want) in [(r#"{"a":1,"b":2}"#, r#"{"b":2}"#), (r#"{ "a" : 1 }"#, "{  }")] {
            assert_eq!(without(body.as_bytes(), "a").unwrap(), want.as_bytes());
        }
        assert_eq!(without(b"[1]", "a"), None);
        assert_eq!(without(b"{", "a"), None);
        assert_eq!(without(br#"{"max_tokens":1,"max_completion_tokens":1}"#, "max_tokens"), None);
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,80}", words in 0..BEFORE.len()) {
            refused_parameter(400, text.as_bytes());
            refused_parameter(400, format!("{}{text}", BEFORE[words]).as_bytes());
            refused_parameter(400, format!("{text}{}", BEHIND[words % BEHIND.len()]).as_bytes());
        }
    }
}
