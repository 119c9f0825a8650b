"""One run's machine: its cores, its folder, the providers that everyone is measured against."""

import os
import socket
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from .process import Failed, Process, Processes, move, yield_to_others
from .programs import Programs

CLIENTS_OF_LOADS = 512  # what a proxy with tables of a fixed size is told to expect
PATIENCE = 10.0
# The providers, and how the mock plays them. A request's own wishes would not get through a gateway.
MOCKS = {
    "plain": [],
    "tls": [],
    "paced": ["--gap-ms", "20"],
    "silent": ["--gap-ms", "3600000"],
    "silent-tls": ["--gap-ms", "3600000"],
    "aside": [],  # beside another, for requests that are to take nothing from it
}


@dataclass(frozen=True)
class Origin:
    """Where a provider listens. By name over TLS, for its certificate."""

    port: int
    tls: bool = False

    @property
    def host(self) -> str:
        return "localhost" if self.tls else "127.0.0.1"

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


@dataclass
class World:
    folder: Path
    programs: Programs
    proxy_core: int
    load_core: int
    processes: Processes = field(init=False)
    mocks: dict[str, tuple[Process, Origin]] = field(default_factory=dict)

    def __post_init__(self):
        self.processes = Processes(self.folder)

    def mock(self, name: str) -> Origin:
        """The provider of this name, started when it is first asked for."""
        if name not in self.mocks:
            tls = name.endswith("tls")
            extra = ["--tls", str(self.certificates / "server.pem")] if tls else []
            command = [self.programs.sidestream, "mock", "--listen", "127.0.0.1:0", *MOCKS[name], *extra]
            process = self.processes.start(f"mock-{name}", command, self.load_core)
            port = int(process.wait_line(r"listening=\S*?:(\d+)")[1])
            self.mocks[name] = process, Origin(port, tls)
            if name == "aside":
                yield_to_others(process.pid)
        return self.mocks[name][1]

    def place(self, placement: str) -> int:
        """`own`: the proxies alone on their core; `one`: the providers with them. Gives the core for the load."""
        core = self.load_core if placement == "own" else self.proxy_core
        for process, _ in self.mocks.values():
            move(process.pid, core)
        return core

    @cached_property
    def certificates(self) -> Path:
        """A certificate authority for this run, and the mock's certificate: ca.pem, server.pem (chain and key)."""
        folder = self.folder / "tls"
        folder.mkdir()
        (folder / "san").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
        for command in (
            f"req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=sidestream-bench-ca",
            f"req {key} -keyout server.key -out server.csr -subj /CN=localhost",
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out server.crt",
        ):
            done = subprocess.run(["openssl", *command.split()], cwd=folder, capture_output=True, text=True, timeout=30)
            if done.returncode:
                raise Failed(f"openssl {command}:\n{done.stderr}")
        chain = [(folder / name).read_text() for name in ("server.crt", "ca.pem", "server.key")]
        (folder / "server.pem").write_text("".join(chain))
        return folder

    @property
    def ca(self) -> Path:
        return self.certificates / "ca.pem"


def two_cores() -> tuple[int, int]:
    """For the proxy, and for everything else."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[0], cores[-1]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_answer(port: int, ready: str | None, process: Process, deadline: float, pause: float = 0.01) -> None:
    """Until a path is answered with 200, or, without one, until a connection is accepted."""
    ask = f"GET {ready} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n".encode()
    while time.monotonic() < deadline:
        try:
            with closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)) as peer:
                if ready is None:
                    return
                peer.sendall(ask)
                if peer.recv(64)[9:12] == b"200":
                    return
        except OSError:
            pass
        process.must_live()
        time.sleep(pause)
    raise Failed(f"nothing answers on port {port}:\n{process.last_words()}")
