"""Group R: tries that come to nothing, and those that follow. What another try can mend the client does not see; what it
cannot mend is not sent again; and when nothing is left, the client hears what the upstream said."""

import json
import signal
import threading
import time

import pytest

from support.crew import (
    CLOSED,
    PATHS,
    RESET,
    STREAM,
    WHOLE,
    Member,
    body,
    call,
    crew,
    error,
    error_body,
    failing_stream,
    failures,
    line_of,
    of_provider,
)
from support.fleet import dead_port
from support.sse import Reader
from support.translation import completion
from support.upstream import LAST_CHUNK, SSE_HEAD, answer, chunk
from support.wire import Client, Truncated, ask

# way: (what the client speaks, what the providers speak)
WAYS = {"chat": ("chat", "chat"), "messages": ("messages", "messages"), "chat-to-messages": ("chat", "messages"), "messages-to-chat": ("messages", "chat")}
SOON = "Content-Type: application/json\r\nretry-after-ms: 1\r\n"
STATUSES = [408, 409, 429, 500, 502, 503, 504, 520, 529]


def http_date(seconds: float) -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + seconds))


def first_words(spoken: str) -> bytes:
    """A stream's beginning, up to the first piece of its text."""
    _, _, stream = STREAM[spoken].removeprefix(SSE_HEAD).partition(b"\r\n")
    return SSE_HEAD + chunk(stream[: stream.index(b"\n\n", stream.index(b"fine")) + 2])


def outcomes(spoken: str) -> dict[str, tuple[object, str]]:
    """name: (the reply, what log and metrics call it)."""
    told = {str(status): (error(status), str(status)) for status in STATUSES}
    return {
        **told,
        "closed": (CLOSED, "closed"),
        "reset": (RESET, "closed"),
        "no HTTP": (b"220 mail.example ESMTP\r\n", "invalid"),
        "429 with retry-after": (error(429, "retry-after: 0\r\n"), "429"),
        "429 with a date": (error(429, f"retry-after: {http_date(-5)}\r\n"), "429"),
        "500 of HTML": (answer(b"<html>oops</html>", "500 No", "Content-Type: text/html\r\nretry-after-ms: 1\r\n"), "500"),
        "423 that says so": (error(423, "retry-after-ms: 1\r\nx-should-retry: true\r\n"), "423"),
        "an empty stream": (SSE_HEAD + LAST_CHUNK, "502"),
        "a stream that overloads": (failing_stream(spoken), "529" if spoken == "messages" else "503"),
        "a stream that fails": (failing_stream(spoken, "api_error"), "500"),
        "a stream that fails in one breath with its first words": (first_words(spoken) + failing_stream(spoken, "api_error").removeprefix(SSE_HEAD), "500"),
        "a stream cut before it begins": (SSE_HEAD + chunk(b": hi\n\n"), "closed"),
    }


NAMES = list(outcomes("chat"))
STREAMED = [name for name in NAMES if "stream" in name]


def is_well(response, client: str, streamed: bool = False) -> bool:
    wanted = "text/event-stream" if streamed else "application/json"
    return response.status == 200 and b"fine" in response.body and response.get("content-type").startswith(wanted)


@pytest.mark.parametrize("way", WAYS)
def test_what_another_try_can_mend_is_not_seen(driver, owned, way):
    """At the same provider, which has nobody beside it."""
    client, spoken = WAYS[way]
    one = owned(Member(WHOLE[spoken]))
    proxy = owned(crew(driver, {"one": one}, face=spoken, ONE_BREAKER="off"))
    for number, name in enumerate(NAMES):
        reply, reason = outcomes(spoken)[name]
        streamed = name in STREAMED
        model = f"m-{number}"
        if streamed and "empty" in name:
            continue  # see test_hold: it passes as it is where no one else can be asked
        one.hang_up()  # on a kept connection an end without a word would be a stale one's
        one.script = [reply, (STREAM if streamed else WHOLE)[spoken]]
        response = call(proxy, client, model=model, stream=streamed)
        assert is_well(response, client, streamed), (name, response)
        assert response.get("x-sidestream-attempts") == "2", name
        assert response.get("x-should-retry") is None, name
        sent = one.take()
        assert len(sent) == 2 and sent[0].body == sent[1].body, name
        line = line_of(proxy, response)
        assert (line["tried"], line["attempts"], line["status"]) == (f"one:{reason}", "2", "200"), name
        assert failures(proxy)["one", model, "1", reason] == 1, name
        assert of_provider(proxy, "retries_total", "one") == number + 1 - (number > NAMES.index("an empty stream")), name
    assert of_provider(proxy, "failovers_total", "one") == 0


