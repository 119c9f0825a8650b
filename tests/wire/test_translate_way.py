"""What happens to a translated request and its answer on the way: other targets, connections that went away, odd framings,
clients that send everything they could say as null, clients that do not read, and answers without end."""

import json
import threading

import pytest

from support.dialects import chat_stream, messages_stream
from support.fleet import dead_port
from support.process import DRIVERS
from support.translation import (
    CHAT, COUNT, DONE, FINE, GOOD, KIND, MESSAGES, NUMBERS, WELL, D, E, F, S, Stage, T, completion, ends, message, says, sse, to_chat, to_messages, tool, user, whole,
)
from support.upstream import LAST_CHUNK, SSE_HEAD, chunk
from support.wire import Client


@pytest.fixture(scope="module", params=[d for d in DRIVERS if d != "denied"])
def stage(request):
    with Stage(request.param) as stage:
        yield stage


@pytest.fixture(scope="module")
def plain():
    with Stage() as stage:
        yield stage


def test_the_next_target_may_speak_another_dialect():
    """Each target gets the client's own request, translated for it or as it is, and the answer is the client's in any case."""
    dead = f"http://127.0.0.1:{dead_port()}"
    models = {"f": "gone-chat/x, claw/second", "g": "gone-messages/x, box/second"}
    gone = {"GONE_CHAT_OPENAI_URL": dead + "/v1", "GONE_MESSAGES_ANTHROPIC_URL": dead}
    with Stage(chat={"gone-chat": None}, messages={"gone-messages": None}, models=models, **gone) as stage:
        for model in ("f", "g"):
            at = "/claw/anthropic/v1/messages" if model == "f" else "/box/openai/v1/chat/completions"
            kind, good = (KIND, GOOD) if model == "f" else (FINE, WELL)
            for stream in (False, True):
                got = stage.messages(reply=kind if stream else good, model=model, stream=stream)
                assert (got.request.target, got.sent["model"]) == (at, "second")
                assert got.response.get("x-sidestream-attempts") == "2"
                if model == "f":
                    assert got.request.body == json.dumps(to_chat(model="f", stream=stream)).encode().replace(b'"f"', b'"second"', 1)
                    assert b"fine" in got.response.body and got.dropped == set()
                else:
                    assert got.talk().blocks[0]["text"] == "fine"
                got = stage.chat(reply=kind if stream else good, model=model, stream=stream)
                assert (got.request.target, got.sent["model"]) == (at, "second")
                if model == "f":
                    assert got.chat().text == "fine"
                else:
                    assert b"fine" in got.response.body and "max_tokens" not in got.sent


@pytest.mark.parametrize("way", ["messages", "chat"])
def test_a_connection_that_went_away_is_not_noticed(stage, way):
    """The provider closes idle connections: the translated request is sent on another one."""
    good = WELL if way == "messages" else GOOD

    def last_answer(peer, request):
        peer.send(good)
        return False

    for _ in range(6):
        got = getattr(stage, way)(reply=last_answer)
        assert got.response.status == 200 and len(got.arrived) == 1, got.response


@pytest.mark.parametrize("way", ["messages", "chat"])
def test_framings_of_the_client(stage, way):
    body = json.dumps(to_chat() if way == "messages" else to_messages()).encode()
    path, good = (MESSAGES, WELL) if way == "messages" else (CHAT, GOOD)
    stage.upstream.reply = good
    stage.upstream.take()
    with Client(stage.proxy.address) as client:
        client.ask("POST", path, body)
        client.ask("POST", path, [body[:1], body[1:30], body[30:]])
        head = f"POST {path} HTTP/1.1\r\nHost: {client.authority}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        for at in range(0, len(head + body), 11):
            client.send((head + body)[at : at + 11])
        assert client.response().status == 200
    sent = [request.body for request in stage.upstream.take()]
    assert len(sent) == 3 and len(set(sent)) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("way", ["messages", "chat"])
