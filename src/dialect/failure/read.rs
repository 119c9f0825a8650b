//! Understands what an upstream said instead of an answer. Every server has its own shape; the best message, a code and a
//! class are found in all of them.

use super::{Class, Failure, overflow};
use crate::dialect::Dialect;
use crate::json::{Index, Kind, Value};
use crate::limits::{EVENT_BYTES_MAX, FAILURE_MESSAGE_BYTES_MAX, FAILURE_NESTING_MAX};
use crate::sse::Splitter;

/// Reads an error's body, or a body with status 200 that holds an error. It never fails: of what cannot be understood the
/// status tells the class.
pub fn read(dialect: Dialect, status: u16, body: &[u8]) -> Failure {
    let body = body.trim_ascii();
    let mut index = Index::default();
    match index.read(body) {
        Ok(value) => read_value(dialect, status, value),
        Err(_) => match first_event(body) {
            Some(data) => match index.read(&data) {
                Ok(value) => read_value(dialect, status, value),
                Err(_) => Said { message: plain(&data), ..Said::default() }.failure(dialect, status),
            },
            None => Said { message: plain(body), ..Said::default() }.failure(dialect, status),
        },
    }
}

/// The same of a body, or an event of a stream, that is JSON. `status` is 200 where there is no better.
pub fn read_value(dialect: Dialect, status: u16, value: Value<'_>) -> Failure {
    let mut said = Said::default();
    said.take(value, FAILURE_NESTING_MAX);
    if said.message.is_none() && said.code.is_none() && said.kind.is_none() {
        said.message = Some(bounded(String::from_utf8_lossy(value.raw()).into_owned())).filter(|text| text != "{}");
    }
    said.failure(dialect, status)
}

/// What was found, each the first of its kind from the inside out.
#[derive(Default)]
struct Said {
    message: Option<String>,
    /// `type`, or another's name for it.
    kind: Option<String>,
    code: Option<String>,
    param: Option<String>,
    /// A number where others have a code.
    status: Option<u16>,
    tokens: Option<u64>,
    window: Option<u64>,
}

impl Said {
    fn take(&mut self, value: Value<'_>, depth: u32) {
        let Some(depth) = depth.checked_sub(1) else { return };
        match value.kind() {
            Kind::String => set(&mut self.message, value.text()),
            Kind::Array => value.items().take(1).for_each(|first| self.take(first, depth)),
            Kind::Object => self.take_object(value, depth),
            _ => {}
        }
    }

    fn take_object(&mut self, object: Value<'_>, depth: u32) {
        let string = |key: &str| object.get(key).and_then(|value| value.text());
        let error = object.get("error");
        match error {
            Some(error) if error.kind() != Kind::String => self.take(error, depth),
            _ => {}
        }
        for key in ["errors", "response"] {
            if let Some(inner) = object.get(key).filter(|inner| matches!(inner.kind(), Kind::Object | Kind::Array)) {
                self.take(inner, depth);
            }
        }
        for key in ["message", "detail", "msg", "error_message", "error_msg"] {
            match object.get(key) {
                Some(list) if list.kind() == Kind::Array => set(&mut self.message, complaints(list)),
                Some(inner) => self.take(inner, depth),
                None => {}
            }
        }
        // Beside a message it is a name (`{"error":"not_found","message":…}`), alone it is the message.
        let error = error.and_then(|error| error.text());
        match self.message {
            Some(_) => set(&mut self.kind, error),
            None => set(&mut self.message, error),
        }
        set(&mut self.message, string("title"));
        if let Some(details) = object.get("details") {
            set(&mut self.code, details.get("error_code").and_then(|code| code.text()));
        }
        ["code", "error_code", "status", "statusCode"].iter().for_each(|key| self.take_code(key, object.get(key)));
        set(&mut self.kind, string("type").filter(|kind| kind != "error"));
        set(&mut self.param, string("param"));
        self.tokens = self.tokens.or(object.get("n_prompt_tokens").and_then(|count| count.as_u64()));
        self.window = self.window.or(object.get("n_ctx").and_then(|count| count.as_u64()));
        // Gateways hide the provider's own words here.
        if let Some(raw) = object.get("metadata").and_then(|metadata| metadata.get("raw")?.text()) {
            self.add_raw(&raw, depth);
        }
    }

