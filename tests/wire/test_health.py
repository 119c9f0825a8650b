"""Group N: whose fault a failure was. A bad key benches that key, a missing model that model, a failing upstream is left
alone for a while, and a client's mistakes count against nobody."""

import contextlib
import json
import threading
import time
from collections import Counter

import pytest

from support.crew import WHOLE, Member, body, call, crew, error, failures, line_of, of_provider
from support.fleet import dead_port
from support.upstream import SSE_HEAD, chunk
from support.wire import Truncated, ask

KEYS = ["sk-canary-one", "sk-canary-two", "sk-canary-three"]
SEVERAL = {"ONE_API_KEY": None, "ONE_API_KEYS": ",".join(KEYS)}


def standing(proxy, name: str = "one") -> dict[str, str]:
    text = ask(proxy.admin, "GET", "/readyz").body.decode()
    line = next(line for line in text.splitlines() if line.startswith(f"provider={name} "))
    return dict(pair.split("=", 1) for pair in line.split())


def by_key(replies: dict, otherwise=WHOLE["chat"]):
    """A provider that answers by the key."""

    def reply(peer, request):
        return replies.get(request.get("authorization").removeprefix("Bearer "), otherwise)

    return reply


# ── Keys ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_keys_are_used_in_turn(driver, owned):
    one = owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one}, **SEVERAL))
    lines = [line_of(proxy, call(proxy)) for _ in range(9)]
    assert Counter(one.keys) == dict.fromkeys(KEYS, 3)
    assert [KEYS[int(line["key"]) - 1] for line in lines] == one.keys
    assert not any(key in proxy.log for key in KEYS)


@pytest.mark.parametrize("status", [401, 402])
def test_a_refused_key_is_benched_alone(driver, owned, status):
    one = owned(Member(by_key({KEYS[1]: error(status, "")})))
    proxy = owned(crew(driver, {"one": one}, **SEVERAL))
    responses = [call(proxy) for _ in range(12)]
    assert [response.status for response in responses] == [200] * 12
    used = Counter(one.keys)
    assert used[KEYS[1]] == 1 and used[KEYS[0]] + used[KEYS[2]] == 12 and min(used[KEYS[0]], used[KEYS[2]]) >= 4
    again = next(response for response in responses if response.get("x-sidestream-attempts") == "2")
    line = line_of(proxy, again)
    assert line["tried"] == f"one#2:{status}" and line["key"] in "13"
    assert failures(proxy) == {("one", "m", "2", str(status)): 1}
    assert of_provider(proxy, "keys_benched", "one") == 1
    assert (standing(proxy)["keys_benched"], standing(proxy)["breaker"]) == ("1", "closed")
    told = proxy.log + ask(proxy.admin, "GET", "/metrics").body.decode() + ask(proxy.admin, "GET", "/readyz").body.decode()
    assert not any(key in told for key in KEYS)
    assert not any(key.encode() in response.raw_head + response.body for key in KEYS for response in responses)


def test_a_permission_that_one_key_lacks_is_asked_of_another_and_benches_none(driver, owned):
    """A model, a region, a moderation: what is refused once says nothing of other requests."""
    one = owned(Member(by_key({KEYS[1]: error(403, "")})))
    proxy = owned(crew(driver, {"one": one}, **SEVERAL))
    assert [call(proxy).status for _ in range(12)] == [200] * 12
    assert Counter(one.keys)[KEYS[1]] >= 3
    assert of_provider(proxy, "keys_benched", "one") == 0


def test_a_limited_key_rests_for_as_long_as_it_is_told(driver, owned):
    limited = {KEYS[0]: error(429, "retry-after-ms: 600\r\n")}
    one = owned(Member(by_key(limited)))
    proxy = owned(crew(driver, {"one": one}, **SEVERAL))
    for _ in range(7):
        assert call(proxy).status == 200
    assert one.keys.count(KEYS[0]) == 1 and max(b - a for a, b in zip(one.visits, one.visits[1:])) < 0.4, "it waited"
    limited.clear()
    time.sleep(0.6)
    one.take()
    assert standing(proxy)["keys_benched"] == "0"
    for _ in range(6):
        assert call(proxy).status == 200
    assert one.keys.count(KEYS[0]) == 2


def test_when_all_keys_rest_the_shortest_rest_is_waited_for(driver, owned):
    rests = {key: error(429, f"retry-after-ms: {rest}\r\n") for key, rest in zip(KEYS, [2000, 400, 3000])}
    one = owned(Member(by_key(rests)))
    proxy = owned(crew(driver, {"one": one}, ONE_MAX_RETRIES="3", **SEVERAL))
    late = threading.Timer(0.2, lambda: rests.pop(KEYS[1]))
    late.start()
    began = time.monotonic()
    response = call(proxy)
    assert (response.status, response.get("x-sidestream-attempts")) == (200, "4")
    assert 0.35 < time.monotonic() - began < 1.5
    assert set(one.keys[:3]) == set(KEYS) and one.keys[3] == KEYS[1]
    assert line_of(proxy, response)["key"] == "2"


