//! `check`: the effective configuration, every problem in it, and with `--live` how each provider is reached.

use std::io::Write;
use std::net::IpAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::provider::{Base, Credential, Provider};
use crate::config::{Config, DriverChoice, variables};
use crate::dialect::Face;
use crate::dialect::models::Models;
use crate::net::deadlines::Deadlines;
use crate::net::driver::Driver;
use crate::net::pool::Means;
use crate::proxy::fetch::{self, Answer, Question, Unanswered};
use crate::proxy::site::{Destination, Settings, Site};
use crate::run::{Environment, refuse};
use crate::telemetry::counters::Counters;

/// Prints the effective configuration and all problems. Exit code 0, 2 for a configuration that must be mended, 1 if
/// `live` found a provider that cannot be used.
pub fn check(environment: &Environment, live: bool) -> ExitCode {
    let source = match environment.source() {
        Ok(source) => source,
        Err(problems) => return refuse(&problems),
    };
    let mut out = std::io::stdout().lock();
    for (name, value) in Config::table(&source) {
        let _ = writeln!(out, "{name:<28} {value}");
    }
    let settings = match Config::read(&source).and_then(|config| Settings::new(config, None)) {
        Ok(settings) => settings,
        Err(problems) => return refuse(&problems),
    };
    for warning in &settings.config.warnings {
        let _ = writeln!(out, "warning: {warning}");
    }
    if !live {
        return ExitCode::SUCCESS;
    }
    let _ = writeln!(out);
    let findings = match Driver::build(DriverChoice::Auto) {
        Ok((mut driver, _)) => driver.block_on(ask_everyone(Arc::new(settings))),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "sidestream: no driver: {error}");
            return ExitCode::FAILURE;
        }
    };
    for finding in &findings {
        let _ =
            writeln!(out, "{:<6} {:<28} {}", if finding.usable { "ok" } else { "FAILED" }, finding.who, finding.text);
        if let Some(times) = &finding.times {
            let _ = writeln!(out, "{:<6} {times}", "");
        }
    }
    if findings.iter().all(|finding| finding.usable) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How one face of a provider is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    /// The provider, and its face's address.
    who: String,
    usable: bool,
    /// For a person: what is there, or what to mend.
    text: String,
    /// How long it took, if it answered.
    times: Option<String>,
}

/// Asks each face for its models, one after the other: nothing is generated, nothing is billed.
async fn ask_everyone(settings: Arc<Settings>) -> Vec<Finding> {
    let deadlines: Rc<Deadlines> = Rc::default();
    deadlines.keep_sweeping();
    let means = Means { deadlines, resolver: Default::default(), buffers: Rc::default() };
    let site = Site::new(settings, &Counters::default(), &means, None);
    let mut findings = Vec::new();
    for destination in &site.destinations {
        let provider = &destination.provider;
        for face in [Face::OpenAi, Face::Anthropic] {
            let Some(base) = provider.face(face) else { continue };
            // Faces at one origin share their connections: each shall show what opening one takes.
            destination.pools().for_each(|pool| pool.clear());
            let answer = fetch::ask(destination, Question::get(face, "models", &[])).await;
            let versioned = lacks_version(&answer, face, destination).await;
            let (usable, text) = verdict(provider, face, base, &answer, versioned);
            let times = answer.ok().map(|answer| times(base, &answer));
            let who = format!("{} {}{}", provider.name, base.authority, base.path);
            findings.push(Finding { who, usable, text, times });
        }
    }
    findings
}

/// Whether an OpenAI face that knows no models has them one level deeper: its URL was written without the version.
async fn lacks_version(answer: &Answered, face: Face, destination: &Destination) -> bool {
    let lost = matches!(answer, Ok(Answer { status, body, .. })
        if *status == 404 || (*status == 200 && count(face, body).is_none()));
    let deeper = if face == Face::OpenAi { "v1/models" } else { return false };
    lost && matches!(fetch::ask(destination, Question::get(face, deeper, &[])).await, Ok(found) if found.status != 404)
}

/// How long each step took, and what of it a request on a warm connection does not wait for.
fn times(base: &Base, answer: &Answer) -> String {
    let Answer { timings, answered, .. } = answer;
    let millis = |micros: u64| format!("{:.1} ms", micros as f64 / 1e3);
    let mut steps = Vec::new();
    let hop = base.proxy.as_ref().map_or(base.host.as_str(), |proxy| &proxy.host);
    if hop.parse::<IpAddr>().is_err() {
        steps.push(("name lookup", timings.dns_micros));
    }
    steps.push(("TCP", timings.tcp_micros));
    if base.proxy.is_some() {
        steps.push(("proxy", timings.proxy_micros));
    }
    if base.tls {
        steps.push(("TLS", timings.tls_micros));
    }
    let saved = steps.iter().map(|(_, micros)| micros).sum();
    steps.push(("first answer", answered.as_micros() as u64));
    let steps: Vec<_> = steps.into_iter().map(|(name, micros)| format!("{name} {}", millis(micros))).collect();
    format!("{}; a warm connection saves {}", steps.join(", "), millis(saved))
}