    /// A code is a name; a number of three digits is a status.
    fn take_code(&mut self, key: &str, value: Option<Value<'_>>) {
        let Some(value) = value else { return };
        let code = value.text().or_else(|| value.as_u64().map(|number| number.to_string())).unwrap_or_default();
        match code.parse().ok().filter(|status| (400..600).contains(status)) {
            Some(status) => self.status = self.status.or(Some(status)),
            None if key == "status" => set(&mut self.kind, value.text()),
            None => set(&mut self.code, Some(code)),
        }
    }

    fn add_raw(&mut self, raw: &str, depth: u32) {
        let (mut index, mut inner) = (Index::default(), Said::default());
        match index.read(raw.as_bytes()) {
            Ok(value) => inner.take(value, depth),
            Err(_) => inner.message = Some(raw.to_owned()),
        }
        if let Some(more) = inner.message {
            self.message = Some(match self.message.take() {
                Some(message) if !message.is_empty() && message != more => format!("{message}: {more}"),
                _ => more,
            });
        }
        set(&mut self.code, inner.code);
        set(&mut self.kind, inner.kind);
    }

    fn failure(self, dialect: Dialect, status: u16) -> Failure {
        let status = if (400..600).contains(&status) { status } else { self.status.unwrap_or(200) };
        let class = self.class(status);
        let message = self.message.filter(|message| !message.trim().is_empty()).unwrap_or_else(|| match status {
            200 => "The upstream failed and did not say why.".to_owned(),
            status => format!("The upstream answered with status {status} and did not say why."),
        });
        // Where there is no code Chat's types may say more than our class. In Messages the type is the class.
        let kind = self.kind.filter(|kind| dialect != Dialect::Messages && class_named(kind).is_none());
        Failure { class, message: bounded(message), code: self.code.or(kind), param: self.param }
    }

    fn class(&self, status: u16) -> Class {
        let names = [self.code.as_deref(), self.kind.as_deref()];
        let message = self.message.as_deref().unwrap_or_default();
        let can_be_overflow = !matches!(status, 401..=404 | 408 | 429 | 529);
        if can_be_overflow
            && let Some((tokens, window)) = names
                .iter()
                .find_map(|name| name.and_then(|name| overflow::recognise(Some(name), message)))
                .or_else(|| overflow::recognise(None, message))
        {
            return Class::ContextOverflow { tokens: self.tokens.or(tokens), window: self.window.or(window) };
        }
        let (by_status, is_sure) = class_of_status(status);
        let named = names.iter().flatten().find_map(|name| class_named(name));
        match named {
            _ if is_sure => by_status,
            // A server that fails is not cured by calling it our request's fault.
            Some(Class::InvalidRequest | Class::Server) if status >= 500 => by_status,
            Some(named) => named,
            None => by_status,
        }
    }
}

/// What a status means, and whether it leaves a doubt.
pub(super) fn class_of_status(status: u16) -> (Class, bool) {
    match status {
        401 => (Class::Authentication, true),
        402 => (Class::Billing, true),
        403 => (Class::Permission, true),
        404 => (Class::NotFound, true),
        408 => (Class::RequestTimeout, true),
        409 => (Class::Conflict, true),
        413 => (Class::TooLarge, true),
        429 => (Class::RateLimit, true),
        // 522 and 524 are a CDN's.
        504 | 522 | 524 => (Class::Timeout, true),
        529 => (Class::Overloaded, true),
        503 => (Class::Overloaded, false),
        500 => (Class::Server, false),
        400..500 => (Class::InvalidRequest, false),
        _ => (Class::Api, false),
    }
}

