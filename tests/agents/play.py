"""Plays a session's turns with Claude Code through sidestream, and says of each what was not as it should be."""

import contextlib
import itertools
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from support.process import Sidestream

from .claude import Claude, Silent, is_result, stream_events, texts, thoughts
from .provider import Provider, Script, Served
from .session import Tools, Turn
from .words import Say

# Claude Code's names of models decide what it sends; these two differ in the place of `role:"system"` messages.
CHAT_MODEL, MESSAGES_MODEL = "claude-opus-4-8", "claude-sonnet-4-6"
GONE_SECS_MAX = 1.0
# Reasons to stop other than that all was said, or a call.
STOPS = {"length": "max_tokens", "max_tokens": "max_tokens", "content_filter": "refusal"}


@dataclass
class Result:
    """What became of one turn."""

    name: str
    findings: list[str] = field(default_factory=list)
    requests: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


class Scene:
    """Scripted providers, sidestream before them on `routes` with `more` settings, and a folder for the agent."""

    def __init__(self, folder: Path, driver: str, providers: dict[str, dict], routes: str, aside, **more: str):
        self.stack, self.more = contextlib.ExitStack(), more
        self.script = Script(aside)
        self.steady = True  # whether the last turn was
        self.ids: set[str] = set()  # of the answers so far
        self.providers = [self.own(Provider(name, script=self.script, **kind)) for name, kind in providers.items()]
        self.file = folder / "sidestream.env"
        self.route(routes)
        nothing = {"SIDESTREAM_PROVIDERS": "", "SIDESTREAM_ROUTES": "", "MOCK_API_KEY": ""}
        self.proxy = self.own(Sidestream(driver, nothing, ("--env-file", str(self.file), "run")))

    def own(self, thing):
        """Closes it at the end, last first."""
        self.stack.callback(thing.close)
        return thing

    @property
    def origin(self) -> str:
        return "http://%s:%d" % self.proxy.address

    def route(self, routes: str) -> None:
        env = {"SIDESTREAM_PROVIDERS": ",".join(p.name for p in self.providers), "SIDESTREAM_ROUTES": routes, **self.more}
        for provider in self.providers:
            env |= provider.env
        self.file.write_text("".join(f"{k}={v}\n" for k, v in env.items()))

    def reload(self, routes: str) -> None:
        """Other routes for the running proxy."""
        self.route(routes)
        before = self.reloads()
        self.proxy.signal(signal.SIGHUP)
        deadline = time.monotonic() + 5
        while self.reloads() == before and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)  # the worker takes the settings a moment after they are in force

    def reloads(self) -> int:
        return sum("msg=reloaded" in line for line in self.proxy.lines)

    def play(self, turn: Turn) -> Result:
        """One turn, with all that was wrong in its requests, its answers, and their number."""
        result, began, first = Result(turn.name), time.monotonic(), len(self.script.served)
        self.script.load(turn.steps)
        try:
            if turn.run:
                turn.run(self, result)
            else:
                self.prompt(turn, result)
        except (Silent, subprocess.TimeoutExpired) as silent:
            result.findings.append(f"the agent: {silent}")
        found, left = self.script.end()
        result.findings += found
        if left and not turn.error:
            result.findings.append(f"{len(left)} answers were not asked for, first {left[0].brief()}")
        served = self.script.served[first:]
        if wrong := {s.provider for s in served if turn.provider} - {turn.provider}:
            result.findings.append(f"requests went to {wrong}, not to {turn.provider}")
        if turn.steady:
            result.findings += changed_prefixes(self.script.served[first - self.steady :] if first else served)
        self.steady = turn.steady
        result.requests, result.seconds = len(served), time.monotonic() - began
        return result

    def prompt(self, turn: Turn, result: Result) -> None:
        raise NotImplementedError


