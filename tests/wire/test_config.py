"""Configuration as people have it: what is in their environments, in files, and what changes under running requests."""

import contextlib
import json
import re
import signal
import subprocess
import threading

import pytest

from support.fleet import VENDORS, Fleet, Internet, dead_port, many, models
from support.process import BINARY, Program, is_started, pairs
from support.tls import Authority
from support.upstream import LAST_CHUNK, SSE_HEAD, Upstream, answer, chunk
from support.wire import Client, ask

CHAT, MESSAGES, JSON = "/v1/chat/completions", "/v1/messages", b'{"model":"m"}'
PORTS = {"SIDESTREAM_LISTEN": "127.0.0.1:0", "SIDESTREAM_ADMIN": "127.0.0.1:0"}
NOWHERE = {"SIDESTREAM_PROVIDERS": "mock", "MOCK_ENDPOINT_URL": "http://127.0.0.1:9/v1"}


def command(*args: str, **env: str) -> subprocess.CompletedProcess:
    """The program in an environment of these variables alone."""
    return subprocess.run([BINARY, *args], env=env, capture_output=True, text=True, timeout=20)


def table(done) -> dict[str, str]:
    rows = (line.split(None, 1) for line in done.stdout.splitlines() if re.match(r"[A-Z]+[A-Z_]+ ", line))
    return {name: value for name, value in rows}


# ── Environments ────────────────────────────────────────────────────────────────────────────────────────────────────

KUBERNETES = {
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    "KUBERNETES_PORT": "tcp://10.0.0.1:443",
    **{
        f"{service}_{name}": value
        for service in ("SIDESTREAM", "SIDESTREAM_ADMIN", "VLLM", "OPENAI_PROXY", "OLLAMA")
        for name, value in {
            "SERVICE_HOST": "10.0.0.9",
            "SERVICE_PORT": "7730",
            "SERVICE_PORT_HTTP": "7730",
            "PORT": "tcp://10.0.0.9:7730",
            "PORT_7730_TCP": "tcp://10.0.0.9:7730",
            "PORT_7730_TCP_PROTO": "tcp",
            "PORT_7730_TCP_PORT": "7730",
            "PORT_7730_TCP_ADDR": "10.0.0.9",
        }.items()
    },
}
SHELL = {
    "OPENAI_BASE_URL": "http://127.0.0.1:7730/v1",
    "OPENAI_API_BASE": "http://127.0.0.1:7730/v1",
    "OPENAI_ORG_ID": "org",
    "ANTHROPIC_BASE_URL": "http://127.0.0.1:7730",
    "ANTHROPIC_AUTH_TOKEN": "held-elsewhere",
    "ANTHROPIC_MODEL": "claude-x",
    "OLLAMA_HOST": "0.0.0.0:11434",
    "TERM": "xterm",
    "HOME": "/root",
    "EDITOR": "vi",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
}
ENVIRONMENTS = {"empty": {}, "a shell": SHELL, "a pod": KUBERNETES, "a pod's shell": {**KUBERNETES, **SHELL}}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_environments(environment, owned, authority):
    """Each starts without a word of warning, with the vendors at their own hosts, and passes the clients' keys there."""
    internet = owned(Internet(authority("vendors")))
    program = owned(Program(("run",), {**ENVIRONMENTS[environment], **PORTS, **internet.env}, is_started))
    assert program.start["providers"] == "openai,anthropic"
    assert not [line for line in program.lines if "level=warn" in line], program.log
    host, port = program.start["listen"].split(":")
    for path, model, vendor in [(CHAT, b"gpt-5", VENDORS[0]), (MESSAGES, b"claude-x", VENDORS[1])]:
        fields = [("Authorization", "Bearer of-the-client")]
        assert ask((host, int(port)), "POST", path, b'{"model":"%s"}' % model, fields).status == 200
        ((reached, request),) = internet.take()
        assert (reached, request.get("authorization")) == (vendor, "Bearer of-the-client")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_check_in_these_environments(environment):
    done = command("check", **ENVIRONMENTS[environment])
    assert done.returncode == 0 and "warning" not in done.stdout and done.stderr == "", done
    shown = table(done)
    assert shown["SIDESTREAM_LISTEN"] == "127.0.0.1:7730 (default)"
    assert shown["SIDESTREAM_PROVIDERS"] == "openai,anthropic (default)"
    assert shown["OPENAI_OPENAI_URL"] == "https://api.openai.com/v1 (default)"
    assert shown["ANTHROPIC_ANTHROPIC_URL"] == "https://api.anthropic.com (default)"
    assert "the client's own" in shown["OPENAI_API_KEY"] and "the client's own" in shown["ANTHROPIC_API_KEY"]


