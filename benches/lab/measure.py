"""The rounds: every case put to every arm once a round, in a shuffled order, so that what disturbs the machine meets all."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .answers import check
from .arms import Arm, Direct, Running
from .cases import CHUNKS, Case, Load
from .load import Generator
from .process import Cpu, Failed, cpu
from .progress import Progress
from .world import World

WARM_SECONDS = 0.3
KEEPS_UP = 0.95  # of a fixed rate; less is another case


@dataclass(frozen=True)
class Sample:
    """What one arm gave in one round. A figure's unit is the end of its name."""

    round: int
    placement: str
    case: str
    arm: str
    figures: dict[str, float]


@dataclass
class Results:
    samples: list[Sample] = field(default_factory=list)
    left_out: dict[tuple[str, str], str] = field(default_factory=dict)  # (case, arm): why

    def add(self, round_: int, placement: str, case: str, arm: str, figures: dict[str, float]) -> None:
        self.samples.append(Sample(round_, placement, case, arm, figures))

    def series(self, placement: str, case: str, arm: str, figure: str) -> dict[int, float]:
        """A figure by its rounds."""
        wanted = (placement, case, arm)
        return {s.round: s.figures[figure] for s in self.samples if (s.placement, s.case, s.arm) == wanted and figure in s.figures}

    def arms(self, placement: str, case: str) -> list[str]:
        """In the order in which they were measured first."""
        return list(dict.fromkeys(s.arm for s in self.samples if (s.placement, s.case) == (placement, case)))


@dataclass
class Bench:
    """The arms that take part, running as they are needed, and what they gave."""

    world: World
    arms: Sequence[Arm]
    results: Results = field(default_factory=Results)
    _running: dict[tuple[str, str, int], Running] = field(default_factory=dict)

    def running(self, arm: Arm, setup: str, connections: int = 0) -> Running:
        key = (arm.name, setup, connections)
        if key not in self._running:
            self._running[key] = arm.start(self.world, setup, connections)
        return self._running[key]

    def end(self, running: Running) -> None:
        self._running = {key: one for key, one in self._running.items() if one is not running}
        if running.process:
            self.world.processes.end(running.process)

    def end_all(self) -> None:
        for running in list(self._running.values()):
            self.end(running)

    def able(self, case: Case) -> list[Arm]:
        """Who can do a case; of the others the reason is kept."""
        for arm in self.arms:
            if reason := arm.refusal(case):
                self.results.left_out[case.name, arm.name] = f"cannot: {reason}"
        return [arm for arm in self.arms if (case.name, arm.name) not in self.results.left_out]

    def attempt(self, case: str, arm: Arm, action) -> Any:
        """What the action gives; or None, and the arm is out of the case, with the reason."""
        try:
            return action()
        except (Failed, OSError) as error:
            self.results.left_out[case, arm.name] = f"failed: {error}"
            return None

    def checked(self, case: Case, connections: int = 0) -> list[Arm]:
        """Who can do a case and gives the right answer."""
        direct = Direct().start(self.world, "plain", 0)

        def probe(arm: Arm) -> bool:
            check(case, arm.ask(case), self.running(arm, arm.setup(case), connections), direct)
            return True

        return [arm for arm in self.able(case) if self.attempt(case.name, arm, lambda arm=arm: probe(arm))]


def shuffled(arms: Sequence[Arm]) -> list[Arm]:
    return random.sample(arms, len(arms))


# ── Loads ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def measure_loads(bench: Bench, cases: Sequence[Load], placements: dict[str, tuple[str, ...]], rounds: int, seconds: float) -> None:
    """`placements`: where each case is measured, by its name."""
    plan = {case: bench.checked(case) for case in cases}
    own = Generator(bench.world, bench.world.place("own"))
    for case, arms in plan.items():
        for arm in arms:
            bench.attempt(case.name, arm, lambda: own.run(bench.running(arm, arm.setup(case)), case, arm.ask(case), WARM_SECONDS))
    progress = Progress("load", rounds * sum(len(arms) * len(placements[case.name]) for case, arms in plan.items()))
    for round_ in range(1, rounds + 1):
        for case, arms in plan.items():
            for placement in placements[case.name]:
                generator = Generator(bench.world, bench.world.place(placement))
                for arm in shuffled(arms):
                    progress.step(f"round {round_} of {rounds}, {case.name}, {placement} core, {arm.name}")
                    if (case.name, arm.name) not in bench.results.left_out:
                        one_load(bench, generator, case, arm, placement, round_, seconds)
    progress.done()


def one_load(bench: Bench, generator: Generator, case: Load, arm: Arm, placement: str, round_: int, seconds: float) -> None:
    running = bench.running(arm, arm.setup(case))
    process = running.process

    def action() -> dict[str, float]:
        before = cpu(process.pid) if process else None
        run = generator.run(running, case, arm.ask(case), seconds)
        spent = cpu(process.pid) - before if process else None
        return figures(case, run, spent)

    if found := bench.attempt(case.name, arm, action):
        bench.results.add(round_, placement, case.name, arm.name, found)
    if process:
        process.forget_log()


def figures(case: Load, run: dict[str, Any], spent: Cpu | None) -> dict[str, float]:
    """Of one run of the load generator, and the CPU that the proxy took meanwhile."""
    requests = run["requests"]
    if run["errors"] or not requests:
        raise Failed(f"{run['errors'] or 'no answer'} beside {requests} answers")
    per_second = requests / run["micros"] * 1e6
    if case.rate and per_second < KEEPS_UP * case.rate:
        raise Failed(f"answers {per_second:.0f} of {case.rate} requests a second")
    found = {"requests": requests, "per_second": per_second}
    kinds = ["latency_us", "ttft_us", "gap_us"] if case.stream else ["latency_us"]
    found |= {f"{kind.removesuffix('_us')}_{name}_us": value for kind in kinds for name, value in run[kind].items()}
    if spent:
        found |= {"cpu_us": spent.ns / 1000 / requests, "busy": spent.ns / 1000 / run["micros"]}
        found |= {"user_ticks": spent.user_ticks, "system_ticks": spent.system_ticks}
        found |= {"cpu_chunk_us": found["cpu_us"] / CHUNKS} if case.stream else {}
    return found
