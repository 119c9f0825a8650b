"""Whose credential goes where. Every secret here holds the word `canary`, so that one that strays is found wherever it
turns up: in a request to a provider that it is not for, in a log, an answer, a page of numbers, a report."""

import re
import signal
import subprocess

import pytest

from support.fleet import Fleet, Internet, dead_port, many, models, ok
from support.process import BINARY
from support.upstream import answer
from support.wire import ask

CANARY = re.compile(rb"canary-[a-z0-9-]+")
TOKEN = "canary-token-first"
JSON_BODY = b'{"model":"%s","input":"x","messages":[]}'

# ── The providers: how they come to their credential, and what may be seen of it there ──────────────────────────────

PROVIDERS = {
    # name: (variables behind the name, canaries that may arrive there)
    "keyed": ({"_API_KEY": "canary-key-keyed"}, {"canary-key-keyed"}),
    "turn": ({"_API_KEYS": "canary-key-one, canary-key-two,canary-key-three"}, {"canary-key-one", "canary-key-two", "canary-key-three"}),
    "filed": ({}, {"canary-key-filed"}),
    "headed": (
        {"_HEADERS": "x-team: canary-head-team; Authorization: Basic canary-head-basic", "_API_KEY": ""},
        {"canary-head-team", "canary-head-basic"},
    ),
    "both": ({"_HEADERS": "x-both: canary-head-both", "_API_KEY": "canary-key-both"}, {"canary-head-both", "canary-key-both"}),
    "bare": ({}, set()),
    "own": ({"_API_KEY": "client"}, {"canary-client"}),
    # A client's own credential beside a configured one: the configured one takes the field.
    "own-headed": (
        {"_API_KEY": "client", "_HEADERS": "authorization: Bearer canary-head-own"},
        {"canary-client", "canary-head-own"},
    ),
}
# Nobody listens there.
DOWN = {"down": "canary-key-down", "down-own": "client"}

FORMS = {
    # name: (fields, those that a provider marked `client` gets)
    "bearer": ([("Authorization", "Bearer canary-client")], ["authorization"]),
    "basic": ([("Authorization", "Basic canary-client")], ["authorization"]),
    "lower case": ([("authorization", "bearer canary-client")], ["authorization"]),
    "bare value": ([("AUTHORIZATION", "canary-client")], ["authorization"]),
    "x-api-key": ([("x-api-key", "canary-client")], ["x-api-key"]),
    "api-key": ([("api-key", "canary-client")], ["api-key"]),
    "x-goog-api-key": ([("X-Goog-Api-Key", "canary-client")], ["x-goog-api-key"]),
    "cookie": ([("Cookie", "session=canary-client")], ["cookie"]),
    "proxy-authorization": ([("Proxy-Authorization", "Basic canary-client")], []),
    "named by connection": ([("Connection", "x-api-key"), ("x-api-key", "canary-client")], []),
    "all": (
        [(n, "canary-client") for n in ("Authorization", "x-api-key", "api-key", "x-goog-api-key", "Cookie", "Proxy-Authorization")],
        ["authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"],
    ),
}

