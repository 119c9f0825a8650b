//! From targets to an answer: one after the other, what each gets, and what is sent once more.

use std::pin::pin;

use super::ask::{self, Answering, AskError, ConnectError};
use super::connection::{Client, Stop};
use super::job::Work;
use super::outbound::{Cargo, Outbound};
use super::plan::{self, Target};
use super::site::{Destination, Site};
use super::translate;
use super::upload::{Body, Upload};
use super::world::World;
use crate::dialect::translate::{self as dialects, Asking};
use crate::dialect::{Dialect, endpoint};
use crate::fault::{Fault, Who};
use crate::http::framing::Framing;
use crate::http::head::RequestHead;
use crate::http::reject::Reject;
use crate::net::inbox::unless_gone;
use crate::net::pool::Pool;

/// A request that is to be carried to one of `work.targets`.
pub struct Errand<'a> {
    /// What runs now.
    pub site: &'a Site,
    /// The client's head.
    pub request: &'a RequestHead,
    /// The client's dialect.
    pub dialect: Dialect,
    /// The path below the version.
    pub path: &'a str,
    /// Its body is JSON, and buffered.
    pub is_json: bool,
    /// Of the client's body; a buffered one goes out with its length, a streamed one as the client chose.
    pub framing: Framing,
    /// It may be sent once more if a kept connection turns out to be dead.
    pub may_replay: bool,
}

/// An upstream that answers, and the pool that its connection comes from.
pub struct Reached<'a> {
    /// Its answer begins.
    pub answering: Answering,
    /// Who answers.
    pub destination: &'a Destination,
    /// Where the connection goes when it can be used again.
    pub pool: &'a Pool,
    /// The upstream's name of the model, where the client's is another.
    pub rename: Option<String>,
}

/// Finds an upstream that answers. One that refuses a translated request for a parameter that it names gets it once more
/// without: no table knows what every server takes.
pub async fn answered<'a>(
    world: &World,
    client: &mut Client<'_>,
    errand: &Errand<'a>,
    work: &mut Work,
    upload: &mut Upload<'_>,
) -> Result<Reached<'a>, Stop> {
    let inbox = client.inbox;
    let mut reached = reach(world, client, errand, work, upload).await?;
    if errand.path == endpoint::COMPLETIONS
        && work.translation.is_none()
        && matches!(work.response.status(), 404 | 405 | 501)
    {
        // Most servers have none of the older completions: they are asked for a chat's next turn.
        work.as_chat = true;
        // Boxed, as below: it is rare, and no plain request shall carry its size.
        reached = Box::pin(reach(world, client, errand, work, upload)).await?;
    }
    if !translate::may_go_again(work) {
        return Ok(reached);
    }
    let Reached { answering, destination, pool, rename } = reached;
    let read = Box::pin(translate::read_refusal(world, destination, answering, work));
    let read = unless_gone(inbox, pin!(read)).await;
    let answering = read.inspect_err(|_| destination.numbers.aborts.add(1))??;
    if work.omitted.is_empty() {
        return Ok(Reached { answering, destination, pool, rename });
    }
    if answering.whole.is_some_and(|whole| whole.sound) && work.response.keep_alive() && answering.sent_whole {
        pool.keep(answering.upstream);
    }
    Box::pin(reach(world, client, errand, work, upload)).await
}

/// Finds an upstream that answers. A target to which no connection can be had, or into whose dialect the request cannot be
/// translated, is passed over for the next: nothing was sent there.
async fn reach<'a>(
    world: &World,
    client: &mut Client<'_>,
    errand: &Errand<'a>,
    work: &mut Work,
    upload: &mut Upload<'_>,
) -> Result<Reached<'a>, Stop> {
    let targets = std::mem::take(&mut work.targets);
    let reached = reach_one_of(&targets, world, client, errand, work, upload).await;
    work.targets = targets;
    reached
}

async fn reach_one_of<'a>(
    targets: &[Target],
    world: &World,
    client: &mut Client<'_>,
    errand: &Errand<'a>,
    work: &mut Work,
    upload: &mut Upload<'_>,
) -> Result<Reached<'a>, Stop> {
    let mut lent_to = None;
    let mut last = Stop::from(Reject::NotFound);
    for target in targets {
        let Some(destination) = errand.site.destinations.get(target.provider) else { continue };
        let Some(pool) = destination.pool(target.dialect.face()) else { continue };
        // A client's credential goes to the first origin that it is meant for, and follows the request to no other.
        let wanted = destination.provider.wants_credential(errand.dialect);
        let origin = (&pool.origin().host, pool.origin().port);
        let elsewhere = wanted && *lent_to.get_or_insert(origin) != origin;
        work.record.provider = Some(target.provider);
        work.provider = Some(destination.provider.clone());
        match prepare_and_try(world, client, errand, Try { target, destination, pool, elsewhere }, work, upload).await {
            Ok(answering) => {
                let rename = target.rename.clone();
                return Ok(Reached { answering, destination, pool, rename });
            }
            Err(TryError::NotReached(fault)) => last = fault.into(),
            Err(TryError::Stop(stop)) => return Err(stop),
        }
    }
    Err(last)
}

