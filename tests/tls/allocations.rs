//! What rustls' buffered API costs on the heap: our own vectors are reused, its records are not. Only the thread that runs
//! the connection is counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};

use super::authority::{PATIENCE, tls_peer};
use super::{on_both, over, world};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_record_costs_few_allocations() {
    const ROUNDS: u64 = 500;
    on_both(async |net| {
        let (_, identity, config) = world();
        let (address, thread) = tls_peer(identity.server(), 1, |mut stream| {
            let mut chunk = [0; 300];
            while stream.read_exact(&mut chunk).is_ok() {
                stream.write_all(&chunk).unwrap();
            }
        });
        let (mut inlet, mut outlet) = net.connect(address, &config, "upstream.test").await.unwrap();
        let (mut out, mut inbound) = (vec![7; 300], Vec::new());
        let (mut sending, mut receiving) = (0, 0);
        for round in 0..2 * ROUNDS {
            let start = ALLOCATIONS.get();
            let (sent, back) = outlet.send_all(out, PATIENCE).await;
            sent.unwrap();
            out = back;
            let middle = ALLOCATIONS.get();
            let mut left = 300;
            while left > 0 {
                let (read, back) = inlet.receive(inbound).await;
                left -= read.unwrap();
                inbound = back;
                inbound.clear();
            }
            if round >= ROUNDS {
                sending += middle - start;
                receiving += ALLOCATIONS.get() - middle;
            }
        }
        println!("{} allocations per record sent, {} per record received", sending / ROUNDS, receiving / ROUNDS);
        // One vector for each record that rustls makes, one for each that it opens.
        assert_eq!((sending / ROUNDS, receiving / ROUNDS), (1, 1), "{sending} {receiving} over {ROUNDS} rounds");
        drop((inlet, outlet));
        over(thread).await;
    });
}
