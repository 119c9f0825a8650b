"""Group G: which of several candidates is asked first: by weight, by what it took lately, by price; and conversations that
stay where their prompts are cached."""

import json
import time
from collections import Counter

import pytest

from support.crew import WHOLE, Member, call, crew, error


def after(seconds: float, face: str = "chat"):
    """A provider that thinks for so long."""

    def reply(peer, request):
        time.sleep(seconds)
        return WHOLE[face]

    return reply


def said(text: str) -> dict:
    return {"messages": [{"role": "user", "content": text}]}


def chosen(proxy, count: int = 1, face: str = "chat", headers=(), **more) -> list[str]:
    """Who answered; each of them another conversation, unless `more` says what is said."""
    names = []
    for number in range(count):
        response = call(proxy, face, headers, **{**said(f"conversation {time.monotonic_ns()} {number}"), **more})
        assert response.status == 200, response
        names.append(response.get("x-sidestream-provider"))
    return names


def pair(driver, owned, one=WHOLE["chat"], two=WHOLE["chat"], **env):
    members = {"one": owned(Member(one)), "two": owned(Member(two))}
    return owned(crew(driver, members, **env)), *members.values()


# ── Weight ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sticky", ["on", "off"])
def test_weights_are_kept_roughly(driver, owned, sticky):
    routes = "* -> one weight=1, two weight=4"
    proxy, one, two = pair(driver, owned, SIDESTREAM_ROUTES=routes, SIDESTREAM_STRATEGY="weight", SIDESTREAM_STICKY=sticky)
    count = Counter(chosen(proxy, 200))
    assert 20 <= count["one"] <= 65, count  # 40 in the mean, ±5.7
    assert (len(one.requests), len(two.requests)) == (count["one"], count["two"])


def test_without_a_strategy_the_order_holds(driver, owned):
    proxy, _, two = pair(driver, owned)
    assert chosen(proxy, 10) == ["one"] * 10 and not two.requests


def test_weights_are_a_strategy(driver, owned):
    proxy, *_ = pair(driver, owned, SIDESTREAM_ROUTES="* -> one weight=2, two weight=2")
    assert set(chosen(proxy, 30)) == {"one", "two"}


def test_a_rule_has_its_own_strategy(driver, owned):
    routes = "fast*[strategy=order] -> one, two; * -> one, two"
    proxy, *_ = pair(driver, owned, SIDESTREAM_ROUTES=routes, SIDESTREAM_STRATEGY="weight", SIDESTREAM_STICKY="off")
    assert chosen(proxy, 12, model="fast-1") == ["one"] * 12
    assert set(chosen(proxy, 40, model="other")) == {"one", "two"}


def test_whoever_the_lot_falls_on_the_other_stands_in(driver, owned):
    proxy, one, two = pair(driver, owned, one=error(529, ""), SIDESTREAM_STRATEGY="weight", ONE_BREAKER="off")
    assert chosen(proxy, 30) == ["two"] * 30
    assert 3 <= len(one.requests) <= 27


# ── Latency, score ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("strategy", ["latency", "score"])
def test_the_quicker_one_is_preferred(driver, owned, strategy):
    proxy, one, two = pair(driver, owned, one=after(0.2), two=after(0.005), SIDESTREAM_STRATEGY=strategy)
    names = chosen(proxy, 20)
    assert set(names[:2]) == {"one", "two"} or strategy == "score", "who is not known is asked first"
    assert names.count("two") >= 17, names


def test_who_becomes_slow_is_left(driver, owned):
    proxy, one, two = pair(driver, owned, one=after(0.002), two=after(0.15), SIDESTREAM_STRATEGY="latency")
    assert chosen(proxy, 10)[3:] == ["one"] * 7
    one.script = [after(0.8)]
    names = chosen(proxy, 12)
    assert names[-6:] == ["two"] * 6, names


# ── Cost ────────────────────────────────────────────────────────────────────────────────────────────────────────────

