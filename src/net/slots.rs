//! The places of one pool, and who waits for one. `C` is the connection, which holds its place for as long as it is open.
//!
//! Nobody overtakes: what becomes free goes to the first who waits, at once and directly, so that whoever comes later
//! never finds it. Hence nothing is free while somebody waits.
//!
//! The line is fair between sessions: each has one turn in every round, so that an agent's forty requests stand behind
//! another's first one (fair queueing, Nagle 1985; here with rounds as the virtual time).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// The places of one pool.
pub struct Slots<C> {
    max: usize,
    taken: Cell<usize>,
    /// In the order in which they are called: by round, within one as they came.
    line: RefCell<VecDeque<Rc<Ticket<C>>>>,
    line_max: usize,
    /// The round of the last one called.
    round: Cell<u64>,
    /// When that was, and how long it takes from one to the next: a moving average over those that waited.
    called: Cell<Option<Instant>>,
    pace: Cell<Option<Duration>>,
}

/// A place: one connection may be open. Dropping it frees it.
pub struct Slot<C>(Rc<Slots<C>>);

/// What comes to the one who waits.
pub enum Turn<C> {
    /// A connection that another request is done with.
    Kept(C),
    /// A place for a new one.
    Place(Slot<C>),
}

/// The line is full, or longer than somebody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineFull {
    /// How long the wait would be, if that is known.
    pub wait: Option<Duration>,
}

struct Ticket<C> {
    session: u64,
    round: u64,
    /// It wants a place, not a kept connection.
    fresh: bool,
    turn: Cell<Option<Turn<C>>>,
    waker: Cell<Option<Waker>>,
}

/// A position in the line; dropping it leaves the line and hands on what had come to it.
pub struct Waiting<C> {
    slots: Rc<Slots<C>>,
    ticket: Rc<Ticket<C>>,
}

impl<C> Slots<C> {
    /// `max` free places, for which so many may wait.
    pub fn new(max: usize, line_max: usize) -> Rc<Self> {
        Rc::new(Self {
            max,
            taken: Cell::new(0),
            line: RefCell::default(),
            line_max,
            round: Cell::new(0),
            called: Cell::new(None),
            pace: Cell::new(None),
        })
    }

    /// A free place.
    pub fn take(self: &Rc<Self>) -> Option<Slot<C>> {
        (self.taken.get() < self.max).then(|| {
            self.taken.set(self.taken.get() + 1);
            Slot(self.clone())
        })
    }

    /// Places in all.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Places taken.
    pub fn taken(&self) -> usize {
        self.taken.get()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.line.borrow().len()
    }

    /// Gives a connection to the first who waits for one; back if nobody does.
    ///
    /// # Errors
    /// The connection.
    pub fn offer(&self, connection: C) -> Result<(), C> {
        let mut line = self.line.borrow_mut();
        match line.iter().position(|ticket| !ticket.fresh).and_then(|place| line.remove(place)) {
            Some(ticket) => {
                drop(line);
                self.call(&ticket, Turn::Kept(connection));
                Ok(())
            }
            None => Err(connection),
        }
    }

    /// Joins the line. With `fresh` only a place will come, no kept connection.
    ///
    /// # Errors
    /// Too many wait already, or the wait would be longer than `patience`: better told at once than after it.
    pub fn wait(self: &Rc<Self>, fresh: bool, session: u64, patience: Duration) -> Result<Waiting<C>, LineFull> {
        let mut line = self.line.borrow_mut();
        let of_session = line.iter().rev().find(|ticket| ticket.session == session);
        let round = of_session.map_or(self.round.get(), |ticket| ticket.round) + 1;
        let place = line.partition_point(|ticket| ticket.round <= round);
        let wait = self.pace.get().and_then(|pace| pace.checked_mul(place as u32 + 1));
        if line.len() >= self.line_max || wait.is_some_and(|wait| wait > patience) {
            return Err(LineFull { wait });
        }
        let ticket = Rc::new(Ticket { session, round, fresh, turn: Cell::default(), waker: Cell::default() });
        line.insert(place, ticket.clone());
        // What passed before is no part of anybody's wait.
        if line.len() == 1 {
            self.called.set(Some(Instant::now()));
        }
        Ok(Waiting { slots: self.clone(), ticket })
    }

