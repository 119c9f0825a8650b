"""Upstreams behind an outbound HTTP proxy (CONNECT): which way is taken, who sees which credential, and how a client is
told of a proxy that does not want to."""

import base64
import json
import os
import socket
import time
from queue import Queue

import pytest

from support.process import DRIVERS, Sidestream
from support.proxy import ConnectProxy
from support.upstream import LAST_CHUNK, OK, SSE_HEAD, Upstream, answer, chunk
from support.wire import Client, ask

CHAT, MESSAGES, FILES = "/v1/chat/completions", "/v1/messages", "/v1/files"
JSON = b'{"model":"m"}'
HOST = "upstream.test"  # a name that only the proxy knows
USER, PASSWORD = "corp-user", "s3cret/p@ss"
USERINFO = "corp-user:s3cret%2Fp%40ss"
KEY = "sk-the-providers-own"
ABORT_MAX_SECS = 0.050
# What must be seen by nobody but the proxy.
SECRETS = (PASSWORD, "s3cret", base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())


@pytest.fixture
def behind(driver, owned, authority):
    """behind(env of a proxy's URL, handler, refusal) -> (sidestream, proxy, upstream): HTTPS to HOST, and a proxy that can
    lead there."""

    def make(env, handler=None, refusal=None, host=HOST):
        root = authority("root")
        upstream = owned(Upstream(handler, root.server(root.issue([HOST, "127.0.0.1"]))))
        proxy = owned(ConnectProxy(upstream.port, refusal))
        origin = upstream.origin(host)
        env = {"MOCK_ENDPOINT_URL": origin + "/v1", "MOCK_ANTHROPIC_URL": origin, "MOCK_CA_FILE": root.file, **env(proxy)}
        env = {"SIDESTREAM_LOG": "debug", "MOCK_WARM_CONNECTIONS": "0", **env}
        return owned(Sidestream(driver, env)), proxy, upstream

    return make


def own(proxy) -> dict:
    return {"MOCK_PROXY": proxy.url(USERINFO)}


# ── Which way ───────────────────────────────────────────────────────────────────────────────────────────────────────

# rule: (variables for a proxy's URL, the upstream's host, whether the proxy is asked)
WAYS = {
    "{NAME}_PROXY": (lambda url: {"MOCK_PROXY": url}, HOST, True),
    "{NAME}_PROXY without http://": (lambda url: {"MOCK_PROXY": url.removeprefix("http://")}, HOST, True),
    "{NAME}_PROXY for this machine": (lambda url: {"MOCK_PROXY": url}, "127.0.0.1", True),
    "{NAME}_PROXY against NO_PROXY": (lambda url: {"MOCK_PROXY": url, "NO_PROXY": "*"}, HOST, True),
    "HTTPS_PROXY": (lambda url: {"HTTPS_PROXY": url}, HOST, True),
    "https_proxy": (lambda url: {"https_proxy": url}, HOST, True),
    "HTTPS_PROXY, other NO_PROXY": (lambda url: {"HTTPS_PROXY": url, "NO_PROXY": "other.test, localhost"}, HOST, True),
    "HTTPS_PROXY for this machine": (lambda url: {"HTTPS_PROXY": url}, "127.0.0.1", False),
    "NO_PROXY": (lambda url: {"HTTPS_PROXY": url, "NO_PROXY": HOST}, HOST, False),
    "NO_PROXY by domain": (lambda url: {"HTTPS_PROXY": url, "NO_PROXY": "a.test,.test"}, HOST, False),
    "{NAME}_PROXY=off": (lambda url: {"HTTPS_PROXY": url, "MOCK_PROXY": "off"}, HOST, False),
    "HTTP_PROXY": (lambda url: {"HTTP_PROXY": url, "ALL_PROXY": url}, "127.0.0.1", False),
}


@pytest.mark.parametrize("driver", DRIVERS[:1])  # read once, at the start
@pytest.mark.parametrize("rule", WAYS)
def test_way(behind, rule):
    variables, host, asked = WAYS[rule]
    sidestream, proxy, upstream = behind(lambda proxy: variables(proxy.url()), host=host)
    response = ask(sidestream.address, "POST", CHAT, JSON)
    if asked or host != HOST:
        assert response.status == 200, response
        assert len(upstream.requests) == 1
    else:
        # Sent to a name that nobody knows here: the proxy was passed by.
        assert response.get("x-sidestream-error") in ("upstream-name", "upstream-connect-timeout"), response
    assert [request.target for request in proxy.requests] == [f"{host}:{upstream.port}"] * asked


