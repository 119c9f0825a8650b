"""One call by Python's own HTTP client, timed. As a program it is the cold client: `call.py FILE ARM` makes one call and prints
its line, as a script or a cron job would; it takes nothing from the other modules, so that it starts soon.

FILE: {"path", "headers", "body": a file, "arms": {arm: {"host", "port", "ca": a file or null}}}, the rest is for `lane`.
"""

import http.client
import json
import socket
import ssl
import sys
import time
from pathlib import Path

PATIENCE = 60.0


class Line:
    """A connection to an arm, opened when it is needed, kept while it can be. What is prepared is not timed."""

    def __init__(self, plan: dict, arm: str):
        to = plan["arms"][arm]
        self.path, self.headers, self.body = plan["path"], plan["headers"], Path(plan["body"]).read_bytes()
        if to["ca"]:
            context = ssl.create_default_context(cafile=to["ca"])
            self.connection = http.client.HTTPSConnection(to["host"], to["port"], timeout=PATIENCE, context=context)
        else:
            self.connection = http.client.HTTPConnection(to["host"], to["port"], timeout=PATIENCE)

    def call(self) -> tuple[float, str]:
        """Milliseconds from before the connection, if it is to be opened, to the last byte; and why it failed, or nothing."""
        began = time.perf_counter()
        try:
            why = self._answer()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            why = type(error).__name__
        return (time.perf_counter() - began) * 1000, why

    def _answer(self) -> str:
        if self.connection.sock is None:
            self.connection.connect()
            self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.request("POST", self.path, self.body, self.headers)
        response = self.connection.getresponse()
        body = response.read()
        if response.status != 200:
            return f"status {response.status}"
        return "" if b'"content"' in body else "an answer without a text"


def line(arm: str, found: tuple[float, str]) -> str:
    return f"{arm} {found[0]:.4f} {found[1]}"


if __name__ == "__main__":
    print(line(sys.argv[2], Line(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2]).call()))
