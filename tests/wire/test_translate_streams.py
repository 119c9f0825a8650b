"""Translated streams, both ways: the golden vectors, every split of the upstream's bytes, whole answers to streamed
requests and the other way round, what holds a stream back and what ends it."""

import json
import queue
import random
import threading
import time

import pytest

from support.dialects import chat_stream, messages_stream
from support.golden import CALL, GOLDEN, GOLDEN_CHAT
from support.process import DRIVERS
from support.translation import (
    CHAT, DONE, E, FINE, GOOD, JSON, KIND, MESSAGES, PING, U, UPSTREAM, WELL, B, D, F, S, Stage, T,
    calls, completion, cut, drip, ends, function, message, says, sse, to_chat, to_messages, tool, whole,
)
from support.upstream import LAST_CHUNK, SSE_HEAD, chunk
from support.wire import Client

THINKING = {"type": "enabled", "budget_tokens": 1024}
TOOLS = [tool("f"), tool("g")]
FUNCTIONS = [function("f"), function("g")]


@pytest.fixture(scope="module", params=[d for d in DRIVERS if d != "denied"])
def stage(request):
    with Stage(request.param) as stage:
        yield stage


# ── Golden vectors ──────────────────────────────────────────────────────────────────────────────────────────────────

SPLITS = {"one write": lambda s: sse(s), "3 bytes": lambda s: drip(s), "1 byte": lambda s: drip(s, 1), "any": lambda s: scattered(s)}


def scattered(stream: str, seed: int = 5) -> list[bytes]:
    data, rng, parts, at = stream.encode(), random.Random(seed), [SSE_HEAD], 0
    while at < len(data):
        size = rng.choice([1, 2, 7, 50, 400])
        parts.append(chunk(data[at : at + size]))
        at += size
    return [*parts, LAST_CHUNK]


def in_the_middle(stage, stream: str, wanted: str, split: str):
    """The reply: an error comes when the client has what was before it, else it would be a status."""
    if "error(" not in wanted:
        return SPLITS[split](stream)
    at = stream.index("event: error") if "event: error" in stream else len(D('"content":"par"')) if stream.startswith("data") else len(stream)
    return stage.steps(stream[:at], stream[at:], {"one write": None, "3 bytes": 3, "1 byte": 1, "any": 50}[split])


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", GOLDEN)
def test_golden_chat_to_messages(stage, name, split):
    stream, wanted = GOLDEN[name]
    got = stage.messages(reply=in_the_middle(stage, stream, wanted, split), stream=True, thinking=THINKING, tools=TOOLS)
    assert got.response.status == 200, got.response
    assert got.response.get("content-type").startswith("text/event-stream")
    talk = messages_stream(got.response.body)
    assert talk.told(usage="," in wanted.rpartition("md(")[2]) == wanted
    assert talk.message["model"] == "m"


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", GOLDEN_CHAT)
def test_golden_messages_to_chat(stage, name, split):
    stream, wanted = GOLDEN_CHAT[name]
    body = to_messages(stream=True, stream_options={"include_usage": True}, tools=FUNCTIONS)
    got = stage.chat(body, in_the_middle(stage, stream, wanted or "", split))
    assert got.response.status == 200, got.response
    chat = chat_stream(got.response.body)
    if wanted:
        assert chat.told() == wanted
    else:
        assert chat.finish == "content_filter"
    assert chat.chunks[0]["model"] == "c" or chat.error


def test_usage_is_told_only_where_it_is_asked_for(stage):
    got = stage.chat(to_messages(stream=True), KIND)
    assert got.chat().told() == "role content:'fine' finish(stop) [DONE]"
    assert got.sent["stream"] is True and "stream_options" not in got.sent
    chunks = [json.loads(d.removeprefix("data: ")) for d in got.response.body.decode().split("\n\n") if d.startswith("data: {")]
    assert all(not c.get("usage") for c in chunks)
    # A Chat upstream is always asked: Messages tells usage in every stream.
    assert stage.messages(reply=FINE, stream=True).sent["stream_options"] == {"include_usage": True}
    assert "stream_options" not in stage.messages(reply=WELL).sent