def test_plain_upstream_is_reached_by_connect_too(driver, owned):
    """{NAME}_PROXY is obeyed without TLS as well: the proxy sees no more of it than it must."""
    upstream = owned(Upstream())
    proxy = owned(ConnectProxy(upstream.port))
    env = {"MOCK_ENDPOINT_URL": f"http://{HOST}:{upstream.port}/v1", "MOCK_PROXY": proxy.url(USERINFO)}
    sidestream = owned(Sidestream(driver, {**env, "MOCK_WARM_CONNECTIONS": "0"}))
    assert ask(sidestream.address, "POST", CHAT, JSON).status == 200
    assert [request.method for request in proxy.requests] == ["CONNECT"]
    seen_by_upstream(upstream)


def seen_by_upstream(upstream) -> None:
    """The provider's key, and nothing of the proxy's."""
    for request in upstream.requests:
        assert request.get("authorization") == "Bearer " + KEY
        assert not [name for name in request.headers.names if name.startswith("proxy-")]
        assert not any(secret.encode() in request.raw_head for secret in SECRETS)


def test_everything_passes(behind):
    """JSON, a stream, a file and its echo; one tunnel for all of them; the credentials go to the proxy alone."""
    content, event = os.urandom(1 << 20), chunk(b'data: {"n":1}\n\n')

    def handler(peer):
        while True:
            request = peer.request()
            if request.target == FILES:
                peer.send(answer(request.body))
            elif b'"stream"' in request.body:
                for data in (SSE_HEAD, event, event, LAST_CHUNK):
                    peer.send(data)
            else:
                peer.send(OK)

    sidestream, proxy, upstream = behind(own, handler)
    with Client(sidestream.address) as client:
        for _ in range(3):
            assert client.ask("POST", CHAT, JSON).body == b'{"ok":"here"}'
            assert client.ask("POST", CHAT, b'{"model":"m","stream":true}').body == b'data: {"n":1}\n\n' * 2
            assert client.ask("POST", FILES, content).body == content
    (request,) = proxy.requests
    authority = f"{HOST}:{upstream.port}"
    assert (request.method, request.target, request.get("host")) == ("CONNECT", authority, authority)
    expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert request.get("proxy-authorization") == expected
    assert KEY.encode() not in request.raw_head
    assert len(upstream.requests) == 9
    seen_by_upstream(upstream)
    silent(sidestream)


def silent(sidestream, *responses) -> None:
    """Neither log, nor metrics, nor answers tell a credential."""
    told = [sidestream.log.encode(), ask(sidestream.admin, "GET", "/metrics").body]
    told += [response.raw_head + response.body for response in responses]
    for text in told:
        assert not any(secret.encode() in text for secret in (*SECRETS, KEY)), text


def test_the_tunnels_end_is_who_it_says(driver, owned, authority):
    """The proxy leads elsewhere: the certificate tells."""
    root = authority("root")
    upstream = owned(Upstream(tls=root.server(root.issue(["elsewhere.test"]))))
    proxy = owned(ConnectProxy(upstream.port))
    env = {"MOCK_ENDPOINT_URL": f"https://{HOST}/v1", "MOCK_CA_FILE": root.file, "MOCK_PROXY": proxy.url()}
    sidestream = owned(Sidestream(driver, {**env, "MOCK_WARM_CONNECTIONS": "0"}))
    refused = ask(sidestream.address, "POST", CHAT, JSON)
    assert (refused.status, refused.get("x-sidestream-error")) == (502, "upstream-tls"), refused
    assert f"not valid for {HOST}" in json.loads(refused.body)["error"]["message"]
    assert [request.target for request in proxy.requests] == [f"{HOST}:443"]
    assert upstream.requests == []


# ── Proxies that do not want to ─────────────────────────────────────────────────────────────────────────────────────

