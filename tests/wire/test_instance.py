"""One running instance: its start line, its addresses, its own endpoints, and the ways it refuses to start."""

import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from support.process import BINARY, NotStarted, Program, Sidestream, pairs
from support.upstream import LAST_CHUNK, OK, SSE_HEAD, Upstream, chunk
from support.wire import Client, ask

PROVIDER = {"SIDESTREAM_PROVIDERS": "mock", "MOCK_ENDPOINT_URL": "http://127.0.0.1:9/v1", "MOCK_API_KEY": "sk-the-providers-own"}
CHAT, JSON = "/v1/chat/completions", b'{"model":"m"}'


def test_start_line_tells_the_driver_and_why(setup, driver):
    proxy, _ = setup()
    assert proxy.start["driver"] == ("io_uring" if driver == "io_uring" else "epoll"), proxy.start_line
    assert proxy.start["workers"] == "1"
    if driver == "denied":
        assert re.search(r"(?i)EPERM|not permitted|denied|seccomp", proxy.start_line), f"no reason given: {proxy.start_line}"
    assert "sk-the-providers-own" not in proxy.log


def test_asked_for_io_uring_where_it_is_denied():
    """A named driver that cannot be had is an error, not a silent change."""
    env = {"SIDESTREAM_LISTEN": "127.0.0.1:0", "SIDESTREAM_ADMIN": "off", "SIDESTREAM_DRIVER": "io_uring", **PROVIDER}
    with pytest.raises(NotStarted) as refused:
        Program(("run",), env, lambda line: "msg=started" in line, denied=True).kill()
    assert refused.value.code not in (0, None) and "io_uring" in refused.value.log


def test_own_endpoints(setup):
    proxy, upstream = setup()
    assert ask(proxy.admin, "GET", "/healthz").status == 200
    assert ask(proxy.admin, "GET", "/readyz").status == 200
    assert ask(proxy.admin, "GET", "/nothing").status == 404
    assert ask(proxy.address, "GET", "/").status == 200
    head = ask(proxy.address, "HEAD", "/")
    assert (head.status, head.body) == (200, b"")
    assert ask(proxy.address, "POST", CHAT, JSON).status == 200
    assert proxy.counter("sidestream_requests_total") >= 1
    text = ask(proxy.admin, "GET", "/metrics")
    assert text.get("content-type", "").startswith(("text/plain", "application/openmetrics-text"))
    assert b"sk-the-providers-own" not in text.body
    assert ask(proxy.address, "GET", "/metrics").status == 404
    assert [r.target for r in upstream.requests] == [CHAT]


def ask_as(address, path: str, host: str):
    """GET with that Host."""
    with Client(address) as client:
        client.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        return client.response("GET")


def test_probes_by_address(setup):
    """An orchestrator probes by the pod's address, which we do not know; what tells more than "alive" stays closed."""
    proxy, _ = setup()
    for path, status in [("/healthz", 200), ("/readyz", 200), ("/metrics", 403), ("/", 403), ("/nothing", 403)]:
        assert ask_as(proxy.admin, path, "10.1.2.3").status == status, path
        assert ask_as(proxy.admin, path, "10.1.2.3:7731").status == status, path
    assert ask_as(proxy.address, "/", "10.1.2.3").status == 403
    assert ask_as(proxy.address, "/healthz", "10.1.2.3").status == 403


