//! Text ↔ rules: what each part may look like, and what to write instead.

use std::fmt;
use std::sync::Arc;

use super::features::Feature;
use super::pattern::Pattern;
use super::rule::{Condition, Faces, Force, Rule, Target};
use super::strategy::Strategy;
use crate::config::provider::Provider;
use crate::config::value;
use crate::dialect::{Dialect, Face};
use crate::limits::ROUTE_WEIGHT_MAX;

/// The single rules of a text, trimmed. Inside of quotes a `;` is part of a name; a line's end never is.
pub(super) fn rules(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| split(line, ';')).map(str::trim).filter(|rule| !rule.is_empty())
}

/// Reads one rule.
///
/// # Errors
/// All that is wrong with it, each as the end of "a rule, which …".
pub(super) fn rule(text: &str, providers: &[Arc<Provider>]) -> Result<Rule, Vec<String>> {
    let mut wrong = Vec::new();
    let (pattern, rest) = Pattern::parse(text).map_err(|what| vec![what.to_owned()])?;
    let mut rest = rest.trim_start();
    let mut listed = Listed::default();
    if let Some(bracket) = rest.strip_prefix('[') {
        let lacks = "lacks the `]` of its conditions; a name that holds `[` stands in quotes";
        let (inside, after) = bracket.split_once(']').ok_or_else(|| vec![lacks.to_owned()])?;
        listed = Listed::read(inside, &mut wrong);
        rest = after.trim_start();
    }
    let Some(aims) = rest.strip_prefix("->") else {
        wrong.push(match rest.starts_with(',') {
            true => "has a comma behind its pattern; write a rule for each name, or the name in quotes".to_owned(),
            false => "lacks `->` behind its pattern; write `pattern -> provider/model`".to_owned(),
        });
        return Err(wrong);
    };
    let targets: Vec<_> = split(aims, ',')
        .filter_map(|text| target(text.trim(), providers).map_err(|what| wrong.extend(what)).ok())
        .collect();
    match wrong.is_empty() {
        true => Ok(Rule { pattern, conditions: listed.conditions, strategy: listed.strategy, targets }),
        false => Err(wrong),
    }
}

/// A name at the front of `text`: in quotes, or its first `end` bytes. Gives what follows too.
pub(super) fn name(text: &str, end: usize) -> Result<(&str, &str), &'static str> {
    let (name, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').ok_or("lacks a closing quote")?,
        None => text.split_at_checked(end).unwrap_or((text, "")),
    };
    match name {
        "" => Err("has an empty name in quotes"),
        _ if name.contains('"') => Err("has a quote inside of a name; quotes stand around a whole name"),
        _ if name.contains(char::is_control) => Err("has a control character in a name"),
        _ => Ok((name, rest)),
    }
}

pub(super) fn write_name(f: &mut fmt::Formatter<'_>, name: &str, quoted: bool) -> fmt::Result {
    let quote = if quoted { "\"" } else { "" };
    write!(f, "{quote}{name}{quote}")
}

/// What stands in a rule's brackets.
#[derive(Default)]
struct Listed {
    conditions: Vec<Condition>,
    strategy: Option<Strategy>,
}

impl Listed {
    fn read(text: &str, wrong: &mut Vec<String>) -> Self {
        let mut listed = Self::default();
        for word in text.split(',').map(str::trim) {
            listed.take(word).unwrap_or_else(|what| wrong.push(what));
        }
        listed
    }

    fn take(&mut self, word: &str) -> Result<(), String> {
        let twice = |what| Err(format!("asks for `{what}=` twice; write a rule for each"));
        if let Some(name) = word.strip_prefix("strategy=") {
            let named = value::strategy(name).map_err(|what| format!("has `{word}`, which {what}"))?;
            return if self.strategy.replace(named).is_some() { twice("strategy") } else { Ok(()) };
        }
        let condition = condition(word)?;
        let is_api = |known: &Condition| matches!(known, Condition::Api(_));
        if is_api(&condition) && self.conditions.iter().any(is_api) {
            return twice("api");
        }
        self.conditions.push(condition);
        Ok(())
    }
}

fn condition(text: &str) -> Result<Condition, String> {
    if let Some(bound) = text.strip_prefix("tokens").map(str::trim_start).and_then(|rest| rest.strip_prefix('>')) {
        let wrong = || format!("has the condition `{text}`, whose bound is no number; write e.g. `tokens>100000`");
        return value::token_count(bound.trim()).map(Condition::TokensOver).ok_or_else(wrong);
    }
    if let Some(api) = text.strip_prefix("api=") {
        let named = DIALECTS.into_iter().find(|dialect| dialect.name() == api);
        let wrong = || format!("has the condition `{text}`; `api=` takes chat, messages or responses");
        return named.map(Condition::Api).ok_or_else(wrong);
    }
    if let Some(feature) = Feature::ALL.into_iter().find(|feature| feature.name() == text) {
        return Ok(Condition::Holds(feature));
    }
    match text {
        "stream" => Ok(Condition::Stream),
        "tokens" => Err("has the condition `tokens` without a bound; write e.g. `tokens>100000`".to_owned()),
        "" => Err("has an empty condition; a name that holds `[` stands in quotes".to_owned()),
        _ => Err(format!(
            "has the unknown condition `{text}`; there are image, thinking, tools, stream, tokens>N and api=chat, \
             api=messages, api=responses, and strategy=NAME (a name that holds `[` stands in quotes)"
        )),
    }
}