# ── Slips ───────────────────────────────────────────────────────────────────────────────────────────────────────────

TYPOS = {
    "SIDESTREAM_LISTN": "SIDESTREAM_LISTEN",
    "SIDESTREAM_TOKEN": "SIDESTREAM_TOKENS",
    "SIDESTREAM_LOG_LEVEL": "SIDESTREAM_LOG",
    "SIDESTREAM_PORT": "SIDESTREAM_LISTEN",
    "sidestream_routes": "SIDESTREAM_ROUTES",
    "OPENAI_API_KYE": "OPENAI_API_KEY",
    "ANTROPIC_API_KEY": "ANTHROPIC_API_KEY",
    "MOCK_ENDPONT_URL": "MOCK_ENDPOINT_URL",
}


@pytest.mark.parametrize("name", TYPOS)
def test_typos(name, tmp_path, owned):
    """In the process environment, which is not ours alone, a warning with the nearest name; ours in the file is a problem."""
    done = command("check", **NOWHERE, **{name: "canary"})
    warning = f"warning: {name} is set and has no effect; did you mean {TYPOS[name]}?"
    assert done.returncode == 0 and warning in done.stdout.splitlines(), done
    assert "canary" not in done.stdout + done.stderr
    program = owned(Program(("run",), {**NOWHERE, **PORTS, name: "canary"}, is_started))
    assert [line for line in program.lines if "level=warn" in line and name in line and TYPOS[name] in line], program.log
    file = tmp_path / "env"
    file.write_text(f"# a comment\n\n{name}=canary\n")
    done = command("--env-file", str(file), "check", **NOWHERE)
    if name.upper().startswith("SIDESTREAM"):
        assert done.returncode == 2 and f"{file}:3: {name} is no variable of sidestream; the nearest is {TYPOS[name]}" in done.stderr, done
    else:
        assert done.returncode == 0 and f"warning: {name} ({file}:3) is set and has no effect; did you mean {TYPOS[name]}?" in done.stdout
    assert "canary" not in done.stdout + done.stderr


@pytest.mark.parametrize("args", [("run",), ("check",), ()], ids=["run", "check", "no command"])
def test_all_problems_at_once(args, tmp_path):
    file = tmp_path / "env"
    file.write_text("nonsense canary\nexport A=canary\nSIDESTREAM_WORKRS=canary\nMOCK_TIMEOUT=soon\nSIDESTREAM_DRAIN=never\n")
    env = {
        "SIDESTREAM_PROVIDERS": "mock,nowhere",
        "MOCK_ENDPOINT_URL": "ftp://a/v1",
        "MOCK_API_KEY": "can ary",
        "MOCK_CA_FILE": "/no/such/file",
        "SIDESTREAM_LISTEN": "nowhere",
        "SIDESTREAM_DRIVER": "kqueue",
        "SIDESTREAM_ROUTES": "a -> nobody; b; c[tokens>many] -> mock",
        "SIDESTREAM_BODY_MAX": "much",
        "SIDESTREAM_ALLOW_ORIGINS": "*",
        "SIDESTREAM_LOG": "loud",
        "SIDESTREAM_HOLD": "long",
    }
    done = command("--env-file", str(file), *args, **env)
    lines = done.stderr.splitlines()
    assert done.returncode == 2 and all(line.startswith("sidestream: ") for line in lines), done
    wanted = [f"{file}:1: ", f"{file}:2: ", f"{file}:3: SIDESTREAM_WORKRS", 'SIDESTREAM_LISTEN="nowhere"', 'SIDESTREAM_DRIVER="kqueue"']
    wanted += ['SIDESTREAM_ALLOW_ORIGINS="*"', "SIDESTREAM_ROUTES has the rule `a -> nobody`", "SIDESTREAM_ROUTES has the rule `b`", "SIDESTREAM_ROUTES has the rule `c[tokens>many]"]
    wanted += ['SIDESTREAM_BODY_MAX="much"', 'SIDESTREAM_HOLD="long"', f'SIDESTREAM_DRAIN="never" ({file}:5)', 'SIDESTREAM_LOG="loud"', "MOCK_API_KEY ", 'MOCK_ENDPOINT_URL="ftp://a/v1"']
    wanted += [f'MOCK_TIMEOUT="soon" ({file}:4)', 'MOCK_CA_FILE="/no/such/file"', "NOWHERE_ENDPOINT_URL is not set"]
    assert len(lines) == len(wanted), done.stderr
    for part in wanted:
        assert [line for line in lines if line.startswith(f"sidestream: {part}")], f"{part} in\n{done.stderr}"
    assert "canary" not in done.stdout + done.stderr and "can ary" not in done.stdout + done.stderr


