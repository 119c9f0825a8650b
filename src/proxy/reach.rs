//! From targets to an answer. Which target is tried when, [`super::journey`] knows; here is what one try does: the request in
//! the target's words, on a connection of its pool, until the answer has begun.

use std::pin::pin;

use super::ask::{self, Answering, AskError, Caller, ConnectError};
use super::connection::{Client, Stop};
use super::hold::{self, Held};
use super::job::Work;
use super::journey::Journey;
use super::outbound::{Cargo, Outbound};
use super::plan::{self, Target};
use super::refusal::{self, Refusal};
use super::site::{Destination, Site};
use super::translate;
use super::upload::{Body, Upload};
use super::world::World;
use crate::dialect::failure::Failure;
use crate::dialect::translate::{self as dialects, Asking};
use crate::dialect::{Dialect, endpoint};
use crate::fault::{Fault, Who};
use crate::http::framing::Framing;
use crate::http::head::RequestHead;
use crate::http::reject::Reject;
use crate::net::inbox::unless_gone;
use crate::net::pool::Pool;
use crate::route::health::Demand;
use crate::route::session;
use crate::route::verdict::Outcome;

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
    /// It may be sent once more where it may have arrived, but no byte of an answer came.
    pub may_replay: bool,
}

/// What an errand came to.
pub enum Reached<'a> {
    /// An answer begins, and goes to the client as it comes.
    Answer(Answered<'a>),
    /// What the last upstream that answered said instead, and no other try could help.
    Refusal(Box<Refusal>),
}

/// An upstream that answers, and the pool that its connection comes from.
pub struct Answered<'a> {
    /// Its answer begins.
    pub answering: Answering,
    /// Who answers.
    pub destination: &'a Destination,
    /// Where the connection goes when it can be used again.
    pub pool: &'a Pool,
    /// The upstream's name of the model, where the client's is another.
    pub rename: Option<String>,
}

/// Finds an upstream that answers.
///
/// # Errors
/// No try got an answer: the last one's fault. Or the client left.
pub async fn answered<'a>(
    world: &World,
    client: &mut Client<'_>,
    errand: &Errand<'a>,
    work: &mut Work,
    upload: &mut Upload<'_>,
) -> Result<Reached<'a>, Stop> {
    let (targets, mut course) = (std::mem::take(&mut work.targets), std::mem::take(&mut work.course));
    let provider = |target: &Target| errand.site.destinations.get(target.provider).map(|one| one.provider.max_retries);
    let candidates = targets.iter().map(|target| (target.provider, provider(target).unwrap_or(0)));
    let until = work.record.until.map(|until| world.millis(until));
    course.begin(candidates, errand.site.config().tries.max, until);
    let now = world.millis(work.record.routed.unwrap_or(work.record.began));
    let mut journey = Journey { targets: &targets, course: &mut course, lent_to: None, last: None, now };
    let reached = journey.run(world, &mut Caller::of(client), errand, work, upload).await;
    (work.targets, work.course) = (targets, course);
    reached
}

/// Where one try goes.
#[derive(Clone, Copy)]
pub(super) struct Try<'a, 't> {
    pub(super) place: usize,
    pub(super) target: &'t Target,
    pub(super) destination: &'a Destination,
    pub(super) pool: &'a Pool,
    /// Which of the provider's keys is used.
    pub(super) key: usize,
    pub(super) demand: Demand,
    /// The client's credential stays behind.
    pub(super) elsewhere: bool,
}

/// What one try came to.
pub(super) enum Tryout {
    Answering(Answering),
    /// A stream begins with what its upstream could not do.
    Failing(Box<Failure>, Answering),
    /// The answer had to be read to know what is to be done.
    Refusal(Box<Refusal>),
}

/// Why one try gave no answer.
pub(super) enum TryError {
    /// Another one may.
    Failed(Outcome, Fault),
    /// None may.
    Stop(Stop),
}

impl<T: Into<Stop>> From<T> for TryError {
    fn from(stop: T) -> Self {
        Self::Stop(stop.into())
    }
}

/// One target, with what its own answers teach: an upstream that refuses a translated request for a parameter that it names
/// gets it once more without, for no table knows what every server takes; one that has none of the older completions is
/// asked for a chat's next turn.
pub(super) async fn try_target(
    world: &World,
    caller: &mut Caller<'_>,
    errand: &Errand<'_>,
    to: Try<'_, '_>,
    work: &mut Work,
    upload: &mut Upload<'_>,
) -> Result<Tryout, TryError> {
    let mut answering = prepare_and_try(world, caller, errand, to, work, upload).await?;
    if errand.path == endpoint::COMPLETIONS
        && work.translation.is_none()
        && matches!(work.response.status(), 404 | 405 | 501)
    {
        work.as_chat = true;
        answering = Box::pin(prepare_and_try(world, caller, errand, to, work, upload)).await?;
    }
    if !translate::may_go_again(work) {
        return held(world, caller, errand, to, answering, work).await;
    }
    let refusal = Box::pin(read_refusal(world, caller, to, answering, work)).await?;
    translate::omit_refused(refusal.status(), refusal.body(), work);
    if work.omitted.is_empty() {
        return Ok(Tryout::Refusal(refusal));
    }
    let answering = Box::pin(prepare_and_try(world, caller, errand, to, work, upload)).await?;
    Box::pin(held(world, caller, errand, to, answering, work)).await
}

