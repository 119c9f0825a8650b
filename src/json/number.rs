//! The number grammar (RFC 8259 §6), one byte at a time: numbers are short, and may be split anywhere.

/// How much of a number has been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Minus,
    /// A leading zero: no digit may follow.
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

/// What the next byte is to a number.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Part(Number),
    /// The number was whole before this byte.
    After,
    /// A digit must stand here.
    Wrong,
}

impl Number {
    /// The state after a value's first byte, if that begins a number.
    pub(super) fn begin(byte: u8) -> Option<Number> {
        match byte {
            b'-' => Some(Number::Minus),
            b'0' => Some(Number::Zero),
            b'1'..=b'9' => Some(Number::Integer),
            _ => None,
        }
    }

    pub(super) fn next(self, byte: u8) -> Next {
        use Number::*;
        Next::Part(match (self, byte) {
            (Minus, b'0') => Zero,
            (Minus | Integer, b'0'..=b'9') => Integer,
            (Point | Fraction, b'0'..=b'9') => Fraction,
            (Exponent | ExponentSign | ExponentDigits, b'0'..=b'9') => ExponentDigits,
            (Zero | Integer, b'.') => Point,
            (Zero | Integer | Fraction, b'e' | b'E') => Exponent,
            (Exponent, b'+' | b'-') => ExponentSign,
            (Zero | Integer | Fraction | ExponentDigits, _) => return Next::After,
            (Minus | Point | Exponent | ExponentSign, _) => return Next::Wrong,
        })
    }
}
