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

use support::{Piece, Work};

fn main() {
    let (mut only, mut slow) = (String::new(), None);
    let mut arguments = std::env::args().skip(1);
    while let Some(option) = arguments.next() {
        if option == "--bench" {
            return println!("nothing to time here: scripts/gate counts instructions");
        }
        match (option.as_str(), arguments.next()) {
            ("--only", Some(text)) => only = text,
            ("--slow", Some(text)) => slow = Some(text),
            _ => panic!("{option}: there are --only TEXT and --slow TEXT"),
        }
    }
    for Piece { name, calls, set_up } in support::pieces().into_iter().filter(|piece| piece.name.contains(&only)) {
        let Work { bytes, units, mut call, note } = set_up();
        // What is logged waits for this.
        let _quiet = std::io::stderr().lock();
        // Templates are learned, pools filled, buffers grown.
        (0..calls).for_each(|_| call());
        let is_slow = slow.as_ref().is_some_and(|text| name.contains(text));
        counted(&mut *call, if is_slow { calls + calls.div_ceil(20) } else { calls });
        println!("{}\t{bytes}\t{name}\t{note}", calls * units);
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
