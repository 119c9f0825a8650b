//! From targets to an answer: one try after the other, as the request's [`Course`] says, until one succeeds or no further
//! one may help.

use std::pin::pin;
use std::time::Instant;

use super::ask::{self, Answering, AskError, Caller, ConnectError};
use super::connection::{Client, Stop};
use super::hold::{self, Held};
use super::job::{Tried, Work};
use super::outbound::{Cargo, Outbound};
use super::plan::{self, Target};
use super::refusal::{self, Refusal};
use super::site::{Destination, Site};
use super::translate::{self, now_unix};
use super::upload::{Body, Upload};
use super::world::World;
use crate::dialect::failure::{self, Class, Failure};
use crate::dialect::translate::{self as dialects, Asking};
use crate::dialect::{Dialect, endpoint};
use crate::fault::{Fault, Who};
use crate::http::framing::Framing;
use crate::http::head::RequestHead;
use crate::http::reject::Reject;
use crate::net::inbox::unless_gone;
use crate::net::pool::Pool;
use crate::route::course::{Course, Outlook, Step};
use crate::route::health::Demand;
use crate::route::session;
use crate::route::strategy;
use crate::route::verdict::{Answer, Blame, Outcome, Retry, Verdict};

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
    course.begin(candidates, errand.site.config().max_tries, until);
    let now = world.millis(work.record.routed.unwrap_or(work.record.began));
    let mut journey = Journey { targets: &targets, course: &mut course, lent_to: None, last: None, now };
    let reached = journey.run(world, &mut Caller::of(client), errand, work, upload).await;
    (work.targets, work.course) = (targets, course);
    reached
}

/// The tries of one request.
pub(super) struct Journey<'a, 't> {
    targets: &'t [Target],
    pub(super) course: &'t mut Course,
    /// The origin that the client's credential went to: it follows the request to no other.
    lent_to: Option<(&'a str, u16)>,
    /// What the client is told if no try succeeds: an upstream's own words before words of ours.
    last: Option<Last>,
    /// Milliseconds since the process began.
    pub(super) now: u64,
}

enum Last {
    Refusal(Box<Refusal>),
    Fault(Fault),
}

/// Where one try goes.
#[derive(Clone, Copy)]
pub(super) struct Try<'a, 't> {
    pub(super) place: usize,
    pub(super) target: &'t Target,
    pub(super) destination: &'a Destination,
    pool: &'a Pool,
    /// Which of the provider's keys is used.
    key: usize,
    demand: Demand,
    /// The client's credential stays behind.
    elsewhere: bool,
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

impl<'a, 't> Journey<'a, 't> {
    async fn run(
        &mut self,
        world: &World,
        caller: &mut Caller<'_>,
        errand: &Errand<'a>,
        work: &mut Work,
        upload: &mut Upload<'_>,
    ) -> Result<Reached<'a>, Stop> {
        loop {
            let demand = work.record.demand;
            let (place, at, again) = match self.course.next(self.now, |place| self.outlook(errand, place, demand)) {
                Step::Go { place, at, again } => (place, at, again),
                Step::Over { limited_until } => return self.over(limited_until, work),
            };
            if at > self.now {
                // Boxed, as all that is rare here: no plain request shall carry its size.
                Box::pin(self.pause(world, caller, at)).await?;
                continue;
            }
            let Some(to) = self.enter(errand, place, again, work) else {
                self.course.left_out(place);
                continue;
            };
            self.course.began(place);
            let (to, tried) = match self.hedge_after(errand, to, work) {
                None => (to, try_target(world, caller, errand, to, work, upload).await),
                Some(after) => Box::pin(self.race(world, caller, errand, to, after, work, upload)).await,
            };
            let refusal = match tried {
                Ok(Tryout::Answering(answering)) => match self.judged(errand, to, None, answering, work) {
                    Ok(reached) => return Ok(reached),
                    Err(answering) => Box::pin(read_refusal(world, caller, to, answering, work)).await?,
                },
                // The rest of such a stream is not worth reading: its connection ends.
                Ok(Tryout::Failing(failure, answering)) => {
                    match self.judged(errand, to, Some(&failure), answering, work) {
                        Ok(reached) => return Ok(reached),
                        Err(_) => refusal::of_stream(*failure, to.target, work),
                    }
                }
                Ok(Tryout::Refusal(refusal)) => refusal,
                Err(TryError::Failed(outcome, fault)) => {
                    self.failed(world, errand, to, (outcome, fault), work);
                    continue;
                }
                Err(TryError::Stop(stop)) => return Err(self.stopped(to, stop)),
            };
            if let Some(refusal) = self.refused(world, errand, to, refusal, work) {
                return Ok(Reached::Refusal(refusal));
            }
        }
    }

