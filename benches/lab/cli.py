"""`scripts/bench`: what sidestream costs beside everyone else, on this machine, in one run.

    scripts/bench                      every case, five rounds, both placements
    scripts/bench --quick              the cases that the README quotes, in three minutes
    scripts/bench --gateways           also LiteLLM and others, which are installed into .lab
    scripts/bench --case json-32 --arm nginx --rounds 9 --json result.json --html result.html

Every round puts every case to every arm once, in a shuffled order. The proxies are pinned to one core, the mock and the load
generator to another (`own`) or to the same (`one`). Only loopback is used, and only processes started here are ended.

`SIDESTREAM_BIN` names another binary than target/release/sidestream. How to read the tables: docs/benchmarks.md.
"""

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

from . import table
from .arms import DIRECT, Arm, Direct, Floor, sidestreams
from .cases import loads
from .goals import standings
from .machine import facts
from .measure import Bench, measure_loads
from .peers import read_all
from .process import Failed, raise_open_files
from .programs import all_programs
from .world import World, two_cores

OPEN_FILES = 65_536


def main() -> None:
    os.environ["PATH"] = os.environ.get("PATH", os.defpath) + ":/usr/sbin"  # where Debian puts nginx
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits it ignored
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        run(arguments())
    except Failed as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--case", action="append", choices=[c.name for c in loads()])
    return parser.parse_args()


def run(options) -> None:
    raise_open_files(OPEN_FILES)
    arms: list[Arm] = [Direct(), Floor(), *sidestreams(), *read_all()]
    with tempfile.TemporaryDirectory(prefix="sidestream-bench-") as folder:
        world = World(Path(folder), all_programs(), *two_cores())
        try:
            bench = Bench(world, arms)
            cases = [c for c in loads() if not options.case or c.name in options.case]
            for name, value in facts(world.programs, arms, "?").items():
                print(f"{name + ':':14}{value}")
            measure_loads(bench, cases, {c.name: c.placements for c in cases}, options.rounds, options.seconds)
            for text in table.load_tables(bench.results, cases):
                print("\n" + text)
            print(table.left_out_text(bench.results))
            print(table.goal_table(standings(bench.results, arms)))
        finally:
            world.processes.end()
