"""Memory of what only waits: connections without a request, streams that have fallen silent."""

import time
from collections.abc import Sequence

from .arms import DIRECT, Arm
from .cases import Hold
from .load import Generator
from .measure import Bench, in_rounds
from .process import resident_kib

SETTLE_SECONDS = 4.0  # buffers are given back, timers of a second or two have run
SPARE = 50  # connections that are none of those held


def measure_holds(bench: Bench, cases: Sequence[Hold], rounds: int, open_files: int) -> None:
    generator = Generator(bench.world, bench.world.place("own"))
    plan = {case: [arm for arm in bench.able(case) if arm.name != DIRECT] for case in cases}
    in_rounds(bench, "held", plan, rounds, lambda case, arm: one_hold(bench, generator, case, arm, open_files))


def one_hold(bench: Bench, generator: Generator, case: Hold, arm: Arm, open_files: int) -> dict[str, float]:
    """By a fresh process, after a first stream or connection has made what is made once."""
    count = allowed(case, open_files)
    with bench.fresh(arm, arm.setup(case), count + SPARE) as running:
        with generator.held(running, arm.ask(case), 1, case.idle):
            time.sleep(SETTLE_SECONDS)
        before = resident_kib(running.process.pid)
        with generator.held(running, arm.ask(case), count, case.idle):
            time.sleep(SETTLE_SECONDS)
            held = resident_kib(running.process.pid)
        return {"count": count, "before_kib": before, "held_kib": held, "each_kib": (held - before) / count}


def allowed(case: Hold, open_files: int) -> int:
    """How many of them a proxy can hold that may have so many files open: two for each, and some for itself."""
    return min(case.count, open_files // 2 - 2 * SPARE)
