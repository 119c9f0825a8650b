//! The connections of one worker to one origin: kept ones, looked at before reuse; places for new ones, and a line of
//! those who wait for one; spares, opened ahead of need.
//!
//! Time is the deadlines' count of ticks. No borrow is held across an await, nor while a connection is dropped whose place
//! could wake somebody.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::buffers::Buffers;
use super::deadlines::{Deadlines, NEVER, Stage};
use super::dns::Resolver;
use super::idle_limit::IdleLimit;
use super::looks::Looks;
use super::origin::{OpenError, Opened, Origin, Timings};
use super::savings::Savings;
use super::slots::{LineFull, Slot, Slots, Turn, Waiting};
use super::spares::Spares;
use super::stream::{Inlet, Outlet};
use super::sys::Pulse;
use crate::limits;

/// A connection to an upstream, between two requests or in one. It holds one of its pool's places until it is dropped.
pub struct Upstream {
    /// What it sends.
    pub inlet: Inlet,
    /// What we send.
    pub outlet: Outlet,
    /// It was open before this request.
    pub reused: bool,
    /// It has carried a request before.
    served: bool,
    /// For how long it had been idle when it was taken.
    pub idle_ticks: u32,
    /// Declared last, dropped last: the place is free when the socket is closed.
    slot: Slot<Upstream>,
}

impl Upstream {
    /// Its failure may be no more than that of a stale keep-alive. A spare that was opened just now is as good as a new one.
    pub fn may_be_stale(&self) -> bool {
        self.served || self.idle_ticks > 1
    }
}

/// What a request gets.
pub struct Taken {
    /// The connection.
    pub upstream: Upstream,
    /// What opening it took; nothing for a kept one.
    pub timings: Timings,
    /// The request stood in the line first.
    pub waited: bool,
}

/// How many connections of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Open ones, idle or in use.
    pub max: usize,
    /// Requests that wait for one.
    pub line_max: usize,
    /// Idle ones, in the long run.
    pub kept_max: usize,
    /// Idle ones to have ready while the origin is in use.
    pub warm: usize,
}

/// What opening a connection needs from its worker.
#[derive(Clone)]
pub struct Means {
    /// Names.
    pub resolver: Resolver,
    /// Everything that waits.
    pub deadlines: Rc<Deadlines>,
    /// Read buffers.
    pub buffers: Rc<Buffers>,
}

/// Who waits for a connection.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// A hash of the session that the request belongs to: sessions have their turns by rounds.
    pub session: u64,
    /// How long it may wait.
    pub patience: Duration,
}

/// Why a request got no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolError {
    /// All connections are in use, and none became free in time, or too many wait already.
    Full {
        /// The origin, `host:port`.
        to: String,
        /// Connections in use.
        max: usize,
        /// How long the request waited; `None` if it did not, because the line was too long.
        waited: Option<Duration>,
        /// How long a wait takes, where that is known.
        wait: Option<Duration>,
    },
    /// None could be opened.
    Open(OpenError),
}

/// What happened in one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolNumbers {
    /// Connections opened, spares included.
    pub connects: u64,
    /// Attempts that failed, for spares included.
    pub connect_failures: u64,
    /// Requests that got a kept connection: so many connects were saved.
    pub reuses: u64,
    /// Kept connections that the origin had closed, or on which it had spoken, found before they were reused.
    pub stale: u64,
    /// Reuses that failed without an answer: found stale too late.
    pub stale_reuses: u64,
    /// Spare connections opened.
    pub spares: u64,
    /// Requests that had to wait for a place.
    pub waits: u64,
    /// Those that waited in vain, or found the line full.
    pub wait_timeouts: u64,
    /// Time that requests waited for connections to open.
    pub connect_micros: u64,
    /// Time that they would have waited without those that were open already.
    pub saved_micros: u64,
}

/// The connections to one origin.
pub struct Pool {
    origin: Rc<Origin>,
    bounds: Bounds,
    means: Means,
    slots: Rc<Slots<Upstream>>,
    /// The one used last at the back: it is the warmest. Spares come to the front.
    idle: RefCell<VecDeque<Idle>>,
    idle_limit: Cell<IdleLimit>,
    spares: Cell<Spares>,
    spares_on_their_way: Cell<usize>,
    savings: Cell<Savings>,
    looks: Cell<Looks>,
    /// Until this tick nothing is kept: see [`Pool::distrust`].
    distrusted_until: Cell<u32>,
    draining: Cell<bool>,
    numbers: Cell<PoolNumbers>,
}

const SURPLUS_TICKS: u32 = limits::ticks(limits::SURPLUS_REST);

struct Idle {
    upstream: Upstream,
    since: u32,
    /// When it was last known to be alive.
    seen: u32,
}

