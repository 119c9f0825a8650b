"""Group H: streams that pass untouched, while they say nothing yet and while they say nothing more. The head waits for the
first event that means something; silence is filled with pings; and no byte is changed, lost or late for it."""

import contextlib
import json
import signal
import threading
import time

import pytest

from support.upstream import LAST_CHUNK, OK, SSE_HEAD, answer, chunk
from support.wire import Client, Truncated, ask

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
JSON = b'{"model":"m","stream":true}'
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
PINGS = {"chat": b": ping\n\n", "messages": b'event: ping\ndata: {"type":"ping"}\n\n', "responses": b": ping\n\n"}
# A moment in which everything that is sent on this machine arrives.
MOMENT = 0.3


def event(kind: str, **members) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def data(value) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def delta(**members) -> bytes:
    return data({"id": "c", "choices": [{"index": 0, "delta": members, "finish_reason": None}]})


# dialect: (what says nothing yet, the answer, a failure that is the request's own)
TALK = {
    "chat": (
        b": PROCESSING\n\n" + delta(role="assistant", content=""),
        delta(content="hello") + data({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}) + b"data: [DONE]\n\n",
        data({"error": {"message": "no", "type": "invalid_request_error", "code": 400}}),
    ),
    "messages": (
        event("message_start", message={"id": "m", "content": []}) + event("ping"),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}) + event("message_stop"),
        event("error", error={"type": "invalid_request_error", "message": "no"}),
    ),
    "responses": (
        event("response.created", response={"id": "r"}) + event("response.in_progress", response={"id": "r"}),
        event("response.output_item.added", item={}) + event("response.completed", response={}),
        event("response.failed", response={"error": {"code": "invalid_prompt", "message": "no"}}),
    ),
}


class Script:
    """An upstream that sends, step by step, what the test tells it to."""

    def __init__(self, *parts: bytes):
        self.parts, self.turn = parts, threading.Semaphore(0)

    def __call__(self, peer):
        peer.request()
        for part in self.parts:
            assert self.turn.acquire(timeout=20)
            if part == b"RST":
                return peer.rst()
            elif part == b"FIN":
                if peer.upstream.tls:
                    peer.bye()
                return
            else:
                peer.send(part)
        peer.wait_closed()

    def go(self):
        self.turn.release()


def is_silent(client: Client, seconds: float = MOMENT) -> bool:
    """Whether nothing comes for so long."""
    client.sock.settimeout(seconds)
    try:
        return not client.fill() and not client.ended
    except TimeoutError:
        return True
    finally:
        client.sock.settimeout(15)


def body_of(client: Client) -> bytes:
    _, body = client.response_head()
    return body.all()


# ── The head ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("end", ["answer", "failure"])
@pytest.mark.parametrize("dialect", TALK)
def test_a_head_waits_for_the_first_event(setup, dialect, end):
    """And then everything comes, as it was sent."""
    before, begins, fails = TALK[dialect]
    last = begins if end == "answer" else fails
    script = Script(SSE_HEAD + chunk(before), chunk(last) + LAST_CHUNK)
    proxy, _ = setup(script)
    with Client(proxy.address) as client:
        client.request("POST", PATHS[dialect], JSON)
        script.go()
        assert is_silent(client), client.buffer
        script.go()
        head, body = client.response_head()
        assert (head.status, head.get("content-type"), body.framing) == (200, "text/event-stream", "chunked")
        assert bytes(client.buffer) == chunk(before) + chunk(last) + LAST_CHUNK
        assert body.all() == before + last


