//! Which call a fragment of `tool_calls` belongs to. OpenAI numbers calls with `index`; other servers leave it out, use one
//! for all calls, repeat ids and names in every fragment, or send them late.

use crate::dialect::turn::Key;
use crate::json::{Completeness, Kind, Value};
use crate::limits::CALLS_MAX;

/// The calls of one answer.
#[derive(Debug, Default)]
pub(super) struct Calls {
    list: Vec<Call>,
    /// The call that the last fragment belonged to.
    last: usize,
}

/// What is known of a call. Empty is what is not.
#[derive(Debug, Default)]
pub(super) struct Call {
    index: Option<u64>,
    pub id: Vec<u8>,
    pub name: Vec<u8>,
    pub arguments: Completeness,
}

/// A fragment of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'v> {
    pub index: Option<u64>,
    pub id: &'v [u8],
    pub name: &'v [u8],
    /// A string that is not empty, or another value.
    pub arguments: Option<Value<'v>>,
}

impl<'v> Fragment<'v> {
    /// Reads an entry of `tool_calls`.
    pub fn read(entry: Value<'v>) -> Self {
        // Some servers leave the function's members in the entry itself.
        let function = entry.get("function").filter(|function| function.kind() == Kind::Object).unwrap_or(entry);
        let index = entry.get("index").and_then(|index| index.as_u64());
        Self { index, id: word(entry.get("id")), ..Self::of_function(function) }
    }

    /// Reads the older `function_call`, of which an answer has one.
    pub fn of_function(function: Value<'v>) -> Self {
        let arguments = function.get("arguments").filter(|arguments| arguments.escaped() != Some(b""));
        Self { index: Some(0), id: b"", name: word(function.get("name")), arguments }
    }

    fn is_nothing(&self) -> bool {
        self.id.is_empty() && self.name.is_empty() && self.arguments.is_none()
    }
}

impl Calls {
    pub fn clear(&mut self) {
        self.list.clear();
        self.last = 0;
    }

    pub fn get_mut(&mut self, at: usize) -> Option<&mut Call> {
        self.list.get_mut(at)
    }

    /// The place of the call that a fragment belongs to, which may be new; `None` for a fragment that says nothing.
    pub fn find(&mut self, fragment: &Fragment<'_>) -> Option<usize> {
        if fragment.is_nothing() {
            return None;
        }
        let known = match fragment.index {
            Some(_) => self.by_index(fragment),
            None => self.without_index(fragment),
        };
        match known {
            Some(at) => self.last = at,
            None => return self.add(fragment),
        }
        known
    }

    /// A call of its own.
    pub fn add(&mut self, fragment: &Fragment<'_>) -> Option<usize> {
        // The sequencer ends the answer at the bound.
        if self.list.len() > CALLS_MAX {
            return None;
        }
        self.list.push(Call { index: fragment.index, ..Call::default() });
        self.last = self.list.len() - 1;
        Some(self.last)
    }

    fn by_index(&mut self, fragment: &Fragment<'_>) -> Option<usize> {
        // An index that is used again means the call that had it last.
        if let Some(at) = self.list.iter().rposition(|call| call.index == fragment.index) {
            return self.list.get(at).is_some_and(|call| !call.is_another(fragment)).then_some(at);
        }
        // Calls that began without an index may get one.
        let at = self.by_id(fragment.id).or_else(|| {
            let is_more = fragment.id.is_empty() && fragment.name.is_empty();
            Some(self.last).filter(|at| is_more && self.list.get(*at).is_some_and(|call| call.index.is_none()))
        })?;
        let call = self.list.get_mut(at).filter(|call| call.index.is_none())?;
        call.index = fragment.index;
        Some(at)
    }

    fn without_index(&self, fragment: &Fragment<'_>) -> Option<usize> {
        if let Some(at) = self.by_id(fragment.id) {
            return Some(at);
        }
        let last = self.list.get(self.last)?;
        let is_late = fragment.id.is_empty() || (last.id.is_empty() && fragment.name.is_empty());
        (is_late && !last.is_another(fragment)).then_some(self.last)
    }

    fn by_id(&self, id: &[u8]) -> Option<usize> {
        self.list.iter().rposition(|call| call.id == id).filter(|_| !id.is_empty())
    }
}

impl Call {
    /// The fragment begins another call in this one's place.
    fn is_another(&self, fragment: &Fragment<'_>) -> bool {
        if !self.id.is_empty() && !fragment.id.is_empty() {
            return self.id != fragment.id;
        }
        if self.name.is_empty() || fragment.name.is_empty() {
            return false;
        }
        // Names are repeated by some servers, but not beside arguments that begin again.
        let begins_again = self.arguments.is_whole() && fragment.arguments.is_some();
        begins_again || (self.name != fragment.name && !self.arguments.is_blank())
    }
}

/// The key of the call at a place. The keys before are those of text, thoughts and a refusal.
pub(super) fn key(at: usize) -> Key {
    at as Key + 3
}

/// A string, or the digits of a number; empty for anything else.
fn word(value: Option<Value<'_>>) -> &[u8] {
    match value {
        Some(value) if value.kind() == Kind::Number => value.raw(),
        Some(value) => value.escaped().unwrap_or_default(),
        None => b"",
    }
}
