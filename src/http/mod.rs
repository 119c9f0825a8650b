//! HTTP/1.1 without I/O: bytes in, decisions and spans out. No socket, no clock, and nothing allocated per message once
//! the reused structs have grown to the size of the traffic.
//!
//! In the order in which a message meets them:
//!
//! - [`head`] finds the end of a head and reads it strictly (RFC 9112 §2 to §5);
//! - [`framing`] is the only place that decides how a body ends (RFC 9112 §6);
//! - [`body`] walks a body of any framing, [`chunked`] is the chunked coding in both directions (RFC 9112 §7);
//! - [`passage`] carries a body from one leg to the other, in the framing that the other wants;
//! - [`fields`] tells hop-by-hop fields from those that travel on (RFC 9110 §7.6.1);
//! - [`mod@write`] writes heads;
//! - [`reject`] is the table of everything we refuse: reason → status, close, name, message.
//!
//! What two readers of one message could understand differently is refused, never repaired: a sidecar stands in a chain,
//! and disagreement inside a chain is request smuggling.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod body;
pub mod chunked;
pub mod fields;
pub mod framing;
pub mod head;
pub mod passage;
pub mod reject;
pub mod write;

#[cfg(test)]
mod splits;
