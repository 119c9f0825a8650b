//! One try at an upstream: take or dial a connection, send the request, hear the head of the final answer.

use std::future::poll_fn;
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use super::connection::{Client, Stop, plain};
use super::job::Work;
use super::upload::{self, Failed, Source, Upload};
use super::world::{Face, World};
use crate::config::{Credential, Provider};
use crate::dialect::Dialect;
use crate::dialect::endpoint::Endpoint;
use crate::fault::{Fault, Who};
use crate::http::fields;
use crate::http::framing::Framing;
use crate::http::head::{HeadKind, HeadScanner, RequestHead, ResponseHead, Version};
use crate::http::write;
use crate::limits;
use crate::net::deadlines::{Deadline, Expired, Side};
use crate::net::dial::dial;
use crate::net::pool::Upstream;
use crate::net::stream::{Inlet, Outlet, split};

/// An upstream that answered: its final head is in `work.response`, what came behind it in `work.inbound`.
pub struct Answering {
    /// The connection.
    pub upstream: Upstream,
    /// Bytes of `work.inbound` that were the head.
    pub head_bytes: usize,
    /// The whole request went out; if not, the upstream's connection cannot be used again.
    pub sent_whole: bool,
    /// The whole request was read; if not, the client's connection cannot.
    pub read_whole: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum AskError {
    /// The connection ended before any byte of an answer; a kept one may just have been stale.
    Closed,
    /// Everything else.
    Stop(Stop),
}

impl<T: Into<Stop>> From<T> for AskError {
    fn from(stop: T) -> Self {
        Self::Stop(stop.into())
    }
}

/// Takes a kept connection, or opens one.
///
/// # Errors
/// 502 or 504: nobody answers at the upstream's address. 503: no descriptor is left, or our grace is over.
pub async fn connect(world: &World, face: &Face, work: &mut Work, fresh: bool) -> Result<Upstream, Fault> {
    if world.stopping.get() {
        return Err(Fault::draining());
    }
    let kept = if fresh { None } else { face.pool.take() };
    world.counters.upstream_stale.add(face.pool.take_stale());
    if let Some(upstream) = kept {
        world.counters.upstream_reuses.add(1);
        return Ok(upstream);
    }
    let provider = &world.config().providers[0];
    let began = Instant::now();
    // Boxed: its timer is large and rarely needed, and would make every connection's future larger.
    let dialling = Box::pin(dial(&face.addresses, provider.connect_timeout));
    let Some(dialled) = world.unless_stopped(dialling).await else { return Err(Fault::draining()) };
    work.record.connect_micros += began.elapsed().as_micros() as u64;
    match dialled {
        Ok(stream) => {
            world.counters.upstream_connects.add(1);
            let (inlet, outlet) = split(stream, Side::Upstream, &world.deadlines, &world.buffers);
            Ok(Upstream { inlet, outlet, reused: false })
        }
        Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
            let message = "sidestream has no descriptor left for a connection; raise its limit of open files.".into();
            Err(Fault { who: Who::Us, status: 503, reason: "out-of-descriptors", message, close: false })
        }
        Err(error) => {
            world.counters.upstream_connect_failures.add(1);
            let late = error.kind() == std::io::ErrorKind::TimedOut;
            let (status, reason) = if late { (504, "upstream-connect-timeout") } else { (502, "upstream-connect") };
            let text = plain(&error);
            let message = format!("{} at {} cannot be reached: {text}.", provider.name, face.base.authority);
            Err(Fault::upstream(status, reason, message))
        }
    }
}

