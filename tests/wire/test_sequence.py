"""No lost bytes: numbered events over many streams at once, with silences longer than a second, slow readers and
clients that leave; every event that a client reads is the one that comes next. Short: 50,000 events; long: 1,000,000."""

import asyncio
import random
import re
from dataclasses import dataclass

import pytest

from support.process import Sidestream

STREAMS_AT_ONCE = 64
EVENT = re.compile(rb'data: \{"stream":(\d+),"n":(\d+),"x":"x*"\}\n\n')


@dataclass
class Tally:
    events: int = 0
    silences: int = 0
    slow: int = 0
    aborted: int = 0


async def upstream_stream(reader, writer, tally: Tally) -> None:
    """Serves numbered streams, keep-alive: random sizes, random groupings, random silences, events cut anywhere."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            await reader.readexactly(int(re.search(r"content-length: (\d+)", head)[1]))
            stream, count = int(re.search(r"x-stream: (\d+)", head)[1]), int(re.search(r"x-count: (\d+)", head)[1])
            rng = random.Random(stream)
            silent_at, whole = int(re.search(r"x-silent-at: (-?\d+)", head)[1]), "x-whole: 1" in head
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            number, rest = 0, b""
            while number < count or rest:
                size = min(rng.choice((1, 1, 1, 2, 5, 50, 200)), count - number)
                made = rest + b"".join(
                    b'data: {"stream":%d,"n":%d,"x":"%s"}\n\n' % (stream, n, b"x" * rng.randrange(40))
                    for n in range(number, number + size)
                )
                number += size
                cut = rng.randrange(1, len(made)) if number < count and not whole and rng.random() < 0.5 else len(made)
                rest, made = made[cut:], made[:cut]
                writer.write(b"%x\r\n%s\r\n" % (len(made), made))
                await writer.drain()
                if number - size <= silent_at < number:
                    tally.silences += 1
                    await asyncio.sleep(1.2 + rng.random())  # past several looks of the sweeper
                elif rng.random() < 0.05:
                    await asyncio.sleep(rng.random() * 0.01)
            writer.write(b"0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        pass  # the proxy closed, or the run is over
    finally:
        writer.close()


async def client_stream(address, stream: int, count: int, tally: Tally) -> None:
    """Reads one stream; leaves early, or reads slowly, by the stream's own dice."""
    rng = random.Random(-stream - 1)
    silent_at = rng.randrange(count // 2, count) if rng.random() < 0.2 else -1
    leave_at = rng.randrange(count // 4) if rng.random() < 0.05 else None
    if leave_at is not None:
        silent_at = count // 2  # with whole events before it, so that it leaves a stream that is still running
    slow = rng.random() < 0.1
    reader, writer = await asyncio.open_connection(*address, limit=4096 if slow else 1 << 16)
    body = b'{"model":"m","stream":true}'
    writer.write(
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nX-Stream: {stream}\r\n"
        f"X-Count: {count}\r\nX-Silent-At: {silent_at}\r\nX-Whole: {int(leave_at is not None)}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    expected, rest = 0, b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        rest += (await reader.readexactly(size + 2))[:-2]
        at = 0
        while match := EVENT.match(rest, at):
            assert (int(match[1]), int(match[2])) == (stream, expected), f"stream {stream}: {match[0]!r}, expected {expected}"
            expected, at = expected + 1, match.end()
        rest = rest[at:]
        assert len(rest) < 200, f"stream {stream}: not an event: {rest[:200]!r}"
        if leave_at is not None and expected > leave_at:
            tally.aborted += 1
            tally.events += expected
            writer.transport.abort()
            return
        if slow and rng.random() < 0.1:
            await asyncio.sleep(0.02)
    assert (expected, rest) == (count, b""), f"stream {stream}: {expected} of {count} events, {rest!r} left over"
    tally.events += expected
    tally.slow += slow
    writer.close()


async def run(proxy_of, total: int, per_stream: int) -> Tally:
    tally = Tally()
    server = await asyncio.start_server(lambda r, w: upstream_stream(r, w, tally), "127.0.0.1", 0, limit=1 << 20)
    proxy = proxy_of(server.sockets[0].getsockname()[1])
    places = asyncio.Semaphore(STREAMS_AT_ONCE)

    async def one(stream: int) -> None:
        async with places:
            async with asyncio.timeout(120):
                await client_stream(proxy.address, stream, per_stream, tally)

    async with asyncio.TaskGroup() as group:
        for stream in range(total // per_stream):
            group.create_task(one(stream))
    server.close()
    return tally


@pytest.mark.timeout(900)
def test_no_event_is_lost_doubled_or_moved(driver, owned, note, long):
    wanted = 1_000_000 if long else 50_000
    total = wanted * 21 // 20  # clients that leave do not read theirs to the end
    proxies = []

    def start(port: int) -> Sidestream:
        proxies.append(owned(Sidestream(driver, {"MOCK_ENDPOINT_URL": f"http://127.0.0.1:{port}/v1"})))
        return proxies[0]

    tally = asyncio.run(run(start, total, 250))
    note(
        f"sequence [{driver}]: {tally.events} events, 0 missing, 0 doubled, 0 out of order; {total // 250} streams, "
        f"{tally.silences} silences over 1 s, {tally.slow} slow readers, {tally.aborted} left early"
    )
    assert tally.events >= wanted and tally.silences and tally.slow and tally.aborted
    assert proxies[0].wait_counter("sidestream_client_aborts_total", tally.aborted) == tally.aborted
