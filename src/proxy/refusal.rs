//! An answer that is no success, read whole: to know whether another try may help, and to be told where none did.

use std::time::Instant;

use super::ask::Answering;
use super::connection::{After, Client, Stop};
use super::deliver;
use super::incoming::Incoming;
use super::intake::Intake;
use super::job::Work;
use super::plan::Target;
use super::relay;
use super::site::{Destination, Site};
use super::translate::Translation;
use super::world::World;
use crate::dialect::Dialect;
use crate::dialect::failure::{self, Failure};
use crate::http::head::{RequestHead, ResponseHead};
use crate::limits;
use crate::net::pool::Pool;

/// See the module.
pub struct Refusal {
    response: ResponseHead,
    /// As it came; nothing of a stream.
    body: Option<Vec<u8>>,
    /// What it says, by its class.
    pub failure: Failure,
    /// Who said it.
    provider: usize,
    /// The upstream's name of the model, where the client's is another.
    rename: Option<String>,
    translation: Option<Box<Translation>>,
    /// The upstream's dialect.
    spoken: Dialect,
}

/// Reads the answer that has begun. The connection goes back to its pool, if it can be used again. The answer's head and
/// the request's translation leave `work` with it.
///
/// # Errors
/// The answer's framing is broken.
pub async fn read(
    world: &World,
    (destination, pool): (&Destination, &Pool),
    target: &Target,
    answering: Answering,
    work: &mut Work,
) -> Result<Box<Refusal>, Stop> {
    let Answering { upstream, head_bytes, sent_whole, until, .. } = answering;
    let status = work.response.status();
    let until = until.no_later_than(Instant::now() + limits::ERROR_TIME_MAX);
    let mut incoming = Incoming::new(Intake::new(destination, upstream, until), head_bytes, work)?;
    // Half of an error says more than none.
    let body = incoming.whole_or_begun(world, limits::ERROR_BYTES_MAX, work).await;
    if incoming.is_sound() && sent_whole && work.response.keep_alive() {
        pool.keep(incoming.intake.upstream);
    }
    Ok(Box::new(Refusal {
        failure: failure::read(target.dialect, status, &body),
        response: std::mem::take(&mut work.response),
        body: Some(body),
        provider: target.provider,
        rename: target.rename.clone(),
        translation: work.translation.take(),
        spoken: target.dialect,
    }))
}

/// A stream of `target`'s began with a failure. Its head and the request's translation leave `work`.
pub fn of_stream(failure: Failure, target: &Target, work: &mut Work) -> Box<Refusal> {
    Box::new(Refusal {
        failure,
        response: std::mem::take(&mut work.response),
        body: None,
        provider: target.provider,
        rename: target.rename.clone(),
        translation: work.translation.take(),
        spoken: target.dialect,
    })
}

impl Refusal {
    /// The status that the upstream answered with, or that belongs to what its stream said.
    pub fn status(&self) -> u16 {
        if self.body.is_some() { self.response.status() } else { self.failure.status(self.spoken) }
    }

    /// The body as it came; nothing of a stream.
    pub fn body(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }

    /// A field of its head.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.response.get(name)
    }
}

/// Whether a body is a page for people, as middle boxes write them.
pub fn is_page(response: &ResponseHead) -> bool {
    let kind = response.get("content-type").unwrap_or_default();
    kind.get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"text/html"))
}

/// Tells the client: in the upstream's own bytes where it speaks the client's dialect, else (and a page in any case) in the client's
/// words.
///
/// # Errors
/// The client takes no answer.
pub async fn tell(
    world: &World,
    site: &Site,
    client: &mut Client<'_>,
    request: &RequestHead,
    refusal: Box<Refusal>,
    work: &mut Work,
) -> Result<After, Stop> {
    let Refusal { response, body, mut failure, provider, rename, translation, .. } = *refusal;
    let Some(destination) = site.destinations.get(provider) else { return Err(Stop::Gone) };
    work.response = response;
    work.record.provider = Some(provider);
    work.provider = Some(destination.provider.clone());
    work.record.upstream_dialect = translation.as_ref().map(|translation| translation.upstream);
    work.record.first_byte = work.record.first_byte.or_else(|| Some(Instant::now()));
    if let Some(name) = rename {
        work.model = name;
    }
    let keep = request.keep_alive() && !world.draining.get();
    match (translation, body) {
        (None, Some(body)) if !is_page(&work.response) => {
            relay::send_whole(world, destination, client, request, &body, keep, work).await?
        }
        (translation, _) => {
            failure.estimate(translation.map_or(0, |translation| translation.terms.input_estimate));
            deliver::send_failure(world, client, request, destination, &failure, keep, work).await?;
        }
    }
    Ok(if keep { After::Next } else { After::Linger })
}
