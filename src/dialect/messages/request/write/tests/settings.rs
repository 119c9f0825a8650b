//! What stands beside the conversation: limits, sampling, thinking, tools, schemas.

use super::*;

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
