"""Limits of half a minute and more: run by scripts/test-long, all at once in threads."""

import threading
import time

import pytest

from support.process import DRIVERS
from support.upstream import SSE_HEAD, chunk
from support.wire import Client

CHAT = "/v1/chat/completions"


@pytest.fixture(params=DRIVERS, scope="module")
def driver(request, long):
    if not long:
        pytest.fail("run by scripts/test-long; scripts/test leaves this file out by name")
    return request.param


def test_T2_dripped_body_is_408(setup):
    """A body that stops: 408 after 30 s, and the upstream has seen nothing."""
    proxy, upstream = setup()
    with Client(proxy.address, timeout=40) as client:
        client.send(f"POST {CHAT} HTTP/1.1\r\nHost: {client.authority}\r\nContent-Length: 50\r\n\r\n{{".encode())
        began = time.monotonic()
        refused = client.response()
        assert refused.status == 408 and 28 <= time.monotonic() - began <= 34
        assert client.wait_closed()[0] == "fin"
    assert upstream.requests == []


def test_early_answer_outlives_the_clients_body_limit(setup):
    """The client withholds its upload, the upstream answers all the same: the 30 s for the body end with the answer's
    beginning."""

    def handler(peer):
        peer.request_head()
        peer.send(SSE_HEAD)
        for _ in range(36):
            peer.send(chunk(b"data: x\n\n"))
            time.sleep(1)
        peer.send(b"0\r\n\r\n")
        peer.wait_closed()

    proxy, _ = setup(handler)
    with Client(proxy.address, timeout=40) as client:
        client.send(f"POST /v1/files HTTP/1.1\r\nHost: {client.authority}\r\nContent-Length: 50\r\n\r\nabc".encode())
        _, body = client.response_head()
        assert body.all() == b"data: x\n\n" * 36


def test_T3_client_that_never_reads_is_dropped(setup):
    """Write-idle 60 s: both sides are closed."""
    closed = threading.Event()

    def handler(peer):
        peer.request()
        peer.send(SSE_HEAD)
        peer.sock.settimeout(90)
        try:
            while True:
                peer.send(chunk(b"data: " + b"x" * 60000 + b"\n\n"))
        finally:
            closed.set()

    proxy, _ = setup(handler)
    with Client(proxy.address, receive_buffer=8192) as client:
        client.request("POST", CHAT, b'{"model":"m","stream":true}')
        began = time.monotonic()
        assert closed.wait(90) and 55 <= time.monotonic() - began <= 75


@pytest.mark.parametrize("variable, sent, status", [
    ("MOCK_FIRST_BYTE_TIMEOUT", b"", 504),
    ("MOCK_IDLE_TIMEOUT", SSE_HEAD + chunk(b"data: 1\n\n"), 200),
])
def test_U19_upstream_stalls(setup, variable, sent, status):
    """Two limits: before the first byte (504), and between bytes (the stream is told, and cut)."""

    def handler(peer):
        peer.request()
        peer.send(sent)
        peer.wait_closed(30)

    proxy, _ = setup(handler, **{variable: "2s"})
    with Client(proxy.address) as client:
        client.request("POST", CHAT, b'{"model":"m","stream":true}')
        answer, body = client.response_head()
        assert answer.status == status
        if status == 200:
            with pytest.raises(Exception) as cut:
                body.all()
            assert b"error" in cut.value.partial


def test_withheld_upload_is_408_also_after_an_interim_answer(setup):
    """The upstream is alive (103), but it is the client who owes the rest: its limit (30 s) counts, and it is told."""

    def handler(peer):
        peer.request_head()
        peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        peer.wait_closed(60)

    proxy, upstream = setup(handler)
    with Client(proxy.address, timeout=40) as client:
        client.send(f"POST /v1/files HTTP/1.1\r\nHost: {client.authority}\r\nContent-Length: 50\r\n\r\nabc".encode())
        began = time.monotonic()
        refused = client.response()
        assert [i.status for i in refused.interim] == [103]
        assert refused.status == 408 and 28 <= time.monotonic() - began <= 34
        assert client.wait_closed()[0] == "fin"
    assert len(upstream.requests) == 1 and upstream.peers[0].gone.wait(5)