/// Holds a stream's head until it has begun.
async fn held(
    world: &World,
    caller: &Caller<'_>,
    errand: &Errand<'_>,
    to: Try<'_, '_>,
    answering: Answering,
    work: &mut Work,
) -> Result<Tryout, TryError> {
    if !errand.is_json {
        return Ok(Tryout::Answering(answering));
    }
    let Try { target, destination, .. } = to;
    let held = hold::hold(world, destination, answering, target.dialect, errand.site.config().hold, work);
    let held = unless_gone(caller.inbox, pin!(held)).await;
    match held.inspect_err(|_| destination.numbers.aborts.add(1))? {
        Held::Begun(answering) => Ok(Tryout::Answering(answering)),
        Held::Failed(failure, answering) => Ok(Tryout::Failing(Box::new(failure), answering)),
        Held::Broken(fault) if fault.who == Who::Upstream && errand.may_replay => {
            let outcome = if fault.status == 504 { Outcome::Silent } else { Outcome::Closed };
            Err(TryError::Failed(outcome, fault))
        }
        Held::Broken(fault) => Err(fault.into()),
    }
}

pub(super) async fn read_refusal(
    world: &World,
    caller: &Caller<'_>,
    to: Try<'_, '_>,
    answering: Answering,
    work: &mut Work,
) -> Result<Box<Refusal>, Stop> {
    let Try { target, destination, pool, .. } = to;
    let read = refusal::read(world, (destination, pool), target, answering, work);
    let read = unless_gone(caller.inbox, pin!(read)).await;
    read.inspect_err(|_| destination.numbers.aborts.add(1))?
}

/// Makes of the client's body what this target gets, and sends it there.
async fn prepare_and_try(
    world: &World,
    caller: &mut Caller<'_>,
    errand: &Errand<'_>,
    to: Try<'_, '_>,
    work: &mut Work,
    upload: &mut Upload<'_>,
) -> Result<Answering, TryError> {
    work.translation = None;
    work.losses.clear();
    work.record.upstream_dialect = None;
    let Try { target, destination, .. } = to;
    let Upload::Buffered(body, splice) = upload else {
        return try_once(world, caller, errand, to, work, upload).await;
    };
    let asking = Asking::of(errand.path).filter(|_| target.dialect != errand.dialect || work.as_chat);
    let mut other = Body::from(if let Some(asking) = asking {
        let site = errand.site;
        let translated = Box::pin(translate::request(world, site, asking, (destination, target), body, work));
        match unless_gone(caller.inbox, pin!(translated)).await? {
            Ok(translated) => translated,
            // It may be said in the next one's dialect.
            Err(Stop::Fault(fault)) if fault.who == Who::Client => {
                return Err(TryError::Failed(Outcome::Untranslatable, fault));
            }
            Err(stop) => return Err(stop.into()),
        }
    } else {
        // The scanner has seen whether there may be any.
        let thought = work.members.noted().then_some(&*body);
        match thought.and_then(|body| translate::spare_foreign_thinking(errand.path, body, destination, target)) {
            Some(spared) => spared,
            None => {
                *splice = plan::rename(target, work);
                return try_once(world, caller, errand, to, work, upload).await;
            }
        }
    });
    let answering = try_once(world, caller, errand, to, work, &mut Upload::Buffered(&mut other, None)).await?;
    if translate::may_go_again(work) {
        work.sent = other.into_bytes();
    }
    Ok(answering)
}

/// Sends the request. A kept connection that fails before any byte of an answer was stale: what may be sent again is, once,
/// on a fresh one.
async fn try_once(
    world: &World,
    caller: &mut Caller<'_>,
    errand: &Errand<'_>,
    to: Try<'_, '_>,
    work: &mut Work,
    upload: &mut Upload<'_>,
) -> Result<Answering, TryError> {
    let inbox = caller.inbox;
    let Try { target, destination, pool, key, elsewhere, .. } = to;
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
        turn: key,
        elsewhere,
    };
    let framing = match upload {
        Upload::Buffered(body, splice) => Framing::Length(plan::spliced_length(body.len(), splice.as_ref())),
        Upload::Streamed(_) => errand.framing,
    };
    let may_replay = errand.may_replay && provider.replay;
    // A client that names no session is one by its connection.
    let session = || session::of_head(errand.request).unwrap_or_else(|| std::ptr::from_ref(inbox).addr() as u64);
    let mut fresh = false;
    loop {
        work.record.attempts += 1;
        let upstream =
            match unless_gone(inbox, pin!(ask::connect(world, destination, pool, work, fresh, &session))).await? {
                Ok(upstream) => upstream,
                Err(ConnectError::NotReached(outcome, fault)) => return Err(TryError::Failed(outcome, fault)),
                Err(ConnectError::Fault(fault)) => return Err(fault.into()),
            };
        let (may_be_stale, idle_ticks) = (upstream.may_be_stale(), upstream.idle_ticks);
        work.record.reused = upstream.reused;
        world.buffers.give(std::mem::replace(&mut work.out, world.buffers.take()));
        outbound.write_head(&mut work.out, framing);
        let asked = ask::ask(world, destination, caller, upstream, errand.request.version(), work, upload);
        let asked = unless_gone(inbox, pin!(asked)).await;
        let (outcome, fault) = match asked.inspect_err(|_| numbers.aborts.add(1))? {
            Ok(answering) => return Ok(answering),
            Err(AskError::Closed) => {
                if may_be_stale {
                    pool.failed_reuse(idle_ticks);
                }
                if may_be_stale && may_replay && !fresh {
                    numbers.replays.add(1);
                    fresh = true;
                    continue;
                }
                let message = format!("{} closed the connection without an answer.", provider.name);
                (Outcome::Closed, Fault::upstream(502, "upstream-closed", message))
            }
            Err(AskError::Failed(outcome, fault)) => (outcome, fault),
            Err(AskError::Stop(stop)) => return Err(stop.into()),
        };
        return Err(if may_replay { TryError::Failed(outcome, fault) } else { fault.into() });
    }
}
