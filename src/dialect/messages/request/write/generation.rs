//! What generations of models accept. One table, by the names that Anthropic and those who resell its models use.

use crate::dialect::turn::Effort;

/// What a model accepts.
#[derive(Debug, PartialEq, Eq)]
pub struct Generation {
    /// Families of the name, empty for any, and the first version.
    from: (&'static [&'static str], u8, u8),
    /// The most tokens of an answer.
    pub max_tokens: u64,
    /// How it is told to think.
    pub thinks: Thinks,
    /// The efforts it knows, from the least.
    pub efforts: &'static [Effort],
    accepts: &'static [Accepts],
}

/// How a model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thinks {
    /// It cannot.
    Never,
    /// `enabled`, with a budget.
    Budget,
    /// `adaptive`, with an effort.
    Adaptive,
    /// The same, and it cannot be told not to.
    Always,
}

/// What not all models accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts {
    /// `temperature`, `top_p`, `top_k`.
    Sampling,
    /// A last turn of the assistant, which the answer continues.
    Prefill,
    /// `role: "system"` among the messages.
    SystemTurns,
    /// `output_config.format`, and `strict` tools.
    Schemas,
    /// Thoughts in a turn that began without.
    LateThoughts,
}

use Accepts::{LateThoughts, Prefill, Sampling, Schemas, SystemTurns};
use Effort::{High, Low, Max, Medium, XHigh};

const TO_MAX: &[Effort] = &[Low, Medium, High, XHigh, Max];

/// As of November 2026, from the model overview and migration guides. The first row that fits holds. A model that is newer
/// than the table is taken for the newest of it. A limit that is too low does no harm where the client gives its own.
#[rustfmt::skip]
const TABLE: &[Generation] = &[
    row((&["fable", "mythos"], 0, 0), 128_000, Thinks::Always,   TO_MAX, &[Schemas, LateThoughts]),
    row((&["opus"], 4, 8),            128_000, Thinks::Adaptive, TO_MAX, &[SystemTurns, Schemas, LateThoughts]),
    row((&["opus"], 4, 7),            128_000, Thinks::Adaptive, TO_MAX, &[Schemas, LateThoughts]),
    row((&[], 5, 0),                   64_000, Thinks::Adaptive, TO_MAX, &[Schemas, LateThoughts]),
    row((&["opus"], 4, 6),            128_000, Thinks::Adaptive, &[Low, Medium, High, Max], &[Sampling, Schemas, LateThoughts]),
    row((&[], 4, 6),                   64_000, Thinks::Adaptive, &[Low, Medium, High], &[Sampling, Schemas, LateThoughts]),
    row((&[], 4, 5),                   64_000, Thinks::Budget,   &[], &[Sampling, Prefill, Schemas]),
    row((&["opus"], 4, 0),             32_000, Thinks::Budget,   &[], &[Sampling, Prefill]),
    row((&[], 3, 7),                   64_000, Thinks::Budget,   &[], &[Sampling, Prefill]),
    row((&[], 3, 5),                    8_192, Thinks::Never,    &[], &[Sampling, Prefill]),
    row((&[], 0, 0),                    4_096, Thinks::Never,    &[], &[Sampling, Prefill]),
];

/// Other vendors' models behind Messages: they think by budget, as Claude did when that was all there was.
const OTHER: Generation = row((&[], 0, 0), 8_192, Thinks::Budget, &[], &[Sampling, Prefill, LateThoughts]);

const fn row(
    from: (&'static [&'static str], u8, u8),
    max_tokens: u64,
    thinks: Thinks,
    efforts: &'static [Effort],
    accepts: &'static [Accepts],
) -> Generation {
    Generation { from, max_tokens, thinks, efforts, accepts }
}