PRICES = "provider,model,above,input,output,cache_read,cache_write,cache_write_1h,reasoning\none,m,,3,15,,,,\ntwo,m,,1,5,,,,\none,cheap,,0,0,,,,\ntwo,cheap,,1,5,,,,\n"


def test_the_cheaper_one_is_preferred(driver, owned, tmp_path):
    file = tmp_path / "prices.csv"
    file.write_text(PRICES)
    proxy, one, two = pair(driver, owned, SIDESTREAM_STRATEGY="cost", SIDESTREAM_PRICES=str(file))
    assert chosen(proxy, 5) == ["two"] * 5
    assert chosen(proxy, 5, model="cheap") == ["one"] * 5
    assert chosen(proxy, 5, model="nobody-knows") == ["one"] * 5
    two.script = [error(529, "retry-after: 30\r\n")]
    assert chosen(proxy, 3) == ["one"] * 3


# ── Sessions ────────────────────────────────────────────────────────────────────────────────────────────────────────

# What makes two requests one conversation, whatever else is in them.
SIGNS = {
    "a field of Claude Code's": ("messages", [("x-claude-code-session-id", "s-<n>")], {}),
    "a field": ("chat", [("x-session-id", "s-<n>")], {}),
    "a cache key": ("chat", [], {"prompt_cache_key": "s-<n>"}),
    "the first words": ("chat", [], {"messages": [{"role": "user", "content": "hello from <n>"}]}),
    "the first words in Messages": ("messages", [], {"messages": [{"role": "user", "content": "hello from <n>"}]}),
}


def turns(proxy, sign: str, session: int, count: int, start: int = 0) -> list[str]:
    """Who answers the turns of one conversation; it grows, and its system prompt changes."""
    face, headers, more = SIGNS[sign]
    headers = [(name, value.replace("<n>", str(session))) for name, value in headers]
    more = json.loads(json.dumps(more).replace("<n>", str(session)))
    names = []
    for turn in range(start, start + count):
        messages = more.get("messages") or [{"role": "user", "content": f"words {time.monotonic_ns()}"}]
        for past in range(turn):
            messages = [*messages, {"role": "assistant", "content": f"a{past}"}, {"role": "user", "content": f"q{past}"}]
        system = {"system": f"billing {time.monotonic_ns()}"} if face == "messages" else {}
        names += chosen(proxy, 1, face, headers, **{**more, **system, "messages": messages})
    return names


def both(seconds: float):
    def reply(peer, request):
        time.sleep(seconds)
        return WHOLE["messages" if "messages" in request.target else "chat"]

    return reply


@pytest.mark.parametrize("sign", SIGNS)
def test_a_conversation_stays(driver, owned, sign):
    proxy, one, two = pair(driver, owned, one=both(0), two=both(0), SIDESTREAM_STRATEGY="weight")
    seats = {session: set(turns(proxy, sign, session, 4)) for session in range(12)}
    assert all(len(names) == 1 for names in seats.values()), seats
    assert set.union(*seats.values()) == {"one", "two"}


@pytest.mark.parametrize("sign", SIGNS)
def test_it_stays_though_another_became_quicker(driver, owned, sign):
    proxy, one, two = pair(driver, owned, one=both(0.001), two=both(0.15), SIDESTREAM_STRATEGY="latency")
    for number in range(100, 104):
        turns(proxy, sign, number, 1)
    assert turns(proxy, sign, 1, 2) == ["one"] * 2
    one.script, two.script = [both(0.9)], [both(0.001)]
    for number in range(200, 208):
        turns(proxy, sign, number, 1)
    assert turns(proxy, sign, 300, 1) == ["two"], "a new one goes where it is quicker"
    assert turns(proxy, sign, 1, 2, 2) == ["one"] * 2, "the old one stays"


def test_sessions_need_not_stay(driver, owned):
    proxy, *_ = pair(driver, owned, one=both(0), two=both(0), SIDESTREAM_STRATEGY="weight", SIDESTREAM_STICKY="off")
    assert set(turns(proxy, "a field", 1, 40)) == {"one", "two"}