@pytest.mark.parametrize("dialect", TALK)
def test_a_head_is_held_no_longer_than_it_may_be(setup, dialect):
    before, begins, _ = TALK[dialect]
    script = Script(SSE_HEAD, chunk(before), chunk(begins) + LAST_CHUNK)
    proxy, _ = setup(script, SIDESTREAM_HOLD="500ms", SIDESTREAM_PING="0")
    with Client(proxy.address) as client:
        client.request("POST", PATHS[dialect], JSON)
        script.go()
        began = time.monotonic()
        assert is_silent(client, 0.2)
        script.go()  # what says nothing prolongs nothing
        _, body = client.response_head()
        assert 0.45 < time.monotonic() - began < 1.5
        assert body.piece() == before
        assert is_silent(client)
        script.go()
        assert body.all() == begins


def test_no_head_is_held_for_zero(setup):
    script = Script(SSE_HEAD, LAST_CHUNK)
    proxy, _ = setup(script, SIDESTREAM_HOLD="0")
    with Client(proxy.address) as client:
        client.request("POST", PATHS["chat"], JSON)
        script.go()
        began = time.monotonic()
        _, body = client.response_head()
        assert time.monotonic() - began < MOMENT
        script.go()
        assert body.all() == b""


OTHERS = {
    "an-error": b"HTTP/1.1 429 No\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    "no-events": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    "compressed": STREAM + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
}


@pytest.mark.parametrize("rule", OTHERS)
def test_only_streams_of_events_are_held_and_pinged(setup, rule):
    script = Script(OTHERS[rule], LAST_CHUNK)
    proxy, _ = setup(script, SIDESTREAM_HOLD="10s", SIDESTREAM_PING="200ms")
    with Client(proxy.address) as client:
        client.request("POST", PATHS["messages"], JSON)
        script.go()
        began = time.monotonic()
        _, body = client.response_head()
        assert time.monotonic() - began < MOMENT
        assert is_silent(client, 0.8), client.buffer
        script.go()
        assert body.all() == b""


@pytest.mark.parametrize("way", ["plain", "tls"])
@pytest.mark.parametrize("dialect", TALK)
def test_any_split_comes_out_the_same(setup, encrypted, dialect, way):
    """The raw bytes, whatever the pieces in which they come."""
    before, begins, _ = TALK[dialect]
    raw = b"".join(chunk(part) for part in (before[:40], before[40:], begins)) + LAST_CHUNK
    whole = SSE_HEAD + raw

    def handler(peer):
        while True:
            size = int(peer.request().get("x-size"))
            for at in range(0, len(whole), size):
                peer.send(whole[at : at + size])
                if size < 4:
                    time.sleep(0.0005)

    proxy, _ = {"plain": setup, "tls": encrypted}[way](handler)
    with Client(proxy.address) as client:
        for size in [1, 3, *range(len(SSE_HEAD) - 2, len(whole) + 1, 1 if way == "plain" else 17)]:
            client.request("POST", PATHS[dialect], JSON, [("x-size", str(size))])
            _, body = client.response_head()
            while not client.buffer.endswith(LAST_CHUNK):
                assert client.fill()
            assert bytes(client.buffer) == raw, size
            assert body.all() == before + begins


def test_much_that_says_nothing_is_not_held(setup):
    """Responses repeats what was asked before it answers; what is too much to hold goes on."""
    created = event("response.created", response={"instructions": "x" * 100_000})
    script = Script(SSE_HEAD + chunk(created) * 2, chunk(created), LAST_CHUNK)
    proxy, _ = setup(script, SIDESTREAM_HOLD="10s", SIDESTREAM_PING="0")
    with Client(proxy.address) as client:
        client.request("POST", PATHS["responses"], JSON)
        script.go()
        assert is_silent(client)
        script.go()
        _, body = client.response_head()
        got = b""
        while len(got) < 3 * len(created):
            got += body.piece()
        script.go()
        assert got + body.all() == created * 3


