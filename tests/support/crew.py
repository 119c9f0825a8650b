"""Several providers for one proxy, each an upstream of its own that answers from a script: the next visit gets the next
reply, and the last reply is for all that follow."""

import contextlib
import json
import socket
import time

from .fleet import NOTHING
from .process import Sidestream, pairs
from .translation import CHAT, FINE, GOOD, KIND, MESSAGES, WELL, framed, whole
from .upstream import SSE_HEAD, Peer, Upstream, chunk
from .wire import Request, Response, ask

KEY = "sk-of-"
CLOSED = object()  # the connection ends without an answer
RESET = object()
FACES = ("chat", "messages")
# A good answer in the words of a face: whole, and streamed.
WHOLE = {"chat": WELL, "messages": GOOD}
STREAM = {"chat": FINE, "messages": KIND}
PATHS = {"chat": CHAT, "messages": MESSAGES}
TYPES = {429: "rate_limit_error", 529: "overloaded_error", 503: "overloaded_error", 401: "authentication_error", 404: "not_found_error", 400: "invalid_request_error"}


class Member(Upstream):
    """One provider. A reply is bytes, CLOSED, RESET, or what reply(peer, request) does. `visits` are times."""

    def __init__(self, *script):
        self.script, self.visits = list(script), []
        super().__init__(self._serve)

    def _serve(self, peer: Peer) -> None:
        while True:
            request = peer.request()
            self.visits.append(time.monotonic())
            reply = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            if callable(reply):
                reply = reply(peer, request)
            if reply is RESET:
                peer.rst()
            if reply is None or reply is CLOSED or reply is RESET:
                return
            peer.send(reply)
            if not framed(reply):
                return

    def take(self) -> list[Request]:
        """What came since the last time."""
        taken, self.requests = self.requests, []
        self.visits.clear()
        return taken

    def hang_up(self) -> None:
        """Ends the connections that wait for a request, so that the next visit is on a fresh one."""
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
            peer.gone.wait(5)

    @property
    def keys(self) -> list[str]:
        """The credentials of what came."""
        return [r.get("x-api-key") or r.get("authorization", "").removeprefix("Bearer ") for r in self.requests]


def member_env(name: str, port: int, face: str = "both") -> dict[str, str]:
    prefix, base = name.upper().replace("-", "_"), f"http://127.0.0.1:{port}"
    return {
        f"{prefix}_OPENAI_URL": "off" if face == "messages" else base + "/v1",
        f"{prefix}_ANTHROPIC_URL": "off" if face == "chat" else base,
        f"{prefix}_API_KEY": KEY + name,
        f"{prefix}_WARM_CONNECTIONS": "0",
    }


def crew_env(members: dict, face: str = "both", **env) -> dict[str, str]:
    """The variables for a proxy before `members`: a Member or a port by name, tried in that order. A value of None is the
    default."""
    settings = {**NOTHING, "SIDESTREAM_PROVIDERS": ",".join(members), "SIDESTREAM_ROUTES": "* -> " + ", ".join(members)}
    for name, member in members.items():
        settings |= member_env(name, member if isinstance(member, int) else member.port, face)
    return {k: v for k, v in {**settings, **env}.items() if v is not None}


def crew(driver: str, members: dict, face: str = "both", **env) -> Sidestream:
    return Sidestream(driver, crew_env(members, face, **env))


def body(face: str = "chat", **more) -> bytes:
    """A client's request in the words of a face."""
    limit = {"max_tokens": 99} if face == "messages" else {}
    return json.dumps({"model": "m", **limit, "messages": [{"role": "user", "content": "hi"}], **more}).encode()


def call(proxy: Sidestream, face: str = "chat", headers=(), **more) -> Response:
    return ask(proxy.address, "POST", PATHS[face], body(face, **more), [("Content-Type", "application/json"), *headers])


def error_body(status: int, message: str = "no", **more) -> bytes:
    kind = TYPES.get(status, "api_error")
    return json.dumps({"type": "error", "error": {"type": kind, "message": message, **more}}).encode()


def error(status: int, headers: str = "retry-after-ms: 1\r\n", message: str = "no", **more) -> bytes:
    """An error that both faces' clients understand; by default soon over."""
    return whole(error_body(status, message, **more), f"{status} No", "Content-Type: application/json\r\n" + headers)


def failing_stream(face: str, kind: str = "overloaded_error", message: str = "not now") -> bytes:
    """A 200 that begins with an error."""
    event = {"type": "error", "error": {"type": kind, "message": message}}
    name = b"event: error\n" if face == "messages" else b""
    return SSE_HEAD + chunk(name + b"data: " + json.dumps(event).encode() + b"\n\n") + b"0\r\n\r\n"


def line_of(proxy: Sidestream, response: Response) -> dict[str, str]:
    """The request's line in the log."""
    wanted = response.get("x-sidestream-request-id")
    return pairs(proxy.wait_line(lambda line: f"id={wanted} " in line))


def failures(proxy: Sidestream) -> dict[tuple[str, str, str, str], float]:
    """Tries that came to nothing, by provider, model, key and reason."""
    found = {}
    for name, value in proxy.metrics().items():
        if name.startswith("sidestream_upstream_failures_total{"):
            labels = pairs(name.partition("{")[2].rstrip("}").replace(",", " "))
            found[tuple(labels[one] for one in ("provider", "model", "key", "reason"))] = value
    return found


def of_provider(proxy: Sidestream, metric: str, name: str) -> float:
    return proxy.metrics()[f'sidestream_upstream_{metric}{{provider="{name}"}}']
