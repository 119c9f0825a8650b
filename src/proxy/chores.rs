//! Claude Code's chores: which requests are answered here instead of by a model, and how the answer goes out.

use super::aside::aside;
use super::connection::{After, Client, Stop};
use super::job::Work;
use super::local::{self, Asked};
use super::reach::Errand;
use super::translate;
use super::world::World;
use crate::dialect::chores::{Answer, Chores};
use crate::dialect::endpoint;
use crate::dialect::loss::Losses;
use crate::dialect::translate::{self as dialects, Asking};
use crate::json::{Index, Kind, Value};
use crate::limits;
use crate::net::inbox::unless_gone;
use crate::tokens::estimate::text_bytes;

/// Whether a request may be a chore, as far as few words of it tell. Nearly always this is one look at the configuration.
pub fn may_be(errand: &Errand<'_>, work: &Work) -> bool {
    let chores = errand.site.config().chores;
    if chores.is_empty() || errand.path != endpoint::MESSAGES {
        return false;
    }
    let limit = work.members.get("max_tokens").and_then(|limit| work.body.get(limit.start..limit.end));
    chores.may_include(&work.body, limit == Some(b"1"))
}

/// Answers a chore. `None`: it is none, or one whose answer is not sure.
///
/// # Errors
/// The client is gone. 503: too much work waits.
pub async fn answered(
    world: &World,
    client: &mut Client<'_>,
    errand: &Errand<'_>,
    work: &mut Work,
) -> Result<Option<After>, Stop> {
    let chores = errand.site.config().chores;
    let found = if work.body.len() <= limits::TRANSLATED_AT_ONCE_BYTES_MAX {
        look(chores, &work.body)
    } else {
        let body = std::mem::take(&mut work.body);
        let looking = aside(move || {
            let found = look(chores, &body);
            (body, found)
        });
        let (body, found) =
            unless_gone(client.inbox, Box::pin(looking).as_mut()).await?.map_err(crate::fault::Fault::from)?;
        work.body = body;
        found
    };
    let Some((answer, bytes)) = found else { return Ok(None) };
    let target = work.targets.first();
    let destination = target.and_then(|target| errand.site.destinations.get(target.provider));
    let Some((target, destination)) = target.zip(destination) else { return Ok(None) };
    let model = target.rename.as_ref().unwrap_or(&work.model);
    let mut terms = translate::terms(world, errand.site, work, model);
    terms.input_estimate = world.tokens.borrow().estimate(model, bytes).max(1);
    let stream = work.members.get("stream").is_some_and(|member| member.kind == Kind::True);
    let body = dialects::said(Asking::Messages, stream, terms, &destination.provider.profile, &answer);
    world.counters.chores.add(answer.chore);
    work.record.chore = Some(answer.chore);
    let mut asked = Asked::of(errand.request);
    asked.unread = false;
    local::message(world, client, errand.request, &body, stream, asked, work).await.map(Some)
}

/// The answer, and how much text the request has.
fn look(chores: Chores, body: &[u8]) -> Option<(Answer, usize)> {
    let mut index = Index::default();
    let value = index.read(body).ok()?;
    let answer = chores.answer(value)?;
    Some((answer, measure(value)))
}

fn measure(body: Value<'_>) -> usize {
    let read = Asking::Messages.read(body, &mut Losses::default());
    read.map_or_else(|_| body.raw().len(), |request| text_bytes(&request))
}
