"""`scripts/bench --live` rehearsed on the TLS mock: its figures can be, the caps hold, and no key is shown."""

import json
import os
import subprocess
import sys

import pytest

from support.process import BINARY, ROOT, Mock
from support.wire import Client

KEY = "sk-a-key-that-nobody-may-read"
TTFT_MS, GAP_MS, CHUNKS = 20, 1, 30


@pytest.fixture
def provider(owned, authority):
    root = authority("bench")
    mock = owned(Mock("--tls", root.issue(), "--ttft-ms", str(TTFT_MS), "--gap-ms", str(GAP_MS), "--chunks", str(CHUNKS)))
    mock.ca, mock.context = root.file, root.client()
    return mock


def live(provider, tmp_path, *words, name="MOCK", base="/v1", key=KEY):
    """Its exit code, all that it printed, and its JSON."""
    variables = {f"{name}_API_KEY": key, f"{name}_ENDPOINT_URL": provider.origin + base, f"{name}_CA_FILE": provider.ca}
    clean = {k: os.environ[k] for k in ("PATH", "HOME", "TMPDIR") if k in os.environ}
    file = tmp_path / "live.json"
    command = [sys.executable, str(ROOT / "scripts/bench"), "--live", name.lower(), "m", "--json", str(file), *words]
    done = subprocess.run(command, env={**clean, "SIDESTREAM_BIN": BINARY, **variables}, capture_output=True, text=True, timeout=100)
    document = file.read_text() if file.exists() else "null"
    assert key not in done.stdout + done.stderr + document
    return done.returncode, done.stdout + done.stderr, json.loads(document)


def asked(provider) -> int:
    with Client(provider.address, tls=provider.context) as client:
        return json.loads(client.ask("GET", "/mock/stats").body)["requests"]


@pytest.mark.parametrize(("name", "base"), [("MOCK", "/v1"), ("ANTHROPIC", "")], ids=["chat", "messages"])
def test_both_arms_are_measured_in_pairs(provider, tmp_path, name, base):
    code, said, found = live(provider, tmp_path, "--pairs", "3", "--prompt", "short", name=name, base=base)
    assert code == 0, said
    assert len(found["samples"]) == 6 and asked(provider) - 1 == found["requests"] == 8  # a pair opened the connections
    for sample in found["samples"]:
        talk = sample["talk"]
        # The mock's own waits are the least that an answer can take, and its text is in as many pieces as it was told.
        assert talk["first"] >= TTFT_MS / 1000, sample
        assert talk["total"] >= (TTFT_MS + GAP_MS * (CHUNKS - 1)) / 1000, sample
        assert talk["pieces"] == CHUNKS and talk["usage"]["tokens_out"] >= CHUNKS, sample
    (row,) = found["summary"]
    for figure in ("first token ms", "total ms", "tokens/s"):
        means = {arm: row[figure][arm]["mean"] for arm in ("direct", "sidestream")}
        difference = row[figure]["difference of the means"]
        assert difference["value"] == pytest.approx(means["sidestream"] - means["direct"])
        assert difference["low"] <= difference["value"] <= difference["high"]
    assert "all pairs were sent" in said


def test_requests_are_capped(provider, tmp_path):
    code, said, found = live(provider, tmp_path, "--pairs", "50", "--max-requests", "7")
    assert code == 0 and found["requests"] == asked(provider) - 1 == 6, said  # a seventh would have no partner
    assert "ended early, by --max-requests 7" in said


def test_cost_is_capped_before_it_arises(provider, tmp_path):
    """A request may cost 0.000256 here and costs 0.00003: a pair is sent only while the purse has enough for the worst case."""
    price = ["--price", "mock", "0", "1", "--max-usd", "0.0008"]
    code, said, found = live(provider, tmp_path, "--pairs", "50", "--prompt", "short", *price)
    assert code == 0 and "ended early, by --max-usd 0.0008" in said, said
    assert found["requests"] == asked(provider) - 1
    spent = found["requests"] * CHUNKS / 1e6
    assert 0.0008 - 2 * 0.000256 < spent <= 0.0008 - 2 * 0.000256 + 2 * CHUNKS / 1e6, said


def test_tokens_are_capped(provider, tmp_path):
    code, said, found = live(provider, tmp_path, "--pairs", "50", "--prompt", "short", "--max-tokens", "100")
    assert code == 1 and found["requests"] == asked(provider) - 1 == 0, said
    assert "ended early, by --max-tokens 100" in said


@pytest.mark.parametrize(
    ("words", "key", "remedy"),
    [
        (["--max-usd", "1"], KEY, "--price mock IN OUT"),
        (["--price", "mock", "a", "b"], KEY, "two numbers"),
        ([], "", "MOCK_API_KEY is not set"),
    ],
)
def test_what_is_missing_is_named(provider, tmp_path, words, key, remedy):
    code, said, _ = live(provider, tmp_path, *words, key=key or "\t")
    assert code == 2 and remedy in said, said


def test_a_provider_that_refuses_is_given_up(provider, tmp_path):
    """The path below this base is none of the mock's: it answers 404."""
    code, said, found = live(provider, tmp_path, "--pairs", "20", "--prompt", "short", base="/elsewhere")
    assert code == 1 and not found["samples"], said
    assert found["requests"] <= 4 and "status 404" in said, said
