//! The README's tables of variables and providers are those of the code: whoever changes one changes both. Its rules are
//! rules, and do what is said of them.

#![allow(clippy::unwrap_used)]

use sidestream::config::known::{KNOWN, Known};
use sidestream::config::provider::Base;
use sidestream::config::variables::{PROVIDER_VARIABLES, VARIABLES, Variable, prefix};
use sidestream::config::{Config, Source};
use sidestream::dialect::Dialect::{self, Chat, Messages, Responses};
use sidestream::json::Index;
use sidestream::route::look::{Wanted, look};
use sidestream::route::{Asked, Features};
use sidestream::tokens::estimate::Learned;

const README: &str = include_str!("../README.md");

/// The rows of the table that follows `line`, as trimmed cells, without its two head lines.
fn table(line: &str) -> Vec<Vec<&'static str>> {
    let (_, rest) = README.split_once(line).unwrap_or_else(|| panic!("no line {line:?} in the README"));
    let rows = rest.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    rows.skip(2).map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// What stands between backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn check_variables(begins: &str, before: &str, variables: &[Variable]) {
    let rows = table(begins);
    let code: Vec<_> = variables
        .iter()
        .map(|row| {
            let default = if row.default.is_empty() { "–".to_owned() } else { format!("`{}`", row.default) };
            (format!("`{before}{}`", row.name), default, row.later.is_some())
        })
        .collect();
    let said: Vec<_> = rows
        .iter()
        .map(|row| {
            let [name, default, meaning] = row[..] else { panic!("a row of {} cells: {row:?}", row.len()) };
            assert!(!meaning.trim_start_matches("*later*:").trim().is_empty(), "{name} means nothing");
            (name.to_owned(), default.to_owned(), meaning.starts_with("*later*: "))
        })
        .collect();
    assert_eq!(said, code);
}

#[test]
fn variables_of_the_proxy() {
    check_variables("\nThe proxy:\n", "", VARIABLES);
}

#[test]
fn variables_of_a_provider() {
    check_variables("\nA provider, `{NAME}` being its name:\n", "{NAME}", PROVIDER_VARIABLES);
}

/// What the configuration makes of the tables' defaults is what the tables say: unset is the same as written out.
#[test]
fn defaults_are_those_in_force() {
    let shown = |extra: Vec<(String, String)>| {
        let provider = [("SIDESTREAM_PROVIDERS", "zai"), ("ZAI_API_KEY", "k")];
        let provider = provider.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut config = Config::read(&Source::of(provider.into_iter().chain(extra))).unwrap();
        config.warnings.clear();
        format!("{config:?}")
    };
    let unset = shown(Vec::new());
    let rows = VARIABLES.iter().map(|row| ("", row)).chain(PROVIDER_VARIABLES.iter().map(|row| ("ZAI", row)));
    for (before, row) in rows.filter(|(_, row)| !row.default.is_empty()) {
        let name = format!("{before}{}", row.name);
        assert_eq!(shown(vec![(name.clone(), row.default.to_owned())]), unset, "{name}");
    }
}

#[test]
fn providers() {
    let rows = table("\n## Providers\n");
    let names: Vec<_> = rows.iter().flat_map(|row| quoted(row[0])).collect();
    assert_eq!(names, KNOWN.iter().map(|known| known.name).collect::<Vec<_>>());
    for (row, known) in rows.iter().zip(KNOWN) {
        let own = format!("{}_API_KEY", prefix(known.name));
        let keys: Vec<_> = [own.as_str()].into_iter().chain(known.keys.iter().copied()).collect();
        assert_eq!(quoted(row[1]), keys, "{}", known.name);
        // What is not certain is marked.
        let unmarked = [" ¹", " ²", " ³"].iter().fold(row[2].to_string(), |text, mark| text.replace(mark, ""));
        assert_eq!(unmarked, faces(known), "{}", known.name);
    }
}

