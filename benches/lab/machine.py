"""Where and of what the figures were made."""

import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .arms import Arm
from .cases import ROOT
from .peers import Peer
from .process import tracer
from .programs import Programs


def facts(programs: Programs, arms: Sequence[Arm], driver: str) -> dict[str, str]:
    cpu = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    size = Path(programs.sidestream).stat().st_size / 1e6
    return {
        "command": shlex.join(["scripts/bench", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "cpu": f"{cpu[1] if cpu else platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "kernel": platform.release(),
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "sidestream": f"{_said([programs.sidestream, '--version'])} ({_tree()}), {size:.1f} MB, driver {driver}",
        **{arm.name: arm.version() for arm in arms if isinstance(arm, Peer)},
        "system calls": f"counted by {tracer()}" if tracer() else "not counted: neither perf nor strace is installed",
    }


def _tree() -> str:
    if "SIDESTREAM_BIN" in os.environ:
        return "SIDESTREAM_BIN"
    return "tree " + (_said(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]) or "unknown")


def _said(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    return next(iter((done.stdout + done.stderr).splitlines()), "").strip()
