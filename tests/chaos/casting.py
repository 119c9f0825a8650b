"""Who plays the providers: programs of our own by a script, `sidestream mock`, or llmock from PyPI."""

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from support.process import ROOT, Mock, address

from .plan import Cast
from .world import Failed, child

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
PINS = ROOT / "tests/requirements.txt"
VENV = ROOT / ".venv"
INSTALL_SECONDS_MAX, START_SECONDS_MAX = 600, 60
# What llmock does by chance, of a hundred requests. With some of them it asks for a second of rest.
ERRORS = {408: 3, 409: 3, 429: 2, 500: 6, 502: 5, 503: 2, 504: 3, 529: 2}
STREAM_FAULTS = {"disconnect": 1, "truncate": 1}


@contextlib.contextmanager
def providers(cast: Cast, seed: int, total: int, folder: Path) -> Iterator[dict[str, int]]:
    """Their ports, by name, while they run."""
    words = (cast.name, str(seed), str(total), str(folder))
    with contextlib.ExitStack() as stack:
        if cast.name == "scripted":
            yield stack.enter_context(child("upstream", *words))["ports"]
            return
        behind = stack.enter_context(mock() if cast.name == "mock" else llmock(folder / "llmock.log"))
        yield stack.enter_context(child("recorder", *words, "%s:%d" % behind))["ports"]


@contextlib.contextmanager
def mock() -> Iterator[tuple[str, int]]:
    program = Mock("--chunks", "12", "--gap-ms", "1")
    try:
        yield program.address
    finally:
        program.close()


@contextlib.contextmanager
def llmock(log: Path) -> Iterator[tuple[str, int]]:
    program = installed()
    rates = [word for status, percent in ERRORS.items() for word in ("--error-rate", f"{status}={percent / 100}")]
    faults = [word for name, percent in STREAM_FAULTS.items() for word in ("--stream-fault", f"{name}={percent / 100}")]
    command = [str(program), "serve", "--host", "127.0.0.1", "--port", "0", "--response-style", "echo", "--log-level", "info", *rates, *faults]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield address(told(process, log))
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def told(process: subprocess.Popen, log: Path) -> str:
    """The address that it says it listens on."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"running on http://(\S+)", log.read_text(errors="replace")):
            return found[1]
        time.sleep(0.05)
    raise Failed(f"llmock did not start:\n{log.read_text(errors='replace')[-2000:]}")


def installed() -> Path:
    """llmock's program; the first time it is fetched, pinned, with the tests' own pins as constraints."""
    stamp, wanted = VENV / ".installed-chaos", REQUIREMENTS.read_text() + PINS.read_text()
    program = VENV / "bin/llmock"
    if program.exists() and stamp.exists() and stamp.read_text() == wanted:
        return program
    print(f"installing {REQUIREMENTS.relative_to(ROOT)} into .venv …", flush=True)
    pip = [str(VENV / "bin/python"), "-m", "pip", "install", "--quiet", "--requirement", str(REQUIREMENTS), "--constraint", str(PINS)]
    make = ["bash", "-c", "set -e; . scripts/lib.sh; python_env"]
    for command in (make, pip):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX)
        if done.returncode:
            raise Failed(f"{' '.join(command)}:\n{(done.stdout + done.stderr)[-2000:]}")
    stamp.write_text(wanted)
    return program
