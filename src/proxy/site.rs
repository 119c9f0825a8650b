//! What runs by one configuration. A reload makes a new one; a request keeps the one it began with.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use rustls::{ClientConfig, ServerConfig};

use crate::config::provider::{Base, Pem, Provider};
use crate::config::{Config, Problem};
use crate::dialect::Face;
use crate::net::origin::Origin;
use crate::net::pool::Pool;
use crate::net::tls;
use crate::telemetry::counters::Counters;
use crate::telemetry::provider::ProviderNumbers;

/// A configuration, and what is made of it once for all workers.
pub struct Settings {
    /// The configuration.
    pub config: Config,
    /// How clients are spoken to in TLS.
    pub listener_tls: Option<Arc<ServerConfig>>,
    /// One TLS configuration for each set of roots: a private root for one provider must not vouch for another.
    upstream_tls: HashMap<Roots, Arc<ClientConfig>>,
}

/// The extra roots of all providers, and those of one.
type Roots = (Option<Pem>, Option<Pem>);

impl Settings {
    /// Reads certificates and keys. TLS configurations, with the sessions they remember, are taken over from `before`
    /// where the roots are the same.
    ///
    /// # Errors
    /// Certificates or keys that cannot be used, by variable.
    pub fn new(config: Config, before: Option<&Self>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut upstream_tls = HashMap::new();
        for provider in &config.providers {
            let roots = (config.roots.clone(), provider.roots.clone());
            if upstream_tls.contains_key(&roots) || !provider.speaks_tls() {
                continue;
            }
            let known = before.and_then(|before| before.upstream_tls.get(&roots)).cloned();
            let made = known.map_or_else(|| tls::upstream_config(&texts(&roots)), Ok);
            match made {
                Ok(made) => drop(upstream_tls.insert(roots, made)),
                Err(what) => problems.push(Problem { variable: culprit(&config, provider), what }),
            }
        }
        let listener_tls = config.tls.as_ref().and_then(|own| {
            let client_roots = own.client_roots.as_ref().map(|roots| roots.0.as_slice());
            let made = tls::listener_config(&own.certificates.0, own.key.expose(), client_roots);
            made.map_err(|what| problems.push(Problem { variable: "SIDESTREAM_TLS_CERT".into(), what })).ok()
        });
        if problems.is_empty() { Ok(Self { config, listener_tls, upstream_tls }) } else { Err(problems) }
    }

    /// How a provider's connections are secured.
    pub fn upstream_tls(&self, provider: &Provider) -> Option<Arc<ClientConfig>> {
        self.upstream_tls.get(&(self.config.roots.clone(), provider.roots.clone())).cloned()
    }
}

fn texts(roots: &Roots) -> Vec<&[u8]> {
    [&roots.0, &roots.1].into_iter().flatten().map(|pem| pem.0.as_slice()).collect()
}

/// The variable whose file is to blame for roots that cannot be read.
fn culprit(config: &Config, provider: &Provider) -> String {
    let shared = config.roots.as_ref().is_some_and(|roots| tls::upstream_config(&[&roots.0]).is_err());
    match shared {
        true => "SIDESTREAM_CA_FILE".into(),
        false => format!("{}_CA_FILE", crate::config::variables::prefix(&provider.name)),
    }
}

/// A configuration as one worker runs it.
pub struct Site {
    /// Where it comes from.
    pub settings: Arc<Settings>,
    /// The providers, in the configuration's order.
    pub destinations: Vec<Destination>,
}

/// A provider, as one worker reaches it.
pub struct Destination {
    /// Its configuration.
    pub provider: Arc<Provider>,
    /// Its numbers, of this worker.
    pub numbers: Arc<ProviderNumbers>,
    /// The connections to its OpenAI face.
    openai: Option<Rc<Pool>>,
    /// The connections to its Anthropic face; the same pool if both faces are at one origin.
    anthropic: Option<Rc<Pool>>,
}

impl Site {
    /// Builds a worker's site. Pools are taken over from `before` where nothing that they stand for changed.
    pub fn new(settings: Arc<Settings>, counters: &Counters, before: Option<&Self>) -> Self {
        let mut destinations: Vec<Destination> = Vec::with_capacity(settings.config.providers.len());
        for provider in &settings.config.providers {
            let old = before.and_then(|before| before.named(&provider.name));
            let tls = settings.upstream_tls(provider);
            let origin = |base: &Base| Origin::new(base, tls.clone().filter(|_| base.tls), provider.connect_timeout);
            let kept = |base: &Base| old.and_then(|old| old.same_pool(provider, &origin(base)));
            let pool = |base: &Base| kept(base).unwrap_or_else(|| Rc::new(Pool::new(origin(base), provider.into())));
            let openai = provider.openai.as_ref().map(pool);
            let shared_pool = |base: &Base| openai.clone().filter(|pool| pool.origin().is_same(&origin(base)));
            let anthropic = provider.anthropic.as_ref().map(|base| shared_pool(base).unwrap_or_else(|| pool(base)));
            let numbers = counters.providers.named(&provider.name);
            destinations.push(Destination { provider: provider.clone(), numbers, openai, anthropic });
        }
        Self { settings, destinations }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.settings.config
    }

    /// The place of a provider by its name.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.destinations.iter().position(|destination| destination.provider.name == name)
    }

    /// Every pool, once or twice.
    pub fn pools(&self) -> impl Iterator<Item = (&Destination, &Rc<Pool>)> {
        self.destinations.iter().flat_map(|one| [&one.openai, &one.anthropic].into_iter().flatten().map(move |p| (one, p)))
    }

    fn named(&self, name: &str) -> Option<&Destination> {
        self.destinations.iter().find(|destination| destination.provider.name == name)
    }
}

impl Destination {
    /// The connections to a face.
    pub fn pool(&self, face: Face) -> Option<&Rc<Pool>> {
        match face {
            Face::OpenAi => self.openai.as_ref(),
            Face::Anthropic => self.anthropic.as_ref(),
        }
    }

    fn same_pool(&self, provider: &Provider, origin: &Origin) -> Option<Rc<Pool>> {
        let bounds = |provider: &Provider| {
            (provider.max_connections, provider.keepalive_connections, provider.warm_connections)
        };
        let mut pools = [&self.openai, &self.anthropic].into_iter().flatten();
        let same = pools.find(|pool| pool.origin().is_same(origin) && bounds(&self.provider) == bounds(provider));
        same.cloned()
    }
}
