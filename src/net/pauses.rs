//! A short rest for connections that had their turn: one timer for all of a worker's.
//!
//! A timer is 640 bytes, and a future that holds one keeps its place for as long as its connection lives. So one task
//! sleeps, and wakes all who asked for a rest meanwhile.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::limits;

/// Who rests.
#[derive(Default)]
pub struct Pauses {
    /// How many rests have ended.
    rounds: Cell<u64>,
    /// Those whose rest ends with this one; its memory is kept.
    resting: RefCell<Vec<Waker>>,
    has_keeper: Cell<bool>,
    /// The task that sleeps, while there is nobody to sleep for.
    keeper: Cell<Option<Waker>>,
}

impl Pauses {
    /// Begins to keep time, as a task of its own, if nobody does yet.
    pub fn keep(self: &Rc<Self>) {
        if !self.has_keeper.replace(true) {
            // More than rest at a time in a busy sidecar: a rest shall not allocate.
            self.resting.borrow_mut().reserve(64);
            let pauses = self.clone();
            monoio::spawn(async move { pauses.keep_time().await });
        }
    }

    /// Stands back for at most [`limits::TURN_PAUSE`] (the timer's grain goes on top), so that everything else on this
    /// thread has its turn. Dropping this future costs the task one idle turn.
    pub async fn pause(self: &Rc<Self>) {
        self.keep();
        let (round, mut asked) = (self.rounds.get(), false);
        poll_fn(|cx| {
            if self.rounds.get() != round {
                return Poll::Ready(());
            }
            // Once is enough: a connection's futures are polled by one task all their lives.
            if !std::mem::replace(&mut asked, true) {
                self.resting.borrow_mut().push(cx.waker().clone());
                if let Some(keeper) = self.keeper.take() {
                    keeper.wake();
                }
            }
            Poll::Pending
        })
        .await;
    }

    async fn keep_time(&self) {
        loop {
            poll_fn(|cx| {
                if self.resting.borrow().is_empty() {
                    self.keeper.set(Some(cx.waker().clone()));
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
            monoio::time::sleep(limits::TURN_PAUSE).await;
            self.rounds.set(self.rounds.get() + 1);
            let mut rested = self.resting.take();
            rested.drain(..).for_each(Waker::wake);
            // Nobody runs before this task is done: the place is still free.
            self.resting.replace(rested);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::net::testing::{each_driver, until};

    #[test]
    fn all_who_rest_go_on_together_and_nobody_is_forgotten() {
        each_driver(async || {
            let pauses: Rc<Pauses> = Rc::default();
            let done: Rc<Cell<usize>> = Rc::default();
            for round in 1..=3 {
                let began = Instant::now();
                for _ in 0..100 {
                    let (pauses, done) = (pauses.clone(), done.clone());
                    monoio::spawn(async move {
                        pauses.pause().await;
                        done.set(done.get() + 1);
                    });
                }
                until(|| done.get() == 100 * round).await;
                assert!(began.elapsed() >= limits::TURN_PAUSE);
                assert!(pauses.resting.borrow().is_empty());
            }
            let (rounds, capacity) = (pauses.rounds.get(), pauses.resting.borrow().capacity());
            assert!(rounds < 100 && capacity > 1, "one rest serves many, and its memory is kept: {rounds}, {capacity}");
        });
    }

    #[test]
    fn whoever_is_dropped_while_resting_harms_nobody() {
        each_driver(async || {
            let pauses: Rc<Pauses> = Rc::default();
            let mut given_up = Box::pin(pauses.pause());
            poll_fn(|cx| {
                assert!(given_up.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            drop(given_up);
            pauses.pause().await;
            pauses.pause().await;
            assert!(pauses.resting.borrow().is_empty());
        });
    }

    #[test]
    fn whoever_never_waits_for_a_socket_lets_the_others_go_on() {
        each_driver(async || {
            let pauses: Rc<Pauses> = Rc::default();
            let stop: Rc<Cell<bool>> = Rc::default();
            let (busy, told) = (pauses.clone(), stop.clone());
            let greedy = monoio::spawn(async move {
                let mut turns = 0;
                while !told.get() {
                    busy.pause().await;
                    turns += 1;
                }
                turns
            });
            // Timers of others go off meanwhile.
            monoio::time::sleep(limits::TURN_PAUSE * 20).await;
            stop.set(true);
            assert!(greedy.await > 1);
        });
    }
}
