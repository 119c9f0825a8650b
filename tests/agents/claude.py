"""Claude Code without a terminal: one process, one session, many turns (`-p --input-format stream-json`)."""

import json
import os
import queue
import subprocess
import threading
import time
from pathlib import Path


class Silent(Exception):
    """The agent said nothing more, or ended."""


class Claude:
    """`base` is the address that it takes for Anthropic's. Its home and work folders are `home` and `work`."""

    def __init__(self, program: Path, base: str, model: str, home: Path, work: Path, *args: str, **env: str):
        self.program, self.base, self.model, self.home, self.work = program, base, model, home, work
        self.args, self.env = args, env
        self.start()

    def start(self, *args: str) -> None:
        command = [str(self.program), "-p", "--output-format", "stream-json", "--input-format", "stream-json", "--verbose"]
        command += ["--include-partial-messages", "--dangerously-skip-permissions", "--model", self.model, *self.args, *args]
        quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", "DISABLE_TELEMETRY": "1"}
        self.process = subprocess.Popen(
            command,
            cwd=self.work,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "IS_SANDBOX": "1",  # else it refuses to run as root without asking
                "ANTHROPIC_BASE_URL": self.base,
                "ANTHROPIC_AUTH_TOKEN": "a-clients-token",
                **quiet,
                **self.env,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self.lines: queue.Queue[dict | None] = queue.Queue()
        self.log: list[str] = []
        self.session = ""
        self.requests = 0
        threading.Thread(target=self._read, args=(self.process, self.lines), daemon=True).start()

    def _read(self, process, lines) -> None:
        for line in process.stdout:
            self.log.append(line.rstrip("\n"))
            try:
                lines.put(json.loads(line))
            except ValueError:
                continue
        lines.put(None)

    def _write(self, message: dict) -> None:
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def say(self, prompt: str) -> None:
        self._write({"type": "user", "message": {"role": "user", "content": prompt}})

    def next(self, deadline: float) -> dict:
        """Its next message."""
        try:
            message = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise Silent("no more messages in time; the last:\n" + "\n".join(x[:500] for x in self.log[-5:])) from None
        if message is None:
            raise Silent(f"it ended with {self.process.wait(10)}:\n" + "\n".join(x[:2000] for x in self.log[-5:]))
        if message.get("type") == "system" and message.get("subtype") == "init":
            self.session = message["session_id"]
        return message

    def until(self, wanted, timeout: float = 60.0) -> list[dict]:
        """All messages up to the first for which `wanted(message)` holds."""
        deadline, got = time.monotonic() + timeout, []
        while True:
            got.append(self.next(deadline))
            if wanted(got[-1]):
                return got

    def turn(self, prompt: str, timeout: float = 60.0) -> list[dict]:
        """A whole turn: its messages, the result last."""
        self.say(prompt)
        return self.until(is_result, timeout)

    def control(self, timeout: float = 20.0, **request) -> tuple[dict, list[dict]]:
        """A control request: its answer, and the messages before it."""
        self.requests += 1
        id = f"control-{self.requests}"
        self._write({"type": "control_request", "request_id": id, "request": request})
        got = self.until(lambda m: m.get("type") == "control_response" and m["response"]["request_id"] == id, timeout)
        return got[-1]["response"], got

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


def is_result(message: dict) -> bool:
    return message.get("type") == "result"


def stream_events(messages: list[dict], kind: str) -> list[dict]:
    """The events of the answers' streams, as Claude Code passes them on."""
    return [m["event"] for m in messages if m.get("type") == "stream_event" and m["event"]["type"] == kind]


def texts(messages: list[dict]) -> list[str]:
    """The texts of the answers, in order."""
    blocks = [b for m in messages if m.get("type") == "assistant" for b in m["message"]["content"]]
    return [b["text"] for b in blocks if b["type"] == "text"]


def thoughts(messages: list[dict]) -> list[str]:
    blocks = [b for m in messages if m.get("type") == "assistant" for b in m["message"]["content"]]
    return [b["thinking"] for b in blocks if b["type"] == "thinking"]
