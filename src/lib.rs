//! sidestream carries an application's LLM traffic: it listens beside the application, speaks the OpenAI and
//! Anthropic dialects, and keeps warm connections to the providers.
//!
//! # The path of a request
//!
//! [`run`] reads the [`config`], makes of it what all workers share ([`proxy::site::Settings`]), binds, and starts the
//! [`worker`]s. Each takes connections from its [`net::listener`], through [`net::tls`] where clients come by TLS, and
//! gives each to [`proxy::connection`]. Requests then go one by one through [`proxy::exchange::exchange`]:
//!
//! 1. **head** – [`net::inbox`] holds what the client sent and notices when it is gone; [`http::head`] parses strictly.
//! 2. **admit** – [`proxy::admit`]: framing, `Host`, `Origin`, token, loops. [`dialect::endpoint`] says what is asked
//!    for. Own endpoints and refusals are answered by [`proxy::local`], preflights with [`proxy::cors`], the merged list
//!    of models by [`proxy::models`], which asks the providers through [`proxy::fetch`].
//! 3. **body** – [`proxy::upload`]: the JSON of a known endpoint is buffered and scanned ([`json`]) as it comes; every
//!    other body is streamed through later.
//! 4. **peek, plan** – [`proxy::plan`]: the model's name, and the targets that [`route`] makes of it, in their order; where
//!    a rule asks what the body holds, after a look into it ([`mod@proxy::look`]). Tokens are counted here
//!    ([`proxy::count`], [`tokens`]) where the first target cannot count them.
//! 5. **reach** – [`proxy::reach`], try after try: which target is next, and when, [`route::course`] says from what
//!    [`route::verdict`] makes of the tries before and what all workers know of each provider ([`route::health`]). A target
//!    that speaks another dialect gets the request anew, from [`proxy::translate`]: a reader, the waist [`dialect::turn`], a
//!    writer; large bodies on a helper ([`proxy::aside`]).
//! 6. **take or dial** – [`net::pool`]: a kept connection that was looked at, a place in the line, or a new one by
//!    [`net::origin`]: name ([`net::dns`]), TCP ([`net::dial`]), proxy ([`net::tunnel`]), TLS ([`net::tls`]), in one
//!    deadline.
//! 7. **send, hear** – [`proxy::outbound`] writes the head, with the one credential that belongs there; [`proxy::ask`]
//!    sends and hears at once, so that an early answer is heard. A stale connection costs one more try. A stream's head
//!    waits in [`proxy::hold`] until the answer has begun; what is no success is read ([`proxy::refusal`]) if another try may
//!    help, and told if none did.
//! 8. **relay** – [`proxy::relay`]: bytes untouched, one write per read, framing by [`http::passage`]; what the answer
//!    says of its tokens is read in passing ([`dialect::usage`]). Or **deliver** – [`proxy::deliver`]: event by event
//!    ([`sse`]) through a reader, the [`dialect::sequencer`] and a writer.
//! 9. **settle** – [`proxy::settle`]: counts, what they teach about the provider, one line by [`proxy::access_log`]. The pool
//!    and the client's connection get back what can be used again.
//!
//! What ends a request early is a [`fault::Fault`], told in the client's dialect. A reload makes a new
//! [`proxy::site::Site`]; a request keeps the one it began with.
//!
//! # Rooms
//!
//! Pure rooms decide, and know neither sockets nor clocks: [`http`], [`sse`], [`json`], [`dialect`], [`route`],
//! [`tokens`], [`prices`], [`config`]. The runtime is named under [`net`], [`proxy`], [`mock`] and in [`worker`] only.
//! [`limits`] holds every bound that cannot be configured.

pub mod check;
pub mod config;
pub mod demo;
pub mod dialect;
pub mod fault;
pub mod http;
pub mod json;
pub mod limits;
pub mod mock;
pub mod net;
pub mod prices;
pub mod proxy;
pub mod route;
pub mod run;
pub mod sse;
pub mod telemetry;
pub mod tokens;
pub mod worker;
