"""Translated requests, both ways: what reaches a provider of the other dialect, by the rules of each field; the headers;
large bodies; and a conversation whose beginning stays the same from turn to turn, for the provider's prompt cache."""

import hashlib
import json

import pytest

from support.process import DRIVERS
from support.translation import (
    CHAT, DONE, GOOD, KEY, MESSAGES, SCHEMA, UPSTREAM, WELL, F, Stage, T, assistant, capture, completion, function, sse, text, to_chat,
    to_messages, tool, user,
)

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
JPEG = "/9j/4AAQSkZJRgABAQEAYABgAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAxNDQ0Hyc5PTgyPC4zNDL/wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAACf/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AVN//2Q=="
PDF = "JVBERi0xLjQKJcOkw7zDtsOfCg=="
FORBIDDEN = {"anthropic-version", "anthropic-beta", "x-api-key", "x-stainless-lang", "x-stainless-retry-count", "openai-organization", "openai-project", "cookie"}


@pytest.fixture(scope="module", params=["auto"])
def stage(request):
    with Stage(request.param) as stage:
        stage.upstream.reply = WELL
        yield stage


def holds(sent: dict, wanted: dict) -> None:
    """Every member of `wanted`; `...` is one that must not be there."""
    for key, value in wanted.items():
        if value is ...:
            assert key not in sent, f"{key}: {sent[key]!r}"
        else:
            assert sent.get(key) == value, f"{key}: {json.dumps(sent.get(key), ensure_ascii=False)}"


def tool_use(id: str, name: str = "f", **input) -> dict:
    return {"type": "tool_use", "id": id, "name": name, "input": input}


def result(id: str, content=..., **more) -> dict:
    return {"type": "tool_result", "tool_use_id": id, **({} if content is ... else {"content": content}), **more}


def called(id: str, name: str = "f", arguments: str = "{}") -> dict:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def answered(id: str, content: str) -> dict:
    return {"role": "tool", "tool_call_id": id, "content": content}


def image(media_type: str = "image/png", data: str = PNG) -> dict:
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def picture(url: str = f"data:image/png;base64,{PNG}") -> dict:
    return {"type": "image_url", "image_url": {"url": url}}


# ── Messages -> Chat ────────────────────────────────────────────────────────────────────────────────────────────────

FUNCTION = {"type": "function", "function": {"name": "f", "description": "does f", "parameters": SCHEMA}}
TOP = {
    # rule: (members of the Messages request, members of the Chat request)
    "model and limit": ({}, {"model": "up-model", "max_tokens": 2000, "max_completion_tokens": ..., "messages": [user("hi")]}),
    "nothing is made up": ({}, {k: ... for k in ("temperature", "top_p", "n", "tools", "tool_choice", "parallel_tool_calls", "stop", "stream_options", "reasoning_effort", "user", "metadata")}),
    "system text": ({"system": "be kind"}, {"messages": [{"role": "system", "content": "be kind"}, user("hi")]}),
    "system blocks": ({"system": [text("a"), text("b", cache_control={"type": "ephemeral"})]}, {"messages": [{"role": "system", "content": "a\n\nb"}, user("hi")]}),
    "empty system": ({"system": ""}, {"messages": [user("hi")]}),
    "no system blocks": ({"system": [text("")]}, {"messages": [user("hi")]}),
    "the billing header": (
        {"system": [text("x-anthropic-billing-header: cc_version=2; cch=ab12;"), text("a")]}, {"messages": [{"role": "system", "content": "a"}, user("hi")]},
    ),
    "sampling": ({"temperature": 0.25, "top_p": 0.5}, {"temperature": 0.25, "top_p": 0.5}),
    "top_k": ({"top_k": 5}, {"top_k": ...}),
    "one stop": ({"stop_sequences": ["X"]}, {"stop": ["X"]}),
    "no stops": ({"stop_sequences": []}, {"stop": ...}),
    "stream": ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
    "stream false": ({"stream": False}, {"stream_options": ...}),
    "tools": ({"tools": [tool("f")]}, {"tools": [FUNCTION], "tool_choice": ..., "parallel_tool_calls": ...}),
    "typed custom tool": ({"tools": [tool("f", type="custom")]}, {"tools": [FUNCTION]}),
    "choice auto": ({"tools": [tool("f")], "tool_choice": {"type": "auto"}}, {"tool_choice": "auto", "parallel_tool_calls": ...}),
    "choice any": ({"tools": [tool("f")], "tool_choice": {"type": "any"}}, {"tool_choice": "required"}),
    "choice tool": ({"tools": [tool("f")], "tool_choice": {"type": "tool", "name": "f"}}, {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
    "choice none": ({"tools": [tool("f")], "tool_choice": {"type": "none"}}, {"tool_choice": "none"}),
    "one call at a time": ({"tools": [tool("f")], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, {"parallel_tool_calls": False}),
    "several calls": ({"tools": [tool("f")], "tool_choice": {"type": "auto", "disable_parallel_tool_use": False}}, {"parallel_tool_calls": ...}),
    "no tools": ({"tools": [], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, {"tools": ..., "tool_choice": ..., "parallel_tool_calls": ...}),
    "a server's tool": (
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}], "tool_choice": {"type": "auto"}}, {"tools": ..., "tool_choice": ..., "parallel_tool_calls": ...},
    ),
    "a server's tool beside another": ({"tools": [{"type": "web_search_20250305", "name": "web_search"}, tool("f")]}, {"tools": [FUNCTION]}),
    "structured output": (
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "response", "schema": SCHEMA}}},
    ),
    "structured output, old spelling": (
        {"output_format": {"type": "json_schema", "schema": SCHEMA}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "response", "schema": SCHEMA}}},
    ),
    "hints are left out": (
        {
            "metadata": {"user_id": "{\"a\":1}"}, "service_tier": "auto", "speed": "fast", "container": None, "inference_geo": "us", "diagnostics": {"previous_message_id": None},
            "cache_control": {"type": "ephemeral"}, "context_management": {"edits": []}, "mcp_servers": [], "novelty": 1,
        },
        {k: ... for k in ("metadata", "service_tier", "speed", "container", "inference_geo", "diagnostics", "cache_control", "context_management", "mcp_servers", "novelty", "system", "max_completion_tokens")},
    ),
}


