"""An upstream that closes idle connections at random moments, plain or over TLS: no client sees an error. 1,000 requests
each, plain and encrypted; long: 10,000 each way. And what an idle TLS connection may hear without being the worse for it."""

import asyncio
import random
import re
import socket
import struct
import threading
import time

import pytest

from support.process import Sidestream
from support.upstream import OK
from support.wire import Client, ask

CLIENTS = 4
COUNTERS = ("connects", "connect_failures", "reuses", "stale", "stale_reuses", "replays", "spares")
# How it closes. Without close_notify, as without TLS, by FIN or by reset.
WAYS = ("plain", "close_notify", "no close_notify")


async def upstream_connection(reader, writer, seen: dict, way: str) -> None:
    """Answers; then waits a random moment for the next request, and closes if none has come."""
    rng = random.Random(seen["connections"])
    seen["connections"] += 1
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))
            seen["requests"] += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            await asyncio.wait_for(wait_bytes(reader), rng.random() * 0.006)
    except TimeoutError:
        seen["closed"] += 1
        reset = way != "close_notify" and rng.random() < 0.5
        if reset:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if reset or way == "no close_notify":
            writer.transport.abort()
    except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
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


async def run(driver, owned, root, way: str, total: int):
    seen = {"connections": 0, "requests": 0, "closed": 0}
    tally = {"ok": 0, "again": 0, "errors": []}
    tls = None if way == "plain" else root.server()
    server = await asyncio.start_server(lambda r, w: upstream_connection(r, w, seen, way), "127.0.0.1", 0, ssl=tls)
    origin = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    proxy = owned(Sidestream(driver, {"MOCK_ENDPOINT_URL": origin + "/v1", "MOCK_CA_FILE": root.file}))
    async with asyncio.timeout(170), asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(client(proxy.address, total // CLIENTS, number, tally))

    def read():
        samples = proxy.metrics()  # all of one moment: spares go on being opened
        return {name: int(samples[f'sidestream_upstream_{name}_total{{provider="mock"}}']) for name in COUNTERS}

    # The last connection, perhaps a spare, may be ready here before it is there.
    counters, deadline = await asyncio.to_thread(read), time.monotonic() + 2
    while counters["connects"] != seen["connections"] and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
        counters = await asyncio.to_thread(read)
    server.close()
    return seen, tally, counters


@pytest.mark.parametrize("way", WAYS)
def test_closing_upstream_is_never_the_clients_problem(driver, owned, authority, note, long, way):
    total = 10_000 if long else {"plain": 1_000}.get(way, 500)
    seen, tally, counters = asyncio.run(run(driver, owned, authority("root"), way, total))
    note(
        f"keep-alive, {way} [{driver}]: {tally['ok']} of {total} answered, {len(tally['errors'])} errors; the upstream "
        f"closed {seen['closed']} of {seen['connections']} connections; sent again {tally['again']}; {counters}"
    )
    assert tally["errors"] == []
    assert (tally["ok"], seen["requests"]) == (total, total), "each was answered once"
    assert seen["closed"] > total / 20, "the upstream hardly closed anything: this run tested nothing"
    assert seen["connections"] < total, "nothing was reused: this run tested nothing"
    assert counters["connects"] == seen["connections"] and counters["connect_failures"] == 0
    assert counters["stale"] > 0
    assert counters["stale_reuses"] == counters["replays"] == tally["again"]
    assert counters["reuses"] + counters["connects"] - counters["spares"] == total + counters["replays"]


@pytest.mark.parametrize("tickets", [2, 20])
def test_unread_tickets_do_not_spoil_a_connection(encrypted, authority, tickets):
    """A TLS 1.3 server sends tickets right behind the handshake: a spare, which has read nothing since, holds them
    unread. It is still as good as new, also when it was looked at (every second)."""
    held = threading.Event()

    def handler(peer):
        while True:
            if peer.request().body == b'{"model":"held"}':
                assert held.wait(10)
            peer.send(OK)

    tls = authority("root").server()
    tls.num_tickets = tickets
    proxy, upstream = encrypted(handler, tls, MOCK_WARM_CONNECTIONS=None, SIDESTREAM_WARM_UP="off")
    with Client(proxy.address) as client:
        client.request("POST", "/v1/chat/completions", b'{"model":"held"}')
        assert proxy.wait_counter("sidestream_upstream_spares_total", 1) == 1
        time.sleep(1.2)  # the silence is the subject
        for _ in range(3):
            assert ask(proxy.address, "POST", "/v1/chat/completions", b"{}").status == 200
        held.set()
        assert client.response().status == 200
    # While both are in use another spare may be opened: it serves nobody.
    assert [peer.served for peer in upstream.peers if peer.served] == [1, 3]
    counters = {name: proxy.counter(f"sidestream_upstream_{name}_total") for name in COUNTERS}
    assert (counters["connects"] - counters["spares"], counters["reuses"], counters["stale"]) == (1, 3, 0)
