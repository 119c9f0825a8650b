"""The scripted providers:  python -m chaos.upstream CAST SEED TOTAL FOLDER

One process, a port for each provider; prints `{"ports": {name: port}}` when all of them listen. Every request that arrives is a
line in FOLDER/upstream-NAME.jsonl, written when its visit is over."""

import asyncio
import contextlib
import json
import re
import socket
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from . import words
from .faults import FAULTS, FINE, REFUSALS, REVOKED, When
from .plan import CASTS, Cast, call, number_of, script
from .records import Try, line

SILENCE_SECONDS_MAX = 10.0  # how long one that says nothing waits for its peer to leave
IDLE_SECONDS_MAX = 30.0
# Of a hundred connections, so many are closed after this short a rest, as the peer may be about to use them again.
RESTLESS_PERCENT, RESTLESS_SECONDS = 10, 0.004
WORD_SECONDS = 0.001


@dataclass
class Book:
    """One provider's log, and which visit of a request it is."""

    provider: str
    file: object
    visits: Counter = field(default_factory=Counter)
    connections: int = 0

    def opened(self, request: "Request", connection: int, reused: bool, ready: float) -> Try:
        """`ready`: when the connection was, for this request."""
        id = request.headers.get("x-request-id", "")
        visit = self.visits[id]
        self.visits[id] += 1
        key = request.headers.get("authorization", "").removeprefix("Bearer ") or request.headers.get("x-api-key", "")
        began = time.monotonic()
        return Try(id, self.provider, visit, began, began, request.path, request.model, key, connection, reused, began - ready)

    def close(self, visit: Try) -> None:
        visit.ended = time.monotonic()
        self.file.write(line(visit) + "\n")


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    raw_head: bytes
    body: bytes

    @property
    def json(self) -> dict:
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def model(self) -> str:
        return str(self.json.get("model", ""))


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """None: the peer left, properly, between two requests."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    start, *lines = head.decode("latin-1").split("\r\n")[:-2]
    headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
    if "transfer-encoding" in headers:
        body = bytearray()
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(start.split(" ")[1], headers, head, bytes(body))


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends the connection by a reset."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def until_gone(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(reader.read(1), SILENCE_SECONDS_MAX)


class Over(Exception):
    """The connection is not to be used again."""


class Visit:
    """One request's stay: what the script says of it is done to its connection."""

    def __init__(self, request: Request, log: Try, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.request, self.log, self.reader, self.writer = request, log, reader, writer
        self.path = re.sub(r"\?.*", "", request.path)
        self.stream = request.json.get("stream") is True

    async def run(self) -> None:
        fault = FAULTS.get(self.log.fault)
        if self.log.fault in REFUSALS:
            await self.refuse(REFUSALS[self.log.fault], "this request is wrong, says the script")
        elif fault is None:
            await (self.speak() if self.stream else self.answer())
            self.log.outcome = "answered"
        elif fault.when is When.BEFORE:
            await (self.refuse(fault.status, "not now, says the script") if fault.status else self.end_before(fault.name))
        elif self.stream:
            await self.fail_streaming(fault.name)
        else:
            await self.fail_inside(fault.name)

    async def send(self, data: bytes) -> None:
        if self.reader.at_eof():
            raise ConnectionResetError
        self.writer.write(data)
        await self.writer.drain()

    def head(self, status: int, kind: str, framing: str, more: str = "") -> bytes:
        self.log.status = status
        return f"HTTP/1.1 {status} As Scripted\r\nContent-Type: {kind}\r\nx-request-id: {self.log.id}\r\n{more}{framing}\r\n\r\n".encode()

    # ── Before a word ───────────────────────────────────────────────────────────────────────────────────────────────

    async def refuse(self, status: int, text: str) -> None:
        fault = FAULTS.get(self.log.fault)
        kind, body = "application/json", json.dumps(words.error(self.path, status, text)).encode()
        if self.log.fault == "502-html":
            kind, body = "text/html", words.PAGE
        self.log.retry_after_ms = fault.retry_after_ms if fault else 0
        # `retry-after` has whole seconds; shorter waits have a field of OpenAI's.
        after = {0: "", 1000: "Retry-After: 1\r\n"}.get(self.log.retry_after_ms, f"retry-after-ms: {self.log.retry_after_ms}\r\n")
        self.log.outcome = "failed"
        await self.send(self.head(status, kind, f"Content-Length: {len(body)}", after) + body)

    async def end_before(self, how: str) -> None:
        self.log.outcome = "failed"
        if how == "reset":
            reset(self.writer)
        elif how == "garbage":
            await self.send(b"\x15\x03\x01\x00\x02\x02\x50 this is no HTTP\r\n\r\n")
        elif how == "slow":
            await until_gone(self.reader)
        raise Over

    # ── Answers, whole or not ───────────────────────────────────────────────────────────────────────────────────────

    def pieces(self) -> list[str]:
        return words.pieces(self.log.id, self.log.provider, self.log.visit)

    async def answer(self) -> None:
        body = json.dumps(words.whole(self.path, self.log.model, "".join(self.pieces()))).encode()
        self.log.words = words.WORDS
        await self.send(self.head(200, "application/json", f"Content-Length: {len(body)}") + body)

    async def fail_inside(self, how: str) -> None:
        body = json.dumps(words.whole(self.path, self.log.model, "".join(self.pieces()))).encode()
        self.log.words, self.log.outcome = 1, "failed"
        await self.send(self.head(200, "application/json", f"Content-Length: {len(body)}") + body[: len(body) // 2])
        await self.stop(how)

    async def event(self, data: bytes) -> None:
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def speak(self, pieces: int = 1 << 30) -> None:
        """A stream, or its beginning; the first piece comes with what precedes it."""
        await self.send(self.head(200, "text/event-stream", "Transfer-Encoding: chunked"))
        said = self.pieces()
        for number, piece in enumerate(said[:pieces]):
            before = words.opening(self.path, self.log.model) if number == 0 else b""
            self.log.words += 1
            await self.event(before + words.word(self.path, self.log.model, piece, number == 0))
            await asyncio.sleep(WORD_SECONDS)
        if pieces >= len(said):
            await self.event(words.closing(self.path, self.log.model))
            await self.send(b"0\r\n\r\n")

    async def fail_streaming(self, how: str) -> None:
        self.log.outcome = "failed"
        if FAULTS[how].when is When.HELD:
            await self.send(self.head(200, "text/event-stream", "Transfer-Encoding: chunked"))
            await self.event(words.opening(self.path, self.log.model))
        else:
            await self.speak(4)
        if how.startswith("error"):
            await self.event(words.error_event(self.path))
        if how.startswith("error") or how == "ends-early":
            await self.send(b"0\r\n\r\n")
        else:
            await self.stop(how)

    async def stop(self, how: str) -> None:
        await asyncio.sleep(WORD_SECONDS)  # what was sent has left before a reset takes it back
        if how == "cut-reset":
            reset(self.writer)
        elif how == "stall":
            await until_gone(self.reader)
        raise Over


async def serve_connection(cast: Cast, seed: int, total: int, book: Book, reader, writer) -> None:
    connection, served, ready = book.connections, 0, time.monotonic()
    book.connections += 1
    rest = RESTLESS_SECONDS if connection % 100 < RESTLESS_PERCENT else IDLE_SECONDS_MAX
    try:
        while request := await asyncio.wait_for(read_request(reader), rest if served else IDLE_SECONDS_MAX):
            log = book.opened(request, connection, served > 0, ready)
            served += 1
            number = number_of(log.id)
            plan = script(cast, seed, total, call(cast, seed, number), book.provider) if number >= 0 else []
            log.fault = REVOKED.name if log.key in cast.revoked else plan[min(log.visit, len(plan) - 1)] if plan else FINE
            try:
                await Visit(request, log, reader, writer).run()
            except (OSError, asyncio.CancelledError):
                if log.fault == FINE or log.outcome == "open":
                    log.outcome = "gone"
                raise
            finally:
                book.close(log)
            ready = log.ended
    except (Over, TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def serve(cast: Cast, seed: int, total: int, folder: Path) -> None:
    ports = {}
    with contextlib.ExitStack() as files:
        for provider in (name for name in cast.providers if name not in cast.dead):
            book = Book(provider, files.enter_context((folder / f"upstream-{provider}.jsonl").open("w", buffering=1)))

            async def connected(reader, writer, book=book):
                await serve_connection(cast, seed, total, book, reader, writer)

            server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
            ports[provider] = server.sockets[0].getsockname()[1]
        print(json.dumps({"ports": ports}), flush=True)
        await asyncio.to_thread(sys.stdin.read)  # whoever started this closes it, or dies


def main() -> None:
    cast, seed, total, folder = sys.argv[1:]
    asyncio.run(serve(CASTS[cast], int(seed), int(total), Path(folder)))


if __name__ == "__main__":
    main()