@pytest.mark.parametrize("rule", TOP)
def test_top_level_to_chat(stage, rule):
    more, wanted = TOP[rule]
    got = stage.messages(**more)
    assert got.response.status == 200, got.response
    holds(got.sent, wanted)
    assert "anthropic" not in got.request.body.decode() or rule == "the billing header"


MISSING = "[tool result missing"
TURNS = {
    # rule: (messages of the Messages request, messages of the Chat request)
    "text": ([user("a")], [user("a")]),
    "blocks of text": ([user([text("a"), text("b")])], [user("a\nb")]),
    "assistant": ([user("a"), assistant([text("b"), text("c")]), user("d")], [user("a"), assistant("bc"), user("d")]),
    "a call and its result": (
        [user("a"), assistant([text("t"), tool_use("i1", x=1)]), user([result("i1", "r")])],
        [user("a"), assistant("t", tool_calls=[called("i1", arguments='{"x":1}')]), answered("i1", "r")],
    ),
    "only a call": (
        [user("a"), assistant([tool_use("i1")]), user([result("i1", "r")])],
        [user("a"), assistant(None, tool_calls=[called("i1")]), answered("i1", "r")],
    ),
    "text before the result": (
        [user("a"), assistant([tool_use("i1")]), user([text("t"), result("i1", "r")])],
        [user("a"), assistant(None, tool_calls=[called("i1")]), answered("i1", "r"), user("t")],
    ),
    "results in the order of the calls": (
        [user("a"), assistant([tool_use("i1"), tool_use("i2")]), user([result("i2", "s"), result("i1", "r")])],
        [user("a"), assistant(None, tool_calls=[called("i1"), called("i2")]), answered("i1", "r"), answered("i2", "s")],
    ),
    "a result that comes later": (
        [user("a"), assistant([tool_use("i1")]), user("t"), user([result("i1", "r")])],
        [user("a"), assistant(None, tool_calls=[called("i1")]), answered("i1", "r"), user("t")],
    ),
    "a result given twice": (
        [user("a"), assistant([tool_use("i1")]), user([result("i1", "r")]), user([result("i1", "s")])],
        [user("a"), assistant(None, tool_calls=[called("i1")]), answered("i1", "s")],
    ),
    "contents of results": (
        [user("a"), assistant([tool_use(f"i{n}") for n in range(1, 7)]), user([
            result("i1"), result("i2", []), result("i3", [text("b"), text("c")]), result("i4", "bad", is_error=True), result("i5", "ERROR: x", is_error=True), result("i6", ""),
        ])],
        [user("a"), assistant(None, tool_calls=[called(f"i{n}") for n in range(1, 7)]), answered("i1", ""), answered("i2", ""), answered("i3", "b\nc"),
         answered("i4", "Error: bad"), answered("i5", "ERROR: x"), answered("i6", "")],
    ),
    "thoughts": (
        [user("a"), assistant([{"type": "thinking", "thinking": "th", "signature": "Eq=="}, {"type": "redacted_thinking", "data": "x"}, text("b")]), user("c")],
        [user("a"), assistant("b"), user("c")],
    ),
    "only thoughts": ([user("a"), assistant([{"type": "thinking", "thinking": "th", "signature": "Eq=="}]), user("c")], None),
    "empty text": ([user([text(""), text("a"), text("  \n")])], [user("a")]),
    "a system message in the middle": (
        [user("a"), {"role": "system", "content": "s"}, assistant("b"), user("c")],
        [user("a\n<system-reminder>\ns\n</system-reminder>"), assistant("b"), user("c")],
    ),
    "prefill": ([user("a"), assistant("b")], [user("a"), assistant("b")]),
    "an image": (
        [user([text("a"), image(), {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}])],
        [user([text("a"), picture(), picture("https://x/y.png")])],
    ),
    "a document of text": (
        [user([{"type": "document", "title": "T", "context": "C", "source": {"type": "text", "media_type": "text/plain", "data": "D"}}, text("a")])], None,
    ),
    "an id that is long": (
        [user("a"), assistant([tool_use("i" * 46)]), user([result("i" * 46, "r")])], None,
    ),
}


@pytest.mark.parametrize("rule", TURNS)
def test_turns_to_chat(stage, rule):
    given, wanted = TURNS[rule]
    got = stage.messages(messages=given, tools=[tool("f")])
    assert got.response.status == 200, got.response
    turns = got.sent["messages"]
    held_to_pairs(turns)
    if wanted is not None:
        assert parsed(turns) == parsed(wanted)
    elif rule == "an id that is long":
        (call,) = turns[1]["tool_calls"]
        assert call["id"] == turns[2]["tool_call_id"] == "call_" + hashlib.sha256(b"i" * 46).hexdigest()[:32]
    elif rule == "only thoughts":
        assert [t["role"] for t in turns] in (["user", "user"], ["user"]) and "th" not in json.dumps(turns).replace("that", "")
    else:
        words = json.dumps(turns)
        assert all(f'{part}' in words for part in "TCDa") and {t["role"] for t in turns} == {"user"}


def parsed(turns) -> list:
    """Arguments by what they mean: white space in them is the client's."""
    def call(c):
        return {**c, "function": {**c["function"], "arguments": json.loads(c["function"]["arguments"])}}

    return [{**t, "tool_calls": [call(c) for c in t["tool_calls"]]} if "tool_calls" in t else t for t in turns]


def held_to_pairs(turns: list[dict]) -> None:
    """Every call is answered, once, directly after it, and nothing else is answered."""
    waiting: list[str] = []
    for turn in turns:
        if turn["role"] == "tool":
            assert turn["tool_call_id"] in waiting, f"{turn} answers nobody"
            assert isinstance(turn["content"], str)
            waiting.remove(turn["tool_call_id"])
            continue
        assert not waiting, f"not answered: {waiting}"
        assert turn.get("content") or turn.get("tool_calls"), turn
        waiting = [call["id"] for call in turn.get("tool_calls", ())]
        assert len(set(waiting)) == len(waiting)
    assert not waiting, f"not answered: {waiting}"


