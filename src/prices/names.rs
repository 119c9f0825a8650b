//! Under which names a model may be listed. What is taken off a name adds nothing to the price: who made the model, and
//! which of its versions this is. The rest of a name stays, for every word of it may be another price.

use crate::limits::MODEL_BYTES_MAX;

/// A name in small letters, for vendors do not agree on them. `None` if it is longer than any that is served.
pub(super) fn lower<'b>(name: &str, buffer: &'b mut [u8; MODEL_BYTES_MAX]) -> Option<&'b str> {
    copy(name, buffer, |byte| byte.to_ascii_lowercase())
}

fn copy<'b>(name: &str, buffer: &'b mut [u8; MODEL_BYTES_MAX], byte: impl Fn(u8) -> u8) -> Option<&'b str> {
    let copy = buffer.get_mut(..name.len())?;
    copy.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = byte(from));
    str::from_utf8(copy).ok()
}

/// The names of `model` at `provider`, the fullest first.
pub(super) fn of<'m>(provider: &str, model: &'m str) -> impl Iterator<Item = &'m str> {
    let fronts = std::iter::successors(Some(model), move |name| without_prefix(provider, name));
    fronts.flat_map(|name| std::iter::successors(Some(name), |name| without_suffix(name)))
}

/// What stands before a model's name, by the provider that lists it without.
const PREFIXES: &[(&str, &[&str])] = &[
    ("deepseek", &["deepseek-ai/"]),
    ("fireworks", &["accounts/fireworks/models/", "accounts/fireworks/routers/"]),
    ("gemini", &["models/", "google/"]),
    ("mistral", &["mistralai/"]),
    ("moonshot", &["moonshotai/"]),
    ("xai", &["x-ai/"]),
    ("zai", &["z-ai/", "zai-org/"]),
];

fn without_prefix<'m>(provider: &str, name: &'m str) -> Option<&'m str> {
    if let Some(rest) = name.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/')) {
        return Some(rest);
    }
    let (_, prefixes) = PREFIXES.iter().find(|(of, _)| *of == provider)?;
    prefixes.iter().find_map(|prefix| name.strip_prefix(prefix))
}

fn without_suffix(name: &str) -> Option<&str> {
    // A fine-tuned model costs what all costs that are tuned from the same: `ft:gpt-4o-2024-08-06:org::id`.
    if let Some(tuned) = name.strip_prefix("ft:") {
        return tuned.split_once(':').and_then(|(base, _)| name.get(.."ft:".len() + base.len()));
    }
    // How Claude Code asks for the larger window.
    name.strip_suffix("[1m]").or_else(|| SUFFIXES.iter().find_map(|shape| name.get(..shaped(name, shape)?)))
}

/// Dates and numbers of versions; `0` is any digit.
const SUFFIXES: &[&str] = &["-20000000", "@20000000", "-2000-00-00", "@2000-00-00", "-001", "-002", "-003"];

/// Where a suffix of that shape begins, if the name has one.
fn shaped(name: &str, shape: &str) -> Option<usize> {
    let start = name.len().checked_sub(shape.len()).filter(|start| *start > 0)?;
    let fits = |(byte, wanted): (u8, u8)| byte == wanted || (wanted == b'0' && byte.is_ascii_digit());
    name.bytes().skip(start).zip(shape.bytes()).all(fits).then_some(start)
}

/// Where `provider` passes on what a model's maker asks for it: the maker, and the maker's name of the model. OpenRouter
/// says so of all that it sells; it holds where nobody but the maker serves the model, so these are the closed ones.
pub(super) fn at_maker<'b>(
    provider: &str,
    model: &str,
    buffer: &'b mut [u8; MODEL_BYTES_MAX],
) -> Option<(&'static str, &'b str)> {
    const MAKERS: &[(&str, &str, &str)] = &[
        ("anthropic/", "claude-", "anthropic"),
        ("google/", "gemini-", "gemini"),
        ("openai/", "gpt-", "openai"),
        ("openai/", "o", "openai"),
        ("x-ai/", "grok-", "xai"),
    ];
    if provider != "openrouter" {
        return None;
    }
    let model = model.strip_prefix("openrouter/").unwrap_or(model);
    let (name, maker) = MAKERS.iter().find_map(|(owner, family, maker)| {
        model.strip_prefix(owner).filter(|name| name.starts_with(family)).map(|name| (name, *maker))
    })?;
    // It writes claude-sonnet-4.5 for claude-sonnet-4-5.
    let dot = if maker == "anthropic" { b'-' } else { b'.' };
    Some((maker, copy(name, buffer, |byte| if byte == b'.' { dot } else { byte })?))
}
