//! What must hold whatever a client sends.

use proptest::prelude::*;

use super::*;

/// Any JSON that a client might send, made of the words that mean something here.
fn anything() -> impl Strategy<Value = Json> {
    let words = [
        "user",
        "assistant",
        "system",
        "tool",
        "function",
        "text",
        "image_url",
        "file",
        "refusal",
        "thinking",
        "a",
        "b",
        "",
        " \n",
        "data:image/png;base64,AAAA",
        "{\"a\":",
        "custom",
        "required",
        "reasoning.text",
        "json_schema",
        "high",
        "\u{a0}",
        "a.b",
    ];
    let keys = [
        "role",
        "content",
        "type",
        "text",
        "image_url",
        "url",
        "tool_calls",
        "tool_call_id",
        "id",
        "function",
        "name",
        "arguments",
        "custom",
        "input",
        "refusal",
        "reasoning_content",
        "reasoning_details",
        "cache_control",
        "file",
        "file_data",
        "function_call",
        "signature",
        "parameters",
        "properties",
        "anyOf",
        "$ref",
    ];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        prop::sample::select(words.to_vec()).prop_map(Into::into),
        "\\PC{0,6}".prop_map(Into::into),
    ];
    let keys: Vec<_> = keys.iter().map(|key| (*key).to_owned()).collect();
    leaf.prop_recursive(4, 24, 5, move |inner| {
        let key = prop::sample::select(keys.clone());
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map(key, inner, 0..5).prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

fn conversation() -> impl Strategy<Value = Json> {
    let text = prop::sample::select(&["x", "", " ", "y \n"][..]);
    let id = prop::sample::select(&["1", "2", "", "a.b"][..]);
    let calls = prop::collection::vec(id.clone(), 0..3).prop_map(|ids| {
        let call = |id: &str| serde_json::json!({"id": id, "function": {"name": "f", "arguments": "{}"}});
        ids.into_iter().map(call).collect::<Json>()
    });
    let role = prop::sample::select(&["user", "assistant", "system", "tool"][..]);
    let message = (role, text, id, calls, anything(), 0..6u8).prop_map(|(role, text, id, calls, other, chance)| {
        let mut message = serde_json::json!({"role": role, "content": text});
        match role {
            "assistant" => message["tool_calls"] = calls,
            "tool" => message["tool_call_id"] = id.into(),
            _ => {}
        }
        if chance == 0 {
            message["content"] = other;
        }
        message
    });
    prop::collection::vec(message, 0..8).prop_map(Into::into)
}

proptest! {
    #[test]
    fn any_conversation(messages in conversation(), model in prop::sample::select(&[SONNET, "claude-opus-4-8", "glm-5"][..])) {
        let body = serde_json::json!({"messages": messages}).to_string();
        if let Ok(sent) = sent(&body, model) {
            holds(&sent.body);
        }
    }

    #[test]
    fn any_json(
        messages in prop_oneof![anything(), prop::collection::vec(anything(), 0..3).prop_map(Json::from)],
        fields in prop::collection::btree_map(prop::sample::select(&[
            "tools", "tool_choice", "functions", "function_call", "response_format", "reasoning_effort", "reasoning", "thinking", "stop",
            "stream_options", "user", "n", "max_tokens", "temperature", "top_p", "other",
        ][..]), anything(), 0..3),
    ) {
        let mut body = serde_json::json!({"messages": messages});
        for (name, value) in fields {
            body[name] = value;
        }
        if let Ok(sent) = sent(&body.to_string(), SONNET) {
            holds(&sent.body);
        }
    }
}
