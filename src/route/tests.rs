mod random;

use std::time::Duration;

use super::*;
use crate::config::provider::{Auth, Base, Credential};
use crate::dialect::Dialect;
use crate::dialect::Dialect::{Chat, Messages, Responses};

fn provider(name: &str, faces: &[Face]) -> Arc<Provider> {
    let base = |face| {
        let (host, path) = ("h".to_owned(), String::new());
        faces.contains(&face).then(|| Base { tls: false, authority: "h".into(), host, port: 80, path, proxy: None })
    };
    Arc::new(Provider {
        name: name.into(),
        openai: base(Face::OpenAi),
        anthropic: base(Face::Anthropic),
        credential: Credential::Nobody,
        openai_auth: Auth::Bearer,
        anthropic_auth: Auth::XApiKey,
        headers: Vec::new(),
        roots: None,
        timeout: None,
        connect_timeout: Duration::ZERO,
        tls_timeout: Duration::ZERO,
        first_byte_timeout: Duration::ZERO,
        idle_timeout: Duration::ZERO,
        max_connections: 1,
        queue: 1,
        queue_timeout: Duration::ZERO,
        keepalive_connections: 1,
        warm_connections: 0,
        profile: Default::default(),
        max_retries: 0,
        breaker: true,
        limits: Default::default(),
        replay: true,
    })
}

const OPENAI: &[Face] = &[Face::OpenAi];
const ANTHROPIC: &[Face] = &[Face::Anthropic];
const BOTH: &[Face] = &[Face::OpenAi, Face::Anthropic];

/// With one of each kind of faces.
fn providers(names: &[&str]) -> Vec<Arc<Provider>> {
    let faces = |name| match name {
        "anthropic" => ANTHROPIC,
        "zai" | "deepseek" => BOTH,
        _ => OPENAI,
    };
    names.iter().map(|name| provider(name, faces(*name))).collect()
}

pub(super) fn many() -> Vec<Arc<Provider>> {
    providers(&["openai", "anthropic", "zai", "groq", "openrouter", "ollama", "fireworks"])
}

/// `provider model dialect`, several with `, `; or the message.
fn planned(rules: &str, providers: &[Arc<Provider>], asked: Asked<'_>) -> String {
    let routes = Routes::parse(rules, providers).unwrap_or_else(|wrong| panic!("{rules}: {wrong:?}"));
    let shown = |candidate: Candidate<'_>| {
        let weight = if candidate.weight == 1 { String::new() } else { format!(" {}", candidate.weight) };
        format!("{} {} {}{weight}", providers[candidate.provider].name, candidate.model, candidate.dialect.name())
    };
    match routes.plan(&asked, providers) {
        Ok(plan) => {
            assert_eq!(plan.first(), plan.candidates().next());
            plan.candidates().map(shown).collect::<Vec<_>>().join(", ")
        }
        Err(none) => none.message(),
    }
}

fn asked(model: &str, dialect: Dialect) -> Asked<'_> {
    Asked { model, dialect, stream: false, provider: None, features: Features::default() }
}

/// Names as vendors and gateways give them.
const NAMES: &[&str] = &[
    "ollama/llama3.1:8b",
    "openrouter/meta-llama/llama-3.1-70b:free",
    "ft:gpt-4o:org::id",
    "claude-sonnet-4@20250514",
    "@cf/meta/llama-3",
    "claude-*[1m]",
    "groq/groq/compound",
    "accounts/fireworks/models/x",
    "glm-4.6-openai",
];

#[test]
fn names_as_patterns_targets_and_asked_for() {
    for name in NAMES {
        let pattern = if name.contains('[') { format!("\"{name}\"") } else { (*name).to_owned() };
        let model = name.replace("*", "x");
        let rules = format!("alias -> zai/{model}\n{pattern} -> zai/other");
        assert_eq!(planned(&rules, &many(), asked("alias", Chat)), format!("zai {model} chat"));
        assert_eq!(planned(&rules, &many(), asked(&model, Chat)), "zai other chat");
        // A whole name that a rule has is no name with a suffix.
        let rules = format!("{pattern} -> zai");
        assert_eq!(planned(&rules, &many(), asked(&model, Messages)), format!("zai {model} messages"));
    }
    for (name, want) in NAMES.iter().zip([
        "ollama llama3.1:8b chat",
        "openrouter meta-llama/llama-3.1-70b:free chat",
        "openai ft:gpt-4o:org::id chat",
        "anthropic claude-sonnet-4@20250514 messages",
        "No route for the model \"@cf/meta/llama-3\"",
        "anthropic claude-*[1m] messages",
        "groq groq/compound chat",
        "fireworks accounts/fireworks/models/x chat",
        "zai glm-4.6 chat",
    ]) {
        let got = planned("", &many(), asked(name, Chat));
        assert!(got == want || got.starts_with(want) && want.starts_with("No"), "{name}: {got}");
    }
}

