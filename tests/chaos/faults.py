"""The ways in which a provider fails, and what a proxy can do about each."""

import random
from dataclasses import dataclass
from enum import Enum

FAIL_PERCENT = 30
FINE = "fine"


class When(Enum):
    """How far an answer had come. Before its first word goes to the client, another try hides the failure."""

    BEFORE = "before"  # no answer at all, or one that is an error
    HELD = "held"  # a stream's head, and then an error or the end before its first word
    INSIDE = "inside"  # words had been sent


@dataclass(frozen=True)
class Fault:
    """`weight`: how often it is drawn among the failures. `status`: of the answer; 0 where none comes."""

    name: str
    when: When
    weight: int
    status: int = 0
    retry_after_ms: int = 0
    streams_only: bool = False
    elsewhere: bool = False  # the same provider need not be asked again for this request
    mock: tuple[tuple[str, str], ...] = ()  # the control headers that have `sidestream mock` fail so


def _mock(**headers) -> tuple[tuple[str, str], ...]:
    return tuple((f"x-mock-{name.replace('_', '-')}", str(value)) for name, value in headers.items())


def _status(status: int, weight: int, name: str = "", retry_after_ms: int = 0) -> Fault:
    headers = {"status": status, **({"retry_after": 1} if retry_after_ms == 1000 else {})}
    return Fault(name or str(status), When.BEFORE, weight, status, retry_after_ms, mock=_mock(**headers))


FAULTS = {
    fault.name: fault
    for fault in (
        # The way there.
        Fault("reset", When.BEFORE, 8),  # a reset instead of an answer
        Fault("closed", When.BEFORE, 10),  # the end instead of an answer: on a kept connection that is a stale one
        Fault("garbage", When.BEFORE, 6, mock=_mock(framing="garbage")),  # bytes that are not HTTP
        Fault("slow", When.BEFORE, 6, elsewhere=True, mock=_mock(delay_head_ms=6000)),  # nothing within the time for a first byte
        # Answers that say: not now.
        _status(408, 4),
        _status(409, 4),
        _status(429, 7),
        _status(429, 7, "429-soon", retry_after_ms=60),
        _status(429, 1, "429-later", retry_after_ms=1000),
        _status(500, 8),
        _status(502, 5),
        _status(502, 4, "502-html"),  # a middle box's page
        _status(503, 8),
        _status(504, 3),
        _status(529, 10),
        _status(401, 0),  # drawn by nobody: what a revoked key is told
        # A 200 that comes to nothing.
        Fault("error-first", When.HELD, 10, 200, streams_only=True, mock=_mock(error_at=0)),
        Fault("cut-first", When.HELD, 5, 200, streams_only=True, mock=_mock(cut_at=0)),
        # Too late to hide; it has to be told.
        Fault("cut", When.INSIDE, 1, 200, mock=_mock(cut_at=4)),
        Fault("cut-reset", When.INSIDE, 1, 200, mock=_mock(reset_at=4)),
        Fault("error-inside", When.INSIDE, 1, 200, streams_only=True, mock=_mock(error_at=4)),
        Fault("ends-early", When.INSIDE, 1, 200, streams_only=True),  # a regular end of the body, but not of the answer
        Fault("stall", When.INSIDE, 1, 200, mock=_mock(stall_at=4)),  # nothing within the time between two events
    )
}
# What providers say of requests that are wrong: not theirs to mend by another try, nor anybody else's.
REFUSALS = {"400": 400, "413": 413, "422": 422}
REVOKED = FAULTS["401"]
# The port at which nobody listens.
REFUSED = Fault("refused", When.BEFORE, 0)
OUTAGE = ("reset", "500", "503", "529")


def draw(luck: random.Random, stream: bool, percent: int = FAIL_PERCENT, of: tuple[str, ...] = ()) -> str:
    """What happens to one visit: `FINE`, or a fault's name, among those `of` which there are."""
    if luck.random() * 100 >= percent:
        return FINE
    possible = [f for f in FAULTS.values() if (stream or not f.streams_only) and (not of or f.name in of)]
    return luck.choices(possible, [f.weight for f in possible])[0].name


def when(name: str) -> When | None:
    """None: no failure, or one that is the client's."""
    if name == REFUSED.name:
        return When.BEFORE
    return FAULTS[name].when if name in FAULTS else None
