"""Strict readers of the two streams that a translation writes, from the vendors' documents and from what breaks their
SDKs. Each gives the stream in a short notation, so that a test's table can hold it on one line."""

import json
import re
from dataclasses import dataclass, field

from .sse import Reader

FRESH = {
    "toolu_": re.compile(r"toolu_[0-9A-Za-z]{24}"),
    "msg_": re.compile(r"msg_[0-9A-Za-z]{24}"),
    "chatcmpl-": re.compile(r"chatcmpl-[0-9A-Za-z]{29}"),
    "cmpl-": re.compile(r"cmpl-[0-9A-Za-z]{29}"),
}
MESSAGES_ID = re.compile(r"[a-zA-Z0-9_-]+")
# delta type -> (block type, field)
DELTAS = {
    "text_delta": ("text", "text"),
    "input_json_delta": ("tool_use", "partial_json"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
}
STARTS = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
    "tool_use": {"type": "tool_use", "id": ..., "name": ..., "input": {}},
    "redacted_thinking": {"type": "redacted_thinking", "data": ...},
}
STOPS = {"end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "model_context_window_exceeded"}
FINISHES = {"stop", "length", "tool_calls", "content_filter"}


def events(body: bytes):
    """(events, comments) of a whole stream; it ends at the end of an event."""
    reader = Reader()
    found = [event for at in range(0, len(body), 4096) for event in reader.push(body[at : at + 4096])]
    assert not reader.data and not reader.text, f"the stream ends inside an event: {body[-200:]!r}"
    return found, [comment.strip() for comment in reader.comments]


def named(name: str, prefix: str) -> str:
    """A tool call's id for a table: one that was made up is only said to be so."""
    return prefix + "*" if FRESH[prefix].fullmatch(name) else name


def dropped_in(comments) -> set[str]:
    """The losses that a stream tells in its last comment."""
    lines = [c.removeprefix("x-sidestream-dropped:") for c in comments if c.startswith("x-sidestream-dropped:")]
    assert len(lines) <= 1, lines
    return {path.strip() for line in lines for path in line.split(",")}


@dataclass
class Talk:
    """A stream or a whole answer of Messages."""

    message: dict = field(default_factory=dict)
    blocks: list = field(default_factory=list)
    brief: list = field(default_factory=list)
    stop: str | None = None
    usage: dict = field(default_factory=dict)
    error: dict | None = None
    comments: list = field(default_factory=list)
    pings: int = 0
    inputs: bool = True

    @property
    def dropped(self) -> set[str]:
        return dropped_in(self.comments)

    def told(self, usage: bool = False) -> str:
        """The short notation; with the numbers of the usage only where a table has them."""
        text = " ".join(self.brief)
        return text if usage else re.sub(r"md\((\w+),[^)]*\)", r"md(\1)", text)


def held_to_usage(usage: dict) -> None:
    for name in ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"):
        assert isinstance(usage.get(name), int) and usage[name] >= 0, f"usage.{name}: {usage}"


def messages_stream(body: bytes, inputs: bool = True) -> Talk:
    """Reads a Messages stream by its state machine: nothing out of order, nothing of the wrong kind, nothing after the
    end. `inputs`: the calls' inputs are JSON objects, as they are where the provider's were."""
    talk, open_block, over = Talk(inputs=inputs), None, False
    found, talk.comments = events(body)
    for name, data, _ in found:
        assert not over, f"after the end: {name} {data}"
        event = json.loads(data)
        assert event["type"] == name, f"event {name} with {data}"
        if name == "ping":
            talk.pings += 1
        elif name == "error":
            assert set(event) <= {"type", "error", "request_id"} and event["error"]["message"] and event["error"]["type"], event
            talk.error, over = event["error"], True
            talk.brief.append(f"error({event['error']['type']})")
        elif name == "message_start":
            assert not talk.message, "a second message_start"
            talk.message = held_to_message(event["message"], started=True)
        else:
            assert talk.message, f"{name} before message_start"
            open_block = _MESSAGES[name](talk, event, open_block)
            over = name == "message_stop"
    assert over, f"no end: {talk.brief}"
    assert talk.message or talk.error
    return talk


def held_to_message(message: dict, started: bool = False) -> dict:
    assert FRESH["msg_"].fullmatch(message["id"]), message["id"]
    assert (message["type"], message["role"]) == ("message", "assistant")
    assert isinstance(message["model"], str) and message["stop_sequence"] is None or not started
    if started:
        assert message["content"] == [] and message["stop_reason"] is None
    held_to_usage(message["usage"])
    if started:
        assert message["usage"]["input_tokens"] + message["usage"]["cache_read_input_tokens"] > 0, "a context meter at 0 %"
    return message


def _block_start(talk: Talk, event: dict, open_block):
    assert open_block is None, f"block {event['index']} starts inside block {open_block}"
    assert event["index"] == len(talk.blocks), f"block {event['index']} after {len(talk.blocks)} blocks"
    block = event["content_block"]
    pattern = STARTS[block["type"]]
    assert set(block) == set(pattern), block
    assert all(wanted is ... or block[key] == wanted for key, wanted in pattern.items()), block
    talk.blocks.append({**block, "_deltas": []})
    what = block["type"]
    if what == "tool_use":
        assert MESSAGES_ID.fullmatch(block["id"]) and block["name"], block
        assert block["id"] not in [b.get("id") for b in talk.blocks[:-1]], f"id twice: {block['id']}"
        what += f"({named(block['id'], 'toolu_')},{block['name']})"
    talk.brief.append(f"start{event['index']}:{what}")
    return event["index"]


def _block_delta(talk: Talk, event: dict, open_block):
    assert event["index"] == open_block, f"a delta of block {event['index']} while {open_block} is open"
    block, delta = talk.blocks[open_block], event["delta"]
    kind, name = DELTAS[delta["type"]]
    assert block["type"] == kind and set(delta) == {"type", name}, (block, delta)
    assert "signature_delta" not in block["_deltas"], "something after the signature"
    block["_deltas"].append(delta["type"])
    if delta["type"] == "signature_delta":
        assert delta["signature"]
        block["signature"] = delta["signature"]
        talk.brief.append(f"signature{open_block}")
        return open_block
    key = "_json" if kind == "tool_use" else name
    block[key] = block.get(key, "") + delta[name]
    talk.brief.append(f"{ {'partial_json': 'json'}.get(name, name)}{open_block}:{delta[name]!r}")
    return open_block


def _block_stop(talk: Talk, event: dict, open_block):
    assert event["index"] == open_block, f"stop of block {event['index']} while {open_block} is open"
    block = talk.blocks[open_block]
    if block["type"] == "thinking":
        assert block["_deltas"][-1:] == ["signature_delta"], "thinking without a signature"
    talk.brief.append(f"stop{open_block}")
    return None


def _message_delta(talk: Talk, event: dict, open_block):
    assert open_block is None, f"message_delta inside block {open_block}"
    assert talk.stop is None, "message_delta twice"
    delta, usage = event["delta"], event["usage"]
    assert delta["stop_reason"] in STOPS and "stop_sequence" in delta, delta
    held_to_usage(usage)
    assert len(talk.blocks) > 0, "an answer without a block"
    for block in talk.blocks:
        if block["type"] == "tool_use" and talk.inputs and delta["stop_reason"] != "max_tokens":
            assert isinstance(json.loads(block.get("_json") or "{}"), dict), f"input: {block}"
    talk.stop, talk.usage = delta["stop_reason"], usage
    talk.brief.append(f"md({talk.stop},{usage['input_tokens']}+{usage['cache_read_input_tokens']}/{usage['output_tokens']})")
    return None


def _message_stop(talk: Talk, event: dict, open_block):
    assert talk.stop is not None and set(event) == {"type"}, event
    return None


_MESSAGES = {
    "content_block_start": _block_start,
    "content_block_delta": _block_delta,
    "content_block_stop": _block_stop,
    "message_delta": _message_delta,
    "message_stop": _message_stop,
}


def messages_body(body: bytes) -> Talk:
    """A whole Messages answer: its blocks in the notation of a stream, each delta in one piece."""
    message = held_to_message(json.loads(body))
    talk = Talk(message=message, blocks=message["content"], stop=message["stop_reason"], usage=message["usage"])
    assert talk.stop in STOPS and "stop_sequence" in message and talk.blocks, message
    for number, block in enumerate(talk.blocks):
        kind = block["type"]
        if kind == "text":
            talk.brief.append(f"text{number}:{block['text']!r}")
        elif kind == "thinking":
            assert block["signature"], "thinking without a signature"
            talk.brief.append(f"thinking{number}:{block['thinking']!r}")
        else:
            assert kind == "tool_use" and isinstance(block["input"], dict), block
            assert MESSAGES_ID.fullmatch(block["id"])
            talk.brief.append(f"tool_use{number}({named(block['id'], 'toolu_')},{block['name']}):{json.dumps(block['input'], ensure_ascii=False)}")
    talk.brief.append(f"md({talk.stop},{talk.usage['input_tokens']}+{talk.usage['cache_read_input_tokens']}/{talk.usage['output_tokens']})")
    return talk


# ── Chat Completions ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Chat:
    """A stream or a whole answer of Chat Completions."""

    chunks: list = field(default_factory=list)
    brief: list = field(default_factory=list)
    text: str = ""
    reasoning: str = ""
    details: list = field(default_factory=list)
    calls: list = field(default_factory=list)
    finish: str | None = None
    usage: dict | None = None
    error: dict | None = None
    comments: list = field(default_factory=list)

    @property
    def dropped(self) -> set[str]:
        return dropped_in(self.comments)

    def told(self) -> str:
        return " ".join(self.brief)


def told_usage(usage: dict) -> str:
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"], usage
    return f"usage({usage['prompt_tokens']},{usage['completion_tokens']},{usage['total_tokens']},cached {cached})"


def chat_stream(body: bytes) -> Chat:
    """Reads a Chat stream as strictly as what breaks the SDKs' helpers: `choices` always, the role first, one finish
    chunk, id, name and type once a call, indexes 0, 1, 2."""
    chat, done, head = Chat(), False, None
    found, chat.comments = events(body)
    for name, data, _ in found:
        assert name == "message" and not done and chat.error is None, f"{name} {data} after {chat.brief}"
        if data == "[DONE]":
            assert chat.finish, "[DONE] without a finish chunk"
            done = True
            chat.brief.append("[DONE]")
            continue
        chunk = json.loads(data)
        chat.chunks.append(chunk)
        if "error" in chunk:
            assert set(chunk) == {"error"} and {"message", "type", "param", "code"} <= set(chunk["error"]), chunk
            chat.error = chunk["error"]
            chat.brief.append(f"error({chat.error['type']},{chat.error['code']})")
            continue
        assert FRESH["chatcmpl-"].fullmatch(chunk["id"]) and chunk["object"] == "chat.completion.chunk", chunk
        this = (chunk["id"], chunk["created"], chunk["model"])
        head = head or this
        assert this == head and isinstance(chunk["created"], int), f"{this} after {head}"
        _chunk(chat, chunk)
    assert done or chat.error, f"no end: {chat.brief}"
    return chat


def _chunk(chat: Chat, chunk: dict) -> None:
    assert chat.usage is None, "something after the usage"
    if not chunk["choices"]:
        assert chat.finish, "usage before the finish chunk"
        chat.usage = chunk["usage"]
        chat.brief.append(told_usage(chat.usage))
        return
    assert not chunk.get("usage"), "usage beside a choice"
    (choice,) = chunk["choices"]
    assert choice["index"] == 0 and "finish_reason" in choice and chat.finish is None, choice
    delta = choice["delta"]
    if not chat.brief:
        assert delta == {"role": "assistant", "content": ""} and choice["finish_reason"] is None, f"first: {choice}"
        chat.brief.append("role")
        return
    assert "role" not in delta, delta
    for call in delta.get("tool_calls", ()):
        _call(chat, call)
    for key, word in (("reasoning_content", "reasoning"), ("content", "content"), ("refusal", "refusal")):
        if delta.get(key) is not None:
            assert delta[key], f"an empty {key}"
            chat.brief.append(f"{word}:{delta[key]!r}")
            chat.text += delta[key] if key == "content" else ""
            chat.reasoning += delta[key] if key == "reasoning_content" else ""
    chat.details += delta.get("reasoning_details", [])
    unknown = set(delta) - {"tool_calls", "reasoning_content", "content", "refusal", "reasoning_details", "annotations"}
    assert not unknown, f"members of a delta: {unknown}"
    if choice["finish_reason"] is not None:
        assert choice["finish_reason"] in FINISHES, choice
        chat.finish = choice["finish_reason"]
        chat.brief.append(f"finish({chat.finish})")
    else:
        assert delta, "an empty chunk"


def _call(chat: Chat, call: dict) -> None:
    number, function = call["index"], call["function"]
    if number == len(chat.calls):
        assert call["type"] == "function" and call["id"] and function["name"] and "arguments" in function, call
        assert call["id"] not in [c["id"] for c in chat.calls], f"id twice: {call['id']}"
        assert len(call["id"]) <= 64, call["id"]
        chat.calls.append({"id": call["id"], "name": function["name"], "arguments": ""})
        chat.brief.append(f"call{number}({call['id']},{function['name']})")
    else:
        assert number < len(chat.calls), f"index {number} after {len(chat.calls)} calls"
        assert set(call) == {"index", "function"} and set(function) == {"arguments"}, f"id, name and type once: {call}"
    if function["arguments"]:
        chat.calls[number]["arguments"] += function["arguments"]
        chat.brief.append(f"args{number}:{function['arguments']!r}")


def chat_body(body: bytes) -> Chat:
    answer = json.loads(body)
    assert FRESH["chatcmpl-"].fullmatch(answer["id"]) and answer["object"] == "chat.completion", answer
    assert isinstance(answer["created"], int) and answer["created"] > 1_600_000_000
    (choice,) = answer["choices"]
    message = choice["message"]
    assert choice["index"] == 0 and message["role"] == "assistant" and "content" in message and "refusal" in message, answer
    assert choice["finish_reason"] in FINISHES and "logprobs" in choice, choice
    chat = Chat(chunks=[answer], finish=choice["finish_reason"], usage=answer["usage"], text=message["content"] or "")
    chat.reasoning, chat.details = message.get("reasoning_content") or "", message.get("reasoning_details", [])
    if chat.reasoning:
        chat.brief.append(f"reasoning:{chat.reasoning!r}")
    if message["content"] is not None:
        chat.brief.append(f"content:{message['content']!r}")
    if message["refusal"] is not None:
        chat.brief.append(f"refusal:{message['refusal']!r}")
    for number, call in enumerate(message.get("tool_calls", ())):
        assert call["type"] == "function" and set(call["function"]) == {"name", "arguments"}, call
        assert isinstance(json.loads(call["function"]["arguments"]), dict), call
        chat.calls.append({"id": call["id"], **call["function"]})
        chat.brief.append(f"call{number}({call['id']},{call['function']['name']}):{call['function']['arguments']!r}")
    chat.brief += [f"finish({chat.finish})", told_usage(chat.usage)]
    return chat
