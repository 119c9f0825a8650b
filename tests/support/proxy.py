"""An outbound HTTP proxy, to be spoken to by CONNECT. Every tunnel leads to one port of this machine, whatever name was
asked for: so the tests' upstreams can have names of the world."""

import contextlib
import socket
import threading

from .upstream import Peer, Upstream

TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"


class ConnectProxy(Upstream):
    """`requests` are the CONNECTs. With `refusal` every answer is these bytes and then the end."""

    def __init__(self, port: int = 0, refusal: bytes | None = None):
        self.way, self.refusal = port, refusal
        super().__init__(self._tunnel)

    def url(self, userinfo: str = "") -> str:
        return f"http://{userinfo}{'@' if userinfo else ''}127.0.0.1:{self.port}"

    def _tunnel(self, peer: Peer) -> None:
        peer.request_head()
        if self.refusal is not None:
            peer.send(self.refusal)
            peer.fin()
            peer.wait_closed()
            return
        with socket.create_connection(("127.0.0.1", self.way)) as far:
            peer.send(TUNNEL)
            back = threading.Thread(target=_pump, args=(far, peer.sock), daemon=True)
            back.start()
            far.sendall(bytes(peer.buffer))
            _pump(peer.sock, far)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Carries bytes and then the end, be it a reset."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
