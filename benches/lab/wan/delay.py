"""The proxy that stands in for distance, in a process of its own: `python -m lab.wan.delay --to PORT --rtt-ms 20`.

It carries bytes between 127.0.0.1 and 127.0.0.1, TLS untouched. Each takes half a round trip, in both directions; nothing passes
through a connection before it is one round trip old, which is what SYN and SYN-ACK take; each direction has a `Window`.

What is due at a time is done by that time, not by when the loop came to it, so that lateness does not add up. How late bytes
went out is kept, and printed on SIGUSR1: that is all that this process adds beside the model.
"""

import argparse
import gc
import heapq
import itertools
import json
import os
import select
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from .window import Window

READ_BYTES = 1 << 18
HELD_BYTES_MAX = 16 << 20  # of one direction; then nothing more is read
IDLE_SECONDS = 3600.0
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST
BACKLOG = 512


@dataclass
class Clock:
    """What is to be done when."""

    due: list[tuple[float, int, Callable[[float], None]]] = field(default_factory=list)
    order: itertools.count = field(default_factory=itertools.count)

    def at(self, when: float, action: Callable[[float], None]) -> None:
        heapq.heappush(self.due, (when, next(self.order), action))

    def until_next(self) -> float:
        return max(0.0, self.due[0][0] - time.monotonic()) if self.due else IDLE_SECONDS

    def run(self) -> None:
        """Each action is told when it was due."""
        while self.due and self.due[0][0] <= time.monotonic():
            when, _, action = heapq.heappop(self.due)
            action(when)


@dataclass(eq=False)
class End:
    """A socket, and what it did not take yet. Once `closed`, what is written to it is lost."""

    socket: socket.socket
    out: deque[memoryview] = field(default_factory=deque)
    finished: bool = False  # after what is in `out`, FIN
    closed: bool = False

    def write(self, data: bytes) -> None:
        if not self.closed:
            self.out.append(memoryview(data))
            self.flush()

    def finish(self) -> None:
        self.finished = True
        self.flush()

    def flush(self) -> None:
        try:
            while self.out:
                count = self.socket.send(self.out[0])
                self.out[0] = self.out[0][count:]
                if not self.out[0]:
                    self.out.popleft()
            if self.finished and not self.closed:
                self.socket.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:  # the peer has gone; whoever reads from it will be told
            self.out.clear()

    def close(self, reset: bool = False) -> None:
        if not self.closed:
            self.closed = True
            if reset:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.socket.close()


@dataclass(eq=False)
class Way:
    """One direction of a connection."""

    clock: Clock
    source: End
    target: End
    earliest: float  # nothing sets out before: the connection is not open yet, or it would overtake what did
    window: Window
    late: list[float]
    waiting: deque[bytes] = field(default_factory=deque)
    held: int = 0  # bytes in `waiting`
    ended: bool = False  # the source says no more
    over: bool = False  # and the target knows

    @property
    def reads(self) -> bool:
        return not self.ended and not self.source.closed and self.held < HELD_BYTES_MAX

    def read(self, now: float) -> None:
        try:
            data = self.source.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            return self.break_off(now)
        self.ended = not data
        if data:
            self.waiting.append(data)
            self.held += len(data)
        if now >= self.earliest:
            self.depart(now)
        elif len(self.waiting) == 1 or self.ended:
            self.clock.at(self.earliest, self.depart)

    def depart(self, now: float) -> None:
        """Whatever the window lets go. An acknowledgement is told the time at which it was due, a read that of its round of the
        loop, which may have begun before."""
        self.earliest = now = max(now, self.earliest)
        half = self.window.round_trip / 2
        if count := self.window.send(now, self.held):
            data = self._take(count)
            self.clock.at(now + half, lambda due: self._deliver(due, data))
            self.clock.at(now + 2 * half, lambda due: self._acknowledge(due, count))
        if self.ended and not self.held and not self.over:
            self.over = True
            self.clock.at(now + half, lambda _: self.target.finish())

    def break_off(self, now: float) -> None:
        """A reset overtakes what still waits, and nothing that is on its way."""
        self.ended = self.over = True
        self.waiting.clear()
        self.held = 0
        self.source.close()
        self.clock.at(max(now, self.earliest) + self.window.round_trip / 2, lambda _: self.target.close(reset=True))

    def _take(self, count: int) -> bytes:
        taken, missing = [], count
        while missing:
            data = self.waiting.popleft()
            if len(data) > missing:
                self.waiting.appendleft(data[missing:])
                data = data[:missing]
            taken.append(data)
            missing -= len(data)
        self.held -= count
        return b"".join(taken)

    def _deliver(self, due: float, data: bytes) -> None:
        self.late.append(time.monotonic() - due)
        self.target.write(data)

    def _acknowledge(self, due: float, count: int) -> None:
        self.window.acknowledge(count)
        self.depart(due)


