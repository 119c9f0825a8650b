"""The judge of scripts/chaos on made-up logs: a run in which all is well passes, and each way to break a rule is found, by its
name and its request, and by no other rule."""

import dataclasses
import json

import pytest

from chaos import faults, plan, words
from chaos.oracle import RULES, Limits, judge, wrong_shape
from chaos.records import Heard, Try, line, read_heard, read_tries, write

LIMITS = Limits()
FINE_ALL = ["fine"] * plan.VISITS
SCRIPTS = {"alpha": ["500", "429-soon", *FINE_ALL], "beta": ["503", *FINE_ALL]}
DEAD = {"alpha": ["500"] * plan.VISITS, "beta": ["503"] * plan.VISITS}
MID = {"alpha": ["cut", *FINE_ALL], "beta": FINE_ALL}


def visit(provider: str, number: int, began: float, fault: str = "fine", number_of_request: int = 0, lasts: float = 0.01, **more) -> Try:
    known = faults.FAULTS.get(fault)
    status = faults.REFUSALS.get(fault) or (known.status if known else 200)
    outcome = "answered" if fault == "fine" else "failed"
    id = plan.id_of("sidestream", number_of_request)
    made = Try(id, provider, number, began, began + lasts, plan.CHAT, "plain-0", f"sk-{provider}", fault=fault, status=status, retry_after_ms=known.retry_after_ms if known else 0, outcome=outcome)
    return dataclasses.replace(made, **more)


def heard(number: int = 0, stream: bool = False, dialect: str = "chat", scripts=SCRIPTS, **more) -> Heard:
    id, path = plan.id_of("sidestream", number), plan.MESSAGES if dialect == "messages" else plan.CHAT
    made = Heard(id, number, "sidestream", "ask", path, dialect, stream, "plain-0", ["alpha", "beta"], scripts, began=0.0, ended=2.0)
    return dataclasses.replace(made, **more)


def answered(by: Try, **more) -> Heard:
    """A client that got what this visit said."""
    text = "".join(words.pieces(by.id, by.provider, by.visit))
    number = plan.number_of(by.id)
    return heard(number, **{"first_byte": by.began + 0.005, "ended": by.ended, "status": 200, "end": "whole", "words": 3, "text": text, **more})


def failed(status: int = 503, dialect: str = "chat", tries: int = 4, **more) -> Heard:
    """A client that was told that all tries are spent."""
    path = plan.MESSAGES if dialect == "messages" else plan.CHAT
    headers = {"content-type": "application/json", "x-should-retry": "false", "x-sidestream-attempts": str(tries)}
    body = json.dumps(words.error(path, status))
    return heard(dialect=dialect, **{"status": status, "end": "error", "body": body, "headers": headers, "scripts": DEAD, **more})


SPENT = [visit("alpha", 0, 0.1, "500"), visit("beta", 0, 0.2, "503"), visit("alpha", 1, 0.4, "500"), visit("beta", 1, 0.8, "503")]
CUT = visit("alpha", 0, 0.1, "cut", words=4)
EVENT = json.dumps(words.error(plan.CHAT, 502))


def cut(**more) -> Heard:
    """A client whose stream broke off after words, and was told so by an event."""
    text = "".join(words.pieces(CUT.id, "alpha", 0)[:4])
    return heard(**{"stream": True, "scripts": MID, "first_byte": 0.105, "status": 200, "end": "error event", "words": 4, "text": text, "body": EVENT, **more})


def without(record: Heard, **fields) -> Heard:
    """With other headers; None takes one away."""
    headers = {**record.headers, **{name.replace("_", "-"): value for name, value in fields.items()}}
    return dataclasses.replace(record, headers={k: v for k, v in headers.items() if v is not None})


REFUSAL = {"alpha": ["400"] * plan.VISITS, "beta": ["400"] * plan.VISITS}
refused = failed(400, kind="refused", scripts=REFUSAL, tries=1)
stored = {"kind": "once", "path": plan.RESPONSES}
files = {"kind": "once", "path": plan.FILES}
second = visit("beta", 0, 0.2)
third = visit("alpha", 1, 0.2)
stale = visit("alpha", 0, 0.1, "closed", reused=True)

