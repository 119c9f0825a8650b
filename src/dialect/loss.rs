//! What a translation could not carry over.

use std::borrow::Cow;

use super::raw;
use crate::json::{Kind, Value, text};
use crate::limits;

/// One thing that was not carried over as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Where it stood, as names joined with dots, without array places: `messages.content.cache_control`.
    pub path: Cow<'static, str>,
    /// What became of it.
    pub what: LossKind,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LossKind {
    /// It is gone.
    Dropped,
    /// Something near to it stands in its place.
    Approximated,
    /// The other dialect demands something that was not there.
    Invented,
}

/// Losses in the order found, each once; at most [`limits::LOSSES_MAX`], the rest is counted.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    list: Vec<Loss>,
    /// So many more were not kept.
    pub more: u32,
}

impl Losses {
    /// It is gone.
    pub fn dropped(&mut self, path: impl Into<Cow<'static, str>>) {
        self.add(path.into(), LossKind::Dropped);
    }

    /// Something near to it stands in its place.
    pub fn approximated(&mut self, path: impl Into<Cow<'static, str>>) {
        self.add(path.into(), LossKind::Approximated);
    }

    /// The other dialect demands something that was not there.
    pub fn invented(&mut self, path: impl Into<Cow<'static, str>>) {
        self.add(path.into(), LossKind::Invented);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Loss> {
        self.list.iter()
    }

    /// Nothing was lost.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.list.clear();
        self.more = 0;
    }

    /// Takes all of another list's.
    pub fn append(&mut self, others: &mut Losses) {
        for Loss { path, what } in others.list.drain(..) {
            self.add(path, what);
        }
        self.more += std::mem::take(&mut others.more);
    }

    fn add(&mut self, path: Cow<'static, str>, what: LossKind) {
        let known = self.list.iter().any(|loss| loss.what == what && loss.path == path);
        match self.list.len() < limits::LOSSES_MAX {
            _ if known => {}
            true => self.list.push(Loss { path, what }),
            false => self.more = self.more.saturating_add(1),
        }
    }
}

impl LossKind {
    /// Name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Approximated => "approximated",
            Self::Invented => "invented",
        }
    }
}

/// The path of what has no word: `parent` and a name of the upstream's, unless that is none that a log should show.
pub fn path(parent: &'static str, name: Option<&[u8]>) -> Cow<'static, str> {
    const NAME_BYTES_MAX: usize = 64;
    let is_shown = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let name = name.filter(|name| !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.iter().all(is_shown));
    match (parent, name.and_then(|name| str::from_utf8(name).ok())) {
        (parent, None) => Cow::Borrowed(parent),
        (parent, Some(name)) => Cow::Owned(format!("{parent}.{name}")),
    }
}

/// A key, decoded only where it holds escapes.
pub(in crate::dialect) fn name_of<'a>(key: &Value<'a>) -> Cow<'a, [u8]> {
    let escaped = key.escaped().unwrap_or_default();
    if memchr::memchr(b'\\', escaped).is_none() {
        return Cow::Borrowed(escaped);
    }
    let mut plain = Vec::new();
    text::decode_lossy(escaped, &mut plain);
    Cow::Owned(plain)
}

/// Records members that are not among the known ones as losses, but for those that say nothing.
pub(in crate::dialect) fn rest(value: &Value<'_>, path: &str, known: &[&str], losses: &mut Losses) {
    for (key, value) in value.members() {
        let name = name_of(&key);
        if !known.iter().any(|known| known.as_bytes() == &*name) && !says_nothing(&value) {
            losses.dropped(format!("{path}.{}", raw::printable(&name)));
        }
    }
}

/// A value that is as good as absent.
pub(in crate::dialect) fn says_nothing(value: &Value<'_>) -> bool {
    match value.kind() {
        Kind::Null | Kind::False => true,
        Kind::Array => value.items().next().is_none(),
        Kind::Object => value.members().next().is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_once_and_bounded() {
        let mut losses = Losses::default();
        losses.dropped("metadata");
        losses.dropped("metadata");
        losses.approximated("metadata");
        assert_eq!(losses.iter().count(), 2);
        (0..limits::LOSSES_MAX).for_each(|place| losses.invented(format!("field{place}")));
        assert_eq!((losses.iter().count(), losses.more), (limits::LOSSES_MAX, 2));
    }
}
