//! One connection: request after request, each answered as its path, its body and its control headers say.

use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use monoio::time::Instant;

use super::answer;
use super::desk::{self, Answer, Desk, Refusal};
use super::fault::{After, Controls, Fault, Framing, Reply};
use super::link::{Inbox, Writer, at_most, until_or_gone, yield_now};
use super::request::{self, BodyLength, Chunked, Head};
use super::route::{Dialect, Route, route};
use super::serve::{Shared, count};
use super::wire::{self, Coding, Outline, Source};

/// A body that is kept to be read or echoed.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// After a refusal or an announced close: how long the peer may take to close as well.
const LINGER: Duration = Duration::from_secs(1);
/// Writes without a gap after which the other connections have their turn.
const WRITES_IN_A_ROW: u64 = 32;
/// The class of an error inside a stream.
const ERROR_STATUS: u16 = 529;

/// One connection and its buffers, all of which are used again for the next request.
pub struct Talk<'a> {
    inbox: &'a Inbox,
    writer: &'a mut Writer,
    handle: &'a TcpStream,
    shared: Rc<Shared>,
    desk: Desk,
    /// Bytes that arrived and belong to no request yet.
    pending: Vec<u8>,
    head: Vec<u8>,
    piece: Vec<u8>,
    /// Bytes on their way out.
    out: Vec<u8>,
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The peer left when it was not waiting for an answer.
    Left,
    /// The peer left in the middle of an answer.
    Aborted,
    /// Everything is said.
    Finished,
    /// The answer is to stay unfinished.
    Cut,
    /// The connection is to be reset.
    Reset,
}

impl<'a> Talk<'a> {
    pub fn new(inbox: &'a Inbox, writer: &'a mut Writer, handle: &'a TcpStream, shared: Rc<Shared>) -> Self {
        let (pending, head, piece, out) = Default::default();
        Self { inbox, writer, handle, shared, desk: Desk::new(), pending, head, piece, out }
    }

    /// Answers requests until the connection ends, and ends it as asked; only a reset is left to the caller.
    pub async fn run(mut self) -> End {
        let mut after = After::Keep;
        let end = loop {
            match self.request(after).await {
                Ok(next) => after = next,
                Err(end) => break end,
            }
        };
        // A socket that the peer has closed cannot be told anything; that is no news.
        match end {
            End::Left | End::Reset => {}
            End::Aborted => {
                count(&self.shared.stats.aborted);
            }
            End::Cut => {
                let _ = self.handle.shutdown(Shutdown::Write);
            }
            End::Finished => {
                self.writer.finish();
                let _ = self.handle.shutdown(Shutdown::Write);
                // What still comes is read, else the kernel resets the connection and our last words may be lost.
                at_most(LINGER, async {
                    while self.inbox.take(&mut self.pending).await {
                        self.pending.clear();
                    }
                })
                .await;
            }
        }
        end
    }

    /// One request and its answer. `after`: what the one before left to do.
    async fn request(&mut self, after: After) -> Result<After, End> {
        if self.pending.is_empty() {
            let more = self.inbox.take(&mut self.pending);
            let more = match after {
                After::CloseSilently(time) => at_most(time, more).await.ok_or(End::Cut)?,
                _ => more.await,
            };
            if !more {
                return Err(End::Left);
            }
        }
        let head = match self.read_head().await? {
            Ok(head) => head,
            Err(message) => return self.refuse(Dialect::Chat, (400, message)).await,
        };
        self.desk.script.number = count(&self.shared.stats.requests);
        // The text is moved aside while parts of it are borrowed; it is back before the next request.
        let text = std::mem::take(&mut self.head);
        let answered = self.answer(&head, &text).await;
        self.head = text;
        answered
    }

    async fn read_head(&mut self) -> Result<Result<Head, String>, End> {
        let mut seen = 0;
        loop {
            // A head can only have become complete by a new line feed.
            let new = self.pending.get(seen..).unwrap_or_default();
            if memchr::memchr(b'\n', new).is_some() {
                match request::head(&self.pending) {
                    Ok(None) => {}
                    Ok(Some(head)) => {
                        self.head.clear();
                        self.head.extend(self.pending.drain(..head.len));
                        return Ok(Ok(head));
                    }
                    Err(message) => return Ok(Err(message)),
                }
            }
            seen = self.pending.len();
            if seen > request::HEAD_BYTES_MAX {
                return Ok(Err("the head of the request is too long".into()));
            }
            if !self.inbox.take(&mut self.pending).await {
                return Err(End::Left);
            }
        }
    }

