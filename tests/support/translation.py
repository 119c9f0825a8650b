"""A proxy before providers that speak one dialect each, so that clients of the other one are translated; and the short
words in which tables of answers are written."""

import json
import threading
from dataclasses import dataclass

from .dialects import Chat, Talk, chat_body, chat_stream, messages_body, messages_stream
from .fleet import many
from .process import ROOT
from .upstream import LAST_CHUNK, SSE_HEAD, Upstream, answer, chunk
from .wire import Client, Request, Response, Truncated

CHAT, MESSAGES, COUNT, COMPLETIONS = "/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens", "/v1/completions"
JSON = "Content-Type: application/json\r\n"
KEY = "sk-the-providers-own"
# Providers with only an OpenAI face, and those with only an Anthropic one: name -> profile.
CHAT_ONLY = {"box": None}
MESSAGES_ONLY = {"claw": None}
# The client's name of a model -> where it goes.
MODELS = {
    "m": "box/up-model",
    "c": "claw/claude-sonnet-4-5",
    "c-opus": "claw/claude-opus-4-8",
    "c-haiku": "claw/claude-3-5-haiku-20241022",
}
UPSTREAM = {name: target.partition("/")[2] for name, target in MODELS.items()}


class Scripted(Upstream):
    """Answers every request with `reply`: bytes, a list of bytes (one write each), or what reply(peer, request) does.
    `replies`, where there are any, come first, one each."""

    def __init__(self):
        self.reply, self.replies = answer(b"{}", headers=JSON), []
        super().__init__(self._serve)

    def _serve(self, peer) -> None:
        while True:
            request = peer.request()
            reply = self.replies.pop(0) if self.replies else self.reply
            if callable(reply):
                if reply(peer, request) is False:
                    return
                continue
            for part in [reply] if isinstance(reply, bytes) else reply:
                peer.send(part)
            if not framed(reply):
                peer.sock.close()
                return

    def take(self) -> list[Request]:
        taken, self.requests = self.requests, []
        return taken


def framed(reply) -> bool:
    """Whether the answer says itself where it ends; else the connection does."""
    whole = reply if isinstance(reply, bytes) else b"".join(reply)
    head, _, body = whole.partition(b"\r\n\r\n")
    return b"content-length:" in head.lower() or body.endswith(LAST_CHUNK) or whole.endswith(LAST_CHUNK)


@dataclass
class Exchange:
    """What the client got, and what reached the provider."""

    response: Response
    arrived: list[Request]
    cut: bool = False  # the body's framing did not end

    @property
    def request(self) -> Request:
        assert len(self.arrived) == 1, [r.target for r in self.arrived]
        return self.arrived[0]

    @property
    def sent(self) -> dict:
        """The body that reached the provider."""
        assert self.arrived, f"nothing arrived: {self.response}"
        return json.loads(self.request.body)

    @property
    def json(self) -> dict:
        return json.loads(self.response.body)

    @property
    def dropped(self) -> set[str]:
        value = self.response.get("x-sidestream-dropped")
        return {path.strip() for path in value.split(",")} if value else set()

    @property
    def reason(self):
        return self.response.get("x-sidestream-error")

    def talk(self) -> Talk:
        assert self.response.status == 200, self.response
        streamed = self.response.get("content-type", "").startswith("text/event-stream")
        return messages_stream(self.response.body) if streamed else messages_body(self.response.body)

    def chat(self) -> Chat:
        assert self.response.status == 200, self.response
        streamed = self.response.get("content-type", "").startswith("text/event-stream")
        return chat_stream(self.response.body) if streamed else chat_body(self.response.body)


