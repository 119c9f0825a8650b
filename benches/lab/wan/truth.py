"""Does the delaying proxy delay as it says? Asked before anything is measured with it, by a client that knows nothing of its arithmetic."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ..stats import quantile

PINGS = 30
UPLOAD_BYTES = 200_000
LENGTH = struct.Struct("!Q")
PATIENCE = 30.0


@dataclass(frozen=True)
class Truth:
    """`open_ms`: one byte there and back on a new connection; `again_ms`: on one that is open. The uploads are answered with one byte."""

    rtt_ms: float
    open_ms: float
    again_ms: list[float]
    upload_new_ms: float
    upload_again_ms: float

    @property
    def added_ms(self) -> dict[str, float]:
        """What a round trip takes beside the one that was asked for: the proxy's own, and this machine's."""
        return {name: quantile(self.again_ms, share) - self.rtt_ms for name, share in (("p50", 0.5), ("p99", 0.99))}

    def text(self) -> str:
        added, rounds = self.added_ms, [one / self.rtt_ms for one in (self.open_ms, self.upload_new_ms, self.upload_again_ms)]
        return (
            f"{self.rtt_ms:g} ms: a byte there and back {added['p50']:+.2f} ms (p50), {added['p99']:+.2f} ms (p99); in round trips: "
            f"a byte on a new connection {rounds[0]:.2f}, 200 KB on a new connection {rounds[1]:.2f}, again {rounds[2]:.2f}"
        )


@contextlib.contextmanager
def taker() -> Iterator[int]:
    """Takes a length, so many bytes, and answers one byte; again and again. Gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            peer, _ = listener.accept()
            threading.Thread(target=_take, args=(peer,), daemon=True).start()


def _take(peer: socket.socket) -> None:
    with contextlib.suppress(OSError), peer, peer.makefile("rb") as incoming:
        while head := incoming.read(LENGTH.size):
            incoming.read(LENGTH.unpack(head)[0])
            peer.sendall(b"!")


def upload_ms(peer: socket.socket, count: int, began: float | None = None) -> float:
    """Until the answer to so many bytes is there; `began`: by time.perf_counter(), without it now."""
    began = time.perf_counter() if began is None else began
    peer.sendall(LENGTH.pack(count) + bytes(count))
    if peer.recv(1) != b"!":
        raise ConnectionResetError("the connection through the delaying proxy has ended")
    return (time.perf_counter() - began) * 1000


def connect(port: int) -> tuple[socket.socket, float]:
    """A connection, and when it was begun."""
    began = time.perf_counter()
    peer = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return peer, began


def look(port: int, rtt_ms: float, pings: int = PINGS) -> Truth:
    """At a delaying proxy before a `taker`. What it does for the first time is not looked at."""
    with connect(port)[0] as peer:
        upload_ms(peer, UPLOAD_BYTES)
    peer, began = connect(port)
    with peer:
        first = upload_ms(peer, 1, began)
        again = [upload_ms(peer, 1) for _ in range(pings)]
    peer, began = connect(port)
    with peer:
        return Truth(rtt_ms, first, again, upload_ms(peer, UPLOAD_BYTES, began), upload_ms(peer, UPLOAD_BYTES))
