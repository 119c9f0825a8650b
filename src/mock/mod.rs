//! mock
pub mod answer;
pub mod ask;
pub mod chat;
pub mod encode;
pub mod fault;
pub mod messages;
pub mod misc;
pub mod request;
pub mod responses;