#[test]
fn the_first_matching_rule_wins() {
    let rules = "glm-*[api=messages, stream] -> zai/glm-4.6 face=openai; claude-*haiku* -> zai/glm-4.5-air\n\
                 claude-* -> zai/glm-4.6 weight=3, anthropic/*, groq weight=2;\"odd name, [1m]\" -> openrouter/\"a b, c\"\n\n;\n\
                 gpt-x -> zai/* face=anthropic, openai/* face=responses;openai/* -> groq; s* -> zai/* face=openai";
    for (model, dialect, stream, want) in [
        ("glm-4.5", Messages, true, "zai glm-4.6 chat"),
        ("glm-4.5", Messages, false, "zai glm-4.5 messages"),
        ("glm-4.5", Chat, true, "zai glm-4.5 chat"),
        ("claude-3-haiku-x", Messages, false, "zai glm-4.5-air messages"),
        ("claude-3", Messages, false, "zai glm-4.6 messages 3, anthropic claude-3 messages, groq claude-3 chat 2"),
        (
            "claude-3",
            Responses,
            false,
            "zai glm-4.6 responses 3, anthropic claude-3 messages, groq claude-3 responses 2",
        ),
        ("odd name, [1m]", Chat, false, "openrouter a b, c chat"),
        ("gpt-x", Chat, false, "zai gpt-x messages, openai gpt-x responses"),
        ("gpt-x", Responses, false, "zai gpt-x messages, openai gpt-x responses"),
        ("gpt-x", Messages, false, "zai gpt-x messages, openai gpt-x responses"),
        // Rules come before the provider that a name begins with.
        ("openai/gpt-5", Chat, false, "groq openai/gpt-5 chat"),
        // A suffix: kept where a target has a name of its own or too few faces, taken off elsewhere.
        (
            "claude-3-openai",
            Messages,
            false,
            "zai glm-4.6 messages 3, anthropic claude-3-openai messages, groq claude-3-openai chat 2",
        ),
        ("s1-anthropic", Messages, false, "zai s1 chat"),
    ] {
        assert_eq!(planned(rules, &many(), Asked { stream, ..asked(model, dialect) }), want, "{model} {dialect:?}");
    }
}

#[test]
fn without_a_rule() {
    let (one, two) = (providers(&["zai"]), providers(&["groq", "zai"]));
    for (providers, model, provider, dialect, want) in [
        // A provider that was picked: names as they stand, rules not asked.
        (&many(), "groq/compound", Some(3), Chat, "groq groq/compound chat"),
        (&many(), "ruled", Some(3), Chat, "groq ruled chat"),
        (&many(), "gpt-4o", Some(2), Messages, "zai gpt-4o messages"),
        (&many(), "glm-4.6-openai", Some(2), Messages, "zai glm-4.6 chat"),
        (&many(), "m", Some(9), Chat, "No provider is active"),
        // The first segment.
        (&many(), "groq/compound", None, Chat, "groq compound chat"),
        (&many(), "groq/", None, Chat, "No route"),
        (&many(), "zai/glm-4.6-anthropic", None, Responses, "zai glm-4.6 messages"),
        (&many(), "zai/-openai", None, Chat, "zai -openai chat"),
        (&one, "zai/x", None, Chat, "zai x chat"),
        (&one, "groq/x", None, Chat, "zai groq/x chat"),
        // One provider.
        (&one, "gpt-4o", None, Messages, "zai gpt-4o messages"),
        (&one, "x-openai", None, Messages, "zai x chat"),
        (&one, "x-openai", None, Responses, "zai x responses"),
        // Families.
        (&two, "glm-4.6", None, Chat, "zai glm-4.6 chat"),
        (&two, "gpt-4o", None, Chat, "No route"),
        (&many(), "claude-x-openai", None, Chat, "anthropic claude-x-openai messages"),
        (&many(), "gpt-5", None, Messages, "openai gpt-5 chat"),
        // No model.
        (&many(), "", None, Messages, "anthropic  messages"),
        (&many(), "", None, Responses, "openai  responses"),
        (&many(), "", Some(2), Messages, "zai  messages"),
        (&many(), "", Some(3), Messages, "groq has no address that speaks messages"),
        (&many(), "", Some(9), Messages, "No provider is active"),
        (&providers(&["groq"]), "", None, Messages, "No active provider has an address that speaks messages"),
        (&Vec::new(), "", None, Messages, "No provider is active"),
        (&Vec::new(), "gpt-4o", None, Messages, "No provider is active"),
    ] {
        let rules = if providers.is_empty() { String::new() } else { format!("ruled -> {}", providers[0].name) };
        let got = planned(&rules, providers, Asked { provider, ..asked(model, dialect) });
        assert!(got == want || got.starts_with(want) && want.starts_with(['N', 'g']), "{model} {provider:?}: {got}");
    }
}

