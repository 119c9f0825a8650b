//! What a Chat client accepts.

use sidestream::json::{Index, Value};
use sidestream::sse::Splitter;

/// Holds a stream to the rules that official clients rely on; gives its text.
pub fn checked(out: &[u8]) -> Vec<u8> {
    let mut events = Vec::new();
    assert!(out.is_empty() || out.ends_with(b"\n\n"));
    Splitter::new(usize::MAX).push(out, |event| events.push((event.name.to_vec(), event.data.to_vec()))).unwrap();
    let (mut text, mut calls, mut place) = (Vec::new(), Vec::<bool>::new(), Place::Start);
    for (name, data) in &events {
        assert!(name.is_empty() && place != Place::End);
        if data == b"[DONE]" {
            assert_eq!(place, Place::Finished);
            place = Place::End;
            continue;
        }
        let mut index = Index::default();
        let chunk = index.read(data).unwrap();
        if let Some(error) = chunk.get("error") {
            assert!(
                error.get("message").unwrap().escaped().is_some() && error.get("type").unwrap().escaped().is_some()
            );
            assert_ne!(place, Place::Finished);
            place = Place::End;
            continue;
        }
        let Some(choice) = chunk.get("choices").unwrap().items().next() else {
            assert!(place == Place::Finished && chunk.get("usage").unwrap().get("total_tokens").is_some());
            continue;
        };
        assert_ne!(place, Place::Finished);
        let delta = choice.get("delta").unwrap();
        assert_eq!(delta.get("role").is_some(), place == Place::Start);
        place = if choice.get("finish_reason").is_some() { Place::Finished } else { Place::Answering };
        text.extend_from_slice(delta.get("content").map_or(b"", |text| text.escaped().unwrap()));
        for call in delta.get("tool_calls").into_iter().flat_map(|calls| calls.items()) {
            check_call(call, &mut calls);
        }
    }
    assert!(events.is_empty() || place == Place::End);
    // None of a whole answer's calls is without arguments.
    let is_whole = out.ends_with(b"data: [DONE]\n\n");
    assert!(!is_whole || calls.iter().all(|has_arguments| *has_arguments));
    text
}

fn check_call(call: Value<'_>, calls: &mut Vec<bool>) {
    let index = call.get("index").unwrap().as_u64().unwrap() as usize;
    let function = call.get("function").unwrap();
    let arguments = function.get("arguments").unwrap().escaped().unwrap();
    match call.get("id") {
        Some(id) => {
            assert!(
                index == calls.len() && !id.escaped().unwrap().is_empty() && call.get("type").unwrap().is("function")
            );
            assert!(!function.get("name").unwrap().escaped().unwrap().is_empty());
            calls.push(!arguments.is_empty());
        }
        None => {
            assert!(call.get("type").is_none() && function.get("name").is_none() && !arguments.is_empty());
            calls[index] = true;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    Answering,
    Finished,
    End,
}
