"""The cases, one after the other; the distances of a case side by side, each with its own client, delaying proxy and sidestream."""

import random
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .. import machine, programs, table
from ..cases import Ask, chat
from ..process import Failed, Process
from ..progress import Progress
from .found import MODEL, Found, Sample
from .plan import LOSSY, LOSSY_CLIENTS, Case, Plan
from .scene import DIRECT, SIDESTREAM, Leg, Scene, report
from .truth import Truth

ARMS = (DIRECT, SIDESTREAM)
PAIRS_BEFORE = 2  # that are not kept: connections open, windows grow
LINE = re.compile(r"^(direct|sidestream) ([\d.]+) ?(.*)$", re.M)
LOOK_SECONDS = 0.25
QUIET_MS = 1.0  # by which a quiet machine prolongs a round trip at p99
LATE_FACTOR, LATE_SECONDS = 4, 60.0  # times what was expected, and so much more: then a case is ended


def run(plan: Plan) -> Found:
    binary = programs.sidestream()
    with tempfile.TemporaryDirectory(prefix="sidestream-wan-") as folder:
        scene = Scene(Path(folder), binary)
        try:
            legs = [scene.leg(rtt) for rtt in plan.rtts_ms]
            found = Found(head(plan, scene, legs[0]))
            print("\n".join(table.facts(found.head, [])), flush=True)
            found.truths = scene.truths(plan.rtts_ms)
            print("\n".join(f"{'distance:':17}{truth.text()}" for truth in found.truths), flush=True)
            found.notes += busy(found.truths)
            found.whole = stages(plan, scene, legs, found)
        finally:
            scene.end()
    return found


def head(plan: Plan, scene: Scene, leg: Leg) -> dict[str, str]:
    driver = leg.proxy.wait_line(r"msg=started.*?\bdriver=(\S+)")[1]
    known = machine.facts(scene.world.programs, [], driver)
    known.pop("system calls")
    calls = [f"{case.name} {', '.join(f'{plan.pairs(case, rtt)} ({rtt:g} ms)' for rtt in plan.rtts_ms)}" for case in plan.cases]
    calls += [f"{LOSSY} {plan.lossy_pairs} ({plan.rtts_ms[0]:g} ms, {plan.share:.0%} faults)"] if plan.lossy else []
    least = "" if not plan.quick else "; --quick: fewer than the 300 that a figure should have"
    return known | {
        "model": MODEL,
        "pairs": "; ".join(calls) + least,
        "time": f"about {plan.seconds / 60:.1f} minutes",
    }


def busy(truths: list[Truth]) -> list[str]:
    worst = max(truth.added_ms["p99"] for truth in truths)
    if worst <= QUIET_MS:
        return []
    return [f"the machine was busy: before the first case a byte there and back took {worst:.1f} ms too long at p99; what differs at p99 is as much its doing"]


def stages(plan: Plan, scene: Scene, legs: list[Leg], found: Found) -> bool:
    """False: broken off by hand."""
    try:
        for case in plan.cases:
            one_case(plan, scene, case, legs, found)
        if plan.lossy:
            lossy(plan, scene, found)
    except KeyboardInterrupt:
        print("\nbroken off: what was measured until now", file=sys.stderr)
        return False
    return True


@dataclass(frozen=True)
class Lane:
    """A client on its way, and which pairs it makes."""

    process: Process
    leg: Leg
    first: int
    pairs: int

    @property
    def calls(self) -> int:
        return 2 * (PAIRS_BEFORE + self.pairs)

    def said(self) -> str:
        """Whole lines: it may still be writing."""
        return self.process.log.read_text().rpartition("\n")[0]


def start(scene: Scene, name: str, leg: Leg, ask: Ask, pairs: int, cold: bool, first: int = 0) -> Lane:
    """The order within each pair is drawn."""
    order = [arm for _ in range(PAIRS_BEFORE + pairs) for arm in random.sample(ARMS, len(ARMS))]
    return Lane(scene.lane(f"{name}-{leg.rtt_ms:g}-{first}", leg, ask, order, cold), leg, first, pairs)


def one_case(plan: Plan, scene: Scene, case: Case, legs: list[Leg], found: Found) -> None:
    for leg in legs:
        report(leg.delay, "lateness")
    lanes = [start(scene, case.name, leg, case.ask, plan.pairs(case, leg.rtt_ms), case.cold) for leg in legs]
    finish(scene, case.name, lanes, plan.case_seconds(case), found)
    found.lateness += [{"case": case.name, "rtt_ms": leg.rtt_ms} | report(leg.delay, "lateness") for leg in legs]


def lossy(plan: Plan, scene: Scene, found: Found) -> None:
    leg = scene.lossy_leg(plan.rtts_ms[0], plan.share)
    each = -(-plan.lossy_pairs // LOSSY_CLIENTS)
    lanes = [start(scene, LOSSY, leg, chat(False), each, cold=False, first=n * each) for n in range(LOSSY_CLIENTS)]
    finish(scene, LOSSY, lanes, plan.lossy_seconds, found)
    found.met = [report(gate, "met") for gate in scene.gates]


def finish(scene: Scene, name: str, lanes: list[Lane], seconds: float, found: Found) -> None:
    """Keeps what was called, also when it is broken off, without the pairs before the first."""
    try:
        wait(scene, name, lanes, seconds, found)
    finally:
        for lane in lanes:
            for n, (arm, ms, why) in enumerate(LINE.findall(lane.said())):
                pair = n // 2 - PAIRS_BEFORE
                if pair >= 0:
                    found.samples.append(Sample(lane.leg.rtt_ms, name, arm, lane.first + pair, float(ms), why))


def wait(scene: Scene, name: str, lanes: list[Lane], seconds: float, found: Found) -> None:
    """Until all have made their calls; if that takes much too long, what was not made is left out, with a note."""
    progress, deadline = Progress(name, sum(lane.calls for lane in lanes)), time.monotonic() + LATE_FACTOR * seconds + LATE_SECONDS
    while running := [lane.process for lane in lanes if lane.process.child.poll() is None]:
        if time.monotonic() > deadline:
            found.notes.append(f"{name}: ended before all calls were made: it took {LATE_FACTOR} times as long as expected")
            scene.world.processes.end(*running)
            break
        time.sleep(LOOK_SECONDS)
        made = sum(len(LINE.findall(lane.said())) for lane in lanes)
        if made > progress.at:
            progress.at = made - 1
            progress.step("calls")
    else:
        for lane in lanes:
            if lane.process.child.returncode or len(LINE.findall(lane.said())) != lane.calls:
                raise Failed(f"a client ended with {lane.process.child.returncode}:\n{lane.process.last_words()}")
    progress.done()
