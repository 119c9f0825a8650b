//! The smaller endpoints: legacy completions, embeddings, models, token counts, downloads, counted streams, the echo.

#![forbid(unsafe_code)]

use std::io::Write as _;

use super::answer::{Script, Step};
use super::ask::Ask;
use super::chat;
use super::encode::{FNV_START, base64, decimal, fnv, hex16, json_latin1, json_string, put, splitmix};
use super::fault::Part;

/// Models the mock claims to have. Any other name works as well.
const MODELS: [&str; 3] = ["mock-model", "mock-large", "mock-small"];

/// Appends a legacy completion.
pub fn completion(script: &Script, out: &mut Vec<u8>) {
    completion_head(script, out);
    for (part, _) in script.ask.parts.as_slice().iter().enumerate().filter(|(_, kind)| **kind == Part::Text) {
        script.whole(part, out);
    }
    put(out, &[b"\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"stop\"}],"]);
    chat::usage(script, out);
    put(out, &[b"}"]);
}

/// Appends the frame of one step of a streamed legacy completion.
pub fn completion_frames(script: &Script, step: Step, out: &mut Vec<u8>) {
    let finish: &[u8] = match step {
        Step::Delta(..) => b"null",
        Step::Finish => b"\"stop\"",
        Step::Usage if script.ask.extra => {
            put(out, &[b"data: {\"id\":\""]);
            script.id(b"cmpl-", 0, out);
            put(out, &[b"\",\"object\":\"text_completion\",\"created\":"]);
            decimal(out, script.created);
            put(out, &[b",\"model\":"]);
            json_string(out, &script.ask.model);
            put(out, &[b",\"choices\":[],"]);
            chat::usage(script, out);
            return put(out, &[b"}\n\n"]);
        }
        Step::End => return put(out, &[b"data: [DONE]\n\n"]),
        _ => return,
    };
    put(out, &[b"data: "]);
    completion_head(script, out);
    if let Step::Delta(part, at) = step {
        script.chunk(part, at, out);
    }
    put(out, &[b"\",\"index\":0,\"logprobs\":null,\"finish_reason\":", finish, b"}]}\n\n"]);
}

fn completion_head(script: &Script, out: &mut Vec<u8>) {
    put(out, &[b"{\"id\":\""]);
    script.id(b"cmpl-", 0, out);
    put(out, &[b"\",\"object\":\"text_completion\",\"created\":"]);
    decimal(out, script.created);
    put(out, &[b",\"model\":"]);
    json_string(out, &script.ask.model);
    put(out, &[b",\"choices\":[{\"text\":\""]);
}

/// Appends the embeddings of a request: as numbers, or as base64 of little-endian `f32`.
pub fn embeddings(ask: &Ask, out: &mut Vec<u8>) {
    put(out, &[b"{\"object\":\"list\",\"data\":["]);
    let mut numbers = Vec::new();
    for input in 0..ask.inputs {
        put(out, &[if input > 0 { b"," } else { b"" }, b"{\"object\":\"embedding\",\"index\":"]);
        decimal(out, input as u64);
        put(out, &[b",\"embedding\":"]);
        let vector = (0..ask.dimensions).map(|place| component(input, place));
        if ask.extra {
            numbers.clear();
            vector.for_each(|number| numbers.extend_from_slice(&number.to_le_bytes()));
            put(out, &[b"\""]);
            base64(out, &numbers);
            put(out, &[b"\"}"]);
        } else {
            for (place, number) in vector.enumerate() {
                put(out, &[if place > 0 { b"," } else { b"[" }]);
                // As f64, so that a client that reads it as one gets the very same number. Writing to a Vec cannot fail.
                let _ = write!(out, "{}", f64::from(number));
            }
            put(out, &[b"]}"]);
        }
    }
    put(out, &[b"],\"model\":"]);
    json_string(out, &ask.model);
    put(out, &[b",\"usage\":{\"prompt_tokens\":"]);
    decimal(out, ask.prompt_tokens);
    put(out, &[b",\"total_tokens\":"]);
    decimal(out, ask.prompt_tokens);
    put(out, &[b"}}"]);
}

/// A number between −0.5 and 0.5 that is exact in `f32` and short in decimal.
fn component(input: usize, place: usize) -> f32 {
    let (_, word) = splitmix((input * 65_536 + place) as u64);
    (word % 1024) as f32 / 1024.0 - 0.5
}

/// Appends the answer of count_tokens.
pub fn count_tokens(ask: &Ask, out: &mut Vec<u8>) {
    put(out, &[b"{\"input_tokens\":"]);
    decimal(out, ask.prompt_tokens);
    put(out, &[b"}"]);
}

