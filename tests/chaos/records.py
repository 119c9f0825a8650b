"""What upstreams and clients write down, a JSON object a line: all that the judge may read. Times are of CLOCK_MONOTONIC, which
the processes of one machine share."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path


# Who opens a connection for a request sends it sooner.
SPARE_SECONDS = 0.02


@dataclass
class Try:
    """A request that arrived at an upstream, and how it went. `outcome`: "answered" in full, "failed" as the fault says, "gone"
    where the peer left before the end."""

    id: str
    provider: str
    visit: int  # how many times the same request was here before
    began: float
    ended: float = 0.0
    path: str = ""
    model: str = ""
    key: str = ""
    connection: int = 0
    reused: bool = False  # it was not the first request of its connection
    rested: float = 0.0  # how long the connection had been idle before it
    fault: str = "fine"
    status: int = 0  # of the head that was sent; 0: none was
    retry_after_ms: int = 0
    words: int = 0  # pieces of text that were sent
    outcome: str = "open"

    @property
    def stale(self) -> bool:
        """It failed as a kept connection does, or a spare one, that the other side has closed."""
        return (self.reused or self.rested > SPARE_SECONDS) and self.outcome == "failed" and self.status == 0 and self.fault in ("closed", "reset")


@dataclass
class Heard:
    """What one client got for one request. `end`: "whole"; "error", an answer that is one; "error event" inside a stream; "no end",
    a stream whose framing ends without its last event; "cut" inside the body; "closed", "invalid", "late": no answer came."""

    id: str
    number: int
    arm: str  # "direct" or "sidestream"
    kind: str
    path: str
    dialect: str
    stream: bool
    model: str
    candidates: list[str]
    scripts: dict[str, list[str]]
    began: float = 0.0
    first_byte: float = 0.0  # of an answer that is none of an error; 0: it never came
    ended: float = 0.0
    status: int = 0
    end: str = "none"
    begun: bool = False  # a block of an answer was opened, with or without words in it
    words: int = 0
    text: str = ""
    body: str = ""  # of an error, or the error event's data
    headers: dict[str, str] = field(default_factory=dict)  # those that a rule is about
    note: str = ""  # what a strict reader found wrong

    @property
    def well(self) -> bool:
        return self.end == "whole"


def line(record: Try | Heard) -> str:
    return json.dumps(asdict(record), separators=(",", ":"))


def write(path: Path, records: Iterable[Try | Heard]) -> None:
    path.write_text("".join(line(record) + "\n" for record in records))


def read_tries(folder: Path) -> list[Try]:
    """Of all upstreams: every file whose name begins so."""
    lines = [text for path in sorted(folder.glob("upstream-*.jsonl")) for text in path.read_text().splitlines()]
    return sorted((Try(**json.loads(text)) for text in lines), key=lambda one: one.began)


def read_heard(path: Path) -> list[Heard]:
    return [Heard(**json.loads(text)) for text in path.read_text().splitlines()]
