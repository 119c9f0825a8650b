"""What a run gave: as text, as JSON, as a page."""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from . import table
from .cases import ROOT, loads
from .goals import standings
from .measure import Results, Sample
from .process import Failed

VENV = ROOT / ".venv-bench"
REQUIREMENTS = ROOT / "benches/requirements.txt"
INSTALL_SECONDS_MAX = 600
PAGE_SECONDS_MAX = 300


@dataclass(frozen=True)
class Report:
    """`whole`: not broken off."""

    head: dict[str, str]
    missing: list[str]
    results: Results
    whole: bool

    def text(self) -> str:
        results = self.results
        parts = [*table.load_tables(results, loads()), *table.other_tables(results), *table.left_out_text(results)]
        parts += ["\n".join(self.missing)] if self.missing else []
        return "\n" + "\n\n".join([*parts, *table.goal_table(standings(results))])

    def json(self) -> str:
        goals = [
            {"what": s.goal.what, "unit": s.goal.unit, "goal": s.goal.goal, "limit": s.goal.limit, **asdict(s.measured), "verdict": s.verdict}
            for s in standings(self.results)
        ]
        left_out = [{"case": case, "arm": arm, "why": why} for (case, arm), why in self.results.left_out.items()]
        document = {
            "head": self.head,
            "missing": self.missing,
            "whole": self.whole,
            "kinds": self.results.kinds,
            "goals": goals,
            "left_out": left_out,
            "samples": [asdict(sample) for sample in self.results.samples],
        }
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def read(path: Path) -> Report:
    try:
        return parse(path.read_text())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failed(f"{path} is no result that --json wrote: {error}") from error


def parse(text: str) -> Report:
    document = json.loads(text)
    samples = [Sample(**sample) for sample in document["samples"]]
    left_out = {(entry["case"], entry["arm"]): entry["why"] for entry in document["left_out"]}
    return Report(document["head"], document["missing"], Results(document["kinds"], samples, left_out), document["whole"])


# ── The page ────────────────────────────────────────────────────────────────────────────────────────────────────────


def need_plots() -> None:
    """The plotting library, pinned, in an environment of its own: before the run, so that a failure costs nothing."""
    stamp = VENV / ".installed"
    if stamp.exists() and stamp.read_text() == REQUIREMENTS.read_text():
        return
    print(f"installing {REQUIREMENTS.relative_to(ROOT)} into {VENV.name} …", file=sys.stderr, flush=True)
    pip = [str(VENV / "bin/python"), "-m", "pip", "install", "--quiet", "--requirement", str(REQUIREMENTS)]
    for command in ([sys.executable, "-m", "venv", str(VENV)], pip):
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX)
        if done.returncode:
            raise Failed(f"{' '.join(command)}:\n{(done.stdout + done.stderr)[-2000:]}")
    stamp.write_text(REQUIREMENTS.read_text())


def write_page(report: Report, path: Path) -> None:
    command = [str(VENV / "bin/python"), "-m", "lab.page"]
    environment = {"PYTHONPATH": str(ROOT / "benches"), "PATH": "/usr/bin:/bin", "MPLCONFIGDIR": str(VENV / "matplotlib")}
    done = subprocess.run(command, input=report.json(), capture_output=True, text=True, timeout=PAGE_SECONDS_MAX, env=environment)
    if done.returncode:
        raise Failed(f"the page was not made:\n{done.stderr[-2000:]}")
    path.write_text(done.stdout)
