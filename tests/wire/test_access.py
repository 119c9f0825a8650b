"""Who may ask: Host and Origin, tokens, open doors, and requests that go in circles."""

import json
import signal
import subprocess

import pytest

from support.fleet import Fleet, dead_port, many, models
from support.process import BINARY, Program, Sidestream, is_started
from support.upstream import answer
from support.wire import Client, ask

CHAT, JSON = "/v1/chat/completions", b'{"model":"m"}'
TOKEN = "an-entry-token"
PAGE = "https://app.example"
PREFLIGHT = [("Origin", PAGE), ("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "authorization,x-stainless-os")]


@pytest.fixture(scope="module")
def guarded():
    """With tokens, a host name and an origin; of two providers the other has no Anthropic face."""
    with Fleet(lambda request: answer(b"{}", headers="Access-Control-Allow-Origin: *\r\nVary: accept\r\nX-Theirs: 1\r\n")) as fleet:
        env = {
            **fleet.faces("mock"),
            **fleet.faces("small", "openai"),
            "SIDESTREAM_PROVIDERS": "mock,small",
            "SIDESTREAM_ROUTES": "m -> mock; s -> small",
            "SIDESTREAM_TOKENS": TOKEN,
            "SIDESTREAM_ALLOW_HOSTS": "sidestream.internal, 192.0.2.7",
            "SIDESTREAM_ALLOW_ORIGINS": f"{PAGE}, http://localhost:3000",
        }
        proxy = many(env)
        yield proxy, fleet
        proxy.close()


def as_host(address, method: str, path: str, host: str, fields=(), body: bytes = b""):
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{n}: {v}" for n, v in fields)]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    with Client(address) as client:
        client.send("\r\n".join([*lines, "", ""]).encode() + body)
        return client.response(method)


# ── Host ────────────────────────────────────────────────────────────────────────────────────────────────────────────

HOSTS = {
    "localhost": True,
    "LocalHost:7730": True,
    "127.0.0.1:1": True,
    "127.9.9.9": True,
    "[::1]:7730": True,
    "sidestream.internal": True,
    "SIDESTREAM.internal:80": True,
    "192.0.2.7:7730": True,
    "evil.example": False,
    "localhost.evil.example": False,
    "evil-localhost": False,
    "10.0.0.1": False,
    "[2001:db8::1]": False,
    "127.0.0.1.nip.io": False,
    "sidestream.internal.evil.example": False,
}


@pytest.mark.parametrize("host", HOSTS)
def test_hosts(guarded, host):
    """A page that made its own name resolve to this machine sends that name. A token is no page's to send."""
    proxy, fleet = guarded
    for method, path, body in [("GET", "/", b""), ("GET", "/v1/models", b""), ("POST", CHAT, JSON), ("POST", "/v1/messages", JSON)]:
        response = as_host(proxy.address, method, path, host, body=body)
        if HOSTS[host]:
            assert response.status == (200 if path == "/" else 401), response
        else:
            check_refused(response, 403, "host-not-allowed", "messages" if "messages" in path else "chat")
            assert b"SIDESTREAM_ALLOW_HOSTS" in response.body
    assert fleet.take() == []
    assert as_host(proxy.address, "POST", CHAT, host, [("x-api-key", TOKEN)], JSON).status == 200
    fleet.take()


def test_the_own_endpoints_ask_for_the_host_too(guarded):
    proxy, _ = guarded
    for path, status in [("/healthz", 200), ("/readyz", 200), ("/metrics", 403)]:
        assert as_host(proxy.admin, "GET", path, "evil.example").status == status
    assert as_host(proxy.admin, "GET", "/metrics", "sidestream.internal").status == 200


# ── Origins ─────────────────────────────────────────────────────────────────────────────────────────────────────────

ORIGINS = {
    PAGE: True,
    "https://APP.example": True,
    "http://localhost:3000": True,
    "http://localhost:3001": False,
    "http://localhost": False,
    "http://app.example": False,
    "https://app.example:8443": False,
    "https://app.example.evil.example": False,
    "null": False,
    "https://evil.example": False,
}


@pytest.mark.parametrize("origin", ORIGINS)
def test_origins(guarded, origin):
    """Also with a token: a page may have one that its user gave to another page."""
    proxy, fleet = guarded
    for path, dialect in [(CHAT, "chat"), ("/v1/messages", "messages")]:
        response = ask(proxy.address, "POST", path, JSON, [("Origin", origin), ("x-api-key", TOKEN)])
        if ORIGINS[origin]:
            assert response.status == 200
            check_readable(response, origin)
            assert response.get("x-theirs") == "1"
        else:
            check_refused(response, 403, "origin-not-allowed", dialect)
            assert b"SIDESTREAM_ALLOW_ORIGINS" in response.body and unreadable(response)
    assert bool(fleet.take()) == ORIGINS[origin]


def check_readable(response, origin: str) -> None:
    """The page of this origin, and no other, may read it; what the provider said about pages is not passed."""
    assert response.get("access-control-allow-origin") == origin
    exposed = response.get("access-control-expose-headers").split(", ")
    assert {"x-sidestream-request-id", "request-id", "retry-after", "x-sidestream-error"} <= set(exposed)
    assert "origin" in [v.decode() for v in response.headers.all("vary")]
    assert response.get("access-control-allow-credentials") is None


def unreadable(response) -> bool:
    return not [n for n in response.headers.names if n.startswith("access-control-")]


def test_preflights(guarded):
    """Answered here, before a token is asked for: a browser sends none with it."""
    proxy, fleet = guarded
    for path in (CHAT, "/v1/messages", "/v1/models", "/v1/files/x", "/mock/v1/chat/completions", "/"):
        response = ask(proxy.address, "OPTIONS", path, None, PREFLIGHT)
        assert (response.status, response.body, response.get("content-length")) == (204, b"", None)
        check_readable(response, PAGE)
        assert response.get("access-control-allow-headers") == "authorization,x-stainless-os"
        assert {"GET", "POST", "DELETE"} <= set(response.get("access-control-allow-methods").split(", "))
        assert response.get("access-control-allow-private-network") is None
    near = ask(proxy.address, "OPTIONS", CHAT, None, [*PREFLIGHT, ("Access-Control-Request-Private-Network", "true")])
    assert near.get("access-control-allow-private-network") == "true"
    evil = ask(proxy.address, "OPTIONS", CHAT, None, [("Origin", "https://evil.example"), *PREFLIGHT[1:]])
    check_refused(evil, 403, "origin-not-allowed")
    assert unreadable(evil)
    # Not a preflight: it says no method.
    assert ask(proxy.address, "OPTIONS", CHAT, None, PREFLIGHT[:1]).status == 401
    assert fleet.take() == []


REFUSALS = {
    # what a page asks for: (method, path, body, with a token, status, reason)
    "no token": ("POST", CHAT, JSON, False, 401, "token-required"),
    "no model": ("POST", CHAT, b'{"model":"other"}', True, 404, "unknown-model"),
    "no translation": ("POST", "/v1/messages", b'{"model":"s"}', True, 400, "not-translatable"),
    "no such path": ("GET", "/v2/files", None, True, 404, "not-found"),
    "too many via": ("POST", CHAT, JSON, True, 508, "loop-detected"),
}


@pytest.mark.parametrize("rule", REFUSALS)
def test_a_page_can_read_why_it_was_refused(guarded, rule):
    proxy, _ = guarded
    method, path, body, token, status, reason = REFUSALS[rule]
    fields = [("Origin", PAGE), *[("x-api-key", TOKEN)] * token]
    if reason == "loop-detected":
        fields.append(("x-sidestream-via", "a,b,c,d,e"))
    response = ask(proxy.address, method, path, body, fields)
    # Who asks with `x-api-key` at a path that says nothing speaks Anthropic's dialect.
    check_refused(response, status, reason, "messages" if "messages" in path or path == "/v2/files" else "chat")
    check_readable(response, PAGE)


def test_no_origin_is_none_of_a_pages(guarded):
    """A program's request gets no CORS fields of ours; what the provider says about pages passes."""
    proxy, fleet = guarded
    response = ask(proxy.address, "POST", CHAT, JSON, [("x-api-key", TOKEN)])
    assert (response.get("access-control-allow-origin"), response.get("vary")) == ("*", "accept")
    fleet.take()


# ── Tokens ──────────────────────────────────────────────────────────────────────────────────────────────────────────

SHOWN = {
    # fields: may they pass
    (): False,
    (("Authorization", f"Bearer {TOKEN}"),): True,
    (("authorization", f"bearer  {TOKEN}"),): True,
    (("x-api-key", TOKEN),): True,
    (("X-Sidestream-Token", TOKEN), ("Authorization", "Bearer sk-theirs")): True,
    (("Authorization", "Bearer sk-theirs"),): False,
    (("Authorization", f"Bearer {TOKEN}x"),): False,
    (("Authorization", f"Bearer {TOKEN[:-1]}"),): False,
    (("Authorization", f"Bearer {TOKEN.upper()}"),): False,
    (("Authorization", f"Basic {TOKEN}"),): False,
    (("Authorization", "Bearer"),): False,
    (("x-api-key", ""),): False,
    (("x-token", TOKEN),): False,
    (("x-sidestream-token", f"{TOKEN}, {TOKEN}"),): False,
}


@pytest.mark.parametrize("path, dialect", [(CHAT, "chat"), ("/v1/responses", "chat"), ("/v1/messages", "messages"), ("/mock/v1/messages", "messages")])
def test_tokens(guarded, path, dialect):
    proxy, fleet = guarded
    for fields, passes in SHOWN.items():
        response = ask(proxy.address, "POST", path, JSON, fields)
        if passes:
            assert response.status == 200 and len(fleet.take()) == 1
        else:
            check_refused(response, 401, "token-required", dialect)
            assert response.get("www-authenticate") == "Bearer" and fleet.take() == []
            assert b"SIDESTREAM_TOKENS" in response.body


def test_what_is_open_without_a_token(guarded):
    proxy, fleet = guarded
    for method, path, status in [("GET", "/", 200), ("HEAD", "/", 200), ("OPTIONS", "*", 401), ("GET", "/v1/models", 401), ("GET", "/mock", 401), ("GET", "/nothing", 401)]:
        assert ask(proxy.address, method, path).status == status, (method, path)
    for path in ("/healthz", "/readyz", "/metrics"):
        assert ask(proxy.admin, "GET", path).status == 200
    assert fleet.take() == []


def check_refused(response, status: int, reason: str, dialect: str = "chat") -> None:
    """In the client's dialect, with the reason."""
    assert (response.status, response.get("x-sidestream-error")) == (status, reason), response
    error = json.loads(response.body)
    assert error["error"]["message"] and error["error"]["type"], error
    assert (error.get("type") == "error") == (dialect == "messages"), error
    assert response.get("x-sidestream-request-id")


# ── Open doors ──────────────────────────────────────────────────────────────────────────────────────────────────────

KEY = {"SIDESTREAM_PROVIDERS": "mock", "MOCK_ENDPOINT_URL": "http://127.0.0.1:9/v1", "MOCK_API_KEY": "sk-the-providers-own", "SIDESTREAM_ADMIN": "off"}
DOORS = {
    # name: (variables, starts)
    "all addresses": ({"SIDESTREAM_LISTEN": "0.0.0.0:0"}, False),
    "all addresses, IPv6": ({"SIDESTREAM_LISTEN": "[::]:0"}, False),
    "one of several": ({"SIDESTREAM_LISTEN": "127.0.0.1:0,0.0.0.0:0"}, False),
    "a key in a header": ({"SIDESTREAM_LISTEN": "0.0.0.0:0", "MOCK_API_KEY": "", "MOCK_HEADERS": "x-api-key: k"}, False),
    "several keys": ({"SIDESTREAM_LISTEN": "0.0.0.0:0", "MOCK_API_KEY": "", "MOCK_API_KEYS": "a,b"}, False),
    "none is an answer": ({"SIDESTREAM_LISTEN": "0.0.0.0:0", "SIDESTREAM_TOKENS": "none"}, True),
    "tokens": ({"SIDESTREAM_LISTEN": "0.0.0.0:0", "SIDESTREAM_TOKENS": TOKEN}, True),
    "no key": ({"SIDESTREAM_LISTEN": "0.0.0.0:0", "MOCK_API_KEY": ""}, True),
    "the clients' keys": ({"SIDESTREAM_LISTEN": "0.0.0.0:0", "MOCK_API_KEY": "client"}, True),
    "loopback": ({"SIDESTREAM_LISTEN": "127.0.0.2:0"}, True),
}


@pytest.mark.parametrize("rule", DOORS)
def test_doors(rule, owned):
    """Whoever reaches an open address asks at the expense of the key behind it: that has to be meant."""
    variables, starts = DOORS[rule]
    env = {**KEY, **variables}
    if starts:
        proxy = owned(Program(("run",), env, is_started))
        port = int(proxy.start["listen"].rpartition(":")[2])
        address = ("127.0.0.2" if rule == "loopback" else "127.0.0.1", port)
        assert ask(address, "GET", "/v1/models/x").status == (401 if rule == "tokens" else 502)
        return
    for command in ("run", "check"):
        done = subprocess.run([BINARY, command], env=env, capture_output=True, text=True, timeout=10)
        assert done.returncode == 2 and "SIDESTREAM_TOKENS is not set" in done.stderr and "`none`" in done.stderr, done
        assert "sk-the-providers-own" not in done.stdout + done.stderr


# ── Circles ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_sidestream_that_points_to_itself(owned, tmp_path):
    """What comes back is refused, and the first one passes the refusal on. Its address is known only after the start, so
    the way to itself comes with a reload."""
    proxy = pointing_to_itself(owned, tmp_path)
    ways = [
        ("POST", CHAT, b'{"model":"round"}', "chat"),
        ("POST", "/v1/messages", b'{"model":"round"}', "messages"),
        ("POST", "/loop/v1/responses", b'{"model":"round"}', "chat"),
        ("GET", "/loop/v1/files/x", None, "chat"),
        ("POST", "/v1/files", [b"streamed"], "chat"),
    ]
    for method, path, body, dialect in ways:
        response = ask(proxy.address, method, path, body)
        check_refused(response, 508, "loop-detected", dialect)
        assert response.get("x-sidestream-provider") == "loop"


def test_a_sidestream_whose_list_of_models_holds_itself(owned, tmp_path):
    """Its own list would hold its own list: it is left out, and asked for once."""
    proxy = pointing_to_itself(owned, tmp_path)
    for path, status in [("/v1/models", 200), ("/v1/models/round", 200), ("/loop/v1/models", 508)]:
        before = proxy.counter("sidestream_requests_total")
        assert ask(proxy.address, "GET", path).status == status
        assert proxy.counter("sidestream_requests_total") - before <= 3, "it asked itself again and again"
    listed = [m["id"] for m in json.loads(ask(proxy.address, "GET", "/v1/models").body)["data"]]
    assert listed == ["round", "mock/here"]


def pointing_to_itself(owned, tmp_path) -> Sidestream:
    """A proxy whose first provider `loop` is itself, and its second, `mock`, is not."""
    file = tmp_path / "env"

    def write(port: int) -> None:
        origin = f"http://127.0.0.1:{port}"
        file.write_text(
            "SIDESTREAM_PROVIDERS=loop,mock\nSIDESTREAM_ROUTES=round -> loop\n"
            f"LOOP_OPENAI_URL={origin}/v1\nLOOP_ANTHROPIC_URL={origin}\n"
        )

    write(dead_port())
    fleet = owned(Fleet(lambda request: models("here")))
    proxy = owned(many(fleet.faces("mock"), args=("--env-file", str(file), "run")))
    write(proxy.address[1])
    proxy.signal(signal.SIGHUP)
    proxy.wait_line(lambda line: "msg=reloaded" in line)
    while ask(proxy.address, "POST", "/v1/files", b"").status == 502:
        pass  # the worker takes the settings a moment after they are in force
    return proxy


@pytest.fixture(scope="module")
def chain():
    """Seven sidestreams in a row before an upstream, the one next to it first; and the upstream."""
    row = []
    with Fleet(lambda request: models("m") if request.target.endswith("/models") else answer(b"{}")) as fleet:
        env = fleet.faces("next")
        for _ in range(7):
            row.append(many({**env, "SIDESTREAM_PROVIDERS": "next"}))
            origin = "http://%s:%d" % row[-1].address
            env = {"NEXT_OPENAI_URL": origin + "/v1", "NEXT_ANTHROPIC_URL": origin}
        yield row, fleet
        for proxy in row:
            proxy.close()


CHAINED = {
    "chat": ("POST", CHAT, JSON),
    "messages": ("POST", "/v1/messages", JSON),
    "streamed body": ("POST", "/v1/files", [b"a", b"b"]),
    "models": ("GET", "/v1/models", None),
    "other": ("GET", "/v1/files/x", None),
}


@pytest.mark.parametrize("kind", CHAINED)
def test_a_chain(chain, kind):
    """Five sidestreams may stand in a row: the sixth refuses, and the others pass that on."""
    row, fleet = chain
    method, path, body = CHAINED[kind]
    for length in range(1, 8):
        response = ask(row[length - 1].address, method, path, body)
        arrived = fleet.take()
        if length <= 5:
            assert response.status == 200 and len(arrived) == 1, (length, response)
            names = arrived[0].request.get("x-sidestream-via").split(", ")
            assert len(set(names)) == len(names) == length and all(len(n) == 16 for n in names), names
        else:
            check_refused(response, 508, "loop-detected", "messages" if kind == "messages" else "chat")
            assert arrived == []
        assert response.get("x-sidestream-provider") == "next" or length == 1


# ── What never passes ───────────────────────────────────────────────────────────────────────────────────────────────


def test_our_own_request_fields_stay_here(guarded):
    """All that begins with `x-sidestream-`, known or not; the way back to us is written anew."""
    proxy, fleet = guarded
    own = [("x-sidestream-token", TOKEN), ("X-Sidestream-Provider", "mock"), ("x-sidestream-deadline", "30s"), ("x-sidestream-anything", "1")]
    own += [("X-SIDESTREAM-VIA", "somebody"), ("x-sidestreams", "kept"), ("x-other", "kept")]
    for method, path, body in [("POST", CHAT, JSON), ("POST", "/v1/messages", JSON), ("POST", "/v1/files", [b"x"]), ("GET", "/v1/models", None)]:
        assert ask(proxy.address, method, path, body, own).status == 200
        headers = fleet.one().request.headers
        assert [n for n in headers.names if n.startswith("x-sidestream-")] == ["x-sidestream-via"]
        assert headers.get("x-sidestream-via").startswith("somebody, ")
        assert headers.get("x-sidestreams") == headers.get("x-other") == "kept"


FORBIDDEN = [
    "/v1/organization/users",
    "/v1/organization",
    "/v1/organizations/x",
    "/v1/Organization/users",
    "/v1/v1/organization/users",
    "/v1/../admin",
    "/v1/./files",
    "/v1/files/..",
    "/v1/files/%2e%2e/x",
    "/v1/files/%2E./x",
    "/v1/a%2fb",
    "/v1/a%2Fb",
    "/v1/a%5cb",
    "/v1/a\\b",
    "/v1//files",
    "/v1/files//x",
    "/v1/a%00b",
    "/v1/",
    "/v1",
    "/files",
    "/v2/files",
    "/metrics",
    "/healthz",
    "/v1/models/..%2forganization%2fusers",
    "/v1/models/a%2f%2e%2e%2fb",
]


@pytest.mark.parametrize("prefix", ["", "/mock", "/small"])
def test_paths_that_are_never_forwarded(guarded, prefix):
    proxy, fleet = guarded
    for path in FORBIDDEN:
        for method, body in [("GET", None), ("POST", b"{}"), ("DELETE", None)]:
            response = ask(proxy.address, method, prefix + path, body, [("Authorization", f"Bearer {TOKEN}"), ("x-sidestream-provider", "mock")])
            assert response.status in (400, 404), (method, prefix + path, response)
            assert response.get("x-sidestream-error"), response
    # A prefix is taken off once, and only a name of an active provider is one.
    for path in ("/mock/mock/v1/files", "/mock/small/v1/files", "/openai/v1/files", "/MOCK/v1/files", "/mock%2fv1/files", "//mock/v1/files"):
        assert ask(proxy.address, "GET", path, None, [("Authorization", f"Bearer {TOKEN}")]).status in (400, 404), path
    assert fleet.take() == []
