//! Names of fields, told apart by a few of their bits before they are compared.
//!
//! Of every message every field is asked for a dozen names, and nearly always the answer is no.

/// A few bits of a field's name, in any case: names whose marks differ are different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u8);

impl Mark {
    /// The mark of a name.
    #[inline]
    pub const fn of(name: &[u8]) -> Self {
        let (Some(first), Some(last)) = (name.first(), name.last()) else { return Self(0) };
        // In ASCII the bit 0x20 is the case of a letter; in a token it tells no other two bytes apart that matter here.
        let mixed = (name.len() as u8).wrapping_mul(7) ^ (*first | 0x20) ^ (*last | 0x20).wrapping_mul(5);
        Self(mixed & (u64::BITS as u8 - 1))
    }

    /// The mark as a bit of a set.
    #[inline]
    pub(super) const fn bit(self) -> u64 {
        1 << self.0
    }
}

/// A field's name, and its mark.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    text: &'a [u8],
    mark: Mark,
}

impl<'a> Name<'a> {
    /// A name of a head, whose mark is known.
    pub(super) fn marked(text: &'a [u8], mark: Mark) -> Self {
        Self { text, mark }
    }

    /// The name as it was written.
    pub fn as_bytes(self) -> &'a [u8] {
        self.text
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for Name<'a> {
    fn from(text: &'a T) -> Self {
        let text = text.as_ref();
        Self { text, mark: Mark::of(text) }
    }
}

/// A fixed set of names, in lower case.
///
/// ```
/// use sidestream::http::head::Names;
///
/// const HOP_BY_HOP: Names<2> = Names::new(["te", "trailer"]);
/// assert!(HOP_BY_HOP.contains(b"Trailer") && !HOP_BY_HOP.contains(b"trailers"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Names<const N: usize> {
    names: [&'static str; N],
    marks: u64,
}

impl<const N: usize> Names<N> {
    /// The set of these names.
    #[expect(clippy::indexing_slicing, reason = "no iterators in constants; the place is below N")]
    pub const fn new(names: [&'static str; N]) -> Self {
        let (mut marks, mut place) = (0, 0);
        while place < N {
            marks |= Mark::of(names[place].as_bytes()).bit();
            place += 1;
        }
        Self { names, marks }
    }

    /// Whether a name, in any case, is one of the set.
    #[inline]
    pub fn contains<'a>(&self, name: impl Into<Name<'a>>) -> bool {
        let name = name.into();
        self.marks & name.mark.bit() != 0 && self.finds(name.text)
    }

    /// The names, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &'static str> {
        self.names.into_iter()
    }

    fn finds(&self, name: &[u8]) -> bool {
        self.names.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_set_holds_its_names_in_any_case() {
        const SET: Names<4> = Names::new(["te", "content-length", "x-api-key", "x"]);
        for name in ["te", "TE", "Content-Length", "CONTENT-LENGTH", "x-api-key", "X"] {
            assert!(SET.contains(name.as_bytes()), "{name}");
        }
        for name in ["", "t", "te ", "content_length", "content-lengtx", "x-api-kex", "y", "\u{e9}"] {
            assert!(!SET.contains(name.as_bytes()), "{name}");
        }
        assert!(!Names::new([]).contains(b""));
    }

    proptest! {
        #[test]
        fn names_that_are_the_same_have_the_same_mark(name in "[!#$%&'*+.^_`|~0-9A-Za-z-]{0,40}") {
            let marks = [&name, &name.to_ascii_lowercase(), &name.to_ascii_uppercase()].map(|name| Mark::of(name.as_bytes()));
            prop_assert_eq!(marks[0], marks[1]);
            prop_assert_eq!(marks[0], marks[2]);
        }
    }
}