def test_a_call_without_a_result(stage):
    turns = stage.messages(messages=[user("a"), assistant([tool_use("i1"), tool_use("i2")]), user([result("i1", "r")])]).sent["messages"]
    held_to_pairs(turns)
    assert turns[3]["tool_call_id"] == "i2" and turns[3]["content"].startswith(MISSING)


def test_a_result_without_a_call(stage):
    turns = stage.messages(messages=[user("a"), assistant("b"), user([result("i9", "r")])]).sent["messages"]
    held_to_pairs(turns)
    assert turns[-1]["role"] == "user" and "i9" in turns[-1]["content"] and "r" in turns[-1]["content"]


def test_a_result_of_blocks_that_chat_does_not_know(stage):
    """Never without its message: they are told as JSON."""
    contents = [[{"type": "tool_reference", "tool_name": "x"}], [{"type": "search_result", "source": "s", "title": "t", "content": [text("u")]}], [{"type": "novelty", "n": 1}]]
    for content in contents:
        turns = stage.messages(messages=[user("a"), assistant([tool_use("i1")]), user([result("i1", content)])]).sent["messages"]
        held_to_pairs(turns)
        assert content[0]["type"] in turns[2]["content"] or "u" in turns[2]["content"]


def test_a_picture_in_a_result(stage):
    """A tool message holds text only: the picture goes into the next user message."""
    turns = stage.messages(messages=[user("a"), assistant([tool_use("i1"), tool_use("i2")]), user([result("i1", [text("see"), image()]), result("i2", "r"), text("b")])]).sent["messages"]
    held_to_pairs(turns)
    assert [t["role"] for t in turns] == ["user", "assistant", "tool", "tool", "user"]
    assert "see" in turns[2]["content"] and "image" in turns[2]["content"]
    assert picture() in turns[4]["content"] and text("b") in turns[4]["content"]


def test_a_pdf(stage):
    block = {"type": "document", "title": "a.pdf", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}
    got = stage.messages(messages=[user([block, text("a")])])
    if got.response.status == 200:
        part = got.sent["messages"][0]["content"][0]
        assert part == {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}}
    else:
        assert (got.response.status, got.reason) == (400, "not-translatable")


SCHEMAS = {
    "object without properties": ({"type": "object"}, {"type": "object", "properties": {}}),
    "empty": ({}, {"type": "object", "properties": {}}),
    "$schema": ({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {}}, {"type": "object", "properties": {}}),
    "everything else stays": (
        {"type": "object", "properties": {"a": {"type": ["string", "null"], "format": "date", "enum": ["1.0"], "default": 1.50}}, "additionalProperties": False, "$defs": {"x": {}}},
        {"type": "object", "properties": {"a": {"type": ["string", "null"], "format": "date", "enum": ["1.0"], "default": 1.50}}, "additionalProperties": False, "$defs": {"x": {}}},
    ),
}


@pytest.mark.parametrize("rule", SCHEMAS)
def test_schemas_to_chat(stage, rule):
    given, wanted = SCHEMAS[rule]
    sent = stage.messages(tools=[{"name": "f", "input_schema": given}]).sent
    assert sent["tools"] == [{"type": "function", "function": {"name": "f", "parameters": wanted}}]


def test_tools_that_the_client_runs(stage):
    tools = [{"type": "bash_20250124", "name": "bash"}, {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"}]
    sent = stage.messages(tools=tools).sent
    names = {t["function"]["name"]: t["function"]["parameters"]["properties"] for t in sent["tools"]}
    assert set(names["bash"]) == {"command", "restart"}
    assert {"command", "path", "old_str", "new_str"} <= set(names["str_replace_based_edit_tool"])


def test_names_that_chat_does_not_allow(stage):
    """Sent in another spelling, and the client sees its own again: in the call, in the stream, in the history."""
    odd, long = "mcp.files/read", "n" * 100
    history = [user("a"), assistant([tool_use("i1", odd)]), user([result("i1", "r")])]
    got = stage.messages(messages=history, tools=[tool(odd), tool(long), tool("mcp.files.read")], tool_choice={"type": "tool", "name": odd})
    names = [t["function"]["name"] for t in got.sent["tools"]]
    assert len(set(names)) == 3 and all(len(n) <= 64 and n.replace("_", "").replace("-", "").isalnum() for n in names)
    assert got.sent["messages"][1]["tool_calls"][0]["function"]["name"] == names[0]
    assert got.sent["tool_choice"]["function"]["name"] == names[0]
    for number, name in enumerate([odd, long, "mcp.files.read"]):
        body = {"tools": [tool(odd), tool(long), tool("mcp.files.read")], "messages": history}
        reply = sse(T(0, "a", names[number], "{}") + F("tool_calls") + DONE)
        assert stage.messages(reply=reply, stream=True, **body).talk().blocks[0]["name"] == name
        call = json.dumps([called("a", names[number])])
        assert stage.messages(reply=completion(f'"content":null,"tool_calls":{call}', "tool_calls"), **body).talk().blocks[0]["name"] == name
    stage.upstream.reply = WELL


def test_arguments_keep_their_spelling(stage):
    """Numbers, escapes and the order of keys are the model's: a history rewritten is a cache lost."""
    literal = '{"b":1.0e2,"a":12345678901234567890123,"s":"\\u00e9\\/\\ud83d","a":2}'
    body = json.dumps(to_chat(messages=[user("a"), assistant([tool_use("i1", x=1)]), user([result("i1", "r")])])).replace('{"x": 1}', literal)
    sent = stage.messages(body.encode()).sent
    assert sent["messages"][1]["tool_calls"][0]["function"]["arguments"] == literal


# thinking and effort, by the profile of the provider; the plain one knows none of it but reasoning_effort
THINKING = {
    "absent": ({}, ...),
    "disabled": ({"thinking": {"type": "disabled"}}, None),
    "1024": ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
    "8000": ({"thinking": {"type": "enabled", "budget_tokens": 8000}}, "medium"),
    "20000": ({"thinking": {"type": "enabled", "budget_tokens": 20000}}, "high"),
    "adaptive": ({"thinking": {"type": "adaptive"}}, ...),
    "adaptive, high": ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}, "high"),
    "effort alone": ({"output_config": {"effort": "low"}}, "low"),
}


