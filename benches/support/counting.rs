//! What counting 200 KB of an agent's conversation costs: the first time, and with its next turn. It runs on a helper
//! thread.

use std::hint::black_box;

use sidestream::dialect::Dialect;
use sidestream::dialect::loss::Losses;
use sidestream::dialect::messages::request::read_to_count;
use sidestream::json::{Index, text};
use sidestream::tokens::{self, BlockCounts, Rules};

use super::{Piece, Work, captures};

pub fn pieces() -> Vec<Piece> {
    vec![
        Piece::new("tokens: count, nothing is known", nothing_known).calls(1),
        Piece::new("tokens: count, all is known", all_known),
        Piece::new("tokens: count, one turn is new", one_turn_new),
        Piece::new("tokens: read without counting", only_read),
    ]
}

fn nothing_known() -> Work {
    let (body, mut counter) = (conversation(TURNS), Counter::new());
    Work::new(body.len(), move || counter.count(&body, &BlockCounts::default()))
}

fn all_known() -> Work {
    let (body, mut counter, memory) = (conversation(TURNS), Counter::new(), BlockCounts::default());
    counter.count(&body, &memory);
    Work::new(body.len(), move || counter.count(&body, &memory))
}

fn one_turn_new() -> Work {
    let (mut body, mut counter, memory) = (conversation(TURNS), Counter::new(), BlockCounts::default());
    counter.count(&body, &memory);
    let number_at = body.windows(LAST_TURN.len()).position(|bytes| bytes == LAST_TURN.as_bytes()).unwrap();
    let mut turn = 0;
    Work::new(body.len(), move || {
        turn += 1;
        body[number_at..number_at + LAST_TURN.len()].copy_from_slice(format!("{turn:08}").as_bytes());
        counter.count(&body, &memory);
    })
}

fn only_read() -> Work {
    let (body, mut index) = (conversation(TURNS), Index::default());
    Work::new(body.len(), move || {
        let request = read_to_count(index.read(black_box(&body)).unwrap(), &mut Losses::default());
        black_box(request.unwrap().turns.len());
    })
}

struct Counter {
    index: Index,
    rules: Rules,
}

impl Counter {
    fn new() -> Self {
        Self { index: Index::default(), rules: Rules::of("glm-4.6", Dialect::Chat) }
    }

    fn count(&mut self, body: &[u8], memory: &BlockCounts) {
        let request = read_to_count(self.index.read(black_box(body)).unwrap(), &mut Losses::default()).unwrap();
        black_box(tokens::count(&request, &self.rules, memory));
    }
}

const TURNS: usize = 100;
/// What the last result begins with, in place of its turn's number.
const LAST_TURN: &str = "NEW-TURN";

/// An agent's conversation: calls, and results of 2 KB each of prose and JSON.
pub(super) fn conversation(turns: usize) -> Vec<u8> {
    let source =
        [&include_bytes!("../../LICENSE-APACHE")[..], include_bytes!("../../LICENSE-MIT"), captures::AGENT_CHAT]
            .concat();
    let mut messages = String::from(r#"{"role":"user","content":"Look at all of it, and say what it is."}"#);
    for (turn, piece) in source.chunks_exact(1900).cycle().take(turns).enumerate() {
        let number = if turn + 1 == turns { LAST_TURN.to_owned() } else { format!("{turn:08}") };
        let mut result = Vec::new();
        text::escape(number.as_bytes(), &mut result);
        text::escape(piece, &mut result);
        let result = String::from_utf8_lossy(&result);
        messages += &format!(
            r#",{{"role":"assistant","content":[{{"type":"tool_use","id":"toolu_{turn}","name":"Read","input":{{"file_path":"/src/file_{turn}.rs"}}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"toolu_{turn}","content":"{result}"}}]}}"#
        );
    }
    format!(r#"{{"model":"m","max_tokens":1000,"messages":[{messages}]}}"#).into_bytes()
}
