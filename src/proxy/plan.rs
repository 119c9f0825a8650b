//! Peek and plan: which model is asked for, and where such a request may go. No I/O.

#![forbid(unsafe_code)]

use std::time::Instant;

use super::job::Work;
use super::site::{Settings, Site};
use super::upload::Splice;
use crate::config::value;
use crate::dialect::translate::Asking;
use crate::dialect::{Dialect, Face, endpoint};
use crate::fault::{Fault, Who};
use crate::http::head::RequestHead;
use crate::http::reject::Reject;
use crate::json::{Kind, Scanner, text};
use crate::limits;
use crate::route::stats::Seen;
use crate::route::strategy::{self, Runner, Strategy};
use crate::route::{Asked, NoRoute, sticky};

/// One place that may answer a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The provider's place in the configuration.
    pub provider: usize,
    /// The dialect spoken there.
    pub dialect: Dialect,
    /// The provider's name of the model, where the client's is another.
    pub rename: Option<String>,
    /// What is known of it is kept under this number.
    pub hash: u64,
    /// The rule's.
    pub weight: u32,
}

/// The field by which a client names a provider.
const PROVIDER_FIELD: &str = "x-sidestream-provider";

/// The provider that the client chose by a path prefix (`by_path`) or by a field; `None` leaves it to the routes.
///
/// # Errors
/// 400: no such provider is active.
pub fn chosen(site: &Site, request: &RequestHead, by_path: Option<usize>) -> Result<Option<usize>, Fault> {
    let Some(name) = request.get(PROVIDER_FIELD).filter(|_| by_path.is_none()) else { return Ok(by_path) };
    let name = String::from_utf8_lossy(name);
    site.place(&name).map(Some).ok_or_else(|| {
        let active: Vec<_> = site.destinations.iter().map(|one| one.provider.name.as_str()).collect();
        let message = format!("{PROVIDER_FIELD} names {name:?}; the active providers are {}.", active.join(", "));
        Fault::client(400, "unknown-provider", message)
    })
}

/// The field by which a client shortens its request's time.
const DEADLINE_FIELD: &str = "x-sidestream-deadline";

/// When the whole request must be over: as configured, or earlier if the client says so.
///
/// # Errors
/// 400: what the client says is no duration.
pub fn deadline(site: &Site, request: &RequestHead, began: Instant) -> Result<Option<Instant>, Fault> {
    let configured = site.config().tries.deadline;
    let Some(asked) = request.get(DEADLINE_FIELD) else { return Ok(configured.map(|whole| began + whole)) };
    let asked = value::time_limit(String::from_utf8_lossy(asked).trim())
        .map_err(|wrong| Fault::client(400, "deadline-invalid", format!("{DEADLINE_FIELD} {wrong}.")))?;
    Ok(Some(began + configured.map_or(asked, |whole| whole.min(asked))))
}

/// Reads the model's name from the members that were seen in the body into `work.model`; empty if there is none.
///
/// # Errors
/// 400: the name cannot be one.
pub fn peek(work: &mut Work) -> Result<(), Fault> {
    let Some(member) = work.members.get("model").filter(|member| member.kind == Kind::String) else { return Ok(()) };
    let raw = work.body.get(member.start + 1..member.end - 1).unwrap_or_default();
    if raw.len() > 6 * limits::MODEL_BYTES_MAX {
        return Err(Fault::because(Reject::ModelInvalid, "The model's name is too long."));
    }
    let mut name = std::mem::take(&mut work.model).into_bytes();
    let decoded = text::decode(raw, &mut name);
    let valid = decoded.is_ok() && name.len() <= limits::MODEL_BYTES_MAX && !name.iter().any(u8::is_ascii_control);
    match String::from_utf8(name) {
        Ok(name) if valid => work.model = name,
        _ => return Err(Reject::ModelInvalid.into()),
    }
    Ok(())
}

/// Whether it has to be known what the body holds, before [`plan`].
pub fn must_look(site: &Site, dialect: Dialect, chosen: Option<usize>, work: &Work) -> bool {
    let routes = &site.config().routes;
    if !routes.look_inside() {
        return false;
    }
    let Work { model, members, features, .. } = work;
    let asked = Asked { model, dialect, stream: wants_stream(members), provider: chosen, features: *features };
    routes.must_look(&asked)
}

fn wants_stream(members: &Scanner) -> bool {
    members.get("stream").is_some_and(|member| member.kind == Kind::True)
}

/// Fills `work.targets` with the places that may answer what is asked for at `path`, in their order. There is at least one
/// afterwards.
///
/// # Errors
/// 404 where no rule and no provider fits the model; 501 where the first place that fits speaks another dialect, into which
/// such a request cannot be translated.
pub fn plan(site: &Site, dialect: Dialect, path: &str, chosen: Option<usize>, work: &mut Work) -> Result<(), Fault> {
    let Work { strategy, targets, model, members, features, .. } = work;
    targets.clear();
    let asked = Asked { model, dialect, stream: wants_stream(members), provider: chosen, features: *features };
    let config = site.config();
    let plan = config.routes.plan(&asked, &config.providers).map_err(|none| no_route(&none))?;
    *strategy = plan.strategy(config.tries.strategy);
    for candidate in plan.candidates() {
        if candidate.dialect != dialect && !is_translatable(path, candidate.dialect) {
            // The order is the user's: a later place must not answer because an earlier one cannot yet.
            if targets.is_empty() {
                return Err(not_translatable(site, candidate.provider, dialect, path));
            }
            continue;
        }
        let rename = (candidate.model != model.as_str()).then(|| candidate.model.to_owned());
        let hash = strategy::candidate(candidate.provider, candidate.model);
        let (provider, dialect, weight) = (candidate.provider, candidate.dialect, candidate.weight);
        targets.push(Target { provider, dialect, rename, hash, weight });
    }
    if targets.is_empty() { Err(Reject::NotFound.into()) } else { Ok(()) }
}

