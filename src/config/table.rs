//! The effective configuration as `check` shows it: every variable, its value, and where that comes from.

use super::provider::{Base, Credential, Provider};
use super::reader::Reader;
use super::variables::{PROVIDER_VARIABLES, VARIABLES, Variable, prefix};
use super::{Source, known, upstream};
use crate::dialect::Face;
use crate::prices;

/// One row a variable: those of the proxy, then those of each active provider. Variables of later versions are shown
/// only where they are set.
pub fn of(source: &Source<'_>) -> Vec<(String, String)> {
    let mut from = Reader::new(source);
    let names = upstream::active(&mut from);
    let providers = upstream::read_all(&mut from, &names);
    let mut table = Vec::new();
    for row in VARIABLES {
        let implied = match row.name {
            "SIDESTREAM_PROVIDERS" => Some(names.join(",")),
            "SIDESTREAM_PRICES" => Some(format!("built in, of {}", prices::date())),
            "SIDESTREAM_WARM_UP" => Some(upstream::warm_up(&mut from).name().to_owned()),
            _ => None,
        };
        add(&mut table, &from, "", row, implied);
    }
    for provider in providers {
        let prefix = prefix(&provider.name);
        PROVIDER_VARIABLES.iter().for_each(|row| add(&mut table, &from, &prefix, row, implied(&from, &provider, row)));
    }
    table
}

/// `implied` is what holds where the variable is unset, if that is more than the table's default.
fn add(table: &mut Vec<(String, String)>, from: &Reader<'_>, prefix: &str, row: &Variable, implied: Option<String>) {
    let name = format!("{prefix}{}", row.name);
    let value = match (from.get(&name), row.later) {
        (None, Some(_)) => return,
        (None, None) => implied
            .or_else(|| Some(row.default.to_owned()).filter(|default| !default.is_empty()))
            .map_or_else(|| "unset".to_owned(), |value| format!("{value} (default)")),
        (Some(text), later) => {
            let shown = row.shows.of(text).unwrap_or("set").escape_debug().to_string();
            let place = from.place(&name).map(|place| format!(" ({place})")).unwrap_or_default();
            let effect = if later.is_some() { " (no effect in this version)" } else { "" };
            format!("{shown}{place}{effect}")
        }
    };
    table.push((name, value));
}

/// What holds for a provider where this variable of its is unset.
fn implied(from: &Reader<'_>, provider: &Provider, row: &Variable) -> Option<String> {
    let address = |base: &Option<Base>| base.as_ref().map(ToString::to_string);
    match row.name {
        "_OPENAI_URL" => address(&provider.openai),
        "_ANTHROPIC_URL" => address(&provider.anthropic),
        "_API_KEY" => match provider.credential {
            Credential::ClientOf(Face::OpenAi) => Some("the client's own, if it speaks an OpenAI dialect".into()),
            Credential::ClientOf(Face::Anthropic) => Some("the client's own, if it speaks Messages".into()),
            Credential::Keys(_) => {
                let other = known::find(&provider.name)?.keys.iter().find(|key| from.get(key).is_some())?;
                Some(format!("that of {other}"))
            }
            Credential::Client | Credential::Nobody => None,
        },
        "_PROFILE" => Some(provider.profile.name.to_owned()),
        "_PROXY" => {
            let behind = [&provider.openai, &provider.anthropic].into_iter().flatten().any(|base| base.proxy.is_some());
            behind.then(|| "HTTPS_PROXY".into())
        }
        _ => None,
    }
}