/// Sends the request and hears the head of the final answer, which may come before the request is out (then the rest
/// of the request is not sent).
///
/// # Errors
/// See [`AskError`].
pub async fn ask(
    world: &World,
    client: &mut Client<'_>,
    mut upstream: Upstream,
    version: Version,
    work: &mut Work,
    upload: &mut Upload<'_>,
) -> Result<Answering, AskError> {
    let provider = &world.config().providers[0];
    let deadline = upstream.inlet.deadline().clone();
    let source = Source { inbox: client.inbox, deadline: &client.deadline };
    let head = std::mem::take(&mut work.out);
    let buffered = matches!(upload, Upload::Buffered(..));
    let Work { response, response_scanner, inbound, .. } = work;
    let Upstream { inlet, outlet, .. } = &mut upstream;
    let mut hearing = Hearing { inlet, client: &mut client.outlet, version, response, response_scanner, inbound };
    let say = say(head, upload, source, outlet, provider);
    let (heard, said) = converse(pin!(hearing.final_head()), pin!(say), buffered.then_some(&deadline)).await;
    // The wait for more of the body may have been given up: its time limit must not outlive it.
    client.deadline.disarm();
    let sent = said.map(|(sent, head)| {
        work.out = head;
        sent
    });
    if let Some(Ok(streamed)) = sent {
        work.record.bytes_in += streamed;
    }
    match (heard, sent) {
        (Some(Ok(head_bytes)), sent) => {
            let sent_whole = matches!(sent, Some(Ok(_)));
            Ok(Answering { upstream, head_bytes, sent_whole, read_whole: buffered || sent_whole })
        }
        (_, Some(Err(Failed::Client(fault)))) => Err(fault.into()),
        (_, Some(Err(Failed::Gone))) => Err(Stop::Gone.into()),
        (Some(Err(_)), _) if world.stopping.get() => Err(Fault::draining().into()),
        (Some(Err(_)), _) if deadline.expired() == Some(Expired::Sending) => {
            world.counters.upstream_timeouts.add(1);
            let waited = provider.idle_timeout.as_secs();
            let message = format!("{} took no more of the request for {waited} s.", provider.name);
            Err(Fault::upstream(504, "upstream-timeout", message).into())
        }
        // Time for its last words is not the time it has for an answer.
        (Some(Err(_)), Some(Ok(_)) | None) if deadline.expired().is_some() => {
            world.counters.upstream_timeouts.add(1);
            let waited = provider.first_byte_timeout.as_secs();
            let message = format!("{} sent no answer within {waited} s.", provider.name);
            Err(Fault::upstream(504, "upstream-timeout", message).into())
        }
        (Some(Err(HeadError::Closed)), _) => Err(AskError::Closed),
        (Some(Err(HeadError::Invalid(what))), _) => {
            world.counters.upstream_invalid.add(1);
            let message = format!("{} answered with something that is not HTTP/1.1: {what}.", provider.name);
            Err(Fault::upstream(502, "upstream-invalid", message).into())
        }
        (Some(Err(HeadError::Client)), _) | (None, _) => Err(Stop::Gone.into()),
    }
}

/// What sending came to, and the memory of the head.
type Sent = (Result<u64, Failed>, Vec<u8>);

/// Hears and says at once: the read is posted before the request goes out, and an answer can overtake the request.
/// Ends when the final head was heard, when it cannot be heard any more, or when the client's side failed. `must_end` is
/// given where the body must come back before it can be sent again: then a send that holds it is ended.
async fn converse(
    mut hear: Pin<&mut impl Future<Output = Result<usize, HeadError>>>,
    mut say: Pin<&mut impl Future<Output = Sent>>,
    must_end: Option<&Deadline>,
) -> (Option<Result<usize, HeadError>>, Option<Sent>) {
    let mut said = None;
    let heard = poll_fn(|cx| {
        let heard = hear.as_mut().poll(cx);
        if said.is_none()
            && let Poll::Ready(outcome) = say.as_mut().poll(cx)
        {
            said = Some(outcome);
        }
        match (&said, heard) {
            (Some((Err(Failed::Client(_) | Failed::Gone), _)), _) => Poll::Ready(None),
            (_, Poll::Ready(heard)) => Poll::Ready(Some(heard)),
            _ => Poll::Pending,
        }
    })
    .await;
    if let (Some(Err(_)), None, Some(deadline)) = (&heard, &said, must_end) {
        deadline.socket().shutdown(Shutdown::Both);
        said = Some(say.await);
    }
    (heard, said)
}

/// Sends the request and then grants the upstream its time to answer.
async fn say(
    head: Vec<u8>,
    upload: &mut Upload<'_>,
    source: Source<'_>,
    outlet: &mut Outlet,
    provider: &Provider,
) -> Sent {
    let sent = upload::send(head, upload, source, outlet, provider.idle_timeout).await;
    let patience = match sent.0 {
        Ok(_) => provider.first_byte_timeout,
        // It takes no more, but may have said why (413) before it closed.
        Err(_) => LAST_WORDS,
    };
    outlet.deadline().arm(patience);
    sent
}

const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why no head was heard.
enum HeadError {
    /// The connection ended before any byte.
    Closed,
    /// What came is no answer; the reason.
    Invalid(&'static str),
    /// The client takes no interim answers any more.
    Client,
}

struct Hearing<'a> {
    inlet: &'a mut Inlet,
    client: &'a mut Outlet,
    version: Version,
    response: &'a mut ResponseHead,
    response_scanner: &'a mut HeadScanner,
    inbound: &'a mut Vec<u8>,
}