WELL = {
    "at once": (answered(visit("alpha", 0, 0.1)), [visit("alpha", 0, 0.1)]),
    "at the second candidate": (answered(second), [visit("alpha", 0, 0.1, "500"), second]),
    "after a wait that was asked for": (answered(visit("alpha", 2, 0.3)), [visit("alpha", 0, 0.1, "500"), visit("alpha", 1, 0.2, "429-soon"), visit("alpha", 2, 0.3)]),
    "with another key at once": (answered(visit("alpha", 1, 0.12, key="sk-2")), [visit("alpha", 0, 0.1, "429-soon", key="sk-1"), visit("alpha", 1, 0.12, key="sk-2")]),
    "all tries spent": (failed(), SPENT),
    "all tries spent, Messages": (failed(529, "messages"), SPENT),
    "one stale connection more than tries": (answered(visit("beta", 1, 0.9)), [stale, *(dataclasses.replace(one, visit=one.visit + (one.provider == "alpha")) for one in SPENT[:3]), visit("beta", 1, 0.9)]),
    "a refusal": (refused, [visit("alpha", 0, 0.1, "400")]),
    "ended early by its provider, untouched": (cut(end="no end", body=""), [dataclasses.replace(CUT, fault="ends-early", path="/anthropic" + cut().path)]),
    "cut in the middle, and told": (cut(), [CUT]),
    "broken behind an empty block, and told": (cut(dialect="messages", path=plan.MESSAGES, words=0, text="", begun=True, body=json.dumps(words.error(plan.MESSAGES, 502))), [dataclasses.replace(CUT, words=0, path=plan.MESSAGES)]),
    "a blocking answer cut by its upstream": (heard(scripts=MID, first_byte=0.1, status=200, end="cut"), [visit("alpha", 0, 0.1, "cut")]),
    "the deadline passed": (failed(504, tries=1, scripts=SCRIPTS, ended=25.0), [visit("alpha", 0, 0.1, "slow", status=0, lasts=24.0)]),
    "nobody twice where it was slow": (failed(504, tries=2, scripts={"alpha": ["slow", *FINE_ALL], "beta": ["slow", *FINE_ALL]}), [visit("alpha", 0, 0.1, "slow"), visit("beta", 0, 0.2, "slow")]),
    "a stored response refused, and asked for elsewhere": (answered(second, **stored), [visit("alpha", 0, 0.1, "500"), second]),
    "the last answer is one of the dead": (failed(502, tries=4, candidates=["dead", "beta"], scripts={"dead": ["refused"] * 8, "beta": ["503"] * 8}), [visit("beta", 0, 0.1, "503")]),
}

BROKEN = {
    # rule: what the client heard, what the upstreams saw
    "no answer": ("lost", heard(end="closed", scripts=DEAD), SPENT),
    "too late": ("lost", heard(end="late", scripts=DEAD), SPENT),
    "no HTTP": ("lost", heard(end="invalid", scripts=DEAD), SPENT),
    "a blocking answer cut on our side": ("lost", heard(first_byte=0.1, status=200, end="cut"), [visit("alpha", 0, 0.1)]),
    "gave up at once": ("gave up", failed(500, tries=1, scripts=SCRIPTS), [visit("alpha", 0, 0.1, "500")]),
    "gave up before the second candidate": ("gave up", failed(500, tries=3, scripts={**DEAD, "beta": FINE_ALL}), [visit("alpha", n, 0.1 + n, "500") for n in range(3)]),
    "gave up with a stream's head": ("gave up", cut(words=0, text="", scripts={"alpha": ["error-first", *FINE_ALL], "beta": FINE_ALL}), [visit("alpha", 0, 0.1, "error-first")]),
    "gave up on those who follow no script": ("gave up", failed(500, tries=1, scripts={}), [visit("alpha", 0, 0.1, "500")]),
    "asked nobody": ("gave up", failed(503, tries=0, scripts=SCRIPTS), []),
    "again after a byte": ("second generation", cut(), [CUT, visit("alpha", 1, 0.2, "500")]),
    "elsewhere after a byte": ("second generation", cut(), [CUT, visit("beta", 0, 0.2, "reset")]),
    "files twice": ("replayed", answered(third, **files), [visit("alpha", 0, 0.1, "500"), third]),
    "a stored response twice": ("replayed", answered(third, **stored), [visit("alpha", 0, 0.1, "closed"), third]),
    "a stored response twice, stale": ("replayed", answered(third, **stored), [stale, third]),
    "a client's fault twice": ("client's fault retried", dataclasses.replace(refused, headers={**refused.headers, "x-sidestream-attempts": "2"}), [visit("alpha", 0, 0.1, "400"), visit("beta", 0, 0.2, "400")]),
    "five tries": ("over budget", failed(tries=5), [*SPENT, visit("alpha", 2, 1.5, "500")]),
    "four visits to one": ("over budget", failed(500), [visit("alpha", n, n + 0.1, "500") for n in range(4)]),
    "a provider of another route": ("over budget", answered(visit("gamma", 0, 0.1)), [visit("gamma", 0, 0.1)]),
    "too early": ("retry-after ignored", answered(visit("alpha", 2, 0.23)), [visit("alpha", 0, 0.1, "500"), visit("alpha", 1, 0.2, "429-soon"), visit("alpha", 2, 0.23)]),
    "two whole answers": ("answered twice", answered(second), [visit("alpha", 0, 0.1), second]),
    "another's answer": ("answered twice", answered(second, text="".join(words.pieces("s-000007", "beta", 0))), [second]),
    "two answers in one": ("answered twice", answered(second, text="".join(words.pieces(second.id, "beta", 0) * 2)), [second]),
    "a hole in the text": ("answered twice", answered(second, text="".join(words.pieces(second.id, "beta", 0)).replace(" 5", "")), [second]),
    "an answer that nobody gave": ("answered twice", answered(second), []),
    "a stream without its end": ("no end", cut(end="no end", body=""), [CUT]),
    "a translated stream without its end": ("no end", cut(end="no end", body=""), [dataclasses.replace(CUT, fault="ends-early", path="/v1/else")]),
    "a stream cut without a word": ("no end", cut(end="cut", body=""), [CUT]),
    "more after the end": ("no end", answered(second, stream=True, note="after the end: {}"), [second]),
    "the other dialect's error": ("not the dialect", failed(503, body=json.dumps(words.error(plan.MESSAGES, 503))), SPENT),
    "the other dialect's event": ("not the dialect", cut(body=json.dumps(words.error(plan.MESSAGES, 529))), [CUT]),
    "a page": ("not the dialect", failed(502, body="<html>"), SPENT),
    "not called JSON": ("not the dialect", without(failed(), content_type="text/html"), SPENT),
    "the wrong class of status": ("not the dialect", failed(400), SPENT),
    "nothing said of retries": ("no last word", without(failed(), x_should_retry=None), SPENT),
    "told to retry": ("no last word", without(failed(), x_should_retry="true"), SPENT),
    "fewer tries told": ("miscounted", without(failed(), x_sidestream_attempts="2"), SPENT),
}


