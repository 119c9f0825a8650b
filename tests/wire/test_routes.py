"""Which model goes where, end to end: by rule, by name, by prefix, by field; and that nothing but the model's name is
changed on the way."""

import json

import pytest

from support.fleet import Fleet, dead_port, many
from support.upstream import SSE_HEAD, LAST_CHUNK, Upstream, answer, chunk
from support.wire import ask

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
FACES = {
    "openai": "openai",
    "anthropic": "anthropic",
    "zai": "openai anthropic",
    "groq": "openai",
    "openrouter": "openai anthropic",
    "ollama": "openai anthropic",
    "fireworks": "openai",
    "my-box": "openai anthropic",
}
ROUTES = """
fast -> groq/llama-3.3-70b-versatile
"claude-*[1m]" -> zai/glm-4.6-long ; claude-*haiku* -> zai/glm-4.5-air
ruled-*-openai -> zai; exact-openai -> zai
"two words, a comma" -> openrouter/"an, odd; name"
forced -> zai/* face=openai; forced-a-* -> zai face=anthropic
spoken[api=messages] -> zai/of-messages; spoken[api=responses] -> openai/of-responses; spoken -> groq/of-chat
told[stream] -> groq/streaming; told -> groq/whole
first-of-two -> groq/first; first-of-two -> openai/second
arrow->->my-box/odd
@cf/* -> my-box/*
shadow/* -> openai
"""


@pytest.fixture(scope="module")
def routed():
    with Fleet() as fleet:
        env = {"SIDESTREAM_PROVIDERS": ",".join(FACES), "SIDESTREAM_ROUTES": ROUTES.replace("arrow->->", '"arrow->" -> ')}
        for name, faces in FACES.items():
            env |= fleet.faces(name, faces)
        proxy = many(env)
        yield proxy, fleet
        proxy.close()


@pytest.fixture(scope="module")
def unruled():
    """The same providers, without a rule."""
    with Fleet() as fleet:
        env = {"SIDESTREAM_PROVIDERS": ",".join(FACES)}
        for name, faces in FACES.items():
            env |= fleet.faces(name, faces)
        proxy = many(env)
        yield proxy, fleet
        proxy.close()


def body_of(model: str, **more) -> bytes:
    """With what a rewriting of JSON would not keep: spaces, order, escapes, a number's digits, members twice."""
    head = '{ "z":1.0e2,\t"a":"\\u00e9\\/",  "model" : %s, "model_info":{"model":"inner"}' % json.dumps(model, ensure_ascii=False)
    tail = "".join(f', "{k}": {json.dumps(v)}' for k, v in more.items())
    return (head + ',"messages":[{"role":"user","content":"a \\"model\\":\\"x\\" ü"}] ,"big":12345678901234567890 ' + tail + "}\n").encode()


def check(stage, path: str, model: str, wanted: tuple[str, str, str], fields=(), **more) -> None:
    """`wanted` is provider, face, and the provider's name of the model."""
    proxy, fleet = stage
    provider, face, name = wanted
    sent = body_of(model, **more)
    response = ask(proxy.address, "POST", path, sent, [("Content-Type", "application/json"), *fields])
    assert response.status == 200, response
    arrived = fleet.one()
    assert (arrived.provider, arrived.face, arrived.model) == (provider, face, name)
    written = json.dumps(model, ensure_ascii=False).encode()
    assert arrived.request.body == (sent if name == model else sent.replace(b'"model" : ' + written, b'"model" : ' + json.dumps(name).encode()))
    assert int(arrived.request.get("content-length")) == len(arrived.request.body)
    assert response.get("x-sidestream-provider") == provider
    assert response.get("x-sidestream-model") == name
    assert response.get("x-sidestream-attempts") == "1"
    assert response.body == b'{"ok":"here"}'


# ── Rules ───────────────────────────────────────────────────────────────────────────────────────────────────────────

