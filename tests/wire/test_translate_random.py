"""Answers and conversations that nobody thought of: made by chance from a seed, with the habits of servers and clients mixed,
and held to what must be true of every one of them."""

import json
import random

import pytest

from support.translation import (
    DONE, NUMBERS, GOOD, PING, U, WELL, B, D, F, S, Stage, T, assistant, drip, ends, function, sse, text, thinks, tool, user,
)
from wire.test_translate_requests import PNG, held_to_alternation, held_to_pairs

ROUNDS = range(0, 300, 50)
NAMES = ["f", "g", "mcp.files/read", "n" * 90]
WORDS = ["a", "é", "漢字", "🙂", '"', "\\", "\n", "</think>", "data: x", "{", "]", "\u2028", "The quick ", "0", " "]


@pytest.fixture(scope="module")
def stage():
    with Stage() as stage:
        yield stage


def words(rng, least=1) -> str:
    return "w" + "".join(rng.choices(WORDS, k=rng.randint(least, 12)))


def value(rng, depth=0):
    kinds = ["text", "number", "list", "object", "null"] if depth < 3 else ["text", "number"]
    match rng.choice(kinds):
        case "text":
            return words(rng)
        case "number":
            return rng.choice([0, -1, 1.5, 10**18, True])
        case "list":
            return [value(rng, depth + 1) for _ in range(rng.randint(0, 3))]
        case "object":
            return {words(rng): value(rng, depth + 1) for _ in range(rng.randint(0, 3))}
    return None


def cuts(rng, whole: str) -> list[str]:
    """In pieces, some of them empty."""
    places = sorted(rng.randint(0, len(whole)) for _ in range(rng.randint(0, 5)))
    return [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)])]


def made(rng) -> list[tuple]:
    """What a model says: thoughts, text, calls; not two of thoughts or text in a row."""
    said = []
    for _ in range(rng.randint(0, 5)):
        kind = rng.choice(["thinking", "text", "call", "call"])
        if kind == "call":
            said.append(("call", f"id{len(said)}", rng.choice(NAMES), {words(rng): value(rng) for _ in range(rng.randint(0, 3))}))
        elif not said or said[-1][0] != kind:
            said.append((kind, words(rng)))
    return said


# What servers put beside the text, in a shape that stays or changes from chunk to chunk.
BESIDE = [
    lambda rng, said, key: said,
    lambda rng, said, key: '"role":"assistant",' + said,
    lambda rng, said, key: said + ("" if key == "content" else ',"content":null'),
    lambda rng, said, key: '"content":"",' + said if key != "content" else said + ',"reasoning_content":null,"tool_calls":null',
    lambda rng, said, key: said + rng.choice(["", ',"refusal":null', ',"function_call":null']),
]
EXTRA = [
    lambda rng: "",
    lambda rng: ',"obfuscation":"' + "x" * rng.randint(0, 12) + '"',
    lambda rng: f',"timings":{{"predicted_n":{rng.randint(0, 999)},"predicted_ms":{rng.random()}}}',
    lambda rng: ',"usage":null,"system_fingerprint":"fp_1"',
    lambda rng: f',"usage":{{"prompt_tokens":12,"completion_tokens":{rng.randint(1, 9)},"total_tokens":99}}',
    lambda rng: f',"token_ids":[{rng.randint(0, 99999)}],"provider":"X"',
    lambda rng: rng.choice(["", ',"x":1', ',"obfuscation":"\\"},\\"finish_reason\\":\\"stop"']),
]


def as_chat(rng, said, names) -> str:
    """A Chat stream that says it, with habits."""
    beside, extra = rng.choice(BESIDE), rng.choice(EXTRA)
    index = rng.choice(["usual", "usual", "all 0", "none", "from 1"])
    field = rng.choice(["reasoning_content", "reasoning"])
    stream = [D('"role":"assistant","content":""')] if rng.random() < 0.7 else []
    count = 0
    for item in said:
        if item[0] != "call":
            key = field if item[0] == "thinking" else "content"
            for piece in cuts(rng, item[1]):
                said = f'"{key}":{json.dumps(piece, ensure_ascii=rng.random() < 0.5)}'
                stream.append(D(beside(rng, said, key), extra(rng)))
            continue
        _, id, name, arguments = item
        number = {"usual": count, "all 0": 0, "none": None, "from 1": count + 1}[index]
        pieces = cuts(rng, json.dumps(arguments, ensure_ascii=rng.random() < 0.5))
        together = rng.random() < 0.4
        stream.append(T(number, id, names[name], pieces[0] if together else ""))
        for piece in pieces[together:]:
            stream.append(T(number, id if rng.random() < 0.3 else None, names[name] if rng.random() < 0.2 else None, piece))
        count += 1
    finish = F(rng.choice(["tool_calls", "stop"]) if count else "stop", "," + NUMBERS if rng.random() < 0.3 else "")
    noise = [": keep-alive\n\n", 'data: {"choices":[]}\n\n', "data: \n\n", D('"content":null,"tool_calls":[]')]
    if rng.random() < 0.5:
        for _ in range(3):
            stream.insert(rng.randint(0, len(stream)), rng.choice(noise))
    tail = finish + (U if rng.random() < 0.5 else "") + (DONE if rng.random() < 0.8 else "")
    whole = "".join(stream) + tail
    return whole.replace("\n", "\r\n") if rng.random() < 0.2 else whole