# ── The head ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", ["messages", "chat"])
def test_head_of_a_stream(stage, way):
    """What a client and the boxes between need to let a stream pass; nothing of the upstream's framing."""
    fields = "Content-Type: text/event-stream\r\nContent-Encoding: identity\r\nX-Request-Id: req_up\r\n"
    body = (FINE if way == "messages" else KIND).partition(b"\r\n\r\n")[2]
    reply = f"HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n".encode() + body
    response = getattr(stage, way)(reply=reply, stream=True).response
    assert response.get("content-type").startswith("text/event-stream")
    assert response.get("content-length") is None
    assert "no-cache" in response.get("cache-control")
    assert response.get("x-accel-buffering") == "no"
    provider, model = {"messages": ("box", "m"), "chat": ("claw", "c")}[way]
    assert response.get("x-sidestream-provider") == provider
    assert response.get("x-sidestream-model") == UPSTREAM[model]


# ── A whole answer to a streamed request, and the other way round ───────────────────────────────────────────────────


def test_whole_chat_answer_to_a_streamed_request(stage):
    call = '{"id":"call_a","type":"function","function":{"name":"f","arguments":"{\\"x\\":1}"}}'
    reply = completion(f'"reasoning_content":"th","content":"Hi","tool_calls":[{call}]', "tool_calls")
    talk = stage.messages(reply=reply, stream=True, thinking=THINKING, tools=TOOLS).talk()
    assert talk.told(True) == (
        "start0:thinking thinking0:'th' signature0 stop0 start1:text text1:'Hi' stop1 "
        "start2:tool_use(call_a,f) json2:'{\"x\":1}' stop2 md(tool_use,8+4/5)"
    )
    assert talk.message["model"] == "m"


def test_streamed_chat_answer_to_a_whole_request(stage):
    got = stage.messages(reply=sse(GOLDEN["V2 thinking, text, call"][0]), thinking=THINKING, tools=TOOLS)
    assert got.response.get("content-type").startswith("application/json")
    assert got.talk().told(True) == "thinking0:'th' text1:'Hi' tool_use2(call_a,f):{\"x\": 1} md(tool_use,8+4/5)"
    assert int(got.response.get("content-length")) == len(got.response.body)


def test_streamed_chat_answer_to_a_whole_request_that_breaks(stage):
    """Nothing has reached the client: the error has its status."""
    for name, status, kind in [("V15 cut", 502, "api_error"), ("V16 error inside", 429, "rate_limit_error")]:
        got = stage.messages(reply=sse(GOLDEN[name][0]))
        assert (got.response.status, got.json["type"], got.json["error"]["type"]) == (status, "error", kind), got.response


def test_whole_messages_answer_to_a_streamed_request(stage):
    blocks = '{"type":"thinking","thinking":"th","signature":"EqRk=="},{"type":"text","text":"Hi"},{"type":"tool_use","id":"toolu_1","name":"f","input":{"x":1}}'
    body = to_messages(stream=True, stream_options={"include_usage": True}, tools=FUNCTIONS)
    chat = stage.chat(body, message(blocks, "tool_use")).chat()
    assert chat.told() == f"role reasoning:'th' content:'Hi' {CALL} finish(tool_calls) usage(12,9,21,cached 4) [DONE]"


def test_streamed_messages_answer_to_a_whole_request(stage):
    got = stage.chat(to_messages(tools=FUNCTIONS), sse(GOLDEN_CHAT["W1"][0]))
    assert got.chat().told() == (
        "reasoning:'th' content:'Hi' call0(toolu_1,f):'{\"x\":1}' call1(toolu_2,g):'{}' finish(tool_calls) usage(12,9,21,cached 4)"
    )


