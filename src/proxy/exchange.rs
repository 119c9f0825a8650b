//! One request and its answer, top to bottom.

use std::pin::pin;
use std::time::Instant;

use super::admit::{self, Admitted, Guest};
use super::chores;
use super::connection::{After, Client, Door, Stop};
use super::count::count_tokens;
use super::deliver;
use super::job::{Job, Work};
use super::local::{self, Asked};
use super::look;
use super::models;
use super::plan;
use super::reach::{self, Answered, Errand, Reached};
use super::refusal;
use super::relay;
use super::settle::settle;
use super::site::Site;
use super::translate::{self, Translation};
use super::upload::{self, Upload};
use super::world::{Lease, World};
use crate::dialect::Dialect;
use crate::dialect::endpoint::{self, Endpoint};
use crate::dialect::messages;
use crate::dialect::translate::{self as dialects, Asking};
use crate::dialect::turn::Scale;
use crate::fault::{Fault, Who};
use crate::http::framing::Framing;
use crate::http::head::{HeadKind, Method, RequestHead};
use crate::http::passage::{Form, Passage};
use crate::http::reject::Reject;
use crate::json::Kind;
use crate::limits;
use crate::net::deadlines::{Expired, Stage};
use crate::net::inbox::unless_gone;
use crate::route::session;
use crate::route::strategy::Strategy;
use crate::telemetry::request_id::RequestId;
use crate::tokens::{self, Rules};

/// Serves one request; its first byte has come. Whatever happens ends here: in an answer, a log line, a count, and the
/// fate of the connection.
pub async fn exchange(world: &World, client: &mut Client<'_>, job: &mut Job) -> After {
    // A reload in the middle changes nothing for this request.
    let site = world.site();
    job.begin(world.request_ids.name(None));
    let Job { request, work } = job;
    let mut asked = Asked::UNKNOWN;
    let after = match answer(world, &site, client, request, work, &mut asked).await {
        Ok(after) => after,
        Err(stop) => end_early(world, client, request, work, asked, stop).await,
    };
    client.deadline.enter(Stage::Idle);
    settle(world, &site, client, request, work);
    after
}

/// From the head to the end of the answer. `asked` always says what an early end has to know.
async fn answer(
    world: &World,
    site: &Site,
    client: &mut Client<'_>,
    request: &mut RequestHead,
    work: &mut Work,
    asked: &mut Asked,
) -> Result<After, Stop> {
    head(client, request, work).await?;
    *asked = Asked::of(request);
    enter(world, client, request, work);
    let _open = world.counters.requests_open.hold();
    work.record.page = admit::is_page(request, site.config());
    let admitted = admit::admit(request, site.config(), &world.shared.name, client.transport, client.door)?;
    let Admitted { framing, expects_continue, guest } = admitted;
    asked.unread = !matches!(framing, Framing::None | Framing::Length(0));
    let withheld = expects_continue && client.inbox.is_empty();

    let (by_path, endpoint) = match client.door {
        Door::Admin => (None, Endpoint::Root),
        Door::Clients => endpoint::of(request, |name| site.place(name)),
    };
    if guest == Guest::Preflight || matches!(endpoint, Endpoint::Root) {
        // A client that waits to be asked for its body gets the answer instead, and keeps the body.
        asked.unread = withheld || !local::discard(client, framing).await?;
        return own(world, site, client, request, work, *asked, guest).await;
    }
    let chosen = plan::chosen(site, request, by_path)?;
    match endpoint {
        Endpoint::Root | Endpoint::Unknown => Err(Reject::NotFound.into()),
        // Content in a GET has no meaning, and servers differ on whether they read it (RFC 9110 §9.3.1).
        Endpoint::Other { .. } | Endpoint::Models { .. }
            if asked.unread && matches!(request.method(), Method::Get | Method::Head) =>
        {
            Err(Reject::BodyNotAllowed.into())
        }
        Endpoint::Models { id, dialect, .. } if chosen.is_none() && models::are_merged(site, dialect) => {
            let list = Box::pin(models::merged(world, site, request, dialect));
            let list = unless_gone(client.inbox, pin!(list)).await??;
            local::models(world, client, request, &list, id, *asked, work).await
        }
        Endpoint::Json { dialect, path } => {
            check_before_body(site, request, framing)?;
            if withheld {
                invite(client).await?;
            }
            let lease = upload::buffer(world, site, client, framing, work).await?;
            asked.unread = false;
            plan::peek(work)?;
            if plan::must_look(site, dialect, chosen, work) {
                // Boxed: a request that no rule wants to be looked into shall not carry its size.
                unless_gone(client.inbox, Box::pin(look::inside(world, dialect, work)).as_mut()).await??;
            }
            plan::plan(site, dialect, path, chosen, work)?;
            if work.targets.len() > 1 && work.strategy != Strategy::Order {
                Box::pin(arrange(world, site, client, request, dialect, work)).await?;
            }
            let stores = work.members.get("store").is_none_or(|member| member.kind != Kind::False);
            let may_replay = endpoint::may_replay(request.method(), &endpoint, stores);
            let errand = Errand { site, request, dialect, path, is_json: true, framing, may_replay };
            here_or_there(world, client, errand, work, lease).await
        }
        Endpoint::Other { dialect, path } | Endpoint::Models { dialect, path, .. } => {
            let dialect = plan::plan_without_model(site, dialect, chosen, work)?;
            if withheld {
                invite(client).await?;
            }
            // A body that was streamed is gone once sent.
            let may_replay = !asked.unread && endpoint::may_replay(request.method(), &endpoint, false);
            let errand = Errand { site, request, dialect, path, is_json: false, framing, may_replay };
            forward(world, client, errand, work, None).await
        }
    }
}

