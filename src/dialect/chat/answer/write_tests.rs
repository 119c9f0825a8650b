//! What writers make of calls in their order, streamed and whole.

use serde_json::{Value, json};

use super::{BodyWriter, StreamWriter};
use crate::dialect::turn::{Class, Failure, Open, Stop, Terms, Usage, Writer};

const USAGE: Usage = Usage {
    input: Some(8),
    cache_read: Some(4),
    cache_write: None,
    cache_write_1h: None,
    output: Some(9),
    reasoning: None,
};

fn terms(usage: bool) -> Terms {
    Terms { model: b"cl\\u00e4ude".to_vec(), seed: [7; 16], created: 1_700_000_000, usage, ..Terms::default() }
}

/// The events of a stream: data, or a comment.
fn events(out: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(out).unwrap();
    assert!(text.is_empty() || text.ends_with("\n\n"), "{text:?}");
    text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap_or(event).to_owned()).collect()
}

/// Deltas of all chunks but the last, and what is the same in all.
fn deltas(out: &[u8]) -> Vec<Value> {
    events(out)
        .iter()
        .map(|event| serde_json::from_str::<Value>(event).unwrap()["choices"][0]["delta"].clone())
        .collect()
}

fn written(usage: bool, write: impl FnOnce(&mut StreamWriter, &mut Vec<u8>)) -> Vec<u8> {
    let (mut writer, mut out) = (StreamWriter::new(&terms(usage)), Vec::new());
    write(&mut writer, &mut out);
    out
}

fn whole(write: impl FnOnce(&mut BodyWriter, &mut Vec<u8>)) -> Value {
    let (mut writer, mut out) = (BodyWriter::new(&terms(false)), Vec::new());
    writer.start(&Usage::default(), &mut out);
    write(&mut writer, &mut out);
    serde_json::from_slice(&out).unwrap()
}

/// A block from its beginning to its end.
fn block(writer: &mut impl Writer, number: u32, block: Open<'_>, pieces: &[&str], out: &mut Vec<u8>) {
    writer.open(number, block, out);
    pieces.iter().for_each(|piece| writer.delta(number, piece.as_bytes(), out));
    writer.close(number, out);
}

/// A tool of free text is called with an object elsewhere; the client gets the text.
#[test]
fn free_text() {
    let terms = Terms { free_text_tools: vec![b"sh".to_vec()], ..terms(false) };
    let call = Open::ToolCall { id: b"c1", name: b"sh" };
    let (mut writer, mut out) = (StreamWriter::new(&terms), Vec::new());
    block(&mut writer, 0, call, &["{\\\"inp", "ut\\\":\\\"ls \\\\\\\"a\\\\\\\"\\\"}"], &mut out);
    let begun =
        json!({"tool_calls": [{"index": 0, "id": "c1", "type": "custom", "custom": {"name": "sh", "input": ""}}]});
    let text = json!({"tool_calls": [{"index": 0, "custom": {"input": "ls \"a\""}}]});
    assert_eq!(deltas(&out), [begun, text]);

    let (mut writer, mut out) = (BodyWriter::new(&terms), Vec::new());
    block(&mut writer, 0, call, &["{\\\"input\\\":\\\"ls\\\"}"], &mut out);
    writer.end(Stop::ToolUse, None, &USAGE, &mut out);
    let whole: Value = serde_json::from_slice(&out).unwrap();
    let want = json!([{"id": "c1", "type": "custom", "custom": {"name": "sh", "input": "ls"}}]);
    assert_eq!(whole["choices"][0]["message"]["tool_calls"], want);
}

