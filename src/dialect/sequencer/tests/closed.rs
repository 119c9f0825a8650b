//! Blocks whose end is said.

use super::*;

/// Readers of other dialects say where blocks end.
#[test]
fn blocks_that_are_closed() {
    let open = |key, id: &'static str| Word::Open { key, block: Open::ToolCall { id: id.as_bytes(), name: b"f" } };
    let text = |key| Word::Open { key, block: Open::Text };
    let delta = |key, text: &'static str| Word::Delta { key, text: text.as_bytes() };
    let close = |key| Word::Close { key };
    let thinking = |key| Word::Open { key, block: Open::Thinking };
    let signature = |key| Word::Signature { key, signature: b"s" };
    #[rustfmt::skip]
    let table: Vec<(&str, Vec<Word<'_>>, &str)> = vec![
        ("one after the other", vec![text(0), delta(0, "x"), close(0), open(1, "a"), delta(1, "{}"), close(1)],
            "start0:text text0:'x' stop0 start1:tool_use(a,f) json1:'{}' stop1 md(tool_use,7+0/1)"),
        ("a key again", vec![text(0), delta(0, "x"), close(0), open(0, "a"), close(0), text(0), delta(0, "y"), close(0)],
            "start0:text text0:'x' stop0 start1:tool_use(a,f) stop1 start2:text text2:'y' stop2 md(tool_use,7+0/1)"),
        ("a key again without an end", vec![text(0), delta(0, "x"), open(0, "a")],
            "start0:text text0:'x' stop0 start1:tool_use(a,f) stop1 md(tool_use,7+0/1)"),
        ("side by side", vec![open(0, "a"), open(1, "b"), delta(0, "{"), delta(1, "{"), open(2, "c"), close(2), close(0), delta(1, "}"), close(1)],
            "start0:tool_use(a,f) json0:'{' stop0 start1:tool_use(b,f) json1:'{' json1:'}' stop1 start2:tool_use(c,f) stop2 md(tool_use,7+0/1)"),
        ("an empty block", vec![text(0), close(0), text(1), delta(1, "x"), close(1)],
            "start0:text text0:'x' stop0 md(end_turn,7+0/1)"),
        ("thoughts that are left out but for their proof", vec![thinking(0), signature(0), close(0), text(1), delta(1, "x"), close(1)],
            "start0:thinking sig0:'s' stop0 start1:text text1:'x' stop1 md(end_turn,7+0/1)"),
        ("a proof of what is no thought", vec![text(0), signature(0), delta(0, "x"), close(0), open(1, "a"), signature(1), close(1)],
            "start0:text text0:'x' stop0 start1:tool_use(a,f) stop1 md(tool_use,7+0/1)"),
        ("redacted thoughts", vec![Word::Open { key: 0, block: Open::RedactedThinking(b"d") }, close(0), text(1), delta(1, "x"), close(1)],
            "start0:redacted_thinking stop0 start1:text text1:'x' stop1 md(end_turn,7+0/1)"),
        ("more of redacted thoughts", vec![Word::Open { key: 0, block: Open::RedactedThinking(b"d") }, delta(0, "x"), close(0), text(1), delta(1, "x"), close(1)],
            "start0:redacted_thinking stop0 start1:text text1:'x' stop1 md(end_turn,7+0/1)"),
        ("redacted thoughts among arguments", vec![open(0, "a"), delta(0, "{"), Word::Open { key: 1, block: Open::RedactedThinking(b"d") }, close(1), delta(0, "}"), close(0)],
            "start0:tool_use(a,f) json0:'{' json0:'}' stop0 start1:redacted_thinking stop1 md(tool_use,7+0/1)"),
        ("more behind the end", vec![open(0, "a"), delta(0, "{}"), delta(0, " "), delta(0, "{}"), close(0), delta(0, "x")],
            "start0:tool_use(a,f) json0:'{}' json0:' ' stop0 md(tool_use,7+0/2)"),
    ];
    for (name, words, want) in table {
        let (mut sequencer, mut out) = (Sequencer::new(StreamWriter::new(&terms(), "x"), terms()), Vec::new());
        words.into_iter().chain([Word::End]).for_each(|word| sequencer.say(word, &mut out));
        assert_eq!(shown(&String::from_utf8(out).unwrap()), want, "{name}");
    }
}
