"""An upstream that closes idle connections at random moments: no client sees an error. 1,000 requests; long: 10,000."""

import asyncio
import random
import re
import socket
import struct

from support.process import Sidestream

CLIENTS = 4
COUNTERS = ("connects", "reuses", "stale")


async def upstream_connection(reader, writer, seen: dict) -> None:
    """Answers; then waits a random moment for the next request, and closes, by FIN or reset, if none has come."""
    rng = random.Random(seen["connections"])
    seen["connections"] += 1
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))
            seen["requests"] += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(wait_bytes(reader))), rng.random() * 0.006)
    except TimeoutError:
        seen["closed"] += 1
        if rng.random() < 0.5:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        pass  # the proxy closed, or the run is over
    finally:
        writer.close()


async def wait_bytes(reader) -> None:
    """Until a byte of the next request is there, which stays in the reader."""
    while not reader._buffer and not reader.at_eof():
        await asyncio.sleep(0.0005)


async def client(address, count: int, number: int, tally: dict) -> None:
    rng = random.Random(number)
    reader, writer = await asyncio.open_connection(*address)
    body = b'{"model":"m"}'
    request = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    for _ in range(count):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        answer = await reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))
        if head.startswith(b"HTTP/1.1 200 ") and answer == b"{}":
            tally["ok"] += 1
            tally["again"] += b"x-sidestream-attempts: 2" in head.lower()
        else:
            tally["errors"].append(head + answer)
        await asyncio.sleep(rng.random() * 0.006)
    writer.close()


async def run(driver, owned, total: int):
    seen = {"connections": 0, "requests": 0, "closed": 0}
    tally = {"ok": 0, "again": 0, "errors": []}
    server = await asyncio.start_server(lambda r, w: upstream_connection(r, w, seen), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    proxy = owned(Sidestream(driver, {"MOCK_ENDPOINT_URL": f"http://127.0.0.1:{port}/v1"}))
    async with asyncio.timeout(170), asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(client(proxy.address, total // CLIENTS, number, tally))
    counters = await asyncio.to_thread(
        lambda: {name: int(proxy.counter(f"sidestream_upstream_{name}_total")) for name in COUNTERS}
    )
    server.close()
    return seen, tally, counters


def test_closing_upstream_is_never_the_clients_problem(driver, owned, note, long):
    total = 10_000 if long else 1_000
    seen, tally, counters = asyncio.run(run(driver, owned, total))
    note(
        f"keep-alive [{driver}]: {tally['ok']} of {total} answered, {len(tally['errors'])} errors; the upstream closed "
        f"{seen['closed']} of {seen['connections']} connections; sent again {tally['again']}; {counters}"
    )
    assert tally["errors"] == []
    assert tally["ok"] == total
    assert seen["closed"] > total / 20, "the upstream hardly closed anything: this run tested nothing"
    assert seen["connections"] < total, "nothing was reused: this run tested nothing"
    assert counters["connects"] == seen["connections"]
    assert counters["stale"] > 0