impl Pool {
    /// An empty pool.
    pub fn new(origin: Rc<Origin>, bounds: Bounds, means: Means) -> Self {
        Self {
            slots: Slots::new(bounds.max, bounds.line_max),
            origin,
            bounds,
            means,
            idle: RefCell::default(),
            idle_limit: Cell::default(),
            spares: Cell::default(),
            spares_on_their_way: Cell::new(0),
            savings: Cell::default(),
            looks: Cell::default(),
            distrusted_until: Cell::new(0),
            draining: Cell::new(false),
            numbers: Cell::default(),
        }
    }

    /// How many of which kind it may have.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Where its connections lead.
    pub fn origin(&self) -> &Rc<Origin> {
        &self.origin
    }

    /// A connection for a request: the kept one that was used last, a new one, or after a wait what becomes free first.
    /// With `fresh` never a kept one. `asker` is asked for who waits only if somebody must. Dropping this future leaves the line, or abandons the dialling.
    ///
    /// # Errors
    /// See [`PoolError`]. The wait for a place has the asker's patience, the opening the origin's `connect_timeout`.
    pub async fn acquire(&self, fresh: bool, asker: impl Fn() -> Asker) -> Result<Taken, PoolError> {
        self.update(&self.spares, |spares| spares.used(self.now()));
        self.update(&self.looks, Looks::used);
        if !fresh && let Some(upstream) = self.take_idle() {
            return Ok(Taken { upstream, timings: Timings::default(), waited: false });
        }
        let (slot, waited) = match self.slots.take().or_else(|| self.make_room()) {
            Some(slot) => (slot, false),
            // Boxed, like what follows: its timer is large, and a warm request passes neither.
            None => match Box::pin(self.wait(fresh, asker())).await? {
                Turn::Place(slot) => (slot, true),
                Turn::Kept(upstream) => return Ok(Taken { upstream, timings: Timings::default(), waited: true }),
            },
        };
        let Opened { inlet, outlet, timings } = Box::pin(self.open()).await.map_err(PoolError::Open)?;
        self.count(|numbers| numbers.connect_micros += timings.total_micros());
        Ok(Taken {
            upstream: Upstream { inlet, outlet, reused: false, served: false, idle_ticks: 0, slot },
            timings,
            waited,
        })
    }

    /// Takes back a connection whose answer ended exactly at its framed end: the first who waits gets it, else it is kept,
    /// and the one unused for longest makes room.
    pub fn keep(&self, mut upstream: Upstream) {
        let now = self.now();
        upstream.outlet.deadline().disarm();
        upstream.outlet.deadline().enter(Stage::Idle);
        if upstream.reused {
            self.update(&self.idle_limit, |limit| limit.alive_after(upstream.idle_ticks, now));
        }
        if now < self.distrusted_until.get() {
            return;
        }
        (upstream.reused, upstream.served, upstream.idle_ticks) = (true, true, 0);
        let Err(upstream) = self.slots.offer(upstream) else { return };
        // Whoever waits still wants a new connection: closing this one gives it the place.
        if self.slots.waiting() == 0 && !self.draining.get() {
            self.put(upstream, now, VecDeque::push_back);
        }
    }

    /// A reused connection, idle for `idle_ticks` before, failed without a byte of an answer: the origin had closed it.
    pub fn failed_reuse(&self, idle_ticks: u32) {
        self.count(|numbers| numbers.stale_reuses += 1);
        self.update(&self.savings, Savings::failed);
        self.update(&self.idle_limit, |limit| limit.closed_after(idle_ticks, self.now()));
    }

    /// The origin sent bytes behind an answer. Should it do so again a moment too late to be seen, they would become the
    /// beginning of somebody else's answer: for a while every request gets a connection of its own.
    pub fn distrust(&self) {
        self.distrusted_until.set(self.now() + limits::ticks(limits::UPSTREAM_IDLE_START));
        self.clear();
    }

    /// Closes the idle connections.
    pub fn clear(&self) {
        let idle = self.idle.take();
        drop(idle);
    }

    /// From now on nothing is kept and no spare is opened; requests are still served.
    pub fn drain(&self) {
        self.draining.set(true);
        self.clear();
    }

