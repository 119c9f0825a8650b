"""Codex CLI and opencode: agents that take one prompt a process, and go on with a session in the next."""

import json
import os
import subprocess
import uuid
from dataclasses import replace
from pathlib import Path

from .play import Result, Scene
from .session import BUSY, CJK, RATE, Turn, png
from .words import Call, Fail, Say, Style, digest

TIMEOUT = 90
CJK_WORD = "日本語🦀é"


class Agent:
    """A program that takes a prompt as an argument and writes JSON lines. `home` and `work` are its folders, `base` the
    base URL of the provider that it is told to use."""

    def __init__(self, program: Path, base: str, folder: Path):
        self.program, self.base = program, base
        self.home, self.work = folder / "home", folder / "work"
        self.home.mkdir()
        self.work.mkdir()
        self.turns = 0
        self.picture = self.work / "red.png"
        self.picture.write_bytes(png(16, 16))
        self.configure()

    def turn(self, prompt: str, picture: bool = False) -> str:
        """What it answers in the end; what it wrote on standard error is part of a failure."""
        done = subprocess.run(
            [str(self.program), *self.arguments(prompt, self.picture if picture else None)],
            cwd=self.work,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), **self.env()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        self.turns += 1
        events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        answers = self.answers(events)
        if done.returncode or not answers:
            return f"exit code {done.returncode}: {done.stdout[-500:]} {done.stderr[-500:]}"
        return answers[-1]

    def close(self) -> None:
        """Every process has ended with its turn."""


class Codex(Agent):
    """Codex CLI while it still spoke Chat Completions."""

    face = "chat"

    def configure(self) -> None:
        (self.home / "config.toml").write_text(
            'model = "scripted"\nmodel_provider = "side"\n[model_providers.side]\nname = "side"\n'
            f'base_url = "{self.base}"\nwire_api = "chat"\nenv_key = "SIDE_KEY"\nstream_max_retries = 3\n'
        )

    def env(self) -> dict[str, str]:
        return {"CODEX_HOME": str(self.home), "SIDE_KEY": "a-clients-token"}

    def arguments(self, prompt: str, picture: Path | None) -> list[str]:
        options = ["--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
        shown = ["--image", str(picture)] if picture else []
        # Not the other way round: an option with several values takes all words up to the next option.
        return ["exec", *shown, *options, *(["resume", "--last"] if self.turns else []), prompt]

    def answers(self, events: list[dict]) -> list[str]:
        items = [e["item"] for e in events if e["type"] == "item.completed"]
        return [i["text"] for i in items if i["type"] == "agent_message"]

    def call(self, word: str = "") -> Call:
        word = word or uuid.uuid4().hex
        return Call("shell", {"command": ["bash", "-lc", f"printf %s {word} | sha256sum"]}, digest(word.strip("'")))


class Opencode(Agent):
    """opencode, with a provider package that speaks the dialect of `face`."""

    face = "chat"
    package = "@ai-sdk/openai-compatible"

    def configure(self) -> None:
        limits = {"limit": {"context": 200000, "output": 8000}, "tool_call": True, "reasoning": True, "attachment": True}
        limits["modalities"] = {"input": ["text", "image"], "output": ["text"]}
        options = {"baseURL": self.base, "apiKey": "a-clients-token"}
        provider = {"npm": self.package, "name": "side", "options": options, "models": {"scripted": {"name": "scripted", **limits}}}
        settings = {"autoupdate": False, "share": "disabled", "permission": "allow", "provider": {"side": provider}}
        (self.work / "opencode.json").write_text(json.dumps(settings))

    def env(self) -> dict[str, str]:
        off = ("AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS")
        return {f"OPENCODE_DISABLE_{name}": "1" for name in off}

    def arguments(self, prompt: str, picture: Path | None) -> list[str]:
        shown = ["--file", str(picture)] if picture else []
        options = ["--format", "json", "-m", "side/scripted", *(["--continue"] if self.turns else [])]
        return ["run", *options, *shown, "--", prompt]

    def answers(self, events: list[dict]) -> list[str]:
        return [e["part"]["text"] for e in events if e["type"] == "text"]

    def call(self, word: str = "") -> Call:
        word = word or uuid.uuid4().hex
        return Call("bash", {"command": f"printf %s {word} | sha256sum", "description": "Hash"}, digest(word.strip("'")))


class OpencodeMessages(Opencode):
    face = "messages"
    package = "@ai-sdk/anthropic"


class Play(Scene):
    """One of these agents, before a provider that speaks the other dialect."""

    def __init__(self, agent: type[Agent], program: Path, folder: Path, driver: str):
        name, face = ("strict", "messages") if agent.face == "chat" else ("chatty", "chat")
        super().__init__(folder, driver, {name: {"face": face}}, f"* -> {name}", is_title)
        self.agent = agent(program, self.origin + "/v1", folder)

    def prompt(self, turn: Turn, result: Result) -> None:
        first = len(self.script.served)
        got = self.agent.turn(f"Turn: {turn.name}", any(isinstance(s, Say) and s.images for s in turn.steps))
        said = [s.step for s in self.script.served[first:] if isinstance(s.step, Say) and not s.step.cut]
        wanted = said[-1].text if said else None
        if got != wanted:
            result.findings.append(f"it answers {got!r}, not {wanted!r}")

    def turns(self) -> list[Turn]:
        call, long = self.agent.call, "A long answer that breaks off somewhere in its middle, before it was finished."
        busy = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        limit = {"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down"}}
        if self.agent.face == "messages":
            busy, limit = BUSY, RATE
        overloaded = "529 Overloaded" if self.agent.face == "chat" else "503 Service Unavailable"
        plain = [
            Turn("plain text", [Say("Hello.")]),
            Turn("thinking, text and two calls at once", [Say("Both.", (call(), call()), "Let me see."), Say("Done.", thinking="So.")]),
            Turn("calls one after the other", [Say("", (call(),)), Say("Next.", (call(),)), Say("", (call(),), "Hm."), Say("All.")]),
            Turn("a picture", [Say("It is red.", images=1)]),
            Turn("characters of the world", [Say(CJK, (call(f"'{CJK_WORD}{uuid.uuid4().hex}'"),)), Say(f"終 {CJK}")]),
            Turn("the connection ends inside the stream", [Say(long, cut="fin"), Say("After the cut.")], steady=False),
            Turn("an error inside the stream", [Say(long, cut="error"), Say("After the error.")], steady=False),
            Turn("429 with retry-after", [Fail("429 Too Many Requests", limit, "Retry-After: 1\r\n"), Say("After the limit.")]),
            Turn("overloaded", [Fail(overloaded, busy, "Retry-After: 1\r\n"), Say("After the overload.")]),
        ]
        turns = plain + (self.styles() if self.agent.face == "messages" else [])
        return [replace(t, provider=self.providers[0].name) for t in turns]

    def styles(self) -> list[Turn]:
        """Some habits of compatible servers."""
        habits = [
            Style(index="missing", usage="every", reasoning="reasoning"),
            Style(index="zero", ids="repeated", finish="stop", framing="crlf"),
            Style(ids="missing", arguments="interleaved", comments=True, end="none"),
            Style(name="late", preamble="azure", usage="before_finish", framing="split"),
        ]
        call = self.agent.call
        return [Turn("; ".join(h.names()), [Say("", (call(), call()), "Hm.", h), Say("Done.", style=h)]) for h in habits]


def is_title(body: dict) -> bool:
    """A session's title is asked for without tools."""
    return not body.get("tools")
