use serde_json::{Value as Tree, json};

use super::*;
use crate::dialect::Dialect::{Chat, Messages, Responses};

fn head(fields: &str) -> Option<u64> {
    let mut head = RequestHead::default();
    head.parse(format!("POST /v1/messages HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes()).unwrap();
    of_head(&head)
}

fn body(body: &Tree, dialect: Dialect) -> Option<u64> {
    let text = body.to_string();
    let mut index = Index::default();
    of_body(index.read(text.as_bytes()).unwrap(), dialect)
}

fn id(id: &str) -> Option<u64> {
    of_id(id.as_bytes())
}

#[test]
fn ids_in_the_head() {
    for (fields, want) in [
        ("", None),
        ("X-Claude-Code-Session-Id: s1\r\n", id("s1")),
        ("session_id: s1\r\nconversation_id: c1\r\n", id("s1")),
        ("conversation_id: c1\r\n", id("c1")),
        ("thread-id: t1\r\nsession-id: s1\r\n", id("s1")),
        ("x-session-id: s1\r\nx-session-affinity: a1\r\n", id("s1")),
        ("x-session-affinity: a1\r\n", id("a1")),
        ("x-session-affinity: a1\r\nX-CLAUDE-CODE-SESSION-ID: s1\r\n", id("s1")),
        ("session_id:\r\nx-session-id: s2\r\n", id("s2")),
        ("session_id:\r\n", None),
        ("cookie: session_id=1\r\n", None),
    ] {
        assert_eq!(head(fields), want, "{fields:?}");
    }
    assert_ne!(id("s1"), id("s2"));
}

#[test]
fn ids_in_the_body() {
    let said = json!([{"role": "user", "content": "hello"}]);
    let by_claude_code = r#"{"device_id":"d","session_id":"s1"}"#;
    for (dialect, request, want) in [
        (Chat, json!({"messages": said, "prompt_cache_key": "k"}), id("k")),
        (Messages, json!({"messages": said, "prompt_cache_key": "k", "metadata": {"user_id": "u"}}), id("k")),
        (Responses, json!({"input": said, "prompt_cache_key": "k", "previous_response_id": "r"}), id("k")),
        (Messages, json!({"messages": said, "metadata": {"user_id": by_claude_code}}), id("s1")),
        (Messages, json!({"messages": said, "metadata": {"user_id": "user_1_session_s1"}}), id("user_1_session_s1")),
        (Messages, json!({"messages": said, "metadata": {"user_id": "{\"session_id\""}}), id(r#"{\"session_id\""#)),
        (Messages, json!({"messages": said, "metadata": {"user_id": r#"{"a":1}"#}}), id(r#"{\"a\":1}"#)),
        (Responses, json!({"input": said, "conversation": "c", "previous_response_id": "r"}), id("c")),
        (Responses, json!({"input": said, "conversation": {"id": "c"}}), id("c")),
        (Responses, json!({"input": said, "previous_response_id": "r"}), id("r")),
        (Responses, json!({"input": "hello"}), Some(prefix("hello"))),
        // Not of this dialect, or not as it should be.
        (Chat, json!({"messages": said, "metadata": {"user_id": "u"}, "conversation": "c"}), Some(prefix("hello"))),
        (Messages, json!({"messages": said, "metadata": {"user_id": ""}}), Some(prefix("hello"))),
        (
            Messages,
            json!({"messages": said, "metadata": {"user_id": 7}, "prompt_cache_key": ["k"]}),
            Some(prefix("hello")),
        ),
        (
            Responses,
            json!({"input": said, "conversation": {"id": 7}, "previous_response_id": null}),
            Some(prefix("hello")),
        ),
        // Nothing to know it by.
        (Chat, json!({"messages": [], "model": "m"}), None),
        (Chat, json!({"messages": [{"role": "system", "content": "be"}]}), None),
        (Chat, json!({"messages": [{"role": "user", "content": ""}]}), None),
        (Chat, json!({"messages": [{"role": "user"}]}), None),
        (Chat, json!({"prompt": "once upon a time"}), None),
        (Responses, json!({"input": [{"type": "item_reference", "id": "i"}]}), None),
        (Messages, json!([1]), None),
    ] {
        assert_eq!(body(&request, dialect), want, "{request}");
    }
}

/// The key of a conversation that begins with this.
fn prefix(text: &str) -> u64 {
    body(&json!({"messages": [{"role": "user", "content": text}]}), Chat).unwrap()
}

/// What agents change from turn to turn changes nothing; what makes it another conversation does.
#[test]
fn the_turns_of_one_conversation() {
    let part = |text: &str| json!({"type": "text", "text": text});
    let marked = |text: &str| json!({"type": "text", "text": text, "cache_control": {"type": "ephemeral"}});
    let user = |content: Tree| json!({"role": "user", "content": content});
    let answer = json!({"role": "assistant", "content": "an answer"});
    let key = |messages: Tree| body(&json!({"system": "x", "messages": messages}), Messages);

    let first = key(json!([user(json!("hello"))]));
    for same in [
        json!([user(json!([marked("hello")]))]),
        json!([user(json!([part("hello")])), answer, user(json!([marked("more")]))]),
        json!([{"content": "hello", "role": "user", "cache_control": {"type": "ephemeral"}}, answer]),
        json!([{"role": "system", "content": "of this turn"}, user(json!("hello"))]),
    ] {
        assert_eq!(key(same.clone()), first, "{same}");
    }
    let two = key(json!([user(json!([part("hel"), part("lo")]))]));
    for other in
        [json!([user(json!("hello "))]), json!([user(json!("Hello"))]), json!([user(json!([part("hell"), part("o")]))])]
    {
        assert_ne!(key(other.clone()), first, "{other}");
        assert_ne!(key(other.clone()), two, "{other}");
    }

    let picture = |data: &str| json!({"type": "image", "source": {"type": "base64", "data": data}});
    let with_mark = |mut part: Tree| {
        part["cache_control"] = json!({"type": "ephemeral"});
        part
    };
    let (a, b) = (picture("A"), picture("B"));
    assert_eq!(key(json!([user(json!([a]))])), key(json!([user(json!([with_mark(a.clone())]))])));
    assert_ne!(key(json!([user(json!([a]))])), key(json!([user(json!([b]))])));
    assert_ne!(key(json!([user(json!([part("x"), a]))])), key(json!([user(json!([part("x"), b]))])));
}

#[test]
fn a_long_beginning_is_known_by_its_first_part() {
    let long = "x".repeat(PREFIX_BYTES_MAX);
    assert_eq!(prefix(&long), prefix(&format!("{long}y")));
    assert_ne!(prefix(&long), prefix(&format!("y{long}")));
    assert_ne!(prefix(&long), prefix(&long[1..]));
}

/// Two turns of one session have one key, by the head and by the body.
#[test]
fn of_real_clients() {
    macro_rules! capture {
        ($name:literal) => {{
            let call = include_str!(concat!("../../../tests/data/captures/", $name, ".json"));
            let body = include_str!(concat!("../../../tests/data/captures/", $name, ".body"));
            (serde_json::from_str::<Tree>(call).unwrap(), serde_json::from_str::<Tree>(body).unwrap())
        }};
    }
    for (name, dialect, (call, request), by_head, by_body) in [
        (
            "Claude Code",
            Messages,
            capture!("cc330-tool-002"),
            id("00000000-0000-4000-8000-00000000000a"),
            id("00000000-0000-4000-8000-00000000000a"),
        ),
        (
            "Codex",
            Responses,
            capture!("codex-tool-002"),
            id("00000000-0000-4000-8000-000000000013"),
            id("00000000-0000-4000-8000-000000000013"),
        ),
        ("Codex, older", Chat, capture!("codex077-chat-tool2-002"), id("00000000-0000-4000-8000-00000000001c"), None),
        ("aider", Messages, capture!("aider-002"), None, None),
        ("Anthropic's SDK", Messages, capture!("node-sdk-021"), None, None),
    ] {
        let fields: String = call["headers"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|field| !field[0].as_str().unwrap().eq_ignore_ascii_case("host"))
            .map(|field| format!("{}: {}\r\n", field[0].as_str().unwrap(), field[1].as_str().unwrap()))
            .collect();
        assert_eq!(head(&fields), by_head, "{name}");
        let found = body(&request, dialect);
        assert!(found.is_some() && (by_body.is_none() || found == by_body), "{name}");

        // The next turn of it.
        let mut next = request.clone();
        let list = if dialect == Responses { "input" } else { "messages" };
        let more = [json!({"role": "assistant", "content": "done"}), json!({"role": "user", "content": "go on"})];
        next[list].as_array_mut().unwrap().extend(more);
        assert_eq!(body(&next, dialect), found, "{name}");
    }
}
