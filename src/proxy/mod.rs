//! The path of a request, and what it stands on.
//!
//! | module | what |
//! |---|---|
//! | [`exchange`] | **the** path: one request and its answer, top to bottom |
//! | [`connection`] | a client's connection: keep-alive, pipelining, the end |
//! | [`admit`] | who may ask, and how the body comes |
//! | [`plan`] | which model is asked for, and where such a request may go |
//! | [`mod@look`] | a look into the body, where a rule asks what it holds |
//! | [`upload`] | the request's body: buffered, or streamed on |
//! | [`outbound`] | the head of the upstream request: what is replaced, and whose credential goes along |
//! | [`reach`] | from targets to an answer: what each gets, and what is sent once more |
//! | `journey` | the tries of one request, and what follows from each |
//! | `hedge` | a second try beside one that is late |
//! | [`refusal`] | an answer that is no success, read whole |
//! | [`ask`] | one try at an upstream: take or dial, send, hear the head of the answer |
//! | [`hold`] | the wait for a stream's first event |
//! | [`relay`] | the answer's body on its way to the client, untouched |
//! | [`translate`], [`deliver`] | the request into another dialect, and the answer back |
//! | [`rhythm`] | when a silent stream needs a word of ours |
//! | [`intake`], [`incoming`] | the upstream's side of an answer under way, and its payload |
//! | [`settle`], [`access_log`] | counts, what they teach, and the log line |
//! | [`local`] | answers of our own: refusals and own endpoints |
//! | [`models`] | the merged list of models |
//! | [`fetch`] | a request of our own to a provider |
//! | [`warm_up`] | what is done before anybody asks |
//! | [`aside`] | work for helper threads |
//! | [`count`] | counting tokens for an upstream that does not |
//! | `remembered` | what belongs to a model: its price, its numbers |
//! | [`chores`] | small requests that need no model, answered here |
//! | [`trims`] | when free memory goes back to the system |
//! | [`stop`] | ending all requests in flight |
//! | [`cors`] | what browsers ask and are told |
//! | [`job`], [`stage`] | a request's memory, and its future's, used again by the next |
//! | [`site`] | what runs by one configuration |
//! | [`world`] | what one worker owns |

pub mod access_log;
pub mod admit;
pub mod aside;
pub mod ask;
pub mod chores;
pub mod connection;
pub mod cors;
pub mod count;
pub mod deliver;
pub mod exchange;
pub mod fetch;
mod hedge;
pub mod hold;
pub mod incoming;
pub mod intake;
pub mod job;
mod journey;
pub mod local;
pub mod look;
pub mod models;
pub mod outbound;
pub mod plan;
pub mod reach;
pub mod refusal;
pub mod relay;
mod remembered;
pub mod rhythm;
pub mod settle;
pub mod site;
pub mod stage;
pub mod stop;
pub mod translate;
pub mod trims;
pub mod upload;
pub mod warm_up;
pub mod world;