RULED = {
    # (path, model): (provider, face, its name of the model)
    (CHAT, "fast"): ("groq", "openai", "llama-3.3-70b-versatile"),
    (RESPONSES, "fast"): ("groq", "openai", "llama-3.3-70b-versatile"),
    (CHAT, "claude-opus-4[1m]"): ("zai", "openai", "glm-4.6-long"),
    (MESSAGES, "claude-opus-4[1m]"): ("zai", "anthropic", "glm-4.6-long"),
    (MESSAGES, "claude-*[1m]"): ("zai", "anthropic", "glm-4.6-long"),
    (MESSAGES, "claude-haiku-4-5"): ("zai", "anthropic", "glm-4.5-air"),
    (MESSAGES, "claude-3-5-haiku-20241022"): ("zai", "anthropic", "glm-4.5-air"),
    # No rule: the family.
    (MESSAGES, "claude-sonnet-4@20250514"): ("anthropic", "anthropic", "claude-sonnet-4@20250514"),
    # A suffix is taken off but where a rule has the whole name.
    (CHAT, "ruled-x-openai"): ("zai", "openai", "ruled-x"),
    (CHAT, "exact-openai"): ("zai", "openai", "exact-openai"),
    (CHAT, "two words, a comma"): ("openrouter", "openai", "an, odd; name"),
    (CHAT, "forced"): ("zai", "openai", "forced"),
    (MESSAGES, "forced-a-b"): ("zai", "anthropic", "forced-a-b"),
    (CHAT, "spoken"): ("groq", "openai", "of-chat"),
    (RESPONSES, "spoken"): ("openai", "openai", "of-responses"),
    (MESSAGES, "spoken"): ("zai", "anthropic", "of-messages"),
    (CHAT, "told"): ("groq", "openai", "whole"),
    (CHAT, "first-of-two"): ("groq", "openai", "first"),
    (CHAT, "arrow->"): ("my-box", "openai", "odd"),
    (CHAT, "@cf/meta/llama-3"): ("my-box", "openai", "@cf/meta/llama-3"),
    (MESSAGES, "@cf/meta/llama-3"): ("my-box", "anthropic", "@cf/meta/llama-3"),
    (CHAT, "shadow/x"): ("openai", "openai", "shadow/x"),
    ("/v1/completions", "fast"): ("groq", "openai", "llama-3.3-70b-versatile"),
    ("/v1/embeddings", "fast"): ("groq", "openai", "llama-3.3-70b-versatile"),
    ("/v1/messages/count_tokens", "claude-haiku-4-5"): ("zai", "anthropic", "glm-4.5-air"),
}


@pytest.mark.parametrize("path, model", RULED)
def test_rules(routed, path, model):
    check(routed, path, model, RULED[path, model])


def test_the_condition_stream(routed):
    check(routed, CHAT, "told", ("groq", "openai", "streaming"), stream=True)
    check(routed, CHAT, "told", ("groq", "openai", "whole"), stream=False)


# ── Names, without a rule ───────────────────────────────────────────────────────────────────────────────────────────

NAMED = {
    (CHAT, "ollama/llama3.1:8b"): ("ollama", "openai", "llama3.1:8b"),
    (MESSAGES, "ollama/llama3.1:8b"): ("ollama", "anthropic", "llama3.1:8b"),
    (CHAT, "openrouter/meta-llama/llama-3.1-70b:free"): ("openrouter", "openai", "meta-llama/llama-3.1-70b:free"),
    (CHAT, "ft:gpt-4o:org::id"): ("openai", "openai", "ft:gpt-4o:org::id"),
    (MESSAGES, "claude-sonnet-4@20250514"): ("anthropic", "anthropic", "claude-sonnet-4@20250514"),
    (MESSAGES, "claude-opus-4[1m]"): ("anthropic", "anthropic", "claude-opus-4[1m]"),
    (CHAT, "my-box/@cf/meta/llama-3"): ("my-box", "openai", "@cf/meta/llama-3"),
    (CHAT, "groq/groq/compound"): ("groq", "openai", "groq/compound"),
    (CHAT, "groq/compound"): ("groq", "openai", "compound"),
    (CHAT, "accounts/fireworks/models/x"): ("fireworks", "openai", "accounts/fireworks/models/x"),
    (CHAT, "glm-4.6-openai"): ("zai", "openai", "glm-4.6"),
    (MESSAGES, "glm-4.6-anthropic"): ("zai", "anthropic", "glm-4.6"),
    (MESSAGES, "zai/glm-4.6-anthropic"): ("zai", "anthropic", "glm-4.6"),
    (CHAT, "glm-4.6"): ("zai", "openai", "glm-4.6"),
    (MESSAGES, "glm-4.6"): ("zai", "anthropic", "glm-4.6"),
    # No suffix where a provider has one face.
    (CHAT, "groq/some-openai"): ("groq", "openai", "some-openai"),
    (CHAT, "gpt-5-mini"): ("openai", "openai", "gpt-5-mini"),
    (RESPONSES, "o3"): ("openai", "openai", "o3"),
    ("/v1/embeddings", "text-embedding-3-large"): ("openai", "openai", "text-embedding-3-large"),
    (CHAT, "my-box/größe"): ("my-box", "openai", "größe"),
}


