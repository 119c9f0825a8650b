//! What the body of a request asks for: the few members that matter here.
//!
//! A plain chat request is answered from a peek that looks for a handful of names. Anything else (tools, thinking,
//! options, doubt) is parsed in full.

#![forbid(unsafe_code)]

use std::sync::LazyLock;

use memchr::memmem;
use simd_json::{Buffers, prelude::*, tape::Value};

use super::call::{Call, arguments, function, tool_name};
use super::fault::{Controls, Part, Parts};
use super::route::{Dialect, Route};

/// Members that ask for more than plain text.
static DOUBTS: LazyLock<[memmem::Finder<'static>; 5]> = LazyLock::new(|| {
    ["\"tools\"", "\"thinking\"", "\"reasoning", "\"stream_options\"", "\"functions\""].map(memmem::Finder::new)
});
/// Bytes per token in the mock's usage numbers.
const BYTES_PER_TOKEN: usize = 4;
/// Embeddings of one request, as at OpenAI.
const INPUTS_MAX: usize = 2048;
/// Numbers in one embedding. The largest real model has 3,072.
const DIMENSIONS_MAX: u64 = 65_536;

/// What the body of a request asks for. Kept per connection and filled anew, so that its buffers are reused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ask {
    /// The model, decoded.
    pub model: Vec<u8>,
    /// Server-sent events instead of one body.
    pub stream: bool,
    /// An optional extra, by dialect: usage in a chat stream, encrypted reasoning in Responses, base64 embeddings.
    pub extra: bool,
    /// The parts of the answer.
    pub parts: Parts,
    /// One for each tool the answer may call, in order.
    pub calls: Vec<Call>,
    /// Tokens of the prompt, estimated.
    pub prompt_tokens: u64,
    /// Inputs to embed.
    pub inputs: usize,
    /// Numbers in each embedding.
    pub dimensions: usize,
}

impl Ask {
    /// Reads `body`, which is changed on the way. `Err` is the message of a 400.
    pub fn read(
        &mut self,
        route: Route<'_>,
        body: &mut [u8],
        controls: &Controls,
        buffers: &mut Buffers,
    ) -> Result<(), String> {
        self.clear();
        self.prompt_tokens = (body.len() / BYTES_PER_TOKEN + 1) as u64;
        if !matches!(route, Route::Generate(_)) || controls.parts.is_some() || !self.peek(body) {
            self.parse(route, body, buffers, controls.parts)?;
        }
        if self.model.is_empty() {
            return Err("model: Field required".into());
        }
        Ok(())
    }

    /// The summary of a request whose body has not been read.
    pub fn unread(&mut self) {
        self.clear();
        self.model.extend_from_slice(b"mock-model");
        self.parts.push(Part::Text);
    }

    fn clear(&mut self) {
        self.model.clear();
        self.calls.clear();
        (self.stream, self.extra) = (false, false);
        self.parts = Parts::default();
        (self.inputs, self.dimensions) = (1, 8);
    }

    /// Tries to do without a parser. False: unsure. In JSON text a quoted name can stand only where a string stands:
    /// inside a string its quotes would be escaped.
    fn peek(&mut self, body: &[u8]) -> bool {
        if DOUBTS.iter().any(|doubt| doubt.find(body).is_some()) {
            return false;
        }
        let whole = body.trim_ascii();
        if !whole.starts_with(b"{") || !whole.ends_with(b"}") {
            return false;
        }
        let Some(Some(model)) = value_of(body, b"\"model\"") else {
            return false;
        };
        let Some(model) = model.strip_prefix(b"\"") else {
            return false;
        };
        let Some(model) = memchr::memchr2(b'"', b'\\', model).and_then(|end| model.split_at_checked(end)) else {
            return false;
        };
        if !model.1.starts_with(b"\"") {
            return false;
        }
        self.stream = match value_of(body, b"\"stream\"") {
            None => false,
            Some(Some(value)) if value.starts_with(b"true") => true,
            Some(Some(value)) if value.starts_with(b"false") => false,
            _ => return false,
        };
        self.model.extend_from_slice(model.0);
        self.parts.push(Part::Text);
        true
    }

