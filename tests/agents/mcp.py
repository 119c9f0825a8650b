"""An MCP server on standard input and output, with tools that are hard on a translator: two whose names are longer than
Chat Completions allows and begin alike, and one whose schema has no properties."""

import hashlib
import json
import sys

LONG = "describe_in_all_detail_what_this_word_turns_into_when_it_is_hashed"
TOOLS = [
    {"name": LONG, "description": "Hash a word", "inputSchema": {"type": "object", "properties": {"word": {"type": "string"}}}},
    {"name": LONG + "_twice", "description": "Hash it twice", "inputSchema": {"type": "object", "properties": {"word": {"type": "string"}}}},
    {"name": "nothing", "description": "Takes nothing", "inputSchema": {"type": "object"}},
]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def call(name: str, arguments: dict) -> str:
    if name == "nothing":
        return digest(sys.argv[1])
    once = digest(arguments["word"])
    return digest(once) if name.endswith("_twice") else once


def answer(method: str, params: dict) -> dict:
    if method == "initialize":
        version = params["protocolVersion"]
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": {"name": "side", "version": "1"}}
    if method == "tools/list":
        return {"tools": TOOLS}
    if method == "tools/call":
        return {"content": [{"type": "text", "text": call(params["name"], params.get("arguments") or {})}]}
    return {}


def main() -> None:
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            result = answer(message["method"], message.get("params") or {})
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)


if __name__ == "__main__":
    main()
