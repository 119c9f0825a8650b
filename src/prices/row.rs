//! One line of a table of prices.

use super::price::{Price, Rates};

/// A column, as the first line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Provider,
    Model,
    Above,
    Input,
    Output,
    CacheRead,
    CacheWrite,
    CacheWrite1h,
    Reasoning,
    Context,
}

impl Column {
    /// All, in the order of the built-in table.
    pub const ALL: [Self; 10] = [
        Self::Provider,
        Self::Model,
        Self::Above,
        Self::Input,
        Self::Output,
        Self::CacheRead,
        Self::CacheWrite,
        Self::CacheWrite1h,
        Self::Reasoning,
        Self::Context,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Above => "above",
            Self::Input => "input",
            Self::Output => "output",
            Self::CacheRead => "cache_read",
            Self::CacheWrite => "cache_write",
            Self::CacheWrite1h => "cache_write_1h",
            Self::Reasoning => "reasoning",
            Self::Context => "context",
        }
    }
}

/// A line that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row<'t> {
    pub provider: &'t str,
    pub model: &'t str,
    /// It holds for requests with more tokens of input than that, beside a row for all others.
    pub above: Option<u64>,
    pub rates: Rates,
    pub context: Option<u64>,
}

/// Why a line is none: which column, and what is wrong there.
pub(super) type Wrong = (Option<Column>, &'static str);

const NO_PRICE: &str = "is no price; write US dollars for a million tokens, with at most six decimals, as in 2.5";
const MISSING: &str = "is empty; write US dollars for a million tokens, as in 2.5, or 0";
const NO_NAME: &str = "is empty; write a name, in which * stands for anything";
const NO_TOKENS: &str = "is no number of tokens; write one as in 200000";
const TOO_MANY: &str = "has more values than the first line has columns; take out what is too much";

impl<'t> Row<'t> {
    /// Reads a line whose values stand in the order of `columns`. What is empty costs as input does; reasoning as output.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(columns: &[Column], line: &'t str) -> Result<Self, Wrong> {
        let mut cells = Cells::default();
        let mut values = line.split(',').map(str::trim);
        for (column, value) in columns.iter().zip(&mut values) {
            cells.put(*column, value).map_err(|what| (Some(*column), what))?;
        }
        if values.next().is_some() {
            return Err((None, TOO_MANY));
        }
        cells.row()
    }

    /// The price that it says, and `long`, which says what holds above so many tokens.
    pub fn price(&self, long: Option<&Row<'_>>) -> Price {
        let long = long.and_then(|long| Some((long.above?, long.rates)));
        Price { rates: self.rates, long, context: self.context }
    }
}

/// The values of a line, as far as they were read.
#[derive(Default)]
struct Cells<'t> {
    provider: &'t str,
    model: &'t str,
    above: Option<u64>,
    input: Option<u64>,
    output: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    cache_write_1h: Option<u64>,
    reasoning: Option<u64>,
    context: Option<u64>,
}

impl<'t> Cells<'t> {
    fn put(&mut self, column: Column, value: &'t str) -> Result<(), &'static str> {
        let place = match column {
            Column::Provider => {
                self.provider = value;
                return Ok(());
            }
            Column::Model => {
                self.model = value;
                return Ok(());
            }
            Column::Above => &mut self.above,
            Column::Input => &mut self.input,
            Column::Output => &mut self.output,
            Column::CacheRead => &mut self.cache_read,
            Column::CacheWrite => &mut self.cache_write,
            Column::CacheWrite1h => &mut self.cache_write_1h,
            Column::Reasoning => &mut self.reasoning,
            Column::Context => &mut self.context,
        };
        if !value.is_empty() {
            *place = Some(match column {
                Column::Above | Column::Context => digits(value).ok_or(NO_TOKENS)?,
                _ => picos(value).ok_or(NO_PRICE)?,
            });
        }
        Ok(())
    }

    fn row(self) -> Result<Row<'t>, Wrong> {
        for (column, name) in [(Column::Provider, self.provider), (Column::Model, self.model)] {
            if name.is_empty() {
                return Err((Some(column), NO_NAME));
            }
        }
        let input = self.input.ok_or((Some(Column::Input), MISSING))?;
        let output = self.output.ok_or((Some(Column::Output), MISSING))?;
        let cache_write = self.cache_write.unwrap_or(input);
        let rates = Rates {
            input,
            cache_read: self.cache_read.unwrap_or(input),
            cache_write,
            cache_write_1h: self.cache_write_1h.unwrap_or(cache_write),
            output,
            reasoning: self.reasoning.unwrap_or(output),
        };
        Ok(Row { provider: self.provider, model: self.model, above: self.above, rates, context: self.context })
    }
}

/// Dollars for a million tokens as the price of one: `2.5` is 2,500,000.
fn picos(text: &str) -> Option<u64> {
    const DECIMALS: usize = 6;
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if part.len() > DECIMALS {
        return None;
    }
    let part = digits(part)?.checked_mul(10_u64.pow((DECIMALS - part.len()) as u32))?;
    let price = digits(whole)?.checked_mul(10_u64.pow(DECIMALS as u32))?.checked_add(part)?;
    Some(price).filter(|price| *price <= DEAREST)
}

/// A million dollars for a million tokens: more is a mistake in the unit.
const DEAREST: u64 = 1_000_000_000_000;

/// Digits alone: no sign, no spaces.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