@pytest.mark.parametrize("name", WELL)
def test_what_is_well_passes(name):
    client, tries = WELL[name]
    assert [str(one) for one in judge([client], tries, 1, LIMITS)] == []


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found(name):
    rule, client, tries = BROKEN[name]
    found = judge([client], tries, 1, LIMITS)
    assert {(one.rule, one.id) for one in found} == {(rule, client.id)}, "\n".join(map(str, found))
    assert found[0].lines == ("client   " + line(client), *("upstream " + line(one) for one in tries)), "the proof stands beside it"


def test_every_rule_has_its_case():
    assert {rule for rule, _, _ in BROKEN.values()} == set(RULES)


def many(retries: int, first: int, **more) -> tuple[list[Heard], list[Try]]:
    """Requests of which some were answered at their second visit."""
    clients, tries = [], []
    for number in range(first):
        at = number * 0.1
        again = number < retries
        tries += [visit("alpha", 0, at, "500", number, **more)] if again else []
        last = visit("alpha", int(again), at + 0.05, "fine", number)
        tries.append(last)
        clients.append(answered(last, scripts={"alpha": ["500", *FINE_ALL], "beta": FINE_ALL}))
    return clients, tries


def test_the_budget_of_retries_is_kept_over_the_run():
    for retries, first, broken in [(20, 40, False), (40, 100, False), (60, 60, True), (100, 300, True)]:
        clients, tries = many(retries, first)
        found = {one.rule for one in judge(clients, tries, first, LIMITS)}
        assert found == ({"over budget"} if broken else set()), (retries, first)


def test_dead_connections_are_not_on_the_budget():
    clients, tries = many(60, 60)
    for idle in ({"reused": True}, {"rested": 0.5}):
        dead = [dataclasses.replace(one, fault="closed", status=0, **idle) if one.outcome == "failed" else one for one in tries]
        assert judge(clients, dead, 60, LIMITS) == []
    fresh = [dataclasses.replace(one, fault="closed", status=0) if one.outcome == "failed" else one for one in tries]
    assert {one.rule for one in judge(clients, fresh, 60, LIMITS)} == {"over budget"}


