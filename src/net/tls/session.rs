//! One connection's TLS, shared by its two halves: bytes in, bytes out. Nothing here waits, and nothing is borrowed across
//! an await; the socket is used for a look and a good-bye only.

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead as _, Write as _};
use std::ops::ControlFlow;
use std::rc::Rc;

use rustls::{Connection, HandshakeKind};

use super::super::buffers::Buffers;
use super::super::sys::{Pulse, Socket};
use super::TlsError;
use crate::limits;

/// A read's result and its buffer.
pub type Received = (io::Result<usize>, Vec<u8>);

/// The state of an encrypted connection.
pub struct Tls {
    connection: RefCell<Connection>,
    socket: Socket,
    buffers: Rc<Buffers>,
    /// The handshake is not over: whatever comes is news for whoever drives it.
    shaking: Cell<bool>,
    inward: RefCell<Inward>,
    records: Cell<Records>,
    /// Plaintext that came when nobody was receiving: behind a handshake, or to a look at an idle connection.
    early: RefCell<Vec<u8>>,
    /// What the receiver wants its plaintext appended to, while the ciphertext is being waited for.
    waiting: RefCell<Vec<u8>>,
    /// Reads in a row that brought no plaintext.
    barren: Cell<u32>,
    outward: Cell<Outward>,
    outgoing: RefCell<Outgoing>,
}

/// What is left of the peer's side.
enum Inward {
    Open,
    /// It said so (`close_notify`).
    Closed,
    Failed(rustls::Error),
}

/// Where our side stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outward {
    /// Between two sends.
    Open,
    /// In one: what is on the wire may end within a record.
    Busy,
    /// Nothing more may be said.
    Ended,
}

/// What a send has still to encrypt. It waits here so that the future of a plain send needs no room for it.
#[derive(Default)]
struct Outgoing {
    plain: Vec<u8>,
    from: usize,
    to: usize,
}

impl Tls {
    /// `socket` carries the connection, and is open for as long as one of the halves that share this lives.
    pub fn new(connection: Connection, socket: Socket, buffers: &Rc<Buffers>) -> Self {
        Self {
            connection: RefCell::new(connection),
            socket,
            buffers: buffers.clone(),
            shaking: Cell::new(true),
            inward: RefCell::new(Inward::Open),
            records: Cell::default(),
            early: RefCell::default(),
            waiting: RefCell::default(),
            barren: Cell::new(0),
            outward: Cell::new(Outward::Open),
            outgoing: RefCell::default(),
        }
    }

    /// The handshake is not over.
    pub fn is_handshaking(&self) -> bool {
        self.connection.borrow().is_handshaking()
    }

    /// The handshake is over, and what it had to say is sent.
    pub fn established(&self) {
        self.shaking.set(false);
    }

    /// The handshake was short: both sides knew each other.
    pub fn is_resumed(&self) -> bool {
        self.connection.borrow().handshake_kind() == Some(HandshakeKind::Resumed)
    }

    // ── Receiving ───────────────────────────────────────────────────────────────────────────────────────────────────

    /// Takes the receiver's buffer and gives one for ciphertext. An empty one serves for that itself, so that what waits
    /// holds no second one; one that holds bytes waits here.
    pub fn lend(&self, buffer: Vec<u8>) -> Vec<u8> {
        if buffer.is_empty() {
            return buffer;
        }
        self.waiting.replace(buffer);
        Vec::new()
    }

    /// A receiver gets an answer without a read.
    pub fn is_ready(&self) -> bool {
        !self.shaking.get() && (!self.early.borrow().is_empty() || !matches!(*self.inward.borrow(), Inward::Open))
    }

