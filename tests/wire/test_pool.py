"""The upstream's connections as users set them: spares ahead of need, a bound and the line before it, a name that does
not resolve."""

import contextlib
import json
import threading
import time
from queue import Queue

import pytest

from support.upstream import OK
from support.wire import Client, ask

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
JSON, HELD = b'{"model":"m"}', b'{"model":"held"}'


def upstream_counters(proxy, *names: str) -> list[int]:
    return [int(proxy.counter(f"sidestream_upstream_{name}_total")) for name in names]


@pytest.fixture(params=["plain", "TLS"])
def either(request, setup, encrypted):
    """`setup` and `encrypted`, one after the other."""
    return {"plain": setup, "TLS": encrypted}[request.param]


class Holding:
    """A handler that answers at once, but the held requests only after `release()`, one by one."""

    def __init__(self):
        self.reached: Queue = Queue()
        self.turns = threading.Semaphore(0)

    def __call__(self, peer):
        while True:
            request = peer.request()
            if request.body == HELD:
                self.reached.put(peer.number)
                assert self.turns.acquire(timeout=15)
            peer.send(OK)

    def release(self, count: int = 1) -> None:
        self.turns.release(count)


@contextlib.contextmanager
def held(proxy, holding, count: int):
    """So many requests on their way, each of which has reached the upstream."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(proxy.address)) for _ in range(count)]
        for client in clients:
            client.request("POST", CHAT, HELD)
            holding.reached.get(timeout=5)
        try:
            yield clients
        finally:
            holding.release(count)  # where the test has failed before it did so


# ── Spares ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_spare_is_there_before_it_is_needed(either):
    """Where nothing is warmed up not before the first use; then one stands by while the other is in use, the next request takes it without a
    handshake, and another takes its place."""
    holding = Holding()
    proxy, upstream = either(holding, MOCK_WARM_CONNECTIONS=None, SIDESTREAM_WARM_UP="off")
    time.sleep(0.3)  # the silence is the subject
    assert upstream.peers == []
    with held(proxy, holding, 1):
        assert proxy.wait_counter("sidestream_upstream_spares_total", 1) == 1
        assert (len(upstream.peers), len(upstream.requests)) == (2, 1)
        with held(proxy, holding, 1):
            assert (upstream.peers[1].served, len(upstream.requests)) == (1, 2)
            assert proxy.wait_counter("sidestream_upstream_spares_total", 2) == 2
            assert upstream_counters(proxy, "connects", "reuses", "stale") == [3, 1, 0]
            holding.release(2)


def test_spares_as_many_as_are_set(setup):
    holding = Holding()
    proxy, upstream = setup(holding, MOCK_WARM_CONNECTIONS="3", SIDESTREAM_WARM_UP="off")
    with held(proxy, holding, 1):
        assert proxy.wait_counter("sidestream_upstream_spares_total", 3) == 3
        time.sleep(0.5)  # the silence is the subject: no fourth comes
        assert upstream_counters(proxy, "connects", "spares") == [4, 3]
        holding.release()


def test_no_spares(setup):
    holding = Holding()
    proxy, upstream = setup(holding)
    with held(proxy, holding, 1):
        time.sleep(0.5)  # the silence is the subject
        assert len(upstream.peers) == 1
        holding.release()


def test_kept_connections_are_bounded(setup):
    """Five at once, two are kept, the others are closed."""
    holding = Holding()
    proxy, upstream = setup(holding, MOCK_KEEPALIVE_CONNECTIONS="2")
    with held(proxy, holding, 5) as clients:
        holding.release(5)
        for client in clients:
            assert client.response().status == 200
    deadline = time.monotonic() + 5
    while (gone := sum(peer.gone.is_set() for peer in upstream.peers)) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.2)  # the silence is the subject: no fourth one goes
    assert (len(upstream.peers), gone, sum(peer.gone.is_set() for peer in upstream.peers)) == (5, 3, 3)


# ── The bound, and the line before it ───────────────────────────────────────────────────────────────────────────────


def test_who_finds_all_taken_waits(either):
    """In the order in which they came, on the connections that become free; the upstream never sees a third."""
    holding = Holding()
    proxy, upstream = either(holding, MOCK_MAX_CONNECTIONS="2", MOCK_WARM_CONNECTIONS=None, SIDESTREAM_WARM_UP="off")
    with held(proxy, holding, 2) as first, contextlib.ExitStack() as stack:
        waiting = []
        for number in range(4):
            waiting.append(stack.enter_context(Client(proxy.address)))
            waiting[-1].request("POST", CHAT, b'{"model":"m","number":%d}' % number)
            assert proxy.wait_counter("sidestream_upstream_waits_total", number + 1) == number + 1
        assert (len(upstream.peers), len(upstream.requests)) == (2, 2)
        holding.release()
        for client in waiting:
            assert client.response().status == 200
        assert [json.loads(r.body).get("number") for r in upstream.requests] == [None, None, 0, 1, 2, 3]
        holding.release()
        for client in first:
            assert client.response().status == 200
    assert len(upstream.peers) == 2
    assert upstream_counters(proxy, "connects", "reuses", "waits", "wait_timeouts") == [2, 4, 4, 0]


def test_who_leaves_the_line_costs_nobody_a_place(setup):
    holding = Holding()
    proxy, upstream = setup(holding, MOCK_MAX_CONNECTIONS="1")
    with held(proxy, holding, 1), Client(proxy.address) as stays:
        with Client(proxy.address) as leaves:
            leaves.request("POST", CHAT, b'{"model":"leaves"}')
            assert proxy.wait_counter("sidestream_upstream_waits_total", 1) == 1
            stays.request("POST", CHAT, JSON)
            assert proxy.wait_counter("sidestream_upstream_waits_total", 2) == 2
        assert proxy.wait_counter("sidestream_client_aborts_total", 1) == 1
        holding.release()
        assert stays.response().status == 200
    assert [r.body for r in upstream.requests] == [HELD, JSON]
    assert len(upstream.peers) == 1


@pytest.mark.parametrize("ending", ["closes", "resets"])
def test_place_of_a_closed_connection_is_free(setup, ending):
    """The one that all wait for ends with its answer: the next in the line opens its own in its place."""
    reached, go = Queue(), threading.Event()

    def handler(peer):
        peer.request()
        reached.put(True)
        assert go.wait(10)
        peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
        if ending == "resets":
            peer.rst()

    proxy, upstream = setup(handler, MOCK_MAX_CONNECTIONS="1")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(proxy.address)) for _ in range(4)]
        for number, client in enumerate(clients):
            client.request("POST", CHAT, JSON)
            assert proxy.wait_counter("sidestream_upstream_waits_total", number) == number
        reached.get(timeout=5)
        go.set()
        for client in clients:
            assert client.response().body == b"{}"
    assert len(upstream.peers) == 4


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_nothing_becomes_free_in_time(setup, path):
    holding = Holding()
    proxy, upstream = setup(holding, MOCK_MAX_CONNECTIONS="1", MOCK_QUEUE_TIMEOUT="300ms")
    with held(proxy, holding, 1) as (first,):
        full = ask(proxy.address, "POST", path, JSON)
        assert (full.status, full.get("x-sidestream-error")) == (529 if path == MESSAGES else 429, "upstream-full"), full
        assert int(full.get("retry-after")) >= 1
        told = json.loads(full.body)
        assert (told.get("type") == "error") == (path == MESSAGES)
        assert "all 1 connections to 127.0.0.1" in told["error"]["message"]
        assert upstream_counters(proxy, "wait_timeouts") == [1]
        holding.release()
        assert first.response().status == 200
        assert first.ask("POST", path, JSON).status == 200
    assert len(upstream.peers) == 1


# ── A name that does not resolve ────────────────────────────────────────────────────────────────────────────────────

# RFC 6761 §6.4 lets no name below it resolve; RFC 1035 §2.3.4 lets no label be this long, so that nobody need be asked.
NOWHERE = {"reserved": "nowhere.invalid", "impossible": "a" * 64 + ".test"}


@pytest.mark.parametrize("rule", NOWHERE)
def test_name_without_an_address(setup, rule):
    """502 in the client's dialect, again and again, while others go on."""
    env = {"SIDESTREAM_PROVIDERS": "nowhere,mock", "SIDESTREAM_ROUTES": "nowhere -> nowhere; * -> mock"}
    for face in ("ENDPOINT", "OPENAI", "ANTHROPIC"):
        env[f"NOWHERE_{face}_URL"] = f"http://{NOWHERE[rule]}/v1"
    proxy, upstream = setup(**env)
    with Client(proxy.address) as waiting, Client(proxy.address) as other:
        for path in (CHAT, MESSAGES):
            waiting.request("POST", path, b'{"model":"nowhere"}')
            for _ in range(20):
                assert other.ask("POST", path, JSON).status == 200
            lost = waiting.response()
            assert (lost.status, lost.get("x-sidestream-error")) == (502, "upstream-name"), lost
            told = json.loads(lost.body)
            assert (told.get("type") == "error") == (path == MESSAGES)
            assert f"the name {NOWHERE[rule]} cannot be resolved" in told["error"]["message"]
    assert len(upstream.requests) == 40


def test_a_sidecar_at_rest_sleeps(setup):
    """A spare connection, an idle one, and a client that stays: a second after the last request only what is due wakes it."""
    proxy, _ = setup(MOCK_WARM_CONNECTIONS="2")
    with Client(proxy.address) as client:
        assert client.ask("POST", CHAT, JSON).status == 200
        assert proxy.wait_counter("sidestream_upstream_spares_total", 1) >= 1
        time.sleep(2)  # the silence is the subject
        before = proxy.wake_ups()
        time.sleep(3)
        # Seven, in each of nine runs; with a tick of 100 ms it was 111.
        assert proxy.wake_ups() - before <= 12
        assert client.ask("POST", CHAT, JSON).status == 200
