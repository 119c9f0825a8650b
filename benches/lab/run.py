"""One run: what is missing, the stages one after the other, and what they gave, also when the run is broken off."""

import sys
import tempfile
from pathlib import Path

from . import table
from .arms import SIDESTREAM, Arm, Sidestream
from .beside import measure_besides
from .cases import loads
from .holds import allowed, measure_holds
from .machine import facts
from .measure import Bench, Results, measure_loads
from .peers import Peer
from .plan import Plan
from .process import Failed, raise_open_files
from .programs import all_programs
from .report import Report
from .resources import measure_calls, measure_rest_and_memory, measure_starts
from .world import World, two_cores

OPEN_FILES = 65_536
TO_BE_LOADED = ("agent", "json-32")  # for memory under load: the first that an arm can do
TO_BE_COUNTED = ("json-1", "json-32", "sse")  # for system calls


def run(plan: Plan) -> Report:
    open_files = raise_open_files(OPEN_FILES)
    arms, missing = present(plan)
    with tempfile.TemporaryDirectory(prefix="sidestream-bench-") as folder:
        world = World(Path(folder), all_programs(), *two_cores())
        try:
            bench = Bench(world, arms, Results({arm.name: arm.kind for arm in arms}))
            driver = settle_drivers(bench)
            head = facts(world.programs, bench.arms, driver) | {"rounds": f"{plan.rounds} of {plan.seconds:g} s", "open files": str(open_files)}
            missing += limited(plan, open_files) + (["one core only: the proxy is never alone on it"] if world.proxy_core == world.load_core else [])
            print("\n".join(table.facts(head, missing)), flush=True)
            whole = stages(bench, plan, open_files)
        finally:
            world.processes.end_all()
    return Report(head, missing, bench.results, whole)


def present(plan: Plan) -> tuple[list[Arm], list[str]]:
    """The arms that are installed, and a line for each that is not."""
    missing = []
    for arm in plan.arms:
        if not isinstance(arm, Peer):
            continue
        try:
            if plan.install:
                arm.install()
            elif arm.missing():
                raise Failed(f"not installed; scripts/bench --{'gateways' if 'gateway' in arm.kind else 'install'} does it ({arm.wanted})")
        except Failed as error:
            missing.append((arm, f"left out: {arm.name}: {error}"))
    gone = [arm for arm, _ in missing]
    return [arm for arm in plan.arms if arm not in gone], [line for _, line in missing]


def limited(plan: Plan, open_files: int) -> list[str]:
    """A line for each case that holds less than its name says."""
    counts = [(case, allowed(case, open_files)) for case in plan.holds]
    return [f"{case.name}: {count} instead, for want of open files" for case, count in counts if count < case.count]


def settle_drivers(bench: Bench) -> str:
    """Which driver sidestream runs on by itself. Where that is epoll, there is no second sidestream to measure."""
    default = next(arm for arm in bench.arms if arm.name == SIDESTREAM)
    started = bench.running(default, "plain").process.wait_line(r"msg=started.*?\bdriver=(\S+)")
    if started[1] != "io_uring":
        bench.arms = [arm for arm in bench.arms if not isinstance(arm, Sidestream) or arm is default]
    return started[1]


def stages(bench: Bench, plan: Plan, open_files: int) -> bool:
    """False: broken off by hand."""
    known = {case.name: case for case in loads()}
    try:
        measure_loads(bench, plan.loads, plan.placements, plan.rounds, plan.seconds)
        if "calls" in plan.resources:
            measure_calls(bench, [known[name] for name in TO_BE_COUNTED])
        measure_besides(bench, plan.besides, plan.rounds, plan.seconds)
        bench.end()
        if "start" in plan.resources:
            measure_starts(bench)
        if "memory" in plan.resources:
            measure_rest_and_memory(bench, [known[name] for name in TO_BE_LOADED], plan.few_rounds)
        measure_holds(bench, plan.holds, plan.few_rounds, open_files)
    except KeyboardInterrupt:
        print("\nbroken off: what was measured until now", file=sys.stderr)
        return False
    return True
