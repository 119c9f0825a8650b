"""Thoughts that no Anthropic model had, on their way to one: the only blocks that are taken out of a Messages request to a
Messages provider, and all else stays as it is, byte for byte."""

import json

import pytest

from support.translation import DONE, GOOD, KIND, MESSAGES, D, F, Stage, T, sse, tool

GENUINE = "EqQBCkYIBxgCKkBzaWduYXR1cmUtb2YtdGhlLXZlbmRvci13aGljaC1pcy1sb25nLWVub3VnaA=="


@pytest.fixture(scope="module")
def stage():
    with Stage() as stage:
        yield stage


def thought(signature: str, words: str = "th") -> str:
    return f'{{"type":"thinking", "thinking":"{words}","signature":"{signature}"}}'


def body(*turns: str, more: str = "") -> str:
    return f'{{ "model":"claude-sonnet-4-5","max_tokens":2000 ,"x":1.0e2,"messages":[{",".join(turns)}]{more}}}'


USER = '{"role":"user","content":"a \\u00e9"}'
NEXT = '{"role":"user","content":"b"}'
TEXT = '{"type":"text","text":"t"}'
USE = '{"type":"tool_use","id":"toolu_1","name":"f","input":{"n":1.0}}'
RESULT = '{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"r"}]}'


def said(*blocks: str) -> str:
    return '{"role":"assistant","content":[' + ",".join(blocks) + "]}"


# What must be gone is between « and ».
SPLICED = {
    "nothing": body(USER, said(thought(GENUINE), TEXT), NEXT),
    "no thoughts": body(USER, said(TEXT), NEXT),
    "redacted": body(USER, said('{"type":"redacted_thinking","data":"Em8="}', TEXT), NEXT),
    "empty": body(USER, said("«" + thought("") + ",»" + TEXT), NEXT),
    "ours": body(USER, said("«" + thought("px1.Ym94") + ",»" + TEXT), NEXT),
    "last": body(USER, said(TEXT + "«," + thought("px1.Ym94") + "»"), NEXT),
    "between": body(USER, said(TEXT, "«" + thought("") + ",»" + TEXT), NEXT),
    "two": body(USER, said("«" + thought("") + "," + thought("px1.") + ",»" + TEXT), NEXT),
    "one of two": body(USER, said(thought(GENUINE), "«" + thought("") + ",»" + TEXT), NEXT),
    "in two messages": body(USER, said("«" + thought("") + ",»" + TEXT), NEXT, said("«" + thought("") + ",»" + TEXT), NEXT),
    "before a call, thinking not asked for": body(USER, said("«" + thought("px1.Ym94") + ",»" + USE), RESULT),
    "text that looks like it": body('{"role":"user","content":"{\\"type\\":\\"thinking\\",\\"signature\\":\\"\\"}"}', said(TEXT), NEXT),
    "an input that looks like it": body(USER, said('{"type":"tool_use","id":"toolu_1","name":"f","input":{"type":"thinking","thinking":"x","signature":""}}'), RESULT),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("rule", SPLICED)
def test_spliced(stage, rule, stream):
    marked = SPLICED[rule] if not stream else SPLICED[rule][:-1] + ',"stream":true}'
    given = marked.replace("«", "").replace("»", "")
    wanted = "".join(part.rpartition("»")[2] for part in marked.split("«"))
    got = stage.ask(MESSAGES, given.encode(), KIND if stream else GOOD, [("x-sidestream-provider", "claw"), ("anthropic-version", "2023-06-01")])
    assert got.response.status == 200, got.response
    assert got.request.body.decode() == wanted
    assert json.loads(wanted)
    if "«" in marked:
        assert any("thinking" in path for path in got.dropped) or stream or got.dropped == set()


def test_a_message_of_nothing_else(stage):
    """What is left is still a conversation."""
    given = body(USER, said(thought("")), NEXT)
    sent = stage.ask(MESSAGES, given.encode(), GOOD, [("x-sidestream-provider", "claw")]).sent
    assert all(turn["content"] for turn in sent["messages"]) and "thinking" not in json.dumps(sent)
    assert sent["messages"][0]["content"] == "a é" and sent["messages"][-1]["content"] == "b"


@pytest.mark.parametrize("thinking", ['{"type":"enabled","budget_tokens":1024}', '{ "type" : "adaptive" }'])
def test_thinking_goes_off_where_the_last_calls_lost_their_thought(stage, thinking):
    given = body(USER, said(thought("px1.Ym94"), USE), RESULT, more=f',"thinking":{thinking}')
    sent = stage.ask(MESSAGES, given.encode(), GOOD, [("x-sidestream-provider", "claw")]).sent
    assert [b["type"] for b in sent["messages"][1]["content"]] == ["tool_use"]
    if "enabled" in thinking:
        assert sent.get("thinking", {"type": "disabled"})["type"] == "disabled"


def test_a_session_that_changes_its_provider(stage):
    """Chat, then Messages, then Chat: what one made, the other takes."""
    stream = D('"reasoning_content":"th"') + T(0, "functions.Bash:0", "f", '{"x":1}') + F("tool_calls") + DONE
    turns = [{"role": "user", "content": "a"}]
    talk = stage.messages(reply=sse(stream), stream=True, thinking={"type": "enabled", "budget_tokens": 1024}, messages=turns, tools=[tool("f")]).talk()
    blocks = []
    for block in talk.blocks:
        kept = {k: v for k, v in block.items() if not k.startswith("_")}
        blocks.append({**kept, "input": json.loads(block["_json"])} if block["type"] == "tool_use" else kept)
    assert [b["type"] for b in blocks] == ["thinking", "tool_use"]
    turns += [{"role": "assistant", "content": blocks}, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": blocks[1]["id"], "content": "r"}]}]
    given = {"model": "claude-sonnet-4-5", "max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024}, "messages": turns, "tools": [tool("f")]}
    sent = stage.ask(MESSAGES, given, GOOD, [("x-sidestream-provider", "claw")]).sent
    assert [b["type"] for b in sent["messages"][1]["content"]] == ["tool_use"]
    sent = stage.messages(reply=sse(stream), stream=True, thinking={"type": "enabled", "budget_tokens": 1024}, messages=turns, tools=[tool("f")]).sent
    call = sent["messages"][1]["tool_calls"][0]
    assert call["id"] == sent["messages"][2]["tool_call_id"] and json.loads(call["function"]["arguments"]) == {"x": 1}
