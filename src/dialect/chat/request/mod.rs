//! Requests.

pub(in crate::dialect) mod read;

pub use read::read;
