//! When a block's turn is, and what is written of it.

use super::block::{Block, Kind, Place};
use super::{Phase, Sequencer, api};
use crate::dialect::turn::{Key, Open, Stop, Writer};
use crate::dialect::{arguments, ids};
use crate::json::text::escape;
use crate::limits::CALLS_MAX;

impl<W: Writer> Sequencer<W> {
    /// A block begins, or something late is said of one. Text and thoughts are written once there are some.
    pub(super) fn open(&mut self, key: Key, block: Open<'_>, out: &mut Vec<u8>) {
        let known = self.find(key).filter(|at| self.blocks.get_mut(*at).is_some_and(|known| known.complete(block)));
        let at = match known {
            Some(at) => at,
            None => {
                let new = Block::new(key, block);
                if new.is_call() && self.blocks.iter().filter(|block| block.is_call()).count() == CALLS_MAX {
                    return self.fail(api(&format!("the answer has more than {CALLS_MAX} tool calls")), out);
                }
                if let Some(at) = self.find(key) {
                    self.let_go(at, out);
                }
                self.add(new)
            }
        };
        let Some(block) = self.blocks.get(at).filter(|block| block.is_waiting()) else { return };
        let may_begin = match &block.kind {
            Kind::Redacted => return self.redacted(at, out),
            Kind::Call(call) => !call.name.is_empty(),
            _ => false,
        };
        if may_begin && self.make_room(at, out) {
            self.write_open(at, out);
        }
    }

    /// More of a block.
    #[inline]
    pub(super) fn delta(&mut self, key: Key, text: &[u8], out: &mut Vec<u8>) {
        if let Some(Block { key: known, kind, place: Place::Open(number), held, .. }) =
            self.current.and_then(|at| self.blocks.get_mut(at))
            && *known == Some(key)
            && !text.is_empty()
            && self.phase == Phase::Answering
        {
            let goes_on = match kind {
                Kind::Text | Kind::Thinking => true,
                Kind::Call(call) => W::INTERLEAVES || (held.is_empty() && call.arguments.go_on(text)),
                Kind::Refusal | Kind::Redacted => false,
            };
            if goes_on {
                self.output_bytes += text.len() as u64;
                return self.writer.delta(*number, text, out);
            }
        }
        self.delta_elsewhere(key, text, out);
    }

    fn delta_elsewhere(&mut self, key: Key, text: &[u8], out: &mut Vec<u8>) {
        let Some(at) = self.find(key).filter(|_| self.phase != Phase::Over && !text.is_empty()) else { return };
        let leaves_out = self.leaves_thoughts_out();
        let Some(block) = self.blocks.get_mut(at) else { return };
        if block.is_thought() && leaves_out {
            return self.losses.dropped("thinking");
        }
        // It was whole when it began.
        if matches!(block.kind, Kind::Redacted) {
            return self.losses.dropped("redacted_thinking");
        }
        self.output_bytes += text.len() as u64;
        if block.is_call() {
            return match block.place {
                Place::Open(_) => self.write_arguments(at, text, out),
                Place::Waiting => {
                    block.held.extend_from_slice(text);
                    let is_named = matches!(&block.kind, Kind::Call(call) if !call.name.is_empty());
                    if is_named && self.make_room(at, out) {
                        self.write_open(at, out);
                    } else {
                        self.hold(text.len(), out);
                    }
                }
                // What follows a whole object cannot be carried in any dialect that has objects.
                Place::Ended if is_blank(text) => {}
                Place::Ended => self.losses.dropped("tool_calls.arguments"),
            };
        }
        // White space between fragments of arguments is an artefact of servers' parsers.
        let is_artefact = block.held.is_empty() && !block.is_open() && is_blank(text);
        if is_artefact && !W::INTERLEAVES && self.open_call().is_some() {
            return;
        }
        if self.make_room(at, out) {
            self.write_open(at, out);
            self.write(at, text, out);
        } else if let Some(block) = self.blocks.get_mut(at) {
            block.held.extend_from_slice(text);
            self.hold(text.len(), out);
        }
    }

