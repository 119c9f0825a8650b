"""`count_tokens` for providers that cannot count: everything is counted, quickly, without asking anybody."""

import json
import threading
import time

import pytest

from support.translation import COUNT, WELL, Stage, assistant, capture, text, tool, user
from support.upstream import answer
from support.wire import Client

PNG_100 = (  # 100 × 100
    "iVBORw0KGgoAAAANSUhEUgAAAGQAAABkCAIAAAD/gAIDAAAAR0lEQVR4nO3BAQ0AAADCoPdPbQ8HFAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAfgN1mAAB6Y0cVQAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def stage():
    with Stage() as stage:
        yield stage


def count(stage, **more) -> int:
    got = stage.ask(COUNT, {"model": "m", "messages": [user("hi")], **more})
    assert got.response.status == 200 and got.arrived == [], got.response
    assert set(got.json) == {"input_tokens"}
    return got.json["input_tokens"]


def test_everything_counts(stage):
    base = count(stage)
    assert 1 <= base < 50
    words = "The quick brown fox jumps over the lazy dog. " * 20
    grown = {
        "text": {"messages": [user(words)]},
        "blocks": {"messages": [user([text(words)])]},
        "system": {"system": words},
        "system blocks": {"system": [text(words)]},
        "tools": {"tools": [tool("f", description=words)]},
        "schemas": {"tools": [tool("f", input_schema={"type": "object", "properties": {"a": {"type": "string", "description": words}}})]},
        "calls": {"messages": [user(), assistant([{"type": "tool_use", "id": "i1", "name": "f", "input": {"a": words}}]), user([{"type": "tool_result", "tool_use_id": "i1", "content": "r"}])]},
        "results": {"messages": [user(), assistant([{"type": "tool_use", "id": "i1", "name": "f", "input": {}}]), user([{"type": "tool_result", "tool_use_id": "i1", "content": [text(words)]}])]},
    }
    for name, more in grown.items():
        assert 150 < count(stage, **more) - base < 400, name
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG_100}}
    assert 10 <= count(stage, messages=[user([text("hi"), picture])]) - base <= 2000
    pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQKMSAwIG9iago8PC9UeXBlIC9QYWdlPj4KZW5kb2JqCg=="}}
    assert 1000 <= count(stage, messages=[user([text("hi"), pdf])]) - base <= 6000


def test_whatever_the_query_and_the_extras(stage):
    body = {"model": "m", "messages": [user("hi")], "max_tokens": 5, "stream": True, "thinking": {"type": "enabled", "budget_tokens": 1024}, "tool_choice": {"type": "auto"}, "tools": [tool("f")]}
    got = stage.ask(COUNT + "?beta=true", body, headers=[("anthropic-version", "2023-06-01"), ("anthropic-beta", "x")])
    assert got.response.status == 200 and got.json["input_tokens"] > 5, got.response
    assert count(stage, messages=[user("<|endoftext|> <|im_start|>")]) >= 5, "special tokens are text here"
    assert count(stage, messages=[user("漢字" * 50)]) > 40


def test_what_cannot_be_counted(stage):
    for body in ({"model": "m"}, {"model": "m", "messages": "x"}, {"model": "m", "messages": []}):
        got = stage.ask(COUNT, body)
        assert (got.response.status, got.json["type"], got.json["error"]["type"]) == (400, "error", "invalid_request_error"), got.response


def test_real_requests(stage):
    for name in ("cc-hi-002", "cc330-hi-001", "cc330-tool-002"):
        given = json.loads(capture(name))
        tokens = count(stage, **{k: given[k] for k in ("messages", "system", "tools") if k in given})
        assert len(json.dumps(given)) / 6 < tokens < len(json.dumps(given)) / 1.8


def test_counts_grow_with_the_conversation(stage):
    turns, before = [user("begin " * 50)], 0
    for n in range(8):
        now = count(stage, messages=turns, tools=[tool("f")])
        assert now > before
        before = now
        turns += [assistant(f"answer {n}"), user("and then? " * 20)]


def test_a_provider_that_counts_is_asked(stage):
    body = b'{"model":"claude-sonnet-4-5" , "messages":[{"role":"user","content":"hi"}]}'
    got = stage.ask(COUNT, body, answer(b'{"input_tokens":77}'), [("x-sidestream-provider", "claw")])
    assert got.json == {"input_tokens": 77} and got.request.body == body and got.request.target == "/claw/anthropic/v1/messages/count_tokens"


def test_a_burst_of_counts_holds_nobody_up(stage, note):
    """Forty large counts at once, as an editor's extension sends them: a stream beside them goes on."""
    large = json.dumps({"model": "m", "messages": [user("some words of a long conversation " * 6000)]}).encode()
    failures, stop = [], threading.Event()

    def burst():
        try:
            with Client(stage.proxy.address) as client:
                for _ in range(5):
                    response = client.ask("POST", COUNT, large)
                    assert response.status in (200, 503), response
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)
        finally:
            stop.set()

    threads = [threading.Thread(target=burst) for _ in range(8)]
    [t.start() for t in threads]
    slowest = 0.0
    while not stop.is_set():
        began = time.monotonic()
        assert stage.messages(reply=WELL).response.status == 200
        slowest = max(slowest, time.monotonic() - began)
    [t.join() for t in threads]
    assert not failures, failures
    note(f"slowest small request beside 8 × 5 counts of 200 KB: {1000 * slowest:.0f} ms")
    assert slowest < 2
