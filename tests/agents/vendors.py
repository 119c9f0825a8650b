"""Vendors and servers that want more, or less, than the standard: each with its own rules, and a short session of Claude
Code that must please it. The rules are the vendors', as far as they are known; which profile keeps them is sidestream's
business."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .chat import PROOF
from .play import CHAT_MODEL, MESSAGES_MODEL, ClaudeScene
from .session import Tools, Turn
from .words import Say, Style


# Numbers of tokens as the vendor tells them, whatever the model's window.
EXACT = (("SIDESTREAM_EXPECTED_CONTEXT", "off"),)


@dataclass(frozen=True)
class Vendor:
    """`fields` are known beside the standard's; `rule` tells what is wrong with a body."""

    provider: str
    model: str
    fields: tuple[str, ...] = ()
    rule: Callable[[dict], list[str]] = lambda body: []
    style: Style = Style()
    settings: tuple[tuple[str, str], ...] = EXACT
    client: str = CHAT_MODEL  # what Claude Code calls the model


def absent(*fields: str):
    return lambda body: [f"{f} is refused" for f in fields if f in body]


def present(**fields):
    return lambda body: [f"{k} is {body.get(k)!r}, not {v!r}" for k, v in fields.items() if body.get(k) != v]


def all_of(*rules):
    return lambda body: [found for rule in rules for found in rule(body)]


def called(body: dict) -> list[dict]:
    return [m for m in body["messages"] if m["role"] == "assistant" and m.get("tool_calls")]


def echo(field: str):
    """DeepSeek, Kimi: every message of calls must carry the thoughts before it, or an empty text."""

    def rule(body: dict) -> list[str]:
        missing = [m for m in called(body) if not isinstance(m.get(field), str)]
        return [f"The `{field}` in the thinking mode must be passed back" for _ in missing[:1]] + told(field)(body)

    return rule


def told(field: str):
    """Templates that show the model its earlier thoughts."""

    def rule(body: dict) -> list[str]:
        holds = any(THOUGHT in (m.get(field) or "") for m in called(body))
        return [] if holds or not called(body) else [f"no {field} holds the thought {THOUGHT!r}"]

    return rule


def echo_details(body: dict) -> list[str]:
    """OpenRouter: thoughts come back with their proofs."""
    if not called(body):
        return []
    details = [d for m in called(body) for d in m.get("reasoning_details") or ()]
    text = "".join(d.get("text") or "" for d in details)
    proofs = [d["signature"] for d in details if d.get("signature")]
    good = THOUGHT in text and PROOF in proofs
    return [] if good else [f"reasoning_details came back as {details}"]


def no_thoughts(body: dict) -> list[str]:
    return [f"thoughts in {m}" for m in body["messages"] if m["role"] == "assistant" and THOUGHT in json.dumps(m)]


def alternate(body: dict) -> list[str]:
    """Templates of Mistral's kind: a user's message is not followed by a user's."""
    roles = [m["role"] for m in body["messages"]]
    return [f"two messages of {a} in a row" for a, b in zip(roles, roles[1:]) if a == b and a != "tool"][:1]


def short_ids(body: dict) -> list[str]:
    ids = [c["id"] for m in called(body) for c in m["tool_calls"]]
    return [f"Tool call id was {i} but must be a-z, A-Z, 0-9, with a length of 9" for i in ids if not (len(i) == 9 and i.isalnum())]


def gemini_schemas(body: dict) -> list[str]:
    """Names that Gemini's form of schemas does not have."""
    text = json.dumps([t["function"].get("parameters") for t in body.get("tools", ())])
    return [f"Unknown name {name}" for name in ("additionalProperties", "$schema", "const", "exclusiveMinimum") if f'"{name}":' in text]


