//! Model name → where the request goes. Pure; the grammar stands in the documentation of [`Routes`].

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod pattern;

use std::sync::Arc;

use crate::config::Provider;
use pattern::Pattern;

/// The rules, in the order written; the first that matches wins.
///
/// ```text
/// rule    = pattern "->" provider [ "/" model ]
/// pattern = model name with "*" (in quotes where it holds "[", "," or spaces)
/// rules are separated by ";" or new lines
/// ```
///
/// Conditions, several targets and options are known words of the grammar that this version refuses by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    pattern: Pattern,
    /// The upstream's name of the model; `None` keeps the client's.
    model: Option<String>,
}

impl Routes {
    /// Reads the rules; `providers` are the active ones.
    ///
    /// # Errors
    /// Ends of sentences: which rule, what is wrong, what to write.
    pub fn parse(text: &str, providers: &[Arc<Provider>]) -> Result<Self, Vec<String>> {
        let rules = text.split([';', '\n']).map(str::trim).filter(|rule| !rule.is_empty());
        rules
            .map(|rule| parse_rule(rule, providers))
            .collect::<Result<_, _>>()
            .map(|rules| Self { rules })
            .map_err(|wrong| vec![wrong])
    }

    /// The name under which the upstream knows `model`, if a rule gives it another one.
    pub fn alias(&self, model: &str) -> Option<&str> {
        self.rules.iter().find(|rule| rule.pattern.matches(model))?.model.as_deref()
    }
}

fn parse_rule(rule: &str, providers: &[Arc<Provider>]) -> Result<Rule, String> {
    let wrong = |what: &str| format!("has the rule `{rule}`, which {what}");
    let (pattern, rest) = Pattern::parse(rule).map_err(|what| wrong(&what))?;
    let rest = rest.trim_start();
    if rest.starts_with('[') {
        return Err(wrong("has a condition; conditions are not supported yet"));
    }
    let target = rest.strip_prefix("->").ok_or_else(|| wrong("lacks `->`; write `pattern -> provider/model`"))?.trim();
    if target.contains(',') {
        return Err(wrong("has several targets; this version takes one"));
    }
    if target.contains(char::is_whitespace) {
        return Err(wrong("has an option behind its target; options are not supported yet"));
    }
    let (name, model) = match target.split_once('/') {
        Some((name, model)) => (name, Some(model)),
        None => (target, None),
    };
    if !providers.iter().any(|provider| provider.name == name) {
        return Err(wrong(&format!("names the provider {name:?}, which is not active")));
    }
    match model {
        Some("") => Err(wrong("ends in `/`; write the model's name after it, or leave the slash out")),
        // `provider/*` keeps the client's name.
        Some("*") | None => Ok(Rule { pattern, model: None }),
        Some(model) if model.contains('*') => Err(wrong("has a `*` inside the target's model name")),
        Some(model) => Ok(Rule { pattern, model: Some(model.to_owned()) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Source};

    fn parse(text: &str) -> Result<Routes, Vec<String>> {
        let pairs = [("SIDESTREAM_PROVIDERS", "mock"), ("MOCK_ENDPOINT_URL", "http://127.0.0.1:9/v1")];
        let source = Source::of(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Routes::parse(text, &Config::read(&source).unwrap().providers)
    }

    #[test]
    fn the_first_matching_rule_names_the_model() {
        let routes = parse("gpt-*mini -> mock/small; \"claude-*[1m]\" -> mock/long\n* -> mock").unwrap();
        for (model, alias) in [
            ("gpt-4o-mini", Some("small")),
            ("claude-sonnet[1m]", Some("long")),
            ("gpt-4o", None),
            ("llama3.1:8b", None),
            ("", None),
        ] {
            assert_eq!(routes.alias(model), alias, "{model}");
        }
    }

    #[test]
    fn names_as_they_stand() {
        for name in [
            "llama3.1:8b",
            "meta-llama/llama-3.1-70b:free",
            "ft:gpt-4o:org::id",
            "claude-sonnet-4@20250514",
            "@cf/meta/llama-3",
            "accounts/fireworks/models/x",
        ] {
            let routes = parse(&format!("alias -> mock/{name}; {name} -> mock/other")).unwrap();
            assert_eq!(routes.alias("alias"), Some(name));
            assert_eq!(routes.alias(name), Some("other"));
        }
    }

    #[test]
    fn refusals_name_the_rule_and_the_remedy() {
        for (text, part) in [
            ("gpt-4o", "lacks `->`"),
            ("gpt-*[image] -> mock", "condition"),
            ("* -> mock, mock/b", "several targets"),
            ("* -> mock weight=2", "option"),
            ("* -> other", "\"other\""),
            ("* -> mock/", "ends in `/`"),
            ("* -> mock/a*b", "`*` inside"),
            ("\"open -> mock", "quote"),
            ("-> mock", "no pattern"),
        ] {
            let error = parse(text).unwrap_err().join("");
            assert!(error.contains(part) && error.contains(text), "{text}: {error}");
        }
    }
}
