"""Many providers for one proxy, all of them on one scripted upstream that tells them apart by path; and the vendors'
own hosts behind a CONNECT proxy."""

import contextlib
import json
import socket
import ssl
from dataclasses import dataclass

from .process import Sidestream
from .tls import Authority
from .upstream import Upstream, answer
from .wire import Request

VENDORS = ("api.openai.com", "api.anthropic.com", "api.groq.com")
# What `Sidestream` sets for tests with one provider.
NOTHING = {"SIDESTREAM_PROVIDERS": "", "SIDESTREAM_ROUTES": "", "MOCK_API_KEY": ""}
JSON = "Content-Type: application/json\r\n"


def ok(request: Request) -> bytes:
    return answer(b'{"ok":"here"}', headers=JSON)


def models(*ids: str, **more) -> bytes:
    """An OpenAI list of models."""
    data = [{"id": i, "object": "model", "created": 1715367049, "owned_by": "them", **more} for i in ids]
    return answer(json.dumps({"object": "list", "data": data}).encode(), headers=JSON)


@dataclass
class Reached:
    """Where a request arrived: `openai` or `anthropic` face of a provider, and the path below its base."""

    provider: str
    face: str
    path: str
    request: Request

    @property
    def model(self):
        return json.loads(self.request.body).get("model")


class Fleet(Upstream):
    """The faces of NAME are at /NAME/openai/v1 and /NAME/anthropic. `reply(request)` gives an answer's bytes."""

    def __init__(self, reply=ok):
        self.reply = reply
        super().__init__(self._serve)

    def _serve(self, peer) -> None:
        while True:
            request = peer.request()
            peer.send(self.reply(request))

    def faces(self, name: str, faces: str = "openai anthropic") -> dict[str, str]:
        """The variables that put a provider here; a face that is not among `faces` is off."""
        prefix, base = name.upper().replace("-", "_"), f"http://127.0.0.1:{self.port}/{name}"
        return {
            f"{prefix}_OPENAI_URL": f"{base}/openai/v1" if "openai" in faces else "off",
            f"{prefix}_ANTHROPIC_URL": f"{base}/anthropic" if "anthropic" in faces else "off",
        }

    def take(self) -> list[Reached]:
        """What arrived since the last time."""
        taken, self.requests = self.requests, []
        return [reached(r) for r in taken]

    def one(self) -> Reached:
        taken = self.take()
        assert len(taken) == 1, [t.request.target for t in taken]
        return taken[0]


def reached(request: Request) -> Reached:
    _, provider, face, path = request.target.split("/", 3)
    return Reached(provider, face, "/" + path.removeprefix("v1/") if face == "openai" else "/" + path, request)


def dead_port() -> int:
    """A port at which nobody listens: bound, so that nobody else gets it, for the life of the process."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    _HELD.append(held)
    return held.getsockname()[1]


_HELD: list[socket.socket] = []


def many(env: dict[str, str], driver: str = "auto", args=("run",)) -> Sidestream:
    """A proxy with no provider but those of `env`."""
    return Sidestream(driver, {**NOTHING, **env}, args)


class Internet(Upstream):
    """An HTTP proxy that answers for every host itself, by TLS with a certificate for VENDORS."""

    def __init__(self, authority: Authority, reply=ok):
        self.authority, self.reply = authority, reply
        self.context = authority.server(authority.issue(VENDORS))
        super().__init__(self._serve)

    def _serve(self, peer) -> None:
        connect = peer.request()
        assert connect.method == "CONNECT", connect
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        with contextlib.suppress(ssl.SSLError):
            peer.shake_hands(self.context)
            while True:
                request = peer.request()
                peer.send(self.reply(request))

    @property
    def env(self) -> dict[str, str]:
        return {"HTTPS_PROXY": f"http://127.0.0.1:{self.port}", "SIDESTREAM_CA_FILE": self.authority.file}

    def take(self) -> list[tuple[str, Request]]:
        """(host, request) of what arrived since the last time, without the tunnels."""
        taken, self.requests = self.requests, []
        return [(r.get("host"), r) for r in taken if r.method != "CONNECT"]
