//! The README's tables of variables and providers are those of the code: whoever changes one changes both.

#![allow(clippy::unwrap_used)]

use sidestream::config::known::{KNOWN, Known};
use sidestream::config::provider::Base;
use sidestream::config::variables::{PROVIDER_VARIABLES, VARIABLES, Variable, prefix};
use sidestream::config::{Config, Source};

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
