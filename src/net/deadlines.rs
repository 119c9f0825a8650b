//! One table per worker of everything that waits. A sweep every [`limits::TICK`] ends what waits too long; the path of
//! a request only stores numbers.
//!
//! Time is counted in ticks: arming a deadline costs one store, no timer and no look at the clock. While nothing is due,
//! there are no ticks either: the table dozes until something is, or until somebody asks for the time.
//! Expiry is `shutdown` of the socket: it ends every wait under both drivers, and whoever waited hears of it there.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::net::Shutdown;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::gather::Gather;
use super::pauses::Pauses;
use super::sys::Socket;
use crate::limits;

/// The tick that never comes.
pub const NEVER: u32 = u32::MAX;

/// The worker's table.
#[derive(Default)]
pub struct Deadlines {
    now: Cell<u32>,
    /// When the current tick began; `None` before the first sweep.
    began: Cell<Option<Instant>>,
    watches: RefCell<Vec<Rc<Watch>>>,
    /// The sweeper does not come at the next tick: what it is woken by.
    dozing: Cell<Option<Waker>>,
    pauses: Rc<Pauses>,
    gather: Rc<Gather>,
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A client's.
    Client,
    /// To an upstream.
    Upstream,
}

/// Which request an idle client has not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Its first: it has only just connected, surely in order to send one.
    New,
    /// Another one.
    Between,
}

/// What a connection does for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Nothing: there is none.
    #[default]
    Idle,
    /// Its answer has not begun. Of an upstream's connection this is not noted: it is closed together with its request.
    Asked,
    /// Its answer passes.
    Answering,
}

/// What a connection waited for when its time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// Nothing: somebody ended its request.
    Stopped,
    /// Bytes from the peer.
    Receiving,
    /// The peer to take what we send.
    Sending,
}

/// What is known of one connection. Its two directions wait independently of each other.
struct Watch {
    side: Side,
    socket: Socket,
    /// A client without a request: the first to go when the worker drains.
    idle: Cell<Option<Idle>>,
    stage: Cell<Stage>,
    place: Cell<usize>,
    receive_due: Cell<u32>,
    /// What ends when the receiving deadline passes.
    receive_how: Cell<Shutdown>,
    send_due: Cell<u32>,
    expired: Cell<Option<Expired>>,
    /// When whoever receives has something else to do.
    rouse_due: Cell<u32>,
    /// It was due, and the receiver was not told yet.
    roused: Cell<bool>,
    /// Who waits, and is to be roused.
    sleeper: Cell<Option<Waker>>,
}

/// A connection's entry; leaving the scope removes it.
pub struct Deadline {
    table: Rc<Deadlines>,
    watch: Rc<Watch>,
}

impl Deadlines {
    /// Watches one connection from now on, without a deadline.
    pub fn watch(self: &Rc<Self>, side: Side, socket: Socket) -> Deadline {
        let mut watches = self.watches.borrow_mut();
        let watch = Rc::new(Watch {
            side,
            socket,
            idle: Cell::new(None),
            stage: Cell::default(),
            place: Cell::new(watches.len()),
            receive_due: Cell::new(NEVER),
            receive_how: Cell::new(Shutdown::Both),
            send_due: Cell::new(NEVER),
            expired: Cell::new(None),
            rouse_due: Cell::new(NEVER),
            roused: Cell::new(false),
            sleeper: Cell::default(),
        });
        watches.push(watch.clone());
        Deadline { table: self.clone(), watch }
    }

    /// Makes sure that there is a next tick: somebody has become interested in it who watches nothing.
    pub fn stir(&self) {
        self.now();
    }

    /// Rests of this thread's connections.
    pub fn pauses(&self) -> &Rc<Pauses> {
        &self.pauses
    }

    /// Ticks since the worker began: the coarse clock of everything that only needs to be roughly on time. Whoever asks has
    /// something to wait for: from now on the ticks come one by one.
    pub fn now(&self) -> u32 {
        if let Some(sweeper) = self.dozing.take() {
            self.catch_up();
            sweeper.wake();
        }
        self.now.get()
    }

