//! What is read of answers, as words in short.

use proptest::prelude::*;

use super::Reader;
use crate::dialect::turn::{self, Open, Usage, Word};

/// A word in short.
fn short(word: Word<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match word {
        Word::Start { id, model } => format!("start({},{})", text(id), text(model)),
        Word::Open { key, block } => match block {
            Open::Text => format!("open{key}:text"),
            Open::Thinking => format!("open{key}:thinking"),
            Open::RedactedThinking(data) => format!("open{key}:redacted({})", text(data)),
            Open::Refusal => format!("open{key}:refusal"),
            Open::ToolCall { id, name } => format!("open{key}:call({},{})", text(id), text(name)),
        },
        Word::Delta { key, text: piece } => format!("{key}'{}'", text(piece)),
        Word::Signature { key, signature } => format!("signature{key}({})", text(signature)),
        Word::Close { key } => format!("close{key}"),
        Word::Usage(Usage { input, cache_read, cache_write, output, reasoning, .. }) => {
            let count = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
            let counts = [input, cache_read, cache_write, output, reasoning].map(count);
            format!("usage({})", counts.join("/"))
        }
        Word::Stop(stop, None) => format!("stop({stop:?})"),
        Word::Stop(stop, Some(sequence)) => format!("stop({stop:?},{})", text(sequence)),
        Word::Failed(failure) => format!("failed({:?},{})", failure.class, failure.message),
        Word::End => "end".to_owned(),
        Word::Ping => "ping".to_owned(),
        Word::Foreign(path) => format!("foreign({path})"),
    }
}

/// Words of a stream of events; each is its data, as most of the tests have it.
fn events(data: &[&str]) -> String {
    let (mut reader, mut words) = (Reader::new(), Vec::new());
    for data in data {
        turn::Reader::event(&mut reader, b"", data.as_bytes(), &mut |word| words.push(short(word)));
    }
    words.join(" ")
}

fn body(body: &str) -> String {
    let (mut reader, mut words) = (Reader::new(), Vec::new());
    turn::Reader::body(&mut reader, body.as_bytes(), &mut |word| words.push(short(word)));
    words.join(" ")
}

