//! Model name → where the request goes. Pure; the grammar stands in the documentation of [`Routes`], the order of
//! decisions in that of [`Routes::plan`].
//!
//! `grammar` reads and writes rules, `rule` says what they mean, `plan` applies them, `family` knows what to do without
//! any. [`mod@look`] reads in a request's body what rules ask for ([`features`]), and which conversation it belongs to
//! ([`session`]).

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod breaker;
pub mod budget;
pub mod course;
mod family;
pub mod features;
mod grammar;
pub mod health;
pub mod hedge;
pub mod key;
pub mod look;
mod named;
mod pattern;
mod plan;
pub mod rate;
mod rule;
pub mod session;
pub mod stats;
pub mod sticky;
pub mod strategy;
#[cfg(test)]
mod tests;
pub mod verdict;

use std::fmt;
use std::sync::Arc;

pub use features::{Feature, Features};
pub(crate) use pattern::matches;
pub use plan::{Asked, Candidate, NoRoute, Plan};

use crate::config::provider::Provider;
use crate::dialect::Face;
use rule::Rule;
use strategy::Strategy;

/// The rules, in the order written; the first that matches wins.
///
/// ```text
/// rule      = pattern [ "[" word {"," word} "]" ] "->" target {"," target}
/// word      = condition | strategy=order|weight|latency|cost|score
/// pattern   = model name with "*" (in quotes where it holds "[", ",", ";", "->" or spaces)
/// condition = image | thinking | tools | stream | tokens>N | api=chat|messages|responses      (N: 100000, 100k, 1m)
/// target    = provider [ "/" model ] { " " option }     (the model in quotes where it holds ",", ";" or spaces)
/// option    = face=openai|anthropic|responses, weight=N
/// rules are separated by ";" or new lines
/// ```
///
/// A target without a model, or with the model `*`, keeps the client's name. What the conditions image, thinking, tools and
/// tokens mean in each dialect, [`features`] says.
///
/// Shown (`to_string`), rules have one canonical form, one a line, which parses to the same rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    rules: Vec<Rule>,
    /// A rule has a condition on what a body holds.
    look_inside: bool,
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
        let look_inside = rules.iter().any(Rule::looks_inside);
        if problems.is_empty() { Ok(Self { rules, look_inside }) } else { Err(problems) }
    }

    /// A rule has a condition on what a body holds: [`Routes::must_look`] says of which requests it is looked into.
    pub fn look_inside(&self) -> bool {
        self.look_inside
    }

    /// The strategy of each rule; `usual` is that of those that name none.
    pub fn strategies(&self, usual: Option<Strategy>) -> impl Iterator<Item = Strategy> {
        self.rules.iter().map(move |rule| rule.strategy(usual))
    }

    /// Rules whose weights have no effect, as written.
    pub fn idle_weights(&self, usual: Option<Strategy>) -> impl Iterator<Item = String> {
        let is_idle = move |rule: &&Rule| {
            rule.targets.iter().any(|target| target.weight != 1) && rule.strategy(usual) != Strategy::Weight
        };
        self.rules.iter().filter(is_idle).map(Rule::to_string)
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