#[test]
fn no_route_names_the_model_the_providers_and_the_remedies() {
    let routes = Routes::default();
    let none = routes.plan(&asked("llama", Chat), &providers(&["groq", "zai"])).unwrap_err();
    for part in ["\"llama\"", "groq, zai", "`groq/llama`", "SIDESTREAM_ROUTES", "`llama -> groq/*`"] {
        assert!(none.message().contains(part), "{part} in {}", none.message());
    }
    let none = routes.plan(&Asked { provider: Some(0), ..asked("", Messages) }, &providers(&["my-box"])).unwrap_err();
    assert!(none.message().contains("MY_BOX_ANTHROPIC_URL"), "{}", none.message());
    assert_eq!(none.reason(), "no-such-face");
}

#[test]
fn refusals_name_the_rule_and_the_remedy() {
    for (text, part) in [
        ("gpt-4o", "lacks `->`"),
        ("a, b -> groq", "comma behind its pattern"),
        ("a b -> groq", "lacks `->`"),
        ("-> groq", "no pattern"),
        ("\"\" -> groq", "empty name"),
        ("\"open -> groq", "closing quote"),
        ("a\"b -> groq", "quote inside"),
        ("\"a\tb\" -> groq", "control character"),
        ("a[ -> groq", "`]`"),
        ("a[] -> groq", "empty condition"),
        ("a[stream,] -> groq", "empty condition"),
        ("a[video] -> groq", "unknown condition `video`"),
        ("a[api=soap] -> groq", "takes chat, messages or responses"),
        ("a[api=chat, api=messages] -> groq", "twice"),
        ("a[tokens>abc] -> groq", "bound is no number"),
        ("a[tokens>-1] -> groq", "bound is no number"),
        ("a[tokens>] -> groq", "bound is no number"),
        ("a[tokens>+1] -> groq", "bound is no number"),
        ("a[tokens>k] -> groq", "bound is no number"),
        ("a[tokens>1 k] -> groq", "bound is no number"),
        ("a[tokens>100kb] -> groq", "bound is no number"),
        ("a[tokens>18446744073709552k] -> groq", "bound is no number"),
        ("a[tokens>99999999999999999999] -> groq", "bound is no number"),
        ("a[tokens] -> groq", "without a bound"),
        ("a ->", "empty target"),
        ("a -> groq,", "empty target"),
        ("a -> , groq", "empty target"),
        ("a -> /x", "empty target"),
        ("a -> nobody/x", "\"nobody\"; the active ones are groq, zai, anthropic"),
        ("a -> groq/", "ends in `/`"),
        ("a -> groq/ x", "ends in `/`"),
        ("a -> groq/a*b", "`*` inside"),
        ("a -> groq/\"x", "closing quote"),
        ("a -> groq/\"x\"y", "right behind"),
        ("a -> groq/x\"y", "quote inside"),
        ("a -> \"groq/x\"", "quote before"),
        ("a -> groq/x -> zai", "second `->`"),
        ("a -> groq/x zai/y", "separated by commas"),
        ("a -> groq face=soap", "takes openai"),
        ("a -> groq face=anthropic", "GROQ_ANTHROPIC_URL"),
        ("a -> anthropic face=responses", "ANTHROPIC_OPENAI_URL"),
        ("a -> zai face=openai face=anthropic", "one before it"),
        ("a -> zai weight=0", "from 1 to"),
        ("a -> zai weight=-1", "from 1 to"),
        ("a -> zai weight=99999999999999999999", "from 1 to"),
        ("a -> zai weight=1 weight=2", "one before it"),
    ] {
        let errors = Routes::parse(text, &providers(&["groq", "zai", "anthropic"])).unwrap_err();
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        assert!(errors[0].contains(part) && errors[0].starts_with(&format!("has the rule `{text}`")), "{errors:?}");
    }
}

#[test]
fn all_problems_at_once() {
    let text = "x[film,video] -> nobody face=soap weight=no, groq/; fine -> groq; y";
    let problems = Routes::parse(text, &providers(&["groq"])).unwrap_err();
    assert_eq!(problems.len(), 7, "{problems:#?}");
}