fn faces(known: &Known) -> String {
    let faces = [("OpenAI", known.openai), ("Anthropic", known.anthropic)];
    let names: Vec<_> = faces.iter().filter(|(_, base)| base.is_some()).map(|(name, _)| *name).collect();
    let port = if known.is_local() { format!("; port {}", base_of(known).port) } else { String::new() };
    names.join(", ") + &port
}

/// Its OpenAI face, as the configuration reads it.
fn base_of(known: &Known) -> Base {
    let environment = [("SIDESTREAM_PROVIDERS".to_owned(), known.name.to_owned())];
    Config::read(&Source::of(environment)).unwrap().providers[0].openai.clone().unwrap()
}

/// With all known providers, and one more for the set-ups.
fn ruled(rules: &str) -> Config {
    let names: Vec<_> = KNOWN.iter().map(|known| known.name).collect();
    let keys = KNOWN.iter().map(|known| (format!("{}_API_KEY", prefix(known.name)), "a-key".to_owned()));
    let others = [
        ("SIDESTREAM_PROVIDERS".to_owned(), format!("{},mine", names.join(","))),
        ("MINE_ENDPOINT_URL".to_owned(), "http://10.0.0.7:8000/v1".to_owned()),
        ("SIDESTREAM_ROUTES".to_owned(), rules.to_owned()),
    ];
    let read = Config::read(&Source::of(keys.chain(others)));
    read.unwrap_or_else(|problems| panic!("{rules}: {problems:?}"))
}

#[test]
fn rules_are_rules() {
    let of_setups = README.split("SIDESTREAM_ROUTES='").skip(1).map(|rest| rest.split('\'').next().unwrap());
    let of_table = table("\n## Which model goes where\n").into_iter().map(|row| quoted(row[0])[0]);
    let rules: Vec<_> = of_setups.chain(of_table).collect();
    assert!(rules.len() > 10, "{rules:?}");
    for text in rules {
        let config = ruled(text);
        // Shown, each is a line.
        assert_eq!(config.routes.to_string().lines().count(), text.split("->").count() - 1, "{text}");
    }
}

/// A request's body, and where it goes: provider, model, dialect.
type Sample = (Dialect, &'static str, &'static str);

