//! Requests of Chat as Messages: the rows of the rules, and what must hold whatever a client sends.

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::dialect::chat;
use crate::dialect::profile::Profile;
use crate::json::Index;

struct Sent {
    body: String,
    losses: String,
    terms: Terms,
}

fn sent(body: &str, model: &str) -> Result<Sent, Refused> {
    sent_to(body.as_bytes(), model, &Profile::default())
}

fn sent_to(body: &[u8], model: &str, profile: &Profile) -> Result<Sent, Refused> {
    let (mut index, mut losses, mut terms) = (Index::default(), Losses::default(), Terms::default());
    let value = index.read(body).unwrap();
    let request = chat::request::read(value, &mut losses)?;
    let mut out = b"kept".to_vec();
    let target = Target { model, profile };
    let written = write(&request, &target, &mut terms, &mut losses, &mut out);
    assert!(out.starts_with(b"kept") && (written.is_ok() || out.len() == 4));
    written?;
    let losses: Vec<_> = losses.iter().map(|loss| format!("{} {}", loss.path, loss.what.name())).collect();
    let body = String::from_utf8(out.split_off(4)).unwrap();
    Ok(Sent { body, losses: losses.join(", "), terms })
}

/// In what is expected `«x»` is a block of text.
fn spelt(text: &str) -> String {
    text.replace('«', "{\"type\":\"text\",\"text\":\"").replace('»', "\"}")
}

fn lines<'a>(table: &[(&'a str, &'a str)], check: impl Fn(&str, &str)) {
    for (given, expected) in table {
        check(given, &spelt(expected));
    }
}

const SONNET: &str = "claude-sonnet-4-5-20250929";

/// A conversation of Chat, and what stands behind `max_tokens` in the request that is sent.
fn conversation_of(messages: &str, model: &str) -> (String, String) {
    let sent = sent(&format!("{{\"max_tokens\":9,\"messages\":[{messages}]}}"), model).unwrap();
    let head = format!("{{\"model\":\"{model}\",\"max_tokens\":9,");
    (sent.body.strip_prefix(&head).unwrap().trim_end_matches('}').to_owned() + "}", sent.losses)
}

fn conversations(table: &[(&str, &str)], model: &str) {
    lines(table, |given, expected| {
        let (sent, losses) = conversation_of(given, model);
        let sent = sent.trim_end_matches(['}', ']']).to_owned();
        let (expected, lost) = expected.split_once(" ! ").unwrap_or((expected, ""));
        assert_eq!((sent.as_str(), losses.as_str()), (expected.trim_end_matches(['}', ']']), lost), "{given}");
    });
}

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

/// Fields beside one word of the user's, what stands behind `messages`, and the losses.
fn settings(table: &[(&str, &str, &str)]) {
    for (line, expected, lost) in table {
        let (model, fields) = line.split_once(": ").unwrap();
        let fields = fields.trim();
        let comma = if fields.is_empty() { "" } else { "," };
        let body = format!("{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"u\"}}]{comma}{fields}}}");
        let sent = sent(&body, &format!("claude-{model}")).unwrap_or_else(|refused| panic!("{line}: {refused:?}"));
        let (head, tail) = sent.body.split_once("\"messages\":").unwrap();
        let tail = tail.strip_prefix(&spelt("[{\"role\":\"user\",\"content\":[«u»]}]")).unwrap();
        let head = head.split_once(",\"max_tokens\":").unwrap().1.trim_end_matches(',');
        let (tokens, system) =
            head.split_once(',').map_or((head, String::new()), |(tokens, more)| (tokens, format!("{more} ")));
        let said = format!("{tokens} {system}{}", tail.trim_start_matches(',').strip_suffix('}').unwrap());
        assert_eq!((said.trim_end(), sent.losses.as_str()), (spelt(expected).as_str(), *lost), "{line}");
    }
}

