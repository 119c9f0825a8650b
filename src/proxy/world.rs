//! What one worker owns, and what the workers share.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::RandomState;
use std::future::poll_fn;
use std::hash::{BuildHasher, Hasher};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::connection::contained;
use super::hold::Watchers;
use super::job::Job;
use super::site::{Settings, Site};
use super::stage::Stage;
use super::stop::Stops;
use super::trims::Trims;
use crate::json::Index;
use crate::limits;
use crate::net::buffers::Buffers;
use crate::net::deadlines::{Deadlines, NEVER};
use crate::net::dns::Resolver;
use crate::net::driver::Chosen;
use crate::net::pool::{Means, Pool};
use crate::net::trim_memory;
use crate::route::strategy::mix;
use crate::telemetry::counters::Counters;
use crate::telemetry::log::Log;
use crate::telemetry::request_id::RequestIds;
use crate::tokens::BlockCounts;
use crate::tokens::estimate::Learned;

/// What the workers share: read-mostly, or atomic.
pub struct Shared {
    /// The settings in force; workers look here when they are told to.
    settings: Mutex<Arc<Settings>>,
    /// When the process began: its clock's zero.
    pub began: Instant,
    /// This process's name among sidestreams: random, so that a request that comes back is known.
    pub name: String,
    /// Every worker's counters.
    pub counters: Vec<Arc<Counters>>,
    /// The driver, and why.
    pub driver: Chosen,
    /// Bytes of request bodies in memory.
    pub budget: Budget,
    /// Addresses of names.
    pub resolver: Resolver,
    /// Tokens of blocks that were counted.
    pub counts: Arc<BlockCounts>,
    /// Threads that merge lists of models.
    pub merges: Arc<AtomicUsize>,
    /// The log.
    pub log: Log,
    /// A signal came: `/readyz` says so from now on, also while new work is still taken.
    pub leaving: AtomicBool,
    /// A worker ended that should not have.
    pub failed: AtomicBool,
    /// How all requests are ended.
    pub stops: Stops,
}

impl Shared {
    /// What `workers` workers share.
    pub fn new(settings: Arc<Settings>, workers: usize, driver: Chosen, log: Log) -> Self {
        Self {
            began: Instant::now(),
            // The keys of std's hash maps come from the system's randomness.
            name: format!("{:016x}", RandomState::new().build_hasher().finish()),
            counters: (0..workers).map(|_| Arc::default()).collect(),
            budget: Budget::new(settings.config.buffer_max),
            resolver: Resolver::default(),
            counts: Arc::default(),
            merges: Arc::default(),
            settings: Mutex::new(settings),
            driver,
            log,
            leaving: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            stops: Stops::new(workers),
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts new settings in force. Workers take them when they are told to; requests under way keep the old.
    pub fn replace_settings(&self, settings: Arc<Settings>) {
        self.budget.resize(settings.config.buffer_max);
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
    }
}

/// One worker's world. Nothing in it is locked, and no borrow is held across an await.
pub struct World {
    /// What the workers share.
    pub shared: Arc<Shared>,
    /// This worker's number.
    pub index: usize,
    /// This worker's counters.
    pub counters: Arc<Counters>,
    /// Read buffers.
    pub buffers: Rc<Buffers>,
    /// Everything that waits.
    pub deadlines: Rc<Deadlines>,
    /// Numbers the requests.
    pub request_ids: RequestIds,
    /// Makes what no other answer has.
    seeds: Seeds,
    /// Look into streams that are held.
    pub watchers: Watchers,
    /// How many bytes a token has, by model.
    pub tokens: RefCell<Learned>,
    /// The same of the bytes of whole bodies, by the client's name of the model.
    pub body_tokens: RefCell<Learned>,
    /// Of the body that is looked into.
    pub bodies: RefCell<Index>,
    site: RefCell<Rc<Site>>,
    /// What opening a connection needs.
    means: Means,
    /// No new work: answers say `Connection: close`, idle connections end.
    pub draining: Cell<bool>,
    /// The grace is over: upstream connections were ended, and what they carried is cut.
    pub stopping: Cell<bool>,
    /// Boxed: a job is lent to a future for long; moving its box is cheap, moving it is not.
    #[allow(
        clippy::vec_box,
        reason = "a job is lent for long, and moving its box is cheap; the lint looks at its size alone"
    )]
    jobs: RefCell<Vec<Box<Job>>>,
    stages: RefCell<Vec<Stage>>,
    /// Who waits for `stopping`.
    stop_waiters: Cell<Vec<Waker>>,
    /// When memory is given back.
    trims: Cell<Trims>,
}