ECHO = f"<p>{USER}:{PASSWORD} is not welcome</p>".encode()
BODY = b"Content-Length: %d\r\n\r\n%s" % (len(ECHO), ECHO)
WHO = b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\n"
# rule: (answer to CONNECT, with credentials, what the client is told)
REFUSALS = {
    "407, none presented": (WHO + BODY, False, "it wants credentials (status 407)"),
    "407": (WHO + BODY, True, "does not accept the credentials"),
    "403": (b"HTTP/1.1 403 No\r\n" + BODY, True, "status 403"),
    "502": (b"HTTP/1.1 502 Bad Gateway\r\n" + BODY, True, "status 502"),
    "503": (b"HTTP/1.0 503 Busy\r\nRetry-After: 5\r\n\r\n" + ECHO, True, "status 503"),
    "101": (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", True, "switched protocols"),
    "no HTTP": (b"\x05\xff\r\n\r\n", True, "not HTTP/1.1"),
    "speaks for the upstream": (b"HTTP/1.1 200 OK\r\n\r\n" + OK, True, "bytes behind the head"),
    "half an answer": (b"HTTP/1.1 200 Conn", True, "closed the connection"),
    "nothing": (b"", True, "closed the connection"),
}


@pytest.mark.parametrize("rule", REFUSALS)
def test_refusal(behind, rule):
    refusal, presents, words = REFUSALS[rule]
    sidestream, proxy, upstream = behind(own if presents else lambda proxy: {"MOCK_PROXY": proxy.url()}, refusal=refusal)
    told = []
    for path in (CHAT, MESSAGES):
        told.append(ask(sidestream.address, "POST", path, JSON))
        assert (told[-1].status, told[-1].get("x-sidestream-error")) == (502, "upstream-proxy"), told[-1]
        body = json.loads(told[-1].body)
        assert (body.get("type") == "error") == (path == MESSAGES)
        message = body["error"]["message"]
        assert words in message and f"the proxy 127.0.0.1:{proxy.port} opened no tunnel" in message, message
    silent(sidestream, *told)
    assert upstream.peers == []
    proxy.refusal = None
    assert ask(sidestream.address, "POST", CHAT, JSON).status == 200


def test_nobody_is_there(driver, owned):
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        env = {"MOCK_ENDPOINT_URL": f"https://{HOST}/v1", "MOCK_PROXY": f"http://{USERINFO}@127.0.0.1:{port}"}
        sidestream = owned(Sidestream(driver, {**env, "SIDESTREAM_LOG": "debug"}))
        refused = ask(sidestream.address, "POST", CHAT, JSON)
        assert (refused.status, refused.get("x-sidestream-error")) == (502, "upstream-connect"), refused
        assert f"127.0.0.1:{port} refuses connections" in json.loads(refused.body)["error"]["message"]
        silent(sidestream, refused)


def test_proxy_that_says_nothing(driver, owned):
    proxy = owned(Upstream(lambda peer: (peer.request_head(), peer.wait_closed())))
    env = {"MOCK_ENDPOINT_URL": f"https://{HOST}/v1", "MOCK_PROXY": f"http://{USERINFO}@127.0.0.1:{proxy.port}"}
    sidestream = owned(Sidestream(driver, {**env, "MOCK_CONNECT_TIMEOUT": "300ms", "SIDESTREAM_LOG": "debug"}))
    late = ask(sidestream.address, "POST", CHAT, JSON)
    assert (late.status, late.get("x-sidestream-error")) == (504, "upstream-connect-timeout"), late
    assert "the proxy opened no tunnel" in (said := json.loads(late.body)["error"]["message"])
    assert "MOCK_CONNECT_TIMEOUT=300ms" in said
    silent(sidestream, late)


def test_stale_tunnel_is_replaced(behind):
    """The upstream closes behind each answer: a new tunnel, and no error."""

    def handler(peer):
        peer.request()
        peer.send(OK)
        peer.bye()

    sidestream, proxy, upstream = behind(own, handler)
    with Client(sidestream.address) as client:
        for _ in range(20):
            assert client.ask("POST", CHAT, JSON).status == 200
    assert len(proxy.requests) == 20 == len(upstream.requests)


@pytest.mark.parametrize("sent", [b"", SSE_HEAD + chunk(b"data: 1\n\n")], ids=["before the first byte", "inside a stream"])
def test_abort_closes_the_tunnel(behind, sent):
    reached, closed = Queue(), Queue()

    def handler(peer):
        peer.request()
        peer.send(sent)
        reached.put(True)
        try:
            peer.wait_closed()
        finally:
            closed.put(time.monotonic())

    sidestream, _, _ = behind(own, handler)
    for _ in range(5):
        with Client(sidestream.address) as client:
            client.request("POST", CHAT, b'{"model":"m","stream":true}')
            reached.get(timeout=5)
            if sent:
                client.response_head()[1].piece()
            left = time.monotonic()
        assert closed.get(timeout=5) - left <= ABORT_MAX_SECS
    assert sidestream.wait_counter("sidestream_client_aborts_total", 5) == 5