# How a stream ends before it said anything, and what its client is told.
BROKEN = {
    "fin": ([SSE_HEAD, b"FIN"], {}, (502, "upstream-truncated")),
    "rst": ([SSE_HEAD, b"RST"], {}, (502, "upstream-truncated")),
    "silence": ([SSE_HEAD], {"MOCK_IDLE_TIMEOUT": "300ms"}, (504, "upstream-silent")),
    "total": ([SSE_HEAD], {"MOCK_TIMEOUT": "300ms"}, (504, "upstream-timeout")),
    "coding": ([SSE_HEAD, b"x\r\n"], {}, (502, "upstream-invalid")),
    "head-and-coding": ([SSE_HEAD + b"x\r\n"], {}, (502, "upstream-invalid")),
}


@pytest.mark.parametrize("dialect", TALK)
@pytest.mark.parametrize("rule", BROKEN)
def test_a_stream_that_breaks_before_it_begins_is_a_status(setup, rule, dialect):
    parts, env, wanted = BROKEN[rule]
    before = TALK[dialect][0]
    script = Script(*[part if part != SSE_HEAD else SSE_HEAD + chunk(before) for part in parts])
    proxy, _ = setup(script, **env)
    for _ in parts:
        script.go()
    told = ask(proxy.address, "POST", PATHS[dialect], JSON)
    assert (told.status, told.get("x-sidestream-error")) == wanted
    error = json.loads(told.body)
    assert error["error"]["message"] and ((error.get("type") == "error") == (dialect == "messages"))
    for variable, value in env.items():
        assert f"{variable}={value}" in error["error"]["message"]


EMPTY = {
    "chunked": SSE_HEAD + LAST_CHUNK,
    "chunked-late": SSE_HEAD + chunk(b": hi\n\n") + LAST_CHUNK,
    "length": STREAM + b"Content-Length: 0\r\n\r\n",
    "length-late": STREAM + b"Content-Length: 6\r\n\r\n: hi\n\n",
}


@pytest.mark.parametrize("rule", EMPTY)
def test_a_stream_that_ends_as_it_says_passes_as_it_is(setup, rule):
    """Also where nothing is in it; and its connection serves on."""

    def handler(peer):
        while True:
            peer.request()
            peer.send(EMPTY[rule])

    proxy, upstream = setup(handler)
    with Client(proxy.address) as client:
        for _ in range(2):
            got = client.ask("POST", PATHS["chat"], JSON)
            assert (got.status, got.body) == (200, b": hi\n\n" if "late" in rule else b"")
    assert len(upstream.peers) == 1


def test_a_stream_that_ends_with_its_connection_and_says_nothing(setup):
    script = Script(STREAM + b"\r\n", b": hi\n\n", b"FIN")
    proxy, _ = setup(script)
    for _ in range(3):
        script.go()
    got = ask(proxy.address, "POST", PATHS["chat"], JSON)
    assert (got.status, got.body) == (200, b": hi\n\n")


def test_a_client_that_leaves_a_held_stream_ends_it(setup):
    left: list[float] = []
    closed = threading.Event()

    def handler(peer):
        peer.request()
        peer.send(SSE_HEAD + chunk(TALK["chat"][0]))
        left.append(peer.wait_closed()[1])
        closed.set()

    proxy, _ = setup(handler)
    for silence in (0.1, 1.6):  # and where its reads have given way to readiness
        closed.clear()
        with Client(proxy.address) as client:
            client.request("POST", PATHS["chat"], JSON)
            assert is_silent(client, silence)
            began = time.monotonic()
        assert closed.wait(5)
        assert left[-1] - began < 0.05
    assert proxy.wait_counter("sidestream_client_aborts_total", 2) == 2


def test_a_drain_ends_a_held_stream_with_a_status(setup):
    script = Script(SSE_HEAD)
    proxy, _ = setup(script, SIDESTREAM_HOLD="10s", SIDESTREAM_DRAIN="300ms")
    with Client(proxy.address) as client:
        client.request("POST", PATHS["messages"], JSON)
        script.go()
        assert is_silent(client, 0.1)
        proxy.signal(signal.SIGTERM)
        told = client.response()
    assert (told.status, told.get("x-sidestream-error")) == (503, "draining")
    assert proxy.wait(5) == 0


