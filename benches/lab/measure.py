"""The rounds: every case put to every arm once a round, in a shuffled order, so that what disturbs the machine meets all."""

import contextlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .answers import check
from .arms import UPLOAD, Arm, Direct, Running
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
    kinds: dict[str, str]  # of the arms that took part, in their order
    samples: list[Sample] = field(default_factory=list)
    left_out: dict[tuple[str, str], str] = field(default_factory=dict)  # (case, arm): why

    def add(self, round_: int, placement: str, case: str, arm: str, figures: dict[str, float]) -> None:
        self.samples.append(Sample(round_, placement, case, arm, figures))

    def series(self, placement: str, case: str, arm: str, figure: str) -> dict[int, float]:
        """A figure by its rounds."""
        wanted = (placement, case, arm)
        return {s.round: s.figures[figure] for s in self.samples if (s.placement, s.case, s.arm) == wanted and figure in s.figures}

    def arms(self, placement: str, case: str) -> list[str]:
        """Who was measured there."""
        measured = {s.arm for s in self.samples if (s.placement, s.case) == (placement, case)}
        return [name for name in self.kinds if name in measured]


@dataclass
class Bench:
    """The arms that take part, running as they are needed, and what they gave."""

    world: World
    arms: list[Arm]
    results: Results
    _running: dict[tuple[str, str], Running] = field(default_factory=dict)

    def running(self, arm: Arm, setup: str) -> Running:
        """One process for all cases that can share it, for as long as loads are measured."""
        key = (arm.name, setup)
        if key not in self._running:
            self._running[key] = arm.start(self.world, setup, 0)
        return self._running[key]

    @contextlib.contextmanager
    def fresh(self, arm: Arm, setup: str, connections: int = 0) -> Iterator[Running]:
        """A process of its own, whose memory knows no other case."""
        running = arm.start(self.world, setup, connections)
        try:
            yield running
        finally:
            if running.process:
                self.world.processes.end(running.process)

    def end(self) -> None:
        """Of the shared ones."""
        self.world.processes.end(*(running.process for running in self._running.values() if running.process))
        self._running.clear()

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

    def checked(self, case: Case) -> list[Arm]:
        """Who can do a case and gives the right answer."""
        direct = Direct().start(self.world, "plain", 0)

        def right(arm: Arm) -> bool:
            ask = arm.ask(case)
            reference = ask if ask.path == UPLOAD else case.ask
            check(self.running(arm, arm.setup(case)), ask, direct, reference, exact=arm.is_proxy and not case.translated)
            return True

        return [arm for arm in self.able(case) if self.attempt(case.name, arm, lambda arm=arm: right(arm))]


def shuffled(arms: Sequence[Arm]) -> list[Arm]:
    return random.sample(arms, len(arms))


# ── Loads ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def measure_loads(bench: Bench, cases: Sequence[Load], placements: dict[str, tuple[str, ...]], rounds: int, seconds: float) -> None:
    """`placements`: where each case is measured, by its name."""
    plan = {case: bench.checked(case) for case in cases}
    for case, arms in plan.items():
        for arm in arms:
            one_load(bench, case, arm, "own", 0, WARM_SECONDS)
    progress = Progress("load", rounds * sum(len(arms) * len(placements[case.name]) for case, arms in plan.items()))
    for round_ in range(1, rounds + 1):
        for case, arms in plan.items():
            for placement in placements[case.name]:
                for arm in shuffled(arms):
                    progress.step(f"round {round_} of {rounds}, {case.name}, {placement} core, {arm.name}")
                    one_load(bench, case, arm, placement, round_, seconds)
    progress.done()


def one_load(bench: Bench, case: Load, arm: Arm, placement: str, round_: int, seconds: float) -> None:
    """Round 0 warms pools and buffers, and is not kept. Who failed is not asked again."""
    if (case.name, arm.name) in bench.results.left_out:
        return
    running = bench.running(arm, arm.setup(case))
    process, generator = running.process, Generator(bench.world, bench.world.place(placement))

    def action() -> dict[str, float]:
        before = cpu(process.pid) if process else None
        run = generator.run(running, case, arm.ask(case), seconds)
        return figures(case, run, cpu(process.pid) - before if process else None)

    found = bench.attempt(case.name, arm, action)
    if found and round_:
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
