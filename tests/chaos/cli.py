"""Requests to providers that fail, directly and through sidestream, and a judge who reads only what they and the clients wrote down.

    scripts/chaos                          10,000 requests in each arm to the scripted providers
    scripts/chaos --cast mock              the same with `sidestream mock` and its fault headers behind a recorder
    scripts/chaos --cast llmock            the same with llmock (from PyPI, pinned, into .venv) in its chaos mode
    scripts/chaos --requests 300 --seed 7 --keep /tmp/chaos
    scripts/chaos --stale                  another run: connections that are used again just when upstreams close them, 100,000 times
    scripts/chaos --judge FOLDER           no run: judges again what --keep has kept

Every provider fails 30 % of its visits: it refuses, resets, closes, says nothing, speaks no HTTP, answers 408 to 529, begins a 200
with an error, or breaks off inside an answer; tests/chaos/faults.py has all of them and how often each is drawn. Of the
scripted providers one is down altogether for a tenth of the run, one refuses every connection, and one no longer takes one of its
three keys. What happens to which visit of which request is a function of the seed, so that both arms meet the same fate, and the
judge knows what a candidate would have done that was not asked. The clients never ask again.

Ends with 1 if a rule was broken, 2 if the run itself failed. `SIDESTREAM_BIN` names another binary than target/release/sidestream.
"""

import argparse
import json
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from support.process import NotStarted

from . import table
from .plan import CASTS
from .run import Order, judged, run
from .stale import IDLE_MS, text
from .stale_run import stale
from .world import Failed


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = arguments(sys.argv[1:])
    try:
        with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
            folder = options.judge or options.keep or Path(scratch)
            folder.mkdir(parents=True, exist_ok=True)
            sys.exit(chaos(options, folder))
    except (Failed, NotStarted, AssertionError) as error:  # the last: the proxy did not end as it should
        print(f"chaos: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("scripts/chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cast", choices=CASTS, default="scripted", help="who the providers are (default %(default)s)")
    add("--requests", type=int, help="requests in each arm (default 10,000; with --stale 220,000, of which nearly a half use a connection again)")
    add("--seed", type=int, default=1, help="another seed is another run (default %(default)s)")
    add("--clients", type=int, default=48, help="how many at a time (default %(default)s)")
    add("--seconds", type=float, default=900, help="no request is begun after so long; then the run is not whole, and fails (default %(default)s)")
    add("--driver", choices=["auto", "io_uring", "epoll"], default="auto", help="sidestream's (default %(default)s)")
    add("--keep", metavar="FOLDER", type=Path, help="keep what upstreams and clients wrote down, the proxy's log and all violations there")
    add("--stale", action="store_true", help="the run with upstreams that close idle connections")
    add("--judge", metavar="FOLDER", type=Path, help="judge what --keep has kept")
    options = parser.parse_args(argv)
    if not 1 <= (options.requests or 1) <= 1_000_000 or not 1 <= options.clients <= 1000:
        parser.error("--requests is 1 to 1,000,000, --clients 1 to 1,000")
    return options


def chaos(options: argparse.Namespace, folder: Path) -> int:
    """The exit code."""
    if options.stale:
        tallies = stale(options.requests or 220_000, options.seed, options.driver, folder / "sidestream.log")
        print(text(tallies, IDLE_MS))
        return 1 if tallies[-1].errors or tallies[-1].upstream["repeated"] else 0
    if not options.judge:
        run(Order(options.cast, options.requests or Order.requests, options.seed, options.clients, options.seconds, options.driver), folder)
    found = judged(folder)
    (folder / "violations.jsonl").write_text("".join(json.dumps(asdict(one)) + "\n" for one in found.violations))
    print(table.page(found.head, found.heard, found.tries, found.violations))
    return 1 if found.violations else 0
