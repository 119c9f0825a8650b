//! `GET /v1/models`: the names that the routes know, and what the providers list.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Instant;

use super::admit::VIA_FIELD;
use super::fetch::{self, Answer, Question, Unanswered};
use super::outbound;
use super::site::{Destination, Settings, Site};
use super::world::World;
use crate::config::Config;
use crate::dialect::models::Models;
use crate::dialect::{Dialect, Face};
use crate::fault::{Fault, Who};
use crate::http::fields;
use crate::http::head::RequestHead;
use crate::limits;
use crate::net::bell::Bell;
use crate::route::{Asked, Features};
use crate::telemetry::log::Level;

/// Whether the list is made here. One provider without names of our own for its models answers itself, untouched, if it
/// speaks the client's dialect.
pub fn are_merged(site: &Site, dialect: Dialect) -> bool {
    let speaks = |one: &Destination| one.provider.face(dialect.face()).is_some();
    site.destinations.len() > 1
        || site.config().routes.models().next().is_some()
        || !site.destinations.iter().all(speaks)
}

/// What a provider listed, or why it listed nothing.
#[derive(Clone, Debug)]
pub struct Listed {
    at: Instant,
    face: Face,
    answer: Result<Arc<[u8]>, Unanswered>,
}

impl Listed {
    fn is_fresh(&self, face: Face) -> bool {
        let fresh = if self.answer.is_ok() { limits::LISTED_FRESH } else { limits::UNLISTED_FRESH };
        self.face == face && self.at.elapsed() < fresh
    }
}

/// The merged list: the routes' names first, then each provider's in the order of the configuration. A provider that
/// does not answer is left out, and said so in the log.
///
/// # Errors
/// 502: no provider answered, and the routes name no model. 503: too many lists are being made.
pub async fn merged(world: &World, site: &Site, request: &RequestHead, dialect: Dialect) -> Result<Models, Fault> {
    let asking = site.destinations.iter().map(|one| list(world, site, one, request, dialect));
    let mut lists = Vec::new();
    let mut failures = Vec::new();
    for (place, Listed { face, answer, .. }) in join(asking).await.into_iter().enumerate() {
        match answer {
            Ok(body) => lists.push(Part { provider: place, face, body }),
            Err(why) => failures.push((place, why)),
        }
    }
    let (models, unreadable) = merge_elsewhere(world, site, lists, dialect).await?;
    failures.extend(unreadable.into_iter().map(|place| (place, Unanswered("its answer is no list of models".into()))));
    let mut told = String::new();
    for (place, Unanswered(why)) in failures {
        let Some(destination) = site.destinations.get(place) else { continue };
        let name = &destination.provider.name;
        world.shared.log.say(Level::Warn, "no list of models", &[("provider", name), ("error", &why)]);
        told += &format!(" {name}: {why}.");
    }
    if models.is_empty() {
        return Err(Fault::upstream(502, "no-models", format!("No provider listed its models.{told}")));
    }
    Ok(models)
}

/// One provider's list, on its way into the merged one.
struct Part {
    provider: usize,
    face: Face,
    body: Arc<[u8]>,
}

/// Merges: short lists here, long ones in a thread, because the other requests of this worker would wait for it.
async fn merge_elsewhere(
    world: &World,
    site: &Site,
    lists: Vec<Part>,
    dialect: Dialect,
) -> Result<(Models, Vec<usize>), Fault> {
    let bytes: usize = lists.iter().map(|part| part.body.len()).sum();
    let settings = site.settings.clone();
    if bytes <= limits::MERGE_BYTES_MAX {
        return Ok(merge(&settings, lists, dialect));
    }
    let busy = || {
        let message = "sidestream is making too many lists of models already; ask again in a moment.".into();
        Fault { who: Who::Us, status: 503, reason: "busy", message, close: false, retry_after: None }
    };
    let merging = Merging::begin(&world.shared.merges).ok_or_else(busy)?;
    let bell = Bell::here().map_err(|_| busy())?;
    let outcome = Arc::new(Mutex::new(None));
    let (merged, rope) = (outcome.clone(), bell.rope().clone());
    let helper = std::thread::Builder::new().name("merge".into()).spawn(move || {
        let made = merge(&settings, lists, dialect);
        *merged.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
        drop(merging);
        rope.ring();
    });
    helper.map_err(|_| busy())?;
    Ok(bell.until(|| outcome.lock().unwrap_or_else(PoisonError::into_inner).take()).await)
}

