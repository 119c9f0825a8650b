"""A whole run: the providers, the proxy before them, the clients; then the judge."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from support.process import BINARY

from . import oracle, records
from .casting import providers
from .clients import Run, perform
from .plan import CASTS
from .records import Heard, Try
from .world import proxy, settings

# llmock speaks Messages below a path of its own.
ANTHROPIC_BASE = {"llmock": "/anthropic"}


@dataclass(frozen=True)
class Order:
    """What is to be run."""

    cast: str = "scripted"
    requests: int = 10_000
    seed: int = 1
    clients: int = 48
    seconds: float = 900
    driver: str = "auto"


@dataclass
class Found:
    head: dict
    heard: list[Heard]
    tries: list[Try]
    violations: list[oracle.Violation]


def run(order: Order, folder: Path) -> None:
    """Everything about it is in the folder afterwards."""
    cast, began = CASTS[order.cast], time.monotonic()
    base = ANTHROPIC_BASE.get(cast.name, "")
    for old in folder.glob("upstream-*.jsonl"):
        old.unlink()  # another cast has other providers
    with (
        providers(cast, order.seed, order.requests, folder) as ports,
        proxy(settings(cast, ports, base), order.driver, folder / "sidestream.log") as sidestream,
    ):
        alive = {name: ("127.0.0.1", port) for name, port in ports.items()}
        clients = Run(cast, order.seed, order.requests, sidestream.address, alive, time.monotonic() + order.seconds, {"messages": base})
        records.write(folder / "clients.jsonl", perform(clients, order.clients))
        driver = sidestream.start["driver"]
    head = {**asdict(order), "took": time.monotonic() - began, "program": Path(BINARY).name, "driver": driver}
    (folder / "run.json").write_text(json.dumps(head))


def judged(folder: Path) -> Found:
    """What the folder of a run proves."""
    head = json.loads((folder / "run.json").read_text())
    heard, tries = records.read_heard(folder / "clients.jsonl"), records.read_tries(folder)
    return Found(head, heard, tries, oracle.judge(heard, tries, head["requests"]))