#[test]
fn limits_and_sampling() {
    #[rustfmt::skip]
    settings(&[
        ("sonnet-4-5: ",                                              "64000", "max_tokens invented"),
        ("3-5-haiku: ",                                               "8192", "max_tokens invented"),
        (r#"sonnet-4-5: "max_tokens":5,"max_completion_tokens":7"#,   "7", ""),
        (r#"sonnet-4-5: "max_tokens":5.0,"stream":true,"stream_options":{"include_usage":true}"#, r#"5 "stream":true"#, ""),
        (r#"sonnet-4-5: "max_tokens":5,"stream_options":{"include_obfuscation":true}"#, "5", "stream_options.include_obfuscation dropped"),
        (r#"sonnet-4-5: "max_tokens":5,"temperature":0.70"#,          r#"5 "temperature":0.70"#, ""),
        (r#"sonnet-4-5: "max_tokens":5,"temperature":1.5"#,           r#"5 "temperature":1"#, "temperature approximated"),
        (r#"sonnet-4-5: "max_tokens":5,"temperature":0.5,"top_p":0.9"#, r#"5 "temperature":0.5"#, "top_p dropped"),
        (r#"sonnet-4-5: "max_tokens":5,"temperature":1,"top_p":0.9"#, r#"5 "top_p":0.9"#, ""),
        (r#"sonnet-4-5: "max_tokens":5,"top_p":0.9,"top_k":40"#,      r#"5 "top_p":0.9,"top_k":40"#, ""),
        (r#"opus-4-7: "max_tokens":5,"temperature":0.5,"top_p":0.9,"top_k":4"#, "5", "temperature dropped, top_p dropped, top_k dropped"),
        (r#"opus-4-7: "max_tokens":5,"temperature":1.0,"top_p":1"#,   "5", ""),
        (r#"sonnet-4-5: "max_tokens":5,"stop":"X""#,                  r#"5 "stop_sequences":["X"]"#, ""),
        (r#"sonnet-4-5: "max_tokens":5,"stop":["X\n"," ",""]"#,       r#"5 "stop_sequences":["X\n"]"#, "stop dropped"),
        (r#"sonnet-4-5: "max_tokens":5,"stop":["\n\n"]"#,             "5", "stop dropped"),
        (r#"sonnet-4-5: "max_tokens":5,"user":"u1""#,                 r#"5 "metadata":{"user_id":"u1"}"#, ""),
        (r#"sonnet-4-5: "max_tokens":5,"user":"u1","safety_identifier":"s""#, r#"5 "metadata":{"user_id":"s"}"#, "user dropped"),
        (r#"sonnet-4-5: "max_tokens":5,"service_tier":"auto""#,       r#"5 "service_tier":"auto""#, ""),
        (r#"sonnet-4-5: "max_tokens":5,"service_tier":"default""#,    r#"5 "service_tier":"standard_only""#, ""),
        (r#"sonnet-4-5: "max_tokens":5,"service_tier":"flex""#,       "5", "service_tier dropped"),
        // Defaults are no loss.
        (r#"sonnet-4-5: "max_tokens":5,"n":1,"seed":null,"logprobs":false,"presence_penalty":0,"frequency_penalty":0.0,"logit_bias":{},"store":false,"metadata":{},"modalities":["text"],"stop":null,"tools":[],"stream":false"#, "5", ""),
        (r#"sonnet-4-5: "max_tokens":5,"seed":7,"logprobs":true,"presence_penalty":1,"prediction":{},"metadata":{"a":"b"},"verbosity":"low","prompt_cache_key":"k","x y":1"#, "5",
         "seed dropped, logprobs dropped, presence_penalty dropped, prediction dropped, metadata dropped, verbosity dropped, prompt_cache_key dropped, x_y dropped"),
    ]);
}

#[test]
fn thinking_and_effort() {
    #[rustfmt::skip]
    settings(&[
        // Budgets.
        (r#"sonnet-4-5: "max_tokens":9000,"reasoning_effort":"minimal""#, r#"9000 "thinking":{"type":"enabled","budget_tokens":1024}"#, ""),
        (r#"sonnet-4-5: "max_tokens":9000,"reasoning_effort":"low""#,     r#"9000 "thinking":{"type":"enabled","budget_tokens":2048}"#, ""),
        (r#"sonnet-4-5: "max_tokens":9000,"reasoning_effort":"medium""#,  r#"9000 "thinking":{"type":"enabled","budget_tokens":8192}"#, ""),
        (r#"sonnet-4-5: "reasoning_effort":"xhigh""#,                     r#"64000 "thinking":{"type":"enabled","budget_tokens":32768}"#, "max_tokens invented"),
        (r#"opus-4-1: "reasoning_effort":"high""#,                        r#"32000 "thinking":{"type":"enabled","budget_tokens":16384}"#, "max_tokens invented"),
        (r#"opus-4-1: "reasoning_effort":"max""#,                         r#"32000 "thinking":{"type":"enabled","budget_tokens":16000}"#, "max_tokens invented, reasoning_effort approximated"),
        (r#"sonnet-4-5: "max_tokens":9000,"reasoning_effort":"high""#,    r#"9000 "thinking":{"type":"enabled","budget_tokens":4500}"#, "reasoning_effort approximated"),
        (r#"sonnet-4-5: "max_tokens":900,"reasoning_effort":"high""#,     r#"900 "thinking":{"type":"disabled"}"#, "reasoning_effort dropped"),
        (r#"sonnet-4-5: "max_tokens":9000,"reasoning_effort":"none""#,    r#"9000 "thinking":{"type":"disabled"}"#, ""),
        (r#"sonnet-4-5: "max_tokens":9000,"reasoning":{"max_tokens":3000}"#, r#"9000 "thinking":{"type":"enabled","budget_tokens":3000}"#, ""),
        (r#"sonnet-4-5: "max_tokens":90000,"thinking":{"type":"enabled"}"#, r#"90000 "thinking":{"type":"enabled","budget_tokens":16384}"#, ""),
        (r#"3-5-sonnet: "max_tokens":9000,"reasoning_effort":"high""#,    "9000", "reasoning_effort dropped"),
        (r#"3-5-sonnet: "max_tokens":9000,"reasoning_effort":"none""#,    "9000", ""),
        // Adaptive.
        (r#"opus-4-8: "max_tokens":9,"reasoning_effort":"xhigh""#,        r#"9 "thinking":{"type":"adaptive"},"output_config":{"effort":"xhigh"}"#, ""),
        (r#"opus-4-8: "max_tokens":9,"reasoning_effort":"minimal""#,      r#"9 "thinking":{"type":"adaptive"},"output_config":{"effort":"low"}"#, "reasoning_effort approximated"),
        (r#"opus-4-6: "max_tokens":9,"reasoning":{"effort":"xhigh"}"#,    r#"9 "thinking":{"type":"adaptive"},"output_config":{"effort":"high"}"#, "reasoning_effort approximated"),
        (r#"opus-4-8: "max_tokens":9,"reasoning_effort":"none""#,         r#"9 "thinking":{"type":"disabled"}"#, ""),
        (r#"opus-4-8: "max_tokens":9,"reasoning":{"enabled":true}"#,      r#"9 "thinking":{"type":"adaptive"}"#, ""),
        (r#"opus-4-8: "max_tokens":9,"thinking":{"type":"enabled","budget_tokens":9000}"#, r#"9 "thinking":{"type":"adaptive"},"output_config":{"effort":"medium"}"#, "thinking approximated"),
        // Those that always think.
        (r#"fable-5: "max_tokens":9,"reasoning_effort":"none""#,          "9", "reasoning_effort approximated"),
        (r#"fable-5: "max_tokens":9,"thinking":{"type":"disabled"}"#,     "9", "thinking approximated"),
        (r#"fable-5: "max_tokens":9,"reasoning_effort":"low""#,           r#"9 "thinking":{"type":"adaptive"},"output_config":{"effort":"low"}"#, ""),
        // What thinking excludes.
        (r#"sonnet-4-5: "max_tokens":9000,"reasoning_effort":"low","temperature":0.5,"top_p":0.5,"top_k":5"#, r#"9000 "thinking":{"type":"enabled","budget_tokens":2048}"#, "temperature dropped, top_p dropped, top_k dropped"),
        (r#"sonnet-4-5: "max_tokens":9000,"reasoning_effort":"low","top_p":0.95"#, r#"9000 "thinking":{"type":"enabled","budget_tokens":2048},"top_p":0.95"#, ""),
        (r#"sonnet-4-5: "max_tokens":9000,"reasoning_effort":"low","temperature":0.5,"top_p":0.97"#, r#"9000 "thinking":{"type":"enabled","budget_tokens":2048},"top_p":0.97"#, "temperature dropped"),
        (r#"sonnet-4-5: "max_tokens":9000,"reasoning_effort":"default""#, "9000", "reasoning_effort dropped"),
    ]);
    const TOOL: &str = r#""tools":[{"type":"function","function":{"name":"f"}}]"#;
    const SENT: &str = r#""tools":[{"name":"f","input_schema":{"type":"object","properties":{}}}]"#;
    let forced = format!(r#"sonnet-4-5: "max_tokens":9000,"reasoning_effort":"low",{TOOL},"tool_choice":"required""#);
    let expected = format!(r#"9000 {SENT},"tool_choice":{{"type":"any"}},"thinking":{{"type":"disabled"}}"#);
    settings(&[(&forced, &expected, "reasoning_effort dropped")]);
}

/// Where the model's last turn lacks its thoughts, a budget is refused; `adaptive` is not.
#[test]
fn thinking_goes_on_only_from_thoughts() {
    let body = |thoughts: &str, behind: &str| {
        format!(
            r#"{{"max_tokens":9000,"reasoning_effort":"low","messages":[{{"role":"user","content":"u"}},{{"role":"assistant"{thoughts},"tool_calls":[{{"id":"1","function":{{"name":"f"}}}}]}},{{"role":"tool","tool_call_id":"1","content":"x"}}{behind}]}}"#
        )
    };
    let signed = r#","reasoning_details":[{"type":"reasoning.text","text":"t","signature":"EqQBCkYIARgCKkDv","format":"anthropic-claude-v1"}]"#;
    let answered = r#",{"role":"assistant","content":"done"},{"role":"user","content":"v"}"#;
    let prefilled = r#",{"role":"assistant","content":"done"}"#;
    for (model, thoughts, behind, expected) in [
        (SONNET, "", "", "disabled"),
        (SONNET, r#","reasoning_content":"t""#, "", "disabled"),
        (SONNET, signed, "", "enabled"),
        (SONNET, "", answered, "enabled"),
        (SONNET, signed, prefilled, "disabled"),
        ("claude-opus-4-6", "", "", "adaptive"),
    ] {
        let sent = sent(&body(thoughts, behind), model).unwrap();
        assert!(sent.body.contains(&format!("\"thinking\":{{\"type\":\"{expected}\"")), "{}", sent.body);
    }
}

#[test]
fn tools_and_choices() {
    const F: &str = r#"{"type":"function","function":{"name":"f"}}"#;
    const G: &str = r#"{"type":"function","function":{"name":"g.h"}}"#;
    const SENT_F: &str = r#"{"name":"f","input_schema":{"type":"object","properties":{}}}"#;
    const SENT_G: &str = r#"{"name":"g_h","input_schema":{"type":"object","properties":{}}}"#;
    #[rustfmt::skip]
    let table = [
        ("", "", ""),
        (r#","tool_choice":"auto""#,                            r#","tool_choice":{"type":"auto"}"#, ""),
        (r#","tool_choice":"none","parallel_tool_calls":false"#, r#","tool_choice":{"type":"none"}"#, ""),
        (r#","tool_choice":"required""#,                        r#","tool_choice":{"type":"any"}"#, ""),
        (r#","tool_choice":{"type":"function","function":{"name":"g.h"}}"#, r#","tool_choice":{"type":"tool","name":"g_h"}"#, ""),
        (r#","tool_choice":{"type":"function","name":"f"}"#,    r#","tool_choice":{"type":"tool","name":"f"}"#, ""),
        (r#","tool_choice":{"type":"any"}"#,                    r#","tool_choice":{"type":"any"}"#, ""),
        (r#","function_call":{"name":"f"}"#,                    r#","tool_choice":{"type":"tool","name":"f"}"#, ""),
        (r#","function_call":"auto""#,                          r#","tool_choice":{"type":"auto"}"#, ""),
        (r#","parallel_tool_calls":false"#,                     r#","tool_choice":{"type":"auto","disable_parallel_tool_use":true}"#, ""),
        (r#","parallel_tool_calls":true"#,                      "", ""),
        (r#","tool_choice":"required","parallel_tool_calls":false"#, r#","tool_choice":{"type":"any","disable_parallel_tool_use":true}"#, ""),
    ];
    for (fields, expected, lost) in table {
        let fields = format!(r#"sonnet-4-5: "max_tokens":9,"tools":[{F},{G}]{fields}"#);
        settings(&[(&fields, &format!("9 \"tools\":[{SENT_F},{SENT_G}]{expected}"), lost)]);
    }
    // Some of the tools.
    let allowed = r#","tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}}]}}"#;
    let fields = format!(r#"sonnet-4-5: "max_tokens":9,"tools":[{F},{G}]{allowed}"#);
    settings(&[(&fields, &format!("9 \"tools\":[{SENT_F}],\"tool_choice\":{{\"type\":\"any\"}}"), "")]);
    // None at all.
    settings(&[
        (r#"sonnet-4-5: "max_tokens":9,"tools":[],"tool_choice":"auto","parallel_tool_calls":false"#, "9", ""),
        (
            r#"sonnet-4-5: "max_tokens":9,"tools":[{"name":"f"},{"name":"f","description":"again"}]"#,
            r#"9 "tools":[{"name":"f","input_schema":{"type":"object","properties":{}}}]"#,
            "tools dropped",
        ),
        (r#"sonnet-4-5: "max_tokens":9,"tools":[{"type":"web_search"}]"#, "9", "tools dropped"),
    ]);
}

#[test]
fn kinds_of_tools() {
    let one = |model: &str, tool: &str, sent: &str, lost: &str| {
        settings(&[(&format!(r#"{model}: "max_tokens":9,"tools":[{tool}]"#), &format!("9 \"tools\":[{sent}]"), lost)]);
    };
    #[rustfmt::skip]
    let table = [
        ("sonnet-4-5", r#"{"type":"function","function":{"name":"f","description":"d\n","parameters":{"type":"object", "properties":{"a":{"type":"number","minimum":1.0}}},"strict":true},"cache_control":{"type":"ephemeral"}}"#,
         r#"{"name":"f","description":"d\n","input_schema":{"type":"object", "properties":{"a":{"type":"number","minimum":1.0}}},"strict":true,"cache_control":{"type":"ephemeral"}}"#, ""),
        ("sonnet-4-0", r#"{"type":"function","function":{"name":"f","strict":true,"parameters":null}}"#,
         r#"{"name":"f","input_schema":{"type":"object","properties":{}}}"#, "tools.function.strict dropped"),
        ("sonnet-4-5", r#"{"type":"function","name":"f","parameters":{"type":"object"},"x":1}"#,
         r#"{"name":"f","input_schema":{"type":"object","properties":{}}}"#, "tools.function.x dropped"),
        ("sonnet-4-5", r#"{"name":"f","input_schema":{"properties":{"a":{}},"required":["a"]}}"#,
         r#"{"name":"f","input_schema":{"type":"object","required":["a"],"properties":{"a":{}}}}"#, ""),
        ("sonnet-4-5", r#"{"type":"custom","custom":{"name":"sh","description":"runs"}}"#,
         r#"{"name":"sh","description":"runs","input_schema":{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}}"#, ""),
        ("sonnet-4-5", r#"{"type":"custom","custom":{"name":"sh","format":{"type":"grammar","grammar":{"syntax":"lark","definition":"x"}}}}"#,
         r#"{"name":"sh","input_schema":{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}}"#, "tools.custom.format dropped"),
        ("sonnet-4-5", r#"{"type":"web_search_20250305","name":"web_search","max_uses":3}"#,
         r#"{"type":"web_search_20250305","name":"web_search","max_uses":3}"#, ""),
    ];
    for (model, tool, expected, lost) in table {
        one(model, tool, expected, lost);
    }
    settings(&[(
        r#"sonnet-4-5: "max_tokens":9,"functions":[{"name":"f","parameters":{"type":"object","properties":{}}}]"#,
        r#"9 "tools":[{"name":"f","input_schema":{"type":"object","properties":{}}}]"#,
        "",
    )]);
}

#[test]
fn schemas() {
    let parameters = |schema: &str| {
        let body = format!(
            r#"{{"max_tokens":9,"messages":[{{"role":"user","content":"u"}}],"tools":[{{"type":"function","function":{{"name":"f","parameters":{schema}}}}}]}}"#
        );
        let sent = sent(&body, SONNET).unwrap();
        let schema = sent.body.split_once("\"input_schema\":").unwrap().1.strip_suffix("}]}").unwrap().to_owned();
        (schema, sent.losses)
    };
    const MERGED: &str = "tools.function.parameters approximated";
    #[rustfmt::skip]
    let table = [
        // As it is.
        (r#"{ "properties" : {"n":{"maximum":1e400}}, "type":"object", "additionalProperties":false }"#,
         r#"{ "properties" : {"n":{"maximum":1e400}}, "type":"object", "additionalProperties":false }"#, ""),
        (r#"{"type":"object"}"#,                       r#"{"type":"object","properties":{}}"#, ""),
        (r#"{}"#,                                      r#"{"type":"object","properties":{}}"#, ""),
        (r#"[]"#,                                      r#"{"type":"object","properties":{}}"#, ""),
        (r#"{"type":["object","null"],"properties":{"a":{}},"title":"T"}"#, r#"{"type":"object","title":"T","properties":{"a":{}}}"#, ""),
        (r#"{"$schema":"x","type":"object","properties":{"$schema":{}},"required":[]}"#, r#"{"type":"object","required":[],"properties":{"$schema":{}}}"#, ""),
        // Alternatives at the root.
        (r#"{"type":"object","properties":{"a":{"type":"string"},"b":{}},"anyOf":[{"required":["a"]},{"required":["b"]}]}"#,
         r#"{"type":"object","properties":{"a":{"type":"string"},"b":{}}}"#, MERGED),
        (r#"{"oneOf":[{"properties":{"k":{"const":"a"},"x":{}},"required":["k","x"]},{"properties":{"k":{"const":"b"},"y":{}},"required":["k"]}],"description":"d"}"#,
         r#"{"type":"object","description":"d","properties":{"k":{"anyOf":[{"const":"a"},{"const":"b"}]},"x":{},"y":{}},"required":["k"]}"#, MERGED),
        (r#"{"allOf":[{"properties":{"a":{}},"required":["a"]},{"properties":{"b":{},"a":{"type":"string"}},"required":["b"]}],"required":["c"]}"#,
         r#"{"type":"object","properties":{"a":{"allOf":[{},{"type":"string"}]},"b":{}},"required":["c","a","b"]}"#, MERGED),
        // What the root says holds.
        (r#"{"type":"object","properties":{"a":{"type":"string"}},"anyOf":[{"properties":{"a":{"minLength":1}}}]}"#,
         r#"{"type":"object","properties":{"a":{"type":"string"}}}"#, MERGED),
        // References.
        (r##"{"$ref":"#/$defs/P","$defs":{"P":{"type":"object","properties":{"a":{}},"required":["a"]}}}"##,
         r##"{"type":"object","$defs":{"P":{"type":"object","properties":{"a":{}},"required":["a"]}},"properties":{"a":{}},"required":["a"]}"##, MERGED),
        (r##"{"anyOf":[{"$ref":"#/definitions/a~1b"},{"properties":{"c":{}}}],"definitions":{"a/b":{"properties":{"a":{}}}}}"##,
         r##"{"type":"object","definitions":{"a/b":{"properties":{"a":{}}}},"properties":{"a":{},"c":{}}}"##, MERGED),
        // One that leads to itself.
        (r##"{"$ref":"#","properties":{"a":{}}}"##,    r#"{"type":"object","properties":{"a":{}}}"#, MERGED),
        (r##"{"anyOf":[{"$ref":"#"},{"$ref":"#"}]}"##, r#"{"type":"object","properties":{}}"#, MERGED),
    ];
    for (schema, expected, lost) in table {
        assert_eq!(parameters(schema), (expected.to_owned(), lost.to_owned()), "{schema}");
    }
}

/// References that lead to the same alternatives again and again take no time.
#[test]
fn schemas_of_many_branches() {
    let branches = vec![r##"{"$ref":"#"}"##; 2000].join(",");
    let properties: Vec<_> = (0..5000).map(|number| format!("\"p{number}\":{{}}")).collect();
    let schema = format!(r#"{{"anyOf":[{branches}],"properties":{{{}}}}}"#, properties.join(","));
    let body =
        format!(r#"{{"messages":[{{"role":"user","content":"u"}}],"tools":[{{"name":"f","parameters":{schema}}}]}}"#);
    holds(&sent(&body, SONNET).unwrap().body);
}

#[test]
fn forms() {
    #[rustfmt::skip]
    settings(&[
        (r#"sonnet-4-5: "max_tokens":9,"response_format":{"type":"text"}"#, "9", ""),
        (r#"sonnet-4-5: "max_tokens":9,"response_format":{"type":"json_object"}"#, r#"9 "system":[«Respond with a single JSON object.»]"#, "response_format approximated"),
        (r#"sonnet-4-5: "max_tokens":9,"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object","properties":{},"additionalProperties":false}}}"#,
         r#"9 "output_config":{"format":{"type":"json_schema","schema":{"type":"object","properties":{},"additionalProperties":false}}}"#, ""),
        (r#"opus-4-8: "max_tokens":9,"reasoning_effort":"low","response_format":{"type":"json_schema","json_schema":{"schema":{"type":"string"},"description":"d"}}"#,
         r#"9 "thinking":{"type":"adaptive"},"output_config":{"effort":"low","format":{"type":"json_schema","schema":{"type":"string"}}}"#, "response_format.json_schema.description dropped"),
        // An open object, and a model that cannot.
        (r#"sonnet-4-5: "max_tokens":9,"response_format":{"type":"json_schema","json_schema":{"schema":{"type":"object"}}}"#,
         r#"9 "system":[«Respond with a single JSON value that matches this JSON schema, and with nothing else: {\"type\":\"object\"}»]"#, "response_format approximated"),
        (r#"sonnet-4-5: "max_tokens":9,"response_format":{"type":"json_schema","json_schema":{"schema":{"type":["object","null"]}}}"#,
         r#"9 "system":[«Respond with a single JSON value that matches this JSON schema, and with nothing else: {\"type\":[\"object\",\"null\"]}»]"#, "response_format approximated"),
        (r#"opus-4-0: "max_tokens":9,"response_format":{"type":"json_schema","json_schema":{"schema":{"type":"string"}}}"#,
         r#"9 "system":[«Respond with a single JSON value that matches this JSON schema, and with nothing else: {\"type\":\"string\"}»]"#, "response_format approximated"),
    ]);
}

#[test]
fn refused() {
    #[rustfmt::skip]
    let table = [
        (r#"[]"#, ""),
        (r#"{}"#, "messages"),
        (r#"{"messages":"hi"}"#, "messages"),
        (r#"{"messages":["hi"]}"#, "messages.role"),
        (r#"{"messages":[{"role":"robot","content":"x"}]}"#, "messages.role"),
        (r#"{"messages":[{"role":"user","content":7}]}"#, "messages.content"),
        (r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"1"}]}]}"#, "messages.tool_calls.function"),
        (r#"{"messages":[],"n":2}"#, "n"),
        (r#"{"messages":[],"n":"2"}"#, "n"),
        (r#"{"messages":[],"modalities":["text","audio"]}"#, "modalities"),
        (r#"{"messages":[],"max_tokens":-1}"#, "max_tokens"),
        (r#"{"messages":[],"temperature":"hot"}"#, "temperature"),
        (r#"{"messages":[],"stop":7}"#, "stop"),
        (r#"{"messages":[],"stop":["a",7]}"#, "stop"),
        (r#"{"messages":[],"stream":"yes"}"#, "stream"),
        (r#"{"messages":[],"tools":{}}"#, "tools"),
        (r#"{"messages":[],"tools":[{"type":"function","function":{}}]}"#, "tools.function.name"),
        (r#"{"messages":[],"tool_choice":"some"}"#, "tool_choice"),
        (r#"{"messages":[],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}}"#, "tool_choice.allowed_tools.tools"),
        (r#"{"messages":[],"tools":[{"type":"web_search"}],"tool_choice":"required"}"#, "tool_choice"),
        (r#"{"messages":[],"tools":[{"name":"f"},{"type":"web_search"}],"tool_choice":{"type":"function","function":{"name":"web_search"}}}"#, "tool_choice"),
        (r#"{"messages":[],"tool_choice":"required"}"#, "tool_choice"),
        (r#"{"messages":[],"response_format":{"type":"grammar"}}"#, "response_format.type"),
        (r#"{"messages":[],"response_format":{"type":"json_schema"}}"#, "response_format.json_schema"),
        (r#"{"messages":[],"user":7}"#, "user"),
    ];
    for (body, path) in table {
        match sent(body, SONNET) {
            Err(refused) => assert_eq!(refused.path, path, "{body}"),
            Ok(sent) => panic!("{body}: {}", sent.body),
        }
    }
}

#[test]
fn terms() {
    let body = r#"{"messages":[{"role":"user","content":"u"}],"tools":[{"type":"custom","custom":{"name":"a.b"}}]}"#;
    let terms = sent(body, SONNET).unwrap().terms;
    assert_eq!(terms.only_tool.as_deref(), Some(&b"a.b"[..]));
    assert_eq!(terms.free_text_tools, [b"a.b"]);
    assert_eq!(terms.names.restore(b"a_b"), b"a.b");
    let body = r#"{"messages":[{"role":"user","content":"u"}],"functions":[{"name":"a"},{"name":"b"}]}"#;
    assert_eq!(sent(body, SONNET).unwrap().terms.only_tool, None);
}

#[test]
fn real_requests() {
    let capture = |name: &str| {
        let path = format!("{}/tests/data/captures/{name}.body", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let tool = r#"{"name":"Read","description":"read","input_schema":{"type":"object","required":["file_path"],"additionalProperties":false,"properties":{"file_path":{"type":"string"}}}}"#;
    let sdk = sent(&capture("node-sdk-013"), SONNET).unwrap();
    assert_eq!(
        sdk.body,
        spelt(&format!(
            r#"{{"model":"{SONNET}","max_tokens":64000,"messages":[{{"role":"user","content":[«read»]}},{{"role":"assistant","content":[{{"type":"tool_use","id":"call_mock01","name":"Read","input":{{"file_path":"x"}}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"call_mock01","content":"42"}}]}}],"tools":[{tool}],"tool_choice":{{"type":"auto"}}}}"#
        ))
    );
    assert_eq!(sdk.losses, "max_tokens invented");
    let sdk = sent(&capture("node-sdk-012"), SONNET).unwrap();
    assert!(sdk.body.contains(&format!("\"tools\":[{tool}],\"tool_choice\":{{\"type\":\"auto\"}}")), "{}", sdk.body);

    let codex = capture("codex077-chat-tool2-002");
    let sent = sent(&codex, "claude-opus-4-6").unwrap();
    holds(&sent.body);
    assert_eq!(sent.losses, "max_tokens invented");
    let (given, said): (Json, Json) =
        (serde_json::from_str(&codex).unwrap(), serde_json::from_str(&sent.body).unwrap());
    assert_eq!(said["system"][0]["text"], given["messages"][0]["content"]);
    let texts: Vec<_> = said["messages"][0]["content"].as_array().unwrap().iter().map(|block| &block["text"]).collect();
    assert_eq!(texts, [1, 2, 3].map(|place| &given["messages"][place]["content"]));
    assert_eq!(said["messages"][1]["content"][0]["input"]["command"][2], "cat note.txt");
    assert_eq!(said["messages"][2]["content"][0]["content"], given["messages"][5]["content"]);
    assert_eq!(said["tools"].as_array().unwrap().len(), given["tools"].as_array().unwrap().len());
    for (given, said) in given["tools"].as_array().unwrap().iter().zip(said["tools"].as_array().unwrap()) {
        assert_eq!(given["function"]["name"], said["name"]);
        assert_eq!(given["function"]["description"], said["description"]);
        assert_eq!(given["function"]["parameters"], said["input_schema"]);
    }
}

/// Bodies laid out over lines, and bytes that are no UTF-8, stay JSON.
#[test]
fn spelt_otherwise() {
    let body = br#"{"max_tokens" : 9, "messages" : [{"role":"user","content":"a\ud83d \u0062 ?"},
        {"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f","arguments":{
            "b" : "?"}}}]},
        {"role":"tool","tool_call_id":"1","cache_control":{
            "type":"ephemeral"},"content":[{"type":"odd", "x":
            1.0}]}],
        "tools":[{"type":"function","function":{"name":"f","parameters":{
            "type":"object",	"properties":{"b":
                {"description":"?"}}}}}],
        "response_format":{"type":"json_schema","json_schema":{"schema":{
            "type":"object", "properties":{}}}}}"#;
    let body: Vec<u8> = body.iter().map(|byte| if *byte == b'?' { 0xFF } else { *byte }).collect();
    let sent = sent_to(&body, SONNET, &Profile::default()).unwrap();
    Index::default().read(sent.body.as_bytes()).unwrap();
    for piece in [
        r"a\ud83d \u0062 �",
        "{\n            \"b\" : \"�\"}",
        r#"{\"type\":\"odd\",\"x\":1.0}"#,
        r#": {\"type\":\"object\",\"properties\":{}}"#,
    ] {
        assert!(sent.body.contains(piece), "{piece}: {}", sent.body);
    }
}

/// Through the waist and back: what Messages said is said again.
#[test]
fn round_trips() {
    for (name, model) in
        [("cc330-tool-002", "claude-opus-4-8"), ("cc-hi-002", "claude-opus-4-8"), ("node-sdk-021", SONNET)]
    {
        let given = std::fs::read(format!("{}/tests/data/captures/{name}.body", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let (mut index, mut losses, mut out) = (Index::default(), Losses::default(), Vec::new());
        let request = crate::dialect::messages::request::read(index.read(&given).unwrap(), &mut losses).unwrap();
        let target = Target { model, profile: &Profile::default() };
        write(&request, &target, &mut Terms::default(), &mut losses, &mut out).unwrap();
        let (given, said): (Json, Json) =
            (serde_json::from_slice(&given).unwrap(), serde_json::from_slice(&out).unwrap());
        // `thinking.display` has no word.
        assert_eq!(given["thinking"]["type"], said["thinking"]["type"], "{name}");
        for field in ["max_tokens", "stream", "output_config", "tool_choice", "metadata"] {
            assert_eq!(given[field], said[field], "{name} {field}");
        }
        let tools =
            |body: &Json| body["tools"].as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect::<Vec<_>>();
        assert_eq!(tools(&given), tools(&said), "{name}");
        let blocks = |content: &Json| match content {
            Json::String(text) => vec![serde_json::json!({"type": "text", "text": text})],
            blocks => blocks.as_array().unwrap().clone(),
        };
        let texts = |body: &Json| -> Vec<Json> {
            body["messages"].as_array().unwrap().iter().flat_map(|message| blocks(&message["content"])).collect()
        };
        assert_eq!(texts(&given), texts(&said), "{name}");
    }
    // And from Chat: there and back.
    let given = r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"},{"role":"assistant","content":"a","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\": 1.50}"}}]},{"role":"tool","tool_call_id":"1","content":"x"},{"role":"user","content":"v"}],"max_tokens":9}"#;
    let body = sent(given, SONNET).unwrap().body;
    let (mut index, mut losses, mut out) = (Index::default(), Losses::default(), Vec::new());
    let request = crate::dialect::messages::request::read(index.read(body.as_bytes()).unwrap(), &mut losses).unwrap();
    let target = Target { model: "m", profile: &Profile::default() };
    chat::request::write(&request, &target, &mut Terms::default(), &mut losses, &mut out).unwrap();
    let (given, said): (Json, Json) = (serde_json::from_str(given).unwrap(), serde_json::from_slice(&out).unwrap());
    assert_eq!(given["messages"], said["messages"]);
}

/// Servers of other vendors that speak Messages.
#[test]
fn profiles() {
    let body = |messages: &str| format!(r#"{{"messages":[{{"role":"user","content":"u"}},{messages}],"x":{{"y":1}}}}"#);
    let check = |messages: &str, profile: &str, piece: &str, lost: &str| {
        let sent = sent_to(body(messages).as_bytes(), "glm-5", &Profile::parse(profile).unwrap()).unwrap();
        assert!(sent.body.contains(&spelt(piece)), "{piece}: {}", sent.body);
        assert_eq!(sent.losses, lost);
    };
    let thoughts = r#"{"role":"assistant","content":"a","reasoning_content":"t"},{"role":"user","content":"v"}"#;
    check(
        thoughts,
        "deepseek",
        r#"{"type":"thinking","thinking":"t","signature":""},«a»"#,
        "max_tokens invented, x dropped",
    );
    check(thoughts, "plain,pass=x", r#""content":[«a»]"#, "messages.reasoning_content dropped, max_tokens invented");
    check(thoughts, "plain,pass=x", r#","x":{"y":1}}"#, "messages.reasoning_content dropped, max_tokens invented");
    let picture = r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://a/b"}}]}"#;
    check(
        picture,
        "plain,text_only",
        "[«u»,«[image omitted]»]",
        "messages.content.image dropped, max_tokens invented, x dropped",
    );
    // A turn that calls tools and lost its thoughts goes on thinking.
    let calls = r#"{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f"}}]},{"role":"tool","tool_call_id":"1","content":"x"}"#;
    let body = body(calls).replacen('{', r#"{"reasoning_effort":"low","#, 1);
    let sent = sent_to(body.as_bytes(), "glm-5", &Profile::default()).unwrap();
    assert!(sent.body.contains(r#""thinking":{"type":"enabled","budget_tokens":2048}"#), "{}", sent.body);
}

/// What the API demands of every request.
fn holds(body: &str) {
    let json: Json = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    let turns = json["messages"].as_array().unwrap();
    assert_eq!(turns[0]["role"], "user", "{body}");
    let mut ids = std::collections::HashSet::new();
    let mut open: Vec<String> = Vec::new();
    for (place, turn) in turns.iter().enumerate() {
        let blocks = turn["content"].as_array().unwrap();
        assert!(!blocks.is_empty(), "{body}");
        assert!(place == 0 || turns[place - 1]["role"] != turn["role"], "{body}");
        let of_kind = |kind: &'static str| blocks.iter().filter(move |block| block["type"] == kind);
        let results: Vec<_> = of_kind("tool_result").map(|block| block["tool_use_id"].as_str().unwrap()).collect();
        assert_eq!(results, open, "{body}");
        assert!(blocks[..open.len()].iter().all(|block| block["type"] == "tool_result"), "{body}");
        open = of_kind("tool_use").map(|block| block["id"].as_str().unwrap().to_owned()).collect();
        for call in of_kind("tool_use") {
            assert!(call["input"].is_object() && call["name"] != "", "{body}");
        }
        for id in &open {
            assert!(!id.is_empty() && ids.insert(id.clone()), "{body}");
        }
        let is_prefill = place + 1 == turns.len() && turn["role"] == "assistant";
        for text in of_kind("text").map(|block| block["text"].as_str().unwrap()) {
            assert!(!text.trim().is_empty(), "{body}");
        }
        let last = blocks.last().and_then(|block| block["text"].as_str());
        assert!(!is_prefill || last.is_none_or(|text| text.trim_end() == text), "{body}");
    }
    assert!(open.is_empty(), "{body}");
}

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
