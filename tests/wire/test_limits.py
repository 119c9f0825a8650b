"""Group L: what a request may take, and what a provider may be given. Deadlines at every stage, limits per minute that are
waited for, and a line for connections that is fair between sessions and says at once where waiting is in vain."""

import json
import socket
import threading
import time

import pytest

from support.crew import CLOSED, PATHS, STREAM, WHOLE, Member, body, call, crew, error, line_of
from support.sse import Reader
from support.translation import completion
from support.upstream import SSE_HEAD, chunk
from support.wire import Client, Truncated, ask

OWN = "x-sidestream-deadline"
VARIABLES = ("SIDESTREAM_DEADLINE", OWN)


def silent(peer, request):
    peer.wait_closed()


def told_late(response, face: str) -> None:
    assert (response.status, response.get("x-sidestream-error")) == (504, "deadline"), response
    error = json.loads(response.body)
    assert (error.get("type") == "error") == (face == "messages")
    assert all(name in error["error"]["message"] for name in VARIABLES)


# ── Deadlines ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("face", PATHS)
@pytest.mark.parametrize("by", ["variable", "header"])
def test_before_the_first_byte(driver, owned, by, face):
    one = owned(Member(silent))
    two = owned(Member(WHOLE[face]))
    env = {"SIDESTREAM_DEADLINE": "400ms"} if by == "variable" else {}
    proxy = owned(crew(driver, {"one": one, "two": two}, **env))
    began = time.monotonic()
    response = call(proxy, face, headers=[(OWN, "400ms")] if by == "header" else [])
    assert 0.35 < time.monotonic() - began < 1.2
    told_late(response, face)
    assert len(one.take()) == 1 and not two.take()
    assert line_of(proxy, response)["reason"] == "deadline"


@pytest.mark.parametrize("configured,asked,least,most", [("10s", "300ms", 0.25, 1.2), ("300ms", "10s", 0.25, 1.2), ("10s", "1", 0.9, 2)])
def test_a_client_can_only_shorten_it(driver, owned, configured, asked, least, most):
    one = owned(Member(silent))
    proxy = owned(crew(driver, {"one": one}, SIDESTREAM_DEADLINE=configured))
    began = time.monotonic()
    told_late(call(proxy, headers=[(OWN, asked)]), "chat")
    assert least < time.monotonic() - began < most


@pytest.mark.parametrize("text", ["", "soon", "-1s", "0", "0s", "1e9", "30 s s", "1h1", "99999999999999999999s"])
def test_what_is_no_deadline(driver, owned, text):
    one = owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one}))
    for face in PATHS:
        response = call(proxy, face, headers=[(OWN, text)])
        assert (response.status, response.get("x-sidestream-error")) == (400, "deadline-invalid"), response
        assert OWN in json.loads(response.body)["error"]["message"]
    assert not one.requests


def test_the_field_stays_here(driver, owned):
    one = owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one}))
    assert call(proxy, headers=[(OWN, "30s")]).status == 200
    assert one.requests[0].get(OWN) is None


def test_no_connection_in_time(driver, owned):
    """Nobody takes the connection: its listener's line is full."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    owned(listener)
    port = listener.getsockname()[1]
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        owned(filler)
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
        fillers.append(filler)
    time.sleep(0.1)
    proxy = owned(crew(driver, {"one": port}))
    began = time.monotonic()
    response = call(proxy, headers=[(OWN, "500ms")])
    told_late(response, "chat")
    assert 0.4 < time.monotonic() - began < 1.5


def test_in_the_line_for_a_connection(driver, owned):
    held = threading.Event()

    def reply(peer, request):
        held.set()
        peer.wait_closed()

    one = owned(Member(reply))
    proxy = owned(crew(driver, {"one": one}, ONE_MAX_CONNECTIONS="1"))
    with Client(proxy.address) as first:
        first.request("POST", PATHS["chat"], body())
        assert held.wait(5)
        for face in PATHS:
            began = time.monotonic()
            response = call(proxy, face, headers=[(OWN, "400ms")])
            assert 0.35 < time.monotonic() - began < 1.2
            told_late(response, face)
    assert len(one.requests) == 1


@pytest.mark.parametrize("face", PATHS)
def test_in_the_middle_of_a_stream(driver, owned, face):
    first = STREAM[face].removeprefix(SSE_HEAD).partition(b"\r\n")[2]
    first = first[: first.index(b"\n\n", first.index(b"fine")) + 2]

    def reply(peer, request):
        peer.send(SSE_HEAD + chunk(first))
        while True:
            time.sleep(0.05)
            peer.send(chunk(b": still\n\n"))

    one = owned(Member(reply))
    proxy = owned(crew(driver, {"one": one}))
    began = time.monotonic()
    with Client(proxy.address) as client:
        client.request("POST", PATHS[face], body(face, stream=True), [(OWN, "600ms")])
        response, pieces = client.response_head()
        got = b""
        with pytest.raises(Truncated):
            for piece in pieces:
                got += piece
    assert response.status == 200 and 0.5 < time.monotonic() - began < 1.5
    name, data, _ = Reader().push(got)[-1]
    told = json.loads(data)
    assert all(variable in told["error"]["message"] for variable in VARIABLES)
    assert name == ("error" if face == "messages" else "message")
    assert line_of(proxy, response)["reason"] == "deadline"


def test_no_pause_goes_beyond_it(driver, owned):
    """What would be tried after the end is not waited for: the upstream's own words come at once."""
    one = owned(Member(error(503, "retry-after: 5\r\n", "in five seconds")))
    proxy = owned(crew(driver, {"one": one}, SIDESTREAM_DEADLINE="2s"))
    began = time.monotonic()
    response = call(proxy)
    assert (response.status, response.get("x-should-retry")) == (503, "false") and b"in five seconds" in response.body
    assert time.monotonic() - began < 1


