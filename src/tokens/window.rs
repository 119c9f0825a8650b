//! How much fits into models, and what clients believe. An agent compacts its conversation when it is near to the end of
//! the window that it believes in; towards a smaller one that is too late. So it is told more tokens than there are, in the
//! ratio of the windows.
//!
//! | the model's window | what a client is told |
//! |---|---|
//! | configured (`SIDESTREAM_CONTEXT`) | scaled, up or down, to what clients of the dialect believe |
//! | known here, and smaller than what they believe | scaled up |
//! | known here, and as large or larger | the real numbers |
//! | not known, or nothing is known of what the client believes | the real numbers |

use crate::dialect::Dialect;
use crate::dialect::turn::Scale;
use crate::route::matches;

/// Real windows, and those that clients believe in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Patterns of models' names, and tokens; the first that fits holds.
    real: Vec<(String, u64)>,
    chat: Option<u64>,
    responses: Option<u64>,
    messages: Option<u64>,
    /// Names make no difference then.
    messages_is_configured: bool,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            real: Vec::new(),
            chat: None,
            responses: None,
            messages: Some(MESSAGES_EXPECTED),
            messages_is_configured: false,
        }
    }
}

/// What agents that speak Messages believe of every model that they do not know better. Other clients say nothing, and are
/// told nothing but what is.
const MESSAGES_EXPECTED: u64 = 200_000;

/// What Claude Code believes of models by the names that it sends, as it reports itself (`modelUsage.contextWindow` of
/// 2.1.330, November 2026), lower case. Of names that are not Claude's it believes a million too; they are left to the
/// default, for other clients send them as well.
#[rustfmt::skip]
const BELIEVED: &[(&str, u64)] = &[
    ("*[1m]", 1_000_000),
    ("claude-3*", 200_000), ("claude-haiku-*", 200_000),
    ("claude-opus-4", 200_000), ("claude-opus-4-0*", 200_000), ("claude-opus-4-1*", 200_000), ("claude-opus-4-2025*", 200_000),
    ("claude-opus-4-5*", 200_000), ("claude-opus-4-6*", 200_000), ("claude-sonnet-4*", 200_000),
    ("claude-*", 1_000_000),
];

impl Windows {
    /// What is configured: real windows by patterns of names, and what clients of dialects believe. A dialect named there
    /// with `None` is told the real numbers.
    pub fn new(real: Vec<(String, u64)>, expected: &[(Dialect, Option<u64>)]) -> Self {
        let mut windows = Self { real, ..Self::default() };
        for (dialect, tokens) in expected {
            *windows.of(*dialect) = *tokens;
            windows.messages_is_configured |= *dialect == Dialect::Messages;
        }
        windows
    }

    /// How tokens of `model`, by its upstream's name for it, are told to a client that speaks `dialect` and calls it `asked`.
    pub fn scale(&self, asked: &str, model: &str, dialect: Dialect) -> Scale {
        let name = model.to_ascii_lowercase();
        let expected = match dialect {
            Dialect::Chat => self.chat,
            Dialect::Responses => self.responses,
            Dialect::Messages if self.messages_is_configured => self.messages,
            Dialect::Messages => {
                let asked = asked.to_ascii_lowercase();
                let believed = BELIEVED.iter().find(|(pattern, _)| matches(pattern, &asked));
                believed.map(|(_, tokens)| *tokens).or(self.messages)
            }
        };
        let configured = self.real.iter().find(|(pattern, _)| matches(pattern, model)).map(|(_, tokens)| *tokens);
        let smaller = |real: &u64| expected.is_some_and(|expected| *real < expected);
        let real = configured.or_else(|| built_in(&name).filter(smaller));
        match (expected, real) {
            (Some(expected), Some(real)) => Scale { expected, real },
            _ => Scale::default(),
        }
    }

    /// The window of a model, where it is known.
    pub fn real(&self, model: &str) -> Option<u64> {
        let configured = self.real.iter().find(|(pattern, _)| matches(pattern, model)).map(|(_, tokens)| *tokens);
        configured.or_else(|| built_in(&model.to_ascii_lowercase()))
    }

    fn of(&mut self, dialect: Dialect) -> &mut Option<u64> {
        match dialect {
            Dialect::Chat => &mut self.chat,
            Dialect::Responses => &mut self.responses,
            Dialect::Messages => &mut self.messages,
        }
    }
}

fn built_in(name: &str) -> Option<u64> {
    WINDOWS.iter().find(|(pattern, _)| matches(pattern, name)).map(|(_, tokens)| *tokens)
}

