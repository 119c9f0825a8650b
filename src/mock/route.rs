//! Endpoints: what a method and a request target stand for.

#![forbid(unsafe_code)]

/// The language of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI Chat Completions; also the shape of all other OpenAI errors.
    Chat,
    /// The legacy OpenAI completions.
    Completions,
    /// OpenAI Responses.
    Responses,
    /// Anthropic Messages.
    Messages,
}

/// What a path stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// A generated answer.
    Generate(Dialect),
    /// `/v1/embeddings`.
    Embeddings,
    /// `/v1/messages/count_tokens`.
    CountTokens,
    /// `/v1/models`, or one of them.
    Models(Option<&'a str>),
    /// `/`.
    Root,
    /// `/v1/echo`.
    Echo,
    /// `/v1/blob` and its query.
    Blob(&'a str),
    /// Any other POST below `/v1/`.
    Upload,
    /// `/mock/stats`.
    Stats,
    /// A known path with another method.
    WrongMethod,
    /// Nothing of ours.
    Unknown,
}

/// Finds the route of a method and a request target.
#[must_use]
pub fn route<'a>(method: &str, target: &'a str) -> Route<'a> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let get = matches!(method, "GET" | "HEAD");
    let post = method == "POST";
    let (known, allowed) = match path {
        "/v1/chat/completions" => (Route::Generate(Dialect::Chat), post),
        "/v1/messages" => (Route::Generate(Dialect::Messages), post),
        "/v1/responses" => (Route::Generate(Dialect::Responses), post),
        "/v1/completions" => (Route::Generate(Dialect::Completions), post),
        "/v1/embeddings" => (Route::Embeddings, post),
        "/v1/messages/count_tokens" => (Route::CountTokens, post),
        "/v1/models" => (Route::Models(None), get),
        "/v1/blob" => (Route::Blob(query), get),
        "/v1/echo" => (Route::Echo, true),
        "/mock/stats" => (Route::Stats, get),
        "/" => (Route::Root, get),
        _ => match path.strip_prefix("/v1/") {
            Some(rest) => match rest.strip_prefix("models/") {
                Some(id) => (Route::Models(Some(id)), get),
                None if post => (Route::Upload, true),
                None => (Route::Unknown, true),
            },
            None => (Route::Unknown, true),
        },
    };
    if allowed { known } else { Route::WrongMethod }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        for (method, target, expected) in [
            ("POST", "/v1/messages?beta=true", Route::Generate(Dialect::Messages)),
            ("POST", "/v1/chat/completions", Route::Generate(Dialect::Chat)),
            ("POST", "/v1/messages/count_tokens", Route::CountTokens),
            ("GET", "/v1/models/a/b", Route::Models(Some("a/b"))),
            ("HEAD", "/", Route::Root),
            ("POST", "/", Route::WrongMethod),
            ("GET", "/v1/embeddings", Route::WrongMethod),
            ("POST", "/v1/files", Route::Upload),
            ("GET", "/v1/files", Route::Unknown),
            ("POST", "/v2/files", Route::Unknown),
            ("DELETE", "/v1/echo", Route::Echo),
            ("GET", "/v1/blob?bytes=3", Route::Blob("bytes=3")),
            ("", "", Route::Unknown),
        ] {
            assert_eq!(route(method, target), expected, "{method} {target}");
        }
    }
}
