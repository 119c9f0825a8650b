"""What requests cost: on their log lines, in the metrics, on answers; worked out anew here from the table of prices."""

import csv
import json
import signal
from decimal import Decimal
from pathlib import Path

import pytest

from support.fleet import Fleet, many
from support.process import ROOT, NotStarted, pairs
from support.translation import CHAT, FINE, KIND, MESSAGES, WELL, Stage, message
from support.upstream import LAST_CHUNK, SSE_HEAD, answer, chunk
from support.wire import ask

RESPONSES = "/v1/responses"
OF_JSON = "Content-Type: application/json\r\n"
OWN = """\
# Ours.
provider,model,above,input,output,cache_read,cache_write,cache_write_1h,reasoning
box,steps*,,1,10,0.1,,,
box,steps*,1000,2,20,0.2,,,
box,free,,0,0,,,,
box,*-thinker,,0.6,2.2,0.11,,,4.4
box,m,,3,15,0.3,3.75,6,
claw,claude-sonnet-4-5,,1000,2000,100,,,
"""
CHAT_USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 60}, "completion_tokens_details": {"reasoning_tokens": 5}}
RESPONSES_USAGE = {"input_tokens": 100, "output_tokens": 20, "input_tokens_details": {"cached_tokens": 60}, "output_tokens_details": {"reasoning_tokens": 5}}
MESSAGES_USAGE = {
    "input_tokens": 40,
    "cache_read_input_tokens": 60,
    "cache_creation_input_tokens": 10,
    "cache_creation": {"ephemeral_5m_input_tokens": 6, "ephemeral_1h_input_tokens": 4},
    "output_tokens": 20,
}


def whole(**members) -> bytes:
    return answer(json.dumps(members).encode(), headers=OF_JSON)


def streamed(*events: dict) -> bytes:
    return SSE_HEAD + b"".join(chunk(b"data: %s\n\n" % json.dumps(event).encode()) for event in events) + LAST_CHUNK


# name: (path, model, what the provider answers, dollars or None where nobody knows)
COSTS = {
    # (40*3 + 60*0.3 + 20*15) / 1e6
    "chat": (CHAT, "m", whole(choices=[], usage=CHAT_USAGE), "0.000438"),
    "chat, streamed": (CHAT, "m", streamed({"choices": [], "usage": CHAT_USAGE}), "0.000438"),
    "responses": (RESPONSES, "m", whole(output=[], usage=RESPONSES_USAGE), "0.000438"),
    # 40*3 + 60*0.3 + 6*3.75 + 4*6 + 20*15
    "messages": (MESSAGES, "m", whole(content=[], usage=MESSAGES_USAGE), "0.0004845"),
    "messages, streamed": (
        MESSAGES,
        "m",
        streamed({"type": "message_start", "message": {"usage": {**MESSAGES_USAGE, "output_tokens": 1}}}, {"type": "message_delta", "usage": {"output_tokens": 20}}),
        "0.0004845",
    ),
    # 40*0.6 + 60*0.11 + 15*2.2 + 5*4.4
    "reasoning at its own price": (CHAT, "deep-thinker", whole(choices=[], usage=CHAT_USAGE), "0.0000856"),
    "embeddings": ("/v1/embeddings", "m", whole(data=[], usage={"prompt_tokens": 8, "total_tokens": 8}), "0.000024"),
    "up to the step": (CHAT, "steps-1", whole(choices=[], usage={"prompt_tokens": 1000, "completion_tokens": 1}), "0.001010"),
    "above it": (CHAT, "steps-1", whole(choices=[], usage={"prompt_tokens": 1001, "completion_tokens": 1}), "0.002022"),
    "free": (CHAT, "free", whole(choices=[], usage=CHAT_USAGE), "0.000000"),
    "nobody knows": (CHAT, "m-2", whole(choices=[], usage=CHAT_USAGE), None),
    "no usage": (CHAT, "m", whole(choices=[]), ""),
    "an error": (CHAT, "m", answer(b'{"error":{}}', "400 Bad Request", OF_JSON), ""),
}