def test_when_all_keys_rest_another_provider_is_asked(driver, owned):
    one = owned(Member(by_key({key: error(429, "retry-after: 9\r\n") for key in KEYS})))
    two = owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one, "two": two}, **SEVERAL))
    began = time.monotonic()
    assert [call(proxy).get("x-sidestream-provider") for _ in range(5)] == ["two"] * 5
    assert time.monotonic() - began < 1 and len(one.take()) == 3, "who rests is not asked"


def test_many_that_are_limited_at_once_bench_a_key_once(driver, owned):
    """What was under way says the same once more: the rest does not grow with their number."""
    gate, limited = threading.Barrier(8), threading.Event()

    def reply(peer, request):
        if limited.is_set():
            return WHOLE["chat"]
        gate.wait(5)
        limited.set()
        return error(429, "")

    one = owned(Member(reply))
    # An only key would not rest for a guess.
    proxy = owned(crew(driver, {"one": one}, **SEVERAL))
    statuses, began = [], time.monotonic()
    askers = [threading.Thread(target=lambda: statuses.append(call(proxy).status)) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert statuses == [200] * 8
    while standing(proxy)["keys_benched"] != "0":
        time.sleep(0.02)
    # A second for what eight said at once; two would be for what was said twice.
    assert 0.8 < time.monotonic() - began < 1.8


# ── A client's own credential ───────────────────────────────────────────────────────────────────────────────────────


def test_a_clients_own_credential_is_nobodys_to_bench(driver, owned):
    one, two = owned(Member(error(401, ""))), owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one, "two": two}, ONE_API_KEY="client"))
    for status in (401, 403, 402):
        one.script = [error(status, "", "not you")]
        response = call(proxy, headers=[("Authorization", "Bearer sk-mine")])
        assert (response.status, response.get("x-sidestream-attempts")) == (status, "1")
        assert b"not you" in response.body and one.keys == ["sk-mine"] and not two.requests
        one.take()
    assert (standing(proxy)["keys_benched"], standing(proxy)["breaker"]) == ("0", "closed")
    one.script = [WHOLE["chat"]]
    assert call(proxy, headers=[("Authorization", "Bearer sk-other")]).get("x-sidestream-provider") == "one"
    assert "sk-mine" not in proxy.log and "sk-other" not in proxy.log


def test_it_does_not_follow_the_request_elsewhere(driver, owned):
    one, two = owned(Member(error(529, ""))), owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one, "two": two}, ONE_API_KEY="client", TWO_API_KEY="client"))
    response = call(proxy, headers=[("Authorization", "Bearer sk-mine"), ("x-api-key", "sk-mine")])
    assert response.get("x-sidestream-provider") == "two"
    assert one.keys == ["sk-mine"] and b"sk-mine" not in two.requests[0].raw_head


# ── Models ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def lacks(*models: str, paths=("/v1/",)):
    """A provider without these models, at these paths."""

    def reply(peer, request):
        at = any(request.target.startswith(path) for path in paths)
        missing = at and json.loads(request.body)["model"] in models
        face = "messages" if "messages" in request.target else "chat"
        return error(404, "") if missing else WHOLE[face]

    return reply


def test_a_missing_model_is_remembered_and_no_other(driver, owned):
    one, two = owned(Member(lacks("gone"))), owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one, "two": two}))
    for number in range(4):
        response = call(proxy, model="gone")
        assert (response.get("x-sidestream-provider"), response.get("x-sidestream-attempts")) == ("two", "2" if number == 0 else "1")
    assert call(proxy, model="here").get("x-sidestream-provider") == "one"
    assert len(one.take()) == 2 and failures(proxy) == {("one", "gone", "1", "404"): 1}
    assert (standing(proxy)["breaker"], standing(proxy)["keys_benched"]) == ("closed", "0")


def test_a_model_that_nobody_has_is_asked_for_all_the_same(driver, owned):
    one = owned(Member(lacks("gone")))
    proxy = owned(crew(driver, {"one": one}))
    for _ in range(3):
        response = call(proxy, model="gone")
        assert (response.status, response.get("x-sidestream-attempts")) == (404, "1")


def test_what_one_path_lacks_another_may_have(driver, owned):
    """Few servers count tokens; their models are there."""
    one, two = owned(Member(lacks("m", paths=["/v1/messages/count_tokens", "/v1/responses"]))), owned(Member(WHOLE["messages"]))
    proxy = owned(crew(driver, {"one": one, "two": two}))
    for path in ("/v1/messages/count_tokens", "/v1/responses"):
        ask(proxy.address, "POST", path, body("messages"), [("Content-Type", "application/json")])
        assert [request.target for request in one.take()] == [path]
        assert call(proxy, "messages").get("x-sidestream-provider") == "one"
        assert call(proxy, "chat").get("x-sidestream-provider") == "one"
        one.take()


