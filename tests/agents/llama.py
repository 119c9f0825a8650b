"""A real model: llama.cpp's server, which speaks Messages and Chat Completions itself. What a client gets through
sidestream on the other dialect's face is compared with what it gets from the server directly: the prompt that the model
saw has as many tokens, the text at temperature 0 is the same.

The model is small and says nothing sensible; that is not asked of it."""

import json
import os
import re
import time
from pathlib import Path

import anthropic
import openai

from support.process import Program, Sidestream
from support.wire import ask

from .play import Result

TOOL = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]},
}
CHAT_TOOL = {"type": "function", "function": {"name": TOOL["name"], "description": TOOL["description"], "parameters": TOOL["input_schema"]}}
CALL = {"type": "tool_use", "id": "toolu_01abc", "name": "get_weather", "input": {"city": "Zürich \"Enge\" \\ 日本", "days": 2}}
WEATHER = {"type": "tool_result", "tool_use_id": "toolu_01abc", "content": [{"type": "text", "text": "rain\n\tand 🌧 “wind”"}]}
CHAT_CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": json.dumps(CALL["input"], ensure_ascii=False)}}


def user(text: str) -> dict:
    return {"role": "user", "content": text}


# What a Messages client asks, in one piece and as a stream. The server's own Messages face thinks whether asked to or not.
# No text stands beside the results of two calls: that face would lose one of them.
MESSAGES = {
    "a word": {"messages": [user("Name three colours.")]},
    "a system text and several turns": {
        "system": [{"type": "text", "text": "You are terse."}],
        "messages": [user("One?"), {"role": "assistant", "content": [{"type": "text", "text": "Two."}]}, user("Three? 日本語 🦀 \"quoted\" \\")],
    },
    "a tool, to be called": {"tools": [TOOL], "messages": [user("What is the weather in Paris? Use the tool.")], "max_tokens": 24},
    "a tool's result": {
        "tools": [TOOL],
        "messages": [user("Weather?"), {"role": "assistant", "content": [{"type": "text", "text": "I look."}, CALL]}, {"role": "user", "content": [WEATHER]}],
        "max_tokens": 40,
    },
    "two calls and their results": {
        "tools": [TOOL],
        "messages": [
            user("Weather?"),
            {"role": "assistant", "content": [CALL, {**CALL, "id": "toolu_02", "input": {"city": "Rome"}}]},
            {"role": "user", "content": [WEATHER, {**WEATHER, "tool_use_id": "toolu_02", "content": "sun"}]},
        ],
    },
    "a stop sequence": {"messages": [user("Name three colours.")], "stop_sequences": ["nowhere", " colours"]},
}
# What a Chat client asks.
CHAT = {
    "a word": {"messages": [user("Name three colours.")]},
    "a system text and several turns": {
        "messages": [{"role": "system", "content": "You are terse."}, user("One?"), {"role": "assistant", "content": "Two."}, user("Three? 日本語 🦀")]
    },
    "a tool, to be called": {"tools": [CHAT_TOOL], "messages": [user("What is the weather in Paris? Use the tool.")], "max_tokens": 24},
    "a tool's result": {
        "tools": [CHAT_TOOL],
        "messages": [
            user("Weather?"),
            {"role": "assistant", "content": "I look.", "tool_calls": [CHAT_CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": WEATHER["content"][0]["text"]},
        ],
        "max_tokens": 40,
    },
}
COMMON = {"model": "gemma", "max_tokens": 12, "temperature": 0}
FULL = re.compile(r"prompt is too long: \d+ tokens > 4096 maximum")


class Server(Program):
    """llama-server with the model, on a port of its own."""

    def __init__(self, folder: Path):
        # The prompt cache makes the split of input tokens, and the last digits of a logit, depend on what was asked before.
        args = ["-m", folder / "gemma.gguf", "--jinja", "--no-repack", "--chat-template-file", folder / "template.jinja"]
        args += ["--host", "127.0.0.1", "--port", "0", "-c", "4096", "-np", "1", "-t", "1", "--no-cache-prompt"]
        super().__init__(map(str, args), {}, lambda line: "listening on http://" in line, program=(str(folder / "llama-server"),))
        self.origin = self.start_line.split("listening on ")[1].strip()
        host, _, port = self.origin.removeprefix("http://").partition(":")
        self.address = (host, int(port))
        deadline = time.monotonic() + 60
        while ask(self.address, "GET", "/health").status != 200 and time.monotonic() < deadline:
            time.sleep(0.1)


def part(driver: str) -> list[Result]:
    server = Server(Path(os.environ["SIDESTREAM_AGENTS"]) / "llama")
    env = {
        "SIDESTREAM_PROVIDERS": "llamacpp,native",
        "SIDESTREAM_ROUTES": "*[api=messages] -> llamacpp; * -> native",
        "LLAMACPP_OPENAI_URL": server.origin + "/v1",
        "LLAMACPP_ANTHROPIC_URL": "off",
        "NATIVE_ANTHROPIC_URL": server.origin,
        "MOCK_API_KEY": "",
    }
    try:
        proxy = Sidestream(driver, env)
        try:
            return list(results(server.origin, "http://%s:%d" % proxy.address))
        finally:
            proxy.close()
    finally:
        server.close()


def results(direct: str, through: str):
    think = {"thinking": {"type": "adaptive"}}
    cases = [(f"Messages on Chat: {name}", messages, messages_stream, {**think, **body}) for name, body in MESSAGES.items()]
    cases += [(f"Chat on Messages: {name}", chat, chat_stream, body) for name, body in CHAT.items()]
    for name, whole, stream, body in cases:
        asked = {**COMMON, **body}
        yield compared(name, lambda: whole(direct, asked), lambda: whole(through, asked), lambda: stream(through, asked))
    yield overflowing(through)
    yield counted(direct, through)


def compared(name: str, direct, *ways) -> Result:
    """What the server says directly, against what comes by each of the other ways."""
    result, began = Result(name, requests=1 + len(ways)), time.monotonic()
    try:
        wanted = direct()
        result.notes.append(f"{wanted['input']} tokens in, {wanted['output']} out, {wanted['stop']}")
        for way in ways:
            if (got := way()) != wanted:
                result.findings.append(f"{got}, directly {wanted}")
    except Exception as error:  # noqa: BLE001 - any failure of a client is the result
        result.findings.append(f"{type(error).__name__}: {error}")
    result.seconds = time.monotonic() - began
    return result


def anthropic_client(origin: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=origin, api_key="a-clients-key", max_retries=0, timeout=120)


def messages(origin: str, body: dict) -> dict:
    return message_facts(anthropic_client(origin).messages.create(**sampling(body)))


def messages_stream(origin: str, body: dict) -> dict:
    with anthropic_client(origin).messages.stream(**sampling(body)) as stream:
        pieces = list(stream.text_stream)
        facts = message_facts(stream.get_final_message())
    if "".join(pieces) != "".join(b[1] for b in facts["content"] if b[0] == "text"):
        raise AssertionError(f"the pieces {pieces} are not the text of {facts}")
    return facts


def sampling(body: dict) -> dict:
    """The SDK of the newest API version has no temperature, the server knows it."""
    return {**{k: v for k, v in body.items() if k != "temperature"}, "extra_body": {"temperature": body["temperature"]}}


def message_facts(message) -> dict:
    usage = message.usage
    blocks = {"text": lambda b: ("text", b.text), "tool_use": lambda b: ("tool_use", b.name, json.dumps(b.input, sort_keys=True))}
    return {
        "content": [blocks[b.type](b) if b.type in blocks else (b.type,) for b in message.content],
        "stop": message.stop_reason,
        "input": usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0),
        "output": usage.output_tokens,
    }


def openai_client(origin: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=origin + "/v1", api_key="a-clients-key", max_retries=0, timeout=120)


def chat(origin: str, body: dict) -> dict:
    answer = openai_client(origin).chat.completions.create(**body)
    message, usage = answer.choices[0].message, answer.usage
    calls = [(c.function.name, loose(c.function.arguments)) for c in message.tool_calls or ()]
    return chat_facts(message.content, calls, answer.choices[0].finish_reason, usage)


def chat_stream(origin: str, body: dict) -> dict:
    text, calls, stop, usage = "", {}, None, None
    for chunk in openai_client(origin).chat.completions.create(**body, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            stop = choice.finish_reason or stop
            for call in choice.delta.tool_calls or ():
                name, arguments = calls.get(call.index, ("", ""))
                calls[call.index] = (name + (call.function.name or ""), arguments + (call.function.arguments or ""))
    return chat_facts(text, [(n, loose(a)) for n, a in calls.values()], stop, usage)


def chat_facts(text, calls, stop, usage) -> dict:
    return {"text": text or "", "calls": calls, "stop": stop, "input": usage.prompt_tokens, "output": usage.completion_tokens}


def loose(arguments: str) -> str:
    """Arguments in one spelling, where they are JSON: a model that ran out of tokens leaves half of them."""
    try:
        return json.dumps(json.loads(arguments), sort_keys=True)
    except ValueError:
        return arguments


def overflowing(through: str) -> Result:
    """A prompt larger than the context, in the words at which Claude Code compacts."""
    result, began = Result("Messages on Chat: a context that is full", requests=1), time.monotonic()
    try:
        anthropic_client(through).messages.create(model="gemma", max_tokens=8, messages=[user("word " * 6000)])
        result.findings.append("no error")
    except anthropic.APIStatusError as error:
        kind, said = error.body["error"]["type"], error.body["error"]["message"]
        result.notes.append(said)
        if (error.status_code, kind) != (400, "invalid_request_error") or not FULL.match(said):
            result.findings.append(f"{error.status_code} {kind} {said!r}")
    result.seconds = time.monotonic() - began
    return result


def counted(direct: str, through: str) -> Result:
    """count_tokens without a tokenizer of this model is an estimate: how far from the model's own count?"""
    result, began = Result("Messages on Chat: count_tokens", requests=2 * len(MESSAGES)), time.monotonic()
    ratios = []
    for name, body in MESSAGES.items():
        asked = {"model": "gemma", **{k: v for k, v in body.items() if k in ("messages", "system", "tools")}}
        try:
            own, ours = (anthropic_client(o).messages.count_tokens(**asked).input_tokens for o in (direct, through))
        except Exception as error:  # noqa: BLE001
            result.findings.append(f"{name}: {type(error).__name__}: {error}")
            continue
        ratios.append(ours / own)
        if not 0.2 < ours / own < 3:
            result.findings.append(f"{name}: {ours}, the server counts {own}")
    if ratios:
        result.notes.append(f"ratio to the server's own count {min(ratios):.2f} to {max(ratios):.2f}")
    result.seconds = time.monotonic() - began
    return result
