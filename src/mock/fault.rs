//! Control headers: what a test or a bench asks of the mock for one request. The table is in the docs of [`super`].

#![forbid(unsafe_code)]

use std::time::Duration;

/// Chunks of one stream; above it the request is refused, so that a typo does not run for an hour.
const CHUNKS_MAX: usize = 10_000_000;
/// Bytes of one chunk.
const CHUNK_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Parts of one answer.
pub const PARTS_MAX: usize = 16;

/// Everything the control headers of one request say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Controls {
    /// Instead of [`super::Options::ttft`].
    pub ttft: Option<Duration>,
    /// Instead of [`super::Options::gap`].
    pub gap: Option<Duration>,
    /// Instead of [`super::Options::chunks`].
    pub chunks: Option<usize>,
    /// Instead of [`super::Options::bytes`].
    pub bytes: Option<usize>,
    /// The status of the answer, or the class of an error inside the stream if [`Fault::Error`] is set.
    pub status: Option<u16>,
    /// The value of `retry-after`.
    pub retry_after: Option<String>,
    /// What goes wrong, after how many chunks.
    pub fault: Option<(u64, Fault)>,
    /// How the answer is framed.
    pub framing: Option<Framing>,
    /// What happens to the connection after the answer.
    pub after: After,
    /// Wait before the head is sent.
    pub delay_head: Duration,
    /// Counted events instead of an answer; the value is the id of the stream.
    pub seq: Option<String>,
    /// Chunks per write.
    pub burst: Option<usize>,
    /// What is answered, and when.
    pub reply: Reply,
    /// The parts of the answer, instead of those the request asks for.
    pub parts: Option<Parts>,
}

/// What goes wrong in the middle of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An error event of the dialect, then the regular end of the body.
    Error,
    /// The connection is closed (FIN); the body stays unfinished.
    Cut,
    /// The connection is reset (RST).
    Reset,
    /// Nothing more is sent; the connection stays open until the peer closes it.
    Stall,
}

/// The framing of an answer. Without one: Content-Length for JSON, chunked for streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Content-Length, also for a stream.
    Length,
    /// Chunked, also for JSON.
    Chunked,
    /// No framing; the end of the connection ends the body.
    Close,
    /// Content-Length is ten less than what follows.
    ShortLength,
    /// Content-Length is ten more than what follows; then the connection is closed.
    LongLength,
    /// Chunked, with a Content-Length beside it.
    TeAndCl,
    /// Two Content-Length fields that differ.
    DupCl,
    /// Chunked; the second chunk's size is not a number.
    BadChunk,
    /// A regular answer, followed by a second one that nobody asked for.
    ExtraBytes,
    /// An HTTP/1.0 answer without framing.
    Http10,
    /// The head never ends.
    NoHeadEnd,
    /// Bytes that are not HTTP, then the end.
    Garbage,
    /// A thousand 100 (Continue) before the answer.
    ContinueFlood,
    /// One 103 (Early Hints) before the answer.
    EarlyHints,
    /// 101 (Switching Protocols) that nobody asked for, then the end.
    Unsolicited101,
    /// A head with one mebibyte of fields.
    Head1Mib,
}

impl Framing {
    /// How the body is framed: as asked, or as `usual` if what is asked concerns something else.
    #[must_use]
    pub fn of_body(self, usual: Self) -> Self {
        match self {
            Self::ExtraBytes
            | Self::NoHeadEnd
            | Self::Garbage
            | Self::ContinueFlood
            | Self::EarlyHints
            | Self::Unsolicited101
            | Self::Head1Mib => usual,
            asked => asked,
        }
    }
}

/// What happens to the connection after an answer that left it usable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum After {
    /// It waits for the next request.
    #[default]
    Keep,
    /// `Connection: close` was announced.
    Close,
    /// Nothing was announced; it is closed once it has been idle for so long.
    CloseSilently(Duration),
}

/// What is answered, and when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reply {
    /// What the path says, once the request has been read.
    #[default]
    Usual,
    /// A description of the request.
    Echo,
    /// What the path says, before the body has been read.
    Early,
}

/// One part of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Part {
    /// Thinking (Messages), `reasoning_content` (Chat), a reasoning item (Responses).
    Thinking,
    /// Text.
    #[default]
    Text,
    /// A tool call.
    Tool,
}

