"""One model's name leads to different providers by what a request holds; nothing but the name is changed on the way."""

import json

import pytest

from support.fleet import Fleet, many
from support.upstream import answer
from support.wire import ask

CHAT, MESSAGES, RESPONSES, COUNT = "/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/messages/count_tokens"
PROVIDERS = ("plain", "calls", "thinks", "sees", "long", "aloud")
ROUTES = """
m[image] -> sees/vision-model ; m[thinking, stream] -> aloud ; m[thinking] -> thinks
m[tokens>20k] -> long/* ; m[tools] -> calls ; m -> plain
learn-*[tokens>20k] -> long/large ; learn-* -> plain/small
sight[image, api=messages] -> sees ; sight -> plain
"""
PNG = "data:image/png;base64,"


def half(request) -> bytes:
    """Reports a token for every two bytes of what it got."""
    usage = {"prompt_tokens": len(request.body) // 2, "completion_tokens": 1}
    return answer(json.dumps({"choices": [], "usage": usage}).encode(), headers="Content-Type: application/json\r\n")


@pytest.fixture(scope="module")
def stage(driver):
    with Fleet(half) as fleet:
        env = {"SIDESTREAM_PROVIDERS": ",".join(PROVIDERS), "SIDESTREAM_ROUTES": ROUTES}
        for name in PROVIDERS:
            env |= fleet.faces(name)
        proxy = many(env, driver)
        yield proxy, fleet
        proxy.close()


def body_of(model: str, **more) -> bytes:
    """With what a rewriting of JSON would not keep: spaces, order, a number's digits, escapes."""
    tail = "".join(f',\t"{key}" : {json.dumps(value)}' for key, value in more.items())
    return ('{ "z":1.0e2, "note":"\\u00e9\\/ image_url tools thinking", "model" : "%s"%s }\n' % (model, tail)).encode()


def said(*parts) -> list:
    return [{"role": "user", "content": [{"type": "text", "text": 'a "type":"image"'}, *parts]}]


def arrives(stage, path: str, body: bytes, fields=(), name: bytes | None = None) -> str:
    """The provider that got the body, as it was but for the model's name."""
    proxy, fleet = stage
    response = ask(proxy.address, "POST", path, body, [("Content-Type", "application/json"), *fields])
    assert response.status == 200, response
    arrived = fleet.one()
    sent = body if name is None else body.replace(b'"model" : "m"', b'"model" : "%s"' % name)
    assert arrived.request.body == sent
    assert response.get("x-sidestream-provider") == arrived.provider
    return arrived.provider


IMAGE_URL = {"type": "image_url", "image_url": {"url": PNG + "iVBORw0KGgo="}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
INPUT_IMAGE = {"type": "input_image", "image_url": PNG + "iVBORw0KGgo="}
TOOLS = [{"type": "function", "name": "n", "function": {"name": "n"}, "input_schema": {}}]
LONG_TEXT = "word " * 20_000

CASES = {
    # name: (path, members, provider)
    "chat, nothing": (CHAT, {"messages": said()}, "plain"),
    "chat, a picture": (CHAT, {"messages": said(IMAGE_URL)}, "sees"),
    "chat, a picture before all others": (CHAT, {"messages": said(IMAGE_URL), "tools": TOOLS, "reasoning_effort": "low"}, "sees"),
    "chat, tools": (CHAT, {"messages": said(), "tools": TOOLS}, "calls"),
    "chat, functions": (CHAT, {"messages": said(), "functions": TOOLS}, "calls"),
    "chat, no tools": (CHAT, {"messages": said(), "tools": []}, "plain"),
    "chat, thinking": (CHAT, {"messages": said(), "reasoning_effort": "high"}, "thinks"),
    "chat, thinking, streamed": (CHAT, {"messages": said(), "reasoning_effort": "high", "stream": True}, "aloud"),
    "chat, no thinking": (CHAT, {"messages": said(), "reasoning_effort": "none"}, "plain"),
    "chat, of the wrong types": (CHAT, {"messages": {"content": [IMAGE_URL]}, "tools": "all", "reasoning": 7}, "plain"),
    "messages, nothing": (MESSAGES, {"max_tokens": 9, "messages": said()}, "plain"),
    "messages, a picture": (MESSAGES, {"max_tokens": 9, "messages": said(IMAGE)}, "sees"),
    "messages, a tool's picture": (MESSAGES, {"max_tokens": 9, "messages": said({"type": "tool_result", "content": [IMAGE]})}, "sees"),
    "messages, a picture that is an argument": (MESSAGES, {"messages": said({"type": "tool_use", "input": {"content": [IMAGE]}})}, "plain"),
    "messages, thinking": (MESSAGES, {"messages": said(), "thinking": {"type": "adaptive"}, "tools": TOOLS}, "thinks"),
    "messages, no thinking": (MESSAGES, {"messages": said(), "thinking": {"type": "disabled"}, "tools": TOOLS}, "calls"),
    "count_tokens goes where its request goes": (COUNT, {"messages": said(IMAGE)}, "sees"),
    "responses, nothing": (RESPONSES, {"input": "input_image"}, "plain"),
    "responses, a picture": (RESPONSES, {"input": [{"role": "user", "content": [INPUT_IMAGE]}]}, "sees"),
    "responses, a tool's picture": (RESPONSES, {"input": [{"type": "function_call_output", "output": [INPUT_IMAGE]}]}, "sees"),
    "responses, tools": (RESPONSES, {"input": "x", "tools": [{"type": "web_search"}]}, "calls"),
    "responses, thinking": (RESPONSES, {"input": "x", "reasoning": {"effort": "medium"}}, "thinks"),
    "responses, a summary": (RESPONSES, {"input": "x", "reasoning": {"summary": "auto"}}, "plain"),
    # 100 KB of text have 25,000 tokens as long as nothing else is known; a picture's base64 is no text.
    "chat, long": (CHAT, {"messages": [{"role": "user", "content": LONG_TEXT}], "tools": TOOLS}, "long"),
    "older completions, long": ("/v1/completions", {"prompt": LONG_TEXT}, "long"),
    # Above 128 KiB a helper looks.
    "chat, very long": (CHAT, {"messages": [{"role": "user", "content": 9 * LONG_TEXT}]}, "long"),
    "messages, a large picture": (MESSAGES, {"messages": said({"type": "tool_result", "content": [IMAGE]}), "pad": "p" * 400_000}, "sees"),
    "chat, a large file": (CHAT, {"messages": said({"type": "file", "file": {"file_data": "A" * 400_000}}), "tools": TOOLS}, "calls"),
    "chat, a large sound": (CHAT, {"messages": said({"type": "input_audio", "input_audio": {"data": "A" * 400_000}})}, "plain"),
}


@pytest.mark.parametrize("case", CASES)
def test_by_what_it_holds(stage, case):
    path, members, provider = CASES[case]
    body = body_of("m", **members)
    assert arrives(stage, path, body, name=b"vision-model" if provider == "sees" else None) == provider


def test_other_conditions_hold_beside(stage):
    """A rule for one dialect's pictures leaves another's alone."""
    assert arrives(stage, MESSAGES, body_of("sight", messages=said(IMAGE))) == "sees"
    assert arrives(stage, CHAT, body_of("sight", messages=said(IMAGE_URL))) == "plain"


@pytest.mark.parametrize("way", ["prefix", "field"])
def test_a_picked_provider_is_not_asked_about(stage, way):
    body = body_of("m", messages=said(IMAGE_URL), reasoning_effort="high")
    path, fields = ("/calls" + CHAT, []) if way == "prefix" else (CHAT, [("x-sidestream-provider", "calls")])
    assert arrives(stage, path, body, fields) == "calls"


@pytest.mark.parametrize("length", [60_000, 300_000], ids=["here", "on a helper"])
def test_tokens_are_learned_from_answers(stage, length):
    """At four bytes a token at first; then by what answers told, of the client's name, whatever the provider's is."""
    proxy, fleet = stage
    first, other = f"learn-{length}", f"learn-{length}-other"
    # Fewer than 20,000 tokens of four bytes, more than that of two.
    body = body_of(first, messages=[{"role": "user", "content": "w" * 60_000}])
    if length > 60_000:
        sound = {"type": "input_audio", "input_audio": {"data": "A" * (length - 60_000)}}
        body = body_of(first, messages=[{"role": "user", "content": [{"type": "text", "text": "w" * 60_000}, sound]}])
        # The upstream counts what the sound has beside the text.
        fleet.reply = lambda request: answer(b'{"usage":{"prompt_tokens":30000,"completion_tokens":1}}', headers="Content-Type: application/json\r\n")
    try:
        for model, provider, name in [(first, "plain", "small"), (first, "long", "large"), (other, "plain", "small"), (other, "long", "large")]:
            sent = body.replace(b'"model" : "%s"' % first.encode(), b'"model" : "%s"' % model.encode())
            assert ask(proxy.address, "POST", CHAT, sent).status == 200
            arrived = fleet.one()
            assert (arrived.provider, arrived.model) == (provider, name), model
    finally:
        fleet.reply = half