@pytest.mark.parametrize("way", WAYS)
def test_what_another_provider_can_mend_is_not_seen(driver, owned, way):
    client, spoken = WAYS[way]
    one, two = owned(Member(WHOLE[spoken])), owned(Member(WHOLE[spoken]))
    env = {"ONE_BREAKER": "off", "ONE_MAX_RETRIES": "0"}
    proxy = owned(crew(driver, {"one": one, "two": two}, face=spoken, **env))
    cases = {**outcomes(spoken), "401": (error(401), "401"), "402": (error(402), "402"), "403": (error(403), "403"), "404": (error(404), "404")}
    for number, (name, (reply, reason)) in enumerate(cases.items()):
        streamed = name in STREAMED
        one.hang_up()
        one.script, two.script = [reply], [(STREAM if streamed else WHOLE)[spoken]]
        began = time.monotonic()
        response = call(proxy, client, model=f"m-{number}", stream=streamed)
        assert is_well(response, client, streamed), (name, response)
        assert time.monotonic() - began < 0.4, f"{name}: waited, with somebody else to ask"
        assert (response.get("x-sidestream-attempts"), response.get("x-sidestream-provider")) == ("2", "two"), name
        assert len(one.take()) == 1 and len(two.take()) == 1, name
        assert line_of(proxy, response)["tried"] == f"one:{reason}", name
        if reason in ("401", "402", "403"):
            break
    assert of_provider(proxy, "failovers_total", "two") == number + 1
    assert of_provider(proxy, "retries_total", "two") == of_provider(proxy, "retries_total", "one") == 0


def test_nobody_listens(driver, owned):
    two = owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": dead_port(), "two": two}))
    response = call(proxy)
    assert is_well(response, "chat") and response.get("x-sidestream-attempts") == "2"
    assert line_of(proxy, response)["tried"] == "one:unreachable"
    assert failures(proxy) == {("one", "m", "1", "unreachable"): 1}


def test_nobody_listens_and_nobody_else_is_there(driver, owned):
    proxy = owned(crew(driver, {"one": dead_port()}))
    line = line_of(proxy, response := call(proxy))
    assert line["tried"] == ",".join(["one:unreachable"] * 3)
    assert (response.get("x-should-retry"), response.get("x-sidestream-error"), response.get("x-sidestream-attempts")) == ("false", "upstream-connect", "3")


# ── Never again ─────────────────────────────────────────────────────────────────────────────────────────────────────

OVERFLOWS = {
    "anthropic": (400, {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"}}),
    "openai": (400, {"error": {"message": "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.", "type": "invalid_request_error", "code": "context_length_exceeded"}}),
    "llama.cpp": (500, {"error": {"code": 500, "message": "the request exceeds the available context size, try increasing it", "type": "exceed_context_size_error", "n_prompt_tokens": 9000, "n_ctx": 8192}}),
    "a gateway": (503, {"error": {"message": "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (8000 in the messages, 1000 in the completion).", "code": "context_length_exceeded"}}),
}
NEVER = {
    **{str(status): (status, {"error": {"message": "your fault", "type": "invalid_request_error"}}) for status in (400, 405, 413, 415, 422)},
    **{f"overflow of {name}": said for name, said in OVERFLOWS.items()},
}


@pytest.mark.parametrize("client", ["chat", "messages"])
def test_what_the_client_did_is_not_sent_again(driver, owned, client):
    one, two = owned(Member(WHOLE[client])), owned(Member(WHOLE[client]))
    proxy = owned(crew(driver, {"one": one, "two": two}))
    for name, (status, said) in NEVER.items():
        raw = json.dumps(said).encode()
        one.script = [answer(raw, f"{status} No", "Content-Type: application/json\r\nx-theirs: 1\r\n")]
        response = call(proxy, client)
        assert (response.status, response.body, response.get("x-theirs")) == (status, raw, "1"), name
        assert response.get("x-sidestream-attempts") == "1" and len(one.take()) == 1 and not two.take(), name
    assert 'breaker=closed' in ask(proxy.admin, "GET", "/readyz").body.decode()
    assert of_provider(proxy, "breaker_open", "one") == 0 and failures(proxy) == {}


def test_what_may_have_been_done_is_not_sent_again(driver, owned):
    """A stored response, and an upload, whose connection closed without a word."""
    one, two = owned(Member(CLOSED)), owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one, "two": two}))
    plain = [("Content-Type", "application/json")]
    stored = json.dumps({"model": "m", "input": "hi"}).encode()
    for path, sent, headers in [("/v1/responses", stored, plain), ("/v1/files", b"a" * 1000, [("x-sidestream-provider", "one")])]:
        response = ask(proxy.address, "POST", path, sent, headers)
        assert (response.status, response.get("x-sidestream-error")) == (502, "upstream-closed"), path
        assert len(one.take()) == 1 and not two.take(), path
    kept = json.dumps({"model": "m", "input": "hi", "store": False}).encode()
    response = ask(proxy.address, "POST", "/v1/responses", kept, plain)
    assert (response.status, response.get("x-sidestream-provider")) == (200, "two")


