//! Requests in Chat Completions.

pub(in crate::dialect) mod read;
mod write;
mod write_layout;
mod write_messages;
mod write_parts;
mod write_thinking;
mod write_tools;
mod write_vendor_tools;

pub use read::read;
pub use write::write;

#[cfg(test)]
mod tests;
