//! What vendors and server families want, as data: readers and writers consult it, and nothing else asks who a provider is.
//!
//! A [`Profile`] is a row of [`table`], changed by what [`models`] knows of the model asked for, and at last by the
//! settings that a person wrote into `{NAME}_PROFILE`. `docs/profiles.md` shows the table.

pub mod flags;
pub mod models;
pub mod refusal;
pub mod settings;
pub mod table;

pub use flags::{Efforts, Flag, Flags};
pub use refusal::{refused_parameter, without};
use settings::Setting;

/// Where a request goes, for the writer of its dialect.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The model's name there.
    pub model: &'a str,
    /// What the provider wants.
    pub profile: &'a Profile,
}

/// How one provider's face differs from the plain dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name, as `{NAME}_PROFILE` gives it.
    pub name: &'static str,
    /// What it is for.
    pub meaning: &'static str,
    /// What it can, and what it needs.
    pub flags: Flags,
    /// The field that bounds the answer.
    pub limit: Limit,
    /// The most tokens of an answer that may be asked for.
    pub output_max: Option<u64>,
    /// The most texts that may end an answer.
    pub stop_max: usize,
    /// How it is told whether to think.
    pub reasoning: Reasoning,
    /// The values of `reasoning_effort` that it takes.
    pub efforts: Efforts,
    /// What becomes of thoughts in the conversation so far.
    pub history: History,
    /// How the beginning of an answer is given, that the model shall continue.
    pub prefill: Prefill,
    /// What a person changed; it wins over what is known of a model.
    settings: Vec<Setting>,
}

/// The field that bounds an answer's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `max_tokens`: all compatible servers.
    MaxTokens,
    /// `max_completion_tokens`: OpenAI's reasoning models refuse the other.
    MaxCompletionTokens,
}

/// How a server is told whether, and how hard, to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reasoning {
    /// It cannot be told.
    Never,
    /// `reasoning_effort`.
    Effort,
    /// `thinking: {"type": "enabled"}`, and `reasoning_effort` where there are efforts.
    Thinking,
    /// `chat_template_kwargs: {"enable_thinking": true}`.
    TemplateEnableThinking,
    /// `chat_template_kwargs: {"thinking": true}`.
    TemplateThinking,
    /// `reasoning: {"effort": "high"}` (OpenRouter).
    Object,
    /// `enable_thinking: true`, `thinking_budget` (DashScope).
    EnableThinking,
}

/// What becomes of the model's earlier thoughts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// They are left out.
    Drop,
    /// `reasoning_content` of the message; a message with tool calls always has it, if only empty.
    ReasoningContent,
    /// `reasoning` of the message.
    Reasoning,
    /// `reasoning_details` where they are signed, `reasoning` where they are not.
    ReasoningDetails,
    /// In front of the text, as `<think>…</think>`.
    ThinkTags,
}

/// How a server is told to continue the last message, which is the model's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefill {
    /// It is not told.
    Plain,
    /// `continue_final_message: true, add_generation_prompt: false` (vLLM).
    ContinueFinalMessage,
    /// The message has `prefix: true` (Mistral).
    Prefix,
    /// The message has `partial: true` (Moonshot).
    Partial,
}

impl Profile {
    /// What is known of a provider: by its name, else by its host, else by the front of its name (`vllm-2`).
    pub fn of(provider: &str, host: Option<&str>) -> Self {
        let front = provider.split_once('-').map_or(provider, |(front, _)| front);
        let host = host.and_then(table::of_host);
        table::row(provider).or_else(|| table::row(host?)).or_else(|| table::row(front)).unwrap_or_default()
    }

    /// Reads `{NAME}_PROFILE`: a profile's name, and settings after commas (`vllm,top_k=off,think_tags`).
    ///
    /// # Errors
    /// The end of a sentence that begins with the variable.
    pub fn parse(text: &str) -> Result<Self, String> {
        settings::profile(text)
    }

    /// Whether it has a flag.
    pub fn has(&self, flag: Flag) -> bool {
        self.flags.has(flag)
    }

    /// What holds for one of its models.
    pub fn for_model(&self, model: &str) -> Self {
        let mut profile = self.clone();
        models::apply(model, &mut profile);
        self.settings.iter().for_each(|setting| setting.apply(&mut profile));
        profile
    }

    /// Whether a field of the top level that has no word of its own goes upstream as it stands.
    pub fn passes(&self, field: &str) -> bool {
        self.settings
            .iter()
            .any(|setting| matches!(setting, Setting::Pass(fields) if fields.iter().any(|own| own == field)))
    }
}

impl Default for Profile {
    fn default() -> Self {
        table::plain()
    }
}

#[cfg(test)]
mod tests;
