#!/usr/bin/env python3
"""Writes the fuzz targets' first inputs to fuzz/corpus/TARGET/.

They come from the hostile cases in tests/data/hostile.json (if there), the captured requests in tests/data/captures,
the golden streams in tests/support/golden.py, and the lists below. A file's name is its content's hash, so running this
again changes nothing.

tests/data/hostile.json is a list of objects with an "id" such as "cl+te", optionally a "group" (F framing, C chunked,
S smuggling, H heads, L limits), and the bytes as "bytes_hex" or as "parts": a list of strings (their characters are
bytes), or of objects with "hex" or "text" and optionally "times".
"""

import hashlib
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT.parent / "tests"))
from support.golden import GOLDEN, GOLDEN_CHAT  # noqa: E402 - the path is needed first

DATA = ROOT.parent / "tests" / "data"
SEED_BYTES_MAX = 128 * 1024

STREAMS = [
    # Chat Completions
    b'data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    b'data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
    b'data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n",
    b': PROCESSING\n\ndata: {"choices":[]}\r\n\r\ndata: {"error":{"message":"overloaded","code":529}}\r\n\r\n',
    # Messages
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m1","role":"assistant","content":[]}}\n\n'
    b'event: ping\ndata: {"type":"ping"}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    # Responses
    b'event: response.created\r\ndata: {"type":"response.created","sequence_number":0}\r\n\r\n'
    b'event: response.output_text.delta\r\ndata: {"type":"response.output_text.delta","delta":"Hi"}\r\n\r\n'
    b'event: response.completed\r\ndata: {"type":"response.completed"}\r\n\r\n',
    # The grammar's corners
    b"data: a\n\ndata: b\n\n",
    b"data: a\r\n\r\ndata: b\r\n\r\n",
    b"data: a\r\rdata: b\r\r\n",
    b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n",
    b"\xef\xbb\xbf\ndata: a\n\n",
    b": comment\n\n:\ndata:a\ndata: b\ndata\n\n",
    b"event: e\nid: 7\nretry: 3000\ndata: a\n\nid: 8\0\ndata\n\n",
    b"unknown: x\n data: a\nData: b\n\ndata: unfinished",
    b"data: " + b"x" * 70 + b"\n\n",
]

# Reports of usage in the places where a stream or a body has them, and where it only seems to.
USAGES = [
    b'data: {"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,'
    b'"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":2}}}\n\ndata: [DONE]\n\n',
    b'data: {"usage":null,"x_groq":{"usage":{"prompt_tokens":9}}}\r\n\r\n',
    b'event: message_start\ndata: {"message":{"usage":{"input_tokens":9,"cache_read_input_tokens":3}}}\n\n'
    b'event: message_delta\ndata: {"usage":{"output_tokens":7,"cache_read_input_tokens":null}}\n\n',
    b'data: {"response":{"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":1},"output_tokens":2}}}\n\n',
    b'data: {\ndata: "usage":\ndata:{"prompt_tokens":9.0}}\r\r',
    b'data: {"content":"{\\"usage\\":{\\"prompt_tokens\\":9}}","input":{"usage":{"input_tokens":9}}}\n\n',
    b'{"id":"x","usage":{"prompt_tokens":12,"cached_tokens":4,"completion_tokens":5}}',
    b'{"us\\u0061ge":{"prompt_tokens":1,"prompt_tokens":2},"usage":1}',
]

