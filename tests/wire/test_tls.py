"""TLS towards upstreams, by OpenSSL: what passes, whom we refuse and how the client is told, and where an answer ends."""

import json
import os
import ssl
import threading
import time
from pathlib import Path
from queue import Queue
from ssl import TLSVersion

import pytest

from support.process import Sidestream
from support.tls import BOTH
from support.upstream import LAST_CHUNK, OK, SSE_HEAD, Upstream, answer, chunk
from support.wire import Client, Truncated, ask

CHAT, MESSAGES, FILES = "/v1/chat/completions", "/v1/messages", "/v1/files"
JSON = b'{"model":"m"}'
EVENT = chunk(b'data: {"n":1}\n\n')
ABORT_MAX_SECS = 0.050
ROUNDS = 10
NO_SPARES = {"MOCK_WARM_CONNECTIONS": "0"}


def session(peer) -> dict:
    return {"version": peer.sock.version(), "alpn": peer.sock.selected_alpn_protocol(), "resumed": peer.sock.session_reused}


# ── What passes ─────────────────────────────────────────────────────────────────────────────────────────────────────

VERSIONS = {
    "1.2": (TLSVersion.TLSv1_2, TLSVersion.TLSv1_2, "TLSv1.2"),
    "1.3": (TLSVersion.TLSv1_3, TLSVersion.TLSv1_3, "TLSv1.3"),
    "both": (*BOTH, "TLSv1.3"),
}


@pytest.mark.parametrize("rule", VERSIONS)
def test_everything_passes(encrypted, authority, rule):
    """JSON, also in records of one byte, a stream, a file and its echo, a megabyte each way, all over one connection."""
    lowest, highest, version = VERSIONS[rule]
    content, sessions = os.urandom(1 << 20), []

    def handler(peer):
        sessions.append(session(peer))
        while True:
            request = peer.request()
            if request.target == FILES:
                peer.send(answer(request.body))
            elif b'"stream"' in request.body:
                for data in (SSE_HEAD, EVENT, EVENT, LAST_CHUNK):
                    peer.send(data)
            else:
                size = len(OK) if b'"whole"' in request.body else 1
                for at in range(0, len(OK), size):
                    peer.send(OK[at : at + size])

    proxy, upstream = encrypted(handler, authority("root").server(versions=(lowest, highest)))
    with Client(proxy.address) as client:
        for _ in range(3):
            assert client.ask("POST", CHAT, b'{"model":"whole"}').body == b'{"ok":"here"}'
            assert client.ask("POST", CHAT, JSON).body == b'{"ok":"here"}'
            assert client.ask("POST", CHAT, b'{"model":"m","stream":true}').body == b'data: {"n":1}\n\n' * 2
            assert client.ask("POST", FILES, content).body == content
            assert client.ask("POST", FILES, [content[:1], content[1:]]).body == content
    assert sessions == [{"version": version, "alpn": "http/1.1", "resumed": False}]
    assert proxy.counter("sidestream_upstream_connects_total") == 1
    assert proxy.counter("sidestream_upstream_reuses_total") == 14
    assert {request.get("authorization") for request in upstream.requests} == {"Bearer sk-the-providers-own"}


@pytest.mark.parametrize("offered", [[], ["http/1.1"], ["h2", "http/1.1"]], ids=["none", "http/1.1", "h2 first"])
def test_alpn(encrypted, authority, offered):
    tls, sessions = authority("root").server(), []
    tls.set_alpn_protocols(offered)

    def handler(peer):
        sessions.append(session(peer)["alpn"])
        peer.request()
        peer.send(OK)

    proxy, _ = encrypted(handler, tls)
    assert ask(proxy.address, "POST", CHAT, JSON).status == 200
    assert sessions == ["http/1.1" if offered else None]


@pytest.mark.parametrize("rule", VERSIONS)
def test_sessions_are_resumed(encrypted, authority, rule):
    """And a server that has lost its keys gets a full handshake."""
    versions, sessions = VERSIONS[rule][:2], []

    def handler(peer):
        sessions.append(session(peer)["resumed"])
        once(peer)

    root = authority("root")
    identity = root.issue()
    proxy, upstream = encrypted(handler, root.server(identity, versions))
    for _ in range(2):
        for _ in range(3):
            assert ask(proxy.address, "POST", CHAT, JSON).body == b"{}"
        upstream.tls = root.server(identity, versions)
    assert sessions == [False, True, True] * 2


