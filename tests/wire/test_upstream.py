"""Group U: upstreams that close, lie, babble or break off, byte by byte from a script."""

import contextlib
import json
import signal
import socket
import threading
import time

import pytest

from support.process import Sidestream
from support.upstream import LAST_CHUNK, OK, SSE_HEAD, Upstream, answer, chunk, serve
from support.wire import Client, Truncated

CHAT = "/v1/chat/completions"
JSON = b'{"model":"m"}'
EVENT = b'data: {"n":1}\n\n'


def once(*sent: bytes, end: str = "keep"):
    """A handler: after one request the bytes, then `keep` open, `fin` or `rst`."""

    def handler(peer):
        peer.request()
        for data in sent:
            peer.send(data)
        if end == "keep":
            peer.wait_closed()
        elif end == "rst":
            peer.rst()

    return handler


# ── Answers that are none: 502 in the client's dialect, and the connection is never used again ──────────────────────

HEAD = b"HTTP/1.1 200 OK\r\n"
CL2 = b"Content-Length: 2\r\n\r\n{}"
REFUSED = {
    "U6-garbage": b"\x00\x01\x02\x03\r\n\r\n",
    "U6-icy": b"ICY 200 OK\r\nContent-Length: 0\r\n\r\n",
    "U6-http2-settings": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64" + b"\r\n\r\n",
    "U6-http2-status-line": b"HTTP/2 200\r\nContent-Length: 0\r\n\r\n",
    "U6-lower-case": b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "U6-two-digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "U6-four-digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "U6-body-first": b'{"error":"overloaded"}\r\n\r\n',
    "U6-bare-lf": b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
    "U6-nul-in-value": HEAD + b"X: a\0b\r\nContent-Length: 2\r\n\r\n{}",
    "U7-000": b"HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n",
    "U7-099": b"HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n",
    "U7-600": b"HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n",
    "U7-999": b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n",
    "U8-flood-of-interim": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 11 + OK,
    "U8-flood-of-100": b"HTTP/1.1 100 Continue\r\n\r\n" * 11 + OK,
    "U9-unsolicited-101": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n",
    "U11-plus": HEAD + b"Content-Length: +2\r\n\r\n{}",
    "U11-negative": HEAD + b"Content-Length: -2\r\n\r\n{}",
    "U11-empty": HEAD + b"Content-Length: \r\n\r\n{}",
    "U11-hex": HEAD + b"Content-Length: 0x2\r\n\r\n{}",
    "U11-overflow": HEAD + b"Content-Length: 18446744073709551618\r\n\r\n{}",
    "U11-two-differ": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}}",
    "U11-list-differ": HEAD + b"Content-Length: 2, 3\r\n\r\n{}}",
    "U11-unknown-coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\n{}",
    "U11-chunked-not-last": HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "U11-chunked-twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "U17-head-1-MiB": HEAD + b"X: " + b"a" * (1 << 20) + b"\r\nContent-Length: 0\r\n\r\n",
    "U17-1000-fields": HEAD + b"".join(b"X%d: a\r\n" % i for i in range(1000)) + b"Content-Length: 0\r\n\r\n",
    "U17-endless-head": HEAD + b"X: a\r\n" * 50000,
    "U17-endless-status-line": b"HTTP/1.1 200 " + b"a" * 300000,
}


@pytest.mark.parametrize("path, dialect", [(CHAT, "chat"), ("/v1/messages", "messages")], ids=["chat", "messages"])
@pytest.mark.parametrize("rule", REFUSED)
def test_refused(shared, rule, path, dialect):
    proxy, upstream = shared
    upstream.handler = once(REFUSED[rule])
    before = len(upstream.peers)
    with Client(proxy.address) as client:
        refused = client.ask("POST", path, JSON)
        check_502(refused, dialect)
        assert len(upstream.peers) == before + 1, "asked again, though the upstream had answered (U5)"
        assert upstream.peers[-1].gone.wait(5), "its connection is still open"
    upstream.handler = once(HEAD + b"Connection: close\r\n" + CL2, end="fin")  # leaves nothing in the pool for the next row
    with Client(proxy.address) as client:
        assert client.ask("POST", path, JSON).body == b"{}"
    assert len(upstream.peers) == before + 2