# ── Pings ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def until_pinged(body, ping: bytes, count: int) -> bytes:
    """What comes until so many pings have."""
    got = b""
    while got.count(ping) < count:
        got += body.piece()
    return got


FRAMED = {
    # rule: (head, how a part is framed, the end, version)
    "chunked": (SSE_HEAD, chunk, LAST_CHUNK, 1),
    "chunked-to-http10": (SSE_HEAD, chunk, LAST_CHUNK, 0),
    "until-close": (STREAM + b"\r\n", bytes, b"FIN", 1),
    "until-close-to-http10": (STREAM + b"\r\n", bytes, b"FIN", 0),
}


@pytest.mark.parametrize("way", ["plain", "tls"])
@pytest.mark.parametrize("rule", FRAMED)
@pytest.mark.parametrize("dialect", TALK)
def test_silence_between_events_is_filled_with_pings(setup, encrypted, dialect, rule, way):
    """Also silence of many pings; then the stream goes on, and nothing of it is lost."""
    head, framed, end, version = FRAMED[rule]
    before, begins, _ = TALK[dialect]
    script = Script(head + framed(before + begins), framed(begins), end)
    proxy, _ = {"plain": setup, "tls": encrypted}[way](script, SIDESTREAM_PING="500ms")
    ping = PINGS[dialect]
    with Client(proxy.address) as client:
        client.request("POST", PATHS[dialect], JSON, version=version)
        script.go()
        began = time.monotonic()
        _, body = client.response_head()
        got = until_pinged(body, ping, 3)
        assert got == before + begins + ping * 3
        assert 1.5 < time.monotonic() - began < 4
        script.go(), script.go()
        got += body.all()
    assert got.replace(ping, b"") == before + begins * 2


def test_pings_come_also_where_a_held_head_went_out_alone(setup):
    script = Script(SSE_HEAD, chunk(TALK["messages"][1]) + LAST_CHUNK)
    proxy, _ = setup(script, SIDESTREAM_HOLD="300ms", SIDESTREAM_PING="300ms")
    with Client(proxy.address) as client:
        client.request("POST", PATHS["messages"], JSON)
        script.go()
        _, body = client.response_head()
        pings = body.piece() + body.piece()
        assert pings == PINGS["messages"] * 2
        script.go()
        assert body.all().replace(PINGS["messages"], b"") == TALK["messages"][1]


begins = TALK["chat"][1]
INSIDE = {
    # rule: (what was sent when the silence begins, what comes after it)
    "an-event": (SSE_HEAD + chunk(begins + b"data: {"), chunk(b'"n":1}\n\n')),
    "the-end-of-a-line": (SSE_HEAD + chunk(begins + b'data: {"n":1}\n'), chunk(b"\n")),
    "a-comment": (SSE_HEAD + chunk(begins + b": long"), chunk(b"er\n\n")),
    "a-chunk": (SSE_HEAD + b"%x\r\n" % (len(begins) + 9) + begins, b"data: 1\n\n\r\n"),
    "the-end-of-a-chunk": (SSE_HEAD + chunk(begins)[:-2], b"\r\n"),
    "a-chunk-size": (SSE_HEAD + chunk(begins) + b"9\r", b"\ndata: 1\n\n\r\n"),
    "a-length": (STREAM + b"Content-Length: %d\r\n\r\n" % (len(begins) + 9) + begins, b"data: 1\n\n"),
}