@pytest.mark.parametrize("path, model", NAMED)
def test_names(unruled, path, model):
    wanted = NAMED[path, model]
    if not wanted[2].isascii():
        # Such a name fits no header field: it is not told.
        proxy, fleet = unruled
        response = ask(proxy.address, "POST", path, body_of(model))
        assert response.status == 200 and response.get("x-sidestream-model") is None
        arrived = fleet.one()
        assert (arrived.provider, arrived.face, arrived.model) == wanted
        return
    check(unruled, path, model, wanted)


@pytest.mark.parametrize("way", ["prefix", "prefix without /v1", "prefix with it twice", "field"])
def test_a_picked_provider_gets_the_name_as_it_stands(routed, way):
    """No rule is asked, and nothing is taken off but a suffix."""
    for model, name in [("fast", "fast"), ("groq/compound", "groq/compound"), ("claude-haiku-4-5", "claude-haiku-4-5"), ("glm-4.6-openai", "glm-4.6")]:
        for provider in ("zai", "my-box"):
            before, fields = {
                "prefix": (f"/{provider}", []),
                "prefix without /v1": (f"/{provider}", []),
                "prefix with it twice": (f"/{provider}/v1", []),
                "field": ("", [("X-Sidestream-Provider", provider)]),
            }[way]
            path = CHAT.removeprefix("/v1") if way == "prefix without /v1" else CHAT
            check(routed, before + path, model, (provider, "openai", name), fields)


def test_a_prefix_goes_before_the_field(routed):
    check(routed, "/zai" + CHAT, "x", ("zai", "openai", "x"), [("x-sidestream-provider", "groq")])


PATHS = {
    # what the client asks for: (method, target, fields), where it arrives
    "files of an OpenAI client": ("GET", "/v1/files/f-1/content?x=%20y", [], "/openai/openai/v1/files/f-1/content?x=%20y"),
    "files of an Anthropic client": ("GET", "/v1/files/f-1", [("anthropic-version", "2023-06-01")], "/anthropic/anthropic/v1/files/f-1"),
    "files with x-api-key": ("GET", "/v1/files/f-1", [("x-api-key", "k")], "/anthropic/anthropic/v1/files/f-1"),
    "batches of messages": ("POST", "/v1/messages/batches", [], "/anthropic/anthropic/v1/messages/batches"),
    "a stored response": ("DELETE", "/v1/responses/r-1", [], "/openai/openai/v1/responses/r-1"),
    "by prefix": ("GET", "/zai/v1/files/f-1", [], "/zai/openai/v1/files/f-1"),
    "by prefix, Anthropic": ("GET", "/zai/v1/files/f-1", [("anthropic-version", "2023-06-01")], "/zai/anthropic/v1/files/f-1"),
    "by field": ("GET", "/v1/files/f-1", [("x-sidestream-provider", "groq")], "/groq/openai/v1/files/f-1"),
    "v1 twice": ("GET", "/v1/v1/files/f-1", [], "/openai/openai/v1/files/f-1"),
    "a model by its name": ("GET", "/groq/v1/models/groq/compound", [], "/groq/openai/v1/models/groq/compound"),
    "beta": ("POST", "/zai/v1/messages/batches?beta=true", [], "/zai/anthropic/v1/messages/batches?beta=true"),
}


@pytest.mark.parametrize("rule", PATHS)
def test_paths_without_a_model(routed, rule):
    proxy, fleet = routed
    method, target, fields, wanted = PATHS[rule]
    assert ask(proxy.address, method, target, b"" if method == "POST" else None, fields).status == 200
    (request,) = fleet.requests
    fleet.take()
    assert (request.method, request.target) == (method, wanted)