    /// Closes what idled for too long, and looks at what is idle: a second after a request, and then after ever longer
    /// times. To be called at the latest when [`Pool::due`] says. True when a spare connection is wanted: see
    /// [`Pool::add_spare`].
    pub fn sweep(&self, now: u32) -> bool {
        let look = self.update(&self.looks, |looks| looks.take(now));
        let max = self.idle_limit.get().ticks();
        let mut ended = Vec::new();
        let mut idle = self.idle.borrow_mut();
        let mut surplus = idle.len().saturating_sub(self.bounds.kept_max);
        let mut index = 0;
        while let Some(one) = idle.get_mut(index) {
            let idle_for = now.saturating_sub(one.since);
            // The front ones were not needed for the longest.
            let expired = idle_for >= max || (surplus > 0 && idle_for >= SURPLUS_TICKS);
            let sound = !(look || expired) || self.is_sound(one, now);
            if expired && sound {
                self.update(&self.idle_limit, |limit| limit.alive_after(idle_for, now));
            }
            if expired || !sound {
                ended.extend(idle.remove(index));
                surplus = surplus.saturating_sub(1);
            } else {
                index += 1;
            }
        }
        drop(idle);
        drop(ended);
        self.wants_spare(now)
    }

    /// When a sweep finds something to do, if nothing happens before.
    pub fn due(&self, now: u32) -> u32 {
        let spare = match self.lacks_spare(now) && self.slots.taken() < self.slots.max() {
            true => self.spares.get().not_before().max(self.distrusted_until.get()),
            // Somebody has to give a place back first.
            false => NEVER,
        };
        let idle = self.idle.borrow();
        let Some(oldest) = idle.iter().map(|one| one.since).min() else { return spare.max(now + 1) };
        let surplus = idle.len() > self.bounds.kept_max;
        let rest = self.idle_limit.get().ticks().min(if surplus { SURPLUS_TICKS } else { NEVER });
        (oldest + rest).min(self.looks.get().due()).min(spare).max(now + 1)
    }

    /// The origin is in use and spares are configured: the pool wants them, also while nothing is open.
    pub fn is_warm(&self, now: u32) -> bool {
        self.bounds.warm > 0 && !self.draining.get() && self.spares.get().in_use(now)
    }

    /// A worker begins, or a reload brought this origin: it counts as in use for a while, before its first request. Gives
    /// how many spares may be opened at once.
    pub fn expect(&self) -> usize {
        self.update(&self.spares, |spares| spares.expected(self.now()));
        self.bounds.warm.min(self.bounds.kept_max).min(self.bounds.max)
    }

    /// One spare is missing, and may be opened now.
    pub fn wants_spare(&self, now: u32) -> bool {
        self.lacks_spare(now)
            && now >= self.distrusted_until.get()
            && self.slots.taken() < self.slots.max()
            && self.spares.get().due(now)
    }

    fn lacks_spare(&self, now: u32) -> bool {
        let ready = self.idle.borrow().len() + self.spares_on_their_way.get();
        self.is_warm(now) && ready < self.bounds.warm.min(self.bounds.kept_max)
    }

    /// Opens one spare connection, if one is wanted. A failure is counted, and the next attempt waits. It has its own
    /// deadline; dropping this future abandons it.
    ///
    /// # Errors
    /// Why it could not be opened.
    pub async fn add_spare(&self) -> Result<(), OpenError> {
        if !self.wants_spare(self.now()) {
            return Ok(());
        }
        let Some(slot) = self.slots.take() else { return Ok(()) };
        let _on_its_way = OnItsWay::new(&self.spares_on_their_way);
        let opened = Box::pin(self.open()).await;
        let Opened { inlet, outlet, .. } =
            opened.inspect_err(|_| self.update(&self.spares, |spares| spares.failed(self.now())))?;
        self.count(|numbers| numbers.spares += 1);
        let upstream = Upstream { inlet, outlet, reused: true, served: false, idle_ticks: 0, slot };
        let Err(upstream) = self.slots.offer(upstream) else { return Ok(()) };
        // Neither at the cost of a warmer one, nor of somebody who waits for its place.
        let room = self.idle.borrow().len() < self.bounds.kept_max && self.slots.waiting() == 0;
        if room && !self.draining.get() {
            self.put(upstream, self.now(), VecDeque::push_front);
        }
        Ok(())
    }

    /// What happened so far.
    pub fn numbers(&self) -> PoolNumbers {
        self.numbers.get()
    }

    /// What happened since the last call.
    pub fn take_numbers(&self) -> PoolNumbers {
        self.numbers.take()
    }

    /// Open connections, idle ones and attempts included.
    pub fn open_now(&self) -> usize {
        self.slots.taken()
    }

    /// Idle connections.
    pub fn idle_now(&self) -> usize {
        self.idle.borrow().len()
    }

    /// Requests that wait for a connection.
    pub fn waiting_now(&self) -> usize {
        self.slots.waiting()
    }

    /// For how many ticks connections are kept at present.
    pub fn idle_limit_ticks(&self) -> u32 {
        self.idle_limit.get().ticks()
    }

