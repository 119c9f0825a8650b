//! `POST /v1/messages/count_tokens`, for upstreams that do not count.

use std::sync::Arc;

use super::aside::aside;
use crate::dialect::loss::Losses;
use crate::dialect::turn::{Refused, Request, Scale};
use crate::fault::Fault;
use crate::http::reject::Reject;
use crate::http::write;
use crate::json::{Index, Value};
use crate::tokens::{self, BlockCounts, Rules};

/// Reads a request in the client's dialect.
pub type ReadRequest = for<'a> fn(Value<'a>, &mut Losses) -> Result<Request<'a>, Refused>;

/// What a request counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// By the model's tokens: for the header.
    pub real: u64,
    /// As the client is told.
    pub told: u64,
}

/// Counts the request in `body` for the model of `rules`, on a helper thread, without asking anybody.
///
/// # Errors
/// 400: the body is no JSON, or not such a request. 503: too much is being counted already.
pub async fn count_tokens(
    body: Vec<u8>,
    read: ReadRequest,
    rules: Rules,
    scale: Scale,
    memory: Arc<BlockCounts>,
) -> Result<Counted, Fault> {
    let real = aside(move || count(&body, read, &rules, &memory)).await??;
    Ok(Counted { real, told: scale.told(real) })
}

/// Writes the field that tells the real number of an answer whose body tells another.
pub fn write_real_tokens(out: &mut Vec<u8>, tokens: u64) {
    out.extend_from_slice(b"x-sidestream-real-tokens: ");
    write::number(out, tokens);
    out.extend_from_slice(b"\r\n");
}

fn count(body: &[u8], read: ReadRequest, rules: &Rules, memory: &BlockCounts) -> Result<u64, Fault> {
    let mut index = Index::default();
    let value = index.read(body).map_err(|error| Fault::because(Reject::InvalidJson, error.to_string()))?;
    let request = read(value, &mut Losses::default())
        .map_err(|Refused { path, message }| Fault::client(400, "not-translatable", format!("{path}: {message}")))?;
    Ok(tokens::count(&request, rules, memory))
}

impl Counted {
    /// The answer's body.
    pub fn body(&self) -> Vec<u8> {
        format!("{{\"input_tokens\":{}}}", self.told).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DriverChoice;
    use crate::dialect::Dialect;
    use crate::dialect::messages::request::read_to_count;
    use crate::net::driver::Driver;

    #[test]
    fn counted_and_refused() {
        let (mut driver, _) = Driver::build(DriverChoice::Auto).unwrap();
        let (rules, memory) = (Rules::of("gpt-4o", Dialect::Chat), Arc::default());
        let scale = Scale { expected: 200_000, real: 100_000 };
        let count = |body: &str| count_tokens(body.into(), read_to_count, rules, scale, Arc::clone(&memory));
        let hello = r#"{"model":"m","messages":[{"role":"user","content":"hello world"}]}"#;
        let counted = driver.block_on(count(hello)).unwrap();
        // What goes before the answer, what goes around the message, its text.
        assert_eq!(counted, Counted { real: 3 + 4 + 2, told: 18 });
        assert_eq!(counted.body(), br#"{"input_tokens":18}"#);
        for (body, reason) in
            [("{", "invalid-json"), ("[]", "not-translatable"), (r#"{"model":"m"}"#, "not-translatable")]
        {
            let fault = driver.block_on(count(body)).unwrap_err();
            assert_eq!((fault.status, fault.reason), (400, reason), "{body} {}", fault.message);
        }
    }
}
