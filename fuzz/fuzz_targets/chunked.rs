//! A chunked body: any split gives the same payload, cuts and end, and what is kept is a chunked body of its own.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidestream::http::chunked::{ChunkDecoder, ChunkError, Piece};

#[derive(Debug, PartialEq)]
struct Walk {
    data: Vec<u8>,
    cut: Vec<u8>,
    kept: Vec<u8>,
    end: Result<bool, ChunkError>,
}

fn walk<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Walk {
    let (mut data, mut cut, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    let (mut decoder, mut end) = (ChunkDecoder::default(), Ok(false));
    for part in parts {
        let mut at = 0;
        let outcome = decoder.push(part, |piece| match piece {
            Piece::Data(range) => data.extend_from_slice(&part[range]),
            Piece::Cut(range) => {
                kept.extend_from_slice(&part[at..range.start]);
                at = range.end;
                cut.extend_from_slice(&part[range]);
            }
        });
        end = outcome.map(|progress| progress.done);
        let Ok(progress) = outcome else {
            kept.clear();
            break;
        };
        kept.extend_from_slice(&part[at..progress.consumed]);
    }
    Walk { data, cut, kept, end }
}

fuzz_target!(|data: &[u8]| {
    let Some((&stride, body)) = data.split_first() else {
        return;
    };
    let whole = walk([body].into_iter());
    assert_eq!(whole, walk(body.chunks(1).chain([b"".as_slice()])));
    assert_eq!(whole, walk(body.chunks(usize::from(stride) + 1).chain([b"".as_slice()])));
    if whole.end == Ok(true) {
        let again = walk([whole.kept.as_slice()].into_iter());
        assert_eq!((again.end, again.data, again.cut.len()), (whole.end, whole.data, 0));
        assert_eq!(again.kept, whole.kept);
    }
});
