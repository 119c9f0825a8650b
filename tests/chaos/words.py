"""Answers, errors and events as a provider of each dialect says them."""

import json

WORDS = 12
# status → (OpenAI's type and code, Anthropic's type)
KINDS = {
    400: ("invalid_request_error", None, "invalid_request_error"),
    401: ("invalid_request_error", "invalid_api_key", "authentication_error"),
    408: ("server_error", "timeout", "timeout_error"),
    409: ("server_error", "conflict", "api_error"),
    413: ("invalid_request_error", "request_too_large", "request_too_large"),
    422: ("invalid_request_error", None, "invalid_request_error"),
    429: ("rate_limit_error", "rate_limit_exceeded", "rate_limit_error"),
    500: ("server_error", None, "api_error"),
    502: ("server_error", None, "api_error"),
    503: ("server_error", "server_is_overloaded", "overloaded_error"),
    504: ("server_error", "timeout", "timeout_error"),
    529: ("server_error", "overloaded", "overloaded_error"),
}
PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


def pieces(id: str, provider: str, visit: int) -> list[str]:
    """The text of an answer, which tells whose it is, and by which visit."""
    return [f"<{id}/{provider}/{visit}>", *(f" {n}" for n in range(1, WORDS)), " end"]


def error(path: str, status: int, text: str = "as the script says") -> dict:
    kind, code, other = KINDS[status]
    if path.endswith("/messages"):
        return {"type": "error", "error": {"type": other, "message": text}, "request_id": "req_up"}
    return {"error": {"message": text, "type": kind, "param": None, "code": code}}


def whole(path: str, model: str, text: str) -> dict:
    """A blocking answer."""
    if path.endswith("/messages"):
        usage = {"input_tokens": 9, "output_tokens": WORDS}
        return {"id": "msg_up", "type": "message", "role": "assistant", "model": model, "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}
    if path.endswith("/responses"):
        content = [{"type": "output_text", "text": text, "annotations": []}]
        return {"id": "resp_up", "object": "response", "created_at": 1, "status": "completed", "model": model, "output": [{"type": "message", "id": "msg_up", "status": "completed", "role": "assistant", "content": content}]}
    if path.endswith("/files"):
        return {"id": "file-up", "object": "file", "filename": text}
    usage = {"prompt_tokens": 9, "completion_tokens": WORDS, "total_tokens": 9 + WORDS}
    choice = {"index": 0, "message": {"role": "assistant", "content": text, "refusal": None}, "logprobs": None, "finish_reason": "stop"}
    return {"id": "chatcmpl-up", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}


def _named(event: dict) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _data(chunk: dict) -> bytes:
    return f"data: {json.dumps(chunk)}\n\n".encode()


def _chunk(model: str, delta: dict, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _data({"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice]})


def opening(path: str, model: str) -> bytes:
    """The events before the first word."""
    if path.endswith("/messages"):
        message = {**whole(path, model, ""), "content": [], "stop_reason": None}
        return _named({"type": "message_start", "message": message})
    return _chunk(model, {"role": "assistant", "content": ""})


def word(path: str, model: str, text: str, first: bool) -> bytes:
    if path.endswith("/messages"):
        start = _named({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}) if first else b""
        return start + _named({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
    return _chunk(model, {"content": text})


def closing(path: str, model: str) -> bytes:
    if path.endswith("/messages"):
        delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": WORDS}}
        return _named({"type": "content_block_stop", "index": 0}) + _named(delta) + _named({"type": "message_stop"})
    return _chunk(model, {}, "stop") + b"data: [DONE]\n\n"


def error_event(path: str) -> bytes:
    """Overload, told inside a 200."""
    return _named(error(path, 529)) if path.endswith("/messages") else _data(error(path, 503))