# A byte that says what follows, then an answer of a Messages server, or choices of events of which one is made.
MESSAGES_ANSWERS = [
    b"\0"
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","content":[],"usage":{"input_tokens":8}}}\n\n'
    b'data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}\n\n'
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"th"}}\n\n'
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQB"}}\n\n'
    b'data: {"type":"content_block_stop","index":0}\n\nevent: ping\ndata: {"type":"ping"}\n\n'
    b'data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}\n\n'
    b'data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\\"x\\":1}"}}\n\n'
    b'data: {"type":"content_block_stop","index":1}\n\n'
    b'data: {"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":9}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    b'\2event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"m"}}\n\n',
    b'\0{"id":"m","content":[{"type":"text","text":"Hi"},{"type":"tool_use","id":"t","name":"f","input":{"a":1}}],'
    b'"stop_reason":"tool_use","usage":{"input_tokens":3,"output_tokens":9}}',
    b'\0{"error":{"message":"maximum context length is 8192 tokens. However, you requested 9000 tokens","code":"x"}}',
    b'\0{"detail":[{"loc":["body","messages",0],"msg":"Field required"}]}',
    b"\0<html><title>502 Bad Gateway</title></html>",
    bytes([3, 0, 0, 2, 0, 8, 16, 9, 32, 12, 0, 1, 1, 7, 17, 12, 1, 4, 34, 10, 0x92, 12, 2, 15, 0, 16, 0]),
    bytes([1, 0, 0, 4, 16, 5, 17, 10, 0x70, 10, 0x81, 7, 18, 12, 0, 12, 1, 13, 0xE0, 16, 0]),
]

# A mode, then a stream, or numbers that choose among events.
CHAT_ANSWERS = [
    b"\2" + b"".join(b"data: " + event + b"\n\n" for event in events)
    for events in [
        [b'{"choices":[{"delta":{"content":"%d"}}]}' % number for number in range(3)] + [b"[DONE]"],
        [
            b'{"choices":[{"delta":{"content":null,"reasoning_content":"th"}}]}',
            b'{"choices":[{"delta":{"content":"Hi","reasoning_content":null}}]}',
            b'{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]}}]}',
            b'{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"","arguments":"{\\"y\\""}}]}}]}',
            b'{"choices":[{"delta":{"content":"note"}}]}',
            b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}}]}',
            b'{"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"name":"g","arguments":":2}"}}]}}]}',
            b'{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}',
            b'{"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":5}}',
            b"[DONE]",
        ],
        [b'{"choices":[{"delta":{"content":"<th"}}]}', b'{"choices":[{"delta":{"content":"ink>a</think>b"}}]}'],
        [b'{"choices":[{"delta":{"content":"par"}}]}', b'{"error":{"message":"boom","code":429}}'],
    ]
] + [bytes([mode]) + bytes(range(step % 7, 250, step)) for mode in (1, 3, 7, 15) for step in (1, 3, 5, 11)]

# A mode, then words of three bytes.
WORDS = [
    bytes([7, 0, 0, 0, 2, 0, 0, 7, 0, 1, 11, 0, 1, 12, 0, 0, 1, 1, 0, 7, 1, 1, 12, 1, 0, 5, 6, 4, 7, 2, 5, 7, 2, 6, 13, 1, 0, 15, 0, 0]),
    bytes([3, 5, 4, 4, 5, 9, 5, 7, 0, 5, 7, 1, 5, 7, 0, 6, 7, 1, 6, 14, 0, 200, 15, 0, 0]),
] + [bytes([mode]) + bytes(range(step, 256, step)) * 2 for mode in (0, 1, 5, 7) for step in (1, 3, 7, 11)]

# A model's name, then rules.
ROUTES = [
    b"glm-4.6-openai\nglm-*[stream, api=messages] -> zai/glm-4.6 face=openai weight=3, anthropic/*; * -> groq",
    b'claude-x[1m]\n"claude-*[1m]" -> zai/"a, b;c"\n"a->b" -> groq/openai/gpt-oss-120b:free\n',
    b"groq/groq/compound\n",
    b"@cf/meta/llama-3\na[image,tokens>100000] -> zai; b -> nobody/x face=soap; c ->",
]