impl Generation {
    /// The generation of a model's name: `claude-sonnet-4-5-20250929`, `anthropic/claude-opus-4.8`,
    /// `eu.anthropic.claude-3-7-sonnet-20250219-v1:0`.
    pub fn of(model: &str) -> &'static Self {
        let name = model.to_ascii_lowercase();
        let Some((_, name)) = name.rsplit_once("claude") else { return &OTHER };
        let words = || name.split(|c: char| !c.is_ascii_alphanumeric());
        // Versions have one or two digits, dates eight; in `v1` and the like a letter stands before them.
        let mut numbers = words().filter(|word| word.len() <= 2).map_while(|word| match word.is_empty() {
            true => Some(None),
            false => word.parse::<u8>().ok().map(Some),
        });
        let mut number = || numbers.find_map(|number| number);
        let version = (number().unwrap_or_default(), number().unwrap_or_default());
        let fits = |row: &&Self| {
            let (families, major, minor) = row.from;
            version >= (major, minor) && (families.is_empty() || words().any(|word| families.contains(&word)))
        };
        TABLE.iter().find(fits).unwrap_or(&OTHER)
    }

    /// Whether it accepts that.
    pub fn accepts(&self, what: Accepts) -> bool {
        self.accepts.contains(&what)
    }

    /// The effort it knows that is nearest to what is wanted, and no more than that unless it knows no less.
    pub fn effort(&self, wanted: Effort) -> Option<Effort> {
        let below = self.efforts.iter().rev().find(|known| **known <= wanted);
        below.or(self.efforts.first()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name() {
        #[rustfmt::skip]
        let table = [
            ("claude-3-haiku-20240307",                          4_096,   Thinks::Never),
            ("claude-2.1",                                       4_096,   Thinks::Never),
            ("claude-3-5-sonnet-latest",                         8_192,   Thinks::Never),
            ("eu.anthropic.claude-3-7-sonnet-20250219-v1:0",     64_000,  Thinks::Budget),
            ("claude-sonnet-4-20250514",                         64_000,  Thinks::Budget),
            ("claude-sonnet-4@20250514",                         64_000,  Thinks::Budget),
            ("claude-opus-4-1-20250805",                         32_000,  Thinks::Budget),
            ("anthropic/claude-haiku-4.5",                       64_000,  Thinks::Budget),
            ("claude-opus-4-5-20251101",                         64_000,  Thinks::Budget),
            ("claude-sonnet-4-6",                                64_000,  Thinks::Adaptive),
            ("claude-opus-4-6[1m]",                              128_000, Thinks::Adaptive),
            ("claude-opus-4-8",                                  128_000, Thinks::Adaptive),
            ("claude-opus-5",                                    128_000, Thinks::Adaptive),
            ("claude-sonnet-5-20260601",                         64_000,  Thinks::Adaptive),
            ("claude-haiku-6-1",                                 64_000,  Thinks::Adaptive),
            ("claude-fable-5",                                   128_000, Thinks::Always),
            ("glm-5.3",                                          8_192,   Thinks::Budget),
            ("",                                                 8_192,   Thinks::Budget),
        ];
        for (name, max_tokens, thinks) in table {
            let generation = Generation::of(name);
            assert_eq!((generation.max_tokens, generation.thinks), (max_tokens, thinks), "{name}");
        }
        assert!(Generation::of("claude-opus-4-8").accepts(SystemTurns));
        assert!(!Generation::of("claude-opus-4-7").accepts(SystemTurns));
        assert!(
            !Generation::of("claude-opus-4-7").accepts(Sampling) && Generation::of("claude-opus-4-6").accepts(Sampling)
        );
        assert!(
            !Generation::of("claude-sonnet-4-6").accepts(Prefill)
                && Generation::of("claude-sonnet-4-5").accepts(Prefill)
        );
    }

    #[test]
    fn efforts() {
        let effort = |model: &str, wanted| Generation::of(model).effort(wanted);
        assert_eq!(effort("claude-opus-4-6", XHigh), Some(High));
        assert_eq!(effort("claude-opus-4-6", Max), Some(Max));
        assert_eq!(effort("claude-sonnet-4-6", Max), Some(High));
        assert_eq!(effort("claude-opus-4-8", Effort::Minimal), Some(Low));
        assert_eq!(effort("claude-sonnet-4-5", High), None);
    }
}
