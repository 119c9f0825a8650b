"""The judge. It reads what the upstreams and the clients wrote down, and nothing else: not the proxy's log, nor its metrics.

A rule is a function from one request's case to the reasons why it was broken; `RULES` names them all. What concerns no single
request (the budget of retries, requests that nobody made) is judged over the whole run."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from . import plan, words
from .faults import FAULTS, FINE, REFUSALS, REFUSED, REVOKED, When, when
from .records import Heard, Try, line

MARK = re.compile(r"<([ds]-\d+)/([\w-]+)/(\d+)>")
# Of a wait that an upstream asked for, what its clock and the proxy's may differ.
SLACK_SECONDS = 0.010
# An upstream notes a request when it comes to read it, which was sent before.
LATE_SECONDS = 0.1


@dataclass(frozen=True)
class Limits:
    """What the proxy was told, and what it promises: retries at a provider are at most `retry_share` of first visits, one in
    `retry_seconds`, and `retry_floor` more, which is also the most that can be saved up."""

    max_tries: int = plan.MAX_TRIES
    max_retries: int = plan.MAX_RETRIES
    deadline: float = plan.DEADLINE_SECONDS
    retry_share: float = 0.5
    retry_floor: int = 20
    retry_seconds: float = 10.0
    retry_slack: int = 5  # visits that overtook each other on their way
    key_seconds: float = 1.0  # a key that was refused rests for longer than that


@dataclass(frozen=True)
class Violation:
    rule: str
    id: str
    why: str
    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([f"{self.rule}: {self.id}: {self.why}", *(f"    {text}" for text in self.lines)])


@dataclass
class Case:
    """One request through sidestream: what its client heard, and its visits, in their order."""

    heard: Heard
    tries: list[Try]
    limits: Limits
    spent: dict[str, list[float]] = field(default_factory=dict)  # provider → the moments at which its budget of retries was spent
    usual: str = ""  # the text of every answer, where answers do not tell whose they are

    @property
    def last(self) -> Try | None:
        return self.tries[-1] if self.tries else None

    @property
    def told(self) -> int:
        """How many tries the answer says it took."""
        return int(self.heard.headers.get("x-sidestream-attempts", 0))

    def at(self, provider: str) -> list[Try]:
        return [one for one in self.tries if one.provider == provider]

    @property
    def lines(self) -> tuple[str, ...]:
        return ("client   " + line(self.heard), *("upstream " + line(one) for one in self.tries))


# ── Whether it had to fail ──────────────────────────────────────────────────────────────────────────────────────────


def lost(case: Case) -> Iterator[str]:
    """Every request gets an answer."""
    if case.heard.end in ("none", "closed", "late", "invalid"):
        yield f"no answer came ({case.heard.end}) {case.heard.note}".rstrip()
    cut_by_upstream = case.last and case.last.outcome == "failed" and when(case.last.fault) is When.INSIDE
    if case.heard.end == "cut" and not case.heard.stream and not cut_by_upstream:
        yield f"the answer was cut, but not by its upstream: {case.heard.note}"


def gave_up(case: Case) -> Iterator[str]:
    """No error reaches a client while a candidate that may still be asked would answer."""
    heard, last = case.heard, case.last
    if heard.kind != "ask" or heard.well or heard.begun or heard.words:
        return
    # The body of a blocking answer goes out as it comes in, or is held back to be translated: that is the proxy's affair.
    if not heard.stream and (heard.first_byte or last and when(last.fault) is When.INSIDE):
        return
    if heard.ended - heard.began >= case.limits.deadline - 0.5:
        return
    if could := [why for provider in heard.candidates if (why := would_answer(case, provider))]:
        yield f"after {len(case.tries)} tries of {case.limits.max_tries}: {'; '.join(could)}"


def would_answer(case: Case, provider: str) -> str:
    """Why this candidate would have answered, were it asked as often as is allowed; or nothing."""
    visits, limits = case.at(provider), case.limits
    left = min(limits.max_tries - max(len(case.tries), case.told), limits.max_retries + 1 - len(visits))
    if left <= 0 or any(map(was_silent, visits)):
        return ""
    if visits and any(case.heard.began <= at <= case.heard.ended + LATE_SECONDS for at in case.spent.get(provider, ())):
        return ""
    script = case.heard.scripts.get(provider)
    if script is None:
        return f"{provider} may be asked, and nobody knows that it would fail"
    answering = [visit for visit in range(len(visits), len(visits) + left) if script[visit] == FINE]
    return f"{provider} would have answered its visit {answering[0]}" if answering else ""


def was_silent(one: Try) -> bool:
    """It kept the request waiting, by its script or because this machine was busy: who was left so is not asked again."""
    return one.outcome in ("gone", "open") or one.fault in FAULTS and FAULTS[one.fault].elsewhere


# ── Whether more was done than may be ───────────────────────────────────────────────────────────────────────────────


def second_generation(case: Case) -> Iterator[str]:
    """Once the client has a byte of an answer, nothing is asked again."""
    late = [one for one in case.tries if case.heard.first_byte and one.began > case.heard.first_byte]
    if late:
        yield f"{late[0].provider} was asked {late[0].began - case.heard.first_byte:.3f} s after the client had the first byte of an answer"


def replayed(case: Case) -> Iterator[str]:
    """What may have had an effect is not sent again: files never, a stored response only after an answer that refused it."""
    if case.heard.kind != "once":
        return
    for before, after in zip(case.tries, case.tries[1:], strict=False):
        if case.heard.path == plan.FILES or before.status < 400:
            yield f"{case.heard.path} reached {before.provider} ({before.fault}) and was then sent to {after.provider}"


def client_fault_retried(case: Case) -> Iterator[str]:
    """What the client caused is answered once."""
    for before in case.tries[:-1]:
        if before.fault in REFUSALS:
            yield f"{before.provider} said {before.status}, which is the client's fault, and the request was sent again"


def over_budget(case: Case) -> Iterator[str]:
    """The tries of one request. That a kept connection turned out to be dead counts as none."""
    counted = [one for one in case.tries if not one.stale]
    if len(counted) > case.limits.max_tries:
        yield f"{len(counted)} tries, of {case.limits.max_tries}"
    for provider, visits in Counter(one.provider for one in counted).items():
        if visits > case.limits.max_retries + 1:
            yield f"{visits} visits to {provider}, of {case.limits.max_retries + 1}"
    if strangers := {one.provider for one in case.tries} - set(case.heard.candidates):
        yield f"the route for {case.heard.model} does not name {', '.join(sorted(strangers))}"


def retry_after_ignored(case: Case) -> Iterator[str]:
    """An upstream that says when to come back is not asked sooner for the same request. What a 429 says is about its key."""
    for provider in case.heard.candidates:
        visits = case.at(provider)
        for place, before in enumerate(visits):
            after = next((one for one in visits[place + 1 :] if before.status != 429 or one.key == before.key), None)
            early = before.ended + before.retry_after_ms / 1000 - after.began if after else 0
            if before.retry_after_ms and early > SLACK_SECONDS:
                yield f"{provider} asked for {before.retry_after_ms} ms, and was asked again {early * 1000:.0f} ms too early"


# ── Whether the answer is one ───────────────────────────────────────────────────────────────────────────────────────


def answered_twice(case: Case) -> Iterator[str]:
    """One generation, and it is the client's own."""
    full = [one for one in case.tries if one.outcome == "answered"]
    if len(full) > 1:
        yield f"answered in full {len(full)} times: by {', '.join(one.provider for one in full)}"
    if case.heard.words and (found := wrong_text(case)):
        yield found


