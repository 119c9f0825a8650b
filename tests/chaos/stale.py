"""Connections that an upstream closes while they are idle, in just the moments when they are used again.

As a module it is that upstream:  python -m chaos.stale IDLE_MS JITTER SEED  closes a connection that has been idle for IDLE_MS, give
or take the share JITTER, by FIN or, one in four, by reset. Clients ask in waves, so that all connections are idle between two; half
of the gaps are as long as the upstream's patience, give or take two per cent, the others shorter. Time is compressed: a hundred
milliseconds for what are five to ten seconds at providers.

Direct clients keep their connection, and look before they use it whether it was closed, as good HTTP libraries do: what fails for
them is the race alone, a request that meets the end of its connection."""

import asyncio
import json
import random
import re
import select
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from .table import rows

IDLE_MS, JITTER = 50, 0.02
CLIENTS = 64
GAP_SPREAD = 0.02  # around the upstream's patience
ANSWER_SECONDS_MAX = 10.0
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
ID = re.compile(rb"(?i)\r\nx-request-id: *(\S+)")
REST = b'{"id":"chatcmpl-1","object":"chat.completion","choices":[]}'


# ── The upstream ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Patience:
    """How long connections may be idle, and what came of it."""

    idle: float
    jitter: float
    luck: random.Random
    seen: Counter = field(default_factory=Counter)
    ids: Counter = field(default_factory=Counter)

    def draw(self) -> float:
        return self.idle * (1 + self.luck.uniform(-self.jitter, self.jitter))

    def report(self) -> bytes:
        return json.dumps({**self.seen, "repeated": sum(count > 1 for count in self.ids.values())}).encode()


class Peer(asyncio.Protocol):
    """A connection, from one answer to the next request or the end of patience."""

    def __init__(self, patience: Patience):
        self.patience, self.buffer, self.served, self.timer = patience, b"", 0, None

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.patience.seen["connections"] += 1

    def data_received(self, data: bytes) -> None:
        if self.timer:
            self.timer.cancel()
        self.buffer += data
        head, end, body = self.buffer.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not end or length and len(body) < int(length[1]):
            return
        self.buffer = b""
        if head.startswith(b"GET /stats "):
            self.answer(self.patience.report())
            return
        self.patience.seen["requests"] += 1
        self.patience.seen["reused"] += self.served > 0
        self.served += 1
        self.patience.ids[ID.search(head)[1]] += 1
        self.answer(REST)
        self.timer = asyncio.get_running_loop().call_later(self.patience.draw(), self.leave)

    def answer(self, body: bytes) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    def leave(self) -> None:
        self.patience.seen["closed"] += 1
        if self.patience.luck.random() < 0.25:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        self.transport.close()

    def connection_lost(self, _) -> None:
        if self.timer:
            self.timer.cancel()


async def serve(patience: Patience) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Peer(patience), "127.0.0.1", 0, backlog=1024)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await asyncio.to_thread(sys.stdin.read)


# ── The clients ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Tally:
    arm: str
    requests: int = 0
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0
    upstream: dict[str, int] = field(default_factory=dict)


@dataclass
class Client:
    """One client's connection, kept from wave to wave."""

    address: tuple[str, int]
    looks: bool  # before it uses its connection again
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None

    async def ask(self, id: str) -> str:
        """What went wrong, or nothing."""
        if self.writer and self.looks and self.was_closed():
            self.drop()
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return await self._ask(id)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            self.drop()
            return f"{id}: {type(error).__name__} {error}"

    async def _ask(self, id: str) -> str:
        if not self.writer:
            self.reader, self.writer = await asyncio.open_connection(*self.address)
        body = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nx-request-id: {id}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)
        answer = await self.reader.readuntil(b"\r\n\r\n")
        rest = await self.reader.readexactly(int(LENGTH.search(answer)[1]))
        return "" if answer.startswith(b"HTTP/1.1 200 ") and rest == REST else f"{id}: {answer + rest!r}"

    def was_closed(self) -> bool:
        descriptor = self.writer.get_extra_info("socket").fileno()
        if descriptor < 0 or self.reader.at_eof() or self.reader.exception():
            return True
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))

    def drop(self) -> None:
        if self.writer:
            self.writer.close()
        self.reader = self.writer = None


async def waves(arm: str, address: tuple[str, int], total: int, idle: float, seed: int) -> Tally:
    """All clients at once, again and again, with gaps that are as long as the upstream's patience."""
    tally, luck, began = Tally(arm), random.Random(f"stale/{seed}"), time.monotonic()
    clients = [Client(address, arm == "direct") for _ in range(CLIENTS)]

    async def one(client: Client, id: str, gap: float) -> None:
        await asyncio.sleep(gap)
        error = await client.ask(id)
        tally.requests += 1
        tally.errors += [error] if error else []

    gap = 0.0
    while tally.requests < total:
        here = clients[: total - tally.requests]
        gaps = [gap * (1 + luck.uniform(-GAP_SPREAD, GAP_SPREAD)) for _ in here]
        await asyncio.gather(*(one(client, f"{arm}-{tally.requests + n}", gaps[n]) for n, client in enumerate(here)))
        gap = idle if luck.random() < 0.5 else idle * luck.uniform(0.1, 0.9)
    for client in clients:
        client.drop()
    tally.seconds = time.monotonic() - began
    return tally


def text(tallies: Sequence[Tally], idle_ms: int) -> str:
    body = [
        ["requests", *(one.requests for one in tallies)],
        ["errors", *(len(one.errors) for one in tallies)],
        ["arrived at the upstream", *(one.upstream["requests"] for one in tallies)],
        ["  on a connection used before", *(one.upstream["reused"] for one in tallies)],
        ["  twice", *(one.upstream["repeated"] for one in tallies)],
        ["connections", *(one.upstream["connections"] for one in tallies)],
        ["  closed by the upstream", *(one.upstream["closed"] for one in tallies)],
        ["seconds", *(f"{one.seconds:.0f}" for one in tallies)],
    ]
    first = [f"  {one.arm}: {error[:200]}" for one in tallies for error in one.errors[:3]]
    title = f"stale connections: {CLIENTS} clients in waves; the upstream closes what was idle for {idle_ms} ms ± {JITTER:.0%}"
    return "\n".join([title, rows(["", *(one.arm for one in tallies)], body), *first])


def main() -> None:
    idle_ms, jitter, seed = sys.argv[1:]
    asyncio.run(serve(Patience(int(idle_ms) / 1000, float(jitter), random.Random(seed))))


if __name__ == "__main__":
    main()
