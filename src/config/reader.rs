//! Reads values by name, and collects what is wrong with them.

use std::collections::BTreeMap;

use super::value::Wrong;
use super::variables::{self, VARIABLES, Variable};
use super::{Problem, Source, env_file};

/// The variables that are set, and what was found wrong so far.
pub struct Reader<'a> {
    source: &'a Source<'a>,
    set: BTreeMap<&'a str, Setting>,
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

/// Where a problem stands among the others: those of the env file's form, of the proxy's variables in their table's
/// order, of the providers in theirs.
type Rank = usize;

impl<'a> Reader<'a> {
    /// A reader of these variables. The process environment wins over the file, the file's later lines over its earlier
    /// ones; an empty value counts as unset, since that is what a template writes for a variable it does not know.
    pub fn new(source: &'a Source<'a>) -> Self {
        let mut reader = Self { source, set: BTreeMap::new(), problems: Vec::new(), warnings: Vec::new() };
        if let Some((path, text)) = &source.env_file {
            let file = env_file::parse(text);
            for entry in file.entries {
                reader.put(entry.name, entry.value, Some(entry.line));
            }
            for (line, what) in file.problems {
                reader.problems.push((0, Problem { variable: format!("{path}:{line}"), what }));
            }
        }
        for (name, value) in &source.environment {
            reader.put(name, value.clone(), None);
        }
        reader
    }

    fn put(&mut self, name: &'a str, text: String, line: Option<usize>) {
        if !text.trim().is_empty() {
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

    /// The path of the env file.
    pub fn env_file(&self) -> &str {
        self.source.env_file.as_ref().map_or("", |(path, _)| path)
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

    /// Notes a problem with a variable of the proxy.
    pub fn problem(&mut self, row: &str, what: impl Into<String>) {
        self.problem_of("", row, what);
    }

    /// Notes a problem with the variable whose name is `prefix` and `row`. Its value is shown if it is set and no secret.
    pub fn problem_of(&mut self, prefix: &str, row: &str, what: impl Into<String>) {
        let name = format!("{prefix}{row}");
        let shows = variables::row(row).map(|row| row.shows);
        let value = self.get(&name).and_then(|value| shows?.of(value));
        let variable = value.map(|value| format!("{name}={value:?}")).unwrap_or(name);
        self.problem_with(row, variable, what);
    }

    /// Notes a problem under another name than the table's, or without the value.
    pub fn problem_with(&mut self, row: &str, variable: impl Into<String>, what: impl Into<String>) {
        let position = VARIABLES.iter().position(|variable| variable.name == row);
        let rank = position.map_or(VARIABLES.len(), |position| position) + 1;
        self.problems.push((rank, Problem { variable: variable.into(), what: what.into() }));
    }

    /// A value as `check` shows it.
    pub fn shown(&self, name: &str, row: &Variable) -> String {
        match self.get(name) {
            Some(value) => row.shows.of(value).unwrap_or("set").replace('\n', "\\n"),
            None if row.default.is_empty() => "unset".into(),
            None => row.default.into(),
        }
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
        // Stable: a provider's problems were noted in the table's order.
        self.problems.sort_by_key(|(rank, _)| *rank);
        Err(self.problems.into_iter().map(|(_, problem)| problem).collect())
    }
}