# ── Breakers ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_breaker_opens_probes_once_and_closes(driver, owned):
    release, slow = threading.Event(), threading.Event()

    def reply(peer, request):
        if slow.is_set():
            assert release.wait(10)
            return WHOLE["chat"]
        return error(500, "")

    one, two = owned(Member(reply)), owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one, "two": two}, ONE_MAX_RETRIES="0"))
    for number in range(5):
        assert standing(proxy)["breaker"] == "closed", number
        assert call(proxy).get("x-sidestream-attempts") == "2"
    opened = time.monotonic()
    assert (standing(proxy)["breaker"], of_provider(proxy, "breaker_open", "one")) == ("open", 1)
    for _ in range(10):
        assert call(proxy).get("x-sidestream-attempts") == "1"
    assert len(one.take()) == 5 and time.monotonic() - opened < 0.9
    slow.set()
    time.sleep(1.05 - (time.monotonic() - opened))
    assert standing(proxy)["breaker"] == "half-open"
    probes = []
    prober = threading.Thread(target=lambda: probes.append(call(proxy)))
    prober.start()
    while not one.visits:
        time.sleep(0.01)
    for _ in range(10):
        assert call(proxy).get("x-sidestream-provider") == "two"
    assert len(one.requests) == 1, "one finds out"
    release.set()
    prober.join()
    assert probes[0].get("x-sidestream-provider") == "one"
    assert (standing(proxy)["breaker"], of_provider(proxy, "breaker_open", "one")) == ("closed", 0)
    assert call(proxy).get("x-sidestream-provider") == "one"


def test_a_failed_probe_prolongs_the_rest(driver, owned):
    one, two = owned(Member(error(500, ""))), owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one, "two": two}, ONE_MAX_RETRIES="0"))
    for _ in range(5):
        call(proxy)
    time.sleep(1.05)
    assert call(proxy).get("x-sidestream-attempts") == "2" and len(one.take()) == 6
    time.sleep(1.2)
    assert standing(proxy)["breaker"] == "open"
    assert call(proxy).get("x-sidestream-attempts") == "1"


def test_refused_connections_open_it_too(driver, owned):
    two = owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": dead_port(), "two": two}))
    for _ in range(8):
        assert call(proxy).status == 200
    assert standing(proxy)["breaker"] == "open"
    assert failures(proxy) == {("one", "m", "1", "unreachable"): 5}


def test_answers_that_break_off_open_it(driver, owned):
    """Also though each of them had begun well."""
    def breaks(peer, request):
        peer.send(SSE_HEAD + chunk(b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'))
        time.sleep(0.05)

    one, two = owned(Member(breaks)), owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one, "two": two}))
    for _ in range(30):
        with contextlib.suppress(Truncated):  # the client of a stream that breaks off sees that
            if call(proxy, stream=True).get("x-sidestream-provider") == "two":
                break
    assert standing(proxy)["breaker"] == "open"


def test_what_clients_do_does_not_open_it(driver, owned):
    one, two = owned(Member(WHOLE["chat"])), owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one, "two": two}, ONE_API_KEY="client"))
    for status in (400, 401, 403, 404, 413, 422):
        one.script = [error(status, "")]
        for _ in range(7):
            call(proxy, model=f"m-{status}")
    assert standing(proxy) | {"breaker": "closed", "keys_benched": "0"} == standing(proxy)


def test_a_lone_provider_is_asked_however_it_did(driver, owned):
    """Its answer is more than none; and once is enough."""
    one = owned(Member(error(500)))
    proxy = owned(crew(driver, {"one": one}))
    for _ in range(4):
        call(proxy)
    assert standing(proxy)["breaker"] == "open"
    one.take()
    assert (call(proxy).status, len(one.take())) == (500, 1)
    one.script = [WHOLE["chat"]]
    assert call(proxy).status == 200 and standing(proxy)["breaker"] == "closed"


def test_a_breaker_can_be_left_out(driver, owned):
    one, two = owned(Member(error(500))), owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one, "two": two}, ONE_BREAKER="off", ONE_MAX_RETRIES="0"))
    for _ in range(20):
        call(proxy)
    assert len(one.take()) == 20 and standing(proxy)["breaker"] == "closed"


# ── The retry budget ────────────────────────────────────────────────────────────────────────────────────────────────


def test_retries_never_double_the_load(driver, owned):
    """Half of what comes may come again, and twenty more."""
    one = owned(Member(error(500)))
    proxy = owned(crew(driver, {"one": one}, ONE_BREAKER="off"))
    count = 60
    with_last = [call(proxy) for _ in range(count)]
    assert all((r.status, r.get("x-should-retry")) == (500, "false") for r in with_last)
    sent = len(one.take())
    assert 1.4 * count + 18 <= sent <= 1.5 * count + 21, sent
    assert of_provider(proxy, "retries_total", "one") == sent - count
    assert of_provider(proxy, "retries_refused_total", "one") > 0
    assert sum(failures(proxy).values()) == sent


def test_a_spent_budget_does_not_keep_requests_from_going_elsewhere(driver, owned):
    one, two = owned(Member(error(500))), owned(Member(WHOLE["chat"]))
    proxy = owned(crew(driver, {"one": one, "two": two}, ONE_BREAKER="off"))
    for _ in range(40):
        assert call(proxy).status == 200
    sent = len(one.take())
    assert sent <= 1.5 * 40 + 21 and of_provider(proxy, "failovers_total", "two") == 40
    assert of_provider(proxy, "retries_total", "two") == 0
