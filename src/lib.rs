//! sidestream carries an application's LLM traffic: it listens beside the application, speaks the OpenAI and
//! Anthropic dialects, and keeps warm connections to the providers.
//!
//! # The path of a request
//!
//! [`run`] reads the [`config`], binds, and starts the [`worker`]s. From then on one async function,
//! [`proxy::exchange::exchange`], holds the steps in their order:
//!
//! 1. **accept** – [`worker`] takes a connection from its [`net::listener`]; [`proxy::connection`] owns it from then
//!    on, and [`net::inbox`] holds what the client sent and notices when it is gone.
//! 2. **head** – [`http::head`] finds the end of the head and parses it strictly.
//! 3. **admit** – [`proxy::admit`]: framing ([`http::framing`]), `Host`, expectations.
//! 4. **body** – [`proxy::upload`]: JSON endpoints ([`dialect::endpoint`]) are buffered and scanned ([`json`]) as they
//!    come; everything else is streamed through.
//! 5. **peek, plan** – the model's name, and what [`route`] makes of it.
//! 6. **take or dial** – a kept connection from the [`net::pool`], or a new one to its [`net::origin`].
//! 7. **send, upstream head** – [`proxy::ask`]: both at once, so that an early answer is heard.
//! 8. **relay** – [`proxy::relay`]: bytes untouched, one write per read, framing by [`http::passage`].
//! 9. **settle** – reuse or close each side, one line in the [`telemetry::log`], [`telemetry::counters`].
//!
//! What ends a request early is a [`fault::Fault`], told in the client's dialect by [`proxy::local`].
//!
//! # Rooms
//!
//! Pure rooms decide, and know neither sockets nor clocks: [`http`], [`sse`], [`json`], [`dialect`], [`route`],
//! [`config`]. The runtime is named under [`net`], [`proxy`], [`mock`] and in [`worker`] only. [`limits`] holds every
//! bound.

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
pub mod proxy;
pub mod route;
pub mod run;
pub mod sse;
pub mod telemetry;
pub mod worker;
