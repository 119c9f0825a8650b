use super::Reader;
use crate::dialect::think_tags::ThinkTags;
use crate::dialect::turn::{Open, Reader as _, Stop, Word};
use proptest::prelude::*;

/// A word in short: `+0 text`, `0 'Hi'`, `usage 12`.
fn shown(word: &Word<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match word {
        Word::Start { id, model } => format!("start({},{})", text(id), text(model)),
        Word::Open { key, block } => match block {
            Open::ToolCall { id, name } => format!("+{key}({},{})", text(id), text(name)),
            other => format!("+{key}:{}", format!("{other:?}").to_lowercase()),
        },
        Word::Delta { key, text: piece } => format!("{key}'{}'", text(piece)),
        Word::Signature { key, signature } => format!("sig{key}'{}'", text(signature)),
        Word::Close { key } => format!("-{key}"),
        Word::Usage(usage) => {
            let count = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
            format!("usage({}+{}/{})", count(usage.input), count(usage.cache_read), count(usage.output))
        }
        Word::Stop(stop, None) => format!("{stop:?}"),
        Word::Stop(stop, Some(sequence)) => format!("{stop:?}:{}", text(sequence)),
        Word::Failed(failure) => format!("failed({:?},{})", failure.class, failure.message),
        Word::End => "end".to_owned(),
        Word::Ping => "ping".to_owned(),
        Word::Foreign(path) => format!("foreign({path})"),
    }
}

fn read_by(reader: &mut Reader, events: &[impl AsRef<[u8]>], forgets: bool) -> Vec<String> {
    let mut words = Vec::new();
    for event in events {
        if forgets {
            reader.forget_shape();
        }
        reader.event(b"", event.as_ref(), &mut |word| words.push(shown(&word)));
    }
    words
}

/// What a stream's events say, whether their shape is learned or not.
fn read(events: &[&str], tags: ThinkTags) -> String {
    let mut reader = Reader::with(tags, false);
    let words = read_by(&mut reader, events, false);
    let again = read_by(&mut Reader::with(tags, false), events, true);
    assert_eq!(words, again, "{events:?}");
    reader.reset();
    assert_eq!(read_by(&mut reader, events, false), words, "after a reset: {events:?}");
    words.join(" ")
}