class ClaudeScene(Scene):
    """Claude Code in a home of its own before these providers, with real tools."""

    def __init__(self, program: Path, folder: Path, driver: str, providers: dict[str, dict], routes: str, model: str, **more: str):
        super().__init__(folder, driver, providers, routes, is_check, **more)
        home, work = folder / "home", folder / "work"
        home.mkdir()
        work.mkdir()
        self.tools = Tools(work)
        servers = ("--mcp-config", self.tools.servers(), "--strict-mcp-config")
        self.claude = self.own(Claude(program, self.origin, model, home, work, *servers))

    def prompt(self, turn: Turn, result: Result) -> None:
        """One prompt, and the comparison of what Claude Code saw with what the provider said."""
        first = len(self.script.served)
        got = self.claude.turn(f"Turn: {turn.name}")
        self.compare(got, self.script.served[first:], result, turn)

    def compare(self, got: list[dict], served: list[Served], result: Result, turn: Turn | None = None) -> None:
        if turn and turn.error:
            said = str(got[-1].get("result"))
            if turn.error not in said:
                result.findings.append(f"the error is {said!r}, without {turn.error!r}")
            result.notes.append(said[:90])
            return
        said = [s for s in served if isinstance(s.step, Say) and not s.step.cut and not s.step.hidden]
        end = got[-1]
        wanted = said[-1].step.text if said else None
        if end.get("is_error") or end.get("result") != wanted:
            result.findings.append(f"result {end.get('result')!r} (error: {end.get('is_error')}), not {wanted!r}")
        loose = len(said) != len(served)
        result.findings += differing("texts", texts(got), [t for s in said for t in spoken(s.step)], loose)
        result.findings += differing("thoughts", thoughts(got), [s.step.thinking for s in said if s.step.thinking], loose)
        deltas, streamed = stream_events(got, "message_delta"), [s for s in said if s.body.get("stream")]
        if len(deltas) != len(streamed):
            return result.findings.append(f"{len(deltas)} whole streams, not {len(streamed)}")
        for delta, one in zip(deltas, streamed):
            result.findings += [] if turn and turn.scaled else usage_findings(delta["usage"], one)
            stop = delta["delta"]["stop_reason"]
            wanted = "tool_use" if one.step.calls else STOPS.get(one.step.style.finish or one.step.stop, "end_turn")
            if stop != wanted:
                result.findings.append(f"stop_reason {stop}, not {wanted}")
        for start in stream_events(got, "message_start"):
            message = start["message"]
            if message["id"] in self.ids or not message["id"].startswith("msg_"):
                result.findings.append(f"the id {message['id']} is no new one")  # answers of one id become one
            self.ids.add(message["id"])
            if message["model"] != self.claude.model:
                result.findings.append(f"the answer's model is {message['model']}")
            if not message["usage"]["input_tokens"]:
                result.findings.append("message_start.usage.input_tokens is 0")


class Stage(ClaudeScene):
    """Claude Code before two providers, one of each dialect."""

    def __init__(self, program: Path, folder: Path, driver: str):
        routes = f"{CHAT_MODEL} -> chatty/scripted-chat; {MESSAGES_MODEL} -> strict"
        super().__init__(program, folder, driver, {"chatty": {"face": "chat"}, "strict": {"face": "messages"}}, routes, CHAT_MODEL)


def changed_prefixes(served: list[Served]) -> list[str]:
    """Where a request does not begin with the messages of the one before, marks of caches aside."""
    bad = []
    for before, after in itertools.pairwise(served):
        old, new = ([plain(m) for m in s.body["messages"]] for s in (before, after))
        if before.provider == after.provider and new[: len(old)] != old:
            at = next((i for i, pair in enumerate(zip(old, new)) if pair[0] != pair[1]), min(len(old), len(new)))
            bad.append(f"messages[{at}] of {len(old)} changed from {str(old[at])[:300]} to {str(new[at : at + 1])[:300]}")
    return bad


def plain(message: dict) -> dict:
    """A message without marks of caches, its content as blocks."""
    content = message.get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    return {**message, "content": [{k: v for k, v in b.items() if k != "cache_control"} for b in blocks]}


def is_check(body: dict) -> bool:
    """Claude Code asks for one token when it is told to use another model."""
    return body.get("max_tokens", body.get("max_completion_tokens")) == 1


def spoken(say: Say) -> list[str]:
    return [t for t in (say.text, say.style.late_text) if t]


def differing(what: str, got: list[str], wanted: list[str], loose: bool) -> list[str]:
    """`loose`: answers that broke off may have left their beginnings among the texts."""
    if got == wanted or (loose and [g for g in got if g in wanted] == wanted):
        return []
    return [f"{what} {got!r}, not {wanted!r}"]