def metric(proxy, name: str, provider: str) -> float:
    return proxy.metrics()[f'sidestream_upstream_{name}_total{{provider="{provider}"}}']


def line_of(proxy, response) -> dict[str, str]:
    wanted = response.get("x-sidestream-request-id")
    return pairs(proxy.wait_line(lambda line: f"id={wanted} " in line))


@pytest.fixture(scope="module")
def priced(tmp_path_factory):
    file = tmp_path_factory.mktemp("prices") / "own.csv"
    file.write_text(OWN)
    with Fleet() as fleet:
        proxy = many({**fleet.faces("box"), "SIDESTREAM_PROVIDERS": "box", "SIDESTREAM_PRICES": str(file)})
        yield proxy, fleet
        proxy.close()


@pytest.mark.parametrize("rule", COSTS)
def test_costs(priced, rule):
    proxy, fleet = priced
    path, model, sent, dollars = COSTS[rule]
    fleet.reply = lambda request: sent
    spent, unpriced = metric(proxy, "cost_usd", "box"), metric(proxy, "requests_unpriced", "box")
    response = ask(proxy.address, "POST", path, json.dumps({"model": model, "stream": sent.startswith(SSE_HEAD)}).encode())
    assert response.status in (200, 400) and response.get("x-sidestream-cost-usd") is None
    assert line_of(proxy, response).get("cost_usd") == (dollars or None)
    assert metric(proxy, "cost_usd", "box") - spent == pytest.approx(float(dollars or 0), abs=1e-12)
    assert metric(proxy, "requests_unpriced", "box") - unpriced == (dollars is None)


def built_in() -> dict[tuple[str, str], dict[str, str]]:
    lines = (ROOT / "src/prices/table.csv").read_text().splitlines()
    return {(row["provider"], row["model"]): row for row in csv.DictReader(lines[1:]) if not row["above"]}


def test_the_built_in_table(owned):
    """Under the names that clients use, with the prices that stand in the file."""
    fleet = owned(Fleet(lambda request: whole(choices=[], usage=CHAT_USAGE)))
    names = ("openai", "anthropic", "gemini", "openrouter", "ollama", "my-box")
    env = {"SIDESTREAM_PROVIDERS": ",".join(names)}
    for name in names:
        env |= fleet.faces(name)
    proxy = owned(many(env))
    table = built_in()
    for provider, model, listed in [
        ("openai", "gpt-5.1", ("openai", "gpt-5.1")),
        ("openai", "gpt-5.1-2031-01-31", ("openai", "gpt-5.1")),
        ("gemini", "models/gemini-2.5-flash", ("gemini", "gemini-2.5-flash")),
        ("anthropic", "claude-sonnet-4-6-20310131", ("anthropic", "claude-sonnet-4-6")),
        ("openrouter", "anthropic/claude-sonnet-4.6", ("anthropic", "claude-sonnet-4-6")),
        ("ollama", "qwen3:8b", ("ollama", "*")),
        ("openrouter", "some/model:free", ("openrouter", "*:free")),
        ("openai", "gpt-5.1-but-not-really", None),
        ("my-box", "gpt-5.1", None),
    ]:
        response = ask(proxy.address, "POST", f"/{provider}{CHAT}", json.dumps({"model": model}).encode())
        assert response.get("x-sidestream-provider") == provider
        shown = line_of(proxy, response).get("cost_usd")
        if listed is None:
            assert shown is None, (provider, model, shown)
            continue
        row = table[listed]
        parts = [(40, row["input"]), (60, row["cache_read"] or row["input"]), (15, row["output"]), (5, row["reasoning"] or row["output"])]
        assert Decimal(shown) * 1_000_000 == sum(count * Decimal(price) for count, price in parts), (provider, model)
    assert metric(proxy, "requests_unpriced", "openai") == metric(proxy, "requests_unpriced", "my-box") == 1
    assert metric(proxy, "cost_usd", "ollama") == 0 < metric(proxy, "cost_usd", "anthropic")


