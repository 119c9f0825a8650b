use proptest::prelude::*;
use serde_json::{Value as Tree, json};

use super::*;
use crate::dialect::Dialect::{Chat, Messages, Responses};
use crate::json::Index;
use crate::route::look::{Seen, Wanted, look};

fn seen(body: &str, dialect: Dialect) -> Features {
    look(body.as_bytes(), dialect, Wanted { features: true, session: false }, &mut Index::default()).features
}

/// `image thinking tools`, those that hold.
fn names(features: Features) -> String {
    let there = Feature::ALL.into_iter().filter(|feature| features.holds.has(*feature));
    there.map(Feature::name).collect::<Vec<_>>().join(" ")
}

/// One user's message with one part.
fn with_part(part: Tree) -> Tree {
    json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "what is it?"}, part]}]})
}

fn with_item(item: Tree) -> Tree {
    json!({"model": "m", "input": [{"role": "user", "content": "what is it?"}, item]})
}

const PNG: &str = "data:image/png;base64,iVBORw0KGgo=";

#[test]
fn pictures() {
    let tool_result = |content: Tree| with_part(json!({"type": "tool_result", "tool_use_id": "t", "content": content}));
    let picture = || json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}});
    let lies = json!({"type": "image_url", "image_url": {"url": PNG}});
    let table = [
        (Chat, with_part(json!({"type": "image_url", "image_url": {"url": PNG, "detail": "low"}})), true),
        (Chat, with_part(json!({"type": "image_url", "image_url": "https://example.com/a.png"})), true),
        (Chat, with_part(json!({"type": "image_url", "image_url": 7})), true),
        (Chat, with_part(json!({"type": "input_image", "image_url": PNG})), true),
        (Chat, with_part(json!({"type": "file", "file": {"filename": "a.png", "file_data": PNG}})), true),
        (
            Chat,
            with_part(json!({"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}})),
            false,
        ),
        (Chat, json!({"messages": [{"role": "tool", "tool_call_id": "t", "content": [lies]}]}), true),
        (Chat, json!({"messages": [{"role": "assistant", "content": "", "images": [lies]}]}), true),
        (Chat, with_part(json!({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}})), false),
        (Messages, with_part(picture()), true),
        (Messages, with_part(json!({"type": "image", "source": {"type": "file", "file_id": "f"}})), true),
        (Messages, tool_result(json!([{"type": "text", "text": "see"}, picture()])), true),
        (Messages, tool_result(json!("a picture")), false),
        (
            Messages,
            tool_result(json!([{"type": "document", "source": {"type": "content", "content": [picture()]}}])),
            true,
        ),
        (Messages, with_part(json!({"type": "document", "source": {"type": "content", "content": "image"}})), false),
        (Messages, with_part(json!({"type": "document", "source": {"type": "base64", "data": "JVBERi0="}})), false),
        (Responses, with_item(json!({"role": "user", "content": [{"type": "input_image", "image_url": PNG}]})), true),
        (Responses, with_item(json!({"type": "message", "content": [{"type": "input_image", "file_id": "f"}]})), true),
        (Responses, with_item(json!({"type": "message", "content": [{"type": "input_file", "file_data": PNG}]})), true),
        (
            Responses,
            with_item(json!({"type": "function_call_output", "output": [{"type": "input_image", "image_url": PNG}]})),
            true,
        ),
        (Responses, with_item(json!({"type": "function_call_output", "output": "input_image"})), false),
        (
            Responses,
            with_item(
                json!({"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": PNG}}),
            ),
            true,
        ),
        (Responses, with_item(json!({"type": "image_generation_call", "result": "iVBORw0KGgo="})), true),
        (
            Responses,
            json!({"input": "look", "prompt": {"id": "p", "variables": {"v": {"type": "input_image", "file_id": "f"}}}}),
            true,
        ),
        (Responses, json!({"input": "input_image"}), false),
        // Where no dialect has one.
        (Chat, json!({"messages": [lies]}), false),
        (Chat, json!({"messages": [{"role": "user", "content": lies}]}), false),
        (Chat, json!({"messages": [{"role": "user", "content": [lies.to_string()]}]}), false),
        (Chat, json!({"input": [{"role": "user", "content": [lies]}]}), false),
        (
            Chat,
            json!({"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": lies.to_string()}}]}]}),
            false,
        ),
        (
            Messages,
            with_part(json!({"type": "tool_use", "id": "t", "name": "n", "input": {"content": [picture()]}})),
            false,
        ),
        (Messages, json!({"messages": [], "tools": [{"input_schema": {"examples": [picture()]}}]}), false),
        (
            Messages,
            with_part(json!({"type": "text", "text": "t", "source": {"type": "base64", "data": "iVBO"}})),
            false,
        ),
        (Messages, with_part(json!({"type": ["image"]})), false),
        (Responses, json!({"messages": [{"role": "user", "content": [{"type": "input_image"}]}]}), false),
        // Nothing of the right type.
        (Chat, json!({"messages": {"content": [lies]}}), false),
        (Chat, json!({"messages": "image_url"}), false),
        (Chat, json!([lies]), false),
        (Messages, json!(null), false),
    ];
    for (dialect, body, want) in table {
        assert_eq!(seen(&body.to_string(), dialect).holds.has(Feature::Image), want, "{body}");
    }
}