# ── Time ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", ["messages", "chat"])
def test_each_event_arrives_before_the_next_is_sent(stage, way):
    """Lock-step: nothing waits for more. A proxy that holds anything back stops here."""
    turn: queue.Queue = queue.Queue()
    begin = {"messages": D('"role":"assistant","content":""'), "chat": S() + E("content_block_start", '"index":0,"content_block":{"type":"text","text":""}')}
    finish = {"messages": F("stop") + U + DONE, "chat": E("content_block_stop", '"index":0') + ends()}

    def delta(number):
        if way == "messages":
            return D(f'"content":"w{number} "')
        return E("content_block_delta", f'"index":0,"delta":{{"type":"text_delta","text":"w{number} "}}')

    def reply(peer, request):
        peer.send(SSE_HEAD + chunk(begin[way].encode()))
        for number in range(40):
            peer.send(chunk(delta(number).encode()))
            turn.get(timeout=10)
        peer.send(chunk(finish[way].encode()) + LAST_CHUNK)

    stage.upstream.reply = reply
    body = to_chat(stream=True) if way == "messages" else to_messages(stream=True)
    got = b""
    with Client(stage.proxy.address) as client:
        client.request("POST", MESSAGES if way == "messages" else CHAT, json.dumps(body).encode())
        head, pieces = client.response_head()
        for number in range(40):
            while f'"w{number} "'.encode() not in got or not got.endswith(b"\n\n"):
                piece = pieces.piece()
                assert piece, got
                got += piece
            turn.put(number)
        got += pieces.all()
    stage.upstream.take()
    words = "".join(f"w{number} " for number in range(40))
    told = messages_stream(got).blocks[0]["text"] if way == "messages" else chat_stream(got).text
    assert told == words


@pytest.mark.parametrize("when", ["before the head", "in the stream", "a whole answer"])
@pytest.mark.parametrize("way", ["messages", "chat"])
def test_a_client_that_leaves_ends_the_upstream(stage, way, when, note):
    """Abandoned generations are billed: the upstream's connection is closed at once."""
    began: queue.Queue = queue.Queue()

    def reply(peer, request):
        if when == "in the stream":
            peer.send(SSE_HEAD + chunk((D('"content":"a"') if way == "messages" else S() + says(0, "a")).encode()))
        elif when == "a whole answer":
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
        began.put(peer)
        began.put(peer.wait_closed(5))

    stage.upstream.reply = reply
    body = to_chat() if way == "messages" else to_messages()
    client = Client(stage.proxy.address)
    client.request("POST", MESSAGES if way == "messages" else CHAT, json.dumps({**body, "stream": when != "a whole answer"}).encode())
    began.get(timeout=5)
    if when == "in the stream":
        client.response_head()[1].piece()
    left = time.monotonic()
    client.close()
    how, closed = began.get(timeout=6)
    stage.upstream.take()
    assert how and closed - left < 0.5, f"{how} after {closed - left:.3f} s"
    if closed - left > 0.05:
        note(f"upstream closed {1000 * (closed - left):.0f} ms after the client ({way}, {when})")


# ── Errors inside a stream ──────────────────────────────────────────────────────────────────────────────────────────


def test_an_error_before_content_has_a_status(stage):
    """The head waits for the first event that means something."""
    role = D('"role":"assistant","content":""')
    for before in ("", ": keep-alive\n\n", role, C_EMPTY):
        got = stage.messages(reply=sse(before + 'data: {"error":{"message":"slow down","type":"rate_limit_error","code":429}}\n\n'), stream=True)
        assert (got.response.status, got.json["error"]["type"]) == (429, "rate_limit_error"), (before, got.response)
        assert "slow down" in got.json["error"]["message"]
    for before in ("", PING, S(), S() + PING):
        reply = sse(before + E("error", '"error":{"type":"overloaded_error","message":"Overloaded"}'))
        got = stage.chat(reply=reply, stream=True)
        assert (got.response.status, got.json["error"]["code"]) == (503, "server_is_overloaded"), (before, got.response)


C_EMPTY = 'data: {"id":"x","choices":[],"prompt_filter_results":[]}\n\n'


def test_a_stream_without_anything_is_an_error(stage):
    for reply in (sse(""), sse(": hello\n\n"), cut(""), cut(": hello\n\n")):
        got = stage.messages(reply=reply, stream=True)
        assert (got.response.status, got.json["error"]["type"]) == (502, "api_error"), got.response
        got = stage.chat(reply=reply, stream=True)
        assert (got.response.status, got.json["error"]["type"]) == (502, "server_error"), got.response


