"""The load generator of `benches/load`, as functions."""

import contextlib
import json
import select
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .arms import Running
from .cases import Ask, Load
from .process import Failed, on_core, yield_to_others
from .world import World

WARM_SECONDS = 0.5
GAPS_WARM_SECONDS = 0.5  # until all streams run
PATIENCE = 30  # seconds without a byte, then a request has failed
GRACE_SECONDS = 60.0
COUNT_SECONDS_MAX = 300.0
HOLD_SECONDS_MAX = 120.0


@dataclass(frozen=True)
class Generator:
    """Pinned to a core; requests go to it as files, head and body as they are sent."""

    world: World
    core: int

    def count(self, running: Running, case: Load, ask: Ask, requests: int) -> dict[str, Any]:
        """So many requests, as fast as they are answered, each to its end: a run that ends by the clock breaks off what is
        under way, and leaves its connections to be made anew by the next."""
        words = ["--connections", case.connections, "--count", requests]
        words += ["--cold"] if case.cold else []
        return _result(self._start("run", running, ask, *words), COUNT_SECONDS_MAX)

    def rate(self, running: Running, case: Load, ask: Ask, seconds: float) -> dict[str, Any]:
        """At the case's rate for so long, after a warm-up, which counts in `with_warmup` alone; each to its end."""
        words = ["--connections", case.connections, "--rate", case.rate, "--seconds", seconds, "--warmup", WARM_SECONDS]
        return _result(self._start("run", running, ask, *words), seconds)

    def gaps(self, running: Running, ask: Ask, streams: int, seconds: float) -> dict[str, Any]:
        words = ["--streams", streams, "--seconds", seconds, "--warmup", GAPS_WARM_SECONDS]
        return _result(self._start("gaps", running, ask, *words), seconds)

    @contextlib.contextmanager
    def beside(self, running: Running, ask: Ask, rate: int, seconds: float) -> Iterator[None]:
        """Requests at this rate while the block runs, by a client that lets everyone else go first."""
        child = self._start("run", running, ask, "--connections", 1, "--rate", rate, "--seconds", seconds)
        yield_to_others(child.pid)
        try:
            yield
        finally:
            result = _result(child, seconds)
        if result["errors"] or not result["requests"]:
            raise Failed(f"{result['errors'] or 'no answer'} beside {result['requests']} answers to large requests")

    @contextlib.contextmanager
    def held(self, running: Running, ask: Ask, count: int, idle: bool) -> Iterator[None]:
        """So many connections without a request, or streams, while the block runs."""
        child = self._start("hold", running, ask, "--idle" if idle else "--streams", count)
        try:
            said = child.stdout.readline() if select.select([child.stdout], [], [], HOLD_SECONDS_MAX)[0] else ""
            if not said.startswith("{") or json.loads(said)["ready"] != count:
                what = f"{count} {'connections' if idle else 'streams'}"
                raise Failed(f"{what} did not come about: {said.strip() or f'not in {HOLD_SECONDS_MAX:.0f} s'}")
            yield
        finally:
            _end(child, HOLD_SECONDS_MAX)

    def _start(self, mode: str, running: Running, ask: Ask, *words: object) -> subprocess.Popen:
        file = self.world.folder / f"{running.arm.name}-{mode}.request"
        file.write_bytes(running.literal(ask))
        command = [self.world.programs.load, mode, "--to", running.authority, "--request", str(file), "--timeout", str(PATIENCE), *map(str, words)]
        with on_core(self.core):
            return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _result(child: subprocess.Popen, seconds: float) -> dict[str, Any]:
    out, err = _end(child, seconds + GRACE_SECONDS)
    if child.returncode:
        raise Failed(f"{' '.join(child.args)}: exit code {child.returncode}: {err.strip()[-1000:]}")
    return json.loads(out)


def _end(child: subprocess.Popen, seconds: float) -> tuple[str, str]:
    """Waits so long, then kills it."""
    try:
        return child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return "", f"not done after {seconds:.0f} s"
    finally:
        if child.poll() is None:
            child.kill()
            child.communicate()