def test_an_env_file_that_is_not_there():
    for args in (("run",), ("check",), ("health",)):
        done = command("--env-file", "/no/such/file", *args, **NOWHERE)
        assert done.returncode == 2 and "--env-file /no/such/file cannot be read: No such file" in done.stderr, done


GRAMMAR = {
    # a line of the file: the value that it gives
    "X=5s": "5s",
    "  X = 5s  ": "5s",
    "X=5s\r": "5s",
    'X="5s"': "5s",
    "X='5s'": "5s",
    "X=5\\\ns": "5s",
    'X="5\\\ns"': "5s",
    "X='5'\"s\"": "5s",
    "X=9s\nX=5s": "5s",
    "\ufeffX=5s": "5s",
    "; X=9s\nX=5s\n# X=9s": "5s",
    # What it is not: nothing is expanded, no comment begins behind a value.
    "X=$HOME": "$HOME",
    "X=5s # c": "5s # c",
    "X=": None,
}


@pytest.mark.parametrize("text", GRAMMAR)
def test_the_grammar_of_env_files(text, tmp_path):
    """That of systemd's EnvironmentFile: one file for the unit and for --env-file."""
    file = tmp_path / "env"
    file.write_bytes(text.replace("X", "SIDESTREAM_DRAIN").encode())
    done = command("--env-file", str(file), "check", **NOWHERE)
    value = GRAMMAR[text]
    if value is None:
        assert done.returncode == 0 and table(done)["SIDESTREAM_DRAIN"] == "30s (default)"
    elif value == "5s":
        assert done.returncode == 0 and table(done)["SIDESTREAM_DRAIN"].startswith(f"5s ({file}:"), done
    else:
        assert done.returncode == 2 and f'SIDESTREAM_DRAIN="{value}"' in done.stderr, done
    # The process environment wins; empty there is unset.
    assert table(command("--env-file", str(file), "check", **NOWHERE, SIDESTREAM_DRAIN="7s"))["SIDESTREAM_DRAIN"] == "7s"
    if value == "5s":
        assert table(command("--env-file", str(file), "check", **NOWHERE, SIDESTREAM_DRAIN=""))["SIDESTREAM_DRAIN"].startswith("5s")


def test_the_table_of_check(tmp_path):
    file = tmp_path / "env"
    file.write_text("ZAI_API_KEY=sk-of-zai\nZAI_TIMEOUT=2m\n")
    env = {"NVIDIA_API_KEY": "sk-of-nvidia", "SIDESTREAM_TOKENS": "a-token-of-ours", "SIDESTREAM_MEMORY_MAX": "1GiB"}
    done = command("check", "--env-file", str(file), **env)
    shown = table(done)
    assert done.returncode == 0 and "sk-of" not in done.stdout and "a-token" not in done.stdout, done
    assert shown["SIDESTREAM_PROVIDERS"] == "zai,nim (default)" and shown["SIDESTREAM_TOKENS"] == "set"
    assert shown["ZAI_API_KEY"] == f"set ({file}:1)" and shown["ZAI_TIMEOUT"] == f"2m ({file}:2)"
    assert shown["NIM_API_KEY"] == "that of NVIDIA_API_KEY (default)" and shown["NIM_ANTHROPIC_URL"] == "unset"
    assert shown["SIDESTREAM_MEMORY_MAX"] == "1GiB (no effect in this version)"
    assert "warning: SIDESTREAM_MEMORY_MAX has no effect in this version" in done.stdout


