"""Whole answers of Messages providers to Chat clients, stop reasons and usage both ways, names and ids: what the tables of
habits do not cover."""

import gzip
import json
import re

import pytest

from support.translation import (
    DONE, GOOD, UPSTREAM, WELL, B, D, F, S, Stage, completion, ends, function, message, says, sse, thinks, to_messages,
)

GENUINE = "EqQBCkYIBxgCKkBzaWduYXR1cmUtb2YtdGhlLXZlbmRvci13aGljaC1pcy1sb25nLWVub3VnaA=="
USAGE = " usage(12,9,21,cached 4)"


@pytest.fixture(scope="module")
def stage():
    with Stage() as stage:
        yield stage


def block(type: str, **more) -> str:
    return json.dumps({"type": type, **more}, ensure_ascii=False)


THOUGHT = block("thinking", thinking="th", signature=GENUINE)
WORDS = block("text", text="Hi")
USE = '{"type":"tool_use","id":"toolu_1","name":"f","input":{"x":1}}'
BODIES = {
    "text": (message(WORDS), "content:'Hi' finish(stop)" + USAGE),
    "texts": (message(WORDS + "," + block("text", text="!")), "content:'Hi!' finish(stop)" + USAGE),
    "thinking": (message(THOUGHT + "," + WORDS), "reasoning:'th' content:'Hi' finish(stop)" + USAGE),
    "redacted thinking": (message(block("redacted_thinking", data="Em==") + "," + WORDS), "content:'Hi' finish(stop)" + USAGE),
    "a call": (message(USE, "tool_use"), "call0(toolu_1,f):'{\"x\":1}' finish(tool_calls)" + USAGE),
    "text and calls": (
        message(WORDS + "," + USE + "," + USE.replace("toolu_1", "toolu_2").replace('{"x":1}', "{}"), "tool_use"),
        "content:'Hi' call0(toolu_1,f):'{\"x\":1}' call1(toolu_2,f):'{}' finish(tool_calls)" + USAGE,
    ),
    "input as it stands": (
        message(USE.replace('{"x":1}', '{"b":1.0e2,"a":12345678901234567890123,"s":"\\u00e9\\/"}'), "tool_use"),
        "call0(toolu_1,f):" + repr('{"b":1.0e2,"a":12345678901234567890123,"s":"\\u00e9\\/"}') + " finish(tool_calls)" + USAGE,
    ),
    "nothing": (message(""), "content:'' finish(stop)" + USAGE),
    "a server's tool": (
        message(block("server_tool_use", id="srvtoolu_1", name="web_search", input={}) + "," + block("web_search_tool_result", tool_use_id="srvtoolu_1", content=[]) + "," + WORDS),
        "content:'Hi' finish(stop)" + USAGE,
    ),
    "an unknown block": (message(block("novelty", n=1) + "," + WORDS), "content:'Hi' finish(stop)" + USAGE),
    "an unknown member": (message(block("text", text="Hi", citations=None, novelty=1), more=',"novelty":{"a":1}'), "content:'Hi' finish(stop)" + USAGE),
}


@pytest.mark.parametrize("rule", BODIES)
def test_whole_answers_to_chat(stage, rule):
    reply, wanted = BODIES[rule]
    got = stage.chat(reply=reply, tools=[function("f")])
    chat = got.chat()
    assert chat.told() == wanted
    assert got.json["model"] == "c" and got.response.get("x-sidestream-model") == UPSTREAM["c"]
    assert chat.chunks[0]["choices"][0]["message"]["content"] is None or not chat.calls or chat.text


STOPS = {
    # Messages: Chat
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "refusal": "content_filter", "pause_turn": "stop", "model_context_window_exceeded": "length", "novelty": "stop",
}


@pytest.mark.parametrize("stop", STOPS)
def test_stop_reasons_to_chat(stage, stop):
    assert stage.chat(reply=message(WORDS, stop)).chat().finish == STOPS[stop]
    assert stage.chat(reply=sse(S() + says(0, "Hi") + ends(stop)), stream=True).chat().finish == STOPS[stop]


def test_a_null_stop_reason(stage):
    reply = message(WORDS).replace(b'"stop_reason":"end_turn"', b'"stop_reason":null').replace(b"Content-Length: ", b"X-Was: ").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    assert stage.chat(reply=reply).chat().finish == "stop"


def test_a_refusal_is_told(stage):
    details = ',"stop_details":{"type":"refusal","category":"cyber","explanation":"because"}'
    chat = stage.chat(reply=message("", "refusal", more=details)).chat()
    assert chat.finish == "content_filter" and "because" in json.dumps(chat.chunks[0])
    chat = stage.chat(reply=sse(S() + says(0, "I cannot") + ends("refusal")), stream=True).chat()
    assert chat.finish == "content_filter" and "I cannot" in json.dumps(chat.chunks)


