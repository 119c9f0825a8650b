//! A rule, and what its targets make of a request.

use super::features::Feature;
use super::pattern::Pattern;
use super::plan::{Asked, Candidate};
use super::strategy::Strategy;
use crate::config::provider::Provider;
use crate::dialect::{Dialect, Face};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub pattern: Pattern,
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// In which order the targets are tried, if the rule says so.
    pub strategy: Option<Strategy>,
    /// At least one.
    pub targets: Vec<Target>,
}

impl Rule {
    pub fn matches(&self, asked: &Asked<'_>) -> bool {
        self.conditions.iter().all(|condition| condition.holds(asked)) && self.pattern.matches(asked.model)
    }

    /// Whether it fits, as far as can be said without a look into the body.
    pub fn may_match(&self, asked: &Asked<'_>) -> bool {
        let seen = |condition: &&Condition| !condition.looks_inside();
        self.conditions.iter().filter(seen).all(|condition| condition.holds(asked)) && self.pattern.matches(asked.model)
    }

    /// Whether a look into the body is needed to say if it fits.
    pub fn looks_inside(&self) -> bool {
        self.conditions.iter().any(|condition| condition.looks_inside())
    }

    /// In which order the targets are tried: as the rule says, else as is usual, else by the weights that it gives.
    pub fn strategy(&self, usual: Option<Strategy>) -> Strategy {
        let has_weights = self.targets.iter().any(|target| target.weight != 1);
        let implied = if has_weights { Strategy::Weight } else { Strategy::Order };
        self.strategy.or(usual).unwrap_or(implied)
    }

    /// Whether the rule says that a model has exactly this name.
    pub fn names(&self, model: &str) -> bool {
        self.pattern.literal() == Some(model)
            || self.targets.iter().any(|target| target.model.as_deref() == Some(model))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Api(Dialect),
    Stream,
    Holds(Feature),
    TokensOver(u64),
}

impl Condition {
    fn holds(self, asked: &Asked<'_>) -> bool {
        match self {
            Self::Api(dialect) => dialect == asked.dialect,
            Self::Stream => asked.stream,
            Self::Holds(feature) => asked.features.holds.has(feature),
            Self::TokensOver(bound) => asked.features.tokens > bound,
        }
    }

    /// Whether it is about the body, but for what is seen of every body.
    fn looks_inside(self) -> bool {
        match self {
            Self::Api(_) | Self::Stream => false,
            Self::Holds(_) | Self::TokensOver(_) => true,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Index among the active providers.
    pub provider: usize,
    /// The provider's name.
    pub name: String,
    pub faces: Faces,
    /// The upstream's name of the model; `None` keeps the client's.
    pub model: Option<String>,
    /// The face that the rule insists on.
    pub face: Option<Force>,
    pub weight: u32,
}

impl Target {
    /// What this target makes of a request for `model`; `suffix` is set if that name may end in one.
    pub fn candidate<'a>(&'a self, model: &'a str, suffix: Option<Suffix<'a>>, client: Dialect) -> Candidate<'a> {
        let wanted = Wanted { provider: self.provider, faces: self.faces, model, suffix };
        let (dialect, weight) = (self.faces.spoken(self.face, client), self.weight);
        match (&self.model, self.face) {
            (Some(model), _) => Candidate { provider: self.provider, model, dialect, weight },
            // A suffix is taken off, but the rule decides.
            (None, Some(_)) => Candidate { dialect, weight, ..wanted.candidate(client) },
            (None, None) => Candidate { weight, ..wanted.candidate(client) },
        }
    }
}

/// A provider with the client's name of a model.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub provider: usize,
    pub faces: Faces,
    pub model: &'a str,
    pub suffix: Option<Suffix<'a>>,
}

impl<'a> Wanted<'a> {
    pub fn candidate(self, client: Dialect) -> Candidate<'a> {
        let Self { provider, faces, model, suffix } = self;
        match suffix.filter(|_| faces.are_both()) {
            Some(Suffix { model, face }) => {
                Candidate { provider, model, dialect: faces.spoken(Some(Force::Face(face)), client), weight: 1 }
            }
            None => Candidate { provider, model, dialect: faces.spoken(None, client), weight: 1 },
        }
    }
}

/// A name's end that picks a face, of which a provider must have both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Suffix<'a> {
    /// The name without it.
    pub model: &'a str,
    pub face: Face,
}

impl<'a> Suffix<'a> {
    pub fn of(model: &'a str) -> Option<Self> {
        let ends = [("-openai", Face::OpenAi), ("-anthropic", Face::Anthropic)];
        let mut found = ends.into_iter().filter_map(|(end, face)| Some(Self { model: model.strip_suffix(end)?, face }));
        found.next().filter(|suffix| !suffix.model.is_empty())
    }
}

/// The faces that a provider has: one at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Faces {
    openai: bool,
    anthropic: bool,
}

impl Faces {
    pub fn of(provider: &Provider) -> Self {
        Self { openai: provider.openai.is_some(), anthropic: provider.anthropic.is_some() }
    }

    pub fn has(self, face: Face) -> bool {
        match face {
            Face::OpenAi => self.openai,
            Face::Anthropic => self.anthropic,
        }
    }

    fn are_both(self) -> bool {
        self.openai && self.anthropic
    }

    /// The dialect to speak for a client: as forced; else its own, if there is a face for it, for then its bytes are
    /// not touched; else that of the other face.
    pub fn spoken(self, force: Option<Force>, client: Dialect) -> Dialect {
        let face = match force {
            Some(Force::Responses) => return Dialect::Responses,
            Some(Force::Face(face)) => face,
            None if self.has(client.face()) => client.face(),
            None if self.openai => Face::OpenAi,
            None => Face::Anthropic,
        };
        match face {
            _ if face == client.face() => client,
            Face::OpenAi => Dialect::Chat,
            Face::Anthropic => Dialect::Messages,
        }
    }
}

/// A choice that somebody made for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Force {
    /// This face, in the client's dialect if it is the client's face.
    Face(Face),
    /// The OpenAI face, in Responses.
    Responses,
}

impl Force {
    pub fn face(self) -> Face {
        match self {
            Self::Face(face) => face,
            Self::Responses => Face::OpenAi,
        }
    }
}
