//! Knows of a stream that passes untouched whether it stands between two events, from its last three bytes.

/// Follows a stream of server-sent events at the price of a copy of three bytes per push.
///
/// The stream stands between two events when its last line is blank, and a blank line shows in three bytes: its own end
/// and the end of the line before. [`super::Splitter::is_between_events`] says the same for every input, with one
/// exception: after a first line that holds a BOM and nothing else this one says no (it cannot see that the line was
/// the first), and thus delays what waits for its yes to the next blank line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    last: [u8; 3],
}

impl Tail {
    /// Takes note of the bytes that went by.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        if let [.., a, b, c] = *bytes {
            self.last = [a, b, c];
        } else {
            for &byte in bytes {
                let [_, b, c] = self.last;
                self.last = [b, c, byte];
            }
        }
    }

    /// Whether nothing has come since the last blank line, or since the start: only then may something of ours be
    /// inserted.
    #[inline]
    pub fn is_between_events(&self) -> bool {
        matches!(self.last, [_, b'\n', b'\n'] | [_, b'\n', b'\r'] | [_, b'\r', b'\r'] | [b'\n' | b'\r', b'\r', b'\n'])
    }
}

impl Default for Tail {
    /// A stream's start is like the place after a blank line.
    fn default() -> Tail {
        Tail { last: *b"\n\n\n" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_events() {
        #[rustfmt::skip]
        let table: &[(&str, bool)] = &[
            ("",                       true),
            ("\n",                     true),
            ("\r\n",                   true),
            ("d",                      false),
            ("data: a\n",              false),
            ("data: a\r",              false),
            ("data: a\r\n",            false),
            ("data: a\n\n",            true),
            ("data: a\r\r",            true),
            ("data: a\r\n\r",          true),
            ("data: a\r\n\r\n",        true),
            ("data: a\n\r",            true),
            ("data: a\n\r\n",          true),
            ("data: a\r\r\n",          true),
            ("data: a\n\nd",           false),
            (": c\n",                  false),
            (": c\n\n",                true),
            ("\u{FEFF}\n",             false),
            ("\u{FEFF}\n\n",           true),
        ];
        for (stream, expected) in table {
            let mut tail = Tail::default();
            tail.push(stream.as_bytes());
            assert_eq!(tail.is_between_events(), *expected, "{stream:?}");
            let mut drop_by_drop = Tail::default();
            for byte in stream.bytes() {
                drop_by_drop.push(&[byte]);
            }
            assert_eq!(drop_by_drop, tail, "{stream:?}");
        }
    }
}
