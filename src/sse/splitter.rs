//! Splits a stream of bytes into server-sent events (WHATWG HTML §9.2.5, §9.2.6).

use std::fmt;

use memchr::{memchr, memchr2};

use crate::limits::EVENT_BYTES_KEPT;

/// Gives the events of a stream, fed in any pieces.
///
/// An event is given when its blank line arrives. Its data lies in the caller's input, uncopied, when it is one line
/// that arrived in one piece; else it is gathered in buffers that are reused, so nothing is allocated once they have
/// grown to the stream's longest event.
///
/// ```
/// let mut splitter = sidestream::sse::Splitter::new(1024);
/// let mut seen = Vec::new();
/// splitter.push(b"event: ping\ndata: {}\n\nda", |event| seen.push((event.name.to_vec(), event.end)))?;
/// assert_eq!(seen, [(b"ping".to_vec(), 22)]);
/// assert!(!splitter.is_between_events());
/// # Ok::<(), sidestream::sse::EventTooLong>(())
/// ```
#[derive(Debug)]
pub struct Splitter {
    event_bytes_max: usize,
    place: Place,
    /// The last byte seen was a CR: an LF that comes next is the second half of that line end.
    after_cr: bool,
    /// The beginning of a line whose end has not arrived.
    line: Vec<u8>,
    /// Bytes of the event's lines so far: without line ends, comments, and the unfinished line.
    event_bytes: usize,
    name: Value,
    data: Value,
    id: Value,
    retry_ms: Option<u64>,
}

/// One dispatched event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `event` field; empty means `message`.
    pub name: &'a [u8],
    /// The `data` lines, joined with LF. May be empty: a lone `data:` line is an event too.
    pub data: &'a [u8],
    /// The `id` field, if this event has one.
    pub id: Option<&'a [u8]>,
    /// Offset in the input of this push just past the blank line that dispatched the event.
    ///
    /// If that line is a CR at the very end of the input, an LF that opens the next input still belongs to it. An
    /// event must not wait for a byte that may never come, so this is the one thing here that depends on the split.
    pub end: usize,
}

/// An event has more bytes than the splitter may hold. It stays so until [`Splitter::reset`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTooLong {
    /// The bound that was crossed, in bytes.
    pub event_bytes_max: usize,
}

impl Splitter {
    /// A splitter that holds at most `event_bytes_max` bytes of one event, counted as the lengths of its lines.
    pub fn new(event_bytes_max: usize) -> Splitter {
        Splitter {
            event_bytes_max,
            place: Place::Start,
            after_cr: false,
            line: Vec::new(),
            event_bytes: 0,
            name: Value::default(),
            data: Value::default(),
            id: Value::default(),
            retry_ms: None,
        }
    }

    /// Takes the stream's next bytes and gives each event that they complete.
    pub fn push(&mut self, input: &[u8], mut on_event: impl FnMut(Event<'_>)) -> Result<(), EventTooLong> {
        if self.place == Place::Failed {
            return Err(self.too_long());
        }
        let mut at = usize::from(self.after_cr && input.first() == Some(&b'\n'));
        self.after_cr &= input.is_empty();

        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            let Some((text, end)) = split_line(rest) else {
                self.admit(rest.len())?;
                self.line.extend_from_slice(rest);
                break;
            };
            self.admit(text.len())?;
            self.after_cr = end == LineEnd::CrLast;
            let next = at + text.len() + end.len();
            if self.line.is_empty() {
                self.take_line(text, Some(at), input, next, &mut on_event);
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(text);
                self.take_line(&line, None, input, next, &mut on_event);
                line.clear();
                self.line = line;
            }
            at = next;
        }
        for value in [&mut self.name, &mut self.data, &mut self.id] {
            value.hold(input);
        }
        Ok(())
    }

    /// Whether the stream stands between two events: since the last blank line, or since its start, nothing has come,
    /// not even a comment or a part of a line. Only here may something of ours be inserted.
    ///
    /// When that blank line is a lone CR it stays true after an LF that completes it. (Inserted between the two, our
    /// bytes do no harm either: the LF is then one more blank line.)
    pub fn is_between_events(&self) -> bool {
        matches!(self.place, Place::Start | Place::Between) && self.line.is_empty()
    }

    /// The last valid `retry` field of the stream, in milliseconds.
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// Makes it ready for another stream. Buffers are kept, unless an event made them unusually large.
    pub fn reset(&mut self) {
        self.place = Place::Start;
        self.after_cr = false;
        self.event_bytes = 0;
        self.retry_ms = None;
        self.line.clear();
        self.line.shrink_to(EVENT_BYTES_KEPT);
        for value in [&mut self.name, &mut self.data, &mut self.id] {
            value.at = At::Unset;
            value.held.clear();
            value.held.shrink_to(EVENT_BYTES_KEPT);
        }
    }

