//! What a request's body holds that rules ask for. It is read where the dialects have it, never searched for: a tool's
//! argument or a text may look like a picture. What is not as the dialect has it is not there; the upstream will say what
//! is wrong with it.

use crate::dialect::Dialect;
use crate::json::{Kind, Value};
use crate::tokens::estimate::{PICTURE_BYTES, file_bytes};

/// What a request may hold, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// A picture, in a message or in a tool's result.
    Image,
    /// The model shall think.
    Thinking,
    /// The model may call something.
    Tools,
}

impl Feature {
    /// All, in the order of their declaration.
    pub const ALL: [Self; 3] = [Self::Image, Self::Thinking, Self::Tools];

    /// As in a rule's brackets.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Thinking => "thinking",
            Self::Tools => "tools",
        }
    }
}

/// Some of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeatureSet(u8);

impl FeatureSet {
    /// Adds one, if `is_there`.
    pub fn add(&mut self, feature: Feature, is_there: bool) {
        self.0 |= u8::from(is_there) << feature as u8;
    }

    /// Whether it is among them.
    pub fn has(self, feature: Feature) -> bool {
        self.0 >> feature as u8 & 1 == 1
    }
}

impl FromIterator<Feature> for FeatureSet {
    fn from_iter<T: IntoIterator<Item = Feature>>(features: T) -> Self {
        let mut set = Self::default();
        features.into_iter().for_each(|feature| set.add(feature, true));
        set
    }
}

/// What a request holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// What is there.
    pub holds: FeatureSet,
    /// Bytes of the body that are text to a model, with what goes around it: pictures and files do not count by their
    /// base64, but by the text that has about as many tokens.
    pub text_bytes: usize,
    /// About as many tokens as that is. Filled in by those who know how many bytes a token has.
    pub tokens: u64,
}

/// Reads a whole request.
pub fn of(body: Value<'_>, dialect: Dialect) -> Features {
    let mut parts = Parts::default();
    match dialect {
        Dialect::Chat => of_chat(body, &mut parts),
        Dialect::Messages => of_messages(body, &mut parts),
        Dialect::Responses => of_responses(body, &mut parts),
    }
    let text = body.raw().len().saturating_sub(parts.base64_bytes);
    Features { holds: parts.holds, text_bytes: text + parts.as_text_bytes, tokens: 0 }
}

fn of_chat(body: Value<'_>, parts: &mut Parts) {
    let [messages, tools, functions] = body.pick(["messages", "tools", "functions"]);
    parts.messages(messages);
    parts.holds.add(Feature::Thinking, chat_thinks(body));
    parts.holds.add(Feature::Tools, holds_any(tools) || holds_any(functions));
}

/// `reasoning_effort`, and what compatible servers have instead: OpenRouter's `reasoning`, the `thinking` of z.ai, DeepSeek
/// and Kimi, the `enable_thinking` of Qwen, which vLLM and SGLang take as an argument of the chat's template.
fn chat_thinks(body: Value<'_>) -> bool {
    let [effort, reasoning, thinking, enabled, template] =
        body.pick(["reasoning_effort", "reasoning", "thinking", "enable_thinking", "chat_template_kwargs"]);
    let [in_template, in_template_too] =
        template.map_or([None; 2], |template| template.pick(["enable_thinking", "thinking"]));
    let is_on = |switch: Option<Value<'_>>| switch.and_then(|switch| switch.as_bool());
    let reasons = reasoning.is_some_and(|reasoning| {
        let [effort, enabled, budget] = reasoning.pick(["effort", "enabled", "max_tokens"]);
        let budgeted = budget.and_then(|budget| budget.as_u64()).is_some_and(|tokens| tokens > 0);
        is_on(enabled).unwrap_or(is_effort(effort) || budgeted)
    });
    let switches = [enabled, in_template, in_template_too];
    reasons || is_effort(effort) || is_thinking(thinking) || switches.into_iter().any(|one| is_on(one) == Some(true))
}

fn of_messages(body: Value<'_>, parts: &mut Parts) {
    let [messages, tools, thinking] = body.pick(["messages", "tools", "thinking"]);
    parts.messages(messages);
    parts.holds.add(Feature::Thinking, is_thinking(thinking));
    parts.holds.add(Feature::Tools, holds_any(tools));
}

fn of_responses(body: Value<'_>, parts: &mut Parts) {
    let [input, tools, reasoning, prompt] = body.pick(["input", "tools", "reasoning", "prompt"]);
    input.iter().flat_map(Value::items).for_each(|item| parts.item(item));
    // A stored prompt's places for texts and pictures.
    let variables = prompt.and_then(|prompt| prompt.get("variables"));
    variables.iter().flat_map(Value::members).for_each(|(_, value)| parts.part(value, 0));
    let effort = reasoning.and_then(|reasoning| reasoning.get("effort"));
    parts.holds.add(Feature::Thinking, is_effort(effort));
    parts.holds.add(Feature::Tools, holds_any(tools));
}

fn is_effort(effort: Option<Value<'_>>) -> bool {
    effort.and_then(|effort| effort.escaped()).is_some_and(|effort| !matches!(effort, b"" | b"none"))
}