    /// Waits until `at`, unless the client leaves or the grace is over.
    async fn pause(&mut self, world: &World, caller: &Caller<'_>, at: u64) -> Result<(), Stop> {
        let mut pause = pin!(monoio::time::sleep_until(world.instant(at).into()));
        let waited = unless_gone(caller.inbox, pin!(world.unless_stopped(pause.as_mut()))).await?;
        waited.ok_or_else(Fault::draining)?;
        self.course.waited(at.saturating_sub(self.now));
        self.now = world.millis(Instant::now()).max(at);
        Ok(())
    }

    pub(super) fn outlook(&self, errand: &Errand<'a>, place: usize, demand: Demand) -> Outlook {
        let Some((target, destination)) = self.at(errand, place) else { return Outlook::Bad };
        destination.health.outlook(Demand { model: model_at(target, errand.path), ..demand }, self.now)
    }

    fn at(&self, errand: &Errand<'a>, place: usize) -> Option<(&'t Target, &'a Destination)> {
        let target = self.targets.get(place)?;
        Some((target, errand.site.destinations.get(target.provider)?))
    }

    /// Takes what a try at a place needs of its provider; `None` if that is not to be had.
    pub(super) fn enter(
        &mut self,
        errand: &Errand<'a>,
        place: usize,
        again: bool,
        work: &mut Work,
    ) -> Option<Try<'a, 't>> {
        let (target, destination) = self.at(errand, place)?;
        let pool = destination.pool(target.dialect.face())?;
        let demand = Demand { model: model_at(target, errand.path), ..work.record.demand };
        let numbers = &destination.numbers;
        let Some(key) = destination.health.enter(demand, destination.next_turn(), again, self.now) else {
            numbers.retries_refused.add(1);
            return None;
        };
        numbers.retries.add(u64::from(again));
        numbers.failovers.add(u64::from(!again && work.record.attempts > 0));
        let wanted = destination.provider.wants_credential(errand.dialect);
        let origin = (pool.origin().host.as_str(), pool.origin().port);
        let elsewhere = wanted && *self.lent_to.get_or_insert(origin) != origin;
        work.record.provider = Some(target.provider);
        work.record.key = key;
        work.record.asked = errand.site.settings.stats.as_ref().map(|_| Instant::now());
        work.provider = Some(destination.provider.clone());
        Some(Try { place, target, destination, pool, key, demand, elsewhere })
    }

    /// An answer began, or a stream that tells of a failure: whether it is the client's. If not, it comes back.
    fn judged(
        &mut self,
        errand: &Errand<'a>,
        to: Try<'a, 't>,
        failure: Option<&Failure>,
        answering: Answering,
        work: &mut Work,
    ) -> Result<Reached<'a>, Answering> {
        let status = failure.map_or(work.response.status(), |failure| failure.status(to.target.dialect));
        let class = failure.map(|failure| failure.class);
        let answer = answer(errand, to, status, class, |name| work.response.get(name));
        let verdict = Outcome::Answered(answer).verdict();
        if verdict.retry != Retry::Never && errand.is_json && self.course.may_go_on() {
            return Err(answering);
        }
        to.destination.health.report(to.key, to.demand, verdict, answer.retry_after, self.now);
        work.record.spent = verdict.retry != Retry::Never;
        if work.record.spent && errand.is_json {
            count(errand, work, to, status, "");
        }
        let Try { destination, pool, target, .. } = to;
        Ok(Reached::Answer(Answered { answering, destination, pool, rename: target.rename.clone() }))
    }

