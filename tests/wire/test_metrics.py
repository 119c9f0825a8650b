"""/metrics and /readyz: what they hold, read by Prometheus' own reader of OpenMetrics."""

import json
import re

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from support.fleet import Fleet, dead_port, many
from support.upstream import LAST_CHUNK, SSE_HEAD, Upstream, answer, chunk
from support.wire import Client, ask

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
OF_JSON = "Content-Type: application/json\r\n"
KINDS = ("input", "cache_read", "cache_write", "output", "reasoning")


def families(proxy) -> dict:
    page = ask(proxy.admin, "GET", "/metrics")
    assert page.status == 200 and page.get("content-type") == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    return {family.name: family for family in text_string_to_metric_families(page.body.decode())}


def value(read: dict, name: str, **labels: str) -> float:
    family = read["sidestream_" + name]
    return sum(s.value for s in family.samples if s.name.endswith(("_total", name, "_count")) and labels.items() <= s.labels.items())


def settled(proxy, done) -> dict:
    """A count may be settled just after the answer that it is of."""
    for _ in range(500):
        if done(read := families(proxy)):
            return read
    raise AssertionError("never counted")


def stream(*events: bytes) -> bytes:
    return SSE_HEAD + b"".join(map(chunk, events)) + LAST_CHUNK


def event(name: str, **data) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


CHAT_USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "prompt_tokens_details": {"cached_tokens": 60},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
RESPONSES_USAGE = {
    "input_tokens": 100,
    "output_tokens": 20,
    "input_tokens_details": {"cached_tokens": 60},
    "output_tokens_details": {"reasoning_tokens": 5},
}
MESSAGES_USAGE = {"input_tokens": 40, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 7, "output_tokens": 20}
USAGES = {
    # name: (path, streamed, answer, tokens by kind, dialect)
    "chat": (CHAT, False, answer(json.dumps({"choices": [], "usage": CHAT_USAGE}).encode(), headers=OF_JSON), (40, 60, 0, 20, 5), "chat"),
    "chat, streamed": (
        CHAT,
        True,
        stream(b'data: {"choices":[{"delta":{"content":"a"}}],"usage":null}\n\n', b"data: %s\n\n" % json.dumps({"choices": [], "usage": CHAT_USAGE}).encode(), b"data: [DONE]\n\n"),
        (40, 60, 0, 20, 5),
        "chat",
    ),
    "responses": (RESPONSES, False, answer(json.dumps({"output": [], "usage": RESPONSES_USAGE}).encode(), headers=OF_JSON), (40, 60, 0, 20, 5), "responses"),
    "responses, streamed": (
        RESPONSES,
        True,
        stream(event("response.created", response={"usage": None}), event("response.completed", response={"usage": RESPONSES_USAGE})),
        (40, 60, 0, 20, 5),
        "responses",
    ),
    "messages": (MESSAGES, False, answer(json.dumps({"content": [], "usage": MESSAGES_USAGE}).encode(), headers=OF_JSON), (40, 60, 7, 20, 0), "messages"),
    "messages, streamed": (
        MESSAGES,
        True,
        stream(
            event("message_start", message={"usage": {**MESSAGES_USAGE, "output_tokens": 1}}),
            event("content_block_delta", delta={"text": "a"}),
            # Running totals: the last one counts.
            event("message_delta", usage={"output_tokens": 20}),
            event("message_stop"),
        ),
        (40, 60, 7, 20, 0),
        "messages",
    ),
    "embeddings": ("/v1/embeddings", False, answer(b'{"data":[],"usage":{"prompt_tokens":8,"total_tokens":8}}', headers=OF_JSON), (8, 0, 0, 0, 0), "chat"),
    "says nothing": (CHAT, False, answer(b'{"choices":[]}', headers=OF_JSON), (0, 0, 0, 0, 0), "chat"),
}


@pytest.fixture(scope="module")
def counted():
    with Fleet() as fleet:
        proxy = many({**fleet.faces("mock"), **fleet.faces("my-box"), "SIDESTREAM_PROVIDERS": "mock,my-box"})
        yield proxy, fleet
        proxy.close()