def usage_findings(got: dict, served: Served) -> list[str]:
    usage = served.usage
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    wanted = {
        "input_tokens": usage["prompt_tokens"] - cached,
        "cache_read_input_tokens": cached,
        "output_tokens": usage["completion_tokens"],
    }
    if served.face == "chat" and served.step.style.usage == "none":
        return [] if got.get("input_tokens") and got.get("output_tokens") else [f"no estimated usage: {got}"]
    if served.face == "messages":
        wanted = {"output_tokens": usage["completion_tokens"]}
    return [f"usage {k} {got.get(k)}, not {v}" for k, v in wanted.items() if got.get(k) != v]


# ---- turns that are more than a prompt ----


def interrupted(stage: Stage, result: Result) -> None:
    """The user presses Escape in the middle of an answer: its connection to the provider ends."""
    stage.claude.say("Turn: interrupted by the user")
    stage.claude.until(lambda m: m.get("type") == "stream_event" and m["event"]["type"] == "content_block_delta")
    interrupt(stage, result)


def interrupted_early(stage: Stage, result: Result) -> None:
    """The same while the provider has not said a word."""
    stage.claude.say("Turn: interrupted before the first byte")
    stage.script.wait_served()
    interrupt(stage, result)


def interrupt(stage: Stage, result: Result) -> None:
    began = time.monotonic()
    _, got = stage.claude.control(subtype="interrupt")
    gone = stage.script.wait_gone(10)
    if not gone or gone - began > GONE_SECS_MAX:
        result.findings.append(f"the provider's connection was not closed within {GONE_SECS_MAX} s of the interrupt")
    else:
        result.notes.append(f"provider's connection closed {1000 * (gone - began):.0f} ms after the interrupt")
    if not any(map(is_result, got)):
        stage.claude.until(is_result, 20)


def counted(stage: Stage, result: Result) -> None:
    """`/context` asks how many tokens each part of the prompt has, in one burst of count_tokens."""
    said = {m["context_usage"]["total_tokens"]: m["context_usage"] for m in stage.claude.turn("/context") if "context_usage" in m}
    asked = [line for line in stage.proxy.lines if "path=/v1/messages/count_tokens" in line]
    result.notes.append(f"{len(asked)} counts, {sum(said)} tokens in all")
    refused = [line for line in asked if "status=200" not in line]
    if not asked or refused:
        result.findings.append(f"{len(asked)} requests for counts, refused: {refused[:2]}")
    for usage in said.values():
        tools = {c["name"]: c["tokens"] for c in usage["categories"]}.get("System tools", 0)
        if not 2_000 < tools < 40_000:
            result.findings.append(f"Claude Code's own tools have {tools} tokens: {usage['categories']}")
    if not said:
        result.findings.append("no answer to /context")


def killed(stage: Stage, result: Result) -> None:
    """Claude Code is killed while its tools run, and resumed: one call has no result in the history."""
    stage.claude.say("Turn: killed while a tool runs")
    stage.claude.until(lambda m: m.get("type") == "assistant" and any(b["type"] == "tool_use" for b in m["message"]["content"]))
    time.sleep(0.3)
    stage.claude.kill()
    stage.script.before = None
    stage.claude.start("--resume", stage.claude.session)
    stage.script.load([Say("Resumed.", about="Turn: after the kill")])
    first = len(stage.script.served)
    got = stage.claude.turn("Turn: after the kill")
    stage.compare(got, stage.script.served[first:], result)


def switched(model: str, text: str):
    """The user picks another model, which another provider of another dialect has."""

    def run(stage: Stage, result: Result) -> None:
        response, _ = stage.claude.control(subtype="set_model", model=model)
        if response["subtype"] != "success":
            result.findings.append(f"Claude Code refuses the model {model}: {response}")
        stage.claude.model = model
        first = len(stage.script.served)
        got = stage.claude.turn(text)
        stage.compare(got, stage.script.served[first:], result)

    return run


def rerouted(routes: str, text: str):
    """The operator changes the routes: the same model is now with another provider."""

    def run(stage: Stage, result: Result) -> None:
        stage.reload(routes)
        first = len(stage.script.served)
        got = stage.claude.turn(text)
        stage.compare(got, stage.script.served[first:], result)

    return run
