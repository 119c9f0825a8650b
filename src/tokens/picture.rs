//! Pictures: how large they are, by their own heads, and what they count.

use super::text;

/// How a family of models counts a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pictures {
    /// Fit into 2048 × 2048, the shorter side shrunk to 768: so much for the picture, and so much for each tile of 512 × 512.
    /// With `detail: low` the first alone.
    Tiles {
        /// For the picture.
        base: u64,
        /// For each tile.
        tile: u64,
    },
    /// Patches of 32 × 32, at most so many, times a factor in thousandths.
    Patches {
        /// The most, by `detail: high`.
        high_max: u64,
        /// The most without it.
        max: u64,
        /// Thousandths.
        permille: u64,
    },
    /// One for 750 pixels, after the longer side was shrunk.
    Area {
        /// The longer side, in pixels.
        edge_max: u64,
        /// The most tokens.
        max: u64,
    },
    /// Whatever the size.
    Flat(u64),
}

/// A picture of unknown size: at an address, at the vendor, or in a format that is not known here.
pub(super) const UNKNOWN: u64 = 1600;

impl Pictures {
    /// What a picture counts. `low` and `high` are what the client asked for in `detail`.
    pub fn tokens(self, size: Option<Size>, detail: Option<&[u8]>) -> u64 {
        let low = detail == Some(b"low");
        let Some(Size { width, height }) = size else {
            return match self {
                Self::Tiles { base, .. } if low => base,
                Self::Flat(tokens) => tokens,
                _ => UNKNOWN,
            };
        };
        match self {
            Self::Tiles { base, .. } if low => base,
            Self::Tiles { base, tile } => base + tile * tiles(width, height),
            Self::Patches { high_max, max, permille } => {
                let max = if detail == Some(b"high") { high_max } else { max };
                let patches = width.div_ceil(32) * height.div_ceil(32);
                (patches.min(max) * permille).div_ceil(1000)
            }
            Self::Area { edge_max, max } => {
                let edge = width.max(height).max(edge_max);
                let (width, height) = (width * edge_max / edge, height * edge_max / edge);
                (width * height).div_ceil(750).clamp(1, max)
            }
            Self::Flat(tokens) => tokens,
        }
    }
}

fn tiles(width: u64, height: u64) -> u64 {
    let longer = width.max(height).max(2048);
    let (width, height) = (width * 2048 / longer, height * 2048 / longer);
    let shorter = width.min(height).max(768);
    let (width, height) = (width * 768 / shorter, height * 768 / shorter);
    width.div_ceil(512).max(1) * height.div_ceil(512).max(1)
}

/// A picture's size in pixels: each side up to 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub width: u64,
    pub height: u64,
}

/// The size of a picture in base64, as far as its head tells. Only the head is decoded.
pub(super) fn size(base64: &[u8]) -> Option<Size> {
    /// Room for the head of every format but JPEG, whose size stands behind what the camera had to say.
    const HEAD: usize = 48;
    /// Thumbnails, colour profiles and notes of a camera: 64 KiB each, rarely more than a few.
    const JPEG_HEAD: usize = 512 * 1024;
    let head = text::base64_prefix(base64, HEAD);
    match head.starts_with(&[0xFF, 0xD8]) {
        true => jpeg(&text::base64_prefix(base64, JPEG_HEAD)),
        false => other(&head),
    }
    .filter(|size| size.width > 0 && size.height > 0)
}

/// PNG (ISO 15948 §11.2.1), GIF (87a, 89a), WebP (RFC 9649 §2).
fn other(head: &[u8]) -> Option<Size> {
    let big = |at| head.get(at..).and_then(|rest| rest.first_chunk()).map(|four| u64::from(u32::from_be_bytes(*four)));
    let two = |at| head.get(at..).and_then(|rest| rest.first_chunk()).map(|two| u64::from(u16::from_le_bytes(*two)));
    let three = |at| Some(two(at)? | u64::from(*head.get(at + 2)?) << 16);
    let (width, height) = match head {
        [0x89, b'P', b'N', b'G', ..] => (big(16)?, big(20)?),
        [b'G', b'I', b'F', b'8', ..] => (two(6)?, two(8)?),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', form @ ..] => match form {
            // A key frame's start code goes before (RFC 6386 §9.1); the two upper bits are the scale.
            [b'V', b'P', b'8', b' ', ..] => (two(26)? & 0x3FFF, two(28)? & 0x3FFF),
            [b'V', b'P', b'8', b'L', ..] => {
                let bits = two(21)? | two(23)? << 16;
                ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
            }
            [b'V', b'P', b'8', b'X', ..] => (three(24)? + 1, three(27)? + 1),
            _ => return None,
        },
        _ => return None,
    };
    Some(Size { width, height })
}

/// The first frame header (ITU T.81 §B.2.2) behind any number of other segments.
fn jpeg(head: &[u8]) -> Option<Size> {
    let mut rest = head.get(2..)?;
    loop {
        // Fill bytes may go before a marker.
        let begin = rest.iter().position(|byte| *byte != 0xFF)?;
        let [marker, after @ ..] = rest.get(begin..)? else { return None };
        rest = match (marker, after) {
            // SOF0 to SOF15, without the tables DHT, JPG and DAC that lie between.
            (0xC0..=0xCF, [_, _, _, h1, h2, w1, w2, ..]) if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
                let side = |high: &u8, low: &u8| u64::from(u16::from_be_bytes([*high, *low]));
                return Some(Size { width: side(w1, w2), height: side(h1, h2) });
            }
            // Markers without a segment.
            (0x01 | 0xD0..=0xD8, _) => after,
            // The picture's data begin, and there was no frame.
            (0xD9 | 0xDA, _) => return None,
            (_, [high, low, ..]) => after.get(usize::from(u16::from_be_bytes([*high, *low])).max(2)..)?,
            _ => return None,
        };
    }
}
