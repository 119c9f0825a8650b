//! What must hold whatever a client sends.

use proptest::prelude::*;

use super::*;

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("text"),
        Just("tool_use"),
        Just("tool_result"),
        Just("image"),
        Just("base64"),
        Just("user"),
        Just("assistant"),
        Just("system"),
        Just("thinking"),
        Just("document"),
        Just("content"),
        Just("url"),
        Just("custom"),
        Just("server_tool_use"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        word.prop_map(Into::into),
        "\\PC{0,6}".prop_map(Into::into)
    ];
    let key = prop_oneof![
        Just("type"),
        Just("role"),
        Just("content"),
        Just("text"),
        Just("source"),
        Just("id"),
        Just("name"),
        Just("input"),
        Just("messages"),
        Just("system"),
        Just("tools"),
        Just("tool_choice"),
        Just("thinking"),
        Just("max_tokens"),
        Just("tool_use_id"),
        Just("data"),
        Just("x"),
        Just("input_schema"),
        Just("output_config"),
        Just("metadata"),
        Just("stop_sequences"),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Blocks that are mostly right.
fn block() -> impl Strategy<Value = Value> {
    let id = "[a-c]{0,2}";
    prop_oneof![
        "[ a-z\"\\\\\n\u{e9}\u{1F600}]{0,8}".prop_map(|text| json!({"type": "text", "text": text})),
        id.prop_map(|id| json!({"type": "tool_use", "id": id, "name": "f.g", "input": {"a": [1, "\n"]}})),
        (id, any_json())
            .prop_map(|(id, content)| json!({"type": "tool_result", "tool_use_id": id, "content": content})),
        "[a-z]{0,3}".prop_map(|text| json!({"type": "thinking", "thinking": text, "signature": "s"})),
        Just(json!({"type": "image", "source": {"type": "url", "url": "u"}})),
    ]
}

proptest! {
    #[test]
    fn any_json_is_read_or_refused(body in any_json(), messages in any_json()) {
        let _ = translate(body.to_string().as_bytes(), "plain", "m");
        let body = json!({"max_tokens": 1, "messages": [messages.clone()], "tools": [body]});
        let _ = translate(body.to_string().as_bytes(), "gemini,merge_unions", "m");
        let _ = translate(json!({"max_tokens": 1, "messages": messages}).to_string().as_bytes(), "plain", "m");
    }

    /// Whatever is written is JSON in which every call is answered directly behind it.
    #[test]
    fn calls_are_answered(turns in prop::collection::vec((0..3u8, prop::collection::vec(block(), 0..5)), 1..7), profile in 0..4usize) {
        let roles = ["user", "assistant", "system"];
        let messages: Vec<_> = turns.into_iter().map(|(role, blocks)| json!({"role": roles[usize::from(role)], "content": blocks})).collect();
        let profile = ["plain", "mistral", "openrouter", "zai,system_in_place,images_in_tool"][profile];
        let Ok(Translated { body, .. }) = translate(&request(json!({"messages": messages})), profile, "m") else { return Ok(()) };
        let mut open: Vec<Value> = Vec::new();
        for message in body["messages"].as_array().unwrap() {
            match message["role"] == "tool" {
                true => prop_assert_eq!(&message["tool_call_id"], &open.remove(0)),
                false => {
                    prop_assert!(open.is_empty(), "{}", body);
                    open = message["tool_calls"].as_array().into_iter().flatten().map(|call| call["id"].clone()).collect();
                }
            }
        }
        prop_assert!(open.is_empty(), "{}", body);
    }

    /// Texts arrive as they were sent, however they are escaped.
    #[test]
    fn texts_survive(text in "\\PC{1,20}[\"\\\\\n\t/\u{7f}\u{2028}]{0,4}x", ascii: bool) {
        let mut body = request(json!({"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": [
            {"type": "text", "text": text}, {"type": "tool_use", "id": "a", "name": "f", "input": {"k": text}}]}]}));
        if ascii {
            let units = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            body = String::from_utf8(body).unwrap().chars().map(|c| if c.is_ascii() { c.to_string() } else { units(c) }).collect::<String>().into();
        }
        let messages = translate(&body, "plain", "m").unwrap().body["messages"].clone();
        prop_assert_eq!(&messages[0]["content"], &json!(text));
        prop_assert_eq!(&messages[1]["content"], &json!(text));
        let arguments: Value = serde_json::from_str(messages[1]["tool_calls"][0]["function"]["arguments"].as_str().unwrap()).unwrap();
        prop_assert_eq!(arguments, json!({"k": text}));
    }
}
