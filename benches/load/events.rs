//! Counts the events of a stream (WHATWG SSE), in whatever pieces it comes.

use memchr::memchr2;

/// What was seen of the line and the event that have not ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Events {
    line: Line,
    /// A line of the open event that was no comment.
    anything: bool,
    /// The last byte was a CR: an LF belongs to it.
    after_cr: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Empty,
    Comment,
    Field,
}

impl Events {
    /// Takes the next bytes; returns how many events ended in them. A blank line ends an event; what is nothing but
    /// comments (a ping, say) is none.
    pub fn push(&mut self, mut input: &[u8]) -> u64 {
        let mut ended = 0;
        if std::mem::take(&mut self.after_cr) && input.first() == Some(&b'\n') {
            input = &input[1..];
        }
        while let Some(&first) = input.first() {
            let end = memchr2(b'\n', b'\r', input);
            if self.line == Line::Empty && end != Some(0) {
                self.line = if first == b':' { Line::Comment } else { Line::Field };
            }
            let Some(end) = end else { break };
            match std::mem::take(&mut self.line) {
                Line::Field => self.anything = true,
                Line::Comment => {}
                Line::Empty => ended += u64::from(std::mem::take(&mut self.anything)),
            }
            let pair = input[end] == b'\r' && input.get(end + 1) == Some(&b'\n');
            self.after_cr = input[end] == b'\r' && end + 1 == input.len();
            input = &input[end + 1 + usize::from(pair)..];
        }
        ended
    }
}
