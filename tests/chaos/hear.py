"""An answer as a client of its dialect hears it: what was said, and how it ended."""

import json
import time

from support.sse import Reader
from support.wire import BadMessage, Client, Gone, Truncated

from .plan import Call
from .records import Heard

# The fields of an answer that a rule is about.
KEPT = ("connection", "content-type", "retry-after", "x-should-retry", "x-sidestream-attempts", "x-sidestream-error", "x-sidestream-provider")
BODY_MAX = 2000  # characters of an error that are kept


def hear(client: Client, asked: Call, heard: Heard) -> None:
    """Reads one answer to the end, and writes down what it was. What a broken connection raises is an end, too."""
    try:
        answer, body = client.response_head()
        heard.status = answer.status
        heard.headers = {name: value for name in KEPT if (value := answer.get(name)) is not None}
        if answer.status >= 400:
            heard.body = body.all()[:BODY_MAX].decode(errors="replace")
            heard.end = "error"
            return
        heard.first_byte = time.monotonic()
        if asked.stream:
            _stream(body, heard)
        else:
            _whole(json.loads(body.all()), asked, heard)
    except Gone:
        heard.end = "closed"
    except (Truncated, ConnectionError) as error:
        heard.end, heard.note = "cut" if heard.first_byte else "closed", str(error)
    except TimeoutError:
        heard.end = "cut" if heard.first_byte else "late"
        heard.note = "nothing came in time"
    except (BadMessage, ValueError, LookupError, TypeError) as error:
        heard.end, heard.note = "invalid", f"{type(error).__name__}: {error}"[:BODY_MAX]


def _whole(answer: dict, asked: Call, heard: Heard) -> None:
    if asked.path.endswith("/messages"):
        heard.text = "".join(block["text"] for block in answer["content"] if block["type"] == "text")
        done = answer["stop_reason"]
    elif asked.path.endswith("/responses"):
        heard.text = "".join(part["text"] for item in answer["output"] if item["type"] == "message" for part in item["content"])
        done = answer["status"] == "completed"
    elif asked.path.endswith("/files"):
        heard.text, done = answer["filename"], True
    else:
        heard.text = answer["choices"][0]["message"]["content"]
        done = answer["choices"][0]["finish_reason"]
    heard.words, heard.end = 1, "whole" if done else "no end"


def _stream(body, heard: Heard) -> None:
    reader, said, ends = Reader(), [], []
    tell = _messages_event if heard.dialect == "messages" else _chat_event
    try:
        for piece in body:
            for _, data, _ in reader.push(piece):
                if ends:
                    heard.note = f"after the end: {data[:200]}"
                end = tell(data, said, heard)
                ends += [end] if end else []
    except (Truncated, ConnectionError):
        if ends != ["error event"]:  # after which nothing else is to come, not even the framing's end
            raise
    finally:
        heard.words, heard.text = len(said), "".join(said)
    heard.end = ends[0] if ends else "no end"


def _chat_event(data: str, said: list[str], heard: Heard) -> str:
    """Takes in one event; how the stream ended if this is its last."""
    if data == "[DONE]":
        return "whole"
    event = json.loads(data)
    if "error" in event:
        heard.body = data[:BODY_MAX]
        return "error event"
    said += [text for choice in event["choices"] if (text := choice["delta"].get("content"))]
    return ""


def _messages_event(data: str, said: list[str], heard: Heard) -> str:
    event = json.loads(data)
    if event["type"] == "error":
        heard.body = data[:BODY_MAX]
        return "error event"
    heard.begun |= event["type"] == "content_block_start"
    if event["type"] == "content_block_delta":
        said.append(event["delta"]["text"])
    return "whole" if event["type"] == "message_stop" else ""
