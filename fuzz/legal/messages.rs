//! What a Messages client accepts.

use serde_json::{Value, json};
use sidestream::sse::Splitter;

/// Holds a stream to the state machine of the Messages reference.
pub fn check(out: &[u8]) {
    let mut events = Vec::new();
    assert!(out.is_empty() || out.ends_with(b"\n\n"));
    Splitter::new(usize::MAX).push(out, |event| events.push((event.name.to_vec(), event.data.to_vec()))).unwrap();
    let (mut open, mut begun, mut ids) = (None::<String>, 0, Vec::new());
    let (mut has_ended, mut is_signed) = (false, true);
    for (number, (name, data)) in events.iter().enumerate() {
        let event: Value = serde_json::from_slice(data).expect("an event is JSON");
        let name = str::from_utf8(name).unwrap();
        let is_last = number + 1 == events.len();
        assert_eq!(event["type"], name);
        assert_eq!(number == 0, name == "message_start");
        assert_eq!(is_last, matches!(name, "message_stop" | "error"));
        match name {
            "message_start" => assert!(event["message"]["usage"]["input_tokens"].is_u64()),
            "content_block_start" => {
                let block = &event["content_block"];
                assert!(open.is_none() && !has_ended);
                assert_eq!(event["index"], begun);
                begun += 1;
                let kind = block["type"].as_str().unwrap().to_owned();
                if kind == "tool_use" {
                    let id = block["id"].as_str().unwrap().to_owned();
                    assert!(
                        !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)),
                        "{id}"
                    );
                    assert!(!ids.contains(&id) && block["input"] == json!({}) && block["name"] != "");
                    ids.push(id);
                }
                is_signed = kind != "thinking";
                open = Some(kind);
            }
            "content_block_delta" => {
                assert_eq!(event["index"], begun - 1);
                let kind = event["delta"]["type"].as_str().unwrap();
                let fits = match open.as_deref().unwrap() {
                    "text" => kind == "text_delta",
                    "thinking" => kind == "thinking_delta" || kind == "signature_delta",
                    "tool_use" => kind == "input_json_delta",
                    _ => false,
                };
                assert!(fits, "{event}");
                is_signed |= kind == "signature_delta";
            }
            "content_block_stop" => {
                assert_eq!(event["index"], begun - 1);
                assert!(open.take().is_some() && is_signed);
            }
            "message_delta" => {
                assert!(open.is_none() && begun > 0 && !has_ended && event["usage"]["output_tokens"].is_u64());
                let stop = event["delta"]["stop_reason"].as_str().unwrap();
                assert!(stop != "tool_use" || !ids.is_empty());
                assert!(stop != "end_turn" || ids.is_empty());
                has_ended = true;
            }
            "message_stop" => assert!(has_ended),
            "ping" => assert!(!has_ended),
            "error" => assert!(!has_ended && event["error"]["message"].is_string()),
            other => panic!("{other}"),
        }
    }
}
