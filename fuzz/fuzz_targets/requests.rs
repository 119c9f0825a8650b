//! Whatever a client sends is refused, or goes out as one JSON text: a request in either dialect, by every profile, to the
//! other one; and what was spared for the same dialect stays JSON. Any body can be looked into for routes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidestream::dialect::Dialect;
use sidestream::dialect::messages::signature::spare_foreign_thinking;
use sidestream::dialect::profile::{Target, table};
use sidestream::dialect::translate::{Asking, request};
use sidestream::dialect::turn::Terms;
use sidestream::json::Index;
use sidestream::route::look::{Wanted, look};
use sidestream::tokens::estimate::PICTURE_BYTES;

const MODELS: [&str; 4] = ["gpt-5", "gpt-4o", "claude-opus-4-8", "claude-3-haiku"];

fuzz_target!(|input: &[u8]| {
    let Some((choice, body)) = input.split_first() else { return };
    let profiles = table::all();
    let profile = &profiles[usize::from(*choice) % profiles.len()];
    let target = Target { model: MODELS[usize::from(*choice) / profiles.len() % MODELS.len()], profile };
    for (asking, to) in [
        (Asking::Chat, Dialect::Messages),
        (Asking::Completions, Dialect::Messages),
        (Asking::Completions, Dialect::Chat),
        (Asking::Messages, Dialect::Chat),
    ] {
        if let Ok(translated) = request(asking, to, body, &target, Terms::default()) {
            let mut index = Index::default();
            let written = index.read(&translated.body).unwrap();
            assert!(written.get("model").unwrap().is(target.model));
            assert!(written.get("messages").unwrap().items().next().is_some());
        }
    }
    for dialect in [Dialect::Chat, Dialect::Messages, Dialect::Responses] {
        let wanted = Wanted { features: true, session: true };
        let features = look(body, dialect, wanted, &mut Index::default()).features;
        assert!(
            features.text_bytes
                >= if features.holds.has(sidestream::route::Feature::Image) { PICTURE_BYTES } else { 0 }
        );
    }
    if Index::default().read(body).is_ok()
        && let Some(spared) = spare_foreign_thinking(body, &mut Index::default())
    {
        Index::default().read(&spared).unwrap();
    }
});
