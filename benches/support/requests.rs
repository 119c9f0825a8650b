//! Requests that go to another dialect.

use std::hint::black_box;

use sidestream::dialect::loss::Losses;
use sidestream::dialect::profile::{Profile, Target};
use sidestream::dialect::turn::Terms;
use sidestream::dialect::{chat, messages};
use sidestream::json::Index;

use super::{Piece, Work, captures};

pub fn pieces() -> Vec<Piece> {
    vec![
        Piece::new("request: index", indexed),
        Piece::new("request: index, Messages to Chat", to_chat),
        Piece::new("request: index, Chat to Messages", to_messages),
    ]
}

fn indexed() -> Work {
    let mut index = Index::default();
    Work::new(captures::AGENT_LARGE.len(), move || {
        black_box(index.read(black_box(captures::AGENT_LARGE)).unwrap());
    })
}

fn to_chat() -> Work {
    let (mut index, mut out, profile) = (Index::default(), Vec::new(), Profile::of("vllm", None));
    Work::new(captures::AGENT_LARGE.len(), move || {
        out.clear();
        let (mut losses, mut terms) = (Losses::default(), Terms::default());
        let body = index.read(black_box(captures::AGENT_LARGE)).unwrap();
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