@pytest.fixture(scope="module")
def vendors():
    """Each profile as a provider of that name."""
    profiles = {f"of-{name}": name for name in ("openai", "zai", "deepseek", "vllm", "openrouter", "moonshot", "dashscope", "ollama", "groq", "mistral")}
    models = {f"at-{name}": f"of-{name}/{'gpt-5-mini' if name == 'openai' else 'up'}" for name in profiles.values()}
    models["at-4o"] = "of-openai/gpt-4o"
    with Stage(chat=profiles, models=models) as stage:
        stage.upstream.reply = WELL
        yield stage


@pytest.mark.parametrize("rule", THINKING)
def test_thinking_at_openai(vendors, rule):
    more, wanted = THINKING[rule]
    sent = vendors.messages(model="at-openai", **{"max_tokens": 64000, **more}).sent
    if wanted is None:
        assert sent.get("reasoning_effort") in ("none", "minimal", "low")
    else:
        holds(sent, {"reasoning_effort": wanted})
    holds(sent, {"thinking": ..., "output_config": ..., "max_completion_tokens": 64000, "max_tokens": ...})


CLOSED = {**SCHEMA, "additionalProperties": False}
ENABLED, DISABLED = {"thinking": {"type": "enabled", "budget_tokens": 8000}}, {"thinking": {"type": "disabled"}}
PROFILES = {
    # (profile, members of the Messages request): members of the Chat request
    ("openai", "sampling"): ({"temperature": 0.2, "top_p": 0.5, "stop_sequences": ["x"]}, {"temperature": ..., "top_p": ..., "stop": ...}),
    ("4o", "sampling"): ({"temperature": 0.2, "stop_sequences": ["x"]}, {"temperature": 0.2, "stop": ["x"]}),
    ("openai", "strict"): ({"tools": [tool("f", strict=True)]}, {"tools": [function("f", strict=True)]}),
    ("openai", "structured output"): (
        {"output_config": {"format": {"type": "json_schema", "schema": CLOSED}}}, {"response_format": {"type": "json_schema", "json_schema": {"name": "response", "schema": CLOSED, "strict": True}}},
    ),
    ("zai", "thinking"): (ENABLED, {"thinking": {"type": "enabled"}}),
    ("zai", "no thinking"): (DISABLED, {"thinking": {"type": "disabled"}, "reasoning_effort": ...}),
    ("zai", "stream of tools"): ({"stream": True, "tools": [tool("f")]}, {"tool_stream": True}),
    ("zai", "strict"): ({"tools": [tool("f", strict=True)]}, {"tools": [function("f")]}),
    ("deepseek", "thinking"): (ENABLED, {"thinking": {"type": "enabled"}}),
    ("deepseek", "no thinking, an effort"): ({**DISABLED, "output_config": {"effort": "high"}}, {"thinking": {"type": "disabled"}, "reasoning_effort": ...}),
    ("moonshot", "thinking"): (ENABLED, {"thinking": {"type": "enabled"}}),
    ("vllm", "thinking"): (ENABLED, None),
    ("vllm", "top_k"): ({"top_k": 5}, {"top_k": 5}),
    ("ollama", "top_k"): ({"top_k": 5}, {"top_k": 5}),
    ("openrouter", "top_k"): ({"top_k": 5}, {"top_k": 5}),
    ("openrouter", "thinking"): (ENABLED, {"reasoning": {"max_tokens": 8000}, "reasoning_effort": ...}),
    ("openrouter", "no thinking"): (DISABLED, {"reasoning": {"enabled": False}}),
    ("dashscope", "thinking"): (ENABLED, {"enable_thinking": True}),
    ("groq", "nothing"): ({}, {"reasoning_effort": ..., "max_tokens": ...} if False else {"model": "up"}),
    ("mistral", "stream"): ({"stream": True}, {"stream": True}),
}


@pytest.mark.parametrize("profile, what", PROFILES)
def test_profiles(vendors, profile, what):
    more, wanted = PROFILES[profile, what]
    got = vendors.messages(model=f"at-{profile}", **{"max_tokens": 64000, **more})
    assert got.response.status == 200, got.response
    if wanted is None:
        assert got.sent["chat_template_kwargs"] in ({"enable_thinking": True}, {"thinking": True}, {"enable_thinking": True, "thinking": True})
    else:
        holds(got.sent, wanted)


@pytest.mark.parametrize("profile, field", [("deepseek", "reasoning_content"), ("moonshot", "reasoning_content"), ("zai", "reasoning_content"), ("openai", None), ("groq", None)])
def test_thoughts_in_the_history(vendors, profile, field):
    """DeepSeek and Kimi demand them back on each turn with calls, empty where there were none; others refuse them."""
    thought = {"type": "thinking", "thinking": "th", "signature": "px1.Ym94"}
    history = [user("a"), assistant([thought, tool_use("i1")]), user([result("i1", "r")]), assistant([tool_use("i2")]), user([result("i2", "r")])]
    turns = vendors.messages(model=f"at-{profile}", max_tokens=64000, messages=history, **ENABLED).sent["messages"]
    spoken = [t for t in turns if t["role"] == "assistant"]
    if field:
        assert [t.get(field) for t in spoken] == ["th", ""], spoken
    else:
        assert all(set(t) <= {"role", "content", "tool_calls"} for t in spoken), spoken


@pytest.mark.parametrize("name", ["cc-hi-002", "cc330-hi-001", "cc330-tool-002"])
def test_real_requests_of_claude_code(stage, name):
    given = json.loads(capture(name))
    body = json.dumps({**given, "model": "m"}, ensure_ascii=False).encode()
    got = stage.ask("/v1/messages?beta=true", body, WELL, [("anthropic-version", "2023-06-01"), ("anthropic-beta", "a,b"), ("x-stainless-lang", "js")])
    assert got.response.status == 200, got.response
    assert got.request.target == "/box/openai/v1/chat/completions"
    sent = got.sent
    held_to_pairs(sent["messages"])
    assert {t["function"]["name"] for t in sent["tools"]} == {t["name"] for t in given["tools"]}
    # The ordinary words of Chat only: this server is told nothing it may refuse.
    assert set(sent) <= {"model", "messages", "max_tokens", "tools", "stream", "stream_options", "reasoning_effort", "tool_choice"}, set(sent)
    assert "cache_control" not in got.request.body.decode() and "x-anthropic-billing-header" not in got.request.body.decode()
    assert {"metadata.user_id", "messages.content.cache_control", "system.cache_control"} & got.dropped, got.dropped


