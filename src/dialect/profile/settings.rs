//! A profile in words: a name, and settings after commas.

use super::flags::FLAGS;
use super::{Efforts, Flag, History, Limit, Prefill, Profile, Reasoning, table};
use crate::dialect::turn::Effort;

/// One change of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    Flag(Flag, bool),
    Limit(Limit),
    OutputMax(u64),
    StopMax(usize),
    Reasoning(Reasoning),
    Efforts(Efforts),
    History(History),
    Prefill(Prefill),
    /// Fields of the top level that go upstream as they stand.
    Pass(Vec<String>),
}

/// The settings that are no flags, and what each means.
pub const VALUES: &[(&str, &str)] = &[
    ("limit", "the field that bounds the answer"),
    ("output_max", "the most tokens of an answer that may be asked for; a client's wish is cut to it"),
    ("stop_max", "the most texts that may end an answer; the first ones are sent"),
    ("reasoning", "how the server is told whether to think"),
    ("efforts", "the values of `reasoning_effort` that it takes, joined with `+`"),
    ("history", "what becomes of earlier thoughts"),
    ("prefill", "how it is told to continue the last message, where that is the model's"),
    ("pass", "fields of a request's top level, unknown here, that go upstream as they stand, joined with `+`"),
];

const LIMITS: &[(&str, Limit)] =
    &[("max_tokens", Limit::MaxTokens), ("max_completion_tokens", Limit::MaxCompletionTokens)];
const REASONINGS: &[(&str, Reasoning)] = &[
    ("never", Reasoning::Never),
    ("effort", Reasoning::Effort),
    ("thinking", Reasoning::Thinking),
    ("template_enable_thinking", Reasoning::TemplateEnableThinking),
    ("template_thinking", Reasoning::TemplateThinking),
    ("object", Reasoning::Object),
    ("enable_thinking", Reasoning::EnableThinking),
];
const HISTORIES: &[(&str, History)] = &[
    ("drop", History::Drop),
    ("reasoning_content", History::ReasoningContent),
    ("reasoning", History::Reasoning),
    ("reasoning_details", History::ReasoningDetails),
    ("think_tags", History::ThinkTags),
];
const PREFILLS: &[(&str, Prefill)] = &[
    ("plain", Prefill::Plain),
    ("continue_final_message", Prefill::ContinueFinalMessage),
    ("prefix", Prefill::Prefix),
    ("partial", Prefill::Partial),
];

/// The values that a setting takes, if they can be named.
pub fn choices(name: &str) -> Vec<&'static str> {
    fn names<T>(table: &'static [(&'static str, T)]) -> Vec<&'static str> {
        table.iter().map(|(name, _)| *name).collect()
    }
    match name {
        "limit" => names(LIMITS),
        "reasoning" => names(REASONINGS),
        "history" => names(HISTORIES),
        "prefill" => names(PREFILLS),
        _ => Vec::new(),
    }
}

/// A profile as it is written.
pub(super) fn profile(text: &str) -> Result<Profile, String> {
    let mut words = text.split(',').map(str::trim);
    let name = words.next().unwrap_or_default();
    let mut profile = table::row(name).ok_or_else(|| {
        let names: Vec<_> = table::all().iter().map(|profile| profile.name).collect();
        format!("names no profile; {}write one of {}", meant(name, &names), names.join(", "))
    })?;
    for word in words.filter(|word| !word.is_empty()) {
        let setting = setting(word)?;
        setting.apply(&mut profile);
        profile.settings.push(setting);
    }
    Ok(profile)
}

fn setting(word: &str) -> Result<Setting, String> {
    let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name.trim(), Some(value.trim())));
    if let Some((flag, ..)) = FLAGS.iter().find(|(_, known, _)| *known == name) {
        return match value {
            None | Some("on") => Ok(Setting::Flag(*flag, true)),
            Some("off") => Ok(Setting::Flag(*flag, false)),
            Some(_) => Err(format!("has {name} neither on nor off; write {name} or {name}=off")),
        };
    }
    let number = || value.and_then(|value| value.parse().ok()).filter(|number: &u32| *number > 0);
    let no_number = || format!("has no number for {name}; write e.g. {name}=4");
    match name {
        "limit" => one_of(name, value, LIMITS).map(Setting::Limit),
        "reasoning" => one_of(name, value, REASONINGS).map(Setting::Reasoning),
        "history" => one_of(name, value, HISTORIES).map(Setting::History),
        "prefill" => one_of(name, value, PREFILLS).map(Setting::Prefill),
        "output_max" => number().map(|number| Setting::OutputMax(number.into())).ok_or_else(no_number),
        "stop_max" => number().map(|number| Setting::StopMax(number as usize)).ok_or_else(no_number),
        "efforts" => efforts(value.unwrap_or_default()).map(Setting::Efforts),
        "pass" => {
            Ok(Setting::Pass(value.unwrap_or_default().split('+').map(|field| field.trim().to_owned()).collect()))
        }
        _ => {
            let names = FLAGS.iter().map(|(_, name, _)| *name).chain(VALUES.iter().map(|(name, _)| *name));
            Err(format!(
                "has the unknown setting {name}; {}docs/profiles.md lists them",
                meant(name, &names.collect::<Vec<_>>())
            ))
        }
    }
}

