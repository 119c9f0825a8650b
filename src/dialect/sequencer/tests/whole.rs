//! Answers that come in one piece.

use super::*;

#[test]
fn whole_answers() {
    let body = |message: &str, reason: &str| {
        format!(
            r#"{{"id":"c","choices":[{{"message":{message},"finish_reason":"{reason}"}}],"usage":{{"prompt_tokens":12,"completion_tokens":5,"prompt_tokens_details":{{"cached_tokens":4}}}}}}"#
        )
    };
    #[rustfmt::skip]
    let table = [
        (r#"{"content":"Hi"}"#, "stop", r#"[{"type":"text","text":"Hi"}] end_turn"#),
        (r#"{"content":"Hi \ud83d\ude00","reasoning":"t\n"}"#, "stop",
            r#"[{"type":"thinking","thinking":"t\n","signature":"px1.Y2hhdA"},{"type":"text","text":"Hi 😀"}] end_turn"#),
        (r#"{"content":null,"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"x\": 1.50}"}},{"id":"b.c","function":{"name":"g","arguments":""}}]}"#, "stop",
            r#"[{"type":"tool_use","id":"a","name":"f","input":{"x":1.50}},{"type":"tool_use","id":"b_c_b476cc5a","name":"g","input":{}}] tool_use"#),
        (r#"{"content":"x","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"x\": \"lo"}}]}"#, "length",
            r#"[{"type":"text","text":"x"},{"type":"tool_use","id":"a","name":"f","input":{"x":"lo"}}] max_tokens"#),
        (r#"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"ls"}}]}"#, "stop",
            r#"[{"type":"tool_use","id":"a","name":"f","input":{"_raw_arguments":"ls"}}] tool_use"#),
        (r#"{"content":"","refusal":"no"}"#, "stop", r#"[{"type":"text","text":"no"}] refusal"#),
        (r#"{"content":null}"#, "stop", r#"[{"type":"text","text":""}] end_turn"#),
    ];
    for (message, reason, want) in table {
        let (mut sequencer, mut out) = (Sequencer::new(BodyWriter::new(&terms(), "chat"), terms()), Vec::new());
        let mut reader = Reader::with(ThinkTags::Off, false);
        reader.body(body(message, reason).as_bytes(), &mut |word| sequencer.say(word, &mut out));
        let answer: Value = serde_json::from_slice(&out).unwrap();
        let (content, stop) = want.rsplit_once(' ').unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(answer["content"], serde_json::from_str::<Value>(content).unwrap(), "{text}");
        assert_eq!((&answer["stop_reason"], &answer["model"]), (&stop.into(), &"claude-x".into()));
        assert_eq!(answer["usage"]["cache_read_input_tokens"], 4);
        // Numbers keep their spelling.
        assert!(!message.contains("1.50") || text.contains(r#"{"x": 1.50}"#), "{text}");
    }
    let (mut sequencer, mut out) = (Sequencer::new(BodyWriter::new(&terms(), "chat"), terms()), Vec::new());
    let failure = br#"{"error":{"message":"m","code":429}}"#;
    Reader::with(ThinkTags::Off, false).body(failure, &mut |word| sequencer.say(word, &mut out));
    assert!(out.is_empty() && sequencer.failure().is_some());
    sequencer.tell_failure(&mut out);
    let told: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(told["error"]["type"], "rate_limit_error");
}
