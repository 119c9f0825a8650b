//! The conversation: roles, calls and their results, and what profiles make of them.

use super::*;

/// translate.md §1.2 and §1.3, pitfalls 35 to 39, 45, 46.
#[test]
fn conversations() {
    let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {"x": 1}});
    let sent = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}});
    let result = |id: &str, content: Value| json!({"type": "tool_result", "tool_use_id": id, "content": content});
    let tool = |id: &str, content: &str| json!({"role": "tool", "content": content, "tool_call_id": id});
    let text = |text: &str| json!({"type": "text", "text": text});
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO\nRw=="}});
    let url = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}});
    let user = |content: Value| json!({"role": "user", "content": content});
    let assistant = |content: Value| json!({"role": "assistant", "content": content});
    let calls = |calls: Value| json!({"role": "assistant", "content": null, "tool_calls": calls});
    let reminder = |role: &str, text: &str| json!({"role": role, "content": text});
    let note = "<system-reminder>\nnote\n</system-reminder>";
    #[rustfmt::skip]
    let table = [
        // Results first, contiguous, in the order of the calls; text after.
        (json!([assistant(json!([call("a"), call("b")])), user(json!([text("hi"), result("b", json!("B")), text("ho"), result("a", json!([text("A1"), text("A2")]))]))]),
         json!([calls(json!([sent("a"), sent("b")])), tool("a", "A1\nA2"), tool("b", "B"), user(json!("hi\nho"))])),
        // Text and thinking beside calls.
        (json!([assistant(json!([{"type": "thinking", "thinking": "t", "signature": "s"}, text("one "), text("two"), call("a")])), user(json!([result("a", json!("A"))]))]),
         json!([{"role": "assistant", "content": "one two", "tool_calls": [sent("a")]}, tool("a", "A")])),
        // None: made up. Interrupted: moved up.
        (json!([assistant(json!([call("a")])), user(json!("hi"))]), json!([calls(json!([sent("a")])), tool("a", "[tool result missing: call was interrupted]"), user(json!("hi"))])),
        (json!([assistant(json!([call("a")])), user(json!("hi")), user(json!([result("a", json!("A"))]))]), json!([calls(json!([sent("a")])), tool("a", "A"), user(json!("hi"))])),
        (json!([user(json!([result("z", json!("Z"))]))]), json!([user(json!("[tool result for z] Z"))])),
        // Any content.
        (json!([assistant(json!([call("a")])), user(json!([result("a", json!([{"type": "tool_reference", "tool_name": "x"}]))]))]),
         json!([calls(json!([sent("a")])), tool("a", r#"{"tool_name":"x","type":"tool_reference"}"#)])),
        (json!([assistant(json!([call("a")])), user(json!([result("a", json!([]))]))]), json!([calls(json!([sent("a")])), tool("a", "")])),
        (json!([assistant(json!([call("a")])), user(json!([result("a", Value::Null)]))]), json!([calls(json!([sent("a")])), tool("a", "")])),
        (json!([assistant(json!([call("a")])), user(json!([result("a", json!({"k": 1}))]))]), json!([calls(json!([sent("a")])), tool("a", r#"{"k":1}"#)])),
        (json!([assistant(json!([call("a")])), user(json!([result("a", json!([{"type": "search_result", "source": "http://s", "title": "T", "content": [text("found")]}]))]))]),
         json!([calls(json!([sent("a")])), tool("a", "T\nhttp://s\nfound")])),
        // Errors.
        (json!([assistant(json!([call("a")])), user(json!([{"type": "tool_result", "tool_use_id": "a", "is_error": true, "content": "no file"}]))]),
         json!([calls(json!([sent("a")])), tool("a", "Error: no file")])),
        (json!([assistant(json!([call("a")])), user(json!([{"type": "tool_result", "tool_use_id": "a", "is_error": true, "content": "ERROR 5"}]))]),
         json!([calls(json!([sent("a")])), tool("a", "ERROR 5")])),
        // Pictures of results come in the user's next message.
        (json!([assistant(json!([call("a")])), user(json!([result("a", json!([text("shot"), image.clone()])), text("see?")]))]),
         json!([calls(json!([sent("a")])), tool("a", "shot\n[image 1: see next message]"), user(json!([url.clone(), text("see?")]))])),
        (json!([assistant(json!([call("a")])), user(json!([result("a", json!([image.clone()]))])), assistant(json!("ok"))]),
         json!([calls(json!([sent("a")])), tool("a", "[image 1: see next message]"), user(json!([url.clone()])), assistant(json!("ok"))])),
        // Instructions.
        (json!([user(json!("hi")), reminder("system", "note"), assistant(json!("ok"))]), json!([user(json!(format!("hi\n{note}"))), assistant(json!("ok"))])),
        (json!([assistant(json!([call("a")])), reminder("system", "note"), user(json!([result("a", json!("A")), text("go")]))]),
         json!([calls(json!([sent("a")])), tool("a", "A"), user(json!(format!("{note}\ngo")))])),
        (json!([reminder("system", "top"), user(json!("hi"))]), json!([reminder("system", "top"), user(json!("hi"))])),
        // Nothing to say is not said; what stands in a row stays so.
        (json!([user(json!([text(" \n\t")])), user(json!("a")), user(json!([text("b"), text("c")])), assistant(json!([]))]), json!([user(json!("a")), user(json!("b\nc"))])),
        (json!([user(json!("hi")), assistant(json!("Well,"))]), json!([user(json!("hi")), assistant(json!("Well,"))])),
        // In the wrong mouth.
        (json!([user(json!([{"type": "thinking", "thinking": "t"}, call("z"), text("hi")]))]), json!([user(json!("hi"))])),
        // What Anthropic's servers ran.
        (json!([user(json!("hi")), assistant(json!([text("I look."), {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q \"x\""}},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"type": "web_search_result", "url": "http://u", "title": "T", "encrypted_content": "e"}]}, text("Found.")]))]),
         json!([user(json!("hi")), assistant(json!("I look.\n[web_search] q \"x\"\n\n- T: http://u\nFound."))])),
    ];
    for (given, want) in table {
        assert_eq!(said(given.clone(), "plain"), want, "{given}");
    }
}

#[test]
fn conversations_by_profile() {
    let call = json!({"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}});
    let result = |content: Value| json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": content}]});
    let assistant = |content: Value| json!({"role": "assistant", "content": content});
    let user = json!({"role": "user", "content": "hi"});
    let image = json!({"type": "image", "source": {"type": "url", "url": "http://i"}});
    let thought = |text: &str, signature: &str| json!({"type": "thinking", "thinking": text, "signature": signature});
    let first = |messages: Value, profile: &str| said(messages, profile)[0].clone();
    let thinking = json!([assistant(json!([thought("a", ""), thought("b", ""), call.clone()])), result(json!("R"))]);
    let silent = json!([assistant(json!([call.clone()])), result(json!("R"))]);
    assert_eq!(first(thinking.clone(), "deepseek")["reasoning_content"], "a\n\nb");
    assert_eq!(first(silent.clone(), "moonshot")["reasoning_content"], "");
    assert_eq!(first(thinking.clone(), "vllm")["reasoning"], "a\n\nb");
    assert!(first(silent.clone(), "vllm").get("reasoning").is_none());
    assert_eq!(first(thinking.clone(), "plain,history=think_tags")["content"], "<think>\na\n\nb\n</think>\n\n");
    let signed = json!([
        user.clone(),
        assistant(
            json!([thought("a", "sig"), {"type": "redacted_thinking", "data": "d"}, {"type": "text", "text": "x"}])
        )
    ]);
    assert_eq!(
        said(signed, "openrouter")[1]["reasoning_details"],
        json!([{"type": "reasoning.text", "text": "a", "signature": "sig", "format": "anthropic-claude-v1", "index": 0},
               {"type": "reasoning.encrypted", "data": "d", "format": "anthropic-claude-v1", "index": 1}])
    );
    assert_eq!(first(json!([assistant(json!([thought("a", "px1.x")]))]), "openrouter")["reasoning"], "a");
    assert_eq!(first(silent.clone(), "plain,null_content=off")["content"], "");
    // Ids.
    let short = said(silent.clone(), "mistral");
    assert_eq!(short[0]["tool_calls"][0]["id"], short[1]["tool_call_id"]);
    assert!(short[1]["tool_call_id"].as_str().unwrap().chars().filter(char::is_ascii_alphanumeric).count() == 9);
    let long = "x".repeat(46);
    let messages = json!([assistant(json!([{"type": "tool_use", "id": long, "name": "f", "input": {}}])),
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": long, "content": "R"}]}]);
    let messages = said(messages, "plain");
    assert_eq!(messages[0]["tool_calls"][0]["id"], messages[1]["tool_call_id"]);
    assert!(messages[1]["tool_call_id"].as_str().unwrap().len() <= 40);
    // Results.
    assert_eq!(
        said(json!([assistant(json!([call.clone()])), result(json!([]))]), "plain,no_output")[1]["content"],
        "(no output)"
    );
    let pictures = json!([assistant(json!([call.clone()])), result(json!([image.clone()]))]);
    assert_eq!(
        said(pictures.clone(), "plain,images_in_tool")[1]["content"],
        json!([{"type": "image_url", "image_url": {"url": "http://i"}}])
    );
    assert_eq!(said(pictures, "deepseek")[1]["content"], "[image omitted]");
    let pdf = json!([
        assistant(json!([call.clone()])),
        result(
            json!([{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "x"}}, {"type": "image", "source": {"type": "file", "file_id": "f"}}])
        )
    ]);
    let told = written(json!({"messages": pdf}), "vllm", "m");
    let content = told.body["messages"][1]["content"].as_str().unwrap();
    assert!(
        content.starts_with("[left out: the provider of this model reads no files;") && content.lines().count() == 2,
        "{content}"
    );
    assert!(told.losses.contains(&"dropped messages.content.source".to_owned()));
    // Roles.
    let noted = json!([user.clone(), {"role": "system", "content": "note"}]);
    assert_eq!(
        said(noted.clone(), "plain,system_in_place"),
        json!([user.clone(), {"role": "system", "content": "note"}])
    );
    assert_eq!(
        said(json!([{"role": "system", "content": "s"}, user.clone()]), "plain,developer")[0]["role"],
        "developer"
    );
    let row = json!([user.clone(), user.clone(), assistant(json!("a")), assistant(json!("b"))]);
    assert_eq!(
        said(row, "plain,alternate_roles"),
        json!([{"role": "user", "content": "hi\n\nhi"}, {"role": "assistant", "content": "a\n\nb"}])
    );
    let talk = json!([assistant(json!([call.clone()])), result(json!("R")), user.clone()]);
    let roles: Vec<_> =
        said(talk, "mistral").as_array().unwrap().iter().map(|message| message["role"].clone()).collect();
    assert_eq!(roles, ["assistant", "tool", "assistant", "user"]);
    // Beginnings of answers.
    let prefill = json!({"messages": [user.clone(), assistant(json!("Well,"))]});
    assert_eq!(written(prefill.clone(), "mistral", "m").body["messages"][1]["prefix"], true);
    assert_eq!(written(prefill.clone(), "moonshot", "m").body["messages"][1]["partial"], true);
    let body = written(prefill, "vllm", "m").body;
    assert_eq!((&body["continue_final_message"], &body["add_generation_prompt"]), (&json!(true), &json!(false)));
    assert!(written(json!({}), "vllm", "m").body.get("continue_final_message").is_none());
    // Marks.
    let marked = json!({"system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]});
    let body = written(marked.clone(), "openrouter", "m").body;
    assert_eq!(
        body["messages"][0]["content"],
        json!([{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}])
    );
    assert_eq!(written(marked, "plain", "m").losses, ["dropped system.cache_control"]);
}
