"""Hedging: a late first token sends a second copy to the next candidate, and whichever speaks first answers."""

import json
import threading
import time

import pytest

from support.fleet import Fleet, many
from support.upstream import LAST_CHUNK, SSE_HEAD, answer, chunk
from support.wire import Client, ask

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
TELLS = b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\ndata: [DONE]\n\n'
SLOW_S = 0.8


class Pair:
    """Candidate `first` answers at once until it is told to be slow or to fail; `second` as it is told."""

    def __init__(self):
        self.slow = threading.Event()
        self.fails = threading.Event()
        self.second_fails = threading.Event()

    def __call__(self, request) -> bytes:
        name = request.target.split("/")[1]
        streams = json.loads(request.body).get("stream")
        if name == "first" and self.slow.is_set():
            time.sleep(SLOW_S)
        if (name == "first" and self.fails.is_set()) or (name == "second" and self.second_fails.is_set()):
            return answer(b'{"error":{"message":"no"}}', "503 X")
        if streams:
            return SSE_HEAD + chunk(TELLS % name.encode()) + LAST_CHUNK
        return answer(json.dumps({"from": name}).encode())


@pytest.fixture
def pair(driver, owned):
    def make(hedge: str, **env):
        told = Pair()
        fleet = owned(Fleet(told))
        faces = {**fleet.faces("first", "openai"), **fleet.faces("second", "openai")}
        settings = {**faces, "SIDESTREAM_PROVIDERS": "first,second", "SIDESTREAM_ROUTES": "* -> first, second", "SIDESTREAM_HEDGE": hedge, "FIRST_WARM_CONNECTIONS": "0", "SECOND_WARM_CONNECTIONS": "0", **env}
        return owned(many(settings, driver)), fleet, told

    return make


def body(streams: bool) -> bytes:
    return json.dumps({"model": "m", "stream": streams}).encode()


def learn(proxy, streams=False, times=30):
    for _ in range(times):
        assert ask(proxy.address, "POST", CHAT, body(streams)).get("x-sidestream-provider") == "first"


@pytest.mark.parametrize("streams", [False, True])
def test_the_second_speaks_first(pair, streams):
    proxy, fleet, told = pair("10")
    learn(proxy, streams)
    told.slow.set()
    began = time.monotonic()
    response = ask(proxy.address, "POST", CHAT, body(streams))
    assert time.monotonic() - began < SLOW_S
    assert (response.status, response.get("x-sidestream-provider"), response.get("x-sidestream-attempts")) == (200, "second", "2")
    assert b"second" in response.body and b"first" not in response.body
    metrics = proxy.metrics()
    assert metrics['sidestream_upstream_hedges_total{provider="second"}'] == 1
    assert metrics['sidestream_upstream_hedges_won_total{provider="second"}'] == 1


def test_the_loser_is_ended(pair):
    proxy, fleet, told = pair("10")
    learn(proxy)
    told.slow.set()
    assert ask(proxy.address, "POST", CHAT, body(False)).get("x-sidestream-provider") == "second"
    # Its answer comes to a closed connection; the next request needs a new one.
    time.sleep(SLOW_S)
    told.slow.clear()
    before = len(fleet.peers)
    assert ask(proxy.address, "POST", CHAT, body(False)).get("x-sidestream-provider") == "first"
    assert len(fleet.peers) == before + 1


def test_without_leave_nothing_is_sent_twice(pair):
    for hedge, copies in [("0", 0), ("10", 3)]:
        proxy, fleet, told = pair(hedge)
        learn(proxy)
        told.slow.set()
        # Thirty requests pay for three copies at ten per cent; these few for none.
        for _ in range(5):
            assert ask(proxy.address, "POST", CHAT, body(False)).status == 200
        sent = [one.provider for one in fleet.take()]
        assert sent.count("second") == copies
        told.slow.clear()


def test_the_first_still_answers_when_its_company_fails(pair):
    proxy, fleet, told = pair("100", SECOND_MAX_RETRIES="0")
    learn(proxy)
    told.slow.set()
    told.second_fails.set()
    response = ask(proxy.address, "POST", CHAT, body(False))
    assert (response.status, response.get("x-sidestream-provider"), json.loads(response.body)) == (200, "first", {"from": "first"})
    assert "tried=second:503" in proxy.wait_line(lambda line: "msg=request" in line and "tried=" in line)


def test_both_fail(pair):
    proxy, fleet, told = pair("100", FIRST_MAX_RETRIES="0", SECOND_MAX_RETRIES="0")
    learn(proxy)
    told.slow.set()
    told.fails.set()
    told.second_fails.set()
    response = ask(proxy.address, "POST", CHAT, body(False))
    assert (response.status, response.body, response.get("x-should-retry")) == (503, b'{"error":{"message":"no"}}', "false")
    assert [one.provider for one in fleet.take()][-2:] == ["first", "second"]


def test_a_translated_request_is_hedged_too(driver, owned):
    """The first candidate speaks the client's dialect, the second another: what each gets is its own."""
    slow = threading.Event()

    def reply(request):
        if request.target.startswith("/first"):
            if slow.is_set():
                time.sleep(SLOW_S)
            return answer(b'{"type":"message","role":"assistant","content":[{"type":"text","text":"one"}],"usage":{"input_tokens":1,"output_tokens":1}}')
        said = {"id": "c", "object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant", "content": "two"}, "finish_reason": "stop"}]}
        return answer(json.dumps(said).encode(), headers="Content-Type: application/json\r\n")

    fleet = owned(Fleet(reply))
    faces = {**fleet.faces("first", "anthropic"), **fleet.faces("second", "openai")}
    proxy = owned(many({**faces, "SIDESTREAM_PROVIDERS": "first,second", "SIDESTREAM_ROUTES": "* -> first/a, second/b", "SIDESTREAM_HEDGE": "100"}, driver))
    asked = json.dumps({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}).encode()
    for _ in range(10):
        assert ask(proxy.address, "POST", MESSAGES, asked).get("x-sidestream-model") == "a"
    slow.set()
    response = ask(proxy.address, "POST", MESSAGES, asked)
    told = json.loads(response.body)
    assert (response.get("x-sidestream-provider"), response.get("x-sidestream-model")) == ("second", "b")
    assert told["content"] == [{"type": "text", "text": "two"}]


def test_a_client_that_leaves_ends_both(pair):
    proxy, fleet, told = pair("100")
    learn(proxy)
    told.slow.set()
    told.second_fails.set()
    with Client(proxy.address) as client:
        client.request("POST", CHAT, body(False))
        proxy.wait_counter("sidestream_upstream_hedges_total", 1)
    assert proxy.wait_counter("sidestream_client_aborts_total", 1) == 1
    # The scrape itself.
    assert proxy.counter("sidestream_requests_open") == 1
