//! `SIDESTREAM_PRICES`: the file with a user's own prices.

use super::reader::Reader;
use crate::prices::Prices;

const VARIABLE: &str = "SIDESTREAM_PRICES";

/// The table that the variable names; without one the built-in prices hold alone.
pub(super) fn read(from: &mut Reader<'_>) -> Prices {
    // What is no UTF-8 fits no name, and is no price.
    let Some(bytes) = from.file_of("", VARIABLE, Ok) else { return Prices::default() };
    Prices::parse(&String::from_utf8_lossy(&bytes)).unwrap_or_else(|wrong| {
        wrong.into_iter().for_each(|what| from.problem(VARIABLE, what));
        Prices::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Source};

    fn read(text: &'static str) -> Result<Config, Vec<String>> {
        let file = move |path: &str| match path {
            "/prices" => Ok(text.as_bytes().to_vec()),
            _ => Err("No such file or directory".to_owned()),
        };
        let path = if text.is_empty() { "/absent" } else { "/prices" };
        let source = Source { read_file: &file, ..Source::of([(VARIABLE.to_owned(), path.to_owned())]) };
        Config::read(&source).map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_users_table() {
        let config = read("provider,model,input,output\nmy-box,*,1,2\n").unwrap();
        assert_eq!(config.prices.of("my-box", "m").map(|price| price.rates.output), Some(2_000_000));
        assert!(config.prices.of("my-other", "m").is_none() && config.warnings.is_empty());
        let problems = read("provider,model,input,output\na,b,1,x\na,b,y,1\n").unwrap_err();
        let starts = [2, 3].map(|line| format!("SIDESTREAM_PRICES=\"/prices\" line {line} has a value"));
        assert!(
            problems.len() == 2 && problems.iter().zip(starts).all(|(is, start)| is.starts_with(&start)),
            "{problems:?}"
        );
        let problems = read("").unwrap_err();
        assert_eq!(
            problems,
            ["SIDESTREAM_PRICES=\"/absent\" names a file that cannot be read: No such file or directory"]
        );
    }
}
