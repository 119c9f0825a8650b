"""Same dialect in and out: the bytes pass untouched, at once, in both directions and in every framing."""

import hashlib
import json
import queue
import random
import socket
import threading
import time

import pytest

from support.process import ROOT, Sidestream
from support.sse import Reader
from support.upstream import LAST_CHUNK, OK, SSE_HEAD, Upstream, answer, chunk
from support.wire import Client

CAPTURES = sorted(p.stem for p in (ROOT / "tests/data/captures").glob("*.body"))
CREDENTIALS = {"authorization", "x-api-key", "api-key", "x-goog-api-key"}
HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade", "trailer"}
OURS = CREDENTIALS | HOP_BY_HOP | {"host", "content-length", "accept-encoding", "expect"}


def ok(peer):
    peer.send(OK)


def capture(name: str):
    folder = ROOT / "tests/data/captures"
    meta = json.loads((folder / f"{name}.json").read_text())
    return meta["target"], [(k, v) for k, v in meta["headers"]], (folder / f"{name}.body").read_bytes()


@pytest.fixture(scope="module")
def shared(driver):
    """One proxy for the tables. A test sets what the upstream does after it has read a request."""

    def handler(peer):
        while True:
            peer.request()
            upstream.reply(peer)

    with Upstream(handler) as upstream:
        upstream.reply = ok
        proxy = Sidestream(driver, {**upstream.env, "SIDESTREAM_ROUTES": "alias-* -> mock/the-real/model:1; * -> mock"})
        yield proxy, upstream
        proxy.close()


def send(proxy, target, headers, body, framing):
    with Client(proxy.address) as client:
        left = [(k, v) for k, v in headers if k.lower() not in ("host", "content-length", "connection")]
        if framing == "chunked":
            rng = random.Random(len(body))
            body = list(split(body, rng, 4000))
        return client.ask("POST", target, body, left)


def split(data: bytes, rng: random.Random, most: int):
    at = 0
    while at < len(data):
        size = rng.randint(1, most)
        yield data[at : at + size]
        at += size


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("name", CAPTURES)
def test_captured_request_arrives_byte_for_byte(shared, name, framing):
    proxy, upstream = shared
    target, headers, body = capture(name)
    response = send(proxy, target, headers, body, framing)
    assert (response.status, response.body) == (200, b'{"ok":"here"}')
    request = upstream.requests[-1]
    assert (request.method, request.target) == ("POST", target)
    assert request.body == body
    kept = [(k.encode(), v.encode()) for k, v in headers if k.lower() not in OURS]
    assert [(k, v) for k, v in request.headers if (k.lower(), v) in {(a.lower(), b) for a, b in kept}] == kept
    assert request.get("host") == f"127.0.0.1:{upstream.port}"


@pytest.mark.parametrize("name", CAPTURES)
def test_alias_changes_the_model_and_nothing_else(shared, name):
    proxy, upstream = shared
    target, headers, body = capture(name)
    model = json.loads(body)["model"]
    needle = json.dumps(model).encode()
    aliased = body.replace(needle, b'"alias-x"', 1)
    assert json.loads(aliased)["model"] == "alias-x"
    assert send(proxy, target, headers, aliased, "length").status == 200
    assert upstream.requests[-1].body == body.replace(needle, b'"the-real/model:1"', 1)


ODD_BODIES = {
    "white-space": b' {\r\n\t"model" :\n "alias-x" , "x": [ ] }\r\n',
    "escaped-key": b'{"\\u006dodel":"alias-x"}',
    "escaped-value": b'{"model":"\\u0061lias-x"}',
    "nested-model": b'{"a":{"model":"no"},"model":"alias-x","b":[{"model":"no"}]}',
    "model-in-a-string": b'{"a":"\\"model\\":\\"no\\"","model":"alias-x"}',
    "lone-surrogate": b'{"x":"\\ud83d","model":"alias-x"}',
    "huge-numbers": b'{"x":123456789012345678901234567890,"y":1e400,"model":"alias-x"}',
    "invalid-utf8-in-a-string": b'{"x":"\xff\xfe","model":"alias-x"}',
    "byte-order-mark": b'\xef\xbb\xbf{"model":"alias-x"}',
    "duplicate-elsewhere": b'{"x":{"a":1,"a":2},"y":1,"y":2,"model":"alias-x"}',
    "model-last-after-1-MiB": b'{"x":"' + b"a" * (1 << 20) + b'","model":"alias-x"}',
}


