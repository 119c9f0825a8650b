"""Every arm must give what the mock gives, before it is measured: a wrong answer costs nothing."""

import contextlib
import http.client
import json
import re
from dataclasses import dataclass

from .arms import Running
from .cases import Ask
from .process import Failed

PATIENCE = 60.0
SHOWN = 300
OFF = re.compile(rb'[-_][0-9a-f]{16,}|"created":\d+')  # ids and dates differ from one answer to the next


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    def words(self) -> tuple[str, int]:
        """The text that was said, and in how many pieces, in either dialect."""
        if self.body.lstrip().startswith(b"{"):
            documents = [json.loads(self.body)]
        else:
            lines = re.findall(rb"^data: ?(\{.*)$", self.body, re.M)
            documents = [json.loads(line) for line in lines]
        pieces = [text for document in documents for text in _texts(document)]
        return "".join(pieces), len(pieces)


def _texts(document: dict) -> list[str]:
    chat = [choice.get("delta") or choice.get("message") or {} for choice in document.get("choices") or []]
    texts = [message.get("content") for message in chat]
    texts += [block.get("text") for block in document.get("content") or []]
    texts += [document["delta"].get("text")] if isinstance(document.get("delta"), dict) else []
    return [text for text in texts if isinstance(text, str) and text]


def answer(running: Running, ask: Ask) -> Answer:
    """By a client that is not the load generator."""
    with contextlib.closing(http.client.HTTPConnection(running.authority, timeout=PATIENCE)) as connection:
        connection.request("POST", ask.path, ask.body, ask.headers)
        response = connection.getresponse()
        return Answer(response.status, response.read())


def check(running: Running, ask: Ask, direct: Running, reference: Ask, exact: bool) -> None:
    """`running` must answer `ask` as `direct` answers `reference`; `exact`: byte for byte. Raises `Failed` where they differ."""
    expected, got = answer(direct, reference), answer(running, ask)
    if got.status != 200:
        raise Failed(f"answers {got.status}: {got.body[:SHOWN]!r}")
    if exact:
        if OFF.sub(b"", got.body) != OFF.sub(b"", expected.body):
            raise Failed(f"answers {got.body[:SHOWN]!r} where the provider says {expected.body[:SHOWN]!r}")
        return
    try:
        text, pieces = got.words()
    except (ValueError, AttributeError) as error:
        raise Failed(f"answers what is in no dialect ({error}): {got.body[:SHOWN]!r}") from error
    if text != expected.words()[0]:
        raise Failed(f"answers another text than the provider: {got.body[:SHOWN]!r}")
    if pieces != expected.words()[1]:
        raise Failed(f"gives {pieces} pieces of text where the provider gives {expected.words()[1]}")
