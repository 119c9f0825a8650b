"""The rounds: every case put to every arm once a round, in a shuffled order, so that what disturbs the machine meets all."""

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .answers import check
from .arms import UPLOAD, Arm, Direct, Running
from .cases import CHUNKS, Case, Load
from .load import WARM_SECONDS, Generator
from .process import Cpu, Failed, cpu
from .progress import Progress
from .world import World

REQUESTS_MIN = 10
KEPT = ("p50", "p90", "p99", "p999", "max", "mean")
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
    def fresh(self, arm: Arm, setup: str, clients: int = 0) -> Iterator[Running]:
        """A process of its own, whose memory knows no other case."""
        running = arm.start(self.world, setup, clients)
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

    def attempt(self, case: str, arm: Arm, action: Callable[[], Any]) -> Any:
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


def in_rounds(bench: Bench, stage: str, plan: dict[Any, list[Arm]], rounds: int, action: Callable[[Any, Arm], dict[str, float]], prefix: str = "") -> None:
    """Keeps what the action gives for each case and arm, once a round; `prefix` goes before the case's name."""
    progress = Progress(stage, rounds * sum(map(len, plan.values())))
    for round_ in range(1, rounds + 1):
        for case, arms in plan.items():
            name = prefix + case.name
            for arm in shuffled(arms):
                progress.step(f"round {round_} of {rounds}, {case.name}, {arm.name}")
                if (name, arm.name) in bench.results.left_out:
                    continue
                if found := bench.attempt(name, arm, lambda case=case, arm=arm: action(case, arm)):
                    bench.results.add(round_, "own", name, arm.name, found)
    progress.done()


def shuffled(arms: Sequence[Arm]) -> list[Arm]:
    return random.sample(arms, len(arms))


# ── Loads ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def measure_loads(bench: Bench, cases: Sequence[Load], placements: dict[str, tuple[str, ...]], rounds: int, seconds: float) -> None:
    """`placements`: where each case is measured, by its name. `seconds`: how long a run is to take."""
    able = {case: bench.checked(case) for case in cases}
    plan = [(case, placement, arms) for case, arms in able.items() for placement in placements[case.name]]
    progress = Progress("load", (rounds + 1) * sum(len(arms) for _, _, arms in plan))
    counts: dict[tuple[Load, str, Arm], int] = {}
    for round_ in range(rounds + 1):
        for case, placement, arms in plan:
            for arm in shuffled(arms):
                progress.step(f"round {round_} of {rounds}, {case.name}, {placement} core, {arm.name}")
                run = case, placement, arm
                found = one_load(bench, *run, counts.get(run, 0), seconds if round_ else seconds / 4)
                if found:
                    counts[run] = round(found["per_second"] * seconds)
                if found and round_:  # the round before the first fills pools and buffers, and finds these counts
                    bench.results.add(round_, placement, case.name, arm.name, found)
    progress.done()


def one_load(bench: Bench, case: Load, placement: str, arm: Arm, requests: int, seconds: float) -> dict[str, float] | None:
    """So many requests; at a fixed rate those of so many seconds. Who failed is not asked again."""
    if (case.name, arm.name) in bench.results.left_out:
        return None
    running, ask = bench.running(arm, arm.setup(case)), arm.ask(case)
    process, generator = running.process, Generator(bench.world, bench.world.place(placement))

    def action() -> dict[str, float]:
        before = cpu(process.pid) if process else None
        count = max(requests, REQUESTS_MIN, case.connections)
        run = generator.rate(running, case, ask, seconds) if case.rate else generator.count(running, case, ask, count)
        return figures(case, run, cpu(process.pid) - before if process else None)

    found = bench.attempt(case.name, arm, action)
    if process:
        process.forget_log()
    return found


def figures(case: Load, run: dict[str, Any], spent: Cpu | None) -> dict[str, float]:
    """Of one run of the load generator, and the CPU that the proxy took meanwhile."""
    if run["errors"] or not run["requests"]:
        raise Failed(f"{run['errors'] or 'no answer'} beside {run['requests']} answers")
    per_second = run["requests"] / run["micros"] * 1e6
    if case.rate and per_second < KEEPS_UP * case.rate:
        raise Failed(f"answers {per_second:.0f} of {case.rate} requests a second")
    found = {"requests": run["requests"], "per_second": per_second}
    kinds = ["latency_us", "ttft_us", "gap_us"] if case.stream else ["latency_us"]
    found |= {f"{kind.removesuffix('_us')}_{name}_us": value for kind in kinds for name, value in run[kind].items() if name in KEPT}
    if spent:
        cpu_us, wall_us = spent.ns / 1000, run["micros"] + (WARM_SECONDS * 1e6 if case.rate else 0)
        found |= {"cpu_us": cpu_us / run["with_warmup"]["requests"], "busy": cpu_us / wall_us}
        found |= {"user_ticks": spent.user_ticks, "system_ticks": spent.system_ticks}
        found |= {"cpu_chunk_us": found["cpu_us"] / CHUNKS} if case.stream else {}
    return found
