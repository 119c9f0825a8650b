//! The fields of a head, shared by requests and responses.

use std::ops::Range;

use super::line::Version;
use super::name::{Mark, Name, Names};
use crate::http::chunked::is_tchar;
use crate::http::fields::{connection_names, list};
use crate::limits::{CONNECTION_OPTIONS_MAX, FIELDS_MAX};

/// A copy of a head's text and where its fields stand in it. Reused: its memory grows to the largest head it held.
#[derive(Debug, Default)]
pub struct FieldTable {
    text: Vec<u8>,
    fields: Vec<Field>,
    /// The marks of all names.
    marks: u64,
    /// Whether Connection says more than close and keep-alive: hardly any head's does.
    connection_names_fields: bool,
    /// The text is the head's, with nothing appended, and all of it was read.
    is_as_sent: bool,
}

#[derive(Clone, Copy, Debug)]
struct Field {
    name: Span,
    value: Span,
    mark: Mark,
}

/// A range of a head's text. Heads end at 32 KiB, far below 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u16,
    end: u16,
}

/// What is wrong with the field lines (RFC 9112 §5, RFC 9110 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldFault {
    BareLf,
    BareCr,
    Incomplete,
    TooMany,
    TooManyOptions,
    Name,
    EmptyName,
    SpaceBeforeColon,
    LeadingSpace,
    Fold,
    MissingColon,
    Value,
}

impl AsRef<FieldTable> for FieldTable {
    fn as_ref(&self) -> &FieldTable {
        self
    }
}

impl FieldTable {
    /// The fields in order: name as written, value without the white space around it.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (self.slice(field.name), self.slice(field.value)))
    }

    /// Appends the lines of the fields that `goes` lets pass, in order and as they were written. What stands together is
    /// copied together: most heads lose a line or two.
    pub(in crate::http) fn copy_lines(&self, out: &mut Vec<u8>, mut goes: impl FnMut(Name<'_>, &[u8]) -> bool) {
        let mut run = 0..0;
        for field in &self.fields {
            let name = Name::marked(self.slice(field.name), field.mark);
            if !goes(name, self.slice(field.value)) {
                continue;
            }
            let (start, end) = (usize::from(field.name.start), usize::from(field.value.end));
            let follows = start == run.end + 2 && self.text.get(run.end..start) == Some(b"\r\n");
            if !follows {
                self.copy_line(out, std::mem::replace(&mut run, start..end));
            }
            run.end = end;
        }
        self.copy_line(out, run);
    }

    fn copy_line(&self, out: &mut Vec<u8>, line: Range<usize>) {
        if !line.is_empty() {
            out.extend_from_slice(self.text.get(line).unwrap_or_default());
            out.extend_from_slice(b"\r\n");
        }
    }

    /// The value of the first field of this name, in any case.
    #[inline]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// How many fields have this name.
    #[inline]
    pub fn count(&self, name: &str) -> usize {
        self.all(name).count()
    }

    /// The values of all fields of this name.
    #[inline]
    pub fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.spans(name).map(|value| self.slice(value))
    }

    /// Where the values of all fields of this name stand.
    #[inline]
    pub(super) fn spans(&self, name: &str) -> impl Iterator<Item = Span> {
        // Of a literal name the mark is a constant, and a head that lacks it is not looked through.
        let mark = Mark::of(name.as_bytes());
        let fields = if self.marks & mark.bit() == 0 { &[] } else { self.fields.as_slice() };
        let is_it =
            move |field: &&Field| field.mark == mark && self.slice(field.name).eq_ignore_ascii_case(name.as_bytes());
        fields.iter().filter(is_it).map(|field| field.value)
    }

    /// False if no field could be dropped because Connection names it.
    pub(in crate::http) fn connection_names_fields(&self) -> bool {
        self.connection_names_fields
    }

    /// RFC 9112 §9.3: close wins; HTTP/1.1 persists without a word, HTTP/1.0 with keep-alive.
    pub(super) fn keep_alive(&self, version: Version) -> bool {
        let mut keep = version == Version::Http11;
        for option in connection_names(self) {
            if option.eq_ignore_ascii_case(b"close") {
                return false;
            }
            keep |= option.eq_ignore_ascii_case(b"keep-alive");
        }
        keep
    }

    /// Whether no head is held.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Takes the head that `bytes` begin with, if it is the one held but for the digits of its Content-Length, of which
    /// there must be as many. Gives its length.
    pub(super) fn repeat(&mut self, bytes: &[u8]) -> Option<usize> {
        let head = bytes.get(..self.text.len()).filter(|_| self.is_as_sent && !self.is_empty())?;
        // Without the field, or with several, nothing may differ.
        let mut lengths = self.spans("content-length");
        let digits = lengths.next().filter(|_| lengths.next().is_none()).unwrap_or_default();
        drop(lengths);
        let (start, end) = (usize::from(digits.start), usize::from(digits.end));
        let is_same = head.get(..start) == self.text.get(..start)
            && head.get(end..) == self.text.get(end..)
            && head.get(start..end)?.iter().all(u8::is_ascii_digit);
        if !is_same {
            return None;
        }
        self.text.get_mut(start..end)?.copy_from_slice(head.get(start..end)?);
        Some(head.len())
    }

    /// Where the retained memory is and how much: must not change once warm.
    #[cfg(test)]
    pub(super) fn memory(&self) -> [(usize, usize); 2] {
        [(self.text.as_ptr() as usize, self.text.capacity()), (self.fields.as_ptr() as usize, self.fields.capacity())]
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
        self.marks = 0;
        self.connection_names_fields = false;
        self.is_as_sent = false;
    }

    /// Takes a copy of `head`, whose field lines begin at `from`.
    pub(super) fn fill(&mut self, head: &[u8], from: usize) -> Result<(), FieldFault> {
        self.clear();
        let lines = head.get(from..).unwrap_or_default();
        self.text.extend_from_slice(head);
        // To clear room for as many fields as there may be costs more than to read those of a usual head.
        match self.split::<FIELDS_USUAL>(head, lines) {
            Err(FieldFault::TooMany) => self.split::<FIELDS_MAX>(head, lines)?,
            other => other?,
        }
        if !lines.ends_with(b"\r\n") {
            return Err(FieldFault::BareLf);
        }
        if self.all("connection").flat_map(list).count() > CONNECTION_OPTIONS_MAX {
            return Err(FieldFault::TooManyOptions);
        }
        let names_fields = connection_names(self).any(|name| !PERSISTENCE.contains(name));
        self.connection_names_fields = names_fields;
        self.is_as_sent = true;
        Ok(())
    }

    /// Finds the fields, of which there may be `MAX`.
    fn split<const MAX: usize>(&mut self, head: &[u8], lines: &[u8]) -> Result<(), FieldFault> {
        let mut found = [httparse::EMPTY_HEADER; MAX];
        let found = match httparse::parse_headers(lines, &mut found) {
            Ok(httparse::Status::Complete((len, found))) if len == lines.len() => found,
            Ok(_) => return Err(FieldFault::Incomplete),
            Err(httparse::Error::TooManyHeaders) => return Err(FieldFault::TooMany),
            Err(_) => return Err(diagnose(lines)),
        };
        for field in found {
            let (name, value) = (Span::of(head, field.name.as_bytes()), Span::of(head, field.value));
            // RFC 9112 §2.2. httparse takes LF alone for a line's end.
            let behind = head.get(usize::from(value.end)..).unwrap_or_default();
            if behind.iter().find(|byte| !matches!(byte, b' ' | b'\t')) != Some(&b'\r') {
                return Err(FieldFault::BareLf);
            }
            let mark = Mark::of(field.name.as_bytes());
            self.marks |= mark.bit();
            self.fields.push(Field { name, value, mark });
        }
        Ok(())
    }

    /// Adds text that the head implies but does not hold, and returns where it stands.
    pub(super) fn append(&mut self, parts: [&[u8]; 2]) -> Span {
        self.is_as_sent = false;
        let start = self.text.len();
        self.text.extend(parts.iter().copied().flatten());
        Span::new(start, self.text.len())
    }

    pub(super) fn slice(&self, span: Span) -> &[u8] {
        self.text.get(usize::from(span.start)..usize::from(span.end)).unwrap_or_default()
    }
}