    /// An answer that is no success was read. Gives it back if nothing else may help.
    fn refused(
        &mut self,
        world: &World,
        errand: &Errand<'a>,
        to: Try<'a, 't>,
        refusal: Box<Refusal>,
        work: &mut Work,
    ) -> Option<Box<Refusal>> {
        let class = Some(refusal.failure.class);
        let answer = answer(errand, to, refusal.status(), class, |name| refusal.get(name));
        let verdict = Outcome::Answered(answer).verdict();
        self.learn(world, to, verdict, answer.retry_after);
        if verdict.retry == Retry::Never {
            return Some(refusal);
        }
        note(errand, work, to, answer.status, "");
        self.last = Some(Last::Refusal(refusal));
        None
    }

    /// There was no answer.
    fn failed(
        &mut self,
        world: &World,
        errand: &Errand<'a>,
        to: Try<'a, 't>,
        (outcome, fault): (Outcome, Fault),
        work: &mut Work,
    ) {
        let verdict = outcome.verdict();
        match outcome {
            // Nothing was heard of it.
            Outcome::Full | Outcome::Untranslatable => self.course.left_out(to.place),
            _ => self.learn(world, to, verdict, None),
        }
        note(errand, work, to, 0, outcome.name());
        if !matches!(self.last, Some(Last::Refusal(_))) {
            self.last = Some(Last::Fault(fault));
        }
    }

    /// A try beside the one that answered came to nothing.
    pub(super) fn lost(
        &mut self,
        world: &World,
        errand: &Errand<'a>,
        to: Try<'a, 't>,
        tried: &Result<Tryout, TryError>,
        work: &mut Work,
    ) {
        let (status, outcome) = match tried {
            Err(TryError::Failed(outcome, _)) => (0, *outcome),
            Err(TryError::Stop(_)) => return,
            Ok(Tryout::Answering(answering)) => (answering.status, of_status(errand, to, answering.status, None)),
            Ok(Tryout::Failing(failure, _)) => {
                let status = failure.status(to.target.dialect);
                (status, of_status(errand, to, status, Some(failure.class)))
            }
            Ok(Tryout::Refusal(refusal)) => {
                let class = Some(refusal.failure.class);
                (refusal.status(), of_status(errand, to, refusal.status(), class))
            }
        };
        self.learn(world, to, outcome.verdict(), None);
        note(errand, work, to, status, if status == 0 { outcome.name() } else { "" });
    }

    /// Nothing more can be done. What the upstream did counts all the same.
    fn stopped(&self, to: Try<'a, 't>, stop: Stop) -> Stop {
        if let Stop::Fault(Fault { who: Who::Upstream, .. }) = stop {
            let verdict = Outcome::Garbled.verdict();
            to.destination.health.report(to.key, to.demand, verdict, None, self.now);
        }
        stop
    }

    fn learn(&mut self, world: &World, to: Try<'a, 't>, verdict: Verdict, rest: Option<u64>) {
        self.now = world.millis(Instant::now());
        let health = &to.destination.health;
        health.report(to.key, to.demand, verdict, rest, self.now);
        // An overloaded upstream, or one that cannot be reached, is that with every key.
        let is_keys = matches!(verdict.blame, Blame::Key(_));
        let other_key = is_keys && health.has_other_key(to.key, self.now);
        // How long each key rests its health knows: the first that is ready is used.
        let rest = if is_keys { Some(0) } else { rest };
        self.course.failed(to.place, verdict.retry, rest, other_key, self.now, world.random());
    }

