//! What one worker owns, and what the workers share.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Poll, Waker};

use super::job::Job;
use crate::config::{Base, Config};
use crate::limits;
use crate::net::buffers::Buffers;
use crate::net::deadlines::Deadlines;
use crate::net::dns::Resolver;
use crate::net::driver::Chosen;
use crate::net::origin::Origin;
use crate::net::pool::{Bounds, Means, Pool};
use crate::net::trim_memory;
use crate::telemetry::counters::Counters;
use crate::telemetry::log::Log;

/// What the workers share: read-mostly, or atomic.
pub struct Shared {
    /// The configuration.
    pub config: Config,
    /// Names.
    pub resolver: Resolver,
    /// Every worker's counters.
    pub counters: Vec<Arc<Counters>>,
    /// The driver, and why.
    pub driver: Chosen,
    /// Bytes of request bodies in memory.
    pub budget: Budget,
    /// The log.
    pub log: Log,
    /// A signal came: `/readyz` says so from now on, also while new work is still taken.
    pub leaving: AtomicBool,
    /// A worker ended that should not have.
    pub failed: AtomicBool,
}

/// One worker's world. Nothing in it is locked, and no borrow is held across an await.
pub struct World {
    /// What the workers share.
    pub shared: Arc<Shared>,
    /// This worker's counters.
    pub counters: Arc<Counters>,
    /// Read buffers.
    pub buffers: Rc<Buffers>,
    /// Everything that waits.
    pub deadlines: Rc<Deadlines>,
    /// The provider's OpenAI face.
    pub openai: Option<Face>,
    /// The provider's Anthropic face.
    pub anthropic: Option<Face>,
    /// No new work: answers say `Connection: close`, idle connections end.
    pub draining: Cell<bool>,
    /// The grace is over: upstream connections were ended, and what they carried is cut.
    pub stopping: Cell<bool>,
    #[expect(
        clippy::vec_box,
        reason = "a job is lent to a future for long; moving its box is cheap, moving it is not"
    )]
    jobs: RefCell<Vec<Box<Job>>>,
    /// Who waits for `stopping`.
    stop_waiters: Cell<Vec<Waker>>,
    /// Requests counted when the memory was last trimmed.
    trimmed_at: Cell<u64>,
}

/// One face of an upstream, as this worker reaches it.
pub struct Face {
    /// Its base URL.
    pub base: Base,
    /// It is the Anthropic face.
    pub anthropic: bool,
    /// The kept connections to its origin; faces at one origin share them.
    pub pool: Rc<Pool>,
}

/// Jobs kept for reuse: about as many as requests run side by side in a busy sidecar.
const SPARE_JOBS_MAX: usize = 64;

impl World {
    /// The world of worker number `index`.
    pub fn new(shared: Arc<Shared>, index: usize) -> Self {
        let provider = &shared.config.provider;
        let (deadlines, buffers) = (Rc::<Deadlines>::default(), Rc::<Buffers>::default());
        let means = Means { resolver: shared.resolver.clone(), deadlines: deadlines.clone(), buffers: buffers.clone() };
        let pool = |base: &Base| {
            let origin = Origin::new(&base.host, base.port, None, None, provider.connect_timeout);
            let bounds = Bounds { max: usize::MAX, kept_max: provider.keepalive_connections, warm: 0 };
            Rc::new(Pool::new(Rc::new(origin), bounds, means.clone()))
        };
        let face = |base: &Base, anthropic, pool| Face { base: base.clone(), anthropic, pool };
        let openai = provider.openai.as_ref().map(|base| face(base, false, pool(base)));
        let anthropic = provider.anthropic.as_ref().map(|base| {
            let same = openai.as_ref().filter(|one| (&one.base.host, one.base.port) == (&base.host, base.port));
            face(base, true, same.map_or_else(|| pool(base), |one| one.pool.clone()))
        });
        Self {
            openai,
            anthropic,
            counters: shared.counters.get(index).cloned().unwrap_or_default(),
            buffers,
            deadlines,
            draining: Cell::new(false),
            stopping: Cell::new(false),
            jobs: RefCell::default(),
            stop_waiters: Cell::default(),
            trimmed_at: Cell::new(0),
            shared,
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// The grace is over: ends what it was for.
    pub fn stop(&self) {
        self.stopping.set(true);
        self.deadlines.end_everything();
        self.stop_waiters.take().into_iter().for_each(Waker::wake);
    }

    /// Runs `work`, which no deadline's entry can end, unless [`World::stop`] comes first.
    pub async fn unless_stopped<T>(&self, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        poll_fn(|cx| {
            if let Poll::Ready(output) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            if self.stopping.get() {
                return Poll::Ready(None);
            }
            let mut waiters = self.stop_waiters.take();
            if !waiters.iter().any(|waiter| waiter.will_wake(cx.waker())) {
                waiters.push(cx.waker().clone());
            }
            self.stop_waiters.set(waiters);
            Poll::Pending
        })
        .await
    }

    /// Memory for one request.
    pub fn take_job(&self) -> Box<Job> {
        self.jobs.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a finished request's memory back.
    pub fn give_job(&self, mut job: Box<Job>) {
        job.shrink(&self.buffers);
        let mut jobs = self.jobs.borrow_mut();
        if jobs.len() < SPARE_JOBS_MAX {
            jobs.push(job);
        }
    }

    /// Once a tick: closes upstream connections that were idle too long, notes log lines that were lost, and gives memory
    /// back. True while there is something left to do for later ticks.
    pub fn tick(&self, now: u32) -> bool {
        for face in [&self.openai, &self.anthropic].into_iter().flatten() {
            face.pool.sweep(now);
        }
        self.counters.log_dropped.add(self.shared.log.take_dropped());
        // Buffers of a busy hour lie between long-lived blocks, where the allocator keeps them until it is asked.
        let requests = self.counters.requests.get();
        let served_since = requests != self.trimmed_at.get();
        if now.is_multiple_of(limits::TRIM_TICKS) && served_since && self.counters.requests_open.get() == 0 {
            self.trimmed_at.set(requests);
            trim_memory();
            return false;
        }
        served_since
    }
}

/// Bytes of request bodies that may be in memory at once, over all workers.
#[derive(Debug)]
pub struct Budget {
    used: AtomicU64,
    max: u64,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub struct Lease<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    /// A budget of `max` bytes.
    pub fn new(max: u64) -> Self {
        Self { used: AtomicU64::new(0), max }
    }

    /// An empty lease.
    pub fn lease(&self) -> Lease<'_> {
        Lease { budget: self, bytes: 0 }
    }
}

impl Lease<'_> {
    /// Grows to `bytes`; false if the budget is spent. It never shrinks before it ends.
    pub fn grow(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let used = self.budget.used.fetch_add(more, Relaxed);
        if used.saturating_add(more) > self.budget.max {
            self.budget.used.fetch_sub(more, Relaxed);
            return false;
        }
        self.bytes += more;
        true
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_kept_and_given_back() {
        let budget = Budget::new(100);
        let mut first = budget.lease();
        assert!(first.grow(60) && first.grow(50) && first.grow(80));
        let mut second = budget.lease();
        assert!(!second.grow(21));
        assert!(second.grow(20));
        drop(first);
        assert!(second.grow(100));
        drop(second);
        assert_eq!(budget.used.load(Relaxed), 0);
    }
}
