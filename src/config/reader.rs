//! Reads values by name, and collects what is wrong with them.

use std::collections::BTreeMap;

use super::value::Wrong;
use super::variables::{self, PROVIDER_VARIABLES, VARIABLES, Variable};
use super::{Problem, Source, env_file};

/// The variables that are set, and what was found wrong so far.
pub struct Reader<'a> {
    source: &'a Source<'a>,
    set: BTreeMap<&'a str, Setting>,
    /// Of the providers asked for, in that order.
    prefixes: Vec<String>,
    problems: Vec<(Rank, Problem)>,
    warnings: Vec<String>,
}

/// A value, and where it stands.
pub struct Setting {
    /// The value as written.
    pub text: String,
    /// Its line in the env file; `None` for the process environment.
    pub line: Option<usize>,
}

/// Where a problem stands among the others: first by whose variable it is (the env file's own form, the proxy, the
/// providers in their order), then by line or row.
type Rank = (usize, usize);

impl<'a> Reader<'a> {
    /// A reader of these variables. The process environment wins over the file, the file's later lines over its earlier
    /// ones; an empty value counts as unset, since that is what a template writes for a variable it does not know.
    pub fn new(source: &'a Source<'a>) -> Self {
        let mut reader =
            Self { source, set: BTreeMap::new(), prefixes: Vec::new(), problems: Vec::new(), warnings: Vec::new() };
        if let Some((_, text)) = &source.env_file {
            let file = env_file::parse(text);
            reader.put(file.entries.into_iter().map(|entry| (entry.name, entry.value, Some(entry.line))));
            for (line, what) in file.problems {
                reader.problem_in_file(line, "the line", &what);
            }
        }
        reader.put(source.environment.iter().map(|(name, value)| (name.as_str(), value.clone(), None)));
        reader
    }

    /// Sets variables of one origin over those of another.
    fn put(&mut self, variables: impl Iterator<Item = (&'a str, String, Option<usize>)>) {
        let mut variables: Vec<_> = variables.filter(|(_, text, _)| !text.trim().is_empty()).collect();
        // Other programs read these two in small letters as well; both set, the capitals win.
        variables.sort_by_key(|(name, ..)| !matches!(*name, "https_proxy" | "no_proxy"));
        for (name, text, line) in variables {
            let name = match name {
                "https_proxy" => "HTTPS_PROXY",
                "no_proxy" => "NO_PROXY",
                name => name,
            };
            self.set.insert(name, Setting { text, line });
        }
    }

    /// Every variable that is set, by name.
    pub fn settings(&self) -> impl Iterator<Item = (&'a str, &Setting)> {
        self.set.iter().map(|(name, setting)| (*name, setting))
    }

    /// A variable's text, if it is set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.set.get(name).map(|setting| setting.text.as_str())
    }

    /// A variable of the proxy: what is set, else the table's default. After a problem the value is a stand-in, so that
    /// reading goes on to the next problem; [`Reader::finish`] refuses the whole.
    pub fn parse<T: Default>(&mut self, row: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> T {
        self.parse_of("", row, parse)
    }

    /// A variable whose name is `prefix` and `row`; the default stands in the table under `row`.
    pub fn parse_of<T: Default>(&mut self, prefix: &str, row: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> T {
        let default = || parse(variables::row(row).map_or("", |row| row.default)).unwrap_or_default();
        self.optional_of(prefix, row, &parse).unwrap_or_else(default)
    }

    /// A variable of the proxy without a default.
    pub fn optional<T>(&mut self, row: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        self.optional_of("", row, parse)
    }

    /// A variable without a default, whose name is `prefix` and `row`.
    pub fn optional_of<T>(&mut self, prefix: &str, row: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        let parsed = parse(self.get(&format!("{prefix}{row}"))?.trim());
        parsed.map_err(|what| self.problem_of(prefix, row, what)).ok()
    }

    /// What the file says that a variable names.
    pub fn file_of<T>(&mut self, prefix: &str, row: &str, parse: impl Fn(Vec<u8>) -> Result<T, Wrong>) -> Option<T> {
        let read_file = self.source.read_file;
        self.optional_of(prefix, row, |path| {
            let bytes = read_file(path).map_err(|error| format!("names a file that cannot be read: {error}"))?;
            parse(bytes)
        })
    }

    /// Looks at a variable that has no effect yet.
    pub fn later(&mut self, prefix: &str, row: &Variable) {
        if let Some(form) = row.later
            && self.optional_of(prefix, row.name, form).is_some()
        {
            self.warn(format!("{prefix}{} has no effect in this version", row.name));
        }
    }

    /// Notes a problem with a variable of the proxy.
    pub fn problem(&mut self, row: &str, what: impl Into<String>) {
        self.problem_of("", row, what);
    }

    /// Notes a problem with the variable whose name is `prefix` and `row`. Its value is shown if it is set and no
    /// secret, its line if it has one.
    pub fn problem_of(&mut self, prefix: &str, row: &str, what: impl Into<String>) {
        let name = format!("{prefix}{row}");
        let shows = variables::row(row).map(|row| row.shows);
        let value = self.get(&name).and_then(|value| shows?.of(value)).map(|value| format!("={value:?}"));
        let place = self.place(&name).map(|place| format!(" ({place})"));
        let variable = format!("{name}{}{}", value.unwrap_or_default(), place.unwrap_or_default());
        self.problem_as(prefix, row, variable, what);
    }

    /// The same under another name than the table's, or without the value.
    pub fn problem_as(&mut self, prefix: &str, row: &str, variable: impl Into<String>, what: impl Into<String>) {
        let place = |rows: &[Variable]| rows.iter().position(|variable| variable.name == row).unwrap_or(rows.len());
        let rank = match prefix {
            "" => (1, place(VARIABLES)),
            prefix => (2 + self.provider_place(prefix), place(PROVIDER_VARIABLES)),
        };
        self.problems.push((rank, Problem { variable: variable.into(), what: what.into() }));
    }

    fn provider_place(&mut self, prefix: &str) -> usize {
        if !self.prefixes.iter().any(|known| known == prefix) {
            self.prefixes.push(prefix.to_owned());
        }
        self.prefixes.iter().position(|known| known == prefix).unwrap_or_default()
    }

    /// Notes a problem with a line of the env file.
    pub fn problem_in_file(&mut self, line: usize, subject: impl Into<String>, what: &str) {
        let variable = format!("{}:{line}: {}", self.env_file(), subject.into());
        self.problems.push(((0, line), Problem { variable, what: what.to_owned() }));
    }

    fn env_file(&self) -> &str {
        self.source.env_file.as_ref().map_or("", |(path, _)| path)
    }

    /// Where a variable was set, if that is the env file.
    pub fn place(&self, name: &str) -> Option<String> {
        let line = self.set.get(name)?.line?;
        Some(format!("{}:{line}", self.env_file()))
    }

    /// Notes what need not be mended, but should be known.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// What to tell, and all problems in the order of the table, if there are any.
    pub fn finish(mut self) -> Result<Vec<String>, Vec<Problem>> {
        if self.problems.is_empty() {
            return Ok(self.warnings);
        }
        self.problems.sort_by_key(|(rank, _)| *rank);
        Err(self.problems.into_iter().map(|(_, problem)| problem).collect())
    }
}