def test_probes_during_the_drain(setup):
    """First only /readyz changes, so that no new work is sent here; then the grace; to the end we can be asked."""
    more = threading.Event()

    def handler(peer):
        while True:
            if b'"stream"' not in peer.request().body:
                peer.send(OK)
                continue
            peer.send(SSE_HEAD + chunk(b"data: 1\n\n"))
            assert more.wait(10)
            peer.send(LAST_CHUNK)

    def probes():
        return [ask(proxy.admin, "GET", path).status for path in ("/readyz", "/healthz", "/metrics")]

    proxy, _ = setup(handler, SIDESTREAM_DRAIN_DELAY="1s", SIDESTREAM_DRAIN="20s")
    with Client(proxy.address) as client, Client(proxy.address) as kept:
        client.request("POST", CHAT, b'{"model":"m","stream":true}')
        _, body = client.response_head()
        first = body.piece()
        assert kept.ask("POST", CHAT, JSON).status == 200
        assert probes() == [200, 200, 200]
        signalled = time.monotonic()
        proxy.signal(signal.SIGTERM)
        while probes() == [200, 200, 200]:
            assert time.monotonic() - signalled < 0.5
        assert probes() == [503, 200, 200]
        served = 0
        while time.monotonic() - signalled < 0.8:
            assert ask(proxy.address, "POST", CHAT, JSON).status == 200
            assert kept.ask("POST", CHAT, JSON).status == 200
            served += 1
        assert served
        assert kept.wait_closed(5)[0] == "fin"
        assert time.monotonic() - signalled >= 0.9
        assert probes() == [503, 200, 200]
        more.set()
        assert first + body.all() == b"data: 1\n\n"
    assert proxy.wait(5) == 0


def test_too_few_descriptors_for_the_workers(driver, owned):
    """Whole or not at all: with each limit it either says why it does not start, or starts and serves."""
    upstream = owned(Upstream())
    outcomes = {}
    for limit in (8, 14, 20, 26, 64):
        env = {
            "SIDESTREAM_LISTEN": "127.0.0.1:0",
            "SIDESTREAM_ADMIN": "127.0.0.1:0",
            "SIDESTREAM_WORKERS": "4",
            "SIDESTREAM_DRIVER": "auto" if driver == "denied" else driver,
            **PROVIDER,
            **upstream.env,
        }
        limited = ("sh", "-c", f'ulimit -n {limit}; exec "$0" "$@"', BINARY)
        try:
            program = Program(("run",), env, lambda line: "msg=started" in line, driver == "denied", limited)
        except NotStarted as refused:
            assert refused.code not in (0, None), f"with {limit} descriptors: {refused}"
            assert re.search(r"(?i)too many open files|descriptor", refused.log), f"with {limit} descriptors: {refused}"
            outcomes[limit] = "refused"
        else:
            assert program.process.poll() is None, f"with {limit} descriptors: {program.log}"
            program.close()
            outcomes[limit] = "started"
    assert outcomes[20] == "refused" and outcomes[64] == "started", outcomes


def test_log_lines_never_borrow_from_another_request(setup):
    """A head that never became whole has no path, also where the memory is that of the request before."""
    proxy, _ = setup()
    assert ask(proxy.address, "POST", CHAT, JSON).status == 200
    with Client(proxy.address) as client:
        client.send(b"PUT /x HT")
        # Until its bytes are surely there, its end tells nothing.
        assert ask(proxy.address, "GET", "/").status == 200
    left = proxy.wait_line(lambda line: "client-abort" in line)
    assert "path" not in pairs(left) and "model" not in pairs(left) and "attempts" not in pairs(left), left
    with Client(proxy.address) as client:
        client.send(b"\0\r\n\r\n")
        assert client.response().status == 400
    refused = proxy.wait_line(lambda line: "status=400" in line)
    assert "path" not in pairs(refused) and "model" not in pairs(refused), refused
    assert sum(pairs(line).get("path") == CHAT for line in proxy.lines) == 1


def test_keep_alive_on_both_sides(setup):
    proxy, upstream = setup()
    with Client(proxy.address) as client:
        for _ in range(20):
            assert client.ask("POST", CHAT, JSON).status == 200
    assert len(upstream.peers) == 1
    assert proxy.counter("sidestream_upstream_connects_total") == 1
    assert proxy.counter("sidestream_upstream_reuses_total") == 19


def test_second_instance_on_the_same_port(setup, driver, owned):
    """Sharing a port in silence (SO_REUSEPORT) would split the clients: the second one is refused, the first serves on."""
    proxy, upstream = setup()
    taken = proxy.start["listen"]
    with pytest.raises(NotStarted) as refused:
        Sidestream(driver, {**upstream.env, "SIDESTREAM_LISTEN": taken})
    assert refused.value.code not in (0, None)
    assert "SIDESTREAM_LISTEN" in refused.value.log and taken in refused.value.log
    assert ask(proxy.address, "POST", CHAT, JSON).status == 200


