"""The strict readers that hold translated streams to their grammar, held themselves: each fault that breaks a client is
found."""

import pytest

from support.dialects import chat_stream, messages_stream
from support.translation import DONE, B, E, ends

USAGE = '"usage":{"input_tokens":1,"output_tokens":1,"cache_creation_input_tokens":0,"cache_read_input_tokens":0}'
START = E("message_start", '"message":{"id":"msg_0123456789abcdefghijklmn","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,%s}' % USAGE)
END = ends(usage=USAGE.partition("{")[2][:-1])
HI = B(0, '{"type":"text","text":""}', '{"type":"text_delta","text":"Hi"}')
OPEN, STOP = HI.partition("event: content_block_delta")[0], E("content_block_stop", '"index":0')
THOUGHT = B(0, '{"type":"thinking","thinking":"","signature":""}', '{"type":"thinking_delta","thinking":"t"}', '{"type":"signature_delta","signature":"s"}')

GOOD = {"text": START + HI + END, "thinking": START + THOUGHT + END, "error": START + HI + E("error", '"error":{"type":"api_error","message":"m"}')}
BAD = {
    "no start": HI + END,
    "two starts": START + START + HI + END,
    "no end": START + HI,
    "no message_delta": START + HI + E("message_stop", ""),
    "no message_stop": START + HI + END.partition("event: message_stop")[0],
    "something after the end": START + HI + END + E("ping", ""),
    "[DONE]": START + HI + END + DONE,
    "no block": START + END,
    "an index that is not next": START + HI.replace('"index":0', '"index":1') + END,
    "an index used twice": START + HI + HI + END,
    "a block inside a block": START + OPEN + B(1, '{"type":"text","text":""}') + STOP + END,
    "a delta of another kind": START + HI.replace("text_delta", "thinking_delta").replace('"text":"Hi"', '"thinking":"Hi"') + END,
    "a block that is not closed": START + OPEN + END,
    "thinking without a signature": START + THOUGHT.replace("signature_delta", "thinking_delta").replace('"signature":"s"', '"thinking":"s"') + END,
    "input that is no object": START + B(0, '{"type":"tool_use","id":"i","name":"f","input":{}}', '{"type":"input_json_delta","partial_json":"[1]"}') + END,
    "a stop reason nobody knows": START + HI + END.replace("end_turn", "stop"),
    "no event name": (START + HI + END).replace("event: content_block_stop\n", ""),
    "null cache fields": START.replace('"cache_read_input_tokens":0', '"cache_read_input_tokens":null') + HI + END,
    "half an event": START + HI + END[:-3],
}


@pytest.mark.parametrize("name", GOOD)
def test_messages_that_are_right(name):
    assert messages_stream(GOOD[name].encode()).brief


@pytest.mark.parametrize("name", BAD)
def test_messages_that_are_wrong(name):
    with pytest.raises((AssertionError, KeyError, ValueError)):
        messages_stream(BAD[name].encode())


def chunk(choices: str, more: str = "", id: str = "chatcmpl-0123456789abcdefghijklmnopqrs") -> str:
    return f'data: {{"id":"{id}","object":"chat.completion.chunk","created":1,"model":"c","choices":{choices}{more}}}\n\n'


def delta(members: str, finish: str = "null") -> str:
    return chunk(f'[{{"index":0,"delta":{{{members}}},"finish_reason":{finish}}}]')


def call(index: int, head: str, arguments: str = "") -> str:
    return delta(f'"tool_calls":[{{"index":{index},{head}"function":{{{arguments}}}}}]')


ROLE, WORD, LAST = delta('"role":"assistant","content":""'), delta('"content":"Hi"'), delta("", '"stop"')
NUMBERS = chunk("[]", ',"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}')
FIRST = call(0, '"id":"a","type":"function",', '"name":"f","arguments":""')
GOOD_CHAT = {"text": ROLE + WORD + LAST + NUMBERS + DONE, "call": ROLE + FIRST + call(0, "", '"arguments":"{}"') + LAST + DONE, "error": ROLE + 'data: {"error":{"message":"m","type":"t","param":null,"code":null}}\n\n'}
BAD_CHAT = {
    "no role": WORD + LAST + DONE,
    "no finish": ROLE + WORD + DONE,
    "two finishes": ROLE + WORD + LAST + LAST + DONE,
    "no [DONE]": ROLE + WORD + LAST,
    "usage before the finish": ROLE + WORD + NUMBERS + LAST + DONE,
    "usage without choices": ROLE + WORD + LAST + NUMBERS.replace('"choices":[],', "") + DONE,
    "an id twice": ROLE + FIRST + call(0, '"id":"a",', '"arguments":"{}"') + LAST + DONE,
    "an index from 1": ROLE + FIRST.replace('"index":0,"id"', '"index":1,"id"') + LAST + DONE,
    "no type": ROLE + FIRST.replace('"type":"function",', "") + LAST + DONE,
    "an id of its own in a chunk": ROLE + WORD.replace("rs", "zz") + LAST + DONE,
    "an event name": "event: x\n" + ROLE + WORD + LAST + DONE,
    "a ping of Messages": ROLE + E("ping", "") + WORD + LAST + DONE,
    "an unknown finish reason": ROLE + WORD + LAST.replace("stop", "eos") + DONE,
    "[DONE] after an error": GOOD_CHAT["error"] + DONE,
}


@pytest.mark.parametrize("name", GOOD_CHAT)
def test_chat_that_is_right(name):
    assert chat_stream(GOOD_CHAT[name].encode()).brief


@pytest.mark.parametrize("name", BAD_CHAT)
def test_chat_that_is_wrong(name):
    with pytest.raises((AssertionError, KeyError, ValueError)):
        chat_stream(BAD_CHAT[name].encode())