def wrong_text(case: Case) -> str:
    heard, marks = case.heard, MARK.findall(case.heard.text)
    if not marks:
        odd = heard.well and generic(heard) != case.usual
        return f"not the text that everybody gets: {heard.text[:200]!r}" if odd else ""
    if len(marks) > 1:
        return f"the text holds the beginning of {len(marks)} answers"
    id, provider, visit = marks[0]
    if id != heard.id:
        return f"it got the answer to {id}"
    if not any((one.provider, one.visit) == (provider, int(visit)) for one in case.tries):
        return f"visit {visit} of {provider} answered, of which there is no record"
    expected = "".join(words.pieces(id, provider, int(visit)))
    right = heard.text == expected if heard.well else expected.startswith(heard.text)
    return "" if right else f"the text is not what {provider} said: {heard.text[:200]!r}"


def generic(heard: Heard) -> str:
    """The text without what is the request's own in it."""
    return heard.text.replace(heard.id, "ID")


def no_end(case: Case) -> Iterator[str]:
    """A stream ends with its last event, or with an error event. What an upstream ends regularly in the client's own dialect is passed
    on as it is, byte for byte: only a direct call could say more."""
    untouched = case.last and case.last.fault == "ends-early" and case.last.path.endswith(case.heard.path)
    if case.heard.stream and case.heard.end == "no end" and untouched:
        return
    if case.heard.stream and case.heard.end in ("no end", "cut"):
        yield f"the stream has neither its last event nor an error event ({case.heard.end}) {case.heard.note}".rstrip()
    elif case.heard.note and case.heard.end in ("whole", "error event"):
        yield case.heard.note