KINDS = {
    # name: (method, path below a prefix, body)
    "chat": ("POST", "/v1/chat/completions", JSON_BODY),
    "completions": ("POST", "/v1/completions", JSON_BODY),
    "embeddings": ("POST", "/v1/embeddings", JSON_BODY),
    "responses": ("POST", "/v1/responses", JSON_BODY),
    "messages": ("POST", "/v1/messages?beta=true", JSON_BODY),
    "count_tokens": ("POST", "/v1/messages/count_tokens", JSON_BODY),
    "files": ("POST", "/v1/files", [b"first part ", b"second part"]),
    "models": ("GET", "/v1/models", None),
    "model": ("GET", "/v1/models/m", None),
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    key = tmp_path_factory.mktemp("keys") / "key"
    key.write_text("canary-key-filed\n")
    with Fleet(reply) as fleet:
        proxy = many(environment(fleet, key))
        yield proxy, fleet
        proxy.close()
        assert "canary" not in proxy.log


def environment(fleet, key) -> dict[str, str]:
    env = {
        "SIDESTREAM_PROVIDERS": ",".join([*PROVIDERS, *DOWN]),
        "SIDESTREAM_TOKENS": f"canary-token-other,{TOKEN}",
        "SIDESTREAM_ROUTES": "; ".join(f"{start}>{end} -> {start}, {end}" for start in DOWN for end in PROVIDERS),
        "SIDESTREAM_LOG": "debug",
        # A spare that its other end closes meanwhile would be one try more.
        "SIDESTREAM_WARM_UP": "off",
        **{f"{name.upper().replace('-', '_')}_WARM_CONNECTIONS": "0" for name in PROVIDERS},
        "FILED_API_KEY_FILE": str(key),
    }
    for name, (variables, _) in PROVIDERS.items():
        prefix = name.upper().replace("-", "_")
        env |= fleet.faces(name) | {prefix + suffix: value for suffix, value in variables.items()}
    port = dead_port()
    for name, credential in DOWN.items():
        prefix = name.upper().replace("-", "_")
        base = f"http://127.0.0.1:{port}"
        env |= {f"{prefix}_OPENAI_URL": base + "/v1", f"{prefix}_ANTHROPIC_URL": base, f"{prefix}_API_KEY": credential, f"{prefix}_BREAKER": "off"}
    return env


def reply(request) -> bytes:
    return models("m") if request.target.partition("?")[0].endswith("/models") else ok(request)


def judge(fleet, wanted: str | None = None) -> list:
    """No request that arrived carries what is not for its provider; gives them."""
    arrived = fleet.take()
    for one in arrived:
        seen = {c.decode() for c in CANARY.findall(one.request.raw_head + one.request.body)}
        assert seen <= PROVIDERS[one.provider][1], f"{one.provider} was sent {seen}"
        assert not [n for n in one.request.headers.names if n.startswith("x-sidestream-") and n != "x-sidestream-via"]
        assert "proxy-authorization" not in one.request.headers.names
        check_own_credential(one)
    if wanted:
        assert [one.provider for one in arrived] == [wanted]
    return arrived


def check_own_credential(one) -> None:
    """What the provider is configured with is there, once, in the field that its face wants."""
    headers = one.request.headers
    in_field = "x-api-key" if one.face == "anthropic" else "authorization"
    start = "" if one.face == "anthropic" else "Bearer "
    match one.provider:
        case "keyed" | "filed" | "both":
            assert headers.get(in_field) == f"{start}canary-key-{one.provider}"
        case "turn":
            assert headers.get(in_field) in [f"{start}canary-key-{n}" for n in ("one", "two", "three")]
        case "headed":
            assert headers.get("authorization") == "Basic canary-head-basic" and headers.get("x-team") == "canary-head-team"
        case "own-headed":
            assert headers.get("authorization") == "Bearer canary-head-own"
    if one.provider == "both":
        assert headers.get("x-both") == "canary-head-both"


# ── Each endpoint, on each way to a provider ────────────────────────────────────────────────────────────────────────


def send(proxy, kind: str, provider: str, way: str, fields) -> object:
    """Asks `provider` by its name in the model, by a prefix of the path, or by a field; None where there is no such way."""
    method, path, body = KINDS[kind]
    fields = [("x-sidestream-token", TOKEN), *fields]
    named = JSON_BODY % (f"{provider}/m" if way == "model" else "m").encode()
    if way == "model" and body is not JSON_BODY:
        return None
    if way == "prefix":
        path = f"/{provider}{path}"
    if way == "field":
        fields.append(("x-sidestream-provider", provider))
    return ask(proxy.address, method, path, named if body is JSON_BODY else body, fields)


@pytest.mark.parametrize("way", ["model", "prefix", "field"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_credential_reaches_nobody_but_whom_it_is_for(stage, kind, way):
    proxy, fleet = stage
    for provider in PROVIDERS:
        for form, (fields, passed) in FORMS.items():
            response = send(proxy, kind, provider, way, fields)
            if response is None:
                continue
            assert response.status == 200, (provider, form, response)
            assert not CANARY.search(response.raw_head + response.body)
            (arrived,) = judge(fleet, provider)
            names = [n for n in arrived.request.headers.names if n in FORMS["all"][1]]
            if provider == "own":
                assert names == passed, form
                assert all(b"canary-client" in arrived.request.headers.all(n)[0] for n in passed)
            elif provider == "own-headed":
                assert sorted(names) == sorted({*passed, "authorization"}), form
            elif provider == "bare":
                assert names == [], form
            elif provider != "headed":
                assert len(names) == 1, form


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_merged_lists_of_models(stage, dialect):
    """One request of ours to each provider: each carries what is for it."""
    proxy, fleet = stage
    headers = [("anthropic-version", "2023-06-01")] if dialect == "anthropic" else []
    for form, (fields, passed) in FORMS.items():
        response = ask(proxy.address, "GET", "/v1/models", None, [("x-sidestream-token", TOKEN), *headers, *fields])
        assert response.status == 200 and not CANARY.search(response.raw_head + response.body), response
        arrived = judge(fleet)
        # What was listed to nobody in particular is remembered for a while.
        assert {"own", "own-headed"} <= {one.provider for one in arrived} <= {*PROVIDERS}, form
        for one in arrived:
            names = [n for n in one.request.headers.names if n in FORMS["all"][1]]
            if one.provider == "own":
                assert names == passed, form
            if one.provider == "bare":
                assert names == [], form
    assert ask(proxy.address, "GET", "/v1/models/keyed/m", None, [("x-api-key", TOKEN)]).status == 200
    judge(fleet)


@pytest.mark.parametrize("kind", [k for k, (_, _, body) in KINDS.items() if body is JSON_BODY])
def test_a_failover_carries_no_credential_on(stage, kind):
    """The first target cannot be reached; the second gets its own, whoever the first one's was for."""
    proxy, fleet = stage
    method, path, body = KINDS[kind]
    for first in DOWN:
        for second in PROVIDERS:
            for form in ("bearer", "all"):
                fields = [("x-sidestream-token", TOKEN), *FORMS[form][0]]
                response = ask(proxy.address, method, path, body % f"{first}>{second}".encode(), fields)
                assert (response.status, response.get("x-sidestream-provider")) == (200, second), response
                assert response.get("x-sidestream-attempts") == "2"
                (arrived,) = judge(fleet, second)
                if first == "down-own":
                    # The client's was meant for the first origin: it follows to no other, not even to one that may have it.
                    assert b"canary-client" not in arrived.request.raw_head


def test_several_keys_are_used_in_turn(stage):
    proxy, fleet = stage
    for _ in range(6):
        assert send(proxy, "chat", "turn", "model", []).status == 200
    keys = [one.request.get("authorization") for one in judge(fleet)]
    assert sorted(keys[:3]) == sorted(keys[3:]) and len(set(keys[:3])) == 3 and keys[:3] == keys[3:], keys


TOKENS = {
    # How a client shows its token, and what else it sends: name: (fields, fields that a provider marked `client` gets)
    "bearer": ([("Authorization", f"Bearer {TOKEN}")], {}),
    "bearer in small letters": ([("authorization", f"bearer   {TOKEN}")], {}),
    "x-api-key": ([("x-api-key", TOKEN)], {}),
    "a scheme in x-api-key": ([("X-Api-Key", f"Bearer {TOKEN}")], {}),
    "x-sidestream-token": ([("X-Sidestream-Token", TOKEN), ("Authorization", "Bearer canary-client")], {"authorization": "Bearer canary-client"}),
    "bearer and a key": ([("Authorization", f"Bearer {TOKEN}"), ("x-api-key", "canary-client")], {"x-api-key": "canary-client"}),
    "a key and bearer": ([("x-api-key", TOKEN), ("Authorization", "Bearer canary-client")], {"authorization": "Bearer canary-client"}),
    "two tokens": ([("x-api-key", TOKEN), ("Authorization", "Bearer canary-token-other")], {}),
    "everywhere": ([(n, TOKEN) for n in ("authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "proxy-authorization", "x-sidestream-token")], {}),
}


@pytest.mark.parametrize("form", TOKENS)
def test_tokens_never_go_upstream(stage, form):
    """Also not to providers that get the client's own credential; the credential beside the token still does."""
    proxy, fleet = stage
    fields, passed = TOKENS[form]
    for provider in PROVIDERS:
        for method, path, body in KINDS.values():
            body = body % b"m" if isinstance(body, bytes) else body
            response = ask(proxy.address, method, f"/{provider}{path}", body, fields)
            assert response.status == 200, response
            (arrived,) = judge(fleet, provider)
            if provider == "own":
                got = {n: arrived.request.get(n) for n in arrived.request.headers.names if n in FORMS["all"][1]}
                assert got == passed
    assert ask(proxy.address, "GET", "/v1/models", None, fields).status == 200
    judge(fleet)


def test_a_credential_in_the_query_stays_behind_like_any_other(stage):
    """Nothing of ours is read from a query; the rest of it goes on as it stands, and none of it is logged."""
    proxy, fleet = stage
    target = "/bare/v1/chat/completions?api_key=canary-query&x=%20"
    assert ask(proxy.address, "POST", target, JSON_BODY % b"m", [("x-api-key", TOKEN)]).status == 200
    assert fleet.one().path == "/chat/completions?x=%20"
    assert ask(proxy.address, "GET", "/bare/v1/files?key=canary-query", None, [("x-api-key", TOKEN)]).status == 200
    assert fleet.one().request.target.endswith("/v1/files")
    # A token in the query is none.
    assert ask(proxy.address, "POST", f"/bare/v1/chat/completions?api_key={TOKEN}", JSON_BODY % b"m").status == 401
    assert fleet.take() == []


# ── Without a key: the vendors' own clients at the vendors' own hosts ───────────────────────────────────────────────

VENDORS = {
    # (path, model): the host that answers, the fields that it gets of FORMS["all"]
    ("/v1/chat/completions", "gpt-5"): ("api.openai.com", True),
    ("/v1/responses", "gpt-5"): ("api.openai.com", True),
    ("/v1/embeddings", "text-embedding-3-small"): ("api.openai.com", True),
    ("/v1/messages", "claude-sonnet-4-5"): ("api.anthropic.com", True),
    ("/v1/messages/count_tokens", "claude-sonnet-4-5"): ("api.anthropic.com", True),
    # A provider without a key that is no vendor of the client's.
    ("/groq/v1/chat/completions", "x"): ("api.groq.com", False),
}


@pytest.fixture(scope="module")
def vendors(authority):
    with Internet(authority("vendors"), reply) as internet:
        proxy = many({**internet.env, "SIDESTREAM_PROVIDERS": "openai,anthropic,groq", "SIDESTREAM_LOG": "debug"})
        yield proxy, internet
        proxy.close()
        assert "canary" not in proxy.log


@pytest.mark.parametrize("path, model", VENDORS)
def test_without_a_key_the_vendors_own_clients(vendors, path, model):
    proxy, internet = vendors
    wanted, passed = VENDORS[path, model]
    response = ask(proxy.address, "POST", path, JSON_BODY % model.encode(), FORMS["all"][0])
    assert response.status == 200, response
    ((host, request),) = internet.take()
    names = [n for n in request.headers.names if n in FORMS["all"][1]]
    assert (host, names) == (wanted, FORMS["all"][1] if passed else [])


@pytest.mark.parametrize("dialect, own", [("openai", "api.openai.com"), ("anthropic", "api.anthropic.com")])
def test_the_merged_list_shows_a_credential_to_its_vendor_alone(vendors, dialect, own):
    proxy, internet = vendors
    headers = [("anthropic-version", "2023-06-01")] if dialect == "anthropic" else []
    fields = [("Authorization", "Bearer canary-client"), *headers]
    assert ask(proxy.address, "GET", "/v1/models", None, fields).status == 200
    seen = {host: request.get("authorization") for host, request in internet.take()}
    # What was listed to nobody in particular is remembered.
    seen.setdefault("api.groq.com", None)
    assert seen == {h: "Bearer canary-client" if h == own else None for h in ("api.openai.com", "api.anthropic.com", "api.groq.com")}


def test_a_vendor_that_was_moved_gets_no_credential(owned):
    """The rule is about the built-in hosts: a URL of another makes it any other provider."""
    fleet = owned(Fleet())
    env = {"SIDESTREAM_PROVIDERS": "openai,anthropic", **fleet.faces("openai", "openai"), **fleet.faces("anthropic", "anthropic")}
    proxy = owned(many(env))
    for path, model in [("/v1/chat/completions", b"gpt-5"), ("/v1/messages", b"claude-x"), ("/openai/v1/files", b"")]:
        fields = FORMS["bearer" if path.endswith("files") else "all"][0]
        assert ask(proxy.address, "POST", path, JSON_BODY % model, fields).status == 200
        assert CANARY.search(fleet.one().request.raw_head) is None


def test_a_redirect_takes_no_key_along(owned):
    """None is followed."""
    other = owned(Fleet())
    fleet = owned(Fleet(lambda request: answer(b"", "307 X", f"Location: http://127.0.0.1:{other.port}/a/openai/v1/x\r\n")))
    proxy = owned(many({**fleet.faces("keyed"), "SIDESTREAM_PROVIDERS": "keyed,bare", **fleet.faces("bare"), "KEYED_API_KEY": "canary-key-keyed"}))
    assert ask(proxy.address, "POST", "/keyed/v1/chat/completions", JSON_BODY % b"m").status == 307
    ask(proxy.address, "GET", "/v1/models")
    assert other.peers == []


# ── No output of ours shows any ─────────────────────────────────────────────────────────────────────────────────────


def test_no_output_shows_a_canary(owned, tmp_path):
    """Requests of every fate, reloads good and bad, own endpoints, drain: in text and in JSON at the level `debug`."""
    key, env_file = tmp_path / "key", tmp_path / "env"
    key.write_text("canary-key-filed")
    fleet = owned(Fleet(odd))
    good = "SIDESTREAM_LOG_FORMAT=%s\nKEYED_HEADERS=x-reloaded: canary-head-reloaded\n"
    for style in ("text", "json"):
        env_file.write_text(good % style)
        env = environment(fleet, key)
        proxy = owned(many(env, args=("--env-file", str(env_file), "run")))
        said = [every_fate(proxy)]
        env_file.write_text("canary-line\nSIDESTREAM_ROUTES=canary\nKEYED_API_KEY=canary canary\nNEW_API_KEY=canary\nexport X=canary-x\n")
        proxy.signal(signal.SIGHUP)
        proxy.wait_line(lambda line: "reload refused" in line)
        env_file.write_text(good % style + "TURN_TIMEOUT=7s\n")
        proxy.signal(signal.SIGHUP)
        proxy.wait_line(lambda line: "reloaded" in line)
        said.append(every_fate(proxy))
        for path in ("/metrics", "/readyz", "/healthz", "/nothing"):
            response = ask(proxy.admin, "GET", path, None, FORMS["all"][0])
            said.append(response.raw_head + response.body)
        assert proxy.counter("sidestream_panics_total") == 0
        proxy.signal(signal.SIGTERM)
        assert proxy.wait() == 0
        assert "stopped" in proxy.lines[-1]
        assert not CANARY.search(b"".join(said) + proxy.log.encode()), proxy.log


def every_fate(proxy) -> bytes:
    """Answers, and refusals of ours, with credentials in the requests."""
    said = b""
    own = [("x-sidestream-token", TOKEN)]
    fates = [
        ("POST", "/keyed/v1/chat/completions", b"m", own, 200),
        ("POST", "/own/v1/messages?key=canary-query", b"m", own, 200),
        ("POST", "/keyed/v1/chat/completions", b"status-401", own, 401),
        ("POST", "/turn/v1/responses", b"status-500", own, 500),
        ("POST", "/keyed/v1/chat/completions", b"broken", own, 502),
        ("POST", "/down/v1/chat/completions", b"m", own, 502),
        ("POST", "/v1/chat/completions", b"nobodys", own, 404),
        ("POST", "/v1/chat/completions", b"m", [], 401),
        ("POST", "/v1/messages", b"m", [("x-api-key", "canary-token-wrong")], 401),
        ("POST", "/v1/chat/completions", b"m", [*own, ("x-sidestream-provider", "nobody")], 400),
        ("POST", "/v1/chat/completions", b"m", [*own, ("Origin", "http://evil.example")], 403),
        ("POST", "/v1/chat/completions", b"m", [*own, ("x-sidestream-via", "a,b,c,d,e,f")], 508),
        ("POST", "/v1/chat/completions", b"m", [*own, ("Transfer-Encoding", "gzip")], 400),
        ("GET", "/v1/models", None, own, 200),
        ("GET", "/v1/models/none", None, own, 404),
    ]
    for method, path, model, fields, status in fates:
        body = None if model is None else JSON_BODY % model
        rest = [] if any(n == "x-api-key" for n, _ in fields) else FORMS["all"][0]
        response = ask(proxy.address, method, path, body, [*fields, *rest])
        assert response.status == status, (path, model, response)
        said += response.raw_head + response.body
    return said


def odd(request) -> bytes:
    model = re.search(rb'"model":"([a-z0-9-]+)"', request.body)
    model = model[1].decode() if model else ""
    if model.startswith("status-"):
        return answer(b'{"error":{"message":"no"}}', f"{model[7:]} X", "Content-Type: application/json\r\n")
    return b"\0\0\r\n\r\n" if model == "broken" else reply(request)


@pytest.mark.parametrize("live", [False, True], ids=["check", "check --live"])
def test_check_shows_no_canary(owned, tmp_path, live):
    key = tmp_path / "key"
    key.write_text("canary-key-filed")
    fleet = owned(Fleet(lambda request: models("m") if request.target.startswith("/keyed") else answer(b"", "401 X")))
    env = {**environment(fleet, key), "PATH": "/bin"}
    done = subprocess.run([BINARY, "check", *["--live"] * live], env=env, capture_output=True, timeout=20)
    assert done.returncode == int(live), done
    assert b"KEYED_API_KEY" in done.stdout and not CANARY.search(done.stdout + done.stderr), done.stdout.decode()
    arrived = fleet.take()
    for one in arrived:
        assert {c.decode() for c in CANARY.findall(one.request.raw_head)} <= PROVIDERS[one.provider][1]
    assert {one.provider for one in arrived} == (set(PROVIDERS) if live else set())


WRONG = {
    # A secret in the wrong place, or with a slip: variables that are refused, and never shown.
    "two words": {"KEYED_API_KEY": "canary one"},
    "beside another": {"KEYED_API_KEY": "canary-one", "KEYED_API_KEYS": "canary-two,canary-three"},
    "as a path": {"KEYED_API_KEY_FILE": "canary-path"},
    "in a URL": {"KEYED_ENDPOINT_URL": "http://user:canary-password@127.0.0.1/v1"},
    "in a query": {"KEYED_ENDPOINT_URL": "http://127.0.0.1/v1?key=canary-query"},
    "headers without a colon": {"KEYED_HEADERS": "canary-head"},
    "a header that is ours": {"KEYED_HEADERS": "x-sidestream-token: canary-head"},
    "a credential twice": {"KEYED_API_KEY": "canary-one", "KEYED_HEADERS": "x-api-key: canary-head"},
    "a short token": {"SIDESTREAM_TOKENS": "canary,canary-long-enough"},
    "a token that is a key": {"SIDESTREAM_TOKENS": "canary-one-and-same", "KEYED_API_KEY": "canary-one-and-same"},
    "a proxy's password": {"KEYED_PROXY": "socks5://user:canary-password@127.0.0.1:1"},
}


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize("slip", WRONG)
def test_refusals_show_no_canary(command, slip):
    env = {"PATH": "/bin", "SIDESTREAM_PROVIDERS": "keyed", "KEYED_ENDPOINT_URL": "http://127.0.0.1:9/v1", **WRONG[slip]}
    done = subprocess.run([BINARY, command], env=env, capture_output=True, timeout=10)
    said = done.stdout + done.stderr
    assert done.returncode == 2 and not re.search(rb"(?i)canary", said), said.decode()
    assert any(name.encode() in done.stderr for name in WRONG[slip]), done.stderr
