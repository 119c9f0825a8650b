//! What runs by one configuration. A reload makes a new one; a request keeps the one it began with.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rustls::{ClientConfig, ServerConfig};

use super::models::Listed;
use super::remembered::Remembered;
use crate::config::provider::{Base, Pem, Provider};
use crate::config::{Config, Problem};
use crate::dialect::Face;
use crate::net::origin::Origin;
use crate::net::pool::{Bounds, Means, Pool};
use crate::net::tls;
use crate::prices::{Price, Prices};
use crate::route::health::Health;
use crate::route::stats::Stats;
use crate::route::sticky::Sessions;
use crate::route::strategy::Strategy;
use crate::telemetry::counters::Counters;
use crate::telemetry::models::ModelNumbers;
use crate::telemetry::provider::ProviderNumbers;

/// A configuration, and what is made of it once for all workers.
pub struct Settings {
    /// The configuration.
    pub config: Config,
    /// How clients are spoken to in TLS.
    pub listener_tls: Option<Arc<ServerConfig>>,
    /// What all workers know of each provider, in the configuration's order.
    health: Vec<Arc<Health>>,
    /// How candidates did lately, where a strategy asks for it.
    pub stats: Option<Arc<Stats>>,
    /// What hedging may still send twice: an [`Allowance`](crate::route::hedge::Allowance).
    pub hedges: AtomicU64,
    /// Where conversations are, where they stay there.
    pub sessions: Option<Arc<Sessions>>,
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
        if !problems.is_empty() {
            return Err(problems);
        }
        let health = config.providers.iter().map(|provider| health_of(provider, before)).collect();
        // Weights and prices give a session the same place each time by themselves.
        let watches = |strategy| matches!(strategy, Strategy::Latency | Strategy::Score);
        let chooses = config.routes.strategies(config.tries.strategy).any(watches);
        let is_watched = chooses || config.tries.hedge > 0;
        let stats = is_watched.then(|| before.and_then(|before| before.stats.clone()).unwrap_or_default());
        let sessions = before.and_then(|before| before.sessions.clone());
        let sessions = (chooses && config.tries.sticky).then(|| sessions.unwrap_or_default());
        Ok(Self { config, listener_tls, health, stats, hedges: AtomicU64::new(0), sessions, upstream_tls })
    }

    /// How a provider's connections are secured.
    pub fn upstream_tls(&self, provider: &Provider) -> Option<Arc<ClientConfig>> {
        self.upstream_tls.get(&(self.config.roots.clone(), provider.roots.clone())).cloned()
    }
}

/// What is known of a provider stays known while its keys and limits are the same: a new key must not be benched for what
/// an old one did.
fn health_of(provider: &Provider, before: Option<&Settings>) -> Arc<Health> {
    let is_same = |known: &&Arc<Provider>| {
        let was_made_for = (&known.name, &known.credential, known.limits, known.breaker);
        was_made_for == (&provider.name, &provider.credential, provider.limits, provider.breaker)
    };
    let known = before.and_then(|before| {
        let place = before.config.providers.iter().position(|known| is_same(&known))?;
        before.health.get(place).cloned()
    });
    known.unwrap_or_else(|| Arc::new(Health::new(provider.keys(), provider.limits, provider.breaker)))
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
    /// What all workers know of it.
    pub health: Arc<Health>,
    /// Its numbers, of this worker.
    pub numbers: Arc<ProviderNumbers>,
    /// The connections to its OpenAI face.
    openai: Option<Rc<Pool>>,
    /// The connections to its Anthropic face; the same pool if both faces are at one origin.
    anthropic: Option<Rc<Pool>>,
    /// What it listed, while that is fresh; by no client's credential.
    pub listed: RefCell<Option<Listed>>,
    /// Counts the requests, for providers with several keys.
    turn: Cell<usize>,
    /// What its models cost.
    prices: Remembered<Option<Price>>,
    /// The numbers of its models, for each of its keys.
    models: Vec<Remembered<Arc<ModelNumbers>>>,
}