fn one_of<T: Copy>(name: &str, value: Option<&str>, table: &'static [(&'static str, T)]) -> Result<T, String> {
    let found = table.iter().find(|(known, _)| Some(*known) == value).map(|(_, found)| *found);
    found.ok_or_else(|| {
        let names: Vec<_> = table.iter().map(|(name, _)| *name).collect();
        format!("has no such value for {name}; write {name}= and one of {}", names.join(", "))
    })
}

fn efforts(value: &str) -> Result<Efforts, String> {
    let named: Option<Vec<_>> =
        value.split('+').map(str::trim).filter(|name| !name.is_empty()).map(Effort::of).collect();
    named.map(|efforts| Efforts::of(&efforts)).ok_or_else(|| {
        "has an unknown effort; write e.g. efforts=low+medium+high, of none, minimal, low, medium, high, xhigh, max"
            .into()
    })
}

/// A hint at the name that was probably meant.
fn meant(written: &str, names: &[&str]) -> String {
    let nearest = names.iter().map(|name| (strsim::osa_distance(name, written), name)).min();
    let near = nearest.filter(|(distance, name)| *distance * 3 <= name.len().max(written.len()));
    near.map(|(_, name)| format!("did you mean {name}? ")).unwrap_or_default()
}

impl Setting {
    pub(super) fn apply(&self, profile: &mut Profile) {
        match self {
            Self::Flag(flag, on) => profile.flags.set(*flag, *on),
            Self::Limit(limit) => profile.limit = *limit,
            Self::OutputMax(most) => profile.output_max = Some(*most),
            Self::StopMax(most) => profile.stop_max = *most,
            Self::Reasoning(reasoning) => profile.reasoning = *reasoning,
            Self::Efforts(efforts) => profile.efforts = *efforts,
            Self::History(history) => profile.history = *history,
            Self::Prefill(prefill) => profile.prefill = *prefill,
            // Read where it stands.
            Self::Pass(_) => {}
        }
    }
}

/// What a profile has for a setting, as it would be written; `None` for none, or no such setting.
pub fn shown(profile: &Profile, name: &str) -> Option<String> {
    fn named<T: PartialEq>(table: &[(&'static str, T)], value: &T) -> Option<String> {
        table.iter().find(|(_, known)| known == value).map(|(name, _)| (*name).to_owned())
    }
    let value = match name {
        "limit" => named(LIMITS, &profile.limit),
        "reasoning" => named(REASONINGS, &profile.reasoning),
        "history" => named(HISTORIES, &profile.history),
        "prefill" => named(PREFILLS, &profile.prefill),
        "output_max" => profile.output_max.map(|most| most.to_string()),
        "stop_max" => Some(profile.stop_max).filter(|most| *most < usize::MAX).map(|most| most.to_string()),
        "efforts" => Some(profile.efforts.iter().map(Effort::name).collect::<Vec<_>>().join("+")),
        _ => {
            let (flag, ..) = FLAGS.iter().find(|(_, known, _)| *known == name)?;
            Some(if profile.has(*flag) { "on" } else { "off" }.to_owned())
        }
    }?;
    Some(format!("{name}={value}"))
}

/// The settings that make a profile of the plain one.
pub fn difference(profile: &Profile) -> Vec<String> {
    let plain = table::plain();
    let names = FLAGS.iter().map(|(_, name, _)| *name).chain(VALUES.iter().map(|(name, _)| *name));
    names
        .filter_map(|name| shown(profile, name).filter(|setting| shown(&plain, name).as_ref() != Some(setting)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read() {
        for profile in table::all() {
            let written = std::iter::once("plain".to_owned()).chain(difference(&profile)).collect::<Vec<_>>().join(",");
            let read = super::profile(&written).unwrap();
            assert_eq!(difference(&read), difference(&profile), "{written}");
            assert_eq!(super::profile(profile.name).unwrap(), profile);
        }
        let profile = super::profile("vllm, top_k=off,think_tags , stop_max=2,pass=min_p+seed").unwrap();
        assert!(!profile.has(Flag::TopK) && profile.has(Flag::ThinkTags) && profile.stop_max == 2);
        assert!(profile.passes("min_p") && profile.passes("seed") && !profile.passes("top_k"));
        assert_eq!(profile.name, "vllm");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, part) in [
            ("vlm", "names no profile; did you mean vllm? write one of plain, openai, "),
            ("", "names no profile; write one of"),
            ("vllm,topk", "has the unknown setting topk; did you mean top_k? docs/profiles.md"),
            ("vllm,top_k=maybe", "has top_k neither on nor off"),
            ("vllm,limit=tokens", "write limit= and one of max_tokens, max_completion_tokens"),
            ("vllm,stop_max=none", "has no number for stop_max"),
            ("vllm,efforts=low+much", "has an unknown effort"),
        ] {
            let error = super::profile(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn of_a_provider() {
        for (provider, host, name) in [
            ("openai", None, "openai"),
            ("anthropic", None, "plain"),
            ("kimi", None, "moonshot"),
            ("vllm-2", Some("10.0.0.1"), "vllm"),
            ("mine", Some("mine.openai.azure.com"), "azure"),
            ("mine", Some("api.z.ai"), "zai"),
            ("mine", Some("notapi.z.ai"), "plain"),
            ("mine", None, "plain"),
        ] {
            assert_eq!(Profile::of(provider, host).name, name, "{provider}");
        }
    }
}