/// A request of which the head was read: its name, its count, its place among those that can be stopped.
fn enter(world: &World, client: &Client<'_>, request: &RequestHead, work: &mut Work) {
    work.record.id = request.get("x-request-id").and_then(RequestId::from_client).unwrap_or(work.record.id);
    world.counters.requests.add(u64::from(client.door == Door::Clients));
    if client.door == Door::Clients {
        client.deadline.enter(Stage::Asked);
    }
}

/// What is answered here without a look at the body.
async fn own(
    world: &World,
    site: &Site,
    client: &mut Client<'_>,
    request: &RequestHead,
    work: &mut Work,
    asked: Asked,
    guest: Guest,
) -> Result<After, Stop> {
    match client.door {
        _ if guest == Guest::Preflight => local::preflight(world, client, request, asked, work).await,
        Door::Clients => local::root(world, client, request, asked, work).await,
        Door::Admin => local::admin(world, site, client, request, asked, work).await,
    }
}

/// The head of the request, in [`limits::HEAD_TIME_MAX`] from its first byte.
async fn head(client: &mut Client<'_>, request: &mut RequestHead, work: &mut Work) -> Result<(), Stop> {
    client.deadline.arm_receiving(limits::HEAD_TIME_MAX);
    loop {
        let found = client.inbox.peek(|bytes| match request.parse_again(bytes) {
            Some(end) => Ok(Some(end)),
            None => match work.scanner.push(HeadKind::Request, bytes) {
                Ok(Some(end)) => request.parse(bytes.get(..end).unwrap_or_default()).map(|()| Some(end)),
                other => other,
            },
        });
        let refused = match found {
            Ok(Some(end)) => {
                client.inbox.consume(end);
                client.deadline.disarm();
                work.record.dialect = endpoint::dialect_of(request);
                return Ok(());
            }
            Ok(None) => match client.inbox.more(0).await {
                None => continue,
                Some(_) if client.deadline.expired().is_some() => Reject::HeadTimeout,
                Some(_) => return Err(Stop::Gone),
            },
            Err(reject) => reject,
        };
        work.record.dialect = client.inbox.peek(admit::guess_dialect);
        return Err(refused.into());
    }
}

/// What can be refused before a JSON body is read.
fn check_before_body(site: &Site, request: &RequestHead, framing: Framing) -> Result<(), Fault> {
    if request.get("content-encoding").is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        return Err(Reject::UnsupportedContentEncoding.into());
    }
    let max = site.config().body_max;
    match framing {
        Framing::Length(length) if length > max => Err(upload::too_large(max)),
        _ => Ok(()),
    }
}