def test_http_1_0_clients(stage, way, stream):
    """No chunks for them: the end of the connection is the end."""
    body = json.dumps(to_chat(stream=stream) if way == "messages" else to_messages(stream=stream)).encode()
    stage.upstream.reply = {("messages", False): WELL, ("messages", True): FINE, ("chat", False): GOOD, ("chat", True): KIND}[way, stream]
    with Client(stage.proxy.address) as client:
        response = client.ask("POST", MESSAGES if way == "messages" else CHAT, body, version=0)
    stage.upstream.take()
    assert response.status == 200 and response.get("transfer-encoding") is None
    if stream:
        assert (messages_stream(response.body).stop if way == "messages" else chat_stream(response.body).finish) in ("end_turn", "stop")
    else:
        assert b"fine" in response.body


NULLS = {
    "messages": ["system", "temperature", "top_p", "top_k", "stop_sequences", "stream", "tools", "tool_choice", "thinking", "metadata", "output_config", "service_tier", "container", "cache_control", "thread", "mcp_servers"],
    "chat": ["temperature", "top_p", "n", "stop", "stream", "stream_options", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format", "reasoning_effort", "user", "seed", "logit_bias",
             "logprobs", "top_logprobs", "max_tokens", "max_completion_tokens", "frequency_penalty", "presence_penalty", "metadata", "store", "service_tier", "modalities", "audio", "prediction", "verbosity"],
}


@pytest.mark.parametrize("way", ["messages", "chat"])
def test_null_is_nothing(plain, way):
    """SDKs and wrappers send null for what is not set: it is no field, and no loss."""
    nulls = dict.fromkeys(NULLS[way])
    if way == "messages":
        got = plain.messages(reply=WELL, **nulls)
        assert got.response.status == 200 and got.dropped == set(), got.response
        assert set(got.sent) == {"model", "messages", "max_tokens"}
    else:
        got = plain.chat(reply=GOOD, **nulls)
        assert got.response.status == 200 and got.dropped == {"max_tokens+"}, got.response
        assert set(got.sent) <= {"model", "messages", "max_tokens", "stream"}
    for name in NULLS[way]:
        got = getattr(plain, way)(reply=WELL if way == "messages" else GOOD, **{name: None})
        assert got.response.status == 200 and got.dropped <= {"max_tokens+"}, (name, got.response)


def test_what_is_said_by_default_is_no_loss(plain):
    """Values that mean what leaving them out means."""
    got = plain.chat(reply=GOOD, max_tokens=5, n=1, stream=False, logprobs=False, store=False, modalities=["text"], response_format={"type": "text"}, tools=[])
    assert got.response.status == 200 and got.dropped == set(), got.response
    got = plain.messages(reply=WELL, stream=False, tools=[], system="", stop_sequences=[], metadata={}, thinking={"type": "disabled"})
    assert got.response.status == 200 and got.dropped <= {"thinking"}, got.response


@pytest.mark.parametrize("way", ["messages", "chat"])
def test_a_key_twice(plain, way):
    """What is read must not be there twice: nobody could say which one holds."""
    body = json.dumps(to_chat() if way == "messages" else to_messages())
    for key in ("messages", "model"):
        value = json.dumps(json.loads(body)[key])
        got = getattr(plain, way)((body[:-1] + f', "{key}": {value}}}').encode(), WELL if way == "messages" else GOOD)
        assert (got.response.status, got.arrived) == (400, []), (key, got.response)


