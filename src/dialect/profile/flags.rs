//! What a server can and what it needs, as far as it is a matter of yes or no.

use crate::dialect::turn::Effort;

/// One trait of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // [`FLAGS`] says what each means.
pub enum Flag {
    Sampling,
    TopK,
    Stop,
    StreamOptions,
    ParallelToolCalls,
    ToolChoice,
    ShortIds,
    ToolStream,
    Strict,
    JsonSchema,
    EffortWithTools,
    ThinkingOff,
    User,
    Developer,
    SystemInPlace,
    AlternateRoles,
    AnswerAfterTool,
    NullContent,
    NoOutput,
    TextOnly,
    ImagesInTool,
    Files,
    DocumentLinks,
    CacheControl,
    MergeUnions,
    SimpleSchemas,
    ThinkTags,
    ThinkOpened,
    CumulativeArguments,
}

/// All flags, the name of each as a setting, and what it means.
pub const FLAGS: &[(Flag, &str, &str)] = &[
    (Flag::Sampling, "sampling", "`temperature` and `top_p` are sent"),
    (Flag::TopK, "top_k", "`top_k` is sent"),
    (Flag::Stop, "stop", "`stop` is sent"),
    (Flag::StreamOptions, "stream_options", "streams are asked for their usage by `stream_options`"),
    (Flag::ParallelToolCalls, "parallel_tool_calls", "`parallel_tool_calls: false` is sent"),
    (Flag::ToolChoice, "tool_choice", "`tool_choice` may be more than `auto`"),
    (Flag::ShortIds, "short_ids", "ids of calls are nine letters and digits"),
    (Flag::ToolStream, "tool_stream", "`tool_stream: true` goes with streams that have tools"),
    (Flag::Strict, "strict", "`strict` is sent, of tools and of a schema for the answer"),
    (
        Flag::JsonSchema,
        "json_schema",
        "`response_format` may be a schema; else it is `json_object`, and words say the schema",
    ),
    (
        Flag::EffortWithTools,
        "effort_with_tools",
        "`reasoning_effort` may stand beside `tools`; else it is left out, or `none` where `thinking_off` is on",
    ),
    (Flag::ThinkingOff, "thinking_off", "thinking is switched off where the client does not ask for it"),
    (Flag::User, "user", "`user` is sent, as a hash"),
    (Flag::Developer, "developer", "instructions have the role `developer`"),
    (Flag::SystemInPlace, "system_in_place", "instructions in mid-conversation keep their role"),
    (Flag::AlternateRoles, "alternate_roles", "messages in a row with one role are merged"),
    (
        Flag::AnswerAfterTool,
        "answer_after_tool",
        "between a tool's message and the user's next stands one of the model",
    ),
    (Flag::NullContent, "null_content", "a message of tool calls alone has the content `null`; else `\"\"`"),
    (Flag::NoOutput, "no_output", "an empty tool result says `(no output)`"),
    (Flag::TextOnly, "text_only", "pictures are left out, and `[image omitted]` said"),
    (Flag::ImagesInTool, "images_in_tool", "tool messages may hold pictures"),
    (Flag::Files, "files", "PDFs are sent as `file` parts; else they are refused"),
    (Flag::DocumentLinks, "document_links", "a document's address is sent as text; else it is refused"),
    (Flag::CacheControl, "cache_control", "text parts keep their `cache_control`"),
    (Flag::MergeUnions, "merge_unions", "a tool's schema has no `anyOf`, `oneOf` or `allOf` at its root"),
    (Flag::SimpleSchemas, "simple_schemas", "schemas hold nothing of what Gemini's form does not know"),
    (Flag::ThinkTags, "think_tags", "answers hold thoughts as `<think>…</think>` in their text"),
    (
        Flag::ThinkOpened,
        "think_opened",
        "answers begin with thoughts and end them with `</think>`: the model's template opened them",
    ),
    (Flag::CumulativeArguments, "cumulative_arguments", "streams repeat a call's arguments from the start each time"),
];

/// A set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// These.
    pub const fn of(flags: &[Flag]) -> Self {
        Self(0).with(flags)
    }

    /// And these.
    pub const fn with(self, flags: &[Flag]) -> Self {
        match flags {
            [] => self,
            [first, rest @ ..] => Self(self.0 | 1 << *first as u32).with(rest),
        }
    }

    /// But not these.
    pub const fn without(self, flags: &[Flag]) -> Self {
        Self(self.0 & !Self::of(flags).0)
    }

    /// Whether it is among them.
    pub const fn has(self, flag: Flag) -> bool {
        self.0 & 1 << flag as u32 != 0
    }

    /// Takes it in, or out.
    pub fn set(&mut self, flag: Flag, on: bool) {
        *self = if on { self.with(&[flag]) } else { self.without(&[flag]) };
    }
}

/// A set of efforts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Efforts(u8);

impl Efforts {
    /// These.
    pub const fn of(efforts: &[Effort]) -> Self {
        match efforts {
            [] => Self(0),
            [first, rest @ ..] => Self(Self::of(rest).0 | 1 << *first as u8),
        }
    }

    /// Whether it is among them.
    pub const fn has(self, effort: Effort) -> bool {
        self.0 & 1 << effort as u8 != 0
    }

    /// Those of the set, from least to most.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Effort> {
        use Effort::{High, Low, Max, Medium, Minimal, None, XHigh};
        [None, Minimal, Low, Medium, High, XHigh, Max].into_iter().filter(move |effort| self.has(*effort))
    }

    /// The one to ask for where `wanted` is wanted: itself, the next below, the least. Never [`Effort::None`], which would
    /// switch off what was asked for; `None` if there is no other.
    pub fn nearest(self, wanted: Effort) -> Option<Effort> {
        let thinking = || self.iter().filter(|effort| *effort != Effort::None);
        thinking().rfind(|effort| *effort <= wanted).or_else(|| thinking().next())
    }

    /// The one to ask for where no thinking is wanted.
    pub fn least(self) -> Option<Effort> {
        self.iter().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_stands_once() {
        for (place, (flag, name, meaning)) in FLAGS.iter().enumerate() {
            assert_eq!(*flag as usize, place, "{name}");
            assert!(!meaning.is_empty() && FLAGS.iter().filter(|(_, other, _)| other == name).count() == 1, "{name}");
        }
    }

    #[test]
    fn efforts() {
        use Effort::{High, Low, Max, Medium, Minimal, None as Off, XHigh};
        for (set, wanted, nearest) in [
            (&[Low, Medium, High][..], Max, Some(High)),
            (&[Low, Medium, High], Minimal, Some(Low)),
            (&[Off, Low, High], Medium, Some(Low)),
            (&[High, Max], Low, Some(High)),
            (&[Off, Low, Medium, High, XHigh], XHigh, Some(XHigh)),
            (&[Off], High, None),
            (&[], High, None),
        ] {
            assert_eq!(Efforts::of(set).nearest(wanted), nearest, "{set:?} {wanted:?}");
        }
        assert_eq!(Efforts::of(&[High, Off]).least(), Some(Off));
        assert_eq!(Efforts::of(&[Medium, Low]).least(), Some(Low));
    }
}
