"""POST /stop on the admin address: everything in flight ends, and nothing else."""

import contextlib
import json
import signal
import threading
import time

import pytest

from support.process import Sidestream, pairs
from support.sse import Reader
from support.upstream import LAST_CHUNK, OK, SSE_HEAD, Upstream, answer, chunk
from support.wire import Client, Gone, Response, Truncated, ask

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
JSON = "Content-Type: application/json\r\n"
PATIENCE = 5
CHAT_DELTA = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"up","choices":[{"index":0,"delta":{"role":"assistant","content":"hi"},"finish_reason":null}]}\n\n'
MESSAGE_START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"up",'
    b'"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}\n\n'
)


def stop(proxy) -> int:
    response = ask(proxy.admin, "POST", "/stop")
    assert (response.status, response.get("content-type")) == (200, "application/json"), response
    return json.loads(response.body)["stopped"]


class Held:
    """An upstream that tells when a request came, then answers `begin` and no more until it is gone. Requests with "fast"
    in their body are answered at once."""

    def __init__(self, begin: bytes = b""):
        self.begin, self.came, self.held = begin, threading.Semaphore(0), []

    def __call__(self, peer):
        while True:
            request = peer.request()
            if b"fast" in request.body:
                peer.send(OK)
                continue
            peer.send(self.begin)
            self.held.append(peer)
            self.came.release()
            peer.wait_closed(PATIENCE)
            return

    def wait(self) -> None:
        assert self.came.acquire(timeout=PATIENCE), "no request came"

    def all_gone(self) -> bool:
        return all(peer.gone.wait(PATIENCE) for peer in self.held)


def refused(response: Response, dialect: str) -> None:
    """The answer to a stopped request: its client must see who did it, and not send it again."""
    assert (response.status, response.get("x-sidestream-error")) == (503, "stopped"), response
    assert response.get("x-should-retry") == "false" and response.get("retry-after") is None
    assert response.get("connection") == "close"
    error = json.loads(response.body)
    assert (error.get("type") == "error") == (dialect == "messages")
    assert "/stop" in error["error"]["message"]


def body_of(path: str, **more) -> bytes:
    return json.dumps({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **more}).encode()


@pytest.mark.parametrize("upstream_speaks", ["both", "chat", "messages"])
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize("stream", [False, True])
def test_before_the_answer(setup, path, stream, upstream_speaks):
    held = Held()
    off = {"both": {}, "chat": {"MOCK_ANTHROPIC_URL": "off"}, "messages": {"MOCK_ENDPOINT_URL": None, "MOCK_OPENAI_URL": "off"}}
    proxy, _ = setup(held, **off[upstream_speaks])
    with Client(proxy.address) as client:
        client.request("POST", path, body_of(path, stream=stream))
        held.wait()
        assert stop(proxy) == 1
        refused(client.response(), "messages" if path == MESSAGES else "chat")
        assert client.wait_closed(PATIENCE)[0] == "fin"
    assert held.all_gone()
    assert len(held.held) == 1, "sent again"
    line = proxy.wait_line(lambda line: "msg=request" in line)
    assert (pairs(line)["reason"], pairs(line)["who"]) == ("stopped", "us")
    assert proxy.counter("sidestream_requests_stopped_total") == 1
    assert proxy.counter("sidestream_requests_open") <= 1  # the scrape's own


@pytest.mark.parametrize("path,speaks,begin", [
    (CHAT, "both", CHAT_DELTA),
    (MESSAGES, "both", MESSAGE_START),
    (MESSAGES, "chat", CHAT_DELTA),
])
def test_a_running_stream(setup, path, speaks, begin):
    """It ends with its dialect's error, and is visibly cut."""
    held = Held(SSE_HEAD + chunk(begin))
    proxy, _ = setup(held, **({} if speaks == "both" else {"MOCK_ANTHROPIC_URL": "off"}))
    with Client(proxy.address) as client:
        client.request("POST", path, body_of(path, stream=True))
        response, body = client.response_head()
        assert response.status == 200
        first = body.piece()
        held.wait()
        began = time.monotonic()
        assert stop(proxy) == 1
        with pytest.raises(Truncated) as cut:
            body.all()
        assert time.monotonic() - began < 1
        events = Reader().push(first + cut.value.partial)
    name, data, _ = events[-1]
    error = json.loads(data)
    assert "/stop" in error["error"]["message"], events
    assert name == ("error" if path == MESSAGES else "message")
    assert held.all_gone()