@pytest.fixture(scope="module")
def names(stage):
    """How the tools' names go to a Chat provider."""
    tools = stage.messages(reply=WELL, tools=[tool(name) for name in NAMES]).sent["tools"]
    return dict(zip(NAMES, (t["function"]["name"] for t in tools)))


@pytest.mark.parametrize("seed", ROUNDS)
def test_answers_of_chat(stage, names, seed):
    for number in range(seed, seed + 50):
        rng = random.Random(number)
        said = made(rng)
        stream = as_chat(rng, said, names)
        reply = rng.choice([sse, drip])(stream)
        talk = stage.messages(reply=reply, stream=rng.random() < 0.7, thinking={"type": "adaptive"}, tools=[tool(name) for name in NAMES]).talk()
        for kind in ("thinking", "text"):
            wanted = "".join(item[1] for item in said if item[0] == kind)
            assert "".join(b[kind] for b in talk.blocks if b["type"] == kind) == wanted, (number, stream)
        calls = [(b["id"], b["name"], json.loads(b["_json"]) if b.get("_json") else b["input"]) for b in talk.blocks if b["type"] == "tool_use"]
        assert calls == [item[1:] for item in said if item[0] == "call"], (number, stream)
        assert talk.stop == ("tool_use" if calls else "end_turn"), (number, stream)


def as_messages(rng, said) -> str:
    stream = [S()]
    for number, item in enumerate(said):
        if item[0] == "thinking":
            stream.append(thinks(number, *cuts(rng, item[1])))
        elif item[0] == "text":
            stream.append(B(number, '{"type":"text","text":""}', *(json.dumps({"type": "text_delta", "text": piece}) for piece in cuts(rng, item[1]))))
        else:
            pieces = cuts(rng, json.dumps(item[3], ensure_ascii=False)) if item[3] or rng.random() < 0.5 else []
            start = json.dumps({"type": "tool_use", "id": item[1], "name": item[2] if len(item[2]) < 65 and "." not in item[2] else "f", "input": {}})
            stream.append(B(number, start, *(json.dumps({"type": "input_json_delta", "partial_json": piece}) for piece in pieces)))
        if rng.random() < 0.2:
            stream.append(PING)
    whole = "".join(stream) + ends("tool_use" if any(item[0] == "call" for item in said) else "end_turn")
    return whole.replace("\n", "\r\n") if rng.random() < 0.2 else whole


@pytest.mark.parametrize("seed", ROUNDS)
def test_answers_of_messages(stage, seed):
    for number in range(seed, seed + 50):
        rng = random.Random(number)
        said = made(rng)
        stream = as_messages(rng, said)
        reply = rng.choice([sse, drip])(stream)
        chat = stage.chat(reply=reply, stream=rng.random() < 0.7, tools=[function("f"), function("g")]).chat()
        assert chat.text == "".join(item[1] for item in said if item[0] == "text"), (number, stream)
        assert chat.reasoning == "\n\n".join(item[1] for item in said if item[0] == "thinking"), (number, stream)
        assert [(c["id"], json.loads(c["arguments"])) for c in chat.calls] == [(i[1], i[3]) for i in said if i[0] == "call"], (number, stream)
        assert chat.finish == ("tool_calls" if chat.calls else "stop")


# ── Conversations ───────────────────────────────────────────────────────────────────────────────────────────────────


class Marks:
    """Words that are found again: each is there once."""

    def __init__(self):
        self.count, self.kept = 0, []

    def new(self, rng, kept=True) -> str:
        self.count += 1
        mark = f"<m{self.count}>"
        if kept:
            self.kept.append(mark)
        return mark + rng.choice(WORDS) + mark[::-1]


def as_either(rng, words: str):
    """A text, or a list of one."""
    return rng.choice([words, [text(words)]])