@dataclass
class Delay:
    listener: socket.socket
    to: int
    round_trip: float
    clock: Clock = field(default_factory=Clock)
    ways: dict[socket.socket, Way] = field(default_factory=dict)  # by the socket that is read
    late: list[float] = field(default_factory=list)

    def run(self) -> None:
        while True:
            readers = [self.listener, *(one for one, way in self.ways.items() if way.reads)]
            writers = [way.target.socket for way in self.ways.values() if way.target.out and not way.target.closed]
            readable, writable, _ = select.select(readers, writers, [], self.clock.until_next())
            now = time.monotonic()
            self.clock.run()
            for one in readable:
                if one is self.listener:
                    self.accept(now)
                elif self.ways[one].reads:
                    self.ways[one].read(now)
            for way in self.ways.values():
                if way.target.socket in writable:
                    way.target.flush()
            self.bury()

    def accept(self, now: float) -> None:
        try:
            near, _ = self.listener.accept()
        except OSError:  # it has gone again
            return
        try:
            far = socket.create_connection(("127.0.0.1", self.to))
        except OSError:  # nobody listens there
            End(near).close(reset=True)
            return
        for one in (near, far):
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ends = End(near), End(far)
        for source, target in (ends, ends[::-1]):
            self.ways[source.socket] = Way(self.clock, source, target, now + self.round_trip, Window(self.round_trip), self.late)

    def bury(self) -> None:
        """Connections of which both ways have ended, or one end was reset."""
        for one, way in list(self.ways.items()):
            back = self.ways.get(way.target.socket)
            finished = back is not None and way.source.finished and way.target.finished and not way.source.out and not way.target.out
            if finished:
                way.source.close()
                way.target.close()
            if way.source.closed and way.target.closed:
                del self.ways[one]

    def report(self) -> None:
        """One line: how late, in ms, since the last report."""
        late = sorted(self.late)
        self.late.clear()
        found = {"count": len(late)} | {name: late[int(share * (len(late) - 1))] * 1000 for name, share in SHARES.items() if late}
        print(f"lateness={json.dumps(found)}", flush=True)


SHARES = {"p50": 0.5, "p99": 0.99, "max": 1.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=int, required=True, metavar="PORT")
    parser.add_argument("--rtt-ms", type=float, required=True)
    options = parser.parse_args()
    with suppress(OSError):
        Path("/proc/self/timerslack_ns").write_text("1")  # else each wait may be 50 µs too long
    with suppress(OSError):  # where it is allowed: whoever computes meanwhile makes no one's way longer
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
        listener.setblocking(False)
        delay = Delay(listener, options.to, options.rtt_ms / 1000)
        signal.signal(signal.SIGUSR1, lambda *_: delay.report())
        print(f"listening=127.0.0.1:{listener.getsockname()[1]}", flush=True)
        gc.freeze()  # so that looking for garbage takes no time
        delay.run()


if __name__ == "__main__":
    main()
