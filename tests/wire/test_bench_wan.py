"""`scripts/bench --wan` at a tiny size, and the truth of what it measures with: slow start, the delaying proxy, the lossy upstream."""

import json
import os
import random
import socket
import subprocess
import sys
import threading
from collections import Counter

import pytest

from support.process import BINARY, ROOT

sys.path.insert(0, str(ROOT / "benches"))

from lab.cases import chat
from lab.goals import MET, MISSED
from lab.wan import truth
from lab.wan.call import Line
from lab.wan.delay import Clock, End, Way
from lab.wan.found import Found, Sample, wilson
from lab.wan.gate import FINE
from lab.wan.plan import LOSSY, cases
from lab.wan.scene import HOST, Scene, report
from lab.wan.window import WINDOW_FIRST, Window, round_trips

# ── Slow start, in virtual time ─────────────────────────────────────────────────────────────────────────────────────


def upload(window: Window, count: int, now: float) -> tuple[int, float]:
    """Sends so many bytes as soon as the window lets them. In how many rounds, and when the last was acknowledged."""
    rounds = 0
    while count:
        sent = window.send(now, count)
        count, rounds, now = count - sent, rounds + 1, now + window.round_trip
        window.acknowledge(sent)
    return rounds, now


@pytest.mark.parametrize(("count", "rounds"), [(1, 1), (14_600, 1), (14_601, 2), (43_800, 2), (43_801, 3), (102_200, 3), (200_000, 4), (219_001, 5)])
def test_a_new_connection_sends_ten_segments_and_doubles_them(count, rounds):
    assert upload(Window(0.02), count, 0.0)[0] == rounds == round_trips(count)


def test_a_kept_connection_keeps_its_window():
    window = Window(0.02)
    _, now = upload(window, 200_000, 0.0)
    assert upload(window, 200_000, now + 0.1)[0] == 1


def test_what_never_fills_a_window_does_not_widen_it():
    window, now = Window(0.02), 0.0
    for _ in range(200):
        _, now = upload(window, 1000, now)
    assert window.size == WINDOW_FIRST and upload(window, 200_000, now)[0] == 4


@pytest.mark.parametrize(("idle", "rounds"), [(0.19, 1), (0.3, 2), (0.5, 3), (0.8, 4), (60.0, 4)])
def test_silence_halves_a_window_for_each_timeout(idle, rounds):
    """The last byte was sent one round trip before `now`; a timeout is 200 ms and a round trip."""
    window = Window(0.02)
    _, now = upload(window, 200_000, 0.0)
    assert upload(window, 200_000, now + idle)[0] == rounds


def test_what_is_under_way_is_counted():
    window = Window(0.02)
    assert [window.send(0.0, count) for count in (10_000, 10_000, 10_000)] == [10_000, 4600, 0]
    window.acknowledge(10_000)
    assert window.send(0.02, 100_000) == 20_000  # ten thousand are back, and the window is as much wider


# ── The delaying proxy ──────────────────────────────────────────────────────────────────────────────────────────────

RTT_MS = 20.0


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path, BINARY)
    yield scene
    scene.end()