    async fn answer(&mut self, head: &Head, text: &[u8]) -> Result<After, End> {
        let part =
            |range: &Range<usize>| std::str::from_utf8(text.get(range.clone()).unwrap_or_default()).unwrap_or_default();
        let (method, target) = (part(&head.method), part(&head.target));
        let controls = &head.controls;
        let early = controls.reply == Reply::Early;
        let route = if controls.reply == Reply::Echo { Route::Echo } else { route(method, target) };
        self.desk.clear();
        if !early && let Err(refusal) = self.read_body(head, !matches!(route, Route::Upload | Route::Unknown)).await? {
            return self.refuse(desk::dialect(head, route), refusal).await;
        }
        if let Some(replay) = &self.shared.options.replay {
            self.out.extend_from_slice(replay);
            self.write().await?;
            return if self.shared.replay_closes { Err(End::Finished) } else { Ok(After::Keep) };
        }
        if route == Route::Stats {
            self.shared.stats.write(&mut self.desk.whole);
        }
        if matches!(route, Route::Generate(_)) {
            self.desk.script.created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        }
        let answer = match self.desk.answer(head, route, text, &self.shared.options) {
            Ok(answer) => answer,
            Err((status, message)) => self.desk.refuse(desk::dialect(head, route), status, &message),
        };
        let keep = head.keep && controls.after != After::Close;
        self.send(controls, answer, keep, method == "HEAD").await?;
        if !keep {
            return Err(End::Finished);
        }
        if early && self.read_body(head, false).await?.is_err() {
            return Err(End::Finished);
        }
        Ok(controls.after)
    }

    /// Reads the body of a request to its end, and keeps it if `keep`.
    async fn read_body(&mut self, head: &Head, keep: bool) -> Result<Result<(), Refusal>, End> {
        if head.expects && head.controls.reply != Reply::Early && self.pending.is_empty() {
            self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            self.write().await?;
        }
        let mut chunked = Chunked::default();
        loop {
            let left = match head.body {
                BodyLength::Bytes(length) => length.saturating_sub(self.desk.received.0),
                BodyLength::Chunked => u64::from(!chunked.ended()),
            };
            if left == 0 {
                return Ok(Ok(()));
            }
            if self.pending.is_empty() && !self.inbox.take(&mut self.pending).await {
                return Err(End::Left);
            }
            let desk = &mut self.desk;
            let used = match head.body {
                BodyLength::Chunked => match chunked.push(&self.pending, |bytes| desk.receive(bytes, keep)) {
                    Ok(used) => used,
                    Err(message) => return Ok(Err((400, message))),
                },
                BodyLength::Bytes(_) => {
                    let used = self.pending.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    desk.receive(self.pending.get(..used).unwrap_or_default(), keep);
                    used
                }
            };
            self.pending.drain(..used);
            if self.desk.body.len() > BODY_BYTES_MAX {
                return Ok(Err((413, "the body is larger than the mock reads".into())));
            }
        }
    }

    /// Answers a request that cannot be read, and ends the connection.
    async fn refuse(&mut self, dialect: Dialect, (status, message): Refusal) -> Result<After, End> {
        let answer = self.desk.refuse(dialect, status, &message);
        self.send(&Controls::default(), answer, false, false).await?;
        Err(End::Finished)
    }

    async fn send(&mut self, controls: &Controls, answer: Answer, keep: bool, head_only: bool) -> Result<(), End> {
        let streams = !matches!(answer.source, Source::Whole(..));
        self.wait(controls.delay_head).await?;
        if !streams {
            self.wait(answer.ttft).await?;
        }
        let outline = self.outline(controls, &answer, keep);
        outline.write(&mut self.out);
        match controls.framing {
            Some(Framing::NoHeadEnd) => {
                self.write().await?;
                self.inbox.gone().await;
                return Err(End::Aborted);
            }
            Some(Framing::Garbage | Framing::Unsolicited101) => {
                self.write().await?;
                return Err(End::Finished);
            }
            _ if head_only || !outline.has_body() => return self.write().await,
            _ => {}
        }
        if streams && !answer.ttft.is_zero() {
            self.write().await?;
            self.wait(answer.ttft).await?;
        }
        let ends =
            matches!(outline.framing, Framing::Close | Framing::Http10 | Framing::LongLength | Framing::BadChunk);
        self.send_body(controls, answer, Coding::of(outline.framing)).await?;
        if ends { Err(End::Finished) } else { Ok(()) }
    }

