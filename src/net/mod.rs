//! Sockets, and the home of the runtime (`proxy`, `mock` and `worker` may name it too).
//!
//! | module | what |
//! |---|---|
//! | [`driver`] | io_uring or epoll: what this kernel allows, which was chosen and why |
//! | [`listener`] | binding before the workers start; a second instance is noticed |
//! | [`stream`] | one connection as a receiving and a sending side; how a read waits without losing a byte |
//! | [`tls`] | encryption of such a connection, in both directions |
//! | [`deadlines`] | one table per worker that ends what waits too long, and takes buffers from what is silent |
//! | [`inbox`] | what a client sent and nobody has read yet; learns at once that it is gone |
//! | [`pool`] | the connections to one origin: kept, looked at, waited for, opened ahead |
//! | [`slots`], [`idle_limit`], [`looks`], [`spares`] | what the pool decides by: places and who waits, how long to keep, when to look, when to open ahead |
//! | [`savings`] | what connecting costs, and what kept connections save |
//! | [`origin`] | from a name to a connection that is ready for a request, in one deadline |
//! | [`dns`] | names, resolved on helper threads |
//! | [`bell`] | how a helper thread wakes a worker |
//! | [`dial`] | new TCP connections: the addresses of a name race |
//! | [`tunnel`] | through an outbound proxy |
//! | [`pauses`] | rests of connections that had their turn, by one timer |
//! | [`gather`] | whether the sends of one turn go out one by one or together |
//! | [`buffers`] | the worker's free list of byte vectors |
//! | `sys` | the crate's only unsafe code: borrowed descriptors |

pub mod bell;
pub mod buffers;
pub mod deadlines;
pub mod dial;
pub mod dns;
pub mod driver;
pub mod gather;
pub mod idle_limit;
pub mod inbox;
pub mod listener;
pub mod looks;
pub mod origin;
pub mod pauses;
pub mod pool;
pub mod savings;
pub mod slots;
pub mod spares;
pub mod stream;
mod sys;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod tunnel;

pub use sys::{Pulse, trim_memory};
