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
//! | [`pool`] | kept upstream connections, checked before reuse |
//! | [`dial`] | new upstream connections |
//! | [`buffers`] | the worker's free list of byte vectors |
//! | `sys` | the crate's only unsafe code: borrowed descriptors |

pub mod buffers;
pub mod deadlines;
pub mod dial;
pub mod driver;
pub mod inbox;
pub mod listener;
pub mod pool;
pub mod stream;
mod sys;
pub mod tls;

pub use sys::{Pulse, trim_memory};
