//! The log: lines for the person at three in the morning, on standard error, as `key=value` or as JSON.
//!
//! A worker appends to a shared buffer and goes on; one thread writes. If standard error is not read, lines beyond
//! [`limits::LOG_BYTES_MAX`] are dropped and counted, and no worker ever waits. The writer is woken by the first line
//! after a pause and collects what comes meanwhile, so that a busy worker pays a lock nobody else holds and no
//! system call.

use std::io::Write;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

pub use super::line::{Line, civil};
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

    pub(super) fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `ts=… level=info msg=request status=200`, for people and `grep`.
    #[default]
    Text,
    /// `{"ts":"…","level":"info","msg":"request","status":200}`, for collectors.
    Json,
}

impl LogFormat {
    /// As written in `SIDESTREAM_LOG_FORMAT`.
    pub const NAMES: [(&'static str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];
}

/// A handle on the process's log; clones share it, level and format included.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The [`Level`] and the [`LogFormat`] as numbers: a reload changes them while workers write.
    level: AtomicU8,
    format: AtomicU8,
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
    pub fn start(level: Level, format: LogFormat) -> Self {
        let log = Self::unwritten(level, format);
        let writer = log.shared.clone();
        let spawned = std::thread::Builder::new().name("log".into()).spawn(move || writer.write_for_ever());
        if let Err(error) = spawned {
            // Rare enough (no threads left) to be said once, directly.
            let _ = writeln!(std::io::stderr(), "level=error msg=\"no thread for the log\" error=\"{error}\"");
        }
        log
    }

    /// A log that nobody writes out.
    pub(super) fn unwritten(level: Level, format: LogFormat) -> Self {
        let log = Self { shared: Arc::default() };
        log.set_level(level);
        log.set_format(format);
        log
    }

    /// From the next line on, only lines of this level and of more serious ones are written.
    pub fn set_level(&self, level: Level) {
        self.shared.level.store(level as u8, Relaxed);
    }

    /// From the next line on, lines are written so.
    pub fn set_format(&self, format: LogFormat) {
        self.shared.format.store(format as u8, Relaxed);
    }

    /// Whether lines of this level are written.
    pub fn enabled(&self, level: Level) -> bool {
        level as u8 <= self.shared.level.load(Relaxed)
    }

    fn format(&self) -> LogFormat {
        let json = self.shared.format.load(Relaxed) == LogFormat::Json as u8;
        if json { LogFormat::Json } else { LogFormat::Text }
    }

    /// Begins a line: time, level, message. It is written when the value is dropped. `scratch` is reused memory.
    pub fn line<'a>(&'a self, level: Level, message: &str, scratch: &'a mut Vec<u8>) -> Line<'a> {
        let on = self.enabled(level).then_some(self);
        Line::begin(on, self.format(), SystemTime::now, level, scratch).text("msg", message)
    }

    /// A line outside of the path of requests.
    pub fn say(&self, level: Level, message: &str, fields: &[(&'static str, &str)]) {
        let mut scratch = Vec::new();
        fields.iter().fold(self.line(level, message, &mut scratch), |line, (name, value)| line.text(name, value));
    }

    /// Takes a line that is whole, its end included.
    pub(super) fn append(&self, line: &[u8]) {
        self.shared.append(line);
    }

    /// What was appended and not written yet.
    #[cfg(test)]
    pub(super) fn pending(&self) -> Vec<u8> {
        self.shared.lock().pending.clone()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_at_their_place() {
        assert!(Level::NAMES.iter().enumerate().all(|(place, (_, level))| *level as usize == place));
        assert!(LogFormat::NAMES.iter().enumerate().all(|(place, (_, format))| *format as usize == place));
    }

    #[test]
    fn level_and_format_change_while_the_log_runs() {
        let log = Log::unwritten(Level::Warn, LogFormat::Text);
        let worker = log.clone();
        worker.say(Level::Info, "unheard", &[]);
        log.set_level(Level::Debug);
        worker.say(Level::Debug, "text", &[]);
        log.set_format(LogFormat::Json);
        worker.say(Level::Debug, "json", &[]);
        log.set_level(Level::Error);
        worker.say(Level::Warn, "unheard", &[]);
        let text = String::from_utf8(log.pending()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].ends_with(" level=debug msg=text"), "{text}");
        assert!(lines[1].ends_with(r#","level":"debug","msg":"json"}"#), "{text}");
    }

    #[test]
    fn a_full_pipe_drops_and_counts() {
        for (name, format) in LogFormat::NAMES {
            let log = Log::unwritten(Level::Info, format);
            for _ in 0..10_000 {
                log.say(Level::Info, "m", &[("k", "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv")]);
            }
            let pending = log.pending();
            assert!(pending.len() <= limits::LOG_BYTES_MAX && pending.ends_with(b"\n"), "{name}");
            let kept = pending.iter().filter(|byte| **byte == b'\n').count() as u64;
            assert_eq!(log.take_dropped(), 10_000 - kept, "{name}: a line is kept whole or dropped");
            assert!(kept < 10_000, "{name}");
            assert_eq!(log.take_dropped(), 0, "{name}");
        }
    }
}
