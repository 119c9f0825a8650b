//! What the user may type next: the whole conversation, and behind it this question. Silence is an answer that the
//! question itself allows.

use super::asked::{Asked, is_by, is_reminder, texts};

/// How the question begins.
pub const MARK: &str = "[SUGGESTION MODE: Suggest what the user might naturally type next";
/// How it ends.
const END: &str = "Reply with ONLY the suggestion, no quotes or explanation.";

/// No suggestion, if the last message is the question, and nothing else: one that also has the result of a tool is the
/// conversation's own, and one without an answer before it was typed by somebody.
pub fn answer(asked: &Asked<'_>) -> Option<String> {
    let messages = asked.messages();
    let mut spoken = messages.iter().rev().filter(|message| !is_by(**message, "system"));
    let (last, before) = (*spoken.next()?, *spoken.next()?);
    let is_last = messages.last()?.span() == last.span();
    if !is_last || !is_by(last, "user") || !is_by(before, "assistant") {
        return None;
    }
    let mut said = texts(last.get("content")?)?;
    said.retain(|text| !is_reminder(text));
    let is_question = |text: &str| text.starts_with(MARK) && text.trim_end().ends_with(END);
    match said.as_slice() {
        [only] if is_question(only) => Some(String::new()),
        _ => None,
    }
}
