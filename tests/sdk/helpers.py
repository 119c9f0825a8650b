"""What applications use above the bare calls of the Python SDKs: the streaming helpers, tool runners, parsed answers. One
function per scenario, as in run.py."""

import json

import anthropic
import pydantic

from .run import CHAT_TOOL, CLAUDE, MODEL, user

THINKING = {"type": "enabled", "budget_tokens": 1024}


class Weather(pydantic.BaseModel):
    city: str
    degrees: int


def chat_helper(c):
    kinds, text = set(), ""
    with c.chat.completions.stream(model=MODEL, messages=user("say hello"), stream_options={"include_usage": True}) as stream:
        for event in stream:
            kinds.add(event.type)
            text += event.delta if event.type == "content.delta" else ""
        answer = stream.get_final_completion()
    message = answer.choices[0].message
    assert message.content == text and message.role == "assistant"
    return {"text": text, "stop": answer.choices[0].finish_reason, "kinds": sorted(kinds), "counted": answer.usage.total_tokens > 0}


def chat_helper_tool(c):
    kinds = set()
    with c.chat.completions.stream(model=MODEL, messages=user("use the tool"), tools=[CHAT_TOOL]) as stream:
        for event in stream:
            kinds.add(event.type)
        answer = stream.get_final_completion()
    (call,) = answer.choices[0].message.tool_calls
    return {"name": call.function.name, "arguments": json.loads(call.function.arguments), "stop": answer.choices[0].finish_reason, "type": call.type}


def chat_helper_history(c):
    """What the helper gave is sent back as it is, with the tool's result."""
    with c.chat.completions.stream(model=MODEL, messages=user("use the tool"), tools=[CHAT_TOOL]) as stream:
        message = stream.get_final_completion().choices[0].message
    turns = [*user("use the tool"), message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "21"}]
    answer = c.chat.completions.create(model=MODEL, messages=turns, tools=[CHAT_TOOL])
    return {"text": answer.choices[0].message.content, "stop": answer.choices[0].finish_reason}


def chat_parse(c):
    answer = c.chat.completions.parse(model=MODEL, messages=user("as json"), response_format=Weather)
    return {"parsed": answer.choices[0].message.parsed.model_dump()}


def chat_reasoning(c):
    answer = c.chat.completions.create(model=MODEL, messages=user("think first"), reasoning_effort="high")
    return {"text": answer.choices[0].message.content, "stop": answer.choices[0].finish_reason}


def chat_error_inside(c):
    return broken(lambda: [chunk for chunk in c.chat.completions.create(model=MODEL, messages=user("say hello"), stream=True, extra_headers={"x-mock-error-at": "4"})])


def messages_helper(a):
    kinds, text = [], ""
    with a.messages.stream(model=CLAUDE, max_tokens=500, messages=user("say hello")) as stream:
        for event in stream:
            kinds += [event.type] if event.type not in kinds else []
            text += event.text if event.type == "text" else ""
        answer = stream.get_final_message()
        assert stream.get_final_text() == text
    return {"text": text, "stop": answer.stop_reason, "kinds": [k for k in kinds if k != "ping"], "counted": answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0}


def messages_text_stream(a):
    with a.messages.stream(model=CLAUDE, max_tokens=500, messages=user("say hello")) as stream:
        return {"text": "".join(stream.text_stream), "stop": stream.get_final_message().stop_reason}


def messages_thinking(a):
    with a.messages.stream(model=CLAUDE, max_tokens=5000, messages=user("think first"), thinking=THINKING) as stream:
        answer = stream.get_final_message()
    thought = next(block for block in answer.content if block.type == "thinking")
    again = [*user("think first"), {"role": "assistant", "content": answer.content}, *user("say hello")]
    after = a.messages.create(model=CLAUDE, max_tokens=5000, messages=again, thinking=THINKING)
    return {"kinds": [block.type for block in answer.content], "thought": bool(thought.thinking), "signed": bool(thought.signature), "stop": after.stop_reason}


def messages_tool_runner(a):
    seen = []

    @anthropic.beta_tool
    def weather(city: str, note: str = "") -> str:
        """Weather

        Args:
            city: Where.
            note: Anything.
        """
        seen.append(city)
        return "21"

    runner = a.beta.messages.tool_runner(model=CLAUDE, max_tokens=500, messages=user("use the tool"), tools=[weather], max_iterations=2)
    stops = [message.stop_reason for message in runner]
    return {"asked": len(seen) > 0, "cities": sorted(set(seen)), "stops": stops}


def messages_parse(a):
    answer = a.messages.parse(model=CLAUDE, max_tokens=500, messages=user("as json"), output_format=Weather)
    return {"parsed": answer.parsed_output.model_dump()}


def messages_error_inside(a):
    def call():
        with a.messages.stream(model=CLAUDE, max_tokens=500, messages=user("say hello"), extra_headers={"x-mock-error-at": "4"}) as stream:
            stream.get_final_message()

    return broken(call)


def broken(call):
    """An error in the middle of a stream is raised, whatever came before."""
    try:
        call()
    except Exception as error:  # noqa: BLE001
        return {"failed": type(error).__name__}
    raise AssertionError("no error was raised")


OPENAI = {f.__name__: f for f in (chat_helper, chat_helper_tool, chat_helper_history, chat_parse, chat_reasoning, chat_error_inside)}
ANTHROPIC = {f.__name__: f for f in (messages_helper, messages_text_stream, messages_thinking, messages_tool_runner, messages_parse, messages_error_inside)}
