//! What depends on the model too. Dated November 2026.

use super::{Efforts, Flag, Limit, Profile, Reasoning};
use crate::dialect::turn::Effort::{High, Low, Max, Medium, Minimal, None as Off, XHigh};

/// Changes a profile to what holds for a model.
pub fn apply(model: &str, profile: &mut Profile) {
    let model = model.to_ascii_lowercase();
    // Gateways put the vendor in front, OpenAI the mark of a fine-tune.
    let model = model.rsplit('/').next().unwrap_or_default();
    let model = model.strip_prefix("ft:").unwrap_or(model);
    let name = profile.name;
    for rule in RULES.iter().filter(|rule| rule.profiles.contains(&name)) {
        if rule.models.iter().any(|pattern| matches(pattern, model)) {
            (rule.then)(profile);
        }
    }
}

/// One rule; of several that match, the later has the last word.
struct Rule {
    profiles: &'static [&'static str],
    /// Names in small letters, with `*`.
    models: &'static [&'static str],
    then: fn(&mut Profile),
}

const OPENAI: &[&str] = &["openai", "azure"];
/// Who serves models with open weights.
const HOSTS: &[&str] = &[
    "nim",
    "openrouter",
    "groq",
    "together",
    "fireworks",
    "cerebras",
    "vllm",
    "sglang",
    "llamacpp",
    "ollama",
    "lmstudio",
];
/// Those of them who have no word of their own for an effort.
const EFFORTS: &[&str] =
    &["nim", "groq", "together", "fireworks", "cerebras", "vllm", "sglang", "llamacpp", "ollama", "lmstudio"];
/// Whose servers fill the model's own chat template, with what a request adds to it.
const TEMPLATES: &[&str] = &["nim", "vllm", "sglang", "llamacpp"];