def test_a_whole_answer_that_comes_in_pieces(setup):
    held = Held(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"a\":")
    proxy, _ = setup(held)
    with Client(proxy.address) as client:
        client.request("POST", CHAT, body_of(CHAT))
        _, body = client.response_head()
        assert body.piece() == b'{"a":'
        held.wait()
        assert stop(proxy) == 1
        with pytest.raises(Truncated):
            body.all()
    assert held.all_gone()


def test_nothing_in_flight(setup):
    """Idle connections, of clients and to providers, live on."""
    proxy, upstream = setup()
    with Client(proxy.address) as one, Client(proxy.address) as fresh:
        for _ in range(3):
            assert one.ask("POST", CHAT, b'{"model":"m"}').status == 200
            assert stop(proxy) == 0
        assert fresh.ask("POST", CHAT, b'{"model":"m"}').status == 200
    assert len(upstream.peers) == 1, "the kept connection was closed"
    assert proxy.counter("sidestream_requests_stopped_total") == 0


def test_neighbours_live_on(setup):
    held = Held()
    proxy, upstream = setup(held)
    fast = b'{"model":"m","messages":"fast"}'
    with Client(proxy.address) as idle, Client(proxy.address) as busy:
        assert idle.ask("POST", CHAT, fast).status == 200
        busy.request("POST", CHAT, body_of(CHAT))
        held.wait()
        # The held request took the kept connection; the next one opens another, which is kept then.
        assert idle.ask("POST", CHAT, fast).status == 200
        opened = len(upstream.peers)
        assert stop(proxy) == 1
        refused(busy.response(), "chat")
        assert idle.ask("POST", CHAT, fast).status == 200
        assert len(upstream.peers) == opened
        with Client(proxy.address) as new:
            assert new.ask("POST", CHAT, fast).status == 200


def test_a_body_on_its_way(setup):
    proxy, upstream = setup()
    with Client(proxy.address) as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        while proxy.counter("sidestream_requests_open") < 2:
            pass
        assert stop(proxy) == 1
        refused(client.response(), "messages")
    assert upstream.requests == []