def conversation(rng, marks: Marks) -> list[dict]:
    """Of a Messages client: results missing, late, twice, out of order, for nobody; system in the middle; thoughts."""
    turns, waiting, late = [user(marks.new(rng))], [], []
    for number in range(rng.randint(0, 8)):
        said = []
        if rng.random() < 0.4:
            said.append({"type": "thinking", "thinking": marks.new(rng, kept=False), "signature": "Eq=="})
        if rng.random() < 0.7:
            said.append(text(marks.new(rng)))
        waiting = [f"id{number}x{k}" for k in range(rng.choice([0, 0, 1, 2, 3]))]
        said += [{"type": "tool_use", "id": id, "name": rng.choice(NAMES), "input": {"x": marks.new(rng)}} for id in waiting]
        if said:
            turns.append(assistant(said))
        told = []
        rng.shuffle(waiting)
        for id in waiting:
            block = {"type": "tool_result", "tool_use_id": id, "content": as_either(rng, marks.new(rng)), "is_error": rng.random() < 0.2}
            match rng.random():
                case chance if chance < 0.75:
                    told.append(block)
                case chance if chance < 0.85:
                    late.append(block)
                case _:
                    marks.kept.pop()  # never told
        if rng.random() < 0.1:
            told.append({"type": "tool_result", "tool_use_id": f"nobody{number}", "content": marks.new(rng)})
        if rng.random() < 0.5:
            told.insert(rng.randint(0, len(told)), text(marks.new(rng)))
        if rng.random() < 0.2:
            told.append({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}})
        if told:
            turns.append(user(told))
        if rng.random() < 0.2:
            turns.append({"role": "system", "content": marks.new(rng)})
        if late and rng.random() < 0.5:
            turns.append(user([late.pop()]))
    turns.append(user([*late, text(marks.new(rng))]))
    return turns


@pytest.mark.parametrize("seed", ROUNDS)
def test_conversations_to_chat(stage, seed):
    for number in range(seed, seed + 50):
        rng, marks = random.Random(number), Marks()
        turns = conversation(rng, marks)
        got = stage.messages(reply=WELL, messages=turns, system=marks.new(rng), tools=[tool(name) for name in NAMES])
        assert got.response.status == 200, (number, got.response)
        sent = got.sent["messages"]
        held_to_pairs(sent)
        held_to_marks(number, marks, sent)


def chat_conversation(rng, marks: Marks) -> list[dict]:
    """The same of a Chat client."""
    turns = [{"role": rng.choice(["system", "developer"]), "content": marks.new(rng)} for _ in range(rng.randint(0, 2))]
    turns += [user(marks.new(rng))] if rng.random() < 0.8 else []
    for number in range(rng.randint(0, 8)):
        ids = [f"id{number}.{k}" for k in range(rng.choice([0, 0, 1, 2, 3]))]
        calls = [{"id": id, "type": "function", "function": {"name": rng.choice(NAMES[:2]), "arguments": json.dumps({"x": marks.new(rng)}, ensure_ascii=False)}} for id in ids]
        said = marks.new(rng) if rng.random() < 0.6 or not calls else rng.choice(["", None])
        turns.append({"role": "assistant", "content": said, **({"tool_calls": calls} if calls else {}), **({"reasoning_content": marks.new(rng, kept=False)} if rng.random() < 0.3 else {})})
        rng.shuffle(ids)
        for id in ids:
            if rng.random() < 0.85:
                turns.append({"role": "tool", "tool_call_id": id, "content": as_either(rng, marks.new(rng))})
        if rng.random() < 0.1:
            turns.append({"role": "tool", "tool_call_id": f"nobody{number}", "content": marks.new(rng)})
        if rng.random() < 0.1:
            turns.append({"role": "system", "content": marks.new(rng)})
        for _ in range(rng.choice([0, 1, 1, 2])):
            turns.append(user(as_either(rng, marks.new(rng))))
    return turns + [user(marks.new(rng))]


@pytest.mark.parametrize("seed", ROUNDS)
def test_conversations_to_messages(stage, seed):
    for number in range(seed, seed + 50):
        rng, marks = random.Random(number), Marks()
        turns = chat_conversation(rng, marks)
        got = stage.chat(reply=GOOD, messages=turns, tools=[function("f"), function("g")])
        assert got.response.status == 200, (number, got.response)
        held_to_alternation(got.sent["messages"])
        held_to_marks(number, marks, [got.sent.get("system", ""), got.sent["messages"]])


def held_to_marks(number: int, marks: Marks, sent) -> None:
    """Whatever was said is there once; what must not be there is not."""
    whole = json.dumps(sent, ensure_ascii=False)
    for place in range(1, marks.count + 1):
        mark = f"<m{place}>"
        assert whole.count(mark) == (mark in marks.kept), (number, mark, whole)
