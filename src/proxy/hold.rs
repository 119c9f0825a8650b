//! Holds a stream's head back until the answer has begun, so that a failure in its place can still become something else.
//!
//! Nothing is taken away: what was read stays in `work.inbound`, behind the head, for whoever passes the answer on.

use std::cell::RefCell;
use std::time::Duration;

use super::ask::Answering;
use super::intake::{Intake, Received, broken_coding};
use super::job::Work;
use super::relay;
use super::site::Destination;
use super::world::World;
use crate::dialect::Dialect;
use crate::dialect::failure::{Class, Failure};
use crate::dialect::opening::{Opening, Watcher};
use crate::fault::Fault;
use crate::http::body::BodyReader;
use crate::http::chunked::{ChunkError, Piece};
use crate::http::framing;
use crate::http::head::Method;
use crate::limits;

/// What became of an answer while its head was held.
pub enum Held {
    /// It has begun, or was held for as long as it may be: it goes on.
    Begun(Answering),
    /// The upstream says that it failed, or ended the stream before it said anything. Nothing was sent: the request may be
    /// sent again, which ends this connection, or the answer passed on as it is.
    Failed(Failure, Answering),
    /// The connection broke, or the time was over.
    Broken(Fault),
}

/// Waits for the first event that means something, at most for `time` from now; zero is never. Only streams of events that
/// are not coded are held: everything else has begun with its head.
///
/// `spoken` is the upstream's dialect. An answer whose first bytes came with its head, as most do, is not waited for.
pub async fn hold(
    world: &World,
    destination: &Destination,
    mut answering: Answering,
    spoken: Dialect,
    time: Duration,
    work: &mut Work,
) -> Held {
    if time.is_zero() || work.response.status() != 200 || !relay::is_event_stream(&work.response) {
        return Held::Begun(answering);
    }
    // A head that is invalid is refused by whoever passes it on.
    let Ok(framing) = framing::of_response(&work.response, Method::Post) else { return Held::Begun(answering) };
    let mut reading = Reading { body: BodyReader::new(framing), watcher: world.watchers.take(spoken) };
    let found = match reading.read(work.inbound.get(answering.head_bytes..).unwrap_or_default()) {
        Ok(Opening::Nothing) => {
            // The current tick has partly gone.
            answering.held_until = world.deadlines.now().saturating_add(limits::ticks(time)).saturating_add(1);
            let mut intake = Intake::new(destination, answering.upstream, answering.until);
            intake.due = Some(answering.held_until);
            let found = reading.wait(world, &mut intake, answering.head_bytes, work).await;
            answering.upstream = intake.upstream;
            found
        }
        Ok(found) => Ok(found),
        Err(error) => Err(broken_coding(destination, error)),
    };
    world.watchers.give(reading.watcher);
    match found {
        Ok(Opening::Failed(failure)) => Held::Failed(failure, answering),
        Ok(Opening::Begun | Opening::Nothing) => Held::Begun(answering),
        Err(fault) => Held::Broken(fault),
    }
}

/// A stream that is looked into while it is held.
struct Reading {
    body: BodyReader,
    watcher: Box<Watcher>,
}

impl Reading {
    /// Looks at what came of the body.
    fn read(&mut self, input: &[u8]) -> Result<Opening, ChunkError> {
        let Self { body, watcher } = self;
        let mut opening = Opening::Nothing;
        body.push(input, |piece| {
            if let Piece::Data(range) = piece {
                opening.add(|| watcher.push(input.get(range).unwrap_or_default()));
            }
        })?;
        Ok(opening)
    }

    /// Reads on until the stream has said something, or was held for as long as it may be.
    async fn wait(
        &mut self,
        world: &World,
        intake: &mut Intake<'_>,
        head_bytes: usize,
        work: &mut Work,
    ) -> Result<Opening, Fault> {
        loop {
            if self.body.is_done() {
                return Ok(ended(intake));
            }
            let before = work.inbound.len();
            if before > head_bytes + limits::HELD_OPENING_BYTES_MAX {
                return Ok(Opening::Nothing);
            }
            let (received, inbound) = intake.receive_more(std::mem::take(&mut work.inbound)).await;
            work.inbound = inbound;
            match received {
                Received::Bytes => match self.read(work.inbound.get(before..).unwrap_or_default()) {
                    Ok(Opening::Nothing) => {}
                    Ok(found) => return Ok(found),
                    Err(error) => return Err(broken_coding(intake.destination, error)),
                },
                Received::Due => return Ok(Opening::Nothing),
                end if intake.ended_itself(world, end) && self.body.is_complete_at_eof() => return Ok(ended(intake)),
                Received::End | Received::Error => return Err(intake.cut_short(world)),
            }
        }
    }
}

/// A stream that is whole, and says nothing.
fn ended(intake: &Intake<'_>) -> Opening {
    let name = &intake.destination.provider.name;
    Opening::Failed(Failure::new(Class::Api, format!("{name} ended its stream before an answer began.")))
}

/// Watchers that are used again.
#[derive(Default)]
#[allow(clippy::vec_box, reason = "a stream that waits holds one: its future shall not be as large")]
pub struct Watchers(RefCell<Vec<Box<Watcher>>>);

/// As many as look into their first bytes at a time in a busy sidecar.
const KEPT_MAX: usize = 64;

impl Watchers {
    fn take(&self, spoken: Dialect) -> Box<Watcher> {
        let mut watcher = self.0.borrow_mut().pop().unwrap_or_default();
        watcher.reset(spoken);
        watcher
    }

    fn give(&self, watcher: Box<Watcher>) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < KEPT_MAX {
            kept.push(watcher);
        }
    }
}
