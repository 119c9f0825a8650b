"""What compatible Chat servers really send: every row of the list of their habits, as literal bytes, once in one write and
once a few bytes at a time, to a Messages client. Both as streams and as whole answers where the habit has both forms."""

import json

import pytest

from support.dialects import messages_stream
from support.process import DRIVERS
from support.translation import (
    DONE, NUMBERS, C, D, F, Stage, T, completion, drip, sse, tool, whole,
)

THINKING = {"type": "enabled", "budget_tokens": 1024}
TOOLS = [tool("f"), tool("g")]


@pytest.fixture(scope="module", params=[d for d in DRIVERS if d != "denied"])
def stage(request):
    with Stage(request.param) as stage:
        yield stage


def text(words: str, stop: str = "end_turn", usage: str = "") -> str:
    return f"start0:text text0:{words!r} stop0 md({stop}{usage})"


def one(id: str, arguments: str, name: str = "f", *, stop: str = "tool_use") -> str:
    return f"start0:tool_use({id},{name}) json0:{arguments!r} stop0 md({stop})"


CALLS = F("tool_calls") + DONE
STOP = F("stop") + DONE
X = '{"x":1}'
TH = "start0:thinking thinking0:'th' signature0 stop0 start1:text text1:'Hi' stop1 md(end_turn)"
TWO = "start0:tool_use(a,f) json0:'{\"x\":1}' stop0 start1:tool_use(b,g) json1:'{\"y\":2}' stop1 md(tool_use)"
LONG_ID = "call_" + "x" * 300
ESCAPED = json.dumps(X)


def entry(index: str, id: str, name: str, arguments: str) -> str:
    """A piece of a call, literally."""
    return D(f'"tool_calls":[{{{index}{id}"type":"function","function":{{"name":{name},"arguments":{arguments}}}}}]')


