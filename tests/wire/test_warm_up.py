"""What is done before anybody asks: spare connections for whoever was configured, and on demand one token of each model
that a rule names. Nobody waits for it, and nothing depends on it."""

import json
import signal
import socket
import threading
import time

import pytest

from support.fleet import Fleet, models
from support.process import Sidestream
from support.upstream import OK, Upstream, answer
from support.wire import ask

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
SAVED = "sidestream_upstream_connect_seconds_saved_total"
SPENT = "sidestream_upstream_connect_seconds_total"
CALLS = [f"sidestream_upstream_warm_up_{name}_total" for name in ("calls", "call_failures", "tokens")]


def wait(true, timeout: float = 5.0) -> bool:
    deadline = time.monotonic() + timeout
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)
    return true()


def dead_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


# ── Connections ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", ["plain", "TLS"])
def test_the_first_request_finds_a_connection(way, setup, encrypted):
    """Its spare is there without any request, shaken hands with; the first request waits for none, and says what it saved."""
    proxy, upstream = {"plain": setup, "TLS": encrypted}[way](MOCK_WARM_CONNECTIONS=None)
    assert proxy.wait_counter("sidestream_upstream_spares_total", 1) == 1
    assert (len(upstream.peers), upstream.requests) == (1, [])
    assert (proxy.counter(SPENT), proxy.counter(SAVED)) == (0, 0)
    assert ask(proxy.address, "POST", CHAT, b'{"model":"m"}').status == 200
    assert upstream.peers[0].served == 1
    assert proxy.wait_counter("sidestream_upstream_reuses_total", 1) == 1
    assert proxy.wait_counter(SAVED, 1e-6) > 0 and proxy.counter(SPENT) == 0


def test_what_requests_waited_for_is_told_too(setup):
    proxy, upstream = setup()
    assert ask(proxy.address, "POST", CHAT, b'{"model":"m"}').status == 200
    assert proxy.wait_counter(SPENT, 1e-6) > 0
    spent = proxy.counter(SPENT)
    for number in range(1, 4):
        assert ask(proxy.address, "POST", CHAT, b'{"model":"m"}').status == 200
        # One connection was opened: each reuse saves what it took.
        assert proxy.wait_counter(SAVED, number * spent - 1e-9) == pytest.approx(number * spent)
    assert proxy.counter(SPENT) == spent


@pytest.mark.parametrize("count", [0, 1, 4])
def test_as_many_as_are_set_for_each_face_and_worker(driver, owned, count):
    """Two faces at two origins, and two workers: each worker's pool of each origin has its own."""
    faces = [owned(Upstream()), owned(Upstream())]
    env = {
        "MOCK_OPENAI_URL": faces[0].origin() + "/v1",
        "MOCK_ANTHROPIC_URL": faces[1].origin(),
        "MOCK_WARM_CONNECTIONS": str(count),
        "SIDESTREAM_WORKERS": "2",
    }
    proxy = owned(Sidestream(driver, env))
    assert proxy.wait_counter("sidestream_upstream_spares_total", 4 * count) == 4 * count
    time.sleep(0.3)  # the silence is the subject: no more come
    assert [len(face.peers) for face in faces] == [2 * count, 2 * count]
    assert [face.requests for face in faces] == [[], []]


class Meeting(Upstream):
    """Nobody's handshake begins before everybody was called."""

    def __init__(self, tls, everybody: threading.Barrier):
        self.everybody = everybody
        super().__init__(None, tls)

    def _run(self, peer) -> None:
        self.everybody.wait(5)
        super()._run(peer)


def test_side_by_side(driver, owned, authority):
    """Three origins, none of which shakes hands before all three were called."""
    root, everybody = authority("root"), threading.Barrier(3)
    names = ("one", "two", "three")
    env = {f"{name.upper()}_ENDPOINT_URL": owned(Meeting(root.server(), everybody)).origin() + "/v1" for name in names}
    env |= {"SIDESTREAM_PROVIDERS": ",".join(names), "SIDESTREAM_ROUTES": "", "SIDESTREAM_CA_FILE": root.file}
    proxy = owned(Sidestream(driver, env))
    assert proxy.wait_counter("sidestream_upstream_spares_total", 3) == 3


OWN, VENDORS = {"SIDESTREAM_PROVIDERS": "mock"}, {"SIDESTREAM_PROVIDERS": "", "MOCK_API_KEY": ""}
WHO = {
    # name: (variables, how many connections come)
    "named": (OWN, 1),
    "the client's own key": ({**OWN, "MOCK_API_KEY": "client"}, 1),
    "nobody's key": ({**OWN, "MOCK_API_KEY": ""}, 1),
    "off": ({**OWN, "SIDESTREAM_WARM_UP": "off"}, 0),
    "nothing configured": (VENDORS, 0),
    "nothing configured, but asked for": ({**VENDORS, "SIDESTREAM_WARM_UP": "connect"}, 2),
    "a vendor's key": ({**VENDORS, "OPENAI_API_KEY": "k"}, 1),
    "a vendor's name": ({"SIDESTREAM_PROVIDERS": "anthropic", "MOCK_API_KEY": ""}, 1),
}


