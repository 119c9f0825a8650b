//! One line of the log under construction, as text or as JSON.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

use super::log::{Level, Log, LogFormat};
use crate::http::write;
use crate::json::text;
use crate::prices::write_dollars;

/// A line being written. Names are literals of the program, values may come from anywhere: none can forge a line or a
/// field. A secret has no text to give, so that it cannot get in:
///
/// ```
/// # use sidestream::telemetry::log::{Level, Log, LogFormat};
/// let log = Log::start(Level::Info, LogFormat::Json);
/// let mut scratch = Vec::new();
/// drop(log.line(Level::Info, "request", &mut scratch).text("model", "m").number("status", 200));
/// ```
///
/// ```compile_fail
/// # use sidestream::telemetry::log::{Level, Log, LogFormat};
/// let log = Log::start(Level::Info, LogFormat::Json);
/// let mut scratch = Vec::new();
/// let key = sidestream::config::Secret::new("key");
/// drop(log.line(Level::Info, "request", &mut scratch).text("key", &key));
/// ```
pub struct Line<'a> {
    /// Where it goes; `None` if its level is not written.
    log: Option<&'a Log>,
    format: LogFormat,
    out: &'a mut Vec<u8>,
}

/// What is shown of one value.
const VALUE_BYTES_MAX: usize = 200;

impl<'a> Line<'a> {
    /// Begins a line with its time and level. The clock is asked only if the line will be written.
    pub(super) fn begin(
        log: Option<&'a Log>,
        format: LogFormat,
        now: impl FnOnce() -> SystemTime,
        level: Level,
        out: &'a mut Vec<u8>,
    ) -> Self {
        if log.is_some() {
            out.clear();
            out.extend_from_slice(match format {
                LogFormat::Text => b"ts=",
                LogFormat::Json => b"{\"ts\":\"",
            });
            write_time(out, now());
            if format == LogFormat::Json {
                out.push(b'"');
            }
        }
        Self { log, format, out }.word("level", level.name())
    }

