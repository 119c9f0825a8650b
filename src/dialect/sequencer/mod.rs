//! Brings the words of an answer into the order that its writer needs, and decides once, for all dialects, what the
//! answer is when it ends: how it begins and stops, what became of calls without names, what was used.
//!
//! The order of an upstream's words is kept as far as the writer can say it. One that has one block open at a time gets
//! what belongs to a later block when its turn comes; until then it is held here, up to [`limits::HELD_BYTES_MAX`].

mod block;
mod order;
#[cfg(test)]
mod tests;

use block::Block;

use super::failure::{Class, Failure};
use super::loss::Losses;
use super::turn::{Stop, Terms, Usage, Word, Writer};
use crate::limits;

/// Stands between a reader and a writer, for one answer.
#[derive(Debug)]
pub struct Sequencer<W> {
    writer: W,
    terms: Terms,
    phase: Phase,
    /// Something was written: the answer cannot be another one any more.
    has_begun: bool,
    blocks: Vec<Block>,
    /// The block that gets what comes: the open one where there can be one only, else the last that got something.
    current: Option<usize>,
    /// Blocks that were begun, which is the next one's number.
    begun: u32,
    /// Calls' ids that were written.
    ids: Vec<Vec<u8>>,
    stop: Option<(Stop, Option<Vec<u8>>)>,
    usage: Usage,
    output_bytes: u64,
    held_bytes: usize,
    /// A refusal's words were written.
    has_refused: bool,
    failure: Option<Failure>,
    losses: Losses,
    scratch: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The upstream said nothing yet.
    Silent,
    /// It answers.
    Answering,
    /// The answer is whole, or failed.
    Over,
}

impl<W: Writer> Sequencer<W> {
    /// A sequencer for one answer, to the request of those terms.
    pub fn new(writer: W, terms: Terms) -> Self {
        Self {
            writer,
            terms,
            phase: Phase::Silent,
            has_begun: false,
            blocks: Vec::new(),
            current: None,
            begun: 0,
            ids: Vec::new(),
            stop: None,
            usage: Usage::default(),
            output_bytes: 0,
            held_bytes: 0,
            has_refused: false,
            failure: None,
            losses: Losses::default(),
            scratch: Vec::new(),
        }
    }

    /// Takes the reader's next word, and appends what is to be said now. After the end nothing is.
    #[inline]
    pub fn say(&mut self, word: Word<'_>, out: &mut Vec<u8>) {
        match word {
            Word::Delta { key, text } => self.delta(key, text, out),
            other => self.say_other(other, out),
        }
    }

