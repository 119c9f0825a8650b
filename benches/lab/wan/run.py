"""The cases, one after the other; the distances of a case side by side, each with its own client, delaying proxy and sidestream."""

import random
import re
import sys
import tempfile
import time
from pathlib import Path

from .. import machine, programs, table
from ..cases import chat
from ..process import Failed, Process
from ..progress import Progress
from .found import MODEL, Found, Sample
from .plan import LOSSY, LOSSY_CLIENTS, Case, Plan
from .scene import DIRECT, SIDESTREAM, Leg, Scene, report

ARMS = (DIRECT, SIDESTREAM)
PAIRS_BEFORE = 2  # that are not kept: connections open, windows grow
LINE = re.compile(r"^(direct|sidestream) ([\d.]+) ?(.*)$", re.M)
LOOK_SECONDS = 0.25
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


def one_case(plan: Plan, scene: Scene, case: Case, legs: list[Leg], found: Found) -> None:
    for leg in legs:
        report(leg.delay, "lateness")
    lanes = []
    for leg in legs:
        order = in_pairs(PAIRS_BEFORE + plan.pairs(case, leg.rtt_ms))
        lanes.append(scene.lane(f"{case.name}-{leg.rtt_ms:g}", leg, case.ask, order, case.cold))
    wait(scene, case.name, lanes, sum(2 * (PAIRS_BEFORE + plan.pairs(case, leg.rtt_ms)) for leg in legs), plan.case_seconds(case), found)
    for lane, leg in zip(lanes, legs, strict=True):
        keep(found, case.name, leg.rtt_ms, lane)
        found.lateness.append({"case": case.name, "rtt_ms": leg.rtt_ms} | report(leg.delay, "lateness"))


def lossy(plan: Plan, scene: Scene, found: Found) -> None:
    leg = scene.lossy_leg(plan.rtts_ms[0], plan.share)
    each = -(-plan.lossy_pairs // LOSSY_CLIENTS)
    lanes = [scene.lane(f"{LOSSY}-{n}", leg, chat(False), in_pairs(PAIRS_BEFORE + each), cold=False) for n in range(LOSSY_CLIENTS)]
    wait(scene, LOSSY, lanes, 2 * LOSSY_CLIENTS * (PAIRS_BEFORE + each), plan.lossy_seconds, found)
    for n, lane in enumerate(lanes):
        keep(found, LOSSY, leg.rtt_ms, lane, first=n * each)
    found.met = [report(gate, "met") for gate in scene.gates]


def in_pairs(count: int) -> list[str]:
    """Both arms, in an order that chance makes anew each time."""
    return [arm for _ in range(count) for arm in random.sample(ARMS, len(ARMS))]


def wait(scene: Scene, name: str, lanes: list[Process], calls: int, seconds: float, found: Found) -> None:
    """Until all have made their calls, or much too long."""
    progress, deadline, made = Progress(name, calls), time.monotonic() + LATE_FACTOR * seconds + LATE_SECONDS, 0
    while running := [lane for lane in lanes if lane.child.poll() is None]:
        if time.monotonic() > deadline:
            found.notes.append(f"{name}: ended before all calls were made: it took {LATE_FACTOR} times as long as expected")
            scene.world.processes.end(*running)
            break
        time.sleep(LOOK_SECONDS)
        now = sum(lane.log.read_text().count("\n") for lane in lanes)
        if now > made:
            progress.at = now - 1
            progress.step("calls")
            made = now
    else:
        if bad := next((lane for lane in lanes if lane.child.returncode), None):
            raise Failed(f"a client ended with {bad.child.returncode}:\n{bad.last_words()}")
    progress.done()


def keep(found: Found, case: str, rtt_ms: float, lane: Process, first: int = 0) -> None:
    """What a client's lines say, without the pairs before."""
    for n, (arm, ms, why) in enumerate(LINE.findall(lane.log.read_text())):
        pair = n // 2 - PAIRS_BEFORE
        if pair >= 0:
            found.samples.append(Sample(rtt_ms, case, arm, first + pair, float(ms), why))
