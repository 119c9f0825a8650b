"""HTTP/1.1 by hand: a client connection that sends exact bytes and reads answers strictly, and the head and body
readers that it shares with the scripted upstream. No code in common with the crate."""

import contextlib
import re
import socket
import ssl
import struct
import time
from dataclasses import dataclass, field

TIMEOUT = 15.0
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9]) ([^\r\n]*)")


class Truncated(Exception):
    """The peer went away before the framed end of the message. `partial` is what had arrived of its body."""

    def __init__(self, what: str, partial: bytes = b""):
        super().__init__(f"{what} ({len(partial)} bytes of body had arrived)")
        self.partial = partial


class Gone(Exception):
    """The peer closed before the first byte of a message. `how` is as `Stream.ended`."""

    def __init__(self, how: str):
        super().__init__(how)
        self.how = how


class BadMessage(Exception):
    """The peer's bytes are not HTTP/1.1."""


class Headers(list):
    """Fields in the order they came: (name, value) in exact bytes."""

    def all(self, name: str) -> list[bytes]:
        return [v for k, v in self if k.lower() == name.lower().encode()]

    def get(self, name: str, default=None):
        values = self.all(name)
        assert len(values) <= 1, f"{name} given {len(values)} times: {values}"
        return values[0].decode("latin-1") if values else default

    @property
    def names(self) -> list[str]:
        return [k.decode("latin-1").lower() for k, _ in self]


@dataclass
class Response:
    status: int
    headers: Headers
    body: bytes = b""
    version: int = 1
    interim: list = field(default_factory=list)
    raw_head: bytes = b""

    def get(self, name: str, default=None):
        return self.headers.get(name, default)


@dataclass
class Request:
    method: str
    target: str
    headers: Headers
    raw_head: bytes
    body: bytes = b""

    def get(self, name: str, default=None):
        return self.headers.get(name, default)


def connect(address, timeout: float = TIMEOUT, receive_buffer: int = 0) -> socket.socket:
    """`address` is (host, port), or a path for a UNIX socket."""
    s = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(timeout)
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.connect(address)
    if not isinstance(address, str):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