USAGES = {
    # usage of Messages: usage of Chat
    "plain": ('"input_tokens":3,"output_tokens":9', {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}),
    "cached": (
        '"input_tokens":3,"cache_read_input_tokens":100,"cache_creation_input_tokens":20,"output_tokens":9',
        {"prompt_tokens": 123, "completion_tokens": 9, "total_tokens": 132, "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 20}},
    ),
    "null": ('"input_tokens":3,"cache_read_input_tokens":null,"cache_creation_input_tokens":null,"output_tokens":9', {"prompt_tokens": 3, "total_tokens": 12}),
    "thinking": ('"input_tokens":3,"output_tokens":9,"output_tokens_details":{"thinking_tokens":7}', {"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 7}}),
}


@pytest.mark.parametrize("rule", USAGES)
def test_usage_to_chat(stage, rule):
    given, wanted = USAGES[rule]
    whole = stage.chat(reply=message(WORDS, usage=given)).chat().usage
    body = to_messages(stream=True, stream_options={"include_usage": True})
    streamed = stage.chat(body, sse(S(given) + says(0, "Hi") + ends(usage=given))).chat().usage
    for usage in (whole, streamed):
        for name, value in wanted.items():
            if isinstance(value, dict):
                assert value.items() <= usage[name].items(), usage
            else:
                assert usage[name] == value, usage


def test_usage_to_messages(stage):
    numbers = '"usage":{"prompt_tokens":20,"completion_tokens":9,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":6},"completion_tokens_details":{"reasoning_tokens":7}}'
    for talk in (stage.messages(reply=completion('"content":"a"', more="," + numbers)).talk(), stage.messages(reply=sse(D('"content":"a"') + F("stop", "," + numbers) + DONE), stream=True).talk()):
        wanted = {"input_tokens": 10, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 6, "output_tokens": 9}
        assert wanted.items() <= talk.usage.items(), talk.usage
        assert (talk.usage.get("output_tokens_details") or {"thinking_tokens": 7})["thinking_tokens"] == 7


def test_each_answer_has_an_id_of_its_own(stage):
    ids = {stage.messages(reply=WELL).json["id"] for _ in range(3)} | {stage.chat(reply=GOOD).json["id"] for _ in range(3)}
    assert len(ids) == 6 and not ids & {"chatcmpl-up", "msg_up"}


def test_the_model_is_the_clients(stage):
    """An application shows and keys on the name that it sent; the other one is in a header."""
    for name in ("m", "c", "c-opus"):
        got = stage.messages(reply=WELL, model=name) if name == "m" else stage.chat(reply=GOOD, model=name)
        assert got.json["model"] == name and got.sent["model"] == UPSTREAM[name] == got.response.get("x-sidestream-model")


def test_call_ids_of_chat_fit(stage):
    """Long ids of a Messages provider: what a Chat client sends back leads to the same id again."""
    long = "toolu_" + "z" * 80
    first = stage.chat(reply=message(USE.replace("toolu_1", long), "tool_use"), tools=[function("f")]).chat().calls[0]["id"]
    streamed = stage.chat(reply=sse(S() + B(0, USE.replace("toolu_1", long)) + ends("tool_use")), tools=[function("f")], stream=True).chat().calls[0]["id"]
    assert first == streamed and len(first) <= 80 + 6


def test_thoughts_come_back_with_their_proof(stage):
    """A Chat client that plays `reasoning_details` back gives a Messages provider its own words, with the signature."""
    streamed = stage.chat(reply=sse(S() + thinks(0, "t", "h", signature=GENUINE) + says(1, "Hi") + ends()), stream=True).chat()
    whole = stage.chat(reply=message(THOUGHT + "," + WORDS)).chat()
    for chat in (streamed, whole):
        assert chat.reasoning == "th"
        signed = [d for d in chat.details if d.get("signature")]
        assert signed and signed[0]["signature"] == GENUINE and signed[0]["format"] == "anthropic-claude-v1", chat.details
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "reasoning_details": whole.details, "tool_calls": [{"id": "i1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "i1", "content": "r"},
    ]
    sent = stage.chat(reply=GOOD, messages=turns, tools=[function("f")], reasoning_effort="high").sent
    assert sent["messages"][1]["content"][0] == json.loads(THOUGHT)
    assert sent["thinking"]["type"] != "disabled"


def test_thoughts_of_other_vendors_carry_a_mark(stage):
    """A signature there must be; it says that no vendor made it."""
    for got in (
        stage.messages(reply=completion('"content":"Hi","reasoning_content":"th"'), thinking={"type": "adaptive"}).talk(),
        stage.messages(reply=sse(D('"reasoning_content":"th"') + D('"content":"Hi"') + F("stop") + DONE), thinking={"type": "adaptive"}, stream=True).talk(),
    ):
        assert re.fullmatch(r"px1\.[A-Za-z0-9_-]*", got.blocks[0]["signature"]), got.blocks


def test_a_small_answer_for_no_tokens(stage):
    """`max_tokens` 0 warms a cache that a Chat provider does not have: nobody is asked, or for as little as can be."""
    got = stage.messages(reply=WELL, max_tokens=0)
    assert got.talk().usage["input_tokens"] > 0
    assert got.arrived == [] or got.sent["max_tokens"] == 1 and "max_tokens~" in got.dropped


def test_compressed_answers(stage):
    """Identity is asked for; what comes compressed all the same is read, or said to be unreadable."""
    got = stage.messages(reply=WELL, headers=[("Accept-Encoding", "gzip, br")])
    assert got.request.get("accept-encoding") in ("identity", None)
    body = gzip.compress(WELL.partition(b"\r\n\r\n")[2])
    got = stage.messages(reply=b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert got.response.status == 502 and got.json["error"]["type"] == "api_error" or got.talk().blocks[0]["text"] == "fine"


def test_tools_are_named_as_the_client_named_them(stage):
    odd = "a.b/c"
    got = stage.chat(reply=GOOD, tools=[function(odd)])
    (sent,) = got.sent["tools"]
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", sent["name"])
    chat = stage.chat(reply=message(USE.replace('"f"', json.dumps(sent["name"])), "tool_use"), tools=[function(odd)]).chat()
    assert chat.calls[0]["name"] == odd