BODIES = [
    b'{"model":"gpt-5","stream":true,"n":1}',
    b'\xef\xbb\xbf {"mod\\u0065l":"a\\"b\\\\","n":-0.5e+10,"x":[null,false,{"model":[]}]}\r\n',
    b'{"model":1,"model":2}',
    b'{"n":1,"\\u006e":2}',
    b'{"a":"\\ud83d","b":"\xff","c":"\x00","d":1e400}',
    b'{"a":"\\u12G4"}',
    b'{"a":[1,],}',
    b'{"a":NaN} // {}',
    b'{"a":' + b"[" * 127 + b"]" * 127 + b"}",
    b'{"a":' + b"[" * 128,
]

CHUNKED = [
    b"0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"5;name=value;quoted=\"a;b\"\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\n",
    b"00000005\r\nhello\r\n000\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    b"aB\r\n" + b"x" * 171 + b"\r\n0\r\n\r\n",
    b"5\nhello\n0\n\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b"\r\nhello\r\n",
    b"fffffffffffffffff\r\n",
    b"ffffffffffffffff\r\nx",
    b"5\r\nhelloX\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
]

REQUEST_HEADS = [
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:7730\r\nAuthorization: Bearer x\r\n"
    b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n",
    b"POST /v1/messages?beta=true HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
]

RESPONSE_HEADS = [
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200\r\n\r\n",
]

# Which targets a group of hostile cases is for.
TARGETS = {
    "F": ["request_head", "framing"],
    "C": ["request_head", "framing", "chunked"],
    "S": ["request_head", "response_head", "framing"],
    "H": ["request_head", "framing"],
    "L": ["request_head", "framing"],
}


def main():
    for target, seeds in {
        "sse": STREAMS,
        "json_scan": BODIES + [path.read_bytes() for path in sorted((DATA / "captures").glob("*.body"))],
        "usage": USAGES + STREAMS + BODIES,
        "opening": [bytes([mode]) + stream for mode in range(3) for stream in STREAMS],
        "routes": ROUTES,
        "answers": CHAT_ANSWERS + [b"\2" + stream for stream in STREAMS + USAGES + golden(GOLDEN)],
        "answers_chat": MESSAGES_ANSWERS + [b"\0" + stream for stream in STREAMS + golden(GOLDEN_CHAT)],
        "sequencer": WORDS,
        "requests": [b"\0" + body for body in BODIES]
        + [b"\0" + path.read_bytes() for path in sorted((DATA / "captures").glob("*.body"))],
        "chunked": CHUNKED,
        "request_head": REQUEST_HEADS,
        "response_head": RESPONSE_HEADS,
        "framing": REQUEST_HEADS + RESPONSE_HEADS,
    }.items():
        for seed in seeds:
            write(target, seed)
    for case in hostile_cases():
        seed = case_bytes(case)
        group = str(case.get("group") or "")[:1].upper()
        for target in TARGETS.get(group, TARGETS["S"]):
            write(target, body_of(seed) if target == "chunked" else seed)
    for folder in sorted((ROOT / "corpus").iterdir()):
        print(f"{folder.name}: {sum(1 for _ in folder.iterdir())} inputs")


def golden(table):
    return [stream.encode() for stream, _ in table.values()]


def hostile_cases():
    path = DATA / "hostile.json"
    return json.loads(path.read_text()) if path.exists() else []


def case_bytes(case):
    if "bytes_hex" in case:
        return bytes.fromhex(case["bytes_hex"])
    return b"".join(part_bytes(part) for part in case.get("parts", []))


def part_bytes(part):
    if isinstance(part, str):
        return part.encode("latin-1", "replace")
    data = bytes.fromhex(part["hex"]) if "hex" in part else part.get("text", "").encode()
    # A limit's case may be long; its shape is what a seed is for.
    return data * min(int(part.get("times", 1)), SEED_BYTES_MAX // max(len(data), 1))


def body_of(message):
    """What follows the head: the chunked decoder never sees a head."""
    return message.partition(b"\r\n\r\n")[2] or message


def write(target, seed):
    folder = ROOT / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    seed = seed[:SEED_BYTES_MAX]
    (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)


if __name__ == "__main__":
    main()
