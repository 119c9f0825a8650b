"""Processes: started on one core, watched through /proc, ended by whoever started them."""

import contextlib
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

START_SECONDS_MAX = 60.0  # gateways in Python take half of it
END_SECONDS_MAX = 5.0
TRACE_SECONDS_MAX = 30.0
PASSED_ON = ("PATH", "HOME", "LANG")


class Failed(Exception):
    """Something that was started did not do what it was started for. The text names it and shows its last words."""


# ── What is known of a process ──────────────────────────────────────────────────────────────────────────────────────


def family(pid: int) -> list[int]:
    """A process and all that descend from it (nginx: master and worker)."""
    pids = [pid]
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                pids += family(int(child))
    return pids


def _status(pid: int, name: str) -> list[int]:
    text = "".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status"))
    return [int(value) for value in re.findall(rf"^{name}:\s+(\d+)", text, re.M)]


@dataclass(frozen=True)
class Cpu:
    """CPU time of a family: by the scheduler's clock, and the ticks that tell how it divides."""

    ns: int
    user_ticks: int
    system_ticks: int

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.ns - other.ns, self.user_ticks - other.user_ticks, self.system_ticks - other.system_ticks)


def cpu(pid: int) -> Cpu:
    """Kernel work on its behalf, idle threads and ended threads included."""
    ns = user = system = 0
    for one in family(pid):
        ns += time.clock_gettime_ns((~one << 3) | 2)  # the kernel's MAKE_PROCESS_CPUCLOCK(one, CPUCLOCK_SCHED)
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        user, system = user + int(fields[11]), system + int(fields[12])
    return Cpu(ns, user, system)


def _memory(pid: int) -> dict[str, int]:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {name: int(kib) for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", rollup, re.M)}


def resident_kib(pid: int) -> int:
    """VmRSS; of a family the largest, and the private pages of the others, so that what they share is counted once."""
    each = sorted((_memory(one) for one in family(pid)), key=lambda memory: memory["Rss"])
    return each[-1]["Rss"] + sum(memory["Private_Clean"] + memory["Private_Dirty"] for memory in each[:-1])


def forget_peak(pid: int) -> None:
    for one in family(pid):
        Path(f"/proc/{one}/clear_refs").write_text("5")


def peak_kib(pid: int) -> int:
    """The most that was resident since `forget_peak`; a family's peaks are added up, less what is shared now."""
    now, peaks = family(pid), [max(_status(one, "VmHWM")) for one in family(pid)]
    return sum(peaks) - (sum(_memory(one)["Rss"] for one in now) - resident_kib(pid))


def wakeups(pid: int) -> int:
    """How often its threads went to sleep of their own will: once for every time that something woke them."""
    return sum(sum(_status(one, "voluntary_ctxt_switches")) for one in family(pid))


# ── Starting and ending ─────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """What is started meanwhile runs there. (A pin set after the start would come too late for threads made early.)"""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move(pid: int, core: int) -> None:
    for one in family(pid):
        for task in os.listdir(f"/proc/{one}/task"):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(task), {core})


def yield_to_others(pid: int) -> None:
    """Whatever else wakes up on its core goes first."""
    os.setpriority(os.PRIO_PROCESS, pid, 19)


def raise_open_files(wanted: int) -> int:
    """For all that is started from now on; gives what was granted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limits in ((wanted, max(wanted, hard)), (hard, hard)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            break
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@dataclass
class Process:
    """A child, and the file that its output goes to."""

    child: subprocess.Popen
    log: Path
    began: float  # by time.monotonic(), before it was started

    @property
    def pid(self) -> int:
        return self.child.pid

    def wait_line(self, pattern: str) -> re.Match:
        """The first match in its output."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if found := re.search(pattern, self.log.read_text(errors="replace")):
                return found
            self.must_live()
            time.sleep(0.005)
        raise Failed(f"{shlex.join(self.child.args)} did not say {pattern!r}:\n{self.last_words()}")

    def must_live(self) -> None:
        if self.child.poll() is not None:
            raise Failed(f"{shlex.join(self.child.args)} ended with {self.child.returncode}:\n{self.last_words()}")

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-1500:].strip()

    def forget_log(self) -> None:
        """A log line per request would fill the disk in an hour."""
        os.truncate(self.log, 0)


@dataclass
class Processes:
    """Everything started here, and its end."""

    folder: Path
    running: list[Process] = field(default_factory=list)

    def start(self, name: str, command: list[str], core: int | None, env: dict[str, str] | None = None, cwd: Path | None = None) -> Process:
        log = self.folder / f"{name}.log"
        clean = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
        log.write_bytes(b"")
        try:
            with open(log, "ab") as output, on_core(core):
                began = time.monotonic()
                child = subprocess.Popen(command, env={**clean, **(env or {})}, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        except OSError as error:
            raise Failed(f"{shlex.join(command)}: {error}") from error
        process = Process(child, log, began)
        self.running.append(process)
        return process

    def end_all(self) -> None:
        self.end(*self.running)

    def end(self, *processes: Process) -> None:
        """SIGTERM, five seconds, SIGKILL; to their descendants too."""
        families = {process.pid: family(process.pid) for process in processes if process.child.poll() is None}
        for pid in families:
            os.kill(pid, signal.SIGTERM)
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.child.wait(END_SECONDS_MAX)
            for pid in families.get(process.pid, []):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.child.wait()
            self.running.remove(process)


# ── System calls ────────────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def counted_calls(pid: int, found: dict[str, int]) -> Iterator[None]:
    """Counts the family's system calls meanwhile, into `found`: by perf, which slows it little, else by strace."""
    pids = ",".join(map(str, family(pid)))
    tracers = {
        "perf": (["perf", "trace", "-s", "-p", pids], r"^\s+(\w+)\s+(\d+)\s+\d+\s+[\d.]+\s"),
        "strace": (["strace", "-c", "-f", "-p", pids], r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$"),
    }
    name = tracer()
    if name is None:
        raise Failed("neither perf nor strace is installed: system calls are not counted")
    command, pattern = tracers[name]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(0.5)  # neither says when it has begun
        yield
    finally:
        child.send_signal(signal.SIGINT)
        try:
            said = child.communicate(timeout=TRACE_SECONDS_MAX)[1]
        except subprocess.TimeoutExpired:
            child.kill()
            said = child.communicate()[1]
    for one, other in re.findall(pattern, said, re.M):
        call, count = (one, other) if name == "perf" else (other, one)
        if call != "total":
            found[call] = found.get(call, 0) + int(count)
    if not found:
        raise Failed(f"{name} counted nothing: {said.strip()[-300:]}")


def tracer() -> str | None:
    return next((name for name in ("perf", "strace") if shutil.which(name)), None)
