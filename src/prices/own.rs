//! A user's own table.

use super::price::Price;
use super::row::{Column, Row, Wrong};
use crate::limits::OWN_PRICES_MAX;
use crate::route::matches;

/// The price of the models that a row of a user's fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Own {
    provider: String,
    model: String,
    pub price: Price,
}

impl Own {
    /// Whether it is of that model; its name is in small letters.
    pub fn is_of(&self, provider: &str, model: &str) -> bool {
        matches(&self.provider, provider) && matches(&self.model, model)
    }
}

/// See [`super::Prices::parse`].
pub(super) fn parse(text: &str) -> Result<Vec<Own>, Vec<String>> {
    // What spreadsheets put in front.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().enumerate().map(|(place, line)| (place + 1, line.trim()));
    let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let Some((first, names)) = lines.next() else {
        return Err(vec![format!("names a file without a line; {FIRST}")]);
    };
    let columns = columns(names).map_err(|what| vec![format!("line {first} {what}")])?;
    let (mut own, mut problems) = (Vec::<Own>::new(), Vec::new());
    for (number, line) in lines {
        let added = Row::read(&columns, line).map_err(told).and_then(|row| add(&mut own, &row));
        if let Err(what) = added {
            problems.push(format!("line {number} {what}"));
        }
        if own.len() > OWN_PRICES_MAX {
            problems.push(format!(
                "names a file of more than {OWN_PRICES_MAX} prices; take one row for many models, with *"
            ));
            break;
        }
    }
    if problems.is_empty() { Ok(own) } else { Err(problems) }
}

const FIRST: &str = "the first line must name the columns, as in provider,model,input,output";

/// The columns, by the line that names them.
fn columns(line: &str) -> Result<Vec<Column>, String> {
    let mut columns = Vec::new();
    for name in line.split(',').map(str::trim) {
        let Some(column) = Column::ALL.into_iter().find(|column| column.name() == name) else {
            let all = Column::ALL.map(Column::name).join(", ");
            return Err(format!("names a column that there is not; {FIRST}, of {all}"));
        };
        if columns.contains(&column) {
            return Err(format!("names the column {name} twice; take one of them out"));
        }
        columns.push(column);
    }
    for needed in [Column::Provider, Column::Model, Column::Input, Column::Output] {
        if !columns.contains(&needed) {
            return Err(format!("does not name the column {}; {FIRST}", needed.name()));
        }
    }
    Ok(columns)
}

fn told((column, what): Wrong) -> String {
    column.map_or_else(|| what.to_owned(), |column| format!("has a value of {} that {what}", column.name()))
}

/// Adds a row; one that holds above a number of tokens belongs to the row before it.
fn add(own: &mut Vec<Own>, row: &Row<'_>) -> Result<(), String> {
    let (provider, model) = (row.provider.to_ascii_lowercase(), row.model.to_ascii_lowercase());
    if row.above.is_none() {
        own.push(Own { provider, model, price: row.price(None) });
        return Ok(());
    }
    let base = own.last_mut().filter(|base| base.provider == provider && base.model == model);
    match base {
        Some(base) if base.price.long.is_none() => {
            base.price.long = row.above.map(|above| (above, row.rates));
            Ok(())
        }
        Some(_) => Err("is the second with a value of above for its model; take one of them out".into()),
        None => {
            Err("has a value of above; it belongs right behind the row of the same provider and model without one"
                .into())
        }
    }
}