    fn outline<'c>(&mut self, controls: &'c Controls, answer: &Answer, keep: bool) -> Outline<'c> {
        let framing = controls.framing.map_or(answer.framing, |odd| odd.of_body(answer.framing));
        let length = match framing {
            // Only these do not need it, and for a long stream it costs as much as the stream.
            Framing::Chunked | Framing::BadChunk | Framing::Close | Framing::Http10 => 0,
            _ => answer.source.len(&self.desk.script, &self.desk.whole, &mut self.piece),
        };
        Outline {
            status: answer.status,
            content_type: answer.content_type,
            number: self.desk.script.number,
            anthropic: answer.anthropic,
            retry_after: controls.retry_after.as_deref(),
            close: !keep,
            odd: controls.framing,
            framing,
            length,
        }
    }

    /// Sends the body behind the head that waits in `out`, to its end or to the fault that was asked for.
    async fn send_body(&mut self, controls: &Controls, answer: Answer, coding: Coding) -> Result<(), End> {
        let Answer { mut source, gap, .. } = answer;
        let burst = controls.burst.unwrap_or(1).max(1);
        let mut timer = pin!(monoio::time::sleep(Duration::ZERO));
        let mut due = None;
        let mut writes = 0;
        loop {
            if let Some((_, fault)) = controls.fault.filter(|(at, _)| *at == writes)
                && self.fail(fault, controls, &source, coding).await?
            {
                break;
            }
            if source.ended(&self.desk.script, &self.desk.whole) {
                break;
            }
            if source.is_paced() && !gap.is_zero() {
                // From the time it was due, so that lateness does not add up; but what is late is not caught up in a burst.
                if let Some(before) = due {
                    let next = Instant::max(before + gap, Instant::now());
                    timer.as_mut().reset(next);
                    if until_or_gone(timer.as_mut(), self.inbox).await {
                        return Err(End::Aborted);
                    }
                    due = Some(next);
                } else {
                    due = Some(Instant::now());
                }
            }
            self.piece.clear();
            for _ in 0..burst {
                if !source.ended(&self.desk.script, &self.desk.whole) {
                    source.next(&self.desk.script, &self.desk.whole, &mut self.piece);
                }
            }
            coding.piece(writes, &self.piece, &mut self.out);
            writes += 1;
            // The last piece goes out together with what ends the body.
            if !source.ended(&self.desk.script, &self.desk.whole) {
                self.write().await?;
                if writes % WRITES_IN_A_ROW == 0 {
                    yield_now().await;
                }
                if self.inbox.ended() {
                    return Err(End::Aborted);
                }
            }
        }
        coding.end(&mut self.out);
        if controls.framing == Some(Framing::ExtraBytes) {
            self.out.extend_from_slice(wire::EXTRA);
        }
        self.write().await
    }

    /// Does what goes wrong. True: the body ends here, in good order.
    async fn fail(&mut self, fault: Fault, controls: &Controls, source: &Source, coding: Coding) -> Result<bool, End> {
        if fault == Fault::Error {
            let sequence = match source {
                Source::Steps(_, sequence) => *sequence,
                Source::Counted(..) => 0,
                // A blocking body has no place for an event.
                _ => return Ok(false),
            };
            self.piece.clear();
            let status = controls.status.unwrap_or(ERROR_STATUS);
            answer::error_event(&self.desk.script, status, sequence, &mut self.piece);
            coding.piece(0, &self.piece, &mut self.out);
            return Ok(true);
        }
        self.write().await?;
        match fault {
            Fault::Cut => Err(End::Cut),
            Fault::Reset => Err(End::Reset),
            _ => {
                self.inbox.gone().await;
                Err(End::Aborted)
            }
        }
    }

    /// Sends what waits in `out`.
    async fn write(&mut self) -> Result<(), End> {
        if self.out.is_empty() {
            return Ok(());
        }
        let (written, buffer) = self.writer.write_all(std::mem::take(&mut self.out)).await;
        self.out = buffer;
        self.out.clear();
        written.map_err(|_| End::Aborted)
    }

    /// Waits, unless the peer goes away.
    async fn wait(&mut self, time: Duration) -> Result<(), End> {
        if time.is_zero() {
            return Ok(());
        }
        let gone = until_or_gone(pin!(monoio::time::sleep(time)), self.inbox).await;
        if gone { Err(End::Aborted) } else { Ok(()) }
    }
}