    /// A thinking block's proof. It may be all there is of the block.
    pub(super) fn signature(&mut self, key: Key, signature: &[u8], out: &mut Vec<u8>) {
        let Some(at) = self.find(key) else { return };
        if self.leaves_thoughts_out() {
            return self.losses.dropped("thinking.signature");
        }
        if let Some(block) = self.blocks.get_mut(at).filter(|_| !signature.is_empty()) {
            // Thoughts alone have a place for it; those that are redacted prove themselves.
            if !matches!(block.kind, Kind::Thinking) {
                return self.losses.dropped("content.signature");
            }
            self.held_bytes = self.held_bytes.saturating_sub(block.signature.len());
            block.signature.clear();
            block.signature.extend_from_slice(signature);
            self.hold(signature.len(), out);
            if self.make_room(at, out) {
                self.write_open(at, out);
            }
        }
    }

    /// The upstream says that a block is whole.
    pub(super) fn close_key(&mut self, key: Key, out: &mut Vec<u8>) {
        if let Some(at) = self.find(key) {
            self.let_go(at, out);
        }
        if self.current.is_none() {
            self.next_in_line(out);
        }
    }

    /// Everything that waits is written, and all blocks are closed.
    pub(super) fn close_all(&mut self, out: &mut Vec<u8>) {
        for at in 0..self.blocks.len() {
            if self.blocks.get(at).is_some_and(Block::is_open) {
                self.mend(at, out);
                self.write_close(at, out);
            }
        }
        for at in 0..self.blocks.len() {
            self.name_nameless(at);
            if self.blocks.get(at).is_some_and(|block| block.is_call() && block.is_waiting() && !block.is_nothing()) {
                self.write_open(at, out);
                self.mend(at, out);
                self.write_close(at, out);
            }
        }
        self.flush_held_text(out);
        if let Some(at) = self.current {
            self.write_close(at, out);
        }
        if self.begun == 0 {
            // Some clients look at the first block without looking whether there is one.
            let at = self.add(Block::new(Key::MAX, Open::Text));
            self.write_open(at, out);
            self.write_close(at, out);
        }
    }

    fn find(&self, key: Key) -> Option<usize> {
        let is_it = |block: &Block| block.key == Some(key);
        self.current
            .filter(|at| self.blocks.get(*at).is_some_and(is_it))
            .or_else(|| self.blocks.iter().rposition(is_it))
    }

    fn add(&mut self, block: Block) -> usize {
        self.blocks.push(block);
        self.blocks.len() - 1
    }

    fn leaves_thoughts_out(&self) -> bool {
        !self.terms.thinking && !W::WANTS_UNASKED_THINKING
    }

    fn open_call(&self) -> Option<usize> {
        self.current.filter(|at| self.blocks.get(*at).is_some_and(|block| block.is_call() && block.is_open()))
    }

    /// Closes the open block, if another may begin: says whether this one may be written now.
    fn make_room(&mut self, at: usize, out: &mut Vec<u8>) -> bool {
        let Some(open) = self.current.filter(|open| *open != at && !W::INTERLEAVES) else { return true };
        let Some(block) = self.blocks.get(open).filter(|block| block.is_open()) else { return true };
        if !block.may_end() {
            return false;
        }
        let was_call = block.is_call();
        self.write_close(open, out);
        if was_call && self.blocks.get(at).is_some_and(|block| !block.is_call()) {
            self.flush_held_text(out);
            if let Some(open) = self.current.filter(|open| *open != at) {
                self.write_close(open, out);
            }
        }
        true
    }

    /// The upstream has no more to say under this block's key.
    fn let_go(&mut self, at: usize, out: &mut Vec<u8>) {
        let Some(block) = self.blocks.get_mut(at) else { return };
        block.key = None;
        if block.is_open() {
            self.write_close(at, out);
        } else if block.is_nothing() {
            block.place = Place::Ended;
        }
    }

