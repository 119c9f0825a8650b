"""The official Python SDKs, one function per scenario; each returns plain data about what the application saw."""

import json

import anthropic
import openai

TOOL_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT_TOOL = {"type": "function", "function": {"name": "weather", "description": "Weather", "parameters": TOOL_SCHEMA}}
RESPONSES_TOOL = {"type": "function", "name": "weather", "parameters": TOOL_SCHEMA, "strict": False}
MESSAGES_TOOL = {"name": "weather", "description": "Weather", "input_schema": TOOL_SCHEMA}
MODEL = "gpt-4o"
CLAUDE = "claude-opus-4-8"


def user(text):
    return [{"role": "user", "content": text}]


def chat(c):
    answer = c.chat.completions.create(model=MODEL, messages=user("say hello"))
    return {"text": answer.choices[0].message.content, "stop": answer.choices[0].finish_reason}


def chat_stream(c):
    text, stop, chunks = "", None, 0
    for chunk in c.chat.completions.create(model=MODEL, messages=user("say hello"), stream=True):
        chunks += 1
        for choice in chunk.choices:
            text += choice.delta.content or ""
            stop = choice.finish_reason or stop
    return {"text": text, "stop": stop, "chunks": chunks}


def chat_stream_usage(c):
    options = {"include_usage": True}
    stream = c.chat.completions.create(model=MODEL, messages=user("say hello"), stream=True, stream_options=options)
    usage = [chunk.usage for chunk in stream if chunk.usage]
    return {"usages": len(usage), "counted": usage[-1].total_tokens > 0}


def chat_tool(c):
    answer = c.chat.completions.create(model=MODEL, messages=user("use the tool"), tools=[CHAT_TOOL])
    call = answer.choices[0].message.tool_calls[0]
    return {"name": call.function.name, "arguments": json.loads(call.function.arguments), "stop": answer.choices[0].finish_reason}


def chat_tool_stream(c):
    name, arguments, stop = "", "", None
    for chunk in c.chat.completions.create(model=MODEL, messages=user("use the tool"), tools=[CHAT_TOOL], stream=True):
        for choice in chunk.choices:
            for call in choice.delta.tool_calls or []:
                name += call.function.name or ""
                arguments += call.function.arguments or ""
            stop = choice.finish_reason or stop
    return {"name": name, "arguments": json.loads(arguments), "stop": stop}


def chat_tool_result(c):
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}
    turns = [*user("use the tool"), {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "call_1", "content": "21"}]
    answer = c.chat.completions.create(model=MODEL, messages=turns, tools=[CHAT_TOOL])
    return {"text": answer.choices[0].message.content, "stop": answer.choices[0].finish_reason}


def embeddings(c):
    answer = c.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    return {"vectors": len(answer.data), "numbers": all(isinstance(x, float) for x in answer.data[0].embedding)}


def models(c):
    return {"ids": sorted(m.id for m in c.models.list())}


def responses(c):
    answer = c.responses.create(model=MODEL, input="say hello")
    return {"text": answer.output_text, "stop": answer.status}


def responses_stream(c):
    text, kinds = "", []
    for event in c.responses.create(model=MODEL, input="say hello", stream=True):
        kinds.append(event.type)
        text += event.delta if event.type == "response.output_text.delta" else ""
    return {"text": text, "stop": kinds[-1], "chunks": len(kinds)}


def responses_tool(c):
    answer = c.responses.create(model=MODEL, input="use the tool", tools=[RESPONSES_TOOL])
    call = next(item for item in answer.output if item.type == "function_call")
    return {"name": call.name, "arguments": json.loads(call.arguments)}


def chat_error(status):
    def scenario(c):
        def call():
            c.chat.completions.create(model=MODEL, messages=user(f"fail with {status}"), extra_headers=controls(status))

        return failure(call, openai.APIStatusError)

    return scenario


def chat_error_stream(c):
    def call():
        c.chat.completions.create(model=MODEL, messages=user("fail with 429"), stream=True, extra_headers=controls(429))

    return failure(call, openai.APIStatusError)