def once(peer):
    """One answer for each connection, so that the next request shakes hands."""
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
    peer.bye()


# ── Whom we refuse ──────────────────────────────────────────────────────────────────────────────────────────────────

# rule: (the host in the URL, what presents itself there, what the client is told)
REFUSED = {
    "wrong address": ("127.0.0.1", lambda root, _: root.issue(["localhost", "10.0.0.1"]), "not valid for 127.0.0.1; presented: "),
    "wrong name": ("localhost", lambda root, _: root.issue(["127.0.0.1", "a.test"]), "not valid for localhost; presented: "),
    "expired": ("127.0.0.1", lambda root, _: root.issue(days=-3.5), "expired 3 days ago"),
    "self-signed": ("127.0.0.1", lambda root, _: root.issue(self_signed=True), "self-signed"),
    "unknown root": ("127.0.0.1", lambda _, other: other.issue(), "unknown issuer"),
    "unknown root, same name": ("127.0.0.1", lambda root, _: root.twin().issue(), "not signed by the trusted root that it names"),
}


@pytest.fixture(scope="module")
def by_host(driver, authority):
    """An upstream whose certificate a test sets, and a proxy for each name of its host."""
    with Upstream(once, authority("root").server()) as upstream:
        proxies = {}
        for host in ("127.0.0.1", "localhost"):
            origin = upstream.origin(host)
            env = {"MOCK_ENDPOINT_URL": origin + "/v1", "MOCK_ANTHROPIC_URL": origin, "MOCK_CA_FILE": authority("root").file}
            proxies[host] = Sidestream(driver, {**env, **NO_SPARES})
        yield upstream, proxies
        for proxy in proxies.values():
            proxy.close()


@pytest.mark.parametrize("rule", REFUSED)
def test_certificate_that_proves_nothing(by_host, authority, rule):
    upstream, proxies = by_host
    host, identity, words = REFUSED[rule]
    root = authority("root")
    upstream.tls = root.server(identity(root, authority("stranger")))
    before, served = len(upstream.peers), len(upstream.requests)
    for path in (CHAT, MESSAGES):
        refused(ask(proxies[host].address, "POST", path, JSON), path, "its certificate ", words)
    assert len(upstream.requests) == served
    assert len(upstream.peers) == before + 2, "trying again does not help"
    for peer in upstream.peers[before:]:
        assert peer.gone.wait(5)
        assert peer.refusal and "ALERT" in peer.refusal.reason, peer.refusal
    upstream.tls = root.server()
    assert ask(proxies[host].address, "POST", CHAT, JSON).status == 200, "something is remembered against it"


def refused(response, path: str, *words: str) -> str:
    """502 in the client's dialect, with these words; the message."""
    assert (response.status, response.get("x-sidestream-error")) == (502, "upstream-tls"), response
    told = json.loads(response.body)
    assert (told.get("type") == "error") == (path == MESSAGES), told
    message = told["error"]["message"]
    for word in words:
        assert word in message, message
    return message


class Two:
    """Two providers, `one` and `two`, each with its own upstream and private root."""

    names = ("one", "two")

    def __init__(self, driver, owned, authority, trust):
        self.identities = {name: authority(name).issue() for name in self.names}
        self.upstreams = {name: owned(Upstream(once, authority(name).server(self.identities[name]))) for name in self.names}
        env = {"SIDESTREAM_PROVIDERS": "one,two", "SIDESTREAM_ROUTES": "one -> one; two -> two", **trust}
        for name, upstream in self.upstreams.items():
            own = {"ENDPOINT_URL": upstream.origin() + "/v1", "API_KEY": "sk-" + name, "WARM_CONNECTIONS": "0"}
            env |= {f"{name.upper()}_{key}": value for key, value in own.items()}
        self.proxy = owned(Sidestream(driver, env))

    def ask(self, name):
        return ask(self.proxy.address, "POST", CHAT, b'{"model":"%s"}' % name.encode())

    def swap(self, authority):
        for name, other in (self.names, self.names[::-1]):
            self.upstreams[name].tls = authority(other).server(self.identities[other])