def test_an_upload_on_its_way(setup):
    """Not JSON, streamed through."""
    heads = threading.Semaphore(0)

    def handler(peer):
        peer.request_head()
        heads.release()
        peer.wait_closed(PATIENCE)

    proxy, upstream = setup(handler)
    with Client(proxy.address) as client:
        client.send(b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc")
        assert heads.acquire(timeout=PATIENCE)
        assert stop(proxy) == 1
        assert client.response().get("x-sidestream-error") == "stopped"
    assert upstream.peers[0].gone.wait(PATIENCE)


def test_in_the_line_for_a_connection(setup):
    held = Held()
    proxy, _ = setup(held, MOCK_MAX_CONNECTIONS="1")
    with Client(proxy.address) as first, Client(proxy.address) as second:
        first.request("POST", CHAT, body_of(CHAT))
        held.wait()
        second.request("POST", CHAT, body_of(CHAT))
        while b"waiting=1" not in ask(proxy.admin, "GET", "/readyz").body:
            pass
        assert stop(proxy) == 2
        for client in (first, second):
            refused(client.response(), "chat")
    assert len(held.held) == 1


def test_half_closed_clients(setup):
    """Where a client's closed side does not mean that it is gone, it is stopped all the same."""
    held = Held()
    proxy, _ = setup(held, SIDESTREAM_HALF_CLOSE="allow")
    for half in (False, True):
        with Client(proxy.address) as client:
            client.request("POST", CHAT, body_of(CHAT))
            held.wait()
            if half:
                client.fin()
                continue
            assert stop(proxy) == 1
            refused(client.response(), "chat")
    assert held.held[0].gone.wait(PATIENCE)


def test_encrypted(driver, owned, authority):
    """Through TLS on both sides: the refusal, the error event and the cut arrive as they do in the clear."""
    root = authority("root")
    held = Held()
    upstream = owned(Upstream(held, root.server()))
    identity = root.issue()
    env = {**upstream.env, "MOCK_CA_FILE": root.file, "MOCK_WARM_CONNECTIONS": "0"}
    proxy = owned(Sidestream(driver, {**env, "SIDESTREAM_TLS_CERT": identity, "SIDESTREAM_TLS_KEY": identity}))
    for begin in (b"", SSE_HEAD + chunk(CHAT_DELTA)):
        held.begin = begin
        with Client(proxy.address, tls=root.client()) as client:
            client.request("POST", CHAT, body_of(CHAT, stream=True))
            if not begin:
                held.wait()
                assert stop(proxy) == 1
                refused(client.response(), "chat")
                continue
            _, body = client.response_head()
            first = body.piece()
            held.wait()
            assert stop(proxy) == 1
            with pytest.raises(Truncated) as cut:
                body.all()
            assert b"/stop" in first + cut.value.partial
    assert held.all_gone()


def test_on_a_unix_socket(driver, owned, tmp_path):
    held = Held()
    upstream = owned(Upstream(held))
    path = str(tmp_path / "s.sock")
    proxy = owned(Sidestream(driver, {**upstream.env, "MOCK_WARM_CONNECTIONS": "0", "SIDESTREAM_LISTEN": f"unix:{path}"}))
    with Client(path) as client:
        client.request("POST", MESSAGES, body_of(MESSAGES))
        held.wait()
        assert stop(proxy) == 1
        refused(client.response(), "messages")
    assert held.all_gone()


def test_all_workers(driver, owned):
    """Whichever worker a connection belongs to; those without any are not waited for in vain."""
    held = Held()
    upstream = owned(Upstream(held))
    proxy = owned(Sidestream(driver, {**upstream.env, "MOCK_WARM_CONNECTIONS": "0", "SIDESTREAM_WORKERS": "3"}))
    assert stop(proxy) == 0
    for _ in range(2):
        clients = [Client(proxy.address) for _ in range(24)]
        for client in clients:
            client.request("POST", CHAT, body_of(CHAT))
        for _ in clients:
            held.wait()
        assert stop(proxy) == len(clients)
        for client in clients:
            refused(client.response(), "chat")
            client.close()
        assert held.all_gone()
        assert ask(proxy.address, "POST", CHAT, b'{"model":"fast"}').status == 200


def test_requests_behind_it_are_served(setup):
    """From the moment of the answer on."""
    proxy, _ = setup()
    for _ in range(20):
        assert stop(proxy) == 0
        assert ask(proxy.address, "POST", CHAT, b'{"model":"m"}').status == 200


def test_only_a_post_and_only_on_the_admin_address(setup):
    held = Held()
    proxy, _ = setup(held)
    with Client(proxy.address) as client:
        client.request("POST", CHAT, body_of(CHAT))
        held.wait()
        for method in ("GET", "HEAD", "PUT", "OPTIONS"):
            response = ask(proxy.admin, method, "/stop")
            assert (response.status, response.get("allow")) == (405, "POST"), method
        assert ask(proxy.admin, "POST", "/metrics").status == 405
        assert ask(proxy.address, "POST", "/stop").status == 404
        evil = ask(proxy.admin, "POST", "/stop", b"", [("Origin", "https://evil.example")])
        assert (evil.status, evil.get("x-sidestream-error")) == (403, "origin-not-allowed")
        with Client(proxy.admin) as rebound:
            rebound.send(b"POST /stop HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n")
            assert rebound.response().status == 403
        assert proxy.counter("sidestream_requests_stopped_total") == 0
        assert stop(proxy) == 1
        refused(client.response(), "chat")


def test_while_draining(setup):
    """The grace is for requests in flight; whoever does not want to wait for them ends them."""
    held = Held()
    proxy, _ = setup(held, SIDESTREAM_DRAIN="20s")
    with Client(proxy.address) as client:
        client.request("POST", CHAT, body_of(CHAT))
        held.wait()
        proxy.signal(signal.SIGTERM)
        while ask(proxy.admin, "GET", "/readyz").status == 200:
            pass
        # When its last request has ended, it is not sure to tell how many there were.
        with contextlib.suppress(Gone):
            assert stop(proxy) == 1
        refused(client.response(), "chat")
    assert proxy.wait(PATIENCE) == 0
    assert "clean=1" in proxy.log
