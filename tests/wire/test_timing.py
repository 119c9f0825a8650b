"""Group T: clients that go away, do not read, send too slowly or too early; and the drain. The scripted upstream tells
when its connection was closed; both ends live in this process, so one monotonic clock serves both."""

import contextlib
import json
import os
import select
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from queue import Queue

import pytest

from support.process import Sidestream
from support.upstream import LAST_CHUNK, OK, SSE_HEAD, Upstream, answer, chunk, serve
from support.wire import Client, Truncated, ask

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


def full_queue(owned) -> tuple[int, int]:
    """A port whose queue of connections is full, so that connecting hangs, and how many connections hang already."""
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
    return port, hanging


def test_abort_during_connect(driver, owned, note):
    """T7: the upstream's queue is full, so connecting hangs; the client leaves; the attempt ends with it."""
    port, hanging = full_queue(owned)
    env = {"MOCK_ENDPOINT_URL": f"http://127.0.0.1:{port}/v1", "MOCK_WARM_CONNECTIONS": "0"}
    proxy = owned(Sidestream(driver, env))
    with Client(proxy.address) as warm:
        warm.ask("GET", "/")
    before = proxy.descriptors()
    with Client(proxy.address) as client:
        client.request("POST", CHAT, JSON)
        until(lambda: syn_sent(port) == hanging + 1)
    # By the proxy's descriptors: reading the kernel's table of sockets takes longer than what is measured.
    took = until(lambda: proxy.descriptors() <= before)
    note(f"T7-during-connect [{driver}]: attempt cancelled {took * 1000:.1f} ms after the client left")
    assert took <= ABORT_MAX_SECS
    until(lambda: syn_sent(port) == hanging)
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


STRAY = {"nothing": (b"", b""), "CRLF with the body": (b"\r\n", b""), "CRLF after the answer": (b"", b"\r\n")}


def test_T9_idle_connection_is_left_alone(setup):
    """No 408 is written into an idle keep-alive connection, and it serves again after the head deadline; so it is with
    an empty line behind a body, which begins no request. All at once: the wait is the same."""
    proxy, upstream = setup()
    with contextlib.ExitStack() as stack:
        clients = {stray: stack.enter_context(Client(proxy.address)) for stray in STRAY}
        for stray, client in clients.items():
            with_body, after = STRAY[stray]
            head = f"POST {CHAT} HTTP/1.1\r\nHost: {client.authority}\r\nContent-Length: {len(JSON)}\r\n\r\n"
            client.send(head.encode() + JSON + with_body)
            assert client.response().status == 200
            client.send(after)
        readable, _, _ = select.select([client.sock for client in clients.values()], [], [], 11)
        said = {stray: client.sock.recv(4096) for stray, client in clients.items() if client.sock in readable}
        assert said == {}, "written into, or closed"
        for client in clients.values():
            assert client.ask("POST", CHAT, JSON).status == 200
    assert [r.body for r in upstream.requests] == [JSON] * 6


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


def test_T11_endless_pipeline_is_bounded(setup, note, driver):
    """32 MiB of small requests without a pause, the answers read in small pieces: never a moment at which everything
    has been read, and still nothing piles up."""
    proxy, _ = setup()
    request = f"GET / HTTP/1.1\r\nHost: localhost\r\nX-Padding: {'a' * 446}\r\n\r\n".encode()
    count = (32 << 20) // len(request)
    with Client(proxy.address) as warm:
        warm.ask("GET", "/")
    before = most = proxy.resident_kib()
    with Client(proxy.address, receive_buffer=8192) as client:
        sender = threading.Thread(target=client.send, args=(request * count,))
        sender.start()
        marker, answered, seen, pieces = b"HTTP/1.1 200", 0, b"", 0
        while answered < count:
            data = client.sock.recv(2048)
            assert data, f"closed after {answered} of {count} answers"
            seen = seen[-(len(marker) - 1) :] + data
            answered += seen.count(marker)
            pieces += 1
            if pieces % 100 == 0:
                most = max(most, proxy.resident_kib())
        sender.join()
    note(f"T11-pipeline [{driver}]: {count} requests, proxy grew {most - before} KiB")
    assert most - before < 8192