@pytest.mark.parametrize("end", ["clean", "cut"])
def test_a_cut_stream_is_an_error_not_an_end(stage, end):
    """Whether or not the framing ended well: no finish reason, no end mark, no success."""
    ending = LAST_CHUNK if end == "clean" else b""
    got = stage.messages(reply=stage.steps(T(0, "a", "f", '{"x"'), "", ending=ending), stream=True, tools=TOOLS)
    talk = got.talk()
    assert talk.error["type"] == "api_error" and talk.stop is None and b"[DONE]" not in got.response.body
    got = stage.chat(reply=stage.steps(S() + says(0, "Hi"), "", ending=ending), stream=True)
    chat = got.chat()
    assert chat.error and chat.finish is None and b"[DONE]" not in got.response.body


def test_a_chat_stream_that_failed_does_not_end_well(stage):
    """Some clients read no error inside a stream: to them the end of the framing would be the end of the answer."""
    error = E("error", '"error":{"type":"overloaded_error","message":"Overloaded"}')
    assert stage.chat(reply=stage.steps(S() + says(0, "Hi"), error), stream=True).cut
    assert stage.chat(reply=stage.steps(S() + says(0, "Hi"), "", ending=b""), stream=True).cut


def test_the_connection_goes_on_after_a_translated_stream():
    """Both sides are kept alive: three requests, one connection to the provider. Also where more follows the end."""
    with Stage() as stage:
        for reply in (FINE, drip(D('"content":"fine"') + F("stop") + DONE + U + "\n\n")):
            stage.upstream.reply = reply
            with Client(stage.proxy.address) as client:
                for _ in range(3):
                    client.request("POST", MESSAGES, json.dumps(to_chat(stream=True)).encode())
                    assert messages_stream(client.response().body).blocks[0]["text"] == "fine"
        assert len(stage.upstream.peers) == 1


def test_nothing_follows_what_comes_after_the_end(stage):
    """More data after [DONE], usage too late, a second message_stop: read to the end, said to nobody."""
    stream = D('"content":"a"') + F("stop") + DONE + U + D('"content":"b"') + DONE
    assert stage.messages(reply=sse(stream), stream=True).talk().told() == "start0:text text0:'a' stop0 md(end_turn)"
    stream = S() + says(0, "a") + ends() + says(1, "b") + ends()
    assert stage.chat(reply=sse(stream), stream=True).chat().told() == "role content:'a' finish(stop) [DONE]"


def test_a_large_stream_keeps_every_byte(stage):
    """1 MiB of text in odd pieces with every kind of escape, and arguments of 200 KiB."""
    rng = random.Random(3)
    alphabet = ["a", "é", "漢", "🙂", "\\n", "\\u00e9", "\\ud83d\\ude42", '\\"', "\\\\", "\\/", " ", "<", "\\t"]
    pieces = ["".join(rng.choices(alphabet, k=rng.randint(1, 600))) for _ in range(1500)]
    escaped = "".join(pieces)
    arguments = json.dumps({"x": "y" * 200_000 + "é"})
    cuts = [arguments[at : at + 999] for at in range(0, len(arguments), 999)]
    stream = "".join(D(f'"content":"{piece}"') for piece in pieces) + T(0, "a", "f", "")
    stream += "".join(T(0, None, None, piece) for piece in cuts) + F("tool_calls") + DONE
    for reply in (sse(stream), scattered(stream)):
        talk = stage.messages(reply=reply, stream=True, tools=TOOLS).talk()
        assert talk.blocks[0]["text"] == json.loads(f'"{escaped}"')
        assert talk.blocks[1]["_json"] == arguments
    stream = S() + "".join(says(n, json.loads(f'"{piece}"')) for n, piece in enumerate(pieces)) + ends()
    assert stage.chat(reply=sse(stream), stream=True).chat().text == json.loads(f'"{escaped}"')