@pytest.mark.parametrize("rule", WHO)
def test_who_is_called(driver, owned, rule):
    """Whoever was chosen, with a key or without. A guest that nothing was told calls nobody."""
    env, count = WHO[rule]
    upstream = owned(Upstream())
    # The vendors' hosts are behind this proxy, which does not answer: what goes to them comes here.
    way = upstream.env if env["SIDESTREAM_PROVIDERS"] == "mock" else {"HTTPS_PROXY": upstream.origin()}
    owned(Sidestream(driver, {**way, "SIDESTREAM_ROUTES": "", **env}))
    assert wait(lambda: len(upstream.peers) >= count)
    time.sleep(0.3)  # the silence is the subject: no more come
    assert len(upstream.peers) == count
    assert [r.method for r in upstream.requests] == ([] if way == upstream.env else ["CONNECT"] * count)


def test_who_is_not_there_hinders_nobody(driver, owned):
    """Told once and counted; tried again later, so that who comes up after us is warm too."""
    port = dead_port()
    env = {"SIDESTREAM_PROVIDERS": "mock,late", "SIDESTREAM_ROUTES": "late -> late; * -> mock"}
    env["LATE_ENDPOINT_URL"] = f"http://127.0.0.1:{port}/v1"
    upstream = owned(Upstream())
    proxy = owned(Sidestream(driver, {**upstream.env, **env}))
    assert ask(proxy.address, "POST", CHAT, b'{"model":"m"}').status == 200
    told = proxy.wait_line(lambda line: "warm-up: no connection" in line)
    assert "level=warn" in told and "provider=late" in told and "refuses connections" in told
    late = 'sidestream_upstream_%s_total{provider="late"}'
    assert wait(lambda: proxy.metrics()[late % "connect_failures"] >= 1)
    listener = socket.create_server(("127.0.0.1", port))
    listener.settimeout(10)
    with listener, listener.accept()[0]:
        assert wait(lambda: proxy.metrics()[late % "spares"] == 1)
    assert sum("warm-up: no connection" in line for line in proxy.lines) == 1


def test_a_reload_warms_what_is_new(driver, owned, tmp_path):
    first, second = owned(Upstream()), owned(Upstream())
    file = tmp_path / "env"
    one = f"ONE_ENDPOINT_URL={first.origin()}/v1\n"
    file.write_text(one + "SIDESTREAM_PROVIDERS=one\n")
    env = {"SIDESTREAM_PROVIDERS": "", "SIDESTREAM_ROUTES": "", "MOCK_API_KEY": ""}
    proxy = owned(Sidestream(driver, env, args=("run", "--env-file", str(file))))
    assert proxy.wait_counter("sidestream_upstream_spares_total", 1) == 1
    file.write_text(one + f"TWO_ENDPOINT_URL={second.origin()}/v1\nSIDESTREAM_PROVIDERS=one,two\n")
    proxy.signal(signal.SIGHUP)
    proxy.wait_line(lambda line: "msg=reloaded" in line)
    assert proxy.wait_counter("sidestream_upstream_spares_total", 2) == 2
    time.sleep(0.3)  # the silence is the subject: the first one's stays, and no other comes
    assert (len(first.peers), len(second.peers)) == (1, 1)
    assert not first.peers[0].gone.is_set()


# ── Calls ───────────────────────────────────────────────────────────────────────────────────────────────────────────

USED = {
    "openai": b'{"object":"chat.completion","choices":[],"usage":{"prompt_tokens":8,"completion_tokens":1}}',
    "anthropic": b'{"type":"message","content":[],"usage":{"input_tokens":7,"output_tokens":1}}',
}
RULES = "fast -> mock/small; big -> mock/big, mock/small; claude-* -> mock/claude-x face=anthropic; exact -> mock; * -> mock"


def test_one_token_of_each_model_that_a_rule_names(driver, owned):
    """With the provider's key, on a connection that was opened ahead, by one worker, not among the clients' requests."""
    fleet = owned(Fleet(lambda request: answer(USED["anthropic" if "anthropic" in request.target else "openai"], headers="Content-Type: application/json\r\n")))
    env = {**fleet.faces("mock"), "SIDESTREAM_ROUTES": RULES, "SIDESTREAM_WARM_UP": "call", "SIDESTREAM_WORKERS": "2"}
    proxy = owned(Sidestream(driver, env))
    lines = [proxy.wait_line(lambda line, m=m: 'msg="warm-up call"' in line and f"model={m}" in line) for m in ("small", "big", "claude-x", "exact")]
    assert "provider=mock" in lines[0] and "input_tokens=8 output_tokens=1" in lines[0] and " ms=" in lines[0]
    asked = [(r.target.removeprefix("/mock"), json.loads(r.body)) for r in fleet.requests]
    hi = [{"role": "user", "content": "Hi"}]
    assert asked == [
        ("/openai/v1/chat/completions", {"model": "small", "max_tokens": 1, "messages": hi}),
        ("/openai/v1/chat/completions", {"model": "big", "max_tokens": 1, "messages": hi}),
        ("/anthropic/v1/messages", {"model": "claude-x", "max_tokens": 1, "messages": hi}),
        ("/openai/v1/chat/completions", {"model": "exact", "max_tokens": 1, "messages": hi}),
    ]
    for request in fleet.requests:
        credential = request.get("x-api-key") if "anthropic" in request.target else request.get("authorization")
        assert credential in ("sk-the-providers-own", "Bearer sk-the-providers-own")
        assert request.get("content-type") == "application/json" and request.get("x-sidestream-via")
    assert [proxy.wait_counter(name, n) for name, n in zip(CALLS, (4, 0, 35))] == [4, 0, 35]
    assert proxy.counter("sidestream_requests_total") == proxy.counter("sidestream_upstream_requests_total") == 0
    assert proxy.counter("sidestream_upstream_tokens_total") == 0
    assert all("sk-the" not in line for line in proxy.lines)


