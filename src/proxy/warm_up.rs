//! What is done before anybody asks: spare connections are opened, and where a person wants it each model that a rule names
//! is asked for one token, so that whatever sleeps behind the provider wakes. Nothing waits for it, and what fails is told
//! and forgotten: the first request finds out for itself.

use std::pin::pin;
use std::rc::Rc;
use std::time::Instant;

use super::admit::VIA_FIELD;
use super::connection::contained;
use super::fetch::{self, Answer, Question, Unanswered};
use super::models::join;
use super::outbound;
use super::site::{Destination, Site};
use super::world::World;
use crate::config::WarmUp;
use crate::dialect::profile::{Limit, Profile};
use crate::dialect::usage::{Usage, UsageReader};
use crate::dialect::{Dialect, translate};
use crate::json::text;
use crate::limits;
use crate::net::pool::Pool;
use crate::telemetry::log::Level;

/// Begins with what was not there `before`, and returns at once. Every worker opens connections of its own; one of them
/// (`calls`) tells what fails, and makes the calls, because they are for the provider's sake.
pub fn begin(world: &Rc<World>, before: Option<&Site>, calls: bool) {
    let site = world.site();
    let mode = site.config().warm_up;
    if mode == WarmUp::Off {
        return;
    }
    // A person who asks for another warm-up means all of them.
    let before = before.filter(|before| before.config().warm_up == mode);
    let known: Vec<Rc<Pool>> = before.iter().flat_map(|before| before.pools()).map(|(_, pool)| pool).collect();
    for (place, destination) in site.destinations.iter().enumerate() {
        let is_new = |pool: &Rc<Pool>| !known.iter().any(|known| Rc::ptr_eq(known, pool));
        let new: Vec<_> = destination.pools().filter(is_new).collect();
        if new.is_empty() {
            continue;
        }
        let (world, site) = (world.clone(), site.clone());
        monoio::spawn(async move {
            let Some(destination) = site.destinations.get(place) else { return };
            let all = async {
                connect(&world, destination, &new, calls).await;
                if calls && mode == WarmUp::Call {
                    call_models(&world, &site, place, destination).await;
                }
            };
            world.counters.panics.add(u64::from(contained(pin!(all)).await));
        });
    }
    // The pools have something to look after from now on, also where no connection comes about.
    world.deadlines.stir();
}

/// Opens the spares of these pools, all side by side.
async fn connect(world: &World, destination: &Destination, pools: &[Rc<Pool>], tells: bool) {
    let began = Instant::now();
    let spares = pools.iter().flat_map(|pool| (0..pool.expect()).map(move |_| pool.add_spare()));
    let opened = join(spares).await;
    if opened.is_empty() {
        return;
    }
    let (name, log) = (destination.provider.name.as_str(), &world.shared.log);
    let good = opened.iter().filter(|opened| opened.is_ok()).count();
    log.say(Level::Debug, "warm-up", &[("provider", name), ("connections", &good.to_string()), ("ms", &millis(began))]);
    if let Some(error) = opened.into_iter().find_map(Result::err).filter(|_| tells) {
        log.say(
            Level::Warn,
            "warm-up: no connection; the first request will try again",
            &[("provider", name), ("error", &error.to_string())],
        );
    }
}

/// Asks the models of one provider that rules name for one token each, one after the other: a server that loads one at a
/// time would be torn between them. Only with a key of its own, for who else should pay.
async fn call_models(world: &World, site: &Site, place: usize, destination: &Destination) {
    let (provider, log) = (&destination.provider, &world.shared.log);
    if !provider.has_key() {
        return;
    }
    let models = site.config().routes.named_models(place);
    if models.len() > limits::WARM_CALLS_MAX {
        let fields = [("provider", provider.name.as_str()), ("max", &limits::WARM_CALLS_MAX.to_string())];
        log.say(Level::Warn, "warm-up: too many models, only the first are called", &fields);
    }
    for (model, dialect) in models.into_iter().take(limits::WARM_CALLS_MAX) {
        if world.draining.get() {
            return;
        }
        let began = Instant::now();
        let outcome = call(world, destination, model, dialect).await;
        destination.numbers.warm_up_calls.add(1);
        let fields = [("provider", provider.name.as_str()), ("model", model), ("ms", &millis(began))];
        let failure = match outcome {
            Ok(Answer { status: 200..300, body, .. }) => {
                let Usage { input, output, .. } = usage(&body);
                destination.numbers.warm_up_tokens.add(input.unwrap_or(0) + output.unwrap_or(0));
                let number = |tokens: Option<u64>| tokens.map_or_else(|| "unknown".to_owned(), |n| n.to_string());
                let (input, output) = (number(input), number(output));
                let tokens = [("input_tokens", input.as_str()), ("output_tokens", &output)];
                log.say(Level::Info, "warm-up call", &[fields.as_slice(), &tokens].concat());
                continue;
            }
            Ok(Answer { status, .. }) => format!("it answered with status {status}"),
            Err(Unanswered(why)) => why,
        };
        destination.numbers.warm_up_call_failures.add(1);
        log.say(Level::Warn, "warm-up call failed", &[fields.as_slice(), &[("error", &failure)]].concat());
    }
}