    /// What a read of ciphertext means to the receiver; `Continue` with a buffer for the next read if nothing yet: a
    /// record was not complete, or held a session ticket or a key update.
    ///
    /// All plaintext is handed out at once, so that none is hidden while the socket is waited for. `ended_by_us`: the end
    /// of the socket is our own deadline's work, and reported as it is without TLS.
    pub fn received(&self, read: Received, ended_by_us: bool) -> ControlFlow<Received, Vec<u8>> {
        let (read, mut cipher) = read;
        let mut plain = self.waiting.take();
        let before = plain.len();
        let result = match read {
            _ if self.is_ready() => self.take_ready(&mut plain),
            Err(error) => Err(error),
            Ok(0) if ended_by_us => Ok(Some(0)),
            // RFC 8446 §6.1: without `close_notify` an end proves nothing; it may cut an answer short.
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) if self.shaking.get() => {
                let mut early = self.early.borrow_mut();
                self.decrypt(&cipher, &mut early).map(|()| Some(cipher.len())).map_err(Into::into)
            }
            Ok(_) => match self.decrypt(&cipher, &mut plain) {
                // What came before an error or an end is told first; the next receive tells the rest.
                _ if plain.len() > before => Ok(Some(plain.len() - before)),
                Ok(()) if matches!(*self.inward.borrow(), Inward::Closed) => Ok(Some(0)),
                Ok(()) => Ok(None),
                Err(error) => Err(error.into()),
            },
        };
        match result.transpose() {
            Some(result) => {
                self.barren.set(0);
                self.buffers.give(cipher);
                ControlFlow::Break((result, plain))
            }
            None => {
                self.barren.set(self.barren.get().wrapping_add(1));
                self.waiting.replace(plain);
                cipher.clear();
                ControlFlow::Continue(cipher)
            }
        }
    }

    /// So many reads came to nothing that others should have their turn: a peer can send empty records for ever.
    pub fn is_tiring(&self) -> bool {
        let barren = self.barren.get();
        barren > 0 && barren.is_multiple_of(limits::TURN_READS)
    }

    fn take_ready(&self, plain: &mut Vec<u8>) -> io::Result<Option<usize>> {
        let early = self.early.take();
        if !early.is_empty() {
            let count = early.len();
            if plain.is_empty() {
                *plain = early;
            } else {
                plain.extend_from_slice(&early);
            }
            return Ok(Some(count));
        }
        match &*self.inward.borrow() {
            Inward::Failed(error) => Err(TlsError::new(error.clone(), None).into()),
            Inward::Open | Inward::Closed => Ok(Some(0)),
        }
    }

    /// Feeds ciphertext and appends the plaintext of every record that is complete. `plain` is taken from the free list
    /// only if there is some.
    fn decrypt(&self, cipher: &[u8], plain: &mut Vec<u8>) -> Result<(), TlsError> {
        let mut records = self.records.get();
        records.pass(cipher);
        self.records.set(records);
        let mut connection = self.connection.borrow_mut();
        let mut rest = cipher;
        while !rest.is_empty() {
            // rustls takes 4 KiB at a time, and nothing behind a `close_notify`.
            let read = connection.read_tls(&mut rest).map_err(|error| rustls::Error::General(error.to_string()));
            let processed = read.and_then(|read| connection.process_new_packets().map(|state| (read, state)));
            let (read, state) = match processed {
                Ok(processed) => processed,
                Err(error) => {
                    self.inward.replace(Inward::Failed(error.clone()));
                    return Err(TlsError::new(error, self.shaking.get().then_some(cipher)));
                }
            };
            if state.plaintext_bytes_to_read() > 0 {
                if plain.capacity() == 0 {
                    *plain = self.buffers.take();
                }
                drain(&mut connection, plain);
            }
            if state.peer_has_closed() {
                self.inward.replace(Inward::Closed);
            }
            if read == 0 {
                break;
            }
        }
        Ok(())
    }

    /// A look at an idle connection, see [`super::super::stream::Inlet::pulse`]. A peer that has more to say than fits
    /// into a few reads, if only tickets, counts as talking: it could keep this worker busy for ever.
    pub fn pulse(&self) -> Pulse {
        let mut cipher = self.buffers.take();
        let mut reads = 0;
        let pulse = loop {
            if reads == limits::LOOK_READS_MAX || !self.early.borrow().is_empty() {
                break Pulse::Talks;
            }
            if !matches!(*self.inward.borrow(), Inward::Open) {
                break Pulse::Dead;
            }
            cipher.clear();
            reads += 1;
            match self.socket.receive_now(&mut cipher, limits::READ_BYTES_MAX) {
                Ok(0) => break Pulse::Dead,
                Ok(_) => {
                    let mut early = self.early.borrow_mut();
                    if self.decrypt(&cipher, &mut early).is_err() {
                        break Pulse::Dead;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    break if self.records.get().is_whole() { Pulse::Quiet } else { Pulse::Talks };
                }
                Err(_) => break Pulse::Dead,
            }
        };
        self.buffers.give(cipher);
        pulse
    }

    // ── Sending ─────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Begins a send. Behind one that was given up nothing can be sent: its last record may be torn.
    /// Gives the buffer for [`Tls::seal`].
    pub fn stage(&self, plain: Vec<u8>, from: usize, to: usize) -> Vec<u8> {
        self.outgoing.replace(Outgoing { plain, from, to });
        self.outward.set(if self.outward.get() == Outward::Open { Outward::Busy } else { Outward::Ended });
        self.buffers.take()
    }

    /// The next piece of ciphertext, in `cipher`: what the session itself has to say, then records of the staged bytes.
    /// Empty when everything is out.
    pub fn seal(&self, mut cipher: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        cipher.clear();
        (self.seal_into(&mut cipher), cipher)
    }

    fn seal_into(&self, cipher: &mut Vec<u8>) -> io::Result<()> {
        if self.outward.get() == Outward::Ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut connection = self.connection.borrow_mut();
        let mut outgoing = self.outgoing.borrow_mut();
        loop {
            while connection.wants_write() {
                connection.write_tls(cipher)?;
            }
            let Outgoing { plain, from, to } = &mut *outgoing;
            let rest = plain.get(*from..*to).unwrap_or_default();
            if rest.is_empty() || cipher.len() >= limits::TLS_PIECE_BYTES {
                return Ok(());
            }
            let record = rest.get(..limits::TLS_RECORD_BYTES).unwrap_or(rest);
            match connection.writer().write(record)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                taken => *from += taken,
            }
        }
    }

    /// Ends a send and gives the caller's buffer back. After a failure nothing more can be said.
    pub fn staged(&self, ok: bool, cipher: Vec<u8>) -> Vec<u8> {
        self.buffers.give(cipher);
        self.outward.set(if ok { Outward::Open } else { Outward::Ended });
        self.outgoing.take().plain
    }

    /// Says good-bye, if that is possible: after a failure the alert that tells why, else `close_notify`. It
    /// does not wait: a peer that takes nothing gets nothing.
    pub fn farewell(&self) {
        if self.outward.replace(Outward::Ended) != Outward::Open {
            return;
        }
        let mut connection = self.connection.borrow_mut();
        if !self.shaking.get() && !matches!(*self.inward.borrow(), Inward::Failed(_)) {
            connection.send_close_notify();
        }
        let mut cipher = self.buffers.take();
        while connection.wants_write() {
            if connection.write_tls(&mut cipher).is_err() {
                return;
            }
        }
        if !cipher.is_empty() {
            // What the kernel does not take is lost: it is a farewell.
            let _ = self.socket.send_now(&cipher);
        }
        self.buffers.give(cipher);
    }

    /// Nothing more is said, not even good-bye.
    pub fn mute(&self) {
        self.outward.set(Outward::Ended);
    }
}

