"""Claude Code's chores, answered without a model where SIDESTREAM_CHORES says so, and sent on in all other cases."""

import json
import signal

import pytest

from support.dialects import messages_body, messages_stream
from support.process import ROOT, NotStarted, Sidestream, pairs
from support.upstream import Upstream, answer
from support.wire import Client, Response

MESSAGES = "/v1/messages?beta=true"
JSON = "Content-Type: application/json\r\n"
WELL = {
    "id": "msg_01AbCdEfGhJkLmNpQrStUvWx", "type": "message", "role": "assistant", "model": "up", "content": [{"type": "text", "text": "a model's"}],
    "stop_reason": "end_turn", "stop_sequence": None,
    "usage": {"input_tokens": 3, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 2},
}
CHAT = {
    "id": "c", "object": "chat.completion", "created": 1, "model": "up", "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "a model's"}, "finish_reason": "stop"}],
}
POLICY = (
    "<policy_spec>\n# Claude Code Code Bash command prefix detection\n- git push => none\n- a`b` => command_injection_detected\n"
    "</policy_spec>\n\nONLY return the prefix.\n\nCommand: "
)
BASH = "You process Bash commands that an AI coding agent wants to run."
TITLE = 'Generate a concise, sentence-case title (3-7 words) that fits.\n\nReturn JSON with a single "title" field.'
PATHS = "Extract any file paths that this command reads or modifies.\n<is_displaying_contents>\ntrue"
SUGGEST = (
    "[SUGGESTION MODE: Suggest what the user might naturally type next into Claude Code.]\n\n"
    "Reply with ONLY the suggestion, no quotes or explanation."
)
SHOWN = "<is_displaying_contents>\ntrue\n</is_displaying_contents>\n\n<filepaths>\na.txt\n</filepaths>"


def user(text: str) -> dict:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def aside(system: str, text: str, **more) -> dict:
    own = {"type": "text", "text": "You are Claude Code, Anthropic's official CLI for Claude."}
    request = {"model": "m", "max_tokens": 512, "system": [own, {"type": "text", "text": system}], "messages": [user(text)]}
    return {**request, "tools": [], "metadata": {"user_id": "u"}, **more}


def suggestion(filler: int = 1) -> dict:
    said = [user("x" * filler), {"role": "assistant", "content": "done"}, user(SUGGEST)]
    tools = [{"name": "Bash", "input_schema": {"type": "object"}}]
    return {"model": "m", "max_tokens": 64000, "system": "s", "messages": said, "tools": tools}


# Name -> a request, what it is answered with, and why that ends.
CHORES = {
    "quota": ({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "quota"}]}, "OK", "max_tokens"),
    "prefix": (aside(BASH, POLICY + "git push origin main"), "git push", "end_turn"),
    "title": (aside(TITLE, 'fix the "login" page'), r'{"title": "Fix the \"login\" page"}', "end_turn"),
    "suggestion": (suggestion(), "", "end_turn"),
    "paths": (aside(PATHS, "Command: cat a.txt\nOutput: hello"), SHOWN, "end_turn"),
}
NOT_SURE = {
    "quota": {**CHORES["quota"][0], "max_tokens": 2},
    "prefix": aside(BASH, POLICY + "ls | sh"),
    "title": aside(TITLE, "/clear"),
    "suggestion": {**suggestion(), "messages": [user(SUGGEST)]},
    "paths": aside(PATHS, "Command: make\nOutput: hello"),
}


def model(body: dict):
    def handler(peer):
        while True:
            peer.request()
            peer.send(answer(json.dumps(body).encode(), headers=JSON))

    return handler


def told(response: Response):
    assert response.status == 200, response
    streamed = response.get("content-type", "").startswith("text/event-stream")
    return messages_stream(response.body) if streamed else messages_body(response.body)


@pytest.fixture(params=["same dialect", "translated"])
def asked(request, setup, owned):
    """asked(chores) -> (ask, proxy, upstream)"""

    def make(chores: str | None):
        same = request.param == "same dialect"
        more = {} if same else {"MOCK_ANTHROPIC_URL": "off"}
        proxy, upstream = setup(model(WELL if same else CHAT), SIDESTREAM_CHORES=chores, **more)
        client = owned(Client(proxy.address))

        def ask(body: dict) -> Response:
            return client.ask("POST", MESSAGES, json.dumps(body).encode())

        return ask, proxy, upstream

    return make


def test_answered_here(asked):
    """Streamed and whole; the connection goes on; counted and logged."""
    ask, proxy, upstream = asked("all")
    for name, (request, text, stop) in CHORES.items():
        for stream in (False, True):
            response = ask({**request, "stream": stream})
            assert (response.get("content-type", "").startswith("text/event-stream")) == stream
            talk = told(response)
            assert "".join(block["text"] for block in talk.blocks) == text, name
            assert talk.stop == stop
            assert response.get("x-sidestream-chore") == name
            assert response.get("x-sidestream-provider") is None and response.get("connection") is None
    assert upstream.requests == []
    metrics = proxy.metrics()
    for name, (request, text, _) in CHORES.items():
        assert metrics['sidestream_chores_total{chore="%s"}' % name] == 2, name
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    lines = [pairs(line) for line in proxy.log.splitlines() if "chore=" in line]
    assert [line["chore"] for line in lines] == [name for name in CHORES for _ in range(2)]
    assert all(line["status"] == "200" and line["model"] == "m" and "provider" not in line for line in lines)


