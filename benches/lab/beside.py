"""Head-of-line: what a large request does to streams that the same process carries meanwhile."""

from collections.abc import Sequence

from .arms import Arm
from .cases import Beside
from .load import Generator
from .measure import Bench, shuffled
from .progress import Progress

LEAD_SECONDS = 0.5  # the large requests go on a little longer than the streams are watched


def measure_besides(bench: Bench, cases: Sequence[Beside], rounds: int, seconds: float) -> None:
    generator = Generator(bench.world, bench.world.place("own"))
    plan = {case: bench.checked(case) for case in cases}
    progress = Progress("head-of-line", rounds * sum(map(len, plan.values())))
    for round_ in range(1, rounds + 1):
        for case, arms in plan.items():
            for arm in shuffled(arms):
                progress.step(f"round {round_} of {rounds}, {case.name}, {arm.name}")
                if (case.name, arm.name) in bench.results.left_out:
                    continue
                found = bench.attempt(case.name, arm, lambda case=case, arm=arm: one_beside(bench, generator, case, arm, seconds))
                if found:
                    bench.results.add(round_, "own", case.name, arm.name, found)
    progress.done()


def one_beside(bench: Bench, generator: Generator, case: Beside, arm: Arm, seconds: float) -> dict[str, float]:
    """The gaps of the same streams without and with the large requests, one after the other."""
    running = bench.running(arm, arm.setup(case))
    alone = generator.gaps(running, case.paced, case.streams, seconds)["gap_us"]
    with generator.beside(running, arm.ask(case), case.per_second, seconds + LEAD_SECONDS):
        beside = generator.gaps(running, case.paced, case.streams, seconds)["gap_us"]
    found = {f"alone_gap_{name}_us": value for name, value in alone.items()}
    found |= {f"beside_gap_{name}_us": value for name, value in beside.items()}
    return found | {"added_gap_us": beside["max"] - alone["max"], "added_gap_p99_us": beside["p99"] - alone["p99"]}
