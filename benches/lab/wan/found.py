"""What a run gave: pairs of calls, made side by side, and what they say of the aims."""

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

from .. import table
from ..goals import Goal, Standing
from ..stats import Estimate, estimate, number, quantile
from .plan import LOSSY, LOSSY_WHAT, cases
from .scene import DIRECT, SIDESTREAM
from .truth import Truth

Z = 1.96  # of an interval of 95 %
COLD_TRIPS, WARM_MS, WARM_P99_MS, FAILURES = -2, 0.2, 1.0, 0.1  # the aims, each an upper bound
MODEL = (
    "bytes take half a round trip each way, TLS from end to end; nothing passes through a new connection for one further round trip "
    "(SYN, SYN-ACK); slow start from 10 segments of 1460 B for each connection and direction: what is acknowledged widens the window, "
    "which doubles it in each round trip, and a kept connection keeps it; halved for each RTO (200 ms + RTT) without a byte, as "
    "Linux does; no loss, no bandwidth, no limit of the receiver, no delayed acknowledgements"
)


@dataclass(frozen=True)
class Sample:
    """A call. `why`: it failed so."""

    rtt_ms: float
    case: str
    arm: str
    pair: int
    ms: float
    why: str


@dataclass
class Found:
    head: dict[str, str]
    truths: list[Truth] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    lateness: list[dict[str, Any]] = field(default_factory=list)  # of the delaying proxies, for each case and distance
    met: list[dict[str, int]] = field(default_factory=list)  # what the lossy upstreams did
    notes: list[str] = field(default_factory=list)
    whole: bool = True

    def rtts_ms(self, case: str) -> list[float]:
        return sorted({sample.rtt_ms for sample in self.samples if sample.case == case})

    def of(self, case: str, rtt_ms: float, arm: str) -> list[Sample]:
        return [sample for sample in self.samples if (sample.case, sample.rtt_ms, sample.arm) == (case, rtt_ms, arm)]

    def views(self) -> list["View"]:
        """Of all but the lossy upstream, where there is a pair of which both calls were answered."""
        return [view for view in self._views() if view.pairs]

    def _views(self) -> list["View"]:
        return [View.of(self, case.name, rtt) for case in cases() for rtt in self.rtts_ms(case.name)]

    def failures(self) -> list[str]:
        """Where calls failed that had no reason to, and how."""
        found = []
        for view in (view for view in self._views() if any(view.failed)):
            for arm in (DIRECT, SIDESTREAM):
                why = Counter(sample.why for sample in self.of(view.case, view.rtt_ms, arm) if sample.why)
                if why:
                    found.append(f"{view.case}, {view.rtt_ms:g} ms, {arm}: {why.total()} failed: {', '.join(why)}")
        return found

    def standings(self) -> list[Standing]:
        return [standing for view in self.views() for standing in view.standings()] + self.losses()

    def losses(self) -> list[Standing]:
        """Failures through sidestream as a multiple of those of direct calls; the interval is Wilson's, of sidestream's share alone."""
        found = []
        for rtt in self.rtts_ms(LOSSY):
            (ours, theirs) = (self.of(LOSSY, rtt, arm) for arm in (SIDESTREAM, DIRECT))
            failed = sum(bool(sample.why) for sample in theirs)
            if ours and failed:
                low, high = wilson(sum(bool(sample.why) for sample in ours), len(ours))
                share = failed / len(theirs)
                value = sum(bool(sample.why) for sample in ours) / len(ours) / share
                found.append(standing(f"lossy upstream, {rtt:g} ms: failures", "× direct's", FAILURES, Estimate(value, low / share, high / share)))
        return found

    # ── Output ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def text(self) -> str:
        parts = [*self.case_tables(), *self.lossy_table(), self.lateness_text(), *table.goal_table(self.standings()), *self.failures(), *self.notes]
        return "\n" + "\n\n".join(part for part in parts if part)

    def case_tables(self) -> list[str]:
        found = []
        for case in cases():
            views = [view for view in self.views() if view.case == case.name]
            if views:
                found.append(f"{case.name}: {case.what}; ms\n{table.table(HEAD, [view.row() for view in views])}")
        return found

    def lossy_table(self) -> list[str]:
        rows = []
        for rtt in self.rtts_ms(LOSSY):
            for arm in (DIRECT, SIDESTREAM):
                calls = self.of(LOSSY, rtt, arm)
                why = Counter(sample.why for sample in calls if sample.why)
                p50, p99 = (quantile([sample.ms for sample in calls], share) for share in (0.5, 0.99))
                told = ", ".join(f"{count} × {name}" for name, count in why.most_common())
                rows.append([arm, str(len(calls)), str(why.total()), f"{why.total() / len(calls):.1%}", number(p50), number(p99), told])
        if not rows:
            return []
        met = "; ".join(", ".join(f"{count} × {fate}" for fate, count in sorted(one.items())) or "nothing was asked" for one in self.met)
        return [f"{LOSSY}: {LOSSY_WHAT}\n{table.table(['', 'calls', 'failed', '', 'p50 ms', 'p99 ms', 'how'], rows)}\n  what the upstreams did: {met}"]

    def lateness_text(self) -> str:
        rows = [
            [f"{one['case']}, {one['rtt_ms']:g} ms", str(one["count"]), *(f"{one[name]:.3f}" for name in ("p50", "p99", "max"))]
            for one in self.lateness
            if one["count"]
        ]
        return f"the delaying proxy: how late pieces went out, ms\n{table.table(['', 'pieces', 'p50', 'p99', 'max'], rows)}" if rows else ""

    def json(self) -> str:
        goals = [
            {"what": s.goal.what, "unit": s.goal.unit, "goal": s.goal.goal, **asdict(s.measured), "verdict": s.verdict} for s in self.standings()
        ]
        document = {"head": self.head, "whole": self.whole, "goals": goals, "summary": [view.summary() for view in self.views()]}
        rest = {name: getattr(self, name) for name in ("lateness", "met", "notes")}
        lists = {"truths": [asdict(one) for one in self.truths], "samples": [asdict(one) for one in self.samples]}
        return json.dumps(document | rest | lists, indent=1, ensure_ascii=False) + "\n"


