//! Model names with `*`.

/// A model name in which each `*` stands for any run of characters, also an empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
}

impl Pattern {
    /// Reads a pattern from the front of a rule: quoted, or up to white space, `[` or `->`. Gives the rest of the rule.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(rule: &str) -> Result<(Self, &str), String> {
        if let Some(quoted) = rule.strip_prefix('"') {
            let (text, rest) = quoted.split_once('"').ok_or_else(|| "lacks the closing quote".to_owned())?;
            return Ok((Self { text: text.to_owned() }, rest));
        }
        let end = rule.find(|c: char| c.is_whitespace() || c == '[').unwrap_or(rule.len());
        let end = rule.find("->").map_or(end, |arrow| arrow.min(end));
        match rule.split_at(end) {
            ("", _) => Err("has no pattern before `->`".to_owned()),
            (text, rest) => Ok((Self { text: text.to_owned() }, rest)),
        }
    }

    /// Whether `name` fits. Linear in practice: only the last `*` is ever reconsidered.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.text.as_bytes(), name.as_bytes());
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
        ] {
            let pattern = Pattern { text: pattern.into() };
            assert_eq!(pattern.matches(name), want, "{pattern:?} {name}");
        }
    }

    #[test]
    fn a_pattern_ends_where_the_rule_goes_on() {
        for (rule, text, rest) in [
            ("a->b", "a", "->b"),
            ("a -> b", "a", " -> b"),
            ("a[x] -> b", "a", "[x] -> b"),
            ("\"a[1m] b\" -> c", "a[1m] b", " -> c"),
        ] {
            assert_eq!(Pattern::parse(rule).unwrap(), (Pattern { text: text.into() }, rest));
        }
    }
}
