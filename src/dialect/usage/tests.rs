use super::*;
use crate::limits::{EVENT_BYTES_MAX, USAGE_BYTES_MAX};

/// `input cache_read cache_write output reasoning`, `-` for none; what is kept for an hour behind a `+`, where it is told.
fn shown(usage: Usage) -> String {
    let Usage { input, cache_read, cache_write, cache_write_1h, output, reasoning } = usage;
    let shown = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
    let parts = [input, cache_read, cache_write, output, reasoning].map(shown).join(" ");
    cache_write_1h.map_or(parts.clone(), |count| format!("{parts} +{count}"))
}

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, push: fn(&mut UsageReader, &[u8])) -> String {
    let mut reader = UsageReader::new();
    pieces.into_iter().for_each(|piece| push(&mut reader, piece));
    shown(reader.usage())
}

/// However the input is split it says the same.
fn of(input: &[u8], push: fn(&mut UsageReader, &[u8])) -> String {
    let whole = read([input], push);
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(read(input.chunks(size), push), whole, "{size}: {}", input.escape_ascii());
    }
    for cut in 0..=input.len() {
        assert_eq!(read([&input[..cut], &input[cut..]], push), whole, "{cut}: {}", input.escape_ascii());
    }
    whole
}

fn of_stream(input: &str) -> String {
    of(input.as_bytes(), UsageReader::push_stream)
}

fn of_json(input: &str) -> String {
    of(input.as_bytes(), UsageReader::push_json)
}