    /// Counts the ticks that passed since the last one that was counted.
    #[cold]
    fn catch_up(&self) {
        let began = self.began();
        let passed = (began.elapsed().as_nanos() / limits::TICK.as_nanos()) as u32;
        // u32 ticks of 100 ms last 13 years.
        self.now.set(self.now.get() + passed);
        self.began.set(Some(began + limits::TICK * passed));
    }

    /// Virtual time, where no sweep runs.
    #[cfg(test)]
    pub(super) fn set_now(&self, now: u32) {
        self.now.set(now);
    }

    /// Sweeps from now on, as a task of its own: for a thread that has nothing else to do each tick.
    pub fn keep_sweeping(self: &Rc<Self>) {
        let table = self.clone();
        monoio::spawn(async move { table.sweep(|_| NEVER).await });
    }

    /// Sweeps for ever; `each` runs after each sweep, and gives the tick at which it has something to do. No timer runs
    /// while nothing is due ever.
    pub async fn sweep(&self, mut each: impl FnMut(u32) -> u32) {
        // Now, so that no connection has to.
        self.pauses.keep();
        self.gather.keep();
        self.began.set(Some(Instant::now()));
        // Somebody may have come before.
        let mut due = self.now.get() + 1;
        loop {
            let slept = due.saturating_sub(self.now.get()) > 1 && self.doze(due).await;
            if !slept {
                self.next_tick().await;
            }
            due = self.look();
            due = due.min(each(self.now.get()));
        }
    }

