//! Every bound of the program that cannot be configured, named with its unit, with the reason for its size. Those that
//! can stand in [`crate::config::variables`].
//!
//! At a bound the answer is back-pressure, then an error that names it; nothing grows without one of these.

#![forbid(unsafe_code)]

use std::time::Duration;

// ── Heads (RFC 9112 §3, §5; RFC 6585 §5) ────────────────────────────────────────────────────────────────────────────

/// One request or response head, from its first byte to its blank line. Agents send 2 KiB; cookies and tokens rarely 16.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Fields in one head. SDKs send about 25, providers behind a CDN answer with about 45.
pub const FIELDS_MAX: usize = 100;
/// The request target. Longer ones are an attack or a body sent in the wrong place.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// The request line: the target, and room for a method, two spaces, a version and the line's end.
pub const REQUEST_LINE_BYTES_MAX: usize = TARGET_BYTES_MAX + 32;
/// Options in all Connection fields of one head: every field is compared to every one of them. Real heads have one or two.
pub const CONNECTION_OPTIONS_MAX: usize = 32;
/// The `model` member, decoded. The longest real names (fine-tunes, gateway paths) have about 120 bytes.
pub const MODEL_BYTES_MAX: usize = 512;
/// Interim (1xx) responses before a final one; more is a broken or hostile upstream.
pub const INTERIM_RESPONSES_MAX: usize = 10;

// ── Chunked coding (RFC 9112 §7.1) ──────────────────────────────────────────────────────────────────────────────────

/// Hex digits of one chunk size: 16 hold every u64.
pub const CHUNK_SIZE_DIGITS_MAX: usize = 16;
/// The size one chunk may announce (1 TiB). No sender means more, and sums of such sizes stay far from overflow.
pub const CHUNK_BYTES_MAX: u64 = 1 << 40;
/// Bytes of chunk extensions over one body: they mean nothing here, and cost CPU per byte.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 4 * 1024;
/// Bytes of trailer fields after one body; they are dropped (RFC 9110 §6.5.1).
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;

// ── Streams and JSON ────────────────────────────────────────────────────────────────────────────────────────────────

/// One server-sent event where we must hold it whole. Pass-through streams are not bound by it.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;
/// What an event splitter's buffers keep for the next stream, each; a giant event's memory goes back to the allocator.
pub const EVENT_BYTES_KEPT: usize = 64 * 1024;
/// Nesting of a request's JSON. Tool schemas reach about 20.
pub const JSON_DEPTH_MAX: usize = 128;
/// The `usage` member of an answer's JSON, held to be read. The largest real ones, with details per tool, have about 2 KiB.
pub const USAGE_BYTES_MAX: usize = 64 * 1024;
/// An object key of a request's top level that is compared to the members we read, escapes included.
pub const JSON_KEY_BYTES_MAX: usize = 256;

/// A request's body that is translated on the event loop, in 200 µs at most; a larger one is on a helper thread.
pub const TRANSLATED_AT_ONCE_BYTES_MAX: usize = 128 * 1024;
/// Values of one body whose index keeps its memory for the next: 256 KiB hold those of an agent's long session.
pub const INDEX_NODES_KEPT: usize = 16 * 1024;
/// A request that may be one of Claude Code's small chores: its longest has a policy of 4 KiB, and a command's output.
pub const SMALL_CHORE_BYTES_MAX: usize = 128 * 1024;
/// The same for the one that carries a whole conversation; those have up to about 1 MiB of text.
pub const CHORE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A whole answer that is translated. Answers are text; the longest a model gives has about 1 MiB.
pub const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// An error's body that is translated.
pub const ERROR_BYTES_MAX: usize = 256 * 1024;
/// How long an upstream may take to tell an error, before as much as came of it is taken for all.
pub const ERROR_TIME_MAX: Duration = Duration::from_secs(2);
/// How long an upstream may take to end an answer whose last word was said, before its connection is given up.
pub const ANSWER_END_MAX: Duration = Duration::from_millis(250);
/// Properties and branches of one tool's schema that are taken together where a server wants no alternatives; references
/// can lead to the same branches again and again.
pub const SCHEMA_MERGE_MAX: usize = 4096;
/// Losses of one translation that are kept to be told, each once; a request of an agent has about ten.
pub const LOSSES_MAX: usize = 32;
/// Of a stream that has not begun, what is held back. Responses repeats instructions and tools in its first two events: an
/// agent's have 60 KB.
pub const HELD_OPENING_BYTES_MAX: usize = 256 * 1024;
/// What is kept of an upstream's error message. Clients show it; pages of HTML and traces have more.
pub const FAILURE_MESSAGE_BYTES_MAX: usize = 8 * 1024;
/// Objects in objects in which an upstream's error is looked for; gateways wrap another's once or twice.
pub const FAILURE_NESTING_MAX: u32 = 8;
/// Blocks of one answer that a reader or a writer keeps open at once. The dialects have one, or one for each of some
/// parallel calls.
pub const BLOCKS_OPEN_MAX: usize = 128;
/// Thoughts of a block that are held until their signature comes. The longest budgets are some 100,000 tokens.
pub const THINKING_BYTES_HELD_MAX: usize = 1024 * 1024;

