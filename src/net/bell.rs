//! How a helper thread answers a worker: it leaves its answer where the worker looks, and rings.
//!
//! monoio's wakers belong to one thread, so that a helper cannot use them. It writes one byte into a socket pair instead;
//! the worker's side reads it and wakes every future that waits on this thread's bell, each of which looks for itself.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::rc::{Rc, Weak};
use std::sync::{self, Arc};
use std::task::{Poll, Waker};

use monoio::io::AsyncReadRent;

thread_local! {
    /// The bell of this thread, for as long as somebody waits for it.
    static HERE: RefCell<Weak<Bell>> = const { RefCell::new(Weak::new()) };
}

/// What a worker's futures wait on. It lasts as long as one of them does, and so does its socket: a helper that takes
/// minutes to answer must not keep the descriptors of those who left meanwhile.
pub struct Bell {
    socket: Arc<UnixStream>,
    waiting: RefCell<BTreeMap<u64, Waker>>,
    waits: Cell<u64>,
}

/// One future's place among those that wait. When it is dropped, nothing of the future stays with the bell.
pub struct Wait<'a> {
    bell: &'a Bell,
    number: u64,
}

/// The helper's end.
#[derive(Clone, Debug)]
pub struct Rope(sync::Weak<UnixStream>);

impl Rope {
    /// Wakes the worker. What it shall find must already be in its place.
    pub fn ring(&self) {
        // A full pair holds rings that were not heard yet; a bell that is gone, nobody who would care.
        if let Some(socket) = self.0.upgrade() {
            let _ = (&*socket).write(&[1]);
        }
    }

    /// Somebody may still listen.
    pub fn is_heard(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Both lead to the same bell.
    pub fn same(&self, other: &Self) -> bool {
        self.0.ptr_eq(&other.0)
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
            let (socket, ear) = UnixStream::pair()?;
            socket.set_nonblocking(true)?;
            ear.set_nonblocking(monoio::utils::is_legacy())?;
            let ear = monoio::net::UnixStream::from_std(ear)?;
            let bell = Rc::new(Self { socket: Arc::new(socket), waiting: RefCell::default(), waits: Cell::new(0) });
            *here = Rc::downgrade(&bell);
            monoio::spawn(listen(Rc::downgrade(&bell), ear));
            Ok(bell)
        })
    }

    /// What a helper gets.
    pub fn rope(&self) -> Rope {
        Rope(Arc::downgrade(&self.socket))
    }

    /// A place among those that wait.
    pub fn wait(&self) -> Wait<'_> {
        self.waits.set(self.waits.get() + 1);
        Wait { bell: self, number: self.waits.get() }
    }

    /// Looks now and after every ring, until `look` finds something.
    pub async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        let wait = self.wait();
        poll_fn(|cx| match look() {
            Some(found) => Poll::Ready(found),
            None => {
                wait.wake_at_ring(cx.waker());
                Poll::Pending
            }
        })
        .await
    }
}

impl Wait<'_> {
    /// Wakes `waker` once, at the next ring; the one before it is forgotten.
    pub fn wake_at_ring(&self, waker: &Waker) {
        let before = self.bell.waiting.borrow_mut().insert(self.number, waker.clone());
        // Not while borrowed: the last waker of a task drops it, and with it maybe another wait.
        drop(before);
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let left = self.bell.waiting.borrow_mut().remove(&self.number);
        drop(left);
    }
}

/// Hears until nobody can ring any more: the bell is gone.
async fn listen(bell: Weak<Bell>, mut ear: monoio::net::UnixStream) {
    let mut buffer = vec![0_u8; 16];
    loop {
        let (heard, back) = ear.read(buffer).await;
        buffer = back;
        if let Some(bell) = bell.upgrade() {
            bell.waiting.take().into_values().for_each(Waker::wake);
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

    #[test]
    fn whoever_leaves_is_forgotten() {
        let (mut driver, _) = Driver::build(DriverChoice::Auto).unwrap();
        driver.block_on(async {
            let bell = Bell::here().unwrap();
            for _ in 0..3 {
                let left = monoio::time::timeout(Duration::from_millis(1), bell.until(|| None::<()>)).await;
                assert!(left.is_err() && bell.waiting.borrow().is_empty());
            }
            let rope = bell.rope();
            assert!(rope.is_heard());
            drop(bell);
            assert!(!rope.is_heard());
            rope.ring();
        });
    }
}
