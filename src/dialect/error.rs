//! Errors of our own, in the client's dialect: types from the providers' API references.

use super::Dialect;
use super::failure::envelope::Envelope;
use super::failure::messages_type;
use crate::fault::Fault;

/// The reason of a refusal of Messages' beta `thread`.
pub const THREAD: &str = "thread-unsupported";

/// What Anthropic's SDKs (Python 2.12, TypeScript 1.12) look for to send whole conversations instead.
const THREAD_DETAILS: &str = r#"{"error_code":"thread_unsupported_request","unsupported":["thread"]}"#;

/// Appends the JSON body of an error; `id` is how logs know the request.
pub fn write_body(dialect: Dialect, fault: &Fault, id: &str, out: &mut Vec<u8>) {
    envelope(dialect, fault, id).write_body(dialect, out);
}

/// Appends the error as the last event of a stream that already began. Clients raise it as an exception; a stream that
/// merely stopped could be taken for a short answer.
pub fn write_event(dialect: Dialect, fault: &Fault, id: &str, out: &mut Vec<u8>) {
    envelope(dialect, fault, id).write_event(dialect, out);
}

fn envelope<'a>(dialect: Dialect, fault: &'a Fault, id: &'a str) -> Envelope<'a> {
    let kind = match dialect {
        Dialect::Messages => messages_type(fault.status),
        Dialect::Chat | Dialect::Responses => chat_type(fault.status),
    };
    let details = (fault.reason == THREAD).then_some(THREAD_DETAILS);
    Envelope { kind, message: &fault.message, param: None, code: Some(fault.reason), details, request_id: id }
}

fn chat_type(status: u16) -> &'static str {
    match status {
        429 => "rate_limit_error",
        503 => "service_unavailable_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault() -> Fault {
        Fault::upstream(502, "upstream-connect", "no \"route\"")
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bodies() {
        for (dialect, want) in [
            (
                Dialect::Chat,
                r#"{"error":{"message":"no \"route\"","type":"server_error","param":null,"code":"upstream-connect"}}"#,
            ),
            (
                Dialect::Messages,
                r#"{"type":"error","error":{"type":"api_error","message":"no \"route\""},"request_id":"ss-1"}"#,
            ),
        ] {
            assert_eq!(written(|out| write_body(dialect, &fault(), "ss-1", out)), want);
        }
    }

    #[test]
    fn events() {
        for (dialect, start) in [
            (Dialect::Chat, "data: {\"error\":{"),
            (Dialect::Messages, "event: error\ndata: {\"type\":\"error\",\"error\":{"),
            (Dialect::Responses, "event: error\ndata: {\"type\":\"error\",\"code\":\"upstream-connect\",\"message\":"),
        ] {
            let event = written(|out| write_event(dialect, &fault(), "ss-1", out));
            assert!(event.starts_with(start) && event.ends_with("}\n\n"), "{event}");
        }
    }
}
