//! `docs/profiles.md` is what the code says: `SIDESTREAM_WRITE_DOCS=1` writes its tables anew.

use super::flags::FLAGS;
use super::settings::{VALUES, choices, difference};
use super::table;

const PAGE: &str = include_str!("../../../docs/profiles.md");

/// The tables of the page, each by the line of its head.
fn tables() -> [(&'static str, Vec<String>); 3] {
    let code = |words: Vec<String>| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" ");
    let plain = table::plain();
    let profiles = table::all().into_iter().map(|profile| {
        let difference = if profile.name == plain.name { shown(&plain) } else { code(difference(&profile)) };
        format!("| `{}` | {} | {} |", profile.name, profile.meaning, difference)
    });
    let flags = FLAGS.iter().map(|(_, name, meaning)| format!("| `{name}` | {meaning} |"));
    let values = VALUES.iter().map(|(name, meaning)| {
        let choices = choices(name).into_iter().map(str::to_owned).collect();
        format!("| `{name}` | {} | {meaning} |", code(choices))
    });
    [
        ("| profile | for | as `plain`, but |", profiles.collect()),
        ("| flag | meaning |", flags.collect()),
        ("| setting | values | meaning |", values.collect()),
    ]
}

/// All that the plain profile has.
fn shown(plain: &super::Profile) -> String {
    let flags = FLAGS.iter().filter(|(flag, ..)| plain.has(*flag)).map(|(_, name, _)| format!("`{name}`"));
    let values =
        VALUES.iter().filter_map(|(name, _)| super::settings::shown(plain, name)).map(|value| format!("`{value}`"));
    format!("has {}", flags.chain(values).collect::<Vec<_>>().join(" "))
}

#[test]
fn the_page_says_what_the_code_does() {
    let mut page = String::new();
    let mut lines = PAGE.lines().peekable();
    let tables = tables();
    while let Some(line) = lines.next() {
        page += &format!("{line}\n");
        if let Some((_, rows)) = tables.iter().find(|(head, _)| *head == line) {
            page += &format!("{}\n", lines.next().unwrap());
            while lines.next_if(|line| line.starts_with('|')).is_some() {}
            page.extend(rows.iter().map(|row| format!("{row}\n")));
        }
    }
    if std::env::var_os("SIDESTREAM_WRITE_DOCS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/profiles.md"), &page).unwrap();
    }
    assert!(page == PAGE, "docs/profiles.md is not as the code has it; write it anew with SIDESTREAM_WRITE_DOCS=1");
}