/// `100 Continue`: the head was accepted, the body may come (RFC 9110 §10.1.1).
async fn invite(client: &mut Client<'_>) -> Result<(), Stop> {
    client.send_all(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()).await.map(drop)
}

/// A request with a JSON body: what its upstream cannot be asked for is answered here.
async fn here_or_there(
    world: &World,
    client: &mut Client<'_>,
    errand: Errand<'_>,
    work: &mut Work,
    lease: Lease<'_>,
) -> Result<After, Stop> {
    if chores::may_be(&errand, work) {
        // Boxed: a plain request shall not carry its size.
        let answered = Box::pin(chores::answered(world, client, &errand, work)).await?;
        if let Some(after) = answered {
            return Ok(after);
        }
    }
    let speaks = work.targets.first().is_none_or(|target| target.dialect == errand.dialect);
    match errand.path {
        endpoint::COUNT_TOKENS if !speaks => count_here(world, client, &errand, work).await,
        endpoint::MESSAGES if !speaks && plan::asks_for_nothing(work) => nothing(world, client, &errand, work).await,
        _ => forward(world, client, errand, work, Some(lease)).await,
    }
}

/// Puts the targets into the order that the route's strategy wants.
async fn arrange(
    world: &World,
    site: &Site,
    client: &Client<'_>,
    request: &RequestHead,
    dialect: Dialect,
    work: &mut Work,
) -> Result<(), Stop> {
    if site.config().tries.sticky {
        work.record.session = session::of_head(request);
        if work.record.session.is_none() {
            unless_gone(client.inbox, pin!(look::for_session(world, dialect, work))).await??;
        }
    }
    plan::arrange(site, world.random(), world.millis(work.record.began), work);
    Ok(())
}

/// Sends the request to an upstream and its answer to the client.
async fn forward(
    world: &World,
    client: &mut Client<'_>,
    errand: Errand<'_>,
    work: &mut Work,
    lease: Option<Lease<'_>>,
) -> Result<After, Stop> {
    work.record.routed = Some(Instant::now());
    work.record.until = plan::deadline(errand.site, errand.request, work.record.began)?;
    work.record.demand.tokens = tokens::estimate::of_bytes(work.body.len());
    let inbox = client.inbox;
    let mut body = std::mem::take(&mut work.body);
    let mut upload = match errand.is_json {
        true => Upload::Buffered(&mut body, None),
        false => Upload::Streamed(Passage::new(errand.framing, Form::Verbatim)),
    };
    let reached = reach::answered(world, client, &errand, work, &mut upload).await;
    if errand.path == endpoint::COUNT_TOKENS && must_count_here(&reached, work) {
        work.body = body;
        return count_here(world, client, &errand, work).await;
    }
    // An answer has begun, or there is none: the request is not needed any more.
    drop(lease);
    world.buffers.give(body.take_memory());
    let Answered { answering, destination, pool, rename } = match reached? {
        Reached::Answer(answered) => answered,
        Reached::Refusal(refusal) => {
            return Box::pin(refusal::tell(world, errand.site, client, errand.request, refusal, work)).await;
        }
    };
    // Its name from now on.
    if let Some(name) = rename {
        work.model = name;
    }

    let relayed = match work.translation {
        None => {
            let relayed = pin!(relay::relay(world, errand.site, destination, client, answering, errand.request, work));
            unless_gone(inbox, relayed).await
        }
        // Boxed: a plain request shall not carry its size.
        Some(_) => {
            let site = errand.site;
            let relayed = deliver::deliver(world, site, destination, client, answering, errand.request, work);
            unless_gone(inbox, Box::pin(relayed).as_mut()).await
        }
    };
    let relayed = relayed.inspect_err(|_| destination.numbers.aborts.add(1))??;
    match relayed.reusable {
        Some(upstream) => pool.keep(upstream),
        None if relayed.excess => pool.distrust(),
        None => {}
    }
    Ok(if relayed.keep_client { After::Next } else { After::Linger })
}