def test_pause_inside_a_body_is_the_clients_time(setup):
    """The upstream's time limits do not run while it is the client who is slow: streamed or buffered, all arrives."""

    def handler(peer):
        while True:
            peer.send(answer(b"%d" % len(peer.request().body)))

    proxy, _ = setup(handler, MOCK_IDLE_TIMEOUT="500ms", MOCK_FIRST_BYTE_TIMEOUT="500ms")
    body = b'{"model":"m","x":"' + b"a" * (8 << 20) + b'"}'
    half = len(body) // 2
    with Client(proxy.address) as streamed, Client(proxy.address) as buffered:
        for client, path in [(streamed, "/v1/files"), (buffered, CHAT)]:
            head = f"POST {path} HTTP/1.1\r\nHost: {client.authority}\r\nContent-Length: {len(body)}\r\n\r\n"
            client.send(head.encode() + body[:half])
        time.sleep(1.5)  # the silence is the subject
        for client in (streamed, buffered):
            client.send(body[half:])
            response = client.response()
            assert (response.status, response.body) == (200, b"%d" % len(body))


def test_download_leaves_the_others_their_turn(setup, note, driver):
    """A fast download that never ends does not hold up the loop that it shares with everybody."""
    piece, tries = bytes(1 << 20), 200

    def handler(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 40))
        while True:
            peer.send(piece)

    def read(client):
        room = bytearray(1 << 20)
        with contextlib.suppress(OSError):
            while client.sock.recv_into(room):
                pass

    proxy, _ = setup(handler)
    with Client(proxy.address) as client, Client(proxy.admin) as probe:
        client.request("GET", "/v1/files/big/content")
        reader = threading.Thread(target=read, args=(client,))
        reader.start()
        took = []
        for _ in range(tries):  # a loop that gives nobody a turn answers when the download ends: never
            asked = time.monotonic()
            assert probe.ask("GET", "/healthz").status == 200
            took.append(time.monotonic() - asked)
        client.sock.shutdown(socket.SHUT_RDWR)
        reader.join()
    median, worst = sorted(took)[tries // 2] * 1000, max(took) * 1000
    note(f"fairness [{driver}]: beside a download /healthz took {median:.1f} ms in the median of {tries}, {worst:.1f} at most")


@pytest.mark.parametrize("method, status", [("POST", 405), ("GET", 200)])
def test_withheld_body_is_not_waited_for(setup, method, status):
    """`Expect: 100-continue` where the body would be thrown away: answered at once, and the connection ends, because
    nobody knows whether the body still comes."""
    proxy, upstream = setup()
    with Client(proxy.address) as client:
        began = time.monotonic()
        client.send(
            f"{method} / HTTP/1.1\r\nHost: {client.authority}\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n".encode()
        )
        told = client.response()
        assert time.monotonic() - began < 1
        assert (told.status, told.interim, told.get("connection")) == (status, [], "close")
        assert client.wait_closed(5)[0] == "fin"
    assert upstream.requests == []


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
        assert until(lambda: refused(proxy.address)) <= LISTENER_GONE_SECS
        more.set()
        assert first + body.all() == b'data: {"n":1}\n\n' * 2
        assert proxy.wait(5) == 0
        assert idle.wait_closed()[0] == "fin"


LISTENER_GONE_SECS = 0.5
DRAINS = 5


def refused(address) -> bool:
    """Nobody listens there any more. (A reset while connecting is the listener's end, not its absence.)"""
    try:
        socket.create_connection(address, 1).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass
    return False


def churn(address, ends: dict[str, int], stop: threading.Event) -> None:
    """Connects, asks once, closes, and again, until nobody listens. Counts how the connections ended."""
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    while not stop.is_set():
        try:
            client = Client(address, timeout=5)
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            continue
        with client:
            connected = time.monotonic()
            try:
                client.send(request)
                late = time.monotonic() - connected > 0.2
                got = client.fill()
            except ConnectionError:
                got, late, client.ended = False, False, "rst"
            how = "answered" if got and client.buffer.startswith(b"HTTP/1.1 200 ") else client.ended or "odd"
            how = "late" if how == "fin" and late else how
            ends[how] = ends.get(how, 0) + 1


def test_T16_reload_during_a_drain_changes_nothing(driver, owned, tmp_path):
    """SIGHUP asks for a reload, also then: the grace of what still runs is not its business."""
    more, streaming = threading.Event(), threading.Event()

    def handler(peer):
        peer.request()
        peer.send(SSE_HEAD + EVENT)
        streaming.set()
        assert more.wait(10)
        peer.send(EVENT + LAST_CHUNK)
        peer.wait_closed()

    upstream = owned(Upstream(handler))
    (tmp_path / "env").write_text("SIDESTREAM_DRAIN=20s\n")
    proxy = owned(Sidestream(driver, upstream.env, args=("--env-file", str(tmp_path / "env"))))
    with Client(proxy.address) as client:
        client.request("POST", CHAT, JSON)
        _, body = client.response_head()
        first = body.piece()
        proxy.signal(signal.SIGTERM)
        assert until(lambda: refused(proxy.address)) <= LISTENER_GONE_SECS
        proxy.signal(signal.SIGHUP)
        more.set()
        assert first + body.all() == b'data: {"n":1}\n\n' * 2
        assert proxy.wait(5) == 0


def test_whole_time_of_a_provider(setup):
    """`_TIMEOUT` counts from the request: an answer that has not begun by then is a 504, one under way is cut, and told."""

    def handler(peer):
        if b"stream" in peer.request().body:
            peer.send(SSE_HEAD + EVENT)
        peer.wait_closed()

    proxy, _ = setup(handler, MOCK_TIMEOUT="500ms")
    began = time.monotonic()
    late = ask(proxy.address, "POST", CHAT, b'{"model":"m"}')
    assert (late.status, late.get("x-sidestream-error")) == (504, "upstream-timeout")
    with Client(proxy.address) as client:
        client.request("POST", CHAT, b'{"model":"m","stream":true}')
        _, body = client.response_head()
        with pytest.raises(Truncated) as cut:
            body.all()
        assert b"upstream-timeout" in cut.value.partial
    assert 0.9 < time.monotonic() - began < 5


# variable and value: (the reason, whether the answer had begun)
LIMITS = {
    "MOCK_FIRST_BYTE_TIMEOUT=300ms": ("upstream-first-byte-timeout", False),
    "MOCK_TIMEOUT=400ms": ("upstream-timeout", False),
    "MOCK_IDLE_TIMEOUT=500ms": ("upstream-silent", True),
    "MOCK_TIMEOUT=700ms": ("upstream-timeout", True),
}


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1/responses"])
@pytest.mark.parametrize("limit", LIMITS)
def test_each_time_limit_has_its_own_error(setup, limit, path):
    """It names its variable and value, in the client's dialect: as the answer, or as the last event of a stream."""
    reason, begun = LIMITS[limit]

    def handler(peer):
        peer.request()
        if begun:
            peer.send(SSE_HEAD + EVENT)
        peer.wait_closed()

    proxy, _ = setup(handler, **dict([limit.split("=")]))
    with Client(proxy.address) as client:
        client.request("POST", path, JSON)
        head, body = client.response_head()
        if begun:
            with pytest.raises(Truncated) as cut:
                body.all()
            said = cut.value.partial.removeprefix(b'data: {"n":1}\n\n')
            error = json.loads(said[said.index(b"data: ") + 6 :])
        else:
            assert (head.status, head.get("x-sidestream-error")) == (504, reason)
            error = json.loads(body.all())
    inner = error if path == "/v1/responses" and begun else error["error"]
    assert f"({limit})" in inner["message"]
    if path == "/v1/messages":
        assert (error["type"], inner["type"]) == ("error", "timeout_error")
    else:
        assert inner["code"] == reason


def test_connections_that_dial_leave_nothing_behind(setup, note, driver):
    """A client connection and an upstream connection for each request: memory stays where it was."""
    def handler(peer):
        peer.request()
        peer.send(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))

    proxy, _ = setup(handler)

    def requests(count):
        for _ in range(count):
            assert ask(proxy.address, "POST", CHAT, JSON).status == 200
        return proxy.resident_kib()

    before, after = requests(500), requests(2000)
    note(f"2,000 connections that dialled [{driver}]: proxy grew {after - before} KiB")
    assert after - before < 4 << 10


