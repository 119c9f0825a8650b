"""An upstream that closes idle connections after a while, and clients that come back at just that time: 2,000 requests, each of
which is answered and reaches the upstream once. Long: 220,000 with the first driver, so that 100,000 use a connection
again, and a tenth of it with the others. `scripts/chaos --stale` shows direct clients beside it."""

import pytest

from chaos import stale
from chaos.stale_run import stale as run
from support.process import DRIVERS


@pytest.mark.timeout(900)
def test_no_client_sees_a_stale_connection(driver, tmp_path, note, long):
    total = (220_000 if driver == DRIVERS[0] else 22_000) if long else 2_000
    (tally,) = run(total, 1, driver, tmp_path / "log", arms=("sidestream",))
    note(f"stale [{driver}]: {tally.requests} requests, {len(tally.errors)} errors; {tally.upstream}")
    assert tally.errors == [], stale.text([tally], stale.IDLE_MS)
    assert (tally.requests, tally.upstream["requests"], tally.upstream["repeated"]) == (total, total, 0), "each once"
    assert tally.upstream["closed"] > total / 50, "the upstream hardly closed anything: this run tested nothing"
    assert tally.upstream["reused"] > total / 4, "hardly anything was used again: this run tested nothing"
