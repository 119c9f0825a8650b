//! A look into a request's body, before it is planned where the request goes.

use super::aside::aside;
use super::job::Work;
use super::world::World;
use crate::dialect::Dialect;
use crate::fault::Fault;
use crate::json::Index;
use crate::limits;
use crate::route::look::{Wanted, look};

/// Puts into `work.features` what the body holds that rules ask for.
///
/// # Errors
/// 503: too many large bodies wait to be looked into.
pub async fn inside(world: &World, dialect: Dialect, work: &mut Work) -> Result<(), Fault> {
    let wanted = Wanted { features: true, session: false };
    let seen = if work.body.len() <= limits::TRANSLATED_AT_ONCE_BYTES_MAX {
        let mut index = world.index.borrow_mut();
        let seen = look(&work.body, dialect, wanted, &mut index);
        index.shrink(limits::INDEX_NODES_KEPT);
        seen
    } else {
        let body = std::mem::take(&mut work.body);
        let (body, seen) = aside(move || {
            let seen = look(&body, dialect, wanted, &mut Index::default());
            (body, seen)
        })
        .await?;
        work.body = body;
        seen
    };
    work.features = seen.features;
    work.features.tokens = world.body_tokens.borrow().estimate(&work.model, seen.features.text_bytes);
    work.looked_for.clone_from(&work.model);
    Ok(())
}
