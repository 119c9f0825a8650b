"""What a translation keeps: every field, block and event of both dialects, and what becomes of it. `test_translate_fidelity`
sends each row through the running proxy and holds the table to what really happened; docs/fidelity.md is made of it:

    python -m tests.wire.fidelity --write
"""

import pathlib
import sys
from dataclasses import dataclass, field

CARRIED, APPROXIMATED, DROPPED, REFUSED = "carried", "approximated", "dropped", "refused"
PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/fidelity.md"


@dataclass(frozen=True)
class Row:
    """One field. `given` is put into a request (or is an answer), `found` is what must be seen on the other side: a path and
    its value. `lost` are the paths that are told as lost, where they are not the row's own name."""

    what: str
    fate: str
    becomes: str
    given: object
    found: dict = field(default_factory=dict)
    lost: tuple = ()

    @property
    def losses(self) -> set[str]:
        mark = {CARRIED: None, REFUSED: None, APPROXIMATED: "~", DROPPED: ""}[self.fate]
        return set(self.lost) if self.lost or mark is None else {self.what + mark}


def user(content):
    return {"role": "user", "content": content}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def last(*blocks):
    """A conversation that ends with a user's message of these blocks."""
    return {"messages": [user([*blocks, {"type": "text", "text": "hi"}])]}


def turn(*blocks):
    """A conversation in which the model said these blocks."""
    return {"messages": [user("a"), assistant([*blocks]), user("b")]}


def result(**more):
    """A conversation with a call and its result."""
    return {"messages": [user("a"), assistant([CALL]), user([{"type": "tool_result", "tool_use_id": "i1", **more}])], "tools": [TOOL]}


SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}
CLOSED = {**SCHEMA, "additionalProperties": False}
TOOL = {"name": "f", "description": "does f", "input_schema": SCHEMA}
CALL = {"type": "tool_use", "id": "i1", "name": "f", "input": {"x": 1}}
MARK = {"type": "ephemeral"}
TEXT = {"type": "text", "text": "t"}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJcOkw7zDtsOfCg=="
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PNG}}
GENUINE = "EqQBCkYIBxgCKkBzaWduYXR1cmUtb2YtdGhlLXZlbmRvci13aGljaC1pcy1sb25nLWVub3VnaA=="
LAST = "messages.-1.content"

# ── Messages -> Chat ────────────────────────────────────────────────────────────────────────────────────────────────

