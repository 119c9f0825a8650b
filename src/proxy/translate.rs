//! The request into another dialect. The answer comes back through [`super::deliver`].

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::aside::aside;
use super::ask::{Answering, Whole};
use super::connection::Stop;

use super::incoming::Incoming;
use super::intake::Intake;
use super::job::Work;
use super::plan::Target;
use super::site::{Destination, Site};
use super::upload::Body;
use super::world::World;
use crate::config::provider::Provider;
use crate::dialect::loss::{Loss, LossKind, Losses};
use crate::dialect::messages::signature;
use crate::dialect::profile::{self, History};
use crate::dialect::translate::{self, Asking, Translated};
use crate::dialect::turn::{Refused, Terms};
use crate::dialect::{Dialect, error};
use crate::fault::Fault;
use crate::json::{Index, text};
use crate::limits;

/// A request that went out in another dialect: what its answer needs.
pub struct Translation {
    /// What the client asked for.
    pub asking: Asking,
    /// The upstream's dialect.
    pub upstream: Dialect,
    /// The client wants a stream.
    pub stream: bool,
    /// What the answer must know of the request.
    pub terms: Terms,
    /// Who was asked.
    pub provider: Arc<Provider>,
}

/// Translates the body for a target; it goes out instead of the client's. What the answer needs is put into
/// `work.translation`, what was lost into `work.losses`.
///
/// # Errors
/// 400: something that matters cannot be said there, or anything if `SIDESTREAM_STRICT` is set. 503: too many large bodies
/// wait.
pub async fn request(
    world: &World,
    site: &Site,
    asking: Asking,
    to: (&Destination, &Target),
    body: &mut Body,
    work: &mut Work,
) -> Result<Vec<u8>, Stop> {
    let (destination, target) = to;
    let model = target.rename.clone().unwrap_or_else(|| work.model.clone());
    let provider = destination.provider.clone();
    let terms = terms(world, site, work, &model);
    let upstream = target.dialect;
    let translated = {
        let provider = provider.clone();
        let translate = move |body: &[u8]| {
            let target = profile::Target { model: &model, profile: &provider.profile };
            translate::request(asking, upstream, body, &target, terms)
        };
        if body.len() <= limits::TRANSLATED_AT_ONCE_BYTES_MAX {
            translate(body)
        } else {
            let whole = std::mem::take(body);
            let (whole, translated) = aside(move || {
                let translated = translate(&whole);
                (whole, translated)
            })
            .await
            .map_err(Fault::from)?;
            *body = whole;
            translated
        }
    };
    let Translated { body, mut terms, stream, mut losses, text_bytes } =
        translated.map_err(|refused| not_translatable(&refused))?;
    let body = work.omitted.iter().fold(body, |body, parameter| {
        losses.dropped(parameter.clone());
        profile::without(&body, parameter).unwrap_or(body)
    });
    if site.config().strict && losses.iter().any(|loss| loss.what != LossKind::Invented) {
        return Err(too_lossy(&losses, &destination.provider.name).into());
    }
    work.losses = losses;
    work.record.text_bytes = text_bytes;
    let model = target.rename.as_ref().unwrap_or(&work.model);
    terms.input_estimate = world.tokens.borrow().estimate(model, text_bytes);
    work.record.upstream_dialect = Some(upstream);
    work.translation = Some(Box::new(Translation { asking, upstream, stream, terms, provider }));
    Ok(body)
}

/// What does not come from the body.
fn terms(world: &World, site: &Site, work: &Work, model: &str) -> Terms {
    let mut name = Vec::new();
    text::escape(work.model.as_bytes(), &mut name);
    Terms {
        model: name,
        request_id: work.record.id.as_str().to_owned(),
        seed: world.seed(),
        created: now_unix(),
        scale: site.config().windows.scale(&work.model, model, work.record.dialect),
        ..Terms::default()
    }
}

pub(super) fn now_unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn not_translatable(refused: &Refused) -> Fault {
    let Refused { path, message } = refused;
    let separator = if path.is_empty() { "" } else { ": " };
    let reason = if path == "thread" { error::THREAD } else { "not-translatable" };
    Fault::client(400, reason, format!("{path}{separator}{message}"))
}

fn too_lossy(losses: &Losses, provider: &str) -> Fault {
    let mut list = Vec::new();
    write_losses(losses, &mut list);
    let list = String::from_utf8_lossy(&list);
    let message =
        format!("{provider} cannot be told all of it, and SIDESTREAM_STRICT is set; what would be lost: {list}.");
    Fault::client(400, "translation-loss", message)
}

/// `path` was dropped, `path~` approximated, `path+` invented.
pub fn write_losses(losses: &Losses, out: &mut Vec<u8>) {
    for (place, Loss { path, what }) in losses.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        // Parts of a path come from the client's keys.
        out.extend(path.bytes().map(|byte| if byte.is_ascii_graphic() && byte != b',' { byte } else { b'_' }));
        match what {
            LossKind::Dropped => {}
            LossKind::Approximated => out.push(b'~'),
            LossKind::Invented => out.push(b'+'),
        }
    }
    if losses.more > 0 {
        out.extend_from_slice(format!(",+{}", losses.more).as_bytes());
    }
}

/// A Messages request as it goes to a Messages upstream that did not make all the thinking in it: without what was made
/// elsewhere, for which it would refuse the whole conversation. `None`, nearly always, if it goes as it is.
pub fn spare_foreign_thinking(path: &str, body: &[u8], destination: &Destination, target: &Target) -> Option<Vec<u8>> {
    if target.dialect != Dialect::Messages || !path.starts_with(translate::path(Dialect::Messages)) {
        return None;
    }
    // Vendors that want their thoughts back sign them in ways of their own, and take those of others.
    if destination.provider.profile.history != History::Drop {
        return None;
    }
    let mut index = Index::default();
    let mut spared = signature::spare_foreign_thinking(body, &mut index)?;
    if let Some(name) = &target.rename
        && let Some((start, end)) = index.read(&spared).ok().and_then(|body| Some(body.get("model")?.span()))
    {
        let mut text = Vec::new();
        text::encode(name.as_bytes(), &mut text);
        spared.splice(start..end, text);
    }
    Some(spared)
}

/// Whether a translated request may go out once more without a parameter that this answer may name.
pub fn may_go_again(work: &Work) -> bool {
    work.translation.is_some() && work.omitted.is_empty() && matches!(work.response.status(), 400 | 422)
}

/// Reads the error that an upstream answered with. If it names a parameter that can be left out, that is put into
/// `work.omitted`; the answer's body stays with it in any case.
///
/// # Errors
/// The answer's framing is broken.
pub async fn read_refusal(
    world: &World,
    destination: &Destination,
    mut answering: Answering,
    work: &mut Work,
) -> Result<Answering, Stop> {
    let head_bytes = answering.head_bytes;
    let intake = Intake::new(destination, answering.upstream, answering.until);
    let mut incoming = Incoming::new(intake, head_bytes, work)?;
    let body = incoming.whole(world, limits::ERROR_BYTES_MAX, work).await.unwrap_or_default();
    let sound = incoming.is_sound();
    // What is not in the body, or makes the request what it is, cannot be left out.
    let named = profile::refused_parameter(work.response.status(), &body);
    work.omitted.extend(named.filter(|parameter| profile::without(&work.sent, parameter).is_some()));
    answering.upstream = incoming.intake.upstream;
    answering.whole = Some(Whole { body, sound });
    Ok(answering)
}