/// One of the threads that may merge at a time.
struct Merging(Arc<AtomicUsize>);

impl Merging {
    fn begin(running: &Arc<AtomicUsize>) -> Option<Self> {
        let more = |running| (running < limits::MERGES_MAX).then_some(running + 1);
        running.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Self(running.clone()))
    }
}

impl Drop for Merging {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The list, and the places of providers whose answer was none.
fn merge(settings: &Settings, lists: Vec<Part>, dialect: Dialect) -> (Models, Vec<usize>) {
    let config = &settings.config;
    let mut models = Models::default();
    for name in config.routes.models() {
        let owner = planned(config, name, dialect).map_or("sidestream", |(owner, _)| owner);
        models.add_name(name, owner);
    }
    let mut unreadable = Vec::new();
    for Part { provider, face, body } in lists {
        let name = config.providers.get(provider).map_or("", |provider| provider.name.as_str());
        let known = |id: &str| public_name(config, name, id, dialect);
        if !models.add_list(face, &mut body.to_vec(), name, known) {
            unreadable.push(provider);
        }
    }
    (models, unreadable)
}

/// A provider's list, on the face of the client's dialect if it has it; what no client's credential was needed for is
/// remembered for a while.
async fn list(
    world: &World,
    site: &Site,
    destination: &Destination,
    request: &RequestHead,
    dialect: Dialect,
) -> Listed {
    let provider = &destination.provider;
    let other = if dialect.face() == Face::OpenAi { Face::Anthropic } else { Face::OpenAi };
    let face = if provider.face(dialect.face()).is_some() { dialect.face() } else { other };
    let shared = !provider.wants_credential(dialect);
    if let Some(listed) = destination.listed.borrow().as_ref().filter(|listed| shared && listed.is_fresh(face)) {
        return listed.clone();
    }
    let answer = ask(&world.shared.name, site, destination, face, request, dialect).await;
    let listed = Listed { at: Instant::now(), face, answer };
    if shared {
        *destination.listed.borrow_mut() = Some(listed.clone());
    }
    listed
}

/// Asks one provider. `name` is this process's, among sidestreams.
async fn ask(
    name: &str,
    site: &Site,
    destination: &Destination,
    face: Face,
    request: &RequestHead,
    dialect: Dialect,
) -> Result<Arc<[u8]>, Unanswered> {
    let provider = &destination.provider;
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
    match fetch::ask(destination, Question::get(face, path, &own)).await? {
        Answer { status: 200, body, .. } => Ok(body.into()),
        Answer { status, .. } => Err(Unanswered(format!("it answered with status {status}"))),
    }
}

/// The name under which a provider's model can be asked for: its own where that leads there, else with the provider's
/// before it.
fn public_name(config: &Config, provider: &str, id: &str, dialect: Dialect) -> String {
    match planned(config, id, dialect) {
        Some((owner, model)) if owner == provider && model == id => id.to_owned(),
        _ => format!("{provider}/{id}"),
    }
}

/// Where a name leads: the provider, and its name of the model.
fn planned<'a>(config: &'a Config, name: &'a str, dialect: Dialect) -> Option<(&'a str, &'a str)> {
    let asked = Asked { model: name, dialect, stream: false, provider: None, features: Features::default() };
    let first = config.routes.plan(&asked, &config.providers).ok()?.first()?;
    Some((config.providers.get(first.provider)?.name.as_str(), first.model))
}

/// Runs all side by side and gives their outcomes in order.
pub(super) async fn join<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
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