class Stage:
    """The proxy and its scripted providers. More providers: {"zai": "zai"} puts one by that name with that profile."""

    def __init__(self, driver: str = "auto", chat=None, messages=None, models=None, **env):
        self.upstream, self.heard = Scripted(), threading.Event()
        chat, messages = {**CHAT_ONLY, **(chat or {})}, {**MESSAGES_ONLY, **(messages or {})}
        settings = {"SIDESTREAM_PROVIDERS": ",".join([*chat, *messages])}
        for name, profile in {**chat, **messages}.items():
            prefix, base = name.upper().replace("-", "_"), f"http://127.0.0.1:{self.upstream.port}/{name}"
            settings[f"{prefix}_OPENAI_URL"] = base + "/openai/v1" if name in chat else "off"
            settings[f"{prefix}_ANTHROPIC_URL"] = base + "/anthropic" if name in messages else "off"
            settings[f"{prefix}_API_KEY"] = KEY
            settings[f"{prefix}_WARM_CONNECTIONS"] = "0"
            if profile:
                settings[f"{prefix}_PROFILE"] = profile
        settings["SIDESTREAM_ROUTES"] = "; ".join(f"{name} -> {to}" for name, to in {**MODELS, **(models or {})}.items())
        try:
            self.proxy = many({**settings, **env}, driver)
        except BaseException:
            self.upstream.close()
            raise

    def ask(self, path: str, body, reply=None, headers=(), replies=()) -> Exchange:
        """One request; `body` is a JSON value or bytes."""
        self.upstream.take()
        self.upstream.replies = list(replies)
        if reply is not None:
            self.upstream.reply = reply
        payload = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        cut = False
        self.heard.clear()
        with Client(self.proxy.address) as client:
            client.request("POST", path, payload, [("Content-Type", "application/json"), *headers])
            response, pieces = client.response_head()
            try:
                while data := pieces.piece():
                    response.body += data
                    self.heard.set()
            except Truncated:
                cut = True
        return Exchange(response, self.upstream.take(), cut)

    def steps(self, first: str, rest: str, size: int | None = None, ending: bytes = LAST_CHUNK):
        """A streamed answer whose second part waits until the client has something of the first: what goes wrong then goes
        wrong in the middle."""

        def reply(peer, request):
            peer.send(SSE_HEAD)
            for stream in (first.encode(), rest.encode()):
                step = size or max(len(stream), 1)
                for at in range(0, len(stream), step):
                    peer.send(chunk(stream[at : at + step]))
                assert self.heard.wait(5), "the client got nothing"
            peer.send(ending)
            return bool(ending)

        return reply

    def messages(self, body=None, reply=None, headers=(), replies=(), **more) -> Exchange:
        """A Messages client whose provider speaks Chat."""
        return self.ask(MESSAGES, to_chat(**more) if body is None else body, reply, headers, replies)

    def chat(self, body=None, reply=None, headers=(), replies=(), **more) -> Exchange:
        """A Chat client whose provider speaks Messages."""
        return self.ask(CHAT, to_messages(**more) if body is None else body, reply, headers, replies)

    def close(self) -> None:
        try:
            self.proxy.close()
        finally:
            self.upstream.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
        else:
            self.proxy.kill()
            self.upstream.close()


# ── Requests ────────────────────────────────────────────────────────────────────────────────────────────────────────

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}


def tool(name: str, **more) -> dict:
    """A tool of Messages."""
    return {"name": name, "description": f"does {name}", "input_schema": SCHEMA, **more}


def function(name: str, **more) -> dict:
    """The same of Chat."""
    return {"type": "function", "function": {"name": name, "description": f"does {name}", "parameters": SCHEMA, **more}}


def user(content="hi") -> dict:
    return {"role": "user", "content": content}


def assistant(content, **more) -> dict:
    return {"role": "assistant", "content": content, **more}


def text(words: str, **more) -> dict:
    return {"type": "text", "text": words, **more}


def without(body: dict) -> dict:
    """Without the members whose value is `...`."""
    return {key: value for key, value in body.items() if value is not ...}


def to_chat(**more) -> dict:
    """A Messages request for a Chat provider."""
    return without({"model": "m", "max_tokens": 2000, "messages": [user()], **more})


def to_messages(**more) -> dict:
    """A Chat request for a Messages provider."""
    return without({"model": "c", "messages": [user()], **more})


def capture(name: str) -> bytes:
    return (ROOT / "tests/data/captures" / f"{name}.body").read_bytes()


# ── Answers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

CUT = object()  # at the end of a stream: the connection ends inside its framing


def whole(body, status: str = "200 OK", headers: str = JSON) -> bytes:
    """A whole answer: a JSON value, or literal text."""
    if not isinstance(body, str | bytes):
        body = json.dumps(body, ensure_ascii=False)
    return answer(body.encode() if isinstance(body, str) else body, status, headers)


def sse(stream: str | bytes) -> bytes:
    """A streamed answer in one write."""
    data = stream.encode() if isinstance(stream, str) else stream
    return SSE_HEAD + chunk(data) + LAST_CHUNK


def drip(stream: str | bytes, size: int = 3) -> list[bytes]:
    """The same with a few bytes in each write."""
    data = stream.encode() if isinstance(stream, str) else stream
    return [SSE_HEAD, *(chunk(data[at : at + size]) for at in range(0, len(data), size)), LAST_CHUNK]