class Stream:
    """A socket with a buffer of what was read and not yet consumed."""

    def __init__(self, sock: socket.socket):
        self.sock = sock
        self.buffer = bytearray()
        self.ended = ""  # "fin" or "rst"; under TLS "fin" is close_notify, and "cut" an end without it

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def fill(self) -> bool:
        """Reads once. False at the end of the connection."""
        if self.ended:
            return False
        try:
            data = self.sock.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            self.ended = "rst"
            return False
        except ssl.SSLEOFError:
            self.ended = "cut"
            return False
        if not data:
            self.ended = "fin"
            return False
        self.buffer += data
        return True

    def take(self, count: int) -> bytes:
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def line(self, limit: int = 1 << 21) -> bytes:
        """One CRLF-ended line, without the CRLF; a bare CR or LF in it is an error."""
        at = 0
        while (end := self.buffer.find(b"\n", at)) < 0:
            at = len(self.buffer)
            if at > limit:
                raise BadMessage("endless line")
            if not self.fill():
                raise Truncated("inside a line")
        line = self.take(end + 1)
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise BadMessage(f"line without CRLF: {line!r}")
        return line[:-2]

    def head(self) -> tuple[bytes, Headers, bytes]:
        """Start line, fields, and the exact bytes of the head."""
        if not self.buffer and not self.fill():
            raise Gone(self.ended)
        start = self.line()
        raw, headers = start + b"\r\n", Headers()
        while line := self.line():
            raw += line + b"\r\n"
            name, colon, value = line.partition(b":")
            if not colon or not re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
                raise BadMessage(f"field line {line!r}")
            headers.append((name, value.strip(b" \t")))
        return start, headers, raw + b"\r\n"

    def wait_closed(self, timeout: float = TIMEOUT) -> tuple[str, float]:
        """Reads on until the peer closes: (how, time.monotonic() of that moment)."""
        self.sock.settimeout(timeout)
        while self.fill():
            pass
        return self.ended, time.monotonic()

    def fin(self) -> None:
        socket.socket.shutdown(self.sock, socket.SHUT_WR)

    def bye(self) -> None:
        """Under TLS: says close_notify, without waiting for the peer's."""
        self.sock.settimeout(0)
        with contextlib.suppress(ssl.SSLError, ConnectionError):  # also where bytes came that nobody will read
            self.sock.unwrap()

    def close(self) -> None:
        self.sock.close()

    def rst(self) -> None:
        """Closes with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Body:
    """A message body in its framing: iterate for pieces as they arrive, `all()` for the whole."""

    def __init__(self, stream: Stream, framing: str, length: int = 0):
        self.stream, self.framing, self.left = stream, framing, length
        self.got = 0
        self.done = framing == "none" or (framing == "length" and length == 0)

    def piece(self) -> bytes:
        """What is there next, at least a byte; b"" at the framed end."""
        if self.done:
            return b""
        data = getattr(self, "_" + self.framing)()
        self.got += len(data)
        return data

    def _length(self) -> bytes:
        if not self.stream.buffer and not self.stream.fill():
            raise Truncated(f"Content-Length body, {self.left} bytes missing")
        data = self.stream.take(self.left)
        self.left -= len(data)
        self.done = self.left == 0
        return data

    def _close(self) -> bytes:
        if not self.stream.buffer and not self.stream.fill():
            if self.stream.ended != "fin":
                raise Truncated(f"{self.stream.ended} inside a close-delimited body")
            self.done = True
            return b""
        return self.stream.take(1 << 30)

    def _chunked(self) -> bytes:
        if self.left == 0:
            size = self.stream.line()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", size):
                raise BadMessage(f"chunk size {size!r}")
            self.left = int(size, 16)
            if self.left == 0:
                while self.stream.line():
                    pass
                self.done = True
                return b""
        if not self.stream.buffer and not self.stream.fill():
            raise Truncated("inside a chunk")
        data = self.stream.take(self.left)
        self.left -= len(data)
        if self.left == 0 and self.stream.line() != b"":
            raise BadMessage("chunk data longer than its size")
        return data

    def __iter__(self):
        while data := self.piece():
            yield data

    def all(self) -> bytes:
        parts = []
        try:
            for data in self:
                parts.append(data)
        except Truncated as cut:
            raise Truncated(cut.args[0], b"".join(parts)) from None
        return b"".join(parts)


def framing(headers: Headers, otherwise: str) -> tuple[str, int]:
    """RFC 9112 §6.3 for well-formed messages; anything doubtful is an error here."""
    te, cl = headers.all("transfer-encoding"), headers.all("content-length")
    if te and cl or len(te) > 1 or len(cl) > 1:
        raise BadMessage(f"ambiguous framing: {te} {cl}")
    if te:
        if te[0].lower() != b"chunked":
            raise BadMessage(f"Transfer-Encoding {te[0]!r}")
        return "chunked", 0
    if cl:
        if not re.fullmatch(rb"[0-9]{1,18}", cl[0]):
            raise BadMessage(f"Content-Length {cl[0]!r}")
        return "length", int(cl[0])
    return otherwise, 0


class Client(Stream):
    """One client connection; encrypted with `tls`, an ssl.SSLContext."""

    def __init__(self, address, timeout: float = TIMEOUT, receive_buffer: int = 0, tls: ssl.SSLContext | None = None):
        sock = connect(address, timeout, receive_buffer)
        if tls:
            try:
                sock = tls.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)
            except BaseException:
                sock.close()
                raise
        super().__init__(sock)
        self.address = address

    @property
    def authority(self) -> str:
        return "localhost" if isinstance(self.address, str) else "%s:%d" % self.address

    def request(self, method: str, target: str, body=None, headers=(), version: int = 1) -> None:
        """Sends a request; `body` may be bytes (Content-Length) or a list of bytes (chunked)."""
        lines = [f"{method} {target} HTTP/1.{version}".encode(), b"Host: " + self.authority.encode()]
        lines += [name.encode() + b": " + value.encode("latin-1") for name, value in headers]
        if isinstance(body, list):
            lines.append(b"Transfer-Encoding: chunked")
            payload = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in body) + b"0\r\n\r\n"
        else:
            payload = body or b""
            if body is not None:
                lines.append(b"Content-Length: %d" % len(body))
        self.send(b"\r\n".join(lines) + b"\r\n\r\n" + payload)

    def response_head(self, method: str = "POST") -> tuple[Response, Body]:
        """The next final answer's head, interim ones collected, and its body still to be read."""
        interim = []
        while True:
            start, headers, raw = self.head()
            match = STATUS_LINE.fullmatch(start)
            if not match:
                raise BadMessage(f"status line {start!r}")
            status = int(match[2])
            answer = Response(status, headers, version=int(match[1]), interim=interim, raw_head=raw)
            if 100 <= status < 200 and status != 101:
                interim.append(answer)
                continue
            bodiless = method == "HEAD" or status in (204, 304) or status < 200
            kind, length = ("none", 0) if bodiless else framing(headers, "close")
            return answer, Body(self, kind, length)

    def response(self, method: str = "POST") -> Response:
        answer, body = self.response_head(method)
        answer.body = body.all()
        return answer

    def ask(self, method: str, target: str, body=None, headers=(), version: int = 1) -> Response:
        self.request(method, target, body, headers, version)
        return self.response(method)


def ask(address, method: str, target: str, body=None, headers=(), version: int = 1) -> Response:
    """One request on a connection of its own."""
    with Client(address) as client:
        return client.ask(method, target, body, headers, version)