@pytest.mark.parametrize("args", [("--no-such-option",), ("no-such-command",), ("mock", "--tls", "/no/such/file")])
def test_a_wrong_command_line(args):
    assert command(*args).returncode == 2


# ── Reload ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Filed:
    """A proxy whose providers stand in an env file; `write` and SIGHUP change them."""

    def __init__(self, owned, folder, driver: str = "auto", **first: str):
        self.file = folder / "env"
        self.fleet = owned(Fleet())
        self.base = {**self.fleet.faces("one"), **self.fleet.faces("two"), "SIDESTREAM_PROVIDERS": "one,two"}
        self.write(**first)
        self.proxy = owned(many({}, driver, ("--env-file", str(self.file), "run")))

    def write(self, text: str = "", **variables: str) -> None:
        lines = [f"{name}={value}" for name, value in {**self.base, **variables}.items()]
        self.file.write_text("\n".join(lines) + "\n" + text)

    def reload(self, word: str = "msg=reloaded") -> str:
        """Gives the line with `word` that this reload wrote."""
        begin = len(self.proxy.lines)
        self.proxy.signal(signal.SIGHUP)
        with self.proxy.news:
            said = self.proxy.news.wait_for(lambda: [x for x in self.proxy.lines[begin:] if word in x], 10)
        assert said, self.proxy.log
        return said[0]

    def until(self, holds, *request):
        """Asks until the worker has taken what is in force since the line in the log."""
        for _ in range(2000):
            if holds(response := ask(self.proxy.address, *(request or ("POST", CHAT, JSON)))):
                return response
        raise AssertionError(f"after a reload still: {response}")


def is_of(provider: str):
    return lambda response: response.get("x-sidestream-provider") == provider


def test_reload_changes_routes_keys_and_tokens(driver, owned, tmp_path):
    filed = Filed(owned, tmp_path, driver, SIDESTREAM_ROUTES="m -> one", ONE_API_KEY="key-1")
    assert is_of("one")(ask(filed.proxy.address, "POST", CHAT, JSON))
    assert filed.fleet.one().request.get("authorization") == "Bearer key-1"
    filed.write(SIDESTREAM_ROUTES="m -> two/other", TWO_API_KEY="key-2")
    assert "providers=one,two" in filed.reload()
    assert filed.until(is_of("two")).get("x-sidestream-model") == "other"
    last = filed.fleet.take()[-1]
    assert (last.model, last.request.get("authorization")) == ("other", "Bearer key-2")
    filed.write(SIDESTREAM_ROUTES="m -> two", TWO_API_KEY="key-3", SIDESTREAM_TOKENS="a-new-token")
    filed.reload()
    filed.until(lambda response: response.status == 401)
    filed.fleet.take()
    with Client(filed.proxy.address) as client:
        assert client.ask("POST", CHAT, JSON, [("x-api-key", "a-new-token")]).status == 200
        assert filed.fleet.one().request.get("authorization") == "Bearer key-3"
        # A connection that was there before keeps to what is in force now.
        filed.write(SIDESTREAM_TOKENS="another-token")
        filed.reload()
        filed.until(lambda response: response.status != 401, "POST", CHAT, b'{"model":"one/m"}', [("x-api-key", "another-token")])
        assert client.ask("POST", CHAT, JSON, [("x-api-key", "a-new-token")]).status == 401
    assert filed.proxy.counter("sidestream_upstream_requests_total") >= 4, "counts outlive a reload"


