//! Requests in Messages, and what they count. The table's part is played by the length of the text, but in one test.

use std::cell::Cell;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::dialect::loss::Losses;
use crate::dialect::messages::request::read_to_count;
use crate::dialect::profile::Profile;
use crate::json::Index;

fn counted(rules: &Rules, memory: &BlockCounts, json: &str, encode: Encode<'_>) -> u64 {
    counted_within(usize::MAX, rules, memory, json, encode)
}

fn counted_within(bytes_left: usize, rules: &Rules, memory: &BlockCounts, json: &str, encode: Encode<'_>) -> u64 {
    let mut index = Index::default();
    let body = index.read(json.as_bytes()).unwrap_or_else(|error| panic!("{error}: {json}"));
    let request = read_to_count(body, &mut Losses::default()).unwrap_or_else(|refused| panic!("{refused:?}: {json}"));
    count_with(&request, rules, Table { memory, encode, decoded: Vec::new(), bytes_left })
}

/// Each byte is a token; what a request counts beside [`EMPTY`].
fn lengths(model: &str, upstream: Dialect, profile: &str, json: &str) -> u64 {
    let rules = Rules::of(model, upstream, &Profile::parse(profile).unwrap());
    counted(&rules, &BlockCounts::default(), json, &str::len) - EMPTY
}

/// A message of the user's with one letter, and the beginning of the answer.
const EMPTY: u64 = REPLY + MESSAGE + 1;

fn user(blocks: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}},{{"role":"user","content":[{blocks}]}}]}}"#)
}

fn assistant(blocks: &str) -> String {
    format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"x"}},{{"role":"assistant","content":[{blocks}]}}]}}"#
    )
}

fn top(members: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],{members}}}"#)
}

