"""docs/fidelity.md says what really happens: each row of its table goes through the running proxy."""

import json

import pytest

from support.dialects import dropped_in
from support.translation import (
    DONE, FINE, GOOD, KIND, WELL, B, D, E, F, S, Stage, U, completion, ends, message, says, sse, to_chat, to_messages,
)
from wire import fidelity
from wire.fidelity import CARRIED, DROPPED, FROM_CHAT, FROM_MESSAGES, PAGE, REFUSED, TO_CHAT, TO_MESSAGES


@pytest.fixture(scope="module")
def stage():
    with Stage(chat={"of-openai": "openai"}, models={"m-openai": "of-openai/gpt-5-mini"}) as stage:
        yield stage


def by_name(rows):
    return {row.what: row for row in rows}


def held_to_request(row, got) -> None:
    if row.fate == REFUSED:
        field = row.lost[0] if row.lost else row.what.split(" ")[0]
        assert (got.response.status, got.arrived) == (400, []) and got.reason in ("not-translatable", "thread-unsupported"), got.response
        assert field.split(".")[-1] in got.json["error"]["message"], got.json
        return
    assert got.response.status == 200, got.response
    assert got.dropped == row.losses, f"lost {got.dropped}, said {row.losses}"
    for path, value in row.found.items():
        seen = fidelity.at(path, got.sent)
        if path.endswith("function") and isinstance(seen, dict) and "arguments" in seen:
            seen, value = [{**v, "arguments": json.loads(v["arguments"])} for v in (seen, value)]
        assert seen == value, f"{path}: {seen!r}"
    if row.fate == DROPPED and not row.found:
        leaf = next(iter(row.losses)).split(".")[-1]
        assert f'"{leaf}"' not in got.request.body.decode() or leaf in ("tools",), got.request.body


@pytest.mark.parametrize("what", by_name(TO_CHAT))
def test_request_to_chat(stage, what):
    row = by_name(TO_CHAT)[what]
    body = to_chat(**row.given)
    held_to_request(row, stage.messages(body, FINE if body.get("stream") else WELL))


@pytest.mark.parametrize("what", by_name(TO_MESSAGES))
def test_request_to_messages(stage, what):
    row = by_name(TO_MESSAGES)[what]
    body = to_messages(**{"max_tokens": 64000, **row.given})
    held_to_request(row, stage.chat(body, KIND if body.get("stream") else GOOD))


@pytest.mark.parametrize("what", by_name(FROM_CHAT))
def test_answer_of_chat(stage, what):
    row = by_name(FROM_CHAT)[what]
    stream, whole = row.given
    wanted = {"thinking": {"type": "adaptive"}}
    if stream:
        kind, _, data = stream.partition(":")
        chunks = {"D": lambda: D(data) + F("stop"), "F": lambda: D('"content":"Hi"') + F(data), "U": lambda: D('"content":"Hi"') + F("stop") + U, "X": lambda: ""}[kind]()
        reply = sse(chunks + DONE) if chunks else stage.steps(D('"content":"Hi"'), f"data: {data}\n\n")
        got = stage.messages(reply=reply, stream=True, **wanted)
        held_to_talk(row, got.talk(), got.talk().dropped)
    if whole:
        got = stage.messages(reply=completion(whole), **wanted)
        held_to_talk(row, got.talk(), got.dropped)


def held_to_talk(row, talk, lost) -> None:
    lost = {path.replace("delta", "message") for path in lost} - {"thinking"}  # which was the request's
    assert lost == row.losses, f"lost {lost}, said {row.losses}"
    told = talk.told(usage=True)
    assert row.found.get("told", "") in told and row.found.get("usage", "") in told, told
    assert row.found.get("stop", talk.stop) == talk.stop


@pytest.mark.parametrize("what", by_name(FROM_MESSAGES))
def test_answer_of_messages(stage, what):
    row = by_name(FROM_MESSAGES)[what]
    block, stop = row.given
    body = to_messages(max_tokens=5, stream=True, stream_options={"include_usage": True})
    if isinstance(block, str):
        got = stage.chat(body, stage.steps(S() + says(0, "Hi").rpartition("event:")[0], E(block, stop) + E("content_block_stop", '"index":0') + ends()))
        return held_to_chat(row, got.chat(), dropped_in(got.chat().comments))
    written = json.dumps(block)
    got = stage.chat(body, sse(S() + B(0, written) + ends(stop)))
    held_to_chat(row, got.chat(), dropped_in(got.chat().comments))
    got = stage.chat(to_messages(max_tokens=5), message(written, stop))
    held_to_chat(row, got.chat(), got.dropped)


def held_to_chat(row, chat, lost) -> None:
    assert lost == row.losses, f"lost {lost}, said {row.losses}"
    assert row.found.get("told", "") in chat.told(), chat.told()
    assert row.found.get("comment", "") in "".join(chat.comments), chat.comments
    assert row.found.get("finish", chat.finish) == chat.finish
    assert row.found.get("details", "") in json.dumps(chat.details), chat.details


def test_the_page_is_the_table():
    assert PAGE.read_text() == fidelity.page(), "python -m tests.wire.fidelity --write"


def test_rows_are_told_apart():
    for _, rows in fidelity.SECTIONS:
        assert len(by_name(rows)) == len(rows)
        assert all(row.becomes or row.fate in (DROPPED, REFUSED) for row in rows)
        assert all(not row.losses for row in rows if row.fate == CARRIED)