@pytest.mark.parametrize("rule", INSIDE)
def test_nothing_is_put_inside(setup, rule):
    """No ping stands within an event, a chunk, or a body of announced length: the client gets the upstream's bytes."""
    first, rest = INSIDE[rule]
    script = Script(first, rest)
    proxy, _ = setup(script, SIDESTREAM_PING="200ms")
    with Client(proxy.address) as client:
        client.request("POST", PATHS["chat"], JSON)
        script.go()
        client.response_head()
        sent = first[first.index(b"\r\n\r\n") + 4 :]
        while len(client.buffer) < len(sent):
            assert client.fill()
        assert bytes(client.buffer) == sent
        assert is_silent(client, 1.5), client.buffer[len(sent) :]
        script.go()
        while len(client.buffer) < len(sent + rest):
            assert client.fill()
        assert bytes(client.buffer) == sent + rest
        if rule != "a-length":
            ping = chunk(PINGS["chat"])
            while len(client.buffer) < len(sent + rest + ping):
                assert client.fill()
            assert client.buffer.startswith(sent + rest + ping)


def test_no_pings_for_zero(setup):
    script = Script(SSE_HEAD + chunk(begins), LAST_CHUNK)
    proxy, _ = setup(script, SIDESTREAM_PING="0")
    with Client(proxy.address) as client:
        client.request("POST", PATHS["chat"], JSON)
        script.go()
        _, body = client.response_head()
        assert body.piece() == begins
        assert is_silent(client, 1.5)
        script.go()
        assert body.all() == b""


def test_pings_do_not_prolong_the_upstreams_time(setup):
    """Its silence ends the stream when it is too long, pings or not."""
    script = Script(SSE_HEAD + chunk(begins))
    proxy, _ = setup(script, SIDESTREAM_PING="300ms", MOCK_IDLE_TIMEOUT="1s")
    with Client(proxy.address) as client:
        client.request("POST", PATHS["chat"], JSON)
        script.go()
        began = time.monotonic()
        _, body = client.response_head()
        with pytest.raises(Truncated) as cut:
            body.all()
        assert 0.9 < time.monotonic() - began < 2.5
    assert cut.value.partial.count(PINGS["chat"]) >= 2
    assert b"upstream-silent" in cut.value.partial and b"MOCK_IDLE_TIMEOUT=1s" in cut.value.partial


def test_a_connection_that_was_pinged_serves_on(setup):
    """Nothing of a stream's rhythm is left on its connection: the next request may wait for its answer as long as it must."""

    def handler(peer):
        peer.request()
        peer.send(SSE_HEAD + chunk(begins))
        time.sleep(0.8)
        peer.send(chunk(begins) + LAST_CHUNK)
        peer.request()
        time.sleep(2.5)
        peer.send(OK)
        peer.wait_closed()

    proxy, upstream = setup(handler, SIDESTREAM_PING="300ms")
    with Client(proxy.address) as client:
        first = client.ask("POST", PATHS["chat"], JSON)
        assert first.body.replace(PINGS["chat"], b"") == begins * 2 and PINGS["chat"] in first.body
        second = client.ask("POST", PATHS["chat"], b'{"model":"m"}')
        assert (second.status, second.body) == (200, b'{"ok":"here"}')
    assert len(upstream.peers) == 1


def test_many_events_between_pings_lose_nothing(setup):
    """Numbered events come at any moment, also in that of a ping."""
    count = 60
    numbered = [data({"n": number}) for number in range(count)]

    def handler(peer):
        peer.request()
        peer.send(SSE_HEAD)
        for number, one in enumerate(numbered):
            peer.send(chunk(one))
            time.sleep(0.19 + number % 7 * 0.005)
        peer.send(LAST_CHUNK)
        peer.wait_closed()

    proxy, _ = setup(handler, SIDESTREAM_PING="100ms")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(proxy.address)) for _ in range(8)]
        for client in clients:
            client.request("POST", PATHS["chat"], JSON)
            time.sleep(0.013)
        for client in clients:
            got = body_of(client)
            assert got.replace(PINGS["chat"], b"") == b"".join(numbered)
            assert got.count(PINGS["chat"]) > 5


def test_a_whole_answer_is_not_held(setup):
    proxy, _ = setup(lambda peer: (peer.request(), peer.send(answer(b"{}")), peer.wait_closed()))
    assert ask(proxy.address, "POST", PATHS["chat"], b'{"model":"m"}').body == b"{}"
