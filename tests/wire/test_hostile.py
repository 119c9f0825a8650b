"""Every row of tests/data/hostile.json over a real socket: RFC 9110/9112's framing, chunked coding, field syntax,
request line and limits (groups F, C, S, H, L), as a client sees the answer and as the upstream sees nothing.

A row: `parts` (text in latin-1; {"text", "times"}; {"await": status} waits for that answer first), `answers` (for each
expected answer the statuses allowed, 0 = silence), `close` (true, false, null = either, "waits" = open in mid-request),
`reaches` (requests that reach the upstream; null = as many as were answered 200). {host} is the proxy's own address,
{path} a JSON endpoint; a row with {path} runs once per dialect."""

import json
import time

import pytest

from support.process import ROOT, Sidestream
from support.upstream import Upstream
from support.wire import BadMessage, Client, Gone, Truncated

ROWS = json.loads((ROOT / "tests/data/hostile.json").read_text())
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}
CASES = [
    pytest.param(row, dialect, id=f"{row['group']}-{row['id']}-{dialect}")
    for row in ROWS
    for dialect in (PATHS if "{path}" in json.dumps(row["parts"]) else ["chat"])
]


@pytest.fixture(scope="module")
def world(driver):
    """One proxy and one recording upstream for all rows; at the end the upstream has seen what the rows allow, no more."""
    with Upstream() as upstream:
        proxy = Sidestream(driver, upstream.env)
        proxy.upstream, proxy.expected = upstream, 0
        yield proxy
        left_over = [bytes(peer.buffer) for peer in upstream.peers if peer.buffer]
        proxy.close()
        assert len(upstream.requests) == proxy.expected, "a refused request reached the upstream late"
        assert left_over == [], "parts of a refused request reached the upstream"


@pytest.mark.parametrize("row, dialect", CASES)
def test_row(world, row, dialect):
    before = len(world.upstream.requests)
    try:
        run_row(world, row, dialect, before)
    finally:
        world.expected += len(world.upstream.requests) - before


def run_row(world, row, dialect, before):
    with Client(world.address, timeout=4) as client:
        answers = exchange(client, row, PATHS[dialect])
        statuses = [a.status for a in answers]
        assert len(statuses) == len([s for s in row["answers"] if 0 not in s or statuses]), (statuses, row["rule"])
        for status, allowed in zip(statuses, row["answers"]):
            assert status in allowed, (statuses, row["rule"])
        for answer in answers:
            if answer.status >= 400:
                check_error(answer, dialect if row.get("dialect") != "any" else None)
            assert "HTTP/1.0" not in str(row["parts"][0]) or "transfer-encoding" not in answer.headers.names
        for name in row.get("answer_has", []):
            assert name in answers[-1].headers.names
        check_end(client, row, answers)
    reached = world.upstream.requests[before:]
    wanted = row["reaches"] if row["reaches"] is not None else statuses.count(200)
    assert len(reached) == wanted, [r.raw_head for r in reached]
    for request in reached:
        check_upstream(request, row)


def exchange(client, row, path):
    """Sends the row's parts, and reads the answers that it expects; what came before the peer closed is what counts."""
    early = []
    try:
        for part in row["parts"]:
            if isinstance(part, dict) and "await" in part:
                early = [read_interim(client)]
                assert early[0].status == part["await"]
                continue
            data = part["text"] * part["times"] if isinstance(part, dict) else part
            data = data.replace("{host}", client.authority).replace("{path}", path).encode("latin-1")
            for at in range(len(data)) if row.get("drip") else [None]:
                client.send(data if at is None else data[at : at + 1])
                if at is not None:
                    time.sleep(0.0005)  # so that the bytes are packets of their own
    except ConnectionError:
        pass  # refused while we were still sending: the answer is there to be read
    answers = early
    try:
        while len(answers) < len(row["answers"]):
            interim = row["answers"][len(answers)] == [100]
            answers.append(read_interim(client) if interim else client.response())
    except Gone:
        pass
    return answers


def read_interim(client):
    start, headers, raw = client.head()
    status = int(start.split(b" ")[1])
    return type("Interim", (), {"status": status, "headers": headers, "raw_head": raw})


def check_error(answer, dialect):
    """RFC 9110 §15.5 asks for an explanation; ours is JSON in the caller's own dialect, and named in a header."""
    assert answer.get("x-sidestream-error"), answer
    assert answer.get("content-type", "").startswith("application/json"), answer
    error = json.loads(answer.body)
    if dialect is None:
        dialect = "messages" if error.get("type") == "error" else "chat"
    if dialect == "messages":
        assert error["type"] == "error", error
    else:
        assert "type" not in error and {"message", "type", "code", "param"} <= error["error"].keys(), error
    assert isinstance(error["error"]["message"], str) and error["error"]["message"], error
    assert isinstance(error["error"]["type"], str), error


def check_end(client, row, answers):
    """Closed where it must be; where it may stay open the next request is understood, and nothing else is in the way."""
    closing = row["close"]
    if closing == "waits":
        return
    if closing is None:
        closing = bool(answers) and (answers[-1].get("connection") or "").lower() == "close"
    if closing:
        how, _ = client.wait_closed()
        assert how == "fin" and not client.buffer, f"{how}, after the answers: {bytes(client.buffer)[:200]!r}"
        if answers and row["close"] is True and "HTTP/1.0" not in str(row["parts"][0]):
            assert (answers[-1].get("connection") or "").lower() == "close", answers[-1]
        return
    try:
        following = client.ask("GET", "/")
    except (Gone, Truncated, BadMessage, ConnectionError) as error:
        raise AssertionError(f"the connection should be good for another request: {error!r}") from error
    assert following.status == 200 and not client.buffer, following


def check_upstream(request, row):
    assert request.target in (*PATHS.values(),), request.target
    if request.method == "POST":
        assert request.body == b'{"model":"m"}'
    names = request.headers.names
    assert not {"transfer-encoding", "content-length"} <= set(names)
    for entry in row.get("absent_upstream", []):
        name, _, value = entry.partition(":")
        found = b",".join(request.headers.all(name)).decode("latin-1").lower()
        assert (value in found) is False if value else name not in names, request.raw_head
    for choice, value in row.get("upstream_has", {}).items():
        found = [v.decode() for name in choice.split("|") for v in request.headers.all(name)]
        assert any(value in v for v in found), request.raw_head


def test_table_is_whole():
    """The table covers each group, and each of its ids once."""
    assert {row["group"] for row in ROWS} == set("FCSHL")
    assert len({row["id"] for row in ROWS}) == len(ROWS) >= 140