/// The parts of an answer, in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parts {
    kinds: [Part; PARTS_MAX],
    len: usize,
}

impl Parts {
    /// Adds a part; past [`PARTS_MAX`] it is left out.
    pub fn push(&mut self, part: Part) {
        if let Some(slot) = self.kinds.get_mut(self.len) {
            *slot = part;
            self.len += 1;
        }
    }

    /// The parts.
    #[must_use]
    pub fn as_slice(&self) -> &[Part] {
        self.kinds.get(..self.len).unwrap_or(&[])
    }

    /// The part at `at`.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<Part> {
        self.as_slice().get(at).copied()
    }

    /// Is there such a part?
    #[must_use]
    pub fn has(&self, part: Part) -> bool {
        self.as_slice().contains(&part)
    }
}

/// Does this field name address the mock? Cheap: it is asked for every field of every request.
#[must_use]
pub fn is_control(name: &str) -> bool {
    name.as_bytes().get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"x-mock-"))
}

impl Controls {
    /// Takes in one control header. `Err` says what is wrong with it: a typo must not pass for a success.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let value = value.trim();
        self.known(&name.to_ascii_lowercase(), value)
            .ok_or_else(|| format!("the mock does not understand {name}: {value}"))
    }

    fn known(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "x-mock-ttft-ms" => self.ttft = Some(millis(value)?),
            "x-mock-gap-ms" => self.gap = Some(millis(value)?),
            "x-mock-chunks" => self.chunks = Some(at_most(value, CHUNKS_MAX)?),
            "x-mock-bytes" => self.bytes = Some(at_most(value, CHUNK_BYTES_MAX)?),
            "x-mock-status" => {
                self.status = Some(value.parse().ok().filter(|status| (200..=999).contains(status))?);
            }
            "x-mock-retry-after" => self.retry_after = Some(value.to_owned()),
            "x-mock-error-at" => self.fault = Some((value.parse().ok()?, Fault::Error)),
            "x-mock-cut-at" => self.fault = Some((value.parse().ok()?, Fault::Cut)),
            "x-mock-reset-at" => self.fault = Some((value.parse().ok()?, Fault::Reset)),
            "x-mock-stall-at" => self.fault = Some((value.parse().ok()?, Fault::Stall)),
            "x-mock-framing" => self.framing = Some(framing(value)?),
            "x-mock-close" => self.after = on(value, After::Close)?,
            "x-mock-close-silently-ms" => self.after = After::CloseSilently(millis(value)?),
            "x-mock-delay-head-ms" => self.delay_head = millis(value)?,
            "x-mock-seq" => self.seq = Some(value.to_owned()),
            "x-mock-burst" => self.burst = Some(at_most(value, CHUNKS_MAX)?),
            "x-mock-echo" => self.reply = on(value, Reply::Echo)?,
            "x-mock-answer-early" => self.reply = on(value, Reply::Early)?,
            "x-mock-parts" => self.parts = Some(parts(value)?),
            _ => return None,
        }
        Some(())
    }
}

fn millis(value: &str) -> Option<Duration> {
    value.parse::<u32>().ok().map(|ms| Duration::from_millis(u64::from(ms)))
}

fn at_most(value: &str, max: usize) -> Option<usize> {
    value.parse().ok().filter(|&number| number <= max)
}

fn on<T: Default>(value: &str, what: T) -> Option<T> {
    match value {
        "1" => Some(what),
        "0" => Some(T::default()),
        _ => None,
    }
}

fn framing(value: &str) -> Option<Framing> {
    Some(match value {
        "length" => Framing::Length,
        "chunked" => Framing::Chunked,
        "close" => Framing::Close,
        "short-length" => Framing::ShortLength,
        "long-length" => Framing::LongLength,
        "te-and-cl" => Framing::TeAndCl,
        "dup-cl" => Framing::DupCl,
        "bad-chunk" => Framing::BadChunk,
        "extra-bytes" => Framing::ExtraBytes,
        "http10" => Framing::Http10,
        "no-head-end" => Framing::NoHeadEnd,
        "garbage" => Framing::Garbage,
        "1xx-flood" => Framing::ContinueFlood,
        "early-hints" => Framing::EarlyHints,
        "unsolicited-101" => Framing::Unsolicited101,
        "head-1mib" => Framing::Head1Mib,
        _ => return None,
    })
}

