//! The waist: the one vocabulary in which dialects meet. A reader turns a dialect's bytes into it, a writer turns it into
//! another dialect's bytes, and neither knows the other.
//!
//! - A request is a [`Request`]: turns of blocks that borrow from the body.
//! - An answer, streamed or whole, is a sequence of [`Word`]s, brought into order by the sequencer and written by a
//!   [`Writer`].
//! - What a dialect cannot say is never left out in silence: it is a [`super::loss::Loss`], or the request is [`Refused`].

use std::borrow::Cow;

pub use super::failure::{Class, Failure};
use super::loss::Losses;
pub use super::usage::Usage;
use crate::json::Value;

/// The content of a JSON string, still escaped and without its quotes: all dialects speak JSON, so it is copied as it
/// stands. Words carry it from the upstream's bytes to the client's.
pub type Escaped<'a> = &'a [u8];

/// The same in a request, where some of it is made here.
pub type Text<'a> = Cow<'a, [u8]>;

/// A JSON value as it stands.
pub type Raw<'a> = &'a [u8];

// ── Requests ────────────────────────────────────────────────────────────────────────────────────────────────────────

/// What a client asks for.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// The conversation, in its order: system turns stand where they stood.
    pub turns: Vec<Turn<'a>>,
    /// What the model may call.
    pub tools: Vec<Tool<'a>>,
    /// What it must call; `None` leaves it to the model.
    pub tool_choice: Option<ToolChoice<'a>>,
    /// It may call several at once; `None` where the client does not say.
    pub parallel_tools: Option<bool>,
    /// The most tokens of the answer, reasoning included.
    pub max_tokens: Option<u64>,
    /// `temperature`, a number as it stands.
    pub temperature: Option<Raw<'a>>,
    /// `top_p`, a number as it stands.
    pub top_p: Option<Raw<'a>>,
    /// `top_k`, a number as it stands.
    pub top_k: Option<Raw<'a>>,
    /// Texts that end the answer; empty for none.
    pub stop: Vec<Text<'a>>,
    /// The answer is to be streamed.
    pub stream: bool,
    /// A streamed answer is to end with its usage (Chat's `stream_options.include_usage`; Messages always has it).
    pub usage_wanted: bool,
    /// Whether the model thinks before it answers.
    pub thinking: Option<Thinking>,
    /// How hard it tries.
    pub effort: Option<Effort>,
    /// What form the answer's text must have.
    pub format: Option<Format<'a>>,
    /// Whom the client serves, in the client's words.
    pub user: Option<Text<'a>>,
    /// Fields of the top level that have no word here, in their order: each is a loss, unless a profile passes it.
    pub others: Vec<(Text<'a>, Value<'a>)>,
}

/// One message.
#[derive(Clone, Debug)]
pub struct Turn<'a> {
    /// Whose.
    pub role: Role,
    /// What it says.
    pub blocks: Vec<Block<'a>>,
}

/// Whose a turn is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions.
    System,
    /// The user's, tool results included.
    User,
    /// The model's.
    Assistant,
}

/// A piece of a turn.
#[derive(Clone, Debug)]
pub struct Block<'a> {
    /// What it is.
    pub content: Content<'a>,
    /// `cache_control`, as it stands (Messages, and parts of some Chat clients).
    pub cache_control: Option<Raw<'a>>,
}