def test_private_root_of_another_provider(driver, owned, authority):
    """It vouches for its own provider alone."""
    both = Two(driver, owned, authority, {f"{name.upper()}_CA_FILE": authority(name).file for name in Two.names})
    for name in both.names:
        assert both.ask(name).status == 200
    both.swap(authority)
    for name in both.names:
        refused(both.ask(name), CHAT, f"{name} cannot be reached", "unknown issuer")
        assert len(both.upstreams[name].requests) == 1


def test_session_vouches_for_nobody_else(driver, owned, authority):
    """Both providers lead to one server, which would resume its session with either: the one that does not trust its
    root has to look at its certificate."""
    both = Two(driver, owned, authority, {f"{name.upper()}_CA_FILE": authority(name).file for name in Two.names})
    both.upstreams["two"].tls = both.upstreams["one"].tls
    resumed = []
    both.upstreams["one"].handler = lambda peer: (resumed.append(session(peer)["resumed"]), once(peer))
    for _ in range(3):
        assert both.ask("one").status == 200
    refused(both.ask("two"), CHAT, "two cannot be reached", "unknown issuer")
    assert both.ask("one").status == 200
    assert (resumed, both.upstreams["two"].requests) == ([False, True, True, True], [])


def test_roots_for_all(driver, owned, authority, tmp_path):
    """SIDESTREAM_CA_FILE, with two certificates in it."""
    file = tmp_path / "both.pem"
    file.write_text("".join(Path(authority(name).file).read_text() for name in Two.names))
    both = Two(driver, owned, authority, {"SIDESTREAM_CA_FILE": str(file)})
    for _ in range(2):
        for name in both.names:
            assert both.ask(name).status == 200
        both.swap(authority)


def test_private_root_is_not_known_by_itself(driver, owned, authority):
    upstream = owned(Upstream(tls=authority("root").server()))
    proxy = owned(Sidestream(driver, {**upstream.env, **NO_SPARES}))
    refused(ask(proxy.address, "POST", CHAT, JSON), CHAT, "unknown issuer")
    assert upstream.requests == []


# rule: (what it says to a ClientHello, what the client is told)
NOT_TLS = {
    "plain HTTP": (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "plain HTTP"),
    "mail": (b"220 mail.test ESMTP\r\n", "does not speak TLS"),
    "closes": (b"", "closed the connection during the TLS handshake"),
    "alert": (bytes([21, 3, 3, 0, 2, 2, 70]), "no version of TLS that we speak"),
    "broken": (bytes([22, 3, 3, 0, 4, 2, 0, 0, 0]), "its TLS is broken"),
}


@pytest.mark.parametrize("rule", NOT_TLS)
def test_no_tls_there(driver, owned, rule):
    sent, words = NOT_TLS[rule]
    upstream = owned(Upstream(lambda peer: (peer.fill(), peer.send(sent), peer.fin(), peer.wait_closed())))
    proxy = owned(Sidestream(driver, {"MOCK_ENDPOINT_URL": f"https://127.0.0.1:{upstream.port}/v1", **NO_SPARES}))
    refused(ask(proxy.address, "POST", CHAT, JSON), CHAT, words)
    heard = b"".join(bytes(peer.buffer) for peer in upstream.peers)
    assert heard.startswith(b"\x16\x03")
    assert not any(word in heard for word in (b"POST", b"HTTP", b"sk-the", JSON))


def test_handshake_that_does_not_end(driver, owned, authority):
    """It has a limit of its own; meanwhile others are served."""
    silent = owned(Upstream(lambda peer: peer.wait_closed()))
    spoken = owned(Upstream(tls=authority("root").server()))
    env = {"SIDESTREAM_PROVIDERS": "silent,mock", "SIDESTREAM_ROUTES": "silent -> silent; * -> mock"}
    env |= {"SILENT_ENDPOINT_URL": f"https://127.0.0.1:{silent.port}/v1", "SILENT_TLS_TIMEOUT": "500ms"}
    proxy = owned(Sidestream(driver, {**env, **spoken.env, "MOCK_CA_FILE": authority("root").file}))
    with Client(proxy.address) as waiting:
        waiting.request("POST", CHAT, b'{"model":"silent"}')
        assert ask(proxy.address, "POST", CHAT, JSON).status == 200
        late = waiting.response()
    assert (late.status, late.get("x-sidestream-error")) == (504, "upstream-tls-timeout")
    assert "TLS handshake" in (said := json.loads(late.body)["error"]["message"]) and "SILENT_TLS_TIMEOUT=500ms" in said


