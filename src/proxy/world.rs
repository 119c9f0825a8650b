//! What one worker owns, and what the workers share.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
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
use crate::net::driver::Chosen;
use crate::net::pool::Pool;
use crate::net::trim_memory;
use crate::telemetry::counters::Counters;
use crate::telemetry::log::Log;

/// What the workers share: read-mostly, or atomic.
pub struct Shared {
    /// The configuration.
    pub config: Config,
    /// Where each face's upstream answers, resolved before the workers start.
    pub addresses: Addresses,
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

/// Socket addresses of the provider's faces.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// Of the OpenAI face.
    pub openai: Vec<SocketAddr>,
    /// Of the Anthropic face.
    pub anthropic: Vec<SocketAddr>,
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
    /// Where it answers.
    pub addresses: Vec<SocketAddr>,
    /// The kept connections to its origin; faces at one origin share them.
    pub pool: Rc<Pool>,
}

/// Jobs kept for reuse: about as many as requests run side by side in a busy sidecar.
const SPARE_JOBS_MAX: usize = 64;

impl World {
    /// The world of worker number `index`.
    pub fn new(shared: Arc<Shared>, index: usize) -> Self {
        let provider = &shared.config.providers[0];
        let idle_ticks = (limits::UPSTREAM_IDLE_MAX.as_millis() / limits::TICK.as_millis()) as u32;
        let pool = || Rc::new(Pool::new(provider.keepalive_connections, idle_ticks));
        let face = |base: &Option<Base>, addresses: &[SocketAddr], anthropic, pool| {
            base.clone().map(|base| Face { base, anthropic, addresses: addresses.to_vec(), pool })
        };
        let origin = |base: &Option<Base>| base.as_ref().map(|base| (base.host.clone(), base.port));
        let first = pool();
        let second = if origin(&provider.openai) == origin(&provider.anthropic) { first.clone() } else { pool() };
        Self {
            openai: face(&provider.openai, &shared.addresses.openai, false, first),
            anthropic: face(&provider.anthropic, &shared.addresses.anthropic, true, second),
            counters: shared.counters.get(index).cloned().unwrap_or_default(),
            buffers: Rc::default(),
            deadlines: Rc::default(),
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
    pub async fn unless_stopped<T>(&self, mut work: Pin<Box<impl Future<Output = T>>>) -> Option<T> {
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