/// Random once, then counted: ids made of a seed are hashes of it.
struct Seeds {
    random: u64,
    count: Cell<u64>,
}

impl Default for Seeds {
    fn default() -> Self {
        // The keys of std's hash maps come from the system's randomness.
        Self { random: RandomState::new().build_hasher().finish(), count: Cell::new(0) }
    }
}

impl Seeds {
    fn next(&self) -> [u8; 16] {
        let mut seed = [0; 16];
        let (random, count) = seed.split_at_mut(8);
        random.copy_from_slice(&self.random.to_be_bytes());
        count.copy_from_slice(&self.next_number().to_be_bytes());
        seed
    }

    fn next_number(&self) -> u64 {
        self.count.set(self.count.get().wrapping_add(1));
        self.count.get()
    }
}

/// Jobs kept for reuse: about as many as requests run side by side in a busy sidecar.
const SPARE_JOBS_MAX: usize = 64;

impl World {
    /// The world of worker number `index`.
    pub fn new(shared: Arc<Shared>, index: usize) -> Self {
        let counters = shared.counters.get(index).cloned().unwrap_or_default();
        let means = Means { resolver: shared.resolver.clone(), deadlines: Rc::default(), buffers: Rc::default() };
        let site = Site::new(shared.settings(), &counters, &means, None);
        Self {
            index,
            counters,
            buffers: means.buffers.clone(),
            deadlines: means.deadlines.clone(),
            means,
            request_ids: RequestIds::new(index),
            seeds: Seeds::default(),
            watchers: Watchers::default(),
            tokens: RefCell::default(),
            body_tokens: RefCell::default(),
            bodies: RefCell::default(),
            site: RefCell::new(Rc::new(site)),
            draining: Cell::new(false),
            stopping: Cell::new(false),
            jobs: RefCell::default(),
            stages: RefCell::default(),
            stop_waiters: Cell::default(),
            trims: Cell::default(),
            shared,
        }
    }

    /// What runs now. Whoever begins something keeps it to the end.
    pub fn site(&self) -> Rc<Site> {
        self.site.borrow().clone()
    }

    /// Takes the settings in force. Connections that nobody can use any more are closed.
    pub fn reload(&self) {
        let before = self.site();
        let after = Rc::new(Site::new(self.shared.settings(), &self.counters, &self.means, Some(&before)));
        *self.site.borrow_mut() = after.clone();
        let kept = |pool: &Rc<Pool>| after.pools().any(|(_, other)| Rc::ptr_eq(pool, &other));
        for (destination, pool) in before.pools().filter(|(_, pool)| !kept(pool)) {
            pool.drain();
            destination.collect(&pool);
        }
    }

    /// No new work: answers say `Connection: close`, idle connections end.
    pub fn drain(&self) {
        self.draining.set(true);
        self.deadlines.end_idle_clients(limits::DRAIN_FIRST_REQUEST);
        self.site().pools().for_each(|(_, pool)| pool.drain());
    }

    /// The grace is over: ends what it was for.
    pub fn stop(&self) {
        self.stopping.set(true);
        self.deadlines.end_everything();
        self.stop_waiters.take().into_iter().for_each(Waker::wake);
    }