impl Hearing<'_> {
    /// Receives until the final head is complete and parsed; gives its length. Interim answers are passed on to
    /// HTTP/1.1 clients as they come (RFC 9110 §15.2), except for `100 Continue`, which the client got from us.
    async fn final_head(&mut self) -> Result<usize, HeadError> {
        self.inbound.clear();
        self.response_scanner.reset();
        let mut interim = 0;
        loop {
            let found = self.response_scanner.push(HeadKind::Response, self.inbound);
            let Some(end) = found.map_err(|reject| HeadError::Invalid(reject.row().name))? else {
                let partial = !self.inbound.is_empty() || interim > 0;
                let (result, inbound) = self.inlet.receive(std::mem::take(self.inbound)).await;
                *self.inbound = inbound;
                match result {
                    Ok(0) | Err(_) if partial => return Err(HeadError::Invalid("its head is incomplete")),
                    Ok(0) | Err(_) => return Err(HeadError::Closed),
                    Ok(_) => continue,
                }
            };
            let head = self.inbound.get(..end).unwrap_or_default();
            self.response.parse(head).map_err(|bad| HeadError::Invalid(bad.name()))?;
            match self.response.status() {
                101 => return Err(HeadError::Invalid("it switched protocols unasked")),
                100..200 => {}
                _ => return Ok(end),
            }
            interim += 1;
            if interim > limits::INTERIM_RESPONSES_MAX {
                return Err(HeadError::Invalid("too many interim responses"));
            }
            if self.response.status() != 100 && self.version == Version::Http11 {
                let mut out = Vec::new();
                write_interim(&mut out, self.response);
                let (sent, _) = self.client.send_all(out, limits::WRITE_IDLE_MAX).await;
                sent.map_err(|_| HeadError::Client)?;
            }
            self.inbound.drain(..end);
            self.response_scanner.reset();
        }
    }
}

fn write_interim(out: &mut Vec<u8>, response: &ResponseHead) {
    write::status_line(out, response.status());
    for (name, value) in fields::end_to_end(response) {
        write::field(out, name, value);
    }
    write::end(out);
}

/// Writes the head of the upstream request.
///
/// The client's end-to-end fields go on in their order, except for those that we set: `host`, the body's framing, the
/// credential, and `accept-encoding` where we may have to look into the answer.
pub fn write_head(
    out: &mut Vec<u8>,
    face: &Face,
    provider: &Provider,
    request: &RequestHead,
    endpoint: &Endpoint<'_>,
    framing: Framing,
) {
    let (dialect, path) = match *endpoint {
        Endpoint::Json { dialect, path } => (dialect, path),
        Endpoint::Other { dialect, path } => (dialect, path),
        Endpoint::Root | Endpoint::Unknown => return,
    };
    let is_json = matches!(endpoint, Endpoint::Json { .. });
    out.extend_from_slice(request.method_text().as_bytes());
    out.push(b' ');
    out.extend_from_slice(face.base.path.as_bytes());
    // The Anthropic face's base ends before the version, the OpenAI face's behind it.
    out.extend_from_slice(if face.anthropic { b"/v1/" } else { b"/" });
    out.extend_from_slice(path.as_bytes());
    if let Some(query) = request.query() {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write::field(out, b"host", face.base.authority.as_bytes());
    let keep_credential = provider.credential == Credential::Client;
    for (name, value) in fields::end_to_end(request) {
        let replaced = is_ours(name)
            || (fields::is_credential(name) && !keep_credential)
            || (is_json && name.eq_ignore_ascii_case(b"accept-encoding"));
        if !replaced {
            write::field(out, name, value);
        }
    }
    if is_json {
        // A compressed stream cannot be split, pinged or searched for errors.
        write::field(out, b"accept-encoding", b"identity");
    }
    if let Credential::Keys(keys) = &provider.credential
        && let Some(key) = keys.first()
    {
        if dialect == Dialect::Messages && face.anthropic {
            write::field(out, b"x-api-key", key.expose());
        } else {
            out.extend_from_slice(b"authorization: Bearer ");
            out.extend_from_slice(key.expose());
            out.extend_from_slice(b"\r\n");
        }
    }
    match framing {
        Framing::Chunked => write::field(out, b"transfer-encoding", b"chunked"),
        Framing::Length(length) => write::content_length(out, length),
        Framing::None | Framing::UntilClose => {}
    }
    write::end(out);
}

fn is_ours(name: &[u8]) -> bool {
    let own: [&[u8]; 4] = [b"host", b"content-length", b"transfer-encoding", b"expect"];
    own.iter().any(|known| name.eq_ignore_ascii_case(known))
        || name.get(..13).is_some_and(|start| start.eq_ignore_ascii_case(b"x-sidestream-"))
}