/// By so much a request's deadline comes before the end of a wait that it shortens: more than two timers may differ.
pub const DEADLINE_LEAD: Duration = Duration::from_millis(50);

// ── Helper threads ──────────────────────────────────────────────────────────────────────────────────────────────────

/// Threads for work that would hold an event loop up. More than one, because counting a giant takes seconds; few, because
/// they share the cores with the loops.
pub const ASIDE_THREADS_MAX: usize = 4;
/// Pieces of work that wait for a helper thread, over all workers. Editors count tokens in bursts of fifty.
pub const ASIDE_WAITING_MAX: usize = 256;
/// A helper thread without work for so long ends.
pub const ASIDE_REST_MAX: Duration = Duration::from_secs(10);

/// Tool calls in one answer. Agents declare fewer tools than this, and models call about ten at once.
pub const CALLS_MAX: usize = 128;
/// Bytes of an answer that wait for their turn: arguments of a second call while the first one's still come. A file that a
/// tool is to write has some 100 KB.
pub const HELD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Scalars of one event that a learned template may skip. The longest real events have about 20.
pub const TEMPLATE_SCALARS_MAX: usize = 64;

/// An error's body in which the name of a refused field is looked for; real ones have at most some kilobytes.
pub const REFUSAL_BYTES_MAX: usize = 64 * 1024;

// ── Tokens ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Blocks whose tokens are remembered, in about 2 MB: fifty long conversations of agents.
pub const BLOCK_COUNTS_MAX: usize = 32 * 1024;
/// Text of one request that is encoded, at 20 MB/s; what is beyond it fits into no window, and its bytes are divided by four.
pub const COUNTED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Models of which one worker remembers how many bytes a token has.
pub const LEARNED_MODELS_MAX: usize = 256;

// ── Counters ────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Rows of a provider's numbers that are kept by model. Models are named by clients.
pub const MODEL_ROWS_MAX: usize = 256;

// ── Routes ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/// The weight of one target: sums of weights stay far from overflow.
pub const ROUTE_WEIGHT_MAX: u32 = 10_000;
/// Rows of a user's table of prices, which are gone through one by one where a worker meets a model anew.
pub const OWN_PRICES_MAX: usize = 10_000;

// ── Buffers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/// What one read can bring: a few events, or a slice of a body.
pub const READ_BYTES: usize = 16 * 1024;
/// The most that one read takes where a buffer has room for more (a large body).
pub const READ_BYTES_MAX: usize = 128 * 1024;
/// Room made at a time for a body that is still to come: what a client announces is not yet ours to spend.
pub const BODY_AHEAD_BYTES: usize = 1024 * 1024;
/// Reads that one connection may handle in a row before the others have their turn (on epoll).
pub const TURN_READS: u32 = 32;
/// Capacity kept in a worker's free list; beyond it buffers go back to the allocator.
pub const FREE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The largest buffer kept: an agent's turn (30–80 KB) is received without an allocation, a giant leaves no trace.
pub const FREE_BUFFER_BYTES_MAX: usize = 256 * 1024;
/// Reads of one look at an idle TLS connection: tickets and key updates fit into the first, and the second finds nothing.
pub const LOOK_READS_MAX: u32 = 2;
/// Bytes of a client read ahead of the answer it waits for (pipelined requests).
pub const PIPELINE_BYTES_MAX: usize = 64 * 1024;
/// What is read and thrown away of a refused request, so that the client can read the refusal (RFC 9112 §9.6).
pub const LINGER_BYTES_MAX: usize = 64 * 1024;
/// Log bytes waiting for a slow reader of our standard error; beyond it lines are dropped and counted.
pub const LOG_BYTES_MAX: usize = 256 * 1024;