def test_a_stream_in_flight_keeps_its_provider(driver, owned, tmp_path):
    more = threading.Event()

    def handler(peer):
        peer.request()
        peer.send(SSE_HEAD + chunk(b"data: 1\n\n"))
        assert more.wait(10)
        peer.send(chunk(b"data: 2\n\n") + LAST_CHUNK)
        peer.wait_closed()

    streaming = owned(Upstream(handler))
    old = {"OLD_OPENAI_URL": f"http://127.0.0.1:{streaming.port}/v1", "SIDESTREAM_PROVIDERS": "old,two"}
    filed = Filed(owned, tmp_path, driver, **old, SIDESTREAM_ROUTES="m -> old")
    with Client(filed.proxy.address) as client:
        client.request("POST", CHAT, b'{"model":"m","stream":true}')
        head, body = client.response_head()
        got = body.piece()
        filed.write(SIDESTREAM_ROUTES="m -> two")  # `old` is gone
        filed.reload()
        filed.until(is_of("two"))
        # The provider that is gone still serves what it began with.
        more.set()
        got += body.all()
        assert (got, head.get("x-sidestream-provider")) == (b"data: 1\n\ndata: 2\n\n", "old")
        assert is_of("two")(client.ask("POST", CHAT, JSON))
    assert streaming.peers[0].gone.wait(5), "a connection to a provider that is gone was kept"
    line = filed.proxy.wait_line(lambda line: "provider=old" in line and "msg=request" in line)
    assert "status=200" in line


@pytest.mark.parametrize("slip", ["a route", "a name", "a line", "a key file", "an open door", "no file"])
def test_a_bad_file_is_refused_as_a_whole(owned, tmp_path, slip):
    filed = Filed(owned, tmp_path, SIDESTREAM_ROUTES="m -> one", ONE_API_KEY="key-1")
    good = {"SIDESTREAM_ROUTES": "m -> two", "ONE_API_KEY": "key-2"}
    match slip:
        case "a route":
            filed.write(**{**good, "SIDESTREAM_ROUTES": "m -> two; x -> nobody"})
        case "a name":
            filed.write("SIDESTREAM_ROUTS=x\n", **good)
        case "a line":
            filed.write("nonsense\n", **good)
        case "a key file":
            filed.write(**good, TWO_API_KEY_FILE="/no/such/file")
        case "an open door":
            filed.write(**good, SIDESTREAM_LISTEN="0.0.0.0:0")
        case "no file":
            filed.file.unlink()
    if slip == "an open door":
        # The process environment wins: the door stays, so there is nothing to refuse.
        filed.reload()
        filed.until(is_of("two"))
        return
    refused = filed.reload("reload refused")
    assert "level=error" in refused and "problem=" in refused
    for _ in range(3):
        assert is_of("one")(ask(filed.proxy.address, "POST", CHAT, JSON))
        assert filed.fleet.one().request.get("authorization") == "Bearer key-1"
    # Mended, it is taken.
    filed.write(**good)
    filed.reload()
    filed.until(is_of("two"))


def test_what_needs_a_restart_is_said(owned, tmp_path):
    """It stays as it is, all else is taken."""
    file = tmp_path / "env"
    fleet = owned(Fleet())
    faces = "".join(f"{n}={v}\n" for n, v in {**fleet.faces("one"), **fleet.faces("two")}.items()) + "SIDESTREAM_PROVIDERS=one,two\n"
    file.write_text(f"{faces}SIDESTREAM_LISTEN=127.0.0.1:0\nSIDESTREAM_ADMIN=127.0.0.1:0\nSIDESTREAM_ROUTES=m -> one\n")
    program = owned(Program(("--env-file", str(file), "run"), {}, is_started))
    host, port = program.start["listen"].split(":")
    file.write_text(f"{faces}SIDESTREAM_LISTEN=127.0.0.1:1\nSIDESTREAM_ADMIN=off\nSIDESTREAM_WORKERS=2\nSIDESTREAM_DRIVER=epoll\nSIDESTREAM_ROUTES=m -> two\n")
    program.signal(signal.SIGHUP)
    said = program.wait_line(lambda line: "a restart is needed" in line)
    assert pairs(said)["for"] == "SIDESTREAM_LISTEN,SIDESTREAM_ADMIN,SIDESTREAM_WORKERS,SIDESTREAM_DRIVER"
    program.wait_line(lambda line: "msg=reloaded" in line)
    for _ in range(2000):
        if is_of("two")(ask((host, int(port)), "POST", CHAT, JSON)):
            break
    else:
        raise AssertionError("the routes were not taken")
    assert ask(tuple_of(program.start["admin"]), "GET", "/healthz").status == 200


def tuple_of(text: str):
    host, port = text.split(":")
    return host, int(port)


