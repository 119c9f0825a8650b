//! The worker's free list of byte vectors: a read takes one, its last reader gives it back.

use std::cell::{Cell, RefCell};

use crate::limits;

/// One worker's free list. Vectors come empty, with at least [`limits::READ_BYTES`] of capacity.
#[derive(Default)]
pub struct Buffers {
    free: RefCell<Vec<Vec<u8>>>,
    /// Capacity of everything in `free`.
    bytes: Cell<usize>,
}

impl Buffers {
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
