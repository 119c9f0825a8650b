//! The log: lines for the person at three in the morning, on standard error, as `key=value`.
//!
//! A worker appends to a shared buffer and goes on; one thread writes. If standard error is not read, lines beyond
//! [`limits::LOG_BYTES_MAX`] are dropped and counted, and no worker ever waits. The writer is woken by the first line
//! after a pause and collects what comes meanwhile, so that a busy worker pays a lock nobody else holds and no
//! system call.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::limits;

/// How serious a line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something failed that needs a person.
    Error,
    /// Something is odd, or was refused.
    Warn,
    /// One line a request, start and stop.
    #[default]
    Info,
    /// What a developer wants to see.
    Debug,
}

impl Level {
    /// As written in `SIDESTREAM_LOG`.
    pub const NAMES: [(&'static str, Level); 4] =
        [("error", Level::Error), ("warn", Level::Warn), ("info", Level::Info), ("debug", Level::Debug)];

    fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

/// A handle on the process's log; clones share it.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
    level: Level,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    idle: Condvar,
}

#[derive(Default)]
struct State {
    pending: Vec<u8>,
    /// The writer sleeps until it is woken.
    asleep: bool,
    writing: bool,
    dropped: u64,
}

/// How long the writer collects lines after it wrote some.
const COLLECT: Duration = Duration::from_millis(20);

impl Log {
    /// Starts the writing thread. It ends with the process.
    pub fn start(level: Level) -> Self {
        let shared = Arc::new(Shared::default());
        let writer = shared.clone();
        let spawned = std::thread::Builder::new().name("log".into()).spawn(move || writer.write_for_ever());
        if let Err(error) = spawned {
            // Rare enough (no threads left) to be said once, directly.
            let _ = writeln!(std::io::stderr(), "level=error msg=\"no thread for the log\" error=\"{error}\"");
        }
        Self { shared, level }
    }

    /// Whether lines of this level are written.
    pub fn enabled(&self, level: Level) -> bool {
        level <= self.level
    }

    /// Begins a line: `ts=… level=… msg=…`. It is written when the value is dropped. `scratch` is reused memory.
    pub fn line<'a>(&'a self, level: Level, message: &str, scratch: &'a mut Vec<u8>) -> Line<'a> {
        scratch.clear();
        write_time(scratch, SystemTime::now());
        scratch.extend_from_slice(b" level=");
        scratch.extend_from_slice(level.name().as_bytes());
        let line = Line { log: self, text: scratch, on: self.enabled(level) };
        line.text("msg", message)
    }

    /// A line outside of the path of requests.
    pub fn say(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        let mut scratch = Vec::new();
        fields.iter().fold(self.line(level, message, &mut scratch), |line, (name, value)| line.text(name, value));
    }

    /// Lines dropped since the last call.
    pub fn take_dropped(&self) -> u64 {
        std::mem::take(&mut self.shared.lock().dropped)
    }

    /// Waits until everything so far was written, at most `patience`.
    pub fn flush(&self, patience: Duration) {
        let state = self.shared.lock();
        let unwritten = |state: &mut State| !state.pending.is_empty() || state.writing;
        drop(self.shared.idle.wait_timeout_while(state, patience, unwritten));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while holding the lock leaves bytes, nothing that could be broken.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.pending.len() + line.len() > limits::LOG_BYTES_MAX {
            state.dropped += 1;
            return;
        }
        state.pending.extend_from_slice(line);
        if state.asleep {
            state.asleep = false;
            self.wake.notify_one();
        }
    }

    fn write_for_ever(&self) {
        // Reserved whole: untouched pages cost nothing, and a busy moment then costs no allocation.
        let mut batch = Vec::with_capacity(limits::LOG_BYTES_MAX);
        self.lock().pending.reserve(limits::LOG_BYTES_MAX);
        loop {
            {
                let mut state = self.lock();
                while state.pending.is_empty() {
                    state.asleep = true;
                    self.idle.notify_all();
                    state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                std::mem::swap(&mut batch, &mut state.pending);
                state.writing = true;
            }
            // A closed standard error is nobody to tell about.
            let _ = std::io::stderr().write_all(&batch);
            batch.clear();
            self.lock().writing = false;
            std::thread::sleep(COLLECT);
        }
    }
}

/// A line being written.
pub struct Line<'a> {
    log: &'a Log,
    text: &'a mut Vec<u8>,
    on: bool,
}

impl Line<'_> {
    /// Adds ` name=value`; values with spaces, quotes, controls or non-ASCII bytes are quoted and escaped, so that no
    /// value can forge a line or a field.
    pub fn text(self, name: &str, value: &str) -> Self {
        self.bytes(name, value.as_bytes())
    }

    /// The same for bytes of unknown encoding, at most 200 of them.
    pub fn bytes(mut self, name: &str, value: &[u8]) -> Self {
        const SHOWN: usize = 200;
        if self.on {
            self.key(name);
            let shown = &value[..value.len().min(SHOWN)];
            if !shown.is_empty() && shown.iter().all(|byte| byte.is_ascii_graphic() && !b"\"\\=".contains(byte)) {
                self.text.extend_from_slice(shown);
            } else {
                self.text.push(b'"');
                self.text.extend(shown.iter().flat_map(|byte| std::ascii::escape_default(*byte)));
                self.text.push(b'"');
            }
        }
        self
    }

    /// Adds ` name=123`.
    pub fn number(mut self, name: &str, value: u64) -> Self {
        if self.on {
            self.key(name);
            crate::http::write::number(self.text, value);
        }
        self
    }

    fn key(&mut self, name: &str) {
        self.text.push(b' ');
        self.text.extend_from_slice(name.as_bytes());
        self.text.push(b'=');
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if self.on {
            self.text.push(b'\n');
            self.log.shared.append(self.text);
        }
    }
}

/// RFC 3339 in UTC with milliseconds, as `ts=2026-11-22T13:01:04.123Z`.
fn write_time(out: &mut Vec<u8>, time: SystemTime) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    out.extend_from_slice(b"ts=");
    let parts = [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (seconds / 3600, 2, b':'),
        (seconds / 60 % 60, 2, b':'),
        (seconds % 60, 2, b'.'),
        (u64::from(since.subsec_millis()), 3, b'Z'),
    ];
    for (value, width, after) in parts {
        for place in (0..width).rev() {
            out.push(b'0' + (value / 10u64.pow(place) % 10) as u8);
        }
        out.push(after);
    }
}