def test_it_holds_over_all_tries(driver, owned):
    one = owned(Member(error(500, "retry-after-ms: 300\r\n"), error(500, "retry-after-ms: 300\r\n"), silent))
    proxy = owned(crew(driver, {"one": one}, SIDESTREAM_DEADLINE="1s"))
    began = time.monotonic()
    response = call(proxy)
    assert 0.9 < time.monotonic() - began < 2
    assert response.status in (500, 504) and len(one.take()) == 3


def test_a_deadline_that_holds_is_not_felt(driver, owned):
    one = owned(Member(CLOSED, WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one}, SIDESTREAM_DEADLINE="5s"))
    for _ in range(3):
        assert call(proxy).status == 200


# ── Limits per minute ───────────────────────────────────────────────────────────────────────────────────────────────


def test_requests_beyond_a_limit_wait(driver, owned):
    """120 a minute: twelve at once, and then one each 0.56 s."""
    one = owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one}, ONE_REQUESTS_PER_MINUTE="120"))
    began = time.monotonic()
    for _ in range(12):
        assert call(proxy).status == 200
    assert time.monotonic() - began < 0.5
    assert call(proxy).status == call(proxy).status == 200
    pauses = [b - a for a, b in zip(one.visits, one.visits[1:])]
    assert 1.0 < one.visits[13] - one.visits[0] < 2 and 0.5 < pauses[-1] < 0.8


def test_many_that_wait_all_come(driver, owned):
    """And no faster than the limit says."""
    one = owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one}, ONE_REQUESTS_PER_MINUTE="600"))  # sixty at once, then one each 111 ms
    statuses: list[int] = []
    askers = [threading.Thread(target=lambda: statuses.append(call(proxy).status)) for _ in range(75)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert statuses == [200] * 75
    visits = sorted(one.visits)
    assert 1.4 < visits[-1] - visits[0] < 4
    assert all(visits[at + 65] - visits[at] > 0.4 for at in range(10))


@pytest.mark.parametrize("face", PATHS)
def test_a_limit_that_is_used_up_for_too_long(driver, owned, face):
    one = owned(Member(WHOLE[face]))
    proxy = owned(crew(driver, {"one": one}, ONE_REQUESTS_PER_MINUTE="1"))
    assert call(proxy, face).status == 200
    began = time.monotonic()
    response = call(proxy, face, headers=[(OWN, "5s")])
    assert time.monotonic() - began < 1
    assert (response.status, response.get("x-sidestream-error")) == (429, "rate-limited")
    assert 50 <= int(response.get("retry-after")) <= 60
    told = json.loads(response.body)
    assert "_REQUESTS_PER_MINUTE" in told["error"]["message"], told
    assert told["error"]["type"] == "rate_limit_error" and (told.get("type") == "error") == (face == "messages")
    assert len(one.requests) == 1


def test_a_limit_sends_on_to_who_has_room(driver, owned):
    one, two = owned(Member(WHOLE["chat"])), owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one, "two": two}, ONE_REQUESTS_PER_MINUTE="1"))
    assert [call(proxy).get("x-sidestream-provider") for _ in range(3)] == ["one", "two", "two"]


def test_each_key_has_its_own_limit(driver, owned):
    one = owned(Member(WHOLE["chat"]))
    keys = {"ONE_API_KEY": None, "ONE_API_KEYS": "sk-a,sk-b,sk-c"}
    proxy = owned(crew(driver, {"one": one}, ONE_REQUESTS_PER_MINUTE="1", **keys))
    for _ in range(3):
        assert call(proxy).status == 200
    assert sorted(one.keys) == ["sk-a", "sk-b", "sk-c"]
    assert call(proxy, headers=[(OWN, "2s")]).get("x-sidestream-error") == "rate-limited"


def test_tokens_are_limited_by_what_they_were(driver, owned):
    """The answer tells; what goes beyond the guess that was made before fills the minute."""
    one = owned(Member(completion('"content":"fine"', more=',"usage":{"prompt_tokens":90000,"completion_tokens":5,"total_tokens":90005}')))
    proxy = owned(crew(driver, {"one": one}, ONE_TOKENS_PER_MINUTE="60000"))
    assert call(proxy).status == 200
    time.sleep(0.1)  # what was used is settled after the answer
    response = call(proxy)
    assert (response.status, response.get("x-sidestream-error")) == (429, "rate-limited")
    assert "TOKENS_PER_MINUTE" in json.loads(response.body)["error"]["message"]