def test_usage_is_an_estimate(asked):
    ask, _, _ = asked("all")
    for name, (request, text, _) in CHORES.items():
        usage = json.loads(ask(request).body)["usage"]
        assert usage["output_tokens"] == (1 if name == "quota" else max(1, -(-len(text) // 4)))
        # Four bytes a token, of what is text in it.
        words = sum(len(block) for block in texts(request))
        assert words / 5 <= usage["input_tokens"] <= words / 3 + 20, (name, words, usage)


def texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, dict):
        for key in ("system", "messages", "content", "text"):
            yield from texts(value.get(key, []))


def test_off_unless_asked_for(asked):
    for chores in (None, "none"):
        ask, proxy, upstream = asked(chores)
        for name, (request, _, _) in CHORES.items():
            response = ask(request)
            assert told(response).blocks[0]["text"] == "a model's", name
            assert response.get("x-sidestream-chore") is None
        assert len(upstream.requests) == len(CHORES)
        assert proxy.counter("sidestream_chores_total") == 0


def test_each_has_its_switch(asked):
    for on in CHORES:
        ask, _, upstream = asked(on)
        for name, (request, _, _) in CHORES.items():
            upstream.requests.clear()
            assert ask(request).get("x-sidestream-chore") == (name if name == on else None)
            assert len(upstream.requests) == (name != on), (on, name)


def test_what_is_not_sure_is_for_the_model(asked):
    ask, proxy, upstream = asked("all")
    for name, request in NOT_SURE.items():
        assert told(ask(request)).blocks[0]["text"] == "a model's", name
    assert len(upstream.requests) == len(NOT_SURE)
    assert proxy.counter("sidestream_chores_total") == 0


def test_what_agents_send_goes_on_untouched(setup):
    proxy, upstream = setup(model(WELL), SIDESTREAM_CHORES="all")
    captures = [c for c in sorted((ROOT / "tests/data/captures").glob("*.body")) if b'"messages"' in c.read_bytes()]
    assert len(captures) > 4
    with Client(proxy.address) as client:
        for capture in captures:
            client.ask("POST", MESSAGES, capture.read_bytes())
            assert upstream.requests.pop().body == capture.read_bytes(), capture.name


def test_a_long_conversation(setup):
    """It is looked at on another thread; beyond 4 MiB it is not looked at."""
    proxy, upstream = setup(model(WELL), SIDESTREAM_CHORES="suggestion")
    with Client(proxy.address) as client:
        for filler, local in ((200_000, True), (3_000_000, True), (4_200_000, False)):
            upstream.requests.clear()
            body = json.dumps(suggestion(filler)).encode()
            response = client.ask("POST", MESSAGES, body)
            assert told(response).stop == "end_turn"
            assert (response.get("x-sidestream-chore") == "suggestion") == local == (upstream.requests == []), filler
            if not local:
                assert upstream.requests[0].body == body


def test_only_messages_have_chores(setup):
    proxy, upstream = setup(SIDESTREAM_CHORES="all")
    probe = json.dumps(CHORES["quota"][0]).encode()
    with Client(proxy.address) as client:
        for target in ("/v1/chat/completions", "/v1/messages/count_tokens"):
            assert client.ask("POST", target, probe).get("x-sidestream-chore") is None
    assert len(upstream.requests) == 2


def test_after_who_may_ask_and_where_it_goes(setup):
    """A chore is a request like others: it needs a token, and a way."""
    proxy, upstream = setup(SIDESTREAM_CHORES="all", SIDESTREAM_TOKENS="a-token-of-ours", SIDESTREAM_ROUTES="known -> mock")
    probe = CHORES["quota"][0]
    token = [("x-api-key", "a-token-of-ours")]
    with Client(proxy.address) as client:
        assert client.ask("POST", MESSAGES, json.dumps(probe).encode()).status == 401
    with Client(proxy.address) as client:
        known = client.ask("POST", MESSAGES, json.dumps({**probe, "model": "known"}).encode(), token)
        assert (known.status, known.get("x-sidestream-chore")) == (200, "quota")
    assert upstream.requests == []


def test_a_wrong_name_is_told(driver, owned):
    upstream = owned(Upstream())
    with pytest.raises(NotStarted) as refused:
        Sidestream(driver, {**upstream.env, "SIDESTREAM_CHORES": "quota,tilte"}).kill()
    assert refused.value.code == 2 and "SIDESTREAM_CHORES" in refused.value.log and '"tilte"' in refused.value.log
