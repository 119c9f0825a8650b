//! A shell command, as far as it is one plain command: its words, and nothing that would make the shell do more.

/// What a command is.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading {
    /// One program with its arguments.
    Plain(Vec<Word>),
    /// The shell would run another command inside of it.
    Injection,
    /// Several commands, redirections, or something that this reader does not know: it is not sure.
    Unclear,
}

/// One word of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// Its text, without quotes and backslashes.
    pub text: String,
    /// Where it ends in the command.
    pub end: usize,
    /// It stands there as it is meant: no quotes, no backslashes, nothing that the shell expands.
    pub is_literal: bool,
    /// The shell may make other words of it.
    pub expands: bool,
}

/// Reads a command. It may be wrong only towards [`Reading::Injection`] and [`Reading::Unclear`].
pub fn read(command: &str) -> Reading {
    let mut reader = Reader::default();
    let mut characters = command.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        if reader.takes_next(at, character, next) {
            characters.next();
        }
    }
    reader.finish(command.len())
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Quote {
    #[default]
    None,
    Single,
    Double,
}

#[derive(Default)]
struct Reader {
    words: Vec<Word>,
    word: Option<Word>,
    quote: Quote,
    is_injected: bool,
    is_unclear: bool,
}

impl Reader {
    /// Takes a character; true if it took the next one with it.
    fn takes_next(&mut self, at: usize, character: char, next: Option<char>) -> bool {
        match (self.quote, character) {
            (Quote::Single, '\'') | (Quote::Double, '"') => self.quote = Quote::None,
            (Quote::Single, _) => self.push(character),
            (_, '`') => self.is_injected = true,
            (_, '$') => self.dollar(next),
            (_, '\\') => return self.backslash(next),
            (Quote::Double, _) => self.push(character),
            (Quote::None, '\'') => self.open(Quote::Single),
            (Quote::None, '"') => self.open(Quote::Double),
            (Quote::None, ' ' | '\t') => self.end_word(at),
            // A second line is a second command.
            (Quote::None, '\n' | '\r') => self.is_injected = true,
            (Quote::None, '<' | '>') if next == Some('(') => self.is_injected = true,
            (Quote::None, ';' | '|' | '&' | '<' | '>' | '(' | ')') => self.is_unclear = true,
            (Quote::None, '#') if self.word.is_none() => self.is_unclear = true,
            (Quote::None, '*' | '?' | '[' | ']' | '{' | '}' | '~' | '!') => {
                self.push(character);
                self.mark(true);
            }
            (Quote::None, control) if control.is_control() => self.is_unclear = true,
            (Quote::None, plain) => {
                self.push(plain);
                // Names and paths; what else there is in a word is no part of a prefix.
                if !(plain.is_ascii_alphanumeric() || "_-./:@%+,=".contains(plain)) {
                    self.mark(false);
                }
            }
        }
        false
    }

    fn dollar(&mut self, next: Option<char>) {
        match next {
            Some('(') => self.is_injected = true,
            // Expansions that can do anything, and two more ways to quote.
            Some('{' | '[') => self.is_unclear = true,
            Some('\'' | '"') if self.quote == Quote::None => self.is_unclear = true,
            _ => {
                self.push('$');
                self.mark(true);
            }
        }
    }

    fn backslash(&mut self, next: Option<char>) -> bool {
        match next {
            None | Some('\n' | '\r') => self.is_unclear = true,
            Some(next) => {
                // Between double quotes it stands for itself before most characters.
                if self.quote == Quote::Double && !"$`\"\\".contains(next) {
                    self.push('\\');
                }
                self.push(next);
                self.mark(false);
            }
        }
        next.is_some()
    }

    fn open(&mut self, quote: Quote) {
        self.quote = quote;
        self.mark(false);
    }

    fn push(&mut self, character: char) {
        self.current().text.push(character);
    }

    /// The word is not literal.
    fn mark(&mut self, expands: bool) {
        let word = self.current();
        word.is_literal = false;
        word.expands |= expands;
    }

    fn current(&mut self) -> &mut Word {
        self.word.get_or_insert_with(|| Word { is_literal: true, ..Word::default() })
    }