    fn parse(
        &mut self,
        route: Route<'_>,
        body: &mut [u8],
        buffers: &mut Buffers,
        parts: Option<Parts>,
    ) -> Result<(), String> {
        let tape = simd_json::to_tape_with_buffers(body, buffers)
            .map_err(|error| format!("We could not parse the JSON body of your request: {error}"))?;
        let body = tape.as_value();
        if !body.is_object() {
            return Err("the body is not a JSON object".into());
        }
        self.model.extend_from_slice(string(&body, "model").unwrap_or_default().as_bytes());
        self.stream = body.get("stream").and_then(|stream| stream.as_bool()).unwrap_or(false);
        match route {
            Route::Embeddings => self.read_embeddings(&body)?,
            Route::Generate(dialect) => self.read_generation(dialect, &body, parts)?,
            _ => {}
        }
        Ok(())
    }

    fn read_embeddings(&mut self, body: &Value<'_, '_>) -> Result<(), String> {
        let input = body.get("input").ok_or("input: Field required")?;
        self.inputs = match input.as_array() {
            Some(list) if list.iter().next().is_some_and(|first| first.as_i64().is_none()) => list.len(),
            _ => 1,
        };
        if self.inputs > INPUTS_MAX {
            return Err(format!("input: at most {INPUTS_MAX} inputs"));
        }
        self.extra = string(body, "encoding_format") == Some("base64");
        let dimensions = body.get("dimensions").and_then(|number| number.as_u64()).unwrap_or(8);
        if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
            return Err(format!("dimensions: from 1 to {DIMENSIONS_MAX}"));
        }
        self.dimensions = dimensions as usize;
        Ok(())
    }

    fn read_generation(&mut self, dialect: Dialect, body: &Value<'_, '_>, parts: Option<Parts>) -> Result<(), String> {
        let turns = match dialect {
            Dialect::Chat | Dialect::Messages => "messages",
            Dialect::Completions => "prompt",
            Dialect::Responses => "input",
        };
        let turns = body.get(turns).ok_or_else(|| format!("{turns}: Field required"))?;
        self.extra = match dialect {
            Dialect::Responses => {
                body.get("include").is_some_and(|list| mentions(&list, "reasoning.encrypted_content"))
            }
            _ => body
                .get("stream_options")
                .and_then(|options| options.get("include_usage"))
                .and_then(|usage| usage.as_bool())
                .unwrap_or(false),
        };
        self.parts = match parts {
            Some(parts) => parts,
            None => self.usual_parts(dialect, body, &turns),
        };
        self.make_calls(body, &turns);
        Ok(())
    }

    fn usual_parts(&self, dialect: Dialect, body: &Value<'_, '_>, turns: &Value<'_, '_>) -> Parts {
        let mut parts = Parts::default();
        if wants_thinking(dialect, body) {
            parts.push(Part::Thinking);
        }
        parts.push(if wants_tool(body, turns) { Part::Tool } else { Part::Text });
        parts
    }

    /// Makes up one call for each tool part. The first goes to the tool that was demanded or named, others follow.
    fn make_calls(&mut self, body: &Value<'_, '_>, turns: &Value<'_, '_>) {
        let wanted = self.parts.as_slice().iter().filter(|&&part| part == Part::Tool).count();
        if wanted == 0 {
            return;
        }
        let tools = body.get("tools").and_then(|tools| tools.as_array());
        // Provider-defined tools have no schema and are not ours to call.
        let callable: Vec<_> = tools.iter().flat_map(|tools| tools.iter()).filter_map(|tool| function(&tool)).collect();
        let demanded = body.get("tool_choice").and_then(|choice| tool_name(&choice).map(str::to_owned));
        let last = last_turn(turns);
        let first = callable
            .iter()
            .position(|(name, _)| demanded.as_deref() == Some(*name))
            .or_else(|| callable.iter().position(|(name, _)| last.is_some_and(|turn| mentions(&turn, name))))
            .unwrap_or(0);
        for turn in 0..wanted {
            let mut call = Call::default();
            match callable.get((first + turn) % callable.len().max(1)) {
                Some((name, schema)) => {
                    call.name.extend_from_slice(name.as_bytes());
                    arguments(&mut call.arguments, schema.as_ref(), 0);
                }
                None => {
                    call.name.extend_from_slice(b"mock_tool");
                    call.arguments.extend_from_slice(b"{\"value\":\"mock\"}");
                }
            }
            self.calls.push(call);
        }
    }
}