@pytest.mark.parametrize("way", ["messages", "chat"])
def test_bytes_that_are_no_text(plain, way):
    """A provider may refuse bytes that are not UTF-8: what arrives is JSON, whatever came."""
    body = json.dumps(to_chat(messages=[user("MARK")]) if way == "messages" else to_messages(messages=[user("MARK")])).encode().replace(b"MARK", b"a\xff\xfeb\xe2\x82")
    got = getattr(plain, way)(body, WELL if way == "messages" else GOOD)
    assert got.response.status == 200, got.response
    assert "�" in got.request.body.decode() or "\\ufffd" in got.request.body.decode().lower()
    stream = (D('"content":"MARK"') + F("stop") + DONE if way == "messages" else S() + says(0, "MARK") + ends()).encode().replace(b"MARK", b"a\xffb")
    got = getattr(plain, way)(reply=sse(stream), stream=True)
    assert "a" in (got.talk().blocks[0]["text"] if way == "messages" else got.chat().text)
    got.response.body.decode()


def test_deep_and_wide(plain):
    """Schemas nested 40 deep, 300 tools, 2,000 turns: as they are."""
    schema = {"type": "object", "properties": {}}
    for _ in range(40):
        schema = {"type": "object", "properties": {"x": schema}}
    tools = [tool(f"f{n}", input_schema=schema if n == 0 else {"type": "object", "properties": {}}) for n in range(300)]
    turns = [{"role": "assistant" if n % 2 else "user", "content": f"t{n}"} for n in range(2001)]
    got = plain.messages(reply=WELL, tools=tools, messages=turns)
    assert got.response.status == 200 and len(got.sent["tools"]) == 300 and len(got.sent["messages"]) == 2001, got.response
    assert got.sent["tools"][0]["function"]["parameters"] == schema


# ── Other statuses, other types ─────────────────────────────────────────────────────────────────────────────────────


def test_an_error_as_a_stream(plain):
    """Some say in a stream that they refuse: `400 text/event-stream`."""
    body = 'data: {"error":{"message":"boom","type":"invalid_request_error","code":null}}\n\ndata: [DONE]\n\n'
    got = plain.messages(reply=whole(body, "400 X", "Content-Type: text/event-stream\r\n"), stream=True)
    assert (got.response.status, got.json["error"]["type"]) == (400, "invalid_request_error") and "boom" in got.json["error"]["message"], got.response
    body = E("error", '"error":{"type":"overloaded_error","message":"boom"}')
    got = plain.chat(reply=whole(body, "529 X", "Content-Type: text/event-stream\r\n"), stream=True)
    assert (got.response.status, got.json["error"]["code"]) == (503, "server_is_overloaded") and "boom" in got.json["error"]["message"], got.response


@pytest.mark.parametrize("status", ["201 X", "204 X", "302 X", "304 X", "418 X", "599 X"])
@pytest.mark.parametrize("way", ["messages", "chat"])
def test_odd_statuses(plain, way, status):
    """An error in the client's dialect, or an answer: nothing half."""
    bodiless = status[:3] in ("204", "304")
    reply = f"HTTP/1.1 {status}\r\nLocation: /x\r\n\r\n".encode() if bodiless else whole(b'{"error":{"message":"boom"}}', status)
    got = getattr(plain, way)(reply=lambda peer, request: peer.send(reply))
    assert got.response.status >= 400, got.response
    assert got.json["error"]["message"] and (got.json.get("type") == "error") == (way == "messages")


def test_content_types(plain):
    """`application/json; charset=utf-8`, none at all, upper case."""
    for kind in ("application/json; charset=utf-8", "APPLICATION/JSON", "text/plain", None):
        fields = f"Content-Type: {kind}\r\n" if kind else ""
        got = plain.messages(reply=whole(WELL.partition(b"\r\n\r\n")[2], headers=fields))
        assert got.talk().blocks[0]["text"] == "fine" and got.response.get("content-type").startswith("application/json")
    for kind in ("text/event-stream; charset=utf-8", "Text/Event-Stream", "text/event-stream;charset=UTF-8"):
        reply = FINE.replace(b"text/event-stream", kind.encode())
        assert plain.messages(reply=reply, stream=True).talk().blocks[0]["text"] == "fine"


