"""The Chat Completions face of a scripted provider: writes answers in every style that compatible servers are known for,
and holds requests to the rules of api.openai.com, which few servers forgive breaking."""

import itertools
import json
import re

from .words import Call, Say, Seen

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
TOP = {
    *("model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "stream", "stream_options"),
    *("tools", "tool_choice", "parallel_tool_calls", "reasoning_effort", "response_format", "user"),
}
FIELDS = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls"},
    "tool": {"role", "content", "tool_call_id"},
}
CREATED = 1760000000
# What a signing vendor proves its thoughts with.
PROOF = "c2lnbmVkIGJ5IHRoZSB2ZW5kb3I="


# ---- requests ----


def read(body: dict) -> list[Seen]:
    """The conversation."""
    return [_seen(m) for m in body["messages"]]


def _seen(m: dict) -> Seen:
    content = m.get("content") or ""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    calls = [(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in m.get("tool_calls") or ()]
    return Seen(
        role=m["role"],
        text="".join(p["text"] for p in parts if p["type"] == "text"),
        thinking=m.get("reasoning_content") or m.get("reasoning") or "",
        calls=calls,
        call_id=m.get("tool_call_id", ""),
        images=sum(p["type"] == "image_url" for p in parts),
    )


def tools(body: dict) -> dict[str, str]:
    """Names and descriptions."""
    return {t["function"]["name"]: t["function"].get("description", "") for t in body.get("tools", ())}


def problems(body: dict, extra=frozenset()) -> list[str]:
    """Why api.openai.com, or a strict server of its kind, would refuse this body; `extra` fields are this server's own."""
    bad = [f"unknown field {k}" for k in body.keys() - TOP - extra]
    if {"max_tokens", "max_completion_tokens"} <= body.keys():
        bad.append("both max_tokens and max_completion_tokens")
    if "stream_options" in body and not body.get("stream"):
        bad.append("stream_options without stream")
    if not body.get("tools"):
        bad += [f"{k} without tools" for k in ("tools", "tool_choice", "parallel_tool_calls") if k in body]
    for tool in body.get("tools", ()):
        bad += _tool_problems(tool)
    if len(tools(body)) != len(body.get("tools", ())):
        bad.append(f"tool names are not unique: {[t['function']['name'] for t in body['tools']]}")
    if not body["messages"]:
        bad.append("no messages")
    for at, message in enumerate(body["messages"]):
        bad += [f"messages[{at}]: {p}" for p in _message_problems(at, message, extra)]
    return bad + _order_problems(body["messages"])


def _tool_problems(tool: dict) -> list[str]:
    bad = [f"tool field {k}" for k in tool.keys() - {"type", "function"}]
    function = tool["function"]
    bad += [f"tool.function field {k}" for k in function.keys() - {"name", "description", "parameters", "strict"}]
    if tool["type"] != "function" or not NAME.fullmatch(function["name"]):
        bad.append(f"tool {tool['type']} {function['name']!r}")
    parameters = function.get("parameters", {"type": "object", "properties": {}})
    if parameters.get("type") != "object" or not isinstance(parameters.get("properties"), dict):
        bad.append(f"tool {function['name']}: object schema missing properties")
    return bad


def _message_problems(at: int, m: dict, extra) -> list[str]:
    role, content = m.get("role"), m.get("content")
    if role not in FIELDS:
        return [f"role {role!r}"]
    bad = [f"field {k}" for k in m.keys() - FIELDS[role] - extra]
    if role == "system" and at > 0:
        bad.append("a system message that is not the first")
    if content is None and not m.get("tool_calls"):
        bad.append("no content")
    if role in ("user", "system") and content in ("", []):
        bad.append("empty content")
    if isinstance(content, list):
        for part in content:
            allowed = {"text": {"type", "text"}, "image_url": {"type", "image_url"}, "file": {"type", "file"}}.get(part.get("type"))
            if allowed is None or part.keys() - allowed - extra:
                bad.append(f"part {part.get('type')} with {sorted(part)}")
            elif part["type"] != "text" and role != "user":
                bad.append(f"a part {part['type']} in a message of role {role}")
    if "x-anthropic-billing-header" in json.dumps(content):
        bad.append("the client's billing header, which changes with every conversation")
    if "tool_calls" in m and not m["tool_calls"]:
        bad.append("empty tool_calls")
    for call in m.get("tool_calls") or ():
        bad += _call_problems(call)
    return bad


def _call_problems(call: dict) -> list[str]:
    bad = [f"call field {k}" for k in call.keys() - {"id", "type", "function"}]
    if not 0 < len(call["id"]) <= 40:
        bad.append(f"call id {call['id']!r} of {len(call['id'])} characters")
    if call["type"] != "function" or not NAME.fullmatch(call["function"]["name"]):
        bad.append(f"call {call['type']} {call['function']['name']!r}")
    try:
        if not isinstance(json.loads(call["function"]["arguments"]), dict):
            bad.append(f"arguments are no object: {call['function']['arguments']!r}")
    except (TypeError, ValueError):
        bad.append(f"arguments are no JSON: {call['function']['arguments']!r}")
    return bad


def _order_problems(messages: list[dict]) -> list[str]:
    """Every call is answered once, directly behind it, and nothing else is."""
    bad, open_ids = [], []
    for at, m in enumerate([*messages, {"role": "end"}]):
        if m.get("role") == "tool":
            if m.get("tool_call_id") in open_ids:
                open_ids.remove(m["tool_call_id"])
            else:
                bad.append(f"messages[{at}]: a tool message for {m.get('tool_call_id')!r}, which is no open call")
            continue
        if open_ids:
            bad.append(f"messages[{at}]: tool_calls must be followed by tool messages; open: {open_ids}")
        open_ids = [c["id"] for c in m.get("tool_calls") or ()]
        if len(set(open_ids)) != len(open_ids):
            bad.append(f"messages[{at}]: two calls with one id: {open_ids}")
    return bad


# ---- answers ----


def blocking(say: Say, id: str, model: str, usage: dict) -> bytes:
    """The answer as one JSON body."""
    message = {"role": "assistant", "content": say.text or None, "refusal": None}
    if say.thinking:
        message["reasoning_content"] = say.thinking
    if say.calls:
        message["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": json.dumps(c.input)}} for c in say.calls
        ]
    choice = {"index": 0, "message": message, "finish_reason": _finish(say), "logprobs": None}
    body = {"id": id, "object": "chat.completion", "created": CREATED, "model": model, "choices": [choice]}
    return json.dumps({**body, "usage": usage}).encode()


