//! The table of profiles. Dated November 2026, from what vendors document and what their servers were seen to refuse; both
//! change, and a setting or the server's own refusal ([`super::refusal`]) mends a row. What a row does not say is as in
//! [`plain`], and [`super::models`] has what depends on the model.

use super::{Efforts, Flag, Flags, History, Limit, Prefill, Profile, Reasoning};
use crate::dialect::turn::Effort;
use Flag::{
    AlternateRoles, AnswerAfterTool, CacheControl, EffortWithTools, Files, JsonSchema, NullContent, ParallelToolCalls,
    Sampling, ShortIds, SimpleSchemas, Stop, StreamOptions, Strict, TextOnly, ThinkingOff, ToolChoice, ToolStream,
    TopK,
};

/// A server of which nothing is known: the dialect as OpenAI had it before its models reasoned.
pub fn plain() -> Profile {
    Profile {
        name: "plain",
        meaning: "a server of which nothing is known",
        flags: Flags::of(&[
            Sampling,
            Stop,
            StreamOptions,
            ParallelToolCalls,
            ToolChoice,
            JsonSchema,
            EffortWithTools,
            NullContent,
            Files,
        ]),
        limit: Limit::MaxTokens,
        output_max: None,
        stop_max: usize::MAX,
        reasoning: Reasoning::Never,
        efforts: Efforts::of(&[]),
        history: History::Drop,
        prefill: Prefill::Plain,
        settings: Vec::new(),
    }
}

/// The row of that name.
pub fn row(name: &str) -> Option<Profile> {
    let name = OTHER_NAMES.iter().find(|(other, _)| *other == name).map_or(name, |(_, name)| name);
    all().into_iter().find(|profile| profile.name == name)
}

/// Names under which people configure a provider that has another here.
const OTHER_NAMES: [(&str, &str); 9] = [
    ("nvidia", "nim"),
    ("glm", "zai"),
    ("zhipu", "zai"),
    ("kimi", "moonshot"),
    ("qwen", "dashscope"),
    ("alibaba", "dashscope"),
    ("google", "gemini"),
    ("llama", "llamacpp"),
    ("grok", "xai"),
];

/// The profile of who answers at that host.
pub fn of_host(host: &str) -> Option<&'static str> {
    HOSTS
        .iter()
        .find(|(suffix, _)| host.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with(['.', '-'])))
        .map(|(_, name)| *name)
}

/// Ends of hosts.
const HOSTS: [(&str, &str); 20] = [
    ("api.openai.com", "openai"),
    ("openai.azure.com", "azure"),
    ("services.ai.azure.com", "azure"),
    ("api.z.ai", "zai"),
    ("open.bigmodel.cn", "zai"),
    ("api.nvidia.com", "nim"),
    ("openrouter.ai", "openrouter"),
    ("api.groq.com", "groq"),
    ("api.deepseek.com", "deepseek"),
    ("api.mistral.ai", "mistral"),
    ("api.together.xyz", "together"),
    ("api.together.ai", "together"),
    ("api.fireworks.ai", "fireworks"),
    ("api.x.ai", "xai"),
    ("api.cerebras.ai", "cerebras"),
    ("api.moonshot.ai", "moonshot"),
    ("api.moonshot.cn", "moonshot"),
    ("generativelanguage.googleapis.com", "gemini"),
    ("dashscope.aliyuncs.com", "dashscope"),
    ("dashscope-intl.aliyuncs.com", "dashscope"),
];

/// All rows.
pub fn all() -> Vec<Profile> {
    let mut all = vec![plain()];
    all.extend(openai());
    all.extend(vendors());
    all.extend(gateways());
    all.extend(servers());
    all
}

/// OpenAI's own models, at its own hosts and at Microsoft's.
fn openai() -> [Profile; 2] {
    let openai = Profile {
        name: "openai",
        meaning: "OpenAI; what its models want follows from their names",
        flags: plain().flags.with(&[Strict]),
        stop_max: 4,
        reasoning: Reasoning::Effort,
        ..plain()
    };
    [
        openai.clone(),
        Profile { name: "azure", meaning: "Azure OpenAI, where deployments are named as models", ..openai },
    ]
}