def check_502(refused, dialect="chat"):
    assert refused.status == 502, refused
    error = json.loads(refused.body)
    assert refused.get("x-sidestream-error") and error["error"]["message"], refused
    assert (error.get("type") == "error") == (dialect == "messages"), error


@pytest.fixture(scope="module")
def shared(driver):
    """One proxy for the tables; a test sets the upstream's script."""
    with Upstream() as upstream:
        proxy = Sidestream(driver, {**upstream.env, "MOCK_WARM_CONNECTIONS": "0"})
        yield proxy, upstream
        proxy.close()


# ── Answers that pass, and whether the connection is good for another ───────────────────────────────────────────────

PASSED = {
    # rule: (bytes, end, status, body, may be pooled)
    "length": (HEAD + CL2, "keep", 200, b"{}", True),
    "length-in-two-fields-no-body": (HEAD + b"Content-Length: 0\r\n\r\n", "keep", 200, b"", True),
    "chunked": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "keep", 200, b"{}", True),
    "chunked-extension": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n", "keep", 200, b"{}", True),
    "chunked-trailer": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-T: 1\r\n\r\n", "keep", 200, b"{}", True),
    "no-reason": (b"HTTP/1.1 200 \r\n" + CL2, "keep", 200, b"{}", True),
    "odd-status": (b"HTTP/1.1 599 Odd\r\n" + CL2, "keep", 599, b"{}", True),
    "connection-close": (HEAD + b"Connection: close\r\n" + CL2, "keep", 200, b"{}", False),
    "http10": (b"HTTP/1.0 200 OK\r\n" + CL2, "keep", 200, b"{}", False),
    "U14-until-close": (HEAD + b"\r\n{}", "fin", 200, b"{}", False),
    "U14-http10-until-close": (b"HTTP/1.0 200 OK\r\n\r\n{}", "fin", 200, b"{}", False),
    "U15-extra-bytes": (HEAD + CL2 + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", "keep", 200, b"{}", False),
    "U15-extra-crlf": (HEAD + CL2 + b"\r\n", "keep", 200, b"{}", False),
    "U18-204-with-body": (b"HTTP/1.1 204 No Content\r\n\r\njunk", "keep", 204, b"", False),
    "U18-204": (b"HTTP/1.1 204 No Content\r\n\r\n", "keep", 204, b"", True),
    "U18-304-with-length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "keep", 304, b"", True),
    "U18-304-with-body": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\njunk", "keep", 304, b"", False),
    "U22-429": (b"HTTP/1.1 429 X\r\nRetry-After: 7\r\n" + CL2, "keep", 429, b"{}", True),
    "U22-529": (b"HTTP/1.1 529 X\r\nRetry-After: 7\r\n" + CL2, "keep", 529, b"{}", True),
    "U22-503": (b"HTTP/1.1 503 X\r\nRetry-After: 7\r\n" + CL2, "keep", 503, b"{}", True),
    "U23-redirect": (b"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:9/steal\r\n" + CL2, "keep", 307, b"{}", True),
    "U8-early-hints": (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 10 + HEAD + CL2, "keep", 200, b"{}", True),
    "U8-continue-unasked": (b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + CL2, "keep", 200, b"{}", True),
}


@pytest.mark.parametrize("rule", PASSED)
def test_passed(setup, rule):
    sent, end, status, body, pooled = PASSED[rule]

    def handler(peer):
        while True:
            peer.request()
            peer.send(sent)
            if end == "fin":
                return

    # Retries after an answered status are another subject.
    proxy, upstream = setup(handler, MOCK_MAX_RETRIES="0")
    with Client(proxy.address) as client:
        for _ in range(2):
            response = client.ask("POST", CHAT, JSON)
            assert (response.status, response.body) == (status, body)
            if b"Retry-After" in sent:
                assert response.get("retry-after") == "7"
            if b"Location" in sent:
                assert response.get("location") == "http://127.0.0.1:9/steal"
            if b" 103 " in sent:
                assert [i.status for i in response.interim] == [103] * 10
                assert response.interim[0].get("link") == "</a>"
        assert not client.buffer
    assert len(upstream.requests) == 2
    assert len(upstream.peers) == (1 if pooled else 2), "pooled, or not, against the rule"