/// What a `type` or `code` means, by any vendor.
fn class_named(name: &str) -> Option<Class> {
    Some(match name.to_ascii_lowercase().as_str() {
        "invalid_request_error"
        | "bad_request"
        | "bad_request_error"
        | "badrequesterror"
        | "invalid_argument"
        | "invalid_request"
        | "validation_error"
        | "unsupported_parameter"
        | "unsupported_value"
        | "unknown_parameter"
        | "invalid_prompt"
        | "content_policy_violation"
        | "request_too_long" => Class::InvalidRequest,
        "authentication_error" | "invalid_api_key" | "unauthorized" | "unauthenticated" | "authenticationerror" => {
            Class::Authentication
        }
        "billing_error"
        | "insufficient_quota"
        | "credit_balance_exhausted"
        | "insufficient_balance"
        | "payment_required" => Class::Billing,
        "permission_error"
        | "permission_denied"
        | "permissiondeniederror"
        | "forbidden"
        | "access_denied"
        | "unsupported_country_region_territory" => Class::Permission,
        "not_found_error" | "model_not_found" | "not_found" | "notfounderror" | "unknown_url" => Class::NotFound,
        "request_timeout" => Class::RequestTimeout,
        "timeout_error" | "timeout" | "deadline_exceeded" | "gateway_timeout" => Class::Timeout,
        "conflict_error" => Class::Conflict,
        "request_too_large" | "payload_too_large" => Class::TooLarge,
        "rate_limit_error"
        | "rate_limit_exceeded"
        | "rate_limit"
        | "ratelimiterror"
        | "requests"
        | "tokens"
        | "too_many_requests"
        | "resource_exhausted"
        | "throttling" => Class::RateLimit,
        "overloaded_error"
        | "overloaded"
        | "server_is_overloaded"
        | "slow_down"
        | "service_unavailable_error"
        | "service_unavailable"
        | "serviceunavailableerror"
        | "unavailable"
        | "engine_overloaded_error" => Class::Overloaded,
        "api_error"
        | "server_error"
        | "internal_server_error"
        | "internalservererror"
        | "internal_error"
        | "internal" => Class::Server,
        _ => return None,
    })
}

/// FastAPI's `detail`: what is wrong, and where; any other list's first message.
fn complaints(list: Value<'_>) -> Option<String> {
    const SHOWN_MAX: usize = 8;
    let complaint = |item: Value<'_>| {
        let message = item.text().or_else(|| item.get("msg").or_else(|| item.get("message"))?.text())?;
        let steps = item.get("loc").map(|steps| {
            steps
                .items()
                .map(|step| step.text().unwrap_or_else(|| plain(step.raw()).unwrap_or_default()))
                .collect::<Vec<_>>()
        });
        Some(steps.map_or(message.clone(), |steps| format!("{}: {message}", steps.join("."))))
    };
    let complaints: Vec<_> = list.items().take(SHOWN_MAX).filter_map(complaint).collect();
    (!complaints.is_empty()).then(|| complaints.join("; "))
}

/// An error sent as the first event of a stream.
fn first_event(body: &[u8]) -> Option<Vec<u8>> {
    if ![&b"data:"[..], b"event:", b":"].iter().any(|start| body.starts_with(start)) {
        return None;
    }
    let (mut splitter, mut first) = (Splitter::new(EVENT_BYTES_MAX), None);
    let mut keep = |data: &[u8]| {
        if first.is_none() && !data.is_empty() {
            first = Some(data.to_vec());
        }
    };
    for piece in [body, b"\n\n"] {
        splitter.push(piece, |event| keep(event.data)).ok()?;
    }
    first
}

/// The words of what is no JSON: plain text, or a page's title.
fn plain(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body.get(..FAILURE_MESSAGE_BYTES_MAX).unwrap_or(body));
    let is_page = text.starts_with('<');
    let title = || element(&text, "title").or_else(|| element(&text, "h1"));
    let text = if is_page { title().unwrap_or(&text) } else { &text };
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// What stands in a page's first element of that name.
fn element<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    let lower = page.to_ascii_lowercase();
    let open = lower.find(&format!("<{name}"))?;
    let start = open + lower.get(open..)?.find('>')? + 1;
    let end = start + lower.get(start..)?.find(&format!("</{name}"))?;
    page.get(start..end)
}

fn bounded(mut message: String) -> String {
    let mut end = FAILURE_MESSAGE_BYTES_MAX.min(message.len());
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.truncate(end);
    message
}

fn set(place: &mut Option<String>, value: Option<String>) {
    if place.is_none() {
        *place = value.filter(|value| !value.is_empty());
    }
}