TO_CHAT = [
    Row("model", CARRIED, "`model`, by route", {}, {"model": "up-model"}),
    Row("max_tokens", CARRIED, "`max_tokens`, or `max_completion_tokens` by profile", {"max_tokens": 7}, {"max_tokens": 7}),
    Row("system", CARRIED, "one leading `system` message", {"system": "s"}, {"messages.0": {"role": "system", "content": "s"}}),
    Row("system.text", CARRIED, "blocks joined by an empty line", {"system": [TEXT, TEXT]}, {"messages.0.content": "t\n\nt"}),
    Row("system.cache_control", DROPPED, "", {"system": [{**TEXT, "cache_control": MARK}]}),
    Row("temperature", CARRIED, "`temperature`, where the model takes it", {"temperature": 0.25}, {"temperature": 0.25}),
    Row("top_p", CARRIED, "`top_p`, where the model takes it", {"top_p": 0.25}, {"top_p": 0.25}),
    Row("top_k", DROPPED, "`top_k` by profile", {"top_k": 5}),
    Row("stop_sequences", CARRIED, "`stop`, a list", {"stop_sequences": ["X"]}, {"stop": ["X"]}),
    Row("stream", CARRIED, "`stream`, and `stream_options.include_usage`", {"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
    Row("tools", CARRIED, "`tools`, functions", {"tools": [TOOL]}, {"tools.0.function.name": "f", "tools.0.function.description": "does f"}),
    Row("tools.input_schema", CARRIED, "`parameters`", {"tools": [TOOL]}, {"tools.0.function.parameters": SCHEMA}),
    Row("tools.cache_control", DROPPED, "", {"tools": [{**TOOL, "cache_control": MARK}]}),
    Row("tools.input_examples", DROPPED, "", {"tools": [{**TOOL, "input_examples": [{"x": 1}]}]}),
    Row("tools.allowed_callers", DROPPED, "", {"tools": [{**TOOL, "allowed_callers": ["direct"]}]}),
    Row("tools.eager_input_streaming", DROPPED, "", {"tools": [{**TOOL, "eager_input_streaming": True}]}),
    Row("tools.defer_loading", DROPPED, "the tool is there from the beginning", {"tools": [{**TOOL, "defer_loading": True}]}),
    Row("tools (bash, text_editor)", APPROXIMATED, "a function with the tool's known schema", {"tools": [{"type": "bash_20250124", "name": "bash"}]}, {"tools.0.function.name": "bash"}, ("tools.bash_20250124~",)),
    Row("tools (web_search, code_execution, …)", DROPPED, "the provider's servers run them", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, {}, ("tools.web_search_20250305",)),
    Row("tool_choice auto", CARRIED, "`\"auto\"`", {"tools": [TOOL], "tool_choice": {"type": "auto"}}, {"tool_choice": "auto"}),
    Row("tool_choice any", CARRIED, "`\"required\"`", {"tools": [TOOL], "tool_choice": {"type": "any"}}, {"tool_choice": "required"}),
    Row("tool_choice tool", CARRIED, "that function", {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "f"}}, {"tool_choice.function.name": "f"}),
    Row("tool_choice none", CARRIED, "`\"none\"`", {"tools": [TOOL], "tool_choice": {"type": "none"}}, {"tool_choice": "none"}),
    Row("tool_choice", REFUSED, "where it forces a tool of the provider's servers", {"tools": [{"type": "web_search_20250305", "name": "web_search"}, TOOL], "tool_choice": {"type": "tool", "name": "web_search"}}),
    Row("tool_choice.disable_parallel_tool_use", CARRIED, "`parallel_tool_calls: false`", {"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, {"parallel_tool_calls": False}),
    Row("thinking", DROPPED, "carried by profile", {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
    Row("thinking.budget_tokens (profile openai)", APPROXIMATED, "`reasoning_effort`", {"model": "m-openai", "thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning_effort": "low"}, ("thinking.budget_tokens~",)),
    Row("thinking adaptive, disabled (profile openai)", CARRIED, "`reasoning_effort`, or nothing", {"model": "m-openai", "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}, {"reasoning_effort": "high"}),
    Row("thinking.display", DROPPED, "", {"model": "m-openai", "thinking": {"type": "adaptive", "display": "omitted"}}),
    Row("output_config.effort", DROPPED, "carried by profile", {"output_config": {"effort": "high"}}),
    Row("output_config.effort (profile openai)", CARRIED, "`reasoning_effort`", {"model": "m-openai", "output_config": {"effort": "high"}}, {"reasoning_effort": "high"}),
    Row("output_config.format", CARRIED, "`response_format`", {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}, {"response_format.json_schema.schema": SCHEMA}),
    Row("metadata.user_id", DROPPED, "it names people and machines", {"metadata": {"user_id": "u"}}),
    Row("service_tier", DROPPED, "", {"service_tier": "auto"}),
    Row("speed", DROPPED, "", {"speed": "fast"}),
    Row("inference_geo", DROPPED, "", {"inference_geo": "us"}),
    Row("container", DROPPED, "", {"container": "c"}),
    Row("diagnostics", DROPPED, "", {"diagnostics": {"previous_message_id": None}}),
    Row("cache_control", DROPPED, "", {"cache_control": MARK}),
    Row("context_management", DROPPED, "", {"context_management": {"edits": []}}),
    Row("mcp_servers", REFUSED, "", {"mcp_servers": [{"type": "url", "url": "https://x", "name": "x"}]}),
    Row("thread", REFUSED, "the server would hold the conversation; SDKs go on without it", {"thread": {"type": "create"}}),
    Row("any other field", DROPPED, "", {"novelty": 1}, {}, ("novelty",)),
    Row("messages text", CARRIED, "a string", last(TEXT), {LAST: "t\nhi"}),
    Row("messages.content.cache_control", DROPPED, "", last({**TEXT, "cache_control": MARK})),
    Row("messages.content.citations", DROPPED, "", turn({**TEXT, "citations": [{"type": "char_location", "cited_text": "x", "document_index": 0, "document_title": None, "start_char_index": 0, "end_char_index": 1}]})),
    Row("messages.role system", APPROXIMATED, "a user's `<system-reminder>` at the same place", {"messages": [user("a"), {"role": "system", "content": "s"}]}, {}, ("messages.role~",)),
    Row("image, base64", CARRIED, "`image_url` with a data URL", last(IMAGE), {LAST + ".0": PICTURE}),
    Row("image, url", CARRIED, "`image_url`", last({"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}), {LAST + ".0.image_url.url": "https://x/y.png"}),
    Row("image, file", REFUSED, "the file is at the other vendor", last({"type": "image", "source": {"type": "file", "file_id": "f"}}), {}, ("messages.content.source",)),
    Row("document, text", CARRIED, "text", last({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "D"}}), {LAST: "D\nhi"}),
    Row("document, content", CARRIED, "its text and pictures", last({"type": "document", "source": {"type": "content", "content": "D"}}), {LAST: "D\nhi"}),
    Row("document, PDF", CARRIED, "`file`, by profile", last({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}), {LAST + ".0.file.file_data": "data:application/pdf;base64," + PDF}),
    Row("document, url", REFUSED, "", last({"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}}), {}, ("messages.content.source",)),
    Row("search_result", CARRIED, "text: title, source, content", last({"type": "search_result", "source": "s", "title": "t", "content": [TEXT]}), {LAST: "t\ns\nt\nhi"}),
    Row("any other block of the user", REFUSED, "", last({"type": "novelty", "n": 1}), {}, ("messages.content",)),
    Row("tool_use", CARRIED, "`tool_calls`", result(content="r"), {"messages.1.tool_calls.0.function": {"name": "f", "arguments": '{"x": 1}'}}),
    Row("tool_result", CARRIED, "a `tool` message, directly after its call", result(content="r"), {"messages.2": {"role": "tool", "tool_call_id": "i1", "content": "r"}}),
    Row("tool_result.is_error", CARRIED, "`Error: ` before the text", result(content="r", is_error=True), {"messages.2.content": "Error: r"}),
    Row("tool_result, image", CARRIED, "in the user's next message, and a word about it in the `tool` message", result(content=[IMAGE]), {"messages.3.content.-1": PICTURE}),
    Row("thinking in the history", DROPPED, "sent back by profile", turn({"type": "thinking", "thinking": "t", "signature": GENUINE}, TEXT), {}, ("messages.content.thinking",)),
    Row("redacted_thinking in the history", DROPPED, "", turn({"type": "redacted_thinking", "data": "d"}, TEXT), {}, ("messages.content.redacted_thinking",)),
    Row("server_tool_use and results in the history", APPROXIMATED, "text", turn({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}, TEXT), {}, ("messages.content.server_tool_use~",)),
]

# ── Chat -> Messages ────────────────────────────────────────────────────────────────────────────────────────────────

FUNCTION = {"type": "function", "function": {"name": "f", "description": "does f", "parameters": SCHEMA}}
USE = {"id": "i1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
CALLED = [user("a"), assistant(None, tool_calls=[USE]), {"role": "tool", "tool_call_id": "i1", "content": "r"}]

TO_MESSAGES = [
    Row("model", CARRIED, "`model`, by route", {}, {"model": "claude-sonnet-4-5"}),
    Row("max_tokens", CARRIED, "`max_tokens`", {"max_tokens": 7}, {"max_tokens": 7}),
    Row("max_completion_tokens", CARRIED, "`max_tokens`", {"max_tokens": ..., "max_completion_tokens": 7}, {"max_tokens": 7}),
    Row("no limit", APPROXIMATED, "the model's own, or 8192: `max_tokens` must be there", {"max_tokens": ...}, {}, ("max_tokens+",)),
    Row("system, developer", CARRIED, "`system`, a block each", {"messages": [{"role": "system", "content": "s"}, {"role": "developer", "content": "d"}, user("hi")]}, {"system.0.text": "s", "system.1.text": "d"}),
    Row("messages.role", APPROXIMATED, "a later `system`: a user's `<system-reminder>` at the same place", {"messages": [user("a"), {"role": "system", "content": "s"}, user("b")]}),
    Row("temperature", CARRIED, "`temperature`, where the model takes it", {"temperature": 0.25}, {"temperature": 0.25}),
    Row("temperature above 1", APPROXIMATED, "`1.0`", {"temperature": 1.5}, {"temperature": 1.0}, ("temperature~",)),
    Row("top_p", CARRIED, "`top_p`, where the model takes it", {"top_p": 0.25}, {"top_p": 0.25}),
    Row("top_p beside temperature", DROPPED, "models refuse both", {"temperature": 0.25, "top_p": 0.25}, {}, ("top_p",)),
    Row("stop", CARRIED, "`stop_sequences`", {"stop": "X"}, {"stop_sequences": ["X"]}),
    Row("stream", CARRIED, "`stream`", {"stream": True}, {"stream": True}),
    Row("stream_options.include_usage", CARRIED, "the answer's last chunk", {"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}),
    Row("n", REFUSED, "above 1", {"n": 2}),
    Row("tools", CARRIED, "`tools`", {"tools": [FUNCTION]}, {"tools.0": TOOL}),
    Row("tools.function.strict", CARRIED, "`strict`", {"tools": [{"type": "function", "function": {**FUNCTION["function"], "strict": True}}]}, {"tools.0.strict": True}),
    Row("tools custom", CARRIED, "a tool with one text, `input`; its calls come back as `custom`", {"tools": [{"type": "custom", "custom": {"name": "f", "description": "d"}}]}, {"tools.0.name": "f", "tools.0.input_schema.required": ["input"]}),
    Row("tools.custom.format", DROPPED, "", {"tools": [{"type": "custom", "custom": {"name": "f", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}}}]}, {"tools.0.name": "f"}),
    Row("functions, function_call", CARRIED, "`tools`, `tool_choice`", {"functions": [FUNCTION["function"]], "function_call": {"name": "f"}}, {"tools.0": TOOL, "tool_choice": {"type": "tool", "name": "f"}}),
    Row("tool_choice auto", CARRIED, "`auto`", {"tools": [FUNCTION], "tool_choice": "auto"}, {"tool_choice": {"type": "auto"}}),
    Row("tool_choice required", CARRIED, "`any`", {"tools": [FUNCTION], "tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
    Row("tool_choice none", CARRIED, "`none`", {"tools": [FUNCTION], "tool_choice": "none"}, {"tool_choice": {"type": "none"}}),
    Row("tool_choice function", CARRIED, "`tool`", {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "f"}}}, {"tool_choice": {"type": "tool", "name": "f"}}),
    Row("tool_choice allowed_tools", CARRIED, "the tools that are allowed, and the mode", {"tools": [FUNCTION, {"type": "function", "function": {"name": "g"}}], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}}}, {"tools": [TOOL], "tool_choice": {"type": "any"}}),
    Row("parallel_tool_calls", CARRIED, "`disable_parallel_tool_use`", {"tools": [FUNCTION], "parallel_tool_calls": False}, {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}),
    Row("reasoning_effort", CARRIED, "`thinking` with a budget", {"reasoning_effort": "high"}, {"thinking.type": "enabled"}),
    Row("reasoning_effort, newer models", CARRIED, "`thinking: adaptive` and `output_config.effort`", {"model": "c-opus", "reasoning_effort": "high"}, {"thinking.type": "adaptive", "output_config.effort": "high"}),
    Row("response_format json_schema", CARRIED, "`output_config.format`", {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": CLOSED}}}, {"output_config.format.schema": CLOSED}),
    Row("response_format json_schema, older models or open schemas", APPROXIMATED, "an instruction in `system`", {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}}, {}, ("response_format~",)),
    Row("response_format json_object", APPROXIMATED, "an instruction in `system`", {"response_format": {"type": "json_object"}}, {}, ("response_format~",)),
    Row("user", CARRIED, "`metadata.user_id`", {"user": "u"}, {"metadata.user_id": "u"}),
    Row("safety_identifier", CARRIED, "`metadata.user_id`", {"safety_identifier": "u"}, {"metadata.user_id": "u"}),
    Row("service_tier auto", CARRIED, "`auto`", {"service_tier": "auto"}, {"service_tier": "auto"}),
    Row("service_tier default", CARRIED, "`standard_only`", {"service_tier": "default"}, {"service_tier": "standard_only"}),
    Row("service_tier", DROPPED, "all others", {"service_tier": "flex"}),
    *(Row(name, DROPPED, "", {name: value}) for name, value in {
        "seed": 1, "frequency_penalty": 0.5, "presence_penalty": 0.5, "logit_bias": {"1": 1}, "logprobs": True, "prediction": {"type": "content", "content": "x"}, "store": True, "metadata": {"a": "b"},
        "verbosity": "low", "prompt_cache_key": "k", "prompt_cache_retention": "24h", "web_search_options": {}, "moderation": {},
    }.items()),
    Row("audio", REFUSED, "also in `modalities`", {"modalities": ["text", "audio"], "audio": {"voice": "x", "format": "wav"}}),
    Row("any other field", DROPPED, "", {"novelty": 1}, {}, ("novelty",)),
    Row("user text", CARRIED, "text", {"messages": [user([TEXT])]}, {"messages.0.content.0": TEXT}),
    Row("image_url, data", CARRIED, "`image`, base64, its media type by its first bytes", last(PICTURE), {"messages.0.content.0": IMAGE}),
    Row("image_url, address", CARRIED, "`image`, url", last({"type": "image_url", "image_url": {"url": "https://x/y.png"}}), {"messages.0.content.0.source": {"type": "url", "url": "https://x/y.png"}}),
    Row("messages.content.image_url.detail", DROPPED, "", last({"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}})),
    Row("file, PDF", CARRIED, "`document`", last({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64," + PDF}}), {"messages.0.content.0.source.data": PDF}),
    Row("file, id", REFUSED, "the file is at the other vendor", last({"type": "file", "file": {"file_id": "f"}}), {}, ("messages.content.file",)),
    Row("input_audio", REFUSED, "", last({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}), {}, ("messages.content.input_audio",)),
    Row("cache_control of a part", CARRIED, "`cache_control`", last({**TEXT, "cache_control": MARK}), {"messages.0.content.0.cache_control": MARK}),
    Row("name of a message", DROPPED, "", {"messages": [{**user("hi"), "name": "bob"}]}, {}, ("messages.name",)),
    Row("assistant text", CARRIED, "text", {"messages": [user("a"), assistant("t"), user("b")]}, {"messages.1.content.0": TEXT}),
    Row("refusal in the history", CARRIED, "text", {"messages": [user("a"), assistant([{"type": "refusal", "refusal": "t"}]), user("b")]}, {"messages.1.content.0": TEXT}),
    Row("tool_calls", CARRIED, "`tool_use`", {"messages": CALLED, "tools": [FUNCTION]}, {"messages.1.content.0": CALL}),
    Row("tool messages", CARRIED, "`tool_result`, all of a turn in one message", {"messages": CALLED, "tools": [FUNCTION]}, {"messages.2.content.0.tool_use_id": "i1"}),
    Row("reasoning_content in the history", DROPPED, "nothing proves whose it is", {"messages": [user("a"), {**assistant("t"), "reasoning_content": "th"}, user("b")]}, {}, ("messages.reasoning_content",)),
    Row("reasoning_details in the history", CARRIED, "`thinking`, where they hold Anthropic's signature", {"messages": [user("a"), {**assistant("t"), "reasoning_details": [{"type": "reasoning.text", "text": "th", "signature": GENUINE, "format": "anthropic-claude-v1", "index": 0}]}, user("b")]}, {"messages.1.content.0": {"type": "thinking", "thinking": "th", "signature": GENUINE}}),
]

# ── Answers: literal chunks and events, and what the client must see of them, in the notation of `support.dialects`. A row
# of Chat's begins with a delta or a whole chunk's members. ─────────────────────────────────────────────────────────

# given: (stream, message): a streamed answer's chunks, and the members of a whole answer's message; None where there is none
FROM_CHAT = [
    Row("content", CARRIED, "`text`", ('D:"content":"Hi"', '"content":"Hi"'), {"told": "text0:'Hi'"}),
    Row("content in parts", CARRIED, "`text`", ('D:"content":[{"type":"text","text":"Hi"}]', '"content":[{"type":"text","text":"Hi"}]'), {"told": "text0:'Hi'"}),
    Row("reasoning_content, reasoning", CARRIED, "`thinking`, with a signature that marks it as ours", ('D:"reasoning_content":"th"', '"content":"","reasoning_content":"th"'), {"told": "thinking0:'th'"}),
    Row("reasoning_details", CARRIED, "`thinking`", ('D:"reasoning_details":[{"type":"reasoning.text","text":"th"}]', '"content":"","reasoning_details":[{"type":"reasoning.text","text":"th"}]'), {"told": "thinking0:'th'"}),
    Row("tool_calls", CARRIED, "`tool_use`", ('D:"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\\"x\\":1}"}}]', '"content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\\"x\\":1}"}}]'), {"told": "tool_use", "stop": "tool_use"}),
    Row("function_call", CARRIED, "`tool_use`", ('D:"function_call":{"name":"f","arguments":"{}"}', '"content":null,"function_call":{"name":"f","arguments":"{}"}'), {"told": "tool_use", "stop": "tool_use"}),
    Row("refusal", CARRIED, "`text`, with `stop_reason: refusal`", ('D:"refusal":"no"', '"content":null,"refusal":"no"'), {"told": "text0:'no'", "stop": "refusal"}),
    Row("finish_reason length", CARRIED, "`max_tokens`", ("F:length", None), {"stop": "max_tokens"}),
    Row("finish_reason content_filter", CARRIED, "`refusal`", ("F:content_filter", None), {"stop": "refusal"}),
    Row("finish_reason stop", CARRIED, "`end_turn`, `tool_use` after a call", ("F:stop", None), {"stop": "end_turn"}),
    Row("usage", CARRIED, "`usage`: cached tokens are not in `input_tokens`", ("U:", None), {"usage": "8+4/5"}),
    Row("error", CARRIED, "an `error` event", ('X:{"error":{"message":"boom","code":429}}', None), {"told": "error(rate_limit_error)"}),
    Row("annotations", DROPPED, "", ('D:"content":"Hi","annotations":[{"type":"url_citation","url_citation":{"url":"https://x","title":"t","start_index":0,"end_index":1}}]', '"content":"Hi","annotations":[{"type":"url_citation","url_citation":{"url":"https://x","title":"t","start_index":0,"end_index":1}}]'), {"told": "text0:'Hi'"}, ("choices.message.annotations",)),
    Row("audio", DROPPED, "", (None, '"content":"Hi","audio":{"id":"x","data":"AA==","expires_at":1,"transcript":"t"}'), {"told": "text0:'Hi'"}, ("choices.message.audio",)),
]

# given: (a content block, of a stream and of a whole answer, and the stop reason), or an event in the middle of a stream: its
# name, and its members
FROM_MESSAGES = [
    Row("text", CARRIED, "`content`", ({"type": "text", "text": "Hi"}, "end_turn"), {"told": "content:'Hi'"}),
    Row("thinking", CARRIED, "`reasoning_content`", ({"type": "thinking", "thinking": "th", "signature": GENUINE}, "end_turn"), {"told": "reasoning:'th'"}),
    Row("thinking.signature", CARRIED, "`reasoning_details`, to be sent back", ({"type": "thinking", "thinking": "th", "signature": GENUINE}, "end_turn"), {"details": GENUINE}),
    Row("redacted_thinking", CARRIED, "`reasoning_details`, to be sent back", ({"type": "redacted_thinking", "data": "d4ta"}, "end_turn"), {"details": "d4ta"}),
    Row("tool_use", CARRIED, "`tool_calls`", ({"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1}}, "tool_use"), {"told": "call0(toolu_1,f)", "finish": "tool_calls"}),
    Row("server_tool_use", DROPPED, "", ({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}, "end_turn"), {}, ("content.server_tool_use",)),
    Row("web_search_tool_result", DROPPED, "", ({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}, "end_turn"), {}, ("content.web_search_tool_result",)),
    Row("any other block", DROPPED, "", ({"type": "novelty", "n": 1}, "end_turn"), {}, ("content.novelty",)),
    Row("text.citations", DROPPED, "", ({"type": "text", "text": "Hi", "citations": [{"type": "char_location", "cited_text": "x", "document_index": 0, "document_title": None, "start_char_index": 0, "end_char_index": 1}]}, "end_turn"), {"told": "content:'Hi'"}, ("content.citations",)),
    Row("ping", CARRIED, "a comment", ("ping", ""), {"comment": "ping"}),
    Row("error", CARRIED, "a chunk with `error`", ("error", '"error":{"type":"overloaded_error","message":"m"}'), {"told": "error(server_error,server_is_overloaded)"}),
    Row("any other event", DROPPED, "", ("novelty", '"n":1'), {"told": "content:'Hi'"}, ("event.novelty",)),
    Row("any other delta", DROPPED, "", ("content_block_delta", '"index":0,"delta":{"type":"novelty_delta","n":1}'), {"told": "content:'Hi'"}, ("content.novelty_delta",)),
    Row("stop_reason end_turn", CARRIED, "`stop`", ({"type": "text", "text": "Hi"}, "end_turn"), {"finish": "stop"}),
    Row("stop_reason stop_sequence", CARRIED, "`stop`", ({"type": "text", "text": "Hi"}, "stop_sequence"), {"finish": "stop"}),
    Row("stop_reason max_tokens", CARRIED, "`length`", ({"type": "text", "text": "Hi"}, "max_tokens"), {"finish": "length"}),
    Row("stop_reason model_context_window_exceeded", CARRIED, "`length`", ({"type": "text", "text": "Hi"}, "model_context_window_exceeded"), {"finish": "length"}),
    Row("stop_reason refusal", CARRIED, "`content_filter`", ({"type": "text", "text": "Hi"}, "refusal"), {"finish": "content_filter"}),
    Row("stop_reason pause_turn", CARRIED, "`stop`", ({"type": "text", "text": "Hi"}, "pause_turn"), {"finish": "stop"}),
    Row("usage", CARRIED, "`usage`: cached tokens are in `prompt_tokens`", ({"type": "text", "text": "Hi"}, "end_turn"), {"told": "usage(12,9,21,cached 4)"}),
]

SECTIONS = [
    ("A Messages client, a Chat provider: the request", TO_CHAT),
    ("A Messages client, a Chat provider: the answer", FROM_CHAT),
    ("A Chat client, a Messages provider: the request", TO_MESSAGES),
    ("A Chat client, a Messages provider: the answer", FROM_MESSAGES),
]
HEAD = """# What a translation keeps

Where a client and its provider speak the same dialect, bytes pass untouched. Where they do not, this is what becomes of
each field, block and event. Every row is sent through the program by the tests, and held to what arrived.

- **carried**: it is there on the other side, in that dialect's words;
- **approximated**: something near to it is there, and `x-sidestream-dropped` names it with `~` (with `+` what had to be made up);
- **dropped**: it is gone, and `x-sidestream-dropped` names it; with `SIDESTREAM_STRICT=1` the request is refused instead;
- **refused**: leaving it out would change what the request means: 400, `x-sidestream-error: not-translatable`.

The tables are those of a provider without a profile; profiles (`docs/profiles.md`) carry more. This page is generated:
`python -m tests.wire.fidelity --write`.
"""


def page() -> str:
    parts = [HEAD]
    for title, rows in SECTIONS:
        counts = ", ".join(f"{sum(row.fate == fate for row in rows)} {fate}" for fate in (CARRIED, APPROXIMATED, DROPPED, REFUSED))
        parts.append(f"\n## {title}\n\n{counts}.\n\n| | becomes | | told as |\n|---|---|---|---|\n")
        for row in rows:
            told = ", ".join(f"`{path}`" for path in sorted(row.losses)) if row.fate != REFUSED else ""
            parts.append(f"| {name(row.what)} | {row.becomes or '–'} | {row.fate} | {told or '–'} |\n")
    return "".join(parts)


def name(what: str) -> str:
    """A field's name as code, and words beside it as words."""
    first, space, rest = what.partition(" ")
    return what if first in ("any", "no") or "," in first else f"`{first}`{space}{rest}"


def at(path: str, where):
    """What stands at `messages.-1.content` in a JSON value."""
    for step in path.split("."):
        where = where[int(step)] if isinstance(where, list) else where[step]
    return where


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page())
    else:
        print(page(), end="")
