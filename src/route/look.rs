//! A look into a request's body, for all that routing wants to know of it at once. Nothing is changed in it.

use super::features::{self, Features};
use super::session;
use crate::dialect::Dialect;
use crate::json::Index;

/// What a look is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// [`Seen::features`].
    pub features: bool,
    /// [`Seen::session`].
    pub session: bool,
}

/// What was seen; nothing of what was not wanted, nor of a body that the index refuses: its upstream will say why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What the request holds.
    pub features: Features,
    /// The conversation that it belongs to, by its body.
    pub session: Option<u64>,
}

/// Reads a body once. It takes about as long as reading it for a translation.
pub fn look(body: &[u8], dialect: Dialect, wanted: Wanted, index: &mut Index) -> Seen {
    let Ok(body) = index.read(body) else { return Seen::default() };
    let features = if wanted.features { features::of(body, dialect) } else { Features::default() };
    let session = if wanted.session { session::of_body(body, dialect) } else { None };
    Seen { features, session }
}
