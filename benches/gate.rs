//! Runs every piece a fixed number of times, for `scripts/gate`, which has the instructions counted by callgrind: all
//! below [`counted`], without what is below `left_out`.
//!
//!     gate [--only TEXT] [--slow TEXT]
//!
//! For each piece a line goes out when it was counted: how many units were, the bytes of one, the name, a note.
//! `--only` runs the pieces whose name holds the text. `--slow` does a twentieth more of those whose name holds it, in
//! secret: so it can be seen that the gate closes.

#![allow(unsafe_code)]

mod support;

use std::hint::black_box;

use support::Work;

fn main() {
    let (mut only, mut slow) = (None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--only" => only = arguments.next(),
            "--slow" => slow = arguments.next(),
            // What cargo says to every bench.
            "--bench" => {}
            _ => panic!("no option {argument}; there are --only TEXT and --slow TEXT"),
        }
    }
    let named = |name: &str, text: &Option<String>| text.as_ref().map(|text| name.contains(text.as_str()));
    for piece in support::pieces() {
        if named(&piece.name, &only) == Some(false) {
            continue;
        }
        let Work { bytes, units, mut call, note } = (piece.set_up)();
        // What is logged waits for this.
        let _quiet = std::io::stderr().lock();
        // Templates are learned, pools filled, buffers grown.
        (0..piece.calls).for_each(|_| call());
        let calls = piece.calls;
        let more = if named(&piece.name, &slow) == Some(true) { calls.div_ceil(20) } else { 0 };
        counted(&mut *call, calls + more);
        println!("{}\t{bytes}\t{}\t{note}", calls * units, piece.name);
    }
}

/// What runs in here is counted.
#[inline(never)]
fn counted(call: &mut dyn FnMut(), calls: u32) {
    (0..calls).for_each(|_| call());
    black_box(calls);
}

/// In place of the system's: the keys of std's hash maps are the same in every run, and so are their collisions.
///
/// # Safety
/// `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    // SAFETY: the caller's promise.
    unsafe { buffer.write_bytes(7, length) };
    length as isize
}
