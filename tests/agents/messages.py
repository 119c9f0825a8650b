"""The Messages face of a scripted provider: writes answers as the Anthropic API does, signatures included, and holds
requests to its rules."""

import json
import re

from .chat import pieces
from .words import Say, Seen

NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
ID = re.compile(r"[a-zA-Z0-9_-]+")
TOP = {
    *("model", "messages", "system", "max_tokens", "stream", "stop_sequences", "temperature", "top_p", "top_k", "metadata"),
    *("tools", "tool_choice", "thinking", "output_config", "context_management", "service_tier", "cache_control"),
}
# Blocks and their fields; those of an answer that a client sends back are among them.
BLOCKS = {
    "text": {"text", "citations"},
    "image": {"source"},
    "document": {"source", "title", "context", "citations"},
    "tool_use": {"id", "name", "input", "caller"},
    "tool_result": {"tool_use_id", "content", "is_error"},
    "thinking": {"thinking", "signature"},
}
WHERE = {"user": {"text", "image", "document", "tool_result"}, "assistant": {"text", "tool_use", "thinking"}, "system": {"text"}}


def signature(thinking: str) -> str:
    """What this provider signs a thought with, and demands back."""
    return "Eq" + thinking.encode().hex()[:40] + "=="


# ---- requests ----


def read(body: dict) -> list[Seen]:
    """The conversation, each tool result as a message of its own."""
    seen = []
    system = body.get("system")
    if system:
        seen.append(Seen("system", text=_text(system)))
    for m in body["messages"]:
        blocks = _blocks(m["content"])
        for b in blocks:
            if b["type"] == "tool_result":
                inner = _blocks(b.get("content") or "")
                images = sum(x["type"] == "image" for x in inner)
                seen.append(Seen("tool", text=_text(inner), call_id=b["tool_use_id"], images=images))
        rest = [b for b in blocks if b["type"] != "tool_result"]
        if rest:
            seen.append(
                Seen(
                    m["role"],
                    text=_text(rest),
                    thinking="".join(b["thinking"] for b in rest if b["type"] == "thinking"),
                    calls=[(b["id"], b["name"], b["input"]) for b in rest if b["type"] == "tool_use"],
                    images=sum(b["type"] == "image" for b in rest),
                )
            )
    return seen


def _blocks(content) -> list[dict]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _text(content) -> str:
    """Of text blocks, and the names that a search for tools found."""
    return "".join(b.get("text") or b.get("tool_name", "") for b in _blocks(content))


def tools(body: dict) -> dict[str, str]:
    """Names and descriptions."""
    return {t["name"]: t.get("description", "") for t in body.get("tools", ())}


def problems(body: dict, extra=frozenset()) -> list[str]:
    """Why the Anthropic API would refuse this body."""
    bad = [f"unknown field {k}" for k in body.keys() - TOP - extra]
    if not isinstance(body.get("max_tokens"), int):
        bad.append("max_tokens: Field required")
    if not body.get("tools") and "tool_choice" in body:
        bad.append("tool_choice without tools")
    if body.get("system") in ("", []):
        bad.append("an empty system")
    for tool in body.get("tools", ()):
        schema = tool.get("input_schema")
        if "type" in tool and tool["type"] != "custom":
            continue
        if not NAME.fullmatch(tool["name"]) or not isinstance(schema, dict) or schema.get("type") != "object":
            bad.append(f"tool {tool['name']!r}: input_schema.type must be object")
        elif schema.keys() & {"oneOf", "anyOf", "allOf"}:
            bad.append(f"tool {tool['name']!r}: oneOf, anyOf, allOf at the top")
    messages = body["messages"]
    if not messages or messages[0]["role"] != "user":
        bad.append("the first message must be the user's")
    for at, m in enumerate(messages):
        bad += [f"messages[{at}]: {p}" for p in _message_problems(m)]
    if messages and messages[-1]["role"] == "assistant":
        bad.append("This model does not support assistant message prefill: the conversation must end with a user message")
    budget = body.get("thinking", {}).get("budget_tokens")
    if budget is not None and not 1024 <= budget < body.get("max_tokens", 0):
        bad.append(f"thinking.budget_tokens {budget} with max_tokens {body.get('max_tokens')}")
    return bad + _order_problems(messages)


def _message_problems(m: dict) -> list[str]:
    bad = [f"field {k}" for k in m.keys() - {"role", "content"}]
    if m["role"] not in WHERE:
        return [f"role {m['role']!r}"]
    blocks = _blocks(m["content"])
    if not blocks:
        bad.append("no content")
    results_over = False
    for b in blocks:
        kind = b.get("type")
        if kind not in WHERE[m["role"]]:
            bad.append(f"a block {kind!r} in a message of role {m['role']}")
            continue
        bad += [f"{kind}.{k}: Extra inputs are not permitted" for k in b.keys() - BLOCKS[kind] - {"type", "cache_control"}]
        bad += _block_problems(b)
        if kind == "tool_result" and results_over:
            bad.append("a tool_result behind other blocks")
        results_over = results_over or kind != "tool_result"
    return bad


