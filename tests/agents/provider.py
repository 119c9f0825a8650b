"""A provider that plays a script. It answers each request of the agent's main loop with the script's next step, after
holding the request to its dialect's rules and looking for the real outputs of the tools that it had asked for."""

import dataclasses
import json
import re
import threading
import time
from collections import deque

from support.upstream import LAST_CHUNK, SSE_HEAD, Peer, Upstream, answer, chunk
from support.wire import Request

from . import chat, messages
from .words import Call, Fail, Say, Seen

JSON = "Content-Type: application/json\r\n"
# An id that both dialects allow must survive.
USABLE = re.compile(r"[a-zA-Z0-9_-]{1,40}")
PLACE = re.compile(r"messages\[\d+\]")
FACES = {"/chat/completions": chat, "/v1/messages": messages}


@dataclasses.dataclass
class Served:
    """One request of the main loop and its answer."""

    provider: str
    face: str
    step: Say | Fail
    body: dict
    usage: dict
    seen: list[Seen]
    gone: float = 0.0  # when the client of a hanging answer was gone, monotonic


class Script:
    """The steps of a session in order, for one provider or several; `findings` are what was wrong with requests.

    `aside(body)` tells requests that are not the main loop's: titles, checks of a model's name."""

    def __init__(self, aside=lambda body: False):
        self.aside = aside
        self.steps: deque[Say | Fail] = deque()
        self.served: list[Served] = []
        self.asides: list[dict] = []
        self.findings: list[str] = []
        self.known: set[str] = set()
        self.before: Say | None = None  # the last answer that was given to its end
        self.outer: Say | None = None  # the same of the conversation around an agent's own
        self.lock = threading.Lock()
        self.news = threading.Condition(self.lock)

    def load(self, steps) -> None:
        """The next turn's steps."""
        with self.lock:
            self.steps = deque(steps)

    def end(self) -> tuple[list[str], list[Say | Fail]]:
        """A turn is over: what was found, and the steps that were not asked for."""
        with self.lock:
            found, left = self.findings, list(self.steps)
            self.findings, self.steps = [], deque()
            return found, left

    def take(self, provider: "Provider", face, body: dict) -> Served | None:
        """The answer to a request; None where the script has none."""
        seen = face.read(body)
        with self.lock:
            number = len(self.served) + 1
            found = face.problems(body, provider.fields) + provider.rule(body)
            step = self.steps.popleft() if self.steps else None
            if isinstance(step, Say) and step.fresh:
                self.outer, self.before = self.before, None
            if self.before and self.before.calls:
                found += unproven(self.before, seen, face is chat)
            if step is None:
                found.append(f"a request too many; its last message: {seen[-1].role} {seen[-1].text[-200:]!r}")
            elif step.about and step.about not in "\n".join(s.text for s in seen):
                found.append(f"nowhere {step.about!r}; the last message: {seen[-1].role} {seen[-1].text[-200:]!r}")
            if isinstance(step, Say) and (pictures := sum(s.images for s in seen)) < step.images:
                found.append(f"{pictures} pictures, not {step.images}")
            self.findings += [f"request {number} to {provider.name}: {f}" for f in found if self._is_news(f)]
            if isinstance(step, Say):
                calls = tuple(with_id(named(c, face, body), provider, number, k, step.style) for k, c in enumerate(step.calls))
                step = dataclasses.replace(step, calls=calls)
            served = Served(provider.name, provider.face, step, body, usage_of(number, seen, step), seen)
            self.served.append(served)
            if isinstance(step, Say) and not step.cut:
                self.before = self.outer if self.outer and not step.calls else step
                self.outer = None if self.before is self.outer else self.outer
            self.news.notify_all()
            return served if step is not None else None

    def _is_news(self, finding: str) -> bool:
        """A history stays: what is wrong with a message is told once, not with every request."""
        text = PLACE.sub("", finding)
        known = text in self.known
        self.known.add(text)
        return not known

    def wait_served(self, timeout: float = 10) -> None:
        """Until the turn's steps have all been asked for."""
        with self.news:
            self.news.wait_for(lambda: not self.steps, timeout)

    def wait_gone(self, timeout: float) -> float:
        """When the client of the last answer was seen to be gone."""
        with self.news:
            self.news.wait_for(lambda: self.served and self.served[-1].gone, timeout)
            return self.served[-1].gone


def named(call: Call, face, body: dict) -> Call:
    """The call with the name that the request gives to its tool."""
    tools = face.tools(body)
    if call.name in tools:
        return call
    return dataclasses.replace(call, name=next((n for n, d in tools.items() if d == call.described), call.name))


def with_id(call: Call, provider: "Provider", number: int, k: int, style) -> Call:
    """The call with an id of the provider's, unless its style has none."""
    if call.id or (provider.face == "chat" and style.ids in ("missing", "empty", "null")) or style.legacy:
        return call
    if provider.short_ids:
        return dataclasses.replace(call, id=f"x{number:05d}{k:03d}")
    return dataclasses.replace(call, id=f"{'call' if provider.face == 'chat' else 'toolu'}_{number:04d}{k:04d}aAbBcCdDeEfF")


def usage_of(number: int, seen: list[Seen], step) -> dict:
    """Numbers that no two requests share."""
    prompt = 1000 + 7 * number + sum(len(s.text) for s in seen) // 4
    completion = 11 + number
    if isinstance(step, Say) and step.tokens:
        prompt = step.tokens
    cached = prompt // 3
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }


