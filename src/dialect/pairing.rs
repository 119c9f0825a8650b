//! Tool calls and their results, brought into the order that every dialect demands: each call answered once, directly
//! behind the turn that made it.
//!
//! Clients send other orders too: text before results, results two turns later, none after an interruption, two after a
//! retry. Servers refuse the whole conversation then, and an agent's session is dead.

use std::collections::HashMap;

use super::loss::Losses;
use super::turn::{Block, Content, Role, Text, ToolCall, ToolResult, Turn};

/// Stands for the result of a call that has none, escaped.
pub const MISSING: &[u8] = b"[tool result missing: call was interrupted]";

const RESULT: &str = "messages.content.tool_result";

/// The same conversation, in which
///
/// - a turn with calls is followed by a user turn of nothing but their results, in the order of the calls; a call
///   without a result has the error [`MISSING`] for one, and of several results the last counts;
/// - calls with turns of the model's directly behind them make one turn with those, in which calls come last (Codex sends a
///   call, then the text that was said before it, then the result);
/// - results stand nowhere else; one without a call becomes text of the user;
/// - ids of calls are unique and not empty;
/// - calls and thoughts are the model's only.
///
/// Turns without blocks are left out. Everything else stays where it was.
pub fn pair<'a>(turns: &[Turn<'a>], losses: &mut Losses) -> Vec<Turn<'a>> {
    let mut pairing = Pairing {
        turns: Vec::with_capacity(turns.len()),
        open: HashMap::new(),
        ids: HashMap::new(),
        unanswered: 0,
        losses,
    };
    for run in turns.chunk_by(|one, next| one.role == Role::Assistant && next.role == Role::Assistant) {
        match run {
            [turn] if turn.role != Role::Assistant => pairing.client(turn),
            [earlier @ .., _] if earlier.iter().any(has_calls) => pairing.assistant(&joined(run)),
            run => run.iter().for_each(|turn| pairing.assistant(turn)),
        }
    }
    if pairing.unanswered > 0 {
        pairing.losses.invented(RESULT);
    }
    pairing.turns
}

/// Several turns of the model's as one.
fn joined<'a>(run: &[Turn<'a>]) -> Turn<'a> {
    let blocks = || run.iter().flat_map(|turn| &turn.blocks);
    let blocks = blocks().filter(|block| !is_call(block)).chain(blocks().filter(|block| is_call(block)));
    Turn { role: Role::Assistant, blocks: blocks.cloned().collect() }
}

fn has_calls(turn: &Turn<'_>) -> bool {
    turn.blocks.iter().any(is_call)
}

fn is_call(block: &Block<'_>) -> bool {
    matches!(block.content, Content::ToolCall(_))
}

struct Pairing<'a, 'l> {
    turns: Vec<Turn<'a>>,
    /// By the client's id of a call: where the results belong. Ids come again in later turns; the newest turn counts.
    open: HashMap<Text<'a>, Places>,
    /// Ids given so far, and the number to try next where one is wanted again.
    ids: HashMap<Text<'a>, u32>,
    unanswered: usize,
    losses: &'l mut Losses,
}

/// Where the results of the calls with one id belong; several only if one turn gave several calls the same id.
struct Places {
    /// The turn of results.
    turn: usize,
    /// The blocks in it.
    blocks: Vec<usize>,
    /// So many of them have their result.
    filled: usize,
}

