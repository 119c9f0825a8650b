"""Stands before providers that were not written here, and keeps the upstreams' log for them:

    python -m chaos.recorder CAST SEED TOTAL FOLDER HOST:PORT

One process, a port for each provider of the cast, all of them before the one program at HOST:PORT. Bytes pass as they are, either
way, and so do ends and resets. For a provider whose script is in the plan, the fault is asked of that program by its control
headers, or, where it has none for it, done here; what a provider does by itself is told by what went by."""

import asyncio
import contextlib
import json
import re
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from .faults import FAULTS, FINE, When
from .plan import CASTS, Cast, call, number_of, script
from .records import Try
from .upstream import Book, Over, Request, Visit, read_request, reset

LOOK_SECONDS = 0.02  # how soon a peer that left is noticed while its provider is silent
IDLE_SECONDS_MAX = 30.0
ASKS = {"400": (("x-mock-status", "400"),), "413": (("x-mock-status", "413"),), "422": (("x-mock-status", "422"),)}
LAST_WORDS = (b"data: [DONE]", b"event: message_stop")
# A piece of text, in either dialect's stream.
WORD = re.compile(rb'"delta":\s*\{[^{}]*"(?:content|text)":\s*"[^"]')


@dataclass
class Passing:
    """An answer that goes by: where its body ends, and what it was."""

    head: bytes = b""
    body: bytearray = field(default_factory=bytearray)
    status: int = 0
    fields: dict[str, str] = field(default_factory=dict)

    def push(self, data: bytes) -> None:
        if not self.status:
            self.head += data
            if b"\r\n\r\n" not in self.head:
                return
            self.head, _, data = self.head.partition(b"\r\n\r\n")
            if not self.head.startswith(b"HTTP/1.1 "):
                return
            self.status = int(self.head[9:12])
            lines = self.head.decode("latin-1").split("\r\n")[1:]
            self.fields = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
        self.body += data

    @property
    def ended(self) -> bool:
        """At its framed end."""
        if "content-length" in self.fields:
            return len(self.body) >= int(self.fields["content-length"])
        return self.body.endswith(b"\r\n0\r\n\r\n")  # no event of a stream ends so

    @property
    def is_stream(self) -> bool:
        return self.fields.get("content-type", "").startswith("text/event-stream")

    @property
    def words(self) -> int:
        return len(WORD.findall(self.body)) if self.is_stream else int(self.status == 200 and bool(self.body))

    @property
    def whole(self) -> bool:
        return self.ended and self.status == 200 and (not self.is_stream or any(word in self.body for word in LAST_WORDS))

    @property
    def retry_after_ms(self) -> int:
        wanted = self.fields.get("retry-after-ms")
        return int(float(wanted)) if wanted else 1000 * int(self.fields.get("retry-after", 0))

    def fault(self) -> str:
        """What a provider that follows no script did."""
        if self.whole:
            return FINE
        if self.status != 200:
            return str(self.status) if self.status else "closed"
        if not self.words and b'"content_block_start"' not in self.body:
            return "error-first" if self.ended else "cut-first"
        return "ends-early" if self.ended else "cut"


def asked_to(request: Request, headers: tuple[tuple[str, str], ...]) -> bytes:
    """The request with these fields added."""
    more = "".join(f"{name}: {value}\r\n" for name, value in headers).encode()
    return request.raw_head[:-2] + more + b"\r\n" + request.body


async def carry(request: Request, log: Try, backend: tuple[str, int], reader, writer) -> None:
    """One request to the provider behind, and its answer back."""
    fault = FAULTS.get(log.fault)
    headers = ASKS.get(log.fault) or (fault.mock if fault else ())
    seen, (far, near) = Passing(), await asyncio.open_connection(*backend)
    try:
        near.write(asked_to(request, headers))
        while not seen.ended:
            data = await next_bytes(far, reader)
            if not data:
                break
            seen.push(data)
            writer.write(data)
            await writer.drain()
    except ConnectionResetError:
        if not reader.at_eof():
            reset(writer)
        raise Over from None
    finally:
        near.close()
        log.status, log.words, log.retry_after_ms = seen.status, seen.words, seen.retry_after_ms
        failed = log.fault != FINE or seen.ended or not reader.at_eof()
        log.outcome = "answered" if seen.whole else "failed" if failed else "gone"
        if log.outcome == "failed" and log.fault == FINE:
            log.fault = seen.fault()
    if not seen.ended or seen.fields.get("connection", "").lower() == "close":
        raise Over


async def next_bytes(far: asyncio.StreamReader, reader: asyncio.StreamReader) -> bytes:
    """From the provider; b"" at its end, and when the peer has left."""
    read = asyncio.ensure_future(far.read(65536))
    try:
        while not read.done() and not reader.at_eof():
            await asyncio.wait({read}, timeout=LOOK_SECONDS)
        return await read if read.done() else b""
    finally:
        read.cancel()


async def record_connection(fate: Callable[[Try], str], book: Book, backend: tuple[str, int], reader, writer) -> None:
    connection, served, ready = book.connections, 0, time.monotonic()
    book.connections += 1
    try:
        while request := await asyncio.wait_for(read_request(reader), IDLE_SECONDS_MAX):
            log = book.opened(request, connection, served > 0, ready)
            served += 1
            log.fault = fate(log)
            fault = FAULTS.get(log.fault)
            try:
                ours: Awaitable | None = Visit(request, log, reader, writer).run() if fault and fault.when is When.BEFORE and not fault.mock else None
                await (ours or carry(request, log, backend, reader, writer))
            finally:
                book.close(log)
            ready = log.ended
    except (Over, TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


def fates(cast: Cast, seed: int, total: int) -> Callable[[Try], str]:
    def fate(log: Try) -> str:
        number = number_of(log.id)
        plan = script(cast, seed, total, call(cast, seed, number), log.provider) if number >= 0 else []
        return plan[min(log.visit, len(plan) - 1)] if plan else FINE

    return fate


async def serve(cast: Cast, seed: int, total: int, folder: Path, backend: tuple[str, int]) -> None:
    ports, fate = {}, fates(cast, seed, total)
    with contextlib.ExitStack() as files:
        for provider in cast.providers:
            book = Book(provider, files.enter_context((folder / f"upstream-{provider}.jsonl").open("w", buffering=1)))

            async def connected(reader, writer, book=book):
                await record_connection(fate, book, backend, reader, writer)

            server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
            ports[provider] = server.sockets[0].getsockname()[1]
        print(json.dumps({"ports": ports}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    cast, seed, total, folder, backend = sys.argv[1:]
    host, _, port = backend.rpartition(":")
    asyncio.run(serve(CASTS[cast], int(seed), int(total), Path(folder), (host, int(port))))


if __name__ == "__main__":
    main()
