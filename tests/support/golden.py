"""The golden streams of both directions: what an upstream sends, and what a client of the other dialect must see."""

from .translation import DONE, PING, B, D, E, F, S, T, U, calls, ends, says, thinks

# Chat upstream -> Messages client, in the notation of `dialects.messages_stream`. The input of an answer without usage is
# estimated: only U gives numbers. Without [DONE] in the table the upstream just ends.
GOLDEN = {
    "V1 text": (
        D('"role":"assistant","content":""') + D('"content":"He"') + D('"content":"llo"') + F("stop") + U + DONE,
        "start0:text text0:'He' text0:'llo' stop0 md(end_turn,8+4/5)",
    ),
    "V2 thinking, text, call": (
        D('"content":null,"reasoning_content":"th"') + D('"content":"Hi","reasoning_content":null')
        + T(0, "call_a", "f", "") + T(0, None, None, '{"x"') + T(0, None, None, ":1}") + F("tool_calls") + U + DONE,
        "start0:thinking thinking0:'th' signature0 stop0 start1:text text1:'Hi' stop1 "
        "start2:tool_use(call_a,f) json2:'{\"x\"' json2:':1}' stop2 md(tool_use,8+4/5)",
    ),
    "V3 thinking, call, stop": (
        D('"reasoning":"t"') + T(0, "call_a", "f", '{"x":1}') + F("stop") + DONE,
        "start0:thinking thinking0:'t' signature0 stop0 start1:tool_use(call_a,f) json1:'{\"x\":1}' stop1 md(tool_use)",
    ),
    "V4 two calls": (
        T(0, "a", "f", '{"x":1}') + T(1, "b", "g", "") + T(1, None, None, "{}") + F("tool_calls") + DONE,
        "start0:tool_use(a,f) json0:'{\"x\":1}' stop0 start1:tool_use(b,g) json1:'{}' stop1 md(tool_use)",
    ),
    "V5 two calls interleaved": (
        T(0, "a", "f", '{"x"') + T(1, "b", "g", '{"y"') + T(0, None, None, ":1}") + T(1, None, None, ":2}") + F("tool_calls") + DONE,
        "start0:tool_use(a,f) json0:'{\"x\"' json0:':1}' stop0 start1:tool_use(b,g) json1:'{\"y\":2}' stop1 md(tool_use)",
    ),
    "V6 an index used twice": (
        T(0, "a", "f", "{}") + T(0, "b", "g", '{"y":2}') + F("tool_calls") + DONE,
        "start0:tool_use(a,f) json0:'{}' stop0 start1:tool_use(b,g) json1:'{\"y\":2}' stop1 md(tool_use)",
    ),
    "V7 no index": (
        T(None, "a", "f", '{"x"') + T(None, None, None, ":1}") + F("tool_calls") + DONE,
        "start0:tool_use(a,f) json0:'{\"x\"' json0:':1}' stop0 md(tool_use)",
    ),
    "V8 late name, repeated id, null name": (
        T(0, "a", "", '{"x"') + T(0, "a", "f", ":1}") + T(0, None, None, None) + F("tool_calls") + DONE,
        "start0:tool_use(a,f) json0:'{\"x\":1}' stop0 md(tool_use)",
    ),
    "V9 text inside arguments": (
        T(0, "a", "f", '{"x"') + D('"content":" "') + D('"content":"note"') + T(0, None, None, ":1}") + F("tool_calls") + DONE,
        "start0:tool_use(a,f) json0:'{\"x\"' json0:':1}' stop0 start1:text text1:'note' stop1 md(tool_use)",
    ),
    "V10 empty tool_calls": (
        D('"content":"hi","tool_calls":[]') + F("stop") + DONE,
        "start0:text text0:'hi' stop0 md(end_turn)",
    ),
    "V11 empty": (D('"role":"assistant","content":""') + F("stop") + DONE, "start0:text stop0 md(end_turn)"),
    "V12 no arguments": (T(0, "a", "f", "") + F("tool_calls") + DONE, "start0:tool_use(a,f) stop0 md(tool_use)"),
    "V13 nameless": (
        T(0, "a", None, '{"x":1}') + F("tool_calls") + DONE,
        "start0:tool_use(a,tool_0) json0:'{\"x\":1}' stop0 md(tool_use)",
    ),
    "V14 tool_calls without a call": (D('"content":"ok"') + F("tool_calls") + DONE, "start0:text text0:'ok' stop0 md(end_turn)"),
    "V15 cut": (D('"content":"par"'), "start0:text text0:'par' error(api_error)"),
    "V16 error inside": (
        D('"content":"par"') + 'data: {"error":{"message":"boom","code":429}}\n\n',
        "start0:text text0:'par' error(rate_limit_error)",
    ),
    "V17 no finish reason": (D('"content":"ok"') + DONE, "start0:text text0:'ok' stop0 md(end_turn)"),
    "V18 length inside arguments": (
        T(0, "a", "f", '{"x":"lo') + F("length") + DONE,
        "start0:tool_use(a,f) json0:'{\"x\":\"lo' stop0 md(max_tokens)",
    ),
    "V19 usage before the finish": (
        'data: {"choices":[]}\n\n' + D('"content":"a"') + U + F("stop") + DONE,
        "start0:text text0:'a' stop0 md(end_turn,8+4/5)",
    ),
}