def test_a_key_file_is_read_again(owned, tmp_path):
    key = tmp_path / "key"
    key.write_text("key-1\n")
    filed = Filed(owned, tmp_path, SIDESTREAM_ROUTES="* -> one", ONE_API_KEY_FILE=str(key))

    def shown():
        ask(filed.proxy.address, "POST", CHAT, JSON)
        return filed.fleet.take()[-1].request.get("authorization")

    assert shown() == "Bearer key-1"
    key.write_text("key-2")
    assert shown() == "Bearer key-1", "only SIGHUP reads it"
    filed.reload()
    filed.until(lambda _: shown() == "Bearer key-2")
    key.write_text("")
    assert "ONE_API_KEY_FILE" in filed.reload("reload refused")
    assert shown() == "Bearer key-2"


def test_log_level_and_format_follow_a_reload(owned, tmp_path):
    filed = Filed(owned, tmp_path)
    filed.write(SIDESTREAM_LOG_FORMAT="json")
    assert json.loads(filed.reload('"reloaded"'))["providers"] == "one,two"
    ask(filed.proxy.address, "POST", CHAT, b'{"model":"one/json"}')
    assert json.loads(filed.proxy.wait_line(lambda line: '"msg":"request"' in line))["model"] == "json"
    filed.write(SIDESTREAM_LOG="warn", SIDESTREAM_MEMORY_MAX="1GiB")
    assert pairs(filed.reload("no effect"))["level"] == "warn"
    ask(filed.proxy.address, "POST", CHAT, b'{"model":"one/unsaid"}')
    filed.write(SIDESTREAM_ROUTES="nonsense")
    assert pairs(filed.reload("reload refused"))["level"] == "error"
    assert "unsaid" not in filed.proxy.log and "msg=reloaded" not in filed.proxy.log


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_sighup_without_an_env_file_drains(owned, busy):
    more = threading.Event()

    def handler(peer):
        peer.request()
        peer.send(SSE_HEAD + chunk(b"data: 1\n\n"))
        assert more.wait(10)
        peer.send(LAST_CHUNK)

    upstream = owned(Upstream(handler))
    proxy = owned(many({**upstream.env, "SIDESTREAM_PROVIDERS": "mock", "SIDESTREAM_DRAIN": "10s"}))
    with contextlib.ExitStack() as stack:
        if busy:
            client = stack.enter_context(Client(proxy.address))
            client.request("POST", CHAT, JSON)
            _, body = client.response_head()
            body.piece()
        proxy.signal(signal.SIGHUP)
        proxy.wait_line(lambda line: "msg=draining" in line)
        if busy:
            assert proxy.process.poll() is None
            more.set()
            body.all()
    assert proxy.wait(5) == 0


# ── Commands ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_health(owned, tmp_path):
    upstream = owned(Upstream())
    proxy = owned(many({**upstream.env, "SIDESTREAM_PROVIDERS": "mock", "SIDESTREAM_DRAIN_DELAY": "10s"}))
    admin = "%s:%d" % proxy.admin
    assert command("health", SIDESTREAM_ADMIN=admin).returncode == 0
    file = tmp_path / "env"
    file.write_text(f"SIDESTREAM_ADMIN={admin}\nSIDESTREAM_DRAIN=broken after the start\n")
    assert command("health", "--env-file", str(file)).returncode == 0
    nobody = command("health", SIDESTREAM_ADMIN=f"127.0.0.1:{dead_port()}")
    assert nobody.returncode == 1 and "does not answer" in nobody.stderr
    for admin_is in ("off", "nowhere", "unix:/run/x"):
        assert command("health", SIDESTREAM_ADMIN=admin_is).returncode == 2
    proxy.signal(signal.SIGTERM)
    proxy.wait_line(lambda line: "msg=draining" in line)
    assert command("health", SIDESTREAM_ADMIN=admin).returncode == 1
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(5) == 0