/// By its type; `between_tools` is off, but for notes that only Anthropic's models write.
fn is_thinking(thinking: Option<Value<'_>>) -> bool {
    let kind = thinking.and_then(|thinking| thinking.get("type")).and_then(|kind| kind.escaped());
    kind.is_some_and(|kind| !matches!(kind, b"disabled" | b"between_tools"))
}

fn holds_any(list: Option<Value<'_>>) -> bool {
    list.is_some_and(|list| list.items().next().is_some())
}

/// What was found, most of it among the parts of messages.
#[derive(Default)]
struct Parts {
    holds: FeatureSet,
    /// Of pictures, files and sounds.
    base64_bytes: usize,
    /// As many bytes of text have about the tokens of these.
    as_text_bytes: usize,
}

/// Results hold documents, and those hold parts; nothing real is nested deeper.
const DEEPEST: usize = 4;

/// Of a sound's or a film's base64, what counts as text: a second of speech has 20 to 60 KB, and 10 to 30 tokens.
const SOUND_DIVISOR: usize = 1024;

impl Parts {
    fn messages(&mut self, messages: Option<Value<'_>>) {
        for message in messages.iter().flat_map(Value::items) {
            // Pictures that a model made stand beside the content at OpenRouter.
            let [content, images] = message.pick(["content", "images"]);
            self.list(content, 0);
            self.list(images, 0);
        }
    }

    /// An item of Responses: a message, a call, what came of one.
    fn item(&mut self, item: Value<'_>) {
        let [kind, content, output, result] = item.pick(["type", "content", "output", "result"]);
        if kind.is_some_and(|kind| kind.is("image_generation_call")) {
            return self.picture(result.and_then(|result| result.escaped()));
        }
        self.list(content, 0);
        // A list of parts, or one: a computer's screen.
        self.list(output, 0);
        output.filter(|output| output.kind() == Kind::Object).into_iter().for_each(|output| self.part(output, 0));
    }

    fn list(&mut self, list: Option<Value<'_>>, depth: usize) {
        list.iter().flat_map(Value::items).for_each(|part| self.part(part, depth));
    }

    /// One part of any dialect: they do not contradict each other, and servers take each other's.
    fn part(&mut self, part: Value<'_>, depth: usize) {
        let kind = part.get("type").and_then(|kind| kind.escaped()).filter(|_| depth <= DEEPEST);
        match kind.unwrap_or_default() {
            b"image_url" | b"input_image" | b"computer_screenshot" => {
                let url = part.get("image_url");
                self.picture(url.and_then(|url| url.escaped().or_else(|| url.get("url")?.escaped())));
            }
            b"image" => self.picture(part.get("source").and_then(base64)),
            b"document" => {
                let source = part.get("source");
                match source.and_then(|source| source.get("type")?.escaped()) {
                    Some(b"text") | None => {}
                    Some(b"content") => self.list(source.and_then(|source| source.get("content")), depth + 1),
                    Some(_) => self.file(source.and_then(base64)),
                }
            }
            b"file" => self.file(part.get("file").and_then(|file| file.get("file_data")?.escaped())),
            b"input_file" => self.file(part.get("file_data").and_then(|data| data.escaped())),
            b"input_audio" => self.sound(part.get("input_audio").and_then(|sound| sound.get("data")?.escaped())),
            b"audio_url" => self.sound(part.get("audio_url").and_then(|sound| sound.get("url")?.escaped())),
            b"video_url" => self.sound(part.get("video_url").and_then(|film| film.get("url")?.escaped())),
            kind if kind.ends_with(b"tool_result") => {
                let content = part.get("content");
                self.list(content, depth + 1);
                // A page that Anthropic's servers fetched is a document in an object.
                content.and_then(|page| page.get("content")).into_iter().for_each(|page| self.part(page, depth + 1));
            }
            _ => {}
        }
    }

    fn picture(&mut self, data: Option<&[u8]>) {
        self.holds.add(Feature::Image, true);
        self.base64_bytes += data.map_or(0, data_bytes);
        self.as_text_bytes += PICTURE_BYTES;
    }

    fn file(&mut self, data: Option<&[u8]>) {
        let data = data.unwrap_or_default();
        if is_data_url(data, b"data:image/") || is_data_url(data, br"data:image\/") {
            return self.picture(Some(data));
        }
        self.base64_bytes += data.len();
        self.as_text_bytes += file_bytes(data.len());
    }

    fn sound(&mut self, data: Option<&[u8]>) {
        let bytes = data.map_or(0, data_bytes);
        self.base64_bytes += bytes;
        self.as_text_bytes += bytes / SOUND_DIVISOR;
    }
}

/// A source's data, where it is not elsewhere.
fn base64(source: Value<'_>) -> Option<&[u8]> {
    source.get("data")?.escaped()
}

/// The bytes of data in a string: none of an address.
fn data_bytes(data: &[u8]) -> usize {
    let is_address = memchr::memchr(b':', data.get(..SCHEME_BYTES).unwrap_or(data)).is_some();
    if is_address && !is_data_url(data, b"data:") { 0 } else { data.len() }
}

/// A URL's scheme, with its colon, is no longer; base64 has no colon.
const SCHEME_BYTES: usize = 16;

fn is_data_url(text: &[u8], begin: &[u8]) -> bool {
    text.get(..begin.len()).is_some_and(|found| found.eq_ignore_ascii_case(begin))
}

#[cfg(test)]
mod tests;
