//! Requests in Messages, written as Chat Completions.

use serde_json::{Value, json};

use crate::dialect::loss::Losses;
use crate::dialect::messages;
use crate::dialect::profile::{Profile, Target};
use crate::dialect::turn::{Refused, Terms};
use crate::json::Index;

struct Translated {
    body: Value,
    text: String,
    losses: Vec<String>,
    terms: Terms,
}

/// A body in Messages for a provider of that profile and model.
fn translate(body: &[u8], profile: &str, model: &str) -> Result<Translated, Refused> {
    let mut index = Index::default();
    let (mut losses, mut terms, mut out) = (Losses::default(), Terms::default(), Vec::new());
    let request = messages::request::read(index.read(body).unwrap(), &mut losses)?;
    let profile = Profile::parse(profile).unwrap();
    super::write(&request, &Target { model, profile: &profile }, &mut terms, &mut losses, &mut out)?;
    let text = String::from_utf8(out).unwrap();
    let body = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let losses = losses.iter().map(|loss| format!("{} {}", loss.what.name(), loss.path)).collect();
    Ok(Translated { body, text, losses, terms })
}

/// A request of these members beside the usual ones.
fn request(members: Value) -> Vec<u8> {
    let mut body = json!({"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    serde_json::to_vec(&body).unwrap()
}

fn written(members: Value, profile: &str, model: &str) -> Translated {
    translate(&request(members.clone()), profile, model).unwrap_or_else(|refused| panic!("{members}: {refused:?}"))
}

/// The messages that a conversation becomes.
fn said(messages: Value, profile: &str) -> Value {
    written(json!({"messages": messages}), profile, "m").body["messages"].take()
}

fn refused(members: Value, profile: &str) -> String {
    match translate(&request(members.clone()), profile, "m") {
        Err(refused) => refused.path.into_owned(),
        Ok(translated) => panic!("{members}: {}", translated.body),
    }
}

#[test]
fn captures() {
    for name in ["cc-hi-002", "cc330-hi-001", "cc330-tool-002"] {
        let body = std::fs::read(format!("tests/data/captures/{name}.body")).unwrap();
        let given: Value = serde_json::from_slice(&body).unwrap();
        let Translated { body, losses, terms, .. } = translate(&body, "plain", "m").unwrap();
        eprintln!("{name} {losses:?} {}", body["messages"]);
        assert_eq!(body["model"], "m");
        let _ = (given, terms);
    }
}
