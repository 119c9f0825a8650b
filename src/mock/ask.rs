//! What a request asks for: the endpoint from its head, the few members that matter from its body.
//!
//! A plain chat request is answered from a peek that looks for a handful of names. Anything else (tools, thinking,
//! options, doubt) is parsed in full.

#![forbid(unsafe_code)]

use memchr::memmem;
use simd_json::{Buffers, prelude::*, tape::Value};

use super::encode::{decimal, json_string, put};
use super::fault::{Controls, Part, Parts};

/// Bytes per token in the mock's usage numbers.
const BYTES_PER_TOKEN: usize = 4;
/// Nesting of a tool's schema that is followed when arguments are made up.
const SCHEMA_DEPTH_MAX: usize = 8;
/// Embeddings of one request, as at OpenAI.
const INPUTS_MAX: usize = 2048;
/// Numbers in one embedding. The largest real model has 3,072.
const DIMENSIONS_MAX: u64 = 65_536;

/// The language of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI Chat Completions; also the shape of all other OpenAI errors.
    Chat,
    /// The legacy OpenAI completions.
    Completions,
    /// OpenAI Responses.
    Responses,
    /// Anthropic Messages.
    Messages,
}

/// What a path stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// A generated answer.
    Generate(Dialect),
    /// `/v1/embeddings`.
    Embeddings,
    /// `/v1/messages/count_tokens`.
    CountTokens,
    /// `/v1/models`, or one of them.
    Models(Option<&'a str>),
    /// `/`.
    Root,
    /// `/v1/echo`.
    Echo,
    /// `/v1/blob` and its query.
    Blob(&'a str),
    /// Any other POST below `/v1/`.
    Upload,
    /// `/mock/stats`.
    Stats,
    /// A known path with another method.
    WrongMethod,
    /// Nothing of ours.
    Unknown,
}

/// Finds the route of a method and a request target.
#[must_use]
pub fn route<'a>(method: &str, target: &'a str) -> Route<'a> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let get = matches!(method, "GET" | "HEAD");
    let post = method == "POST";
    let (known, allowed) = match path {
        "/v1/chat/completions" => (Route::Generate(Dialect::Chat), post),
        "/v1/messages" => (Route::Generate(Dialect::Messages), post),
        "/v1/responses" => (Route::Generate(Dialect::Responses), post),
        "/v1/completions" => (Route::Generate(Dialect::Completions), post),
        "/v1/embeddings" => (Route::Embeddings, post),
        "/v1/messages/count_tokens" => (Route::CountTokens, post),
        "/v1/models" => (Route::Models(None), get),
        "/v1/blob" => (Route::Blob(query), get),
        "/v1/echo" => (Route::Echo, true),
        "/mock/stats" => (Route::Stats, get),
        "/" => (Route::Root, get),
        _ => match path.strip_prefix("/v1/") {
            Some(rest) => match rest.strip_prefix("models/") {
                Some(id) => (Route::Models(Some(id)), get),
                None if post => (Route::Upload, true),
                None => (Route::Unknown, true),
            },
            None => (Route::Unknown, true),
        },
    };
    if allowed { known } else { Route::WrongMethod }
}

/// A tool call that the answer may make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// The tool's name.
    pub name: Vec<u8>,
    /// A JSON object that follows the tool's schema.
    pub arguments: Vec<u8>,
}

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
    pub fn read(&mut self, route: Route<'_>, body: &mut [u8], controls: &Controls, buffers: &mut Buffers) -> Result<(), String> {
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
        for doubt in [&b"\"tools\""[..], b"\"thinking\"", b"\"reasoning", b"\"stream_options\"", b"\"functions\""] {
            if memmem::find(body, doubt).is_some() {
                return false;
            }
        }
        let whole = body.trim_ascii();
        if !whole.starts_with(b"{") || !whole.ends_with(b"}") {
            return false;
        }
        let Some(Some(model)) = value_of(body, b"\"model\"") else { return false };
        let Some(model) = model.strip_prefix(b"\"") else { return false };
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

    fn parse(&mut self, route: Route<'_>, body: &mut [u8], buffers: &mut Buffers, parts: Option<Parts>) -> Result<(), String> {
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
            Dialect::Responses => body.get("include").is_some_and(|list| mentions(&list, "reasoning.encrypted_content")),
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

fn string<'tape>(value: &'tape Value<'_, '_>, name: &str) -> Option<&'tape str> {
    value.get(name).and_then(|member| member.into_string())
}

