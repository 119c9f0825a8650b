//! Heads: the request or status line and the fields (RFC 9112 §2 to §5).
//!
//! [`HeadScanner`] watches bytes arrive and tells where the head ends; [`RequestHead`] and [`ResponseHead`] then read it
//! once. httparse splits the fields; what it lets pass and we do not (bare LF, odd targets, doubled Host …) is checked
//! beside it, each rule with its section.

mod line;
mod name;
mod request;
mod response;
mod scanner;
mod table;

pub use line::{Method, Version};
pub use name::{Name, Names};
pub use request::RequestHead;
pub use response::{BadResponse, ResponseHead};
pub use scanner::{HeadKind, HeadScanner};
pub use table::FieldTable;
