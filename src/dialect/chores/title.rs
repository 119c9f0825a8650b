//! A title for a session, made of the words that the user began with.

use super::asked::{Aside, Asked, is_reminder};
use crate::json::{Value, text};

/// What the prompts are known by, the oldest last.
pub const MARKS: [&str; 4] = [SESSION, NAMING, TOPIC, CONVERSATION];
const SESSION: &str = "Generate a concise, sentence-case title (3-7 words)";
const NAMING: &str = "You are naming a coding session";
const TOPIC: &str = "Analyze if this message indicates a new conversation topic";
const CONVERSATION: &str = "Please write a 5-10 word title for the following conversation:";

/// How many words a title may have, and characters: not all languages have spaces.
struct Room {
    words: usize,
    characters: usize,
}

/// The title that is asked for, in the form that it is asked for.
pub fn answer(asked: &Asked<'_>) -> Option<String> {
    let aside = asked.aside()?;
    session(&aside).or_else(|| topic(&aside)).or_else(|| conversation(&aside))
}

/// `{"title": …}`: what the list of sessions shows.
fn session(aside: &Aside<'_>) -> Option<String> {
    let wants_json = aside.system.contains("Return JSON with a single \"title\" field.");
    let is_it = aside.system.contains(SESSION) || aside.system.contains(NAMING);
    if !(is_it && wants_json && aside.prefill.is_none() && aside.format.is_none_or(wants_title_alone)) {
        return None;
    }
    let words = aside.user.join("\n");
    let words = match words.trim_start().strip_prefix("<session>") {
        None => words.as_str(),
        Some(tagged) => {
            let (inside, behind) = tagged.rsplit_once("</session>")?;
            let behind = behind.trim();
            Some(inside).filter(|_| behind.is_empty() || behind.starts_with("Write the title in the"))?
        }
    };
    let title = title(words, &Room { words: 7, characters: 60 })?;
    Some(format!("{{\"title\": {}}}", quoted(&title)))
}

/// A schema with this one member.
fn wants_title_alone(format: Value<'_>) -> bool {
    let Some(members) = format.get("schema").and_then(|schema| schema.get("properties")) else { return false };
    let is_schema = format.get("type").is_some_and(|kind| kind.is("json_schema"));
    let mut members = members.members();
    is_schema && members.next().is_some_and(|(name, _)| name.is("title")) && members.next().is_none()
}

/// `{"isNewTopic": true, "title": …}`: what the terminal shows. Some versions write the brace themselves.
fn topic(aside: &Aside<'_>) -> Option<String> {
    let is_it = aside.system.contains(TOPIC) && aside.system.contains("'isNewTopic' (boolean)");
    let brace = match aside.prefill.as_deref() {
        None => "{",
        Some("{") => "",
        Some(_) => return None,
    };
    let [words] = aside.user.as_slice() else { return None };
    let title = title(words, &Room { words: 3, characters: 30 }).filter(|_| is_it && aside.format.is_none())?;
    Some(format!("{brace}\"isNewTopic\": true, \"title\": {}}}", quoted(&title)))
}

/// The bare title of a conversation that stands in the question.
fn conversation(aside: &Aside<'_>) -> Option<String> {
    const SYSTEM: &str = "Summarize this coding conversation in under 50 characters.";
    const END: &str = "Respond with the title for the conversation and nothing else.";
    let question = aside.plain_question().filter(|_| aside.system.contains(SYSTEM))?;
    let conversation = question.trim().strip_prefix(CONVERSATION)?.strip_suffix(END)?;
    let said = conversation.split("\n\n").filter_map(|turn| turn.trim_start().strip_prefix("User: "));
    said.into_iter().find_map(|words| title(words, &Room { words: 8, characters: 49 }))
}

fn quoted(title: &str) -> String {
    let mut out = Vec::new();
    text::encode(title.as_bytes(), &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// The first words, as a title. A command, a tag or an address would be none: that is for the model.
fn title(said: &str, room: &Room) -> Option<String> {
    let line = said.lines().map(str::trim).find(|line| !line.is_empty() && !is_reminder(line))?;
    if line.starts_with(['<', '/', '[', '{', '#', '!', '@']) || line.contains("://") {
        return None;
    }
    let sentence = line.split(['。', '！', '？']).next()?.split(". ").next()?.split("? ").next()?.split("! ").next()?;
    let mut title = String::new();
    for word in sentence.split(char::is_whitespace).filter(|word| !word.is_empty()).take(room.words) {
        let space = usize::from(!title.is_empty());
        let left = room.characters.saturating_sub(title.chars().count() + space);
        if word.chars().count() > left && !title.is_empty() {
            break;
        }
        title.extend((space > 0).then_some(' '));
        title.extend(word.chars().filter(|character| !character.is_control()).take(left));
    }
    let title = title.trim_end_matches(|last: char| ".,;:!?-…".contains(last) || last.is_whitespace());
    let mut characters = title.chars();
    // A word that has capitals of its own (`iOS`, `getUser`) keeps its beginning.
    let first_word = title.split(' ').next().unwrap_or_default();
    let first = characters.next().filter(|_| title.chars().any(char::is_alphanumeric))?;
    match first_word.chars().any(char::is_uppercase) || first_word.contains(['_', '.', '/', '(']) {
        true => Some(title.to_owned()),
        false => Some(first.to_uppercase().chain(characters).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles() {
        for (said, want) in [
            ("fix the login button on mobile", Some("Fix the login button on mobile")),
            ("  \n\nfix it.\nThe rest", Some("Fix it")),
            ("Fix it. Then run the tests", Some("Fix it")),
            ("why does this fail? it should not", Some("Why does this fail")),
            ("one two three four five six seven eight", Some("One two three four five six seven")),
            ("getUser() returns null", Some("getUser() returns null")),
            ("main.rs does not build", Some("main.rs does not build")),
            ("结算模块重构。然后测试", Some("结算模块重构")),
            ("é a", Some("É a")),
            ("a \"b\"\tc\u{7}", Some("A \"b\" c")),
            (&"x".repeat(100), Some(&format!("X{}", "x".repeat(59)))),
            (&format!("ab {}", "x".repeat(100)), Some("Ab")),
            ("<command-name>/clear</command-name>", None),
            ("/review", None),
            ("https://example.com/x", None),
            ("see https://example.com/x", None),
            ("...", None),
            ("", None),
            ("\n \n", None),
        ] {
            assert_eq!(title(said, &Room { words: 7, characters: 60 }).as_deref(), want, "{said}");
        }
    }
}
