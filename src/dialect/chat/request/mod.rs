//! Requests.

mod read;

pub use read::read;