# ── Nowhere to go ───────────────────────────────────────────────────────────────────────────────────────────────────

NOWHERE = {
    # name: (path, model, fields, status, reason, what the message names)
    "unknown model": (CHAT, "llama-9", [], 404, "unknown-model", ['"llama-9"', "SIDESTREAM_ROUTES", "openai"]),
    "unknown model, Messages": (MESSAGES, "llama-9", [], 404, "unknown-model", ['"llama-9"', "SIDESTREAM_ROUTES"]),
    "unknown model, Responses": (RESPONSES, "@cf/meta/llama-3", [], 404, "unknown-model", ["@cf/meta/llama-3"]),
    "a provider's name alone": (CHAT, "groq/", [], 404, "unknown-model", ["groq/"]),
    "an inactive provider": (CHAT, "mistral/x", [], 404, "unknown-model", ["mistral/x"]),
    "Responses without an OpenAI face": (RESPONSES, "claude-3", [], 501, "translation-needed", ["anthropic", "ANTHROPIC_OPENAI_URL"]),
    "embeddings without an OpenAI face": ("/v1/embeddings", "claude-3", [], 501, "translation-needed", ["anthropic", "/embeddings"]),
    "the other face": (RESPONSES, "glm-4.6-anthropic", [], 501, "translation-needed", ["zai"]),
    "a prefix without the face": ("/anthropic" + RESPONSES, "x", [], 501, "translation-needed", ["anthropic"]),
    "a field that names nobody": (CHAT, "x", [("x-sidestream-provider", "nobody")], 400, "unknown-provider", ["nobody", "my-box"]),
    "a field in capitals": (MESSAGES, "x", [("x-sidestream-provider", "ZAI")], 400, "unknown-provider", ["ZAI"]),
    "a prefix that names nobody": ("/nobody" + MESSAGES, "x", [], 404, "not-found", []),
}


@pytest.mark.parametrize("rule", NOWHERE)
def test_nowhere_to_go(unruled, rule):
    """Said in the client's dialect, with what to do; nobody was asked."""
    proxy, fleet = unruled
    path, model, fields, status, reason, named = NOWHERE[rule]
    response = ask(proxy.address, "POST", path, body_of(model), fields)
    assert (response.status, response.get("x-sidestream-error")) == (status, reason), response
    error = json.loads(response.body)
    assert all(part in error["error"]["message"] for part in named), error
    of_messages = "messages" in path or bool(fields and fields[0][0].startswith("anthropic"))
    if of_messages:
        assert error["type"] == "error" and error["error"]["type"] == {404: "not_found_error"}.get(status, "api_error" if status > 499 else "invalid_request_error")
    else:
        assert error["error"]["code"] == reason and "type" in error["error"]
    assert response.get("x-sidestream-provider") is None
    assert fleet.take() == [] and fleet.failures == []


@pytest.mark.parametrize("model", [None, 7, ["m"], ""], ids=repr)
def test_no_model_in_the_body(unruled, model):
    """It goes to the first provider with the face: that one says what it misses."""
    proxy, fleet = unruled
    for path, wanted in [(CHAT, "openai"), (MESSAGES, "anthropic")]:
        body = json.dumps({"model": model} if model is not None else {"messages": []}).encode()
        assert ask(proxy.address, "POST", path, body).status == 200
        arrived = fleet.one()
        assert (arrived.provider, arrived.request.body) == (wanted, body)