const RULES: &[Rule] = &[
    // OpenAI: what a model writes at most is refused when exceeded, and agents ask for as much as their own vendor allows.
    Rule {
        profiles: OPENAI,
        models: &["gpt-3.5*", "gpt-4-turbo*", "gpt-4-*-preview"],
        then: |p| p.output_max = Some(4_096),
    },
    Rule { profiles: OPENAI, models: &["gpt-4", "gpt-4-0*"], then: |p| p.output_max = Some(8_192) },
    Rule { profiles: OPENAI, models: &["gpt-4o*", "chatgpt-4o*"], then: |p| p.output_max = Some(16_384) },
    Rule { profiles: OPENAI, models: &["gpt-4.1*"], then: |p| p.output_max = Some(32_768) },
    Rule {
        profiles: OPENAI,
        models: &["gpt-3.5*", "gpt-4*", "o1*", "o3*", "o4*"],
        then: |p| p.flags.set(Flag::MergeUnions, true),
    },
    // Its reasoning models.
    Rule {
        profiles: OPENAI,
        models: &["o1*", "o3*", "o4*", "gpt-5*", "gpt-6*", "gpt-7*", "codex-*"],
        then: |p| {
            p.limit = Limit::MaxCompletionTokens;
            p.flags = p.flags.without(&[Flag::Sampling, Flag::Stop]);
            p.efforts = Efforts::of(&[Low, Medium, High]);
            p.output_max = Some(100_000);
        },
    },
    Rule {
        profiles: OPENAI,
        models: &["gpt-5*", "gpt-6*", "gpt-7*"],
        then: |p| {
            p.efforts = Efforts::of(&[Minimal, Low, Medium, High]);
            p.output_max = Some(128_000);
        },
    },
    Rule { profiles: OPENAI, models: &["gpt-5-pro*"], then: |p| p.efforts = Efforts::of(&[High]) },
    Rule { profiles: OPENAI, models: &["gpt-5-codex*"], then: |p| p.efforts = Efforts::of(&[Low, Medium, High]) },
    Rule { profiles: OPENAI, models: &["gpt-5.1*"], then: |p| p.efforts = Efforts::of(&[Off, Low, Medium, High]) },
    Rule {
        profiles: OPENAI,
        models: &[
            "gpt-5.1-codex-max*",
            "gpt-5.2*",
            "gpt-5.3*",
            "gpt-5.4*",
            "gpt-5.5*",
            "gpt-5.6*",
            "gpt-5.7*",
            "gpt-6*",
            "gpt-7*",
        ],
        then: |p| p.efforts = Efforts::of(&[Off, Low, Medium, High, XHigh]),
    },
    Rule { profiles: OPENAI, models: &["gpt-5.*-pro*"], then: |p| p.efforts = Efforts::of(&[Medium, High, XHigh]) },
    // Tools and an effort are refused together in Chat Completions: the older ones want none said, the newer `none`.
    Rule {
        profiles: OPENAI,
        models: &["gpt-5.4*", "gpt-5.5*", "gpt-5.6*", "gpt-5.7*", "gpt-6*", "gpt-7*"],
        then: |p| p.flags.set(Flag::EffortWithTools, false),
    },
    Rule {
        profiles: OPENAI,
        models: &["gpt-5.6*", "gpt-5.7*", "gpt-6*", "gpt-7*"],
        then: |p| p.flags.set(Flag::ThinkingOff, true),
    },
    Rule {
        profiles: OPENAI,
        models: &["gpt-5*-chat*"],
        then: |p| {
            p.flags.set(Flag::Sampling, true);
            p.efforts = Efforts::of(&[]);
            p.output_max = Some(16_384);
        },
    },
    // GLM, DeepSeek, Kimi at home.
    Rule {
        profiles: &["zai"],
        models: &["glm-5.2*", "glm-5.3*", "glm-5.4*", "glm-6*"],
        then: |p| p.efforts = Efforts::of(&[Low, High, Max]),
    },
    Rule { profiles: &["zai"], models: &["glm-4", "glm-4-*", "glm-3*"], then: |p| p.reasoning = Reasoning::Never },
    Rule {
        profiles: &["deepseek"],
        models: &["deepseek-chat", "deepseek-coder"],
        then: |p| p.efforts = Efforts::of(&[]),
    },
    Rule { profiles: &["deepseek"], models: &["deepseek-reasoner"], then: |p| p.reasoning = Reasoning::Never },
    Rule {
        profiles: &["moonshot"],
        models: &["moonshot-*", "kimi-k2-*", "kimi-latest"],
        then: |p| p.reasoning = Reasoning::Never,
    },
    Rule {
        profiles: &["moonshot"],
        models: &["kimi-k2.*", "kimi-k3*", "kimi-k2-thinking*"],
        then: |p| p.flags.set(Flag::Sampling, false),
    },
    // Gemini's larger models cannot stop thinking.
    Rule {
        profiles: &["gemini"],
        models: &["gemini-*-pro*", "gemini-3*"],
        then: |p| p.efforts = Efforts::of(&[Low, Medium, High]),
    },
    Rule {
        profiles: &["gemini"],
        models: &["gemini-1*", "gemini-2.0*", "gemma*"],
        then: |p| p.reasoning = Reasoning::Never,
    },
    // Grok's reasoning models.
    Rule { profiles: &["xai"], models: &["grok-3-mini*"], then: |p| p.efforts = Efforts::of(&[Low, High]) },
    Rule { profiles: &["xai"], models: &["grok-3-mini*", "grok-4*"], then: |p| p.flags.set(Flag::Stop, false) },
    // Templates that have another word for it; on a hosted server only models that are known to have one.
    Rule {
        profiles: &["nim"],
        models: &["qwen3*", "*nemotron*", "glm-4.5*", "glm-4.6*", "glm-4.7*", "glm-5*"],
        then: |p| p.reasoning = Reasoning::TemplateEnableThinking,
    },
    Rule {
        profiles: TEMPLATES,
        models: &["deepseek-v3*", "deepseek-v4*", "deepseek-ai-*", "kimi-k2.*", "kimi-k2p*", "granite*"],
        then: |p| p.reasoning = Reasoning::TemplateThinking,
    },
    // Mistral's templates refuse what its own servers refuse.
    Rule {
        profiles: HOSTS,
        models: &["mistral*", "ministral*", "mixtral*", "magistral*", "devstral*", "codestral*"],
        then: |p| p.flags = p.flags.with(&[Flag::AlternateRoles, Flag::AnswerAfterTool, Flag::ShortIds]),
    },
    Rule {
        profiles: EFFORTS,
        models: &["gpt-oss*"],
        then: |p| {
            p.reasoning = Reasoning::Effort;
            p.efforts = Efforts::of(&[Low, Medium, High]);
        },
    },
    Rule {
        profiles: &["groq"],
        models: &["qwen3*"],
        then: |p| {
            p.reasoning = Reasoning::Effort;
            p.efforts = Efforts::of(&[Off]);
            p.flags.set(Flag::ThinkingOff, true);
        },
    },
];

