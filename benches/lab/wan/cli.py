"""What sidestream is worth where the provider is far away: `scripts/bench --wan`.

    scripts/bench --wan                         20, 50 and 100 ms, at least 300 pairs of calls for each figure: 11 minutes
    scripts/bench --wan --quick                 two minutes: fewer calls
    scripts/bench --wan --rtt 20 --case cold-1k --pairs 300 --json wan.json --html wan.html

Every call is made directly and through sidestream, in pairs whose order is drawn: by a warm client, which keeps one connection, and
by a process for each call, which cannot; with 1 KB and with a prompt of 200 KB. Between them and the mock, which speaks TLS,
is a proxy that delays what it carries; the run says how, and shows that it does. Then both call an upstream that loses a share of
its answers.

Cold calls are timed within their process, from before the connection to the last byte: the start of the process is in neither
figure. Only loopback is used. `SIDESTREAM_BIN` names another binary than target/release/sidestream.
"""

import argparse
import sys
from pathlib import Path

from .page import page
from .plan import LOSSY, LOSSY_SHARE, RTTS_MS, cases, plan
from .run import run


def main(argv: list[str]) -> None:
    options = arguments(argv)
    found = run(plan(options))
    print(found.text(), flush=True)
    if options.json:
        options.json.write_text(found.json())
    if options.html:
        options.html.write_text(page(found))
    if not found.whole:
        sys.exit(130)


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--wan", action="store_true", required=True, help="this bench")
    add("--quick", action="store_true", help="two minutes: fewer calls")
    add("--rtt", type=float, action="append", metavar="MS", help=f"only this round trip; may be repeated (default {', '.join(f'{one:g}' for one in RTTS_MS)})")
    names = [*(case.name for case in cases()), LOSSY]
    add("--case", action="append", metavar="NAME", choices=names, help="only this one; may be repeated: %(choices)s")
    add("--pairs", type=int, metavar="N", help="of every case, whatever the round trip")
    add("--loss", type=float, default=100 * LOSSY_SHARE, metavar="PERCENT", help="of the lossy upstream's answers (default %(default)g)")
    add("--json", metavar="FILE", type=Path, help="write every single call there")
    add("--html", metavar="FILE", type=Path, help="write a page there, with the distributions drawn")
    options = parser.parse_args(argv)
    if not all(1 <= rtt <= 1000 for rtt in options.rtt or ()) or not 1 <= (options.pairs or 1) <= 100_000 or not 0 < options.loss < 100:
        parser.error("--rtt is 1 to 1000, --pairs 1 to 100000, --loss above 0 and below 100")
    return options
