//! The worker's free list of byte vectors: a read takes one, its last reader gives it back. And that of timers.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::time::Duration;

use monoio::time::{Instant, Sleep, sleep};

use crate::limits;

/// One worker's free list. Vectors come empty, with at least [`limits::READ_BYTES`] of capacity.
#[derive(Default)]
pub struct Buffers {
    free: RefCell<Vec<Vec<u8>>>,
    /// Capacity of everything in `free`.
    bytes: Cell<usize>,
    timers: RefCell<Vec<Pin<Box<Sleep>>>>,
}

impl Buffers {
    /// Waits so long. A timer has 640 bytes and wants to begin at a multiple of 128: inside a connection's future it would
    /// cost each idle one two kilobytes, so it lies apart, and is used again.
    pub async fn pause(&self, time: Duration) {
        let rested = self.timers.borrow_mut().pop();
        let mut timer = match rested {
            Some(mut timer) => {
                timer.as_mut().reset(Instant::now() + time);
                timer
            }
            None => Box::pin(sleep(time)),
        };
        timer.as_mut().await;
        let mut timers = self.timers.borrow_mut();
        if timers.len() < limits::FREE_TIMERS_MAX {
            timers.push(timer);
        }
    }

    /// An empty vector with room for one read.
    pub fn take(&self) -> Vec<u8> {
        match self.free.borrow_mut().pop() {
            Some(buffer) => {
                self.bytes.set(self.bytes.get() - buffer.capacity());
                buffer
            }
            None => Vec::with_capacity(limits::READ_BYTES),
        }
    }

    /// Takes a vector back. One that is too small, that grew for a giant body, or that the list has no room for, goes
    /// to the allocator.
    pub fn give(&self, mut buffer: Vec<u8>) {
        let usual = (limits::READ_BYTES..=limits::FREE_BUFFER_BYTES_MAX).contains(&buffer.capacity());
        let bytes = self.bytes.get() + buffer.capacity();
        if usual && bytes <= limits::FREE_BYTES_MAX {
            buffer.clear();
            self.bytes.set(bytes);
            self.free.borrow_mut().push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing::each_driver;

    #[test]
    fn a_timer_is_used_again_and_waits_again() {
        each_driver(async || {
            let buffers = Buffers::default();
            for _ in 0..3 {
                let began = Instant::now();
                buffers.pause(Duration::from_millis(5)).await;
                assert!(began.elapsed() >= Duration::from_millis(5));
            }
            assert_eq!(buffers.timers.borrow().len(), 1);
        });
    }

    #[test]
    fn a_returned_vector_is_handed_out_again_empty() {
        let buffers = Buffers::default();
        let mut first = buffers.take();
        first.extend_from_slice(b"secret");
        let place = first.as_ptr();
        buffers.give(first);
        let second = buffers.take();
        assert!(second.is_empty());
        assert_eq!(second.as_ptr(), place);
        assert_eq!(buffers.bytes.get(), 0);
    }

    #[test]
    fn giants_and_dwarfs_are_not_kept() {
        let buffers = Buffers::default();
        buffers.give(Vec::with_capacity(1 << 20));
        buffers.give(Vec::with_capacity(10));
        assert!(buffers.free.borrow().is_empty());
    }

    #[test]
    fn the_list_is_bounded_by_its_bytes() {
        let buffers = Buffers::default();
        for _ in 0..1000 {
            buffers.give(Vec::with_capacity(limits::READ_BYTES));
        }
        assert!(buffers.bytes.get() <= limits::FREE_BYTES_MAX);
        assert_eq!(buffers.free.borrow().len(), limits::FREE_BYTES_MAX / limits::READ_BYTES);
    }
}