/// Whether a name is as a pattern has it, in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((front, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(front) else {
        return false;
    };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return name.ends_with(part);
        }
        match name.split_once(part) {
            Some((_, behind)) => name = behind,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, want) in [
            ("gpt-4", "gpt-4", true),
            ("gpt-4", "gpt-4o", false),
            ("gpt-4*", "gpt-4o", true),
            ("*nemotron*", "llama-3.1-nemotron-ultra", true),
            ("gpt-5*-chat*", "gpt-5-chat-latest", true),
            ("gpt-5*-chat*", "gpt-5.1", false),
            ("gpt-4-*-preview", "gpt-4-0125-preview", true),
            ("gpt-4-*-preview", "gpt-4-0125", false),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn every_rule_names_profiles() {
        for rule in RULES {
            for name in rule.profiles {
                assert!(super::super::table::row(name).is_some(), "{name}");
            }
            assert!(rule.models.iter().all(|model| model.to_ascii_lowercase() == **model));
        }
    }

    #[test]
    fn what_models_want() {
        #[rustfmt::skip]
        let table = [
            ("openai", "gpt-4o", "limit=max_tokens output_max=16384 merge_unions=on"),
            ("openai", "gpt-4o-mini-2024-07-18", "limit=max_tokens output_max=16384"),
            ("openai", "ft:gpt-4.1-mini:acme::x", "output_max=32768"),
            ("openai", "o3", "limit=max_completion_tokens sampling=off stop=off efforts=low+medium+high"),
            ("openai", "gpt-5-mini", "limit=max_completion_tokens efforts=minimal+low+medium+high merge_unions=off"),
            ("azure", "gpt-5.1", "limit=max_completion_tokens efforts=none+low+medium+high"),
            ("openai", "gpt-5.4", "efforts=none+low+medium+high+xhigh effort_with_tools=off"),
            ("openai", "gpt-5.6-sol", "efforts=none+low+medium+high+xhigh effort_with_tools=off thinking_off=on"),
            ("openai", "gpt-5-chat-latest", "limit=max_completion_tokens sampling=on efforts="),
            ("openrouter", "openai/gpt-5", "limit=max_tokens sampling=on"),
            ("openrouter", "openai/gpt-oss-120b", "reasoning=object"),
            ("plain", "gpt-5", "limit=max_tokens"),
            ("zai", "GLM-5.3", "efforts=low+high+max reasoning=thinking"),
            ("zai", "glm-4.6", "efforts= reasoning=thinking"),
            ("vllm", "openai/gpt-oss-120b", "reasoning=effort efforts=low+medium+high"),
            ("vllm", "deepseek-ai/DeepSeek-V3.1", "reasoning=template_thinking"),
            ("vllm", "Qwen/Qwen3-32B", "reasoning=template_enable_thinking"),
            ("nim", "meta/llama-3.3-70b-instruct", "reasoning=never"),
            ("nim", "nvidia/llama-3.3-nemotron-super-49b-v1.5", "reasoning=template_enable_thinking"),
            ("groq", "qwen/qwen3-32b", "reasoning=effort efforts=none thinking_off=on"),
            ("moonshot", "kimi-k2.5", "sampling=off reasoning=thinking"),
            ("moonshot", "kimi-k2-0905-preview", "sampling=on reasoning=never"),
            ("nim", "mistralai/mistral-small-4-119b-2603", "answer_after_tool=on short_ids=on alternate_roles=on reasoning=never"),
            ("xai", "grok-4", "stop=off efforts="),
        ];
        for (name, model, wanted) in table {
            let profile = Profile::of(name, None).for_model(model);
            for setting in wanted.split(' ') {
                let shown = super::super::settings::shown(&profile, setting.split('=').next().unwrap());
                assert_eq!(shown.as_deref(), Some(setting), "{name} {model}");
            }
        }
        // What a person set wins.
        let profile = Profile::parse("openai,sampling,limit=max_tokens,output_max=7").unwrap().for_model("o3");
        assert!(profile.has(Flag::Sampling) && profile.limit == Limit::MaxTokens && profile.output_max == Some(7));
    }
}