def test_the_header_of_whole_translated_answers(owned, tmp_path):
    """Where the usage is known before the head goes out, and only there."""
    file = tmp_path / "own.csv"
    file.write_text(OWN)
    with Stage(SIDESTREAM_PRICES=str(file)) as stage:
        # 8*1000 + 4*100 + 9*2000 micro-dollars
        told = stage.chat(reply=message('{"type":"text","text":"fine"}').replace(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nx-sidestream-cost-usd: 9\r\n"))
        assert told.chat() and told.response.headers.all("x-sidestream-cost-usd") == [b"0.026400"]
        assert line_of(stage.proxy, told.response)["cost_usd"] == "0.026400"
        streamed = stage.chat(reply=KIND, stream=True)
        assert streamed.response.get("x-sidestream-cost-usd") is None
        assert line_of(stage.proxy, streamed.response)["cost_usd"] == "0.026400"
        # Of up-model at box nobody knows a price.
        for reply, stream in ((WELL, False), (FINE, True)):
            unknown = stage.messages(reply=reply, stream=stream)
            assert unknown.talk() and unknown.response.get("x-sidestream-cost-usd") is None
            assert "cost_usd" not in line_of(stage.proxy, unknown.response)
        assert metric(stage.proxy, "requests_unpriced", "box") == 2
        assert metric(stage.proxy, "cost_usd", "claw") == pytest.approx(0.0528)


def test_a_reload_reads_the_file_again(owned, tmp_path):
    file, environment = tmp_path / "own.csv", tmp_path / "env"
    file.write_text("provider,model,input,output\nbox,m,1,1\n")
    fleet = owned(Fleet(lambda request: whole(choices=[], usage={"prompt_tokens": 1, "completion_tokens": 0})))
    variables = {**fleet.faces("box"), "SIDESTREAM_PROVIDERS": "box", "SIDESTREAM_PRICES": str(file)}
    environment.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    proxy = owned(many({}, args=("--env-file", str(environment), "run")))

    def costs() -> str:
        return line_of(proxy, ask(proxy.address, "POST", CHAT, b'{"model":"m"}'))["cost_usd"]

    assert [costs(), costs()] == ["0.000001"] * 2
    file.write_text("provider,model,input,output\nbox,m,1,1\nbox,n,one,1\n")
    proxy.signal(signal.SIGHUP)
    refused = proxy.wait_line(lambda line: "reload refused" in line)
    assert "SIDESTREAM_PRICES" in refused and "line 3 has a value of input" in refused
    assert costs() == "0.000001"
    file.write_text("provider,model,input,output\nbox,*,2,1\n")
    proxy.signal(signal.SIGHUP)
    proxy.wait_line(lambda line: "msg=reloaded" in line)
    for _ in range(2000):
        if costs() == "0.000002":
            break
    else:
        raise AssertionError("still the old price")


@pytest.mark.parametrize(
    "text, told",
    [
        (None, "names a file that cannot be read"),
        ("model,price\n", "line 1 names a column that there is not"),
        ("provider,model,input,output\n\nbox,m,1\n", "line 3 has a value of output that is empty; write US dollars for a million tokens"),
    ],
)
def test_a_file_that_cannot_be_used_ends_the_start(tmp_path, text, told):
    file: Path = tmp_path / "own.csv"
    if text is not None:
        file.write_text(text)
    with pytest.raises(NotStarted) as refused:
        many({"SIDESTREAM_PROVIDERS": "box", "BOX_OPENAI_URL": "http://127.0.0.1:9/v1", "SIDESTREAM_PRICES": str(file)}).close()
    assert refused.value.code == 2 and "SIDESTREAM_PRICES" in refused.value.log and told in refused.value.log, refused.value.log