async fn call(world: &World, destination: &Destination, model: &str, dialect: Dialect) -> Result<Answer, Unanswered> {
    let body = one_token(model, dialect, &destination.provider.profile);
    // A provider may be a sidestream, even this one.
    let via = outbound::via(None, &world.shared.name);
    let path = if dialect == Dialect::Responses { "responses" } else { translate::path(dialect) };
    let question = Question {
        face: dialect.face(),
        path,
        more: &[(VIA_FIELD.as_bytes(), &via)],
        body: Some(&body),
        patience: limits::WARM_CALL_TIME_MAX,
    };
    fetch::ask(destination, question).await
}

/// The smallest request that makes a model work.
fn one_token(model: &str, dialect: Dialect, profile: &Profile) -> Vec<u8> {
    let mut body = br#"{"model":"#.to_vec();
    text::encode(model.as_bytes(), &mut body);
    let rest: &[u8] = match (dialect, profile.for_model(model).limit) {
        // Responses takes no smaller limit.
        (Dialect::Responses, _) => br#","max_output_tokens":16,"store":false,"input":"Hi"}"#,
        (Dialect::Chat, Limit::MaxCompletionTokens) => {
            br#","max_completion_tokens":1,"messages":[{"role":"user","content":"Hi"}]}"#
        }
        _ => br#","max_tokens":1,"messages":[{"role":"user","content":"Hi"}]}"#,
    };
    body.extend_from_slice(rest);
    body
}

/// What an answer says that it used, all input together.
fn usage(body: &[u8]) -> Usage {
    let mut reader = UsageReader::new();
    reader.push_json(body);
    let usage = reader.usage();
    let input = [usage.input, usage.cache_read, usage.cache_write].into_iter().flatten().reduce(|sum, n| sum + n);
    Usage { input, ..usage }
}

fn millis(since: Instant) -> String {
    format!("{:.1}", since.elapsed().as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_is_asked_for_as_the_model_wants_it() {
        const HI: &str = r#""messages":[{"role":"user","content":"Hi"}]"#;
        for (model, dialect, provider, want) in [
            ("gpt-4o", Dialect::Chat, "vllm", format!(r#"{{"model":"gpt-4o","max_tokens":1,{HI}}}"#)),
            ("o3", Dialect::Chat, "openai", format!(r#"{{"model":"o3","max_completion_tokens":1,{HI}}}"#)),
            ("a\"b", Dialect::Messages, "anthropic", format!(r#"{{"model":"a\"b","max_tokens":1,{HI}}}"#)),
            (
                "codex",
                Dialect::Responses,
                "openai",
                r#"{"model":"codex","max_output_tokens":16,"store":false,"input":"Hi"}"#.to_owned(),
            ),
        ] {
            let body = one_token(model, dialect, &Profile::of(provider, None));
            assert_eq!(String::from_utf8(body).unwrap(), want);
        }
    }

    #[test]
    fn what_it_used_is_read() {
        for (body, want) in [
            (
                r#"{"usage":{"prompt_tokens":9,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":4}}}"#,
                (Some(9), Some(1)),
            ),
            (r#"{"usage":{"input_tokens":8,"output_tokens":1}}"#, (Some(8), Some(1))),
            (r#"{"usage":null}"#, (None, None)),
            ("", (None, None)),
        ] {
            let usage = usage(body.as_bytes());
            assert_eq!((usage.input, usage.output), want, "{body}");
        }
    }
}