# Messages upstream -> Chat client, in the notation of `dialects.chat_stream`.
CALL = 'call0(toolu_1,f) args0:\'{"x":1}\''
GOLDEN_CHAT = {
    "W1": (
        S() + thinks(0, "th") + PING + says(1, "Hi")
        + B(2, '{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}', '{"type":"input_json_delta","partial_json":"{\\"query\\":\\"q\\"}"}')
        + calls(3, "toolu_1", "f", "", '{"x":1}') + calls(4, "toolu_2", "g") + ends("tool_use"),
        f"role reasoning:'th' content:'Hi' {CALL} call1(toolu_2,g) args1:'{{}}' finish(tool_calls) usage(12,9,21,cached 4) [DONE]",
    ),
    "W2 error inside": (
        S() + says(0, "Hi") + E("error", '"error":{"type":"overloaded_error","message":"Overloaded"}'),
        "role content:'Hi' error(server_error,server_is_overloaded)",
    ),
    "W3 empty": (S() + ends(), "role finish(stop) usage(12,9,21,cached 4) [DONE]"),
    "text in the start": (
        S() + B(0, '{"type":"text","text":"He"}', '{"type":"text_delta","text":"llo"}') + ends(),
        "role content:'He' content:'llo' finish(stop) usage(12,9,21,cached 4) [DONE]",
    ),
    "input in the start": (
        S() + B(0, '{"type":"tool_use","id":"toolu_1","name":"f","input":{"x":1}}') + ends("tool_use"),
        f"role {CALL} finish(tool_calls) usage(12,9,21,cached 4) [DONE]",
    ),
    "redacted thinking": (
        S() + B(0, '{"type":"redacted_thinking","data":"Emw="}') + says(1, "Hi") + ends(),
        "role content:'Hi' finish(stop) usage(12,9,21,cached 4) [DONE]",
    ),
    "unknown event, block and delta": (
        S() + E("weather", '"rain":true') + B(0, '{"type":"novelty","n":1}', '{"type":"novelty_delta","n":2}')
        + B(1, '{"type":"text","text":""}', '{"type":"novelty_delta","n":2}', '{"type":"text_delta","text":"Hi"}') + ends(),
        "role content:'Hi' finish(stop) usage(12,9,21,cached 4) [DONE]",
    ),
    "citations": (
        S() + B(0, '{"type":"text","text":"","citations":[]}', '{"type":"text_delta","text":"Hi"}',
                '{"type":"citations_delta","citation":{"type":"char_location","cited_text":"x","document_index":0,"document_title":null,"start_char_index":0,"end_char_index":1}}')
        + ends(),
        "role content:'Hi' finish(stop) usage(12,9,21,cached 4) [DONE]",
    ),
    "usage at the end only": (
        S('"input_tokens":1,"output_tokens":1') + says(0, "Hi") + ends(usage='"input_tokens":20,"cache_read_input_tokens":6,"cache_creation_input_tokens":4,"output_tokens":7'),
        "role content:'Hi' finish(stop) usage(30,7,37,cached 6) [DONE]",
    ),
    "message_delta twice": (
        S() + says(0, "Hi") + E("message_delta", '"delta":{"stop_reason":null,"stop_sequence":null},"usage":{"output_tokens":3}') + ends(),
        "role content:'Hi' finish(stop) usage(12,9,21,cached 4) [DONE]",
    ),
    "no message_stop": (
        S() + says(0, "Hi") + ends().partition("event: message_stop")[0],
        "role content:'Hi' finish(stop) usage(12,9,21,cached 4) [DONE]",
    ),
    "cut before message_delta": (S() + says(0, "Hi"), "role content:'Hi' error(server_error,None)"),
    "CRLF": ((S() + says(0, "Hi") + ends()).replace("\n", "\r\n"), "role content:'Hi' finish(stop) usage(12,9,21,cached 4) [DONE]"),
    "a foreign [DONE] after the end": (
        S() + says(0, "Hi") + ends() + DONE, "role content:'Hi' finish(stop) usage(12,9,21,cached 4) [DONE]"
    ),
    "max_tokens": (S() + says(0, "Hi") + ends("max_tokens"), "role content:'Hi' finish(length) usage(12,9,21,cached 4) [DONE]"),
    "refusal": (S() + says(0, "Hi") + ends("refusal"), None),
}
