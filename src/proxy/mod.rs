//! The path of a request, and what it stands on.
//!
//! | module | what |
//! |---|---|
//! | [`exchange`] | **the** path: one request and its answer, top to bottom |
//! | [`connection`] | a client's connection: keep-alive, pipelining, the end |
//! | [`admit`] | who may ask, and how the body comes |
//! | [`upload`] | the request's body: buffered, or streamed on |
//! | [`ask`] | one try at an upstream: take or dial, send, hear the head of the answer |
//! | [`relay`] | the answer's body on its way to the client |
//! | [`local`] | answers of our own: refusals and own endpoints |
//! | [`job`] | a request's memory, used again by the next |
//! | [`world`] | what one worker owns |

pub mod admit;
pub mod ask;
pub mod connection;
pub mod exchange;
pub mod job;
pub mod local;
pub mod relay;
pub mod upload;
pub mod world;
