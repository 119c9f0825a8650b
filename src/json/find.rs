//! Searches many bytes of a text at a time.

use wide::u8x16;

/// The next byte of a string's text that is a quote, a backslash, or one that RFC 8259 §7 wants escaped: where, and the
/// input from there.
///
/// Text with an escape in every line, as code has, comes in runs of some dozen bytes, and most keys are shorter: what is
/// searched for is found a few instructions after the call, or in each block on the way to it.
pub(super) fn find_stop(input: &[u8], at: usize) -> Option<(usize, &[u8])> {
    let mut at = at;
    let (blocks, tail) = input.get(at..)?.as_chunks::<BLOCK>();
    let mut stops = 0;
    for block in blocks {
        stops = stops_in(*block);
        if stops != 0 {
            break;
        }
        at += BLOCK;
    }
    if stops == 0 {
        // Spaces are no stops.
        let mut last = [b' '; BLOCK];
        last.iter_mut().zip(tail).for_each(|(place, byte)| *place = *byte);
        stops = stops_in(last);
    }
    let found = (stops != 0).then(|| at + stops.trailing_zeros() as usize)?;
    Some((found, input.get(found..)?))
}

/// Bytes that are looked at at once.
pub(super) const BLOCK: usize = 16;

/// One bit for each byte at which a run of text stops, the first byte lowest.
#[inline]
fn stops_in(block: [u8; BLOCK]) -> u32 {
    !runs_in(block) & u32::from(u16::MAX)
}

/// One bit for each byte at which a run of text does not stop.
#[inline]
pub(super) fn runs_in(block: [u8; BLOCK]) -> u32 {
    const CONTROL_LAST: u8 = 0x1F;
    const QUOTE_MOVED: u8 = CONTROL_LAST + 1;
    let bytes = u8x16::new(block);
    // Bytes that differ in one bit change places when it is turned over: the quote comes to stand behind the control
    // characters, which stay among themselves. One addition has the high bit set in all that lies behind these, the
    // backslash with them, for which it is turned over once more.
    let moved = bytes ^ u8x16::splat(b'"' ^ QUOTE_MOVED);
    let behind = moved.saturating_add(u8x16::splat(0x7F - QUOTE_MOVED));
    (behind ^ bytes.simd_eq(u8x16::splat(b'\\'))).to_bitmask()
}

/// The high bit of each of eight bytes that is no digit, the first byte lowest.
pub(super) fn but_digits(word: [u8; 8]) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    // A digit's value is below 10, and 0x76 is what lacks from there to the high bit.
    let values = u64::from_le_bytes(word) ^ (ONES * u64::from(b'0'));
    (((values & !HIGHS) + ONES * 0x76) | values) & HIGHS
}

/// The place of the lowest of such bits.
pub(super) fn first_hit(hits: u64) -> Option<usize> {
    (hits != 0).then(|| hits.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_byte_at_every_place() {
        for byte in 0..=u8::MAX {
            let stops = byte < 0x20 || byte == b'"' || byte == b'\\';
            for length in [1, 2, 15, 16, 17, 31, 32, 33, 50] {
                for place in 0..length {
                    let mut text = vec![b'x'; length];
                    text[place] = byte;
                    for from in 0..=length {
                        let found = find_stop(&text, from).map(|(at, rest)| (at, rest.len()));
                        let want = (stops && from <= place).then_some((place, length - place));
                        assert_eq!(found, want, "{byte:#x} at {place} of {length}, from {from}");
                    }
                }
            }
        }
        assert!(find_stop(b"x", 2).is_none());
    }

    proptest! {
        #[test]
        fn the_first_stop(text in "[a-z \"\\\\\n\u{e9}\u{1F600}]{0,80}", from in 0usize..90) {
            let is_stop = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
            let want = text.as_bytes().get(from..).and_then(|rest| rest.iter().position(is_stop)).map(|at| from + at);
            prop_assert_eq!(find_stop(text.as_bytes(), from).map(|(at, _)| at), want);
        }

        #[test]
        fn the_first_that_is_no_digit(word: [u8; 8]) {
            prop_assert_eq!(first_hit(but_digits(word)), word.iter().position(|byte| !byte.is_ascii_digit()));
        }
    }
}