fn parts(value: &str) -> Option<Parts> {
    let mut parts = Parts::default();
    for word in value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        parts.push(match word {
            "thinking" => Part::Thinking,
            "text" => Part::Text,
            "tool" => Part::Tool,
            _ => return None,
        });
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[(&str, &str)]) -> Result<Controls, String> {
        let mut controls = Controls::default();
        for (name, value) in lines {
            controls.set(name, value)?;
        }
        Ok(controls)
    }

    #[test]
    fn every_header_of_the_table_is_understood() {
        let ms = Duration::from_millis;
        let nothing = Controls::default;
        let mut two_parts = Parts::default();
        two_parts.push(Part::Thinking);
        two_parts.push(Part::Tool);
        for (name, value, expected) in [
            ("x-mock-ttft-ms", "250", Controls { ttft: Some(ms(250)), ..nothing() }),
            ("X-Mock-Gap-Ms", " 20 ", Controls { gap: Some(ms(20)), ..nothing() }),
            ("x-mock-chunks", "3", Controls { chunks: Some(3), ..nothing() }),
            ("x-mock-bytes", "0", Controls { bytes: Some(0), ..nothing() }),
            ("x-mock-status", "529", Controls { status: Some(529), ..nothing() }),
            ("x-mock-retry-after", "2", Controls { retry_after: Some("2".into()), ..nothing() }),
            ("x-mock-error-at", "4", Controls { fault: Some((4, Fault::Error)), ..nothing() }),
            ("x-mock-cut-at", "0", Controls { fault: Some((0, Fault::Cut)), ..nothing() }),
            ("x-mock-reset-at", "1", Controls { fault: Some((1, Fault::Reset)), ..nothing() }),
            ("x-mock-stall-at", "9", Controls { fault: Some((9, Fault::Stall)), ..nothing() }),
            ("x-mock-framing", "te-and-cl", Controls { framing: Some(Framing::TeAndCl), ..nothing() }),
            ("x-mock-framing", "1xx-flood", Controls { framing: Some(Framing::ContinueFlood), ..nothing() }),
            ("x-mock-close", "1", Controls { after: After::Close, ..nothing() }),
            ("x-mock-close", "0", nothing()),
            ("x-mock-close-silently-ms", "5", Controls { after: After::CloseSilently(ms(5)), ..nothing() }),
            ("x-mock-delay-head-ms", "7", Controls { delay_head: ms(7), ..nothing() }),
            ("x-mock-seq", "abc-1", Controls { seq: Some("abc-1".into()), ..nothing() }),
            ("x-mock-burst", "16", Controls { burst: Some(16), ..nothing() }),
            ("x-mock-echo", "1", Controls { reply: Reply::Echo, ..nothing() }),
            ("x-mock-answer-early", "1", Controls { reply: Reply::Early, ..nothing() }),
            ("x-mock-parts", "thinking, tool", Controls { parts: Some(two_parts), ..nothing() }),
        ] {
            assert_eq!(read(&[(name, value)]), Ok(expected), "{name}: {value}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (name, value) in [
            ("x-mock-stauts", "429"),
            ("x-mock-status", "42"),
            ("x-mock-status", "soon"),
            ("x-mock-chunks", "99999999"),
            ("x-mock-gap-ms", "-1"),
            ("x-mock-framing", "sideways"),
            ("x-mock-close", "yes"),
            ("x-mock-parts", "text,picture"),
        ] {
            assert!(read(&[(name, value)]).is_err(), "{name}: {value}");
        }
    }

    #[test]
    fn only_our_prefix_is_a_control() {
        for (name, expected) in
            [("x-mock-seq", true), ("X-MOCK-", true), ("x-mock", false), ("x-moc", false), ("host", false)]
        {
            assert_eq!(is_control(name), expected, "{name}");
        }
    }

    #[test]
    fn more_parts_than_fit_are_left_out() {
        let controls = read(&[("x-mock-parts", &"tool,".repeat(40))]).unwrap();
        assert_eq!(controls.parts.unwrap().as_slice().len(), PARTS_MAX);
    }
}