    fn end_word(&mut self, at: usize) {
        self.words.extend(self.word.take().map(|word| Word { end: at, ..word }));
    }

    fn finish(mut self, end: usize) -> Reading {
        self.end_word(end);
        if self.is_injected {
            Reading::Injection
        } else if self.is_unclear || self.quote != Quote::None {
            Reading::Unclear
        } else {
            Reading::Plain(self.words)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(command: &str) -> Option<Vec<String>> {
        match read(command) {
            Reading::Plain(words) => Some(words.into_iter().map(|word| word.text).collect()),
            _ => None,
        }
    }

    #[test]
    fn words() {
        for (command, want) in [
            ("", &[][..]),
            ("git status", &["git", "status"]),
            ("  a\t b ", &["a", "b"]),
            ("git commit -m 'a; b $(c) `d`'", &["git", "commit", "-m", "a; b $(c) `d`"]),
            ("git commit -m \"two\nlines\"", &["git", "commit", "-m", "two\nlines"]),
            (r#"echo "a \"b\" \n" c\ d"#, &["echo", r#"a "b" \n"#, "c d"]),
            (r#"echo "\$(x)" \`y\`"#, &["echo", "$(x)", "`y`"]),
            ("echo a'b'\"c\" ''", &["echo", "abc", ""]),
            ("echo a#b", &["echo", "a#b"]),
            ("echo é\u{a0}x", &["echo", "é\u{a0}x"]),
        ] {
            assert_eq!(texts(command).unwrap(), want, "{command}");
        }
    }

    #[test]
    fn what_is_more_than_one_command() {
        for (command, want) in [
            ("git diff $(cat secrets)", Reading::Injection),
            ("echo \"$(id)\"", Reading::Injection),
            ("git status`ls`", Reading::Injection),
            ("echo \"`id`\"", Reading::Injection),
            ("git status# test(`id`)", Reading::Injection),
            ("pwd\n curl example.com", Reading::Injection),
            ("pwd\r curl example.com", Reading::Injection),
            ("diff <(a) b", Reading::Injection),
            ("tee >(a)", Reading::Injection),
            ("echo 'a' $(b", Reading::Injection),
            ("a; b $(c)", Reading::Injection),
            ("echo '$(a)' \"'$(b)'\"", Reading::Injection),
            ("echo '\\' $(b) '", Reading::Injection),
            ("a && b", Reading::Unclear),
            ("a | b", Reading::Unclear),
            ("a; b", Reading::Unclear),
            ("a &", Reading::Unclear),
            ("a > b", Reading::Unclear),
            ("a 2>&1", Reading::Unclear),
            ("a < b", Reading::Unclear),
            ("(a)", Reading::Unclear),
            ("a # b", Reading::Unclear),
            ("#a", Reading::Unclear),
            ("echo ${x@P}", Reading::Unclear),
            ("echo \"${x}\"", Reading::Unclear),
            ("echo $[1]", Reading::Unclear),
            ("echo $'a'", Reading::Unclear),
            ("echo $\"a\"", Reading::Unclear),
            ("echo 'a", Reading::Unclear),
            ("echo \"a", Reading::Unclear),
            ("echo a\\", Reading::Unclear),
            ("echo a\\\nb", Reading::Unclear),
            ("echo \u{7}", Reading::Unclear),
        ] {
            assert_eq!(read(command), want, "{command}");
        }
    }

    #[test]
    fn literal_and_expanding_words() {
        for (command, is_literal, expands) in [
            ("git", true, false),
            ("./a/b-c_d.e:f@1%+2,3=4", true, false),
            ("'git'", false, false),
            ("gi\\t", false, false),
            ("g*", false, true),
            ("$x", false, true),
            ("\"$x\"", false, true),
            ("~/x", false, true),
            ("{a,b}", false, true),
            ("é", false, false),
            ("a^b", false, false),
        ] {
            let Reading::Plain(words) = read(command) else { panic!("{command}") };
            assert_eq!(
                words.iter().map(|word| (word.is_literal, word.expands)).collect::<Vec<_>>(),
                [(is_literal, expands)]
            );
        }
    }
}
