//! Where one request goes.

use std::fmt;
use std::sync::Arc;

use super::rule::{Faces, Rule, Suffix, Target, Wanted};
use super::strategy::Strategy;
use super::{Features, Routes, face_variable, family};
use crate::config::provider::Provider;
use crate::dialect::Dialect;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The model's name as the client sent it; empty for a request that names none.
    pub model: &'a str,
    /// The dialect it speaks.
    pub dialect: Dialect,
    /// It wants a streamed answer.
    pub stream: bool,
    /// The provider that the path's prefix or a header picked, as an index among the active ones.
    pub provider: Option<usize>,
    /// What it holds; nothing, where [`Routes::must_look`] says that it does not matter.
    pub features: Features,
}

/// One way to serve a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Index among the active providers.
    pub provider: usize,
    /// The upstream's name of the model; empty if the request names none.
    pub model: &'a str,
    /// The dialect to speak upstream; where it is not the client's the request has to be translated.
    pub dialect: Dialect,
    /// The share of requests that it takes where a strategy spreads them.
    pub weight: u32,
}

/// The ways to serve a request, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan<'a> {
    targets: &'a [Target],
    /// The client's name of the model, which targets may keep.
    model: &'a str,
    suffix: Option<Suffix<'a>>,
    client: Dialect,
    /// Found without a rule.
    alone: Option<Candidate<'a>>,
    rule: Option<&'a Rule>,
}

impl<'a> Plan<'a> {
    /// The candidates, in the order in which the rule names them.
    pub fn candidates(&self) -> impl Iterator<Item = Candidate<'a>> + use<'a> {
        let Self { targets, model, suffix, client, alone, .. } = *self;
        targets.iter().map(move |target| target.candidate(model, suffix, client)).chain(alone)
    }

    /// In which order they are tried; `usual` is the order where the rule does not say.
    pub fn strategy(&self, usual: Option<Strategy>) -> Strategy {
        self.rule.map_or(Strategy::Order, |rule| rule.strategy(usual))
    }

    /// The first candidate.
    pub fn first(&self) -> Option<Candidate<'a>> {
        self.candidates().next()
    }
}

/// Why a request goes nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// Nothing says which of several providers has this model.
    UnknownModel {
        /// As asked for.
        model: String,
        /// The names of the active providers.
        providers: Vec<String>,
    },
    /// The request names no model, so nothing could translate it, and the provider that was picked (or every one) lacks
    /// the face for its dialect.
    NoFace {
        /// The name of the provider that was picked.
        provider: Option<String>,
        /// What the request speaks.
        dialect: Dialect,
    },
    /// No provider is active, or none has the index that was asked for.
    NoProvider,
}

impl NoRoute {
    /// Log name.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownModel { .. } => "unknown-model",
            Self::NoFace { .. } => "no-such-face",
            Self::NoProvider => "no-provider",
        }
    }

    /// For the person who reads the error: what is missing, and what to do.
    pub fn message(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for NoRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownModel { model, providers } => {
                let first = providers.first().map_or("", String::as_str);
                write!(
                    f,
                    "No route for the model {model:?}: no rule matches it, and it belongs to none of the active providers ({}). \
                     Ask for `{first}/{model}`, or add a rule to SIDESTREAM_ROUTES, such as `{model} -> {first}/*`.",
                    providers.join(", ")
                )
            }
            Self::NoFace { provider: Some(provider), dialect } => write!(
                f,
                "{provider} has no address that speaks {}, and a request without a model is not translated; set {}.",
                dialect.name(),
                face_variable(provider, dialect.face())
            ),
            Self::NoFace { provider: None, dialect } => write!(
                f,
                "No active provider has an address that speaks {}, and a request without a model is not translated.",
                dialect.name()
            ),
            Self::NoProvider => write!(f, "No provider is active; set SIDESTREAM_PROVIDERS."),
        }
    }
}

impl std::error::Error for NoRoute {}

