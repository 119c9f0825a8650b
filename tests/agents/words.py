"""What a scripted provider says, in no dialect: the faces in `chat.py` and `messages.py` write it on the wire."""

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Call:
    """A tool call, and `proof`: what its real output must hold. A proof is never in the input, so no echo can pass."""

    name: str
    input: dict
    proof: str = ""
    id: str = ""  # as the provider gives it; "": one of its own
    described: str = ""  # the tool's description, by which a provider knows it where its name had to be changed
    images: int = 0  # how many pictures its output holds


@dataclass(frozen=True)
class Style:
    """How a Chat Completions server deviates from the standard. The defaults are api.openai.com's."""

    # reasoning, reasoning_details, both, parts (Mistral's content array), signed (OpenRouter's), think_tags,
    # think_end (the tag at the beginning is missing)
    reasoning: str = "reasoning_content"
    index: str = "counted"  # missing, zero, minus, from_one
    ids: str = "once"  # repeated, missing, empty, null, late
    name: str = "once"  # late, null_later, repeated
    arguments: str = "pieces"  # whole, object, empty_first, interleaved, cumulative
    usage: str = "last"  # every, finish, before_finish, groq, none
    finish: str = ""  # another word than the standard one
    finish_early: bool = False  # the finish chunk comes before the last piece of content
    finish_twice: bool = False
    comments: bool = False  # `: keep-alive` and empty data lines between chunks
    end: str = "done"  # tight (`data:[DONE]`), none
    framing: str = "lf"  # crlf, split (pieces of a few bytes, cut inside characters), bom, lines (several data lines)
    preamble: str = "role"  # azure (`choices:[]` first), none
    siblings: bool = False  # null and empty fields beside the one that carries something
    legacy: bool = False  # `function_call` instead of `tool_calls`
    late_text: str = ""  # content between two fragments of arguments

    def names(self) -> list[str]:
        """What deviates, for the report."""
        changed = {k: v for k, v in vars(self).items() if v != getattr(PLAIN, k)}
        return [k if v is True else f"{k}={v}" for k, v in changed.items()]


PLAIN = Style()


@dataclass(frozen=True)
class Say:
    """An answer. `style` is for the Chat face alone."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    thinking: str = ""
    style: Style = PLAIN
    stop: str = ""  # a finish_reason or stop_reason other than what follows from the content
    # How it breaks off after its first half: "fin", "error", or "hang", which waits for the client to go; "silent" does that
    # before the first byte.
    cut: str = ""
    about: str = ""  # a text that the request which gets this answer must hold
    images: int = 0  # how many pictures that request must hold at least
    fresh: bool = False  # it begins a conversation inside the conversation: an agent's
    hidden: bool = False  # whether the client keeps it to itself
    tokens: int = 0  # the input that it reports; 0: a small number

    def brief(self) -> str:
        return f"{self.text[:60]!r} with calls of {[c.name for c in self.calls]}"


@dataclass(frozen=True)
class Fail:
    """An answer with an error's status; `body` is JSON in the face's own dialect, or a text that is none."""

    status: str
    body: dict | str
    headers: str = ""
    about: str = ""

    def brief(self) -> str:
        return self.status


@dataclass
class Seen:
    """One message of a conversation as it reached a provider."""

    role: str  # system, user, assistant, tool
    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, str, dict]] = field(default_factory=list)  # id, name, input
    call_id: str = ""  # of a tool's result
    images: int = 0


def digest(text: str) -> str:
    """What `printf %s TEXT | sha256sum` prints."""
    return hashlib.sha256(text.encode()).hexdigest()