    /// Runs `work`, which no deadline's entry can end, unless [`World::stop`] comes first.
    pub async fn unless_stopped<T>(&self, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        let mut waiting = StopWaiter { world: self, waker: None };
        poll_fn(|cx| {
            if let Poll::Ready(output) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            if self.stopping.get() {
                return Poll::Ready(None);
            }
            waiting.register(cx.waker());
            Poll::Pending
        })
        .await
    }

    /// Milliseconds since the process began, as health and limits count them.
    pub fn millis(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.shared.began).as_millis() as u64
    }

    /// The time that [`World::millis`] gives a number for.
    pub fn instant(&self, millis: u64) -> Instant {
        self.shared.began + Duration::from_millis(millis)
    }

    /// A number by chance: for pauses and choices, not for secrets.
    pub fn random(&self) -> u64 {
        mix(self.seeds.random ^ self.seeds.next_number())
    }

    /// 16 bytes that no other answer has.
    pub fn seed(&self) -> [u8; 16] {
        self.seeds.next()
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

    /// A place for one exchange.
    pub fn take_stage(&self) -> Stage {
        self.stages.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a place back that is free again.
    pub fn give_stage(&self, stage: Stage) {
        let mut stages = self.stages.borrow_mut();
        if stages.len() < SPARE_JOBS_MAX {
            stages.push(stage);
        }
    }

    /// Looks after kept upstream connections, notes log lines that were lost, and gives memory back. Gives the tick at which
    /// there is something left to do.
    pub fn tick(&self, now: u32) -> u32 {
        let site = self.site();
        let mut due = NEVER;
        for (destination, pool) in site.pools() {
            if pool.sweep(now) {
                let (pool, counters) = (pool.clone(), self.counters.clone());
                // That it failed is counted; who was waited for at the start was told once.
                let open = async move { drop(pool.add_spare().await) };
                monoio::spawn(async move { counters.panics.add(u64::from(contained(pin!(open)).await)) });
            }
            destination.collect(&pool);
            due = due.min(pool.due(now));
        }
        self.counters.log_dropped.add(self.shared.log.take_dropped());
        due.min(self.trim(now))
    }

    /// Buffers of a busy hour lie between long-lived blocks, where the allocator keeps them until it is asked: now and then while
    /// requests come, if none is open just then, and once when they have ended and their connections have fallen silent.
    fn trim(&self, now: u32) -> u32 {
        let mut trims = self.trims.get();
        let due = trims.due(self.counters.requests.get(), self.counters.requests_open.get() > 0, now);
        if due == Some(now) {
            trim_memory();
        }
        self.trims.set(trims);
        due.filter(|due| *due > now).unwrap_or(NEVER)
    }
}

/// One who waits for the stop; it leaves the list when its wait ends, however that is: a waker keeps its task's memory.
struct StopWaiter<'a> {
    world: &'a World,
    waker: Option<Waker>,
}

impl StopWaiter<'_> {
    fn register(&mut self, waker: &Waker) {
        if self.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            self.leave();
            self.waker = Some(waker.clone());
            let mut waiters = self.world.stop_waiters.take();
            waiters.push(waker.clone());
            self.world.stop_waiters.set(waiters);
        }
    }

    fn leave(&mut self) {
        if let Some(waker) = self.waker.take() {
            let mut waiters = self.world.stop_waiters.take();
            if let Some(place) = waiters.iter().position(|waiter| waiter.will_wake(&waker)) {
                waiters.swap_remove(place);
            }
            self.world.stop_waiters.set(waiters);
        }
    }
}

impl Drop for StopWaiter<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Bytes of request bodies that may be in memory at once, over all workers.
#[derive(Debug)]
pub struct Budget {
    used: AtomicU64,
    max: AtomicU64,
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
        Self { used: AtomicU64::new(0), max: AtomicU64::new(max) }
    }

    /// Sets another bound; what is held stays.
    fn resize(&self, max: u64) {
        self.max.store(max, Relaxed);
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
        if used.saturating_add(more) > self.budget.max.load(Relaxed) {
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
