//! Claude Code's chores: small requests beside the conversation that need no model. What one is, and its answer.
//!
//! A request is a chore only if all of it looks as Claude Code (1.0 to 2.1) writes it: the marks of its prompts at their
//! places, no tools, one question, no member that it does not send. Whatever is not sure is not a chore and goes to the
//! model; so does a chore whose answer is not sure.

mod asked;
mod paths;
mod prefix;
mod shell;
mod suggestion;
mod title;

use memchr::memmem;

use crate::json::Value;
use crate::limits;
use asked::Asked;

/// One kind of chore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chore {
    /// Whether the account may still ask: one token, at every start.
    Quota,
    /// Which prefix a shell command has, for the list of those that need no approval.
    Prefix,
    /// A title for the session, or for the terminal.
    Title,
    /// What the user may type next; no suggestion is an answer, too.
    Suggestion,
    /// Which files a command's output shows.
    Paths,
}

impl Chore {
    /// All of them, in the order of their names' list.
    pub const ALL: [Self; 5] = [Self::Quota, Self::Prefix, Self::Title, Self::Suggestion, Self::Paths];

    /// Its name, in `SIDESTREAM_CHORES`, the log and the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Prefix => "prefix",
            Self::Title => "title",
            Self::Suggestion => "suggestion",
            Self::Paths => "paths",
        }
    }
}

/// Those that are answered here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chores(u8);

impl Chores {
    /// `none`, `all`, or a comma list of names.
    ///
    /// # Errors
    /// A name that is none; the end of the sentence that begins with the variable.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "none" => return Ok(Self::default()),
            "all" => return Ok(Chore::ALL.into_iter().fold(Self::default(), Self::with)),
            _ => {}
        }
        text.split(',').map(str::trim).try_fold(Self::default(), |chores, name| {
            let known = Chore::ALL.into_iter().find(|chore| chore.name() == name);
            let unknown = || {
                let names = Chore::ALL.map(Chore::name).join(", ");
                format!("names {name:?}, which is no chore; write none, all, or some of {names}")
            };
            known.map(|chore| chores.with(chore)).ok_or_else(unknown)
        })
    }

    /// None is.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn with(self, chore: Chore) -> Self {
        Self(self.0 | 1 << chore as u8)
    }

    fn has(self, chore: Chore) -> bool {
        self.0 & 1 << chore as u8 != 0
    }

    /// Whether a body may be one of these, by a look at its bytes alone. `is_probe`: it asks for one token.
    pub fn may_include(self, body: &[u8], is_probe: bool) -> bool {
        let is_small = body.len() <= limits::SMALL_CHORE_BYTES_MAX;
        let says = |mark: &str| memmem::find(body, mark.as_bytes()).is_some();
        Chore::ALL.into_iter().filter(|chore| self.has(*chore)).any(|chore| match chore {
            Chore::Quota => is_probe && is_small && says(QUOTA),
            Chore::Prefix => is_small && says(prefix::MARK),
            Chore::Title => is_small && title::MARKS.into_iter().any(says),
            Chore::Suggestion => body.len() <= limits::CHORE_BYTES_MAX && says(suggestion::MARK),
            Chore::Paths => is_small && says(paths::MARK),
        })
    }

    /// What the body of a Messages request is answered with, if it is one of these.
    pub fn answer(self, body: Value<'_>) -> Option<Answer> {
        let asked = Asked::of(body)?;
        let (chore, text) = Chore::ALL.into_iter().filter(|chore| self.has(*chore)).find_map(|chore| {
            let text = match chore {
                Chore::Quota => quota(&asked),
                Chore::Prefix => prefix::answer(&asked),
                Chore::Title => title::answer(&asked),
                Chore::Suggestion => suggestion::answer(&asked),
                Chore::Paths => paths::answer(&asked),
            };
            Some((chore, text?))
        })?;
        let tokens = (text.len() as u64).div_ceil(BYTES_PER_TOKEN).max(1);
        let max = asked.max_tokens()?;
        // It would be cut, and the program wants it whole.
        if tokens > max && chore != Chore::Quota {
            return None;
        }
        Some(Answer { chore, text, tokens: tokens.min(max), is_cut: tokens >= max })
    }
}

/// What a chore is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which it is.
    pub chore: Chore,
    /// All that is said.
    pub text: String,
    /// About as many tokens.
    pub tokens: u64,
    /// It has as many tokens as were allowed.
    pub is_cut: bool,
}

/// What a token of English has on average.
const BYTES_PER_TOKEN: u64 = 4;
/// What the probe says, and nothing else.
const QUOTA: &str = "quota";

/// The answer to the probe, if it is one: what counts is that there is one.
fn quota(asked: &Asked<'_>) -> Option<String> {
    const MEMBERS: &[&str] = &["model", "max_tokens", "messages", "metadata", "stream", "temperature"];
    let is_probe = asked.has_only(MEMBERS) && asked.max_tokens() == Some(1) && asked.lone_question()? == [QUOTA];
    is_probe.then(|| "OK".to_owned())
}

#[cfg(test)]
mod tests;
