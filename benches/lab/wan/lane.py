"""One client's calls, one after the other: `python -m lab.wan.lane FILE`. A line on standard output for each.

FILE is `call`'s, with {"order": [arm, …], "cold": a new process for each call, or one connection for each arm that is kept}.
"""

import gc
import json
import subprocess
import sys
from pathlib import Path

from . import call

COLD_SECONDS_MAX = 120


def main() -> None:
    file = sys.argv[1]
    plan = json.loads(Path(file).read_text())
    lines = {} if plan["cold"] else {arm: call.Line(plan, arm) for arm in plan["arms"]}
    gc.freeze()
    for arm in plan["order"]:
        print(cold(file, arm) if plan["cold"] else call.line(arm, lines[arm].call()), flush=True)


def cold(file: str, arm: str) -> str:
    """Nothing of the environment or of what is installed: only the start of an interpreter, which is not timed."""
    command = [sys.executable, "-I", "-S", call.__file__, file, arm]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=COLD_SECONDS_MAX).stdout.strip()


if __name__ == "__main__":
    main()