def cut(stream: str) -> bytes:
    """The provider goes away in the middle of it."""
    return SSE_HEAD + chunk(stream.encode())


DONE = "data: [DONE]\n\n"
HEAD = '"id":"chatcmpl-up","object":"chat.completion.chunk","created":1700000000,"model":"up-model"'


def C(choices: str, more: str = "") -> str:
    """A chunk with these choices."""
    return f'data: {{{HEAD},"choices":{choices}{more}}}\n\n'


def D(delta: str, more: str = "") -> str:
    """A chunk with that delta."""
    return C(f'[{{"index":0,"delta":{{{delta}}},"finish_reason":null}}]', more)


def F(reason: str, more: str = "") -> str:
    """The chunk with that finish reason."""
    return C(f'[{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}]', more)


def T(index, id, name, arguments) -> str:
    """A chunk with a piece of a call. `None` as index is an absent key, elsewhere null."""
    entry = {} if index is None else {"index": index}
    entry |= {"id": id, "type": "function" if id else None, "function": {"name": name, "arguments": arguments}}
    return D(f'"tool_calls":[{json.dumps(entry)}]')


NUMBERS = '"usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":4}}'
U = C("[]", "," + NUMBERS)
# A short good answer, for requests whose answer does not matter.
FINE = sse(D('"role":"assistant","content":""') + D('"content":"fine"') + F("stop") + U + DONE)


def completion(message: str, finish: str = "stop", more: str = "," + NUMBERS, choice: str = "") -> bytes:
    """A whole Chat answer."""
    head = '"id":"chatcmpl-up","object":"chat.completion","created":1700000000,"model":"up-model"'
    return whole(f'{{{head},"choices":[{{"index":0,"message":{{"role":"assistant",{message}}},"finish_reason":"{finish}"{choice}}}]{more}}}')


WELL = completion('"content":"fine"')


def E(name: str, data: str) -> str:
    """An event of a Messages stream."""
    return f'event: {name}\ndata: {{"type":"{name}"{"," if data else ""}{data}}}\n\n'


def S(usage: str = '"input_tokens":8,"cache_read_input_tokens":4,"cache_creation_input_tokens":0,"output_tokens":1') -> str:
    message = '"id":"msg_up","type":"message","role":"assistant","model":"claude-up","content":[],"stop_reason":null,"stop_sequence":null'
    return E("message_start", f'"message":{{{message},"usage":{{{usage}}}}}')


def B(index: int, block: str, *deltas: str) -> str:
    """A block from its start to its stop."""
    middle = "".join(E("content_block_delta", f'"index":{index},"delta":{delta}') for delta in deltas)
    return E("content_block_start", f'"index":{index},"content_block":{block}') + middle + E("content_block_stop", f'"index":{index}')


def says(index: int, *words: str) -> str:
    """A block of text."""
    return B(index, '{"type":"text","text":""}', *(json.dumps({"type": "text_delta", "text": word}) for word in words))


def thinks(index: int, *words: str, signature: str = "EqRkGenuine==") -> str:
    deltas = [json.dumps({"type": "thinking_delta", "thinking": word}) for word in words]
    proof = json.dumps({"type": "signature_delta", "signature": signature})
    return B(index, '{"type":"thinking","thinking":"","signature":""}', *deltas, proof)


def calls(index: int, id: str, name: str, *fragments: str) -> str:
    start = json.dumps({"type": "tool_use", "id": id, "name": name, "input": {}})
    return B(index, start, *(json.dumps({"type": "input_json_delta", "partial_json": f}) for f in fragments))


def ends(stop: str = "end_turn", usage: str = '"output_tokens":9', more: str = "") -> str:
    return E("message_delta", f'"delta":{{"stop_reason":"{stop}","stop_sequence":null{more}}},"usage":{{{usage}}}') + E("message_stop", "")


PING = E("ping", "")
KIND = sse(S() + says(0, "fine") + ends())


def message(content: str, stop: str = "end_turn", usage: str = '"input_tokens":8,"cache_read_input_tokens":4,"output_tokens":9', more: str = "") -> bytes:
    """A whole Messages answer."""
    head = '"id":"msg_up","type":"message","role":"assistant","model":"claude-up"'
    return whole(f'{{{head},"content":[{content}],"stop_reason":"{stop}","stop_sequence":null{more},"usage":{{{usage}}}}}')


GOOD = message('{"type":"text","text":"fine"}')
