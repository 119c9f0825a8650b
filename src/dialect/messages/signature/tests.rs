use proptest::prelude::*;

use super::*;

const GENUINE: &str = "EqQBCkYIARgCKkDvCw9s+a/1QmFzZTY0IQ==";

#[test]
fn whose() {
    #[rustfmt::skip]
    let table = [
        (GENUINE,                                                            true),
        (r"EqQBCkYI\/aBcDeF+gh==",                                           true),
        ("claude#EqQBCkYIARgCKkDvCw9s",                                      true),
        ("",                                                                 false),
        ("px1.emFp",                                                         false),
        ("px1.EqQBCkYIARgCKkDvCw9s",                                         false),
        ("signature",                                                        false),
        ("c0a80101-7f3e-4b1a-9d2c-0123456789ab",                             false),
        ("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", false),
        ("not a signature at all, but words",                                false),
    ];
    for (signature, genuine) in table {
        assert_eq!(is_genuine(signature.as_bytes()), genuine, "{signature}");
    }
    let mut marked = Vec::new();
    mark("zai", &mut marked);
    assert_eq!(marked, b"px1.emFp");
    assert!(!is_genuine(&marked));
}

fn spared(body: &str) -> Option<String> {
    spare_foreign_thinking(body.as_bytes(), &mut Index::default()).map(|body| String::from_utf8(body).unwrap())
}

/// `T` stands for a genuine block, `F` for one of another vendor, `R` for a redacted one of ours, `C` for a call.
fn spelt(text: &str) -> String {
    let piece = |letter: char| match letter {
        'T' => format!("{{\"type\":\"thinking\",\"thinking\":\"t\",\"signature\":\"{GENUINE}\"}}"),
        'F' => "{\"type\":\"thinking\",\"thinking\":\"f\",\"signature\":\"px1.eA\"}".to_owned(),
        'R' => "{\"type\":\"redacted_thinking\",\"data\":\"px1.eA\"}".to_owned(),
        'C' => "{\"type\":\"tool_use\",\"id\":\"i\",\"name\":\"n\",\"input\":{\"signature\": 1.50}}".to_owned(),
        'A' => "{\"role\":\"assistant\",\"content\":".to_owned(),
        'U' => "{\"role\":\"user\",\"content\":\"u\"}".to_owned(),
        other => other.to_string(),
    };
    text.chars().map(piece).collect()
}

