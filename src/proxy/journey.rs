//! The tries of one request: each next one as its [`Course`] says, and what follows from each. What a single try does is in
//! [`super::reach`].

use std::pin::pin;
use std::time::Instant;

use super::ask::{Answering, Caller};
use super::connection::Stop;
use super::job::{Tried, Work};
use super::plan::Target;
use super::reach::{Answered, Errand, Reached, Try, TryError, Tryout, read_refusal, try_target};
use super::refusal::{self, Refusal};
use super::site::Destination;
use super::translate::now_unix;
use super::upload::Upload;
use super::world::World;
use crate::config::variables::prefix;
use crate::dialect::failure::{self, Class, Failure};
use crate::fault::{Fault, Who};
use crate::http::reject::Reject;
use crate::net::inbox::unless_gone;
use crate::route::course::{Course, Outlook, Step};
use crate::route::health::Demand;
use crate::route::strategy;
use crate::route::verdict::{Answer, Blame, Outcome, Retry, Verdict};

/// The tries of one request.
pub(super) struct Journey<'a, 't> {
    pub(super) targets: &'t [Target],
    pub(super) course: &'t mut Course,
    /// The origin that the client's credential went to: it follows the request to no other.
    pub(super) lent_to: Option<(&'a str, u16)>,
    /// What the client is told if no try succeeds: an upstream's own words before words of ours.
    pub(super) last: Option<Last>,
    /// Milliseconds since the process began.
    pub(super) now: u64,
}

/// What an answer's beginning says.
#[allow(clippy::large_enum_variant, reason = "it lives for a moment")]
enum Judged<'a> {
    /// It is the client's.
    Good(Reached<'a>),
    /// It must be read.
    Bad(Answering),
}

pub(super) enum Last {
    Refusal(Box<Refusal>),
    Fault(Fault),
}

impl<'a, 't> Journey<'a, 't> {
    /// One try after the other.
    pub(super) async fn run(
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
                Step::Over { limited_until } => return self.over(errand, limited_until, work),
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
                    Judged::Good(reached) => return Ok(reached),
                    Judged::Bad(answering) => Box::pin(read_refusal(world, caller, to, answering, work)).await?,
                },
                // The rest of such a stream is not worth reading: its connection ends.
                Ok(Tryout::Failing(failure, answering)) => {
                    match self.judged(errand, to, Some(&failure), answering, work) {
                        Judged::Good(reached) => return Ok(reached),
                        Judged::Bad(_) => refusal::of_stream(*failure, to.target, work),
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

    /// An answer began, or a stream that tells of a failure: whether it is the client's.
    fn judged(
        &mut self,
        errand: &Errand<'a>,
        to: Try<'a, 't>,
        failure: Option<&Failure>,
        answering: Answering,
        work: &mut Work,
    ) -> Judged<'a> {
        let status = failure.map_or(work.response.status(), |failure| failure.status(to.target.dialect));
        let class = failure.map(|failure| failure.class);
        let answer = answer(errand, to, status, class, |name| work.response.get(name));
        let verdict = Outcome::Answered(answer).verdict();
        let may_help = verdict.retry != Retry::Never && self.course.may_go_on();
        // A page is nothing that a client of a dialect can read: its words are told in the dialect's.
        let is_page = status >= 400 && failure.is_none() && refusal::is_page(&work.response);
        if errand.is_json && (may_help || is_page) {
            return Judged::Bad(answering);
        }
        to.destination.health.report(to.key, to.demand, verdict, answer.retry_after, self.now);
        work.spent = verdict.retry != Retry::Never;
        if work.spent && errand.is_json {
            count(errand, work, to, status, "");
        }
        let Try { destination, pool, target, .. } = to;
        Judged::Good(Reached::Answer(Answered { answering, destination, pool, rename: target.rename.clone() }))
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
        let is_keys = matches!(verdict.blame, Blame::Key(_)) || verdict.retry == Retry::OtherKey;
        let other_key = is_keys && health.has_other_key(to.key, self.now);
        // How long each key rests its health knows: the first that is ready is used.
        let rest = if is_keys { Some(0) } else { rest };
        self.course.failed(to.place, verdict.retry, rest, other_key, self.now, world.random());
    }

    /// Nothing is left to try.
    fn over(&mut self, errand: &Errand<'a>, limited_until: Option<u64>, work: &mut Work) -> Result<Reached<'a>, Stop> {
        work.spent = true;
        match (self.last.take(), limited_until) {
            (Some(Last::Refusal(refusal)), _) => Ok(Reached::Refusal(refusal)),
            (Some(Last::Fault(fault)), _) => Err(fault.into()),
            (None, Some(until)) => {
                let name = self.at(errand, 0).map_or("", |(_, destination)| destination.provider.name.as_str());
                Err(limited(name, until.saturating_sub(self.now)).into())
            }
            (None, None) => Err(Reject::NotFound.into()),
        }
    }
}

/// What a missing model is remembered by. It is missing at one path: few servers count tokens, and not all have Responses.
fn model_at(target: &Target, path: &str) -> u64 {
    strategy::mix(target.hash ^ path.len() as u64)
}

/// Our own limit has no room in time.
fn limited(provider: &str, wait_ms: u64) -> Fault {
    let (seconds, prefix) = (wait_ms.div_ceil(1_000).max(1), prefix(provider));
    let message = format!(
        "The limit of {provider} ({prefix}_REQUESTS_PER_MINUTE, {prefix}_TOKENS_PER_MINUTE) is used up for {seconds} s, which is \
         longer than a request may wait here."
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
