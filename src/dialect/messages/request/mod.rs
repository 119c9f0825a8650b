//! Requests in Messages.

mod read;
mod read_content;
mod read_server_tools;
mod read_tools;
mod write;

pub use read::{is_client_mark, read, read_to_count};
pub use write::write;