    /// Nothing is left to try.
    fn over(&mut self, limited_until: Option<u64>, work: &mut Work) -> Result<Reached<'a>, Stop> {
        work.record.spent = true;
        match (self.last.take(), limited_until) {
            (Some(Last::Refusal(refusal)), _) => Ok(Reached::Refusal(refusal)),
            (Some(Last::Fault(fault)), _) => Err(fault.into()),
            (None, Some(until)) => Err(limited(until.saturating_sub(self.now)).into()),
            (None, None) => Err(Reject::NotFound.into()),
        }
    }
}

/// What a missing model is remembered by. It is missing at one path: few servers count tokens, and not all have Responses.
fn model_at(target: &Target, path: &str) -> u64 {
    strategy::mix(target.hash ^ path.len() as u64)
}

/// Our own limit has no room in time.
fn limited(wait_ms: u64) -> Fault {
    let seconds = wait_ms.div_ceil(1_000).max(1);
    let message = format!(
        "The provider's limit ({{NAME}}_REQUESTS_PER_MINUTE, {{NAME}}_TOKENS_PER_MINUTE) is used up for {seconds} s, which is \
         longer than a request waits here."
    );
    Fault { who: Who::Us, retry_after: Some(seconds), ..Fault::client(429, "rate-limited", message) }
}

/// What an answer says about trying again.
fn answer<'f>(
    errand: &Errand<'_>,
    to: Try<'_, '_>,
    status: u16,
    class: Option<Class>,
    field: impl Fn(&str) -> Option<&'f [u8]>,
) -> Answer {
    let clients_credential = to.destination.provider.wants_credential(errand.dialect);
    let answer = Answer { status, class, retry_after: None, should_retry: None, clients_credential };
    if status < 400 {
        return answer;
    }
    let should_retry = field("x-should-retry").and_then(|says| match says {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    });
    let retry_after = failure::retry_after(field("retry-after-ms"), field("retry-after"), now_unix());
    Answer { retry_after, should_retry, ..answer }
}

fn of_status(errand: &Errand<'_>, to: Try<'_, '_>, status: u16, class: Option<Class>) -> Outcome {
    Outcome::Answered(answer(errand, to, status, class, |_| None))
}

/// For the log and the counters.
fn note(errand: &Errand<'_>, work: &mut Work, to: Try<'_, '_>, status: u16, outcome: &'static str) {
    work.tried.push(Tried { provider: to.target.provider, key: to.key, status, outcome });
    count(errand, work, to, status, outcome);
}

fn count(errand: &Errand<'_>, work: &Work, to: Try<'_, '_>, status: u16, outcome: &'static str) {
    let Try { target, destination, key, .. } = to;
    let model = target.rename.as_ref().unwrap_or(&work.model);
    destination.numbers.failures.add(model, key, status, outcome);
    if let Some(stats) = &errand.site.settings.stats {
        stats.failed(target.hash);
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

async fn read_refusal(
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
        match translate::spare_foreign_thinking(errand.path, body, destination, target) {
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
        let (reused, idle_ticks) = (upstream.reused, upstream.idle_ticks);
        work.record.reused = reused;
        world.buffers.give(std::mem::replace(&mut work.out, world.buffers.take()));
        outbound.write_head(&mut work.out, framing);
        let asked = ask::ask(world, destination, caller, upstream, errand.request.version(), work, upload);
        let asked = unless_gone(inbox, pin!(asked)).await;
        let (outcome, fault) = match asked.inspect_err(|_| numbers.aborts.add(1))? {
            Ok(answering) => return Ok(answering),
            Err(AskError::Closed) => {
                if reused {
                    pool.failed_reuse(idle_ticks);
                }
                if reused && may_replay && !fresh {
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
