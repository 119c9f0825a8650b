//! Why a request's JSON is refused.

use std::fmt;

/// Why a body is refused, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonError {
    /// Offset in the body of the first byte that cannot stand there; the body's length if it ends too early; the
    /// opening quote of a second key.
    pub offset: usize,
    /// The rule it breaks.
    pub what: What,
}

/// The rules a body can break: what was expected at the offset, or what must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum What {
    ObjectExpected,
    KeyOrBraceExpected,
    KeyExpected,
    ColonExpected,
    ValueExpected,
    ValueOrBracketExpected,
    CommaOrBraceExpected,
    CommaOrBracketExpected,
    DigitExpected,
    LiteralExpected,
    UnknownEscape,
    HexDigitExpected,
    ControlCharacter,
    AfterEnd,
    EndOfText,
    /// More containers in each other than [`crate::limits::JSON_DEPTH_MAX`].
    TooDeep,
    /// A second occurrence of a top-level key that we read.
    Duplicate {
        key: &'static str,
    },
}

impl What {
    /// The rule in words.
    pub fn message(self) -> &'static str {
        match self {
            What::ObjectExpected => "an object was expected",
            What::KeyOrBraceExpected => "a key or } was expected",
            What::KeyExpected => "a key was expected",
            What::ColonExpected => "a colon was expected",
            What::ValueExpected => "a value was expected",
            What::ValueOrBracketExpected => "a value or ] was expected",
            What::CommaOrBraceExpected => "a comma or } was expected",
            What::CommaOrBracketExpected => "a comma or ] was expected",
            What::DigitExpected => "a digit was expected",
            What::LiteralExpected => "true, false or null was expected",
            What::UnknownEscape => "no such escape exists",
            What::HexDigitExpected => "\\u needs four hexadecimal digits",
            What::ControlCharacter => "a control character in a string must be escaped",
            What::AfterEnd => "nothing may follow the object",
            What::EndOfText => "the text ends too early",
            What::TooDeep => "objects and arrays are nested too deep",
            What::Duplicate { .. } => "this key may stand here only once",
        }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (offset, message) = (self.offset, self.what.message());
        write!(out, "invalid JSON at byte {offset}: {message}")?;
        match self.what {
            What::Duplicate { key } => write!(out, ": {key}"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for JsonError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text() {
        #[rustfmt::skip]
        let table = [
            (What::CommaOrBraceExpected,        "invalid JSON at byte 17: a comma or } was expected"),
            (What::Duplicate { key: "model" },  "invalid JSON at byte 17: this key may stand here only once: model"),
        ];
        for (what, expected) in table {
            assert_eq!(JsonError { offset: 17, what }.to_string(), expected);
        }
    }
}