type Answered = Result<Answer, Unanswered>;

/// What an answer means for whoever wants to use the provider.
fn verdict(provider: &Provider, face: Face, base: &Base, answer: &Answered, versioned: bool) -> (bool, String) {
    let prefix = variables::prefix(&provider.name);
    let own_key = provider.has_key();
    let answer = match answer {
        Err(Unanswered(why)) => return (false, why.clone()),
        Ok(Answer { status, body, .. }) => (*status, body),
    };
    match answer {
        _ if versioned => (false, format!("the URL lacks its version: write {prefix}_ENDPOINT_URL={base}/v1")),
        (401 | 403, _) if own_key => (false, format!("refuses the key in {prefix}_API_KEY")),
        (401 | 403, _) if provider.credential == Credential::Nobody => {
            (false, format!("wants a key: set {prefix}_API_KEY"))
        }
        (401 | 403, _) => (true, "reached; clients bring their own credential".into()),
        (200, body) => match count(face, body) {
            Some(1) => (true, "reached; lists 1 model".into()),
            Some(count) => (true, format!("reached; lists {count} models")),
            None => (false, "answers, but not with a list of models: is this the right URL?".into()),
        },
        // Some servers list no models and are fine otherwise.
        (404 | 405 | 501, _) => (true, "reached; lists no models".into()),
        (status, _) => (false, format!("answers with status {status}")),
    }
}

/// The number of models in a list; `None` if it is none.
fn count(face: Face, body: &[u8]) -> Option<usize> {
    let mut models = Models::default();
    models.add_list(face, &mut body.to_vec(), "", str::to_owned).then(|| models.len())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Source;
    use crate::net::origin::Timings;

    fn found(extra: &[(&str, &str)], answer: Answered, versioned: bool) -> (bool, String) {
        let environment = [("SIDESTREAM_PROVIDERS", "mock"), ("MOCK_ENDPOINT_URL", "https://mock.example")];
        let environment = environment.iter().chain(extra).map(|(name, value)| (name.to_string(), value.to_string()));
        let config = Config::read(&Source::of(environment)).unwrap();
        let provider = &config.providers[0];
        verdict(provider, Face::OpenAi, provider.openai.as_ref().unwrap(), &answer, versioned)
    }

    #[test]
    fn what_it_took_is_told() {
        let timings = Timings { dns_micros: 1_240, tcp_micros: 20_000, proxy_micros: 300, tls_micros: 41_060 };
        let answer = Answer { status: 200, body: Vec::new(), timings, answered: Duration::from_micros(130_450) };
        for (url, proxy, steps, saved) in [
            ("https://a.example/v1", "", "name lookup 1.2 ms, TCP 20.0 ms, TLS 41.1 ms", "62.3"),
            ("http://127.0.0.1:1/v1", "", "TCP 20.0 ms", "20.0"),
            ("http://[::1]:1/v1", "", "TCP 20.0 ms", "20.0"),
            (
                "https://127.0.0.1/v1",
                "http://proxy.example:3128",
                "name lookup 1.2 ms, TCP 20.0 ms, proxy 0.3 ms, TLS 41.1 ms",
                "62.6",
            ),
        ] {
            let environment = [("SIDESTREAM_PROVIDERS", "m"), ("M_ENDPOINT_URL", url), ("M_PROXY", proxy)];
            let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let config = Config::read(&Source::of(environment)).unwrap();
            let told = times(config.providers[0].openai.as_ref().unwrap(), &answer);
            let want = format!("{steps}, first answer 130.4 ms; a warm connection saves {saved} ms");
            assert_eq!(told, want, "{url} {proxy}");
        }
    }

    #[test]
    fn what_is_found_is_named() {
        let (timings, answered) = Default::default();
        let answer = |status, body: &str| Ok(Answer { status, body: body.as_bytes().to_vec(), timings, answered });
        let key = [("MOCK_API_KEY", "sk-canary")];
        let client = [("MOCK_API_KEY", "client")];
        let lists = r#"{"data":[{"id":"a"},{"id":"b"}]}"#;
        for (extra, answer, versioned, usable, part) in [
            (&key[..], answer(200, lists), false, true, "2 models"),
            (&key[..], answer(401, ""), false, false, "MOCK_API_KEY"),
            (&key[..], answer(403, ""), false, false, "refuses the key"),
            (&[][..], answer(401, ""), false, false, "wants a key"),
            (&client[..], answer(401, ""), false, true, "their own credential"),
            (&key[..], answer(404, ""), true, false, "MOCK_ENDPOINT_URL=https://mock.example/v1"),
            (&key[..], answer(404, ""), false, true, "lists no models"),
            (&key[..], answer(200, "<html>"), false, false, "right URL"),
            (&key[..], answer(500, ""), false, false, "status 500"),
            (&key[..], Err(Unanswered("no TLS session".into())), false, false, "no TLS session"),
        ] {
            let (is_usable, text) = found(extra, answer, versioned);
            assert!(text.contains(part), "{part} in {text}");
            assert_eq!(is_usable, usable, "{text}");
            assert!(!text.contains("canary"));
        }
    }
}
