//! The shape of an error in each dialect: the one place that knows it.

use crate::dialect::Dialect;
use crate::json::text::encode;
use crate::sse::frame;

/// What an error says, whoever says it.
#[derive(Clone, Copy, Debug)]
pub(in crate::dialect) struct Envelope<'a> {
    /// The dialect's `type`.
    pub kind: &'a str,
    /// For people, and for clients that match on wording.
    pub message: &'a str,
    /// The parameter it is about (Chat, Responses).
    pub param: Option<&'a str>,
    /// For programs (Chat, Responses).
    pub code: Option<&'a str>,
    /// More for programs: an object as it stands (Messages).
    pub details: Option<&'a str>,
    /// How logs know the request (Messages).
    pub request_id: &'a str,
}

impl Envelope<'_> {
    /// Appends the JSON body of an error.
    pub fn write_body(&self, dialect: Dialect, out: &mut Vec<u8>) {
        match dialect {
            Dialect::Messages => {
                out.extend_from_slice(b"{\"type\":\"error\",\"error\":{\"type\":");
                encode(self.kind.as_bytes(), out);
                out.extend_from_slice(b",\"message\":");
                encode(self.message.as_bytes(), out);
                if let Some(details) = self.details {
                    out.extend_from_slice(b",\"details\":");
                    out.extend_from_slice(details.as_bytes());
                }
                out.extend_from_slice(b"},\"request_id\":");
                nullable(Some(self.request_id).filter(|id| !id.is_empty()), out);
                out.push(b'}');
            }
            Dialect::Chat | Dialect::Responses => {
                out.extend_from_slice(b"{\"error\":{\"message\":");
                encode(self.message.as_bytes(), out);
                out.extend_from_slice(b",\"type\":");
                encode(self.kind.as_bytes(), out);
                out.extend_from_slice(b",\"param\":");
                nullable(self.param, out);
                out.extend_from_slice(b",\"code\":");
                nullable(self.code, out);
                out.extend_from_slice(b"}}");
            }
        }
    }

    /// Appends the error as the last event of a stream that already began. Clients raise it as an exception; a stream
    /// that merely stopped could be taken for a short answer. Chat's has no event name and no `[DONE]` behind it.
    pub fn write_event(&self, dialect: Dialect, out: &mut Vec<u8>) {
        let mut data = Vec::new();
        match dialect {
            Dialect::Chat | Dialect::Messages => self.write_body(dialect, &mut data),
            // Flat, unlike its body: the Responses API's `error` event.
            Dialect::Responses => {
                data.extend_from_slice(b"{\"type\":\"error\",\"code\":");
                nullable(self.code, &mut data);
                data.extend_from_slice(b",\"message\":");
                encode(self.message.as_bytes(), &mut data);
                data.extend_from_slice(b",\"param\":");
                nullable(self.param, &mut data);
                data.push(b'}');
            }
        }
        frame::write_event(out, if dialect == Dialect::Chat { "" } else { "error" }, &data);
    }
}

fn nullable(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        Some(text) => encode(text.as_bytes(), out),
        None => out.extend_from_slice(b"null"),
    }
}
