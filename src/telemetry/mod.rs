//! What can be known about a running sidestream: [`counters`] per worker and [`provider`], merged when [`metrics`] are
//! scraped, and the [`log`], in which a [`request_id`] finds a request.

pub mod cell;
pub mod chores;
pub mod counters;
pub mod failures;
mod line;
pub mod log;
pub mod losses;
pub mod metrics;
pub mod models;
pub mod provider;
pub mod reasons;
pub mod request_id;