QUIET = {
    # name: (variables, whether a word is said about it)
    "no rule names a model": ({}, True),
    "no key": ({"SIDESTREAM_ROUTES": RULES, "MOCK_API_KEY": ""}, True),
    "the client's own key": ({"SIDESTREAM_ROUTES": RULES, "MOCK_API_KEY": "client"}, True),
    "not asked for": ({"SIDESTREAM_ROUTES": RULES, "SIDESTREAM_WARM_UP": ""}, False),
}


@pytest.mark.parametrize("rule", QUIET)
def test_nobody_is_called_without_a_reason_and_a_key(setup, rule):
    env, told = QUIET[rule]
    proxy, upstream = setup(**{"SIDESTREAM_WARM_UP": "call", "MOCK_WARM_CONNECTIONS": None, **env})
    assert proxy.wait_counter("sidestream_upstream_spares_total", 1) == 1
    time.sleep(0.3)  # the silence is the subject
    assert upstream.requests == [] and any("calls nobody" in line for line in proxy.lines) == told


@pytest.mark.parametrize("kind", ["an error", "no answer", "nobody there"])
def test_a_call_that_fails_is_told_and_forgotten(setup, kind):
    def handler(peer):
        peer.request()
        if kind == "an error":
            peer.send(answer(b'{"error":{"message":"sk-secret"}}', "404 Not Found"))
            handler(peer)

    env = {"SIDESTREAM_WARM_UP": "call", "SIDESTREAM_ROUTES": "a -> mock/b", "MOCK_WARM_CONNECTIONS": None}
    if kind == "nobody there":
        env["MOCK_ENDPOINT_URL"] = env["MOCK_ANTHROPIC_URL"] = f"http://127.0.0.1:{dead_port()}/v1"
    proxy, upstream = setup(handler, **env)
    line = proxy.wait_line(lambda line: 'msg="warm-up call failed"' in line)
    word = {"an error": "status 404", "no answer": "without an answer", "nobody there": "refuses connections"}[kind]
    assert "level=warn" in line and "provider=mock model=b" in line and word in line and "sk-secret" not in line
    assert [proxy.wait_counter(name, n) for name, n in zip(CALLS, (1, 1, 0))] == [1, 1, 0]


def test_nobody_waits_for_a_call(setup):
    """A client's request goes its way while a model still wakes up."""
    reached, go = threading.Event(), threading.Event()

    def handler(peer):
        while True:
            if b"Hi" in peer.request().body:
                reached.set()
                assert go.wait(10)
            peer.send(OK)

    proxy, _ = setup(handler, SIDESTREAM_WARM_UP="call", SIDESTREAM_ROUTES="a -> mock/b")
    assert reached.wait(5)
    assert ask(proxy.address, "POST", CHAT, b'{"model":"a"}').status == 200
    go.set()
    assert proxy.wait_counter(CALLS[0], 1) == 1


def test_a_reload_calls_what_is_new(driver, owned, tmp_path):
    fleet = owned(Fleet(lambda request: models("m")))
    file = tmp_path / "env"

    def write(*names: str) -> None:
        faces = {k: v for name in names for k, v in fleet.faces(name).items()}
        keys = {f"{name.upper()}_API_KEY": "k" for name in names}
        rules = ";".join(f"{name} -> {name}/{name}-1" for name in names)
        env = {"SIDESTREAM_PROVIDERS": ",".join(names), "SIDESTREAM_WARM_UP": "call", "SIDESTREAM_ROUTES": f'"{rules}"', **faces, **keys}
        file.write_text("".join(f"{k}={v}\n" for k, v in env.items()))

    write("one")
    env = {"SIDESTREAM_PROVIDERS": "", "SIDESTREAM_ROUTES": "", "MOCK_API_KEY": ""}
    proxy = owned(Sidestream(driver, env, args=("run", "--env-file", str(file))))
    assert proxy.wait_counter(CALLS[0], 1) == 1
    write("one", "two")
    proxy.signal(signal.SIGHUP)
    assert proxy.wait_counter(CALLS[0], 2) == 2
    assert [json.loads(r.body)["model"] for r in fleet.requests] == ["one-1", "two-1"]
