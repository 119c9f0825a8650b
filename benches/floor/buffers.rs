//! The memory that all connections receive into, and queues of its pieces.
//!
//! A buffer is the kernel's (in the ring) or ours (received and not yet sent). Ours are links of a [`Queue`] each, so that
//! a queue of any length needs no memory of its own.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// The only group of buffers there is.
pub const GROUP: u16 = 0;

/// A buffer's number.
pub type Id = u16;

/// The ring of free buffers, shared with the kernel, and all buffers' bytes.
pub struct Buffers {
    ring: NonNull<BufRingEntry>,
    bytes: NonNull<u8>,
    bytes_each: u32,
    /// Where the next buffer is given back. Counts on and wraps; the kernel takes it modulo the size of the ring.
    tail: u16,
    /// Buffers that the kernel has, as far as its completions tell.
    free: u16,
    links: Box<[Link]>,
}

/// What is to be said of a buffer that is ours.
#[derive(Clone, Copy, Default)]
struct Link {
    start: u32,
    end: u32,
    next: Option<Id>,
}

/// Buffers in the order in which they were received.
#[derive(Default)]
pub struct Queue {
    first: Option<Id>,
    last: Option<Id>,
    pub len: u16,
}

impl Buffers {
    /// Maps `count` buffers (a power of two) and hands all of them to the kernel.
    ///
    /// # Errors
    /// The kernel has no buffer rings, or no memory.
    pub fn register(submitter: &Submitter<'_>, count: u16, bytes_each: u32) -> io::Result<Self> {
        let ring = map(usize::from(count) * size_of::<BufRingEntry>())?.cast();
        let bytes = map(usize::from(count) * bytes_each as usize)?;
        // SAFETY: the ring is page-aligned, zeroed, has `count` entries, and is never unmapped.
        unsafe { submitter.register_buf_ring(ring.as_ptr() as u64, count, GROUP)? };
        let links = vec![Link::default(); usize::from(count)].into_boxed_slice();
        let mut buffers = Self { ring, bytes, bytes_each, tail: 0, free: 0, links };
        (0..count).for_each(|id| buffers.give(id));
        buffers.publish();
        Ok(buffers)
    }

    /// How many there are.
    pub fn count(&self) -> u16 {
        self.links.len() as u16
    }

    /// Whether a receive would find a buffer.
    pub fn any_free(&self) -> bool {
        self.free > 0
    }

    /// The kernel put `len` bytes into a buffer: it is ours, and the last in the queue.
    pub fn received(&mut self, queue: &mut Queue, id: Id, len: u32) {
        self.free -= 1;
        self.links[usize::from(id)] = Link { start: 0, end: len, next: None };
        match queue.last.replace(id) {
            Some(last) => self.links[usize::from(last)].next = Some(id),
            None => queue.first = Some(id),
        }
        queue.len += 1;
    }

    /// A buffer was reported taken, with nothing in it.
    pub fn unused(&mut self, id: Id) {
        self.free -= 1;
        self.give(id);
    }

    /// What is to be sent next. The bytes stay where they are until [`Self::sent`] covers them.
    pub fn front(&self, queue: &Queue) -> Option<(*const u8, u32)> {
        let id = usize::from(queue.first?);
        let link = self.links[id];
        let start = id * self.bytes_each as usize + link.start as usize;
        // SAFETY: `start` is within the mapping: `id` is below the count, and the kernel received no more than fits.
        Some((unsafe { self.bytes.as_ptr().add(start) }, link.end - link.start))
    }

    /// The first `len` bytes of the front were sent; with its last one, the buffer is the kernel's again.
    pub fn sent(&mut self, queue: &mut Queue, len: u32) {
        let Some(id) = queue.first else { return };
        let link = &mut self.links[usize::from(id)];
        link.start += len;
        if link.start == link.end {
            self.drop_front(queue);
        }
    }

    /// Gives back everything in the queue. No send may be under way.
    pub fn clear(&mut self, queue: &mut Queue) {
        while queue.first.is_some() {
            self.drop_front(queue);
        }
    }

    fn drop_front(&mut self, queue: &mut Queue) {
        let Some(id) = queue.first else { return };
        queue.first = self.links[usize::from(id)].next;
        if queue.first.is_none() {
            queue.last = None;
        }
        queue.len -= 1;
        self.give(id);
    }

    fn give(&mut self, id: Id) {
        let mask = self.count() - 1;
        // SAFETY: the index is below the ring's size, and the kernel does not read an entry at or beyond the tail.
        let entry = unsafe { &mut *self.ring.as_ptr().add(usize::from(self.tail & mask)) };
        // SAFETY: `id` is below the count, so the address is that of a buffer in the mapping.
        entry.set_addr(unsafe { self.bytes.as_ptr().add(usize::from(id) * self.bytes_each as usize) } as u64);
        entry.set_len(self.bytes_each);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        self.free += 1;
    }

    /// Lets the kernel see what was given back.
    pub fn publish(&mut self) {
        // SAFETY: the ring's first entry lives as long as `self`. Its tail is written here alone, and read by the kernel.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

/// Zeroed pages, kept until the process ends.
fn map(bytes: usize) -> io::Result<NonNull<u8>> {
    let (access, kind) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE);
    // SAFETY: a fresh mapping at an address of the kernel's choice touches no memory that exists.
    let address = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(address.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}
