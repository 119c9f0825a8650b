//! The conversation: roles, calls and their results, thoughts, pictures.

use super::*;

#[test]
fn roles() {
    #[rustfmt::skip]
    conversations(&[
        (r#"{"role":"user","content":"caf\u00e9 \ud83d\n"}"#,
         r#""messages":[{"role":"user","content":[«caf\u00e9 \ud83d\n»]}]"#),
        // Leading instructions, one block each; their marks stay.
        (r#"{"role":"system","content":"a"},{"role":"developer","content":[{"type":"text","text":"b","cache_control":{"type":"ephemeral"}},{"type":"text","text":" "}]},{"role":"user","content":"u"}"#,
         r#""system":[«a»,{"type":"text","text":"b","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":[«u»]}]"#),
        // Later ones.
        (r#"{"role":"user","content":"u"},{"role":"assistant","content":"a"},{"role":"system","content":"s"},{"role":"user","content":"v"}"#,
         r#""messages":[{"role":"user","content":[«u»]},{"role":"assistant","content":[«a»]},{"role":"user","content":[«<system-reminder>\ns\n</system-reminder>»,«v»]}] ! messages.role approximated"#),
        // … behind the results.
        (r#"{"role":"user","content":"u"},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"system","content":"s"},{"role":"tool","tool_call_id":"1","content":"x"}"#,
         r#""messages":[{"role":"user","content":[«u»]},{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"x"},«<system-reminder>\ns\n</system-reminder>»]}] ! messages.role approximated"#),
        // One role after another is one turn.
        (r#"{"role":"user","content":"u"},{"role":"user","content":[{"type":"text","text":"v"},"w"]},{"role":"assistant","content":"a"},{"role":"assistant","content":[{"type":"text","text":"b"}]},{"role":"user","content":"x"}"#,
         r#""messages":[{"role":"user","content":[«u»,«v»,«w»]},{"role":"assistant","content":[«a»,«b»]},{"role":"user","content":[«x»]}]"#),
        // The assistant's first, nobody's, nothing.
        (r#"{"role":"assistant","content":"a"},{"role":"user","content":"u"}"#,
         r#""messages":[{"role":"user","content":[«(continue)»]},{"role":"assistant","content":[«a»]},{"role":"user","content":[«u»]}] ! messages invented"#),
        (r#"{"role":"system","content":"s"}"#, r#""system":[«s»],"messages":[{"role":"user","content":[«.»]}] ! messages invented"#),
        (r#"{"role":"user","content":" \n"}"#, r#""messages":[{"role":"user","content":[«.»]}] ! messages invented"#),
        // Empty turns and texts.
        (r#"{"role":"user","content":"u"},{"role":"assistant","content":""},{"role":"user","content":[{"type":"text","text":""},{"type":"text","text":null},{"type":"text","text":"v"}]}"#,
         r#""messages":[{"role":"user","content":[«u»,«v»]}]"#),
        // A turn that the answer continues.
        (r#"{"role":"user","content":"u"},{"role":"assistant","content":"{ \n\t"}"#,
         r#""messages":[{"role":"user","content":[«u»]},{"role":"assistant","content":[«{»]}]"#),
        // Refusals are text; names, speech and unknown members have no word.
        (r#"{"role":"user","content":"u","name":"bob"},{"role":"assistant","content":null,"refusal":"no"},{"role":"assistant","content":[{"type":"refusal","refusal":"never"}],"audio":{"id":"a"},"refusal":null},{"role":"user","content":"v"}"#,
         r#""messages":[{"role":"user","content":[«u»]},{"role":"assistant","content":[«no»,«never»]},{"role":"user","content":[«v»]}] ! messages.name dropped, messages.audio dropped"#),
    ], SONNET);
}

#[test]
fn newer_models() {
    // The newest keep later instructions in their place where the rules for it are met.
    #[rustfmt::skip]
    conversations(&[
        (r#"{"role":"user","content":"u"},{"role":"system","content":"s"},{"role":"developer","content":"t"},{"role":"assistant","content":"a"},{"role":"user","content":"v"},{"role":"system","content":"w"}"#,
         r#""messages":[{"role":"user","content":[«u»]},{"role":"system","content":[«s»,«t»]},{"role":"assistant","content":[«a»]},{"role":"user","content":[«v»]},{"role":"system","content":[«w»]}]"#),
        (r#"{"role":"user","content":"u"},{"role":"system","content":"s"},{"role":"user","content":"v"}"#,
         r#""messages":[{"role":"user","content":[«u»,«<system-reminder>\ns\n</system-reminder>»,«v»]}] ! messages.role approximated"#),
        (r#"{"role":"user","content":"u"},{"role":"assistant","content":"a"},{"role":"system","content":"s"}"#,
         r#""messages":[{"role":"user","content":[«u»]},{"role":"assistant","content":[«a»]},{"role":"user","content":[«<system-reminder>\ns\n</system-reminder>»]}] ! messages.role approximated"#),
        // They do not continue the assistant's turn.
        (r#"{"role":"user","content":"u"},{"role":"assistant","content":"a "}"#,
         r#""messages":[{"role":"user","content":[«u»]},{"role":"assistant","content":[«a »]},{"role":"user","content":[«Continue.»]}] ! messages invented"#),
    ], "claude-opus-4-8");
}

#[test]
fn calls_and_results() {
    #[rustfmt::skip]
    conversations(&[
        // Ids that Messages does not allow, on both sides; results of one turn together, in front.
        (r#"{"role":"user","content":"u"},{"role":"assistant","content":"","tool_calls":[{"id":"functions.Bash:0","type":"function","function":{"name":"Bash","arguments":"{\"n\": 1.50}"}},{"id":"b","function":{"name":"Read","arguments":""}}]},{"role":"tool","tool_call_id":"b","content":[{"type":"text","text":"y"}]},{"role":"tool","tool_call_id":"functions.Bash:0","content":"x"},{"role":"user","content":"v"}"#,
         r#""messages":[{"role":"user","content":[«u»]},{"role":"assistant","content":[{"type":"tool_use","id":"functions_Bash_0_a97d1507","name":"Bash","input":{"n": 1.50}},{"type":"tool_use","id":"b","name":"Read","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"functions_Bash_0_a97d1507","content":"x"},{"type":"tool_result","tool_use_id":"b","content":"y"},«v»]}]"#),
        // Inputs of every kind.
        (r#"{"role":"user","content":"u"},{"role":"assistant","content":"a","tool_calls":[{"id":"1","function":{"name":"f","arguments":{"a":1}}},{"id":"2","function":{"name":"f","arguments":"[1]"}},{"id":"3","function":{"name":"f"}},{"id":"4","function":{"name":"f","arguments":"ls"}},{"id":"5","function":{"name":"f","arguments":[2]}}]},{"role":"tool","tool_call_id":"1","content":""},{"role":"tool","tool_call_id":"2","content":null},{"role":"tool","tool_call_id":"3","content":[]},{"role":"tool","tool_call_id":"4","content":[{"type":"text","text":"x"},{"type":"text","text":"y"}]},{"role":"tool","tool_call_id":"5","content":"z","cache_control":{"type":"ephemeral"}}"#,
         r#""messages":[{"role":"user","content":[«u»]},{"role":"assistant","content":[«a»,{"type":"tool_use","id":"1","name":"f","input":{"a":1}},{"type":"tool_use","id":"2","name":"f","input":{"value":[1]}},{"type":"tool_use","id":"3","name":"f","input":{}},{"type":"tool_use","id":"4","name":"f","input":{"_raw_arguments":"ls"}},{"type":"tool_use","id":"5","name":"f","input":{"value":[2]}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"1"},{"type":"tool_result","tool_use_id":"2"},{"type":"tool_result","tool_use_id":"3"},{"type":"tool_result","tool_use_id":"4","content":[«x»,«y»]},{"type":"tool_result","tool_use_id":"5","content":"z","cache_control":{"type":"ephemeral"}}]}]"#),
        // No result, no call.
        (r#"{"role":"tool","tool_call_id":"9","content":"x"},{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}]},{"role":"user","content":"u"}"#,
         r#""messages":[{"role":"user","content":[«[tool result for 9] x»]},{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"[tool result missing: call was interrupted]","is_error":true},«u»]}] ! messages.content.tool_result approximated, messages.content.tool_result invented"#),
        // Functions as they once were, and calls without id or name.
        (r#"{"role":"user","content":"u"},{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{\"a\":1}"}},{"role":"function","name":"f","content":"x"},{"role":"assistant","tool_calls":[{"id":"","function":{"name":"","arguments":"{}"}}]},{"role":"tool","content":"y"}"#,
         r#""messages":[{"role":"user","content":[«u»]},{"role":"assistant","content":[{"type":"tool_use","id":"call_1","name":"f","input":{"a":1}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"call_1","content":"x"}]},{"role":"assistant","content":[{"type":"tool_use","id":"call_2","name":"unnamed","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"call_2","content":"y"}]}] ! messages.tool_calls.name invented"#),
        // Free text.
        (r#"{"role":"user","content":"u"},{"role":"assistant","tool_calls":[{"id":"1","type":"custom","custom":{"name":"sh","input":"ls \"a\"\n"}}]},{"role":"tool","tool_call_id":"1","content":"x"}"#,
         r#""messages":[{"role":"user","content":[«u»]},{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"sh","input":{"input":"ls \"a\"\n"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"x"}]}]"#),
        // An id that comes again.
        (r#"{"role":"user","content":"u"},{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f"}}]},{"role":"tool","tool_call_id":"1","content":"x"},{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f"}}]},{"role":"tool","tool_call_id":"1","content":"y"}"#,
         r#""messages":[{"role":"user","content":[«u»]},{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"x"}]},{"role":"assistant","content":[{"type":"tool_use","id":"1_2","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"1_2","content":"y"}]}]"#),
    ], SONNET);
}

#[test]
fn thoughts_of_the_past() {
    #[rustfmt::skip]
    conversations(&[
        // Proved ones, as they came, and in the pieces of a stream.
        (r#"{"role":"user","content":"u"},{"role":"assistant","content":"a","reasoning_content":"t","reasoning_details":[{"type":"reasoning.text","text":"t\u00e9","signature":"EqQBCkYIARgCKkDv\/A==","format":"anthropic-claude-v1","index":0},{"type":"reasoning.encrypted","data":"Eabc","format":"anthropic-claude-v1"}]},{"role":"user","content":"v"}"#,
         r#""messages":[{"role":"user","content":[«u»]},{"role":"assistant","content":[{"type":"thinking","thinking":"t\u00e9","signature":"EqQBCkYIARgCKkDv\/A=="},{"type":"redacted_thinking","data":"Eabc"},«a»]},{"role":"user","content":[«v»]}]"#),
        (r#"{"role":"user","content":"u"},{"role":"assistant","content":"a","reasoning_details":[{"type":"reasoning.text","text":"on","index":0},{"type":"reasoning.text","text":"e","index":0},{"type":"reasoning.text","signature":"EqQBCkYIARgCKkDv","index":0},{"type":"reasoning.text","text":"","signature":"EqQBCkYIARgCKkDw","index":1}]},{"role":"user","content":"v"}"#,
         r#""messages":[{"role":"user","content":[«u»]},{"role":"assistant","content":[{"type":"thinking","thinking":"one","signature":"EqQBCkYIARgCKkDv"},{"type":"thinking","thinking":"","signature":"EqQBCkYIARgCKkDw"},«a»]},{"role":"user","content":[«v»]}]"#),
        // Thoughts that came to nothing.
        (r#"{"role":"user","content":"u"},{"role":"assistant","content":"","reasoning_details":[{"type":"reasoning.text","text":"t","signature":"EqQBCkYIARgCKkDv"}]},{"role":"user","content":"v"}"#,
         r#""messages":[{"role":"user","content":[«u»,«v»]}] ! messages.reasoning_content dropped"#),
        // Those of others, and without proof.
        (r#"{"role":"user","content":"u"},{"role":"assistant","content":"a","reasoning_details":[{"type":"reasoning.text","text":"t","signature":"EqQBCkYIARgCKkDv","format":"google-gemini-v1"},{"type":"reasoning.encrypted","data":"x","format":"openai-responses-v1"}]},{"role":"user","content":"v"}"#,
         r#""messages":[{"role":"user","content":[«u»]},{"role":"assistant","content":[«a»]},{"role":"user","content":[«v»]}] ! messages.reasoning_details.signature dropped, messages.reasoning_details dropped, messages.reasoning_content dropped"#),
        (r#"{"role":"user","content":"u"},{"role":"assistant","content":"a","reasoning":"t"},{"role":"user","content":"v"}"#,
         r#""messages":[{"role":"user","content":[«u»]},{"role":"assistant","content":[«a»]},{"role":"user","content":[«v»]}] ! messages.reasoning_content dropped"#),
        (r#"{"role":"user","content":"u"},{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"t"}]},{"type":"text","text":"a"}]},{"role":"user","content":"v"}"#,
         r#""messages":[{"role":"user","content":[«u»]},{"role":"assistant","content":[«a»]},{"role":"user","content":[«v»]}] ! messages.reasoning_content dropped"#),
    ], SONNET);
}

#[test]
fn pictures_and_files() {
    const PNG: &str = "iVBORw0KGgoAAAANSUhEUg==";
    let user = |part: &str| format!("{{\"role\":\"user\",\"content\":[{part}]}}");
    let image = |kind: &str, data: &str| {
        format!(r#"{{"type":"image","source":{{"type":"base64","media_type":"{kind}","data":"{data}"}}}}"#)
    };
    let url = |url: &str| format!(r#"{{"type":"image_url","image_url":{{"url":"{url}","detail":"auto"}}}}"#);
    let file = |file: &str| format!(r#"{{"type":"file","file":{{{file}}}}}"#);
    #[rustfmt::skip]
    let table = [
        (url(&format!("data:image/png;base64,{PNG}")),                  Ok(image("image/png", PNG))),
        // The type is what the bytes are.
        (url(&format!("data:image/jpg;base64,{PNG}")),                  Ok(image("image/png", PNG))),
        (url("data:image/jpg;base64,AAAA"),                             Ok(image("image/jpeg", "AAAA"))),
        (url("data:;base64,/9j/4AAQSkZJRgABAQ=="),                      Ok(image("image/jpeg", "/9j/4AAQSkZJRgABAQ=="))),
        (url("data:image/png;base64,UklGRiQAAABXRUJQVlA4"),             Ok(image("image/webp", "UklGRiQAAABXRUJQVlA4"))),
        (url("data:application/octet-stream;base64,R0lGODlhAQABAIAA"),  Ok(image("image/gif", "R0lGODlhAQABAIAA"))),
        (url("data:image/tiff;base64,AAAA"),                            Err("messages.content.image_url")),
        (url("data:image/svg+xml,<svg>"),                               Err("messages.content.image_url.url")),
        (url("https://a.b/c.png"),                                      Ok(r#"{"type":"image","source":{"type":"url","url":"https://a.b/c.png"}}"#.into())),
        (r#"{"type":"image_url","image_url":"https://a.b/c.png"}"#.into(), Ok(r#"{"type":"image","source":{"type":"url","url":"https://a.b/c.png"}}"#.into())),
        (r#"{"type":"image_url"}"#.into(),                              Err("messages.content.image_url")),
        (file(r#""filename":"a.pdf","file_data":"data:application/pdf;base64,JVBERi0xLjQ=""#),
         Ok(r#"{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0xLjQ="},"title":"a.pdf"}"#.into())),
        (file(r#""file_data":"JVBERi0xLjQ=""#),
         Ok(r#"{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0xLjQ="}}"#.into())),
        (file(r#""filename":"a.txt","file_data":"data:text/plain;base64,w6kiCg""#),
         Ok(r#"{"type":"document","source":{"type":"text","media_type":"text/plain","data":"é\"\n"},"title":"a.txt"}"#.into())),
        (file(&format!(r#""file_data":"data:image/png;base64,{PNG}""#)), Ok(image("image/png", PNG))),
        (file(r#""file_data":"data:application/zip;base64,AAAA""#),     Err("messages.content.file.file_data")),
        (file(r#""file_data":"data:text/plain;base64,/w==""#),          Err("messages.content.file.file_data")),
        (file(r#""file_data":"hello""#),                                Err("messages.content.file.file_data")),
        (file(r#""file_id":"file-1""#),                                 Err("messages.content.file.file_id")),
        (file(r#""filename":"a""#),                                     Err("messages.content.file")),
        (r#"{"type":"input_audio","input_audio":{"data":"","format":"wav"}}"#.into(), Err("messages.content")),
        (r#"{"type":"video_url","video_url":{}}"#.into(),               Err("messages.content")),
        (r#"{"text":"x"}"#.into(),                                      Err("messages.content.type")),
    ];
    for (part, expected) in table {
        let body = format!("{{\"max_tokens\":9,\"messages\":[{}]}}", user(&part));
        match (sent(&body, SONNET), expected) {
            (Ok(sent), Ok(block)) => {
                assert!(sent.body.contains(&format!("\"content\":[{block}]")), "{part}: {}", sent.body);
                assert_eq!(sent.losses, "", "{part}");
            }
            (Err(refused), Err(path)) => assert_eq!(refused.path, path, "{part}"),
            (Ok(sent), Err(_)) => panic!("{part}: {}", sent.body),
            (Err(refused), Ok(_)) => panic!("{part}: {refused:?}"),
        }
    }
}