impl Site {
    /// Builds a worker's site. Pools are taken over from `before` where nothing that they stand for changed.
    pub fn new(settings: Arc<Settings>, counters: &Counters, means: &Means, before: Option<&Self>) -> Self {
        let mut destinations: Vec<Destination> = Vec::with_capacity(settings.config.providers.len());
        for (provider, health) in settings.config.providers.iter().zip(&settings.health) {
            let old = before.and_then(|before| before.named(&provider.name));
            let mut pools: Vec<Rc<Pool>> = old.map(Destination::pools).into_iter().flatten().collect();
            let mut pool = |base: &Base| {
                let origin = origin(&settings, provider, base);
                let bounds = bounds(provider);
                // Faces at one origin share their connections.
                let known = pools.iter().find(|known| is_same(known.origin(), &origin) && known.bounds() == bounds);
                let pool = known.cloned().unwrap_or_else(|| Rc::new(Pool::new(Rc::new(origin), bounds, means.clone())));
                pools.push(pool.clone());
                pool
            };
            destinations.push(Destination {
                provider: provider.clone(),
                health: health.clone(),
                numbers: counters.providers.named(&provider.name),
                openai: provider.openai.as_ref().map(&mut pool),
                anthropic: provider.anthropic.as_ref().map(&mut pool),
                listed: RefCell::default(),
                turn: Cell::new(0),
                prices: Remembered::default(),
                models: (0..provider.keys().max(1)).map(|_| Remembered::default()).collect(),
            });
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

    /// Every pool, once, with whom it leads to.
    pub fn pools(&self) -> impl Iterator<Item = (&Destination, Rc<Pool>)> {
        self.destinations.iter().flat_map(|one| one.pools().map(move |pool| (one, pool)))
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

    /// Its pools, each once.
    pub fn pools(&self) -> impl Iterator<Item = Rc<Pool>> + use<> {
        let second =
            self.anthropic.clone().filter(|second| self.openai.as_ref().is_none_or(|first| !Rc::ptr_eq(first, second)));
        self.openai.clone().into_iter().chain(second)
    }

    /// The price of `model` here, if there is one.
    pub fn price(&self, prices: &Prices, model: &str) -> Option<Price> {
        self.prices.of(model, || prices.of(&self.provider.name, model), |price| *price)
    }

    /// Counts by model and key.
    pub fn count(&self, model: &str, key: usize, count: impl FnOnce(&ModelNumbers)) {
        if let Some(models) = self.models.get(key) {
            models.of(model, || self.numbers.models.named(model, key), |numbers| count(numbers));
        }
    }

    /// Which of several keys is next: they are used in turn.
    pub fn next_turn(&self) -> usize {
        self.turn.replace(self.turn.get().wrapping_add(1))
    }

    /// Adds what happened in a pool of its since the last time to its numbers.
    pub fn collect(&self, pool: &Pool) {
        let new = pool.take_numbers();
        let to = &self.numbers;
        to.connects.add(new.connects);
        to.connect_failures.add(new.connect_failures);
        to.reuses.add(new.reuses);
        to.stale.add(new.stale);
        to.stale_reuses.add(new.stale_reuses);
        to.spares.add(new.spares);
        to.waits.add(new.waits);
        to.wait_timeouts.add(new.wait_timeouts);
        to.connect_micros.add(new.connect_micros);
        to.saved_micros.add(new.saved_micros);
    }
}

fn origin(settings: &Settings, provider: &Provider, base: &Base) -> Origin {
    let tls = settings.upstream_tls(provider).filter(|_| base.tls);
    Origin::new(&base.host, base.port, tls, base.proxy.clone(), provider.connect_timeout, provider.tls_timeout)
}

fn bounds(provider: &Provider) -> Bounds {
    Bounds {
        max: provider.max_connections,
        line_max: provider.queue,
        kept_max: provider.keepalive_connections,
        warm: provider.warm_connections,
    }
}

/// Whether a connection to one may serve for the other: the same end, the same way, the same trust.
fn is_same(one: &Origin, other: &Origin) -> bool {
    let same_tls = match (&one.tls, &other.tls) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    };
    let place = |origin: &Origin| (origin.host.clone(), origin.port, origin.proxy.clone());
    let times = |origin: &Origin| (origin.connect_timeout, origin.tls_timeout);
    same_tls && place(one) == place(other) && times(one) == times(other)
}