LIVE = {
    # name: (answer of the upstream by target, key, works, what is said)
    "works": ({"/v1/models": models("a", "b")}, "k", True, "lists 2 models"),
    "no list": ({}, "k", True, "lists no models"),
    "refused key": ({"/v1/models": answer(b"{}", "401 X")}, "k", False, "refuses the key in MOCK_API_KEY"),
    "forbidden": ({"/v1/models": answer(b"{}", "403 X")}, "k", False, "refuses the key in MOCK_API_KEY"),
    "wants a key": ({"/v1/models": answer(b"{}", "401 X")}, "", False, "wants a key: set MOCK_API_KEY"),
    "clients' keys": ({"/v1/models": answer(b"{}", "401 X")}, "client", True, "clients bring their own"),
    "missing /v1": ({"/v1/models": models("a")}, "k", False, "MOCK_ENDPOINT_URL=%s/v1"),
    "missing /v1, refused": ({"/v1/models": answer(b"{}", "401 X")}, "k", False, "MOCK_ENDPOINT_URL=%s/v1"),
    "a page": ({"/v1/models": answer(b"<html>")}, "k", False, "right URL"),
    "an error": ({"/v1/models": answer(b"", "500 X")}, "k", False, "status 500"),
}


@pytest.mark.parametrize("rule", LIVE)
def test_check_live(rule, owned):
    answers, key, works, said = LIVE[rule]
    fleet = owned(Fleet(lambda request: answers.get(request.target) or answer(b"{}", "404 X")))
    origin = f"http://127.0.0.1:{fleet.port}"
    url = origin if rule.startswith("missing") else origin + "/v1"
    env = {"SIDESTREAM_PROVIDERS": "mock", "MOCK_ENDPOINT_URL": url, "MOCK_API_KEY": key}
    done = command("check", "--live", **env)
    said = said % origin if "%" in said else said
    finding = [line for line in done.stdout.splitlines() if line.startswith("ok " if works else "FAILED ")]
    assert done.returncode == (0 if works else 1) and len(finding) == 1 and said in finding[0], done
    assert "mock " in finding[0] and f"127.0.0.1:{fleet.port}" in finding[0]
    times = [float(n) for n in re.findall(r"(?m)^ +TCP ([\d.]+) ms, first answer ([\d.]+) ms; a warm connection saves ([\d.]+) ms$", done.stdout)[0]]
    assert times[2] == times[0] < 2000 and times[1] < 3000, done.stdout
    assert all(r.method == "GET" and r.get("authorization") == ("Bearer k" if key == "k" else None) for r in fleet.requests)


def test_check_live_without_anybody_there():
    port = dead_port()
    done = command("check", "--live", SIDESTREAM_PROVIDERS="mock", MOCK_ENDPOINT_URL=f"http://127.0.0.1:{port}/v1")
    assert done.returncode == 1 and re.search(rf"FAILED +mock 127.0.0.1:{port}/v1 .*refuses connections", done.stdout), done


def test_check_live_and_certificates(owned, authority):
    """A certificate that nobody vouches for ends it before the key is sent; with its root it is fine."""
    root: Authority = authority("root")
    for identity, roots, works in [
        (root.issue(), {"MOCK_CA_FILE": root.file}, True),
        (root.issue(), {"SIDESTREAM_CA_FILE": root.file}, True),
        (root.issue(), {}, False),
        (root.issue(self_signed=True), {}, False),
        (root.issue(self_signed=True), {"MOCK_CA_FILE": root.file}, False),
        (root.issue(("elsewhere.example",)), {"MOCK_CA_FILE": root.file}, False),
        (root.issue(days=-1), {"MOCK_CA_FILE": root.file}, False),
    ]:
        upstream = owned(Upstream(lambda peer: peer.send(models("m")) if peer.request() else None, root.server(identity)))
        env = {"SIDESTREAM_PROVIDERS": "mock", "MOCK_ENDPOINT_URL": upstream.origin() + "/v1", "MOCK_API_KEY": "sk-canary"}
        done = command("check", "--live", **env, **roots)
        assert done.returncode == (0 if works else 1), done
        assert works or re.search(r"(?m)^FAILED .*certificate", done.stdout), done.stdout
        assert works == bool(re.search(r"(?m)^ +TCP [\d.]+ ms, TLS [\d.]+ ms, first answer", done.stdout)), done.stdout
        assert len(upstream.requests) == int(works) and "canary" not in done.stdout + done.stderr