def test_port_of_another_program(driver, owned):
    with Upstream() as other, pytest.raises(NotStarted) as refused:
        Sidestream(driver, {**other.env, "SIDESTREAM_LISTEN": f"127.0.0.1:{other.port}"})
    assert refused.value.code not in (0, None) and str(other.port) in refused.value.log


def test_unix_socket(driver, owned, tmp_path):
    """Serves, is refused to a second instance, and a dead one's is taken over; no Host is asked there."""
    path = str(tmp_path / "s")
    upstream = owned(Upstream())
    env = {**upstream.env, "SIDESTREAM_LISTEN": f"unix:{path},127.0.0.1:0"}
    first = Sidestream(driver, env)
    try:
        assert ask(path, "POST", CHAT, JSON).status == 200
        assert ask(first.addresses[1], "POST", CHAT, JSON).status == 200
        with Client(path) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: anything.example\r\n\r\n")
            assert client.response("GET").status == 200
        with pytest.raises(NotStarted) as refused:
            Sidestream(driver, env)
        assert refused.value.code not in (0, None) and path in refused.value.log
        assert ask(path, "POST", CHAT, JSON).status == 200, "the refused second instance took the socket away"
    finally:
        first.kill()  # no chance to clean up: the socket stays behind
    assert os.path.exists(path)
    # A killed process's ring is taken down after the process: for some milliseconds its listener is still there.
    while accepts(path):
        time.sleep(0.002)
    second = owned(Sidestream(driver, env))
    assert ask(path, "POST", CHAT, JSON).status == 200
    second.signal(signal.SIGTERM)
    assert second.wait() == 0


def accepts(path: str) -> bool:
    try:
        Client(path, timeout=2).close()
    except ConnectionRefusedError:
        return False
    return True


def test_unix_path_that_is_not_a_socket(driver, tmp_path):
    """A file that we did not make is never removed."""
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(NotStarted) as refused:
        Sidestream(driver, {"MOCK_ENDPOINT_URL": "http://127.0.0.1:9/v1", "SIDESTREAM_LISTEN": f"unix:{path}"})
    assert refused.value.code not in (0, None) and path.read_text() == "data"


WRONG = {
    # variable: (value, the part of it that is to be told; a URL may hold a secret)
    "SIDESTREAM_LISTEN": ("nowhere", "nowhere"),
    "SIDESTREAM_DRIVER": ("kqueue", "kqueue"),
    "SIDESTREAM_WORKERS": ("many", "many"),
    "SIDESTREAM_BODY_MAX": ("12 parsecs", "parsecs"),
    "MOCK_ENDPOINT_URL": ("ftp://127.0.0.1/v1", "ftp"),
}


@pytest.mark.parametrize("command", ["run", "check"])
def test_all_errors_at_once(command):
    """Each wrong variable is named with its value, in one go; exit code 2; no secret is shown."""
    env = {"PATH": os.environ["PATH"], "SIDESTREAM_PROVIDERS": "mock", "MOCK_API_KEY": "sk-the-providers-own", **{k: v for k, (v, _) in WRONG.items()}}
    done = subprocess.run([BINARY, command], env=env, capture_output=True, text=True, timeout=10)
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    for name, (_, told) in WRONG.items():
        assert name in said and told in said, f"{name}: {said}"
    assert "sk-the-providers-own" not in said


def test_check_shows_the_configuration():
    env = {"PATH": os.environ["PATH"], **PROVIDER}
    done = subprocess.run([BINARY, "check"], env=env, capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "127.0.0.1:7730" in done.stdout and "http://127.0.0.1:9/v1" in done.stdout
    assert "sk-the-providers-own" not in done.stdout + done.stderr


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_end_an_idle_instance(setup, which):
    """SIGHUP too, where there is no file to read again."""
    proxy, _ = setup()
    signalled = time.monotonic()
    proxy.signal(which)
    assert proxy.wait(5) == 0
    assert time.monotonic() - signalled < 0.7, "nothing had to be waited for"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(proxy.address, 2)


def test_demo_runs_without_key_or_network():
    done = subprocess.run([BINARY, "demo"], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