/// Answers a request for no tokens: only Anthropic's caches are warmed by one.
async fn nothing(world: &World, client: &mut Client<'_>, errand: &Errand<'_>, work: &mut Work) -> Result<After, Stop> {
    let Some(target) = work.targets.first().cloned() else { return Err(Reject::NotFound.into()) };
    let Some(destination) = errand.site.destinations.get(target.provider) else { return Err(Reject::NotFound.into()) };
    let mut body = std::mem::take(&mut work.body);
    let to = (destination, &target);
    let translated = Box::pin(translate::request(world, errand.site, Asking::Messages, to, &mut body, work));
    unless_gone(client.inbox, pin!(translated)).await??;
    let Some(translation) = work.translation.take() else { return Err(Stop::Gone) };
    let Translation { asking, stream, terms, provider, .. } = *translation;
    let answer = dialects::nothing(asking, stream, terms, &provider.profile);
    let mut asked = Asked::of(errand.request);
    asked.unread = false;
    local::message(world, client, errand.request, &answer, stream, asked, work).await
}

/// Counts the tokens of a Messages request for an upstream that cannot.
async fn count_here(
    world: &World,
    client: &mut Client<'_>,
    errand: &Errand<'_>,
    work: &mut Work,
) -> Result<After, Stop> {
    // The first place that it may go to is the one that it will be sent to.
    let target = work.targets.first();
    let destination = target.and_then(|target| errand.site.destinations.get(target.provider));
    let Some((target, destination)) = target.zip(destination) else { return Err(Reject::NotFound.into()) };
    let model = target.rename.clone().unwrap_or_else(|| work.model.clone());
    let rules = Rules::of(&model, target.dialect).behind(&destination.provider.profile.for_model(&model));
    // Answers of an upstream that speaks the client's dialect tell its own numbers: so does the count then.
    let is_translated = target.dialect != errand.dialect;
    let scale = errand.site.config().windows.scale(&work.model, &model, errand.dialect);
    let scale = if is_translated { scale } else { Scale::default() };
    let body = std::mem::take(&mut work.body);
    let counted =
        count_tokens(body.into_bytes(), messages::request::read_to_count, rules, scale, world.shared.counts.clone());
    let counted = unless_gone(client.inbox, Box::pin(counted).as_mut()).await??;
    let mut asked = Asked::of(errand.request);
    asked.unread = false;
    local::count(world, client, errand.request, counted, asked, work).await
}

/// Whether the count that was asked for is not to be had upstream: nobody there counts, or nobody is there.
fn must_count_here(reached: &Result<Reached<'_>, Stop>, work: &Work) -> bool {
    match reached {
        Ok(_) => matches!(work.response.status(), 404 | 405 | 501),
        Err(Stop::Fault(fault)) => fault.who == Who::Upstream,
        Err(_) => false,
    }
}

/// Turns a stop into an answer where one can still be given.
async fn end_early(
    world: &World,
    client: &mut Client<'_>,
    request: &RequestHead,
    work: &mut Work,
    asked: Asked,
    stop: Stop,
) -> After {
    let fault = match stop {
        // Whatever came of it: its connection was ended because of it.
        _ if client.deadline.expired() == Some(Expired::Stopped) && work.record.status == 0 => Fault::stopped(),
        Stop::Fault(fault) => fault,
        // What looks like the client's end may be our own time limit on its sending side.
        Stop::Gone if client.deadline.expired() == Some(Expired::Receiving) && work.record.status == 0 => {
            Reject::BodyTimeout.into()
        }
        // We ended its sending side ourselves, because the grace is over.
        Stop::Gone if world.stopping.get() && work.record.status == 0 => Fault::draining(),
        Stop::Gone => {
            world.counters.client_aborts.add(1);
            work.record.ended = Some((Who::Client, "client-abort"));
            return After::Close;
        }
        Stop::Cut(who, reason) => {
            work.record.ended = Some((who, reason));
            return After::Close;
        }
    };
    match local::refuse(world, client, request, asked, work, &fault).await {
        Ok(after) => after,
        Err(_) => After::Close,
    }
}
