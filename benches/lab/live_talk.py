"""One streamed request to a provider, timed, by Python's own HTTP client over a connection that is kept."""

import contextlib
import http.client
import json
import ssl
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from .process import Failed

PATIENCE = 120.0
STALE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)  # a kept connection that the other side has closed
MAX_COMPLETION_TOKENS = ("openai",)  # whose newer models refuse `max_tokens`


@dataclass(frozen=True)
class Usage:
    tokens_in: int = 0
    tokens_out: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.tokens_in + other.tokens_in, self.tokens_out + other.tokens_out)


@dataclass(frozen=True)
class Talk:
    """What one answer took, in seconds. `usage` is the provider's own count; `reopened`: the kept connection was gone."""

    first: float
    total: float
    pieces: int
    usage: Usage
    reopened: bool

    @property
    def per_second(self) -> float:
        """Tokens after the first, while they came."""
        return (self.usage.tokens_out - 1) / (self.total - self.first) if self.usage.tokens_out > 1 and self.total > self.first else 0.0


class Refused(Exception):
    """An answer that is none. The text has a status and the error's class, and nothing that may hold a key."""


@dataclass
class Line:
    """A connection to a base URL that speaks `chat` or `messages`, opened when it is needed and kept."""

    base: str
    dialect: str
    key: str
    provider: str
    model: str
    ca: str | None = None
    connection: http.client.HTTPConnection | None = field(default=None, repr=False)

    def ask(self, prompt: str, tokens_max: int) -> Talk:
        body, headers, path = self._request(prompt, tokens_max)
        kept = self.connection is not None
        try:
            return self._talk(path, body, headers, reopened=False)
        except STALE:
            self.close()
            if not kept:
                raise
            self._open()
            return self._talk(path, body, headers, reopened=True)

    def close(self) -> None:
        if self.connection:
            self.connection.close()
        self.connection = None

    def _open(self) -> http.client.HTTPConnection:
        if self.connection is None:
            url = urlsplit(self.base)
            if url.scheme == "https":
                context = ssl.create_default_context()
                if self.ca:
                    context.load_verify_locations(self.ca)
                self.connection = http.client.HTTPSConnection(url.netloc, timeout=PATIENCE, context=context)
            else:
                self.connection = http.client.HTTPConnection(url.netloc, timeout=PATIENCE)
            self.connection.connect()
        return self.connection

    def _request(self, prompt: str, tokens_max: int) -> tuple[bytes, dict[str, str], str]:
        body: dict[str, Any] = {"model": self.model, "messages": [{"role": "user", "content": prompt}], "stream": True}
        headers, root = {"content-type": "application/json"}, urlsplit(self.base).path.rstrip("/")
        if self.dialect == "messages":
            body["max_tokens"] = tokens_max
            headers |= {"anthropic-version": "2023-06-01", "x-api-key": self.key}
            path = f"{root}/v1/messages"
        else:
            body["max_completion_tokens" if self.provider in MAX_COMPLETION_TOKENS else "max_tokens"] = tokens_max
            body["stream_options"] = {"include_usage": True}
            headers["authorization"] = f"Bearer {self.key}"
            path = f"{root}/chat/completions"
        return json.dumps(body).encode(), headers, path

    def _talk(self, path: str, body: bytes, headers: dict[str, str], reopened: bool) -> Talk:
        connection = self._open()
        began = time.monotonic()
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        if response.status != 200:
            raise Refused(f"status {response.status}{_class(response.read())}")
        first, pieces, usage = 0.0, 0, Usage()
        for line in response:
            if not line.startswith(b"data:") or not line[5:].lstrip().startswith(b"{"):
                continue
            event = json.loads(line[5:])
            if "error" in event:
                raise Refused(f"an error in the stream{_class(line[5:])}")
            if _speaks(event):
                first, pieces = first or time.monotonic() - began, pieces + 1
            usage = _usage(event, usage)
        total = time.monotonic() - began
        if not pieces:
            raise Refused("status 200 and no text in the answer")
        return Talk(first, total, pieces, usage if usage.tokens_out else Usage(usage.tokens_in, pieces), reopened)


def _class(body: bytes) -> str:
    """An error's own name. Its message is not for printing: some providers repeat the key in it."""
    with contextlib.suppress(ValueError, AttributeError):
        error = json.loads(body)["error"] if b'"error"' in body else {}
        names = [error.get(name) for name in ("type", "code")]
        return "".join(f", {name}" for name in names if isinstance(name, (str, int)) and len(str(name)) < 60)
    return ""


def _speaks(event: dict[str, Any]) -> bool:
    """Text, or thoughts that are shown."""
    choices = event.get("choices") or [{}]
    delta = event.get("delta") or choices[0].get("delta") or {}
    return any(delta.get(name) for name in ("content", "reasoning_content", "reasoning", "text", "thinking"))


def _usage(event: dict[str, Any], before: Usage) -> Usage:
    found = event.get("usage") or (event.get("message") or {}).get("usage") or {}
    cached = sum(found.get(name) or 0 for name in ("cache_read_input_tokens", "cache_creation_input_tokens"))
    tokens_in = found.get("prompt_tokens") or (found.get("input_tokens") or 0) + cached
    tokens_out = found.get("completion_tokens") or found.get("output_tokens") or 0
    return Usage(tokens_in or before.tokens_in, tokens_out or before.tokens_out)


def lines(provider: str, addresses: dict[str, str], key: str, model: str, proxy: str, ca: str | None) -> dict[str, Line]:
    """Directly to the provider, and by sidestream; in the dialect of its main face. `addresses`: dialect → base URL."""
    dialect = "chat" if addresses.get("chat") else "messages"
    if not addresses.get(dialect):
        raise Failed(f"{provider}: sidestream knows no address of it; set {provider.upper()}_ENDPOINT_URL")
    ours = f"{proxy}/v1" if dialect == "chat" else proxy
    return {"direct": Line(addresses[dialect], dialect, key, provider, model, ca), "sidestream": Line(ours, dialect, "held-by-sidestream", provider, model)}