    /// The upstream's stream ended. Without a word about the answer's end it was cut, and the answer has failed: a short
    /// answer that looks whole would be believed.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match (self.phase, &self.stop) {
            (Phase::Over, _) => {}
            (Phase::Answering, Some(_)) => self.end(out),
            (Phase::Answering, None) => self.fail(api("the upstream closed the stream early"), out),
            (Phase::Silent, _) => self.fail(api("the upstream closed the stream without an answer"), out),
        }
    }

    /// Something was said that is part of the answer: its head may go out.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The upstream failed. Where the answer had not begun nothing was written, for it may be asked for elsewhere;
    /// [`Sequencer::tell_failure`] writes it then.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Appends the failure of an answer that had not begun.
    pub fn tell_failure(&mut self, out: &mut Vec<u8>) {
        if let Some(failure) = &self.failure
            && !std::mem::replace(&mut self.has_begun, true)
        {
            self.writer.fail(failure, out);
        }
    }

    /// The end, or a failure, was said: nothing follows.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// What could not be said.
    pub fn losses(&mut self) -> &mut Losses {
        self.losses.append(&mut self.writer.losses());
        &mut self.losses
    }

    /// What the upstream reported so far; `None` where it did not.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// The writer.
    pub fn writer(&mut self) -> &mut W {
        &mut self.writer
    }

    /// Shows the client of an answer that has begun that it goes on. Only between two calls of the others.
    pub fn ping(&mut self, out: &mut Vec<u8>) {
        if self.has_begun && self.phase != Phase::Over {
            self.writer.ping(out);
        }
    }

    fn say_other(&mut self, word: Word<'_>, out: &mut Vec<u8>) {
        if let Word::Usage(usage) = word {
            return merge(&mut self.usage, &usage);
        }
        if self.phase == Phase::Over {
            return;
        }
        match word {
            Word::Open { key, block } => self.open(key, block, out),
            Word::Signature { key, signature } => self.signature(key, signature, out),
            Word::Close { key } => self.close_key(key, out),
            Word::Stop(stop, sequence) => {
                if self.stop.as_ref().is_none_or(|(known, _)| *known == Stop::EndTurn) {
                    self.stop = Some((stop, sequence.map(<[u8]>::to_vec)));
                }
            }
            Word::Failed(failure) => self.fail(failure, out),
            Word::End if self.phase == Phase::Silent => self.fail(api("the upstream ended without an answer"), out),
            Word::End => self.end(out),
            Word::Ping => self.ping(out),
            Word::Foreign(path) => self.losses.dropped(path),
            Word::Start { .. } | Word::Delta { .. } | Word::Usage(_) => {}
        }
        if self.phase == Phase::Silent {
            self.phase = Phase::Answering;
        }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.has_begun, true) {
            let usage = self.told(0);
            self.writer.start(&usage, out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.close_all(out);
        if self.phase == Phase::Over {
            return;
        }
        self.phase = Phase::Over;
        let (stop, sequence) = self.stop.take().unwrap_or((Stop::EndTurn, None));
        let usage = self.told(self.output_bytes.div_ceil(4).max(1));
        self.writer.end(self.stop_of_written(stop), sequence.as_deref(), &usage, out);
    }

    fn fail(&mut self, mut failure: Failure, out: &mut Vec<u8>) {
        if self.phase == Phase::Over {
            return;
        }
        failure.estimate(self.terms.input_estimate);
        self.phase = Phase::Over;
        if self.has_begun {
            self.writer.fail(&failure, out);
        }
        self.failure = Some(failure);
    }

    /// Why it stopped, judged by the blocks that were written: agents look for calls only where they are announced.
    fn stop_of_written(&self, stop: Stop) -> Stop {
        match stop {
            Stop::MaxTokens | Stop::ContextFull | Stop::Refusal => stop,
            _ if self.has_refused => Stop::Refusal,
            _ if !self.ids.is_empty() => Stop::ToolUse,
            Stop::ToolUse => Stop::EndTurn,
            _ => stop,
        }
    }

    /// Usage as the client is told: estimated where the upstream did not count, scaled to the window it believes in.
    fn told(&self, output_estimate: u64) -> Usage {
        let told = |tokens: Option<u64>| tokens.map(|tokens| self.terms.scale.told(tokens));
        let Usage { input, cache_read, cache_write, cache_write_1h, output, reasoning } = self.usage;
        Usage {
            input: told(input.or(Some(self.terms.input_estimate))),
            cache_read: told(cache_read),
            cache_write: told(cache_write),
            cache_write_1h: told(cache_write_1h),
            output: told(output.or(Some(output_estimate))),
            reasoning: told(reasoning),
        }
    }

    /// Counts bytes that wait; at the bound the answer fails, for it could not be told in full.
    fn hold(&mut self, bytes: usize, out: &mut Vec<u8>) {
        self.held_bytes += bytes;
        if self.held_bytes > limits::HELD_BYTES_MAX {
            let most = limits::HELD_BYTES_MAX;
            self.fail(api(&format!("the answer's blocks are interleaved over more than {most} bytes")), out);
        }
    }
}

/// Running totals: what a later report leaves out stays.
fn merge(usage: &mut Usage, report: &Usage) {
    usage.input = report.input.or(usage.input);
    usage.cache_read = report.cache_read.or(usage.cache_read);
    usage.cache_write = report.cache_write.or(usage.cache_write);
    usage.cache_write_1h = report.cache_write_1h.or(usage.cache_write_1h);
    usage.output = report.output.or(usage.output);
    usage.reasoning = report.reasoning.or(usage.reasoning);
}

fn api(message: &str) -> Failure {
    Failure { class: Class::Api, message: message.to_owned(), code: None, param: None }
}