def stream(say: Say, id: str, model: str, usage: dict) -> list[bytes]:
    """The answer as pieces of an event stream, to be written one by one."""
    style = say.style
    chunks = _body_chunks(say)
    if style.preamble == "role":
        chunks.insert(0, _delta(role="assistant", content=""))
    if style.preamble == "azure":
        chunks.insert(0, {"choices": [], "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]})
    if say.cut:
        chunks = chunks[: (len(chunks) + 1) // 2]
        if say.cut == "error":
            chunks.append({"error": {"message": "Overloaded: the engine is busy", "type": "server_error", "code": 503}})
    else:
        _add_finish(chunks, say, usage)
    named = {"id": id, "object": "chat.completion.chunk", "created": CREATED, "model": model}
    frames = [_frame({**named, **c} if "error" not in c else c, style.framing) for c in chunks]
    if style.comments:
        frames = [x for f in frames for x in (b": keep-alive\n\n", b"data: \n\n", f)]
    if style.framing == "bom" and frames:
        frames[0] = b"\xef\xbb\xbf" + frames[0]
    if not say.cut and style.end != "none":
        frames.append(_newlines(b"data:[DONE]\n\n" if style.end == "tight" else b"data: [DONE]\n\n", style.framing))
    if style.framing == "split":
        whole = b"".join(frames)
        return [whole[i : i + 7] for i in range(0, len(whole), 7)]
    return frames


def _newlines(frame: bytes, framing: str) -> bytes:
    return frame.replace(b"\n", b"\r\n") if framing == "crlf" else frame


def _frame(chunk: dict, framing: str) -> bytes:
    if framing == "lines":
        text = json.dumps(chunk, ensure_ascii=False, indent=1)
        return ("".join(f"data: {line}\n" for line in text.split("\n")) + "\n").encode()
    text = json.dumps(chunk, ensure_ascii=framing not in ("split", "crlf"), separators=(",", ":"))
    return _newlines(f"data: {text}\n\n".encode(), framing)


def _delta(finish=None, **delta) -> dict:
    return {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}


def pieces(text: str, count: int = 3) -> list[str]:
    """The text in about `count` parts, none empty."""
    size = max(1, -(-len(text) // count))
    return [text[i : i + size] for i in range(0, len(text), size)]


def _body_chunks(say: Say) -> list[dict]:
    style, chunks = say.style, []
    thinking, text = say.thinking, say.text
    if style.reasoning in ("think_tags", "think_end") and thinking:
        begin = "<think>" if style.reasoning == "think_tags" else ""
        thinking, text = "", f"{begin}{thinking}</think>\n\n{text}"
    for part in pieces(thinking):
        chunks.append(_delta(**_reasoning(part, style)))
    if style.reasoning == "signed" and thinking:
        chunks.append(_delta(reasoning_details=[{"type": "reasoning.text", "signature": PROOF, "format": "vendor-v1", "index": 0}]))
    for part in pieces(text, 40 if style.reasoning.startswith("think") else 3):
        if style.reasoning == "parts":
            chunks.append(_delta(content=[{"type": "text", "text": part}]))
        else:
            nothing = {"reasoning_content": None, "tool_calls": []} if style.siblings else {}
            chunks.append(_delta(content=part, **nothing))
    fragments = [_call_fragments(say, k) for k in range(len(say.calls))]
    if style.arguments == "interleaved":
        rounds = max(map(len, fragments), default=0)
        ordered = [f[i] for i in range(rounds) for f in fragments if i < len(f)]
    else:
        ordered = [fragment for call in fragments for fragment in call]
    for at, fragment in enumerate(ordered):
        if at == 1 and style.late_text:
            chunks.append(_delta(content=style.late_text))
        chunks.append(_call_chunk(fragment, style))
    return chunks


def _call_chunk(fragment: dict, style) -> dict:
    if style.legacy:
        return _delta(function_call={k: v for k, v in fragment["function"].items() if v})
    nothing = {"content": None, "reasoning_content": ""} if style.siblings else {}
    return _delta(**nothing, tool_calls=[fragment])


def _reasoning(part: str, style) -> dict:
    detail = [{"type": "reasoning.text", "text": part, "format": "unknown", "index": 0}]
    shapes = {
        "reasoning_content": {"reasoning_content": part},
        "reasoning": {"reasoning": part},
        "reasoning_details": {"reasoning_details": detail},
        "signed": {"reasoning": part, "reasoning_details": [{**detail[0], "format": "vendor-v1"}]},
        "both": {"reasoning": part, "reasoning_content": part, "reasoning_details": detail},
        "parts": {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": part}]}]},
    }
    return {**shapes[style.reasoning], **({"content": None} if style.siblings else {})}


def _call_fragments(say: Say, k: int) -> list[dict]:
    """The fragments of one call, the first with id and name where the style has them there."""
    style, call = say.style, say.calls[k]
    whole = json.dumps(call.input, ensure_ascii=False) if call.input else ""
    parts = {
        "pieces": ["", *pieces(whole)],
        "interleaved": ["", *pieces(whole)],
        "whole": [whole],
        "object": [call.input],
        "empty_first": [None, "", *pieces(whole, 9)],
        "cumulative": ["", *itertools.accumulate(pieces(whole))],
    }[style.arguments]
    if style.ids == "late" or style.name == "late":
        parts = parts if len(parts) > 1 else ["", *parts]
    fragments = []
    for at, part in enumerate(parts):
        fragment: dict = {"function": {"arguments": part}}
        _place(fragment, k, style)
        _identify(fragment, at, call.id, style)
        _name(fragment["function"], at, call, style)
        if at == 0:
            fragment["type"] = "function"
        fragments.append(fragment)
    return fragments


def _place(fragment: dict, k: int, style) -> None:
    index = {"counted": k, "zero": 0, "minus": -1, "from_one": k + 1, "missing": None}[style.index]
    if index is not None:
        fragment["index"] = index


def _identify(fragment: dict, at: int, id: str, style) -> None:
    first = at == 0
    if style.ids == "repeated" or (style.ids == "once" and first) or (style.ids == "late" and at == 1):
        fragment["id"] = id
    elif style.ids == "empty" or (style.ids == "late" and first):
        fragment["id"] = ""
    elif style.ids == "null":
        fragment["id"] = None


def _name(function: dict, at: int, call: Call, style) -> None:
    named = {"once": at == 0, "null_later": at == 0, "repeated": True, "late": at == 1}[style.name]
    if named:
        function["name"] = call.name
    elif style.name == "late" and at == 0:
        function["name"] = ""
    elif style.name == "null_later":
        function["name"] = None


def _finish(say: Say) -> str:
    return say.stop or say.style.finish or ("tool_calls" if say.calls else "stop")


def _add_finish(chunks: list[dict], say: Say, usage: dict) -> None:
    """The finish chunk and the usage, where the style has them."""
    style, finish = say.style, _delta(_finish(say))
    at = len(chunks) - 1 if style.finish_early and len(chunks) > 2 else len(chunks)
    chunks.insert(at, finish)
    if style.finish_twice:
        chunks.append(_delta(_finish(say)))
    if style.usage == "every":
        for chunk in chunks:
            chunk["usage"] = {**usage, "completion_tokens": 1}
        chunks[-1]["usage"] = usage
    elif style.usage == "finish":
        finish["usage"] = usage
    elif style.usage == "before_finish":
        chunks.insert(at, {"choices": [], "usage": usage})
    elif style.usage == "groq":
        finish["x_groq"] = {"id": "req_1", "usage": usage}
    elif style.usage == "last":
        for chunk in chunks:
            chunk["usage"] = None
        chunks.append({"choices": [], "usage": usage})
