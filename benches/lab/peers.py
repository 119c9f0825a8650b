"""The peers: `benches/peers/NAME.toml`, whose keys and placeholders `benches/peers/README.md` explains."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .arms import Arm, beside_upload
from .cases import ROOT, Ask, Case, besides, holds, loads
from .process import Failed, Process
from .world import CLIENTS_OF_LOADS, World, free_port

FILES = ROOT / "benches/peers"
INSTALLED = ROOT / ".lab"
KINDS = ("proxy", "compiled gateway", "interpreted gateway")
KEYS = {"name", "what", "kind", "version", "install", "command", "env", "files", "plain", "tls", "ready", "listens", "model", "headers", "cases", "notes"}
CANNOT = "cannot: "
INSTALL_SECONDS_MAX = 1800


@dataclass(eq=False)
class Peer(Arm):
    name: str
    kind: str
    file: dict[str, Any]

    @property
    def ready(self) -> str | None:
        return None if self.file.get("ready", "tcp") == "tcp" else self.file["ready"]

    @property
    def prefix(self) -> Path:
        return INSTALLED / self.name

    @property
    def search(self) -> str:
        """The `PATH` that its programs are found on."""
        own = [str(self.prefix / "bin"), str(self.prefix / "node_modules/.bin")]
        return ":".join([*own, os.environ.get("PATH", os.defpath)])

    @property
    def stamp(self) -> Path:
        """Tells what was installed into `prefix`."""
        return self.prefix / ".installed"

    @property
    def wanted(self) -> str:
        return "; ".join(f"{name}: {' '.join(packages)}" for name, packages in self.file["install"].items())

    def missing(self) -> bool:
        if self.file["install"].keys() & {"pip", "npm"}:
            return not self.stamp.exists() or self.stamp.read_text() != self.wanted
        return shutil.which(self.file["command"][0], path=self.search) is None

    def version(self) -> str:
        if pinned := [*self.file["install"].get("pip", []), *self.file["install"].get("npm", [])]:
            return " ".join(pinned)
        command = self.file.get("version", [self.file["command"][0], "-v"])
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, env={"PATH": self.search})
        return next(iter((done.stdout + done.stderr).splitlines()), "version unknown").strip()

    # ── What it is asked ────────────────────────────────────────────────────────────────────────────────────────────

    def _entry(self, case: Case) -> dict[str, Any] | str | None:
        cases = self.file.get("cases", {})
        return next((cases[name] for name in case.names() if name in cases), None)

    def refusal(self, case: Case) -> str | None:
        entry = self._entry(case)
        if isinstance(entry, str) and entry.startswith(CANNOT):
            return entry.removeprefix(CANNOT)
        if entry is not None:
            return None
        if self.is_proxy:
            return "it passes bytes on and knows no dialect" if case.translated else None
        return f"benches/peers/{self.name}.toml does not say how"

    def ask(self, case: Case) -> Ask:
        if self.is_proxy:
            return beside_upload(case)
        entry = self._entry(case)
        entry = {"path": entry} if isinstance(entry, str) else entry
        headers = {**case.ask.headers, **self.file.get("headers", {}), **entry.get("headers", {})}
        model = entry.get("model", self.file.get("model"))
        body = re.sub(rb'"model":\s*"[^"]*"', b'"model": ' + json.dumps(model).encode(), case.ask.body, count=1) if model else case.ask.body
        return Ask(entry["path"], headers, body)

    def setup(self, case: Case) -> str:
        return "plain" if case.translated else case.to

    # ── How it is started ───────────────────────────────────────────────────────────────────────────────────────────

    def launch(self, world: World, to: str, clients: int, port: int) -> Process:
        command, env, folder = self._prepare(world, to, clients, port)
        return world.processes.start(f"{self.name}-{port}", command, world.proxy_core, env, folder)

    def await_ready(self, process: Process, port: int, pause: float = 0.01) -> int:
        port = int(process.wait_line(self.file["listens"])[1]) if "listens" in self.file else port
        return super().await_ready(process, port, pause)

    def _prepare(self, world: World, to: str, clients: int, port: int) -> tuple[list[str], dict[str, str], Path]:
        """Writes its files; gives its command, environment and folder."""
        origin = world.mock(to)
        folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=world.folder))
        folder.chmod(0o755)  # servers that give up root go on reading there
        words = {
            "port": port,
            "admin_port": free_port(),
            "upstream": origin,
            "upstream_scheme": origin.scheme,
            "upstream_host": origin.host,
            "upstream_port": origin.port,
            "ca": world.ca,
            "folder": folder,
            "prefix": self.prefix,
            "connections": 22 * (clients or CLIENTS_OF_LOADS) // 10,
        }
        words |= {name: _filled(text, words) for name, text in self.file.get("tls" if origin.tls else "plain", {}).items()}
        for name, text in self.file.get("files", {}).items():
            (folder / name).write_text(_filled(text, words))
        env = {name: _filled(text, words) for name, text in self.file.get("env", {}).items()}
        return [_filled(word, words) for word in self.file["command"]], {**env, "PATH": self.search}, folder

    # ── How it is installed ─────────────────────────────────────────────────────────────────────────────────────────

    def install(self) -> None:
        """Debian's packages as root, PyPI's and npm's into a folder of their own; again when the file asks for others."""
        if not self.missing():
            return
        print(f"installing {self.name} ({self.wanted})", file=sys.stderr, flush=True)
        packages = self.file["install"]
        if apt := packages.get("apt"):
            if os.geteuid() != 0:
                raise Failed(f"as root: apt-get install -y {' '.join(apt)}")
            _run(["apt-get", "install", "-y", *apt])
        if pip := packages.get("pip"):
            _run([sys.executable, "-m", "venv", str(self.prefix)])
            _run([str(self.prefix / "bin/python"), "-m", "pip", "install", "--quiet", *pip])
        if npm := packages.get("npm"):
            _run(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(self.prefix), *npm])
        if shutil.which(self.file["command"][0], path=self.search) is None:
            raise Failed(f"{self.file['command'][0]} is still not there")
        if self.prefix.exists():
            self.stamp.write_text(self.wanted)


def read(path: Path) -> Peer:
    try:
        file = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise Failed(f"{path.relative_to(ROOT)}: {error}") from error
    kind = file.get("kind", "proxy")
    problems = [f"unknown key {key}" for key in file if key not in KEYS]
    problems += [f"no {key}" for key in ("name", "install", "command") if key not in file]
    problems += [f"unknown case {name}" for name in file.get("cases", {}) if name not in case_names()]
    problems += [f"kind {kind!r} is none of {', '.join(KINDS)}"] if kind not in KINDS else []
    if problems:
        raise Failed(f"{path.relative_to(ROOT)}: {'; '.join(problems)}")
    return Peer(file["name"], kind, file)


@cache
def case_names() -> set[str]:
    """By which a file may speak of a case: its own name, or the one that it shares with others."""
    return {name for case in [*loads(), *holds(), *besides()] for name in case.names()}


def read_all() -> list[Peer]:
    """Proxies first; nginx and HAProxy lead, as they are the ones to beat."""
    leading = {"nginx": 0, "haproxy": 1}
    return sorted(map(read, FILES.glob("*.toml")), key=lambda peer: (KINDS.index(peer.kind), leading.get(peer.name, 2), peer.name))


def _filled(text: Any, words: dict[str, Any]) -> str:
    return re.sub(r"@(\w+)@", lambda found: str(words.get(found[1], found[0])), str(text))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX)
    if done.returncode:
        raise Failed(f"{' '.join(command)}:\n{(done.stdout + done.stderr)[-2000:]}")
