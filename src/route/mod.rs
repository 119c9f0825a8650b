//! Model name → where the request goes. Pure; the grammar stands in the documentation of [`Routes`], the order of
//! decisions in that of [`Routes::plan`].
//!
//! `grammar` reads and writes rules, `rule` says what they mean, `plan` applies them, `family` knows what to do without
//! any.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod family;
mod grammar;
mod named;
mod pattern;
mod plan;
mod rule;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub(crate) use pattern::matches;
pub use plan::{Asked, Candidate, NoRoute, Plan};

use crate::config::provider::Provider;
use crate::dialect::Face;
use rule::Rule;

/// The rules, in the order written; the first that matches wins.
///
/// ```text
/// rule      = pattern [ "[" condition {"," condition} "]" ] "->" target {"," target}
/// pattern   = model name with "*" (in quotes where it holds "[", ",", ";", "->" or spaces)
/// condition = image | thinking | tools | stream | tokens>N | api=chat|messages|responses
/// target    = provider [ "/" model ] { " " option }     (the model in quotes where it holds ",", ";" or spaces)
/// option    = face=openai|anthropic|responses, weight=N
/// rules are separated by ";" or new lines
/// ```
///
/// A target without a model, or with the model `*`, keeps the client's name. The conditions on what a request holds
/// (image, thinking, tools, tokens) are read, and refused by name: nothing looks into requests for them yet.
///
/// Shown (`to_string`), rules have one canonical form, one a line, which parses to the same rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    rules: Vec<Rule>,
}

impl Routes {
    /// Reads the rules; `providers` are the active ones, in their order.
    ///
    /// # Errors
    /// All problems, each as the end of a sentence about the variable: which rule, what is wrong, what to write.
    pub fn parse(text: &str, providers: &[Arc<Provider>]) -> Result<Self, Vec<String>> {
        let (mut rules, mut problems) = (Vec::new(), Vec::new());
        for text in grammar::rules(text) {
            match grammar::rule(text, providers) {
                Ok(rule) => rules.push(rule),
                Err(wrong) => problems.extend(wrong.iter().map(|what| format!("has the rule `{text}`, which {what}"))),
            }
        }
        if problems.is_empty() { Ok(Self { rules }) } else { Err(problems) }
    }

    /// A target has a weight other than the usual one.
    pub fn has_weights(&self) -> bool {
        self.rules.iter().flat_map(|rule| &rule.targets).any(|target| target.weight != 1)
    }

    /// The names that a user may ask for because a rule has them as its pattern, each once: those without a `*`.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().enumerate().filter_map(|(index, rule)| {
            let seen = self.rules.iter().take(index).any(|earlier| earlier.pattern == rule.pattern);
            rule.pattern.literal().filter(|_| !seen)
        })
    }
}

impl fmt::Display for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rule) in self.rules.iter().enumerate() {
            write!(f, "{}{rule}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// The active providers, for a message.
fn active(providers: &[Arc<Provider>]) -> String {
    let names: Vec<_> = providers.iter().map(|provider| provider.name.as_str()).collect();
    match names.as_slice() {
        [] => "no provider is active".to_owned(),
        [name] => format!("the active one is {name:?}"),
        _ => format!("the active ones are {}", names.join(", ")),
    }
}

/// The variable that gives a provider an address of that face.
fn face_variable(provider: &str, face: Face) -> String {
    let prefix = crate::config::variables::prefix(provider);
    match face {
        Face::OpenAi => format!("{prefix}_OPENAI_URL"),
        Face::Anthropic => format!("{prefix}_ANTHROPIC_URL"),
    }
}