    /// Nothing is open: what waits has its turn, up to a call that is still going on.
    fn next_in_line(&mut self, out: &mut Vec<u8>) {
        for at in 0..self.blocks.len() {
            let Some(block) = self.blocks.get(at).filter(|block| block.is_call() && block.is_waiting()) else {
                continue;
            };
            if matches!(&block.kind, Kind::Call(call) if call.name.is_empty()) {
                continue;
            }
            let is_whole = block.key.is_none();
            self.write_open(at, out);
            if !is_whole {
                return;
            }
            self.write_close(at, out);
        }
        self.flush_held_text(out);
    }

    /// Writes text and thoughts that had to wait for a call's end; the last of them stays open.
    fn flush_held_text(&mut self, out: &mut Vec<u8>) {
        for at in 0..self.blocks.len() {
            let waits = |block: &Block| !block.is_call() && !block.is_open() && !block.is_nothing();
            if self.blocks.get(at).is_some_and(waits) {
                if let Some(open) = self.current.filter(|open| *open != at && !W::INTERLEAVES) {
                    self.write_close(open, out);
                }
                self.redacted_or_open(at, out);
            }
        }
    }

    fn redacted_or_open(&mut self, at: usize, out: &mut Vec<u8>) {
        match self.blocks.get(at).map(|block| &block.kind) {
            Some(Kind::Redacted) => self.redacted(at, out),
            _ => self.write_open(at, out),
        }
    }

    /// A block of thoughts that come whole.
    fn redacted(&mut self, at: usize, out: &mut Vec<u8>) {
        if self.leaves_thoughts_out() {
            if let Some(block) = self.blocks.get_mut(at) {
                block.place = Place::Ended;
                block.held.clear();
            }
            return self.losses.dropped("redacted_thinking");
        }
        if self.make_room(at, out) {
            self.write_open(at, out);
            self.write_close(at, out);
        }
    }

    /// A call whose name never came has some to be called by: without it the client would miss the call, and the model
    /// repeat it for ever.
    fn name_nameless(&mut self, at: usize) {
        let number = self.blocks.iter().take(at).filter(|block| block.is_call()).count();
        let Some(block) = self.blocks.get_mut(at).filter(|block| block.is_waiting() && !block.is_nothing()) else {
            return;
        };
        if let Kind::Call(call) = &mut block.kind
            && call.name.is_empty()
        {
            call.name = self.terms.only_tool.clone().unwrap_or_else(|| format!("tool_{number}").into_bytes());
            self.losses.invented("tool_calls.name");
        }
    }

    /// Opens a block unless it is open, and writes what was held of it.
    fn write_open(&mut self, at: usize, out: &mut Vec<u8>) {
        if self.blocks.get(at).is_none_or(Block::is_open) {
            return;
        }
        self.begin(out);
        let number = self.begun;
        self.begun += 1;
        self.current = Some(at);
        let id = self.call_id(at);
        let Some(block) = self.blocks.get_mut(at) else { return };
        block.place = Place::Open(number);
        let held = std::mem::take(&mut block.held);
        self.held_bytes = self.held_bytes.saturating_sub(held.len());
        let open = match &block.kind {
            Kind::Text => Open::Text,
            Kind::Thinking => Open::Thinking,
            Kind::Refusal => Open::Refusal,
            Kind::Redacted => Open::RedactedThinking(&held),
            Kind::Call(call) => Open::ToolCall { id: &id, name: self.terms.names.restore(&call.name) },
        };
        self.has_refused |= open == Open::Refusal;
        self.writer.open(number, open, out);
        match open {
            Open::RedactedThinking(_) => {}
            Open::ToolCall { .. } => {
                self.ids.push(id);
                self.write_arguments(at, &held, out);
            }
            _ => self.write(at, &held, out),
        }
    }