def test_a_spent_budget_excuses():
    """While no more retries are allowed at alpha, it may not be asked again; but beta was not asked at all."""
    storm = [visit("alpha", n % 3, 0.001 * n, "500", 1 + n // 3) for n in range(60)]
    for beta, excused in [(["503"] * plan.VISITS, True), (FINE_ALL, False)]:
        client = failed(500, tries=1, began=0.0, ended=0.07, scripts={"alpha": ["500", *FINE_ALL], "beta": beta})
        found = judge([client], [*storm, visit("alpha", 0, 0.061, "500")], 1, LIMITS)
        assert ("gave up" not in {one.rule for one in found if one.id == client.id}) == excused


def test_a_refused_key_rests():
    """One try a second finds out whether it is good again; what was under way at the first refusal could not know."""
    for every, last, broken in [(2.0, 20, False), (0.2, 20, True), (0.01, 1, False)]:
        tries, clients = [], []
        for number in range(int(last / every)):
            at = number * every
            tries += [visit("alpha", 0, at, "401", number, key="sk-old"), visit("beta", 0, at + 0.1, number_of_request=number)]
            clients.append(answered(tries[-1]))
        assert {one.rule for one in judge(clients, tries, len(clients), LIMITS)} == ({"refused key"} if broken else set()), every


def test_requests_are_counted():
    first, other = visit("alpha", 0, 0.1), visit("alpha", 0, 0.1, number_of_request=9)
    assert [(one.rule, one.id) for one in judge([answered(first)], [first], 2, LIMITS)] == [("lost", "s-000001")]
    assert [(one.rule, one.id) for one in judge([answered(first)], [first, other], 1, LIMITS)] == [("stranger", "s-000009")]
    nameless = dataclasses.replace(other, id="")
    assert [one.rule for one in judge([answered(first)], [first, nameless], 1, LIMITS)] == ["stranger"]
    assert [one.rule for one in judge([answered(first)] * 2, [first], 1, LIMITS)] == ["answered twice"]


def test_where_answers_have_no_name_they_are_all_the_same():
    by = visit("alpha", 0, 0.1)
    direct = answered(by, id="d-000000", arm="direct", text="You said d-000000.")
    assert judge([direct, answered(by, text="You said s-000000.")], [by], 1, LIMITS) == []
    for text in ("You said s-000001.", "You said s-000000.You said s-000000.", "You said"):
        assert [one.rule for one in judge([direct, answered(by, text=text)], [by], 1, LIMITS)] == ["answered twice"], text


def test_shapes():
    openai, anthropic = json.dumps(words.error(plan.CHAT, 429)), json.dumps(words.error(plan.MESSAGES, 429))
    assert (wrong_shape("chat", openai), wrong_shape("messages", anthropic)) == ("", "")
    for dialect, body in [("chat", anthropic), ("messages", openai), ("chat", "[]"), ("chat", '{"error":"x"}'), ("messages", '{"type":"error","error":{"type":"x","message":""}}')]:
        assert wrong_shape(dialect, body), (dialect, body)


def test_records_come_back_as_they_were(tmp_path):
    write(tmp_path / "upstream-alpha.jsonl", SPENT)
    write(tmp_path / "clients.jsonl", [failed()])
    assert read_tries(tmp_path) == SPENT
    assert read_heard(tmp_path / "clients.jsonl") == [failed()]


# ── The plan ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_plan_is_a_function_of_its_seed_and_fails_as_often_as_it_says():
    cast, total = plan.CASTS["scripted"], 3000
    calls = [plan.call(cast, 1, number) for number in range(total)]
    assert calls == [plan.call(cast, 1, number) for number in range(total)] != [plan.call(cast, 2, number) for number in range(total)]
    asked = [one for one in calls if one.kind == "ask"]
    fates = [fate for one in asked for fate in plan.script(cast, 1, total, one, "beta")]
    assert 0.28 < sum(fate != "fine" for fate in fates) / len(fates) < 0.32
    assert set(fates) == {"fine", *(name for name, fault in faults.FAULTS.items() if fault.weight)}, "every fault is drawn"
    assert not any(faults.FAULTS[fate].streams_only for one in asked if not one.stream for fate in plan.script(cast, 1, total, one, "beta") if fate != "fine")
    down = [one for one in asked if 0.46 < one.number / total < 0.54]
    assert {fate for one in down for fate in plan.script(cast, 1, total, one, "alpha")} == set(faults.OUTAGE)
    kinds = {kind: sum(one.kind == kind for one in calls) for kind in ("ask", "refused", "once")}
    assert kinds["ask"] > 0.88 * total and kinds["refused"] > 0.03 * total and kinds["once"] > 0.02 * total
