"""Memory of what only waits: connections without a request, streams that have fallen silent."""

import time
from collections.abc import Sequence

from .arms import DIRECT, Arm
from .cases import Hold
from .load import Generator
from .measure import Bench, shuffled
from .process import Failed, resident_kib
from .progress import Progress

SETTLE_SECONDS = 4.0  # buffers are given back, timers of a second or two have run
SPARE = 1000  # connections and open files that are none of those held


def measure_holds(bench: Bench, cases: Sequence[Hold], rounds: int, open_files: int) -> None:
    generator = Generator(bench.world, bench.world.place("own"))
    plan = {case: [arm for arm in bench.able(case) if arm.name != DIRECT] for case in cases}
    progress = Progress("held", rounds * sum(map(len, plan.values())))
    for round_ in range(1, rounds + 1):
        for case, arms in plan.items():
            for arm in shuffled(arms):
                progress.step(f"round {round_} of {rounds}, {case.name}, {arm.name}")
                if (case.name, arm.name) in bench.results.left_out:
                    continue
                found = bench.attempt(case.name, arm, lambda case=case, arm=arm: one_hold(bench, generator, case, arm, open_files))
                if found:
                    bench.results.add(round_, "own", case.name, arm.name, found)
    progress.done()


def one_hold(bench: Bench, generator: Generator, case: Hold, arm: Arm, open_files: int) -> dict[str, float]:
    """By a fresh process, after a first stream or connection has made what is made once."""
    connections = 2 * case.count + SPARE
    if connections > open_files:
        raise Failed(f"a process may have {open_files} files open here, and this needs {connections}: ulimit -n, or run as root")
    with bench.fresh(arm, arm.setup(case), connections) as running:
        with generator.held(running, arm.ask(case), 1, case.idle):
            time.sleep(SETTLE_SECONDS)
        before = resident_kib(running.process.pid)
        with generator.held(running, arm.ask(case), case.count, case.idle):
            time.sleep(SETTLE_SECONDS)
            held = resident_kib(running.process.pid)
        return {"before_kib": before, "held_kib": held, "each_kib": (held - before) / case.count}
