//! How families of models count, as a table. Read in November 2026 from the vendors' documentation and from measurements of
//! others; a model that no row names is counted with care.

use super::picture::Pictures;
use crate::dialect::Dialect;
use crate::dialect::profile::{Flag, History, Profile};
use crate::route::matches;

/// How one upstream's model counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Its tokens for a thousand of o200k's, a margin included: who is told too little compacts too late.
    pub(super) permille: u64,
    pub(super) pictures: Pictures,
    pub(super) tools: Tools,
    /// The dialect in which the request goes on: what its writer leaves out is not counted.
    pub(super) upstream: Dialect,
    /// Thoughts of earlier turns are sent along.
    pub(super) thinking: bool,
}

/// How tools look to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tools {
    /// A line for each, and for each of its properties.
    Lines,
    /// As JSON.
    Json {
        /// What a vendor writes around them, once.
        around: u64,
    },
}

impl Rules {
    /// The rules for a model, by the name that its upstream knows, behind a face that speaks `upstream`.
    pub fn of(model: &str, upstream: Dialect, profile: &Profile) -> Self {
        let name = model.to_ascii_lowercase();
        let family = FAMILIES.iter().find(|family| family.names.iter().any(|pattern| matches(pattern, &name)));
        let family = family.unwrap_or(&OTHERS);
        let translated = upstream != Dialect::Messages;
        Self {
            permille: family.permille,
            pictures: if translated && profile.has(Flag::TextOnly) { OMITTED } else { family.pictures },
            tools: family.tools,
            upstream,
            thinking: !translated || profile.history != History::Drop,
        }
    }
}

/// `[image omitted]` stands in its place.
const OMITTED: Pictures = Pictures::Flat(4);

struct Family {
    /// Lower case; vendors and regions may stand before, dates and sizes behind.
    names: &'static [&'static str],
    permille: u64,
    pictures: Pictures,
    tools: Tools,
}

/// o200k is their own table: no margin.
const OPENAI: Family =
    Family { names: &[], permille: 1000, pictures: Pictures::Tiles { base: 85, tile: 170 }, tools: Tools::Lines };

/// The table's margin alone; pictures as Claude has them, which is near to the patches of 28 × 28 of open models.
const OTHERS: Family = Family {
    names: &[],
    permille: 1150,
    pictures: Pictures::Area { edge_max: 1568, max: 1600 },
    tools: Tools::Json { around: 0 },
};

/// With tools come instructions of the vendor's, 346 tokens. The tokenizer counts 15–20 % above o200k, on code more; the
/// one since Opus 4.7 up to a third above that.
const CLAUDE: Family = Family { permille: 1300, tools: Tools::Json { around: 346 }, ..OTHERS };
const CLAUDE_NEW: Family = Family { permille: 1500, ..CLAUDE };

const fn patches(permille: u64) -> Pictures {
    Pictures::Patches { high_max: 1536, max: 1536, permille }
}

/// The first row that fits holds.
#[rustfmt::skip]
const FAMILIES: &[Family] = &[
    Family { names: &["*gpt-4o-mini*"], pictures: Pictures::Tiles { base: 2833, tile: 5667 }, ..OPENAI },
    Family { names: &["*gpt-4.1-mini*", "*gpt-5-mini*", "*gpt-5-codex-mini*", "*gpt-5.1-codex-mini*"], pictures: patches(1620), ..OPENAI },
    Family { names: &["*gpt-4.1-nano*", "*gpt-5-nano*"], pictures: patches(2460), ..OPENAI },
    Family { names: &["*o4-mini*"], pictures: patches(1720), ..OPENAI },
    Family { names: &["*gpt-5.4*", "*gpt-5.5*", "*gpt-6*"], pictures: Pictures::Patches { high_max: 2500, max: 10_000, permille: 1200 }, ..OPENAI },
    Family { names: &["*gpt-5*"], pictures: Pictures::Tiles { base: 70, tile: 140 }, ..OPENAI },
    Family { names: &["o1*", "o3*", "*/o1*", "*/o3*"], pictures: Pictures::Tiles { base: 75, tile: 150 }, ..OPENAI },
    Family { names: &["*gpt-4o*", "*gpt-4.1*", "*gpt-4.5*", "*gpt-oss*", "*codex*"], ..OPENAI },
    // The table before o200k.
    Family { names: &["*gpt-4*", "*gpt-3.5*"], permille: 1100, ..OPENAI },
    Family { names: &["*claude-opus-4-7*", "*claude-opus-4.7*", "*claude-opus-4-8*", "*claude-opus-4.8*"], pictures: Pictures::Area { edge_max: 2576, max: 4784 }, ..CLAUDE_NEW },
    Family { names: &["*claude-opus-5*", "*claude-sonnet-5*", "*claude-haiku-5*"], pictures: Pictures::Area { edge_max: 2030, max: 4000 }, ..CLAUDE_NEW },
    Family { names: &["*claude*"], ..CLAUDE },
    Family { names: &["*gemini*"], permille: 1100, pictures: Pictures::Flat(1120), ..OTHERS },
    Family { names: &["*gemma*"], permille: 1100, pictures: Pictures::Flat(256), ..OTHERS },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families() {
        for (model, permille, pictures) in [
            ("gpt-4o-2024-08-06", 1000, Pictures::Tiles { base: 85, tile: 170 }),
            ("openai/gpt-4o-mini", 1000, Pictures::Tiles { base: 2833, tile: 5667 }),
            ("ft:gpt-4.1-mini:org::id", 1000, patches(1620)),
            ("gpt-5-nano", 1000, patches(2460)),
            ("o4-mini", 1000, patches(1720)),
            ("gpt-5", 1000, Pictures::Tiles { base: 70, tile: 140 }),
            ("gpt-5.5", 1000, Pictures::Patches { high_max: 2500, max: 10_000, permille: 1200 }),
            ("o3", 1000, Pictures::Tiles { base: 75, tile: 150 }),
            ("gpt-4-turbo", 1100, Pictures::Tiles { base: 85, tile: 170 }),
            ("claude-3-5-sonnet-latest", 1300, OTHERS.pictures),
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 1300, OTHERS.pictures),
            ("anthropic/claude-opus-4.7", 1500, Pictures::Area { edge_max: 2576, max: 4784 }),
            ("claude-opus-5-5", 1500, Pictures::Area { edge_max: 2030, max: 4000 }),
            ("google/Gemini-3-pro", 1100, Pictures::Flat(1120)),
            ("GLM-4.6", 1150, OTHERS.pictures),
            ("demo1", 1150, OTHERS.pictures),
            ("", 1150, OTHERS.pictures),
        ] {
            let rules = Rules::of(model, Dialect::Chat, &Profile::default());
            assert_eq!((rules.permille, rules.pictures), (permille, pictures), "{model}");
        }
    }

    #[test]
    fn what_is_sent_along() {
        for (profile, upstream, thinking, pictures) in [
            ("plain", Dialect::Chat, false, OTHERS.pictures),
            ("plain", Dialect::Messages, true, OTHERS.pictures),
            ("deepseek", Dialect::Chat, true, OMITTED),
            ("deepseek", Dialect::Messages, true, OTHERS.pictures),
        ] {
            let rules = Rules::of("m", upstream, &Profile::parse(profile).unwrap());
            assert_eq!((rules.thinking, rules.pictures), (thinking, pictures), "{profile} {upstream:?}");
        }
    }
}
