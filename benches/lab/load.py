"""The load generator of `benches/load`, as functions."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .arms import Running
from .cases import Ask, Load
from .process import Failed, on_core, yield_to_others
from .world import World

GRACE_SECONDS = 30.0
HOLD_SECONDS_MAX = 120.0


@dataclass(frozen=True)
class Generator:
    """Pinned to a core; requests go to it as files, head and body as they are sent."""

    world: World
    core: int

    def _command(self, mode: str, running: Running, ask: Ask, *words: object) -> list[str]:
        file = self.world.folder / f"{running.arm.name}.request"
        file.write_bytes(running.literal(ask))
        return [self.world.programs.load, mode, "--to", running.authority, "--request", str(file), *map(str, words)]

    def run(self, running: Running, case: Load, ask: Ask, seconds: float) -> dict[str, Any]:
        words = ["--connections", case.connections, "--seconds", seconds, "--json"]
        words += ["--cold"] if case.cold else []
        words += ["--rate", case.rate] if case.rate else []
        return self._finish(self._command("run", running, ask, *words), seconds)

    def count(self, running: Running, ask: Ask, connections: int, requests: int) -> dict[str, Any]:
        words = ["--connections", connections, "--count", requests, "--json"]
        return self._finish(self._command("run", running, ask, *words), GRACE_SECONDS)

    def gaps(self, running: Running, ask: Ask, streams: int, seconds: float) -> dict[str, Any]:
        return self._finish(self._command("gaps", running, ask, "--streams", streams, "--seconds", seconds, "--json"), seconds)

    def _finish(self, command: list[str], seconds: float) -> dict[str, Any]:
        with on_core(self.core):
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            out, err = child.communicate(timeout=seconds + GRACE_SECONDS)
        except subprocess.TimeoutExpired as late:
            raise Failed(f"{' '.join(command)}: not done {GRACE_SECONDS:.0f} s after its time") from late
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        if child.returncode:
            raise Failed(f"{' '.join(command)}: {err.strip()[-1000:]}")
        return json.loads(out)

    @contextlib.contextmanager
    def held(self, running: Running, ask: Ask, count: int, idle: bool) -> Iterator[None]:
        """So many connections without a request, or streams, while the block runs."""
        command = self._command("hold", running, ask, "--idle" if idle else "--streams", count)
        with on_core(self.core):
            child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            line = child.stdout.readline()
            ready = json.loads(line) if line else {}
            if ready.get("failed") or ready.get("ready") != count:
                raise Failed(f"{running.arm.name}: of {count} {'connections' if idle else 'streams'} {ready.get('ready', 0)} came about: {line.strip()}")
            yield
        finally:
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
            try:
                child.wait(HOLD_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    @contextlib.contextmanager
    def beside(self, running: Running, ask: Ask, rate: int, seconds: float) -> Iterator[None]:
        """Requests at this rate while the block runs, by a client that yields its core to every other."""
        command = self._command("run", running, ask, "--connections", 1, "--rate", rate, "--seconds", seconds, "--json")
        with on_core(self.core):
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        yield_to_others(child.pid)
        try:
            yield
            out, err = child.communicate(timeout=GRACE_SECONDS)
            done = json.loads(out) if child.returncode == 0 else {}
            if done.get("errors") or not done.get("requests"):
                raise Failed(f"{running.arm.name}: the large requests failed: {done.get('errors')} {err.strip()[-500:]}")
        finally:
            if child.poll() is None:
                child.kill()
            child.communicate()
