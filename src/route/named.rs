//! The models that rules name: what can be asked for before anybody does.

use super::Routes;
use super::rule::Condition;
use crate::dialect::Dialect;

impl Routes {
    /// The models of a provider (an index among the active ones) that rules name, each once, in their order: those of
    /// targets, and those of patterns without a `*` that targets keep. With each the dialect that the rule's face or its
    /// condition asks for, else Chat Completions, as far as the provider has a face for it.
    pub fn named_models(&self, provider: usize) -> Vec<(&str, Dialect)> {
        let mut named: Vec<(&str, Dialect)> = Vec::new();
        for rule in &self.rules {
            let api = rule.conditions.iter().find_map(|condition| match condition {
                Condition::Api(dialect) => Some(*dialect),
                _ => None,
            });
            for target in rule.targets.iter().filter(|target| target.provider == provider) {
                let Some(model) = target.model.as_deref().or(rule.pattern.literal()) else { continue };
                if !named.iter().any(|(known, _)| *known == model) {
                    named.push((model, target.faces.spoken(target.face, api.unwrap_or(Dialect::Chat))));
                }
            }
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::many;
    use super::*;

    #[test]
    fn each_model_once_in_the_dialect_it_would_be_asked_in() {
        let providers = many();
        let of = |rules: &str, name: &str| {
            let routes = Routes::parse(rules, &providers).unwrap();
            let place = providers.iter().position(|provider| provider.name == name).unwrap();
            let named = routes.named_models(place);
            named.iter().map(|(model, dialect)| format!("{model} {}", dialect.name())).collect::<Vec<_>>().join(", ")
        };
        for (rules, provider, want) in [
            ("", "openai", ""),
            ("* -> openai", "openai", ""),
            ("gpt-* -> openai/*", "openai", ""),
            ("gpt-* -> openai/gpt-4o", "openai", "gpt-4o chat"),
            ("gpt-* -> openai/gpt-4o", "groq", ""),
            ("fast -> groq/a, openai/b; slow -> openai/b, openai/c", "openai", "b chat, c chat"),
            ("gpt-4o -> openai; mini -> openai/*", "openai", "gpt-4o chat, mini chat"),
            ("claude-* -> anthropic/claude-haiku", "anthropic", "claude-haiku messages"),
            ("glm-* -> zai/glm-4.6", "zai", "glm-4.6 chat"),
            ("glm-*[api=messages] -> zai/glm-4.6", "zai", "glm-4.6 messages"),
            ("glm-* -> zai/glm-4.6 face=anthropic", "zai", "glm-4.6 messages"),
            ("codex -> openai/codex face=responses", "openai", "codex responses"),
            ("codex[api=responses] -> openai", "openai", "codex responses"),
            ("codex[api=responses] -> anthropic", "anthropic", "codex messages"),
        ] {
            assert_eq!(of(rules, provider), want, "{rules} {provider}");
        }
    }
}