/// The text after `name` and its colon. `None`: no such name; `Some(None)`: it stands there in a way that is not plain.
fn value_of<'a>(body: &'a [u8], name: &[u8]) -> Option<Option<&'a [u8]>> {
    let at = memmem::find(body, name)?;
    let rest = body.get(at + name.len()..)?;
    if memmem::find(rest, name).is_some() {
        return Some(None);
    }
    Some(rest.trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii_start))
}

/// A member that is a string.
pub fn string<'tape>(value: &'tape Value<'_, '_>, name: &str) -> Option<&'tape str> {
    value.get(name).and_then(|member| member.into_string())
}

fn wants_thinking(dialect: Dialect, body: &Value<'_, '_>) -> bool {
    let effort = |value: &Value<'_, '_>, name: &str| string(value, name).is_some_and(|effort| effort != "none");
    match dialect {
        Dialect::Chat => effort(body, "reasoning_effort"),
        Dialect::Responses => body
            .get("reasoning")
            .is_some_and(|reasoning| reasoning.is_object() && string(&reasoning, "effort") != Some("none")),
        Dialect::Messages => body
            .get("thinking")
            .is_some_and(|thinking| matches!(string(&thinking, "type"), Some("enabled" | "adaptive"))),
        Dialect::Completions => false,
    }
}

/// Tools are there, and either a call is forced or the user's last word asks for one. A tool's result is not answered
/// with another call, else a client with a tool loop would never end.
fn wants_tool(body: &Value<'_, '_>, turns: &Value<'_, '_>) -> bool {
    if body.get("tools").and_then(|tools| tools.as_array()).is_none_or(|tools| tools.is_empty()) {
        return false;
    }
    if let Some(choice) = body.get("tool_choice") {
        match choice.as_str().or_else(|| string(&choice, "type")) {
            Some("none") => return false,
            Some("required" | "any" | "tool" | "function" | "custom") => return true,
            _ => {}
        }
    }
    last_turn(turns).is_some_and(|turn| !is_tool_result(&turn) && mentions(&turn, "tool"))
}

fn last_turn<'tape, 'input>(turns: &Value<'tape, 'input>) -> Option<Value<'tape, 'input>> {
    match turns.as_array() {
        Some(list) => list.iter().last(),
        None => Some(*turns),
    }
}

fn is_tool_result(turn: &Value<'_, '_>) -> bool {
    let is_block = |block: &Value<'_, '_>| {
        matches!(string(block, "type"), Some("tool_result" | "function_call_output" | "custom_tool_call_output"))
    };
    matches!(string(turn, "role"), Some("tool" | "function"))
        || is_block(turn)
        || turn
            .get("content")
            .and_then(|content| content.as_array())
            .is_some_and(|blocks| blocks.iter().any(|block| is_block(&block)))
}

