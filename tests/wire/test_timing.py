"""Group T: clients that go away, do not read, send too slowly or too early; and the drain. The scripted upstream tells
when its connection was closed; both ends live in this process, so one monotonic clock serves both."""

import json
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from queue import Queue

import pytest

from support.process import Sidestream
from support.upstream import LAST_CHUNK, OK, SSE_HEAD, Upstream, answer, chunk, serve
from support.wire import Client, Truncated

CHAT = "/v1/chat/completions"
JSON = b'{"model":"m","stream":true}'
EVENT = chunk(b'data: {"n":1}\n\n')
ABORT_MAX_SECS = 0.050
ROUNDS = 10

# What the upstream has sent, and how the client goes.
ABORTS = {
    "T8-before-first-byte": (b"", "fin"),
    "T8-before-first-byte-rst": (b"", "rst"),
    "T8-inside-the-head": (b"HTTP/1.1 200 OK\r\nContent-", "fin"),
    "T4-mid-stream": (SSE_HEAD + EVENT, "fin"),
    "T5-mid-stream-rst": (SSE_HEAD + EVENT, "rst"),
    "T4-not-streaming": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 10, "fin"),
    "T5-not-streaming-rst": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 10, "rst"),
    "T6-half-close": (SSE_HEAD + EVENT, "half"),
}


@pytest.mark.parametrize("rule", ABORTS)
def test_abort_closes_the_upstream(setup, note, driver, rule):
    sent, way = ABORTS[rule]
    reached, closed = Queue(), Queue()

    def handler(peer):
        peer.request()
        peer.send(sent)
        reached.put(True)
        closed.put(peer.wait_closed()[1])

    proxy, upstream = setup(handler)
    worst = 0.0
    for _ in range(ROUNDS):
        with Client(proxy.address) as client:
            client.request("POST", CHAT, JSON)
            reached.get(timeout=5)
            if b"\r\n\r\n" in sent:
                client.response_head()[1].piece()
            left = time.monotonic()
            {"fin": client.close, "rst": client.rst, "half": client.fin}[way]()
            worst = max(worst, closed.get(timeout=5) - left)
    note(f"{rule} [{driver}]: upstream closed at most {worst * 1000:.1f} ms after the client left, {ROUNDS} rounds")
    assert worst <= ABORT_MAX_SECS
    assert proxy.wait_counter("sidestream_client_aborts_total", ROUNDS) == ROUNDS
    assert len(upstream.peers) == ROUNDS, "an abandoned connection was used again, or a request was repeated"


def test_abort_after_long_silence(setup, note, driver):
    """T4 where the stream has been silent for so long (> 1 s) that its reads have given way to readiness."""
    closed = Queue()

    def handler(peer):
        peer.request()
        peer.send(SSE_HEAD + EVENT)
        closed.put(peer.wait_closed()[1])

    proxy, _ = setup(handler)
    clients = [Client(proxy.address) for _ in range(5)]
    for client in clients:
        client.request("POST", CHAT, JSON)
        client.response_head()[1].piece()
    time.sleep(1.5)  # the silence is the subject
    worst = 0.0
    for client in clients:
        left = time.monotonic()
        client.close()
        worst = max(worst, closed.get(timeout=5) - left)
    note(f"T4-after-silence [{driver}]: at most {worst * 1000:.1f} ms")
    assert worst <= ABORT_MAX_SECS


def syn_sent(port: int) -> int:
    """Connections of this machine to that loopback port that are still being established."""
    with open("/proc/net/tcp") as table:
        return sum(1 for row in table if (f := row.split())[2].endswith(f":{port:04X}") and f[3] == "02")


