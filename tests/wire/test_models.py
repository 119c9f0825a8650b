"""GET /v1/models: one list of all providers, in the shape that the client asks for; and one provider's own, untouched."""

import json

import pytest

from support.fleet import Fleet, dead_port, many, models, ok
from support.upstream import answer
from support.wire import ask

ANTHROPIC = [("anthropic-version", "2023-06-01")]
SHAPES = {"openai": [], "openai, bearer": [("Authorization", "Bearer k")], "anthropic": ANTHROPIC, "anthropic, x-api-key": [("x-api-key", "k")]}


def anthropic_list(*ids: str) -> bytes:
    data = [{"type": "model", "id": i, "display_name": f"Name of {i}", "created_at": "2025-02-19T00:00:00Z"} for i in ids]
    ends = {"first_id": ids[0], "last_id": ids[-1], "has_more": False}
    return answer(json.dumps({"data": data, **ends}).encode(), headers="Content-Type: application/json\r\n")


LISTS = {
    # path at the upstream: its list
    "/openai/openai/v1/models": models("gpt-5", "shared", "org/gpt-oss"),
    "/anthropic/anthropic/v1/models?limit=1000": anthropic_list("claude-sonnet-4-5", "claude-haiku-4-5"),
    "/groq/openai/v1/models": models("groq/compound", "shared", "llama-3.3", context_window=131072),
    "/zai/openai/v1/models": models("glm-4.6", "big/one"),
    "/zai/anthropic/v1/models?limit=1000": anthropic_list("glm-4.6"),
}
# The routes' names first, then each provider's. A provider's name stands before what would lead elsewhere without it.
IDS = ["fast", "odd name", "gpt-5", "openai/shared", "openai/org/gpt-oss", "anthropic/claude-sonnet-4-5", "anthropic/claude-haiku-4-5"]
GROQ = ["groq/groq/compound", "groq/shared", "groq/llama-3.3"]


@pytest.fixture(scope="module")
def merged():
    with Fleet(lambda request: LISTS.get(request.target) or ok(request)) as fleet:
        env = {
            **fleet.faces("openai", "openai"),
            **fleet.faces("anthropic", "anthropic"),
            **fleet.faces("groq", "openai"),
            **fleet.faces("zai"),
            "SIDESTREAM_PROVIDERS": "openai,anthropic,groq,zai",
            "SIDESTREAM_ROUTES": 'fast -> groq/llama-3.3; "odd name" -> openai/gpt-5; claude-* -> zai/glm-4.6; fast[stream] -> zai',
        }
        proxy = many(env)
        yield proxy, fleet
        proxy.close()


def listed(response) -> list:
    assert response.status == 200 and response.get("content-type") == "application/json", response
    return json.loads(response.body)["data"]