@pytest.mark.parametrize("body", [b"Content-Length: 2\r\n\r\n", b"Content-Length: 2\r\n\r\n{}"], ids=["clean", "with a body"])
def test_U18_head(setup, body):
    """The length a HEAD would have is kept; a body sent all the same is nobody's."""
    proxy, upstream = setup(serve(HEAD + body))
    with Client(proxy.address) as client:
        for _ in range(2):
            response = client.ask("HEAD", "/v1/files/abc")
            assert (response.status, response.get("content-length")) == (200, "2")
        assert not client.buffer
    assert [r.method for r in upstream.requests] == ["HEAD", "HEAD"]
    assert len(upstream.peers) == (2 if body.endswith(b"{}") else 1)


@pytest.mark.parametrize("order", ["cl+te", "te+cl"])
def test_U10_length_and_chunked(setup, order):
    """502, or chunked wins and the connection goes; the length never decides."""
    fields = [b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n"]
    head = HEAD + b"".join(fields if order == "cl+te" else fields[::-1])
    proxy, upstream = setup(serve(head + b"\r\n2\r\n{}\r\n0\r\n\r\n"))
    for _ in range(2):
        with Client(proxy.address) as client:
            response = client.ask("POST", CHAT, JSON)
            assert response.status == 502 or response.body == b"{}"
    assert len(upstream.peers) == 2


@pytest.mark.parametrize("client_version", [0, 1])
@pytest.mark.parametrize("upstream_framing", ["chunked", "until close"])
def test_U14_framing_for_each_client(setup, client_version, upstream_framing):
    """Chunked to HTTP/1.1, until close to HTTP/1.0, which knows no chunks."""
    sent = HEAD + (b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" if upstream_framing == "chunked" else b"\r\n{}")
    proxy, _ = setup(once(sent, end="fin"))
    with Client(proxy.address) as client:
        response = client.ask("POST", CHAT, JSON, version=client_version)
        assert response.body == b"{}"
        assert response.headers.all("transfer-encoding") == ([b"chunked"] if client_version else [])
        if client_version == 0:
            assert client.wait_closed()[0] == "fin"


# ── Bodies that break off never look complete ───────────────────────────────────────────────────────────────────────

CUT = {
    "U12-length": HEAD + b"Content-Length: 100\r\n\r\n{}",
    "U12-length-nothing-yet": HEAD + b"Content-Length: 100\r\n\r\n",
    "U13-inside-a-chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n64\r\n{}",
    "U13-inside-a-size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n6",
    "U13-between-chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "U13-before-the-blank-line": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
    "U13-bad-size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nxyz\r\n",
    "U13-data-past-its-size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}}\r\n0\r\n\r\n",
    "U13-size-without-digits": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n\r\n\r\n",
    "U13-size-overflow": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n10000000000000002\r\n{}",
}


@pytest.mark.parametrize("end", ["fin", "rst"])
@pytest.mark.parametrize("rule", CUT)
def test_truncated(shared, rule, end):
    proxy, upstream = shared
    upstream.handler = once(CUT[rule], end=end)
    before = len(upstream.peers)
    with Client(proxy.address) as client:
        try:
            response = client.ask("POST", CHAT, JSON)
        except Truncated as cut:
            assert b"{}".startswith(cut.partial[:2])
        else:  # nothing had gone to the client yet: an honest error is as good
            check_502(response)
    assert len(upstream.peers) == before + 1, "asked again after an answer had begun (U5)"


def test_U14_reset_inside_until_close(setup):
    """Until-close bodies end with FIN; a reset is not an end."""
    ready = threading.Event()

    def handler(peer):
        peer.request()
        peer.send(HEAD + b"\r\n{}")
        assert ready.wait(10)
        peer.rst()

    proxy, _ = setup(handler)
    with Client(proxy.address) as client:
        client.request("POST", CHAT, JSON)
        _, body = client.response_head()
        assert body.piece() == b"{}"
        ready.set()
        with pytest.raises(Truncated):
            body.all()


@pytest.mark.parametrize("path", [CHAT, "/v1/messages"])
@pytest.mark.parametrize("end", ["fin", "rst"])
def test_U13_cut_stream_tells_then_breaks_off(setup, path, end):
    """SSE: what had come, an error event in the client's dialect, no last chunk."""
    more = threading.Event()

    def handler(peer):
        peer.request()
        peer.send(SSE_HEAD + chunk(EVENT))
        assert more.wait(10)
        if end == "rst":
            peer.rst()

    proxy, _ = setup(handler)
    with Client(proxy.address) as client:
        client.request("POST", path, b'{"model":"m","stream":true}')
        _, body = client.response_head()
        first = body.piece()
        more.set()
        with pytest.raises(Truncated) as cut:
            body.all()
        told = (first + cut.value.partial).removeprefix(EVENT)
        assert told.startswith(b"event: error\ndata: " if path == "/v1/messages" else b"data: "), told
        data = json.loads(told.partition(b"data: ")[2])
        assert data["error"]["message"] and told.endswith(b"\n\n")


# Every framing in which an answer can come and leave, cut where an error event can stand and where none can.
STREAM = b"Content-Type: text/event-stream\r\n"
UNFINISHED = {
    # script: (head, sent before the cut, HTTP/1.x of the client, an error event can stand there)
    "until-close": (HEAD + b"\r\n", b'{"a":', 1, False),
    "until-close-to-http10": (HEAD + b"\r\n", b'{"a":', 0, False),
    "stream-until-close": (HEAD + STREAM + b"\r\n", EVENT, 1, True),
    "stream-until-close-inside-an-event": (HEAD + STREAM + b"\r\n", EVENT + b"data: {", 1, False),
    "stream-until-close-to-http10": (HEAD + STREAM + b"\r\n", EVENT, 0, True),
    "stream-until-close-inside-an-event-to-http10": (HEAD + STREAM + b"\r\n", EVENT + b"data: {", 0, False),
    "stream-chunked": (SSE_HEAD, EVENT, 1, True),
    "stream-chunked-inside-an-event": (SSE_HEAD, EVENT + b"data: {", 1, False),
    "stream-chunked-to-http10": (SSE_HEAD, EVENT, 0, True),
}
TOLD = {
    # how: (code, type in the OpenAI dialects, type in the Anthropic dialect)
    "stall": ("upstream-silent", "server_error", "timeout_error"),
    "reset": ("upstream-truncated", "server_error", "api_error"),
    "drain": ("draining", "service_unavailable_error", "overloaded_error"),
}


@pytest.mark.parametrize("how", TOLD)
def test_unfinished_answer_never_looks_complete(setup, how):
    """The upstream stalls, resets, or the grace of a drain ends. Between two events a stream tells so in the client's
    dialect; no body gets an end that the upstream did not send. All framings and dialects at once on one proxy."""
    cut = threading.Event()

    def handler(peer):
        head, sent, _, _ = UNFINISHED[peer.request().get("x-script")]
        peer.send(head + (chunk(sent) if head == SSE_HEAD else sent))
        if how == "reset":
            assert cut.wait(10)
            peer.rst()
        else:
            peer.wait_closed()

    proxy, upstream = setup(handler, MOCK_IDLE_TIMEOUT="1s" if how == "stall" else "60s", SIDESTREAM_DRAIN="300ms")
    with contextlib.ExitStack() as stack:
        open_answers = []
        for script, (_, sent, version, _) in UNFINISHED.items():
            for path in [CHAT, "/v1/messages", "/v1/responses"]:
                client = stack.enter_context(Client(proxy.address))
                client.request("POST", path, b'{"model":"m","stream":true}', [("x-script", script)], version)
                answer, body = client.response_head()
                assert (answer.status, body.framing) == (200, "chunked" if version else "close"), script
                open_answers.append((script, path, client, body))
        for script, _, _, body in open_answers:
            sent, got = UNFINISHED[script][1], b""
            while len(got) < len(sent):
                got += body.piece()
            assert got == sent
        cut.set()
        if how == "drain":
            proxy.signal(signal.SIGTERM)
        for script, path, client, _ in open_answers:
            _, _, version, tells = UNFINISHED[script]
            ended, _ = client.wait_closed(5)
            rest, where = bytes(client.buffer), (script, path)
            if not tells:
                assert rest == b"", where
                assert version or ended == "rst", f"{where}: the end of the connection ends the body"
                continue
            if version:
                size, _, rest = rest.partition(b"\r\n")
                assert rest[int(size, 16) :] == b"\r\n", f"{where}: something follows the error"
                rest = rest[:-2]
            check_error_event(rest, path, TOLD[how])
    assert len(upstream.requests) == len(open_answers)
    if how == "drain":
        assert proxy.wait(2) == 0


def check_error_event(event: bytes, path: str, told):
    """Exactly one error event of that dialect."""
    code, openai, anthropic = told
    start = b"data: " if path == CHAT else b"event: error\ndata: "
    assert event.startswith(start) and event.endswith(b"\n\n") and event.count(b"\n\n") == 1, event
    data = json.loads(event.removeprefix(start))
    message = (data if path == "/v1/responses" else data["error"]).pop("message")
    assert message
    assert data.pop("request_id", "ss-").startswith("ss-")
    assert data == {
        CHAT: {"error": {"type": openai, "param": None, "code": code}},
        "/v1/messages": {"type": "error", "error": {"type": anthropic}},
        "/v1/responses": {"type": "error", "code": code, "param": None},
    }[path]


# ── Connections that were closed while we were not looking ──────────────────────────────────────────────────────────


def closing(after_first, later=None):
    """Connection 0: one answer, then `after_first(peer)`. All others serve."""

    def handler(peer):
        if peer.number == 0:
            peer.request()
            peer.send(OK)
            after_first(peer)
        else:
            (later or serve())(peer)

    return handler


@pytest.mark.parametrize("way", ["fin", "rst", "bytes"])
def test_U1_stale_connection_is_noticed(setup, way):
    """Closed, or soiled, while idle: noticed before the next request is written. Uploads too, which cannot be repeated."""
    idle, done = threading.Event(), threading.Event()

    def close(peer):
        assert idle.wait(5)
        if way == "bytes":
            peer.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        else:
            peer.rst() if way == "rst" else peer.close()
        done.set()
        if way == "bytes":
            peer.wait_closed()

    proxy, upstream = setup(closing(close))
    with Client(proxy.address) as client:
        assert client.ask("POST", CHAT, JSON).status == 200
        assert client.ask("GET", "/").status == 200  # by now the connection is in the pool
        idle.set()
        assert done.wait(5)
        assert client.ask("POST", "/v1/files", b"not to be sent twice").body == b'{"ok":"here"}'
    assert [len(upstream.peers), len(upstream.requests)] == [2, 2]
    assert proxy.wait_counter("sidestream_upstream_stale_total", 1) == 1


@pytest.mark.parametrize("way", ["fin", "rst"])
@pytest.mark.parametrize("path, again", [(CHAT, True), ("/v1/messages", True), ("/v1/embeddings", True), ("/v1/files", False)])
def test_U2_reused_connection_fails(setup, way, path, again):
    """Lost on a reused connection before any byte of an answer: completions once more, other POSTs never."""

    def lose(peer):
        peer.request()
        if way == "rst":
            peer.rst()

    proxy, upstream = setup(closing(lose))
    with Client(proxy.address) as client:
        # Each face of a provider may have a pool of its own.
        assert client.ask("POST", path if path == "/v1/messages" else CHAT, JSON).status == 200
        response = client.ask("POST", path, JSON)
    if again:
        assert (response.status, response.get("x-sidestream-attempts")) == (200, "2")
        assert upstream.requests[1].raw_head == upstream.requests[2].raw_head
        assert upstream.requests[2].body == JSON
    else:
        check_502(response)
    assert len(upstream.requests) == (3 if again else 2)


@pytest.mark.parametrize("way", ["fin", "rst"])
def test_U3_fresh_connection_fails(setup, way):
    proxy, upstream = setup(once(end=way))
    with Client(proxy.address) as client:
        check_502(client.ask("POST", CHAT, JSON))
    assert len(upstream.requests) == len(upstream.peers) == 1


@pytest.mark.parametrize("sent", [b"H", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
@pytest.mark.parametrize("way", ["fin", "rst"])
def test_U5_no_retry_after_a_byte(setup, way, sent):
    proxy, upstream = setup(closing(once(sent, end=way)))
    with Client(proxy.address) as client:
        assert client.ask("POST", CHAT, JSON).status == 200
        check_502(client.ask("POST", CHAT, JSON))
    assert len(upstream.requests) == 2


def test_U4_connection_refused(setup):
    proxy, upstream = setup()
    upstream.listener.shutdown(socket.SHUT_RDWR)
    upstream.listener.close()
    with Client(proxy.address) as client:
        check_502(client.ask("POST", CHAT, JSON))
        check_502(client.ask("POST", CHAT, JSON))  # and the client's connection is still good


def test_U16_answer_before_the_request_is_whole(setup):
    """An upload refused early: the answer is relayed, the sending stops, the connection is not used again."""
    proxy, upstream = setup(None)

    def handler(peer):
        peer.request_head()
        if peer.number == 0:
            peer.send(answer(b'{"error":"too large"}', "413 Content Too Large"))
            peer.wait_closed()
        else:
            peer.send(OK)
            peer.wait_closed()

    upstream.handler = handler
    with Client(proxy.address) as client:
        head = b"POST /v1/files HTTP/1.1\r\nHost: %s\r\nContent-Length: 100000000\r\n\r\n" % client.authority.encode()
        client.send(head + b"x" * 1000)
        response = client.response()
        assert (response.status, response.body) == (413, b'{"error":"too large"}')
        assert response.get("connection") == "close", "the rest of the upload would be taken for the next request"
    with Client(proxy.address) as client:
        assert client.ask("GET", "/v1/files").status == 200
    assert len(upstream.peers) == 2


def test_early_answer_to_a_buffered_body_keeps_the_client(setup):
    """The upstream refuses after the head and reads no further: the body was ours to send, the client's connection is
    sound, and only the upstream's is not."""
    over = threading.Event()

    def handler(peer):
        if peer.number == 0:
            peer.request_head()
            peer.send(answer(b'{"error":"who are you"}', "401 Unauthorized"))
            assert over.wait(15)
        else:
            serve()(peer)

    proxy, upstream = setup(handler)
    with Client(proxy.address) as client:
        refused = client.ask("POST", CHAT, b'{"model":"m","x":"' + b"a" * (16 << 20) + b'"}')
        assert (refused.status, refused.body) == (401, b'{"error":"who are you"}')
        assert refused.get("connection") is None
        assert client.ask("POST", CHAT, JSON).body == b'{"ok":"here"}'
    over.set()
    assert len(upstream.peers) == 2


def test_early_answer_outlives_the_upload_that_it_ended(setup):
    """The upstream streams its answer and reads no further: the time limit of the send that was given up is gone too."""
    over = threading.Event()

    def handler(peer):
        peer.request_head()
        peer.send(SSE_HEAD)
        for _ in range(4):
            peer.send(chunk(EVENT))
            assert not over.wait(0.5)  # in all twice the limit on silence below
        peer.send(LAST_CHUNK)
        assert over.wait(15)

    proxy, _ = setup(handler, MOCK_IDLE_TIMEOUT="1s")
    with Client(proxy.address) as client:
        client.request("POST", CHAT, b'{"model":"m","x":"' + b"a" * (16 << 20) + b'"}')
        _, body = client.response_head()
        assert len(body.all().split(b"\n\n")) == 5
    over.set()


def test_upload_to_an_upstream_that_closes(setup):
    """Nothing of the rest is waited for: there is nobody to send it to."""

    def handler(peer):
        peer.request_head()[1].piece()

    proxy, upstream = setup(handler)
    with Client(proxy.address) as client:
        began = time.monotonic()
        client.send(b"POST /v1/files HTTP/1.1\r\nHost: %s\r\nContent-Length: 100\r\n\r\nabc" % client.authority.encode())
        check_502(client.response())
        assert time.monotonic() - began < 2
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1/files"])
def test_upstream_that_takes_no_more_of_the_request(setup, path):
    """504, and it says on which side the time was lost."""
    over = threading.Event()

    def handler(peer):
        assert over.wait(15)

    proxy, _ = setup(handler, MOCK_IDLE_TIMEOUT="1s")
    body = b'{"model":"m","x":"' + b"a" * (24 << 20) + b'"}'
    with Client(proxy.address) as client:

        def send():
            with contextlib.suppress(OSError):  # an upload is not read to its end
                client.request("POST", path, body)

        sender = threading.Thread(target=send)
        sender.start()
        refused = client.response()
        sender.join()
    over.set()
    assert (refused.status, refused.get("x-sidestream-error")) == (504, "upstream-send-timeout")
    assert "took no more of the request" in (said := json.loads(refused.body)["error"]["message"])
    assert "MOCK_IDLE_TIMEOUT=1s" in said


def test_streaming_answer_holds_no_request_memory(setup):
    """Once an answer has begun, the request's share of SIDESTREAM_BUFFER_MAX is free for others."""
    over = threading.Event()

    def handler(peer):
        while True:
            if b'"stream"' not in peer.request().body:
                peer.send(OK)
                continue
            peer.send(SSE_HEAD + chunk(EVENT))
            assert over.wait(15)
            peer.send(chunk(EVENT) + LAST_CHUNK)

    proxy, _ = setup(handler, SIDESTREAM_BUFFER_MAX="3MiB")
    padding = b',"x":"' + b"a" * (2 << 20) + b'"}'
    with Client(proxy.address) as streaming, Client(proxy.address) as other:
        streaming.request("POST", CHAT, b'{"model":"m","stream":true' + padding)
        _, body = streaming.response_head()
        first = body.piece()
        for _ in range(3):
            assert other.ask("POST", CHAT, b'{"model":"m"' + padding).status == 200
        over.set()
        assert first + body.all() == EVENT * 2


def test_U26_hop_by_hop_fields_of_answers(setup):
    """Named and well-known ones go; all others stay, in order, in exact bytes."""
    kept = [
        (b"Content-Type", b"application/json"),
        (b"X-Odd-CASE", b"a  b\tc"),
        (b"Set-Cookie", b"a=1; Path=/"),
        (b"x-ratelimit-remaining-requests", b"59"),
        (b"Set-Cookie", b"b=2"),
        (b"request-id", b"req_011"),
    ]
    gone = [
        (b"Connection", b"X-Foo, keep-alive"),
        (b"X-Foo", b"1"),
        (b"Keep-Alive", b"timeout=5"),
        (b"Proxy-Connection", b"x"),
        (b"Upgrade", b"h2"),
        (b"Proxy-Authenticate", b"Basic"),
    ]
    fields = [pair for both in zip(kept, gone) for pair in both]
    head = HEAD + b"".join(k + b": " + v + b"\r\n" for k, v in fields)
    proxy, upstream = setup(serve(head + CL2))
    with Client(proxy.address) as client:
        for _ in range(2):
            response = client.ask("POST", CHAT, JSON)
            assert [pair for pair in response.headers if pair in kept] == kept
            assert not {k.lower() for k, _ in gone[1:]} & {k.lower() for k, _ in response.headers}
            assert b"x-foo" not in b",".join(response.headers.all("connection")).lower()
    assert len(upstream.peers) == 1
