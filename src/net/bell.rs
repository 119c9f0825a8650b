//! How a helper thread answers a worker: it leaves its answer where the worker looks, and rings.
//!
//! monoio's wakers belong to one thread, so that a helper cannot use them. It writes one byte into a socket pair instead;
//! the worker's side reads it and wakes every future that waits on this thread's bell, each of which looks for itself.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Poll, Waker};

use monoio::io::AsyncReadRent;

thread_local! {
    /// The bell of this thread, for as long as somebody waits for it.
    static HERE: RefCell<Weak<Bell>> = const { RefCell::new(Weak::new()) };
}

/// What a worker's futures wait on. It lasts as long as one of them does; the socket, until the last rope is let go.
pub struct Bell {
    rope: Rope,
    waiting: Cell<Vec<Waker>>,
}

/// The helper's end.
#[derive(Clone, Debug)]
pub struct Rope(Arc<UnixStream>);

impl Rope {
    /// Wakes the worker. What it shall find must already be in its place.
    pub fn ring(&self) {
        // A full pair holds rings that were not heard yet; one without a reader, nobody who would care.
        let _ = (&*self.0).write(&[1]);
    }

    /// Both lead to the same bell.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Bell {
    /// The bell of the calling thread, whose runtime must be running.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn here() -> io::Result<Rc<Self>> {
        HERE.with_borrow_mut(|here| {
            if let Some(bell) = here.upgrade() {
                return Ok(bell);
            }
            let (rope, ear) = UnixStream::pair()?;
            rope.set_nonblocking(true)?;
            ear.set_nonblocking(monoio::utils::is_legacy())?;
            let ear = monoio::net::UnixStream::from_std(ear)?;
            let bell = Rc::new(Self { rope: Rope(Arc::new(rope)), waiting: Cell::default() });
            *here = Rc::downgrade(&bell);
            monoio::spawn(listen(Rc::downgrade(&bell), ear));
            Ok(bell)
        })
    }

    /// What a helper gets.
    pub fn rope(&self) -> &Rope {
        &self.rope
    }

    /// Looks now and after every ring, until `look` finds something.
    pub async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        poll_fn(|cx| match look() {
            Some(found) => Poll::Ready(found),
            None => {
                self.wake_at_ring(cx.waker());
                Poll::Pending
            }
        })
        .await
    }

    /// Wakes `waker` once, at the next ring.
    pub(super) fn wake_at_ring(&self, waker: &Waker) {
        let mut waiting = self.waiting.take();
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
        self.waiting.set(waiting);
    }
}

/// Hears until nobody can ring any more: the bell is gone, and so are all helpers that had its rope.
async fn listen(bell: Weak<Bell>, mut ear: monoio::net::UnixStream) {
    let mut buffer = vec![0_u8; 16];
    loop {
        let (heard, back) = ear.read(buffer).await;
        buffer = back;
        if let Some(bell) = bell.upgrade() {
            bell.waiting.take().into_iter().for_each(Waker::wake);
        }
        if matches!(heard, Ok(0) | Err(_)) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::config::DriverChoice;
    use crate::net::driver::Driver;

    #[test]
    fn helpers_wake_those_who_wait_and_the_loop_turns_meanwhile() {
        for choice in [DriverChoice::Auto, DriverChoice::Epoll] {
            let (mut driver, _) = Driver::build(choice).unwrap();
            driver.block_on(async {
                for _ in 0..3 {
                    let answers = Arc::new(AtomicU32::new(0));
                    let waiters: Vec<_> = (1..=4)
                        .map(|wanted| {
                            let (bell, answers) = (Bell::here().unwrap(), answers.clone());
                            let rope = bell.rope().clone();
                            thread::spawn({
                                let answers = answers.clone();
                                move || {
                                    answers.fetch_add(1, Relaxed);
                                    rope.ring();
                                }
                            });
                            monoio::spawn(async move {
                                bell.until(|| (answers.load(Relaxed) >= wanted).then_some(wanted)).await
                            })
                        })
                        .collect();
                    let mut sum = 0;
                    for waiter in waiters {
                        sum += waiter.await;
                    }
                    assert_eq!(sum, 10);
                }
                // Nobody waits: the listening task ends, and with it its descriptors.
                monoio::time::sleep(Duration::from_millis(20)).await;
                assert!(HERE.with_borrow(|here| here.upgrade().is_none()));
            });
        }
    }
}