def test_what_has_no_counterpart(plain):
    """Said in the client's dialect; nobody is asked."""
    for path in ("/v1/responses", "/v1/embeddings"):
        got = plain.ask(path, {"model": "c", "input": "x"})
        assert (got.response.status, got.reason, got.arrived) == (501, "translation-needed", []), got.response
        assert "claw" in got.json["error"]["message"]


def test_tokens_are_counted_as_they_were(plain):
    """In the metrics and on the line of the log: the provider's numbers."""
    with Stage(SIDESTREAM_CONTEXT="up-model:100000", SIDESTREAM_EXPECTED_CONTEXT="messages:200000") as stage:
        for reply, stream in ((WELL, False), (FINE, True)):
            stage.messages(reply=reply, stream=stream)
        stage.chat(reply=KIND, stream=True)
        stage.proxy.wait_counter("sidestream_upstream_tokens_total", 12 * 3 + 5 * 2 + 9)
        told = {k: v for k, v in stage.proxy.metrics().items() if k.startswith("sidestream_upstream_tokens_total")}
        for provider, kind, count in (("box", "input", 16), ("box", "cache_read", 8), ("box", "output", 10), ("claw", "input", 8), ("claw", "cache_read", 4), ("claw", "output", 9)):
            (value,) = [v for k, v in told.items() if f'provider="{provider}"' in k and f'kind="{kind}"' in k]
            assert value == count, (provider, kind, told)
        line = stage.proxy.wait_line(lambda line: "msg=request" in line and "tokens_in" in line)
        assert "tokens_in=8 " in line and "tokens_cached=4 " in line


# ── Bounds ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", ["messages", "chat"])
def test_a_client_that_does_not_read(stage, way):
    """It holds the provider back, and memory does not grow with what waits."""
    event = D(f'"content":"{"x" * 1000}"') if way == "messages" else E("content_block_delta", f'"index":0,"delta":{{"type":"text_delta","text":"{"x" * 1000}"}}')
    begin = "" if way == "messages" else S() + E("content_block_start", '"index":0,"content_block":{"type":"text","text":""}')
    end = F("stop") + DONE if way == "messages" else E("content_block_stop", '"index":0') + ends()
    block = chunk((event * 100).encode())
    sent = []

    def reply(peer, request):
        peer.send(SSE_HEAD + (chunk(begin.encode()) if begin else b""))
        for number in range(200):
            peer.send(block)
            sent.append(number)
        peer.send(chunk(end.encode()) + LAST_CHUNK)

    stage.upstream.reply = reply
    before = stage.proxy.resident_kib()
    with Client(stage.proxy.address, receive_buffer=65536) as client:
        client.request("POST", MESSAGES if way == "messages" else CHAT, json.dumps(to_chat(stream=True) if way == "messages" else to_messages(stream=True)).encode())
        _, pieces = client.response_head()
        calm = threading.Event()
        seen = -1
        while seen != len(sent):
            seen = len(sent)
            calm.wait(0.1)
        assert len(sent) < 200, "nobody held it back"
        assert stage.proxy.resident_kib() - before < 8 << 10
        got = pieces.all()
    stage.upstream.take()
    assert got.count(b"x" * 1000) == 200 * 100
    assert got.endswith(b'{"type":"message_stop"}\n\n' if way == "messages" else b"data: [DONE]\n\n")