def test_T16_drain_loses_no_request_of_new_connections(setup, note, driver):
    """Clients come and go while SIGTERM comes: whoever was accepted and asked is answered, the others are refused; the
    listener goes at once, and the process with the last client."""
    ends: dict[str, int] = {}
    for _ in range(DRAINS):
        proxy, _ = setup(SIDESTREAM_DRAIN="20s")
        stop, tallies = threading.Event(), [{} for _ in range(4)]
        clients = [threading.Thread(target=churn, args=(proxy.address, tally, stop)) for tally in tallies]
        for client in clients:
            client.start()
        until(lambda: all(tally.get("answered", 0) > 20 for tally in tallies))
        proxy.signal(signal.SIGTERM)
        gone = until(lambda: refused(proxy.address))
        code = proxy.wait(5)
        stop.set()
        for client in clients:
            client.join()
        assert gone <= LISTENER_GONE_SECS and code == 0
        for tally in tallies:
            for how, count in tally.items():
                ends[how] = ends.get(how, 0) + count
    note(f"T16-churn [{driver}]: {DRAINS} drains, connections ended {ends}")
    assert ends.get("fin", 0) == 0, "accepted, asked, and closed without a word"
    assert ends.get("odd", 0) == 0



@pytest.mark.parametrize("path", [CHAT, "/v1/messages"])
def test_T16_grace_ends_for_a_request_without_an_answer(setup, path):
    """On a kept connection the end of the grace looks like a stale one: the request is not sent again, and its client
    is told why."""

    def handler(peer):
        peer.request()
        peer.send(OK)
        peer.request()
        waiting.set()
        peer.wait_closed()

    waiting = threading.Event()
    proxy, upstream = setup(handler, SIDESTREAM_DRAIN="300ms")
    with Client(proxy.address) as client:
        assert client.ask("POST", path, JSON).status == 200
        client.request("POST", path, JSON)
        assert waiting.wait(5)
        proxy.signal(signal.SIGTERM)
        told = client.response()
    assert (told.status, told.get("x-sidestream-error"), told.get("connection")) == (503, "draining", "close")
    error = json.loads(told.body)
    kind = {CHAT: "service_unavailable_error", "/v1/messages": "overloaded_error"}[path]
    assert error["error"]["type"] == kind and error["error"]["message"]
    assert (error.get("type") == "error") == (path == "/v1/messages")
    assert [len(upstream.peers), len(upstream.requests)] == [1, 2]
    assert proxy.wait(2) == 0


