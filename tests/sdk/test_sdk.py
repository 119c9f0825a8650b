"""The official SDKs through sidestream, to the project's own mock and to one nobody here wrote: an application sees what
it sees without sidestream, on both drivers, also over TLS, and with the base URLs that users write by mistake. Every
scenario also runs straight to the mock, and the results are equal."""

import contextlib
import functools
import json
import os
import re
import subprocess

import pytest
from sdk import run as python_sdks

from support.process import DRIVERS, ROOT, Mock, Program, Sidestream

HERE = ROOT / "tests/sdk"
AIMOCK = str(HERE / "node_modules/@copilotkit/aimock/dist/cli.js")
SCENARIOS = sorted([*python_sdks.OPENAI, *python_sdks.ANTHROPIC])
# What a mock does not have is not asked of it; no other scenario may raise.
ABSENT = {"aimock": {"count_tokens"}, "mock": set()}


class AiMock(Program):
    """@copilotkit/aimock on a port of its own."""

    def __init__(self):
        args = ("--port", "0", "--fixtures", str(HERE / "fixtures.json"), "--strict", "--log-level", "info")
        super().__init__(args, {}, lambda line: "listening on http://" in line, program=("node", AIMOCK))
        self.origin = self.start_line.rsplit(" ", 1)[1]

    @property
    def env(self):
        return {"MOCK_ENDPOINT_URL": self.origin + "/v1", "MOCK_ANTHROPIC_URL": self.origin}


def run_python(origin, bases="usual"):
    return python_sdks.run(origin, bases)


def run_node(origin, bases="usual"):
    env = {k: os.environ[k] for k in ("PATH", "HOME") if k in os.environ}
    done = subprocess.run(["node", str(HERE / "run.mjs"), origin, bases], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


LANGUAGES = {"python": run_python, "node": run_node}


# way: (the mock, whether over TLS, base URLs)
WAYS = {
    "mock": ("mock", False, "usual"),
    "mock, other base URLs": ("mock", False, "other"),
    "mock over TLS": ("mock", True, "usual"),
    "aimock": ("aimock", False, "usual"),
}


@pytest.fixture(scope="session")
def providers():
    """providers("mock"): it, and in `direct` what each language sees when it talks to it without sidestream."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def start(name):
            program = {"mock": Mock, "aimock": AiMock}[name]()
            stack.callback(program.close)
            program.direct = {language: run(program.origin) for language, run in LANGUAGES.items()}
            return program

        yield start


@pytest.fixture(scope="session", params=WAYS)
def way(request):
    return request.param


@pytest.fixture(scope="session", params=[d for d in DRIVERS if d != "denied"])
def seen(way, providers, authority, request):
    """language -> scenario -> result, through one proxy."""
    name, tls, bases = WAYS[way]
    with contextlib.ExitStack() as stack:
        provider = providers(name)
        if tls:
            provider = Mock("--tls", authority("root").issue())
            stack.callback(provider.close)
        env = {**provider.env, "MOCK_CA_FILE": authority("root").file, "MOCK_MAX_RETRIES": "0"}
        proxy = Sidestream(request.param, env)
        stack.callback(proxy.close)
        return {language: run("http://%s:%d" % proxy.address, bases) for language, run in LANGUAGES.items()}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(way, providers, seen, language, scenario):
    name = WAYS[way][0]
    result, direct = seen[language][scenario], providers(name).direct[language][scenario]
    if scenario == "count_tokens" and scenario in ABSENT[name]:
        assert result["tokens"] > 0, "what a provider cannot count is counted here"
        return
    assert without_ids(result) == without_ids(direct)
    if scenario in ABSENT[name]:
        return
    assert "raised" not in result, result
    expect(scenario, result)


def without_ids(result):
    """Two calls are two requests: an error's text may hold the request's id."""
    return json.loads(re.sub(r"req_\w+", "req_", json.dumps(result)))


def expect(scenario, result):
    """What makes the scenario mean something, whatever the mock says."""
    if "_error_" in scenario:
        status = 429 if scenario.endswith("stream") else int(scenario[-3:])
        assert result["status"] == status and result["message"], result
        assert result["ours"] is None, "an upstream's error is not ours"
        if status == 429:
            assert (result["class"], result["retry_after"]) == ("RateLimitError", "7")
        if status == 400:
            assert result["class"] == "BadRequestError"
    elif scenario.endswith(("_tool", "_tool_stream")):
        assert result["name"] == "weather" and isinstance(result["arguments"]["city"], str), result
        assert result.get("stop") in ("tool_calls", "tool_use", None), result
    elif "text" in result:
        assert len(result["text"]) > 10, result
        assert result["stop"] in ("stop", "end_turn", "completed", "response.completed"), result
        assert result.get("chunks", 5) >= 5, "not streamed in several chunks"
    elif scenario == "embeddings":
        assert result == {"vectors": 2, "numbers": True}
    elif scenario == "models":
        assert result["ids"]
    elif scenario == "count_tokens":
        assert result["tokens"] > 0
    else:
        assert scenario == "chat_stream_usage" and result == {"usages": 1, "counted": True}


def test_both_languages_run_every_scenario(seen):
    assert {tuple(sorted(results)) for results in seen.values()} == {tuple(SCENARIOS)}
