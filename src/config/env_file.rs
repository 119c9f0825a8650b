//! Files of `NAME=value` lines, in the grammar of systemd's `EnvironmentFile` (systemd.exec(5)), so that one file
//! serves a unit and `--env-file` alike.
//!
//! A line that begins with `#` or `;` is a comment. A value ends with its line, without the white space around it, and
//! may be quoted: between `'` everything is literal, between `"` a backslash goes before `"`, `\`, `$` and backquote.
//! Quoted values may go over several lines. A backslash before a line's end joins the next line; elsewhere outside of
//! quotes it is dropped and the next character is literal. Quotes in the middle of a bare value, and `#` there, stand
//! for themselves. Nothing is ever expanded.

use std::iter::Peekable;
use std::str::Chars;

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EnvFile<'a> {
    /// The assignments, in order.
    pub entries: Vec<Entry<'a>>,
    /// Lines that say nothing, each with the end of a sentence. A line's text is never repeated: it may be a secret.
    pub problems: Vec<(usize, String)>,
}

/// One assignment.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The variable.
    pub name: &'a str,
    /// Its value, without quotes and escapes.
    pub value: String,
    /// The line on which it begins, counted from 1.
    pub line: usize,
}

/// Reads a file's text.
pub fn parse(text: &str) -> EnvFile<'_> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut file = EnvFile::default();
    let mut rest = Cursor { text, chars: text.chars().peekable(), offset: 0, line: 1 };
    while let Some(first) = rest.skip_blank() {
        let line = rest.line;
        if matches!(first, '#' | ';') {
            rest.take_while(|c| !is_line_end(c));
            continue;
        }
        let name = rest.take_while(|c| c != '=' && !is_line_end(c)).trim_end();
        if rest.chars.peek() != Some(&'=') {
            file.problems.push((line, "has no `=`; write NAME=value, or # before a comment".into()));
            continue;
        }
        rest.next();
        // Also behind a bad name, to find where the next line begins.
        match (check_name(name), rest.value()) {
            (Ok(()), Ok(value)) => file.entries.push(Entry { name, value, line }),
            (Err(what), _) | (_, Err(what)) => file.problems.push((line, what)),
        }
    }
    file
}

fn check_name(name: &str) -> Result<(), String> {
    if let Some(name) = name.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).map(str::trim)
        && is_name(name)
    {
        return Err(format!("begins with `export`, which is the shell's; write {name}=value"));
    }
    if is_name(name) {
        return Ok(());
    }
    Err("has no name before the `=`; write letters, digits and _, e.g. OPENAI_API_KEY=value".into())
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// systemd takes both characters for a line's end, so that CRLF is an end and an empty line.
fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

/// A position in the text.
struct Cursor<'a> {
    text: &'a str,
    chars: Peekable<Chars<'a>>,
    /// In bytes.
    offset: usize,
    line: usize,
}

impl<'a> Cursor<'a> {
    fn next(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        self.offset += c.len_utf8();
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let start = self.offset;
        while self.chars.peek().is_some_and(|c| wanted(*c)) {
            self.next();
        }
        self.text.get(start..self.offset).unwrap_or_default()
    }

    /// Goes to the next character that is no white space, and gives it.
    fn skip_blank(&mut self) -> Option<char> {
        self.take_while(|c| c.is_ascii_whitespace());
        self.chars.peek().copied()
    }

    /// The value behind a `=`, up to the end of its last line.
    fn value(&mut self) -> Result<String, String> {
        let mut value = String::new();
        loop {
            self.take_while(|c| c.is_ascii_whitespace() && !is_line_end(c));
            match self.chars.peek() {
                None => return Ok(value),
                Some(c) if is_line_end(*c) => return Ok(value),
                Some('\'') => self.single_quoted(&mut value)?,
                Some('"') => self.double_quoted(&mut value)?,
                Some(_) => {
                    self.bare(&mut value);
                    return Ok(value);
                }
            }
        }
    }

    /// Up to the line's end. White space before that end is dropped, unless it is escaped.
    fn bare(&mut self, value: &mut String) {
        let mut kept = value.len();
        while let Some(c) = self.chars.peek().copied().filter(|c| !is_line_end(*c)) {
            self.next();
            match c {
                '\\' => {
                    self.take_line_end_or(|c| value.push(c));
                    kept = value.len();
                }
                _ => {
                    value.push(c);
                    kept = if c.is_ascii_whitespace() { kept } else { value.len() };
                }
            }
        }
        value.truncate(kept);
    }

    fn single_quoted(&mut self, value: &mut String) -> Result<(), String> {
        self.next();
        value.push_str(self.take_while(|c| c != '\''));
        self.next().map(drop).ok_or_else(|| unclosed('\''))
    }