# name: (literal stream, what a Messages client must see)
STREAMS = {
    # Reasoning
    "reasoning_content": (D('"content":null,"reasoning_content":"th"') + D('"content":"Hi"') + STOP, TH),
    "reasoning": (D('"reasoning":"th"') + D('"content":"Hi"') + STOP, TH),
    "reasoning beside an empty content": (D('"content":"","reasoning":"th"') + D('"content":"Hi","reasoning":""') + STOP, TH),
    "both, the same": (D('"reasoning_content":"th","reasoning":"th"') + D('"content":"Hi"') + STOP, TH),
    "both, one null": (D('"reasoning_content":null,"reasoning":"th"') + D('"content":"Hi"') + STOP, TH),
    "both, one empty": (D('"reasoning_content":"","reasoning":"th"') + D('"content":"Hi"') + STOP, TH),
    "reasoning_details text": (D('"reasoning_details":[{"type":"reasoning.text","text":"th","index":0,"format":"unknown"}]') + D('"content":"Hi"') + STOP, TH),
    "reasoning_details summary": (D('"reasoning_details":[{"type":"reasoning.summary","summary":"th","index":0}]') + D('"content":"Hi"') + STOP, TH),
    "reasoning and reasoning_details": (
        D('"content":"","reasoning":"th","reasoning_details":[{"type":"reasoning.text","text":"th","format":"unknown","index":0}]') + D('"content":"Hi"') + STOP, TH,
    ),
    "reasoning_details encrypted only": (
        D('"reasoning_details":[{"type":"reasoning.encrypted","data":"gAAA","index":0}]') + D('"content":"Hi"') + STOP, text("Hi"),
    ),
    "reasoning_details empty": (D('"content":"Hi","reasoning_details":[]') + STOP, text("Hi")),
    "reasoning in the chunk of the first text": (D('"reasoning_content":"th","content":"Hi"') + STOP, TH),
    "reasoning after text": (
        D('"content":"Hi"') + D('"reasoning_content":"th"') + D('"content":"!"') + STOP,
        "start0:text text0:'Hi' stop0 start1:thinking thinking1:'th' signature1 stop1 start2:text text2:'!' stop2 md(end_turn)",
    ),
    "reasoning only": (D('"reasoning_content":"th"') + STOP, "start0:thinking thinking0:'th' signature0 stop0 md(end_turn)"),
    "null siblings": (
        D('"role":"assistant","content":null,"reasoning_content":"th","tool_calls":null,"function_call":null,"refusal":null') + D('"content":"Hi","reasoning_content":null') + STOP, TH,
    ),
    "empty content beside a call": (D('"content":"","tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\\"x\\":1}"}}]') + CALLS, one("a", X)),
    "content in parts": (D('"content":[{"type":"text","text":"Hi"}]') + STOP, text("Hi")),
    "Mistral's thinking": (
        D('"content":[{"type":"thinking","thinking":[{"type":"text","text":"th"}]}]') + D('"content":[{"type":"text","text":"Hi"}]') + STOP, TH,
    ),
    "Mistral's thinking and text in one": (D('"content":[{"type":"thinking","thinking":[{"type":"text","text":"th"}]},{"type":"text","text":"Hi"}]') + STOP, TH),
    "think tags are text where nobody said otherwise": (D('"content":"<think>a</think>b"') + STOP, text("<think>a</think>b")),
    "a call leaked into the text stays text": (D('"content":"<tool_call>{}</tool_call>"') + STOP, text("<tool_call>{}</tool_call>")),
    # Indexes
    "indexes all 0": (T(0, "a", "f", X) + T(0, "b", "g", '{"y":2}') + CALLS, TWO),
    "indexes all 0, in pieces": (
        T(0, "a", "f", "") + T(0, None, None, X) + T(0, "b", "g", "") + T(0, None, None, '{"y":2}') + CALLS, TWO,
    ),
    "indexes all 0, in one chunk": (
        D('"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\\"x\\":1}"}},'
          '{"index":0,"id":"b","type":"function","function":{"name":"g","arguments":"{\\"y\\":2}"}}]') + CALLS, TWO,
    ),
    "no indexes": (T(None, "a", "f", X) + T(None, "b", "g", '{"y":2}') + CALLS, TWO),
    "no index, in pieces": (T(None, "a", "f", '{"x"') + T(None, "a", None, ":1}") + CALLS, "start0:tool_use(a,f) json0:'{\"x\"' json0:':1}' stop0 md(tool_use)"),
    "index -1": (T(-1, "a", "f", X) + T(-1, "b", "g", '{"y":2}') + CALLS, TWO),
    "index null": (D('"tool_calls":[{"index":null,"id":"a","type":"function","function":{"name":"f","arguments":"{\\"x\\":1}"}}]') + CALLS, one("a", X)),
    "indexes from 1": (T(1, "a", "f", X) + T(2, "b", "g", '{"y":2}') + CALLS, TWO),
    "indexes with a gap": (T(0, "a", "f", X) + T(7, "b", "g", '{"y":2}') + CALLS, TWO),
    "interleaved in one chunk": (
        D('"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}},{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":""}}]')
        + D('"tool_calls":[{"index":0,"function":{"arguments":"{\\"x\\":1}"}},{"index":1,"function":{"arguments":"{\\"y\\":2}"}}]') + CALLS,
        TWO,
    ),
    # Ids
    "no id": (entry('"index":0,', "", '"f"', '"{\\"x\\":1}"') + CALLS, one("toolu_*", X)),
    "an empty id": (entry('"index":0,', '"id":"",', '"f"', '"{\\"x\\":1}"') + CALLS, one("toolu_*", X)),
    "a null id": (entry('"index":0,', '"id":null,', '"f"', '"{\\"x\\":1}"') + CALLS, one("toolu_*", X)),
    "an id on each piece": (T(0, "a", "f", '{"x"') + T(0, "a", "f", ":1}") + CALLS, "start0:tool_use(a,f) json0:'{\"x\"' json0:':1}' stop0 md(tool_use)"),
    "an id that Messages does not allow": (T(0, "functions.Bash:0", "f", X) + CALLS, one("functions_Bash_0_a97d1507", X)),
    "the same id for two calls": (T(0, "a", "f", X) + T(1, "a", "g", '{"y":2}') + CALLS, None),
    "a very long id": (T(0, LONG_ID, "f", X) + CALLS, None),
    # Names
    "a name that comes late": (T(0, "a", "", "") + T(0, None, "f", "") + T(0, None, None, X) + CALLS, one("a", X)),
    "a null name first": (T(0, "a", None, "") + T(0, None, "f", X) + CALLS, one("a", X)),
    "a name again and again": (T(0, "a", "f", '{"x"') + T(0, None, "f", ":1}") + CALLS, "start0:tool_use(a,f) json0:'{\"x\"' json0:':1}' stop0 md(tool_use)"),
    "an empty name later": (T(0, "a", "f", '{"x"') + T(0, None, "", ":1}") + CALLS, "start0:tool_use(a,f) json0:'{\"x\"' json0:':1}' stop0 md(tool_use)"),
    # Arguments
    "arguments as an object": (entry('"index":0,', '"id":"a",', '"f"', '{"x": 1}') + CALLS, ("f", {"x": 1})),
    "arguments empty": (T(0, "a", "f", "") + CALLS, ("f", {})),
    "arguments null": (T(0, "a", "f", None) + CALLS, ("f", {})),
    "no arguments member": (D('"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f"}}]') + CALLS, ("f", {})),
    "all in one chunk with the finish": (
        C('[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\\"x\\":1}"}}]},"finish_reason":"tool_calls"}]') + DONE,
        one("a", X),
    ),
    "a closing brace missing": (T(0, "a", "f", '{"x":1') + CALLS, ("f", {"x": 1})),
    "no type": (D('"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\\"x\\":1}"}}]') + CALLS, one("a", X)),
    "a call between two texts": (
        D('"content":"A"') + T(0, "a", "f", X) + D('"content":"B"') + CALLS,
        "start0:text text0:'A' stop0 start1:tool_use(a,f) json1:'{\"x\":1}' stop1 start2:text text2:'B' stop2 md(tool_use)",
    ),
    "an empty entry": (D('"tool_calls":[{}]') + D('"content":"Hi"') + STOP, text("Hi")),
    "function_call": (
        D('"function_call":{"name":"f","arguments":""}') + D('"function_call":{"arguments":"{\\"x\\":1}"}') + F("function_call") + DONE, one("toolu_*", X),
    ),
    # Finish reasons
    **{f"finish {reason}": (D('"content":"a"') + F(reason) + DONE, text("a")) for reason in ("stop", "eos", "eos_token", "end_turn", "", "tool_calls", "function_call", "novelty")},
    **{f"finish {reason}": (D('"content":"a"') + F(reason) + DONE, text("a", "max_tokens")) for reason in ("length", "max_tokens", "model_length")},
    **{f"finish {reason}": (D('"content":"a"') + F(reason) + DONE, text("a", "refusal")) for reason in ("content_filter", "sensitive")},
    **{
        f"finish {reason}": (D('"content":"a"') + F(reason) + DONE, "start0:text text0:'a' error(api_error)")
        for reason in ("error", "network_error", "abort")
    },
    "finish insufficient_system_resource": (D('"content":"a"') + F("insufficient_system_resource") + DONE, "start0:text text0:'a' error(overloaded_error)"),
    "finish null": (D('"content":"a"') + C('[{"index":0,"delta":{},"finish_reason":null}]') + DONE, text("a")),
    "finish missing": (D('"content":"a"') + C('[{"index":0,"delta":{}}]') + DONE, text("a")),
    "stop with a call": (T(0, "a", "f", X) + STOP, one("a", X)),
    "finish twice": (D('"content":"a"') + F("stop") + F("stop") + DONE, text("a")),
    "finish before the last content": (D('"content":"a"') + F("stop") + D('"content":"b"') + DONE, "start0:text text0:'a' text0:'b' stop0 md(end_turn)"),
    "stop, then tool_calls": (T(0, "a", "f", X) + F("stop") + F("tool_calls") + DONE, one("a", X)),
    "a matched stop string": (
        D('"content":"a"') + C('[{"index":0,"delta":{},"finish_reason":"stop","stop_reason":"END"}]') + DONE, text("a", "stop_sequence"),
    ),
    "native_finish_reason beside": (D('"content":"a"') + C('[{"index":0,"delta":{},"finish_reason":"stop","native_finish_reason":"STOP"}]') + DONE, text("a")),
    "a second choice": (D('"content":"a"') + C('[{"index":1,"delta":{"content":"no"},"finish_reason":null}]') + STOP, text("a")),
    # Usage
    "usage in each chunk": (
        D('"content":"a"', ',"usage":{"prompt_tokens":12,"completion_tokens":1,"total_tokens":13}') + D('"content":"b"', "," + NUMBERS) + F("stop", "," + NUMBERS) + DONE,
        "start0:text text0:'a' text0:'b' stop0 md(end_turn,8+4/5)",
    ),
    "usage in the finish chunk": (D('"content":"a"') + F("stop", "," + NUMBERS) + DONE, text("a", usage=",8+4/5")),
    "usage null everywhere": (D('"content":"a"', ',"usage":null') + F("stop", ',"usage":null') + C("[]", "," + NUMBERS) + DONE, text("a", usage=",8+4/5")),
    "usage without choices": (D('"content":"a"') + F("stop") + f"data: {{{NUMBERS}}}\n\n" + DONE, text("a", usage=",8+4/5")),
    "usage with choices null": (D('"content":"a"') + F("stop") + C("null", "," + NUMBERS) + DONE, text("a", usage=",8+4/5")),
    "usage of Groq": (
        D('"content":"a"') + F("stop", ',"x_groq":{"id":"req_1","usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17}}') + DONE, text("a", usage=",12+0/5"),
    ),
    "usage never": (D('"content":"a"') + STOP, text("a")),
    "cached tokens of DeepSeek": (
        D('"content":"a"') + F("stop", ',"usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":8}') + DONE,
        text("a", usage=",8+4/5"),
    ),
    "cached tokens of Moonshot": (
        D('"content":"a"') + F("stop", ',"usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,"cached_tokens":4}') + DONE, text("a", usage=",8+4/5"),
    ),
    "details null": (
        D('"content":"a"') + F("stop", ',"usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,"prompt_tokens_details":null,"completion_tokens_details":null}') + DONE,
        text("a", usage=",12+0/5"),
    ),
    "reasoning not in completion_tokens": (
        D('"content":"a"') + F("stop", ',"usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":20,"completion_tokens_details":{"reasoning_tokens":3}}') + DONE,
        text("a", usage=",12+0/8"),
    ),
    # Between and around
    "keep-alive comments": (": OPENROUTER PROCESSING\n\n" + D('"content":"a"') + ": keep-alive\n\n:\n\n\n\n" + STOP, text("a")),
    "empty data": ("data: \n\ndata:\n\n" + D('"content":"a"') + "data: \n\n" + STOP, text("a")),
    "Azure's first chunk": ('data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}\n\n' + D('"content":"a"') + STOP, text("a")),
    "[DONE] without a space": (D('"content":"a"') + F("stop") + "data:[DONE]\n\n", text("a")),
    "no [DONE]": (D('"content":"a"') + F("stop"), text("a")),
    "more after [DONE]": (D('"content":"a"') + STOP + D('"content":"b"') + DONE, text("a")),
    "[DONE] twice": (D('"content":"a"') + STOP + DONE, text("a")),
    "CRLF": ((D('"content":"a"') + STOP).replace("\n", "\r\n"), text("a")),
    "CR": ((D('"content":"a"') + STOP).replace("\n", "\r"), text("a")),
    "a byte order mark": ("\ufeff" + D('"content":"a"') + STOP, text("a")),
    "several data lines": (D('"content":"a"').replace(',"choices"', ',\ndata: "choices"') + STOP, text("a")),
    "an event name and an id": ("id: 1\nevent: message\n" + D('"content":"a"') + "retry: 10\n\n" + STOP, text("a")),
    "characters of several bytes": (D('"content":"漢字🙂é"') + STOP, text("漢字🙂é")),
    "escapes": (D('"content":"\\u6f22\\ud83d\\ude42\\n\\"\\\\"') + STOP, text('漢🙂\n"\\')),
    "white space in the JSON": (D('"content" : "a" ').replace(":[", " : [ ") + STOP, text("a")),
    "obfuscation and logprobs": (
        C('[{"index":0,"delta":{"content":"a"},"logprobs":null,"finish_reason":null}]', ',"system_fingerprint":"fp","service_tier":"default","obfuscation":"xyzab"') + STOP, text("a"),
    ),
    "llama.cpp's timings": (D('"content":"a"', ',"timings":{"prompt_n":1,"predicted_ms":1.5}') + STOP, text("a")),
    "the role in each chunk": (D('"role":"assistant","content":"a"') + D('"role":"assistant","content":"b"') + STOP, "start0:text text0:'a' text0:'b' stop0 md(end_turn)"),
    "no role": (D('"content":"a"') + STOP, text("a")),
    "a ping of another dialect": (D('"content":"a"') + 'event: ping\ndata: {"type":"ping"}\n\n' + STOP, text("a")),
    # Errors inside
    "error object": (D('"content":"a"') + 'data: {"error":{"message":"boom","type":"server_error","code":null}}\n\n', "start0:text text0:'a' error(api_error)"),
    "error with an event name": (D('"content":"a"') + 'event: error\ndata: {"error":{"message":"boom","type":"server_error"}}\n\n', "start0:text text0:'a' error(api_error)"),
    "error of vLLM": (D('"content":"a"') + 'data: {"error":{"message":"boom","type":"BadRequestError","param":null,"code":400}}\n\n' + DONE, "start0:text text0:'a' error(invalid_request_error)"),
    "error of old vLLM": (D('"content":"a"') + 'data: {"object":"error","message":"boom","type":"BadRequestError","param":null,"code":400}\n\n', "start0:text text0:'a' error(invalid_request_error)"),
    "error of OpenRouter": (
        D('"content":"a"') + C('[{"index":0,"delta":{"content":""},"finish_reason":"error"}]', ',"error":{"code":502,"message":"Provider disconnected"}') + DONE,
        "start0:text text0:'a' error(api_error)",
    ),
    "error as a text": (D('"content":"a"') + 'data: {"error":"boom"}\n\n', "start0:text text0:'a' error(api_error)"),
    "overloaded": (D('"content":"a"') + 'data: {"error":{"message":"busy","type":"server_error","code":"server_is_overloaded"}}\n\n', "start0:text text0:'a' error(overloaded_error)"),
    "plain text": (D('"content":"a"') + "data: upstream exploded\n\n", "start0:text text0:'a' error(api_error)"),
    "error null is no error": (D('"content":"a"', ',"error":null') + STOP, text("a")),
    # Refusal
    "refusal": (D('"content":null,"refusal":"I can"') + D('"refusal":"not"') + STOP, "start0:text text0:'I can' text0:'not' stop0 md(refusal)"),
}