def test_answers_side_by_side_are_not_mixed(stage):
    """Many clients at once, both ways: each gets its own."""
    failures = []

    def reply(peer, request):
        sent = json.loads(request.body)
        said = sent["messages"][-1]["content"]
        mark = said if isinstance(said, str) else said[0]["text"]
        if request.target.endswith("/chat/completions"):
            parts = [D(f'"content":"{mark}{n} "') for n in range(30)] + [T(0, f"id{mark}", "f", ""), T(0, None, None, f'{{"x":"{mark}"}}'), F("tool_calls") + DONE]
        else:
            parts = [S(), *(says(n, f"{mark}{n} ") for n in range(30)), calls(30, f"id{mark}", "f", f'{{"x":"{mark}"}}'), ends("tool_use")]
        peer.send(SSE_HEAD)
        for part in parts:
            peer.send(chunk(part.encode()))
        peer.send(LAST_CHUNK)

    def client(number):
        try:
            with Client(stage.proxy.address) as connection:
                for turn in range(6):
                    mark = f"c{number}t{turn}-"
                    path, body = (MESSAGES, to_chat(stream=True, tools=TOOLS)) if (number + turn) % 2 else (CHAT, to_messages(stream=True, tools=FUNCTIONS))
                    body["messages"][0]["content"] = mark
                    got = connection.ask("POST", path, json.dumps(body).encode()).body
                    words = "".join(f"{mark}{n} " for n in range(30))
                    if path == MESSAGES:
                        told = messages_stream(got)
                        assert (told.blocks[0]["text"], told.blocks[1]["id"], told.blocks[1]["_json"]) == (words, f"id{mark}", f'{{"x":"{mark}"}}')
                    else:
                        told = chat_stream(got)
                        assert (told.text, told.calls) == (words, [{"id": f"id{mark}", "name": "f", "arguments": f'{{"x":"{mark}"}}'}])
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    stage.upstream.reply = reply
    threads = [threading.Thread(target=client, args=(number,)) for number in range(16)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    stage.upstream.take()
    assert not failures, failures[0]


def test_escapes_pass_as_they_stand(stage):
    """What the upstream escaped stays as it was, lone surrogates too."""
    odd = 'a\\u00e9\\/\\ud83d \\u0041 é\\u2028'
    body = stage.messages(reply=sse(D(f'"content":"{odd}"') + F("stop") + DONE), stream=True).response.body
    assert odd.encode() in body
    event = E("content_block_delta", f'"index":0,"delta":{{"type":"text_delta","text":"{odd}"}}')
    stream = S() + B(0, '{"type":"text","text":""}').replace("event: content_block_stop", event + "event: content_block_stop") + ends()
    assert odd.encode() in stage.chat(reply=sse(stream), stream=True).response.body


def test_silence_is_filled_with_pings():
    """A client that waits sees that the answer goes on; and a head is held no longer than SIDESTREAM_HOLD."""
    with Stage(SIDESTREAM_PING="1s", SIDESTREAM_HOLD="100ms") as stage:
        for way, path, body, first, rest in (
            ("messages", MESSAGES, to_chat(stream=True), D('"content":"a"'), F("stop") + DONE),
            ("chat", CHAT, to_messages(stream=True), S() + says(0, "a"), ends()),
        ):
            turn: queue.Queue = queue.Queue()

            def reply(peer, request):
                peer.send(SSE_HEAD)
                turn.get(timeout=10)
                peer.send(chunk(first.encode()))
                turn.get(timeout=10)
                peer.send(chunk(rest.encode()) + LAST_CHUNK)

            stage.upstream.reply = reply
            with Client(stage.proxy.address) as client:
                client.request("POST", path, json.dumps(body).encode())
                _, pieces = client.response_head()  # while the upstream is silent: no longer held
                turn.put(1)
                got = b""
                mark = b"event: ping" if way == "messages" else b"\n: "
                while mark not in b"\n" + got:
                    got += pieces.piece()
                turn.put(2)
                got += pieces.all()
            if way == "messages":
                talk = messages_stream(got)
                assert talk.pings >= 1 and talk.stop == "end_turn"
            else:
                assert chat_stream(got).comments


def test_a_body_that_is_not_what_it_says(stage):
    """JSON without a Content-Type, a stream called JSON: what it is decides, or it is an error; never an empty success."""
    got = stage.messages(reply=whole(b'{"hello":"there"}', headers=JSON))
    assert (got.response.status, got.json["error"]["type"]) == (502, "api_error"), got.response
    got = stage.messages(reply=whole(b"<html>no</html>", headers="Content-Type: text/html\r\n"), stream=True)
    assert (got.response.status, got.json["type"]) == (502, "error"), got.response
    got = stage.chat(reply=whole(b"", headers=JSON))
    assert (got.response.status, "error" in got.json) == (502, True), got.response
    assert stage.chat(reply=GOOD).chat().text == "fine"