def until(condition, timeout: float = 5.0) -> float:
    """Waits for the condition; the seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout, "it never happened"
        time.sleep(0.001)
    return time.monotonic() - began


def test_abort_during_connect(driver, owned, note):
    """T7: the upstream's queue is full, so connecting hangs; the client leaves; the attempt ends with it."""
    full = owned(socket.socket())
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    port = full.getsockname()[1]
    fillers = [owned(socket.socket()) for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
    until(lambda: syn_sent(port) >= 1)
    hanging = syn_sent(port)
    proxy = owned(Sidestream(driver, {"MOCK_ENDPOINT_URL": f"http://127.0.0.1:{port}/v1"}))
    with Client(proxy.address) as warm:
        warm.ask("GET", "/")
    before = proxy.descriptors()
    with Client(proxy.address) as client:
        client.request("POST", CHAT, JSON)
        until(lambda: syn_sent(port) == hanging + 1)
    took = until(lambda: syn_sent(port) == hanging)
    note(f"T7-during-connect [{driver}]: attempt cancelled {took * 1000:.1f} ms after the client left")
    assert took <= ABORT_MAX_SECS
    until(lambda: proxy.descriptors() <= before)
    assert proxy.wait_counter("sidestream_client_aborts_total", 1) == 1


def test_T1_dripped_head_is_408(setup):
    """A byte a second: the deadline (10 s) is for the whole head. Three clients at once, cut at different places."""
    proxy, upstream = setup()

    def drip(start: bytes):
        with Client(proxy.address) as client:
            began = time.monotonic()
            client.send(start)
            client.sock.settimeout(1.0)
            while time.monotonic() - began < 14:
                try:
                    if not client.fill() or client.buffer:
                        break
                except TimeoutError:
                    client.send(b"a")
            took = time.monotonic() - began
            client.sock.settimeout(5)
            return client.response(), client.wait_closed()[0], took

    starts = [b"P", b"POST /v1/chat/completions HTTP/1.1\r\nX", b"POST / HTTP/1.1\r\nHost: a\r\nX: "]
    with ThreadPoolExecutor(len(starts)) as pool:
        for refused, how, took in pool.map(drip, starts):
            assert (refused.status, how) == (408, "fin")
            assert refused.get("x-sidestream-error") and 9 <= took <= 12, took
    assert upstream.requests == []


def test_T9_idle_connection_is_left_alone(setup):
    """No 408 is written into an idle keep-alive connection, and it serves again after the head deadline."""
    proxy, _ = setup()
    with Client(proxy.address) as client:
        assert client.ask("POST", CHAT, JSON).status == 200
        client.sock.settimeout(11)
        with pytest.raises(TimeoutError):
            client.fill()
        assert client.ask("POST", CHAT, JSON).status == 200


def test_T3_client_that_does_not_read(setup, note, driver):
    """Back-pressure: the upstream is not read on, memory stays; once the client reads, every byte is there."""
    total, piece = 192 << 20, os.urandom(1 << 16)
    state = {"sent": 0, "moved": time.monotonic()}
    finished = threading.Event()

    def handler(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        peer.sock.settimeout(60)
        while state["sent"] < total:
            state["sent"] += peer.sock.send(piece[state["sent"] % len(piece) :])
            state["moved"] = time.monotonic()
        finished.set()
        peer.wait_closed()

    proxy, _ = setup(handler)
    with Client(proxy.address) as warm:
        warm.ask("GET", "/")
    resident = proxy.resident_kib()
    with Client(proxy.address, receive_buffer=16384) as client:
        client.request("GET", "/v1/files/big/content")
        _, body = client.response_head("GET")
        until(lambda: time.monotonic() - state["moved"] > 1.5, timeout=30)
        stuck, grown = state["sent"], proxy.resident_kib() - resident
        note(f"T3 [{driver}]: upstream stopped after {stuck >> 20} MiB (kernel's buffers included), proxy grew {grown} KiB")
        assert stuck < 48 << 20 and not finished.is_set()
        assert grown < 4096
        at = 0
        for data in body:
            want = (piece + piece)[at % len(piece) : at % len(piece) + len(data)]
            assert data == want, f"wrong bytes at {at}"
            at = at + len(data)
        assert at == total


def test_T11_pipelined_behind_a_stream(setup):
    """The next request, sent while a stream runs, is neither an abort nor lost: it is answered after the stream."""
    more = threading.Event()

    def handler(peer):
        while True:
            request = peer.request()
            if b'"stream"' not in request.body:
                peer.send(OK)
                continue
            peer.send(SSE_HEAD + EVENT)
            assert more.wait(10)
            peer.send(EVENT + LAST_CHUNK)

    proxy, upstream = setup(handler)
    with Client(proxy.address) as client:
        client.request("POST", CHAT, JSON)
        _, body = client.response_head()
        first = body.piece()
        client.request("POST", CHAT, b'{"model":"second"}')
        time.sleep(0.1)  # so that it is there while the stream is silent
        more.set()
        assert first + body.all() == b'data: {"n":1}\n\n' * 2
        assert client.response().body == b'{"ok":"here"}'
    assert [r.body for r in upstream.requests] == [JSON, b'{"model":"second"}']
    assert proxy.counter("sidestream_client_aborts_total") == 0


def test_T11_pipelined_flood_is_bounded(setup):
    """More than the proxy wants to hold (64 KiB) behind a stream: it stops reading, and loses nothing."""
    more = threading.Event()

    def handler(peer):
        while True:
            request = peer.request()
            if b'"stream"' in request.body:
                peer.send(SSE_HEAD + EVENT)
                assert more.wait(10)
                peer.send(LAST_CHUNK)
            else:
                peer.send(answer(b"%d" % len(request.body)))

    proxy, _ = setup(handler)
    padding, count = "a" * 2000, 200
    with Client(proxy.address) as client:
        client.request("POST", CHAT, JSON)
        _, body = client.response_head()
        body.piece()
        pending = json.dumps({"model": "m", "x": padding}).encode()

        def send():
            for _ in range(count):
                client.request("POST", CHAT, pending)

        sender = threading.Thread(target=send)
        sender.start()
        time.sleep(0.2)
        more.set()
        assert body.all() == b""
        for _ in range(count):
            assert client.response().body == b"%d" % len(pending)
        sender.join()


def test_T14_refused_while_still_sending(setup):
    """413 from the Content-Length alone: the answer is readable although the client went on sending (lingering close)."""
    proxy, upstream = setup(SIDESTREAM_BODY_MAX="1MiB")
    with Client(proxy.address) as client:
        client.send(
            b"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 104857600\r\n\r\n" % (CHAT.encode(), client.authority.encode())
        )
        for _ in range(12):
            client.send(b"x" * 4096)
        refused = client.response()
        assert refused.status == 413 and refused.get("connection") == "close"
        assert json.loads(refused.body)["error"]["message"] and refused.get("x-sidestream-error")
        assert client.wait_closed()[0] == "fin"
    assert upstream.requests == []


def test_T14_chunked_body_over_the_limit(setup):
    """Without a length the limit is noticed when it is crossed."""
    proxy, upstream = setup(SIDESTREAM_BODY_MAX="64KiB")
    with Client(proxy.address) as client:
        client.request("POST", CHAT, [b'{"model":"m","x":"', b"x" * 65536, b'"}'])
        assert client.response().status == 413
        assert client.wait_closed()[0] == "fin"
    assert upstream.requests == []


@pytest.mark.parametrize("how", ["client asks for close", "upstream closes", "until close"])
def test_T15_slow_reader_gets_every_byte(setup, how):
    """The body is larger than all buffers between, the connection is to be closed after it: nothing is cut off."""
    content = os.urandom(1 << 20) * 24
    sent = threading.Event()
    length = "" if how == "until close" else f"Content-Length: {len(content)}\r\n"
    close = "Connection: close\r\n" if how != "client asks for close" else ""

    def handler(peer):
        peer.request()
        peer.send(f"HTTP/1.1 200 OK\r\n{length}{close}\r\n".encode())
        peer.send(content)
        sent.set()

    proxy, _ = setup(handler)
    with Client(proxy.address, receive_buffer=8192) as client:
        headers = [("Connection", "close")] if how == "client asks for close" else []
        client.request("GET", "/v1/files/big/content", headers=headers)
        _, body = client.response_head("GET")
        head = body.piece()
        assert not sent.wait(0.3), "the body fits into the kernel's buffers: this test tests nothing"
        assert head + body.all() == content


def test_T16_sigterm_drains(setup):
    """SIGTERM: no new connections, the live stream ends as if nothing were, then exit code 0, idle clients or not."""
    more, streaming = threading.Event(), threading.Event()

    def handler(peer):
        peer.request()
        peer.send(SSE_HEAD + EVENT)
        streaming.set()
        assert more.wait(10)
        peer.send(EVENT + LAST_CHUNK)
        peer.wait_closed()

    proxy, _ = setup(handler, SIDESTREAM_DRAIN="20s")
    with Client(proxy.address) as idle, Client(proxy.address) as client:
        assert idle.ask("GET", "/").status == 200
        client.request("POST", CHAT, JSON)
        _, body = client.response_head()
        first = body.piece()
        proxy.signal(signal.SIGTERM)
        until(lambda: refused(proxy.address))
        more.set()
        assert first + body.all() == b'data: {"n":1}\n\n' * 2
        assert proxy.wait(5) == 0
        assert idle.wait_closed()[0] == "fin"


def refused(address) -> bool:
    try:
        with socket.create_connection(address, 1) as s:
            s.settimeout(1)
            s.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return s.recv(1) == b""
    except (ConnectionError, TimeoutError):
        return True


def test_T16_grace_ends(setup):
    """A stream that outlives the grace is cut, and never looks complete."""

    def handler(peer):
        peer.request()
        peer.send(SSE_HEAD + EVENT)
        peer.wait_closed()

    proxy, _ = setup(handler, SIDESTREAM_DRAIN="1s")
    with Client(proxy.address) as client:
        client.request("POST", CHAT, JSON)
        _, body = client.response_head()
        body.piece()
        proxy.signal(signal.SIGTERM)
        try:
            rest = body.all()
            assert b"error" in rest, f"the stream ended normally, with {rest!r}"
        except Truncated:
            pass
        proxy.wait(5)


def test_no_descriptors_are_left(setup, driver):
    """300 aborts in every phase leave as many descriptors as before."""
    proxy, _ = setup(serve(SSE_HEAD + EVENT))
    with Client(proxy.address) as warm:
        warm.ask("GET", "/")
    before = proxy.descriptors()
    for number in range(300):
        with Client(proxy.address) as client:
            client.request("POST", CHAT, JSON)
            if number % 3:
                client.response_head()
            if number % 2:
                client.rst()
    until(lambda: proxy.descriptors() <= before + 2)
