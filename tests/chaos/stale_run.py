"""A run of `stale`: an upstream for each arm, and the proxy before one of them."""

import asyncio
import json
from pathlib import Path

from support.wire import ask

from .stale import CLIENTS, IDLE_MS, JITTER, Tally, waves
from .world import child, proxy


def stale(total: int, seed: int, driver: str, log: Path, arms=("direct", "sidestream")) -> list[Tally]:
    return [_arm(arm, total, seed, driver, log) for arm in arms]


def _arm(arm: str, total: int, seed: int, driver: str, log: Path) -> Tally:
    with child("stale", str(IDLE_MS), str(JITTER), str(seed)) as upstream:
        address = ("127.0.0.1", upstream["port"])
        if arm == "direct":
            tally = asyncio.run(waves(arm, address, total, IDLE_MS / 1000, seed))
        else:
            env = {
                "MOCK_ENDPOINT_URL": "http://%s:%d/v1" % address,
                "MOCK_MAX_CONNECTIONS": str(2 * CLIENTS),
                "MOCK_KEEPALIVE_CONNECTIONS": str(CLIENTS),
                "MOCK_MAX_RETRIES": "0",  # what is asked here is that the pool does it alone
            }
            with proxy(env, driver, log) as sidestream:
                tally = asyncio.run(waves(arm, sidestream.address, total, IDLE_MS / 1000, seed))
        tally.upstream = {"requests": 0, "reused": 0, "closed": 0, **json.loads(ask(address, "GET", "/stats").body)}
    return tally