    fn double_quoted(&mut self, value: &mut String) -> Result<(), String> {
        self.next();
        loop {
            match self.next().ok_or_else(|| unclosed('"'))? {
                '"' => return Ok(()),
                '\\' => self.take_line_end_or(|c| {
                    if !matches!(c, '"' | '\\' | '`' | '$') {
                        value.push('\\');
                    }
                    value.push(c);
                }),
                c => value.push(c),
            }
        }
    }

    /// Behind a backslash: a line's end is dropped, anything else is for `other`.
    fn take_line_end_or(&mut self, other: impl FnOnce(char)) {
        match self.next() {
            Some('\r') if self.chars.peek() == Some(&'\n') => drop(self.next()),
            Some(c) if !is_line_end(c) => other(c),
            _ => {}
        }
    }
}

fn unclosed(quote: char) -> String {
    format!("begins a value with {quote} that no other {quote} ends")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        for (text, want) in [
            ("A=b", "b"),
            ("  A=b", "b"),
            ("A = b", "b"),
            ("A=  b c \t", "b c"),
            ("A=", ""),
            ("A=\r\n", ""),
            ("A=b\r\n", "b"),
            ("\u{feff}A=b", "b"),
            ("A=b#c ;d", "b#c ;d"),
            ("A=b=c", "b=c"),
            ("A=it's \"so\"", "it's \"so\""),
            ("A=\"b c \"", "b c "),
            ("A='b \\n $c'", "b \\n $c"),
            (r#"A="\"\\\$\`\n""#, r#""\$`\n"#),
            ("A=\"b\nc\"", "b\nc"),
            ("A='b\nc'", "b\nc"),
            ("A=b\\\nc", "bc"),
            ("A=b\\\r\nc", "bc"),
            ("A=\"b\\\nc\"", "bc"),
            ("A=b\\ ", "b "),
            (r"A=b\c", "bc"),
            ("A='b'\"c\"d", "bcd"),
            ("A='b' c", "bc"),
            ("A=$B ${C}", "$B ${C}"),
            ("A=ü", "ü"),
            ("A=b\\", "b"),
        ] {
            let file = parse(text);
            assert_eq!(file.problems, [], "{text:?}");
            let values: Vec<_> = file.entries.iter().map(|entry| (entry.name, entry.value.as_str())).collect();
            assert_eq!(values, [("A", want)], "{text:?}");
        }
    }

    #[test]
    fn lines_are_counted_over_everything() {
        let text = "# c\n; c\n\nA=\"1\n2\"\nB=3\\\n4\n# A=5 \\\nC=6\r\nD=7";
        let lines: Vec<_> = parse(text).entries.iter().map(|entry| (entry.name, entry.line)).collect();
        assert_eq!(lines, [("A", 4), ("B", 6), ("C", 9), ("D", 10)]);
    }

    #[test]
    fn wrong_lines_are_named_and_never_repeated() {
        for (text, line, part) in [
            ("A=1\ncanary", 2, "no `=`"),
            ("\nexport A=canary\nB=2", 2, "write A=value"),
            ("1A=canary", 1, "no name"),
            ("=canary", 1, "no name"),
            ("A B=canary", 1, "no name"),
            ("A-B=canary", 1, "no name"),
            ("A=\"canary\nB=1", 1, "ends"),
            ("A=1\nB='canary", 2, "ends"),
        ] {
            let problems = parse(text).problems;
            assert_eq!(problems.len(), 1, "{text:?}");
            assert_eq!(problems[0].0, line, "{text:?}");
            assert!(problems[0].1.contains(part), "{problems:?}");
            assert!(!problems[0].1.contains("canary"), "{problems:?}");
        }
    }

    #[test]
    fn the_lines_after_a_wrong_one_count() {
        let file = parse("export A=\"1\n2\"\nnonsense\nB=3");
        assert_eq!(file.entries, [Entry { name: "B", value: "3".into(), line: 4 }]);
        assert_eq!(file.problems.len(), 2);
    }

    proptest::proptest! {
        #[test]
        fn a_quoted_value_comes_back(value in ".*\n?.*", gap in "[ \t]*") {
            let escape = |c| ["", "\\"][usize::from("\"\\$`".contains(c))];
            let escaped: String = value.chars().map(|c| format!("{}{c}", escape(c))).collect();
            let text = format!("A={gap}\"{escaped}\"{gap}\nB=1");
            let file = parse(&text);
            proptest::prop_assert_eq!(&file.problems, &[]);
            proptest::prop_assert_eq!(&file.entries[0].value, &value);
            proptest::prop_assert_eq!(file.entries[1].line, 2 + value.matches('\n').count());
        }

        #[test]
        fn any_text_is_entries_and_problems_on_lines_that_exist(text in "[A=\"'\\\\# \n\r]{0,24}") {
            let file = parse(&text);
            let lines = file.entries.iter().map(|entry| entry.line).chain(file.problems.iter().map(|(line, _)| *line));
            let last = 1 + text.matches('\n').count();
            proptest::prop_assert!(lines.into_iter().all(|line| (1..=last).contains(&line)));
        }
    }
}