/// What a block is.
#[derive(Clone, Debug)]
pub enum Content<'a> {
    /// Text.
    Text(Text<'a>),
    /// A picture.
    Image {
        /// Where it is.
        source: Source<'a>,
        /// Chat's `detail`.
        detail: Option<Text<'a>>,
    },
    /// A file to read.
    Document(Document<'a>),
    /// The model calls a tool.
    ToolCall(ToolCall<'a>),
    /// What a call gave.
    ToolResult(ToolResult<'a>),
    /// The model's thoughts; a signature proves to its vendor whose they are, an empty or missing one proves nothing.
    Thinking {
        /// The thoughts.
        text: Text<'a>,
        /// The proof.
        signature: Option<Text<'a>>,
    },
    /// Thoughts that only their vendor can read.
    RedactedThinking(Text<'a>),
    /// The model refused, in these words (Chat).
    Refusal(Text<'a>),
    /// A block that has no word here.
    Other {
        /// Its `type`.
        kind: Text<'a>,
        /// All of it.
        raw: Value<'a>,
    },
}

/// Where something is.
#[derive(Clone, Debug)]
pub enum Source<'a> {
    /// Here.
    Base64 {
        /// Its media type: `image/png`.
        media_type: Text<'a>,
        /// Base64, without line ends.
        data: Text<'a>,
    },
    /// At an address.
    Url(Text<'a>),
    /// At the vendor, under this id: nobody else can read it.
    File(Text<'a>),
}

/// A file to read.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    /// What is in it.
    pub source: DocumentSource<'a>,
    /// Its title, or file name.
    pub title: Option<Text<'a>>,
    /// What it is about.
    pub context: Option<Text<'a>>,
}

/// What is in a document.
#[derive(Clone, Debug)]
pub enum DocumentSource<'a> {
    /// A PDF, or what else the media type says.
    File(Source<'a>),
    /// Plain text.
    Text(Text<'a>),
    /// Blocks of text and pictures.
    Blocks(Vec<Block<'a>>),
}

/// A call of a tool.
#[derive(Clone, Debug)]
pub struct ToolCall<'a> {
    /// Names the call; its result names it too.
    pub id: Text<'a>,
    /// The tool.
    pub name: Text<'a>,
    /// What it is called with.
    pub input: Input<'a>,
}

/// What a tool is called with.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A JSON value, an object as a rule (Messages).
    Json(Raw<'a>),
    /// The content of a string that should hold a JSON object, and may hold anything (Chat).
    Text(Text<'a>),
}

/// What a call gave.
#[derive(Clone, Debug)]
pub struct ToolResult<'a> {
    /// The call's id.
    pub id: Text<'a>,
    /// What it gave.
    pub content: Vec<Block<'a>>,
    /// It failed.
    pub is_error: bool,
}

/// A tool that the model may call.
#[derive(Clone, Debug)]
pub struct Tool<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// What it does.
    pub description: Option<Text<'a>>,
    /// How it is called.
    pub kind: ToolKind<'a>,
    /// Inputs must match the schema to the letter.
    pub strict: Option<bool>,
    /// As for a block.
    pub cache_control: Option<Raw<'a>>,
}

/// How a tool is called.
#[derive(Clone, Debug)]
pub enum ToolKind<'a> {
    /// With an object of this JSON schema; `None` for none given. The client runs it.
    Function(Option<Value<'a>>),
    /// With free text (Chat's `custom`). The client runs it.
    Custom(Value<'a>),
    /// As its vendor defined it, by a versioned `type` (`web_search_20250305`, `bash_20250124`).
    Vendor {
        /// The type.
        kind: Text<'a>,
        /// All of it.
        raw: Value<'a>,
    },
}

/// What the model must call.
#[derive(Clone, Debug)]
pub enum ToolChoice<'a> {
    /// What it wants.
    Auto,
    /// At least one.
    Required,
    /// This one.
    Tool(Text<'a>),
    /// None.
    None,
}

/// Whether the model thinks before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// No.
    Disabled,
    /// Up to so many tokens.
    Budget(u64),
    /// As it sees fit.
    Adaptive,
}

/// How hard the model tries, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Effort {
    /// Not at all: Chat's way to switch thinking off.
    None,
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
    Max,
}

/// What form the answer's text must have.
#[derive(Clone, Debug)]
pub enum Format<'a> {
    /// A JSON object.
    JsonObject,
    /// JSON of this schema.
    JsonSchema {
        /// Chat's name for it.
        name: Option<Text<'a>>,
        /// The schema.
        schema: Value<'a>,
        /// To the letter.
        strict: Option<bool>,
    },
}

/// A request that cannot be carried over: leaving out what is named would change what it means. It becomes a 400.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The field, as a path without array places: `messages.content.source`.
    pub path: Cow<'static, str>,
    /// What was wrong, and what to do.
    pub message: String,
}

impl Refused {
    /// A conversation that is kept at its vendor (Messages' beta `thread`): what is here is the end of it alone. Anthropic's
    /// SDKs send all of it when they are told so in these words ([`super::error`] adds the details that they look for).
    pub fn thread() -> Self {
        let message =
            "the conversation is kept at Anthropic's, and the provider of this model cannot see it; send all of it";
        Self::new("thread", message)
    }

    /// Names the field and says why.
    pub fn new(path: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl Effort {
    /// Its name in all dialects.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
            Self::Max => "max",
        }
    }

    /// The effort of that name.
    pub fn of(name: &str) -> Option<Self> {
        use Effort::{High, Low, Max, Medium, Minimal, None, XHigh};
        [None, Minimal, Low, Medium, High, XHigh, Max].into_iter().find(|effort| effort.name() == name)
    }
}

impl<'a> Block<'a> {
    /// A block without marks.
    pub fn new(content: Content<'a>) -> Self {
        Self { content, cache_control: None }
    }

    /// A block of text.
    pub fn text(text: impl Into<Text<'a>>) -> Self {
        Self::new(Content::Text(text.into()))
    }
}

// ── Answers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A reader's name for a block. It may name another block of the same kind once the first is closed; numbering what goes
/// out is the writer's business.
pub type Key = u32;

/// One piece of an answer, streamed or whole. The order is the upstream's; the sequencer makes it the usual one.
#[derive(Clone, Debug)]
pub enum Word<'a> {
    /// The answer begins. Empty where the upstream says nothing.
    Start {
        /// The upstream's id of the answer.
        id: Escaped<'a>,
        /// The model that answers.
        model: Escaped<'a>,
    },
    /// What follows under this key is such a block. Said again of an open block it adds what was missing: the id or name of
    /// a tool call that came late.
    Open {
        /// The block.
        key: Key,
        /// What it is.
        block: Open<'a>,
    },
    /// More of a block: of its text, its thoughts, the JSON text of its input.
    Delta {
        /// The block.
        key: Key,
        /// What comes next in it.
        text: Escaped<'a>,
    },
    /// A thinking block's proof.
    Signature {
        /// The block.
        key: Key,
        /// The proof.
        signature: Escaped<'a>,
    },
    /// The block is whole. Chat does not say so: there the next block or the end closes it.
    Close {
        /// The block.
        key: Key,
    },
    /// Running totals; what is `None` stays as it was.
    Usage(Usage),
    /// Why the model stopped. The first that means something holds.
    Stop(Stop, Option<Escaped<'a>>),
    /// The upstream failed in the middle of its answer, or instead of one.
    Failed(Failure),
    /// The answer is whole (`[DONE]`, `message_stop`). A stream that ends without it was cut.
    End,
    /// Nothing to say.
    Ping,
    /// An event, block or member that has no word here: a loss under this path.
    Foreign(Cow<'static, str>),
}

/// What kind of block begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open<'a> {
    /// Text.
    Text,
    /// Thoughts.
    Thinking,
    /// Thoughts that only their vendor can read, whole.
    RedactedThinking(Escaped<'a>),
    /// A refusal's words (Chat; text elsewhere, with [`Stop::Refusal`]).
    Refusal,
    /// A call of a tool. Empty is what is not known yet.
    ToolCall {
        /// Names the call.
        id: Escaped<'a>,
        /// The tool.
        name: Escaped<'a>,
    },
}

/// Why a model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It was done. Said of a turn with tool calls it becomes [`Stop::ToolUse`] in the sequencer.
    EndTurn,
    /// It waits for the results of its calls.
    ToolUse,
    /// The limit of its answer is reached.
    MaxTokens,
    /// The context window is full.
    ContextFull,
    /// One of the texts that end an answer came.
    Sequence,
    /// It refused, or a filter did.
    Refusal,
    /// It takes a break (Messages' `pause_turn`).
    Pause,
}

/// Writes an answer in a dialect, streamed or whole. Calls come in this order: `start`; for each block `open`, `delta`s,
/// at most one `signature`, `close`; `end` or `fail`, once. `ping` at any time after `start`. Where [`Writer::INTERLEAVES`]
/// is set, several blocks may be open at once; else one.
pub trait Writer {
    /// Blocks may be open side by side.
    const INTERLEAVES: bool;
    /// Thoughts are written also for a client that did not ask for them.
    const WANTS_UNASKED_THINKING: bool = true;
    /// How a call's id begins that is made here.
    const CALL_ID_PREFIX: &'static str = "call_";

    /// A call's id as the dialect allows it; not empty.
    fn call_id(id: Escaped<'_>) -> Cow<'_, [u8]> {
        super::ids::tool_id_for_chat(id)
    }

    /// The answer begins; `id` and `model` are the upstream's.
    fn start(&mut self, usage: &Usage, out: &mut Vec<u8>);
    /// Block `number` begins: 0, 1, 2, … in the order of their beginning. A tool call's name is known and is the client's,
    /// its id is one that the client's dialect allows.
    fn open(&mut self, number: u32, block: Open<'_>, out: &mut Vec<u8>);
    /// More of it; never empty.
    fn delta(&mut self, number: u32, text: Escaped<'_>, out: &mut Vec<u8>);
    /// Its proof.
    fn signature(&mut self, number: u32, signature: Escaped<'_>, out: &mut Vec<u8>);
    /// It is whole.
    fn close(&mut self, number: u32, out: &mut Vec<u8>);
    /// The answer is whole. `sequence` is the text that ended it.
    fn end(&mut self, stop: Stop, sequence: Option<Escaped<'_>>, usage: &Usage, out: &mut Vec<u8>);
    /// The answer failed.
    fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>);
    /// Shows the client that the answer goes on.
    fn ping(&mut self, out: &mut Vec<u8>);
    /// What could not be written, since the last time it was asked for.
    fn losses(&mut self) -> Losses {
        Losses::default()
    }
}

/// Reads an upstream's answer.
pub trait Reader {
    /// Takes the data of one server-sent event of a stream; `name` is its `event` field. It never fails: what cannot be
    /// read is a [`Word::Failed`] or a [`Word::Foreign`].
    fn event(&mut self, name: &[u8], data: &[u8], say: &mut impl FnMut(Word<'_>));
    /// Takes a whole answer with status 200.
    fn body(&mut self, body: &[u8], say: &mut impl FnMut(Word<'_>));
}

/// What an answer must know of the request that it answers.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// The model's name as the client sent it, escaped: it goes into the answer.
    pub model: Vec<u8>,
    /// How logs know the request; it goes into errors.
    pub request_id: String,
    /// 16 bytes that no other answer has: ids are made of them.
    pub seed: [u8; 16],
    /// Seconds since 1970.
    pub created: u64,
    /// The client asked for thoughts; else they are left out of Messages.
    pub thinking: bool,
    /// The client asked for usage at the end of a Chat stream.
    pub usage: bool,
    /// The only tool that was declared, as the client calls it: a call without a name means it.
    pub only_tool: Option<Vec<u8>>,
    /// Ids of the conversation's calls so far: those of the answer must be others.
    pub call_ids: std::collections::HashSet<Vec<u8>>,
    /// Names that went upstream in another spelling.
    pub names: super::ids::Names,
    /// Tools that were declared as taking free text (Chat's `custom`), as the client calls them, and that went upstream as
    /// functions: the text is the member `input` of what they are called with.
    pub free_text_tools: Vec<Vec<u8>>,
    /// What the input is estimated to be, in tokens, for clients that are told before the upstream counted.
    pub input_estimate: u64,
    /// How tokens are told to the client: real window and the one that it believes in; equal for no scaling.
    pub scale: Scale,
}

/// A ratio of two context windows: reported usage is multiplied with it, so that a client compacts in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// The window that the client believes in, in tokens.
    pub expected: u64,
    /// The model's.
    pub real: u64,
}

impl Default for Scale {
    fn default() -> Self {
        Self { expected: 1, real: 1 }
    }
}

impl Scale {
    /// So many real tokens, as the client is told; at least 1 where there was one.
    pub fn told(self, tokens: u64) -> u64 {
        if self.expected == self.real || tokens == 0 {
            return tokens;
        }
        let told = u128::from(tokens) * u128::from(self.expected) / u128::from(self.real.max(1));
        u64::try_from(told).unwrap_or(u64::MAX).max(1)
    }
}
