"""A reader of server-sent events written from the standard (WHATWG HTML §9.2.6), in its order of steps."""

import codecs


class Reader:
    """`push(bytes)` gives the events that became complete, as (event, data, id)."""

    def __init__(self):
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.text, self.began, self.after_cr = "", False, False
        self.event, self.data, self.id = "", [], ""
        self.comments: list[str] = []

    def push(self, data: bytes) -> list[tuple[str, str, str]]:
        text = self.decoder.decode(data)
        if text and not self.began:
            self.began, text = True, text.removeprefix("\ufeff")
        if text and self.after_cr:
            self.after_cr, text = False, text.removeprefix("\n")
        self.text += text
        events = []
        while (line := self._line()) is not None:
            if (done := self._field(line)) is not None:
                events.append(done)
        return events

    def _line(self):
        ends = [at for at in (self.text.find("\r"), self.text.find("\n")) if at >= 0]
        if not ends:
            return None
        at = min(ends)
        line, rest = self.text[:at], self.text[at:]
        if rest.startswith("\r\n"):
            self.text = rest[2:]
        else:
            self.after_cr, self.text = rest == "\r", rest[1:]
        return line

    def _field(self, line: str):
        if line == "":
            event, data = self.event or "message", self.data
            self.event, self.data = "", []
            return (event, "\n".join(data), self.id) if data else None
        name, colon, value = line.partition(":")
        value = value.removeprefix(" ") if colon else ""
        if name == "" and colon:
            self.comments.append(value)
        elif name == "event":
            self.event = value
        elif name == "data":
            self.data.append(value)
        elif name == "id" and "\0" not in value:
            self.id = value
        return None
