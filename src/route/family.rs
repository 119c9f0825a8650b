//! Which provider a model's name belongs to when no rule says so.

use std::sync::Arc;

use super::pattern;
use crate::config::known;
use crate::config::provider::Provider;

/// The first of `providers` that is known to make or to host models of such a name.
pub(super) fn owner(model: &str, providers: &[Arc<Provider>]) -> Option<usize> {
    providers.iter().position(|provider| families(&provider.name).iter().any(|family| pattern::matches(family, model)))
}

/// Patterns of the names that a known provider's models have. Names in a form that several providers use
/// (`meta-llama/…`, `@cf/…`) are nobody's.
fn families(provider: &str) -> &'static [&'static str] {
    known::find(provider).map_or(&[], |known| known.families)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_one_owner_at_most() {
        for (model, want) in [
            ("gpt-5-mini", Some("openai")),
            ("o3", Some("openai")),
            ("ft:gpt-4o:org::id", Some("openai")),
            ("claude-sonnet-4@20250514", Some("anthropic")),
            ("glm-4.6", Some("zai")),
            ("deepseek-reasoner", Some("deepseek")),
            ("codestral-latest", Some("mistral")),
            ("grok-4", Some("xai")),
            ("gemini-2.5-pro", Some("gemini")),
            ("kimi-k2", Some("moonshot")),
            ("nvidia/nemotron", Some("nim")),
            ("accounts/fireworks/models/x", Some("fireworks")),
            ("@cf/meta/llama-3", None),
            ("llama3.1:8b", None),
            ("meta-llama/llama-3.1-70b:free", None),
            ("", None),
        ] {
            let owners: Vec<_> = known::KNOWN
                .iter()
                .map(|known| known.name)
                .filter(|name| families(name).iter().any(|family| pattern::matches(family, model)))
                .collect();
            assert_eq!(owners, Vec::from_iter(want), "{model}");
        }
        assert!(families("nobody").is_empty());
    }
}
