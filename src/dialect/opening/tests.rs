use super::*;
use crate::dialect::failure::Class;

const WAIT: &str = "";
const BEGUN: &str = "begun";

/// `failed class: message`, or one of the words above.
fn told(opening: &Opening) -> String {
    match opening {
        Opening::Nothing => WAIT.to_owned(),
        Opening::Begun => BEGUN.to_owned(),
        Opening::Failed(failure) => format!("failed {:?}: {}", failure.class, failure.message),
    }
}

/// What the pieces say, and in which of them.
fn said(dialect: Dialect, pieces: &[&[u8]]) -> (String, usize) {
    let mut watcher = Watcher::default();
    watcher.reset(dialect);
    let mut openings = pieces.iter().map(|piece| watcher.push(piece));
    let at = openings.by_ref().position(|opening| opening != Opening::Nothing);
    let mut again = Watcher::default();
    again.reset(dialect);
    let all = pieces.iter().take(at.map_or(pieces.len(), |at| at + 1));
    let last = all.map(|piece| again.push(piece)).last();
    (last.map_or(WAIT.to_owned(), |opening| told(&opening)), at.unwrap_or(pieces.len()))
}

const CHUNK: &str = r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":["#;

fn chat(choice: &str) -> String {
    format!("data: {CHUNK}{choice}]}}\n\n")
}

