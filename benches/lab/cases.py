"""What is asked, of whom, and how much of it at a time. Cases are data: whoever measures them is elsewhere.

A case has a `name` and a `key`; the files of the peers say by either on which path a peer does it, or why it cannot.
"""

import json
import re
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CAPTURED_TURN = ROOT / "tests/data/captures/cc330-hi-001.body"
CHUNKS = 50  # of text in every answer of the mock: its default
LONG_BYTES = 1 << 20
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"


@dataclass(frozen=True)
class Ask:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    def with_headers(self, **more: str) -> "Ask":
        return replace(self, headers={**self.headers, **{name.replace("_", "-"): value for name, value in more.items()}})

    def literal(self, authority: str) -> bytes:
        fields = {"host": authority, **self.headers, "content-length": str(len(self.body))}
        lines = [f"POST {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(frozen=True, eq=False)
class Case:
    """`to`: which mock is the upstream (`world.MOCKS`); or `chat`, `messages`: one that speaks nothing else, so that a client
    of the other dialect is translated."""

    name: str
    what: str
    ask: Ask = field(repr=False)
    key: str = ""
    to: str = "plain"

    def names(self) -> tuple[str, str]:
        return self.name, self.key or self.name

    @property
    def translated(self) -> bool:
        return self.to in ("chat", "messages")

    @property
    def tls(self) -> bool:
        return self.to.endswith("tls")


@dataclass(frozen=True, eq=False)
class Load(Case):
    """Requests one after the other on so many connections, as fast as they are answered, or at a fixed rate."""

    connections: int = 32
    rate: int = 0  # requests a second over all connections; 0: as fast as they are answered
    cold: bool = False  # a new connection for every request
    stream: bool = False
    placements: tuple[str, ...] = ("own",)
    quick: bool = False


@dataclass(frozen=True, eq=False)
class Hold(Case):
    """So many connections, idle or with a silent stream on each."""

    count: int = 0
    idle: bool = False


@dataclass(frozen=True, eq=False)
class Beside(Case):
    """Paced streams, alone and beside large requests. `ask` is the large one."""

    streams: int = 16
    paced: Ask = field(repr=False, kw_only=True)
    per_second: int = 4  # large requests


# ── Requests ────────────────────────────────────────────────────────────────────────────────────────────────────────

KIND = {"content-type": "application/json", "accept-encoding": "identity"}
OPENAI = {**KIND, "authorization": "Bearer sk-bench"}
ANTHROPIC = {**KIND, "x-api-key": "sk-bench", "anthropic-version": "2023-06-01"}
CODE = 'def area(shape: "Shape") -> float:\n\t"""Of one shape."""\n\treturn shape.width * shape.height  # 3.5 \u00d7 2\n'


def chat(stream: bool) -> Ask:
    body = {"model": "bench", "messages": [{"role": "user", "content": "lorem ipsum dolor " * 48}], "stream": stream}
    return Ask(CHAT, OPENAI, json.dumps(body).encode())


def messages(stream: bool) -> Ask:
    body = {"model": "bench", "max_tokens": 1024, "messages": [{"role": "user", "content": "lorem ipsum dolor " * 48}], "stream": stream}
    return Ask(MESSAGES, ANTHROPIC, json.dumps(body).encode())


@cache
def agent() -> Ask:
    """A turn of Claude Code as it was recorded, but not streamed: what counts here is the request."""
    body, replaced = re.subn(rb'"stream":true}$', b'"stream":false}', CAPTURED_TURN.read_bytes())
    assert replaced == 1, "the captured turn does not end as expected"
    return Ask(f"{MESSAGES}?beta=true", {**ANTHROPIC, "x-mock-parts": "text"}, body)


def long(ask: Ask) -> Ask:
    """The same conversation, gone on until it has a megabyte: turns of 4 KB of code, with all that JSON must escape."""
    turn = CODE * (4096 // len(CODE))
    pair = [{"role": "assistant", "content": turn}, {"role": "user", "content": turn}]
    body = json.loads(ask.body)
    body["messages"] += pair * ((LONG_BYTES - len(ask.body)) // len(compact(pair)))
    return replace(ask, body=compact(body))


def compact(value) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


# ── The cases ───────────────────────────────────────────────────────────────────────────────────────────────────────

BOTH = ("own", "one")


def loads() -> list[Load]:
    json_, sse = chat(False), chat(True)
    return [
        Load("json-1", "1 KB JSON each way, 1 connection", json_, "json", connections=1, placements=BOTH, quick=True),
        Load("json-8", "1 KB JSON each way, 8 connections", json_, "json", connections=8),
        Load("json-32", "1 KB JSON each way, 32 connections", json_, "json", placements=BOTH, quick=True),
        Load("json-256", "1 KB JSON each way, 256 connections", json_, "json", connections=256),
        Load("json-rate", "1 KB JSON each way, 500 a second on 32 connections", json_, "json", rate=500),
        Load("cold", "1 KB JSON each way, a new connection for each request, 8 at a time", json_, connections=8, cold=True),
        Load("agent", "a coding agent's turn of 49 KB, 32 connections", agent(), quick=True),
        Load("agent-translated", "the same turn, Messages client, Chat upstream", agent(), to="chat", quick=True),
        Load("body-1mb", "a conversation of 1 MB, 4 connections", long(chat(False)), connections=4),
        Load("body-1mb-translated", "as long a coding agent's conversation, Messages client, Chat upstream", long(agent()), to="chat", connections=4),
        Load("sse", "a Chat stream of 50 chunks, 32 connections", sse, stream=True, placements=BOTH, quick=True),
        Load("sse-paced", "the same at 20 ms between chunks", sse, to="paced", stream=True),
        Load("sse-messages", "a Messages stream of 50 chunks", messages(True), stream=True, quick=True),
        Load("sse-messages-on-chat", "Messages client, Chat upstream, a stream of 50 chunks", messages(True), to="chat", stream=True, quick=True),
        Load("sse-chat-on-messages", "Chat client, Messages upstream, a stream of 50 chunks", sse, to="messages", stream=True, quick=True),
        Load("json-messages", "1 KB Messages JSON each way", messages(False)),
        Load("json-messages-on-chat", "Messages client, Chat upstream, 1 KB each way", messages(False), to="chat"),
        Load("json-chat-on-messages", "Chat client, Messages upstream, 1 KB each way", json_, to="messages"),
        Load("json-tls", "1 KB JSON each way, 32 connections, TLS upstream", json_, to="tls", quick=True),
        Load("json-tls-1", "1 KB JSON each way, 1 connection, TLS upstream", json_, "json-tls", to="tls", connections=1),
        Load("agent-tls", "a coding agent's turn of 49 KB, TLS upstream", agent(), to="tls"),
        Load("sse-tls", "a Chat stream of 50 chunks, 32 connections, TLS upstream", sse, to="tls", stream=True, quick=True),
    ]


def holds() -> list[Hold]:
    stream = chat(True)
    return [
        Hold("idle-connections", "10,000 connections without a request", chat(False), count=10_000, idle=True),
        Hold("streams-1000", "1,000 streams that have fallen silent", stream, "idle-streams", to="silent", count=1000),
        Hold("streams-10000", "10,000 streams that have fallen silent", stream, "idle-streams", to="silent", count=10_000),
        Hold("streams-tls-1000", "1,000 silent streams, TLS upstream", stream, "idle-streams-tls", to="silent-tls", count=1000),
        Hold("streams-tls-10000", "10,000 silent streams, TLS upstream", stream, "idle-streams-tls", to="silent-tls", count=10_000),
    ]


def besides() -> list[Beside]:
    paced = chat(True).with_headers(x_mock_gap_ms="5", x_mock_chunks="100000")
    return [
        Beside("head-of-line", "16 paced streams beside requests of 1 MB", long(chat(False)), paced=paced),
        Beside("head-of-line-translated", "the same, the requests from Messages to Chat", long(agent()), to="chat", paced=paced),
    ]
