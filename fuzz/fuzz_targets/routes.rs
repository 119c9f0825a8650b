//! Any text is rules or problems; rules, shown, are the same rules; a plan names providers that speak what it says.
//! The input's first line is a model's name, the rest are rules.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sidestream::config::provider::{Auth, Base, Credential, Provider};
use sidestream::dialect::Dialect;
use sidestream::route::{Asked, Features, Routes};

fuzz_target!(|input: &str| {
    let providers = [provider("groq", true, false), provider("zai", true, true), provider("anthropic", false, true)];
    let (model, text) = input.split_once('\n').unwrap_or((input, ""));
    let routes = match Routes::parse(text, &providers) {
        Ok(routes) => routes,
        Err(problems) => return assert!(!problems.is_empty()),
    };
    let shown = routes.to_string();
    assert_eq!(Routes::parse(&shown, &providers).as_ref(), Ok(&routes));
    assert!(routes.models().all(|model| !model.is_empty() && !model.contains('*')));

    let asked = Asked {
        model,
        dialect: Dialect::Messages,
        stream: text.len() % 2 == 0,
        provider: None,
        features: Features::default(),
    };
    if let Ok(plan) = routes.plan(&asked, &providers) {
        assert!(plan.first().is_some());
        for candidate in plan.candidates() {
            assert!(providers[candidate.provider].face(candidate.dialect.face()).is_some());
        }
    }
});

fn provider(name: &str, openai: bool, anthropic: bool) -> Arc<Provider> {
    let base = || Base {
        tls: false,
        authority: String::new(),
        host: String::new(),
        port: 80,
        path: String::new(),
        proxy: None,
    };
    Arc::new(Provider {
        profile: Default::default(),
        name: name.to_owned(),
        openai: openai.then(base),
        anthropic: anthropic.then(base),
        credential: Credential::Nobody,
        openai_auth: Auth::Bearer,
        anthropic_auth: Auth::XApiKey,
        headers: Vec::new(),
        roots: None,
        timeout: None,
        connect_timeout: Duration::ZERO,
        tls_timeout: Duration::ZERO,
        first_byte_timeout: Duration::ZERO,
        idle_timeout: Duration::ZERO,
        max_connections: 1,
        queue: 1,
        queue_timeout: Duration::ZERO,
        keepalive_connections: 1,
        warm_connections: 0,
        max_retries: 0,
        breaker: true,
        limits: Default::default(),
        replay: true,
    })
}