#[test]
fn frames() {
    let out = written(false, |writer, out| {
        writer.start(&Usage::default(), out);
        block(writer, 0, Open::Text, &["a\\n\u{1F600}\\ud83d"], out);
        writer.ping(out);
        writer.end(Stop::EndTurn, None, &USAGE, out);
    });
    let head =
        r#"{"id":"chatcmpl-ID","object":"chat.completion.chunk","created":1700000000,"model":"cl\u00e4ude","choices":"#;
    let events = events(&out);
    let id = &events[0][r#"{"id":"chatcmpl-"#.len()..][..29];
    assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    let want = [
        r#"HEAD[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
        "HEAD[{\"index\":0,\"delta\":{\"content\":\"a\\n\u{1F600}\\ud83d\"},\"finish_reason\":null}]}",
        ": ping",
        r#"HEAD[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        "[DONE]",
    ];
    assert_eq!(events, want.map(|event| event.replace("HEAD", &head.replace("ID", id))));
}

#[test]
fn usage_comes_last() {
    let out = written(true, |writer, out| {
        writer.start(&Usage::default(), out);
        writer.end(Stop::EndTurn, None, &USAGE, out);
    });
    let chunks = events(&out);
    assert_eq!(chunks.len(), 4);
    let chunks: Vec<Value> = chunks.iter().take(3).map(|chunk| serde_json::from_str(chunk).unwrap()).collect();
    assert!(chunks.iter().take(2).all(|chunk| chunk.get("usage") == Some(&Value::Null)));
    assert_eq!(chunks[2]["choices"], json!([]));
    let usage = json!({
        "prompt_tokens": 12, "completion_tokens": 9, "total_tokens": 21, "prompt_tokens_details": {"cached_tokens": 4}
    });
    assert_eq!(chunks[2]["usage"], usage);
    assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"] && chunk["model"] == "cläude"));
}

#[test]
fn usage_in_its_parts() {
    let all = Usage {
        input: Some(1),
        cache_read: Some(2),
        cache_write: Some(4),
        cache_write_1h: Some(4),
        output: Some(8),
        reasoning: Some(3),
    };
    for (usage, want) in [
        (Usage::default(), json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})),
        (
            all,
            json!({
                "prompt_tokens": 7, "completion_tokens": 8, "total_tokens": 15,
                "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 3}
            }),
        ),
        (
            Usage { input: Some(u64::MAX), output: Some(u64::MAX), ..all },
            json!({
                "prompt_tokens": u64::MAX, "completion_tokens": u64::MAX, "total_tokens": u64::MAX,
                "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 3}
            }),
        ),
    ] {
        let answer = whole(|writer, out| writer.end(Stop::EndTurn, None, &usage, out));
        assert_eq!(answer["usage"], want);
    }
}

#[test]
fn calls() {
    let out = written(false, |writer, out| {
        writer.open(0, Open::Text, out);
        writer.open(1, Open::ToolCall { id: b"t1", name: b"f" }, out);
        writer.open(2, Open::ToolCall { id: b"t2", name: b"g" }, out);
        writer.delta(1, b"{\\\"x\\\"", out);
        writer.delta(2, b"{}", out);
        writer.delta(0, b"between", out);
        writer.delta(1, b":1}", out);
        (0..3).for_each(|number| writer.close(number, out));
        block(writer, 3, Open::ToolCall { id: b"t3", name: b"h" }, &[], out);
    });
    let begun = |index: u32, id: &str, name: &str| json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}]});
    let more = |index: u32, text: &str| json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]});
    let want = [
        begun(0, "t1", "f"),
        begun(1, "t2", "g"),
        more(0, "{\"x\""),
        more(1, "{}"),
        json!({"content": "between"}),
        more(0, ":1}"),
        begun(2, "t3", "h"),
        more(2, "{}"),
    ];
    assert_eq!(deltas(&out), want);
}

#[test]
fn thoughts() {
    let out = written(false, |writer, out| {
        writer.open(0, Open::Thinking, out);
        writer.delta(0, b"a\\n", out);
        writer.delta(0, b"b", out);
        writer.signature(0, b"Eq+/abcdefghijklmn==", out);
        writer.close(0, out);
        block(writer, 1, Open::RedactedThinking(b"Em=="), &[], out);
        writer.open(2, Open::Thinking, out);
        writer.signature(2, b"Szzzzzzzzzzzzzzz1", out);
        writer.close(2, out);
        writer.open(3, Open::Thinking, out);
        writer.delta(3, b"c", out);
        writer.signature(3, b"px1.bWU", out);
        writer.close(3, out);
    });
    let detail = |kind: &str, member: &str, value: &str, index: u32| json!({"type": kind, member: value, "format": "anthropic-claude-v1", "index": index});
    let text = |text: &str, signature: &str, index| {
        let mut detail = detail("reasoning.text", "text", text, index);
        detail["signature"] = signature.into();
        json!({"reasoning_details": [detail]})
    };
    let want = [
        json!({"reasoning_content": "a\n"}),
        json!({"reasoning_content": "b"}),
        text("a\nb", "Eq+/abcdefghijklmn==", 0),
        json!({"reasoning_details": [detail("reasoning.encrypted", "data", "Em==", 1)]}),
        text("", "Szzzzzzzzzzzzzzz1", 2),
        json!({"reasoning_content": "\n\n"}),
        json!({"reasoning_content": "c"}),
    ];
    assert_eq!(deltas(&out), want);
}

