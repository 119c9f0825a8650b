"""Many clients at once. Each takes the next request and makes it twice, in an order that luck decides: directly, at the first
candidate that speaks its dialect and is alive, and through sidestream. A client never repeats a request."""

import random
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from support.wire import Client

from .hear import hear
from .plan import DEADLINE_SECONDS, FIRST_BYTE_SECONDS, IDLE_SECONDS, MESSAGES, VISITS, Call, Cast, call, id_of, script
from .records import Heard

ARMS = ("direct", "sidestream")
# A direct client waits as long as the proxy does for the same provider; behind the proxy it outwaits all tries.
PATIENCE = {"direct": max(FIRST_BYTE_SECONDS, IDLE_SECONDS), "sidestream": DEADLINE_SECONDS + 5}


@dataclass
class Run:
    """What all clients share."""

    cast: Cast
    seed: int
    total: int
    proxy: tuple[str, int]
    providers: dict[str, tuple[str, int]]  # those that are alive
    until: float  # nothing is begun after it
    base: dict[str, str] = field(default_factory=dict)  # what stands before a path at a provider, by the path's dialect
    heard: list[Heard] = field(default_factory=list)
    next: Iterable[int] = ()
    lock: threading.Lock = field(default_factory=threading.Lock)
    failures: list[BaseException] = field(default_factory=list)

    def take(self) -> int | None:
        with self.lock:
            return next(self.next, None) if time.monotonic() < self.until else None


class One:
    """A client with the connections that it keeps."""

    def __init__(self, run: Run):
        self.run, self.kept = run, {}

    def work(self) -> None:
        try:
            while (number := self.run.take()) is not None:
                asked = call(self.run.cast, self.run.seed, number)
                arms = random.Random(f"arms/{self.run.seed}/{number}").sample(ARMS, 2)
                found = [self.ask(asked, arm) for arm in arms]
                with self.run.lock:
                    self.run.heard += found
        except BaseException as error:  # noqa: BLE001 - told by `perform`
            self.run.failures.append(error)
        finally:
            for client in self.kept.values():
                client.close()

    def ask(self, asked: Call, arm: str) -> Heard:
        heard = self.blank(asked, arm)
        address, target = self.run.proxy, asked.path
        if arm == "direct":
            provider = first_that_speaks(self.run.cast, asked)
            address, target = self.run.providers[provider], self.run.base.get(heard.dialect, "") + asked.path
        heard.began, client = time.monotonic(), None
        try:
            client = self.kept.pop(address, None) or Client(address, PATIENCE[arm])
            client.request("POST", target, asked.body(heard.id), asked.headers(heard.id))
            hear(client, asked, heard)
        except OSError as error:
            heard.end, heard.note = "closed", str(error)
        heard.ended = time.monotonic()
        if usable(client, heard):
            self.kept[address] = client
        elif client:
            client.close()
        return heard

    def blank(self, asked: Call, arm: str) -> Heard:
        run = self.run
        scripts = {name: plan for name in asked.candidates if (plan := script(run.cast, run.seed, run.total, asked, name)[:VISITS])}
        return Heard(id_of(arm, asked.number), asked.number, arm, asked.kind, asked.path, asked.dialect, asked.stream, asked.model, asked.candidates, scripts)


def usable(client: Client | None, heard: Heard) -> bool:
    """Whether the connection stands where a next request may begin."""
    over = heard.end in ("whole", "error", "error event", "no end") and not heard.note
    return client is not None and over and not client.ended and not client.buffer and heard.headers.get("connection", "").lower() != "close"


def first_that_speaks(cast: Cast, asked: Call) -> str:
    face = "anthropic" if asked.path == MESSAGES else "openai"
    return next(name for name in asked.candidates if name not in cast.dead and face in cast.providers[name])


def perform(run: Run, clients: int) -> list[Heard]:
    """All requests, in both arms."""
    run.next = iter(range(run.total))
    threads = [threading.Thread(target=One(run).work, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if run.failures:
        raise run.failures[0]
    return sorted(run.heard, key=lambda one: (one.arm, one.number))