/// Makes of the client's body what this target gets, and sends it there.
async fn prepare_and_try(
    world: &World,
    client: &mut Client<'_>,
    errand: &Errand<'_>,
    to: Try<'_>,
    work: &mut Work,
    upload: &mut Upload<'_>,
) -> Result<Answering, TryError> {
    work.translation = None;
    work.losses.clear();
    work.record.upstream_dialect = None;
    let Try { target, destination, .. } = to;
    let Upload::Buffered(body, splice) = upload else {
        return try_one(world, client, errand, to, work, upload).await;
    };
    let asking = Asking::of(errand.path).filter(|_| target.dialect != errand.dialect || work.as_chat);
    let mut other = Body::from(if let Some(asking) = asking {
        let site = errand.site;
        let translated = Box::pin(translate::request(world, site, asking, (destination, target), body, work));
        match unless_gone(client.inbox, pin!(translated)).await? {
            Ok(translated) => translated,
            // It may be said in the next one's dialect.
            Err(Stop::Fault(fault)) if fault.who == Who::Client => return Err(TryError::NotReached(fault)),
            Err(stop) => return Err(stop.into()),
        }
    } else {
        // The scanner has seen whether there may be any.
        let thought = work.members.noted().then_some(&*body);
        match thought.and_then(|body| translate::spare_foreign_thinking(errand.path, body, destination, target)) {
            Some(spared) => spared,
            None => {
                *splice = plan::rename(target, work);
                return try_one(world, client, errand, to, work, upload).await;
            }
        }
    });
    let answering = try_one(world, client, errand, to, work, &mut Upload::Buffered(&mut other, None)).await?;
    if translate::may_go_again(work) {
        work.sent = other.into_bytes();
    }
    Ok(answering)
}

/// Where one try goes.
#[derive(Clone, Copy)]
struct Try<'a> {
    target: &'a Target,
    destination: &'a Destination,
    pool: &'a Pool,
    /// The client's credential stays behind.
    elsewhere: bool,
}

/// Why one target gave no answer.
enum TryError {
    /// Nothing was sent: there was no connection to send it on.
    NotReached(Fault),
    /// Everything else.
    Stop(Stop),
}

impl<T: Into<Stop>> From<T> for TryError {
    fn from(stop: T) -> Self {
        Self::Stop(stop.into())
    }
}

/// One target. A kept connection that fails before any byte of an answer was stale: what may be sent again is, once, on
/// a fresh one.
async fn try_one(
    world: &World,
    client: &mut Client<'_>,
    errand: &Errand<'_>,
    to: Try<'_>,
    work: &mut Work,
    upload: &mut Upload<'_>,
) -> Result<Answering, TryError> {
    let inbox = client.inbox;
    let Try { target, destination, pool, elsewhere } = to;
    let Destination { provider, numbers, .. } = destination;
    let Some(base) = provider.face(target.dialect.face()) else { return Err(Reject::NotFound.into()) };
    let outbound = Outbound {
        provider,
        base,
        request: errand.request,
        dialect: errand.dialect,
        spoken: target.dialect,
        path: if work.translation.is_some() { dialects::path(target.dialect) } else { errand.path },
        cargo: match (errand.is_json, &work.translation) {
            (false, _) => Cargo::Unread,
            (true, None) => Cargo::Json,
            (true, Some(_)) => Cargo::Translated,
        },
        tokens: &errand.site.config().tokens,
        name: &world.shared.name,
        turn: destination.next_turn(),
        elsewhere,
    };
    let framing = match upload {
        Upload::Buffered(body, splice) => Framing::Length(plan::spliced_length(body.len(), splice.as_ref())),
        Upload::Streamed(_) => errand.framing,
    };
    let mut again = false;
    loop {
        work.record.attempts += 1;
        let upstream = match unless_gone(inbox, pin!(ask::connect(world, destination, pool, work, again))).await? {
            Ok(upstream) => upstream,
            Err(ConnectError::NotReached(fault)) => return Err(TryError::NotReached(fault)),
            Err(ConnectError::Fault(fault)) => return Err(fault.into()),
        };
        let (reused, idle_ticks) = (upstream.reused, upstream.idle_ticks);
        work.record.reused = reused;
        world.buffers.give(std::mem::replace(&mut work.out, world.buffers.take()));
        outbound.write_head(&mut work.out, framing);
        let asked = ask::ask(world, destination, client, upstream, errand.request.version(), work, upload);
        let asked = unless_gone(inbox, pin!(asked)).await;
        match asked.inspect_err(|_| numbers.aborts.add(1))? {
            Ok(answering) => return Ok(answering),
            Err(AskError::Closed) => {
                if reused {
                    pool.failed_reuse(idle_ticks);
                }
                if !(reused && errand.may_replay && provider.replay && !again) {
                    let message = format!("{} closed the connection without an answer.", provider.name);
                    return Err(Fault::upstream(502, "upstream-closed", message).into());
                }
                numbers.replays.add(1);
                again = true;
            }
            Err(AskError::Stop(stop)) => return Err(stop.into()),
        }
    }
}