#[test]
fn thoughts_too_long_to_hold_are_a_loss() {
    let mut writer = StreamWriter::new(&terms(false));
    let mut out = Vec::new();
    writer.open(0, Open::Thinking, &mut out);
    let piece = [b'a'; 1000];
    (0..=crate::limits::THINKING_BYTES_HELD_MAX / piece.len()).for_each(|_| writer.delta(0, &piece, &mut out));
    out.clear();
    writer.signature(0, b"Szzzzzzzzzzzzzzz1", &mut out);
    assert!(out.is_empty());
    assert_eq!(writer.losses().iter().map(|loss| loss.path.as_ref()).collect::<Vec<_>>(), ["content.signature"]);
    assert!(writer.losses().is_empty());
}

/// Blocks and their texts.
type Blocks = &'static [(Open<'static>, &'static str)];

#[test]
fn refusals() {
    let out = written(false, |writer, out| {
        block(writer, 0, Open::Text, &["so"], out);
        block(writer, 1, Open::Refusal, &["no"], out);
    });
    assert_eq!(deltas(&out), [json!({"content": "so"}), json!({"refusal": "no"})]);
    #[rustfmt::skip]
    let table: &[(Blocks, Stop, Value, Value, &str)] = &[
        (&[(Open::Text, "so"), (Open::Refusal, "no")], Stop::Refusal, json!("so"), json!("no"), "content_filter"),
        (&[(Open::Refusal, "no")],                     Stop::Refusal, Value::Null, json!("no"), "content_filter"),
        (&[(Open::Text, "so")],                        Stop::Refusal, json!("so"), json!("so"), "content_filter"),
        (&[],                                          Stop::Refusal, json!(""),   Value::Null, "content_filter"),
        (&[(Open::Text, "so")],                        Stop::EndTurn, json!("so"), Value::Null, "stop"),
    ];
    for (blocks, stop, content, refusal, reason) in table {
        let answer = whole(|writer, out| {
            (0..).zip(blocks.iter()).for_each(|(number, (open, text))| block(writer, number, *open, &[text], out));
            writer.end(*stop, None, &USAGE, out);
        });
        let choice = &answer["choices"][0];
        assert_eq!((&choice["message"]["content"], &choice["message"]["refusal"]), (content, refusal));
        assert_eq!(choice["finish_reason"], *reason);
    }
}

#[test]
fn ends() {
    for (stop, reason) in [
        (Stop::EndTurn, "stop"),
        (Stop::Sequence, "stop"),
        (Stop::Pause, "stop"),
        (Stop::ToolUse, "tool_calls"),
        (Stop::MaxTokens, "length"),
        (Stop::ContextFull, "length"),
        (Stop::Refusal, "content_filter"),
    ] {
        let out = written(false, |writer, out| writer.end(stop, None, &USAGE, out));
        let chunk: Value = serde_json::from_str(&events(&out)[0]).unwrap();
        assert_eq!(chunk["choices"], json!([{"index": 0, "delta": {}, "finish_reason": reason}]));
    }
    let out = written(false, |writer, out| writer.end(Stop::Sequence, Some(b"\\n\\nH"), &USAGE, out));
    let chunk: Value = serde_json::from_str(&events(&out)[0]).unwrap();
    assert_eq!(chunk["choices"][0]["stop_reason"], "\n\nH");
}

