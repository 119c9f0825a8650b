"""TLS towards clients, by OpenSSL: what passes, who is let in, and how a connection ends."""

import os
import signal
import ssl
import time
from queue import Queue
from ssl import TLSVersion

import pytest

from support.process import Sidestream
from support.upstream import LAST_CHUNK, OK, SSE_HEAD, Upstream, answer, chunk
from support.wire import Client, Truncated, ask

CHAT, FILES = "/v1/chat/completions", "/v1/files"
JSON = b'{"model":"m"}'
EVENT = chunk(b'data: {"n":1}\n\n')
ABORT_MAX_SECS = 0.050
ROUNDS = 10


@pytest.fixture
def listening(driver, owned, authority):
    """listening(handler, **env) -> (proxy, upstream, a client's context): TLS on the client's side, none upstream."""

    def make(handler=None, **env):
        upstream, root = owned(Upstream(handler)), authority("root")
        identity = root.issue()
        env = {"SIDESTREAM_TLS_CERT": identity, "SIDESTREAM_TLS_KEY": identity, **env}
        env = {**upstream.env, "MOCK_WARM_CONNECTIONS": "0", **env}
        return owned(Sidestream(driver, env)), upstream, root.client()

    return make


@pytest.mark.parametrize("version", [TLSVersion.TLSv1_2, TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_everything_passes(listening, version):
    """JSON, a stream, a file and its echo, a pipeline, over one connection; a second one resumes its session."""
    content = os.urandom(1 << 20)

    def handler(peer):
        while True:
            request = peer.request()
            if request.target == FILES:
                peer.send(answer(request.body))
            elif b'"stream"' in request.body:
                for data in (SSE_HEAD, EVENT, EVENT, LAST_CHUNK):
                    peer.send(data)
            else:
                peer.send(OK)

    proxy, upstream, tls = listening(handler)
    tls.minimum_version = tls.maximum_version = version
    tls.set_alpn_protocols(["h2", "http/1.1"])
    with Client(proxy.address, tls=tls) as client:
        assert client.sock.selected_alpn_protocol() == "http/1.1"
        for _ in range(3):
            assert client.ask("POST", CHAT, JSON).body == b'{"ok":"here"}'
            assert client.ask("POST", CHAT, b'{"model":"m","stream":true}').body == b'data: {"n":1}\n\n' * 2
            assert client.ask("POST", FILES, content).body == content
        for _ in range(20):
            client.request("POST", CHAT, JSON)
        for _ in range(20):
            assert client.response().body == b'{"ok":"here"}'
        kept = client.sock.session
    again = tls.wrap_socket(Client(proxy.address).sock, server_hostname="localhost", session=kept)
    with again:
        assert again.session_reused
    assert proxy.counter("sidestream_client_handshake_failures_total") == 0


STRANGERS = {
    "plain HTTP": b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 13\r\n\r\n" + JSON,
    "garbage": os.urandom(4096),
    "a torn ClientHello": bytes([22, 3, 1, 2, 0, 1, 0, 1]),
    "an empty record without end": bytes([22, 3, 1, 0, 0]) * 100,
}


@pytest.mark.parametrize("rule", STRANGERS)
def test_clients_without_tls(listening, rule):
    """They get no HTTP answer, and nobody else notices."""
    proxy, upstream, tls = listening()
    with Client(proxy.address) as client, Client(proxy.address) as silent:
        client.send(STRANGERS[rule])
        if "torn" in rule:
            client.fin()
        client.wait_closed(5)
        assert b"HTTP" not in client.buffer
        with Client(proxy.address, tls=tls) as served:
            assert served.ask("POST", CHAT, JSON).status == 200
        assert silent.ended == ""
    assert proxy.wait_counter("sidestream_client_handshake_failures_total", 2) == 2
    assert len(upstream.requests) == 1
    assert ask(proxy.admin, "GET", "/healthz").status == 200, "the admin's address has no TLS"


def test_client_that_does_not_trust_us(listening, authority):
    proxy, upstream, tls = listening()
    for _ in range(3):
        with pytest.raises(ssl.SSLCertVerificationError):
            Client(proxy.address, tls=authority("stranger").client())
    with Client(proxy.address, tls=tls) as client:
        assert client.ask("POST", CHAT, JSON).status == 200
    assert proxy.wait_counter("sidestream_client_handshake_failures_total", 3) == 3


# rule: (the client's certificate, is let in)
VISITORS = {
    "its own": (lambda clients, _: clients.issue(["client.test"]), True),
    "none": (lambda *_: None, False),
    "another root's": (lambda _, root: root.issue(["client.test"]), False),
    "expired": (lambda clients, _: clients.issue(["client.test"], days=-1), False),
    "self-signed": (lambda clients, _: clients.issue(["client.test"], self_signed=True), False),
}


@pytest.mark.parametrize("version", [TLSVersion.TLSv1_2, TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("rule", VISITORS)
def test_client_certificates(listening, authority, rule, version):
    identity, welcome = VISITORS[rule]
    proxy, upstream, _ = listening(SIDESTREAM_TLS_CLIENT_CA=authority("clients").file)
    tls = authority("root").client(identity(authority("clients"), authority("root")))
    tls.minimum_version = tls.maximum_version = version
    for _ in range(2):
        try:
            # In TLS 1.3 the client's handshake is over before the server has looked at its certificate.
            with Client(proxy.address, tls=tls) as client:
                status = client.ask("POST", CHAT, JSON).status
        except (ssl.SSLError, ConnectionError) as error:
            status, told = 0, str(error)
        if welcome:
            assert status == 200
        else:
            assert status == 0 and "alert" in told.lower(), (status, told)
    assert len(upstream.requests) == (2 if welcome else 0)
    assert proxy.wait_counter("sidestream_client_handshake_failures_total", 0 if welcome else 2) == (0 if welcome else 2)


# What the upstream has sent, and how the client goes: by close_notify alone, by an end without it, by a reset.
LEAVES = ["bye", "close", "rst"]


@pytest.mark.parametrize("sent", [b"", SSE_HEAD + EVENT], ids=["before the first byte", "inside a stream"])
@pytest.mark.parametrize("way", LEAVES)
def test_abort_closes_the_upstream(listening, note, driver, way, sent):
    reached, closed = Queue(), Queue()

    def handler(peer):
        peer.request()
        peer.send(sent)
        reached.put(True)
        closed.put(peer.wait_closed()[1])

    proxy, upstream, tls = listening(handler)
    worst = 0.0
    for _ in range(ROUNDS):
        with Client(proxy.address, tls=tls) as client:
            client.request("POST", CHAT, b'{"model":"m","stream":true}')
            reached.get(timeout=5)
            if sent:
                client.response_head()[1].piece()
            left = time.monotonic()
            getattr(client, way)()
            worst = max(worst, closed.get(timeout=5) - left)
    note(f"TLS client leaves by {way} [{driver}]: upstream closed at most {worst * 1000:.1f} ms later")
    assert worst <= ABORT_MAX_SECS
    assert proxy.wait_counter("sidestream_client_aborts_total", ROUNDS) == ROUNDS
    assert len(upstream.peers) == ROUNDS


@pytest.mark.parametrize("version", [1, 0], ids=["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "cut"])
def test_end_of_an_answer(listening, whole, version):
    """A cut one lacks its last chunk; to HTTP/1.0, where the end of the connection is its end, close_notify."""
    content = os.urandom(1 << 20)

    def handler(peer):
        peer.request()
        peer.send(SSE_HEAD + chunk(content) + (LAST_CHUNK if whole else b""))

    proxy, _, tls = listening(handler)
    with Client(proxy.address, tls=tls) as client:
        client.request("POST", FILES, b"x", version=version)
        _, body = client.response_head()
        if whole:
            assert body.all() == content
        else:
            with pytest.raises(Truncated):
                body.all()
            assert version == 1 or client.ended in ("rst", "cut")


def test_client_that_does_not_read(listening):
    """Back-pressure through both sessions: what a slow reader gets is whole."""
    content = os.urandom(1 << 20) * 16
    proxy, _, tls = listening(lambda peer: (peer.request(), peer.send(answer(content)), peer.wait_closed()))
    with Client(proxy.address, receive_buffer=8192, tls=tls) as client:
        client.request("POST", FILES, b"x")
        head, body = client.response_head()
        first = body.piece()
        with Client(proxy.address, tls=tls) as other:
            assert other.ask("GET", "/").status == 200
        assert first + body.all() == content


def test_drain_says_good_bye(listening):
    """SIGTERM: an idle client hears close_notify, not a bare end."""
    proxy, _, tls = listening()
    with Client(proxy.address, tls=tls) as idle:
        assert idle.ask("POST", CHAT, JSON).status == 200
        proxy.signal(signal.SIGTERM)
        assert idle.wait_closed(5)[0] == "fin"
    assert proxy.wait(5) == 0


def test_both_sides(driver, owned, authority):
    """TLS in and TLS out, with one root for both."""
    root, content = authority("root"), os.urandom(1 << 20)
    identity = root.issue()

    def handler(peer):
        while True:
            peer.send(answer(peer.request().body))

    upstream = owned(Upstream(handler, root.server(identity)))
    env = {"SIDESTREAM_TLS_CERT": identity, "SIDESTREAM_TLS_KEY": identity, "SIDESTREAM_CA_FILE": root.file}
    proxy = owned(Sidestream(driver, {**upstream.env, **env}))
    with Client(proxy.address, tls=root.client()) as client:
        for _ in range(4):
            assert client.ask("POST", FILES, content).body == content
