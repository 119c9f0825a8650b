//! Reading usage in passing is part of the allocation budget: a warm reader does not touch the heap, whatever the pieces.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use sidestream::dialect::usage::UsageReader;

struct Counting;

thread_local! {
    /// Of this thread alone: the test harness has one too.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; `realloc` comes here as an `alloc`.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_warm_reader_allocates_nothing() {
    let report = r#"{"prompt_tokens":9,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":4}}"#;
    let stream = format!("data: {{\"choices\":[],\ndata: \"usage\":{report}}}\n\n").repeat(10);
    let body = format!("{{\"choices\":[],\"us\\u0061ge\":{report}}}");
    let mut reader = UsageReader::new();
    let mut read = || {
        for size in [1, 7, 100, usize::MAX] {
            reader.reset();
            stream.as_bytes().chunks(size).for_each(|piece| reader.push_stream(piece));
            assert_eq!(reader.usage().input, Some(5));
            reader.reset();
            body.as_bytes().chunks(size).for_each(|piece| reader.push_json(piece));
            assert_eq!(reader.usage().input, Some(5));
        }
    };
    read();
    let before = ALLOCATIONS.get();
    read();
    assert_eq!(ALLOCATIONS.get() - before, 0);
    drop(std::hint::black_box(vec![0u8; 9]));
    assert_eq!(ALLOCATIONS.get() - before, 1, "the counter counts");
}
