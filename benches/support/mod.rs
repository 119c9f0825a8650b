//! The pieces whose cost is looked at: `pieces` prints how long they take, `gate` has their instructions counted.
//!
//! | module | what |
//! |---|---|
//! | [`heads`], [`bodies`] | HTTP, JSON and events on their way through |
//! | [`requests`], [`answers`] | translation |
//! | [`counting`] | tokens |
//! | [`rest`] | routes, and the line in the log |
//! | [`exchange`] | a request and its answer as a whole, through the connection that serves a client |
//!
//! What they work on never changes with the sources (captures, licences, literals): a count that moves was moved by code.

mod answers;
mod bodies;
mod counting;
mod exchange;
mod heads;
mod requests;
mod rest;

/// One piece, not set up yet.
pub struct Piece {
    /// Its name, also in `gate.tsv`.
    pub name: String,
    /// Calls whose mean is a fair value; as many go before, unmeasured.
    pub calls: u32,
    /// Makes its work ready.
    pub set_up: Box<dyn FnOnce() -> Work>,
}

/// A piece that can be called again and again, each time for the same cost.
pub struct Work {
    /// Bytes that one unit works on.
    pub bytes: usize,
    /// A call does the unit so many times.
    pub units: u32,
    /// Does it.
    pub call: Box<dyn FnMut()>,
    /// What else is worth knowing.
    pub note: String,
}

impl Piece {
    fn new(name: impl Into<String>, set_up: impl FnOnce() -> Work + 'static) -> Self {
        Self { name: name.into(), calls: 20, set_up: Box::new(set_up) }
    }

    fn calls(self, calls: u32) -> Self {
        Self { calls, ..self }
    }
}

impl Work {
    fn new(bytes: usize, call: impl FnMut() + 'static) -> Self {
        Self { bytes, units: 1, call: Box::new(call), note: String::new() }
    }
}

/// All pieces, in the order of a request's path.
pub fn pieces() -> Vec<Piece> {
    let rooms = [
        heads::pieces(),
        bodies::pieces(),
        rest::pieces(),
        requests::pieces(),
        answers::pieces(),
        counting::pieces(),
        exchange::pieces(),
    ];
    rooms.into_iter().flatten().collect()
}

/// Bodies that real clients sent: `tests/data/captures/README.md` says which.
mod captures {
    /// The first turn of an agent that speaks Messages.
    pub const AGENT: &[u8] = include_bytes!("../../tests/data/captures/cc330-hi-001.body");
    /// The larger one of its predecessor.
    pub const AGENT_LARGE: &[u8] = include_bytes!("../../tests/data/captures/cc-hi-002.body");
    /// The head of [`AGENT`] among the rest, as JSON.
    pub const AGENT_CALL: &str = include_str!("../../tests/data/captures/cc330-hi-001.json");
    /// A turn of an agent that speaks Chat Completions.
    pub const AGENT_CHAT: &[u8] = include_bytes!("../../tests/data/captures/codex077-chat-tool2-002.body");
    /// A small request of an SDK to Chat Completions.
    pub const SDK: &[u8] = include_bytes!("../../tests/data/captures/node-sdk-013.body");
    /// The head of [`SDK`] among the rest, as JSON.
    pub const SDK_CALL: &str = include_str!("../../tests/data/captures/node-sdk-013.json");
    /// The head of a small request of an SDK to Messages, among the rest, as JSON.
    pub const SDK_MESSAGES_CALL: &str = include_str!("../../tests/data/captures/node-sdk-020.json");
}