// ── Connections ─────────────────────────────────────────────────────────────────────────────────────────────────────

/// Client connections of one worker. A sidecar's application rarely holds a hundred.
pub const CLIENTS_MAX: usize = 20_000;
/// Connections to the own endpoints.
pub const ADMIN_CLIENTS_MAX: usize = 64;
/// Connections waiting in the kernel to be accepted, per listener.
pub const BACKLOG: i32 = 1024;

// ── Names and addresses ─────────────────────────────────────────────────────────────────────────────────────────────

/// Names whose addresses are remembered. A configuration names a handful of origins and proxies.
pub const NAMES_MAX: usize = 256;
/// Threads that look names up at once: some names may be slow without holding up the others.
pub const LOOKUP_THREADS_MAX: usize = 4;
/// Names that are being looked up or wait for it, over all workers.
pub const LOOKUPS_MAX: usize = 64;
/// An answer is used for so long: `getaddrinfo` does not tell the record's own time to live, and providers move in minutes.
pub const NAME_FRESH: Duration = Duration::from_secs(60);
/// For so long an answer is used if no newer one is to be had: an outage of the name server must not become ours.
pub const NAME_STALE_MAX: Duration = Duration::from_secs(3600);
/// A failed lookup is not repeated for so long.
pub const NAME_FAILED: Duration = Duration::from_secs(1);
/// How long a newer answer is waited for where an older one is known.
pub const NAME_REFRESH_PATIENCE: Duration = Duration::from_secs(1);
/// Between two attempts at different addresses of one name (RFC 8305 §5, "Connection Attempt Delay").
pub const DIAL_NEXT: Duration = Duration::from_millis(250);
/// Addresses of one name that are tried. Providers publish two to eight.
pub const DIAL_ADDRESSES_MAX: usize = 16;

/// An answer to a request of our own (a list of models): OpenRouter's, the longest known, has half a megabyte.
pub const FETCH_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Models of one provider that are called at the start: each costs a little money, and each restart costs it again.
pub const WARM_CALLS_MAX: usize = 16;
/// Lists of models up to this size are merged on the event loop; larger ones by a thread.
pub const MERGE_BYTES_MAX: usize = 16 * 1024;
/// Threads that merge lists of models at a time.
pub const MERGES_MAX: usize = 2;
/// Models in the merged list; OpenRouter has about 400.
pub const MODELS_MAX: usize = 10_000;
/// Sidestreams that one request may pass; two or three in a chain are a design, more are a loop.
pub const SIDESTREAMS_MAX: usize = 5;

// ── TLS ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Sessions kept for resumption, per set of roots: eight tickets for each of 32 origins.
pub const TLS_SESSIONS_MAX: usize = 256;
/// Plaintext in one record (RFC 8446 §5.1 allows 2^14).
pub const TLS_RECORD_BYTES: usize = 16 * 1024;
/// Ciphertext made for one write: about 30 µs of encryption, and a buffer that the free list keeps.
pub const TLS_PIECE_BYTES: usize = 64 * 1024;
/// With so many sends in a turn of the loop the next ones go out together ([`crate::net::gather`]). With two or three, what
/// is saved goes into one more turn of each task.
pub const GATHER_SENDS_MIN: u32 = 4;
/// Larger ones go out at once: copying them is most of the work.
pub const GATHER_BYTES_MAX: usize = 16 * 1024;