impl<'a> Pairing<'a, '_> {
    fn assistant(&mut self, turn: &Turn<'a>) {
        let (mut blocks, mut results) = (Vec::with_capacity(turn.blocks.len()), Vec::new());
        // The turn of results stands behind this one.
        let place = self.turns.len() + 1;
        for block in &turn.blocks {
            match &block.content {
                Content::ToolResult(_) => self.losses.dropped(RESULT),
                Content::ToolCall(call) => {
                    let id = self.unique(&call.id);
                    self.expect(&call.id, place, results.len());
                    results.push(missing(id.clone()));
                    let call = ToolCall { id, ..call.clone() };
                    blocks.push(Block { content: Content::ToolCall(call), ..block.clone() });
                }
                _ => blocks.push(block.clone()),
            }
        }
        self.unanswered += results.len();
        self.push(Role::Assistant, blocks);
        self.push(Role::User, results);
    }

    /// A turn that the client's side speaks.
    fn client(&mut self, turn: &Turn<'a>) {
        let mut blocks = Vec::with_capacity(turn.blocks.len());
        for block in &turn.blocks {
            match &block.content {
                Content::ToolResult(result) => self.result(block, result, &mut blocks),
                Content::ToolCall(_) => self.losses.dropped("messages.content.tool_use"),
                Content::Thinking { .. } | Content::RedactedThinking(_) => {
                    self.losses.dropped("messages.content.thinking");
                }
                _ => blocks.push(block.clone()),
            }
        }
        self.push(turn.role, blocks);
    }

    /// Puts a result into the place of its call; without one it becomes text among `blocks`.
    fn result(&mut self, block: &Block<'a>, result: &ToolResult<'a>, blocks: &mut Vec<Block<'a>>) {
        let Some(places) = self.open.get_mut(&result.id) else {
            self.losses.approximated(RESULT);
            blocks.extend(orphan(result));
            return;
        };
        match places.filled < places.blocks.len() {
            true => {
                places.filled += 1;
                self.unanswered -= 1;
            }
            false => self.losses.dropped(RESULT),
        }
        let place = places.blocks.get(places.filled - 1);
        let results = self.turns.get_mut(places.turn).map(|turn| &mut turn.blocks);
        let Some(place) = results.zip(place).and_then(|(blocks, place)| blocks.get_mut(*place)) else {
            return;
        };
        if let Content::ToolResult(ToolResult { id, .. }) = &place.content {
            let result = ToolResult { id: id.clone(), ..result.clone() };
            *place = Block { content: Content::ToolResult(result), ..block.clone() };
        }
    }

    /// A result for this id belongs into that block of that turn.
    fn expect(&mut self, id: &Text<'a>, turn: usize, block: usize) {
        let places = self.open.entry(id.clone()).or_insert(Places { turn, blocks: Vec::new(), filled: 0 });
        if places.turn != turn {
            *places = Places { turn, blocks: Vec::new(), filled: 0 };
        }
        places.blocks.push(block);
    }

    /// The id, or one made of it if it is taken or empty. It depends on what stands before it only, so that the next
    /// request of the conversation begins with the same bytes.
    fn unique(&mut self, id: &Text<'a>) -> Text<'a> {
        if !id.is_empty() && !self.ids.contains_key(id) {
            self.ids.insert(id.clone(), 2);
            return id.clone();
        }
        let stem = if id.is_empty() { &b"call"[..] } else { id };
        // Each of the ids given so far can stand in the way once.
        for _ in 0..=self.ids.len() {
            let number = self.ids.entry(id.clone()).or_insert(1);
            let other = [stem, b"_", number.to_string().as_bytes()].concat();
            *number += 1;
            if !self.ids.contains_key(other.as_slice()) {
                let other = Text::Owned(other);
                self.ids.insert(other.clone(), 2);
                return other;
            }
        }
        id.clone()
    }

    fn push(&mut self, role: Role, blocks: Vec<Block<'a>>) {
        if !blocks.is_empty() {
            self.turns.push(Turn { role, blocks });
        }
    }
}

