//! One by one, or together: how the sends of one turn of the loop go out.
//!
//! A send by a call of its own is the quickest for whoever is alone: no operation, no further turn of its task. But it
//! wakes its receiver, and where that has to run on the same core, the kernel puts it in our place, at each send anew: of a
//! turn with thirty sends hardly one is followed by the next, and every process works in pieces of one message, with
//! cold caches. Operations of io_uring all go out with the one call that ends the turn.
//!
//! So the turns before decide: they had many sends, or they had not.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::limits;

/// How many sends the turns of this worker have.
#[derive(Default)]
pub struct Gather {
    /// In this one, so far.
    now: Cell<u32>,
    /// In the ones before: the most, of which each turn forgets a quarter. Operations complete in a turn of their own, which
    /// has hardly a send, and would else undo what the one before it showed.
    lately: Cell<u32>,
    /// The task that sees the turn end, while no send has asked for it.
    ender: Cell<Option<Waker>>,
}

impl Gather {
    /// Begins to count, as a task of its own. Without it, and under epoll, where operations are calls as well, all sends
    /// go out one by one.
    pub fn keep(self: &Rc<Self>) {
        if !monoio::utils::is_legacy() {
            let gather = self.clone();
            monoio::spawn(async move { gather.count().await });
        }
    }

    /// Whether a send of `bytes` is to go out with the others of its turn. A large one is worth a call of its own.
    pub(super) fn together(&self, bytes: usize) -> bool {
        self.now.set(self.now.get() + 1);
        if let Some(ender) = self.ender.take() {
            // It comes to run behind all that are ready already.
            ender.wake();
        }
        self.lately.get() >= limits::GATHER_SENDS_MIN && bytes <= limits::GATHER_BYTES_MAX
    }

    async fn count(&self) {
        poll_fn(|cx| {
            let lately = self.lately.get();
            self.lately.set(self.now.take().max(lately - lately.div_ceil(4)));
            self.ender.set(Some(cx.waker().clone()));
            Poll::<()>::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::testing::each_driver;

    #[test]
    fn the_turns_before_decide() {
        each_driver(async || {
            let gather: Rc<Gather> = Rc::default();
            let min = limits::GATHER_SENDS_MIN;
            let turn = async |sends: u32, bytes| {
                let answers: Vec<_> = (0..sends).map(|_| gather.together(bytes)).collect();
                monoio::time::sleep(Duration::from_millis(2)).await;
                assert!(answers.iter().all(|one| *one == answers[0]), "one turn, one answer");
                answers[0]
            };
            turn(min, 1).await;
            assert!(!turn(min, 1).await, "nobody counts yet");
            gather.keep();
            let uring = !monoio::utils::is_legacy();
            turn(1, 1).await;
            while turn(1, 1).await {}
            for (name, sends, bytes, together) in [
                ("it was quiet", min - 1, 1, false),
                ("there was one less than it takes", 2 * min, 1, false),
                ("there were enough", 1, 1, uring),
                ("a turn of one does not undo that", 1, limits::GATHER_BYTES_MAX, uring),
                ("a large one", 1, limits::GATHER_BYTES_MAX + 1, false),
                ("it is quiet again", 1, 1, false),
            ] {
                assert_eq!(turn(sends, bytes).await, together, "{name}");
            }
        });
    }
}
