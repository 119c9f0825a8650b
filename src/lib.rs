//! sidestream carries an application's LLM traffic: it listens beside the application, speaks the OpenAI and
//! Anthropic dialects, and keeps warm connections to the providers.
//!
//! # The path of a request
//!
//! `accept → head → admit → body → peek → plan → take or dial → send → upstream head → relay → settle`
//!
//! # Rooms
//!
//! Pure rooms decide and know neither sockets nor clocks: [`http`], [`sse`], [`json`].

pub mod http;
pub mod json;
pub mod limits;
pub mod mock;
pub mod sse;
