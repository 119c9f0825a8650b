"""A session of Claude Code, turn by turn: what the user says, what the provider answers, in which style of Chat
Completions. Every tool turn has outputs that only a real run of the tool can have."""

import json
import struct
import sys
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from . import mcp
from .words import Call, Fail, Say, Style, digest

CJK = "日本語のテキスト、emoji 🦀🚀, combining é, quotes \" and \\ and </tag>\ttab"
TOO_LONG = {
    "error": {
        "message": "This model's maximum context length is 200000 tokens. However, your messages resulted in 250123 tokens. "
        "Please reduce the length of the messages.",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }
}
RATE = {"error": {"message": "Rate limit reached for requests", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}
QUOTA = {"error": {"message": "You exceeded your current quota", "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}}
KEY = {"error": {"message": "Incorrect API key provided", "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}}
MODEL = {"error": {"message": "The model `x` does not exist", "type": "invalid_request_error", "param": None, "code": "model_not_found"}}
WRONG = {"error": {"message": "Invalid value: 'purple'", "type": "invalid_request_error", "param": "color", "code": None}}
DETAIL = {"detail": [{"loc": ["body", "x"], "msg": "bad x", "type": "value_error"}]}
# How often Claude Code asks again, with less in its request, before it gives up.
TRIES = 12
BUSY = {"error": {"message": "The engine is currently overloaded", "type": "server_error", "param": None, "code": None}}


@dataclass
class Turn:
    """One prompt and the answers to the requests that it causes. `run`, where set, plays the turn instead of a prompt."""

    name: str
    steps: list[Say | Fail]
    run: Callable | None = None
    provider: str = "chatty"  # where its requests must arrive; "": anywhere
    error: str = ""  # it ends in an error, with these words
    scaled: bool = False  # its numbers of tokens are told larger than they are
    steady: bool = True  # each request must begin with all messages of the one before it, so that caches of prefixes work


class Tools:
    """Calls with outputs nobody can guess, in a work folder."""

    def __init__(self, work: Path):
        self.work, self.secret = work, uuid.uuid4().hex

    def servers(self) -> str:
        """Claude Code's configuration of the MCP server in `mcp.py`."""
        return json.dumps({"mcpServers": {"side": {"command": sys.executable, "args": [mcp.__file__, self.secret]}}})

    def searched(self) -> list[Say]:
        """MCP tools, which Claude Code shows only after a search, under names that Chat Completions does not allow."""
        word, names = uuid.uuid4().hex, [f"mcp__side__{t['name']}" for t in mcp.TOOLS]
        proofs = [digest(word), digest(digest(word)), digest(self.secret)]
        calls = [
            Call(n, {"word": word} if p != proofs[2] else {}, p, described=t["description"])
            for n, p, t in zip(names, proofs, mcp.TOOLS)
        ]
        search = Call("ToolSearch", {"query": "select:" + ",".join(names), "max_results": 5}, "nothing")
        return [Say("", (search,)), Say("", tuple(calls)), Say("Found and called.")]

    def bash(self, id: str = "") -> Call:
        nonce = uuid.uuid4().hex
        return Call("Bash", {"command": f"printf %s {nonce} | sha256sum", "description": "Hash a word"}, digest(nonce), id)

    def read(self, id: str = "") -> Call:
        path, nonce = self.work / f"{uuid.uuid4().hex[:8]}.txt", f"content {uuid.uuid4().hex}"
        path.write_text(f"first line\n{nonce}\nlast line {CJK}\n")
        return Call("Read", {"file_path": str(path)}, nonce, id)

    def write(self, content: str = CJK) -> tuple[Call, Call]:
        """Writes text into a file, and prints the file's hash: the text must have come through to the byte."""
        path = self.work / f"{uuid.uuid4().hex[:8]}.out"
        text = content + uuid.uuid4().hex
        put = Call("Write", {"file_path": str(path), "content": text}, "created successfully")
        return put, Call("Bash", {"command": f"sha256sum < {path}", "description": "Hash a file"}, digest(text))

    def picture(self) -> Call:
        path = self.work / f"{uuid.uuid4().hex[:8]}.png"
        path.write_bytes(png(8, 8))
        return Call("Read", {"file_path": str(path)}, images=1)


def png(width: int, height: int) -> bytes:
    """A red picture."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\xff\0\0" * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


def many(tools: Tools, count: int) -> list[Say]:
    calls = tuple(tools.bash() if k % 2 else tools.read() for k in range(count))
    return [Say("", calls), Say(f"All {count}.")]


def large(tools: Tools, size: int) -> list[Say]:
    """A file of that many bytes, whose text is a call's argument."""
    put, look = tools.write("".join(f"line {k} {CJK}\n" for k in range(size // 80)))
    return [Say("", (put,)), Say("", (look,)), Say("Large, and the same.")]


def pair(tools: Tools, title: str, thinking: str = "", text: str = "", **style) -> Turn:
    """A turn with a Read and a Bash in one answer, in one style, and a closing word in the same style."""
    how = Style(**style)
    calls = (tools.read(), tools.bash())
    return Turn(title, [Say(text, calls, thinking, how), Say(f"Both done: {title}.", style=how)])


def quirks(tools: Tools) -> list[Turn]:
    """One turn for each habit of compatible servers."""
    put, look = tools.write()
    split = Style(framing="split")
    return [
        pair(tools, "index missing, usage in every chunk", "Hm.", index="missing", usage="every"),
        pair(tools, "all calls at index 0, finish stop", index="zero", finish="stop"),
        pair(tools, "index -1, reasoning in details", "Deep.", index="minus", reasoning="reasoning_details"),
        pair(tools, "index from 1, usage in the finish chunk", text="Text too.", index="from_one", usage="finish"),
        pair(tools, "id and name repeated on each fragment", ids="repeated", name="repeated"),
        pair(tools, "no ids at all, no usage", ids="missing", usage="none"),
        pair(tools, "empty ids", ids="empty"),
        pair(tools, "null ids", "Thoughts first.", ids="null", reasoning="reasoning"),
        pair(tools, "the id comes late", ids="late"),
        pair(tools, "the name comes late", name="late"),
        pair(tools, "the name is null later, arguments begin with null and empty", name="null_later", arguments="empty_first"),
        pair(tools, "whole arguments in the first fragment, no role chunk", arguments="whole", preamble="none"),
        pair(tools, "whole arguments, index missing, ids repeated", arguments="whole", index="missing", ids="repeated"),
        pair(tools, "arguments as an object", arguments="object"),
        pair(tools, "fragments of two calls interleaved", "A thought.", "A word.", arguments="interleaved"),
        pair(tools, "null and empty siblings, both names of reasoning", "Twice told?", "No.", siblings=True, reasoning="both"),
        pair(tools, "keep-alive comments, empty data, no [DONE]", comments=True, end="none"),
        pair(tools, "CRLF, [DONE] without a space", framing="crlf", end="tight"),
        pair(tools, "a BOM", framing="bom"),
        pair(tools, "several data lines an event", framing="lines"),
        pair(tools, "Azure's preamble, usage before the finish", preamble="azure", usage="before_finish"),
        pair(tools, "finish before the last piece, and twice", text="Some words before.", finish_early=True, finish_twice=True),
        pair(tools, "usage under x_groq", "Quick.", usage="groq", reasoning="reasoning"),
        Turn("finish eos", [Say("No more.", style=Style(finish="eos"))]),
        Turn("finish tool_calls without a call", [Say("Just words.", style=Style(finish="tool_calls"))]),
        Turn("legacy function_call", [Say("", (tools.bash(),), style=Style(legacy=True, finish="function_call")), Say("Old.")]),
        pair(tools, "content as parts, thinking among them", "In parts.", "Parts.", reasoning="parts"),
        Turn(
            "characters cut in the middle, in text and arguments",
            [Say(CJK, (put,), f"思考 {CJK}", split), Say(f"再 {CJK}", (look,), style=split), Say(f"終 {CJK}", style=split)],
        ),
        Turn(
            "ids that Anthropic does not allow, and too long ones",
            [
                Say("", (tools.bash("functions.Bash:0"), tools.read("functions.Read:1"))),
                Say("", (tools.bash("call_" + "0123456789abcdef" * 4),)),
                Say("Odd ids."),
            ],
        ),
        Turn(
            "the same id in every answer",
            [Say("", (tools.bash("call_0"),)), Say("", (tools.read("call_0"),)), Say("", (tools.bash("call_0"),)), Say("Reused.")],
        ),
        Turn("text between the arguments", [Say("", (tools.bash(),), style=Style(late_text=" an aside ")), Say("Aside.")]),
    ]


def faults(tools: Tools) -> list[Turn]:
    """What goes wrong at a provider, and what the client makes of it: it tries again, and the session goes on."""
    long = "A long answer that breaks off somewhere in its middle, before it was finished."
    call = tools.bash()
    turns = [
        Turn("429 with retry-after", [Fail("429 Too Many Requests", RATE, "Retry-After: 1\r\n"), Say("After the limit.")]),
        Turn("429 in a body with status 200", [Fail("200 OK", {"error": {"message": "slow", "code": 429}}), Say("After that.")]),
        Turn("a page of HTML with 502", [Fail("502 Bad Gateway", "<html><body>Bad gateway</body></html>"), Say("After the page.")]),
        Turn("500 with a bare text", [Fail("500 Internal Server Error", {"error": "engine died"}), Say("After the death.")]),
        Turn("503", [Fail("503 Service Unavailable", BUSY, "Retry-After: 1\r\n"), Say("After the overload.")]),
        Turn("an error inside the stream", [Say(long, cut="error"), Say("After the error.")]),
        Turn("the connection ends inside the stream", [Say(long, cut="fin"), Say("After the cut.")]),
        Turn("cut inside a call's arguments", [Say("", (call,), cut="fin"), Say("", (call,)), Say("Called once.")]),
        Turn("finish length", [Say("This was cut by its", style=Style(finish="length")), Say("length, resumed.")]),
    ]
    turns += [
        Turn("400", [Fail("400 Bad Request", WRONG)] * TRIES, error="Invalid value: 'purple'"),
        Turn("404, no such model", [Fail("404 Not Found", MODEL)] * TRIES, error="model"),
        Turn("422 with details", [Fail("422 Unprocessable Entity", DETAIL)] * TRIES, error="bad x"),
        Turn("a refusal", [Say("I cannot", style=Style(finish="content_filter")), Say("Something else.")]),
        Turn("after all errors", [Say("", (tools.bash(),)), Say("Still here.")]),
    ]
    return [replace(turn, steady=False) for turn in turns]  # it leaves out thoughts when it tries again
