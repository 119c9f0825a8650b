//! An upstream's body that is looked into: its payload, without its framing.

use std::time::Instant;

use super::connection::Stop;
use super::intake::{Intake, Received};
use super::job::Work;
use super::world::World;
use crate::fault::Fault;
use crate::http::body::BodyReader;
use crate::http::chunked::Piece;
use crate::http::framing;
use crate::http::head::Method;
use crate::limits;

/// One body on its way in. Its bytes come through `work.inbound`.
pub struct Incoming<'a> {
    /// Where it comes from.
    pub intake: Intake<'a>,
    /// Bytes followed that belong to no answer.
    pub excess: bool,
    reader: BodyReader,
    /// What of `work.inbound` was looked at.
    seen: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// More of it will come.
    Open,
    /// It ended exactly where its framing says.
    Framed,
    /// It ended with its connection.
    Ended,
}

impl<'a> Incoming<'a> {
    /// The body behind a head of `head_bytes` at the beginning of `work.inbound`.
    ///
    /// # Errors
    /// Its framing is invalid.
    pub fn new(intake: Intake<'a>, head_bytes: usize, work: &Work) -> Result<Self, Fault> {
        let framing = framing::of_response(&work.response, Method::Post).map_err(|bad| {
            intake.destination.numbers.invalid.add(1);
            let name = &intake.destination.provider.name;
            Fault::upstream(502, "upstream-invalid", format!("{name} answered with an invalid head: {}.", bad.name()))
        })?;
        let reader = BodyReader::new(framing);
        let state = if reader.is_done() { State::Framed } else { State::Open };
        Ok(Self { intake, excess: false, reader, seen: head_bytes, state })
    }

    /// Gives what came of it since the last time.
    ///
    /// # Errors
    /// It broke its framing.
    pub fn take(&mut self, inbound: &[u8], mut payload: impl FnMut(&[u8])) -> Result<(), Fault> {
        if self.state != State::Open {
            return Ok(());
        }
        let input = inbound.get(self.seen..).unwrap_or_default();
        let progress = self.reader.push(input, |piece| {
            if let Piece::Data(range) = piece {
                payload(input.get(range).unwrap_or_default());
            }
        });
        let progress = progress.map_err(|_| {
            self.state = State::Ended;
            self.intake.broken()
        })?;
        self.seen += progress.consumed;
        if progress.done {
            self.state = State::Framed;
            self.excess = inbound.len() > self.seen;
        }
        Ok(())
    }

    /// One read into `inbound`, which comes back. False if something else is due before bytes came.
    ///
    /// # Errors
    /// The connection ended before the body did.
    pub async fn receive(&mut self, world: &World, inbound: Vec<u8>) -> (Result<bool, Fault>, Vec<u8>) {
        let (received, inbound) = self.intake.receive(inbound).await;
        self.seen = 0;
        let outcome = match received {
            Received::Bytes => Ok(true),
            Received::Due => Ok(false),
            ended => {
                self.state = State::Ended;
                let whole = self.intake.ended_itself(world, ended) && self.reader.is_complete_at_eof();
                if whole { Ok(true) } else { Err(self.intake.cut_short(world)) }
            }
        };
        (outcome, inbound)
    }

    /// All of it, up to `max` bytes.
    ///
    /// # Errors
    /// It is larger, broke its framing, or broke off.
    pub async fn whole(&mut self, world: &World, max: usize, work: &mut Work) -> Result<Vec<u8>, Stop> {
        let mut body = Vec::new();
        self.fill(world, max, &mut body, work).await?;
        Ok(body)
    }

    /// The same, or as much of it as came.
    pub async fn whole_or_begun(&mut self, world: &World, max: usize, work: &mut Work) -> Vec<u8> {
        let mut body = Vec::new();
        let _ = self.fill(world, max, &mut body, work).await;
        body
    }

    async fn fill(&mut self, world: &World, max: usize, body: &mut Vec<u8>, work: &mut Work) -> Result<(), Stop> {
        loop {
            self.take(&work.inbound, |payload| body.extend_from_slice(payload))?;
            if body.len() > max {
                self.state = State::Ended;
                let name = &self.intake.destination.provider.name;
                let message = format!("{name} answered with more than {max} bytes, which are too many to translate.");
                return Err(Fault::upstream(502, "upstream-too-large", message).into());
            }
            if self.is_over() {
                return Ok(());
            }
            let (outcome, inbound) = self.receive(world, std::mem::take(&mut work.inbound)).await;
            work.inbound = inbound;
            outcome?;
        }
    }

    /// Nothing more will come.
    pub fn is_over(&self) -> bool {
        self.state != State::Open
    }

    /// It ended exactly where its framing says, and nothing followed.
    pub fn is_sound(&self) -> bool {
        self.state == State::Framed && !self.excess
    }

    /// Reads what follows the last word of an answer, so that its connection can be used again; for a moment only.
    pub async fn drain(&mut self, work: &mut Work) {
        let mut waste = 0;
        self.intake.until = self.intake.until.no_later_than(Instant::now() + limits::ANSWER_END_MAX);
        self.intake.due = None;
        while !self.is_over() && waste <= limits::LINGER_BYTES_MAX {
            if self.take(&work.inbound, |payload| waste += payload.len()).is_err() || self.is_over() {
                return;
            }
            let inbound = std::mem::take(&mut work.inbound);
            let (received, inbound) = self.intake.receive(inbound).await;
            (self.seen, work.inbound) = (0, inbound);
            if received != Received::Bytes {
                self.state = State::Ended;
            }
        }
    }
}
