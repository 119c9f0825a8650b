"""The processes of a run: upstreams, recorders, and the proxy before them."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from support.fleet import NOTHING, dead_port
from support.process import ROOT, Sidestream

from .plan import ANTHROPIC, DEADLINE_SECONDS, FIRST_BYTE_SECONDS, IDLE_SECONDS, MAX_RETRIES, MAX_TRIES, OPENAI, Cast

END_SECONDS_MAX = 10


class Failed(Exception):
    """Something did not start, or ended too soon. The text says what to do."""


@contextlib.contextmanager
def child(*words: str) -> Iterator[dict]:
    """A module of this package as a process, from its first line, which is JSON, until its standard input is closed."""
    command = [sys.executable, "-m", f"chaos.{words[0]}", *words[1:]]
    process = subprocess.Popen(command, cwd=ROOT / "tests", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        first = process.stdout.readline()
        if not first:
            raise Failed(f"{' '.join(command)} ended with {process.wait()}; its words are above")
        yield json.loads(first)
    finally:
        process.stdin.close()
        try:
            process.wait(END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def settings(cast: Cast, ports: dict[str, int], anthropic_base: str = "") -> dict[str, str]:
    """The variables as a user would write them."""
    env = {
        **NOTHING,
        "SIDESTREAM_PROVIDERS": ",".join(cast.providers),
        "SIDESTREAM_ROUTES": cast.text(),
        "SIDESTREAM_MAX_TRIES": str(MAX_TRIES),
        "SIDESTREAM_DEADLINE": f"{DEADLINE_SECONDS:.0f}s",
    }
    for name, faces in cast.providers.items():
        prefix, origin = name.upper(), f"http://127.0.0.1:{ports.get(name) or dead_port()}"
        env |= {
            f"{prefix}_OPENAI_URL": origin + "/v1" if OPENAI in faces else "off",
            f"{prefix}_ANTHROPIC_URL": origin + anthropic_base if ANTHROPIC in faces else "off",
            **({f"{prefix}_API_KEYS": ",".join(cast.keys[name])} if name in cast.keys else {f"{prefix}_API_KEY": f"sk-{name}"}),
            f"{prefix}_MAX_RETRIES": str(MAX_RETRIES),
            f"{prefix}_FIRST_BYTE_TIMEOUT": f"{FIRST_BYTE_SECONDS:.0f}s",
            f"{prefix}_IDLE_TIMEOUT": f"{IDLE_SECONDS:.0f}s",
        }
    return env


@contextlib.contextmanager
def proxy(env: dict[str, str], driver: str, log: Path) -> Iterator[Sidestream]:
    sidestream = Sidestream(driver, env)
    try:
        yield sidestream
    finally:
        log.write_text(sidestream.log)
        sidestream.close()
