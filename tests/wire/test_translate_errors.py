"""Errors of a provider of the other dialect: status, type, code and words in the client's dialect, so that clients recover
by what they match on; the numbers of rate limits; and the one retry without a parameter that was refused."""

import json
import re

import pytest

from support.translation import CHAT, FINE, GOOD, JSON, KIND, MESSAGES, WELL, E, D, S, Stage, says, sse, to_chat, to_messages, tool, user, whole


@pytest.fixture(scope="module")
def stage():
    """No retries: a status reaches the client at the first try."""
    with Stage(BOX_MAX_RETRIES="0", CLAW_MAX_RETRIES="0") as stage:
        yield stage


def openai(message="boom", type="invalid_request_error", code=None, **more) -> str:
    return json.dumps({"error": {"message": message, "type": type, "param": None, "code": code, **more}})


def anthropic(type: str, message: str = "boom") -> str:
    return json.dumps({"type": "error", "error": {"type": type, "message": message}, "request_id": "req_up"})


def held_to_messages(got, status: int, kind: str) -> str:
    assert got.response.status == status, got.response
    assert got.response.get("content-type").startswith("application/json")
    body = got.json
    assert set(body) <= {"type", "error", "request_id"} and body["type"] == "error", body
    assert body["error"]["type"] == kind and isinstance(body["error"]["message"], str) and body["error"]["message"], body
    return body["error"]["message"]


def held_to_chat(got, status: int, kind: str, code) -> str:
    assert got.response.status == status, got.response
    assert got.response.get("content-type").startswith("application/json")
    error = got.json["error"]
    assert set(got.json) == {"error"} and {"message", "type", "param", "code"} <= set(error), got.json
    assert (error["type"], error["code"]) == (kind, code), error
    return error["message"]


# ── §10.1 ───────────────────────────────────────────────────────────────────────────────────────────────────────────