/// Puts the targets into the order that the strategy wants. `random` is any number.
pub fn arrange(site: &Site, random: u64, now_ms: u64, work: &mut Work) {
    let Work { targets, strategy, record, model, .. } = work;
    let session = record.session;
    let price = |target: &Target| {
        let destination = site.destinations.get(target.provider)?;
        let model = target.rename.as_ref().unwrap_or(model);
        destination.price(&site.config().prices, model).map(|price| price.blended())
    };
    let Settings { stats, sessions, .. } = &*site.settings;
    let home = session.zip(sessions.as_ref()).and_then(|(session, sessions)| sessions.place_of(session, now_ms));
    let runners: Vec<_> = targets
        .iter()
        .map(|target| Runner {
            hash: target.hash,
            weight: target.weight,
            price: if *strategy == Strategy::Cost { price(target) } else { None },
            seen: stats.as_ref().map_or_else(Seen::default, |stats| stats.seen(target.hash, now_ms)),
            is_home: home == Some(sticky::mark(target.hash)),
        })
        .collect();
    let mut order = Vec::with_capacity(runners.len());
    strategy::arrange(*strategy, &runners, session, random, &mut order);
    *targets = order.iter().filter_map(|place| targets.get(*place).cloned()).collect();
}

/// The same for a request that names no model. Where its provider is settled, it is spoken to on the face it has: the
/// fields that such a request's dialect is guessed from may be meant for us.
///
/// # Errors
/// As for [`plan`].
pub fn plan_without_model(
    site: &Site,
    dialect: Dialect,
    chosen: Option<usize>,
    work: &mut Work,
) -> Result<Dialect, Fault> {
    let only = if site.destinations.len() == 1 { Some(0) } else { chosen };
    let settled = only.and_then(|place| site.destinations.get(place)).map(|one| &one.provider);
    let spoken = match (settled, dialect.face()) {
        (Some(provider), Face::Anthropic) if provider.anthropic.is_none() => Dialect::Chat,
        (Some(provider), Face::OpenAi) if provider.openai.is_none() => Dialect::Messages,
        _ => dialect,
    };
    plan(site, spoken, "", chosen, work).map(|()| spoken)
}

/// Whether the body asks for an answer of no tokens.
pub fn asks_for_nothing(work: &Work) -> bool {
    let limit = work.members.get("max_tokens").and_then(|limit| work.body.get(limit.start..limit.end));
    limit == Some(b"0")
}

/// Whether what is asked for at `path` can be said in that dialect, and the answer be told in the client's.
fn is_translatable(path: &str, to: Dialect) -> bool {
    match Asking::of(path) {
        Some(Asking::Chat | Asking::Completions) => to == Dialect::Messages,
        Some(Asking::Messages) => to == Dialect::Chat,
        // Counted here.
        None => path == endpoint::COUNT_TOKENS && to == Dialect::Chat,
    }
}

fn not_translatable(site: &Site, provider: usize, dialect: Dialect, path: &str) -> Fault {
    let provider = site.destinations.get(provider).map(|one| &one.provider);
    let name = provider.map_or("", |provider| provider.name.as_str());
    let language = dialect.name();
    if provider.is_some_and(|provider| provider.face(dialect.face()).is_some()) {
        let message = format!(
            "The route (face=… or the model's suffix) asks for the other face of {name}, which has nothing like /{path}; \
             leave that out, and {name} is spoken to in {language}."
        );
        return Fault::client(501, "translation-needed", message);
    }
    let variable = match dialect {
        Dialect::Messages => "ANTHROPIC_URL",
        Dialect::Chat | Dialect::Responses => "OPENAI_URL",
    };
    let prefix = crate::config::variables::prefix(name);
    let message = format!(
        "{name} has no address that speaks {language}, and what it speaks has nothing like /{path}; set \
         {prefix}_{variable} if it has one, or route the model elsewhere."
    );
    Fault::client(501, "translation-needed", message)
}

/// The replacement of the model's name in a body, where the target knows it by another one.
pub fn rename(target: &Target, work: &Work) -> Option<Splice> {
    let (name, member) = (target.rename.as_ref()?, work.members.get("model")?);
    let mut text = Vec::new();
    text::encode(name.as_bytes(), &mut text);
    Some(Splice { start: member.start, end: member.end, text })
}

/// How long a body is after its splice.
pub fn spliced_length(length: usize, splice: Option<&Splice>) -> u64 {
    let growth = splice.map_or(0, |splice| splice.text.len() as i64 - (splice.end - splice.start) as i64);
    (length as u64).saturating_add_signed(growth)
}

fn no_route(none: &NoRoute) -> Fault {
    match none {
        NoRoute::UnknownModel { .. } => Fault::client(404, none.reason(), none.message()),
        NoRoute::NoFace { .. } => Fault::client(501, none.reason(), none.message()),
        NoRoute::NoProvider => Fault { who: Who::Us, ..Fault::client(503, none.reason(), none.message()) },
    }
}