    /// Adds a word of the program's own: letters, digits and `-`, which need no quotes in either format.
    #[inline]
    pub fn word(mut self, name: &'static str, value: &'static str) -> Self {
        debug_assert!(value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{value:?} is no word");
        if self.log.is_some() {
            self.key(name);
            match self.format {
                LogFormat::Text => self.out.extend_from_slice(value.as_bytes()),
                LogFormat::Json => {
                    self.out.push(b'"');
                    self.out.extend_from_slice(value.as_bytes());
                    self.out.push(b'"');
                }
            }
        }
        self
    }

    /// Adds a text, of which at most 200 bytes are shown.
    #[inline]
    pub fn text(self, name: &'static str, value: &str) -> Self {
        self.bytes(name, value.as_bytes())
    }

    /// The same for bytes of unknown encoding. In text, values with spaces, quotes, controls or non-ASCII bytes are
    /// quoted and escaped; in JSON, what is not UTF-8 becomes U+FFFD.
    #[inline]
    pub fn bytes(mut self, name: &'static str, value: &[u8]) -> Self {
        if self.log.is_some() {
            self.key(name);
            let shown = shortened(value);
            match self.format {
                LogFormat::Json => text::encode(shown, self.out),
                LogFormat::Text => write_value(self.out, shown),
            }
        }
        self
    }

    /// Adds a number.
    #[inline]
    pub fn number(mut self, name: &'static str, value: u64) -> Self {
        if self.log.is_some() {
            self.key(name);
            write::number(self.out, value);
        }
        self
    }

    /// Adds nano-dollars, as dollars.
    pub fn dollars(mut self, name: &'static str, nanos: u64) -> Self {
        if self.log.is_some() {
            self.key(name);
            write_dollars(nanos, self.out);
        }
        self
    }

    // In line, where the name is a constant: then it is a store or two, and no copy of unknown length.
    #[inline(always)]
    fn key(&mut self, name: &'static str) {
        match self.format {
            LogFormat::Text => {
                self.out.push(b' ');
                self.out.extend_from_slice(name.as_bytes());
                self.out.push(b'=');
            }
            LogFormat::Json => {
                self.out.extend_from_slice(b",\"");
                self.out.extend_from_slice(name.as_bytes());
                self.out.extend_from_slice(b"\":");
            }
        }
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let Some(log) = self.log else { return };
        self.out.extend_from_slice(match self.format {
            LogFormat::Text => b"\n",
            LogFormat::Json => b"}\n",
        });
        log.append(self.out);
    }
}

/// The part of a value that is shown: it does not end within a character of UTF-8.
#[inline]
fn shortened(value: &[u8]) -> &[u8] {
    if value.len() <= VALUE_BYTES_MAX { value } else { cut(value) }
}

#[cold]
fn cut(value: &[u8]) -> &[u8] {
    let continues = |at: &usize| value.get(*at).is_some_and(|byte| byte & 0xC0 == 0x80);
    // A character has at most three bytes behind its first one; where more of such bytes follow, it is no UTF-8.
    let end = (VALUE_BYTES_MAX - 3..=VALUE_BYTES_MAX).rev().find(|at| !continues(at)).unwrap_or(VALUE_BYTES_MAX);
    value.get(..end).unwrap_or(value)
}

fn write_value(out: &mut Vec<u8>, value: &[u8]) {
    // Without an end in the middle, so that many bytes are looked at at once.
    let is_plain = |byte: &u8| byte.is_ascii_graphic() & !matches!(byte, b'"' | b'\\' | b'=');
    if !value.is_empty() && value.iter().fold(true, |plain, byte| plain & is_plain(byte)) {
        out.extend_from_slice(value);
    } else {
        out.push(b'"');
        out.extend(value.iter().flat_map(|byte| std::ascii::escape_default(*byte)));
        out.push(b'"');
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-11-22T13:01:04.123Z`.
fn write_time(out: &mut Vec<u8>, time: SystemTime) {
    thread_local! {
        /// The second that was written last, as text: a busy worker writes many lines in one.
        static LAST: Cell<(u64, [u8; SECOND_BYTES])> = const { Cell::new((u64::MAX, [0; SECOND_BYTES])) };
    }
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (mut second, mut text) = LAST.get();
    if second != since.as_secs() {
        second = since.as_secs();
        text = second_text(second);
        LAST.set((second, text));
    }
    let millis = since.subsec_millis();
    let digit = |power: u32| b'0' + (millis / power % 10) as u8;
    out.extend_from_slice(&text);
    out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1), b'Z']);
}

/// Bytes of `2026-11-22T13:01:04`.
const SECOND_BYTES: usize = 19;

fn second_text(second: u64) -> [u8; SECOND_BYTES] {
    let (year, month, day) = civil(second / 86_400);
    let (hours, minutes, seconds) = (second / 3600 % 24, second / 60 % 60, second % 60);
    let mut text = *b"0000-00-00T00:00:00";
    let parts = [(year, 0..4), (month, 5..7), (day, 8..10), (hours, 11..13), (minutes, 14..16), (seconds, 17..19)];
    for (mut value, place) in parts {
        for digit in text[place].iter_mut().rev() {
            *digit = b'0' + (value % 10) as u8;
            value /= 10;
        }
    }
    text
}

/// The Gregorian date of a day since 1970-01-01. Years are counted from March, so that the leap day comes last.
pub fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_PER_ERA: u64 = 146_097; // 400 years
    let day = days + 719_468; // since 0000-03-01
    let (era, day) = (day / DAYS_PER_ERA, day % DAYS_PER_ERA);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // 0 = March
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + carry, month, date)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_795_352_464, "2026-11-22T13:01:04.000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            let mut out = Vec::new();
            write_time(&mut out, UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    fn line(format: LogFormat, fill: impl FnOnce(Line<'_>) -> Line<'_>) -> String {
        let (log, mut scratch) = (Log::unwritten(Level::Info, format), Vec::new());
        drop(fill(Line::begin(Some(&log), format, || UNIX_EPOCH, Level::Info, &mut scratch).text("msg", "m")));
        String::from_utf8(log.pending()).unwrap()
    }

    #[test]
    fn values_cannot_forge_lines_or_fields() {
        let table: [(&[u8], &str, &str); 10] = [
            (b"plain", "plain", r#""plain""#),
            (b"", r#""""#, r#""""#),
            (b"two words", r#""two words""#, r#""two words""#),
            (b"a\nlevel=error", r#""a\nlevel=error""#, r#""a\nlevel=error""#),
            (br#"q"q"#, r#""q\"q""#, r#""q\"q""#),
            (br#"\"#, r#""\\""#, r#""\\""#),
            (br#"","level":"error"#, r#""\",\"level\":\"error""#, r#""\",\"level\":\"error""#),
            (b"\xff\x1b[31m\0", r#""\xff\x1b[31m\x00""#, "\"\u{FFFD}\\u001b[31m\\u0000\""),
            ("\u{e9}".as_bytes(), r#""\xc3\xa9""#, "\"\u{e9}\""),
            (b"a\xc3", r#""a\xc3""#, "\"a\u{FFFD}\""),
        ];
        let start = [
            "ts=1970-01-01T00:00:00.000Z level=info msg=m",
            r#"{"ts":"1970-01-01T00:00:00.000Z","level":"info","msg":"m""#,
        ];
        for (value, text, json) in table {
            let shown = |format| line(format, |line| line.bytes("k", value).number("n", u64::MAX));
            assert_eq!(shown(LogFormat::Text), format!("{} k={text} n={}\n", start[0], u64::MAX));
            assert_eq!(shown(LogFormat::Json), format!("{},\"k\":{json},\"n\":{}}}\n", start[1], u64::MAX));
        }
    }

    #[test]
    fn every_byte_gives_an_object_on_one_line() {
        for byte in 0..=255 {
            let value = [b'a', byte, b'b'];
            let text = line(LogFormat::Json, |line| line.bytes("k", &value));
            assert_eq!(text.lines().count(), 1, "{byte}");
            let object: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(object["k"], *String::from_utf8_lossy(&value), "{byte}");
        }
    }

    #[test]
    fn dollars_are_numbers() {
        let shown = |format| line(format, |line| line.dollars("cost_usd", 1_234_000));
        assert!(shown(LogFormat::Text).ends_with(" cost_usd=0.001234\n"));
        assert!(shown(LogFormat::Json).ends_with(",\"cost_usd\":0.001234}\n"));
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let whole = |character: &str| character.repeat(VALUE_BYTES_MAX).into_bytes();
        for (value, shown) in [
            (whole("a"), 200),
            (whole("\u{e9}"), 200),
            (whole("\u{20ac}"), 198),
            (whole("\u{1f600}"), 200),
            ([b"a".to_vec(), whole("\u{1f600}")].concat(), 197),
            (vec![0x80; 5000], 200),
            (vec![b'a'; 3], 3),
            (vec![b'a'; 199], 199),
            (vec![0x80; 199], 199),
        ] {
            assert_eq!(shortened(&value).len(), shown, "{:?}", value.get(..8));
        }
    }

    #[test]
    fn a_quiet_level_writes_nothing() {
        let (log, mut scratch) = (Log::unwritten(Level::Warn, LogFormat::Json), Vec::new());
        drop(log.line(Level::Info, "m", &mut scratch).number("n", 7));
        assert_eq!((log.pending(), scratch.capacity()), (Vec::new(), 0));
    }

    #[test]
    fn the_scratch_of_one_line_is_enough_for_the_next() {
        for (_, format) in LogFormat::NAMES {
            let (log, mut scratch) = (Log::unwritten(Level::Info, format), Vec::new());
            let mut fill = |value: &[u8]| {
                drop(log.line(Level::Info, "m", &mut scratch).bytes("k", value).number("n", 1));
                (scratch.as_ptr(), scratch.capacity())
            };
            assert_eq!(fill(b"\xff\x1b\"0123456789"), fill(b"\xff\x1b\"0123456789"));
        }
    }
}
