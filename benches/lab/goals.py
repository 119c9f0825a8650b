"""Where to arrive: the goals of the project as data, and how a run's figures stand to them."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from .arms import DIRECT, FLOOR, SIDESTREAM
from .cases import loads
from .measure import Results
from .stats import Estimate, estimate, ratio

LITELLM = "litellm"
MET, WITHIN, MISSED = "met", "within the limit", "MISSED"


@dataclass(frozen=True)
class Goal:
    """`measured` gives the figure of a run, or None where the run has none. `limit`: beyond it the matter stays open."""

    what: str
    unit: str
    goal: float
    limit: float | None
    measured: Callable[[Results], Estimate | None]


@dataclass(frozen=True)
class Standing:
    goal: Goal
    measured: Estimate

    @property
    def verdict(self) -> str:
        if self.measured.value <= self.goal.goal:
            return MET
        return WITHIN if self.goal.limit is not None and self.measured.value <= self.goal.limit else MISSED


def standings(results: Results) -> list[Standing]:
    """All goals that this run has figures for."""
    found = [(goal, goal.measured(results)) for goal in goals(results)]
    return [Standing(goal, measured) for goal, measured in found if measured]


# ── What is compared ────────────────────────────────────────────────────────────────────────────────────────────────


def against(arm: str, case: str, placement: str = "own", theirs: str | None = None, figure: str = "cpu_us"):
    """sidestream's figure of a case divided by that of an arm, of the same case or of `theirs`."""

    def measured(results: Results) -> Estimate | None:
        ours = results.series(placement, case, SIDESTREAM, figure)
        return ratio(ours, results.series(placement, theirs or case, arm, figure))

    return measured


def added_latency(arm: str, case: str, placement: str):
    """What sidestream adds to the median latency of `direct`, divided by what an arm adds."""

    def added(results: Results, name: str) -> dict[int, float]:
        ours, direct = (results.series(placement, case, one, "latency_p50_us") for one in (name, DIRECT))
        return {n: value - direct[n] for n, value in ours.items() if n in direct}

    return lambda results: ratio(added(results, SIDESTREAM), added(results, arm))


def figure(case: str, name: str, scale: float = 1.0):
    """A figure of sidestream's own."""

    def measured(results: Results) -> Estimate | None:
        values = list(results.series("own", case, SIDESTREAM, name).values())
        return estimate([value * scale for value in values]) if values else None

    return measured


# ── The goals ───────────────────────────────────────────────────────────────────────────────────────────────────────


def goals(results: Results) -> list[Goal]:
    return [*_passed_through(), *_translated(), *_tls(), *_gateways(results), *_memory_and_rest()]


def _passed_through() -> list[Goal]:
    found = []
    for placement, nginx in (("own", 0.72), ("one", 0.5)):
        where = f", {placement} core"
        found += [
            Goal(f"JSON 1 KB, 32 connections{where}: CPU", "× floor", 1.12, 1.2, against(FLOOR, "json-32", placement)),
            Goal(f"JSON 1 KB, 32 connections{where}: CPU", "× nginx", nginx, None, against("nginx", "json-32", placement)),
            Goal(f"JSON 1 KB, 1 connection{where}: CPU", "× floor", 1.12, 1.2, against(FLOOR, "json-1", placement)),
            Goal(f"JSON 1 KB, 1 connection{where}: added median latency", "× floor", 1.12, 1.2, added_latency(FLOOR, "json-1", placement)),
            Goal(f"SSE, per chunk{where}: CPU", "× floor", 1.15, 1.25, against(FLOOR, "sse", placement)),
            Goal(f"SSE, per chunk{where}: CPU", "× nginx", 1.0, None, against("nginx", "sse", placement)),
            Goal(f"SSE, per chunk{where}: CPU", "× HAProxy", 1.0, None, against("haproxy", "sse", placement)),
        ]
    return [*found, Goal("agent's turn, 49 KB: CPU", "× nginx", 1.3, 1.6, against("nginx", "agent"))]


def _translated() -> list[Goal]:
    pairs = {"Messages client, Chat upstream": ("sse-messages-on-chat", "sse-messages"), "Chat client, Messages upstream": ("sse-chat-on-messages", "sse")}
    events = [
        Goal(f"SSE translated, per event, {what}: CPU", "× our pass-through", 1.1, 1.2, against(SIDESTREAM, case, theirs=passed))
        for what, (case, passed) in pairs.items()
    ]
    turn = against("nginx", "agent-translated", theirs="agent")
    return [*events, Goal("agent's turn, 49 KB, translated: CPU", "× nginx passing it", 2.5, 4.0, turn)]


def _tls() -> list[Goal]:
    named = {"JSON": "json-tls", "SSE": "sse-tls"}
    return [Goal(f"TLS upstream, {what}: CPU", "× nginx", 0.7, 0.9, against("nginx", case)) for what, case in named.items()]


def _gateways(results: Results) -> list[Goal]:
    """For each case that a gateway did: a quarter of the best compiled one, a fortieth of LiteLLM's."""
    compiled = [name for name, kind in results.kinds.items() if kind == "compiled gateway"]
    found = []
    for case in (case.name for case in loads()):
        cpu = {name: list(results.series("own", case, name, "cpu_us").values()) for name in compiled}
        best = min((name for name in compiled if cpu[name]), key=lambda name: statistics.median(cpu[name]), default=None)
        if best:
            found.append(Goal(f"{case}: CPU", f"× {best}, the best compiled gateway", 1 / 4, 1 / 3, against(best, case)))
        found.append(Goal(f"{case}: CPU", "× LiteLLM", 1 / 40, None, against(LITELLM, case)))
    return found


def _memory_and_rest() -> list[Goal]:
    return [
        Goal("10,000 idle streams, plain upstream: resident, each", "KiB", 12, 24, figure("streams-10000", "each_kib")),
        Goal("10,000 idle connections: resident, each", "KiB", 4, 8, figure("idle-connections", "each_kib")),
        Goal("a translated request of 1 MB: worst added gap of a running stream", "ms", 0.3, 1.0, figure("head-of-line-translated", "added_gap_us", 1e-3)),
        Goal("idle: resident", "MiB", 5, 8, figure("idle", "resident_kib", 1 / 1024)),
        Goal("idle: wake-ups in 10 s", "", 0, None, figure("idle", "wakeups")),
        Goal("start to the first answer", "ms", 10, 20, figure("start", "first_answer_ms")),
    ]
