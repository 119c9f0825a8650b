//! The grammar of JSON (RFC 8259): what may follow on what, and what white space and escapes are.

use super::error::What;

/// What the next token must be. First come those that a string may be, keys before values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) enum Expect {
    FirstKey,
    Key,
    FirstValue,
    Value,
    Object,
    Colon,
    AfterMember,
    AfterElement,
    End,
}

impl Expect {
    /// What a string would be for, if one may stand here.
    pub(super) fn string(self) -> Option<Role> {
        let role = if self <= Expect::Key { Role::Key } else { Role::Value };
        (self <= Expect::Value).then_some(role)
    }

    pub(super) fn what(self) -> What {
        match self {
            Expect::Object => What::ObjectExpected,
            Expect::FirstKey => What::KeyOrBraceExpected,
            Expect::Key => What::KeyExpected,
            Expect::Colon => What::ColonExpected,
            Expect::Value => What::ValueExpected,
            Expect::FirstValue => What::ValueOrBracketExpected,
            Expect::AfterMember => What::CommaOrBraceExpected,
            Expect::AfterElement => What::CommaOrBracketExpected,
            Expect::End => What::AfterEnd,
        }
    }
}

/// What a string is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Key,
    Value,
}

/// The next byte that is not white space (RFC 8259 §2), and where.
pub(super) fn skip_space(input: &[u8], at: usize) -> Option<(usize, u8)> {
    let mut at = at;
    loop {
        match *input.get(at)? {
            b' ' | b'\n' | b'\t' | b'\r' => at += 1,
            byte => return Some((at, byte)),
        }
    }
}

/// RFC 8259 §7: what may follow a backslash, `u` aside.
pub(super) fn is_escape(byte: u8) -> bool {
    matches!(ESCAPES.get(usize::from(byte)), Some(true))
}

/// By byte, for they stand in every line.
#[allow(clippy::indexing_slicing)] // at compile time
const ESCAPES: [bool; 256] = {
    let (mut escapes, mut byte) = ([false; 256], 0);
    while byte < escapes.len() {
        escapes[byte] = matches!(byte as u8, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't');
        byte += 1;
    }
    escapes
};

pub(super) fn begins_with_hex_digits(bytes: &[u8]) -> bool {
    bytes.get(..HEX_DIGITS).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// Digits of a `\u` escape.
pub(super) const HEX_DIGITS: usize = 4;
