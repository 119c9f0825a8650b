//! Kept upstream connections of one worker. One that ended while it was kept is never handed out.

use std::cell::{Cell, RefCell};

use super::stream::{Inlet, Outlet};
use super::sys::Pulse;

/// A connection to an upstream, between two requests or in one.
pub struct Upstream {
    /// What it sends.
    pub inlet: Inlet,
    /// What we send.
    pub outlet: Outlet,
    /// It already carried a request: its failure may be no more than a stale keep-alive.
    pub reused: bool,
}

/// The kept connections of one origin.
pub struct Pool {
    idle: RefCell<Vec<Idle>>,
    /// At most so many are kept.
    kept_max: usize,
    /// An idle connection is closed after so many ticks.
    idle_ticks: u32,
    stale: Cell<u64>,
    /// Until this tick nothing is kept: see [`Pool::distrust`].
    distrusted_until: Cell<u32>,
}

struct Idle {
    upstream: Upstream,
    since: u32,
}

impl Pool {
    /// An empty pool.
    pub fn new(kept_max: usize, idle_ticks: u32) -> Self {
        Self { idle: RefCell::default(), kept_max, idle_ticks, stale: Cell::new(0), distrusted_until: Cell::new(0) }
    }

    /// The most recently used connection that is still open and silent. Those that are not are closed and counted:
    /// a FIN means the origin's keep-alive was shorter than ours, bytes that nobody asked for poison the next answer.
    pub fn take(&self) -> Option<Upstream> {
        while let Some(Idle { mut upstream, .. }) = self.pop() {
            if upstream.inlet.pulse() == Pulse::Quiet {
                upstream.reused = true;
                return Some(upstream);
            }
            self.stale.set(self.stale.get() + 1);
        }
        None
    }

    /// Keeps a connection whose answer ended exactly at its framed end. The oldest makes room.
    pub fn keep(&self, upstream: Upstream, now: u32) {
        if now < self.distrusted_until.get() {
            return;
        }
        upstream.outlet.deadline().disarm();
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= self.kept_max && !idle.is_empty() {
            idle.remove(0);
        }
        if idle.len() < self.kept_max {
            idle.push(Idle { upstream, since: now });
        }
    }

    /// The origin sent bytes behind an answer. Should it do so again a moment too late to be seen, they would become the
    /// beginning of somebody else's answer: for a while every request gets a connection of its own.
    pub fn distrust(&self, now: u32) {
        self.distrusted_until.set(now + self.idle_ticks);
        self.clear();
    }

    /// Closes what was idle too long. Called once a tick.
    pub fn sweep(&self, now: u32) {
        self.idle.borrow_mut().retain(|one| now.saturating_sub(one.since) < self.idle_ticks);
    }

    /// Closes everything.
    pub fn clear(&self) {
        self.idle.borrow_mut().clear();
    }

    /// How many were found closed or talking when they were about to be reused, since the last call.
    pub fn take_stale(&self) -> u64 {
        self.stale.take()
    }

    fn pop(&self) -> Option<Idle> {
        self.idle.borrow_mut().pop()
    }
}
