//! A Messages request, as far as chores are told by it.

use crate::json::{Kind, Value};

/// The members of a request that may be a chore.
pub struct Asked<'a> {
    body: Value<'a>,
}

/// A chore that is a question of its own, beside the conversation.
pub struct Aside<'a> {
    /// All that the system says.
    pub system: String,
    /// What the user says, without what the program adds for the model to know.
    pub user: Vec<String>,
    /// What the answer begins with already.
    pub prefill: Option<String>,
    /// The form that the answer must have.
    pub format: Option<Value<'a>>,
}

/// What Claude Code sends with such a question.
const MEMBERS: &[&str] = &[
    "model",
    "max_tokens",
    "messages",
    "metadata",
    "stream",
    "system",
    "temperature",
    "tools",
    "thinking",
    "output_config",
    "output_format",
    "context_management",
];

/// A question, what the system says inside of the conversation, and the beginning of the answer.
const MESSAGES_MAX: usize = 4;

impl<'a> Asked<'a> {
    /// A request's body; `None` if a name stands in it twice, for then it is not known which is meant.
    pub fn of(body: Value<'a>) -> Option<Self> {
        let names: Vec<_> = body.members().map(|(name, _)| name.raw()).collect();
        let is_once = |(place, name): (usize, &&[u8])| !names.iter().take(place).any(|other| other == name);
        let is_plain = names.iter().all(|name| !name.contains(&b'\\'));
        (!names.is_empty() && is_plain && names.iter().enumerate().all(is_once)).then_some(Self { body })
    }

    /// It has no other members.
    pub fn has_only(&self, names: &[&str]) -> bool {
        self.body.members().all(|(name, _)| names.iter().any(|known| name.is(known)))
    }

    /// How long the answer may be.
    pub fn max_tokens(&self) -> Option<u64> {
        self.body.get("max_tokens")?.as_u64()
    }

    /// The conversation.
    pub fn messages(&self) -> Vec<Value<'a>> {
        self.body.get("messages").map(|messages| messages.items().collect()).unwrap_or_default()
    }

    /// What the user says, if that is the whole conversation.
    pub fn lone_question(&self) -> Option<Vec<String>> {
        match self.messages().as_slice() {
            [only] if is_by(*only, "user") => texts(only.get("content")?),
            _ => None,
        }
    }

    /// The request, if it is a question of its own: without tools, and with one question.
    pub fn aside(&self) -> Option<Aside<'a>> {
        let has_tools = self.body.get("tools").is_some_and(|tools| tools.items().next().is_some());
        if has_tools || !self.has_only(MEMBERS) {
            return None;
        }
        let messages = self.messages();
        if messages.len() > MESSAGES_MAX {
            return None;
        }
        let mut system = match self.body.get("system") {
            Some(system) => texts(system)?,
            None => Vec::new(),
        };
        let (mut user, mut prefill) = (None, None);
        for message in messages {
            let said = texts(message.get("content")?)?;
            if is_by(message, "system") {
                system.extend(said);
            } else if is_by(message, "user") && user.is_none() {
                user = Some(said);
            } else if is_by(message, "assistant") && user.is_some() && prefill.is_none() {
                prefill = Some(said.concat());
            } else {
                return None;
            }
        }
        let mut user = user?;
        user.retain(|text| !is_reminder(text));
        Some(Aside { system: system.join("\n"), user, prefill, format: self.format() })
    }

    fn format(&self) -> Option<Value<'a>> {
        self.body
            .get("output_config")
            .and_then(|config| config.get("format"))
            .or_else(|| self.body.get("output_format"))
    }
}

impl Aside<'_> {
    /// The user's only text; the answer begins with nothing, and has no form that it must have.
    pub fn plain_question(&self) -> Option<&str> {
        let is_plain = self.prefill.is_none() && self.format.is_none();
        match self.user.as_slice() {
            [text] if is_plain => Some(text),
            _ => None,
        }
    }
}

/// Whose message it is.
pub fn is_by(message: Value<'_>, role: &str) -> bool {
    message.get("role").is_some_and(|by| by.is(role))
}

/// The texts of a content; `None` if it holds anything else.
pub fn texts(content: Value<'_>) -> Option<Vec<String>> {
    if content.kind() == Kind::String {
        return Some(vec![content.text()?]);
    }
    let is_array = content.kind() == Kind::Array;
    let text = |block: Value<'_>| block.get("type").filter(|kind| kind.is("text")).and(block.get("text"))?.text();
    content.items().map(text).collect::<Option<Vec<_>>>().filter(|_| is_array)
}

/// What the program adds for the model to know.
pub fn is_reminder(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("<system-reminder>") && text.ends_with("</system-reminder>")
}