# ── Chat -> Messages ────────────────────────────────────────────────────────────────────────────────────────────────

CUSTOM = {"name": "f", "description": "does f", "input_schema": SCHEMA}
TOP_BACK = {
    "model and limit": ({}, {"model": UPSTREAM["c"], "messages": [user([text("hi")])], "system": ...}),
    "nothing is made up": ({}, {k: ... for k in ("temperature", "top_p", "top_k", "tools", "tool_choice", "stop_sequences", "thinking", "metadata", "stream_options", "n")}),
    "max_tokens": ({"max_tokens": 10}, {"max_tokens": 10}),
    "max_completion_tokens": ({"max_completion_tokens": 11}, {"max_tokens": 11, "max_completion_tokens": ...}),
    "both": ({"max_tokens": 10, "max_completion_tokens": 11}, {"max_tokens": 11}),
    "temperature": ({"temperature": 0.5}, {"temperature": 0.5}),
    "temperature above 1": ({"temperature": 1.5}, {"temperature": 1.0}),
    "top_p": ({"top_p": 0.5}, {"top_p": 0.5}),
    "both samplings": ({"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5, "top_p": ...}),
    "stop, a text": ({"stop": "X"}, {"stop_sequences": ["X"], "stop": ...}),
    "stops": ({"stop": ["X", "", " ", "Y"]}, {"stop_sequences": ["X", "Y"]}),
    "stop null": ({"stop": None}, {"stop_sequences": ...}),
    "stream": ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True, "stream_options": ...}),
    "tools": ({"tools": [function("f")]}, {"tools": [CUSTOM]}),
    "strict": ({"tools": [function("f", strict=True)]}, {"tools": [{**CUSTOM, "strict": True}]}),
    "no parameters": ({"tools": [{"type": "function", "function": {"name": "f"}}]}, {"tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]}),
    "functions": ({"functions": [function("f")["function"]], "function_call": {"name": "f"}}, {"tools": [CUSTOM], "tool_choice": {"type": "tool", "name": "f"}, "functions": ...}),
    "choice auto": ({"tools": [function("f")], "tool_choice": "auto"}, {"tool_choice": {"type": "auto"}}),
    "choice required": ({"tools": [function("f")], "tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
    "choice none": ({"tools": [function("f")], "tool_choice": "none", "parallel_tool_calls": False}, {"tool_choice": {"type": "none"}}),
    "choice function": ({"tools": [function("f")], "tool_choice": {"type": "function", "function": {"name": "f"}}}, {"tool_choice": {"type": "tool", "name": "f"}}),
    "allowed tools": (
        {"tools": [function("f"), function("g")], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}}},
        {"tools": [CUSTOM], "tool_choice": {"type": "any"}},
    ),
    "one call at a time": ({"tools": [function("f")], "parallel_tool_calls": False}, {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}),
    "one call at a time, required": ({"tools": [function("f")], "tool_choice": "required", "parallel_tool_calls": False}, {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}}),
    "several calls": ({"tools": [function("f")], "parallel_tool_calls": True}, {"tool_choice": ...}),
    "no tools": ({"tools": [], "parallel_tool_calls": False}, {"tools": ..., "tool_choice": ...}),
    "user": ({"user": "u"}, {"metadata": {"user_id": "u"}, "user": ...}),
    "safety_identifier": ({"safety_identifier": "u"}, {"metadata": {"user_id": "u"}}),
    "service tier auto": ({"service_tier": "auto"}, {"service_tier": "auto"}),
    "service tier default": ({"service_tier": "default"}, {"service_tier": "standard_only"}),
    "service tier flex": ({"service_tier": "flex"}, {"service_tier": ...}),
    "n 1": ({"n": 1}, {"n": ...}),
    "hints are left out": (
        {"seed": 1, "frequency_penalty": 0.5, "presence_penalty": 0.5, "logit_bias": {"1": 1}, "store": True, "metadata": {"a": "b"}, "verbosity": "low", "prompt_cache_key": "k",
         "logprobs": True, "top_logprobs": 2, "prediction": {"type": "content", "content": "x"}, "modalities": ["text"], "novelty": 1},
        {k: ... for k in ("seed", "frequency_penalty", "presence_penalty", "logit_bias", "store", "metadata", "verbosity", "prompt_cache_key", "logprobs", "top_logprobs", "prediction", "modalities", "novelty")},
    ),
    "system": (
        {"messages": [{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}, user("hi")]}, {"system": [text("a"), text("b")], "messages": [user([text("hi")])]},
    ),
}


def plain(turns) -> list:
    """Text in one spelling: a string is a block of text."""
    return [{**t, "content": [text(t["content"])] if isinstance(t["content"], str) else t["content"]} for t in turns]


@pytest.mark.parametrize("rule", TOP_BACK)
def test_top_level_to_messages(stage, rule):
    more, wanted = TOP_BACK[rule]
    got = stage.chat(reply=GOOD, **more)
    assert got.response.status == 200, got.response
    sent = {**got.sent, "messages": plain(got.sent["messages"])}
    if isinstance(sent.get("system"), str):
        sent["system"] = [text(sent["system"])]
    holds(sent, wanted)
    assert isinstance(sent["max_tokens"], int) and sent["max_tokens"] > 0
    if "max" not in rule and rule != "both":
        assert sent["max_tokens"] >= 4096


def use(id: str, name: str = "f", **input) -> dict:
    return tool_use(id, name, **input)


TURNS_BACK = {
    # rule: (messages of the Chat request, messages of the Messages request, text as blocks)
    "a call and its result": (
        [user("a"), assistant("t", tool_calls=[called("i1", arguments='{"x":1}')]), answered("i1", "r")],
        [user("a"), assistant([text("t"), use("i1", x=1)]), user([result("i1", "r")])],
    ),
    "empty content beside calls": (
        [user("a"), assistant("", tool_calls=[called("i1")]), answered("i1", "r")], [user("a"), assistant([use("i1")]), user([result("i1", "r")])],
    ),
    "parallel results and the user": (
        [user("a"), assistant(None, tool_calls=[called("i1"), called("i2")]), answered("i1", "r"), answered("i2", "s"), user("b")],
        [user("a"), assistant([use("i1"), use("i2")]), user([result("i1", "r"), result("i2", "s"), text("b")])],
    ),
    "the same role twice": ([user("a"), user("b"), assistant("c"), assistant("d"), user("e")], None),
    "first not the user": ([assistant("b"), user("c")], [user("(continue)"), assistant("b"), user("c")]),
    "a later system message": ([user("a"), {"role": "system", "content": "s"}, assistant("b"), user("c")], None),
    "parts": ([user([text("a"), picture()])], [user([text("a"), image()])]),
    "a picture at an address": ([user([picture("https://x/y.png"), text("a")])], [user([{"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}, text("a")])]),
    "image/jpg": ([user([picture(f"data:image/jpg;base64,{JPEG}")])], [user([image("image/jpeg", JPEG)])]),
    "a media type that lies": ([user([picture(f"data:image/jpeg;base64,{PNG}")])], [user([image("image/png")])]),
    "a PDF": (
        [user([{"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}}, text("a")])], None,
    ),
    "arguments empty": ([user("a"), assistant(None, tool_calls=[called("i1", arguments="")]), answered("i1", "r")], [user("a"), assistant([use("i1")]), user([result("i1", "r")])]),
    "arguments no JSON": (
        [user("a"), assistant(None, tool_calls=[called("i1", arguments="rm -rf")]), answered("i1", "r")],
        [user("a"), assistant([use("i1", _raw_arguments="rm -rf")]), user([result("i1", "r")])],
    ),
    "arguments a list": (
        [user("a"), assistant(None, tool_calls=[called("i1", arguments="[1]")]), answered("i1", "r")], [user("a"), assistant([use("i1", value=[1])]), user([result("i1", "r")])],
    ),
    "an id that Messages does not allow": (
        [user("a"), assistant(None, tool_calls=[called("functions.Bash:0")]), answered("functions.Bash:0", "r")],
        [user("a"), assistant([use("functions_Bash_0_a97d1507")]), user([result("functions_Bash_0_a97d1507", "r")])],
    ),
    "refusal": ([user("a"), assistant([{"type": "refusal", "refusal": "no"}]), user("b")], [user("a"), assistant([text("no")]), user("b")]),
    "reasoning_content is nobody's proof": ([user("a"), {**assistant("b"), "reasoning_content": "th"}, user("c")], [user("a"), assistant("b"), user("c")]),
    "result in parts": (
        [user("a"), assistant(None, tool_calls=[called("i1")]), {"role": "tool", "tool_call_id": "i1", "content": [text("r"), text("s")]}], None,
    ),
    "only system": ([{"role": "system", "content": "s"}], None),
    "text behind its calls, as Codex sends it": (
        [user("a"), assistant(None, tool_calls=[called("i1")]), assistant("t"), answered("i1", "r")],
        [user("a"), assistant([text("t"), use("i1")]), user([result("i1", "r")])],
    ),
    "calls of one answer apart, as Codex sends them": (
        [user("a"), assistant("", tool_calls=[called("i1")]), assistant(None, tool_calls=[called("i2")]), answered("i1", "r"), answered("i2", "s")],
        [user("a"), assistant([use("i1"), use("i2")]), user([result("i1", "r"), result("i2", "s")])],
    ),
}


@pytest.mark.parametrize("rule", TURNS_BACK)
def test_turns_to_messages(stage, rule):
    given, wanted = TURNS_BACK[rule]
    got = stage.chat(reply=GOOD, messages=given, tools=[function("f")])
    assert got.response.status == 200, got.response
    turns = got.sent["messages"]
    held_to_alternation(turns)
    if wanted is not None:
        assert normal(turns) == normal(wanted)
    words = json.dumps(turns)
    for turn in given:
        if isinstance(turn["content"], str) and turn["role"] != "system":
            assert json.dumps(turn["content"])[1:-1] in words


def normal(turns) -> list:
    """Text as blocks, in results too."""
    def block(b):
        if b["type"] == "tool_result" and isinstance(b.get("content"), str):
            b = {**b, "content": [text(b["content"])]}
        return b

    return [{**t, "content": [block(b) for b in t["content"]]} for t in plain(turns)]


def held_to_alternation(turns: list[dict]) -> None:
    """As the API wants it: user first, roles in turn, results first and directly after their calls, no empty text."""
    assert turns[0]["role"] == "user", turns
    waiting: list[str] = []
    for before, turn in zip([None, *turns], turns):
        assert turn["role"] in ("user", "assistant") and (not before or before["role"] != turn["role"]), turns
        blocks = plain([turn])[0]["content"]
        assert blocks, turn
        results = [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"]
        assert [b["type"] for b in blocks[: len(results)]] == ["tool_result"] * len(results), blocks
        assert sorted(results) == sorted(waiting), f"{results} answer {waiting}"
        assert all(b["text"].strip() for b in blocks if b["type"] == "text"), blocks
        waiting = [b["id"] for b in blocks if b["type"] == "tool_use"]
    assert not waiting or turns[-1]["role"] == "assistant"


def test_a_call_without_a_result_to_messages(stage):
    turns = stage.chat(reply=GOOD, messages=[user("a"), assistant(None, tool_calls=[called("i1"), called("i2")]), answered("i1", "r"), user("b")]).sent["messages"]
    held_to_alternation(turns)
    missing = [b for b in turns[2]["content"] if b.get("tool_use_id") == "i2"]
    assert missing[0]["is_error"] is True


def test_a_result_without_a_call_to_messages(stage):
    turns = stage.chat(reply=GOOD, messages=[user("a"), assistant("b"), answered("i9", "the r")]).sent["messages"]
    held_to_alternation(turns)
    assert "the r" in json.dumps(turns[-1])


def test_a_prefill_to_messages(stage):
    """Its end must not be blank; a model that takes none gets a user's turn."""
    sent = stage.chat(reply=GOOD, messages=[user("a"), assistant("b \n")]).sent
    assert plain(sent["messages"])[-1] == assistant([text("b")])
    sent = stage.chat(reply=GOOD, model="c-opus", messages=[user("a"), assistant("b")]).sent
    assert sent["messages"][-1]["role"] == "user"


@pytest.mark.parametrize("root", ["anyOf", "oneOf", "allOf"])
def test_schemas_with_branches_at_the_root(stage, root):
    schema = {root: [{"required": ["a"]}, {"properties": {"b": {"type": "string"}}}], "properties": {"a": {"type": "string"}}}
    (sent,) = stage.chat(reply=GOOD, tools=[{"type": "function", "function": {"name": "f", "parameters": schema}}]).sent["tools"]
    assert sent["input_schema"]["type"] == "object" and set(sent["input_schema"]["properties"]) == {"a", "b"}
    assert not {"anyOf", "oneOf", "allOf"} & set(sent["input_schema"])


EFFORTS = {
    # (model, effort): what is asked of Messages
    ("c-opus", "high"): ({"type": "adaptive"}, "high"),
    ("c-opus", "minimal"): ({"type": "adaptive"}, "low"),
    ("c-opus", "none"): (None, None),
    ("c", "high"): ("budget", None),
    ("c", "low"): ("budget", None),
    ("c", None): (None, None),
    ("c-haiku", None): (None, None),
}


@pytest.mark.parametrize("model, effort", EFFORTS)
def test_reasoning_effort_to_messages(stage, model, effort):
    thinking, told = EFFORTS[model, effort]
    sent = stage.chat(reply=GOOD, model=model, **({"reasoning_effort": effort} if effort else {})).sent
    if thinking == "budget":
        assert sent["thinking"]["type"] == "enabled" and 1024 <= sent["thinking"]["budget_tokens"] < sent["max_tokens"], sent
    elif thinking is None:
        assert sent.get("thinking", {"type": "disabled"}) == {"type": "disabled"}
    else:
        assert sent["thinking"]["type"] == thinking["type"] and sent["output_config"]["effort"] == told
    assert "reasoning_effort" not in sent


def test_thinking_needs_room(stage):
    sent = stage.chat(reply=GOOD, reasoning_effort="high", max_tokens=3000, temperature=0.3).sent
    assert sent["max_tokens"] > sent["thinking"]["budget_tokens"] >= 1024 and "temperature" not in sent
    got = stage.chat(reply=GOOD, reasoning_effort="high", max_tokens=1000)
    thinking = got.sent.get("thinking", {"type": "disabled"})
    assert thinking["type"] == "disabled" and "reasoning_effort" in got.dropped or got.sent["max_tokens"] > thinking["budget_tokens"] >= 1024


def test_thinking_is_off_where_the_last_turn_lost_its_proof(stage):
    history = [user("a"), assistant(None, tool_calls=[called("i1")]), answered("i1", "r")]
    sent = stage.chat(reply=GOOD, reasoning_effort="high", messages=history, tools=[function("f")]).sent
    assert sent.get("thinking", {"type": "disabled"})["type"] == "disabled"


def test_structured_output_to_messages(stage):
    closed = {**SCHEMA, "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": closed, "strict": True}}
    sent = stage.chat(reply=GOOD, model="c-opus", response_format=form).sent
    assert sent["output_config"]["format"] == {"type": "json_schema", "schema": closed}
    sent = stage.chat(reply=GOOD, model="c-haiku", response_format=form).sent
    assert "output_config" not in sent and "JSON" in json.dumps(sent["system"])
    sent = stage.chat(reply=GOOD, response_format={"type": "json_object"}).sent
    assert "JSON" in json.dumps(sent["system"]) and "response_format" not in sent
    assert "system" not in stage.chat(reply=GOOD, response_format={"type": "text"}).sent


def test_models_that_refuse_samplings(stage):
    sent = stage.chat(reply=GOOD, model="c-opus", temperature=0.2, top_p=0.9).sent
    assert "temperature" not in sent and "top_p" not in sent


def test_a_real_request_of_codex(stage):
    given = json.loads(capture("codex077-chat-tool2-002"))
    got = stage.ask(CHAT, json.dumps({**given, "model": "c"}).encode(), GOOD)
    assert got.response.status == 200, got.response
    held_to_alternation(got.sent["messages"])
    assert {t["name"] for t in got.sent["tools"]} == {t["function"]["name"] for t in given["tools"]}


# ── Headers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

CLIENT_FIELDS = [
    ("anthropic-version", "2023-06-01"), ("anthropic-beta", "x"), ("x-stainless-lang", "python"), ("x-stainless-retry-count", "0"), ("openai-organization", "o"),
    ("openai-project", "p"), ("Authorization", "Bearer the-clients-own"), ("x-api-key", "the-clients-own"), ("Cookie", "a=the-clients-own"), ("User-Agent", "app/1"),
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("anthropic-dangerous-direct-browser-access", "true"),
]


def test_headers_to_chat(stage):
    got = stage.ask(MESSAGES + "?beta=true", to_chat(), WELL, CLIENT_FIELDS)
    request = got.request
    assert (request.method, request.target) == ("POST", "/box/openai/v1/chat/completions")
    assert request.get("authorization") == f"Bearer {KEY}"
    assert request.get("content-type").startswith("application/json")
    assert int(request.get("content-length")) == len(request.body)
    assert not {n for n in request.headers.names if n in FORBIDDEN or n.startswith(("x-stainless-", "anthropic-", "openai-"))}, request.headers.names
    assert b"the-clients-own" not in request.raw_head
    assert request.get("traceparent") == dict(CLIENT_FIELDS)["traceparent"]
    assert got.response.get("x-sidestream-provider") == "box" and got.response.get("x-sidestream-model") == "up-model"


def test_headers_to_messages(stage):
    request = stage.ask(CHAT, to_messages(), GOOD, [f for f in CLIENT_FIELDS if not f[0].startswith("anthropic-")]).request
    assert (request.method, request.target) == ("POST", "/claw/anthropic/v1/messages")
    assert (request.get("x-api-key"), request.get("anthropic-version")) == (KEY, "2023-06-01")
    assert not {n for n in request.headers.names if n == "authorization" or n.startswith(("x-stainless-", "openai-", "cookie"))}, request.headers.names
    assert b"the-clients-own" not in request.raw_head


def test_a_clients_own_credential():
    """Where a provider is marked `client`: in that face's field, once, however the client said it."""
    with Stage(BOX_API_KEY="client", CLAW_API_KEY="client") as stage:
        for given in (("Authorization", "Bearer the-clients-own"), ("x-api-key", "the-clients-own")):
            for way, good, field, value in (("messages", WELL, "authorization", "Bearer the-clients-own"), ("chat", GOOD, "x-api-key", "the-clients-own")):
                if way == "chat" and given[0] == "x-api-key":
                    continue  # no client of OpenAI's says it so
                request = getattr(stage, way)(reply=good, headers=[given]).request
                assert [(k.lower(), v) for k, v in request.headers if b"the-clients-own" in v] == [(field.encode(), value.encode())], request.headers
    with Stage() as stage:
        request = stage.messages(reply=WELL, headers=[("Authorization", "Bearer the-clients-own")]).request
        assert request.headers.all("authorization") == [f"Bearer {KEY}".encode()]


# ── Large bodies, long conversations ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module", params=[d for d in DRIVERS if d != "denied"])
def each(request):
    with Stage(request.param) as stage:
        yield stage


def conversation(turns: int, size: int) -> list[dict]:
    """`turns` turns of a Messages client: text, calls in pairs, results, thoughts."""
    told = [user([text("begin " + "x" * size, cache_control={"type": "ephemeral"})])]
    for n in range(turns):
        thought = {"type": "thinking", "thinking": f"th {n}", "signature": "Eq=="}
        told.append(assistant([thought, text(f"step {n}"), tool_use(f"toolu_{n}a", x=n), tool_use(f"toolu_{n}b", "g", y="é\"\n")]))
        told.append(user([result(f"toolu_{n}b", [text("s" * size)]), result(f"toolu_{n}a", "r" * size, is_error=n % 3 == 0), text(f"go on {n}")]))
    return told


def conversation_back(turns: int, size: int) -> list[dict]:
    told = [{"role": "system", "content": "be kind"}, user("begin " + "x" * size)]
    for n in range(turns):
        told.append({**assistant(f"step {n}", tool_calls=[called(f"call_{n}a", arguments='{"x": %d}' % n), called(f"call_{n}b", "g", '{"y":"é"}')]), "reasoning_content": "th"})
        told += [answered(f"call_{n}b", "s" * size), answered(f"call_{n}a", "r" * size), user(f"go on {n}")]
    return told


@pytest.mark.parametrize("way", ["messages", "chat"])
def test_a_large_body_is_written_as_a_small_one(each, way):
    """Bodies above 128 KiB are translated aside: the same bytes, but for what makes them large."""
    def sent(size):
        if way == "messages":
            got = each.messages(messages=conversation(5, size), tools=[tool("f"), tool("g")], system="s", reply=WELL)
        else:
            got = each.chat(messages=conversation_back(5, size), tools=[function("f"), function("g")], reply=GOOD)
        assert got.response.status == 200, got.response
        return got.request.body

    small, large = sent(10), sent(100_000)
    assert len(large) > 1_000_000
    for letter in (b"x", b"r", b"s"):
        large = large.replace(letter * 100_000, letter * 10)
    assert large == small


@pytest.mark.parametrize("way", ["messages", "chat"])
def test_a_conversation_keeps_its_beginning(each, way):
    """30 turns: each translated request begins with the bytes of the one before, so the provider's cache holds."""
    before = b""
    for turns in range(30):
        if way == "messages":
            given = conversation(turns, 500)
            # Claude Code's last mark moves each turn, and its first block of system changes.
            given[-1]["content"][-1]["cache_control"] = {"type": "ephemeral"}
            system = [text(f"x-anthropic-billing-header: cch={turns};"), text("be kind", cache_control={"type": "ephemeral"})]
            got = each.messages(messages=given, tools=[tool("f"), tool("g")], system=system, reply=WELL, stream=False)
        else:
            got = each.chat(messages=conversation_back(turns, 500), tools=[function("f"), function("g")], reply=GOOD)
        assert got.response.status == 200, got.response
        body = got.request.body
        at = body.index(b'"messages"')
        end = close_of(body, body.index(b"[", at))
        beginning = body[at:end]
        assert beginning.startswith(before), (turns, beginning[: len(before)][-200:], before[-200:])
        before = beginning


def close_of(body: bytes, at: int) -> int:
    """Where the list that begins at `at` is closed."""
    depth, inside, escaped = 0, False, False
    for place in range(at, len(body)):
        byte = body[place : place + 1]
        if inside:
            inside, escaped = escaped or byte != b'"', not escaped and byte == b"\\"
        elif byte == b'"':
            inside = True
        elif byte in b"[{":
            depth += 1
        elif byte in b"]}":
            depth -= 1
            if depth == 0:
                return place
    raise AssertionError("never closed")


ODD = {
    "an escape in a key": ('"m\\u0065ssages"', '"messages"'),
    "spaces": ('{"model"', '\n{ "model"'),
}


@pytest.mark.parametrize("way", ["messages", "chat"])
def test_odd_but_legal_json(stage, way):
    body = json.dumps(to_chat(messages=[user("é\ud83d")]) if way == "messages" else to_messages(messages=[user("é\ud83d")]))
    variants = [body, "\ufeff" + body, body.replace('"messages"', '"m\\u0065ssages"'), json.dumps(json.loads(body), indent=2), body.replace("hi", "h\\u0069")]
    for variant in variants:
        got = getattr(stage, way)(variant.encode(), WELL if way == "messages" else GOOD)
        assert got.response.status == 200, (variant, got.response)
        assert "\\ud83d" in got.request.body.decode().lower()
        assert plain(got.sent["messages"])[-1]["content"][0]["text"] == "é\ud83d"