    /// The id of a call as it is written: one that the client's dialect allows, and no other call of the conversation has.
    /// Servers that number their calls anew in every answer are common, and Claude Code takes a call whose id it knows for one
    /// that it has run.
    fn call_id(&self, at: usize) -> Vec<u8> {
        let Some(Kind::Call(call)) = self.blocks.get(at).map(|block| &block.kind) else { return Vec::new() };
        let id = if call.id.is_empty() { Vec::new() } else { W::call_id(&call.id).into_owned() };
        if !id.is_empty() && !self.ids.contains(&id) && !self.terms.call_ids.contains(&id) {
            return id;
        }
        let mut fresh = Vec::new();
        ids::fresh(W::CALL_ID_PREFIX, &self.terms.seed, self.begun + 1, &mut fresh);
        fresh
    }

    fn write(&mut self, at: usize, text: &[u8], out: &mut Vec<u8>) {
        self.current = Some(at);
        if let Some(Place::Open(number)) = self.blocks.get(at).map(|block| block.place)
            && !text.is_empty()
        {
            self.writer.delta(number, text, out);
        }
    }

    /// More arguments of an open call. Where they are no object they are held, to be made one when all of them came.
    fn write_arguments(&mut self, at: usize, text: &[u8], out: &mut Vec<u8>) {
        if W::INTERLEAVES {
            return self.write(at, text, out);
        }
        let Some(block) = self.blocks.get_mut(at) else { return };
        let Kind::Call(call) = &mut block.kind else { return };
        if call.arguments.is_whole() && !is_blank(text) {
            return self.losses.dropped("tool_calls.arguments");
        }
        call.arguments.push(text);
        if call.arguments.is_object() && block.held.is_empty() {
            return self.write(at, text, out);
        }
        block.held.extend_from_slice(text);
        if call.arguments.is_object() {
            let held = std::mem::take(&mut block.held);
            self.held_bytes = self.held_bytes.saturating_sub(held.len());
            self.write(at, &held, out);
        } else {
            self.hold(text.len(), out);
        }
    }

    /// All arguments of an open call came: makes an object of those that are none, and closes what only lacks its end.
    fn mend(&mut self, at: usize, out: &mut Vec<u8>) {
        let was_cut = matches!(self.stop, Some((Stop::MaxTokens | Stop::ContextFull, _)));
        let Some(Block { kind: Kind::Call(call), .. }) = self.blocks.get(at) else { return };
        if W::INTERLEAVES || was_cut {
            return;
        }
        let mut end = std::mem::take(&mut self.scratch);
        end.clear();
        if call.arguments.is_object() && call.arguments.missing(&mut end) {
            self.losses.invented("tool_calls.arguments");
            self.write(at, &end, out);
        }
        self.scratch = end;
    }

    /// Closes an open block; of arguments that are no object it makes one first.
    fn write_close(&mut self, at: usize, out: &mut Vec<u8>) {
        let Some(block) = self.blocks.get_mut(at) else { return };
        let Place::Open(number) = block.place else { return };
        let held = std::mem::take(&mut block.held);
        let signature = std::mem::take(&mut block.signature);
        block.place = Place::Ended;
        self.held_bytes = self.held_bytes.saturating_sub(held.len() + signature.len());
        if !held.is_empty() && matches!(&block.kind, Kind::Call(call) if !call.arguments.is_blank()) {
            let (mut object, mut escaped) = (Vec::new(), Vec::new());
            arguments::object(&held, &mut object);
            escape(&object, &mut escaped);
            self.losses.approximated("tool_calls.arguments");
            self.writer.delta(number, &escaped, out);
        }
        if !signature.is_empty() {
            self.writer.signature(number, &signature, out);
        }
        self.writer.close(number, out);
        self.current = self.current.filter(|current| *current != at);
    }
}

/// An escaped text is nothing but white space.
fn is_blank(text: &[u8]) -> bool {
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = match (byte, after) {
            (b' ', _) => after,
            (b'\\', [b'n' | b'r' | b't', after @ ..]) => after,
            _ => return false,
        };
    }
    true
}