@pytest.fixture
def echo():
    """The port of a server that sends back what it gets, to the end, and then ends; or resets, if it got `reset`."""
    listener = socket.create_server((HOST, 0))

    def talk(peer: socket.socket) -> None:
        with peer:
            while data := peer.recv(1 << 16):
                if data == b"reset":
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    return
                peer.sendall(data)

    def serve() -> None:
        while True:
            try:
                peer = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=talk, args=(peer,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_bytes_take_as_long_as_it_says(scene, note):
    """Never less. That it is hardly more cannot be promised of a busy machine, but of its best moment."""
    with truth.taker() as port:
        delay, at = scene.delay(port, RTT_MS)
        looks = [truth.look(at, RTT_MS, pings=10) for _ in range(3)]
    for found in looks:
        assert min(found.again_ms) >= RTT_MS
        assert found.open_ms >= 2 * RTT_MS
        assert found.upload_new_ms >= (1 + round_trips(truth.UPLOAD_BYTES)) * RTT_MS
        assert found.upload_again_ms >= RTT_MS
    best = {name: min(getattr(found, name) for found in looks) / RTT_MS for name in ("open_ms", "upload_new_ms", "upload_again_ms")}
    assert best["open_ms"] < 3 and best["upload_new_ms"] < 6, best
    assert best["upload_again_ms"] < 4, best  # with a window that has grown, fewer rounds
    late = report(delay, "lateness")
    assert late["count"] >= 3 * 24 and 0 <= late["p50"] <= late["p99"] <= late["max"]
    assert report(delay, "lateness") == {"count": 0}
    note(f"the delaying proxy at {RTT_MS:g} ms: {late}")


def test_bytes_arrive_whole_and_in_order_and_then_their_end(scene, echo):
    _, at = scene.delay(echo, 2.0)
    sent, got = random.Random(1).randbytes(3_000_000), bytearray()
    with socket.create_connection((HOST, at), timeout=60) as peer:
        sender = threading.Thread(target=lambda: (peer.sendall(sent), peer.shutdown(socket.SHUT_WR)))
        sender.start()
        while data := peer.recv(1 << 16):
            got += data
        sender.join()
    assert got == sent


def test_nothing_overtakes_what_set_out_before():
    """Its round of the loop began before the acknowledgement was due that is told first."""
    clock, (near, far) = Clock(), socket.socketpair()
    with near, far:
        way = Way(clock, End(near), End(near), earliest=0.0, window=Window(0.02), late=[])
        for at, data in [(1.0, b"first "), (0.999, b"second "), (0.5, b"third")]:
            way.waiting.append(data)
            way.held += len(data)
            way.depart(at)
        clock.run()
        assert far.recv(100) == b"first second third"


def test_a_reset_is_passed_on_as_one(scene, echo):
    _, at = scene.delay(echo, 2.0)
    with socket.create_connection((HOST, at), timeout=60) as peer:
        peer.sendall(b"reset")
        with pytest.raises(ConnectionResetError):
            peer.recv(1)


def test_where_nobody_listens_the_connection_is_reset(scene):
    with socket.create_server((HOST, 0)) as listener:
        nobody = listener.getsockname()[1]
    _, at = scene.delay(nobody, 2.0)
    with pytest.raises(ConnectionResetError), socket.create_connection((HOST, at), timeout=60) as peer:
        peer.recv(1)


# ── The lossy upstream ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_share_of_the_requests_fails_in_each_way(scene, tmp_path):
    """What a client saw is what the upstream says that it did."""
    identity = scene.world.certificates / "server.pem"
    gate, port = scene.listener("gate", "gate", "--to", scene.world.mock("plain").port, "--identity", identity, "--share", 0.5, "--seed", 3)
    ask = chat(False)
    body = tmp_path / "body"
    body.write_bytes(ask.body)
    plan = {"path": ask.path, "headers": ask.headers, "body": str(body), "arms": {"direct": {"host": HOST, "port": port, "ca": str(scene.world.ca)}}}
    line = Line(plan, "direct")
    saw = Counter(line.call()[1] for _ in range(200))
    line.connection.close()
    met = report(gate, "met")
    assert met.pop(FINE) == saw.pop("")
    assert 60 <= sum(met.values()) <= 140
    broken = met.pop("closed") + met.pop("reset")
    assert {f"status {status}": count for status, count in met.items()} == {why: saw.pop(why) for why in list(saw) if why.startswith("status")}
    assert saw.total() == broken > 10, saw


# ── Figures and verdicts ────────────────────────────────────────────────────────────────────────────────────────────


def found(case: str, direct: float, ours: float, pairs: int = 40) -> Found:
    samples = [Sample(20.0, case, arm, n, ms + n % 2 / 100, "") for n in range(pairs) for arm, ms in (("direct", direct), ("sidestream", ours))]
    return Found({}, samples=samples)


@pytest.mark.parametrize(
    ("case", "direct", "ours", "value", "verdicts"),
    [
        ("cold-1k", 61.0, 20.9, -2.005, [MET]),
        ("cold-1k", 61.0, 21.1, -1.995, [MISSED]),
        ("warm-1k", 21.0, 21.19, 0.19, [MET, MET]),
        ("warm-1k", 21.0, 21.3, 0.3, [MISSED, MET]),
        ("warm-200k", 21.0, 22.2, 1.2, [MISSED, MISSED]),
    ],
)
def test_verdicts_on_the_difference(case, direct, ours, value, verdicts):
    standings = found(case, direct, ours).standings()
    assert [one.verdict for one in standings] == verdicts
    assert standings[0].measured.value == pytest.approx(value)
    assert standings[0].measured.low <= value + 1e-9 and value - 1e-9 <= standings[0].measured.high


@pytest.mark.parametrize(("ours", "verdict"), [(0, MET), (10, MET), (11, MISSED), (100, MISSED)])
def test_verdicts_on_failures(ours, verdict):
    """100 of 1000 direct calls failed."""
    failed = {"direct": 100, "sidestream": ours}
    samples = [Sample(20.0, LOSSY, arm, n, 1.0, "status 529" if n < count else "") for arm, count in failed.items() for n in range(1000)]
    (standing,) = Found({}, samples=samples).standings()
    assert standing.verdict == verdict and standing.measured.value == pytest.approx(ours / 100)
    assert standing.measured.low <= standing.measured.value < standing.measured.high


def test_a_share_of_none_is_not_certain():
    low, high = wilson(0, 1000)
    assert low == 0.0 and 0.003 < high < 0.005
    low, high = wilson(500, 1000)
    assert 0.46 < low < 0.5 < high < 0.54


def test_a_call_that_failed_takes_its_pair_out_and_is_told():
    some = found("warm-1k", 21.0, 21.1)
    some.samples[4] = Sample(20.0, "warm-1k", "direct", 2, 9999.0, "TimeoutError")
    (view,) = some.views()
    assert len(view.pairs) == 39 and view.failed == (1, 0) and view.quantile(0, 1.0) < 22
    assert some.failures() == ["warm-1k, 20 ms, direct: 1 failed: TimeoutError"]


# ── The whole of it ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_bench_rehearsed(tmp_path):
    rtt, pairs, files = 4.0, 4, [tmp_path / "wan.json", tmp_path / "wan.html"]
    words = ["--rtt", f"{rtt:g}", "--pairs", str(pairs), "--loss", "50", "--json", str(files[0]), "--html", str(files[1])]
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    command = [sys.executable, str(ROOT / "scripts/bench"), "--wan", *words]
    done = subprocess.run(command, env={**clean, "SIDESTREAM_BIN": BINARY}, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "slow start from 10 segments of 1460 B" in done.stdout and "one further round trip" in done.stdout
    document = json.loads(files[0].read_text())
    trips = {"warm-1k": (1, 1), "warm-200k": (1, 1), "cold-1k": (3, 1), "cold-200k": (6, 1)}  # the least that physics allows: direct, through
    assert list(trips) == [case.name for case in cases()]
    for case, least in trips.items():
        for arm, trip in zip(("direct", "sidestream"), least, strict=True):
            mine = [sample for sample in document["samples"] if (sample["case"], sample["arm"]) == (case, arm)]
            assert sorted(sample["pair"] for sample in mine) == list(range(pairs)), (case, arm)
            assert all(sample["ms"] >= trip * rtt and not sample["why"] for sample in mine), mine
        (row,) = (row for row in document["summary"] if row["case"] == case)
        assert row["pairs"] == pairs and row["difference_p50_ms"]["value"] == pytest.approx(row["ms"]["sidestream"]["p50"] - row["ms"]["direct"]["p50"])
    lossy = [sample for sample in document["samples"] if sample["case"] == LOSSY]
    assert Counter(sample["arm"] for sample in lossy) == {"direct": pairs, "sidestream": pairs}
    assert sum(sum(one.values()) for one in document["met"]) >= 2 * pairs
    assert {goal["what"].split(",")[0] for goal in document["goals"]} >= set(trips)
    assert done.stdout.count("\n  cold-1k, 4 ms") == 2 and files[1].read_text().count("<svg") == len(trips)


def test_what_cannot_be_is_refused():
    command = [sys.executable, str(ROOT / "scripts/bench"), "--wan", "--rtt", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and "--rtt is 1 to 1000" in done.stderr
