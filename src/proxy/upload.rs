//! The request's body: buffered and looked into, or streamed on as it comes.

use std::io;
use std::ops::Deref;
use std::time::{Duration, Instant};

use super::connection::{Client, Stop};
use super::job::Work;
use super::site::Site;
use super::world::{Lease, World};
use crate::fault::Fault;
use crate::http::framing::Framing;
use crate::http::passage::{Form, Passage, Passed};
use crate::http::reject::Reject;
use crate::limits;
use crate::net::deadlines::Deadline;
use crate::net::inbox::{Inbox, Turn};
use crate::net::stream::Outlet;

/// Replaces a part of a buffered body on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// First byte replaced.
    pub start: usize,
    /// First byte kept again.
    pub end: usize,
    /// What stands there instead.
    pub text: Vec<u8>,
}

/// A buffered body, and the room before it: where the client's head stood, the upstream's goes, so that both are one write
/// and nothing is moved.
#[derive(Default)]
pub struct Body {
    bytes: Vec<u8>,
    start: usize,
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, start: 0 }
    }
}

impl Body {
    /// Empties it, and gives its memory.
    pub fn take_memory(&mut self) -> Vec<u8> {
        self.start = 0;
        std::mem::take(&mut self.bytes)
    }

    /// The body alone.
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.drain(..self.start);
        self.bytes
    }

    /// Puts a head before it, if there is room; where the head begins.
    fn put_before(&mut self, head: &[u8]) -> Option<usize> {
        let from = self.start.checked_sub(head.len())?;
        self.bytes.get_mut(from..self.start)?.copy_from_slice(head);
        Some(from)
    }
}

/// A body on its way to the upstream.
pub enum Upload<'a> {
    /// All here; can be sent again.
    Buffered(&'a mut Body, Option<Splice>),
    /// Still coming.
    Streamed(Passage),
}

/// Why an upload stopped.
#[derive(Debug)]
pub enum Failed {
    /// What the client sent is broken, or came too slowly.
    Client(Fault),
    /// The client ended before its body did.
    Gone,
    /// The upstream takes no more.
    Upstream,
}

/// Where a streamed body comes from.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// What the client sent.
    pub inbox: &'a Inbox,
    /// How long it may take to send more.
    pub deadline: &'a Deadline,
}

/// Reads a whole JSON body into `work.body`, scanning it as it comes. The lease is for as long as the body stays.
///
/// # Errors
/// Too large, no memory left, broken chunks, no JSON, too slow; [`Stop::Gone`] if the client ended before its body did.
pub async fn buffer<'w>(
    world: &'w World,
    site: &Site,
    client: &mut Client<'_>,
    framing: Framing,
    work: &mut Work,
) -> Result<Lease<'w>, Stop> {
    let mut lease = world.shared.budget.lease();
    let max = site.config().body_max;
    match framing {
        // Its size was judged with the head.
        Framing::Length(length) => buffer_length(client, length as usize, &mut lease, work).await?,
        Framing::Chunked => buffer_chunked(client, max, &mut lease, work).await?,
        Framing::None | Framing::UntilClose => {}
    }
    client.deadline.disarm();
    work.record.bytes_in = work.body.len() as u64;
    work.members.finish().map_err(|error| invalid_json(&error))?;
    work.record.read = Some(Instant::now());
    Ok(lease)
}

/// A body of known length is received where it stays: the inbox's vector becomes the body.
/// What counts against the budget is what came, not what was announced.
async fn buffer_length(client: &Client<'_>, length: usize, lease: &mut Lease<'_>, work: &mut Work) -> Result<(), Stop> {
    let mut scanned = 0;
    loop {
        let here = client.inbox.len().min(length);
        hold(lease, here as u64)?;
        let news = |bytes: &[u8]| work.members.push(bytes.get(scanned..here).unwrap_or_default());
        client.inbox.peek(news).map_err(|error| invalid_json(&error))?;
        scanned = here;
        if here == length {
            let (mut bytes, start) = client.inbox.take_in_place();
            client.inbox.put_back(bytes.get(start + length..).unwrap_or_default());
            bytes.truncate(start + length);
            work.body = Body { bytes, start };
            return Ok(());
        }
        more(client, length - here).await?;
    }
}

async fn buffer_chunked(client: &Client<'_>, max: u64, lease: &mut Lease<'_>, work: &mut Work) -> Result<(), Stop> {
    let mut passage = Passage::new(Framing::Chunked, Form::Payload);
    loop {
        let before = work.body.len();
        let passed = client.inbox.peek(|bytes| passage.pass(bytes, &mut work.body.bytes, |_| {}));
        client.inbox.consume(passed.map_err(Reject::from)?.consumed());
        let size = work.body.len() as u64;
        // A chunk says its size before it comes.
        if size.saturating_add(passage.announced()) > max {
            return Err(too_large(max).into());
        }
        hold(lease, size)?;
        let news = work.body.get(before..).unwrap_or_default();
        work.members.push(news).map_err(|error| invalid_json(&error))?;
        if passage.is_done() {
            return Ok(());
        }
        more(client, limits::READ_BYTES).await?;
    }
}

/// Waits for more of the body.
async fn more(client: &Client<'_>, expected: usize) -> Result<(), Stop> {
    client.deadline.arm_receiving(limits::BODY_IDLE_MAX);
    match client.inbox.more(expected).await {
        None => Ok(()),
        Some(_) if client.deadline.expired().is_some() => Err(Reject::BodyTimeout.into()),
        // The body will never be whole, and nobody waits for an answer to half a request.
        Some(_) => Err(Stop::Gone),
    }
}

