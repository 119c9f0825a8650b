//! Accepting connections, and what all of them share.

use std::cell::Cell;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use super::encode::{decimal, put};
use super::link::{Inbox, Reader, Writer, both};
use super::talk::{End, Talk};
use super::{Options, wire};
use crate::net::buffers::Buffers;
use crate::net::deadlines::{Deadlines, Side};
use crate::net::stream::{Stream, abort, split};
use crate::net::tls;

/// Pause after an accept that failed for want of something, usually descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Answers every connection of `listener`, until waiting for one fails. Runs inside a monoio runtime with timers, on
/// either driver; the connections are tasks of the same thread, and the counters are those of this call.
///
/// The listener is a std one: each connection keeps a second, std handle on its socket, because resetting it takes a
/// socket option that a monoio stream cannot be given without unsafe code.
pub async fn serve(listener: TcpListener, options: Rc<Options>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let ready = monoio::net::TcpListener::from_std(listener.try_clone()?)?;
    let shared = Rc::new(Shared::new(options));
    if shared.options.tls.is_some() {
        shared.deadlines.keep_sweeping();
    }
    loop {
        // Waiting is by readiness: an accept that is dropped with its runtime would lose a connection.
        ready.readable(false).await?;
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    monoio::spawn(connection(stream, shared.clone()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => {
                    monoio::time::sleep(ACCEPT_PAUSE).await;
                    break;
                }
            }
        }
    }
}

/// What the connections of one mock share.
pub struct Shared {
    /// The defaults.
    pub options: Rc<Options>,
    /// Must the connection end after the replay?
    pub replay_closes: bool,
    /// The counters.
    pub stats: Stats,
    /// For encrypted connections.
    deadlines: Rc<Deadlines>,
    buffers: Rc<Buffers>,
}

impl Shared {
    fn new(options: Rc<Options>) -> Self {
        let replay_closes = options.replay.as_deref().is_some_and(wire::replay_closes);
        let (stats, deadlines, buffers) = Default::default();
        Self { options, replay_closes, stats, deadlines, buffers }
    }
}

/// What `/mock/stats` tells.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections accepted since the start.
    pub accepted: Cell<u64>,
    /// Connections open now.
    pub open: Cell<u64>,
    /// Requests whose head was read.
    pub requests: Cell<u64>,
    /// Answers the peer did not wait for.
    pub aborted: Cell<u64>,
}

impl Stats {
    /// Appends the numbers as JSON.
    pub fn write(&self, out: &mut Vec<u8>) {
        let counters = [
            (&b"{\"accepted\":"[..], &self.accepted),
            (b",\"open\":", &self.open),
            (b",\"requests\":", &self.requests),
            (b",\"aborted_by_peer\":", &self.aborted),
        ];
        for (name, counter) in counters {
            put(out, &[name]);
            decimal(out, counter.get());
        }
        put(out, &[b"}"]);
    }
}

/// Adds one to a counter and says what it is now.
pub fn count(counter: &Cell<u64>) -> u64 {
    counter.set(counter.get() + 1);
    counter.get()
}

/// An open connection in the counters.
struct Open(Rc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        let open = &self.0.stats.open;
        open.set(open.get().saturating_sub(1));
    }
}

async fn connection(stream: TcpStream, shared: Rc<Shared>) {
    count(&shared.stats.accepted);
    count(&shared.stats.open);
    let _open = Open(shared.clone());
    // An error here is a connection that has ended already.
    let _ = talk(stream, shared).await;
}

async fn talk(stream: TcpStream, shared: Rc<Shared>) -> io::Result<()> {
    use monoio::io::Splitable as _;

    stream.set_nodelay(true)?;
    // On io_uring a non-blocking socket fails where it should wait.
    stream.set_nonblocking(monoio::utils::is_legacy())?;
    let handle = stream.try_clone()?;
    let stream = monoio::net::TcpStream::from_std(stream)?;
    let (mut reader, mut writer) = match &shared.options.tls {
        None => {
            let (reader, writer) = stream.into_split();
            (Reader::Plain(reader), Writer::Plain(writer))
        }
        Some(config) => {
            let (inlet, outlet) = split(Stream::Tcp(stream), Side::Client, &shared.deadlines, &shared.buffers);
            let (inlet, outlet) = tls::accept(inlet, outlet, config).await.map_err(io::Error::from)?;
            (Reader::Tls(inlet), Writer::Tls(outlet))
        }
    };
    let inbox = Inbox::default();
    let talk = Talk::new(&inbox, &mut writer, &handle, shared).run();
    if both(&inbox, inbox.pump(&mut reader), talk).await == End::Reset {
        socket2::SockRef::from(&handle).set_linger(Some(Duration::ZERO))?;
        // A writing half that is dropped alone sends a FIN, and the peer would see that before the reset.
        match (reader, writer) {
            (Reader::Plain(reader), Writer::Plain(writer)) => drop(reader.reunite(writer)),
            (Reader::Tls(inlet), Writer::Tls(outlet)) => abort(inlet, outlet),
            _ => {}
        }
    }
    Ok(())
}