/// Vendors' windows as of November 2026, lower case; the first that fits holds. Names that move from model to model
/// (`deepseek-chat`), and models that everybody serves with a window of their own choice, are left out; so is Claude, of
/// which its clients know more than this table.
#[rustfmt::skip]
const WINDOWS: &[(&str, u64)] = &[
    ("*gpt-3.5-turbo*", 16_385), ("*gpt-4-32k*", 32_768), ("*gpt-4-turbo*", 128_000), ("*gpt-4-1106*", 128_000),
    ("*gpt-4-0125*", 128_000), ("*gpt-4o*", 128_000), ("*gpt-4.1*", 1_047_576), ("*gpt-4.5*", 128_000),
    ("gpt-4", 8_192), ("*/gpt-4", 8_192), ("gpt-4-0613", 8_192), ("*/gpt-4-0613", 8_192),
    ("*gpt-5*-chat*", 128_000), ("*gpt-oss*", 131_072),
    ("*glm-4.5v*", 65_536), ("*glm-4.5*", 131_072), ("*glm-4.6v*", 131_072), ("*glm-4.6*", 200_000),
    ("*deepseek-v3.1*", 131_072), ("*deepseek-v3.2*", 131_072),
    ("*kimi-k2-0711*", 131_072), ("*grok-3*", 131_072),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn believed_by_name() {
        let real = vec![("*".to_owned(), 32_000)];
        let windows = Windows::new(real.clone(), &[]);
        for (asked, expected) in [
            ("claude-sonnet-4-6", 200_000),
            ("claude-opus-4-20250514", 200_000),
            ("claude-opus-4-5-20251101", 200_000),
            ("claude-haiku-4-5", 200_000),
            ("claude-opus-4-8", 1_000_000),
            ("claude-sonnet-5", 1_000_000),
            ("Claude-Sonnet-4-5[1m]", 1_000_000),
            ("glm-4.6", 200_000),
        ] {
            assert_eq!(windows.scale(asked, "m", Dialect::Messages).expected, expected, "{asked}");
        }
        let told = Windows::new(real, &[(Dialect::Messages, Some(64_000))]);
        assert_eq!(told.scale("claude-opus-4-8", "m", Dialect::Messages).expected, 64_000);
    }

    #[test]
    fn scaled() {
        let none = (1, 1);
        let real = vec![("local/*".to_owned(), 32_000), ("big".to_owned(), 1_000_000), ("gpt-4o".to_owned(), 64_000)];
        let expected = [(Dialect::Chat, Some(128_000)), (Dialect::Responses, None)];
        let configured = Windows::new(real, &expected);
        for (windows, model, dialect, want) in [
            (&Windows::default(), "gpt-4o-mini", Dialect::Messages, (200_000, 128_000)),
            (&Windows::default(), "gpt-4o-mini", Dialect::Chat, none),
            (&Windows::default(), "openai/gpt-4.1", Dialect::Messages, none),
            (&Windows::default(), "z-ai/GLM-4.5V", Dialect::Messages, (200_000, 65_536)),
            (&Windows::default(), "glm-4.6", Dialect::Messages, none),
            (&Windows::default(), "claude-sonnet-4-5", Dialect::Messages, none),
            (&Windows::default(), "qwen3:8b", Dialect::Messages, none),
            (&configured, "local/qwen3:8b", Dialect::Messages, (200_000, 32_000)),
            (&configured, "local/qwen3:8b", Dialect::Chat, (128_000, 32_000)),
            (&configured, "local/qwen3:8b", Dialect::Responses, none),
            (&configured, "big", Dialect::Messages, (200_000, 1_000_000)),
            (&configured, "gpt-4o", Dialect::Messages, (200_000, 64_000)),
            (&configured, "glm-4.5", Dialect::Chat, none),
            (&configured, "glm-4.5v", Dialect::Chat, (128_000, 65_536)),
            (&Windows::new(Vec::new(), &[(Dialect::Messages, None)]), "gpt-4o", Dialect::Messages, none),
        ] {
            let Scale { expected, real } = windows.scale("asked", model, dialect);
            assert_eq!((expected, real), want, "{model} {}", dialect.name());
        }
    }

    #[test]
    fn told() {
        let scale = Scale { expected: 200_000, real: 65_536 };
        assert_eq!((scale.told(65_536), scale.told(1), scale.told(0)), (200_000, 3, 0));
        assert_eq!(Scale { expected: 200_000, real: 1_000_000 }.told(2), 1);
    }
}