HEAD = ["round trip", "pairs", "direct p50", "p99", "sidestream p50", "p99", "differs at p50", "in round trips", "at p99", "failed"]


@dataclass(frozen=True)
class View:
    """One case at one distance: the pairs of which both calls were answered, as (direct, sidestream) in ms."""

    case: str
    rtt_ms: float
    pairs: tuple[tuple[float, float], ...]
    failed: tuple[int, int]

    @classmethod
    def of(cls, found: Found, case: str, rtt_ms: float) -> "View":
        calls = {arm: found.of(case, rtt_ms, arm) for arm in (DIRECT, SIDESTREAM)}
        answered = {arm: {sample.pair: sample.ms for sample in of if not sample.why} for arm, of in calls.items()}
        both = sorted(set(answered[DIRECT]) & set(answered[SIDESTREAM]))
        pairs = tuple((answered[DIRECT][pair], answered[SIDESTREAM][pair]) for pair in both)
        direct, ours = (sum(bool(sample.why) for sample in calls[arm]) for arm in (DIRECT, SIDESTREAM))
        return cls(case, rtt_ms, pairs, (direct, ours))

    @property
    def cold(self) -> bool:
        return self.case.startswith("cold")

    def quantile(self, arm: int, share: float) -> float:
        return quantile([pair[arm] for pair in self.pairs], share)

    def difference(self, share: float) -> Estimate:
        return difference(self.pairs, share)

    def trips(self) -> Estimate:
        found = self.difference(0.5)
        return Estimate(*(figure / self.rtt_ms for figure in (found.value, found.low, found.high)))

    def standings(self) -> list[Standing]:
        what = f"{self.case}, {self.rtt_ms:g} ms"
        if self.cold:
            return [standing(f"{what}: beside direct, p50", "round trips", COLD_TRIPS, self.trips())]
        return [
            standing(f"{what}: beside direct, p50", "ms", WARM_MS, self.difference(0.5)),
            standing(f"{what}: beside direct, p99", "ms", WARM_P99_MS, self.difference(0.99)),
        ]

    def row(self) -> list[str]:
        figures = [f"{self.quantile(arm, share):.2f}" for arm in (0, 1) for share in (0.5, 0.99)]
        failed = f"{self.failed[0]} direct, {self.failed[1]} through" if any(self.failed) else "0"
        return [f"{self.rtt_ms:g} ms", str(len(self.pairs)), *figures, signed(self.difference(0.5)), signed(self.trips()), signed(self.difference(0.99)), failed]

    def summary(self) -> dict[str, Any]:
        arms = {
            arm: {name: self.quantile(n, share) for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))} for n, arm in enumerate((DIRECT, SIDESTREAM))
        }
        differences = {f"difference_{name}_ms": asdict(self.difference(share)) for name, share in (("p50", 0.5), ("p99", 0.99))}
        failed = dict(zip((DIRECT, SIDESTREAM), self.failed, strict=True))
        return {"case": self.case, "rtt_ms": self.rtt_ms, "pairs": len(self.pairs), "failed": failed, "ms": arms, **differences}


@cache
def difference(pairs: tuple[tuple[float, float], ...], share: float) -> Estimate:
    """Of a quantile, sidestream's less direct's. Pairs are drawn whole: what disturbed one call disturbed its neighbour too."""

    def figure(drawn: Sequence[tuple[float, float]]) -> float:
        return quantile([ours for _, ours in drawn], share) - quantile([direct for direct, _ in drawn], share)

    return estimate(pairs, figure)


def standing(what: str, unit: str, goal: float, measured: Estimate) -> Standing:
    return Standing(Goal(what, unit, goal, None, lambda _: measured), measured)


def signed(found: Estimate) -> str:
    return f"{found.value:+.2f} [{found.low:+.2f}..{found.high:+.2f}]"


def wilson(count: int, of: int) -> tuple[float, float]:
    """Where a share lies with a confidence of 95 %; it says something of none in a thousand, too, which no resampling does."""
    share, spread = count / of, Z * Z / of
    middle, half = share + spread / 2, math.sqrt(spread * share * (1 - share) + spread * spread / 4)
    return max(0.0, (middle - half) / (1 + spread)), (middle + half) / (1 + spread)
