"""The parts of `scripts/bench` that could lie without anyone noticing: statistics, verdicts, answers, peers' files, /proc."""

import json
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from support.process import ROOT

sys.path.insert(0, str(ROOT / "benches"))

from lab import goals, peers, process, report, stats
from lab.answers import Answer
from lab.cases import besides, holds, loads
from lab.measure import Results, Sample
from lab.world import Origin

STREAMS = {
    "chat": [
        '{"choices":[{"delta":{"role":"assistant","content":""}}]}',
        '{"choices":[{"delta":{"content":"Hel"}}]}',
        '{"choices":[{"delta":{"content":"lo"}}]}',
        "[DONE]",
    ],
    "messages": [
        '{"type":"message_start","message":{"content":[]}}',
        '{"type":"content_block_delta","delta":{"type":"text_delta","text":"Hel"}}',
        '{"type":"content_block_delta","delta":{"type":"text_delta","text":"lo"}}',
        '{"type":"message_delta","delta":{"stop_reason":"end_turn"}}',
    ],
}


@pytest.mark.parametrize("dialect", STREAMS)
def test_the_words_of_a_stream_and_their_pieces(dialect):
    body = "".join(f"event: x\ndata: {data}\n\n" for data in STREAMS[dialect]).encode()
    assert Answer(200, body).words() == ("Hello", 2)


@pytest.mark.parametrize("body", ['{"choices":[{"message":{"content":"Hello"}}]}', '{"content":[{"type":"text","text":"Hello"}]}'])
def test_the_words_of_a_whole_answer(body):
    assert Answer(200, body.encode()).words() == ("Hello", 1)


def test_an_estimate_is_the_median_within_its_interval():
    assert stats.estimate([2.0] * 5) == stats.Estimate(2.0, 2.0, 2.0)
    found = stats.estimate([1.0, 2.0, 3.0, 4.0, 100.0])
    assert found.value == 3.0 and 1.0 <= found.low < 3.0 < found.high <= 100.0
    narrow, wide = (stats.estimate([10.0 + n % 5 for n in range(count)]) for count in (100, 5))
    assert narrow.high - narrow.low < wide.high - wide.low


def test_ratios_are_made_within_rounds():
    """A disturbance that doubles a round doubles both sides of it."""
    found = stats.ratio({1: 10.0, 2: 20.0, 3: 11.0, 9: 1.0}, {1: 20.0, 2: 40.0, 3: 22.0, 8: 1.0})
    assert found == stats.Estimate(0.5, 0.5, 0.5)
    assert stats.ratio({1: 1.0}, {2: 1.0}) is None


def samples(**cpu: float) -> list[Sample]:
    return [Sample(n, "own", "json-32", arm, {"cpu_us": us}) for n in (1, 2) for arm, us in cpu.items()]


@pytest.mark.parametrize(
    ("ours", "verdict"), [(11.2, goals.MET), (11.3, goals.WITHIN), (12.0, goals.WITHIN), (12.1, goals.MISSED)]
)
def test_verdicts(ours, verdict):
    (standing,) = goals.standings(Results({"floor": "floor", "sidestream": "sidestream"}, samples(floor=10.0, sidestream=ours)))
    assert standing.verdict == verdict and standing.measured.value == pytest.approx(ours / 10)


def test_the_best_compiled_gateway_is_the_one_to_beat():
    kinds = {"sidestream": "sidestream", "a": "compiled gateway", "b": "compiled gateway", "litellm": "interpreted gateway"}
    found = goals.standings(Results(kinds, samples(sidestream=10.0, a=100.0, b=50.0, litellm=1000.0)))
    assert [(s.goal.unit, s.measured.value, s.verdict) for s in found] == [
        ("× b, the best compiled gateway", 0.2, goals.MET),
        ("× LiteLLM", 0.01, goals.MET),
    ]


def test_a_report_is_read_as_it_was_written(tmp_path):
    kinds = {"direct": "direct", "floor": "floor", "sidestream": "sidestream"}
    results = Results(kinds, samples(floor=10.0, sidestream=11.0), {("sse", "floor"): "cannot: so"})
    written = report.Report({"cpu": "some"}, ["left out: envoy"], results, whole=False)
    file = tmp_path / "result.json"
    file.write_text(written.json())
    assert report.read(file) == written and report.read(file).text() == written.text()
    for part in ("json-32", "1.10 [1.10..1.10] × floor", "cannot: so (sse)", "left out: envoy"):
        assert part in written.text()


@pytest.mark.parametrize("name", sorted(path.stem for path in peers.FILES.glob("*.toml")))
@pytest.mark.parametrize("to", ["plain", "tls"])
def test_a_peers_file_says_all_that_is_needed(name, to, tmp_path):
    """No placeholder is left in what is written, and of every case it is known whether and how it is asked."""
    peer = peers.read(peers.FILES / f"{name}.toml")
    world = SimpleNamespace(folder=tmp_path, ca="/ca.pem", mock=lambda to: Origin(4711, to == "tls"))
    command, env, folder = peer._prepare(world, to, 0, 4712)
    texts = [*command, *env.values(), *(path.read_text() for path in folder.iterdir())]
    assert not [word for text in texts for word in re.findall(r"@\w+@", text)]
    assert any("4711" in text for text in texts) and (("/ca.pem" in "".join(texts)) or to == "plain")
    for case in [*loads(), *holds(), *besides()]:
        if peer.refusal(case) is None:
            ask = peer.ask(case)
            assert ask.path.startswith("/") and json.loads(ask.body)["messages"]
    assert any(peer.refusal(case) is None for case in loads())


def test_cpu_and_memory_of_a_family_are_read():
    """A child of a child works; what it took is its parent's too."""
    work = "import time; held = bytearray(b'x' * (32 << 20)); [0 for _ in iter(lambda: time.process_time() < 0.2, False)]; print('done', flush=True); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "done\n"
        spent, resident = process.cpu(child.pid), process.resident_kib(child.pid)
        family = process.family(child.pid)
        child.communicate("\n")
    assert len(family) == 2 and family[0] == child.pid
    assert 0.2e9 <= spent.ns < 20e9 and spent.user_ticks + spent.system_ticks >= 15
    assert 32 << 10 < resident < 200 << 10