    fn call(&self, ticket: &Ticket<C>, turn: Turn<C>) {
        /// What one wait changes.
        const WEIGHT: u32 = 8;
        self.round.set(self.round.get().max(ticket.round));
        let now = Instant::now();
        if let Some(called) = self.called.replace(Some(now)) {
            let (took, pace) = (now - called, self.pace.get());
            self.pace.set(Some(pace.map_or(took, |pace| (pace * (WEIGHT - 1) + took) / WEIGHT)));
        }
        ticket.turn.set(Some(turn));
        if let Some(waker) = ticket.waker.take() {
            waker.wake();
        }
    }
}

impl<C> Drop for Slot<C> {
    fn drop(&mut self) {
        let first = self.0.line.borrow_mut().pop_front();
        match first {
            Some(ticket) => self.0.call(&ticket, Turn::Place(Self(self.0.clone()))),
            None => self.0.taken.set(self.0.taken.get() - 1),
        }
    }
}

impl<C> Waiting<C> {
    /// Waits for the turn.
    pub async fn turn(&mut self) -> Turn<C> {
        poll_fn(|cx| match self.ticket.turn.take() {
            Some(turn) => Poll::Ready(turn),
            None => {
                self.ticket.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }

    /// Leaves the line. A connection that had come already, and that nobody else waits for, is the caller's.
    pub fn leave(&mut self) -> Option<C> {
        self.slots.line.borrow_mut().retain(|ticket| !Rc::ptr_eq(ticket, &self.ticket));
        match self.ticket.turn.take()? {
            Turn::Kept(connection) => self.slots.offer(connection).err(),
            // Dropping a place calls the next one.
            Turn::Place(_) => None,
        }
    }
}

impl<C> Drop for Waiting<C> {
    fn drop(&mut self) {
        drop(self.leave());
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::Context;

    use super::*;

    struct Connection {
        name: u8,
        _slot: Option<Slot<Connection>>,
    }

    fn connection(name: u8, slot: Slot<Connection>) -> Connection {
        Connection { name, _slot: Some(slot) }
    }

    fn poll<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    const LINE_MAX: usize = 10;

    fn wait(slots: &Rc<Slots<Connection>>, fresh: bool) -> Result<Waiting<Connection>, LineFull> {
        slots.wait(fresh, 0, Duration::MAX)
    }

    fn turn(waiting: &mut Waiting<Connection>) -> Option<Turn<Connection>> {
        poll(pin!(waiting.turn()))
    }

    #[test]
    fn places_are_bounded_and_come_back() {
        let slots = Slots::<Connection>::new(2, LINE_MAX);
        let (first, second) = (slots.take().unwrap(), slots.take().unwrap());
        assert!(slots.take().is_none());
        drop(first);
        assert_eq!(slots.taken(), 1);
        let third = slots.take().unwrap();
        assert!(slots.take().is_none());
        drop((second, third));
        assert_eq!(slots.taken(), 0);
        assert!(Slots::<Connection>::new(0, LINE_MAX).take().is_none());
    }

    #[test]
    fn first_come_first_served_and_nobody_overtakes() {
        let slots = Slots::new(1, LINE_MAX);
        let only = slots.take().unwrap();
        let (mut first, mut second) = (wait(&slots, false).unwrap(), wait(&slots, false).unwrap());
        assert!(turn(&mut first).is_none());
        drop(only);
        // It is the first one's, though it has not looked yet.
        assert!(slots.take().is_none());
        assert!(turn(&mut second).is_none());
        let Some(Turn::Place(place)) = turn(&mut first) else { panic!("no place") };
        assert!(slots.offer(connection(7, place)).is_ok());
        assert!(matches!(turn(&mut second), Some(Turn::Kept(Connection { name: 7, .. }))));
        assert_eq!((slots.taken(), slots.waiting()), (0, 0));
    }

    #[test]
    fn whoever_leaves_hands_the_turn_on() {
        let slots = Slots::new(1, LINE_MAX);
        let only = slots.take().unwrap();
        let (gone, left, mut last) =
            (wait(&slots, false).unwrap(), wait(&slots, false).unwrap(), wait(&slots, false).unwrap());
        drop(gone);
        assert_eq!(slots.waiting(), 2);
        // `left` has been called and leaves without looking.
        drop(only);
        drop(left);
        let Some(Turn::Place(place)) = turn(&mut last) else { panic!("no place") };
        // The same with a connection: to the next, and at last back to who offered.
        let (called, mut next) = (wait(&slots, false).unwrap(), wait(&slots, false).unwrap());
        slots.offer(connection(1, place)).ok().unwrap();
        drop(called);
        assert!(slots.take().is_none());
        let kept = next.leave().unwrap();
        assert_eq!(kept.name, 1);
        drop(kept);
        assert_eq!((slots.taken(), slots.waiting()), (0, 0));
    }

    #[test]
    fn one_that_wants_a_new_connection_gets_no_kept_one() {
        let slots = Slots::new(2, LINE_MAX);
        let (one, two) = (slots.take().unwrap(), slots.take().unwrap());
        let (mut fresh, mut any) = (wait(&slots, true).unwrap(), wait(&slots, false).unwrap());
        assert!(slots.offer(connection(1, one)).is_ok());
        assert!(turn(&mut fresh).is_none());
        assert!(matches!(turn(&mut any), Some(Turn::Kept(_))));
        // That one was dropped, so its place is free for the fresh one; nobody wants the second connection.
        assert!(matches!(turn(&mut fresh), Some(Turn::Place(_))));
        assert!(slots.offer(connection(2, two)).is_err());
        assert_eq!(slots.taken(), 0);
    }

    #[test]
    fn the_line_is_bounded() {
        let slots = Slots::<Connection>::new(0, LINE_MAX);
        let line: Vec<_> = (0..LINE_MAX).map(|_| wait(&slots, false).unwrap()).collect();
        assert!(wait(&slots, false).is_err());
        drop(line);
        assert!(wait(&slots, false).is_ok());
    }

    #[test]
    fn each_session_has_a_turn_in_every_round() {
        let slots = Slots::<Connection>::new(1, LINE_MAX);
        let mut only = slots.take();
        let came = [(1, 'a'), (1, 'b'), (1, 'c'), (2, 'd'), (3, 'e'), (2, 'f')];
        let mut line: Vec<_> =
            came.iter().map(|(session, name)| (slots.wait(false, *session, Duration::MAX).unwrap(), *name)).collect();
        let mut called = String::new();
        while !line.is_empty() {
            drop(only.take());
            let at = line.iter_mut().position(|(waiting, _)| match turn(waiting) {
                Some(Turn::Place(place)) => {
                    only = Some(place);
                    true
                }
                _ => false,
            });
            let (_, name) = line.remove(at.unwrap());
            called.push(name);
            if name == 'd' {
                // Who comes now is in the next round, as everybody who is new.
                line.push((slots.wait(false, 4, Duration::MAX).unwrap(), 'g'));
            }
        }
        assert_eq!(called, "adebfgc");
    }

    #[test]
    fn a_wait_that_would_be_too_long_is_refused_at_once() {
        let slots = Slots::<Connection>::new(1, LINE_MAX);
        let (mut only, pause) = (slots.take(), Duration::from_millis(20));
        for _ in 0..3 {
            let mut waiting = wait(&slots, false).unwrap();
            std::thread::sleep(pause);
            drop(only.take());
            let Some(Turn::Place(place)) = turn(&mut waiting) else { panic!("no place") };
            only = Some(place);
        }
        let LineFull { wait: told } = slots.wait(false, 0, pause / 2).map(drop).unwrap_err();
        assert!(told.is_some_and(|told| told >= pause), "{told:?}");
        assert!(slots.wait(false, 0, Duration::from_secs(60)).is_ok());
    }
}