@pytest.mark.parametrize("way", ["one write", "drip"])
@pytest.mark.parametrize("name", STREAMS)
def test_stream(stage, name, way):
    stream, wanted = STREAMS[name]
    reply = (sse if way == "one write" else drip)(stream)
    if "error(" in str(wanted):
        first = stream.index("\n\n") + 2
        reply = stage.steps(stream[:first], stream[first:], None if way == "one write" else 3)
    got = stage.messages(reply=reply, stream=True, thinking=THINKING, tools=TOOLS)
    assert got.response.status == 200, got.response
    talk = messages_stream(got.response.body)
    if isinstance(wanted, str):
        assert talk.told(usage="," in wanted.rpartition("md(")[2]) == wanted
    elif wanted:
        name, arguments = wanted
        (block,) = talk.blocks
        assert (block["name"], json.loads(block.get("_json") or "{}"), talk.stop) == (name, arguments, "tool_use")
    else:
        ids = [block["id"] for block in talk.blocks]
        assert len(set(ids)) == len(ids) and all(len(i) < 1000 for i in ids) and talk.stop == "tool_use"


def plain(message: str, finish: str = "stop", more: str = "," + NUMBERS, choice: str = "") -> bytes:
    return completion(message, finish, more, choice)


def call(id: str = '"id":"a",', name: str = '"f"', arguments: str = ESCAPED) -> str:
    return f'"content":null,"tool_calls":[{{{id}"type":"function","function":{{"name":{name},"arguments":{arguments}}}}}]'


