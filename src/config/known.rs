//! The providers that are known by name: where they answer, how they want their key, which models are theirs.
//!
//! Everything here is a default: `{NAME}_OPENAI_URL`, `{NAME}_ANTHROPIC_URL` and `{NAME}_ENDPOINT_URL` override the
//! addresses, `SIDESTREAM_ROUTES` the families. A provider that is missing needs only a name and a URL.
//!
//! # Who is not in the table
//!
//! These speak no dialect of ours at a base URL, so a row could not describe them. What to use instead:
//!
//! - **Azure OpenAI**'s older API has the deployment in the path and `api-version` in the query. Its v1 API
//!   (`https://RESOURCE.openai.azure.com/openai/v1`) has neither, and works as a provider with a URL and a key.
//! - **Amazon Bedrock**'s native API signs every request (SigV4) and streams in a binary framing. Its OpenAI face
//!   (`https://bedrock-runtime.REGION.amazonaws.com/openai/v1`) takes a Bedrock API key like any other provider.
//! - **Google Vertex AI** takes OAuth tokens that expire every hour, and has project and region in the path. Use
//!   `gemini` with a key, or a gateway of Google's that holds the token.

use super::provider::Auth;

/// What is known of a provider.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// Other variables that commonly hold its key, the likeliest first. `{NAME}_API_KEY` goes before all of them.
    pub keys: &'static [&'static str],
    /// Base of its OpenAI face, version included.
    pub openai: Option<&'static str>,
    /// Base of its Anthropic face, without `/v1`.
    pub anthropic: Option<&'static str>,
    /// How its Anthropic face wants the key; OpenAI faces all take a bearer token.
    pub anthropic_auth: Auth,
    /// Model names that are the provider's own, with `*`; they lead to it where no rule matches.
    pub families: &'static [&'static str],
    /// What of this row was not seen in the provider's own documentation; empty if all was.
    pub unsure: &'static str,
}

impl Known {
    /// A program on the user's own machine or network, not a service: its faces move together, and it may not run.
    pub fn is_local(&self) -> bool {
        self.openai.is_some_and(|base| base.starts_with("http://"))
    }
}

/// The row of a provider.
pub fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

/// A row without facts, for those below to fill.
const BLANK: Known = Known {
    name: "",
    keys: &[],
    openai: None,
    anthropic: None,
    anthropic_auth: Auth::Bearer,
    families: &[],
    unsure: "",
};