#[test]
fn nesting_ends() {
    let nested = |depth| {
        let picture = json!({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}});
        (0..depth).fold(picture, |inner, _| json!({"type": "tool_result", "content": [inner]}))
    };
    for (depth, want) in [(0, true), (1, true), (DEEPEST, true), (DEEPEST + 1, false), (40, false)] {
        assert_eq!(seen(&with_part(nested(depth)).to_string(), Messages).holds.has(Feature::Image), want, "{depth}");
    }
}

#[test]
fn thinking_and_tools() {
    for (dialect, body, want) in [
        (Messages, r#"{"thinking":{"type":"enabled","budget_tokens":1024}}"#, "thinking"),
        (Messages, r#"{"thinking":{"type":"adaptive"}}"#, "thinking"),
        (Messages, r#"{"thinking":{"type":"of a later version"}}"#, "thinking"),
        (Messages, r#"{"thinking":{"type":"disabled"}}"#, ""),
        (Messages, r#"{"thinking":{"type":"between_tools"}}"#, ""),
        (Messages, r#"{"thinking":{"budget_tokens":1024}}"#, ""),
        (Messages, r#"{"thinking":{"type":true}}"#, ""),
        (Messages, r#"{"thinking":null}"#, ""),
        (Messages, r#"{"thinking":"enabled"}"#, ""),
        (Messages, r#"{"output_config":{"effort":"high"},"reasoning_effort":"high"}"#, ""),
        (Messages, r#"{"tools":[{"name":"n","input_schema":{}}],"thinking":{"type":"adaptive"}}"#, "thinking tools"),
        (Messages, r#"{"tools":[]}"#, ""),
        (Messages, r#"{"tools":{"name":"n"}}"#, ""),
        (Messages, r#"{"functions":[{"name":"n"}]}"#, ""),
        // The last of two counts, as at the upstream.
        (Messages, r#"{"tools":[{"name":"n"}],"tools":[]}"#, ""),
        (Messages, r#"{"tools":[],"tools":[{"name":"n"}]}"#, "tools"),
        (Messages, r#"{"t\u006fols":[{"name":"n"}]}"#, "tools"),
        (Chat, r#"{"reasoning_effort":"low"}"#, "thinking"),
        (Chat, r#"{"reasoning_effort":"minimal"}"#, "thinking"),
        (Chat, r#"{"reasoning_effort":"none"}"#, ""),
        (Chat, r#"{"reasoning_effort":3}"#, ""),
        (Chat, r#"{"reasoning":{"effort":"high"}}"#, "thinking"),
        (Chat, r#"{"reasoning":{"effort":"none"}}"#, ""),
        (Chat, r#"{"reasoning":{"max_tokens":2000}}"#, "thinking"),
        (Chat, r#"{"reasoning":{"max_tokens":0}}"#, ""),
        (Chat, r#"{"reasoning":{"enabled":true}}"#, "thinking"),
        (Chat, r#"{"reasoning":{"enabled":false,"effort":"high"}}"#, ""),
        (Chat, r#"{"reasoning":{"exclude":true}}"#, ""),
        (Chat, r#"{"thinking":{"type":"enabled"}}"#, "thinking"),
        (Chat, r#"{"thinking":{"type":"disabled"}}"#, ""),
        (Chat, r#"{"enable_thinking":true}"#, "thinking"),
        (Chat, r#"{"enable_thinking":false}"#, ""),
        (Chat, r#"{"chat_template_kwargs":{"enable_thinking":true}}"#, "thinking"),
        (Chat, r#"{"chat_template_kwargs":{"thinking":true}}"#, "thinking"),
        (Chat, r#"{"chat_template_kwargs":{"enable_thinking":false}}"#, ""),
        (Chat, r#"{"tools":[{"type":"function","function":{"name":"n"}}]}"#, "tools"),
        (Chat, r#"{"functions":[{"name":"n"}]}"#, "tools"),
        (Chat, r#"{"functions":[],"tools":[],"tool_choice":"auto"}"#, ""),
        (Responses, r#"{"reasoning":{"effort":"medium"}}"#, "thinking"),
        (Responses, r#"{"reasoning":{"effort":"none"}}"#, ""),
        (Responses, r#"{"reasoning":{"effort":null,"summary":"auto"}}"#, ""),
        (Responses, r#"{"reasoning_effort":"high","thinking":{"type":"enabled"}}"#, ""),
        (Responses, r#"{"tools":[{"type":"web_search"}]}"#, "tools"),
        // Refused by the index: the upstream will say what is wrong with it.
        (Chat, r#"{"reasoning_effort":"high","tools":[1],}"#, ""),
        (Chat, "", ""),
    ] {
        assert_eq!(names(seen(body, dialect)), want, "{dialect:?} {body}");
    }
}

#[test]
fn text_bytes_are_those_of_the_body_but_for_base64() {
    let data = |bytes| "A".repeat(bytes);
    // What the body has without its base64; then what the base64 counts as.
    let pdf = |bytes: usize| {
        let source = json!({"type": "base64", "media_type": "application/pdf", "data": data(bytes)});
        (Messages, with_part(json!({"type": "document", "source": source})), bytes)
    };
    let url = |kind: &str, bytes: usize| {
        let url = format!("data:image/png;base64,{}", data(bytes));
        (Chat, with_part(json!({"type": kind, kind: {"url": url}})), url.len())
    };
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data(90_000)}});
    for ((dialect, body, base64), counts) in [
        ((Chat, json!({"messages": [{"role": "user", "content": data(5_000)}]}), 0), 0),
        (url("image_url", 1_000_000), PICTURE_BYTES),
        (url("video_url", 1_000_000), 976),
        ((Chat, with_part(json!({"type": "image_url", "image_url": "https://example.com/a.png"})), 0), PICTURE_BYTES),
        (
            (
                Chat,
                with_part(json!({"type": "input_audio", "input_audio": {"data": data(65_536), "format": "wav"}})),
                65_536,
            ),
            64,
        ),
        ((Chat, with_part(json!({"type": "file", "file": {"file_data": data(160_000)}})), 160_000), 10_000),
        ((Chat, with_part(json!({"type": "file", "file": {"file_id": "f"}})), 0), PICTURE_BYTES),
        (pdf(160_000), 10_000),
        (pdf(100), PICTURE_BYTES),
        ((Messages, with_part(image.clone()), 90_000), PICTURE_BYTES),
        ((Messages, with_part(json!({"type": "tool_result", "content": [image, image]})), 180_000), 2 * PICTURE_BYTES),
        ((Messages, with_part(json!({"type": "document", "source": {"type": "text", "data": data(9_000)}})), 0), 0),
        (
            (
                Messages,
                with_part(json!({"type": "web_fetch_tool_result", "content": {"type": "web_fetch_result", "content":
                    {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": data(160_000)}}}})),
                160_000,
            ),
            10_000,
        ),
        (
            (
                Responses,
                with_item(json!({"role": "user", "content": [{"type": "input_file", "file_data": data(160_000)}]})),
                160_000,
            ),
            10_000,
        ),
        (
            (Responses, with_item(json!({"type": "image_generation_call", "result": data(300_000)})), 300_000),
            PICTURE_BYTES,
        ),
    ] {
        let body = body.to_string();
        assert_eq!(seen(&body, dialect).text_bytes, body.len() - base64 + counts, "{:.300}", body);
    }
    assert_eq!(seen("{", Chat), Features::default());
}

#[test]
fn of_real_clients() {
    macro_rules! capture {
        ($name:literal) => {
            include_str!(concat!("../../../tests/data/captures/", $name, ".body"))
        };
    }
    for (name, dialect, body, want) in [
        ("Claude Code, first turn", Messages, capture!("cc330-hi-001"), "thinking tools"),
        ("Claude Code, a tool's result", Messages, capture!("cc330-tool-002"), "thinking tools"),
        ("Claude Code, older", Messages, capture!("cc-hi-002"), "thinking tools"),
        ("aider", Messages, capture!("aider-002"), ""),
        // It names a summary and no effort.
        ("Codex", Responses, capture!("codex-hi-001"), "tools"),
        ("Codex, a tool's result", Responses, capture!("codex-tool-002"), "tools"),
        ("Codex, older", Chat, capture!("codex077-chat-tool2-002"), "tools"),
        ("OpenAI's SDK", Chat, capture!("node-sdk-012"), "tools"),
        ("OpenAI's SDK", Chat, capture!("node-sdk-013"), "tools"),
        ("OpenAI's SDK", Responses, capture!("node-sdk-017"), "tools"),
        ("Anthropic's SDK", Messages, capture!("node-sdk-020"), "tools"),
        ("Anthropic's SDK", Messages, capture!("node-sdk-021"), "tools"),
    ] {
        let features = seen(body, dialect);
        assert_eq!((names(features).as_str(), features.text_bytes), (want, body.trim().len()), "{name}");
    }
}

#[test]
fn only_what_is_wanted() {
    let body = br#"{"tools":[1],"prompt_cache_key":"k","messages":[]}"#;
    let mut index = Index::default();
    let mut look = |features, session| look(body, Chat, Wanted { features, session }, &mut index);
    let both = look(true, true);
    assert!(both.features.holds.has(Feature::Tools) && both.session.is_some());
    assert_eq!(look(true, false), Seen { session: None, ..both });
    assert_eq!(look(false, true), Seen { features: Features::default(), ..both });
    assert_eq!(look(false, false), Seen::default());
}

/// JSON that has the dialects' words at all places.
fn tangle() -> impl Strategy<Value = Tree> {
    let word = prop::sample::select(vec![
        "type",
        "content",
        "messages",
        "input",
        "tools",
        "image",
        "image_url",
        "source",
        "data",
        "url",
        "base64",
        "document",
        "tool_result",
        "output",
        "thinking",
        "reasoning",
        "effort",
        "file",
        "file_data",
        PNG,
        "prompt",
        "variables",
        "role",
        "user",
        "text",
        "metadata",
        "user_id",
        "conversation",
        "id",
        "{\"session_id\":1",
    ]);
    let leaf = prop_oneof![
        word.clone().prop_map(Tree::from),
        any::<bool>().prop_map(Tree::from),
        any::<u32>().prop_map(Tree::from),
        Just(Tree::Null)
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Tree::from),
            prop::collection::vec((word.clone(), inner), 0..5)
                .prop_map(|members| members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Tree>()),
        ]
    })
}

proptest! {
    /// Never more base64 than the body has bytes.
    #[test]
    fn any_json_is_looked_into(body in tangle(), dialect in prop::sample::select(vec![Chat, Messages, Responses])) {
        let text = body.to_string();
        let wanted = Wanted { features: true, session: true };
        let features = look(text.as_bytes(), dialect, wanted, &mut Index::default()).features;
        let is_seen = features.holds.has(Feature::Image);
        prop_assert!(is_seen || features.text_bytes >= PICTURE_BYTES || features.text_bytes <= text.len());
        if is_seen {
            prop_assert!(features.text_bytes >= PICTURE_BYTES && text.contains("image"));
        }
    }
}
