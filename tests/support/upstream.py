"""A scripted upstream: every accepted connection runs the test's own function, which reads requests and writes exact
bytes. What arrived is kept, so that a test can say what reached the provider."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable

from .wire import TIMEOUT, Body, Gone, Request, Stream, Truncated, framing

OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"ok":"here"}'
SSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def answer(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode("latin-1") + body


class Peer(Stream):
    """The upstream's end of one connection. `number` counts connections from 0."""

    def __init__(self, sock: socket.socket, number: int, upstream: "Upstream"):
        super().__init__(sock)
        self.number, self.upstream = number, upstream
        self.served = 0
        self.gone = threading.Event()  # this connection is over
        self.refusal: ssl.SSLError | None = None  # why there was no TLS session

    def shake_hands(self, tls: ssl.SSLContext) -> None:
        try:
            self.sock = tls.wrap_socket(self.sock, server_side=True, suppress_ragged_eofs=False)
        except ssl.SSLError as error:
            self.refusal = error
            raise Gone("rst") from None

    def request_head(self) -> tuple[Request, Body]:
        start, headers, raw = self.head()
        method, target, version = start.decode("latin-1").split(" ")
        assert version == "HTTP/1.1", start
        request = Request(method, target, headers, raw)
        self.upstream.requests.append(request)
        self.served += 1
        return request, Body(self, *framing(headers, "none"))

    def request(self) -> Request:
        request, body = self.request_head()
        request.body = body.all()
        return request


def serve(reply: bytes = OK) -> Callable[[Peer], None]:
    """A handler that gives the same answer to every request, keep-alive."""

    def handler(peer: Peer) -> None:
        while True:
            peer.request()
            peer.send(reply)

    return handler


class Upstream:
    """Listens on a port of its own from construction to `close()`. With `tls`, an ssl.SSLContext, it is encrypted."""

    def __init__(self, handler: Callable[[Peer], None] | None = None, tls: ssl.SSLContext | None = None):
        self.handler = handler or serve()
        self.tls = tls
        self.requests: list[Request] = []
        self.peers: list[Peer] = []
        self.failures: list[BaseException] = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.threads: list[threading.Thread] = []
        self.closing = False
        self._spawn(self._accept)

    def _spawn(self, work, *args) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.settimeout(TIMEOUT)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = Peer(sock, len(self.peers), self)
            self.peers.append(peer)
            self._spawn(self._run, peer)

    def _run(self, peer: Peer) -> None:
        try:
            if self.tls:
                peer.shake_hands(self.tls)
            self.handler(peer)
        except (Gone, Truncated, ConnectionError, TimeoutError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            pass  # the proxy closed, or the test is over
        except OSError as error:
            if not self.closing:
                self.failures.append(error)
        except BaseException as error:  # noqa: BLE001 - told to the test by close()
            self.failures.append(error)
        finally:
            with contextlib.suppress(OSError):
                peer.sock.close()
            peer.gone.set()

    def origin(self, host: str = "127.0.0.1") -> str:
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        """This upstream as the provider `mock`, with both faces."""
        origin = self.origin()
        return {"MOCK_ENDPOINT_URL": origin + "/v1", "MOCK_ANTHROPIC_URL": origin}

    def close(self) -> None:
        self.closing = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for peer in self.peers:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(peer.sock, socket.SHUT_RDWR)  # not SSLSocket's, which is for its own thread
        for thread in self.threads:
            thread.join(TIMEOUT)
        if self.failures:
            raise AssertionError(f"the upstream's script failed: {self.failures!r}") from self.failures[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