def _block_problems(b: dict) -> list[str]:
    if b["type"] == "text" and not b["text"].strip():
        return ["text content blocks must be non-empty"]
    if b["type"] == "tool_use":
        good = ID.fullmatch(b["id"]) and NAME.fullmatch(b["name"]) and isinstance(b["input"], dict)
        return [] if good else [f"tool_use {b}"]
    if b["type"] == "thinking" and b.get("signature") != signature(b["thinking"]):
        return [f"Invalid `signature` in `thinking` block: {b.get('signature')!r}"]
    if b["type"] == "tool_result":
        return [f"tool_result: {p}" for x in _blocks(b.get("content") or []) if x["type"] == "text" for p in _block_problems(x)]
    return []


def _order_problems(messages: list[dict]) -> list[str]:
    """Calls are answered in the next message, once each; ids are unique. Same roles in a row are one turn."""
    turns: list[tuple[str, list[dict]]] = []
    for m in messages:
        if m["role"] == "system":
            continue
        if turns and turns[-1][0] == m["role"]:
            turns[-1][1].extend(_blocks(m["content"]))
        else:
            turns.append((m["role"], list(_blocks(m["content"]))))
    bad, ids, open_ids = [], set(), []
    for role, blocks in [*turns, ("end", [])]:
        results = [b["tool_use_id"] for b in blocks if b.get("type") == "tool_result"]
        if role == "user" or open_ids:
            if missing := [i for i in open_ids if i not in results]:
                bad.append(f"`tool_use` ids were found without `tool_result` blocks immediately after: {missing}")
            if excess := [i for i in results if i not in open_ids]:
                bad.append(f"unexpected `tool_use_id`: {excess}")
            if len(set(results)) != len(results):
                bad.append(f"two results for one call: {results}")
        open_ids = [b["id"] for b in blocks if b.get("type") == "tool_use"]
        if twice := [i for i in open_ids if i in ids] or len(set(open_ids)) != len(open_ids):
            bad.append(f"`tool_use` ids must be unique: {twice}")
        ids.update(open_ids)
    return bad


# ---- answers ----


def _usage(usage: dict) -> dict:
    """The numbers of a Chat usage, the way this dialect tells them."""
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    return {
        "input_tokens": usage["prompt_tokens"] - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": usage["completion_tokens"],
    }


def _content(say: Say) -> list[dict]:
    blocks: list[dict] = []
    if say.thinking:
        blocks.append({"type": "thinking", "thinking": say.thinking, "signature": signature(say.thinking)})
    if say.text:
        blocks.append({"type": "text", "text": say.text})
    for call in say.calls:
        blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "input": call.input})
    return blocks


def _stop(say: Say) -> str:
    return say.stop or ("tool_use" if say.calls else "end_turn")


def blocking(say: Say, id: str, model: str, usage: dict) -> bytes:
    message = {"id": id, "type": "message", "role": "assistant", "model": model, "content": _content(say)}
    return json.dumps({**message, "stop_reason": _stop(say), "stop_sequence": None, "usage": _usage(usage)}).encode()


def event(kind: str, **data) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data}, ensure_ascii=False)}\n\n".encode()


def stream(say: Say, id: str, model: str, usage: dict) -> list[bytes]:
    """The answer as events, to be written one by one."""
    numbers = _usage(usage)
    head = {"id": id, "type": "message", "role": "assistant", "model": model, "content": []}
    head |= {"stop_reason": None, "stop_sequence": None, "usage": {**numbers, "output_tokens": 1}}
    events = [event("message_start", message=head), event("ping")]
    for index, block in enumerate(_content(say)):
        events += _block_events(index, block)
    if say.cut:
        events = events[: (len(events) + 1) // 2]
        if say.cut == "error":
            events.append(event("error", error={"type": "overloaded_error", "message": "Overloaded"}))
        return events
    stop = {"stop_reason": _stop(say), "stop_sequence": None}
    return [*events, event("message_delta", delta=stop, usage={"output_tokens": numbers["output_tokens"]}), event("message_stop")]


def _block_events(index: int, block: dict) -> list[bytes]:
    kind = block["type"]
    if kind == "tool_use":
        start, text = {**block, "input": {}}, json.dumps(block["input"], ensure_ascii=False)
        deltas = [{"type": "input_json_delta", "partial_json": p} for p in ["", *pieces(text)]]
    elif kind == "thinking":
        start = {**block, "thinking": "", "signature": ""}
        deltas = [{"type": "thinking_delta", "thinking": p} for p in pieces(block["thinking"])]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    else:
        start = {**block, "text": ""}
        deltas = [{"type": "text_delta", "text": p} for p in pieces(block["text"])]
    return [
        event("content_block_start", index=index, content_block=start),
        *(event("content_block_delta", index=index, delta=d) for d in deltas),
        event("content_block_stop", index=index),
    ]