fn wants_thinking(dialect: Dialect, body: &Value<'_, '_>) -> bool {
    let effort = |value: &Value<'_, '_>, name: &str| string(value, name).is_some_and(|effort| effort != "none");
    match dialect {
        Dialect::Chat => effort(body, "reasoning_effort"),
        Dialect::Responses => body.get("reasoning").is_some_and(|reasoning| {
            reasoning.is_object() && string(&reasoning, "effort") != Some("none")
        }),
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
        || turn.get("content").and_then(|content| content.as_array()).is_some_and(|blocks| blocks.iter().any(|block| is_block(&block)))
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

/// The name in a tool choice: `{"name"}`, or `{"function":{"name"}}` in Chat.
fn tool_name<'tape>(choice: &'tape Value<'_, '_>) -> Option<&'tape str> {
    string(choice, "name").or_else(|| choice.get("function").and_then(|function| function.get("name")).and_then(|name| name.into_string()))
}

/// Name and schema of a function, in any of the three dialects.
fn function<'tape, 'input>(tool: &Value<'tape, 'input>) -> Option<(&'input str, Option<Value<'tape, 'input>>)> {
    let inner = tool.get("function").unwrap_or(*tool);
    let schema = inner.get("parameters").or_else(|| inner.get("input_schema"));
    let is_function = matches!(tool.get("type").and_then(|kind| kind.into_string()), None | Some("function"));
    let name = inner.get("name").and_then(|name| name.into_string())?;
    (is_function || schema.is_some()).then_some((name, schema))
}

/// Appends a value that fits `schema`, well enough for the common keywords.
fn arguments(out: &mut Vec<u8>, schema: Option<&Value<'_, '_>>, depth: usize) {
    let Some(schema) = schema.filter(|_| depth < SCHEMA_DEPTH_MAX) else {
        return put(out, &[b"{}"]);
    };
    if let Some(first) = schema.get("enum").and_then(|list| list.as_array()).and_then(|list| list.get(0)) {
        return json_string(out, first.as_str().unwrap_or("mock").as_bytes());
    }
    let kind = schema.get("type").and_then(|kind| kind.into_string().or_else(|| kind.as_array()?.get(0)?.into_string()));
    match kind {
        Some("string") => json_string(out, b"mock"),
        Some("integer") => decimal(out, schema.get("minimum").and_then(|number| number.as_u64()).unwrap_or(1)),
        Some("number") => put(out, &[b"1.5"]),
        Some("boolean") => put(out, &[b"true"]),
        Some("null") => put(out, &[b"null"]),
        Some("array") => {
            out.push(b'[');
            arguments(out, schema.get("items").as_ref(), depth + 1);
            out.push(b']');
        }
        _ => object(out, schema, depth),
    }
}

fn object(out: &mut Vec<u8>, schema: &Value<'_, '_>, depth: usize) {
    let required = schema.get("required").and_then(|list| list.as_array());
    let is_required = |name: &str| required.as_ref().is_none_or(|list| list.iter().any(|item| item.as_str() == Some(name)));
    out.push(b'{');
    let mut comma = false;
    if let Some(properties) = schema.get("properties").and_then(|properties| properties.as_object()) {
        for (name, schema) in properties.iter().filter(|(name, _)| is_required(name)) {
            put(out, &[if comma { b"," } else { b"" }]);
            json_string(out, name.as_bytes());
            out.push(b':');
            arguments(out, Some(&schema), depth + 1);
            comma = true;
        }
    }
    out.push(b'}');
}
