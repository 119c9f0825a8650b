//! Rules and names drawn at random.

use proptest::prelude::{Strategy as _, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

/// Text that is often nearly a list of rules.
fn soup() -> impl proptest::strategy::Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "a",
        "gpt-*",
        "*",
        "zai",
        "groq",
        "/",
        "->",
        " -> ",
        " ",
        "\"",
        "\"x y\"",
        "[",
        "]",
        ",",
        ";",
        "\n",
        "\r\n",
        "stream",
        "api=chat",
        "tokens>",
        "9",
        "k",
        "image",
        " face=openai",
        " weight=7",
        "é",
        "\u{2028}",
        "-",
        "-openai",
        "x;y",
        "a -> zai/",
        "b[stream] -> groq/x",
    ]);
    prop_oneof![prop::collection::vec(token, 0..14).prop_map(|tokens| tokens.concat()), any::<String>()]
}

/// Lists of rules that are right.
fn right() -> impl proptest::strategy::Strategy<Value = String> {
    let name = || {
        prop::sample::select(vec!["a", "gpt-x", "\"x, y\"", "\"a->b\"", "\"[1m];\"", "g\u{e9}-", "\"p q\"", "@cf/x"])
    };
    let pattern = prop_oneof![name(), prop::sample::select(vec!["*", "gpt-*", "\"* *\""])];
    let conditions = prop::sample::select(vec![
        "",
        "[stream]",
        "[api=chat]",
        " [ stream , api=messages ]",
        "[image,tools]",
        "[thinking, tokens>100k, stream]",
    ]);
    let provider = prop::sample::select(vec!["zai", "groq"]);
    let options = prop::sample::select(vec!["", " face=openai", " weight=7", " weight=1 face=responses"]);
    let target = (provider, prop::option::of(name()), options).prop_map(|(provider, model, options)| match model {
        Some(model) => format!("{provider}/{model}{options}"),
        None => format!("{provider}{options}"),
    });
    let rule = (pattern, conditions, prop::collection::vec(target, 1..4))
        .prop_map(|(pattern, conditions, targets)| format!("{pattern}{conditions} -> {}", targets.join(" , ")));
    prop::collection::vec(rule, 0..5).prop_map(|rules| rules.join(" ;\n"))
}

/// Whatever parses is shown as text that parses to the same, and shown again is the same text.
fn shown_again(text: &str) -> bool {
    let providers = providers(&["groq", "zai"]);
    let Ok(routes) = Routes::parse(text, &providers) else { return false };
    let shown = routes.to_string();
    let again = Routes::parse(&shown, &providers).unwrap_or_else(|wrong| panic!("{shown}: {wrong:?}"));
    assert_eq!(again, routes, "{shown}");
    assert_eq!(again.to_string(), shown);
    true
}

proptest! {
    #[test]
    fn any_text_is_rules_or_problems(text in soup()) {
        shown_again(&text);
    }

    #[test]
    fn right_rules_are_rules(text in right()) {
        prop_assert!(shown_again(&text), "{}", text);
    }

    #[test]
    fn any_name_has_a_plan_or_none(rules in right(), model in soup(), stream: bool, picked in prop::option::of(0..3usize)) {
        let providers = providers(&["groq", "zai"]);
        let routes = Routes::parse(&rules, &providers).unwrap();
        let asked = Asked { stream, provider: picked, ..asked(&model, Responses) };
        if !routes.must_look(&asked) {
            let all = Features { text_bytes: 9, tokens: u64::MAX, ..holding(&Feature::ALL) };
            prop_assert_eq!(routes.plan(&asked, &providers), routes.plan(&Asked { features: all, ..asked }, &providers));
        }
        if let Ok(plan) = routes.plan(&asked, &providers) {
            prop_assert!(plan.first().is_some());
            for candidate in plan.candidates() {
                prop_assert!(providers[candidate.provider].face(candidate.dialect.face()).is_some());
            }
        }
    }
}
