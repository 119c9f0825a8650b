//! The places of one pool, and who waits for one. `C` is the connection, which holds its place for as long as it is open.
//!
//! Nobody overtakes: what becomes free goes to the first who waits, at once and directly, so that whoever comes later
//! never finds it. Hence nothing is free while somebody waits.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::limits;

/// The places of one pool.
pub struct Slots<C> {
    max: usize,
    taken: Cell<usize>,
    line: RefCell<VecDeque<Rc<Ticket<C>>>>,
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

/// The line is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineFull;

struct Ticket<C> {
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
    /// `max` free places.
    pub fn new(max: usize) -> Rc<Self> {
        Rc::new(Self { max, taken: Cell::new(0), line: RefCell::default() })
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
                ticket.call(Turn::Kept(connection));
                Ok(())
            }
            None => Err(connection),
        }
    }

    /// Joins the line. With `fresh` only a place will come, no kept connection.
    ///
    /// # Errors
    /// [`limits::POOL_WAITERS_MAX`] wait already.
    pub fn wait(self: &Rc<Self>, fresh: bool) -> Result<Waiting<C>, LineFull> {
        let mut line = self.line.borrow_mut();
        if line.len() >= limits::POOL_WAITERS_MAX {
            return Err(LineFull);
        }
        let ticket = Rc::new(Ticket { fresh, turn: Cell::default(), waker: Cell::default() });
        line.push_back(ticket.clone());
        Ok(Waiting { slots: self.clone(), ticket })
    }
}

impl<C> Ticket<C> {
    fn call(&self, turn: Turn<C>) {
        self.turn.set(Some(turn));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl<C> Drop for Slot<C> {
    fn drop(&mut self) {
        let first = self.0.line.borrow_mut().pop_front();
        match first {
            Some(ticket) => ticket.call(Turn::Place(Self(self.0.clone()))),
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

    fn turn(waiting: &mut Waiting<Connection>) -> Option<Turn<Connection>> {
        poll(pin!(waiting.turn()))
    }

    #[test]
    fn places_are_bounded_and_come_back() {
        let slots = Slots::<Connection>::new(2);
        let (first, second) = (slots.take().unwrap(), slots.take().unwrap());
        assert!(slots.take().is_none());
        drop(first);
        assert_eq!(slots.taken(), 1);
        let third = slots.take().unwrap();
        assert!(slots.take().is_none());
        drop((second, third));
        assert_eq!(slots.taken(), 0);
        assert!(Slots::<Connection>::new(0).take().is_none());
    }

    #[test]
    fn first_come_first_served_and_nobody_overtakes() {
        let slots = Slots::new(1);
        let only = slots.take().unwrap();
        let (mut first, mut second) = (slots.wait(false).unwrap(), slots.wait(false).unwrap());
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
        let slots = Slots::new(1);
        let only = slots.take().unwrap();
        let (gone, left, mut last) =
            (slots.wait(false).unwrap(), slots.wait(false).unwrap(), slots.wait(false).unwrap());
        drop(gone);
        assert_eq!(slots.waiting(), 2);
        // `left` has been called and leaves without looking.
        drop(only);
        drop(left);
        let Some(Turn::Place(place)) = turn(&mut last) else { panic!("no place") };
        // The same with a connection: to the next, and at last back to who offered.
        let (called, mut next) = (slots.wait(false).unwrap(), slots.wait(false).unwrap());
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
        let slots = Slots::new(2);
        let (one, two) = (slots.take().unwrap(), slots.take().unwrap());
        let (mut fresh, mut any) = (slots.wait(true).unwrap(), slots.wait(false).unwrap());
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
        let slots = Slots::<Connection>::new(0);
        let line: Vec<_> = (0..limits::POOL_WAITERS_MAX).map(|_| slots.wait(false).unwrap()).collect();
        assert!(slots.wait(false).is_err());
        drop(line);
        assert!(slots.wait(false).is_ok());
    }
}