@pytest.mark.parametrize("sent", [b"POST /v1/chat/completions HTTP/1.1\r\nHo", None], ids=["head", "body"])
def test_T16_grace_ends_for_an_unfinished_request(setup, sent):
    """It is not the client that went away: it is told that we do."""
    proxy, upstream = setup(SIDESTREAM_DRAIN="300ms")
    with Client(proxy.address) as client:
        whole = f"POST {CHAT} HTTP/1.1\r\nHost: {client.authority}\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n"
        client.send(sent or whole.encode())
        until(lambda: proxy.counter("sidestream_client_connections_open") >= 1)
        proxy.signal(signal.SIGTERM)
        told = client.response()
    assert (told.status, told.get("x-sidestream-error")) == (503, "draining")
    assert proxy.wait(2) == 0
    assert "client-abort" not in proxy.log and upstream.requests == []


def test_T16_grace_ends_while_connecting(driver, owned):
    """The upstream's queue is full: the attempt ends with the grace, and its client is told."""
    port, hanging = full_queue(owned)
    env = {"MOCK_ENDPOINT_URL": f"http://127.0.0.1:{port}/v1", "MOCK_WARM_CONNECTIONS": "0", "SIDESTREAM_DRAIN": "300ms"}
    proxy = owned(Sidestream(driver, env))
    with Client(proxy.address) as client:
        client.request("POST", CHAT, JSON)
        until(lambda: syn_sent(port) == hanging + 1)
        proxy.signal(signal.SIGTERM)
        told = client.response()
    assert (told.status, told.get("x-sidestream-error")) == (503, "draining")
    assert proxy.wait(2) == 0


@pytest.mark.parametrize("size", [3_500_000, 4_000_000, 4_500_000])
def test_T6_half_close_is_allowed_behind_a_large_upload(setup, size):
    """SIDESTREAM_HALF_CLOSE=allow also holds while back-pressure keeps the client's end out of sight."""

    def handler(peer):
        _, body = peer.request_head()
        total = 0
        for piece in body:
            total += len(piece)
            time.sleep(0.001)
        peer.send(answer(b"%d" % total))
        peer.wait_closed()

    proxy, _ = setup(handler, SIDESTREAM_HALF_CLOSE="allow")
    with Client(proxy.address) as client:
        head = f"POST /v1/files HTTP/1.1\r\nHost: {client.authority}\r\nContent-Length: {size}\r\n\r\n"
        client.send(head.encode() + b"x" * size)
        client.fin()
        assert client.response().body == b"%d" % size


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
