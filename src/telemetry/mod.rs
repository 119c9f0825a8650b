//! What can be known about a running sidestream: [`counters`] per worker, merged when [`metrics`] are scraped, and
//! the [`log`].

pub mod counters;
pub mod log;
pub mod metrics;