def unproven(say: Say, seen: list[Seen], in_order: bool) -> list[str]:
    """Which calls' real outputs are not where they belong: directly behind the message that holds the calls."""
    calls, in_time = say.calls, say.style.ids != "late"
    places = [i for i, s in enumerate(seen) if s.calls and [(n, x) for _, n, x in s.calls] == [(c.name, c.input) for c in calls]]
    if not places:
        last = next((s.calls for s in reversed(seen) if s.calls), None)
        return [f"the history does not hold the calls {[(c.name, c.input) for c in calls]}, its last ones are {last}"]
    bad, at = [], places[-1]
    results = seen[at + 1 : at + 1 + len(calls)]
    for k, call in enumerate(calls):
        id = seen[at].calls[k][0]
        own = results[k : k + 1] if in_order else [r for r in results if r.call_id == id]
        result = own[0] if own else Seen("nothing")
        if result.role != "tool" or result.call_id != id:
            bad.append(f"behind {call.name} ({id}) stands {result.role} ({result.call_id}), not its result")
        elif call.proof not in result.text:
            bad.append(f"the result of {call.name} {call.input} does not hold {call.proof!r}: {result.text[:300]!r}")
        known = any(call.id == other for s in seen[:at] for other, _, _ in s.calls)
        if in_time and not known and USABLE.fullmatch(call.id) and id != call.id:
            bad.append(f"the id of {call.name} was {call.id} and came back as {id}")
    wanted, got = sum(c.images for c in calls), sum(s.images for s in seen[at + 1 :])
    if got < wanted:
        bad.append(f"{got} pictures behind the calls, not {wanted}")
    return bad


def refusal(step: Fail) -> bytes:
    is_json = isinstance(step.body, dict)
    body = json.dumps(step.body) if is_json else step.body
    return answer(body.encode(), step.status, (JSON if is_json else "Content-Type: text/html\r\n") + step.headers)


class Provider(Upstream):
    """A scripted provider with one face. `fields` are fields of requests and messages that it knows beyond the
    standard's, `rule(body)` says what it refuses beyond the standard. `pause` is slept between two pieces of a stream, so
    that they are read as they were written."""

    def __init__(
        self, name: str, face: str, script: Script, fields=frozenset(), rule=lambda body: [], short_ids=False, pause: float = 0.001
    ):
        self.name, self.face, self.script, self.pause = name, face, script, pause
        self.fields, self.rule, self.short_ids = frozenset(fields), rule, short_ids
        self.targets: list[str] = []
        self.answers = 0
        super().__init__(self._serve)

    @property
    def env(self) -> dict[str, str]:
        """This provider in sidestream's configuration."""
        name = self.name.upper()
        if self.face == "chat":
            return {f"{name}_OPENAI_URL": self.origin() + "/v1", f"{name}_ANTHROPIC_URL": "off", f"{name}_API_KEY": "sk-scripted"}
        return {f"{name}_ANTHROPIC_URL": self.origin(), f"{name}_API_KEY": "sk-scripted"}

    def _serve(self, peer: Peer) -> None:
        while True:
            request = peer.request()
            path = request.target.partition("?")[0]
            self.targets.append(f"{request.method} {path}")
            face = next((f for end, f in FACES.items() if path.endswith(end)), None)
            if request.method != "POST" or face is None or face.__name__.rpartition(".")[2] != self.face:
                peer.send(self._small(request, path))
                continue
            body = json.loads(request.body)
            if self.script.aside(body):
                self._aside(peer, face, body)
                continue
            served = self.script.take(self, face, body)
            if served is None:
                peer.send(answer(b'{"error":{"message":"the script is over","type":"invalid_request_error"}}', "400 Bad Request", JSON))
            elif isinstance(served.step, Fail):
                peer.send(refusal(served.step))
            else:
                self._say(peer, face, body, served)

    def _small(self, request: Request, path: str) -> bytes:
        if path.endswith("/models"):
            return answer(b'{"object":"list","data":[{"id":"scripted","object":"model","created":1,"owned_by":"us"}]}', headers=JSON)
        if path.endswith("/count_tokens"):
            return answer(json.dumps({"input_tokens": len(request.body) // 4}).encode(), headers=JSON)
        return answer(b'{"error":{"message":"not here","type":"invalid_request_error"}}', "404 Not Found", JSON)

    def _aside(self, peer: Peer, face, body: dict) -> None:
        self.script.asides.append(body)
        usage = {**usage_of(0, [], None), "prompt_tokens_details": {"cached_tokens": 0}}
        self._write(peer, face, body, Say("A title"), usage)

    def _say(self, peer: Peer, face, body: dict, served: Served) -> None:
        if served.step.cut != "silent":
            self._write(peer, face, body, served.step, served.usage)
        if served.step.cut in ("hang", "silent"):
            _, served.gone = peer.wait_closed()
            with self.script.news:
                self.script.news.notify_all()

    def _write(self, peer: Peer, face, body: dict, say: Say, usage: dict) -> None:
        self.answers += 1
        id = f"{'chatcmpl-' if face is chat else 'msg_01'}{self.name}{self.answers:06d}"
        if not body.get("stream"):
            peer.send(answer(face.blocking(say, id, body["model"], usage), headers=JSON))
            return
        peer.send(SSE_HEAD)
        for piece in face.stream(say, id, body["model"], usage):
            peer.send(chunk(piece))
            time.sleep(self.pause)
        if say.cut == "fin":
            peer.fin()
            peer.wait_closed()
        elif say.cut != "hang":
            peer.send(LAST_CHUNK)