#[test]
fn shapes_of_the_report() {
    #[rustfmt::skip]
    let table = [
        // Chat Completions
        (r#"{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17}"#, "12 - - 5 -"),
        (r#"{"prompt_tokens":12,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":2}}"#, "8 4 - 5 2"),
        (r#"{"prompt_tokens":12,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":3}}"#, "5 4 3 5 -"),
        (r#"{"prompt_tokens":12,"completion_tokens":5,"prompt_tokens_details":null,"completion_tokens_details":null}"#, "12 - - 5 -"),
        (r#"{"prompt_tokens":12,"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":8,"completion_tokens":5}"#, "8 4 - 5 -"),
        (r#"{"prompt_tokens":12,"cached_tokens":4,"completion_tokens":5}"#, "8 4 - 5 -"),
        (r#"{"prompt_tokens":12,"prompt_tokens_details":{"cached_tokens":4},"cache_read_input_tokens":4,"cache_creation_input_tokens":1}"#, "7 4 1 - -"),
        (r#"{"prompt_tokens":3,"prompt_tokens_details":{"cached_tokens":4}}"#, "0 4 - - -"),
        (r#"{"prompt_tokens":12,"completion_tokens":5,"total_tokens":27,"completion_tokens_details":{"reasoning_tokens":10}}"#, "12 - - 15 10"),
        (r#"{"prompt_tokens":12,"total_tokens":12}"#, "12 - - - -"),
        // Responses
        (r#"{"input_tokens":12,"input_tokens_details":{"cached_tokens":4,"cache_write_tokens":0},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":17}"#, "8 4 0 5 2"),
        // Messages
        (r#"{"input_tokens":12,"cache_read_input_tokens":100,"cache_creation_input_tokens":7,"cache_creation":{"ephemeral_5m_input_tokens":7},"output_tokens":5,"output_tokens_details":{"thinking_tokens":2}}"#, "12 100 7 5 2"),
        (r#"{"input_tokens":12,"cache_creation_input_tokens":7,"cache_creation":{"ephemeral_5m_input_tokens":3,"ephemeral_1h_input_tokens":4},"output_tokens":5}"#, "12 - 7 5 - +4"),
        (r#"{"input_tokens":12,"cache_creation":{"ephemeral_1h_input_tokens":"4","more":{"ephemeral_1h_input_tokens":5}}}"#, "12 - - - -"),
        (r#"{"input_tokens":12,"cache_read_input_tokens":null,"output_tokens":0}"#, "12 - - 0 -"),
        // Numbers
        (r#"{"prompt_tokens":12.0,"completion_tokens":5e0}"#, "12 - - 5 -"),
        (r#"{"prompt_tokens":-1,"completion_tokens":1.5}"#, "- - - - -"),
        (r#"{"prompt_tokens":"12","completion_tokens":[5]}"#, "- - - - -"),
        (r#"{"prompt_tokens":18446744073709551615,"completion_tokens":99999999999999999999,"total_tokens":1}"#, "18446744073709551615 - - - -"),
        // Not to be read
        (r#"{"prompt_tokens":12,"prompt_tokens":13}"#, "13 - - - -"),
        (r#"{"other":{"prompt_tokens":12}}"#, "- - - - -"),
        (r#"[{"prompt_tokens":12}]"#, "- - - - -"),
        ("null", "- - - - -"),
        ("{}", "- - - - -"),
    ];
    for (report, want) in table {
        assert_eq!(of_json(&format!(r#"{{"id":"x","usage":{report},"z":1}}"#)), want, "{report}");
        assert_eq!(of_json(&format!("{{ \"usage\" : {report} }}\n")), want, "{report}");
        assert_eq!(
            of_stream(&format!("data: {{\"choices\":[],\"usage\":{report}}}\n\ndata: [DONE]\n\n")),
            want,
            "{report}"
        );
    }
}

#[test]
fn places_in_a_stream() {
    #[rustfmt::skip]
    let table = [
        // Chat: running totals, null in between, a last chunk; values that only some chunks have.
        ("data: {\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1}}\n\ndata: {\"usage\":null}\n\ndata: {\"usage\":{\"completion_tokens\":4}}\n\ndata: [DONE]\n\n", "9 - - 4 -"),
        ("data: {\"usage\" : null , \"x_groq\":{\"id\":\"r\",\"usage\":{\"prompt_tokens\":9}}}\n\n", "9 - - - -"),
        ("data: {\"x_groq\":{\"usage\":{\"prompt_tokens\":9}},\"usage\":null}\n\n", "9 - - - -"),
        // Messages
        ("event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[],\"usage\":{\"input_tokens\":9,\"cache_read_input_tokens\":3,\"output_tokens\":1}}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":7,\"cache_read_input_tokens\":null}}\n\n", "9 3 - 7 -"),
        // Responses
        ("event: response.created\ndata: {\"response\":{\"usage\":null}}\n\nevent: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"output\":[{\"usage\":{\"input_tokens\":1}}],\"usage\":{\"input_tokens\":9,\"output_tokens\":2}}}\n\n", "9 - - 2 -"),
        // The grammar of events
        ("data:{\"usage\":{\"prompt_tokens\":9}}\r\n\r\n", "9 - - - -"),
        ("data:{\"usage\":{\"prompt_tokens\":9}}\r\r", "9 - - - -"),
        ("\u{feff}data: {\"usage\":{\"prompt_tokens\":9}}\n\n", "9 - - - -"),
        (": ping\n\n\n\r\n\r\ndata: {\"usage\":{\"prompt_tokens\":9}}\n\r\n", "9 - - - -"),
        ("data: {\ndata: \"usage\":\ndata: {\"prompt_tokens\":\r\ndata:9}\ndata: }\n\n", "9 - - - -"),
        // Without its blank line an event does not count.
        ("data: {\"usage\":{\"prompt_tokens\":9}}\n", "- - - - -"),
        // Deceptive: text, names and tools' input that only look like a report.
        (r#"data: {"choices":[{"delta":{"content":"{\"usage\":{\"prompt_tokens\":9}}"}}]}"#, "- - - - -"),
        (r#"data: {"choices":[{"delta":{"content":"\"usage\":{\"prompt_tokens\":9}"}}],"x":"usage"}"#, "- - - - -"),
        (r#"data: {"type":"usage","prompt_tokens":9}"#, "- - - - -"),
        (r#"data: {"type":"content_block_start","content_block":{"type":"tool_use","input":{"usage":{"input_tokens":9}}}}"#, "- - - - -"),
        (r#"data: {"type":"response.output_item.done","item":{"usage":{"input_tokens":9}}}"#, "- - - - -"),
        (r#"data: {"message":{"content":[{"input":{"usage":{"input_tokens":9}}}]}}"#, "- - - - -"),
        (r#"data: {"response":{"usage":"usage","metadata":{"usage":{"input_tokens":9}}}}"#, "- - - - -"),
        (r#"data: {"usage":{"usage":{"prompt_tokens":9}}}"#, "- - - - -"),
        (r#"data: {"message":"usage","usage":{"prompt_tokens":9}} trailing"#, "- - - - -"),
        (r#": {"usage":{"prompt_tokens":9}}"#, "- - - - -"),
        (r#"event: {"usage":{"prompt_tokens":9}}"#, "- - - - -"),
        (r#"data: [{"usage":{"prompt_tokens":9}}]"#, "- - - - -"),
        (r#"data: {"usage":{"prompt_tokens":9}"#, "- - - - -"),
        (r#"data: {"usage":1,"usage":{"prompt_tokens":9}}"#, "- - - - -"),
    ];
    for (stream, want) in table {
        let ended = if stream.ends_with(['\n', '\r']) { stream.to_owned() } else { format!("{stream}\n\n") };
        assert_eq!(of_stream(&ended), want, "{stream}");
        // Others around it change nothing.
        if stream.ends_with("\n\n") || ended != stream {
            let quiet = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\n";
            assert_eq!(of_stream(&format!("{quiet}{ended}{quiet}")), want, "{stream}");
        }
    }
}

#[test]
fn bodies() {
    #[rustfmt::skip]
    let table = [
        (r#"{"choices":[{"message":{"content":"\"usage\":{","usage":{"prompt_tokens":1}}}],"usage":{"prompt_tokens":9}}"#, "9 - - - -"),
        (r#"{"response":{"usage":{"prompt_tokens":1}}}"#, "- - - - -"),
        ("{\"us\\u0061ge\":{\"prompt_tokens\":9}}", "9 - - - -"),
        ("\u{feff}{\"usage\":{\"prompt_tokens\":9}}", "9 - - - -"),
        // What was read stays read, whatever follows.
        (r#"{"usage":{"prompt_tokens":9},"usage":{"prompt_tokens":1}}"#, "1 - - - -"),
        (r#"{"usage":{"prompt_tokens":9}"#, "9 - - - -"),
        (r#"{"usage":{"prompt_tokens":9}} trailing"#, "9 - - - -"),
        (r#"{"usage":{"prompt_tokens":9"#, "- - - - -"),
        (r#"[{"usage":{"prompt_tokens":9}}]"#, "- - - - -"),
        ("", "- - - - -"),
    ];
    for (body, want) in table {
        assert_eq!(of_json(body), want, "{body}");
    }
}

#[test]
fn what_is_too_long_is_passed_over_however_it_comes() {
    let event = |length: usize| {
        let (head, tail) = ("data: {\"a\":\"", "\",\"usage\":{\"prompt_tokens\":9}}\n\n");
        format!("{head}{}{tail}", "x".repeat(length - head.len() - tail.len()))
    };
    let next = "data: {\"usage\":{\"completion_tokens\":1}}\n\n";
    for (length, want) in [(EVENT_BYTES_MAX, "9 - - 1 -"), (EVENT_BYTES_MAX + 1, "- - - 1 -")] {
        let stream = format!("\r\n{}{next}", event(length));
        for size in [usize::MAX, 1_000, 16 * 1024, EVENT_BYTES_MAX, EVENT_BYTES_MAX + 2] {
            assert_eq!(read(stream.as_bytes().chunks(size), UsageReader::push_stream), want, "{length} by {size}");
        }
    }
    let body = |length: usize| {
        let (head, tail) = ("{\"a\":\"", "\",\"prompt_tokens\":9}");
        format!("{{\"usage\":{head}{}{tail}}}", "x".repeat(length - head.len() - tail.len()))
    };
    for (length, want) in [(USAGE_BYTES_MAX, "9 - - - -"), (USAGE_BYTES_MAX + 1, "- - - - -")] {
        for size in [usize::MAX, 1_000, USAGE_BYTES_MAX, USAGE_BYTES_MAX + 9, USAGE_BYTES_MAX + 10] {
            let body = body(length);
            assert_eq!(read(body.as_bytes().chunks(size), UsageReader::push_json), want, "{length} by {size}");
        }
    }
}

#[test]
fn a_reset_reader_forgets_everything() {
    let mut reader = UsageReader::new();
    let half = b"data: {\"usage\":{\"prompt_tokens\":9}}\n\ndata: {\"usage\":{\"completion_tokens\":7}}";
    reader.push_stream(half);
    reader.push_json(b"{\"usage\":{\"input_tokens\":3");
    reader.reset();
    assert_eq!(reader.usage(), Usage::default());
    reader.push_stream(b"\n\ndata: {\"usage\":{\"input_tokens\":4}}\n\n");
    assert_eq!(shown(reader.usage()), "4 - - - -");
    reader.push_json(b"{\"usage\":{\"input_tokens\":5}}");
    assert_eq!(shown(reader.usage()), "5 - - - -");
}
