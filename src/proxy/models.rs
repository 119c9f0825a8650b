//! `GET /v1/models`: the names that the routes know, and what the providers list.

use std::future::poll_fn;
use std::task::Poll;

use super::admit::VIA_FIELD;
use super::fetch::{self, Unanswered};
use super::outbound;
use super::site::{Destination, Site};
use super::world::World;
use crate::dialect::models::Models;
use crate::dialect::{Dialect, Face};
use crate::fault::Fault;
use crate::http::fields;
use crate::http::head::RequestHead;
use crate::route::Asked;
use crate::telemetry::log::Level;

/// Whether the list is made here. One provider without names of our own for its models answers itself, untouched.
pub fn are_merged(site: &Site) -> bool {
    site.destinations.len() > 1 || site.config().routes.models().next().is_some()
}

/// The merged list: the routes' names first, then each provider's in the order of the configuration. A provider that
/// does not answer is left out, and said so in the log.
///
/// # Errors
/// 502: no provider answered, and the routes name no model.
pub async fn merged(world: &World, site: &Site, request: &RequestHead, dialect: Dialect) -> Result<Models, Fault> {
    let mut models = Models::default();
    for name in site.config().routes.models() {
        let owner = planned(site, name, dialect).map_or("sidestream", |(owner, _)| owner);
        models.add_name(name, owner);
    }
    let asking = site.destinations.iter().map(|one| ask(&world.shared.name, site, one, request, dialect));
    let mut failures = Vec::new();
    for (destination, answer) in site.destinations.iter().zip(join(asking).await) {
        let name = &destination.provider.name;
        let known = |id: &str| public_name(site, name, id, dialect);
        let taken = answer.and_then(|(face, mut body)| {
            let is_list = models.add_list(face, &mut body, name, known);
            if is_list { Ok(()) } else { Err(Unanswered("its answer is no list of models".into())) }
        });
        if let Err(Unanswered(why)) = taken {
            world.shared.log.say(Level::Warn, "no list of models", &[("provider", name), ("error", &why)]);
            failures.push(format!("{name}: {why}"));
        }
    }
    if failures.len() == site.destinations.len() && models.is_empty() {
        return Err(Fault::upstream(
            502,
            "no-models",
            format!("No provider listed its models. {}.", failures.join("; ")),
        ));
    }
    Ok(models)
}

/// Asks one provider, on the face of the client's dialect if it has it. `name` is this process's, among sidestreams.
async fn ask(
    name: &str,
    site: &Site,
    destination: &Destination,
    request: &RequestHead,
    dialect: Dialect,
) -> Result<(Face, Vec<u8>), Unanswered> {
    let provider = &destination.provider;
    let other = if dialect.face() == Face::OpenAi { Face::Anthropic } else { Face::OpenAi };
    let face = if provider.face(dialect.face()).is_some() { dialect.face() } else { other };
    let is_set = |name: &[u8]| provider.headers.iter().any(|(own, _)| name.eq_ignore_ascii_case(own.as_bytes()));
    let mut own: Vec<_> = fields::end_to_end(request)
        .filter(|(name, _)| fields::is_credential(name) && !is_set(name))
        .filter(|(_, value)| outbound::passes_credential(provider, dialect, value, &site.config().tokens))
        .collect();
    // A provider may be a sidestream that asks back.
    let via = outbound::via(request.get(VIA_FIELD), name);
    own.push((VIA_FIELD.as_bytes(), &via));
    // All on one page, as far as the provider goes along.
    let path = if face == Face::Anthropic { "models?limit=1000" } else { "models" };
    match fetch::get(destination, face, path, &own).await? {
        (200, body) => Ok((face, body)),
        (status, _) => Err(Unanswered(format!("it answered with status {status}"))),
    }
}

/// The name under which a provider's model can be asked for: its own where that leads there, else with the provider's
/// before it.
fn public_name(site: &Site, provider: &str, id: &str, dialect: Dialect) -> String {
    match planned(site, id, dialect) {
        Some((owner, model)) if owner == provider && model == id => id.to_owned(),
        _ => format!("{provider}/{id}"),
    }
}

/// Where a name leads: the provider, and its name of the model.
fn planned<'a>(site: &'a Site, name: &'a str, dialect: Dialect) -> Option<(&'a str, &'a str)> {
    let config = site.config();
    let asked = Asked { model: name, dialect, stream: false, provider: None };
    let first = config.routes.plan(&asked, &config.providers).ok()?.first()?;
    Some((config.providers.get(first.provider)?.name.as_str(), first.model))
}

/// Runs all side by side and gives their outcomes in order.
async fn join<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    poll_fn(|cx| {
        for (one, outcome) in all.iter_mut().filter(|(_, outcome)| outcome.is_none()) {
            if let Poll::Ready(done) = one.as_mut().poll(cx) {
                *outcome = Some(done);
            }
        }
        if all.iter().all(|(_, outcome)| outcome.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    all.into_iter().filter_map(|(_, outcome)| outcome).collect()
}