impl Routes {
    /// Finds where a request goes; `providers` are those that the rules were read with. In this order:
    ///
    /// 1. A request that names no model goes to the provider that its path or a header picked, else to the first one
    ///    with the face for its dialect.
    /// 2. A provider that was picked gets the model's name as it stands: the rules are not asked, and a leading
    ///    `provider/` stays, for it may be the upstream's (`groq/compound`, `openrouter/auto`). This is the way to say
    ///    exactly what is meant.
    /// 3. The first rule that matches.
    /// 4. A first path segment that names an active provider picks it, and is taken off once.
    /// 5. With one active provider every name goes there.
    /// 6. The first active provider to whose family the name belongs.
    ///
    /// A suffix `-openai` or `-anthropic` then picks a face and is taken off, if the provider has both, unless a rule
    /// has exactly this name as its pattern or as a target's model. A target with a model of its own ignores it, a
    /// target with `face=` takes it off and goes on as it says.
    ///
    /// # Errors
    /// Nothing has this model, or the face that is needed.
    pub fn plan<'a>(&'a self, asked: &Asked<'a>, providers: &[Arc<Provider>]) -> Result<Plan<'a>, NoRoute> {
        let Asked { model, dialect: client, .. } = *asked;
        let empty = Plan { targets: &[], model, suffix: None, client, alone: None, rule: None };
        if model.is_empty() {
            let provider = without_model(asked, providers)?;
            let alone = Some(Candidate { provider, model, dialect: client, weight: 1 });
            return Ok(Plan { alone, ..empty });
        }
        let rule = || self.rules.iter().find(|rule| rule.matches(asked));
        if asked.provider.is_none()
            && let Some(rule) = rule()
        {
            let (targets, suffix) = (rule.targets.as_slice(), self.suffix(model, model));
            return Ok(Plan { targets, suffix, rule: Some(rule), ..empty });
        }
        let (index, name) = pick(asked, providers)?;
        let faces = Faces::of(providers.get(index).ok_or(NoRoute::NoProvider)?);
        let wanted = Wanted { provider: index, faces, model: name, suffix: self.suffix(model, name) };
        Ok(Plan { alone: Some(wanted.candidate(client)), ..empty })
    }

    /// Whether where a request goes depends on what its body holds: whether the first rule that fits all that is known of
    /// it without has a condition on that. Where no rule has one, this is false at once.
    pub fn must_look(&self, asked: &Asked<'_>) -> bool {
        if !self.look_inside || asked.provider.is_some() || asked.model.is_empty() {
            return false;
        }
        self.rules.iter().find(|rule| rule.may_match(asked)).is_some_and(Rule::looks_inside)
    }

    /// The suffix of `name`, what the client asked for or what is left of it, unless a rule knows either as a whole.
    fn suffix<'a>(&self, asked: &str, name: &'a str) -> Option<Suffix<'a>> {
        let suffix = Suffix::of(name)?;
        let known = self.rules.iter().any(|rule| rule.names(asked) || rule.names(name));
        (!known).then_some(suffix)
    }
}

fn without_model(asked: &Asked<'_>, providers: &[Arc<Provider>]) -> Result<usize, NoRoute> {
    let face = asked.dialect.face();
    let Some(index) = asked.provider else {
        let found = providers.iter().position(|provider| provider.face(face).is_some());
        return found.ok_or(match providers {
            [] => NoRoute::NoProvider,
            _ => NoRoute::NoFace { provider: None, dialect: asked.dialect },
        });
    };
    let provider = providers.get(index).ok_or(NoRoute::NoProvider)?;
    match provider.face(face) {
        Some(_) => Ok(index),
        None => Err(NoRoute::NoFace { provider: Some(provider.name.clone()), dialect: asked.dialect }),
    }
}

/// The provider that no rule was needed for, and its name of the model, suffix included.
fn pick<'a>(asked: &Asked<'a>, providers: &[Arc<Provider>]) -> Result<(usize, &'a str), NoRoute> {
    let model = asked.model;
    if let Some(index) = asked.provider {
        return Ok((index, model));
    }
    if let Some((first, rest)) = model.split_once('/')
        && !rest.is_empty()
        && let Some(index) = providers.iter().position(|provider| provider.name == first)
    {
        return Ok((index, rest));
    }
    if let [_] = providers {
        return Ok((0, model));
    }
    family::owner(model, providers).map(|index| (index, model)).ok_or_else(|| match providers {
        [] => NoRoute::NoProvider,
        _ => NoRoute::UnknownModel {
            model: model.to_owned(),
            providers: providers.iter().map(|provider| provider.name.clone()).collect(),
        },
    })
}
