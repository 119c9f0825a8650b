"""What is asked across the distance, and how often."""

import json
from argparse import Namespace
from dataclasses import dataclass, field

from ..cases import CODE, Ask, chat, compact

RTTS_MS = (20.0, 50.0, 100.0)
PAIRS_MIN, PAIRS_MAX = 300, 1500
WARM_SECONDS = 60.0  # in which a warm lane makes as many pairs as it can, if it is more than the least
QUICK_PAIRS_MIN, QUICK_PAIRS_MAX = 10, 300
QUICK_SECONDS = 20.0
LONG_BYTES = 200_000
PROCESS_SECONDS = 0.07  # to start and end one, of a cold pair's two
LOSSY, LOSSY_WHAT = "lossy", "1 KB, kept connections, an upstream of which a share of the answers are faults"
LOSSY_PAIRS, LOSSY_PAIRS_QUICK, LOSSY_CLIENTS = 2000, 400, 4
LOSSY_SHARE = 0.1
BESIDE_SECONDS = 20.0  # starting everyone, looking at the delaying proxies, drawing intervals


@dataclass(frozen=True, eq=False)
class Case:
    """`trips`: the round trips that a pair takes, direct and through sidestream together, as far as they are known before."""

    name: str
    what: str
    ask: Ask = field(repr=False)
    cold: bool
    trips: float

    def pair_seconds(self, rtt_ms: float) -> float:
        return self.trips * rtt_ms / 1000 + (2 * PROCESS_SECONDS if self.cold else 0.004)


def long_prompt() -> Ask:
    """A Chat request of 200 KB."""
    ask = chat(False)
    body = json.loads(ask.body)
    body["messages"][0]["content"] = CODE * (LONG_BYTES // len(compact(CODE)))
    return Ask(ask.path, ask.headers, compact(body))


def cases() -> list[Case]:
    short, long = chat(False), long_prompt()
    return [
        Case("warm-1k", "a warm client: one connection that is kept, 1 KB each way", short, cold=False, trips=2),
        Case("warm-200k", "the same with a prompt of 200 KB", long, cold=False, trips=2),
        Case("cold-1k", "a client process for each call, 1 KB each way", short, cold=True, trips=4),
        Case("cold-200k", "the same with a prompt of 200 KB", long, cold=True, trips=8),
    ]


@dataclass(frozen=True)
class Plan:
    """`asked_pairs`: so many, whatever the distance."""

    cases: list[Case]
    rtts_ms: list[float]
    lossy: bool
    quick: bool
    asked_pairs: int | None
    share: float

    def pairs(self, case: Case, rtt_ms: float) -> int:
        if self.asked_pairs:
            return self.asked_pairs
        if self.quick:
            return round(min(max(QUICK_SECONDS / case.pair_seconds(rtt_ms), QUICK_PAIRS_MIN), QUICK_PAIRS_MAX))
        return round(min(max(0 if case.cold else WARM_SECONDS / case.pair_seconds(rtt_ms), PAIRS_MIN), PAIRS_MAX))

    @property
    def lossy_pairs(self) -> int:
        return self.asked_pairs or (LOSSY_PAIRS_QUICK if self.quick else LOSSY_PAIRS)

    def case_seconds(self, case: Case) -> float:
        """Of the lane that takes longest."""
        return max(self.pairs(case, rtt) * case.pair_seconds(rtt) for rtt in self.rtts_ms)

    @property
    def lossy_seconds(self) -> float:
        """With a connection opened anew for each failure, and tries of sidestream's."""
        trips = 2 + 6 * self.share
        return self.lossy_pairs / LOSSY_CLIENTS * (trips * self.rtts_ms[0] / 1000 + 0.01)

    @property
    def seconds(self) -> float:
        return BESIDE_SECONDS + sum(map(self.case_seconds, self.cases)) + (self.lossy_seconds if self.lossy else 0)


def plan(options: Namespace) -> Plan:
    chosen = [case for case in cases() if not options.case or case.name in options.case]
    lossy = not options.case or LOSSY in options.case
    return Plan(chosen, sorted(options.rtt or RTTS_MS), lossy, options.quick, options.pairs, options.loss / 100)