    /// Waits until it is `due`; false if somebody asked for the time before.
    async fn doze(&self, due: u32) -> bool {
        let ticks = due.saturating_sub(self.now.get());
        let mut until_due = pin!(async {
            match due {
                NEVER => pending().await,
                _ => monoio::time::sleep_until((self.began() + limits::TICK * ticks).into()).await,
            }
        });
        let mut asleep = false;
        poll_fn(|cx| {
            // Who asked took the waker, and has counted.
            if std::mem::replace(&mut asleep, true) && self.dozing.take().is_none() {
                return Poll::Ready(false);
            }
            if until_due.as_mut().poll(cx).is_ready() {
                self.began.set(Some(Instant::now()));
                self.now.set(due);
                return Poll::Ready(true);
            }
            self.dozing.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await
    }

    /// Waits for the end of the current tick. Whatever holds the thread up meanwhile is not held against those who wait: the
    /// next tick begins when this one is heard of.
    async fn next_tick(&self) {
        monoio::time::sleep_until((self.began() + limits::TICK).into()).await;
        self.began.set(Some(Instant::now()));
        self.now.set(self.now.get().saturating_add(1));
    }

    fn began(&self) -> Instant {
        self.began.get().unwrap_or_else(Instant::now)
    }

    /// Ends what waits too long, and gives the tick at which there is something to look at again.
    fn look(&self) -> u32 {
        let now = self.now.get();
        self.watches.borrow().iter().map(|watch| watch.look(now)).min().unwrap_or(NEVER)
    }

    /// One tick has passed.
    #[cfg(test)]
    pub(super) fn tick(&self) {
        self.now.set(self.now.get() + 1);
        self.look();
    }

    /// Ends the clients that wait between two requests (the worker drains); new ones get `patience` for their first.
    pub fn end_idle_clients(&self, patience: Duration) {
        for watch in self.watches.borrow().iter() {
            match watch.idle.get() {
                Some(Idle::Between) => watch.socket.shutdown(Shutdown::Read),
                Some(Idle::New) => watch.receive_due.set(self.due(patience)),
                None => {}
            }
        }
    }

    /// Ends what the grace was for: upstream connections (the answers they carry are cut, and their clients told), and
    /// clients that are still sending a request.
    pub fn end_everything(&self) {
        for watch in self.watches.borrow().iter() {
            match watch.side {
                Side::Upstream => watch.socket.shutdown(Shutdown::Both),
                Side::Client if watch.receive_due.get() != NEVER => watch.socket.shutdown(Shutdown::Read),
                Side::Client => {}
            }
        }
    }

    /// Ends all requests, and gives their number. Where an answer passes, the upstream's connection ends, and the answer is
    /// cut like one that breaks off. Where none has begun, the client's sending side ends, as if it were gone, but it can
    /// still be told why.
    pub fn stop_requests(&self) -> u64 {
        let mut stopped = 0;
        for watch in self.watches.borrow().iter() {
            let how = match (watch.side, watch.stage.get()) {
                (_, Stage::Idle) => continue,
                (Side::Client, Stage::Answering) => None,
                (Side::Client, Stage::Asked) => Some(Shutdown::Read),
                (Side::Upstream, _) => Some(Shutdown::Both),
            };
            stopped += u64::from(watch.side == Side::Client);
            if let Some(how) = how {
                watch.expired.set(Some(Expired::Stopped));
                watch.socket.shutdown(how);
            }
        }
        stopped
    }

    fn remove(&self, watch: &Watch) {
        let mut watches = self.watches.borrow_mut();
        let place = watch.place.get();
        watches.swap_remove(place);
        if let Some(moved) = watches.get(place) {
            moved.place.set(place);
        }
    }

    /// The tick at which `after` will surely have passed: the current one has partly gone.
    fn due(&self, after: Duration) -> u32 {
        self.now() + limits::ticks(after) + 1
    }
}

impl Watch {
    /// Gives the tick at which it must be looked at again.
    fn look(&self, now: u32) -> u32 {
        if self.receive_due.get() <= now {
            self.receive_due.set(NEVER);
            self.expired.set(Some(Expired::Receiving));
            self.socket.shutdown(self.receive_how.get());
        }
        if self.send_due.get() <= now {
            self.send_due.set(NEVER);
            self.expired.set(Some(Expired::Sending));
            self.socket.shutdown(Shutdown::Both);
        }
        if self.rouse_due.get() <= now {
            self.rouse_due.set(NEVER);
            self.roused.set(true);
            if let Some(sleeper) = self.sleeper.take() {
                sleeper.wake();
            }
        }
        self.receive_due.get().min(self.send_due.get()).min(self.rouse_due.get())
    }
}

impl Deadline {
    /// The peer must send within `after`, or the whole connection ends. Replaces what was armed for receiving.
    pub fn arm(&self, after: Duration) {
        self.arm_with(after, Shutdown::Both);
    }

    /// The peer must send within `after`, or only the receiving side ends: an answer that says why still goes out.
    pub fn arm_receiving(&self, after: Duration) {
        self.arm_with(after, Shutdown::Read);
    }

    /// A client without a request: like [`Deadline::arm`], and a drain may end it before.
    pub fn arm_idle(&self, after: Duration, idle: Idle) {
        self.arm_with(after, Shutdown::Both);
        self.watch.idle.set(Some(idle));
    }

    fn arm_with(&self, after: Duration, how: Shutdown) {
        self.watch.idle.set(None);
        self.watch.receive_how.set(how);
        self.watch.receive_due.set(self.table.due(after));
    }

    /// No deadline for receiving, and nothing else to do.
    pub fn disarm(&self) {
        self.watch.idle.set(None);
        self.watch.receive_due.set(NEVER);
        self.rouse_at(NEVER);
    }

    /// Whoever receives has something else to do at this tick: if nothing came by then, the wait ends without a byte lost,
    /// and can be taken up again. Replaces what was set before.
    pub fn rouse_at(&self, tick: u32) {
        self.watch.rouse_due.set(tick);
        self.watch.roused.set(false);
    }

    /// The tick at which `ticks` whole ones will surely have passed.
    pub fn tick_after(&self, ticks: u32) -> u32 {
        self.table.now().saturating_add(ticks).saturating_add(1)
    }

    /// The worker's tick.
    pub fn now(&self) -> u32 {
        self.table.now()
    }

    /// Whether the receiver is to be roused; tells it once. Who is not will be woken when it is time.
    pub(super) fn is_roused(&self, cx: &Context<'_>) -> bool {
        if self.watch.rouse_due.get() != NEVER {
            self.watch.sleeper.set(Some(cx.waker().clone()));
        }
        self.watch.roused.take()
    }

    /// The peer must take what we send within `after`, or the whole connection ends.
    pub(super) fn arm_sending(&self, after: Duration) {
        self.watch.send_due.set(self.table.due(after));
    }

    /// Everything was taken.
    pub(super) fn disarm_sending(&self) {
        self.watch.send_due.set(NEVER);
    }

    /// What the connection does for a request from now on.
    pub fn enter(&self, stage: Stage) {
        self.watch.stage.set(stage);
    }

    /// Once a deadline has passed, which: the reason behind the end or error that the socket then reports.
    pub fn expired(&self) -> Option<Expired> {
        self.watch.expired.get()
    }

    /// Rests of this thread's connections.
    pub(super) fn pauses(&self) -> &Rc<Pauses> {
        self.table.pauses()
    }

    /// How this thread's sends go out.
    pub(super) fn gather(&self) -> &Gather {
        &self.table.gather
    }

    /// The connection's socket.
    pub fn socket(&self) -> Socket {
        self.watch.socket
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.table.remove(&self.watch);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::net::testing::each_driver;

    /// A swept table, how often it was swept, and an end of a pair that nobody writes to.
    fn swept() -> (Rc<Deadlines>, Rc<Cell<u32>>, UnixStream) {
        let (deadlines, sweeps): (Rc<Deadlines>, Rc<Cell<u32>>) = Default::default();
        let (table, count) = (deadlines.clone(), sweeps.clone());
        let each = move |_| {
            count.set(count.get() + 1);
            NEVER
        };
        monoio::spawn(async move { table.sweep(each).await });
        let (silent, other) = UnixStream::pair().unwrap();
        std::mem::forget(other);
        (deadlines, sweeps, silent)
    }

    async fn ticks(count: u32) {
        monoio::time::sleep(limits::TICK * count).await;
    }

    #[test]
    fn without_anything_due_there_are_no_ticks_and_the_time_is_known() {
        each_driver(async || {
            let (deadlines, sweeps, silent) = swept();
            let _watched = deadlines.watch(Side::Client, Socket::new(silent.as_raw_fd()));
            ticks(4).await;
            assert_eq!(sweeps.get(), 1, "the first tick");
            // What it was late for the first one is not counted.
            assert!((3..9).contains(&deadlines.now()), "{}", deadlines.now());
            ticks(4).await;
            assert_eq!(sweeps.get(), 2, "who asks for the time gets one tick");
        });
    }

    #[test]
    fn what_is_due_is_ended_neither_early_nor_much_later() {
        each_driver(async || {
            let (deadlines, sweeps, silent) = swept();
            let watched = deadlines.watch(Side::Client, Socket::new(silent.as_raw_fd()));
            // From a doze without an end; and a shorter one from a doze until the longer one is due.
            for (patience, shortened) in [(6, None), (9, Some(3))] {
                watched.watch.expired.set(None);
                let (before, began) = (sweeps.get(), Instant::now());
                watched.arm(limits::TICK * patience);
                let mut least = limits::TICK * patience;
                if let Some(shortened) = shortened {
                    ticks(2).await;
                    watched.arm(limits::TICK * shortened);
                    least = limits::TICK * (2 + shortened);
                }
                while watched.expired().is_none() {
                    monoio::time::sleep(Duration::from_millis(5)).await;
                    assert!(began.elapsed() < least + limits::TICK * 10, "it was forgotten");
                }
                assert!(began.elapsed() >= least, "{:?} of {least:?}", began.elapsed());
                assert!(sweeps.get() - before <= 3, "{} sweeps", sweeps.get() - before);
            }
        });
    }
}