fn begin(index: u32, block: &str) -> String {
    format!(r#"{{"type":"content_block_start","index":{index},"content_block":{block}}}"#)
}

fn delta(index: u32, delta: &str) -> String {
    format!(r#"{{"type":"content_block_delta","index":{index},"delta":{delta}}}"#)
}

fn end(index: u32) -> String {
    format!(r#"{{"type":"content_block_stop","index":{index}}}"#)
}

const TEXT: &str = r#"{"type":"text","text":""}"#;
const THINKING: &str = r#"{"type":"thinking","thinking":"","signature":""}"#;

#[test]
fn events_one_by_one() {
    #[rustfmt::skip]
    let table = [
        (r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":8,"cache_read_input_tokens":4,"cache_creation_input_tokens":0,"output_tokens":1,"service_tier":"standard"}}}"#,
            "start(msg_1,claude) usage(8/4/0/1/-)"),
        (r#"{"type":"message_start","message":{}}"#, "start(,)"),
        (r#"{"type":"message_start","message":{"id":"m","content":[{"type":"text","text":"early"}]}}"#, "start(m,) open0:text 0'early' close0"),
        (r#"{"type":"ping"}"#, "ping"),
        (r#"{"type":"message_stop"}"#, "end"),
        (r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":9}}"#,
            "stop(EndTurn) usage(-/-/-/9/-)"),
        (r#"{"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"\n\nH"},"usage":{"output_tokens":9,"output_tokens_details":{"thinking_tokens":5}}}"#,
            "stop(Sequence,\\n\\nH) usage(-/-/-/9/5)"),
        (r#"{"type":"message_delta","delta":{"stop_reason":null},"usage":null}"#, ""),
        (r#"{"type":"message_delta","delta":{"container":{"id":"c"}},"usage":{"output_tokens":1,"server_tool_use":{"web_search_requests":1}}}"#,
            "foreign(container) usage(-/-/-/1/-) foreign(usage.server_tool_use)"),
        (r#"{"type":"message_delta","delta":{"stop_reason":"refusal","stop_details":{"type":"refusal","category":"bio","explanation":"not \"this\""}},"usage":{"output_tokens":1}}"#,
            "open0:refusal 0'not \\\"this\\\"' close0 stop(Refusal) usage(-/-/-/1/-)"),
        (r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, "failed(Overloaded,Overloaded)"),
        (r#"{"type":"error","error":{"type":"rate_limit_error","message":"m"},"request_id":"r"}"#, "failed(RateLimit,m)"),
        (r#"{"error":{"message":"of another kind","code":429}}"#, "failed(RateLimit,of another kind)"),
        (r#"{"type":"never_heard","x":1}"#, "foreign(event.never_heard)"),
        (r#"{"type":"never heard\n","x":1}"#, "foreign(event)"),
        ("{\"type\":\"ping\"", "failed(Api,The upstream sent an event that is not JSON.)"),
        ("", ""), (" ", ""), ("[DONE]", ""),
        (r#"{"type":"content_block_delta","index":0}"#, "foreign(content_block_delta)"),
        (r#"{"type":"content_block_start","index":0,"content_block":null}"#, "foreign(content_block_start)"),
        (r#"{"type":"content_block_stop","index":7}"#, ""),
    ];
    for (event, want) in table {
        assert_eq!(events(&[event]), want, "{event}");
    }
}

#[test]
fn names_stand_for_missing_types() {
    let mut words = Vec::new();
    let mut reader = Reader::new();
    for (name, data) in [("ping", "{}"), ("error", r#"{"message":"flat"}"#), ("error", "words only"), ("x", "[]")] {
        turn::Reader::event(&mut reader, name.as_bytes(), data.as_bytes(), &mut |word| words.push(short(word)));
    }
    assert_eq!(words.join(" "), "ping failed(Api,flat) failed(Api,words only) foreign(event.x)");
}

#[test]
fn stop_reasons() {
    for (reason, want) in [
        ("end_turn", "EndTurn"),
        ("tool_use", "ToolUse"),
        ("max_tokens", "MaxTokens"),
        ("model_context_window_exceeded", "ContextFull"),
        ("stop_sequence", "Sequence"),
        ("refusal", "Refusal"),
        ("pause_turn", "Pause"),
        ("compaction", "EndTurn"),
    ] {
        let event = format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}"}}}}"#);
        assert_eq!(events(&[&event]), format!("stop({want})"));
    }
}

#[test]
fn blocks() {
    let server = r#"{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}"#;
    let result =
        r#"{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"type":"web_search_result"}]}"#;
    let call = r#"{"type":"tool_use","id":"toolu_1","name":"f","input":{}}"#;
    let partial = |text: &str| format!(r#"{{"type":"input_json_delta","partial_json":"{text}"}}"#);
    #[rustfmt::skip]
    let table: &[(&str, Vec<String>, &str)] = &[
        ("text", vec![begin(0, TEXT), delta(0, r#"{"type":"text_delta","text":"H\u00e9\n"}"#), delta(0, r#"{"type":"text_delta","text":""}"#), end(0)],
            "open0:text 0'H\\u00e9\\n' close0"),
        ("text in the start", vec![begin(0, r#"{"type":"text","text":"Hi","citations":[]}"#), end(0)], "open0:text 0'Hi' close0"),
        ("thinking", vec![begin(0, THINKING), delta(0, r#"{"type":"thinking_delta","thinking":"th"}"#),
            delta(0, r#"{"type":"signature_delta","signature":"EqQB"}"#), end(0)], "open0:thinking 0'th' signature0(EqQB) close0"),
        ("thoughts left out, with their proof", vec![begin(0, r#"{"type":"thinking","thinking":"","signature":"S"}"#), end(0)],
            "open0:thinking signature0(S) close0"),
        ("redacted", vec![begin(0, r#"{"type":"redacted_thinking","data":"Em=="}"#), end(0)], "open0:redacted(Em==) close0"),
        ("call", vec![begin(1, call), delta(1, &partial("")), delta(1, &partial("{\\\"a\\\"")), delta(1, &partial(":1}")), end(1)],
            "open0:call(toolu_1,f) 0'{\\\"a\\\"' 0':1}' close0"),
        ("call without input", vec![begin(1, call), end(1)], "open0:call(toolu_1,f) close0"),
        ("call with its input in the start", vec![begin(1, r#"{"type":"tool_use","id":"t","name":"f","input":{"a":"x\"y", "n": 1.0}}"#), end(1)],
            "open0:call(t,f) 0'{\\\"a\\\":\\\"x\\\\\\\"y\\\", \\\"n\\\": 1.0}' close0"),
        ("call with both", vec![begin(1, r#"{"type":"tool_use","id":"t","name":"f","input":{"a":1}}"#), delta(1, &partial("{}")), end(1)],
            "open0:call(t,f) 0'{}' close0"),
        ("call by a program", vec![begin(0, r#"{"type":"tool_use","id":"t","name":"f","input":{},"caller":{"type":"code_execution_20250825","tool_id":"s"}}"#)],
            "open0:call(t,f) foreign(content.caller)"),
        ("call by the model", vec![begin(0, r#"{"type":"tool_use","id":"t","name":"f","input":{},"caller":{"type":"direct"}}"#)], "open0:call(t,f)"),
        ("the vendor's tools", vec![begin(0, TEXT), end(0), begin(1, server), delta(1, &partial("{\\\"q\\\":1}")), end(1), begin(2, result), end(2),
            begin(3, TEXT), delta(3, r#"{"type":"text_delta","text":"a"}"#),
            delta(3, r#"{"type":"citations_delta","citation":{"type":"web_search_result_location","url":"u"}}"#), end(3)],
            "open0:text close0 foreign(content.server_tool_use) foreign(content.web_search_tool_result) open1:text 1'a' foreign(content.citations) close1"),
        ("citations in the start", vec![begin(0, r#"{"type":"text","text":"","citations":[{"type":"char_location"}]}"#)], "open0:text foreign(content.citations)"),
        ("blocks not known", vec![begin(0, r#"{"type":"novel","x":1}"#), delta(0, r#"{"type":"text_delta","text":"of it"}"#), end(0)], "foreign(content.novel)"),
        ("deltas not known", vec![begin(0, TEXT), delta(0, r#"{"type":"novel_delta","x":"y"}"#), end(0)], "open0:text foreign(content.novel_delta) close0"),
        ("an index used again", vec![begin(0, TEXT), end(0), begin(0, TEXT), end(0)], "open0:text close0 open1:text close1"),
        ("never ended", vec![begin(0, TEXT), begin(0, THINKING), r#"{"type":"message_stop"}"#.to_owned()], "open0:text close0 open1:thinking close1 end"),
        ("never begun", vec![delta(0, r#"{"type":"text_delta","text":"a"}"#), delta(0, r#"{"type":"text_delta","text":"b"}"#),
            delta(0, r#"{"type":"thinking_delta","thinking":"t"}"#), delta(5, &partial("{}")), end(0)],
            "open0:text 0'a' 0'b' close0 open1:thinking 1't' foreign(content.input_json_delta) close1"),
        ("side by side", vec![begin(0, call), begin(1, TEXT), delta(0, &partial("{}")), delta(1, r#"{"type":"text_delta","text":"a"}"#), end(0), end(1)],
            "open0:call(toolu_1,f) open1:text 0'{}' 1'a' close0 close1"),
    ];
    for (rule, data, want) in table {
        let data: Vec<&str> = data.iter().map(String::as_str).collect();
        assert_eq!(events(&data), *want, "{rule}");
    }
}

#[test]
fn open_blocks_are_bounded() {
    let data: Vec<String> = (0..1000).map(|index| begin(index, TEXT)).collect();
    let words = events(&data.iter().map(String::as_str).collect::<Vec<_>>());
    let closed = words.split(' ').filter(|word| word.starts_with("close")).count();
    assert_eq!(closed, 1000 - crate::limits::BLOCKS_OPEN_MAX);
}

#[test]
fn whole_answers() {
    #[rustfmt::skip]
    let table = [
        (r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[
            {"type":"thinking","thinking":"th","signature":"S"},{"type":"redacted_thinking","data":"D"},
            {"type":"text","text":"Hi","citations":null},{"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"q"}},
            {"type":"tool_use","id":"t1","name":"f","input":{"a": 1}},{"type":"tool_use","id":"t2","name":"g","input":{}}],
            "stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":3,"cache_read_input_tokens":100,"cache_creation_input_tokens":null,"output_tokens":5}}"#,
            "start(msg_1,m) open0:thinking 0'th' signature0(S) close0 open1:redacted(D) close1 open2:text 2'Hi' close2 \
             foreign(content.server_tool_use) open3:call(t1,f) 3'{\\\"a\\\": 1}' close3 open4:call(t2,g) close4 stop(ToolUse) usage(3/100/-/5/-) end"),
        (r#"{"type":"message","content":[],"stop_reason":"end_turn"}"#, "start(,) stop(EndTurn) end"),
        (r#"{"content":"only text","stop_reason":null}"#, "start(,) open0:text 0'only text' close0 end"),
        (r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, "failed(Overloaded,Overloaded)"),
        (r#"{"error":{"code":429,"message":"hidden"}}"#, "failed(RateLimit,hidden)"),
        (r#"{"id":"x","choices":[]}"#, "failed(Api,The upstream answered with something that is not a message.)"),
        ("[]", "failed(Api,The upstream answered with something that is not a message.)"),
        ("<html><title>Welcome</title></html>", "failed(Api,Welcome)"),
        ("", "failed(Api,The upstream failed and did not say why.)"),
    ];
    for (answer, want) in table {
        assert_eq!(body(answer), want, "{answer}");
    }
}

#[test]
fn a_reader_is_reused() {
    let mut reader = Reader::new();
    let mut answers = Vec::new();
    for _ in 0..2 {
        let mut words = Vec::new();
        for data in [r#"{"type":"message_start","message":{"id":"m"}}"#, &begin(4, TEXT)] {
            turn::Reader::event(&mut reader, b"", data.as_bytes(), &mut |word| words.push(short(word)));
        }
        answers.push(words.join(" "));
        reader.reset();
    }
    assert_eq!(answers, ["start(m,) open0:text", "start(m,) open0:text"]);
}

/// Events of which streams are made, the usual and the odd.
fn any_event() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        Just(String::new()),
        "[a-z]{1,3}",
        Just("\\\"\\n\\u00e9".to_owned()),
        Just("{\\\"a\\\":1}".to_owned())
    ];
    let pieces = (0..2u32, 0..4usize, text, 0..3usize).prop_map(|(index, kind, text, shape)| {
        let (kind, member) = [
            ("text_delta", "text"),
            ("thinking_delta", "thinking"),
            ("input_json_delta", "partial_json"),
            ("signature_delta", "signature"),
        ][kind];
        let fragment = format!(r#"{{"type":"{kind}","{member}":"{text}"}}"#);
        match shape {
            0 => delta(index, &fragment),
            1 => format!(r#"{{"type":"content_block_delta","index":{index},"seq":"{text}1","delta":{fragment}}}"#),
            _ => format!(r#"{{ "delta": {fragment}, "index": {index}, "type": "content_block_delta" }}"#),
        }
    });
    let call = r#"{"type":"tool_use","id":"t","name":"f","input":{"whole":1}}"#;
    let others = prop::sample::select(vec![
        begin(0, TEXT),
        begin(0, THINKING),
        begin(0, call),
        begin(1, call),
        begin(1, r#"{"type":"server_tool_use","id":"s","name":"web_search","input":{}}"#),
        end(0),
        end(1),
        r#"{"type":"ping"}"#.to_owned(),
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#.to_owned(),
        r#"{"type":"message_stop"}"#.to_owned(),
        "{".to_owned(),
        String::new(),
    ]);
    prop_oneof![4 => pieces, 1 => others]
}

proptest! {
    /// Events that are recognised by their shape say what they say when they are read.
    #[test]
    fn shapes_change_nothing(events in prop::collection::vec(any_event(), 0..40)) {
        let (mut learning, mut forgetful) = (Reader::new(), Reader::new());
        for event in &events {
            let (mut words, mut want) = (Vec::new(), Vec::new());
            turn::Reader::event(&mut learning, b"x", event.as_bytes(), &mut |word| words.push(short(word)));
            turn::Reader::event(&mut forgetful, b"x", event.as_bytes(), &mut |word| want.push(short(word)));
            forgetful.forget_shape();
            prop_assert_eq!(words, want, "{} in {:?}", event, events);
        }
    }
}