def test_an_upload_is_sent_elsewhere_only_if_nothing_was_sent(driver, owned):
    """Nobody listens: what was not sent can be."""
    proxy = owned(crew(driver, {"one": dead_port()}))
    response = ask(proxy.address, "POST", "/v1/files", b"a" * 1000)
    assert (response.status, response.get("x-sidestream-error"), response.get("x-should-retry")) == (502, "upstream-connect", "false")


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_sent_again_after_a_byte(driver, owned, way):
    client, spoken = WAYS[way]
    begun = first_words(spoken)

    def breaks(peer, request):
        peer.send(begun)
        time.sleep(0.3)
        return RESET

    one, two = owned(Member(breaks)), owned(Member(STREAM[spoken]))
    proxy = owned(crew(driver, {"one": one, "two": two}, face=spoken))
    with Client(proxy.address) as asking:
        asking.request("POST", PATHS[client], body(client, stream=True))
        response, pieces = asking.response_head()
        got, cut = b"", False
        try:
            for piece in pieces:
                got += piece
        except Truncated:
            cut = True
    assert response.status == 200 and b"error" in got, got
    assert cut or way in ("chat-to-messages", "messages-to-chat")
    assert len(one.take()) == 1 and not two.take()
    line = line_of(proxy, response)
    assert (line["attempts"], line["reason"], line["who"]) == ("1", "upstream-truncated", "upstream")


# ── When all is spent ───────────────────────────────────────────────────────────────────────────────────────────────


def chunked(raw: bytes, status: int, headers: str, step: int = 7000) -> bytes:
    head = f"HTTP/1.1 {status} No\r\nTransfer-Encoding: chunked\r\n{headers}\r\n".encode()
    return head + b"".join(chunk(raw[at : at + step]) for at in range(0, len(raw), step)) + LAST_CHUNK


SIZES = {"small": 10, "large": 200_000, "huge": 700_000}


@pytest.mark.parametrize("framing", ["length", "chunked", "until-close"])
@pytest.mark.parametrize("size", SIZES)
def test_the_last_error_is_the_upstreams_own(driver, owned, size, framing):
    """Its bytes, whether they came at the last try, or were read to see whether there would be another."""
    raw = error_body(503, "x" * SIZES[size])
    last = {"the tries are spent": ([error(500), error(502)], "retry-after-ms: 1\r\n"), "it wants to rest": ([error(500)], "retry-after: 300\r\n")}
    one = owned(Member(error(500)))
    for name, (before, fields) in last.items():
        fields += "Content-Type: application/json\r\nx-should-retry: true\r\nrequest-id: req_7\r\nx-theirs: a, b\r\n"
        last_one = {
            "length": answer(raw, "503 No", fields),
            "chunked": chunked(raw, 503, fields),
            "until-close": f"HTTP/1.1 503 No\r\n{fields}\r\n".encode() + raw,
        }[framing]
        proxy = owned(crew(driver, {"one": one}, ONE_BREAKER="off"))
        with Client(proxy.address) as client:
            for _ in range(2):
                one.script = [*before, last_one]
                response = client.ask("POST", PATHS["messages"], body("messages"))
                # What was read is bounded; half of an error says more than none.
                read = len(raw) if name == "the tries are spent" else min(len(raw), 256 * 1024)
                assert response.status == 503 and raw.startswith(response.body), name
                assert len(response.body) >= read, name
                assert response.headers.all("x-should-retry") == [b"false"], name
                assert (response.get("request-id"), response.get("x-theirs")) == ("req_7", "a, b")
                tries = len(before) + 1
                assert (response.get("x-sidestream-attempts"), len(one.take())) == (str(tries), tries), name
                if response.get("connection") == "close":
                    break