HUGE = {
    "one event": lambda: [SSE_HEAD, chunk(D('"content":"' + "x" * (3 << 20) + '"').encode()), LAST_CHUNK],
    "one event without an end": lambda: [SSE_HEAD, *[chunk(b"data: " + b"x" * (1 << 20))] * 4],
    "calls without end": lambda: [SSE_HEAD, chunk("".join(T(n, f"c{n}", "f", "{") for n in range(3000)).encode()), chunk(DONE.encode()) + LAST_CHUNK],
    "what waits behind an open call": lambda: [SSE_HEAD, chunk((T(0, "a", "f", '{"x"') + T(1, "b", "g", '{"y":"')).encode()), *[chunk(T(1, None, None, "y" * 100_000).encode())] * 80, chunk(DONE.encode()) + LAST_CHUNK],
    "a whole answer": lambda: [b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", *[chunk(b" " * (1 << 20))] * 40, LAST_CHUNK],
    "an error": lambda: [b"HTTP/1.1 400 X\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", *[chunk(b"x" * (1 << 20))] * 40, LAST_CHUNK],
}


@pytest.mark.parametrize("rule", HUGE)
def test_answers_beyond_the_bounds(plain, rule):
    """An error, in the client's dialect, and the memory is given back."""
    pieces = HUGE[rule]()

    def reply(peer, request):
        try:
            for piece in pieces:
                peer.send(piece)
        except OSError:
            pass
        return False

    stream = rule not in ("a whole answer", "an error")
    got = plain.messages(reply=reply, stream=stream, tools=[tool("f"), tool("g")])
    if got.response.status == 200:
        assert got.talk().error, got.talk().brief[-3:]
    else:
        assert got.json["error"]["message"] and len(got.response.body) < 1 << 20
    assert plain.messages(reply=WELL).response.status == 200
    assert plain.proxy.resident_kib() < 200 << 10


# ── Windows ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_tokens_are_told_in_the_clients_window():
    """A model with half of the window that the client believes in: the client counts twice, and compacts in time."""
    with Stage(SIDESTREAM_CONTEXT="up-model:100000", SIDESTREAM_EXPECTED_CONTEXT="messages:200000") as stage:
        blocking = stage.messages(reply=WELL)
        assert blocking.response.get("x-sidestream-real-tokens") == "12"
        for talk in (blocking.talk(), stage.messages(reply=FINE, stream=True).talk()):
            usage = talk.usage
            assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (16, 8), usage
        body = {k: v for k, v in to_chat(messages=[user("one two three " * 50)]).items() if k != "max_tokens"}
        told = stage.ask(COUNT, body)
        assert told.json["input_tokens"] == 2 * int(told.response.get("x-sidestream-real-tokens"))
        overflow = '{"error":{"message":"This model\'s maximum context length is 100000 tokens. However, your messages resulted in 100001 tokens.","type":"invalid_request_error","code":"context_length_exceeded"}}'
        message_of = stage.messages(reply=whole(overflow, "400 X")).json["error"]["message"]
        assert message_of.startswith("prompt is too long: ")
        # A Chat client's own dialect is not touched.
        got = stage.ask(CHAT, to_messages(model="m"), WELL)
        assert got.json["usage"]["prompt_tokens"] == 12
    with Stage() as stage:
        assert stage.messages(reply=WELL).talk().usage["input_tokens"] == 8
        assert stage.chat(reply=message('{"type":"text","text":"a"}')).chat().usage["prompt_tokens"] == 12


def test_what_a_model_counts_is_learned():
    """The estimate in `message_start` follows what the model reported for requests like it."""
    with Stage() as stage:
        words = [user("x" * 40_000)]
        first = stage.messages(reply=FINE, stream=True, messages=words).talk().message["usage"]["input_tokens"]
        heavy = completion('"content":"a"', more="," + NUMBERS.replace('"prompt_tokens":12', '"prompt_tokens":20000'))
        for _ in range(20):
            stage.messages(reply=heavy, messages=words)
        learned = stage.messages(reply=FINE, stream=True, messages=words).talk().message["usage"]["input_tokens"]
        assert 5_000 < first < 15_000 and 15_000 < learned < 25_000, (first, learned)


def test_nothing_is_asked_for(stage):
    """`max_tokens: 0` warms Anthropic's prompt cache: nobody else is asked, and the answer is empty."""
    for more in ({}, {"stream": True}):
        got = stage.messages(max_tokens=0, reply=WELL, **more)
        assert (got.response.status, got.arrived) == (200, []), got.response
        talk = got.talk()
        assert talk.stop == "end_turn" and talk.usage["input_tokens"] > 0 and len(talk.blocks) == 1, talk
