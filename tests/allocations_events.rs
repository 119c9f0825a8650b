//! The allocation budget of what looks into answers: once warm, reading usage in passing and translating events do not touch
//! the heap, whatever the pieces.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use sidestream::dialect::chat::answer::Reader;
use sidestream::dialect::messages::answer::StreamWriter;
use sidestream::dialect::profile::Profile;
use sidestream::dialect::sequencer::Sequencer;
use sidestream::dialect::turn::{Reader as _, Terms};
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

#[test]
fn a_token_allocates_nothing() {
    let text = |number: usize| {
        let padding = &"aB3dE6gHiJkLmNo"[number % 15..];
        format!(
            r#"{{"id":"c","choices":[{{"index":0,"delta":{{"content":" w\n{number}"}},"finish_reason":null}}],"obfuscation":"{padding}"}}"#
        )
    };
    let arguments = |number: usize| {
        let piece = if number == 0 { r#"{\"a\":\""# } else { r#"x\\n"# };
        format!(
            r#"{{"id":"c","choices":[{{"index":0,"delta":{{"tool_calls":[{{"index":0,"function":{{"name":"f","arguments":"{piece}"}}}}]}}}}]}}"#
        )
    };
    let events: [&dyn Fn(usize) -> String; 2] = [&text, &arguments];
    for event in events {
        let stream: Vec<_> = (0..1_000).map(event).collect();
        let terms = Terms { thinking: true, ..Terms::default() };
        let mut sequencer = Sequencer::new(StreamWriter::new(&terms, "chat"), terms);
        let mut reader = Reader::new(&Profile::default());
        let mut out = Vec::with_capacity(1 << 20);
        let mut read = |events: &[String]| {
            for event in events {
                reader.event(b"", event.as_bytes(), &mut |word| sequencer.say(word, &mut out));
                // A shape that changes is read in full, and no dearer in memory.
                if event.len() % 3 == 0 {
                    reader.forget_shape();
                }
            }
        };
        read(&stream[..20]);
        let before = ALLOCATIONS.get();
        read(&stream[20..]);
        assert_eq!(ALLOCATIONS.get() - before, 0);
        assert!(out.len() > 50_000);
    }
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![0u8; 9]));
    assert_eq!(ALLOCATIONS.get() - before, 1, "the counter counts");
}