# ── Log ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_log_as_json(owned):
    """Each line is one object, whatever clients send; numbers are numbers."""
    fleet = owned(Fleet(lambda request: answer(b'{"usage":{"prompt_tokens":3,"completion_tokens":4}}', headers="Content-Type: application/json\r\nrequest-id: theirs-1\r\n")))
    proxy = owned(many({**fleet.faces("mock"), "SIDESTREAM_PROVIDERS": "mock", "SIDESTREAM_LOG_FORMAT": "json", "SIDESTREAM_LOG": "debug", "SIDESTREAM_WARM_UP": "off"}))
    odd = ['{"level":"error"}', 'a"b\\', "ü €", "line\\nbreak"]
    for name in odd:
        ask(proxy.address, "POST", CHAT, json.dumps({"model": name}).encode(), [("x-request-id", "mine-1")])
    ask(proxy.address, "GET", '/v1/"x"\\y', None)
    ask(proxy.address, "GET", "/\xff\xfe", None)
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    lines = [json.loads(line) for line in proxy.lines]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["ts"]) and line["level"] in ("error", "warn", "info", "debug") for line in lines)
    requests = [line for line in lines if line["msg"] == "request"]
    served = [line for line in requests if line["status"] == 200]
    assert [line["model"] for line in served] == odd
    for line in served:
        assert (line["id"], line["upstream_id"], line["provider"], line["dialect"]) == ("mine-1", "theirs-1", "mock", "chat")
        assert (line["tokens_in"], line["tokens_out"], line["attempts"]) == (3, 4, 1)
        assert line["total_us"] >= line["ttfb_us"] >= 0 and line["bytes_in"] > 0 and line["bytes_out"] > 0
    assert [line["msg"] for line in lines if line["msg"] != "request"] == ["started", "draining", "stopped"]


IDS = {
    # what the client calls its request: may it keep that name
    "7b1c2d3e-0000-4000-8000-123456789abc": True,
    "Root=1:2/3+4@x_y.z": True,
    "x" * 64: True,
    "x" * 65: False,
    "two words": False,
    'quo"ted': False,
    "a=1;b": False,
    "": False,
    None: False,
}


@pytest.mark.parametrize("path, status", [(CHAT, 200), ("/nothing", 404), ("/", 200), ("/nobody/v1/messages", 404)])
def test_request_ids(owned, path, status):
    """The name in the answer is the one in the log; a client's own is kept where it can be one."""
    upstream = owned(Upstream())
    proxy = owned(many({**upstream.env, "SIDESTREAM_PROVIDERS": "mock"}))
    given = set()
    for name, keeps in IDS.items():
        fields = [("X-Request-Id", name)] if name is not None else []
        response = ask(proxy.address, "GET" if path == "/" else "POST", path, None if path == "/" else JSON, fields)
        shown = response.get("x-sidestream-request-id")
        assert response.status == status and (shown == name if keeps else re.fullmatch(r"ss-[0-9a-f]{16}-0-\d{6}", shown)), shown
        given.add(shown)
        line = proxy.wait_line(lambda line: "msg=request" in line and pairs(line)["id"] == shown)
        assert pairs(line)["path"] == path and pairs(line)["status"] == str(status)
    assert len(given) == len(IDS), "a name was given twice"


def test_nobody_reads_the_log(driver, owned):
    """Requests go on when standard error is full; what was lost is counted."""
    upstream = owned(Upstream())
    env = {**PORTS, **upstream.env, "SIDESTREAM_PROVIDERS": "mock", "SIDESTREAM_DRIVER": "epoll" if driver != "io_uring" else driver}
    process = subprocess.Popen([BINARY], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, bufsize=0)
    try:
        while not is_started(line := process.stderr.readline().decode()):
            assert line
        start = pairs(line)
        admin = tuple_of(start["admin"])
        dropped = b""
        with Client(tuple_of(start["listen"])) as client:
            for round in range(200):
                for _ in range(50):
                    assert client.ask("GET", "/v1/files/" + "x" * 200).status == 200
                text = ask(admin, "GET", "/metrics").body
                dropped = re.search(rb"(?m)^sidestream_log_dropped_total (\d+)", text)[1]
                if int(dropped):
                    break
        assert int(dropped) > 0 and round > 2
        assert ask(tuple_of(start["listen"]), "POST", CHAT, JSON).status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