#[test]
fn texts_and_tools() {
    let result = |content: &str| user(&format!(r#"{{"type":"tool_result","tool_use_id":"t",{content}}}"#));
    let tool = r#"{"name":"get","description":"d.","input_schema":SCHEMA}"#;
    let tools = |schema: &str| top(&format!(r#""tools":[{}]"#, tool.replace("SCHEMA", schema)));
    #[rustfmt::skip]
    let table = [
        ("texts", user(r#"{"type":"text","text":"hello"},{"type":"text","text":"you"}"#), MESSAGE + 8),
        ("escapes are decoded", user(r#"{"type":"text","text":"a\n\u00e9\ud83d\ude00\""}"#), MESSAGE + 9),
        ("a lone surrogate is one character", user(r#"{"type":"text","text":"\ud83d"}"#), MESSAGE + 3),
        ("system", top(r#""system":"hello""#), MESSAGE + 5),
        ("system blocks", top(r#""system":[{"type":"text","text":"hello"},{"type":"text","text":"you"}]"#), MESSAGE + 8),
        ("what changes with every request is not sent", top(r#""system":[{"type":"text","text":"x-anthropic-billing-header: cch=1;"},{"type":"text","text":"you"}]"#), MESSAGE + 3),
        ("a call", assistant(r#"{"type":"tool_use","id":"toolu_1","name":"get","input":{"a": [1, "b c"]}}"#), MESSAGE + CALL + 3 + 15),
        ("a result", result(r#""content":"hello""#), MESSAGE + RESULT + 5),
        ("an empty result", result(r#""content":[]"#), MESSAGE + RESULT),
        ("a result's blocks", result(r#""content":[{"type":"text","text":"hello"},{"type":"image","source":{"type":"url","url":"http://a/"}}]"#), MESSAGE + RESULT + 5 + 1600),
        ("results are messages", user(r#"{"type":"tool_result","tool_use_id":"t","content":"a"},{"type":"tool_result","tool_use_id":"u","content":"b"},{"type":"text","text":"c"}"#), 3 * MESSAGE + 2 * RESULT + 3),
        ("thoughts that are not sent", assistant(r#"{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"a"}"#), MESSAGE + 1),
        ("nothing but them", assistant(r#"{"type":"thinking","thinking":"hm","signature":"s"}"#), 0),
        ("a tool without properties", tools(r#"{"type":"object"}"#), TOOL_LINES + 7 + 5),
        ("a property", tools(r#"{"properties":{"a":{"type":"string","description":"text."}}}"#), TOOL_LINES + 7 + 5 + 3 + 3 + 13),
        ("an enumeration", tools(r#"{"properties":{"a":{"type":"string","enum":["x","yy"]}}}"#), TOOL_LINES + 7 + 5 + 3 + 3 + 9 + (3 + 1) + (3 + 2) - 3),
        ("properties within", tools(r#"{"properties":{"a":{"type":"array","items":{"properties":{"b":{"type":"object","properties":{"c":{}}}}}}}}"#), TOOL_LINES + 7 + 5 + (3 + 3 + 8) + (3 + 3 + 9) + (3 + 3 + 3)),
        ("no tools", top(r#""tools":[]"#), 0),
        ("a vendor's tool that the client runs", top(r#""tools":[{"type":"bash_20250124","name":"bash"}]"#), TOOL_LINES + 90),
        ("one that the vendor runs", top(r#""tools":[{"type":"web_search_20250305","name":"web_search"}]"#), 0),
        ("a schema of the answer", top(r#""output_config":{"format":{"type":"json_schema","schema":{ "a": 1 }}}"#), FORMAT + 7),
    ];
    for (name, json, want) in table {
        assert_eq!(lengths("gpt-4o", Dialect::Chat, "plain", &json), want, "{name}");
    }
}

#[test]
fn what_depends_on_the_upstream() {
    let thoughts = assistant(r#"{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"a"}"#);
    let redacted = assistant(r#"{"type":"redacted_thinking","data":"0123456789abcdef"}"#);
    let billing = top(r#""system":[{"type":"text","text":"x-anthropic-billing-header:"}]"#);
    let server = top(r#""tools":[{"type":"web_search_20250305","name":"web_search"}]"#);
    let bash = top(r#""tools":[{"type":"bash_20250124","name":"bash"}]"#);
    let tool = top(r#""tools":[{"name":"get","input_schema":{"type": "object"}}]"#);
    let json =
        r#"{"type":"function","function":{"name":"get","description":"","parameters":{"type":"object"}}}"#.len() as u64;
    let picture = user(r#"{"type":"image","source":{"type":"url","url":"http://a/"}}"#);
    let (chat, messages) = (Dialect::Chat, Dialect::Messages);
    #[rustfmt::skip]
    let table = [
        ("gpt-4o", chat, "plain", &thoughts, MESSAGE + 1), ("gpt-4o", messages, "plain", &thoughts, MESSAGE + 3),
        ("gpt-4o", chat, "deepseek", &thoughts, MESSAGE + 3),
        ("gpt-4o", chat, "plain", &redacted, 0), ("gpt-4o", messages, "plain", &redacted, MESSAGE + 3),
        ("gpt-4o", chat, "plain", &billing, 0), ("gpt-4o", messages, "plain", &billing, MESSAGE + 27),
        ("gpt-4o", chat, "plain", &server, 0), ("gpt-4o", messages, "plain", &bash, TOOL_LINES + 245),
        ("gpt-4o", chat, "plain", &picture, MESSAGE + 1600), ("gpt-4o", chat, "deepseek", &picture, MESSAGE + 4),
        // The margin is for text alone: (8 + …) × 1.15 − 8, and × 1.3.
        ("glm-4.6", chat, "plain", &tool, ((8 + TOOL + json) * 1150).div_ceil(1000) - 8),
        ("claude-sonnet-4-5", messages, "plain", &tool, ((8 + TOOL + json) * 1300).div_ceil(1000) - 8 + 346),
        ("claude-sonnet-4-5", messages, "plain", &picture, (12_u64 * 1300).div_ceil(1000) - 8 + 1600),
    ];
    for (model, upstream, profile, json, want) in table {
        assert_eq!(lengths(model, upstream, profile, json), want, "{model} {upstream:?} {profile} {json}");
    }
}

/// The heads of pictures, with nothing behind.
fn png(width: u32, height: u32) -> Vec<u8> {
    [&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], &width.to_be_bytes(), &height.to_be_bytes(), &[8, 6, 0, 0, 0]].concat()
}

fn jpeg(width: u16, height: u16, before: usize) -> Vec<u8> {
    let mut jpeg = b"\xFF\xD8\xFF\xE0\0\x04JF".to_vec();
    for _ in 0..before {
        jpeg.extend_from_slice(&[0xFF, 0xFF, 0xE1, 0xFF, 0xFE]);
        // Notes may hold a thumbnail with a frame of its own.
        jpeg.extend(b"\xFF\xC0\0\x11\x08\0\x10\0\x10".iter().cycle().take(0xFFFC));
    }
    jpeg.extend_from_slice(b"\xFF\xDB\0\x03\0\xFF\xC4\0\x03\0\xFF\xC2\0\x11\x08");
    [&jpeg[..], &height.to_be_bytes(), &width.to_be_bytes(), &[3, 1]].concat()
}

fn webp(form: &[u8]) -> Vec<u8> {
    [&b"RIFF\0\0\0\0WEBP"[..], form, &[0; 16]].concat()
}

#[test]
fn pictures_are_measured() {
    #[rustfmt::skip]
    let table = [
        ("png", png(640, 480), Some((640, 480))),
        ("gif", b"GIF89a\x80\x02\xE0\x01\xF7\0\0".to_vec(), Some((640, 480))),
        ("jpeg", jpeg(640, 480, 0), Some((640, 480))), ("jpeg of a camera", jpeg(4000, 3000, 3), Some((4000, 3000))),
        ("jpeg with too much before", jpeg(640, 480, 20), None), ("jpeg without a frame", b"\xFF\xD8\xFF\xDA\0\x02".to_vec(), None),
        ("jpeg that ends", b"\xFF\xD8\xFF\xE0\xFF".to_vec(), None), ("jpeg that lies", b"\xFF\xD8\xFF\xE0\0\0\xFF\xC0".to_vec(), None),
        ("webp lossy", webp(b"VP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x80\x42\xE0\x81"), Some((640, 480))),
        ("webp lossless", webp(b"VP8L\0\0\0\0\x2f\x7f\xC2\x77\x10"), Some((640, 480))),
        ("webp extended", webp(b"VP8X\0\0\0\0\0\0\0\0\x7f\x02\0\xDF\x01\0"), Some((640, 480))),
        ("webp of the future", webp(b"VP9 "), None), ("png of no size", png(0, 480), None), ("png that ends", png(9, 9)[..20].to_vec(), None),
        ("svg", b"<svg width='9'/>".to_vec(), None), ("nothing", Vec::new(), None),
    ];
    for (name, bytes, want) in table {
        let size = picture::size(STANDARD.encode(bytes).as_bytes());
        assert_eq!(size.map(|size| (size.width, size.height)), want, "{name}");
    }
    assert_eq!(picture::size(b"not base64!"), None);
    let url =
        format!("data:image\\/png;base64,{}", STANDARD.encode(png(3, 4)).replace('/', "\\/").replace('+', "\\u002B"));
    assert_eq!(picture::size(url.as_bytes()).map(|size| size.width), Some(3));
}

#[test]
fn pictures_count() {
    #[rustfmt::skip]
    let table = [
        ("gpt-4o", 1024, 1024, "", 85 + 4 * 170), ("gpt-4o", 2048, 4096, "high", 85 + 6 * 170), ("gpt-4o", 4096, 8192, "low", 85),
        ("gpt-4o", 512, 512, "auto", 85 + 170), ("gpt-4o", 1, 100_000, "", 85 + 4 * 170), ("gpt-5", 512, 513, "", 70 + 2 * 140),
        ("o4-mini", 1024, 1024, "", 1762), ("gpt-4.1-mini", 1800, 2400, "", 2489), ("gpt-4.1-nano", 32, 33, "low", 5),
        ("gpt-5.5", 2560, 1440, "", 4320), ("gpt-5.5", 3840, 2160, "high", 3000),
        ("claude-sonnet-4-5", 200, 200, "", 54), ("claude-sonnet-4-5", 1000, 1000, "", 1334),
        ("claude-sonnet-4-5", 3840, 2160, "", 1600), ("claude-sonnet-4-5", 8000, 100, "", 40), ("claude-sonnet-4-5", 1, 1, "", 1),
        ("claude-opus-4-7", 2000, 1500, "", 4000), ("gemini-3-pro", 4000, 3000, "", 1120), ("glm-4.5v", 4_000_000_000, 4_000_000_000, "", 1600),
    ];
    for (model, width, height, detail, want) in table {
        let detail = (!detail.is_empty()).then_some(detail.as_bytes());
        let rules = Rules::of(model, Dialect::Chat, &Profile::default());
        let size = picture::size(STANDARD.encode(png(width, height)).as_bytes());
        assert_eq!(rules.pictures.tokens(size, detail), want, "{model} {width}×{height} {detail:?}");
    }
    let tiles = Rules::of("gpt-4o", Dialect::Chat, &Profile::default()).pictures;
    assert_eq!((tiles.tokens(None, None), tiles.tokens(None, Some(b"low"))), (1600, 85));
}

#[test]
fn documents() {
    let document = |members: &str| user(&format!(r#"{{"type":"document",{members}}}"#));
    let pdf = STANDARD.encode("%PDF-1.4 /Type /Pages /Type /Page /Type /Page");
    let base64 = |media: &str, data: &str| {
        document(&format!(r#""source":{{"type":"base64","media_type":"{media}","data":"{data}"}}"#))
    };
    #[rustfmt::skip]
    let table = [
        (base64("application/pdf", &pdf), MESSAGE + 2 * 3000), (base64("application/pdf", "AAAA"), MESSAGE + 3000),
        (document(r#""source":{"type":"text","media_type":"text/plain","data":"a\nb"},"title":"T","context":"cc""#), MESSAGE + 6),
        (document(r#""source":{"type":"content","content":[{"type":"text","text":"abc"},{"type":"image","source":{"type":"url","url":"u"}}]}"#), MESSAGE + 3 + 1600),
        (document(r#""source":{"type":"url","url":"http://a/b.pdf"}"#), MESSAGE + 3000),
    ];
    for (json, want) in table {
        assert_eq!(lengths("gpt-4o", Dialect::Chat, "plain", &json), want, "{json}");
    }
}

#[test]
fn the_next_turn_pays_for_its_new_blocks() {
    let (calls, bytes) = (Cell::new(0), Cell::new(0));
    let encode = |text: &str| {
        calls.set(calls.get() + 1);
        bytes.set(bytes.get() + text.len());
        text.len()
    };
    let turn = |number: usize| {
        format!(
            r#"{{"role":"assistant","content":[{{"type":"tool_use","id":"t{number}","name":"get","input":{{"n":{number}}}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t{number}","content":"result {number}"}}]}}"#
        )
    };
    let conversation = |turns: usize| {
        let turns: Vec<_> = (0..turns).map(turn).collect();
        format!(
            r#"{{"model":"m","system":"instructions","tools":[{{"name":"get","input_schema":{{"properties":{{"n":{{"type":"integer"}}}}}}}}],"messages":[{{"role":"user","content":"begin"}},{}]}}"#,
            turns.join(",")
        )
    };
    let (rules, memory) = (Rules::of("glm-4.6", Dialect::Chat, &Profile::default()), BlockCounts::default());
    let mut costs = Vec::new();
    for turns in [10, 10, 11, 12] {
        let json = conversation(turns);
        calls.set(0);
        let known = counted(&rules, &memory, &json, &encode);
        costs.push(calls.get());
        assert_eq!(known, counted(&rules, &BlockCounts::default(), &json, &str::len));
    }
    // Instructions, tool, first words, the tool's name; then an input and a result for each turn.
    assert_eq!(costs, [4 + 20, 0, 2, 2]);
    // Another family has another margin, not other tokens.
    calls.set(0);
    counted(&Rules::of("deepseek-x", Dialect::Chat, &Profile::default()), &memory, &conversation(12), &encode);
    assert_eq!(calls.get(), 0);
}

#[test]
fn giants_are_guessed() {
    const MAX: usize = 100_000;
    let encoded = Cell::new(0);
    let encode = |text: &str| {
        encoded.set(encoded.get() + text.len());
        text.len()
    };
    let (rules, memory) = (Rules::of("gpt-4o", Dialect::Chat, &Profile::default()), BlockCounts::default());
    let count = |json: &str| counted_within(MAX, &rules, &memory, json, &encode) - EMPTY - MESSAGE;
    let text = "x".repeat(MAX + 4);
    let json = user(&format!(r#"{{"type":"text","text":"{text}"}},{{"type":"text","text":"abcdefgh"}}"#));
    // A guess is not remembered.
    for asked in 1..=2 {
        assert_eq!((count(&json), encoded.get()), (MAX as u64 / 4 + 1 + 8, 9), "{asked}");
    }
    // Pages are not what this is about.
    let data = "A".repeat(MAX + 4);
    let source = format!(r#"{{"type":"base64","media_type":"application/pdf","data":"{data}"}}"#);
    assert_eq!(count(&user(&format!(r#"{{"type":"document","source":{source}}}"#))), 3000);
}

/// The one test that loads the table.
#[test]
fn by_the_table() {
    let count = |model: &str, json: &str| {
        let rules = Rules::of(model, Dialect::Chat, &Profile::default());
        let encode = |text: &str| bpe_openai::o200k_base().count(text);
        counted(&rules, &BlockCounts::default(), json, &encode)
    };
    let text = |text: &str| count("gpt-4o", &user(&format!(r#"{{"type":"text","text":"{text}"}}"#))) - EMPTY - MESSAGE;
    for (words, want) in [("hello world", 2), ("", 0), ("<|endoftext|>", 7), ("\\u0068ello\\u0020world", 2)] {
        assert_eq!(text(words), want, "{words}");
    }
    // OpenAI's own example of how tools are counted: its API said 101.
    let weather = r#"{"model":"gpt-4o","system":"You are a helpful assistant that can answer to questions about the weather.",
        "messages":[{"role":"user","content":"What's the weather like in San Francisco?"}],
        "tools":[{"name":"get_current_weather","description":"Get the current weather in a given location",
            "input_schema":{"type":"object","properties":{
                "location":{"type":"string","description":"The city and state, e.g. San Francisco, CA"},
                "unit":{"type":"string","description":"The unit of temperature to return","enum":["celsius","fahrenheit"]}},
                "required":["location"]}}]}"#;
    assert_eq!(count("gpt-4o", weather), 101);
    let agent = include_str!("../../tests/data/captures/cc-hi-002.body");
    let tokens = count("gpt-4o", agent);
    assert!((agent.len() as u64 / 6..agent.len() as u64 / 2).contains(&tokens), "{tokens} of {}", agent.len());
}

proptest! {
    /// Heads of pictures come from anywhere.
    #[test]
    fn no_head_is_too_broken(
        format in 0_usize..6,
        cut in 0_usize..60,
        changed in proptest::collection::vec((0_usize..60, any::<u8>()), 0..6),
    ) {
        let mut bytes = match format {
            0 => png(640, 480),
            1 => jpeg(640, 480, 0),
            2 => webp(b"VP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x80\x42\xE0\x81"),
            3 => webp(b"VP8L\0\0\0\0\x2f\x7f\xC2\x77\x10"),
            4 => webp(b"VP8X\0\0\0\0\0\0\0\0\x7f\x02\0\xDF\x01\0"),
            _ => b"%PDF-1.5\n1 0 obj << /Linearized 1 /N 12 /Type /Page >>".to_vec(),
        };
        bytes.truncate(cut);
        for (at, byte) in changed {
            if let Some(old) = bytes.get_mut(at) {
                *old = byte;
            }
        }
        let base64 = STANDARD.encode(&bytes);
        let size = picture::size(base64.as_bytes());
        for model in ["gpt-4o", "o4-mini", "claude-opus-4-7", "gemini", "m"] {
            prop_assert!(Rules::of(model, Dialect::Chat, &Profile::default()).pictures.tokens(size, None) > 0);
        }
        prop_assert!(pdf::pages(base64.as_bytes()) > 0);
        prop_assert!(picture::size(&bytes).is_none_or(|size| size.width > 0));
    }
}