fn missing(id: Text<'_>) -> Block<'_> {
    Block::new(Content::ToolResult(ToolResult { id, content: vec![Block::text(MISSING)], is_error: true }))
}

/// The result of a call that nobody made, for the user to say.
fn orphan<'a>(result: &ToolResult<'a>) -> Vec<Block<'a>> {
    let mut text = [b"[tool result for ", &*result.id, b"]"].concat();
    let mut rest = result.content.as_slice();
    if let [Block { content: Content::Text(first), .. }, others @ ..] = rest {
        text.push(b' ');
        text.extend_from_slice(first);
        rest = others;
    }
    std::iter::once(Block::text(text)).chain(rest.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::turn::Input;
    use super::*;

    /// A conversation in short: turns separated by `|`, blocks by spaces; `u:`, `a:`, `s:` begin a turn, `+id` is a call,
    /// `id=text` a result, the rest text.
    fn turns(text: &str) -> Vec<Turn<'_>> {
        text.split('|')
            .map(|turn| {
                let (role, blocks) = turn.trim().split_once(':').unwrap();
                let role = match role {
                    "u" => Role::User,
                    "a" => Role::Assistant,
                    _ => Role::System,
                };
                Turn { role, blocks: blocks.split_whitespace().map(block).collect() }
            })
            .collect()
    }

    fn block(text: &str) -> Block<'_> {
        let content = match (text.strip_prefix('+'), text.split_once('=')) {
            (Some(id), _) => Content::ToolCall(ToolCall {
                id: id.trim_start_matches('+').as_bytes().into(),
                name: b"f"[..].into(),
                input: Input::Json(b"{}"),
            }),
            (_, Some((id, text))) => Content::ToolResult(ToolResult {
                id: id.as_bytes().into(),
                content: vec![Block::text(text.as_bytes())],
                is_error: false,
            }),
            _ if text == "~" => Content::Thinking { text: b"t"[..].into(), signature: None },
            _ => Content::Text(text.as_bytes().into()),
        };
        Block::new(content)
    }

    fn short(turns: &[Turn<'_>]) -> String {
        let string = |text: &[u8]| String::from_utf8(text.to_vec()).unwrap();
        let block = |block: &Block<'_>| match &block.content {
            Content::Text(text) => string(text),
            Content::ToolCall(call) => format!("+{}", string(&call.id)),
            Content::ToolResult(result) => match &result.content[0].content {
                Content::Text(text) if &**text == MISSING => format!("{}=?", string(&result.id)),
                Content::Text(text) => format!("{}={}", string(&result.id), string(text)),
                other => panic!("{other:?}"),
            },
            Content::Thinking { .. } => "~".to_owned(),
            other => panic!("{other:?}"),
        };
        let turn = |turn: &Turn<'_>| {
            let role = match turn.role {
                Role::User => "u",
                Role::Assistant => "a",
                Role::System => "s",
            };
            format!("{role}: {}", turn.blocks.iter().map(block).collect::<Vec<_>>().join(" "))
        };
        turns.iter().map(turn).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn brought_into_order() {
        #[rustfmt::skip]
        let table = [
            // In order.
            ("u: hi | a: ok +1 | u: 1=x | a: done", "u: hi | a: ok +1 | u: 1=x | a: done", ""),
            // Text before and behind the results, results in another order.
            ("a: +1 +2 | u: t 2=y u 1=x v", "a: +1 +2 | u: 1=x 2=y | u: t u v", ""),
            // Results in a later turn, instructions between.
            ("a: +1 | u: hi | u: 1=x", "a: +1 | u: 1=x | u: hi", ""),
            ("a: +1 | s: note | u: 1=x", "a: +1 | u: 1=x | s: note", ""),
            ("a: +1 +2 | u: 1=x | a: no | u: 2=y", "a: +1 +2 | u: 1=x 2=y | a: no", ""),
            // Several turns of the model's in a row, as Codex has them.
            ("a: +1 | a: +2 | a: t | u: 1=x | u: 2=y", "a: t +1 +2 | u: 1=x 2=y", ""),
            ("a: +1 | u: hi | a: t | u: 1=x | a: v", "a: +1 | u: 1=x | u: hi | a: t | a: v", ""),
            ("a: t | a: v +1 | u: 1=x", "a: t | a: v +1 | u: 1=x", ""),
            // None.
            ("a: +1 +2 | u: 2=y", "a: +1 +2 | u: 1=? 2=y", "invented"),
            ("u: hi | a: +1", "u: hi | a: +1 | u: 1=?", "invented"),
            // Several: the last counts.
            ("a: +1 | u: 1=x 1=y | u: 1=z", "a: +1 | u: 1=z", "dropped"),
            // No call.
            ("u: 9=x hi | a: ok", "u: [tool result for 9] x hi | a: ok", "approximated"),
            ("u: 1=x | a: +1 | u: 1=y", "u: [tool result for 1] x | a: +1 | u: 1=y", "approximated"),
            // The same id in a later turn, and twice in one.
            ("a: +1 | u: 1=x | a: +1 | u: 1=y", "a: +1 | u: 1=x | a: +1_2 | u: 1_2=y", ""),
            ("a: +1 +1 +1_2 | u: 1=x 1_2=z 1=y", "a: +1 +1_2 +1_2_2 | u: 1=x 1_2=y 1_2_2=z", ""),
            // No id.
            ("a: ++ ++ | u: =x =y", "a: +call_1 +call_2 | u: call_1=x call_2=y", ""),
            // In the wrong mouth.
            ("a: hi 1=x | u: +1 ~ ok", "a: hi | u: ok", "dropped dropped dropped"),
            ("a: ~ +1 | u: 1=x | u:", "a: ~ +1 | u: 1=x", ""),
        ];
        for (given, want, lost) in table {
            let mut losses = Losses::default();
            assert_eq!(short(&pair(&turns(given), &mut losses)), want, "{given}");
            let losses: Vec<_> = losses.iter().map(|loss| loss.what.name()).collect();
            assert_eq!(losses.join(" "), lost, "{given}");
        }
    }

    /// Every call is answered once, directly behind it, whatever the order was.
    #[test]
    fn holds_for_any_order() {
        use proptest::prelude::*;
        let block = prop_oneof!["[+][0-3]{0,1}", "[0-3]{0,1}=[x-z]", "[tuv]", "~"];
        let turn = ("[uas]", prop::collection::vec(block, 0..5))
            .prop_map(|(role, blocks)| format!("{role}: {}", blocks.join(" ")));
        proptest!(|(given in prop::collection::vec(turn, 1..8))| {
            let given = given.join("|");
            let paired = pair(&turns(&given), &mut Losses::default());
            let mut seen = std::collections::HashSet::new();
            let mut expected: Vec<Vec<u8>> = Vec::new();
            for turn in &paired {
                let ids: Vec<_> = turn.blocks.iter().filter_map(|block| match &block.content {
                    Content::ToolResult(result) => Some(result.id.to_vec()),
                    _ => None,
                }).collect();
                prop_assert_eq!(&ids, &expected, "{} -> {}", given, short(&paired));
                expected.clear();
                for block in &turn.blocks {
                    if let Content::ToolCall(call) = &block.content {
                        prop_assert!(turn.role == Role::Assistant && !call.id.is_empty() && seen.insert(call.id.to_vec()));
                        expected.push(call.id.to_vec());
                    }
                }
            }
            prop_assert!(expected.is_empty());
            // A second time changes nothing.
            prop_assert_eq!(short(&pair(&paired, &mut Losses::default())), short(&paired));
        });
    }
}