CALLED = 'tool_use0(a,f):{"x": 1} md(tool_use)'
BODIES = {
    "text": (plain('"content":"Hi"'), "text0:'Hi' md(end_turn,8+4/5)"),
    "reasoning_content": (plain('"reasoning_content":"th","content":"Hi"'), "thinking0:'th' text1:'Hi' md(end_turn)"),
    "reasoning": (plain('"reasoning":"th","content":"Hi"'), "thinking0:'th' text1:'Hi' md(end_turn)"),
    "both": (plain('"reasoning":"th","reasoning_content":"th","content":"Hi"'), "thinking0:'th' text1:'Hi' md(end_turn)"),
    "content before reasoning": (plain('"content":"Hi","reasoning_content":"th"'), "thinking0:'th' text1:'Hi' md(end_turn)"),
    "reasoning_details": (
        plain('"content":"Hi","reasoning":null,"reasoning_details":[{"type":"reasoning.text","text":"t"},{"type":"reasoning.text","text":"h"},{"type":"reasoning.encrypted","data":"x"}]'), "thinking0:'th' text1:'Hi' md(end_turn)",
    ),
    "null and empty siblings": (plain('"content":"Hi","reasoning_content":"","refusal":null,"tool_calls":null,"function_call":null,"annotations":[],"audio":null'), "text0:'Hi' md(end_turn)"),
    "tool_calls empty": (plain('"content":"Hi","tool_calls":[]', "tool_calls"), "text0:'Hi' md(end_turn)"),
    "parts": (plain('"content":[{"type":"text","text":"Hi"},{"type":"text","text":"!"}]'), "text0:'Hi!' md(end_turn)"),
    "Mistral": (plain('"content":[{"type":"thinking","thinking":[{"type":"text","text":"th"}]},{"type":"text","text":"Hi"}]'), "thinking0:'th' text1:'Hi' md(end_turn)"),
    "empty text": (plain('"content":""'), "text0:'' md(end_turn)"),
    "null text": (plain('"content":null'), "text0:'' md(end_turn)"),
    "a call": (plain(call(), "tool_calls"), CALLED),
    "a call, stop": (plain(call(), "stop"), CALLED),
    "a call, length": (plain(call(), "length"), 'tool_use0(a,f):{"x": 1} md(max_tokens)'),
    "text and calls in order": (
        plain('"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"b","type":"function","function":{"name":"g","arguments":"{\\"y\\":2}"}}],"content":"Hi"', "tool_calls"),
        "text0:'Hi' tool_use1(a,f):{} tool_use2(b,g):{\"y\": 2} md(tool_use)",
    ),
    "arguments empty": (plain(call(arguments='""')), "tool_use0(a,f):{} md(tool_use)"),
    "arguments null": (plain(call(arguments="null")), "tool_use0(a,f):{} md(tool_use)"),
    "arguments the text null": (plain(call(arguments='"null"')), None),
    "arguments an object": (plain(call(arguments='{"x":1}')), CALLED),
    "arguments in JSON twice": (plain(call(arguments=json.dumps(ESCAPED))), CALLED),
    "arguments with a trailing comma": (plain(call(arguments='"{\\"x\\":1,}"')), CALLED),
    "arguments with a raw line end": (plain(call(arguments='"{\\"x\\":\\"a\\nb\\"}"')), 'tool_use0(a,f):{"x": "a\\nb"} md(tool_use)'),
    "arguments unclosed": (plain(call(arguments='"{\\"x\\":1"')), CALLED),
    "arguments no JSON": (plain(call(arguments='"rm -rf"')), 'tool_use0(a,f):{"_raw_arguments": "rm -rf"} md(tool_use)'),
    "arguments a list": (plain(call(arguments='"[1]"')), 'tool_use0(a,f):{"value": [1]} md(tool_use)'),
    "arguments with a large number": (plain(call(arguments='"{\\"x\\":12345678901234567890123}"')), 'tool_use0(a,f):{"x": 12345678901234567890123} md(tool_use)'),
    "no id": (plain(call(id="")), 'tool_use0(toolu_*,f):{"x": 1} md(tool_use)'),
    "an id that Messages does not allow": (plain(call(id='"id":"functions.Bash:0",')), 'tool_use0(functions_Bash_0_a97d1507,f):{"x": 1} md(tool_use)'),
    "function_call": (plain('"content":null,"function_call":{"name":"f","arguments":"{\\"x\\":1}"}', "function_call"), 'tool_use0(toolu_*,f):{"x": 1} md(tool_use)'),
    "refusal": (plain('"content":null,"refusal":"I cannot"'), "text0:'I cannot' md(refusal)"),
    "content_filter": (plain('"content":"Hi"', "content_filter"), "text0:'Hi' md(refusal)"),
    "length": (plain('"content":"Hi"', "length"), "text0:'Hi' md(max_tokens)"),
    "no usage": (plain('"content":"Hi"', more=""), "text0:'Hi' md(end_turn)"),
    "usage null": (plain('"content":"Hi"', more=',"usage":null'), "text0:'Hi' md(end_turn)"),
    "usage with writes": (
        plain('"content":"Hi"', more=',"usage":{"prompt_tokens":20,"completion_tokens":5,"total_tokens":25,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":6}}'),
        "text0:'Hi' md(end_turn,10+4/5)",
    ),
    "more cached than read": (
        plain('"content":"Hi"', more=',"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8,"prompt_tokens_details":{"cached_tokens":4}}'),
        "text0:'Hi' md(end_turn,0+4/5)",
    ),
    "a matched stop string": (plain('"content":"Hi"', choice=',"stop_reason":"END"'), "text0:'Hi' md(stop_sequence)"),
    "a stop token": (plain('"content":"Hi"', choice=',"stop_reason":128009'), "text0:'Hi' md(end_turn)"),
    "two choices": (
        whole('{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"},{"index":1,"message":{"role":"assistant","content":"no"},"finish_reason":"stop"}]}'),
        "text0:'Hi' md(end_turn)",
    ),
    "only what is needed": (whole('{"choices":[{"message":{"content":"Hi"}}]}'), "text0:'Hi' md(end_turn)"),
}


