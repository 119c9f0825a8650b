//! How long the pieces take: `cargo bench --bench pieces`, or with `-- TEXT` those whose name holds the text.
//!
//! Times are for looking, never for tests: a shared machine changes them by half. Compare medians of one run with each
//! other, or count instructions: `scripts/gate`.

mod support;

use std::time::{Duration, Instant};

use support::{Piece, Work};

const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(4);

fn main() {
    let text = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    // What is logged waits for this, to the end.
    std::mem::forget(std::io::stderr().lock());
    println!("{:<52}{:>10}{:>12}{:>12}", "piece", "bytes", "ns", "ns/byte");
    support::pieces().into_iter().filter(|piece| piece.name.contains(&text)).for_each(measure);
}

/// Prints the median of [`ROUNDS`] rounds, each of [`ROUND`] or a few calls.
fn measure(piece: Piece) {
    let Work { bytes, units, mut call, note } = (piece.set_up)();
    let mut repeat = |calls: u32| {
        let began = Instant::now();
        (0..calls).for_each(|_| call());
        began.elapsed()
    };
    let once = repeat(piece.calls) / piece.calls;
    let calls = (ROUND.as_nanos() / once.as_nanos().max(1)).clamp(1, 100_000) as u32;
    let mut rounds: Vec<f64> =
        (0..ROUNDS).map(|_| repeat(calls).as_nanos() as f64 / f64::from(calls) / f64::from(units)).collect();
    rounds.sort_by(f64::total_cmp);
    let median = rounds[ROUNDS / 2];
    println!("{:<52}{bytes:>10}{median:>12.0}{:>12.3}  {note}", piece.name, median / bytes.max(1) as f64);
}