fn hold(lease: &mut Lease<'_>, bytes: u64) -> Result<(), Reject> {
    if lease.grow(bytes) { Ok(()) } else { Err(Reject::BufferFull) }
}

/// 413, naming the limit and its variable.
pub fn too_large(max: u64) -> Fault {
    let message = format!("The request body is larger than {max} bytes; SIDESTREAM_BODY_MAX raises the limit.");
    Fault::because(Reject::BodyTooLarge, message)
}

/// The scanner reports at the first offending byte; the rest of the body was not read.
fn invalid_json(error: &crate::json::JsonError) -> Fault {
    Fault::because(Reject::InvalidJson, error.to_string()).closing()
}

/// Sends a request: `head`, then the body. Gives the head's memory back. `patience` per piece.
///
/// # Errors
/// See [`Failed`].
pub async fn send(
    head: Vec<u8>,
    upload: &mut Upload<'_>,
    source: Source<'_>,
    outlet: &mut Outlet,
    patience: Duration,
) -> (Result<u64, Failed>, Vec<u8>) {
    match upload {
        Upload::Buffered(body, splice) => {
            let (result, head) = send_buffered(head, body, splice.as_ref(), outlet, patience).await;
            (result.map(|()| 0).map_err(|_| Failed::Upstream), head)
        }
        Upload::Streamed(passage) => send_streamed(head, passage, source, outlet, patience).await,
    }
}

/// How much of a body is copied behind its head, so that a usual request is one write and one packet. Larger bodies
/// take several packets anyway, and go out from where they are.
const JOINED: usize = limits::READ_BYTES;

async fn send_buffered(
    mut out: Vec<u8>,
    body: &mut Body,
    splice: Option<&Splice>,
    outlet: &mut Outlet,
    patience: Duration,
) -> (io::Result<()>, Vec<u8>) {
    if splice.is_none()
        && let Some(from) = body.put_before(&out)
    {
        let end = body.bytes.len();
        let (result, back) = outlet.send(std::mem::take(&mut body.bytes), from, end, patience).await;
        body.bytes = back;
        return (result, out);
    }
    let mut from = 0;
    if let Some(Splice { start, end, text }) = splice {
        if *start > JOINED {
            let (result, head) = outlet.send_all(out, patience).await;
            out = head;
            out.clear();
            if let Err(error) = result.and(send_part(body, 0, *start, outlet, patience).await) {
                return (Err(error), out);
            }
        } else {
            out.extend_from_slice(body.get(..*start).unwrap_or_default());
        }
        out.extend_from_slice(text);
        from = *end;
    }
    let joined = (body.len() - from).min(JOINED);
    out.extend_from_slice(body.get(from..from + joined).unwrap_or_default());
    let (result, out) = outlet.send_all(out, patience).await;
    let whole = body.len();
    match result {
        Ok(()) => (send_part(body, from + joined, whole, outlet, patience).await, out),
        Err(error) => (Err(error), out),
    }
}

/// Sends `body[from..to]`; the body comes back also after an error, so that it can be sent again.
async fn send_part(body: &mut Body, from: usize, to: usize, outlet: &mut Outlet, patience: Duration) -> io::Result<()> {
    let bytes = std::mem::take(&mut body.bytes);
    let (result, back) = outlet.send(bytes, body.start + from, body.start + to, patience).await;
    body.bytes = back;
    result
}

/// Streams a body: what is here goes out before more is waited for, one write per read.
async fn send_streamed(
    mut out: Vec<u8>,
    passage: &mut Passage,
    source: Source<'_>,
    outlet: &mut Outlet,
    patience: Duration,
) -> (Result<u64, Failed>, Vec<u8>) {
    let Source { inbox, deadline } = source;
    let (mut total, mut turn) = (0, Turn::default());
    loop {
        let bytes = inbox.take();
        let passed = match passage.pass(&bytes, &mut out, |payload| total += payload.len() as u64) {
            Ok(passed) => passed,
            Err(error) => return (Err(Failed::Client(Reject::from(error).into())), out),
        };
        let consumed = passed.consumed();
        inbox.put_back(bytes.get(consumed..).unwrap_or_default());
        let (result, bytes) = match passed {
            Passed::AsIs(_) if out.is_empty() => outlet.send(bytes, 0, consumed, patience).await,
            passed => {
                // The first piece joins the head.
                if matches!(passed, Passed::AsIs(_)) {
                    out.extend_from_slice(bytes.get(..consumed).unwrap_or_default());
                }
                let (result, back) = outlet.send_all(out, patience).await;
                out = back;
                out.clear();
                (result, bytes)
            }
        };
        inbox.recycle(bytes);
        if result.is_err() {
            return (Err(Failed::Upstream), out);
        }
        if passage.is_done() {
            return (Ok(total), out);
        }
        turn.taken(inbox).await;
        // What came while we were sending counts as news.
        if !inbox.is_empty() {
            continue;
        }
        deadline.arm_receiving(limits::BODY_IDLE_MAX);
        let ended = inbox.more(0).await;
        // The time that the upstream takes is not the client's.
        if ended.is_none() {
            deadline.disarm();
        }
        match ended {
            None => {}
            Some(_) if deadline.expired().is_some() => return (Err(Failed::Client(Reject::BodyTimeout.into())), out),
            Some(_) => return (Err(Failed::Gone), out),
        }
    }
}