@pytest.mark.parametrize("rule", USAGES)
def test_tokens_as_reported(counted, rule):
    proxy, fleet = counted
    path, streamed, sent, tokens, dialect = USAGES[rule]
    fleet.reply = lambda request: sent
    before = families(proxy)
    response = ask(proxy.address, "POST", f"/my-box{path}", json.dumps({"model": "m", "stream": streamed}).encode())
    assert response.status == 200
    requests = {"provider": "my-box", "dialect": dialect, "status": "2xx"}
    after = settled(proxy, lambda read: value(read, "upstream_requests", **requests) == value(before, "upstream_requests", **requests) + 1)

    def grown(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    assert tuple(grown("upstream_tokens", provider="my-box", kind=kind) for kind in KINDS) == tokens
    assert grown("upstream_tokens", provider="mock") == 0
    assert grown("upstream_answers_without_usage", provider="my-box") == (rule == "says nothing")
    assert grown("streams") == streamed
    assert grown("upstream_duration_seconds", provider="my-box") == grown("upstream_time_to_first_byte_seconds", provider="my-box") == 1
    if any(tokens):
        line = proxy.wait_line(lambda line: f"tokens_in={tokens[0]}" in line)
        assert not tokens[1] or f"tokens_cached={tokens[1]} tokens_out={tokens[3]}" in line


LABELS = {
    # family: (type, names of its labels)
    "build_info": ("gauge", {"version", "driver", "reason"}),
    "client_connections": ("counter", set()),
    "client_connections_open": ("gauge", set()),
    "client_aborts": ("counter", set()),
    "requests": ("counter", set()),
    "requests_open": ("gauge", set()),
    "responses_2xx": ("counter", set()),
    "streams": ("counter", set()),
    "panics": ("counter", set()),
    "log_dropped": ("counter", set()),
    "upstream_connect_seconds": ("counter", {"provider"}),
    "upstream_connect_seconds_saved": ("counter", {"provider"}),
    "upstream_warm_up_calls": ("counter", {"provider"}),
    "refusals": ("counter", {"reason", "who"}),
    "upstream_requests": ("counter", {"provider", "dialect", "status"}),
    "upstream_retries": ("counter", {"provider"}),
    "upstream_failovers": ("counter", {"provider"}),
    "upstream_hedges": ("counter", {"provider"}),
    "upstream_breaker_open": ("gauge", {"provider"}),
    "upstream_keys_benched": ("gauge", {"provider"}),
    "upstream_connects": ("counter", {"provider"}),
    "upstream_connect_failures": ("counter", {"provider"}),
    "upstream_reuses": ("counter", {"provider"}),
    "upstream_replays": ("counter", {"provider"}),
    "upstream_timeouts": ("counter", {"provider"}),
    "upstream_answers_without_usage": ("counter", {"provider"}),
    "upstream_requests_unpriced": ("counter", {"provider"}),
    "upstream_cost_usd": ("counter", {"provider"}),
    "upstream_time_to_first_byte_seconds": ("histogram", {"provider"}),
    "upstream_duration_seconds": ("histogram", {"provider"}),
    "upstream_tokens": ("counter", {"provider", "kind"}),
}


def test_families_and_labels(counted):
    """They are there with their labels before anything happened, so that a rate has a first point."""
    proxy, _ = counted
    assert ask(proxy.address, "POST", CHAT, b"{").status == 400
    read = families(proxy)
    for name, (kind, labels) in LABELS.items():
        family = read["sidestream_" + name]
        assert family.type == kind and family.documentation and family.samples, name
        assert all(set(s.labels) - {"le"} == labels for s in family.samples), name
        if "provider" in labels:
            assert {s.labels["provider"] for s in family.samples} == {"mock", "my-box"}
    assert all(name.startswith("sidestream_") for name in read)
    assert value(read, "build_info") == 1 and value(read, "refusals", reason="invalid-json", who="client") >= 1
    statuses = {s.labels["status"] for s in read["sidestream_upstream_requests"].samples}
    assert statuses == {"2xx", "3xx", "4xx", "5xx", "none"}
    buckets = [s for s in read["sidestream_upstream_duration_seconds"].samples if s.name.endswith("_bucket") and s.labels["provider"] == "mock"]
    assert buckets[-1].labels["le"] == "+Inf" and float(buckets[0].labels["le"]) <= 0.001


def test_what_becomes_of_a_request(owned):
    """By provider, dialect and class of status; a provider that could not be reached had its part in the request."""

    def reply(request):
        status = re.search(rb'"model":"(\d+)"', request.body)[1].decode()
        return answer(b"{}", f"{status} X", OF_JSON)

    fleet = owned(Fleet(reply))
    env = {**fleet.faces("well"), "SIDESTREAM_PROVIDERS": "down,well", "DOWN_OPENAI_URL": f"http://127.0.0.1:{dead_port()}/v1", "DOWN_MAX_RETRIES": "0", "WELL_MAX_RETRIES": "0", "SIDESTREAM_WARM_UP": "off", "DOWN_WARM_CONNECTIONS": "0"}
    proxy = owned(many({**env, "SIDESTREAM_ROUTES": "gone -> down; 2* -> down, well; * -> well"}))
    for status in ("200", "201", "307", "404", "429", "500", "529"):
        assert ask(proxy.address, "POST", CHAT, b'{"model":"%s"}' % status.encode()).status == int(status)
    assert ask(proxy.address, "POST", MESSAGES, b'{"model":"404"}').status == 404
    assert ask(proxy.address, "POST", CHAT, b'{"model":"gone"}').status == 502
    read = settled(proxy, lambda read: value(read, "upstream_requests") == 9)
    for provider, dialect, status, count in [
        ("well", "chat", "2xx", 2),
        ("well", "chat", "3xx", 1),
        ("well", "chat", "4xx", 2),
        ("well", "chat", "5xx", 2),
        ("well", "messages", "4xx", 1),
        ("down", "chat", "5xx", 1),
        ("down", "chat", "2xx", 0),
    ]:
        assert value(read, "upstream_requests", provider=provider, dialect=dialect, status=status) == count, (provider, dialect, status)
    assert value(read, "upstream_connect_failures", provider="down") == 3
    assert value(read, "upstream_model_requests", provider="well", model="200", key="1") == 1
    assert value(read, "upstream_failures", provider="down", model="200", key="1", reason="unreachable") == 1
    assert value(read, "refusals", reason="upstream-connect", who="upstream") == 1
    assert value(read, "upstream_time_to_first_byte_seconds", provider="down") == 0
    assert [value(read, f"responses_{n}xx") for n in (3, 4, 5)] == [1, 3, 3]


def test_readyz(owned):
    """A line for each way to a provider; connections that are there now."""
    waiting = owned(Upstream(lambda peer: (peer.request(), peer.wait_closed())))
    fleet = owned(Fleet())
    env = {
        **fleet.faces("well"),
        "SIDESTREAM_PROVIDERS": "well,apart,down",
        "APART_OPENAI_URL": f"http://127.0.0.1:{fleet.port}/apart/openai/v1",
        "APART_ANTHROPIC_URL": f"http://localhost:{waiting.port}",
        "DOWN_OPENAI_URL": f"http://127.0.0.1:{dead_port()}/v1",
        **{f"{name}_WARM_CONNECTIONS": "0" for name in ("WELL", "APART", "DOWN")},
    }
    proxy = owned(many(env))

    def state() -> dict:
        answered = ask(proxy.admin, "GET", "/readyz")
        first, *lines = answered.body.decode().splitlines()
        assert (answered.status, first) == (200, "ready")
        read = [re.fullmatch(r"provider=(\S+) origin=(\S+) open=(\d+) idle=(\d+) waiting=(\d+) breaker=closed keys_benched=0", line) for line in lines]
        return {(m[1], m[2]): tuple(map(int, m.groups()[2:])) for m in read}

    well, apart = ("well", f"127.0.0.1:{fleet.port}"), ("apart", f"localhost:{waiting.port}")
    assert len(state()) == 4 and set(state().values()) == {(0, 0, 0)}, "one line for two faces at one origin"
    assert ask(proxy.address, "POST", "/well" + CHAT, b'{"model":"m"}').status == 200
    assert ask(proxy.address, "POST", "/down" + CHAT, b'{"model":"m"}').status == 502
    with Client(proxy.address) as client:
        client.request("POST", "/apart" + MESSAGES, b'{"model":"m"}')
        for _ in range(1000):
            if (now := state())[apart] == (1, 0, 0):
                break
        assert (now[well], now[apart]) == ((1, 1, 0), (1, 0, 0))
    head = ask(proxy.admin, "HEAD", "/readyz")
    assert (head.status, head.body) == (200, b"")