fn target(text: &str, providers: &[Arc<Provider>]) -> Result<Target, Vec<String>> {
    let end = text.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(text.len());
    let (provider_name, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    if provider_name.is_empty() {
        return Err(vec!["has an empty target; write `provider/model` or `provider/*`".to_owned()]);
    }
    if provider_name.contains('"') {
        return Err(vec!["has a quote before the target's provider; write `provider/\"model\"`".to_owned()]);
    }
    let mut wrong = Vec::new();
    let found = providers.iter().position(|provider| provider.name == provider_name);
    if found.is_none() {
        wrong.push(format!("names the provider {provider_name:?}; {}", super::active(providers)));
    }
    let (model, rest) = match rest.strip_prefix('/').map(target_model) {
        None => (None, rest),
        Some(Ok(found)) => found,
        Some(Err(what)) => {
            wrong.push(what.to_owned());
            return Err(wrong);
        }
    };
    let mut options = Options::default();
    for word in rest.split_whitespace() {
        if word == "->" {
            wrong.push("has a second `->`; rules are separated by `;` or new lines".to_owned());
            break;
        }
        if let Err(what) = options.take(word) {
            wrong.push(what);
        }
    }
    let provider = found.and_then(|index| Some((index, providers.get(index)?)));
    if let (Some(force), Some((_, provider))) = (options.face, provider)
        && provider.face(force.face()).is_none()
    {
        let (variable, face) = (super::face_variable(&provider.name, force.face()), force.name());
        wrong.push(format!("asks for face={face}, which {provider_name} does not have; set {variable}"));
    }
    match provider {
        Some((index, provider)) if wrong.is_empty() => Ok(Target {
            provider: index,
            name: provider_name.to_owned(),
            faces: Faces::of(provider),
            model: model.map(str::to_owned),
            face: options.face,
            weight: options.weight.unwrap_or(1),
        }),
        _ => Err(wrong),
    }
}

/// The model behind a target's slash, none for `*`, and what follows it.
fn target_model(text: &str) -> Result<(Option<&str>, &str), &'static str> {
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    if end == 0 {
        return Err("has a target that ends in `/`; write the model's name after it, or leave the slash out");
    }
    let (model, rest) = name(text, end)?;
    if !rest.is_empty() && !rest.starts_with(char::is_whitespace) {
        return Err("has something right behind a closing quote; a space must stand between");
    }
    match model {
        "*" => Ok((None, rest)),
        _ if model.contains('*') => {
            Err("has a `*` inside of a target's model name; write the whole name, or `*` alone for the client's own")
        }
        _ => Ok((Some(model), rest)),
    }
}

#[derive(Default)]
struct Options {
    face: Option<Force>,
    weight: Option<u32>,
}

impl Options {
    fn take(&mut self, word: &str) -> Result<(), String> {
        let twice =
            |twice: bool| if twice { Err(format!("has the option `{word}` and one before it")) } else { Ok(()) };
        match word.split_once('=') {
            Some(("face", value)) => {
                let named = Force::ALL.into_iter().find(|force| force.name() == value);
                let wrong = || format!("has the option `{word}`; `face=` takes openai, anthropic or responses");
                twice(self.face.replace(named.ok_or_else(wrong)?).is_some())
            }
            Some(("weight", value)) => {
                let number = digits(value).and_then(|number| u32::try_from(number).ok());
                let number = number.filter(|number| (1..=ROUTE_WEIGHT_MAX).contains(number));
                let wrong = || format!("has the option `{word}`; a weight is a number from 1 to {ROUTE_WEIGHT_MAX}");
                twice(self.weight.replace(number.ok_or_else(wrong)?).is_some())
            }
            _ => Err(format!(
                "has the unknown option `{word}` behind a target; there are face= and weight= (several targets are \
                 separated by commas)"
            )),
        }
    }
}

/// Splits at each `separator` outside of quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
}

/// A number as people write it: no sign.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

const DIALECTS: [Dialect; 3] = [Dialect::Chat, Dialect::Messages, Dialect::Responses];

impl Force {
    const ALL: [Self; 3] = [Self::Face(Face::OpenAi), Self::Face(Face::Anthropic), Self::Responses];

    /// As in `face=`.
    fn name(self) -> &'static str {
        match self {
            Self::Face(Face::OpenAi) => "openai",
            Self::Face(Face::Anthropic) => "anthropic",
            Self::Responses => "responses",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pattern)?;
        for (index, condition) in self.conditions.iter().enumerate() {
            f.write_str(if index == 0 { "[" } else { ", " })?;
            match condition {
                Condition::Api(dialect) => write!(f, "api={}", dialect.name())?,
                Condition::Stream => f.write_str("stream")?,
                Condition::Holds(feature) => f.write_str(feature.name())?,
                Condition::TokensOver(bound) => write!(f, "tokens>{bound}")?,
            }
        }
        if let Some(strategy) = self.strategy {
            let before = if self.conditions.is_empty() { "[" } else { ", " };
            write!(f, "{before}strategy={}", strategy.name())?;
        }
        let is_bare = self.conditions.is_empty() && self.strategy.is_none();
        f.write_str(if is_bare { " -> " } else { "] -> " })?;
        for (index, target) in self.targets.iter().enumerate() {
            write!(f, "{}{target}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.model.as_deref().unwrap_or("*");
        write!(f, "{}/", self.name)?;
        write_name(f, model, model.contains(|c: char| c.is_whitespace() || matches!(c, ',' | ';')))?;
        if let Some(force) = self.face {
            write!(f, " face={}", force.name())?;
        }
        match self.weight {
            1 => Ok(()),
            weight => write!(f, " weight={weight}"),
        }
    }
}