/// Appends the list of models, or one of them by its name, in the shape of one of the providers.
pub fn models(anthropic: bool, id: Option<&str>, out: &mut Vec<u8>) {
    if let Some(id) = id {
        return model(anthropic, id, out);
    }
    put(out, &[if anthropic { b"{\"data\":[" } else { b"{\"object\":\"list\",\"data\":[" }]);
    for (place, id) in MODELS.iter().enumerate() {
        put(out, &[if place > 0 { b"," } else { b"" }]);
        model(anthropic, id, out);
    }
    put(
        out,
        &[if anthropic {
            b"],\"has_more\":false,\"first_id\":\"mock-model\",\"last_id\":\"mock-small\"}"
        } else {
            b"]}"
        }],
    );
}

fn model(anthropic: bool, id: &str, out: &mut Vec<u8>) {
    put(out, &[if anthropic { b"{\"type\":\"model\",\"id\":" } else { b"{\"object\":\"model\",\"id\":" }]);
    json_string(out, id.as_bytes());
    if anthropic {
        put(out, &[b",\"display_name\":"]);
        json_string(out, id.as_bytes());
        put(out, &[b",\"created_at\":\"2026-01-01T00:00:00Z\",\"lifecycle\":\"active\",\"max_input_tokens\":200000,\"max_tokens\":64000}"]);
    } else {
        put(out, &[b",\"created\":1767225600,\"owned_by\":\"mock\"}"]);
    }
}

/// Appends the receipt of an upload.
pub fn receipt(bytes: u64, sum: u64, out: &mut Vec<u8>) {
    put(out, &[b"{\"object\":\"mock.upload\",\"received_bytes\":"]);
    decimal(out, bytes);
    put(out, &[b",\"fnv1a64\":\""]);
    hex16(out, sum);
    put(out, &[b"\"}"]);
}

/// What `/v1/blob?bytes=N&seed=S&chunked=1` asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Blob {
    /// Bytes still to come.
    pub left: u64,
    /// State of the generator: SplitMix64 from the seed, each word little-endian.
    pub state: u64,
    /// Chunked instead of Content-Length.
    pub chunked: bool,
}

impl Blob {
    /// Reads the query. `None`: it does not say how many bytes.
    #[must_use]
    pub fn from_query(query: &str) -> Option<Self> {
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        Some(Self {
            left: value("bytes")?.parse().ok()?,
            state: value("seed").unwrap_or("0").parse().ok()?,
            chunked: value("chunked") == Some("1"),
        })
    }