@pytest.mark.parametrize("name", ODD_BODIES)
def test_odd_bodies_are_spliced_not_rewritten(shared, name):
    proxy, upstream = shared
    body = ODD_BODIES[name]
    assert send(proxy, "/v1/chat/completions", [], body, "length").status == 200
    spelled = b'"\\u0061lias-x"' if name == "escaped-value" else b'"alias-x"'
    assert upstream.requests[-1].body == body.replace(spelled, b'"the-real/model:1"', 1)


NOT_JSON = {
    "empty": b"",
    "not-json": b"hello",
    "cut": b'{"model":"alias-x"',
    "trailing-comma": b'{"model":"alias-x",}',
    "two-documents": b'{"model":"alias-x"}{}',
    "two-models": b'{"model":"alias-x","model":"b"}',
    "two-models-one-escaped": b'{"model":"alias-x","mode\\u006c":"b"}',
    "array": b'["model"]',
    "too-deep": b'{"model":"alias-x","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "model-1-MiB": b'{"model":"' + b"a" * (1 << 20) + b'"}',
}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("name", NOT_JSON)
def test_bodies_without_members_are_refused(shared, name, path):
    proxy, upstream = shared
    before = len(upstream.requests)
    refused = send(proxy, path, [], NOT_JSON[name], "length")
    assert refused.status == 400 and refused.get("x-sidestream-error"), refused
    error = json.loads(refused.body)
    assert (error.get("type") == "error") == (path == "/v1/messages") and error["error"]["message"]
    assert len(upstream.requests) == before


@pytest.mark.parametrize(
    "path, credential",
    [
        ("/v1/chat/completions", [("Authorization", "Bearer the-clients-own")]),
        ("/v1/messages", [("x-api-key", "the-clients-own")]),
        ("/v1/messages", [("Authorization", "Bearer the-clients-own"), ("X-API-KEY", "the-clients-own")]),
        ("/v1/chat/completions", [("x-sidestream-token", "the-clients-own"), ("api-key", "the-clients-own")]),
    ],
)
def test_credentials_are_the_providers(shared, path, credential):
    """The provider's key in the face's own field, once; nothing of the client's."""
    proxy, upstream = shared
    others = [("X-One", "1"), *credential, ("X-Two", "a  b\tc"), ("x-ONE", "2"), ("User-Agent", "any/1")]
    send(proxy, path, others, b'{"model":"m"}', "length")
    request = upstream.requests[-1]
    assert b"the-clients-own" not in request.raw_head
    field, value = ("x-api-key", "sk-the-providers-own") if path == "/v1/messages" else ("authorization", "Bearer sk-the-providers-own")
    assert request.get(field) == value
    assert request.raw_head.count(b"sk-the-providers-own") == 1
    kept = [(b"X-One", b"1"), (b"X-Two", b"a  b\tc"), (b"x-ONE", b"2"), (b"User-Agent", b"any/1")]
    assert [pair for pair in request.headers if pair in kept] == kept


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/files"])
@pytest.mark.parametrize("key", ["sk-the-providers-own", "client"])
def test_secrets_of_the_client_reach_nobody_else(setup, key, path):
    """With a key of the provider's none of them passes; MOCK_API_KEY=client passes all, as they are."""
    secrets = [
        (b"Authorization", b"Bearer the-clients-own"),
        (b"x-api-key", b"the-clients-own"),
        (b"API-Key", b"the-clients-own"),
        (b"x-goog-api-key", b"the-clients-own"),
        (b"Cookie", b"session=the-clients-own"),
    ]
    proxy, upstream = setup(MOCK_API_KEY=key)
    headers = [(name.decode(), value.decode()) for name, value in secrets]
    assert send(proxy, path, headers, b'{"model":"m"}', "length").status == 200
    request = upstream.requests[-1]
    if key == "client":
        assert [pair for pair in request.headers if b"the-clients-own" in pair[1]] == secrets
        assert b"sk-the-providers-own" not in request.raw_head
    else:
        assert b"the-clients-own" not in request.raw_head
        names = {name.lower() for name, _ in secrets}
        ours = [pair for pair in request.headers if pair[0].lower() in names]
        assert ours in ([(b"x-api-key", key.encode())], [(b"authorization", b"Bearer " + key.encode())])


