"""The project's own programs: the proxy, which is also the mock; the floor and the load generator of `benches/`."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .cases import ROOT
from .process import Failed

BUILD_SECONDS_MAX = 1800


@dataclass(frozen=True)
class Programs:
    sidestream: str
    load: str
    floor: str


def sidestream() -> str:
    """`SIDESTREAM_BIN`, or the release build of this tree."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    binary = os.environ.get("SIDESTREAM_BIN") or str(target / "release" / "sidestream")
    if not Path(binary).exists():
        raise Failed(f"no {binary}: cargo build --release, or set SIDESTREAM_BIN")
    return str(Path(binary).resolve())


def all_programs() -> Programs:
    return Programs(sidestream(), **built("load", "floor"))


def built(*names: str) -> dict[str, str]:
    """Built by cargo in release, if anything changed since; or found in the folder `SIDESTREAM_BENCH_BIN`."""
    if folder := os.environ.get("SIDESTREAM_BENCH_BIN"):
        found = {name: str(Path(folder, name).resolve()) for name in names if Path(folder, name).exists()}
    else:
        found = _cargo(names)
    if missing := [name for name in names if name not in found]:
        raise Failed(f"no program {', '.join(missing)} {'in ' + folder if folder else 'among the benches of Cargo.toml'}")
    return found


def _cargo(names: tuple[str, ...]) -> dict[str, str]:
    if not shutil.which("cargo"):
        raise Failed("cargo is not on PATH; the load generator is built with it. SIDESTREAM_BENCH_BIN names a folder that has load and floor")
    wanted = [word for name in names for word in ("--bench", name)]
    command = ["cargo", "bench", "--locked", "--no-run", *wanted, "--message-format=json"]
    print("building the load generator and the floor …", file=sys.stderr, flush=True)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=BUILD_SECONDS_MAX)
    if done.returncode:
        raise Failed(f"{' '.join(command)}:\n{done.stderr[-3000:]}")
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    executables = {m["target"]["name"]: m["executable"] for m in messages if m.get("reason") == "compiler-artifact" and m.get("executable")}
    return {name: path for name, path in executables.items() if name in names}  # cargo builds the proxy for its benches, too
