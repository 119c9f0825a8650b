//! Work that would hold the event loop up, done by helper threads: counting tokens, translating large bodies.
//!
//! One small pool serves all workers. Its threads start when there is work and leave when there was none for a while; what
//! waits is bounded, and whatever becomes of the work, the one who asked for it hears of it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::fault::{Fault, Who};
use crate::limits;
use crate::net::bell::Bell;

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unaided {
    /// Too much waits already, or the system has no thread or descriptor left.
    Full,
    /// The work panicked. The helper lives on.
    Panicked,
}

impl From<Unaided> for Fault {
    fn from(why: Unaided) -> Self {
        let (status, reason, message) = match why {
            Unaided::Full => {
                (503, "busy", "sidestream has too much other work at this moment; ask again in a moment.".into())
            }
            Unaided::Panicked => {
                (500, "internal", "sidestream failed at this request; the fault is its own. See its log.".into())
            }
        };
        Fault { who: Who::Us, status, reason, message, close: false, retry_after: None }
    }
}

/// Runs `work` on a helper thread and gives what it returns. The runtime of the calling thread must be running. When this
/// future is dropped, work that has not begun never begins.
///
/// # Errors
/// [`Unaided`].
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Unaided> {
    POOL.run(work).await
}

static POOL: Pool = Pool::new();

type Work = Box<dyn FnOnce() + Send>;

struct Pool {
    state: Mutex<State>,
    work_came: Condvar,
}

struct State {
    queue: VecDeque<Work>,
    threads: usize,
    /// Threads that wait for work.
    resting: usize,
}

impl Pool {
    const fn new() -> Self {
        let state = State { queue: VecDeque::new(), threads: 0, resting: 0 };
        Self { state: Mutex::new(state), work_came: Condvar::new() }
    }

    async fn run<T: Send + 'static>(&'static self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Unaided> {
        let bell = Bell::here().map_err(|_| Unaided::Full)?;
        let rope = bell.rope();
        let outcome = Arc::new(Mutex::new(None));
        let asked_for = Arc::downgrade(&outcome);
        self.give(Box::new(move || {
            // Nobody waits for it any more.
            let Some(outcome) = asked_for.upgrade() else { return };
            let done = catch_unwind(AssertUnwindSafe(work)).map_err(|_| Unaided::Panicked);
            *lock(&outcome) = Some(done);
            drop(outcome);
            rope.ring();
        }))?;
        bell.until(|| lock(&outcome).take()).await
    }

    fn give(&'static self, work: Work) -> Result<(), Unaided> {
        let mut state = lock(&self.state);
        if state.queue.len() >= limits::ASIDE_WAITING_MAX {
            return Err(Unaided::Full);
        }
        state.queue.push_back(work);
        if state.queue.len() > state.resting && state.threads < limits::ASIDE_THREADS_MAX {
            match thread::Builder::new().name("aside".into()).spawn(|| self.help()) {
                Ok(_) => state.threads += 1,
                // Another helper will come to it.
                Err(_) if state.threads > 0 => {}
                Err(_) => {
                    let refused = state.queue.pop_back();
                    drop(state);
                    drop(refused);
                    return Err(Unaided::Full);
                }
            }
        }
        drop(state);
        self.work_came.notify_one();
        Ok(())
    }

    /// A helper thread's life.
    fn help(&self) {
        let mut state = lock(&self.state);
        loop {
            if let Some(work) = state.queue.pop_front() {
                drop(state);
                // What panics here is a result that nobody waited for, while it was dropped.
                let _ = catch_unwind(AssertUnwindSafe(work));
                state = lock(&self.state);
                continue;
            }
            state.resting += 1;
            let rested = self.work_came.wait_timeout(state, limits::ASIDE_REST_MAX);
            let (after, rest) = rested.unwrap_or_else(PoisonError::into_inner);
            state = after;
            state.resting -= 1;
            if rest.timed_out() && state.queue.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

/// Nothing that holds one of these locks can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::config::DriverChoice;
    use crate::net::driver::Driver;

    #[test]
    fn results_panics_bounds_and_what_nobody_waits_for() {
        for choice in [DriverChoice::Auto, DriverChoice::Epoll] {
            let (mut driver, _) = Driver::build(choice).unwrap();
            driver.block_on(async {
                let pool: &Pool = Box::leak(Box::new(Pool::new()));
                let here = thread::current().id();
                assert_ne!(pool.run(move || thread::current().id()).await, Ok(here));
                let hook = std::panic::take_hook();
                std::panic::set_hook(Box::new(|_| {}));
                for _ in 0..=limits::ASIDE_THREADS_MAX {
                    assert_eq!(pool.run(|| panic!("on purpose")).await, Err::<(), _>(Unaided::Panicked));
                }
                std::panic::set_hook(hook);
                let tasks: Vec<_> = (0..100_u64).map(|n| monoio::spawn(pool.run(move || n * n))).collect();
                for (n, task) in (0..).zip(tasks) {
                    assert_eq!(task.await, Ok(n * n));
                }
                bounded_and_forgotten(pool).await;
            });
        }
    }

    async fn bounded_and_forgotten(pool: &'static Pool) {
        let begun = Arc::new(AtomicUsize::new(0));
        let (let_go, held): (Vec<_>, Vec<_>) = (0..limits::ASIDE_THREADS_MAX).map(|_| mpsc::channel::<()>()).unzip();
        let holders: Vec<_> = held
            .into_iter()
            .map(|held| {
                let begun = begun.clone();
                monoio::spawn(pool.run(move || {
                    begun.fetch_add(1, Relaxed);
                    held.recv().is_err()
                }))
            })
            .collect();
        while begun.load(Relaxed) < limits::ASIDE_THREADS_MAX {
            monoio::time::sleep(Duration::from_millis(1)).await;
        }
        let ran = Arc::new(AtomicUsize::new(0));
        let mut waiting: Vec<_> = (0..=limits::ASIDE_WAITING_MAX)
            .map(|_| {
                let ran = ran.clone();
                Box::pin(pool.run(move || ran.fetch_add(1, Relaxed)))
            })
            .collect();
        let mut refused = 0;
        std::future::poll_fn(|cx| {
            for one in &mut waiting {
                refused += usize::from(one.as_mut().poll(cx) == std::task::Poll::Ready(Err(Unaided::Full)));
            }
            std::task::Poll::Ready(())
        })
        .await;
        assert_eq!(refused, 1);
        drop(waiting);
        drop(let_go);
        for holder in holders {
            assert_eq!(holder.await, Ok(true));
        }
        // Behind everything that was forgotten.
        assert_eq!((pool.run(|| 7).await, ran.load(Relaxed)), (Ok(7), 0));
    }
}