def test_response_bytes_are_the_upstreams(shared):
    """Status, reason-independent head fields and body pass; our own come beside them."""
    proxy, upstream = shared
    body = json.dumps({"text": "é\ud83d", "n": 1e300}, ensure_ascii=True).encode() + b"\n \t"
    made = answer(body, "201 Made", "X-A: 1\r\nopenai-processing-ms: 12\r\nx-A: 2\r\n")
    upstream.reply = lambda peer: peer.send(made)
    response = send(proxy, "/v1/chat/completions", [], b'{"model":"m"}', "length")
    assert (response.status, response.body) == (201, body)
    assert [v for k, v in response.headers if k.lower() == b"x-a"] == [b"1", b"2"]
    assert response.get("openai-processing-ms") == "12"
    upstream.reply = ok


ODD_STREAM = (
    b"\xef\xbb\xbf: a comment\n\nevent: x\ndata: 1\n\ndata:no space\r\n\r\ndata: a\rdata: b\r\r"
    b"id: 7\nretry: 10\nunknown: y\ndata\n\ndata: \xe2\x82\xac and \xff\n\ndata: [DONE]\n\n"
)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_sse_bytes_are_equal_for_every_split(shared, step):
    proxy, upstream = shared

    def reply(peer):
        peer.send(SSE_HEAD)
        for at in range(0, len(ODD_STREAM), step):
            peer.send(chunk(ODD_STREAM[at : at + step]))
        peer.send(LAST_CHUNK)

    upstream.reply = reply
    response = send(proxy, "/v1/chat/completions", [], b'{"model":"m","stream":true}', "length")
    assert response.body == ODD_STREAM
    assert response.get("content-type") == "text/event-stream"
    events = Reader().push(response.body)
    assert [data for _, data, _ in events] == ["1", "no space", "a\nb", "", "€ and \ufffd", "[DONE]"]
    upstream.reply = ok


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_each_event_arrives_before_the_next_is_sent(setup, path):
    """Lock-step: the upstream sends an event only when the client has read the one before. No timing: a proxy that
    holds anything back stops here for good."""
    turn: queue.Queue = queue.Queue()

    def handler(peer):
        peer.request()
        peer.send(SSE_HEAD)
        for number in range(50):
            peer.send(chunk(b"event: e\ndata: {\"n\":%d}\n\n" % number))
            turn.get(timeout=10)
        peer.send(LAST_CHUNK)

    proxy, _ = setup(handler)
    with Client(proxy.address) as client:
        client.request("POST", path, b'{"model":"m","stream":true}')
        _, body = client.response_head()
        for number in range(50):
            data = b""
            while not data.endswith(b"\n\n"):
                data += body.piece()
            assert data == b"event: e\ndata: {\"n\":%d}\n\n" % number
            turn.put(number)
        assert body.piece() == b""


# ── Bodies without a model: streamed both ways ──────────────────────────────────────────────────────────────────────


