//! `SIDESTREAM_CONTEXT` and `SIDESTREAM_EXPECTED_CONTEXT`: windows of models, and what clients believe.

use super::value::{self, Wrong};
use crate::dialect::Dialect;

/// A comma list of `model:tokens`; names may hold `*` and colons.
pub(super) fn real(text: &str) -> Result<Vec<(String, u64)>, Wrong> {
    let entries = text.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty());
    let entry = |entry: &str| match entry.rsplit_once(':') {
        Some((model, number)) if !model.trim().is_empty() => Ok((model.trim().to_owned(), tokens(number.trim())?)),
        _ => Err(format!("holds {entry:?}; write model:tokens, e.g. qwen3*:32k, gpt-oss:128000")),
    };
    entries.map(entry).collect()
}

/// A comma list of `dialect:tokens`; `off` instead of the tokens, or of the list, for no scaling.
pub(super) fn expected(text: &str) -> Result<Vec<(Dialect, Option<u64>)>, Wrong> {
    const DIALECTS: [Dialect; 3] = [Dialect::Chat, Dialect::Responses, Dialect::Messages];
    if text == "off" {
        return Ok(DIALECTS.map(|dialect| (dialect, None)).to_vec());
    }
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let entry = |entry: &str| {
        let (name, number) = entry.split_once(':').map_or((entry, ""), |(name, number)| (name.trim(), number.trim()));
        let dialect = DIALECTS.into_iter().find(|dialect| dialect.name() == name);
        let dialect = dialect.ok_or_else(|| {
            format!("holds {entry:?}; write chat, responses or messages, a colon and tokens, e.g. messages:200k")
        })?;
        Ok((dialect, if number == "off" { None } else { Some(tokens(number)?) }))
    };
    entries.map(entry).collect()
}

fn tokens(text: &str) -> Result<u64, Wrong> {
    /// Smaller windows hold no request of an agent; larger ones have nobody.
    const SANE: std::ops::RangeInclusive<u64> = 1_000..=1_000_000_000;
    value::token_count(text)
        .filter(|number| SANE.contains(number))
        .ok_or_else(|| format!("holds {text:?}, which is no number of tokens from 1000 up; write 200000, 128k or 1m"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Source};
    use crate::dialect::turn::Scale;

    #[test]
    fn windows_of_models() {
        for (text, want) in [
            ("gpt-oss:128k", Some(vec![("gpt-oss", 128_000)])),
            (
                " llama3.1:8b:131072 , qwen*:1M,\n openrouter/x:free : 32000,",
                Some(vec![("llama3.1:8b", 131_072), ("qwen*", 1_000_000), ("openrouter/x:free", 32_000)]),
            ),
            ("", Some(vec![])),
            ("gpt-oss", None),
            (":128k", None),
            ("gpt-oss:", None),
            ("gpt-oss:k", None),
            ("gpt-oss:1.5m", None),
            ("gpt-oss:0", None),
            ("gpt-oss:-5000", None),
            ("gpt-oss:99999999999999999999", None),
            ("gpt-oss:99999999999999999m", None),
            ("llama3.1:8b", None),
        ] {
            let want = want.map(|list| list.into_iter().map(|(name, tokens)| (name.to_owned(), tokens)).collect());
            assert_eq!(real(text).ok(), want, "{text:?}");
        }
    }

    #[test]
    fn what_clients_believe() {
        use Dialect::{Chat, Messages, Responses};
        for (text, want) in [
            ("messages:200000", Some(vec![(Messages, Some(200_000))])),
            ("chat:128k, messages : off", Some(vec![(Chat, Some(128_000)), (Messages, None)])),
            ("off", Some(vec![(Chat, None), (Responses, None), (Messages, None)])),
            ("", Some(vec![])),
            ("200000", None),
            ("messages", None),
            ("claude:200000", None),
            ("messages:many", None),
        ] {
            assert_eq!(expected(text).ok(), want, "{text:?}");
        }
    }

    #[test]
    fn read_into_the_configuration() {
        let read = |variables: &[(&str, &str)]| {
            let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
            Config::read(&Source::of(variables)).map_err(|problems| problems.iter().map(ToString::to_string).collect())
        };
        let config = read(&[("SIDESTREAM_CONTEXT", "qwen*:32k"), ("SIDESTREAM_EXPECTED_CONTEXT", "chat:64k")]).unwrap();
        for (dialect, expected) in [(Dialect::Messages, 200_000), (Dialect::Chat, 64_000)] {
            assert_eq!(config.windows.scale("m", "qwen3:8b", dialect), Scale { expected, real: 32_000 });
        }
        assert_eq!(config.windows.scale("m", "qwen3:8b", Dialect::Responses), Scale::default());
        let problems: Vec<String> =
            read(&[("SIDESTREAM_CONTEXT", "qwen"), ("SIDESTREAM_EXPECTED_CONTEXT", "x:1k")]).unwrap_err();
        assert!(
            problems[0].starts_with("SIDESTREAM_CONTEXT=\"qwen\" holds \"qwen\"; write model:tokens"),
            "{problems:?}"
        );
        assert!(problems[1].starts_with("SIDESTREAM_EXPECTED_CONTEXT="), "{problems:?}");
    }
}
