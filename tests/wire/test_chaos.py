"""A small run of scripts/chaos: providers that fail 30 % of their visits, in every way, and a judge outside the crate. Rules,
faults and casts are told by `scripts/chaos --help`; the judge itself is tested by test_chaos_oracle."""

from chaos import table
from chaos.run import Order, judged, run
from support.process import DRIVERS

# Fixed, so that every run meets the same fate: another seed is for scripts/chaos.
SEED, CLIENTS, SECONDS_MAX = 1, 24, 60
REQUESTS = {driver: 300 if driver == DRIVERS[0] else 60 for driver in DRIVERS}


def test_no_rule_is_broken(driver, tmp_path, note):
    total = REQUESTS[driver]
    run(Order(requests=total, seed=SEED, clients=CLIENTS, seconds=SECONDS_MAX, driver=driver), tmp_path)
    found = judged(tmp_path)
    failed = {arm: sum(one.arm == arm and one.kind == "ask" and not one.well for one in found.heard) for arm in ("direct", "sidestream")}
    note(f"chaos [{driver}]: of {total} requests {failed['direct']} failed directly, {failed['sidestream']} through sidestream")
    assert failed["direct"] > 0.2 * total, "the providers hardly failed: this run tested nothing"
    assert len({one.fault for one in found.tries} - {"fine"}) >= 8, "in few ways only"
    assert not found.violations, table.page(found.head, found.heard, found.tries, found.violations)
    assert failed["sidestream"] * 5 < failed["direct"]
