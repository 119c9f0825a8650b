//! A try whose first token is late gets company: a second copy of the request goes to the next candidate, whichever speaks
//! first answers, and the other is ended. Opt-in, since both may be billed; `SIDESTREAM_HEDGE` bounds how many.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use super::ask::Caller;
use super::job::Work;
use super::journey::Journey;
use super::reach::{Errand, Try, TryError, Tryout, try_target};
use super::upload::{Body, Upload};
use super::world::World;
use crate::route::course::Outlook;
use crate::route::hedge::{Allowance, WAIT_MIN_MS};

/// What a try came to.
type Ended = Result<Tryout, TryError>;

impl<'a, 't> Journey<'a, 't> {
    /// How long the first token of this try may take before it gets company; `None` if it gets none.
    pub(super) fn hedge_after(&self, errand: &Errand<'a>, to: Try<'a, 't>, work: &Work) -> Option<Duration> {
        let settings = &errand.site.settings;
        let percent = settings.config.tries.hedge;
        if percent == 0 || !errand.may_replay || work.record.attempts > 0 {
            return None;
        }
        let pay = |bits| Some(Allowance::from_bits(bits).paid_in(percent).to_bits());
        let _ = settings.hedges.fetch_update(Relaxed, Relaxed, pay);
        let p95 = settings.stats.as_ref()?.seen(to.target.hash, self.now).p95_ms?;
        Some(Duration::from_secs_f64(p95.max(WAIT_MIN_MS) / 1e3))
    }

    /// Tries a target, after a while another one beside it. Gives the one that spoke first and what it came to; all of it is
    /// in `work` then, as if it had been alone. Where none speaks, the one that ended last.
    #[allow(clippy::too_many_arguments, reason = "those of a try, and the time")]
    pub(super) async fn race(
        &mut self,
        world: &World,
        caller: &Caller<'_>,
        errand: &Errand<'a>,
        to: Try<'a, 't>,
        after: Duration,
        work: &mut Work,
        upload: &mut Upload<'_>,
    ) -> (Try<'a, 't>, Ended) {
        let mut copy = match upload {
            Upload::Buffered(body, _) => Body::from(body.to_vec()),
            Upload::Streamed(_) => Body::default(),
        };
        let mut copied = Upload::Buffered(&mut copy, None);
        let mut spare = world.take_job();
        spare.begin(work.record.id);
        spare.work.begin_beside(work);
        let (mut one, mut two) = (caller.silent(), caller.silent());
        let mut first = Box::pin(try_target(world, &mut one, errand, to, work, upload));
        let early = monoio::time::timeout(after, first.as_mut()).await.ok();
        let other = if early.is_none() { self.company(errand, to, &mut spare.work) } else { None };
        let (winner, ended, lost) = match (early, other) {
            (Some(ended), _) => (to, ended, None),
            (None, None) => (to, first.as_mut().await, None),
            (None, Some(other)) => {
                let second = pin!(try_target(world, &mut two, errand, other, &mut spare.work, &mut copied));
                let (is_second, ended, lost) = whoever_speaks(first.as_mut(), second).await;
                let (winner, loser) = if is_second { (other, to) } else { (to, other) };
                (winner, ended, lost.map(|lost| (loser, lost)))
            }
        };
        drop(first);
        let attempts = work.record.attempts + spare.work.record.attempts;
        if winner.place != to.place {
            winner.destination.numbers.hedges_won.add(1);
            work.swap_try(&mut spare.work);
        }
        work.record.attempts = attempts;
        world.give_job(spare);
        if let Some((loser, lost)) = lost {
            self.lost(world, errand, loser, &lost, work);
        }
        (winner, ended)
    }

    /// Another candidate that nothing speaks against, if one more copy is allowed.
    fn company(&mut self, errand: &Errand<'a>, to: Try<'a, 't>, work: &mut Work) -> Option<Try<'a, 't>> {
        let demand = work.record.demand;
        let is_fair = |place| self.outlook(errand, place, demand) == Outlook::Fair;
        let (place, again) = self.course.beside(to.place, is_fair)?;
        let take = |bits| Allowance::from_bits(bits).taken().map(Allowance::to_bits);
        errand.site.settings.hedges.fetch_update(Relaxed, Relaxed, take).ok()?;
        let other = self.enter(errand, place, again, work)?;
        self.course.began(place);
        other.destination.numbers.hedges.add(1);
        Some(other)
    }
}

/// The first of two that begins an answer; whether that is the second, and what the other came to if it ended before.
async fn whoever_speaks(
    mut first: Pin<&mut impl Future<Output = Ended>>,
    mut second: Pin<&mut impl Future<Output = Ended>>,
) -> (bool, Ended, Option<Ended>) {
    let (mut one, mut two): (Option<Ended>, Option<Ended>) = (None, None);
    poll_fn(|cx| {
        if one.is_none()
            && let Poll::Ready(ended) = first.as_mut().poll(cx)
        {
            if two.is_some() || speaks(&ended) {
                return Poll::Ready((false, ended, two.take()));
            }
            one = Some(ended);
        }
        if two.is_none()
            && let Poll::Ready(ended) = second.as_mut().poll(cx)
        {
            if one.is_some() || speaks(&ended) {
                return Poll::Ready((true, ended, one.take()));
            }
            two = Some(ended);
        }
        Poll::Pending
    })
    .await
}

fn speaks(ended: &Ended) -> bool {
    matches!(ended, Ok(Tryout::Answering(answering)) if answering.status < 400)
}