    /// Fails if the current line, grown by `more` bytes, makes the event too long.
    fn admit(&mut self, more: usize) -> Result<(), EventTooLong> {
        if self.event_bytes + self.line.len() + more > self.event_bytes_max {
            self.place = Place::Failed;
            return Err(self.too_long());
        }
        Ok(())
    }

    fn too_long(&self) -> EventTooLong {
        EventTooLong { event_bytes_max: self.event_bytes_max }
    }

    /// One whole line without its end. `from` is its offset in `input`, if it lies there; `next` that of the line
    /// after it.
    fn take_line(
        &mut self,
        line: &[u8],
        from: Option<usize>,
        input: &[u8],
        next: usize,
        on_event: &mut impl FnMut(Event<'_>),
    ) {
        let (line, from) = match line.strip_prefix(BOM) {
            // §9.2.5: one BOM may lead the stream. Later it is part of a field's name.
            Some(line) if self.place == Place::Start => (line, from.map(|from| from + BOM.len())),
            _ => (line, from),
        };
        if line.is_empty() {
            self.dispatch(input, next, on_event);
            self.place = Place::Between;
            return;
        }
        self.place = Place::Within;
        let (field, value, value_at) = split_field(line);
        if field.is_empty() {
            return; // a comment
        }
        self.event_bytes += line.len();
        let from = from.map(|from| from + value_at);
        match field {
            b"data" => self.data.append_line(value, from, input),
            b"event" => self.name.set(value, from),
            b"id" if memchr(0, value).is_none() => self.id.set(value, from),
            b"retry" => self.retry_ms = digits(value).or(self.retry_ms),
            _ => {}
        }
    }

    /// §9.2.6, "dispatch the event": without a data line there is none, but its fields are forgotten all the same.
    fn dispatch(&mut self, input: &[u8], end: usize, on_event: &mut impl FnMut(Event<'_>)) {
        if let Some(data) = self.data.get(input) {
            on_event(Event { name: self.name.get(input).unwrap_or_default(), data, id: self.id.get(input), end });
        }
        self.event_bytes = 0;
        for value in [&mut self.name, &mut self.data, &mut self.id] {
            value.at = At::Unset;
        }
    }
}

impl fmt::Display for EventTooLong {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "a server-sent event has more than {} bytes", self.event_bytes_max)
    }
}

impl std::error::Error for EventTooLong {}

/// Where in the stream the current line begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is the first line: a BOM may lead it.
    Start,
    /// The line before it was blank.
    Between,
    /// Lines of an event, or comments, came since the last blank line.
    Within,
    /// An event was too long.
    Failed,
}

/// A field's value: a place in the current input for as long as that input is here, a copy afterwards.
#[derive(Debug, Default)]
struct Value {
    at: At,
    held: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy)]
enum At {
    #[default]
    Unset,
    /// `start..end` of the current input.
    Here(usize, usize),
    /// `Value::held`.
    Held,
}

impl Value {
    fn set(&mut self, value: &[u8], from: Option<usize>) {
        self.at = match from {
            Some(from) => At::Here(from, from + value.len()),
            None => {
                self.held.clear();
                self.held.extend_from_slice(value);
                At::Held
            }
        };
    }

    fn append_line(&mut self, value: &[u8], from: Option<usize>, input: &[u8]) {
        if let At::Unset = self.at {
            return self.set(value, from);
        }
        self.hold(input);
        self.held.push(b'\n');
        self.held.extend_from_slice(value);
    }

    /// Copies the value out of an input that is about to go.
    fn hold(&mut self, input: &[u8]) {
        if let At::Here(start, end) = self.at {
            self.held.clear();
            self.held.extend_from_slice(input.get(start..end).unwrap_or_default());
            self.at = At::Held;
        }
    }

