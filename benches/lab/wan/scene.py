"""Who runs: the mock over TLS, for each distance a delaying proxy and a sidestream behind it, and the lossy upstreams."""

import json
import re
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..cases import ROOT, Ask
from ..process import Failed, Process
from ..programs import Programs
from ..world import World
from .truth import Truth, look, taker

HOST = "127.0.0.1"
DIRECT, SIDESTREAM = "direct", "sidestream"
REPORT_SECONDS_MAX = 5.0


@dataclass(frozen=True)
class Leg:
    """A distance, and who stands at its near end: the delaying proxy, and sidestream before it."""

    rtt_ms: float
    delay: Process
    port: int
    proxy: Process
    proxy_port: int

    def arms(self, ca: Path) -> dict[str, dict[str, Any]]:
        """As a client is told."""
        return {
            DIRECT: {"host": HOST, "port": self.port, "ca": str(ca)},
            SIDESTREAM: {"host": HOST, "port": self.proxy_port, "ca": None},
        }


@dataclass
class Scene:
    """Nobody is pinned to a core."""

    folder: Path
    binary: str
    world: World = field(init=False)
    legs: dict[float, Leg] = field(default_factory=dict)
    gates: list[Process] = field(default_factory=list)

    def __post_init__(self):
        self.world = World(self.folder, Programs(self.binary, load="", floor=""), None, None)  # no load generator takes part

    def module(self, name: str, log: str, *words: object) -> Process:
        command = [sys.executable, "-m", f"lab.wan.{name}", *map(str, words)]
        return self.world.processes.start(log, command, None, {"PYTHONPATH": str(ROOT / "benches")})

    def listener(self, name: str, log: str, *words: object) -> tuple[Process, int]:
        process = self.module(name, log, *words)
        return process, int(process.wait_line(r"listening=\S*?:(\d+)\n")[1])

    def delay(self, to: int, rtt_ms: float) -> tuple[Process, int]:
        return self.listener("delay", f"delay-{to}-{rtt_ms:g}", "--to", to, "--rtt-ms", rtt_ms)

    def leg(self, rtt_ms: float) -> Leg:
        if rtt_ms not in self.legs:
            delay, port = self.delay(self.world.mock("tls").port, rtt_ms)
            self.legs[rtt_ms] = Leg(rtt_ms, delay, port, *self.sidestream(f"{rtt_ms:g}", {"far": port}))
        return self.legs[rtt_ms]

    def lossy_leg(self, rtt_ms: float, share: float) -> Leg:
        """Two upstreams that lose alike. Who calls directly has the first; sidestream may go to the second when it has failed."""
        ports = {}
        for seed, name in enumerate(("first", "second"), start=1):
            identity = self.world.certificates / "server.pem"
            words = ["--to", self.world.mock("plain").port, "--identity", identity, "--share", share, "--seed", seed]
            gate, port = self.listener("gate", f"gate-{name}", *words)
            self.gates.append(gate)
            delay, ports[name] = self.delay(port, rtt_ms)
        return Leg(rtt_ms, delay, ports["first"], *self.sidestream("lossy", ports, SIDESTREAM_ROUTES="* -> first, second"))

    def sidestream(self, log: str, ports: dict[str, int], **more: str) -> tuple[Process, int]:
        """With its defaults, before providers at these ports."""
        env = {"SIDESTREAM_LISTEN": f"{HOST}:0", "SIDESTREAM_ADMIN": f"{HOST}:0", "SIDESTREAM_PROVIDERS": ",".join(ports), **more}
        for name, port in ports.items():
            base = f"https://{HOST}:{port}/v1"
            env |= {f"{name.upper()}_{key}": value for key, value in (("API_KEY", "sk-far"), ("OPENAI_URL", base), ("CA_FILE", str(self.world.ca)))}
        process = self.world.processes.start(f"sidestream-{log}", [self.binary], None, env)
        return process, int(process.wait_line(r"msg=started.*?listen=[^ ]*?:(\d+)")[1])

    def truths(self, rtts_ms: Sequence[float]) -> list[Truth]:
        found = []
        with taker() as port:
            for rtt_ms in rtts_ms:
                delay, at = self.delay(port, rtt_ms)
                found.append(look(at, rtt_ms))
                self.world.processes.end(delay)
        return found

    def lane(self, name: str, leg: Leg, ask: Ask, order: list[str], cold: bool) -> Process:
        """A client on its way."""
        body, file = self.folder / f"{name}.body", self.folder / f"{name}.json"
        body.write_bytes(ask.body)
        told = {"path": ask.path, "headers": ask.headers, "body": str(body), "arms": leg.arms(self.world.ca), "order": order, "cold": cold}
        file.write_text(json.dumps(told))
        return self.module("lane", f"lane-{name}", file)

    def end(self) -> None:
        self.world.processes.end_all()


def report(process: Process, name: str) -> dict[str, Any]:
    """What a delaying proxy or a gate says on SIGUSR1 of the time since it was last asked."""
    pattern = rf"^{name}=(.*)\n"
    before = len(re.findall(pattern, process.log.read_text(), re.M))
    process.child.send_signal(signal.SIGUSR1)
    deadline = time.monotonic() + REPORT_SECONDS_MAX
    while time.monotonic() < deadline:
        said = re.findall(pattern, process.log.read_text(), re.M)
        if len(said) > before:
            return json.loads(said[-1])
        process.must_live()
        time.sleep(0.005)
    raise Failed(f"{process.child.args} says nothing of its {name}:\n{process.last_words()}")

