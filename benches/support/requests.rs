//! Requests that go to another dialect.

use std::hint::black_box;

use sidestream::dialect::loss::Losses;
use sidestream::dialect::profile::{Profile, Target};
use sidestream::dialect::turn::Terms;
use sidestream::dialect::{chat, messages};
use sidestream::json::Index;

use super::counting::conversation;
use super::{Piece, Work, captures};

pub fn pieces() -> Vec<Piece> {
    vec![
        Piece::new("request: index", indexed),
        Piece::new("request: index, Messages to Chat", || to_chat(captures::AGENT_LARGE.to_vec())),
        // On a helper thread.
        Piece::new("request: index, Messages to Chat, 1 MB", || to_chat(conversation(LONG_TURNS))).calls(5),
        Piece::new("request: index, Chat to Messages", to_messages),
    ]
}

fn indexed() -> Work {
    let mut index = Index::default();
    Work::new(captures::AGENT_LARGE.len(), move || {
        black_box(index.read(black_box(captures::AGENT_LARGE)).unwrap());
    })
}

/// As many as a megabyte has.
const LONG_TURNS: usize = 480;

fn to_chat(body: Vec<u8>) -> Work {
    let (mut index, mut out, profile) = (Index::default(), Vec::new(), Profile::of("vllm", None));
    Work::new(body.len(), move || {
        out.clear();
        let (mut losses, mut terms) = (Losses::default(), Terms::default());
        let body = index.read(black_box(&body)).unwrap();
        let request = messages::request::read(body, &mut losses).unwrap();
        let to = Target { model: "Qwen/Qwen3-32B", profile: &profile };
        chat::request::write(&request, &to, &mut terms, &mut losses, &mut out).unwrap();
        black_box(out.len());
    })
}

fn to_messages() -> Work {
    let (mut index, mut out, profile) = (Index::default(), Vec::new(), Profile::default());
    Work::new(captures::AGENT_CHAT.len(), move || {
        out.clear();
        let (mut losses, mut terms) = (Losses::default(), Terms::default());
        let body = index.read(black_box(captures::AGENT_CHAT)).unwrap();
        let request = chat::request::read(body, &mut losses).unwrap();
        let to = Target { model: "claude-opus-4-8", profile: &profile };
        messages::request::write(&request, &to, &mut terms, &mut losses, &mut out).unwrap();
        black_box(out.len());
    })
}
