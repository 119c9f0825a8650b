//! When a silent stream needs a word of ours: its head after a while, then a ping from time to time.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use monoio::time::{Sleep, sleep_until};

/// The next time at which something is due. One timer serves a whole stream: it is not set anew with every event, but
/// looks, when it wakes, how long the silence has really lasted.
pub struct Rhythm {
    due: Option<Instant>,
    ping: Duration,
    holding: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Rhythm {
    /// A stream whose head may be held for `hold`, and that shall not be silent for longer than `ping`; zero for never.
    pub fn new(hold: Duration, ping: Duration) -> Self {
        let mut rhythm = Self { due: None, ping, holding: !hold.is_zero(), timer: None };
        rhythm.due = if rhythm.holding { Instant::now().checked_add(hold) } else { rhythm.next() };
        rhythm
    }

    /// The head may still wait for the first event.
    pub fn may_hold(&self) -> bool {
        self.holding
    }

    /// The head is out.
    pub fn release(&mut self) {
        if std::mem::take(&mut self.holding) {
            self.due = self.next();
        }
    }

    /// The upstream said something.
    pub fn heard(&mut self) {
        if !self.holding {
            self.due = self.next();
        }
    }

    /// The work's outcome, or `None` when something is due first; then the work can be waited for again. With `wanted` off
    /// nothing is ever due.
    pub async fn unless_due<T>(&mut self, wanted: bool, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(outcome));
            }
            let Some(due) = self.due.filter(|_| wanted) else { return Poll::Pending };
            loop {
                let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due.into())));
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.timer = None;
                if due <= Instant::now() {
                    self.holding = false;
                    self.due = self.next();
                    return Poll::Ready(None);
                }
            }
        })
        .await
    }

    fn next(&self) -> Option<Instant> {
        if self.ping.is_zero() { None } else { Instant::now().checked_add(self.ping) }
    }
}