// ── Time ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// The grain of deadlines: one sweep of a worker's connections.
pub const TICK: Duration = Duration::from_millis(100);
/// Ticks between two chances to give free memory back to the system: taken when no request is open.
pub const TRIM_TICKS: u32 = 50;
/// Ticks from the last request until that is done for the last time: sooner, another request would often undo it.
pub const TRIM_REST_TICKS: u32 = 20;
/// From the first byte of a request's head to its blank line, in all (slow-loris).
pub const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// A client's TLS handshake, in all; 100 ms is usual, three round trips around the world with a slow server are 2 s.
pub const TLS_HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// The answer to a request of our own: a person waits for it, and one provider that does not answer must not be what
/// all the others' lists wait for.
pub const FETCH_TIME_MAX: Duration = Duration::from_secs(3);
/// The answer to a call of one token at the start: a local server reads the model's weights from its disk meanwhile.
pub const WARM_CALL_TIME_MAX: Duration = Duration::from_secs(120);
/// How long a provider's list of models is remembered.
pub const LISTED_FRESH: Duration = Duration::from_secs(60);
/// How long it is remembered that there was none.
pub const UNLISTED_FRESH: Duration = Duration::from_secs(5);
/// Between two pieces of a request's body.
pub const BODY_IDLE_MAX: Duration = Duration::from_secs(30);
/// A client that takes nothing of what we write.
pub const WRITE_IDLE_MAX: Duration = Duration::from_secs(60);
/// An idle client connection. Long: closing one under a client that is about to send costs it a request.
pub const CLIENT_IDLE_MAX: Duration = Duration::from_secs(600);
/// An idle upstream connection, before its origin has shown more. Hosted providers keep theirs 15 s and more; local servers
/// (uvicorn, Node) as little as 5 s, and there the look at idle connections finds what they closed.
pub const UPSTREAM_IDLE_START: Duration = Duration::from_secs(10);
/// However early an origin closes, for so long a connection is kept: requests of one burst share it.
pub const UPSTREAM_IDLE_MIN: Duration = Duration::from_secs(1);
/// However long an origin keeps them: middle boxes forget silent connections after some minutes.
pub const UPSTREAM_IDLE_MAX: Duration = Duration::from_secs(120);
/// For so long after an origin closed first, the limit does not grow: one more try a minute costs next to nothing.
pub const UPSTREAM_IDLE_REST: Duration = Duration::from_secs(60);
/// Idle connections beyond `{NAME}_KEEPALIVE_CONNECTIONS` are closed after so long: a busy moment would close and open them
/// by turns.
pub const SURPLUS_REST: Duration = Duration::from_secs(1);
/// So long after a request idle upstream connections are looked at; each later time is half as long again as the one before.
pub const UPSTREAM_LOOK: Duration = Duration::from_secs(1);
/// An origin without a request for so long is not in use: no spare connections are kept.
pub const WARM_FOR: Duration = Duration::from_secs(600);
/// Before its first request, after a start or a reload, it counts as in use for so long: the application starts beside us. A
/// guest that nobody calls on is silent after that.
pub const EXPECTED_FOR: Duration = Duration::from_secs(60);
/// The pause after a spare connection failed; doubled each time.
pub const SPARE_BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The longest such pause.
pub const SPARE_BACKOFF_MAX: Duration = Duration::from_secs(60);
/// How often a client that pipelined [`PIPELINE_BYTES_MAX`] is looked at: it must not hold its upstream after it left.
pub const HANG_UP_LOOK: Duration = Duration::from_millis(25);
/// How long a connection that had its turn stands back: the timer's grain.
pub const TURN_PAUSE: Duration = Duration::from_millis(1);
/// Reading on after a refusal, so that its bytes are not destroyed by a reset.
pub const LINGER_TIME_MAX: Duration = Duration::from_secs(1);
/// What a new connection has, once the worker drains, to send its first request.
pub const DRAIN_FIRST_REQUEST: Duration = Duration::from_secs(1);
/// How often `POST /stop` looks whether all workers have stopped their requests, with [`TURN_PAUSE`] in between; one that does
/// not answer in half a second is not waited for.
pub const STOP_LOOKS_MAX: u32 = 500;
/// How long the kernel's queue of connections is emptied at the start of a drain, at most.
pub const DRAIN_QUEUE_MAX: Duration = Duration::from_millis(200);

/// As many ticks as `time` lasts; a part of one counts as one, so that what waits for them does not wait too short.
pub const fn ticks(time: Duration) -> u32 {
    let ticks = time.as_nanos().div_ceil(TICK.as_nanos());
    if ticks < TICKS_MAX as u128 { ticks as u32 } else { TICKS_MAX }
}

/// Half of what a u32 holds: a time from now on never overflows, and is never mistaken for "never".
const TICKS_MAX: u32 = u32::MAX / 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_tick_counts_as_one() {
        for (micros, want) in [(0, 0), (1, 1), (99_999, 1), (100_000, 1), (100_001, 2), (499_400, 5), (500_000, 5)] {
            assert_eq!(ticks(Duration::from_micros(micros)), want, "{micros} µs");
        }
        assert_eq!(ticks(Duration::MAX), TICKS_MAX);
    }
}