THOUGHT = "A thought before the first call."
THINK = Style(reasoning="reasoning_content", usage="finish")
VENDORS = [
    Vendor("openai", "gpt-5-mini", rule=all_of(absent("max_tokens", "temperature", "stop"), no_thoughts)),
    Vendor("openai", "gpt-4o", rule=all_of(absent("reasoning_effort"), no_thoughts)),
    Vendor("azure", "gpt-5", rule=all_of(absent("max_tokens", "temperature", "stop"), no_thoughts), style=Style(preamble="azure")),
    Vendor("deepseek", "deepseek-reasoner", ("thinking", "reasoning_content"), echo("reasoning_content"), Style(usage="every")),
    Vendor("moonshot", "kimi-k2.5", ("thinking", "reasoning_content"), all_of(echo("reasoning_content"), absent("tool_choice")), THINK),
    Vendor(
        "zai",
        "glm-4.6",
        ("thinking", "tool_stream", "reasoning_content"),
        all_of(absent("stream_options", "tool_choice", "parallel_tool_calls"), present(tool_stream=True)),
        Style(arguments="whole"),
    ),
    Vendor("openrouter", "anthropic/claude-sonnet-4.5", ("reasoning", "reasoning_details", "cache_control"), echo_details, Style(reasoning="signed", comments=True)),
    Vendor("mistral", "magistral-medium-latest", (), all_of(short_ids, alternate, absent("stream_options"), no_thoughts), Style(reasoning="parts", ids="once")),
    Vendor("gemini", "gemini-2.5-pro", (), all_of(gemini_schemas, no_thoughts), Style(index="zero", arguments="whole", finish="stop")),
    Vendor("groq", "llama-3.3-70b-versatile", (), no_thoughts, Style(reasoning="reasoning", usage="groq")),
    Vendor("nim", "deepseek-ai/deepseek-v3.1", ("chat_template_kwargs",), no_thoughts, Style(index="from_one", siblings=True)),
    Vendor("dashscope", "qwen3-max", ("enable_thinking", "thinking_budget", "top_k"), no_thoughts, Style(siblings=True)),
    Vendor("vllm", "qwen3-32b", ("chat_template_kwargs", "reasoning", "top_k"), told("reasoning"), Style(reasoning="reasoning")),
    Vendor("sglang", "glm-4.5", ("chat_template_kwargs", "reasoning_content", "top_k"), told("reasoning_content"), Style(ids="repeated")),
    Vendor("ollama", "gpt-oss:20b", ("reasoning",), lambda body: [], Style(reasoning="reasoning", index="zero", arguments="whole", finish="stop")),
    Vendor("lmstudio", "qwen3-4b", ("reasoning_content", "top_k"), lambda body: [], Style(end="none", usage="finish")),
    Vendor("own", "deepseek-r1-distill", (), no_thoughts, Style(reasoning="think_tags", usage="none"), (("OWN_PROFILE", "plain,think_tags"),)),
    Vendor("own", "cumulative", (), no_thoughts, Style(arguments="cumulative", usage="none"), (("OWN_PROFILE", "plain,cumulative_arguments"),)),
]
# A model whose window is smaller than the client believes, which with this name is 200,000 tokens.
SMALL = Vendor("own", "small-model", settings=(("SIDESTREAM_CONTEXT", "small-model:32k"),), client=MESSAGES_MODEL)


def turns(vendor: Vendor, tools: Tools) -> list[Turn]:
    if vendor is SMALL:
        return small()
    style, provider = vendor.style, vendor.provider

    def turn(name: str, *steps: Say) -> Turn:
        return Turn(f"{provider}, {vendor.model}: {name}", list(steps), provider=provider)

    return [
        turn("two calls after a thought", Say("", (tools.read(), tools.bash()), THOUGHT, style), Say("Both.", style=style)),
        turn("one call after the other", Say("", (tools.bash(),), "", style), Say("", (tools.read(),), "Hm.", style), Say("Done.", style=style)),
    ]


def small() -> list[Turn]:
    """31,000 tokens are nearly all that this model takes. They are told larger, so that at the next prompt the client makes
    a summary by itself, before it would be refused."""
    summary = Say("<summary>It was nearly full.</summary>", about="summary", hidden=True)
    return [
        Turn("a small window: nearly full", [Say("A lot.", tokens=31_000)], provider="own", scaled=True),
        Turn("a small window: compacted in time", [summary, Say("Room again.", about="nearly full")], provider="own", scaled=True, steady=False),
    ]


class Short(ClaudeScene):
    """Claude Code before one vendor."""

    def __init__(self, program: Path, folder: Path, driver: str, vendor: Vendor):
        kind = {"face": "chat", "fields": vendor.fields, "rule": vendor.rule, "short_ids": vendor.provider == "mistral"}
        routes = f"* -> {vendor.provider}/{vendor.model}"
        super().__init__(program, folder, driver, {vendor.provider: kind}, routes, vendor.client, **dict(vendor.settings))