/// Does `needle` occur in this string, in one of this list, or in the text of this turn or part?
fn mentions(value: &Value<'_, '_>, needle: &str) -> bool {
    if let Some(text) = value.as_str() {
        return text.contains(needle);
    }
    if let Some(list) = value.as_array() {
        return list.iter().any(|item| mentions(&item, needle));
    }
    ["content", "text"].iter().any(|name| value.get(*name).is_some_and(|inner| mentions(&inner, needle)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dialect: Dialect, body: &str) -> Result<Ask, String> {
        let mut ask = Ask::default();
        let mut body = body.as_bytes().to_vec();
        ask.read(Route::Generate(dialect), &mut body, &Controls::default(), &mut Buffers::new(0))?;
        Ok(ask)
    }

    #[test]
    fn a_peek_sees_what_a_parse_sees() {
        for (body, sure, model, stream) in [
            (r#"{"model":"m","messages":[]}"#, true, "m", false),
            (r#" {"messages":[], "stream" : true, "model" : "m-é"} "#, true, "m-é", true),
            (
                r#"{"stream":false,"messages":["say \"model\": \"x\" and \"stream\":true"],"model":"m"}"#,
                true,
                "m",
                false,
            ),
            (r#"{"model":"a\"b","messages":[]}"#, false, "a\"b", false),
            (r#"{"messages":[{"role":"model"}],"model":"m"}"#, false, "m", false),
            (r#"{"metadata":{"model":"n"},"messages":[],"model":"m","stream":true}"#, false, "m", true),
            (r#"{"model":"m","messages":[],"stream":null}"#, false, "m", false),
            (r#"{"model":"m","messages":[],"stream":true,"stream_options":{}}"#, false, "m", true),
        ] {
            assert_eq!(Ask::default().peek(body.as_bytes()), sure, "{body}");
            let ask = read(Dialect::Chat, body).unwrap();
            assert_eq!((ask.model.as_slice(), ask.stream), (model.as_bytes(), stream), "{body}");
        }
    }

    #[test]
    fn the_parts_are_those_asked_for() {
        use Dialect::{Chat, Messages, Responses};
        use Part::{Text, Thinking, Tool};
        let tools = r#""tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"#;
        let flat = r#""tools":[{"type":"function","name":"f","parameters":{}},{"type":"web_search"}],"#;
        let user = r#""messages":[{"role":"user","content":"use the tool"}]"#;
        for (dialect, members, expected) in [
            (Chat, format!("{tools}{user}"), &[Tool][..]),
            (Chat, format!(r#"{tools}"tool_choice":"none",{user}"#), &[Text]),
            (Chat, format!(r#"{tools}"tool_choice":"required","messages":[]"#), &[Tool]),
            (Chat, format!(r#"{tools}"messages":[{{"role":"tool","content":"a tool"}}]"#), &[Text]),
            (Chat, user.to_owned(), &[Text]),
            (Chat, format!(r#""reasoning_effort":"low",{user}"#), &[Thinking, Text]),
            (Chat, format!(r#""reasoning_effort":"none",{user}"#), &[Text]),
            (Messages, format!(r#""thinking":{{"type":"adaptive"}},{tools}{user}"#), &[Thinking, Tool]),
            (Messages, format!(r#""thinking":{{"type":"disabled"}},{user}"#), &[Text]),
            (
                Messages,
                format!(
                    r#"{tools}"messages":[{{"content":[{{"type":"tool_result","content":"tool"}},{{"type":"text","text":"tool"}}]}}]"#
                ),
                &[Text],
            ),
            (Responses, format!(r#"{flat}"reasoning":{{}},"input":"use the tool""#), &[Thinking, Tool]),
            (Responses, format!(r#"{flat}"input":[{{"type":"function_call_output","output":"tool"}}]"#), &[Text]),
            (
                Responses,
                format!(r#"{flat}"input":[{{"role":"user","content":[{{"type":"input_text","text":"tool"}}]}}]"#),
                &[Tool],
            ),
        ] {
            let ask = read(dialect, &format!(r#"{{"model":"m",{members}}}"#)).unwrap();
            assert_eq!(ask.parts.as_slice(), expected, "{members}");
            assert!(ask.calls.iter().all(|call| call.name == b"f"));
        }
    }

    #[test]
    fn what_is_missing_or_broken_is_named() {
        for (body, part) in [
            ("{", "JSON"),
            ("[]", "object"),
            (r#"{"messages":[]}"#, "model"),
            (r#"{"model":"m","tools":[]}"#, "messages"),
        ] {
            assert!(read(Dialect::Chat, body).unwrap_err().contains(part), "{body}");
        }
    }
}