@pytest.mark.parametrize("path", ["/v1/models", "/models", "/v1/v1/models", "/v1/models/", "/v1/models?limit=20&after_id=x"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_clients_shape(merged, path, shape):
    proxy, fleet = merged
    response = ask(proxy.address, "GET", path, None, SHAPES[shape])
    data, ids = listed(response), [m["id"] for m in listed(response)]
    if shape.startswith("openai"):
        assert ids == [*IDS, *GROQ, "glm-4.6", "zai/big/one"]
        whole = json.loads(response.body)
        assert list(whole) == ["object", "data"] and whole["object"] == "list"
        assert all(m["object"] == "model" and isinstance(m["created"], int) and m["owned_by"] for m in data)
        by = {m["id"]: m for m in data}
        assert by["fast"]["owned_by"] == "groq" and by["odd name"]["owned_by"] == "openai"
        assert by["groq/llama-3.3"]["context_window"] == 131072, "what a vendor says more of its model is kept"
        assert by["anthropic/claude-haiku-4-5"] == {"id": "anthropic/claude-haiku-4-5", "object": "model", "created": 1739923200, "owned_by": "anthropic"}
    else:
        assert ids == [*IDS, *GROQ, "glm-4.6"]
        whole = json.loads(response.body)
        assert (whole["first_id"], whole["last_id"], whole["has_more"]) == ("fast", "glm-4.6", False)
        assert all(m["type"] == "model" and m["display_name"] and m["created_at"].endswith("Z") for m in data)
        by = {m["id"]: m for m in data}
        assert by["glm-4.6"]["display_name"] == "Name of glm-4.6"
        assert by["gpt-5"]["created_at"] == "2024-05-10T18:50:49Z"
    want = {"/openai/openai", "/anthropic/anthropic", "/groq/openai", "/zai/openai" if shape.startswith("openai") else "/zai/anthropic"}
    # Each provider is asked on one face, and its list remembered for a while.
    assert {one.request.target.partition("/v1/")[0] for one in fleet.take()} <= want


def test_each_listed_name_can_be_asked_for(merged):
    """What the list says leads to who has it, under the name it has there."""
    proxy, fleet = merged
    for model in listed(ask(proxy.address, "GET", "/v1/models")):
        fleet.take()
        name = model["id"]
        messages = name.startswith("anthropic/")
        path = "/v1/messages" if messages else "/v1/chat/completions"
        response = ask(proxy.address, "POST", path, json.dumps({"model": name}).encode())
        assert response.status == 200, (name, response)
        arrived = fleet.one()
        if name in ("fast", "odd name"):
            continue
        assert arrived.model == name.removeprefix(arrived.provider + "/") and model["owned_by"] in (arrived.provider, "them")


ONE = {
    # path: (status, id in the answer)
    "/v1/models/gpt-5": (200, "gpt-5"),
    "/v1/models/fast": (200, "fast"),
    "/v1/models/odd%20name": (200, "odd name"),
    "/v1/models/groq/groq/compound": (200, "groq/groq/compound"),
    "/v1/models/groq%2Fgroq%2fcompound": (200, "groq/groq/compound"),
    "/models/openai%2Forg/gpt-oss": (200, "openai/org/gpt-oss"),
    "/v1/models/anthropic/claude-haiku-4-5": (200, "anthropic/claude-haiku-4-5"),
    "/v1/models/claude-haiku-4-5": (404, None),
    "/v1/models/shared": (404, None),
    "/v1/models/GPT-5": (404, None),
    "/v1/models/none": (404, None),
}


@pytest.mark.parametrize("shape", ["openai", "anthropic"])
@pytest.mark.parametrize("path", ONE)
def test_one_model(merged, path, shape):
    proxy, fleet = merged
    status, name = ONE[path]
    response = ask(proxy.address, "GET", path, None, SHAPES[shape])
    assert response.status == status, response
    body = json.loads(response.body)
    if name:
        assert body["id"] == name and body.get("object" if shape == "openai" else "type") == "model"
    else:
        assert response.get("x-sidestream-error") == "unknown-model"
        assert (body.get("type") == "error") == (shape == "anthropic") and "GET /v1/models" in body["error"]["message"]
    head = ask(proxy.address, "HEAD", path, None, SHAPES[shape])
    assert (head.status, head.body, head.get("content-length")) == (status, b"", str(len(response.body)))
    fleet.take()


@pytest.mark.parametrize("way", ["prefix", "field"])
def test_one_providers_own_list(merged, way):
    """Whoever picks a provider gets its answer, byte for byte."""
    proxy, fleet = merged
    for path, shape, upstream in [("/v1/models", "openai", "/zai/openai/v1/models"), ("/v1/models?limit=1000", "anthropic", "/zai/anthropic/v1/models?limit=1000")]:
        before, fields = ("/zai", []) if way == "prefix" else ("", [("x-sidestream-provider", "zai")])
        response = ask(proxy.address, "GET", before + path, None, [*SHAPES[shape], *fields])
        assert response.status == 200 and LISTS[upstream].endswith(b"\r\n\r\n" + response.body)
        assert response.get("x-sidestream-provider") == "zai"
        assert [r.target for r in fleet.requests] == [upstream]
        fleet.take()


# ── One provider alone ──────────────────────────────────────────────────────────────────────────────────────────────

VERBATIM = b'{ "object":"list",\n "data" : [ {"id":"b\\u0061r","x":1.0e3}, {"no":"id"} ], "extra":[] }\n'


def test_a_single_provider_answers_itself(owned):
    """Query, fields and bytes, also for what is no list at all."""
    fleet = owned(Fleet(lambda request: answer(VERBATIM, "203 X", "Content-Type: application/json; charset=utf-8\r\nX-Theirs: 1\r\n")))
    proxy = owned(many({**fleet.faces("mock"), "SIDESTREAM_PROVIDERS": "mock", "SIDESTREAM_ROUTES": "gpt-* -> mock/x"}))
    ways = [
        ("/v1/models?limit=2&after_id=a%2Fb", [], "/mock/openai/v1/models?limit=2&after_id=a%2Fb"),
        ("/v1/models", ANTHROPIC, "/mock/anthropic/v1/models"),
        ("/v1/models/meta-llama/llama-3:free", [], "/mock/openai/v1/models/meta-llama/llama-3:free"),
        ("/v1/models/meta-llama%2Fllama-3", [], "/mock/openai/v1/models/meta-llama%2Fllama-3"),
        ("/models/x", ANTHROPIC, "/mock/anthropic/v1/models/x"),
    ]
    for path, fields, wanted in ways:
        response = ask(proxy.address, "GET", path, None, [*fields, ("Accept-Encoding", "br")])
        assert (response.status, response.body, response.get("x-theirs")) == (203, VERBATIM, "1")
        (request,) = fleet.requests
        assert (request.target, request.get("accept-encoding")) == (wanted, "br")
        fleet.take()


def test_a_single_provider_whose_models_have_names_of_ours(owned):
    """A name that a rule made stands nowhere else, so the list is made here."""
    fleet = owned(Fleet(lambda request: models("real")))
    proxy = owned(many({**fleet.faces("mock"), "SIDESTREAM_PROVIDERS": "mock", "SIDESTREAM_ROUTES": "alias -> mock/real; * -> mock"}))
    assert [m["id"] for m in listed(ask(proxy.address, "GET", "/v1/models"))] == ["alias", "real"]


def test_a_single_provider_of_the_other_dialect(owned):
    """Claude Code looks for models at a provider that speaks Chat alone: the list is told in the client's shape."""
    fleet = owned(Fleet(lambda request: models("claude-sonnet-4-6", "real")))
    proxy = owned(many({**fleet.faces("mock", "openai"), "SIDESTREAM_PROVIDERS": "mock"}))
    response = ask(proxy.address, "GET", "/v1/models?limit=1000", None, ANTHROPIC)
    assert [(m["type"], m["id"]) for m in listed(response)] == [("model", "claude-sonnet-4-6"), ("model", "real")]
    assert json.loads(response.body)["has_more"] is False


# ── Providers that do not answer ────────────────────────────────────────────────────────────────────────────────────

SICK = {
    "status": answer(b'{"data":[{"id":"x"}]}', "500 X"),
    "no key": answer(b'{"error":{}}', "401 X"),
    "a page": answer(b"<html>"),
    "another list": answer(b'{"models":[]}'),
    "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
    "garbage": b"\0\0\r\n\r\n",
}


@pytest.mark.parametrize("rule", [*SICK, "refused"])
def test_a_provider_that_is_down_is_left_out_and_told(owned, rule):
    class Ends(Fleet):
        def _serve(self, peer):
            request = peer.request()
            peer.send(self.reply(request))

    fleet = owned(Ends(lambda request: SICK[rule] if "/sick/" in request.target else models("here")))
    env = {**fleet.faces("well"), **fleet.faces("sick"), "SIDESTREAM_PROVIDERS": "sick,well", "WELL_WARM_CONNECTIONS": "0", "SICK_WARM_CONNECTIONS": "0"}
    if rule == "refused":
        env["SICK_OPENAI_URL"] = f"http://127.0.0.1:{dead_port()}/v1"
    proxy = owned(many(env))
    assert [m["id"] for m in listed(ask(proxy.address, "GET", "/v1/models"))] == ["well/here"]
    told = proxy.wait_line(lambda line: "no list of models" in line)
    assert "level=warn" in told and "provider=sick" in told


@pytest.mark.parametrize("routes, status", [("", 502), ("alias -> sick/x", 200)])
def test_nobody_answers(owned, routes, status):
    """The names that the routes have are known all the same."""
    port = dead_port()
    env = {"SICK_OPENAI_URL": f"http://127.0.0.1:{port}/v1", "ILL_OPENAI_URL": f"http://127.0.0.1:{port}/v1", "SIDESTREAM_PROVIDERS": "sick,ill"}
    proxy = owned(many({**env, "SIDESTREAM_ROUTES": routes}))
    for shape in ("openai", "anthropic"):
        response = ask(proxy.address, "GET", "/v1/models", None, SHAPES[shape])
        assert response.status == status
        if status == 200:
            assert [m["id"] for m in listed(response)] == ["alias"]
            continue
        error = json.loads(response.body)
        assert response.get("x-sidestream-error") == "no-models" and (error.get("type") == "error") == (shape == "anthropic")
        assert "sick" in error["error"]["message"] and "ill" in error["error"]["message"]
