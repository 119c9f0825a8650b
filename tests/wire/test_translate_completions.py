"""The old `/v1/completions`, for providers that have only the newer endpoints."""

import json

import pytest

from support.dialects import FRESH, events
from support.translation import COMPLETIONS, GOOD, WELL, S, Stage, ends, message, says, sse, thinks, whole


@pytest.fixture(scope="module")
def stage():
    with Stage() as stage:
        yield stage


def ask(stage, prompt="say hi", reply=GOOD, **more):
    return stage.ask(COMPLETIONS, {"model": "c", "prompt": prompt, **more}, reply)


def test_request(stage):
    sent = ask(stage).sent
    assert sent["messages"][0]["role"] == "user" and "say hi" in json.dumps(sent["messages"]) and len(sent["messages"]) == 1
    assert sent["max_tokens"] == 16 and "prompt" not in sent
    sent = ask(stage, max_tokens=99, temperature=0.5, stop="X").sent
    assert (sent["max_tokens"], sent["temperature"], sent["stop_sequences"]) == (99, 0.5, ["X"])
    assert "say hi" in json.dumps(ask(stage, ["say hi"]).sent["messages"])


def test_answer(stage):
    got = ask(stage, reply=message('{"type":"thinking","thinking":"th","signature":"Eq=="},{"type":"text","text":"Hi"}', "max_tokens"))
    assert got.response.status == 200, got.response
    body = got.json
    assert FRESH["cmpl-"].fullmatch(body["id"]) and body["object"] == "text_completion" and body["model"] == "c"
    (choice,) = body["choices"]
    assert (choice["text"], choice["index"], choice["finish_reason"], choice["logprobs"]) == ("Hi", 0, "length", None)
    assert body["usage"]["total_tokens"] == 21


@pytest.mark.parametrize("usage", [False, True])
def test_stream(stage, usage):
    more = {"stream_options": {"include_usage": True}} if usage else {}
    got = ask(stage, reply=sse(S() + thinks(0, "th") + says(1, "He", "llo") + ends()), stream=True, **more)
    assert got.response.status == 200, got.response
    found, _ = events(got.response.body)
    datas = [data for _, data, _ in found]
    assert datas[-1] == "[DONE]" and {name for name, _, _ in found} == {"message"}
    chunks = [json.loads(data) for data in datas[:-1]]
    assert {(c["id"], c["object"], c["model"]) for c in chunks} == {(chunks[0]["id"], "text_completion", "c")}
    choices = [c["choices"][0] for c in chunks if c["choices"]]
    assert "".join(c["text"] for c in choices) == "Hello"
    assert [c["finish_reason"] for c in choices if c["finish_reason"]] == ["stop"]
    assert [c["usage"]["total_tokens"] for c in chunks if c.get("usage")] == ([21] if usage else [])


REFUSED = {
    "two prompts": {"prompt": ["a", "b"]},
    "tokens": {"prompt": [1, 2]},
    "lists of tokens": {"prompt": [[1, 2]]},
    "no prompt": {"prompt": None},
    "several": {"n": 2},
    "the best of several": {"best_of": 2},
}


@pytest.mark.parametrize("rule", REFUSED)
def test_refused(stage, rule):
    got = ask(stage, **REFUSED[rule])
    assert (got.response.status, got.arrived) == (400, []), got.response
    assert next(iter(REFUSED[rule])) in got.json["error"]["message"] and got.json["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("more", [{"echo": True}, {"suffix": "x"}, {"logprobs": 2}], ids=str)
def test_refused_or_told(stage, more):
    got = ask(stage, **more)
    (name,) = more
    assert got.response.status == 400 and name in got.json["error"]["message"] or name in got.dropped, got.response


def test_errors(stage):
    got = ask(stage, reply=whole('{"type":"error","error":{"type":"overloaded_error","message":"busy"}}', "529 X"))
    assert (got.response.status, got.json["error"]["code"]) == (503, "server_is_overloaded")


def test_chat_providers_get_it_as_it_is(stage):
    """An OpenAI face has the endpoint: bytes pass."""
    got = stage.ask(COMPLETIONS, b'{"model":"up-model", "prompt":"x" }', WELL, [("x-sidestream-provider", "box")])
    assert got.request.target == "/box/openai/v1/completions" and got.request.body == b'{"model":"up-model", "prompt":"x" }'


def test_a_chat_provider_without_the_endpoint(stage):
    """It is asked for a chat's next turn; what it says then is told, whatever it is."""
    missing = whole('{"error":{"message":"no such path","type":"invalid_request_error"}}', "404 X")
    field = [("x-sidestream-provider", "box")]
    got = stage.ask(COMPLETIONS, {"model": "up-model", "prompt": "say hi"}, headers=field, replies=[missing, WELL])
    assert [one.target for one in got.arrived] == ["/box/openai/v1/completions", "/box/openai/v1/chat/completions"]
    sent = json.loads(got.arrived[1].body)
    assert sent["model"] == "up-model" and "say hi" in json.dumps(sent["messages"]) and "prompt" not in sent
    assert (got.response.status, got.json["object"], got.json["choices"][0]["text"]) == (200, "text_completion", "fine")
    got = stage.ask(COMPLETIONS, {"model": "up-model", "prompt": "x"}, headers=field, replies=[missing, missing])
    assert (got.response.status, got.json["error"]["message"], len(got.arrived)) == (404, "no such path", 2)