TO_MESSAGES = {
    # what the provider says: (status, body) -> (status, type)
    "400": (400, openai("boom"), 400, "invalid_request_error"),
    "422": (422, openai("boom"), 400, "invalid_request_error"),
    "401": (401, openai("boom", code="invalid_api_key"), 401, "authentication_error"),
    "402": (402, openai("boom", "billing"), 402, "billing_error"),
    "402 in the body": (402, '{"error":{"message":"boom","code":402,"metadata":{"raw":"x"}}}', 402, "billing_error"),
    "403": (403, openai("boom", "permission_error"), 403, "permission_error"),
    "404": (404, openai("boom", code="model_not_found"), 404, "not_found_error"),
    "408": (408, openai("boom"), 408, "timeout_error"),
    "409": (409, openai("boom"), 409, "conflict_error"),
    "413": (413, openai("boom"), 413, "request_too_large"),
    "429": (429, openai("boom", "rate_limit_error", "rate_limit_exceeded"), 429, "rate_limit_error"),
    "429 of requests": (429, openai("boom", "requests"), 429, "rate_limit_error"),
    "429 insufficient_quota": (429, openai("boom", "insufficient_quota", "insufficient_quota"), 429, "rate_limit_error"),
    "500": (500, openai("boom", "server_error"), 500, "api_error"),
    "502": (502, openai("boom", "server_error"), 502, "api_error"),
    "503": (503, openai("boom", "server_error", "server_is_overloaded"), 529, "overloaded_error"),
    "503 slow_down": (503, openai("boom", "service_unavailable_error", "slow_down"), 529, "overloaded_error"),
    "503 nothing": (503, "", 529, "overloaded_error"),
    "504": (504, openai("boom", "server_error"), 504, "timeout_error"),
    "529": (529, openai("boom"), 529, "overloaded_error"),
    # shapes of bodies
    "error text": (400, '{"error":"boom"}', 400, "invalid_request_error"),
    "detail": (422, '{"detail":"boom"}', 400, "invalid_request_error"),
    "detail list": (422, '{"detail":[{"loc":["body","x"],"msg":"boom","type":"value_error"}]}', 400, "invalid_request_error"),
    "message and code": (400, '{"message":"boom","code":1210}', 400, "invalid_request_error"),
    "old vLLM": (400, '{"object":"error","message":"boom","type":"BadRequestError","param":null,"code":400}', 400, "invalid_request_error"),
    "HTML": (502, "<html><head><title>502 Bad Gateway</title></head><body>boom</body></html>", 502, "api_error"),
    "text": (500, "boom", 500, "api_error"),
    "empty": (500, "", 500, "api_error"),
    "a list": (400, '[{"error":{"code":400,"message":"boom","status":"INVALID_ARGUMENT"}}]', 400, "invalid_request_error"),
    "a Messages error": (429, anthropic("rate_limit_error"), 429, "rate_limit_error"),
}
WORDLESS = {"503 nothing", "empty", "HTML"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("rule", TO_MESSAGES)
def test_to_messages(stage, rule, stream):
    status, body, wanted, kind = TO_MESSAGES[rule]
    headers = "Content-Type: text/html\r\n" if body.startswith("<") else JSON
    got = stage.messages(reply=whole(body, f"{status} X", headers + "retry-after: 7\r\nx-request-id: req_theirs\r\n"), stream=stream)
    message = held_to_messages(got, wanted, kind)
    assert "boom" in message or rule in WORDLESS
    assert "<html" not in message
    assert got.response.get("retry-after") == "7"
    assert "req_theirs" in (got.response.get("request-id"), got.response.get("x-request-id"))
    assert got.reason is None, "an upstream's error is not ours"
    assert len(got.arrived) == 1


NO_NUMBERS = ()
OVERFLOWS = {
    # wording of the provider: the two numbers that must come out, where it has them
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 10240 tokens. Please reduce the length of the messages.": (10240, 8192),
    "This model's maximum context length is 8192 tokens. However, you requested 10240 tokens (9000 in the messages, 1240 in the completion).": (None, 8192),
    "Input length 10240 exceeds the model's context window of 8192 tokens": (None, None),
    "the request exceeds the available context size. prompt is too long": NO_NUMBERS,
    "The input (10240 tokens) is longer than the model's context window (8192 tokens).": (None, None),
    "input length and max_tokens exceed context limit: 9000 + 1000 > 8192, decrease input length or max_tokens": (None, None),
    "Requested token count exceeds the model's maximum context length of 8192 tokens.": (None, 8192),
}


@pytest.mark.parametrize("wording", OVERFLOWS)
@pytest.mark.parametrize("way", ["code", "words", "200 stream", "old vLLM"])
def test_overflow_to_messages(stage, wording, way):
    """Claude Code compacts on `prompt is too long` with two numbers; on any other wording it is stuck."""
    bodies = {
        "code": (400, openai(wording, code="context_length_exceeded")),
        "words": (400, openai(wording)),
        "old vLLM": (400, json.dumps({"object": "error", "message": wording, "type": "BadRequestError", "code": 400})),
    }
    if way == "200 stream":
        reply = sse("data: " + openai(wording, code="context_length_exceeded") + "\n\n")
    else:
        status, body = bodies[way]
        reply = whole(body, f"{status} X")
    message = held_to_messages(stage.messages(reply=reply, stream=way == "200 stream", messages=[user("x" * 40_000)]), 400, "invalid_request_error")
    assert wording in message and message.startswith("prompt is too long: "), message
    if OVERFLOWS[wording] is NO_NUMBERS:
        return
    match = re.match(r"prompt is too long: (\d+) tokens > (\d+) maximum", message)
    assert match, message
    tokens, window = int(match[1]), int(match[2])
    assert tokens > window, message
    for got, wanted in ((tokens, OVERFLOWS[wording][0]), (window, OVERFLOWS[wording][1])):
        assert wanted in (None, got), message


# ── §10.2 ───────────────────────────────────────────────────────────────────────────────────────────────────────────

TO_CHAT = {
    # (status, type) of the provider: (status, type, code)
    (400, "invalid_request_error"): (400, "invalid_request_error", None),
    (401, "authentication_error"): (401, "authentication_error", "invalid_api_key"),
    (402, "billing_error"): (None, "insufficient_quota", "insufficient_quota"),
    (403, "permission_error"): (403, "permission_error", None),
    (404, "not_found_error"): (404, "invalid_request_error", "model_not_found"),
    (413, "request_too_large"): (413, "invalid_request_error", "request_too_large"),
    (429, "rate_limit_error"): (429, "rate_limit_error", "rate_limit_exceeded"),
    (500, "api_error"): (500, "server_error", None),
    (504, "timeout_error"): (504, "server_error", "timeout"),
    (529, "overloaded_error"): (503, "server_error", "server_is_overloaded"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status, type", TO_CHAT)
def test_to_chat(stage, status, type, stream):
    wanted, kind, code = TO_CHAT[status, type]
    got = stage.chat(reply=whole(anthropic(type), f"{status} X", JSON + "retry-after: 7\r\nrequest-id: req_theirs\r\n"), stream=stream)
    if wanted is None:
        assert got.response.status in (402, 429)
        wanted = got.response.status
    assert "boom" in held_to_chat(got, wanted, kind, code)
    assert got.response.get("retry-after") == "7"
    assert "req_theirs" in (got.response.get("request-id"), got.response.get("x-request-id"))


@pytest.mark.parametrize("stream", [False, True])
def test_overflow_to_chat(stage, stream):
    body = anthropic("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum")
    message = held_to_chat(stage.chat(reply=whole(body, "400 X"), stream=stream), 400, "invalid_request_error", "context_length_exceeded")
    assert "210000" in message and "200000" in message


# ── §11: inside a stream ────────────────────────────────────────────────────────────────────────────────────────────

INSIDE_MESSAGES = {
    # the provider's error object: type of the event
    '{"message":"boom","code":429}': "rate_limit_error",
    '{"message":"boom","type":"server_error","code":"server_is_overloaded"}': "overloaded_error",
    '{"message":"boom","type":"invalid_request_error","code":null}': "invalid_request_error",
    '{"message":"boom","code":502}': "api_error",
    '{"message":"boom","code":401}': "authentication_error",
    '{"message":"boom","type":"insufficient_quota","code":"insufficient_quota"}': None,
    '"boom"': "api_error",
}


@pytest.mark.parametrize("error", INSIDE_MESSAGES)
def test_inside_a_stream_to_messages(stage, error):
    got = stage.messages(reply=stage.steps(D('"content":"a"'), f'data: {{"error":{error}}}\n\n'), stream=True)
    talk = got.talk()
    assert talk.error["type"] == (INSIDE_MESSAGES[error] or talk.error["type"]) and "boom" in talk.error["message"]
    assert talk.stop is None and b"[DONE]" not in got.response.body


INSIDE_CHAT = {
    "overloaded_error": ("server_error", "server_is_overloaded"),
    "rate_limit_error": ("rate_limit_error", "rate_limit_exceeded"),
    "api_error": ("server_error", None),
    "invalid_request_error": ("invalid_request_error", None),
}


@pytest.mark.parametrize("type", INSIDE_CHAT)
def test_inside_a_stream_to_chat(stage, type):
    got = stage.chat(reply=stage.steps(S() + says(0, "a"), E("error", f'"error":{{"type":"{type}","message":"boom"}}')), stream=True)
    chat = got.chat()
    assert (chat.error["type"], chat.error["code"]) == INSIDE_CHAT[type] and "boom" in chat.error["message"]
    assert chat.finish is None


# ── Fields of the head ──────────────────────────────────────────────────────────────────────────────────────────────


def test_rate_limits_to_messages(stage):
    fields = {
        "x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "150000", "x-ratelimit-remaining-tokens": "149984", "x-ratelimit-reset-tokens": "6m0s",
    }
    response = stage.messages(reply=whole_with(WELL, fields)).response
    for name in ("limit", "remaining"):
        for what in ("requests", "tokens"):
            assert response.get(f"anthropic-ratelimit-{what}-{name}") == fields[f"x-ratelimit-{name}-{what}"]
    assert "T" in response.get("anthropic-ratelimit-tokens-reset") and response.get("anthropic-ratelimit-tokens-reset").endswith("Z")


def test_rate_limits_to_chat(stage):
    fields = {
        "anthropic-ratelimit-requests-limit": "60", "anthropic-ratelimit-requests-remaining": "59", "anthropic-ratelimit-requests-reset": "2099-01-01T00:00:00Z",
        "anthropic-ratelimit-tokens-limit": "150000", "anthropic-ratelimit-tokens-remaining": "149984", "request-id": "req_1",
    }
    response = stage.chat(reply=whole_with(GOOD, fields)).response
    assert response.get("x-ratelimit-limit-requests") == "60" and response.get("x-ratelimit-remaining-tokens") == "149984"
    assert response.get("x-ratelimit-reset-requests").endswith("s")
    assert response.get("x-request-id") == "req_1"


def whole_with(reply: bytes, fields: dict) -> bytes:
    head, _, body = reply.partition(b"\r\n\r\n")
    return head + b"".join(f"\r\n{k}: {v}".encode() for k, v in fields.items()) + b"\r\n\r\n" + body


# ── Ours ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_no_connection(stage):
    """The provider is not there: in the client's dialect, worth another try."""
    with Stage(BOX_OPENAI_URL="http://127.0.0.1:9/v1", CLAW_ANTHROPIC_URL="http://127.0.0.1:9", BOX_MAX_RETRIES="0", CLAW_MAX_RETRIES="0") as alone:
        got = alone.messages()
        held_to_messages(got, 502, "api_error")
        assert got.reason
        got = alone.chat()
        held_to_chat(got, 502, got.json["error"]["type"], got.json["error"]["code"])


INVALID = {
    "no messages": (MESSAGES, {"model": "m", "max_tokens": 5}),
    "messages a text": (MESSAGES, {"model": "m", "max_tokens": 5, "messages": "hi"}),
    "messages empty": (MESSAGES, {"model": "m", "max_tokens": 5, "messages": []}),
    "no max_tokens": (MESSAGES, {"model": "m", "messages": [user()]}),
    "an unknown role": (MESSAGES, to_chat(messages=[{"role": "wizard", "content": "x"}])),
    "content a number": (MESSAGES, to_chat(messages=[{"role": "user", "content": 7}])),
    "chat: no messages": (CHAT, {"model": "c"}),
    "chat: messages a text": (CHAT, {"model": "c", "messages": "hi"}),
    "chat: an unknown role": (CHAT, to_messages(messages=[{"role": "wizard", "content": "x"}])),
}


@pytest.mark.parametrize("rule", INVALID)
def test_a_request_that_cannot_be_read(stage, rule):
    path, body = INVALID[rule]
    got = stage.ask(path, body, WELL if path == MESSAGES else GOOD)
    assert got.response.status == 400 and got.arrived == [], got.response
    field = "max_tokens" if rule == "no max_tokens" else "messages"
    if path == MESSAGES:
        assert field in held_to_messages(got, 400, "invalid_request_error")
    else:
        assert field in got.json["error"]["message"] and got.json["error"]["type"] == "invalid_request_error"
    assert got.reason


# ── A parameter that the provider refuses ───────────────────────────────────────────────────────────────────────────

REFUSALS = {
    # what a provider says of `temperature`
    "OpenAI": openai("Unsupported parameter: 'temperature' is not supported with this model.", code="unsupported_parameter", param="temperature"),
    "OpenAI, value": openai("Unsupported value: 'temperature' does not support 0.2 with this model.", code="unsupported_value", param="temperature"),
    "argument": openai("Unrecognized request argument supplied: temperature"),
    "pydantic": '{"detail":[{"type":"extra_forbidden","loc":["body","temperature"],"msg":"Extra inputs are not permitted","input":0.2}]}',
    "extra": openai("Extra inputs are not permitted: temperature"),
    "Gemini": '[{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \\"temperature\\": Cannot find field.","status":"INVALID_ARGUMENT"}}]',
}


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("rule", REFUSALS)
def test_one_retry_without_a_parameter(stage, rule, status):
    refusal = whole(REFUSALS[rule], f"{status} X")
    got = stage.messages(replies=[refusal], reply=WELL, temperature=0.2)
    assert got.response.status == 200, got.response
    first, second = (json.loads(r.body) for r in got.arrived)
    assert first == {**second, "temperature": 0.2}
    assert "temperature" in got.dropped, got.response.headers


def test_one_retry_with_the_other_limit(stage):
    said = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    got = stage.messages(replies=[whole(openai(said, code="unsupported_parameter", param="max_tokens"), "400 X")], reply=WELL)
    assert got.response.status == 200, got.response
    second = json.loads(got.arrived[1].body)
    assert second["max_completion_tokens"] == 2000 and "max_tokens" not in second


def test_not_more_than_one_retry(stage):
    """The second refusal is the client's; what is essential is never left out; other 400s are not retried."""
    refuse = lambda name: whole(openai(f"Unsupported parameter: '{name}'", code="unsupported_parameter", param=name), "400 X")  # noqa: E731
    got = stage.messages(replies=[refuse("temperature"), refuse("top_p")], reply=WELL, temperature=0.2, top_p=0.5)
    assert (got.response.status, len(got.arrived)) == (400, 2), got.response
    for name in ("messages", "model", "tools"):
        got = stage.messages(replies=[refuse(name)], reply=WELL, tools=[tool("f")])
        assert (got.response.status, len(got.arrived)) == (400, 1), (name, got.response)
    got = stage.messages(replies=[refuse("not_there")], reply=WELL)
    assert (got.response.status, len(got.arrived)) == (400, 1)


def test_one_retry_in_a_stream_and_back(stage):
    got = stage.messages(replies=[whole(REFUSALS["OpenAI"], "400 X")], reply=FINE, temperature=0.2, stream=True)
    assert got.talk().blocks[0]["text"] == "fine" and len(got.arrived) == 2
    got = stage.chat(replies=[whole(anthropic("invalid_request_error", "top_p: Extra inputs are not permitted"), "400 X")], reply=KIND, top_p=0.5, stream=True)
    assert got.chat().text == "fine" and "top_p" not in json.loads(got.arrived[1].body)
