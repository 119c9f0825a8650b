"""Head-of-line: what a large request does to streams that the same process carries meanwhile."""

from collections.abc import Sequence

from .arms import Arm
from .cases import Beside
from .load import Generator
from .measure import Bench, in_rounds

LEAD_SECONDS = 1.0  # the large requests go on longer than the streams are watched, warm-up included


def measure_besides(bench: Bench, cases: Sequence[Beside], rounds: int, seconds: float) -> None:
    generator = Generator(bench.world, bench.world.place("own"))
    plan = {case: bench.checked(case) for case in cases}
    in_rounds(bench, "head-of-line", plan, rounds, lambda case, arm: one_beside(bench, generator, case, arm, seconds))


def one_beside(bench: Bench, generator: Generator, case: Beside, arm: Arm, seconds: float) -> dict[str, float]:
    """The gaps of the same streams without and with the large requests, one after the other."""
    running = bench.running(arm, arm.setup(case))
    alone = generator.gaps(running, case.paced, case.streams, seconds)["gap_us"]
    with generator.beside(running, arm.ask(case), case.per_second, seconds + LEAD_SECONDS):
        beside = generator.gaps(running, case.paced, case.streams, seconds)["gap_us"]
    found = {f"alone_gap_{name}_us": value for name, value in alone.items()}
    found |= {f"beside_gap_{name}_us": value for name, value in beside.items()}
    return found | {"added_gap_us": beside["max"] - alone["max"], "added_gap_p99_us": beside["p99"] - alone["p99"]}
