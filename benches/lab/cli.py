"""What sidestream costs beside everyone else, on this machine, in one run.

    scripts/bench                      every case, five rounds, both placements: about an hour
    scripts/bench --quick              the cases that the README quotes, in three minutes
    scripts/bench --gateways           with LiteLLM and other gateways too, which are installed into .lab: two hours
    scripts/bench --case json-32 --case start --arm nginx --rounds 9 --json result.json --html result.html
    scripts/bench --live openai gpt-5-mini        another bench, with your key: see scripts/bench --live --help
    scripts/bench --wan                           and another, with a far provider: see scripts/bench --wan --help

Every round puts every case to every arm once, in a shuffled order. The proxies are pinned to one core; the mock and the load
generator to another (placement `own`), or to the same one (`one`). Only loopback is used, and only processes started here
are ended.

`SIDESTREAM_BIN` names another binary than target/release/sidestream. How to read the tables: docs/benchmarks.md.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from . import live, report
from .cases import besides, holds, loads
from .plan import QUICK_ARMS, QUICK_SECONDS, RESOURCES, SECONDS, all_arms, plan
from .process import Failed
from .run import run
from .wan import cli as wan


def main() -> None:
    os.environ["PATH"] = os.environ.get("PATH", os.defpath) + ":/usr/sbin"  # where Debian puts nginx
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits it ignored
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    argv = sys.argv[1:]
    try:
        if "--live" in argv:
            live.main(["--help"] if {"-h", "--help"} & set(argv) else argv)
        elif "--wan" in argv:
            wan.main(argv)
        else:
            bench(arguments(argv))
    except Failed as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def bench(options: argparse.Namespace) -> None:
    if options.html:
        report.need_plots()
    found = report.read(options.read) if options.read else run(plan(options))
    print(found.text(), flush=True)
    if options.json:
        options.json.write_text(found.json())
    if options.html:
        report.write_page(found, options.html)
    if not found.whole:
        sys.exit(130)


def arguments(argv: list[str]) -> argparse.Namespace:
    cases = [*(case.name for case in [*loads(), *holds(), *besides()]), *RESOURCES]
    arms = [arm.name for arm in all_arms()]
    parser = argparse.ArgumentParser("scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--quick", action="store_true", help=f"three minutes: fewer cases, only {', '.join(QUICK_ARMS)}, runs of {QUICK_SECONDS} s")
    add("--gateways", action="store_true", help="the gateways of benches/peers too; installs them from their registries")
    add("--case", action="append", metavar="NAME", choices=cases, help="only this one; may be repeated: %(choices)s")
    add("--arm", action="append", metavar="NAME", choices=arms, help="only this one, beside direct and sidestream; may be repeated: %(choices)s")
    add("--placement", choices=["own", "one", "both"], help="the proxy alone on its core, everything on one core; without it, where a goal asks for both")
    add("--rounds", type=int, default=5, help="rounds of every case (default %(default)s)")
    add("--seconds", type=float, help=f"seconds of load for each arm, case and round (default {SECONDS})")
    add("--json", metavar="FILE", type=Path, help="write every single result there")
    add("--html", metavar="FILE", type=Path, help="write a page with plots there; installs a plotting library into .venv-bench")
    add("--read", metavar="FILE", type=Path, help="measure nothing: print, or plot, what --json has written")
    add("--install", action="store_true", help="install the proxies that are missing: from Debian, as root, or into .lab")
    options = parser.parse_args(argv)
    if not 1 <= options.rounds <= 100 or not 0.1 <= (options.seconds or 1) <= 60:
        parser.error("--rounds is 1 to 100, --seconds 0.1 to 60")
    return options