/// Others who serve models of their own.
fn vendors() -> [Profile; 7] {
    use Effort::{High, Low, Max, Medium, None as Off};
    // None takes files in OpenAI's form.
    let flags = plain().flags.without(&[Files]);
    [
        Profile {
            name: "zai",
            meaning: "z.ai and Zhipu (GLM)",
            flags: flags.with(&[ToolStream, ThinkingOff]).without(&[
                ToolChoice,
                StreamOptions,
                ParallelToolCalls,
                JsonSchema,
            ]),
            stop_max: 1,
            reasoning: Reasoning::Thinking,
            history: History::ReasoningContent,
            ..plain()
        },
        Profile {
            name: "deepseek",
            meaning: "DeepSeek",
            flags: flags.with(&[ThinkingOff, TextOnly]).without(&[JsonSchema]),
            stop_max: 16,
            reasoning: Reasoning::Thinking,
            efforts: Efforts::of(&[Low, High, Max]),
            history: History::ReasoningContent,
            ..plain()
        },
        Profile {
            name: "moonshot",
            meaning: "Moonshot (Kimi)",
            flags: flags.with(&[ThinkingOff]).without(&[ToolChoice]),
            stop_max: 5,
            reasoning: Reasoning::Thinking,
            history: History::ReasoningContent,
            prefill: Prefill::Partial,
            ..plain()
        },
        Profile {
            name: "dashscope",
            meaning: "Alibaba's DashScope (Qwen)",
            flags: flags.with(&[ThinkingOff, TopK]).without(&[JsonSchema]),
            reasoning: Reasoning::EnableThinking,
            ..plain()
        },
        Profile {
            name: "mistral",
            meaning: "Mistral",
            flags: flags.with(&[AlternateRoles, AnswerAfterTool, ShortIds]).without(&[StreamOptions]),
            prefill: Prefill::Prefix,
            ..plain()
        },
        Profile { name: "xai", meaning: "xAI (Grok)", flags, reasoning: Reasoning::Effort, ..plain() },
        Profile {
            name: "gemini",
            meaning: "Google's OpenAI face of Gemini",
            flags: flags.with(&[SimpleSchemas]).without(&[ParallelToolCalls]),
            stop_max: 5,
            reasoning: Reasoning::Effort,
            efforts: Efforts::of(&[Off, Low, Medium, High]),
            ..plain()
        },
    ]
}

/// Those who serve the models of others.
fn gateways() -> [Profile; 6] {
    use Effort::{High, Low, Medium, Minimal, None as Off, XHigh};
    let flags = plain().flags;
    [
        Profile { name: "nim", meaning: "NVIDIA NIM", flags: flags.without(&[Files]), ..plain() },
        Profile {
            name: "openrouter",
            meaning: "OpenRouter",
            flags: flags.with(&[TopK, CacheControl]),
            reasoning: Reasoning::Object,
            efforts: Efforts::of(&[Off, Minimal, Low, Medium, High, XHigh]),
            history: History::ReasoningDetails,
            ..plain()
        },
        Profile { name: "groq", meaning: "Groq", flags: flags.without(&[Files]), stop_max: 4, ..plain() },
        Profile { name: "together", meaning: "Together", flags: flags.with(&[TopK]).without(&[Files]), ..plain() },
        Profile { name: "fireworks", meaning: "Fireworks", flags: flags.with(&[TopK]).without(&[Files]), ..plain() },
        Profile {
            name: "cerebras",
            meaning: "Cerebras",
            flags: flags.with(&[Strict]).without(&[Files]),
            stop_max: 4,
            ..plain()
        },
    ]
}

/// Servers that people run themselves.
fn servers() -> [Profile; 5] {
    let flags = plain().flags.with(&[TopK]).without(&[Files]);
    let template = Profile {
        flags: flags.with(&[ThinkingOff]),
        reasoning: Reasoning::TemplateEnableThinking,
        history: History::ReasoningContent,
        ..plain()
    };
    [
        Profile {
            name: "vllm",
            meaning: "vLLM",
            history: History::Reasoning,
            prefill: Prefill::ContinueFinalMessage,
            ..template.clone()
        },
        Profile { name: "sglang", meaning: "SGLang", prefill: Prefill::ContinueFinalMessage, ..template.clone() },
        Profile { name: "llamacpp", meaning: "llama.cpp's server", ..template },
        Profile {
            name: "ollama",
            meaning: "Ollama",
            // It refuses thinking, asked for, of models that cannot; those that can do it unasked.
            flags: flags.with(&[ThinkingOff]),
            reasoning: Reasoning::Effort,
            efforts: Efforts::of(&[Effort::None]),
            history: History::Reasoning,
            ..plain()
        },
        Profile { name: "lmstudio", meaning: "LM Studio", flags, history: History::ReasoningContent, ..plain() },
    ]
}
