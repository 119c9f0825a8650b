//! The built-in list. It is searched as it lies in the program: nothing is read before somebody asks, and nothing is kept.

use std::cmp::Ordering;

use memchr::{memchr, memrchr};

use super::price::Price;
use super::row::{Column, Row};
use crate::route::matches;

/// A comment with date and source, the names of the columns, and a row a line, in the order of provider, model, above.
pub(super) const TABLE: &str = include_str!("table.csv");

/// The day as of which its prices are.
pub fn date() -> &'static str {
    TABLE.strip_prefix(BEFORE_DATE).and_then(|rest| rest.get(..DATE_BYTES)).unwrap_or("an unknown day")
}

const BEFORE_DATE: &str = "# Prices as of ";
const DATE_BYTES: usize = "2026-11-29".len();

/// The price that is listed under exactly this name.
pub(super) fn exact(provider: &str, model: &str) -> Option<Price> {
    let mut lines = from(provider, model).lines();
    let is_it = |line: &&str| key(line) == (provider, model);
    let base = Row::read(&Column::ALL, lines.next().filter(is_it)?).ok()?;
    let long = lines.next().filter(is_it).and_then(|line| Row::read(&Column::ALL, line).ok());
    Some(base.price(long.as_ref()))
}

/// The price of a name that is listed by its end: rows whose model begins with `*`, which stand before all others of their
/// provider.
pub(super) fn by_pattern(provider: &str, model: &str) -> Option<Price> {
    let patterns = from(provider, "*").lines().map(key);
    let mut patterns = patterns.take_while(|(of, pattern)| *of == provider && pattern.starts_with('*'));
    patterns.find(|(_, pattern)| matches(pattern, model)).and_then(|(_, pattern)| exact(provider, pattern))
}

/// The table from the first row on that does not come before this one.
fn from(provider: &str, model: &str) -> &'static str {
    let rows = rows();
    let (mut low, mut high) = (0, rows.len());
    while low < high {
        // Both are where lines begin, so the line around the middle lies between them.
        let middle = low.midpoint(high);
        let start = memrchr(b'\n', rows.as_bytes().get(..middle).unwrap_or_default()).map_or(0, |end| end + 1);
        let line = line_at(rows, start);
        if key(line).cmp(&(provider, model)) == Ordering::Less {
            low = start + line.len() + 1;
        } else {
            high = start;
        }
    }
    rows.get(low..).unwrap_or_default()
}

/// What stands behind the comment and the names of the columns.
fn rows() -> &'static str {
    let behind = |text: &'static str| text.split_once('\n').map_or("", |(_, rest)| rest);
    behind(behind(TABLE))
}

fn line_at(rows: &str, start: usize) -> &str {
    let rest = rows.get(start..).unwrap_or_default();
    rest.get(..memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len())).unwrap_or_default()
}

fn key(line: &str) -> (&str, &str) {
    let mut values = line.split(',');
    (values.next().unwrap_or_default(), values.next().unwrap_or_default())
}