def test_it_moves_when_its_place_fails_and_stays_there(driver, owned):
    proxy, one, two = pair(driver, owned, one=both(0.001), two=both(0.15), SIDESTREAM_STRATEGY="latency")
    for number in range(100, 104):
        turns(proxy, "a field", number, 1)
    assert turns(proxy, "a field", 1, 2) == ["one"] * 2
    one.script = [error(529, "")]
    assert turns(proxy, "a field", 1, 1, 2) == ["two"]
    one.script = [both(0.001)]
    assert turns(proxy, "a field", 200, 1) == ["one"]
    assert turns(proxy, "a field", 1, 3, 3) == ["two"] * 3, "its cache is there now"


def test_a_lot_that_fell_on_one_that_fails_holds_again_afterwards(driver, owned):
    proxy, one, two = pair(driver, owned, one=both(0), two=both(0), SIDESTREAM_STRATEGY="weight")
    members = {"one": one, "two": two}
    for session in range(4):
        (home,) = set(turns(proxy, "a field", session, 2))
        other = "two" if home == "one" else "one"
        members[home].script = [error(529, "")]
        assert turns(proxy, "a field", session, 1, 2) == [other]
        members[home].script = [both(0)]
        assert turns(proxy, "a field", session, 2, 3) == [home] * 2


def test_where_nobody_could_answer_it_does_not_stay(driver, owned):
    """An error is no place to come back to."""
    proxy, one, two = pair(driver, owned, one=error(400, ""), two=both(0), SIDESTREAM_STRATEGY="weight")
    homes = {}
    for session in range(30):
        response = call(proxy, headers=[("x-session-id", str(session))], **said(str(session)))
        homes[session] = response.status
    assert set(homes.values()) == {200, 400}
    assert all(call(proxy, headers=[("x-session-id", str(s))], **said(str(s))).status == homes[s] for s in homes)


def test_translated_conversations_stay_too(driver, owned):
    one, two = owned(Member(both(0))), owned(Member(both(0)))
    proxy = owned(crew(driver, {"one": one, "two": two}, face="chat", SIDESTREAM_STRATEGY="weight"))
    seats = [set(turns(proxy, "a field of Claude Code's", session, 3)) for session in range(10)]
    assert all(len(names) == 1 for names in seats) and set.union(*seats) == {"one", "two"}


def test_models_of_one_provider_are_candidates_too(driver, owned):
    one = owned(Member(both(0)))
    routes = "* -> one/alpha weight=1, one/beta weight=1"
    proxy = owned(crew(driver, {"one": one}, SIDESTREAM_ROUTES=routes, SIDESTREAM_STRATEGY="weight"))
    for session in range(12):
        turns(proxy, "a field", session, 3)
    by_session: dict[str, set] = {}
    for request in one.take():
        by_session.setdefault(request.get("x-session-id"), set()).add(json.loads(request.body)["model"])
    assert all(len(models) == 1 for models in by_session.values()) and len(by_session) == 12
    assert set.union(*by_session.values()) == {"alpha", "beta"}


def test_workers_share_what_they_know(driver, owned):
    """Connections fall on them as the kernel likes."""
    env = {"SIDESTREAM_STRATEGY": "latency", "SIDESTREAM_WORKERS": "3"}
    proxy, one, two = pair(driver, owned, one=both(0.001), two=both(0.15), **env)
    for number in range(100, 104):
        turns(proxy, "a field", number, 1)
    assert turns(proxy, "a field", 1, 6) == ["one"] * 6
    one.script, two.script = [both(0.9)], [both(0.001)]
    for number in range(200, 208):
        turns(proxy, "a field", number, 1)
    assert turns(proxy, "a field", 300, 3) == ["two"] * 3
    assert turns(proxy, "a field", 1, 3, 6) == ["one"] * 3