# ── Whether the error can be understood ─────────────────────────────────────────────────────────────────────────────


def not_the_dialect(case: Case) -> Iterator[str]:
    """Errors have the shape, the content type and the class of status that the client's library looks for."""
    heard = case.heard
    if heard.kind == "once" or heard.end not in ("error", "error event"):
        return
    if wrong := wrong_shape(heard.dialect, heard.body):
        yield f"{wrong}: {heard.body[:200]!r}"
    if heard.end != "error":
        return
    if not heard.headers.get("content-type", "").startswith("application/json"):
        yield f"content-type {heard.headers.get('content-type')}"
    classes = {one.status // 100 if one.status >= 400 else 5 for one in case.tries if one.outcome != "answered"}
    if not classes or any(REFUSED.name in script for script in heard.scripts.values()):
        classes.add(5)  # of a connection that nobody took there is no record
    if heard.status // 100 not in classes:
        yield f"status {heard.status}, where the tries ended with {', '.join(f'{c}xx' for c in sorted(classes))}"


def wrong_shape(dialect: str, body: str) -> str:
    try:
        found = json.loads(body)
        error = found["error"]
        texts = [error["type"], error["message"]]
    except (ValueError, LookupError, TypeError):
        return "no error of any dialect"
    if not all(isinstance(text, str) and text for text in texts):
        return "an error without type or message"
    if dialect == "messages":
        return "" if found.get("type") == "error" else "not an error of Messages"
    return "" if {"param", "code"} <= set(error) and "type" not in found else "not an error of OpenAI's"


def no_last_word(case: Case) -> Iterator[str]:
    """When every try is spent, the client's library is told not to begin again: it would repeat all of them."""
    heard = case.heard
    if heard.kind == "ask" and heard.end == "error" and heard.headers.get("x-should-retry") != "false":
        yield f"x-should-retry is {heard.headers.get('x-should-retry')}"


def miscounted(case: Case) -> Iterator[str]:
    """`x-sidestream-attempts`, where it is there, holds every visit."""
    if "x-sidestream-attempts" in case.heard.headers and case.told < len(case.tries):
        yield f"x-sidestream-attempts is {case.told}, and {len(case.tries)} tries arrived"


RULES = {
    "lost": lost,
    "gave up": gave_up,
    "second generation": second_generation,
    "replayed": replayed,
    "client's fault retried": client_fault_retried,
    "over budget": over_budget,
    "retry-after ignored": retry_after_ignored,
    "answered twice": answered_twice,
    "no end": no_end,
    "not the dialect": not_the_dialect,
    "no last word": no_last_word,
    "miscounted": miscounted,
}


# ── Over the whole run ──────────────────────────────────────────────────────────────────────────────────────────────


def judge(heard: Sequence[Heard], tries: Sequence[Try], total: int, limits: Limits = Limits()) -> list[Violation]:
    """Everything that went wrong on the way through sidestream. `total`: of the requests that were to be made."""
    through = [one for one in tries if not one.id.startswith("d-")]
    visits = defaultdict(list)
    for one in sorted(through, key=lambda one: one.began):
        visits[one.id].append(one)
    broken, spent = retry_budget(through, limits)
    texts = Counter(generic(one) for one in heard if one.arm == "direct" and one.well and one.kind == "ask")
    usual = texts.most_common(1)[0][0] if texts else ""
    cases = {one.id: Case(one, visits.get(one.id, []), limits, spent, usual) for one in heard if one.arm == "sidestream"}
    found = [Violation(rule, id, why, case.lines) for id, case in cases.items() for rule, reasons in RULES.items() for why in reasons(case)]
    return [*found, *unheard(heard, visits, total), *broken, *refused_keys(through, limits)]


def unheard(heard: Sequence[Heard], visits: dict[str, list[Try]], total: int) -> Iterator[Violation]:
    """Requests without a client's record, and visits of requests that nobody made."""
    known = [one.id for one in heard if one.arm == "sidestream"]
    for id, count in Counter(known).items():
        if count > 1:
            yield Violation("answered twice", id, f"its client wrote down {count} answers")
    for id in sorted({plan.id_of("sidestream", number) for number in range(total)} - set(known)):
        yield Violation("lost", id, "it was to be made, and there is no record of it", tuple(map(line, visits.get(id, ()))))
    for id in sorted(set(visits) - set(known)):
        if not 0 <= plan.number_of(id) < total:
            yield Violation("stranger", id or "(no id)", "an upstream was asked, but by no client", tuple(map(line, visits[id][:3])))


def retry_budget(tries: Sequence[Try], limits: Limits) -> tuple[list[Violation], dict[str, list[float]]]:
    """Retries must not double a struggling upstream's load: `broken`, and per provider the moments when no more were allowed."""
    broken, spent = [], {}
    for provider in sorted({one.provider for one in tries}):
        visits = sorted((one for one in tries if one.provider == provider), key=lambda one: one.began)
        owed, over, before = 0.0, None, visits[0].began
        counted = set()  # where the try before was stale, this one is not counted
        for one in visits:
            owed, before = max(0.0, owed - (one.began - before) / limits.retry_seconds), one.began
            if one.visit == 0:
                owed = max(0.0, owed - limits.retry_share)
            elif one.id not in counted:
                owed += 1
            (counted.add if one.stale else counted.discard)(one.id)
            if owed >= limits.retry_floor - limits.retry_slack:
                spent.setdefault(provider, []).append(one.began)
            if owed > limits.retry_floor + limits.retry_slack and not over:
                over = Violation("over budget", one.id, f"{provider} had {owed:.0f} retries more than its visits allow, which may be {limits.retry_floor}", (line(one),))
        broken += [over] if over else []
    return broken, spent


def refused_keys(tries: Sequence[Try], limits: Limits) -> Iterator[Violation]:
    """A key that a provider refuses is benched: now and then a request may find out whether it is good again."""
    for key in sorted({one.key for one in tries if one.fault == REVOKED.name}):
        refusals = sorted((one for one in tries if one.key == key), key=lambda one: one.began)
        since = refusals[0].ended + limits.key_seconds  # those under way at the first refusal could not know
        later = [one for one in refusals if one.began > since]
        if later and len(later) > 2 + (later[-1].began - since) / limits.key_seconds:
            lines = tuple(map(line, (refusals[0], *later[:2])))
            yield Violation("refused key", later[0].id, f"{key} of {later[0].provider} was used {len(later)} times in the {later[-1].began - since:.1f} s after it was refused", lines)
