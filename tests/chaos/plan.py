"""Who asks for what, and what each candidate will do about it: pure functions of a seed and a request's number, so that the
clients, the upstreams and the judge need not talk to each other."""

import json
import random
from dataclasses import dataclass, field

from . import faults

# Beyond the limits below, so that a visit too many has a script too.
VISITS = 8
MAX_TRIES = 4
MAX_RETRIES = 2
FIRST_BYTE_SECONDS = 1.0
IDLE_SECONDS = 1.0
DEADLINE_SECONDS = 25.0
# Of all requests, those in whose time the provider `alpha` is down altogether.
OUTAGE = (0.45, 0.55)

CHAT, MESSAGES, RESPONSES, FILES = "/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/files"
BOTH, OPENAI, ANTHROPIC = "openai anthropic", "openai", "anthropic"


@dataclass(frozen=True)
class Cast:
    """Providers by name with the faces that they have, and the routes as a user writes them: pattern → targets."""

    name: str
    providers: dict[str, str]
    routes: dict[str, tuple[str, ...]]
    dead: tuple[str, ...] = ()  # nobody listens there
    keys: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of a provider with several
    revoked: tuple[str, ...] = ()  # those of them that it no longer takes
    scripted: bool = True  # what they do is in the plan
    echoes: bool = True  # an answer tells whose it is
    once: bool = True  # they know the endpoints whose requests are sent once

    def candidates(self, model: str) -> list[str]:
        """The providers for a model, in their order."""
        return [target.partition("/")[0] for target in self.routes[model.partition("-")[0] + "-*"]]

    def text(self) -> str:
        return "; ".join(f"{pattern} -> {', '.join(targets)}" for pattern, targets in self.routes.items())


CASTS = {
    cast.name: cast
    for cast in (
        Cast(
            "scripted",
            {"alpha": BOTH, "beta": BOTH, "gamma": OPENAI, "delta": ANTHROPIC, "dead": BOTH},
            {
                "plain-*": ("alpha", "beta/beta-large"),  # bytes pass untouched
                "crossed-*": ("gamma/gamma-1", "delta/delta-1"),  # one of the two needs a translation
                "down-*": ("dead", "alpha", "beta"),  # the first one refuses connections
            },
            dead=("dead",),
            keys={"beta": ("sk-beta-1", "sk-beta-revoked", "sk-beta-2")},
            revoked=("sk-beta-revoked",),
        ),
        Cast("mock", {"alpha": BOTH, "gamma": OPENAI, "delta": ANTHROPIC}, {"plain-*": ("alpha", "gamma", "delta"), "crossed-*": ("gamma", "delta")}, echoes=False, once=False),
        Cast("llmock", {"lima": BOTH, "oscar": OPENAI}, {"plain-*": ("lima", "oscar"), "crossed-*": ("oscar", "lima")}, scripted=False, once=False),
    )
}


@dataclass(frozen=True)
class Call:
    """One request. `kind`: "ask"; "refused", which every provider answers with `refusal`; "once", which must not be repeated."""

    number: int
    kind: str
    path: str
    model: str
    stream: bool
    refusal: str = ""
    candidates: list[str] = field(default_factory=list)

    @property
    def dialect(self) -> str:
        return "messages" if self.path == MESSAGES else "chat"

    def body(self, id: str) -> bytes:
        if self.path == FILES:
            return f'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\n{id}'.encode()
        if self.path == RESPONSES:
            return json.dumps({"model": self.model, "input": f"Say {id}."}).encode()
        messages = [{"role": "user", "content": f"Say {id}."}]
        return json.dumps({"model": self.model, "max_tokens": 100, "messages": messages, "stream": self.stream}).encode()

    def headers(self, id: str) -> list[tuple[str, str]]:
        fields = [("x-request-id", id)]
        if self.path == FILES:
            return [*fields, ("Content-Type", "multipart/form-data; boundary=b"), ("x-sidestream-provider", self.candidates[0])]
        fields.append(("Content-Type", "application/json"))
        return [*fields, ("anthropic-version", "2023-06-01")] if self.path == MESSAGES else fields


def call(cast: Cast, seed: int, number: int) -> Call:
    luck = random.Random(f"call/{seed}/{number}")
    dialect, stream, lot = luck.choice((CHAT, MESSAGES)), luck.random() < 0.5, luck.random()
    families = [pattern.partition("-")[0] for pattern in cast.routes]
    model = f"{luck.choices(families, [4, 4, 2][: len(families)])[0]}-{luck.randrange(3)}"
    kind, refusal = "ask", ""
    if cast.scripted and lot < 0.05:
        kind, refusal = "refused", luck.choice(list(faults.REFUSALS))
    elif cast.once and lot < 0.09:
        kind, stream, dialect = "once", False, luck.choice((FILES, RESPONSES))
        model = f"plain-{luck.randrange(3)}"
    return Call(number, kind, dialect, model, stream, refusal, cast.candidates(model))


def script(cast: Cast, seed: int, total: int, asked: Call, provider: str) -> list[str]:
    """What a provider does on its first, second, … visit by a request. Empty: nobody knows beforehand."""
    if not cast.scripted:
        return []
    if provider in cast.dead:
        return [faults.REFUSED.name] * VISITS
    if asked.kind == "refused":
        return [asked.refusal] * VISITS
    down = provider == "alpha" and OUTAGE[0] <= asked.number / total < OUTAGE[1]
    luck = random.Random(f"script/{seed}/{asked.number}/{provider}")
    possible = () if cast.name == "scripted" else tuple(f.name for f in faults.FAULTS.values() if f.mock or f.name in ("reset", "closed"))
    if down:
        return [faults.draw(luck, asked.stream, 100, faults.OUTAGE) for _ in range(VISITS)]
    return [faults.draw(luck, asked.stream, of=possible) for _ in range(VISITS)]


def number_of(id: str) -> int:
    """`s-000017` → 17; -1 for an id that is none of ours."""
    digits = id[2:]
    return int(digits) if id[:2] in ("d-", "s-") and digits.isdigit() else -1


def id_of(arm: str, number: int) -> str:
    return f"{arm[0]}-{number:06d}"