@pytest.mark.parametrize("name", BODIES)
def test_body(stage, name):
    reply, wanted = BODIES[name]
    head, _, body = reply.partition(b"\r\n\r\n")
    for pieces in (reply, [head + b"\r\n\r\n", *(body[at : at + 5] for at in range(0, len(body), 5))]):
        talk = stage.messages(reply=pieces, thinking=THINKING, tools=TOOLS).talk()
        if wanted:
            assert talk.told(usage="," in wanted.rpartition("md(")[2]) == wanted
        else:
            assert talk.blocks[0]["name"] == "f"
        assert talk.message["model"] == "m"
        if "stop string" in name:
            assert talk.message["stop_sequence"] == "END"


# HTTP 200 with something that is no answer: (body, status, type)
NO_ANSWER = {
    "error object": ('{"error":{"message":"boom","code":429}}', 429, "rate_limit_error"),
    "error object, 502": ('{"error":{"message":"boom","code":502}}', 502, "api_error"),
    "error object, typed": ('{"error":{"message":"boom","type":"invalid_request_error","code":null}}', 400, "invalid_request_error"),
    "error text": ('{"error":"boom"}', 502, "api_error"),
    "choices null": ('{"id":"x","choices":null}', 502, "api_error"),
    "choices empty": ('{"id":"x","choices":[]}', 502, "api_error"),
    "no choices": ("{}", 502, "api_error"),
    "an error in the choice": ('{"choices":[{"message":{"content":""},"finish_reason":"error","error":{"code":502,"message":"boom"}}]}', 502, "api_error"),
    "no JSON": ("boom", 502, "api_error"),
    "half of one": ('{"choices":[{"mess', 502, "api_error"),
    "a list": ("[]", 502, "api_error"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", NO_ANSWER)
def test_200_without_an_answer(stage, name, stream):
    body, status, kind = NO_ANSWER[name]
    got = stage.messages(reply=whole(body), stream=stream)
    assert (got.response.status, got.json["type"], got.json["error"]["type"]) == (status, "error", kind), got.response
    assert got.json["error"]["message"] and ("boom" in got.json["error"]["message"] or "boom" not in body)


def test_thoughts_nobody_asked_for_are_left_out(stage):
    """Without `thinking`, or with it disabled, a client expects text first."""
    stream = D('"reasoning_content":"th"') + D('"content":"Hi"') + STOP
    for thinking in (..., {"type": "disabled"}):
        assert stage.messages(reply=sse(stream), stream=True, thinking=thinking).talk().told() == text("Hi")
        assert stage.messages(reply=plain('"reasoning_content":"th","content":"Hi"'), thinking=thinking).talk().told() == "text0:'Hi' md(end_turn)"
    for thinking in ({"type": "adaptive"}, THINKING):
        assert stage.messages(reply=sse(stream), stream=True, thinking=thinking).talk().told() == TH


def test_usage_is_estimated_where_it_is_never_told(stage):
    words = "word " * 400
    talk = stage.messages(reply=sse(D(f'"content":"{words}"') + STOP), stream=True, messages=[{"role": "user", "content": "x" * 4000}]).talk()
    assert 500 < talk.message["usage"]["input_tokens"] < 4000 and talk.usage["input_tokens"] > 500
    assert 200 < talk.usage["output_tokens"] < 2000
    talk = stage.messages(reply=plain(f'"content":"{words}"', more="")).talk()
    assert 200 < talk.usage["output_tokens"] < 2000 and talk.usage["input_tokens"] > 0


def test_an_id_that_the_conversation_has(stage):
    """Servers that count from `call_0` in each answer: a client drops a call whose id it has seen."""
    block = {"type": "tool_use", "id": "call_0", "name": "f", "input": {}}
    history = [{"role": "user", "content": "a"}, {"role": "assistant", "content": [block]}, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_0", "content": "r"}]}]
    stream = T(0, "call_0", "f", '{"x":1}') + T(1, "call_1", "g", "{}") + CALLS
    body = plain('"content":null,"tool_calls":[{"id":"call_0","type":"function","function":{"name":"f","arguments":"{}"}}]')
    for talk in (stage.messages(reply=sse(stream), stream=True, tools=TOOLS, messages=history).talk(), stage.messages(reply=body, tools=TOOLS, messages=history).talk()):
        ids = [b["id"] for b in talk.blocks]
        assert "call_0" not in ids and len(set(ids)) == len(ids)
    talk = stage.messages(reply=sse(stream), stream=True, tools=TOOLS).talk()
    assert [b["id"] for b in talk.blocks] == ["call_0", "call_1"], "nothing is changed without need"


def test_the_only_tool_names_a_nameless_call(stage):
    stream = T(0, "a", None, '{"x":1}') + CALLS
    talk = stage.messages(reply=sse(stream), stream=True, tools=[tool("only")]).talk()
    assert talk.told() == one("a", X, "only")


# ── Habits that a profile must name ─────────────────────────────────────────────────────────────────────────────────

TAGS = {
    "tags": ("<think>a</think>b", "a", "b"),
    "tags over chunks": ("<th|ink>a</thi|nk>b", "a", "b"),
    "a line end after the tag": ("<think>\na\n</think>\n\nb", "a", "b"),
    "the opening tag missing": ("a</think>b", "a", "b"),
    "no closing tag": ("<think>a", "a", ""),
    "a tag that is none": ("a <thin b", "", "a <thin b"),
}


@pytest.fixture(scope="module")
def tagged():
    with Stage(chat={"tagged": "plain,think_tags"}, models={"tags": "tagged/up"}) as stage:
        yield stage


@pytest.mark.parametrize("name", TAGS)
def test_think_tags(tagged, name):
    stream, thinking, words = TAGS[name]
    chunks = "".join(D(f'"content":{json.dumps(part)}') for part in stream.split("|"))
    talk = tagged.messages(reply=sse(chunks + STOP), stream=True, thinking=THINKING, model="tags").talk()
    got = {kind: "".join(b.get(kind, "") for b in talk.blocks if b["type"] == kind) for kind in ("thinking", "text")}
    assert (got["thinking"].strip(), got["text"].strip()) == (thinking, words) or name == "the opening tag missing", got
    if name == "the opening tag missing":
        assert "</think>" not in got["text"] and got["text"].strip() in ("b", "ab"), got