#[test]
fn shown_in_one_form() {
    for (text, want) in [
        ("a->groq", "a -> groq/*"),
        (
            "  \"a\"  [ stream,api=chat ]->zai/x   weight=2  face=openai,groq/*;b -> zai weight=1",
            "a[stream, api=chat] -> zai/x face=openai weight=2, groq/*\nb -> zai/*",
        ),
        ("\"claude-*[1m]\" -> zai/\"x\"", "\"claude-*[1m]\" -> zai/x"),
        (
            "a[tools ,image,thinking, tokens > 128k] -> groq; a[tokens>2M] -> groq; a[tokens>0] -> groq",
            "a[tools, image, thinking, tokens>128000] -> groq/*\na[tokens>2000000] -> groq/*\na[tokens>0] -> groq/*",
        ),
        ("\"a;b->c\" -> zai/\"x;y\", zai/\"x y\", zai/x[1m]", "\"a;b->c\" -> zai/\"x;y\", zai/\"x y\", zai/x[1m]"),
        ("", ""),
    ] {
        let providers = providers(&["groq", "zai"]);
        let routes = Routes::parse(text, &providers).unwrap();
        assert_eq!(routes.to_string(), want);
        assert_eq!(Routes::parse(want, &providers), Ok(routes));
    }
}

#[test]
fn models_are_the_names_without_a_star() {
    let text = "b -> groq; a*[stream] -> groq; \"x y\" -> groq; b[stream] -> groq/c; a -> groq";
    let routes = Routes::parse(text, &providers(&["groq"])).unwrap();
    assert_eq!(routes.models().collect::<Vec<_>>(), ["b", "x y", "a"]);
}

fn holding(features: &[Feature]) -> Features {
    Features { holds: features.iter().copied().collect(), ..Features::default() }
}

#[test]
fn conditions_on_what_a_request_holds() {
    let rules = "m[image, tools] -> zai/both; m[image] -> zai/sees; m[thinking, stream] -> zai/thinks-aloud; \
                 m[thinking] -> zai/thinks; m[tokens>1m] -> zai/huge; m[tokens>100k] -> zai/large; m[tools] -> zai/calls; \
                 m -> zai/plain";
    use Feature::{Image, Thinking, Tools};
    for (features, stream, want) in [
        (holding(&[]), false, "plain"),
        (holding(&[Image]), false, "sees"),
        (holding(&[Image, Tools]), false, "both"),
        (Features { tokens: 2_000_000, ..holding(&[Image, Thinking]) }, true, "sees"),
        (holding(&[Thinking]), false, "thinks"),
        (holding(&[Thinking, Tools]), true, "thinks-aloud"),
        (holding(&[Tools]), true, "calls"),
        (Features { tokens: 100_000, ..holding(&[Tools]) }, false, "calls"),
        (Features { tokens: 100_001, ..holding(&[Tools]) }, false, "large"),
        (Features { tokens: 1_000_000, ..holding(&[]) }, false, "large"),
        (Features { tokens: 1_000_001, ..holding(&[]) }, false, "huge"),
        // Bytes are not asked for: how many tokens they are, others know.
        (Features { text_bytes: 100_000_000, ..holding(&[]) }, false, "plain"),
    ] {
        let got = planned(rules, &many(), Asked { features, stream, ..asked("m", Messages) });
        assert_eq!(got, format!("zai {want} messages"), "{features:?}");
    }
}

#[test]
fn a_body_is_looked_into_only_where_that_matters() {
    let rules = "fast -> groq; g*[stream, image] -> zai/a; g*[api=chat] -> zai/b; g-x*[tokens>9] -> zai/c; g* -> zai/d";
    for (rules, model, dialect, stream, provider, want) in [
        ("", "g-x", Chat, true, None, false),
        ("g* -> zai; g*[stream] -> groq", "g-x", Chat, true, None, false),
        ("*[tools] -> zai", "any", Chat, false, None, true),
        ("*[tools] -> zai", "any", Chat, false, Some(2), false),
        ("*[tools] -> zai", "", Chat, false, None, false),
        // An earlier rule fits whatever the body holds.
        (rules, "fast", Chat, true, None, false),
        (rules, "g-x", Chat, false, None, false),
        // The first rule that may fit depends on it.
        (rules, "g-x", Chat, true, None, true),
        (rules, "g-x", Messages, false, None, true),
        (rules, "g-y", Messages, false, None, false),
        (rules, "other", Messages, true, None, false),
    ] {
        let routes = Routes::parse(rules, &many()).unwrap();
        let asked = Asked { stream, provider, ..asked(model, dialect) };
        assert_eq!(routes.must_look(&asked), want, "{rules}: {asked:?}");
    }
}