#[test]
fn spliced() {
    #[rustfmt::skip]
    let table = [
        // Where in a message it stands.
        (r#"{"messages":[U, A[F, C]}, U]}"#,          r#"{"messages":[U, A[C]}, U]}"#),
        (r#"{"messages":[U, A[T , F]}]}"#,            r#"{"messages":[U, A[T]}]}"#),
        (r#"{"messages":[U,A[T,F,R,C]}]}"#,           r#"{"messages":[U,A[T,C]}]}"#),
        (r#"{"messages":[U,A[F,T, F ,C,R]}]}"#,       r#"{"messages":[U,A[T, C]}]}"#),
        // A message that held nothing else.
        (r#"{"messages":[U,A[ F ]},U]}"#,             r#"{"messages":[U,U]}"#),
        (r#"{"messages":[U,A[F, R]}, A[F, C]}]}"#,    r#"{"messages":[U,A[C]}]}"#),
        (r#"{"messages":[U, A[F]}]}"#,                r#"{"messages":[U]}"#),
        // Thinking is switched off where the last turn needs what it lost.
        (r#"{"thinking":{"type":"enabled","budget_tokens":2048},"messages":[U,A[F,C]},U]}"#,
         r#"{"thinking":{"type":"disabled"},"messages":[U,A[C]},U]}"#),
        (r#"{"messages":[U,A[F,C]},U],"thinking" : {"type":"enabled"} }"#,
         r#"{"messages":[U,A[C]},U],"thinking" : {"type":"disabled"} }"#),
        (r#"{"messages":[U,A[F]},A[C]},U],"thinking":{"type":"enabled"}}"#,
         r#"{"messages":[U,A[C]},U],"thinking":{"type":"disabled"}}"#),
        // Not where it does not.
        (r#"{"thinking":{"type":"adaptive"},"messages":[U,A[F,C]},U]}"#,
         r#"{"thinking":{"type":"adaptive"},"messages":[U,A[C]},U]}"#),
        (r#"{"thinking":{"type":"enabled"},"messages":[U,A[F,C]},U,A[T,C]},U]}"#,
         r#"{"thinking":{"type":"enabled"},"messages":[U,A[C]},U,A[T,C]},U]}"#),
        (r#"{"thinking":{"type":"enabled"},"messages":[U,A[F,T,C]},U]}"#,
         r#"{"thinking":{"type":"enabled"},"messages":[U,A[T,C]},U]}"#),
        (r#"{"thinking":{"type":"enabled"},"messages":[U,A[F,{"type":"text","text":"x"}]},U]}"#,
         r#"{"thinking":{"type":"enabled"},"messages":[U,A[{"type":"text","text":"x"}]},U]}"#),
        // What else may not be where thinking is off.
        (r#"{"thinking":{"type":"enabled"},"context_management":{"edits":[{"type":"clear_thinking_20251015"},{"type":"x"}]},"messages":[A[F,C]}]}"#,
         r#"{"thinking":{"type":"disabled"},"context_management":{"edits":[{"type":"x"}]},"messages":[A[C]}]}"#),
    ];
    for (body, expected) in table {
        assert_eq!(spared(&spelt(body)), Some(spelt(expected)), "{body}");
    }
}

#[test]
fn missing_and_empty() {
    for proof in ["", ",\"signature\":\"\"", ",\"signature\" : \"\"", ",\"signature\":null", ",\"signature\":7"] {
        let body =
            spelt(&format!("{{\"messages\":[U,A[{{\"type\": \"thinking\",\"thinking\":\"f\"{proof}}},C]}},A[T]}}]}}"));
        assert_eq!(spared(&body), Some(spelt("{\"messages\":[U,A[C]},A[T]}]}")), "{proof}");
    }
}

#[test]
fn untouched() {
    #[rustfmt::skip]
    let table = [
        r#"{"messages":[U,A[T,C]},U]}"#,
        r#"{"messages":[U]}"#,
        r#"{"messages":[{"role":"user","content":"\"signature\":\"\" \"px1.x\""}]}"#,
        r#"{"messages":[U,A[{"type":"tool_use","id":"i","name":"n","input":{"signature":"","type":"thinking"}}]}]}"#,
        // What the user's message holds is not the model's.
        r#"{"messages":[{"role":"user","content":[F]}]}"#,
        r#"{"messages":[U,A"px1.x"}]}"#,
        r#"{"messages":"px1.x"}"#,
        r#"["px1.x"]"#,
        r#""px1."#,
    ];
    for body in table {
        assert_eq!(spared(&spelt(body)), None, "{body}");
    }
    for name in ["cc330-tool-002", "cc-hi-002", "aider-002", "node-sdk-021"] {
        let path = format!("{}/tests/data/captures/{name}.body", env!("CARGO_MANIFEST_DIR"));
        let body = std::fs::read(path).unwrap();
        assert!(!may_hold_foreign(&body), "{name}");
    }
}

proptest! {
    /// Cutting out gives the text that would have been there without the blocks, to the byte.
    #[test]
    fn byte_identity(messages in prop::collection::vec(prop::collection::vec(0..5usize, 1..6), 1..6), space in " {0,2}") {
        let pieces = ["T", "F", "R", "C", "{\"type\":\"text\",\"text\":\"a\\u00e9\\ud83d 1e400\"}"];
        let body = |keep: fn(&usize) -> bool| {
            let message = |blocks: &Vec<usize>| {
                let blocks: Vec<_> = blocks.iter().filter(|place| keep(place)).filter_map(|place| pieces.get(*place)).collect();
                (!blocks.is_empty()).then(|| {
                    let blocks: Vec<_> = blocks.into_iter().copied().collect();
                    format!("A[{}]}}", blocks.join(&format!(",{space}")))
                })
            };
            let messages: Vec<_> = std::iter::once("U".to_owned()).chain(messages.iter().filter_map(message)).collect();
            spelt(&format!("{{\"messages\":[{}],\"n\":1.50}}", messages.join(&format!(",{space}"))))
        };
        let (all, kept) = (body(|_| true), body(|place| *place != 1 && *place != 2));
        let expected = (all != kept).then_some(kept);
        prop_assert_eq!(spared(&all), expected);
    }

    #[test]
    fn any_bytes(body in "[\\[\\]{}\",: px1.signature]{0,60}") {
        spared(&body);
    }
}