def messages(a):
    answer = a.messages.create(model=CLAUDE, max_tokens=500, messages=user("say hello"))
    return {"text": answer.content[0].text, "stop": answer.stop_reason, "counted": answer.usage.output_tokens > 0}


def messages_stream(a):
    kinds = []
    with a.messages.stream(model=CLAUDE, max_tokens=500, messages=user("say hello")) as stream:
        for event in stream:
            kinds.append(event.type)
        answer = stream.get_final_message()
    return {"text": answer.content[0].text, "stop": answer.stop_reason, "last": kinds[-1], "chunks": len(kinds)}


def messages_tool(a):
    answer = a.messages.create(model=CLAUDE, max_tokens=500, messages=user("use the tool"), tools=[MESSAGES_TOOL])
    call = next(block for block in answer.content if block.type == "tool_use")
    return {"name": call.name, "arguments": call.input, "stop": answer.stop_reason}


def messages_tool_stream(a):
    with a.messages.stream(model=CLAUDE, max_tokens=500, messages=user("use the tool"), tools=[MESSAGES_TOOL]) as stream:
        answer = stream.get_final_message()
    call = next(block for block in answer.content if block.type == "tool_use")
    return {"name": call.name, "arguments": call.input, "stop": answer.stop_reason}


def messages_tool_result(a):
    turns = [
        *user("use the tool"),
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Paris"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "21"}, {"type": "text", "text": "say hello"}]},
    ]
    answer = a.messages.create(model=CLAUDE, max_tokens=500, messages=turns, tools=[MESSAGES_TOOL])
    return {"text": answer.content[0].text, "stop": answer.stop_reason}


def messages_error(status):
    def scenario(a):
        def call():
            a.messages.create(model=CLAUDE, max_tokens=5, messages=user(f"fail with {status}"), extra_headers=controls(status))

        return failure(call, anthropic.APIStatusError)

    return scenario


def count_tokens(a):
    return {"tokens": a.messages.count_tokens(model=CLAUDE, messages=user("say hello")).input_tokens}


def controls(status):
    """What makes the project's own mock fail; the other one goes by the text."""
    return {"x-mock-status": str(status), **({"x-mock-retry-after": "7"} if status == 429 else {})}


def failure(call, kind):
    try:
        call()
    except kind as error:
        return {
            "class": type(error).__name__,
            "status": error.status_code,
            "retry_after": error.response.headers.get("retry-after"),
            "ours": error.response.headers.get("x-sidestream-error"),
            "message": error.message,
        }
    raise AssertionError("no error was raised")


STATUSES = (400, 429, 529)
OPENAI = {
    **{f.__name__: f for f in (chat, chat_stream, chat_stream_usage, chat_tool, chat_tool_stream, chat_tool_result)},
    **{f.__name__: f for f in (embeddings, models, responses, responses_stream, responses_tool, chat_error_stream)},
    **{f"chat_error_{status}": chat_error(status) for status in STATUSES},
}
ANTHROPIC = {
    **{f.__name__: f for f in (messages, messages_stream, messages_tool, messages_tool_stream, messages_tool_result, count_tokens)},
    **{f"messages_error_{status}": messages_error(status) for status in STATUSES},
}


# What users write behind the origin: what the vendors say, and what is just as common.
BASES = {"usual": {"openai": "/v1", "anthropic": ""}, "other": {"openai": "", "anthropic": "/v1"}}


def run(origin: str, bases: str = "usual", of_openai=OPENAI, of_anthropic=ANTHROPIC) -> dict:
    """Every scenario against that origin: its result, or {"raised": text}."""
    results, base = {}, {vendor: origin + path for vendor, path in BASES[bases].items()}
    clients = [
        (of_openai, openai.OpenAI(base_url=base["openai"], api_key="sk-the-clients-own", max_retries=0, timeout=20)),
        (of_anthropic, anthropic.Anthropic(base_url=base["anthropic"], api_key="sk-the-clients-own", max_retries=0, timeout=20)),
    ]
    for scenarios, client in clients:
        with client:
            for name, scenario in scenarios.items():
                try:
                    results[name] = scenario(client)
                except Exception as error:  # noqa: BLE001 - judged by the test of that name
                    results[name] = {"raised": f"{type(error).__name__}: {error}"}
    return results