@pytest.mark.timeout(600)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_uploads(setup, note, driver, long, framing):
    """Random sizes, random splits: equal hashes, the framing kept, never buffered whole."""
    hashes: queue.Queue = queue.Queue()

    def handler(peer):
        while True:
            request, body = peer.request_head()
            digest, size = hashlib.sha256(), 0
            for data in body:
                digest.update(data)
                size += len(data)
            hashes.put((digest.hexdigest(), size, request.get("content-length")))
            peer.send(answer(b"{}"))

    proxy, _ = setup(handler, SIDESTREAM_BODY_MAX="128MiB")
    rng = random.Random(7)
    for size in sizes(rng, long):
        content = rng.randbytes(size)
        with Client(proxy.address, timeout=60) as client:
            head = f"POST /v1/files HTTP/1.1\r\nHost: {client.authority}\r\n"
            if framing == "length":
                client.send(f"{head}Content-Length: {size}\r\n\r\n".encode())
            else:
                client.send(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            for part in split(content, rng, max(10, size // 50)):
                client.send(part if framing == "length" else chunk(part))
            if framing == "chunked":
                client.send(LAST_CHUNK)
            assert client.response().status == 200
        expected = str(size) if framing == "length" else None
        assert hashes.get(timeout=10) == (hashlib.sha256(content).hexdigest(), size, expected)
    note(f"uploads, {framing} [{driver}]: {sum(sizes(random.Random(7), long)) >> 20} MiB, resident {proxy.resident_kib()} KiB")
    assert proxy.resident_kib() < 64 << 10


@pytest.mark.timeout(600)
@pytest.mark.parametrize("framing", ["length", "chunked", "until close"])
def test_downloads(setup, note, driver, long, framing):
    rng = random.Random(11)
    todo = [(size, rng.randbytes(size)) for size in sizes(rng, long)]
    served = iter(todo)

    def handler(peer):
        while True:
            peer.request()
            size, content = next(served)
            kind = {"length": f"Content-Length: {size}\r\n", "chunked": "Transfer-Encoding: chunked\r\n"}.get(framing, "")
            peer.sock.settimeout(60)
            peer.send(f"HTTP/1.1 200 OK\r\n{kind}\r\n".encode())
            for part in split(content, rng, max(10, size // 50)):
                peer.send(chunk(part) if framing == "chunked" else part)
            if framing == "chunked":
                peer.send(LAST_CHUNK)
            if framing == "until close":
                return

    proxy, _ = setup(handler)
    for size, content in todo:
        with Client(proxy.address, timeout=60) as client:
            response = client.ask("GET", "/v1/files/f/content")
            assert hashlib.sha256(response.body).digest() == hashlib.sha256(content).digest(), size
            assert response.get("content-length") == (str(size) if framing == "length" else None)
    note(f"downloads, {framing} [{driver}]: {sum(s for s, _ in todo) >> 20} MiB, resident {proxy.resident_kib()} KiB")
    assert proxy.resident_kib() < 64 << 10


def sizes(rng: random.Random, long: bool) -> list[int]:
    most = 64 << 20 if long else 8 << 20
    return [0, 1, 2, 4095, 65536, 65537, *(int(2 ** rng.uniform(0, 20)) for _ in range(10)), rng.randint(most // 2, most), most]


def test_upload_reaches_the_upstream_as_it_comes(setup):
    """Streamed: the upstream has the first half before the client has sent the second."""
    half = threading.Event()

    def handler(peer):
        _, body = peer.request_head()
        size = 0
        while size < 1000:
            size += len(body.piece())
        half.set()
        while size < 2000:
            size += len(body.piece())
        peer.send(answer(b"{}"))

    proxy, _ = setup(handler)
    with Client(proxy.address) as client:
        client.send(f"POST /v1/files HTTP/1.1\r\nHost: {client.authority}\r\nContent-Length: 2000\r\n\r\n".encode() + b"a" * 1000)
        assert half.wait(5), "the upload is held back"
        client.send(b"b" * 1000)
        assert client.response().status == 200


def test_many_small_chunks_to_an_upstream_that_reads_in_bursts(setup):
    """What comes from the client while the proxy is sending is news too: nothing waits for bytes that are here."""
    piece, count = b"0123456789" * 30, (2 << 20) // 300

    def handler(peer):
        request, body = peer.request_head()
        digest, size, burst = hashlib.sha256(), 0, 0
        for data in body:
            digest.update(data)
            size += len(data)
            if size >= burst:
                burst = size + (100 << 10)
                time.sleep(0.01)  # the pause is the subject: the proxy's writes stand still meanwhile
        peer.send(answer(f"{size} {digest.hexdigest()}".encode()))

    proxy, upstream = setup(handler)
    upstream.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)  # its connections have it too
    with Client(proxy.address) as client:
        client.send(f"POST /v1/files HTTP/1.1\r\nHost: {client.authority}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(count):
            client.send(chunk(piece))
        client.send(LAST_CHUNK)
        response = client.response()
    whole = piece * count
    assert response.body == f"{len(whole)} {hashlib.sha256(whole).hexdigest()}".encode()