#[test]
fn recipes_do_what_they_are_for() {
    let picture = r#"{"model":"glm-4.6","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBO"}}]}]}"#;
    let pictures: &[Sample] = &[
        (Chat, picture, "zai glm-4.6v chat"),
        (
            Messages,
            r#"{"model":"glm-4.6","messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}]}]}]}"#,
            "zai glm-4.6v chat",
        ),
        (Chat, r#"{"model":"glm-4.6","messages":[{"role":"user","content":"image_url"}]}"#, "zai glm-4.6 chat"),
        (Messages, r#"{"model":"glm-4.6","messages":[{"role":"user","content":"hi"}]}"#, "zai glm-4.6 messages"),
    ];
    let words = |words: usize| {
        format!(r#"{{"model":"claude-opus-4-8","messages":[{{"role":"user","content":"{}"}}]}}"#, "word ".repeat(words))
    };
    let (long, short) = (words(150_000).leak(), words(100_000).leak());
    let large_picture = format!(
        r#"{{"model":"claude-opus-4-8","messages":[{{"role":"user","content":[{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{}"}}}}]}}]}}"#,
        "A".repeat(2_000_000)
    );
    let recipes: &[(&str, &[Sample])] = &[
        ("pictures to a model that sees", pictures),
        (
            "long conversations to a large window",
            &[
                (Messages, long, "gemini gemini-2.5-pro chat"),
                (Messages, short, "zai glm-4.6 messages"),
                (Messages, large_picture.leak(), "zai glm-4.6 messages"),
            ],
        ),
        (
            "Haiku's small jobs to a cheap model",
            &[
                (Messages, r#"{"model":"claude-haiku-4-5","messages":[]}"#, "zai glm-4.5-air messages"),
                (Messages, r#"{"model":"claude-3-5-haiku-20241022"}"#, "zai glm-4.5-air messages"),
                (Messages, r#"{"model":"claude-sonnet-4-5"}"#, "zai glm-4.6 messages"),
            ],
        ),
        (
            "thinking to a model that thinks",
            &[
                (
                    Messages,
                    r#"{"model":"claude-opus-4-8","thinking":{"type":"adaptive"}}"#,
                    "deepseek deepseek-reasoner messages",
                ),
                (
                    Messages,
                    r#"{"model":"claude-opus-4-8","thinking":{"type":"disabled"}}"#,
                    "deepseek deepseek-chat messages",
                ),
                (Chat, r#"{"model":"claude-opus-4-8","reasoning_effort":"high"}"#, "deepseek deepseek-reasoner chat"),
                (
                    Responses,
                    r#"{"model":"claude-opus-4-8","reasoning":{"effort":"low"}}"#,
                    "deepseek deepseek-reasoner responses",
                ),
                (Chat, r#"{"model":"claude-opus-4-8"}"#, "deepseek deepseek-chat chat"),
            ],
        ),
        (
            "tools to a model that calls them well",
            &[
                (
                    Chat,
                    r#"{"model":"local","tools":[{"type":"function"}]}"#,
                    "vllm Qwen/Qwen3-Coder-30B-A3B-Instruct chat",
                ),
                (Messages, r#"{"model":"local","tools":[]}"#, "ollama gemma3 messages"),
            ],
        ),
        (
            "one name for text and pictures",
            &[
                (
                    Chat,
                    r#"{"model":"auto","messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#,
                    "zai glm-4.5v chat",
                ),
                (
                    Messages,
                    r#"{"model":"auto","messages":[{"role":"user","content":[{"type":"image"}]}]}"#,
                    "zai glm-4.5v chat",
                ),
                (Chat, r#"{"model":"auto","messages":[{"role":"user","content":"hi"}]}"#, "zai glm-4.5 messages"),
            ],
        ),
        (
            "`-openai` and `-anthropic` behind a name, pictures always to the vision model",
            &[
                (Chat, r#"{"model":"glm-4.5-anthropic"}"#, "zai glm-4.5 messages"),
                (Messages, r#"{"model":"glm-4.5-openai"}"#, "zai glm-4.5 chat"),
                (Messages, r#"{"model":"glm-4.5"}"#, "zai glm-4.5 messages"),
                (
                    Messages,
                    r#"{"model":"glm-4.5-anthropic","messages":[{"role":"user","content":[{"type":"image"}]}]}"#,
                    "zai glm-4.5v chat",
                ),
            ],
        ),
    ];
    let rows = table("\nRules that a user of several models wants");
    let wishes: Vec<_> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(wishes, recipes.iter().map(|(wish, _)| *wish).collect::<Vec<_>>());
    for (row, (wish, samples)) in rows.iter().zip(recipes) {
        let config = ruled(quoted(row[1])[0]);
        for (dialect, body, want) in *samples {
            assert_eq!(&sent_to(&config, *dialect, body), want, "{wish}: {body:.200}");
        }
    }
}

/// As `proxy` does it, with nothing learned yet.
fn sent_to(config: &Config, dialect: Dialect, body: &str) -> String {
    let mut index = Index::default();
    let model = index.read(body.as_bytes()).unwrap().get("model").unwrap().text().unwrap();
    let asked = Asked { model: &model, dialect, stream: false, provider: None, features: Features::default() };
    let wanted = Wanted { features: config.routes.must_look(&asked), session: false };
    let mut features = look(body.as_bytes(), dialect, wanted, &mut Index::default()).features;
    features.tokens = Learned::default().estimate(&model, features.text_bytes);
    let plan = config.routes.plan(&Asked { features, ..asked }, &config.providers).unwrap();
    let first = plan.first().unwrap();
    format!("{} {} {}", config.providers[first.provider].name, first.model, first.dialect.name())
}