#[test]
fn failures() {
    let failure = Failure::new(Class::Overloaded, "Overloaded");
    let error = json!({"error": {
        "message": "Overloaded", "type": "server_error", "param": null, "code": "server_is_overloaded"
    }});
    let out = written(true, |writer, out| writer.fail(&failure, out));
    assert_eq!(
        events(&out).iter().map(|event| serde_json::from_str::<Value>(event).unwrap()).collect::<Vec<_>>(),
        std::slice::from_ref(&error)
    );
    assert_eq!(whole(|writer, out| writer.fail(&failure, out)), error);
}

#[test]
fn whole_answers() {
    let answer = whole(|writer, out| {
        writer.open(0, Open::Thinking, out);
        writer.delta(0, b"t1", out);
        writer.signature(0, b"Szzzzzzzzzzzzzzz1", out);
        writer.close(0, out);
        block(writer, 1, Open::RedactedThinking(b"D"), &[], out);
        block(writer, 2, Open::Thinking, &["t", "2"], out);
        block(writer, 3, Open::Text, &["H", "i"], out);
        block(writer, 4, Open::ToolCall { id: b"a", name: b"f" }, &["{\\\"x\\\":", "1}"], out);
        block(writer, 5, Open::Text, &[" there"], out);
        block(writer, 6, Open::ToolCall { id: b"b", name: b"g" }, &[], out);
        writer.end(Stop::ToolUse, None, &USAGE, out);
    });
    let message = json!({
        "role": "assistant", "content": "Hi there", "refusal": null, "reasoning_content": "t1\n\nt2",
        "reasoning_details": [
            {"type": "reasoning.text", "text": "t1", "signature": "Szzzzzzzzzzzzzzz1", "format": "anthropic-claude-v1", "index": 0},
            {"type": "reasoning.encrypted", "data": "D", "format": "anthropic-claude-v1", "index": 1}
        ],
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}
        ]
    });
    let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": "tool_calls"});
    assert_eq!(answer["choices"], json!([choice]));
    assert_eq!((&answer["object"], &answer["created"]), (&"chat.completion".into(), &1_700_000_000.into()));
    assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-") && answer["model"] == "cläude");
    assert_eq!(answer["usage"]["total_tokens"], 21);
}

#[test]
fn content_is_null_beside_calls_alone() {
    let answer = whole(|writer, out| {
        block(writer, 0, Open::ToolCall { id: b"a", name: b"f" }, &[], out);
        writer.end(Stop::ToolUse, None, &USAGE, out);
    });
    assert_eq!(answer["choices"][0]["message"]["content"], Value::Null);
    let answer = whole(|writer, out| writer.end(Stop::EndTurn, None, &USAGE, out));
    assert_eq!(answer["choices"][0]["message"]["content"], "");
}

#[test]
fn what_is_no_text_does_no_harm() {
    let out = written(false, |writer, out| {
        block(writer, 0, Open::Text, &[], out);
        writer.open(1, Open::ToolCall { id: b"a\x01\xFF", name: b"f" }, out);
        writer.delta(1, b"\xC3", out);
        writer.delta(9, b"nobody's", out);
        writer.close(9, out);
    });
    assert_eq!(deltas(&out)[0]["tool_calls"][0]["id"], "a\u{1}\u{FFFD}");
    assert_eq!(deltas(&out).len(), 2);
}

#[test]
fn proofs_of_other_vendors_are_a_loss() {
    for signature in ["px1.bWU", "6f1c2e0a-6f1c-2e0a-6f1c-2e0a6f1c2e0a", "S"] {
        let (mut stream, mut body, mut out) =
            (StreamWriter::new(&terms(false)), BodyWriter::new(&terms(false)), Vec::new());
        let losses = [proven(&mut stream, signature, &mut out), proven(&mut body, signature, &mut Vec::new())];
        assert_eq!(losses, ["content.signature"; 2]);
        assert_eq!(deltas(&out), [json!({"reasoning_content": "t"})]);
    }
}

/// Writes thoughts and this proof; gives what was lost.
fn proven(writer: &mut impl Writer, signature: &str, out: &mut Vec<u8>) -> String {
    writer.open(0, Open::Thinking, out);
    writer.delta(0, b"t", out);
    writer.signature(0, signature.as_bytes(), out);
    writer.close(0, out);
    writer.losses().iter().map(|loss| loss.path.to_string()).collect()
}
