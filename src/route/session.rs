//! Which conversation a request belongs to, so that its turns can go to the same place: a provider's prompt cache is worth
//! most of a long conversation's price and of its time to first token.
//!
//! A key is a hash, the same in every process, of what the client calls the conversation; of its beginning, where it calls
//! it nothing. Equal ids give equal keys, wherever they stand.

use std::hash::{DefaultHasher, Hasher};

use crate::dialect::Dialect;
use crate::http::head::RequestHead;
use crate::json::{Index, Kind, Value};

/// Fields that carry a session's id, the most telling first: Claude Code, Codex new and old, others.
const FIELDS: [&str; 6] =
    ["x-claude-code-session-id", "session-id", "session_id", "conversation_id", "x-session-id", "x-session-affinity"];

/// Of a conversation's beginning so much is hashed.
const PREFIX_BYTES_MAX: usize = 16 * 1024;

/// The key by the request's head alone.
pub fn of_head(head: &RequestHead) -> Option<u64> {
    FIELDS.iter().filter_map(|name| head.get(name)).find_map(of_id)
}

/// The key by the body, for a request whose head says nothing: an id that the client gave, else the first thing that the
/// user said. Instructions are left out: Claude Code's begin with a mark that changes with every request.
pub fn of_body(body: Value<'_>, dialect: Dialect) -> Option<u64> {
    let [cache_key, metadata, conversation, before, messages, input] =
        body.pick(["prompt_cache_key", "metadata", "conversation", "previous_response_id", "messages", "input"]);
    let id = |value: Option<Value<'_>>| value.and_then(|value| of_id(value.escaped()?));
    id(cache_key).or_else(|| match dialect {
        Dialect::Chat => first_of_user(messages),
        Dialect::Messages => metadata.and_then(of_metadata).or_else(|| first_of_user(messages)),
        Dialect::Responses => {
            let object = conversation.and_then(|conversation| conversation.get("id"));
            id(conversation).or_else(|| id(object)).or_else(|| id(before)).or_else(|| first_of_user(input))
        }
    })
}

/// `metadata.user_id`: Claude Code writes JSON with the session's id into it, or a text that ends with that; of other
/// clients it is the user.
fn of_metadata(metadata: Value<'_>) -> Option<u64> {
    let user = metadata.get("user_id")?;
    let text = user.text().filter(|text| text.starts_with('{'));
    let session = text.and_then(|text| {
        let mut index = Index::default();
        let session = index.read(text.as_bytes()).ok()?.get("session_id")?;
        of_id(session.escaped()?)
    });
    session.or_else(|| of_id(user.escaped()?))
}

fn of_id(id: &[u8]) -> Option<u64> {
    if id.is_empty() {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    hasher.write(id);
    Some(hasher.finish())
}

/// By the first message of the user's, or by an input that is one text.
fn first_of_user(messages: Option<Value<'_>>) -> Option<u64> {
    let messages = messages?;
    let mut prefix = Prefix { hasher: DefaultHasher::new(), room: PREFIX_BYTES_MAX };
    if messages.kind() == Kind::String {
        prefix.content(messages);
    } else {
        let is_users = |message: &Value<'_>| message.get("role").is_some_and(|role| role.is("user"));
        prefix.content(messages.items().find(is_users)?.get("content")?);
    }
    (prefix.room < PREFIX_BYTES_MAX).then(|| prefix.hasher.finish())
}

/// Hashes what is said, and not how: agents move the marks of Anthropic's cache to the newest message, for which a text
/// becomes a list of one part and back.
struct Prefix {
    hasher: DefaultHasher,
    room: usize,
}

impl Prefix {
    fn content(&mut self, content: Value<'_>) {
        match content.escaped() {
            Some(text) => self.take(text),
            None => content.items().for_each(|part| self.part(part)),
        }
    }

    fn part(&mut self, part: Value<'_>) {
        if let Some(text) = part.get("text").and_then(|text| text.escaped()) {
            return self.take(text);
        }
        for (key, value) in part.members().filter(|(key, _)| !key.is("cache_control")) {
            self.take(key.raw());
            self.take(value.raw());
        }
    }

    /// With an end: two texts are not the one that they make together.
    fn take(&mut self, text: &[u8]) {
        let taken = text.get(..self.room).unwrap_or(text);
        self.room -= taken.len();
        self.hasher.write(taken);
        self.hasher.write_u8(0xFF);
    }
}

#[cfg(test)]
mod tests;
