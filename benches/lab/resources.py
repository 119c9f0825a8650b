"""What a process takes beside CPU: time to start, memory at rest, under load and after it, wake-ups, system calls."""

import contextlib
import time
from collections.abc import Sequence

from .arms import DIRECT, Arm, Running
from .cases import Load
from .load import Generator
from .measure import Bench, figures, in_rounds, shuffled
from .process import counted_calls, cpu, forget_peak, peak_kib, resident_kib, wakeups
from .progress import Progress
from .world import free_port

STARTS = 20
STARTS_SECONDS_MAX = 20.0  # for each arm: who takes long is started less often
START_PAUSE = 0.0002
SETTLE_SECONDS = 12.0  # what the first answer left to do is over
IDLE_SECONDS = 10.0
LOAD_SECONDS = 2.0
REST_SECONDS = 8.0
CALLS_REQUESTS = 2000
CALLS_STREAMS = 200


def proxies(bench: Bench) -> list[Arm]:
    return [arm for arm in bench.arms if arm.name != DIRECT]


def measure_starts(bench: Bench) -> None:
    """From the start of the process to its first answer; to a taken connection where nothing answers without an upstream."""
    bench.world.place("own")
    taken = dict.fromkeys(proxies(bench), 0.0)
    progress = Progress("start", STARTS * len(taken))

    def start(arm: Arm) -> float:
        port = free_port()
        process = arm.launch(bench.world, "plain", 0, port)
        try:
            arm.await_ready(process, port, START_PAUSE)
            return time.monotonic() - process.began
        finally:
            bench.world.processes.end(process)

    for round_ in range(1, STARTS + 1):
        for arm in shuffled(list(taken)):
            progress.step(f"{round_} of {STARTS}, {arm.name}")
            if taken[arm] < STARTS_SECONDS_MAX and ("start", arm.name) not in bench.results.left_out:
                seconds = bench.attempt("start", arm, lambda arm=arm: start(arm))
                if seconds is not None:
                    taken[arm] += seconds
                    bench.results.add(round_, "own", "start", arm.name, {"first_answer_ms": seconds * 1000})
    progress.done()


def measure_rest_and_memory(bench: Bench, loads: Sequence[Load], rounds: int) -> None:
    """Fresh processes, all at once: first nothing, then the first of these loads that each can do, then nothing."""
    generator = Generator(bench.world, bench.world.place("own"))
    progress = Progress("memory", rounds * (2 + len(proxies(bench))))
    for round_ in range(1, rounds + 1):
        with contextlib.ExitStack() as stack:
            each: list[Running] = []
            for arm in proxies(bench):
                if running := bench.attempt("idle", arm, lambda arm=arm: stack.enter_context(bench.fresh(arm, "plain"))):
                    each.append(running)
            progress.step(f"round {round_} of {rounds}, at rest for {IDLE_SECONDS:.0f} s")
            idle(bench, each, round_)
            loaded = {running: peak_under_load(bench, generator, running, loads, progress) for running in each}
            progress.step(f"round {round_} of {rounds}, at rest after the load")
            time.sleep(REST_SECONDS)
            for running, peak in loaded.items():
                if peak:
                    found = {"peak_kib": peak, "after_kib": resident_kib(running.process.pid)}
                    bench.results.add(round_, "own", "memory", running.arm.name, found)
    progress.done()


def idle(bench: Bench, each: Sequence[Running], round_: int) -> None:
    time.sleep(SETTLE_SECONDS)
    before = {running: (wakeups(running.process.pid), cpu(running.process.pid).ns) for running in each}
    time.sleep(IDLE_SECONDS)
    for running, (woken, ns) in before.items():
        pid = running.process.pid
        found = {"resident_kib": resident_kib(pid), "wakeups": wakeups(pid) - woken, "cpu_us": (cpu(pid).ns - ns) / 1000}
        bench.results.add(round_, "own", "idle", running.arm.name, found)


def peak_under_load(bench: Bench, generator: Generator, running: Running, loads: Sequence[Load], progress: Progress) -> int | None:
    arm = running.arm
    progress.step(f"under load, {arm.name}")
    case = next((case for case in loads if arm.refusal(case) is None), None)
    if case is None:
        bench.results.left_out["memory", arm.name] = f"cannot: none of {', '.join(case.name for case in loads)}"
        return None

    def peak() -> int:
        forget_peak(running.process.pid)
        pace = figures(case, generator.count(running, case, arm.ask(case), case.connections), None)["per_second"]
        figures(case, generator.count(running, case, arm.ask(case), max(case.connections, round(pace * LOAD_SECONDS))), None)
        return peak_kib(running.process.pid)

    return bench.attempt("memory", arm, peak)


def measure_calls(bench: Bench, cases: Sequence[Load]) -> None:
    """System calls for each request, in a run of their own: being watched slows a process down."""
    generator = Generator(bench.world, bench.world.place("own"))
    plan = {case: [arm for arm in bench.checked(case) if arm.name != DIRECT] for case in cases}
    in_rounds(bench, "system calls", plan, 1, lambda case, arm: calls(bench, generator, case, arm), prefix="calls-")


def calls(bench: Bench, generator: Generator, case: Load, arm: Arm) -> dict[str, float]:
    running = bench.running(arm, arm.setup(case))
    requests, found = CALLS_STREAMS if case.stream else CALLS_REQUESTS, {}
    with counted_calls(running.process.pid, found):
        run = generator.count(running, case, arm.ask(case), requests)
    figures(case, run, None)
    return {"calls": sum(found.values()) / requests} | {name: count / requests for name, count in sorted(found.items())}