/// As many fields as nearly all heads have.
const FIELDS_USUAL: usize = 32;

/// The options of Connection that name no field (RFC 9112 §9.3).
const PERSISTENCE: Names<2> = Names::new(["close", "keep-alive"]);

impl Span {
    /// Where `part` stands in `head`, of which it is a subslice.
    pub(super) fn of(head: &[u8], part: &[u8]) -> Span {
        let start = (part.as_ptr() as usize).wrapping_sub(head.as_ptr() as usize);
        debug_assert!(start + part.len() <= head.len(), "not a part of the head");
        Span::new(start, start.wrapping_add(part.len()))
    }

    /// Heads are bounded before they come here; a span outside would be empty rather than wrong.
    fn new(start: usize, end: usize) -> Span {
        match (u16::try_from(start), u16::try_from(end)) {
            (Ok(start), Ok(end)) => Span { start, end },
            _ => Span::default(),
        }
    }
}

/// Names the fault that httparse found: it tells the kind of token, not the rule.
fn diagnose(lines: &[u8]) -> FieldFault {
    for (number, line) in lines.split(|byte| *byte == b'\n').enumerate() {
        let Some(line) = line.strip_suffix(b"\r") else {
            return FieldFault::BareLf;
        };
        if line.is_empty() {
            break;
        }
        // RFC 9112 §2.2
        if line.contains(&b'\r') {
            return FieldFault::BareCr;
        }
        if let [b' ' | b'\t', ..] = line {
            return match number {
                // RFC 9112 §2.2: the line could be taken for a part of the request line, or skipped.
                0 => FieldFault::LeadingSpace,
                // RFC 9112 §5.2
                _ => FieldFault::Fold,
            };
        }
        // RFC 9112 §5
        let Some(colon) = memchr::memchr(b':', line) else {
            return FieldFault::MissingColon;
        };
        let (name, value) = line.split_at(colon);
        match name {
            // RFC 9110 §5.1: a name is a token, which is not empty.
            [] => return FieldFault::EmptyName,
            // RFC 9112 §5.1: removed by some, taken for another name by others.
            [.., b' ' | b'\t'] => return FieldFault::SpaceBeforeColon,
            _ if !name.iter().all(|byte| is_tchar(*byte)) => return FieldFault::Name,
            _ => {}
        }
        // RFC 9110 §5.5: NUL and other controls.
        if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return FieldFault::Value;
        }
    }
    FieldFault::Incomplete
}