fn delta(delta: &str) -> String {
    format!(r#"{{"choices":[{{"delta":{delta}}}]}}"#)
}

#[test]
fn deltas() {
    #[rustfmt::skip]
    let table = [
        // Text and thoughts, and what stands beside them.
        (r#"{"role":"assistant","content":""}"#, ""),
        (r#"{"content":null,"reasoning_content":"t"}"#, "+1:thinking 1't'"),
        (r#"{"content":"x","reasoning_content":null,"reasoning":""}"#, "+0:text 0'x'"),
        (r#"{"content":"x","reasoning_content":"t"}"#, "+1:thinking 1't' +0:text 0'x'"),
        (r#"{"reasoning":"t","reasoning_content":"t"}"#, "+1:thinking 1't'"),
        (r#"{"reasoning":"t","reasoning_content":""}"#, "+1:thinking 1't'"),
        (r#"{"reasoning":"t","reasoning_details":[{"type":"reasoning.text","text":"t","format":"x","index":0}]}"#, "+1:thinking 1't'"),
        (r#"{"reasoning_details":[{"type":"reasoning.text","text":"t","signature":"s"}]}"#, "+1:thinking 1't' sig1's'"),
        (r#"{"reasoning_details":[{"type":"reasoning.summary","summary":"t"}]}"#, "+1:thinking 1't'"),
        (r#"{"reasoning_details":[{"type":"reasoning.encrypted","data":"x"}]}"#, "foreign(choices.delta.reasoning_details.data)"),
        (r#"{"content":"x","tool_calls":[]}"#, "+0:text 0'x'"),
        (r#"{"content":"x","tool_calls":null,"function_call":null,"annotations":[],"audio":null}"#, "+0:text 0'x'"),
        (r#"{"content":"a\"\\\n\u00e9\ud83d"}"#, r#"+0:text 0'a\"\\\n\u00e9\ud83d'"#),
        (r#"{"content":null,"refusal":"no"}"#, "+2:refusal 2'no'"),
        (r#"{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#, "+0:text 0'a' 0'b'"),
        (r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"t"}]},{"type":"text","text":"x"}]}"#, "+1:thinking 1't' +0:text 0'x'"),
        (r#"{"content":[{"type":"thinking","thinking":"t"},"x",{"type":"refusal","refusal":"no"}]}"#, "+1:thinking 1't' +0:text 0'x' +2:refusal 2'no'"),
        (r#"{"content":[{"type":"reference","reference_ids":[1]}]}"#, "foreign(choices.delta.content)"),
        (r#"{"audio":{"data":"x"}}"#, "foreign(choices.delta.audio)"),
        // Calls.
        (r#"{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}"#, "+3(c,f) 3'{}'"),
        (r#"{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":{"a":"x\n"}}}]}"#, r#"+3(c,f) 3'{\"a\":\"x\\n\"}'"#),
        (r#"{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":null}}]}"#, "+3(c,f)"),
        (r#"{"tool_calls":[{"index":0,"id":"c","function":{"name":"f"}}]}"#, "+3(c,f)"),
        (r#"{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":7}}]}"#, "+3(c,f) foreign(choices.delta.tool_calls.function.arguments)"),
        (r#"{"tool_calls":[{"index":0,"id":7,"function":{"name":"f","arguments":""}}]}"#, "+3(7,f)"),
        (r#"{"tool_calls":[{"index":0,"id":null,"function":{"name":null,"arguments":null}}]}"#, ""),
        (r#"{"tool_calls":[{"id":"c","name":"f","arguments":"{}"}]}"#, "+3(c,f) 3'{}'"),
        (r#"{"tool_calls":[{"function":{"name":"f","arguments":"{}"}},{"function":{"name":"f","arguments":"{}"}}]}"#, "+3(,f) 3'{}' +4(,f) 4'{}'"),
        (r#"{"tool_calls":[{"index":0,"id":"c","type":"custom","custom":{"name":"f","input":"x"}}]}"#, "foreign(choices.delta.tool_calls.custom)"),
        (r#"{"function_call":{"name":"f","arguments":"{}"}}"#, "+3(,f) 3'{}'"),
    ];
    for (piece, want) in table {
        assert_eq!(read(&[&delta(piece)], ThinkTags::Off).trim_start_matches("start(,)").trim(), want, "{piece}");
    }
}

/// `T` of a fragment: `index|id|name|arguments`, `-` for absent.
fn fragment(fields: &str) -> String {
    let fields: Vec<_> = fields.splitn(4, '|').collect();
    let member = |name: &str, value: &str| if value == "-" { String::new() } else { format!(r#""{name}":"{value}","#) };
    let index = if fields[0] == "-" { String::new() } else { format!(r#""index":{},"#, fields[0]) };
    let function = format!("{}{}", member("name", fields[2]), member("arguments", fields[3]));
    let function = function.trim_end_matches(',');
    delta(&format!(r#"{{"tool_calls":[{{{index}{}"function":{{{function}}}}}]}}"#, member("id", fields[1])))
}

#[test]
fn fragments_of_calls() {
    #[rustfmt::skip]
    let table: &[(&str, &[&str], &str)] = &[
        ("by index",               &["0|a|f|{", "1|b|g|{", "0|-|-|}", "1|-|-|}"], "+3(a,f) 3'{' +4(b,g) 4'{' 3'}' 4'}'"),
        ("index reused",           &["0|a|f|{}", "0|b|g|{", "0|-|-|}"],  "+3(a,f) 3'{}' +4(b,g) 4'{' 4'}'"),
        ("no index",               &["-|a|f|{", "-|-|-|}", "-|b|g|{}"],  "+3(a,f) 3'{' 3'}' +4(b,g) 4'{}'"),
        ("negative index",         &["-1|a|f|{", "-1|-|-|}"],            "+3(a,f) 3'{' 3'}'"),
        ("index from 1, gap",      &["1|a|f|{}", "3|b|g|{}"],            "+3(a,f) 3'{}' +4(b,g) 4'{}'"),
        ("id repeated",            &["0|a|f|{", "0|a|f|}", "0|a|f|"],    "+3(a,f) 3'{' 3'}'"),
        ("id repeated, no index",  &["-|a|f|{", "-|b|g|{", "-|a|-|}"],   "+3(a,f) 3'{' +4(b,g) 4'{' 3'}'"),
        ("late name",              &["0|a||{", "0|-|f|}"],               "+3(a,) 3'{' 3'}' +3(,f)"),
        ("late id",                &["0|-|f|{", "0|a|-|}"],              "+3(,f) 3'{' 3'}' +3(a,)"),
        ("late id, no index",      &["-|-|f|{", "-|a|-|}"],              "+3(,f) 3'{' 3'}' +3(a,)"),
        ("late index",             &["-|a|f|{", "0|-|-|}"],              "+3(a,f) 3'{' 3'}'"),
        ("no ids, other names",    &["0|-|f|{}", "0|-|g|{}"],            "+3(,f) 3'{}' +4(,g) 4'{}'"),
        ("no ids, same name",      &["0|-|f|{}", "0||f|{}"],             "+3(,f) 3'{}' +4(,f) 4'{}'"),
        ("no ids, name repeated",  &["0|-|f|{", "0|-|f|}", "0|-|f|"],    "+3(,f) 3'{' 3'}'"),
        ("never a name",           &["0|a|-|{", "0|-|-|}"],              "+3(a,) 3'{' 3'}'"),
        ("nothing",                &["0||-|", "-||-|"],                  ""),
        ("another name, later",    &["0|b|b| ", "0|-|f|1", "0|-|f|1"],    "+3(b,b) 3' ' 3'1' +4(,f) 4'1'"),
        ("same id in two places",  &["0|a|f|{}", "1|a|g|{}"],            "+3(a,f) 3'{}' +4(a,g) 4'{}'"),
    ];
    for (name, fragments, want) in table {
        let events: Vec<_> = fragments.iter().map(|fields| fragment(fields)).collect();
        let events: Vec<_> = events.iter().map(String::as_str).collect();
        let mut said = read(&events, ThinkTags::Off).trim_start_matches("start(,)").trim().to_owned();
        // A name or id that is only repeated says nothing new.
        said = said.replace("  ", " ");
        assert_eq!(said, *want, "{name}");
    }
}

#[test]
fn events() {
    #[rustfmt::skip]
    let table = [
        ("", ""),
        ("  ", ""),
        ("null", ""),
        ("[DONE]", "end"),
        (" [done] ", "end"),
        ("\"[DONE]\"", "end"),
        ("7", "foreign(data)"),
        (r#"{"id":"c","model":"m","choices":[]}"#, "start(c,m)"),
        (r#"{"id":"c","choices":null,"usage":{"prompt_tokens":12,"completion_tokens":5}}"#, "start(c,) usage(12+-/5)"),
        (r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}"#, "start(,)"),
        (r#"{"usage":{"prompt_tokens":12,"prompt_tokens_details":null,"cached_tokens":4}}"#, "start(,) usage(8+4/-)"),
        (r#"{"choices":[],"usage":null,"x_groq":{"id":"r","usage":{"prompt_tokens":12}}}"#, "start(,) usage(12+-/-)"),
        (r#"{"x_groq":{"id":"r"}}"#, "start(,)"),
        (r#"{"what":1}"#, "start(,) foreign(event)"),
        (r#"{"type":"ping"}"#, "ping"),
        (r#"{"choices":[{"index":1,"delta":{"content":"a"}},{"index":2,"delta":{"content":"b"}}]}"#, "start(,) +0:text 0'a' foreign(choices)"),
        (r#"{"choices":[{"delta":{}}]}"#, "start(,)"),
        (r#"{"choices":[{"delta":null,"finish_reason":""}]}"#, "start(,)"),
        // Failures.
        (r#"{"error":{"message":"boom","type":"x","code":429}}"#, "failed(RateLimit,boom)"),
        (r#"{"error":{"message":"boom","type":"overloaded_error","param":null,"code":null}}"#, "failed(Overloaded,boom)"),
        (r#"{"error":"boom"}"#, "failed(Api,boom)"),
        (r#"{"error":null,"choices":[]}"#, "start(,)"),
        (r#"{"object":"error","message":"boom","type":"BadRequestError","code":400}"#, "failed(InvalidRequest,boom)"),
        (r#"{"detail":"boom"}"#, "failed(Api,boom)"),
        (r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"error"}],"error":{"code":502,"message":"boom"}}"#, "start(,) +0:text 0'a' failed(Api,boom)"),
        ("Internal Server Error", "failed(Api,Internal Server Error)"),
        ("\"overloaded\"", "failed(Api,overloaded)"),
        (r#"{"choices":[{"#, "failed(Api,{\"choices\":[{)"),
    ];
    for (event, want) in table {
        assert_eq!(read(&[event], ThinkTags::Off), want, "{event}");
    }
    let mut words = Vec::new();
    let mut reader = Reader::with(ThinkTags::Off, false);
    for (name, data) in [("ping", "{}"), ("ping", "x"), ("error", r#"{"oops":1}"#)] {
        reader.event(name.as_bytes(), data.as_bytes(), &mut |word| words.push(shown(&word)));
    }
    assert_eq!(words, ["ping", "ping", "failed(Api,{\"oops\":1})"]);
}

#[test]
fn finish_reasons() {
    #[rustfmt::skip]
    let table = [
        ("stop", Some(Stop::EndTurn)), ("eos", Some(Stop::EndTurn)), ("eos_token", Some(Stop::EndTurn)),
        ("end_turn", Some(Stop::EndTurn)), ("STOP", Some(Stop::EndTurn)), ("what", Some(Stop::EndTurn)),
        ("tool_calls", Some(Stop::ToolUse)), ("function_call", Some(Stop::ToolUse)),
        ("length", Some(Stop::MaxTokens)), ("max_tokens", Some(Stop::MaxTokens)), ("model_length", Some(Stop::MaxTokens)),
        ("content_filter", Some(Stop::Refusal)), ("sensitive", Some(Stop::Refusal)),
        ("error", None), ("network_error", None), ("abort", None), ("insufficient_system_resource", None),
    ];
    for (reason, want) in table {
        let event = format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#);
        let said = read(&[&event], ThinkTags::Off);
        match want {
            Some(stop) => assert_eq!(said, format!("start(,) {stop:?}")),
            None => assert!(said.starts_with("start(,) failed("), "{said}"),
        }
    }
    for (members, want) in [
        (r#""finish_reason":"stop","stop_reason":"END\"""#, r#"Sequence:END\""#),
        (r#""finish_reason":"stop","matched_stop":"END""#, "Sequence:END"),
        (r#""finish_reason":"stop","stop_reason":128009"#, "EndTurn"),
        (r#""finish_reason":"length","stop_reason":"END""#, "MaxTokens"),
    ] {
        let event = format!(r#"{{"choices":[{{"delta":{{}},{members}}}]}}"#);
        assert_eq!(read(&[&event], ThinkTags::Off), format!("start(,) {want}"));
    }
}

#[test]
fn think_tags() {
    let events: Vec<_> =
        ["<th", "ink>a</thi", "nk>\\n", "b"].iter().map(|text| delta(&format!(r#"{{"content":"{text}"}}"#))).collect();
    let mut events: Vec<_> = events.iter().map(String::as_str).collect();
    assert_eq!(read(&events, ThinkTags::Tagged), "start(,) +1:thinking 1'a' +0:text 0'b'");
    events.truncate(2);
    events.push(r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#);
    assert_eq!(read(&events, ThinkTags::Tagged), "start(,) +1:thinking 1'a' 1'</thi' EndTurn");
    assert!(read(&events, ThinkTags::Off).contains("0'<th'"));
}

#[test]
fn arguments_that_are_repeated() {
    let fragments = ["{", r#"{\"x\""#, r#"{\"x\""#, r#"{\"x\":1}"#, r#"{\"x\":1}"#];
    let mut fragments = fragments.map(|arguments| format!("0|a|f|{arguments}")).to_vec();
    fragments.push("1|b|f|{}".to_owned());
    let mut words = Vec::new();
    let mut reader = Reader::with(ThinkTags::Off, true);
    for fields in fragments {
        reader.event(b"", fragment(&fields).as_bytes(), &mut |word| words.push(shown(&word)));
    }
    assert_eq!(words.join(" "), r#"start(,) +3(a,f) 3'{' 3'\"x\"' 3':1}' +4(b,f) 4'{}'"#);
}

#[test]
fn bodies() {
    let body = |message: &str| {
        format!(
            r#"{{"id":"c","model":"m","choices":[{{"index":0,"message":{message},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":12,"completion_tokens":5}}}}"#
        )
    };
    #[rustfmt::skip]
    let table = [
        (r#"{"role":"assistant","content":"Hi"}"#, "+0:text 0'Hi'"),
        (r#"{"content":null,"reasoning":"t","refusal":"no"}"#, "+1:thinking 1't' +2:refusal 2'no'"),
        (r#"{"content":"","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"a","function":{"name":"f","arguments":""}}]}"#, "+3(a,f) 3'{}' +4(a,f)"),
        (r#"{"content":"","function_call":{"name":"f","arguments":"{}"}}"#, "+3(,f) 3'{}'"),
        (r#"{"content":[{"type":"text","text":"a"}]}"#, "+0:text 0'a'"),
    ];
    for (message, want) in table {
        let mut words = Vec::new();
        Reader::with(ThinkTags::Off, false).body(body(message).as_bytes(), &mut |word| words.push(shown(&word)));
        assert_eq!(words.join(" "), format!("start(c,m) {want} usage(12+-/5) EndTurn end"));
    }
    #[rustfmt::skip]
    let failures = [
        (r#"{"error":{"message":"boom","code":429}}"#, "failed(RateLimit,boom)"),
        (r#"{"choices":null}"#, "failed(Api,the upstream answered without choices)"),
        (r#"{"choices":[]}"#, "failed(Api,the upstream answered without choices)"),
        (r#"{"message":"boom","code":"401"}"#, "failed(Authentication,boom)"),
        ("<html><title>Bad gateway</title>", "failed(Api,Bad gateway)"),
        (r#"{"choices":[{"message":{"content":"x"},"finish_reason":"error"}]}"#, "start(,) +0:text 0'x' failed(Api,the upstream broke off its answer: error)"),
    ];
    for (body, want) in failures {
        let mut words = Vec::new();
        Reader::with(ThinkTags::Off, false).body(body.as_bytes(), &mut |word| words.push(shown(&word)));
        assert_eq!(words.join(" "), want);
    }
}

/// Events of one stream, of a few shapes, with contents that may be anything.
fn stream() -> impl Strategy<Value = Vec<String>> {
    let id = prop_oneof![Just(""), Just("a"), Just("b")];
    let text = prop_oneof![
        4 => "[a-z ]{0,6}",
        1 => "[a-z\"\\\\{}:,u0-9\u{e9}]{0,6}",
        1 => Just("\\\"a\\\\\\u00e9".to_owned()),
        1 => Just("{\\\"a\\\":".to_owned()),
        1 => Just("1}".to_owned()),
        1 => Just("{}".to_owned()),
    ];
    let number = prop_oneof![3 => "[1-9][0-9]{0,3}", 1 => Just("-1.5e3".to_owned()), 1 => Just("01".to_owned())];
    let shape = prop_oneof![
        6 => Just(r#"{"id":"c","choices":[{"index":0,"delta":{"content":"$t"},"finish_reason":null}],"usage":null,"obfuscation":"$s"}"#),
        3 => Just(r#"{"choices":[{"index":0,"delta":{"content":null,"reasoning":"$t"}}],"timings":{"a":$n,"b":[$n,"$s"]}}"#),
        3 => Just(r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"$t"}}]}}]}"#),
        2 => Just(r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"function":{"arguments":"$t"}}]}}]}"#),
        2 => Just(r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"id":"$id","function":{"name":"$id","arguments":"$t"}}]}}]}"#),
        2 => Just(r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":$i,"id":"$id","function":{"name":"f","arguments":"$t"}}]}}]}"#),
        1 => Just(r#"{"choices":[{"index":$i,"delta":{"content":"$t"}}]}"#),
        1 => Just(r#"{"choices":[{"index":0,"delta":{"content":"$t"},"finish_reason":"$s"}]}"#),
        1 => Just(r#"{"choices":[{"index":0,"delta":{"content":"$t","content":"$s"}}]}"#),
        1 => Just(r#"{"choices":[{"index":0,"delta":{"content":"$t"}}],"us\u0061ge":{"prompt_tokens":$n}}"#),
        1 => Just(r#"{"choices":[{"index":0,"delta":{"content":"$t"}}],"error":"$s"}"#),
        2 => Just(r#"{"choices":[{"index":0,"delta":{"reasoning":"$t","reasoning_details":[{"text":"$s"}]}}]}"#),
        1 => Just(r#"{"choices":[{"index":0,"delta":{"content":"$t","reasoning":"","reasoning_details":[{"text":"$s"}]}}]}"#),
        1 => Just(r#"{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"$t"}},{"id":"$id","function":{"name":"f"}}]}}]}"#),
        1 => Just("[DONE]"),
    ];
    let fill = (text.clone(), text, number, 0..3u8, id);
    let run = (shape, prop::collection::vec(fill, 1..5)).prop_map(|(shape, fills)| {
        let filled = |(one, two, number, index, id): (String, String, String, u8, &str)| {
            let shape = shape.replace("$id", id);
            shape.replace("$t", &one).replace("$s", &two).replace("$n", &number).replace("$i", &index.to_string())
        };
        fills.into_iter().map(filled).collect::<Vec<_>>()
    });
    prop::collection::vec(run, 1..12).prop_map(|runs| runs.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_learned_shape_changes_nothing(events in stream(), tagged: bool, cut in prop::option::of((0..24usize, 0..200usize))) {
        let mut events: Vec<Vec<u8>> = events.into_iter().map(String::into_bytes).collect();
        if let Some((event, at)) = cut && let Some(event) = events.get_mut(event) {
            event.truncate(at);
        }
        let tags = if tagged { ThinkTags::Tagged } else { ThinkTags::Off };
        let learned = read_by(&mut Reader::with(tags, false), &events, false);
        prop_assert_eq!(learned, read_by(&mut Reader::with(tags, false), &events, true));
    }

    #[test]
    fn any_bytes_are_read(events in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..4)) {
        let mut reader = Reader::with(ThinkTags::Tagged, false);
        read_by(&mut reader, &events, false);
        events.iter().for_each(|body| reader.body(body, &mut |_| {}));
    }
}