    /// The most recently used connection that is still open and silent. Those that are not are closed and counted: a FIN
    /// means that the origin's patience was shorter than ours, bytes that nobody asked for poison the next answer.
    fn take_idle(&self) -> Option<Upstream> {
        let now = self.now();
        loop {
            let mut one = self.idle.borrow_mut().pop_back()?;
            if self.is_sound(&mut one, now) {
                one.upstream.idle_ticks = now.saturating_sub(one.since);
                self.count_reuse();
                return Some(one.upstream);
            }
        }
    }

    /// Looks at an idle connection and learns from what is found.
    fn is_sound(&self, one: &mut Idle, now: u32) -> bool {
        match one.upstream.inlet.pulse() {
            Pulse::Quiet => {
                one.seen = now;
                return true;
            }
            Pulse::Dead => {
                let alive = one.seen.saturating_sub(one.since);
                self.update(&self.idle_limit, |limit| limit.closed_after(alive, now));
            }
            Pulse::Talks => {}
        }
        self.count(|numbers| numbers.stale += 1);
        false
    }

    /// All places are taken, but some by idle connections: the oldest makes room.
    fn make_room(&self) -> Option<Slot<Upstream>> {
        let oldest = self.idle.borrow_mut().pop_front()?;
        drop(oldest);
        self.slots.take()
    }

    fn put(&self, upstream: Upstream, now: u32, push: impl FnOnce(&mut VecDeque<Idle>, Idle)) {
        let mut idle = self.idle.borrow_mut();
        // Between two answers of a busy moment more may be idle than are kept in the long run: see `sweep`.
        if self.bounds.kept_max > 0 {
            push(&mut idle, Idle { upstream, since: now, seen: now });
        }
    }

    async fn open(&self) -> Result<Opened, OpenError> {
        let Means { resolver, deadlines, buffers } = &self.means;
        let opened = self.origin.open(resolver, deadlines, buffers).await;
        match &opened {
            Ok(Opened { timings, .. }) => {
                self.count(|numbers| numbers.connects += 1);
                self.update(&self.savings, |savings| savings.opened(timings.total_micros()));
                self.update(&self.spares, Spares::opened);
            }
            Err(_) => self.count(|numbers| numbers.connect_failures += 1),
        }
        opened
    }

    /// Waits in the line. What comes is sound, or at least its place is.
    async fn wait(&self, fresh: bool, asker: Asker) -> Result<Turn<Upstream>, PoolError> {
        self.count(|numbers| numbers.waits += 1);
        let Asker { session, patience } = asker;
        let full = |waited, wait| {
            self.count(|numbers| numbers.wait_timeouts += 1);
            PoolError::Full { to: self.origin.authority(), max: self.bounds.max, waited, wait }
        };
        let waiting = self.slots.wait(fresh, session, patience).map_err(|LineFull { wait }| full(None, wait))?;
        let mut in_line = InLine { pool: self, waiting };
        match monoio::time::timeout(patience, in_line.waiting.turn()).await {
            Ok(Turn::Kept(upstream)) => match upstream.inlet.pulse() {
                Pulse::Quiet => {
                    self.count_reuse();
                    Ok(Turn::Kept(upstream))
                }
                // Its origin closed it behind the last answer.
                _ => {
                    self.count(|numbers| numbers.stale += 1);
                    let Upstream { slot, .. } = upstream;
                    Ok(Turn::Place(slot))
                }
            },
            Ok(place) => Ok(place),
            Err(_) => Err(full(Some(patience), None)),
        }
    }

    fn now(&self) -> u32 {
        self.means.deadlines.now()
    }

    fn count_reuse(&self) {
        let saved = self.update(&self.savings, Savings::reused);
        self.count(|numbers| {
            numbers.reuses += 1;
            numbers.saved_micros += saved;
        });
    }

    fn count(&self, add: impl FnOnce(&mut PoolNumbers)) {
        self.update(&self.numbers, add);
    }

    fn update<T: Copy, R>(&self, cell: &Cell<T>, change: impl FnOnce(&mut T) -> R) -> R {
        let mut value = cell.get();
        let told = change(&mut value);
        cell.set(value);
        told
    }
}

/// A place in the line. When it is given up, a connection that had just come goes back to the pool.
struct InLine<'a> {
    pool: &'a Pool,
    waiting: Waiting<Upstream>,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        if let Some(upstream) = self.waiting.leave() {
            self.pool.keep(upstream);
        }
    }
}

/// A spare is being opened.
struct OnItsWay<'a>(&'a Cell<usize>);

impl<'a> OnItsWay<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { to, max, waited: Some(waited), .. } => {
                write!(
                    f,
                    "all {max} connections to {to} are in use, and none became free within {} s",
                    waited.as_secs_f64()
                )
            }
            Self::Full { to, max, waited: None, .. } => {
                write!(f, "all {max} connections to {to} are in use, and too many requests wait for one")
            }
            Self::Open(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PoolError {}

#[cfg(test)]
mod tests;
