"""The official SDKs through a translation, both ways, to the project's own mock and to one nobody here wrote: an OpenAI
client whose provider speaks Messages, an Anthropic client whose provider speaks Chat. What the application sees is what it
sees when it talks to the same mock in its own dialect."""

import contextlib
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from sdk import helpers
from sdk import run as python_sdks
from sdk.test_sdk import HERE, AiMock, expect

from support.fleet import many
from support.process import DRIVERS, Mock
from support.translation import D, E, S, Stage, says
from support.upstream import LAST_CHUNK, SSE_HEAD, chunk

# Of run.py: what both dialects have.
CHAT = {name: s for name, s in python_sdks.OPENAI.items() if name.startswith("chat")}
MESSAGES = python_sdks.ANTHROPIC
SCENARIOS = sorted([*CHAT, *MESSAGES, *helpers.OPENAI, *helpers.ANTHROPIC])
NODE_ONLY = ["chat_tool_runner"]
# What a mock does not have: the own one has no JSON on demand, and is told to fail by headers, which a translation does not
# pass on; the other one's streams do not fail.
FAILING = {name for name in SCENARIOS if "_error_" in name}
INSIDE = {"chat_error_inside", "messages_error_inside"}
ABSENT = {"mock": {"chat_parse", "messages_parse", *FAILING}, "aimock": INSIDE}
# How an answer is cut, counted and blamed is each server's own.
OWN = {"chunks", "tokens", "message", "counted"}


def run_python(origin, only=None):
    def chosen(*scenarios):
        return {name: s for some in scenarios for name, s in some.items() if not only or name in only}

    return python_sdks.run(origin, "usual", chosen(CHAT, helpers.OPENAI), chosen(MESSAGES, helpers.ANTHROPIC))


def run_node(origin, only=()):
    env = {k: os.environ[k] for k in ("PATH", "HOME") if k in os.environ}
    command = ["node", str(HERE / "run.mjs"), origin, "usual", "helpers", ",".join(only)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


LANGUAGES = {"python": run_python, "node": run_node}


def all_at(origin):
    """Both languages side by side."""
    with ThreadPoolExecutor() as pool:
        running = {language: pool.submit(run, origin) for language, run in LANGUAGES.items()}
        return {language: each.result() for language, each in running.items()}


@pytest.fixture(scope="module", params=["mock", "aimock"])
def provider(request):
    """It, and in `direct` what each language sees without sidestream."""
    program = {"mock": Mock, "aimock": AiMock}[request.param]()
    program.name = request.param
    try:
        program.direct = all_at(program.origin)
        yield program
    finally:
        program.close()


@pytest.fixture(scope="module", params=[d for d in DRIVERS if d != "denied"])
def seen(provider, request):
    """language -> scenario -> result, through one proxy that has each face at another provider."""
    env = {
        "SIDESTREAM_PROVIDERS": "talker,writer",
        "SIDESTREAM_ROUTES": f"{python_sdks.CLAUDE} -> talker/gpt-5; {python_sdks.MODEL} -> writer/{python_sdks.CLAUDE}; * -> talker",
        "TALKER_OPENAI_URL": provider.origin + "/v1", "TALKER_ANTHROPIC_URL": "off", "TALKER_API_KEY": "sk-1", "TALKER_MAX_RETRIES": "0",
        "TALKER_PROFILE": "plain,reasoning=effort,efforts=low+medium+high",
        "WRITER_OPENAI_URL": "off", "WRITER_ANTHROPIC_URL": provider.origin, "WRITER_API_KEY": "sk-2", "WRITER_MAX_RETRIES": "0",
    }
    with contextlib.ExitStack() as stack:
        proxy = many(env, request.param)
        stack.callback(proxy.close)
        yield all_at("http://%s:%d" % proxy.address)


@pytest.mark.parametrize("language, scenario", [*((language, s) for language in LANGUAGES for s in SCENARIOS), *(("node", s) for s in NODE_ONLY)])
def test_scenario(provider, seen, language, scenario):
    if scenario in ABSENT[provider.name]:
        return
    result, direct = seen[language][scenario], provider.direct[language][scenario]
    if scenario == "count_tokens":
        assert result["tokens"] > 0
        return
    assert "raised" not in result, result
    assert result.get("counted", True) or provider.name == "aimock", "that one counts nothing"
    if scenario == "chat_error_529":
        # OpenAI has no such status.
        result = {**result, "status": 529} if result["status"] == 503 else result
    assert {k: v for k, v in result.items() if k not in OWN} == {k: v for k, v in direct.items() if k not in OWN}
    if (scenario in python_sdks.OPENAI or scenario in python_sdks.ANTHROPIC) and result.get("counted", True):
        expect(scenario, result)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_error_inside_a_stream_is_raised(language):
    """Whatever came before it."""
    errors = {
        "chat": [SSE_HEAD, chunk(D('"content":"a"').encode()), chunk(b'data: {"error":{"message":"boom","code":502}}\n\n') + LAST_CHUNK],
        "messages": [SSE_HEAD, chunk((S() + says(0, "a")).encode()), chunk(E("error", '"error":{"type":"api_error","message":"boom"}').encode()) + LAST_CHUNK],
    }

    def reply(peer, request):
        for part in errors["chat" if request.target.endswith("/chat/completions") else "messages"]:
            peer.send(part)

    with Stage(models={python_sdks.CLAUDE: "box/up", python_sdks.MODEL: "claw/up"}) as stage:
        stage.upstream.reply = reply
        results = LANGUAGES[language]("http://%s:%d" % stage.proxy.address, sorted(INSIDE))
    assert set(results) == INSIDE and all("failed" in result for result in results.values()), results