/// Appends all plaintext that rustls holds.
fn drain(connection: &mut Connection, plain: &mut Vec<u8>) {
    let mut reader = connection.reader();
    while let Ok(chunk) = reader.fill_buf() {
        let count = chunk.len();
        if count == 0 {
            return;
        }
        plain.extend_from_slice(chunk);
        reader.consume(count);
    }
}

/// Follows the frames of the records that the peer sent (RFC 8446 §5.1): five bytes, the last two of them the length of
/// what comes. rustls does not tell whether it holds the beginning of one.
#[derive(Clone, Copy, Default)]
struct Records {
    /// Bytes of a header that came.
    header: u8,
    /// Its length so far; of a complete header, what is still to come.
    length: u16,
}

const HEADER_BYTES: u8 = 5;

impl Records {
    fn pass(&mut self, mut bytes: &[u8]) {
        while let [byte, rest @ ..] = bytes {
            if self.header == HEADER_BYTES {
                let body = bytes.len().min(usize::from(self.length));
                self.length -= body as u16;
                bytes = bytes.get(body..).unwrap_or_default();
            } else {
                self.header += 1;
                if self.header + 2 > HEADER_BYTES {
                    self.length = (self.length << 8) | u16::from(*byte);
                }
                bytes = rest;
            }
            if self.header == HEADER_BYTES && self.length == 0 {
                self.header = 0;
            }
        }
    }

    /// The last record is complete.
    fn is_whole(self) -> bool {
        self.header == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_whole_exactly_at_its_end() {
        let records = [&[22, 3, 1, 0, 3, 1, 2, 3][..], &[23, 3, 3, 0, 0], &[23, 3, 3, 1, 2], &[7; 258]].concat();
        let whole: Vec<usize> = (0..=records.len())
            .filter(|end| {
                let mut seen = Records::default();
                seen.pass(&records[..*end]);
                seen.is_whole()
            })
            .collect();
        assert_eq!(whole, [0, 8, 13, records.len()]);
        for split in 0..records.len() {
            let mut seen = Records::default();
            seen.pass(&records[..split]);
            seen.pass(&records[split..]);
            assert!(seen.is_whole(), "{split}");
        }
    }
}