/// The table. Its order is the order of preference where `SIDESTREAM_PROVIDERS` is unset.
pub const KNOWN: &[Known] = &[
    Known {
        name: "openai",
        openai: Some("https://api.openai.com/v1"),
        families: &[
            "gpt-*",
            "chatgpt-*",
            "o1*",
            "o3*",
            "o4*",
            "codex-*",
            "computer-use-*",
            "text-embedding-*",
            "text-moderation-*",
            "omni-moderation-*",
            "davinci-*",
            "babbage-*",
            "whisper-*",
            "tts-*",
            "dall-e-*",
            "sora-*",
            "ft:gpt-*",
            "ft:o1*",
            "ft:o3*",
            "ft:o4*",
        ],
        ..BLANK
    },
    Known {
        name: "anthropic",
        // Its OpenAI face exists for trials only, by its own words, so it is not a default.
        anthropic: Some("https://api.anthropic.com"),
        anthropic_auth: Auth::XApiKey,
        families: &["claude-*"],
        ..BLANK
    },
    Known {
        name: "zai",
        keys: &["Z_AI_API_KEY", "ZHIPUAI_API_KEY", "ZHIPU_API_KEY", "GLM_API_KEY"],
        openai: Some("https://api.z.ai/api/paas/v4"),
        anthropic: Some("https://api.z.ai/api/anthropic"),
        families: &["glm-*", "cogview-*", "cogvideox-*"],
        unsure: "whether keys under the ZHIPU names, made for the Chinese site, are valid here",
        ..BLANK
    },
    Known {
        name: "nim",
        keys: &["NVIDIA_API_KEY", "NVIDIA_NIM_API_KEY"],
        openai: Some("https://integrate.api.nvidia.com/v1"),
        families: &["nvidia/*"],
        ..BLANK
    },
    Known {
        name: "openrouter",
        keys: &["OPEN_ROUTER_API_KEY"],
        openai: Some("https://openrouter.ai/api/v1"),
        // It vouches for this face only with Anthropic's own models.
        anthropic: Some("https://openrouter.ai/api"),
        ..BLANK
    },
    Known { name: "groq", openai: Some("https://api.groq.com/openai/v1"), ..BLANK },
    Known {
        name: "deepseek",
        openai: Some("https://api.deepseek.com"),
        anthropic: Some("https://api.deepseek.com/anthropic"),
        anthropic_auth: Auth::XApiKey,
        families: &["deepseek-*"],
        ..BLANK
    },
    Known {
        name: "mistral",
        keys: &["MISTRALAI_API_KEY"],
        openai: Some("https://api.mistral.ai/v1"),
        families: &[
            "mistral-*",
            "ministral-*",
            "magistral-*",
            "codestral*",
            "devstral-*",
            "pixtral-*",
            "voxtral-*",
            "open-mistral-*",
            "open-mixtral-*",
            "ft:mistral-*",
            "ft:ministral-*",
            "ft:open-mistral-*",
        ],
        ..BLANK
    },
    Known {
        name: "together",
        keys: &["TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY"],
        openai: Some("https://api.together.xyz/v1"),
        ..BLANK
    },
    Known {
        name: "fireworks",
        keys: &["FIREWORKS_AI_API_KEY"],
        openai: Some("https://api.fireworks.ai/inference/v1"),
        anthropic: Some("https://api.fireworks.ai/inference"),
        families: &["accounts/fireworks/*"],
        ..BLANK
    },
    Known {
        name: "xai",
        keys: &["GROK_API_KEY"],
        // Its Anthropic face still answers, but is deprecated by its own documentation.
        openai: Some("https://api.x.ai/v1"),
        families: &["grok-*"],
        ..BLANK
    },
    Known { name: "cerebras", openai: Some("https://api.cerebras.ai/v1"), ..BLANK },
    Known {
        name: "moonshot",
        keys: &["MOONSHOTAI_API_KEY", "KIMI_API_KEY"],
        openai: Some("https://api.moonshot.ai/v1"),
        anthropic: Some("https://api.moonshot.ai/anthropic"),
        families: &["kimi-*", "moonshot-*"],
        unsure: "whether keys of the Kimi subscription are valid here",
        ..BLANK
    },
    Known {
        name: "gemini",
        keys: &["GOOGLE_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"],
        openai: Some("https://generativelanguage.googleapis.com/v1beta/openai"),
        families: &["gemini-*", "models/gemini-*"],
        ..BLANK
    },
    Known {
        name: "ollama",
        openai: Some("http://127.0.0.1:11434/v1"),
        anthropic: Some("http://127.0.0.1:11434"),
        unsure: LOCAL_MESSAGES,
        ..BLANK
    },
    Known {
        name: "vllm",
        openai: Some("http://127.0.0.1:8000/v1"),
        anthropic: Some("http://127.0.0.1:8000"),
        unsure: LOCAL_MESSAGES,
        ..BLANK
    },
    Known {
        name: "llamacpp",
        keys: &["LLAMA_CPP_API_KEY"],
        openai: Some("http://127.0.0.1:8080/v1"),
        anthropic: Some("http://127.0.0.1:8080"),
        unsure: LOCAL_MESSAGES,
        ..BLANK
    },
    Known {
        name: "lmstudio",
        keys: &["LM_STUDIO_API_KEY", "LM_API_TOKEN"],
        openai: Some("http://127.0.0.1:1234/v1"),
        anthropic: Some("http://127.0.0.1:1234"),
        unsure: LOCAL_MESSAGES,
        ..BLANK
    },
];

const LOCAL_MESSAGES: &str = "the installed version: only those since about the turn of 2025 to 2026 speak Messages; \
                              {NAME}_ANTHROPIC_URL=off for an older one";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::url;

    #[test]
    fn every_row_can_be_used() {
        for known in KNOWN {
            assert!(known.openai.is_some() || known.anthropic.is_some(), "{}", known.name);
            for base in [known.openai, known.anthropic].into_iter().flatten() {
                let parsed = url::base(base).unwrap();
                assert_eq!(parsed.tls, !known.is_local(), "{base}");
                assert!(!base.ends_with('/') && !parsed.path.contains("//"), "{base}");
            }
            assert!(known.anthropic.is_none_or(|base| !base.ends_with("/v1")), "{}", known.name);
        }
    }

    #[test]
    fn names_keys_and_families_belong_to_one_row() {
        let keys = |known: &Known| known.keys.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (index, known) in KNOWN.iter().enumerate() {
            for other in KNOWN.iter().skip(index + 1) {
                assert_ne!(known.name, other.name);
                assert!(!known.families.iter().any(|family| other.families.contains(family)), "{}", other.name);
                assert!(!keys(known).iter().any(|key| keys(other).contains(key)), "{}", other.name);
            }
        }
    }
}