@pytest.mark.parametrize("way", ["chat-to-messages", "messages-to-chat"])
def test_the_last_error_in_the_clients_words(driver, owned, way):
    client, spoken = WAYS[way]
    one = owned(Member(error(500)))
    proxy = owned(crew(driver, {"one": one}, face=spoken, ONE_BREAKER="off"))
    replies = {
        "at the last try": (error(529, "retry-after-ms: 1\r\nx-should-retry: true\r\n", "too busy, all of us"), 3),
        "that was read": (error(529, "retry-after: 300\r\nx-should-retry: true\r\n", "too busy, all of us"), 3),
        "a stream's": (failing_stream(spoken, message="too busy, all of us"), 3),
    }
    for name, (reply, visits) in replies.items():
        one.script = [error(500), error(502), reply]
        response = call(proxy, client, stream="stream" in name)
        said = response.body.decode()
        if response.get("content-type").startswith("text/event-stream"):
            said = Reader().push(response.body)[-1][1]
        else:
            assert response.status == (529 if client == "messages" else 503), name
            assert response.get("x-sidestream-error") is None
        told = json.loads(said)
        assert told["error"]["message"].endswith("too busy, all of us"), name
        assert (told.get("type") == "error") == (client == "messages"), name
        assert response.headers.all("x-should-retry") == [b"false"], name
        assert len(one.take()) == visits, name


def test_an_answered_error_says_more_than_a_refused_connection(driver, owned):
    said = error(503, "retry-after: 300\r\n", "we are full")
    one = owned(Member(said))
    proxy = owned(crew(driver, {"one": one, "two": dead_port()}, TWO_MAX_RETRIES="0"))
    response = call(proxy)
    assert (response.status, response.body) == (503, error_body(503, "we are full"))
    assert (response.get("x-should-retry"), response.get("x-sidestream-provider"), response.get("retry-after")) == ("false", "one", "300")
    line = line_of(proxy, response)
    assert (line["tried"], line["attempts"], line["provider"]) == ("one:503,two:unreachable", "2", "one")


def test_an_upstream_that_forbids_it_is_not_asked_again(driver, owned):
    one, two = owned(Member(error(500, "x-should-retry: false\r\n"))), owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one, "two": two}))
    response = call(proxy)
    assert response.get("x-sidestream-provider") == "two" and len(one.take()) == 1


def test_tries_have_a_bound(driver, owned):
    for env, wanted in [({}, 3), ({"ONE_MAX_RETRIES": "9"}, 4), ({"ONE_MAX_RETRIES": "9", "SIDESTREAM_MAX_TRIES": "6"}, 6), ({"ONE_MAX_RETRIES": "0"}, 1), ({"SIDESTREAM_MAX_TRIES": "1"}, 1)]:
        one = owned(Member(error(500)))
        proxy = owned(crew(driver, {"one": one}, ONE_BREAKER="off", **env))
        response = call(proxy)
        assert (response.status, len(one.take()), response.get("x-should-retry")) == (500, wanted, "false"), env


def test_failures_are_counted_whoever_hears_of_them(driver, owned):
    """The last try's too, which the client is told of."""
    one = owned(Member(error(500)))
    proxy = owned(crew(driver, {"one": one}))
    call(proxy)
    assert failures(proxy) == {("one", "m", "1", "500"): 3}


# ── Where it is tried next ──────────────────────────────────────────────────────────────────────────────────────────


def test_the_same_provider_is_asked_first_after_a_short_trouble(driver, owned):
    one, two = owned(Member(error(500, ""), WHOLE["chat"])), owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one, "two": two}))
    response = call(proxy)
    assert (response.get("x-sidestream-provider"), response.get("x-sidestream-attempts")) == ("one", "2")
    assert one.visits[1] - one.visits[0] < 0.6 and not two.visits


@pytest.mark.parametrize("status", [500, 502, 503, 529, 429])
def test_nobody_waits_for_long_while_another_can_be_asked(driver, owned, status):
    """The upstream says itself that it will take time."""
    one, two = owned(Member(error(status, "retry-after: 20\r\n"))), owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one, "two": two}))
    began = time.monotonic()
    response = call(proxy)
    assert time.monotonic() - began < 1, "it waited"
    assert response.get("x-sidestream-provider") == "two" and len(one.take()) == 1