def test_a_client_that_leaves_while_it_waits_takes_nothing(driver, owned):
    one = owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one}, ONE_REQUESTS_PER_MINUTE="40"))  # four at once, then one each 1.7 s
    for _ in range(4):
        call(proxy)
    for _ in range(5):
        with Client(proxy.address) as client:
            client.request("POST", PATHS["chat"], body())
            time.sleep(0.05)
    began = time.monotonic()
    assert call(proxy).status == 200
    assert time.monotonic() - began < 2 and len(one.requests) == 5


# ── The line ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Gate:
    """A provider that answers one request for each `open()`, and notes whose it was."""

    def __init__(self, face: str = "messages"):
        self.face, self.turns, self.came, self.order = face, threading.Semaphore(0), threading.Semaphore(0), []

    def __call__(self, peer, request):
        self.order.append(json.loads(request.body)["model"])
        self.came.release()
        assert self.turns.acquire(timeout=15)
        return WHOLE[self.face]

    def open(self, count: int = 1) -> None:
        for _ in range(count):
            self.turns.release()


def waiting(proxy) -> int:
    text = ask(proxy.admin, "GET", "/readyz").body.decode()
    return sum(int(word.partition("=")[2]) for word in text.split() if word.startswith("waiting="))


def queue(proxy, clients, owned, session: str, count: int) -> None:
    for _ in range(count):
        before = waiting(proxy)
        client = owned(Client(proxy.address))
        client.request("POST", PATHS["messages"], body("messages", model=session), [("x-claude-code-session-id", session)])
        clients.append(client)
        while waiting(proxy) == before and before + len(clients) > 1:
            time.sleep(0.005)


def test_the_line_is_fair_between_sessions(driver, owned):
    """One that asks for much does not keep another from its first."""
    gate = Gate()
    one = owned(Member(gate))
    proxy = owned(crew(driver, {"one": one}, ONE_MAX_CONNECTIONS="1"))
    clients: list[Client] = []
    queue(proxy, clients, owned, "greedy", 1)
    assert gate.came.acquire(timeout=5)
    queue(proxy, clients, owned, "greedy", 6)
    queue(proxy, clients, owned, "modest", 2)
    queue(proxy, clients, owned, "other", 1)
    gate.open(10)
    assert [client.response().status for client in clients] == [200] * 10
    assert gate.order.index("modest") <= 3 and gate.order.index("other") <= 3, gate.order
    assert gate.order.count("greedy") == 7


@pytest.mark.parametrize("face,status", [("chat", 429), ("messages", 529)])
def test_a_full_line_says_so_at_once(driver, owned, face, status):
    gate = Gate(face)
    one = owned(Member(gate))
    proxy = owned(crew(driver, {"one": one}, ONE_MAX_CONNECTIONS="1", ONE_QUEUE="1"))
    with Client(proxy.address) as first, Client(proxy.address) as second:
        first.request("POST", PATHS[face], body(face))
        assert gate.came.acquire(timeout=5)
        second.request("POST", PATHS[face], body(face))
        while waiting(proxy) < 1:
            time.sleep(0.005)
        began = time.monotonic()
        response = call(proxy, face)
        assert time.monotonic() - began < 0.5
        assert (response.status, response.get("x-sidestream-error")) == (status, "upstream-full"), response
        assert int(response.get("retry-after")) >= 1
        told = json.loads(response.body)
        assert told["error"]["type"] in ("overloaded_error", "rate_limit_error", "rate_limit_exceeded", "requests"), told
        gate.open(2)
        assert first.response().status == second.response().status == 200


def test_a_full_line_sends_on_to_another(driver, owned):
    gate = Gate("chat")
    one, two = owned(Member(gate)), owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one, "two": two}, ONE_MAX_CONNECTIONS="1", ONE_QUEUE="0"))
    with Client(proxy.address) as first:
        first.request("POST", PATHS["chat"], body())
        assert gate.came.acquire(timeout=5)
        response = call(proxy)
        assert response.get("x-sidestream-provider") == "two"
        assert line_of(proxy, response)["tried"] == "one:full"
        gate.open()
        assert first.response().status == 200
    assert "breaker=closed" in ask(proxy.admin, "GET", "/readyz").body.decode().splitlines()[1]


def test_a_wait_in_the_line_has_an_end(driver, owned):
    gate = Gate("chat")
    one = owned(Member(gate))
    proxy = owned(crew(driver, {"one": one}, ONE_MAX_CONNECTIONS="1", ONE_QUEUE_TIMEOUT="300ms"))
    with Client(proxy.address) as first:
        first.request("POST", PATHS["chat"], body())
        assert gate.came.acquire(timeout=5)
        began = time.monotonic()
        response = call(proxy)
        assert 0.25 < time.monotonic() - began < 1
        assert (response.status, response.get("x-sidestream-error")) == (429, "upstream-full")
        assert "ONE_QUEUE_TIMEOUT=300ms" in json.loads(response.body)["error"]["message"]
        gate.open()
        assert first.response().status == 200