    fn get<'a>(&'a self, input: &'a [u8]) -> Option<&'a [u8]> {
        match self.at {
            At::Unset => None,
            At::Here(start, end) => input.get(start..end),
            At::Held => Some(&self.held),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    /// LF, or a CR that no LF follows.
    One,
    CrLf,
    /// A CR at the end of the input: an LF may follow.
    CrLast,
}

impl LineEnd {
    fn len(self) -> usize {
        match self {
            LineEnd::One | LineEnd::CrLast => 1,
            LineEnd::CrLf => 2,
        }
    }
}

/// The first line of `rest` and how it ends; `None` if its end is not there.
fn split_line(rest: &[u8]) -> Option<(&[u8], LineEnd)> {
    let (line, end) = rest.split_at_checked(memchr2(b'\n', b'\r', rest)?)?;
    let end = match end {
        [b'\r', b'\n', ..] => LineEnd::CrLf,
        [b'\r'] => LineEnd::CrLast,
        _ => LineEnd::One,
    };
    Some((line, end))
}

/// The name of a line's field, its value without the one optional space, and where in the line that begins. A line
/// without a colon is a name alone; one that begins with a colon, a comment, has an empty name.
fn split_field(line: &[u8]) -> (&[u8], &[u8], usize) {
    let Some((name, value)) = memchr(b':', line).and_then(|colon| line.split_at_checked(colon)) else {
        return (line, b"", line.len());
    };
    let value = value.strip_prefix(b":").unwrap_or(value);
    let value = value.strip_prefix(b" ").unwrap_or(value);
    (name, value, line.len() - value.len())
}

/// A `retry` value: ASCII digits only. One that no u64 holds is as good as for ever.
fn digits(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

const BOM: &[u8] = b"\xEF\xBB\xBF";

#[cfg(test)]
mod tests {
    use super::*;

    /// Events as `name|data|id` with `-` for no id, fed in pieces.
    fn events(splitter: &mut Splitter, pieces: &[&str]) -> Vec<String> {
        let mut seen = Vec::new();
        for piece in pieces {
            splitter
                .push(piece.as_bytes(), |event| {
                    let [name, data, id] = [event.name, event.data, event.id.unwrap_or(b"-")]
                        .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
                    seen.push(format!("{name}|{data}|{id}"));
                })
                .unwrap();
        }
        seen
    }

    #[test]
    fn grammar() {
        #[rustfmt::skip]
        let table: &[(&str, &str, &[&str])] = &[
            ("LF",                          "data: a\n\ndata: b\n\n",           &["|a|-", "|b|-"]),
            ("CRLF",                        "data: a\r\n\r\ndata: b\r\n\r\n",   &["|a|-", "|b|-"]),
            ("CR",                          "data: a\r\rdata: b\r\r",           &["|a|-", "|b|-"]),
            ("line ends mixed",             "data: a\r\n\rdata: b\n\r\n",       &["|a|-", "|b|-"]),
            ("LF CR is two line ends",      "data: a\n\rdata: b\n\n",           &["|a|-", "|b|-"]),
            ("name",                        "event: ping\ndata: a\n\n",         &["ping|a|-"]),
            ("last name wins",              "event: a\nevent: b\ndata: c\n\n",  &["b|c|-"]),
            ("name is forgotten",           "event: a\n\ndata: b\n\n",          &["|b|-"]),
            ("data lines are joined",       "data: a\ndata: b\ndata:\n\n",      &["|a\nb\n|-"]),
            ("data around other fields",    "data: a\nid: 1\ndata: b\n\n",      &["|a\nb|1"]),
            ("no space",                    "data:a\n\n",                       &["|a|-"]),
            ("only one space",              "data:  a \n\n",                    &["| a |-"]),
            ("a tab is no space",           "data:\ta\n\n",                     &["|\ta|-"]),
            ("no colon",                    "data\n\n",                         &["||-"]),
            ("two without colon",           "data\ndata\n\n",                   &["|\n|-"]),
            ("colon in the value",          "data:a:b\n\n",                     &["|a:b|-"]),
            ("empty data",                  "data:\n\ndata: \n\n",              &["||-", "||-"]),
            ("no data, no event",           "event: a\nid: 1\n\n",              &[]),
            ("comment",                     ": hi\ndata: a\n:\n\n",             &["|a|-"]),
            ("comment alone",               ": hi\n\n:\n\n",                    &[]),
            ("unknown field",               "datum: a\n data: b\ndata : c\n\n", &[]),
            ("names are case-sensitive",    "Data: a\n\n",                      &[]),
            ("id",                          "id: 7\ndata: a\n\ndata: b\n\n",    &["|a|7", "|b|-"]),
            ("empty id",                    "id\ndata: a\n\n",                  &["|a|"]),
            ("id with NUL",                 "id: 7\nid: 8\0\ndata: a\n\n",      &["|a|7"]),
            ("BOM",                         "\u{FEFF}data: a\n\n",              &["|a|-"]),
            ("BOM before a blank line",     "\u{FEFF}\ndata: a\n\n",            &["|a|-"]),
            ("only one BOM",                "\u{FEFF}\u{FEFF}data: a\n\n",      &[]),
            ("BOM after the first line",    "\n\u{FEFF}data: a\n\n",            &[]),
            ("BOM in data",                 "data: \u{FEFF}a\n\n",              &["|\u{FEFF}a|-"]),
            ("unterminated",                "data: a\n\ndata: b\n",             &["|a|-"]),
            ("unterminated line",           "data: a\n\ndata: b",               &["|a|-"]),
            ("blank lines",                 "\n\n\r\n\rdata: a\n\n\n\n",        &["|a|-"]),
            ("nothing",                     "",                                 &[]),
        ];
        for (rule, stream, expected) in table {
            let whole = events(&mut Splitter::new(100), &[stream]);
            assert_eq!(whole, *expected, "{rule}");
        }
    }

    #[test]
    fn one_line_in_one_piece_is_not_copied() {
        let input = b"event: e\ndata: abc\n\n";
        Splitter::new(100).push(input, |event| assert_eq!(event.data.as_ptr(), input[15..].as_ptr())).unwrap();
    }

    #[test]
    fn end_is_past_the_blank_line() {
        #[rustfmt::skip]
        let table: &[(&str, &[usize])] = &[
            ("data: a\n\ndata: b\n\n",       &[9, 18]),
            ("data: a\r\n\r\ndata: b\r\n\r", &[11, 21]),
            ("data: a\r\rdata: b\r\r\n",     &[9, 19]),
            (": c\n\ndata: a\n\nx",          &[14]),
        ];
        for (stream, expected) in table {
            let mut ends = Vec::new();
            Splitter::new(100).push(stream.as_bytes(), |event| ends.push(event.end)).unwrap();
            assert_eq!(ends, *expected, "{stream:?}");
        }
    }

    #[test]
    fn between_events() {
        #[rustfmt::skip]
        let table: &[(&[&str], bool)] = &[
            (&[],                             true),
            (&["d"],                          false),
            (&["data: a\n"],                  false),
            (&["data: a\n\n"],                true),
            (&["data: a\n\n", "d"],           false),
            (&["data: a\n\n", "\n"],          true),
            (&["data: a\r"],                  false),
            (&["data: a\r", "\n"],            false),
            (&["data: a\r", "\r"],            true),
            (&["data: a\r\r", "\n"],          true),
            (&["data: a\r\r", "", "\n"],      true),
            (&["data: a\r\n", "\r"],          true),
            (&["data: a\r\n\r", "\n"],        true),
            (&["data: a\r\n\r", "\nd"],       false),
            (&[": c\n"],                      false),
            (&[": c\n\n"],                    true),
            (&["\u{FEFF}"],                   false),
            (&["\u{FEFF}\n"],                 true),
        ];
        for (pieces, expected) in table {
            let mut splitter = Splitter::new(100);
            events(&mut splitter, pieces);
            assert_eq!(splitter.is_between_events(), *expected, "{pieces:?}");
        }
    }

    #[test]
    fn retry_takes_digits_only() {
        #[rustfmt::skip]
        let table = [
            ("retry: 3000\n",                   Some(3000)),
            ("retry: 1\nretry: x\n",            Some(1)),
            ("retry: -1\nretry:\nretry: 1 \n",  None),
            ("retry: 99999999999999999999\n",   Some(u64::MAX)),
        ];
        for (stream, expected) in table {
            let mut splitter = Splitter::new(100);
            events(&mut splitter, &[stream]);
            assert_eq!(splitter.retry_ms(), expected, "{stream:?}");
        }
    }

    #[test]
    fn an_event_past_the_bound_is_refused_until_reset() {
        let table: &[(&[&str], bool)] = &[
            (&["data: abcd\n\n"], true),
            (&["data: abcde\n\n"], false),
            (&["data: abcde"], false),
            (&["data: ab", "cde"], false),
            (&["data: abcd\n", "x"], false),
            (&["data: abcd\n\n", "data: abcd\n\n"], true),
            (&["data\ndata\ndata\n"], false),
            (&[": abcd\n: abcd\n: abcd\n"], true),
            (&[": abcdefghij\n"], false),
        ];
        for (pieces, fits) in table {
            let mut splitter = Splitter::new(10);
            let result = pieces.iter().try_for_each(|piece| splitter.push(piece.as_bytes(), |_| {}));
            let too_long = EventTooLong { event_bytes_max: 10 };
            let expected = if *fits { Ok(()) } else { Err(too_long) };
            assert_eq!(result, expected, "{pieces:?}");
            assert_eq!(splitter.push(b"", |_| {}), expected, "{pieces:?}");
            splitter.reset();
            assert!(splitter.is_between_events());
            assert_eq!(events(&mut splitter, &["\u{FEFF}data: a\n\n"]), ["|a|-"], "{pieces:?}");
        }
    }
}
