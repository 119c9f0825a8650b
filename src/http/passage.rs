//! A body on its way from one leg to the other, in the framing that the other leg wants.

use std::ops::Range;

use super::body::BodyReader;
use super::chunked::{ChunkError, LAST_CHUNK, Piece, write_chunk};
use super::framing::Framing;
use super::head::Version;

/// How the body leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it came, chunk sizes included; only extensions and trailers are cut out.
    Verbatim,
    /// The payload alone: for a buffer, or for HTTP/1.0, where the end of the connection ends the body.
    Payload,
    /// The payload, put into chunks: it came without an end of its own.
    Chunked,
}

/// What became of one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// `input[..n]` goes on as it stands, nothing was copied.
    AsIs(usize),
    /// `n` bytes were read; what goes on was appended to the output.
    Written(usize),
}

impl Passed {
    /// Bytes of the input that belonged to the body.
    pub fn consumed(self) -> usize {
        let (Self::AsIs(consumed) | Self::Written(consumed)) = self;
        consumed
    }
}

/// One body under way.
#[derive(Debug)]
pub struct Passage {
    reader: BodyReader,
    form: Form,
}

impl Passage {
    /// A body framed by `framing` that leaves in `form`.
    pub fn new(framing: Framing, form: Form) -> Self {
        Self { reader: BodyReader::new(framing), form }
    }

    /// The form in which a body framed by `framing` reaches a peer of this version.
    pub fn form(framing: Framing, version: Version) -> Form {
        match (framing, version) {
            (Framing::Chunked, Version::Http10) => Form::Payload,
            (Framing::UntilClose, Version::Http11) => Form::Chunked,
            _ => Form::Verbatim,
        }
    }

    /// Takes the next bytes of the connection. `payload` sees the body's content, in order.
    ///
    /// # Errors
    /// The chunked coding is broken; nothing of this input may be forwarded.
    pub fn pass(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        mut payload: impl FnMut(&[u8]),
    ) -> Result<Passed, ChunkError> {
        let bytes = |range: Range<usize>| input.get(range).unwrap_or_default();
        let form = self.form;
        let before = out.len();
        // In `Verbatim`: what follows the last cut. Nothing is copied before the first one.
        let mut kept_from = None;
        let progress = self.reader.push(input, |piece| match (piece, form) {
            (Piece::Data(range), Form::Verbatim) => payload(bytes(range)),
            (Piece::Data(range), Form::Payload) => {
                out.extend_from_slice(bytes(range.clone()));
                payload(bytes(range));
            }
            (Piece::Data(range), Form::Chunked) => {
                write_chunk(out, bytes(range.clone()));
                payload(bytes(range));
            }
            (Piece::Cut(range), Form::Verbatim) => {
                out.extend_from_slice(bytes(kept_from.unwrap_or(0)..range.start));
                kept_from = Some(range.end);
            }
            (Piece::Cut(_), _) => {}
        });
        let progress = progress.inspect_err(|_| out.truncate(before))?;
        match (form, kept_from) {
            (Form::Verbatim, None) => return Ok(Passed::AsIs(progress.consumed)),
            (Form::Verbatim, Some(from)) => out.extend_from_slice(bytes(from..progress.consumed)),
            _ => {}
        }
        Ok(Passed::Written(progress.consumed))
    }

    /// The connection ended. True if that ends the body; then `out` got what tells the peer so.
    pub fn finish(&self, out: &mut Vec<u8>) -> bool {
        let complete = self.reader.is_complete_at_eof();
        if complete && self.form == Form::Chunked {
            out.extend_from_slice(LAST_CHUNK);
        }
        complete
    }

    /// True once the body has ended by its own framing.
    pub fn is_done(&self) -> bool {
        self.reader.is_done()
    }

    /// Bytes of payload that are announced and have not come.
    pub fn announced(&self) -> u64 {
        self.reader.announced()
    }

    /// True where bytes of our own may be inserted: see [`BodyReader::is_between_chunks`].
    pub fn is_between_chunks(&self) -> bool {
        self.reader.is_between_chunks()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(framing: Framing, form: Form, reads: &[&str]) -> (String, String, bool) {
        let (mut passage, mut out, mut payload) = (Passage::new(framing, form), Vec::new(), Vec::new());
        for read in reads {
            match passage.pass(read.as_bytes(), &mut out, |bytes| payload.extend_from_slice(bytes)).unwrap() {
                Passed::AsIs(consumed) => out.extend_from_slice(&read.as_bytes()[..consumed]),
                Passed::Written(_) => {}
            }
        }
        (String::from_utf8(out).unwrap(), String::from_utf8(payload).unwrap(), passage.is_done())
    }

    #[test]
    fn bodies_leave_in_the_form_the_peer_wants() {
        for (framing, form, reads, out, payload, done) in [
            (Framing::Length(4), Form::Verbatim, &["ab", "cdEXTRA"][..], "abcd", "abcd", true),
            (Framing::Length(9), Form::Verbatim, &["abcd"], "abcd", "abcd", false),
            (Framing::Chunked, Form::Verbatim, &["2\r\nab\r\n0\r\n\r\nX"], "2\r\nab\r\n0\r\n\r\n", "ab", true),
            (
                Framing::Chunked,
                Form::Verbatim,
                &["2", ";e=1\r\nab\r\n0\r\nT: x\r\n\r\n"],
                "2\r\nab\r\n0\r\n\r\n",
                "ab",
                true,
            ),
            (Framing::Chunked, Form::Payload, &["2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"], "abc", "abc", true),
            (Framing::UntilClose, Form::Chunked, &["ab", "c"], "2\r\nab\r\n1\r\nc\r\n", "abc", false),
            (Framing::UntilClose, Form::Verbatim, &["ab", "c"], "abc", "abc", false),
            (Framing::None, Form::Verbatim, &["ignored"], "", "", true),
        ] {
            let want = (out.to_owned(), payload.to_owned(), done);
            assert_eq!(pass(framing, form, reads), want, "{framing:?} {form:?} {reads:?}");
        }
    }

    #[test]
    fn untouched_bytes_are_not_copied() {
        let mut passage = Passage::new(Framing::Chunked, Form::Verbatim);
        let mut out = Vec::new();
        assert_eq!(passage.pass(b"2\r\nab\r\n", &mut out, |_| {}).unwrap(), Passed::AsIs(7));
        assert!(out.is_empty());
    }

    #[test]
    fn the_end_of_the_connection() {
        for (framing, form, complete, end) in [
            (Framing::UntilClose, Form::Chunked, true, "0\r\n\r\n"),
            (Framing::UntilClose, Form::Verbatim, true, ""),
            (Framing::Chunked, Form::Verbatim, false, ""),
            (Framing::Length(1), Form::Verbatim, false, ""),
        ] {
            let mut out = Vec::new();
            assert_eq!(Passage::new(framing, form).finish(&mut out), complete, "{framing:?}");
            assert_eq!(out, end.as_bytes());
        }
    }
}
