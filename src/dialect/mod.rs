//! The wire languages: which one a request speaks ([`endpoint`]), how each says an error ([`error`]) and lists models
//! ([`models`]), and what each reports as used ([`usage`]).
//!
//! Different dialects meet at a narrow waist ([`turn`]): each has a folder with a reader and a writer for requests, answers
//! and errors. Between an answer's reader and its writer stands the [`sequencer`].

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod arguments;
pub mod chat;
pub mod chores;
pub mod completions;
pub mod endpoint;
pub mod error;
pub mod failure;
pub mod ids;
pub mod loss;
pub mod messages;
pub mod models;
pub mod opening;
pub mod pairing;
pub mod profile;
pub mod raw;
pub mod schema;
pub mod sequencer;
pub mod think_tags;
pub mod translate;
pub mod turn;
pub mod usage;

/// A wire language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI Chat Completions, and the rest of OpenAI's older API.
    Chat,
    /// OpenAI Responses.
    Responses,
    /// Anthropic Messages.
    Messages,
}

/// A base URL's side of a provider: which family of dialects it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Face {
    /// Chat Completions, Responses, and the rest of OpenAI's API.
    OpenAi,
    /// Messages.
    Anthropic,
}

impl Dialect {
    /// The face on which it is spoken.
    pub fn face(self) -> Face {
        match self {
            Self::Chat | Self::Responses => Face::OpenAi,
            Self::Messages => Face::Anthropic,
        }
    }

    /// What shows a client between two events that its stream goes on. OpenAI's clients take anything but a comment for a
    /// part of the answer.
    pub fn ping(self) -> &'static [u8] {
        match self {
            Self::Chat | Self::Responses => b": ping\n\n",
            Self::Messages => b"event: ping\ndata: {\"type\":\"ping\"}\n\n",
        }
    }

    /// Log name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Messages => "messages",
        }
    }
}
