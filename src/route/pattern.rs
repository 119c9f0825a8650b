//! Model names with `*`.

use std::fmt;

use super::grammar;

/// A model name in which each `*` stands for any run of characters, also an empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
}

impl Pattern {
    /// Reads a pattern from the front of a rule: quoted, or up to white space, `[`, `,` or `->`. Gives the rest of the
    /// rule.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(rule: &str) -> Result<(Self, &str), &'static str> {
        let end = rule.find(ends_bare).unwrap_or(rule.len());
        let end = rule.find(ARROW).map_or(end, |arrow| arrow.min(end));
        if end == 0 {
            return Err("has no pattern before `->`");
        }
        let (text, rest) = grammar::name(rule, end)?;
        Ok((Self { text: text.to_owned() }, rest))
    }

    /// Whether `name` fits.
    pub fn matches(&self, name: &str) -> bool {
        matches(&self.text, name)
    }

    /// The one name that fits, if it has no `*`.
    pub fn literal(&self) -> Option<&str> {
        Some(self.text.as_str()).filter(|text| !text.contains('*'))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        grammar::write_name(f, &self.text, self.text.contains(ends_bare) || self.text.contains(ARROW))
    }
}

/// Whether `name` fits `pattern`. Only the last `*` is ever reconsidered, so the time is bounded by the product of the
/// lengths, and close to their sum in practice.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where to resume if the current reading of the last `*` fails: behind it, one byte further in the name.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                retry = Some((p, n + 1));
            }
            Some(byte) if name.get(n) == Some(byte) => (p, n) = (p + 1, n + 1),
            _ => match retry {
                Some((after, next)) => {
                    (p, n) = (after, next);
                    retry = Some((after, next + 1));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

const ARROW: &str = "->";

/// What ends a pattern without quotes, beside the arrow; `;` separates rules.
fn ends_bare(c: char) -> bool {
    c.is_whitespace() || matches!(c, '[' | ',' | ';')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, name, want) in [
            ("*", "", true),
            ("*", "anything", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("a", "", false),
            ("claude-*", "claude-3", true),
            ("claude-*", "claude-", true),
            ("claude-*", "gpt", false),
            ("*haiku*", "claude-3-haiku-x", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-cd", false),
            ("**", "x", true),
            ("*aab", "aaab", true),
            ("?", "x", false),
            ("é*", "één", true),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern:?} {name}");
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let (pattern, name) = ("a*".repeat(200) + "b", "a".repeat(512));
        assert!(!matches(&pattern, &name));
    }

    #[test]
    fn a_pattern_ends_where_the_rule_goes_on() {
        for (rule, text, rest) in [
            ("a->b", "a", "->b"),
            ("a -> b", "a", " -> b"),
            ("a--> b", "a-", "-> b"),
            ("a[x] -> b", "a", "[x] -> b"),
            ("a,b -> c", "a", ",b -> c"),
            ("\"a[1m] b\" -> c", "a[1m] b", " -> c"),
            ("\"a->b\"->c", "a->b", "->c"),
        ] {
            assert_eq!(Pattern::parse(rule).unwrap(), (Pattern { text: text.into() }, rest));
        }
    }
}
