"""What a translation could not carry over is said: in a header, in the last comment of a stream, in a counter and on the
line of the log; and with SIDESTREAM_STRICT=1 the request is refused instead."""

import json

import pytest

from support.dialects import dropped_in, events
from support.fleet import Fleet, many
from support.translation import CHAT, DONE, FINE, GOOD, KIND, MESSAGES, WELL, B, D, F, S, Stage, assistant, ends, function, message, says, sse, text, to_chat, to_messages, tool, user
from support.upstream import answer
from support.wire import ask

MARK = {"cache_control": {"type": "ephemeral"}}


@pytest.fixture(scope="module")
def stage():
    with Stage() as stage:
        yield stage


@pytest.fixture(scope="module")
def strict():
    with Stage(SIDESTREAM_STRICT="1") as stage:
        yield stage


# (members of the request): exactly these losses; None: whatever, but strict refuses it
LOST = {
    "nothing": ({}, set()),
    "nothing but tools": ({"tools": [tool("f")], "tool_choice": {"type": "auto"}, "system": "s", "temperature": 0.5}, set()),
    "metadata": ({"metadata": {"user_id": "u"}}, {"metadata.user_id"}),
    "several": ({"metadata": {"user_id": "u"}, "messages": [user([text("a", **MARK), text("b", **MARK)])]}, {"metadata.user_id", "messages.content.cache_control"}),
    "in the system": ({"system": [text("a", **MARK)]}, {"system.cache_control"}),
    "of a tool": ({"tools": [tool("f", **MARK)]}, {"tools.cache_control"}),
    "top_k": ({"top_k": 5}, {"top_k"}),
    "unknown": ({"novelty": 1, "service_tier": "auto"}, {"novelty", "service_tier"}),
    "thoughts in the history": ({"messages": [user("a"), assistant([{"type": "thinking", "thinking": "t", "signature": "Eq=="}, text("b")]), user("c")]}, {"messages.content.thinking"}),
}
LOST_BACK = {
    "nothing": ({}, {"max_tokens+"}),
    "nothing at all": ({"max_tokens": 5}, set()),
    "seed": ({"max_tokens": 5, "seed": 1}, {"seed"}),
    "several": ({"max_tokens": 5, "seed": 1, "logit_bias": {"1": 1}, "novelty": 2}, {"seed", "logit_bias", "novelty"}),
    "temperature": ({"max_tokens": 5, "temperature": 1.5}, {"temperature~"}),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("rule", LOST)
def test_losses_to_chat(stage, rule, stream):
    more, wanted = LOST[rule]
    got = stage.messages(reply=FINE if stream else WELL, stream=stream, **more)
    assert got.response.status == 200, got.response
    assert bare(got.dropped) == wanted, got.dropped


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("rule", LOST_BACK)
def test_losses_to_messages(stage, rule, stream):
    more, wanted = LOST_BACK[rule]
    got = stage.chat(reply=KIND if stream else GOOD, stream=stream, **more)
    assert got.response.status == 200, got.response
    assert got.dropped == wanted


def bare(paths: set[str]) -> set[str]:
    """A block may be named by its member or by its type."""
    return {"messages.content.thinking" if p.startswith("messages.content") and "thinking" in p else p for p in paths}


@pytest.mark.parametrize("rule", [r for r in LOST if LOST[r][1]])
def test_strict_to_chat(strict, rule):
    got = strict.messages(reply=WELL, **LOST[rule][0])
    assert (got.response.status, got.reason, got.arrived) == (400, "translation-loss", []), got.response
    assert got.json["error"]["type"] == "invalid_request_error"
    assert any(path.rstrip("~+").split(".")[-1] in got.json["error"]["message"] for path in LOST[rule][1]), got.json


@pytest.mark.parametrize("rule", [r for r in LOST_BACK if LOST_BACK[r][1] - {"max_tokens+"}])
def test_strict_to_messages(strict, rule):
    got = strict.chat(reply=GOOD, **LOST_BACK[rule][0])
    assert (got.response.status, got.reason, got.arrived) == (400, "translation-loss", []), got.response
    assert any(path.rstrip("~+") in got.json["error"]["message"] for path in LOST_BACK[rule][1]), got.json


def test_strict_lets_pass_what_loses_nothing(strict):
    assert strict.messages(reply=WELL, tools=[tool("f")], system="s").response.status == 200
    assert strict.chat(reply=GOOD, tools=[function("f")], max_tokens=5).response.status == 200


REFUSED = {
    # what cannot be carried without changing what it means: the field that is named
    "an uploaded picture": (MESSAGES, to_chat(messages=[user([{"type": "image", "source": {"type": "file", "file_id": "f"}}])]), "source"),
    "a document at an address": (MESSAGES, to_chat(messages=[user([{"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}}])]), "source"),
    "a forced tool of the server": (
        MESSAGES, to_chat(tools=[{"type": "web_search_20250305", "name": "web_search"}, tool("f")], tool_choice={"type": "tool", "name": "web_search"}), "tool_choice",
    ),
    "MCP servers": (MESSAGES, to_chat(mcp_servers=[{"type": "url", "url": "https://x", "name": "x"}]), "mcp_servers"),
    "an unknown block of the user": (MESSAGES, to_chat(messages=[user([{"type": "novelty", "n": 1}])]), "messages"),
    "several choices": (CHAT, to_messages(n=2), "n"),
    "audio out": (CHAT, to_messages(modalities=["text", "audio"], audio={"voice": "x", "format": "wav"}), "audio"),
    "audio in": (CHAT, to_messages(messages=[user([{"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}])]), "input_audio"),
    "an uploaded file": (CHAT, to_messages(messages=[user([{"type": "file", "file": {"file_id": "f"}}])]), "file"),
}


@pytest.mark.parametrize("rule", REFUSED)
def test_refused(stage, rule):
    path, body, field = REFUSED[rule]
    got = stage.ask(path, body, WELL if path == MESSAGES else GOOD)
    assert (got.response.status, got.reason, got.arrived) == (400, "not-translatable", []), got.response
    error = got.json["error"]
    assert field in error["message"] and error["type"] == "invalid_request_error", error
    assert (got.json.get("type") == "error") == (path == MESSAGES)


@pytest.mark.parametrize("thread", [{"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}], ids=lambda t: t["type"])
def test_threads_are_refused_so_that_sdks_go_on_without(stage, thread):
    """The server would hold the conversation. The SDKs' tool runners ask for it unasked, and send whole conversations when
    they are told in these words that it cannot be."""
    got = stage.messages(reply=WELL, thread=thread)
    assert (got.response.status, got.reason, got.arrived) == (400, "thread-unsupported", []), got.response
    assert got.json["error"]["details"]["error_code"] == "thread_unsupported_request", got.json
    assert stage.messages(reply=WELL, thread=None).response.status == 200


def test_losses_of_an_answer(stage):
    """Of a whole one in the header, of a stream in its last comment."""
    block = '{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}'
    got = stage.chat(reply=message(block + ',{"type":"text","text":"Hi"}'), max_tokens=5)
    assert got.chat().text == "Hi" and any("server_tool_use" in p for p in got.dropped), got.response.headers
    got = stage.chat(reply=sse(S() + B(0, block) + says(1, "Hi") + ends()), max_tokens=5, stream=True)
    _, comments = events(got.response.body)
    assert any("server_tool_use" in p for p in dropped_in(comments)), comments
    assert got.response.body.rstrip().rpartition(b"\n\n")[2].startswith(b": x-sidestream-dropped:")
    got = stage.chat(reply=KIND, max_tokens=5, stream=True)
    assert b"x-sidestream-dropped" not in got.response.body


ODD_NAMES = ["a\r\nInjected: 1", "a\nb", "a,b", "ü", "\U0001f642", "a b", '"', "\\", "\0", "\u2028", "x" * 5000, "a.b", "a~", "\ud83d"]


@pytest.mark.parametrize("place", ["top", "block", "tool"])
@pytest.mark.parametrize("way", ["messages", "chat"])
def test_odd_names_are_told_without_harm(stage, way, place):
    """Names are the client's: one line of visible ASCII, whatever they hold; in a comment of a stream too."""
    for name in ODD_NAMES:
        odd = {name: 1}
        more = {"top": odd, "block": {"messages": [user([{**text("a"), **odd}])]}, "tool": {"tools": [{**(tool("f") if way == "messages" else function("f")), **odd}]}}[place]
        body = json.dumps((to_chat if way == "messages" else to_messages)(**more)).encode()
        got = getattr(stage, way)(body, WELL if way == "messages" else GOOD)
        assert got.response.status == 200, (name, got.response)
        value = got.response.get("x-sidestream-dropped")
        assert value and all(" " <= c <= "~" for c in value) and len(value) < 2000, (name, value)
        assert "injected" not in got.response.headers.names
        assert set(json.loads(got.request.body)) <= {"model", "messages", "max_tokens", "tools", "stream"}


def test_odd_names_of_an_answer_are_told_without_harm(stage):
    for name in ODD_NAMES:
        kind = json.dumps(name)
        got = stage.chat(reply=sse(S() + B(0, f'{{"type":{kind},"n":1}}') + says(1, "Hi") + ends()), stream=True)
        assert got.chat().text == "Hi", name
        lines = [line for line in got.response.body.split(b"\n") if b"x-sidestream-dropped" in line]
        assert all(line.isascii() and len(line) < 2000 for line in lines) and b"njected" not in b"".join(got.response.body.split(b": x-side")[:1])
        got = stage.messages(reply=sse(D(f'"content":"a",{kind}:1') + F("stop") + DONE), stream=True)
        assert got.talk().blocks[0]["text"] == "a"


def test_more_losses_than_anybody_reads(stage):
    """They are bounded, and said to be."""
    got = stage.messages(reply=WELL, **{f"novelty_{n}": n for n in range(5000)})
    assert got.response.status == 200 and len(got.response.raw_head) < 16_000, len(got.response.raw_head)
    assert got.dropped


def test_thoughts_nobody_asked_for_are_told(stage):
    got = stage.messages(reply=sse(D('"reasoning_content":"th"') + D('"content":"Hi"') + F("stop") + DONE), stream=True)
    assert got.talk().dropped, got.response.body[-200:]


def test_counted_and_logged():
    with Stage() as stage:
        before = stage.proxy.counter("sidestream_translation_losses_total")
        stage.messages(reply=WELL, metadata={"user_id": "u"}, top_k=5)
        stage.chat(reply=GOOD, seed=1, temperature=1.5)
        assert before == 0
        assert stage.proxy.wait_counter("sidestream_translation_losses_total", 5) == 5
        samples = {k: v for k, v in stage.proxy.metrics().items() if k.startswith("sidestream_translation_losses_total") and v}
        wanted = {("messages", "chat", "dropped"): 2, ("chat", "messages", "dropped"): 1, ("chat", "messages", "approximated"): 1, ("chat", "messages", "invented"): 1}
        for (of, to, kind), count in wanted.items():
            (value,) = [v for k, v in samples.items() if f'from="{of}"' in k and f'to="{to}"' in k and f'kind="{kind}"' in k]
            assert value == count, samples
        line = stage.proxy.wait_line(lambda line: "msg=request" in line and "dropped=" in line)
        assert "metadata" in line and "top_k" in line


def test_same_dialect_loses_nothing():
    """Translation is for what needs it: the same bodies between equals arrive byte for byte, without a word of losses."""
    with Fleet(lambda request: answer(b"{}")) as fleet:
        proxy = many({**fleet.faces("both"), "SIDESTREAM_PROVIDERS": "both", "SIDESTREAM_STRICT": "1"})
        for path, body in ((MESSAGES, to_chat(metadata={"user_id": "u"}, novelty=1)), (CHAT, to_messages(seed=1, novelty=1))):
            sent = json.dumps(body).encode()
            response = ask(proxy.address, "POST", path, sent)
            assert fleet.one().request.body == sent and response.get("x-sidestream-dropped") is None
        proxy.close()
