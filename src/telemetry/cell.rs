//! The numbers themselves. Each is written by one worker: an increment is a plain load and store, no locked operation.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A number that one worker writes and a scrape reads.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

impl Cell {
    /// Adds `by`.
    pub fn add(&self, by: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(by), Relaxed);
    }

    /// Takes `by` away (gauges).
    pub fn sub(&self, by: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(by), Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// One more until the guard is dropped, so that the number stays true whatever ends the work.
    pub fn hold(&self) -> Held<'_> {
        self.add(1);
        Held(self)
    }
}

/// See [`Cell::hold`].
#[derive(Debug)]
pub struct Held<'a>(&'a Cell);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.sub(1);
    }
}

/// Whether a number only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; exposed with `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One number as a scrape sees it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name, without the prefix and without `_total`.
    pub name: &'static str,
    /// Whether it only grows.
    pub kind: Kind,
    /// What it counts, for people.
    pub help: &'static str,
    /// The value now.
    pub value: u64,
}

/// Declares a struct of [`Cell`]s with `rows()`; the table is the only place where a number is named. The fields behind
/// `beside` are those that are no plain numbers.
macro_rules! numbers {
    (
        $(#[$doc:meta])*
        $of:ident { $($name:ident: $kind:ident, $help:literal;)* }
        beside { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $of {
            $(#[doc = $help] pub $name: $crate::telemetry::cell::Cell,)*
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $of {
            /// Every plain number, in the order of the table.
            pub fn rows(&self) -> Vec<$crate::telemetry::cell::Row> {
                use $crate::telemetry::cell::{Kind, Row};
                vec![$(Row { name: stringify!($name), kind: Kind::$kind, help: $help, value: self.$name.get() },)*]
            }
        }
    };
}
pub(super) use numbers;

/// How many observations fell between which bounds.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One cell for each of [`BOUNDS`], not cumulative, and one for what is longer than the last.
    cells: [Cell; BOUNDS.len() + 1],
    micros: Cell,
}

/// Upper bounds in microseconds: from a local model's first byte to the longest agent's turn.
pub const BOUNDS: [u64; 18] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
    600_000_000,
];

impl Histogram {
    /// Counts one observation. A bound belongs to its bucket, as `le` says.
    pub fn observe(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(cell) = self.cells.get(place) {
            cell.add(1);
        }
        self.micros.add(micros);
    }

    /// Adds what was observed so far to `sum`.
    pub fn add_to(&self, sum: &mut Observed) {
        sum.counts.iter_mut().zip(&self.cells).for_each(|(count, cell)| *count += cell.get());
        sum.micros = sum.micros.wrapping_add(self.micros.get());
    }
}

/// The observations of several histograms together. Their number is the sum of the counts, so that it agrees with them
/// also when a scrape meets a worker in the middle of [`Histogram::observe`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Observations up to each of [`BOUNDS`] and above the bound before it; the last: above all.
    pub counts: [u64; BOUNDS.len() + 1],
    /// All of them added up, in microseconds.
    pub micros: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_takes_back_what_it_added() {
        let open = Cell::default();
        {
            let _one = open.hold();
            let _two = open.hold();
            assert_eq!(open.get(), 2);
        }
        assert_eq!(open.get(), 0);
    }

    #[test]
    fn observations_fall_into_the_first_bucket_that_holds_them() {
        let table = [
            (0, 0),
            (999, 0),
            (1_000, 0),
            (1_001, 1),
            (2_500, 1),
            (600_000_000, 17),
            (600_000_001, 18),
            (u64::MAX / 2, 18),
        ];
        for (micros, bucket) in table {
            let (histogram, mut seen) = (Histogram::default(), Observed::default());
            histogram.observe(Duration::from_micros(micros));
            histogram.add_to(&mut seen);
            let mut counts = [0; BOUNDS.len() + 1];
            counts[bucket] = 1;
            assert_eq!(seen, Observed { counts, micros }, "{micros}");
        }
    }

    #[test]
    fn bounds_grow() {
        assert!(BOUNDS.is_sorted_by(|one, next| one < next));
    }
}
