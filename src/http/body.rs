//! Walks a body of any framing.

use super::chunked::{ChunkDecoder, ChunkError, Piece, Progress};
use super::framing::Framing;

/// Reads one body to its end, piece by piece. The contract of the pieces is that of [`ChunkDecoder`].
#[derive(Debug)]
pub struct BodyReader(State);

#[derive(Debug)]
enum State {
    Length { left: u64 },
    Chunked(ChunkDecoder),
    UntilClose,
}

impl BodyReader {
    /// A reader at the first byte after the head.
    pub fn new(framing: Framing) -> BodyReader {
        BodyReader(match framing {
            Framing::None => State::Length { left: 0 },
            Framing::Length(left) => State::Length { left },
            Framing::Chunked => State::Chunked(ChunkDecoder::default()),
            Framing::UntilClose => State::UntilClose,
        })
    }

    /// Reads on; a body that has ended takes nothing more. Only a chunked body can be wrong.
    pub fn push(&mut self, input: &[u8], mut piece: impl FnMut(Piece)) -> Result<Progress, ChunkError> {
        let consumed = match &mut self.0 {
            State::Chunked(decoder) => return decoder.push(input, piece),
            State::Length { left } => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= taken as u64;
                taken
            }
            State::UntilClose => input.len(),
        };
        if consumed > 0 {
            piece(Piece::Data(0..consumed));
        }
        Ok(Progress { consumed, done: self.is_done() })
    }

    /// True once the framed end was read. Never true for a body that ends with its connection.
    pub fn is_done(&self) -> bool {
        match &self.0 {
            State::Length { left } => *left == 0,
            State::Chunked(decoder) => decoder.is_done(),
            State::UntilClose => false,
        }
    }

    /// Whether the body is whole if the connection ends here (RFC 9112 §8). For a body that ends with its connection the
    /// caller must also know that the end was orderly.
    pub fn is_complete_at_eof(&self) -> bool {
        self.is_done() || matches!(self.0, State::UntilClose)
    }

    /// True where bytes of our own could stand: between two chunks ([`ChunkDecoder::is_between_chunks`]), anywhere in a
    /// body that ends with its connection, and nowhere in one of announced length.
    pub fn is_between_chunks(&self) -> bool {
        match &self.0 {
            State::Length { .. } => false,
            State::Chunked(decoder) => decoder.is_between_chunks(),
            State::UntilClose => true,
        }
    }

    /// Bytes of payload that are announced and have not come: of the current chunk, or of the whole body.
    pub fn announced(&self) -> u64 {
        match &self.0 {
            State::Length { left } => *left,
            State::Chunked(decoder) => decoder.announced(),
            State::UntilClose => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::splits::walk;

    #[test]
    fn every_framing_ends_where_it_says() {
        // framing, input, consumed, done, payload, complete if the connection ended here
        type Case = (Framing, &'static [u8], usize, bool, &'static [u8], bool);
        let cases: &[Case] = &[
            (Framing::None, b"next", 0, true, b"", true),
            (Framing::Length(0), b"next", 0, true, b"", true),
            (Framing::Length(2), b"{}next", 2, true, b"{}", true),
            (Framing::Length(9), b"{}", 2, false, b"{}", false),
            (Framing::Length(u64::MAX), b"{}", 2, false, b"{}", false),
            (Framing::Chunked, b"2\r\n{}\r\n0\r\n\r\nnext", 12, true, b"{}", true),
            (Framing::Chunked, b"2\r\n{}\r\n0\r\n", 10, false, b"{}", false),
            (Framing::UntilClose, b"{}", 2, false, b"{}", true),
            (Framing::UntilClose, b"", 0, false, b"", true),
        ];
        for (framing, input, consumed, done, payload, complete) in cases {
            let mut reader = BodyReader::new(*framing);
            let walk = walk(&[input], |part, piece| reader.push(part, piece));
            assert_eq!(walk.end, Ok((*consumed, *done)), "{framing:?}");
            assert_eq!(walk.data, *payload, "{framing:?}");
            assert_eq!(reader.is_done(), *done, "{framing:?}");
            assert_eq!(reader.is_complete_at_eof(), *complete, "{framing:?}");
        }
    }

    #[test]
    fn announced() {
        let mut reader = BodyReader::new(Framing::Length(10));
        reader.push(b"abc", |_| ()).unwrap();
        assert_eq!(reader.announced(), 7);
        let mut reader = BodyReader::new(Framing::Chunked);
        reader.push(b"ff\r\nabc", |_| ()).unwrap();
        assert_eq!(reader.announced(), 252);
    }
}