/// Streams up to the event that decides, and what they say.
fn table() -> Vec<(Dialect, String, &'static str)> {
    use Dialect::{Chat, Messages, Responses};
    let role = chat(r#"{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}"#);
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"content\":[],\"usage\":{}}}\n\n";
    let ping = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
    let created =
        "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"error\":null}}\n\n";
    let progress =
        "event: response.in_progress\ndata: {\"type\":\"response.in_progress\",\"response\":{\"id\":\"r\"}}\n\n";
    let delta = |delta: &str| chat(&format!(r#"{{"index":0,"delta":{delta},"finish_reason":null}}"#));
    let of = |dialect, before: &str, event: &str, want| (dialect, format!("{before}{event}"), want);
    let data = |data: &str| format!("data: {data}\n\n");
    let finish = |reason: &str| chat(&format!(r#"{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}"#));
    #[rustfmt::skip]
    let table = vec![
        of(Chat, "", "", WAIT),
        of(Chat, ": OPENROUTER PROCESSING\n\n", "\n\n:\n\n", WAIT),
        of(Chat, "retry: 3\nid: 1\n\n", "event: x\n\n", WAIT),
        of(Chat, "", &role, WAIT),
        of(Chat, &role, &delta("{}"), WAIT),
        of(Chat, &role, &delta(r#"{"content":null,"reasoning_content":"","tool_calls":[],"audio":{},"x":false}"#), WAIT),
        of(Chat, "", "data:\n\n", WAIT),
        of(Chat, "", &data("null"), WAIT),
        of(Chat, "", &data(r#"{"type":"ping"}"#), WAIT),
        of(Chat, "", "event: ping\ndata: {}\n\n", WAIT),
        of(Chat, "", "event: ping\ndata: x\n\n", WAIT),
        of(Chat, "", &data(r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}"#), WAIT),
        of(Chat, "", &data(r#"{"choices":[],"usage":{"prompt_tokens":1}}"#), WAIT),
        of(Chat, "", &data(r#"{"choices":null,"usage":{"prompt_tokens":1}}"#), WAIT),
        of(Chat, "", &data(r#"{"choices":[{"index":0,"text":"","finish_reason":null}]}"#), WAIT),
        of(Chat, "", &data(r#"{"choices":[{"delta":{"content":""}}],"error":null}"#), WAIT),
        of(Chat, &role, &delta(r#"{"content":"a"}"#), BEGUN),
        of(Chat, &role, &delta(r#"{"content":" "}"#), BEGUN),
        of(Chat, &role, &delta(r#"{"content":"\""}"#), BEGUN),
        of(Chat, &role, &delta(r#"{"content":[{"type":"text","text":"a"}]}"#), BEGUN),
        of(Chat, &role, &delta(r#"{"content":"an \"error\""}"#), BEGUN),
        of(Chat, "", &delta(r#"{"role":"assistant","content":"","reasoning_content":"a"}"#), BEGUN),
        of(Chat, "", &delta(r#"{"reasoning":"a","content":""}"#), BEGUN),
        of(Chat, "", &delta(r#"{"content":null,"tool_calls":[{"index":0,"id":"a","function":{"name":"f"}}]}"#), BEGUN),
        of(Chat, "", &delta(r#"{"function_call":{"name":"f"}}"#), BEGUN),
        of(Chat, "", &delta(r#"{"refusal":"no"}"#), BEGUN),
        of(Chat, "", &delta(r#"{"something":1}"#), BEGUN),
        of(Chat, "", &chat(r#"{"index":0,"message":{"role":"assistant","content":"a"}}"#), BEGUN),
        of(Chat, "", &chat(r#"{"index":0,"delta":{}},{"index":1,"delta":{"content":"a"}}"#), BEGUN),
        of(Chat, &role, &finish("stop"), BEGUN),
        of(Chat, &role, &finish("content_filter"), BEGUN),
        of(Chat, &role, "data: [DONE]\n\n", BEGUN),
        of(Chat, &role, "data: \"[done]\"\n\n", BEGUN),
        of(Chat, "", &data(r#"{"choices":[{"index":0,"text":"a"}]}"#), BEGUN),
        of(Chat, "", &data(r#"{"content":"a","stop":false}"#), BEGUN),
        of(Chat, "", &data(r#"{"n":1}"#), BEGUN),
        of(Chat, "", &data("7"), BEGUN),
        of(Chat, "", &data("{\"cut\":"), BEGUN),
        of(Chat, "", &data(r#"{"error":{"message":"busy","type":"overloaded_error"}}"#), "failed Overloaded: busy"),
        of(Chat, &role, &data(r#"{"error":{"message":"slow","code":429}}"#), "failed RateLimit: slow"),
        of(Chat, &role, &data(r#"{"error":"boom"}"#), "failed Api: boom"),
        of(Chat, "", &data(r#"{"object":"error","message":"no","code":50302}"#), "failed Api: no"),
        of(Chat, "", &data(r#"{"detail":"gone"}"#), "failed Api: gone"),
        of(Chat, "", &data(r#"{"choices":[],"error":{"message":"x","code":503}}"#), "failed Overloaded: x"),
        of(Chat, "", &data(r#"{"id":"g","error":{"code":502,"message":"up"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#), "failed Api: up"),
        of(Chat, "", &data(r#"{"choices":[{"delta":{"content":"a"}}],"error":{"message":"x","code":503}}"#), "failed Overloaded: x"),
        of(Chat, "", &chat(r#"{"index":0,"delta":{},"error":{"message":"x","code":503}}"#), "failed Overloaded: x"),
        of(Chat, &role, &finish("insufficient_system_resource"), "failed Overloaded: the upstream broke off its answer: insufficient_system_resource"),
        of(Chat, &role, "event: error\ndata: {\"oops\":1}\n\n", "failed Api: {\"oops\":1}"),
        of(Chat, "", "event: error\ndata: {\"oops\n\n", "failed Api: {\"oops"),
        of(Chat, "", &data("upstream fell over"), "failed Api: upstream fell over"),
        of(Chat, "", &data("\"words\""), "failed Api: words"),
        of(Messages, "", start, WAIT),
        of(Messages, start, ping, WAIT),
        of(Messages, start, "event: ping\ndata: {}\n\n", WAIT),
        of(Messages, "", "event: message_start\ndata: {\"message\":{}}\n\n", WAIT),
        of(Messages, "", &data(r#"{"type":"message_start","message":{"content":null}}"#), WAIT),
        of(Messages, "", &data(r#"{"type":"message_start","message":{"content":[{"type":"text","text":"a"}]}}"#), BEGUN),
        of(Messages, start, &data(r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#), BEGUN),
        of(Messages, start, &data(r#"{"type":"content_block_delta","index":0,"delta":{"error":1}}"#), BEGUN),
        of(Messages, start, &data(r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#), BEGUN),
        of(Messages, start, "event: message_stop\ndata: {}\n\n", BEGUN),
        of(Messages, start, &data(r#"{"type":"new_thing"}"#), BEGUN),
        of(Messages, start, &data("[DONE]"), BEGUN),
        of(Messages, "", "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n", "failed Overloaded: Overloaded"),
        of(Messages, &format!("{start}{ping}"), &data(r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}"#), "failed RateLimit: slow"),
        of(Messages, start, "event: error\ndata: {\"message\":\"flat\"}\n\n", "failed Api: flat"),
        of(Messages, "", &data(r#"{"error":{"message":"x"}}"#), "failed Api: x"),
        of(Messages, "", "event: error\ndata: words\n\n", "failed Api: words"),
        of(Responses, "", created, WAIT),
        of(Responses, created, progress, WAIT),
        of(Responses, "", &data(r#"{"type":"response.queued","response":{}}"#), WAIT),
        of(Responses, "", "event: response.created\ndata: {\"response\":{}}\n\n", WAIT),
        of(Responses, created, &data(r#"{"type":"keepalive","sequence_number":3}"#), WAIT),
        of(Responses, &format!("{created}{progress}"), &data(r#"{"type":"response.output_item.added","item":{"error":"x"}}"#), BEGUN),
        of(Responses, created, &data(r#"{"type":"response.output_text.delta","delta":"a"}"#), BEGUN),
        of(Responses, created, &data(r#"{"type":"response.incomplete","response":{"error":null}}"#), BEGUN),
        of(Responses, created, &data(r#"{"type":"response.completed","response":{}}"#), BEGUN),
        of(Responses, created, &data(r#"{"type":"vendor.thing"}"#), BEGUN),
        of(Responses, created, &data(r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"broke"}}}"#), "failed Server: broke"),
        of(Responses, created, &data(r#"{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded","message":"slow"}}}"#), "failed RateLimit: slow"),
        of(Responses, "", "event: error\ndata: {\"type\":\"error\",\"code\":\"server_is_overloaded\",\"message\":\"busy\",\"param\":null}\n\n", "failed Overloaded: busy"),
        of(Responses, created, &data(r#"{"type":"error","error":{"type":"insufficient_quota","message":"pay"}}"#), "failed Billing: pay"),
        of(Responses, "", &data(r#"{"error":{"message":"x","code":"invalid_api_key"}}"#), "failed Authentication: x"),
    ];
    table
}

#[test]
fn what_streams_open_with() {
    for (dialect, stream, want) in table() {
        let (told, _) = said(dialect, &[stream.as_bytes()]);
        assert_eq!(told, want, "{dialect:?} {stream}");
    }
}

/// An event decides when its blank line has come, and not before, whatever the pieces.
#[test]
fn every_split_says_the_same() {
    for (dialect, stream, want) in table() {
        let bytes = stream.as_bytes();
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            let (told, at) = said(dialect, &[head, tail, b""]);
            assert_eq!(told, want, "{dialect:?} {stream} cut at {cut}");
            let decides = if cut == bytes.len() { 0 } else { 1 };
            assert_eq!(at, if want == WAIT { 3 } else { decides }, "{dialect:?} {stream} cut at {cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(said(dialect, &single).0, want, "{dialect:?} {stream} byte by byte");
        let crlf = stream.replace('\n', "\r\n");
        assert_eq!(said(dialect, &[crlf.as_bytes()]).0, want, "{dialect:?} {crlf}");
    }
}

/// Laid out so that nothing is known at a glance, everything means the same.
#[test]
fn a_glance_sees_what_reading_sees() {
    let (mut glances, words) = (0, Words::new());
    for (dialect, stream, want) in table() {
        let spaced = stream.replace("\":", "\" :");
        for event in stream.split("\n\n") {
            let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_default();
            glances += u32::from(glance(dialect, data.as_bytes(), &words).is_some());
        }
        for event in spaced.split("\n\n") {
            let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_default();
            assert_eq!(glance(dialect, data.as_bytes(), &words), None, "{data}");
        }
        let (told, _) = said(dialect, &[spaced.as_bytes()]);
        assert_eq!(told.replace("\" :", "\":"), want, "{dialect:?} {spaced}");
    }
    assert!(glances > 30, "{glances}");
}

#[test]
fn an_event_that_is_too_long_is_an_answers() {
    let mut watcher = Watcher::default();
    watcher.reset(Dialect::Chat);
    let long = format!("data: {}", "x".repeat(HELD_OPENING_BYTES_MAX));
    assert_eq!(watcher.push(long.as_bytes()), Opening::Begun);
    watcher.reset(Dialect::Messages);
    let error = watcher.push(b"data: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"x\"}}\n\n");
    assert!(matches!(error, Opening::Failed(Failure { class: Class::Server, .. })), "{error:?}");
}

/// What comes in one read has not gone out: a failure in it counts, wherever it stands.
#[test]
fn a_failure_behind_the_beginning() {
    use Dialect::{Chat, Messages, Responses};
    let text = chat(r#"{"index":0,"delta":{"content":"an error?"},"finish_reason":null}"#);
    let block = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
    let item = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n";
    let failed = "data: {\"error\":{\"message\":\"busy\",\"type\":\"overloaded_error\"}}\n\n";
    let named =
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n";
    let broke = "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_is_overloaded\",\"message\":\"busy\"}}}\n\n";
    let want = "failed Overloaded: busy";
    for (dialect, stream, want) in [
        (Chat, format!("{text}{failed}"), want),
        (Chat, format!("{text}{text}{failed}{text}"), want),
        (Chat, format!("{text}data: not an answer\n\n{text}"), BEGUN),
        (Chat, format!("{text}{text}data: [DONE]\n\n"), BEGUN),
        (Messages, format!("{block}{named}"), want),
        (Responses, format!("{item}{broke}"), want),
        (Chat, format!("{failed}{text}"), want),
    ] {
        let (told, _) = said(dialect, &[stream.as_bytes()]);
        assert_eq!(told, want, "{dialect:?} {stream}");
    }
    let cut = failed.find("ror\"").unwrap();
    assert_eq!(said(Chat, &[&failed.as_bytes()[..cut], format!("{}{text}", &failed[cut..]).as_bytes()]).0, want);
    assert_eq!(said(Chat, &[text.as_bytes(), failed.as_bytes()]).0, BEGUN, "it has gone out");
}
