//! Requests in Chat Completions.

mod write;
mod write_layout;
mod write_messages;
mod write_parts;
mod write_thinking;
mod write_tools;
mod write_vendor_tools;

pub use write::write;