    /// Appends up to `max` bytes, a multiple of eight; fewer at the end.
    pub fn fill(&mut self, max: usize, out: &mut Vec<u8>) {
        let take = self.left.min(max as u64) as usize;
        let start = out.len();
        while out.len() - start < take {
            let (state, word) = splitmix(self.state);
            self.state = state;
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.truncate(start + take);
        self.left -= take as u64;
    }
}

/// Appends event `number` of a counted stream: `{"seq","stream","sum","pad"}`. `sum` is the FNV-1a of
/// `STREAM:SEQ:PAD`, so that a client can tell a lost, a mixed-up and a foreign event. Pads vary up to twice `bytes`.
pub fn counted(stream: &str, number: u64, bytes: usize, out: &mut Vec<u8>) {
    put(out, &[b"data: {\"seq\":"]);
    decimal(out, number);
    put(out, &[b",\"stream\":"]);
    json_string(out, stream.as_bytes());
    put(out, &[b",\"pad\":\""]);
    let (_, word) = splitmix(number);
    let len = (word % (2 * bytes as u64 + 1)) as usize;
    let start = out.len();
    out.resize(start + len, b'a' + (number % 26) as u8);
    let mut digits = Vec::with_capacity(20);
    decimal(&mut digits, number);
    let pad = out.get(start..).unwrap_or_default();
    let sum = [stream.as_bytes(), b":", &digits, b":", pad].iter().fold(FNV_START, |sum, piece| fnv(sum, piece));
    put(out, &[b"\",\"sum\":\""]);
    hex16(out, sum);
    put(out, &[b"\"}\n\n"]);
}

/// Appends a description of the request that arrived. `head` is its head, to the byte.
pub fn echo(head: &[u8], body: &[u8], chunked: bool, out: &mut Vec<u8>) {
    let mut lines =
        head.trim_ascii_start().split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut words = lines.next().unwrap_or_default().splitn(3, |&byte| byte == b' ');
    for (name, open) in [("method", &b"{"[..]), ("target", b","), ("version", b",")] {
        put(out, &[open, b"\"", name.as_bytes(), b"\":"]);
        json_latin1(out, words.next().unwrap_or_default());
    }
    put(out, &[b",\"headers\":["]);
    for (place, line) in lines.filter(|line| !line.is_empty()).enumerate() {
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        put(out, &[if place > 0 { b",[" } else { b"[" }]);
        json_latin1(out, line.get(..colon).unwrap_or_default());
        put(out, &[b","]);
        json_latin1(out, line.get(colon + 1..).unwrap_or_default().trim_ascii());
        put(out, &[b"]"]);
    }
    put(out, &[b"],\"head_base64\":\""]);
    base64(out, head);
    put(out, &[b"\",\"chunked\":", if chunked { b"true" } else { b"false" }, b",\"body_bytes\":"]);
    decimal(out, body.len() as u64);
    put(out, &[b",\"body_fnv1a64\":\""]);
    hex16(out, fnv(FNV_START, body));
    put(out, &[b"\",\"body_base64\":\""]);
    base64(out, body);
    put(out, &[b"\"}"]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::answer::tests::{events, parsed, script};
    use crate::mock::route::Dialect;
    use simd_json::prelude::*;

    #[test]
    fn embeddings_say_the_same_in_both_encodings() {
        let mut ask = Ask { model: b"e".to_vec(), inputs: 2, dimensions: 3, ..Ask::default() };
        let numbers = parsed(|out| embeddings(&ask, out));
        ask.extra = true;
        let encoded = parsed(|out| embeddings(&ask, out));
        assert_eq!(numbers["data"][1]["embedding"][0].as_f64(), Some(f64::from(component(1, 0))));
        for input in 0..2 {
            let list = numbers["data"][input]["embedding"].as_array().unwrap();
            let bytes: Vec<u8> =
                list.iter().flat_map(|number| (number.as_f64().unwrap() as f32).to_le_bytes()).collect();
            let mut text = Vec::new();
            base64(&mut text, &bytes);
            assert_eq!(encoded["data"][input]["embedding"].as_str().unwrap().as_bytes(), text);
        }
    }

    #[test]
    fn models_have_the_shape_of_the_provider_asked() {
        let openai = parsed(|out| models(false, None, out));
        assert_eq!((openai["object"].as_str(), openai["data"][0]["object"].as_str()), (Some("list"), Some("model")));
        let anthropic = parsed(|out| models(true, None, out));
        assert_eq!(anthropic["last_id"], anthropic["data"][2]["id"]);
        assert_eq!(parsed(|out| models(true, Some("x/y"), out))["id"], "x/y");
    }

    #[test]
    fn blobs_do_not_depend_on_the_size_of_the_pieces() {
        let blob = Blob::from_query("bytes=1003&seed=7").unwrap();
        let read = |size| {
            let (mut blob, mut out) = (blob, Vec::new());
            while blob.left > 0 {
                blob.fill(size, &mut out);
            }
            out
        };
        assert_eq!(read(8), read(2000));
        assert_eq!(read(64).len(), 1003);
        assert!(Blob::from_query("seed=1").is_none() && Blob::from_query("bytes=x").is_none());
        assert!(Blob::from_query("seed=1&chunked=1&bytes=2").unwrap().chunked);
    }

    #[test]
    fn counted_events_can_be_checked() {
        for number in [0, 1, 99_999] {
            let mut frame = Vec::new();
            counted("s-1", number, 20, &mut frame);
            let event = parsed(|out| out.extend_from_slice(&frame[6..]));
            let text = format!("s-1:{number}:{}", event["pad"].as_str().unwrap());
            assert_eq!(event["sum"].as_str().unwrap(), format!("{:016x}", fnv(FNV_START, text.as_bytes())));
            assert_eq!(event["seq"], number);
        }
    }

    #[test]
    fn the_echo_keeps_order_case_and_bytes() {
        let head = b"POST /v1/echo?x HTTP/1.1\r\nB: 1\r\na:  \xe9 \r\nB: 2\r\n\r\n";
        let echo = parsed(|out| echo(head, b"hi", true, out));
        assert_eq!(echo["target"], "/v1/echo?x");
        let headers: Vec<_> = echo["headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
            .collect();
        assert_eq!(headers, [("B", "1"), ("a", "é"), ("B", "2")]);
        assert_eq!((echo["body_base64"].as_str(), echo["body_bytes"].as_u64()), (Some("aGk="), Some(2)));
    }

    #[test]
    fn legacy_completions_stream_text_then_the_reason() {
        let events = events(&script(Dialect::Completions, &[Part::Text]));
        let text: String = events.iter().map(|event| event["choices"][0]["text"].as_str().unwrap()).collect();
        let body = parsed(|out| completion(&script(Dialect::Completions, &[Part::Text]), out));
        assert_eq!(body["choices"][0]["text"], text);
        assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "stop");
    }
}
