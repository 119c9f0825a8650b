//! The older completions (`/v1/completions`): a prompt instead of a conversation. Servers that have none of their own are
//! asked for the next turn after a user's.

use std::borrow::Cow;

use crate::dialect::chat::request::read::{others_but, sampling, user, whole, wrong};
use crate::dialect::loss::Losses;
use crate::dialect::turn::{Block, Refused, Request, Role, Text, Turn};
use crate::json::{Kind, Value};

/// What the API gives where the client says nothing.
const MAX_TOKENS: u64 = 16;

/// The fields that are read here or by whoever routes the request.
const READ: &[&str] = &[
    "model",
    "prompt",
    "suffix",
    "echo",
    "best_of",
    "n",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "stream",
    "stream_options",
    "user",
    "safety_identifier",
];

/// The request that a body is: one turn of the user's, the prompt.
///
/// # Errors
/// The body is no request, or asks for what a conversation cannot give: several prompts or answers, a prompt of tokens, text
/// before a suffix, the prompt in the answer.
pub fn read<'a>(body: Value<'a>, losses: &mut Losses) -> Result<Request<'a>, Refused> {
    if body.kind() != Kind::Object {
        return Err(Refused::new("", "the body must be a JSON object"));
    }
    for field in ["n", "best_of"] {
        if whole(body, field)?.is_some_and(|answers| answers > 1) {
            return Err(Refused::new(field, format!("this model answers once a request: leave {field} out")));
        }
    }
    if body.get("echo").is_some_and(|echo| echo.as_bool() == Some(true)) {
        return Err(Refused::new("echo", "this model does not give the prompt back: leave echo out"));
    }
    if body.get("suffix").and_then(|suffix| suffix.escaped()).is_some_and(|suffix| !suffix.is_empty()) {
        return Err(Refused::new("suffix", "this model cannot write text before a suffix: leave it out"));
    }
    let turn = Turn { role: Role::User, blocks: vec![Block::text(prompt(body)?)] };
    let mut request = Request { turns: vec![turn], user: user(body, losses)?, ..sampling(body, losses)? };
    request.max_tokens = request.max_tokens.or(Some(MAX_TOKENS));
    others_but(body, READ, &mut request);
    Ok(request)
}

fn prompt<'a>(body: Value<'a>) -> Result<Text<'a>, Refused> {
    let prompt = body.get("prompt").ok_or_else(|| wrong("prompt", "a string"))?;
    let mut items = prompt.items();
    let text = match (items.next(), items.next()) {
        (None, _) => prompt,
        (Some(only), None) => only,
        (Some(first), Some(_)) if first.kind() == Kind::String => {
            return Err(Refused::new("prompt", "this model takes one prompt a request: send one request for each"));
        }
        (Some(first), Some(_)) => first,
    };
    let is_tokens = matches!(text.kind(), Kind::Number) || text.items().any(|item| item.kind() == Kind::Number);
    if is_tokens {
        return Err(Refused::new("prompt", "a prompt of tokens means nothing to another vendor: send its text"));
    }
    text.escaped().map(Cow::Borrowed).ok_or_else(|| wrong("prompt", "a string"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::turn::Content;
    use crate::json::Index;

    #[test]
    fn prompts() {
        #[rustfmt::skip]
        let table = [
            (r#"{"prompt":"Say \"hi\""}"#,               Ok(r#"Say \"hi\""#)),
            (r#"{"prompt":["one"]}"#,                    Ok("one")),
            (r#"{"prompt":"a","echo":false,"n":1,"best_of":1,"suffix":null}"#, Ok("a")),
            (r#"{"prompt":"a","suffix":""}"#,            Ok("a")),
            (r#"{"prompt":["one","two"]}"#,              Err("prompt")),
            (r#"{"prompt":[1,2]}"#,                      Err("prompt")),
            (r#"{"prompt":[[1,2]]}"#,                    Err("prompt")),
            (r#"{"prompt":[]}"#,                         Err("prompt")),
            (r#"{"prompt":null}"#,                       Err("prompt")),
            (r#"{}"#,                                    Err("prompt")),
            (r#"{"prompt":"a","n":2}"#,                  Err("n")),
            (r#"{"prompt":"a","best_of":3}"#,            Err("best_of")),
            (r#"{"prompt":"a","echo":true}"#,            Err("echo")),
            (r#"{"prompt":"a","suffix":"b"}"#,           Err("suffix")),
            (r#"[]"#,                                    Err("")),
        ];
        for (body, expected) in table {
            let mut index = Index::default();
            match (read(index.read(body.as_bytes()).unwrap(), &mut Losses::default()), expected) {
                (Ok(request), Ok(text)) => {
                    let [Turn { role: Role::User, blocks }] = request.turns.as_slice() else { panic!("{body}") };
                    assert!(matches!(&blocks[0].content, Content::Text(said) if **said == *text.as_bytes()), "{body}");
                }
                (Err(refused), Err(path)) => assert_eq!(refused.path, path, "{body}"),
                (other, _) => panic!("{body}: {other:?}"),
            }
        }
    }

    #[test]
    fn fields() {
        let body = br#"{"model":"m","prompt":"a","temperature":0.20,"stop":"x","stream":true,"seed":7,"logprobs":3,
            "stream_options":{"include_usage":true},"user":"u"}"#;
        let mut index = Index::default();
        let request = read(index.read(body).unwrap(), &mut Losses::default()).unwrap();
        assert_eq!((request.max_tokens, request.temperature), (Some(16), Some(&b"0.20"[..])));
        assert_eq!((request.stream, request.usage_wanted, request.stop.len()), (true, true, 1));
        let others: Vec<_> = request.others.iter().map(|(name, _)| &**name).collect();
        assert_eq!(others, [&b"seed"[..], b"logprobs"]);
        assert_eq!(request.user.as_deref(), Some(&b"u"[..]));
    }
}