/// The Gregorian date of a day since 1970-01-01. Years are counted from March, so that the leap day comes last.
fn civil(days: u64) -> (u64, u64, u64) {
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
    use super::*;

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "ts=1970-01-01T00:00:00.000Z"),
            (951_782_400, "ts=2000-02-29T00:00:00.000Z"),
            (1_795_352_464, "ts=2026-11-22T13:01:04.000Z"),
            (4_107_542_399, "ts=2100-02-28T23:59:59.000Z"),
            (4_107_542_400, "ts=2100-03-01T00:00:00.000Z"),
        ] {
            let mut out = Vec::new();
            write_time(&mut out, UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    fn line(level: Level, fill: impl FnOnce(Line<'_>)) -> String {
        let log = Log { shared: Arc::default(), level };
        let mut scratch = Vec::new();
        fill(log.line(Level::Info, "m", &mut scratch));
        let text = String::from_utf8(log.shared.lock().pending.clone()).unwrap();
        text.split_once(' ').map(|(_, rest)| rest.to_owned()).unwrap_or_default()
    }

    #[test]
    fn values_cannot_forge_lines_or_fields() {
        let table: [(&[u8], &str); 6] = [
            (b"plain", "plain"),
            (b"", "\"\""),
            (b"two words", "\"two words\""),
            (b"a\nlevel=error", "\"a\\nlevel=error\""),
            (b"q\"q", "\"q\\\"q\""),
            (b"\xff\x1b[31m", "\"\\xff\\x1b[31m\""),
        ];
        for (value, shown) in table {
            let text = line(Level::Info, |line| drop(line.bytes("k", value)));
            assert_eq!(text, format!("level=info msg=m k={shown}\n"));
        }
    }

    #[test]
    fn long_values_are_cut() {
        let text = line(Level::Info, |line| drop(line.bytes("k", &[b'a'; 5000])));
        assert!(text.len() < 300);
    }

    #[test]
    fn a_quiet_level_writes_nothing() {
        assert_eq!(line(Level::Warn, |line| drop(line.number("n", 7))), "");
    }

    #[test]
    fn a_full_pipe_drops_and_counts() {
        let log = Log { shared: Arc::default(), level: Level::Info };
        for _ in 0..10_000 {
            log.say(Level::Info, "m", &[("k", "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv")]);
        }
        assert!(log.shared.lock().pending.len() <= limits::LOG_BYTES_MAX);
        assert!(log.take_dropped() > 0);
        assert_eq!(log.take_dropped(), 0);
    }
}