# ── Several targets ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def ordered():
    """Provider `closed` refuses connections; `cut` takes them and ends them; `sick` answers 500."""

    def cut(peer):
        peer.request_head()

    with Fleet(lambda request: answer(b"sick", "500 X") if request.target.startswith("/sick") else answer(b"{}")) as fleet, Upstream(cut) as cutting:
        closed = f"http://127.0.0.1:{dead_port()}"
        env = {
            "SIDESTREAM_PROVIDERS": "closed,cut,sick,well,small,nameless",
            "SIDESTREAM_WARM_UP": "off",  # tries are counted: one more where a spare was cut
            "CLOSED_OPENAI_URL": closed + "/v1",
            "CLOSED_ANTHROPIC_URL": closed,
            "CUT_OPENAI_URL": f"http://127.0.0.1:{cutting.port}/v1",
            "NAMELESS_OPENAI_URL": "http://no-such-host.invalid/v1",
            # One try each, and none passed over for what it did in an earlier case.
            **{f"{name}_{row}": value for name in ("CLOSED", "CUT", "SICK", "NAMELESS") for row, value in [("MAX_RETRIES", "0"), ("BREAKER", "off")]},
            "SIDESTREAM_ROUTES": """
                a -> closed/one, well/two
                b -> closed, closed/x, closed
                c -> cut, well
                d -> sick, well
                e -> well, closed
                f -> closed, small, well
                g -> small, well
                h -> closed/x, sick/y, well
                i -> nameless, well/kept
                p-* -> closed/p, well/*
            """,
        }
        for name, faces in {"sick": "openai anthropic", "well": "openai anthropic", "small": "openai"}.items():
            env |= fleet.faces(name, faces)
        proxy = many(env)
        yield proxy, fleet
        proxy.close()


ORDERED = {
    # (path, model): (status, provider, model that arrives there, tries)
    (CHAT, "a"): (200, "well", "two", 2),
    (MESSAGES, "a"): (200, "well", "two", 2),
    (CHAT, "b"): (502, "closed", "b", 3),
    (CHAT, "c"): (200, "well", "c", 2),
    (CHAT, "d"): (200, "well", "d", 2),
    (CHAT, "e"): (200, "well", "e", 1),
    (CHAT, "f"): (200, "small", "f", 2),
    (MESSAGES, "f"): (200, "well", "f", 2),
    (CHAT, "g"): (200, "small", "g", 1),
    # Without `max_tokens` it is no Messages request: it cannot be translated, but whoever speaks Messages may say so.
    (MESSAGES, "g"): (200, "well", "g", 1),
    (CHAT, "h"): (200, "well", "h", 3),
    (CHAT, "i"): (200, "well", "kept", 2),
    (CHAT, "p-7"): (200, "well", "p-7", 2),
}


@pytest.mark.parametrize("path, model", ORDERED)
def test_ordered_targets(ordered, path, model):
    """The next one is asked when no connection can be had, none answers, or the answer is a failure of the upstream's."""
    proxy, fleet = ordered
    fleet_providers = ("sick", "well", "small")
    status, provider, name, tries = ORDERED[path, model]
    sent = body_of(model)
    response = ask(proxy.address, "POST", path, sent)
    assert response.status == status, response
    told = [response.get("x-sidestream-" + n) for n in ("provider", "model", "attempts")]
    assert told == ([provider, name, str(tries)] if provider else [None] * 3)
    arrived = [one for one in fleet.take() if one.provider != "sick"]
    answered = provider in fleet_providers
    assert [(one.provider, one.model) for one in arrived] == ([(provider, name)] if answered else [])
    if answered and name == model:
        assert arrived[0].request.body == sent
    elif answered:
        assert arrived[0].request.body == sent.replace(b'"model" : "%s"' % model.encode(), b'"model" : "%s"' % name.encode())
    if status == 502:
        error = json.loads(response.body)["error"]
        assert response.get("x-sidestream-error") in ("upstream-connect", "upstream-closed") and ("closed" in error["message"] or "cut" in error["message"])


def test_a_streamed_answer_keeps_the_headers(owned):
    """The same fields on an event stream, and on the line of the log."""
    fleet = owned(Fleet(lambda request: SSE_HEAD + chunk(b"data: {}\n\n") + LAST_CHUNK))
    env = {**fleet.faces("well"), "SIDESTREAM_PROVIDERS": "gone,well", "GONE_ENDPOINT_URL": f"http://127.0.0.1:{dead_port()}/v1"}
    proxy = owned(many({**env, "SIDESTREAM_ROUTES": "m -> gone, well/real"}))
    response = ask(proxy.address, "POST", CHAT, body_of("m", stream=True))
    told = [response.get("x-sidestream-" + n) for n in ("provider", "model", "attempts")]
    assert (response.body, told) == (b"data: {}\n\n", ["well", "real", "2"])
    line = proxy.wait_line(lambda line: "msg=request" in line)
    assert "provider=well" in line and "model=real" in line and "attempts=2" in line
