"""Real agents through sidestream, and a report:  python -m agents.run [DRIVER ...] PART ...

Every part plays scripted sessions and prints a line for each turn; the last lines are the report for release notes."""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from support.process import BINARY, DRIVERS

from . import crowd, others, tour, vendors
from .play import Result, Stage

CACHE = Path(os.environ["SIDESTREAM_AGENTS"])
MODULES = CACHE / "node_modules"


def claude(folder: Path, driver: str) -> list[Result]:
    stage = Stage(MODULES / ".bin/claude", folder, driver)
    with stage.stack:
        return [shown(stage.play(turn)) for turn in tour.turns(stage.tools)]


def claude_at_vendors(folder: Path, driver: str) -> list[Result]:
    results = []
    for number, vendor in enumerate([*vendors.VENDORS, vendors.SMALL]):
        own = folder / str(number)
        own.mkdir()
        stage = vendors.Short(MODULES / ".bin/claude", own, driver, vendor)
        with stage.stack:
            results += [shown(stage.play(turn)) for turn in vendors.turns(vendor, stage.tools)]
    return results


def claudes(folder: Path, driver: str) -> list[Result]:
    return [shown(result) for result in crowd.part(MODULES / ".bin/claude", folder, driver)]


def other(agent: type[others.Agent], program: str):
    def part(folder: Path, driver: str) -> list[Result]:
        scene = others.Play(agent, MODULES / ".bin" / program, folder, driver)
        with scene.stack:
            return [shown(scene.play(turn)) for turn in scene.turns()]

    return part


def llama(folder: Path, driver: str) -> list[Result]:
    from . import llama  # which needs the SDKs

    return [shown(result) for result in llama.part(driver)]


# part: (npm package, what it is, how it is played)
PARTS = {
    "claude": ("@anthropic-ai/claude-code", "Claude Code (Messages) on Chat, and on Messages in between", claude),
    "vendors": ("@anthropic-ai/claude-code", "Claude Code on Chat, at vendors with rules of their own", claude_at_vendors),
    "crowd": ("@anthropic-ai/claude-code", f"{len(crowd.NAMES)} times Claude Code on Chat at once", claudes),
    "codex": ("@openai/codex", "Codex CLI (Chat) on Messages", other(others.Codex, "codex")),
    "opencode-chat": ("opencode-ai", "opencode (Chat) on Messages", other(others.Opencode, "opencode")),
    "opencode-messages": ("opencode-ai", "opencode (Messages) on Chat", other(others.OpencodeMessages, "opencode")),
    "llama": ("", "the SDKs and llama.cpp's server with Gemma 3 270M, each dialect on the other", llama),
}


def shown(result: Result) -> Result:
    mark = "FAILED" if result.findings else "ok"
    notes = f"  ({'; '.join(result.notes)})" if result.notes else ""
    print(f"  {mark:6} {result.name:66} {result.requests:2} requests {result.seconds:5.1f} s{notes}", flush=True)
    for finding in result.findings:
        print(f"         {finding[:1500]}")
    return result


def version(package: str) -> str:
    if not package:
        return (CACHE / "llama" / "version").read_text().strip()
    return json.loads((MODULES / package / "package.json").read_text())["version"]


def play(name: str, driver: str) -> tuple[str, bool]:
    """A line of the report, and whether all was well."""
    package, what, part = PARTS[name]
    print(f"\n{name}, {driver}:")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="agents-") as folder:
        results = part(Path(folder), driver)
    failed = [r for r in results if r.findings]
    requests = sum(r.requests for r in results)
    line = f"{what}, {version(package)}, {driver}: {len(results)} turns, {requests} requests, {len(failed)} failed, {time.monotonic() - began:.0f} s"
    return line, not failed


def has_llama() -> bool:
    return (CACHE / "llama" / "version").exists()


def main(words: list[str]) -> int:
    drivers = [w for w in words if w in DRIVERS] or [d for d in DRIVERS if d != "denied"][:1]
    names = [w for w in words if w not in DRIVERS] or [p for p in PARTS if p != "llama" or has_llama()]
    if unknown := [n for n in names if n not in PARTS]:
        print(f"no part {unknown}; there are: {' '.join(PARTS)}; drivers: {' '.join(DRIVERS)}", file=sys.stderr)
        return 2
    print(f"program: {BINARY}")
    lines = [play(name, driver) for driver in drivers for name in names]
    if "llama" not in names and not has_llama():
        print("\nNOT RUN: llama, a real model; scripts/test-agents --build-llama makes it (20 minutes).")
    print("\nReal agents through sidestream:")
    for line, well in lines:
        print(f"- {line}" + ("" if well else "  ** FAILED **"))
    return 0 if all(well for _, well in lines) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
