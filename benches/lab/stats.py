"""Medians, ranges, and intervals by the bootstrap: the runs are few and nobody knows how they are distributed."""

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

RESAMPLES = 4000
CONFIDENCE = 0.95
SEED = 7  # the same runs give the same interval


@dataclass(frozen=True)
class Spread:
    """A median, and the range of what it is the median of."""

    median: float
    low: float
    high: float

    def text(self) -> str:
        return f"{number(self.median)} ({number(self.low)}..{number(self.high)})"


@dataclass(frozen=True)
class Estimate:
    """A figure, and where it lies with a confidence of 95 %."""

    value: float
    low: float
    high: float

    def text(self) -> str:
        return f"{number(self.value)} [{number(self.low)}..{number(self.high)}]"


def number(value: float) -> str:
    """With the digits that count."""
    size = abs(value)
    return f"{value:.0f}" if size >= 100 or not size else f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.2g}"


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def quantile(values: Sequence[float], share: float) -> float:
    """Between the two nearest, in proportion."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def estimate(values: Sequence[Any], figure: Callable[[Sequence[Any]], float] = statistics.median) -> Estimate:
    """A figure of a sample with its percentile bootstrap interval."""
    chance, n = random.Random(SEED), len(values)
    drawn = sorted(figure(chance.choices(values, k=n)) for _ in range(RESAMPLES))
    tail = (1 - CONFIDENCE) / 2
    return Estimate(figure(values), quantile(drawn, tail), quantile(drawn, 1 - tail))


def ratio(ours: dict[int, float], theirs: dict[int, float]) -> Estimate | None:
    """The median of the ratios made within each round: what disturbs a round disturbs both."""
    rounds = [a / theirs[n] for n, a in ours.items() if theirs.get(n, 0) > 0]
    return estimate(rounds) if rounds else None
