"""Starts and ends the program under test. A start is over when its start line is there; nothing sleeps, no port is
fixed, and only processes started here are ended."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from .wire import ask

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("SIDESTREAM_BIN") or str(
    Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "release" / "sidestream"
)
DENIED = str(Path(__file__).with_name("denied.py"))
START_TIMEOUT = 10.0
# The three ways to run the proxy; `denied` is `auto` where seccomp refuses io_uring.
NO_URING = os.environ.get("SIDESTREAM_TEST_NO_URING") == "1"
DRIVERS = ["epoll", "denied"] if NO_URING else ["io_uring", "epoll", "denied"]
PAIR = re.compile(r'([A-Za-z_][\w.-]*)=("(?:[^"\\]|\\.)*"|\S*)')


def pairs(line: str) -> dict[str, str]:
    """A line of the log, `a=1 b="two words"` or JSON, as a dictionary of texts."""
    if line.startswith("{"):
        return {k: str(v) for k, v in json.loads(line).items()}
    return {k: v[1:-1].replace('\\"', '"') if v.startswith('"') else v for k, v in PAIR.findall(line)}


def address(text: str):
    """`127.0.0.1:1` or `unix:/path` as the address that `wire.connect` takes."""
    if text.startswith("unix:"):
        return text.removeprefix("unix:")
    host, _, port = text.rpartition(":")
    return host, int(port)


def is_started(line: str) -> bool:
    return "msg=started" in line or '"msg":"started"' in line


class NotStarted(Exception):
    """The program ended, or said nothing, before its start line."""

    def __init__(self, code, log: str):
        super().__init__(f"exit code {code}:\n{log}")
        self.code, self.log = code, log


class Program:
    """A child process whose output is read line by line. `ready` tells its start line."""

    exit_codes = (0,)  # after SIGTERM

    def __init__(self, args, env, ready, denied: bool = False, program=(BINARY,)):
        command = [*program, *args]
        if denied:
            command = [sys.executable, DENIED, *command]
        clean = {k: os.environ[k] for k in ("PATH", "HOME", "TMPDIR") if k in os.environ}
        self.process = subprocess.Popen(
            command,
            env={**clean, "RUST_BACKTRACE": "1", **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self.lines: list[str] = []
        self.news = threading.Condition()
        self.silent = False  # its output has ended
        threading.Thread(target=self._read, daemon=True).start()
        self.start_line = self.wait_line(ready)
        self.start = pairs(self.start_line)

    def _read(self) -> None:
        for line in self.process.stdout:
            with self.news:
                self.lines.append(line.rstrip("\n"))
                self.news.notify_all()
        with self.news:
            self.silent = True
            self.news.notify_all()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def wait_line(self, wanted, timeout: float = START_TIMEOUT) -> str:
        """The first line for which `wanted(line)` holds."""
        deadline, seen = time.monotonic() + timeout, 0
        with self.news:
            while True:
                for line in self.lines[seen:]:
                    if wanted(line):
                        return line
                seen = len(self.lines)
                if self.silent or time.monotonic() > deadline:
                    break
                self.news.wait(timeout=deadline - time.monotonic())
        if self.silent:
            self.process.wait(timeout)
        code = self.process.poll()
        if code is None:
            self.kill()
        raise NotStarted(code, self.log)

    def signal(self, which: signal.Signals) -> None:
        self.process.send_signal(which)

    def wait(self, timeout: float = START_TIMEOUT) -> int:
        return self.process.wait(timeout)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def resident_kib(self) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("no VmRSS")

    def wake_ups(self) -> int:
        """How often its threads went to sleep so far, and so were woken."""
        texts = (thread.joinpath("status").read_text() for thread in Path(f"/proc/{self.pid}/task").iterdir())
        lines = (line for text in texts for line in text.splitlines())
        return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches:"))

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def close(self) -> None:
        """Ends it and holds it to its promises: alive until now, no panic, SIGTERM obeyed with exit code 0."""
        try:
            if self.process.poll() is None:
                self.signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(START_TIMEOUT)
            code = self.process.poll()
        finally:
            self.kill()
        assert "panicked" not in self.log, f"a panic:\n{self.log}"
        assert code in self.exit_codes, f"exit code {code} (None: SIGTERM ignored):\n{self.log[-4000:]}"


class Sidestream(Program):
    """`sidestream run` on ports of its own. `driver` is io_uring, epoll, or denied (auto under seccomp)."""

    def __init__(self, driver: str, env: dict[str, str], args=("run",)):
        settings = {
            "SIDESTREAM_LISTEN": "127.0.0.1:0",
            "SIDESTREAM_ADMIN": "127.0.0.1:0",
            "SIDESTREAM_DRIVER": "auto" if driver == "denied" else driver,
            "SIDESTREAM_PROVIDERS": "mock",
            "SIDESTREAM_ROUTES": "* -> mock",
            "SIDESTREAM_DRAIN": "2s",
            "MOCK_API_KEY": "sk-the-providers-own",
            # Most tests look at what one try comes to.
            "MOCK_MAX_RETRIES": "0",
            "MOCK_BREAKER": "off",
            **env,
        }
        super().__init__(args, settings, is_started, denied=driver == "denied")
        self.addresses = [address(a) for a in self.start["listen"].split(",")]
        self.address = self.addresses[0]

    @property
    def admin(self):
        return address(self.start["admin"])

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics by its name with labels."""
        answer = ask(self.admin, "GET", "/metrics")
        assert answer.status == 200, answer
        samples = [line for line in answer.body.decode().splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in (s.rpartition(" ") for s in samples)}

    def counter(self, name: str) -> float:
        """The sum of a counter over its labels; 0 where it is not there."""
        return sum(v for k, v in self.metrics().items() if k.partition("{")[0] == name)

    def wait_counter(self, name: str, at_least: float, timeout: float = 5.0) -> float:
        """A counter may be settled just after the answer that it counts."""
        deadline = time.monotonic() + timeout
        while (value := self.counter(name)) < at_least and time.monotonic() < deadline:
            time.sleep(0.005)
        return value


class Mock(Program):
    """`sidestream mock`, the project's own provider. It has nothing to drain: SIGTERM may just end it."""

    exit_codes = (0, -15)

    def __init__(self, *args: str):
        super().__init__(("mock", "--listen", "127.0.0.1:0", *args), {}, lambda line: "listening=" in line)
        self.address = address(self.start["listening"])
        self.origin = ("https" if "--tls" in args else "http") + "://%s:%d" % self.address

    @property
    def env(self) -> dict[str, str]:
        return {"MOCK_ENDPOINT_URL": self.origin + "/v1", "MOCK_ANTHROPIC_URL": self.origin}
