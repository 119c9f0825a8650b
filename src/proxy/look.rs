//! A look into a request's body, before it is planned where the request goes.

use super::aside::aside;
use super::job::Work;
use super::world::World;
use crate::dialect::Dialect;
use crate::fault::Fault;
use crate::json::Index;
use crate::limits;
use crate::route::look::{Seen, Wanted, look};

/// Puts into `work.features` what the body holds that rules ask for.
///
/// # Errors
/// 503: too many large bodies wait to be looked into.
pub async fn inside(world: &World, dialect: Dialect, work: &mut Work) -> Result<(), Fault> {
    let seen = look_at(world, dialect, Wanted { features: true, session: false }, work).await?;
    work.features = seen.features;
    work.features.tokens = world.body_tokens.borrow().estimate(&work.model, seen.features.text_bytes);
    work.looked_for.clone_from(&work.model);
    Ok(())
}

/// Puts into the record what the body says of its conversation.
///
/// # Errors
/// 503: too many large bodies wait to be looked into.
pub async fn for_session(world: &World, dialect: Dialect, work: &mut Work) -> Result<(), Fault> {
    work.record.session = look_at(world, dialect, Wanted { features: false, session: true }, work).await?.session;
    Ok(())
}

async fn look_at(world: &World, dialect: Dialect, wanted: Wanted, work: &mut Work) -> Result<Seen, Fault> {
    Ok(if work.body.len() <= limits::TRANSLATED_AT_ONCE_BYTES_MAX {
        let mut index = world.bodies.borrow_mut();
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
    })
}