# ── Where an answer ends ────────────────────────────────────────────────────────────────────────────────────────────

UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nhalf of it"
# rule: (answer, how the connection ends, whether the answer is whole)
ENDS = {
    "until close, announced": (UNTIL_CLOSE, "bye", True),
    "until close, cut": (UNTIL_CLOSE, "close", False),
    "until close, reset": (UNTIL_CLOSE, "rst", False),
    "whole by its length, cut": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf of it", "close", True),
    "short by its length, announced": (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf of it", "bye", False),
    "short by its chunks, announced": (SSE_HEAD + chunk(b"half of it"), "bye", False),
    "short by its chunks, cut": (SSE_HEAD + chunk(b"half of it"), "close", False),
}


@pytest.mark.parametrize("version", [1, 0], ids=["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("rule", ENDS)
def test_cut_answer_never_looks_whole(encrypted, rule, version):
    sent, end, whole = ENDS[rule]
    received = threading.Event()

    def handler(peer):
        peer.request()
        peer.send(sent)
        received.wait(5)
        getattr(peer, end)()

    proxy, _ = encrypted(handler)
    with Client(proxy.address) as client:
        client.request("POST", FILES, b"x", version=version)
        _, body = client.response_head()
        got = b""
        if b"event-stream" not in sent:
            got = body.piece()
        received.set()
        try:
            got += body.all()
            ended = True
        except Truncated as cut:
            got += cut.partial
            ended = False
    assert ended == whole
    assert got.startswith(b"half of it")
    assert proxy.wait_counter("sidestream_upstream_truncated_total", not whole) == (not whole)


# ── A client that goes away ─────────────────────────────────────────────────────────────────────────────────────────

ABORTS = {
    "before the first byte": (b"", "close"),
    "inside the head": (b"HTTP/1.1 200 OK\r\nContent-", "close"),
    "inside a stream": (SSE_HEAD + EVENT, "close"),
    "inside a stream, reset": (SSE_HEAD + EVENT, "rst"),
    "inside a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 10, "close"),
}


@pytest.mark.parametrize("rule", ABORTS)
def test_abort_closes_the_upstream(encrypted, note, driver, rule):
    sent, way = ABORTS[rule]
    reached, closed = Queue(), Queue()

    def handler(peer):
        peer.request()
        peer.send(sent)
        reached.put(True)
        try:
            closed.put(peer.wait_closed()[1])
        except ssl.SSLError:
            closed.put(time.monotonic())

    proxy, upstream = encrypted(handler)
    worst = 0.0
    for _ in range(ROUNDS):
        with Client(proxy.address) as client:
            client.request("POST", CHAT, b'{"model":"m","stream":true}')
            reached.get(timeout=5)
            if b"\r\n\r\n" in sent:
                client.response_head()[1].piece()
            left = time.monotonic()
            getattr(client, way)()
            worst = max(worst, closed.get(timeout=5) - left)
    note(f"abort over TLS, {rule} [{driver}]: upstream closed at most {worst * 1000:.1f} ms after the client left")
    assert worst <= ABORT_MAX_SECS
    assert proxy.wait_counter("sidestream_client_aborts_total", ROUNDS) == ROUNDS
    assert len(upstream.peers) == ROUNDS


def test_abort_during_the_handshake(driver, owned):
    """The upstream says nothing to our ClientHello; the client leaves."""
    closed = Queue()
    reached = Queue()

    def handler(peer):
        peer.fill()
        reached.put(True)
        closed.put(peer.wait_closed()[1])

    upstream = owned(Upstream(handler))
    proxy = owned(Sidestream(driver, {"MOCK_ENDPOINT_URL": f"https://127.0.0.1:{upstream.port}/v1", **NO_SPARES}))
    with Client(proxy.address) as client:
        client.request("POST", CHAT, JSON)
        reached.get(timeout=5)
        left = time.monotonic()
    assert closed.get(timeout=5) - left <= ABORT_MAX_SECS
    assert proxy.wait_counter("sidestream_client_aborts_total", 1) == 1