@pytest.mark.parametrize("reply", [error(529, ""), error(503, ""), "dead"])
def test_another_key_is_no_help_where_no_key_is_at_fault(driver, owned, reply):
    one, two = owned(Member(reply)), owned(Member(WHOLE["chat"]))
    keys = {"ONE_API_KEY": None, "ONE_API_KEYS": "sk-first,sk-second,sk-third"}
    proxy = owned(crew(driver, {"one": dead_port() if reply == "dead" else one, "two": two}, **keys))
    response = call(proxy)
    assert (response.get("x-sidestream-provider"), response.get("x-sidestream-attempts")) == ("two", "2")


def test_a_pause_is_as_long_as_the_upstream_says(driver, owned):
    for fields, least, most in [("retry-after-ms: 400\r\n", 0.39, 0.8), ("retry-after: 1\r\n", 0.99, 1.5), (f"retry-after: {http_date(2.5)}\r\n", 0.99, 3.2)]:
        one = owned(Member(error(503, fields), WHOLE["chat"]))
        proxy = owned(crew(driver, {"one": one}))
        assert call(proxy).status == 200
        assert least <= one.visits[1] - one.visits[0] <= most, fields


# ── Pauses that end early ───────────────────────────────────────────────────────────────────────────────────────────


class Visited:
    """A provider that wants to be left alone for five seconds, and tells when it was visited."""

    def __init__(self):
        self.came = threading.Semaphore(0)

    def __call__(self, peer, request):
        peer.send(error(503, "retry-after: 5\r\n"))
        self.came.release()
        return None

    def wait(self):
        assert self.came.acquire(timeout=5)
        time.sleep(0.1)


def resting(driver, owned, **env):
    visited = Visited()
    one = owned(Member(visited))
    return owned(crew(driver, {"one": one}, **env)), one, visited


def test_a_client_that_leaves_in_a_pause_is_not_tried_for(driver, owned):
    proxy, one, visited = resting(driver, owned)
    with Client(proxy.address) as client:
        client.request("POST", PATHS["chat"], body())
        visited.wait()
    assert proxy.wait_counter("sidestream_client_aborts_total", 1) == 1
    time.sleep(0.3)
    assert len(one.take()) == 1 and proxy.counter("sidestream_requests_open") <= 1


def test_a_drain_in_a_pause(driver, owned):
    """The grace is for the pause too; when it is over, the client is told."""
    proxy, one, visited = resting(driver, owned, SIDESTREAM_DRAIN="500ms")
    with Client(proxy.address) as client:
        client.request("POST", PATHS["messages"], body("messages"))
        visited.wait()
        began = time.monotonic()
        proxy.signal(signal.SIGTERM)
        told = client.response()
    assert (told.status, told.get("x-sidestream-error")) == (503, "draining")
    assert 0.3 < time.monotonic() - began < 2
    assert proxy.wait(5) == 0 and len(one.take()) == 1


def test_a_pause_that_ends_within_the_grace(driver, owned):
    one = owned(Member(error(503, "retry-after: 1\r\n"), WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one}, SIDESTREAM_DRAIN="5s"))
    with Client(proxy.address) as client:
        client.request("POST", PATHS["chat"], body())
        while not one.visits:
            time.sleep(0.01)
        time.sleep(0.1)
        proxy.signal(signal.SIGTERM)
        assert client.response().status == 200
    assert proxy.wait(5) == 0


def test_a_stop_in_a_pause(driver, owned):
    proxy, one, visited = resting(driver, owned)
    with Client(proxy.address) as client:
        client.request("POST", PATHS["chat"], body())
        visited.wait()
        stopped = ask(proxy.admin, "POST", "/stop")
        assert json.loads(stopped.body)["stopped"] == 1
        told = client.response()
    assert (told.status, told.get("x-sidestream-error"), told.get("x-should-retry")) == (503, "stopped", "false")
    time.sleep(0.2)
    assert len(one.take()) == 1


def test_requests_behind_one_that_pauses_wait_their_turn(driver, owned):
    """Pipelined, on the same connection: what comes behind is no reason to think that the client left."""
    one = owned(Member(error(503, "retry-after-ms: 300\r\n"), WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one}))
    with Client(proxy.address) as client:
        client.request("POST", PATHS["chat"], body())
        client.request("POST", PATHS["chat"], body())
        assert [client.response().status for _ in range(2)] == [200, 200]
    assert len(one.take()) == 3
